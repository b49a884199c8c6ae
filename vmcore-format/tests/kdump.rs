//! Compressed dumps in every form, against the pages that libkdumpfile reads.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{cell::Cell, collections::BTreeMap, fs, path::PathBuf, rc::Rc};

use elf_format::{Class, Endian as FileEndian, Machine};
use physmem::{
    Absence, Endian, MemError, PageShift, Pfn, PhysAddr, PhysMemory, PhysRange, Width, runs,
};
use vmcore_format::{
    Dump, Error, PartError, codec::Method, dump::Counts, eraseinfo::Erasure, kdump::Signature,
    source::FileSource,
};

fn form(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/forms")
        .join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(form(name)).unwrap()
}

/// The checksum of each page by its frame number.
fn pages() -> BTreeMap<u64, u32> {
    let text = fs::read_to_string(form("pages.tsv")).unwrap();
    let pages: BTreeMap<_, _> = text
        .lines()
        .map(|line| {
            let (pfn, crc32) = line.split_once('\t').unwrap();
            (
                pfn.parse().unwrap(),
                u32::from_str_radix(crc32, 16).unwrap(),
            )
        })
        .collect();
    assert_eq!(pages.len(), 48);
    pages
}

fn addr(pfn: u64) -> PhysAddr {
    Pfn::new(pfn).addr(PageShift::SIZE_4K).unwrap()
}

fn crc32(memory: &impl PhysMemory, pfn: u64) -> Result<u32, Absence> {
    let mut page = [0; 4096];
    let read = memory.read(addr(pfn), &mut page);
    read.map(|()| crc32fast::hash(&page))
        .map_err(|error| error.why)
}

/// All pages but those in `absent`, which are missing for that reason.
fn check_pages(memory: &impl PhysMemory, absent: &BTreeMap<u64, Absence>, name: &str) {
    for (pfn, expected) in pages() {
        let expected = absent.get(&pfn).copied().map_or(Ok(expected), Err);
        assert_eq!(crc32(memory, pfn), expected, "{name}, frame {pfn}");
    }
}

