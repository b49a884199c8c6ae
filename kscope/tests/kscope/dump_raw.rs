//! `kscope dump` on memory without headers, beside the dump that it was taken out of.

use physmem::PhysMemory;
use vmcore_format::Dump;

use crate::support::{Directory, Outcome, kscope, kscope_with, workspace};

/// The log and symbols of a real kernel, see testdata/README.md.
const INSIDE: &str = "testdata/kdump-inside.elf";
/// Its page tables and pages.
const REAL: &str = "testdata/kdump.elf";

/// What is said of any file that is no dump.
const RAW: &str = "memory without headers is read with --memory-of";

/// The memory of a dump, one range after the other, and what tells the rest.
struct Bare {
    ram: String,
    text: String,
    at: Vec<String>,
    /// Where the files are.
    _kept: Directory,
}

impl Bare {
    fn of(dump: &str) -> Self {
        let directory = Directory::new();
        let file = std::fs::read(workspace().join(dump)).unwrap();
        let opened = Dump::open(&file[..]).unwrap();
        let (mut memory, mut at) = (Vec::new(), Vec::new());
        for (range, _) in opened.ranges() {
            let from = memory.len();
            memory.resize(from + usize::try_from(range.size()).unwrap(), 0);
            let out = &mut memory[from..];
            opened.reader().read(range.start(), out).unwrap();
            at.push(format!("{}-{}", range.start(), range.last()));
        }
        let info = kscope(&["dump", "vmcoreinfo", dump]).good();
        Self {
            ram: directory.write("ram", &memory),
            text: directory.write("vmcoreinfo", info.as_bytes()),
            at,
            _kept: directory,
        }
    }

    /// Where the memory lies and what it is of.
    fn memory(&self) -> Vec<&str> {
        let at = self.at.iter().map(String::as_str);
        let at = at.flat_map(|range| ["--memory-at", range]);
        ["--memory-of", "x86_64"].into_iter().chain(at).collect()
    }

    /// The same question to the memory as to the dump.
    fn ask(&self, question: &str, more: &[&str]) -> Outcome {
        let told = ["--vmcoreinfo", &self.text];
        let ask = ["dump", question, &self.ram];
        kscope(&[&ask[..], &self.memory(), &told, more].concat())
    }

    fn same(&self, dump: &str, question: &str, more: &[&str]) {
        let of_dump = kscope(&[&["dump", question, dump][..], more].concat());
        let of_memory = self.ask(question, more);
        assert_eq!(of_memory.status, of_dump.status, "{question} {more:?}");
        assert!(of_memory.bytes == of_dump.bytes, "{question} {more:?}");
        let stderr = of_memory.stderr.replace(&self.ram, dump);
        assert_eq!(stderr, of_dump.stderr, "{question} {more:?}");
    }
}

#[test]
fn a_machine_whose_tables_nobody_walks_is_named() {
    let directory = Directory::new();
    let ram = directory.write("ram", &[0; 0x1000]);
    let text = directory.write("text", b"OSRELEASE=6.1.0-test\nPAGESIZE=4096\n");
    let told = ["--memory-of", "arm", "--vmcoreinfo", &text];
    let outcome = kscope(&[&["dump", "vtop", &ram, "0"][..], &told].concat());
    let why = "walking the page tables of ARM is not supported";
    outcome.failed(1, &format!("{ram}: {why}"));
}

#[test]
fn memory_with_vmcoreinfo_answers_as_the_dump_does() {
    let bare = Bare::of(INSIDE);
    for (question, more) in [
        ("dmesg", &[][..]),
        ("symbols", &["sme_prepare_pgd"]),
        ("symbols", &["0xffffffffa6801234"]),
        ("pages", &["4200", "4096-4110", "--json"]),
        ("vmcoreinfo", &["--json"]),
    ] {
        bare.same(INSIDE, question, more);
    }
    let bare = Bare::of(REAL);
    for (question, more) in [
        (
            "vtop",
            &["ffffffffa791ffe0", "ffff8dfc00000000", "0", "--walk"][..],
        ),
        ("vtop", &["400000", "--root", "10402000", "--json"]),
        ("read", &["--virt", "ffffffffa791ffe0", "64"]),
        ("read", &["--phys", "2000", "16"]),
        ("mappings", &[]),
        ("checksum", &[]),
        ("verify", &[]),
    ] {
        bare.same(REAL, question, more);
    }
    let info = bare.ask("info", &["--json"]).json();
    let of_dump = kscope(&["dump", "info", REAL, "--json"]).json();
    assert_eq!(
        (&info["format"], &of_dump["format"]),
        (&"raw".into(), &"elf".into())
    );
    for key in [
        "arch",
        "byte_order",
        "page_size",
        "kernel_release",
        "crash_time",
        "ranges",
        "pages",
        "paging",
    ] {
        assert_eq!(info[key], of_dump[key], "{key}");
    }
    assert_eq!(info["cpus"].as_array().map(Vec::len), Some(0));
}

