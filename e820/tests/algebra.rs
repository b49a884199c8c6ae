//! The arithmetic of maps against models: one byte at a time, and the kernel's own methods.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use e820::{
    Direction, EndOfRam, Entry, Error, Fixed, Kind, MemoryMap, MergePolicy, PlaceRequest,
    Placement, RawEntry, RawMap, Slots, Store,
};
use physmem::{Pfn, PhysAddr, PhysRange};
use proptest::{collection::vec, prelude::*, sample::select};

/// Bytes of the small universe.
const UNIVERSE: u64 = 48;

const POLICIES: [MergePolicy; 3] = [
    MergePolicy::All,
    MergePolicy::NotPram,
    MergePolicy::NotPramNorSoftReserved,
];

/// What each byte is.
type Bytes = Vec<Option<Kind>>;

fn kinds() -> impl Strategy<Value = Kind> {
    select(&[0, 1, 1, 1, 2, 3, 12, 12, 128, 0xefff_ffff][..]).prop_map(Kind)
}

fn found() -> impl Strategy<Value = Vec<RawEntry>> {
    let entry = (0..UNIVERSE, 0..UNIVERSE, kinds()).prop_map(|(addr, size, kind)| RawEntry {
        addr,
        size: size.min(UNIVERSE - addr),
        kind,
    });
    vec(entry, 0..12)
}

fn maps() -> impl Strategy<Value = MemoryMap<Vec<Entry>>> {
    (found(), select(&POLICIES[..]), any::<bool>()).prop_map(|(found, policy, split)| {
        let mut map = RawMap::new(found).sanitize(policy).unwrap();
        // Neighbours of one kind are maps, too.
        let middle = range(UNIVERSE / 2, UNIVERSE);
        if split {
            map.update(middle, Kind::RAM, Kind(77)).unwrap();
            map.update(middle, Kind(77), Kind::RAM).unwrap();
        }
        map
    })
}

fn ranges() -> impl Strategy<Value = PhysRange> {
    (0..UNIVERSE, 1..UNIVERSE).prop_map(|(start, size)| range(start, start + size))
}

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::try_new(start.into(), end.into()).unwrap()
}

/// A map written out; the universe is twice as large so that ranges may reach out of it.
fn bytes<S: Store>(map: &MemoryMap<S>) -> Bytes {
    let mut bytes = vec![None; 2 * UNIVERSE as usize];
    for entry in map.entries() {
        for at in within(entry.range) {
            assert_eq!(bytes[at], None, "disjoint");
            bytes[at] = Some(entry.kind);
        }
    }
    bytes
}

fn within(range: PhysRange) -> std::ops::Range<usize> {
    range.start().as_u64() as usize..range.end().as_u64() as usize
}

fn checked<S: Store>(map: &MemoryMap<S>) {
    assert!(
        map.entries()
            .is_sorted_by(|a, b| a.range.end() <= b.range.start())
    );
}

/// `e820__update_table()` as it is: every open entry is looked at for every change point.
fn update_table(found: &[RawEntry], policy: MergePolicy) -> Vec<RawEntry> {
    let mut points: Vec<(u64, bool, usize)> = Vec::new();
    for (index, entry) in found.iter().enumerate().filter(|(_, entry)| entry.size > 0) {
        points.push((entry.addr, false, index));
        points.push((entry.addr + entry.size, true, index));
    }
    points.sort_unstable();
    let mut open: Vec<usize> = Vec::new();
    let mut result: Vec<RawEntry> = Vec::new();
    let (mut last_kind, mut last_addr) = (Kind(0), 0);
    for (at, ends, index) in points {
        if ends {
            open.retain(|&other| other != index);
        } else {
            open.push(index);
        }
        let kind = open
            .iter()
            .map(|&index| found[index].kind)
            .max()
            .unwrap_or(Kind(0));
        if kind != last_kind || !policy.merges(kind) {
            if last_kind != Kind(0) && at > last_addr {
                result.push(RawEntry {
                    addr: last_addr,
                    size: at - last_addr,
                    kind: last_kind,
                });
            }
            (last_kind, last_addr) = (kind, at);
        }
    }
    result
}