type Whole = (&'static str, u64, [(Method, u64); 2]);

/// Those that have all pages, how many share the page of zeros, and what they are compressed with, as a script that shares no code
/// with the library counts them.
const WHOLE: [Whole; 4] = [
    ("lzo", 0, [(Method::STORED, 11), (Method::LZO, 37)]),
    ("zlib", 17, [(Method::STORED, 19), (Method::ZLIB, 29)]),
    ("stored", 0, [(Method::STORED, 48), (Method::ZLIB, 0)]),
    ("snappy", 17, [(Method::STORED, 28), (Method::SNAPPY, 20)]),
];

#[test]
fn every_page_of_every_method_lent_and_read() {
    for (name, zero, methods) in WHOLE {
        let bytes = bytes(name);
        let lent = Dump::open(&bytes[..]).unwrap();
        let read = FileSource::new(fs::File::open(form(name)).unwrap()).unwrap();
        let read = Dump::open(read).unwrap();
        check_pages(&lent.reader(), &BTreeMap::new(), name);
        check_pages(&read.reader(), &BTreeMap::new(), name);

        let census = lent.kdump().unwrap().census().unwrap();
        let used: Vec<_> = methods
            .into_iter()
            .filter(|(_, pages)| *pages > 0)
            .collect();
        assert_eq!(census.methods, used, "{name}");
        assert_eq!(census, read.kdump().unwrap().census().unwrap());
        assert_eq!((census.present, census.lost, census.damaged), (48, 0, 0));
        assert_eq!(census.zero, zero, "{name}");
    }
}

/// A codec that answers nothing, as one does where a feature is missing.
struct NoCodec;

impl vmcore_format::codec::Codec for NoCodec {
    fn decode(&mut self, method: Method, _: &[u8], _: &mut [u8]) -> Result<usize, Absence> {
        assert_ne!(method, Method::STORED, "stored pages need no codec");
        Err(Absence::CodecMissing)
    }
}

#[test]
fn without_a_codec_stored_pages_are_there_and_the_others_say_why_not() {
    let bytes = bytes("lzo");
    let dump = Dump::open(&bytes[..]).unwrap();
    let memory = dump.reader_with(NoCodec);
    let mut counts = BTreeMap::new();
    for (pfn, crc) in pages() {
        let method = dump.kdump().unwrap().method(addr(pfn)).unwrap();
        match crc32(&memory, pfn) {
            Ok(found) => assert_eq!((found, method), (crc, Method::STORED)),
            Err(why) => {
                assert_eq!((why, method), (Absence::CodecMissing, Method::LZO));
                // A word of a page goes the same way.
                let word = memory.word(addr(pfn), Width::U64, Endian::Little);
                assert_eq!(word.unwrap_err().why, why);
            }
        }
        *counts.entry(method).or_insert(0) += 1;
    }
    assert_eq!(
        counts,
        BTreeMap::from([(Method::STORED, 11), (Method::LZO, 37)])
    );
    assert_eq!(Method::LZO.feature(), Some("lzo"));
}

#[test]
fn excluded_pages_and_those_that_no_bitmap_has() {
    let bytes = bytes("mixed");
    let dump = Dump::open(&bytes[..]).unwrap();
    let frames: Vec<u64> = pages().into_keys().collect();
    let excluded = [5, 6, 7, 8, 47].map(|index| (frames[index], Absence::Excluded));
    // Pages in zstd need a feature that the tests may lack.
    let zstd = if Method::ZSTD.is_built_in() { 0 } else { 1 };
    let mut absent = BTreeMap::from(excluded);
    for pfn in &frames {
        let method = dump.kdump().unwrap().method(addr(*pfn));
        if zstd == 1 && method == Some(Method::ZSTD) {
            absent.insert(*pfn, Absence::CodecMissing);
        }
    }
    check_pages(&dump.reader(), &absent, "mixed");
    for not_ram in [0, 1412, 1414, 81_882, 1 << 40, (1 << 52) - 1] {
        assert_eq!(crc32(&dump.reader(), not_ram), Err(Absence::NotRam));
    }
    let census = dump.kdump().unwrap().census().unwrap();
    let (present, zero, excluded) = (census.present, census.zero, census.excluded);
    assert_eq!((present, zero, excluded), (43, 15, 5));
    assert_eq!(
        dump.page_counts(PageShift::SIZE_4K),
        Counts {
            present: 43,
            excluded: 5,
            lost: 0
        }
    );
    assert_eq!(dump.byte_counts().present, 43 << 12);
    // The sixth and seventh frame are neighbours.
    let excluded: Vec<_> = dump
        .ranges()
        .filter(|(_, absence)| absence.is_some())
        .collect();
    let range = |from, to| PhysRange::try_new(addr(from), addr(to)).unwrap();
    assert_eq!(
        excluded,
        [
            (8244, 8246),
            (13_563, 13_564),
            (14_611, 14_612),
            (81_881, 81_882)
        ]
        .map(|(from, to)| (range(from, to), Some(Absence::Excluded)))
    );
    assert_eq!(
        dump.reader().next_run(addr(13_564)),
        Some(range(14_611, 14_612))
    );
    assert_eq!(dump.reader().next_run(addr(81_882)), None);
    assert_eq!(
        runs(&dump.reader()).map(|run| run.size()).sum::<u64>(),
        48 << 12
    );
}

#[test]
fn lost_pages_are_not_excluded_ones() {
    let bytes = bytes("lost");
    let dump = Dump::open(&bytes[..]).unwrap();
    assert!(dump.is_incomplete());
    let low: Vec<u64> = pages().into_keys().filter(|pfn| *pfn < 32_768).collect();
    let mut absent: BTreeMap<u64, Absence> = pages()
        .into_keys()
        .map(|pfn| (pfn, Absence::NotRam))
        .collect();
    for pfn in &low {
        absent.remove(pfn);
    }
    absent.extend(low.iter().rev().take(5).map(|pfn| (*pfn, Absence::Lost)));
    check_pages(&dump.reader(), &absent, "lost");
    let census = dump.kdump().unwrap().census().unwrap();
    assert_eq!((census.present, census.lost), (low.len() as u64 - 5, 5));
}

#[test]
fn a_dump_for_which_the_disk_was_too_small() {
    let bytes = bytes("incomplete");
    let dump = Dump::open(&bytes[..]).unwrap();
    assert!(dump.is_incomplete());
    let memory = dump.reader();
    let (mut there, mut lost) = (0, 0);
    for (pfn, crc) in pages() {
        match crc32(&memory, pfn) {
            Ok(found) => {
                assert_eq!(found, crc, "frame {pfn}");
                there += 1;
            }
            Err(why) => {
                assert_eq!(why, Absence::Lost, "frame {pfn}");
                lost += 1;
            }
        }
    }
    assert_eq!((there, lost), (38, 10));
    let census = dump.kdump().unwrap().census().unwrap();
    assert_eq!((census.present, census.lost), (38, 10));
}

#[test]
fn both_word_sizes_both_byte_orders_and_both_sub_headers() {
    let expected = [
        ("be64", Class::Elf64, FileEndian::Big, Machine::PPC64),
        ("be32", Class::Elf32, FileEndian::Big, Machine::PPC),
        ("le32", Class::Elf32, FileEndian::Little, Machine::I386),
        ("arm32", Class::Elf32, FileEndian::Little, Machine::ARM),
    ];
    let not_there = pages().into_keys().filter(|pfn| *pfn >= 32_768);
    let absent = not_there.map(|pfn| (pfn, Absence::NotRam)).collect();
    for (name, class, endian, machine) in expected {
        let bytes = bytes(name);
        let dump = Dump::open(&bytes[..]).unwrap();
        let header = dump.kdump().unwrap().header().clone();
        assert_eq!(
            (header.encoding.class, header.encoding.endian),
            (class, endian),
            "{name}"
        );
        assert_eq!(dump.machine(), machine, "{name}");
        assert_eq!((header.version, header.max_mapnr), (6, 31_879), "{name}");
        assert_eq!(header.dump_level, Some(1));
        check_pages(&dump.reader(), &absent, name);

        let notes: Vec<_> = dump.notes().map(Result::unwrap).collect();
        assert_eq!(notes.len(), 1, "{name}");
        assert_eq!(notes[0].name, b"VMCOREINFO");
        let info = dump.vmcoreinfo().unwrap().unwrap();
        assert_eq!(info.text(), notes[0].desc, "{name}");
        assert_eq!(info.os_release(), Ok(Some("6.1.0-56-cloud-amd64")));
    }
}

/// With no name of a machine the layout of a 32-bit sub header is found by what it points to.
#[test]
fn a_32_bit_sub_header_of_a_machine_without_a_name() {
    for name in ["le32", "arm32", "be32"] {
        let mut bytes = bytes(name);
        let named = Dump::open(&bytes[..])
            .unwrap()
            .kdump()
            .unwrap()
            .header()
            .clone();
        let machine = 12 + 4 * 65;
        bytes[machine..machine + 65].fill(0);
        let dump = Dump::open(&bytes[..]).unwrap();
        let header = dump.kdump().unwrap().header();
        assert_eq!(
            (header.notes, header.vmcoreinfo),
            (named.notes, named.vmcoreinfo),
            "{name}"
        );
        assert_eq!(dump.machine(), Machine::NONE);
    }
}

#[test]
fn a_machine_without_a_name_is_known_by_its_registers() {
    let mut bytes = bytes("lzo");
    let machine = 12 + 4 * 65;
    bytes[machine..machine + 65].fill(0);
    let dump = Dump::open(&bytes[..]).unwrap();
    assert_eq!(dump.machine(), Machine::X86_64);
    assert_eq!(dump.cpus().count(), 2);
}

#[test]
fn each_part_tells_what_was_erased_in_it() {
    let erase = |name: &str, text: &[u8]| {
        let mut file = bytes(name);
        let place = [file.len() as u64, text.len() as u64];
        // offset_eraseinfo and size_eraseinfo of the sub header.
        file[0x1040..0x1048].copy_from_slice(&place[0].to_le_bytes());
        file[0x1048..0x1050].copy_from_slice(&place[1].to_le_bytes());
        file.extend(text);
        file
    };
    let first = erase("lzo.part1", b"erase cred.security size 64\n");
    let third = erase("lzo.part3", b"erase key.description nullify\nerase\n");
    let end = bytes("lzo.part3").len() as u64;
    let second = bytes("lzo.part2");
    let dump = Dump::open_parts([&third[..], &second[..], &first[..]]).unwrap();
    let texts: Vec<_> = dump.eraseinfo().map(Result::unwrap).collect();
    let told: Vec<_> = texts.iter().flat_map(|text| text.erasures()).collect();
    let erasure = |what, bytes| Ok(Erasure { what, bytes });
    assert_eq!(told[0], erasure("cred.security", Some(64)));
    assert_eq!(told[1], erasure("key.description", None));
    assert!(matches!(told[2], Err(Error::BadText { offset, .. }) if offset == end + 30));
    assert_eq!(told.len(), 3);
}

#[test]
fn what_makedumpfile_writes_into_the_headers() {
    let bytes = bytes("lzo");
    let dump = Dump::open(&bytes[..]).unwrap();
    assert!(dump.elf().is_none() && !dump.is_flattened() && !dump.is_incomplete());
    let kdump = dump.kdump().unwrap();
    let header = kdump.header();
    assert_eq!(header.signature, Signature::Kdump);
    assert_eq!(header.block, PageShift::SIZE_4K);
    assert_eq!(header.utsname.release(), b"6.1.0-56-cloud-amd64");
    assert_eq!(header.utsname.machine(), b"x86_64");
    assert_eq!(header.timestamp.seconds, 1_795_391_635);
    assert_eq!(
        (header.cpus, header.dump_level, header.max_mapnr),
        (2, Some(0), 81_882)
    );
    assert_eq!(kdump.missing().count(), 0);
    assert_eq!(dump.eraseinfo().count(), 0);

    // What the ELF dump has, the compressed one has.
    let elf = fs::read(form("small.elf")).unwrap();
    let elf = Dump::open(&elf[..]).unwrap();
    let notes = |dump: &Dump<&[u8]>| -> Vec<_> {
        let notes = dump.notes().map(Result::unwrap);
        notes
            .map(|note| (note.name.to_vec(), note.desc.to_vec()))
            .collect()
    };
    assert_eq!(notes(&dump), notes(&elf));
    let registers = |dump: &Dump<&[u8]>| -> Vec<_> {
        let cpus = dump.cpus().map(Result::unwrap);
        cpus.map(|cpu| {
            (
                cpu.index,
                cpu.status.pid(),
                cpu.status.registers().collect::<Vec<_>>(),
            )
        })
        .collect()
    };
    assert_eq!(registers(&dump), registers(&elf));
    let info = |dump: &Dump<&[u8]>| dump.vmcoreinfo().unwrap().unwrap().text().to_vec();
    assert_eq!(info(&dump), info(&elf));
}

/// QEMU's dumps of arm64 have blocks of 64 KiB over pages of 4 KiB.
#[test]
fn pages_smaller_than_a_block() {
    let bytes = bytes("64k");
    let dump = Dump::open(&bytes[..]).unwrap();
    assert_eq!(dump.machine(), Machine::AARCH64);
    assert_eq!(dump.kdump().unwrap().header().block, PageShift::SIZE_64K);
    assert_eq!(dump.page_size(), Ok(PageShift::SIZE_4K));
    let told = |text: &str| {
        let dump = Dump::open(&bytes[..]).unwrap();
        let dump = dump.with_vmcoreinfo(text.into());
        dump.page_size().map_err(|error| error.to_string())
    };
    assert_eq!(told("PAGESIZE=65536\n"), Ok(PageShift::SIZE_64K));
    let refused =
        "offset 0x9: VMCOREINFO PAGESIZE is 0x20000, allowed: at most block_size of the header";
    assert_eq!(told("PAGESIZE=131072\n"), Err(refused.to_owned()));
    let low: Vec<u64> = pages().into_keys().filter(|pfn| *pfn < 32_768).collect();
    let blocks: std::collections::BTreeSet<u64> = low.iter().map(|pfn| pfn / 16).collect();
    assert_eq!(
        dump.page_counts(PageShift::SIZE_4K).present,
        blocks.len() as u64 * 16
    );
    if !Method::ZSTD.is_built_in() {
        assert_eq!(crc32(&dump.reader(), 3256), Err(Absence::CodecMissing));
        return;
    }
    let not_there = pages().into_keys().filter(|pfn| *pfn >= 32_768);
    let absent = not_there.map(|pfn| (pfn, Absence::NotRam)).collect();
    check_pages(&dump.reader(), &absent, "64k");
}

#[test]
fn the_parts_of_a_split_dump_in_any_order() {
    let parts = ["lzo.part1", "lzo.part2", "lzo.part3"].map(bytes);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let dump = Dump::open_parts(order.map(|part| &parts[part][..])).unwrap();
        check_pages(&dump.reader(), &BTreeMap::new(), "split");
        let kdump = dump.kdump().unwrap();
        assert_eq!((kdump.parts(), kdump.missing().count()), (3, 0));
        assert_eq!(kdump.census().unwrap().present, 48);
    }
}

