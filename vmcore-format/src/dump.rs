//! A dump, opened: what it holds and what it says about the machine that died.

use alloc::vec::Vec;
use core::slice;

use elf_format::{Header, Machine, Note, NoteType, Prstatus, Segment};
use physmem::{Absence, Endian, PageShift, Pfn, PhysRange};

use crate::{
    Error, ReadAt, Reader, Vmcoreinfo,
    elf::{
        core::{Core, NoteBytes, NoteSegment},
        index::{Backing, Piece},
    },
    vmcoreinfo::NOTE_NAME,
};

/// An opened dump, shared by threads: it holds no cache and nothing in it changes.
///
/// Opening reads the headers and notes, and no memory. Where segments overlap, a byte comes from a
/// segment that has it in the file, and among those from the first one in the program header table.
#[derive(Debug)]
pub struct Dump<S> {
    source: S,
    core: Core,
}

/// Distinct physical bytes, or page frames, of a dump by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// In the file.
    pub present: u64,
    /// In a segment's `p_memsz` and not in its `p_filesz`: left out on purpose, or zero.
    pub excluded: u64,
    /// Past the end of the file: it was cut.
    pub lost: u64,
}

impl Counts {
    fn counter(&mut self, backing: Backing) -> &mut u64 {
        match backing {
            Backing::File(_) => &mut self.present,
            Backing::Lost => &mut self.lost,
            Backing::Excluded => &mut self.excluded,
        }
    }
}

impl<S: ReadAt> Dump<S> {
    /// Opens the dump in `source`.
    ///
    /// A cut file opens: what lies past its end is lost. Notes that are cut or broken do not hinder
    /// the memory either; [`Dump::notes`] says what is wrong with them.
    ///
    /// # Errors
    ///
    /// What is wrong with the headers, or the operating system's refusal to read them.
    pub fn open(source: S) -> Result<Self, Error> {
        container(&source)?;
        let core = Core::open(&source, Err)?;
        Ok(Self { source, core })
    }

    /// Opens what is left of a dump whose program headers are damaged.
    ///
    /// Program headers past the end of the file are missing, and a segment whose memory would pass the
    /// end of the address space has no physical memory. The list says what is wrong; it is empty for
    /// what [`Dump::open`] opens.
    ///
    /// # Errors
    ///
    /// What no reading can do without: the file header and a whole section header 0 if that counts.
    pub fn open_damaged(source: S) -> Result<(Self, Vec<Error>), Error> {
        container(&source)?;
        let mut damage = Vec::new();
        let core = Core::open(&source, |error| {
            damage.push(error);
            Ok(())
        })?;
        Ok((Self { source, core }, damage))
    }

    /// The ELF header.
    pub fn header(&self) -> &Header {
        &self.core.header
    }

    /// The machine it is a dump of.
    pub fn machine(&self) -> Machine {
        self.core.header.machine
    }

    /// The byte order of the file's structures, and of the machine, except for QEMU's ppc64le dumps.
    pub fn endian(&self) -> Endian {
        match self.core.header.encoding().endian {
            elf_format::Endian::Little => Endian::Little,
            elf_format::Endian::Big => Endian::Big,
        }
    }

    /// Every program header, in the order of the file.
    pub fn segments(&self) -> &[Segment] {
        &self.core.segments
    }

    /// Every note of every PT_NOTE segment, in the order of the file.
    pub fn notes(&self) -> Notes<'_, S> {
        Notes {
            dump: self,
            segments: self.core.notes.iter(),
            current: None,
        }
    }

    /// The CPUs whose registers were saved.
    pub fn cpus(&self) -> Cpus<'_, S> {
        Cpus {
            dump: self,
            notes: self.notes(),
            index: 0,
        }
    }

    /// What the kernel says about itself, if a note has it.
    ///
    /// # Errors
    ///
    /// The first broken note, if it comes before one that has it: what follows cannot be found.
    pub fn vmcoreinfo(&self) -> Result<Option<Vmcoreinfo<'_>>, Error> {
        let is_told = |note: &Result<Note<'_>, Error>| {
            note.as_ref().map_or(true, |note| note.name == NOTE_NAME)
        };
        let note = self.notes().find(is_told).transpose()?;
        Ok(note.map(|note| Vmcoreinfo::new(note.desc, note.desc_offset)))
    }

    /// The kernel's page size, from VMCOREINFO, or the only one the machine has.
    ///
    /// # Errors
    ///
    /// Those of [`Dump::vmcoreinfo`]; [`Error::BadText`] if it gives no page size that exists, [`Error::Missing`] if it gives none and the machine has several.
    pub fn page_size(&self) -> Result<PageShift, Error> {
        if let Some(info) = self.vmcoreinfo()? {
            if let Some(page) = info.page_size()? {
                return Ok(page);
            }
        }
        match self.machine() {
            Machine::I386 | Machine::X86_64 | Machine::ARM | Machine::S390 | Machine::RISCV => {
                Ok(PageShift::SIZE_4K)
            }
            _ => Err(Error::Missing {
                what: "page size (PAGESIZE in VMCOREINFO)",
            }),
        }
    }

    /// The stretches of physical memory that the segments describe, ascending and disjoint, each with
    /// why its bytes are not there, `None` if they are. Neighbours may touch.
    pub fn ranges(&self) -> impl Iterator<Item = (PhysRange, Option<Absence>)> + '_ {
        let mut pieces = self.core.index.pieces().iter().peekable();
        core::iter::from_fn(move || {
            let first = pieces.next()?;
            let absence = first.absence();
            let mut range = first.range;
            while let Some(next) = pieces
                .next_if(|next| next.absence() == absence && next.range.start() == range.end())
            {
                range = PhysRange::try_new(range.start(), next.range.end()).ok()?;
            }
            Some((range, absence))
        })
    }

    /// The pieces of physical memory, ascending and disjoint, each with the number of the segment that
    /// provides it and why its bytes are not there, `None` if they are.
    pub fn pieces(&self) -> impl Iterator<Item = (PhysRange, usize, Option<Absence>)> + '_ {
        let pieces = self.core.index.pieces().iter();
        pieces.map(|piece| (piece.range, piece.segment, piece.absence()))
    }

    /// How many bytes of memory are there, and how many are not.
    pub fn byte_counts(&self) -> Counts {
        let mut bytes = Counts::default();
        for piece in self.core.index.pieces() {
            // Disjoint ranges of one address space sum to less than 2^64.
            *bytes.counter(piece.backing) += piece.range.size();
        }
        bytes
    }

    /// How many page frames are there, and how many are not.
    ///
    /// A frame of which a byte is present counts as present, one of the others of which a byte is lost as
    /// lost, and the rest as excluded.
    pub fn page_counts(&self, page: PageShift) -> Counts {
        let mut frames = Counts::default();
        // A frame that the next piece may share, with the best that it holds so far.
        let mut open: Option<(Pfn, Backing)> = None;
        for Piece { range, backing, .. } in self.core.index.pieces() {
            let (first, last) = (range.start().pfn(page), range.last().pfn(page));
            let best = match open.replace((last, *backing)) {
                Some((frame, best)) if frame == first => best.min(*backing),
                Some((_, best)) => {
                    *frames.counter(best) += 1;
                    *backing
                }
                None => *backing,
            };
            if first == last {
                open = Some((last, best));
            } else {
                *frames.counter(best) += 1;
                *frames.counter(*backing) += last.as_u64() - first.as_u64() - 1;
            }
        }
        if let Some((_, best)) = open {
            *frames.counter(best) += 1;
        }
        frames
    }

    /// The dump's memory. Cheap to make; each thread needs its own.
    pub fn reader(&self) -> Reader<'_, S> {
        Reader::new(&self.source, &self.core.index)
    }

    fn note_bytes<'d>(&'d self, segment: &'d NoteSegment) -> Result<&'d [u8], Error> {
        match &segment.bytes {
            // What was lent at open is lent again.
            Ok(NoteBytes::Lent(len)) => Ok(self
                .source
                .lend_at(segment.offset, *len)
                .unwrap_or_default()),
            Ok(NoteBytes::Owned(bytes)) => Ok(bytes),
            Err(error) => Err(*error),
        }
    }
}

