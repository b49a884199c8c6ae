//! The memory map of EFI, and how Linux makes e820 entries of it.
//!
//! ```text
//!  descriptor   0    Type: u32      4  padding
//!               8    PhysicalStart: u64
//!              16    VirtualStart: u64
//!              24    NumberOfPages: u64, of 4096 bytes
//!              32    Attribute: u64
//!              40    … up to the next descriptor: DescriptorSize bytes each, mostly 48
//! ```
//!
//! `EFI_MEMORY_DESCRIPTOR` in the UEFI specification, `GetMemoryMap()`; `efi_memory_desc_t` in Linux
//! `include/linux/efi.h`. Firmware may append to a descriptor, so the size is told beside the map
//! and never is that of the structure.
//!
//! Linux converts in two places that do not agree, see [`Rule`].

#![deny(clippy::arithmetic_side_effects)]

mod rule;

use core::fmt;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

pub use self::rule::Rule;
use crate::{Error, Field, error::Result};

/// The least that a descriptor has.
pub const MIN_DESCRIPTOR_SIZE: usize = 40;

const DESCRIPTOR_SIZE: Field = Field {
    name: "DescriptorSize",
    allowed: "40 and more",
};
/// `EFI_MEMORY_DESCRIPTOR`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    r#type: U32,
    padding: U32,
    physical_start: U64,
    virtual_start: U64,
    number_of_pages: U64,
    attribute: U64,
}

const _: () = assert!(size_of::<Wire>() == MIN_DESCRIPTOR_SIZE);

/// `EFI_MEMORY_TYPE`. Numbers without a name here survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct MemoryType(pub u32);

impl MemoryType {
    /// Not to be used.
    pub const RESERVED: Self = Self(0);
    /// Code of the boot loader.
    pub const LOADER_CODE: Self = Self(1);
    /// Data of the boot loader.
    pub const LOADER_DATA: Self = Self(2);
    /// Code of the boot services, free after `ExitBootServices()`.
    pub const BOOT_SERVICES_CODE: Self = Self(3);
    /// Data of the boot services, free after `ExitBootServices()`.
    pub const BOOT_SERVICES_DATA: Self = Self(4);
    /// Code of the runtime services.
    pub const RUNTIME_SERVICES_CODE: Self = Self(5);
    /// Data of the runtime services.
    pub const RUNTIME_SERVICES_DATA: Self = Self(6);
    /// Free.
    pub const CONVENTIONAL: Self = Self(7);
    /// Memory in which errors have been found.
    pub const UNUSABLE: Self = Self(8);
    /// ACPI tables.
    pub const ACPI_RECLAIM: Self = Self(9);
    /// ACPI non-volatile storage.
    pub const ACPI_NVS: Self = Self(10);
    /// Devices.
    pub const MAPPED_IO: Self = Self(11);
    /// Devices behind I/O port cycles.
    pub const MAPPED_IO_PORT_SPACE: Self = Self(12);
    /// Code of the processor's firmware.
    pub const PAL_CODE: Self = Self(13);
    /// Persistent memory.
    pub const PERSISTENT: Self = Self(14);
    /// Memory that a confidential guest has to accept before use.
    pub const UNACCEPTED: Self = Self(15);
}

/// `EFI_MEMORY_*` bits. Those without a name here survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Attribute(pub u64);

impl Attribute {
    /// Can be mapped write-back: it is memory.
    pub const WB: Self = Self(1 << 3);
    /// Of a specific purpose.
    pub const SP: Self = Self(1 << 18);
    /// The runtime services need it mapped.
    pub const RUNTIME: Self = Self(1 << 63);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// What the memory is.
    pub kind: MemoryType,
    /// Physical address of the first byte.
    pub phys_start: u64,
    /// Virtual address for the runtime services.
    pub virt_start: u64,
    /// Pages of 4096 bytes.
    pub pages: u64,
    /// What can be done with the memory.
    pub attribute: Attribute,
}