/// The dump `lzo` split at `frames`, as makedumpfile splits: every part with room for all descriptors, and those
/// of its own frames in the first places.
fn split(frames: &[u64]) -> Vec<Vec<u8>> {
    const DESCRIPTORS: usize = 0x9000;
    let whole = bytes("lzo");
    let dump = Dump::open(&whole[..]).unwrap();
    let header = dump.kdump().unwrap().header();
    assert_eq!((header.sub_header_blocks, header.bitmap_blocks), (2, 6));
    let ends = frames.iter().copied().chain([header.max_mapnr]);
    let mut start = 0_u64;
    let mut parts = Vec::new();
    for end in ends {
        let mut part = whole.clone();
        part[0x100c..0x1010].copy_from_slice(&1_u32.to_le_bytes());
        part[0x1050..0x1058].copy_from_slice(&start.to_le_bytes());
        part[0x1058..0x1060].copy_from_slice(&end.to_le_bytes());
        part[DESCRIPTORS..DESCRIPTORS + 48 * 24].fill(0);
        let mine = pages().into_keys().enumerate();
        let mine = mine.filter(|(_, pfn)| (start..end).contains(pfn));
        for (to, (from, _)) in mine.enumerate() {
            let from = &whole[DESCRIPTORS + from * 24..][..24];
            part[DESCRIPTORS + to * 24..][..24].copy_from_slice(from);
        }
        parts.push(part);
        start = end;
    }
    parts
}

