//! How Linux makes e820 entries of EFI's descriptors.
//!
//! ```text
//!   descriptors    3 boot code │ 7 conventional │ 10 NVS │ 16 of a vendor
//!   stub           ────── 1 RAM ────────────────│─ 4 NVS ┤                   merged, unknown left out
//!   add_efi_memmap ──── 1 RAM ─┼──── 1 RAM ─────│─ 4 NVS ┼── 2 reserved ──   one by one
//! ```
//!
//! `setup_e820()` in Linux `drivers/firmware/efi/libstub/x86-stub.c` and `do_add_efi_memmap()` in
//! `arch/x86/platform/efi/efi.c`, which do not agree.

use core::iter::FusedIterator;

use super::{Attribute, Descriptor, MemoryMap, MemoryType};
use crate::{Error, Field, Kind, RawEntry, error::Result};

const PAGES: Field = Field {
    name: "NumberOfPages",
    allowed: "below 2^52, so that the bytes fit 64 bits",
};
const PAGES_OFFSET: u64 = 24;

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

impl<'a> MemoryMap<'a> {
    /// The e820 entries that Linux makes of the map.
    ///
    /// An iterator that stops after the first error: [`Error::BadField`] for a number of pages whose
    /// bytes do not fit 64 bits, [`Error::Overflow`] if those of a merged entry do not.
    pub fn entries(&self, rule: Rule) -> impl Iterator<Item = Result<RawEntry>> + use<'a> {
        Entries {
            descriptors: self.descriptors().enumerate(),
            descriptor_size: self.descriptor_size,
            offset: self.offset,
            rule,
            pending: None,
            error: None,
            ended: false,
        }
    }
}

/// The entries that a rule makes of descriptors.
struct Entries<D> {
    descriptors: D,
    descriptor_size: usize,
    /// Where the first descriptor is.
    offset: u64,
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
        let offset = (index.saturating_mul(self.descriptor_size) as u64)
            .saturating_add(PAGES_OFFSET)
            .saturating_add(self.offset);
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

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::{
        super::{MemoryMapBuilder, tests::descriptor},
        *,
    };

    const STUB: Rule = Rule::Stub {
        soft_reserve: true,
        unaccepted: true,
    };
    const ADD: Rule = Rule::AddEfiMemmap { soft_reserve: true };

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
            "offset 0x40: NumberOfPages is 0x10000000000000, allowed: below 2^52, so that the bytes fit 64 bits"
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
