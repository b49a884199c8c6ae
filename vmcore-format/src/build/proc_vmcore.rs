//! What /proc/vmcore makes of an elfcorehdr, and the file that it shows.
//!
//! ```text
//!  elfcorehdr    header │ PT_NOTE  PT_NOTE  PT_NOTE │ PT_LOAD        PT_LOAD
//!                             ╲       │       ╱        │ p_offset: where in memory
//!                              ╲      │      ╱         ▼
//!  /proc/vmcore  header │ PT_NOTE │ PT_LOAD │ PT_LOAD │ 0… │ notes │ 0… │ memory  │ memory │
//!                0                                         ├───────── whole pages ────────┤
//! ```
//!
//! The notes of all buffers are joined, each up to its end; program headers keep their addresses
//! and lengths, and point into the file. Memory comes in whole pages: what lies around a range in
//! its first and last page is in the file, too, and no header tells of it.
//!
//! Left out are the notes that drivers add to the capture kernel's file (`NT_VMCOREDD`), and the
//! zeros in place of pages that a hypervisor took away (`pfn_is_ram()`).
//!
//! Source: `parse_crash_elf64_headers()` and what it calls in Linux `fs/proc/vmcore.c`.

#![deny(clippy::arithmetic_side_effects)]

use alloc::{vec, vec::Vec};

use elf_format::{
    Class, Encoding, Endian, FileType, Header, Segment, SegmentFlags, SegmentType, Segments,
    header::PN_XNUM, ident::EV_CURRENT, note::HEADER_SIZE,
};
use physmem::{Absence, MemError, PageShift, PhysAddr, PhysMemory, PhysRange, Width};

use super::{
    Piece,
    elfcorehdr::{FIRST_TYPE, PHNUM},
};
use crate::{Error, Field, ReadAt, source::ReadError};

/// What all notes may come to, in bytes. 8,192 CPUs write 3 MB of registers; Linux allocates a
/// buffer for each PT_NOTE in one piece, so that even one of them is limited to a few MiB there.
const NOTES_MAX: u64 = 64 << 20;

/// `EFAULT`: what a read of /proc/vmcore fails with where memory cannot be read.
const EFAULT: i32 = 14;

const TYPE: Field = Field {
    name: "e_type",
    allowed: "4 (ET_CORE)",
};
const VERSION: Field = Field {
    name: "e_version",
    allowed: "1 (EV_CURRENT)",
};
const PHOFF: Field = Field {
    name: "e_phoff",
    allowed: "e_ehsize, as /proc/vmcore looks for the program headers there",
};
const EHSIZE: Field = Field {
    name: "e_ehsize",
    allowed: "0x34 in ELF32, 0x40 in ELF64",
};
const PHENTSIZE: Field = Field {
    name: "e_phentsize",
    allowed: "0x20 in ELF32, 0x38 in ELF64",
};
const LATE_NOTE: Field = Field {
    name: "p_type",
    allowed: "not 4 (PT_NOTE) behind other types, as /proc/vmcore would drop the others",
};
const MEMSZ: Field = Field {
    name: "p_memsz",
    allowed: "what ends, in whole pages, before 2^64",
};
const NOTES: Field = Field {
    name: "p_memsz of a PT_NOTE",
    allowed: "notes of at most 64 MiB in all",
};
const OFFSET: Field = Field {
    name: "p_offset in the file",
    allowed: "at most 2^32 - 1 in ELF32",
};

/// What differs between capture kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaptureKernel {
    /// Its page size.
    pub page: PageShift,
    /// What it says of its notes' alignment.
    pub note_align: NoteAlign,
}

/// `p_align` of the PT_NOTE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoteAlign {
    /// 0, before Linux 6.5.
    Zero,
    /// 4, from Linux 6.5 on.
    Four,
}

/// The file that /proc/vmcore shows, over the memory of the kernel that died.
///
/// Nothing of the memory is copied but the notes. A read fails where memory cannot be had; with the
/// operating system's error number if it gave one, or else with `EFAULT` (14), as the real one
/// does.
#[derive(Debug, Clone)]
pub struct ProcVmcore<M> {
    memory: M,
    /// File header and program headers.
    headers: Vec<u8>,
    notes: Vec<u8>,
    /// Where the notes begin.
    notes_at: u64,
    /// Where the memory begins.
    memory_at: u64,
    pieces: Vec<Piece>,
    size: u64,
}

