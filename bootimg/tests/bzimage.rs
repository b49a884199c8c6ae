//! Real kernels, and programs that pose as kernels.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "tests"
)]

use std::{collections::BTreeMap, fs, path::Path};

use bootimg::{
    BzImage, Compression, Error,
    bzimage::{Checksum, Header, LoadFlags, XLoadFlags},
};

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A kernel of which only the beginning is kept: as long as it was, zeros behind it.
fn kernel(name: &str, len: usize) -> Vec<u8> {
    let mut file = sample(&format!("kernel/vmlinuz-{name}.head"));
    file.resize(len, 0);
    file
}

/// `headers.tsv`: what an independent decoder found, `-` for fields that the protocol lacks.
#[test]
fn headers_as_another_decoder_found_them() {
    let table = String::from_utf8(sample("headers.tsv")).unwrap();
    let mut lines = table.lines();
    let names: Vec<_> = lines.next().unwrap().split('\t').collect();
    let mut rows = 0;
    for line in lines {
        let row: BTreeMap<_, _> = names.iter().copied().zip(line.split('\t')).collect();
        let name = row["name"];
        let file = sample(name);
        let header = Header::parse(&file).unwrap();
        let check = |column: &str, found: Option<u64>| {
            let expected = row[column];
            let expected = match expected.strip_prefix("0x") {
                Some(hex) => Some(u64::from_str_radix(hex, 16).unwrap()),
                None => expected.parse().ok(),
            };
            assert_eq!(found, expected, "{name}: {column}");
        };
        // The decoder shows 0 for a payload before 2.08.
        let or_0 = |found: Option<u32>| Some(found.unwrap_or(0).into());
        let since_2_05 = |found: u64| header.kernel_alignment().map(|_| found);
        check("setup_sects", Some(header.setup_sects().into()));
        check("syssize", Some(header.syssize().into()));
        check("version", Some(header.protocol().0.into()));
        check("loadflags", Some(header.loadflags().bits().into()));
        check("code32_start", Some(header.code32_start().into()));
        check("ramdisk_max", Some(header.initrd_addr_max().into()));
        check(
            "kernel_alignment",
            header.kernel_alignment().map(Into::into),
        );
        check("relocatable", since_2_05(header.relocatable().into()));
        check("min_alignment", header.min_alignment().map(Into::into));
        let flags = header.xloadflags().bits();
        check("xloadflags", (flags != 0).then_some(flags.into()));
        check("cmdline_size", since_2_05(header.cmdline_size().into()));
        check("payload_offset", or_0(header.payload_offset()));
        check("payload_length", or_0(header.payload_length()));
        check("setup_data", header.setup_data());
        check("pref_address", header.pref_address());
        check("init_size", header.init_size().map(Into::into));
        check("handover_offset", header.handover_offset().map(Into::into));
        check(
            "kernel_info_offset",
            header.kernel_info_offset().map(Into::into),
        );
        rows += 1;
    }
    assert_eq!(rows, 7);
}

/// What `file -b` (5.44) prints.
#[test]
fn the_line_of_file() {
    for (name, line) in [
        (
            "ipxe.lkrn",
            "Linux kernel x86 boot executable bzImage, version 1.0.0+git-20190125.36a4c85-5.1, RO-rootFS,",
        ),
        (
            "memtest86+x64.bin",
            "Linux kernel x86 boot executable bzImage, version Memtest86+ v6.10, RW-rootFS,",
        ),
        (
            "memdisk",
            "Linux kernel x86 boot executable bzImage, version MEMDISK 6.04 20200816, RW-rootFS,",
        ),
        (
            "lnxboot.img",
            r"Linux kernel x86 boot executable bzImage, version \353fHdrS\003\002, RW-rootFS,",
        ),
    ] {
        let file = sample(name);
        assert_eq!(BzImage::parse(&file).unwrap().to_string(), line);
    }
}

