//! Arrays of e820 entries: what the BIOS call 0xe820 has filled, what `SETUP_E820_EXT` carries.
//!
//! ```text
//!  offset  0         8         16         20           24
//!          │ addr u64│ size u64│ type u32 │
//!          └──────────── 20 bytes ────────┤
//!          │                              │ extended attributes u32 (ACPI 3)
//!          └──────────────────── 24 bytes ─────────────┘     little-endian, packed
//! ```
//!
//! `struct boot_e820_entry` in Linux `arch/x86/include/uapi/asm/setup_data.h` (`bootparam.h`
//! before it was split off); Address Range Descriptor Structure in the ACPI specification, chapter "System
//! Address Map Interfaces". Linux strips the attributes and does not look at them.

#![deny(clippy::arithmetic_side_effects)]

use core::fmt;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::{Error, Kind, RawEntry, error::Result};

/// `struct boot_e820_entry`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry20 {
    addr: U64,
    size: U64,
    r#type: U32,
}

const _: () = assert!(size_of::<Entry20>() == 20);

/// With the attributes of ACPI 3, or with padding (`struct hvm_memmap_table_entry`, `struct
/// multiboot_mmap_entry` of Multiboot 2).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry24 {
    pub(super) entry: Entry20,
    pub(super) rest: U32,
}

const _: () = assert!(size_of::<Entry24>() == 24);

impl From<&Entry20> for RawEntry {
    fn from(entry: &Entry20) -> Self {
        Self {
            addr: entry.addr.get(),
            size: entry.size.get(),
            kind: Kind(entry.r#type.get()),
        }
    }
}

impl From<&RawEntry> for Entry20 {
    fn from(entry: &RawEntry) -> Self {
        Self {
            addr: entry.addr.into(),
            size: entry.size.into(),
            r#type: entry.kind.0.into(),
        }
    }
}

/// Extended attributes of an entry of 24 bytes. Bits without a name survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Attributes(pub u32);

impl Attributes {
    /// `AddressRangeEnabled`: in ACPI 3, without it the entry is to be ignored; later always set.
    pub const ENABLED: Self = Self(1);
    /// `AddressRangeNonVolatile`; withdrawn in ACPI 6.1.
    pub const NON_VOLATILE: Self = Self(1 << 1);
    /// `AddressRangeSlowAccess`.
    pub const SLOW_ACCESS: Self = Self(1 << 2);
    /// `AddressRangeErrorLog`.
    pub const ERROR_LOG: Self = Self(1 << 3);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// An entry of 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AcpiEntry {
    /// What an entry of 20 bytes has.
    pub entry: RawEntry,
    /// The other 4 bytes.
    pub attributes: Attributes,
}

/// An array of entries of 20 bytes.
///
/// ```
/// use e820::{Kind, RawEntry, wire::array::{Array, ArrayBuilder}};
///
/// let ram = RawEntry { addr: 0x1000, size: 0x9ec00, kind: Kind::RAM };
/// let mut bytes = [0; 20];
/// ArrayBuilder::new(&[ram]).emit(&mut bytes)?;
/// assert!(Array::parse(&bytes)?.entries().eq([ram]));
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Array<'a>(&'a [Entry20]);

impl<'a> Array<'a> {
    /// Reads all of `bytes`, at any alignment.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the last entry is not complete.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        whole(bytes, "e820 entry").map(Self)
    }

    /// The entries in their order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = RawEntry> + Clone + use<'a> {
        self.0.iter().map(RawEntry::from)
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

/// An array of entries of 24 bytes.
///
/// ```
/// use e820::wire::array::{AcpiArray, Attributes};
///
/// let bytes = b"\0\x10\0\0\0\0\0\0\0\xec\x09\0\0\0\0\0\x01\0\0\0\x01\0\0\0";
/// let entry = AcpiArray::parse(bytes)?.entries().next().unwrap();
/// assert!(entry.attributes.contains(Attributes::ENABLED));
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct AcpiArray<'a>(&'a [Entry24]);

impl<'a> AcpiArray<'a> {
    /// Reads all of `bytes`, at any alignment.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the last entry is not complete.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        whole(bytes, "e820 entry with attributes").map(Self)
    }

    /// The entries in their order, enabled or not.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = AcpiEntry> + Clone + use<'a> {
        self.0.iter().map(|found| AcpiEntry {
            entry: RawEntry::from(&found.entry),
            attributes: Attributes(found.rest.get()),
        })
    }
}

impl fmt::Debug for AcpiArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

/// The bytes of an [`Array`], to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayBuilder<'a>(&'a [RawEntry]);

impl<'a> ArrayBuilder<'a> {
    /// An array of these entries, as they are.
    pub const fn new(entries: &'a [RawEntry]) -> Self {
        Self(entries)
    }

