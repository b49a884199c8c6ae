//! The memory maps in a kernel log, of every Linux that prints them.
//!
//! ```text
//!  [    0.000000] BIOS-provided physical RAM map:
//!  [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//!  └─────┬──────┘ └───┬───┘  └──────────────────────┬──────────────────────┘
//!    log prefix   source word                 body, in one of three forms
//! ```
//!
//! `e820__print_table()` in Linux `arch/x86/kernel/e820.c` (before 4.12 `e820_print_map()`). The
//! body changed with 3.5 and with 7.0, see [`Form`]. The kernel prints a map sorted and disjoint,
//! but nothing here relies on it.
//!
//! **Which lines are map lines.** Those with a [source word](Who), `: ` and a body after it. Before
//! the word may stand whatever loggers put there: timestamps of the kernel, of `dmesg -T`, `-x` and
//! `-r`, of syslog and journald, blanks, nothing. What follows must be complete and exact, else it
//! is an error: a damaged line must not shrink the map. All other lines, of any bytes, are skipped
//! and counted.
//!
//! **Several maps.** A log may hold the maps of several sources and of several boots; entries say
//! to which one they belong, counted from 0. A new map begins with another source word, after a
//! `… physical RAM map:` header, and where the entry with which the current one began appears again
//! (boots in a log from which somebody has cut out the map lines alone).
//!
//! **What is in a log beside maps.** [`LogEntries`] reads the maps alone. [`LogItems`] also reads
//! gaps, and the [edits](Edit) by which the kernel tells how it changes its map.

#![deny(clippy::arithmetic_side_effects)]

mod edit;
mod form;
mod maps;
mod who;

use core::iter::FusedIterator;

use physmem::PhysRange;

use self::{edit::Edits, maps::Maps};
pub use self::{
    edit::{Edit, LogEdit},
    form::{Form, LogLines},
    who::Who,
};
use super::line::Lines;
use crate::{RawEntry, error::Result};

/// An entry of one of the maps in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry {
    /// Source of the map.
    pub who: Who,
    /// Number of the map in the log, from 0, whatever its source.
    pub map: u64,
    /// Line, from 1.
    pub line: u64,
    /// The generation of the line.
    pub form: Form,
    /// The entry.
    pub entry: RawEntry,
}

/// A gap of one of the maps in a log, as Linux 7.0 and later print it: what the entry before it and
/// the one after it leave between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGap {
    /// Source of the map.
    pub who: Who,
    /// Line, from 1.
    pub line: u64,
    /// The gap.
    pub range: PhysRange,
}

/// What a line of a log says about memory maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogItem {
    /// An entry of a map.
    Entry(LogEntry),
    /// A gap of a map.
    Gap(LogGap),
    /// What the kernel does to its map.
    Edit(LogEdit),
}

/// The entries of all maps in a log, in its order.
///
/// An iterator that stops after the first error.
///
/// ```
/// use e820::text::dmesg::{LogEntries, Who};
///
/// let log = b"\
/// [    0.000000] Command line: memmap=exactmap memmap=640K@0
/// [    0.000000] BIOS-provided physical RAM map:
/// [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
/// [    0.000000] user-defined physical RAM map:
/// [    0.000000] user: [mem 0x0000000000000000-0x000000000009ffff] usable
/// ";
/// let mut entries = LogEntries::new(log);
/// let sizes: Vec<_> = entries.by_ref().map(|e| e.map(|e| (e.who, e.map, e.entry.size))).collect::<Result<_, _>>()?;
/// assert_eq!(sizes, [(Who::BiosE820, 0, 0x9fc00), (Who::User, 1, 0xa0000)]);
/// assert_eq!(entries.skipped(), 3);
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LogEntries<'a> {
    lines: Lines<'a>,
    maps: Maps,
    skipped: u64,
}

