//! What mkimage made, read and made again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::{fs, path::PathBuf};

use bootimg::{
    Error,
    uimage::{
        Arch, Builder, Compression, Header, MAGIC, Options, Os, SIZE, Type, Uimage, Verify,
        padded_name,
    },
};
use proptest::prelude::*;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "testdata/uimage", name]
        .iter()
        .collect()
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn text(name: &str) -> String {
    String::from_utf8(sample(name)).unwrap()
}

/// A header that says the same as this command line of mkimage.
fn header(
    arch: &str,
    os: &str,
    kind: &str,
    comp: &str,
    load: u32,
    entry: u32,
    name: &str,
) -> Header {
    Header {
        arch: Arch::from_name(arch).unwrap(),
        os: Os::from_short_name(os).unwrap(),
        kind: Type::from_short_name(kind).unwrap(),
        compression: Compression::from_short_name(comp).unwrap(),
        load,
        entry,
        time: 1_700_000_000,
        name: padded_name(name.as_bytes()),
        ..Header::default()
    }
}

const KERNEL: &[u8] = b"a kernel of its own, 35 bytes long\n";
const THREE: &[u8] = b"abc";
const SCRIPT: &[u8] = b"echo hello\n";
const ZEROS: &[u8] = &[0; 300];

/// The command lines are those of `testdata/uimage/make.sh`.
#[test]
fn as_mkimage_makes_them_and_as_it_lists_them() {
    let check = |name: &str, header: Header, files: &[&[u8]]| {
        let made = sample(&format!("{name}.img"));
        let builder = Builder::try_new(header, files).unwrap();
        let mut out = vec![0xff; builder.emitted_len()];
        assert_eq!(builder.emit(&mut out), Ok(made.len()), "{name}");
        assert_eq!(out, made, "{name}");

        let image = Uimage::parse(&made).unwrap();
        assert_eq!(image.header(), builder.header());
        assert!(image.header_crc_ok() && image.data_crc_ok());
        let parts = image.parts().unwrap().map(|part| part.unwrap().bytes);
        assert!(parts.eq(files.iter().copied()), "{name}");
        assert_eq!(image.to_string(), text(&format!("{name}.txt")), "{name}");
    };
    let long = "a name of more than thirty-two bytes";
    let all = u32::MAX;
    check(
        "kernel",
        header(
            "arm",
            "linux",
            "kernel",
            "none",
            0x8000,
            0x8040,
            "Linux-6.1 armmp",
        ),
        &[KERNEL],
    );
    check(
        "noload",
        header(
            "arm64",
            "linux",
            "kernel_noload",
            "gzip",
            0,
            0x40,
            "in place",
        ),
        &[KERNEL],
    );
    check(
        "ramdisk",
        header("ppc", "linux", "ramdisk", "zstd", 0, 0, long),
        &[ZEROS],
    );
    check(
        "standalone",
        header("riscv", "u-boot", "standalone", "lzo", all, 1, ""),
        &[THREE],
    );
    check(
        "firmware",
        header("mips64", "openrtos", "firmware", "lzma", 0, 0, ""),
        &[ZEROS],
    );
    check(
        "filesystem",
        header("x86_64", "freebsd", "filesystem", "bzip2", 0, 0, "Größe"),
        &[KERNEL],
    );
    check(
        "script",
        header("arm", "linux", "script", "none", 0, 0, "boot script"),
        &[SCRIPT],
    );
    check(
        "multi",
        header("arm", "linux", "multi", "none", 0x8000, 0x8000, "multi"),
        &[KERNEL, THREE, SCRIPT],
    );
    check(
        "multi-one",
        header("or1k", "efi", "multi", "lz4", 0, 0, "one"),
        &[THREE],
    );
    check(
        "defaults",
        header("powerpc", "linux", "kernel", "gzip", 0, 0, ""),
        &[KERNEL],
    );
}

/// Cut after any byte, an image lacks its header or its data.
#[test]
fn every_prefix_is_missed() {
    for name in ["kernel", "multi", "script"] {
        let file = sample(&format!("{name}.img"));
        for len in 0..file.len() {
            let offset = if len < SIZE { 0 } else { SIZE as u64 };
            let Err(Error::Truncated { offset: found, .. }) = Uimage::parse(&file[..len]) else {
                panic!("{name}: {len}");
            };
            assert_eq!(found, offset, "{name}: {len}");
        }
    }
}

