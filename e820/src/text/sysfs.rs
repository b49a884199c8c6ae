//! `/sys/firmware/memmap`: the map of the firmware as the kernel keeps it for kexec, three files an
//! entry.
//!
//! ```text
//!  /sys/firmware/memmap/0/start   0x0
//!                       0/end     0x9fbff              last address, inclusive
//!                       0/type    System RAM
//!                       1/…
//!
//!  all of them in one text:       0 0x0 0x9fbff System RAM
//!                                 ▲
//!                                 name of the folder, the kernel's order
//! ```
//!
//! `memmap_attr_show()` functions in Linux `drivers/firmware/memmap.c` (`0x%llx\n`), types by
//! `e820_type_to_string()` in `arch/x86/kernel/e820.c`. The map is `e820_table_kexec`: what firmware
//! handed over with a few additions of the kernel; memory that is added later comes first.
//!
//! Nothing here opens files: the caller does, in the order of the folders' numbers.

#![deny(clippy::arithmetic_side_effects)]

use core::{fmt, iter::FusedIterator, str};

use nom::{Finish, Parser, bytes::complete::tag, sequence::preceded};

use super::line::{self, Lines, Mismatch, Parsed, Why, expect, hex};
use crate::{Kind, RawEntry, RawMap, Words, error::Result};

/// The entry that the three files of a folder tell: the contents of `start`, `end` and `type`.
///
/// ```
/// use e820::{Kind, RawEntry, text::sysfs};
///
/// let entry = sysfs::entry(b"0x0\n", b"0x9fbff\n", b"System RAM\n")?;
/// assert_eq!(entry, RawEntry { addr: 0, size: 0x9fc00, kind: Kind::RAM });
/// # Ok::<(), e820::Error>(())
/// ```
///
/// # Errors
///
/// As for text of three lines: line 1 is `start`, line 2 `end`, line 3 `type`.
pub fn entry(start: &[u8], end: &[u8], kind: &[u8]) -> Result<RawEntry> {
    let first = address_file(start).map_err(|mismatch| mismatch.in_line(1, start))?;
    let last = address_file(end).map_err(|mismatch| mismatch.in_line(2, end))?;
    let (_, kind) = resource(kind).map_err(|mismatch| mismatch.in_line(3, kind))?;
    let entry = line::inclusive(end, (first, last), kind);
    entry.map_err(|mismatch| mismatch.in_line(2, end))
}

fn address_file(text: &[u8]) -> Result<u64, Mismatch<'_>> {
    let (rest, address) = address(text).finish()?;
    if !rest.trim_ascii().is_empty() {
        let why = Why::Expected("the end of the file");
        return Err(Mismatch { at: rest, why });
    }
    Ok(address)
}

fn address(text: &[u8]) -> Parsed<'_, u64> {
    let what = "`0x` and lower-case hexadecimal digits";
    expect(what, preceded(tag("0x"), hex(1))).parse(text)
}

/// The kind that the rest of a text names, in the newer or the older words.
fn resource(rest: &[u8]) -> Result<(Words, Kind), Mismatch<'_>> {
    let name = str::from_utf8(rest.trim_ascii_end()).ok();
    name.and_then(Words::resource).ok_or(Mismatch {
        at: rest,
        why: Why::Kind(Words::Resource),
    })
}

/// An entry of a text that holds all of them.
///
/// Prints as its line, without a line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SysfsEntry {
    /// The number at the start of the line: the name of the folder.
    pub index: u64,
    /// Line, from 1.
    pub line: u64,
    /// Whose words name the kind: [`Words::Resource`], or [`Words::ResourceBefore4_11`] where that
    /// shows.
    pub words: Words,
    /// The entry.
    pub entry: RawEntry,
}

impl fmt::Display for SysfsEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RawEntry { addr, size, kind } = self.entry;
        // The kernel computes `end - 1` in 64 bits and prints what comes out.
        let last = addr.wrapping_add(size).wrapping_sub(1);
        let name = self.words.word(kind);
        write!(f, "{} {addr:#x} {last:#x} {name}", self.index)
    }
}

