//! `kscope image`: real images, and what mkimage made.

use std::fs;
#[cfg(target_os = "linux")]
use std::{
    io::{self, Read},
    process::Stdio,
};

use serde_json::json;

use crate::support::{Directory, command, kscope, kscope_with, kscope_within, workspace};

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
    let mut put = |at: usize, value: usize| {
        file[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    };
    let paragraphs = (0x2cc + payload.len() + 4).div_ceil(16);
    put(0x1f4, paragraphs);
    put(0x24c, payload.len());
    // kernel_info
    put(0x268, 0);
    file.extend(payload);
    file.resize(20_480 + 16 * paragraphs - 4, 0);
    let sum = !crc32fast::hash(&file);
    file.extend(sum.to_le_bytes());
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

    assert!(shown.contains("\nxloadflags         -\n"), "{shown}");

    let directory = Directory::new();
    let file = directory.write("kernel", &kernel("packed/numbers.zst"));
    let found = kscope(&["image", &file, "--json"]).json();
    let payload = json!({"offset": 21_196, "length": 6428, "missing": 0, "compression": "zstd"});
    assert_eq!(found["payload"], payload);
    assert_eq!(found["protocol"], "2.15");
    assert_eq!(found["loadflags"], json!(["LOADED_HIGH"]));

    // Bits without a name.
    let mut file = kernel("packed/numbers.zst");
    file[0x211] |= 0x18;
    let file = directory.write("kernel", &file);
    let found = kscope(&["image", &file, "--json"]).json();
    assert_eq!(found["loadflags"], json!(["LOADED_HIGH", "0x18"]));
}

#[test]
fn wrong_checksums_are_told_and_fail_when_asked() {
    let directory = Directory::new();
    let mut file = sample("uimage/kernel.img");
    *file.last_mut().unwrap() ^= 1;
    let name = directory.write("damaged", &file);
    let why = "offset 0x18: ih_dcrc is 0xc34a3ba0, the bytes come to 0xb44d0b36";
    kscope(&["image", &name]).warned(&format!("{name}: {why}"));
    let found = kscope(&["image", &name, "--json"]).json();
    assert_eq!(
        (&found["header_crc_ok"], &found["data_crc_ok"]),
        (&json!(true), &json!(false))
    );
    let verified = kscope(&["image", &name, "--verify"]);
    assert_eq!(verified.status, 1);
    assert_eq!(verified.stderr, format!("kscope: {name}: {why}\n"));
}

#[test]
fn names_that_are_no_text_are_escaped_in_one_way() {
    let mut file = sample("uimage/kernel.img");
    file[32..36].copy_from_slice(b"a\xff\x1b\x7f");
    let shown = kscope_with(&["image", "--json", "-"], &file);
    let name = r#""name": "a\\xff\u001b\u007f"#;
    assert!(shown.stdout.contains(name), "{}", shown.stdout);
}

#[test]
fn what_is_behind_a_uimage_is_told() {
    let directory = Directory::new();
    let image = sample("uimage/kernel.img");
    let with = |behind: &[u8]| {
        let file = directory.write("image", &[&image[..], behind].concat());
        (kscope(&["image", &file, "--verify"]), file)
    };
    for padding in [&[0; 9][..], &[0xff; 9]] {
        with(padding).0.good();
    }
    let (told, file) = with(b"JUNK\n");
    told.warned(&format!(
        "{file}: offset 0x63: left out: 5 bytes behind the image"
    ));
}

/// Not as one that has no payload and no checksum.
#[test]
fn what_a_cut_kernel_lacks_is_shown() {
    let directory = Directory::new();
    let kernel = kernel("packed/numbers.zst");
    let file = directory.write("kernel", &kernel[..21_196 + 0x1000]);
    let cut = kscope(&["image", &file]).stdout;
    let payload = "payload            zstd, 6428 bytes at 0x52cc, 2332 of them missing\n";
    let expected = format!("{payload}checksum           missing\n");
    assert!(cut.ends_with(&expected), "{cut}");
    let before = directory.write("before", &kernel[..21_000]);
    let found = kscope(&["image", &before, "--json"]).json();
    let payload = json!({"offset": 21_196, "length": 6428, "missing": 6428, "compression": null});
    assert_eq!(
        (&found["payload"], &found["checksum"]),
        (&payload, &json!("missing"))
    );
}

