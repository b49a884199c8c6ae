//! The zero page, `struct boot_params`: how a boot loader hands the map to an x86 kernel.
//!
//! ```text
//!  0x000 ┌──────────────────────────────────────────────┐
//!        │ screen, EFI, disks …                         │
//!  0x1e8 │ e820_entries: u8, at most 128                │
//!        │ setup header …                               │
//!  0x250 │ setup_data: u64, physical address of the first node, or 0
//!        │ EDD signatures …                             │
//!  0x2d0 │ e820_table[128]:  addr u64 │ size u64 │ type u32
//!        │                   20 bytes each, packed, little-endian
//!  0xcd0 │ EDD …                                        │
//! 0x1000 └──────────────────────────────────────────────┘
//! ```
//!
//! `struct boot_params` and `struct boot_e820_entry` in Linux
//! `arch/x86/include/uapi/asm/{bootparam,setup_data}.h`; `Documentation/arch/x86/zero-page.rst`. A
//! running kernel shows its own as `/sys/kernel/boot_params/data`.
//!
//! A map of more than 128 entries goes on outside of this page, in nodes of `setup_data`:
//! [`setup_data::entries`](super::setup_data::entries) reads the whole of it.

#![deny(clippy::arithmetic_side_effects)]

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::U64};

use super::array::Entry20;
use crate::{Error, Field, RawEntry, error::Result};

/// Bytes of the page.
pub const SIZE: usize = 4096;

/// Entries the page has room for: `E820_MAX_ENTRIES_ZEROPAGE`.
pub const MAX_ENTRIES: usize = MAX_COUNT as usize;
const MAX_COUNT: u8 = 128;

const E820_ENTRIES: Field = Field {
    name: "e820_entries",
    allowed: "0 to 128",
};

/// `struct boot_params`, what concerns the map.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Page {
    before_entries: [u8; 0x1e8],
    e820_entries: u8,
    before_setup_data: [u8; 0x250 - 0x1e9],
    setup_data: U64,
    before_table: [u8; 0x2d0 - 0x258],
    e820_table: [Entry20; MAX_ENTRIES],
    after_table: [u8; SIZE - 0xcd0],
}

const _: () = assert!(size_of::<Page>() == SIZE);
const _: () = assert!(offset_of!(Page, e820_table) == 0x2d0);
const _: () = assert!(offset_of!(Page, setup_data) == 0x250);

/// The map in a zero page.
///
/// ```
/// use e820::{Kind, RawEntry, wire::boot_params::BootParams};
///
/// let mut page = [0; 4096];
/// page[0x1e8] = 1;
/// page[0x2d0..0x2e4].copy_from_slice(b"\0\x10\0\0\0\0\0\0\0\xec\x09\0\0\0\0\0\x01\0\0\0");
///
/// let map: Vec<_> = BootParams::parse(&page)?.entries().collect();
/// assert_eq!(map, [RawEntry { addr: 0x1000, size: 0x9ec00, kind: Kind::RAM }]);
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct BootParams<'a> {
    table: &'a [Entry20],
    setup_data: u64,
}

impl<'a> BootParams<'a> {
    /// Reads the page at the start of `bytes`; what follows it is not looked at.
    ///
    /// Nothing in a zero page identifies it: neither `0xaa55` nor `HdrS` need be there.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below 4096 bytes, [`Error::BadField`] if `e820_entries` is above 128.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (page, _) = Page::ref_from_prefix(bytes).map_err(|_| truncated(bytes))?;
        let table = page.e820_table.get(..usize::from(page.e820_entries));
        let table = table.ok_or(too_many(u64::from(page.e820_entries)))?;
        Ok(Self {
            table,
            setup_data: page.setup_data.get(),
        })
    }

    /// The entries as they stand in the table.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = RawEntry> + Clone + use<'a> {
        self.table.iter().map(RawEntry::from)
    }

    /// Physical address of the first `setup_data` node, 0 if there is none.
    ///
    /// As the kernel does, the field is taken as it is, whatever version the setup header claims.
    pub const fn setup_data(&self) -> u64 {
        self.setup_data
    }
}

/// A map to be put into a zero page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builder<'a> {
    entries: &'a [RawEntry],
    count: u8,
}

impl<'a> Builder<'a> {
    /// The table with these entries, as they are: the kernel sorts it, but drops what wraps.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] for more than [`MAX_ENTRIES`].
    pub fn try_new(entries: &'a [RawEntry]) -> Result<Self> {
        match u8::try_from(entries.len()) {
            Ok(count) if entries.len() <= MAX_ENTRIES => Ok(Self { entries, count }),
            _ => Err(too_many(entries.len() as u64)),
        }
    }

    /// The table with the first [`MAX_ENTRIES`] of these entries, and the rest of them for an
    /// [`ExtensionBuilder`](super::setup_data::ExtensionBuilder).
    pub fn split(entries: &'a [RawEntry]) -> (Self, &'a [RawEntry]) {
        match Self::try_new(entries) {
            Ok(table) => (table, &[]),
            Err(_) => {
                let (entries, rest) = entries.split_at(entries.len().min(MAX_ENTRIES));
                (
                    Self {
                        entries,
                        count: MAX_COUNT,
                    },
                    rest,
                )
            }
        }
    }

