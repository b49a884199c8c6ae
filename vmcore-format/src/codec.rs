//! The methods by which pages are compressed, and what decodes them.
//!
//! ```text
//!  struct page_desc: offset i64 │ size u32 │ flags u32 │ page_flags u64
//!                       └────┬─────┘           └─ Method
//!                            ▼                     ▼
//!                    compressed bytes ──▶ Codec::decode ──▶ a page of block_size bytes
//! ```
//!
//! | method | bytes of a page | decoders, by feature |
//! |---|---|---|
//! | [`Method::STORED`] | the page itself | always there |
//! | [`Method::ZLIB`] | a zlib stream (RFC 1950) | `native-zlib`, `zlib` |
//! | [`Method::LZO`] | LZO1X up to its end marker | `lzo` |
//! | [`Method::SNAPPY`] | a raw snappy block | `snappy` |
//! | [`Method::ZSTD`] | one zstd frame (RFC 8878) | `native-zstd`, `zstd` |
//!
//! Source: makedumpfile's `diskdump_mod.h` (`DUMP_DH_COMPRESSED_*`) and IMPLEMENTATION.
//!
//! A page decodes to exactly as many bytes as it has, or is [`Absence::Damaged`]. Compressed bytes
//! must end where the page does; only behind a zlib stream, whose checksum has proved the page by
//! then, anything may follow, as zlib's own `uncompress` has it.
//!
//! The pure and the native decoders give the same page for what an encoder wrote. On broken bytes
//! they differ where only the decoder can notice: libdeflate lets pass a Huffman code that is
//! incomplete where nothing uses it, libzstd does not check where the bits of literals end. Zlib's
//! checksum catches what comes of that; zstd frames of dumps have none.
//!
//! Nothing is sized by a number in the file: contexts are of fixed size but for a zstd window, of
//! 8 MiB at most. The work is that of the compressed bytes and of the page.

#[cfg(any(feature = "lzo", feature = "snappy"))]
mod copy;
#[cfg(feature = "lzo")]
mod lzo;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(any(feature = "zlib", feature = "native-zlib"))]
mod zlib;
#[cfg(any(feature = "zstd", feature = "native-zstd"))]
mod zstd;

use core::fmt;

use physmem::Absence;

/// How a page is compressed: `flags` of its `struct page_desc`.
///
/// One value a page; other values than these are kept and never decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub u32);

impl Method {
    /// Not compressed.
    pub const STORED: Self = Self(0);
    /// `DUMP_DH_COMPRESSED_ZLIB`.
    pub const ZLIB: Self = Self(0x1);
    /// `DUMP_DH_COMPRESSED_LZO`.
    pub const LZO: Self = Self(0x2);
    /// `DUMP_DH_COMPRESSED_SNAPPY`.
    pub const SNAPPY: Self = Self(0x4);
    /// `DUMP_DH_COMPRESSED_ZSTD`.
    pub const ZSTD: Self = Self(0x20);

    /// The feature of this crate that gives [`Builtin`] a decoder, `None` if none does or none is needed.
    ///
    /// `native-zlib` and `native-zstd` give one, too.
    pub const fn feature(self) -> Option<&'static str> {
        match self {
            Self::ZLIB => Some("zlib"),
            Self::LZO => Some("lzo"),
            Self::SNAPPY => Some("snappy"),
            Self::ZSTD => Some("zstd"),
            _ => None,
        }
    }

    /// Whether [`Builtin`] decodes it.
    pub fn is_built_in(self) -> bool {
        let built_in = [
            (Self::STORED, true),
            (
                Self::ZLIB,
                cfg!(any(feature = "zlib", feature = "native-zlib")),
            ),
            (Self::LZO, cfg!(feature = "lzo")),
            (Self::SNAPPY, cfg!(feature = "snappy")),
            (
                Self::ZSTD,
                cfg!(any(feature = "zstd", feature = "native-zstd")),
            ),
        ];
        built_in.contains(&(self, true))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::STORED => f.pad("stored"),
            method => match method.feature() {
                Some(name) => f.pad(name),
                None => write!(f, "method {:#x}", self.0),
            },
        }
    }
}

/// What decodes pages. A codec keeps contexts from page to page: each thread has its own.
pub trait Codec {
    /// Decodes a page into the front of `out`, which has the size of a page; returns its length.
    ///
    /// # Errors
    ///
    /// [`Absence::CodecMissing`] if this codec does not know `method`, [`Absence::Damaged`] if `src` is
    /// not a page compressed by it; `out` then holds nothing to rely on.
    fn decode(&mut self, method: Method, src: &[u8], out: &mut [u8]) -> Result<usize, Absence>;
}

