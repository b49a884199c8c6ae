//! `kscope dump` on a dump made here, all of whose answers are known, and on a real one.

use std::collections::BTreeSet;

use elf_format::{CpuState, Machine, NoteType, note};
use physmem::{PageShift, PhysAddr, PhysRange};
use serde_json::{Value, json};
use vmcore_format::build::core::{Core, Part};

use crate::support::{
    Directory, ENCODING, Small, VMCOREINFO, dump_of, kscope, kscope_with, small, small_dump,
    workspace,
};

/// Pages and tables of a kernel that crashed, see testdata/README.md.
const REAL: &str = "testdata/kdump.elf";

#[test]
fn info_tells_all_that_the_dump_does() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let outcome = kscope(&["dump", "info", &path, "--json"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let info = outcome.json();
    for (key, value) in [
        ("format", json!("elf")),
        ("flattened", json!(false)),
        ("parts", json!(1)),
        ("arch", json!("x86_64")),
        ("byte_order", json!("little")),
        ("page_size", json!(4096)),
        ("kernel_release", json!("6.1.0-test")),
        ("crash_time", json!(1_795_391_635)),
        ("ranges", json!([{ "start": "0x1000", "last": "0x7bff" }])),
        ("pages", json!({ "present": 6, "excluded": 1, "lost": 0 })),
        ("codecs", json!({})),
        (
            "paging",
            json!({ "mode": "4-level", "levels": 4, "page_size": 4096, "root": "0x1000" }),
        ),
        ("phys_base", json!("0x0")),
        ("kernel_offset", json!("0x0")),
    ] {
        assert_eq!(info[key], value, "{key}");
    }
    assert_eq!(info["vmcoreinfo"]["OSRELEASE"], "6.1.0-test");
    assert_eq!(info["notes"].as_array().unwrap().len(), 4);
    let cpus = info["cpus"].as_array().unwrap();
    let of = |cpu: &Value| (cpu["index"].as_u64().unwrap(), cpu["pid"].as_u64().unwrap());
    assert_eq!([of(&cpus[0]), of(&cpus[1])], [(0, 7), (2, 9)]);
    assert_eq!(cpus[0]["registers"]["r15"], "0x1");
    assert_eq!(cpus[0]["registers"]["gs"], "0x1b");

    let text = kscope(&["dump", "info", &path]).good();
    for line in [
        "crash time      2026-11-22T23:53:55Z",
        "6 present, 1 excluded, 0 lost",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn info_leaves_out_what_is_not_told_and_names_what_is_damaged() {
    let directory = Directory::new();
    // Without a type that anybody knows there is no VMCOREINFO.
    let mut dump = small_dump();
    let note = dump
        .windows(10)
        .position(|name| name == b"VMCOREINFO")
        .unwrap();
    dump[note] = b'X';
    let path = directory.write("dump", &dump);
    let outcome = kscope(&["dump", "info", &path, "--json"]);
    assert_eq!(outcome.status, 0);
    assert_eq!(
        outcome.stderr,
        format!("kscope: {path}: the dump has no VMCOREINFO note\n")
    );
    let info = outcome.json();
    for key in [
        "kernel_release",
        "crash_time",
        "paging",
        "phys_base",
        "kernel_offset",
    ] {
        assert_eq!(info[key], Value::Null, "{key}");
    }
    assert_eq!(info["vmcoreinfo"], json!({}));
    kscope(&["dump", "vmcoreinfo", &path])
        .failed(1, &format!("{path}: the dump has no VMCOREINFO note"));

    // A note that passes the end of its segment: what is before it is told.
    let mut dump = small_dump();
    dump[note - 8..note - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let path = directory.write("dump", &dump);
    let outcome = kscope(&["dump", "info", &path, "--json"]);
    assert_eq!(outcome.status, 1);
    let said: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(&format!("kscope: {path}: offset 0x")),
        "{said:?}"
    );
    assert_eq!(outcome.json()["cpus"].as_array().unwrap().len(), 2);
    for what in ["notes", "vmcoreinfo"] {
        let outcome = kscope(&["dump", what, &path]);
        assert_eq!(
            (outcome.status, outcome.stderr.lines().count()),
            (1, 1),
            "{what}"
        );
    }
}

#[test]
fn a_cut_dump_opens_and_what_is_gone_is_lost() {
    let directory = Directory::new();
    let path = directory.write("dump", &small_dump()[..0x4800]);
    let outcome = kscope(&["dump", "info", &path, "--json"]);
    assert_eq!(
        outcome.json()["pages"],
        // The frame that is cut through still holds bytes.
        json!({ "present": 4, "excluded": 1, "lost": 2 })
    );
    let why = "the dump is incomplete: 2 pages are lost";
    assert_eq!(
        (outcome.status, outcome.stderr),
        (1, format!("kscope: {path}: {why}\n"))
    );
    let outcome = kscope(&["dump", "read", &path, "--phys", "47ff", "2", "--json"]);
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.json()["bytes"], "00");
    let why = "physical address 0x4800: lost: the dump is incomplete";
    assert_eq!(outcome.stderr, format!("kscope: {path}: {why}\n"));
}

#[test]
fn damaged_program_headers_are_named_and_the_rest_is_told() {
    let directory = Directory::new();
    let mut dump = small_dump();
    // p_memsz of the last program header: its memory passes the end of the address space.
    let memsz = 64 + 2 * 56 + 40;
    dump[memsz..memsz + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    let path = directory.write("dump", &dump);
    let out = directory.path("out");
    let why = "offset 0xd8: p_memsz is 0xffffffffffffffff, allowed: at most 2^64 - 1 - p_paddr";
    let damage = format!("kscope: {path}: {why}\n");
    for args in [
        &["info"][..],
        &["notes"],
        &["vmcoreinfo"],
        &["vtop", "0", "--walk"],
        &["read", "--phys", "1000", "8"],
        &["extract", &out, "--phys", "5000"],
    ] {
        let outcome = kscope(&[&["dump", args[0], &path], &args[1..]].concat());
        assert_eq!((outcome.status, &outcome.stderr), (1, &damage), "{args:?}");
        assert_eq!(outcome.stdout.is_empty(), args[0] == "extract", "{args:?}");
    }
    let read = ["dump", "read", &out, "--phys", "5000", "8", "--raw"];
    assert_eq!(kscope(&read).good(), "page one");

    // A broken note behind the others: the extract has those.
    let mut dump = small_dump();
    let (filesz, notes) = (64 + 32, 64 + 3 * 56);
    let size = usize::from(u16::from_le_bytes([dump[filesz], dump[filesz + 1]]));
    dump[filesz..filesz + 2].copy_from_slice(&u16::try_from(size + 12).unwrap().to_le_bytes());
    dump[notes + size..notes + size + 12].fill(0xff);
    let path = directory.write("dump", &dump);
    let outcome = kscope(&["dump", "extract", &path, &out, "--phys", "5000"]);
    let said = format!("kscope: {path}: offset {:#x}: ", notes + size);
    assert!(outcome.stderr.starts_with(&said), "{}", outcome.stderr);
    assert_eq!((outcome.status, outcome.stderr.lines().count()), (1, 1));
    let notes = kscope(&["dump", "notes", &out, "--json"]).json();
    assert_eq!(notes["notes"].as_array().unwrap().len(), 4);

    // Cut in the middle of its program headers.
    let path = directory.write("dump", &small_dump()[..200]);
    let outcome = kscope(&["dump", "info", &path, "--json"]);
    let why = "offset 0x40: program header table needs 0xa8 bytes, 0x88 are there";
    let said = format!("kscope: {path}: {why}\n");
    assert!(outcome.stderr.starts_with(&said), "{}", outcome.stderr);
    assert_eq!(
        (outcome.status, &outcome.json()["arch"]),
        (1, &json!("x86_64"))
    );
}

#[test]
fn a_root_is_enough_without_vmcoreinfo() {
    let directory = Directory::new();
    let table: Vec<u8> = (0..512).flat_map(|_| 0x1067_u64.to_le_bytes()).collect();
    let path = directory.write("dump", &dump_of([(0x1000, table)]));
    let asked = ["dump", "vtop", &path, "234"];
    kscope(&asked).failed(1, &format!("{path}: the dump has no VMCOREINFO note"));
    let answer = kscope(&[&asked[..], &["--root", "1000"]].concat()).good();
    assert_eq!(answer, "0x234 0x1234 0x1000 0x66\n");
}

#[test]
fn without_vmcoreinfo_a_cpu_leads_to_its_tables() {
    // The tables of the small dump, and the registers of a CPU that used them.
    let with_cr0 = |cr0| {
        let state = CpuState {
            control: [cr0, 0, 0, 0x1000, 0x20],
            ..CpuState::default()
        };
        let mut desc = vec![0; state.emitted_len()];
        state.emit(&mut desc).unwrap();
        let notes = [note::Builder {
            name: b"QEMU",
            kind: NoteType(0),
            desc: &desc,
        }];
        let tables = PhysRange::with_size(PhysAddr::new(0x1000), 0x5000).unwrap();
        let parts = [Part::stored(tables)].into_iter();
        let core = Core::new(ENCODING, Machine::X86_64, PageShift::SIZE_4K, &notes, parts);
        let mut file = core.to_vec().unwrap();
        let start = core.pieces().unwrap().next().unwrap().offset;
        file.resize(usize::try_from(start).unwrap(), 0);
        file.extend(&small_dump()[0x1000..0x6000]);
        file
    };
    let directory = Directory::new();
    let paging = directory.write("paging", &with_cr0(0x8005_0033));
    let asked = ["dump", "vtop", &paging, "0", "200123"];
    let expected = "0x0 0x5000 0x1000 0x62\n0x200123 0x200123 0x200000 0x62\n";
    assert_eq!(kscope(&asked).good(), expected);
    let info = kscope(&["dump", "info", &paging, "--json"]).json();
    assert_eq!(info["paging"]["root"], "0x1000");

    let real_mode = directory.write("real-mode", &with_cr0(0x6000_0010));
    let why = "the dump has no VMCOREINFO note";
    kscope(&["dump", "vtop", &real_mode, "0"]).failed(1, &format!("{real_mode}: {why}"));
}

#[test]
fn notes_are_listed_with_their_place() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let notes = kscope(&["dump", "notes", &path, "--json"]).json();
    let notes = notes["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 4);
    let first = &notes[0];
    assert_eq!(
        (&first["name"], &first["type"], &first["size"]),
        (&json!("CORE"), &json!(1), &json!(336))
    );
    assert_eq!(first["type_name"], "NT_PRSTATUS (prstatus structure)");
    // Behind the header and three program headers.
    assert_eq!(first["offset"], 64 + 3 * 56);
    assert_eq!(
        (&notes[3]["name"], &notes[3]["type_name"]),
        (
            &json!("VMCOREINFO"),
            &json!("VMCOREINFO (text about the kernel)")
        )
    );
    assert_eq!(kscope(&["dump", "notes", &path]).good().lines().count(), 5);
}

#[test]
fn a_device_dump_is_told_by_its_name() {
    let mut desc = [0; 48];
    desc[..5].copy_from_slice(b"cxgb4");
    let notes = [note::Builder {
        name: b"LINUX",
        kind: NoteType::VMCOREDD,
        desc: &desc,
    }];
    let page = PageShift::SIZE_4K;
    let core = Core::new(ENCODING, Machine::X86_64, page, &notes, [].into_iter());
    let directory = Directory::new();
    let path = directory.write("dump", &core.to_vec().unwrap());
    let text = kscope(&["dump", "notes", &path]).good();
    assert!(
        text.ends_with("  NT_VMCOREDD (device dump): cxgb4\n"),
        "{text}"
    );
    let notes = kscope(&["dump", "notes", &path, "--json"]).json();
    assert_eq!(notes["notes"][0]["device"], "cxgb4");
}

#[test]
fn vmcoreinfo_is_printed_as_it_is() {
    let Small {
        path,
        directory: _kept,
    } = small();
    assert_eq!(kscope(&["dump", "vmcoreinfo", &path]).good(), VMCOREINFO);
    let value = |key| kscope(&["dump", "vmcoreinfo", &path, key]);
    assert_eq!(value("SYMBOL(init_top_pgt)").good(), "ffffffff80001000\n");
    // Of a key that occurs twice the first one counts.
    assert_eq!(value("OSRELEASE").good(), "6.1.0-test\n");
    value("NOTHING").failed(1, &format!("{path}: VMCOREINFO has no value for `NOTHING`"));
    let all = kscope(&["dump", "vmcoreinfo", &path, "--json"]).json();
    assert_eq!(all["PAGESIZE"], "4096");
    assert_eq!(all["OSRELEASE"], "6.1.0-test");
    let one = kscope(&["dump", "vmcoreinfo", &path, "PAGESIZE", "--json"]).json();
    assert_eq!(one, json!({ "PAGESIZE": "4096" }));
}

#[test]
fn read_prints_a_hex_dump_raw_bytes_or_json() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let read = |more: &[&str]| kscope(&[&["dump", "read", &path][..], more].concat());
    let row = "  70 61 67 65 20 6f 6e 65  00 00 00 00 00 00 00 00  |page one........|\n";
    assert_eq!(
        read(&["--phys", "0x5000", "0x10"]).good(),
        format!("0x5000{row}")
    );
    assert_eq!(read(&["--virt", "0", "16"]).good(), format!("0x0{row}"));
    assert_eq!(read(&["--virt", "0", "8", "--raw"]).good(), "page one");
    let short = read(&["--phys", "5006", "2"]).good();
    assert_eq!(short, format!("0x5006  6e 65 {:42}  |ne|\n", ""));
    // More than is read at once: every address once, in order.
    let long = read(&["--virt", "0", "0x1c00", "--raw"]);
    assert_eq!(long.bytes.len(), 0x1c00);
    assert_eq!(long.bytes[0x1000..], [b'x'; 0xc00]);
}

#[test]
fn read_takes_another_root() {
    let Small {
        path,
        directory: _kept,
    } = small();
    // One table further down each address means less.
    let read = |space, root: &str, at| {
        kscope(&[
            "dump", "read", &path, space, "--root", root, at, "8", "--raw",
        ])
    };
    assert_eq!(read("--virt", "1000", "0").good(), "page one");
    read("--virt", "3000", "0").failed(
        1,
        &format!("{path}: virtual address 0x0: pmd at 0x5000 is not present (0x656e6f2065676170)"),
    );
    assert_eq!(read("--phys", "1000", "0").status, 2);
}

#[test]
fn a_long_read_is_whole_and_ends_where_the_memory_does() {
    let directory = Directory::new();
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = directory.write("dump", &dump_of([(0x12345, bytes.clone())]));
    let (at, len) = ("12348", (bytes.len() - 3).to_string());
    let read = |len: &str, how| kscope(&["dump", "read", &path, "--phys", at, len, how]);
    assert!(read(&len, "--raw").bytes == bytes[3..]);
    let json = read(&len, "--json").json();
    assert_eq!(json["size"], bytes.len() - 3);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert!(json["bytes"] == hex(&bytes[3..]));
    let more = read("0x1000000", "--json").json();
    assert_eq!(more["missing"], "0xd5845");
    assert!(more["bytes"] == json["bytes"]);
    let more = read("0x1000000", "--raw");
    assert!(more.bytes == bytes[3..]);
    let end = format!("kscope: {path}: physical address 0xd5845: not RAM\n");
    assert_eq!((more.status, more.stderr), (1, end));

    let text = kscope(&["dump", "read", &path, "--phys", at, &len]).good();
    assert_eq!(text.lines().count(), (bytes.len() - 3).div_ceil(16));
    assert!(
        text.lines().last().unwrap().starts_with("0xd5838  "),
        "{text}"
    );

    // A dump without virtual addresses, CPUs or VMCOREINFO.
    let out = directory.path("out");
    kscope(&["dump", "extract", &path, &out, "--phys", "0+0x1000000"]).good();
    let all = ["--phys", "0x12345", &bytes.len().to_string(), "--raw"];
    assert!(kscope(&[&["dump", "read", &out][..], &all].concat()).bytes == bytes);
    let info = kscope(&["dump", "info", &out, "--json"]).json();
    assert_eq!(
        (&info["segments"][0]["vaddr"], &info["cpus"]),
        (&json!("0x0"), &json!([]))
    );
}

#[test]
fn read_prints_what_is_before_a_missing_byte_and_names_it() {
    let Small {
        path,
        directory: _kept,
    } = small();
    for (space, at, why) in [
        ("--phys", "7bf8", "physical address 0x7c00: not RAM"),
        (
            "--virt",
            "1bf8",
            "virtual address 0x1c00 is mapped: physical address 0x7c00: not RAM",
        ),
    ] {
        let outcome = kscope(&["dump", "read", &path, space, at, "64", "--raw"]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, "xxxxxxxx"));
        assert_eq!(outcome.stderr, format!("kscope: {path}: {why}\n"));
    }
    kscope(&["dump", "read", &path, "--phys", "6000", "1"]).failed(
        1,
        &format!("{path}: physical address 0x6000: excluded when the dump was written"),
    );
    kscope(&["dump", "read", &path, "--virt", "3000", "1"]).failed(
        1,
        &format!("{path}: virtual address 0x3000: pte at 0x4018 is not present (0x0)"),
    );
}

/// Every case of an answer, as text and as JSON.
pub(crate) const CASES: [(&str, &str, &str, &str); 9] = [
    ("0", "0x0 0x5000 0x1000 0x62", "pte", "0x4000"),
    ("0x1ff8", "0x1ff8 0x7ff8 0x1000 0x62", "pte", "0x4008"),
    ("2345ff", "0x2345ff 0x2345ff 0x200000 0x62", "pmd", "0x3008"),
    (
        "40000abc",
        "0x40000abc 0x40000abc 0x40000000 0x8000000000000062",
        "pud",
        "0x2008",
    ),
    ("3000", "0x3000 unmapped (pte)", "pte", "0x4018"),
    ("400000", "0x400000 unmapped (pmd)", "pmd", "0x3010"),
    (
        "800000000000",
        "0x800000000000 unmapped (pgd)",
        "pgd",
        "0x1000",
    ),
    (
        "8000000000",
        "0x8000000000 missing (0x6000)",
        "pud",
        "0x6000",
    ),
    (
        "ffffffffffffffff",
        "0xffffffffffffffff missing (0x9ff8)",
        "pud",
        "0x9ff8",
    ),
];

#[test]
fn vtop_answers_in_a_line_each_and_unmapped_is_an_answer() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let expected: Vec<_> = CASES.iter().map(|case| case.1).collect();
    let arguments: Vec<_> = CASES.iter().map(|case| case.0).collect();
    let asked = [&["dump", "vtop", &path][..], &arguments].concat();
    assert_eq!(kscope(&asked).good().lines().collect::<Vec<_>>(), expected);
    let lines = arguments.join("\n");
    let words = arguments.join(" ");
    for stdin in [lines, words] {
        let answers = kscope_with(&["dump", "vtop", &path, "-"], stdin.as_bytes()).good();
        assert_eq!(answers.lines().collect::<Vec<_>>(), expected);
    }

    let answers = kscope(&[&asked[..], &["--json"]].concat()).good();
    for (answer, (_, text, level, entry_at)) in answers.lines().zip(CASES) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(answer["virt"], words[0]);
        assert_eq!(
            (&answer["level"], &answer["entry_at"]),
            (&json!(level), &json!(entry_at))
        );
        if words.len() == 4 {
            assert_eq!(
                (&answer["phys"], &answer["flags"]),
                (&json!(words[1]), &json!(words[3]))
            );
            let size = u64::from_str_radix(words[2].trim_start_matches("0x"), 16).unwrap();
            assert_eq!(
                (&answer["page_size"], &answer["reason"]),
                (&json!(size), &json!(null))
            );
        } else {
            assert_eq!(
                (&answer["phys"], &answer["reason"]),
                (&json!(null), &json!(words[1]))
            );
            // The entries that are not present are empty, those that are missing were not read.
            let entry = if words[1] == "missing" {
                json!(null)
            } else {
                json!("0x0")
            };
            if words[2] != "(pgd)" {
                assert_eq!(answer["entry"], entry, "{text}");
            }
        }
    }
}

