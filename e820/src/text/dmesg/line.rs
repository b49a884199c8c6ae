//! What stands behind the source word of a map line.
//!
//! ```text
//!  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//!                  └───────┬────────┘ └───────┬────────┘ └─┬──┘
//!                        first         last, inclusive    kind
//! ```
//!
//! `e820__print_table()` in Linux `arch/x86/kernel/e820.c`, 3.5 to 6.19:
//! `[mem %#018Lx-%#018Lx] `, which is always 16 digits an address, then `e820_print_type()`.

#![deny(clippy::arithmetic_side_effects)]

use core::str;

use nom::{
    Finish, IResult, Parser,
    bytes::complete::{tag, take_while_m_n},
    combinator::map_opt,
    error::{ErrorKind, ParseError},
    sequence::{preceded, separated_pair, terminated},
};

use crate::{
    Error, Kind, RawEntry,
    error::{Result, Snippet},
};

/// Where and why a map line is not one.
pub(super) struct Mismatch<'a> {
    /// What the line goes on with there, up to its end.
    pub(super) at: &'a [u8],
    pub(super) why: Why,
}

pub(super) enum Why {
    Expected(&'static str),
    Range { start: u64, last: u64 },
    Kind,
}

impl Mismatch<'_> {
    /// The error for a mismatch in `text`, which is line number `line`.
    pub(super) fn in_line(&self, line: u64, text: &[u8]) -> Error {
        // Cannot saturate: `at` is the end of `text`, and columns count from 1.
        let column = text.len().saturating_sub(self.at.len()).saturating_add(1) as u64;
        match self.why {
            Why::Expected(expected) => Error::BadLine {
                line,
                column,
                expected,
            },
            Why::Range { start, last } => Error::BadRange {
                line,
                column,
                start,
                last,
            },
            Why::Kind => {
                let word = Snippet::new(self.at.trim_ascii_end());
                Error::UnknownKind { line, column, word }
            }
        }
    }
}

impl<'a> ParseError<&'a [u8]> for Mismatch<'a> {
    fn from_error_kind(at: &'a [u8], _: ErrorKind) -> Self {
        // `expect` puts the right word in its place.
        Self {
            at,
            why: Why::Expected("a map line"),
        }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

type Parsed<'a, T> = IResult<&'a [u8], T, Mismatch<'a>>;

/// What follows `[mem ` up to the end of the line: both addresses and the kind. Blanks at the end
/// do not count.
pub(super) fn entry(body: &[u8]) -> Result<RawEntry, Mismatch<'_>> {
    let (word, (start, last)) = range(body).finish()?;
    let kind = str::from_utf8(word.trim_ascii_end())
        .ok()
        .and_then(Kind::from_word);
    let kind = kind.ok_or(Mismatch {
        at: word,
        why: Why::Kind,
    })?;
    let entry = RawEntry::from_printed(start, last, kind);
    entry.ok_or(Mismatch {
        at: body,
        why: Why::Range { start, last },
    })
}

fn range(body: &[u8]) -> Parsed<'_, (u64, u64)> {
    let what = "`0x` and 16 lower-case hexadecimal digits";
    let address = || expect(what, preceded(tag("0x"), digits));
    let dash = expect("`-` after 16 digits", tag("-"));
    let end = expect("`] ` after 16 digits, and a kind", tag("] "));
    terminated(separated_pair(address(), dash, address()), end).parse(body)
}

fn digits(text: &[u8]) -> Parsed<'_, u64> {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let number = |digits| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
    map_opt(take_while_m_n(16, 16, digit), number).parse(text)
}

/// Whether a line goes on after its source word as Linux before 3.5 printed it.
pub(super) fn is_old_form(body: &[u8]) -> bool {
    terminated(digits, tag(" - ")).parse(body).is_ok()
}

/// Says what was expected where `parser` fails.
fn expect<'a, T>(
    what: &'static str,
    mut parser: impl Parser<&'a [u8], Output = T, Error = Mismatch<'a>>,
) -> impl Parser<&'a [u8], Output = T, Error = Mismatch<'a>> {
    move |at| {
        let mismatch = |_| Mismatch {
            at,
            why: Why::Expected(what),
        };
        parser.parse(at).map_err(|error| error.map(mismatch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_inclusive_and_blanks_at_the_end_do_not_count() {
        let expected = RawEntry {
            addr: 0x1000,
            size: 0x9ec00,
            kind: Kind::NVS,
        };
        let body = "0x0000000000001000-0x000000000009fbff] ACPI NVS";
        for end in ["", "\r", " \r\r"] {
            let body = [body, end].concat();
            assert_eq!(entry(body.as_bytes()).ok(), Some(expected));
        }
    }

    #[test]
    fn the_form_before_3_5() {
        assert!(is_old_form(b"0000000000000000 - 000000000009fc00 (usable)"));
        assert!(!is_old_form(b"000000000000000 - 000000000009fc00 (usable)"));
        assert!(!is_old_form(b"0000000000000000-000000000009fc00"));
    }
}
