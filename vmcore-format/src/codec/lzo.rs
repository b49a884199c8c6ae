//! Pages as LZO1X.
//!
//! ```text
//!  first byte, if over 17: that many bytes less 17 follow as they are
//!
//!  tag byte   7 … 4    3 … 0      then                 what it does
//!             0 0 0 0  L L L L    [length]             L + 3 bytes as they are; only behind a copy
//!                                                      without bytes of its own
//!             0 0 0 0  D D S S    D …                  copy of 2, offset 10 bits + 1; behind 1 … 3 bytes
//!                                                      copy of 3, offset 10 bits + 2049; behind 4 or more
//!             0 0 0 1  H L L L    [length] S S D … H   copy of L + 2, offset H, 14 bits + 16384
//!             0 0 1 L  L L L L    [length] S S D …     copy of L + 2, offset 14 bits + 1
//!             L L L D  D D S S    D …                  copy of L + 1 (3 … 8), offset 11 bits + 1
//!
//!  length     where L is 0: a byte of 0 for each 255, then the rest, on top of the largest L
//!  S          bytes that follow the copy as they are, 0 … 3
//!  0x11 0 0   the end: a copy of 3 from 16384 back; S of it means nothing
//! ```
//!
//! A copy begins `offset` bytes back and may run into what it appends. The first low bits of an offset are
//! in the tag, the others in the next byte; 14 bits are above the two of S in a little-endian word.
//!
//! Source: the description of the stream in the kernel's `Documentation/staging/lzo.rst`.

#![deny(clippy::arithmetic_side_effects)]

use super::copy::{append, repeat};

/// As many bytes as they are, or more, count as that many.
const MANY: usize = 4;

/// Decodes a stream that ends where `src` does; `None` if it is none, or longer than `out`.
pub(super) fn decode(src: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut rest = src;
    let mut at = 0_usize;
    // Bytes as they are that came last.
    let mut plain = 0;
    if let Some((&first @ 18.., after)) = src.split_first() {
        let len = usize::from(first).checked_sub(17)?;
        rest = append(out, at, after, len)?;
        at = len;
        plain = len.min(MANY);
    }
    loop {
        let (&tag, after) = rest.split_first()?;
        let bits = usize::from(tag);
        let (offset, len, after, more) = match tag {
            0..=15 if plain == 0 => {
                let (len, after) = length(bits, 15, after)?;
                let len = len.checked_add(3)?;
                rest = append(out, at, after, len)?;
                at = at.checked_add(len)?;
                plain = MANY;
                continue;
            }
            0..=15 => {
                let (&high, after) = after.split_first()?;
                let offset = usize::from(high) << 2 | bits >> 2;
                match plain {
                    MANY => (offset.checked_add(2049)?, 3, after, bits & 3),
                    _ => (offset.checked_add(1)?, 2, after, bits & 3),
                }
            }
            16..=31 => {
                let (len, after) = length(bits & 7, 7, after)?;
                let (low, more, after) = word(after)?;
                let offset = (bits & 8) << 11 | low;
                if offset == 0 {
                    return (len == 1 && after.is_empty()).then_some(at);
                }
                (offset.checked_add(16384)?, len.checked_add(2)?, after, more)
            }
            32..=63 => {
                let (len, after) = length(bits & 31, 31, after)?;
                let (offset, more, after) = word(after)?;
                (offset.checked_add(1)?, len.checked_add(2)?, after, more)
            }
            64.. => {
                let (&high, after) = after.split_first()?;
                let offset = usize::from(high) << 3 | bits >> 2 & 7;
                (
                    offset.checked_add(1)?,
                    (bits >> 5).checked_add(1)?,
                    after,
                    bits & 3,
                )
            }
        };
        repeat(out, at, offset, len)?;
        at = at.checked_add(len)?;
        rest = append(out, at, after, more)?;
        at = at.checked_add(more)?;
        plain = more;
    }
}

/// The length that `bits` of a tag say, or the bytes behind it, which go on from `most`.
#[inline]
fn length(bits: usize, most: usize, src: &[u8]) -> Option<(usize, &[u8])> {
    if bits != 0 {
        return Some((bits, src));
    }
    let zeros = src.iter().take_while(|byte| **byte == 0).count();
    let (&last, rest) = src.get(zeros..)?.split_first()?;
    let len = zeros.checked_mul(255)?.checked_add(most)?;
    Some((len.checked_add(last.into())?, rest))
}

/// The 14 bits of an offset and the two below them.
#[inline]
fn word(src: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (bytes, rest) = src.split_first_chunk()?;
    let word = usize::from(u16::from_le_bytes(*bytes));
    Some((word >> 2, word & 3, rest))
}

#[cfg(test)]
mod tests {
    use super::decode;

