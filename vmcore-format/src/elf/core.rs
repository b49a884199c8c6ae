//! The headers of an ELF core, read through positioned reads.
//!
//! ```text
//! 0        64                                    e_phoff + phnum × 56
//! ├ Ehdr ──┼ [section header 0] ── Phdr … Phdr ──┼ notes ─┼ memory …
//!            only if e_phnum is 0xffff                         never read here
//! ```
//!
//! Source: /proc/vmcore (fs/proc/vmcore.c), QEMU (dump/dump.c), makedumpfile (`-E`).

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use elf_format::{
    Class, FileType, Header, Section, Segment, SegmentType, Segments, Table, header::PN_XNUM,
};

use super::index::Index;
use crate::{
    Error, Field, ReadAt,
    kept::{COPIED_MAX, Kept, NoteList, read},
};

/// The longest file header, ELF64's.
const HEADER_MAX: usize = 64;

/// Offset of `e_type` in either class.
const E_TYPE: u64 = 16;

const FILESZ: Field = Field {
    name: "p_filesz of a PT_NOTE",
    allowed: "at most 64 MiB in all, where notes must be copied",
};
const MEMSZ: Field = Field {
    name: "p_memsz",
    allowed: "at most 2^64 - 1 - p_paddr",
};
const TYPE: Field = Field {
    name: "e_type",
    allowed: "4 (ET_CORE)",
};

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) header: Header,
    pub(crate) segments: Vec<Segment>,
    pub(crate) notes: Vec<NoteList>,
    pub(crate) index: Index,
}

impl Core {
    /// Reads the headers; what is damaged and can be done without goes to `damaged`, or ends it.
    pub(crate) fn open<S: ReadAt + ?Sized>(
        source: &S,
        mut damaged: impl FnMut(Error) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut start = [0; HEADER_MAX];
        // A size that no memory holds is longer than the header.
        let len = usize::try_from(source.size())
            .unwrap_or(HEADER_MAX)
            .min(HEADER_MAX);
        let start = start.get_mut(..len).unwrap_or_default();
        source
            .read_exact_at(0, start)
            .map_err(Error::reading("ELF header"))?;
        let header = Header::parse(start)?;
        if header.file_type != FileType::CORE {
            return Err(Error::BadField {
                field: &TYPE,
                offset: E_TYPE,
                value: header.file_type.0.into(),
            });
        }

        let first = match header.phnum {
            PN_XNUM => first_section(source, &header)?,
            _ => None,
        };
        let table = header.program_headers(first.as_ref())?;
        let fields = Fields::of(&header);
        let bytes = match read_table(source, &table, "program header table") {
            Err(error @ Error::Truncated { available, .. }) => {
                damaged(error)?;
                let cut = available
                    .checked_rem(fields.entry_size())
                    .unwrap_or_default();
                // Saturating: a remainder is no larger.
                let whole = available.saturating_sub(cut);
                read(source, table.offset(), whole, "program header table")?
            }
            read => read?,
        };
        let mut segments: Vec<Segment> =
            Segments::new(&bytes, header.encoding(), table.offset())?.collect();

        for (number, segment) in segments.iter_mut().enumerate() {
            if let Err(error) = check_addresses(number, segment, &fields) {
                damaged(error)?;
                // "Not known": it describes no physical memory.
                segment.paddr = u64::MAX;
            }
        }
        let notes = read_notes(source, &segments, &fields);
        let index = Index::new(&segments, source.size());
        Ok(Self {
            header,
            segments,
            notes,
            index,
        })
    }
}

/// Where the fields of program headers lie, for errors.
pub(crate) struct Fields {
    table: u64,
    class: Class,
}

impl Fields {
    pub(crate) fn of(header: &Header) -> Self {
        Self {
            table: header.phoff,
            class: header.encoding().class,
        }
    }

    fn entry_size(&self) -> u64 {
        self.class.segment_size() as u64
    }

    /// A field of the program header `number`, by its offset in either class.
    pub(crate) fn at(&self, number: usize, elf32: u64, elf64: u64) -> u64 {
        let field = match self.class {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        };
        // Cannot wrap: the table was read.
        self.entry_size()
            .wrapping_mul(number as u64)
            .wrapping_add(self.table)
            .wrapping_add(field)
    }
}

/// Section header 0, where it holds the number of program headers.
fn first_section<S: ReadAt + ?Sized>(
    source: &S,
    header: &Header,
) -> Result<Option<Section>, Error> {
    let Some(table) = header.first_section()? else {
        return Ok(None);
    };
    let bytes = read_table(source, &table, "section header 0")?;
    Ok(Some(Section::parse(
        &bytes,
        header.encoding(),
        table.offset(),
    )?))
}

/// Reads a table that the file is long enough for, so no count in it sizes an allocation.
fn read_table<S: ReadAt + ?Sized>(
    source: &S,
    table: &Table,
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    read(source, table.offset(), table.byte_len(), what)
}

/// Refuses memory that would lie past the end of the address space: shortened, it would be wrong.
fn check_addresses(number: usize, segment: &Segment, fields: &Fields) -> Result<(), Error> {
    let size = segment.memsz.max(segment.filesz);
    let wraps = segment.paddr.checked_add(size).is_none() && segment.paddr != u64::MAX;
    if segment.kind == SegmentType::LOAD && wraps {
        return Err(Error::BadField {
            field: &MEMSZ,
            offset: fields.at(number, 20, 40),
            value: size,
        });
    }
    Ok(())
}

/// Finds the notes, of those that are cut the beginning. What is too long does not hinder the rest of the dump.
fn read_notes<S: ReadAt + ?Sized>(
    source: &S,
    segments: &[Segment],
    fields: &Fields,
) -> Vec<NoteList> {
    let mut left = COPIED_MAX;
    let mut keep = |number, offset, filesz, len| {
        let too_long = Error::BadField {
            field: &FILESZ,
            offset: fields.at(number, 16, 32),
            value: filesz,
        };
        Kept::read(
            source,
            "PT_NOTE segment",
            (offset, len),
            &mut left,
            too_long,
        )
        .map_err(|error| error.placed(source))
    };
    let mut bytes_of = |number, &Segment { offset, filesz, .. }: &Segment| {
        match keep(number, offset, filesz, filesz) {
            // What comes before the end of the file is there, if the file was cut, rather than `p_filesz` damaged.
            Err(cut @ Error::Truncated { available, .. }) if filesz <= COPIED_MAX => {
                match keep(number, offset, filesz, available) {
                    Ok(kept) => (Ok(kept), Some(cut)),
                    Err(_) => (Err(cut), None),
                }
            }
            kept => (kept, None),
        }
    };
    let notes = segments
        .iter()
        .enumerate()
        .filter(|(_, segment)| segment.kind == SegmentType::NOTE);
    notes
        .map(|(number, segment)| {
            let (bytes, cut) = bytes_of(number, segment);
            NoteList {
                offset: source.place_of(segment.offset),
                align: segment.align,
                bytes,
                cut,
            }
        })
        .collect()
}
