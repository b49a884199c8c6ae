//! Decoders in C.

use super::{Codec, Rust, Stream};
#[cfg(feature = "native-zlib")]
use super::{
    gzip,
    members::{self, Member},
};
#[cfg(feature = "native-zlib")]
use crate::Compression;
use crate::error::Result;

/// The decoders in C where they were built in: gzip by libdeflate, zstd by its own library. All else
/// is left to [`Rust`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Native;

impl Codec for Native {
    fn decode(&mut self, stream: &Stream<'_>, out: &mut [u8]) -> Result<usize> {
        match stream.compression {
            #[cfg(feature = "native-zlib")]
            Compression::Gzip => members::decode(stream, out, member),
            #[cfg(feature = "native-zstd")]
            crate::Compression::Zstd => zstd(stream, out),
            _ => Rust.decode(stream, out),
        }
    }
}

#[cfg(feature = "native-zlib")]
fn member(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    use libdeflater::{DecompressionError, Decompressor};

    let limit = out.len();
    let decoded = Decompressor::new().gzip_decompress(stream.bytes, out);
    let written = decoded.map_err(|error| match error {
        DecompressionError::InsufficientSpace => stream.full(limit),
        DecompressionError::BadData => stream.corrupt(0),
    })?;
    let [a, b, c, d, ..] = written.to_le_bytes();
    let found = out.get(..written).unwrap_or_default();
    let [e, f, g, h] = libdeflater::crc32(found).to_le_bytes();
    // It does not say where the member ends; but somewhere it ends with its sum and its size.
    let trailer = [e, f, g, h, a, b, c, d];
    let first = memchr::memmem::find(stream.bytes, &trailer);
    let read = stream.bytes.len();
    if first.is_some() && first == read.checked_sub(trailer.len()) {
        Ok(Member { read, written })
    } else {
        // More follows, or the same eight bytes are inside of it.
        gzip::decode(stream, out)
    }
}

/// Of a frame that ends early, too, the library says that the output is too short: then the window
/// is of no use.
#[cfg(feature = "native-zstd")]
fn zstd(stream: &Stream<'_>, out: &mut [u8]) -> Result<usize> {
    let limit = out.len();
    let decoded = zstd_safe::DCtx::create().decompress(out, stream.bytes);
    decoded.map_err(|code| {
        if zstd_safe::get_error_name(code) == "Destination buffer is too small" {
            stream.full(limit)
        } else {
            stream.corrupt(0)
        }
    })
}
