//! The memory of a dump: one reader a thread.
//!
//! ```text
//!  physical address   63        20 19   12 11        0
//!                     ┌───────────┬───────┬───────────┐
//!                     │ page      │ slot  │ in page   │      slot ─▶ (page, its bytes, lent by the source)
//!                     └───────────┴───────┴───────────┘
//!                       not there: the index of an ELF dump or of bare memory, or else
//!                                  the decoded pages, bitmap and descriptor of a compressed one
//! ```
//!
//! A page walk is a chain of dependent loads, and between two of them stands the question where
//! the next table lies. A search among the pieces of the index would be most of the walk's time, so a
//! reader remembers the pages that it was lent last, as a processor's TLB does. Pages that had to be
//! decoded it keeps: 4 MiB of them, or four blocks where these are more.

use alloc::vec::Vec;
use core::{
    cell::{Cell, RefCell},
    fmt,
};

use physmem::{Absence, Endian, MemError, PageShift, Pfn, PhysAddr, PhysMemory, PhysRange, Width};

use crate::{
    ReadAt,
    cache::Cache,
    codec::{Builtin, Codec, Method},
    elf::index::{Backing, Index, Piece},
    file::File,
    kdump::{Stored, View, absence},
    source::ReadError,
};

/// What a reader remembers at once, in pages: the tables of many walks, in 4 KiB of memory.
const PLACES: usize = 256;

/// The granule of what is remembered; the tables of other page sizes are several of it.
const PAGE: PageShift = PageShift::SIZE_4K;
const PAGE_SIZE: usize = 4096;

/// Never a page's number: those end at 2^52 - 1.
const NO_PAGE: Pfn = Pfn::new(u64::MAX);

/// The bytes of a page, all of them lent.
#[derive(Debug)]
struct Place<'d> {
    page: Cell<Pfn>,
    bytes: Cell<&'d [u8; PAGE_SIZE]>,
}

impl Place<'_> {
    const fn empty() -> Self {
        Self {
            page: Cell::new(NO_PAGE),
            bytes: Cell::new(&[0; PAGE_SIZE]),
        }
    }
}

/// Where a dump's memory is.
#[derive(Debug)]
pub(crate) enum Memory<'d, S> {
    Indexed { file: &'d File<S>, index: &'d Index },
    Kdump(View<'d, S>),
}

/// What decoding pages takes.
struct Decoder<C> {
    codec: C,
    /// Compressed bytes that the source does not lend.
    compressed: Vec<u8>,
    cache: Cache,
    /// The block behind the last one that was read whole.
    next: u64,
}

/// Physical memory as a dump holds it; made by [`Dump::reader`](crate::Dump::reader).
///
/// Lends what its source lends, if it is not compressed. What the bitmaps of a compressed dump say is no RAM is not RAM; other
/// dumps have no word for that, and what they do not have is undescribed. What a dump leaves out is excluded, and what lies past
/// the end of the file, or was never written, is lost.
///
/// Decoded pages are kept for the next read of them, except those that are read whole and one after the other: who reads
/// all memory does not come back, and such pages are decoded to where they go.
pub struct Reader<'d, S, C = Builtin> {
    memory: Memory<'d, S>,
    places: [Place<'d>; PLACES],
    decoder: RefCell<Decoder<C>>,
}

