//! `kscope dump extract`: what it keeps, what it says, and how long it takes.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    dump_tables::CASES,
    support::{
        Directory, Small, VMCOREINFO, dump_of, kscope, kscope_with, small, small_dump, workspace,
    },
};

#[test]
fn extract_keeps_every_answer_about_the_addresses() {
    let Small { directory, path } = small();
    let out = directory.path("out");
    let addresses: Vec<_> = CASES.iter().map(|case| case.0).collect();
    let list = directory.write(
        "list",
        (addresses[2..].join("\n") + "\n\n1000 0\n3000 0\n").as_bytes(),
    );
    let virt = addresses[1];
    let args = [
        "dump",
        "extract",
        &path,
        &out,
        "--virt",
        virt,
        "--virt-list",
        &list,
    ];
    assert_eq!(kscope(&args).good(), "");
    assert_eq!(directory.names(), ["dump", "list", "out"]);

    for more in [&["--json"][..], &["--walk"], &["--root", "3000"]] {
        let answers = |path| kscope(&[&["dump", "vtop", path][..], &addresses, more].concat());
        assert_eq!(answers(&out).good(), answers(&path).good());
    }
    assert_eq!(
        kscope(&["dump", "vmcoreinfo", &out]).good(),
        kscope(&["dump", "vmcoreinfo", &path]).good()
    );
    let info = kscope(&["dump", "info", &out, "--json"]).json();
    let cpus: Vec<_> = info["cpus"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cpu| &cpu["index"])
        .collect();
    assert_eq!(cpus, [0, 2]);
    let loads = info["segments"].as_array().unwrap();
    let load = |paddr| loads.iter().find(|load| load["paddr"] == paddr).unwrap();
    assert_eq!(load("0x7000")["vaddr"], "0xffff888000007000");
    // Three quarters of a page stay three quarters, what is left out stays left out.
    assert_eq!(
        (&load("0x7000")["filesz"], &load("0x7000")["memsz"]),
        (&json!(0xc00), &json!(0xc00))
    );
    assert_eq!(
        (&load("0x6000")["filesz"], &load("0x6000")["memsz"]),
        (&json!(0), &json!(0x1000))
    );
}

#[test]
fn vmcoreinfo_from_elsewhere_is_a_note_of_the_extract() {
    let Small { directory, path } = small();
    let text = directory.write("text", (VMCOREINFO.to_owned() + "TOLD=1\n").as_bytes());
    let bare = &small_dump()[0x1000..0x6000];
    let bare = directory.write("bare", &dump_of([(0x1000, bare.to_vec())]));
    // Not a dump by its beginning, of which there would be a word.
    let raw = [&[0; 0x1000], &small_dump()[0x1000..]].concat();
    let raw = directory.write("raw", &raw);
    let out = directory.path("out");
    let memory = ["--memory-of", "x86_64", "--memory-at", "1000-5fff@0x1000"];
    // Without a note, without headers, and instead of the note that is there.
    for (from, of) in [(&bare, &[][..]), (&raw, &memory), (&path, &[])] {
        let told = [of, &["--vmcoreinfo", &text]].concat();
        let extract = ["dump", "extract", from, &out, "--virt", "0"];
        kscope(&[&extract[..], &told].concat()).good();
        let vtop = |path| ["dump", "vtop", path, "0", "200000", "3000"];
        assert_eq!(
            kscope(&vtop(&out)).good(),
            kscope(&[&vtop(from)[..], &told].concat()).good()
        );
        assert_eq!(kscope(&["dump", "vmcoreinfo", &out, "TOLD"]).good(), "1\n");
        let notes = kscope(&["dump", "notes", &out]).good();
        assert_eq!(notes.matches("VMCOREINFO  ").count(), 1, "{notes}");
    }
}

