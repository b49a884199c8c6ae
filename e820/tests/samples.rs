//! Logs and zero pages of real guests: what the log shows is what the zero page holds, to the byte.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use e820::{
    Entry, Form, Kind, RawEntry, RawMap,
    text::dmesg::{LogEntries, LogEntry, Who},
    wire::boot_params::{BootParams, Builder},
};

const GUESTS: [&str; 6] = [
    "kdump-capture",
    "ovmf-512M",
    "seabios-512M-hotplug",
    "seabios-512M-memmap-exact",
    "seabios-6G",
    "seabios-6G-crashkernel-high",
];

fn sample(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn log_entries(name: &str) -> Vec<LogEntry> {
    LogEntries::new(&sample(&format!("{name}.dmesg.txt")))
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The maps of a log in its order.
fn maps(name: &str) -> Vec<(Who, RawMap<Vec<RawEntry>>)> {
    log_entries(name)
        .chunk_by(|a, b| a.map == b.map)
        .map(|map| (map[0].who, map.iter().map(|found| found.entry).collect()))
        .collect()
}

#[test]
fn the_seed_map() {
    let maps = maps("seed-map");
    let [(Who::BiosE820, map)] = &maps[..] else {
        panic!("{maps:?}")
    };
    assert_eq!(map.entries().len(), 9);
    assert_eq!(map.total(Kind::RAM), 201_310_208);
    assert_eq!(
        map.totals(),
        BTreeMap::from([(Kind::RAM, 201_310_208), (Kind::RESERVED, 480_256)])
    );
    assert_eq!(map.overlaps(), [false; 9]);
}

#[test]
fn zero_pages_hold_what_the_logs_show() {
    for name in GUESTS {
        let page = sample(&format!("{name}.boot_params.bin"));
        let (who, firmware) = maps(name).swap_remove(0);
        assert_eq!(who, Who::BiosE820, "{name}");
        let table = BootParams::parse(&page).unwrap();
        assert_eq!(
            table.entries().collect::<Vec<_>>(),
            firmware.entries(),
            "{name}"
        );
        assert!(
            firmware
                .entries()
                .iter()
                .all(|&raw| Entry::try_from(raw).is_ok()),
            "{name}"
        );

        // And back: the table of the log's map in a page that had none.
        let mut emitted = page.clone();
        emitted[0x1e8] = 0;
        emitted[0x2d0..0xcd0].fill(0xff);
        Builder::try_new(firmware.entries())
            .unwrap()
            .emit(&mut emitted)
            .unwrap();
        assert!(emitted == page, "{name}");
    }
}

#[test]
fn maps_print_back_to_the_byte() {
    for name in GUESTS.into_iter().chain(["seed-map"]) {
        let log = String::from_utf8(sample(&format!("{name}.dmesg.txt"))).unwrap();
        // An independent look: the word, range and kind after the timestamp.
        let expected: String = log
            .lines()
            .map(|line| line.split_once("] ").unwrap().1)
            .filter(|text| text.contains(": [mem ") && text.contains("] "))
            .map(|text| format!("{text}\n"))
            .collect();
        let printed: String = maps(name)
            .iter()
            .map(|(who, map)| map.log_lines(*who).to_string())
            .collect();
        assert_eq!(printed, expected, "{name}");
    }
}

#[test]
fn every_map_of_a_log() {
    let found = |name| -> Vec<_> {
        maps(name)
            .iter()
            .map(|(who, map)| (*who, map.entries().len(), map.total(Kind::RAM)))
            .collect()
    };
    assert_eq!(found("seabios-6G"), [(Who::BiosE820, 8, 6_441_913_344)]);
    assert_eq!(
        found("seabios-512M-memmap-exact"),
        [(Who::BiosE820, 7, 536_333_312), (Who::User, 4, 315_228_160)]
    );
    assert_eq!(
        found("ovmf-512M"),
        [
            (Who::BiosE820, 15, 530_079_744),
            (Who::SetupData, 17, 530_079_744)
        ]
    );
    assert_eq!(
        found("kdump-capture"),
        [
            (Who::BiosE820, 9, 117_424_128),
            (Who::SetupData, 10, 117_424_128)
        ]
    );
}

#[test]
fn lines_are_counted() {
    let log = sample("seabios-512M-memmap-exact.dmesg.txt");
    let mut entries = LogEntries::new(&log);
    let lines: Vec<u64> = entries.by_ref().map(|found| found.unwrap().line).collect();
    assert_eq!(lines, [4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17]);
    assert_eq!(entries.skipped(), 80 - 11);
}

#[test]
fn a_log_with_two_boots_has_the_maps_of_both() {
    let log = [
        sample("seabios-6G.dmesg.txt"),
        sample("kdump-capture.dmesg.txt"),
    ]
    .concat();
    let entries: Vec<_> = LogEntries::new(&log).collect::<Result<_, _>>().unwrap();
    let firsts: Vec<_> = entries
        .chunk_by(|a, b| a.map == b.map)
        .map(|map| (map[0].map, map[0].who, map.len()))
        .collect();
    assert_eq!(
        firsts,
        [
            (0, Who::BiosE820, 8),
            (1, Who::BiosE820, 9),
            (2, Who::SetupData, 10)
        ]
    );
}

#[test]
fn a_log_cut_off_anywhere_is_read_or_refused() {
    let log = sample("seed-map.dmesg.txt");
    let whole: Vec<_> = LogEntries::new(&log).collect::<Result<_, _>>().unwrap();
    for len in 0..log.len() {
        let entries = LogEntries::new(&log[..len])
            .map_while(Result::ok)
            .collect::<Vec<_>>();
        assert_eq!(entries, whole[..entries.len()], "cut at {len}");
    }
}

#[test]
fn every_sample_is_told_by_its_bytes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut found = 0;
    for file in fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let form = match name.split_once('.').unwrap().1 {
            "iomem.txt" => Form::Iomem,
            "sysfs.txt" => Form::Sysfs,
            "boot_params.bin" => Form::BootParams,
            "dmesg.txt" | "first.dmesg.txt" | "second.dmesg.txt" => Form::Log,
            _ => continue,
        };
        assert_eq!(Form::of(&sample(&name)), Ok(form), "{name}");
        found += 1;
    }
    assert_eq!(found, 35);
}
