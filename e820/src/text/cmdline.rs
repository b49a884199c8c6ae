//! A kernel command line, cut into parameters as the kernel cuts it.
//!
//! ```text
//!   console=ttyS0 debug memmap="64K#0x1f000000" -- init's own
//!   └──┬──┘ └─┬─┘ └─┬─┘         └──────┬──────┘ └─┬─────────
//!    name   value  name              value      not the kernel's
//! ```
//!
//! `next_arg()` in Linux `lib/cmdline.c` and `parse_args()` in `kernel/params.c`: blanks separate
//! unless they stand between quotes, quotes around a value or around all of a parameter are dropped,
//! and `--` ends the kernel's part.

#![deny(clippy::arithmetic_side_effects)]

use core::iter::FusedIterator;

/// A parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    /// What stands before the first `=`.
    pub name: &'a [u8],
    /// What stands behind it; `None` without a `=`.
    pub value: Option<&'a [u8]>,
    /// Byte in the command line at which the value begins (the name if there is none), from 1.
    pub column: u64,
}

/// The parameters of a command line, up to `--`.
///
/// ```
/// use e820::text::cmdline::Params;
///
/// let line = b"quiet mem=4G memmap=\"64K$0x1000, 1\" -- mem=1G\n";
/// let found: Vec<_> = Params::new(line).map(|param| (param.name, param.value)).collect();
/// assert_eq!(found, [
///     (&b"quiet"[..], None),
///     (b"mem", Some(&b"4G"[..])),
///     (b"memmap", Some(b"64K$0x1000, 1")),
/// ]);
/// ```
#[derive(Debug, Clone)]
pub struct Params<'a> {
    line: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Params<'a> {
    /// Reads a command line of any bytes, as in `/proc/cmdline`.
    pub const fn new(line: &'a [u8]) -> Self {
        Self { line, rest: line }
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let blanks = self.rest.iter().take_while(|&&b| is_blank(b)).count();
        let text = self.rest.get(blanks..).filter(|text| !text.is_empty())?;
        let mut quoted = false;
        let end = text.iter().position(|&b| {
            quoted ^= b == b'"';
            is_blank(b) && !quoted
        });
        let (word, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
        self.rest = rest;

        let whole = word.strip_prefix(b"\"");
        let body = whole.unwrap_or(word);
        let (name, value) = match body.iter().position(|&b| b == b'=') {
            // A `=` at the very start belongs to the name, as it does in the kernel.
            Some(equals) if equals > 0 => (body.get(..equals)?, body.get(equals..)?.get(1..)),
            _ => (body, None),
        };
        if word == b"--" {
            self.rest = &[];
            return None;
        }
        let opened = value.and_then(|value| value.strip_prefix(b"\""));
        let unquote = |text: &'a [u8]| match whole.is_some() || opened.is_some() {
            true => text.strip_suffix(b"\"").unwrap_or(text),
            false => text,
        };
        let value = opened.or(value);
        // Both end where their word does, and the word begins in the line: nothing saturates.
        let skipped = word.len().saturating_sub(value.unwrap_or(body).len());
        let offset = self
            .line
            .len()
            .saturating_sub(text.len())
            .saturating_add(skipped);
        Some(Param {
            name: if value.is_none() { unquote(name) } else { name },
            value: value.map(unquote),
            column: offset.saturating_add(1) as u64,
        })
    }
}

impl FusedIterator for Params<'_> {}

/// The kernel's `isspace()`, which knows the no-break space of Latin-1.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

#[cfg(test)]
mod tests {
    use std::{string::String, vec, vec::Vec};

    use super::*;

    fn params(line: &str) -> Vec<(String, Option<String>, u64)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
        let found = Params::new(line.as_bytes());
        found
            .map(|p| (text(p.name), p.value.map(text), p.column))
            .collect()
    }

    #[test]
    fn quotes_and_blanks() {
        let param = |name: &str, value: Option<&str>, column| {
            vec![(name.into(), value.map(String::from), column)]
        };
        for (line, expected) in [
            ("", vec![]),
            (" \n", vec![]),
            ("debug", param("debug", None, 1)),
            ("  a=b=c ", param("a", Some("b=c"), 5)),
            ("a=", param("a", Some(""), 3)),
            ("=a", param("=a", None, 1)),
            ("a=\"b c\"", param("a", Some("b c"), 4)),
            ("\"a=b c\"", param("a", Some("b c"), 4)),
            ("\"a b\"", param("a b", None, 2)),
            ("a=b\"c d\"", param("a", Some("b\"c d\""), 3)),
            ("a=\"b c", param("a", Some("b c"), 4)),
            ("a=b -- c=d", param("a", Some("b"), 3)),
            (
                "a=b\u{b}\"--\"",
                vec![("a".into(), Some("b".into()), 3), ("--".into(), None, 6)],
            ),
        ] {
            assert_eq!(params(line), expected, "{line}");
        }
    }
}
