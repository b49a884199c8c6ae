//! The table that `kscope map` prints, which is a form to read maps from, too.
//!
//! ```text
//!               start               last                bytes  kind
//!                 0x0            0x9fbff               654336  usable
//!              0x5000                  -                    0  reserved  # range 0x5000..0x5000 is empty …
//!
//!                                                     bytes  total          ◄─ not read
//!                               639.00 KiB           654336  usable
//! ```

use std::{fmt::Write as _, path::Path};

use e820::{Entry, Kind, RawEntry, Words};

use super::form::Entries;
use crate::{
    failure::{Failure, Result},
    output::{Hex, binary_size},
};

/// An entry and what is to be remarked about it.
pub(super) struct Remarks {
    pub(super) entry: RawEntry,
    /// Whether another entry holds some of its bytes.
    pub(super) overlaps: bool,
    /// Why no memory can be like this.
    pub(super) odd: Option<String>,
}

/// The entries of a map with what is to be remarked about them.
pub(super) fn remarks(map: &Entries) -> impl Iterator<Item = Remarks> {
    let entries = map.entries().iter().zip(map.overlaps());
    entries.map(|(&entry, overlaps)| Remarks {
        entry,
        overlaps,
        odd: Entry::try_from(entry).err().map(|why| why.to_string()),
    })
}

/// The heading of the entries, and that of the totals.
pub(super) fn headings() -> [String; 2] {
    [
        format!("{:>18} {:>18} {:>20}  kind", "start", "last", "bytes"),
        format!("{:>38} {:>18}  total", "", "bytes"),
    ]
}

/// The table as bytes, headings as they are.
pub(super) fn print(map: &Entries) -> Vec<u8> {
    let [entries, totals] = headings();
    format(map, &entries, &totals).into()
}

/// The table under these headings.
pub(super) fn format(map: &Entries, entries: &str, totals: &str) -> String {
    let mut table = format!("{entries}\n");
    for Remarks {
        entry,
        overlaps,
        odd,
    } in remarks(map)
    {
        let RawEntry { addr, size, kind } = entry;
        let last = entry
            .last()
            .map_or("-".to_owned(), |last| Hex(last).to_string());
        // Writing to a string cannot fail.
        let _ = write!(table, "{:>18} {last:>18} {size:>20}  {kind}", Hex(addr));
        if overlaps {
            table += "  # overlaps another entry";
        }
        if let Some(odd) = odd {
            table += "  # ";
            table += &odd;
        }
        table.push('\n');
    }
    table += &format!("\n{totals}\n");
    for (kind, bytes) in map.totals() {
        let _ = writeln!(table, "{:>38} {bytes:>18}  {kind}", binary_size(bytes));
    }
    table
}

/// Whether a text is such a table.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let heading: [&[u8]; 4] = [b"start", b"last", b"bytes", b"kind"];
    heading.iter().all(|word| words.next() == Some(word)) && words.next().is_none()
}

/// Reads the entries of a table, with or without its heading.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Vec<RawEntry>> {
    let mut entries = Vec::new();
    for (number, line) in (1_u64..).zip(text.split(|&b| b == b'\n')) {
        if is_one(line) {
            continue;
        }
        // Totals, if there are any, follow an empty line.
        if line.trim_ascii().is_empty() {
            break;
        }
        let entry = str::from_utf8(line).ok().and_then(entry);
        entries.push(entry.ok_or_else(|| {
            let why = "expected START LAST BYTES KIND, where LAST is the last of the BYTES";
            Failure::input(path, format_args!("line {number}, column 1: {why}"))
        })?);
    }
    Ok(entries)
}

fn entry(line: &str) -> Option<RawEntry> {
    let line = line.split("  # ").next()?.trim();
    let (start, rest) = line.split_once(' ')?;
    let (last, rest) = rest.trim_start().split_once(' ')?;
    let (size, kind) = rest.trim_start().split_once("  ")?;
    let entry = RawEntry {
        addr: u64::from_str_radix(start.strip_prefix("0x")?, 16).ok()?,
        size: size.parse().ok()?,
        kind: kind_of(kind)?,
    };
    let shown = entry
        .last()
        .map_or("-".to_owned(), |last| Hex(last).to_string());
    (shown == last).then_some(entry)
}

/// The kind that a person means: a word of the log or of `/proc/iomem`, or a number.
pub(super) fn kind_of(word: &str) -> Option<Kind> {
    let words = [Words::Log, Words::Log7_0, Words::Resource];
    let number = || word.parse().ok().map(Kind);
    words
        .iter()
        .find_map(|words| words.kind(word))
        .or_else(number)
}
