//! What other programs compressed; the features choose how much of it is read.
#![cfg(all(
    feature = "gzip",
    feature = "bzip2",
    feature = "lz4",
    feature = "lzo",
    feature = "xz",
    feature = "zstd"
))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "tests"
)]

use std::{fmt::Write, fs, path::Path};

use bootimg::{
    BzImage, Compression, Error, Uimage,
    decompress::{Codec, Rust, Stream},
    uimage::{self, Builder, Header, Type},
};

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn numbers() -> Vec<u8> {
    let mut text = String::new();
    (1..=6000).for_each(|number| writeln!(text, "{number}").unwrap());
    text.into_bytes()
}

/// Name, compression, and whether the format has a checksum over what is inside that is verified.
const NUMBERS: &[(&str, Compression, bool)] = &[
    ("numbers.gz", Compression::Gzip, true),
    ("numbers.bz2", Compression::Bzip2, true),
    ("numbers.xz", Compression::Xz, true),
    ("numbers.lzma", Compression::Lzma, false),
    ("numbers.lzo", Compression::Lzo, true),
    ("numbers.adler32.lzo", Compression::Lzo, true),
    ("numbers.crc32.lzo", Compression::Lzo, true),
    ("numbers.lz4-legacy", Compression::Lz4Legacy, false),
    ("numbers.lz4", Compression::Lz4, true),
    ("numbers.linked.lz4", Compression::Lz4, true),
    ("numbers.zst", Compression::Zstd, true),
];

/// Every check, several blocks, and every filter in front of LZMA2.
#[test]
fn xz_in_all_its_forms() {
    let text = numbers();
    let code = &sample("packed/code")[..];
    let forms = [
        ("numbers", &text[..], "none crc64 sha256 blocks"),
        (
            "code",
            code,
            "x86 powerpc ia64 arm armthumb sparc arm64 delta",
        ),
    ];
    for (name, expected, forms) in forms {
        for form in forms.split(' ') {
            let name = format!("packed/{name}.{form}.xz");
            let file = sample(&name);
            let stream = Stream::of(&file).unwrap();
            let mut out = vec![0; expected.len()];
            assert_eq!(
                stream.decode(&mut Rust, &mut out),
                Ok(expected.len()),
                "{name}"
            );
            assert!(out == expected, "{name}");

            // Cut anywhere, or with any bit flipped where one counts, it is damaged.
            for len in (0..file.len()).step_by(7) {
                let bytes = &file[..len];
                assert!(
                    Stream { bytes, ..stream }
                        .decode(&mut Rust, &mut out)
                        .is_err(),
                    "{name}: {len}"
                );
            }
            let mut changed = file.clone();
            for at in (6..file.len()).step_by(11) {
                changed[at] ^= 4;
                let bytes = &changed[..];
                let found = Stream { bytes, ..stream }.decode(&mut Rust, &mut out);
                assert!(found.is_err() || form == "none", "{name}: {at}");
                changed[at] ^= 4;
            }
        }
    }
}

/// The first two of four, whose data have the same size: what all sizes come to remains as it is.
#[test]
fn xz_with_its_blocks_in_another_order_in_the_index() {
    let mut file = sample("packed/numbers.blocks.xz");
    let footer = file.len() - 12;
    let units = u32::from_le_bytes(*file[footer..][4..].first_chunk().unwrap());
    let index = footer - (units as usize + 1) * 4;
    let (first, second) = ([0xe0, 0x06, 0x80, 0x40], [0xe0, 0x04, 0x80, 0x40]);
    assert_eq!(file[index + 2..][..8], [first, second].concat());
    let mut out = vec![0; numbers().len()];
    let mut decoded = |records: [[u8; 4]; 2]| {
        file[index + 2..][..8].copy_from_slice(&records.concat());
        let sum = crc32fast::hash(&file[index..footer - 4]);
        file[footer - 4..footer].copy_from_slice(&sum.to_le_bytes());
        Stream::of(&file).unwrap().decode(&mut Rust, &mut out)
    };
    assert_eq!(decoded([first, second]), Ok(numbers().len()));
    let corrupt = Error::Corrupt {
        what: "xz",
        offset: index as u64,
    };
    assert_eq!(decoded([second, first]), Err(corrupt));
}