#[test]
fn kernels_are_verified_to_the_last_byte_of_their_payload() {
    let directory = Directory::new();
    let check = |file: &[u8], damage: Option<&str>| {
        let name = directory.write("kernel", file);
        let (told, verified) = (
            kscope(&["image", &name]),
            kscope(&["image", &name, "--verify"]),
        );
        match damage {
            None => {
                told.good();
                verified.good();
            }
            Some(why) => {
                told.warned(&format!("{name}: {why}"));
                assert_eq!(
                    (verified.status, verified.stderr),
                    (1, format!("kscope: {name}: {why}\n"))
                );
            }
        }
    };
    let whole = kernel("packed/numbers.zst");
    check(&whole, None);
    let payload = "offset 0x52cc: payload needs 0x191c bytes, 0x1000 are there";
    check(&whole[..21_196 + 0x1000], Some(payload));
    check(&whole[..21_196 + 0x191c], None);
    check(
        &whole[..21_196 + 0x191b],
        Some(&payload.replace("0x1000", "0x191b")),
    );

    // A flipped bit: the sum over the file tells, and is never a reason not to unpack it.
    let mut flipped = whole.clone();
    flipped[0x4000] ^= 1;
    let name = directory.write("kernel", &flipped);
    let told = kscope(&["image", &name]);
    assert!(
        told.stderr
            .starts_with(&format!("kscope: {name}: offset 0x6bec: CRC-32 is "))
    );
    assert_eq!(
        (told.status, kscope(&["image", &name, "--verify"]).status),
        (0, 1)
    );
    let out = kscope(&[
        "image",
        "extract",
        &name,
        "payload",
        "--decompress",
        "-o",
        "-",
    ]);
    assert!(out.bytes == numbers());
    assert_eq!((out.status, out.stderr), (0, told.stderr));

    // The payload comes before the sum over the file, which is wrong where a kernel was signed, or not there.
    let why = |name: &str| format!("kscope: {name}: offset 0x6be0: checksum of zstd is ");
    let mut flipped = whole;
    flipped[21_196 + 0x800] ^= 1;
    let name = directory.write("kernel", &flipped);
    let verified = kscope(&["image", &name, "--verify"]);
    assert_eq!(verified.status, 1);
    assert!(
        verified.stderr.starts_with(&why(&name)),
        "{}",
        verified.stderr
    );
    let sum = flipped.len() - 4;
    flipped[sum..].fill(0);
    let name = directory.write("kernel", &flipped);
    kscope(&["image", &name]).good();
    let verified = kscope(&["image", &name, "--verify"]);
    assert_eq!(verified.status, 1);
    assert!(
        verified.stderr.starts_with(&why(&name)),
        "{}",
        verified.stderr
    );
}

#[test]
fn wrappers_are_verified_by_unpacking_them() {
    let directory = Directory::new();
    for name in ["numbers.gz", "numbers.xz", "numbers.zst", "numbers.bz2"] {
        let file = sample(&format!("packed/{name}"));
        let name = directory.write(name, &file);
        kscope(&["image", &name, "--verify"]).good();
        let name = directory.write("cut", &file[..file.len() / 2]);
        kscope(&["image", &name]).good();
        let verified = kscope(&["image", &name, "--verify"]);
        assert_eq!(verified.status, 1, "{name}");
        assert!(
            verified.stderr.contains(": offset 0x"),
            "{}",
            verified.stderr
        );
    }
}

