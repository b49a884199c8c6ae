//! Maps that are calculated with, and what the command line makes of them.

use e820::{
    Direction, Entry, Error, Fixed, GapSearch, Kind, MemoryMap, MergePolicy, PlaceRequest,
    Placement, RawEntry, RawMap,
    crash::Kernel,
    text::{
        crashkernel::{self, Param, RangeSize, XenParam},
        elfcorehdr::ElfCoreHdr,
        memmap_param::{self, Action, Item, Items},
    },
};
use physmem::{PageShift, PhysAddr, PhysRange};

/// Entries of 20 bytes each, then changes to the map that they make: it stays a map, counts are right,
/// and what was taken out is out.
pub fn algebra(data: &[u8]) {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rfold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    let Some((&policy, data)) = data.split_first() else {
        return;
    };
    let policy = match policy % 3 {
        0 => MergePolicy::All,
        1 => MergePolicy::NotPram,
        _ => MergePolicy::NotPramNorSoftReserved,
    };
    let (entries, _) = data.as_chunks::<20>();
    let found: RawMap<Vec<_>> = entries
        .iter()
        .map(|entry| RawEntry {
            addr: number(&entry[..8]),
            size: number(&entry[8..16]),
            kind: Kind(number(&entry[16..]) as u32),
        })
        .collect();
    let Ok(map) = found.sanitize(policy) else {
        assert!(
            found
                .entries()
                .iter()
                .any(|entry| entry.addr.checked_add(entry.size).is_none())
        );
        return;
    };
    ascends(&map);
    assert!(map.entries().len() < 2 * found.entries().len().max(1));
    assert!(map.to_raw().sanitize(policy).unwrap() == map);
    let mut scratch = found.entries().to_vec();
    scratch.reverse();
    let (bounded, lost) =
        MemoryMap::sanitize_lossy(&mut scratch, Fixed::<3>::default(), policy).unwrap();
    assert_eq!(
        bounded.entries(),
        &map.entries()[..map.entries().len().min(3)]
    );
    assert_eq!(
        lost + bounded.entries().len() as u64,
        map.entries().len() as u64
    );

    for &raw in found.entries() {
        let Ok(Entry { range, kind }) = Entry::try_from(raw) else {
            continue;
        };
        assert_eq!(
            map.mapped_all(range, None),
            kind.0 != 0 || map.kind_of(range).is_some()
        );
        let covered = |map: &MemoryMap<Vec<Entry>>, only: Option<Kind>| -> u64 {
            let entries = map.entries().iter();
            let entries = entries.filter(|entry| only.is_none_or(|only| entry.kind == only));
            entries
                .filter_map(|entry| entry.range.intersection(range))
                .map(PhysRange::size)
                .sum()
        };

        let mut updated = map.clone();
        let bytes = updated.update(range, kind, Kind(99)).unwrap();
        assert_eq!(bytes, covered(&map, Some(kind)));
        ascends(&updated);
        assert_eq!(
            map.diff(&updated)
                .map(|piece| piece.range.size())
                .sum::<u64>(),
            match kind {
                Kind(99) => 0,
                _ => bytes,
            }
        );

        let mut removed = map.clone();
        assert_eq!(removed.remove(range, None).unwrap(), covered(&map, None));
        ascends(&removed);
        assert!(!removed.mapped_any(range, None));
        let mut clipped = map.clone();
        assert_eq!(
            clipped.clip(range),
            map.totals().values().sum::<u64>() - covered(&map, None)
        );
        assert_eq!(
            removed.insert(Entry {
                range,
                kind: Kind(98)
            }),
            Ok(())
        );
        ascends(&removed);

        let request = PlaceRequest {
            size: raw.size / 2,
            align: 1 << (raw.addr % 24),
            window: range,
            direction: if raw.addr % 2 == 0 {
                Direction::TopDown
            } else {
                Direction::BottomUp
            },
        };
        let busy = [range.whole_pages(PageShift::SIZE_4K).unwrap_or(range)];
        for (busy, placement) in [
            (&busy[..], Placement::Exact),
            (&[], Placement::KexecFileBefore6_8),
        ] {
            let Some(place) = map.find_place(kind, busy, request, placement) else {
                continue;
            };
            assert!(map.mapped_all(place, Some(kind)) && range.contains_range(place));
            assert_eq!(
                (place.start().as_u64() % request.align, place.size()),
                (0, request.size)
            );
            assert!(busy.iter().all(|busy| !busy.overlaps(place)));
        }
    }
    for search in [GapSearch::Ascending, GapSearch::Descending] {
        if let Some(gap) = map.pci_gap(search) {
            assert!(gap.size() >= 4 << 20 && gap.end().as_u64() <= 1 << 32);
            assert!(!map.mapped_any(gap, None));
        }
    }
}

