//! Which lines of a log are map lines, and to which map they belong.
//!
//! ```text
//!   Nov 12 10:00:00 host kernel: BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//!   └────────── prefix ─────────┘└─ who ──┘└────────────────── body ──────────────────┘
//! ```
//!
//! A new map begins with another source word, after a `… physical RAM map:` header, and where the
//! entry with which the current one began appears again: see [the room above](super).

use core::mem;

use memchr::memmem::Finder;

use super::{
    LogEntry, LogGap, LogItem, Who,
    form::{self, Body},
};
use crate::{RawEntry, error::Result};

const HEADER: &[u8] = b" physical RAM map:";
const FIRMWARE: &[u8] = b"BIOS-e820: ";

/// Tells map lines from others, and to which map they belong.
#[derive(Debug, Clone)]
pub(super) struct Maps {
    current: Option<Map>,
    header_seen: bool,
    bracket: Finder<'static>,
    dash: Finder<'static>,
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

impl Maps {
    pub(super) fn new() -> Self {
        Self {
            current: None,
            header_seen: false,
            bracket: Finder::new(": ["),
            dash: Finder::new(" - "),
            header: Finder::new(HEADER),
            firmware: Finder::new(FIRMWARE),
        }
    }

    /// The entry or gap of a map line, nothing for other lines.
    #[inline]
    pub(super) fn read(&mut self, number: u64, line: &[u8]) -> Result<Option<LogItem>> {
        let Some((who, rest)) = self.split(line) else {
            self.header_seen |= self.header.find(line).is_some();
            return Ok(None);
        };
        let body = form::body(rest).map_err(|mismatch| mismatch.in_line(number, line))?;
        Ok(Some(match body {
            Body::Entry(form, entry) => LogItem::Entry(LogEntry {
                who,
                map: self.number(who, entry),
                line: number,
                form,
                entry,
            }),
            Body::Gap(range) => LogItem::Gap(LogGap {
                who,
                line: number,
                range,
            }),
        }))
    }

    /// The source of a map line, and its body.
    #[inline]
    fn split<'l>(&self, line: &'l [u8]) -> Option<(Who, &'l [u8])> {
        self.firmware(line)
            .or_else(|| {
                // The kernel's own words with ranges in brackets.
                self.bracket.find_iter(line).find_map(|at| {
                    let (before, after) = line.split_at_checked(at)?;
                    let body = after.strip_prefix(b": ")?;
                    let is_range = body.starts_with(b"[mem ") || body.starts_with(b"[gap ");
                    Some((Who::at_end_of(before).filter(|_| is_range)?, body))
                })
            })
            .or_else(|| {
                // Ranges before 3.5: the dash stands behind `: ` and 16 digits.
                self.dash.find_iter(line).find_map(|at| {
                    let (before, after) = line.split_at_checked(at.checked_sub(18)?)?;
                    let body = after.strip_prefix(b": ")?;
                    Some((
                        Who::at_end_of(before).filter(|_| form::is_before_3_5(body))?,
                        body,
                    ))
                })
            })
    }

    /// The map line of the firmware, also one cut short: nobody else says `BIOS-e820: [`.
    #[inline]
    fn firmware<'l>(&self, line: &'l [u8]) -> Option<(Who, &'l [u8])> {
        self.firmware.find_iter(line).find_map(|at| {
            let (before, after) = line.split_at_checked(at)?;
            let body = after.strip_prefix(FIRMWARE)?;
            let is_map =
                body.trim_ascii().is_empty() || body.starts_with(b"[") || form::is_before_3_5(body);
            (is_map && Who::BiosE820.may_follow(before)).then_some((Who::BiosE820, body))
        })
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