/// Words that `file` shows when they are there, each patched into memdisk and shown to it.
#[test]
fn the_line_of_file_for_odd_words() {
    let memdisk = sample("memdisk");
    let check = |at: usize, bytes: &[u8], line: &str| {
        let mut file = memdisk.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let found = BzImage::parse(&file).unwrap().to_string();
        assert_eq!(found, format!("Linux kernel x86 boot executable {line}"));
    };
    const VERSION: &str = "version MEMDISK 6.04 20200816,";
    check(0x211, b"\0", &format!("zImage, {VERSION} RW-rootFS,"));
    check(0x211, b"\x81", "RW-rootFS,");
    check(0x1f2, b"\x02", &format!("bzImage, {VERSION}"));
    let root = format!("bzImage, {VERSION} RW-rootFS,");
    check(0x1fc, b"\x01\x02", &format!("{root} root_dev 0X201,"));
    check(0x1fc, b"\x01\x82", &root);
    check(0x1f6, b"\x01\x02", &format!("{root} swap_dev 0X201,"));
    check(0x1f8, b"\x01\x02", &format!("{root} RAMdisksize 513 KB,"));
    check(0x1fa, b"\xff\xff", &format!("{root} Normal VGA"));
    check(0x1fa, b"\xfe\xff", &format!("{root} Extended VGA"));
    check(0x1fa, b"\xfd\xff", &format!("{root} Prompt for Videomode"));
    check(0x1fa, b"\xfc\xff", &root);
    check(0x1fa, b"\x01\0", &format!("{root} Video mode 1"));
    check(0x20e, b"\0\0\0\0", "zImage, RW-rootFS,");
    check(0x20e, b"\xff\xff\0\0", "zImage, RW-rootFS,");
    // What does not print, what ends a string, and what is too long for `file`.
    let mut file = memdisk;
    file[0x600..0x6ff].copy_from_slice(&std::array::from_fn::<u8, 255, _>(|at| at as u8 + 1));
    file[0x20e..0x212].copy_from_slice(b"\0\x04\0\x01");
    let line = BzImage::parse(&file).unwrap().to_string();
    let version = r"\001\002\003\004\005\006\007\010\011";
    assert!(line.contains(&format!("bzImage, version {version}, RW-rootFS,")));
    file[0x600..0x700].fill(b'A');
    let line = BzImage::parse(&file).unwrap().to_string();
    assert_eq!(line.matches('A').count(), 127);
}

#[test]
fn a_debian_kernel() {
    let file = kernel("6.12.107+deb12-cloud-amd64", 11_624_960);
    let image = BzImage::parse(&file).unwrap();
    let header = image.header();
    assert_eq!(header.loadflags(), LoadFlags::LOADED_HIGH);
    assert!(header.xloadflags().contains(XLoadFlags::FIVE_LEVEL_ENABLED));
    assert_eq!(header.bytes().len(), 123);
    assert_eq!(header.setup_len(), 20_480);
    assert_eq!(
        image.protected_mode().len() as u64,
        u64::from(header.syssize()) * 16
    );
    let offset = u64::from(header.handover_offset().unwrap());
    assert_eq!(header.handover(), (Some(offset), Some(offset + 512)));
    assert_eq!(
        header.runtime().unwrap().at(0x10_0000).unwrap().start,
        0x100_0000
    );

    let payload = image.payload().unwrap().unwrap();
    let extent = (payload.offset(), payload.bytes().len() as u64);
    assert_eq!(extent, (20_480 + 0x2cc, 11_378_974));
    assert_eq!(image.payload_extent(), Ok(Some(extent)));
    // The payload itself is cut off.
    assert_eq!(payload.compression(), None);
    assert!(matches!(
        image.kernel_info(),
        Err(Error::BadMagic {
            what: "kernel_info header",
            found: 0,
            ..
        })
    ));
    // So is the end of it all, where the sum is.
    assert_eq!(image.checksum(), Checksum::Absent);
}

/// The kernel again, with the bytes at the places where the whole file has them.
#[test]
fn what_a_debian_kernel_points_to() {
    let mut file = kernel("6.1.0-56-cloud-amd64", 14_184_960);
    let payload = 20_480 + 0x2cc;
    file[payload..payload + 6].copy_from_slice(b"\x02\x21\x4c\x18\x10\xc1");
    file[payload + 14_063_304..][..4].copy_from_slice(&53_243_444_u32.to_le_bytes());
    let info = 20_480 + 0xd7_f91c;
    file[info..info + 16].copy_from_slice(b"LToP\x10\0\0\0\x10\0\0\0\x09\0\0\x80");
    file[0x44c0..0x44ce].copy_from_slice(b"6.1.0-56-cloud");

    let image = BzImage::parse(&file).unwrap();
    let found = image.payload().unwrap().unwrap();
    assert_eq!(found.compression(), Some(Compression::Lz4Legacy));
    assert_eq!(found.unpacked_size(), Some(53_243_444));
    let info = image.kernel_info().unwrap().unwrap();
    assert_eq!(info.setup_type_max(), Some(0x8000_0009));
    assert_eq!(info.offset(), 20_480 + 0xd7_f91c);
    assert_eq!(
        image.kernel_version().unwrap(),
        Some(&b"6.1.0-56-cloud"[..])
    );
    assert!(
        image
            .to_string()
            .ends_with("version 6.1.0-56-cloud, RO-rootFS, swap_dev 0XD, Normal VGA")
    );

    // The end of the payload, and what it says about its size, are taken from it.
    file.truncate(payload + 14_063_307);
    let image = BzImage::parse(&file).unwrap();
    assert_eq!(
        image.payload().unwrap_err().to_string(),
        "offset 0x52cc: payload needs 0xd696cc bytes, 0xd696cb are there"
    );
    let extent = Some((payload as u64, 0xd6_96cc));
    assert_eq!(image.payload_extent(), Ok(extent));
}

