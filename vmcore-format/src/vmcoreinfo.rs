//! VMCOREINFO: what a kernel says about itself for whoever reads its dump.
//!
//! ```text
//! OSRELEASE=6.1.0-56-cloud-amd64          free text
//! PAGESIZE=4096                           decimal
//! SYMBOL(init_top_pgt)=ffffffffa8c10000   hexadecimal without 0x, KASLR included
//! SIZE(page)=64                           decimal bytes; OFFSET(s.field), LENGTH(array) likewise
//! NUMBER(phys_base)=-389021696            decimal, may be negative, or hexadecimal with 0x
//! KERNELOFFSET=25800000                   hexadecimal without 0x
//! CONFIG_X86_PAE=y
//! CRASHTIME=1763884800                    decimal seconds, appended at the panic
//! ```
//!
//! The kernel writes it line by line into one page (`vmcoreinfo_append_str`, kernel/vmcore_info.c,
//! and each architecture's `arch_crash_save_vmcoreinfo`), where it may be cut short; it travels as the
//! descriptor of an ELF note named `VMCOREINFO`. If a key occurs twice the first one counts, as it
//! does in makedumpfile and crash. A carriage return at the end of a line, which an editor may leave in a text of its
//! own, is no part of it.

#![deny(clippy::arithmetic_side_effects)]

use core::str;

use nom::{
    Parser,
    bytes::complete::tag,
    character::complete::{char, digit1, hex_digit1},
    combinator::{all_consuming, opt, recognize},
    sequence::{pair, preceded},
};

use physmem::PageShift;

use crate::Error;

mod builder;

pub use builder::{Builder, Entry, LINE_MAX};

/// The name of the ELF note that carries the text.
pub const NOTE_NAME: &[u8] = b"VMCOREINFO";

const LINE: &str = "KEY=VALUE in UTF-8";
const HEX: &str = "hexadecimal digits of at most 64 bits";
const DECIMAL: &str = "decimal digits of at most 64 bits";
const PAGE_SIZE: &str = "a power of two from 4096 to 1073741824";
const NUMBER: &str = "a decimal, negative or 0x number of at most 64 bits";

/// The text, looked up in place. Nothing is checked before it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vmcoreinfo<'a> {
    text: &'a [u8],
    offset: u64,
}

/// One line of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What is before the first `=`.
    pub key: &'a str,
    /// What is after it.
    pub value: &'a str,
}

impl<'a> Vmcoreinfo<'a> {
    /// Takes the text of a note or of a file; `offset` is where it begins in its file, for errors.
    ///
    /// NULs at the end, which some writers leave there, do not belong to it.
    pub fn new(text: &'a [u8], offset: u64) -> Self {
        let padding = text.iter().rev().take_while(|byte| **byte == 0).count();
        // Saturating: no more NULs than bytes.
        let (text, _) = text.split_at(text.len().saturating_sub(padding));
        Self { text, offset }
    }

