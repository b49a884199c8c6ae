//! XXH32 with a seed of 0, the checksum of LZ4's frames.
//!
//! ```text
//!  16 bytes at a time    four lanes, a word each ─► mixed into one
//!  what is left          words, then bytes ─► mixed into it
//! ```
//!
//! Source: xxHash `doc/xxhash_spec.md`, "XXH32 Algorithm Description". It calculates modulo 2^32.

const PRIME_1: u32 = 0x9e37_79b1;
const PRIME_2: u32 = 0x85eb_ca77;
const PRIME_3: u32 = 0xc2b2_ae3d;
const PRIME_4: u32 = 0x27d4_eb2f;
const PRIME_5: u32 = 0x1656_67b1;

const WORD: usize = 4;
const STRIPE: usize = 16;

pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    let stripes = bytes.chunks_exact(STRIPE);
    let words = stripes.remainder().chunks_exact(WORD);
    let rest = words.remainder();
    let mut sum = if bytes.len() < STRIPE {
        PRIME_5
    } else {
        mixed(stripes)
    };
    let [a, b, c, d, ..] = bytes.len().to_le_bytes();
    sum = sum.wrapping_add(u32::from_le_bytes([a, b, c, d]));
    for word in words.map(little_endian) {
        sum = sum.wrapping_add(word.wrapping_mul(PRIME_3));
        sum = sum.rotate_left(17).wrapping_mul(PRIME_4);
    }
    for byte in rest {
        sum = sum.wrapping_add(u32::from(*byte).wrapping_mul(PRIME_5));
        sum = sum.rotate_left(11).wrapping_mul(PRIME_1);
    }
    sum = (sum ^ sum >> 15).wrapping_mul(PRIME_2);
    sum = (sum ^ sum >> 13).wrapping_mul(PRIME_3);
    sum ^ sum >> 16
}

/// The lanes of all stripes, as one.
fn mixed<'b>(stripes: impl Iterator<Item = &'b [u8]>) -> u32 {
    let mut lanes = [
        PRIME_1.wrapping_add(PRIME_2),
        PRIME_2,
        0,
        PRIME_1.wrapping_neg(),
    ];
    for stripe in stripes {
        let words = stripe.chunks_exact(WORD).map(little_endian);
        for (lane, word) in lanes.iter_mut().zip(words) {
            let word = word.wrapping_mul(PRIME_2);
            *lane = lane
                .wrapping_add(word)
                .rotate_left(13)
                .wrapping_mul(PRIME_1);
        }
    }
    let turns = [1, 7, 12, 18];
    let turned = lanes.iter().zip(turns);
    turned.fold(0, |sum, (lane, turn)| {
        sum.wrapping_add(lane.rotate_left(turn))
    })
}

fn little_endian(word: &[u8]) -> u32 {
    word.first_chunk().copied().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_known_texts() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(
            xxh32(b"Nobody inspects the spammish repetition"),
            0xe229_3b2f
        );
    }
}
