//! Set algebra over ascending ranges, as iterators: nothing is allocated, each step is O(1).
//!
//! ```text
//! left        ████████        ██████████      ████
//! right             ████████████
//!             ──────────────────────────────────────
//! walk        LLLLLLBBRRRRRRRRBBLLLLLLLL      LLLL     every piece, and whose it is
//! merge       ██████████████████████████      ████     L | B | R
//! intersect         ██        ██                       B
//! subtract    ██████            ████████      ████     L
//! complement        ░░░░░░░░░░          ░░░░░░    ░░   what `left` leaves of a window
//! ```
//!
//! One form makes this simple: what a [`SortedRanges`] yields ascends, is disjoint and does not even
//! touch, so two equal sets are equal sequences. [`sorted`] is the checked way in; every adaptor
//! keeps the form and can feed the next one.

use crate::{Error, PhysAddr, PhysRange};

mod sealed {
    pub trait Sealed {}
}

/// A set of addresses as an iterator of ranges that ascend and neither overlap nor touch.
///
/// Sealed, because the algebra relies on the order: [`sorted`] checks it, the adaptors keep it.
pub trait SortedRanges: Iterator<Item = PhysRange> + Sized + sealed::Sealed {
    /// Both sets cut at every boundary of either, each piece with whose it is.
    ///
    /// ```
    /// use physmem::{PhysRange, Side, SortedRanges, sorted};
    /// # fn range(start: u64, end: u64) -> PhysRange { PhysRange::try_new(start.into(), end.into()).unwrap() }
    /// let ram = [range(0x1000, 0x9000)];
    /// let dumped = [range(0x4000, 0xa000)];
    /// let pieces: Vec<_> = sorted(ram)?.walk(sorted(dumped)?).map(|p| (p.range, p.side)).collect();
    /// assert_eq!(pieces, [
    ///     (range(0x1000, 0x4000), Side::Left),
    ///     (range(0x4000, 0x9000), Side::Both),
    ///     (range(0x9000, 0xa000), Side::Right),
    /// ]);
    /// # Ok::<(), physmem::Error>(())
    /// ```
    fn walk<R: SortedRanges>(mut self, mut right: R) -> Walk<Self, R> {
        let (next_left, next_right) = (self.next(), right.next());
        Walk {
            left: self,
            right,
            next_left,
            next_right,
        }
    }

    /// What lies in either.
    ///
    /// ```
    /// use physmem::{PhysRange, SortedRanges, sorted};
    /// # fn range(start: u64, end: u64) -> PhysRange { PhysRange::try_new(start.into(), end.into()).unwrap() }
    /// let low = [range(0x0, 0x1000), range(0x8000, 0x9000)];
    /// let high = [range(0x1000, 0x2000)];
    /// let both: Vec<_> = sorted(low)?.merge(sorted(high)?).collect();
    /// assert_eq!(both, [range(0x0, 0x2000), range(0x8000, 0x9000)]);
    /// # Ok::<(), physmem::Error>(())
    /// ```
    fn merge<R: SortedRanges>(self, right: R) -> Merge<Self, R> {
        let mut pieces = self.walk(right);
        let pending = pieces.next();
        Merge {
            pieces,
            pending: pending.map(|piece| piece.range),
        }
    }

    /// What lies in both.
    ///
    /// ```
    /// use physmem::{PhysRange, SortedRanges, sorted};
    /// # fn range(start: u64, end: u64) -> PhysRange { PhysRange::try_new(start.into(), end.into()).unwrap() }
    /// let ram = [range(0x1000, 0x9f000), range(0x100000, 0x8000000)];
    /// let crash_kernel = [range(0x7000000, 0x9000000)];
    /// let usable: Vec<_> = sorted(ram)?.intersect(sorted(crash_kernel)?).collect();
    /// assert_eq!(usable, [range(0x7000000, 0x8000000)]);
    /// # Ok::<(), physmem::Error>(())
    /// ```
    fn intersect<R: SortedRanges>(self, right: R) -> Select<Self, R> {
        Select {
            pieces: self.walk(right),
            side: Side::Both,
        }
    }

