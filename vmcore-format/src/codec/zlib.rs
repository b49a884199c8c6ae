//! Pages as zlib streams.
//!
//! ```text
//! 0     1     2                                  n-4
//! │ CMF │ FLG │ deflate blocks …                  │ Adler-32 of the page, big-endian │
//!   │     └ check bits, no preset dictionary
//!   └ method 8, window of at most 32 KiB
//! ```
//!
//! Source: RFC 1950, RFC 1951. makedumpfile writes them with `compress2`.

#[cfg(feature = "zlib")]
use alloc::boxed::Box;

/// The two bytes at the front, checked here so that decoders cannot differ about them.
fn has_header(src: &[u8]) -> bool {
    let Some(&[cmf, flg]) = src.first_chunk() else {
        return false;
    };
    let is_deflate = cmf & 0xf == 8 && cmf >> 4 <= 7;
    let needs_dictionary = flg & 0x20 != 0;
    is_deflate && !needs_dictionary && u16::from_be_bytes([cmf, flg]) % 31 == 0
}

/// miniz_oxide and its state, 11 KB, made when the first page comes.
#[cfg(feature = "zlib")]
#[derive(Default)]
pub(super) struct Pure(Option<Box<miniz_oxide::inflate::core::DecompressorOxide>>);

#[cfg(feature = "zlib")]
impl Pure {
    pub(super) fn decode(&mut self, src: &[u8], out: &mut [u8]) -> Option<usize> {
        use miniz_oxide::inflate::{
            TINFLStatus,
            core::{decompress, inflate_flags::*},
        };
        if !has_header(src) {
            return None;
        }
        let state = self.0.get_or_insert_default();
        state.init();
        let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, _, written) = decompress(state, src, out, 0, flags);
        // miniz_oxide itself does not compare them where it is built for a fuzzer.
        let sound = state.adler32() == state.adler32_header();
        (status == TINFLStatus::Done && sound).then_some(written)
    }
}

/// libdeflate and its state, made when the first page comes.
#[cfg(feature = "native-zlib")]
#[derive(Default)]
pub(super) struct Native(Option<libdeflater::Decompressor>);

#[cfg(feature = "native-zlib")]
impl Native {
    pub(super) fn decode(&mut self, src: &[u8], out: &mut [u8]) -> Option<usize> {
        if !has_header(src) {
            return None;
        }
        let state = self.0.get_or_insert_with(libdeflater::Decompressor::new);
        state.zlib_decompress(src, out).ok()
    }
}
