//! The vocabulary of physical memory: addresses, frame numbers, half-open ranges and their
//! algebra, and [`PhysMemory`], the one trait by which anything reads memory.
//!
//! A hypervisor implements [`PhysMemory`] for its guest's RAM, a dump reader for a file, a test for
//! a few byte slices ([`Region`], [`Regions`]); whatever walks page tables, filters pages or writes
//! dumps reads through it and learns from [`Absence`] *why* something cannot be read.
//!
//! ```
//! use physmem::{Absence, Endian, PhysAddr, PhysMemory, PhysRange, Region, Regions, SortedRanges, Width, sorted};
//!
//! // Two stretches of RAM with a hole between them.
//! let low = Region::try_new(PhysAddr::new(0x1000), [0x11_u8; 0x1000])?;
//! let high = Region::try_new(PhysAddr::new(0x8000), [0x22_u8; 0x1000])?;
//! let parts = [low, high];
//! let ram = Regions::try_new(&parts[..])?;
//!
//! assert_eq!(ram.word(PhysAddr::new(0x8008), Width::U32, Endian::Little)?, 0x2222_2222);
//! let lost = ram.word(PhysAddr::new(0x4000), Width::U64, Endian::Little).unwrap_err();
//! assert_eq!((lost.at, lost.why), (PhysAddr::new(0x4000), Absence::NotRam));
//!
//! // What of the first 64 KiB is not RAM?
//! let holes = sorted(physmem::runs(&ram))?.complement(PhysRange::with_size(PhysAddr::new(0), 0x10000)?);
//! let holes: Vec<String> = holes.map(|hole| hole.to_string()).collect();
//! assert_eq!(holes, ["0x0..0x1000", "0x2000..0x8000", "0x9000..0x10000"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here allocates, and no method panics: arithmetic that would leave the 64-bit address
//! space is `None` or an [`Error`].

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod addr;
mod algebra;
mod error;
mod memory;
mod range;
mod regions;

pub use addr::{PageShift, Pfn, PhysAddr, VirtAddr};
pub use algebra::{Merge, Piece, Select, Side, Single, Sorted, SortedRanges, Walk, sorted};
pub use error::Error;
pub use memory::{Absence, Endian, MemError, PhysMemory, PhysMemoryMut, Runs, Width, runs};
pub use range::PhysRange;
pub use regions::{Region, Regions};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
