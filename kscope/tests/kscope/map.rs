//! `kscope map`: what was found, in real logs and zero pages.

use serde_json::json;

use crate::support::{Directory, kscope, kscope_with, workspace};

const SEED: &str = "testdata/seed-map.dmesg.txt";

#[test]
fn the_seed_map_has_nine_entries_and_201310208_usable_bytes() {
    let text = kscope(&["map", SEED]).good();
    assert!(
        text.contains("0x9fc00            0x9ffff                 1024  reserved\n"),
        "{text}"
    );
    assert!(
        text.contains("191.98 MiB          201310208  usable\n"),
        "{text}"
    );

    let outcome = kscope(&["map", SEED, "--json"]);
    let map = outcome.json();
    assert_eq!(map["source"], SEED);
    assert_eq!(map["form"], "dmesg");
    assert_eq!(map["who"], "BIOS-e820");
    assert_eq!(map["entries"].as_array().unwrap().len(), 9);
    assert_eq!(
        map["totals"],
        json!({ "usable": 201_310_208, "reserved": 480_256 })
    );
    assert_eq!(
        map["entries"][1],
        json!({
            "start": "0x1000", "last": "0x9fbff", "size": 650_240, "kind": "usable", "type": 1,
            "overlaps": false, "odd": null,
        })
    );
}

#[test]
fn a_zero_page_and_its_kernels_log_say_the_same() {
    let samples = workspace().join("e820/testdata");
    let mut pages = 0;
    for file in std::fs::read_dir(samples).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(guest) = name.strip_suffix(".boot_params.bin") else {
            continue;
        };
        let page = kscope(&["map", "--json", &format!("e820/testdata/{name}")]).json();
        let log = kscope(&["map", "--json", &format!("e820/testdata/{guest}.dmesg.txt")]).json();
        assert_eq!(page["entries"], log["entries"], "{guest}");
        assert_eq!(page["totals"], log["totals"], "{guest}");
        assert_eq!(
            (&page["form"], &page["who"]),
            (&json!("boot-params"), &json!(null))
        );
        pages += 1;
    }
    assert!(pages >= 3);
}

#[test]
fn other_maps_and_other_lines_are_named_and_can_be_asked_for() {
    let log = "e820/testdata/seabios-512M-memmap-exact.dmesg.txt";
    let firmware = kscope(&["map", log]);
    assert_eq!(firmware.status, 0);
    let left_out = format!("kscope: {log}: left out: map `user`, lines ");
    assert!(
        firmware.stderr.starts_with(&left_out),
        "{}",
        firmware.stderr
    );
    let last = firmware.stderr.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("kscope: {log}: left out: lines of no map: ")),
        "{last}"
    );

    let user = kscope(&["map", log, "--who", "user", "--json"]);
    assert!(
        user.stderr.contains("left out: map `BIOS-e820`, lines "),
        "{}",
        user.stderr
    );
    let user = user.json();
    assert_eq!(user["who"], "user");
    assert_eq!(user["totals"]["persistent (type 12)"], 0x10_0000);

    let modified = kscope(&["map", log, "--who", "modified"]);
    assert_eq!((modified.status, modified.stdout.as_str()), (1, ""));
    let last = modified.stderr.lines().last().unwrap();
    assert_eq!(
        last,
        format!("kscope: {log}: no map of `modified` in this log")
    );
}

#[test]
fn extended_also_finds_what_newer_kernels_call_reserve_setup_data() {
    let log = "e820/testdata/ovmf-512M.dmesg.txt";
    let map = kscope(&["map", log, "--who", "extended", "--json"]).json();
    assert_eq!(map["who"], "reserve setup_data");
    assert_eq!(map["entries"].as_array().unwrap().len(), 17);
}

#[test]
fn odd_entries_are_shown_in_their_order_and_marked() {
    let mut page = vec![0; 4096];
    page[0x1e8] = 4;
    // The boot flag, which marks a zero page whatever its entries are.
    page[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    let entries: [(u64, u64, u32); 4] = [
        (0x2000, 0x1000, 1),
        (0x0, 0x2800, 2),
        (0x5000, 0, 3),
        (u64::MAX, 2, 99),
    ];
    for (slot, (addr, size, kind)) in page[0x2d0..].chunks_mut(20).zip(entries) {
        slot[..8].copy_from_slice(&addr.to_le_bytes());
        slot[8..16].copy_from_slice(&size.to_le_bytes());
        slot[16..].copy_from_slice(&kind.to_le_bytes());
    }
    let text = kscope_with(&["map", "-"], &page).good();
    let marks: Vec<_> = text
        .lines()
        .skip(1)
        .take(4)
        .map(|line| line.split_once("  # "))
        .collect();
    assert_eq!(marks[0].unwrap().1, "overlaps another entry");
    assert_eq!(marks[1].unwrap().1, "overlaps another entry");
    assert_eq!(
        marks[2].unwrap().1,
        "range 0x5000..0x5000 is empty or reversed"
    );
    assert!(
        marks[3]
            .unwrap()
            .1
            .contains("passes the end of the address space")
    );

    let map = kscope_with(&["map", "-", "--json"], &page).json();
    assert_eq!(map["entries"][0]["overlaps"], true);
    assert_eq!(map["entries"][2]["last"], json!(null));
    assert_eq!(map["entries"][3]["kind"], "type 99");
    assert_eq!(map["totals"]["type 99"], 2);
}

#[test]
fn the_form_can_be_forced() {
    let directory = Directory::new();
    let text = std::fs::read(workspace().join(SEED)).unwrap();
    kscope(&["map", SEED, "--from", "dmesg"]).good();
    kscope(&["map", SEED, "--from", "boot-params"]).failed(
        1,
        &format!(
            "{SEED}: offset 0x0: boot_params needs 0x1000 bytes, {:#x} are there",
            text.len()
        ),
    );

    // A log of exactly a page is still a log.
    let mut log = text;
    log.resize(4096, b'\n');
    let log = directory.write("log", &log);
    assert_eq!(kscope(&["map", &log, "--json"]).json()["form"], "dmesg");
    let page = "e820/testdata/seabios-6G.boot_params.bin";
    kscope(&["map", page, "--from", "dmesg"]).failed(
        1,
        &format!("{page}: no line of a memory map, as `BIOS-e820: [mem …] usable`"),
    );
    kscope(&["map", page, "--who", "user"]).failed(
        2,
        "--who chooses among the maps of a log; boot-params has one",
    );
}

#[test]
fn a_damaged_line_is_an_error_and_not_a_smaller_map() {
    let log = b"BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable\n\
        BIOS-e820: [mem 0x000000000009fc00-0x00000000000";
    let outcome = kscope_with(&["map", "-"], log);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
    assert!(
        outcome.stderr.starts_with("kscope: -: line 2, column "),
        "{}",
        outcome.stderr
    );
}
