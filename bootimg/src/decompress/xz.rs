//! xz: one stream, of blocks of LZMA2 with the filters for machine code in front of it.
//!
//! ```text
//!  stream   fd "7zXZ" 00 │ 00 │ check u8 │ CRC-32 │ block … │ index │ CRC-32 │ size of the index u32 │ 00 │ check │ "YZ"
//!  block    size u8 │ flags u8 │ packed size? │ size? │ filter … │ padding │ CRC-32 │ LZMA2 │ padding │ check
//!  filter   id │ bytes of properties │ properties
//!  LZMA2    control u8 │ size - 1 u16 │ packed size - 1 u16? │ properties u8? │ data │ …  00
//!  index    00 │ count │ unpadded size, size │ … │ padding │ CRC-32
//! ```
//!
//! Sizes and ids without a type have seven bits a byte, the lowest first. What LZMA2 refers to is taken from
//! the output; the filters are applied to it when a block is complete.
//!
//! Source: xz `doc/xz-file-format.txt`; for LZMA2, Linux `lib/xz/xz_dec_lzma2.c`.

use alloc::boxed::Box;

use lzma_rust2::{FilterConfig, filter::StreamFilter};
use sha2::{Digest, Sha256};

use super::{
    Stream,
    lzma::{End, Properties, Range, State, Window},
    members::Member,
    reader::Reader,
};
use crate::error::Result;

const MAGIC: [u8; 6] = *b"\xfd7zXZ\0";
const FOOTER_MAGIC: [u8; 2] = *b"YZ";

