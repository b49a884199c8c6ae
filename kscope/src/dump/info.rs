//! `kscope dump info`: what is in the dump and who died.

use std::io::Write;

use page_walk::AnyWalker;
use physmem::{Endian, PageShift, PhysRange, sorted};
use serde::Serialize;
use vmcore_format::{
    Error, PartError,
    dump::{Counts, Cpu},
    kdump::{Census, Signature},
    kernel::{self, Layout},
};

use super::{Opened, missing_ranges, notes, release_of_header, vmcoreinfo};
use crate::{
    failure::{Failure, OneLine, Result, notice},
    input::{Source, Sources},
    output::{Hex, Output, Pairs, binary_size, count, utc},
    segment::Segment,
};

/// How many ranges the text shows; a dump of chosen pages has thousands.
const SHOWN: usize = 16;

/// Container, kernel, CPUs and registers, memory ranges, page counts, notes
///
/// What the dump does not tell is left out (null in JSON). What is damaged is named on standard
/// error, the rest is told, and the exit status is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    #[command(flatten)]
    files: Sources,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let source = self.files.source();
        source.with_dump(|dump| self.tell(&source, dump, output))
    }

    fn tell(&self, source: &Source, dump: &Opened, output: &mut Output) -> Result {
        let mut doubts = Doubts {
            source,
            named: Vec::new(),
            damaged: false,
        };
        let answer = Answer::new(dump, &mut doubts)?;
        for PartError { part, error } in dump.check() {
            doubts.name_of_part(part, error);
        }
        doubts.name_lost(dump, answer.pages.as_ref());
        if self.json {
            output.json(&answer)?;
        } else {
            answer.print(output)?;
        }
        if doubts.damaged {
            Err(Failure::Reported)
        } else {
            Ok(())
        }
    }
}

/// Names once on standard error what could not be found out.
struct Doubts<'a> {
    source: &'a Source,
    named: Vec<Error>,
    damaged: bool,
}

impl Doubts<'_> {
    fn name(&mut self, error: Error) {
        self.name_of_part(0, error);
    }

    fn name_of_part(&mut self, part: usize, error: Error) {
        if !self.named.contains(&error) {
            notice(&self.source.blamed_part(part, &error), error);
            self.named.push(error);
        }
        // Not to be told, or not to be understood by this version, is no damage.
        self.damaged |= !matches!(
            error,
            Error::NoVmcoreinfo
                | Error::Missing { .. }
                | Error::Unsupported { .. }
                | Error::UnsupportedMachine { .. }
                | Error::Elf(elf_format::Error::Unsupported { .. })
        );
    }

    fn name_lost(&mut self, dump: &Opened, pages: Option<&Pages>) {
        let bytes = dump.byte_counts().lost;
        if dump.is_incomplete() {
            let what = "the dump is incomplete: its writer says so";
            notice(&self.source.path, what);
            self.damaged = true;
        }
        if bytes > 0 || pages.is_some_and(|pages| pages.lost > 0) {
            let (number, what) = match pages {
                Some(pages) => (pages.lost, "page"),
                None => (bytes, "byte"),
            };
            let verb = if number == 1 { "is" } else { "are" };
            let lost = count(number, what);
            let what = format_args!("the dump is incomplete: {lost} {verb} lost");
            notice(&self.source.path, what);
            self.damaged = true;
        }
    }

    fn known<T>(&mut self, found: std::result::Result<T, Error>) -> Option<T> {
        found.map_err(|error| self.name(error)).ok()
    }
}

/// The keys of `info --json`.
#[derive(Serialize)]
struct Answer<'d> {
    format: &'static str,
    flattened: bool,
    parts: usize,
    missing_parts: Vec<Range>,
    incomplete: bool,
    arch: String,
    byte_order: &'static str,
    page_size: Option<u64>,
    kernel_release: Option<&'d str>,
    crash_time: Option<u64>,
    ranges: Vec<Range>,
    segments: Vec<Segment>,
    pages: Option<Pages>,
    codecs: Pairs<String, u64>,
    notes: Vec<notes::Note>,
    cpus: Vec<CpuAnswer>,
    paging: Option<Paging>,
    phys_base: Option<Hex>,
    kernel_offset: Option<Hex>,
    vmcoreinfo: Pairs<&'d str, &'d str>,
}

#[derive(Serialize)]
struct Range {
    start: Hex,
    last: Hex,
}

