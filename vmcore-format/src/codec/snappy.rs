//! Pages as raw snappy blocks.
//!
//! ```text
//!  length of the page, varint │ element │ element │ …
//!
//!  tag byte   7 … 2            1 0
//!             length - 1       0 0   literal: that many bytes follow; 60 … 63 say that length - 1
//!                                    is in the next 1 … 4 bytes
//!             offset │ len - 4 0 1   copy of 4 … 11 bytes, offset 11 bits, 8 of them in the next byte
//!             length - 1       1 0   copy, offset in the next 2 bytes
//!             length - 1       1 1   copy, offset in the next 4 bytes
//! ```
//!
//! A copy begins `offset` bytes back and may run into what it appends. Numbers are little-endian.
//!
//! Source: `format_description.txt` of google/snappy.

#![deny(clippy::arithmetic_side_effects)]

use super::copy::{append, repeat};

/// Decodes a block that fills `out`; `None` if it is none.
pub(super) fn decode(src: &[u8], out: &mut [u8]) -> Option<usize> {
    let (len, mut src) = varint(src)?;
    if len != u64::try_from(out.len()).ok()? {
        return None;
    }
    let mut at = 0;
    while let Some((&tag, rest)) = src.split_first() {
        if tag & 3 == 0 {
            let (len, rest) = literal_len(tag, rest)?;
            src = append(out, at, rest, len)?;
            at = at.checked_add(len)?;
        } else {
            let (offset, len, rest) = copy(tag, rest)?;
            repeat(out, at, offset, len)?;
            src = rest;
            at = at.checked_add(len)?;
        }
    }
    Some(at)
}

/// A number of up to five bytes, seven bits in each, and what follows it.
fn varint(src: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    let mut rest = src;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

/// A little-endian number of `N` bytes, and what follows it.
fn number<const N: usize>(src: &[u8]) -> Option<(usize, &[u8])> {
    let (bytes, rest) = src.split_first_chunk::<N>()?;
    let mut all = [0; 4];
    all.get_mut(..N)?.copy_from_slice(bytes);
    Some((usize::try_from(u32::from_le_bytes(all)).ok()?, rest))
}

fn literal_len(tag: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    let (less_one, rest) = match tag >> 2 {
        60 => number::<1>(rest)?,
        61 => number::<2>(rest)?,
        62 => number::<3>(rest)?,
        63 => number::<4>(rest)?,
        short => (short.into(), rest),
    };
    Some((less_one.checked_add(1)?, rest))
}

/// The offset and length of a copy, and what follows it.
fn copy(tag: u8, rest: &[u8]) -> Option<(usize, usize, &[u8])> {
    let long = usize::from(tag >> 2).checked_add(1)?;
    Some(match tag & 3 {
        1 => {
            let (low, rest) = number::<1>(rest)?;
            let len = usize::from(tag >> 2 & 7).checked_add(4)?;
            (usize::from(tag >> 5) << 8 | low, len, rest)
        }
        2 => {
            let (offset, rest) = number::<2>(rest)?;
            (offset, long, rest)
        }
        _ => {
            let (offset, rest) = number::<4>(rest)?;
            (offset, long, rest)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::decode;

    fn decoded<const N: usize>(src: &[u8]) -> Option<[u8; N]> {
        let mut out = [0; N];
        decode(src, &mut out).filter(|len| *len == N).map(|_| out)
    }

    #[test]
    fn each_element() {
        // The page is 8 bytes: "abcd" literal, then a copy of each kind, 4 bytes back, of 4 bytes.
        let whole = Some(*b"abcdabcd");
        assert_eq!(decoded(b"\x08\x0cabcd\x01\x04"), whole);
        assert_eq!(decoded(b"\x08\x0cabcd\x0e\x04\0"), whole);
        assert_eq!(decoded(b"\x08\x0cabcd\x0f\x04\0\0\0"), whole);
        // A literal whose length stands in one to four bytes.
        assert_eq!(decoded(b"\x08\xf0\x07abcdabcd"), whole);
        assert_eq!(decoded(b"\x08\xf4\x07\0abcdabcd"), whole);
        assert_eq!(decoded(b"\x08\xf8\x07\0\0abcdabcd"), whole);
        assert_eq!(decoded(b"\x08\xfc\x07\0\0\0abcdabcd"), whole);
        assert_eq!(decoded(b"\0"), Some([]));
    }

    #[test]
    fn a_copy_runs_into_itself() {
        let mut page = [b'a'; 64];
        assert_eq!(decoded(b"\x40\x00a\xfa\x01\0"), Some(page));
        for (at, byte) in page.iter_mut().enumerate() {
            *byte = b"abc"[at % 3];
        }
        assert_eq!(decoded(b"\x40\x08abc\xf2\x03\0"), Some(page));
    }

    #[test]
    fn far_copies_fill_the_page_to_its_last_byte() {
        // Twenty bytes as they are, then twelve of them again.
        let block = b"\x20\x4c0123456789abcdefghij\x2e\x14\0";
        assert_eq!(decoded(block), Some(*b"0123456789abcdefghij0123456789ab"));
    }

    #[test]
    fn broken_blocks() {
        for broken in [
            &b""[..],
            b"\x80",                         // the length has no end
            b"\xff\xff\xff\xff\xff\xff",     // nor this one
            b"\x07\x0cabcd\x01\x04",         // shorter than it becomes
            b"\x09\x0cabcd\x01\x04",         // longer
            b"\x08\x0cabcd\x01",             // cut
            b"\x08\x0cabc",                  // cut in a literal
            b"\x08\xf0",                     // cut in the length of a literal
            b"\x08\xfc\xff\xff\xff\xff",     // a literal of 4 GiB
            b"\x08\x0cabcd\x01\x05",         // begins before the page
            b"\x08\x0cabcd\x01\x00",         // offset 0
            b"\x08\x0cabcd\x01\x04\x00",     // a tag too many
            b"\x08\x0cabcd\x01\x04\x01\x04", // an element too many
        ] {
            assert_eq!(decoded::<8>(broken), None, "{broken:x?}");
        }
    }
}
