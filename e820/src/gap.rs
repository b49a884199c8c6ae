//! The gap below 4 GiB that the kernel gives to PCI devices.
//!
//! ```text
//!   0                                                     4 GiB
//!   │░░░███████░░░░░░███████████░░░░░░░░░░░░░░████░░░│
//!    ▲                          └──── the biggest ──┘
//!    before the first entry: only Linux from 7.0 on looks there
//! ```
//!
//! `e820_search_gap()` in Linux `arch/x86/kernel/e820.c`. The log shows the result as
//! `[mem 0x20000000-0xfffbffff] available for PCI devices`, from 7.0 on as `[gap …]`.

use core::cmp::Reverse;

use physmem::{PhysAddr, PhysRange, SortedRanges, sorted};

use crate::{MemoryMap, Store};

/// Where gaps end: `MAX_GAP_END`.
const END: u64 = 1 << 32;

/// Bytes that a gap must have, 4 MiB.
const MIN_SIZE: u64 = 4 << 20;

/// How the biggest gap is looked for, by kernel version. The default is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GapSearch {
    /// From 4 GiB down: of equal gaps the lowest, and never the one before the first entry. Linux
    /// before 7.0.
    Descending,
    /// From 0 up: of equal gaps the highest. Linux from 7.0 on.
    #[default]
    Ascending,
}

impl<S: Store> MemoryMap<S> {
    /// The biggest gap below 4 GiB; `None` if none has 4 MiB: `e820_search_gap()` in Linux
    /// `arch/x86/kernel/e820.c`, whose result the log calls `available for PCI devices`.
    ///
    /// Without one the kernel takes 4 MiB from 1 MiB above the last RAM (64 bits) or from 256 MiB.
    pub fn pci_gap(&self, search: GapSearch) -> Option<PhysRange> {
        self.biggest_gap(MIN_SIZE, search)
    }

    /// The biggest gap below 4 GiB by the same search; `None` if none has `min_size` bytes.
    pub fn biggest_gap(&self, min_size: u64, search: GapSearch) -> Option<PhysRange> {
        let space = PhysRange::with_size(PhysAddr::new(0), END).ok()?;
        let entries = self.entries().iter().map(|entry| entry.range);
        let gaps = sorted(entries).ok()?.complement(space);
        let mut gaps = gaps.filter(|gap| gap.size() >= min_size);
        match search {
            GapSearch::Ascending => gaps.max_by_key(|gap| gap.size()),
            GapSearch::Descending => {
                let first = self.entries().first()?.range.start();
                gaps.by_ref()
                    .filter(|gap| gap.start() > first)
                    .min_by_key(|gap| Reverse(gap.size()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Fixed, Kind, Store};

    fn map(ranges: &[(u64, u64)]) -> MemoryMap<Fixed<4>> {
        let mut store = Fixed::default();
        for &(start, end) in ranges {
            let range = PhysRange::try_new((start << 20).into(), (end << 20).into()).unwrap();
            store
                .push(Entry {
                    range,
                    kind: Kind::NVS,
                })
                .unwrap();
        }
        MemoryMap::try_new(store).unwrap()
    }

    fn gaps(ranges: &[(u64, u64)]) -> [Option<(u64, u64)>; 2] {
        [GapSearch::Descending, GapSearch::Ascending].map(|search| {
            let gap = map(ranges).pci_gap(search)?;
            Some((gap.start().as_u64() >> 20, gap.end().as_u64() >> 20))
        })
    }

    #[test]
    fn equal_gaps_and_the_gap_at_the_bottom() {
        // 8 MiB at 8 and at 24.
        assert_eq!(
            gaps(&[(0, 8), (16, 24), (32, 4096)]),
            [Some((8, 16)), Some((24, 32))]
        );
        assert_eq!(
            gaps(&[(512, 1024), (1400, 8192)]),
            [Some((1024, 1400)), Some((0, 512))]
        );
        assert_eq!(gaps(&[(512, 1024), (1024, 4096)]), [None, Some((0, 512))]);
    }

    #[test]
    fn four_mebibytes_are_enough_and_all_lies_below_4_gib() {
        assert_eq!(gaps(&[(0, 4092)]), [Some((4092, 4096)); 2]);
        assert_eq!(gaps(&[(0, 4093)]), [None; 2]);
        assert_eq!(
            gaps(&[(0, 8), (12, 4096), (5000, 6000)]),
            [Some((8, 12)); 2]
        );
        assert_eq!(gaps(&[]), [None, Some((0, 4096))]);
    }
}