#[test]
fn vtop_shows_the_walk_and_takes_another_root() {
    let Small {
        path,
        directory: _kept,
    } = small();
    assert_eq!(
        kscope(&["dump", "vtop", &path, "--walk", "0x2345ff", "3000"]).good(),
        "0x2345ff 0x2345ff 0x200000 0x62\n  \
           pgd at 0x1000: 0x2067 -> table 0x2000  RW US D A\n  \
           pud at 0x2000: 0x3067 -> table 0x3000  RW US D A\n  \
           pmd at 0x3008: 0x2000e3 -> page 0x200000 of 0x200000  RW D A\n\
         0x3000 unmapped (pte)\n  \
           pgd at 0x1000: 0x2067 -> table 0x2000  RW US D A\n  \
           pud at 0x2000: 0x3067 -> table 0x3000  RW US D A\n  \
           pmd at 0x3000: 0x4067 -> table 0x4000  RW US D A\n  \
           virtual address 0x3000: pte at 0x4018 is not present (0x0)\n"
    );
    let walk = kscope(&["dump", "vtop", &path, "--walk", "--json", "2345ff"]).json();
    let levels: Vec<_> = walk["walk"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["level"])
        .collect();
    assert_eq!(levels, ["pgd", "pud", "pmd"]);
    assert_eq!(walk["walk"][2]["entry"], "0x2000e3");
    assert_eq!(walk["entry"], "0x2000e3");
    // What stands in an entry that is not present: "page one".
    let other = ["dump", "vtop", &path, "--root", "3000", "--json", "0"];
    let other = kscope(&other).json();
    assert_eq!(
        (&other["entry_at"], &other["entry"]),
        (&json!("0x5000"), &json!("0x656e6f2065676170"))
    );

    // The page of a pmd's entries, taken for a pgd, has its 2 MiB page where none may be.
    let other = kscope(&["dump", "vtop", &path, "--root", "0x3000", "0", "8000000000"]).good();
    assert_eq!(other, "0x0 unmapped (pmd)\n0x8000000000 unmapped (pgd)\n");
}

