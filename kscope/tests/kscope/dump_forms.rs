//! `kscope dump` on compressed, flattened and split dumps: the same answers from every form.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use elf_format::{Machine, Segment, SegmentFlags, SegmentType, Writer};
use serde_json::json;
use vmcore_format::flattened;

use crate::support::{
    Directory, ENCODING, Small, command, dump_of, kscope, kscope_with, small, small_dump, workspace,
};

const PARTS: [&str; 3] = [
    "testdata/forms/lzo.part1",
    "testdata/forms/lzo.part2",
    "testdata/forms/lzo.part3",
];

/// `PFN crc32` of every page, as `checksum` prints them.
fn pages() -> String {
    let text = fs::read_to_string(workspace().join("testdata/forms/pages.tsv")).unwrap();
    assert_eq!(text.lines().count(), 48);
    text.replace('\t', " ").replace("c71c0011", "zero")
}

/// The frame numbers of [`pages`].
fn frames() -> String {
    let line = |line: &str| format!("{}\n", line.split(' ').next().unwrap());
    pages().lines().map(line).collect()
}

#[test]
fn every_form_has_the_same_pages() {
    let (pages, frames) = (pages(), frames());
    for name in [
        "lzo",
        "zlib",
        "stored",
        "snappy",
        "zstd",
        "lzo.flat",
        "small.elf",
    ] {
        let file = format!("testdata/forms/{name}");
        // All that the dump has, and those of a list, mapped and read.
        assert_eq!(kscope(&["dump", "checksum", &file]).good(), pages, "{name}");
        let asked = ["dump", "checksum", &file, "--pfns", "-", "--no-mmap"];
        assert_eq!(
            kscope_with(&asked, frames.as_bytes()).good(),
            pages,
            "{name}"
        );
    }
    for order in [[0, 1, 2], [2, 0, 1]] {
        let [a, b, c] = order.map(|part| PARTS[part]);
        assert_eq!(kscope(&["dump", "checksum", a, b, c]).good(), pages);
        let notes = kscope(&["dump", "notes", PARTS[0]]).stdout;
        assert_eq!(kscope(&["dump", "notes", a, b, c]).good(), notes);
        assert_eq!(
            kscope(&["dump", "checksum", a, "--part", b, "--part", c]).good(),
            pages
        );
    }
}

#[test]
fn a_page_that_is_not_there_says_why() {
    let states = |file: &str, asked: &[u8]| {
        let file = format!("testdata/forms/{file}");
        kscope_with(&["dump", "checksum", &file, "--pfns", "-"], asked).good()
    };
    assert_eq!(
        states("mixed", b"1413\n\n 1414 \n8244\n"),
        "1413 386504ae\n1414 absent\n8244 excluded\n"
    );
    assert_eq!(
        states("mixed", b"18446744073709551615\n"),
        "18446744073709551615 absent\n"
    );
    assert_eq!(
        states("lost", b"31878\n1413"),
        "31878 lost\n1413 386504ae\n"
    );
    // Zero pages are in `p_memsz` and not in `p_filesz`.
    assert_eq!(states("elf", b"8244\n"), "8244 excluded\n");

    let list = kscope_with(&["dump", "checksum", PARTS[0], "--pfns", "-"], b"1413\nx\n");
    assert_eq!((list.status, list.stdout.as_str()), (1, "1413 386504ae\n"));
    assert!(
        list.stderr
            .ends_with("kscope: -: line 2: `x` is not a decimal frame number\n"),
        "{}",
        list.stderr
    );
    let both = kscope(&["dump", "checksum", "-", "--pfns", "-"]);
    both.failed(2, "standard input cannot be two things");
}

