//! What the decoders of LZO and snappy do all the time: append bytes from the input, or from what is
//! already there.
//!
//! ```text
//!  out   ░░░░░░░░░░░░░░░▒▒▒▒▒▒░░░░░░│████████           │
//!                       └ from      └ at    └ at + len  └ end of the page
//!                       ├─ offset ──┤
//! ```
//!
//! Most pieces are shorter than a vector register. Where there is room they are moved by whole chunks;
//! what is too many of the bytes is overwritten by the next piece, or the page turns out to be damaged.

#![deny(clippy::arithmetic_side_effects)]

/// Bytes moved at once.
const CHUNK: usize = 16;

/// The longest piece that chunks move faster than `memmove`.
const SHORT: usize = 4 * CHUNK;

/// Writes the first `len` bytes of `src` at `at`; what follows them is returned.
#[inline]
pub(super) fn append<'s>(out: &mut [u8], at: usize, src: &'s [u8], len: usize) -> Option<&'s [u8]> {
    let out = out.get_mut(at..)?;
    if len <= CHUNK {
        if let (Some(to), Some(from)) = (out.first_chunk_mut(), src.first_chunk::<CHUNK>()) {
            *to = *from;
            return src.get(len..);
        }
    }
    let (bytes, rest) = src.split_at_checked(len)?;
    out.get_mut(..len)?.copy_from_slice(bytes);
    Some(rest)
}

/// Writes at `at` the `len` bytes that begin `offset` before it, and may run into what is written.
#[inline]
pub(super) fn repeat(out: &mut [u8], at: usize, offset: usize, len: usize) -> Option<()> {
    let from = at.checked_sub(offset)?;
    let end = at.checked_add(len).filter(|end| *end <= out.len())?;
    let has_room = end.checked_add(CHUNK)? <= out.len();
    if has_room && len <= SHORT {
        if offset >= CHUNK {
            return by_chunks::<CHUNK>(out, from, at, end);
        }
        if offset >= 8 {
            return by_chunks::<8>(out, from, at, end);
        }
    }
    match offset {
        0 => return None,
        1 => {
            let byte = *out.get(from)?;
            out.get_mut(at..end)?.fill(byte);
            return Some(());
        }
        _ => {}
    }
    let mut done = at;
    while done < end {
        // What lies between `from` and `done` repeats every `offset` bytes: each round doubles it.
        let have = done.checked_sub(from)?;
        let step = end.checked_sub(done)?.min(have);
        out.copy_within(from..from.checked_add(step)?, done);
        done = done.checked_add(step)?;
    }
    Some(())
}

/// No chunk overlaps the one it is copied to: they are at least `N` apart.
#[inline]
fn by_chunks<const N: usize>(out: &mut [u8], from: usize, at: usize, end: usize) -> Option<()> {
    let (mut from, mut at) = (from, at);
    while at < end {
        let bytes = *out.get(from..)?.first_chunk::<N>()?;
        *out.get_mut(at..)?.first_chunk_mut()? = bytes;
        from = from.checked_add(N)?;
        at = at.checked_add(N)?;
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::{append, repeat};

    /// A byte at a time.
    fn naive(out: &mut [u8], at: usize, offset: usize, len: usize) {
        for to in at..at + len {
            out[to] = out[to - offset];
        }
    }

    #[test]
    fn every_offset_length_and_room() {
        for offset in 1..=40 {
            for len in 0..=100 {
                for room in [0, 1, 7, 8, 15, 16, 17, 40] {
                    let at = 40;
                    let mut out = std::vec![0xee; at + len + room];
                    for (number, byte) in (0..).zip(&mut out[..at]) {
                        *byte = number;
                    }
                    let mut expected = out.clone();
                    naive(&mut expected, at, offset, len);
                    assert_eq!(repeat(&mut out, at, offset, len), Some(()));
                    assert_eq!(
                        out[..at + len],
                        expected[..at + len],
                        "{offset} {len} {room}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_outside() {
        let mut out = [0; 40];
        assert_eq!(repeat(&mut out, 8, 9, 1), None);
        assert_eq!(repeat(&mut out, 8, 0, 1), None);
        assert_eq!(repeat(&mut out, 39, 8, 2), None);
        assert_eq!(repeat(&mut out, 8, 8, usize::MAX), None);
        assert_eq!(append(&mut out, 8, b"abc", 4), None);
        assert_eq!(append(&mut out, 38, b"abcdefghijklmnopqrst", 3), None);
        assert_eq!(append(&mut out, 41, b"", 0), None);
        assert_eq!(
            append(&mut out, 37, b"abcdefghijklmnopqrst", 3),
            Some(&b"defghijklmnopqrst"[..])
        );
        assert_eq!(&out[37..], b"abc");
    }
}
