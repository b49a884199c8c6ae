//! zstd, by structured-zstd: a frame, and those behind it that are for others to read.
//!
//! Source: RFC 8878.

use structured_zstd::decoding::{
    ContentChecksum, FrameDecoder, FrameSizeError,
    errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError},
    find_frame_compressed_size, frame_decompressed_bound,
};

use super::{Stream, members::Member};
use crate::{
    compression::past_skippable,
    error::{Error, Field, Result},
};

const CONTENT_SIZE: Field = Field {
    name: "Frame_Content_Size",
    allowed: "the bytes that the frame's blocks come to",
};
/// Bytes of a checksum.
const SUM: usize = 4;

pub(super) fn decode(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let (start, end) = frame(stream)?;
    let bytes = stream.bytes.get(start..end).unwrap_or_default();
    let limit = out.len();
    let mut decoder = FrameDecoder::new();
    decoder.set_content_checksum(ContentChecksum::Verify);
    let written = decoder.decode_all(bytes, out);
    let written =
        written.map_err(|error| match error {
            FrameDecoderError::TargetTooSmall => stream.full(limit),
            FrameDecoderError::ChecksumMismatch {
                expected: stored,
                calculated: computed,
            } => Error::Checksum {
                what: "checksum of zstd",
                offset: stream.place(end.saturating_sub(SUM)),
                stored: stored.into(),
                computed: computed.into(),
            },
            FrameDecoderError::FrameContentSizeMismatch { declared, .. } => Error::BadField {
                field: &CONTENT_SIZE,
                offset: stream.place(start),
                value: declared,
            },
            FrameDecoderError::WindowSizeTooBig { requested, .. }
            | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig {
                got: requested,
            }) => Error::Unsupported {
                what: "window of zstd",
                offset: stream.place(start),
                value: requested,
            },
            FrameDecoderError::DictNotProvided { dict_id } => Error::Unsupported {
                what: "dictionary of zstd",
                offset: stream.place(start),
                value: dict_id.into(),
            },
            _ => {
                // Up to where it came.
                let read = usize::try_from(decoder.bytes_read_from_source()).unwrap_or_default();
                stream.corrupt(start.saturating_add(read))
            }
        })?;
    Ok(Member {
        read: past_skippable(stream.bytes, end),
        written,
    })
}

/// The most that the frames can have when decompressed: their sizes where they say them, or those of their blocks.
pub(super) fn most(stream: &Stream<'_>) -> Option<u64> {
    let (mut at, mut most) = (0, 0_u64);
    loop {
        let rest = Stream {
            bytes: stream.bytes.get(at..)?,
            ..*stream
        };
        // Up to the padding.
        if rest.bytes.iter().all(|&byte| byte == 0) {
            return Some(most);
        }
        let (start, end) = frame(&rest).ok()?;
        let of_frame = frame_decompressed_bound(rest.bytes.get(start..end)?).ok()?;
        most = most.checked_add(of_frame)?;
        at = past_skippable(stream.bytes, at.checked_add(end)?);
    }
}

/// Where the first frame with data starts and ends.
pub(super) fn frame(stream: &Stream<'_>) -> Result<(usize, usize)> {
    let start = past_skippable(stream.bytes, 0);
    let bytes = stream.bytes.get(start..).unwrap_or_default();
    let len = find_frame_compressed_size(bytes).map_err(|error| match error {
        FrameSizeError::Header(
            ReadFrameHeaderError::BadMagicNumber(_)
            | ReadFrameHeaderError::InvalidFrameDescriptor(_),
        )
        | FrameSizeError::ReservedBlock
        | FrameSizeError::OversizedBlock => stream.corrupt(start),
        FrameSizeError::Header(_) | FrameSizeError::Truncated => stream.incomplete(start),
    })?;
    // No overflow: inside a slice.
    Ok((start, start.saturating_add(len)))
}
