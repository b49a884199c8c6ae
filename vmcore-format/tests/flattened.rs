//! Flattened files, real and made up, against the file that they stand for.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{fs, ops::Range, path::Path};

use physmem::PhysMemory;
use proptest::prelude::*;
use vmcore_format::{Dump, Flattened, ReadAt, flattened, source::FileSource};

fn form(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/forms")
        .join(name)
}

fn read<S: ReadAt>(flattened: &Flattened<S>) -> Vec<u8> {
    let mut out = vec![0xaa; flattened.size() as usize];
    flattened.read_exact_at(0, &mut out).unwrap();
    out
}

/// `makedumpfile -F` writes what it writes without.
#[test]
fn real_ones_read_as_the_file_that_they_stand_for() {
    for name in ["lzo", "elf"] {
        let whole = fs::read(form(name)).unwrap();
        let file = fs::read(form(&format!("{name}.flat"))).unwrap();
        let flattened = Flattened::open(&file[..]).unwrap();
        assert_eq!(flattened.damage(), None);
        assert!(read(&flattened) == whole);

        let file = fs::File::open(form(&format!("{name}.flat"))).unwrap();
        let flattened = Flattened::open(FileSource::new(file).unwrap()).unwrap();
        assert!(read(&flattened) == whole);
    }
}

#[test]
fn a_dump_opens_inside() {
    let file = fs::read(form("elf.flat")).unwrap();
    let dump = Dump::open(Flattened::open(&file[..]).unwrap()).unwrap();
    let whole = fs::read(form("elf")).unwrap();
    let other = Dump::open(&whole[..]).unwrap();
    assert_eq!(dump.byte_counts(), other.byte_counts());
    let info = dump.vmcoreinfo().unwrap().unwrap();
    assert_eq!(info.os_release(), Ok(Some("6.1.0-56-cloud-amd64")));
}

/// A pipe that broke at once leaves such files.
#[test]
fn one_that_ends_before_a_dump_begins() {
    let file = fs::read(form("lzo.flat")).unwrap();
    for (len, expected) in [
        (
            40,
            "offset 0x1000: first record of a flattened dump needs 0x10 bytes, 0x0 are there",
        ),
        (
            4096,
            "offset 0x1000: first record of a flattened dump needs 0x10 bytes, 0x0 are there",
        ),
        (
            4100,
            "offset 0x1000: first record of a flattened dump needs 0x10 bytes, 0x4 are there",
        ),
        (
            4116,
            "offset 0x1010: record of a flattened dump needs 0x1d0 bytes, 0x4 are there",
        ),
    ] {
        let opened = Dump::open(&file[..len]).map(|_| ());
        assert_eq!(opened.unwrap_err().to_string(), expected);
        let opened = Dump::open_damaged(&file[..len]).map(|_| ());
        assert_eq!(opened.unwrap_err().to_string(), expected);
    }
}

/// libkdumpfile 0.5 dies of SIGSEGV on this one.
#[test]
fn a_first_record_at_minus_one() {
    let mut file = fs::read(form("lzo.flat")).unwrap();
    file[4096..4104].fill(0xff);
    let expected = "offset 0x1000: offset of a record is 0xffffffffffffffff, allowed: 0 to 2^63 - 1, or -1 beside a buf_size of -1";
    assert_eq!(Dump::open(&file[..]).unwrap_err().to_string(), expected);
    // Of what comes before it there is nothing.
    assert!(Dump::open_damaged(&file[..]).is_err());
    // The second record: what the first one wrote is there.
    let mut file = fs::read(form("lzo.flat")).unwrap();
    let size = u64::from_be_bytes(file[4104..4112].try_into().unwrap()) as usize;
    let second = 4096 + 16 + size;
    file[second..second + 8].fill(0xff);
    let opened = Flattened::open_damaged(&file[..]).unwrap();
    let error = opened.damage().unwrap().to_string();
    assert!(
        error.starts_with(&format!("offset {second:#x}: offset of a record")),
        "{error}"
    );
    assert_eq!(opened.size(), size as u64);
}

