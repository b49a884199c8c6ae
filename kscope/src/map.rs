//! `kscope map`: where memory is.
//!
//! ```text
//!   bytes ── form ──▶ maps in it ── --who ──▶ one RawMap, as found ──▶ lines and totals, or JSON
//!                         └ the others, and lines that are no map's ──▶ named on standard error
//! ```

use std::{fmt, io::Write, path::Path};

use clap::ValueEnum;
use e820::{
    Entry, Kind, RawEntry, RawMap,
    text::dmesg::{self, LogEntries},
    wire::boot_params::{self, BootParams},
};
use serde::Serialize;

use crate::{
    failure::{Failure, Result, notice},
    input::Source,
    output::{Hex, Output, Pairs, binary_size},
};

/// Where memory is: the map in a kernel log or a zero page
///
/// The map is shown as it is found: in its order, overlaps and odd entries included and marked. What
/// else is in the file is named on standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct Map {
    #[command(flatten)]
    source: Source,

    /// What the file is; found out if not given
    #[arg(long, value_name = "FORM")]
    from: Option<Form>,

    /// Which of the maps in a kernel log; the firmware's if not given
    #[arg(long)]
    who: Option<Who>,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The forms a map comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A kernel log
    Dmesg,
    /// The zero page: /sys/kernel/boot_params/data
    BootParams,
}

impl Form {
    /// Nothing marks a zero page but its size, and that no log holds NUL bytes.
    fn of(bytes: &[u8]) -> Self {
        if bytes.len() == boot_params::SIZE && bytes.contains(&0) {
            Self::BootParams
        } else {
            Self::Dmesg
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Whose map of those in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
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

impl Map {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let path = &self.source.path;
        let input = self.source.open()?;
        let bytes = input.bytes(path)?;
        let form = self.from.unwrap_or_else(|| Form::of(&bytes));
        let (word, map) = match form {
            Form::Dmesg => {
                let log = from_log(path, &bytes, self.who.unwrap_or(Who::Firmware))?;
                (Some(log.who), log.entries.into_iter().collect())
            }
            Form::BootParams if self.who.is_some() => {
                let why = "--who chooses among the maps of a log; a zero page has one";
                return Err(Failure::Usage(why.to_owned()));
            }
            Form::BootParams => (None, from_zero_page(path, &bytes)?),
        };

        let map = Answer::new(path, form, word, &map);
        if self.json {
            output.json(&map)
        } else {
            map.print(output)
        }
    }
}

/// One of the maps in a log.
struct LogMap {
    who: dmesg::Who,
    number: u64,
    lines: (u64, u64),
    entries: Vec<RawEntry>,
}

fn from_log(path: &Path, log: &[u8], who: Who) -> Result<LogMap> {
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
    chosen.ok_or_else(|| {
        let words: Vec<_> = who.words().iter().map(|word| word.as_str()).collect();
        Failure::input(
            path,
            format_args!("no map of `{}` in this log", words.join("`, `")),
        )
    })
}

impl fmt::Display for LogMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, (first, last)) = (self.who, self.lines);
        write!(f, "map `{who}`, lines {first} to {last}")
    }
}

fn from_zero_page(path: &Path, page: &[u8]) -> Result<RawMap<Vec<RawEntry>>> {
    let page = BootParams::parse(page).map_err(|error| Failure::input(path, error))?;
    let map: RawMap<Vec<_>> = page.entries().collect();
    if map.entries().len() == boot_params::MAX_ENTRIES {
        notice(
            path,
            "the table is full; if the map goes on in setup_data, that part is left out",
        );
    }
    Ok(map)
}

/// What is told about a map.
#[derive(Serialize)]
struct Answer {
    source: String,
    form: String,
    who: Option<&'static str>,
    entries: Vec<Line>,
    totals: Pairs<String, u128>,
}

#[derive(Serialize)]
struct Line {
    start: Hex,
    last: Option<Hex>,
    size: u64,
    kind: String,
    r#type: u32,
    overlaps: bool,
    odd: Option<String>,
}

impl Answer {
    fn new(path: &Path, form: Form, who: Option<dmesg::Who>, map: &RawMap<Vec<RawEntry>>) -> Self {
        let entries = map
            .entries()
            .iter()
            .zip(map.overlaps())
            .map(|(entry, overlaps)| Line {
                start: Hex(entry.addr),
                last: entry.last().map(Hex),
                size: entry.size,
                kind: entry.kind.to_string(),
                r#type: entry.kind.0,
                overlaps,
                odd: Entry::try_from(*entry).err().map(|why| why.to_string()),
            });
        let total = |(kind, bytes): (Kind, u128)| (kind.to_string(), bytes);
        Self {
            source: path.display().to_string(),
            form: form.to_string(),
            who: who.map(dmesg::Who::as_str),
            entries: entries.collect(),
            totals: Pairs(map.totals().into_iter().map(total).collect()),
        }
    }

    fn print(&self, output: &mut Output) -> Result {
        let heading = format!("{:>18} {:>18} {:>20}  kind", "start", "last", "bytes");
        let heading = output.heading(&heading);
        writeln!(output, "{heading}")?;
        for line in &self.entries {
            let last = line
                .last
                .map_or_else(|| "-".to_owned(), |last| last.to_string());
            write!(
                output,
                "{:>18} {last:>18} {:>20}  {}",
                line.start, line.size, line.kind
            )?;
            if line.overlaps {
                write!(output, "  # overlaps another entry")?;
            }
            if let Some(odd) = &line.odd {
                write!(output, "  # {odd}")?;
            }
            writeln!(output)?;
        }

        let heading = format!("{:>38} {:>18}  total", "", "bytes");
        let heading = output.heading(&heading);
        writeln!(output, "\n{heading}")?;
        for (kind, bytes) in &self.totals.0 {
            writeln!(output, "{:>38} {bytes:>18}  {kind}", binary_size(*bytes))?;
        }
        Ok(())
    }
}
