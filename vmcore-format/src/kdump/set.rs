//! A compressed dump, opened: one file, or the parts of a split one.
//!
//! ```text
//!  frames    0 ──────────────── start_pfn ──────────── end_pfn ───── max_mapnr
//!  part 1    │ descriptors, data │                      │
//!  part 2    │                   │  descriptors, data   │
//!  missing   │                   │                      │  lost      │
//! ```
//!
//! Every part has the same headers and the same two bitmaps, and room for all descriptors; it holds those of
//! its own frames, the first of them in the first place. Parts may be given in any order, and not all of
//! them: the pages of the others are lost.
//!
//! Source: makedumpfile's IMPLEMENTATION and `--split`.

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::ops::Range;

use elf_format::{Class, Endian, Machine, Note, NoteType, prstatus};

use super::{
    bitmap::Bitmaps,
    header::{Extent, Header, Signature},
    page_desc,
    rank::Rank,
};
use crate::{
    Eraseinfo, Error, Field, ReadAt,
    detect::detect,
    error::PartError,
    file::File,
    kept::{COPIED_MAX, Kept, NOTE_ALIGN, NoteList},
};

const KEPT_SIZE: Field = Field {
    name: "size of notes or text",
    allowed: "at most 64 MiB in all, where they must be copied",
};
const SPLIT: Field = Field {
    name: "split of one of several files",
    allowed: "1",
};
const START_PFN: Field = Field {
    name: "start_pfn of a part",
    allowed: "at or above the end_pfn of the parts before it",
};
const START_PFN_AGAIN: Field = Field {
    name: "start_pfn of a part",
    allowed: "another in each file: this part is given twice",
};

/// Bytes of a page descriptor.
const DESCRIPTOR: u64 = page_desc::SIZE as u64;

/// A file of the set.
#[derive(Debug)]
pub(super) struct Part<S> {
    /// Which of the files that were given.
    pub(super) number: usize,
    pub(super) file: File<S>,
    /// The frames whose pages it holds.
    pub(super) frames: Range<u64>,
    /// Pages of the dump before the first of them.
    pub(super) before: u64,
    /// The frame from which on the file has no descriptors: it was cut.
    pub(super) cut: u64,
    /// Where ERASEINFO is told to be.
    pub(super) erased: Extent,
    eraseinfo: Result<Kept, Error>,
}

/// A compressed dump.
#[derive(Debug)]
pub(crate) struct Set<S> {
    pub(super) header: Header,
    pub(super) machine: Machine,
    /// In the order of their frames; at least one.
    pub(super) parts: Vec<Part<S>>,
    pub(super) bitmaps: Bitmaps,
    pub(super) rank: Rank,
    pub(super) notes: NoteList,
    vmcoreinfo: Option<Result<Kept, Error>>,
}

impl<S: ReadAt> Set<S> {
    /// Opens a file, or all the files there are of a split dump.
    pub(crate) fn open(files: Vec<File<S>>) -> Result<Self, PartError> {
        let is_set = files.len() > 1;
        let mut left = COPIED_MAX;
        let mut parts: Vec<Part<S>> = Vec::with_capacity(files.len());
        let mut first: Option<Header> = None;
        for (number, file) in files.into_iter().enumerate() {
            let in_part = |error| PartError {
                part: number,
                error,
            };
            let header = header_of(&file, is_set).map_err(|error| in_part(error.placed(&file)))?;
            if let (Some(of_first), Some(one)) = (&first, parts.first()) {
                check_same_set((of_first, &one.file), (&header, &file))
                    .map_err(|error| in_part(error.placed(&file)))?;
            }
            parts.push(Part::new(number, file, &header, &mut left));
            first.get_or_insert(header);
        }
        let no_file = PartError {
            part: 0,
            error: Error::Missing { what: "file" },
        };
        let header = first.ok_or(no_file)?;
        let parts = in_order(parts, &header)?;
        // Of the file that lends them from now on, which need not be the one that was given first.
        let Part { number, file, .. } = parts.first().ok_or(no_file)?;
        let bitmaps = Bitmaps::read(file, &header).map_err(|error| PartError {
            part: *number,
            error: error.placed(file),
        })?;
        let mut set = Self {
            machine: Machine::NONE,
            rank: Rank::default(),
            notes: NoteList {
                offset: 0,
                align: NOTE_ALIGN,
                bytes: Err(Error::Missing { what: "file" }),
                cut: None,
            },
            vmcoreinfo: None,
            header,
            parts,
            bitmaps,
        };
        set.count_pages();
        set.read_texts(&mut left);
        set.machine = set.find_machine();
        Ok(set)
    }

