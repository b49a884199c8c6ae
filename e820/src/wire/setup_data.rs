//! The list of `setup_data` nodes: where a map of more than 128 entries goes on.
//!
//! ```text
//!  zero page ─► node at a physical address            node
//!      0x250    0    next: u64, 0 in the last one ──► …
//!               8    type: u32, 1 = SETUP_E820_EXT
//!              12    len: u32, bytes of data
//!              16    data: boot_e820_entry[len / 20]
//! ```
//!
//! `struct setup_data` in Linux `arch/x86/include/uapi/asm/setup_data.h`;
//! `e820__memory_setup_extended()` in `arch/x86/kernel/e820.c` reads the entries. A running kernel
//! shows the nodes as `/sys/kernel/boot_params/setup_data/N/{type,data}`: `data` of type 0x1 is an
//! [`Array`](super::array::Array).
//!
//! Offsets in errors are physical addresses here.

#![deny(clippy::arithmetic_side_effects)]

use core::{fmt, iter::FusedIterator};

use physmem::{PhysAddr, PhysMemory};
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{
    array::{self, Entry20},
    boot_params::BootParams,
};
use crate::{Error, Field, RawEntry, error::Result};

/// Nodes after which a list is refused.
///
/// The kernel counts none; a boot loader makes one for each PCI ROM and a handful of others. A list
/// that leads back into itself ends here.
pub const MAX_NODES: u32 = 1024;

/// Entries after which a list is refused, those of all its nodes together.
///
/// Nodes may claim the same memory, so that a short list could yield entries without end. Linux has
/// room for 3200 at most: `E820_MAX_ENTRIES` in `arch/x86/include/asm/e820/types.h`, 128 and 3 for each
/// of 1024 NUMA nodes.
pub const MAX_EXTENDED: u32 = 1 << 20;

const NEXT: Field = Field {
    name: "setup_data.next",
    allowed: "a list of at most 1024 nodes that does not lead back into itself",
};
const LEN: Field = Field {
    name: "setup_data.len",
    allowed: "a multiple of 20 for SETUP_E820_EXT, inside of the address space, for 2^20 entries in all",
};

/// `struct setup_data`, without its data.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    next: U64,
    r#type: U32,
    len: U32,
}

const HEADER_SIZE: u64 = 16;
const ENTRY_SIZE: u64 = 20;
const _: () = assert!(size_of::<Header>() as u64 == HEADER_SIZE);
const _: () = assert!(size_of::<Entry20>() as u64 == ENTRY_SIZE);

/// What a node carries. Numbers without a name here survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SetupType(pub u32);

impl SetupType {
    /// More entries of the map.
    pub const E820_EXT: Self = Self(1);
    /// A device tree.
    pub const DTB: Self = Self(2);
    /// A PCI ROM.
    pub const PCI: Self = Self(3);
    /// What a kernel after kexec needs of EFI.
    pub const EFI: Self = Self(4);
    /// Device properties of Apple's firmware.
    pub const APPLE_PROPERTIES: Self = Self(5);
    /// The Jailhouse hypervisor.
    pub const JAILHOUSE: Self = Self(6);
    /// Confidential computing.
    pub const CC_BLOB: Self = Self(7);
    /// Measurements carried over kexec.
    pub const IMA: Self = Self(8);
    /// A seed for the random number generator.
    pub const RNG_SEED: Self = Self(9);
    /// State handed over kexec.
    pub const KEXEC_KHO: Self = Self(10);
    /// The data is elsewhere.
    pub const INDIRECT: Self = Self(1 << 31);
}

/// A node of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Where it is.
    pub at: PhysAddr,
    /// Physical address of the next one, 0 for none.
    pub next: u64,
    /// What it carries.
    pub kind: SetupType,
    /// Bytes of its data, which begin 16 bytes after `at`.
    pub len: u32,
}

