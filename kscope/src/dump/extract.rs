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
//! (`p_filesz < p_memsz`) is left out here; what it lost is a segment past the end of the file here, too.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use elf_format::{NoteType, note};
use page_walk::{AnyWalker, FaultKind};
use physmem::{Absence, MemError, PageShift, PhysAddr, PhysMemory, PhysRange, VirtAddr, sorted};
use vmcore_format::{
    Reader,
    build::{
        Piece,
        core::{Content, Core, Part, clip},
    },
    vmcoreinfo,
};

use super::{
    Opened,
    address::{self, Span},
    ident, table_budget,
    tables::Tables,
};
use crate::{
    core_file,
    failure::{Failure, Result, notice},
    input::{Input, Source, is_stdin, lines},
    output::count,
    progress::Progress,
};

/// Cut a small dump out of a big one: pages and the page tables that reach them
///
/// Notes are copied, VMCOREINFO becomes one wherever it is from, and segments keep their physical and virtual addresses. Tables are kept for
/// addresses that are not mapped, too, so that this answer stays the same. Memory that the dump lost, or has damaged,
/// is lost in the extract, too: that is said on standard error, and the exit status is 1. So it is if
/// the dump holds nothing that an option asks for.
#[derive(Debug, clap::Args)]
#[group(id = "selection", required = true, multiple = true, args = ["virt", "phys", "virt_list"])]
pub(crate) struct Extract {
    #[command(flatten)]
    source: Source,

    /// The file to write; it appears when it is complete. `-` is standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// Keep the pages at a virtual address, and its tables; LEN is in decimal, or in hexadecimal with 0x
    #[arg(long, value_name = "ADDR[+LEN]")]
    virt: Vec<Span>,

    /// Keep the pages at a physical address; LEN is in decimal, or in hexadecimal with 0x
    #[arg(long, value_name = "ADDR[+LEN]")]
    phys: Vec<Span>,

    /// Like --virt for each line of a file: `ADDR[+LEN]`, or `ROOT ADDR[+LEN]` with a top table of its
    /// own
    #[arg(long, value_name = "LIST")]
    virt_list: Vec<PathBuf>,

    #[command(flatten)]
    tables: Tables,
}

/// Virtual addresses and their top table, if it is not the kernel's.
type Rooted = (Option<PhysAddr>, Span);

impl Extract {
    pub(crate) fn run(&self) -> Result {
        let lists = self.virt_list.iter().filter(|list| is_stdin(list));
        self.source.check_stdin(lists.count())?;
        self.source.refuse_as_target(&self.out)?;
        self.source.with_dump(|dump| self.cut_out(dump))
    }