/// The arguments that unpack a payload to standard output.
fn unpacked(file: &str) -> [&str; 7] {
    [
        "image",
        "extract",
        file,
        "payload",
        "--decompress",
        "-o",
        "-",
    ]
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    // 32 times 8 MiB.
    let file = sample("packed/zeros.gz").repeat(32);
    let directory = Directory::new();
    let file = directory.write("file", &file);
    let why = "offset 0x0: out of memory: 0x10000000 bytes for the gzip stream";
    for args in [&["image", &file, "--verify"][..], &unpacked(&file)] {
        let outcome = kscope_within(200_000, args);
        assert_eq!(
            (outcome.status, outcome.stderr),
            (3, format!("kscope: {file}: {why}\n"))
        );
    }
}

/// Zeros as blocks of LZ4 in a legacy frame: each is a literal, its repetition, five literals.
#[cfg(target_os = "linux")]
fn zeros(blocks: usize) -> Vec<u8> {
    // A token's 15, and the least length of a match.
    let repeated = (8 << 20) - 6 - 15 - 4;
    let mut block = vec![0x1f, 0, 1, 0];
    block.resize(4 + repeated / 255, 0xff);
    block.push(u8::try_from(repeated % 255).unwrap());
    block.extend([0x50, 0, 0, 0, 0, 0]);
    let size = u32::try_from(block.len()).unwrap().to_le_bytes();
    let block = [&size[..], &block].concat();
    [b"\x02\x21\x4c\x18", &block.repeat(blocks)[..]].concat()
}

/// What was tried before its size was known is given back.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_the_output_and_little_more() {
    let directory = Directory::new();
    // The most that was resident, in KiB: it has unpacked all when it starts to write, and ends after it was asked.
    let most = |blocks: usize| -> usize {
        let file = directory.write("zeros", &zeros(blocks));
        let args = ["image", "extract", &file, "payload", "--decompress"];
        let mut child = command(&[&args[..], &["-o", "-"]].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        assert_eq!(
            io::copy(&mut stdout, &mut io::sink()).unwrap() + 1,
            (blocks << 23) as u64
        );
        assert!(child.wait().unwrap().success());
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    };
    let (one, all) = (most(1), most(13));
    assert!(all - one < (12 << 13) + (6 << 10), "{all} KiB, {one} KiB");
}

