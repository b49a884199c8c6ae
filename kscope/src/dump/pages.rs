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

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 4 bytes from address 0x1000 on: bytes, or why not.
    struct Blocks<'b>(&'b [std::result::Result<u8, Absence>]);

    impl PhysMemory for Blocks<'_> {
        fn read(&self, at: PhysAddr, out: &mut [u8]) -> std::result::Result<(), MemError> {
            for (at, byte) in (at.as_u64()..).zip(out) {
                let block = usize::try_from((at - 0x1000) / 4).unwrap();
                let found = self.0.get(block).copied().unwrap_or(Err(Absence::NotRam));
                let at = PhysAddr::new(at);
                *byte = found.map_err(|why| MemError { at, why })?;
            }
            Ok(())
        }

        /// One block after the other; those that are no RAM are in no run.
        fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
            let first = from.as_u64().max(0x1000);
            (first..0x1000 + 4 * self.0.len() as u64).find_map(|at| {
                let block = usize::try_from((at - 0x1000) / 4).unwrap();
                let is_ram = self.0[block] != Err(Absence::NotRam);
                let end = (at - at % 4) + 4;
                is_ram.then(|| PhysRange::with_size(PhysAddr::new(at), end - at).unwrap())
            })
        }
    }

    fn parts(blocks: &[std::result::Result<u8, Absence>]) -> std::result::Result<Vec<u8>, Absence> {
        let (memory, at) = (Blocks(blocks), PhysAddr::new(0x1000));
        let mut page = vec![0xaa; 16];
        let error = memory.read(at, &mut page).unwrap_err();
        read_parts(&memory, at, &mut page, error).map_err(|error| error.why)?;
        Ok(page)
    }

    #[test]
    fn the_rest_of_a_page_that_is_there_in_part_is_zeros() {
        use Absence::{Damaged, Excluded, Lost, NotRam, Undescribed};

        let page = |blocks: [u8; 4]| Ok(blocks.map(|byte| [byte; 4]).concat());
        for left_out in [NotRam, Undescribed, Excluded] {
            let out = Err(left_out);
            assert_eq!(parts(&[out, Ok(2), out, Ok(4)]), page([0, 2, 0, 4]));
            assert_eq!(parts(&[Ok(1), out, out, out]), page([1, 0, 0, 0]));
            assert_eq!(parts(&[out; 4]), Err(left_out));
        }
        // But not if any of it was lost or is damaged, before what is there or behind it.
        for why in [Lost, Damaged] {
            assert_eq!(parts(&[Err(why), Ok(2), Ok(3), Ok(4)]), Err(why));
            assert_eq!(parts(&[Err(NotRam), Ok(2), Ok(3), Err(why)]), Err(why));
        }
        assert_eq!(
            parts(&[Err(NotRam), Err(Excluded), Err(NotRam), Err(NotRam)]),
            Err(Excluded)
        );
    }
}
