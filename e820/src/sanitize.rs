//! From what was found to a map: overlaps resolved in favour of the highest kind.
//!
//! ```text
//!   found        ████████1████████          result    ██1█
//!                    ████2████                            ████2████
//!                        ██4██                                     (4 is higher than 2)
//!                ▲   ▲   ▲    ▲  ▲                        ██2█
//!                └─ change points: where an entry              ██4██
//!                   begins or ends                                  █1█
//! ```
//!
//! What `e820__update_table()` in Linux `arch/x86/kernel/e820.c` makes of its table:
//!
//! - of the entries that hold a byte the one with the highest number says what it is;
//! - pieces of one kind that touch are one piece, but for the [kinds that do not merge](MergePolicy):
//!   these are cut at every change point inside, also where a weaker, hidden entry begins or ends;
//! - empty entries and those of kind 0 leave nothing (but kind 0 has change points);
//! - an entry whose `addr + size` does not fit 64 bits spoils the whole table.
//!
//! Where Linux and this room differ: Linux leaves a table of fewer than two entries as it is, even an
//! empty entry; here it is cleaned like any other. Linux stops when its table is full and loses the
//! rest; here that is an error, or [counted](MemoryMap::sanitize_lossy).
//!
//! Linux looks at all open entries at every change point, which takes n² steps. Here the open entries
//! are two heaps, one by kind and one by end, which takes n log n. They live in the entries that the
//! sweep has passed: of these the first address is no longer needed and neither is their order.

use core::cmp::Reverse;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use physmem::{PhysAddr, PhysRange};

#[cfg(feature = "alloc")]
use crate::RawMap;
use crate::{Entry, Error, Kind, MemoryMap, RawEntry, Store, error::Result};

/// Which kinds are joined where two pieces touch, by kernel version. The default is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MergePolicy {
    /// All. Linux before 4.2.
    All,
    /// All but [`Kind::PRAM`]. Linux 4.2 to 5.4.
    NotPram,
    /// All but [`Kind::PRAM`] and [`Kind::SOFT_RESERVED`]. Linux from 5.5 on.
    #[default]
    NotPramNorSoftReserved,
}

impl MergePolicy {
    /// Whether pieces of this kind are joined.
    pub const fn merges(self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::NotPram => kind.0 != Kind::PRAM.0,
            Self::NotPramNorSoftReserved => {
                kind.0 != Kind::PRAM.0 && kind.0 != Kind::SOFT_RESERVED.0
            }
        }
    }
}

impl<S: Store> MemoryMap<S> {
    /// The map of entries in any order, whatever overlaps. `store` receives it; what it held is
    /// forgotten.
    ///
    /// What `e820__update_table()` in Linux `arch/x86/kernel/e820.c` does: of the entries that hold a
    /// byte the one with the highest number says what it is. Empty entries leave nothing, and neither
    /// do those of kind 0, as which [`Kind::UNKNOWN`] is read: who wants to keep such memory gives it
    /// a kind before.
    ///
    /// Nothing is allocated, and O(n log n) steps are taken: `scratch` holds the entries and is
    /// written over. `store` needs at most one slot less than twice as many.
    ///
    /// ```
    /// use e820::{Fixed, Kind, MemoryMap, MergePolicy, RawEntry};
    ///
    /// let mut found = [
    ///     RawEntry { addr: 0x3000, size: 0x1000, kind: Kind::RESERVED },
    ///     RawEntry { addr: 0x0000, size: 0x8000, kind: Kind::RAM },
    ///     RawEntry { addr: 0x8000, size: 0x1000, kind: Kind::RAM },
    /// ];
    /// let map = MemoryMap::sanitize(&mut found, Fixed::<8>::default(), MergePolicy::default())?;
    /// assert_eq!(map.to_string(), "\
    /// [mem 0x0000000000000000-0x0000000000002fff] usable
    /// [mem 0x0000000000003000-0x0000000000003fff] reserved
    /// [mem 0x0000000000004000-0x0000000000008fff] usable
    /// ");
    /// # Ok::<(), e820::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::BadEntry`] for the first entry whose end is no address (Linux refuses the table, too);
    /// [`Error::Full`] if `store` cannot hold the map.
    pub fn sanitize(scratch: &mut [RawEntry], store: S, merge: MergePolicy) -> Result<Self> {
        let (map, lost) = Self::sanitize_lossy(scratch, store, merge)?;
        let capacity = map.entries().len();
        if lost == 0 {
            Ok(map)
        } else {
            Err(Error::Full { capacity })
        }
    }

