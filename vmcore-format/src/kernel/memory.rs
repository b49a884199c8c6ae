//! Virtual memory: bytes at an address that page tables translate.
//!
//! ```text
//!  virtual   ──[███ page ███][███ page ███]──      one translation a page
//!                    │             └────────────▶ physical, anywhere
//!                    └──────────▶ physical, anywhere
//! ```

use page_walk::{AnyWalker, Fault, FaultKind};
use physmem::{Absence, MemError, PhysMemory, VirtAddr};

/// Why virtual memory could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VirtError {
    /// The address is mapped nowhere, or a table on the way is missing.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The address is mapped, and the page is missing.
    #[error("virtual address {virt} is mapped: {source}")]
    Memory {
        /// The first byte that could not be read.
        virt: VirtAddr,
        /// Where it lies and why it cannot be had.
        source: MemError,
    },
    /// The bytes asked for pass the end of the address space.
    #[error("virtual addresses end at {:#x}", u64::MAX)]
    End,
}

impl VirtError {
    /// The first byte that could not be read.
    pub fn at(&self) -> VirtAddr {
        match self {
            Self::Fault(fault) => fault.virt,
            Self::Memory { virt, .. } => *virt,
            Self::End => VirtAddr::new(u64::MAX),
        }
    }

    /// Why the dump does not hold it, or the table that leads there; `None` if it is mapped nowhere.
    pub fn absence(&self) -> Option<Absence> {
        match self {
            Self::Memory { source, .. } => Some(source.why),
            Self::Fault(Fault {
                kind: FaultKind::Missing(why),
                ..
            }) => Some(*why),
            _ => None,
        }
    }
}

/// Fills all of `out` from the virtual address `virt`.
///
/// # Errors
///
/// The first byte that cannot be had and why; `out` then holds nothing to rely on.
pub fn read<M: PhysMemory + ?Sized>(
    walker: &AnyWalker,
    memory: &M,
    virt: VirtAddr,
    out: &mut [u8],
) -> Result<(), VirtError> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let here = virt.checked_add(done as u64).ok_or(VirtError::End)?;
        let mapping = walker.translate(memory, here)?;
        let page = 1_u64 << mapping.shift;
        let left = page - (here.as_u64() & (page - 1));
        // A page longer than memory is long enough.
        let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let rest = rest.get_mut(..n).unwrap_or_default();
        memory.read(mapping.phys, rest).map_err(|source| {
            // The missing byte lies in what was asked for, so both sums are addresses.
            let offset = source
                .at
                .checked_offset_from(mapping.phys)
                .unwrap_or_default();
            let virt = here.checked_add(offset).unwrap_or(here);
            VirtError::Memory { virt, source }
        })?;
        done += n;
    }
    Ok(())
}