/// Refuses by name the containers of dumps that this version cannot read.
fn container<S: ReadAt>(source: &S) -> Result<(), Error> {
    let mut magic = [0; 12];
    if source.read_exact_at(0, &mut magic).is_err() {
        return Ok(());
    }
    let known: [(&[u8], &str); 3] = [
        (b"KDUMP   ", "a compressed kdump"),
        (b"DISKDUMP", "a diskdump"),
        (b"makedumpfile", "a flattened dump"),
    ];
    match known.iter().find(|(start, _)| magic.starts_with(start)) {
        Some((_, what)) => Err(Error::NotYet { what }),
        None => Ok(()),
    }
}

/// The iterator made by [`Dump::notes`]; it stops after the first error.
#[derive(Debug)]
pub struct Notes<'d, S> {
    dump: &'d Dump<S>,
    segments: slice::Iter<'d, NoteSegment>,
    current: Option<elf_format::Notes<'d>>,
}

impl<'d, S: ReadAt> Notes<'d, S> {
    fn fail<T>(&mut self, error: impl Into<Error>) -> Option<Result<T, Error>> {
        self.segments = [].iter();
        self.current = None;
        Some(Err(error.into()))
    }
}

impl<'d, S: ReadAt> Iterator for Notes<'d, S> {
    type Item = Result<Note<'d>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.current.as_mut().and_then(Iterator::next) {
                Some(Ok(note)) => return Some(Ok(note)),
                Some(Err(error)) => return self.fail(error),
                None => {}
            }
            let segment = self.segments.next()?;
            let endian = self.dump.header().encoding().endian;
            let bytes = match self.dump.note_bytes(segment) {
                Ok(bytes) => bytes,
                Err(error) => return self.fail(error),
            };
            match elf_format::Notes::new(bytes, endian, segment.align, segment.offset) {
                Ok(notes) => self.current = Some(notes),
                Err(error) => return self.fail(error),
            }
        }
    }
}

/// A CPU and what its note says.
#[derive(Debug, Clone, Copy)]
pub struct Cpu<'d> {
    /// Which CPU, from 0. The place of an offline CPU, an empty note, counts.
    pub index: usize,
    /// Its registers and the task it ran.
    pub status: Prstatus<'d>,
}

/// The iterator made by [`Dump::cpus`]; it stops after the first error.
#[derive(Debug)]
pub struct Cpus<'d, S> {
    dump: &'d Dump<S>,
    notes: Notes<'d, S>,
    index: usize,
}

impl<'d, S: ReadAt> Iterator for Cpus<'d, S> {
    type Item = Result<Cpu<'d>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let note = match self.notes.next()? {
                Ok(note) => note,
                Err(error) => return Some(Err(error)),
            };
            let is_status = note.name == b"CORE" && note.kind == NoteType::PRSTATUS;
            if !is_status && !note.is_hole() {
                continue;
            }
            let index = self.index;
            self.index += 1;
            if is_status {
                let encoding = self.dump.header().encoding();
                let status =
                    Prstatus::parse(note.desc, self.dump.machine(), encoding, note.desc_offset);
                if let Err(error) = status {
                    return self.notes.fail(error);
                }
                return Some(
                    status
                        .map(|status| Cpu { index, status })
                        .map_err(Error::from),
                );
            }
        }
    }
}
