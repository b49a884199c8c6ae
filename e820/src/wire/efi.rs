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

use core::{fmt, iter::FusedIterator};

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::{Error, Field, Kind, RawEntry, error::Result};

/// The least that a descriptor has.
pub const MIN_DESCRIPTOR_SIZE: usize = 40;

const DESCRIPTOR_SIZE: Field = Field {
    name: "DescriptorSize",
    allowed: "40 and more",
};
const PAGES: Field = Field {
    name: "NumberOfPages",
    allowed: "below 2^52, so that the bytes fit 64 bits",
};
const PAGES_OFFSET: u64 = 24;

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

/// How e820 entries are made of descriptors. Linux has two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The EFI stub, `setup_e820()` in Linux `drivers/firmware/efi/libstub/x86-stub.c` (before 5.7
    /// `arch/x86/boot/compressed/eboot.c`): the map in the zero page of a kernel that EFI has
    /// started.
    ///
    /// Usable is what boot services and loaders have left, whatever its attributes. Descriptors of
    /// unknown types are left out. A descriptor that goes on where the entry before it ends, with
    /// the same kind, becomes a part of that entry.
    Stub {
        /// Memory of a specific purpose is soft-reserved: Linux 5.5 and later, with
        /// `CONFIG_EFI_SOFT_RESERVE` and without `efi=nosoftreserve`. Otherwise it is usable.
        soft_reserve: bool,
        /// Unaccepted memory is usable: Linux 6.5 and later, with `CONFIG_UNACCEPTED_MEMORY`.
        /// Otherwise it is left out.
        unaccepted: bool,
    },
    /// `do_add_efi_memmap()` in Linux `arch/x86/platform/efi/efi.c`: what `add_efi_memmap` on the
    /// command line appends to the map, and soft-reserved memory without it.
    ///
    /// Only what can be mapped write-back is usable; the rest, and every type that is unknown, is
    /// reserved. One entry for each descriptor; the kernel sanitises the map afterwards.
    AddEfiMemmap {
        /// As for the stub.
        soft_reserve: bool,
    },
}

impl Rule {
    /// The kind of a descriptor's memory; `None` if it is left out.
    pub const fn kind(self, descriptor: &Descriptor) -> Option<Kind> {
        let attribute = descriptor.attribute;
        Some(match (descriptor.kind, self) {
            (
                MemoryType::LOADER_CODE
                | MemoryType::LOADER_DATA
                | MemoryType::BOOT_SERVICES_CODE
                | MemoryType::BOOT_SERVICES_DATA
                | MemoryType::CONVENTIONAL,
                Self::Stub { soft_reserve, .. } | Self::AddEfiMemmap { soft_reserve },
            ) => {
                if soft_reserve && attribute.contains(Attribute::SP) {
                    Kind::SOFT_RESERVED
                } else if matches!(self, Self::Stub { .. }) || attribute.contains(Attribute::WB) {
                    Kind::RAM
                } else {
                    Kind::RESERVED
                }
            }
            (MemoryType::UNUSABLE, _) => Kind::UNUSABLE,
            (MemoryType::ACPI_RECLAIM, _) => Kind::ACPI,
            (MemoryType::ACPI_NVS, _) => Kind::NVS,
            (MemoryType::PERSISTENT, _) => Kind::PMEM,
            (
                MemoryType::RESERVED
                | MemoryType::RUNTIME_SERVICES_CODE
                | MemoryType::RUNTIME_SERVICES_DATA
                | MemoryType::MAPPED_IO
                | MemoryType::MAPPED_IO_PORT_SPACE
                | MemoryType::PAL_CODE,
                _,
            )
            | (_, Self::AddEfiMemmap { .. }) => Kind::RESERVED,
            (
                MemoryType::UNACCEPTED,
                Self::Stub {
                    unaccepted: true, ..
                },
            ) => Kind::RAM,
            (_, Self::Stub { .. }) => return None,
        })
    }
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
}