/// The nodes of a list, read from memory.
///
/// An iterator that stops after the first error. It ends after [`MAX_NODES`] nodes with one.
#[derive(Debug, Clone)]
pub struct Nodes<'m, M: ?Sized> {
    memory: &'m M,
    next: u64,
    /// Where `next` stands.
    link: u64,
    read: u32,
}

impl<'m, M: PhysMemory + ?Sized> Nodes<'m, M> {
    /// The list that begins at physical address `head`, which is 0 for an empty one:
    /// [`BootParams::setup_data`].
    pub const fn new(memory: &'m M, head: u64) -> Self {
        Self {
            memory,
            next: head,
            link: 0,
            read: 0,
        }
    }

    fn read(&mut self, at: PhysAddr) -> Result<Node> {
        if self.read >= MAX_NODES {
            return Err(Error::BadField {
                field: &NEXT,
                offset: self.link,
                value: at.as_u64(),
            });
        }
        let mut header = Header::new_zeroed();
        self.memory.read(at, header.as_mut_bytes())?;
        let node = Node {
            at,
            next: header.next.get(),
            kind: SetupType(header.r#type.get()),
            len: header.len.get(),
        };
        self.next = node.next;
        self.link = at.as_u64();
        // Cannot saturate: below the limit.
        self.read = self.read.saturating_add(1);
        Ok(node)
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Nodes<'_, M> {
    type Item = Result<Node>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        let node = self.read(PhysAddr::new(self.next));
        if node.is_err() {
            self.next = 0;
        }
        Some(node)
    }
}

impl<M: PhysMemory + ?Sized> FusedIterator for Nodes<'_, M> {}

/// The whole map of a zero page: the entries in the page, then those of every `SETUP_E820_EXT` node.
///
/// An iterator that stops after the first error.
///
/// # Errors
///
/// Those of [`Nodes`]; [`Error::Memory`] for what cannot be read; [`Error::BadField`] for a length
/// that is not that of whole entries, of which the kernel would ignore the rest, and for more than
/// [`MAX_EXTENDED`] entries.
///
/// ```
/// use e820::{Kind, RawEntry, wire::{boot_params::{self, BootParams, Builder}, setup_data::{self, ExtensionBuilder}}};
/// use physmem::{PhysAddr, Region};
///
/// let map: Vec<_> = (0..200).map(|n| RawEntry { addr: n << 20, size: 4096, kind: Kind::RAM }).collect();
///
/// let (table, rest) = Builder::split(&map);
/// let mut page = [0; 4096];
/// table.emit(&mut page)?;
/// boot_params::set_setup_data(&mut page, 0x9_0000)?;
/// let node = ExtensionBuilder::try_new(rest, 0)?;
/// let mut bytes = vec![0; node.emitted_len()];
/// node.emit(&mut bytes)?;
///
/// let memory = Region::try_new(PhysAddr::new(0x9_0000), bytes)?;
/// let read: Vec<_> = setup_data::entries(&BootParams::parse(&page)?, &memory).collect::<Result<_, _>>()?;
/// assert_eq!(read, map);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn entries<'a, 'm, M: PhysMemory + ?Sized>(
    page: &BootParams<'a>,
    memory: &'m M,
) -> impl Iterator<Item = Result<RawEntry>> + use<'a, 'm, M> {
    let extended = Extended {
        nodes: Nodes::new(memory, page.setup_data()),
        at: PhysAddr::new(0),
        left: 0,
        room: MAX_EXTENDED.into(),
    };
    page.entries().map(Ok).chain(extended)
}

/// The entries of all `SETUP_E820_EXT` nodes.
struct Extended<'m, M: ?Sized> {
    nodes: Nodes<'m, M>,
    /// The next entry of the current node.
    at: PhysAddr,
    /// How many entries are left in the current node.
    left: u64,
    /// How many the next nodes may have.
    room: u64,
}

