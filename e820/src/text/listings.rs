//! The maps that hypervisors, boot loaders and firmware list on their consoles.
//!
//! ```text
//!  Xen        (XEN) Xen-e820 RAM map:
//!             (XEN)  [0000000000000000, 000000000009fbff] (usable)      last byte
//!    up to 4.12
//!             (XEN)  0000000000000000 - 000000000009fc00 (usable)       the byte after it
//!  GRUB       base_addr = 0x0, length = 0x9fc00, available RAM
//!    1.9x     base_addr = 0x0, length = 0x9fc00, type = 0x1
//!  SeaBIOS    e820 map has 2 items:
//!               0: 0000000000000000 - 000000000009fc00 = 1 RAM
//!               1: 000000000009fc00 - 00000000000a0000 = 2 RESERVED
//! ```
//!
//! `print_e820_memory_map()` in Xen `xen/arch/x86/e820.c`, `lsmmap_hook()` in GRUB
//! `grub-core/commands/lsmmap.c`, `dump_map()` in SeaBIOS `src/e820map.c`.
//!
//! A console log holds other lines, too: they are skipped and counted. A line that begins as an
//! entry does and goes on otherwise is an error; SeaBIOS says how many entries a map has and numbers
//! them, so there a missing one is an error as well.

#![deny(clippy::arithmetic_side_effects)]

mod grub;
mod seabios;
mod xen;

use core::{fmt, iter::FusedIterator, mem};

use super::line::{Lines, Mismatch};
use crate::{RawEntry, RawMap, error::Result};

/// Who lists the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Program {
    /// The Xen hypervisor, on its console and in `xl dmesg`.
    Xen,
    /// GRUB's command `lsmmap`.
    Grub,
    /// SeaBIOS, on its debug console.
    SeaBios,
}

/// How a line of a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// Xen, ranges in brackets.
    Xen,
    /// Xen of earlier times: exclusive ends, as Linux had them before 3.5.
    XenExclusive,
    /// GRUB 2, kinds by name.
    Grub,
    /// GRUB 1.9x, kinds by number.
    GrubNumbers,
    /// SeaBIOS, with a header.
    SeaBios,
}

/// An entry of one of the maps in a console log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// How its line is written.
    pub form: Form,
    /// Number of the map in the log, from 0.
    pub map: u64,
    /// Line, from 1.
    pub line: u64,
    /// The entry.
    pub entry: RawEntry,
}

/// The entries of all maps in a console log, in its order.
///
/// A new map begins after a header and where the entry with which the current one began appears
/// again. An iterator that stops after the first error.
///
/// ```
/// use e820::{Kind, RawEntry, text::listings::{Listings, Program}};
///
/// let log = b"\
/// (XEN) Xen-e820 RAM map:
/// (XEN)  [0000000000000000, 000000000009fbff] (usable)
/// (XEN)  [000000000009fc00, 000000000009ffff] (reserved)
/// (XEN) System RAM: 2047MB (2096636kB)
/// ";
/// let mut listed = Listings::new(log, Program::Xen);
/// let map: Vec<_> = listed.by_ref().map(|l| l.map(|l| l.entry)).collect::<Result<_, _>>()?;
/// assert_eq!(map[0], RawEntry { addr: 0, size: 0x9fc00, kind: Kind::RAM });
/// assert_eq!((map.len(), listed.skipped()), (2, 2));
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Listings<'a> {
    lines: Lines<'a>,
    program: Program,
    skipped: u64,
    header_seen: bool,
    /// The number and the first entry of the current map.
    current: Option<(u64, RawEntry)>,
    /// What a header has announced and has not come yet.
    awaited: Option<seabios::Awaited>,
}

/// What a line of a console log is.
enum Line {
    Header(Option<seabios::Awaited>),
    Entry(Form, RawEntry),
    Other,
}

impl<'a> Listings<'a> {
    /// Reads a console log of any bytes; nothing is looked at yet.
    pub const fn new(log: &'a [u8], program: Program) -> Self {
        Self {
            lines: Lines::new(log),
            program,
            skipped: 0,
            header_seen: false,
            current: None,
            awaited: None,
        }
    }