    fn cut_out(&self, dump: &Opened) -> Result {
        let page = dump
            .page_size()
            .map_err(|error| self.source.failure(error))?;
        let memory = dump.reader();
        let mut kept = Kept::new(dump, page);
        let found_all = self.select(dump, &memory, &mut kept)?;
        let parts = cut(dump, &kept.pages(&self.source.path)?);
        let step = dump
            .kdump()
            .map_or(page, |kdump| kdump.header().block.min(page));
        let Tried { parts, first_lost } = Tried::of(parts, &memory, step)
            .map_err(|error| Failure::system(&self.source.path, error))?;
        let mut damage = None;
        let mut notes = dump
            .notes()
            .map_while(|note| note.map_err(|error| damage = Some(error)).ok())
            .map(note::Builder::from)
            .collect::<Vec<_>>();
        note_vmcoreinfo(dump, &mut notes);
        self.write(dump, &memory, &notes, page, &parts)?;

        if let Some(first) = first_lost {
            let lost = parts.iter().filter(|part| part.content == Content::Lost);
            let bytes: u64 = lost.map(|part| part.range.size()).sum();
            let verb = if bytes == 1 { "is" } else { "are" };
            let bytes = count(bytes, "byte");
            let why = format_args!("{first}; {bytes} of the extract {verb} lost, too");
            notice(&self.source.path, why);
        }
        if let Some(error) = damage {
            return Err(self.source.failure(error));
        }
        if found_all && first_lost.is_none() {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }

    /// Keeps what the options ask for, and names each of which nothing is in the dump; whether all had
    /// something.
    fn select(&self, dump: &Opened, memory: &Reader<'_, Input>, kept: &mut Kept) -> Result<bool> {
        let name = |what| notice(&self.source.path, what);
        let mut found_all = true;
        for span in &self.phys {
            let bad = |error| Failure::Usage(format!("--phys {span}: {error}"));
            let (first, last) = (PhysAddr::new(span.first), PhysAddr::new(span.last));
            if !kept.add(PhysRange::inclusive(first, last).map_err(bad)?) {
                name(format!("--phys {span}: none of it is in the dump"));
                found_all = false;
            }
        }

        for (option, spans) in self.virtual_spans()? {
            let tables = Noted {
                memory,
                page: kept.page,
                pages: RefCell::default(),
                any_read: Cell::default(),
            };
            let pages = self.keep_virtual(dump, &tables, &spans, kept)?;
            for at in tables.pages.into_inner() {
                // The last byte of the address space is in no range, and no table begins there.
                if let Ok(table) = PhysRange::with_size(at, 1) {
                    kept.add(table);
                }
            }
            match (pages, tables.any_read.get()) {
                (true, _) => {}
                (false, true) => name(format!("{option}: only tables of it are in the dump")),
                (false, false) => {
                    name(format!("{option}: none of it is in the dump"));
                    found_all = false;
                }
            }
        }
        Ok(found_all)
    }

    /// Keeps the pages at virtual addresses; whether the dump holds any.
    fn keep_virtual(
        &self,
        dump: &Opened,
        tables: &impl PhysMemory,
        spans: &[Rooted],
        kept: &mut Kept,
    ) -> Result<bool> {
        let budget = table_budget(dump);
        let mut any = false;
        let mut walker: Option<(Option<PhysAddr>, AnyWalker)> = None;
        for &(root, Span { first, last }) in spans {
            // To find a walker takes a look through VMCOREINFO; lists have many lines.
            let here = match (walker, root) {
                (Some((before, walker)), _) if before == root => walker,
                (Some((_, walker)), Some(root)) => walker.with_root(root),
                _ => self.tables.walker_at(&self.source, dump, root)?,
            };
            walker = Some((root, here));
            let addresses = VirtAddr::new(first)..=VirtAddr::new(last);
            for found in here.extents(tables, addresses).with_budget(budget) {
                match found {
                    // Beyond the address space there is nothing to keep.
                    Ok(extent) => {
                        any |= PhysRange::with_size(extent.phys, extent.size)
                            .is_ok_and(|range| kept.add(range));
                    }
                    Err(fault) if fault.kind == FaultKind::Budget => {
                        return Err(Failure::input(&self.source.path, fault));
                    }
                    Err(fault) => self.source.unless_refused(&fault)?,
                }
            }
        }
        Ok(any)
    }

    /// What each option for virtual addresses asks for, by its name.
    fn virtual_spans(&self) -> Result<Vec<(String, Vec<Rooted>)>> {
        let named = |span: &Span| (format!("--virt {span}"), vec![(self.tables.root, *span)]);
        let mut options: Vec<_> = self.virt.iter().map(named).collect();
        for list in &self.virt_list {
            let mut spans = Vec::new();
            for line in lines(list)? {
                let (number, line) = line?;
                let span = list_line(&line)
                    .map_err(|why| Failure::input(list, format_args!("line {number}: {why}")))?;
                spans.extend(span.map(|(root, span)| (root.or(self.tables.root), span)));
            }
            options.push((format!("--virt-list {}", list.display()), spans));
        }
        Ok(options)
    }

    fn write(
        &self,
        dump: &Opened,
        memory: &Reader<'_, Input>,
        notes: &[note::Builder<'_>],
        page: PageShift,
        parts: &[Part],
    ) -> Result {
        let (ident, flags) = ident(dump);
        let core = Core {
            ident,
            machine: dump.machine(),
            entry: dump.elf().map_or(0, |elf| elf.header().entry),
            flags,
            page,
            notes,
            parts: parts.iter().copied(),
        };
        core_file::write(&core, memory, &self.source.path, &self.out)
    }
}

/// The pages to keep.
struct Kept {
    page: PageShift,
    ranges: Vec<PhysRange>,
    /// What the dump describes, ascending and apart.
    described: Vec<PhysRange>,
}

impl Kept {
    fn new(dump: &Opened, page: PageShift) -> Self {
        Self {
            page,
            ranges: Vec::new(),
            described: dump.ranges().map(|(range, _)| range).collect(),
        }
    }

    /// Adds the pages of `range`; whether the dump describes any of their bytes.
    fn add(&mut self, range: PhysRange) -> bool {
        // Only the last page of the address space has no end to name.
        let range = range.touched_pages(self.page).unwrap_or(range);
        self.ranges.push(range);
        let next = self
            .described
            .partition_point(|described| described.end() <= range.start());
        self.described
            .get(next)
            .is_some_and(|described| described.start() < range.end())
    }

    /// Ascending and apart.
    fn pages(mut self, path: &Path) -> Result<Vec<PhysRange>> {
        self.ranges.sort_unstable();
        let merged = sorted(self.ranges).map_err(|error| Failure::input(path, error))?;
        Ok(merged.collect())
    }
}

/// Parts as they can be read: headers come before all memory, and only decoding tells that a compressed page is lost.
struct Tried {
    parts: Vec<Part>,
    first_lost: Option<MemError>,
}

impl Tried {
    /// Reads the stored parts page by page; an error is the system's.
    fn of(
        parts: Vec<Part>,
        memory: &impl PhysMemory,
        page: PageShift,
    ) -> std::result::Result<Self, MemError> {
        let mut tried = Self {
            parts: Vec::new(),
            first_lost: None,
        };
        let mut progress = Progress::of_bytes(parts.iter().map(|part| part.range.size()).sum());
        // 1 GiB at most.
        let mut buffer = vec![0; usize::try_from(page.bytes()).unwrap_or_default()];
        for part in parts {
            if part.content == Content::Stored {
                tried.read(part, memory, &mut buffer)?;
            } else {
                if part.content == Content::Lost {
                    let at = part.range.start();
                    let why = Absence::Lost;
                    tried.first_lost.get_or_insert(MemError { at, why });
                }
                tried.parts.push(part);
            }
            progress.advance(part.range.size());
        }
        Ok(tried)
    }

    fn read(
        &mut self,
        part: Part,
        memory: &impl PhysMemory,
        buffer: &mut [u8],
    ) -> std::result::Result<(), MemError> {
        let size = usize::try_from(part.range.size());
        if size.is_ok_and(|size| memory.lend(part.range.start(), size).is_some()) {
            self.parts.push(part);
            return Ok(());
        }
        let before = self.parts.len();
        let whole = Piece {
            offset: 0,
            range: part.range,
        };
        for Piece { range, .. } in whole.chunks(buffer.len()) {
            let size = usize::try_from(range.size()).unwrap_or_default();
            let page = buffer.get_mut(..size).unwrap_or_default();
            let content = match memory.read(range.start(), page) {
                Ok(()) => Content::Stored,
                Err(error) if matches!(error.why, Absence::Io { .. }) => return Err(error),
                Err(error) => {
                    self.first_lost.get_or_insert(error);
                    Content::Lost
                }
            };
            let run = self.parts.get_mut(before..).and_then(<[Part]>::last_mut);
            match run.filter(|run| run.content == content) {
                Some(run) => {
                    // It follows, so it is longer.
                    let longer = PhysRange::try_new(run.range.start(), range.end());
                    run.range = longer.unwrap_or(run.range);
                }
                None => {
                    let piece = part.clipped(range);
                    self.parts
                        .extend(piece.map(|part| Part { content, ..part }));
                }
            }
        }
        Ok(())
    }
}

/// Memory that notes which of its pages are read: all that a listing looks at.
///
/// It does not lend, so that a table counts where one of its entries is looked at and not before.
struct Noted<'m, M> {
    memory: &'m M,
    page: PageShift,
    pages: RefCell<BTreeSet<PhysAddr>>,
    any_read: Cell<bool>,
}

impl<M: PhysMemory> PhysMemory for Noted<'_, M> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> std::result::Result<(), MemError> {
        // Entries that are read at once are of one table, and so of one page.
        self.pages.borrow_mut().insert(at.align_down(self.page));
        self.memory.read(at, out)?;
        self.any_read.set(true);
        Ok(())
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.memory.next_run(from)
    }
}

