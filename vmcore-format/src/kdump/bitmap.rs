//! One bit a page frame.
//!
//! ```text
//!  byte        0                        1
//!  frame   7 6 5 4 3 2 1 0    15 14 13 12 11 10 9 8       least significant bit first
//! ```
//!
//! Byte by byte in this order on every machine, so words of it are little-endian.

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use physmem::PageShift;

use super::header::{Extent, Header};
use crate::{
    Error, ReadAt,
    kept::{inside, read},
};

const WHAT: &str = "page bitmap";

/// How many blocks a bit for each of so many page frames take.
pub(super) fn blocks_for(frames: u64, block: PageShift) -> u64 {
    frames.div_ceil(8).div_ceil(block.bytes())
}

/// A bitmap of a file, which the file is long enough for.
#[derive(Debug)]
pub(super) struct Bitmap {
    offset: u64,
    frames: u64,
    /// Copied out of a source that does not lend.
    owned: Option<Vec<u8>>,
}

impl Bitmap {
    /// Takes the bitmap of so many frames at `offset`; only a source that does not lend is read.
    pub(super) fn read<S: ReadAt + ?Sized>(
        source: &S,
        offset: u64,
        frames: u64,
    ) -> Result<Self, Error> {
        let needed = frames.div_ceil(8);
        let len = inside(source, offset, needed, WHAT)?;
        let owned = match source.lend_at(offset, len) {
            Some(_) => None,
            None => Some(read(source, offset, needed, WHAT)?),
        };
        Ok(Self {
            offset,
            frames,
            owned,
        })
    }

    /// The bits, lent again by the source that lent them before.
    pub(super) fn bits<'s, S: ReadAt + ?Sized>(&'s self, source: &'s S) -> Bits<'s> {
        let lent = || {
            let len = usize::try_from(self.frames.div_ceil(8)).ok()?;
            source.lend_at(self.offset, len)
        };
        let bytes = match &self.owned {
            Some(bytes) => bytes,
            None => lent().unwrap_or_default(),
        };
        Bits {
            bytes,
            frames: self.frames,
        }
    }
}

/// The bitmaps of a dump.
#[derive(Debug)]
pub(super) struct Bitmaps {
    /// The frames that are RAM, if that is told.
    pub(super) ram: Option<Bitmap>,
    /// The frames that are in the dump.
    pub(super) dumped: Bitmap,
}

impl Bitmaps {
    /// Refuses a file that is too short for them.
    pub(super) fn check<S: ReadAt + ?Sized>(source: &S, header: &Header) -> Result<(), Error> {
        let (ram, dumped) = header.bitmaps();
        for Extent { offset, size } in ram.into_iter().chain([dumped]) {
            inside(source, offset, size, WHAT)?;
        }
        Ok(())
    }

    pub(super) fn read<S: ReadAt + ?Sized>(source: &S, header: &Header) -> Result<Self, Error> {
        let (ram, dumped) = header.bitmaps();
        let read = |Extent { offset, .. }| Bitmap::read(source, offset, header.max_mapnr);
        Ok(Self {
            ram: ram.map(read).transpose()?,
            dumped: read(dumped)?,
        })
    }
}

/// The bits of a bitmap. Frames past its end have none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bits<'b> {
    bytes: &'b [u8],
    frames: u64,
}

impl<'b> Bits<'b> {
    #[cfg(test)]
    pub(super) fn new(bytes: &'b [u8], frames: u64) -> Self {
        Self { bytes, frames }
    }

    /// How many frames there are.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    #[inline]
    pub(super) fn get(&self, frame: u64) -> bool {
        let byte = usize::try_from(frame / 8).ok();
        let byte = byte.and_then(|at| self.bytes.get(at));
        frame < self.frames && byte.is_some_and(|byte| byte >> (frame % 8) & 1 != 0)
    }

    /// The bits of the 64 frames from `64 × index` on, the first in bit 0.
    #[inline]
    pub(super) fn word(&self, index: u64) -> u64 {
        let word = usize::try_from(index)
            .ok()
            .and_then(|index| self.bytes.get(index.checked_mul(8)?..))
            .map_or(0, first_word);
        match self.frames.checked_sub(index.saturating_mul(64)) {
            Some(left @ 0..64) => word & low_bits(left),
            Some(_) => word,
            None => 0,
        }
    }

    /// How many of the frames from `64 × word` up to, not including, `end` have a bit.
    #[inline]
    pub(super) fn ones(&self, word: u64, end: u64) -> u64 {
        let last = end / 64;
        let whole: u32 = (word..last)
            .map(|index| self.word(index).count_ones())
            .sum();
        let part = (self.word(last) & low_bits(end % 64)).count_ones();
        // No more than there are frames.
        u64::from(whole).wrapping_add(part.into())
    }
}

/// The word that `bytes` begin with; bytes that are not there are zero.
#[inline]
fn first_word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            u64::from_le_bytes(word)
        }
    }
}

/// As many ones, up to 63, from bit 0 on.
#[inline]
fn low_bits(count: u64) -> u64 {
    // The shift is below 64, so at least 1 is left.
    (1_u64 << (count % 64)).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_bits_end_with_the_frames() {
        let bytes = [0xff_u8; 10];
        let bits = Bits::new(&bytes, 70);
        assert!(bits.get(0) && bits.get(69) && !bits.get(70) && !bits.get(u64::MAX));
        assert_eq!(bits.word(0), u64::MAX);
        assert_eq!(bits.word(1), 0x3f);
        assert_eq!(bits.word(2), 0);
        assert_eq!(bits.word(u64::MAX), 0);
        assert_eq!(bits.ones(0, 70), 70);
        assert_eq!(bits.ones(0, 65), 65);
        assert_eq!(bits.ones(1, 65), 1);
    }

    #[test]
    fn the_first_frame_is_the_least_significant_bit() {
        let bits = Bits::new(&[0b0000_0110, 1], 16);
        let set: std::vec::Vec<u64> = (0..16).filter(|frame| bits.get(*frame)).collect();
        assert_eq!(set, [1, 2, 8]);
        assert_eq!(bits.word(0), 0x106);
    }

    #[test]
    fn a_bitmap_past_the_end_is_not_read() {
        let file = [0xff_u8; 16];
        assert!(Bitmap::read(&file[..], 8, 64).is_ok());
        assert!(matches!(
            Bitmap::read(&file[..], 8, 65),
            Err(Error::Truncated {
                offset: 8,
                needed: 9,
                available: 8,
                ..
            })
        ));
        assert!(Bitmap::read(&file[..], u64::MAX, u64::MAX).is_err());
    }
}