/// Images of which only the beginning is kept.
#[test]
fn headers_of_large_images() {
    let options = Options {
        verify: Verify::Header,
        ..Options::default()
    };
    for name in ["debian-arm64.gzip", "debian-multi", "ivt"] {
        let head = sample(&format!("{name}.head"));
        let image = Uimage::parse_with(&head, &options).unwrap();
        assert_eq!(image.to_string(), text(&format!("{name}.txt")), "{name}");
        assert!(image.header_crc_ok() && !image.data_crc_ok());
        assert!(matches!(
            image.parts(),
            Err(Error::Truncated {
                what: "uImage data of ih_size",
                offset: 64,
                ..
            })
        ));
        assert!(matches!(
            Uimage::parse(&head),
            Err(Error::Truncated { offset: 64, .. })
        ));
    }
}

/// `names.tsv`: the line `Image Type` by `mkimage -l` 2023.01, one code changed at a time.
#[test]
fn all_names_of_all_codes() {
    // Codes that are younger than it.
    let younger = |field: &str, code: u8| {
        field == "os" && code == Os::ELF.0 || field == "type" && (42..=47).contains(&code)
    };
    let (mut lines, mut skipped) = (0, 0);
    for line in text("names.tsv").lines() {
        let [field, code, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let code = code.parse().unwrap();
        if younger(field, code) {
            skipped += 1;
            continue;
        }
        let mut header = header("arm", "linux", "kernel", "none", 0, 0, "x");
        match field {
            "os" => header.os = Os(code),
            "arch" => header.arch = Arch(code),
            "type" => header.kind = Type(code),
            "comp" => header.compression = Compression(code),
            _ => panic!("{line}"),
        }
        let mut bytes = [0; SIZE];
        header.emit(&mut bytes).unwrap();
        let options = Options {
            verify: Verify::None,
            ..Options::default()
        };
        let image = Uimage::parse_with(&bytes, &options).unwrap();
        let printed = image.to_string();
        assert_eq!(
            printed.lines().nth(2),
            Some(&*format!("Image Type:   {expected}")),
            "{line}"
        );
        lines += 1;
    }
    assert_eq!((lines, skipped), (4 * 65 - 7, 7));
    assert_eq!(Type(47).short_name(), Some("amlimage"));
    assert_eq!(Os::ELF.long_name(), "ELF Image");
}

#[test]
fn checksums_are_verified_as_far_as_asked() {
    let verify = |file: &[u8], verify| {
        let magic = MAGIC;
        Uimage::parse_with(file, &Options { verify, magic })
            .map(|image| (image.header_crc_ok(), image.data_crc_ok()))
    };
    let good = sample("kernel.img");

    let mut header = good.clone();
    header[12] ^= 0x80;
    let error = verify(&header, Verify::Header).unwrap_err();
    assert!(matches!(
        error,
        Error::Checksum {
            what: "ih_hcrc",
            offset: 4,
            ..
        }
    ));
    assert_eq!(verify(&header, Verify::All), Err(error));
    // A size that a wrong header claims is not trusted with anything.
    assert_eq!(verify(&header, Verify::None), Ok((false, false)));

    let mut data = good.clone();
    *data.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&data, Verify::None), Ok((true, false)));
    assert_eq!(verify(&data, Verify::Header), Ok((true, false)));
    let text = verify(&data, Verify::All).unwrap_err().to_string();
    assert_eq!(
        text,
        "offset 0x18: ih_dcrc is 0xc34a3ba0, the bytes come to 0xb44d0b36"
    );

    // More behind the data is not the image's.
    let mut longer = good;
    longer.push(0);
    assert_eq!(verify(&longer, Verify::All), Ok((true, true)));
}

#[test]
fn another_magic_by_choice() {
    let mut file = sample("kernel.img");
    file[..4].copy_from_slice(b"Fox!");
    let error = Uimage::parse(&file).unwrap_err();
    assert_eq!(
        error.to_string(),
        "offset 0x0: ih_magic is 0x466f7821, not 0x27051956"
    );
    let options = Options {
        magic: 0x466f_7821,
        verify: Verify::None,
    };
    assert!(Uimage::parse_with(&file, &options).unwrap().data_crc_ok());

    let header = Header {
        magic: 0x466f_7821,
        ..*Uimage::parse_with(&file, &options).unwrap().header()
    };
    let builder = Builder::try_new(header, &[KERNEL]).unwrap();
    let mut out = [0; SIZE + KERNEL.len()];
    builder.emit(&mut out).unwrap();
    let options = Options {
        verify: Verify::All,
        ..options
    };
    assert!(Uimage::parse_with(&out, &options).is_ok());
}