    /// The text as found.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Every line in order.
    pub fn lines(&self) -> Lines<'a> {
        Lines {
            raw: self.raw_lines(),
            failed: false,
        }
    }

    /// The value of `key`, spelled as in the text: `OSRELEASE`, `SYMBOL(init_uts_ns)`.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is not UTF-8.
    pub fn get(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.find(&[key, "="])
            .map(|found| found.value())
            .transpose()
    }

    /// `OSRELEASE`: the kernel's release, as `uname -r` prints it.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is not UTF-8.
    pub fn os_release(&self) -> Result<Option<&'a str>, Error> {
        self.get("OSRELEASE")
    }

    /// `BUILD-ID`: the GNU build id in hexadecimal, since Linux 5.9.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is not UTF-8.
    pub fn build_id(&self) -> Result<Option<&'a str>, Error> {
        self.get("BUILD-ID")
    }

    /// `PAGESIZE`: the kernel's page size.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no page size of 4 KiB to 1 GiB in decimal.
    pub fn page_size(&self) -> Result<Option<PageShift>, Error> {
        self.parsed(&["PAGESIZE="], "VMCOREINFO PAGESIZE", PAGE_SIZE, |text| {
            PageShift::from_bytes(decimal(text)?)
        })
    }

    /// `KERNELOFFSET`: how far KASLR moved the kernel from its link address, in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no hexadecimal number.
    pub fn kernel_offset(&self) -> Result<Option<u64>, Error> {
        self.parsed(
            &["KERNELOFFSET="],
            "VMCOREINFO KERNELOFFSET",
            HEX,
            hexadecimal,
        )
    }

    /// `KERNELOFFPHYS`: where in physical memory lies what is virtually at [`Vmcoreinfo::kernel_offset`]; s390x, Linux 6.10
    /// and later.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no hexadecimal number.
    pub fn kernel_phys(&self) -> Result<Option<u64>, Error> {
        self.parsed(
            &["KERNELOFFPHYS="],
            "VMCOREINFO KERNELOFFPHYS",
            HEX,
            hexadecimal,
        )
    }

    /// `CRASHTIME`: when the kernel panicked, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no decimal number.
    pub fn crash_time(&self) -> Result<Option<u64>, Error> {
        self.parsed(&["CRASHTIME="], "VMCOREINFO CRASHTIME", DECIMAL, decimal)
    }

    /// `SYMBOL(name)`: the symbol's virtual address at run time.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no hexadecimal number.
    pub fn symbol(&self, name: &str) -> Result<Option<u64>, Error> {
        self.parsed(
            &["SYMBOL(", name, ")="],
            "VMCOREINFO SYMBOL",
            HEX,
            hexadecimal,
        )
    }

    /// `SIZE(name)`: a type's size in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no decimal number.
    pub fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        self.parsed(&["SIZE(", name, ")="], "VMCOREINFO SIZE", DECIMAL, decimal)
    }

    /// `OFFSET(type.field)`: a field's offset in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no decimal number.
    pub fn field_offset(&self, name: &str) -> Result<Option<u64>, Error> {
        self.parsed(
            &["OFFSET(", name, ")="],
            "VMCOREINFO OFFSET",
            DECIMAL,
            decimal,
        )
    }

    /// `LENGTH(name)`: an array's number of elements.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no decimal number.
    pub fn length(&self, name: &str) -> Result<Option<u64>, Error> {
        self.parsed(
            &["LENGTH(", name, ")="],
            "VMCOREINFO LENGTH",
            DECIMAL,
            decimal,
        )
    }

    /// `NUMBER(name)`: a value of the kernel's, as the bits of a 64-bit word.
    ///
    /// Most are small decimals; `phys_base` is signed, and arm64 and riscv64 write addresses as
    /// `0x…`. A negative number comes as its two's complement: `as i64` gives it back.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] for what is no number of at most 64 bits.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        self.parsed(
            &["NUMBER(", name, ")="],
            "VMCOREINFO NUMBER",
            NUMBER,
            number,
        )
    }

    /// `CONFIG_name=y`: whether the kernel was built with it. Few are told.
    pub fn config(&self, name: &str) -> bool {
        self.find(&["CONFIG_", name, "="])
            .is_some_and(|found| found.value == b"y")
    }

    fn raw_lines(&self) -> RawLines<'a> {
        RawLines {
            rest: self.text,
            offset: self.offset,
        }
    }

    /// The first line that begins with all of `prefix`, one part after the other.
    fn find(&self, prefix: &[&str]) -> Option<Found<'a>> {
        self.raw_lines().find_map(|line| {
            let value = prefix
                .iter()
                .try_fold(line.bytes, |rest, part| rest.strip_prefix(part.as_bytes()))?;
            // The value is the line's tail, so the difference is where it begins.
            let skipped = line.bytes.len().abs_diff(value.len()) as u64;
            // Saturating: only a caller's wrong `offset` is that high.
            let offset = line.offset.saturating_add(skipped);
            Some(Found { value, offset })
        })
    }

    /// What `value` makes of the text after `prefix`; if nothing, an error that says `what` it is and what was `expected`.
    pub(crate) fn parsed<T>(
        &self,
        prefix: &[&str],
        what: &'static str,
        expected: &'static str,
        value: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(found) = self.find(prefix) else {
            return Ok(None);
        };
        match value(found.value()?) {
            Some(value) => Ok(Some(value)),
            None => Err(found.refused(what, expected)),
        }
    }

    /// The error that `value`, which stands after `prefix`, cannot be.
    #[cfg(feature = "alloc")]
    pub(crate) fn refused(
        &self,
        prefix: &[&str],
        field: &'static crate::Field,
        value: u64,
    ) -> Error {
        Error::BadField {
            field,
            offset: self.find(prefix).map_or(self.offset, |found| found.offset),
            value,
        }
    }
}

