//! Lines of text, what stands in them, and where they are not what they should be.
//!
//! ```text
//!  line 4:  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff usable
//!                                                                ▲
//!                              line 4, column 49: expected `] ` ─┘
//! ```

#![deny(clippy::arithmetic_side_effects)]

use core::{iter::FusedIterator, str};

use memchr::memchr;
use nom::{
    IResult, Parser,
    error::{ErrorKind, ParseError},
};

use crate::{
    Error, Kind, RawEntry, Words,
    error::{Result, Snippet},
};

/// The lines of a text by number, from 1, without their line feeds.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    number: u64,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            number: 0,
        }
    }

    /// How many lines have been passed.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Leaves out all lines that are left.
    pub(super) const fn stop(&mut self) {
        self.rest = &[];
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u64, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match memchr(b'\n', self.rest) {
            Some(end) => (self.rest.get(..end)?, self.rest.get(end..)?.get(1..)?),
            None => (self.rest, [].as_slice()),
        };
        self.rest = rest;
        // Cannot saturate: a slice has fewer than 2^63 lines.
        self.number = self.number.saturating_add(1);
        Some((self.number, line))
    }
}

impl FusedIterator for Lines<'_> {}

/// Where and why a line is not what it should be.
pub(super) struct Mismatch<'a> {
    /// What the line goes on with there, up to its end.
    pub(super) at: &'a [u8],
    pub(super) why: Why,
}

pub(super) enum Why {
    Expected(&'static str),
    Range { start: u64, last: u64 },
    Kind(Words),
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
            Why::Kind(known) => Error::UnknownKind {
                line,
                column,
                word: Snippet::new(self.at.trim_ascii_end()),
                known,
            },
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

pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Mismatch<'a>>;

/// Says what was expected where `parser` fails.
pub(super) fn expect<'a, T>(
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

/// A text, which the error names between back quotes.
macro_rules! literal {
    ($text:literal) => {
        $crate::text::line::expect(concat!("`", $text, "`"), nom::bytes::complete::tag($text))
    };
}

pub(super) use literal;

/// A number as `%0{min}llx` prints it: at least so many lower-case digits, without more leading
/// zeros than that takes.
#[inline]
pub(super) fn hex<'a>(
    min: usize,
) -> impl Parser<&'a [u8], Output = u64, Error = Mismatch<'a>> + Copy {
    move |text: &'a [u8]| {
        let mut value: u64 = 0;
        let mut digits: usize = 0;
        for &byte in text.iter().take(16) {
            let digit = match byte {
                b'0'..=b'9' => byte & 0xf,
                // In range: the low half of `a` is 1.
                b'a'..=b'f' => (byte & 0xf).saturating_add(9),
                _ => break,
            };
            value = value << 4 | u64::from(digit);
            // Cannot saturate: at most 16.
            digits = digits.saturating_add(1);
        }
        match text.split_at_checked(digits) {
            Some((number, rest))
                if digits >= min && (digits == min || number.first() != Some(&b'0')) =>
            {
                Ok((rest, value))
            }
            _ => Err(nom::Err::Error(Mismatch::from_error_kind(
                text,
                ErrorKind::HexDigit,
            ))),
        }
    }
}

/// The kind that the rest of a line is called. Blanks at its end do not count.
#[inline]
pub(super) fn kind(words: Words, rest: &[u8]) -> Result<Kind, Mismatch<'_>> {
    let word = str::from_utf8(rest.trim_ascii_end()).ok();
    word.and_then(|word| words.kind(word)).ok_or(Mismatch {
        at: rest,
        why: Why::Kind(words),
    })
}

/// The entry of a range with an inclusive end that stands at `at`.
#[inline]
pub(super) fn inclusive(
    at: &[u8],
    (start, last): (u64, u64),
    kind: Kind,
) -> Result<RawEntry, Mismatch<'_>> {
    let why = Why::Range { start, last };
    RawEntry::from_printed(start, last, kind).ok_or(Mismatch { at, why })
}

/// The entry of a range with an exclusive end that stands at `at`.
pub(super) fn exclusive(
    at: &[u8],
    (start, end): (u64, u64),
    kind: Kind,
) -> Result<RawEntry, Mismatch<'_>> {
    let why = Why::Range { start, last: end };
    RawEntry::from_end(start, end, kind).ok_or(Mismatch { at, why })
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;

    #[test]
    fn lines_with_and_without_a_line_feed_at_the_end() {
        let lines = |text: &'static [u8]| Lines::new(text).collect::<Vec<_>>();
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"\n"), [(1, &b""[..])]);
        let two = vec![(1, &b"a"[..]), (2, &b"b"[..])];
        assert_eq!(lines(b"a\nb"), two);
        assert_eq!(lines(b"a\nb\n"), two);
    }

    #[test]
    fn numbers_as_they_are_printed() {
        let read = |min, text: &'static [u8]| hex(min).parse(text).ok();
        assert_eq!(read(1, b"0x"), Some((&b"x"[..], 0)));
        assert_eq!(read(1, b"9fbff-"), Some((&b"-"[..], 0x9_fbff)));
        assert_eq!(read(8, b"0009fbff"), Some((&b""[..], 0x9_fbff)));
        assert_eq!(read(8, b"19f000000"), Some((&b""[..], 0x1_9f00_0000)));
        assert_eq!(
            read(16, b"fedcba9876543210f").unwrap().1,
            0xfedc_ba98_7654_3210
        );
        for (min, text) in [
            (1, &b""[..]),
            (1, b"-"),
            (1, b"00"),
            (8, b"019f00000"),
            (8, b"9fbff"),
            (1, b"F"),
        ] {
            assert!(hex(min).parse(text).is_err(), "{text:?}");
        }
    }
}
