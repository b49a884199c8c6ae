//! The calculated map: sorted and disjoint, in storage of the caller's choice.
//!
//! ```text
//!   as found       ████1████      any order, overlaps, empty and wrapping entries   RawMap
//!                     ██2██
//!   calculated     █1█ ██2██      ascending, no byte twice                          MemoryMap
//! ```
//!
//! `struct e820_table` in Linux `arch/x86/include/asm/e820/types.h` after `e820__update_table()`. A
//! map need not be merged: neighbours may be of one kind, as they are in the kernel's table between an
//! update and the next clean-up.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt;

use physmem::{PhysAddr, PhysRange};

#[cfg(feature = "alloc")]
use crate::RawMap;
use crate::{Entry, Error, Kind, RawEntry, error::Result};

/// Where a [`MemoryMap`] keeps its entries: a `Vec` (feature `alloc`), [`Slots`], or the caller's own.
///
/// What a store lends is what was last written into it, in the same order.
pub trait Store {
    /// The entries.
    fn entries(&self) -> &[Entry];

    /// The entries, to be changed.
    fn entries_mut(&mut self) -> &mut [Entry];

    /// Makes it `len` entries: the first ones stay, new ones at the end are `fill`.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if it cannot hold that many; then nothing has changed. Shrinking never fails.
    fn resize(&mut self, len: usize, fill: Entry) -> Result<()>;

    /// Adds an entry behind the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] as for [`resize`](Self::resize).
    fn push(&mut self, entry: Entry) -> Result<()> {
        self.resize(self.entries().len() + 1, entry)
    }
}

#[cfg(feature = "alloc")]
impl Store for Vec<Entry> {
    fn entries(&self) -> &[Entry] {
        self
    }

    fn entries_mut(&mut self) -> &mut [Entry] {
        self
    }

    fn resize(&mut self, len: usize, fill: Entry) -> Result<()> {
        Self::resize(self, len, fill);
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> Result<()> {
        Self::push(self, entry);
        Ok(())
    }
}

/// As many entries as an array or a borrowed slice has room for.
///
/// ```
/// use e820::{Entry, Fixed, Slots, Store};
///
/// let mut lent = [Entry::UNUSED; 4];
/// let borrowed = Slots::new(&mut lent[..]);
/// let inside: Fixed<4> = Slots::default();
/// assert_eq!(borrowed.entries(), inside.entries()); // both empty
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Slots<A> {
    slots: A,
    len: usize,
}

/// As many entries as `N`, inside the value.
pub type Fixed<const N: usize> = Slots<[Entry; N]>;

impl<A: AsRef<[Entry]> + AsMut<[Entry]>> Slots<A> {
    /// An empty store; what stands in the slots does not matter.
    pub const fn new(slots: A) -> Self {
        Self { slots, len: 0 }
    }
}

impl<const N: usize> Default for Fixed<N> {
    fn default() -> Self {
        Self::new([Entry::UNUSED; N])
    }
}

impl<A: AsRef<[Entry]> + AsMut<[Entry]>> Store for Slots<A> {
    fn entries(&self) -> &[Entry] {
        self.slots.as_ref().get(..self.len).unwrap_or_default()
    }

    fn entries_mut(&mut self) -> &mut [Entry] {
        self.slots.as_mut().get_mut(..self.len).unwrap_or_default()
    }

    fn resize(&mut self, len: usize, fill: Entry) -> Result<()> {
        let slots = self.slots.as_mut();
        let capacity = slots.len();
        let used = slots.get_mut(..len).ok_or(Error::Full { capacity })?;
        used.iter_mut().skip(self.len).for_each(|slot| *slot = fill);
        self.len = len;
        Ok(())
    }

