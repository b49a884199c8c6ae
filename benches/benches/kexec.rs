//! kexec's lists: a gigabyte of segments laid out, read, and 64 MiB of it moved.
//!
//! The limit of building is to store the words, page of entries by page of entries; of reading, to
//! look at each of them, and to tell runs of words that are known to be right; of moving, `memmove` of
//! the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use std::cell::{RefCell, RefMut};

use benches::race::Race;
use kexec_format::{
    Decoding, Format, KimageEntry, Limits, List, Mode, Segment,
    list::{Builder, FrameAllocator, FramePurpose, Run},
    relocate,
};
use physmem::{MemError, PhysAddr, PhysMemory, PhysMemoryMut, PhysRange, Region};

const PAGE: u64 = 4096;
/// Pages of a gigabyte.
const PAGES: u64 = 1 << 18;
/// Where the segments go, and where their pages are: neither is in the memory, which has only lists.
const DESTINATION: u64 = 1 << 32;
const SOURCES: u64 = 1 << 34;

/// Source pages in order, or each far from the one before it; entries from 0 on.
struct Frames {
    source: u64,
    stride: u64,
    entries: u64,
}

impl Frames {
    const fn new(stride: u64) -> Self {
        Self {
            source: 0,
            stride,
            entries: 0,
        }
    }
}

impl FrameAllocator for Frames {
    #[inline]
    fn allocate(&mut self, purpose: FramePurpose) -> Option<PhysAddr> {
        Some(PhysAddr::new(match purpose {
            FramePurpose::Source => {
                self.source = (self.source + self.stride) % PAGES;
                SOURCES + self.source * PAGE
            }
            FramePurpose::Indirection => {
                self.entries += PAGE;
                self.entries - PAGE
            }
        }))
    }
}

fn main() {
    let dest = PhysRange::with_size(PhysAddr::new(DESTINATION), PAGES * PAGE).unwrap();
    let segments = [Segment { parts: &[], dest }];
    let mut scratch = vec![0; 1 << 12];
    let lists = usize::try_from((PAGES / 511 + 2) * PAGE).unwrap();
    let mut memory = Region::try_new(PhysAddr::new(0), vec![0_u8; lists]).unwrap();
    let mut build = |memory: &mut Region<Vec<u8>>, stride| {
        Builder::try_new(
            Format::LE64_4K,
            Limits::X86_64,
            &segments,
            &mut scratch,
            memory,
            Frames::new(stride),
        )
        .unwrap()
        .build_with(|_, _| Ok(()))
        .unwrap()
    };
    for (what, stride) in [("in a row", 1), ("scattered", 12_345)] {
        let head = build(&mut memory, stride);
        let mut by_hand = vec![0_u8; lists];
        Race::new(
            format!("build a list, sources {what}"),
            PAGES as usize,
            "page",
        )
        .enter("the words by hand", || store(&mut by_hand, stride))
        .enter("kexec-format", || build(&mut memory, stride).as_u64())
        .run();

        let list = List {
            head,
            format: Format::LE64_4K,
            decoding: Decoding::Strict,
        };
        let words = memory.lend(PhysAddr::new(0), lists).unwrap();
        assert!(words == by_hand, "not the same list");
        Race::new(
            format!("walk a list, sources {what}"),
            PAGES as usize,
            "page",
        )
        .enter("a look at each word by hand", || look(words))
        .enter("kexec-format, fold", || {
            let runs = list.runs(&memory);
            runs.fold(0, |sum, run| add(sum, run.unwrap()))
        })
        .enter("kexec-format, for", || {
            let mut sum = 0;
            for run in list.runs(&memory) {
                sum = add(sum, run.unwrap());
            }
            sum
        })
        .enter("runs by hand, unchecked", || runs(words))
        .run();
    }
    moves();
}

/// Stores what a builder would.
fn store(out: &mut [u8], stride: u64) -> u64 {
    let mut frames = Frames::new(stride);
    let mut next = 0;
    let mut words = std::iter::once(DESTINATION | 1)
        .chain((0..PAGES).map(|_| frames.allocate(FramePurpose::Source).unwrap().as_u64() | 8));
    for page in out.chunks_exact_mut(PAGE as usize) {
        next += PAGE;
        let (link, page) = page.as_chunks_mut::<8>().0.split_last_mut().unwrap();
        for out in page {
            let Some(word) = words.next() else {
                *out = 4_u64.to_le_bytes();
                return 2;
            };
            *out = word.to_le_bytes();
        }
        *link = (next | 2).to_le_bytes();
    }
    2
}

