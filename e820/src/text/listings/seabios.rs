//! SeaBIOS' listing: a header with a count, then that many numbered entries.
//!
//! ```text
//!  e820 map has 2 items:
//!    0: 0000000000000000 - 000000000009fc00 = 1 RAM
//!    1: 000000000009fc00 - 00000000000a0000 = 2 RESERVED
//!       └─────┬────────┘   └─────┬────────┘   │ └─ its name, UNKNOWN without one
//!           first       the one after it      number, signed
//! ```
//!
//! What stands before the header, a timestamp for example, stands in the same width before the
//! entries. Early versions of SeaBIOS printed no names: that form is refused.

use core::{fmt, str};

use memchr::memmem;
use nom::{
    Finish, Parser,
    sequence::{preceded, terminated},
};

use super::Line;
use crate::{
    Error, Kind, RawEntry,
    text::line::{self, Lines, Mismatch, Why, expect, hex, literal},
};

const HEADER: &[u8] = b"e820 map has ";

/// The entries that are still to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Awaited {
    /// Bytes before the header in its line.
    prefix: usize,
    /// The number of the next entry.
    index: u64,
    /// How many entries the map has: more than `index`.
    count: u64,
}

pub(super) fn header(text: &[u8]) -> Result<Line, Mismatch<'_>> {
    let Some(prefix) = memmem::find(text, HEADER) else {
        return Ok(Line::Other);
    };
    let rest = text
        .get(prefix..)
        .and_then(|rest| rest.strip_prefix(HEADER));
    let rest = rest.unwrap_or_default();
    let mismatch = |expected| Mismatch {
        at: rest,
        why: Why::Expected(expected),
    };
    let count = rest
        .trim_ascii_end()
        .strip_suffix(b" items:")
        .and_then(decimal)
        .ok_or(mismatch("a number and ` items:`"))?;
    let first = Awaited {
        prefix,
        index: 0,
        count,
    };
    Ok(Line::Header((count > 0).then_some(first)))
}

/// A number as `%d` prints one that is not negative.
fn decimal(digits: &[u8]) -> Option<u64> {
    let printed = digits == b"0" || !digits.starts_with(b"0") && !digits.starts_with(b"+");
    let number = str::from_utf8(digits).ok()?.parse().ok()?;
    printed.then_some(number)
}

impl Awaited {
    /// What is still to come after the next entry.
    pub(super) fn next(self) -> Option<Self> {
        // Cannot saturate: below `count`.
        let index = self.index.saturating_add(1);
        (index < self.count).then_some(Self { index, ..self })
    }

    /// The entry of the next line.
    pub(super) fn entry(self, text: &[u8]) -> Result<RawEntry, Mismatch<'_>> {
        let rest = text.get(self.prefix..).unwrap_or_default();
        let mismatch = |at, expected| Mismatch {
            at,
            why: Why::Expected(expected),
        };
        let trimmed = rest.trim_ascii_start();
        let colon = trimmed.iter().position(|&b| b == b':');
        let (_, body) = colon
            .and_then(|at| trimmed.split_at_checked(at))
            .filter(|(number, _)| decimal(number) == Some(self.index))
            .ok_or(mismatch(rest, "the next item of the map, by its number"))?;
        let address = || expect("16 lower-case hexadecimal digits", hex(16));
        let mut range = (
            preceded(literal!(": "), terminated(address(), literal!(" - "))),
            terminated(address(), literal!(" = ")),
        );
        let at = body.get(2..).unwrap_or_default();
        let (words, range) = range.parse(body).finish()?;
        let kind = kind(words).ok_or(mismatch(words, "the number of a kind and its name"))?;
        line::exclusive(at, range, kind)
    }

    /// The error for a text that ends before the next entry.
    pub(super) fn missing(self, lines: &Lines<'_>) -> Error {
        Error::BadLine {
            // Cannot saturate: a slice has fewer than 2^63 lines.
            line: lines.number().saturating_add(1),
            column: 1,
            expected: "the next item of the map, by its number",
        }
    }
}

