//! What opening costs: the memory that it takes and the bytes that it reads, of every container.
//!
//! The files are the samples with as much behind them as a real dump has pages: who read those, or made room for them, would be
//! found out.
#![cfg(feature = "alloc")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
    fs,
    path::PathBuf,
    slice,
};

use elf_format::{Segment, SegmentType};
use vmcore_format::{Dump, ReadAt, source::ReadError};

/// Counts what this thread has at once.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

impl Counting {
    fn add(size: usize) {
        // A thread that ends has no counters any more.
        let _ = HELD.try_with(|held| {
            held.set(held.get() + size);
            let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
        });
    }

    fn remove(size: usize) {
        let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(size)));
    }
}

// SAFETY: everything is the system allocator's, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::remove(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A file that notes which of its bytes are read, and that goes on behind its end with zeros.
struct Watched<'f> {
    file: &'f [u8],
    size: u64,
    lends: bool,
    read: &'f RefCell<Vec<(u64, u64)>>,
}

/// What lies behind the samples, as the pages of a dump would.
const BEHIND: u64 = 64 << 30;

impl ReadAt for Watched<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let len = out.len() as u64;
        if len > 0 && offset.checked_add(len).is_none_or(|end| end > self.size) {
            let available = self.size.saturating_sub(offset);
            return Err(ReadError::Short {
                offset,
                needed: len,
                available,
            });
        }
        self.read.borrow_mut().push((offset, len));
        out.fill(0);
        let inside = self.file.get(offset as usize..).unwrap_or_default();
        let inside = &inside[..inside.len().min(out.len())];
        out[..inside.len()].copy_from_slice(inside);
        Ok(())
    }

    fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let bytes = self.file.get(offset as usize..)?.get(..len)?;
        self.lends.then_some(bytes)
    }
}

/// What opening took.
struct Cost {
    /// The most memory at once, without what was there before.
    memory: u64,
    /// First byte and length of each read, of each file.
    reads: Vec<Vec<(u64, u64)>>,
}

impl Cost {
    fn of(files: &[Vec<u8>], lends: bool) -> Self {
        // What notes the reads takes no memory meanwhile.
        let room = || RefCell::new(Vec::with_capacity(1 << 16));
        let reads: Vec<_> = files.iter().map(|_| room()).collect();
        let sources: Vec<_> = files
            .iter()
            .zip(&reads)
            .map(|(file, read)| Watched {
                file,
                size: file.len() as u64 + BEHIND,
                lends,
                read,
            })
            .collect();
        let before = HELD.get();
        MOST.set(before);
        let dump = Dump::open_parts(sources).unwrap();
        let memory = (MOST.get() - before) as u64;
        drop(dump);
        let reads = reads.into_iter().map(RefCell::into_inner).collect();
        Self { memory, reads }
    }

    /// The end of what was read, in any file.
    fn end(&self) -> u64 {
        let ends = self
            .reads
            .iter()
            .flatten()
            .map(|(offset, len)| offset + len);
        ends.max().unwrap()
    }

    fn bytes(&self) -> u64 {
        self.reads.iter().flatten().map(|(_, len)| len).sum()
    }
}

fn form(name: &str) -> Vec<u8> {
    let forms = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/forms");
    fs::read(forms.join(name)).unwrap()
}

/// How many frames a little-endian 64-bit dump of version 6 has, and where its page descriptors begin.
fn kdump(file: &[u8]) -> (u64, u64) {
    let word = |at| u64::from(u32::from_le_bytes(file[at..at + 4].try_into().unwrap()));
    let (block, sub, bitmaps, frames) = (word(428), word(432), word(436), word(440));
    (frames, (1 + sub + bitmaps) * block)
}

/// Room for whatever is small: headers, notes, VMCOREINFO, lists of parts and records.
const SMALL: u64 = 64 << 10;

/// What a dump of so many frames may take: both bitmaps where they must be copied, and the index over one of them.
fn allowed(frames: u64, lends: bool) -> u64 {
    let bitmap = frames.div_ceil(8);
    let copied = if lends { 0 } else { 2 * bitmap };
    copied + bitmap.div_ceil(32) + SMALL
}

#[test]
fn elf_costs_headers_and_notes() {
    for name in ["elf", "small.elf"] {
        let file = form(name);
        for lends in [false, true] {
            let cost = Cost::of(slice::from_ref(&file), lends);
            assert!(cost.memory <= SMALL, "{name}: {} bytes", cost.memory);
            // 64 bytes of header and the program headers, up to the end of the notes.
            let dump = Dump::open(&file[..]).unwrap();
            let header = dump.elf().unwrap().header();
            let table = header.phoff + 56 * dump.segments().len() as u64;
            let is_note = |segment: &&Segment| segment.kind == SegmentType::NOTE;
            let notes = dump.segments().iter().filter(is_note);
            let notes: Vec<_> = notes.map(|s| (s.offset, s.filesz)).collect();
            for &(offset, len) in &cost.reads[0] {
                let is_header = offset + len <= table;
                assert!(
                    is_header || !lends && notes.contains(&(offset, len)),
                    "{name}: {len} bytes at {offset:#x}"
                );
            }
        }
    }
}

