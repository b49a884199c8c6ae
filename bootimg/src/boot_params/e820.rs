//! The memory map in the zero page, and what goes on outside of it.
//!
//! ```text
//!  in the page, at 2d0   addr u64 │ size u64 │ type u32      up to 128 of them
//!
//!  a node of setup_data  its head │ addr, size, type │ …
//! ```
//!
//! Source: `struct boot_e820_entry` and `struct setup_data`, `SETUP_E820_EXT` in Linux
//! `arch/x86/include/uapi/asm/{bootparam,setup_data}.h`.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::setup_data::{SetupType, WireNode, emit_head};
use crate::error::{Error, Result};

/// `E820_MAX_ENTRIES_ZEROPAGE`
pub(super) const MAX_ENTRIES: usize = 128;

/// `struct boot_e820_entry`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Entry {
    addr: U64,
    size: U64,
    kind: U32,
}

const _: () = assert!(size_of::<Entry>() == 20);

/// An entry of the memory map, as it stands there: nothing was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct E820Entry {
    /// First address.
    pub addr: u64,
    /// Size in bytes.
    pub size: u64,
    /// What is there: 1 RAM, 2 reserved, 3 ACPI, 4 ACPI NVS, and others.
    pub kind: u32,
}

impl From<&Entry> for E820Entry {
    fn from(entry: &Entry) -> Self {
        Self {
            addr: entry.addr.into(),
            size: entry.size.into(),
            kind: entry.kind.into(),
        }
    }
}

impl From<&E820Entry> for Entry {
    fn from(entry: &E820Entry) -> Self {
        Self {
            addr: entry.addr.into(),
            size: entry.size.into(),
            kind: entry.kind.into(),
        }
    }
}

/// A node of `setup_data` with the entries that the page has no room for: `SETUP_E820_EXT`.
///
/// ```
/// use bootimg::boot_params::{E820Entry, ExtendedE820};
///
/// let entries = [E820Entry { addr: 1 << 32, size: 1 << 30, kind: 1 }];
/// let node = ExtendedE820::try_new(&entries, 0)?;
/// let mut out = [0; 36];
/// assert_eq!(node.emit(&mut out)?, 36);
/// # Ok::<(), bootimg::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ExtendedE820<'e> {
    entries: &'e [E820Entry],
    next: u64,
    len: u32,
}

impl<'e> ExtendedE820<'e> {
    /// A node with these entries; `next` is the physical address of the node behind it, 0 for none.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] for entries of 4 GiB and more.
    pub fn try_new(entries: &'e [E820Entry], next: u64) -> Result<Self> {
        let len = entries.len().checked_mul(size_of::<Entry>());
        let len = len.and_then(|len| u32::try_from(len).ok());
        let len = len.ok_or(Error::Overflow {
            what: "SETUP_E820_EXT",
            offset: 12,
        })?;
        Ok(Self { entries, next, len })
    }

    /// Bytes that [`emit`](Self::emit) needs.
    #[must_use]
    pub fn emitted_len(&self) -> usize {
        // No overflow: the entries are in memory, and longer there.
        self.entries
            .len()
            .saturating_mul(size_of::<Entry>())
            .saturating_add(size_of::<WireNode>())
    }

    /// Writes the node to the start of `out`. Returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if `out` is too short.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let data = emit_head(out, SetupType::E820_EXT, self.len, self.next)?;
        for (slot, entry) in data.chunks_exact_mut(size_of::<Entry>()).zip(self.entries) {
            slot.copy_from_slice(Entry::from(entry).as_bytes());
        }
        Ok(self.emitted_len())
    }
}
