//! Linux crash dumps: opened, read as physical memory, and the way to the kernel's page tables.
//!
//! ```text
//!  file ─ ReadAt ─▶ Dump ─ reader() ─▶ Reader: PhysMemory ─▶ page tables ─▶ virtual memory
//!   or its parts     ├ notes(), cpus()        who died, and with which registers
//!                    └ vmcoreinfo()           what the kernel says about itself ─▶ kernel::Layout
//! ```
//!
//! [`Dump`] is shared by threads; [`Reader`], one a thread, is its memory:
//!
//! ```
//! use physmem::{Absence, PhysMemory, VirtAddr};
//! use vmcore_format::{Dump, kernel};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kdump.elf");
//! let file = std::fs::read(path)?; // a small dump, cut from a real one
//! let dump = Dump::open(&file[..])?;
//! let info = dump.vmcoreinfo()?.ok_or("no VMCOREINFO")?;
//! assert_eq!(info.os_release()?, Some("6.1.0-56-cloud-amd64"));
//! assert_eq!(dump.cpus().count(), 2);
//!
//! let kernel = kernel::Layout::of(&dump)?;
//! let memory = dump.reader();
//! let linux_banner = VirtAddr::new(0xffff_ffff_a791_ffe0);
//! let mut banner = [0; 36];
//! kernel::read(&kernel.walker, &memory, linux_banner, &mut banner)?;
//! assert_eq!(&banner, b"Linux version 6.1.0-56-cloud-amd64 (");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A dump is an ELF core, as /proc/vmcore, QEMU and `makedumpfile -E` write it, or compressed
//! ([`kdump`]), in one file or split into several, each of them [`flattened`] or not: all of them opened alike. The kernel's
//! page tables are those of x86-64, i386, arm64, riscv64, ppc64 (radix) and s390x.
//!
//! [`kernel`] shows what is inside, without vmlinux: the log, symbols, types, and what each page was used for.
//!
//! [`build`] goes the other way: note buffers, the elfcorehdr, what /proc/vmcore makes of it, whole cores of guests and dead
//! machines, their memory copied piece by piece.
//!
//! Without the feature `alloc` there are [`ReadAt`], [`Vmcoreinfo`], [`Eraseinfo`] and builders; a [`Dump`] owns an index.
//! `std`, on by default, adds `FileSource`, and [`codec`] has a feature for each way in which pages are
//! compressed.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod build;
pub mod eraseinfo;
mod error;
pub mod source;
pub mod vmcoreinfo;

#[cfg(feature = "alloc")]
mod cache;
#[cfg(feature = "alloc")]
mod check;
#[cfg(feature = "alloc")]
pub mod codec;
#[cfg(feature = "alloc")]
pub mod detect;
#[cfg(feature = "alloc")]
pub mod dump;
#[cfg(feature = "alloc")]
mod elf {
    pub(crate) mod core;
    pub(crate) mod index;
}
#[cfg(feature = "alloc")]
mod file;
#[cfg(feature = "alloc")]
pub mod flattened;
#[cfg(feature = "alloc")]
mod frames;
#[cfg(feature = "alloc")]
pub mod kdump;
#[cfg(feature = "alloc")]
mod kept;
#[cfg(feature = "alloc")]
pub mod kernel;
#[cfg(feature = "alloc")]
mod notes;
#[cfg(feature = "alloc")]
pub mod reader;

#[cfg(feature = "alloc")]
pub use dump::Dump;
pub use eraseinfo::Eraseinfo;
pub use error::{Error, Field, PartError};
#[cfg(feature = "alloc")]
pub use flattened::Flattened;
#[cfg(feature = "alloc")]
pub use reader::Reader;
pub use source::ReadAt;
pub use vmcoreinfo::Vmcoreinfo;
