//! Control pages: the code and tables that work while everything else is moved.
//!
//! ```text
//!  normal   any block of pages below the limit that is no destination
//!  crash    reserved memory  ├──segment──┤▒▒▒▒├─segment─┤▒▒▒▒▒▒▒▒▒│   the first hole, aligned to
//!                                         ▲first          ▲ second    its own size
//! ```
//!
//! A control page is neither moved nor overwritten. Versions of Linux differ in where the search for
//! a crash image's second block begins, the last byte of the first or the one after it; the blocks
//! found are the same.
//!
//! Source: `kimage_alloc_normal_control_pages()` and `kimage_alloc_crash_control_pages()` in Linux
//! `kernel/kexec_core.c`.

use physmem::{PageShift, PhysAddr, PhysRange};

use crate::uapi::Limits;

/// The control pages of a normal image: the first block from `allocate` that can be used, `None` if
/// there is no more.
///
/// A block has `1 << order` pages. Those before it cannot be used and are the caller's to free; they
/// must not come again meanwhile.
pub fn normal(
    destinations: &[PhysRange],
    order: u8,
    page: PageShift,
    limits: &Limits,
    mut allocate: impl FnMut() -> Option<PhysAddr>,
) -> Option<PhysRange> {
    let size = page.bytes().checked_shl(order.into())?;
    let shift = page.as_u8();
    loop {
        let Ok(block) = PhysRange::with_size(allocate()?, size) else {
            continue;
        };
        let high = block.end().as_u64() >> shift >= limits.control >> shift;
        let taken = destinations.iter().any(|range| range.overlaps(block));
        if !high && !taken {
            return Some(block);
        }
    }
}

/// The control pages of a crash image, block after block.
#[derive(Debug, Clone)]
pub struct Crash<'a> {
    reserved: PhysRange,
    segments: &'a [PhysRange],
    page: PageShift,
    limit: u64,
    /// `kimage.control_page`: where the next search begins.
    next: PhysAddr,
}

impl<'a> Crash<'a> {
    /// Those in `reserved` (`crashk_res`), which holds the image's `segments`.
    #[must_use]
    pub const fn new(
        reserved: PhysRange,
        segments: &'a [PhysRange],
        page: PageShift,
        limits: &Limits,
    ) -> Self {
        Self {
            reserved,
            segments,
            page,
            limit: limits.crash_control,
            next: reserved.start(),
        }
    }

    /// The next block of `1 << order` pages; `None` if no hole has room for it.
    ///
    /// Takes a look at all segments for every segment in the way.
    pub fn allocate(&mut self, order: u8) -> Option<PhysRange> {
        let size = self.page.bytes().checked_shl(order.into())?;
        let mut from = self.next;
        loop {
            let start = from.as_u64().checked_next_multiple_of(size)?;
            let block = PhysRange::with_size(PhysAddr::new(start), size).ok()?;
            if block.end() > self.reserved.end() || block.last().as_u64() > self.limit {
                return None;
            }
            match self.segments.iter().find(|range| range.overlaps(block)) {
                Some(range) => from = range.end(),
                None => {
                    self.next = block.end();
                    return Some(block);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: PageShift = PageShift::SIZE_4K;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::try_new(start.into(), end.into()).unwrap()
    }

    #[test]
    fn a_normal_block_is_no_destination_and_below_the_limit() {
        let destinations = [range(0x4000, 0x6000)];
        let below = |control| Limits {
            control,
            ..Limits::BITS_64
        };
        let block = |order, limits, given: &[u64]| {
            let mut given = given.iter();
            let next = || given.next().map(|&at| PhysAddr::new(at));
            let block = normal(&destinations, order, PAGE, &limits, next);
            block.map(|block| (block.start().as_u64(), block.end().as_u64()))
        };
        let any = Limits::BITS_64;
        assert_eq!(block(0, any, &[0x5000, 0x3000]), Some((0x3000, 0x4000)));
        // Its second page is a destination.
        assert_eq!(block(1, any, &[0x3000, 0x6000]), Some((0x6000, 0x8000)));
        // The end has to be below the limit's page.
        assert_eq!(
            block(0, below(0x8000), &[0x7000, 0x6000]),
            Some((0x6000, 0x7000))
        );
        assert_eq!(block(0, below(0x8000), &[0x7000]), None);
        assert_eq!(block(63, any, &[0x3000]), None);
    }

    #[test]
    fn crash_blocks_fill_the_holes_from_below() {
        let segments = [range(0x10_2000, 0x10_5000), range(0x10_0000, 0x10_1000)];
        let reserved = range(0x10_0000, 0x10_a000);
        let mut crash = Crash::new(reserved, &segments, PAGE, &Limits::BITS_64);
        assert_eq!(crash.allocate(0), Some(range(0x10_1000, 0x10_2000)));
        assert_eq!(crash.allocate(1), Some(range(0x10_6000, 0x10_8000)));
        // What was passed over is not looked at again.
        assert_eq!(crash.allocate(0), Some(range(0x10_8000, 0x10_9000)));
        assert_eq!(crash.allocate(1), None);
        assert_eq!(crash.allocate(0), Some(range(0x10_9000, 0x10_a000)));
        assert_eq!(crash.allocate(0), None);
        assert_eq!(crash.allocate(60), None);
    }

    #[test]
    fn crash_blocks_end_at_or_below_the_limit() {
        let reserved = range(0x10_0000, 0x10_a000);
        let limits = Limits {
            crash_control: 0x10_0fff,
            ..Limits::BITS_64
        };
        let mut crash = Crash::new(reserved, &[], PAGE, &limits);
        assert_eq!(crash.allocate(0), Some(range(0x10_0000, 0x10_1000)));
        assert_eq!(crash.allocate(0), None);
    }
}
