//! The memory a kernel needs to start.
//!
//! ```text
//!  loaded at      runs at                               may be overwritten until here
//!     │              │◄────────────── init_size ──────────────►│
//!     ▼              ▼
//!  ───┬──────────────┬─────────────────────────────────────────┬───
//!     │ kernel file  │ itself, decompressed; page tables, heap │ initrd, parameters …
//!  ───┴──────────────┴─────────────────────────────────────────┴───
//!                    multiple of kernel_alignment, not below pref_address
//! ```
//!
//! Source: Linux `Documentation/arch/x86/boot.rst`, `init_size`.

#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;

use super::header::{Header, offset};
use crate::error::{Error, Field, Result};

const KERNEL_ALIGNMENT: Field = Field {
    name: "kernel_alignment",
    allowed: "a power of two in a relocatable kernel",
};
const INIT_SIZE: Field = Field {
    name: "init_size",
    allowed: "1 and above",
};

/// The memory a kernel needs to start: nothing else may be there when it is entered.
///
/// A relocatable kernel moves itself up to a multiple of its alignment, and to `pref_address` if it
/// was loaded below that; any other runs at `pref_address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Runtime {
    /// `pref_address`
    pub pref_address: u64,
    /// `init_size`, in bytes; not 0.
    pub init_size: u32,
    /// `kernel_alignment`, a power of two; `None` if the kernel cannot be relocated.
    pub alignment: Option<u32>,
}

impl Runtime {
    /// The memory a kernel loaded at `load` needs; `None` if it would pass the end of the address
    /// space.
    ///
    /// ```
    /// use bootimg::bzimage::Runtime;
    ///
    /// let debian = Runtime {
    ///     pref_address: 0x100_0000,
    ///     init_size: 0x33f_8000,
    ///     alignment: Some(0x20_0000),
    /// };
    /// assert_eq!(debian.at(0x10_0000), Some(0x100_0000..0x43f_8000));
    /// assert_eq!(debian.at(0x4000_1000), Some(0x4020_0000..0x435f_8000));
    /// ```
    #[must_use]
    pub fn at(&self, load: u64) -> Option<Range<u64>> {
        let start = match self.alignment {
            Some(alignment) => load
                .max(self.pref_address)
                .checked_next_multiple_of(alignment.into())?,
            None => self.pref_address,
        };
        Some(start..start.checked_add(self.init_size.into())?)
    }
}

impl Header<'_> {
    /// What memory the kernel needs to start.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] before 2.10, where the header does not say; [`Error::BadField`] for an
    /// `init_size` of 0 and for a relocatable kernel's `kernel_alignment` that is no power of two;
    /// [`Error::Overflow`] if the memory passes the end of the address space.
    pub fn runtime(&self) -> Result<Runtime> {
        let (Some(pref_address), Some(init_size)) = (self.pref_address(), self.init_size()) else {
            return Err(Error::Unsupported {
                what: "the runtime range of version",
                offset: offset!(version),
                value: self.protocol().0.into(),
            });
        };
        if init_size == 0 {
            return Err(Error::BadField {
                field: &INIT_SIZE,
                offset: offset!(init_size),
                value: 0,
            });
        }
        let alignment = match self.kernel_alignment() {
            Some(alignment) if self.relocatable() => Some(alignment),
            _ => None,
        };
        if let Some(alignment) = alignment.filter(|alignment| !alignment.is_power_of_two()) {
            return Err(Error::BadField {
                field: &KERNEL_ALIGNMENT,
                offset: offset!(kernel_alignment),
                value: alignment.into(),
            });
        }
        let runtime = Runtime {
            pref_address,
            init_size,
            alignment,
        };
        match runtime.at(pref_address) {
            Some(_) => Ok(runtime),
            None => Err(Error::Overflow {
                what: "pref_address + init_size",
                offset: offset!(pref_address),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;

    fn file(version: u16, relocatable: u8, alignment: u32, pref: u64, init_size: u32) -> Vec<u8> {
        let mut file = vec![0; 1024];
        file[0x1fe..0x206].copy_from_slice(b"\x55\xaa\xeb\x6aHdrS");
        file[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        file[0x230..0x234].copy_from_slice(&alignment.to_le_bytes());
        file[0x234] = relocatable;
        file[0x258..0x260].copy_from_slice(&pref.to_le_bytes());
        file[0x260..0x264].copy_from_slice(&init_size.to_le_bytes());
        file
    }

    fn error(file: &[u8]) -> std::string::String {
        let header = Header::parse(file).unwrap();
        header.runtime().unwrap_err().to_string()
    }

    #[test]
    fn numbers_that_no_kernel_can_mean() {
        assert_eq!(
            error(&file(0x20f, 1, 0x20_0000, 0x100_0000, 0)),
            "offset 0x260: init_size is 0x0, allowed: 1 and above"
        );
        let rule = "allowed: a power of two in a relocatable kernel";
        for alignment in [0, 3, 0x20_0001, u32::MAX] {
            assert_eq!(
                error(&file(0x20f, 1, alignment, 0x100_0000, 1)),
                std::format!("offset 0x230: kernel_alignment is {alignment:#x}, {rule}")
            );
        }
        let text = "offset 0x258: the end of pref_address + init_size is too large";
        assert_eq!(error(&file(0x20f, 0, 0, u64::MAX, 1)), text);
        assert_eq!(
            error(&file(0x20f, 1, 1 << 31, u64::MAX - (1 << 30), 1)),
            text
        );
        assert_eq!(
            error(&file(0x209, 0, 0, 0, 0)),
            "offset 0x206: the runtime range of version 0x209 is not supported"
        );
    }

    #[test]
    fn a_kernel_that_cannot_be_relocated_needs_no_alignment() {
        let file = file(0x20c, 0, 0, 0x10_0000, 0x1000);
        let runtime = Header::parse(&file).unwrap().runtime().unwrap();
        assert_eq!(runtime.at(0), Some(0x10_0000..0x10_1000));
        assert_eq!(runtime.at(u64::MAX), Some(0x10_0000..0x10_1000));
    }

    #[test]
    fn a_relocatable_one_moves_up() {
        let runtime = Runtime {
            pref_address: 0x100_0000,
            init_size: 0x1000,
            alignment: Some(0x20_0000),
        };
        assert_eq!(runtime.at(0), runtime.at(0x100_0000));
        assert_eq!(runtime.at(0x100_0001), Some(0x120_0000..0x120_1000));
        assert_eq!(runtime.at(u64::MAX), None);
        assert_eq!(
            runtime.at(u64::MAX - 0x1f_ffff).unwrap().end,
            0xffff_ffff_ffe0_1000
        );
    }
}
