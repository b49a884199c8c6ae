//! Flattened files, real and made up, against the file that they stand for.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{fs, ops::Range, path::Path};

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
