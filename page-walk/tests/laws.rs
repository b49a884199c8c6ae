//! Laws over random tables: every operation agrees with a naive model written from the manual.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::ops::RangeInclusive;

use page_walk::{
    DEFAULT_BUDGET, Entry, Extent, Fault, FaultKind, Mapping, Step, Walker, X86_64, x86_64::Flags,
};
use physmem::{Absence, MemError, PhysAddr, PhysMemory, PhysRange, Region, VirtAddr};
use proptest::prelude::*;

/// Frames that hold tables; the memory ends there.
const FRAMES: u64 = 6;
/// Entries that random tables fill and random addresses go through: both ends of both halves.
const SLOTS: [u64; 10] = [0, 1, 2, 3, 64, 255, 256, 257, 510, 511];

/// What the model makes of an address.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Mapped { phys: u64, shift: u8, flags: u64 },
    NotPresent,
    Reserved,
    Missing,
    NonCanonical,
}

/// The manual, read aloud: one level after the other, nothing shared with the crate.
fn model(memory: &[u8], levels: u32, virt: u64) -> Outcome {
    let top = 12 + 9 * levels;
    let sign = virt >> (top - 1);
    if sign != 0 && sign != u64::MAX >> (top - 1) {
        return Outcome::NonCanonical;
    }
    let (mut table, mut writable, mut user, mut no_execute) = (0, true, true, false);
    for level in (1..=levels).rev() {
        let shift = 12 + 9 * (level - 1);
        let at = usize::try_from(table + (virt >> shift & 511) * 8).unwrap_or(usize::MAX);
        let Some(bytes) = memory.get(at..).and_then(|rest| rest.get(..8)) else {
            return Outcome::Missing;
        };
        let entry = u64::from_le_bytes(bytes.try_into().unwrap());
        let bit = |n: u32| entry >> n & 1 == 1;
        if !bit(0) {
            return Outcome::NotPresent;
        }
        writable &= bit(1);
        user &= bit(2);
        no_execute |= bit(63);
        let address = entry & 0x000f_ffff_ffff_f000;
        let large = level > 1 && bit(7);
        if large && (level > 3 || (13..shift).any(bit)) {
            return Outcome::Reserved;
        }
        if large || level == 1 {
            let pat = if large { bit(12) } else { bit(7) };
            let kept = entry & 0x7ff0_0000_0000_0f78;
            let flags = kept
                | u64::from(writable) << 1
                | u64::from(user) << 2
                | u64::from(pat) << 7
                | u64::from(no_execute) << 63;
            let offset = virt % (1 << shift);
            let phys = (address >> shift << shift) + offset;
            return Outcome::Mapped {
                phys,
                shift: u8::try_from(shift).unwrap(),
                flags,
            };
        }
        table = address;
    }
    unreachable!("an entry of level 1 maps a page or is not present")
}

fn outcome(translated: Result<Mapping<Flags>, Fault>) -> Outcome {
    match translated {
        Ok(mapping) => Outcome::Mapped {
            phys: mapping.phys.as_u64(),
            shift: mapping.shift,
            flags: mapping.flags.bits(),
        },
        Err(fault) => match fault.kind {
            FaultKind::NotPresent { .. } => Outcome::NotPresent,
            FaultKind::Reserved { .. } => Outcome::Reserved,
            FaultKind::Missing(Absence::NotRam) => Outcome::Missing,
            FaultKind::NonCanonical => Outcome::NonCanonical,
            kind => panic!("{kind:?}"),
        },
    }
}

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

/// An entry: to a table or an absent frame, to a page of each size, and nonsense.
fn entry() -> impl Strategy<Value = u64> {
    let rights = prop_oneof![Just(7), Just(1), Just(3), Just(5), Just(1 << 63 | 7)];
    let far = 0..1_u64 << 40;
    prop_oneof![
        6 => (0..FRAMES + 2, rights.clone()).prop_map(|(frame, rights)| frame << 12 | rights),
        2 => (far.clone(), rights.clone()).prop_map(|(frame, rights)| frame << 12 | rights),
        2 => (far.clone(), rights.clone()).prop_map(|(frame, rights)| {
            (frame << 21 | 0x80 | rights) & !(1 << 52 | 1 << 53)
        }),
        2 => (far, rights).prop_map(|(frame, rights)| (frame << 30 | 0x1080) & !(0xfff << 52) | rights),
        1 => any::<u64>(),
        1 => any::<u64>().prop_map(|entry| entry & !1),
    ]
}

