//! Laying out a list, page for page and word for word as Linux does.
//!
//! ```text
//!  the allocator gives a page that …
//!   is the wanted destination ─────────▶ take it: it need not be moved
//!   is no destination at all ──────────▶ take it
//!   is a destination whose source page ▶ move that source page's bytes into it, correct its
//!     is in the list already             entry, take the old source page instead
//!   is a destination yet to come ──────▶ set aside; taken when that destination's turn comes
//! ```
//!
//! So that no page is overwritten before it was read, a source page is its own destination or none
//! at all. Pages of entries keep to the same rule, with no destination of their own.
//!
//! Source: `kimage_alloc_page()`, `kimage_add_entry()`, `kimage_load_normal_segment()` and
//! `kimage_terminate()` in Linux `kernel/kexec_core.c`.

use physmem::{MemError, PageShift, PhysAddr, PhysMemoryMut, PhysRange};

use super::tail::{Tail, write_word};
use crate::{
    check::{Rejected, Rule, at_most_sixteen},
    entry::{Format, KimageEntry},
    error::{BadPage, Error, Result},
    segment::Segment,
    uapi::Limits,
    word,
};

/// Bytes that are copied at once.
const CHUNK: usize = 512;
/// Bytes in a word of scratch.
const WORD: u64 = size_of::<u64>() as u64;
static ZEROS: [u8; 4096] = [0; 4096];

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FramePurpose {
    /// Bytes of a segment: anywhere (`GFP_HIGHUSER`).
    Source,
    /// Entries: in memory that the kernel has mapped (`GFP_KERNEL`).
    Indirection,
}

/// Where the pages of a list come from.
pub trait FrameAllocator {
    /// The address of a page that nobody else uses; `None` if there is none.
    ///
    /// No page may come twice: what was given belongs to the image, used or not, until that is
    /// dropped. Pages above [`Limits::source`] are passed over, as many as are given.
    ///
    /// The builder remembers the last page only and those that are destinations, so it finds a page that
    /// comes twice in a row, or as its own destination and again. Of an allocator that is not trusted,
    /// have the finished list looked through by [`List::verify`](crate::List::verify): it finds every page
    /// that is in the list twice.
    fn allocate(&mut self, purpose: FramePurpose) -> Option<PhysAddr>;
}

impl<A: FrameAllocator + ?Sized> FrameAllocator for &mut A {
    fn allocate(&mut self, purpose: FramePurpose) -> Option<PhysAddr> {
        (**self).allocate(purpose)
    }
}

/// A page of a segment, to be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePage {
    /// Number of the segment, from 0.
    pub segment: usize,
    /// Where in the segment the page begins, in bytes.
    pub offset: u64,
    /// Where it is now.
    pub at: PhysAddr,
}

/// Builds the list of a normal image (not of a crash image, which has none) and fills its pages.
///
/// A page costs O(1). Where the allocator gives a page that is already some source page's
/// destination, it also costs one read for each page of entries before that one's.
#[derive(Debug)]
pub struct Builder<'a, M: ?Sized, A> {
    format: Format,
    limits: Limits,
    segments: &'a [Segment<'a>],
    memory: &'a mut M,
    frames: A,
    /// A bit for each page of the segments: its destination is set aside.
    aside: &'a mut [u64],
    any_aside: bool,
    /// Source pages in the list.
    pages: u64,
    /// The last page that the allocator gave.
    last: Option<PhysAddr>,
    /// A stretch below all limits and without destinations, in which the allocator seems to be.
    clear: Option<PhysRange>,
    tail: Tail,
}