    /// How many lines that hold no entry of a map have been passed so far.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn read<'l>(&mut self, line: &'l [u8]) -> Result<Line, Mismatch<'l>> {
        match (self.program, self.awaited.take()) {
            (Program::Xen, _) => xen::line(line),
            (Program::Grub, _) => grub::line(line),
            (Program::SeaBios, None) => seabios::header(line),
            (Program::SeaBios, Some(awaited)) => {
                let entry = awaited.entry(line)?;
                self.awaited = awaited.next();
                Ok(Line::Entry(Form::SeaBios, entry))
            }
        }
    }

    /// The number of the map to which an entry belongs.
    fn number(&mut self, entry: RawEntry) -> u64 {
        let header_seen = mem::take(&mut self.header_seen);
        let number = match self.current {
            None => 0,
            Some((number, first)) if header_seen || first == entry => {
                // Cannot saturate: there are fewer maps than lines.
                number.saturating_add(1)
            }
            Some((number, _)) => return number,
        };
        self.current = Some((number, entry));
        number
    }
}

impl Iterator for Listings<'_> {
    type Item = Result<Listed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((line, text)) = self.lines.next() else {
                let awaited = self.awaited.take()?;
                return Some(Err(awaited.missing(&self.lines)));
            };
            match self.read(text) {
                Ok(Line::Entry(form, entry)) => {
                    let map = self.number(entry);
                    return Some(Ok(Listed {
                        form,
                        map,
                        line,
                        entry,
                    }));
                }
                Ok(Line::Header(awaited)) => {
                    self.header_seen = true;
                    self.awaited = awaited;
                }
                Ok(Line::Other) => {}
                Err(mismatch) => {
                    self.lines.stop();
                    return Some(Err(mismatch.in_line(line, text)));
                }
            }
            // Cannot saturate: there are fewer such lines than lines.
            self.skipped = self.skipped.saturating_add(1);
        }
    }
}

impl FusedIterator for Listings<'_> {}

impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// The lines of a listing of this map, without what a console puts before them, each with its
    /// line feed; SeaBIOS' with its header.
    ///
    /// ```
    /// use e820::{Kind, RawEntry, RawMap, text::listings::Form};
    ///
    /// let map = RawMap::new([RawEntry { addr: 0, size: 0x9fc00, kind: Kind::RAM }]);
    /// assert_eq!(
    ///     map.listing(Form::SeaBios).to_string(),
    ///     "e820 map has 1 items:\n  0: 0000000000000000 - 000000000009fc00 = 1 RAM\n"
    /// );
    /// ```
    pub fn listing(&self, form: Form) -> impl fmt::Display {
        Listing {
            entries: self.entries(),
            form,
        }
    }
}

struct Listing<'a> {
    entries: &'a [RawEntry],
    form: Form,
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.form == Form::SeaBios {
            writeln!(f, "e820 map has {} items:", self.entries.len())?;
        }
        for (index, entry) in self.entries.iter().enumerate() {
            match self.form {
                Form::Xen | Form::XenExclusive => xen::write(f, self.form, entry)?,
                Form::Grub | Form::GrubNumbers => grub::write(f, self.form, entry)?,
                Form::SeaBios => seabios::write(f, index, entry)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString, vec::Vec};

    use super::*;
    use crate::Kind;

    pub(super) fn error(log: &str, program: Program) -> std::string::String {
        let found: Result<Vec<_>> = Listings::new(log.as_bytes(), program).collect();
        found.unwrap_err().to_string()
    }

    #[test]
    fn maps_of_several_listings() {
        let entry = |page: u64| RawEntry {
            addr: page << 12,
            size: 0x1000,
            kind: Kind::RAM,
        };
        let map = RawMap::new([entry(1), entry(2), entry(1), entry(3)]);
        for (form, program) in [
            (Form::Xen, Program::Xen),
            (Form::XenExclusive, Program::Xen),
            (Form::Grub, Program::Grub),
            (Form::GrubNumbers, Program::Grub),
        ] {
            let log = map.listing(form).to_string();
            let listed: Vec<_> = Listings::new(log.as_bytes(), program)
                .map(|listed| listed.map(|l| (l.form, l.map, l.entry)).unwrap())
                .collect();
            let expected = [(0, 1), (0, 2), (1, 1), (1, 3)];
            assert_eq!(listed, expected.map(|(map, page)| (form, map, entry(page))));
        }
        let other = RawMap::new([entry(4)]);
        let (log, next) = (map.listing(Form::SeaBios), other.listing(Form::SeaBios));
        let log = format!("{log}Booting...\n{next}");
        let mut listed = Listings::new(log.as_bytes(), Program::SeaBios);
        let numbers: Vec<_> = listed.by_ref().map(|l| l.unwrap().map).collect();
        assert_eq!((numbers, listed.skipped()), (Vec::from([0, 0, 1, 1, 2]), 3));
    }
}