#[test]
fn parts_that_share_the_pages_and_a_part_that_is_missing() {
    let parts = split(&[5000, 30_700, 66_000]);
    let all: Vec<&[u8]> = [3, 0, 2, 1].map(|part| &parts[part][..]).into();
    check_pages(
        &Dump::open_parts(all).unwrap().reader(),
        &BTreeMap::new(),
        "all",
    );

    let some = [&parts[3][..], &parts[1]];
    let dump = Dump::open_parts(some).unwrap();
    let lost = |pfn: &u64| !(5000..30_700).contains(pfn) && *pfn < 66_000;
    let absent: BTreeMap<_, _> = pages()
        .into_keys()
        .filter(lost)
        .map(|pfn| (pfn, Absence::Lost))
        .collect();
    assert!(absent.len() > 5);
    check_pages(&dump.reader(), &absent, "two of four");
    let range = |from, to| PhysRange::try_new(addr(from), addr(to)).unwrap();
    let missing: Vec<_> = dump.kdump().unwrap().missing().collect();
    assert_eq!(missing, [range(0, 5000), range(30_700, 66_000)]);
    let count = absent.len() as u64;
    let counts = Counts {
        present: 48 - count,
        excluded: 0,
        lost: count,
    };
    assert_eq!(dump.page_counts(PageShift::SIZE_4K), counts);
    let census = dump.kdump().unwrap().census().unwrap();
    assert_eq!((census.present, census.lost), (counts.present, counts.lost));

    // One alone is a dump whose other parts are missing.
    let one = Dump::open(&parts[0][..]).unwrap();
    let one = one.kdump().unwrap();
    assert_eq!(one.missing().collect::<Vec<_>>(), [range(5000, 81_882)]);
}

