//! Laws over random tables: every operation agrees with a naive model written from the manuals, in every
//! paging mode.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod model;

use std::ops::RangeInclusive;

use page_walk::{
    AnyFlags, AnyWalker, DEFAULT_BUDGET, Entry, Extent, Fault, FaultKind, Level, RiscV64, S390x,
    Step, Walker, X86_64, x86_64::Flags,
};
use physmem::{Absence, MemError, PhysAddr, PhysMemory, PhysRange, Region, VirtAddr};
use proptest::prelude::*;

use model::{Mode, Rules, address, addresses, outcome, tables};

/// Memory that does not lend, as a compressed dump does not.
struct Unlent<'a>(&'a dyn PhysMemory);

impl PhysMemory for Unlent<'_> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        self.0.read(at, out)
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.0.next_run(from)
    }
}

fn walker(five: bool) -> Walker<X86_64> {
    let mode = if five {
        X86_64::five_level()
    } else {
        X86_64::four_level()
    };
    Walker::new(mode, PhysAddr::new(0))
}

fn everything() -> RangeInclusive<VirtAddr> {
    VirtAddr::new(0)..=VirtAddr::new(u64::MAX)
}

fn last<F>(extent: &Extent<F>) -> u64 {
    extent.virt.as_u64() + (extent.size - 1)
}

/// Enough for the few tables there are, reached in a few hundred ways.
const BUDGET: u64 = 60;

type Listing = Vec<Result<Extent<AnyFlags>, Fault>>;

fn list(walker: AnyWalker, memory: &dyn PhysMemory, range: RangeInclusive<VirtAddr>) -> Listing {
    walker.extents(memory, range).with_budget(BUDGET).collect()
}

fn gave_up(listing: &Listing) -> bool {
    let budget = |item: &Result<_, Fault>| matches!(item, Err(f) if f.kind == FaultKind::Budget);
    listing.last().is_some_and(budget)
}

