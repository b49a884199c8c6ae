//! Finding a place in memory.
//!
//! ```text
//!   range          ███████████████████████████████████
//!   window               ├──────────────────────────┤
//!   busy                                  ▒▒▒▒▒
//!   bottom-up            ▲size▲
//!   top-down                                    ▲size▲      start a multiple of align
//! ```
//!
//! The same rule, to the byte, as `locate_hole()` of kexec-tools (`kexec/kexec.c`),
//! `locate_mem_hole_top_down()` and `…_bottom_up()` of Linux (`kernel/kexec_file.c`, 6.8 and later), and
//! `memblock_find_in_range()` (`mm/memblock.c`): the highest or lowest aligned start at which all bytes
//! lie in one range, in the window, and off everything that is busy.

use physmem::{PhysAddr, PhysRange};

use crate::{Kind, MemoryMap, Store};

/// From which end of the memory a place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The highest place.
    TopDown,
    /// The lowest place.
    BottomUp,
}

/// Which rules find a place, by who looks for it. The default is the exact one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Placement {
    /// The highest or lowest place there is: kexec-tools, memblock, `kexec_file_load()` of Linux from
    /// 6.8 on.
    #[default]
    Exact,
    /// `kexec_file_load()` of Linux before 6.8, which differs top-down: the lowest range that fits is
    /// taken, and in it the search starts one byte too low, so a place that ends exactly where the
    /// range does is missed.
    KexecFileBefore6_8,
}

/// What to find a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlaceRequest {
    /// Bytes; for 0 there is no place.
    pub size: u64,
    /// Of what the start is a multiple, in bytes. 0 and 1 mean any address.
    pub align: u64,
    /// Where it must lie.
    pub window: PhysRange,
    /// From which end to take it.
    pub direction: Direction,
}

impl<S: Store> MemoryMap<S> {
    /// A place in the memory of one kind; `None` if there is none.
    ///
    /// ```
    /// use e820::{Direction, Fixed, Kind, MemoryMap, MergePolicy, PlaceRequest, Placement, RawEntry};
    /// use physmem::PhysRange;
    ///
    /// let mut found = [RawEntry { addr: 0x10_0000, size: 0x1fed_d000, kind: Kind::RAM }];
    /// let map = MemoryMap::sanitize(&mut found, Fixed::<1>::default(), MergePolicy::default())?;
    /// let request = PlaceRequest {
    ///     size: 0x337_8000,
    ///     align: 0x20_0000,
    ///     window: PhysRange::with_size(0x10_0000.into(), 1 << 32)?,
    ///     direction: Direction::TopDown,
    /// };
    /// let purgatory = [PhysRange::with_size(0x1ffc_e000.into(), 0xf000)?];
    /// let place = map.find_place(Kind::RAM, &purgatory, request, Placement::Exact);
    /// assert_eq!(place.unwrap().start().as_u64(), 0x1cc0_0000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_place(
        &self,
        kind: Kind,
        busy: &[PhysRange],
        request: PlaceRequest,
        placement: Placement,
    ) -> Option<PhysRange> {
        find(self.ranges(kind), busy, request, placement)
    }
}

/// A place in one of `ranges`, which ascend and share no byte.
///
/// `busy` may be in any order; each search takes a look at all of it for every busy range that is in
/// the way.
pub fn find(
    ranges: impl IntoIterator<Item = PhysRange>,
    busy: &[PhysRange],
    request: PlaceRequest,
    placement: Placement,
) -> Option<PhysRange> {
    let mut places = ranges.into_iter().filter_map(|range| {
        let free = range.intersection(request.window)?;
        match request.direction {
            Direction::BottomUp => lowest(free, busy, request),
            Direction::TopDown => highest(free, busy, request, placement),
        }
    });
    match (request.direction, placement) {
        (Direction::TopDown, Placement::Exact) => places.last(),
        _ => places.next(),
    }
}

fn lowest(free: PhysRange, busy: &[PhysRange], request: PlaceRequest) -> Option<PhysRange> {
    let mut at = free.start();
    loop {
        let start = at.as_u64().checked_next_multiple_of(request.align.max(1))?;
        let place = PhysRange::with_size(PhysAddr::new(start), request.size).ok()?;
        if !free.contains_range(place) {
            return None;
        }
        let in_the_way = busy.iter().filter(|range| range.overlaps(place));
        match in_the_way.map(|range| range.end()).max() {
            Some(end) => at = end,
            None => return Some(place),
        }
    }
}

fn highest(
    free: PhysRange,
    busy: &[PhysRange],
    request: PlaceRequest,
    placement: Placement,
) -> Option<PhysRange> {
    let mut end = match placement {
        Placement::Exact => free.end(),
        Placement::KexecFileBefore6_8 => free.last(),
    };
    loop {
        let start = end.as_u64().checked_sub(request.size)?;
        // Multiples of the alignment are at or below what they are rounded from.
        let start = start - start % request.align.max(1);
        let place = PhysRange::with_size(PhysAddr::new(start), request.size).ok()?;
        if !free.contains_range(place) {
            return None;
        }
        let in_the_way = busy.iter().filter(|range| range.overlaps(place));
        match in_the_way.map(|range| range.start()).min() {
            Some(start) => end = start,
            None => return Some(place),
        }
    }
}
