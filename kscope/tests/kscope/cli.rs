//! The rules for every subcommand: exit status, standard error, pipes, help.

use std::{fs::File, io::Read, process::Stdio};

use crate::support::{Directory, command, dump_of, kscope, kscope_with, small_dump, workspace};

const MAP: &str = "testdata/seed-map.dmesg.txt";

#[test]
fn help_names_what_is_built_and_nothing_else() {
    let commands = |args: &[&str]| -> Vec<String> {
        let help = kscope(args).good();
        let (_, list) = help.split_once("Commands:\n").unwrap();
        let list = list.split("\n\n").next().unwrap().lines();
        list.filter_map(|line| {
            Some(
                line.strip_prefix("  ")?
                    .split_whitespace()
                    .next()?
                    .to_owned(),
            )
        })
        .collect()
    };
    assert_eq!(
        commands(&["-h"]),
        [
            "image",
            "map",
            "kexec",
            "dump",
            "completions",
            "man",
            "help"
        ]
    );
    assert_eq!(commands(&["image", "-h"]), ["parts", "extract", "pack"]);
    assert_eq!(commands(&["kexec", "-h"]), ["plan", "list", "help"]);
    assert_eq!(
        commands(&["dump", "-h"]),
        [
            "info",
            "vmcoreinfo",
            "notes",
            "read",
            "vtop",
            "mappings",
            "checksum",
            "verify",
            "dmesg",
            "symbols",
            "pages",
            "extract",
            "help"
        ]
    );
    // `help` is `--help`, but for what takes files, of which one may be called so.
    for (help, flag) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "dump", "info"], &["dump", "info", "--help"]),
        (&["dump", "help", "info"], &["dump", "info", "--help"]),
        (&["help", "image", "parts"], &["image", "parts", "--help"]),
    ] {
        assert_eq!(kscope(help).good(), kscope(flag).good(), "{help:?}");
    }
    kscope(&["image", "help"]).failed(3, "help: No such file or directory (os error 2)");
    assert_eq!(kscope(&["help", "bogus"]).status, 2);
    assert!(kscope(&["--version"]).good().starts_with("kscope "));
}

#[test]
fn wrong_usage_is_status_2_and_one_line() {
    for args in [
        &["image"][..],
        &["image", "x", "--bogus"],
        &["image", "extract", "x", "payload"],
        &["image", "pack", "uimage", "-a", "zz", "-d", "x", "y"],
        &["map", MAP, "--from", "bogus"],
        &["map", MAP, "--bogus"],
        &["dump", "read", "x", "0", "1"],
        &["dump", "read", "x", "--phys", "--virt", "0", "1"],
        &["dump", "read", "x", "--phys", "--paging", "sv39", "0", "1"],
        &["dump", "read", "x", "--phys", "0", "0"],
        &["dump", "read", "x", "--phys", "zz", "1"],
        &["dump", "read", "x", "--phys", "ffffffffffffffff", "2"],
        &["dump", "vtop", "x"],
        &["dump", "vtop", "-", "-"],
        &["dump", "vtop", "x", "0", "--root", "zz"],
        &["dump", "vtop", "x", "0", "--root", "10000000000000"],
        &["dump", "extract", "x", "y"],
        &["dump", "extract", "x", "y", "--root", "1000"],
        &["dump", "extract", "x", "y", "--virt", "0+"],
        &["dump", "extract", "-", "y", "--virt-list", "-"],
        &[
            "dump",
            "extract",
            "x",
            "y",
            "--virt-list",
            "-",
            "--virt-list",
            "-",
        ],
        &["completions", "shell"],
    ] {
        let outcome = kscope(args);
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (2, ""),
            "{args:?}"
        );
        assert!(
            outcome.stderr.starts_with("kscope: "),
            "{args:?}: {}",
            outcome.stderr
        );
        assert_eq!(
            outcome.stderr.lines().count(),
            1,
            "{args:?}: {}",
            outcome.stderr
        );
    }
    // Help that nobody asked for is no answer either.
    assert_eq!(kscope(&["dump"]).status, 2);
}

#[test]
fn what_the_system_refuses_is_status_3() {
    let directory = Directory::new();
    let (missing, here) = (directory.path("missing"), directory.path(""));
    let dump = directory.write("dump", &small_dump());
    kscope(&["map", &missing]).failed(
        3,
        &format!("{missing}: No such file or directory (os error 2)"),
    );
    kscope(&["dump", "info", &here]).failed(3, &format!("{here}: is a directory"));
    let nowhere = directory.path("missing/out");
    kscope(&["dump", "extract", &dump, &nowhere, "--phys", "5000"]).failed(
        3,
        &format!("{nowhere}: No such file or directory (os error 2)"),
    );
}