    fn decoded<const N: usize>(src: &[u8]) -> Option<[u8; N]> {
        let mut out = [0; N];
        decode(src, &mut out).filter(|len| *len == N).map(|_| out)
    }

    /// A first run of bytes, an instruction, and the end.
    macro_rules! stream {
        ($bytes:literal, $instruction:literal) => {
            &[&$bytes[..], &$instruction[..], &b"\x11\0\0"[..]].concat()
        };
    }

    #[test]
    fn each_instruction() {
        assert_eq!(decoded(b"\x11\0\0"), Some([]));
        assert_eq!(decoded(stream!(b"\x16", b"abcde")), Some(*b"abcde"));
        // Bytes as they are: L, and L with a length.
        assert_eq!(decoded(stream!(b"\x02", b"abcde")), Some(*b"abcde"));
        assert_eq!(
            decoded(stream!(b"\0\x02", b"abcdefghijklmnopqrst")),
            Some(*b"abcdefghijklmnopqrst")
        );
        // Copies of 2 behind one byte, of 3 to 8, of L + 2, each with a byte of its own.
        assert_eq!(decoded(stream!(b"\x14abc", b"\x09\0Z")), Some(*b"abcabZ"));
        assert_eq!(
            decoded(stream!(b"\x15abcd", b"\x4d\0Z")),
            Some(*b"abcdabcZ")
        );
        assert_eq!(
            decoded(stream!(b"\x15abcd", b"\xed\0Z")),
            Some(*b"abcdabcdabcdZ")
        );
        assert_eq!(
            decoded(stream!(b"\x15abcd", b"\x23\x0d\0Z")),
            Some(*b"abcdabcdaZ")
        );
        assert_eq!(
            decoded::<42>(stream!(b"\x15abcd", b"\x20\x04\x0d\0Z"))
                .map(|page| page[38..] == *b"cdaZ"),
            Some(true)
        );
    }

    /// Behind 16,384 bytes, and behind 2,048 with a byte as it is in between.
    #[test]
    fn copies_from_far() {
        const RUN: usize = 70 * 255 + 200 + 31 + 2;
        let mut src = b"\x13ab\x20".to_vec();
        src.extend([0; 70]);
        src.extend(b"\xc8\x04\0"); // offset 2: "ab" goes on
        let at = 2 + RUN;
        let far = u16::try_from((at - 16384) << 2 | 1).unwrap();
        src.push(0x12);
        src.extend(far.to_le_bytes());
        src.extend(b"X\x09\0Y\x08\0\x11\0\0");

        let mut page = std::vec![0; at];
        for (byte, ab) in page.iter_mut().zip(b"ab".iter().cycle()) {
            *byte = *ab;
        }
        page.extend(b"abab");
        page.push(b'X');
        // Offset 3, of 2; then the same again.
        page.extend(b"abY");
        page.extend(b"ab");
        let mut out = std::vec![0; page.len()];
        assert_eq!(decode(&src, &mut out), Some(page.len()));
        assert_eq!(out[at..], page[at..]);
        assert!(out == page);
    }

    /// What comes behind four bytes as they are, or more, is a copy of 3 from farther back.
    #[test]
    fn a_copy_behind_many_bytes() {
        let mut src = b"\0".to_vec();
        src.extend([0; 8]);
        src.push(2); // 8 * 255 + 2 + 15 + 3 bytes
        let bytes: std::vec::Vec<u8> = (0..2060_u16).map(|n| n.to_le_bytes()[0]).collect();
        src.extend(&bytes);
        src.extend(b"\x04\0\x11\0\0");
        let mut out = [0; 2063];
        assert_eq!(decode(&src, &mut out), Some(2063));
        // 2,049 + 1 back from 2,060.
        assert_eq!(out[2060..], out[10..13]);
    }

    #[test]
    fn broken_streams() {
        for broken in [
            &b""[..],
            b"\x15",
            b"\x15abcd",                    // no end
            b"\x15abcd\x11\0",              // half an end
            b"\x15abcd\x11\0\0\0",          // more behind it
            b"\x15abcd\x12\0\0",            // a longer end
            b"\x16abcde\x11\0\0",           // longer than the page
            b"\x14abc\x11\0\0",             // shorter
            b"\x15abc\x11\0\0",             // cut in the bytes
            b"\x12a\x4c\x01\x11\0\0",       // begins before the page
            b"\x12a\x20\0\0",               // a length without its end
            b"\x12a\x20\0\xff\0\0\x11\0\0", // a copy longer than the page
            b"\x15abcd\0\0\0",              // a copy of 3 from 2049 back
        ] {
            assert_eq!(decoded::<4>(broken), None, "{broken:x?}");
        }
    }
}