    /// The file that everything but pages is taken from.
    pub(crate) fn file(&self) -> Option<&File<S>> {
        self.parts.first().map(|part| &part.file)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn machine(&self) -> Machine {
        self.machine
    }

    pub(crate) fn notes(&self) -> &NoteList {
        &self.notes
    }

    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Which of the files has the notes.
    pub(crate) fn first_part(&self) -> usize {
        self.parts.first().map_or(0, |part| part.number)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File<S>> {
        self.parts.iter().map(|part| &part.file)
    }

    /// VMCOREINFO by the sub header, and its place.
    pub(crate) fn vmcoreinfo(&self) -> Option<Result<(&[u8], u64), Error>> {
        let kept = self.vmcoreinfo.as_ref()?.as_ref();
        let file = self.file()?;
        Some(match kept {
            Ok(kept) => Ok((
                kept.bytes(file),
                file.place_of(self.header.vmcoreinfo.offset),
            )),
            Err(error) => Err(*error),
        })
    }

    /// ERASEINFO, part by part.
    pub(crate) fn eraseinfo(&self) -> impl Iterator<Item = Result<Eraseinfo<'_>, Error>> + '_ {
        self.parts.iter().map(Part::eraseinfo)
    }

    /// The frames that no part holds.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let end = self.header.max_mapnr;
        let mut from = 0;
        self.parts
            .iter()
            .map(|part| part.frames.clone())
            .chain(core::iter::once(end..end))
            .filter_map(move |frames| {
                let gap = from..frames.start;
                from = frames.end;
                (!gap.is_empty()).then_some(gap)
            })
    }

    /// Finds how many pages each part has and where it is cut.
    fn count_pages(&mut self) {
        let Some(file) = self.parts.first().map(|part| &part.file) else {
            return;
        };
        let bits = self.bitmaps.dumped.bits(file);
        let rank = Rank::new(bits);
        let descriptors_at = self.header.descriptors_at();
        let places: Vec<(u64, u64)> = self
            .parts
            .iter()
            .map(|Part { file, frames, .. }| {
                let before = rank.below(bits, frames.start);
                // The bitmaps are inside of the file, and the descriptors come next.
                let room = file.size().saturating_sub(descriptors_at) / DESCRIPTOR;
                // Neither wraps: both count pages that are there, or a file's bytes.
                let cut = match rank.below(bits, frames.end).wrapping_sub(before) <= room {
                    true => frames.end,
                    false => rank.frame_with(bits, before.wrapping_add(room)),
                };
                (before, cut)
            })
            .collect();
        for (part, (before, cut)) in self.parts.iter_mut().zip(places) {
            (part.before, part.cut) = (before, cut);
        }
        self.rank = rank;
    }

    /// Finds the notes and VMCOREINFO. What is wrong with them does not hinder the rest of the dump.
    fn read_texts(&mut self, left: &mut u64) {
        let Some(file) = self.parts.first().map(|part| &part.file) else {
            return;
        };
        let Header {
            notes, vmcoreinfo, ..
        } = &self.header;
        self.notes.offset = file.place_of(notes.offset);
        self.notes.bytes = keep(file, "notes", notes, left);
        self.vmcoreinfo = (vmcoreinfo.size > 0).then(|| keep(file, "VMCOREINFO", vmcoreinfo, left));
    }

    /// The machine by its name, or else by the size of its registers' note.
    fn find_machine(&self) -> Machine {
        let named = self.header.utsname.elf_machine();
        named
            .or_else(|| self.machine_of_registers())
            .unwrap_or(Machine::NONE)
    }

    fn machine_of_registers(&self) -> Option<Machine> {
        let bytes = self.notes.bytes.as_ref().ok()?.bytes(self.file()?);
        let encoding = self.header.encoding;
        let notes = elf_format::Notes::new(bytes, encoding.endian, NOTE_ALIGN, 0).ok()?;
        let is_status =
            |note: &Note<'_>| note.name == prstatus::NOTE_NAME && note.kind == NoteType::PRSTATUS;
        let status = notes.map_while(Result::ok).find(is_status)?;
        let machines: &[Machine] = match (encoding.class, encoding.endian) {
            (Class::Elf64, Endian::Little) => &[
                Machine::X86_64,
                Machine::AARCH64,
                Machine::RISCV,
                Machine::LOONGARCH,
                Machine::PPC64,
            ],
            (Class::Elf64, Endian::Big) => &[Machine::S390, Machine::PPC64, Machine::AARCH64],
            (Class::Elf32, _) => &[Machine::I386, Machine::ARM],
        };
        let fits = |machine: &&Machine| {
            let layout = prstatus::Layout::for_machine(**machine, encoding.class);
            layout.is_some_and(|layout| layout.size == status.desc.len())
        };
        machines.iter().find(fits).copied()
    }
}

impl<S: ReadAt> Part<S> {
    fn new(number: usize, file: File<S>, header: &Header, left: &mut u64) -> Self {
        let frames = header.split.clone().unwrap_or(0..header.max_mapnr);
        Self {
            number,
            before: 0,
            cut: frames.end,
            frames,
            erased: header.eraseinfo,
            eraseinfo: keep(&file, "ERASEINFO", &header.eraseinfo, left),
            file,
        }
    }