#[test]
fn vtop_and_mappings_say_the_same_of_an_entry() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let mut words = BTreeSet::new();
    for root in ["1000", "3000"] {
        let root = ["--root", root, "--json"];
        let listed = kscope(&[&["dump", "mappings", &path][..], &root].concat()).json();
        let lost = listed["lost"].as_array().unwrap();
        assert!(!lost.is_empty());
        for lost in lost {
            let virt = lost["virt"].as_str().unwrap();
            let answer = kscope(&[&["dump", "vtop", &path, virt][..], &root].concat()).json();
            for key in ["virt", "level", "entry_at", "entry", "reason", "detail"] {
                assert_eq!(answer[key], lost[key], "{key}");
            }
            words.insert(lost["reason"].as_str().unwrap().to_owned());
        }
    }
    // A table that is not there, and an entry that sets reserved bits.
    assert_eq!(Vec::from_iter(words), ["missing", "unmapped"]);
}

#[test]
fn vtop_names_the_line_that_is_no_address() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let outcome = kscope_with(&["dump", "vtop", &path, "-"], b"0\n\nnope\n1000\n");
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (1, "0x0 0x5000 0x1000 0x62\n")
    );
    let why = "-: line 3: `nope` is not an address (up to 16 hexadecimal digits)";
    assert_eq!(outcome.stderr, format!("kscope: {why}\n"));
}

