//! `kscope dump extract`: a small dump out of a big one.
//!
//! ```text
//!   original   │ notes │ PT_LOAD 0 ················│ PT_LOAD 1 ······························│
//!                          ▼    ▼▼                     ▼            ▼
//!   extract    │ notes │ ██ │ ████ │                │ ██ │       │ ██ │   one PT_LOAD a run of pages
//! ```
//!
//! Kept are the pages asked for and every page of a table on the way to a virtual one, so that each
//! answer about these addresses stays what it was, `unmapped` included. What the original leaves out
//! (`p_filesz < p_memsz`) is left out here.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::PathBuf,
};

use elf_format::{Segment, SegmentType, Writer, note};
use page_walk::AnyWalker;
use physmem::{
    MemError, PageShift, PhysAddr, PhysMemory, PhysRange, SortedRanges, VirtAddr, sorted,
};
use vmcore_format::Reader;

use super::{
    Opened,
    address::{Span, physical},
};
use crate::{
    failure::{Failure, Result},
    input::{Input, Source, lines},
    output::write_file,
};

/// Cut a small dump out of a big one: pages and the page tables that reach them
///
/// Notes are copied, and segments keep their physical and virtual addresses. Tables are kept for
/// addresses that are not mapped, too, so that this answer stays the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Extract {
    #[command(flatten)]
    source: Source,

    /// The file to write; it appears when it is complete
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// Keep the pages at a virtual address, and its tables
    #[arg(long, value_name = "ADDR[+LEN]")]
    virt: Vec<Span>,

    /// Keep the pages at a physical address
    #[arg(long, value_name = "ADDR[+LEN]")]
    phys: Vec<Span>,

    /// Like --virt for each line of a file: `ADDR[+LEN]`, or `ROOT ADDR[+LEN]` with a top table of its
    /// own
    #[arg(long, value_name = "LIST")]
    virt_list: Vec<PathBuf>,

    /// Physical address of the top table: a process's pgd, a CPU's CR3; the kernel's if not given
    #[arg(long, value_name = "ADDR", value_parser = physical)]
    root: Option<PhysAddr>,
}

impl Extract {
    pub(crate) fn run(&self) -> Result {
        let dump = self.source.dump()?;
        let page = dump
            .page_size()
            .map_err(|error| self.source.failure(error))?;
        let memory = dump.reader();
        let pages = self.pages(&dump, &memory, page)?;
        let parts = self.cut(&dump, &pages)?;
        self.write(&dump, &memory, page, parts)
    }

    /// The pages to keep, ascending and apart.
    fn pages(
        &self,
        dump: &Opened,
        memory: &Reader<'_, Input>,
        page: PageShift,
    ) -> Result<Vec<PhysRange>> {
        let bad = |error| Failure::Usage(format!("--phys: {error}"));
        let mut ranges = Vec::new();
        for span in &self.phys {
            let (first, last) = (PhysAddr::new(span.first), PhysAddr::new(span.last));
            let range = PhysRange::inclusive(first, last).map_err(bad)?;
            // Only the last page of the address space has no end to name.
            ranges.push(range.touched_pages(page).unwrap_or(range));
        }

        let mut frames = BTreeSet::new();
        let spans = self.virtual_spans()?;
        if !spans.is_empty() {
            let layout = self.source.layout(dump)?;
            for (root, span) in spans {
                let walker = root.map_or(layout.walker, |root| layout.walker_at(root));
                for virt in span.pages(page.bytes()) {
                    let touched = on_the_way(&walker, memory, VirtAddr::new(virt));
                    frames.extend(touched.map(|at| at.align_down(page)));
                }
            }
        }
        ranges.extend(
            frames
                .iter()
                .flat_map(|at| PhysRange::with_size(*at, page.bytes())),
        );
        ranges.sort_unstable();
        let merged = sorted(ranges).map_err(|error| Failure::input(&self.source.path, error))?;
        Ok(merged.collect())
    }

    fn virtual_spans(&self) -> Result<Vec<(Option<PhysAddr>, Span)>> {
        let mut spans: Vec<_> = self.virt.iter().map(|span| (self.root, *span)).collect();
        for list in &self.virt_list {
            for line in lines(list)? {
                let (number, line) = line?;
                let span = list_line(&line)
                    .map_err(|why| Failure::input(list, format_args!("line {number}: {why}")))?;
                spans.extend(span.map(|(root, span)| (root.or(self.root), span)));
            }
        }
        Ok(spans)
    }

    /// The segments that hold `pages`, as the original's segments hold them; where those overlap,
    /// each byte stays in the one that provides it.
    fn cut(&self, dump: &Opened, pages: &[PhysRange]) -> Result<Vec<Segment>> {
        let bad = |error| Failure::input(&self.source.path, error);
        let mut parts = Vec::new();
        for in_file in [true, false] {
            let held = dump
                .ranges()
                .filter(|(_, absence)| absence.is_none() == in_file)
                .map(|(range, _)| range);
            let held: Vec<PhysRange> = held.collect();
            let wanted = sorted(pages.iter().copied()).map_err(bad)?;
            let wanted = wanted.intersect(sorted(held).map_err(bad)?);
            let mut left: Vec<PhysRange> = wanted.collect();
            for segment in dump.segments() {
                let size = if in_file {
                    segment.filesz
                } else {
                    segment.memsz.max(segment.filesz)
                };
                let start = PhysAddr::new(segment.paddr);
                let Ok(range) = PhysRange::with_size(start, size) else {
                    continue;
                };
                if segment.kind != SegmentType::LOAD {
                    continue;
                }
                let taken = sorted(left.iter().copied()).map_err(bad)?;
                let taken = taken.intersect(sorted([range]).map_err(bad)?);
                parts.extend(taken.map(|part| piece(segment, part, in_file)));
                let rest = sorted(left)
                    .map_err(bad)?
                    .subtract(sorted([range]).map_err(bad)?);
                left = rest.collect();
            }
        }
        Ok(parts)
    }

