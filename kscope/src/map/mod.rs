//! `kscope map`: where memory is.
//!
//! ```text
//!   sources ──► entries as found ──┬──────────────────────────────► table, JSON, --to FORM, drawings
//!                                  └─ sanitise, edits ─► map ──┬──►
//!                                                              └──► answers to questions
//! ```

mod diff;
mod edit;
mod form;
mod log;
mod question;
mod source;
mod table;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use e820::{
    Entry, Kind, MemoryMap, RawEntry, RawMap,
    text::{dmesg, iomem::Resources},
};
use physmem::{PhysAddr, PhysRange};
use serde::Serialize;

use self::{
    edit::Edits,
    form::{Entries, Form, Shape},
    question::Questions,
    source::Reading,
    table::Remarks,
};
use crate::{
    draw::{Picture, svg, terminal},
    failure::{Failure, Result, notice},
    input::Source,
    output::{Hex, Output, Pairs, write_file},
};

/// Where memory is: the map of a machine, from where Linux and firmware show it
///
/// Without edits the map is shown as it is found: in its order, overlaps and odd entries included and
/// marked. What else is in the file is named on standard error.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Map {
    #[command(subcommand)]
    command: Option<Command>,

    /// A file, a directory of sysfs, `-`, or `live` for this machine, which is meant if there is none;
    /// several are one map, one after the other
    #[arg(value_name = "SOURCE")]
    sources: Vec<PathBuf>,

    #[command(flatten)]
    reading: Reading,

    /// Print it as this source does, to the byte
    #[arg(long, value_name = "FORM")]
    to: Option<Form>,

    /// One JSON object instead of text
    #[arg(long, conflicts_with = "to")]
    json: bool,

    /// A drawing instead of the table
    #[arg(long, conflicts_with_all = ["to", "json"])]
    draw: bool,

    /// Write a drawing into the file OUT
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,

    /// Resolve overlaps and join neighbours, as the kernel does; every edit does that first
    #[arg(long, alias = "sanitize")]
    sanitise: bool,

    #[command(flatten)]
    edits: Edits,

    #[command(flatten)]
    questions: Questions,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Diff(diff::Diff),
}

/// A map: as found, and calculated if that is asked for.
pub(super) struct Subject {
    source: PathBuf,
    form: Option<Form>,
    who: Option<dmesg::Who>,
    /// What is shown.
    entries: Entries,
    /// How many entries were found.
    found: usize,
    shape: Shape,
    map: Option<MemoryMap<Vec<Entry>>>,
}

impl Subject {
    fn new(source: &Path, form: Form, entries: Vec<RawEntry>, shape: Shape) -> Self {
        Self {
            source: source.to_path_buf(),
            form: Some(form),
            who: None,
            found: entries.len(),
            entries: RawMap::new(entries),
            shape,
            map: None,
        }
    }

    /// The entries of both, one after the other.
    fn and(self, other: Self) -> Self {
        let mut source = self.source.into_os_string();
        source.push(", ");
        source.push(other.source);
        let mut entries = self.entries.into_inner();
        entries.extend(other.entries.into_inner());
        Self {
            source: source.into(),
            form: self.form.filter(|_| self.form == other.form),
            who: self.who.filter(|_| self.who == other.who),
            found: entries.len(),
            entries: RawMap::new(entries),
            shape: Shape::Plain,
            map: None,
        }
    }
}

/// How much RAM a map has, in bytes, as the kernel would calculate it; and where it is a listing of
/// resources that names it, the highest memory that is reserved for a crash kernel: not that for DMA.
pub(crate) fn ram(source: &Path) -> Result<(u64, Option<PhysRange>)> {
    let subject = Reading::default().one(source)?;
    let reserved = match &subject.shape {
        Shape::Iomem(listing) => Resources::parse(listing.as_bytes())
            .into_iter()
            .flatten()
            .flatten()
            // Without privileges all addresses are 0.
            .filter(|resource| resource.name == "Crash kernel" && resource.last != 0)
            .filter_map(|resource| {
                let start = PhysAddr::new(resource.start);
                PhysRange::with_size(start, resource.last - resource.start + 1).ok()
            })
            .max_by_key(|range| range.start()),
        _ => None,
    };
    Ok((edit::calculate(&subject)?.total(Kind::RAM), reserved))
}