#[test]
fn mappings_lists_every_extent_and_names_lost_tables() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let outcome = kscope(&["dump", "mappings", &path]);
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stdout,
        "0x0 0x5000 0x1000 0x1000 0x62\n\
         0x1000 0x7000 0x2000 0x1000 0x62\n\
         0x200000 0x200000 0x200000 0x200000 0x62\n\
         0x40000000 0x40000000 0x40000000 0x40000000 0x8000000000000062\n"
    );
    let said: Vec<_> = outcome.stderr.lines().collect();
    let table = |virt, at, why| {
        format!("kscope: {path}: virtual address {virt}: pud at {at} cannot be read: {why}")
    };
    let excluded = table(
        "0x8000000000",
        "0x6000",
        "excluded when the dump was written",
    );
    assert_eq!(
        said,
        [excluded, table("0xffffff8000000000", "0x9000", "not RAM")]
    );

    let answer = kscope(&["dump", "mappings", &path, "--json"]).json();
    assert_eq!(answer["mappings"].as_array().unwrap().len(), 4);
    assert_eq!(answer["lost"][1]["entry_at"], "0x9000");

    // One table deeper nothing is lost.
    let whole = kscope(&["dump", "mappings", &path, "--root", "4000"]);
    assert_eq!((whole.status, whole.stdout.as_str()), (1, ""));
}