impl<M: PhysMemory> ProcVmcore<M> {
    /// Reads an elfcorehdr, and through `memory` the note buffers it points to.
    ///
    /// The machine in it is compared with none. What lies behind its program headers does not
    /// matter.
    ///
    /// # Errors
    ///
    /// What the capture kernel calls not sane, with the field and its offset: [`Error::Elf`] or
    /// [`Error::BadField`]. It does not look at `e_phoff`, and takes for granted that all PT_NOTEs
    /// come first, that there is one, and that `e_phnum` is not extended; a file that it made of
    /// another header would lack memory or could not be read, so these are errors here.
    /// [`Error::Truncated`] when `elfcorehdr` ends before its program headers; [`Error::Memory`]
    /// where a note cannot be read.
    pub fn try_new(elfcorehdr: &[u8], memory: M, kernel: CaptureKernel) -> Result<Self, Error> {
        let headers = Headers::parse(elfcorehdr)?;
        let notes = headers.read_notes(&memory)?;
        headers.build(memory, notes, kernel)
    }

    /// The file header and program headers: the start of the file. Zeros up to a whole page follow
    /// them.
    pub fn headers(&self) -> &[u8] {
        &self.headers
    }

    /// The notes of all buffers, and zeros up to a whole page follow them.
    pub fn notes(&self) -> &[u8] {
        &self.notes
    }

    /// The memory in the order of the file, in whole pages, all of it behind the notes and without gaps.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What the file has from `offset` on, and `None` past its end.
    fn at(&self, offset: u64) -> Option<Stretch<'_>> {
        if offset < self.notes_at {
            return Some(padded(&self.headers, offset, self.notes_at));
        }
        if offset < self.memory_at {
            let within = offset.checked_sub(self.notes_at)?;
            let len = self.memory_at.checked_sub(self.notes_at)?;
            return Some(padded(&self.notes, within, len));
        }
        let next = self.pieces.partition_point(|piece| piece.offset <= offset);
        let piece = self.pieces.get(next.checked_sub(1)?)?;
        let within = offset.checked_sub(piece.offset)?;
        let at = piece.range.start().checked_add(within)?;
        piece.range.at_and_above(at).map(Stretch::Memory)
    }
}

/// What the file has from an offset on; never empty.
enum Stretch<'a> {
    Bytes(&'a [u8]),
    Zeros(u64),
    Memory(PhysRange),
}

/// What is `within` bytes behind the start of `bytes`, which zeros follow up to `len`.
fn padded(bytes: &[u8], within: u64, len: u64) -> Stretch<'_> {
    let rest = usize::try_from(within)
        .ok()
        .and_then(|within| bytes.get(within..));
    match rest {
        Some(rest) if !rest.is_empty() => Stretch::Bytes(rest),
        // Saturating: it is asked for what lies before the end.
        _ => Stretch::Zeros(len.saturating_sub(within)),
    }
}

impl<M: PhysMemory> ReadAt for ProcVmcore<M> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let needed = out.len() as u64;
        let short = ReadError::Short {
            offset,
            needed,
            // Past the end nothing is available: 0 is the true number there.
            available: self.size.saturating_sub(offset),
        };
        let (mut rest, mut at) = (out, offset);
        while !rest.is_empty() {
            let stretch = self.at(at).ok_or(short)?;
            let available = match stretch {
                Stretch::Bytes(bytes) => bytes.len() as u64,
                Stretch::Zeros(len) => len,
                Stretch::Memory(range) => range.size(),
            };
            // A stretch longer than memory is long enough.
            let available = usize::try_from(available).unwrap_or(usize::MAX);
            let len = rest.len().min(available);
            let (part, after) = rest.split_at_mut(len);
            match stretch {
                Stretch::Bytes(bytes) => part.copy_from_slice(bytes.get(..len).unwrap_or_default()),
                Stretch::Zeros(_) => part.fill(0),
                Stretch::Memory(range) => {
                    let failed = |error| ReadError::Os {
                        errno: errno(error),
                        offset: at,
                    };
                    self.memory.read(range.start(), part).map_err(failed)?;
                }
            }
            rest = after;
            at = at.checked_add(len as u64).ok_or(short)?;
        }
        Ok(())
    }

    fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
        if len == 0 {
            return Some(&[]);
        }
        match self.at(offset)? {
            Stretch::Bytes(bytes) => bytes.get(..len),
            Stretch::Memory(range) if len as u64 <= range.size() => {
                self.memory.lend(range.start(), len)
            }
            Stretch::Zeros(_) | Stretch::Memory(_) => None,
        }
    }
}

fn errno(error: MemError) -> i32 {
    match error.why {
        Absence::Io { errno } => errno,
        _ => EFAULT,
    }
}

/// The headers of an elfcorehdr, found sane.
struct Headers<'a> {
    header: Header,
    segments: Segments<'a>,
    /// How many PT_NOTEs there are: at least one, and they come first.
    notes: usize,
}

