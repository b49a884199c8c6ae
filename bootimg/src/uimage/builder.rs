//! uImages, byte for byte as mkimage makes them.

use super::{
    codes::Type,
    header::{Header, SIZE},
    parts::WORD,
};
use crate::error::{Error, Field, Result};

const FILES: Field = Field {
    name: "number of files",
    allowed: "1, but for multi-file images and scripts 1 and above",
};
const FILE_SIZE: Field = Field {
    name: "size of a file in a table",
    allowed: "1 and above: 0 ends the table",
};

/// A uImage to be written.
///
/// ```
/// use bootimg::uimage::{Arch, Builder, Header, Uimage, padded_name};
///
/// let header = Header {
///     arch: Arch::ARM64,
///     load: 0x8_0000,
///     entry: 0x8_0000,
///     time: 1_700_000_000,
///     name: padded_name(b"Linux-6.1"),
///     ..Header::default()
/// };
/// let files: [&[u8]; 1] = [&[0x5a; 100]];
/// let builder = Builder::try_new(header, &files)?;
/// let mut out = [0; 164];
/// assert_eq!(builder.emit(&mut out)?, builder.emitted_len());
///
/// assert_eq!(Uimage::parse(&out)?.data()?, files[0]);
/// # Ok::<(), bootimg::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Builder<'a> {
    header: Header,
    files: &'a [&'a [u8]],
}

impl<'a> Builder<'a> {
    /// A uImage of these files with this header, of which size and both checksums are calculated. As
    /// mkimage does, a [`Type::FDT_LEGACY`] is stored as [`Type::FLATDT`]. For OP-TEE, mkimage takes
    /// both addresses from the data's own header; here they are the caller's.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a type that is no legacy image to mkimage, and for
    /// [`Type::FIRMWARE_IVT`]; [`Error::BadField`] for more or fewer files than the type has, and for
    /// an empty one in a table; [`Error::Overflow`] if the data passes 4 GiB.
    pub fn try_new(header: Header, files: &'a [&'a [u8]]) -> Result<Self> {
        let kind = match header.kind {
            Type::FDT_LEGACY => Type::FLATDT,
            Type(1..=8) | Type::KERNEL_NOLOAD => header.kind,
            Type(other) => {
                return Err(Error::Unsupported {
                    what: "making a uImage of ih_type",
                    offset: 30,
                    value: other.into(),
                });
            }
        };
        let bad = |field, value| Error::BadField {
            field,
            offset: SIZE as u64,
            value,
        };
        if files.is_empty() || !kind.has_table() && files.len() > 1 {
            return Err(bad(&FILES, files.len() as u64));
        }
        if kind.has_table() && files.iter().any(|file| file.is_empty()) {
            return Err(bad(&FILE_SIZE, 0));
        }
        let mut builder = Self {
            header: Header { kind, ..header },
            files,
        };
        // Before any of it is read.
        let size = builder.pieces().try_fold(0_u32, |size, piece| {
            size.checked_add(u32::try_from(piece.len()).ok()?)
        });
        builder.header.size = size.ok_or(Error::Overflow {
            what: "uImage data",
            offset: SIZE as u64,
        })?;
        let mut sum = crc32fast::Hasher::new();
        builder.pieces().for_each(|piece| sum.update(piece.bytes()));
        builder.header.data_crc = sum.finalize();
        builder.header.header_crc = builder.header.sum();
        Ok(builder)
    }

    /// The header, as it will be written.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes that [`emit`](Self::emit) needs.
    #[must_use]
    pub fn emitted_len(&self) -> usize {
        // No overflow: the files are in memory, padding and table are of 32 bits together with them.
        self.pieces()
            .map(|piece| piece.len())
            .fold(SIZE, usize::saturating_add)
    }

    /// Writes it all to the start of `out`. Returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if `out` is too short.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let short = Error::Truncated {
            what: "uImage",
            offset: 0,
            needed: self.emitted_len() as u64,
            available: out.len() as u64,
        };
        let out = out.get_mut(..self.emitted_len()).ok_or(short)?;
        let mut rest = out.get_mut(SIZE..).ok_or(short)?;
        for piece in self.pieces() {
            let (slot, behind) = rest.split_at_mut_checked(piece.len()).ok_or(short)?;
            slot.copy_from_slice(piece.bytes());
            rest = behind;
        }
        self.header.emit(out)?;
        Ok(self.emitted_len())
    }

    /// All of it, in memory of its own.
    ///
    /// # Errors
    ///
    /// None that [`try_new`](Self::try_new) has not found.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>> {
        let mut out = alloc::vec![0; self.emitted_len()];
        self.emit(&mut out)?;
        Ok(out)
    }

    /// What the data is put together from.
    fn pieces(&self) -> impl Iterator<Item = Piece<'a>> {
        let table = self.header.kind.has_table().then_some(self.files);
        let sizes = table.into_iter().flat_map(|files| {
            let sizes = files.iter().map(|file| Piece::size(file));
            sizes.chain([Piece::zeros(WORD)])
        });
        let last = self.files.len().saturating_sub(1);
        let files = self.files.iter().enumerate().flat_map(move |(at, file)| {
            let padding = if at == last {
                0
            } else {
                // Below four.
                file.len().next_multiple_of(WORD).saturating_sub(file.len())
            };
            [Piece::File(file), Piece::zeros(padding)]
        });
        sizes.chain(files)
    }
}