    /// Bytes that [`emit`](Self::emit) writes.
    pub const fn emitted_len(&self) -> usize {
        // Right where it saturates: an entry takes more bytes in memory than in the array.
        self.0.len().saturating_mul(size_of::<Entry20>())
    }

    /// Writes the entries to the start of `out`. Returns how many bytes that took.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`emitted_len`](Self::emitted_len) bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        emit(out, "e820 entries", self.0.iter().map(Entry20::from))
    }
}

/// The bytes of an [`AcpiArray`], to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcpiArrayBuilder<'a>(&'a [AcpiEntry]);

impl<'a> AcpiArrayBuilder<'a> {
    /// An array of these entries, as they are.
    pub const fn new(entries: &'a [AcpiEntry]) -> Self {
        Self(entries)
    }

    /// Bytes that [`emit`](Self::emit) writes.
    pub const fn emitted_len(&self) -> usize {
        // Right where it saturates: an entry takes more bytes in memory than in the array.
        self.0.len().saturating_mul(size_of::<Entry24>())
    }

    /// Writes the entries to the start of `out`. Returns how many bytes that took.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`emitted_len`](Self::emitted_len) bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let records = self.0.iter().map(|found| Entry24 {
            entry: Entry20::from(&found.entry),
            rest: found.attributes.0.into(),
        });
        emit(out, "e820 entries with attributes", records)
    }
}

/// All of `bytes` as records of one size.
pub(super) fn whole<'a, T>(bytes: &'a [u8], what: &'static str) -> Result<&'a [T]>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned,
{
    let available = bytes.len() as u64;
    let needed = size_of::<T>() as u64;
    let (records, rest) = <[T]>::ref_from_prefix(bytes).map_err(|_| Error::Truncated {
        what,
        offset: 0,
        needed,
        available,
    })?;
    if rest.is_empty() {
        return Ok(records);
    }
    let available = rest.len() as u64;
    Err(Error::Truncated {
        what,
        // Cannot saturate: the rest is a part of the bytes.
        offset: (bytes.len() as u64).saturating_sub(available),
        needed,
        available,
    })
}

/// Writes records to the start of `out`. Returns how many bytes that took.
pub(super) fn emit<T: IntoBytes + Immutable>(
    out: &mut [u8],
    what: &'static str,
    records: impl ExactSizeIterator<Item = T>,
) -> Result<usize> {
    let available = out.len();
    let needed = records.len().checked_mul(size_of::<T>());
    let needed = needed.ok_or(Error::Overflow { what, offset: 0 })?;
    let out = out.get_mut(..needed).ok_or(Error::Truncated {
        what,
        offset: 0,
        needed: needed as u64,
        available: available as u64,
    })?;
    for (slot, record) in out.chunks_exact_mut(size_of::<T>()).zip(records) {
        slot.copy_from_slice(record.as_bytes());
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::*;

    #[test]
    fn every_byte_is_where_the_header_says() {
        let bytes: Vec<u8> = (1..=48).collect();
        let entry = AcpiArray::parse(&bytes).unwrap().entries().next().unwrap();
        let expected = RawEntry {
            addr: 0x0807_0605_0403_0201,
            size: 0x100f_0e0d_0c0b_0a09,
            kind: Kind(0x1413_1211),
        };
        assert_eq!(
            (entry.entry, entry.attributes),
            (expected, Attributes(0x1817_1615))
        );
        assert_eq!(
            Array::parse(&bytes[..40]).unwrap().entries().next(),
            Some(expected)
        );
    }

    #[test]
    fn arrays_that_are_cut_off() {
        let bytes = [0; 48];
        for len in 0..48 {
            assert_eq!(Array::parse(&bytes[..len]).is_ok(), len % 20 == 0, "{len}");
            assert_eq!(
                AcpiArray::parse(&bytes[..len]).is_ok(),
                len % 24 == 0,
                "{len}"
            );
        }
        assert_eq!(
            Array::parse(&bytes[..27]).unwrap_err().to_string(),
            "offset 0x14: e820 entry needs 0x14 bytes, 0x7 are there"
        );
    }

    #[test]
    fn emitting_needs_room_and_writes_no_more() {
        let entries = [RawEntry::default(); 2];
        let builder = ArrayBuilder::new(&entries);
        let mut out = [0xaa; 41];
        assert_eq!(
            builder.emit(&mut out[..39]).unwrap_err().to_string(),
            "offset 0x0: e820 entries needs 0x28 bytes, 0x27 are there"
        );
        assert_eq!(builder.emit(&mut out), Ok(40));
        assert_eq!((out[39], out[40]), (0, 0xaa));
        let entries = [AcpiEntry::default(); 2];
        assert_eq!(AcpiArrayBuilder::new(&entries).emit(&mut [0; 48]), Ok(48));
        assert!(AcpiArrayBuilder::new(&entries).emit(&mut [0; 47]).is_err());
    }
}
