//! Broken compressed dumps: an error with an offset, or pages that say why they are not there; never a panic, and
//! no work or memory by a number in the file.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{fs, path::PathBuf};

use physmem::{Absence, PageShift, PhysMemory, runs};
use proptest::prelude::*;
use vmcore_format::{Dump, Error};

fn bytes(name: &str) -> Vec<u8> {
    let forms = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/forms");
    fs::read(forms.join(name)).unwrap()
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn refused(bytes: &[u8]) -> String {
    Dump::open(bytes).unwrap_err().to_string()
}

/// The beginning of `lzo`, with a field changed.
fn with(at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes("lzo");
    set(&mut bytes, at, value);
    bytes
}

/// makedumpfile 1.7.2 frees twice on this one, after an allocation that fails.
#[test]
fn more_frames_than_the_bitmaps_have_bits() {
    assert_eq!(
        refused(&with(0x1060, &0x7fff_ffff_ffff_ffff_u64.to_le_bytes())),
        "offset 0x1060: max_mapnr is 0x7fffffffffffffff, allowed: at most the bits of bitmap_blocks, \
         less than 2^64 / block_size"
    );
    let found = refused(&with(0x1064, &[1, 0x10, 0, 0]));
    assert!(
        found.starts_with("offset 0x1060: max_mapnr is 0x100100013fda,"),
        "{found}"
    );
    let found = refused(&with(440, &[0xff; 4]));
    assert!(
        found.starts_with("offset 0x1b8: max_mapnr is 0xffffffff,"),
        "{found}"
    );
}

/// libkdumpfile 0.5 dies of SIGBUS on this one.
#[test]
fn a_descriptor_that_points_past_the_end_of_the_file() {
    let bytes = with(0x9000, &0x7_ffff_fff0_u64.to_le_bytes());
    let dump = Dump::open(&bytes[..]).unwrap();
    let first = runs(&dump.reader()).next().unwrap();
    let error = dump
        .reader()
        .read(first.start(), &mut [0; 4096])
        .unwrap_err();
    assert_eq!((error.at, error.why), (first.start(), Absence::Lost));
    assert_eq!(dump.kdump().unwrap().census().unwrap().lost, 1);
    // Which is not told by the bitmaps.
    assert_eq!(dump.byte_counts().lost, 0);
}

/// crash 8.0.2 dies of SIGSEGV on these.
#[test]
fn notes_and_eraseinfo_of_impossible_sizes() {
    for size in [0x7fff_ffff_ffff_ffff_u64, u64::MAX] {
        let bytes = with(0x1038, &size.to_le_bytes()); // size_note
        let dump = Dump::open(&bytes[..]).unwrap();
        let error = dump.notes().next().unwrap().unwrap_err();
        assert!(
            matches!(error, Error::Truncated { what: "notes", needed, .. } if needed == size),
            "{error}"
        );
        assert_eq!(dump.notes().count(), 1, "an error ends the list");
        // Found by the header.
        assert!(dump.vmcoreinfo().unwrap().is_some());
        let memory = dump.reader();
        let first = runs(&memory).next().unwrap();
        memory.read(first.start(), &mut [0; 4096]).unwrap();
    }
    for offset in [0x7fff_ffff_ffff_ffff_u64, u64::MAX] {
        for size in [1, 0x7fff_ffff_ffff_ffff, u64::MAX] {
            let mut bytes = with(0x1040, &offset.to_le_bytes()); // offset_eraseinfo
            set(&mut bytes, 0x1048, &size.to_le_bytes());
            let dump = Dump::open(&bytes[..]).unwrap();
            let error = dump.eraseinfo().next().unwrap().unwrap_err();
            assert!(
                matches!(error, Error::Truncated { what: "ERASEINFO", needed, .. } if needed == size),
                "{error}"
            );
            let found = dump.check();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].error, error);
        }
    }

    let bytes = with(0x1020, &[0xff; 16]); // VMCOREINFO
    let dump = Dump::open(&bytes[..]).unwrap();
    // A note has it, too.
    assert!(dump.vmcoreinfo().unwrap().is_some());
}

