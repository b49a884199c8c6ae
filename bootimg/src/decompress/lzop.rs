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

use adler2::adler32_slice;

use super::{Stream, members::Member, reader::Reader};
use crate::error::{Error, Result};

const MAGIC: [u8; 9] = *b"\x89LZO\0\r\n\x1a\n";
/// The version since which there are more fields.
const V0_940: u16 = 0x0940;

/// Which sums there are: of the data, of the compressed data; and which one is the header's.
const F_ADLER32_D: u32 = 1 << 0;
const F_ADLER32_C: u32 = 1 << 1;
const F_CRC32_D: u32 = 1 << 8;
const F_CRC32_C: u32 = 1 << 9;
const F_H_CRC32: u32 = 1 << 12;
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
        let Block { size, packed, .. } = block;
        let limit = out.len();
        let rest = out.get_mut(written..).unwrap_or_default();
        let slot = rest.get_mut(..size).ok_or_else(|| stream.full(limit))?;
        for sum in block.packed_sums.iter().flatten() {
            sum.check(stream, packed)?;
        }
        let sound = if packed.len() == size {
            slot.copy_from_slice(packed);
            true
        } else {
            packed.len() < size && lzokay::decompress::decompress(packed, slot) == Ok(size)
        };
        if !sound {
            return Err(stream.corrupt(at));
        }
        for sum in block.sums.iter().flatten() {
            sum.check(stream, slot)?;
        }
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

/// A sum that the stream has, where, and of what kind.
struct Sum {
    what: &'static str,
    at: usize,
    stored: u32,
    compute: fn(&[u8]) -> u32,
}

impl Sum {
    fn check(&self, stream: &Stream<'_>, bytes: &[u8]) -> Result<()> {
        stream.check(self.at, self.what, self.stored, (self.compute)(bytes))
    }
}

struct Block<'s> {
    /// Its bytes when decompressed.
    size: usize,
    packed: &'s [u8],
    sums: [Option<Sum>; 2],
    packed_sums: [Option<Sum>; 2],
}

impl<'s> Block<'s> {
    /// The next block; `None` at the end.
    fn next(reader: &mut Reader<'s>, stream: &Stream<'_>, flags: u32) -> Result<Option<Self>> {
        let start = reader.at();
        let size = word(reader)?;
        if size == 0 {
            return Ok(None);
        }
        let packed = word(reader)?;
        let mut sum = |what, flag, compute: fn(&[u8]) -> u32| -> Result<Option<Sum>> {
            let at = reader.at();
            let stored = (flags & flag != 0).then(|| word(reader)).transpose()?;
            Ok(stored.map(|stored| Sum {
                what,
                at,
                stored,
                compute,
            }))
        };
        let sums = [
            sum("Adler-32 of lzop", F_ADLER32_D, adler32_slice)?,
            sum("CRC-32 of lzop", F_CRC32_D, crc32fast::hash)?,
        ];
        let packed_sums = if packed < size {
            [
                sum(
                    "Adler-32 of compressed data of lzop",
                    F_ADLER32_C,
                    adler32_slice,
                )?,
                sum(
                    "CRC-32 of compressed data of lzop",
                    F_CRC32_C,
                    crc32fast::hash,
                )?,
            ]
        } else {
            [None, None]
        };
        let (Ok(size), Ok(packed)) = (usize::try_from(size), usize::try_from(packed)) else {
            return Err(stream.corrupt(start));
        };
        let packed = reader.bytes(packed)?;
        Ok(Some(Self {
            size,
            packed,
            sums,
            packed_sums,
        }))
    }
}

/// The flags; the rest of the header is skipped, when its sum is right.
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
    let filter_at = reader.at();
    let filter = if flags & F_H_FILTER != 0 {
        word(reader)?
    } else {
        0
    };
    // Mode and time.
    reader.bytes(if new { 12 } else { 8 })?;
    let [name] = reader.array()?;
    reader.bytes(usize::from(name))?;
    let at = reader.at();
    let fields = stream.bytes.get(MAGIC.len()..at).unwrap_or_default();
    let computed = if flags & F_H_CRC32 != 0 {
        crc32fast::hash(fields)
    } else {
        adler32_slice(fields)
    };
    stream.check(at, "header checksum of lzop", word(reader)?, computed)?;
    if filter != 0 {
        // What it did to the data is to be undone.
        return Err(Error::Unsupported {
            what: "filter of lzop",
            offset: stream.place(filter_at),
            value: filter.into(),
        });
    }
    Ok(flags)
}

fn word(reader: &mut Reader<'_>) -> Result<u32> {
    reader.array().map(u32::from_be_bytes)
}