/// The writes of a flattened file done again, one after another: the bytes, `None` in holes; and where
/// bytes belong that a cut last record has lost.
fn replayed(file: &[u8]) -> (Vec<Option<u8>>, Range<usize>) {
    let mut bytes = Vec::new();
    let mut rest = &file[4096..];
    while let Some((header, after)) = rest.split_at_checked(16) {
        let number = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().unwrap());
        if number(0) == u64::MAX {
            break;
        }
        let (start, len) = (number(0) as usize, number(8) as usize);
        let present = len.min(after.len());
        if present > 0 && bytes.len() < start + present {
            bytes.resize(start + present, None);
        }
        for (at, byte) in after[..present].iter().enumerate() {
            bytes[start + at] = Some(*byte);
        }
        if present < len {
            return (bytes, start + present..start + len);
        }
        rest = &after[len..];
    }
    (bytes, 0..0)
}

fn agrees(file: &[u8], ranges: &[(u64, usize)]) -> Result<(), TestCaseError> {
    let (bytes, lost) = replayed(file);
    let opened = Flattened::open(file).unwrap();
    prop_assert_eq!(opened.size(), bytes.len() as u64);
    for (at, byte) in bytes.iter().enumerate() {
        let mut read = [0xaa];
        let done = opened.read_exact_at(at as u64, &mut read);
        match byte {
            Some(byte) => prop_assert_eq!((done, read), (Ok(()), [*byte])),
            None if lost.contains(&at) => prop_assert!(done.is_err()),
            None => prop_assert_eq!((done, read), (Ok(()), [0])),
        }
    }
    for &(offset, len) in ranges {
        let expected = bytes
            .get(offset as usize..offset as usize + len)
            .filter(|bytes| {
                let mut hole = (offset as usize..).zip(*bytes);
                !hole.any(|(at, byte)| byte.is_none() && lost.contains(&at))
            })
            .map(|bytes| {
                bytes
                    .iter()
                    .map(|byte| byte.unwrap_or(0))
                    .collect::<Vec<_>>()
            });
        let mut out = vec![0xaa; len];
        let done = opened.read_exact_at(offset, &mut out);
        prop_assert_eq!(
            done.ok().map(|()| out),
            expected.clone().or((len == 0).then(Vec::new))
        );
        if let Some(lent) = opened.lend_at(offset, len) {
            prop_assert_eq!(lent, expected.unwrap_or_default());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Numbers of real records changed: an error, or a dump whose pages can be asked for.
    #[test]
    fn mutated_records(
        changes in proptest::collection::vec((0..40_usize, 0..16_usize, any::<u64>()), 1..4),
    ) {
        let mut file = fs::read(form("lzo.flat")).unwrap();
        let mut records = vec![];
        let mut at = 4096;
        while file[at..] != flattened::END_MARK {
            records.push(at);
            let size = u64::from_be_bytes(file[at + 8..at + 16].try_into().unwrap());
            at += 16 + size as usize;
        }
        for (record, offset, value) in changes {
            let at = records[record % records.len()] + offset;
            let value = if value % 3 == 0 { u64::MAX } else { value };
            let len = 8.min(file.len() - at);
            file[at..at + len].copy_from_slice(&value.to_be_bytes()[..len]);
        }
        if let Ok((dump, damage)) = Dump::open_damaged(&file[..]) {
            prop_assert!(damage.len() <= 1);
            let memory = dump.reader();
            for (range, absence) in dump.ranges() {
                let read = memory.read(range.start(), &mut [0; 8]);
                prop_assert!(absence.is_none() || read.is_err());
            }
            prop_assert!(dump.notes().count() <= file.len());
        }
    }

    /// Any records in any order, whole and cut anywhere, read like the writes done one after another.
    #[test]
    fn reads_like_writes_replayed(
        records in proptest::collection::vec(
            (0..200_u64, proptest::collection::vec(any::<u8>(), 0..60)),
            0..20,
        ),
        cut in 0..3000_usize,
        ranges in proptest::collection::vec((0..280_u64, 0..100_usize), 10),
    ) {
        let mut file = flattened::header().to_vec();
        for (offset, bytes) in &records {
            file.extend(flattened::record_header(*offset, bytes.len()).unwrap());
            file.extend(bytes);
        }
        file.extend(flattened::END_MARK);
        prop_assert_eq!(Flattened::open(&file[..]).unwrap().damage(), None);
        agrees(&file, &ranges)?;

        file.truncate(4096 + cut % (file.len() - 4096));
        prop_assert!(Flattened::open(&file[..]).unwrap().damage().is_some());
        agrees(&file, &ranges)?;
    }
}