fn ascends(map: &MemoryMap<Vec<Entry>>) {
    assert!(
        map.entries()
            .is_sorted_by(|a, b| a.range.end() <= b.range.start())
    );
}

/// A command line with `memmap=` and `mem=`: what is done prints as an item that does the same, and the
/// map that comes out is one.
pub fn memmap_param(data: &[u8]) {
    for Item { action, fault } in memmap_param::items(data) {
        if let Some(Error::BadLine { line, column, .. }) = fault {
            assert!(line == 1 && column <= data.len() as u64 + 1);
        }
        assert!(action.is_some() || fault.is_some());
        let Some(action) = action.filter(|&action| action != Action::Nothing) else {
            continue;
        };
        let printed = action.to_string();
        let again: Vec<_> = Items::new(printed.as_bytes(), 1).collect();
        assert_eq!(
            again,
            [Item {
                action: Some(action),
                fault: None
            }],
            "{printed}"
        );
    }
    let ram = RawEntry {
        addr: 0,
        size: 1 << 30,
        kind: Kind::RAM,
    };
    let rom = RawEntry {
        addr: 0xfffc_0000,
        size: 1 << 18,
        kind: Kind::RESERVED,
    };
    let firmware = RawMap::new([ram, rom])
        .sanitize(MergePolicy::default())
        .unwrap();
    match firmware.with_cmdline(data, MergePolicy::default()) {
        Ok(Some(map)) => ascends(&map),
        Ok(None) => assert!(memmap_param::items(data).all(|item| item.action.is_none())),
        Err(Error::BadLine { column, .. }) => {
            assert!(column == 2048 && data.len() as u64 >= column);
        }
        Err(error) => assert!(matches!(
            error,
            Error::BadEntry { .. } | Error::TooFew { .. }
        )),
    }
    if let Some(found) = ElfCoreHdr::find(data) {
        assert_eq!(ElfCoreHdr::parse(found.to_string().as_bytes()), Some(found));
    }
}

/// A value of `crashkernel=`, or a command line with some: values print as they are read, and what
/// is reserved lies in RAM, off what is busy.
pub fn crashkernel(data: &[u8]) {
    if let Ok(param) = Param::parse(data) {
        assert_eq!(
            numbers(Param::parse(param.to_string().as_bytes()).unwrap()),
            numbers(param)
        );
    }
    if let Ok(param) = XenParam::parse(data) {
        let printed = param.to_string();
        let again = XenParam::parse(printed.as_bytes()).unwrap();
        assert_eq!((again.to_string(), again.place), (printed, param.place));
    }

    let entry = |addr, size, kind| RawEntry { addr, size, kind };
    let found = [
        entry(0x1000, 0x9ec00, Kind::RAM),
        entry(1 << 20, 3 << 30, Kind::RAM),
        entry(1 << 32, 3 << 30, Kind::RAM),
    ];
    let map = RawMap::new(found).sanitize(MergePolicy::default()).unwrap();
    let busy = [PhysRange::with_size(PhysAddr::new(0xb000_0000), 64 << 20).unwrap()];
    let ram = map.total(Kind::RAM);
    for kernel in [Kernel::X86_64, Kernel::X86_64_BEFORE_6_6] {
        let Ok(Some(wanted)) = crashkernel::wanted(data, ram, &kernel) else {
            continue;
        };
        assert!(wanted.size > 0 && wanted.size < ram);
        let Ok(reserved) = map.reserve_crashkernel(&wanted, &busy, &kernel) else {
            continue;
        };
        assert_eq!(reserved.main.size(), wanted.size);
        assert!(wanted.at.is_none_or(|at| at == reserved.main.start()));
        for range in reserved.low.iter().chain([&reserved.main]) {
            assert!(map.mapped_all(*range, Some(Kind::RAM)) && !range.overlaps(busy[0]));
        }
        assert!(reserved.low.is_none_or(|low| low.end() <= kernel.low_end));
    }
}

/// What a value says, apart from how its numbers were written.
fn numbers(param: Param<'_>) -> (Vec<RangeSize>, String) {
    match param {
        Param::Ranges { ranges, at } => (ranges.collect(), format!("{at:?}")),
        other => (vec![], format!("{other:?}")),
    }
}
