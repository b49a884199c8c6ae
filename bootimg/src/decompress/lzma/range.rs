//! The range decoder: bits, each by its probability.
//!
//! ```text
//!  range   how much is left to tell apart     code   where in it the stream is
//!  a bit splits the range in proportion to its probability; below 2^24 a byte is shifted in
//! ```
//!
//! Source: 7-Zip LZMA SDK `DOC/lzma-specification.txt`, "Range Decoder".

use core::array;

/// How probable a 0 is, of 2^11.
pub(super) type Prob = u16;

const BITS: u32 = 11;
/// A probability of 1.
const CERTAIN: Prob = 1 << BITS;
/// As likely as not.
pub(super) const EVEN: Prob = CERTAIN >> 1;
/// How fast a probability follows what was found.
const MOVE: u32 = 5;
/// Below this, the range gets another byte.
const TOP: u32 = 1 << 24;

/// A range decoder and its bytes.
///
/// Behind the last byte it goes on with zeros, so that nobody has to ask before each bit;
/// [`overrun`](Self::overrun) tells.
#[derive(Clone, Copy)]
pub(in crate::decompress) struct Range<'s> {
    range: u32,
    code: u32,
    bytes: &'s [u8],
    at: usize,
}

impl<'s> Range<'s> {
    /// Bytes that each has, at its start.
    pub(in crate::decompress) const START: usize = 5;

    /// `None` if the bytes do not start as a stream does.
    pub(in crate::decompress) fn new(bytes: &'s [u8]) -> Option<Self> {
        let (&[first, a, b, c, d], rest) = bytes.split_first_chunk()?;
        let code = u32::from_be_bytes([a, b, c, d]);
        // Below the range, as it is after each bit.
        (first == 0 && code != u32::MAX).then_some(Self {
            range: u32::MAX,
            code,
            bytes: rest,
            at: 0,
        })
    }

    /// Whether more bits were taken than there are.
    #[inline]
    pub(in crate::decompress) const fn overrun(&self) -> bool {
        self.at > self.bytes.len()
    }

    /// How many bytes were taken.
    pub(in crate::decompress) fn taken(&self) -> usize {
        // A place in a slice.
        self.at.min(self.bytes.len()).saturating_add(Self::START)
    }

    /// Whether the code is where an encoder leaves it.
    pub(in crate::decompress) fn settled(&mut self) -> bool {
        self.shift();
        self.code == 0 && !self.overrun()
    }

    #[inline(always)]
    fn shift(&mut self) {
        if self.range < TOP {
            let byte = self.bytes.get(self.at).copied().unwrap_or(0);
            self.range <<= 8;
            self.code = self.code << 8 | u32::from(byte);
            // A place in a slice, or as many behind it as bits were taken from zeros.
            self.at = self.at.wrapping_add(1);
        }
    }

    /// A bit, 0 or 1.
    #[inline(always)]
    pub(super) fn bit(&mut self, prob: &mut Prob) -> usize {
        self.shift();
        // Of 21 and of 11 bits.
        let bound = (self.range >> BITS).wrapping_mul((*prob).into());
        // No branch, which nothing could foretell: all ones for a 1, all zeros for a 0.
        let one = self.code >= bound;
        let mask = u32::from(one).wrapping_neg();
        // The bound is a part of the range, and for a 1 not above the code.
        self.range = bound & !mask | self.range.wrapping_sub(bound) & mask;
        self.code = self.code.wrapping_sub(bound & mask);
        let mask = Prob::from(one).wrapping_neg();
        // Up to 2^11 or down to 0, and not beyond.
        let up = prob.wrapping_add(CERTAIN.wrapping_sub(*prob) >> MOVE);
        let down = prob.wrapping_sub(*prob >> MOVE);
        *prob = up & !mask | down & mask;
        one.into()
    }

    /// The bit of the probability at a place, which the callers' tables have.
    #[inline(always)]
    pub(super) fn bit_at(&mut self, probs: &mut [Prob], at: usize) -> usize {
        probs.get_mut(at).map_or(0, |prob| self.bit(prob))
    }

    /// As many bits as it takes to be at a leaf of the tree, the highest first.
    #[inline(always)]
    pub(super) fn tree<const LEAVES: usize>(&mut self, probs: &mut [Prob; LEAVES]) -> usize {
        let mut node = 1;
        while node < LEAVES {
            node = node << 1 | self.bit_at(probs, node);
        }
        node & LEAVES.wrapping_sub(1)
    }

    /// So many bits, the lowest first, of a tree.
    #[inline(always)]
    pub(super) fn reverse_tree(&mut self, probs: &mut [Prob], count: u32) -> u32 {
        let (mut node, mut value) = (1, 0);
        for place in 0..count {
            let bit = self.bit_at(probs, node);
            node = node << 1 | bit;
            value |= u32::from(bit != 0) << place;
        }
        value
    }

    /// So many bits that are as likely as not, the highest first.
    #[inline(always)]
    pub(super) fn direct(&mut self, count: u32) -> u32 {
        let mut value = 0;
        for _ in 0..count {
            self.shift();
            self.range >>= 1;
            let bit = u32::from(self.code >= self.range);
            // Less the range if it is not above the code.
            self.code = self.code.wrapping_sub(self.range & 0_u32.wrapping_sub(bit));
            value = value << 1 | bit;
        }
        value
    }
}

/// Probabilities that nothing is known of.
pub(super) fn even<const N: usize, const M: usize>() -> [[Prob; N]; M] {
    array::from_fn(|_| [EVEN; N])
}
