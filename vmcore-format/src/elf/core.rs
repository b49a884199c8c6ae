//! The headers of an ELF core, read through positioned reads.
//!
//! ```text
//! 0        64                                    e_phoff + phnum × 56
//! ├ Ehdr ──┼ [section header 0] ── Phdr … Phdr ──┼ notes ─┼ memory …
//!            only if e_phnum is 0xffff                         never read here
//! ```
//!
//! Source: /proc/vmcore (fs/proc/vmcore.c), QEMU (dump/dump.c), makedumpfile (`-E`).

use alloc::{vec, vec::Vec};

use elf_format::{Header, Section, Segment, SegmentType, Segments, Table, header::PN_XNUM};

use super::index::Index;
use crate::{Error, Field, ReadAt};

/// The longest file header, ELF64's.
const HEADER_MAX: usize = 64;

/// What the notes of a dump may come to, in bytes. 8,192 CPUs write 3 MB of registers; the rest is
/// room for the device dumps that drivers append (`NT_VMCOREDD`).
const NOTES_MAX: u64 = 64 << 20;

const NOTES: Field = Field {
    name: "p_filesz of the PT_NOTE segments",
    allowed: "at most 64 MiB in all",
};
const PADDR: Field = Field {
    name: "p_paddr",
    allowed: "0xffffffffffffffff, or below 2^64 - p_memsz",
};

/// A PT_NOTE segment.
#[derive(Debug)]
pub(crate) struct NoteSegment {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) align: u64,
    /// The bytes, unless the source lends them.
    pub(crate) owned: Vec<u8>,
}

/// What the headers say.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) header: Header,
    pub(crate) segments: Vec<Segment>,
    pub(crate) notes: Vec<NoteSegment>,
    pub(crate) index: Index,
}

impl Core {
    pub(crate) fn open<S: ReadAt + ?Sized>(source: &S) -> Result<Self, Error> {
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

        let first = match header.phnum {
            PN_XNUM => first_section(source, &header)?,
            _ => None,
        };
        let table = header.program_headers(first.as_ref())?;
        let bytes = read_table(source, &table, "program header table")?;
        let segments: Vec<Segment> =
            Segments::new(&bytes, header.encoding(), table.offset())?.collect();

        check_addresses(&segments, &table)?;
        let notes = read_notes(source, &segments)?;
        let index = Index::new(&segments, source.size());
        Ok(Self {
            header,
            segments,
            notes,
            index,
        })
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
    let (offset, needed) = (table.offset(), table.byte_len());
    let len = inside(source, offset, needed, what)?;
    let mut bytes = vec![0; len];
    source
        .read_exact_at(offset, &mut bytes)
        .map_err(Error::reading(what))?;
    Ok(bytes)
}

/// The length as a size in memory, if that many bytes lie in the file.
fn inside<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    needed: u64,
    what: &'static str,
) -> Result<usize, Error> {
    // Past the end nothing is available: 0 is the true number there.
    let available = source.size().saturating_sub(offset);
    usize::try_from(needed)
        .ok()
        .filter(|_| needed <= available)
        .ok_or(Error::Truncated {
            what,
            offset,
            needed,
            available,
        })
}

/// Refuses memory that would lie past the end of the address space: shortened, it would be wrong.
fn check_addresses(segments: &[Segment], table: &Table) -> Result<(), Error> {
    for (number, segment) in segments.iter().enumerate() {
        let size = segment.memsz.max(segment.filesz);
        let wraps = segment.paddr.checked_add(size).is_none() && segment.paddr != u64::MAX;
        if segment.kind == SegmentType::LOAD && wraps {
            let entry = table
                .byte_len()
                .checked_div(table.count())
                .unwrap_or_default();
            let offset = table.offset() + number as u64 * entry;
            return Err(Error::BadField {
                field: &PADDR,
                offset,
                value: segment.paddr,
            });
        }
    }
    Ok(())
}

fn read_notes<S: ReadAt + ?Sized>(
    source: &S,
    segments: &[Segment],
) -> Result<Vec<NoteSegment>, Error> {
    let mut left = NOTES_MAX;
    let mut notes = Vec::new();
    for segment in segments
        .iter()
        .filter(|segment| segment.kind == SegmentType::NOTE)
    {
        let &Segment {
            offset,
            filesz,
            align,
            ..
        } = segment;
        left = left.checked_sub(filesz).ok_or(Error::BadField {
            field: &NOTES,
            offset,
            value: filesz,
        })?;
        let len = inside(source, offset, filesz, "PT_NOTE segment")?;
        let mut owned = Vec::new();
        if source.lend_at(offset, len).is_none() {
            owned.resize(len, 0);
            source
                .read_exact_at(offset, &mut owned)
                .map_err(Error::reading("PT_NOTE segment"))?;
        }
        notes.push(NoteSegment {
            offset,
            len,
            align,
            owned,
        });
    }
    Ok(notes)
}