impl<'a, M: PhysMemoryMut + ?Sized, A: FrameAllocator> Builder<'a, M, A> {
    /// How many words [`Builder::try_new`] needs for pages that are set aside: a bit a page.
    #[must_use]
    pub fn scratch_len(segments: &[Segment<'_>], page: PageShift) -> usize {
        let pages = pages_of(segments, page).div_ceil(u64::BITS.into());
        usize::try_from(pages).unwrap_or(usize::MAX)
    }

    /// A builder of a list for `segments`, in pages from `frames` which lie in `memory`. What
    /// `scratch` holds does not matter.
    ///
    /// # Errors
    ///
    /// `Rejected` for more than [`SEGMENT_MAX`](crate::uapi::SEGMENT_MAX) segments, and for those that do
    /// not consist of whole pages, reach [`Limits::destination`], overlap, or have more bytes than memory;
    /// `Truncated` when `scratch` is too short.
    pub fn try_new(
        format: Format,
        limits: Limits,
        segments: &'a [Segment<'a>],
        scratch: &'a mut [u64],
        memory: &'a mut M,
        frames: A,
    ) -> Result<Self> {
        check(segments, format, limits)?;
        let needed = Self::scratch_len(segments, format.page);
        let available = scratch.len();
        let aside = scratch.get_mut(..needed).ok_or(Error::Truncated {
            what: "scratch for pages set aside",
            offset: 0,
            // Saturating: scratch for that many does not exist.
            needed: (needed as u64).saturating_mul(WORD),
            available: (available as u64).saturating_mul(WORD),
        })?;
        aside.fill(0);
        Ok(Self {
            format,
            limits,
            segments,
            memory,
            frames,
            aside,
            any_aside: false,
            pages: 0,
            last: None,
            clear: None,
            tail: Tail::new(format),
        })
    }

    /// Lays out the list, copies the segments' bytes into its pages, and returns its head.
    ///
    /// # Errors
    ///
    /// `OutOfPages`, `BadPage` or `Memory`.
    pub fn build(self) -> Result<KimageEntry> {
        let (segments, page) = (self.segments, self.format.page.bytes());
        self.build_with(|memory, place| match segments.get(place.segment) {
            Some(segment) => fill(memory, segment, place, page),
            None => Ok(()),
        })
    }

    /// Lays out the list, lets `fill` fill its pages, and returns its head.
    ///
    /// Each page has to be filled before `fill` returns, since it may be moved right after.
    ///
    /// # Errors
    ///
    /// `OutOfPages`, `BadPage` or `Memory`.
    pub fn build_with(
        mut self,
        mut fill: impl FnMut(&mut M, SourcePage) -> Result<(), MemError>,
    ) -> Result<KimageEntry> {
        let page = self.format.page.bytes();
        for (number, segment) in self.segments.iter().enumerate() {
            let start = segment.dest.start();
            self.push(KimageEntry::destination(start))?;
            let mut offset = 0;
            while offset < segment.dest.size() {
                // Wrapping: the segment's end is an address.
                let wanted = PhysAddr::new(start.as_u64().wrapping_add(offset));
                let at = self.source_page(wanted)?;
                self.push(KimageEntry::source(at))?;
                // Saturating, here and below: no memory has 2^64 pages.
                self.pages = self.pages.saturating_add(1);
                let place = SourcePage {
                    segment: number,
                    offset,
                    at,
                };
                fill(self.memory, place)?;
                offset = offset.saturating_add(page);
            }
        }
        Ok(self.tail.finish(self.memory)?)
    }

    /// A page for the bytes that go to `wanted`.
    #[inline]
    fn source_page(&mut self, wanted: PhysAddr) -> Result<PhysAddr> {
        if self.any_aside
            && self
                .aside_bit(self.pages)
                .is_some_and(|(word, bit)| *word & bit != 0)
        {
            return Ok(wanted);
        }
        self.allocate(Some(wanted), FramePurpose::Source)
    }

    #[inline]
    fn push(&mut self, entry: KimageEntry) -> Result<()> {
        if !self.tail.push(entry) {
            self.make_room()?;
            self.tail.push(entry);
        }
        Ok(())
    }

    /// Writes the entries that are pending, and goes on in another page where this one is full.
    #[inline(never)]
    fn make_room(&mut self) -> Result<()> {
        self.tail.flush(self.memory)?;
        if self.tail.is_full() {
            let page = self.allocate(None, FramePurpose::Indirection)?;
            self.tail.link(self.memory, page)?;
        }
        Ok(())
    }

    /// A page that is `wanted`, or no destination.
    #[inline]
    fn allocate(&mut self, wanted: Option<PhysAddr>, purpose: FramePurpose) -> Result<PhysAddr> {
        match self.frames.allocate(purpose) {
            Some(page) if self.is_clear(page) => {
                self.last = Some(page);
                Ok(page)
            }
            first => self.search(first, wanted, purpose),
        }
    }

    /// Whether `page` lies where others did that could be taken at once, and is not the last one again.
    #[inline]
    fn is_clear(&self, page: PhysAddr) -> bool {
        let aligned = page.page_offset(self.format.page) == 0;
        aligned && self.last != Some(page) && self.clear.is_some_and(|clear| clear.contains(page))
    }