    #[inline]
    fn push(&mut self, entry: Entry) -> Result<()> {
        let slots = self.slots.as_mut();
        let capacity = slots.len();
        *slots.get_mut(self.len).ok_or(Error::Full { capacity })? = entry;
        self.len += 1;
        Ok(())
    }
}

/// A map to calculate with: its entries ascend and share no byte.
///
/// Made by [`sanitize`](Self::sanitize) from what was found, or by [`try_new`](Self::try_new) from
/// entries that are in order already. Prints one entry a line. Maps are equal if their entries are,
/// wherever they are stored.
///
/// ```
/// use e820::{Entry, Fixed, Kind, MemoryMap};
/// use physmem::PhysRange;
///
/// let mut map = MemoryMap::try_new(Fixed::<8>::default())?;
/// for (start, end, kind) in [
///     (0x10_0000, 0x2000_0000, Kind::RAM),
///     (0x9fc00, 0xa0000, Kind::RESERVED),
///     (0, 0x9fc00, Kind::RAM),
/// ] {
///     let range = PhysRange::try_new(start.into(), end.into())?;
///     map.insert(Entry { range, kind })?;
/// }
/// let first_page = PhysRange::with_size(0.into(), 0x1000)?;
/// assert_eq!(map.update(first_page, Kind::RAM, Kind::RESERVED)?, 0x1000);
/// assert_eq!(map.to_string(), "\
/// [mem 0x0000000000000000-0x0000000000000fff] reserved
/// [mem 0x0000000000001000-0x000000000009fbff] usable
/// [mem 0x000000000009fc00-0x000000000009ffff] reserved
/// [mem 0x0000000000100000-0x000000001fffffff] usable
/// ");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct MemoryMap<S>(pub(crate) S);

impl<S: Store> MemoryMap<S> {
    /// The map of the entries in `store`; an empty store is an empty map.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`] unless they ascend and are disjoint.
    pub fn try_new(store: S) -> Result<Self> {
        let mut previous = PhysAddr::new(0);
        for (index, entry) in store.entries().iter().enumerate() {
            let start = entry.range.start();
            if start < previous {
                let index = index as u64;
                return Err(Error::OutOfOrder {
                    index,
                    start,
                    previous,
                });
            }
            previous = entry.range.end();
        }
        Ok(Self(store))
    }

    /// The entries, ascending.
    pub fn entries(&self) -> &[Entry] {
        self.0.entries()
    }

    /// The storage.
    pub fn into_inner(self) -> S {
        self.0
    }

    /// The entries as found ones, to be printed and emitted in any form.
    #[cfg(feature = "alloc")]
    pub fn to_raw(&self) -> RawMap<Vec<RawEntry>> {
        self.entries().iter().copied().map(RawEntry::from).collect()
    }
}

impl<S: Store, T: Store> PartialEq<MemoryMap<T>> for MemoryMap<S> {
    fn eq(&self, other: &MemoryMap<T>) -> bool {
        self.entries() == other.entries()
    }
}

impl<S: Store> Eq for MemoryMap<S> {}

impl<S: Store> fmt::Display for MemoryMap<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries()
            .iter()
            .try_for_each(|&entry| writeln!(f, "{}", RawEntry::from(entry)))
    }
}

impl Entry {
    /// Fills slots that no map uses yet. It means nothing.
    pub const UNUSED: Self = Self {
        range: match PhysRange::with_size(PhysAddr::new(0), 1) {
            Ok(range) => range,
            Err(_) => unreachable!(),
        },
        kind: Kind(0),
    };
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn entry(start: u64, end: u64) -> Entry {
        let range = PhysRange::try_new(start.into(), end.into()).unwrap();
        Entry {
            range,
            kind: Kind::RAM,
        }
    }

    #[test]
    fn slots_hold_what_they_have_room_for() {
        let mut store: Fixed<2> = Fixed::default();
        store.push(entry(0, 1)).unwrap();
        store.push(entry(1, 2)).unwrap();
        assert_eq!(store.push(entry(2, 3)), Err(Error::Full { capacity: 2 }));
        assert_eq!(store.entries(), [entry(0, 1), entry(1, 2)]);
        store.resize(1, Entry::UNUSED).unwrap();
        assert_eq!(store.entries(), [entry(0, 1)]);
        store.resize(2, entry(5, 6)).unwrap();
        assert_eq!(store.entries_mut(), [entry(0, 1), entry(5, 6)]);
    }

    #[test]
    fn a_map_is_sorted_and_disjoint() {
        let map = |entries: &[Entry]| {
            let mut store: Fixed<4> = Fixed::default();
            entries.iter().for_each(|&entry| store.push(entry).unwrap());
            MemoryMap::try_new(store)
        };
        assert!(map(&[]).is_ok());
        assert!(map(&[entry(0, 4), entry(4, 6), entry(8, 9)]).is_ok());
        let (start, previous) = (PhysAddr::new(3), PhysAddr::new(4));
        let overlapping = map(&[entry(0, 4), entry(3, 6)]);
        let error = overlapping.err().unwrap();
        assert_eq!(
            error,
            Error::OutOfOrder {
                index: 1,
                start,
                previous
            }
        );
        assert_eq!(
            error.to_string(),
            "entry 1 begins at 0x3, must begin at or above 0x4"
        );
    }
}