    /// As [`sanitize`](Self::sanitize), but what `store` cannot hold is lost, as it is in Linux. Says
    /// how many entries at the end that were.
    ///
    /// # Errors
    ///
    /// [`Error::BadEntry`] as there.
    pub fn sanitize_lossy(
        scratch: &mut [RawEntry],
        mut store: S,
        merge: MergePolicy,
    ) -> Result<(Self, u64)> {
        let wraps = |entry: &RawEntry| entry.addr.checked_add(entry.size).is_none();
        if let Some((index, &entry)) = scratch.iter().enumerate().find(|(_, entry)| wraps(entry)) {
            let index = index as u64;
            return Err(Error::BadEntry { index, entry });
        }
        store.resize(0, Entry::UNUSED)?;
        let mut lost = 0;
        sweep(scratch, merge, |entry| {
            if lost > 0 || store.push(entry).is_err() {
                lost += 1;
            }
        });
        Ok((Self(store), lost))
    }

    /// Joins neighbours of one kind that touch: what [`sanitize`](Self::sanitize) makes of a map.
    pub fn merge(&mut self, policy: MergePolicy) {
        let entries = self.0.entries_mut();
        let mut last: usize = 0;
        for read in 1..entries.len() {
            let above = entries.get(read).copied();
            let (Some(above), Some(below)) = (above, entries.get_mut(last)) else {
                break;
            };
            let touch = below.range.end() == above.range.start();
            if touch && below.kind == above.kind && policy.merges(above.kind) {
                if let Ok(range) = PhysRange::try_new(below.range.start(), above.range.end()) {
                    below.range = range;
                }
            } else {
                last += 1;
                if let Some(slot) = entries.get_mut(last) {
                    *slot = above;
                }
            }
        }
        let len = entries.len().min(last + 1);
        // Shrinking never fails.
        let _ = self.0.resize(len, Entry::UNUSED);
    }
}

#[cfg(feature = "alloc")]
impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// The map of these entries, see [`MemoryMap::sanitize`].
    ///
    /// # Errors
    ///
    /// [`Error::BadEntry`] for the first entry whose end is no address.
    pub fn sanitize(&self, merge: MergePolicy) -> Result<MemoryMap<Vec<Entry>>> {
        let mut scratch = Vec::from(self.entries());
        let store = Vec::with_capacity(scratch.len());
        MemoryMap::sanitize(&mut scratch, store, merge)
    }
}

