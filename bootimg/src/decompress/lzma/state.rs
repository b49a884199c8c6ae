//! What LZMA has learned so far, and how it goes on from there.
//!
//! ```text
//!  0                       a literal: a byte, foretold by the one before
//!  1 0  length, distance   a match
//!  1 1 0 0                 one byte from the last distance
//!  1 1 0 1  length         a match at the last distance
//!  1 1 1 0  length         … at the one before, and 1 1 1 1 0, 1 1 1 1 1 at those before
//! ```
//!
//! The output is its own window, so that there is none beside it.
//!
//! Source: 7-Zip LZMA SDK `DOC/lzma-specification.txt`.

use super::range::{EVEN, Prob, Range, even};

/// States: what the last few symbols were.
const STATES: usize = 12;
/// Most places within 2^`pb` bytes.
const PLACES: usize = 1 << 4;
/// Probabilities of a literal: of its eight bits, beside each bit of a byte that is expected.
const LITERAL: usize = 0x300;
/// Most sets of those: by `lc` bits of the byte before and `lp` of the place, which are 4 together.
const LITERALS: usize = 1 << 4;
/// The least length of a match.
const MATCH_MIN: usize = 2;
/// The distance that ends a stream.
const END: u32 = u32::MAX;

/// `lc`, `lp` and `pb`: what of the surroundings foretells a symbol.
#[derive(Debug, Clone, Copy)]
pub(in crate::decompress) struct Properties {
    lc: u32,
    lp: u32,
    pb: u32,
}

impl Properties {
    /// `None` for a byte that stands for none, or for `lc` and `lp` above 4 together, which xz
    /// refuses, too.
    pub(in crate::decompress) fn new(byte: u8) -> Option<Self> {
        let byte = u32::from(byte);
        let found = Self {
            lc: byte % 9,
            lp: byte / 9 % 5,
            pb: byte / 45,
        };
        // Two small numbers.
        (found.pb <= 4 && found.lc.wrapping_add(found.lp) <= 4).then_some(found)
    }
}

/// How a stretch of output came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decompress) enum End {
    /// There is no more room.
    Full,
    /// There is no more room for all of a match.
    Overfull,
    /// The stream says so.
    Marker,
}

/// Where the output goes, and comes from again.
pub(in crate::decompress) struct Window<'o> {
    pub(in crate::decompress) out: &'o mut [u8],
    /// Where the oldest byte is that a match may refer to.
    pub(in crate::decompress) start: usize,
    /// Where the next byte goes.
    pub(in crate::decompress) at: usize,
    /// How far back a match may refer.
    pub(in crate::decompress) size: usize,
}

impl Window<'_> {
    /// A byte so far back, 1 for the last one; `None` if there is none.
    #[inline(always)]
    fn back(&self, distance: usize) -> Option<u8> {
        let from = self.at.checked_sub(distance)?;
        self.out.get(from).copied()
    }

    /// Repeats what is so far back; `None` if nothing is, or if it is more than there is room for.
    #[inline(always)]
    fn repeat(&mut self, distance: usize, len: usize) -> Option<()> {
        /// Bytes that are moved at once.
        const STEP: usize = 16;

        // Never below: the window starts in front of the next byte.
        let behind = self.at.wrapping_sub(self.start);
        if distance > behind.min(self.size) || distance == 0 {
            return None;
        }
        // Not above `at`, and no overflow: inside a slice, and a short length.
        let from = self.at.wrapping_sub(distance);
        let end = self.at.wrapping_add(len);
        let room = self.out.get_mut(from..)?;
        // Whole steps, where they do not refer to themselves and may go beyond the end.
        if distance >= STEP && room.len() >= distance.wrapping_add(len).wrapping_add(STEP) {
            let mut done = 0;
            while done < len {
                let step: [u8; STEP] = *room.get(done..)?.first_chunk()?;
                *room
                    .get_mut(distance.wrapping_add(done)..)?
                    .first_chunk_mut()? = step;
                done = done.wrapping_add(STEP);
            }
        } else {
            let room = room.get_mut(..distance.wrapping_add(len))?;
            for at in distance..room.len() {
                let byte = *room.get(at.wrapping_sub(distance))?;
                *room.get_mut(at)? = byte;
            }
        }
        self.at = end;
        Some(())
    }
}

/// Lengths from 2 on.
struct Lengths {
    choice: [Prob; 2],
    low: [[Prob; 8]; PLACES],
    middle: [[Prob; 8]; PLACES],
    high: [Prob; 256],
}

impl Lengths {
    fn new() -> Self {
        Self {
            choice: [EVEN; 2],
            low: even(),
            middle: even(),
            high: [EVEN; 256],
        }
    }