#[test]
fn the_checksum_is_right_wrong_or_absent() {
    // iPXE's header claims seven bytes more than the file has; what it has is not summed up.
    assert_eq!(
        BzImage::parse(&sample("ipxe.lkrn")).unwrap().checksum(),
        Checksum::Absent
    );
    let mut file = sample("memtest86+x64.bin");
    assert_eq!(BzImage::parse(&file).unwrap().checksum(), Checksum::Absent);

    // Sized and summed up as the kernel's build does.
    file.resize(file.len().next_multiple_of(16), 0);
    let summed = file.len() - 4;
    let sum = !crc32(&file[..summed]);
    file[summed..].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(BzImage::parse(&file).unwrap().checksum(), Checksum::Right);
    assert_eq!(Checksum::Right.insist(), Ok(()));
    assert_eq!(!crc32(&file), 0);

    // A signature behind it does not matter.
    file.extend(b"signed");
    assert_eq!(BzImage::parse(&file).unwrap().checksum(), Checksum::Right);
    assert_eq!(BzImage::parse(&file).unwrap().verify(), Ok(()));
    file[0x3000] ^= 1;
    let image = BzImage::parse(&file).unwrap();
    assert!(matches!(image.checksum(), Checksum::Wrong { stored, .. } if stored == sum));
    // As of a kernel that was signed: told, and no reason to refuse it.
    assert_eq!(image.verify(), Ok(()));
    let error = image.checksum().insist().unwrap_err();
    assert!(
        matches!(error, Error::Checksum { what: "CRC-32", offset, stored, .. }
        if offset == summed as u64 && stored == u64::from(sum))
    );
}

/// A kernel of Debian's cut anywhere: what is missing is named.
#[test]
fn every_lost_end_is_missed() {
    let whole = kernel("6.1.0-56-cloud-amd64", 14_184_960);
    let info = 20_480 + 0xd7_f91c;
    let mut file = whole;
    file[info..info + 16].copy_from_slice(b"LToP\x10\0\0\0\x10\0\0\0\x09\0\0\x80");
    let missed = |len: usize| {
        let error = BzImage::parse(&file[..len]).unwrap().verify().unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{len}: {error}");
        error.to_string()
    };
    assert_eq!(BzImage::parse(&file).unwrap().verify(), Ok(()));
    // The last paragraph is there, not all of it.
    let short = BzImage::parse(&file[..14_184_945]).unwrap();
    assert_eq!(
        (short.verify(), short.checksum()),
        (Ok(()), Checksum::Absent)
    );
    let cut = BzImage::parse(&file[..14_184_944]).unwrap();
    assert_eq!(cut.checksum(), Checksum::Missing);
    assert_eq!(
        missed(14_184_944),
        "offset 0x5000: protected-mode code of syssize needs 0xd82200 bytes, 0xd821f0 are there"
    );
    let payload = 20_480 + 0x2cc;
    for len in [20_480, payload, payload + 1, payload + 14_063_307] {
        assert!(missed(len).starts_with("offset 0x52cc: payload needs 0xd696cc bytes"));
    }
    for len in [info, info + 11, info + 15] {
        assert!(missed(len).starts_with("offset 0xd8491c: kernel_info needs"));
    }

    // Shorter than its header says by less than a paragraph, or without a size that means anything.
    for name in ["ipxe.lkrn", "memtest86+x64.bin", "memdisk", "lnxboot.img"] {
        assert_eq!(
            BzImage::parse(&sample(name)).unwrap().verify(),
            Ok(()),
            "{name}"
        );
    }
}