/// The strips in the comment above the kernel's method: 13 entries, 24 columns, 15 pieces.
#[test]
fn the_kernels_sample() {
    let strip = |(kind, addr, size)| RawEntry {
        addr,
        size,
        kind: Kind(kind),
    };
    let found = [
        (2, 4, 2),
        (4, 22, 1),
        (1, 4, 4),
        (4, 1, 2),
        (1, 0, 8),
        (3, 20, 2),
        (4, 11, 2),
        (3, 10, 5),
        (2, 14, 2),
        (2, 19, 4),
        (1, 9, 9),
        (1, 21, 2),
        (4, 17, 1),
    ]
    .map(strip);
    let pieces = [
        (1, 0, 1),
        (4, 1, 2),
        (1, 3, 1),
        (2, 4, 2),
        (1, 6, 2),
        (1, 9, 1),
        (3, 10, 1),
        (4, 11, 2),
        (3, 13, 2),
        (2, 15, 1),
        (1, 16, 1),
        (4, 17, 1),
        (2, 19, 1),
        (3, 20, 2),
        (4, 22, 1),
    ]
    .map(strip);
    for policy in POLICIES {
        let map = RawMap::new(found).sanitize(policy).unwrap();
        assert_eq!(map.to_raw().entries(), pieces);
        assert_eq!(update_table(&found, policy), pieces);
    }
}

#[test]
fn hidden_entries_cut_kinds_that_do_not_merge() {
    let entry = |addr, size, kind| RawEntry { addr, size, kind };
    let found = |kind| {
        [
            entry(0, 100, kind),
            entry(20, 10, Kind::RAM),
            entry(25, 10, Kind(0)),
        ]
    };
    let starts = |kind, policy| -> Vec<u64> {
        let map = RawMap::new(found(kind)).sanitize(policy).unwrap();
        map.entries()
            .iter()
            .map(|entry| entry.range.start().as_u64())
            .collect()
    };
    let cut = [0, 20, 25, 30, 35];
    assert_eq!(starts(Kind::PMEM, MergePolicy::default()), [0]);
    assert_eq!(starts(Kind::PRAM, MergePolicy::All), [0]);
    assert_eq!(starts(Kind::PRAM, MergePolicy::NotPram), cut);
    assert_eq!(starts(Kind::SOFT_RESERVED, MergePolicy::NotPram), [0]);
    assert_eq!(starts(Kind::SOFT_RESERVED, MergePolicy::default()), cut);
}

#[test]
fn odd_entries() {
    let entry = |addr, size, kind| RawEntry { addr, size, kind };
    let sanitize = |found: &[RawEntry]| {
        let map = RawMap::new(found).sanitize(MergePolicy::default())?;
        Ok(map.to_raw().entries().to_vec())
    };
    let ram = entry(0x1000, 0x1000, Kind::RAM);
    assert_eq!(sanitize(&[]), Ok(vec![]));
    assert_eq!(sanitize(&[ram]), Ok(vec![ram]));
    let empty = entry(0x1800, 0, Kind::NVS);
    assert_eq!(
        sanitize(&[empty, ram, entry(0x3000, 4, Kind(0))]),
        Ok(vec![ram])
    );
    let top = entry(u64::MAX - 1, 1, Kind::RAM);
    assert_eq!(
        sanitize(&[top, entry(u64::MAX, 0, Kind::RAM)]),
        Ok(vec![top])
    );
    for bad in [entry(u64::MAX, 1, Kind::RAM), entry(2, u64::MAX, Kind(0))] {
        assert_eq!(
            sanitize(&[ram, bad]),
            Err(Error::BadEntry {
                index: 1,
                entry: bad
            })
        );
    }
}

#[test]
fn a_full_store_refuses_or_loses_the_end() {
    let entry = |addr| RawEntry {
        addr,
        size: 1,
        kind: Kind::RAM,
    };
    let found = [entry(8), entry(0), entry(4), entry(2), entry(6)];
    let policy = MergePolicy::default();
    let mut slots = [Entry::UNUSED; 3];
    let full = MemoryMap::sanitize(&mut found.clone(), Slots::new(&mut slots[..]), policy);
    assert_eq!(full.err(), Some(Error::Full { capacity: 3 }));
    let (map, lost) =
        MemoryMap::sanitize_lossy(&mut found.clone(), Fixed::<3>::default(), policy).unwrap();
    let whole = RawMap::new(found).sanitize(policy).unwrap();
    assert_eq!((map.entries(), lost), (&whole.entries()[..3], 2));
    let exact = MemoryMap::sanitize(&mut found.clone(), Fixed::<5>::default(), policy).unwrap();
    assert!(exact == whole);
}

