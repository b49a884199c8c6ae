//! Kernels that are plain ELF files: vmlinux, and what else boots that way.
//!
//! ```text
//!  ELF header    e_type: EXEC runs at its addresses, DYN anywhere; e_entry
//!  PT_LOAD …     p_filesz bytes at p_offset belong at p_paddr, zeros behind them up to p_memsz
//!  PT_NOTE       "Xen" 18 (XEN_ELFNOTE_PHYS32_ENTRY): the 32-bit entry of PVH
//!                "GNU" 3: the build id
//!  "Linux version …" somewhere in a PT_LOAD
//! ```
//!
//! Source: gABI; Xen `xen/include/public/elfnote.h`; Linux `init/version-timestamp.c`
//! (`linux_banner`).

#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;

use elf_format::{
    Class, Elf, Endian, FileType, Note, NoteType, Notes, Segment, SegmentFlags, SegmentType,
};
use memchr::memmem;

use crate::error::{Error, Field, Result};

const FILE_TYPE: Field = Field {
    name: "e_type",
    allowed: "2 (ET_EXEC), 3 (ET_DYN), not 1 (ET_REL) of a module or 4 (ET_CORE) of a dump",
};
const MEMSZ: Field = Field {
    name: "p_memsz",
    allowed: "p_filesz and above",
};
const NOTES_FILESZ: Field = Field {
    name: "p_filesz of a PT_NOTE",
    allowed: "what together with the PT_NOTEs before it is no more than the file has",
};
const PVH_ENTRY_SIZE: Field = Field {
    name: "n_descsz of XEN_ELFNOTE_PHYS32_ENTRY",
    allowed: "4 or 8",
};

/// `XEN_ELFNOTE_PHYS32_ENTRY`
const PHYS32_ENTRY: NoteType = NoteType(18);
const XEN: &[u8] = b"Xen";
const GNU: &[u8] = b"GNU";
const BANNER: &[u8] = b"Linux version ";

/// An ELF file that can be loaded: its segments are in the file and end in the address space.
///
/// ```
/// # fn load(file: &[u8], memory: &mut [u8]) -> bootimg::Result<Option<u64>> {
/// use bootimg::ElfImage;
///
/// let kernel = ElfImage::parse(file)?;
/// for load in kernel.loads() {
///     let start = load.paddr as usize;
///     memory[start..][..load.bytes.len()].copy_from_slice(load.bytes);
/// }
/// kernel.pvh_entry()
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ElfImage<'a> {
    elf: Elf<'a>,
    file: &'a [u8],
}

/// A piece of memory of an [`ElfImage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load<'a> {
    /// `p_paddr`: physical address.
    pub paddr: u64,
    /// `p_vaddr`: virtual address.
    pub vaddr: u64,
    /// What belongs there.
    pub bytes: &'a [u8],
    /// `p_memsz`: bytes of memory; what is behind `bytes` is zero.
    pub memsz: u64,
    /// `p_flags`
    pub flags: SegmentFlags,
}