#[test]
fn headers_that_no_kernel_starts_with() {
    let mut whole = kernel("6.12.107+deb12-cloud-amd64", 11_624_960);
    let payload = 20_480 + 0x2cc;
    whole[payload..payload + 6].copy_from_slice(b"\x02\x21\x4c\x18\x10\xc1");
    let len = u32::from_le_bytes(whole[0x24c..0x250].try_into().unwrap()) as usize;
    whole[payload + len - 4..payload + len].copy_from_slice(&53_243_444_u32.to_le_bytes());
    // No kernel_info, which is not in the sample.
    whole[0x268..0x26c].fill(0);
    assert_eq!(BzImage::parse(&whole).unwrap().verify(), Ok(()));

    let size = "the bytes of the decompressed payload, and above";
    let alignment = "a power of two in a relocatable kernel";
    let start = "above 0, the entry, and below syssize * 16, where the code ends";
    let length = "0, or from 13 (what is compressed and, behind it, its size) to where the code ends, at syssize * 16";
    let info = "0, or 12 bytes and more below syssize * 16, where the code ends";
    for (at, value, name, allowed) in [
        (0x260, 0_u32, "init_size", "1 and above"),
        (0x260, 1, "init_size", size),
        (0x260, 53_243_443, "init_size", size),
        (0x230, 0, "kernel_alignment", alignment),
        (0x230, 3, "kernel_alignment", alignment),
        (0x230, 0x30_0000, "kernel_alignment", alignment),
        (0x248, 0, "payload_offset", start),
        // The code has 0xb11200 bytes.
        (0x248, 0xb1_1200, "payload_offset", start),
        (0x248, u32::MAX, "payload_offset", start),
        (0x24c, 0xb1_0f35, "payload_length", length),
        (0x24c, u32::MAX, "payload_length", length),
        (0x268, 0xb1_11f5, "kernel_info_offset", info),
        (0x268, u32::MAX, "kernel_info_offset", info),
        (0x24c, 1, "payload_length", length),
        // The last four bytes are the signature.
        (0x24c, 4, "payload_length", length),
        (0x24c, 12, "payload_length", length),
    ] {
        let mut file = whole.clone();
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let error = BzImage::parse(&file).unwrap().verify().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("offset {at:#x}: {name} is {value:#x}, allowed: {allowed}")
        );
    }
    whole[0x258..0x260].fill(0xff);
    let error = BzImage::parse(&whole).unwrap().verify().unwrap_err();
    assert_eq!(
        error.to_string(),
        "offset 0x258: the end of pref_address + init_size is too large"
    );
    whole[0x258..0x260].fill(0);
    whole[0x260..0x264].copy_from_slice(&53_243_444_u32.to_le_bytes());
    assert_eq!(BzImage::parse(&whole).unwrap().verify(), Ok(()));
}

/// Cut after any byte, a whole small image is no image, or has what its header says, or tells what is missing.
#[test]
fn every_prefix_of_real_images() {
    for name in ["memdisk", "memtest86+x64.bin", "lnxboot.img"] {
        let file = sample(name);
        let whole = BzImage::parse(&file).unwrap();
        let setup = whole.header().setup_len() as usize;
        for len in 0..file.len() {
            match BzImage::parse(&file[..len]) {
                Err(Error::Truncated { .. }) => assert!(len < 1024, "{name}: {len}"),
                Err(Error::BadField { offset: 0x1f1, .. }) => {
                    assert!((1024..setup).contains(&len), "{name}: {len}");
                }
                Err(error) => panic!("{name}: {len}: {error}"),
                Ok(image) => {
                    assert_eq!(image.header().bytes(), whole.header().bytes());
                    assert_eq!(image.kernel_version(), whole.kernel_version());
                    let there =
                        image.protected_mode().len() + 15 >= 16 * image.header().syssize() as usize;
                    let since_2_04 = image.header().protocol().0 >= 0x204;
                    assert_eq!(
                        image.verify().is_ok(),
                        there || !since_2_04,
                        "{name}: {len}"
                    );
                }
            }
        }
    }
}

/// Bit by bit, as the kernel's documentation describes it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

#[test]
fn setup_sects_beyond_the_file() {
    let mut file = sample("lnxboot.img");
    assert!(BzImage::parse(&file).unwrap().protected_mode().is_empty());
    for sects in [0, 2, 255] {
        file[0x1f1] = sects;
        let rule = "allowed: below the number of sectors, of 512 bytes, that the file has";
        assert_eq!(
            BzImage::parse(&file).unwrap_err().to_string(),
            format!("offset 0x1f1: setup_sects is {sects:#x}, {rule}")
        );
    }
}

#[test]
fn version_strings_that_are_not_in_the_setup_code() {
    let mut file = sample("memdisk");
    let mut version = |pointer: u16| {
        file[0x20e..0x210].copy_from_slice(&pointer.to_le_bytes());
        let image = BzImage::parse(&file).unwrap();
        image
            .kernel_version()
            .map(|found| found.map(<[u8]>::to_vec))
    };
    assert_eq!(version(0), Ok(None));
    assert!(matches!(
        version(0x601),
        Err(Error::BadField {
            offset: 0x20e,
            value: 0x601,
            ..
        })
    ));
    assert!(matches!(version(0xffff), Err(Error::BadField { .. })));
    // At the end there is no byte, and so no NUL.
    assert!(matches!(
        version(0x600),
        Err(Error::Truncated { offset: 0x800, .. })
    ));
}
