//! Page tables, walked over any memory: where does a virtual address lead, by which entries, and what
//! is mapped at all?
//!
//! The memory is whatever implements [`physmem::PhysMemory`]: a crash dump, a guest's RAM, a few byte
//! slices. A walk that fails says at which entry and why, a table that is missing from the dump
//! included. An [`Arch`] describes a paging mode, and [`Walker`] is compiled for each of them:
//!
//! | | levels | virtual bits | entries |
//! |---|---|---|---|
//! | [`X86_64`] | 4, 5 | 48, 57 | 8 bytes |
//! | [`X86`], [`X86Pae`] | 2, 3 | 32 | 4, 8 bytes |
//! | [`AArch64`] | 1 to 5 | 16 to 52 | 8 bytes |
//! | [`RiscV64`] | 3, 4, 5 | 39, 48, 57 | 8 bytes |
//! | [`Ppc64`] | 4 | 52 in two quadrants | 8 bytes, big-endian |
//! | [`S390x`] | 2, 3, 4, 5 | 31, 42, 53, 64 | 8 bytes, big-endian |
//!
//! | to know | there is |
//! |---|---|
//! | where one address leads | [`Walker::translate`]; [`Walker::walk`], with every entry on the way |
//! | where many lead | [`Walker::translate_many`] anywhere, [`Walker::cursor`] close together |
//! | what is mapped | [`Walker::extents`] |
//! | who maps a frame | [`Walker::reverse`] |
//!
//! A kernel's own table, and what lies where in its dump:
//!
//! ```
//! use page_walk::{FaultKind, Walker, X86_64};
//! use physmem::{PhysAddr, Region, Regions, VirtAddr};
//!
//! // Three entries of a real dump, at the addresses where they were: those on the way to the kernel's
//! // version banner.
//! let entries = [
//!     (0x1101_0ff8, 0x1101_5067_u64),
//!     (0x1101_5ff0, 0x1101_6063),
//!     (0x1101_69e0, 0x8000_0000_1060_01e1),
//! ];
//! let mut memory = Vec::new();
//! for (at, entry) in entries {
//!     memory.push(Region::try_new(PhysAddr::new(at), entry.to_le_bytes())?);
//! }
//! let memory = Regions::try_new(memory)?;
//!
//! let kernel = Walker::new(X86_64::four_level(), PhysAddr::new(0x1101_0000));
//! let linux_banner = VirtAddr::new(0xffff_ffff_a791_ffe0);
//!
//! let mapping = kernel.translate(&memory, linux_banner)?;
//! assert_eq!(mapping.phys, PhysAddr::new(0x1071_ffe0));
//! assert_eq!(mapping.shift, 21);
//! assert_eq!(mapping.flags.to_string(), "NX G D A");
//!
//! // Every entry on the way.
//! let mut way = Vec::new();
//! for entry in kernel.walk(&memory, linux_banner) {
//!     way.push(entry?.level.name());
//! }
//! assert_eq!(way, ["pgd", "pud", "pmd"]);
//!
//! // What is mapped in the 4 MiB from there on: one page, then an entry that the three do not include.
//! let end = linux_banner.checked_add(0x3f_ffff).ok_or("no such address")?;
//! let mut extents = kernel.extents(&memory, linux_banner..=end);
//! assert_eq!(extents.next().ok_or("nothing mapped")??.size, 0xe_0020);
//! let fault = extents.next().ok_or("nothing missing")?.unwrap_err();
//! assert_eq!(
//!     fault.to_string(),
//!     "virtual address 0xffffffffa7a00000: pmd at 0x110169e8 cannot be read: not RAM"
//! );
//! assert_eq!(extents.next(), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here allocates, and nothing panics whatever the tables hold: every walk ends after
//! [`Arch::levels`] entries, every listing after a [budget](Extents::with_budget) of tables:
//! [`DEFAULT_BUDGET`], or what the caller says.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod aarch64;
mod any;
mod arch;
mod cursor;
mod extents;
mod fault;
mod flags;
mod many;
mod mode;
pub mod ppc64;
mod reverse;
pub mod riscv;
pub mod s390x;
mod table;
mod walker;
mod x86;
pub mod x86_64;

pub use aarch64::AArch64;
pub use any::{AnyCursor, AnyExtents, AnyFlags, AnyReverse, AnyWalk, AnyWalker};
pub use arch::{Arch, Level, Refusal, Step};
pub use cursor::Cursor;
pub use extents::{DEFAULT_BUDGET, Extent, Extents};
pub use fault::{Fault, FaultKind};
pub use mode::{Mode, UnknownMode};
pub use ppc64::Ppc64;
pub use reverse::Reverse;
pub use riscv::RiscV64;
pub use s390x::S390x;
pub use walker::{Entry, Mapping, Walk, Walker};
pub use x86::{X86, X86Pae};
pub use x86_64::X86_64;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
