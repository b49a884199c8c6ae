//! The container of lzop.
//!
//! ```text
//!  89 4c 5a 4f 00 0d 0a 1a 0a
//!  version u16 │ of the library u16 │ needed u16? │ method u8 │ level u8? │ flags u32 │ filter u32?
//!  mode u32 │ mtime u32 │ its high half u32? │ length of the name u8 │ name │ sum of all since version u32
//!  blocks:  size u32, 0 at the end │ compressed size u32 │ sums of the data │ sums of the compressed │ data
//! ```
//!
//! All numbers are big-endian; fields with `?` are there since 0.940, or by a flag. Source: lzop
//! 1.04, `conf.h` and `lzop.c`; Linux `lib/decompress_unlzo.c`.

use super::{Stream, members::Member, reader::Reader};
use crate::error::Result;

const MAGIC: [u8; 9] = *b"\x89LZO\0\r\n\x1a\n";
/// The version since which there are more fields.
const V0_940: u16 = 0x0940;

const F_ADLER32_D: u32 = 1 << 0;
const F_ADLER32_C: u32 = 1 << 1;
const F_CRC32_D: u32 = 1 << 8;
const F_CRC32_C: u32 = 1 << 9;
const F_H_EXTRA_FIELD: u32 = 1 << 6;
const F_H_FILTER: u32 = 1 << 11;

pub(super) fn decode(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let mut reader = Reader::new(stream);
    let flags = header(&mut reader, stream)?;
    let mut written = 0_usize;
    loop {
        let at = reader.at();
        let Some(block) = Block::next(&mut reader, stream, flags)? else {
            let read = reader.at();
            return Ok(Member { read, written });
        };
        let Block {
            size,
            packed,
            adler,
            crc,
        } = block;
        let limit = out.len();
        let rest = out.get_mut(written..).unwrap_or_default();
        let slot = rest.get_mut(..size).ok_or_else(|| stream.full(limit))?;
        let sound = if packed.len() == size {
            slot.copy_from_slice(packed);
            true
        } else {
            packed.len() < size && lzokay::decompress::decompress(packed, slot) == Ok(size)
        };
        if !sound {
            return Err(stream.corrupt(at));
        }
        check(stream, at, "Adler-32 of lzop", adler, || adler32(slot))?;
        check(stream, at, "CRC-32 of lzop", crc, || crc32fast::hash(slot))?;
        // No overflow: inside a slice.
        written = written.saturating_add(size);
    }
}

/// Bytes that all blocks have when decompressed, as each of them says.
#[cfg(feature = "alloc")]
pub(super) fn unpacked_size(stream: &Stream<'_>) -> Option<u64> {
    let mut reader = Reader::new(stream);
    let flags = header(&mut reader, stream).ok()?;
    let mut size = 0_u64;
    while let Some(block) = Block::next(&mut reader, stream, flags).ok()? {
        // Up to 4 GiB each, and each has bytes in a slice.
        size = size.saturating_add(block.size as u64);
    }
    Some(size)
}

struct Block<'s> {
    /// Its bytes when decompressed.
    size: usize,
    packed: &'s [u8],
    adler: Option<u32>,
    crc: Option<u32>,
}

impl<'s> Block<'s> {
    /// The next block; `None` at the end.
    fn next(reader: &mut Reader<'s>, stream: &Stream<'_>, flags: u32) -> Result<Option<Self>> {
        let at = reader.at();
        let size = word(reader)?;
        if size == 0 {
            return Ok(None);
        }
        let packed = word(reader)?;
        let adler = sum(reader, flags & F_ADLER32_D != 0)?;
        let crc = sum(reader, flags & F_CRC32_D != 0)?;
        if packed < size {
            sum(reader, flags & F_ADLER32_C != 0)?;
            sum(reader, flags & F_CRC32_C != 0)?;
        }
        let (Ok(size), Ok(packed)) = (usize::try_from(size), usize::try_from(packed)) else {
            return Err(stream.corrupt(at));
        };
        let packed = reader.bytes(packed)?;
        Ok(Some(Self {
            size,
            packed,
            adler,
            crc,
        }))
    }
}

/// The flags; the rest of the header is skipped.
fn header(reader: &mut Reader<'_>, stream: &Stream<'_>) -> Result<u32> {
    if reader.array()? != MAGIC {
        return Err(stream.corrupt(0));
    }
    let [high, low, ..] = reader.array::<4>()?;
    let new = u16::from_be_bytes([high, low]) >= V0_940;
    // Version needed, method and level; or the method alone.
    reader.bytes(if new { 4 } else { 1 })?;
    let flags = word(reader)?;
    if flags & F_H_EXTRA_FIELD != 0 {
        // lzop itself never writes one.
        return Err(stream.corrupt(reader.at()));
    }
    if flags & F_H_FILTER != 0 {
        reader.bytes(4)?;
    }
    // Mode and time.
    reader.bytes(if new { 12 } else { 8 })?;
    let [name] = reader.array()?;
    reader.bytes(usize::from(name))?;
    // The header's own sum.
    reader.bytes(4)?;
    Ok(flags)
}

fn word(reader: &mut Reader<'_>) -> Result<u32> {
    reader.array().map(u32::from_be_bytes)
}

fn sum(reader: &mut Reader<'_>, there: bool) -> Result<Option<u32>> {
    there.then(|| word(reader)).transpose()
}

fn check(
    stream: &Stream<'_>,
    at: usize,
    what: &'static str,
    stored: Option<u32>,
    compute: impl Fn() -> u32,
) -> Result<()> {
    stored.map_or(Ok(()), |stored| stream.check(at, what, stored, compute()))
}

/// RFC 1950.
fn adler32(bytes: &[u8]) -> u32 {
    const MOD: u32 = 65_521;
    // So many bytes pass no 32 bits before the remainder is taken.
    const RUN: usize = 5_552;
    let (mut a, mut b) = (1_u32, 0_u32);
    for run in bytes.chunks(RUN) {
        for &byte in run {
            a = a.wrapping_add(byte.into());
            b = b.wrapping_add(a);
        }
        (a, b) = (a % MOD, b % MOD);
    }
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adler32_of_known_texts() {
        assert_eq!(adler32(b""), 1);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(adler32(&[0xff; 100_000]), 0x149a_302c);
    }
}