const CHECK_CRC32: u8 = 0x1;
const CHECK_CRC64: u8 = 0x4;
const CHECK_SHA256: u8 = 0xa;
/// Bytes of a check, by its number.
const CHECK_SIZES: [usize; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/// `flags` of a block: how many filters, less 1; sizes that are there; bits that must be 0.
const FILTERS: u8 = 0x3;
const PACKED_SIZE: u8 = 0x40;
const SIZE: u8 = 0x80;
const RESERVED: u8 = 0x3c;

const DELTA: u64 = 0x3;
const LZMA2: u64 = 0x21;

/// Blocks and fields are padded to so many bytes.
const UNIT: usize = 4;

pub(super) fn decode(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let mut reader = Reader::new(stream);
    let check = header(&mut reader, stream)?;
    let mut window = Window {
        out,
        start: 0,
        at: 0,
        size: 0,
    };
    let mut sums = Sums::default();
    loop {
        let (at, written) = (reader.at(), window.at);
        let [size] = reader.array()?;
        if size == 0 {
            break;
        }
        let block = block_header(&mut reader, stream, size)?;
        let start = reader.at();
        window.size = block.dictionary;
        lzma2(&mut reader, stream, &mut window)?;
        let packed = reader.at();
        let data = window.out.get_mut(written..window.at).unwrap_or_default();
        for config in block.filters.into_iter().rev().flatten() {
            let mut filter = StreamFilter::new(&config).map_err(|_| stream.corrupt(at))?;
            filter.decode(data);
        }
        let size = data.len() as u64;
        // No overflow: places in a slice, one behind the other.
        let stated = [
            (block.packed_size, packed.wrapping_sub(start) as u64),
            (block.size, size),
        ];
        if stated
            .iter()
            .any(|(stated, found)| stated.is_some_and(|stated| stated != *found))
        {
            return Err(stream.corrupt(at));
        }
        padding(&mut reader, packed)?;
        verify(&mut reader, stream, check, data)?;
        let check = CHECK_SIZES
            .get(usize::from(check))
            .copied()
            .unwrap_or_default();
        sums.add(packed.wrapping_sub(at).wrapping_add(check) as u64, size);
    }
    index(&mut reader, stream, check, &sums)?;
    Ok(Member {
        read: reader.at(),
        written: window.at,
    })
}

/// Bytes that a stream has when decompressed, by its index; `None` if none ends the bytes.
pub(super) fn unpacked_size(stream: &Stream<'_>) -> Option<u64> {
    let (rest, [.., a, b, c, d, _, _, _, _]) = stream.bytes.split_last_chunk::<12>()?;
    let units = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?;
    let start = rest
        .len()
        .checked_sub(units.checked_add(1)?.checked_mul(UNIT)?)?;
    let bytes = rest.get(start..)?;
    let mut reader = Reader::new(&Stream { bytes, ..*stream });
    if reader.array().ok()? != [0] {
        return None;
    }
    let mut size = 0_u64;
    for _ in 0..number(&mut reader).ok()? {
        number(&mut reader).ok()?;
        size = size.checked_add(number(&mut reader).ok()?)?;
    }
    Some(size)
}

/// The check of all blocks.
fn header(reader: &mut Reader<'_>, stream: &Stream<'_>) -> Result<u8> {
    if reader.array()? != MAGIC {
        return Err(stream.corrupt(0));
    }
    let at = reader.at();
    let flags = reader.array::<2>()?;
    sum(reader, stream, "CRC-32 of the header of xz", &flags)?;
    match flags {
        [0, check @ 0..16] => Ok(check),
        _ => Err(stream.corrupt(at)),
    }
}

/// The CRC-32 of some bytes, which is the next field.
fn sum(
    reader: &mut Reader<'_>,
    stream: &Stream<'_>,
    what: &'static str,
    bytes: &[u8],
) -> Result<()> {
    let at = reader.at();
    let stored = u32::from_le_bytes(reader.array()?);
    stream.check(at, what, stored, crc32fast::hash(bytes))
}

struct Block {
    packed_size: Option<u64>,
    size: Option<u64>,
    /// Bytes that LZMA2 may refer back to.
    dictionary: usize,
    /// In the order of compression, without LZMA2, the last one.
    filters: [Option<FilterConfig>; 3],
}

/// The header of a block, of which the first byte has been read.
fn block_header(reader: &mut Reader<'_>, stream: &Stream<'_>, size: u8) -> Result<Block> {
    let at = reader.at();
    let corrupt = || stream.corrupt(at);
    // No overflow: a byte of units. The size itself is a byte, the sum behind it four.
    let len = usize::from(size).wrapping_mul(UNIT).wrapping_sub(1);
    let fields = reader.bytes(len)?;
    let start = at.wrapping_sub(1);
    let covered = stream.bytes.get(start..reader.at()).unwrap_or_default();
    sum(reader, stream, "CRC-32 of a block's header of xz", covered)?;

    let mut fields = Reader::new(&Stream {
        bytes: fields,
        offset: stream.place(at),
        ..*stream
    });
    let [flags] = fields.array()?;
    if flags & RESERVED != 0 {
        return Err(corrupt());
    }
    let mut stated = |flag| (flags & flag != 0).then(|| number(&mut fields)).transpose();
    let (packed_size, size) = (stated(PACKED_SIZE)?, stated(SIZE)?);
    let mut filters = [const { None }; 3];
    for slot in filters.iter_mut().take((flags & FILTERS).into()) {
        *slot = Some(filter(&mut fields)?.ok_or_else(corrupt)?);
    }
    let (id, properties) = filter_flags(&mut fields)?;
    let dictionary = match (id, properties) {
        (LZMA2, &[size]) => dictionary(size).ok_or_else(corrupt)?,
        _ => return Err(corrupt()),
    };
    if fields.rest().iter().any(|&byte| byte != 0) {
        return Err(corrupt());
    }
    Ok(Block {
        packed_size,
        size,
        dictionary,
        filters,
    })
}

/// Number and properties of a filter.
fn filter_flags<'s>(fields: &mut Reader<'s>) -> Result<(u64, &'s [u8])> {
    let id = number(fields)?;
    let len = usize::try_from(number(fields)?).unwrap_or(usize::MAX);
    Ok((id, fields.bytes(len)?))
}

