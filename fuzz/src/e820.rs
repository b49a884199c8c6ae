//! Memory maps.

mod map;

pub use self::map::{algebra, crashkernel, memmap_param};
use e820::{
    Entry, Error, Kind, RawEntry, RawMap,
    text::dmesg::{Form, LogEdit, LogEntries, LogEntry, LogItem, LogItems},
    wire::boot_params::{BootParams, Builder, MAX_ENTRIES, SIZE},
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
        for form in [Form::Before3_5, Form::From3_5, Form::From7_0] {
            let printed = entries.log_lines(who).form(form).to_string();
            let again: Vec<_> = LogEntries::new(printed.as_bytes())
                .map(Result::unwrap)
                .collect();
            assert!(
                again
                    .iter()
                    .all(|found| (found.who, found.form) == (who, form))
            );
            assert!(
                again
                    .iter()
                    .map(|found| found.entry)
                    .eq(entries.entries().iter().copied())
            );
        }
    }
    items(data, &found);
}

/// The items of a log: its entries, and edits that print and are read again.
fn items(data: &[u8], entries: &[LogEntry]) {
    let mut items = LogItems::new(data);
    let read: Vec<_> = items.by_ref().map_while(Result::ok).collect();
    assert_eq!(items.next(), None);
    let of_maps = read.iter().filter_map(|item| match item {
        LogItem::Entry(entry) => Some(*entry),
        _ => None,
    });
    // A damaged edit ends the items and not the entries.
    assert!(of_maps.zip(entries).all(|(item, entry)| item == *entry));
    for item in &read {
        let LogItem::Edit(edit) = item else { continue };
        let printed = edit.to_string();
        let again = LogItems::new(printed.as_bytes()).next();
        let expected = LogEdit { line: 1, ..*edit };
        assert_eq!(again, Some(Ok(LogItem::Edit(expected))), "{printed}");
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
    assert_eq!(
        Builder::try_new(&entries).unwrap().emit(&mut page),
        Ok(SIZE)
    );
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