impl<'a> Headers<'a> {
    /// The checks of `parse_crash_elf64_headers()`, in its order.
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let header = Header::parse(bytes)?;
        let Encoding { class, .. } = header.encoding();
        let (ehsize, phentsize) = (class.header_size(), class.segment_size());
        let is = |field: u16, size: usize| usize::from(field) == size;
        let checks = [
            (
                header.file_type == FileType::CORE,
                &TYPE,
                (16, 16),
                u64::from(header.file_type.0),
            ),
            (
                header.version == EV_CURRENT.into(),
                &VERSION,
                (20, 20),
                header.version.into(),
            ),
            (
                is(header.ehsize, ehsize),
                &EHSIZE,
                (40, 52),
                header.ehsize.into(),
            ),
            (
                is(header.phentsize, phentsize),
                &PHENTSIZE,
                (42, 54),
                header.phentsize.into(),
            ),
            (
                !matches!(header.phnum, 0 | PN_XNUM),
                &PHNUM,
                (44, 56),
                header.phnum.into(),
            ),
            (
                header.phoff == ehsize as u64,
                &PHOFF,
                (28, 32),
                header.phoff,
            ),
        ];
        for (is_sane, field, (elf32, elf64), value) in checks {
            if !is_sane {
                let offset = match class {
                    Class::Elf32 => elf32,
                    Class::Elf64 => elf64,
                };
                return Err(Error::BadField {
                    field,
                    offset,
                    value,
                });
            }
        }

        let rest = bytes.get(ehsize..).unwrap_or_default();
        // Saturating: 65,534 headers of 56 bytes.
        let needed = usize::from(header.phnum).saturating_mul(phentsize);
        let table = rest.get(..needed).ok_or(Error::Truncated {
            what: "program header table",
            offset: ehsize as u64,
            needed: needed as u64,
            available: rest.len() as u64,
        })?;
        let segments = Segments::new(table, header.encoding(), ehsize as u64)?;

