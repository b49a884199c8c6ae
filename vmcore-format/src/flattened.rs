//! Flattened dumps: a file as the writes that made it, so that it can go through a pipe.
//!
//! ```text
//! 0                               16         24            32      4096
//! │ "makedumpfile" and four zeros │ type = 1 │ version = 1 │ zeros │ record │ record │ … │ end mark │
//!
//!  record    │ offset i64 │ size i64 │ size bytes, which belong at offset │
//!  end mark  │     -1     │    -1    │                          numbers are big-endian
//! ```
//!
//! Records come in any order; where two overlap, the later one counts. What none has reads as zero.
//!
//! Source: `makedumpfile.h` (`struct makedumpfile_header`, `struct makedumpfile_data_header`);
//! `makedumpfile -F` and QEMU's `dump-guest-memory` write them.

#![deny(clippy::arithmetic_side_effects)]

use alloc::{collections::BinaryHeap, vec::Vec};
use core::ops::Range;

use crate::{Error, Field, ReadAt, source::ReadError};

/// What a flattened file begins with (`MAKEDUMPFILE_SIGNATURE`).
pub const SIGNATURE: [u8; 16] = *b"makedumpfile\0\0\0\0";

/// Bytes before the first record (`MAX_SIZE_MDF_HEADER`).
const HEADER_LEN: usize = 4096;

/// Bytes in front of the data of a record.
const RECORD_HEADER_LEN: usize = 16;

/// What follows the last record.
pub const END_MARK: [u8; RECORD_HEADER_LEN] = [0xff; RECORD_HEADER_LEN];

/// `TYPE_FLAT_HEADER` and `VERSION_FLAT_HEADER`.
const ONE: u64 = 1;

/// Offsets and ends of records are `off_t`, 63 bits.
const OFFSET_MAX: u64 = i64::MAX as u64;

static SIGNATURE_FIELD: Field = Field {
    name: "signature",
    allowed: "\"makedumpfile\" and four zero bytes",
};
static TYPE: Field = Field {
    name: "type",
    allowed: "1 (TYPE_FLAT_HEADER)",
};
static VERSION: Field = Field {
    name: "version",
    allowed: "1 (VERSION_FLAT_HEADER)",
};
static OFFSET: Field = Field {
    name: "offset of a record",
    allowed: "0 to 2^63 - 1, or -1 beside a buf_size of -1",
};
static BUF_SIZE: Field = Field {
    name: "buf_size of a record",
    allowed: "0 to 2^63 - 1 - offset",
};

/// A flattened file, read as the file that it would be when rearranged (`makedumpfile -R`).
///
/// Opening reads the headers of the records and keeps 24 bytes for each piece of the file, of which
/// there are at most two a record.
#[derive(Debug)]
pub struct Flattened<S> {
    source: S,
    /// Ascending and disjoint.
    pieces: Vec<Piece>,
    size: u64,
    /// Where bytes belong that the cut last record has lost; empty if it has not.
    lost: Range<u64>,
    damage: Option<Error>,
}

/// Bytes from `start` to `end` of the file, which are at `at` in the flattened one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    start: u64,
    end: u64,
    at: u64,
}

impl<S: ReadAt> Flattened<S> {
    /// Reads the headers of `source` and of its records.
    ///
    /// A cut file, one without an end mark, opens: [`Flattened::damage`] says so.
    ///
    /// # Errors
    ///
    /// What is wrong with a header, with its offset in `source`.
    pub fn open(source: S) -> Result<Self, Error> {
        let opened = Self::open_damaged(source)?;
        match opened.damage {
            None | Some(Error::Truncated { .. }) => Ok(opened),
            Some(error) => Err(error),
        }
    }