#[test]
fn kdump_costs_headers_notes_and_bitmaps() {
    for name in [
        "lzo",
        "zlib",
        "stored",
        "snappy",
        "zstd",
        "mixed",
        "incomplete",
        "64k",
    ] {
        let file = form(name);
        let (frames, descriptors_at) = kdump(&file);
        for lends in [false, true] {
            let cost = Cost::of(slice::from_ref(&file), lends);
            let allowed = allowed(frames, lends);
            assert!(cost.memory <= allowed, "{name}: {} bytes", cost.memory);
            assert!(cost.end() <= descriptors_at, "{name}: {:#x}", cost.end());
            assert!(cost.bytes() <= descriptors_at + SMALL);
        }
    }
}

#[test]
fn parts_cost_the_bitmaps_once() {
    let files = ["lzo.part3", "lzo.part1", "lzo.part2"].map(form);
    let (frames, descriptors_at) = kdump(&files[0]);
    for lends in [false, true] {
        let cost = Cost::of(&files, lends);
        assert!(cost.memory <= allowed(frames, lends), "{}", cost.memory);
        assert!(cost.end() <= descriptors_at, "{:#x}", cost.end());
    }
}

#[test]
fn flattened_files_cost_the_headers_of_their_records_too() {
    for (name, plain) in [("lzo.flat", "lzo"), ("elf.flat", "elf")] {
        let file = form(name);
        for lends in [false, true] {
            let flattened = Cost::of(slice::from_ref(&file), lends);
            let plain = Cost::of(&[form(plain)], lends);
            let records = flattened.reads[0].iter().filter(|(_, len)| *len == 16);
            let records = 16 * records.count() as u64;
            assert!(records > 0);
            assert!(flattened.memory <= plain.memory + SMALL, "{name}");
            // What lies in two records is not lent.
            let bitmaps = 2 * 81_882_u64.div_ceil(8);
            assert!(
                flattened.bytes() <= plain.bytes() + records + bitmaps + 4096,
                "{name}: {} bytes",
                flattened.bytes()
            );
        }
    }
}

/// The sample as the dump of a machine with 64 GiB, all of whose pages would be in the file.
fn large() -> (Vec<u8>, u64) {
    const FRAMES: u32 = 1 << 24;
    const BLOCK: usize = 4096;
    let mut file = form("stored");
    let bitmap = FRAMES as usize / 8;
    let blocks = (2 * bitmap / BLOCK) as u32;
    file[436..440].copy_from_slice(&blocks.to_le_bytes());
    file[440..444].copy_from_slice(&FRAMES.to_le_bytes());
    file[BLOCK + 96..][..8].copy_from_slice(&u64::from(FRAMES).to_le_bytes());
    file.truncate(3 * BLOCK);
    file.resize(3 * BLOCK + 2 * bitmap, 0xff);
    (file, FRAMES.into())
}

#[test]
fn the_dump_of_a_large_machine_costs_its_bitmaps_and_no_mebibyte_more() {
    let (file, frames) = large();
    let (told, descriptors_at) = kdump(&file);
    assert_eq!((told, descriptors_at), (frames, file.len() as u64));
    for (lends, bitmaps) in [(false, 2 * frames / 8), (true, 0)] {
        let cost = Cost::of(slice::from_ref(&file), lends);
        let more = cost.memory.saturating_sub(bitmaps);
        assert!(more <= 1 << 20, "{more} bytes more than the bitmaps");
        assert!(cost.memory <= allowed(frames, lends), "{}", cost.memory);
        assert!(cost.end() <= descriptors_at);
        assert!(cost.bytes() <= bitmaps + SMALL, "{} bytes", cost.bytes());
    }
}

#[test]
fn what_is_not_read_is_found_out() {
    // The test tests itself: whoever reads pages, or makes room for them, is seen.
    let read = RefCell::new(Vec::new());
    let source = Watched {
        file: &[],
        size: BEHIND,
        lends: true,
        read: &read,
    };
    source.read_exact_at(BEHIND - 8, &mut [0; 8]).unwrap();
    assert!(source.read_exact_at(BEHIND - 7, &mut [0; 8]).is_err());
    assert_eq!(*read.borrow(), [(BEHIND - 8, 8)]);
    let before = HELD.get();
    let room = vec![0_u8; 1 << 20];
    assert!(HELD.get() - before >= 1 << 20);
    drop(room);
    assert!(MOST.get() >= 1 << 20 && HELD.get() == before);
}