#[test]
fn uimages_are_verified_by_unpacking_them() {
    let directory = Directory::new();
    let out = directory.path("image");
    let check = |compression: &str, data: &[u8], damage: Option<&str>| {
        let data = directory.write("data", data);
        let pack = ["image", "pack", "uimage", "-A", "arm", "-C", compression];
        kscope(&[&pack[..], &["-d", &data, &out]].concat()).good();
        kscope(&["image", &out]).good();
        let verified = kscope(&["image", &out, "--verify"]);
        let Some(why) = damage else {
            verified.good();
            return;
        };
        assert_eq!(verified.status, 1);
        let told = format!("kscope: {out}: {why}");
        assert!(verified.stderr.starts_with(&told), "{}", verified.stderr);
    };
    for (name, compression) in [
        ("gz", "gzip"),
        ("bz2", "bzip2"),
        ("lzma", "lzma"),
        ("lzo", "lzo"),
        ("lz4", "lz4"),
        ("zst", "zstd"),
    ] {
        let data = sample(&format!("packed/numbers.{name}"));
        check(compression, &data, None);
        check(compression, &data[..data.len() / 2], Some("offset 0x"));
        let other = if name == "gz" { "bzip2" } else { "gzip" };
        check(other, &data, Some("offset 0x1f: ih_comp is 0x"));
        check("none", &data, None);
        // Nor is it sound because nobody decompresses it.
        check("none", &data[..data.len() / 2], Some("offset 0x"));
    }

    // Behind the first file, too.
    let gz = sample("packed/numbers.gz");
    let whole = directory.write("whole", &gz);
    let cut = directory.write("cut", &gz[..gz.len() / 2]);
    let check = |files: &str| {
        let pack = ["image", "pack", "uimage", "-T", "multi", "-d"];
        kscope(&[&pack[..], &[files, &out]].concat()).good();
        kscope(&["image", &out, "--verify"])
    };
    check(&format!("{whole}:{whole}")).good();
    let verified = check(&format!("{whole}:{cut}"));
    let end = 64 + 12 + gz.len().next_multiple_of(4) + gz.len() / 2;
    let why = format!("kscope: {out}: offset {end:#x}: the gzip stream ends early\n");
    assert_eq!((verified.status, verified.stderr), (1, why));
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
        let out = kscope(&unpacked(&file));
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
    let directory = Directory::new();
    let kernel = directory.write("kernel", &kernel("packed/numbers.lz4-legacy"));
    let found = kscope(&["image", "parts", &kernel, "--json"]).json();
    assert_eq!(
        found["parts"],
        json!([
            {"name": "setup", "offset": 0, "size": 20_480, "compression": null},
            {"name": "kernel", "offset": 20_480, "size": 0x5a70, "compression": null},
            {"name": "payload", "offset": 21_196, "size": 22_429, "compression": "lz4"},
        ])
    );
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

    // A line of many names ends, one of none says so.
    let mut many = sample("uimage/multi.img");
    many.truncate(64);
    many.extend(1_u32.to_be_bytes().repeat(20));
    many.extend([0; 4 + 20 * 4]);
    let size = u32::try_from(many.len() - 64).unwrap();
    many[12..16].copy_from_slice(&size.to_be_bytes());
    let many = directory.write("many", &many);
    let names: Vec<_> = (0..15).map(|index| format!("image-{index}")).collect();
    let names = names.join(" ");
    kscope(&["image", "extract", &many, "image-20", "-o", "-"]).failed(
        1,
        &format!("{many}: no part image-20, there are: data {names}, and 5 more"),
    );
    let mut none = b"\x7fELF\x02\x01\x01".to_vec();
    none.resize(64, 0);
    none[16] = 2;
    none[18] = 62;
    none[20] = 1;
    none[52] = 64;
    let none = directory.write("none", &none);
    kscope(&["image", "extract", &none, "segment-0", "-o", "-"])
        .failed(1, &format!("{none}: no part segment-0, nor any other"));
}

#[test]
fn a_segment_that_is_not_there_is_told_and_the_others_are_listed() {
    let mut file = sample("kernel/vmlinux-6.1.0-56-cloud-amd64.head");
    let phdr = |index: usize| 64 + 56 * index;
    // Of its five the last one is of notes; the others are to have no bytes.
    for index in 0..4 {
        file[phdr(index) + 32..][..8].fill(0);
        file[phdr(index) + 8..][..8].fill(0);
    }
    let directory = Directory::new();
    let file = directory.write("file", &file);
    let told = kscope(&["image", "parts", &file]);
    assert_eq!((told.status, told.stdout.lines().count()), (0, 4));
    let why = ": no part segment-4\n";
    assert!(told.stderr.ends_with(why), "{}", told.stderr);
    assert_eq!(told.stderr.lines().count(), 1);
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
    // As strtoul reads them: blanks, a sign, a capital X.
    let load = |address: &str| {
        kscope(&[
            "image", "pack", "uimage", "-a", address, "-d", &kernel, &out,
        ])
        .good();
        kscope(&["image", &out, "--json"]).json()["load"].clone()
    };
    for address in ["8000", "0X8000", " \t8000", "+0x8000", "000000000008000"] {
        assert_eq!(load(address), "0x8000", "{address}");
    }
}

