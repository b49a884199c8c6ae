//! The list of `setup_data`: what a kernel is told beyond its zero page.
//!
//! ```text
//!  zero page, at 250 ─► node                    ┌─► node, anywhere in memory
//!                        0  next  u64, or 0 ────┘
//!                        8  type  u32
//!                        c  len   u32
//!                       10  data, len bytes; in a node of type SETUP_INDIRECT:
//!                           10  type      u32, that of the data
//!                           14  reserved  u32
//!                           18  len       u64
//!                           20  addr      u64 ─► data, anywhere in memory
//! ```
//!
//! Offsets in errors are physical addresses here.
//!
//! Source: `struct setup_data`, `struct setup_indirect` in Linux
//! `arch/x86/include/uapi/asm/setup_data.h`; `Documentation/arch/x86/boot.rst`, `setup_data`.

#![deny(clippy::arithmetic_side_effects)]

use core::iter::FusedIterator;

use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::error::{Error, Field, Result};

/// Nodes after which a list is refused.
///
/// The kernel counts none; a boot loader makes one for each PCI ROM and a handful of others. A list
/// that leads back into itself ends here.
pub const MAX_NODES: u16 = 1024;

const WHAT: &str = "setup_data";
const NEXT: Field = Field {
    name: "setup_data next",
    allowed: "a list of at most 1024 nodes that does not lead back into itself",
};
const LEN: Field = Field {
    name: "setup_data len",
    allowed: "0x18 and above for SETUP_INDIRECT",
};

/// `struct setup_data`, without its data.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct WireNode {
    pub(super) next: U64,
    pub(super) kind: U32,
    pub(super) len: U32,
}

/// `struct setup_indirect`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct WireIndirect {
    kind: U32,
    reserved: U32,
    len: U64,
    addr: U64,
}

/// Where in a node its `len` is.
const LEN_AT: u64 = 12;
/// Bytes in front of a node's data.
const HEAD: u64 = size_of::<WireNode>() as u64;
const INDIRECT: u64 = size_of::<WireIndirect>() as u64;
const _: () = assert!(HEAD == 16 && INDIRECT == 24);

/// `type`: what the data of a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetupType(pub u32);

impl SetupType {
    /// `SETUP_E820_EXT`: more of the memory map.
    pub const E820_EXT: Self = Self(1);
    /// `SETUP_DTB`: a device tree.
    pub const DTB: Self = Self(2);
    /// `SETUP_PCI`: a PCI ROM.
    pub const PCI: Self = Self(3);
    /// `SETUP_EFI`: what a kernel after kexec needs of EFI.
    pub const EFI: Self = Self(4);
    /// `SETUP_APPLE_PROPERTIES`: device properties of Apple's firmware.
    pub const APPLE_PROPERTIES: Self = Self(5);
    /// `SETUP_JAILHOUSE`: of the Jailhouse hypervisor.
    pub const JAILHOUSE: Self = Self(6);
    /// `SETUP_CC_BLOB`: confidential computing.
    pub const CC_BLOB: Self = Self(7);
    /// `SETUP_IMA`: measurements carried over kexec.
    pub const IMA: Self = Self(8);
    /// `SETUP_RNG_SEED`: a seed for the random number generator.
    pub const RNG_SEED: Self = Self(9);
    /// `SETUP_KEXEC_KHO`: state handed over kexec.
    pub const KEXEC_KHO: Self = Self(10);
    /// `SETUP_INDIRECT`: the data is elsewhere.
    pub const INDIRECT: Self = Self(1 << 31);
}

/// A node for the list, with any data: a device tree, a seed.
///
/// [`ExtendedE820`](super::ExtendedE820) is one for memory maps.
///
/// ```
/// use bootimg::boot_params::{Node, SetupType};
///
/// let node = Node::try_new(SetupType::RNG_SEED, b"not random", 0)?;
/// let mut out = [0; 26];
/// assert_eq!(node.emit(&mut out)?, 26);
/// assert_eq!(out, *b"\0\0\0\0\0\0\0\0\x09\0\0\0\x0a\0\0\0not random");
/// # Ok::<(), bootimg::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Node<'d> {
    kind: SetupType,
    data: &'d [u8],
    len: u32,
    next: u64,
}

