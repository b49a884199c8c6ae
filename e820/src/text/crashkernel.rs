//! `crashkernel=`: how much memory to set aside for a capture kernel, and where.
//!
//! ```text
//!   crashkernel=112M@128M            size and, with `@`, the address
//!   crashkernel=1G-4G:192M,4G-:256M  size by the RAM there is; `@` may follow
//!   crashkernel=512M,high            above 4 GiB, with some memory below, `,low`
//!   crashkernel=72M,low
//!   crashkernel=100M,cma             and this much more that the first kernel may use meanwhile
//!
//!   crashkernel=64M<4G               Xen: below an address; its plain numbers are KiB
//! ```
//!
//! `parse_crashkernel()` in Linux `kernel/crash_reserve.c` (before 6.9 `kernel/crash_core.c`), and the
//! function of that name in Xen `xen/common/kexec.c` ([`XenParam`]). [`Param`] is one value, as a person means it, and
//! is read strictly. [`wanted`] is what the kernel takes from a whole command line, where it is not
//! strict at all: it looks for `crashkernel=` anywhere, even inside of another word, the last one counts,
//! a list is read only up to the range that matches.

#![deny(clippy::arithmetic_side_effects)]

mod wanted;
mod xen;

use core::{fmt, iter::FusedIterator};

use physmem::PhysAddr;

pub use self::{
    wanted::{Wanted, wanted},
    xen::{XenParam, XenPlace, XenSize},
};
use super::memparse::{Size, memparse};
use crate::{Error, error::Result};

/// One value of Linux's `crashkernel=`. Prints as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param<'a> {
    /// `size[@address]`.
    Size {
        /// Bytes.
        size: u64,
        /// Where, if not anywhere.
        at: Option<PhysAddr>,
    },
    /// `start-[end]:size,…[@address]`: the size depends on the RAM there is.
    Ranges {
        /// The ranges.
        ranges: Ranges<'a>,
        /// Where, if not anywhere.
        at: Option<PhysAddr>,
    },
    /// `size,high`: above 4 GiB, if need be below.
    High(u64),
    /// `size,low`: what to reserve below 4 GiB if the rest lies above; 0 for nothing.
    Low(u64),
    /// `size,cma`: movable memory that both kernels use. Linux from 6.17 on.
    Cma(u64),
}

impl<'a> Param<'a> {
    /// Reads a value.
    ///
    /// ```
    /// use e820::text::crashkernel::Param;
    ///
    /// let param = Param::parse(b"512M-2G:64M,2G-:0x8000000")?;
    /// let Param::Ranges { ranges, .. } = param else { panic!() };
    /// assert_eq!(ranges.size_for(1 << 30), Some(64 << 20));
    /// assert_eq!(ranges.size_for(256 << 20), None);
    /// assert_eq!(param.to_string(), "512M-2G:64M,2G-:128M");
    /// # Ok::<(), e820::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::BadLine`] with the byte of the value, and what would have been allowed there.
    pub fn parse(value: &'a [u8]) -> Result<Self> {
        let in_value = |mismatch: Mismatch<'_>| mismatch.in_line(value);
        if value.contains(&b':') {
            let (ranges, rest) = Ranges::parse(value, Unit::Linux).map_err(in_value)?;
            let at = address(rest).map_err(in_value)?;
            return Ok(Self::Ranges { ranges, at });
        }
        let (size, rest) = Unit::Linux.number(value).map_err(in_value)?;
        Ok(match rest {
            b",high" => Self::High(size),
            b",low" => Self::Low(size),
            b",cma" => Self::Cma(size),
            _ => Self::Size {
                size,
                at: address(rest).map_err(in_value)?,
            },
        })
    }
}

impl fmt::Display for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match *self {
            Self::High(size) => return write!(f, "{},high", Size(size)),
            Self::Low(size) => return write!(f, "{},low", Size(size)),
            Self::Cma(size) => return write!(f, "{},cma", Size(size)),
            Self::Size { size, at } => {
                Size(size).fmt(f)?;
                at
            }
            Self::Ranges { ranges, at } => {
                ranges.fmt(f)?;
                at
            }
        };
        at.map_or(Ok(()), |at| write!(f, "@{}", Size(at.as_u64())))
    }
}

/// A range of RAM sizes and what to reserve on a machine in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RangeSize {
    /// The least RAM, in bytes.
    pub start: u64,
    /// The RAM that is too much, in bytes; `None` without a limit.
    pub end: Option<u64>,
    /// Bytes to reserve.
    pub size: u64,
}

impl RangeSize {
    fn holds(self, ram: u64) -> bool {
        // Without an end the kernel compares with the greatest number.
        self.start <= ram && ram < self.end.unwrap_or(u64::MAX)
    }

    /// A range at the start of `text`, and what follows it.
    fn parse(text: &[u8], unit: Unit) -> Result<(Self, &[u8]), Mismatch<'_>> {
        let (start, at) = unit.number(text)?;
        let at = expect(at, b"-", "`-` after the start of a range")?;
        let (end, at) = match at {
            [b':', ..] => (None, at),
            _ => {
                let (end, rest) = unit.number(at)?;
                if end <= start {
                    return Err(Mismatch {
                        at,
                        expected: "an end above the start of the range",
                    });
                }
                (Some(end), rest)
            }
        };
        let at = expect(at, b":", "`:` after a range")?;
        let (size, at) = unit.number(at)?;
        Ok((Self { start, end, size }, at))
    }
}