#[test]
fn a_full_disk_is_status_3() {
    let directory = Directory::new();
    let dump = directory.write("dump", &small_dump());
    for args in [
        &["completions", "bash"][..],
        &["--help"],
        &["dump", "vtop", "--help"],
        &["--version"],
        &["dump", "extract", &dump, "-", "--phys", "5000"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = "kscope: standard output: No space left on device (os error 28)\n";
        assert_eq!(stderr, expected, "{args:?}");
    }
}

#[test]
fn a_broken_pipe_ends_quietly() {
    let directory = Directory::new();
    let dump = directory.write("dump", &small_dump());
    let many = vec!["0"; 10_000];
    let many = [&["dump", "vtop", &dump][..], &many].concat();
    for args in [
        &["dump", "vmcoreinfo", &dump][..],
        &many,
        &["completions", "bash"],
        &["--help"],
        &["dump", "extract", &dump, "-", "--phys", "5000"],
    ] {
        let mut child = command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), stderr.as_str()),
            (Some(0), "")
        );
    }
}

#[test]
fn standard_input_may_be_a_pipe_a_file_or_empty() {
    let directory = Directory::new();
    let bytes = small_dump();
    let dump = directory.write("dump", &bytes);
    let expected = kscope(&["dump", "info", &dump]).good();
    assert_eq!(kscope_with(&["dump", "info", "-"], &bytes).good(), expected);
    let file = File::open(&dump).unwrap();
    let output = command(&["dump", "info", "-"])
        .stdin(file)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    // What was read already is not read again.
    let mut file = File::open(workspace().join(MAP)).unwrap();
    file.read_exact(&mut [0; 79]).unwrap();
    let output = command(&["map", "-"]).stdin(file).output().unwrap();
    let rest = String::from_utf8(output.stdout).unwrap();
    assert!(!rest.contains(" 0xfff "), "{rest}");

    kscope_with(&["dump", "info", "-"], b"").failed(1, "-: the file is empty");
}

#[test]
fn what_does_not_end_is_refused_by_its_beginning() {
    let zero = "/dev/zero";
    let zeros = "\\x00".repeat(8);
    let why = format!(
        "offset 0x0: this is neither an ELF file nor a kdump: it begins with \"{zeros}\"; \
                 memory without headers is read with --memory-of"
    );
    kscope(&["dump", "info", zero]).failed(1, &format!("{zero}: {why}"));

    let directory = Directory::new();
    let dump = directory.write("dump", &small_dump());
    let out = directory.path("out");
    for args in [
        &["dump", "vtop", &dump, "-"][..],
        &["dump", "extract", &dump, &out, "--virt-list", "-"],
    ] {
        let output = command(args).stdin(File::open(zero).unwrap()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, "kscope: -: line 1: no end within 1 MiB\n");
    }
    // A line of 1 MiB that ends is one too many, too; its words are not said in full.
    let outcome = kscope_with(&["dump", "vtop", &dump, "-"], &[b'f'; 1 << 19]);
    let shown = "f".repeat(40);
    let why = format!("-: line 1: `{shown}` is not an address (up to 16 hexadecimal digits)");
    outcome.failed(1, &why);

    // What is longer than the first look goes on.
    let page = vec![b'x'; 200_000];
    let bytes = dump_of([(0x1000, page.clone())]);
    let args = ["dump", "read", "-", "--phys", "1000", "200000", "--raw"];
    assert!(kscope_with(&args, &bytes).bytes == page);
}

#[test]
fn reading_and_mapping_give_the_same_answers() {
    let directory = Directory::new();
    let dump = directory.write("dump", &small_dump());
    for args in [
        &["map", MAP][..],
        &["dump", "info", &dump],
        &["dump", "notes", &dump],
        &["dump", "vmcoreinfo", &dump],
        &["dump", "vtop", &dump, "0", "200000", "8000000000"],
        &["dump", "mappings", &dump],
        &["dump", "read", &dump, "--phys", "1000", "0x5000"],
    ] {
        let read = kscope(&[args, &["--no-mmap"]].concat());
        let mapped = kscope(args);
        assert_eq!(
            (read.status, read.bytes),
            (mapped.status, mapped.bytes),
            "{args:?}"
        );
        assert_eq!(read.stderr, mapped.stderr, "{args:?}");
    }
}

#[test]
fn names_and_contents_do_not_break_the_line() {
    let directory = Directory::new();
    let path = directory.write("two\nlines", b"\x1b[31m");
    let shown = path.replace('\n', "\\n");
    let outcome = kscope(&["map", &path]);
    outcome.failed(
        1,
        &format!("{shown}: no line of a memory map, as `BIOS-e820: [mem …] usable`"),
    );
}

#[test]
fn nothing_is_coloured_where_nobody_sees_it() {
    assert!(!kscope(&["map", MAP]).stdout.contains('\x1b'));
    assert!(!kscope(&["--help"]).stdout.contains('\x1b'));
    assert!(!kscope(&["map", "--bogus"]).stderr.contains('\x1b'));
}

#[test]
fn completions_and_manual_pages_cover_every_subcommand() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = kscope(&["completions", shell]).good();
        assert!(script.contains("mappings"), "{shell}");
    }
    let directory = Directory::new();
    let pages = directory.path("man");
    assert_eq!(kscope(&["man", &pages]).good(), "");
    let names: Vec<String> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 26, "{names:?}");
    for name in [
        "kscope.1",
        "kscope-map.1",
        "kscope-dump.1",
        "kscope-dump-vtop.1",
    ] {
        assert!(names.iter().any(|found| found == name), "{name}");
        let page = std::fs::read_to_string(format!("{pages}/{name}")).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
}
