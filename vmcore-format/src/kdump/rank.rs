//! How many pages of the dump come before a page frame: the number of its descriptor.
//!
//! ```text
//!  groups  u64 │ ones before                  │ …          one for 65,536 frames
//!  blocks  u16 │ in group │ in group │ …                    one for 512 frames
//!  bitmap      │ 512 bits │ 512 bits │ …                    counted up to the frame
//! ```
//!
//! Two look-ups and at most eight words to count. It takes a thirtieth of the bitmap's bytes.

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use super::bitmap::Bits;

const BLOCK: u64 = 512;
const GROUP: u64 = 1 << 16;
const WORDS_IN_BLOCK: u64 = BLOCK / 64;
const BLOCKS_IN_GROUP: usize = 128;

const _: () = assert!(BLOCKS_IN_GROUP as u64 * BLOCK == GROUP);

/// Counts of a bitmap.
#[derive(Debug, Default)]
pub(super) struct Rank {
    groups: Vec<u64>,
    blocks: Vec<u16>,
}

impl Rank {
    pub(super) fn new(bits: Bits<'_>) -> Self {
        let frames = bits.frames();
        // The bitmap is in memory, so what is smaller fits.
        let count = |each| usize::try_from(frames.div_ceil(each)).unwrap_or(0);
        let mut groups = Vec::with_capacity(count(GROUP));
        let mut blocks = Vec::with_capacity(count(BLOCK));
        let mut total = 0_u64;
        let mut group = 0;
        for block in 0..frames.div_ceil(BLOCK) {
            let first = block.wrapping_mul(WORDS_IN_BLOCK);
            if block % (GROUP / BLOCK) == 0 {
                group = total;
                groups.push(group);
            }
            // Less than a group's bits are before a block in its group.
            blocks.push(u16::try_from(total.wrapping_sub(group)).unwrap_or(u16::MAX));
            // Neither wraps: both count bits that are there.
            let ones = (first..first.wrapping_add(WORDS_IN_BLOCK))
                .map(|word| bits.word(word).count_ones())
                .sum::<u32>();
            total = total.wrapping_add(ones.into());
        }
        Self { groups, blocks }
    }

    /// How many bits are set below `frame`, which may be the end; of `bits` as they were counted.
    #[inline]
    pub(super) fn below(&self, bits: Bits<'_>, frame: u64) -> u64 {
        let block = frame / BLOCK;
        let entry = usize::try_from(block).ok().and_then(|at| {
            let group = self.groups.get(at / BLOCKS_IN_GROUP)?;
            // Cannot wrap: both count bits that are there.
            Some(group.wrapping_add((*self.blocks.get(at)?).into()))
        });
        match entry {
            Some(before) => {
                before.wrapping_add(bits.ones(block.wrapping_mul(WORDS_IN_BLOCK), frame))
            }
            None => self.total(bits),
        }
    }

    /// How many bits are set.
    pub(super) fn total(&self, bits: Bits<'_>) -> u64 {
        match bits.frames().checked_sub(1) {
            // Cannot wrap: all of them.
            Some(last) => self.below(bits, last).wrapping_add(bits.get(last).into()),
            None => 0,
        }
    }

    /// The lowest frame that at least `count` set bits come before, or the end.
    pub(super) fn frame_with(&self, bits: Bits<'_>, count: u64) -> u64 {
        let (mut low, mut high) = (0, bits.frames());
        while low < high {
            let middle = u64::midpoint(low, high);
            if self.below(bits, middle) < count {
                // Cannot wrap: it is below `high`.
                low = middle.wrapping_add(1);
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_bitmap_of_several_groups() {
        let frames = 3 * GROUP + 77;
        let bytes = vec![0xff; usize::try_from(frames.div_ceil(8)).unwrap()];
        let bits = Bits::new(&bytes, frames);
        let rank = Rank::new(bits);
        for frame in [
            0,
            1,
            511,
            512,
            GROUP - 1,
            GROUP,
            2 * GROUP + 513,
            frames - 1,
            frames,
        ] {
            assert_eq!(rank.below(bits, frame), frame);
            assert_eq!(rank.frame_with(bits, frame), frame);
        }
        assert_eq!(rank.total(bits), frames);
        assert_eq!(rank.below(bits, u64::MAX), frames);
    }

    proptest! {
        #[test]
        fn rank_counts_the_bits_below(bytes in prop::collection::vec(any::<u8>(), 0..140), cut in 0..8_u64) {
            let frames = (bytes.len() as u64 * 8).saturating_sub(cut);
            let bits = Bits::new(&bytes, frames);
            let rank = Rank::new(bits);
            let mut count = 0;
            for frame in 0..=frames {
                prop_assert_eq!(rank.below(bits, frame), count);
                count += u64::from(bits.get(frame));
            }
            prop_assert_eq!(rank.total(bits), count);
            for wanted in (0..=count).step_by(37) {
                let slow = (0..=frames).find(|frame| rank.below(bits, *frame) >= wanted);
                prop_assert_eq!(Some(rank.frame_with(bits, wanted)), slow);
            }
        }
    }
}
