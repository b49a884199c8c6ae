//! A dump, opened: what it holds and what it says about the machine that died.

use alloc::{boxed::Box, vec, vec::Vec};
use core::ops::Range;

use elf_format::{Encoding, Header, Machine, Note, Segment};
use physmem::{Absence, Endian, PageShift, PhysRange};

use crate::{
    Eraseinfo, Error, Field, PartError, ReadAt, Reader, Vmcoreinfo,
    build::Piece,
    check,
    codec::{Builtin, Codec},
    detect::{Format, detect},
    elf::{core::Core, index::Index},
    eraseinfo,
    file::File,
    frames::frames,
    kdump::{Kdump, Set},
    kept::NOTE_ALIGN,
    kernel,
    reader::Memory,
    vmcoreinfo::NOTE_NAME,
};

pub use crate::{
    frames::Frames,
    notes::{Cpu, Cpus, Notes},
};

const PAGE_SIZE_4K: Field = Field {
    name: "VMCOREINFO PAGESIZE",
    allowed: "4096: the machine has no other",
};
const PAGE_SIZE_IN_BLOCK: Field = Field {
    name: "VMCOREINFO PAGESIZE",
    allowed: "at most block_size of the header",
};

/// An opened dump, shared by threads: it holds no cache and nothing in it changes.
///
/// Opening reads headers, notes and the bitmaps of a compressed dump, and no memory. Of a source that lends
/// it keeps only an index: of ELF its segments, of a compressed dump 1/32 of a bitmap's bytes. What must be
/// copied are notes, 64 MiB at most, and the bitmaps, whose bytes the file has.
///
/// Where segments of ELF overlap, a byte comes from a
/// segment that has it in the file, and among those from the first one in the program header table.
#[derive(Debug)]
pub struct Dump<S> {
    container: Container<S>,
    /// VMCOREINFO from elsewhere, and where in that its text begins.
    told: Option<(Vec<u8>, usize)>,
}

#[derive(Debug)]
enum Container<S> {
    Elf { file: File<S>, core: Box<Core> },
    Kdump(Box<Set<S>>),
    Raw { file: File<S>, raw: Box<Raw> },
}

/// What is known of memory without a container.
#[derive(Debug)]
struct Raw {
    machine: Machine,
    encoding: Encoding,
    index: Index,
}

/// Distinct physical bytes, or page frames, of a dump by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// In the file.
    pub present: u64,
    /// Left out on purpose: in a segment's `p_memsz` and not in its `p_filesz`, where it can be zero, too; or RAM by the bitmaps and
    /// not in the dump.
    pub excluded: u64,
    /// Past the end of the file, because it was cut, or in a missing part.
    pub lost: u64,
}

impl Counts {
    fn counter(&mut self, absence: Option<Absence>) -> &mut u64 {
        match absence {
            None => &mut self.present,
            Some(Absence::Excluded) => &mut self.excluded,
            Some(_) => &mut self.lost,
        }
    }
}

