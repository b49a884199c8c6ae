//! Fields of a header, in the word size and byte order of the machine that wrote it.

#![deny(clippy::arithmetic_side_effects)]

use elf_format::{Class, Encoding, Endian};

use super::header::Extent;
use crate::{Error, Field, ReadAt};

/// The longest form of a structure; the block that it begins is in the file, so these bytes are.
pub(super) fn bytes_at<const N: usize, S: ReadAt + ?Sized>(
    source: &S,
    at: u64,
) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    source
        .read_exact_at(at, &mut bytes)
        .map_err(Error::reading("header of a compressed dump"))?;
    Ok(bytes)
}

/// The bytes of a structure, which lies at `at` of the file.
pub(super) struct Fields<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: u64,
    pub(super) encoding: Encoding,
}

impl Fields<'_> {
    /// Where a field is in the file.
    pub(super) fn place(&self, offset: usize) -> u64 {
        // Cannot wrap: the structure was read from there.
        self.at.wrapping_add(offset as u64)
    }

    pub(super) fn bad(&self, field: &'static Field, offset: usize, value: u64) -> Error {
        let offset = self.place(offset);
        Error::BadField {
            field,
            offset,
            value,
        }
    }

    pub(super) fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], Error> {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        rest.first_chunk().copied().ok_or(Error::Truncated {
            what: "field of a compressed dump's header",
            offset: self.place(offset),
            needed: N as u64,
            available: rest.len() as u64,
        })
    }

    pub(super) fn u32(&self, offset: usize) -> Result<u32, Error> {
        let bytes = self.array(offset)?;
        Ok(match self.encoding.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    pub(super) fn u64(&self, offset: usize) -> Result<u64, Error> {
        let bytes = self.array(offset)?;
        Ok(match self.encoding.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    /// A `long` of the machine that wrote the file.
    pub(super) fn long(&self, offset: usize) -> Result<u64, Error> {
        match self.encoding.class {
            Class::Elf32 => self.u32(offset).map(u64::from),
            Class::Elf64 => self.u64(offset),
        }
    }

    pub(super) fn long_size(&self) -> usize {
        match self.encoding.class {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        }
    }

    pub(super) fn extent(&self, offset: usize, size: usize) -> Result<Extent, Error> {
        Ok(Extent {
            offset: self.u64(offset)?,
            size: self.long(size)?,
        })
    }
}
