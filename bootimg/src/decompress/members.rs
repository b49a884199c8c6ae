//! Streams one behind the other, as one.
//!
//! ```text
//!  stream │ zeros? │ stream │ zeros? │ …
//! ```

use super::Stream;
use crate::{
    Compression,
    error::{Error, Result},
};

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
    loop {
        let room = out.get_mut(written..).unwrap_or_default();
        let found = member(&behind(read), room).map_err(|error| match error {
            Error::Full { .. } => stream.full(limit),
            error => error,
        })?;
        // No overflow: inside of slices.
        read = read.saturating_add(found.read);
        written = written.saturating_add(found.written);
        let rest = behind(read).bytes;
        let Some(padding) = rest.iter().position(|&byte| byte != 0) else {
            return Ok(written);
        };
        read = read.saturating_add(padding);
        let next = behind(read);
        if Compression::of(next.bytes) != Some(stream.compression) {
            return Err(Error::Trailing {
                what: stream.compression.name(),
                offset: next.offset,
            });
        }
    }
}
