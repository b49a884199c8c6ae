//! Streams one behind the other, as one.
//!
//! ```text
//!  stream │ zeros? │ stream │ zeros? │ …
//! ```
//!
//! Zeros are padding whatever the format, as they are to Linux between the archives of an initramfs
//! (`init/initramfs.c`, `unpack_to_rootfs`); of xz, which alone has a rule for it, in units of four ("Stream
//! Padding" of `doc/xz-file-format.txt`).

use super::Stream;
use crate::{
    Compression,
    compression::past_skippable,
    error::{Error, Result},
};

/// Whether so many zeros are padding.
const fn is_padding(compression: Compression, zeros: usize) -> bool {
    match compression {
        Compression::Xz => zeros % 4 == 0,
        _ => true,
    }
}

/// Skippable frames are whole that come before a frame, or behind the last one. One shows in its second byte, as all that
/// [`Compression::of`] knows.
fn skippable_are_whole(stream: &Stream<'_>) -> Result<()> {
    if !matches!(stream.compression, Compression::Lz4 | Compression::Zstd) {
        return Ok(());
    }
    let end = past_skippable(stream.bytes, 0);
    match stream.bytes.get(end..) {
        Some(
            [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..],
        ) => Err(stream.incomplete(end)),
        _ => Ok(()),
    }
}

/// A stream that was decompressed, one of several perhaps.
pub(super) struct Member {
    /// The bytes that were its own.
    pub(super) read: usize,
    /// The bytes that came of it.
    pub(super) written: usize,
}

/// Decompresses all of them, each by `member`.
pub(super) fn decode(
    stream: &Stream<'_>,
    out: &mut [u8],
    member: impl Fn(&Stream<'_>, &mut [u8]) -> Result<Member>,
) -> Result<usize> {
    let limit = out.len();
    let behind = |at: usize| Stream {
        bytes: stream.bytes.get(at..).unwrap_or_default(),
        offset: stream.place(at),
        ..*stream
    };
    let (mut read, mut written) = (0_usize, 0_usize);
    skippable_are_whole(stream)?;
    loop {
        let room = out.get_mut(written..).unwrap_or_default();
        let found = member(&behind(read), room).map_err(|error| match error {
            Error::Full { .. } => stream.full(limit),
            error => error,
        })?;
        // No overflow: inside of slices.
        read = read.saturating_add(found.read);
        written = written.saturating_add(found.written);
        let rest = behind(read);
        let zeros = rest.bytes.iter().position(|&byte| byte != 0);
        let zeros = zeros.unwrap_or(rest.bytes.len());
        read = read.saturating_add(zeros);
        let next = behind(read);
        let trailing = |offset| Error::Trailing {
            what: stream.compression.name(),
            offset,
        };
        if !is_padding(stream.compression, zeros) {
            return Err(trailing(rest.offset));
        }
        if next.bytes.is_empty() {
            return Ok(written);
        }
        skippable_are_whole(&next)?;
        if Compression::of(next.bytes) != Some(stream.compression) {
            return Err(trailing(next.offset));
        }
    }
}
