//! One page decoded: each method over the pages of the small dump, those that are zero left out.
//!
//! The limit is to copy the pages. Peers are the crates and C libraries that others would call; ours
//! checks headers, lengths and what follows a page on top of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use std::hint::black_box;

use benches::race::Race;
use physmem::{PhysMemory, runs};
use vmcore_format::{
    Dump,
    codec::{Builtin, Codec, Method, Pure},
};

const PAGE: usize = 4096;

fn main() {
    let pages = pages();
    for method in [Method::ZLIB, Method::LZO, Method::SNAPPY, Method::ZSTD] {
        race(method, &pages);
    }
}

fn pages() -> Vec<Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kdump.elf");
    let file = std::fs::read(path).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let memory = dump.reader();
    let mut pages = Vec::new();
    for run in runs(&memory) {
        let len = usize::try_from(run.size()).unwrap();
        let bytes = memory.lend(run.start(), len).unwrap();
        pages.extend(bytes.chunks_exact(PAGE).map(<[u8]>::to_vec));
    }
    pages.retain(|page| page.iter().any(|byte| *byte != 0));
    pages
}

fn compressed(method: Method, page: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2 * PAGE];
    let len = match method {
        Method::ZLIB => {
            let level = libdeflater::CompressionLvl::new(1).unwrap();
            let mut encoder = libdeflater::Compressor::new(level);
            encoder.zlib_compress(page, &mut out).unwrap()
        }
        Method::LZO => return lzokay::compress::compress(page).unwrap(),
        Method::SNAPPY => snap::raw::Encoder::new().compress(page, &mut out).unwrap(),
        _ => zstd_safe::compress(&mut out[..], page, 1).unwrap(),
    };
    out.truncate(len);
    out
}

fn race(method: Method, pages: &[Vec<u8>]) {
    let sources: Vec<_> = pages.iter().map(|page| compressed(method, page)).collect();
    let bytes: usize = sources.iter().map(Vec::len).sum();
    let ratio = bytes * 1000 / (pages.len() * PAGE);
    let mut builtin = Builtin::default();
    let mut pure = Pure::default();
    let title = format!(
        "a page decoded, {method}, {} pages, ratio .{ratio}",
        pages.len()
    );
    let race = Race::new(title, pages.len(), "page")
        .enter("copied", || {
            all(pages, |page, out| out.copy_from_slice(page))
        })
        .enter("vmcore-format, Builtin", || {
            all(&sources, |src, out| {
                _ = builtin.decode(method, src, out).unwrap()
            })
        })
        .enter("vmcore-format, Pure", || {
            all(&sources, |src, out| {
                _ = pure.decode(method, src, out).unwrap()
            })
        });
    match method {
        Method::ZLIB => {
            let mut decoder = libdeflater::Decompressor::new();
            race.enter("libdeflate", || {
                all(&sources, |src, out| {
                    _ = decoder.zlib_decompress(src, out).unwrap()
                })
            })
            .run();
        }
        Method::LZO => race
            .enter("lzokay", || {
                all(&sources, |src, out| {
                    _ = lzokay::decompress::decompress(src, out).unwrap()
                })
            })
            .run(),
        Method::SNAPPY => {
            let mut decoder = snap::raw::Decoder::new();
            race.enter("snap", || {
                all(&sources, |src, out| {
                    _ = decoder.decompress(src, out).unwrap()
                })
            })
            .run();
        }
        _ => {
            let mut context = zstd_safe::DCtx::create();
            race.enter("libzstd, context kept", || {
                all(&sources, |src, out| {
                    _ = context.decompress(out, src).unwrap()
                })
            })
            .run();
        }
    }
}

/// Decodes all pages; what they add up to, a byte each.
fn all(sources: &[Vec<u8>], mut decode: impl FnMut(&[u8], &mut [u8])) -> u64 {
    let mut out = vec![0; PAGE];
    let sums = sources.iter().enumerate().map(|(number, src)| {
        decode(src, &mut out);
        u64::from(black_box(&out)[number * 7 % PAGE])
    });
    sums.sum()
}
