//! zstd, by ruzstd: all frames of the stream.
//!
//! Of several frames that have a checksum, that of the last is compared: ruzstd shows no other. The window, up to 128 MiB, is in memory beside the output.

use ruzstd::decoding::{FrameDecoder, errors::FrameDecoderError};

use super::Stream;
use crate::error::Result;

pub(super) fn decode(stream: &Stream<'_>, out: &mut [u8]) -> Result<usize> {
    let mut decoder = FrameDecoder::new();
    let limit = out.len();
    let written = match decoder.decode_all(stream.bytes, out) {
        Ok(written) => written,
        Err(FrameDecoderError::TargetTooSmall) => return Err(stream.full(limit)),
        Err(_) => return Err(stream.corrupt(0)),
    };
    let sums = decoder
        .get_checksum_from_data()
        .zip(decoder.get_calculated_checksum());
    if let Some((stored, computed)) = sums {
        stream.check(0, "checksum of zstd", stored, computed)?;
    }
    Ok(written)
}
