//! From bytes to a checked view: the headers of an ELF core, the memory map in a kernel log (1 ns a byte
//! is 1000 MB/s).
#![allow(clippy::unwrap_used, reason = "a bench of known input")]

use std::{fmt::Write, hint::black_box};

use benches::{guest::Guest, race::Race};
use e820::text::dmesg::LogEntries;
use elf_format::{Elf, Header};

/// Headers parsed in a round.
const HEADERS: usize = 4096;
/// Lines of the log; a large machine's with `ignore_loglevel`.
const LINES: usize = 10_000;

fn main() {
    elf();
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