/// A memory map of EFI.
///
/// ```
/// use e820::{Kind, RawEntry, wire::efi::{Attribute, Descriptor, MemoryMap, MemoryMapBuilder, MemoryType, Rule}};
///
/// let pages = |kind, phys_start, pages| Descriptor {
///     kind, phys_start, virt_start: 0, pages, attribute: Attribute::WB,
/// };
/// let descriptors = [
///     pages(MemoryType::BOOT_SERVICES_CODE, 0, 1),
///     pages(MemoryType::CONVENTIONAL, 0x1000, 0x9f),
///     pages(MemoryType::ACPI_NVS, 0x80_6000, 2),
/// ];
/// let builder = MemoryMapBuilder::try_new(&descriptors, 48)?;
/// let mut bytes = vec![0; builder.emitted_len()];
/// builder.emit(&mut bytes)?;
///
/// let stub = Rule::Stub { soft_reserve: true, unaccepted: false };
/// let map: Vec<_> = MemoryMap::parse(&bytes, 48)?.entries(stub).collect::<Result<_, _>>()?;
/// assert_eq!(map, [
///     RawEntry { addr: 0, size: 0xa_0000, kind: Kind::RAM },
///     RawEntry { addr: 0x80_6000, size: 0x2000, kind: Kind::NVS },
/// ]);
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct MemoryMap<'a> {
    bytes: &'a [u8],
    descriptor_size: usize,
    /// Where the bytes begin in what they were found in.
    offset: u64,
}

impl<'a> MemoryMap<'a> {
    /// Reads all of `bytes`, at any alignment, as descriptors of `descriptor_size` bytes each.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] for less than 40 bytes a descriptor, [`Error::Truncated`] if the last one
    /// is not complete.
    pub fn parse(bytes: &'a [u8], descriptor_size: usize) -> Result<Self> {
        check_size(descriptor_size, 0)?;
        Self::behind(bytes, descriptor_size, 0)
    }

    /// Reads a map that begins at `offset` and whose size of a descriptor is the number 8 bytes before
    /// it.
    pub(super) fn in_tag(bytes: &'a [u8], descriptor_size: usize, offset: u64) -> Result<Self> {
        // Cannot saturate: that number has been read.
        check_size(descriptor_size, offset.saturating_sub(8))?;
        Self::behind(bytes, descriptor_size, offset)
    }

    fn behind(bytes: &'a [u8], descriptor_size: usize, offset: u64) -> Result<Self> {
        let rest = bytes.len().checked_rem(descriptor_size).unwrap_or_default();
        if rest != 0 {
            return Err(Error::Truncated {
                what: "EFI_MEMORY_DESCRIPTOR",
                // Cannot saturate: the rest is a part of the bytes, and these lie in a slice.
                offset: offset.saturating_add(bytes.len().saturating_sub(rest) as u64),
                needed: descriptor_size as u64,
                available: rest as u64,
            });
        }
        Ok(Self {
            bytes,
            descriptor_size,
            offset,
        })
    }

    /// The descriptors in their order. What firmware has appended to them is left out.
    pub fn descriptors(&self) -> impl Iterator<Item = Descriptor> + Clone + use<'a> {
        let each = self.bytes.chunks_exact(self.descriptor_size);
        each.filter_map(|bytes| {
            let (wire, _) = Wire::ref_from_prefix(bytes).ok()?;
            Some(Descriptor {
                kind: MemoryType(wire.r#type.get()),
                phys_start: wire.physical_start.get(),
                virt_start: wire.virtual_start.get(),
                pages: wire.number_of_pages.get(),
                attribute: Attribute(wire.attribute.get()),
            })
        })
    }
}

impl fmt::Debug for MemoryMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.descriptors()).finish()
    }
}

fn check_size(descriptor_size: usize, offset: u64) -> Result<()> {
    if descriptor_size >= MIN_DESCRIPTOR_SIZE {
        return Ok(());
    }
    Err(Error::BadField {
        field: &DESCRIPTOR_SIZE,
        offset,
        value: descriptor_size as u64,
    })
}