    /// Opens what comes before the first broken record; [`Flattened::damage`] says what is wrong with it.
    ///
    /// # Errors
    ///
    /// What is wrong with the header of the file.
    pub fn open_damaged(source: S) -> Result<Self, Error> {
        check_header(&source)?;
        let mut records = Records {
            found: Vec::new(),
            lost: 0..0,
        };
        let damage = records.read(&source).err();
        let size = records.found.iter().map(|record| record.end).max();
        Ok(Self {
            source,
            size: size.unwrap_or(0),
            lost: records.lost,
            pieces: resolve(records.found),
            damage,
        })
    }

    /// Why records are missing behind some place in the file, `None` if there is an end mark.
    ///
    /// What they held then reads as zero, or as an earlier record has it; what the last one lost itself
    /// is an error.
    pub fn damage(&self) -> Option<Error> {
        self.damage
    }

    /// The flattened file itself.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The first piece that ends after `offset`, by its number.
    fn piece_after(&self, offset: u64) -> usize {
        self.pieces.partition_point(|piece| piece.end <= offset)
    }
}

impl<S: ReadAt> ReadAt for Flattened<S> {
    /// The end of the record that reaches farthest.
    ///
    /// Holes count, and one record can be anywhere: what sizes an allocation is to be checked against the
    /// size of [`Flattened::source`].
    fn size(&self) -> u64 {
        self.size
    }

    fn stored_size(&self) -> u64 {
        self.source.stored_size().min(self.size)
    }

    fn place_of(&self, offset: u64) -> u64 {
        let piece = self.pieces.get(self.piece_after(offset));
        match piece.filter(|piece| piece.start <= offset) {
            Some(piece) => self.source.place_of(piece.place_of(offset)),
            None => offset,
        }
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let needed = out.len() as u64;
        let short = |end: u64| ReadError::Short {
            offset,
            needed,
            // Past the end nothing is available: 0 is the true number there.
            available: end.saturating_sub(offset),
        };
        let end = offset.checked_add(needed).filter(|end| *end <= self.size);
        let Some(end) = end.or((needed == 0).then_some(offset)) else {
            return Err(short(self.size));
        };
        let mut coming = self.pieces.iter().skip(self.piece_after(offset)).peekable();
        let (mut at, mut rest) = (offset, out);
        while at < end {
            let piece = coming.next_if(|piece| piece.start <= at);
            let stop = match piece {
                Some(piece) => piece.end.min(end),
                None => coming.peek().map_or(end, |next| next.start.min(end)),
            };
            // Some of what is left of `out`.
            let len = usize::try_from(stop.wrapping_sub(at)).unwrap_or(usize::MAX);
            let Some((now, later)) = core::mem::take(&mut rest).split_at_mut_checked(len) else {
                return Err(short(at));
            };
            match piece {
                Some(piece) => self.source.read_exact_at(piece.place_of(at), now)?,
                None if at < self.lost.end && self.lost.start < stop => {
                    return Err(short(self.lost.start.max(at)));
                }
                None => now.fill(0),
            }
            (at, rest) = (stop, later);
        }
        Ok(())
    }

    fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
        if len == 0 {
            return Some(&[]);
        }
        let piece = self.pieces.get(self.piece_after(offset))?;
        let end = offset.checked_add(len as u64)?;
        let inside = piece.start <= offset && end <= piece.end;
        inside
            .then(|| self.source.lend_at(piece.place_of(offset), len))
            .flatten()
    }
}

impl Piece {
    /// Where the byte is that belongs at `offset`, one of this piece.
    fn place_of(&self, offset: u64) -> u64 {
        // A place in the flattened file.
        self.at.wrapping_add(offset.wrapping_sub(self.start))
    }
}

fn check_header<S: ReadAt>(source: &S) -> Result<(), Error> {
    let what = "header of a flattened dump";
    let mut header = [0; 32];
    source
        .read_exact_at(0, &mut header)
        .map_err(Error::reading(what))?;
    let (signature, numbers) = header.split_at(SIGNATURE.len());
    let wrong = |field, offset, value| {
        Err(Error::BadField {
            field,
            offset,
            value,
        })
    };
    if signature != SIGNATURE {
        return wrong(&SIGNATURE_FIELD, 0, word(signature));
    }
    let (kind, version) = numbers.split_at(8);
    match (word(kind), word(version)) {
        (ONE, ONE) => Ok(()),
        (ONE, version) => wrong(&VERSION, 24, version),
        (kind, _) => wrong(&TYPE, 16, kind),
    }
}

