//! From bytes to a checked view: the headers of an ELF core, the memory map in a kernel log (1 ns a byte
//! is 1000 MB/s). And back: the headers of a core to be written.
#![allow(clippy::unwrap_used, reason = "a bench of known input")]

use std::{fmt::Write, hint::black_box};

use benches::{guest::Guest, race::Race};
use e820::text::dmesg::LogEntries;
use elf_format::{Class, Elf, Encoding, Endian, Header, Machine};
use physmem::{PageShift, PhysAddr, PhysRange};
use vmcore_format::build::core::{Core, Part};

/// Headers parsed in a round.
const HEADERS: usize = 4096;
/// Lines of the log; a large machine's with `ignore_loglevel`.
const LINES: usize = 10_000;
/// Parts of a guest's memory: 100 ns each are 1 ms.
const PARTS: usize = 10_000;

fn main() {
    elf();
    core();
    e820();
}

fn elf() {
    // What a small vmcore has: a PT_NOTE and five PT_LOADs.
    let file = Guest::new().dump(5).unwrap();
    let entry_and_sizes = |bytes: &[u8]| -> u64 {
        let word = |at: usize| u64::from_le_bytes(*bytes.get(at..).unwrap().first_chunk().unwrap());
        (0..6).map(|index| word(64 + 56 * index + 32)).sum()
    };
    Race::new("ELF: bytes to segments", HEADERS, "file")
        .enter("six loads by hand", || {
            (0..HEADERS)
                .map(|_| entry_and_sizes(black_box(&file)))
                .sum()
        })
        .enter("elf-format, Elf::parse and its segments", || {
            let sizes = |file| {
                Elf::parse(file)
                    .unwrap()
                    .segments()
                    .map(|s| s.filesz)
                    .sum::<u64>()
            };
            (0..HEADERS).map(|_| sizes(black_box(&file[..]))).sum()
        })
        .enter("elf-format, Header::parse and its table", || {
            (0..HEADERS)
                .map(|_| {
                    let file = black_box(&file[..]);
                    let header = Header::parse(file).unwrap();
                    let table = header.program_headers(None).unwrap();
                    let from = usize::try_from(table.offset()).unwrap();
                    let len = usize::try_from(table.byte_len()).unwrap();
                    let bytes = file.get(from..).unwrap().get(..len).unwrap();
                    let segments =
                        elf_format::Segments::new(bytes, header.encoding(), table.offset());
                    segments.unwrap().map(|segment| segment.filesz).sum::<u64>()
                })
                .sum()
        })
        .run();
}

fn core() {
    const HEADER: usize = 64;
    const SEGMENT: usize = 56;
    // Every other 2 MiB.
    let size = 1_u64 << 21;
    let parts: Vec<Part> = (0..PARTS as u64)
        .map(|part| PhysRange::with_size(PhysAddr::new(2 * part * size), size))
        .map(|range| Part::stored(range.unwrap()))
        .collect();
    let encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };
    let page = PageShift::SIZE_4K;
    let core = Core::new(encoding, Machine::X86_64, page, &[], parts.iter().copied());
    let mut out = vec![0; core.emitted_len()];
    let start = (out.len() as u64).next_multiple_of(page.bytes());
    let mut by_hand = out.clone();
    let last = |out: &[u8]| {
        let last = out.last_chunk::<SEGMENT>().unwrap();
        let word = |at: usize| u64::from_le_bytes(*last.get(at..).unwrap().first_chunk().unwrap());
        word(8) + word(24) + word(40)
    };

    Race::new("ELF: headers of a core", PARTS, "part")
        .enter("seven stores by hand", || {
            let headers = by_hand
                .get_mut(HEADER..)
                .unwrap()
                .as_chunks_mut::<SEGMENT>();
            let mut offset = start;
            for (header, part) in headers.0.iter_mut().zip(black_box(&parts)) {
                let (at, size) = (part.range.start().as_u64(), part.range.size());
                let words = [7 << 32 | 1, offset, 0, at, size, size, 0];
                for (word, value) in header.as_chunks_mut().0.iter_mut().zip(words) {
                    *word = value.to_le_bytes();
                }
                offset += size;
            }
            last(&by_hand)
        })
        .enter("vmcore-format, Core::emit", || {
            black_box(&core).emit(&mut out).unwrap();
            last(&out)
        })
        .run();
}

fn e820() {
    let mut log = String::new();
    for line in 0..LINES as u64 {
        let (start, last) = (line << 21, (line << 21) + 0x1f_ffff);
        writeln!(
            log,
            "[    0.000000] BIOS-e820: [mem {start:#018x}-{last:#018x}] usable"
        )
        .unwrap();
    }
    let lines = || log.as_bytes().split_inclusive(|byte| *byte == b'\n');
    Race::new(
        format!("e820: a log of {LINES} map lines"),
        log.len(),
        "byte",
    )
    .enter("the lines, found by hand", || {
        lines().map(|_| 0x20_0000).sum()
    })
    .enter("e820, LogEntries", || {
        LogEntries::new(log.as_bytes())
            .map(|found| found.unwrap().entry.size)
            .sum()
    })
    .run();
}
