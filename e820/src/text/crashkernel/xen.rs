//! Xen's form of `crashkernel=`.
//!
//! ```text
//!   crashkernel=64M<4G      crashkernel=1G-8G:65536,8G-:256M@16M
//!               └┬┘└┬┘                        └─┬─┘
//!              size below an address           KiB
//! ```
//!
//! `parse_crashkernel()` in Xen `xen/common/kexec.c`; numbers: `parse_size_and_unit()` in
//! `xen/common/lib.c`.

use core::fmt;

use physmem::PhysAddr;

use super::{Mismatch, Number, Ranges, Unit, end};
use crate::{
    error::Result,
    text::memparse::{Size, strtoull},
};

/// One value of Xen's `crashkernel=`. Prints as one.
///
/// ```
/// use e820::text::crashkernel::{XenParam, XenPlace, XenSize};
/// use physmem::PhysAddr;
///
/// let param = XenParam::parse(b"65536<4G")?;
/// assert_eq!(param.size, XenSize::Fixed(64 << 20)); // plain numbers are KiB
/// assert_eq!(param.place, Some(XenPlace::Below(PhysAddr::new(4 << 30))));
/// assert_eq!(param.to_string(), "64M<4G");
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XenParam<'a> {
    /// How much.
    pub size: XenSize<'a>,
    /// Where, if not anywhere.
    pub place: Option<XenPlace>,
}

/// How much memory Xen sets aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XenSize<'a> {
    /// Bytes.
    Fixed(u64),
    /// By the RAM there is, which Xen does not round up.
    Ranges(Ranges<'a>),
}

/// Where Xen sets it aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum XenPlace {
    /// `@`: there.
    At(PhysAddr),
    /// `<`, also `,below=`: all of it below this address.
    Below(PhysAddr),
}

impl<'a> XenParam<'a> {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`crate::Error::BadLine`] with the byte of the value, and what would have been allowed there.
    pub fn parse(value: &'a [u8]) -> Result<Self> {
        Self::read(value).map_err(|mismatch| mismatch.in_line(value))
    }

    fn read(value: &'a [u8]) -> Result<Self, Mismatch<'a>> {
        let (size, rest) = if value.contains(&b':') {
            let (ranges, rest) = Ranges::parse(value, Unit::Xen)?;
            (XenSize::Ranges(ranges), rest)
        } else {
            let (size, rest) = Unit::Xen.number(value)?;
            (XenSize::Fixed(size), rest)
        };
        let below = rest.strip_prefix(b"<").or(rest.strip_prefix(b",below="));
        let place: fn(PhysAddr) -> XenPlace = if below.is_some() {
            XenPlace::Below
        } else {
            XenPlace::At
        };
        let place = match below.or(rest.strip_prefix(b"@")) {
            None if rest.is_empty() => None,
            None => {
                return Err(Mismatch {
                    at: rest,
                    expected: "`@`, `<` or the end",
                });
            }
            Some(text) => {
                let (address, at) = Unit::Xen.number(text)?;
                end(at)?;
                Some(place(PhysAddr::new(address)))
            }
        };
        Ok(Self { size, place })
    }
}

impl fmt::Display for XenParam<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size {
            XenSize::Fixed(size) => fmt_number(size, f)?,
            XenSize::Ranges(ranges) => ranges.fmt(f)?,
        }
        match self.place {
            None => Ok(()),
            Some(XenPlace::At(at)) => write!(f, "@{}", Number(at.as_u64(), Unit::Xen)),
            Some(XenPlace::Below(limit)) => write!(f, "<{}", Number(limit.as_u64(), Unit::Xen)),
        }
    }
}

/// Writes a number so that Xen reads it back: bytes have a suffix, too, and none lies above T.
pub(super) fn fmt_number(number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (number, number.trailing_zeros()) {
        (0, _) => f.write_str("0"),
        (_, 50..) => write!(f, "{}T", number.wrapping_shr(40)),
        (_, 10..) => write!(f, "{}", Size(number)),
        // In hexadecimal, B would be a digit.
        (_, _) => write!(f, "{number}B"),
    }
}

/// A number at the start of `text`, and what follows it.
pub(super) fn number(text: &[u8]) -> (u64, &[u8]) {
    let (number, rest) = strtoull(text);
    let suffix = rest.first().map(u8::to_ascii_uppercase);
    let shift = match suffix {
        Some(b'B') => 0,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        _ => 10,
    };
    let rest = match suffix {
        Some(b'B' | b'K' | b'M' | b'G' | b'T') => rest.get(1..).unwrap_or_default(),
        _ => rest,
    };
    // As Xen, which shifts in 64 bits.
    (number.wrapping_shl(shift), rest)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn values_print_as_they_are_read() {
        for value in [
            "64M",
            "64M@4G",
            "2049T<4097B",
            "1G-2G:64M,2G-:1023B<4G",
            "0@1B",
        ] {
            assert_eq!(
                XenParam::parse(value.as_bytes()).unwrap().to_string(),
                value
            );
        }
        let below = XenParam::parse(b"64M,below=4G").unwrap();
        assert_eq!(below, XenParam::parse(b"65536<4194304").unwrap());
    }

    #[test]
    fn bad_values() {
        for value in ["", "64M<", "64M<4Gx", "64M,high", "1G-2G:64M;"] {
            assert!(XenParam::parse(value.as_bytes()).is_err(), "{value}");
        }
    }
}