#[test]
fn files_that_are_no_set() {
    let parts = split(&[30_000]);
    let error = |files: &[&[u8]]| Dump::open_parts(files.iter().copied()).unwrap_err();
    let twice = error(&[&parts[0], &parts[1], &parts[0]]);
    assert_eq!(
        twice.to_string(),
        "file 2: offset 0x1000: start_pfn of a part is 0x0, allowed: another in each file: this part is given twice"
    );
    let overlap = error(&[&parts[0], &split(&[20_000])[1]]);
    assert_eq!(
        overlap.to_string(),
        "file 1: offset 0x1000: start_pfn of a part is 0x4e20, allowed: at or above the end_pfn of the parts before it"
    );
    // One without frames may lie between others, and nowhere else.
    let empty = |at| split(&[at, at])[1].clone();
    let (between, behind) = (empty(30_000), empty(81_882));
    let all = [&between[..], &parts[1], &behind, &parts[0], &between];
    check_pages(
        &Dump::open_parts(all).unwrap().reader(),
        &BTreeMap::new(),
        "with empty ones",
    );
    let inside = error(&[&empty(5000), &parts[1], &parts[0]]);
    assert_eq!(
        inside.to_string(),
        "file 0: offset 0x1000: start_pfn of a part is 0x1388, allowed: at or above the end_pfn of the parts before it"
    );
    let whole = bytes("lzo");
    let no_part = error(&[&parts[0], &whole]);
    assert!(matches!(
        no_part,
        PartError { part: 1, error: Error::BadField { field, .. } } if field.name.starts_with("split")
    ));
    let mut other = parts[1].clone();
    other[408] ^= 1; // the time
    let differs = PartError {
        part: 1,
        error: Error::OtherDump { offset: 0 },
    };
    assert_eq!(error(&[&parts[0], &other]), differs);
    let mut other = parts[1].clone();
    other[0x6100] ^= 1; // the second bitmap
    let differs = PartError {
        part: 1,
        error: Error::OtherDump { offset: 0x6000 },
    };
    assert_eq!(error(&[&parts[0], &other]), differs);
    let elf = bytes("small.elf");
    assert_eq!(error(&[&elf, &parts[0]]).part, 0);
    assert!(Dump::open_parts([&elf[..]]).unwrap().elf().is_some());
    assert!(Dump::<&[u8]>::open_parts([]).is_err());
}

