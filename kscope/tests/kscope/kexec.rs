//! `kscope kexec` on logs and dumps of real kernels, and on a dump made here.

use elf_format::{Machine, NoteType, note};
use physmem::{PageShift, PhysAddr, PhysRange};
use serde_json::{Value, json};
use vmcore_format::build::core::{Core, Part};

use crate::support::{Directory, ENCODING, Outcome, kscope, small_dump, workspace};

/// See testdata/README.md.
const CRASH: &str = "testdata/kimage-crash.elf";
const LOAD: &str = "testdata/kimage-load.elf";

fn list(args: &[&str]) -> Outcome {
    kscope(&[&["kexec", "list"][..], args].concat())
}

/// The segments of a log of `kexec -d`: buf, bufsz, mem, memsz.
fn logged(path: &str) -> Vec<u64> {
    let log = std::fs::read_to_string(workspace().join(path)).unwrap();
    let values = log.lines().filter(|line| line.starts_with("segment["));
    values
        .map(|line| {
            let value = line.split_once("= 0x").unwrap().1;
            u64::from_str_radix(value, 16).unwrap()
        })
        .collect()
}

fn number(value: &Value) -> u64 {
    match value.as_str() {
        Some(text) => u64::from_str_radix(&text[2..], 16).unwrap(),
        None => value.as_u64().unwrap(),
    }
}

fn told(answer: &Value) -> Vec<u64> {
    let segments = answer["segments"].as_array().unwrap().iter();
    segments
        .flat_map(|segment| ["buf", "bufsz", "mem", "memsz"].map(|key| number(&segment[key])))
        .collect()
}

