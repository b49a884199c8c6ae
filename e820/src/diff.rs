//! What two maps say differently.
//!
//! ```text
//!   left     ███1███████2████      █1█
//!   right    ███1████      ████4████1█
//!                    ▲▲▲▲▲▲▲▲▲▲▲▲▲▲
//!                    2   2 2  –        left
//!                    1   – 4  4        right
//! ```

use physmem::{PhysAddr, PhysRange};

use crate::{Entry, Kind, MemoryMap, Store};

/// A stretch that two maps do not call the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Difference {
    /// Where.
    pub range: PhysRange,
    /// Its kind in the left map; `None` if it is not in it.
    pub left: Option<Kind>,
    /// Its kind in the right map; `None` if it is not in it.
    pub right: Option<Kind>,
}

impl<S: Store> MemoryMap<S> {
    /// Where `right` says something else than this map, ascending. Nothing comes out for maps that
    /// differ only in where pieces of one kind are cut.
    ///
    /// ```
    /// use e820::{Fixed, Kind, MemoryMap, MergePolicy, RawEntry};
    ///
    /// let map = |size| {
    ///     let mut found = [RawEntry { addr: 0, size, kind: Kind::RAM }];
    ///     MemoryMap::sanitize(&mut found, Fixed::<1>::default(), MergePolicy::default())
    /// };
    /// let (all, clipped) = (map(0x4000)?, map(0x3000)?);
    /// let lost = all.diff(&clipped).next().unwrap();
    /// assert_eq!((lost.range.to_string(), lost.right), ("0x3000..0x4000".into(), None));
    /// # Ok::<(), e820::Error>(())
    /// ```
    pub fn diff<'a, T: Store>(
        &'a self,
        right: &'a MemoryMap<T>,
    ) -> impl Iterator<Item = Difference> + 'a {
        let pieces = Pieces {
            at: PhysAddr::new(0),
            left: self.entries(),
            right: right.entries(),
        };
        pieces.filter(|piece| piece.left != piece.right)
    }
}

/// Every stretch of two maps between two neighbouring boundaries of either.
struct Pieces<'a> {
    at: PhysAddr,
    left: &'a [Entry],
    right: &'a [Entry],
}

impl Iterator for Pieces<'_> {
    type Item = Difference;

    fn next(&mut self) -> Option<Difference> {
        let sides = [
            above(&mut self.left, self.at),
            above(&mut self.right, self.at),
        ];
        let starts = sides.iter().flatten().map(|entry| entry.range.start());
        let start = starts.min()?.max(self.at);
        let boundary = |entry: &Entry| {
            if entry.range.contains(start) {
                entry.range.end()
            } else {
                entry.range.start()
            }
        };
        let end = sides.iter().flatten().map(boundary).min()?;
        self.at = end;
        let range = PhysRange::try_new(start, end).ok()?;
        let [left, right] = sides.map(|entry| {
            entry
                .filter(|entry| entry.range.contains(start))
                .map(|entry| entry.kind)
        });
        Some(Difference { range, left, right })
    }
}

/// The first entry that ends above `at`; drops those before it.
fn above(entries: &mut &[Entry], at: PhysAddr) -> Option<Entry> {
    while let Some((first, rest)) = entries.split_first() {
        if first.range.end() > at {
            return Some(*first);
        }
        *entries = rest;
    }
    None
}