impl Map {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        if let Some(Command::Diff(diff)) = &self.command {
            return diff.run(output);
        }
        if !self.questions.is_empty() && (self.to.is_some() || self.draw) {
            let why = "questions are answered as text or with --json, not with --to or --draw";
            return Err(Failure::Usage(why.to_owned()));
        }
        if let Some(file) = &self.svg {
            for source in &self.sources {
                Source::new(source.clone(), false).refuse_as_target(file)?;
            }
        }
        let mut subject = self.reading.all(&self.sources)?;
        if self.sanitise || !self.edits.is_empty() {
            let map = self
                .edits
                .run(edit::calculate(&subject)?, &subject.source)?;
            subject.entries = map.to_raw();
            subject.map = Some(map);
            if self.edits.are_users() {
                subject.who = Some(dmesg::Who::User);
            }
        }
        if let Some(file) = &self.svg {
            let picture = picture(&subject)?;
            write_file(file, |out| out.write_all(svg::draw(&picture).as_bytes()))?;
        }

        let answers = match self.questions.is_empty() {
            true => Vec::new(),
            false => self.questions.answer(&edit::calculate(&subject)?),
        };
        if let Some(form) = self.to {
            return Ok(output.write_all(&form::emit(&subject, form)?)?);
        }
        if self.json {
            return output.json(&Answer::new(&subject, answers));
        }
        if self.draw {
            let picture = picture(&subject)?;
            return Ok(output.write_all(terminal::draw(&picture, output.is_styled()).as_bytes())?);
        }
        if !answers.is_empty() {
            for answer in answers {
                writeln!(output, "{}", answer.line())?;
            }
        } else if self.svg.is_none() {
            let [entries, totals] = table::headings().map(|heading| output.heading(&heading));
            let table = table::format(&subject.entries, &entries, &totals);
            output.write_all(table.as_bytes())?;
        }
        Ok(())
    }
}

/// What of a map can be drawn: no byte twice, no entries that hold none.
fn picture(subject: &Subject) -> Result<Picture> {
    let is_odd = |entry: &RawEntry| Entry::try_from(*entry).is_err();
    let (odd, mut sound): (Vec<_>, Vec<_>) =
        subject.entries.entries().iter().partition(|e| is_odd(e));
    if !odd.is_empty() {
        let what = format_args!("not drawn, for they are odd: entries {}", odd.len());
        notice(&subject.source, what);
    }
    if RawMap::new(sound.as_slice()).overlaps().contains(&true) {
        notice(
            &subject.source,
            "drawn with overlaps resolved, as by --sanitise",
        );
    }
    // A kind without a number would vanish.
    let untold = e820::Kind::RESERVED;
    for entry in sound
        .iter_mut()
        .filter(|entry| entry.kind == e820::Kind::UNKNOWN)
    {
        entry.kind = untold;
    }
    let map = MemoryMap::sanitize(&mut sound, Vec::new(), edit::MERGE)
        .map_err(|error| Failure::input(&subject.source, error))?;
    let mut title = subject.source.display().to_string();
    if let Some(who) = subject.who {
        title += &format!(" ({who})");
    }
    Ok(Picture::new(title, &map))
}

/// What is told about a map.
#[derive(Serialize)]
struct Answer {
    source: String,
    form: Option<String>,
    who: Option<&'static str>,
    entries: Vec<Line>,
    totals: Pairs<String, u128>,
    resources: Vec<Resource>,
    answers: Vec<question::Answer>,
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

#[derive(Serialize)]
struct Resource {
    depth: u8,
    start: Hex,
    last: Hex,
    size: u128,
    name: String,
    kind: Option<String>,
}

impl Answer {
    fn new(subject: &Subject, answers: Vec<question::Answer>) -> Self {
        let line = |Remarks {
                        entry,
                        overlaps,
                        odd,
                    }| Line {
            start: Hex(entry.addr),
            last: entry.last().map(Hex),
            size: entry.size,
            kind: entry.kind.to_string(),
            r#type: entry.kind.0,
            overlaps,
            odd,
        };
        let listing = match &subject.shape {
            Shape::Iomem(listing) if subject.map.is_none() => listing.as_str(),
            _ => "",
        };
        let resources = Resources::parse(listing.as_bytes())
            .into_iter()
            .flatten()
            .flatten();
        let totals = subject.entries.totals().into_iter();
        Self {
            source: subject.source.display().to_string(),
            form: subject.form.map(|form| form.to_string()),
            who: subject.who.map(dmesg::Who::as_str),
            entries: table::remarks(&subject.entries).map(line).collect(),
            totals: Pairs(
                totals
                    .map(|(kind, bytes)| (kind.to_string(), bytes))
                    .collect(),
            ),
            resources: resources
                .map(|resource| Resource {
                    depth: resource.depth,
                    start: Hex(resource.start),
                    last: Hex(resource.last),
                    size: resource.size(),
                    name: resource.name.to_owned(),
                    kind: resource.kind().map(|kind| kind.to_string()),
                })
                .collect(),
            answers,
        }
    }
}