/// Counts what it decodes.
#[derive(Default)]
struct Counting(vmcore_format::codec::Builtin, Rc<Cell<u32>>);

impl vmcore_format::codec::Codec for Counting {
    fn decode(&mut self, method: Method, src: &[u8], out: &mut [u8]) -> Result<usize, Absence> {
        self.1.set(self.1.get() + 1);
        self.0.decode(method, src, out)
    }
}

#[test]
fn whole_pages_are_kept_unless_they_come_one_after_the_other() {
    // Sixteen frames in a row, all of them the first compressed page.
    let mut bytes = bytes("lzo");
    let dump = Dump::open(&bytes[..]).unwrap();
    let is_lzo = |pfn| dump.kdump().unwrap().method(addr(pfn)) == Some(Method::LZO);
    let number = pages().into_keys().position(is_lzo);
    let first = 0x9000 + number.unwrap() * 24;
    let desc: [u8; 24] = bytes[first..first + 24].try_into().unwrap();
    for bitmap in [0x3000, 0x6000] {
        bytes[bitmap..bitmap + 2].fill(0xff);
    }
    for number in 0..16 {
        bytes[0x9000 + number * 24..][..24].copy_from_slice(&desc);
    }
    let dump = Dump::open(&bytes[..]).unwrap();
    let codec = Counting::default();
    let count = codec.1.clone();
    let memory = dump.reader_with(codec);
    let mut page = [0; 4096];
    for _ in 0..2 {
        (1..16).for_each(|pfn| memory.read(addr(pfn), &mut page).unwrap());
    }
    // All but the first of each row twice.
    assert_eq!(count.take(), 1 + 14 * 2);
    for pfn in [3, 9, 5, 3, 9, 5] {
        memory.read(addr(pfn), &mut page).unwrap();
    }
    assert_eq!(count.take(), 3);
    let mut all = [0; 16 * 4096];
    memory.read(addr(0), &mut all).unwrap();
    assert!(all.chunks(4096).all(|one| one == page));
}