/// Tables: entries put somewhere, some of them followed by those for the next pages.
fn tables() -> impl Strategy<Value = Vec<u8>> {
    let put = (
        0..FRAMES,
        prop::sample::select(&SLOTS[..]),
        entry(),
        1..80_u64,
        12..31_u32,
    );
    (prop::collection::vec(put, 0..40), 0..4096_usize).prop_map(|(puts, cut)| {
        let mut memory = vec![0; usize::try_from(FRAMES << 12).unwrap()];
        for (frame, slot, entry, run, shift) in puts {
            // Most entries stand alone.
            let run = if run < 40 { 1 } else { run };
            let step = 1 << if shift < 24 { 12 } else { 21 };
            for i in 0..run.min(512 - slot) {
                let at = usize::try_from(frame << 12 | (slot + i) << 3).unwrap();
                let value = entry.wrapping_add(i * step);
                memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        memory.truncate(memory.len() - cut);
        memory
    })
}

/// An address: through the slots that tables fill, or any.
fn address() -> impl Strategy<Value = VirtAddr> {
    let slot = || prop::sample::select(&SLOTS[..]);
    let through = (
        prop::collection::vec(slot(), 5),
        0..1_u64 << 12,
        any::<bool>(),
    );
    prop_oneof![
        20 => through.prop_map(|(slots, offset, five)| {
            let address = slots.iter().fold(0, |address, slot| address << 9 | slot) << 12 | offset;
            // Extend the sign of the mode's top bit.
            let unused = if five { 7 } else { 16 };
            let (address, negative) = (address << unused, address << unused >> 63 == 1);
            let sign = if negative { !(u64::MAX >> unused) } else { 0 };
            VirtAddr::new(address >> unused | sign)
        }),
        1 => any::<u64>().prop_map(VirtAddr::new),
    ]
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

fn last(extent: &Extent<Flags>) -> u64 {
    extent.virt.as_u64() + (extent.size - 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn translate_and_walk_agree_with_the_manual(
        bytes in tables(),
        five: bool,
        addresses in prop::collection::vec(address(), 64),
    ) {
        let memory = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        for virt in addresses {
            let translated = walker(five).translate(&memory, virt);
            let expected = model(&bytes, if five { 5 } else { 4 }, virt.as_u64());
            prop_assert_eq!(outcome(translated), expected, "{}", virt);
            prop_assert_eq!(walker(five).translate(&Unlent(&memory), virt), translated);

            let walk: Vec<_> = walker(five).walk(&memory, virt).collect();
            let (end, way) = walk.split_last().unwrap();
            let is_table = |entry: &Result<Entry<Flags>, Fault>| {
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
    fn extents_are_what_translate_says(
        bytes in tables(),
        five: bool,
        addresses in prop::collection::vec(address(), 64),
    ) {
        let memory = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        let walker = walker(five);
        let budget = 2000;
        let items: Vec<_> = walker.extents(&memory, everything()).with_budget(budget).collect();
        let unlent: Vec<_> =
            walker.extents(&Unlent(&memory), everything()).with_budget(budget).collect();
        prop_assert_eq!(&items, &unlent);

        let mut extents = Vec::new();
        let mut faults = Vec::new();
        let mut known_until = u64::MAX;
        for item in items {
            match item {
                Ok(extent) => extents.push(extent),
                Err(fault) if fault.kind == FaultKind::Budget => known_until = fault.virt.as_u64(),
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
        for virt in addresses.into_iter().filter(|virt| virt.as_u64() < known_until) {
            let at = virt.as_u64();
            let listed = extents.iter().find(|extent| (extent.virt.as_u64()..=last(extent)).contains(&at));
            match walker.translate(&memory, virt) {
                Ok(_) => prop_assert!(listed.is_some(), "{} is mapped and not listed", virt),
                Err(fault) => {
                    prop_assert!(listed.is_none(), "{} is listed: {}", virt, fault);
                    // A missing or damaged entry is told, once for a stretch of the same table.
                    let told = faults.iter().any(|told| {
                        told.virt <= virt
                            && told.level == fault.level
                            && told.entry_at.as_u64() >> 12 == fault.entry_at.as_u64() >> 12
                    });
                    let silent = matches!(
                        fault.kind, FaultKind::NotPresent { .. } | FaultKind::NonCanonical
                    );
                    prop_assert!(told || silent, "{} is lost in silence", fault);
                }
            }
        }
    }

    #[test]
    fn a_part_of_the_listing_is_the_listing_of_the_part(
        bytes in tables(),
        five: bool,
        ends in (address(), address()),
    ) {
        let memory = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        let (from, to) = (ends.0.min(ends.1), ends.0.max(ends.1));
        let all = walker(five).extents(&memory, everything()).with_budget(2000);
        let items: Vec<_> = all.collect();
        prop_assume!(!items.iter().any(|item| matches!(item, Err(fault) if fault.kind == FaultKind::Budget)));
        let cut: Vec<_> = items
            .into_iter()
            .filter_map(Result::ok)
            .filter(|extent| extent.virt <= to && last(extent) >= from.as_u64())
            .map(|extent| {
                let virt = extent.virt.max(from);
                let skipped = virt.as_u64() - extent.virt.as_u64();
                Extent {
                    virt,
                    phys: extent.phys.checked_add(skipped).unwrap(),
                    size: last(&extent).min(to.as_u64()) - virt.as_u64() + 1,
                    ..extent
                }
            })
            .collect();
        let part: Vec<_> =
            walker(five).extents(&memory, from..=to).filter_map(Result::ok).collect();
        prop_assert_eq!(part, cut);
    }
}

/// Every entry of the only table leads to the table itself: 512^4 pages, of which nobody wants a list.
#[test]
fn a_table_of_itself_ends_with_the_budget() {
    let bytes: Vec<u8> = (0..512).flat_map(|_| 7_u64.to_le_bytes()).collect();
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    for five in [false, true] {
        let items: Vec<_> = walker(five)
            .extents(&memory, everything())
            .with_budget(100)
            .collect();
        let fault = items.last().unwrap().unwrap_err();
        assert_eq!(fault.kind, FaultKind::Budget);
        // Two or three tables lead down to the first of level 1; each of those maps 512 pages to one.
        assert_eq!(items.len(), (if five { 97 } else { 98 }) * 512 + 1);
        assert_eq!(fault.virt.as_u64(), (if five { 97 } else { 98 }) << 21);
    }
    let cut = walker(false)
        .extents(&memory, everything())
        .with_budget(0)
        .next();
    assert_eq!(cut.unwrap().unwrap_err().kind, FaultKind::Budget);
}

/// 512^3 ways to an empty table: nothing to list, and still an end.
#[test]
fn who_sets_no_budget_has_one() {
    let mut bytes = vec![0; 0x4000];
    for (at, entry) in bytes.chunks_exact_mut(8).take(3 * 512).enumerate() {
        let next = (at as u64 >> 9) + 1;
        entry.copy_from_slice(&(next << 12 | 7).to_le_bytes());
    }
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
    let items: Vec<_> = walker(false).extents(&memory, everything()).collect();
    let [Err(fault)] = items[..] else {
        panic!("{items:?}");
    };
    assert_eq!(fault.kind, FaultKind::Budget);
    // Not of level 1 were the only one of level 3, and one of level 2 for each 512.
    let above = 1 + DEFAULT_BUDGET.div_ceil(513);
    assert_eq!(fault.virt.as_u64() >> 21, DEFAULT_BUDGET - above);
    // What the documentation says of a table of itself, in which every entry is an item.
    const { assert!((DEFAULT_BUDGET + 1) * 512 < 34_000_000) };
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
    let bytes: Vec<u8> = (0..512).flat_map(|_| 7_u64.to_le_bytes()).collect();
    let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
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
