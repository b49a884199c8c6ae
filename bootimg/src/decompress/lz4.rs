//! LZ4: the kernel's legacy frames, and those of today's `lz4`.
//!
//! ```text
//!  legacy   02 21 4c 18 │ size u32 │ block, of 8 MiB when decompressed, but for the last │ size …
//!
//!  frame    04 22 4d 18 │ FLG │ BD │ content size u64? │ dictionary u32? │ HC
//!           size u32 │ block │ sum u32? │ … │ 0 │ sum u32?
//! ```
//!
//! Source: LZ4 `doc/lz4_Frame_format.md`. `HC` is the second byte of the sum of the header from `FLG` on; sums are XXH32,
//! those of blocks over what the file has of them.

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};
use twox_hash::XxHash32;

use super::{Stream, members::Member, reader::Reader};
use crate::{
    compression::past_skippable,
    error::{Error, Result},
};

const MAGIC: usize = 4;
const LEGACY_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
const FRAME_MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// `LEGACY_BLOCKSIZE`: of a block when decompressed.
const LEGACY_BLOCK: usize = 8 << 20;

/// The most that such a block has in the file: `LZ4_COMPRESSBOUND(LEGACY_BLOCKSIZE)`.
const LEGACY_BOUND: u32 = (8 << 20) + (8 << 20) / 255 + 16;

/// `FLG`: version 1, independent blocks, sums of blocks, content size, sum of it all, dictionary.
const VERSION: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const BLOCK_SUMS: u8 = 1 << 4;
const CONTENT_SIZE: u8 = 1 << 3;
const CONTENT_SUM: u8 = 1 << 2;
const DICTIONARY: u8 = 1 << 0;
/// In a block's size: the block is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a block may refer.
const WINDOW: usize = 64 << 10;
/// Of all sums.
const SEED: u32 = 0;

pub(super) fn decode_legacy(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let mut reader = Reader::new(stream);
    if reader.array()? != LEGACY_MAGIC {
        return Err(stream.corrupt(0));
    }
    let mut written = 0_usize;
    while !ended(&reader) {
        let at = reader.at();
        let size = reader.array::<MAGIC>()?;
        if size == LEGACY_MAGIC {
            // Another frame follows, and nothing else ends one.
            continue;
        }
        let size = usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX);
        let block = reader.bytes(size)?;
        let limit = out.len();
        let rest = out.get_mut(written..).unwrap_or_default();
        let end = rest.len().min(LEGACY_BLOCK);
        let slot = rest.get_mut(..end).unwrap_or_default();
        match unpack(block, slot, &[]) {
            // No overflow: inside a slice.
            Ok(len) => written = written.saturating_add(len),
            Err(DecompressError::OutputTooSmall { .. }) if end < LEGACY_BLOCK => {
                return Err(stream.full(limit));
            }
            Err(_) => return Err(stream.corrupt(at)),
        }
    }
    let read = reader.at();
    Ok(Member { read, written })
}

/// A block, which may refer to `window`. By itself: inlined into a decoder with all the others, the loop that copies
/// runs a quarter slower.
#[inline(never)]
fn unpack(block: &[u8], out: &mut [u8], window: &[u8]) -> Result<usize, DecompressError> {
    if window.is_empty() {
        decompress_into(block, out)
    } else {
        decompress_into_with_dict(block, out, window)
    }
}

/// Whether no block follows: nothing at all, padding, as no block has no bytes, or what is too large for the size of a
/// block, as the signatures of other frames are.
fn ended(reader: &Reader<'_>) -> bool {
    match reader.rest().first_chunk::<MAGIC>() {
        Some(&LEGACY_MAGIC) => false,
        Some(&size) => !(1..=LEGACY_BOUND).contains(&u32::from_le_bytes(size)),
        None => reader.rest().iter().all(|&byte| byte == 0),
    }
}

/// The most bytes that the blocks can have when decompressed.
pub(super) fn most_of_legacy(stream: &Stream<'_>) -> Option<u64> {
    let mut reader = Reader::new(stream);
    let mut blocks = 0_u64;
    while !ended(&reader) {
        let size = reader.array::<MAGIC>().ok()?;
        if size != LEGACY_MAGIC {
            let size = u32::from_le_bytes(size);
            reader.bytes(usize::try_from(size).ok()?).ok()?;
            // No overflow: each has four bytes in a slice.
            blocks = blocks.saturating_add(1);
        }
    }
    blocks.checked_mul(LEGACY_BLOCK as u64)
}

/// A frame's header: `FLG` to `HC`.
struct Header {
    /// Where `FLG` is.
    start: usize,
    flags: u8,
    /// The most that a block has when decompressed.
    block: usize,
    content_size: Option<u64>,
}

/// A block as it is in the file.
struct Block<'s> {
    at: usize,
    is_stored: bool,
    bytes: &'s [u8],
    sum: Option<Sum>,
}

/// A sum, and where it is.
struct Sum {
    at: usize,
    stored: u32,
}

