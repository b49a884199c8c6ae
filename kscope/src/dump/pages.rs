//! The pages of a dump, read one by one, and the word for what became of each.

use physmem::{Absence, MemError, PageShift, Pfn, PhysAddr, PhysMemory, PhysRange};
use vmcore_format::Reader;

use super::Opened;
use crate::{
    failure::{Failure, Result},
    input::{Input, Source},
};

/// What a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has this checksum, and a byte that is not zero.
    Crc32(u32),
    Zero,
    Absent(Absence),
}

impl State {
    /// The one word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Crc32(_) => "present",
            Self::Zero => "zero",
            Self::Absent(why) => word(why),
        }
    }
}

/// The one word for why a page is not there.
pub(super) fn word(why: Absence) -> &'static str {
    match why {
        Absence::NotRam | Absence::Undescribed => "absent",
        Absence::Excluded => "excluded",
        Absence::Lost => "lost",
        Absence::CodecMissing => "codec-missing",
        _ => "damaged",
    }
}

/// What a page holds, or why it is not there.
pub(super) type Page<'p> = std::result::Result<&'p [u8], Absence>;

/// A reader of whole pages.
pub(super) struct Pages<'d> {
    source: &'d Source,
    memory: Reader<'d, Input>,
    page: PageShift,
    /// Whether a page can be there in part: it cannot where a block of a compressed dump has all of it.
    has_parts: bool,
    bytes: Vec<u8>,
}

impl<'d> Pages<'d> {
    pub(super) fn new(source: &'d Source, dump: &'d Opened, page: PageShift) -> Self {
        // 1 GiB at most.
        let size = usize::try_from(page.bytes()).unwrap_or_default();
        Self {
            source,
            memory: dump.reader(),
            page,
            has_parts: dump.kdump().is_none_or(|kdump| kdump.header().block < page),
            bytes: vec![0; size],
        }
    }

    /// What became of a page.
    pub(super) fn state(&mut self, pfn: Pfn) -> Result<State> {
        Ok(match self.bytes(pfn)? {
            Ok(bytes) if is_zero(bytes) => State::Zero,
            Ok(bytes) => State::Crc32(crc32fast::hash(bytes)),
            Err(why) => State::Absent(why),
        })
    }

    /// What it holds. Where the dump has a part of it, and the rest is not lost, the rest is zeros: so it is there as
    /// [`vmcore_format::Dump::frames`] counts it.
    pub(super) fn bytes(&mut self, pfn: Pfn) -> Result<Page<'_>> {
        let Self {
            source,
            memory,
            page,
            has_parts,
            bytes,
        } = self;
        let Some(at) = pfn.addr(*page) else {
            return Ok(Err(Absence::NotRam));
        };
        if let Some(lent) = memory.lend(at, bytes.len()) {
            return Ok(Ok(lent));
        }
        let read = match memory.read(at, bytes) {
            Err(error) if *has_parts => read_parts(memory, at, bytes, error),
            read => read,
        };
        match read {
            Ok(()) => Ok(Ok(bytes)),
            Err(error) => match error.why {
                Absence::Io { .. } => Err(Failure::system(&source.path, error)),
                why => Ok(Err(why)),
            },
        }
    }
}

/// Reads the parts of a page that are there, with zeros between them; `error` stopped who read all of it.
fn read_parts(
    memory: &impl PhysMemory,
    at: PhysAddr,
    page: &mut [u8],
    error: MemError,
) -> std::result::Result<(), MemError> {
    let mut found = Err(error);
    let left_out = |why| {
        matches!(
            why,
            Absence::NotRam | Absence::Undescribed | Absence::Excluded
        )
    };
    // Only the last page of the address space has no end to name.
    let Some(whole) = PhysRange::with_size(at, page.len() as u64)
        .ok()
        .filter(|_| left_out(error.why))
    else {
        return found;
    };
    page.fill(0);
    let mut from = at;
    while let Some(part) = memory
        .next_run(from)
        .and_then(|run| run.intersection(whole))
    {
        let start = usize::try_from(part.start().as_u64() - at.as_u64()).unwrap_or(page.len());
        let size = usize::try_from(part.size()).unwrap_or(page.len());
        let out = page.get_mut(start..).and_then(|rest| rest.get_mut(..size));
        match memory.read(part.start(), out.unwrap_or_default()) {
            Ok(()) => found = Ok(()),
            Err(error) if left_out(error.why) => found = found.or(Err(error)),
            Err(error) => return Err(error),
        }
        from = part.end();
    }
    found
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Most pages that are not zero begin so.
    bytes
        .chunks(64)
        .all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}
