//! The builder against a model that does literally what `kernel/kexec_core.c` does, with allocators
//! of every kind; then the walker and the relocation against what was built.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::collections::VecDeque;

use kexec_format::{
    Decoding, Error, Format, KimageEntry, Limits, List, Mode, Rejected, Segment,
    check::Rule,
    error::BadPage,
    list::{Builder, Clash, FrameAllocator, FramePurpose, Run},
    relocate,
};
use physmem::{Endian, PageShift, PhysAddr, PhysMemory, PhysRange, Region, Width};
use proptest::prelude::*;

/// Pages in a fixed order.
#[derive(Debug, Clone)]
struct Frames {
    left: VecDeque<u64>,
    highmem: u64,
}

impl FrameAllocator for Frames {
    fn allocate(&mut self, purpose: FramePurpose) -> Option<PhysAddr> {
        let fits = |&at: &u64| purpose == FramePurpose::Source || at < self.highmem;
        let place = self.left.iter().position(fits)?;
        self.left.remove(place).map(PhysAddr::new)
    }
}

/// `struct kimage` and the memory it is in.
struct Kimage<'a> {
    format: Format,
    limits: Limits,
    segments: &'a [Segment<'a>],
    memory: Vec<u8>,
    frames: Frames,
    head: u64,
    /// `entry` and `last_entry`: addresses, `None` for that of `head`.
    entry: Option<u64>,
    last_entry: Option<u64>,
    dest_pages: Vec<u64>,
}

impl Kimage<'_> {
    fn page(&self) -> u64 {
        self.format.page.bytes()
    }

    fn get(&self, at: Option<u64>) -> u64 {
        let Some(at) = at else { return self.head };
        let bytes = &self.memory[at as usize..][..self.format.width.bytes()];
        self.format.width.decode(bytes, self.format.endian).unwrap()
    }

    fn set(&mut self, at: Option<u64>, value: u64) {
        let Some(at) = at else {
            self.head = value;
            return;
        };
        let out = &mut self.memory[at as usize..][..self.format.width.bytes()];
        match (self.format.width, self.format.endian) {
            (Width::U32, Endian::Little) => out.copy_from_slice(&(value as u32).to_le_bytes()),
            (Width::U32, Endian::Big) => out.copy_from_slice(&(value as u32).to_be_bytes()),
            (Width::U64, Endian::Little) => out.copy_from_slice(&value.to_le_bytes()),
            (Width::U64, Endian::Big) => out.copy_from_slice(&value.to_be_bytes()),
        }
    }

    fn next(&self, at: Option<u64>) -> Option<u64> {
        Some(at.unwrap() + self.format.width.bytes() as u64)
    }

    /// The address of the source entry whose destination is `page`.
    fn dst_used(&self, page: u64) -> Option<u64> {
        let (mut ptr, mut destination) = (None, 0);
        loop {
            let entry = self.get(ptr);
            if entry == 0 || entry & 4 != 0 {
                return None;
            }
            let address = entry & !(self.page() - 1);
            if entry & 1 != 0 {
                destination = address;
            } else if entry & 8 != 0 {
                if page == destination {
                    return ptr;
                }
                destination += self.page();
            }
            ptr = if entry & 2 != 0 {
                Some(address)
            } else {
                self.next(ptr)
            };
        }
    }

    fn alloc_page(&mut self, purpose: FramePurpose, destination: u64) -> Option<u64> {
        if let Some(place) = self.dest_pages.iter().position(|&page| page == destination) {
            return Some(self.dest_pages.remove(place));
        }
        loop {
            let addr = self.frames.allocate(purpose)?.as_u64();
            let shift = self.format.page.as_u8();
            if addr >> shift > self.limits.source >> shift {
                continue;
            }
            if addr == destination {
                return Some(addr);
            }
            let last = addr + self.page() - 1;
            let hit = |segment: &Segment<'_>| {
                last >= segment.dest.start().as_u64() && addr <= segment.dest.last().as_u64()
            };
            if !self.segments.iter().any(hit) {
                return Some(addr);
            }
            if let Some(old) = self.dst_used(addr) {
                let word = self.get(Some(old));
                let old_addr = word & !(self.page() - 1);
                let from = old_addr as usize..(old_addr + self.page()) as usize;
                self.memory.copy_within(from, addr as usize);
                self.set(Some(old), addr | (word & (self.page() - 1)));
                if purpose == FramePurpose::Indirection && old_addr >= self.limits.highmem {
                    continue;
                }
                return Some(old_addr);
            }
            self.dest_pages.push(addr);
        }
    }

    fn add_entry(&mut self, entry: u64) -> Option<()> {
        if self.get(self.entry) != 0 {
            self.entry = self.next(self.entry);
        }
        if self.entry == self.last_entry {
            let page = self.alloc_page(FramePurpose::Indirection, u64::MAX)?;
            self.set(self.entry, page | 2);
            self.entry = Some(page);
            self.last_entry = Some(page + self.page() - self.format.width.bytes() as u64);
        }
        self.set(self.entry, entry);
        self.entry = self.next(self.entry);
        self.set(self.entry, 0);
        Some(())
    }

    fn load(&mut self) -> Option<()> {
        for segment in self.segments {
            let bytes = segment.parts.concat();
            let mut maddr = segment.dest.start().as_u64();
            self.add_entry(maddr | 1)?;
            for offset in (0..segment.dest.size() as usize).step_by(self.page() as usize) {
                let page = self.alloc_page(FramePurpose::Source, maddr)?;
                self.add_entry(page | 8)?;
                let out = &mut self.memory[page as usize..][..self.format.page.bytes() as usize];
                out.fill(0);
                let rest = &bytes[offset.min(bytes.len())..];
                let len = rest.len().min(out.len());
                out[..len].copy_from_slice(&rest[..len]);
                maddr += self.page();
            }
        }
        if self.get(self.entry) != 0 {
            self.entry = self.next(self.entry);
        }
        self.set(self.entry, 4);
        Some(())
    }
}

