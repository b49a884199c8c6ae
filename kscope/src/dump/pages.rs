//! The pages of a dump, read one by one, and the word for what became of each.

use physmem::{Absence, PageShift, Pfn, PhysAddr, PhysMemory};
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

/// A reader of whole pages.
pub(super) struct Pages<'d> {
    source: &'d Source,
    memory: Reader<'d, Input>,
    page: PageShift,
    bytes: Vec<u8>,
}

impl<'d> Pages<'d> {
    pub(super) fn new(source: &'d Source, dump: &'d Opened) -> Result<Self> {
        let page = dump.page_size().map_err(|error| source.failure(error))?;
        // 1 GiB at most.
        let size = usize::try_from(page.bytes()).unwrap_or_default();
        Ok(Self {
            source,
            memory: dump.reader(),
            page,
            bytes: vec![0; size],
        })
    }

    pub(super) fn page(&self) -> PageShift {
        self.page
    }

    /// What became of a page: of one that is there in part, what became of the rest.
    pub(super) fn state(&mut self, pfn: Pfn) -> Result<State> {
        let Some(at) = pfn.addr(self.page) else {
            return Ok(State::Absent(Absence::NotRam));
        };
        self.state_at(at)
    }

    fn state_at(&mut self, at: PhysAddr) -> Result<State> {
        let borrowed = self.memory.lend(at, self.bytes.len());
        let bytes = match borrowed {
            Some(bytes) => bytes,
            None => {
                if let Err(error) = self.memory.read(at, &mut self.bytes) {
                    return match error.why {
                        Absence::Io { .. } => Err(Failure::system(&self.source.path, error)),
                        why => Ok(State::Absent(why)),
                    };
                }
                &self.bytes
            }
        };
        Ok(match is_zero(bytes) {
            true => State::Zero,
            false => State::Crc32(crc32fast::hash(bytes)),
        })
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    // Most pages that are not zero begin so.
    bytes
        .chunks(64)
        .all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}
