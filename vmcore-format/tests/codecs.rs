//! Real pages, compressed by other programs' encoders, and what becomes of them when bytes change.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests"
)]
#![cfg(all(feature = "zlib", feature = "lzo", feature = "snappy"))]

use std::{fs, path::Path};

use physmem::{Absence, PhysMemory};
use proptest::prelude::*;
use vmcore_format::{
    Dump,
    codec::{Builtin, Codec, Method, Pure},
};

const METHODS: [Method; 4] = [Method::ZLIB, Method::LZO, Method::SNAPPY, Method::ZSTD];

/// The blocks of `size` bytes that the small dump has, zeros included.
fn blocks(size: usize) -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kdump.elf");
    let file = fs::read(path).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let memory = dump.reader();
    let mut bytes = Vec::new();
    for (range, absence) in dump.ranges() {
        assert_eq!(absence, None);
        let mut run = vec![0; range.size() as usize];
        memory.read(range.start(), &mut run).unwrap();
        bytes.extend(run);
    }
    let blocks: Vec<Vec<u8>> = bytes.chunks_exact(size).map(<[u8]>::to_vec).collect();
    assert!(blocks.len() > 20);
    blocks
}

/// As makedumpfile compresses.
fn compressed(method: Method, page: &[u8]) -> Vec<u8> {
    compressed_with(method, page, false)
}

/// `checksum`: zstd frames have one, too. makedumpfile writes none.
fn compressed_with(method: Method, page: &[u8], checksum: bool) -> Vec<u8> {
    match method {
        Method::ZLIB => {
            let level = libdeflater::CompressionLvl::new(1).unwrap();
            let mut encoder = libdeflater::Compressor::new(level);
            let mut out = vec![0; encoder.zlib_compress_bound(page.len())];
            let len = encoder.zlib_compress(page, &mut out).unwrap();
            out.truncate(len);
            out
        }
        Method::LZO => lzokay::compress::compress(page).unwrap(),
        Method::SNAPPY => snap::raw::Encoder::new().compress_vec(page).unwrap(),
        Method::ZSTD => {
            let mut context = zstd_safe::CCtx::create();
            let checksum = zstd_safe::CParameter::ChecksumFlag(checksum);
            context.set_parameter(checksum).unwrap();
            let mut out = vec![0; zstd_safe::compress_bound(page.len())];
            let len = context.compress2(&mut out[..], page).unwrap();
            out.truncate(len);
            out
        }
        method => panic!("{method}"),
    }
}

fn decoded(
    codec: &mut dyn Codec,
    method: Method,
    src: &[u8],
    len: usize,
) -> Result<Vec<u8>, Absence> {
    let mut out = vec![0xaa; len];
    let decoded = codec.decode(method, src, &mut out)?;
    assert_eq!(decoded, len);
    Ok(out)
}

fn built_in() -> impl Iterator<Item = Method> {
    METHODS.into_iter().filter(|method| method.is_built_in())
}

/// Every codec there is: [`Builtin`], and where it takes native decoders also the others.
fn codecs() -> Vec<Box<dyn Codec>> {
    vec![
        Box::new(Builtin::default()),
        Box::new(Pure::default()),
        #[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
        Box::new(vmcore_format::codec::Native::default()),
    ]
}

#[test]
fn real_pages_come_back() {
    for size in [4096, 65536] {
        for page in blocks(size) {
            for method in built_in() {
                let src = compressed(method, &page);
                let mut pages = Vec::new();
                for mut codec in codecs() {
                    match decoded(&mut *codec, method, &src, size) {
                        Err(Absence::CodecMissing) => {}
                        page => pages.push(page.unwrap()),
                    }
                }
                assert!(
                    !pages.is_empty() && pages.iter().all(|other| *other == page),
                    "{method}"
                );
            }
        }
    }
}

/// The compressed pages of a dump with a 64-bit header and 4 KiB blocks, in the order of their frames.
fn pages_of(file: &[u8]) -> impl Iterator<Item = (Method, &[u8])> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let (sub_blocks, bitmap_blocks) = (word(432) as usize, word(436) as usize);
    let second = (1 + sub_blocks + bitmap_blocks / 2) * 4096;
    let table = (1 + sub_blocks + bitmap_blocks) * 4096;
    let dumped: u32 = file[second..table]
        .iter()
        .map(|byte| byte.count_ones())
        .sum();
    (0..dumped as usize).map(move |number| {
        let at = table + 24 * number;
        let (offset, size) = (word(at) as usize, word(at + 8) as usize);
        (Method(word(at + 12)), &file[offset..offset + size])
    })
}

/// Pages that makedumpfile (LZO, zlib) and others compressed with C libraries.
#[test]
fn real_dumps_decode_to_their_pages() {
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/forms");
    let list = fs::read_to_string(forms.join("pages.tsv")).unwrap();
    let crcs: Vec<u32> = list
        .lines()
        .map(|line| u32::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap())
        .collect();
    for (name, method) in [
        ("stored", Method::STORED),
        ("zlib", Method::ZLIB),
        ("lzo", Method::LZO),
        ("snappy", Method::SNAPPY),
        ("zstd", Method::ZSTD),
    ] {
        let file = fs::read(forms.join(name)).unwrap();
        assert_eq!(pages_of(&file).count(), crcs.len());
        assert!(pages_of(&file).any(|(other, _)| other == method), "{name}");
        for mut codec in codecs() {
            for ((method, src), crc) in pages_of(&file).zip(&crcs) {
                match decoded(&mut *codec, method, src, 4096) {
                    Err(Absence::CodecMissing) => {}
                    page => assert_eq!(crc32fast::hash(&page.unwrap()), *crc, "{name}"),
                }
            }
        }
    }
}

