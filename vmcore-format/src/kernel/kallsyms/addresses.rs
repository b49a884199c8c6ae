//! How the tables tell the addresses of symbols, which changed with time; see the parent.

#![deny(clippy::arithmetic_side_effects)]

use physmem::{Endian, PhysMemory, VirtAddr, Width};

use crate::{
    Error, Vmcoreinfo,
    kernel::{Virtual, memory::element},
};

/// How symbols' addresses are told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Addresses {
    /// `kallsyms_addresses`.
    Words(VirtAddr),
    /// Offsets above a base.
    Above { offsets: VirtAddr, base: u64 },
    /// Offsets below a base, and per-CPU ones without it.
    PerCpu { offsets: VirtAddr, base: u64 },
    /// Offsets from where they lie.
    Here(VirtAddr),
}

/// Where VMCOREINFO says that the addresses are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    Words(VirtAddr),
    Offsets {
        offsets: VirtAddr,
        /// Where the base lies, if there is one.
        base: Option<VirtAddr>,
    },
}

impl Told {
    pub(super) fn new(info: &Vmcoreinfo<'_>, word: Width) -> Result<Self, Error> {
        let align = word.bytes() as u64;
        if let Some(addresses) = told_if!(info, SYMBOL("kallsyms_addresses", align align))? {
            return Ok(Self::Words(VirtAddr::new(addresses)));
        }
        let offsets = VirtAddr::new(told!(info, SYMBOL("kallsyms_offsets", align 4))?);
        let base = told_if!(info, SYMBOL("kallsyms_relative_base", align align))?;
        match (base, word) {
            // Relocatable kernels do as 64-bit ones, and others write the address itself.
            (None, Width::U32) => Err(Error::Missing {
                what: "SYMBOL(kallsyms_relative_base) in VMCOREINFO",
            }),
            (base, _) => Ok(Self::Offsets {
                offsets,
                base: base.map(VirtAddr::new),
            }),
        }
    }

    /// How the addresses of so many symbols are told.
    pub(super) fn found<M: PhysMemory + ?Sized>(
        self,
        virt: Virtual<'_, M>,
        count: u32,
    ) -> Result<Addresses, Error> {
        let (offsets, base) = match self {
            Self::Words(addresses) => return Ok(Addresses::Words(addresses)),
            Self::Offsets { offsets, base } => (offsets, base),
        };
        let Some(base) = base else {
            return Ok(Addresses::Here(offsets));
        };
        let base = virt.word(base)?;
        // No kernel is as large as an unsigned offset with the highest bit set.
        let last = element(offsets, count.saturating_sub(1).into(), 4)?;
        Ok(match virt.u32(last)? >> 31 {
            0 => Addresses::Above { offsets, base },
            _ => Addresses::PerCpu { offsets, base },
        })
    }
}

impl Addresses {
    pub(super) fn array(self) -> VirtAddr {
        match self {
            Self::Words(array) | Self::Here(array) => array,
            Self::Above { offsets, .. } | Self::PerCpu { offsets, .. } => offsets,
        }
    }

    /// The size of an element.
    pub(super) fn size(self, word: Width) -> usize {
        match self {
            Self::Words(_) => word.bytes(),
            _ => 4,
        }
    }

    /// What an element says that lies at `at`. Sums are modulo the machine's words by definition.
    pub(super) fn address<M: PhysMemory + ?Sized>(
        self,
        virt: Virtual<'_, M>,
        at: VirtAddr,
        bytes: &[u8],
    ) -> VirtAddr {
        let value = bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        let value = match (virt.endian(), bytes.len()) {
            (Endian::Little, _) => value,
            (Endian::Big, 4) => value.swap_bytes() >> 32,
            (Endian::Big, _) => value.swap_bytes(),
        };
        // As signed 32 bits in 64.
        let signed = (value ^ 0x8000_0000).wrapping_sub(0x8000_0000);
        let address = match self {
            Self::Words(_) => value,
            Self::Above { base, .. } => base.wrapping_add(value),
            Self::PerCpu { base, .. } if value >> 31 != 0 => {
                base.wrapping_sub(1).wrapping_sub(signed)
            }
            Self::PerCpu { .. } => value,
            Self::Here(_) => at.as_u64().wrapping_add(signed),
        };
        VirtAddr::new(match virt.word_size() {
            Width::U32 => address & u64::from(u32::MAX),
            Width::U64 => address,
        })
    }

    pub(super) fn is_per_cpu(self, address: VirtAddr) -> bool {
        // An offset's 31 bits, and no kernel lies there.
        matches!(self, Self::PerCpu { .. }) && address.as_u64() >> 31 == 0
    }
}
