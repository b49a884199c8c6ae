//! PVH: how Xen, QEMU and other hypervisors hand the map to a kernel that they start directly.
//!
//! ```text
//!  hvm_start_info   0   magic: u32 = 0x336ec578       4   version: u32, 1 and later have a map
//!                   8   flags, modules, command line, RSDP …
//!                  40   memmap_paddr: u64
//!                  48   memmap_entries: u32          52   reserved
//!
//!  entry            addr u64 │ size u64 │ type u32 │ reserved u32
//! ```
//!
//! `struct hvm_start_info` and `struct hvm_memmap_table_entry` in Xen
//! `xen/include/public/arch-x86/hvm/start_info.h`. The types are those of ACPI, so of e820.

#![deny(clippy::arithmetic_side_effects)]

use core::fmt;

use physmem::PhysAddr;
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::array::{self, Entry20, Entry24};
use crate::{Error, RawEntry, error::Result};

/// `XEN_HVM_START_MAGIC_VALUE`.
pub const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info` of version 0, the start of all later ones.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Version0 {
    magic: U32,
    version: U32,
    others: [U32; 8],
}

const _: () = assert!(size_of::<Version0>() == 40);

/// What version 1 adds.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Version1 {
    memmap_paddr: U64,
    memmap_entries: U32,
    reserved: U32,
}

/// What the start information says about the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartInfo {
    /// Its version.
    pub version: u32,
    /// Physical address of the table; meaningless without entries.
    pub memmap: PhysAddr,
    /// Entries of the table: 0 if there is none, as always in version 0.
    pub entries: u32,
}

impl StartInfo {
    /// Reads the start information at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::BadMagic`]; [`Error::Truncated`] below the 40 bytes of version 0 or the 56 of later
    /// ones.
    ///
    /// ```
    /// use e820::wire::pvh::StartInfo;
    ///
    /// let mut bytes = [0; 56];
    /// bytes[..8].copy_from_slice(b"\x78\xc5\x6e\x33\x01\0\0\0");
    /// bytes[40..52].copy_from_slice(b"\0\x20\0\0\0\0\0\0\x06\0\0\0");
    /// let info = StartInfo::parse(&bytes)?;
    /// assert_eq!((info.memmap.as_u64(), info.entries), (0x2000, 6));
    /// # Ok::<(), e820::Error>(())
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let short = |needed| Error::Truncated {
            what: "hvm_start_info",
            offset: 0,
            needed,
            available: bytes.len() as u64,
        };
        let (info, rest) = Version0::ref_from_prefix(bytes).map_err(|_| short(40))?;
        if info.magic.get() != MAGIC {
            return Err(Error::BadMagic {
                what: "hvm_start_info.magic",
                offset: 0,
                found: info.magic.get().into(),
                expected: MAGIC.into(),
            });
        }
        let version = info.version.get();
        if version == 0 {
            return Ok(Self {
                version,
                memmap: PhysAddr::new(0),
                entries: 0,
            });
        }
        let (added, _) = Version1::ref_from_prefix(rest).map_err(|_| short(56))?;
        Ok(Self {
            version,
            memmap: PhysAddr::new(added.memmap_paddr.get()),
            entries: added.memmap_entries.get(),
        })
    }

    /// Bytes of the table.
    pub const fn table_len(&self) -> u64 {
        // Cannot saturate: 32 bits and 24.
        (self.entries as u64).saturating_mul(size_of::<Entry24>() as u64)
    }
}

/// The table of entries.
///
/// ```
/// use e820::{Kind, RawEntry, wire::pvh::{Table, TableBuilder}};
///
/// let ram = RawEntry { addr: 0, size: 0xa_0000, kind: Kind::RAM };
/// let mut bytes = [0; 24];
/// TableBuilder::new(&[ram]).emit(&mut bytes)?;
/// assert!(Table::parse(&bytes)?.entries().eq([ram]));
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Table<'a>(&'a [Entry24]);

impl<'a> Table<'a> {
    /// Reads all of `bytes`, [`table_len`](StartInfo::table_len) of them, at any alignment.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the last entry is not complete.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        array::whole(bytes, "hvm_memmap_table_entry").map(Self)
    }

    /// The entries in their order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = RawEntry> + Clone + use<'a> {
        self.0.iter().map(|found| RawEntry::from(&found.entry))
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

/// The bytes of a [`Table`], to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableBuilder<'a>(&'a [RawEntry]);

impl<'a> TableBuilder<'a> {
    /// A table of these entries, as they are.
    pub const fn new(entries: &'a [RawEntry]) -> Self {
        Self(entries)
    }

    /// Bytes that [`emit`](Self::emit) writes.
    pub const fn emitted_len(&self) -> usize {
        // Right where it saturates: an entry takes as many bytes in memory.
        self.0.len().saturating_mul(size_of::<Entry24>())
    }

    /// Writes the entries to the start of `out`, what is reserved as zero. Returns how many bytes
    /// that took.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`emitted_len`](Self::emitted_len) bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let records = self.0.iter().map(|entry| Entry24 {
            entry: Entry20::from(entry),
            rest: 0.into(),
        });
        array::emit(out, "hvm_memmap_table_entry", records)
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::*;

    #[test]
    fn every_byte_is_where_the_header_says() {
        let mut bytes: Vec<u8> = (1..=56).collect();
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        let info = StartInfo::parse(&bytes).unwrap();
        assert_eq!(info.version, 0x0807_0605);
        assert_eq!(info.memmap.as_u64(), 0x302f_2e2d_2c2b_2a29);
        assert_eq!(
            (info.entries, info.table_len()),
            (0x3433_3231, 0x3433_3231 * 24)
        );
        for len in 0..56 {
            assert!(StartInfo::parse(&bytes[..len]).is_err(), "{len}");
        }
        bytes[4..8].fill(0);
        assert_eq!(StartInfo::parse(&bytes[..40]).unwrap().entries, 0);
        bytes[3] = 0;
        assert_eq!(
            StartInfo::parse(&bytes).unwrap_err().to_string(),
            "offset 0x0: hvm_start_info.magic is 0x6ec578, not 0x336ec578"
        );
    }

    #[test]
    fn tables_that_are_cut_off() {
        let mut bytes = [0; 48];
        assert_eq!(
            TableBuilder::new(&[RawEntry::default(); 2]).emit(&mut bytes),
            Ok(48)
        );
        for len in 0..48 {
            assert_eq!(Table::parse(&bytes[..len]).is_ok(), len % 24 == 0, "{len}");
        }
        assert!(
            TableBuilder::new(&[RawEntry::default(); 2])
                .emit(&mut bytes[..47])
                .is_err()
        );
    }
}
