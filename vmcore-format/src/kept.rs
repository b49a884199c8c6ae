//! Bytes of a file that an opened dump keeps: notes and texts.
//!
//! A source that lends them lends them again; from others they are copied once, at open, and never more of
//! them than a limit.

#![deny(clippy::arithmetic_side_effects)]

use alloc::{vec, vec::Vec};

use crate::{Error, ReadAt};

/// What the notes of a dump may come to, in bytes, if they must be copied. 8,192 CPUs write 3 MB of registers; the rest is
/// room for the device dumps that drivers append (`NT_VMCOREDD`).
pub(crate) const COPIED_MAX: u64 = 64 << 20;

/// How notes are padded where no header says it.
pub(crate) const NOTE_ALIGN: u64 = 4;

/// A stretch of the file.
#[derive(Debug)]
pub(crate) enum Kept {
    /// So many bytes at this offset, which the source lends.
    Lent { offset: u64, len: usize },
    /// Copied out of a source that does not lend.
    Owned(Vec<u8>),
}

impl Kept {
    /// Keeps `len` bytes at `offset`. What must be copied is taken off `left`; if that is not enough, the error is
    /// `too_long`.
    pub(crate) fn read<S: ReadAt + ?Sized>(
        source: &S,
        what: &'static str,
        (offset, len): (u64, u64),
        left: &mut u64,
        too_long: Error,
    ) -> Result<Self, Error> {
        let size = inside(source, offset, len, what)?;
        if source.lend_at(offset, size).is_some() {
            return Ok(Self::Lent { offset, len: size });
        }
        *left = left.checked_sub(len).ok_or(too_long)?;
        read(source, offset, len, what).map(Self::Owned)
    }

    pub(crate) fn bytes<'s, S: ReadAt + ?Sized>(&'s self, source: &'s S) -> &'s [u8] {
        match self {
            // What was lent at open is lent again.
            Self::Lent { offset, len } => source.lend_at(*offset, *len).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Copies bytes that the file is long enough for, so no count in it sizes an allocation.
pub(crate) fn read<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    len: u64,
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; inside(source, offset, len, what)?];
    source
        .read_exact_at(offset, &mut bytes)
        .map_err(Error::reading(what))?;
    Ok(bytes)
}

/// The length as a size in memory, if that many bytes lie in the file and were written.
pub(crate) fn inside<S: ReadAt + ?Sized>(
    source: &S,
    offset: u64,
    needed: u64,
    what: &'static str,
) -> Result<usize, Error> {
    if needed == 0 {
        return Ok(0);
    }
    // Past the end nothing is available: 0 is the true number there.
    let available = source
        .size()
        .saturating_sub(offset)
        .min(source.stored_size());
    usize::try_from(needed)
        .ok()
        .filter(|_| needed <= available)
        .ok_or(Error::Truncated {
            what,
            offset,
            needed,
            available,
        })
}

/// A list of notes, or why it cannot be had.
#[derive(Debug)]
pub(crate) struct NoteList {
    pub(crate) offset: u64,
    pub(crate) align: u64,
    pub(crate) bytes: Result<Kept, Error>,
    /// Why they are not all of it.
    pub(crate) cut: Option<Error>,
}