/// Bytes that differ from page to page and from word to word.
fn noise(len: u64, seed: u64) -> Vec<u8> {
    let mix = |i: u64| {
        (i + seed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23)
    };
    (0..len / 8).flat_map(|i| mix(i).to_le_bytes()).collect()
}

struct Case {
    format: Format,
    limits: Limits,
    /// Pages of the memory, which begins at 0.
    memory: u64,
    /// Of each segment, in pages: where, how many; and the lengths of its parts in bytes.
    segments: Vec<(u64, u64, Vec<usize>)>,
    frames: Vec<u64>,
}

impl Case {
    /// Builds both ways and compares all; says how many pages the list moves.
    fn run(&self) -> Option<u64> {
        let page = self.format.page.bytes();
        let before = noise(self.memory * page, 1);
        let payload = noise(self.memory * page, 1 << 40);
        let parts: Vec<Vec<&[u8]>> = self
            .segments
            .iter()
            .map(|(at, _, lens)| {
                let mut rest = &payload[(at * page) as usize..];
                let cut = |&len: &usize| {
                    let part;
                    (part, rest) = rest.split_at(len);
                    part
                };
                lens.iter().map(cut).collect()
            })
            .collect();
        let segments: Vec<Segment<'_>> = self
            .segments
            .iter()
            .zip(&parts)
            .map(|((at, pages, _), parts)| Segment {
                parts,
                dest: PhysRange::with_size((at * page).into(), pages * page).unwrap(),
            })
            .collect();
        let frames = Frames {
            left: self.frames.iter().map(|frame| frame * page).collect(),
            highmem: self.limits.highmem,
        };

        let mut model = Kimage {
            format: self.format,
            limits: self.limits,
            segments: &segments,
            memory: before.clone(),
            frames: frames.clone(),
            head: 0,
            entry: None,
            last_entry: None,
            dest_pages: Vec::new(),
        };
        let modelled = model.load();

        let mut memory = Region::try_new(PhysAddr::new(0), before.clone()).unwrap();
        let mut scratch =
            vec![
                u64::MAX;
                Builder::<Region<Vec<u8>>, Frames>::scratch_len(&segments, self.format.page)
            ];
        let built = Builder::try_new(
            self.format,
            self.limits,
            &segments,
            &mut scratch,
            &mut memory,
            frames,
        )
        .unwrap()
        .build();
        if modelled.is_none() {
            assert!(matches!(built, Err(Error::OutOfPages { .. })), "{built:?}");
            return None;
        }
        let head = built.unwrap();
        assert_eq!(head.as_u64(), model.head);
        let all = usize::try_from(self.memory * page).unwrap();
        let start = PhysAddr::new(0);
        assert!(
            memory.lend(start, all).unwrap() == model.memory,
            "memory differs"
        );

        let list = List {
            head,
            format: self.format,
            decoding: Decoding::Strict,
        };
        let mut moved = 0;
        for (run, segment) in Self::by_segment(list, &memory, &segments) {
            assert!(segment.dest.contains_range(run));
            moved += run.size() / page;
        }
        assert_eq!(
            moved,
            segments.iter().map(|s| s.dest.size() / page).sum::<u64>()
        );

        let mut uses = vec![Run::default(); list.verify_len(&memory).unwrap()];
        assert_eq!(list.verify(&memory, &mut uses), Ok(()));

        let built = memory.clone();
        let is_loaded = |memory: &Region<Vec<u8>>| {
            for segment in &segments {
                let mut expected = segment.parts.concat();
                expected.resize(segment.dest.size() as usize, 0);
                let found = memory.lend(segment.dest.start(), expected.len()).unwrap();
                assert!(found == expected, "{} differs", segment.dest);
            }
        };
        for scratch in [1, 1000, 3 * page as usize] {
            // A byte at a time, and pages in pieces, only where that is quick.
            if scratch <= 1000 && moved > 20 {
                continue;
            }
            let mut copied = built.clone();
            let copy = relocate(&mut copied, list, Mode::Copy, &mut vec![0; scratch]);
            assert_eq!(copy, Ok(moved));
            is_loaded(&copied);
        }
        let mut swapped = built.clone();
        let mut scratch = vec![0; 1 + page as usize];
        relocate(&mut swapped, list, Mode::Swap, &mut scratch).unwrap();
        is_loaded(&swapped);
        relocate(&mut swapped, list, Mode::Swap, &mut scratch).unwrap();
        assert!(swapped == built, "swapped twice is not as before");
        Some(moved)
    }