/// Tests of `crash_exclude_mem_range()` in the kernel: what is there, what is excluded, how many
/// ranges there is room for, what is left. All ends are inclusive.
#[test]
fn all_published_cases_of_crash_exclude_mem_range() {
    type Case = (
        &'static [(u64, u64)],
        (u64, u64),
        usize,
        Option<&'static [(u64, u64)]>,
    );
    const B: &[(u64, u64)] = &[(100, 199)];
    let cases: [Case; 19] = [
        (B, (10, 50), 1, Some(B)),
        (B, (10, 99), 1, Some(B)),
        (B, (50, 149), 1, Some(&[(150, 199)])),
        (B, (120, 179), 2, Some(&[(100, 119), (180, 199)])),
        (B, (150, 249), 1, Some(&[(100, 149)])),
        (B, (200, 250), 1, Some(B)),
        (B, (250, 300), 1, Some(B)),
        (B, (50, 250), 1, Some(&[])),
        (B, (50, 199), 1, Some(&[])),
        (B, (100, 250), 1, Some(&[])),
        (B, (100, 199), 1, Some(&[])),
        (B, (10, 10), 1, Some(B)),
        (B, (100, 100), 1, Some(&[(101, 199)])),
        (B, (150, 150), 2, Some(&[(100, 149), (151, 199)])),
        (B, (199, 199), 1, Some(&[(100, 198)])),
        (B, (250, 250), 1, Some(B)),
        (B, (120, 179), 1, None),
        (
            &[(0, 0x3efff), (0x3f000, 0x3ffff), (0x40000, 0x9ffff)],
            (0, 0xfffff),
            3,
            Some(&[]),
        ),
        (&[(1, 299), (401, 1000), (1001, 2000)], (100, 200), 3, None),
    ];
    for (before, (start, last), room, after) in cases {
        let entries = |ranges: &[(u64, u64)]| -> Vec<Entry> {
            let ram = |&(start, last): &(u64, u64)| Entry {
                range: range(start, last + 1),
                kind: Kind::RAM,
            };
            ranges.iter().map(ram).collect()
        };
        let mut slots = vec![Entry::UNUSED; room];
        let mut store = Slots::new(&mut slots[..]);
        for (index, entry) in entries(before).into_iter().enumerate() {
            store.resize(index + 1, entry).unwrap();
        }
        let mut map = MemoryMap::try_new(store).unwrap();
        let removed = map.remove(range(start, last + 1), None);
        match after {
            Some(after) => assert_eq!(map.entries(), entries(after)),
            None => {
                assert_eq!(removed, Err(Error::Full { capacity: room }));
                assert_eq!(map.entries(), entries(before));
            }
        }
    }
}

#[test]
fn the_end_of_ram_is_below_the_limit() {
    let page = |start: u64, end: u64, kind| Entry {
        range: range(start << 12, end << 12),
        kind,
    };
    let entries = vec![
        page(0, 16, Kind::RAM),
        page(32, 48, Kind::ACPI),
        page(64, 80, Kind::NVS),
    ];
    let mut map = MemoryMap::try_new(entries).unwrap();
    let end = |map: &MemoryMap<_>, limit, kinds| map.end_of_ram(Pfn::new(limit), kinds).as_u64();
    assert_eq!(end(&map, 1 << 40, EndOfRam::Ram), 16);
    assert_eq!(end(&map, 1 << 40, EndOfRam::RamOrAcpi), 48);
    assert_eq!(end(&map, 32, EndOfRam::RamOrAcpi), 16);
    assert_eq!(end(&map, 40, EndOfRam::RamOrAcpi), 40);
    assert_eq!(end(&map, 0, EndOfRam::Ram), 0);
    // Half a page at the end does not count.
    map.clip(range(0, (15 << 12) + 0x800));
    assert_eq!(end(&map, 1 << 40, EndOfRam::Ram), 15);
}