impl<S, C> fmt::Debug for Reader<'_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<'d, S: ReadAt, C: Codec> Reader<'d, S, C> {
    pub(crate) fn new(memory: Memory<'d, S>, codec: C) -> Self {
        let block = match &memory {
            // Nothing of it is decoded.
            Memory::Indexed { .. } => 0,
            Memory::Kdump(view) => view.block(),
        };
        Self {
            memory,
            places: [const { Place::empty() }; PLACES],
            decoder: RefCell::new(Decoder {
                codec,
                compressed: Vec::new(),
                // A block is 1 MiB at most.
                cache: Cache::new(usize::try_from(block).unwrap_or(0)),
                next: 0,
            }),
        }
    }

    /// Where the bytes of a page are remembered.
    #[inline]
    fn place(&self, page: Pfn) -> Option<&Place<'d>> {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the low bits are all that counts"
        )]
        self.places.get(page.as_u64() as usize % PLACES)
    }

    /// The bytes at `at` if their page is remembered.
    #[inline]
    fn remembered(&self, at: PhysAddr, len: usize) -> Option<&'d [u8]> {
        let page = at.pfn(PAGE);
        let place = self.place(page).filter(|place| place.page.get() == page)?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "an offset in a page of 4096 bytes"
        )]
        let within = at.page_offset(PAGE) as usize;
        place.bytes.get().get(within..)?.get(..len)
    }

    /// Borrows from the source; what is a whole page is remembered.
    #[inline(never)]
    fn borrow(&self, at: PhysAddr, len: usize) -> Option<&'d [u8]> {
        let (file, stretch) = match &self.memory {
            Memory::Indexed { file, index } => (*file, Stretch::of_piece(index, at)?),
            Memory::Kdump(view) => {
                let (frame, within) = view.split(at);
                let (file, stored) = view.locate(frame).ok()?;
                (file, Stretch::of_block(&stored, within)?)
            }
        };
        let within = at.page_offset(PAGE);
        if within <= stretch.before && PAGE.bytes() - within <= stretch.left {
            // Cannot wrap: so many bytes are before it.
            let page = file.lend_at(stretch.offset - within, PAGE_SIZE);
            let page = page.and_then(|bytes| bytes.first_chunk());
            if let (Some(place), Some(bytes)) = (self.place(at.pfn(PAGE)), page) {
                place.bytes.set(bytes);
                place.page.set(at.pfn(PAGE));
            }
        }
        (len as u64 <= stretch.left).then_some(())?;
        file.lend_at(stretch.offset, len)
    }

    /// A word of a page that is not remembered.
    #[inline(never)]
    fn word_elsewhere(&self, at: PhysAddr, width: Width, order: Endian) -> Result<u64, MemError> {
        if let Memory::Kdump(view) = &self.memory {
            let (frame, within) = view.split(at);
            let within = usize::try_from(within).unwrap_or(usize::MAX);
            let kept = self.decoder.try_borrow();
            let word = kept
                .as_ref()
                .ok()
                .and_then(|decoder| width.decode(decoder.cache.get(frame)?.get(within..)?, order));
            if let Some(word) = word {
                return Ok(word);
            }
        }
        let lent = self.borrow(at, width.bytes());
        if let Some(word) = lent.and_then(|bytes| width.decode(bytes, order)) {
            return Ok(word);
        }
        let mut bytes = [0; 8];
        let (word, _) = bytes.split_at_mut(width.bytes());
        self.read(at, word)?;
        // The slice is as long as the word, so it decodes.
        Ok(width.decode(word, order).unwrap_or_default())
    }

    /// Fills `out` from a piece of the index, or as much of it as the piece has; how much that is.
    fn read_piece(
        file: &File<S>,
        index: &Index,
        at: PhysAddr,
        out: &mut [u8],
    ) -> Result<usize, MemError> {
        let absent = |why| MemError { at, why };
        let piece = piece(index, at).ok_or(absent(Absence::Undescribed))?;
        let offset = match piece.backing_at(at) {
            Backing::File(offset) => offset,
            Backing::Lost => return Err(absent(Absence::Lost)),
            Backing::Excluded => return Err(absent(Absence::Excluded)),
        };
        let left = piece
            .range
            .end()
            .checked_offset_from(at)
            .unwrap_or_default();
        // A piece longer than memory is long enough.
        let n = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let out = out.get_mut(..n).unwrap_or_default();
        read_at(file, offset, out, at)?;
        Ok(n)
    }

    /// Fills `out` from a block of a compressed dump, or as much of it as the block has; how much that is.
    fn read_block(
        &self,
        view: &View<'d, S>,
        at: PhysAddr,
        out: &mut [u8],
    ) -> Result<usize, MemError> {
        let absent = |why| MemError { at, why };
        let (frame, within) = view.split(at);
        // A block longer than memory is long enough.
        let left = usize::try_from(view.block() - within).unwrap_or(usize::MAX);
        let n = out.len().min(left);
        let out = out.get_mut(..n).unwrap_or_default();
        let within = usize::try_from(within).unwrap_or(usize::MAX);

        // Nothing that is called from here on knows this reader.
        let mut decoder = self
            .decoder
            .try_borrow_mut()
            .map_err(|_| absent(Absence::Damaged))?;
        let is_whole = within == 0 && n == left;
        let is_scan = is_whole && decoder.next == frame;
        if is_whole {
            // Frames end at 2^52 - 1.
            decoder.next = frame + 1;
        }
        if let Some(kept) = decoder.cache.get(frame) {
            out.copy_from_slice(part(kept, within, n));
            return Ok(n);
        }
        let (file, stored) = view.locate(frame).map_err(absent)?;
        if stored.method == Method::STORED {
            // Cannot wrap: all of the block lies in the file.
            read_at(file, stored.offset.wrapping_add(within as u64), out, at)?;
        } else if is_scan {
            decoder.decode(file, &stored, out).map_err(absent)?;
        } else {
            let Decoder {
                codec,
                compressed,
                cache,
                ..
            } = &mut *decoder;
            let page = cache.fill(frame, |page| decode(codec, compressed, file, &stored, page));
            out.copy_from_slice(part(page.map_err(absent)?, within, n));
        }
        Ok(n)
    }
}

