//! GRUB's listing: an address, a length and a kind.
//!
//! ```text
//!  base_addr = 0x9fc00, length = 0x400, reserved RAM
//! ```
//!
//! GRUB 1.9x tells every kind by number, `type = 0x2`; GRUB 2 does so for kinds without a name. Only
//! the untranslated names are understood.

use core::fmt;

use memchr::memmem;
use nom::{Finish, Parser, sequence::delimited};

use super::{Form, Line};
use crate::{
    Kind, RawEntry, Words,
    text::line::{self, Mismatch, expect, hex, literal},
};

const START: &str = "base_addr = 0x";

pub(super) fn line(text: &[u8]) -> Result<Line, Mismatch<'_>> {
    let Some(rest) = memmem::find(text, START.as_bytes()).and_then(|at| text.get(at..)) else {
        return Ok(Line::Other);
    };
    let number = || expect("lower-case hexadecimal digits", hex(1));
    let mut range = (
        delimited(
            literal!("base_addr = 0x"),
            number(),
            literal!(", length = 0x"),
        ),
        number(),
        literal!(", "),
    );
    let (word, (addr, size, _)) = range.parse(rest).finish()?;
    let kind = line::kind(Words::Grub, word)?;
    let by_number = word.starts_with(b"type = ") && has_name(kind);
    let form = if by_number {
        Form::GrubNumbers
    } else {
        Form::Grub
    };
    Ok(Line::Entry(form, RawEntry { addr, size, kind }))
}

fn has_name(kind: Kind) -> bool {
    matches!(kind.0, 1..=5 | 7 | 12 | 16 | 20)
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, form: Form, entry: &RawEntry) -> fmt::Result {
    let RawEntry { addr, size, kind } = entry;
    write!(f, "base_addr = {addr:#x}, length = {size:#x}, ")?;
    if form == Form::GrubNumbers {
        writeln!(f, "type = {:#x}", kind.0)
    } else {
        writeln!(f, "{}", Words::Grub.word(*kind))
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use super::{
        super::{Listings, Program, tests::error},
        *,
    };

    #[test]
    fn exactly_the_kinds_with_a_name_print_one() {
        for number in 0..300 {
            let word = Words::Grub.word(Kind(number)).to_string();
            assert_eq!(has_name(Kind(number)), !word.starts_with("type"), "{word}");
        }
    }

    #[test]
    fn a_size_may_pass_the_end_of_the_address_space() {
        let log = b"base_addr = 0xffffffffffffffff, length = 0xffffffffffffffff, type = 0x6";
        let found = Listings::new(log, Program::Grub).next().unwrap().unwrap();
        assert_eq!(found.form, Form::Grub);
        assert_eq!((found.entry.addr, found.entry.size), (u64::MAX, u64::MAX));
    }

    #[test]
    fn damaged_lines_say_where() {
        for (line, message) in [
            (
                "base_addr = 0x",
                "column 15: expected lower-case hexadecimal digits",
            ),
            (
                "base_addr = 0x1 length = 0x2, type = 0x1",
                "column 16: expected `, length = 0x`",
            ),
            ("base_addr = 0x0, length = 0x2", "column 30: expected `, `"),
            (
                "base_addr = 0x0, length = 0x2, RAM",
                "column 32: unknown kind `RAM`, known: available RAM",
            ),
        ] {
            let found = error(&format!("grub> lsmmap\n{line}\n"), Program::Grub);
            assert!(found.starts_with(&format!("line 2, {message}")), "{found}");
        }
    }
}
