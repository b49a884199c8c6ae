//! Laws: what is printed is read again, what is emitted is parsed again, and no bytes cause a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use e820::{
    Kind, RawEntry, RawMap,
    text::dmesg::{LogEntries, Who},
    wire::boot_params::{BootParams, SIZE, Table},
};
use proptest::{collection::vec, prelude::*, sample::select};

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        select(&[1, 2, 3, 4, 5, 7, 12, 128, 0xefff_ffff][..]),
        any::<u32>()
    ]
    .prop_map(Kind)
}

fn entries() -> impl Strategy<Value = RawEntry> {
    // Small numbers meet each other, large ones the end of the address space.
    let number = prop_oneof![0..64_u64, any::<u64>(), u64::MAX - 64..=u64::MAX];
    (number.clone(), number, kinds()).prop_map(|(addr, size, kind)| RawEntry { addr, size, kind })
}

/// Entries that a range with an inclusive end can tell.
fn printable() -> impl Strategy<Value = RawEntry> {
    entries().prop_filter("wraps", |entry| {
        entry.last().is_some() || (entry.size == 0 && entry.addr > 0)
    })
}

/// Pieces of map lines between arbitrary bytes.
fn broken_logs() -> impl Strategy<Value = Vec<u8>> {
    let words = Who::ALL.iter().map(|who| who.as_str());
    let pieces: Vec<&str> = words
        .chain([
            ": ",
            "[mem ",
            "[gap ",
            "0x",
            "0000000000001000",
            "-",
            " - ",
            "] ",
            "usable",
            "type 9",
        ])
        .chain([
            "\n",
            "\r\n",
            " physical RAM map:",
            "[    0.000000] ",
            "ffffffffffffffff",
        ])
        .collect();
    let piece = prop_oneof![
        8 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_kind_is_read_from_its_word(kind in kinds()) {
        prop_assert_eq!(Kind::from_word(&kind.to_string()), Some(kind));
    }

    #[test]
    fn a_printed_map_is_read_again(
        map in vec(printable(), 0..20),
        who in select(Who::ALL),
        prefix in select(&["", "[    0.000000] ", "<6>", "Nov 12 10:00:00 host kernel: "][..]),
        end in select(&["\n", "\r\n"][..]),
    ) {
        let printed = RawMap::new(&map[..]).log_lines(who).to_string();
        let log: String = printed.lines().map(|line| format!("{prefix}{line}{end}")).collect();
        let mut found = LogEntries::new(log.as_bytes());
        let read: Vec<_> = found.by_ref().collect::<Result<_, _>>().unwrap();

        prop_assert!(read.iter().map(|found| found.entry).eq(map.iter().copied()));
        prop_assert!(read.iter().all(|found| found.who == who));
        prop_assert!(read.iter().map(|found| found.line).eq(1..=map.len() as u64));
        prop_assert_eq!(found.skipped(), 0);
    }

    #[test]
    fn any_log_is_read_or_refused(log in broken_logs()) {
        let mut entries = LogEntries::new(&log);
        let mut read = 0;
        for entry in entries.by_ref() {
            match entry {
                Ok(_) => read += 1,
                Err(error) => {
                    prop_assert!(error.to_string().starts_with("line "));
                    return Ok(());
                }
            }
        }
        let lines = log.split_inclusive(|&b| b == b'\n').count() as u64;
        prop_assert_eq!(entries.skipped() + read, lines);
    }

    #[test]
    fn a_table_comes_back_from_the_page(map in vec(entries(), 0..=128), filler: u8) {
        let mut page = [filler; SIZE];
        let table = Table::try_new(&map).unwrap();
        prop_assert_eq!(table.emit(&mut page), Ok(table.emitted_len()));
        prop_assert!(BootParams::parse(&page).unwrap().entries().eq(map.iter().copied()));
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn totals_and_overlaps_are_those_of_a_naive_look(map in vec(entries(), 0..20)) {
        let map = RawMap::new(map);
        let all: u128 = map.entries().iter().map(|entry| u128::from(entry.size)).sum();
        prop_assert_eq!(map.totals().values().sum::<u128>(), all);
        for (kind, total) in map.totals() {
            prop_assert_eq!(map.total(kind), total);
        }

        let bytes = |entry: &RawEntry| {
            let start = u128::from(entry.addr);
            (start, (start + u128::from(entry.size)).min(1 << 64))
        };
        let meet = |a: &RawEntry, b: &RawEntry| {
            let ((a, a_end), (b, b_end)) = (bytes(a), bytes(b));
            a.max(b) < a_end.min(b_end)
        };
        let naive: Vec<bool> = (0..map.entries().len())
            .map(|i| (0..map.entries().len()).any(|j| i != j && meet(&map.entries()[i], &map.entries()[j])))
            .collect();
        prop_assert_eq!(map.overlaps(), naive);
    }
}