    /// The destinations of the runs, which have to fill one segment after the other.
    fn by_segment<'a>(
        list: List,
        memory: &Region<Vec<u8>>,
        segments: &'a [Segment<'a>],
    ) -> Vec<(PhysRange, &'a Segment<'a>)> {
        let page = list.format.page.bytes();
        let mut runs = list.runs(memory).map(|run| run.unwrap());
        let mut found = Vec::new();
        for segment in segments {
            let mut at = segment.dest.start();
            while at < segment.dest.end() {
                let run = runs.next().unwrap();
                assert_eq!(run.destination, at);
                let range = PhysRange::with_size(at, run.pages * page).unwrap();
                at = range.end();
                found.push((range, segment));
            }
        }
        assert_eq!(runs.next(), None);
        found
    }
}

const FORMATS: [Format; 4] = [
    Format::LE64_4K,
    Format::BE64_4K,
    Format::LE32_4K,
    Format {
        width: Width::U32,
        endian: Endian::Big,
        page: PageShift::SIZE_16K,
    },
];

#[test]
fn lists_of_every_interesting_length() {
    // Not the one with pages of 16 KiB, whose lists have 64 MB to move.
    for format in &FORMATS[..3] {
        let usable = format.words_per_page() - 1;
        let around = |n: u64| [n - 1, n, n + 1];
        let lengths = [around(usable), around(2 * usable)].concat();
        for entries in [2, 3].into_iter().chain(lengths) {
            // One entry is the destination.
            let pages = entries - 1;
            let page = format.page.bytes() as usize;
            let case = Case {
                format: *format,
                limits: Limits::BITS_64,
                memory: 2 * pages + 8,
                segments: vec![(0, pages, vec![pages as usize * page - 9])],
                frames: (pages..2 * pages + 8).collect(),
            };
            assert_eq!(case.run(), Some(pages));
        }
    }
}

#[test]
fn an_image_without_segments_is_done() {
    let case = Case {
        format: Format::LE64_4K,
        limits: Limits::BITS_64,
        memory: 1,
        segments: vec![],
        frames: vec![],
    };
    assert_eq!(case.run(), Some(0));
}

#[test]
fn every_page_in_place_or_all_exchanged() {
    let case = |frames: Vec<u64>| Case {
        format: Format::LE64_4K,
        limits: Limits::BITS_64,
        memory: 1400,
        segments: vec![
            (0, 400, vec![5000]),
            (500, 200, vec![]),
            (400, 100, vec![409_600]),
        ],
        frames,
    };
    // Every destination first: set aside, and later taken.
    assert_eq!(case((0..1400).collect()).run(), Some(700));
    assert_eq!(case((0..1400).rev().collect()).run(), Some(700));
    // Every destination after its page was loaded elsewhere.
    let others_first = (700..1400)
        .step_by(2)
        .chain(0..700)
        .chain((701..1400).step_by(2));
    assert_eq!(case(others_first.collect()).run(), Some(700));
}