impl<'a> ElfImage<'a> {
    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// What [`Elf::parse`] finds; [`Error::BadField`] for a type other than `ET_EXEC` and `ET_DYN`,
    /// for a `PT_LOAD` with more bytes in the file than in memory, and for `PT_NOTE`s that overlap so that
    /// together they have more bytes than the file; `Truncated` for a `PT_LOAD` whose bytes the
    /// file lacks; [`Error::Overflow`] for one that passes the end of the address space.
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        let image = Self {
            elf: Elf::parse(file)?,
            file,
        };
        let header = image.elf.header();
        if ![FileType::EXEC, FileType::DYN].contains(&header.file_type) {
            return Err(Error::BadField {
                field: &FILE_TYPE,
                offset: 16,
                value: header.file_type.0.into(),
            });
        }
        let class = header.encoding().class;
        // Where `p_filesz` and `p_memsz` are in a program header.
        let (filesz_at, memsz_at) = match class {
            Class::Elf32 => (16, 20),
            Class::Elf64 => (32, 40),
        };
        // Each is read by itself: where they overlap, the work is out of proportion.
        let mut notes_left = file.len();
        for (index, segment) in image.elf.segments().enumerate() {
            // No overflow: the table is in memory.
            let header_at =
                (index.saturating_mul(class.segment_size()) as u64).saturating_add(header.phoff);
            let bytes = image.elf.segment_data(&segment);
            match segment.kind {
                SegmentType::LOAD => {
                    bytes?;
                    check_load(&segment, header_at.saturating_add(memsz_at))?;
                }
                // One that is not all there has no notes; who asks for them is told.
                SegmentType::NOTE => {
                    let len = bytes.map_or(0, <[u8]>::len);
                    notes_left = notes_left.checked_sub(len).ok_or(Error::BadField {
                        field: &NOTES_FILESZ,
                        offset: header_at.saturating_add(filesz_at),
                        value: segment.filesz,
                    })?;
                }
                _ => {}
            }
        }
        Ok(image)
    }

    /// The file: headers, sections, all segments.
    #[must_use]
    pub const fn elf(&self) -> &Elf<'a> {
        &self.elf
    }

    /// `e_entry`: virtual, but for x86-64 kernels, whose is physical.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.elf.header().entry
    }

    /// Whether it may be loaded elsewhere than where its segments say.
    #[must_use]
    pub fn relocatable(&self) -> bool {
        self.elf.header().file_type == FileType::DYN
    }

    /// What belongs into memory.
    pub fn loads(&self) -> impl Iterator<Item = Load<'a>> + '_ {
        let loads = self.elf.segments();
        let loads = loads.filter(|segment| segment.kind == SegmentType::LOAD);
        loads.filter_map(|segment| {
            // `parse` has found it.
            let bytes = self.elf.segment_data(&segment).ok()?;
            Some(Load {
                paddr: segment.paddr,
                vaddr: segment.vaddr,
                bytes,
                memsz: segment.memsz,
                flags: segment.flags,
            })
        })
    }

    /// The physical memory from the first to the last byte of it; `None` if there is none.
    #[must_use]
    pub fn memory(&self) -> Option<Range<u64>> {
        // No overflow: `parse` has added them.
        let ends = |load: Load<'_>| load.paddr..load.paddr.saturating_add(load.memsz);
        self.loads().map(ends).reduce(hull)
    }

    /// The physical address of the 32-bit entry that PVH guests are started at; `None` without one.
    ///
    /// # Errors
    ///
    /// What is broken in the notes before it is found; [`Error::BadField`] if it is no address.
    pub fn pvh_entry(&self) -> Result<Option<u64>> {
        let Some(note) = self.note(XEN, PHYS32_ENTRY)? else {
            return Ok(None);
        };
        let endian = self.elf.header().encoding().endian;
        if let Ok(desc) = <[u8; 4]>::try_from(note.desc) {
            let entry = match endian {
                Endian::Little => u32::from_le_bytes(desc),
                Endian::Big => u32::from_be_bytes(desc),
            };
            Ok(Some(entry.into()))
        } else if let Ok(desc) = <[u8; 8]>::try_from(note.desc) {
            Ok(Some(match endian {
                Endian::Little => u64::from_le_bytes(desc),
                Endian::Big => u64::from_be_bytes(desc),
            }))
        } else {
            Err(Error::BadField {
                field: &PVH_ENTRY_SIZE,
                offset: note.offset,
                value: note.desc.len() as u64,
            })
        }
    }

    /// The build id, mostly 20 bytes; `None` without one.
    ///
    /// # Errors
    ///
    /// What is broken in the notes before it is found.
    pub fn build_id(&self) -> Result<Option<&'a [u8]>> {
        let note = self.note(GNU, NoteType::GNU_BUILD_ID)?;
        Ok(note.map(|note| note.desc))
    }

    /// The line Linux greets with, `Linux version …`, without its newline.
    ///
    /// A kernel holds it twice, once without the number of the build, which is not preferred. The file is
    /// searched from the first to the last byte of its segments, so that none is read twice.
    #[must_use]
    pub fn linux_banner(&self) -> Option<&'a [u8]> {
        let (mut second_best, mut end) = (None, 0);
        let loaded = self.loaded().unwrap_or_default();
        for at in memmem::find_iter(loaded, BANNER) {
            let found = loaded.get(at..).unwrap_or_default();
            // Else it is in the line of the last one, or the pattern the banner is printed by.
            if at < end || !found.get(BANNER.len()).is_some_and(u8::is_ascii_digit) {
                continue;
            }
            let len = memchr::memchr2(b'\n', 0, found).unwrap_or(found.len());
            // No overflow: a place in a slice.
            end = at.saturating_add(len);
            let banner = found.get(..len).unwrap_or_default();
            let numbered = |pair: &[u8]| matches!(pair, [b'#', digit] if digit.is_ascii_digit());
            if banner.windows(2).any(numbered) {
                return Some(banner);
            }
            second_best.get_or_insert(banner);
        }
        second_best
    }

    /// The file from the first to the last byte that is loaded.
    fn loaded(&self) -> Option<&'a [u8]> {
        let loads = self.elf.segments();
        let loads = loads.filter(|load| load.kind == SegmentType::LOAD && load.filesz != 0);
        // No overflow: `parse` has found them in the file.
        let ends = |load: Segment| load.offset..load.offset.saturating_add(load.filesz);
        let Range { start, end } = loads.map(ends).reduce(hull)?;
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        self.file.get(range)
    }

    fn note(&self, name: &[u8], kind: NoteType) -> Result<Option<Note<'a>>> {
        let endian = self.elf.header().encoding().endian;
        for segment in self.elf.segments() {
            if segment.kind != SegmentType::NOTE {
                continue;
            }
            let bytes = self.elf.segment_data(&segment)?;
            // Linux pads its notes to four bytes also where it aligns their segment to eight.
            let aligns = [Some(segment.align), (segment.align == 8).then_some(4)];
            let mut readable = Ok(());
            for align in aligns.into_iter().flatten() {
                readable = Ok(());
                for note in Notes::new(bytes, endian, align, segment.offset)? {
                    match note {
                        Ok(note) if note.name == name && note.kind == kind => {
                            return Ok(Some(note));
                        }
                        Ok(_) => {}
                        Err(error) => readable = Err(error),
                    }
                }
            }
            readable?;
        }
        Ok(None)
    }
}

/// A `PT_LOAD` that memory can have; its `p_memsz` is at `offset`.
fn check_load(segment: &Segment, offset: u64) -> Result<()> {
    if segment.filesz > segment.memsz {
        return Err(Error::BadField {
            field: &MEMSZ,
            offset,
            value: segment.memsz,
        });
    }
    if segment.paddr.checked_add(segment.memsz).is_none() {
        return Err(Error::Overflow {
            what: "p_paddr + p_memsz",
            offset,
        });
    }
    Ok(())
}

/// From the first to the last of both.
fn hull(a: Range<u64>, b: Range<u64>) -> Range<u64> {
    a.start.min(b.start)..a.end.max(b.end)
}