        let is_note = |segment: Segment| segment.kind == SegmentType::NOTE;
        let notes = segments
            .clone()
            .take_while(|segment| is_note(*segment))
            .count();
        let headers = Self {
            header,
            segments,
            notes,
        };
        if notes == 0 {
            let kind = headers.segments.get(0).map_or(0, |first| first.kind.0);
            return Err(headers.bad(&FIRST_TYPE, 0, (0, 0), kind.into()));
        }
        let late = |(number, segment)| number >= notes && is_note(segment);
        match headers.numbered().position(late) {
            Some(number) => {
                Err(headers.bad(&LATE_NOTE, number, (0, 0), SegmentType::NOTE.0.into()))
            }
            None => Ok(headers),
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, Segment)> + use<'a> {
        self.segments.clone().enumerate()
    }

    /// The notes of all buffers, one after the other.
    fn read_notes<M: PhysMemory>(&self, memory: &M) -> Result<Vec<u8>, Error> {
        let mut notes = Vec::new();
        for (number, segment) in self.numbered().take(self.notes) {
            let missing = |error| Error::Memory {
                what: "a PT_NOTE's buffer",
                offset: self.offset(number, (4, 8)),
                error,
            };
            // Saturating: the sum is never above the limit.
            let left = NOTES_MAX.saturating_sub(notes.len() as u64);
            if segment.offset.checked_add(segment.memsz).is_none() {
                return Err(self.bad(&MEMSZ, number, (20, 40), segment.memsz));
            }
            let len =
                notes_len(memory, &segment, self.header.encoding().endian).map_err(missing)?;
            let Some(len) = usize::try_from(len).ok().filter(|_| len <= left) else {
                return Err(self.bad(&NOTES, number, (20, 40), segment.memsz));
            };
            let start = notes.len();
            notes.resize(start.saturating_add(len), 0);
            let buffer = notes.get_mut(start..).unwrap_or_default();
            memory
                .read(segment.offset.into(), buffer)
                .map_err(missing)?;
        }
        Ok(notes)
    }

    /// The merged headers, and which memory follows the notes.
    fn build<M>(
        &self,
        memory: M,
        notes: Vec<u8>,
        kernel: CaptureKernel,
    ) -> Result<ProcVmcore<M>, Error> {
        let encoding = self.header.encoding();
        let (ehsize, phentsize) = (encoding.class.header_size(), encoding.class.segment_size());
        let others = self.numbered().skip(self.notes);
        // Saturating, all of these: a few MiB of headers, notes of at most 64 MiB, and a page each.
        let phnum = self
            .segments
            .len()
            .saturating_sub(self.notes)
            .saturating_add(1);
        let headers_len = phnum.saturating_mul(phentsize).saturating_add(ehsize);
        let notes_at = pages(headers_len, kernel.page);
        let memory_at = notes_at.saturating_add(pages(notes.len(), kernel.page));

        let merged = Segment {
            kind: SegmentType::NOTE,
            flags: SegmentFlags::empty(),
            offset: notes_at,
            vaddr: 0,
            paddr: 0,
            filesz: notes.len() as u64,
            memsz: notes.len() as u64,
            align: match kernel.note_align {
                NoteAlign::Zero => 0,
                NoteAlign::Four => 4,
            },
        };
        let mut headers = vec![0; headers_len];
        let header = Header {
            // It was at most 65,534 and has become no larger.
            phnum: u16::try_from(phnum).unwrap_or(PN_XNUM),
            ..self.header
        };
        let mut at = header.emit(&mut headers)?;
        let mut put = |segment: &Segment| -> Result<(), Error> {
            let out = headers.get_mut(at..).unwrap_or_default();
            // Saturating: see above.
            at = at.saturating_add(segment.emit(encoding, out)?);
            Ok(())
        };
        put(&merged)?;
        let (mut pieces, mut end) = (Vec::new(), memory_at);
        for (number, mut segment) in others {
            if segment.kind == SegmentType::LOAD {
                let start = PhysAddr::new(segment.offset).align_down(kernel.page);
                let source = PhysAddr::new(segment.offset)
                    .checked_add(segment.memsz)
                    .and_then(|end| end.align_up(kernel.page))
                    .and_then(|end| end.checked_offset_from(start));
                let size = source.filter(|size| end.checked_add(*size).is_some());
                let size = size.ok_or(self.bad(&MEMSZ, number, (20, 40), segment.memsz))?;
                // Cannot wrap: less than a page, and the file has the page if there is one.
                let offset =
                    end.wrapping_add(PhysAddr::new(segment.offset).page_offset(kernel.page));
                if encoding.class == Class::Elf32 && u32::try_from(offset).is_err() {
                    return Err(self.bad(&OFFSET, number, (4, 8), offset));
                }
                segment.offset = offset;
                if let Ok(range) = PhysRange::with_size(start, size) {
                    pieces.push(Piece { offset: end, range });
                }
                // Cannot wrap: looked at above.
                end = end.wrapping_add(size);
            }
            put(&segment)?;
        }
        Ok(ProcVmcore {
            memory,
            headers,
            notes,
            notes_at,
            memory_at,
            pieces,
            size: end,
        })
    }

    fn bad(&self, field: &'static Field, number: usize, at: (u64, u64), value: u64) -> Error {
        Error::BadField {
            field,
            offset: self.offset(number, at),
            value,
        }
    }

    /// Where a field of the program header `number` is, by its offset in either class.
    fn offset(&self, number: usize, (elf32, elf64): (u64, u64)) -> u64 {
        let class = self.header.encoding().class;
        let field = match class {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        };
        // Cannot wrap: the table is in memory.
        (class.segment_size() as u64)
            .wrapping_mul(number as u64)
            .wrapping_add(class.header_size() as u64)
            .wrapping_add(field)
    }
}

/// Bytes of the notes in a PT_NOTE's buffer: up to a header with `n_namesz` 0, to a note that
/// passes the end of the buffer, or to its end.
fn notes_len<M: PhysMemory>(memory: &M, buffer: &Segment, endian: Endian) -> Result<u64, MemError> {
    let order = match endian {
        Endian::Little => physmem::Endian::Little,
        Endian::Big => physmem::Endian::Big,
    };
    let mut len: u64 = 0;
    // Saturating: `len` is at most the buffer's, which does not pass the end of the address space.
    while buffer.memsz.saturating_sub(len) >= HEADER_SIZE as u64 && len <= NOTES_MAX {
        let at = PhysAddr::new(buffer.offset.saturating_add(len));
        let mut header = [0; HEADER_SIZE];
        memory.read(at, &mut header)?;
        let size = |from: usize| {
            let bytes = header.get(from..).unwrap_or_default();
            let size = Width::U32.decode(bytes, order).unwrap_or_default();
            // Saturating: 32 bits.
            size.saturating_add(3) & !3
        };
        let (name, desc) = (size(0), size(4));
        if name == 0 {
            break;
        }
        // Saturating: two numbers of 32 bits and one of 64.
        let next = len
            .saturating_add(HEADER_SIZE as u64)
            .saturating_add(name)
            .saturating_add(desc);
        if next > buffer.memsz {
            break;
        }
        len = next;
    }
    Ok(len)
}

/// A length in whole pages.
fn pages(len: usize, page: PageShift) -> u64 {
    // Saturating: headers and notes are far from it, and pages end at 1 GiB.
    (len as u64)
        .checked_next_multiple_of(page.bytes())
        .unwrap_or(u64::MAX)
}
