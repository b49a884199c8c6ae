//! `kscope image`: real images, and what mkimage made.

use std::fs;

use serde_json::json;

use crate::support::{Directory, command, kscope, kscope_with, workspace};

fn sample(name: &str) -> Vec<u8> {
    fs::read(workspace().join("bootimg/testdata").join(name)).unwrap()
}

/// What `seq 6000` prints.
fn numbers() -> Vec<u8> {
    (1..=6000)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect()
}

/// A kernel with this payload: the head of a real one, the rest as its build would lay it out.
fn kernel(payload: &str) -> Vec<u8> {
    let mut file = sample("kernel/vmlinuz-6.12.107+deb12-cloud-amd64.head");
    let payload = [&sample(payload)[..], &28_893_u32.to_le_bytes()].concat();
    file.resize(20_480 + 0x2cc, 0);
    file[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    file.extend(payload);
    file
}

#[test]
fn a_uimage_is_shown_as_mkimage_shows_it() {
    for name in ["kernel", "multi", "script", "ramdisk", "filesystem"] {
        let shown = kscope(&["image", &format!("bootimg/testdata/uimage/{name}.img")]).good();
        let expected = String::from_utf8(sample(&format!("uimage/{name}.txt"))).unwrap();
        assert_eq!(shown, expected, "{name}");
    }
    let piped = kscope_with(&["image", "-"], &sample("uimage/kernel.img")).good();
    assert_eq!(piped.as_bytes(), sample("uimage/kernel.txt"));
}

#[test]
fn a_bzimage_is_shown_as_file_shows_it_and_then_its_fields() {
    let shown = kscope(&["image", "bootimg/testdata/memdisk", "--verify"]).good();
    let mut lines = shown.lines();
    let line =
        "Linux kernel x86 boot executable bzImage, version MEMDISK 6.04 20200816, RW-rootFS,";
    assert_eq!(lines.next(), Some(line));
    assert_eq!(lines.next(), Some("protocol           2.03"));
    assert_eq!(lines.last(), Some("checksum           absent"));

    let directory = Directory::new();
    let file = directory.write("kernel", &kernel("packed/numbers.zst"));
    let found = kscope(&["image", &file, "--json"]).json();
    let payload = json!({"offset": 21_196, "length": 6428, "compression": "zstd"});
    assert_eq!(found["payload"], payload);
    assert_eq!(found["protocol"], "2.15");
    assert_eq!(found["loadflags"], json!(["LOADED_HIGH"]));
}

#[test]
fn wrong_checksums_are_told_and_fail_when_asked() {
    let directory = Directory::new();
    let mut file = sample("uimage/kernel.img");
    *file.last_mut().unwrap() ^= 1;
    let name = directory.write("damaged", &file);
    kscope(&["image", &name]).good();
    let found = kscope(&["image", &name, "--json"]).json();
    assert_eq!(
        (&found["header_crc_ok"], &found["data_crc_ok"]),
        (&json!(true), &json!(false))
    );
    let verified = kscope(&["image", &name, "--verify"]);
    assert_eq!(verified.status, 1);
    let why = "offset 0x18: ih_dcrc is 0xc34a3ba0, the bytes come to 0xb44d0b36";
    assert_eq!(verified.stderr, format!("kscope: {name}: {why}\n"));
}

#[test]
fn payloads_come_out_decompressed() {
    let directory = Directory::new();
    for name in [
        "numbers.xz",
        "numbers.zst",
        "numbers.lz4-legacy",
        "numbers.lzma",
        "numbers.bz2",
        "numbers.lzo",
    ] {
        let file = directory.write("kernel", &kernel(&format!("packed/{name}")));
        let out = kscope(&[
            "image",
            "extract",
            &file,
            "payload",
            "--decompress",
            "-o",
            "-",
        ]);
        assert!(out.bytes == numbers(), "{name}: {}", out.stderr);
    }
    // A wrapper, and the same as it is.
    let out = directory.path("out");
    let packed = "bootimg/testdata/packed/numbers.gz";
    kscope(&[
        "image",
        "extract",
        packed,
        "payload",
        "--decompress",
        "-o",
        &out,
    ])
    .good();
    assert!(fs::read(&out).unwrap() == numbers());
    kscope(&["image", "extract", packed, "payload", "-o", &out]).good();
    assert!(fs::read(&out).unwrap() == sample("packed/numbers.gz"));
}

#[test]
fn parts_have_names() {
    let image = "bootimg/testdata/uimage/multi.img";
    let expected = "        0x40           67  data             -
        0x50           35  image-0          -
        0x74            3  image-1          -
        0x78           11  image-2          -
";
    assert_eq!(kscope(&["image", "parts", image]).good(), expected);
    let extract = |part: &str, more: &[&str]| {
        let args = [&["image", "extract", image, part, "-o", "-"], more].concat();
        kscope(&args)
    };
    assert_eq!(extract("image-2", &[]).good(), "echo hello\n");
    extract("kernel", &[]).failed(
        1,
        &format!("{image}: no part kernel, there are: data image-0 image-1 image-2"),
    );
    extract("image-0", &["--decompress"]).failed(
        1,
        &format!("{image}: offset 0x50: image-0 is not compressed"),
    );
}

#[test]
fn uimages_are_packed_as_by_mkimage() {
    let directory = Directory::new();
    let kernel = directory.write("kernel", b"a kernel of its own, 35 bytes long\n");
    let three = directory.write("three", b"abc");
    let script = directory.write("script", b"echo hello\n");
    let several = [&*kernel, &three, &script].join(":");
    let out = directory.path("out");
    let pack = |name: &str, args: &str, text: &str, data: &str| {
        let args = args.split_whitespace();
        let mut all = vec!["image", "pack", "uimage"];
        all.extend(args);
        if !text.is_empty() {
            all.extend(["-n", text]);
        }
        all.extend(["-d", data, &out]);
        let status = command(&all)
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .status()
            .unwrap();
        assert!(status.success(), "{name}");
        assert_eq!(
            fs::read(&out).unwrap(),
            sample(&format!("uimage/{name}.img")),
            "{name}"
        );
    };
    let armmp = "-A arm -O linux -T kernel -C none -a 8000 -e 8040";
    pack("kernel", armmp, "Linux-6.1 armmp", &kernel);
    pack(
        "noload",
        "-A arm64 -T kernel_noload -C gzip -a 0 -e 40",
        "in place",
        &kernel,
    );
    let standalone = "-A riscv -O u-boot -T standalone -C lzo -a ffffffff -e 0x1";
    pack("standalone", standalone, "", &three);
    pack(
        "script",
        "-A arm -O linux -T script -C none",
        "boot script",
        &script,
    );
    pack(
        "multi",
        "-A arm -O linux -T multi -C none -a 8000",
        "multi",
        &several,
    );
    pack("defaults", "", "", &kernel);
}

#[test]
fn what_cannot_be_packed_or_told() {
    let pack =
        |args: &[&str]| kscope(&[&["image", "pack", "uimage", "-d", "README.md"], args].concat());
    pack(&["-A", "z80", "out"]).failed(
        2,
        "invalid value 'z80' for '--arch <ARCH>': mkimage knows no such architecture (see --help)",
    );
    let directory = Directory::new();
    let out = directory.path("out");
    pack(&["-T", "kwbimage", &out]).failed(
        1,
        &format!("{out}: offset 0x1e: making a uImage of ih_type 0x9 is not supported"),
    );
    assert!(directory.names().is_empty());
    kscope(&["image", "README.md"]).failed(
        1,
        "README.md: offset 0x0: no bzImage, uImage, ELF file or compressed file",
    );
    let short = directory.write("short", &sample("memdisk")[..0x300]);
    kscope(&["image", &short]).failed(
        1,
        &format!("{short}: offset 0x0: bzImage needs 0x400 bytes, 0x300 are there"),
    );
}