#[test]
fn extract_keeps_what_is_asked_for_and_no_more() {
    let Small { directory, path } = small();
    let out = directory.path("out");
    kscope(&[
        "dump",
        "extract",
        &path,
        &out,
        "--phys",
        "0x5ff8+0x10",
        "--phys",
        "7004",
    ])
    .good();
    let info = kscope(&["dump", "info", &out, "--json"]).json();
    assert_eq!(
        info["ranges"],
        json!([{ "start": "0x5000", "last": "0x7bff" }])
    );
    assert_eq!(
        info["pages"],
        json!({ "present": 2, "excluded": 1, "lost": 0 })
    );
    let read = |path| kscope(&["dump", "read", path, "--phys", "5000", "0x1000", "--raw"]).bytes;
    assert_eq!(read(&out), read(&path));

    // From standard input, over a file that is there.
    let again = ["dump", "extract", &path, &out, "--virt-list", "-"];
    let outcome = kscope_with(&again, b"0x1000 0x200000\n");
    let why = "--virt-list -: only tables of it are in the dump";
    outcome.warned(&format!("{path}: {why}"));
    assert_eq!(
        kscope(&["dump", "vtop", &out, "200000"]).good(),
        "0x200000 0x200000 0x200000 0x62\n"
    );
    let outcome = kscope_with(&again, b"1000 0 0\n");
    outcome.failed(1, "-: line 1: expected `ADDR` or `ROOT ADDR`");
    assert_eq!(directory.names(), ["dump", "out"]);
}

#[test]
fn what_is_lost_is_lost_in_the_extract_too() {
    let directory = Directory::new();
    let path = directory.write("dump", &small_dump()[..0x4800]);
    let out = directory.path("out");
    let extract =
        |asked: [&str; 2]| kscope(&[&["dump", "extract", &path, &out][..], &asked].concat());
    let outcome = extract(["--phys", "4000+0x4000"]);
    let first = "physical address 0x4800: lost: the dump is incomplete";
    outcome.failed(
        1,
        &format!("{path}: {first}; 9216 bytes of the extract are lost, too"),
    );
    let all = |path: &str| kscope(&["dump", "info", path, "--json"]).json();
    assert_eq!(
        all(&path)["pages"],
        json!({ "present": 3, "excluded": 1, "lost": 3 })
    );
    assert_eq!(
        all(&out)["pages"],
        json!({ "present": 0, "excluded": 1, "lost": 3 })
    );
    for at in ["4800", "6000", "7000"] {
        let read = |path: &str| {
            let outcome = kscope(&["dump", "read", path, "--phys", at, "1"]);
            outcome.stderr.replace(path, "")
        };
        assert_eq!(read(&out), read(&path));
    }

    // What was asked for is there.
    assert_eq!(extract(["--phys", "4000"]).status, 1);
    assert_eq!(extract(["--phys", "1000+0x3000"]).good(), "");
    // A table on the way is lost.
    let why = "--virt 0x200000: only tables of it are in the dump";
    extract(["--virt", "200000"]).warned(&format!("{path}: {why}"));
    assert_eq!(extract(["--virt", "0"]).status, 1);
}

#[test]
fn a_compressed_page_that_is_lost_leaves_the_others() {
    let lzo = std::fs::read(workspace().join("testdata/forms/lzo")).unwrap();
    let mut broken = lzo.clone();
    let end = broken.len();
    broken[end - 10_000..end - 7_000].fill(0xff);
    for (bytes, word) in [(&lzo[..end - 40_000], "lost"), (&broken, "damaged")] {
        let directory = Directory::new();
        let path = directory.write("dump", bytes);
        let out = directory.path("out");
        let expected = kscope(&["dump", "checksum", &path]).good();
        let is_absent = |line: &&str| line.ends_with(word);
        let absent = expected.lines().filter(is_absent).count();
        assert!(0 < absent && absent < 48, "{expected}");

        let extract = |out| {
            let asked = ["--phys", "0+0x80000000"];
            kscope(&[&["dump", "extract", &path, out][..], &asked].concat())
        };
        let outcome = extract(&out);
        assert_eq!((outcome.status, outcome.stderr.lines().count()), (1, 1));
        let why = format!("; {} bytes of the extract are lost, too\n", absent * 4096);
        assert!(outcome.stderr.ends_with(&why), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(&format!(": {word}")));
        let frame = |line: &str| format!("{}\n", line.split(' ').next().unwrap());
        let frames: String = expected.lines().map(frame).collect();
        let asked = ["dump", "checksum", &out, "--pfns", "-"];
        assert_eq!(
            kscope_with(&asked, frames.as_bytes()).good(),
            expected.replace(word, "lost")
        );
        assert!(extract("-").bytes == std::fs::read(&out).unwrap());
    }
}