#[test]
fn a_page_of_another_size_is_damaged() {
    let mut codec = Builtin::default();
    for page in blocks(4096).iter().take(20) {
        for method in built_in() {
            let src = compressed(method, page);
            for len in [0, 1, 4095, 4097, 8192] {
                let page = decoded(&mut codec, method, &src, len);
                assert_eq!(page, Err(Absence::Damaged), "{method} {len}");
            }
            // The context is as good as new.
            assert!(decoded(&mut codec, method, &src, 4096).as_ref() == Ok(page));
        }
    }
}

#[test]
fn every_cut_is_damaged() {
    let mut codec = Builtin::default();
    for page in blocks(4096).iter().step_by(40) {
        for method in built_in() {
            let src = compressed(method, page);
            for len in 0..src.len() {
                let page = decoded(&mut codec, method, &src[..len], 4096);
                assert_eq!(page, Err(Absence::Damaged), "{method} {len}");
            }
        }
    }
}

#[test]
fn what_follows_a_page_matters_but_behind_a_checksum() {
    let mut codec = Builtin::default();
    let page = &blocks(4096)[7];
    for method in built_in() {
        for more in [&[0][..], &[0; 100], &compressed(method, page)] {
            let mut src = compressed(method, page);
            src.extend(more);
            let whole = decoded(&mut codec, method, &src, 4096);
            match method {
                Method::ZLIB => assert!(whole.as_ref() == Ok(page)),
                _ => assert_eq!(whole, Err(Absence::Damaged), "{method}"),
            }
        }
    }
}

/// A frame says whether its content is longer than a page; one that lies does not make us work for it.
#[cfg(feature = "zstd")]
#[test]
fn a_frame_that_grows_ends_with_the_page() {
    // Window of 1 KiB, no content size; blocks of 4 bytes that become 128 KiB each, and no last one.
    let mut src = b"\x28\xb5\x2f\xfd\0\0".to_vec();
    for _ in 0..50_000 {
        let block: u32 = 128 << 10 << 3 | 1 << 1;
        src.extend(&block.to_le_bytes()[..3]);
        src.push(0);
    }
    // 6 GB if it were decoded.
    assert_eq!(
        decoded(&mut Pure::default(), Method::ZSTD, &src, 4096),
        Err(Absence::Damaged)
    );
}

/// What a mutation does to compressed bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(usize, u8),
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, u8),
    Remove(usize),
}

impl Change {
    fn apply(&self, src: &mut Vec<u8>) {
        if src.is_empty() {
            return;
        }
        let len = src.len();
        match *self {
            Self::Set(at, byte) => src[at % len] = byte,
            Self::Flip(at, bit) => src[at % len] ^= 1 << (bit % 8),
            Self::Cut(at) => src.truncate(at % len),
            Self::Insert(at, byte) => src.insert(at % len, byte),
            Self::Remove(at) => _ = src.remove(at % len),
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (0..20_usize, any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<usize>().prop_map(Change::Remove),
    ];
    proptest::collection::vec(change, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Where there is a checksum, what decodes is the page, whoever decodes it.
    #[test]
    fn a_checksum_proves_the_page(changes in changes(), first in 0..300_usize) {
        let pages = blocks(4096);
        let mut codecs = codecs();
        for page in pages.iter().skip(first).take(10) {
            for method in [Method::ZLIB, Method::ZSTD] {
                let mut src = compressed_with(method, page, true);
                for change in &changes {
                    change.apply(&mut src);
                }
                for codec in &mut codecs {
                    let decoded = decoded(&mut **codec, method, &src, 4096);
                    prop_assert!(decoded.is_err() || decoded.as_ref() == Ok(page), "{method}");
                }
            }
        }
    }

    /// snap and lzokay are other implementations of the same descriptions.
    #[test]
    fn snappy_and_lzo_are_what_others_say(changes in changes(), first in 0..300_usize) {
        let mut codec = Pure::default();
        for page in blocks(4096).iter().skip(first).take(10) {
            for method in [Method::SNAPPY, Method::LZO] {
                let mut src = compressed(method, page);
                for change in &changes {
                    change.apply(&mut src);
                }
                let mut out = vec![0; 4096];
                let len = match method {
                    Method::LZO => lzokay::decompress::decompress(&src, &mut out).ok(),
                    _ => snap::raw::Decoder::new().decompress(&src, &mut out).ok(),
                };
                let peer = len.filter(|len| *len == out.len()).map(|_| out);
                let ours = decoded(&mut codec, method, &src, 4096).ok();
                prop_assert!(ours == peer, "{method}: {} {}", ours.is_some(), peer.is_some());
            }
        }
    }

    /// Any bytes at all.
    #[test]
    fn anything_decodes_or_is_damaged(
        src in proptest::collection::vec(any::<u8>(), 0..300),
        len in 0..5000_usize,
    ) {
        let mut codec = Builtin::default();
        for method in built_in() {
            let page = decoded(&mut codec, method, &src, len);
            prop_assert!(page.is_ok() || page == Err(Absence::Damaged));
        }
    }
}
