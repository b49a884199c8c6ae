//! Core headers of a machine with 10,000 ranges of RAM: the elfcorehdr, and what /proc/vmcore makes
//! of it.
//!
//! The limit is to store the words of every program header; of /proc/vmcore, to load and store
//! them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use std::hint::black_box;

use benches::race::Race;
use elf_format::{Class, Encoding, Endian, Machine};
use physmem::{MemError, PageShift, PhysAddr, PhysMemory, PhysRange};
use vmcore_format::build::{
    elfcorehdr::{Builder, Policy},
    proc_vmcore::{CaptureKernel, NoteAlign, ProcVmcore},
};

const RANGES: usize = 10_000;
/// Direct map of x86-64.
const PAGE_OFFSET: u64 = 0xffff_8880_0000_0000;
const NOTES: u64 = 0x1000;
const NOTES_SIZE: u64 = 0x170;

/// Zeros: notes of CPUs that were offline. The rest is never read.
struct Zeros;

impl PhysMemory for Zeros {
    fn read(&self, _: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        out.fill(0);
        Ok(())
    }

    fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

fn main() {
    let ranges: Vec<PhysRange> = (1..=RANGES as u64)
        .map(|at| PhysRange::with_size(PhysAddr::new(at << 21), 1 << 20).unwrap())
        .collect();
    let notes = PhysRange::with_size(PhysAddr::new(NOTES), NOTES_SIZE).unwrap();
    let builder = Builder {
        encoding: Encoding {
            class: Class::Elf64,
            endian: Endian::Little,
        },
        machine: Machine::X86_64,
        policy: Policy::Kernel,
        cpu_notes: &[notes],
        vmcoreinfo: None,
        image: None,
        ram: ranges.iter().copied(),
        page_offset: PAGE_OFFSET,
    };
    let header = builder.to_vec().unwrap();
    let mut by_hand = vec![0; header.len()];
    store(&mut by_hand, &ranges);
    assert!(by_hand == header, "not the same elfcorehdr");
    let mut out = vec![0; header.len()];
    Race::new(
        format!("elfcorehdr of {RANGES} ranges"),
        RANGES,
        "program header",
    )
    .enter("the words by hand", || {
        store(&mut by_hand, black_box(&ranges));
        last_word(&by_hand)
    })
    .enter("vmcore-format, emit", || {
        black_box(&builder).emit(&mut out).unwrap();
        last_word(&out)
    })
    .run();

    let kernel = CaptureKernel {
        page: PageShift::SIZE_4K,
        note_align: NoteAlign::Four,
    };
    let mut offsets = header.clone();
    Race::new(
        format!("/proc/vmcore of {RANGES} ranges"),
        RANGES,
        "program header",
    )
    .enter("offsets stored by hand", || {
        rewrite(black_box(&header), &mut offsets)
    })
    .enter("vmcore-format, ProcVmcore", || {
        let file = ProcVmcore::try_new(black_box(&header), Zeros, kernel).unwrap();
        let last = 64 + 56 * RANGES;
        word(file.headers(), last + 8)
    })
    .run();
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

/// `p_memsz` of the last range.
fn last_word(header: &[u8]) -> u64 {
    word(header, 64 + 56 * RANGES + 40)
}

fn store(out: &mut [u8], ranges: &[PhysRange]) {
    let (ehdr, phdrs) = out.split_first_chunk_mut::<64>().unwrap();
    *ehdr = [0; 64];
    ehdr[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    let phnum = u16::try_from(ranges.len() + 1).unwrap();
    for (at, half) in [
        (16, 4),
        (18, 62),
        (20, 1),
        (32, 64),
        (52, 64),
        (54, 56),
        (56, phnum),
    ] {
        ehdr[at..at + 2].copy_from_slice(&half.to_le_bytes());
    }
    let words = |words: [u64; 7], out: &mut [u8]| {
        for (out, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
            *out = word.to_le_bytes();
        }
    };
    let (first, rest) = phdrs.split_at_mut(56);
    words([4, NOTES, 0, NOTES, NOTES_SIZE, NOTES_SIZE, 0], first);
    for (out, range) in rest.chunks_exact_mut(56).zip(ranges) {
        let (start, size) = (range.start().as_u64(), range.size());
        let virt = PAGE_OFFSET.wrapping_add(start);
        words([1 | 7 << 32, start, virt, start, size, size, 0], out);
    }
}

/// What /proc/vmcore must do at the least: sum up, and give every range its place. The last one's.
fn rewrite(header: &[u8], out: &mut [u8]) -> u64 {
    let headers = (64 + 56 * (RANGES as u64 + 1)).next_multiple_of(4096);
    let (mut at, mut last) = (headers, 0);
    let pairs = header[120..]
        .chunks_exact(56)
        .zip(out[120..].chunks_exact_mut(56));
    for (phdr, out) in pairs.take(RANGES) {
        out.copy_from_slice(phdr);
        out[8..16].copy_from_slice(&at.to_le_bytes());
        last = at;
        at += word(phdr, 40).next_multiple_of(4096);
    }
    last
}