#[test]
fn entries_do_not_go_to_highmem_even_by_exchange() {
    // When the second page of entries is asked for, the first low page is a destination whose source
    // page lies in highmem: the bytes are moved, and the search goes on.
    let frames = [700].into_iter().chain(2000..2600).chain([5, 701]);
    let case = Case {
        format: Format::LE64_4K,
        limits: Limits {
            highmem: 2000 << 12,
            ..Limits::BITS_64
        },
        memory: 2600,
        segments: vec![(0, 600, vec![600 << 12])],
        frames: frames.collect(),
    };
    assert_eq!(case.run(), Some(600));
}

#[test]
fn a_page_that_comes_twice_is_noticed_where_that_costs_nothing() {
    let dest = PhysRange::with_size(0x1000.into(), 0x3000).unwrap();
    let segments = [Segment { parts: &[], dest }];
    let build = |frames: &[u64]| {
        let mut memory = Region::try_new(PhysAddr::new(0), vec![0; 0x1_0000]).unwrap();
        let frames = Frames {
            left: frames.iter().copied().collect(),
            highmem: u64::MAX,
        };
        let mut scratch = [0; 1];
        let limits = Limits::BITS_64;
        Builder::try_new(
            Format::LE64_4K,
            limits,
            &segments,
            &mut scratch,
            &mut memory,
            frames,
        )
        .unwrap()
        .build()
    };
    let repeated = |page: u64| {
        Err::<KimageEntry, _>(Error::BadPage {
            page: page.into(),
            why: BadPage::Repeated,
        })
    };
    assert_eq!(build(&[0x2000, 0x2000]), repeated(0x2000));
    assert_eq!(build(&[0x8000, 0x1000, 0x1000]), repeated(0x1000));
    // For entries, and again for the first page; for the first two pages.
    assert_eq!(build(&[0x8000, 0x8000, 0x9000, 0xa000]), repeated(0x8000));
    assert_eq!(build(&[0x8000, 0x9000, 0x9000, 0xa000]), repeated(0x9000));
    let unaligned = Error::BadPage {
        page: 0x8008.into(),
        why: BadPage::Unaligned,
    };
    assert_eq!(build(&[0x8008]), Err(unaligned));
    assert_eq!(
        build(&[0x8000, 0x9000]),
        Err(Error::OutOfPages { pages: 1 })
    );
}

/// Pages that are passed over would be asked for without end.
#[test]
fn an_allocator_that_has_one_page_only_is_noticed() {
    struct One(u64);

    impl FrameAllocator for One {
        fn allocate(&mut self, _: FramePurpose) -> Option<PhysAddr> {
            Some(PhysAddr::new(self.0))
        }
    }

    let dest = PhysRange::with_size(0x1000.into(), 0x3000).unwrap();
    let segments = [Segment { parts: &[], dest }];
    let mut memory = Region::try_new(PhysAddr::new(0), vec![0; 0x1_0000]).unwrap();
    for page in [0x2000, 0x8000, 0x10_0000] {
        let limits = Limits {
            source: 0xffff,
            ..Limits::BITS_64
        };
        let mut scratch = [0; 1];
        let (format, frames) = (Format::LE64_4K, One(page));
        let builder =
            Builder::try_new(format, limits, &segments, &mut scratch, &mut memory, frames);
        let repeated = Error::BadPage {
            page: page.into(),
            why: BadPage::Repeated,
        };
        assert_eq!(builder.unwrap().build(), Err(repeated));
    }
}

