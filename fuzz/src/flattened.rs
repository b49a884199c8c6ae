//! Flattened files.

use vmcore_format::{Error, Flattened, ReadAt, detect::detect, flattened};

/// What is behind the header, that the fuzzer need not write 4,096 bytes: every byte reads as the last
/// record that has it says, and a record is written as it was read.
pub fn flattened(data: &[u8]) {
    // The header itself, with a byte changed.
    if let [at, byte, ..] = data {
        let mut header = flattened::header();
        header[usize::from(*at)] = *byte;
        let sound = header == flattened::header() || *at >= 32;
        assert_eq!(Flattened::open(&header[..]).is_ok(), sound);
        assert_eq!(detect(&header[..]).is_some(), sound || *at >= 16);
    }

    let mut file = flattened::header().to_vec();
    file.extend(data);
    let opened = Flattened::open_damaged(&file[..]).unwrap();
    match opened.damage() {
        None | Some(Error::Truncated { .. }) => assert!(Flattened::open(&file[..]).is_ok()),
        Some(error) => assert_eq!(Flattened::open(&file[..]).unwrap_err(), error),
    }

    let mut records = Vec::new();
    let mut lost = 0..0;
    let mut rest = data;
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let [start, len] =
            [0, 8].map(|at| u64::from_be_bytes(header[at..at + 8].try_into().unwrap()));
        let end = start.checked_add(len).filter(|end| *end < 1 << 63);
        let Some(end) = end else {
            let is_end = *header == flattened::END_MARK;
            assert!(is_end == opened.damage().is_none());
            break;
        };
        let len = usize::try_from(len).unwrap();
        assert_eq!(flattened::record_header(start, len), Some(*header));
        let present = len.min(after.len());
        records.push((start, &after[..present]));
        if present < len {
            lost = start + present as u64..end;
        }
        rest = &after[present..];
    }
    let ends = records.iter().filter(|(_, bytes)| !bytes.is_empty());
    let size = ends.map(|(start, bytes)| start + bytes.len() as u64).max();
    assert_eq!(opened.size(), size.unwrap_or(0));

    let said = |at: u64| {
        let last = records.iter().rev().find_map(|(start, bytes)| {
            let within = usize::try_from(at.checked_sub(*start)?).ok()?;
            bytes.get(within).copied()
        });
        last.or((!lost.contains(&at)).then_some(0))
    };
    // Around every border, and across it.
    for (start, bytes) in records.iter().take(50) {
        for border in [*start, start + bytes.len() as u64] {
            let from = border.saturating_sub(3);
            let expected: Option<Vec<u8>> = (from..from + 6).map(said).collect();
            let mut read = [0xaa; 6];
            let done = opened.read_exact_at(from, &mut read);
            if from + 6 > opened.size() {
                assert!(done.is_err());
                continue;
            }
            assert_eq!(done.ok().map(|()| read.to_vec()), expected);
            if let Some(lent) = opened.lend_at(from, 6) {
                assert_eq!(Some(lent), expected.as_deref());
            }
        }
    }
}