impl Header {
    /// Of the first frame that is not to be skipped.
    fn read(reader: &mut Reader<'_>, stream: &Stream<'_>) -> Result<Self> {
        let magic = past_skippable(stream.bytes, reader.at());
        // No overflow: behind where it is.
        reader.bytes(magic.saturating_sub(reader.at()))?;
        if reader.array()? != FRAME_MAGIC {
            return Err(stream.corrupt(magic));
        }
        let start = reader.at();
        let [flags, descriptor] = reader.array()?;
        if flags & VERSION != VERSION_1 {
            return Err(Error::Unsupported {
                what: "version of lz4",
                offset: stream.place(start),
                value: (flags >> 6).into(),
            });
        }
        let content_size = if flags & CONTENT_SIZE != 0 {
            Some(u64::from_le_bytes(reader.array()?))
        } else {
            None
        };
        let dictionary_at = reader.at();
        let dictionary = if flags & DICTIONARY != 0 {
            Some(u32::from_le_bytes(reader.array()?))
        } else {
            None
        };
        let header = stream.bytes.get(start..reader.at()).unwrap_or_default();
        let [_, computed, ..] = XxHash32::oneshot(SEED, header).to_le_bytes();
        let at = reader.at();
        let [stored] = reader.array()?;
        let what = "header checksum of lz4";
        stream.check(at, what, stored, computed)?;
        if let Some(dictionary) = dictionary {
            return Err(Error::Unsupported {
                what: "dictionary of lz4",
                offset: stream.place(dictionary_at),
                value: dictionary.into(),
            });
        }
        let block = match descriptor >> 4 & 7 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            // No overflow: inside a slice.
            _ => return Err(stream.corrupt(start.saturating_add(1))),
        };
        Ok(Self {
            start,
            flags,
            block,
            content_size,
        })
    }

    /// The next block; `None` behind the last.
    fn block<'s>(&self, reader: &mut Reader<'s>) -> Result<Option<Block<'s>>> {
        let at = reader.at();
        let size = u32::from_le_bytes(reader.array()?);
        if size == 0 {
            return Ok(None);
        }
        let len = usize::try_from(size & !STORED).unwrap_or(usize::MAX);
        Ok(Some(Block {
            at,
            is_stored: size & STORED != 0,
            bytes: reader.bytes(len)?,
            sum: self.sum(reader, BLOCK_SUMS)?,
        }))
    }

    /// The next field, where the flag says that it is a sum.
    fn sum(&self, reader: &mut Reader<'_>, flag: u8) -> Result<Option<Sum>> {
        if self.flags & flag == 0 {
            return Ok(None);
        }
        let at = reader.at();
        let stored = u32::from_le_bytes(reader.array()?);
        Ok(Some(Sum { at, stored }))
    }
}

impl Sum {
    fn check(&self, stream: &Stream<'_>, what: &'static str, bytes: &[u8]) -> Result<()> {
        stream.check(self.at, what, self.stored, XxHash32::oneshot(SEED, bytes))
    }
}

pub(super) fn decode_frame(stream: &Stream<'_>, out: &mut [u8]) -> Result<Member> {
    let mut reader = Reader::new(stream);
    let header = Header::read(&mut reader, stream)?;
    let limit = out.len();
    let mut written = 0_usize;
    while let Some(block) = header.block(&mut reader)? {
        if let Some(sum) = block.sum {
            sum.check(stream, "block checksum of lz4", block.bytes)?;
        }
        let (before, slot) = out
            .split_at_mut_checked(written)
            .ok_or_else(|| stream.full(limit))?;
        let room = slot.len().min(header.block);
        let slot = slot.get_mut(..room).unwrap_or_default();
        let len = if block.is_stored {
            let len = block.bytes.len();
            slot.get_mut(..len).map(|slot| {
                slot.copy_from_slice(block.bytes);
                len
            })
        } else {
            let window = before.len().saturating_sub(WINDOW);
            let window = before.get(window..).unwrap_or_default();
            match unpack(block.bytes, slot, window) {
                Ok(len) => Some(len),
                Err(DecompressError::OutputTooSmall { .. }) => None,
                Err(_) => return Err(stream.corrupt(block.at)),
            }
        };
        let len = match len {
            Some(len) => len,
            None if room < header.block => return Err(stream.full(limit)),
            None => return Err(stream.corrupt(block.at)),
        };
        // No overflow: inside a slice.
        written = written.saturating_add(len);
    }
    let content = out.get(..written).unwrap_or_default();
    if header
        .content_size
        .is_some_and(|size| size != written as u64)
    {
        // No overflow: behind `FLG` and `BD`.
        return Err(stream.corrupt(header.start.saturating_add(2)));
    }
    if let Some(sum) = header.sum(&mut reader, CONTENT_SUM)? {
        sum.check(stream, "content checksum of lz4", content)?;
    }
    Ok(Member {
        read: past_skippable(stream.bytes, reader.at()),
        written,
    })
}

/// The most that the frames can have when decompressed: their sizes where they say them, or those of their blocks.
pub(super) fn most_of_frames(stream: &Stream<'_>) -> Option<u64> {
    let mut reader = Reader::new(stream);
    let mut most = 0_u64;
    // Up to the padding.
    while reader.rest().iter().any(|&byte| byte != 0) {
        let header = Header::read(&mut reader, stream).ok()?;
        let mut blocks = 0_u64;
        while let Some(block) = header.block(&mut reader).ok()? {
            let len = if block.is_stored {
                block.bytes.len()
            } else {
                header.block
            };
            blocks = blocks.checked_add(len as u64)?;
        }
        header.sum(&mut reader, CONTENT_SUM).ok()?;
        most = most.checked_add(header.content_size.unwrap_or(blocks))?;
        let end = past_skippable(stream.bytes, reader.at());
        // No overflow: behind where it is.
        reader.bytes(end.saturating_sub(reader.at())).ok()?;
    }
    Some(most)
}