enum Piece<'a> {
    File(&'a [u8]),
    Bytes([u8; WORD], usize),
}

impl Piece<'_> {
    /// A size that 32 bits cannot hold does no harm: `try_new` refuses the whole.
    fn size(file: &[u8]) -> Self {
        let size = u32::try_from(file.len()).unwrap_or(u32::MAX);
        Self::Bytes(size.to_be_bytes(), WORD)
    }

    fn zeros(len: usize) -> Self {
        Self::Bytes([0; WORD], len)
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Bytes(bytes, len) => bytes.get(..*len).unwrap_or(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec};

    use super::*;
    use crate::uimage::{Compression, Uimage};

    fn header(kind: Type) -> Header {
        Header {
            kind,
            ..Header::default()
        }
    }

    #[test]
    fn a_header_to_start_from() {
        let header = Header::default();
        assert_eq!(header.magic, 0x2705_1956);
        assert_eq!(
            (header.kind, header.compression),
            (Type::KERNEL, Compression::NONE)
        );
    }

    #[test]
    fn what_mkimage_makes_no_legacy_image_of() {
        for kind in [0, 9, 13, 15, 32, 47, 255] {
            let error = Builder::try_new(header(Type(kind)), &[b"x"]).unwrap_err();
            let text =
                std::format!("offset 0x1e: making a uImage of ih_type {kind:#x} is not supported");
            assert_eq!(error.to_string(), text);
        }
        for kind in [1, 2, 3, 4, 5, 6, 7, 8, 14] {
            assert!(Builder::try_new(header(Type(kind)), &[b"x"]).is_ok());
        }
        let legacy = Builder::try_new(header(Type::FDT_LEGACY), &[b"x"]).unwrap();
        assert_eq!(legacy.header().kind, Type::FLATDT);
    }

    #[test]
    fn files_by_the_type() {
        let error = |kind, files: &[&[u8]]| Builder::try_new(header(kind), files).unwrap_err();
        assert!(matches!(
            error(Type::KERNEL, &[b"a", b"b"]),
            Error::BadField { value: 2, .. }
        ));
        assert!(matches!(
            error(Type::KERNEL, &[]),
            Error::BadField { value: 0, .. }
        ));
        assert!(matches!(
            error(Type::MULTI, &[]),
            Error::BadField { value: 0, .. }
        ));
        assert_eq!(
            error(Type::MULTI, &[b"a", b""]).to_string(),
            "offset 0x40: size of a file in a table is 0x0, allowed: 1 and above: 0 ends the table"
        );
        assert!(Builder::try_new(header(Type::KERNEL), &[b""]).is_ok());
    }

    #[test]
    fn every_short_output_is_refused() {
        let builder = Builder::try_new(header(Type::MULTI), &[b"abc", b"hello"]).unwrap();
        let len = builder.emitted_len();
        assert_eq!(len, 64 + 12 + 4 + 5);
        let mut out = vec![0xff; len + 1];
        for short in 0..len {
            assert!(matches!(
                builder.emit(&mut out[..short]),
                Err(Error::Truncated { needed: 85, .. })
            ));
        }
        assert!(out.iter().all(|byte| *byte == 0xff));
        assert_eq!(builder.emit(&mut out), Ok(len));
        assert_eq!(out.pop(), Some(0xff));
        let image = Uimage::parse(&out).unwrap();
        let parts = image.parts().unwrap().map(|part| part.unwrap().bytes);
        assert!(parts.eq([&b"abc"[..], b"hello"]));
    }
}