/// The big-endian number that `bytes`, eight of them or more, begin with.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |word| u64::from_be_bytes(*word))
}

/// The records as they come, and what the last one lost.
struct Records {
    found: Vec<Piece>,
    lost: Range<u64>,
}

impl Records {
    /// Reads the headers of the records up to the end mark, or to what is wrong.
    fn read<S: ReadAt>(&mut self, source: &S) -> Result<(), Error> {
        let mut place = HEADER_LEN as u64;
        loop {
            let mut header = [0; RECORD_HEADER_LEN];
            let what = if place == HEADER_LEN as u64 {
                "first record of a flattened dump"
            } else {
                "record or end mark of a flattened dump"
            };
            source
                .read_exact_at(place, &mut header)
                .map_err(Error::reading(what))?;
            if header == END_MARK {
                return Ok(());
            }
            let (start, len) = header.split_at(8);
            let (start, len) = (word(start), word(len));
            let wrong = |field, offset, value| Error::BadField {
                field,
                offset,
                value,
            };
            if start > OFFSET_MAX {
                return Err(wrong(&OFFSET, place, start));
            }
            let end = start.checked_add(len).filter(|end| *end <= OFFSET_MAX);
            // The header was read: its end is a place in the file.
            let data = place.wrapping_add(RECORD_HEADER_LEN as u64);
            let Some(end) = end else {
                return Err(wrong(&BUF_SIZE, data.wrapping_sub(8), len));
            };
            let available = source.size().saturating_sub(data);
            let present = len.min(available);
            let cut = start.wrapping_add(present);
            if present > 0 {
                self.found.push(Piece {
                    start,
                    end: cut,
                    at: data,
                });
            }
            if present < len {
                self.lost = cut..end;
                return Err(Error::Truncated {
                    what: "record of a flattened dump",
                    offset: data,
                    needed: len,
                    available,
                });
            }
            place = data.wrapping_add(len);
        }
    }
}

/// The pieces that remain visible. Of two records that overlap the one farther back in the flattened
/// file counts.
fn resolve(mut records: Vec<Piece>) -> Vec<Piece> {
    records.sort_unstable_by_key(|record| record.start);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut coming = records.into_iter().peekable();
    // Those that begin at or before `offset`, the last one in the file on top.
    let mut open: BinaryHeap<(u64, u64, u64)> = BinaryHeap::new();
    let mut offset = 0;
    loop {
        if open.is_empty() {
            let Some(next) = coming.peek() else {
                return pieces;
            };
            offset = next.start;
        }
        while let Some(record) = coming.next_if(|record| record.start <= offset) {
            open.push((record.at, record.start, record.end));
        }
        let Some(&(at, start, end)) = open.peek() else {
            return pieces;
        };
        if end <= offset {
            open.pop();
            continue;
        }
        let stop = coming.peek().map_or(end, |next| next.start.min(end));
        let whole = Piece { start, end, at };
        let piece = Piece {
            start: offset,
            end: stop,
            at: whole.place_of(offset),
        };
        match pieces.last_mut() {
            // A record that the next one did not cover goes on.
            Some(last) if last.end == offset && last.place_of(offset) == piece.at => {
                last.end = stop
            }
            _ => pieces.push(piece),
        }
        offset = stop;
    }
}