/// A filter in front of LZMA2; `None` for one that is not known, or has properties that are not.
fn filter(fields: &mut Reader<'_>) -> Result<Option<FilterConfig>> {
    let (id, properties) = filter_flags(fields)?;
    if let (DELTA, &[distance]) = (id, properties) {
        // No overflow: a byte.
        let distance = u32::from(distance).saturating_add(1);
        return Ok(Some(FilterConfig::new_delta(distance)));
    }
    // With the bits of an address that are 0 where an instruction may be.
    let (unaligned, config): (u32, fn(u32) -> FilterConfig) = match id {
        0x4 => (0, FilterConfig::new_bcj_x86),
        0x5 => (3, FilterConfig::new_bcj_ppc),
        0x6 => (15, FilterConfig::new_bcj_ia64),
        0x7 => (3, FilterConfig::new_bcj_arm),
        0x8 => (1, FilterConfig::new_bcj_arm_thumb),
        0x9 => (3, FilterConfig::new_bcj_sparc),
        0xa => (3, FilterConfig::new_bcj_arm64),
        0xb => (1, FilterConfig::new_bcj_risc_v),
        _ => return Ok(None),
    };
    // Where the code starts that is filtered.
    let start = match *properties {
        [] => 0,
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => return Ok(None),
    };
    Ok((start & unaligned == 0).then(|| config(start)))
}