#[test]
fn dimensions_that_do_not_exist() {
    let cases: [(usize, &[u8], &str); 6] = [
        (
            8,
            &[0xff; 4],
            "offset 0x8: header_version is 0xffffffff, allowed: 0 to 65535",
        ),
        (
            428,
            &[0; 4],
            "offset 0x1ac: block_size is 0x0, allowed: a power of two from 4096 to 1048576",
        ),
        (
            428,
            &[0xff; 4],
            "offset 0x1ac: block_size is 0xffffffff, allowed: a power of two from 4096 to 1048576",
        ),
        (
            428,
            &[0, 0x18, 0, 0],
            "offset 0x1ac: block_size is 0x1800, allowed: a power of two from 4096 to 1048576",
        ),
        (
            432,
            &[0xff, 0xff, 0xff, 0x7f],
            "offset 0x1000: sub header of a compressed dump needs 0x7fffffff000 bytes, 0x19a68 are there",
        ),
        (
            436,
            &[0xff, 0xff, 0xff, 0x7f],
            "offset 0x40000002000: page bitmap needs 0x27fc bytes, 0x0 are there",
        ),
    ];
    for (at, value, expected) in cases {
        assert_eq!(refused(&with(at, value)), expected);
    }
    assert_eq!(
        refused(b"KDUMP   "),
        "offset 0x0: header of a compressed dump needs 0x1000 bytes, 0x8 are there"
    );
}

#[test]
fn a_part_that_ends_before_it_begins() {
    let mut bytes = with(0x100c, &[1, 0, 0, 0]); // split
    set(&mut bytes, 0x1050, &10_u64.to_le_bytes());
    set(&mut bytes, 0x1058, &9_u64.to_le_bytes());
    assert_eq!(
        refused(&bytes),
        "offset 0x1058: end_pfn of a split dump is 0x9, allowed: from start_pfn to max_mapnr"
    );
    set(&mut bytes, 0x1058, &81_883_u64.to_le_bytes());
    assert!(Dump::open(&bytes[..]).is_err());
    set(&mut bytes, 0x1058, &81_882_u64.to_le_bytes());
    assert!(Dump::open(&bytes[..]).is_ok());
}

#[test]
fn damage_is_of_the_page_and_of_no_other() {
    let sound = bytes("lzo");
    let dump = Dump::open(&sound[..]).unwrap();
    let kdump = dump.kdump().unwrap();
    let pages: Vec<_> = runs(&dump.reader())
        .flat_map(|run| {
            (0..run.size() / 4096).map(move |page| run.start().checked_add(page * 4096).unwrap())
        })
        .collect();
    let number = pages
        .iter()
        .position(|at| kdump.method(*at).unwrap().feature().is_some())
        .unwrap();
    let desc = 0x9000 + number * 24;
    let at = usize::try_from(u64::from_le_bytes(
        sound[desc..desc + 8].try_into().unwrap(),
    ))
    .unwrap();
    let damages: [(usize, &[u8]); 4] = [
        (at, &[0xff; 16]),                    // the data
        (desc + 8, &[1, 0, 0, 0]),            // a size that is too small
        (desc + 8, &[1, 0x10, 0, 0]),         // one larger than a page
        (desc, &[0x10, 0, 0, 0, 0, 0, 0, 0]), // an offset among the headers
    ];
    for (at, value) in damages {
        let mut bytes = sound.clone();
        set(&mut bytes, at, value);
        let dump = Dump::open(&bytes[..]).unwrap();
        let memory = dump.reader();
        for (index, page) in pages.iter().enumerate() {
            let read = memory
                .read(*page, &mut [0; 4096])
                .map_err(|error| error.why);
            let expected = if index == number {
                Err(Absence::Damaged)
            } else {
                Ok(())
            };
            assert_eq!(read, expected, "page {index}, {at:#x}");
        }
    }
}

#[test]
fn every_cut_is_an_error_or_loses_pages() {
    let sound = bytes("lzo");
    let counts = |bytes: &[u8]| {
        let dump = Dump::open(bytes).ok()?;
        let census = dump.kdump().unwrap().census().unwrap();
        let by_bitmaps = dump.page_counts(PageShift::SIZE_4K);
        assert_eq!(census.present + census.lost, 48);
        assert!(by_bitmaps.lost <= census.lost);
        Some(census.present)
    };
    let mut before = Some(48);
    for len in (0..sound.len()).rev().step_by(53) {
        let now = counts(&sound[..len]);
        assert!(now <= before, "{len:#x}");
        before = now;
    }
    assert_eq!(before, None);
    // In the middle of the descriptors: those that are whole still lead past the end.
    let dump = Dump::open(&sound[..0x9000 + 10 * 24 + 5]).unwrap();
    assert_eq!(dump.page_counts(PageShift::SIZE_4K).lost, 38);
}

