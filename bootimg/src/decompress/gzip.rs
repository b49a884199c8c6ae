//! gzip, RFC 1952: one member.
//!
//! ```text
//!  0  1f 8b  08  FLG  MTIME 4  XFL  OS
//! 10  FEXTRA: u16, so many bytes │ FNAME: to a NUL │ FCOMMENT: to a NUL │ FHCRC: u16
//!     deflate …
//!     CRC-32 │ size modulo 2^32
//! ```

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    },
};

use super::{Stream, members::Member};
use crate::error::{Error, Field, Result};

const HEADER: usize = 10;
const TRAILER: usize = 8;
const DEFLATE: u8 = 8;
/// Where `CM` and `FLG` are.
const CM_AT: usize = 2;
const FLG_AT: usize = 3;
const FHCRC: u8 = 1 << 1;
const FEXTRA: u8 = 1 << 2;
const FNAME: u8 = 1 << 3;
const FCOMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;
/// Where the size is, behind the sum.
const ISIZE_AT: usize = 4;

const CM: Field = Field {
    name: "CM",
    allowed: "8 (deflate)",
};
const FLG: Field = Field {
    name: "FLG",
    allowed: "0x1f and below",
};
const ISIZE: Field = Field {
    name: "ISIZE",
    allowed: "the bytes of the data, modulo 2^32",
};

pub(super) fn decode(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let deflated = behind_header(stream)?;
    // No overflow: what is left of a slice.
    let start = stream.bytes.len().saturating_sub(deflated.len());
    let mut state = DecompressorOxide::default();
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut state, deflated, out, 0, flags);
    let at = start.saturating_add(read);
    match status {
        TINFLStatus::Done => {}
        TINFLStatus::HasMoreOutput => return Err(stream.full(out.len())),
        // Without more input.
        TINFLStatus::FailedCannotMakeProgress => return Err(stream.incomplete(at)),
        _ => return Err(stream.corrupt(at)),
    }
    let trailer = deflated
        .get(read..)
        .and_then(|rest| rest.first_chunk::<TRAILER>());
    let found = out.get(..written).unwrap_or_default();
    let Some(&[a, b, c, d, size @ ..]) = trailer else {
        return Err(stream.incomplete(at));
    };
    let (stored, computed) = (u32::from_le_bytes([a, b, c, d]), crc32fast::hash(found));
    stream.check(at, "CRC-32 of gzip", stored, computed)?;
    if !written.to_le_bytes().starts_with(&size) {
        let at = at.saturating_add(ISIZE_AT);
        return Err(bad(stream, &ISIZE, at, u32::from_le_bytes(size)));
    }
    // Found there, with the sum and the size behind it.
    let read = at.saturating_add(TRAILER);
    Ok(Member { read, written })
}

fn bad(stream: &Stream<'_>, field: &'static Field, at: usize, value: u32) -> Error {
    Error::BadField {
        field,
        offset: stream.place(at),
        value: value.into(),
    }
}

/// What follows the header.
fn behind_header<'s>(stream: &Stream<'s>) -> Result<&'s [u8]> {
    let header = stream.bytes.split_first_chunk::<HEADER>();
    let (&[_, _, method, flags, ..], rest) = header.ok_or_else(|| stream.incomplete(0))?;
    if method != DEFLATE {
        return Err(bad(stream, &CM, CM_AT, method.into()));
    }
    if flags & RESERVED != 0 {
        return Err(bad(stream, &FLG, FLG_AT, flags.into()));
    }
    behind_fields(flags, rest).ok_or_else(|| stream.incomplete(HEADER))
}

/// What follows the fields that are there by their flags; `None` if they are not all there.
fn behind_fields(flags: u8, mut rest: &[u8]) -> Option<&[u8]> {
    if flags & FEXTRA != 0 {
        let (len, behind) = rest.split_first_chunk()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            let end = memchr::memchr(0, rest)?;
            rest = rest.get(end..)?.get(1..)?;
        }
    }
    if flags & FHCRC != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{Compression, error::Error};

    /// A header with these flags and fields, then "hello".
    fn file(flags: u8, fields: &[u8]) -> Vec<u8> {
        let header = [0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 2, 3];
        let data = b"\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
        [&header, fields, data].concat()
    }

    fn decoded(file: &[u8]) -> Result<Vec<u8>> {
        let stream = Stream {
            compression: Compression::Gzip,
            bytes: file,
            offset: 0x1000,
            unpacked_size: None,
        };
        let mut out = [0xff; 5];
        let member = decode(&stream, &mut out)?;
        assert!(file[member.read..].is_empty() || file[member.read..] == *b"more");
        Ok(out[..member.written].to_vec())
    }

    #[test]
    fn all_fields_of_the_header_are_skipped() {
        let all = FHCRC | FEXTRA | FNAME | FCOMMENT;
        for (flags, fields) in [
            (0, &b""[..]),
            (FHCRC, b"hc"),
            (FEXTRA, b"\x03\0abc"),
            (FNAME, b"name\0"),
            (FCOMMENT, b"\0"),
            (all, b"\x01\0xname\0comment\0hc"),
        ] {
            assert_eq!(
                decoded(&file(flags, fields)).unwrap(),
                b"hello",
                "{flags:#x}"
            );
        }
    }

    #[test]
    fn headers_that_claim_more_than_there_is() {
        for (flags, fields) in [(FEXTRA, &b"\xff\xff"[..]), (FNAME, b"x"), (FCOMMENT, b"")] {
            let mut file = file(flags, fields);
            file.retain(|byte| flags == FEXTRA || *byte != 0);
            let incomplete = Error::Incomplete {
                what: "gzip",
                offset: 0x100a,
            };
            assert_eq!(decoded(&file), Err(incomplete), "{flags:#x}");
        }
    }

    #[test]
    fn every_prefix_and_a_wrong_sum_or_size() {
        let file = file(0, b"");
        for len in 0..file.len() {
            let at = match len {
                0..10 => 0,
                10..17 => len as u64,
                _ => 17,
            };
            let incomplete = Error::Incomplete {
                what: "gzip",
                offset: 0x1000 + at,
            };
            assert_eq!(decoded(&file[..len]), Err(incomplete), "{len}");
        }
        let mut wrong = file.clone();
        wrong[17] ^= 1;
        assert!(matches!(
            decoded(&wrong),
            Err(Error::Checksum {
                offset: 0x1011,
                computed: 0x3610_a686,
                ..
            })
        ));
        let mut wrong = file.clone();
        wrong[24] ^= 1;
        let size = Error::BadField {
            field: &ISIZE,
            offset: 0x1015,
            value: 5 | 1 << 24,
        };
        assert_eq!(decoded(&wrong), Err(size));
        for (at, field) in [(2, &CM), (3, &FLG)] {
            let mut wrong = file.clone();
            wrong[at] |= 0x80;
            let bad = Error::BadField {
                field,
                offset: 0x1000 + at as u64,
                value: wrong[at].into(),
            };
            assert_eq!(decoded(&wrong), Err(bad));
        }
        // More behind it is not part of it.
        let more = [&file[..], b"more"].concat();
        assert_eq!(decoded(&more).unwrap(), b"hello");
    }
}