#[test]
fn memory_comes_through_a_pipe_or_is_read_as_well() {
    let bare = Bare::of(REAL);
    let banner = ["--virt", "ffffffffa791ffe0", "13", "--raw"];
    assert_eq!(bare.ask("read", &banner).good(), "Linux version");
    let read = [&banner[..], &["--no-mmap"]].concat();
    assert_eq!(bare.ask("read", &read).good(), "Linux version");
    let memory = std::fs::read(&bare.ram).unwrap();
    let told = ["--vmcoreinfo", &bare.text];
    let piped = [&["dump", "read", "-"][..], &bare.memory(), &told, &banner].concat();
    assert_eq!(kscope_with(&piped, &memory).good(), "Linux version");
    // Or the other way around.
    let told = ["--vmcoreinfo", "-"];
    let piped = [
        &["dump", "read", &bare.ram][..],
        &bare.memory(),
        &told,
        &banner,
    ]
    .concat();
    let text = std::fs::read(&bare.text).unwrap();
    assert_eq!(kscope_with(&piped, &text).good(), "Linux version");
}

#[test]
fn what_the_kernel_says_may_be_given_to_any_dump() {
    let directory = Directory::new();
    let text = directory.write("text", b"TOLD=told\nPAGESIZE=4096\nPAGESIZE=x\n");
    for dump in [REAL, "testdata/forms/lzo", "testdata/forms/elf.flat"] {
        let told = kscope(&["dump", "vmcoreinfo", dump, "--vmcoreinfo", &text, "TOLD"]);
        assert_eq!(told.good(), "told\n", "{dump}");
    }
    // What another kernel says may be meant.
    let release = kscope(&["dump", "vmcoreinfo", REAL, "OSRELEASE"]).good();
    let own = kscope(&["dump", "vmcoreinfo", REAL, "BUILD-ID"]).good();
    let build_id = format!("OSRELEASE={release}BUILD-ID=00\n");
    for (text, key, other, own) in [
        ("OSRELEASE=6.x\n", "OSRELEASE", "6.x", release.trim()),
        (build_id.as_str(), "BUILD-ID", "00", own.trim()),
    ] {
        let text = directory.write("other", text.as_bytes());
        let told = kscope(&["dump", "vmcoreinfo", REAL, "--vmcoreinfo", &text, key]);
        let why = format!("this is another kernel: {key} is {other}, that of the dump {own}");
        assert_eq!(told.stderr, format!("kscope: {text}: {why}\n"));
        assert_eq!((told.status, told.stdout), (0, format!("{other}\n")));
    }
    // What is wrong with it is told of its own file.
    let wrong = directory.write("wrong", b"PAGESIZE=4095\n");
    let expected = "a power of two from 4096 to 1073741824";
    kscope(&["dump", "checksum", REAL, "--vmcoreinfo", &wrong]).failed(
        1,
        &format!("{wrong}: offset 0x9: VMCOREINFO PAGESIZE: expected {expected}"),
    );
    let info = kscope(&["dump", "info", REAL, "--vmcoreinfo", &wrong]);
    assert_eq!(info.status, 1);
    let why = format!("kscope: {wrong}: offset 0x9: VMCOREINFO PAGESIZE: expected {expected}\n");
    assert!(info.stderr.contains(&why), "{}", info.stderr);
    assert!(
        !info.stderr.contains(&format!("{REAL}: offset")),
        "{}",
        info.stderr
    );
    let verify = kscope(&["dump", "verify", REAL, "--vmcoreinfo", &wrong]);
    assert_eq!((verify.status, verify.stderr), (1, why));
    assert!(verify.stdout.contains(" pages stored as they are, "));
    // A dump by mistake.
    let long = directory.write("long", &[b'\n'; (2 << 20) + 1]);
    kscope(&["dump", "dmesg", REAL, "--vmcoreinfo", &long]).failed(
        1,
        &format!("{long}: more than 2097152 bytes are no VMCOREINFO"),
    );
    let none = directory.path("none");
    let why = "No such file or directory (os error 2)";
    kscope(&["dump", "dmesg", REAL, "--vmcoreinfo", &none]).failed(3, &format!("{none}: {why}"));
}