#[test]
fn all_that_is_lost_is_told() {
    let directory = Directory::new();
    let out = directory.path("out");
    let extract = |len: usize, asked: [&str; 2]| {
        let path = directory.write("dump", &small_dump()[..len]);
        let outcome = kscope(&[&["dump", "extract", &path, &out][..], &asked].concat());
        assert_eq!(outcome.status, 1);
        outcome.stderr.replace(&format!("kscope: {path}: "), "")
    };
    // Of the notes and of memory.
    let said = extract(0x200, ["--phys", "1000"]);
    let lost = "physical address 0x1000: lost: the dump is incomplete; 4096 bytes of the extract are lost, too\n";
    assert!(said.starts_with(lost), "{said}");
    assert!(said.lines().nth(1).unwrap().contains("PT_NOTE"), "{said}");
    // No table can be read.
    let said = extract(0x1000, ["--virt", "0"]);
    assert_eq!(
        said,
        format!("--virt 0x0: none of it is in the dump\n{lost}")
    );
}

#[test]
fn what_is_not_in_the_dump_is_named() {
    let Small { directory, path } = small();
    let (out, empty) = (directory.path("out"), directory.write("empty", b"\n"));
    let extract = |asked: &[&str]| kscope(&[&["dump", "extract", &path, &out][..], asked].concat());
    let none = |asked: String| format!("{path}: {asked}: none of it is in the dump");
    extract(&["--phys", "8000+16"]).failed(1, &none("--phys 0x8000+0x10".to_owned()));
    // The page, if not the byte.
    extract(&["--phys", "7c00"]).good();
    // Left out on purpose is described.
    extract(&["--phys", "6000"]).good();
    extract(&["--virt", "800000000000"]).failed(1, &none("--virt 0x800000000000".to_owned()));
    extract(&["--virt", "0", "--root", "20000"]).failed(1, &none("--virt 0x0".to_owned()));
    extract(&["--virt-list", &empty]).failed(1, &none(format!("--virt-list {empty}")));
    extract(&["--virt", "3000"]).warned(&format!(
        "{path}: --virt 0x3000: only tables of it are in the dump"
    ));

    // The rest is kept.
    let outcome = extract(&["--phys", "20000", "--virt", "3000", "--virt", "0"]);
    assert_eq!((outcome.status, outcome.stderr.lines().count()), (1, 2));
    let read = ["dump", "read", &out, "--virt", "0", "8", "--raw"];
    assert_eq!(kscope(&read).good(), "page one");
}

#[test]
fn an_extract_goes_to_standard_output_or_through_a_link() {
    let Small { directory, path } = small();
    let (out, link) = (directory.path("out"), directory.path("link"));
    std::os::unix::fs::symlink("out", &link).unwrap();
    let extract = |out| kscope(&["dump", "extract", &path, out, "--virt", "0"]);
    extract(&link).good();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let expected = std::fs::read(&out).unwrap();
    extract(&link).good();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read(&out).unwrap() == expected);
    assert!(extract("-").bytes == expected);
    assert!(extract("/dev/stdout").bytes == expected);
    assert_eq!(directory.names(), ["dump", "link", "out"]);
}

