//! A memory map as it was found: order, overlaps, empty and odd entries kept.
//!
//! ```text
//!   log lines ──┐                       ┌──► totals, printed lines
//!               ├──► entries as found ──┤
//!   zero page ──┘                       └──► (calculation starts from a sorted, disjoint map)
//! ```
//!
//! Entries come out of the parsers one by one without allocation; [`RawMap`] holds those of one map
//! in whatever lends them as a slice: a `Vec`, an array, a borrowed slice. Nothing here changes
//! them, so `AsRef<[RawEntry]>` is all that is asked of the storage.

#[cfg(feature = "alloc")]
use alloc::{collections::BTreeMap, vec, vec::Vec};

use crate::{Error, Kind, RawEntry, error::Result};

/// The entries of one map, in the order in which they were found.
///
/// ```
/// use e820::{Kind, RawEntry, RawMap};
///
/// // Overlapping, and as such summed as found.
/// let map = RawMap::new([
///     RawEntry { addr: 0, size: 0x2000, kind: Kind::RAM },
///     RawEntry { addr: 0x1000, size: 0x2000, kind: Kind::RAM },
/// ]);
/// assert_eq!(map.total(Kind::RAM), 0x4000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawMap<S>(S);

impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// A map of these entries.
    pub const fn new(entries: S) -> Self {
        Self(entries)
    }

    /// The storage.
    pub fn into_inner(self) -> S {
        self.0
    }

    /// The entries as found.
    pub fn entries(&self) -> &[RawEntry] {
        self.0.as_ref()
    }

    /// Bytes of all entries of one kind.
    ///
    /// Sizes are summed as found: what lies in two entries counts twice, and an entry counts whole
    /// even if it passes the end of the address space. In a map that the kernel has printed no
    /// entries overlap, so there it is the memory of that kind. The sum of any 2^64 sizes fits.
    pub fn total(&self, kind: Kind) -> u128 {
        let entries = self.entries().iter().filter(|entry| entry.kind == kind);
        entries.map(|entry| u128::from(entry.size)).sum()
    }
}

impl<'a> RawMap<&'a [RawEntry]> {
    /// Collects entries into `slots`, for callers without an allocator.
    ///
    /// # Errors
    ///
    /// The first error among the entries, [`Error::Full`] if there are more of them than slots.
    pub fn fill(
        slots: &'a mut [RawEntry],
        entries: impl IntoIterator<Item = Result<RawEntry>>,
    ) -> Result<Self> {
        let mut filled = 0;
        for entry in entries {
            let entry = entry?;
            let capacity = slots.len();
            *slots.get_mut(filled).ok_or(Error::Full { capacity })? = entry;
            filled += 1;
        }
        Ok(Self(slots.get(..filled).unwrap_or_default()))
    }
}

#[cfg(feature = "alloc")]
impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// Bytes of each kind that occurs, summed as [`total`](Self::total) does.
    pub fn totals(&self) -> BTreeMap<Kind, u128> {
        let mut totals = BTreeMap::new();
        for entry in self.entries() {
            *totals.entry(entry.kind).or_default() += u128::from(entry.size);
        }
        totals
    }

    /// For each entry whether another one holds some of its bytes.
    ///
    /// Empty entries hold none; one that passes the end of the address space is taken up to it.
    ///
    /// ```
    /// use e820::{Kind, RawEntry, RawMap};
    ///
    /// let map = RawMap::new([
    ///     RawEntry { addr: 0, size: 0x2000, kind: Kind::RAM },
    ///     RawEntry { addr: 0x2000, size: 0x1000, kind: Kind::RAM },
    ///     RawEntry { addr: 0x1000, size: 0x1000, kind: Kind::RESERVED },
    /// ]);
    /// assert_eq!(map.overlaps(), [true, false, true]);
    /// ```
    pub fn overlaps(&self) -> Vec<bool> {
        let entries = self.entries();
        let mut overlaps = vec![false; entries.len()];
        let mut by_start: Vec<(u64, u64, usize)> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.size > 0)
            .map(|(index, entry)| (entry.addr, entry.last().unwrap_or(u64::MAX), index))
            .collect();
        by_start.sort_unstable();

        // Entries below that reach less far than the highest one were marked when they met it.
        let mut highest: Option<(u64, usize)> = None;
        for (start, last, index) in by_start {
            if let Some((_, below)) = highest.filter(|&(reached, _)| start <= reached) {
                for entry in [index, below] {
                    if let Some(overlap) = overlaps.get_mut(entry) {
                        *overlap = true;
                    }
                }
            }
            highest = highest.max(Some((last, index)));
        }
        overlaps
    }
}

#[cfg(feature = "alloc")]
impl FromIterator<RawEntry> for RawMap<Vec<RawEntry>> {
    fn from_iter<I: IntoIterator<Item = RawEntry>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    fn entry(addr: u64, size: u64) -> RawEntry {
        RawEntry {
            addr,
            size,
            kind: Kind::RAM,
        }
    }

    #[test]
    fn sums_do_not_wrap() {
        let map = RawMap::new([entry(0, u64::MAX), entry(1, u64::MAX)]);
        assert_eq!(map.total(Kind::RAM), 2 * u128::from(u64::MAX));
        assert_eq!(map.total(Kind::NVS), 0);
        assert!(
            map.totals()
                .into_iter()
                .eq([(Kind::RAM, 2 * u128::from(u64::MAX))])
        );
    }

    #[test]
    fn slots_run_out() {
        let mut slots = [RawEntry::default(); 2];
        let three = [entry(0, 1), entry(1, 1), entry(2, 1)].map(Ok);
        assert_eq!(
            RawMap::fill(&mut slots, three),
            Err(Error::Full { capacity: 2 })
        );
        assert_eq!(
            RawMap::fill(&mut slots, three.into_iter().take(2))
                .unwrap()
                .entries()
                .len(),
            2
        );
        assert_eq!(RawMap::fill(&mut [], []).unwrap().entries(), []);
    }

    #[test]
    fn overlaps_of_any_order() {
        let overlaps = |entries: &[RawEntry]| RawMap::new(entries).overlaps();
        assert_eq!(
            overlaps(&[entry(0, 4), entry(4, 4), entry(8, 0), entry(7, 1)]),
            [false, true, false, true]
        );
        assert_eq!(
            overlaps(&[entry(8, 1), entry(2, 2), entry(0, 10), entry(10, 1)]),
            [true, true, true, false]
        );
        assert_eq!(
            overlaps(&[entry(u64::MAX, 5), entry(u64::MAX - 1, 1)]),
            [false, false]
        );
        assert_eq!(
            overlaps(&[entry(u64::MAX - 1, 5), entry(u64::MAX, 1)]),
            [true, true]
        );
    }
}