impl<'a> MemoryMap<'a> {
    /// Reads all of `bytes`, at any alignment, as descriptors of `descriptor_size` bytes each.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] for less than 40 bytes a descriptor, [`Error::Truncated`] if the last one
    /// is not complete.
    pub fn parse(bytes: &'a [u8], descriptor_size: usize) -> Result<Self> {
        check_size(descriptor_size)?;
        let rest = bytes.len().checked_rem(descriptor_size).unwrap_or_default();
        if rest != 0 {
            return Err(Error::Truncated {
                what: "EFI_MEMORY_DESCRIPTOR",
                // Cannot saturate: the rest is a part of the bytes.
                offset: bytes.len().saturating_sub(rest) as u64,
                needed: descriptor_size as u64,
                available: rest as u64,
            });
        }
        Ok(Self {
            bytes,
            descriptor_size,
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

    /// The e820 entries that Linux makes of the map.
    ///
    /// An iterator that stops after the first error: [`Error::BadField`] for a number of pages whose
    /// bytes do not fit 64 bits, [`Error::Overflow`] if those of a merged entry do not.
    pub fn entries(&self, rule: Rule) -> impl Iterator<Item = Result<RawEntry>> + use<'a> {
        Entries {
            descriptors: self.descriptors().enumerate(),
            descriptor_size: self.descriptor_size,
            rule,
            pending: None,
            error: None,
            ended: false,
        }
    }
}

impl fmt::Debug for MemoryMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.descriptors()).finish()
    }
}

fn check_size(descriptor_size: usize) -> Result<()> {
    if descriptor_size >= MIN_DESCRIPTOR_SIZE {
        return Ok(());
    }
    Err(Error::BadField {
        field: &DESCRIPTOR_SIZE,
        offset: 0,
        value: descriptor_size as u64,
    })
}

struct Entries<D> {
    descriptors: D,
    descriptor_size: usize,
    rule: Rule,
    /// The last entry, to which the next descriptor may still be added.
    pending: Option<RawEntry>,
    /// What comes after it.
    error: Option<Error>,
    ended: bool,
}

impl<D: Iterator<Item = (usize, Descriptor)>> Entries<D> {
    /// Adds a descriptor to the map. Returns the entry that is complete now.
    fn add(&mut self, index: usize, descriptor: &Descriptor) -> Result<Option<RawEntry>> {
        let Some(kind) = self.rule.kind(descriptor) else {
            return Ok(None);
        };
        // Cannot saturate: the descriptor lies in a slice.
        let offset =
            (index.saturating_mul(self.descriptor_size) as u64).saturating_add(PAGES_OFFSET);
        let size = descriptor.pages.checked_mul(4096).ok_or(Error::BadField {
            field: &PAGES,
            offset,
            value: descriptor.pages,
        })?;
        let addr = descriptor.phys_start;
        match (&mut self.pending, self.rule) {
            // The stub adds in 64 bits and compares what comes out.
            (Some(last), Rule::Stub { .. })
                if (last.kind, last.addr.wrapping_add(last.size)) == (kind, addr) =>
            {
                let what = "the size of merged descriptors";
                let merged = last.size.checked_add(size);
                last.size = merged.ok_or(Error::Overflow { what, offset })?;
                return Ok(None);
            }
            _ => {}
        }
        Ok(self.pending.replace(RawEntry { addr, size, kind }))
    }
}

impl<D: Iterator<Item = (usize, Descriptor)>> Iterator for Entries<D> {
    type Item = Result<RawEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let Some((index, descriptor)) = self.descriptors.next() else {
                self.ended = true;
                break;
            };
            match self.add(index, &descriptor) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    self.ended = true;
                    self.error = Some(error);
                }
            }
        }
        let entry = self.pending.take().map(Ok);
        entry.or_else(|| self.error.take().map(Err))
    }
}