#[test]
fn a_signal_takes_the_half_written_file_away() {
    let directory = Directory::new();
    // More than is written before the signal comes; the zeros take no room.
    let (size, start) = (4_u64 << 30, dump_of([(0, vec![0; 16])]));
    let path = directory.write("dump", &start);
    let mut dump = std::fs::File::options().write(true).open(&path).unwrap();
    // p_filesz and p_memsz of the second program header, the first being the notes'.
    let program_header = start.len() as u64 - 16 - 56;
    dump.seek(SeekFrom::Start(program_header + 32)).unwrap();
    dump.write_all(&size.to_le_bytes()).unwrap();
    dump.write_all(&size.to_le_bytes()).unwrap();
    dump.set_len(start.len() as u64 + size).unwrap();

    let out = directory.path("out");
    let all = format!("0+{size}");
    // Whoever runs the tests may have signals ignored, as nohup does.
    let extract = |hangups: &str| {
        let mut env = Command::new("env");
        env.args(["--default-signal=HUP,INT,TERM", hangups]);
        env.arg(env!("CARGO_BIN_EXE_kscope"));
        env.args(["dump", "extract", &path, &out, "--phys", &all]);
        env.spawn().unwrap()
    };
    let kill = |child: &Child, signal: &str| {
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    };
    let wait_for = |names: usize| {
        while directory.names().len() != names {
            sleep(Duration::from_millis(1));
        }
    };
    for (signal, number) in [("-HUP", 1), ("-INT", 2), ("-TERM", 15)] {
        let mut child = extract("--default-signal=HUP");
        wait_for(2);
        kill(&child, signal);
        assert_eq!(child.wait().unwrap().signal(), Some(number), "{signal}");
        assert_eq!(directory.names(), ["dump"], "{signal}");
    }
    // What nohup has ignored stays ignored.
    let mut child = extract("--ignore-signal=HUP");
    wait_for(2);
    kill(&child, "-HUP");
    sleep(Duration::from_millis(50));
    assert_eq!(
        (child.try_wait().unwrap(), directory.names().len()),
        (None, 2)
    );
    kill(&child, "-TERM");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

#[test]
fn a_limit_of_the_system_on_the_size_of_files_leaves_none() {
    let directory = Directory::new();
    let path = directory.write("dump", &dump_of([(0, vec![0x5a; 1 << 20])]));
    let out = directory.path("out");
    let limited = Command::new("sh")
        .args(["-c", "ulimit -f 100; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_kscope"))
        .args(["dump", "extract", &path, &out, "--phys", "0+1048576"])
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(3));
    let said = String::from_utf8(limited.stderr).unwrap();
    assert_eq!(
        said,
        format!("kscope: {out}: File too large (os error 27)\n")
    );
    assert_eq!(directory.names(), ["dump"]);

    // Nor does it end what writes to standard output, with no file of ours yet.
    let all = File::create(directory.path("all")).unwrap();
    let redirected = Command::new("sh")
        .args(["-c", "ulimit -f 100; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_kscope"))
        .args(["dump", "read", &path, "--phys", "0", "1048576"])
        .stdout(all)
        .output()
        .unwrap();
    assert_eq!(redirected.status.code(), Some(3));
    let said = String::from_utf8(redirected.stderr).unwrap();
    assert_eq!(
        said,
        "kscope: standard output: File too large (os error 27)\n"
    );
}

#[test]
fn extract_takes_its_time_from_the_input_and_not_from_its_square() {
    let directory = Directory::new();
    let comb = dump_of((0..30_000).map(|page| (page * 0x2000, vec![b'x'])));
    let path = directory.write("dump", &comb);
    let out = directory.path("out");
    let began = Instant::now();
    kscope(&["dump", "extract", &path, &out, "--phys", "0+0x100000000"]).good();
    // A holeful of virtual addresses is as cheap.
    let small = directory.write("small", &small_dump());
    let everything = ["--virt", "0+0xffffffffffffffff"];
    kscope(&[&["dump", "extract", &small, &out][..], &everything].concat()).good();
    assert!(began.elapsed() < Duration::from_secs(20));

    let answers = |path: &str| kscope(&["dump", "mappings", path, "--json"]).json();
    assert_eq!(answers(&out), answers(&small));
}

#[test]
fn extract_takes_each_byte_from_the_segment_that_provides_it() {
    let directory = Directory::new();
    let parts = [(0x1800, vec![b'a'; 0x800]), (0x1000, vec![b'b'; 0x2000])];
    let path = directory.write("dump", &dump_of(parts));
    let out = directory.path("out");
    let asked = ["--phys", "1000", "--phys", "2000"];
    kscope(&[&["dump", "extract", &path, &out][..], &asked].concat()).good();
    let read = |path: &str| kscope(&["dump", "read", path, "--phys", "1000", "0x2000", "--raw"]);
    assert_eq!(read(&out).good(), read(&path).good());
    let info = kscope(&["dump", "info", &out, "--json"]).json();
    let segments = info["segments"].as_array().unwrap().iter();
    let places: Vec<_> = segments
        .map(|load| json!([load["paddr"], load["filesz"]]))
        .collect();
    let expected = json!([["0x1000", 0x800], ["0x1800", 0x800], ["0x2000", 0x1000]]);
    assert_eq!(json!(places), expected);
}
