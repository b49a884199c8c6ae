//! `kscope dump dmesg`, `symbols` and `pages` on dumps of a real kernel.

use serde_json::Value;

use crate::support::{Directory, Small, kscope, kscope_with, small, workspace};

/// Pages and tables of a kernel that crashed, see testdata/README.md.
const REAL: &str = "testdata/kdump.elf";

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

    let missing = "virtual address 0xffffffffa82622c0 is mapped: physical address 0x110622c0: not in the dump";
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
    assert_eq!(
        kscope(&["dump", "symbols", INSIDE, "ffffffffa6801234"]).good(),
        at
    );
    kscope(&["dump", "symbols", INSIDE, "8dfc0000"]).failed(
        1,
        &format!("{INSIDE}: no symbol of the kernel holds 0x8dfc0000"),
    );
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

    // What is not there, or cannot be read, is told at once, however much was asked for.
    for (asked, told) in [
        ("1048575-1048575", "1048575 absent\n"),
        ("1048575-2097151", "1048575-2097151 absent\n"),
    ] {
        assert_eq!(kscope(&["dump", "pages", INSIDE, asked]).stdout, told);
    }
    let all = kscope(&["dump", "pages", INSIDE, "20000-18446744073709551615"]).stdout;
    let lines: Vec<_> = all.lines().collect();
    assert!(lines[0].starts_with("20000-98303 unknown: virtual address 0xfffff3b0c0138800"));
    assert_eq!(lines[1], "98304-4294967295 absent");
    assert!(lines[2].starts_with("4294967296-17179869183 unknown: virtual address 0x"));
    assert_eq!(lines[3..], ["17179869184-18446744073709551615 absent"]);

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

/// What cannot be right is damage for `info` as for `verify`; what this version does not know is for neither.
#[test]
fn info_and_verify_agree_on_what_is_damaged() {
    let directory = Directory::new();
    let file = std::fs::read(workspace().join(INSIDE)).unwrap();
    for (name, at, bytes, named) in [
        (
            "filesz",
            152,
            &[0, 0x20][..],
            Some("p_filesz of a PT_LOAD is 0x2000"),
        ),
        (
            "machine",
            18,
            &[40, 0],
            Some("n_descsz of an NT_PRSTATUS is 0x150"),
        ),
        ("no-machine", 18, &[0, 0], None),
        ("other-machine", 18, &[0xff, 0xff], None),
    ] {
        let mut changed = file.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        let path = directory.write(name, &changed);
        for command in ["info", "verify"] {
            let outcome = kscope(&["dump", command, &path]);
            assert_eq!(
                outcome.status,
                i32::from(named.is_some()),
                "{command} {name}"
            );
            assert!(
                outcome.stderr.contains(named.unwrap_or_default()),
                "{command} {name}"
            );
        }
    }
}