impl<M: PhysMemory + ?Sized> Extended<'_, M> {
    /// Goes to the entries of `node`.
    fn enter(&mut self, node: Node) -> Result<()> {
        let len = u64::from(node.len);
        let bad = Error::BadField {
            field: &LEN,
            // Cannot saturate: the node has been read.
            offset: node.at.as_u64().saturating_add(12),
            value: len,
        };
        let data = node.at.checked_add(HEADER_SIZE).ok_or(bad)?;
        if len.checked_rem(ENTRY_SIZE) != Some(0) || data.checked_add(len).is_none() {
            return Err(bad);
        }
        self.at = data;
        self.left = len.checked_div(ENTRY_SIZE).unwrap_or_default();
        self.room = self.room.checked_sub(self.left).ok_or(bad)?;
        Ok(())
    }

    fn read(&mut self) -> Result<Option<RawEntry>> {
        while self.left == 0 {
            let Some(node) = self.nodes.next().transpose()? else {
                return Ok(None);
            };
            if node.kind == SetupType::E820_EXT {
                self.enter(node)?;
            }
        }
        let mut entry = Entry20::new_zeroed();
        self.nodes.memory.read(self.at, entry.as_mut_bytes())?;
        // The end of the data has been checked.
        self.at = self.at.checked_add(ENTRY_SIZE).unwrap_or(self.at);
        self.left = self.left.saturating_sub(1);
        Ok(Some(RawEntry::from(&entry)))
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Extended<'_, M> {
    type Item = Result<RawEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.read().transpose();
        if matches!(entry, Some(Err(_))) {
            self.left = 0;
            self.nodes.next = 0;
        }
        entry
    }
}

/// A `SETUP_E820_EXT` node to be written: the entries that have no room in the zero page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionBuilder<'a> {
    entries: &'a [RawEntry],
    next: u64,
    len: u32,
}

impl<'a> ExtensionBuilder<'a> {
    /// A node with these entries that points to the one at `next`, 0 for none.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] for more entries than 32 bits can tell the bytes of.
    pub fn try_new(entries: &'a [RawEntry], next: u64) -> Result<Self> {
        let bytes = (entries.len() as u64).checked_mul(ENTRY_SIZE);
        let len = bytes.and_then(|bytes| u32::try_from(bytes).ok());
        let what = LEN.name;
        let len = len.ok_or(Error::Overflow { what, offset: 12 })?;
        Ok(Self { entries, next, len })
    }

    /// Bytes that [`emit`](Self::emit) writes.
    pub const fn emitted_len(&self) -> usize {
        // Right where it saturates: an entry takes more bytes in memory than in the node.
        array::ArrayBuilder::new(self.entries)
            .emitted_len()
            .saturating_add(size_of::<Header>())
    }