#[test]
fn tables_that_lead_to_themselves_come_to_an_end() {
    let directory = Directory::new();
    let mut dump = small_dump();
    for entry in dump[0x1000..0x2000].chunks_mut(8) {
        entry.copy_from_slice(&0x1067_u64.to_le_bytes());
    }
    let path = directory.write("dump", &dump);
    let outcome = kscope(&["dump", "mappings", &path, "--json"]);
    let lost = &outcome.json()["lost"];
    assert_eq!((outcome.status, &lost[0]["reason"]), (1, &json!("budget")));

    let out = directory.path("out");
    let everything = ["--virt", "0+0xffffffffffffffff"];
    let outcome = kscope(&[&["dump", "extract", &path, &out][..], &everything].concat());
    assert_eq!(outcome.stderr, kscope(&["dump", "mappings", &path]).stderr);
    assert_eq!(
        (outcome.status, directory.names()),
        (1, vec!["dump".to_owned()])
    );
}

#[test]
fn what_is_no_dump_is_status_1() {
    let directory = Directory::new();
    for (bytes, why) in [
        (
            &b"BIOS-e820: "[..],
            "offset 0x0: ELF magic is 0x42494f53, not 0x7f454c46",
        ),
        (
            &small_dump()[..60],
            "offset 0x0: ELF header needs 0x40 bytes, 0x3c are there",
        ),
    ] {
        let path = directory.write("dump", bytes);
        for args in [&["info"][..], &["vtop", "0"], &["mappings"], &["notes"]] {
            let args = [&["dump", args[0], &path], &args[1..]].concat();
            let outcome = kscope(&args);
            assert_eq!(
                (outcome.status, outcome.stdout.as_str()),
                (1, ""),
                "{args:?}"
            );
            assert_eq!(
                outcome.stderr,
                format!("kscope: {path}: {why}\n"),
                "{args:?}"
            );
        }
    }
}