#[test]
fn info_tells_of_containers_and_codecs() {
    let info = |files: &[&str]| {
        let outcome = kscope(&[&["dump", "info", "--json"], files].concat());
        (outcome.status, outcome.json())
    };
    for (files, format, flattened, parts, codecs) in [
        (
            &["testdata/forms/zlib"][..],
            "kdump",
            false,
            1,
            json!({"stored": 19, "zlib": 29}),
        ),
        (
            &["testdata/forms/lzo.flat"],
            "kdump",
            true,
            1,
            json!({"stored": 11, "lzo": 37}),
        ),
        (&["testdata/forms/elf.flat"], "elf", true, 1, json!({})),
        (&PARTS, "kdump", false, 3, json!({"stored": 11, "lzo": 37})),
    ] {
        let (status, info) = info(files);
        assert_eq!(status, 0, "{files:?}");
        assert_eq!(info["format"], format, "{files:?}");
        assert_eq!(info["flattened"], flattened, "{files:?}");
        assert_eq!(info["parts"], parts, "{files:?}");
        assert_eq!(info["codecs"], codecs, "{files:?}");
        assert_eq!(info["kernel_release"], "6.1.0-56-cloud-amd64");
        assert_eq!(info["cpus"].as_array().unwrap().len(), 2);
    }
    // 16 pages of the kernel in each block of the dump.
    let (_, info) = info(&["testdata/forms/64k"]);
    assert_eq!(
        (&info["arch"], &info["page_size"]),
        (&json!("aarch64"), &json!(4096))
    );
    assert_eq!(info["pages"]["present"].as_u64().unwrap() % 16, 0);
    let codecs = info["codecs"].as_object().unwrap().values();
    let sum: u64 = codecs.map(|pages| pages.as_u64().unwrap()).sum();
    assert_eq!(info["pages"]["present"], sum);

    let text = kscope(&["dump", "info", "testdata/forms/lzo.flat"]).good();
    assert!(
        text.contains("  format          kdump, flattened\n"),
        "{text}"
    );
    assert!(
        text.contains("  codecs          11 stored, 37 lzo\n"),
        "{text}"
    );
}

#[test]
fn the_same_notes_and_memory() {
    let elf = kscope(&["dump", "vmcoreinfo", "testdata/forms/small.elf"]).good();
    for name in ["lzo", "lzo.flat", "be32", "arm32"] {
        let file = format!("testdata/forms/{name}");
        assert_eq!(kscope(&["dump", "vmcoreinfo", &file]).good(), elf, "{name}");
    }
    let read =
        |file: &str| kscope(&["dump", "read", file, "--phys", "1071ffe0", "32", "--raw"]).good();
    assert!(read("testdata/forms/zstd").starts_with("Linux version 6.1.0-56"));
    assert_eq!(
        read("testdata/forms/lzo.flat"),
        read("testdata/forms/small.elf")
    );
    let [a, b, _] = PARTS;
    let split = [
        "dump", "read", b, "--part", a, "--phys", "1071ffe0", "13", "--raw",
    ];
    assert_eq!(kscope(&split).good(), "Linux version");
}

#[test]
fn a_part_that_is_not_here_is_named_and_its_pages_are_lost() {
    let outcome = kscope(&["dump", "verify", PARTS[1], PARTS[2], "--json"]);
    let expected = format!(
        "kscope: {}: the part of the dump from 0x0 to 0x13fd9fff is not here\n",
        PARTS[1]
    );
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (1, expected.as_str())
    );
    assert_eq!(outcome.json()["ok"], false);
    let named = &outcome.json()["problems"][0];
    assert_eq!(named["file"], PARTS[1]);
    assert!(expected.ends_with(&format!("{}\n", named["detail"].as_str().unwrap())));
    assert_eq!(outcome.json()["pages"]["lost"], 48);

    let other = kscope(&["dump", "info", PARTS[0], "testdata/forms/zlib"]);
    other.failed(
        1,
        "testdata/forms/zlib: offset 0x1000: split of one of several files is 0x0, allowed: 1",
    );
    let twice = kscope(&["dump", "verify", PARTS[0], PARTS[0]]);
    twice.failed(
        1,
        "testdata/forms/lzo.part1: offset 0x1000: start_pfn of a part is 0x0, allowed: another in each file: this part is given twice",
    );

    let outcome = kscope(&["dump", "info", PARTS[1], "--json"]);
    assert_eq!(
        (&outcome.json()["parts"], &outcome.json()["missing_parts"]),
        (
            &json!(1),
            &json!([{ "start": "0x0", "last": "0x13fd9fff" }])
        )
    );
    let text = kscope(&["dump", "info", PARTS[1]]).stdout;
    assert!(
        text.contains("kdump, 1 part and others missing\n"),
        "{text}"
    );
}