fn rules(answer: &Value, ok: &Value) -> Vec<String> {
    let checks = answer["checks"].as_array().unwrap().iter();
    let those = checks.filter(|check| check["ok"] == *ok);
    those
        .map(|check| check["rule"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_crash_kernel_is_told_as_it_was_loaded() {
    let args = [
        CRASH,
        "--crash",
        "--symbol-at",
        "ffffffffa8b42058",
        "--json",
    ];
    let outcome = list(&args);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let answer = outcome.json();
    assert_eq!(
        told(&answer),
        logged("kexec-format/testdata/crash.kexec-d.txt")
    );
    assert_eq!(
        (&answer["entry"], &answer["crash"]),
        (&json!("0xef54760"), &json!(true))
    );
    assert_eq!(
        (&answer["head"], &answer["runs"]),
        (&json!("0x4"), &json!([]))
    );
    assert_eq!(rules(&answer, &json!(false)).len(), 0);
    let untold = [
        "foreign-arch",
        "crash-entry",
        "half-of-ram",
        "all-half-of-ram",
        "outside-crash-kernel",
    ];
    assert_eq!(rules(&answer, &Value::Null), untold);

    // The same by the image's own address, and by the memory that was reserved.
    let reserved = [
        "--image",
        "ffff8dfc13e12c00",
        "--reserved",
        "8000000-effffff",
    ];
    let answer = list(&[&[CRASH, "--json"], &reserved[..]].concat()).json();
    assert_eq!(
        rules(&answer, &Value::Null),
        ["foreign-arch", "half-of-ram", "all-half-of-ram"]
    );
    let outcome = list(&[&args[..], &["--reserved", "8000000-ef00000"]].concat());
    assert_eq!(outcome.status, 1);
    let broken = rules(&outcome.json(), &json!(false));
    assert_eq!(broken, ["crash-entry", "outside-crash-kernel"]);
    let second = outcome.stderr.lines().nth(1).unwrap();
    assert!(
        second.starts_with(&format!(
            "kscope: {CRASH}: segment 3: its byte at 0xef53fff is not"
        )),
        "{second}"
    );
}

#[test]
fn a_list_is_told_run_by_run() {
    let args = [LOAD, "--symbol-at", "ffffffff86542060"];
    let answer = list(&[&args[..], &["--json"]].concat()).json();
    let loaded = logged("testdata/kimage-load.kexec-d.txt");
    assert_eq!(told(&answer), loaded);
    // Run after run the destinations are those of the segments.
    let mut pages = Vec::new();
    for run in answer["runs"].as_array().unwrap() {
        let first = number(&run["destination"]);
        pages.extend(
            (first..)
                .step_by(0x1000)
                .take(usize::try_from(number(&run["pages"])).unwrap()),
        );
    }
    let segments = loaded.chunks_exact(4);
    let expected: Vec<u64> = segments
        .flat_map(|s| (s[2]..s[2] + s[3]).step_by(0x1000))
        .collect();
    assert!(pages == expected);
    assert_eq!(answer["pages"].as_u64().unwrap(), pages.len() as u64);

    // A list alone.
    let head = answer["head"].as_str().unwrap();
    let alone = list(&[LOAD, "--head", head, "--json"]).json();
    assert_eq!(
        (&alone["runs"], &alone["pages"]),
        (&answer["runs"], &answer["pages"])
    );
    assert_eq!(
        (&alone["image"], &alone["checks"]),
        (&Value::Null, &json!([]))
    );

    let text = list(&args).good();
    for line in [
        "head   0x2746002",
        "  overlap                 ok",
        "0x149ae000 0x2c3c000 509",
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert!(text.ends_with("\n13786 pages to move\n"), "{text}");
}

/// Virtual addresses of [`made`].
const POINTER: &str = "10";
const IMAGE: &str = "100";

/// The small dump with an image at 0x100, a list at physical 0x7000, and the head and segments given; a
/// segment is where it goes and how long it is.
fn made(head: u64, list: &[u64], segments: &[[u64; 2]]) -> Vec<u8> {
    let mut dump = small_dump();
    let mut put = |at: usize, words: &[u64]| {
        for (out, word) in dump[at..].chunks_exact_mut(8).zip(words) {
            out.copy_from_slice(&word.to_le_bytes());
        }
    };
    // Virtual 0 is physical 0x5000, which is at 0x5000 of the file; physical 0x7000 is at 0x6000.
    put(0x5010, &[0x100]);
    put(
        0x5100,
        &[head, 0, 0, 0x20_0010, 0, 0, 0, segments.len() as u64],
    );
    for (segment, at) in segments.iter().zip((0x5140..).step_by(32)) {
        put(at, &[0, 5, segment[0], segment[1]]);
    }
    put(0x6000, list);
    dump
}

/// Where in [`made`] the flags of the image are, behind its segments and four words or lists, and
/// `type` and `file_mode` in them.
const FLAGS_AT: usize = 0x5378;
const CRASH_TYPE: u8 = 1;
const FILE_MODE: u8 = 4;

const SEGMENTS: [[u64; 2]; 2] = [[0x20_0000, 0x2000], [0x30_0000, 0x1000]];
const LIST: [u64; 6] = [0x20_0001, 0x1008, 0x2008, 0x30_0001, 0x5008, 4];

#[test]
fn a_list_is_carried_out() {
    let directory = Directory::new();
    let dump = made(0x7002, &LIST, &SEGMENTS);
    let path = directory.write("dump", &dump);
    let out = directory.path("out");
    let args = [&path[..], "--symbol-at", POINTER, "--run", &out];
    assert!(
        list(&args)
            .good()
            .contains("\n0x200000 0x1000 2\n0x300000 0x5000 1\n")
    );
    let read = |at: &str, len: &str| {
        let outcome = kscope(&["dump", "read", &out, "--phys", at, len, "--raw"]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
        outcome.bytes
    };
    assert!(read("200000", "0x2000") == dump[0x1000..0x3000]);
    assert!(read("300000", "0x1000") == dump[0x5000..0x6000]);
    let info = kscope(&["dump", "info", &out, "--json"]).json();
    let ranges = json!([{"start": "0x200000", "last": "0x201fff"}, {"start": "0x300000", "last": "0x300fff"}]);
    assert_eq!(info["ranges"], ranges);
    assert_eq!(directory.names(), ["dump", "out"]);
}

/// A page may already be in its place.
#[test]
fn a_page_in_place_stays() {
    let directory = Directory::new();
    let entries = [0x9001, 0x1008, 0x3008, 0x5001, 0x5008, 4];
    let path = directory.write("dump", &made(0x7002, &entries, &[]));
    let dump = std::fs::read(&path).unwrap();
    let out = directory.path("out");
    list(&[&path, "--head", "7002", "--run", &out]).good();
    let read = |at: &str| kscope(&["dump", "read", &out, "--phys", at, "0x1000", "--raw"]).bytes;
    for (at, from) in [("9000", 0x1000), ("a000", 0x3000), ("5000", 0x5000)] {
        assert!(read(at) == dump[from..from + 0x1000], "{at}");
    }
}

/// A list that can be read and is not one that Linux makes of these segments.
#[test]
fn a_list_that_is_wrong_is_named_and_not_carried_out() {
    let directory = Directory::new();
    let out = directory.path("out");
    let never = "(never made by kimage_alloc_page())";
    for (entries, why) in [
        (
            &[0x20_0001, 0x1008, 0x2008, 0x30_0001, 0x1008][..],
            format!("page 0x1000: the list moves it to two places {never}"),
        ),
        (
            &[0x20_0001, 0x1008, 0x2008, 0x30_0001, 0x5008, 0x5001, 0x3008],
            format!(
                "page 0x5000: the list moves it, and moves another page there {never}\n\
                 the list moves a page to 0x5000, which is in none of the segments"
            ),
        ),
        (
            &[0x20_0001, 0x1008, 0x2008, 0x30_0001, 0x5008, 0x20_0001, 0x3008],
            format!("page 0x200000: the list moves two pages there {never}"),
        ),
        (
            &[0x20_0001, 0x1008, 0x2008, 0x30_0001, 0x5008, 0x7001, 0x3008],
            format!(
                "page 0x7000: it holds entries of the list, which moves it or a page there {never}\n\
                 the list moves a page to 0x7000, which is in none of the segments"
            ),
        ),
        (
            &[0x20_0001, 0x1008, 0x2008, 0x3008, 0x30_0001, 0x5008],
            "the list moves a page to 0x202000, which is in none of the segments".to_owned(),
        ),
        (
            &[0x20_0001, 0x1008],
            "segment 0: pages that the list moves: 1 of 2\nsegment 1: pages that the list moves: 0 of 1"
                .to_owned(),
        ),
        (
            &[0x20_0001, 0x1008, 0x2008, 0x30_0001, 1 << 46 | 8],
            format!("the list moves the page at 0x400000000000, which is above 0x3fffffffffff {never}"),
        ),
    ] {
        let entries = [entries, &[4]].concat();
        let path = directory.write("dump", &made(0x7002, &entries, &SEGMENTS));
        let outcome = list(&[&path, "--image", IMAGE, "--run", &out, "--json"]);
        let said = outcome.stderr.replace(&format!("kscope: {path}: "), "");
        assert_eq!((outcome.status, said.trim_end()), (1, &why[..]));
        let answer = outcome.json();
        let faults: Vec<_> = why.lines().collect();
        assert_eq!((&answer["faults"], &answer["error"]), (&json!(faults), &Value::Null));
        assert_eq!(directory.names(), ["dump"]);
        let text = list(&[&path, "--image", IMAGE]);
        assert!(text.status == 1 && String::from_utf8_lossy(&text.bytes).contains("\nlist   wrong\n"));
    }
    let mut dump = made(0x7002, &LIST, &SEGMENTS);
    dump[FLAGS_AT] |= CRASH_TYPE;
    let path = directory.write("dump", &dump);
    let answer = list(&[&path, "--image", IMAGE, "--crash", "--run", &out, "--json"]).json();
    let why = "the list of a crash image moves pages (never made by kimage_load_crash_segment())";
    assert_eq!(answer["faults"], json!([why]));
    assert_eq!(directory.names(), ["dump"]);
    // kexec_file_load() may have put a segment where it goes.
    let mut dump = made(0x7002, &[0x20_0001, 0x1008, 0x2008, 4], &SEGMENTS);
    dump[FLAGS_AT] |= FILE_MODE;
    let path = directory.write("dump", &dump);
    assert_eq!(list(&[&path, "--image", IMAGE]).status, 0);
}

#[test]
fn the_input_is_not_written_over() {
    let directory = Directory::new();
    let dump = made(0x7002, &LIST, &SEGMENTS);
    let path = directory.write("dump", &dump);
    let link = directory.path("link");
    std::os::unix::fs::symlink("dump", &link).unwrap();
    for out in [&path, &link] {
        let why = format!("{out}: this is the input, too: write to another file");
        list(&[&path, "--image", IMAGE, "--run", out]).failed(2, &why);
        kscope(&["dump", "extract", &path, out, "--phys", "1000+1000"]).failed(2, &why);
    }
    assert!(std::fs::read(&path).unwrap() == dump);
}

#[test]
fn a_list_that_moves_nothing_is_not_carried_out() {
    let directory = Directory::new();
    let out = directory.path("out");
    let crash = [CRASH, "--crash", "--symbol-at", "ffffffffa8b42058"];
    let outcome = list(&[&crash[..], &["--run", &out]].concat());
    let why =
        "nothing to --run: a crash image is in its place, in memory that the dump does not hold";
    assert_eq!(outcome.stderr, format!("kscope: {CRASH}: {why}\n"));
    let outcome = list(&[CRASH, "--head", "4", "--run", &out]);
    let why = "nothing to --run: the list moves no page";
    assert_eq!(outcome.stderr, format!("kscope: {CRASH}: {why}\n"));
    assert_eq!((outcome.status, directory.names().len()), (1, 0));
    // Asked for as what it is not.
    let outcome = list(&[CRASH, "--image", "ffff8dfc13e12c00"]);
    let why = "its type is that of a kernel for a crash";
    assert_eq!(
        (outcome.status, outcome.stderr),
        (0, format!("kscope: {CRASH}: {why}\n"))
    );
}

#[test]
fn a_broken_list_is_named_and_not_carried_out() {
    let directory = Directory::new();
    let out = directory.path("out");
    let several = "several of the type bits 0x1, 0x2, 0x4, 0x8";
    for (head, entries, why) in [
        (
            0x7002,
            &[0x20_0001, 0x1008, 0x5003][..],
            format!("entry 0x5003 at 0x7010: {several}"),
        ),
        (
            0x7002,
            &[0x20_0001, 0x1008, 0x7002],
            "entry 0x7002 at 0x7010: the link leads back".to_owned(),
        ),
        (
            0x1_0002,
            &[],
            "entry 0x10002 as head: the entries it leads to cannot be read: not in the dump"
                .to_owned(),
        ),
        (
            0x6002,
            &[],
            "entry 0x6002 as head: the entries it leads to cannot be read: excluded".to_owned(),
        ),
    ] {
        let path = directory.write("dump", &made(head, entries, &SEGMENTS));
        let outcome = list(&[&path, "--image", IMAGE, "--run", &out, "--json"]);
        assert_eq!(outcome.status, 1);
        let expected = format!("kscope: {path}: {why}");
        assert!(outcome.stderr.starts_with(&expected), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1);
        // What came before it is told.
        let answer = outcome.json();
        assert!(answer["error"].as_str().unwrap().starts_with(&why));
        let runs = answer["runs"].as_array().unwrap().len();
        assert_eq!(runs, usize::from(!entries.is_empty()));
        assert_eq!(directory.names(), ["dump"]);
        let text = list(&[&path, "--image", IMAGE]).stdout;
        assert!(text.ends_with(" to move before the break\n"), "{text}");
    }
    // A list that is sound and moves a page which the dump does not hold.
    let path = directory.write("dump", &made(0x7002, &[0x20_0001, 0x6008, 4], &[]));
    let outcome = list(&[&path, "--head", "7002", "--run", &out]);
    let why = "physical address 0x6000: excluded when the dump was written";
    assert_eq!(outcome.stderr, format!("kscope: {path}: {why}\n"));
    assert_eq!(
        (outcome.status, directory.names()),
        (1, vec!["dump".to_owned()])
    );
}

/// The words of i386 are of 32 bits, also where its memory needs the addresses of ELF64.
#[test]
fn an_i386_list_in_an_elf64_dump_has_words_of_32_bits() {
    let mut page = vec![0; 0x1000];
    let words = [0x20_0001_u32, 0x1008, 0x2008, 4];
    for (out, word) in page.chunks_exact_mut(4).zip(words) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    let memory = PhysRange::with_size(PhysAddr::new(0x7000), 0x1000).unwrap();
    let info = note::Builder {
        name: b"VMCOREINFO",
        kind: NoteType(0),
        desc: b"PAGESIZE=4096\n",
    };
    let (notes, parts) = ([info], [Part::stored(memory)].into_iter());
    let core = Core::new(ENCODING, Machine::I386, PageShift::SIZE_4K, &notes, parts);
    let mut file = core.to_vec().unwrap();
    let start = core.pieces().unwrap().next().unwrap().offset;
    file.resize(usize::try_from(start).unwrap(), 0);
    file.extend(page);
    let directory = Directory::new();
    let path = directory.write("dump", &file);
    let answer = list(&[&path, "--head", "7002", "--json"]).json();
    let expected = json!([{"destination": "0x200000", "source": "0x1000", "pages": 2}]);
    assert_eq!(answer["runs"], expected);
}

/// Before Linux 4.8 nobody looked whether a segment is more than half of RAM, or wraps.
#[test]
fn the_dumps_release_chooses_the_checks() {
    let directory = Directory::new();
    let wraps = [[0x20_0000, 0x2000], [0xffff_ffff_ffff_f000, 0x2000]];
    let mut dump = made(0x7002, &LIST, &wraps);
    let at = find(&dump, b"OSRELEASE=");
    let release = dump[at + 10..]
        .iter_mut()
        .take_while(|byte| **byte != b'\n');
    // As long as it was, and with the same struct kimage as before 4.13: one word less.
    for (byte, old) in release.zip(b"4.4.0".iter().chain(std::iter::repeat(&b'-'))) {
        *byte = *old;
    }
    let count = dump[0x5138..0x5140].to_vec();
    dump[0x5130..0x5138].copy_from_slice(&count);
    dump.copy_within(0x5140..0x5180, 0x5138);
    let path = directory.write("dump", &dump);
    let answer = list(&[&path, "--symbol-at", POINTER, "--json"]).json();
    assert!(!rules(&answer, &json!(false)).contains(&"wraps".to_owned()));
    assert!(rules(&answer, &json!(true)).contains(&"wraps".to_owned()));
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    let mut windows = bytes.windows(what.len());
    windows.position(|window| window == what).unwrap()
}

#[test]
fn broken_segments_break_their_rule() {
    let directory = Directory::new();
    for (segments, rule) in [
        ([[0x20_0000, 0x2000], [0x20_1000, 0x1000]], "overlap"),
        ([[0x20_0000, 0x2000], [0x30_0800, 0x800]], "unaligned"),
        ([[0x20_0000, 0x2000], [1 << 50, 0x1000]], "too-high"),
        (
            [[0x20_0000, 0x2000], [0xffff_ffff_ffff_f000, 0x2000]],
            "wraps",
        ),
        (
            [[0x20_0000, 0x2000], [0x30_0000, 0]],
            "more-bytes-than-memory",
        ),
        ([[0x40_0000, 0x2000], [0x30_0000, 0x1000]], "entry-nowhere"),
    ] {
        let path = directory.write("dump", &made(0x7002, &LIST, &segments));
        let outcome = list(&[&path, "--symbol-at", POINTER, "--json"]);
        assert_eq!(outcome.status, 1);
        assert_eq!(rules(&outcome.json(), &json!(false)), [rule]);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn what_is_no_image_is_said() {
    let directory = Directory::new();
    let path = directory.write("dump", &made(0x7002, &LIST, &[[0; 2]; 17]));
    let why = "virtual address 0x138: nr_segments of struct kimage is 0x11, allowed: 0 to 16 (KEXEC_SEGMENT_MAX)";
    list(&[&path, "--symbol-at", POINTER]).failed(1, &format!("{path}: {why}"));
    let args = [CRASH, "--symbol-at", "ffffffffa8b42060"];
    list(&args).failed(
        1,
        &format!("{CRASH}: kexec_image is null: nothing is loaded"),
    );
    let unmapped = list(&[CRASH, "--image", "1000"]);
    assert_eq!(unmapped.status, 1);
    assert!(
        unmapped.stderr.contains("virtual address 0x1000: "),
        "{}",
        unmapped.stderr
    );

    // The cut dump has what tells where its symbols are, and not the symbols.
    let unfound = list(&[CRASH, "--crash"]);
    assert_eq!(unfound.status, 1);
    assert!(
        unfound
            .stderr
            .contains("; --symbol-at ADDR says where kexec_crash_image is, "),
        "{}",
        unfound.stderr
    );
    assert_eq!(list(&[CRASH, "--head", "4", "--run", "-"]).status, 2);
    assert_eq!(list(&[CRASH, "--head", "4", "--crash"]).status, 2);
    assert_eq!(list(&[CRASH, "--image", "0", "--symbol-at", "0"]).status, 2);
}

const LOG: &str = "kexec-format/testdata/crash.kexec-d.txt";
const MAP: &str = "e820/testdata/kdump-first.dmesg.txt";

/// The answer to a log that is changed, and its exit status.
fn plan(from: &str, to: &str, more: &[&str]) -> (i32, Value) {
    let directory = Directory::new();
    let log = std::fs::read_to_string(workspace().join(LOG)).unwrap();
    let log = directory.write("log", log.replace(from, to).as_bytes());
    let args = ["kexec", "plan", "--segments", &log, "--map", MAP, "--json"];
    let outcome = kscope(&[&args[..], more].concat());
    (outcome.status, outcome.json())
}

#[test]
fn a_load_that_a_kernel_took_passes_and_a_changed_one_breaks_its_rule() {
    let reserved = ["--crash", "8000000-effffff"];
    let (status, answer) = plan("", "", &reserved);
    assert_eq!((status, told(&answer)), (0, logged(LOG)));
    assert_eq!(answer["entry"], "0xef54760");
    assert_eq!(rules(&answer, &json!(false)).len(), 0);
    assert_eq!(rules(&answer, &Value::Null), ["foreign-arch"]);

    for (from, to, rule) in [
        ("flags = 0x3e0001", "flags = 0x3e8001", "unknown-flags"),
        ("entry = 0xef54760", "entry = 0x7000000", "crash-entry"),
        ("entry = 0xef54760", "entry = 0xb000000", "entry-nowhere"),
        (
            "[1].mem   = 0xb725000",
            "[1].mem   = 0xb725800",
            "unaligned",
        ),
        ("[1].mem   = 0xb725000", "[1].mem   = 0xb900000", "overlap"),
        (
            "[1].mem   = 0xb725000",
            "[1].mem   = 0x7000000",
            "outside-crash-kernel",
        ),
        (
            "[5].memsz = 0x4000",
            "[5].memsz = 0x0",
            "more-bytes-than-memory",
        ),
        (
            "[2].memsz = 0x3378000",
            "[2].memsz = 0x10000000",
            "half-of-ram",
        ),
    ] {
        let (status, answer) = plan(from, to, &reserved);
        let broken = rules(&answer, &json!(false));
        assert_eq!(status, 1, "{rule}");
        assert!(broken.contains(&rule.to_owned()), "{rule}: {broken:?}");
    }
    // Without the option nobody knows which memory is reserved.
    let (status, answer) = plan("", "", &[]);
    assert_eq!(status, 0);
    assert_eq!(
        rules(&answer, &Value::Null),
        ["foreign-arch", "crash-entry", "outside-crash-kernel"]
    );
    // Linux 6.10 and later know this one.
    let (status, answer) = plan("flags = 0x3e0001", "flags = 0x3e0009", &reserved);
    assert_eq!(status, 0);
    assert_eq!(
        rules(&answer, &Value::Null),
        ["unknown-flags", "foreign-arch"]
    );
    // But for a listing of resources.
    let directory = Directory::new();
    let iomem = "00001000-0009ffff : System RAM\n00100000-1fffffff : System RAM\n  \
                 01000000-01ffffff : Crash kernel\n  08000000-0effffff : Crash kernel\n";
    let map = directory.write("iomem", iomem.as_bytes());
    let judge = |more: &[&str]| {
        let args = ["kexec", "plan", "--segments", LOG, "--map", &map, "--json"];
        rules(&kscope(&[&args[..], more].concat()).json(), &json!(false))
    };
    assert_eq!(judge(&[]).len(), 0);
    let elsewhere = judge(&["--crash", "1000000-1ffffff"]);
    assert_eq!(elsewhere, ["crash-entry", "outside-crash-kernel"]);
    // For a reboot nobody asks.
    let (status, answer) = plan("flags = 0x3e0001", "flags = 0x3e0000", &[]);
    assert_eq!((status, &answer["crash"]), (0, &json!(false)));
}

#[test]
fn a_log_that_is_none_is_named_by_its_line() {
    let plan = |log: &[u8]| {
        let directory = Directory::new();
        let path = directory.write("log", log);
        let outcome = kscope(&["kexec", "plan", "--segments", &path, "--map", MAP]);
        (outcome.status, outcome.stderr.replace(&path, "LOG"))
    };
    let none = "kscope: LOG: no line `kexec_load: entry = 0x… flags = 0x…`, as `kexec -d` prints it; with -s it \
         does not, as kexec_file_load() leaves the segments to the kernel\n";
    assert_eq!(plan(b"segment[0].buf   = 0x1\n"), (1, none.to_owned()));
    let log =
        b"kexec_load: entry = 0x0 flags = 0x3e0000\nsegment[0].buf   = 0x1\nsegment[0].bufsz = 1\n";
    let (status, said) = plan(log);
    assert_eq!(status, 1);
    assert!(
        said.starts_with("kscope: LOG: line 3, column 20: expected segment[N].buf"),
        "{said}"
    );
    let call = b"kexec_load: entry = 0x0 flags = 0x3e0000\n";
    let twice = [&call[..], &call[..]].concat();
    let loads = "kscope: LOG: line 2, column 13: expected no second load in the log\n";
    assert_eq!(plan(&twice), (1, loads.to_owned()));
    let empty = "kscope: LOG: no segments: an unload, or a log that was cut\n";
    assert_eq!(plan(call), (1, empty.to_owned()));
    let cut = [&call[..], b"nr_segments = 7\n"].concat();
    let (status, said) = plan(&cut);
    assert_eq!(status, 1);
    assert!(
        said.starts_with("kscope: LOG: line 2, column 15: expected as many"),
        "{said}"
    );
    assert_eq!(
        kscope(&["kexec", "plan", "--segments", "-", "--map", "-"]).status,
        2
    );
}
