//! Memory and its place in a file.
//!
//! ```text
//!  memory   ──[███ range ███]──
//!                  ╲
//!  file     ────────[███ offset, as long ███]──
//! ```

#![deny(clippy::arithmetic_side_effects)]

use core::iter;

use physmem::PhysRange;

/// Bytes of memory and their place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where the first byte goes or is, from the start of the file.
    pub offset: u64,
    /// Which bytes. Of a backup where the copy lies, not the addresses that the file tells of it.
    pub range: PhysRange,
}

impl Piece {
    /// The same bytes in pieces of at most `len` bytes, the size of a buffer; an empty buffer counts as
    /// one of a byte.
    pub fn chunks(self, len: usize) -> impl Iterator<Item = Self> {
        let len = (len as u64).max(1);
        let mut rest = Some(self);
        iter::from_fn(move || {
            let Self { offset, range } = rest?;
            let size = range.size().min(len);
            let chunk = PhysRange::with_size(range.start(), size).ok()?;
            rest = range.at_and_above(chunk.end()).map(|range| Self {
                // Wrapping: cannot, as the piece ends in the file.
                offset: offset.wrapping_add(size),
                range,
            });
            Some(Self {
                offset,
                range: chunk,
            })
        })
    }
}