    /// The first page that will do of `first` and those after it.
    #[inline(never)]
    fn search(
        &mut self,
        first: Option<PhysAddr>,
        wanted: Option<PhysAddr>,
        purpose: FramePurpose,
    ) -> Result<PhysAddr> {
        let mut next = first;
        while let Some(page) = next {
            if let Some(page) = self.consider(page, wanted, purpose)? {
                return Ok(page);
            }
            next = self.frames.allocate(purpose);
        }
        Err(Error::OutOfPages { pages: self.pages })
    }

    /// What `page`, of which nothing is known, can be had for.
    fn consider(
        &mut self,
        page: PhysAddr,
        wanted: Option<PhysAddr>,
        purpose: FramePurpose,
    ) -> Result<Option<PhysAddr>> {
        let bad = |why| Err(Error::BadPage { page, why });
        if page.page_offset(self.format.page) != 0 {
            return bad(BadPage::Unaligned);
        }
        if self.last.replace(page) == Some(page) {
            return bad(BadPage::Repeated);
        }
        let shift = self.format.page.as_u8();
        if page.as_u64() >> shift > self.limits.source >> shift {
            return Ok(None);
        }
        if page.as_u64() > word::max(self.format.width) {
            return bad(BadPage::TooHigh);
        }
        if Some(page) == wanted {
            return Ok(Some(page));
        }
        let destinations = || self.segments.iter().map(|segment| segment.dest);
        if destinations().any(|range| range.contains(page)) {
            return self.exchange(page, purpose);
        }
        let below = destinations()
            .map(PhysRange::end)
            .filter(|end| *end <= page);
        let above = destinations()
            .map(PhysRange::start)
            .filter(|start| *start > page);
        let start = below.max().unwrap_or_default();
        let end = above.min().unwrap_or(PhysAddr::new(u64::MAX));
        // Where every page would pass the limits above, too.
        let highest = self.limits.source.min(word::max(self.format.width));
        self.clear = PhysRange::try_new(start, end.min(PhysAddr::new(highest))).ok();
        Ok(Some(page))
    }

    /// What `page`, a destination, can be had for: the source page that goes there, or nothing yet.
    fn exchange(&mut self, page: PhysAddr, purpose: FramePurpose) -> Result<Option<PhysAddr>> {
        let repeated = Error::BadPage {
            page,
            why: BadPage::Repeated,
        };
        let Some((index, segment)) = self.index_of(page) else {
            return Ok(Some(page));
        };
        if index >= self.pages {
            self.any_aside = true;
            if let Some((word, bit)) = self.aside_bit(index) {
                if *word & bit != 0 {
                    return Err(repeated);
                }
                *word |= bit;
            }
            return Ok(None);
        }
        let slot = self.slot_of(index, segment)?;
        let format = self.format;
        let old = self.memory.word(slot, format.width, format.endian)?;
        let old = KimageEntry::new(old).address(format.page);
        if old == page {
            return Err(repeated);
        }
        copy(self.memory, old, page, format.page)?;
        let entry = KimageEntry::source(page).as_u64();
        write_word(self.memory, slot, entry, format)?;
        let mapped = old.as_u64() < self.limits.highmem;
        Ok((mapped || purpose == FramePurpose::Source).then_some(old))
    }

    /// Where among all pages of the segments `destination` is, and in which segment.
    fn index_of(&self, destination: PhysAddr) -> Option<(u64, u64)> {
        let shift = self.format.page.as_u8();
        let mut before = 0_u64;
        for (number, segment) in (0..).zip(self.segments) {
            if segment.dest.contains(destination) {
                let offset = destination.checked_offset_from(segment.dest.start())?;
                return Some((before.saturating_add(offset >> shift), number));
            }
            before = before.saturating_add(segment.dest.size() >> shift);
        }
        None
    }

    /// Where the entry of source page `index` is, which is in `segment`.
    fn slot_of(&mut self, index: u64, segment: u64) -> Result<PhysAddr, MemError> {
        self.tail.flush(self.memory)?;
        let format = self.format;
        let size = format.width.bytes() as u64;
        // Wrapping: a page that words can name ends at or below the end of the address space.
        let word = |page: PhysAddr, slot: u64| {
            PhysAddr::new(page.as_u64().wrapping_add(slot.wrapping_mul(size)))
        };
        // Each segment up to this one has a destination entry. No memory has 2^63 of either.
        let mut slot = index.saturating_add(segment).saturating_add(1);
        let mut page = KimageEntry::new(self.tail.head).address(format.page);
        let last = format.words_per_page().saturating_sub(1);
        while slot >= last {
            let link = self
                .memory
                .word(word(page, last), format.width, format.endian)?;
            page = KimageEntry::new(link).address(format.page);
            slot = slot.saturating_sub(last);
        }
        Ok(word(page, slot))
    }