/// The value of a line and where it begins in the file.
struct Found<'a> {
    value: &'a [u8],
    offset: u64,
}

impl<'a> Found<'a> {
    fn value(&self) -> Result<&'a str, Error> {
        str::from_utf8(self.value).map_err(|_| self.refused("VMCOREINFO line", LINE))
    }

    fn refused(&self, what: &'static str, expected: &'static str) -> Error {
        Error::BadText {
            what,
            offset: self.offset,
            expected,
        }
    }
}

/// A line's bytes without its end, and where it begins in the file.
struct RawLine<'a> {
    bytes: &'a [u8],
    offset: u64,
}

#[derive(Debug, Clone)]
struct RawLines<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Iterator for RawLines<'a> {
    type Item = RawLine<'a>;

    fn next(&mut self) -> Option<RawLine<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut halves = self.rest.splitn(2, |byte| *byte == b'\n');
        let line = halves.next()?;
        let line = RawLine {
            bytes: line.strip_suffix(b"\r").unwrap_or(line),
            offset: self.offset,
        };
        let rest = halves.next().unwrap_or_default();
        let taken = self.rest.len().abs_diff(rest.len()) as u64;
        // Saturating: only a caller's wrong `offset` is that high.
        self.offset = self.offset.saturating_add(taken);
        self.rest = rest;
        Some(line)
    }
}

/// The iterator made by [`Vmcoreinfo::lines`]; it stops after the first error.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    raw: RawLines<'a>,
    failed: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let raw = self.raw.find(|line| !line.bytes.is_empty())?;
        let line = Found {
            value: raw.bytes,
            offset: raw.offset,
        };
        let parsed = line.value().and_then(|text| match text.split_once('=') {
            Some((key, value)) if is_key(key) => Ok(Line { key, value }),
            _ => Err(line.refused("VMCOREINFO line", LINE)),
        });
        self.failed = parsed.is_err();
        Some(parsed)
    }
}

/// Whether it can be a key, as the builder has it: the head of a note, for one, is none.
fn is_key(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

fn complete<'s>(
    parser: impl Parser<&'s str, Output = &'s str, Error = nom::error::Error<&'s str>>,
    text: &'s str,
) -> Option<&'s str> {
    all_consuming(parser)
        .parse_complete(text)
        .ok()
        .map(|(_, digits)| digits)
}

fn decimal(text: &str) -> Option<u64> {
    complete(digit1, text)?.parse().ok()
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(complete(hex_digit1, text)?, 16).ok()
}

/// `-123`, `123` or `0x7b`, as the bits of a 64-bit word.
pub(crate) fn number(text: &str) -> Option<u64> {
    let prefixed = preceded(tag("0x"), hex_digit1);
    if let Some(digits) = complete(prefixed, text) {
        return u64::from_str_radix(digits, 16).ok();
    }
    let digits = complete(recognize(pair(opt(char('-')), digit1)), text)?;
    let bits = |negative: i64| u64::from_ne_bytes(negative.to_ne_bytes());
    digits
        .parse()
        .ok()
        .or_else(|| digits.parse().ok().map(bits))
}

