//! Memory maps.

use e820::{
    Entry, Error, Kind, RawEntry, RawMap,
    text::dmesg::LogEntries,
    wire::boot_params::{BootParams, MAX_ENTRIES, SIZE, Table},
};

/// A log: each line is read or counted, and what was read prints and is read again.
pub fn dmesg(data: &[u8]) {
    let mut log = LogEntries::new(data);
    let mut found = Vec::new();
    let mut error = None;
    for entry in log.by_ref() {
        match entry {
            Ok(entry) => found.push(entry),
            Err(e) => error = Some(e),
        }
    }
    assert_eq!(log.next(), None);
    let lines = data.split_inclusive(|&b| b == b'\n').count() as u64;
    match error {
        None => assert_eq!(log.skipped() + found.len() as u64, lines),
        Some(e) => assert!(e.to_string().starts_with("line "), "{e}"),
    }
    assert!(found.is_sorted_by(|a, b| a.line < b.line && a.map <= b.map));

    for map in found.chunk_by(|a, b| a.map == b.map) {
        let who = map[0].who;
        assert!(map.iter().all(|found| found.who == who));
        let entries: RawMap<Vec<RawEntry>> = map.iter().map(|found| found.entry).collect();
        check(&entries);
        let printed = entries.log_lines(who).to_string();
        let again: Vec<_> = LogEntries::new(printed.as_bytes())
            .map(Result::unwrap)
            .collect();
        assert!(again.iter().all(|found| found.who == who && found.map == 0));
        assert!(
            again
                .iter()
                .map(|found| found.entry)
                .eq(entries.entries().iter().copied())
        );
    }
}

/// A zero page: what is parsed is emitted in the same place.
pub fn boot_params(data: &[u8]) {
    let table = match BootParams::parse(data) {
        Ok(table) => table,
        Err(Error::Truncated { .. }) => return assert!(data.len() < SIZE),
        Err(e) => return assert_eq!(e.to_string().find("offset 0x1e8: "), Some(0)),
    };
    let entries: Vec<_> = table.entries().collect();
    assert!(entries.len() <= MAX_ENTRIES);
    check(&RawMap::new(&entries[..]));

    let mut page = data.to_vec();
    assert_eq!(Table::try_new(&entries).unwrap().emit(&mut page), Ok(SIZE));
    let used = 0x2d0 + entries.len() * 20;
    assert_eq!(page[..used], data[..used]);
    assert_eq!(page[0xcd0..], data[0xcd0..]);
    assert!(BootParams::parse(&page).unwrap().entries().eq(entries));
}

/// Laws of every map.
fn check<S: AsRef<[RawEntry]>>(map: &RawMap<S>) {
    let totals = map.totals();
    let sum: u128 = map
        .entries()
        .iter()
        .map(|entry| u128::from(entry.size))
        .sum();
    assert_eq!(totals.values().sum::<u128>(), sum);
    let overlaps = map.overlaps();
    assert_eq!(overlaps.len(), map.entries().len());
    assert_ne!(overlaps.iter().filter(|&&overlap| overlap).count(), 1);
    for &entry in map.entries() {
        assert_eq!(Kind::from_word(&entry.kind.to_string()), Some(entry.kind));
        assert!(totals.contains_key(&entry.kind));
        if let Ok(checked) = Entry::try_from(entry) {
            assert_eq!(entry.last(), Some(checked.range.last().as_u64()));
            assert_eq!(RawEntry::from(checked), entry);
        }
    }
}