proptest! {
    #[test]
    fn sanitize_is_the_kernels_method_and_the_model(found in found()) {
        for policy in POLICIES {
            let map = RawMap::new(&found[..]).sanitize(policy).unwrap();
            let pieces = map.to_raw().into_inner();
            prop_assert_eq!(&pieces, &update_table(&found, policy));
            checked(&map);

            // Of the kinds of a byte the highest counts.
            let model: Bytes = (0..2 * UNIVERSE)
                .map(|at| {
                    let holds = |entry: &&RawEntry| entry.addr <= at && at < entry.addr + entry.size;
                    let kind = found.iter().filter(holds).map(|entry| entry.kind).max();
                    kind.filter(|kind| kind.0 != 0)
                })
                .collect();
            prop_assert_eq!(bytes(&map), model);
            // Nothing that merges touches its like.
            let apart = |a: &Entry, b: &Entry| {
                a.kind != b.kind || a.range.end() < b.range.start() || !policy.merges(a.kind)
            };
            prop_assert!(map.entries().windows(2).all(|pair| apart(&pair[0], &pair[1])));

            let again = RawMap::new(&pieces[..]).sanitize(policy).unwrap();
            prop_assert!(again == map, "idempotent");
            let mut reversed = found.clone();
            reversed.reverse();
            prop_assert!(RawMap::new(reversed).sanitize(policy).unwrap() == map, "in any order");
        }
    }

    #[test]
    fn many_entries_as_well(
        found in vec((0..4000_u64, 0..300_u64, kinds()), 100..200),
        policy in select(&POLICIES[..]),
    ) {
        let found: Vec<_> =
            found.into_iter().map(|(addr, size, kind)| RawEntry { addr, size, kind }).collect();
        let map = RawMap::new(&found[..]).sanitize(policy).unwrap();
        prop_assert_eq!(map.to_raw().into_inner(), update_table(&found, policy));
    }

    #[test]
    fn merge_is_sanitize_of_a_map(map in maps(), policy in select(&POLICIES[..])) {
        let mut merged = map.clone();
        merged.merge(policy);
        prop_assert!(merged == map.to_raw().sanitize(policy).unwrap());
    }

    #[test]
    fn update_and_remove_change_what_they_count(
        map in maps(),
        range in ranges(),
        from in kinds(),
        to in kinds(),
    ) {
        let before = bytes(&map);
        let inside = |at: usize| within(range).contains(&at);
        let change = |hit: &dyn Fn(Kind) -> bool, to: Option<Kind>| -> (Bytes, u64) {
            let mut after = before.clone();
            let mut count = 0;
            for (at, kind) in after.iter_mut().enumerate() {
                if inside(at) && kind.is_some_and(hit) {
                    (*kind, count) = (to, count + 1);
                }
            }
            (after, count)
        };

        let mut updated = map.clone();
        let count = updated.update(range, from, to).unwrap();
        checked(&updated);
        prop_assert_eq!((bytes(&updated), count), change(&|kind| kind == from, Some(to)));

        let mut removed = map.clone();
        let count = removed.remove(range, Some(from)).unwrap();
        checked(&removed);
        prop_assert_eq!((bytes(&removed), count), change(&|kind| kind == from, None));

        let mut excluded = map.clone();
        let count = excluded.remove(range, None).unwrap();
        prop_assert_eq!((bytes(&excluded), count), change(&|_| true, None));
        prop_assert!(!excluded.mapped_any(range, None));

        let mut clipped = map.clone();
        let count = clipped.clip(range);
        prop_assert_eq!(count, map.entries().iter().map(|e| e.range.size()).sum::<u64>()
            - clipped.entries().iter().map(|e| e.range.size()).sum::<u64>());
        let kept: Bytes =
            before.iter().enumerate().map(|(at, kind)| kind.filter(|_| inside(at))).collect();
        prop_assert_eq!(bytes(&clipped), kept);
    }

    #[test]
    fn exactly_as_many_slots_as_the_result_has_are_enough(
        map in maps(),
        range in ranges(),
        kind in kinds(),
    ) {
        let mut whole = map.clone();
        whole.update(range, kind, Kind(99)).unwrap();
        let room = whole.entries().len();
        for room in [room, room.saturating_sub(1)] {
            let mut slots = vec![Entry::UNUSED; room.max(map.entries().len())];
            let mut store = Slots::new(&mut slots[..]);
            for (index, &entry) in map.entries().iter().enumerate() {
                store.resize(index + 1, entry).unwrap();
            }
            let mut bounded = MemoryMap::try_new(store).unwrap();
            match bounded.update(range, kind, Kind(99)) {
                Ok(_) => prop_assert!(bounded == whole),
                Err(error) => {
                    prop_assert_eq!(error, Error::Full { capacity: room });
                    prop_assert!(room < whole.entries().len() && bounded == map);
                }
            }
        }
    }

    #[test]
    fn insert_takes_free_bytes_only(map in maps(), range in ranges(), kind in kinds()) {
        let mut inserted = map.clone();
        let entry = Entry { range, kind };
        match inserted.insert(entry) {
            Ok(()) => {
                checked(&inserted);
                prop_assert!(!map.mapped_any(range, None) && inserted.entries().contains(&entry));
                prop_assert_eq!(inserted.remove(range, None), Ok(range.size()));
                prop_assert!(inserted == map);
            }
            Err(Error::Overlap { taken, .. }) => {
                prop_assert!(taken.overlaps(range) && inserted == map);
                prop_assert!(map.entries().iter().any(|entry| entry.range == taken));
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn questions_are_answered_as_byte_by_byte(map in maps(), range in ranges(), kind in kinds()) {
        let model = bytes(&map);
        let asked = &model[within(range)];
        prop_assert_eq!(map.mapped_any(range, None), asked.iter().any(Option::is_some));
        prop_assert_eq!(map.mapped_all(range, None), asked.iter().all(Option::is_some));
        prop_assert_eq!(map.mapped_any(range, Some(kind)), asked.contains(&Some(kind)));
        let all = asked.iter().all(|&byte| byte == Some(kind));
        prop_assert_eq!(map.mapped_all(range, Some(kind)), all);
        let last = *asked.last().unwrap();
        let whole = asked.iter().all(Option::is_some);
        prop_assert_eq!(map.kind_of(range), last.filter(|_| whole));
        for (at, &byte) in model.iter().enumerate() {
            let entry = map.entry_at(PhysAddr::new(at as u64));
            prop_assert_eq!(entry.map(|entry| entry.kind), byte);
        }
        let total = model.iter().filter(|&&byte| byte == Some(kind)).count() as u64;
        prop_assert_eq!(map.total(kind), total);
        prop_assert_eq!(map.totals().get(&kind).copied().unwrap_or(0), total);
    }

    #[test]
    fn a_difference_is_where_bytes_differ(left in maps(), right in maps()) {
        let (a, b) = (bytes(&left), bytes(&right));
        let mut differs = vec![false; a.len()];
        let mut end = PhysAddr::new(0);
        for difference in left.diff(&right) {
            prop_assert!(difference.range.start() >= end);
            end = difference.range.end();
            for at in within(difference.range) {
                prop_assert_eq!((a[at], b[at]), (difference.left, difference.right));
                differs[at] = true;
            }
        }
        let expected: Vec<bool> = a.iter().zip(&b).map(|(a, b)| a != b).collect();
        prop_assert_eq!(differs, expected);
        prop_assert_eq!(left.diff(&left).count(), 0);
        prop_assert_eq!(left.diff(&right).count(), right.diff(&left).count());
    }

    /// The kernel steps through memory, here from every address and by bytes instead of pages.
    #[test]
    fn a_place_is_the_one_that_stepping_finds(
        map in maps(),
        busy in vec(ranges(), 0..3),
        (size, align) in (1..10_u64, 0..9_u64),
        window in ranges(),
        top_down: bool,
        old: bool,
    ) {
        let direction = if top_down { Direction::TopDown } else { Direction::BottomUp };
        let placement = if old { Placement::KexecFileBefore6_8 } else { Placement::Exact };
        let step = align.max(1);
        let fits = |free: PhysRange, start: u64| {
            let place = PhysRange::with_size(start.into(), size).unwrap();
            let off = busy.iter().all(|busy| !busy.overlaps(place));
            (start % step == 0 && free.contains_range(place) && off).then_some(place)
        };
        let in_range = |range: PhysRange| {
            let free = range.intersection(window)?;
            let mut starts = free.start().as_u64()..free.end().as_u64();
            if !top_down {
                return starts.find_map(|start| fits(free, start));
            }
            // Before 6.8 the first try began one byte too low.
            let highest = free.end().as_u64().checked_sub(size + u64::from(old))?;
            starts.rev().filter(|&start| start <= highest).find_map(|start| fits(free, start))
        };
        let mut ram = map.ranges(Kind::RAM);
        let expected = match top_down && !old {
            true => ram.rev().find_map(in_range),
            false => ram.find_map(in_range),
        };
        let request = PlaceRequest { size, align, window, direction };
        prop_assert_eq!(map.find_place(Kind::RAM, &busy, request, placement), expected);
    }
}
