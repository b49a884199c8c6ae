//! Payloads and whole files, decompressed.
//!
//! ```text
//!  payload of a bzImage    ┌ compressed ───────────────┬ size, u32 ┐    gzip's own size is that size
//!  vmlinux.zst and such    ┌ compressed ───────────────┐
//! ```
//!
//! A [`Stream`] says what is compressed and where it lies; a [`Codec`] decodes it into memory of the
//! caller's, so that no input can have more than it was given. [`Rust`] has the decoders that were
//! built in by feature, all in Rust; `Native`, there with `native-zlib` or `native-zstd`, prefers those in C.
//!
//! ```
//! # #[cfg(all(feature = "gzip", feature = "alloc"))] {
//! use bootimg::decompress::{Rust, Stream};
//!
//! let file = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
//! let stream = Stream::of(file).unwrap();
//! assert_eq!(stream.to_vec(&mut Rust, 1 << 20)?, b"hello");
//! assert!(stream.to_vec(&mut Rust, 4).is_err());
//! # }
//! # Ok::<(), bootimg::Error>(())
//! ```
//!
//! What is several streams one behind the other, as `cat` and compressors with threads make them, is decompressed
//! as one, as its own tool does it; zeros between and behind them are padding, of xz in units of four bytes.
//! Anything else behind a stream is [`Error::Trailing`], streams of other kinds included. What lzop's filters did to data is not undone: they are
//! [`Error::Unsupported`].
//!
//! LZ4's legacy frames and LZMA-alone have no checksum: what comes of a damaged one is compared in its
//! length only, and only where the length is known. So it is with those that are there and not verified: the checks
//! of xz other than CRC-32, CRC-64 and SHA-256.

#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "bzip2")]
mod bzip2;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "xz")]
mod lzma;
#[cfg(feature = "lzo")]
mod lzop;
#[cfg(any(
    feature = "gzip",
    feature = "bzip2",
    feature = "lz4",
    feature = "lzo",
    feature = "xz",
    feature = "zstd"
))]
mod members;
#[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
mod native;
#[cfg(any(feature = "alloc", feature = "lzo"))]
mod reader;
#[cfg(feature = "alloc")]
mod size;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(any(feature = "native-zlib", feature = "native-zstd"))]
pub use self::native::Native;
#[cfg(feature = "alloc")]
use zerocopy::FromZeros;

#[cfg(feature = "alloc")]
use crate::error::Field;
use crate::{
    Compression,
    error::{Error, Result},
};

/// What is compressed, and where in a file it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream<'a> {
    /// With what.
    pub compression: Compression,
    /// The stream from its signature on, or from the skippable frames before it.
    pub bytes: &'a [u8],
    /// Where `bytes` start in the file: errors count from there.
    pub offset: u64,
    /// Bytes that it has when decompressed, where something beside it says so.
    pub unpacked_size: Option<u32>,
}

impl<'a> Stream<'a> {
    /// A file that is compressed as a whole; `None` if it has no signature of a compression.
    #[must_use]
    pub fn of(file: &'a [u8]) -> Option<Self> {
        Some(Self {
            compression: Compression::of(file)?,
            bytes: file,
            offset: 0,
            unpacked_size: None,
        })
    }

    /// Decompresses it to the start of `out`. Returns how many bytes that were; those behind them may have
    /// changed.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the codec does not know the compression; [`Error::Full`] if `out` is
    /// too short; what is wrong with the stream.
    pub fn decode(&self, codec: &mut impl Codec, out: &mut [u8]) -> Result<usize> {
        codec.decode(self, out)
    }

