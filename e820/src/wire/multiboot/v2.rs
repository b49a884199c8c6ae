//! Multiboot 2: a list of tags, one of which has the map and one perhaps that of EFI.
//!
//! ```text
//!  information   0   total_size: u32      4  reserved
//!                8   tags, each on a multiple of 8 bytes
//!
//!  tag           0   type: u32, 0 = the last one, 6 = the map, 17 = EFI's map
//!                4   size: u32, with these 8 bytes
//!
//!  type 6        8   entry_size: u32, a multiple of 8    12  entry_version: u32
//!               16   base_addr u64 │ length u64 │ type u32 │ reserved u32 │ … entry_size bytes each
//!  type 17       8   descriptor size: u32                12  descriptor version: u32
//!               16   descriptors
//! ```

use core::{fmt, iter::FusedIterator};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::U32};

use super::super::{
    array::{self, Entry24},
    efi,
};
use crate::{Error, Field, RawEntry, error::Result};

const TOTAL_SIZE: Field = Field {
    name: "total_size",
    allowed: "16 and more, no more than there are bytes",
};
const TAG_SIZE: Field = Field {
    name: "tag.size",
    allowed: "8 and more, 16 and more for a map",
};
const ENTRY_SIZE: Field = Field {
    name: "entry_size",
    allowed: "a multiple of 8 from 24 on",
};

/// The start of the information, and of a tag; in a map also what follows that.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Pair {
    first: U32,
    second: U32,
}

/// `struct multiboot_tag_mmap`, without its entries.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct MmapTag {
    r#type: U32,
    size: U32,
    entry_size: U32,
    entry_version: U32,
}

/// What a tag carries. Numbers without a name here survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct TagType(pub u32);

impl TagType {
    /// Nothing: the last tag.
    pub const END: Self = Self(0);
    /// The memory map.
    pub const MMAP: Self = Self(6);
    /// EFI's memory map.
    pub const EFI_MMAP: Self = Self(17);
}

/// A tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Where it begins in the information.
    pub offset: u64,
    /// What it carries.
    pub kind: TagType,
    /// What follows its size.
    pub data: &'a [u8],
}

/// The boot information.
///
/// ```
/// use e820::{Kind, RawEntry, wire::multiboot::v2::{Info, MapBuilder}};
///
/// let ram = RawEntry { addr: 0x10_0000, size: 0x7ee_0000, kind: Kind::RAM };
/// let map = [ram];
/// let tag = MapBuilder::try_new(&map)?;
/// let mut bytes = vec![0; 8 + tag.emitted_len() + 8];
/// bytes[0] = bytes.len() as u8;
/// tag.emit(&mut bytes[8..])?;
/// *bytes.iter_mut().rev().nth(3).unwrap() = 8; // the size of the last tag
///
/// let found: Vec<_> = Info::parse(&bytes)?.memory_map()?.unwrap().entries().collect();
/// assert_eq!(found, [ram]);
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Info<'a> {
    /// All of it, with the first 8 bytes.
    bytes: &'a [u8],
}

