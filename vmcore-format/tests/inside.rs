//! What is inside a real dump, against what makedumpfile said of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fmt::Write, fs, path::PathBuf};

use vmcore_format::{
    Dump,
    kernel::{Virtual, printk},
};

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(testdata(name)).unwrap()
}

#[test]
fn the_log_is_what_makedumpfile_prints() {
    let file = fs::read(testdata("kdump-inside.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (info, memory) = (dump.vmcoreinfo().unwrap().unwrap(), dump.reader());
    let virt = Virtual::of(&dump, &memory).unwrap();
    let mut ours = String::new();
    let mut seq = 0;
    for record in printk::records(&info, virt).unwrap() {
        let record = record.unwrap();
        assert_eq!(record.seq, seq);
        seq += 1;
        writeln!(ours, "{record}").unwrap();
    }
    assert_eq!(seq, 403);
    assert!(ours == text("kdump-inside.dmesg.txt"));
}

#[test]
fn a_dump_without_its_log_says_what_is_missing() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (info, memory) = (dump.vmcoreinfo().unwrap().unwrap(), dump.reader());
    let virt = Virtual::of(&dump, &memory).unwrap();
    let error = printk::records(&info, virt).unwrap_err();
    assert_eq!(
        error.to_string(),
        "virtual address 0xffffffffa82622c0 is mapped: physical address 0x110622c0: not RAM"
    );
}