impl<C: Codec + ?Sized> Codec for &mut C {
    fn decode(&mut self, method: Method, src: &[u8], out: &mut [u8]) -> Result<usize, Absence> {
        (**self).decode(method, src, out)
    }
}

/// Every decoder that the features of this build give, the native one where there are two.
#[derive(Debug, Default)]
pub struct Builtin {
    pure: Pure,
    #[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
    native: Native,
}

impl Codec for Builtin {
    fn decode(&mut self, method: Method, src: &[u8], out: &mut [u8]) -> Result<usize, Absence> {
        #[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
        match self.native.decode(method, src, out) {
            Err(Absence::CodecMissing) => {}
            decoded => return decoded,
        }
        self.pure.decode(method, src, out)
    }
}

/// The decoders in Rust: features `zlib`, `lzo`, `snappy`, `zstd`, and what is stored.
#[derive(Default)]
pub struct Pure {
    #[cfg(feature = "zlib")]
    zlib: zlib::Pure,
    #[cfg(feature = "zstd")]
    zstd: zstd::Pure,
}

impl Codec for Pure {
    fn decode(&mut self, method: Method, src: &[u8], out: &mut [u8]) -> Result<usize, Absence> {
        let decoded = match method {
            Method::STORED => stored(src, out),
            #[cfg(feature = "zlib")]
            Method::ZLIB => self.zlib.decode(src, out),
            #[cfg(feature = "lzo")]
            Method::LZO => lzo::decode(src, out),
            #[cfg(feature = "snappy")]
            Method::SNAPPY => snappy::decode(src, out),
            #[cfg(feature = "zstd")]
            Method::ZSTD => self.zstd.decode(src, out),
            _ => return Err(Absence::CodecMissing),
        };
        whole(decoded, out)
    }
}

/// The decoders in C: features `native-zlib` (libdeflate) and `native-zstd` (libzstd).
#[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
#[derive(Default)]
pub struct Native {
    #[cfg(feature = "native-zlib")]
    zlib: zlib::Native,
    #[cfg(feature = "native-zstd")]
    zstd: zstd::Native,
}

#[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
impl Codec for Native {
    fn decode(&mut self, method: Method, src: &[u8], out: &mut [u8]) -> Result<usize, Absence> {
        let decoded = match method {
            #[cfg(feature = "native-zlib")]
            Method::ZLIB => self.zlib.decode(src, out),
            #[cfg(feature = "native-zstd")]
            Method::ZSTD => self.zstd.decode(src, out),
            _ => return Err(Absence::CodecMissing),
        };
        whole(decoded, out)
    }
}

// The contexts of the decoders cannot be shown.
impl fmt::Debug for Pure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pure").finish_non_exhaustive()
    }
}

#[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").finish_non_exhaustive()
    }
}

fn stored(src: &[u8], out: &mut [u8]) -> Option<usize> {
    out.get_mut(..src.len())?.copy_from_slice(src);
    Some(src.len())
}

/// A page that came out short is damaged, like one that did not come out.
fn whole(decoded: Option<usize>, out: &[u8]) -> Result<usize, Absence> {
    decoded
        .filter(|len| *len == out.len())
        .ok_or(Absence::Damaged)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn methods_have_names_and_features() {
        assert_eq!(Method::ZSTD.to_string(), "zstd");
        assert_eq!(Method::STORED.to_string(), "stored");
        assert_eq!(Method(0x40).to_string(), "method 0x40");
        assert_eq!(Method::LZO.feature(), Some("lzo"));
        assert_eq!(Method::STORED.feature(), None);
        assert_eq!(Method(3).feature(), None);
    }

    #[test]
    fn a_stored_page_has_the_size_of_a_page() {
        let mut codec = Builtin::default();
        let mut out = [0; 4];
        assert_eq!(codec.decode(Method::STORED, b"page", &mut out), Ok(4));
        assert_eq!(&out, b"page");
        for wrong in [&b"pag"[..], b"pages"] {
            let decoded = codec.decode(Method::STORED, wrong, &mut out);
            assert_eq!(decoded, Err(Absence::Damaged));
        }
    }

    #[test]
    fn what_is_not_built_in_is_missing_and_nothing_else_is() {
        let mut codec = Builtin::default();
        let known = [
            Method::STORED,
            Method::ZLIB,
            Method::LZO,
            Method::SNAPPY,
            Method::ZSTD,
        ];
        for method in known
            .into_iter()
            .chain([3, 8, 0x10, 0x40, u32::MAX].map(Method))
        {
            let missing = codec.decode(method, &[], &mut [0]) == Err(Absence::CodecMissing);
            assert_eq!(missing, !method.is_built_in(), "{method}");
        }
    }
}