impl<D: Iterator<Item = (usize, Descriptor)>> FusedIterator for Entries<D> {}

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
        check_size(descriptor_size)?;
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

    const STUB: Rule = Rule::Stub {
        soft_reserve: true,
        unaccepted: true,
    };
    const ADD: Rule = Rule::AddEfiMemmap { soft_reserve: true };

    fn descriptor(kind: u32, page: u64, pages: u64, attribute: Attribute) -> Descriptor {
        Descriptor {
            kind: MemoryType(kind),
            phys_start: page << 12,
            virt_start: 0,
            pages,
            attribute,
        }
    }

    fn convert(descriptors: &[Descriptor], rule: Rule) -> Result<Vec<RawEntry>> {
        let builder = MemoryMapBuilder::try_new(descriptors, 48).unwrap();
        let mut bytes = vec![0xaa; builder.emitted_len()];
        builder.emit(&mut bytes).unwrap();
        MemoryMap::parse(&bytes, 48)
            .unwrap()
            .entries(rule)
            .collect()
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
                std::format!("offset 0x0: DescriptorSize is {size}, allowed: 40 and more")
            );
            assert!(MemoryMapBuilder::try_new(&[], size).is_err());
        }
    }

    #[test]
    fn kinds_by_both_rules() {
        let (wb, sp) = (Attribute::WB, Attribute(Attribute::WB.0 | Attribute::SP.0));
        let uc = Attribute(1);
        let (some, reserved) = (Some, Some(Kind::RESERVED));
        for (kind, attribute, stub, add) in [
            (0, wb, reserved, reserved),
            (1, wb, some(Kind::RAM), some(Kind::RAM)),
            (4, uc, some(Kind::RAM), reserved),
            (5, wb, reserved, reserved),
            (7, sp, some(Kind::SOFT_RESERVED), some(Kind::SOFT_RESERVED)),
            (8, wb, some(Kind::UNUSABLE), some(Kind::UNUSABLE)),
            (9, uc, some(Kind::ACPI), some(Kind::ACPI)),
            (10, uc, some(Kind::NVS), some(Kind::NVS)),
            (11, sp, reserved, reserved),
            (14, sp, some(Kind::PMEM), some(Kind::PMEM)),
            (15, wb, some(Kind::RAM), reserved),
            (16, wb, None, reserved),
            (0x8000_0000, wb, None, reserved),
        ] {
            let descriptor = descriptor(kind, 0, 1, attribute);
            assert_eq!(STUB.kind(&descriptor), stub, "{kind}");
            assert_eq!(ADD.kind(&descriptor), add, "{kind}");
        }
        let off = Rule::Stub {
            soft_reserve: false,
            unaccepted: false,
        };
        assert_eq!(off.kind(&descriptor(7, 0, 1, sp)), Some(Kind::RAM));
        assert_eq!(off.kind(&descriptor(15, 0, 1, wb)), None);
    }

    #[test]
    fn only_the_stub_merges_and_only_with_the_entry_before() {
        let wb = Attribute::WB;
        let map = [
            descriptor(3, 0, 1, wb),
            descriptor(16, 1, 1, wb),
            descriptor(7, 1, 2, wb),
            descriptor(7, 4, 1, wb),
            descriptor(10, 5, 1, wb),
            descriptor(7, 3, 1, wb),
        ];
        let pages = |map: Vec<RawEntry>| -> Vec<_> {
            map.iter()
                .map(|e| (e.addr >> 12, e.size >> 12, e.kind.0))
                .collect()
        };
        assert_eq!(
            pages(convert(&map, STUB).unwrap()),
            [(0, 3, 1), (4, 1, 1), (5, 1, 4), (3, 1, 1)]
        );
        assert_eq!(convert(&map, ADD).unwrap().len(), 6);
    }

    #[test]
    fn sizes_that_do_not_fit() {
        let wb = Attribute::WB;
        let map = [
            descriptor(7, 0, 1, wb),
            descriptor(10, 1, 1 << 52, wb),
            descriptor(7, 2, 1, wb),
        ];
        let builder = MemoryMapBuilder::try_new(&map, 40).unwrap();
        let mut bytes = vec![0; 120];
        builder.emit(&mut bytes).unwrap();
        let mut entries = MemoryMap::parse(&bytes, 40).unwrap().entries(STUB);
        assert!(matches!(entries.next(), Some(Ok(_))));
        assert_eq!(
            entries.next().unwrap().unwrap_err().to_string(),
            "offset 0x40: NumberOfPages is 4503599627370496, allowed: below 2^52, so that the bytes fit 64 bits"
        );
        assert!(entries.next().is_none());
        let merged = [
            descriptor(7, 0, (1 << 52) - 1, wb),
            descriptor(7, (1 << 52) - 1, 2, wb),
        ];
        assert!(matches!(
            convert(&merged, STUB),
            Err(Error::Overflow { offset: 72, .. })
        ));
    }
}