    #[inline]
    fn aside_bit(&mut self, index: u64) -> Option<(&mut u64, u64)> {
        let word = self.aside.get_mut(usize::try_from(index >> 6).ok()?)?;
        Some((word, 1 << (index & 63)))
    }
}

/// All pages of all segments.
fn pages_of(segments: &[Segment<'_>], page: PageShift) -> u64 {
    // Saturating: scratch for that many does not exist.
    segments.iter().fold(0, |sum: u64, segment| {
        sum.saturating_add(segment.dest.size() >> page.as_u8())
    })
}

/// Those of the kernel's rules without which the list would not do what it should.
fn check(segments: &[Segment<'_>], format: Format, limits: Limits) -> Result<(), Rejected> {
    at_most_sixteen(segments.len())?;
    let page = format.page;
    for (number, segment) in segments.iter().enumerate() {
        let (start, end) = (segment.dest.start(), segment.dest.end());
        if let Some(odd) = [start, end]
            .into_iter()
            .find(|at| at.page_offset(page) != 0)
        {
            let unaligned = Rejected::new(Rule::Unaligned, odd.as_u64(), page.bytes());
            return Err(unaligned.of_segment(number));
        }
        let max = word::max(format.width);
        if end.as_u64() > max {
            return Err(Rejected::new(Rule::WiderThanWord, end.as_u64(), max).of_segment(number));
        }
        if end.as_u64() >= limits.destination {
            let (found, bound) = (end.as_u64(), limits.destination);
            return Err(Rejected::new(Rule::TooHigh, found, bound).of_segment(number));
        }
        let mut before = segments.iter().take(number).enumerate();
        if let Some((other, taken)) = before.find(|(_, other)| other.dest.overlaps(segment.dest)) {
            let (found, bound) = (start.as_u64(), taken.dest.start().as_u64());
            let overlap = Rejected::new(Rule::Overlap, found, bound);
            return Err(overlap.of_segment(number).and(other));
        }
        let (found, bound) = (segment.filled(), segment.dest.size());
        if found > bound {
            let rejected = Rejected::new(Rule::MoreBytesThanMemory, found, bound);
            return Err(rejected.of_segment(number));
        }
    }
    Ok(())
}

/// Writes a page's share of a segment's bytes, then zeros.
fn fill<M: PhysMemoryMut + ?Sized>(
    memory: &mut M,
    segment: &Segment<'_>,
    place: SourcePage,
    page: u64,
) -> Result<(), MemError> {
    let (mut at, mut left) = (place.at, page);
    // Saturating and wrapping: nothing goes past the end of a page.
    let mut put = |memory: &mut M, bytes: &[u8]| {
        let len = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let bytes = bytes.get(..len).unwrap_or_default();
        memory.write(at, bytes)?;
        at = PhysAddr::new(at.as_u64().wrapping_add(len as u64));
        left = left.saturating_sub(len as u64);
        Ok(left)
    };
    let mut skip = place.offset;
    for part in segment.parts {
        let rest = usize::try_from(skip).ok().and_then(|skip| part.get(skip..));
        skip = skip.saturating_sub(part.len() as u64);
        if put(memory, rest.unwrap_or_default())? == 0 {
            return Ok(());
        }
    }
    while put(memory, &ZEROS)? != 0 {}
    Ok(())
}

fn copy<M: PhysMemoryMut + ?Sized>(
    memory: &mut M,
    from: PhysAddr,
    to: PhysAddr,
    page: PageShift,
) -> Result<(), MemError> {
    let mut bytes = [0; CHUNK];
    for offset in (0..page.bytes()).step_by(CHUNK) {
        // Wrapping: an offset in a page.
        let advanced = |at: PhysAddr| PhysAddr::new(at.as_u64().wrapping_add(offset));
        memory.read(advanced(from), &mut bytes)?;
        memory.write(advanced(to), &bytes)?;
    }
    Ok(())
}
