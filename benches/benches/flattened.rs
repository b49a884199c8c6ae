//! A flattened dump of 48 MB opened, and a page found in it.
//!
//! As QEMU writes one of a guest of 180 MB: 3,148 records of 16 KiB, not all of them where the one
//! before ends. The limit of opening is to read the headers of the records; that of a page, to take the
//! same slice from an offset known beforehand.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use benches::{guest::Random, race::Race};
use vmcore_format::{Flattened, ReadAt, flattened};

const RECORDS: usize = 3148;
const RECORD: usize = 16 << 10;
const PAGE: usize = 4096;
/// Where the first record's data is.
const DATA: usize = 4096 + 16;

fn main() {
    // Of each ten records the first and the last have changed places.
    let mut places: Vec<usize> = (0..RECORDS).collect();
    for ten in places.chunks_exact_mut(10) {
        ten.swap(0, 9);
    }
    let mut file = flattened::header().to_vec();
    for place in &places {
        let offset = (place * RECORD) as u64;
        file.extend(flattened::record_header(offset, RECORD).unwrap());
        file.resize(file.len() + RECORD, u8::try_from(place % 251).unwrap());
    }
    file.extend(flattened::END_MARK);

    Race::new("a flattened dump opened, 3148 records", RECORDS, "record")
        .enter("the headers alone", || {
            let mut at = DATA - 16;
            let mut end = 0;
            while file[at..at + 16] != flattened::END_MARK {
                let word = |at: usize| u64::from_be_bytes(file[at..at + 8].try_into().unwrap());
                end = end.max(word(at) + word(at + 8));
                at += 16 + usize::try_from(word(at + 8)).unwrap();
            }
            end
        })
        .enter("vmcore-format, Flattened::open", || {
            Flattened::open(&file[..]).unwrap().size()
        })
        .run();

    let opened = Flattened::open(&file[..]).unwrap();
    let mut random = Random(0x0123_4567_89ab_cdef);
    let pages = RECORDS * RECORD / PAGE;
    let order: Vec<usize> = (0..pages)
        .map(|_| usize::try_from(random.below(pages as u64)).unwrap())
        .collect();
    let mut place_of = vec![0; RECORDS];
    for (number, place) in places.iter().enumerate() {
        place_of[*place] = DATA + number * (RECORD + 16);
    }
    Race::new("a page of it borrowed", pages, "page")
        .enter("the same slice by hand", || {
            let page = |page: &usize| {
                &file[place_of[page * PAGE / RECORD] + page * PAGE % RECORD..][..PAGE]
            };
            order.iter().map(|at| u64::from(page(at)[0])).sum()
        })
        .enter("vmcore-format, Flattened::lend_at", || {
            let page = |page: &usize| opened.lend_at((page * PAGE) as u64, PAGE).unwrap();
            order.iter().map(|at| u64::from(page(at)[0])).sum()
        })
        .run();
}
