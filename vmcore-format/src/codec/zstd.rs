//! Pages as zstd frames.
//!
//! ```text
//! 0            4                5
//! │ 28 b5 2f fd │ descriptor    │ window │ dictionary │ content size │ blocks … │ checksum │
//!                 7 6  bytes of the content size: 0 (1 if bit 5), 2, 4, 8
//!                 5    one segment: the window is the content, its byte is left out
//!                 3    reserved, 0
//!                 2    a checksum follows the blocks
//!                 1 0  bytes of the dictionary's number: 0, 1, 2, 4
//! ```
//!
//! Source: RFC 8878. makedumpfile writes them with `ZSTD_compressCCtx`: one frame a page, which says
//! its content size.

#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "zstd")]
use alloc::boxed::Box;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The largest window a decoder has to support (RFC 8878, 3.1.1.1.2).
const WINDOW_MAX: u64 = 8 << 20;

/// Whether `src` begins with the header of a frame for a page of `len` bytes: checked here so that
/// decoders cannot differ about it, and before one of them makes room for the window.
fn has_header(src: &[u8], len: usize) -> bool {
    header(src, len).is_some()
}

fn header(src: &[u8], len: usize) -> Option<()> {
    let rest = src.strip_prefix(&MAGIC)?;
    let (&descriptor, rest) = rest.split_first()?;
    let one_segment = descriptor & 0x20 != 0;
    if descriptor & 0x08 != 0 {
        return None;
    }
    let (window, rest) = if one_segment {
        (None, rest)
    } else {
        let (&byte, rest) = rest.split_first()?;
        (Some(window(byte)), rest)
    };
    let (dictionary, rest) = number(rest, [0, 1, 2, 4], descriptor & 3)?;
    let sizes = [usize::from(one_segment), 2, 4, 8];
    let (content, _) = number(rest, sizes, descriptor >> 6)?;
    let content = match (descriptor >> 6, one_segment) {
        (0, false) => None,
        (1, _) => content.checked_add(256),
        _ => Some(content),
    };
    let len = u64::try_from(len).ok()?;
    let fits = content.is_none_or(|content| content == len)
        && window.is_none_or(|window| window <= WINDOW_MAX);
    (dictionary == 0 && fits).then_some(())
}

/// A little-endian number of `sizes[which]` bytes, and what follows it.
fn number(src: &[u8], sizes: [usize; 4], which: u8) -> Option<(u64, &[u8])> {
    let (bytes, rest) = src.split_at_checked(*sizes.get(usize::from(which))?)?;
    let mut all = [0; 8];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some((u64::from_le_bytes(all), rest))
}

/// The window that its byte says: a power of two from 1 KiB on, and eighths of it.
fn window(byte: u8) -> u64 {
    let base = 1024_u64 << (byte >> 3);
    // At most 2^41 and seven eighths of it.
    base | (base >> 3).wrapping_mul(u64::from(byte & 7))
}

/// structured-zstd and its context, made when the first page comes.
#[cfg(feature = "zstd")]
#[derive(Default)]
pub(super) struct Pure(Option<Box<structured_zstd::decoding::FrameDecoder>>);

#[cfg(feature = "zstd")]
impl Pure {
    pub(super) fn decode(&mut self, src: &[u8], out: &mut [u8]) -> Option<usize> {
        use structured_zstd::decoding::{
            ContentChecksum, FrameDecoder, find_frame_compressed_size,
        };
        // One call decodes as many frames as there are.
        let is_one = find_frame_compressed_size(src).is_ok_and(|len| len == src.len());
        if !has_header(src, out.len()) || !is_one {
            return None;
        }
        let context = self.0.get_or_insert_with(|| {
            let mut context = Box::new(FrameDecoder::new());
            context.set_content_checksum(ContentChecksum::Verify);
            context
        });
        context.decode_all(src, out).ok()
    }
}

/// libzstd and its context, made when the first page comes.
#[cfg(feature = "native-zstd")]
#[derive(Default)]
pub(super) struct Native(Option<zstd_safe::DCtx<'static>>);

#[cfg(feature = "native-zstd")]
impl Native {
    pub(super) fn decode(&mut self, src: &[u8], out: &mut [u8]) -> Option<usize> {
        // One call decodes as many frames as there are, and skips what is none of its own.
        let is_one = zstd_safe::find_frame_compressed_size(src) == Ok(src.len());
        if !has_header(src, out.len()) || !is_one {
            return None;
        }
        let context = self.0.get_or_insert_with(zstd_safe::DCtx::create);
        context.decompress(out, src).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{WINDOW_MAX, has_header, window};

    #[test]
    fn windows() {
        assert_eq!(window(0), 1 << 10);
        assert_eq!(window(1), (1 << 10) + (1 << 7));
        assert_eq!(window(13 << 3), WINDOW_MAX);
        assert_eq!(window(0xff), (1 << 41) / 8 * 15);
    }

    #[test]
    fn headers() {
        let fits = |fields: &[u8], len| {
            let mut src = b"\x28\xb5\x2f\xfd".to_vec();
            src.extend(fields);
            has_header(&src, len)
        };
        // One segment: sizes of 1, 2, 4 and 8 bytes.
        assert!(fits(b"\x20\x09", 9));
        assert!(fits(b"\x60\0\x0f", 4096));
        assert!(fits(b"\xa0\0\0\x01\0", 65536));
        assert!(fits(b"\xe0\0\x10\0\0\0\0\0\0", 4096));
        assert!(!fits(b"\x60\0\x0f", 4095));
        assert!(!fits(b"\x60\0", 4096));
        assert!(!fits(b"\xe0\0\x10\0\0\0\0\0\x01", 4096));
        // A window and no content size, up to the limit.
        assert!(fits(b"\0\x68", 4096));
        assert!(!fits(b"\0\x69", 4096));
        // Reserved, and with a dictionary: number 0 is none.
        assert!(!fits(b"\x28\x09", 9));
        assert!(fits(b"\x21\0\x09", 9));
        assert!(!fits(b"\x21\x01\x09", 9));
        assert!(!has_header(b"\x28\xb5\x2f\xfc\x20\x09", 9));
        assert!(!has_header(b"\x28\xb5\x2f\xfd", 0));
    }
}