#[test]
fn a_real_dump_tells_what_readelf_and_crash_tell() {
    let info = kscope(&["dump", "info", REAL, "--json"]).json();
    assert_eq!(info["kernel_release"], "6.1.0-56-cloud-amd64");
    assert_eq!(info["crash_time"], 1_795_391_635);
    assert_eq!(info["phys_base"], "0xffffffffe8e00000");
    assert_eq!(info["kernel_offset"], "0x25800000");
    assert_eq!(info["paging"]["root"], "0x11010000");
    assert_eq!(info["cpus"][1]["pid"], 104);
    assert_eq!(info["cpus"][1]["registers"]["rip"], "0xffffffffa696475a");
    assert_eq!(info["cpus"][1]["registers"]["rsp"], "0xffffd066c0403a38");

    let banner = [
        "dump",
        "read",
        REAL,
        "--virt",
        "ffffffffa791ffe0",
        "36",
        "--raw",
    ];
    assert_eq!(
        kscope(&banner).good(),
        "Linux version 6.1.0-56-cloud-amd64 ("
    );
}

/// Rows of a table beside the dump.
fn rows(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(workspace().join("testdata").join(name)).unwrap();
    text.lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Physical address or `unmapped` of each answer.
fn answers(root: &[&str], addresses: &[&str]) -> Vec<String> {
    let args = [&["dump", "vtop", REAL, "-"], root].concat();
    let answers = kscope_with(&args, addresses.join("\n").as_bytes()).good();
    answers
        .lines()
        .map(|line| {
            line.split(' ')
                .nth(1)
                .unwrap()
                .trim_start_matches("0x")
                .to_owned()
        })
        .collect()
}

#[test]
fn a_real_dump_translates_as_libkdumpfile_and_crash_do() {
    let kernel = rows("kdump.xlat.tsv");
    let (addresses, expected): (Vec<&str>, Vec<&str>) = kernel
        .iter()
        .map(|row| (row[0].as_str(), row[1].as_str()))
        .unzip();
    assert!(addresses.len() > 300);
    assert_eq!(answers(&[], &addresses), expected);

    let user = rows("kdump.user-xlat.tsv");
    assert!(user.len() > 50);
    for process in user.chunk_by(|a, b| a[0] == b[0]) {
        let (addresses, expected): (Vec<&str>, Vec<&str>) = process
            .iter()
            .map(|row| (row[1].as_str(), row[2].as_str()))
            .unzip();
        assert_eq!(answers(&["--root", &process[0][0]], &addresses), expected);
    }
}

/// The log and symbols of the same kernel.
const INSIDE: &str = "testdata/kdump-inside.elf";

#[test]
fn dmesg_prints_what_makedumpfile_prints() {
    let expected = std::fs::read(workspace().join("testdata/kdump-inside.dmesg.txt")).unwrap();
    let outcome = kscope(&["dump", "dmesg", INSIDE]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.bytes == expected);
    assert!(kscope(&["dump", "dmesg", "--no-mmap", INSIDE]).bytes == expected);

    let lines = kscope(&["dump", "dmesg", INSIDE, "--json"]).good();
    assert_eq!(lines.lines().count(), 403);

    let missing =
        "virtual address 0xffffffffa82622c0 is mapped: physical address 0x110622c0: not RAM";
    kscope(&["dump", "dmesg", REAL]).failed(1, &format!("{REAL}: {missing}"));
}

#[test]
fn dmesg_goes_on_behind_a_damaged_record_and_says_so() {
    let directory = Directory::new();
    let mut dump = std::fs::read(workspace().join(INSIDE)).unwrap();
    // The state of descriptor 7, at prb_data's 0xffffffffa82ba340 + 7 * 24: no id that could be there.
    let outcome = kscope(&["dump", "vtop", INSIDE, "ffffffffa82ba3e8", "--json"]);
    let phys = outcome.json()["phys"].as_str().unwrap()[2..].to_owned();
    let phys = u64::from_str_radix(&phys, 16).unwrap();
    let info = kscope(&["dump", "info", INSIDE, "--json"]).json();
    let segments = info["segments"].as_array().unwrap().clone();
    let number = |segment: &Value, key: &str| match &segment[key] {
        Value::String(text) => u64::from_str_radix(&text[2..], 16).unwrap(),
        value => value.as_u64().unwrap(),
    };
    let at = segments.iter().find_map(|segment| {
        let offset = phys.checked_sub(number(segment, "paddr"))?;
        let inside = segment["type"] == "LOAD" && offset < number(segment, "filesz");
        inside.then(|| number(segment, "offset") + offset)
    });
    dump[usize::try_from(at.unwrap()).unwrap()] ^= 0x55;
    let path = directory.write("dump", &dump);
    let outcome = kscope(&["dump", "dmesg", &path]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .contains("virtual address 0xffffffffa82ba3e8: prb_desc.state_var is")
    );
    assert_eq!(outcome.stderr.lines().count(), 1);
    let whole = kscope(&["dump", "dmesg", INSIDE]).good();
    assert_eq!(outcome.stdout.lines().count(), whole.lines().count() - 1);
}

#[test]
fn symbols_are_those_of_the_machine() {
    let listed = std::fs::read_to_string(workspace().join("testdata/kdump-inside.kallsyms.txt"));
    let outcome = kscope(&["dump", "symbols", INSIDE]);
    // The cut does not hold the names of all.
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .contains("virtual address 0xffffffffa7982000 is mapped")
    );
    assert!(outcome.stdout == listed.unwrap());

    let at = kscope(&["dump", "symbols", INSIDE, "0xffffffffa6801234"]).good();
    assert_eq!(at, "ffffffffa6801234 sme_prepare_pgd+0xd4/0x1f0\n");
    kscope(&["dump", "symbols", INSIDE, "0x8dfc00000000"]).failed(
        1,
        &format!("{INSIDE}: no symbol of the kernel holds 0x8dfc00000000"),
    );
    kscope(&["dump", "symbols", INSIDE, "0xg"])
        .failed(2, "`0xg` is not an address (up to 16 hexadecimal digits)");
    let Small {
        path,
        directory: _kept,
    } = small();
    kscope(&["dump", "symbols", &path, "linux_banner"]).failed(
        1,
        &format!("{path}: the dump has no SYMBOL(kallsyms_names) in VMCOREINFO"),
    );
}