impl<C: Codec> Decoder<C> {
    fn decode<S: ReadAt>(
        &mut self,
        file: &File<S>,
        stored: &Stored,
        out: &mut [u8],
    ) -> Result<(), Absence> {
        decode(&mut self.codec, &mut self.compressed, file, stored, out)
    }
}

/// Decodes a page into `out`, which has its size; `buffer` takes the compressed bytes that are not lent.
fn decode<S: ReadAt>(
    codec: &mut impl Codec,
    buffer: &mut Vec<u8>,
    file: &File<S>,
    stored: &Stored,
    out: &mut [u8],
) -> Result<(), Absence> {
    let compressed = match file.lend_at(stored.offset, stored.size) {
        Some(lent) => lent,
        None => {
            buffer.resize(stored.size, 0);
            file.read_exact_at(stored.offset, buffer).map_err(absence)?;
            buffer
        }
    };
    match codec.decode(stored.method, compressed, out)? {
        len if len == out.len() => Ok(()),
        _ => Err(Absence::Damaged),
    }
}

/// `len` bytes of a block that has them.
fn part(block: &[u8], within: usize, len: usize) -> &[u8] {
    let rest = block.get(within..).unwrap_or_default();
    rest.get(..len).unwrap_or_default()
}

/// Fills `out` with the memory at `at`, which lies at `offset`.
fn read_at<S: ReadAt>(
    file: &File<S>,
    offset: u64,
    out: &mut [u8],
    at: PhysAddr,
) -> Result<(), MemError> {
    file.read_exact_at(offset, out).map_err(|error| MemError {
        // The index keeps to the file's size: if it is too short it shrank since.
        at: match error {
            ReadError::Short { available, .. } => at.checked_add(available).unwrap_or(at),
            ReadError::Os { .. } => at,
        },
        why: absence(error),
    })
}

/// The piece that holds `at`.
fn piece(index: &Index, at: PhysAddr) -> Option<&Piece> {
    let piece = index.get(index.position(at))?;
    Some(piece).filter(|piece| piece.range.contains(at))
}

/// A place in the file and how many bytes of the same memory lie around it.
struct Stretch {
    offset: u64,
    before: u64,
    left: u64,
}

impl Stretch {
    fn of_piece(index: &Index, at: PhysAddr) -> Option<Self> {
        let piece = piece(index, at)?;
        let Backing::File(offset) = piece.backing_at(at) else {
            return None;
        };
        Some(Self {
            offset,
            before: at.checked_offset_from(piece.range.start())?,
            left: piece.range.end().checked_offset_from(at)?,
        })
    }

    fn of_block(stored: &Stored, within: u64) -> Option<Self> {
        if stored.method != Method::STORED {
            return None;
        }
        Some(Self {
            offset: stored.offset.checked_add(within)?,
            before: within,
            left: (stored.size as u64).checked_sub(within)?,
        })
    }
}

impl<S: ReadAt, C: Codec> PhysMemory for Reader<'_, S, C> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let why = Absence::NotRam;
            let here = at.checked_add(done as u64).ok_or(MemError { at, why })?;
            done += match &self.memory {
                Memory::Indexed { file, index } => Self::read_piece(file, index, here, rest)?,
                Memory::Kdump(view) => self.read_block(view, here, rest)?,
            };
        }
        Ok(())
    }

    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        match self.remembered(at, len) {
            Some(bytes) => Some(bytes),
            None => self.borrow(at, len),
        }
    }

    #[inline]
    fn word(&self, at: PhysAddr, width: Width, order: Endian) -> Result<u64, MemError> {
        let bytes = self.remembered(at, width.bytes());
        match bytes.and_then(|bytes| width.decode(bytes, order)) {
            Some(word) => Ok(word),
            None => self.word_elsewhere(at, width, order),
        }
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        match &self.memory {
            Memory::Indexed { index, .. } => {
                let piece = index.get(index.position(from))?;
                piece.range.at_and_above(from)
            }
            Memory::Kdump(view) => {
                let (frame, _) = view.split(from);
                let (range, _) = view.runs(frame).next()?;
                range.at_and_above(from)
            }
        }
    }
}