#[cfg(test)]
mod tests {
    use std::{
        format,
        string::{String, ToString},
        vec::Vec,
    };

    use proptest::prelude::*;

    use super::*;

    const REAL: &[u8] = b"OSRELEASE=6.1.0-56-cloud-amd64\nPAGESIZE=4096\n\
        SYMBOL(swapper_pg_dir)=ffffffffa8210000\nSIZE(page)=64\nOFFSET(page.flags)=0\n\
        LENGTH(zone.free_area)=11\nNUMBER(phys_base)=-387973120\nNUMBER(KERNELPACMASK)=0xff7f000000000000\n\
        KERNELOFFSET=25800000\nCONFIG_X86_PAE=y\nCRASHTIME=1795391635\n";

    fn info(text: &[u8]) -> Vmcoreinfo<'_> {
        Vmcoreinfo::new(text, 0x1000)
    }

    #[test]
    fn every_kind_of_line() {
        let info = info(REAL);
        assert_eq!(info.os_release(), Ok(Some("6.1.0-56-cloud-amd64")));
        assert_eq!(info.page_size(), Ok(Some(PageShift::SIZE_4K)));
        assert_eq!(
            info.symbol("swapper_pg_dir"),
            Ok(Some(0xffff_ffff_a821_0000))
        );
        assert_eq!(info.size("page"), Ok(Some(64)));
        assert_eq!(info.field_offset("page.flags"), Ok(Some(0)));
        assert_eq!(info.length("zone.free_area"), Ok(Some(11)));
        assert_eq!(info.number("phys_base"), Ok(Some(0xffff_ffff_e8e0_0000)));
        assert_eq!(
            info.number("KERNELPACMASK"),
            Ok(Some(0xff7f_0000_0000_0000))
        );
        assert_eq!(info.kernel_offset(), Ok(Some(0x2580_0000)));
        assert_eq!(info.crash_time(), Ok(Some(1_795_391_635)));
        assert!(info.config("X86_PAE") && !info.config("ARM_LPAE"));
        assert_eq!(info.symbol("init_top_pgt"), Ok(None));
        assert_eq!(info.build_id(), Ok(None));
        assert_eq!(info.lines().count(), 11);
    }

    #[test]
    fn a_key_is_matched_whole_and_the_first_one_counts() {
        let info = info(b"XLENGTH(x)=1\nLENGTH(x)=2\nLENGTH(x)=3\nSYMBOL(a)b=4\n");
        assert_eq!(info.length("x"), Ok(Some(2)));
        assert_eq!(info.get("SYMBOL(a)"), Ok(None));
        assert_eq!(info.symbol("a"), Ok(None));
    }

    #[test]
    fn a_bad_value_is_an_error_where_it_begins() {
        let refused = |text: &'static [u8]| info(text).number("n").unwrap_err().to_string();
        assert_eq!(
            refused(b"A=1\nNUMBER(n)=12x\n"),
            "offset 0x100e: VMCOREINFO NUMBER: expected a decimal, negative or 0x number of at most 64 bits"
        );
        for bad in [
            "",
            "-",
            "0x",
            "--1",
            "18446744073709551616",
            "-9223372036854775809",
            " 1",
            "\r1",
            "1\r\r",
        ] {
            assert!(
                info(format!("NUMBER(n)={bad}\n").as_bytes())
                    .number("n")
                    .is_err(),
                "{bad:?}"
            );
            assert!(
                info(format!("PAGESIZE={bad}\n").as_bytes())
                    .page_size()
                    .is_err(),
                "{bad:?}"
            );
        }
        assert!(info(b"PAGESIZE=-1\n").page_size().is_err());
        assert!(info(b"KERNELOFFSET=0x10\n").kernel_offset().is_err());
    }

    #[test]
    fn a_cut_text_and_nuls_behind_it() {
        assert_eq!(
            info(b"OSRELEASE=6.1\nCRASHTIME=40").crash_time(),
            Ok(Some(40))
        );
        assert_eq!(info(b"OSRELEASE=6.1\0\0\0").os_release(), Ok(Some("6.1")));
        assert_eq!(info(b"\0\0").text(), b"");
    }

    #[test]
    fn lines_may_end_as_on_windows() {
        let text = String::from_utf8(REAL.to_vec()).unwrap();
        let text = text.replace('\n', "\r\n");
        let (with, without) = (info(text.as_bytes()), info(REAL));
        assert!(with.lines().eq(without.lines()));
        assert_eq!(with.page_size(), Ok(Some(PageShift::SIZE_4K)));
        assert!(with.config("X86_PAE"));
        let wrong = info(b"A=1\r\n\r\nPAGESIZE=4095\r\n").page_size();
        assert!(matches!(wrong, Err(Error::BadText { offset: 0x1010, .. })));
    }

    #[test]
    fn a_key_has_no_nul() {
        let mut note = b"\x0b\0\0\0\x40\0\0\0\0\0\0\0VMCOREINFO\0\0".to_vec();
        note.extend(b"OSRELEASE=6.1\nPAGESIZE=4096\n");
        let refused = info(&note).lines().next().unwrap().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "offset 0x1000: VMCOREINFO line: expected KEY=VALUE in UTF-8"
        );
        assert_eq!(info(b"A=\x01\r\n").lines().map(Result::unwrap).count(), 1);
    }

    #[test]
    fn broken_lines_do_not_hide_others_but_end_the_list() {
        let info = info(b"OSRELEASE=6.1\n\xff=1\nno equals sign\nPAGESIZE=4096\n");
        assert_eq!(info.page_size(), Ok(Some(PageShift::SIZE_4K)));
        let lines: Vec<_> = info.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            Ok(Line {
                key: "OSRELEASE",
                value: "6.1"
            })
        );
        assert!(matches!(
            lines[1],
            Err(Error::BadText { offset: 0x100e, .. })
        ));
    }

    proptest! {
        #[test]
        fn numbers_survive(bits: u64, hex: bool) {
            let signed = i64::from_ne_bytes(bits.to_ne_bytes());
            let text = if hex { format!("NUMBER(n)={bits:#x}\n") } else { format!("NUMBER(n)={signed}\n") };
            prop_assert_eq!(info(text.as_bytes()).number("n"), Ok(Some(bits)));
        }

        #[test]
        fn whatever_the_lines_a_look_up_finds_the_first(
            lines in prop::collection::vec(
                prop_oneof![
                    "(NUMBER|SYMBOL)\\((a|b)\\)=-?(0x)?[0-9a-f]{0,18}",
                    "(PAGESIZE|a|b|)=.{0,4}",
                    "[a=()]{0,6}",
                ],
                0..8,
            ),
            broken in prop::option::of((0..60_usize, any::<u8>())),
        ) {
            let mut text = lines.join("\n").into_bytes();
            if let Some((at, byte)) = broken {
                if let Some(slot) = text.get_mut(at) {
                    *slot = byte;
                }
            }
            let info = info(&text);
            let sound: Vec<_> = info.lines().map_while(Result::ok).collect();
            for line in &sound {
                let first = sound.iter().find(|other| other.key == line.key).map(|line| line.value);
                prop_assert_eq!(info.get(line.key), Ok(first));
            }
            if let Ok(Some(value)) = info.number("a") {
                let text = info.get("NUMBER(a)").unwrap().unwrap();
                let digits = text.trim_start_matches('-');
                let read = match digits.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => digits.parse(),
                };
                let negative = text.starts_with('-');
                let read = read.map(|read| if negative { read.wrapping_neg() } else { read });
                prop_assert_eq!(read, Ok(value));
            }
        }
    }
}
