//! Xen's listing: the old words of Linux, with or without brackets.
//!
//! ```text
//!  (XEN) [0000001b4a3297f3]  [0000000000000000, 000000000009fbff] (usable)
//!  └───────── prefix ──────┘
//! ```
//!
//! Behind `(XEN)` or at the start of a line, and behind a timestamp if there is one. A line cut off
//! inside of its first address cannot be told from others.

use core::fmt;

use memchr::memmem;
use nom::{
    Finish, Parser,
    sequence::{delimited, terminated},
};

use super::{Form, Line};
use crate::{
    RawEntry, Words,
    text::line::{self, Mismatch, expect, hex, literal},
};

const PREFIX: &[u8] = b"(XEN)";
/// Ends of headers: `Xen-e820 RAM map:`, and of a domain's own map `Dom0 memory map:`.
const HEADERS: [&[u8]; 2] = [b" RAM map:", b" memory map:"];

pub(super) fn line(text: &[u8]) -> Result<Line, Mismatch<'_>> {
    let start = text.trim_ascii_start();
    let rest = if is_range(start) {
        start
    } else {
        behind_prefix(start)
    };
    if !is_range(rest) {
        let line = rest.trim_ascii_end();
        let header = HEADERS.iter().any(|end| line.ends_with(end));
        return Ok(if header {
            Line::Header(None)
        } else {
            Line::Other
        });
    }
    let address = || expect("16 lower-case hexadecimal digits", hex(16));
    let mut bracketed = (
        delimited(literal!("["), address(), literal!(", ")),
        terminated(address(), literal!("] ")),
    );
    let mut plain = (
        terminated(address(), literal!(" - ")),
        terminated(address(), literal!(" ")),
    );
    if rest.starts_with(b"[") {
        let (word, range) = bracketed.parse(rest).finish()?;
        let kind = line::kind(Words::Parenthesised, word)?;
        line::inclusive(rest, range, kind).map(|entry| Line::Entry(Form::Xen, entry))
    } else {
        let (word, range) = plain.parse(rest).finish()?;
        let kind = line::kind(Words::Parenthesised, word)?;
        line::exclusive(rest, range, kind).map(|entry| Line::Entry(Form::XenExclusive, entry))
    }
}

/// What follows `(XEN)`, if it is there, and a timestamp in brackets, of ticks or a date.
fn behind_prefix(text: &[u8]) -> &[u8] {
    let prefix = memmem::find(text, PREFIX).and_then(|at| text.get(at..)?.strip_prefix(PREFIX));
    let rest = prefix.unwrap_or(text).trim_ascii_start();
    let timestamp = || {
        let inside = rest.strip_prefix(b"[").filter(|_| !is_range(rest))?;
        let end = inside.iter().position(|&b| b == b']')?;
        inside.get(end..)?.strip_prefix(b"]")
    };
    timestamp().unwrap_or(rest).trim_ascii_start()
}

/// Whether a text begins as an entry does: an address with a comma behind it in brackets, or a
/// blank. Brackets around one number are a timestamp.
fn is_range(text: &[u8]) -> bool {
    let digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let bracket = text.strip_prefix(b"[");
    let address = bracket.unwrap_or(text);
    match address.split_at_checked(16) {
        Some((digits, rest)) => {
            digits.iter().all(digit) && (bracket.is_none() || !rest.starts_with(b"]"))
        }
        None => false,
    }
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, form: Form, entry: &RawEntry) -> fmt::Result {
    let addr = entry.addr;
    // Xen computes ends in 64 bits and prints what comes out.
    let end = addr.wrapping_add(entry.size);
    let word = Words::Parenthesised.word(entry.kind);
    if form == Form::XenExclusive {
        writeln!(f, " {addr:016x} - {end:016x} {word}")
    } else {
        writeln!(f, " [{addr:016x}, {:016x}] {word}", end.wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::super::{Listings, Program, tests::error};
    use crate::{Kind, RawEntry};

    #[test]
    fn any_prefix() {
        let expected = RawEntry {
            addr: 0x9_6400,
            size: 0x9c00,
            kind: Kind::NVS,
        };
        for prefix in [
            "",
            "(XEN) ",
            "> (XEN) ",
            "(XEN) [0000001b4dd165de] ",
            "(XEN) [2021-10-19 19:29:09] ",
        ] {
            for body in [
                " [0000000000096400, 000000000009ffff] (ACPI NVS)",
                " 0000000000096400 - 00000000000a0000 (ACPI NVS)",
            ] {
                let log = format!("{prefix}{body}\r\n");
                let found = Listings::new(log.as_bytes(), Program::Xen).next().unwrap();
                assert_eq!(found.unwrap().entry, expected, "{log}");
            }
        }
    }

    #[test]
    fn damaged_lines_say_where() {
        for (line, message) in [
            (
                "(XEN)  [0000000000000000, 00000000",
                "column 27: expected 16 lower-case",
            ),
            ("(XEN)  [0000000000000000", "column 25: expected `, `"),
            (
                "(XEN)  [0000000000000000, 000000000009fbff] usable",
                "column 45: unknown kind `usable`",
            ),
            (
                "(XEN)  [0000000000001000, 0000000000000ffe] (usable)",
                "column 8: range 0x1000-0xffe ends",
            ),
            (
                "(XEN)  0000000000000000 - 0000",
                "column 27: expected 16 lower-case",
            ),
            (" 0000000000000000-0000", "column 18: expected ` - `"),
        ] {
            let found = error(&format!("\n{line}\n"), Program::Xen);
            assert!(found.starts_with(&format!("line 2, {message}")), "{found}");
        }
    }

    #[test]
    fn lines_that_are_no_entries() {
        let log = b"(XEN) [0000001b2ef8ee5e] Xen image load base address: 0\n(XEN) ACPI: x\n\xff\n[  0.0] x";
        let mut listed = Listings::new(log, Program::Xen);
        assert_eq!((listed.next(), listed.skipped()), (None, 4));
    }
}