impl<'a> Info<'a> {
    /// Reads the information at the start of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below 8 bytes, [`Error::BadField`] for a `total_size` that there are not
    /// as many bytes for.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (info, _) = Pair::ref_from_prefix(bytes).map_err(|_| Error::Truncated {
            what: "boot information",
            offset: 0,
            needed: 8,
            available: bytes.len() as u64,
        })?;
        let total = info.first.get();
        let whole = usize::try_from(total).ok().filter(|&total| total >= 16);
        let bytes = whole
            .and_then(|total| bytes.get(..total))
            .ok_or(Error::BadField {
                field: &TOTAL_SIZE,
                offset: 0,
                value: total.into(),
            })?;
        Ok(Self { bytes })
    }

    /// The tags before the last one.
    pub const fn tags(&self) -> Tags<'a> {
        Tags {
            bytes: self.bytes,
            offset: Some(8),
        }
    }

    fn find(&self, kind: TagType) -> Result<Option<Tag<'a>>> {
        let found = |tag: &Result<Tag<'a>>| match tag {
            Ok(tag) => tag.kind == kind,
            Err(_) => true,
        };
        self.tags().find(found).transpose()
    }

    /// The memory map; `None` if there is no such tag.
    ///
    /// # Errors
    ///
    /// Those of [`tags`](Self::tags) up to it; [`Error::BadField`] and [`Error::Truncated`] for
    /// entries of an odd size and incomplete ones.
    pub fn memory_map(&self) -> Result<Option<MemoryMap<'a>>> {
        self.find(TagType::MMAP)?.map(MemoryMap::parse).transpose()
    }

    /// EFI's memory map; `None` if there is no such tag.
    ///
    /// # Errors
    ///
    /// Those of [`tags`](Self::tags) up to it and of [`efi::MemoryMap::parse`].
    pub fn efi_map(&self) -> Result<Option<efi::MemoryMap<'a>>> {
        let Some(tag) = self.find(TagType::EFI_MMAP)? else {
            return Ok(None);
        };
        let (sizes, descriptors) = tag.split()?;
        let size = usize::try_from(sizes.first.get()).unwrap_or(usize::MAX);
        // Cannot saturate: inside of a slice.
        efi::MemoryMap::in_tag(descriptors, size, tag.offset.saturating_add(16)).map(Some)
    }
}

impl<'a> Tag<'a> {
    /// Both numbers at the start of a map, and what follows them.
    fn split(self) -> Result<(&'a Pair, &'a [u8])> {
        Pair::ref_from_prefix(self.data).map_err(|_| Error::BadField {
            field: &TAG_SIZE,
            // Cannot saturate: inside of a slice.
            offset: self.offset.saturating_add(4),
            value: (self.data.len() as u64).saturating_add(8),
        })
    }
}

/// The tags of boot information, in their order and without the last one.
///
/// An iterator that stops after the first error; information without a last tag is one.
#[derive(Debug, Clone)]
pub struct Tags<'a> {
    bytes: &'a [u8],
    /// Where the next one begins; `None` after the last one and after an error.
    offset: Option<usize>,
}

impl<'a> Tags<'a> {
    /// The tag at `offset` and where the next one begins.
    fn read(&self, offset: usize) -> Result<(Tag<'a>, usize)> {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let short = |needed: usize| Error::Truncated {
            what: "tag",
            offset: offset as u64,
            needed: needed as u64,
            available: rest.len() as u64,
        };
        let (head, _) = Pair::ref_from_prefix(rest).map_err(|_| short(8))?;
        let size = usize::try_from(head.second.get()).unwrap_or(usize::MAX);
        if size < 8 {
            return Err(Error::BadField {
                field: &TAG_SIZE,
                // Cannot saturate: inside of a slice.
                offset: (offset as u64).saturating_add(4),
                value: size as u64,
            });
        }
        let data = rest.get(8..size).ok_or(short(size))?;
        let tag = Tag {
            offset: offset as u64,
            kind: TagType(head.first.get()),
            data,
        };
        // Beyond the end where it saturates, and that is an error of the next one.
        let end = offset.saturating_add(size);
        Ok((tag, end.checked_next_multiple_of(8).unwrap_or(usize::MAX)))
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Result<Tag<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset.take()?;
        match self.read(offset) {
            Ok((tag, _)) if tag.kind == TagType::END => None,
            Ok((tag, next)) => {
                self.offset = Some(next);
                Some(Ok(tag))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Tags<'_> {}

/// A memory map.
#[derive(Clone, Copy)]
pub struct MemoryMap<'a> {
    entries: &'a [u8],
    entry_size: usize,
    entry_version: u32,
}

impl<'a> MemoryMap<'a> {
    fn parse(tag: Tag<'a>) -> Result<Self> {
        let (sizes, entries) = tag.split()?;
        let size = sizes.first.get();
        let entry_size = usize::try_from(size).ok();
        let entry_size = entry_size.filter(|size| *size >= size_of::<Entry24>() && size % 8 == 0);
        let entry_size = entry_size.ok_or(Error::BadField {
            field: &ENTRY_SIZE,
            // Cannot saturate: inside of a slice.
            offset: tag.offset.saturating_add(8),
            value: size.into(),
        })?;
        let rest = entries.len().checked_rem(entry_size).unwrap_or_default();
        if rest != 0 {
            let complete = entries.len().saturating_sub(rest) as u64;
            return Err(Error::Truncated {
                what: "multiboot_mmap_entry",
                // Cannot saturate: inside of a slice.
                offset: tag.offset.saturating_add(16).saturating_add(complete),
                needed: size.into(),
                available: rest as u64,
            });
        }
        Ok(Self {
            entries,
            entry_size,
            entry_version: sizes.second.get(),
        })
    }

    /// The version of the entries. 0 is the only one; others are to be compatible with it.
    pub const fn entry_version(&self) -> u32 {
        self.entry_version
    }

    /// The entries in their order. What is appended to them is left out.
    pub fn entries(&self) -> impl Iterator<Item = RawEntry> + Clone + use<'a> {
        let each = self.entries.chunks_exact(self.entry_size);
        each.filter_map(|bytes| {
            let (found, _) = Entry24::ref_from_prefix(bytes).ok()?;
            Some(RawEntry::from(&found.entry))
        })
    }
}

impl fmt::Debug for MemoryMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

/// The tag of a memory map, to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapBuilder<'a> {
    entries: &'a [RawEntry],
    size: u32,
    len: usize,
}

