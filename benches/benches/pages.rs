//! One page of a dump, borrowed: finding it among the segments.
//!
//! The limit is to take the same slice from an offset known beforehand. Pages are asked for in random
//! order, all of them in turn, so that a reader seldom remembers where the next one lies.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use benches::{guest::Random, race::Race};
use elf_format::{Class, Encoding, Endian, Machine, Segment, SegmentFlags, SegmentType, Writer};
use physmem::{PhysAddr, PhysMemory};
use vmcore_format::Dump;

const PAGE: usize = 4096;
/// Pages in the dump, as many as the most segments.
const PAGES: usize = 10_000;

fn main() {
    for segments in [5, PAGES] {
        race(segments);
    }
}

fn race(segments: usize) {
    let each = PAGES / segments;
    // A hole of as much behind each segment, so that no two of them join.
    let paddr = |page: usize| (page / each * 2 * each + page % each) * PAGE;
    let load = |offset: usize| {
        move |number: usize| Segment {
            kind: SegmentType::LOAD,
            flags: SegmentFlags::READ,
            offset: (offset + number * each * PAGE) as u64,
            vaddr: 0,
            paddr: paddr(number * each) as u64,
            filesz: (each * PAGE) as u64,
            memsz: (each * PAGE) as u64,
            align: 0,
        }
    };
    let encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };
    let writer = |offset| {
        let loads = (0..segments).map(load(offset));
        Writer::core(encoding, Machine::X86_64, &[], loads)
    };
    let start = writer(0).emitted_len().next_multiple_of(PAGE);
    let mut file = writer(start).to_vec().unwrap();
    file.resize(start, 0);
    for number in 0..PAGES {
        let byte = u8::try_from(number % 251).unwrap();
        file.resize(file.len() + PAGE, byte);
    }

    let dump = Dump::open(&file[..]).unwrap();
    let memory = dump.reader();
    let mut random = Random(0x0123_4567_89ab_cdef);
    let order: Vec<usize> = (0..PAGES)
        .map(|_| usize::try_from(random.below(PAGES as u64)).unwrap())
        .collect();
    Race::new(
        format!("a page borrowed, {segments} segments"),
        PAGES,
        "page",
    )
    .enter("the same slice by hand", || {
        let page = |page: &usize| &file[start + page * PAGE..][..PAGE];
        order.iter().map(|at| u64::from(page(at)[0])).sum()
    })
    .enter("vmcore-format, Reader::lend", || {
        let page = |page: &usize| {
            memory
                .lend(PhysAddr::new(paddr(*page) as u64), PAGE)
                .unwrap()
        };
        order.iter().map(|at| u64::from(page(at)[0])).sum()
    })
    .run();
}