#[test]
fn pages_tell_which_levels_leave_them_out() {
    let expected = std::fs::read_to_string(workspace().join("testdata/kdump-inside.frames.tsv"));
    let expected = expected.unwrap();
    let frames: Vec<_> = expected
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    let outcome = kscope_with(
        &["dump", "pages", INSIDE, "-"],
        frames.join("\n").as_bytes(),
    );
    // The cut does not hold the names of the flags.
    assert_eq!(outcome.status, 0);
    assert!(
        outcome
            .stderr
            .starts_with(&format!("kscope: {INSIDE}: few flags have names: "))
    );
    let told: Vec<_> = outcome
        .stdout
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            format!("{}\t{}", words[0], words[2])
        })
        .collect();
    assert!(told == expected.lines().collect::<Vec<_>>());

    let outcome = kscope(&["dump", "pages", INSIDE, "4176-4177", "1048576", "20000"]);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], "4176 slab/2 - 1 -1 0xfffffc0010200 slab");
    assert_eq!(lines[1], "4177 slab/2 - 0 -1 0xfffffc0000000 -");
    assert_eq!(lines[2], "1048576 absent");
    assert!(lines[3].starts_with("20000 unknown: virtual address 0xfffff3b0c0138800"));

    for bad in ["x", "2-1", "-1", "1-", "+1"] {
        assert_eq!(
            kscope(&["dump", "pages", INSIDE, "--", bad]).status,
            2,
            "{bad}"
        );
    }
    let outcome = kscope_with(&["dump", "pages", INSIDE, "-"], b"1\nx");
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .ends_with("line 2: `x` is not a frame number or FIRST-LAST\n")
    );
}