/// With a marker at the end or a size in the header, or both: these have to agree.
#[test]
fn lzma_that_ends_by_a_marker_and_by_a_size() {
    let numbers = numbers();
    let decoded = |file: &[u8], size: usize| {
        let mut file = file.to_vec();
        file[5..13].copy_from_slice(&(size as u64).to_le_bytes());
        let mut out = vec![0; numbers.len() + 64];
        let found = Stream::of(&file).unwrap().decode(&mut Rust, &mut out);
        found.map(|len| out[..len] == numbers)
    };
    let marked = sample("packed/numbers.lzma");
    // A chunk of LZMA2 is a stream without a marker, of which the chunk tells size, packed size and properties.
    let xz = sample("packed/numbers.none.xz");
    let chunk = &xz[12 + (usize::from(xz[12]) + 1) * 4..];
    let packed = usize::from(u16::from_be_bytes([chunk[3], chunk[4]])) + 1;
    let header = [&[chunk[5]][..], &(1_u32 << 20).to_le_bytes(), &[0; 8]].concat();
    let plain = [&header[..], &chunk[6..][..packed]].concat();

    assert_eq!(decoded(&marked, usize::MAX), Ok(true));
    for file in [&marked, &plain] {
        assert_eq!(decoded(file, numbers.len()), Ok(true));
        for size in [0, 1, numbers.len() - 1, numbers.len() + 1] {
            let error = decoded(file, size).unwrap_err();
            let known = matches!(error, Error::Corrupt { .. } | Error::Incomplete { .. });
            assert!(known, "{size}: {error}");
        }
    }
    // Where one of them is missing, the other is.
    assert!(decoded(&plain, usize::MAX).is_err());
    assert!(decoded(&plain[..plain.len() - 1], numbers.len()).is_err());
}