/// 2 or 3 times a power of two from 4 KiB on, or 4 GiB less one.
fn dictionary(size: u8) -> Option<usize> {
    let bytes = match size {
        0..40 => u64::from(size & 1 | 2) << (size >> 1).wrapping_add(11),
        40 => u32::MAX.into(),
        _ => return None,
    };
    Some(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Chunks of LZMA2 up to the byte that ends them.
fn lzma2(reader: &mut Reader<'_>, stream: &Stream<'_>, window: &mut Window<'_>) -> Result<()> {
    let mut state: Option<Box<State>> = None;
    let mut begun = false;
    loop {
        let at = reader.at();
        let corrupt = || stream.corrupt(at);
        let [control] = reader.array()?;
        match control {
            0 => return Ok(()),
            // The dictionary starts anew, and what was learned is of no use.
            1 | 0xe0.. => {
                window.start = window.at;
                state = None;
                begun = true;
            }
            2 | 0x80.. if begun => {}
            _ => return Err(corrupt()),
        }
        let high = if control < 0x80 { 0 } else { control & 0x1f };
        let [middle, low] = reader.array()?;
        // Of 21 bits.
        let size = u32::from_be_bytes([0, high, middle, low]).wrapping_add(1);
        let size = usize::try_from(size).map_err(|_| corrupt())?;
        let room = window.out.len();
        let end = window.at.checked_add(size).filter(|end| *end <= room);
        if control < 0x80 {
            let data = reader.bytes(size)?;
            let end = end.ok_or_else(|| stream.full(room))?;
            let slot = window.out.get_mut(window.at..end).unwrap_or_default();
            slot.copy_from_slice(data);
            window.at = end;
            continue;
        }
        let packed = usize::from(u16::from_be_bytes(reader.array()?)).saturating_add(1);
        if control >= 0xc0 {
            let [properties] = reader.array()?;
            let properties = Properties::new(properties).ok_or_else(corrupt)?;
            state = Some(Box::new(State::new(properties)));
        }
        let state = state.as_mut().ok_or_else(corrupt)?;
        if (0xa0..0xc0).contains(&control) {
            state.reset();
        }
        let bytes = reader.bytes(packed)?;
        let end = end.ok_or_else(|| stream.full(room))?;
        let mut range = Range::new(bytes).ok_or_else(corrupt)?;
        let full = state.decode(&mut range, window, end) == Some(End::Full);
        if !full || !range.settled() || range.taken() != packed {
            return Err(corrupt());
        }
    }
}

/// Zeros up to the next unit, counted from where the file of xz starts.
fn padding(reader: &mut Reader<'_>, end: usize) -> Result<()> {
    // No overflow: a place in a slice.
    let len = end.wrapping_neg() & (UNIT - 1);
    let found = reader.bytes(len)?;
    if found.iter().all(|&byte| byte == 0) {
        Ok(())
    } else {
        Err(reader.corrupt())
    }
}

/// The check behind a block.
fn verify(reader: &mut Reader<'_>, stream: &Stream<'_>, check: u8, data: &[u8]) -> Result<()> {
    let at = reader.at();
    let size = CHECK_SIZES.get(usize::from(check)).copied();
    let stored = reader.bytes(size.unwrap_or_default())?;
    let sound = match (check, stored) {
        (CHECK_CRC32, &[a, b, c, d]) => {
            let stored = u32::from_le_bytes([a, b, c, d]);
            stream.check(at, "CRC-32 of xz", stored, crc32fast::hash(data))?;
            true
        }
        (CHECK_CRC64, &[a, b, c, d, e, f, g, h]) => {
            let stored = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            stream.check(at, "CRC-64 of xz", stored, crc64(data))?;
            true
        }
        (CHECK_SHA256, stored) => Sha256::digest(data).as_slice() == stored,
        // None, or one without a name.
        _ => true,
    };
    if sound {
        Ok(())
    } else {
        Err(stream.corrupt(at))
    }
}

/// What the index must come to.
#[derive(Default, PartialEq, Eq)]
struct Sums {
    blocks: u64,
    /// Of their headers, packed data and checks.
    unpadded: u64,
    size: u64,
    /// CRC-32 of both of each block, so that the order counts.
    order: u32,
}

impl Sums {
    fn add(&mut self, unpadded: u64, size: u64) {
        // An index may claim anything: then it is not what was found.
        self.blocks = self.blocks.wrapping_add(1);
        self.unpadded = self.unpadded.wrapping_add(unpadded);
        self.size = self.size.wrapping_add(size);
        let mut order = crc32fast::Hasher::new_with_initial(self.order);
        order.update(&unpadded.to_le_bytes());
        order.update(&size.to_le_bytes());
        self.order = order.finalize();
    }
}

/// The index, of which the first byte has been read, and the footer.
fn index(reader: &mut Reader<'_>, stream: &Stream<'_>, check: u8, found: &Sums) -> Result<()> {
    // No overflow: that byte is in the slice.
    let start = reader.at().wrapping_sub(1);
    let mut sums = Sums::default();
    // Each takes two bytes at least, so that the file ends before any count does.
    for _ in 0..number(reader)? {
        sums.add(number(reader)?, number(reader)?);
    }
    let end = reader.at();
    padding(reader, end)?;
    let end = reader.at();
    let bytes = stream.bytes.get(start..end).unwrap_or_default();
    sum(reader, stream, "CRC-32 of the index of xz", bytes)?;
    if sums != *found {
        return Err(stream.corrupt(start));
    }

    let at = reader.at();
    let stored = u32::from_le_bytes(reader.array()?);
    let fields = reader.array::<6>()?;
    let what = "CRC-32 of the footer of xz";
    stream.check(at, what, stored, crc32fast::hash(&fields))?;
    let [a, b, c, d, zero, again] = fields;
    // In units, the sum included, less 1.
    let units = u64::from(u32::from_le_bytes([a, b, c, d]));
    if units != (bytes.len() / UNIT) as u64 || (zero, again) != (0, check) {
        return Err(stream.corrupt(at));
    }
    let at = reader.at();
    if reader.array()? != FOOTER_MAGIC {
        return Err(stream.corrupt(at));
    }
    Ok(())
}

/// A number of up to 63 bits, seven a byte.
fn number(reader: &mut Reader<'_>) -> Result<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let [byte] = reader.array()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // In as few bytes as it takes.
            return if byte == 0 && shift != 0 {
                Err(reader.corrupt())
            } else {
                Ok(value)
            };
        }
    }
    Err(reader.corrupt())
}