#[derive(Serialize)]
struct Pages {
    present: u64,
    excluded: u64,
    lost: u64,
}

#[derive(Serialize)]
struct CpuAnswer {
    index: usize,
    pid: u32,
    registers: Pairs<&'static str, Hex>,
}

#[derive(Serialize)]
struct Paging {
    mode: String,
    levels: u8,
    page_size: Option<u64>,
    root: Hex,
}

impl<'d> Answer<'d> {
    fn new(dump: &'d Opened, doubts: &mut Doubts<'_>) -> Result<Self> {
        let (notes, damage) = notes::list(dump);
        if let Some(error) = damage {
            doubts.name(error);
        }
        let cpus = dump
            .cpus()
            .map_while(|cpu| doubts.known(cpu))
            .map(CpuAnswer::from)
            .collect();

        let info = doubts.known(dump.vmcoreinfo()).flatten();
        let (vmcoreinfo, damage) = match &info {
            Some(info) => vmcoreinfo::pairs(info),
            None => (Pairs(Vec::new()), None),
        };
        if let Some(error) = damage {
            doubts.name(error);
        }
        let kernel_release = info
            .and_then(|info| doubts.known(info.os_release()).flatten())
            .or_else(|| release_of_header(dump));
        let crash_time = info.and_then(|info| doubts.known(info.crash_time()).flatten());
        let layout = doubts.known(Layout::of(dump));
        let walker = doubts.known(kernel::walker_of(dump));
        let page_size = doubts.known(dump.page_size());
        let census = dump.kdump().and_then(|kdump| doubts.known(kdump.census()));
        let codecs = match (&census, page_size) {
            (Some(census), Some(page)) => codecs(census, page),
            _ => Vec::new(),
        };
        let ranges: Vec<PhysRange> = dump.ranges().map(|(range, _)| range).collect();
        let ranges = sorted(ranges).map_err(|error| Failure::input(&doubts.source.path, error))?;

        Ok(Self {
            format: match dump.kdump().map(|kdump| kdump.header().signature) {
                None if dump.elf().is_none() => "raw",
                None => "elf",
                Some(Signature::Kdump) => "kdump",
                Some(Signature::Diskdump) => "diskdump",
            },
            flattened: dump.is_flattened(),
            parts: dump.kdump().map_or(1, |kdump| kdump.parts()),
            missing_parts: missing_ranges(dump).into_iter().map(Range::from).collect(),
            incomplete: dump.is_incomplete(),
            arch: match dump.machine().uname(dump.encoding()) {
                Some(name) => name.to_owned(),
                None => dump.machine().to_string(),
            },
            byte_order: match dump.endian() {
                Endian::Little => "little",
                Endian::Big => "big",
            },
            page_size: page_size.map(PageShift::bytes),
            kernel_release,
            crash_time,
            ranges: ranges.map(Range::from).collect(),
            segments: dump.segments().iter().map(Segment::from).collect(),
            pages: page_size.map(|page| match &census {
                Some(census) => Pages::new(census, page),
                None => dump.page_counts(page).into(),
            }),
            codecs: Pairs(codecs),
            notes,
            cpus,
            paging: walker.map(|walker| Paging::new(walker, page_size)),
            phys_base: layout.and_then(|layout| layout.phys_base()).map(Hex),
            kernel_offset: layout.and_then(|layout| layout.kernel_offset).map(Hex),
            vmcoreinfo,
        })
    }