/// The entries and gaps of all maps in a log and the edits of the kernel, in its order.
///
/// An iterator that stops after the first error, be it that of a damaged edit.
///
/// ```
/// use e820::text::dmesg::{LogItem, LogItems};
///
/// let log = b"\
/// [    0.000000] BIOS-e820: [gap 0x0000000000000000-0x0000000000000fff]
/// [    0.000000] BIOS-e820: [mem 0x0000000000001000-0x0000000003e61fff]  System RAM
/// [    0.004000] e820: update [mem 0x00000000-0x00000fff] System RAM ==> device reserved
/// ";
/// let items: Vec<_> = LogItems::new(log).collect::<Result<_, _>>()?;
/// assert!(matches!(items[..], [LogItem::Gap(_), LogItem::Entry(_), LogItem::Edit(_)]));
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LogItems<'a> {
    lines: Lines<'a>,
    maps: Maps,
    edits: Edits,
    skipped: u64,
}

impl<'a> LogEntries<'a> {
    /// Reads a log of any bytes; nothing is looked at yet.
    pub fn new(log: &'a [u8]) -> Self {
        Self {
            lines: Lines::new(log),
            maps: Maps::new(),
            skipped: 0,
        }
    }

    /// How many lines that hold no entry of a map have been passed so far.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Iterator for LogEntries<'_> {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, line) = self.lines.next()?;
            match self.maps.read(number, line) {
                Ok(Some(LogItem::Entry(entry))) => return Some(Ok(entry)),
                // Cannot saturate: there are fewer such lines than lines.
                Ok(_) => self.skipped = self.skipped.saturating_add(1),
                Err(error) => {
                    self.lines.stop();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for LogEntries<'_> {}

impl<'a> LogItems<'a> {
    /// Reads a log of any bytes; nothing is looked at yet.
    pub fn new(log: &'a [u8]) -> Self {
        Self {
            lines: Lines::new(log),
            maps: Maps::new(),
            edits: Edits::new(),
            skipped: 0,
        }
    }

    /// How many lines that say nothing about maps have been passed so far.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn read(&mut self, number: u64, line: &[u8]) -> Result<Option<LogItem>> {
        let item = self.maps.read(number, line)?;
        if item.is_some() {
            return Ok(item);
        }
        let edit = self.edits.read(number, line).transpose();
        let edit = edit.map_err(|mismatch| mismatch.in_line(number, line))?;
        Ok(edit.map(LogItem::Edit))
    }
}

impl Iterator for LogItems<'_> {
    type Item = Result<LogItem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, line) = self.lines.next()?;
            match self.read(number, line) {
                Ok(Some(item)) => return Some(Ok(item)),
                // Cannot saturate: there are fewer such lines than lines.
                Ok(None) => self.skipped = self.skipped.saturating_add(1),
                Err(error) => {
                    self.lines.stop();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for LogItems<'_> {}

#[cfg(test)]
mod tests {
    use std::{
        format,
        string::{String, ToString},
        vec::Vec,
    };

    use super::*;
    use crate::{Error, Kind, RawMap};

    const LINE: &str = "BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff] usable";

    fn read(log: impl AsRef<[u8]>) -> Result<Vec<LogEntry>> {
        LogEntries::new(log.as_ref()).collect()
    }

    fn error(log: impl AsRef<[u8]>) -> String {
        read(log).unwrap_err().to_string()
    }

    #[test]
    fn any_log_prefix() {
        let expected = RawEntry {
            addr: 0x1000,
            size: 0x9ec00,
            kind: Kind::RAM,
        };
        for prefix in [
            "",
            "    ",
            "> ",
            "<6>",
            "[    0.000000] ",
            "[    0.000000][    T0] ",
            "<6>[    0.000000] ",
            "[Thu Nov 12 10:00:00 2026] ",
            "kern  :info  : [    0.000000] ",
            "6,1,0,-;",
            "Nov 12 10:00:00 host kernel: [    0.000000] ",
            "Nov 12 10:00:00 host kernel: ",
            "2026-11-12T10:00:00+0000 host kernel: ",
            "2026-11-12T10:00:00Z ",
            "10:00:00 ",
            "e820: ",
        ] {
            for who in Who::ALL {
                let line = format!("{prefix}{}", LINE.replace("BIOS-e820", who.as_str()));
                for end in ["", "\n", "\r\n", "\r\r\n", " \n"] {
                    let found = read(format!("{line}{end}")).unwrap();
                    assert_eq!(
                        found,
                        [LogEntry {
                            who: *who,
                            map: 0,
                            line: 1,
                            form: Form::From3_5,
                            entry: expected
                        }],
                        "{line}"
                    );
                }
            }
        }
        assert_eq!(
            read([b"\xff\xfe ", LINE.as_bytes()].concat())
                .unwrap()
                .len(),
            1
        );
        assert_eq!(read(format!("console.log INFO {LINE}")).unwrap().len(), 1);
    }

    #[test]
    fn lines_that_are_no_map_lines() {
        let range = "[mem 0x0000000000001000-0x000000000009fbff] usable";
        for line in [
            format!("[    0.000000] the user: {range}"),
            format!("[    0.000000] superuser: {range}"),
            format!("[    0.000000] new-user: {range}"),
            format!("[    0.000000] booting on Xen: {range}"),
            format!("[    0.000000] pseudoBIOS-e820: {range}"),
            format!("[    0.000000] somebody: {range}"),
            format!("[    0.000000] user {range}"),
            "[    0.000000] user: 1000".into(),
            "[    0.000000] RAMDISK: [mem 0x1fcf5000-0x1ffcffff]".into(),
            "[    0.000000] e820: update [mem 0x00000000-0x00000fff] usable ==> reserved".into(),
            "sudo: COMMAND=/usr/bin/grep BIOS-e820: /var/log/kern.log".into(),
            "BIOS-e820".into(),
            String::new(),
        ] {
            let mut entries = LogEntries::new(line.as_bytes());
            assert_eq!(entries.next(), None, "{line}");
            assert_eq!(entries.skipped(), u64::from(!line.is_empty()));
        }
        let mut entries = LogEntries::new(b"\xff\xff\n\n\0: [mem \xff");
        assert_eq!((entries.next(), entries.skipped()), (None, 3));
    }

    #[test]
    fn damaged_map_lines_say_where() {
        for (line, message) in [
            (
                "BIOS-e820: [mem ",
                "column 17: expected `0x` and 16 lower-case hexadecimal digits",
            ),
            (
                "BIOS-e820: [mem 0x1000-0x1fff] usable",
                "column 17: expected `0x` and 16",
            ),
            (
                "BIOS-e820: [mem 0x00000000000010000-0x",
                "column 35: expected `-` after 16 digits",
            ),
            (
                "user: [mem 0x0000000000001000-0x000000000009FBFF] usable",
                "column 31: expected `0x` and",
            ),
            (
                "user: [mem 0x0000000000001000-0x000000000009fbff usable",
                "column 49: expected `] `",
            ),
            (
                "user: [mem 0x0000000000001000-0x000000000009fbff]",
                "column 49: expected `] `",
            ),
            (
                "user: [mem 0x0000000000001000-0x000000000009fbff] funny\u{e9} one",
                "column 51: unknown kind `funny\\xc3\\xa9 one`, known: usable, reserved,",
            ),
            (
                "user: [mem 0x0000000000001000-0x000000000009fbff]  usable",
                "column 52: unknown kind `usable`, known: System RAM, device reserved,",
            ),
            (
                "user: [mem 0x0000000000001000-0x000000000009fbff]  639   KB kernel usable RAM",
                "column 52: unknown kind `639   KB kernel usable ",
            ),
            (
                "user: [mem 0x0000000000001000-0x000000000009fbff] ",
                "column 51: unknown kind ``",
            ),
            (
                "user: [mem 0x0000000000002000-0x0000000000001000] usable",
                "column 12: range 0x2000-0x1000 ends before it starts",
            ),
            (
                "user: [mem 0x0000000000000000-0xffffffffffffffff] usable",
                "column 12: range 0x0-0xffffffffffffffff has 2^64 bytes",
            ),
            (
                "BIOS-e820: [gap 0x0000000000001000-0x000000000009fbff] usable",
                "column 55: expected the end of the line",
            ),
            (
                "BIOS-e820: [gap 0x0000000000001000-0x0000000000000fff]",
                "column 17: range 0x1000-0xfff ends before it starts",
            ),
            (
                " BIOS-e820: 0000000000000000 - 000000000009fc00 usable",
                "column 49: unknown kind `usable`, known: (usable), (reserved),",
            ),
            (
                " user: 0000000000002000 - 0000000000001000 (usable)",
                "column 8: range 0x2000-0x1000 ends before it starts",
            ),
            (
                " BIOS-e820: 0000000000000000 - 00000000000",
                "column 32: expected 16 lower-case",
            ),
            (" BIOS-e820: 000000000", "column 13: expected 16 lower-case"),
            ("BIOS-e820: [me", "column 12: expected `[mem ` or `[gap `"),
            ("BIOS-e820: \r", "column 12: expected 16 lower-case"),
        ] {
            let message = format!("line 2, {message}");
            let found = error(format!("x: [mem 0x0\n{line}\n{LINE}\n"));
            assert!(found.starts_with(&message), "{found}");
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        let log = format!("{LINE}\nBIOS-e820: [mem 0x\n{LINE}\n");
        let mut entries = LogEntries::new(log.as_bytes());
        assert!(matches!(entries.next(), Some(Ok(_))));
        assert!(matches!(
            entries.next(),
            Some(Err(Error::BadLine {
                line: 2,
                column: 17,
                ..
            }))
        ));
        assert_eq!(entries.next(), None);
    }

    #[test]
    fn maps_of_several_sources_and_boots() {
        let line = |who: &str, page: u64| {
            let entry = RawEntry {
                addr: page << 12,
                size: 0x1000,
                kind: Kind::RAM,
            };
            format!("{who}: {entry}\n")
        };
        let (bios, user) = ("BIOS-e820", "user");
        let header = String::from("[    0.000000] BIOS-provided physical RAM map:\n");
        let numbers = |lines: &[String]| -> Vec<u64> {
            read(lines.concat())
                .unwrap()
                .iter()
                .map(|found| found.map)
                .collect()
        };

        let other = String::from("something else\n");
        let unsorted = [
            line(bios, 3),
            line(bios, 1),
            other,
            line(bios, 2),
            line(bios, 1),
        ];
        assert_eq!(numbers(&unsorted), [0; 4]);
        let sources = [
            header.clone(),
            line(bios, 1),
            line(bios, 2),
            line(user, 1),
            line(user, 2),
        ];
        assert_eq!(numbers(&sources), [0, 0, 1, 1]);
        let boots = [
            line(bios, 1),
            line(bios, 2),
            header,
            line(bios, 3),
            line(bios, 4),
        ];
        assert_eq!(numbers(&boots), [0, 0, 1, 1]);
        let cut_out = [
            line(bios, 1),
            line(bios, 2),
            line(bios, 1),
            line(bios, 2),
            line(bios, 1),
        ];
        assert_eq!(numbers(&cut_out), [0, 0, 1, 1, 2]);
    }

    #[test]
    fn empty_entries_come_back() {
        let empty = RawEntry {
            addr: 0x1000,
            size: 0,
            kind: Kind(0),
        };
        let log = RawMap::new([empty]).log_lines(Who::Xen).to_string();
        assert_eq!(read(log).unwrap()[0].entry, empty);
    }
}