/// The bytes of a [`MemoryMap`], to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryMapBuilder<'a> {
    descriptors: &'a [Descriptor],
    descriptor_size: usize,
    len: usize,
}

impl<'a> MemoryMapBuilder<'a> {
    /// A map of these descriptors, `descriptor_size` bytes each.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] for less than 40 bytes a descriptor, [`Error::Overflow`] if the map has
    /// more bytes than an address space.
    pub fn try_new(descriptors: &'a [Descriptor], descriptor_size: usize) -> Result<Self> {
        check_size(descriptor_size, 0)?;
        let what = "the size of the map";
        let len = descriptors.len().checked_mul(descriptor_size);
        Ok(Self {
            descriptors,
            descriptor_size,
            len: len.ok_or(Error::Overflow { what, offset: 0 })?,
        })
    }

    /// Bytes that [`emit`](Self::emit) writes.
    pub const fn emitted_len(&self) -> usize {
        self.len
    }

    /// Writes the descriptors to the start of `out`, what is beyond 40 bytes of each as zeroes.
    /// Returns how many bytes that took.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`emitted_len`](Self::emitted_len) bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let available = out.len() as u64;
        let out = out.get_mut(..self.len).ok_or(Error::Truncated {
            what: "EFI memory map",
            offset: 0,
            needed: self.len as u64,
            available,
        })?;
        out.fill(0);
        let slots = out.chunks_exact_mut(self.descriptor_size);
        for (slot, descriptor) in slots.zip(self.descriptors) {
            if let Ok((wire, _)) = Wire::mut_from_prefix(slot) {
                wire.r#type = descriptor.kind.0.into();
                wire.physical_start = descriptor.phys_start.into();
                wire.virtual_start = descriptor.virt_start.into();
                wire.number_of_pages = descriptor.pages.into();
                wire.attribute = descriptor.attribute.0.into();
            }
        }
        Ok(self.len)
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;

    pub(super) fn descriptor(kind: u32, page: u64, pages: u64, attribute: Attribute) -> Descriptor {
        Descriptor {
            kind: MemoryType(kind),
            phys_start: page << 12,
            virt_start: 0,
            pages,
            attribute,
        }
    }

    #[test]
    fn every_byte_is_where_the_specification_says() {
        let bytes: Vec<u8> = (1..=96).collect();
        let map = MemoryMap::parse(&bytes, 48).unwrap();
        let descriptors: Vec<_> = map.descriptors().collect();
        assert_eq!(
            descriptors[0],
            Descriptor {
                kind: MemoryType(0x0403_0201),
                phys_start: 0x100f_0e0d_0c0b_0a09,
                virt_start: 0x1817_1615_1413_1211,
                pages: 0x201f_1e1d_1c1b_1a19,
                attribute: Attribute(0x2827_2625_2423_2221),
            }
        );
        assert_eq!(descriptors[1].kind, MemoryType(0x3433_3231));
    }

    #[test]
    fn descriptors_of_any_size() {
        let descriptors = [
            descriptor(7, 1, 2, Attribute::WB),
            descriptor(99, 3, 4, Attribute(5)),
        ];
        for size in [40, 41, 48, 56, 1000] {
            let builder = MemoryMapBuilder::try_new(&descriptors, size).unwrap();
            let mut bytes = vec![0xaa; 2 * size + 1];
            assert_eq!(builder.emit(&mut bytes), Ok(2 * size));
            assert!(builder.emit(&mut bytes[..2 * size - 1]).is_err());
            let map = MemoryMap::parse(&bytes[..2 * size], size).unwrap();
            assert!(map.descriptors().eq(descriptors), "{size}");
            assert!(MemoryMap::parse(&bytes, size).is_err());
        }
        for size in [0, 39] {
            let error = MemoryMap::parse(&[], size).unwrap_err().to_string();
            assert_eq!(
                error,
                std::format!("offset 0x0: DescriptorSize is {size:#x}, allowed: 40 and more")
            );
            assert!(MemoryMapBuilder::try_new(&[], size).is_err());
        }
    }
}
