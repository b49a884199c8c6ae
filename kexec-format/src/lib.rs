//! kexec, the part that is format: the binary interface of its two system calls, the checks the
//! kernel makes of them, and the lists by which the pages of the next kernel are moved into place.
//!
//! - [`uapi`]: flags, architectures, call numbers, limits. [`KexecSegment`]: `struct kexec_segment`.
//! - [`check`]: what the kernel would say to a load, and which rule, segments and values made it say
//!   that: better than `EINVAL`.
//! - [`log`]: a load as `kexec -d` prints it.
//! - [`place`]: where segments go, as kexec-tools and the kernel choose.
//! - [`list`]: a [`Builder`](list::Builder) that lays out the kernel's list of pages in any memory, and
//!   [`List::runs`] that reads one, from a dump or a guest. [`entry`]: its words, also odd ones, as
//!   each architecture takes them. [`control`]: the pages beside it.
//! - [`relocate()`]: does what a list says, as the last code of the old kernel would.
//!
//! # A real load
//!
//! These are the segments that kexec-tools passed to `kexec_load()` in a guest of 512 MiB.
//!
//! ```
//! use kexec_format::{
//!     Arch, KexecSegment, Limits, LoadFlags,
//!     check::{Caller, Kernel, Request, Rule, Version},
//! };
//! use physmem::{PageShift, Width};
//!
//! let segment = |bufsz, mem, memsz| KexecSegment { buf: 0x7f4b_af5a_f010, bufsz, mem, memsz };
//! let mut segments = [
//!     segment(0x2d_ab10, 0x1c92_5000, 0x2d_b000),   // initrd
//!     segment(0xd8_2200, 0x1cc0_0000, 0x337_8000),  // kernel
//!     segment(0x5086, 0x1ffc_e000, 0x6000),         // its parameters
//!     segment(0x70e0, 0x1ffd_4000, 0x9000),         // purgatory
//! ];
//! let kernel = Kernel {
//!     arch: Arch::X86_64,
//!     width: Width::U64,
//!     page: PageShift::SIZE_4K,
//!     version: Version::Since4_8,
//!     flags: LoadFlags::ON_CRASH | LoadFlags::PRESERVE_CONTEXT,
//!     limits: Limits::X86_64,
//!     ram_pages: 512 << 20 >> 12,
//!     crash_kernel: None,
//! };
//! let (flags, arch) = LoadFlags::split(0x3e0000);
//! let request = Request { caller: Caller::Native, entry: 0x1ffd_4760, segments: &segments, flags, arch };
//! assert_eq!(kernel.check(&request), Ok(()));
//! assert_eq!(request.entry_segment(), Ok(3));
//!
//! segments[2].mem += 0x1000;
//! let rejected = kernel.check_segments(&segments, false).unwrap_err();
//! assert_eq!((rejected.rule, rejected.errno()), (Rule::Overlap, Some(22)));
//! assert_eq!(
//!     rejected.to_string(),
//!     "segment 3: it begins at 0x1ffd4000, segment 2 at 0x1ffcf000, and they share memory: \
//!      place one elsewhere (EINVAL of sanity_check_segment_list())"
//! );
//! ```
//!
//! # From segments to memory
//!
//! ```
//! use kexec_format::{
//!     Decoding, Format, Limits, List, Mode, Segment,
//!     list::{Builder, FrameAllocator, FramePurpose},
//! };
//! use physmem::{PhysAddr, PhysMemory, PhysRange, Region};
//!
//! /// Pages from the top of a memory of 64 KiB.
//! struct Frames(u64);
//!
//! impl FrameAllocator for Frames {
//!     fn allocate(&mut self, _: FramePurpose) -> Option<PhysAddr> {
//!         self.0 = self.0.checked_sub(0x1000)?;
//!         Some(PhysAddr::new(self.0))
//!     }
//! }
//!
//! let mut memory = Region::try_new(PhysAddr::new(0), vec![0xff; 0x1_0000])?;
//! let dest = PhysRange::with_size(PhysAddr::new(0x2000), 0x2000)?;
//! let segments = [Segment { parts: &[b"a kernel", b" in two parts"], dest }];
//! let mut scratch = [0; 1];
//! let head = Builder::try_new(
//!     Format::LE64_4K, Limits::X86_64, &segments, &mut scratch, &mut memory, Frames(0x1_0000),
//! )?
//! .build()?;
//!
//! let list = List { head, format: Format::LE64_4K, decoding: Decoding::Strict };
//! let pages: u64 = list.runs(&memory).map(|run| run.map(|run| run.pages)).sum::<Result<_, _>>()?;
//! assert_eq!(pages, 2);
//!
//! let mut buffer = [0; 4096];
//! kexec_format::relocate(&mut memory, list, Mode::Copy, &mut buffer)?;
//! assert_eq!(memory.lend(PhysAddr::new(0x2000), 22).unwrap(), b"a kernel in two parts\0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Untrusted input
//!
//! Lists may be hostile: loops, links to nowhere, words that are none. They yield runs and then an
//! [`Error`] that names the rule and the kernel function whose lists keep to it, never a panic, and
//! no page of entries is read more than three times. Nothing allocates; there are no features.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "tests"
    )
)]

#[cfg(test)]
extern crate std;

pub mod check;
pub mod control;
pub mod entry;
pub mod error;
pub mod list;
pub mod log;
pub mod place;
pub mod relocate;
pub mod segment;
pub mod uapi;
mod word;

pub use check::Rejected;
pub use entry::{Decoding, Format, KimageEntry};
pub use error::{Error, Result};
pub use list::List;
pub use relocate::{Mode, relocate};
pub use segment::{KexecSegment, Segment};
pub use uapi::{Arch, Limits, LoadFlags};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
