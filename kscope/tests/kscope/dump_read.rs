//! `kscope dump read` on a dump made here, all of whose memory is known.

use serde_json::json;

use crate::support::{Directory, Small, dump_of, kscope, small};

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
    let end = format!("kscope: {path}: physical address 0xd5845: not in the dump\n");
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
        ("--phys", "7bf8", "physical address 0x7c00: not in the dump"),
        (
            "--virt",
            "1bf8",
            "virtual address 0x1c00 is mapped: physical address 0x7c00: not in the dump",
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
