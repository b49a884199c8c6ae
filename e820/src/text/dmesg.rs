//! The memory maps in a kernel log, in the form of Linux 3.5 to 6.19.
//!
//! ```text
//!  [    0.000000] BIOS-provided physical RAM map:
//!  [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//!  └─────┬──────┘ └───┬───┘       └───────┬────────┘ └───────┬────────┘ └─┬──┘
//!    log prefix   source word           first      last, inclusive      kind
//! ```
//!
//! `e820__print_table()` and `e820_print_type()` in Linux `arch/x86/kernel/e820.c` (before 4.12
//! `e820_print_map()`): `%s: [mem %#018Lx-%#018Lx] ` and the word for the kind. The kernel prints a
//! map sorted and disjoint, but nothing here relies on it.
//!
//! **Which lines are map lines.** Those with a [source word](Who) and `: [mem ` after it. Before
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
//! Logs of other kernels are refused at their first map line rather than read in part:
//! `BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)` (before 3.5), `[gap …]` lines and kinds
//! like `System RAM` (from 7.0 on).

#![deny(clippy::arithmetic_side_effects)]

mod line;
mod who;

use core::{fmt, iter::FusedIterator, mem};

use memchr::{memchr, memmem::Finder};

use self::line::{Mismatch, Why};
pub use self::who::Who;
use crate::{RawEntry, RawMap, error::Result};

const AFTER_WORD: &[u8] = b": [mem ";
const HEADER: &[u8] = b" physical RAM map:";
const FIRMWARE: &[u8] = b"BIOS-e820: ";

/// An entry of one of the maps in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEntry {
    /// Source of the map.
    pub who: Who,
    /// Number of the map in the log, from 0, whatever its source.
    pub map: u64,
    /// Line, from 1.
    pub line: u64,
    /// The entry.
    pub entry: RawEntry,
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
    rest: &'a [u8],
    lines: u64,
    skipped: u64,
    current: Option<Map>,
    header_seen: bool,
    after_word: Finder<'static>,
    header: Finder<'static>,
    firmware: Finder<'static>,
}

/// The map to which entries currently belong.
#[derive(Debug, Clone, Copy)]
struct Map {
    number: u64,
    who: Who,
    first: RawEntry,
}

impl<'a> LogEntries<'a> {
    /// Reads a log of any bytes; nothing is looked at yet.
    pub fn new(log: &'a [u8]) -> Self {
        Self {
            rest: log,
            lines: 0,
            skipped: 0,
            current: None,
            header_seen: false,
            after_word: Finder::new(AFTER_WORD),
            header: Finder::new(HEADER),
            firmware: Finder::new(FIRMWARE),
        }
    }

    /// How many lines that are not map lines have been passed so far.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match memchr(b'\n', self.rest) {
            Some(end) => (self.rest.get(..end)?, self.rest.get(end..)?.get(1..)?),
            None => (self.rest, [].as_slice()),
        };
        self.rest = rest;
        // Cannot saturate: a slice has fewer than 2^63 lines.
        self.lines = self.lines.saturating_add(1);
        Some(line)
    }

    /// The entry of a map line, nothing for other lines.
    fn read(&mut self, line: &[u8]) -> Result<Option<LogEntry>> {
        let Some((who, body)) = self.split(line) else {
            self.header_seen |= self.header.find(line).is_some();
            return self.refuse_other_forms(line).map(|()| None);
        };
        let entry = line::entry(body).map_err(|mismatch| mismatch.in_line(self.lines, line))?;
        let map = self.number(who, entry);
        Ok(Some(LogEntry {
            who,
            map,
            line: self.lines,
            entry,
        }))
    }

    /// The source of a map line, and what follows [`AFTER_WORD`].
    fn split<'l>(&self, line: &'l [u8]) -> Option<(Who, &'l [u8])> {
        self.after_word.find_iter(line).find_map(|at| {
            let (before, after) = line.split_at_checked(at)?;
            Some((Who::at_end_of(before)?, after.strip_prefix(AFTER_WORD)?))
        })
    }

    /// An error for the map lines of kernels before 3.5 and from 7.0 on, and for one cut short.
    fn refuse_other_forms(&self, line: &[u8]) -> Result<()> {
        let firmware = self
            .firmware
            .find(line)
            .and_then(|at| line.split_at_checked(at));
        let body = firmware
            .filter(|(prefix, _)| Who::BiosE820.may_follow(prefix))
            .and_then(|(_, rest)| rest.strip_prefix(FIRMWARE));
        match body {
            Some(at) if at.starts_with(b"[") || line::is_old_form(at) => {
                let why = Why::Expected("`[mem `, as Linux 3.5 to 6.19 prints it");
                Err(Mismatch { at, why }.in_line(self.lines, line))
            }
            _ => Ok(()),
        }
    }

    /// The number of the map to which an entry belongs.
    fn number(&mut self, who: Who, entry: RawEntry) -> u64 {
        let header_seen = mem::take(&mut self.header_seen);
        let number = match self.current {
            None => 0,
            Some(map) if header_seen || map.who != who || map.first == entry => {
                // Cannot saturate: there are fewer maps than lines.
                map.number.saturating_add(1)
            }
            Some(map) => return map.number,
        };
        self.current = Some(Map {
            number,
            who,
            first: entry,
        });
        number
    }
}

impl Iterator for LogEntries<'_> {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.next_line()?;
            match self.read(line) {
                Ok(Some(entry)) => return Some(Ok(entry)),
                // Cannot saturate: there are fewer such lines than lines.
                Ok(None) => self.skipped = self.skipped.saturating_add(1),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for LogEntries<'_> {}

impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// The lines of the kernel's log for this map, without a log prefix, each with its line feed.
    ///
    /// ```
    /// use e820::{Kind, RawEntry, RawMap, text::dmesg::Who};
    ///
    /// let map = RawMap::new([RawEntry { addr: 0, size: 0x9fc00, kind: Kind::RAM }]);
    /// assert_eq!(
    ///     map.log_lines(Who::BiosE820).to_string(),
    ///     "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable\n"
    /// );
    /// ```
    pub fn log_lines(&self, who: Who) -> impl fmt::Display {
        LogLines {
            entries: self.entries(),
            who,
        }
    }
}

struct LogLines<'a> {
    entries: &'a [RawEntry],
    who: Who,
}

impl fmt::Display for LogLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries
            .iter()
            .try_for_each(|entry| writeln!(f, "{}: {entry}", self.who))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        format,
        string::{String, ToString},
        vec::Vec,
    };

    use super::*;
    use crate::{Error, Kind};

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
                "user: [mem 0x0000000000001000-0x000000000009fbff]  System RAM",
                "column 51: unknown kind ` System RAM`",
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
                "BIOS-e820: [gap 0x0000000000001000-0x000000000009fbff]",
                "column 12: expected `[mem `",
            ),
            (
                "BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)",
                "column 12: expected `[mem `",
            ),
            ("BIOS-e820: [me", "column 12: expected `[mem `"),
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