impl<'d> Node<'d> {
    /// A node with this data; `next` is the physical address of the node behind it, 0 for none.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] for data of 4 GiB and more.
    pub fn try_new(kind: SetupType, data: &'d [u8], next: u64) -> Result<Self> {
        let len = u32::try_from(data.len()).map_err(|_| Error::Overflow {
            what: WHAT,
            offset: LEN_AT,
        })?;
        Ok(Self {
            kind,
            data,
            len,
            next,
        })
    }

    /// Bytes that [`emit`](Self::emit) needs.
    #[must_use]
    pub const fn emitted_len(&self) -> usize {
        // No overflow: the data is in memory.
        self.data.len().saturating_add(size_of::<WireNode>())
    }

    /// Writes the node to the start of `out`. Returns how many bytes that were.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if `out` is too short.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        emit_head(out, self.kind, self.len, self.next)?.copy_from_slice(self.data);
        Ok(self.emitted_len())
    }
}

/// Writes what is in front of `len` bytes of data to the start of `out`. Returns where the data goes.
pub(super) fn emit_head(out: &mut [u8], kind: SetupType, len: u32, next: u64) -> Result<&mut [u8]> {
    let short = Error::Truncated {
        what: WHAT,
        offset: 0,
        // A 32-bit number beside a constant.
        needed: HEAD.saturating_add(len.into()),
        available: out.len() as u64,
    };
    let (node, rest) = WireNode::mut_from_prefix(out).map_err(|_| short)?;
    let data = usize::try_from(len)
        .ok()
        .and_then(|len| rest.get_mut(..len));
    let data = data.ok_or(short)?;
    *node = WireNode {
        next: next.into(),
        kind: kind.0.into(),
        len: len.into(),
    };
    Ok(data)
}

/// A node of the list, and where its data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetupData {
    /// Physical address of the node.
    pub node: u64,
    /// `next`: physical address of the node behind it, 0 for none.
    pub next: u64,
    /// What the data is; [`SetupType::INDIRECT`] alone if a node of that type says no more.
    pub kind: SetupType,
    /// Whether the data is elsewhere than in the node: [`SetupType::INDIRECT`].
    pub indirect: bool,
    /// Physical address of the data.
    pub addr: u64,
    /// Bytes of the data.
    pub size: u64,
}

/// The nodes of a list, read from memory of any kind.
///
/// An iterator that stops after the first error: [`Error::Truncated`] for what cannot be read,
/// [`Error::BadField`] after [`MAX_NODES`] nodes and for an indirect one that is too short,
/// [`Error::Overflow`] for data that passes the end of the address space. Only the heads of nodes
/// are read, not their data.
///
/// ```
/// use bootimg::boot_params::{E820Entry, ExtendedE820, Nodes, SetupType};
///
/// let entries = [E820Entry { addr: 1 << 32, size: 1 << 30, kind: 1 }];
/// let mut memory = [0; 0x1000];
/// ExtendedE820::try_new(&entries, 0)?.emit(&mut memory[0x800..])?;
///
/// let mut nodes = Nodes::new(0x800, |address, out: &mut [u8]| {
///     let found = memory.get(address as usize..).and_then(|memory| memory.get(..out.len()));
///     found.map(|found| out.copy_from_slice(found)).is_some()
/// });
/// let node = nodes.next().unwrap()?;
/// assert_eq!((node.kind, node.addr, node.size), (SetupType::E820_EXT, 0x810, 20));
/// assert!(nodes.next().is_none());
/// # Ok::<(), bootimg::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Nodes<R> {
    read: R,
    next: u64,
    /// Where `next` stands.
    link: u64,
    count: u16,
}

impl<R: FnMut(u64, &mut [u8]) -> bool> Nodes<R> {
    /// The list that begins at physical address `head`, which is 0 for an empty one:
    /// [`setup_data`](super::BootParams::setup_data).
    ///
    /// `read` fills its slice with what is in memory from a physical address on, or says that it
    /// cannot.
    pub const fn new(head: u64, read: R) -> Self {
        Self {
            read,
            next: head,
            link: 0,
            count: 0,
        }
    }

