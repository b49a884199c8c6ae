//! Addresses and lengths as the command line and lists write them.
//!
//! ```text
//!   ADDR   0xffffffffa791ffe0 or ffffffffa791ffe0    hexadecimal, with or without 0x
//!   LEN    4096 or 0x1000                            decimal, or hexadecimal with 0x
//!   SPAN   ADDR or ADDR+LEN                          one byte, or LEN of them
//!   ROOT   10402000                                  ADDR of a table
//!   START-END   100000-1fffff                        ADDR of the first and of the last byte
//! ```

use std::{fmt, str::FromStr};

use physmem::{PhysAddr, PhysRange};

/// Parses ADDR.
pub(crate) fn address(text: &str) -> Result<u64, String> {
    let digits = text
        .strip_prefix("0x")
        .or(text.strip_prefix("0X"))
        .unwrap_or(text);
    hexadecimal(digits)
        // A list of other things may have words as long as it is.
        .ok_or_else(|| format!("`{text:.40}` is not an address (up to 16 hexadecimal digits)"))
}

/// Parses ADDR where it must be physical.
pub(crate) fn physical(text: &str) -> Result<PhysAddr, String> {
    address(text).map(PhysAddr::new)
}

/// Parses ROOT.
pub(crate) fn root(text: &str) -> Result<PhysAddr, String> {
    /// `__PHYSICAL_MASK_SHIFT` (arch/x86/include/asm/page_64_types.h): no table lies higher.
    const BITS: u32 = 52;
    let root = physical(text)?;
    match root.as_u64() >> BITS {
        0 => Ok(root),
        _ => Err(format!(
            "{root} is no table's address, which has up to {BITS} bits"
        )),
    }
}

/// Parses LEN.
pub(crate) fn length(text: &str) -> Result<u64, String> {
    let value = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => hexadecimal(digits),
        // Unlike `parse`, no sign.
        None => text
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten(),
    };
    value.ok_or_else(|| format!("`{text}` is not a length (decimal, or hexadecimal with 0x)"))
}

fn hexadecimal(digits: &str) -> Option<u64> {
    // Unlike `from_str_radix`, no sign.
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Bytes from an address on, at least one, not past the end of the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    pub(crate) fn try_new(first: u64, len: u64) -> Result<Self, String> {
        let beyond = len.checked_sub(1).ok_or("a length of 0 holds no byte")?;
        let last = first.checked_add(beyond).ok_or_else(|| {
            format!("{len:#x} bytes at {first:#x} pass the end of the address space")
        })?;
        Ok(Self { first, last })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        match last - first {
            0 => write!(f, "{first:#x}"),
            // As 2^64 bytes have no LEN, the sum is a length.
            beyond => write!(f, "{first:#x}+{:#x}", beyond + 1),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('+') {
            Some((first, len)) => Self::try_new(address(first)?, length(len)?),
            None => Self::try_new(address(text)?, 1),
        }
    }
}

/// Physical addresses as texts have them: `START-END`, the last byte included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartEnd(pub(crate) PhysRange);

impl FromStr for StartEnd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (start, last) = text
            .split_once('-')
            .ok_or_else(|| format!("`{text}` is not START-END, two addresses"))?;
        let (start, last) = (physical(start)?, physical(last)?);
        inclusive(start, last).map(Self)
    }
}

/// The addresses from one to another one that is not below.
pub(crate) fn inclusive(start: PhysAddr, last: PhysAddr) -> Result<PhysRange, String> {
    if last < start {
        return Err(format!("{start}-{last} ends before it begins"));
    }
    PhysRange::inclusive(start, last).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_hexadecimal_with_or_without_a_prefix() {
        assert_eq!(address("0xffffffffa791ffe0"), Ok(0xffff_ffff_a791_ffe0));
        assert_eq!(address("1000"), Ok(0x1000));
        assert_eq!(address("0XF"), Ok(0xf));
        for bad in [
            "",
            "0x",
            "+1",
            "-1",
            "0x0x1",
            "12g",
            "0x10000000000000000",
            "1 ",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_root_is_no_higher_than_tables_lie() {
        assert_eq!(root("fffffffffffff"), Ok(PhysAddr::new((1 << 52) - 1)));
        assert!(root("10000000000000").is_err());
        assert!(root("zz").is_err());
    }

    #[test]
    fn a_length_is_decimal_unless_it_says_otherwise() {
        assert_eq!((length("1000"), length("0x1000")), (Ok(1000), Ok(0x1000)));
        for bad in ["", "0x", "+1", "-1", "1k", "ff", "18446744073709551616"] {
            assert!(length(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_span_holds_a_byte_and_does_not_wrap() {
        let span = |text: &str| text.parse::<Span>();
        assert_eq!(
            span("f000"),
            Ok(Span {
                first: 0xf000,
                last: 0xf000
            })
        );
        assert_eq!(
            span("0xf000+16"),
            Ok(Span {
                first: 0xf000,
                last: 0xf00f
            })
        );
        assert_eq!(
            span("ffffffffffffffff+1").map(|span| span.last),
            Ok(u64::MAX)
        );
        assert!(span("ffffffffffffffff+2").is_err());
        for text in ["0xf000", "0xf000+0x10", "0x0+0xffffffffffffffff"] {
            assert_eq!(span(text).unwrap().to_string(), text);
        }
        assert!(span("f000+0").is_err());
    }

    #[test]
    fn a_range_has_its_last_byte() {
        let range = |text: &str| text.parse::<StartEnd>().map(|StartEnd(range)| range);
        let found = range("0x1000-1fff").unwrap();
        assert_eq!((found.start().as_u64(), found.size()), (0x1000, 0x1000));
        for bad in ["1000", "1000-", "2000-1000"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
