//! Virtual memory: bytes at an address that page tables translate.

use page_walk::{AnyWalker, Fault};
use physmem::{MemError, PhysMemory, VirtAddr};

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
        // The space goes on at 0, as the CPU's arithmetic does; nothing maps the last page there.
        let here = VirtAddr::new(virt.as_u64().wrapping_add(done as u64));
        let mapping = walker.translate(memory, here)?;
        let page = 1_u64 << mapping.shift;
        let left = page - (here.as_u64() & (page - 1));
        // A page longer than memory is long enough.
        let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let rest = rest.get_mut(..n).unwrap_or_default();
        memory.read(mapping.phys, rest).map_err(|source| {
            // The missing byte lies at or above the page's, so this is its offset.
            let offset = source
                .at
                .checked_offset_from(mapping.phys)
                .unwrap_or_default();
            VirtError::Memory {
                virt: VirtAddr::new(here.as_u64().wrapping_add(offset)),
                source,
            }
        })?;
        done += n;
    }
    Ok(())
}
