//! Changing stretches of a map: another kind, no kind, a new entry.
//!
//! ```text
//!                    range
//!   before    ██████1███▒▒▒▒▒1▒▒▒▒▒████  ███2███
//!   update    ██████1███▒▒▒▒▒4▒▒▒▒▒█1██  ███2███     1 → 4, the bytes that were 1 are counted
//!   remove    ██████1███           █1██  ███2███
//! ```
//!
//! `e820__range_update()`, `e820__range_remove()` in Linux `arch/x86/kernel/e820.c` and
//! `crash_exclude_mem_range()` in `kernel/crash_core.c`. The first two append what they cut off, and
//! the next clean-up sorts it in; here everything stays in its place, so a map stays a map.

use physmem::{PhysAddr, PhysRange};

use crate::{Entry, Error, Kind, MemoryMap, Store, error::Result};

impl<S: Store> MemoryMap<S> {
    /// Makes `to` of what is `from` in `range`; says how many bytes that were.
    ///
    /// `e820__range_update()` in Linux `arch/x86/kernel/e820.c`. Nothing is joined with its neighbours, see [`merge`](Self::merge).
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if the store has no room for what is cut off (two entries at most); then
    /// nothing has changed.
    pub fn update(&mut self, range: PhysRange, from: Kind, to: Kind) -> Result<u64> {
        rewrite(&mut self.0, range, Some(from), Some(to))
    }

    /// Removes what lies in `range`, of one kind or of all; says how many bytes that were.
    ///
    /// `e820__range_remove()` in Linux `arch/x86/kernel/e820.c`; with `None`, over a map of RAM,
    /// `crash_exclude_mem_range()` in `kernel/crash_core.c`.
    ///
    /// ```
    /// use e820::{Entry, Fixed, Kind, MemoryMap, MergePolicy, RawEntry};
    /// use physmem::PhysRange;
    ///
    /// let mut found = [RawEntry { addr: 100, size: 100, kind: Kind::RAM }];
    /// let mut map = MemoryMap::sanitize(&mut found, Fixed::<2>::default(), MergePolicy::default())?;
    /// assert_eq!(map.remove(PhysRange::with_size(120.into(), 60)?, None)?, 60);
    /// let left: Vec<_> = map.ranges(Kind::RAM).map(|range| range.size()).collect();
    /// assert_eq!(left, [20, 20]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if the range lies inside of one entry and the store has no room for the second
    /// part of it; then nothing has changed.
    pub fn remove(&mut self, range: PhysRange, only: Option<Kind>) -> Result<u64> {
        rewrite(&mut self.0, range, only, None)
    }

    /// Removes what lies outside of `window`, a range of bytes; says how many bytes that were.
    pub fn clip(&mut self, window: PhysRange) -> u64 {
        let outside = [
            PhysRange::try_new(PhysAddr::new(0), window.start()),
            PhysRange::try_new(window.end(), PhysAddr::new(u64::MAX)),
        ];
        // Each reaches one end of the space, so nothing is cut in two and a store never full. The sum
        // is that of disjoint bytes.
        let removed = outside
            .into_iter()
            .flatten()
            .map(|range| self.remove(range, None).unwrap_or(0));
        removed.sum()
    }

    /// Adds an entry where the map has nothing.
    ///
    /// To add one the kernel's way, where the higher kind wins, put it among the entries to
    /// [`sanitize`](Self::sanitize).
    ///
    /// # Errors
    ///
    /// [`Error::Overlap`] with the first entry that has some of it, [`Error::Full`] if the store has no
    /// room; then nothing has changed.
    pub fn insert(&mut self, entry: Entry) -> Result<()> {
        let entries = self.entries();
        let len = entries.len();
        let at = entries.partition_point(|other| other.range.end() <= entry.range.start());
        if let Some(taken) = entries
            .get(at)
            .filter(|other| other.range.overlaps(entry.range))
        {
            return Err(Error::Overlap {
                range: entry.range,
                taken: taken.range,
            });
        }
        self.0.resize(len + 1, entry)?;
        if let Some(behind) = self.0.entries_mut().get_mut(at..) {
            behind.rotate_right(1);
        }
        Ok(())
    }
}

/// Gives the entries of kind `from` (of all kinds) the kind `to` (none) inside of `range`; returns how
/// many bytes that were. The entries may be in any order and overlap; they stay in their order.
pub(crate) fn rewrite<S: Store>(
    store: &mut S,
    range: PhysRange,
    from: Option<Kind>,
    to: Option<Kind>,
) -> Result<u64> {
    let cut = |entry: Entry| Cut::new(entry, range, from);
    let old = store.entries().len();

    // Written from the front while it is read from the back of the room, which must be so large that
    // writing never overtakes reading.
    let (mut len, mut room) = (0, old);
    for (index, &entry) in store.entries().iter().enumerate() {
        len += cut(entry).pieces(to).count();
        room = room.max(len + (old - index - 1));
    }
    store.resize(room, Entry::UNUSED)?;

    let entries = store.entries_mut();
    let shift = room - old;
    entries.copy_within(..old, shift);
    let (mut bytes, mut write) = (0_u64, 0);
    for read in shift..room {
        let Some(&entry) = entries.get(read) else {
            break;
        };
        let cut = cut(entry);
        // Disjoint bytes cannot wrap; of overlapping entries the kernel's sum wraps as well.
        bytes = bytes.wrapping_add(cut.inside.map_or(0, PhysRange::size));
        for piece in cut.pieces(to) {
            if let Some(slot) = entries.get_mut(write) {
                *slot = piece;
            }
            write += 1;
        }
    }
    store.resize(write, Entry::UNUSED)?;
    Ok(bytes)
}

/// The parts of an entry before, inside and after a range.
#[derive(Clone, Copy)]
struct Cut {
    kind: Kind,
    before: Option<PhysRange>,
    inside: Option<PhysRange>,
    after: Option<PhysRange>,
}

impl Cut {
    fn new(entry: Entry, range: PhysRange, only: Option<Kind>) -> Self {
        let Entry { range: whole, kind } = entry;
        let inside = whole
            .intersection(range)
            .filter(|_| only.is_none_or(|only| kind == only));
        match inside {
            None => Self {
                kind,
                before: Some(whole),
                inside,
                after: None,
            },
            Some(part) => Self {
                kind,
                before: PhysRange::try_new(whole.start(), part.start()).ok(),
                inside,
                after: PhysRange::try_new(part.end(), whole.end()).ok(),
            },
        }
    }

    fn pieces(self, to: Option<Kind>) -> impl Iterator<Item = Entry> {
        let Self {
            kind,
            before,
            inside,
            after,
        } = self;
        let with = |range: Option<PhysRange>, kind| range.map(|range| Entry { range, kind });
        let inside = to.and_then(|to| with(inside, to));
        [with(before, kind), inside, with(after, kind)]
            .into_iter()
            .flatten()
    }
}