    /// Bytes that [`emit`](Self::emit) needs: the whole page.
    pub const fn emitted_len(&self) -> usize {
        SIZE
    }

    /// Writes the count and all 128 slots, unused ones as zeroes, into the page at the start of
    /// `out`. All other bytes of it stay as they are. Returns the length of the page.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below 4096 bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let short = truncated(out);
        let (page, _) = Page::mut_from_prefix(out).map_err(|_| short)?;
        page.e820_entries = self.count;
        page.e820_table.as_mut_bytes().fill(0);
        for (slot, entry) in page.e820_table.iter_mut().zip(self.entries) {
            *slot = entry.into();
        }
        Ok(SIZE)
    }
}

/// Makes `address` the first `setup_data` node of the page at the start of `page`, 0 for none.
///
/// Nodes that the page pointed to before are lost unless the new one points to them.
///
/// # Errors
///
/// [`Error::Truncated`] below 4096 bytes.
pub fn set_setup_data(page: &mut [u8], address: u64) -> Result<()> {
    let short = truncated(page);
    let (page, _) = Page::mut_from_prefix(page).map_err(|_| short)?;
    page.setup_data = address.into();
    Ok(())
}

fn truncated(bytes: &[u8]) -> Error {
    Error::Truncated {
        what: "boot_params",
        offset: 0,
        needed: SIZE as u64,
        available: bytes.len() as u64,
    }
}

fn too_many(value: u64) -> Error {
    let offset = offset_of!(Page, e820_entries) as u64;
    Error::BadField {
        field: &E820_ENTRIES,
        offset,
        value,
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;
    use crate::Kind;

    #[test]
    fn every_byte_of_an_entry_is_where_the_header_says() {
        let mut page = [0; SIZE];
        page[0x1e8] = 2;
        for (byte, count) in page[0x2d0 + 20..].iter_mut().zip(1..=20) {
            *byte = count;
        }
        let entries: Vec<_> = BootParams::parse(&page).unwrap().entries().collect();
        assert_eq!(
            entries[1],
            RawEntry {
                addr: 0x0807_0605_0403_0201,
                size: 0x100f_0e0d_0c0b_0a09,
                kind: Kind(0x1413_1211)
            }
        );
        assert_eq!(entries[0], RawEntry::default());
    }

    #[test]
    fn short_pages_and_big_counts() {
        let mut page = vec![0; SIZE];
        for len in [0, 1, 0x1e9, SIZE - 1] {
            let available = len as u64;
            assert_eq!(
                BootParams::parse(&page[..len]).err(),
                Some(Error::Truncated {
                    what: "boot_params",
                    offset: 0,
                    needed: 4096,
                    available
                })
            );
            assert!(
                Builder::try_new(&[])
                    .unwrap()
                    .emit(&mut page[..len])
                    .is_err()
            );
        }
        page[0x1e8] = 128;
        assert_eq!(
            BootParams::parse(&page).unwrap().entries().len(),
            MAX_ENTRIES
        );
        page[0x1e8] = 129;
        assert_eq!(
            BootParams::parse(&page).err().unwrap().to_string(),
            "offset 0x1e8: e820_entries is 0x81, allowed: 0 to 128"
        );
        for count in [129, 256, 300] {
            let entries = vec![RawEntry::default(); count];
            let error = Builder::try_new(&entries).unwrap_err();
            assert!(matches!(error, Error::BadField { value, .. } if value == count as u64));
        }
    }

    #[test]
    fn the_first_node_is_in_the_setup_header() {
        let mut page = vec![0; SIZE];
        page[0x250..0x258].copy_from_slice(&0x1d1e_7018_u64.to_le_bytes());
        assert_eq!(BootParams::parse(&page).unwrap().setup_data(), 0x1d1e_7018);
        set_setup_data(&mut page, 0).unwrap();
        assert_eq!(page, [0; SIZE]);
        assert!(set_setup_data(&mut page[1..], 0).is_err());
    }

    #[test]
    fn entries_that_do_not_fit_are_handed_back() {
        let entries = vec![RawEntry::default(); 130];
        let (table, rest) = Builder::split(&entries);
        assert_eq!((table.entries.len(), rest.len()), (128, 2));
        let (table, rest) = Builder::split(&entries[..5]);
        assert_eq!((table.entries.len(), rest.len()), (5, 0));
    }

    #[test]
    fn emitting_touches_the_count_and_the_table_only() {
        let mut page = vec![0xaa; SIZE + 1];
        let entry = RawEntry {
            addr: 1,
            size: 2,
            kind: Kind(3),
        };
        assert_eq!(
            Builder::try_new(&[entry]).unwrap().emit(&mut page),
            Ok(SIZE)
        );

        assert!(BootParams::parse(&page).unwrap().entries().eq([entry]));
        assert!(page[0x2d0 + 20..0xcd0].iter().all(|&b| b == 0));
        let others = [&page[..0x1e8], &page[0x1e9..0x2d0], &page[0xcd0..]];
        assert!(others.iter().all(|part| part.iter().all(|&b| b == 0xaa)));
    }
}