    /// Decompresses it into memory of its own, of at most `limit` bytes.
    ///
    /// Where neither what is beside the stream nor the stream itself tells its size, or where that is over 8 MiB
    /// and 16 times the stream's, it is tried out by doubling: the time is at most that of decompressing it three
    /// times. So a size that is told is believed so far, and beyond that once the data has filled so much.
    ///
    /// # Errors
    ///
    /// As for [`decode`](Self::decode); [`Error::BadField`] if the size beside the stream is not its
    /// own; [`Error::OutOfMemory`].
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self, codec: &mut impl Codec, limit: usize) -> Result<alloc::vec::Vec<u8>> {
        const UNPACKED_SIZE: Field = Field {
            name: "size behind the payload",
            allowed: "the size that the payload has when decompressed",
        };
        let promised = self
            .unpacked_size
            .map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        if promised.is_some_and(|size| size > limit) {
            return Err(self.full(limit));
        }
        let limit = promised.unwrap_or(limit);
        // A kernel shrinks to a third, or to a seventh.
        let guess = self.bytes.len().saturating_mul(8).max(FIRST_TRY);
        let told = || size::told(self).and_then(|size| usize::try_from(size).ok());
        let told = promised.or_else(told);
        let trusted = self.bytes.len().saturating_mul(TRUSTED_TIMES).max(TRUSTED);
        // Saturating: up to the limit, and not beyond.
        let most = size::expansion(self.compression).saturating_mul(self.bytes.len());
        let most = most.min(limit);
        let mut size = told.unwrap_or(guess).min(trusted).min(most);
        loop {
            let mut out = self.zeros(size)?;
            match (self.decode(codec, &mut out), promised) {
                (Ok(found), None) => {
                    out.truncate(found);
                    return Ok(out);
                }
                (Ok(found), Some(size)) if found == size => return Ok(out),
                (Err(Error::Full { .. }), _) if size < most => {
                    // So much is there: the same, or what is told.
                    let twice = size.saturating_mul(2).max(FIRST_TRY);
                    let told = told.filter(|told| *told > size);
                    size = told.unwrap_or(twice).min(most);
                }
                // No stream of so many bytes does.
                (Err(Error::Full { .. }), _) if size < limit => return Err(self.corrupt(0)),
                (Ok(_) | Err(Error::Full { .. }), Some(promised)) => {
                    return Err(Error::BadField {
                        field: &UNPACKED_SIZE,
                        // Four bytes from the end of a payload, which is in memory.
                        offset: self.offset.saturating_add(self.bytes.len() as u64),
                        value: promised as u64,
                    });
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// So many bytes, where the system has them.
    #[cfg(feature = "alloc")]
    fn zeros(&self, size: usize) -> Result<alloc::vec::Vec<u8>> {
        // Zeros that are not written take neither time nor memory. Asked for once, without a trial before them: memory of
        // a size that was given back is kept by glibc, and what is tried first stayed beside the output.
        u8::new_vec_zeroed(size).map_err(|_| Error::OutOfMemory {
            what: self.compression.name(),
            offset: self.offset,
            size: size as u64,
        })
    }

    /// The stream does not fit into so many bytes.
    #[allow(dead_code, reason = "without features there is no decoder")]
    fn full(&self, limit: usize) -> Error {
        Error::Full {
            what: self.compression.name(),
            offset: self.offset,
            limit: limit as u64,
        }
    }

    /// The stream is damaged, or is no such stream at all.
    #[allow(dead_code, reason = "without features there is no decoder")]
    fn corrupt(&self, at: usize) -> Error {
        Error::Corrupt {
            what: self.compression.name(),
            offset: self.place(at),
        }
    }

    /// The bytes end before the stream does.
    #[allow(dead_code, reason = "without features there is no decoder")]
    fn incomplete(&self, at: usize) -> Error {
        Error::Incomplete {
            what: self.compression.name(),
            offset: self.place(at),
        }
    }

    /// A checksum that stands there must be that of the bytes it covers.
    #[allow(dead_code, reason = "not every decoder verifies one itself")]
    fn check<S: Into<u64>>(
        &self,
        at: usize,
        what: &'static str,
        stored: S,
        computed: S,
    ) -> Result<()> {
        let (stored, computed) = (stored.into(), computed.into());
        if stored == computed {
            return Ok(());
        }
        Err(Error::Checksum {
            what,
            offset: self.place(at),
            stored,
            computed,
        })
    }

    /// Where in the file that is.
    #[allow(dead_code, reason = "without features there is no decoder")]
    const fn place(&self, at: usize) -> u64 {
        // No overflow: a place in memory, in a file.
        self.offset.saturating_add(at as u64)
    }
}

/// The least that is tried for a stream of unknown size, in bytes.
#[cfg(feature = "alloc")]
const FIRST_TRY: usize = 64 << 10;

/// What a stream tells is tried at once up to so many bytes, or so many times its own: no kernel has more.
#[cfg(feature = "alloc")]
const TRUSTED: usize = 8 << 20;
#[cfg(feature = "alloc")]
const TRUSTED_TIMES: usize = 16;

/// Who decompresses.
pub trait Codec {
    /// Decompresses a stream to the start of `out`. Returns how many bytes that were; those behind them are
    /// free to use meanwhile, and so is all of `out` where it fails.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a compression it does not know, [`Error::Full`] if `out` is too short, and
    /// what is wrong with the stream.
    fn decode(&mut self, stream: &Stream<'_>, out: &mut [u8]) -> Result<usize>;
}

/// The decoders in Rust, as far as they were built in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rust;

impl Codec for Rust {
    #[allow(unused_variables, reason = "without features there is no decoder")]
    fn decode(&mut self, stream: &Stream<'_>, out: &mut [u8]) -> Result<usize> {
        match stream.compression {
            #[cfg(feature = "gzip")]
            Compression::Gzip => members::decode(stream, out, gzip::decode),
            #[cfg(feature = "bzip2")]
            Compression::Bzip2 => members::decode(stream, out, bzip2::decode),
            #[cfg(feature = "xz")]
            Compression::Lzma => members::decode(stream, out, lzma::decode),
            #[cfg(feature = "xz")]
            Compression::Xz => members::decode(stream, out, xz::decode),
            #[cfg(feature = "lzo")]
            Compression::Lzo => members::decode(stream, out, lzop::decode),
            #[cfg(feature = "lz4")]
            Compression::Lz4Legacy => members::decode(stream, out, lz4::decode_legacy),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => members::decode(stream, out, lz4::decode_frame),
            #[cfg(feature = "zstd")]
            Compression::Zstd => members::decode(stream, out, zstd::decode),
            #[allow(unreachable_patterns, reason = "with all features none is left")]
            _ => Err(unsupported(stream)),
        }
    }
}

/// The compression by its signature.
fn unsupported(stream: &Stream<'_>) -> Error {
    let magic = stream.bytes.first_chunk().copied().unwrap_or_default();
    Error::Unsupported {
        what: "by its features, a compression with the signature",
        offset: stream.offset,
        value: u16::from_be_bytes(magic).into(),
    }
}