    fn node(&mut self, at: u64) -> Result<SetupData> {
        if self.count >= MAX_NODES {
            return Err(Error::BadField {
                field: &NEXT,
                offset: self.link,
                value: at,
            });
        }
        let mut head = WireNode::new_zeroed();
        self.fill(at, head.as_mut_bytes())?;
        let overflow = Error::Overflow {
            what: WHAT,
            offset: at,
        };
        let mut found = SetupData {
            node: at,
            next: head.next.get(),
            kind: SetupType(head.kind.get()),
            indirect: false,
            addr: at.checked_add(HEAD).ok_or(overflow)?,
            size: head.len.get().into(),
        };
        found.addr.checked_add(found.size).ok_or(overflow)?;
        if found.kind == SetupType::INDIRECT {
            self.follow(&mut found)?;
        }
        self.next = found.next;
        self.link = at;
        // Below the limit.
        self.count = self.count.saturating_add(1);
        Ok(found)
    }

    /// Puts what a node points to in the place of its own data.
    fn follow(&mut self, found: &mut SetupData) -> Result<()> {
        if found.size < INDIRECT {
            return Err(Error::BadField {
                field: &LEN,
                // No overflow: the node has been read.
                offset: found.node.saturating_add(LEN_AT),
                value: found.size,
            });
        }
        let mut target = WireIndirect::new_zeroed();
        self.fill(found.addr, target.as_mut_bytes())?;
        // Linux does not follow this one either: nothing says what it would be.
        if target.kind.get() == SetupType::INDIRECT.0 {
            return Ok(());
        }
        let (addr, size) = (target.addr.get(), target.len.get());
        addr.checked_add(size).ok_or(Error::Overflow {
            what: "what setup_data points to",
            offset: found.addr,
        })?;
        *found = SetupData {
            kind: SetupType(target.kind.get() & !SetupType::INDIRECT.0),
            indirect: true,
            addr,
            size,
            ..*found
        };
        Ok(())
    }

    fn fill(&mut self, at: u64, out: &mut [u8]) -> Result<()> {
        if (self.read)(at, out) {
            Ok(())
        } else {
            Err(Error::Truncated {
                what: WHAT,
                offset: at,
                needed: out.len() as u64,
                available: 0,
            })
        }
    }
}

impl<R: FnMut(u64, &mut [u8]) -> bool> Iterator for Nodes<R> {
    type Item = Result<SetupData>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        let found = self.node(self.next);
        if found.is_err() {
            self.next = 0;
        }
        Some(found)
    }
}

