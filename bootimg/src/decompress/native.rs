//! Decoders in C.

#[cfg(feature = "native-zlib")]
use super::gzip;
#[cfg(feature = "native-zstd")]
use super::zstd;
use super::{
    Codec, Rust, Stream,
    members::{self, Member},
};
#[cfg(feature = "native-zstd")]
use crate::compression::past_skippable;
use crate::{Compression, error::Result};

/// The decoders in C where they were built in: gzip by libdeflate, zstd by its own library. All else
/// is left to [`Rust`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Native;

impl Codec for Native {
    fn decode(&mut self, stream: &Stream<'_>, out: &mut [u8]) -> Result<usize> {
        match stream.compression {
            #[cfg(feature = "native-zlib")]
            Compression::Gzip => members::decode(stream, out, gzip_member),
            #[cfg(feature = "native-zstd")]
            Compression::Zstd => members::decode(stream, out, zstd_frame),
            _ => Rust.decode(stream, out),
        }
    }
}

#[cfg(feature = "native-zlib")]
fn gzip_member(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    use libdeflater::{DecompressionError, Decompressor};

    let limit = out.len();
    let decoded = Decompressor::new().gzip_decompress(stream.bytes, out);
    let written = match decoded {
        Ok(written) => written,
        Err(DecompressionError::InsufficientSpace) => return Err(stream.full(limit)),
        // It does not say what is wrong, and where.
        Err(DecompressionError::BadData) => return gzip::decode(stream, out),
    };
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

#[cfg(feature = "native-zstd")]
fn zstd_frame(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let (start, end) = zstd::frame(stream)?;
    let frame = stream.bytes.get(start..end).unwrap_or_default();
    match zstd_safe::DCtx::create().decompress(out, frame) {
        Ok(written) => Ok(Member {
            read: past_skippable(stream.bytes, end),
            written,
        }),
        // All of the frame is there, so it is true.
        Err(code) if zstd_safe::get_error_name(code) == "Destination buffer is too small" => {
            Err(stream.full(out.len()))
        }
        // It does not say where, nor which sums differ.
        Err(_) => zstd::decode(stream, out),
    }
}