    fn print(&self, output: &mut Output) -> Result {
        let title = output.heading("dump");
        writeln!(output, "{title}")?;
        let flattened = if self.flattened { ", flattened" } else { "" };
        let parts = match (self.parts, self.missing_parts.as_slice()) {
            (1, []) => String::new(),
            (parts, []) => format!(", {}", count(parts, "part")),
            (parts, _) => format!(", {} and others missing", count(parts, "part")),
        };
        field(
            output,
            "format",
            format_args!("{}{flattened}{parts}", self.format),
        )?;
        field(
            output,
            "arch",
            format_args!("{}, {} endian", self.arch, self.byte_order),
        )?;
        field_if_known(output, "page size", self.page_size)?;
        field_if_known(output, "kernel release", self.kernel_release.map(OneLine))?;
        field_if_known(output, "crash time", self.crash_time.map(utc))?;
        field_if_known(output, "phys_base", self.phys_base)?;
        field_if_known(output, "kernel offset", self.kernel_offset)?;
        if let Some(Paging { mode, root, .. }) = &self.paging {
            field(output, "paging", format_args!("{mode}, root {root}"))?;
        }
        if !self.vmcoreinfo.0.is_empty() {
            field(output, "vmcoreinfo", count(self.vmcoreinfo.0.len(), "key"))?;
        }

        section(output, "memory")?;
        for Range { start, last } in self.ranges.iter().take(SHOWN) {
            // Of a range's two ends the last is never below the first.
            let size = u128::from(last.0.abs_diff(start.0)) + 1;
            writeln!(output, "{start:>20} {last:>20} {:>14}", binary_size(size))?;
        }
        if let Some(more) = self.ranges.len().checked_sub(SHOWN + 1) {
            let more = more + 1;
            let more = count(more, "more range");
            writeln!(output, "{:>20} {more}, see --json", "…")?;
        }
        if let Some(Pages {
            present,
            excluded,
            lost,
        }) = &self.pages
        {
            let counts = format_args!("{present} present, {excluded} excluded, {lost} lost");
            field(output, "pages", counts)?;
        }
        if !self.codecs.0.is_empty() {
            let codecs = self.codecs.0.iter();
            let codecs: Vec<_> = codecs
                .map(|(name, pages)| format!("{pages} {name}"))
                .collect();
            field(output, "codecs", codecs.join(", "))?;
        }

        section(output, "notes")?;
        notes::print(&self.notes, false, output)?;
        for CpuAnswer {
            index,
            pid,
            registers,
        } in &self.cpus
        {
            section(output, &format!("cpu {index}, pid {pid}"))?;
            for row in registers.0.chunks(3) {
                for (name, value) in row {
                    write!(output, "{name:>10} {value:>18}")?;
                }
                writeln!(output)?;
            }
        }
        Ok(())
    }
}

fn section(output: &mut Output, title: &str) -> Result {
    let title = output.heading(title);
    Ok(writeln!(output, "\n{title}")?)
}

fn field(output: &mut Output, name: &str, value: impl std::fmt::Display) -> Result {
    Ok(writeln!(output, "  {name:<16}{value}")?)
}

fn field_if_known(
    output: &mut Output,
    name: &str,
    value: Option<impl std::fmt::Display>,
) -> Result {
    value.map_or(Ok(()), |value| field(output, name, value))
}

impl From<Counts> for Pages {
    fn from(
        Counts {
            present,
            excluded,
            lost,
        }: Counts,
    ) -> Self {
        Self {
            present,
            excluded,
            lost,
        }
    }
}

/// How many pages are compressed and how.
fn codecs(census: &Census, page: PageShift) -> Vec<(String, u64)> {
    let methods = census.methods.iter();
    let pages = |blocks| pages(blocks, census.block, page);
    methods
        .map(|(method, blocks)| (method.to_string(), pages(*blocks)))
        .collect()
}

/// How many pages so many blocks are; of pages larger than a block, those that they fill.
fn pages(blocks: u64, block: PageShift, page: PageShift) -> u64 {
    (u128::from(blocks) << block.as_u8() >> page.as_u8())
        .try_into()
        .unwrap_or(u64::MAX)
}

impl Pages {
    fn new(census: &Census, page: PageShift) -> Self {
        let pages = |blocks| pages(blocks, census.block, page);
        Self {
            present: pages(census.present + census.damaged),
            excluded: pages(census.excluded),
            lost: pages(census.lost),
        }
    }
}

impl From<PhysRange> for Range {
    fn from(range: PhysRange) -> Self {
        Self {
            start: Hex(range.start().as_u64()),
            last: Hex(range.last().as_u64()),
        }
    }
}

impl From<Cpu<'_>> for CpuAnswer {
    fn from(cpu: Cpu<'_>) -> Self {
        let registers = cpu
            .status
            .registers()
            .map(|(name, value)| (name, Hex(value)));
        Self {
            index: cpu.index,
            pid: cpu.status.pid(),
            registers: Pairs(registers.collect()),
        }
    }
}

impl Paging {
    fn new(walker: AnyWalker, page_size: Option<PageShift>) -> Self {
        Self {
            mode: walker.mode().to_string(),
            levels: walker.levels(),
            page_size: page_size.map(PageShift::bytes),
            root: Hex(walker.root().as_u64()),
        }
    }
}