/// The sum of all sources.
fn look(words: &[u8]) -> u64 {
    let words = words
        .as_chunks::<8>()
        .0
        .iter()
        .copied()
        .map(u64::from_le_bytes);
    let sources = words.filter(|word| word & 0xfff == 8);
    sources.fold(0, |sum, word| sum + (word & !0xfff))
}

/// Adds the addresses of all pages of a run.
fn add(sum: u64, run: Run) -> u64 {
    // The first one's as often as there are pages, and 0, 1, 2, … pages.
    let steps = run.pages * (run.pages - 1) / 2;
    sum + run.source.as_u64() * run.pages + steps * PAGE
}

/// The same sum by runs, of a list that is known to be right and whose pages of entries follow each other.
fn runs(words: &[u8]) -> u64 {
    let mut sum = 0;
    let mut run = Run {
        destination: PhysAddr::new(0),
        source: PhysAddr::new(0),
        pages: 0,
    };
    for word in words.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*word);
        let next = run.source.as_u64() + run.pages * PAGE;
        match word & 0xfff {
            8 if word & !0xfff == next => run.pages += 1,
            2 => {}
            kind => {
                if run.pages > 0 {
                    sum = add(sum, run);
                }
                let destination = match kind {
                    1 => word & !0xfff,
                    _ => run.destination.as_u64() + run.pages * PAGE,
                };
                run = Run {
                    destination: PhysAddr::new(destination),
                    source: PhysAddr::new(word & !0xfff),
                    pages: u64::from(kind == 8),
                };
                if kind == 4 {
                    break;
                }
            }
        }
    }
    sum
}

/// Runs of 64 MiB and of a page, through one memory.
fn moves() {
    const SIZE: usize = 64 << 20;
    let pages = SIZE as u64 / PAGE;
    for (what, stride) in [("64 MiB", 1), ("4 KiB", 4_321)] {
        let mut bytes: Vec<u8> = (0..2 * SIZE + (1 << 20)).map(|i| (i / 7) as u8).collect();
        let source = |i: u64| SIZE as u64 + i * stride % pages * PAGE;
        let mut words: Vec<u64> = (0..pages).map(|i| source(i) | 8).collect();
        words.insert(0, 1);
        let entries = &mut bytes[2 * SIZE..];
        let base = 2 * SIZE as u64;
        for (i, (page, words)) in (1..).zip(entries.chunks_exact_mut(4096).zip(words.chunks(511))) {
            for (out, word) in page.chunks_exact_mut(8).zip(words) {
                out.copy_from_slice(&word.to_le_bytes());
            }
            let end = if words.len() < 511 {
                4
            } else {
                (base + i * PAGE) | 2
            };
            page[words.len() * 8..][..8].copy_from_slice(&end.to_le_bytes());
        }
        let list = List {
            head: KimageEntry::indirection(PhysAddr::new(base)),
            format: Format::LE64_4K,
            decoding: Decoding::Strict,
        };
        let mut by_hand = bytes.clone();
        let memory = RefCell::new(Region::try_new(PhysAddr::new(0), bytes).unwrap());
        Race::new(
            format!("relocate 64 MiB in runs of {what}"),
            SIZE >> 12,
            "page",
        )
        .enter("memmove by hand", || {
            for i in 0..pages {
                if stride == 1 {
                    by_hand.copy_within(SIZE..2 * SIZE, 0);
                    break;
                }
                let from = usize::try_from(source(i)).unwrap();
                let to = usize::try_from(i * PAGE).unwrap();
                by_hand.copy_within(from..from + 4096, to);
            }
            pages
        })
        .enter("kexec-format", || {
            relocate(&mut *memory.borrow_mut(), list, Mode::Copy, &mut []).unwrap()
        })
        .enter("kexec-format, memory that only reads and writes", || {
            let memory = &mut Plain(memory.borrow_mut());
            relocate(memory, list, Mode::Copy, &mut []).unwrap()
        })
        .run();
        assert!(memory.borrow().lend(PhysAddr::new(0), SIZE).unwrap() == &by_hand[..SIZE]);
    }
}

/// A memory that does not copy by itself.
struct Plain<'m>(RefMut<'m, Region<Vec<u8>>>);

impl PhysMemory for Plain<'_> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        self.0.read(at, out)
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.0.next_run(from)
    }
}

impl PhysMemoryMut for Plain<'_> {
    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
        self.0.write(at, bytes)
    }
}
