//! Integers in the file's own byte order, one after the other: in and out of byte slices.

use crate::{
    error::{Error, Field, Result},
    ident::{Class, Encoding, Endian},
};

/// A length as the format counts them.
pub(crate) const fn len(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

/// The bytes `offset..offset + size` of `file`. Where no bytes are wanted, the offset says nothing:
/// dumps have segments without bytes at any offset.
pub(crate) fn slice<'a>(
    what: &'static str,
    file: &'a [u8],
    offset: u64,
    size: u64,
) -> Result<&'a [u8]> {
    if size == 0 {
        return Ok(&[]);
    }
    let end = offset
        .checked_add(size)
        .ok_or(Error::Overflow { what, offset })?;
    let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(start, end)| file.get(start..end))
        .ok_or(Error::Truncated {
            what,
            offset,
            needed: size,
            // Saturating: past the end of the file there are no bytes.
            available: len(file).saturating_sub(offset),
        })
}

/// Decodes a structure of `size` bytes at the start of `bytes`, itself at `offset` in the file.
#[inline]
pub(crate) fn decode<T>(
    what: &'static str,
    bytes: &[u8],
    size: usize,
    endian: Endian,
    offset: u64,
    fields: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Result<T> {
    bytes
        .get(..size)
        .and_then(|rest| fields(&mut Fields { rest, endian }))
        .ok_or(Error::Truncated {
            what,
            offset,
            needed: size as u64,
            available: len(bytes),
        })
}

/// Takes one field after the other; `None` when the bytes are used up.
pub struct Fields<'a> {
    rest: &'a [u8],
    endian: Endian,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(rest: &'a [u8], endian: Endian) -> Self {
        Self { rest, endian }
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        let bytes = self.array()?;
        Some(match self.endian {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        })
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        let bytes = self.array()?;
        Some(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        let bytes = self.array()?;
        Some(match self.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    /// An address, offset or size: as wide as the class.
    #[inline]
    pub(crate) fn word(&mut self, class: Class) -> Option<u64> {
        match class {
            Class::Elf32 => self.u32().map(u64::from),
            Class::Elf64 => self.u64(),
        }
    }
}

/// Puts one field after the other.
pub(crate) struct Output<'a> {
    rest: &'a mut [u8],
    encoding: Encoding,
    written: usize,
}

impl<'a> Output<'a> {
    /// Nothing is written when `out` is shorter than `size`.
    pub(crate) fn new(
        what: &'static str,
        out: &'a mut [u8],
        size: usize,
        encoding: Encoding,
    ) -> Result<Self> {
        let available = len(out);
        let rest = out.get_mut(..size).ok_or(Error::Truncated {
            what,
            offset: 0,
            needed: size as u64,
            available,
        })?;
        Ok(Self {
            rest,
            encoding,
            written: 0,
        })
    }

    pub(crate) const fn class(&self) -> Class {
        self.encoding.class
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.reserve(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn zeros(&mut self, count: usize) -> Result<()> {
        self.reserve(count)?.fill(0);
        Ok(())
    }

    /// Zeros up to `offset`, where the next field goes.
    pub(crate) fn zeros_until(&mut self, offset: usize) -> Result<()> {
        // Saturating: at or past the offset no zeros are missing.
        self.zeros(offset.saturating_sub(self.written))
    }

    fn reserve(&mut self, count: usize) -> Result<&'a mut [u8]> {
        let available = len(self.rest);
        let (head, rest) = core::mem::take(&mut self.rest)
            .split_at_mut_checked(count)
            .ok_or(Error::Truncated {
                what: "output",
                offset: self.written as u64,
                needed: count as u64,
                available,
            })?;
        self.rest = rest;
        // Saturating: lengths of slices do not add up beyond the largest length.
        self.written = self.written.saturating_add(count);
        Ok(head)
    }

    #[inline]
    pub(crate) fn u16(&mut self, value: u16) -> Result<()> {
        self.bytes(&match self.encoding.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        })
    }

    #[inline]
    pub(crate) fn u32(&mut self, value: u32) -> Result<()> {
        self.bytes(&match self.encoding.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        })
    }

    #[inline]
    pub(crate) fn u64(&mut self, value: u64) -> Result<()> {
        self.bytes(&match self.encoding.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        })
    }

    /// An address, offset or size: as wide as the class, which it must fit.
    #[inline]
    pub(crate) fn word(&mut self, field: &'static Field, value: u64) -> Result<()> {
        match self.encoding.class {
            Class::Elf64 => self.u64(value),
            Class::Elf32 => self.narrow(field, value),
        }
    }

    /// Four bytes, which the value must fit.
    #[inline]
    pub(crate) fn narrow(&mut self, field: &'static Field, value: u64) -> Result<()> {
        self.u32(u32::try_from(value).map_err(|_| Error::BadField {
            field,
            offset: self.written as u64,
            value,
        })?)
    }
}

/// Bytes that count up from 1, so that no field of a structure looks like another.
#[cfg(test)]
pub(crate) mod counting {
    use crate::ident::{Class, Encoding, Endian};

    pub(crate) const BYTES: [u8; 64] = {
        let mut bytes = [0; 64];
        let mut index = 0;
        while index < 64 {
            bytes[index] = index as u8 + 1;
            index += 1;
        }
        bytes
    };

    pub(crate) const ENCODINGS: [Encoding; 4] = [
        Encoding {
            class: Class::Elf32,
            endian: Endian::Little,
        },
        Encoding {
            class: Class::Elf32,
            endian: Endian::Big,
        },
        Encoding {
            class: Class::Elf64,
            endian: Endian::Little,
        },
        Encoding {
            class: Class::Elf64,
            endian: Endian::Big,
        },
    ];

    /// The integer of `width` bytes at `at`.
    pub(crate) fn value(endian: Endian, at: usize, width: usize) -> u64 {
        let push = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        let bytes = &BYTES[at..at + width];
        match endian {
            Endian::Little => bytes.iter().rev().fold(0, push),
            Endian::Big => bytes.iter().fold(0, push),
        }
    }

    /// The word at its offset in ELF32 or in ELF64.
    pub(crate) fn word(encoding: Encoding, elf32: usize, elf64: usize) -> u64 {
        match encoding.class {
            Class::Elf32 => value(encoding.endian, elf32, 4),
            Class::Elf64 => value(encoding.endian, elf64, 8),
        }
    }

    /// The 32-bit integer at its offset in ELF32 or in ELF64.
    pub(crate) fn int(encoding: Encoding, elf32: usize, elf64: usize) -> u32 {
        let at = match encoding.class {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        };
        value(encoding.endian, at, 4) as u32
    }

    /// The 16-bit integer at its offset in ELF32 or in ELF64.
    pub(crate) fn half(encoding: Encoding, elf32: usize, elf64: usize) -> u16 {
        let at = match encoding.class {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        };
        value(encoding.endian, at, 2) as u16
    }
}