#[test]
fn words_come_from_pages_that_are_kept() {
    let bytes = bytes("lzo");
    let dump = Dump::open(&bytes[..]).unwrap();
    let codec = Counting::default();
    let count = codec.1.clone();
    let memory = dump.reader_with(codec);
    let compressed: Vec<u64> = pages()
        .into_keys()
        .filter(|pfn| dump.kdump().unwrap().method(addr(*pfn)) == Some(Method::LZO))
        .collect();
    for _ in 0..3 {
        for pfn in &compressed {
            let mut page = [0; 4096];
            memory.read(addr(*pfn), &mut page[..4095]).unwrap();
            memory.read(addr(*pfn), &mut page).unwrap();
            for at in (0..4096).step_by(8) {
                let word = memory.word(
                    addr(*pfn).checked_add(at).unwrap(),
                    Width::U64,
                    Endian::Little,
                );
                let expected = u64::from_le_bytes(page[at as usize..][..8].try_into().unwrap());
                assert_eq!(word, Ok(expected));
            }
        }
    }
    assert_eq!(
        count.get() as usize,
        compressed.len(),
        "each page is decoded once"
    );
}

#[test]
fn stored_pages_are_lent() {
    let bytes = bytes("lzo");
    let dump = Dump::open(&bytes[..]).unwrap();
    let memory = dump.reader();
    for (pfn, crc) in pages() {
        let is_stored = dump.kdump().unwrap().method(addr(pfn)) == Some(Method::STORED);
        // Once from the file, once as it is remembered.
        for _ in 0..2 {
            let lent = memory.lend(addr(pfn), 4096);
            assert_eq!(lent.map(crc32fast::hash), is_stored.then_some(crc));
            assert_eq!(memory.lend(addr(pfn), 4097), None);
        }
        let half = addr(pfn).checked_add(0x800).unwrap();
        assert_eq!(memory.lend(half, 0x800).is_some(), is_stored);
        assert_eq!(memory.lend(half, 0x801), None);
    }
}

#[test]
fn vmcoreinfo_from_elsewhere() {
    let bytes = bytes("lzo");
    let dump = Dump::open(&bytes[..]).unwrap();
    let dump = dump.with_vmcoreinfo(b"OSRELEASE=other\n".to_vec());
    assert_eq!(
        dump.vmcoreinfo().unwrap().unwrap().os_release(),
        Ok(Some("other"))
    );
}

#[test]
fn threads_share_a_dump() {
    fn shared<T: Sync + Send>() {}
    shared::<Dump<&[u8]>>();
    let bytes = bytes("lzo");
    let dump = Dump::open(&bytes[..]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| check_pages(&dump.reader(), &BTreeMap::new(), "threads"));
        }
    });
}