/// Walks over the change points and hands out the pieces between them, ascending.
fn sweep(slots: &mut [RawEntry], merge: MergePolicy, mut piece: impl FnMut(Entry)) {
    slots.sort_unstable_by_key(|entry| entry.addr);
    // Where all kinds merge, hidden ends change nothing.
    let all_ends = slots.iter().any(|entry| !merge.merges(entry.kind));
    let mut ends = Heap::<Ends>::default();
    let mut kinds = Heap::<Kinds>::default();
    let mut open: Option<(u64, Kind)> = None;
    let mut next = 0;
    loop {
        // Empty entries have no change points.
        while slots.get(next).is_some_and(|entry| entry.size == 0) {
            next += 1;
        }
        let start = slots.get(next).map(|entry| entry.addr);
        let end = match all_ends {
            true => ends.top(slots).map(|Reverse(end)| end),
            false => kinds.top(slots).map(|(_, end)| end),
        };
        let point = match (start, end) {
            (Some(start), Some(end)) => start.min(end),
            (Some(point), None) | (None, Some(point)) => point,
            (None, None) => break,
        };
        while ends.top(slots) == Some(Reverse(point)) {
            ends.pop(slots);
        }
        while kinds.top(slots).is_some_and(|(_, end)| end <= point) {
            kinds.pop(slots);
        }
        while let Some(&entry) = slots.get(next).filter(|entry| entry.addr == point) {
            next += 1;
            if entry.size == 0 {
                continue;
            }
            // Fits: entries that wrap have been refused.
            let end = entry.addr.saturating_add(entry.size);
            if all_ends {
                ends.push(slots, Reverse(end));
            }
            // One that is stronger and ends later will always hide it.
            let hidden = kinds
                .top(slots)
                .is_some_and(|top| top.0 >= entry.kind && top.1 >= end);
            if !hidden {
                kinds.push(slots, (entry.kind, end));
            }
        }

        let kind = kinds
            .top(slots)
            .map(|(kind, _)| kind)
            .filter(|kind| kind.0 != 0);
        if open.map(|(_, kind)| kind) == kind && kind.is_none_or(|kind| merge.merges(kind)) {
            continue;
        }
        if let Some((start, kind)) = open {
            if let Ok(range) = PhysRange::try_new(PhysAddr::new(start), PhysAddr::new(point)) {
                piece(Entry { range, kind });
            }
        }
        open = kind.map(|kind| (point, kind));
    }
}

/// Fields of an entry that the sweep has passed, put to another use.
trait Column {
    type Key: Copy + Ord;
    fn get(slot: &RawEntry) -> Self::Key;
    fn set(slot: &mut RawEntry, key: Self::Key);
}

/// Ends of open entries, the nearest on top.
#[derive(Default)]
struct Ends;

impl Column for Ends {
    type Key = Reverse<u64>;

    fn get(slot: &RawEntry) -> Reverse<u64> {
        Reverse(slot.addr)
    }

    fn set(slot: &mut RawEntry, Reverse(end): Reverse<u64>) {
        slot.addr = end;
    }
}

/// Kinds of open entries with their ends, the highest on top. Below it there may be some that are no
/// longer open.
#[derive(Default)]
struct Kinds;

impl Column for Kinds {
    type Key = (Kind, u64);

    fn get(slot: &RawEntry) -> (Kind, u64) {
        (slot.kind, slot.size)
    }

    fn set(slot: &mut RawEntry, (kind, end): (Kind, u64)) {
        (slot.kind, slot.size) = (kind, end);
    }
}

/// A binary heap in one column of the first slots, the greatest key on top.
#[derive(Default)]
struct Heap<C> {
    len: usize,
    column: core::marker::PhantomData<C>,
}

impl<C: Column> Heap<C> {
    fn top(&self, slots: &[RawEntry]) -> Option<C::Key> {
        slots.first().filter(|_| self.len > 0).map(C::get)
    }

    fn push(&mut self, slots: &mut [RawEntry], key: C::Key) {
        let mut hole = self.len;
        self.len += 1;
        while let Some(above) = hole.checked_sub(1).map(|child| child / 2) {
            match slots.get(above).map(C::get) {
                Some(parent) if parent < key => set::<C>(slots, hole, parent),
                _ => break,
            }
            hole = above;
        }
        set::<C>(slots, hole, key);
    }

    fn pop(&mut self, slots: &mut [RawEntry]) {
        let Some((heap, [last, ..])) = slots.split_at_mut_checked(self.len.saturating_sub(1))
        else {
            return;
        };
        let key = C::get(last);
        self.len = heap.len();
        let mut hole = 0;
        loop {
            let left = 2 * hole + 1;
            let (child, found) = match (heap.get(left).map(C::get), heap.get(left + 1).map(C::get))
            {
                (Some(found), Some(right)) if right > found => (left + 1, right),
                (Some(found), _) => (left, found),
                (None, _) => break,
            };
            if found <= key {
                break;
            }
            set::<C>(heap, hole, found);
            hole = child;
        }
        set::<C>(heap, hole, key);
    }
}

fn set<C: Column>(slots: &mut [RawEntry], at: usize, key: C::Key) {
    if let Some(slot) = slots.get_mut(at) {
        C::set(slot, key);
    }
}