/// The part of an extent that lies in a range, given its first and last address.
fn cut(extent: Extent<AnyFlags>, from: u64, to: u64) -> Option<Extent<AnyFlags>> {
    let virt = extent.virt.as_u64().max(from);
    let end = last(&extent).min(to);
    let skipped = virt - extent.virt.as_u64();
    (virt <= end).then(|| Extent {
        virt: VirtAddr::new(virt),
        phys: extent.phys.checked_add(skipped).unwrap(),
        size: end - virt + 1,
        ..extent
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn translate_and_walk_agree_with_the_manual(
        (mode, bytes) in tables(),
        addresses in addresses(),
    ) {
        let memory = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        let walker = mode.walker;
        for virt in addresses.iter().map(|numbers| address(&mode, numbers)) {
            let translated = walker.translate(&memory, virt);
            let expected = mode.translate(&bytes, virt.as_u64());
            prop_assert_eq!(outcome(translated), expected, "{} {:?}", virt, mode.rules);
            prop_assert_eq!(walker.translate(&Unlent(&memory), virt), translated);

            let walk: Vec<_> = walker.walk(&memory, virt).collect();
            let (end, way) = walk.split_last().unwrap();
            let is_table = |entry: &Result<Entry<AnyFlags>, Fault>| {
                matches!(entry, Ok(Entry { step: Step::Table { .. }, .. }))
            };
            prop_assert!(way.iter().all(is_table), "{way:?}");
            match (end, translated) {
                (Err(fault), translated) => prop_assert_eq!(translated, Err(*fault)),
                (Ok(entry), Ok(mapping)) => {
                    let Step::Leaf { base, shift, .. } = entry.step else {
                        return Err(TestCaseError::fail("a walk that ends at a table"));
                    };
                    prop_assert_eq!(shift, mapping.shift);
                    prop_assert_eq!(mapping.phys.as_u64() >> shift, base.as_u64() >> shift);
                }
                (Ok(_), Err(fault)) => return Err(TestCaseError::fail(fault.to_string())),
            }
        }
    }

    #[test]
    fn batches_and_cursors_are_translate(
        (mode, bytes) in tables(),
        addresses in addresses(),
        sorted: bool,
    ) {
        let memory = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        let walker = mode.walker;
        let mut virts: Vec<_> = addresses.iter().map(|numbers| address(&mode, numbers)).collect();
        if sorted {
            virts.sort_unstable();
        }
        let expected: Vec<_> = virts.iter().map(|virt| walker.translate(&memory, *virt)).collect();

        let mut found = vec![None; virts.len()];
        walker.translate_many(&memory, &virts, |index, one| {
            assert_eq!(found[index].replace(one), None, "told twice");
        });
        for (one, expected) in found.into_iter().zip(&expected) {
            prop_assert_eq!(one, Some(*expected));
        }

        let mut cursor = walker.cursor(&memory);
        let not_lent = Unlent(&memory);
        let mut unlent = walker.cursor(&not_lent);
        for (virt, expected) in virts.iter().zip(&expected) {
            prop_assert_eq!(cursor.translate(*virt), *expected);
            prop_assert_eq!(unlent.translate(*virt), *expected);
        }
    }

    #[test]
    fn extents_are_what_translate_says((mode, bytes) in tables(), addresses in addresses()) {
        let memory = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        let walker = mode.walker;
        let items = list(walker, &memory, everything());
        prop_assert_eq!(&items, &list(walker, &Unlent(&memory), everything()));
        let extents = walker.extents(&memory, everything()).with_budget(BUDGET);
        let folded = extents.fold(Vec::new(), |mut items, item| {
            items.push(item);
            items
        });
        prop_assert_eq!(&items, &folded);

        let mut extents = Vec::new();
        let mut faults = Vec::new();
        let mut known_until = u64::MAX;
        for item in items {
            match item {
                Ok(extent) => extents.push(extent),
                Err(fault) if fault.kind == FaultKind::Budget => known_until = fault.virt.as_u64(),
                Err(Fault { kind: FaultKind::Loop { table }, virt, entry_at, .. }) => {
                    let mut walk = walker.walk(&memory, virt).flatten();
                    let there = walk.find(|entry| entry.at == entry_at);
                    prop_assert_eq!(there.and_then(leads_to), Some(table));
                    prop_assert!(comes_back(&walker, &memory, virt));
                }
                Err(fault) => {
                    prop_assert_eq!(walker.translate(&memory, fault.virt), Err(fault));
                    faults.push(fault);
                }
            }
        }
        for pair in extents.windows(2) {
            prop_assert!(last(&pair[0]) < pair[1].virt.as_u64());
            let joins = last(&pair[0]) + 1 == pair[1].virt.as_u64()
                && pair[0].phys.as_u64() + pair[0].size == pair[1].phys.as_u64();
            let alike = (pair[0].shift, pair[0].flags) == (pair[1].shift, pair[1].flags);
            prop_assert!(!(joins && alike), "{:x?}", pair);
        }
        for extent in &extents {
            for offset in [0, extent.size / 2, extent.size - 1] {
                let mapping = walker.translate(&memory, extent.virt.checked_add(offset).unwrap());
                let mapping = mapping.unwrap();
                prop_assert_eq!(Some(mapping.phys), extent.phys.checked_add(offset));
                prop_assert_eq!((mapping.shift, mapping.flags), (extent.shift, extent.flags));
            }
        }
        for virt in addresses.iter().map(|numbers| address(&mode, numbers)) {
            let at = virt.as_u64();
            if at >= known_until {
                continue;
            }
            let listed = extents.iter().find(|extent| (extent.virt.as_u64()..=last(extent)).contains(&at));
            match walker.translate(&memory, virt) {
                // What lies behind a loop is listed once, or not at all.
                _ if comes_back(&walker, &memory, virt) => {}
                Ok(_) => prop_assert!(listed.is_some(), "{} is mapped and not listed", virt),
                Err(fault) => {
                    prop_assert!(listed.is_none(), "{} is listed: {}", virt, fault);
                    // A missing or damaged entry is told, once for a stretch of the same table.
                    let told = faults.iter().any(|told| {
                        told.virt <= virt
                            && told.level == fault.level
                            && same_table(&mode, told, &fault)
                    });
                    let silent = matches!(
                        fault.kind,
                        FaultKind::NotPresent { .. } | FaultKind::NonCanonical | FaultKind::OutOfTable
                    );
                    prop_assert!(told || silent, "{} is lost in silence", fault);
                }
            }
        }
    }

    #[test]
    fn a_part_of_the_listing_is_the_listing_of_the_part(
        (mode, bytes) in tables(),
        ends in addresses(),
        frames in (0..1_u64 << 40, 0..1_u64 << 50),
    ) {
        let memory = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        let (one, other) = (address(&mode, &ends[0]), address(&mode, &ends[1]));
        let (from, to) = (one.min(other), one.max(other));
        let items = list(mode.walker, &memory, everything());
        prop_assume!(!gave_up(&items));
        let extents: Vec<_> = items.into_iter().filter_map(Result::ok).collect();
        let expected: Vec<_> =
            extents.iter().filter_map(|e| cut(*e, from.as_u64(), to.as_u64())).collect();
        let part = list(mode.walker, &memory, from..=to);
        prop_assert_eq!(part.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), expected);

        // Who maps a stretch of memory: of the first extent's too, so that there is somebody.
        let wanted = extents.first().map(|extent| (extent.phys.as_u64() + extent.size / 3, 0x5000));
        for (start, size) in [frames].into_iter().chain(wanted) {
            let frames = PhysRange::with_size(PhysAddr::new(start), size + 1).unwrap();
            let found = mode.walker.reverse(&memory, everything(), frames).with_budget(BUDGET);
            let expected: Vec<_> = extents.iter().filter_map(|extent| {
                let distance = extent.virt.as_u64().wrapping_sub(extent.phys.as_u64());
                let begin = start.max(extent.phys.as_u64());
                let end = (start + size).min(extent.phys.as_u64() + (extent.size - 1));
                (begin <= end).then(|| {
                    let virt = |phys: u64| phys.wrapping_add(distance);
                    cut(*extent, virt(begin), virt(end)).unwrap()
                })
            }).collect();
            prop_assert_eq!(found.filter_map(Result::ok).collect::<Vec<_>>(), expected);
        }
    }
}

fn leads_to(entry: Entry<AnyFlags>) -> Option<PhysAddr> {
    match entry.step {
        Step::Table { at, .. } => Some(at),
        Step::Leaf { .. } => None,
    }
}

/// Whether the way to `virt` comes to a table twice.
fn comes_back(walker: &AnyWalker, memory: &dyn PhysMemory, virt: VirtAddr) -> bool {
    let mut way = vec![walker.root()];
    walker
        .walk(memory, virt)
        .flatten()
        .filter_map(leads_to)
        .any(|table| {
            let known = way.contains(&table);
            way.push(table);
            known
        })
}

/// Whether the entries that two faults of one level name are of one table.
fn same_table(mode: &Mode, one: &Fault, other: &Fault) -> bool {
    let table = |fault: &Fault| {
        let index = mode.index(fault.virt.as_u64(), fault.level.number.into());
        let offset = index * mode.width() as u64;
        fault.entry_at.as_u64().wrapping_sub(offset)
    };
    table(one) == table(other)
}

/// The hole between canonical addresses lies within the root; what is on its two sides are no neighbours,
/// though their entries are.
#[test]
fn pages_on_both_sides_of_the_hole_are_two_extents() {
    let mut bytes = vec![0; 0x1000];
    for (slot, page) in [(255_usize, 5_u64), (256, 6)] {
        bytes[slot * 8..][..8].copy_from_slice(&(page << 28 | 3).to_le_bytes());
    }
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    let walker = Walker::new(RiscV64::sv39(), PhysAddr::new(0));
    let extents: Vec<_> = walker
        .extents(&memory, everything())
        .map(|extent| extent.map(|extent| (extent.virt.as_u64(), extent.size)))
        .collect();
    let gib = 1 << 30;
    assert_eq!(extents, [Ok((255 << 30, gib)), Ok((u64::MAX << 38, gib))]);
}

/// Every entry of the only table leads to the table itself: 512^4 pages, of which nobody wants a list.
#[test]
fn a_table_of_itself_is_entered_by_one_entry() {
    let bytes: Vec<u8> = (0..512).flat_map(|_| 7_u64.to_le_bytes()).collect();
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    for (five, tables) in [(false, 3), (true, 4)] {
        let items: Vec<_> = walker(five).extents(&memory, everything()).collect();
        let (pages, loops): (Vec<_>, Vec<_>) = items.into_iter().partition(Result::is_ok);
        // The first entry of each level leads down to 512 pages; of 511 others, the first is told.
        assert_eq!((pages.len(), loops.len()), (512, tables));
        let table = PhysAddr::new(0);
        assert!(
            loops
                .iter()
                .all(|item| item.unwrap_err().kind == FaultKind::Loop { table })
        );
        assert_eq!(loops[0].unwrap_err().virt.as_u64(), 1 << 21);
    }
    // Whichever part is asked for.
    let part = VirtAddr::new(1 << 21)..=VirtAddr::new(1 << 30);
    let mut part = walker(false).extents(&memory, part);
    assert!(part.all(|item| item.is_err()));
    let cut = walker(false)
        .extents(&memory, everything())
        .with_budget(0)
        .next();
    assert_eq!(cut.unwrap().unwrap_err().kind, FaultKind::Budget);
}

/// Nobody wants a line for each entry of what is no table.
#[test]
fn entries_with_reserved_bits_and_nothing_between_are_one_fault() {
    let mut bytes = vec![0; 0x4000];
    let mut put = |at: usize, entry: u64| bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    put(0x0000, 0x1007);
    put(0x1000, 0x2007);
    put(0x1008, 0x3007);
    for entry in 0..1024 {
        // Large pages at multiples of 8 KiB, each with other bits.
        put(0x2000 + entry * 8, (entry as u64) << 22 | 0x2081);
    }
    put(0x2000 + 100 * 8, 0x20_0081);
    put(0x2000 + 200 * 8, 0);
    put(0x2000 + 300 * 8, 0x9007); // not in memory
    put(0x2000 + 301 * 8, 0xa007); // nor this one
    put(0x2000 + 400 * 8, 0x20_0081);
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    let found = |walker: Walker<X86_64>, from: u64| -> Vec<_> {
        let from = VirtAddr::new(from << 21);
        let items = walker.extents(&memory, from..=VirtAddr::new(u64::MAX));
        let faults = items.filter_map(Result::err).map(|fault| {
            let missing = matches!(fault.kind, FaultKind::Missing(_));
            assert_eq!(walker.translate(&memory, fault.virt), Err(fault));
            (fault.virt.as_u64() >> 21, missing)
        });
        faults.collect()
    };
    let reserved = |at| (at, false);
    let all = [
        reserved(0),
        reserved(101),
        (300, true),
        (301, true),
        reserved(401),
        // The next table.
        reserved(512),
    ];
    assert_eq!(found(walker(false), 0), all);
    assert_eq!(found(walker(false), 250)[0], reserved(250));
}

/// Windows maps all tables at once through an entry of the root that leads to the root.
#[test]
fn tables_that_are_mapped_by_one_entry_are_listed_as_the_processor_sees_them() {
    let mut bytes = vec![0; 0x4000];
    let mut put = |at: usize, entry: u64| bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    put(0x0000, 0x1007);
    put(0x1ed * 8, 0x0007);
    put(0x1000, 0x2007);
    put(0x2000, 0x3007);
    put(0x3000, 0x5007);
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    let extents: Vec<_> = walker(false)
        .extents(&memory, everything())
        .map(|extent| extent.map(|extent| (extent.virt.as_u64(), extent.phys.as_u64())))
        .collect();
    let expected = [
        (0, 0x5000),
        (0xffff_f680_0000_0000, 0x3000),
        (0xffff_f6fb_4000_0000, 0x2000),
        (0xffff_f6fb_7da0_0000, 0x1000),
        (0xffff_f6fb_7dbe_d000, 0),
    ];
    assert_eq!(extents, expected.map(Ok));
}

/// A table of s390x that has the second and third quarter of its entries, and begins within the last 12 KiB of memory.
#[test]
fn entries_that_a_table_does_not_have_are_no_items() {
    let mut bytes = vec![0; 0x8000];
    let mut put = |at: usize, entry: u64| bytes[at..at + 8].copy_from_slice(&entry.to_be_bytes());
    for entry in 0..2048 {
        put(entry * 8, 0x24);
    }
    put(5 * 8, 0x5000 | 1 << 6 | 1 << 2 | 2);
    for entry in 512..1536 {
        put(0x5000 + entry * 8, (entry as u64) << 20 | 0x400);
    }
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    let walker = Walker::new(S390x::region_third(), PhysAddr::new(0));
    let base = 5 << 31;
    for memory in [&memory as &dyn PhysMemory, &Unlent(&memory)] {
        let items: Vec<_> = walker.extents(memory, everything()).collect();
        let [Ok(extent)] = items[..] else {
            panic!("{items:?}");
        };
        assert_eq!(extent.virt.as_u64(), base + (512 << 20));
        assert_eq!((extent.phys.as_u64(), extent.size), (512 << 20, 1024 << 20));
        // From within the part that is not there.
        let from = VirtAddr::new(base + (100 << 20) + 5);
        let part: Vec<_> = walker
            .extents(memory, from..=VirtAddr::new(u64::MAX))
            .collect();
        assert_eq!(part, items);
    }
    for (index, at) in [(511, 0x5ff8), (1536, 0x8000)] {
        let fault = walker
            .translate(&memory, VirtAddr::new(base + (index << 20)))
            .unwrap_err();
        assert_eq!(
            (fault.kind, fault.entry_at),
            (FaultKind::OutOfTable, PhysAddr::new(at))
        );
        assert_eq!(fault.level, Level { number: 2, of: 3 });
    }
    let short = Walker::new(S390x::region_third().with_length(0), PhysAddr::new(0));
    let outside = VirtAddr::new(512 << 31);
    assert_eq!(
        short.translate(&memory, outside).unwrap_err().kind,
        FaultKind::OutOfTable
    );
}

/// Low bits of CR3 are none of the root; those of any other root are not rounded away.
#[test]
fn a_misaligned_root_is_a_fault_of_every_operation() {
    let memory = Region::try_new(PhysAddr::new(0), [0; 0x2000]).unwrap();
    for mode in model::modes() {
        let walker = mode.walker.with_root(PhysAddr::new(0x1008));
        let x86 = matches!(mode.rules, Rules::X86_64 | Rules::X86 | Rules::Pae);
        if x86 {
            assert_eq!(walker.root(), PhysAddr::new(0x1000));
            assert!(walker.extents(&memory, everything()).next().is_none());
            continue;
        }
        let virt = address(&mode, &(vec![0; 5], 0));
        let fault = walker.translate(&memory, virt).unwrap_err();
        assert!(
            matches!(fault.kind, FaultKind::MisalignedRoot { .. }),
            "{fault}"
        );
        assert_eq!((fault.virt, fault.entry_at), (virt, PhysAddr::new(0x1008)));
        assert_eq!(walker.walk(&memory, virt).collect::<Vec<_>>(), [Err(fault)]);
        assert_eq!(walker.cursor(&memory).translate(virt), Err(fault));
        walker.translate_many(&memory, &[virt], |_, found| assert_eq!(found, Err(fault)));
        let listed: Vec<_> = walker
            .extents(&memory, virt..=VirtAddr::new(u64::MAX))
            .collect();
        assert_eq!(listed, [Err(fault)]);
        let frames = PhysRange::with_size(PhysAddr::new(0), 1).unwrap();
        assert_eq!(walker.reverse(&memory, virt..=virt, frames).count(), 1);
        let nothing = VirtAddr::new(1)..=VirtAddr::new(0);
        assert_eq!(walker.extents(&memory, nothing).count(), 0);
    }
}

/// Four tables, each of whose entries leads to the next: 512^3 ways to the last one.
fn a_thousand_ways(last: u64) -> Region<Vec<u8>> {
    let mut bytes = vec![0; 0x4000];
    for (at, entry) in bytes.chunks_exact_mut(8).enumerate() {
        let next = (at as u64 >> 9) + 1;
        let value = if next < 4 { next << 12 | 7 } else { last };
        entry.copy_from_slice(&value.to_le_bytes());
    }
    Region::try_new(PhysAddr::new(0), bytes).unwrap()
}

/// Nothing to list, and still an end.
#[test]
fn who_sets_no_budget_has_one() {
    let memory = a_thousand_ways(0);
    let items: Vec<_> = walker(false).extents(&memory, everything()).collect();
    let [Err(fault)] = items[..] else {
        panic!("{items:?}");
    };
    assert_eq!(fault.kind, FaultKind::Budget);
    // Not of level 1 were the only one of level 3, and one of level 2 for each 512.
    let above = 1 + DEFAULT_BUDGET.div_ceil(513);
    assert_eq!(fault.virt.as_u64() >> 21, DEFAULT_BUDGET - above);
    // What the documentation says of tables like these, in the last of which every entry is an item.
    const { assert!((DEFAULT_BUDGET + 1) * 512 < 34_000_000) };

    // Each table of level 1 that was entered maps 512 pages to one.
    let memory = a_thousand_ways(7);
    let extents = walker(false).extents(&memory, everything());
    let items: Vec<_> = extents.with_budget(100).collect();
    assert_eq!(items.len(), 98 * 512 + 1);
    assert_eq!(items.last().unwrap().unwrap_err().virt.as_u64(), 98 << 21);
}

#[test]
fn a_lost_table_is_one_fault_and_the_listing_goes_on() {
    let mut bytes = vec![0; 0x4000];
    let mut put = |at: usize, entry: u64| bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    put(0x0000, 0x1007);
    put(0x1000, 0x2007);
    put(0x2000, 0x9007); // not in memory
    put(0x2008, 0x3007);
    put(0x3008, 0x5003);
    put(0x3010, 0x6003);
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    let mut extents = walker(false).extents(&memory, everything());
    let fault = extents.next().unwrap().unwrap_err();
    assert_eq!(
        (fault.virt, fault.entry_at),
        (VirtAddr::new(0), PhysAddr::new(0x9000))
    );
    assert_eq!(fault.kind, FaultKind::Missing(Absence::NotRam));
    let extent = extents.next().unwrap().unwrap();
    assert_eq!(
        (extent.virt.as_u64(), extent.phys.as_u64()),
        (0x20_1000, 0x5000)
    );
    assert_eq!((extent.size, extent.flags), (0x2000, Flags::RW));
    assert_eq!(extents.next(), None);
    assert_eq!(extents.next(), None);
}

/// Neighbours in different tables are joined as neighbours in one table are.
#[test]
fn extents_join_across_tables() {
    let joined = |second_table: u64, second: u64| {
        let mut bytes = vec![0; 0x5000];
        let mut put =
            |at: usize, entry: u64| bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
        put(0x0000, 0x1007);
        put(0x1000, 0x2007);
        put(0x2000, 0x3007);
        put(0x2008, second_table);
        put(0x3ff8, 0x1f_f007);
        put(0x4000, second);
        let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
        walker(false).extents(&memory, everything()).count() == 1
    };
    assert!(joined(0x4007, 0x20_0007));
    assert!(!joined(0x4007, 0x20_1007), "other memory");
    assert!(!joined(0x4007, 0x20_0003), "other flags");
    assert!(!joined(0x4003, 0x20_0007), "other rights");
    assert!(!joined(0x20_0087, 0), "another size");
}

#[test]
fn an_empty_range_and_one_in_the_hole_list_nothing() {
    let memory = a_thousand_ways(7);
    let list = |from, to| {
        walker(false)
            .extents(&memory, VirtAddr::new(from)..=VirtAddr::new(to))
            .count()
    };
    assert_eq!(list(1, 0), 0);
    assert_eq!(list(0x8000_0000_0000, 0xffff_7fff_ffff_ffff), 0);
    // One byte on either side of the hole.
    assert_eq!(list(0x7fff_ffff_ffff, 0xffff_8000_0000_0000), 2);
    assert_eq!(list(u64::MAX, u64::MAX), 1);
}