    /// Writes the node to the start of `out`. Returns how many bytes that took.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`emitted_len`](Self::emitted_len) bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let needed = self.emitted_len();
        let short = Error::Truncated {
            what: "setup_data",
            offset: 0,
            needed: needed as u64,
            available: out.len() as u64,
        };
        let out = out.get_mut(..needed).ok_or(short)?;
        let (header, data) = Header::mut_from_prefix(out).map_err(|_| short)?;
        *header = Header {
            next: self.next.into(),
            r#type: SetupType::E820_EXT.0.into(),
            len: self.len.into(),
        };
        array::ArrayBuilder::new(self.entries).emit(data)?;
        Ok(needed)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kind, len, .. } = self;
        write!(f, "setup_data at {at}: type {:#x}, {len} bytes", kind.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString, vec, vec::Vec};

    use physmem::Region;

    use super::{super::boot_params, *};
    use crate::Kind;

    const BASE: u64 = 0x1000;

    fn memory(bytes: Vec<u8>) -> Region<Vec<u8>> {
        Region::try_new(PhysAddr::new(BASE), bytes).unwrap()
    }

    fn node(next: u64, kind: u32, len: u32) -> Vec<u8> {
        let mut bytes = next.to_le_bytes().to_vec();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes
    }

    fn page(head: u64) -> Vec<u8> {
        let mut page = vec![0; boot_params::SIZE];
        boot_params::set_setup_data(&mut page, head).unwrap();
        page
    }

    fn whole_map(head: u64, memory: &impl PhysMemory) -> Result<Vec<RawEntry>> {
        entries(&BootParams::parse(&page(head)).unwrap(), memory).collect()
    }

    fn entry(addr: u64) -> RawEntry {
        RawEntry {
            addr,
            size: 1,
            kind: Kind::NVS,
        }
    }

    #[test]
    fn nodes_of_other_kinds_are_passed() {
        let (first, second) = ([entry(1), entry(2)], [entry(3)]);
        let mut bytes = node(BASE + 16, 3, 7);
        let at = BASE + 16;
        for entries in [&first[..], &second] {
            let next = at + if entries.len() == 2 { 56 } else { 0 };
            let next = if entries.len() == 2 { next } else { 0 };
            let extension = ExtensionBuilder::try_new(entries, next).unwrap();
            let start = bytes.len();
            bytes.resize(start + extension.emitted_len(), 0xaa);
            extension.emit(&mut bytes[start..]).unwrap();
        }
        let memory = memory(bytes);
        let found = whole_map(BASE, &memory).unwrap();
        assert_eq!(found, [entry(1), entry(2), entry(3)]);
        let nodes: Vec<_> = Nodes::new(&memory, BASE).map(Result::unwrap).collect();
        assert_eq!(
            nodes.iter().map(|n| n.kind.0).collect::<Vec<_>>(),
            [3, 1, 1]
        );
        assert_eq!(
            nodes[0].to_string(),
            "setup_data at 0x1000: type 0x3, 7 bytes"
        );
    }

    #[test]
    fn lists_that_lead_back_end() {
        let memory = memory(node(BASE, 3, 0));
        assert_eq!(Nodes::new(&memory, BASE).count(), 1025);
        assert_eq!(
            whole_map(BASE, &memory).unwrap_err().to_string(),
            "offset 0x1000: setup_data.next is 0x1000, allowed: a list of at most 1024 nodes that does \
             not lead back into itself"
        );
    }

    #[test]
    fn a_node_that_is_read_again_and_again_ends() {
        // 513 times 2048 entries are more than 2^20.
        let mut bytes = node(BASE, 1, 20 * 2048);
        bytes.resize(16 + 20 * 2048, 0);
        let memory = memory(bytes);
        let page = page(BASE);
        let mut entries = entries(&BootParams::parse(&page).unwrap(), &memory);
        assert_eq!(entries.by_ref().take_while(Result::is_ok).count(), 1 << 20);
        assert!(entries.next().is_none());
        assert!(
            matches!(whole_map(BASE, &memory), Err(Error::BadField { field, .. }) if field == &LEN)
        );
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let cut = memory(node(0, 1, 40)[..15].to_vec());
        assert_eq!(
            whole_map(BASE, &cut).unwrap_err().to_string(),
            "physical address 0x100f: not RAM"
        );
        let no_data = memory(node(0, 1, 40));
        assert!(matches!(whole_map(BASE, &no_data), Err(Error::Memory(_))));
        let odd = memory(node(0, 1, 39));
        assert_eq!(
            whole_map(BASE, &odd).unwrap_err().to_string(),
            format!(
                "offset 0x100c: setup_data.len is 0x27, allowed: {}",
                LEN.allowed
            )
        );
        let start = u64::MAX - 20;
        let high = Region::try_new(PhysAddr::new(start), node(0, 1, 20)).unwrap();
        assert!(
            matches!(whole_map(start, &high), Err(Error::BadField { field, .. }) if field == &LEN)
        );
    }

    #[test]
    fn emitting_needs_room() {
        let entries = [entry(1)];
        let extension = ExtensionBuilder::try_new(&entries, 0x0807_0605_0403_0201).unwrap();
        let mut out = [0xaa; 37];
        assert!(extension.emit(&mut out[..35]).is_err());
        assert_eq!(extension.emit(&mut out), Ok(36));
        assert_eq!(out[..16], [1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 20, 0, 0, 0]);
        assert_eq!(out[36], 0xaa);
    }
}
