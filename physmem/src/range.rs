//! A half-open stretch of physical addresses.
//!
//! ```text
//!   start                 last  end
//!     ▼                      ▼  ▼
//! ────[██████████████████████]──)────   never empty, never wrapping, not tied to pages
//! ```
//!
//! Map entries are not page-aligned (`0x9fc00`), so neither is this type. Since `end` is an address,
//! the very last byte of the 64-bit space cannot lie in a range: no machine has it (x86 and arm64
//! stop at 52 bits, riscv64 at 56), and the kernel's own e820 code refuses entries that end there.

use core::fmt;

use crate::{Error, PageShift, PhysAddr};

/// Physical addresses from `start` up to, not including, `end`. Orders by start, then by end.
///
/// Prints half-open: `0x1000..0x2000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysRange {
    start: PhysAddr,
    end: PhysAddr,
}

impl PhysRange {
    /// From `start` up to, not including, `end`.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyRange`] if `end` is not above `start`.
    #[inline]
    pub const fn try_new(start: PhysAddr, end: PhysAddr) -> Result<Self, Error> {
        if start.as_u64() < end.as_u64() {
            Ok(Self { start, end })
        } else {
            Err(Error::EmptyRange { start, end })
        }
    }

    /// `size` bytes from `start`.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyRange`] if `size` is 0, [`Error::WrappingRange`] if the end is no address.
    #[inline]
    pub const fn with_size(start: PhysAddr, size: u64) -> Result<Self, Error> {
        match start.checked_add(size) {
            Some(end) => Self::try_new(start, end),
            None => Err(Error::WrappingRange { start, size }),
        }
    }

    /// From `start` to `last` inclusive, as the kernel's texts write ranges.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyRange`] if `last` is below `start`, [`Error::WrappingRange`] if `last` is
    /// `u64::MAX`.
    pub const fn inclusive(start: PhysAddr, last: PhysAddr) -> Result<Self, Error> {
        match last.checked_add(1) {
            Some(end) => Self::try_new(start, end),
            // `last` is u64::MAX, so the size below is the true one except for the whole space,
            // whose 2^64 bytes no u64 holds.
            None => Err(Error::WrappingRange {
                start,
                size: (u64::MAX - start.as_u64()).saturating_add(1),
            }),
        }
    }

    /// The first address.
    #[inline]
    pub const fn start(self) -> PhysAddr {
        self.start
    }

    /// The address after the last one.
    #[inline]
    pub const fn end(self) -> PhysAddr {
        self.end
    }

    /// The last address inside, as the kernel's texts print it.
    #[inline]
    pub const fn last(self) -> PhysAddr {
        PhysAddr::new(self.end.as_u64() - 1)
    }

    /// Bytes inside; at least 1.
    #[inline]
    pub const fn size(self) -> u64 {
        self.end.as_u64() - self.start.as_u64()
    }

    /// Whether `at` lies inside.
    #[inline]
    pub const fn contains(self, at: PhysAddr) -> bool {
        self.start.as_u64() <= at.as_u64() && at.as_u64() < self.end.as_u64()
    }

    /// Whether all of `other` lies inside.
    #[inline]
    pub fn contains_range(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share a byte.
    #[inline]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The bytes in both.
    #[inline]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::try_new(self.start.max(other.start), self.end.min(other.end)).ok()
    }

    /// The part at and above `at`.
    #[inline]
    pub fn at_and_above(self, at: PhysAddr) -> Option<Self> {
        Self::try_new(self.start.max(at), self.end).ok()
    }

    /// The whole pages inside, `None` if there is none.
    pub fn whole_pages(self, page: PageShift) -> Option<Self> {
        Self::try_new(self.start.align_up(page)?, self.end.align_down(page)).ok()
    }

    /// The pages it touches, `None` if the last of them ends past the 64-bit space.
    pub fn touched_pages(self, page: PageShift) -> Option<Self> {
        Self::try_new(self.start.align_down(page), self.end.align_up(page)?).ok()
    }
}

impl fmt::Display for PhysRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::try_new(start.into(), end.into()).unwrap()
    }

    #[test]
    fn nothing_empty_reversed_or_wrapping_is_built() {
        let (zero, max) = (PhysAddr::new(0), PhysAddr::new(u64::MAX));
        assert_eq!(
            PhysRange::try_new(zero, zero),
            Err(Error::EmptyRange {
                start: zero,
                end: zero
            })
        );
        assert_eq!(
            PhysRange::try_new(max, zero),
            Err(Error::EmptyRange {
                start: max,
                end: zero
            })
        );
        assert_eq!(
            PhysRange::with_size(max, 0),
            Err(Error::EmptyRange {
                start: max,
                end: max
            })
        );
        assert_eq!(
            PhysRange::with_size(max, 1),
            Err(Error::WrappingRange {
                start: max,
                size: 1
            })
        );
        assert_eq!(
            PhysRange::inclusive(PhysAddr::new(0x1000), max),
            Err(Error::WrappingRange {
                start: PhysAddr::new(0x1000),
                size: u64::MAX - 0xfff
            })
        );
    }

    #[test]
    fn inclusive_text_and_half_open_values_agree() {
        let bios = PhysRange::inclusive(PhysAddr::new(0x1000), PhysAddr::new(0x9fbff)).unwrap();
        assert_eq!(bios, range(0x1000, 0x9fc00));
        assert_eq!(
            (bios.last(), bios.size()),
            (PhysAddr::new(0x9fbff), 0x9ec00)
        );
        assert_eq!(bios.to_string(), "0x1000..0x9fc00");
    }

    #[test]
    fn pages_inside_and_pages_touched() {
        let page = PageShift::SIZE_4K;
        assert_eq!(
            range(0x1001, 0x4fff).whole_pages(page),
            Some(range(0x2000, 0x4000))
        );
        assert_eq!(
            range(0x1001, 0x4fff).touched_pages(page),
            Some(range(0x1000, 0x5000))
        );
        assert_eq!(range(0x1001, 0x2fff).whole_pages(page), None);
        assert_eq!(range(0x1001, u64::MAX).touched_pages(page), None);
    }

    #[test]
    fn touching_is_not_overlapping() {
        assert!(!range(0, 0x1000).overlaps(range(0x1000, 0x2000)));
        assert!(range(0, 0x1001).overlaps(range(0x1000, 0x2000)));
        assert_eq!(range(0, 0x1000).intersection(range(0x1000, 0x2000)), None);
        assert_eq!(range(0, 8).at_and_above(PhysAddr::new(8)), None);
        assert_eq!(
            range(0, 8).at_and_above(PhysAddr::new(7)),
            Some(range(7, 8))
        );
    }
}