impl<R: FnMut(u64, &mut [u8]) -> bool> FusedIterator for Nodes<R> {}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;

    /// Memory from `BASE` on.
    const BASE: u64 = 0x9_0000;

    fn walk(memory: &[u8], head: u64) -> Vec<Result<SetupData>> {
        let read = |address: u64, out: &mut [u8]| {
            let at = address
                .checked_sub(BASE)
                .and_then(|at| memory.get(at as usize..));
            let found = at.and_then(|rest| rest.get(..out.len()));
            found.map(|found| out.copy_from_slice(found)).is_some()
        };
        Nodes::new(head, read).collect()
    }

    fn put(memory: &mut [u8], at: u64, bytes: &[u8]) {
        let at = (at - BASE) as usize;
        memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn node(next: u64, kind: u32, len: u32) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&next.to_le_bytes());
        bytes[8..12].copy_from_slice(&kind.to_le_bytes());
        bytes[12..].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    fn indirect(kind: u32, len: u64, addr: u64) -> [u8; 24] {
        let mut bytes = [0xee; 24];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&len.to_le_bytes());
        bytes[16..].copy_from_slice(&addr.to_le_bytes());
        bytes
    }

    #[test]
    fn every_field_is_where_the_kernel_says() {
        let counting: Vec<u8> = (0..16).collect();
        let found = walk(&counting, BASE)[0].unwrap();
        assert_eq!(found.next, 0x0706_0504_0302_0100);
        assert_eq!(found.kind, SetupType(0x0b0a_0908));
        assert_eq!(found.size, 0x0f0e_0d0c);
        assert_eq!((found.node, found.addr), (BASE, BASE + 16));

        let mut counting: Vec<u8> = (0..40).collect();
        counting[..16].copy_from_slice(&node(0, 1 << 31, 24));
        let found = walk(&counting, BASE)[0].unwrap();
        assert_eq!(found.kind, SetupType(0x1312_1110));
        assert_eq!(found.size, 0x1f1e_1d1c_1b1a_1918);
        assert_eq!(found.addr, 0x2726_2524_2322_2120);
        assert!(found.indirect);
    }

    #[test]
    fn a_node_is_read_as_it_was_built() {
        let node = Node::try_new(SetupType::DTB, b"tree", 0x0102_0304_0506_0708).unwrap();
        let mut out = vec![0xff; 0x20];
        assert_eq!(node.emit(&mut out), Ok(20));
        assert_eq!(node.emitted_len(), 20);
        let found = walk(&out, BASE)[0].unwrap();
        assert_eq!((found.kind, found.size), (SetupType::DTB, 4));
        assert_eq!((found.next, found.addr), (0x0102_0304_0506_0708, BASE + 16));
        assert_eq!(
            out[16..],
            *b"tree\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
        );
        for len in 0..20 {
            let mut out = vec![0xff; len];
            let short = Error::Truncated {
                what: "setup_data",
                offset: 0,
                needed: 20,
                available: len as u64,
            };
            assert_eq!(node.emit(&mut out), Err(short));
            assert!(out.iter().all(|byte| *byte == 0xff));
        }
    }

    #[test]
    fn nodes_in_any_order_and_data_elsewhere() {
        let mut memory = vec![0; 0x400];
        put(&mut memory, BASE + 0x300, &node(BASE + 0x100, 9, 32));
        put(&mut memory, BASE + 0x100, &node(BASE + 0x200, 1 << 31, 24));
        put(
            &mut memory,
            BASE + 0x110,
            &indirect(1 << 31 | 1, 0x2_0000_0000, 1 << 40),
        );
        // Nothing says what this one would be.
        put(&mut memory, BASE + 0x200, &node(0, 1 << 31, 24));
        put(&mut memory, BASE + 0x210, &indirect(1 << 31, 20, 1 << 40));
        let found: Result<Vec<_>> = walk(&memory, BASE + 0x300).into_iter().collect();
        let found: Vec<_> = found
            .unwrap()
            .iter()
            .map(|node| (node.kind, node.indirect, node.addr, node.size))
            .collect();
        assert_eq!(
            found,
            [
                (SetupType::RNG_SEED, false, BASE + 0x310, 32),
                (SetupType::E820_EXT, true, 1 << 40, 0x2_0000_0000),
                (SetupType::INDIRECT, false, BASE + 0x210, 24),
            ]
        );
        assert!(walk(&memory, 0).is_empty());
    }

    #[test]
    fn a_list_that_leads_back_into_itself_ends() {
        let mut memory = vec![0; 0x200];
        put(&mut memory, BASE, &node(BASE + 0x100, 2, 0));
        put(&mut memory, BASE + 0x100, &node(BASE, 2, 0));
        let found = walk(&memory, BASE);
        assert_eq!(found.len(), 1025);
        assert_eq!(
            found[1024].unwrap_err().to_string(),
            "offset 0x90100: setup_data next is 0x90000, allowed: a list of at most 1024 nodes that does not lead \
             back into itself"
        );
    }

    #[test]
    fn nodes_that_are_not_there_or_do_not_hold() {
        let error = |memory: &[u8], head| walk(memory, head)[0].unwrap_err().to_string();
        let plain = node(0, 2, 100);
        // The data is not read, the head is.
        assert!(walk(&plain, BASE)[0].is_ok());
        for len in 0..16 {
            let text = "offset 0x90000: setup_data needs 0x10 bytes, 0x0 are there";
            assert_eq!(error(&plain[..len], BASE), text, "{len}");
        }
        let far = [&node(0, 1 << 31, 24)[..], &indirect(1, 2, u64::MAX)].concat();
        for len in 16..40 {
            let text = "offset 0x90010: setup_data needs 0x18 bytes, 0x0 are there";
            assert_eq!(error(&far[..len], BASE), text, "{len}");
        }
        let text = "offset 0x90010: the end of what setup_data points to is too large";
        assert_eq!(error(&far, BASE), text);
        let short = [&node(0, 1 << 31, 23)[..], &[0; 24]].concat();
        let text =
            "offset 0x9000c: setup_data len is 0x17, allowed: 0x18 and above for SETUP_INDIRECT";
        assert_eq!(error(&short, BASE), text);
        // At the end of the address space.
        let mut nodes = Nodes::new(u64::MAX - 15, |_, out: &mut [u8]| {
            out.copy_from_slice(&node(0, 2, 1));
            true
        });
        let text = "offset 0xfffffffffffffff0: the end of setup_data is too large";
        assert_eq!(nodes.next().unwrap().unwrap_err().to_string(), text);
        assert!(nodes.next().is_none());
    }
}