    #[inline(always)]
    fn decode(&mut self, range: &mut Range<'_>, place: usize) -> Option<usize> {
        let [first, second] = &mut self.choice;
        let more = if range.bit(first) == 0 {
            range.tree(self.low.get_mut(place)?)
        } else if range.bit(second) == 0 {
            range.tree(self.middle.get_mut(place)?) | 8
        } else {
            // Of eight bits.
            range.tree(&mut self.high).wrapping_add(16)
        };
        Some(more.wrapping_add(MATCH_MIN))
    }
}

/// A decoder between two symbols.
pub(in crate::decompress) struct State {
    properties: Properties,
    state: usize,
    /// The last distances, less 1.
    last: [u32; 4],
    is_match: [[Prob; PLACES]; STATES],
    is_rep: [Prob; STATES],
    is_rep_0: [Prob; STATES],
    is_rep_1: [Prob; STATES],
    is_rep_2: [Prob; STATES],
    is_rep_0_long: [[Prob; PLACES]; STATES],
    /// The highest bits of a distance, by length.
    slots: [[Prob; 64]; 4],
    /// The lower bits of distances below 128.
    near: [Prob; 115],
    /// The lowest four bits of all others.
    align: [Prob; 16],
    lengths: Lengths,
    rep_lengths: Lengths,
    literals: [[Prob; LITERAL]; LITERALS],
}

impl State {
    pub(in crate::decompress) fn new(properties: Properties) -> Self {
        Self {
            properties,
            state: 0,
            last: [0; 4],
            is_match: even(),
            is_rep: [EVEN; STATES],
            is_rep_0: [EVEN; STATES],
            is_rep_1: [EVEN; STATES],
            is_rep_2: [EVEN; STATES],
            is_rep_0_long: even(),
            slots: even(),
            near: [EVEN; 115],
            align: [EVEN; 16],
            lengths: Lengths::new(),
            rep_lengths: Lengths::new(),
            literals: even(),
        }
    }

    /// Forgets all but the properties.
    pub(in crate::decompress) fn reset(&mut self) {
        *self = Self::new(self.properties);
    }

    /// Decodes until the output is at `limit`, or the stream says that it ends; `None` if it is damaged.
    pub(in crate::decompress) fn decode(
        &mut self,
        range: &mut Range<'_>,
        window: &mut Window<'_>,
        limit: usize,
    ) -> Option<End> {
        // Of both a copy, so that they stay in registers.
        let mut here = *range;
        let mut output = Window {
            out: window.out,
            ..*window
        };
        let end = self.symbols(&mut here, &mut output, limit);
        window.at = output.at;
        *range = here;
        end
    }

    #[inline(always)]
    fn symbols(
        &mut self,
        range: &mut Range<'_>,
        window: &mut Window<'_>,
        limit: usize,
    ) -> Option<End> {
        let Properties { lc, lp, pb } = self.properties;
        let (place_mask, literal_mask) = (!(usize::MAX << pb), !(usize::MAX << lp));
        while window.at < limit {
            if range.overrun() {
                return None;
            }
            // Never below: the window starts in front of the next byte.
            let written = window.at.wrapping_sub(window.start);
            let place = written & place_mask;
            let state = self.state;
            if range.bit(self.is_match.get_mut(state)?.get_mut(place)?) == 0 {
                let before = if written == 0 { 0 } else { window.back(1)? };
                let set =
                    (written & literal_mask) << lc | usize::from(before) >> 8_u32.wrapping_sub(lc);
                let probs = self.literals.get_mut(set)?;
                let byte = if state < 7 {
                    literal(range, probs)
                } else {
                    let [distance, ..] = self.last;
                    let expected = window.back(usize::try_from(distance).ok()?.checked_add(1)?)?;
                    unexpected(range, probs, expected)
                };
                *window.out.get_mut(window.at)? = byte;
                // No overflow: inside a slice.
                window.at = window.at.wrapping_add(1);
                self.state = match state {
                    0..4 => 0,
                    4..10 => state.wrapping_sub(3),
                    _ => state.wrapping_sub(6),
                };
                continue;
            }
            let len = if range.bit(self.is_rep.get_mut(state)?) == 0 {
                let len = self.lengths.decode(range, place)?;
                let distance = self.distance(range, len)?;
                if distance == END {
                    return Some(End::Marker);
                }
                let [a, b, c, _] = self.last;
                self.last = [distance, a, b, c];
                self.state = if state < 7 { 7 } else { 10 };
                len
            } else {
                self.repeated(range, place)?
            };
            let [distance, ..] = self.last;
            let distance = usize::try_from(distance).ok()?.checked_add(1)?;
            // Never below: asked for above.
            if len > limit.wrapping_sub(window.at) {
                return Some(End::Overfull);
            }
            window.repeat(distance, len)?;
        }
        Some(End::Full)
    }