#[test]
fn what_is_no_vmcoreinfo_is_refused() {
    let directory = Directory::new();
    let ask = |text: &[u8]| {
        let path = directory.write("text", text);
        (
            kscope(&["dump", "vmcoreinfo", REAL, "--vmcoreinfo", &path]),
            path,
        )
    };
    let mut note = b"\x0b\0\0\0\x1b\0\0\0\0\0\0\0VMCOREINFO\0\0".to_vec();
    note.extend(b"A_RELEASE=6.1\nPAGESIZE=4096\0");
    assert_eq!(ask(&note).0.good(), "A_RELEASE=6.1\nPAGESIZE=4096\n");
    let expected = "VMCOREINFO line: expected KEY=VALUE in UTF-8, or a note with all of them";
    for bad in [
        &note[..45],
        b"\xfe\x80random\nA=1\n",
        b"no equals sign\nA=1\n",
    ] {
        let (outcome, path) = ask(bad);
        outcome.failed(1, &format!("{path}: offset 0x0: {expected}"));
    }
    for none in [&b""[..], b"\0\0\0", b"\n\n"] {
        let (outcome, path) = ask(none);
        outcome.failed(1, &format!("{path}: no VMCOREINFO is in it"));
    }
    // A kernel that had no room for its last line.
    assert_eq!(ask(b"A=1\nNUMBER(b").0.good(), "A=1\nNUMBER(b\n");
}

#[test]
fn debian_s_names_are_those_of_the_same_machines() {
    let directory = Directory::new();
    let ram = directory.write("ram", &[0; 4096]);
    for (name, arch) in [("arm64", "aarch64"), ("amd64", "x86_64"), ("armv7l", "arm")] {
        let info = kscope(&["dump", "info", &ram, "--memory-of", name, "--json"]);
        assert_eq!(info.json()["arch"], arch, "{name}");
    }
}

#[test]
fn without_vmcoreinfo_there_is_physical_memory() {
    let directory = Directory::new();
    let ram = directory.write("ram", b"the first bytes of a small memory");
    let of = |more: &[&str]| {
        let ask = ["dump", "read", &ram, "--memory-of", "aarch64", "--phys"];
        kscope(&[&ask[..], more].concat())
    };
    assert_eq!(of(&["4", "5", "--raw"]).good(), "first");
    let at = ["--memory-at", "40000000"];
    assert_eq!(
        of(&[&at[..], &["40000004", "5", "--raw"]].concat()).good(),
        "first"
    );
    // The same bytes twice, and some that the file does not have.
    let at = ["--memory-at", "0-2", "--memory-at", "1000-10ff@1c"];
    assert_eq!(
        of(&[&at[..], &["1000", "5", "--raw"]].concat()).good(),
        "emory"
    );
    of(&[&at[..], &["1005", "1"]].concat()).failed(
        1,
        &format!("{ram}: physical address 0x1005: lost: the dump is incomplete"),
    );
    of(&[&at[..], &["3", "1"]].concat())
        .failed(1, &format!("{ram}: physical address 0x3: not in the dump"));
    kscope(&["dump", "dmesg", &ram, "--memory-of", "aarch64"]).failed(
        1,
        &format!("{ram}: the dump has no VMCOREINFO note: --vmcoreinfo gives what the kernel says"),
    );
    kscope(&["dump", "read", &ram, "--phys", "0", "1"]).failed(
        1,
        &format!("{ram}: offset 0x0: this is neither an ELF file nor a kdump: it begins with \"the firs\"; {RAW}"),
    );
}

#[test]
fn a_dump_that_is_read_as_memory_is_named() {
    let ask = [
        "dump",
        "read",
        REAL,
        "--memory-of",
        "x86_64",
        "--phys",
        "1",
        "3",
        "--raw",
    ];
    let outcome = kscope(&ask);
    assert_eq!(outcome.stdout, "ELF");
    outcome.warned(&format!(
        "{REAL}: this begins as an ELF file does, and is read as memory without headers"
    ));
}