/// Which the builder cannot see.
#[test]
fn a_page_that_comes_again_later_is_found_in_the_list() {
    let dest = PhysRange::with_size(0x1000.into(), 0x3000).unwrap();
    let segments = [Segment { parts: &[], dest }];
    let verify = |frames: [u64; 4]| {
        let mut memory = Region::try_new(PhysAddr::new(0), vec![0; 0x1_0000]).unwrap();
        let mut scratch = [0; 1];
        let frames = Frames {
            left: frames.into_iter().collect(),
            highmem: u64::MAX,
        };
        let (format, limits) = (Format::LE64_4K, Limits::BITS_64);
        let builder =
            Builder::try_new(format, limits, &segments, &mut scratch, &mut memory, frames).unwrap();
        let head = builder.build().unwrap();
        let decoding = Decoding::Strict;
        let list = List {
            head,
            format,
            decoding,
        };
        list.verify(&memory, &mut [Run::default(); 5])
    };
    let clash = |page: u64, clash| {
        Err(Error::Clash {
            page: page.into(),
            clash,
        })
    };
    assert_eq!(verify([0x8000, 0x9000, 0xa000, 0xb000]), Ok(()));
    let twice = Clash::TwoDestinations;
    assert_eq!(
        verify([0x8000, 0x9000, 0xa000, 0x9000]),
        clash(0x9000, twice)
    );
}

#[test]
fn a_builder_refuses_what_its_limits_do() {
    let range = |at: u64| PhysRange::with_size((at * 0x1000).into(), 0x1000).unwrap();
    let build = |count: u64, destination| {
        let dests = (0..count).map(range);
        let segments: Vec<_> = dests.map(|dest| Segment { parts: &[], dest }).collect();
        let mut memory = Region::try_new(PhysAddr::new(0), vec![0; 1]).unwrap();
        let frames = Frames {
            left: VecDeque::new(),
            highmem: 0,
        };
        let limits = Limits {
            destination,
            ..Limits::BITS_64
        };
        let format = Format::LE64_4K;
        Builder::try_new(format, limits, &segments, &mut [0], &mut memory, frames).err()
    };
    let rejected = |rule, segment, found, bound| {
        Some(Error::Rejected(Rejected {
            rule,
            segment,
            other: None,
            found,
            bound,
        }))
    };
    assert_eq!(build(16, 0x1_0001), None);
    let many = rejected(Rule::TooManySegments, None, 17, 16);
    assert_eq!(build(17, u64::MAX), many);
    let high = rejected(Rule::TooHigh, Some(15), 0x1_0000, 0x1_0000);
    assert_eq!(build(16, 0x1_0000), high);
}

#[test]
fn scratch_is_counted_in_bytes() {
    let dest = PhysRange::with_size(0.into(), 200 << 12).unwrap();
    let segments = [Segment { parts: &[], dest }];
    let mut memory = Region::try_new(PhysAddr::new(0), vec![0; 1]).unwrap();
    let frames = Frames {
        left: VecDeque::new(),
        highmem: 0,
    };
    let (format, limits) = (Format::LE64_4K, Limits::BITS_64);
    // A bit for each of 200 pages.
    let mut scratch = [0; 3];
    let short = Builder::try_new(format, limits, &segments, &mut scratch, &mut memory, frames);
    assert_eq!(
        short.unwrap_err().to_string(),
        "offset 0x0: scratch for pages set aside needs 32 bytes, 24 are there"
    );
}

fn cases(most: u64) -> impl Strategy<Value = Case> {
    let layout = prop::collection::vec((0..most / 4, 1..=most / 4, any::<[u16; 3]>()), 1..5);
    (layout, 0..FORMATS.len(), any::<bool>(), 1..=4_u64).prop_flat_map(
        move |(layout, format, reversed, quarters)| {
            let format = FORMATS[format];
            let page = format.page.bytes();
            let mut at = 0;
            let mut segments: Vec<_> = layout
                .into_iter()
                .map(|(gap, pages, lens)| {
                    let start = at + gap;
                    at = start + pages;
                    let mut left = (pages * page) as usize;
                    let mut cut = |len: u16| {
                        let len = (usize::from(len) * 4).min(left);
                        left -= len;
                        len
                    };
                    (start, pages, lens.map(&mut cut).to_vec())
                })
                .collect();
            if reversed {
                segments.reverse();
            }
            let memory = at + most;
            let frames: Vec<u64> = (0..memory).collect();
            let border = memory * page / 4 * quarters;
            let limits = Limits {
                highmem: border,
                source: (memory - memory / 8) * page,
                ..Limits::BITS_64
            };
            Just(frames).prop_shuffle().prop_map(move |frames| Case {
                format,
                limits,
                memory,
                segments: segments.clone(),
                frames,
            })
        },
    )
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} {:?} frames {:?}",
            self.format, self.segments, self.frames
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_small_image_and_any_allocator(case in cases(24)) {
        case.run();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..Default::default() })]

    #[test]
    fn images_of_several_pages_of_entries(case in cases(600)) {
        case.run();
    }
}
