//! How many bytes a stream has when decompressed, where it says so itself.
//!
//! ```text
//!  gzip     in its last four bytes, modulo 2^32         zstd     in a frame's header, or 128 KiB a block at most
//!  lzma     in its header, if at all                    lz4      the same, of 64 KiB to 4 MiB a block
//!  xz       in the index at its end                     legacy   8 MiB a block at most
//!  lzo      in front of each block                      bzip2    nowhere
//! ```
//!
//! Nobody vouches for it: it is a good size to try, no more.

use super::{Stream, reader::Reader};
use crate::Compression;

/// The size that `stream` tells, or the most that it can have; `None` if there is no telling.
pub(super) fn told(stream: &Stream<'_>) -> Option<u64> {
    let mut reader = Reader::new(stream);
    match stream.compression {
        Compression::Gzip => {
            let size = stream.bytes.last_chunk().copied()?;
            // Padding behind it tells nothing.
            Some(u32::from_le_bytes(size).into()).filter(|size| *size != 0)
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
        #[cfg(feature = "lz4")]
        Compression::Lz4 => super::lz4::most_of_frames(stream),
        #[cfg(feature = "zstd")]
        Compression::Zstd => super::zstd::most(stream),
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
