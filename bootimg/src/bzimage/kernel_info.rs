//! `kernel_info`: what a kernel of protocol 2.15 says beyond its setup header, which is full.
//!
//! ```text
//!  0   "LToP"
//!  4   size            u32   of what has a fixed place, this header included
//!  8   size_total      u32   with the data of variable length behind it
//!  c   setup_type_max  u32   the highest `setup_data` type and flag that the kernel takes
//! ```
//!
//! Source: Linux `Documentation/arch/x86/boot.rst`, "The kernel_info";
//! `arch/x86/boot/compressed/kernel_info.S`.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned, little_endian::U32};

use crate::error::{Error, Field, Result, part_within};

const WHAT: &str = "kernel_info";
const MAGIC: u32 = u32::from_le_bytes(*b"LToP");

const SIZE: Field = Field {
    name: "kernel_info size",
    allowed: "0xc and above",
};
const SIZE_TOTAL: Field = Field {
    name: "kernel_info size_total",
    allowed: "kernel_info size and above, up to where the code ends",
};

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    header: U32,
    size: U32,
    size_total: U32,
}

/// A `kernel_info` whose signature and sizes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelInfo<'a> {
    offset: u64,
    fixed: &'a [u8],
    variable: &'a [u8],
}

impl<'a> KernelInfo<'a> {
    /// Reads what is at `offset` in `file`.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the file ends before it does, [`Error::BadMagic`] without `LToP`,
    /// [`Error::BadField`] if its sizes contradict each other.
    pub fn parse(file: &'a [u8], offset: u64) -> Result<Self> {
        let blamed = Error::Overflow { what: WHAT, offset };
        Self::parse_within(file, offset, u64::MAX, blamed)
    }

    /// The same where the code ends at `end`, and `blamed` says where this is.
    pub(super) fn parse_within(
        file: &'a [u8],
        offset: u64,
        end: u64,
        blamed: Error,
    ) -> Result<Self> {
        const LEN: u64 = size_of::<Wire>() as u64;
        let start = part_within(file, WHAT, offset, LEN, end, blamed)?;
        let Ok(wire) = Wire::ref_from_bytes(start) else {
            return Err(Error::Overflow { what: WHAT, offset });
        };
        if wire.header.get() != MAGIC {
            return Err(Error::BadMagic {
                what: "kernel_info header",
                offset,
                found: wire.header.get().into(),
                expected: MAGIC.into(),
            });
        }
        let (size, total) = (u64::from(wire.size.get()), u64::from(wire.size_total.get()));
        // No overflow: `part` has found LEN bytes from `offset` on.
        let bad = |field, at: u64, value| Error::BadField {
            field,
            offset: offset.saturating_add(at),
            value,
        };
        if size < LEN {
            return Err(bad(&SIZE, 4, size));
        }
        let all = part_within(file, WHAT, offset, total, end, bad(&SIZE_TOTAL, 8, total))?;
        match usize::try_from(size)
            .ok()
            .and_then(|size| all.split_at_checked(size))
        {
            Some((fixed, variable)) => Ok(Self {
                offset,
                fixed,
                variable,
            }),
            None => Err(bad(&SIZE_TOTAL, 8, total)),
        }
    }

    /// Where it starts in the file.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// What has a fixed place, its header included.
    #[must_use]
    pub const fn fixed(&self) -> &'a [u8] {
        self.fixed
    }

    /// The data of variable length; nothing in kernels up to 6.19.
    #[must_use]
    pub const fn variable(&self) -> &'a [u8] {
        self.variable
    }

    /// `setup_type_max`: the highest type of `setup_data`, or'ed with the flag for indirect ones.
    #[must_use]
    pub fn setup_type_max(&self) -> Option<u32> {
        let bytes = self.fixed.get(0xc..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn sample(size: u32, total: u32) -> Vec<u8> {
        let mut file = b"0123LToP".to_vec();
        file.extend(size.to_le_bytes());
        file.extend(total.to_le_bytes());
        file.extend(0x8000_0009_u32.to_le_bytes());
        file.extend(b"variable");
        file
    }

    #[test]
    fn fixed_and_variable_data() {
        let file = sample(0x10, 0x18);
        let info = KernelInfo::parse(&file, 4).unwrap();
        assert_eq!(info.setup_type_max(), Some(0x8000_0009));
        assert_eq!(
            (info.fixed().len(), info.variable()),
            (16, &b"variable"[..])
        );
        let file = sample(0xc, 0xc);
        assert_eq!(KernelInfo::parse(&file, 4).unwrap().setup_type_max(), None);
    }

    #[test]
    fn sizes_that_do_not_hold() {
        let error = |size, total| KernelInfo::parse(&sample(size, total), 4).unwrap_err();
        assert!(matches!(
            error(0xb, 0x10),
            Error::BadField {
                offset: 8,
                value: 0xb,
                ..
            }
        ));
        assert!(matches!(
            error(0x10, 0xf),
            Error::BadField {
                offset: 12,
                value: 0xf,
                ..
            }
        ));
        assert!(matches!(
            error(0x10, 0x19),
            Error::Truncated {
                offset: 4,
                needed: 0x19,
                available: 0x18,
                ..
            }
        ));
        assert!(matches!(error(u32::MAX, u32::MAX), Error::Truncated { .. }));
        // The code ends with the file, or is longer than it.
        let within = |end| {
            let blamed = error(0, 0);
            KernelInfo::parse_within(&sample(0x10, 0x19), 4, end, blamed).unwrap_err()
        };
        assert!(matches!(
            within(0x1c),
            Error::BadField {
                offset: 12,
                value: 0x19,
                ..
            }
        ));
        assert!(matches!(within(0x1d), Error::Truncated { .. }));
    }

    #[test]
    fn every_prefix_is_too_short() {
        let file = sample(0x10, 0x18);
        for len in 0..file.len() {
            let error = KernelInfo::parse(&file[..len], 4).unwrap_err();
            assert!(
                matches!(error, Error::Truncated { offset: 4, .. }),
                "{len}: {error}"
            );
        }
        assert!(matches!(
            KernelInfo::parse(&file, 0),
            Err(Error::BadMagic { .. })
        ));
        assert!(matches!(
            KernelInfo::parse(&file, u64::MAX),
            Err(Error::Overflow { .. })
        ));
    }
}