#[test]
fn verify_reads_everything_and_says_what_is_damaged() {
    let good = kscope(&["dump", "verify", "testdata/forms/mixed"]).good();
    assert_eq!(
        good,
        "43 pages read (15 of zeros), 5 excluded, 0 lost, 0 damaged, 0 of a missing codec\n"
    );
    let lost = kscope(&["dump", "verify", "testdata/forms/lost"]);
    assert_eq!(lost.status, 1);
    assert!(
        lost.stderr
            .contains("testdata/forms/lost: the dump is incomplete: its writer says so")
    );
    assert!(
        lost.stdout
            .contains("0x7c86000            0x7c86fff                   1 lost\n"),
        "{}",
        lost.stdout
    );
    assert!(
        lost.stdout.contains(", 5 lost, 0 damaged"),
        "{}",
        lost.stdout
    );

    let directory = Directory::new();
    let mut bytes = fs::read(workspace().join("testdata/forms/zlib")).unwrap();
    let descriptor = |number: usize| 0x9000 + 24 * number;
    // Pages in a row whose checksum is wrong, whose method nobody knows.
    let offset = u64::from_le_bytes(bytes[descriptor(0)..][..8].try_into().unwrap());
    let size = u32::from_le_bytes(bytes[descriptor(0) + 8..][..4].try_into().unwrap());
    let last = usize::try_from(offset).unwrap() + size as usize - 1;
    bytes[last] ^= 1;
    bytes[descriptor(1) + 12] = 0x40;
    let path = directory.write("dump", &bytes);
    let outcome = kscope(&["dump", "verify", &path]);
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stdout,
        "0x585000             0x585fff                    1 damaged\n\
         0xcb8000             0xcb8fff                    1 codec-missing\n\
         46 pages read (17 of zeros), 0 excluded, 0 lost, 1 damaged, 1 of a missing codec\n"
    );
    assert_eq!(
        outcome.stderr,
        format!("kscope: {path}: pages are compressed by method 0x40, which is not built in\n")
    );
}

#[test]
fn verify_names_what_headers_and_notes_cannot_mean() {
    let directory = Directory::new();
    let sound = fs::read(workspace().join("testdata/forms/lzo")).unwrap();
    let with = |at: usize, value: &[u8]| {
        let mut bytes = sound.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        directory.write("dump", &bytes)
    };
    let far = (1_u64 << 40).to_le_bytes();
    for (at, value, why) in [
        (
            0x1020,
            &far[..],
            "offset 0x10000000000: VMCOREINFO needs 0xcd3 bytes, 0x0 are there",
        ),
        (
            0x1028,
            &[0xd2],
            "offset 0x1348: VMCOREINFO of the sub header: expected the text of its note",
        ),
        // The size of a register note, and its name's.
        (
            0x106c,
            &[0x40],
            "offset 0x107c: PRSTATUS needs 0x148 bytes, 0x140 are there",
        ),
        (
            0x6000,
            &[0; 0x3000],
            "offset 0x6000: number of pages in bitmap 2 is 0x0, allowed: 1 or more",
        ),
    ] {
        let path = with(at, value);
        let outcome = kscope(&["dump", "verify", &path, "--json"]);
        let said = outcome.stderr.lines().next().unwrap_or_default();
        assert_eq!(said, format!("kscope: {path}: {why}"));
        let answer = outcome.json();
        assert_eq!((outcome.status, &answer["ok"]), (1, &json!(false)));
        assert_eq!(
            answer["problems"][0],
            json!({ "file": path, "detail": why })
        );
        assert_eq!(
            answer["problems"].as_array().unwrap().len(),
            outcome.stderr.lines().count()
        );
    }
    let path = directory.write("dump", &dump_of([]));
    let outcome = kscope(&["dump", "verify", &path]);
    let why = "offset 0x38: e_phnum is 0x0, allowed: with a PT_LOAD among them that has memory in the file";
    assert_eq!(
        (outcome.status, outcome.stderr),
        (1, format!("kscope: {path}: {why}\n"))
    );
}