fn every_codec(check: impl Fn(&mut dyn FnMut(&Stream<'_>, &mut [u8]) -> Result<usize, Error>)) {
    check(&mut |stream, out| Rust.decode(stream, out));
    #[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
    check(&mut |stream, out| bootimg::decompress::Native.decode(stream, out));
}

#[test]
fn numbers_from_every_compressor() {
    let numbers = numbers();
    for (name, compression, _) in NUMBERS {
        let file = sample(&format!("packed/{name}"));
        let stream = Stream::of(&file).unwrap();
        assert_eq!(stream.compression, *compression);
        assert!(
            stream.to_vec(&mut Rust, 1 << 20).unwrap() == numbers,
            "{name}"
        );
        every_codec(|decode| {
            // With no byte of room to spare, and with more of it.
            let mut out = vec![0xaa; numbers.len()];
            assert_eq!(decode(&stream, &mut out), Ok(numbers.len()), "{name}");
            assert!(out == numbers, "{name}");
            out.extend([0xaa; 99]);
            assert_eq!(decode(&stream, &mut out), Ok(numbers.len()), "{name}");
            assert!(out[..numbers.len()] == numbers, "{name}");
        });
    }
}

#[test]
fn no_byte_more_than_there_is_room_for() {
    let numbers = numbers();
    for (name, compression, _) in NUMBERS {
        let file = sample(&format!("packed/{name}"));
        let stream = Stream::of(&file).unwrap();
        for room in [0, 1, 1000, numbers.len() - 1] {
            every_codec(|decode| {
                let mut out = vec![0xaa; room];
                let full = Error::Full {
                    what: compression.name(),
                    offset: 0,
                    limit: room as u64,
                };
                assert_eq!(decode(&stream, &mut out), Err(full), "{name}, {room}");
            });
            let error = stream.to_vec(&mut Rust, room).unwrap_err();
            assert!(matches!(error, Error::Full { .. }), "{name}: {error}");
        }
    }
}

#[test]
fn lz4_of_another_size_than_its_frame_says() {
    let mut file = sample("packed/numbers.lz4");
    let mut out = vec![0; numbers().len()];
    // With the checksum of such a header.
    for (size, sum) in [(0_u64, 0xc8), (28_892, 0xd0), (28_894, 0xdd)] {
        file[6..14].copy_from_slice(&size.to_le_bytes());
        file[14] = sum;
        let corrupt = Error::Corrupt {
            what: "lz4",
            offset: 6,
        };
        let stream = Stream::of(&file).unwrap();
        assert_eq!(stream.decode(&mut Rust, &mut out), Err(corrupt));
    }
}

/// Also where the decoder in C knows neither.
#[test]
fn what_is_wrong_with_gzip_is_told_with_its_place() {
    let file = sample("packed/numbers.gz");
    let (trailer, computed) = (file.len() - 8, crc32fast::hash(&numbers()));
    let sum = format!(
        "offset {trailer:#x}: CRC-32 of gzip is {:#x}, the bytes come to {computed:#x}",
        computed ^ 1
    );
    let size = format!(
        "offset {:#x}: ISIZE is 0x70dc, allowed: the bytes of the data, modulo 2^32",
        trailer + 4
    );
    let cut = |at: usize| format!("offset {at:#x}: the gzip stream ends early");
    for (at, len, expected) in [
        (trailer, file.len(), sum),
        (trailer + 4, file.len(), size),
        (0, trailer + 7, cut(trailer)),
        (0, trailer / 2, cut(trailer / 2)),
        (0, 9, cut(0)),
    ] {
        let mut file = file.clone();
        file[at] ^= u8::from(at != 0);
        every_codec(|decode| {
            let stream = Stream::of(&file[..len]).unwrap();
            let error = decode(&stream, &mut vec![0; 1 << 16]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        });
    }
}

/// How a cut is told, by each but zstd; and of xz, which of its checksums is wrong.
#[test]
fn a_stream_that_is_cut_is_told_from_a_damaged_one() {
    for (name, ..) in NUMBERS {
        let file = sample(&format!("packed/{name}"));
        // As far as the signature decides what it is.
        for len in [2, 3, 5, 6, 7, file.len() - 1] {
            let error = Stream::of(&file[..len]).unwrap().to_vec(&mut Rust, 1 << 20);
            let error = error.unwrap_err();
            assert!(
                matches!(error, Error::Incomplete { .. }),
                "{name}, {len}: {error}"
            );
        }
    }
    let xz = sample("packed/numbers.xz");
    let end = xz.len();
    for (at, offset, expected) in [
        (7, 8, "CRC-32 of the header of xz is 0x"),
        (14, 0x14, "CRC-32 of a block's header of xz is 0x"),
        (end - 18, end - 16, "CRC-32 of the index of xz is 0x"),
        (end - 8, end - 12, "CRC-32 of the footer of xz is 0x"),
        (end - 1, end - 2, "the xz stream is damaged"),
    ] {
        let mut file = xz.clone();
        file[at] ^= 0x40;
        let error = Stream::of(&file).unwrap().to_vec(&mut Rust, 1 << 20);
        let text = error.unwrap_err().to_string();
        let expected = format!("offset {offset:#x}: {expected}");
        assert!(text.starts_with(&expected), "{text}, not {expected}");
    }
    // The sum over all blocks, at its end.
    let mut bzip2 = sample("packed/numbers.bz2");
    let end = bzip2.len();
    bzip2[end - 2] ^= 0x40;
    let error = Stream::of(&bzip2).unwrap().to_vec(&mut Rust, 1 << 20);
    let expected = Error::Corrupt {
        what: "bzip2",
        offset: end as u64,
    };
    assert_eq!(error, Err(expected));
}

/// Eight MiB of zeros in a few KiB.
#[test]
fn bombs_stop_at_the_limit() {
    for name in ["gz", "bz2", "xz", "lzma", "lzo", "zst"] {
        let file = sample(&format!("packed/zeros.{name}"));
        let stream = Stream::of(&file).unwrap();
        let limit = (1 << 20) + 1;
        let text = stream.to_vec(&mut Rust, limit).unwrap_err().to_string();
        assert!(
            text.ends_with("stream holds more than 0x100001 bytes"),
            "{name}: {text}"
        );
        let zeros = stream.to_vec(&mut Rust, 1 << 24).unwrap();
        assert!(
            zeros.len() == 8 << 20 && zeros.iter().all(|byte| *byte == 0),
            "{name}"
        );
    }
}

/// What tells its size, or that of its blocks, is decompressed once; the others are tried by doubling.
#[test]
fn sizes_are_tried_out_only_where_nothing_tells_them() {
    struct Counted(usize);
    impl Codec for Counted {
        fn decode(&mut self, stream: &Stream<'_>, out: &mut [u8]) -> bootimg::Result<usize> {
            self.0 += 1;
            Rust.decode(stream, out)
        }
    }
    // A literal, its repetition 255 times and more, five literals: three blocks of 64 KiB, and a shorter one.
    let mut frames = b"\x04\x22\x4d\x18\x60\x40\x82".to_vec();
    for len in [1 << 16, 1 << 16, 1 << 16, 6 + 15 + 4] {
        let repeated = len - 6 - 15 - 4;
        let mut block = vec![0x1f, 0, 1, 0];
        block.resize(4 + repeated / 255, 0xff);
        block.push((repeated % 255) as u8);
        block.extend([0x50, 0, 0, 0, 0, 0]);
        frames.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        frames.extend(block);
    }
    frames.extend([0; 4]);
    for (file, size, calls) in [
        (sample("packed/zeros.gz"), 8 << 20, 1),
        (sample("packed/zeros.xz"), 8 << 20, 1),
        (sample("packed/zeros.lzo"), 8 << 20, 1),
        (sample("packed/zeros.zst"), 8 << 20, 1),
        (frames, (3 << 16) + 25, 1),
        // 64 KiB, and doubled to 8 MiB.
        (sample("packed/zeros.bz2"), 8 << 20, 8),
    ] {
        let mut counted = Counted(0);
        let stream = Stream::of(&file).unwrap();
        let found = stream.to_vec(&mut counted, 1 << 30).unwrap();
        let name = stream.compression;
        assert_eq!((found.len(), counted.0), (size, calls), "{name}");
        assert!(found.iter().all(|byte| *byte == 0), "{name}");
    }
}

#[test]
fn damage_is_noticed_where_it_can_be() {
    let numbers = numbers();
    for (name, _, sums) in NUMBERS {
        let file = sample(&format!("packed/{name}"));
        every_codec(|decode| {
            let mut out = vec![0; numbers.len()];
            let mut decoded = |file: &[u8]| {
                let found = Stream::of(file).map(|stream| decode(&stream, &mut out));
                found.map(|found| found.map(|len| out[..len] == numbers))
            };
            // A stream that ends early is an error or, without a sum and at the end of a block, shorter.
            for len in (0..file.len() - 8).step_by(97) {
                assert_ne!(decoded(&file[..len]), Some(Ok(true)), "{name}: {len}");
            }
            let mut changed = file.clone();
            for at in (16..file.len() - 8).step_by(131) {
                changed[at] ^= 0x10;
                let found = decoded(&changed);
                assert!(!sums || found != Some(Ok(false)), "{name}: {at}");
                changed[at] ^= 0x10;
            }
        });
    }
}

/// Header, blocks, their sums, content, its sum and its size: `lz4 -BX --content-size` makes them all, `lzop -CC`
/// all of its own.
#[test]
fn lz4_and_lzop_are_verified_in_every_byte() {
    let numbers = numbers();
    let mut out = vec![0; numbers.len()];
    for name in [
        "numbers.lz4",
        "numbers.linked.lz4",
        "numbers.adler32.lzo",
        "numbers.crc32.lzo",
    ] {
        let file = sample(&format!("packed/{name}"));
        // Behind the signature, which decides what it is.
        for at in (4..64).chain((64..file.len()).step_by(53)) {
            for bit in [0x01, 0x10, 0x80] {
                let mut changed = file.clone();
                changed[at] ^= bit;
                let found = Stream::of(&changed).unwrap().decode(&mut Rust, &mut out);
                assert!(found.is_err(), "{name}: {at} ^ {bit:#x}: {found:?}");
            }
        }
    }

    // Where the sum is, and which.
    let lz4 = sample("packed/numbers.lz4").len();
    for (name, at, expected) in [
        ("lz4", 0xe, "offset 0xe: header checksum of lz4 is "),
        ("lz4", lz4 - 9, ": block checksum of lz4 is "),
        ("lz4", lz4 - 1, ": content checksum of lz4 is "),
        (
            "crc64.xz",
            0x88c,
            "offset 0x88c: CRC-64 of xz is 0x7fb05556dfae13e7, the bytes come to 0x7fb05556dfae1367",
        ),
        ("lzo", 0x20, "offset 0x22: header checksum of lzop is "),
        ("adler32.lzo", 0x2e, "offset 0x2e: Adler-32 of lzop is "),
        (
            "adler32.lzo",
            0x80,
            "offset 0x32: Adler-32 of compressed data of lzop is ",
        ),
        (
            "crc32.lzo",
            0x20,
            "offset 0x22: header checksum of lzop is ",
        ),
        ("crc32.lzo", 0x2e, "offset 0x2e: CRC-32 of lzop is "),
        (
            "crc32.lzo",
            0x80,
            "offset 0x32: CRC-32 of compressed data of lzop is ",
        ),
    ] {
        let mut file = sample(&format!("packed/numbers.{name}"));
        file[at] ^= 0x80;
        let stream = Stream::of(&file).unwrap();
        let error = stream.to_vec(&mut Rust, 1 << 20).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn what_lz4_may_have_and_is_not_supported() {
    let found = |header: &[u8]| {
        let [_, sum, ..] = twox_hash::XxHash32::oneshot(0, header).to_le_bytes();
        let file = [b"\x04\x22\x4d\x18", header, &[sum], &[0; 4]].concat();
        let found = Stream::of(&file).unwrap().to_vec(&mut Rust, 1);
        found.map_err(|error| error.to_string())
    };
    assert_eq!(found(b"\x60\x40"), Ok(vec![]));
    for (header, text) in [
        (
            &b"\xa0\x40"[..],
            "offset 0x4: version of lz4 0x2 is not supported",
        ),
        (
            b"\x61\x40\x07\0\0\0",
            "offset 0x6: dictionary of lz4 0x7 is not supported",
        ),
        (b"\x60\x30", "offset 0x5: the lz4 stream is damaged"),
    ] {
        assert_eq!(found(header).unwrap_err(), text);
    }
}

/// As `lzop --filter=1` would say it.
#[test]
fn what_a_filter_made_of_the_data_is_no_data() {
    const FLAGS: usize = 0x11;
    const FILTER: usize = 0x15;
    const SUM: usize = 0x26;
    let filtered = |filter: u32| {
        let mut file = sample("packed/numbers.lzo");
        file[FLAGS + 2] |= 8;
        file.splice(FILTER..FILTER, filter.to_be_bytes());
        let sum = adler2::adler32_slice(&file[9..SUM]);
        file[SUM..SUM + 4].copy_from_slice(&sum.to_be_bytes());
        Stream::of(&file).unwrap().to_vec(&mut Rust, 1 << 20)
    };
    assert!(filtered(0).unwrap() == numbers());
    assert_eq!(
        filtered(1).unwrap_err().to_string(),
        "offset 0x15: filter of lzop 0x1 is not supported"
    );
}

/// As `cat` makes them; also with zeros between and behind them.
#[test]
fn streams_one_behind_the_other_are_one() {
    let numbers = numbers();
    let twice = [&numbers[..], &numbers].concat();
    for (name, compression, _) in NUMBERS {
        let one = sample(&format!("packed/{name}"));
        for padding in [0, 4, 512] {
            let zeros = vec![0; padding];
            let file = [&one[..], &zeros, &one, &zeros].concat();
            every_codec(|decode| {
                let stream = Stream::of(&file).unwrap();
                let mut out = vec![0xaa; twice.len()];
                let name = format!("{name}, {padding}");
                assert_eq!(decode(&stream, &mut out), Ok(twice.len()), "{name}");
                assert!(out == twice, "{name}");
                for room in [numbers.len(), twice.len() - 1] {
                    let full = Error::Full {
                        what: compression.name(),
                        offset: 0,
                        limit: room as u64,
                    };
                    let mut out = vec![0; room];
                    assert_eq!(decode(&stream, &mut out), Err(full), "{name}, {room}");
                }
                assert!(
                    stream.to_vec(&mut Rust, 1 << 20).unwrap() == twice,
                    "{name}"
                );
            });
        }
        // Damage in the second counts from the start of the file.
        let mut file = [&one[..], &one].concat();
        file.truncate(one.len() + one.len() / 2);
        every_codec(|decode| {
            let stream = Stream {
                offset: 1 << 40,
                ..Stream::of(&file).unwrap()
            };
            let error = decode(&stream, &mut vec![0; twice.len()]).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("offset 0x10000"), "{name}: {text}");
        });
    }
}

#[test]
fn what_is_behind_a_stream_is_not_left_out_in_silence() {
    for (name, compression, _) in NUMBERS {
        let one = sample(&format!("packed/{name}"));
        // Padding of xz comes in units of four.
        let file = [&one[..], b"\0\0\0\0garbage"].concat();
        every_codec(|decode| {
            let stream = Stream::of(&file).unwrap();
            let found = decode(&stream, &mut vec![0; 1 << 20]);
            let trailing = Error::Trailing {
                what: compression.name(),
                offset: one.len() as u64 + 4,
            };
            assert_eq!(found, Err(trailing), "{name}");
        });
    }
}

/// But of xz, whose padding comes in units of four bytes.
#[test]
fn zeros_behind_a_stream_are_padding() {
    let numbers = numbers();
    for (name, compression, _) in NUMBERS {
        let mut file = sample(&format!("packed/{name}"));
        let end = file.len() as u64;
        for zeros in 1..10 {
            file.push(0);
            every_codec(|decode| {
                let found = decode(&Stream::of(&file).unwrap(), &mut vec![0; numbers.len()]);
                match compression {
                    Compression::Xz if zeros % 4 != 0 => {
                        let what = compression.name();
                        let trailing = Error::Trailing { what, offset: end };
                        assert_eq!(found, Err(trailing), "{name}: {zeros}");
                    }
                    _ => assert_eq!(found, Ok(numbers.len()), "{name}: {zeros}"),
                }
            });
        }
    }
}

/// 7-Zip's tools write both a size and the marker that ends what has none.
#[test]
fn lzma_with_a_size_and_a_marker() {
    let numbers = numbers();
    let mut one = sample("packed/numbers.lzma");
    one[5..13].copy_from_slice(&(numbers.len() as u64).to_le_bytes());
    let file = [&one[..], &one].concat();
    let twice = Stream::of(&file).unwrap().to_vec(&mut Rust, 1 << 20);
    assert!(twice.unwrap() == [&numbers[..], &numbers].concat());
}

/// gzip's sum and size, by which the decoder in C finds where a member ends, may be in its data, too.
#[test]
fn members_of_gzip_that_hold_their_own_sum() {
    // "hello" stored; its sum and size in the name and, as in any file, at the end.
    let trailer = b"\x86\xa6\x10\x36\x05\0\0\0";
    let header = b"\x1f\x8b\x08\x04\0\0\0\0\x02\x03\x08\0";
    let data = b"\x01\x05\0\xfa\xffhello";
    let one = [&header[..], trailer, data, trailer].concat();
    for count in 1..4 {
        let file = one.repeat(count);
        every_codec(|decode| {
            let mut out = vec![0; 5 * count];
            let stream = Stream::of(&file).unwrap();
            assert_eq!(decode(&stream, &mut out), Ok(out.len()));
            assert_eq!(out, b"hello".repeat(count));
        });
    }
}

/// LZ4 and zstd let other programs put frames of their own between theirs; pzstd's come first.
#[test]
fn frames_that_are_skipped() {
    let twice = [numbers(), numbers()].concat();
    for (name, damage) in [
        ("lz4", "offset 0x24: header checksum of lz4 is "),
        ("zst", "offset 0x16: the zstd stream is damaged"),
    ] {
        let one = sample(&format!("packed/numbers.{name}"));
        let skipped = b"\x5f\x2a\x4d\x18\x03\0\0\0abc";
        let file = [skipped, skipped, &one[..], skipped, skipped, &one, skipped].concat();
        let stream = Stream::of(&file).unwrap();
        every_codec(|decode| {
            let mut out = vec![0; twice.len()];
            assert_eq!(decode(&stream, &mut out), Ok(twice.len()), "{name}");
            assert!(out == twice, "{name}");
        });
        assert!(stream.to_vec(&mut Rust, 1 << 20).unwrap() == twice);
        let mut changed = file.clone();
        changed[2 * skipped.len() + 6] ^= 0x08;
        let error = Stream::of(&changed).unwrap().to_vec(&mut Rust, 1 << 20);
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with(damage), "{name}: {text}");
    }
}

/// As all that is cut: not something else behind the stream, nor damage of what comes before it.
#[test]
fn frames_that_are_skipped_and_cut() {
    for (name, compression) in [("lz4", Compression::Lz4), ("zst", Compression::Zstd)] {
        let one = sample(&format!("packed/numbers.{name}"));
        let skipped = b"\x5f\x2a\x4d\x18\x03\0\0\0abc";
        let zeros = [0; 4];
        for before in [
            vec![],
            skipped.to_vec(),
            one.clone(),
            [&one[..], skipped].concat(),
            [&one[..], &zeros].concat(),
            [&one[..], &zeros, skipped].concat(),
        ] {
            for len in 2..skipped.len() {
                let file = [&before[..], &skipped[..len]].concat();
                let stream = Stream {
                    compression,
                    bytes: &file,
                    offset: 0,
                    unpacked_size: None,
                };
                let cut = Error::Incomplete {
                    what: compression.name(),
                    offset: before.len() as u64,
                };
                every_codec(|decode| {
                    let found = decode(&stream, &mut vec![0; numbers().len()]);
                    assert_eq!(found, Err(cut), "{name}: {len}");
                });
            }
        }
    }
    // Of other formats it is none.
    let file = [&sample("packed/numbers.gz")[..], b"\x5f\x2a\x4d\x18\x03"].concat();
    every_codec(|decode| {
        let found = decode(&Stream::of(&file).unwrap(), &mut vec![0; numbers().len()]);
        assert!(matches!(found, Err(Error::Trailing { .. })));
    });
}

#[test]
fn each_frame_of_zstd_is_verified() {
    // Stored as it is: flags, content size, the header of the last block, its bytes.
    let hello = b"\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello";
    let numbers = sample("packed/numbers.zst");
    let sum = numbers.len() - 1;
    let file = [&numbers[..], hello].concat();
    let size = numbers.len() + 5;
    every_codec(|decode| {
        let mut decoded = |file: &[u8]| {
            let stream = Stream::of(file).unwrap();
            decode(&stream, &mut vec![0; 1 << 16])
        };
        assert_eq!(decoded(&file), Ok(28_893 + 5));
        let mut changed = |at: usize, to: u8| {
            let mut file = file.clone();
            file[at] = to;
            decoded(&file).unwrap_err()
        };
        let sum_of_the_first = changed(sum, 0);
        assert!(
            matches!(sum_of_the_first, Error::Checksum { offset, .. } if offset == sum as u64 - 3),
            "{sum_of_the_first}"
        );
        for (at, to, text) in [
            (
                size,
                6,
                "offset 0x1918: Frame_Content_Size is 0x6, allowed: the bytes that the frame's blocks come to",
            ),
            // A block that is longer than the file.
            (size + 2, 1, "offset 0x1918: the zstd stream is damaged"),
        ] {
            assert_eq!(changed(at, to).to_string(), text);
        }
        let dictionary = b"\x28\xb5\x2f\xfd\x21\x07\x05\x29\0\0hello";
        assert_eq!(
            decoded(dictionary).unwrap_err().to_string(),
            "offset 0x0: dictionary of zstd 0x7 is not supported"
        );
    });
}

#[test]
fn errors_count_from_the_start_of_the_file() {
    for (name, compression, _) in NUMBERS {
        let mut file = sample(&format!("packed/{name}"));
        let middle = file.len() / 2;
        file.truncate(middle);
        let stream = Stream {
            compression: *compression,
            bytes: &file,
            offset: 1 << 40,
            unpacked_size: None,
        };
        let error = stream.to_vec(&mut Rust, 1 << 20);
        let text = error.map(drop).unwrap_err().to_string();
        assert!(text.starts_with("offset 0x10000"), "{name}: {text}");
    }
}

/// A kernel with this payload: the head of a real one, the rest as its build would lay it out.
fn kernel(payload: &[u8]) -> Vec<u8> {
    let mut file = sample("kernel/vmlinuz-6.12.107+deb12-cloud-amd64.head");
    file.resize(20_480 + 0x2cc, 0);
    file.extend(payload);
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file
}

fn stream(file: &[u8]) -> Stream<'_> {
    let payload = BzImage::parse(file).unwrap().payload().unwrap().unwrap();
    payload.stream().unwrap()
}

#[test]
fn payloads_of_kernels_with_their_size_behind_them() {
    let numbers = numbers();
    for (name, compression, _) in NUMBERS {
        let mut payload = sample(&format!("packed/{name}"));
        if *compression != Compression::Gzip {
            payload.extend((numbers.len() as u32).to_le_bytes());
        }
        let mut file = kernel(&payload);
        let found = stream(&file).to_vec(&mut Rust, numbers.len());
        assert!(found.unwrap() == numbers, "{name}");
        let error = stream(&file).to_vec(&mut Rust, numbers.len() - 1);
        assert!(
            matches!(error, Err(Error::Full { limit: 28_892, .. })),
            "{name}"
        );

        // A size that is not the payload's: one less, and one more.
        let at = file.len() - 4;
        for size in [28_892_u32, 28_894] {
            file[at..].copy_from_slice(&size.to_le_bytes());
            let error = stream(&file).to_vec(&mut Rust, 1 << 20).unwrap_err();
            let text = if *compression == Compression::Gzip && size > 28_893 {
                // There is room for all of it, and the size is gzip's own.
                format!(
                    "offset {at:#x}: ISIZE is {size:#x}, allowed: the bytes of the data, modulo 2^32"
                )
            } else {
                format!(
                    "size behind the payload is {size:#x}, allowed: the size that the payload has when decompressed"
                )
            };
            assert!(error.to_string().ends_with(&text), "{name}: {error}");
        }
    }
}

#[test]
fn data_of_uimages_that_is_compressed() {
    let gz = sample("packed/numbers.gz");
    let made = |compression| {
        let header = Header {
            compression,
            ..Header::default()
        };
        let files: [&[u8]; 1] = [&gz];
        let builder = Builder::try_new(header, &files).unwrap();
        let mut out = vec![0; builder.emitted_len()];
        builder.emit(&mut out).unwrap();
        out
    };
    let file = made(uimage::Compression::GZIP);
    let stream = Uimage::parse(&file).unwrap().stream().unwrap().unwrap();
    assert_eq!(stream.offset, 64);
    assert!(stream.to_vec(&mut Rust, 1 << 20).unwrap() == numbers());
    let file = made(uimage::Compression::NONE);
    assert_eq!(Uimage::parse(&file).unwrap().stream(), Ok(None));
}

#[test]
fn uimages_whose_data_is_not_what_they_say() {
    let gz = sample("packed/numbers.gz");
    let check = |kind, compression, data: &[u8]| {
        let header = Header {
            kind,
            compression,
            ..Header::default()
        };
        let files = [data, b"more"];
        let files = if kind == Type::MULTI {
            &files[..]
        } else {
            &files[..1]
        };
        let builder = Builder::try_new(header, files).unwrap();
        let mut out = vec![0; builder.emitted_len()];
        builder.emit(&mut out).unwrap();
        let stream = Uimage::parse(&out).unwrap().stream();
        stream.map(|found| found.map(|stream| (stream.offset, stream.compression)))
    };
    let found = |offset| Ok(Some((offset, Compression::Gzip)));
    for kind in [
        Type::KERNEL,
        Type::KERNEL_NOLOAD,
        Type::STANDALONE,
        Type::MULTI,
    ] {
        // Behind the sizes of two files, and a 0.
        let offset = if kind == Type::MULTI { 76 } else { 64 };
        assert_eq!(check(kind, uimage::Compression::GZIP, &gz), found(offset));
        for (compression, data, allowed) in [
            (
                uimage::Compression::BZIP2,
                &gz[..],
                "0 (none), 1 (gzip), as which the data starts",
            ),
            (
                uimage::Compression::GZIP,
                b"\x1f\x0b",
                "0 (none): the data starts as nothing that is compressed",
            ),
            (
                uimage::Compression::GZIP,
                b"\xfd7zXZ",
                "0 (none): the data starts as xz, which has no number",
            ),
        ] {
            let error = check(kind, compression, data).unwrap_err().to_string();
            let compression = compression.0;
            let wrong = format!("offset 0x1f: ih_comp is {compression:#x}, allowed: {allowed}");
            assert_eq!(error, wrong);
        }
        // A code without a name.
        assert_eq!(check(kind, uimage::Compression(77), b"data"), Ok(None));
    }
    // mkimage writes gzip where nothing is said.
    assert_eq!(
        check(Type::RAMDISK, uimage::Compression::GZIP, b"0707"),
        Ok(None)
    );
    assert_eq!(
        check(Type::RAMDISK, uimage::Compression::BZIP2, &gz),
        found(64)
    );
}