/// A list of ranges, which has been checked. Yields them; prints as a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges<'a> {
    text: &'a [u8],
    unit: Unit,
}

impl<'a> Ranges<'a> {
    /// What to reserve with this much RAM: the first range that holds it decides. Linux rounds the RAM
    /// up to 128 MiB before, see [`Kernel::ram_step`](crate::crash::Kernel::ram_step).
    pub fn size_for(mut self, ram: u64) -> Option<u64> {
        self.find(|range| range.holds(ram)).map(|range| range.size)
    }

    /// A list at the start of `text`, and what follows it.
    fn parse(text: &'a [u8], unit: Unit) -> Result<(Self, &'a [u8]), Mismatch<'a>> {
        let mut at = text;
        loop {
            (_, at) = RangeSize::parse(at, unit)?;
            match at {
                [b',', rest @ ..] => at = rest,
                _ => break,
            }
        }
        // `at` ends where `text` does.
        let list = text
            .get(..text.len().saturating_sub(at.len()))
            .unwrap_or_default();
        Ok((Self { text: list, unit }, at))
    }
}

impl Iterator for Ranges<'_> {
    type Item = RangeSize;

    fn next(&mut self) -> Option<RangeSize> {
        let (range, rest) = RangeSize::parse(self.text, self.unit).ok()?;
        self.text = rest.strip_prefix(b",").unwrap_or_default();
        Some(range)
    }
}

impl FusedIterator for Ranges<'_> {}

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number| Number(number, self.unit);
        let mut before = "";
        for RangeSize { start, end, size } in *self {
            write!(f, "{before}{}-", number(start))?;
            end.map_or(Ok(()), |end| number(end).fmt(f))?;
            write!(f, ":{}", number(size))?;
            before = ",";
        }
        Ok(())
    }
}

/// Whose numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Linux,
    Xen,
}

impl Unit {
    /// A number at the start of `text`, and what follows it.
    fn number(self, text: &[u8]) -> Result<(u64, &[u8]), Mismatch<'_>> {
        let (number, rest) = match self {
            Self::Linux => memparse(text),
            Self::Xen => xen::number(text),
        };
        if rest.len() == text.len() {
            return Err(Mismatch {
                at: text,
                expected: "a number",
            });
        }
        Ok((number, rest))
    }
}

/// A number that is read back.
struct Number(u64, Unit);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Unit::Linux => Size(self.0).fmt(f),
            Unit::Xen => xen::fmt_number(self.0, f),
        }
    }
}

/// Where and why a value is not one.
struct Mismatch<'a> {
    /// What it goes on with there.
    at: &'a [u8],
    expected: &'static str,
}

impl Mismatch<'_> {
    /// The error, counted from the start of `text`, in which `at` lies as far from the end as in what
    /// was parsed.
    fn in_line(&self, text: &[u8]) -> Error {
        // Cannot saturate: `at` is the end of `text`, and columns count from 1.
        let column = text.len().saturating_sub(self.at.len()).saturating_add(1) as u64;
        Error::BadLine {
            line: 1,
            column,
            expected: self.expected,
        }
    }
}

fn expect<'a>(at: &'a [u8], sign: &[u8], expected: &'static str) -> Result<&'a [u8], Mismatch<'a>> {
    at.strip_prefix(sign).ok_or(Mismatch { at, expected })
}

fn end(at: &[u8]) -> Result<(), Mismatch<'_>> {
    if at.is_empty() {
        Ok(())
    } else {
        Err(Mismatch {
            at,
            expected: "the end of the value",
        })
    }
}

/// `@address`, or nothing.
fn address(at: &[u8]) -> Result<Option<PhysAddr>, Mismatch<'_>> {
    if at.is_empty() {
        return Ok(None);
    }
    let text = expect(at, b"@", "`@`, `,high`, `,low`, `,cma` or the end")?;
    let (address, rest) = Unit::Linux.number(text)?;
    end(rest)?;
    Ok(Some(PhysAddr::new(address)))
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn values_print_as_they_are_read() {
        for value in [
            "112M",
            "112M@128M",
            "0x1001@0x1234",
            "1G-4G:192M,4G-64G:256M,64G-:512M",
            "0-:64M@16M",
            "512M,high",
            "0,low",
            "100M,cma",
        ] {
            assert_eq!(Param::parse(value.as_bytes()).unwrap().to_string(), value);
        }
    }

    #[test]
    fn bad_values_say_where() {
        for (value, message) in [
            ("", "column 1: expected a number"),
            ("x", "column 1: expected a number"),
            ("112M@", "column 6: expected a number"),
            ("112M,higher", "column 5: expected `@`, `,high`"),
            ("112M@1x", "column 7: expected the end of the value"),
            ("1G:64M", "column 3: expected `-` after the start"),
            ("2G-1G:64M", "column 4: expected an end above the start"),
            ("1G-2G64M:", "column 6: expected `:` after a range"),
            ("1G-2G:", "column 7: expected a number"),
            ("1G-2G:64M,", "column 11: expected a number"),
            ("1G-:64M,high", "column 9: expected a number"),
        ] {
            let found = Param::parse(value.as_bytes()).unwrap_err().to_string();
            assert!(
                found.starts_with(&["line 1, ", message].concat()),
                "{value}: {found}"
            );
        }
    }
}