#[test]
fn no_more_is_read_of_what_has_no_end_than_is_told() {
    const ZERO: &str = "/dev/zero";
    let of = ["dump", "read", ZERO, "--memory-of", "x86_64", "--phys"];
    let some = [&of[..], &["ffff", "1", "--raw", "--memory-at", "0-ffff"]].concat();
    assert_eq!(kscope(&some).good(), "\0");
    let far = ["fff", "1", "--raw", "--memory-at", "0-fff@7fffffffffffffff"];
    assert_eq!(kscope(&[&of[..], &far].concat()).good(), "\0");
    // A pipe cannot be sought, and may end before.
    let pipe = ["dump", "read", "-", "--memory-of", "x86_64", "--phys"];
    let told = ["1000", "4", "--raw", "--memory-at", "1000-1003@4"];
    let pipe = [&pipe[..], &told].concat();
    assert_eq!(kscope_with(&pipe, b"0123abcdef").good(), "abcd");
    let lost = "-: physical address 0x1000: lost: the dump is incomplete";
    kscope_with(&pipe, b"012").failed(1, lost);

    kscope(&["dump", "info", "testdata/forms/lzo.part1", "--part", ZERO]).failed(
        1,
        &format!(
            "{ZERO}: offset 0x0: this is neither an ELF file nor a kdump: it begins with \"{}\"; {RAW}",
            "\\x00".repeat(8)
        ),
    );
    kscope(&["dump", "dmesg", REAL, "--vmcoreinfo", ZERO]).failed(
        1,
        &format!("{ZERO}: more than 2097152 bytes are no VMCOREINFO"),
    );
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    let directory = Directory::new();
    let ram = directory.write("ram", &[0; 64]);
    let read = |more: &[&str]| {
        let ask = ["dump", "read", &ram, "--phys", "0", "1"];
        kscope(&[&ask[..], more].concat())
    };
    for (more, why) in [
        (&["--memory-at", "0"][..], "--memory-of <ARCH>"),
        (
            &["--memory-of", "vax"],
            "`vax` is no architecture: x86_64, i686, aarch64",
        ),
        (
            &["--memory-of", "armv9000"],
            "`armv9000` is no architecture",
        ),
        (
            &["--memory-of", "x86_64", "--memory-at", "5-4"],
            "0x5-0x4 ends before it begins",
        ),
        (
            &["--memory-of", "x86_64", "--memory-at", "0@x"],
            "`x` is not an address",
        ),
    ] {
        let outcome = read(more);
        assert_eq!(outcome.status, 2, "{more:?}");
        assert!(outcome.stderr.contains(why), "{more:?}: {}", outcome.stderr);
    }
    let parts = "memory without headers has no parts: --memory-at tells where its pieces are";
    read(&["--memory-of", "x86_64", "--part", &ram]).failed(2, parts);
    for (at, why) in [
        (["0-1f", "10-2f"], "0x10-0x2f overlaps 0x0-0x1f"),
        (["10-2f", "0-10"], "0x10-0x2f overlaps 0x0-0x10"),
        (["10-1f", "0@0"], "0x10-0x1f overlaps 0x0-0x3f"),
    ] {
        let [one, other] = at;
        read(&[
            "--memory-of",
            "x86_64",
            "--memory-at",
            one,
            "--memory-at",
            other,
        ])
        .failed(2, &format!("--memory-at: {why}"));
    }
    let twice = |args: &[&str]| kscope(args).failed(2, "standard input cannot be two things");
    twice(&["dump", "dmesg", "-", "--vmcoreinfo", "-"]);
    twice(&["dump", "info", "-", "-"]);
    for more in ["--part", "--vmcoreinfo"] {
        twice(&["dump", "checksum", REAL, more, "-", "--pfns", "-"]);
        twice(&["dump", "vtop", REAL, more, "-", "-"]);
        twice(&["dump", "pages", REAL, more, "-", "-"]);
    }

    let empty = directory.write("empty", b"");
    kscope(&[
        "dump",
        "read",
        &empty,
        "--memory-of",
        "x86_64",
        "--phys",
        "0",
        "1",
    ])
    .failed(1, &format!("{empty}: the file is empty"));
    let past = ["--memory-of", "x86_64", "--memory-at", "1000@40"];
    read(&past).failed(
        1,
        &format!("{ram}: memory at 0x1000@0x40: the file ends at 0x40"),
    );
}
