//! The memory of a dump: one reader a thread.
//!
//! ```text
//!  physical address   63        20 19   12 11        0
//!                     ┌───────────┬───────┬───────────┐
//!                     │ page      │ slot  │ in page   │      slot ─▶ (page, offset in the file)
//!                     └───────────┴───────┴───────────┘
//! ```
//!
//! A page walk is a chain of dependent loads, and between two of them stands the question where in the
//! file the next table lies. A search among the pieces of the index would be most of the walk's time, so a
//! reader remembers where the pages that it read last lie, as a processor's TLB does.

use core::cell::Cell;

use physmem::{Absence, MemError, PageShift, Pfn, PhysAddr, PhysMemory, PhysRange};

use crate::{
    ReadAt,
    elf::index::{Backing, Index, Piece},
    source::ReadError,
};

/// What a reader remembers at once, in pages: the tables of many walks, in 4 KiB of memory.
const PLACES: usize = 256;

/// The granule of what is remembered; the tables of other page sizes are several of it.
const PAGE: PageShift = PageShift::SIZE_4K;

/// Never a page's number: those end at 2^52 - 1.
const NO_PAGE: Pfn = Pfn::new(u64::MAX);

/// Where a page lies in the file, all of it.
#[derive(Debug, Clone)]
struct Place {
    page: Cell<Pfn>,
    offset: Cell<u64>,
}

impl Place {
    const fn empty() -> Self {
        Self {
            page: Cell::new(NO_PAGE),
            offset: Cell::new(0),
        }
    }
}

/// Physical memory as a dump holds it; made by [`Dump::reader`](crate::Dump::reader).
///
/// Lends what its source lends. What no segment describes is not RAM, what a segment leaves out is
/// excluded, and what lies past the end of the file is lost.
#[derive(Debug, Clone)]
pub struct Reader<'d, S> {
    source: &'d S,
    index: &'d Index,
    places: [Place; PLACES],
}

impl<'d, S: ReadAt> Reader<'d, S> {
    pub(crate) fn new(source: &'d S, index: &'d Index) -> Self {
        Self {
            source,
            index,
            places: [const { Place::empty() }; PLACES],
        }
    }

    /// The offset in the file of `len` bytes at `at`, if one piece has them all.
    #[inline]
    fn offset_of(&self, at: PhysAddr, len: usize) -> Option<u64> {
        let (page, within) = (at.pfn(PAGE), at.page_offset(PAGE));
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the low bits are all that counts"
        )]
        let place = self.places.get(page.as_u64() as usize % PLACES)?;
        if place.page.get() == page && len as u64 <= PAGE.bytes() - within {
            // Cannot wrap: all of the page lies in the file.
            return Some(place.offset.get().wrapping_add(within));
        }
        self.search(at, len, place)
    }

    /// The same by the index; what it finds it remembers in `place`.
    #[inline(never)]
    fn search(&self, at: PhysAddr, len: usize, place: &Place) -> Option<u64> {
        let piece = self.piece(at)?;
        let Backing::File(offset) = piece.backing_at(at) else {
            return None;
        };
        let before = at.checked_offset_from(piece.range.start())?;
        let left = piece.range.end().checked_offset_from(at)?;
        let within = at.page_offset(PAGE);
        if within <= before && PAGE.bytes() - within <= left {
            place.page.set(at.pfn(PAGE));
            place.offset.set(offset - within);
        }
        (len as u64 <= left).then_some(offset)
    }

    /// The piece that holds `at`.
    fn piece(&self, at: PhysAddr) -> Option<&'d Piece> {
        let piece = self.index.get(self.index.position(at))?;
        Some(piece).filter(|piece| piece.range.contains(at))
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
        self.source.lend_at(self.offset_of(at, len)?, len)
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.index
            .get(self.index.position(from))?
            .range
            .at_and_above(from)
    }
}
