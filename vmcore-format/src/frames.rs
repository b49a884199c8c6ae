//! The page frames that a dump describes, each of them once.
//!
//! ```text
//!  ranges    ├ present ───────┤├ excluded ┤├ lost ──────┤     to the byte
//!  frames    │       │       │       │       │       │
//!            └ present ──────┘└ exc. ┘└ lost ────────┘        what holds a lost byte is lost,
//!                                                             what holds one that is there is present
//! ```

use core::iter;

use physmem::{Absence, PageShift, Pfn, PhysRange};

/// Neighbouring page frames that became the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frames {
    /// The first one.
    pub first: Pfn,
    /// The last one.
    pub last: Pfn,
    /// Why they are not there, `None` if they are.
    pub absence: Option<Absence>,
}

impl Frames {
    /// How many they are.
    pub const fn count(&self) -> u64 {
        // Frames are at most 2^52.
        self.last.as_u64() - self.first.as_u64() + 1
    }

    fn new(first: u64, last: u64, absence: Option<Absence>) -> Self {
        Self {
            first: Pfn::new(first),
            last: Pfn::new(last),
            absence,
        }
    }

    /// What counts where a frame has bytes of several kinds: lost ones before those that are there, and
    /// these before the others.
    fn rank(&self) -> u8 {
        match self.absence {
            Some(Absence::Excluded) => 2,
            None => 1,
            Some(_) => 0,
        }
    }

    /// Where `next` begins if it follows.
    fn goes_on_as(&self, next: &Self) -> bool {
        self.absence == next.absence && self.last.as_u64() + 1 == next.first.as_u64()
    }
}

/// The frames of `ranges`, which ascend and are apart.
pub(crate) fn frames(
    ranges: impl Iterator<Item = (PhysRange, Option<Absence>)>,
    page: PageShift,
) -> impl Iterator<Item = Frames> {
    let mut parts = ranges
        .flat_map(move |(range, absence)| ends_apart(range, absence, page))
        .peekable();
    // The last frame of a range may be the first of the next, and even of several.
    let mut whole = iter::from_fn(move || {
        let mut frame = parts.next()?;
        while let Some(same) = parts.next_if(|next| next.first == frame.first) {
            if same.rank() < frame.rank() {
                frame = same;
            }
        }
        Some(frame)
    })
    .peekable();
    iter::from_fn(move || {
        let mut run = whole.next()?;
        while let Some(next) = whole.next_if(|next| run.goes_on_as(next)) {
            run.last = next.last;
        }
        Some(run)
    })
}

/// The first frame that a range touches, those between, and the last: neighbours may share the outer ones.
fn ends_apart(
    range: PhysRange,
    absence: Option<Absence>,
    page: PageShift,
) -> impl Iterator<Item = Frames> {
    let first = range.start().pfn(page).as_u64();
    let last = range.last().pfn(page).as_u64();
    let one = |frame| Frames::new(frame, frame, absence);
    let between = (last - first > 1).then(|| Frames::new(first + 1, last - 1, absence));
    let behind = (last > first).then(|| one(last));
    [Some(one(first)), between, behind].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    const KINDS: [Option<Absence>; 3] = [None, Some(Absence::Excluded), Some(Absence::Lost)];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each frame once, as its bytes one by one say.
        #[test]
        fn frames_are_what_their_bytes_are(
            lengths in prop::collection::vec((0..9_000_u64, 1..9_000_u64, 0..3_usize), 0..12),
        ) {
            let mut ranges = Vec::new();
            let mut naive: BTreeMap<u64, u8> = BTreeMap::new();
            let mut at = 0_u64;
            for (gap, size, kind) in lengths {
                // Half of them touch.
                at += if gap % 2 == 0 { 0 } else { gap };
                ranges.push((PhysRange::with_size(at.into(), size).unwrap(), KINDS[kind]));
                for byte in at..at + size {
                    let rank = Frames::new(0, 0, KINDS[kind]).rank();
                    let known = naive.entry(byte >> 12).or_insert(rank);
                    *known = rank.min(*known);
                }
                at += size;
            }
            let found: Vec<_> = frames(ranges.into_iter(), PageShift::SIZE_4K).collect();
            for pair in found.windows(2) {
                prop_assert!(pair[0].last < pair[1].first && !pair[0].goes_on_as(&pair[1]));
            }
            let listed: Vec<_> = found
                .iter()
                .flat_map(|run| (run.first.as_u64()..=run.last.as_u64()).map(|frame| (frame, run.rank())))
                .collect();
            prop_assert_eq!(found.iter().map(Frames::count).sum::<u64>(), listed.len() as u64);
            prop_assert_eq!(listed, naive.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn work_is_by_ranges_and_not_by_frames() {
        let range = PhysRange::with_size(0x1800.into(), 1 << 63).unwrap();
        let ranges = [
            (PhysRange::with_size(0x1000.into(), 0x800).unwrap(), None),
            (range, Some(Absence::Excluded)),
        ];
        let found: Vec<_> = frames(ranges.into_iter(), PageShift::SIZE_4K).collect();
        let [present, excluded] = found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((present.count(), present.absence), (1, None));
        assert_eq!(excluded.count(), 1 << 51);
    }
}