/// The text of a note of that kind.
fn erased(note: Result<Note<'_>, Error>) -> Option<Result<Eraseinfo<'_>, Error>> {
    match note {
        Ok(note) if note.name == eraseinfo::NOTE_NAME => {
            Some(Ok(Eraseinfo::new(note.desc, note.desc_offset)))
        }
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Where the text is if the bytes begin with a note VMCOREINFO.
fn text_of_note(bytes: &[u8], encoding: Encoding) -> Option<Range<usize>> {
    let mut notes = elf_format::Notes::new(bytes, encoding.endian, NOTE_ALIGN, 0).ok()?;
    let note = notes.next()?.ok().filter(|note| note.name == NOTE_NAME)?;
    let start = usize::try_from(note.desc_offset).ok()?;
    // It lies in the bytes.
    Some(start..start + note.desc.len())
}

/// What is wrong with a file that no format has.
fn no_dump<S: ReadAt>(file: &File<S>) -> Error {
    match file.signature() {
        Ok(start) => Error::NoDump { start },
        Err(error) => error,
    }
}

impl<S: ReadAt> Dump<S> {
    /// Opens the dump in `source`, whichever of the formats it has.
    ///
    /// A cut file opens: what lies past its end is lost. Notes that are cut or broken do not hinder
    /// the memory either; [`Dump::notes`] says what is wrong with them. A single part of a split dump opens
    /// as one whose other parts are missing.
    ///
    /// # Errors
    ///
    /// What is wrong with the headers, or the operating system's refusal to read them.
    pub fn open(source: S) -> Result<Self, Error> {
        Self::open_file(File::open(source)?, Err)
    }

    /// Opens what is left of a dump whose program headers, or records if it is flattened, are damaged.
    ///
    /// Program headers past the end of the file are missing, and a segment whose memory would pass the
    /// end of the address space has no physical memory. Of a flattened file that ends early, or is broken in the middle, what
    /// comes before is there. The list says what is wrong; it is empty for
    /// what [`Dump::open`] opens, except for a flattened file that was cut.
    ///
    /// # Errors
    ///
    /// What no reading can do without: the file header and a whole section header 0 if that counts, the headers
    /// and bitmaps of a compressed dump.
    pub fn open_damaged(source: S) -> Result<(Self, Vec<Error>), Error> {
        let file = File::open_damaged(source)?;
        let mut damage: Vec<Error> = file.damage().into_iter().collect();
        let dump = Self::open_file(file, |error| {
            damage.push(error);
            Ok(())
        })?;
        Ok((dump, damage))
    }

    fn open_file(
        file: File<S>,
        mut damaged: impl FnMut(Error) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        Ok(Self::new(match detect(&file) {
            Some(Format::Kdump | Format::Diskdump) => {
                let set = Set::open(vec![file]);
                Container::Kdump(Box::new(set.map_err(|PartError { error, .. }| error)?))
            }
            Some(Format::Elf) => {
                // What is refused comes back as it was, and is placed once, below.
                let core = Core::open(&file, |error| {
                    damaged(error.placed(&file)).map_err(|_| error)
                });
                let core = Box::new(core.map_err(|error| error.placed(&file))?);
                Container::Elf { file, core }
            }
            Some(Format::Flattened) => {
                let what = "a flattened dump inside of a flattened one";
                return Err(Error::NotYet { what });
            }
            Some(other) => return Err(Error::NotYet { what: other.name() }),
            None => return Err(no_dump(&file)),
        }))
    }

    /// Opens a split dump from its parts, in any order; one source may be any dump.
    ///
    /// Parts may be missing: their pages are lost, and [`Kdump::missing`] names them.
    ///
    /// # Errors
    ///
    /// What is wrong, and in which source: headers as in [`Dump::open`], what is no part of the same dump, the same part twice.
    pub fn open_parts(sources: impl IntoIterator<Item = S>) -> Result<Self, PartError> {
        let mut sources = sources.into_iter().enumerate().peekable();
        let in_part = |part| move |error| PartError { part, error };
        let mut files = Vec::new();
        while let Some((part, source)) = sources.next() {
            if part == 0 && sources.peek().is_none() {
                return Self::open(source).map_err(in_part(part));
            }
            files.push(File::open(source).map_err(in_part(part))?);
        }
        Set::open(files).map(|set| Self::new(Container::Kdump(Box::new(set))))
    }

    /// Takes memory without a container, of which the file says nothing: what QEMU's `pmemsave` writes, a virtual machine's
    /// memory in a file, what a debugger read out.
    ///
    /// `pieces` tell which memory lies where in the file; a byte that several of them have comes from the first. What is past
    /// the end of the file is lost. `encoding` has the machine's word size and byte order.
    /// Nothing is read. The kernel is found by [`Dump::with_vmcoreinfo`]; without, there is only physical memory.
    ///
    /// ```
    /// use elf_format::{Class, Encoding, Endian, Machine};
    /// use physmem::{PhysAddr, PhysMemory, PhysRange};
    /// use vmcore_format::{Dump, build::Piece};
    ///
    /// let ram = [7; 0x3000]; // of a board whose memory begins at 1 GiB
    /// let range = PhysRange::with_size(PhysAddr::new(0x4000_0000), 0x3000)?;
    /// let encoding = Encoding { class: Class::Elf64, endian: Endian::Little };
    /// let dump = Dump::open_raw(&ram[..], Machine::AARCH64, encoding, [Piece { offset: 0, range }])
    ///     .with_vmcoreinfo(b"PAGESIZE=4096\n".to_vec());
    /// assert_eq!(dump.page_size()?.bytes(), 4096);
    /// let mut last = [0; 4];
    /// dump.reader().read(PhysAddr::new(0x4000_2ffc), &mut last)?;
    /// assert_eq!(last, [7; 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_raw(
        source: S,
        machine: Machine,
        encoding: Encoding,
        pieces: impl IntoIterator<Item = Piece>,
    ) -> Self {
        let raw = Box::new(Raw {
            machine,
            encoding,
            index: Index::of_pieces(pieces, source.size()),
        });
        let file = File::Plain(source);
        Self::new(Container::Raw { file, raw })
    }

    fn new(container: Container<S>) -> Self {
        let told = None;
        Self { container, told }
    }

    /// Takes VMCOREINFO from elsewhere, instead of that of the dump: a hypervisor may have none to write, and memory without a
    /// container has none.
    ///
    /// `bytes` are the text, or the note that has it as it lies in the kernel's memory, where the machine's
    /// /sys/kernel/vmcoreinfo says.
    #[must_use]
    pub fn with_vmcoreinfo(self, mut bytes: Vec<u8>) -> Self {
        let text_at = text_of_note(&bytes, self.encoding()).map_or(0, |text| {
            bytes.truncate(text.end);
            text.start
        });
        Self {
            told: Some((bytes, text_at)),
            ..self
        }
    }

    /// What only ELF dumps have.
    pub fn elf(&self) -> Option<Elf<'_>> {
        match &self.container {
            Container::Elf { core, .. } => Some(Elf { core }),
            Container::Kdump(_) | Container::Raw { .. } => None,
        }
    }

    /// What only compressed dumps have.
    pub fn kdump(&self) -> Option<Kdump<'_, S>> {
        match &self.container {
            Container::Elf { .. } | Container::Raw { .. } => None,
            Container::Kdump(set) => Some(Kdump(set)),
        }
    }

    /// Whether it is flattened, or any of its parts.
    pub fn is_flattened(&self) -> bool {
        match &self.container {
            Container::Elf { file, .. } => file.is_flattened(),
            Container::Kdump(set) => set.files().any(File::is_flattened),
            Container::Raw { .. } => false,
        }
    }

    /// Whether the writer says that it did not get to the end: makedumpfile, where the disk was full.
    pub fn is_incomplete(&self) -> bool {
        /// `DUMP_ELF_INCOMPLETE` of makedumpfile's `elf_info.h`, in `e_flags`.
        const INCOMPLETE: u32 = 1;
        match &self.container {
            Container::Elf { core, .. } => core.header.flags & INCOMPLETE != 0,
            Container::Kdump(set) => set.header().is_incomplete(),
            Container::Raw { .. } => false,
        }
    }

    /// The machine it is a dump of: of a compressed dump that which `utsname` names, or else the one whose
    /// registers are in the notes; [`Machine::NONE`] if neither tells.
    pub fn machine(&self) -> Machine {
        match &self.container {
            Container::Elf { core, .. } => core.header.machine,
            Container::Kdump(set) => set.machine(),
            Container::Raw { raw, .. } => raw.machine,
        }
    }

    /// Word size and byte order of the file's structures; of memory without a container those it was opened with.
    pub fn encoding(&self) -> Encoding {
        match &self.container {
            Container::Elf { core, .. } => core.header.encoding(),
            Container::Kdump(set) => set.header().encoding,
            Container::Raw { raw, .. } => raw.encoding,
        }
    }

    /// The byte order of the file's structures, and of the machine, except for QEMU's ppc64le dumps.
    pub fn endian(&self) -> Endian {
        match self.encoding().endian {
            elf_format::Endian::Little => Endian::Little,
            elf_format::Endian::Big => Endian::Big,
        }
    }

    /// Every program header, in the order of the file; none if it is not ELF.
    pub fn segments(&self) -> &[Segment] {
        match &self.container {
            Container::Elf { core, .. } => &core.segments,
            Container::Kdump(_) | Container::Raw { .. } => &[],
        }
    }

    /// Every note in the order of the file: of ELF those of every PT_NOTE segment.
    pub fn notes(&self) -> Notes<'_, S> {
        let (file, lists) = match &self.container {
            Container::Elf { file, core } => (Some(file), core.notes.as_slice()),
            Container::Kdump(set) => (set.file(), core::slice::from_ref(set.notes())),
            Container::Raw { .. } => (None, &[][..]),
        };
        Notes::new(file, self.encoding(), lists)
    }

    /// The CPUs whose registers were saved.
    pub fn cpus(&self) -> Cpus<'_, S> {
        Cpus::new(self.notes(), self.machine())
    }

    /// What the kernel says about itself: what [`Dump::with_vmcoreinfo`] was given, what the header of a compressed
    /// dump points to, or a note.
    ///
    /// # Errors
    ///
    /// The first broken note, if it comes before one that has it: what follows cannot be found.
    pub fn vmcoreinfo(&self) -> Result<Option<Vmcoreinfo<'_>>, Error> {
        if let Some((bytes, text_at)) = &self.told {
            let text = bytes.get(*text_at..).unwrap_or_default();
            return Ok(Some(Vmcoreinfo::new(text, *text_at as u64)));
        }
        let by_header = match &self.container {
            Container::Elf { .. } | Container::Raw { .. } => None,
            Container::Kdump(set) => set.vmcoreinfo(),
        };
        if let Some(Ok((text, offset))) = by_header {
            return Ok(Some(Vmcoreinfo::new(text, offset)));
        }
        let is_told = |note: &Result<Note<'_>, Error>| {
            note.as_ref().map_or(true, |note| note.name == NOTE_NAME)
        };
        let note = self.notes().find(is_told).transpose()?;
        match (note, by_header) {
            (Some(note), _) => Ok(Some(Vmcoreinfo::new(note.desc, note.desc_offset))),
            (None, Some(Err(error))) => Err(error),
            (None, _) => Ok(None),
        }
    }

    /// What `makedumpfile --config` erased, in its words: of a split dump part by part.
    pub fn eraseinfo(&self) -> impl Iterator<Item = Result<Eraseinfo<'_>, Error>> {
        let (notes, texts) = match &self.container {
            Container::Elf { .. } | Container::Raw { .. } => (Some(self.notes()), None),
            Container::Kdump(set) => (None, Some(set.eraseinfo())),
        };
        let notes = notes.into_iter().flatten().filter_map(erased);
        let is_something = |found: &Result<Eraseinfo<'_>, Error>| {
            found.map_or(true, |found| !found.text().is_empty())
        };
        notes.chain(texts.into_iter().flatten().filter(is_something))
    }

    /// The kernel's page size, from VMCOREINFO, or the only one the machine has, or else the block size of a
    /// compressed dump: QEMU's dumps of arm64, where the two differ, have VMCOREINFO.
    ///
    /// # Errors
    ///
    /// [`Error::BadText`] if VMCOREINFO gives no page size that exists, and [`Error::BadField`] for one that the machine
    /// has not or that is larger than a block; of a machine that has several those of [`Dump::vmcoreinfo`], and
    /// [`Error::NoVmcoreinfo`] or [`Error::Missing`] if it gives none.
    pub fn page_size(&self) -> Result<PageShift, Error> {
        let info = self.vmcoreinfo();
        let only = match self.machine() {
            Machine::I386 | Machine::X86_64 | Machine::ARM | Machine::S390 | Machine::RISCV => {
                Some(PageShift::SIZE_4K)
            }
            _ => None,
        };
        let block = self.kdump().map(|kdump| kdump.header().block);
        if let Ok(Some(info)) = &info {
            if let Some(page) = info.page_size()? {
                let field = match (only, block) {
                    (Some(only), _) if page != only => &PAGE_SIZE_4K,
                    (_, Some(block)) if page > block => &PAGE_SIZE_IN_BLOCK,
                    _ => return Ok(page),
                };
                return Err(info.refused(&["PAGESIZE="], field, page.bytes()));
            }
        }
        match (only, info, block) {
            (Some(only), ..) => Ok(only),
            (None, Err(error), _) => Err(error),
            (None, Ok(_), Some(block)) => Ok(block),
            (None, Ok(Some(_)), None) => Err(Error::Missing {
                what: "page size (PAGESIZE in VMCOREINFO)",
            }),
            (None, Ok(None), None) => Err(Error::NoVmcoreinfo),
        }
    }

    /// The stretches of physical memory that the dump describes, ascending and disjoint, each with
    /// why its bytes are not there, `None` if they are. Neighbours may touch.
    ///
    /// Of a compressed dump this is what the bitmaps say: only a page's descriptor, when it is
    /// read, tells that its bytes are lost; [`Kdump::census`] reads them all.
    pub fn ranges(&self) -> impl Iterator<Item = (PhysRange, Option<Absence>)> + '_ {
        let mut pieces = self.runs().peekable();
        core::iter::from_fn(move || {
            let (mut range, absence) = pieces.next()?;
            while let Some((next, _)) =
                pieces.next_if(|(next, other)| *other == absence && next.start() == range.end())
            {
                range = PhysRange::try_new(range.start(), next.end()).ok()?;
            }
            Some((range, absence))
        })
    }

    /// The same as the container has them.
    fn runs(&self) -> impl Iterator<Item = (PhysRange, Option<Absence>)> + '_ {
        let (pieces, runs) = match &self.container {
            Container::Elf { core, .. } => (core.index.pieces(), None),
            Container::Raw { raw, .. } => (raw.index.pieces(), None),
            Container::Kdump(set) => (&[][..], Some(set.view().runs(0))),
        };
        let pieces = pieces.iter().map(|piece| (piece.range, piece.absence()));
        pieces.chain(runs.into_iter().flatten())
    }

    /// How many bytes of memory are there, and how many are not; see [`Dump::ranges`].
    pub fn byte_counts(&self) -> Counts {
        let mut bytes = Counts::default();
        for (range, absence) in self.runs() {
            // Disjoint ranges of one address space sum to less than 2^64.
            *bytes.counter(absence) += range.size();
        }
        bytes
    }

    /// The page frames that the dump describes, each of them once, ascending; see [`Dump::ranges`].
    ///
    /// A frame of which a byte is lost is lost, one of the others of which a byte is present is present, and the rest
    /// are excluded.
    pub fn frames(&self, page: PageShift) -> impl Iterator<Item = Frames> + '_ {
        frames(self.runs(), page)
    }

    /// How many of [`Dump::frames`] are there, and how many are not.
    pub fn page_counts(&self, page: PageShift) -> Counts {
        let mut counts = Counts::default();
        for run in self.frames(page) {
            // Frames are fewer than bytes.
            *counts.counter(run.absence) += run.count();
        }
        counts
    }

    /// What the headers, notes, bitmaps and VMCOREINFO say and cannot be right, compared with the file and with each other,
    /// and in which of its files (VMCOREINFO from elsewhere counts to the first); empty for a dump that is sound as far as
    /// one can know without its pages. A dump that describes no memory, or has none of it, is not sound. Of VMCOREINFO
    /// those values are judged that this library reads.
    ///
    /// Reads notes, bitmaps and page descriptors, not pages, except for the root of page tables on s390x. What
    /// [`Dump::open_damaged`] has listed is not listed again.
    pub fn check(&self) -> Vec<PartError> {
        let mut found = self.check_container();
        let part = match &self.container {
            Container::Kdump(set) if self.told.is_none() => set.first_part(),
            _ => 0,
        };
        // The container's own was looked at.
        let line = self
            .told
            .as_ref()
            .and_then(|(bytes, at)| check::line(bytes.get(*at..).unwrap_or_default(), *at as u64));
        for error in line.into_iter().chain(kernel::check(self)) {
            let error = PartError { part, error };
            if !found.contains(&error) {
                found.push(error);
            }
        }
        found
    }

    fn check_container(&self) -> Vec<PartError> {
        match &self.container {
            Container::Elf { file, core } => {
                let mut found = Vec::new();
                check::segments(core, file.damage().is_some(), &mut found);
                for error in &mut found {
                    *error = error.placed(file);
                }
                let machine = (self.machine(), self.encoding());
                check::notes(file, machine, &core.notes, &mut found);
                let in_file = |error| PartError { part: 0, error };
                found.into_iter().map(in_file).collect()
            }
            Container::Kdump(set) => set.check(),
            // It says nothing that could be wrong.
            Container::Raw { .. } => Vec::new(),
        }
    }

    /// The dump's memory. Cheap to make; each thread needs its own.
    pub fn reader(&self) -> Reader<'_, S> {
        self.reader_with(Builtin::default())
    }

    /// The same with a codec of one's own.
    pub fn reader_with<C: Codec>(&self, codec: C) -> Reader<'_, S, C> {
        let memory = match &self.container {
            Container::Elf { file, core } => Memory::Indexed {
                file,
                index: &core.index,
            },
            Container::Raw { file, raw } => Memory::Indexed {
                file,
                index: &raw.index,
            },
            Container::Kdump(set) => Memory::Kdump(set.view()),
        };
        Reader::new(memory, codec)
    }
}

/// What only ELF dumps have; made by [`Dump::elf`].
#[derive(Debug, Clone, Copy)]
pub struct Elf<'d> {
    core: &'d Core,
}

impl<'d> Elf<'d> {
    /// The ELF header.
    pub fn header(&self) -> &'d Header {
        &self.core.header
    }

    /// The pieces of physical memory, ascending and disjoint, each with the number of the segment ([`Dump::segments`]) that
    /// provides it and why its bytes are not there, `None` if they are.
    pub fn pieces(&self) -> impl Iterator<Item = (PhysRange, usize, Option<Absence>)> + 'd {
        let pieces = self.core.index.pieces().iter();
        pieces.map(|piece| (piece.range, piece.segment, piece.absence()))
    }
}