#[test]
fn of_a_page_that_is_there_in_part_the_rest_is_zeros() {
    let Small { directory, path } = small();
    let mut page = [0; 0x1000];
    page[..0xc00].fill(b'x');
    let part = format!("7 {:08x}\n", crc32fast::hash(&page));
    let list = directory.write("list", b"6\n7\n8\n");
    for more in [&[][..], &["--no-mmap"]] {
        let listed = ["dump", "checksum", &path, "--pfns", &list];
        let answer = kscope(&[&listed[..], more].concat()).good();
        assert_eq!(answer, format!("6 excluded\n{part}8 absent\n"));
        let answer = kscope(&[&["dump", "checksum", &path], more].concat()).good();
        assert!(answer.ends_with(&format!("6 excluded\n{part}")), "{answer}");
        let there = answer.lines().filter(|line| !line.ends_with("excluded"));
        assert_eq!(there.count(), 6);
    }
    let info = kscope(&["dump", "info", &path, "--json"]).json();
    assert_eq!(info["pages"]["present"], 6);
    let verify = kscope(&["dump", "verify", &path, "--json"]).json();
    assert_eq!(verify["pages"]["present"], 6);

    // Two parts of one page, and nothing between them; nothing but a part that was left out.
    let mut bytes = dump_of([
        (0x1100, vec![1; 0x80]),
        (0x1f80, vec![2; 0x80]),
        (0x3800, vec![]),
    ]);
    let memsz = 64 + 2 * 56 + 40;
    bytes[memsz..memsz + 8].copy_from_slice(&0x80_u64.to_le_bytes());
    let path = directory.write("parts", &bytes);
    let mut page = [0; 0x1000];
    page[0x100..0x180].fill(1);
    page[0xf80..].fill(2);
    let expected = format!("1 {:08x}\n2 absent\n3 excluded\n", crc32fast::hash(&page));
    let list = directory.write("list", b"1\n2\n3\n");
    let answer = kscope(&["dump", "checksum", &path, "--pfns", &list]).good();
    assert_eq!(answer, expected);
}

#[test]
fn verify_names_a_broken_note_once() {
    let directory = Directory::new();
    let mut bytes = small_dump();
    // p_offset of PT_NOTE, and n_descsz there: longer than the segment.
    let note = usize::from(bytes[64 + 8]) | usize::from(bytes[64 + 9]) << 8;
    bytes[note + 7] = 1;
    // The pages of x86-64 have one size, of AArch64 (e_machine) the note had to tell it.
    for machine in [62, 183] {
        bytes[18] = machine;
        let path = directory.write("dump", &bytes);
        let outcome = kscope(&["dump", "verify", &path, "--json"]);
        assert_eq!((outcome.status, outcome.stderr.lines().count()), (1, 1));
        let answer = outcome.json();
        assert_eq!(answer["problems"].as_array().unwrap().len(), 1);
        assert_eq!(answer["pages"]["present"], 6);
    }
}

#[test]
fn verify_reads_the_blocks_of_a_dump_that_does_not_tell_the_page_size() {
    let sound = fs::read(workspace().join("testdata/forms/64k")).unwrap();
    let number = |at: usize| u64::from_le_bytes(sound[at..at + 8].try_into().unwrap());
    let read = |bytes: &[u8]| {
        let directory = Directory::new();
        let path = directory.write("dump", bytes);
        let outcome = kscope(&["dump", "verify", &path, "--json"]);
        let answer = outcome.json();
        (outcome.status, answer["pages"]["present"].as_u64().unwrap())
    };
    let (status, pages) = read(&sound);
    assert_eq!((status, pages % 16), (0, 0));
    // The sub header is in the second block: nothing of notes and VMCOREINFO, and a first note that is too long.
    let mut bytes = sound.clone();
    for size in [0x10028, 0x10038] {
        bytes[size..size + 8].fill(0);
    }
    assert_eq!(read(&bytes), (0, pages / 16));
    let mut bytes = sound.clone();
    let note = usize::try_from(number(0x10030)).unwrap();
    bytes[0x10028..0x10030].fill(0);
    bytes[note + 7] = 1;
    assert_eq!(read(&bytes), (1, pages / 16));
}