impl<'a> MapBuilder<'a> {
    /// A tag with these entries, as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] for more entries than 32 bits can tell the bytes of.
    pub fn try_new(entries: &'a [RawEntry]) -> Result<Self> {
        let what = TAG_SIZE.name;
        let bytes = entries.len().checked_mul(size_of::<Entry24>());
        let len = bytes.and_then(|bytes| bytes.checked_add(size_of::<MmapTag>()));
        let size = len.and_then(|len| Some((u32::try_from(len).ok()?, len)));
        let (size, len) = size.ok_or(Error::Overflow { what, offset: 4 })?;
        Ok(Self { entries, size, len })
    }

    /// Bytes that [`emit`](Self::emit) writes: always a multiple of 8, so that the next tag may
    /// follow.
    pub const fn emitted_len(&self) -> usize {
        self.len
    }

    /// Writes the tag to the start of `out`, with entries of 24 bytes. Returns how many bytes that
    /// took.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`emitted_len`](Self::emitted_len) bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let short = Error::Truncated {
            what: "multiboot_tag_mmap",
            offset: 0,
            needed: self.len as u64,
            available: out.len() as u64,
        };
        let out = out.get_mut(..self.len).ok_or(short)?;
        let (tag, entries) = MmapTag::mut_from_prefix(out).map_err(|_| short)?;
        *tag = MmapTag {
            r#type: TagType::MMAP.0.into(),
            size: self.size.into(),
            entry_size: 24.into(),
            entry_version: 0.into(),
        };
        let records = self.entries.iter().map(|entry| Entry24 {
            entry: entry.into(),
            rest: 0.into(),
        });
        array::emit(entries, "multiboot_mmap_entry", records)?;
        Ok(self.len)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;
    use crate::{Kind, wire::efi::Rule};

    /// Boot information with these tags, sizes and padding made for them.
    fn info(tags: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        for (kind, data) in tags.iter().chain(&[(0, &[][..])]) {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(u32::try_from(data.len() + 8).unwrap().to_le_bytes());
            bytes.extend(*data);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let total = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        bytes[..4].copy_from_slice(&total);
        bytes
    }

    fn map_data(entry_size: u32, entries: usize) -> Vec<u8> {
        let mut data = entry_size.to_le_bytes().to_vec();
        data.extend(7_u32.to_le_bytes());
        data.resize(8 + entries, 1);
        data
    }

    #[test]
    fn a_map_among_other_tags() {
        let data = map_data(32, 64);
        let bytes = info(&[(1, b"kernel\0"), (6, &data), (9, &[0; 3])]);
        let found = Info::parse(&bytes).unwrap();
        let offsets: Vec<_> = found.tags().map(|tag| tag.unwrap().offset).collect();
        assert_eq!(offsets, [8, 24, 104]);
        let map = found.memory_map().unwrap().unwrap();
        let ones = RawEntry {
            addr: 0x0101_0101_0101_0101,
            size: 0x0101_0101_0101_0101,
            kind: Kind(0x0101_0101),
        };
        assert!(map.entries().eq([ones, ones]));
        assert_eq!(map.entry_version(), 7);
        assert!(found.efi_map().unwrap().is_none());
        let none = info(&[]);
        assert!(Info::parse(&none).unwrap().memory_map().unwrap().is_none());
    }

    #[test]
    fn the_map_of_efi() {
        let mut data = 48_u32.to_le_bytes().to_vec();
        data.extend(1_u32.to_le_bytes());
        data.push(9);
        data.resize(8 + 96, 0);
        let bytes = info(&[(17, &data)]);
        let map = Info::parse(&bytes).unwrap().efi_map().unwrap().unwrap();
        let stub = Rule::Stub {
            soft_reserve: true,
            unaccepted: true,
        };
        let kinds: Vec<_> = map.entries(stub).map(|entry| entry.unwrap().kind).collect();
        assert_eq!(kinds, [Kind::ACPI, Kind::RESERVED]);
    }

    #[test]
    fn offsets_count_from_the_start_of_the_information() {
        let mut data = [0; 8 + 96];
        let mut error = |at: usize, byte: u8, len: usize| {
            data[0] = 48;
            data[at] = byte;
            let bytes = info(&[(17, &data[..len])]);
            let map = Info::parse(&bytes).unwrap().efi_map();
            let stub = Rule::AddEfiMemmap { soft_reserve: true };
            let error = match map {
                Ok(map) => map.unwrap().entries(stub).find_map(Result::err).unwrap(),
                Err(error) => error,
            };
            error.to_string()
        };
        let found = error(0, 39, 104);
        assert!(found.starts_with("offset 0x10: DescriptorSize"), "{found}");
        let found = error(0, 48, 103);
        assert!(found.starts_with("offset 0x48: EFI_MEMORY"), "{found}");
        let found = error(8 + 48 + 31, 0xff, 104);
        assert!(found.starts_with("offset 0x60: NumberOfPages"), "{found}");
    }

    #[test]
    fn information_that_is_damaged() {
        let data = map_data(24, 48);
        let whole = info(&[(6, &data)]);
        for len in 0..whole.len() {
            assert!(Info::parse(&whole[..len]).is_err(), "{len}");
        }
        let error = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let info = Info::parse(&bytes);
            let map = info.and_then(|info| info.memory_map().map(|_| ()));
            map.unwrap_err().to_string()
        };
        assert_eq!(
            error(0, 15),
            "offset 0x0: total_size is 0xf, allowed: 16 and more, no more than there are bytes"
        );
        assert_eq!(
            error(12, 7),
            "offset 0xc: tag.size is 0x7, allowed: 8 and more, 16 and more for a map"
        );
        assert_eq!(
            error(12, 15),
            "offset 0xc: tag.size is 0xf, allowed: 8 and more, 16 and more for a map"
        );
        assert_eq!(
            error(12, 89),
            "offset 0x8: tag needs 0x59 bytes, 0x48 are there"
        );
        assert_eq!(
            error(16, 16),
            "offset 0x10: entry_size is 0x10, allowed: a multiple of 8 from 24 on"
        );
        assert_eq!(
            error(16, 25),
            "offset 0x10: entry_size is 0x19, allowed: a multiple of 8 from 24 on"
        );
        assert_eq!(
            error(16, 32),
            "offset 0x38: multiboot_mmap_entry needs 0x20 bytes, 0x10 are there"
        );
        // Without a last tag: its place is taken by one that does not fit.
        let mut bytes = whole.clone();
        bytes[8] = 1;
        bytes[72] = 1;
        bytes[76] = 16;
        assert!(Info::parse(&bytes).unwrap().memory_map().is_err());
    }

    #[test]
    fn emitting_needs_room() {
        let entries = [RawEntry::default(); 2];
        let builder = MapBuilder::try_new(&entries).unwrap();
        assert_eq!(builder.emit(&mut [0; 64]), Ok(64));
        assert!(builder.emit(&mut [0; 63]).is_err());
    }
}
