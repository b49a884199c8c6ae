//! How many bytes a stream has when decompressed, where it says so itself.
//!
//! ```text
//!  gzip     in its last four bytes, modulo 2^32         zstd     in the first frame's header, if at all
//!  lzma     in its header, if at all                    lz4      in the frame's header, if at all
//!  xz       in the index at its end                     legacy   8 MiB a block at most
//!  lzo      in front of each block                      bzip2    nowhere
//! ```
//!
//! Nobody vouches for it: it is a good size to try, no more, and no more than a stream of so many bytes can
//! have.

use super::{Stream, reader::Reader};
use crate::{Compression, compression::past_skippable};

/// The size that `stream` tells, or the most that it can have; `None` if there is no telling.
pub(super) fn told(stream: &Stream<'_>) -> Option<u64> {
    let mut reader = Reader::new(stream);
    match stream.compression {
        Compression::Gzip => {
            let size = stream.bytes.last_chunk().copied()?;
            Some(u32::from_le_bytes(size).into())
        }
        Compression::Lzma => {
            reader.bytes(5).ok()?;
            let size = u64::from_le_bytes(reader.array().ok()?);
            (size != u64::MAX).then_some(size)
        }
        #[cfg(feature = "xz")]
        Compression::Xz => super::xz::unpacked_size(stream),
        #[cfg(feature = "lzo")]
        Compression::Lzo => super::lzop::unpacked_size(stream),
        #[cfg(feature = "lz4")]
        Compression::Lz4Legacy => super::lz4::most_of_legacy(stream),
        Compression::Lz4 => {
            reader.bytes(past_skippable(stream.bytes, 0)).ok()?;
            let [.., flags, _] = reader.array::<6>().ok()?;
            let size = reader.array().ok()?;
            (flags & 1 << 3 != 0).then_some(u64::from_le_bytes(size))
        }
        Compression::Zstd => {
            reader.bytes(past_skippable(stream.bytes, 0)).ok()?;
            frame_content_size(&mut reader)
        }
        _ => None,
    }
}

/// Bytes that none of the formats makes of one, or more.
pub(super) const fn expansion(compression: Compression) -> usize {
    match compression {
        // A match of 258 bytes, the most there is, takes two bits: RFC 1951, 3.2.5.
        Compression::Gzip => 258 * 4,
        // A byte of 255 in a length.
        Compression::Lz4 | Compression::Lz4Legacy | Compression::Lzo => 255,
        // A match of 273 bytes takes fourteen bits of the range coder, each with a probability of up to 2017/2048:
        // 7,090.
        Compression::Lzma | Compression::Xz => 1 << 13,
        // 128 KiB of an `RLE_Block` take four bytes: RFC 8878, 3.1.1.2.
        Compression::Zstd => 1 << 15,
        // 900,000 bytes of a block, which are 51 times as many before their runs were shortened, take 24 bytes: 1,912,500.
        Compression::Bzip2 => 1 << 21,
    }
}

/// `Frame_Content_Size` of RFC 8878.
fn frame_content_size(reader: &mut Reader<'_>) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let [.., descriptor] = reader.array::<5>().ok()?;
    let window = usize::from(descriptor & SINGLE_SEGMENT == 0);
    let dictionary = match descriptor & 3 {
        3 => 4,
        len => usize::from(len),
    };
    // No overflow: a few bytes.
    reader.bytes(window.saturating_add(dictionary)).ok()?;
    match descriptor >> 6 {
        0 if window == 1 => None,
        0 => reader.array().ok().map(|[size]| size.into()),
        1 => {
            let size = u16::from_le_bytes(reader.array().ok()?);
            Some(u64::from(size).saturating_add(256))
        }
        2 => reader
            .array()
            .ok()
            .map(|size| u32::from_le_bytes(size).into()),
        _ => reader.array().ok().map(u64::from_le_bytes),
    }
}