#[test]
fn verify_takes_as_long_as_the_file_and_not_as_what_is_told_of_it() {
    // All of the file, at 2,000 addresses: 2 TiB.
    const SIZE: u64 = 1 << 30;
    let segments = (0..2000_u32).map(|number| Segment {
        kind: SegmentType::LOAD,
        flags: SegmentFlags::READ,
        offset: 0,
        vaddr: 0,
        paddr: u64::from(number) * SIZE,
        filesz: SIZE,
        memsz: SIZE,
        align: 0,
    });
    let headers = Writer::core(ENCODING, Machine::X86_64, &[], segments);
    let directory = Directory::new();
    let path = directory.write("dump", &headers.to_vec().unwrap());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(SIZE).unwrap();
    let mut verify = command(&["dump", "verify", &path])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while verify.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            verify.kill().unwrap();
            panic!("more than a minute");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let answer = verify.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(answer.stdout).unwrap(),
        "524288000 pages stored as they are, 0 excluded, 0 lost, 0 damaged, 0 of a missing codec\n"
    );
}

#[test]
fn memory_that_is_only_claimed_is_a_line() {
    let directory = Directory::new();
    let mut bytes = dump_of([(0x1000, vec![7; 0x1800])]);
    // p_memsz
    bytes[64 + 40..64 + 48].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    let path = directory.write("dump", &bytes);
    let answer = kscope(&["dump", "checksum", &path]).good();
    let (page, rest) = answer.split_once('\n').unwrap();
    assert!(page.starts_with("1 "), "{answer}");
    let part = crc32fast::hash(&[[7; 0x800], [0; 0x800]].concat());
    let claimed = format!("2 {part:08x}\n3-2251799813685248 excluded\n");
    assert_eq!(rest, claimed);
    let answer = kscope(&["dump", "checksum", &path, "--json"]).good();
    let last: serde_json::Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
    assert_eq!(
        last,
        json!({ "pfn": 3, "last": 2_251_799_813_685_248_u64, "crc32": null, "state": "excluded" })
    );
    let verify = kscope(&["dump", "verify", &path, "--json"]);
    assert_eq!(
        verify.json()["pages"]["excluded"],
        2_251_799_813_685_246_u64
    );
}

#[test]
fn a_compressed_dump_from_a_pipe() {
    let bytes = fs::read(workspace().join("testdata/forms/lzo.flat")).unwrap();
    assert_eq!(
        kscope_with(&["dump", "checksum", "-"], &bytes).good(),
        pages()
    );
    // The record of its first page last, as makedumpfile may write it again.
    let plain = fs::read(workspace().join("testdata/forms/lzo")).unwrap();
    let (first, rest) = plain.split_at(0x1000);
    let mut stream = flattened::header().to_vec();
    for (offset, bytes) in [(0x1000, rest), (0, first)] {
        stream.extend(flattened::record_header(offset, bytes.len()).unwrap());
        stream.extend(bytes);
    }
    stream.extend(flattened::END_MARK);
    assert_eq!(
        kscope_with(&["dump", "checksum", "-"], &stream).good(),
        pages()
    );
    let refused = kscope_with(
        &["dump", "info", "-"],
        b"LibvirtQemudSave                     ",
    );
    refused.failed(
        1,
        "-: offset 0x0: this is a guest saved by libvirt, which is not read yet",
    );
}

#[test]
fn an_extract_of_a_compressed_dump_is_an_elf_dump() {
    let directory = Directory::new();
    let out = directory.path("out");
    let args = [
        "dump",
        "extract",
        "testdata/forms/lzo",
        &out,
        "--phys",
        "0+0xffffffff",
    ];
    kscope(&args).good();
    assert_eq!(kscope(&["dump", "checksum", &out]).good(), pages());
    let info = |file: &str| kscope(&["dump", "vmcoreinfo", file]).good();
    assert_eq!(info(&out), info("testdata/forms/lzo"));
}
