//! Numbers on the kernel's command line.
//!
//! ```text
//!   0x1f000000   640K   1M   017   0x10M   64KB
//!   └────┬───┘   └┬┘└┬┘                      ▲
//!      base 16  base 10, then a shift by 10  └── not taken: what follows is the caller's business
//! ```
//!
//! `memparse()` in Linux `lib/cmdline.c` over `simple_strtoull()` with base 0: `0x` and a digit is
//! hexadecimal, another `0` octal; K, M, G, T, P, E in either case shift by 10 to 60 bits. Nothing is
//! refused: digits that are none yield 0, and what does not fit 64 bits is cut off at the top.

#![deny(clippy::arithmetic_side_effects)]

use core::fmt;

/// Reads a number from the start of `text`, with a suffix of `KMGTPE`; returns it and what follows.
///
/// ```
/// use e820::text::memparse::memparse;
///
/// assert_eq!(memparse(b"640K@0"), (640 << 10, &b"@0"[..]));
/// assert_eq!(memparse(b"010"), (8, &b""[..]));
/// assert_eq!(memparse(b"high"), (0, &b"high"[..]));
/// ```
pub fn memparse(text: &[u8]) -> (u64, &[u8]) {
    let (number, rest) = strtoull(text);
    let Some((suffix, after)) = rest.split_first() else {
        return (number, rest);
    };
    let shift = match suffix.to_ascii_uppercase() {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        b'P' => 50,
        b'E' => 60,
        _ => return (number, rest),
    };
    // The kernel shifts in 64 bits, too, and does not look at what is lost.
    (number.wrapping_shl(shift), after)
}

/// Reads a number without a suffix: `simple_strtoull()` with base 0.
pub(super) fn strtoull(text: &[u8]) -> (u64, &[u8]) {
    let (base, mut rest) = match text {
        [b'0', b'x' | b'X', digits @ ..] if digits.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, digits)
        }
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let mut number = 0_u64;
    while let Some((&byte, after)) = rest.split_first() {
        let Some(digit) = char::from(byte).to_digit(base) else {
            break;
        };
        // As the kernel, which returns what is left in 64 bits.
        number = number
            .wrapping_mul(u64::from(base))
            .wrapping_add(u64::from(digit));
        rest = after;
    }
    (number, rest)
}

/// A number as people write it on a command line: decimal with the largest suffix that fits, or
/// hexadecimal if none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number) = *self;
        let suffixes = [
            (60, 'E'),
            (50, 'P'),
            (40, 'T'),
            (30, 'G'),
            (20, 'M'),
            (10, 'K'),
        ];
        let fitting = suffixes
            .into_iter()
            .find(|(shift, _)| number.trailing_zeros() >= *shift);
        match (number, fitting) {
            (0, _) => f.write_str("0"),
            // Shifts by less than 64.
            (_, Some((shift, suffix))) => write!(f, "{}{suffix}", number.wrapping_shr(shift)),
            (_, None) => write!(f, "{number:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn bases_suffixes_and_what_is_left() {
        for (text, number, rest) in [
            ("", 0, ""),
            ("0", 0, ""),
            ("12", 12, ""),
            ("0x1f000000", 0x1f00_0000, ""),
            ("0XfFk", 0xff << 10, ""),
            ("0x", 0, "x"),
            ("0xg", 0, "xg"),
            ("017", 15, ""),
            ("089", 0, "89"),
            ("1k", 1 << 10, ""),
            ("1M", 1 << 20, ""),
            ("1g", 1 << 30, ""),
            ("1T", 1 << 40, ""),
            ("1p", 1 << 50, ""),
            ("1E", 1 << 60, ""),
            ("16E", 0, ""),
            ("17E", 1 << 60, ""),
            ("1KB", 1 << 10, "B"),
            ("1KM", 1 << 10, "M"),
            ("K", 0, ""),
            ("-1", 0, "-1"),
            (" 1", 0, " 1"),
            ("18446744073709551615", u64::MAX, ""),
            ("18446744073709551617", 1, ""),
        ] {
            assert_eq!(
                memparse(text.as_bytes()),
                (number, rest.as_bytes()),
                "{text}"
            );
        }
    }

    #[test]
    fn printed_sizes_are_read_again() {
        for number in [
            0,
            1,
            1023,
            1024,
            0x9fc00,
            112 << 20,
            5 << 30,
            1 << 60,
            15 << 60,
            u64::MAX,
        ] {
            let printed = Size(number).to_string();
            assert_eq!(
                memparse(printed.as_bytes()),
                (number, &b""[..]),
                "{printed}"
            );
        }
        assert_eq!(Size(112 << 20).to_string(), "112M");
        assert_eq!(Size(0x1001).to_string(), "0x1001");
    }
}