    /// What lies in `self` and not in `right`.
    ///
    /// ```
    /// use physmem::{PhysRange, SortedRanges, sorted};
    /// # fn range(start: u64, end: u64) -> PhysRange { PhysRange::try_new(start.into(), end.into()).unwrap() }
    /// let ram = [range(0x100000, 0x8000000)];
    /// let crash_kernel = [range(0x3000000, 0x4000000)];
    /// let dumped: Vec<_> = sorted(ram)?.subtract(sorted(crash_kernel)?).collect();
    /// assert_eq!(dumped, [range(0x100000, 0x3000000), range(0x4000000, 0x8000000)]);
    /// # Ok::<(), physmem::Error>(())
    /// ```
    fn subtract<R: SortedRanges>(self, right: R) -> Select<Self, R> {
        Select {
            pieces: self.walk(right),
            side: Side::Left,
        }
    }

    /// What of `window` is not in `self`.
    ///
    /// ```
    /// use physmem::{PhysRange, SortedRanges, sorted};
    /// # fn range(start: u64, end: u64) -> PhysRange { PhysRange::try_new(start.into(), end.into()).unwrap() }
    /// let used = [range(0x1000, 0x2000), range(0x5000, 0x9000)];
    /// let free: Vec<_> = sorted(used)?.complement(range(0x0, 0x8000)).collect();
    /// assert_eq!(free, [range(0x0, 0x1000), range(0x2000, 0x5000)]);
    /// # Ok::<(), physmem::Error>(())
    /// ```
    fn complement(self, window: PhysRange) -> Select<Single, Self> {
        Single(Some(window)).subtract(self)
    }
}

/// Brings ranges that ascend by start into the algebra, joining those that overlap or touch.
///
/// The order is checked by running through a clone of the iterator first, so that no adaptor ever
/// meets a list out of order.
///
/// ```
/// use physmem::{Error, PhysRange, sorted};
/// # fn range(start: u64, end: u64) -> PhysRange { PhysRange::try_new(start.into(), end.into()).unwrap() }
/// // Overlaps are normal: a core's kernel-text segment lies inside the direct map's.
/// let loads = [range(0x1000, 0x9000), range(0x4000, 0x5000), range(0x9000, 0xa000)];
/// assert_eq!(sorted(loads)?.collect::<Vec<_>>(), [range(0x1000, 0xa000)]);
///
/// let unsorted = sorted([range(0x4000, 0x5000), range(0x1000, 0x2000)]).unwrap_err();
/// assert!(matches!(unsorted, Error::OutOfOrder { index: 1, .. }));
/// # Ok::<(), physmem::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::OutOfOrder`] for the first range that begins below the one before it.
pub fn sorted<I>(ranges: I) -> Result<Sorted<I::IntoIter>, Error>
where
    I: IntoIterator<Item = PhysRange, IntoIter: Clone>,
{
    let mut ranges = ranges.into_iter();
    let mut previous = PhysAddr::new(0);
    for (index, range) in ranges.clone().enumerate() {
        if range.start() < previous {
            return Err(Error::OutOfOrder {
                index,
                start: range.start(),
                previous,
            });
        }
        previous = range.start();
    }
    let pending = ranges.next();
    Ok(Sorted { ranges, pending })
}

/// Joins `next` to `range` if they overlap or touch; `next` must not begin below `range`.
fn join(range: PhysRange, next: PhysRange) -> Option<PhysRange> {
    if next.start() > range.end() {
        return None;
    }
    PhysRange::try_new(range.start(), range.end().max(next.end())).ok()
}

/// Takes the next maximal range out of `pending` and the ranges that follow it.
fn coalesce(
    pending: &mut Option<PhysRange>,
    mut following: impl FnMut() -> Option<PhysRange>,
) -> Option<PhysRange> {
    let mut range = pending.take()?;
    while let Some(next) = following() {
        match join(range, next) {
            Some(joined) => range = joined,
            None => {
                *pending = Some(next);
                break;
            }
        }
    }
    Some(range)
}

/// The checked, coalesced ranges made by [`sorted`].
#[derive(Debug, Clone)]
pub struct Sorted<I> {
    ranges: I,
    pending: Option<PhysRange>,
}