    fn write(
        &self,
        dump: &Opened,
        memory: &Reader<'_, Input>,
        page: PageShift,
        mut segments: Vec<Segment>,
    ) -> Result {
        let notes: std::result::Result<Vec<note::Builder<'_>>, _> = dump
            .notes()
            .map(|note| note.map(note::Builder::from))
            .collect();
        let notes = notes.map_err(|error| self.source.failure(error))?;
        let header = dump.header();
        let headers = |segments: &[Segment]| {
            let writer = Writer {
                ident: header.ident,
                file_type: header.file_type,
                machine: header.machine,
                entry: header.entry,
                flags: header.flags,
                notes: &notes,
                segments: segments.iter().copied(),
            };
            writer
                .to_vec()
                .map_err(|error| Failure::input(&self.out, error))
        };

        let mut offset = headers(&segments)?.len() as u64;
        for segment in &mut segments {
            offset = offset.next_multiple_of(page.bytes());
            segment.offset = offset;
            offset += segment.filesz;
        }
        let headers = headers(&segments)?;

        let mut failed = None;
        let written = write_file(&self.out, |out| {
            let mut out = Counted { out, count: 0 };
            out.write_all(&headers)?;
            for segment in &segments {
                out.pad_to(segment.offset)?;
                out.copy(segment, memory)?.map_err(|error| {
                    failed = Some(error);
                    io::Error::other(error)
                })?;
            }
            out.flush()
        });
        failed.map_or(written, |error| {
            Err(Failure::input(&self.source.path, error))
        })
    }
}

/// Where every table entry for `virt` lies, and the byte itself if it is mapped.
fn on_the_way(
    walker: &AnyWalker,
    memory: &Reader<'_, Input>,
    virt: VirtAddr,
) -> impl Iterator<Item = PhysAddr> {
    let entries = walker.walk(memory, virt);
    let entries = entries.map(|entry| entry.map_or_else(|fault| fault.entry_at, |entry| entry.at));
    entries.chain(walker.translate(memory, virt).map(|mapping| mapping.phys))
}

/// `[ROOT] ADDR[+LEN]`, or nothing.
fn list_line(line: &str) -> std::result::Result<Option<(Option<PhysAddr>, Span)>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        [] => Ok(None),
        [span] => Ok(Some((None, span.parse()?))),
        [root, span] => Ok(Some((Some(physical(root)?), span.parse()?))),
        _ => Err("expected `ADDR` or `ROOT ADDR`".to_owned()),
    }
}

/// The part of a segment that covers `range`; its offset is to be found.
fn piece(segment: &Segment, range: PhysRange, in_file: bool) -> Segment {
    // The part lies inside the segment, so this is its offset in it.
    let skipped = range
        .start()
        .checked_offset_from(PhysAddr::new(segment.paddr))
        .unwrap_or(0);
    Segment {
        offset: 0,
        // Modulo 2^64, as the addresses of a segment that ends with the space are. 0 is "not known".
        vaddr: match segment.vaddr {
            0 => 0,
            vaddr => vaddr.wrapping_add(skipped),
        },
        paddr: range.start().as_u64(),
        filesz: if in_file { range.size() } else { 0 },
        memsz: range.size(),
        ..*segment
    }
}

/// A file that is written from its beginning, and how far it is.
struct Counted<'a> {
    out: &'a mut dyn Write,
    count: u64,
}

impl Counted<'_> {
    fn pad_to(&mut self, offset: u64) -> io::Result<()> {
        // Segments ascend from the end of the headers; nothing lies behind.
        let gap = offset.saturating_sub(self.count);
        io::copy(&mut io::Read::take(io::repeat(0), gap), self)?;
        Ok(())
    }

    /// Copies the memory of a segment.
    fn copy(
        &mut self,
        segment: &Segment,
        memory: &impl PhysMemory,
    ) -> io::Result<std::result::Result<(), MemError>> {
        const CHUNK: usize = 1 << 16;
        let mut chunk = vec![0; CHUNK];
        for skipped in (0..segment.filesz).step_by(CHUNK) {
            let left = usize::try_from(segment.filesz - skipped).unwrap_or(CHUNK);
            chunk.truncate(left.min(CHUNK));
            // Inside a range that ends in the address space.
            let at = PhysAddr::new(segment.paddr.saturating_add(skipped));
            if let Err(error) = memory.read(at, &mut chunk) {
                return Ok(Err(error));
            }
            self.write_all(&chunk)?;
        }
        Ok(Ok(()))
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
