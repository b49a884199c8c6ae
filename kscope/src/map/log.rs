//! The maps in a kernel log, of which one is asked for.
//!
//! ```text
//!   log ──► maps in it ── --who ──► one of them, as found
//!               └ the others, and lines that are no map's ──► named on standard error
//! ```

use std::{fmt, path::Path};

use clap::ValueEnum;
use e820::{
    RawEntry,
    text::dmesg::{self, LogEntries},
};

use super::{
    Subject,
    form::{Form, Shape},
};
use crate::failure::{Failure, Result, notice};

/// Whose map of those in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Who {
    /// What the kernel was handed: BIOS-e820, BIOS-e801, BIOS-88 or Xen
    Firmware,
    /// With what the boot loader added or set aside: extended, else reserve setup_data
    Extended,
    /// After mem= and memmap= on the command line
    User,
    /// After the kernel's own corrections
    Modified,
}

impl Who {
    /// The words in the log, best first.
    fn words(self) -> &'static [dmesg::Who] {
        match self {
            Self::Firmware => &[
                dmesg::Who::BiosE820,
                dmesg::Who::BiosE801,
                dmesg::Who::Bios88,
                dmesg::Who::Xen,
            ],
            Self::Extended => &[dmesg::Who::Extended, dmesg::Who::SetupData],
            Self::User => &[dmesg::Who::User],
            Self::Modified => &[dmesg::Who::Modified],
        }
    }
}

/// One of the maps in a log.
struct LogMap {
    who: dmesg::Who,
    number: u64,
    lines: (u64, u64),
    form: dmesg::Form,
    entries: Vec<RawEntry>,
}

/// The map of `who` in a log.
pub(super) fn parse(path: &Path, log: &[u8], who: Who) -> Result<Subject> {
    let mut maps: Vec<LogMap> = Vec::new();
    let mut found = LogEntries::new(log);
    for entry in found.by_ref() {
        let entry = entry.map_err(|error| Failure::input(path, error))?;
        match maps.last_mut().filter(|map| map.number == entry.map) {
            Some(map) => {
                map.lines.1 = entry.line;
                map.entries.push(entry.entry);
            }
            None => maps.push(LogMap {
                who: entry.who,
                number: entry.map,
                lines: (entry.line, entry.line),
                form: entry.form,
                entries: vec![entry.entry],
            }),
        }
    }
    if maps.is_empty() {
        return Err(Failure::input(
            path,
            "no line of a memory map, as `BIOS-e820: [mem …] usable`",
        ));
    }

    let chosen = who
        .words()
        .iter()
        .find_map(|word| maps.iter().position(|map| map.who == *word));
    let chosen = chosen.map(|index| maps.remove(index));
    for map in &maps {
        notice(path, format_args!("left out: {map}"));
    }
    if found.skipped() > 0 {
        notice(
            path,
            format_args!("left out: lines of no map: {}", found.skipped()),
        );
    }
    let Some(map) = chosen else {
        let words: Vec<_> = who.words().iter().map(|word| word.as_str()).collect();
        let why = format_args!("no map of `{}` in this log", words.join("`, `"));
        return Err(Failure::input(path, why));
    };
    let mut subject = Subject::new(path, Form::Dmesg, map.entries, Shape::Log(map.form));
    subject.who = Some(map.who);
    Ok(subject)
}

impl fmt::Display for LogMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, (first, last)) = (self.who, self.lines);
        write!(f, "map `{who}`, lines {first} to {last}")
    }
}
