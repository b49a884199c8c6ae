//! A complete core of a machine that is stopped or dead: headers at once, memory as it is copied.
//!
//! ```text
//!  0                                  emitted_len()                          file_len()
//!  ├ ELF header, program headers, notes ─┤ zeros ├─ piece ─┤ ├─ piece ──── … ─┤
//!                                                └─ its offset ≡ its address, modulo the page
//!
//!  content of a part  p_offset     p_filesz  p_memsz  who reads the core finds
//!  Stored             its piece's  size      size     bytes
//!  Excluded           0            0         size     memory that was left out on purpose
//!  Lost               file_len()   size      size     memory that the file is too short for
//! ```
//!
//! A hypervisor describes its guest as [`Part`]s and [notes](note::Builder), writes the headers, and
//! copies each [`Piece`] from wherever the guest's memory is: in the order of the file through a pipe,
//! or in any order, by many threads, to their offsets. Nothing here holds memory or asks for it.
//!
//! Parts may overlap, as those of a real core do: /proc/vmcore has the kernel's image at its own virtual
//! address, and again as a piece of RAM. Each is written in full. Where two of them say different things
//! of a byte it is the reader who chooses; this crate's takes the first.
//!
//! ```
//! use elf_format::{
//!     Class, Encoding, Endian, Machine, NoteType, note,
//!     prstatus::{self, Layout, Registers},
//! };
//! use physmem::{PageShift, PhysAddr, PhysMemory, PhysRange, Region};
//! use vmcore_format::build::core::{Core, Part};
//!
//! // A guest of two pages, and its only CPU.
//! let memory = Region::try_new(PhysAddr::new(0x10_0000), vec![7; 0x2000])?;
//! let encoding = Encoding { class: Class::Elf64, endian: Endian::Little };
//! let layout = Layout::for_machine(Machine::X86_64, encoding.class).ok_or("no such machine")?;
//! let mut registers = Registers::new(layout);
//! *registers.get_mut("rip").ok_or("no such register")? = 0xffff_ffff_8100_0000;
//! let endian = encoding.endian;
//! let status = prstatus::Builder { layout, endian, pid: 1, signal: 0, registers: registers.values() };
//! let mut desc = vec![0; status.emitted_len()];
//! status.emit(&mut desc)?;
//! let notes = [note::Builder { name: prstatus::NOTE_NAME, kind: NoteType::PRSTATUS, desc: &desc }];
//!
//! let parts = [Part::stored(memory.range())];
//! let core = Core::new(encoding, Machine::X86_64, PageShift::SIZE_4K, &notes, parts.into_iter());
//! let mut file = core.to_vec()?;
//! const BUFFER: usize = 0x800;
//! let mut buffer = [0; BUFFER];
//! for chunk in core.pieces()?.flat_map(|piece| piece.chunks(BUFFER)) {
//!     let bytes = &mut buffer[..chunk.range.size() as usize];
//!     memory.read(chunk.range.start(), bytes)?;
//!     file.resize(chunk.offset as usize, 0); // zeros up to its page
//!     file.extend(&*bytes);
//! }
//!
//! let dump = vmcore_format::Dump::open(&file[..])?;
//! assert_eq!(dump.cpus().next().unwrap()?.status.register("rip"), Some(0xffff_ffff_8100_0000));
//! let mut word = [0; 4];
//! dump.reader().read(PhysAddr::new(0x10_1000), &mut word)?;
//! assert_eq!(word, [7; 4]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::arithmetic_side_effects)]

use elf_format::{
    Encoding, FileType, Ident, Machine, Segment, SegmentFlags, SegmentType, Writer, note,
};
use physmem::{Absence, PageShift, PhysAddr, PhysRange, VirtAddr};

use super::Piece;
use crate::Error;

const ANY_USE: SegmentFlags = SegmentFlags::READ
    .union(SegmentFlags::WRITE)
    .union(SegmentFlags::EXECUTE);

/// What becomes of a part's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// It is in the file.
    Stored,
    /// It is left out on purpose.
    Excluded,
    /// It should be in the file and cannot be had.
    Lost,
}

impl Content {
    /// What a core can say of memory that is there, or absent for a reason.
    ///
    /// `None` for what is not RAM, or not in the dump that it comes from: a core says that by not mentioning it. Memory that is damaged or
    /// cannot be decoded or read is lost to whoever reads the core.
    #[must_use]
    pub const fn of(absence: Option<Absence>) -> Option<Self> {
        match absence {
            None => Some(Self::Stored),
            Some(Absence::NotRam | Absence::Undescribed) => None,
            Some(Absence::Excluded) => Some(Self::Excluded),
            Some(_) => Some(Self::Lost),
        }
    }
}