/// The entries of a text with one line for each folder: its number, both addresses and the type,
/// with a blank or a tabulator between them.
///
/// An iterator that stops after the first error. Every line is an entry or an error; numbers may
/// come in any order.
///
/// ```
/// use e820::text::sysfs::SysfsEntries;
///
/// let text = b"0 0x0 0x9fbff System RAM\n1 0x9fc00 0x9ffff Reserved\n";
/// let sizes: Vec<_> = SysfsEntries::new(text).map(|e| e.map(|e| e.entry.size)).collect::<Result<_, _>>()?;
/// assert_eq!(sizes, [0x9fc00, 0x400]);
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SysfsEntries<'a>(Lines<'a>);

impl<'a> SysfsEntries<'a> {
    /// Reads a text of any bytes; nothing is looked at yet.
    pub const fn new(text: &'a [u8]) -> Self {
        Self(Lines::new(text))
    }
}

impl Iterator for SysfsEntries<'_> {
    type Item = Result<SysfsEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let (number, text) = self.0.next()?;
        let entry = record(number, text).map_err(|mismatch| mismatch.in_line(number, text));
        if entry.is_err() {
            self.0.stop();
        }
        Some(entry)
    }
}

impl FusedIterator for SysfsEntries<'_> {}

fn record(line: u64, text: &[u8]) -> Result<SysfsEntry, Mismatch<'_>> {
    let (rest, index) = index(text)?;
    let at = rest;
    let (rest, _) = blank(rest).finish()?;
    let (rest, start) = address(rest).finish()?;
    let (rest, _) = blank(rest).finish()?;
    let (rest, last) = address(rest).finish()?;
    let (rest, _) = blank(rest).finish()?;
    let (words, kind) = resource(rest)?;
    let entry = line::inclusive(at.get(1..).unwrap_or_default(), (start, last), kind)?;
    Ok(SysfsEntry {
        index,
        line,
        words,
        entry,
    })
}

fn index(text: &[u8]) -> Result<(&[u8], u64), Mismatch<'_>> {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = text.split_at_checked(count).and_then(|(digits, rest)| {
        // As `%d` prints it: without leading zeros.
        let printed = digits == b"0" || !digits.starts_with(b"0");
        let number = str::from_utf8(digits).ok()?.parse().ok()?;
        printed.then_some((rest, number))
    });
    number.ok_or(Mismatch {
        at: text,
        why: Why::Expected("the number of an entry"),
    })
}

fn blank(text: &[u8]) -> Parsed<'_, char> {
    expect("a blank", nom::character::complete::one_of(" \t")).parse(text)
}

/// The lines of [`RawMap::sysfs_lines`].
#[derive(Debug, Clone, Copy)]
pub struct SysfsLines<'a> {
    entries: &'a [RawEntry],
    words: Words,
}

impl SysfsLines<'_> {
    /// The lines with the names of another kernel: [`Words::ResourceBefore4_11`].
    #[must_use]
    pub const fn words(self, words: Words) -> Self {
        Self { words, ..self }
    }
}

impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// One line for each entry, as [`SysfsEntries`] reads them, each with its line feed: the names
    /// of Linux 4.11 and later, others with [`SysfsLines::words`]. The numbers count from 0.
    ///
    /// ```
    /// use e820::{Kind, RawEntry, RawMap};
    ///
    /// let map = RawMap::new([RawEntry { addr: 0, size: 0x9fc00, kind: Kind::RAM }]);
    /// assert_eq!(map.sysfs_lines().to_string(), "0 0x0 0x9fbff System RAM\n");
    /// ```
    pub fn sysfs_lines(&self) -> SysfsLines<'_> {
        SysfsLines {
            entries: self.entries(),
            words: Words::Resource,
        }
    }
}

