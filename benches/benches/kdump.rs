//! A page of a compressed dump: finding it and decoding it.
//!
//! The limit is the codec alone, over the same compressed bytes, whose places are known beforehand. The target is 300 ns
//! above it. There are more pages than a reader keeps, so that seven of eight reads decode.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use std::{fs, path::Path};

use benches::{guest::Random, race::Race};
use physmem::{PhysAddr, PhysMemory};
use vmcore_format::{
    Dump,
    codec::{Builtin, Codec, Method},
};

const PAGE: usize = 4096;
/// Where the bitmaps and the descriptors begin in the samples.
const BITMAPS: [usize; 2] = [0x3000, 0x6000];
const DESCRIPTORS: usize = 0x9000;
const DESCRIPTOR: usize = 24;
/// Pages in the sample, and those of the dump that is raced over: more than a reader keeps.
const SAMPLE: usize = 48;
const FRAMES: usize = 8192;

fn main() {
    for name in ["lzo", "zlib", "snappy", "zstd"] {
        race(name);
    }
}

/// A page's method, and where its bytes are.
type Page = (Method, usize, usize);

/// A dump whose first frames have the sample's compressed pages in turn, and what these are.
fn dump_of(sample: &[u8]) -> (Vec<u8>, Vec<Page>) {
    let moved = (FRAMES - SAMPLE) * DESCRIPTOR;
    let descriptors = sample[DESCRIPTORS..][..SAMPLE * DESCRIPTOR].chunks_exact(DESCRIPTOR);
    let pages = descriptors.map(|desc| {
        let at = u64::from_le_bytes(*desc.first_chunk().unwrap());
        let size = u32::from_le_bytes(*desc[8..].first_chunk().unwrap());
        let method = Method(u32::from_le_bytes(*desc[12..].first_chunk().unwrap()));
        (method, usize::try_from(at).unwrap() + moved, size as usize)
    });
    let compressed: Vec<Page> = pages
        .filter(|(method, ..)| *method != Method::STORED)
        .collect();
    let pages: Vec<Page> = compressed.into_iter().cycle().take(FRAMES).collect();

    let mut file = sample[..DESCRIPTORS].to_vec();
    for bitmap in BITMAPS {
        file[bitmap..bitmap + 0x3000].fill(0);
        file[bitmap..bitmap + FRAMES / 8].fill(0xff);
    }
    for (method, at, size) in &pages {
        file.extend((*at as u64).to_le_bytes());
        file.extend(u32::try_from(*size).unwrap().to_le_bytes());
        file.extend(method.0.to_le_bytes());
        file.extend([0; 8]);
    }
    file.extend(&sample[DESCRIPTORS + SAMPLE * DESCRIPTOR..]);
    (file, pages)
}

fn race(name: &str) {
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/forms");
    let (file, pages) = dump_of(&fs::read(forms.join(name)).unwrap());
    let dump = Dump::open(&file[..]).unwrap();
    let memory = dump.reader();
    let mut random = Random(0x0123_4567_89ab_cdef);
    let order: Vec<u64> = (0..FRAMES).map(|_| random.below(FRAMES as u64)).collect();
    let mut codec = Builtin::default();
    let last = |page: &[u8; PAGE]| u64::from_le_bytes(*page.last_chunk().unwrap());
    let mut alone = |frame: &u64| {
        let (method, at, size) = pages[usize::try_from(*frame).unwrap()];
        let mut page = [0; PAGE];
        codec
            .decode(method, &file[at..at + size], &mut page)
            .unwrap();
        last(&page)
    };
    let read = |frame: &u64| {
        let mut page = [0; PAGE];
        memory.read(PhysAddr::new(frame << 12), &mut page).unwrap();
        last(&page)
    };
    let sum = |sum: u64, word| sum.wrapping_add(word);
    Race::new(
        format!("a compressed page at random: {name}"),
        FRAMES,
        "page",
    )
    .enter("the codec alone", || {
        order.iter().map(&mut alone).fold(0, sum)
    })
    .enter("vmcore-format, Reader::read", || {
        order.iter().map(read).fold(0, sum)
    })
    .run();
}