/// A stretch of memory: one PT_LOAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where it is; it need not begin or end with a page.
    pub range: PhysRange,
    /// `p_vaddr`: where the machine sees it. `None`, written as 0, if that is not known.
    pub virt: Option<VirtAddr>,
    /// `p_flags`
    pub flags: SegmentFlags,
    /// `p_align`; 0 is none, as QEMU and Linux write it. It is written as it is, also if it is no power of
    /// two, as a part of another dump may have it: nothing is placed by it.
    pub align: u64,
    /// What becomes of it.
    pub content: Content,
}

impl Part {
    /// Memory for any use that is in the file, without a virtual address.
    #[must_use]
    pub const fn stored(range: PhysRange) -> Self {
        Self {
            range,
            virt: None,
            flags: ANY_USE,
            align: 0,
            content: Content::Stored,
        }
    }

    /// Memory that is there, or absent for a reason; `None` if a core has nothing to say of it.
    #[must_use]
    pub fn of(range: PhysRange, absence: Option<Absence>) -> Option<Self> {
        let content = Content::of(absence)?;
        Some(Self {
            content,
            ..Self::stored(range)
        })
    }

    /// As [`of`](Self::of), `range` being inside a dump's segment: at its virtual addresses, for its uses.
    ///
    /// [`Elf::pieces`](crate::dump::Elf::pieces) tells ranges, segments and absences.
    #[must_use]
    pub fn of_segment(
        segment: &Segment,
        range: PhysRange,
        absence: Option<Absence>,
    ) -> Option<Self> {
        let skipped = range
            .start()
            .checked_offset_from(PhysAddr::new(segment.paddr))?;
        let virt = (segment.vaddr != 0).then_some(VirtAddr::new(segment.vaddr));
        Some(Self {
            virt: virt.map(|virt| advanced(virt, skipped)),
            flags: segment.flags,
            align: segment.align,
            ..Self::of(range, absence)?
        })
    }

    /// What of it lies in `range`.
    #[must_use]
    pub fn clipped(self, range: PhysRange) -> Option<Self> {
        let range = self.range.intersection(range)?;
        let skipped = range.start().checked_offset_from(self.range.start())?;
        Some(Self {
            range,
            virt: self.virt.map(|virt| advanced(virt, skipped)),
            ..self
        })
    }
}

/// Wrapping: modulo 2^64, as the addresses of a segment that ends with the space are.
const fn advanced(virt: VirtAddr, bytes: u64) -> VirtAddr {
    VirtAddr::new(virt.as_u64().wrapping_add(bytes))
}

/// What `parts` have of `ranges`, which ascend and are apart, in the order of the parts.
pub fn clip(
    parts: impl IntoIterator<Item = Part>,
    ranges: &[PhysRange],
) -> impl Iterator<Item = Part> {
    parts.into_iter().flat_map(|part| {
        let first = ranges.partition_point(|range| range.end() <= part.range.start());
        let rest = ranges.get(first..).unwrap_or_default();
        rest.iter().map_while(move |range| part.clipped(*range))
    })
}

/// Where a piece begins behind what ends at `end`, and where it ends: as far into a page of the file as
/// into one of memory.
fn place(end: u64, range: PhysRange, page: PageShift) -> Option<(u64, u64)> {
    // Wrapping: modulo a power of two, so the remainder is the right one.
    let gap = range.start().as_u64().wrapping_sub(end) & page.bytes().wrapping_sub(1);
    let offset = end.checked_add(gap)?;
    Some((offset, offset.checked_add(range.size())?))
}

/// The core of a machine. `P` yields its parts, as often as it is cloned, and nothing is allocated for
/// them; more than 65,534 are counted in section header 0.
#[derive(Debug, Clone)]
pub struct Core<'a, P> {
    /// Class, byte order and ABI.
    pub ident: Ident,
    /// The machine.
    pub machine: Machine,
    /// `e_entry`
    pub entry: u64,
    /// `e_flags`
    pub flags: u32,
    /// Pages of memory begin at multiples of their size in the file.
    pub page: PageShift,
    /// Registers, VMCOREINFO and whatever else is known.
    pub notes: &'a [note::Builder<'a>],
    /// Memory, in the order of the file.
    pub parts: P,
}