/// Makes VMCOREINFO a note if it is not the one of the dump: it came with `--vmcoreinfo`, or the kernel or the header
/// of a compressed dump leads to it.
fn note_vmcoreinfo<'d>(dump: &'d Opened, notes: &mut Vec<note::Builder<'d>>) {
    // If it is damaged so are the notes, or the page that has it, and that is said.
    let Ok(Some(info)) = dump.vmcoreinfo() else {
        return;
    };
    let is_vmcoreinfo = |note: &note::Builder<'_>| note.name == vmcoreinfo::NOTE_NAME;
    let before = notes.iter().find(|note| is_vmcoreinfo(note));
    if before.is_none_or(|note| note.desc != info.text()) {
        notes.retain(|note| !is_vmcoreinfo(note));
        notes.push(note::Builder {
            name: vmcoreinfo::NOTE_NAME,
            kind: NoteType(0),
            desc: info.text(),
        });
    }
}

/// What the dump says about `pages`, ascending and apart, each byte from the segment that provides it.
fn cut(dump: &Opened, pages: &[PhysRange]) -> Vec<Part> {
    let Some(elf) = dump.elf() else {
        let ranges = dump.ranges();
        let parts = ranges.filter_map(|(range, absence)| Part::of(range, absence));
        return clip(parts, pages).collect();
    };
    let pieces = elf.pieces().filter_map(|(range, segment, absence)| {
        Part::of_segment(dump.segments().get(segment)?, range, absence)
    });
    clip(pieces, pages).collect()
}

/// `[ROOT] ADDR[+LEN]`, or nothing.
fn list_line(line: &str) -> std::result::Result<Option<Rooted>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        [] => Ok(None),
        [span] => Ok(Some((None, span.parse()?))),
        [root, span] => Ok(Some((Some(address::root(root)?), span.parse()?))),
        _ => Err("expected `ADDR` or `ROOT ADDR`".to_owned()),
    }
}