/// The header of a flattened file; records and [`END_MARK`] follow.
///
/// ```
/// use vmcore_format::{Flattened, ReadAt, flattened};
///
/// let mut file = flattened::header().to_vec();
/// for (offset, bytes) in [(0, "a dump"), (2, "d")] {
///     file.extend(flattened::record_header(offset, bytes.len()).ok_or("too far")?);
///     file.extend(bytes.as_bytes());
/// }
/// file.extend(flattened::END_MARK);
///
/// let mut read = [0; 6];
/// Flattened::open(&file[..])?.read_exact_at(0, &mut read)?;
/// assert_eq!(&read, b"a dump");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn header() -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let fields = SIGNATURE
        .into_iter()
        .chain(ONE.to_be_bytes())
        .chain(ONE.to_be_bytes());
    for (to, byte) in header.iter_mut().zip(fields) {
        *to = byte;
    }
    header
}

/// What goes in front of `len` bytes that belong at `offset`; `None` if they would end past 2^63 - 1.
pub fn record_header(offset: u64, len: usize) -> Option<[u8; RECORD_HEADER_LEN]> {
    let len = u64::try_from(len).ok()?;
    offset.checked_add(len).filter(|end| *end <= OFFSET_MAX)?;
    let mut header = [0; RECORD_HEADER_LEN];
    let (start, size) = header.split_at_mut(8);
    start.copy_from_slice(&offset.to_be_bytes());
    size.copy_from_slice(&len.to_be_bytes());
    Some(header)
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};
    use std::string::ToString;

    use super::*;

    fn file(records: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = header().to_vec();
        for (offset, bytes) in records {
            file.extend(record_header(*offset, bytes.len()).unwrap());
            file.extend(*bytes);
        }
        file.extend(END_MARK);
        file
    }

    fn read(flattened: &Flattened<&[u8]>) -> Vec<u8> {
        let mut out = vec![0xaa; usize::try_from(flattened.size()).unwrap()];
        flattened.read_exact_at(0, &mut out).unwrap();
        out
    }

    fn pieces(records: &[(u64, &[u8])]) -> Vec<(u64, u64)> {
        let file = file(records);
        let flattened = Flattened::open(&file[..]).unwrap();
        flattened.pieces.iter().map(|p| (p.start, p.end)).collect()
    }

    #[test]
    fn later_records_count_and_holes_are_zero() {
        let file = file(&[
            (4, b"abcdefgh"),
            (0, b"xy"),
            (6, b"CD"),
            (11, b"HI"),
            (20, b""),
        ]);
        let flattened = Flattened::open(&file[..]).unwrap();
        assert_eq!(read(&flattened), b"xy\0\0abCDefgHI");
        assert_eq!(flattened.damage(), None);
        // Inside one record, and across two.
        assert_eq!(flattened.lend_at(8, 3), Some(&b"efg"[..]));
        assert_eq!(flattened.lend_at(8, 4), None);
        assert_eq!(flattened.lend_at(2, 1), None);
        assert_eq!(flattened.lend_at(u64::MAX, 0), Some(&b""[..]));
        // The headers of the first three records, and four bytes of the first one.
        let places = [4, 0, 6, 8].map(|offset| flattened.place_of(offset));
        assert_eq!(places, [0x1010, 0x1028, 0x103a, 0x1014]);
        assert_eq!(flattened.place_of(3), 3);
        assert_eq!(flattened.place_of(u64::MAX), u64::MAX);
        let past = flattened.read_exact_at(11, &mut [0; 3]);
        assert_eq!(
            past,
            Err(ReadError::Short {
                offset: 11,
                needed: 3,
                available: 2
            })
        );
        assert_eq!(flattened.read_exact_at(u64::MAX, &mut []), Ok(()));
    }

    #[test]
    fn a_record_is_one_piece_where_nothing_covers_it() {
        // An earlier one that begins inside does not split it.
        assert_eq!(pieces(&[(2, b"bc"), (0, b"ABCDE")]), [(0, 5)]);
        assert_eq!(
            pieces(&[(0, b"ABCDE"), (2, b"bc")]),
            [(0, 2), (2, 4), (4, 5)]
        );
        assert_eq!(
            pieces(&[(0, b"ab"), (0, b"AB"), (0, b"A")]),
            [(0, 1), (1, 2)]
        );
    }

    #[test]
    fn a_cut_file_says_so_and_does_not_pass_what_it_lost_for_zeros() {
        let whole = file(&[(10, b"z"), (0, b"abcd"), (4, b"efgh")]);
        let cut = |lost: usize| Flattened::open(&whole[..whole.len() - lost]).unwrap();
        for lost in 1..=16 {
            let flattened = cut(lost);
            let error = flattened.damage().unwrap().to_string();
            assert!(
                error.contains("end mark of a flattened dump needs 0x10 bytes"),
                "{error}"
            );
            assert_eq!(read(&flattened), b"abcdefgh\0\0z");
        }
        let flattened = cut(16 + 3);
        let error = flattened.damage().unwrap().to_string();
        assert_eq!(
            error,
            "offset 0x1035: record of a flattened dump needs 0x4 bytes, 0x1 are there"
        );
        let mut out = [0; 5];
        assert_eq!(flattened.read_exact_at(0, &mut out), Ok(()));
        assert_eq!(&out, b"abcde");
        assert_eq!(
            flattened.read_exact_at(3, &mut out),
            Err(ReadError::Short {
                offset: 3,
                needed: 5,
                available: 2
            })
        );
        assert_eq!(flattened.read_exact_at(8, &mut out[..3]), Ok(()));
        assert_eq!(&out[..3], b"\0\0z");
    }

    #[test]
    fn broken_headers() {
        let sound = file(&[(0, b"abcd"), (4, b"efgh")]);
        for (at, value, error) in [
            (
                0,
                b'M',
                "offset 0x0: signature is 0x4d616b6564756d70, allowed: \"makedumpfile\" and four zero bytes",
            ),
            (
                15,
                1,
                "offset 0x0: signature is 0x6d616b6564756d70, allowed: \"makedumpfile\" and four zero bytes",
            ),
            (
                23,
                2,
                "offset 0x10: type is 0x2, allowed: 1 (TYPE_FLAT_HEADER)",
            ),
            (
                31,
                0,
                "offset 0x18: version is 0x0, allowed: 1 (VERSION_FLAT_HEADER)",
            ),
            (
                0x1014,
                0x80,
                "offset 0x1014: offset of a record is 0x8000000000000004, allowed: 0 to 2^63 - 1, or -1 beside a buf_size of -1",
            ),
            (
                0x101c,
                0xff,
                "offset 0x101c: buf_size of a record is 0xff00000000000004, allowed: 0 to 2^63 - 1 - offset",
            ),
            (0x1014, 0x7f, ""),
        ] {
            let mut file = sound.clone();
            file[at] = value;
            let opened = Flattened::open(&file[..]);
            if error.is_empty() {
                // 2^63 - 2^56 + 4: far, and not wrong.
                assert_eq!(opened.unwrap().size(), 0x7f00_0000_0000_0008);
                continue;
            }
            assert_eq!(opened.unwrap_err().to_string(), error);
            if at >= HEADER_LEN {
                let opened = Flattened::open_damaged(&file[..]).unwrap();
                assert_eq!(read(&opened), b"abcd");
                assert_eq!(opened.damage().unwrap().to_string(), error);
            }
        }
        let cut = Flattened::open(&sound[..31]).unwrap_err().to_string();
        assert_eq!(
            cut,
            "offset 0x0: header of a flattened dump needs 0x20 bytes, 0x1f are there"
        );
        assert_eq!(Flattened::open(&sound[..100]).unwrap().size(), 0);
    }

    #[test]
    fn what_is_written() {
        assert_eq!(
            record_header(OFFSET_MAX, 0).unwrap()[..9],
            [0x7f, 255, 255, 255, 255, 255, 255, 255, 0]
        );
        assert_eq!(record_header(OFFSET_MAX, 1), None);
        assert_eq!(record_header(u64::MAX, 1), None);
    }
}