    /// One of the last distances, to the front; and the length.
    #[inline(always)]
    fn repeated(&mut self, range: &mut Range<'_>, place: usize) -> Option<usize> {
        let state = self.state;
        let [a, b, c, d] = self.last;
        if range.bit(self.is_rep_0.get_mut(state)?) == 0 {
            if range.bit(self.is_rep_0_long.get_mut(state)?.get_mut(place)?) == 0 {
                self.state = if state < 7 { 9 } else { 11 };
                return Some(1);
            }
        } else if range.bit(self.is_rep_1.get_mut(state)?) == 0 {
            self.last = [b, a, c, d];
        } else if range.bit(self.is_rep_2.get_mut(state)?) == 0 {
            self.last = [c, a, b, d];
        } else {
            self.last = [d, a, b, c];
        }
        self.state = if state < 7 { 8 } else { 11 };
        self.rep_lengths.decode(range, place)
    }

    /// The distance of a match of so many bytes, less 1.
    #[inline(always)]
    fn distance(&mut self, range: &mut Range<'_>, len: usize) -> Option<u32> {
        let slots = self.slots.get_mut(len.wrapping_sub(MATCH_MIN).min(3))?;
        let slot = range.tree(slots);
        let Ok(bits @ 4..) = u32::try_from(slot) else {
            return u32::try_from(slot).ok();
        };
        // From 4 on, and of six bits: between 1 and 30 bits follow the two that are known.
        let count = (bits >> 1).wrapping_sub(1);
        let high = (bits & 1 | 2) << count;
        Some(if bits < 14 {
            // A tree of its own for each; their roots have the place 1.
            let first = usize::try_from(high.wrapping_sub(bits)).ok()?;
            let probs = self.near.get_mut(first..)?;
            high | range.reverse_tree(probs, count)
        } else {
            let middle = range.direct(count.wrapping_sub(4)) << 4;
            high | middle | range.reverse_tree(&mut self.align, 4)
        })
    }
}

#[inline(always)]
fn literal(range: &mut Range<'_>, probs: &mut [Prob; LITERAL]) -> u8 {
    let mut symbol = 1;
    while symbol < 0x100 {
        symbol = symbol << 1 | range.bit_at(probs, symbol);
    }
    low_byte(symbol)
}

/// A literal behind a match, which ended where the expected byte was not the next one.
#[inline(always)]
fn unexpected(range: &mut Range<'_>, probs: &mut [Prob; LITERAL], expected: u8) -> u8 {
    let mut expected = usize::from(expected);
    // The bits so far are those that are expected: 0x100, or else 0.
    let (mut symbol, mut same) = (1_usize, 0x100);
    while symbol < 0x100 {
        expected <<= 1;
        let one = expected & same;
        // Below 0x300 in all.
        let at = symbol.wrapping_add(same).wrapping_add(one);
        let bit = range.bit_at(probs, at);
        symbol = symbol << 1 | bit;
        same = if bit == 0 { same & !one } else { one };
    }
    low_byte(symbol)
}

fn low_byte(symbol: usize) -> u8 {
    let [byte, ..] = symbol.to_le_bytes();
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_one_byte() {
        let found = |byte| Properties::new(byte).map(|found| (found.lc, found.lp, found.pb));
        assert_eq!(found(0x5d), Some((3, 0, 2)));
        assert_eq!(found(0), Some((0, 0, 0)));
        // 4 and 0, 0 and 4, 2 and 2; and one more of each.
        assert_eq!(found(4), Some((4, 0, 0)));
        assert_eq!(found(36), Some((0, 4, 0)));
        assert_eq!(found(20), Some((2, 2, 0)));
        assert_eq!(
            (found(5), found(37), found(21), found(8)),
            (None, None, None, None)
        );
        assert_eq!(found(180), Some((0, 0, 4)));
        assert_eq!((found(225), found(255)), (None, None));
    }

    /// In steps of sixteen bytes or of one, all that is repeated is what is there, and nothing else may be.
    #[test]
    fn a_match_repeats_what_is_behind_it() {
        for (start, size) in [(0, 4096), (7, 4096), (0, 50)] {
            for distance in 0..70 {
                for len in 1..70 {
                    let mut out = [0; 160];
                    for (slot, value) in out.iter_mut().zip(1..=60) {
                        *slot = value;
                    }
                    let mut window = Window {
                        out: &mut out,
                        start,
                        at: 60,
                        size,
                    };
                    let done = window.repeat(distance, len).is_some();
                    assert_eq!(done, (1..=size.min(60 - start)).contains(&distance));
                    if done {
                        assert_eq!(window.at, 60 + len);
                        for at in 60..60 + len {
                            assert_eq!(out[at], out[at - distance]);
                        }
                    }
                    assert!(out[..60].iter().copied().eq(1..=60));
                }
            }
        }
        let mut out = [1; 8];
        for (len, done) in [(4, Some(())), (5, None)] {
            let mut window = Window {
                out: &mut out,
                start: 0,
                at: 4,
                size: 4096,
            };
            assert_eq!(window.repeat(1, len), done);
        }
    }
}
