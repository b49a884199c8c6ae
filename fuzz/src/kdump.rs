//! Compressed dumps, whole and split.

use physmem::{Absence, Endian, PhysAddr, PhysMemory, PhysRange, Width};
use vmcore_format::Dump;

/// Blocks of a dump that are looked at, first ones and last ones: reading is work.
const BLOCKS: u64 = 32;

/// A compressed dump of any bytes: what its descriptors say is what reading finds.
pub fn kdump(data: &[u8]) {
    let Ok(dump) = Dump::open(data) else { return };
    check(&dump);
    assert!(dump.kdump().is_none_or(|kdump| kdump.parts() == 1));
}

/// Two files, the first as long as the first four bytes say: in either order the same dump.
pub fn split(data: &[u8]) {
    let Some((len, files)) = data.split_first_chunk() else {
        return;
    };
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap();
    let Some((a, b)) = files.split_at_checked(len) else {
        return;
    };
    let dump = Dump::open_parts([a, b]);
    let turned = Dump::open_parts([b, a]);
    let (Ok(dump), Ok(turned)) = (&dump, &turned) else {
        assert!(dump.is_err() && turned.is_err());
        return;
    };
    check(dump);
    assert!(dump.ranges().eq(turned.ranges()));
    let (one, other) = (dump.kdump().unwrap(), turned.kdump().unwrap());
    assert_eq!(one.census(), other.census());
    assert!(one.missing().eq(other.missing()));
    for (range, _) in dump.ranges() {
        let (mut a, mut b) = ([0; 64], [0; 64]);
        let read = dump.reader().read(range.start(), &mut a);
        assert_eq!(read, turned.reader().read(range.start(), &mut b));
        assert!(read.is_err() || a == b);
    }
}

fn check(dump: &Dump<&[u8]>) {
    let Some(kdump) = dump.kdump() else { return };
    let census = kdump.census().unwrap();
    let block = census.block;
    let counts = dump.byte_counts();
    let bitmaps = census.present + census.damaged + census.lost;
    assert_eq!(bitmaps << block.as_u8(), counts.present + counts.lost);
    assert_eq!(census.excluded << block.as_u8(), counts.excluded);
    assert_eq!(
        census.methods.iter().map(|(_, blocks)| blocks).sum::<u64>(),
        census.present
    );
    assert!(census.zero <= census.present);

    // What is no page of its own is a line for each of a few things that can be wrong, and for each note.
    let found = dump.check();
    assert!(found.iter().all(|found| found.part < kdump.parts()));
    assert!(found.len() <= dump.notes().count() + 8);

    let missing: u64 = kdump.missing().map(PhysRange::size).sum();
    assert!(missing <= kdump.header().max_mapnr << block.as_u8());
    let size = usize::try_from(block.bytes()).unwrap();
    let mut seen = 0;
    for (range, absence) in dump.ranges() {
        let blocks = range.size() >> block.as_u8();
        for number in 0..blocks.min(BLOCKS.saturating_sub(seen)) {
            seen += 1;
            let at = range.start().checked_add(number << block.as_u8()).unwrap();
            let why = check_block(dump, at, size);
            assert!(absence.is_none() || why == absence, "{at}");
            let is_there = kdump.method(at).is_some();
            match why {
                None | Some(Absence::CodecMissing) => assert!(is_there, "{at}"),
                Some(Absence::Damaged) => {}
                Some(_) => assert!(!is_there, "{at}"),
            }
        }
    }
}

/// A block read whole, in halves and by words; why it is not there.
fn check_block(dump: &Dump<&[u8]>, at: PhysAddr, size: usize) -> Option<Absence> {
    let memory = dump.reader();
    let mut whole = vec![0; size];
    let read = memory.read(at, &mut whole);
    let mut half = vec![0; size / 2];
    let middle = at.checked_add(size as u64 / 2).unwrap();
    let second = memory.read(middle, &mut half);
    assert_eq!(
        read.map_err(|error| error.why),
        second.map_err(|error| error.why)
    );
    let word = memory.word(at, Width::U64, Endian::Little);
    match read {
        Ok(()) => {
            assert_eq!(whole[size / 2..], half[..]);
            assert_eq!(word, Ok(u64::from_le_bytes(whole[..8].try_into().unwrap())));
            assert!(memory.lend(at, size).is_none_or(|lent| lent == whole));
            None
        }
        Err(error) => {
            assert_eq!((error.at, word), (at, Err(error)));
            Some(error.why)
        }
    }
}