/// CRC-64 of ECMA-182, the bits reflected.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0xc96c_5795_d787_0f42;
    const fn of(byte: u8) -> u64 {
        let (mut sum, mut bit) = (byte as u64, 0_u8);
        while bit < 8 {
            sum = sum >> 1 ^ (POLYNOMIAL & (sum & 1).wrapping_neg());
            bit = bit.wrapping_add(1);
        }
        sum
    }
    #[allow(clippy::indexing_slicing, reason = "by a byte, of 256")]
    const TABLE: [u64; 256] = {
        let (mut table, mut byte) = ([0; 256], 0_u8);
        loop {
            table[byte as usize] = of(byte);
            byte = byte.wrapping_add(1);
            if byte == 0 {
                break table;
            }
        }
    };
    !bytes.iter().fold(!0, |sum, byte| {
        let [low, ..] = sum.to_le_bytes();
        TABLE
            .get(usize::from(low ^ byte))
            .copied()
            .unwrap_or_default()
            ^ sum >> 8
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{Compression, error::Error};

    /// "Branch/Call/Jump Filters for Executables": a start offset is a multiple of the filter's alignment.
    #[test]
    fn filters_start_where_code_can() {
        let known = |bytes: &[u8]| {
            let stream = Stream {
                compression: Compression::Xz,
                bytes,
                offset: 0,
                unpacked_size: None,
            };
            filter(&mut Reader::new(&stream)).unwrap().is_some()
        };
        for (id, alignment) in (4..).zip([1, 4, 16, 4, 2, 4, 4, 2]) {
            assert!(known(&[id, 0]));
            for start in 0..=16 {
                assert_eq!(known(&[id, 4, start, 1, 2, 3]), start % alignment == 0);
            }
            assert!(!known(&[id, 1, 0]) && !known(&[id, 3, 0, 0, 0]));
        }
        assert!(known(&[3, 1, 0]) && known(&[3, 1, 255]));
        assert!(!known(&[3, 0]) && !known(&[3, 4, 0, 0, 0, 0]));
        assert!(!known(&[2, 0]) && !known(&[0xc, 0]) && !known(&[0x21, 1, 0]));
    }

    /// What chunks of LZMA2 come to, in a window of eight bytes.
    fn chunks(bytes: &[u8]) -> Result<Vec<u8>> {
        let stream = Stream {
            compression: Compression::Xz,
            bytes,
            offset: 0,
            unpacked_size: None,
        };
        let mut out = [0xee; 8];
        let mut window = Window {
            out: &mut out,
            start: 0,
            at: 0,
            size: 4096,
        };
        lzma2(&mut Reader::new(&stream), &stream, &mut window)?;
        let len = window.at;
        Ok(out[..len].to_vec())
    }

    #[test]
    fn chunks_that_are_stored() {
        assert_eq!(chunks(&[0]).unwrap(), b"");
        assert_eq!(chunks(b"\x01\0\x02abc\x02\0\0d\0").unwrap(), b"abcd");
        assert_eq!(chunks(b"\x01\0\x02abc\x01\0\0d\0").unwrap(), b"abcd");
        let full = chunks(b"\x01\0\x07abcdefgh\x02\0\0i\0");
        assert!(matches!(full, Err(Error::Full { limit: 8, .. })));
        for len in 0..11 {
            let cut = &b"\x01\0\x02abc\x02\0\0d\0"[..len];
            assert!(
                matches!(chunks(cut), Err(Error::Incomplete { .. })),
                "{len}"
            );
        }
    }

    /// "lzma2_decoder": the dictionary has to start anew first, and properties have to come with the first
    /// LZMA behind that; controls from 3 to 0x7f are none.
    #[test]
    fn chunks_that_must_not_be_here() {
        let corrupt = |at| {
            Err(Error::Corrupt {
                what: "xz",
                offset: at,
            })
        };
        for control in 2..0xe0 {
            assert_eq!(chunks(&[control, 0, 0, 0, 0, 0, 0, 0]), corrupt(0));
        }
        for control in (3..0xc0).chain([0xff]) {
            let bytes = [1, 0, 0, b'a', control, 0, 0, 0, 5, 225, 0, 0, 0, 0, 0, 0];
            assert_eq!(chunks(&bytes), corrupt(4), "{control:#x}");
        }
    }

    #[test]
    fn crc64_of_a_known_text() {
        assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn dictionaries_from_four_kilobytes_to_four_gigabytes() {
        assert_eq!(dictionary(0), Some(4096));
        assert_eq!(dictionary(1), Some(6144));
        assert_eq!(dictionary(26), Some(32 << 20));
        assert_eq!(dictionary(40), usize::try_from(u32::MAX).ok());
        assert_eq!(dictionary(41), None);
    }
}