fn read_all(bytes: &[u8]) {
    let Ok(dump) = Dump::open(bytes) else { return };
    let memory = dump.reader();
    let mut described = 0;
    for (range, absence) in dump.ranges() {
        described += range.size();
        let read = memory.read(range.start(), &mut [0; 64]);
        match (absence, read) {
            (Some(why), read) => assert_eq!(read.unwrap_err().why, why),
            (None, Ok(())) => {}
            (None, Err(error)) => assert_eq!(error.at, range.start()),
        }
    }
    // A bit of a bitmap stands for a block, of 1 MiB at most.
    assert!(described >> 20 <= bytes.len() as u64 * 8);
    assert!(dump.notes().count() <= bytes.len() / 12 + 1);
    let _ = dump.vmcoreinfo();
    let census = dump.kdump().map(|kdump| kdump.census().unwrap());
    if let Some(census) = census {
        let blocks = dump.byte_counts().present >> census.block.as_u8();
        assert!(census.present + census.damaged <= blocks);
    }
}

proptest! {
    /// One to three fields or bytes of the headers, bitmaps and descriptors.
    #[test]
    fn mutated_headers(
        name in prop::sample::select(vec!["lzo", "be32", "le32", "arm32", "mixed", "lzo.part1", "lost"]),
        changes in prop::collection::vec((0..0x1200_usize, prop::sample::select(vec![1, 4, 8_usize]), any::<u64>()), 1..4),
    ) {
        let mut bytes = bytes(name);
        for (at, len, value) in changes {
            // The header, the sub header and the descriptors are where it is interesting.
            let at = match at {
                0..0x100 => at + 400,
                0x100..0x200 => at + 0xf00,
                0x200.. => at + 0x8e00,
            };
            let value = if value % 3 == 0 { u64::MAX } else { value };
            set(&mut bytes, at, &value.to_le_bytes()[..len]);
        }
        read_all(&bytes);
    }
}

/// A flattened file is as long as a number in it says: nothing is allocated by that.
#[test]
fn a_flattened_file_that_says_it_is_huge() {
    use vmcore_format::flattened::{header, record_header};
    let lzo = bytes("lzo");
    let stream = |changes: &[(usize, &[u8])], sound: &[u8]| {
        let mut start = sound[..0x9480].to_vec();
        for (at, value) in changes {
            set(&mut start, *at, value);
        }
        let mut stream = header().to_vec();
        stream.extend(record_header(0, start.len()).unwrap());
        stream.extend(start);
        stream.extend(record_header(1 << 60, 1).unwrap());
        stream.push(0);
        stream.extend([0xff; 16]);
        stream
    };
    let huge = 1_u64 << 48;
    let changes: [(usize, &[u8]); 2] = [(436, &[0xff; 4]), (0x1060, &(huge - 1).to_le_bytes())];
    let found = refused(&stream(&changes[..], &lzo));
    assert!(found.contains("bitmap"), "{found}");
    // A program header table of 2^32 - 1 entries, in a hole.
    let mut elf = bytes("small.elf");
    set(&mut elf, 0x38, &[0xff; 2]); // e_phnum
    let section = elf.len() as u64;
    assert!(section > 0x9480);
    set(&mut elf, 0x28, &0x200_u64.to_le_bytes()); // e_shoff
    set(&mut elf, 0x3a, &[64, 0, 1, 0]); // e_shentsize, e_shnum
    set(&mut elf, 0x20, &0x10_0000_u64.to_le_bytes()); // e_phoff
    set(&mut elf, 0x200, &[0; 64]);
    set(&mut elf, 0x200 + 44, &[0xff; 4]); // sh_info
    let found = refused(&stream(&[], &elf));
    assert!(found.contains("program header table"), "{found}");
}