impl<I: Iterator<Item = PhysRange>> Iterator for Sorted<I> {
    type Item = PhysRange;

    fn next(&mut self) -> Option<PhysRange> {
        coalesce(&mut self.pending, || self.ranges.next())
    }
}

/// Whose a [`Piece`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Only in the left set.
    Left,
    /// Only in the right set.
    Right,
    /// In both sets.
    Both,
}

/// A maximal stretch over which neither of two sets has a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Piece {
    /// The stretch.
    pub range: PhysRange,
    /// Which of the two sets hold it.
    pub side: Side,
}

/// Two sets side by side; made by [`SortedRanges::walk`].
#[derive(Debug, Clone)]
pub struct Walk<L, R> {
    left: L,
    right: R,
    next_left: Option<PhysRange>,
    next_right: Option<PhysRange>,
}

impl<L: SortedRanges, R: SortedRanges> Iterator for Walk<L, R> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        // Where the piece stops: the nearest boundary above its start.
        let (start, end, side) = match (self.next_left, self.next_right) {
            (None, None) => return None,
            (Some(left), None) => (left.start(), left.end(), Side::Left),
            (None, Some(right)) => (right.start(), right.end(), Side::Right),
            (Some(left), Some(right)) if left.start() < right.start() => {
                (left.start(), left.end().min(right.start()), Side::Left)
            }
            (Some(left), Some(right)) if right.start() < left.start() => {
                (right.start(), right.end().min(left.start()), Side::Right)
            }
            (Some(left), Some(right)) => (left.start(), left.end().min(right.end()), Side::Both),
        };
        if side != Side::Right {
            let rest = self.next_left.and_then(|left| left.at_and_above(end));
            self.next_left = rest.or_else(|| self.left.next());
        }
        if side != Side::Left {
            let rest = self.next_right.and_then(|right| right.at_and_above(end));
            self.next_right = rest.or_else(|| self.right.next());
        }
        PhysRange::try_new(start, end)
            .ok()
            .map(|range| Piece { range, side })
    }
}

/// What lies in either of two sets; made by [`SortedRanges::merge`].
#[derive(Debug, Clone)]
pub struct Merge<L, R> {
    pieces: Walk<L, R>,
    pending: Option<PhysRange>,
}

impl<L: SortedRanges, R: SortedRanges> Iterator for Merge<L, R> {
    type Item = PhysRange;

    fn next(&mut self) -> Option<PhysRange> {
        coalesce(&mut self.pending, || {
            self.pieces.next().map(|piece| piece.range)
        })
    }
}

/// What of two sets is on one side; made by [`SortedRanges::intersect`], [`SortedRanges::subtract`]
/// and [`SortedRanges::complement`].
#[derive(Debug, Clone)]
pub struct Select<L, R> {
    pieces: Walk<L, R>,
    side: Side,
}

impl<L: SortedRanges, R: SortedRanges> Iterator for Select<L, R> {
    type Item = PhysRange;

    fn next(&mut self) -> Option<PhysRange> {
        let side = self.side;
        self.pieces
            .find(|piece| piece.side == side)
            .map(|piece| piece.range)
    }
}

/// One range as a set: the window of [`SortedRanges::complement`].
#[derive(Debug, Clone)]
pub struct Single(Option<PhysRange>);

impl Iterator for Single {
    type Item = PhysRange;

    fn next(&mut self) -> Option<PhysRange> {
        self.0.take()
    }
}

macro_rules! sorted_ranges {
    ($($name:ty, [$($generics:tt)*];)*) => {$(
        impl<$($generics)*> sealed::Sealed for $name {}
        impl<$($generics)*> SortedRanges for $name {}
    )*};
}

