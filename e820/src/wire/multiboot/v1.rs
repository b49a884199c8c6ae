//! Multiboot 1: a list of entries that each tell their size.
//!
//! ```text
//!  information   0   flags: u32, bit 6: the map is there
//!               44   mmap_length: u32, bytes
//!               48   mmap_addr: u32, physical address
//!
//!  entry         0   size: u32, of what follows: 20 or more
//!                4   base_addr: u64
//!               12   length: u64
//!               20   type: u32
//!               24   … up to `size`
//! ```

use core::{fmt, iter::FusedIterator};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::U32};

use super::super::array::{self, Entry20};
use crate::{Error, Field, RawEntry, error::Result};

/// Bytes of the information structure up to the end of what tells where the map is.
pub const INFO_SIZE: usize = 52;

const MMAP: u32 = 1 << 6;

const SIZE: Field = Field {
    name: "mmap.size",
    allowed: "20 and more",
};

/// `struct multiboot_info`, its start.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    flags: U32,
    others: [U32; 10],
    mmap_length: U32,
    mmap_addr: U32,
}

const _: () = assert!(size_of::<Wire>() == INFO_SIZE);

/// `struct multiboot_mmap_entry`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    size: U32,
    entry: Entry20,
}

/// Where the map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Physical address of the first entry.
    pub mmap_addr: u32,
    /// Bytes of all entries.
    pub mmap_length: u32,
}

impl Info {
    /// Reads the information structure at the start of `bytes`; `None` if it has no map.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below 52 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let (info, _) = Wire::ref_from_prefix(bytes).map_err(|_| Error::Truncated {
            what: "multiboot_info",
            offset: 0,
            needed: INFO_SIZE as u64,
            available: bytes.len() as u64,
        })?;
        Ok((info.flags.get() & MMAP != 0).then_some(Self {
            mmap_addr: info.mmap_addr.get(),
            mmap_length: info.mmap_length.get(),
        }))
    }
}

/// The entries of a map.
///
/// An iterator that stops after the first error.
///
/// ```
/// use e820::{Kind, RawEntry, wire::multiboot::v1::{Entries, MapBuilder}};
///
/// let ram = RawEntry { addr: 0x10_0000, size: 0x7ee_0000, kind: Kind::RAM };
/// let mut bytes = [0; 24];
/// MapBuilder::new(&[ram]).emit(&mut bytes)?;
/// assert_eq!(bytes[0], 20);
/// assert_eq!(Entries::new(&bytes).next(), Some(Ok(ram)));
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Clone)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Reads the `mmap_length` bytes at `mmap_addr`; nothing is looked at yet.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes }
    }

    fn read(&mut self) -> Result<RawEntry> {
        // Cannot saturate: the rest is a part of the bytes.
        let offset = self.bytes.len().saturating_sub(self.rest.len()) as u64;
        let available = self.rest.len() as u64;
        let short = |needed| Error::Truncated {
            what: "multiboot_mmap_entry",
            offset,
            needed,
            available,
        };
        let (size, _) = U32::ref_from_prefix(self.rest).map_err(|_| short(24))?;
        let size = size.get();
        if size < 20 {
            return Err(Error::BadField {
                field: &SIZE,
                offset,
                value: size.into(),
            });
        }
        // Cannot saturate: 32 bits and 4.
        let whole = u64::from(size).saturating_add(4);
        let len = usize::try_from(whole).map_err(|_| short(whole))?;
        let (entry, rest) = self.rest.split_at_checked(len).ok_or(short(whole))?;
        let (entry, _) = Entry::ref_from_prefix(entry).map_err(|_| short(whole))?;
        self.rest = rest;
        Ok(RawEntry::from(&entry.entry))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<RawEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.rest = &[];
        }
        Some(entry)
    }
}

impl FusedIterator for Entries<'_> {}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The bytes of a map, to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapBuilder<'a>(&'a [RawEntry]);

impl<'a> MapBuilder<'a> {
    /// A map of these entries, as they are.
    pub const fn new(entries: &'a [RawEntry]) -> Self {
        Self(entries)
    }

    /// Bytes that [`emit`](Self::emit) writes: `mmap_length`.
    pub const fn emitted_len(&self) -> usize {
        // Right where it saturates: an entry takes as many bytes in memory.
        self.0.len().saturating_mul(size_of::<Entry>())
    }

    /// Writes the entries to the start of `out`, each with a size of 20. Returns how many bytes that
    /// took.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`emitted_len`](Self::emitted_len) bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let records = self.0.iter().map(|entry| Entry {
            size: 20.into(),
            entry: entry.into(),
        });
        array::emit(out, "multiboot memory map", records)
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;
    use crate::Kind;

    #[test]
    fn every_byte_is_where_the_specification_says() {
        let mut bytes: Vec<u8> = (1..=52).collect();
        assert_eq!(Info::parse(&bytes).unwrap(), None);
        bytes[0] = 0x40;
        let info = Info {
            mmap_addr: 0x3433_3231,
            mmap_length: 0x302f_2e2d,
        };
        assert_eq!(Info::parse(&bytes).unwrap(), Some(info));
        assert!(Info::parse(&bytes[..51]).is_err());

        let mut bytes: Vec<u8> = (0..26).collect();
        bytes[..4].copy_from_slice(&[22, 0, 0, 0]);
        let expected = RawEntry {
            addr: 0x0b0a_0908_0706_0504,
            size: 0x1312_1110_0f0e_0d0c,
            kind: Kind(0x1716_1514),
        };
        assert_eq!(
            Entries::new(&bytes).collect::<Result<Vec<_>>>(),
            Ok(vec![expected])
        );
    }

    #[test]
    fn lists_that_are_cut_off_or_too_small() {
        let mut bytes = vec![0; 48];
        MapBuilder::new(&[RawEntry::default(); 2])
            .emit(&mut bytes)
            .unwrap();
        for len in 0..48 {
            let found: Result<Vec<_>> = Entries::new(&bytes[..len]).collect();
            assert_eq!(found.is_ok(), len % 24 == 0, "{len}");
        }
        bytes[24] = 21;
        let found: Result<Vec<_>> = Entries::new(&bytes).collect();
        assert_eq!(
            found.unwrap_err().to_string(),
            "offset 0x18: multiboot_mmap_entry needs 0x19 bytes, 0x18 are there"
        );
        bytes[24] = 19;
        let found: Result<Vec<_>> = Entries::new(&bytes).collect();
        assert_eq!(
            found.unwrap_err().to_string(),
            "offset 0x18: mmap.size is 0x13, allowed: 20 and more"
        );
        bytes[24..28].fill(0xff);
        assert!(Entries::new(&bytes).any(|entry| entry.is_err()));
    }
}