fn kind(words: &[u8]) -> Option<Kind> {
    let words = str::from_utf8(words.trim_ascii_end()).ok()?;
    let (number, word) = words.split_once(' ')?;
    let kind = Kind(u32::from_ne_bytes(
        number.parse::<i32>().ok()?.to_ne_bytes(),
    ));
    (word == name(kind) && !number.starts_with(['+', '0']) || words == "0 UNKNOWN").then_some(kind)
}

/// `e820_type_name()`.
const fn name(kind: Kind) -> &'static str {
    match kind.0 {
        1 => "RAM",
        2 => "RESERVED",
        3 => "ACPI",
        4 => "NVS",
        5 => "UNUSABLE",
        u32::MAX => "HOLE",
        _ => "UNKNOWN",
    }
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, index: usize, entry: &RawEntry) -> fmt::Result {
    let RawEntry { addr, size, kind } = *entry;
    // SeaBIOS computes ends in 64 bits and prints what comes out.
    let end = addr.wrapping_add(size);
    let number = i32::from_ne_bytes(kind.0.to_ne_bytes());
    writeln!(
        f,
        "  {index}: {addr:016x} - {end:016x} = {number} {}",
        name(kind)
    )
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString, vec::Vec};

    use super::{
        super::{Form, Listings, Program, tests::error},
        *,
    };
    use crate::RawMap;

    const TWO: &str = "e820 map has 2 items:\n  0: 0000000000000000 - 000000000009fc00 = 1 RAM\n";

    #[test]
    fn kinds_by_number_and_name() {
        let entry = |kind| RawEntry {
            addr: 0,
            size: 0x1000,
            kind: Kind(kind),
        };
        let map = RawMap::new([0, 1, 5, 7, 0xefff_ffff, u32::MAX].map(entry));
        let log = map.listing(Form::SeaBios).to_string();
        assert!(log.contains("= -268435457 UNKNOWN\n") && log.contains("= -1 HOLE\n"));
        let found: Vec<_> = Listings::new(log.as_bytes(), Program::SeaBios)
            .map(|listed| listed.unwrap().entry)
            .collect();
        assert_eq!(found, map.entries());
    }

    #[test]
    fn timestamps_of_any_width() {
        let log: std::string::String = TWO
            .lines()
            .chain(["  1: 000000000009fc00 - 00000000000a0000 = 2 RESERVED"])
            .map(|line| format!("00.123: {line}\r\n"))
            .collect();
        assert_eq!(
            Listings::new(log.as_bytes(), Program::SeaBios)
                .filter(Result::is_ok)
                .count(),
            2
        );
    }

    #[test]
    fn missing_and_damaged_items() {
        for (rest, message) in [
            ("", "line 3, column 1: expected the next item of the map"),
            (
                "enter handle_19:\n",
                "line 3, column 1: expected the next item",
            ),
            (
                "  2: 000000000009fc00 - 00000000000a0000 = 2 RESERVED",
                "line 3, column 1: expected the next",
            ),
            (
                "  1: 000000000009fc00 - 0000",
                "line 3, column 25: expected 16 lower-case",
            ),
            (
                "  1: 000000000009fc00 - 00000000000a0000 = 2",
                "line 3, column 44: expected the number of a kind",
            ),
            (
                "  1: 000000000009fc00 - 00000000000a0000 = 2 RAM",
                "line 3, column 44: expected the number",
            ),
            (
                "  1: 00000000000a0000 - 000000000009fc00 = 2 RESERVED",
                "line 3, column 6: range 0xa0000-0x9fc00 ends",
            ),
        ] {
            let found = error(&format!("{TWO}{rest}"), Program::SeaBios);
            assert!(found.starts_with(message), "{found}");
        }
        let found = error("e820 map has many items:", Program::SeaBios);
        assert!(
            found.starts_with("line 1, column 14: expected a number and ` items:`"),
            "{found}"
        );
        let none = Listings::new(b"e820 map has 0 items:\nx\n", Program::SeaBios).next();
        assert_eq!(none, None);
    }
}