impl fmt::Display for SysfsLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words;
        let mut numbered = (0..).zip(self.entries);
        numbered.try_for_each(|(index, &entry)| {
            let line = 0;
            writeln!(
                f,
                "{}",
                SysfsEntry {
                    index,
                    line,
                    words,
                    entry
                }
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString, vec::Vec};

    use super::*;

    #[test]
    fn three_files_make_an_entry() {
        for end in ["\n", "", "\r\n"] {
            let file = |text: &str| format!("{text}{end}");
            let (start, last, kind) = (file("0x100000"), file("0x1fffff"), file("Unusable memory"));
            assert_eq!(
                entry(start.as_bytes(), last.as_bytes(), kind.as_bytes()),
                Ok(RawEntry {
                    addr: 0x10_0000,
                    size: 0x10_0000,
                    kind: Kind::UNUSABLE
                })
            );
        }
    }

    #[test]
    fn damaged_files_say_which_and_where() {
        for (start, end, kind, message) in [
            (
                "",
                "0x1",
                "Reserved",
                "line 1, column 1: expected `0x` and lower-case",
            ),
            (
                "0x00",
                "0x1",
                "Reserved",
                "line 1, column 1: expected `0x` and lower-case",
            ),
            ("0x0", "0xG", "Reserved", "line 2, column 1: expected `0x`"),
            (
                "0x0",
                "0x1 0x2",
                "Reserved",
                "line 2, column 4: expected the end of the file",
            ),
            (
                "0x10000000000000000",
                "0x1",
                "Reserved",
                "line 1, column 19: expected the end",
            ),
            (
                "0x0",
                "0x1",
                "usable",
                "line 3, column 1: unknown kind `usable`, known: System RAM,",
            ),
            (
                "0x5",
                "0x1",
                "Reserved",
                "line 2, column 1: range 0x5-0x1 ends before it starts",
            ),
        ] {
            let found = entry(start.as_bytes(), end.as_bytes(), kind.as_bytes());
            let found = found.unwrap_err().to_string();
            assert!(found.starts_with(message), "{found}");
        }
    }

    #[test]
    fn damaged_lines_say_where() {
        for (line, message) in [
            ("", "column 1: expected the number of an entry"),
            (
                "01 0x0 0x1 Reserved",
                "column 1: expected the number of an entry",
            ),
            (
                "99999999999999999999 0x0 0x1 Reserved",
                "column 1: expected the number",
            ),
            ("1", "column 2: expected a blank"),
            ("1  0x0 0x1 Reserved", "column 3: expected `0x`"),
            ("1 0x0 0x1", "column 10: expected a blank"),
            (
                "1 0x0 0x1 \u{e9}",
                "column 11: unknown kind `\\xc3\\xa9`, known: System RAM",
            ),
            (
                "1 0x2 0x0 Reserved",
                "column 3: range 0x2-0x0 ends before it starts",
            ),
        ] {
            let text = format!("0 0x0 0x1 Reserved\n{line}\n2 0x0 0x1 Reserved\n");
            let mut entries = SysfsEntries::new(text.as_bytes());
            assert!(matches!(entries.next(), Some(Ok(_))));
            let found = entries.next().unwrap().unwrap_err().to_string();
            assert!(found.starts_with(&format!("line 2, {message}")), "{found}");
            assert_eq!(entries.next(), None);
        }
    }

    #[test]
    fn names_of_both_times() {
        let text = "7\t0x0\t0xfff\treserved\n8 0x1000 0xfff System RAM\n";
        let found: Result<Vec<_>> = SysfsEntries::new(text.as_bytes()).collect();
        let [reserved, ram] = found.unwrap()[..] else {
            panic!()
        };
        assert_eq!((reserved.index, reserved.line, ram.line), (7, 1, 2));
        assert_eq!(
            (reserved.words, ram.words),
            (Words::ResourceBefore4_11, Words::Resource)
        );
        let map = RawMap::new([reserved.entry, ram.entry]);
        assert_eq!(
            map.sysfs_lines()
                .words(Words::ResourceBefore4_11)
                .to_string(),
            "0 0x0 0xfff reserved\n1 0x1000 0xfff System RAM\n"
        );
    }
}