sorted_ranges! {
    Sorted<I>, [I: Iterator<Item = PhysRange>];
    Merge<L, R>, [L: SortedRanges, R: SortedRanges];
    Select<L, R>, [L: SortedRanges, R: SortedRanges];
    Single, [];
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    /// Small enough for a model with one flag an address.
    const UNIVERSE: u64 = 64;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::try_new(start.into(), end.into()).unwrap()
    }

    fn ranges() -> impl Strategy<Value = Vec<PhysRange>> {
        prop::collection::vec((0..UNIVERSE, 1..12_u64), 0..10).prop_map(|pairs| {
            let mut list: Vec<_> = pairs
                .into_iter()
                .map(|(start, size)| range(start, (start + size).min(UNIVERSE)))
                .collect();
            list.sort();
            list
        })
    }

    fn model(ranges: impl IntoIterator<Item = PhysRange>) -> Vec<bool> {
        let mut flags = vec![false; 64];
        for range in ranges {
            for at in range.start().as_u64()..range.end().as_u64() {
                flags[usize::try_from(at).unwrap()] = true;
            }
        }
        flags
    }

    fn combined(a: &[bool], b: &[bool], rule: fn(bool, bool) -> bool) -> Vec<bool> {
        a.iter().zip(b).map(|(a, b)| rule(*a, *b)).collect()
    }

    /// The result equals the model and has the one form a set has.
    fn check(set: impl SortedRanges, expected: &[bool]) {
        let list: Vec<_> = set.collect();
        assert!(
            list.windows(2).all(|pair| pair[0].end() < pair[1].start()),
            "{list:?}"
        );
        assert_eq!(model(list), expected);
    }

    proptest! {
        #[test]
        fn adaptors_agree_with_a_flag_an_address(a in ranges(), b in ranges(), window in (0..UNIVERSE, 1..40_u64)) {
            let set = |list: &Vec<PhysRange>| sorted(list.clone()).unwrap();
            let (in_a, in_b) = (model(a.clone()), model(b.clone()));
            check(set(&a), &in_a);
            check(set(&a).merge(set(&b)), &combined(&in_a, &in_b, |a, b| a | b));
            check(set(&a).intersect(set(&b)), &combined(&in_a, &in_b, |a, b| a & b));
            check(set(&a).subtract(set(&b)), &combined(&in_a, &in_b, |a, b| a & !b));
            let window = range(window.0, (window.0 + window.1).min(UNIVERSE));
            check(set(&a).complement(window), &combined(&in_a, &model([window]), |a, window| window & !a));
        }

        #[test]
        fn a_walk_is_a_partition_that_names_owners(a in ranges(), b in ranges()) {
            let (in_a, in_b) = (model(a.clone()), model(b.clone()));
            let pieces: Vec<_> = sorted(a).unwrap().walk(sorted(b).unwrap()).collect();
            prop_assert!(pieces.windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
            for piece in &pieces {
                for at in piece.range.start().as_u64()..piece.range.end().as_u64() {
                    let at = usize::try_from(at).unwrap();
                    let owners = (piece.side != Side::Right, piece.side != Side::Left);
                    prop_assert_eq!(owners, (in_a[at], in_b[at]));
                }
            }
            prop_assert_eq!(model(pieces.iter().map(|piece| piece.range)), combined(&in_a, &in_b, |a, b| a | b));
        }

        #[test]
        fn set_laws(a in ranges(), b in ranges(), c in ranges()) {
            let set = |list: &Vec<PhysRange>| sorted(list.clone()).unwrap();
            let all = range(0, UNIVERSE);
            // a \ (b ∪ c) = (a \ b) ∩ (a \ c)
            prop_assert!(set(&a).subtract(set(&b).merge(set(&c)))
                .eq(set(&a).subtract(set(&b)).intersect(set(&a).subtract(set(&c)))));
            // a ∪ a = a, and the complement of the complement is a again
            prop_assert!(set(&a).merge(set(&a)).eq(set(&a)));
            prop_assert!(set(&a).complement(all).complement(all).eq(set(&a)));
        }
    }

    #[test]
    fn out_of_order_is_refused_before_anything_is_yielded() {
        let list = [range(0, 1), range(8, 9), range(4, 5)];
        assert_eq!(
            sorted(list).unwrap_err(),
            Error::OutOfOrder {
                index: 2,
                start: PhysAddr::new(4),
                previous: PhysAddr::new(8)
            }
        );
    }
}