    pub(super) fn eraseinfo(&self) -> Result<Eraseinfo<'_>, Error> {
        let kept = self.eraseinfo.as_ref().map_err(|error| *error)?;
        let offset = self.file.place_of(self.erased.offset);
        Ok(Eraseinfo::new(kept.bytes(&self.file), offset))
    }
}

fn keep<S: ReadAt + ?Sized>(
    file: &S,
    what: &'static str,
    &Extent { offset, size }: &Extent,
    left: &mut u64,
) -> Result<Kept, Error> {
    let too_long = Error::BadField {
        field: &KEPT_SIZE,
        offset,
        value: size,
    };
    Kept::read(file, what, (offset, size), left, too_long).map_err(|error| error.placed(file))
}

/// The header of a file that is long enough for the bitmaps, and is to be a part if there are several.
fn header_of<S: ReadAt>(file: &File<S>, is_set: bool) -> Result<Header, Error> {
    let start = file.signature()?;
    let signature = Signature::of(&start).ok_or_else(|| match detect(file) {
        Some(format) => Error::NoParts {
            what: format.name(),
        },
        None => Error::NoDump { start },
    })?;
    let header = Header::read(file, signature)?;
    if is_set && header.split.is_none() {
        return Err(Error::BadField {
            field: &SPLIT,
            offset: header.block.bytes(),
            value: 0,
        });
    }
    Bitmaps::check(file, &header)?;
    Ok(header)
}

/// Refuses a file whose headers or bitmaps are not those of the first one.
fn check_same_set<S: ReadAt>(
    (first, one): (&Header, &File<S>),
    (header, file): (&Header, &File<S>),
) -> Result<(), Error> {
    let differs = |offset| Error::OtherDump { offset };
    if !header.is_of_same_set(first) {
        return Err(differs(0));
    }
    let (ram, dumped) = header.bitmaps();
    for Extent { offset, size } in ram.into_iter().chain([dumped]) {
        let (mut a, mut b) = ([0; 4096], [0; 4096]);
        // Cannot wrap: it lies in the file.
        let end = offset.wrapping_add(size);
        for at in (offset..end).step_by(a.len()) {
            let len =
                usize::try_from(end.wrapping_sub(at)).map_or(a.len(), |left| left.min(a.len()));
            let (a, _) = a.split_at_mut(len);
            let (b, _) = b.split_at_mut(len);
            one.read_exact_at(at, a)
                .map_err(Error::reading("page bitmap"))?;
            file.read_exact_at(at, b)
                .map_err(Error::reading("page bitmap"))?;
            if a != b {
                return Err(differs(at));
            }
        }
    }
    Ok(())
}

/// The parts by their frames, which must be apart.
fn in_order<S: ReadAt>(
    mut parts: Vec<Part<S>>,
    header: &Header,
) -> Result<Vec<Part<S>>, PartError> {
    parts.sort_by_key(|part| (part.frames.start, part.frames.end));
    let mut before = 0..0;
    for Part {
        number,
        file,
        frames,
        ..
    } in &parts
    {
        if frames.start < before.end {
            let error = Error::BadField {
                field: match *frames == before {
                    true => &START_PFN_AGAIN,
                    false => &START_PFN,
                },
                offset: header.block.bytes(),
                value: frames.start,
            };
            return Err(PartError {
                part: *number,
                error: error.placed(file),
            });
        }
        if before.end < frames.end {
            before = frames.clone();
        }
    }
    Ok(parts)
}