#[test]
fn a_read_says_where_memory_ends() {
    let bytes = bytes("mixed");
    let dump = Dump::open(&bytes[..]).unwrap();
    // 8,244 is excluded, and so is 8,245.
    let mut two = [0; 0x2000];
    let at = addr(8243).checked_add(0x800).unwrap();
    let error = dump.reader().read(at, &mut two).unwrap_err();
    assert_eq!(
        error,
        MemError {
            at,
            why: Absence::NotRam
        }
    );
    let error = dump.reader().read(addr(8244), &mut two).unwrap_err();
    assert_eq!(
        error,
        MemError {
            at: addr(8244),
            why: Absence::Excluded
        }
    );
    let lzo = self::bytes("lzo");
    let dump = Dump::open(&lzo[..]).unwrap();
    let error = dump.reader().read(addr(8245), &mut two).unwrap_err();
    assert_eq!(
        error,
        MemError {
            at: addr(8246),
            why: Absence::NotRam
        }
    );
    let last = PhysAddr::new(u64::MAX);
    assert!(dump.reader().read(last, &mut two).is_err());
}

#[test]
fn a_flattened_dump_is_the_same_dump() {
    let flat = bytes("lzo.flat");
    let dump = Dump::open(&flat[..]).unwrap();
    assert!(dump.is_flattened());
    check_pages(&dump.reader(), &BTreeMap::new(), "lzo.flat");
    let read = FileSource::new(fs::File::open(form("lzo.flat")).unwrap()).unwrap();
    check_pages(
        &Dump::open(read).unwrap().reader(),
        &BTreeMap::new(),
        "lzo.flat",
    );
    assert_eq!(dump.cpus().count(), 2);

    let elf = bytes("elf.flat");
    let dump = Dump::open(&elf[..]).unwrap();
    assert!(dump.is_flattened() && dump.elf().is_some());
    for (pfn, expected) in pages() {
        // Zero pages are in `p_memsz` and not in `p_filesz`.
        match crc32(&dump.reader(), pfn) {
            Ok(found) => assert_eq!(found, expected, "frame {pfn}"),
            Err(why) => assert_eq!((why, expected), (Absence::Excluded, 0xc71c_0011)),
        }
    }

    // One part flattened, another not.
    let parts = split(&[30_000]);
    let mut stream = vmcore_format::flattened::header().to_vec();
    stream.extend(vmcore_format::flattened::record_header(0, parts[1].len()).unwrap());
    stream.extend(&parts[1]);
    stream.extend([0xff; 16]);
    let dump = Dump::open_parts([&stream[..], &parts[0]]).unwrap();
    check_pages(&dump.reader(), &BTreeMap::new(), "mixed parts");
    assert!(dump.is_flattened());

    // The one with the lowest frames in records so short that its bitmaps cannot be lent.
    let mut stream = vmcore_format::flattened::header().to_vec();
    for (at, bytes) in (0..).step_by(32).zip(parts[0].chunks(32)) {
        stream.extend(vmcore_format::flattened::record_header(at, bytes.len()).unwrap());
        stream.extend(bytes);
    }
    stream.extend([0xff; 16]);
    for files in [[&parts[1][..], &stream], [&stream, &parts[1]]] {
        let dump = Dump::open_parts(files).unwrap();
        check_pages(
            &dump.reader(),
            &BTreeMap::new(),
            "mixed parts, short records",
        );
    }
}

#[test]
fn a_flattened_dump_that_was_cut_says_so_and_loses_pages() {
    let mut flat = bytes("lzo.flat");
    flat.truncate(flat.len() - 40_000);
    let Ok((dump, damage)) = Dump::open_damaged(&flat[..]) else {
        panic!("it has its headers");
    };
    assert_eq!(damage.len(), 1);
    assert!(Dump::open(&flat[..]).is_ok());
    let memory = dump.reader();
    let found: Vec<_> = pages()
        .into_iter()
        .map(|(pfn, crc)| (crc32(&memory, pfn), crc))
        .collect();
    assert!(found.iter().any(|(found, _)| *found == Err(Absence::Lost)));
    assert!(
        found
            .iter()
            .all(|(found, crc)| found.is_err() || *found == Ok(*crc))
    );
}