/// A multi-file image with this data; its sums are right whatever the table says.
fn multi(data: &[u8]) -> Vec<u8> {
    let plain = header("arm", "linux", "kernel", "none", 0, 0, "");
    let builder = Builder::try_new(plain, std::slice::from_ref(&data)).unwrap();
    let mut out = vec![0; builder.emitted_len()];
    builder.emit(&mut out).unwrap();
    let mut header = *builder.header();
    header.kind = Type::MULTI;
    header.header_crc = header.sum();
    header.emit(&mut out).unwrap();
    out
}

#[test]
fn tables_that_lie() {
    let parts = |data: &[u8]| {
        let file = multi(data);
        let image = Uimage::parse(&file).unwrap();
        let parts = image.parts()?.map(|part| part.map(|part| part.bytes.len()));
        Ok::<_, Error>(parts.collect::<Vec<_>>())
    };
    assert_eq!(parts(&[0; 4]), Ok(vec![]));
    for data in [
        &b""[..],
        b"\0\0\0",
        b"\0\0\0\x01",
        b"\0\0\0\x01\0\0\0\x01\0\0\0",
    ] {
        let needed = data.len() as u64 + 4;
        let error = parts(data).unwrap_err();
        assert!(matches!(error, Error::Truncated { offset: 64, needed: n, .. } if n == needed));
    }
    // The second file passes the end; what follows it is not looked for.
    let found = parts(b"\0\0\0\x01\0\0\0\x05\0\0\0\x01\0\0\0\0aaaabbbb").unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], Ok(1));
    assert_eq!(
        found[1].unwrap_err().to_string(),
        "offset 0x44: size in the table of files is 0x5, allowed: up to the end of the data, by ih_size"
    );
    let found = parts(b"\xff\xff\xff\xff\0\0\0\0").unwrap();
    assert!(matches!(
        found[..],
        [Err(Error::BadField {
            offset: 0x40,
            value: 0xffff_ffff,
            ..
        })]
    ));
}

/// mkimage lists what the table says, also where there is nothing.
#[test]
fn listings_of_tables_that_lie() {
    let contents = |data: &[u8]| {
        let printed = Uimage::parse(&multi(data)).unwrap().to_string();
        let (_, contents) = printed.split_once("Contents:\n").unwrap();
        contents.to_owned()
    };
    assert_eq!(contents(b"\0\0\0\0"), "");
    assert_eq!(
        contents(b"\0\0\0\x03\0\0\x13\x88\0\0\0\0abc\0hello"),
        "   Image 0: 3 Bytes = 0.00 KiB = 0.00 MiB\n   Image 1: 5000 Bytes = 4.88 KiB = 0.00 MiB\n"
    );
    assert_eq!(
        contents(b"\0\0\0\x03ab"),
        "   Image 0: 3 Bytes = 0.00 KiB = 0.00 MiB\n"
    );
}

#[test]
fn names_that_are_not_text() {
    let mut header = header("arm", "linux", "kernel", "none", 0, 0, "");
    header.name = padded_name(b"a\x1b[31m\tb\xff\xc2\x9b");
    let mut out = [0; SIZE + 1];
    Builder::try_new(header, &[b"x"])
        .unwrap()
        .emit(&mut out)
        .unwrap();
    let printed = Uimage::parse(&out).unwrap().to_string();
    assert_eq!(
        printed.lines().next(),
        Some("Image Name:   a\\x1b[31m\tb\\xff\\xc2\\x9b")
    );
}

proptest! {
    #[test]
    fn what_is_built_is_read(
        files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 1..6),
        (time, load, entry) in any::<(u32, u32, u32)>(),
        (os, arch, compression) in any::<(u8, u8, u8)>(),
        name in any::<[u8; 32]>(),
    ) {
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let kind = if files.len() > 1 { Type::MULTI } else { Type::KERNEL };
        let header = Header {
            time, load, entry, kind, name,
            os: Os(os), arch: Arch(arch), compression: Compression(compression),
            ..Header::default()
        };
        let builder = Builder::try_new(header, &files).unwrap();
        let mut out = vec![0xff; builder.emitted_len()];
        builder.emit(&mut out).unwrap();
        let image = Uimage::parse(&out).unwrap();
        prop_assert_eq!(image.header(), builder.header());
        prop_assert_eq!(image.data().unwrap().len() + SIZE, out.len());
        let parts = image.parts().unwrap().map(|part| part.unwrap().bytes);
        prop_assert!(parts.eq(files));
        prop_assert!(image.to_string().starts_with("Image Name:   "));
    }
}