impl<'a, P: ExactSizeIterator<Item = Part> + Clone> Core<'a, P> {
    /// Of the System V ABI.
    pub const fn new(
        encoding: Encoding,
        machine: Machine,
        page: PageShift,
        notes: &'a [note::Builder<'a>],
        parts: P,
    ) -> Self {
        Self {
            ident: Ident::new(encoding),
            machine,
            entry: 0,
            flags: 0,
            page,
            notes,
            parts,
        }
    }

    /// Length of the headers and notes in bytes: all that comes before memory.
    #[must_use]
    pub fn emitted_len(&self) -> usize {
        // The length is the same wherever memory goes.
        self.headers(0, 0).emitted_len()
    }

    /// Writes the headers and notes and returns their length.
    ///
    /// # Errors
    ///
    /// Those of [`Writer::emit`]: `Truncated` when `out` is too short, `BadField` for what does not fit
    /// the format, such as an address above 4 GiB in ELF32; and those of [`file_len`](Self::file_len).
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, Error> {
        Ok(self.placed()?.emit(out)?)
    }

    /// The headers and notes, in a new vector.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), `Truncated` aside.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>, Error> {
        let headers = self.placed()?;
        let mut bytes = alloc::vec![0; headers.emitted_len()];
        headers.emit(&mut bytes)?;
        Ok(bytes)
    }

    /// Length of the whole file in bytes.
    ///
    /// # Errors
    ///
    /// `Overflow` when that exceeds 64 bits; its offset is where the part would begin that is too long.
    pub fn file_len(&self) -> Result<u64, Error> {
        let mut parts = self.parts.clone().filter(is_stored);
        parts.try_fold(self.emitted_len() as u64, |end, part| {
            let overflow = elf_format::Error::Overflow {
                what: "memory in the core",
                offset: end,
            };
            let place = place(end, part.range, self.page);
            place.map(|(_, end)| end).ok_or(overflow.into())
        })
    }

    /// The memory to be copied, in the order of the file. What lies between pieces is zeros.
    ///
    /// # Errors
    ///
    /// Those of [`file_len`](Self::file_len).
    pub fn pieces(&self) -> Result<Pieces<P>, Error> {
        self.file_len()?;
        Ok(Pieces {
            parts: self.parts.clone(),
            page: self.page,
            end: self.emitted_len() as u64,
        })
    }

    fn placed(&self) -> Result<Writer<'a, Segments<P>>, Error> {
        Ok(self.headers(self.emitted_len() as u64, self.file_len()?))
    }

    fn headers(&self, start: u64, file_len: u64) -> Writer<'a, Segments<P>> {
        let segments = Segments {
            parts: self.parts.clone(),
            page: self.page,
            end: start,
            file_len,
        };
        Writer {
            ident: self.ident,
            file_type: FileType::CORE,
            machine: self.machine,
            entry: self.entry,
            flags: self.flags,
            notes: self.notes,
            segments,
        }
    }
}

fn is_stored(part: &Part) -> bool {
    part.content == Content::Stored
}

/// The iterator made by [`Core::pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<P> {
    parts: P,
    page: PageShift,
    end: u64,
}

impl<P: Iterator<Item = Part>> Iterator for Pieces<P> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let range = self.parts.find(is_stored)?.range;
        let (offset, end) = place(self.end, range, self.page)?;
        self.end = end;
        Some(Piece { offset, range })
    }
}

/// The program headers of the parts.
#[derive(Debug, Clone)]
struct Segments<P> {
    parts: P,
    page: PageShift,
    /// Of what comes before the next stored part.
    end: u64,
    file_len: u64,
}

impl<P: Iterator<Item = Part>> Iterator for Segments<P> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let part = self.parts.next()?;
        let size = part.range.size();
        let (offset, filesz) = match part.content {
            Content::Stored => {
                let (offset, end) = place(self.end, part.range, self.page)?;
                self.end = end;
                (offset, size)
            }
            Content::Excluded => (0, 0),
            Content::Lost => (self.file_len, size),
        };
        Some(Segment {
            kind: SegmentType::LOAD,
            flags: part.flags,
            offset,
            vaddr: part.virt.map_or(0, VirtAddr::as_u64),
            paddr: part.range.start().as_u64(),
            filesz,
            memsz: size,
            align: part.align,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.parts.size_hint()
    }
}

impl<P: ExactSizeIterator<Item = Part>> ExactSizeIterator for Segments<P> {
    fn len(&self) -> usize {
        self.parts.len()
    }
}
