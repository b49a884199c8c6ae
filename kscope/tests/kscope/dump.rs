//! `kscope dump info`, `notes` and `vmcoreinfo` on dumps made here, all of whose answers are known.

use elf_format::{CpuState, Machine, NoteType, note};
use physmem::{PageShift, PhysAddr, PhysRange};
use serde_json::{Value, json};
use vmcore_format::build::core::{Core, Part};

use crate::support::{
    Directory, ENCODING, Small, VMCOREINFO, dump_of, kscope, kscope_with, small, small_dump,
    workspace,
};

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
    kscope(&["dump", "vmcoreinfo", &path]).failed(
        1,
        &format!(
            "{path}: the dump has no VMCOREINFO note: --vmcoreinfo gives what the kernel says"
        ),
    );

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
        // The frame that is cut through is lost.
        json!({ "present": 3, "excluded": 1, "lost": 3 })
    );
    let why = "the dump is incomplete: 3 pages are lost";
    assert_eq!(
        (outcome.status, outcome.stderr),
        (1, format!("kscope: {path}: {why}\n"))
    );
    // `verify` counts the same, and lists each page once.
    let verify = kscope(&["dump", "verify", &path]);
    assert_eq!(
        verify.stdout,
        "0x4000               0x5fff                      2 lost\n\
         0x7000               0x7fff                      1 lost\n\
         3 pages stored as they are, 1 excluded, 3 lost, 0 damaged, 0 of a missing codec\n"
    );
    let one = directory.write("one", &dump_of([(0x1000, vec![7; 0x2000])])[..0x1100]);
    let outcome = kscope(&["dump", "info", &one]);
    let why_one = "the dump is incomplete: 1 page is lost";
    assert!(
        outcome
            .stderr
            .ends_with(&format!("kscope: {one}: {why_one}\n")),
        "{}",
        outcome.stderr
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
    kscope(&asked).failed(
        1,
        &format!(
            "{path}: the dump has no VMCOREINFO note: --vmcoreinfo gives what the kernel says"
        ),
    );
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
    let why = "the dump has no VMCOREINFO note: --vmcoreinfo gives what the kernel says";
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
fn notes_of_xen_and_of_erased_data_are_told_by_their_fields() {
    let words = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let info = words(&[
        4,
        17,
        0x1000,
        0x1010,
        0x1020,
        0x1030,
        0x1040,
        0,
        0x7f20_0000,
        0x1a2b,
    ]);
    let registers = words(&[0x8005_0033, 0, 0x7f1f_f000, 0x1526e0]);
    let note = |name, kind, desc| note::Builder { name, kind, desc };
    let notes = [
        note(b"Xen", NoteType::XEN_CRASH_INFO, &info),
        note(b"Xen", NoteType::XEN_CRASH_REGS, &registers),
        // Too short to be what it says.
        note(b"Xen", NoteType::XEN_CRASH_REGS, &registers[..8]),
        note(
            b"ERASEINFO",
            NoteType(0),
            b"erase a.b size 8\nerase c nullify\n",
        ),
        note(b"NOBODY", NoteType(77), b"?"),
    ];
    let page = PageShift::SIZE_4K;
    let core = Core::new(ENCODING, Machine::X86_64, page, &notes, [].into_iter());
    let directory = Directory::new();
    let path = directory.write("dump", &core.to_vec().unwrap());
    let text = kscope(&["dump", "notes", &path]).good();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    for line in [
        "xen_major_version 0x4",
        "xen_phys_start 0x7f200000",
        "dom0_pfn_to_mfn_frame_list_list 0x1a2b",
        "cr3 0x7f1ff000",
        "erased  a.b  8 bytes",
        "erased  c",
    ] {
        assert!(lines.contains(&line), "{line}: {text}");
    }
    assert_eq!(lines.len(), 1 + 5 + 10 + 4 + 2);
    let json = kscope(&["dump", "notes", &path, "--json"]).json();
    assert_eq!(json["notes"][1]["fields"]["cr4"], "0x1526e0");
    assert_eq!(json["notes"][2].get("fields"), None);
    assert_eq!(json["notes"][4]["name"], "NOBODY");
    let expected = json!([{"what": "a.b", "bytes": 8}, {"what": "c", "bytes": null}]);
    assert_eq!(json["erased"], expected);
    // The text of `info` keeps to the table.
    let info = kscope(&["dump", "info", &path]);
    assert!(!info.stdout.contains("cr3"), "{}", info.stdout);
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
fn an_image_is_sent_to_who_knows_it() {
    let knows = "`kscope image` knows what it is";
    let kernel = "bootimg/testdata/memtest86+x64.bin";
    let start = r#""\xea\x05\x00\xc0"#;
    for (file, stdin) in [(kernel, false), ("-", true)] {
        let bytes = std::fs::read(workspace().join(kernel)).unwrap();
        let outcome = kscope_with(&["dump", "info", file], if stdin { &bytes } else { b"" });
        let why = "offset 0x0: this is neither an ELF file nor a kdump: it begins with";
        assert!(
            outcome.stderr.contains(why) && outcome.stderr.contains(start),
            "{}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.ends_with(&format!("; {knows}\n")),
            "{}",
            outcome.stderr
        );
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
    }
    let directory = Directory::new();
    let packed = directory.write("packed", b"\x28\xb5\x2f\xfd\0\0\0\0");
    let outcome = kscope(&["dump", "info", &packed]);
    assert!(
        outcome
            .stderr
            .ends_with("; it is compressed: unpack it first\n"),
        "{}",
        outcome.stderr
    );
    let elf = "fuzz/seeds/elf_image/small";
    let why = "offset 0x10: e_type is 0x2, allowed: 4 (ET_CORE)";
    kscope(&["dump", "info", elf]).failed(1, &format!("{elf}: {why}; {knows}"));
}

#[test]
fn what_has_no_parts_says_so() {
    let elf = "testdata/forms/elf";
    let why = format!("{elf}: offset 0x0: this is an ELF file, which has no parts");
    kscope(&["dump", "info", elf, "testdata/forms/lzo.part1"]).failed(1, &why);
}

#[test]
fn what_is_no_dump_is_status_1() {
    let directory = Directory::new();
    for (bytes, why) in [
        (
            &b"BIOS-e820: "[..],
            "offset 0x0: this is neither an ELF file nor a kdump: it begins with \"BIOS-e82\"; \
             memory without headers is read with --memory-of",
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