#[test]
fn nothing_replaces_what_it_is_made_of() {
    let directory = Directory::new();
    let image = directory.write("image", &sample("uimage/kernel.img"));
    for args in [
        &["image", "extract", &image, "data", "-o", &image][..],
        &["image", "pack", "uimage", "-d", &image, &image],
    ] {
        let why = format!("{image}: this is the input, too: write to another file");
        kscope(args).failed(2, &why);
    }
    assert_eq!(fs::read(&image).unwrap(), sample("uimage/kernel.img"));
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
    for (kind, why) in [
        ("kwbimage", "a type that no legacy uImage is made of"),
        (
            "flat_dt",
            "mkimage makes a FIT of it, and a legacy uImage of fdt_legacy",
        ),
        (
            "firmware_ivt",
            "the table for i.MX behind the data is not made here",
        ),
    ] {
        let why = format!("invalid value '{kind}' for '--type <TYPE>': {why} (see --help)");
        pack(&["-T", kind, &out]).failed(2, &why);
    }
    for address in ["", "-1", "123456789", "0x", "0x+1", "++1", "10g"] {
        let why = "for '--addr <ADDR>': not a hexadecimal number of 32 bits (see --help)";
        pack(&["-a", address, &out]).failed(2, &format!("invalid value '{address}' {why}"));
    }
    assert!(directory.names().is_empty());
    let empty = directory.write("empty", b"");
    let data = format!("README.md:{empty}");
    let several = ["image", "pack", "uimage", "-T", "multi", "-d", &data, &out];
    let why = format!("{empty}: the file is empty");
    kscope(&several).failed(1, &why);
    kscope(&["image", "pack", "uimage", "-d", &empty, &out]).failed(1, &why);
    let nameless = [
        "image",
        "pack",
        "uimage",
        "-T",
        "multi",
        "-d",
        "README.md:",
        &out,
    ];
    kscope(&nameless).failed(2, "--data README.md:: a file has no name");
    // Without reading it, which would take its time.
    let sparse = directory.path("sparse");
    fs::File::create(&sparse).unwrap().set_len(1 << 32).unwrap();
    let why = "4 GiB and more are no data of a uImage: ih_size has 32 bits";
    kscope(&["image", "pack", "uimage", "-d", &sparse, &out])
        .failed(1, &format!("{sparse}: {why}"));
    fs::remove_file(&sparse).unwrap();
    assert_eq!(directory.names(), ["empty"]);
    let why = format!("{empty}: offset 0x0: the file is empty");
    kscope(&["image", &empty]).failed(1, &why);
    kscope_with(&["image", "-"], b"").failed(1, "-: offset 0x0: the file is empty");
    let text = directory.write("text", b"#!/bin/sh\n");
    let why = "offset 0x0: no format that is known; `kscope image --json` tells why";
    kscope(&["image", &text]).failed(1, &format!("{text}: {why}"));
    kscope(&["image", "parts", &text]).failed(1, &format!("{text}: {why}"));
    kscope(&["image", &text, &empty]).failed(2, &format!("{empty}: one file at a time"));
    // Nor is what has no end.
    kscope(&["image", "/dev/zero"]).failed(1, &format!("/dev/zero: {why}"));
    let refusals = json!([
        {"format": "uImage", "reason": "offset 0x0: uImage header needs 0x40 bytes, 0xa are there"},
        {"format": "ELF kernel", "reason": "offset 0x0: ELF magic is 0x23212f62, not 0x7f454c46"},
        {"format": "bzImage", "reason": "offset 0x0: bzImage needs 0x400 bytes, 0xa are there"},
        {"format": "compressed file", "reason": "offset 0x0: as a compression, the signature 0x2321 is not supported"},
    ]);
    let told = |name: &str, stdin: &[u8]| {
        let told = kscope_with(&["image", name, "--json"], stdin);
        assert_eq!((told.status, told.stderr.lines().count()), (1, 1));
        told.json()
    };
    let expected = json!({"size": 10, "format": null, "refusals": refusals});
    assert_eq!(told(&text, b""), expected);
    assert_eq!(told("-", b"#!/bin/sh\n"), expected);
    let short = directory.write("short", &sample("memdisk")[..0x300]);
    kscope(&["image", &short]).failed(
        1,
        &format!("{short}: offset 0x0: bzImage needs 0x400 bytes, 0x300 are there"),
    );
}
