//! The memory of a dump: one reader a thread.
//!
//! A page walk is a chain of dependent loads, and between two of them stands the question in which piece
//! of the index the next table lies. A dump of a few pieces answers it with branches, a larger one
//! remembers the piece of each page before it searches.

use core::cell::Cell;

use physmem::{Absence, MemError, PhysAddr, PhysMemory, PhysRange};

use crate::{
    ReadAt,
    elf::index::{Backing, Index, Piece},
    source::ReadError,
};

/// How many pieces a reader tries one by one. Which one it is the processor foresees, so that the next
/// load of a page walk does not wait for a look-up: that halves the time of a walk.
const FEW: usize = 8;

/// How many pieces a reader remembers where there are more.
const HINTS: usize = 256;

/// Where a reader remembers the piece of `at`: one place for each 4 KiB of a 1 MiB window, since tables
/// lie in pages of their own.
#[inline]
fn slot(at: PhysAddr) -> usize {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the mask leaves eight bits"
    )]
    let page = (at.as_u64() >> 12) as usize;
    page & (HINTS - 1)
}

/// Physical memory as a dump holds it; made by [`Dump::reader`](crate::Dump::reader).
///
/// Lends what its source lends. What no segment describes is not RAM, what a segment leaves out is
/// excluded, and what lies past the end of the file is lost.
#[derive(Debug, Clone)]
pub struct Reader<'d, S> {
    source: &'d S,
    index: &'d Index,
    /// Positions of the pieces used last, by `slot`.
    hints: [Cell<usize>; HINTS],
}

impl<'d, S: ReadAt> Reader<'d, S> {
    pub(crate) fn new(source: &'d S, index: &'d Index) -> Self {
        Self {
            source,
            index,
            hints: [const { Cell::new(0) }; HINTS],
        }
    }

    /// The piece that holds `at`.
    #[inline]
    fn piece(&self, at: PhysAddr) -> Option<&'d Piece> {
        for piece in self.index.pieces().iter().take(FEW) {
            if at < piece.range.end() {
                return Some(piece).filter(|piece| piece.range.start() <= at);
            }
        }
        let hint = self.hints.get(slot(at))?;
        match self.index.get(hint.get()) {
            Some(piece) if piece.range.contains(at) => Some(piece),
            _ => {
                let position = self.index.position(at);
                let piece = self.index.get(position)?;
                hint.set(position);
                Some(piece).filter(|piece| piece.range.contains(at))
            }
        }
    }

    /// The offset in the file of `len` bytes at `at`, if one piece has them all.
    #[inline]
    fn offset_of(&self, at: PhysAddr, len: u64) -> Option<u64> {
        let piece = self.piece(at)?;
        let offset = match piece.backing_at(at) {
            Backing::File(offset) => offset,
            Backing::Lost | Backing::Excluded => return None,
        };
        let left = piece.range.end().checked_offset_from(at)?;
        (len <= left).then_some(offset)
    }
}

impl<S: ReadAt> PhysMemory for Reader<'_, S> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let not_ram = MemError {
                at,
                why: Absence::NotRam,
            };
            let here = at.checked_add(done as u64).ok_or(not_ram)?;
            let piece = self.piece(here).ok_or(MemError {
                at: here,
                ..not_ram
            })?;
            let absent = |why| MemError { at: here, why };
            let offset = match piece.backing_at(here) {
                Backing::File(offset) => offset,
                Backing::Lost => return Err(absent(Absence::Lost)),
                Backing::Excluded => return Err(absent(Absence::Excluded)),
            };
            let left = piece
                .range
                .end()
                .checked_offset_from(here)
                .unwrap_or_default();
            // A piece longer than memory is long enough.
            let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let rest = rest.get_mut(..n).unwrap_or_default();
            self.source
                .read_exact_at(offset, rest)
                .map_err(|error| match error {
                    // The index keeps to the file's size, so the file shrank since.
                    ReadError::Short { available, .. } => MemError {
                        at: here.checked_add(available).unwrap_or(here),
                        why: Absence::Lost,
                    },
                    ReadError::Os { errno, .. } => MemError {
                        at: here,
                        why: Absence::Io { errno },
                    },
                })?;
            done += n;
        }
        Ok(())
    }

    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        self.source.lend_at(self.offset_of(at, len as u64)?, len)
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.index
            .get(self.index.position(from))?
            .range
            .at_and_above(from)
    }
}
