//! Memory maps: read from the places where Linux and firmware show them, with every kind kept, and
//! written back in the same forms.
//!
//! An x86 machine hands its kernel a list of memory ranges and what each of them is: the e820 map,
//! named after the BIOS call that once returned it. It turns up
//!
//! - as text in kernel logs ([`text::dmesg`]), in `/proc/iomem` ([`text::iomem`]), in
//!   `/sys/firmware/memmap` ([`text::sysfs`]) and on the consoles of Xen, GRUB and SeaBIOS
//!   ([`text::listings`]);
//! - as bytes in the page of boot parameters ([`wire::boot_params`]) and beyond it
//!   ([`wire::setup_data`]), in plain arrays ([`wire::array`]), and in what EFI ([`wire::efi`]),
//!   Multiboot ([`wire::multiboot`]) and PVH ([`wire::pvh`]) hand over.
//!
//! All of them come out as [`RawEntry`], one by one, as found; a [`RawMap`] holds those of one map
//! and prints them in each text form. The builders in [`wire`] write the bytes. [`Form::of`] guesses
//! which form a file has, and refuses what is none.
//!
//! ```
//! use e820::{Kind, RawEntry, RawMap, text::dmesg::{LogEntries, Who}};
//!
//! // A capture kernel on a real machine.
//! let log = b"\
//! [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x0000000000000fff] reserved
//! [    0.000000] BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff] usable
//! [    0.000000] BIOS-e820: [mem 0x000000000009fc00-0x000000000009ffff] reserved
//! [    0.000000] BIOS-e820: [mem 0x00000000000f0000-0x00000000000fffff] reserved
//! [    0.000000] BIOS-e820: [mem 0x00000000b3000000-0x00000000bef5cfff] usable
//! [    0.000000] BIOS-e820: [mem 0x00000000befffc00-0x00000000beffffff] usable
//! [    0.000000] BIOS-e820: [mem 0x00000000bffe0000-0x00000000bfffffff] reserved
//! [    0.000000] BIOS-e820: [mem 0x00000000feffc000-0x00000000feffffff] reserved
//! [    0.000000] BIOS-e820: [mem 0x00000000fffc0000-0x00000000ffffffff] reserved
//! ";
//! // Only one map here; logs with several say with each entry whose it is.
//! let entries = LogEntries::new(log).map(|found| found.map(|found| found.entry));
//!
//! let mut slots = [RawEntry::default(); 128];
//! let map = RawMap::fill(&mut slots, entries)?;
//! assert_eq!(map.entries().len(), 9);
//! assert_eq!(map.total(Kind::RAM), 201_310_208); // 191.984375 MiB: the last byte counts, too
//!
//! let printed = map.log_lines(Who::BiosE820).to_string();
//! assert!(printed.starts_with("BIOS-e820: [mem 0x0000000000000000-0x0000000000000fff] reserved\n"));
//! # Ok::<(), e820::Error>(())
//! ```
//!
//! # Calculation
//!
//! [`MemoryMap`] is what comes of a [`RawMap`] when overlaps are resolved: sorted, disjoint, in storage
//! of the caller's choice. What is done with it is done by the kernel's rules; where versions differ, a
//! policy names both ([`MergePolicy`], [`GapSearch`], [`EndOfRam`], [`Placement`], [`crash::Kernel`]).
//! The command line has its say ([`text::memmap_param`], [`text::crashkernel`]), and the next kernel
//! gets its map ([`handover`]).
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use e820::{Kind, MergePolicy, RawEntry, RawMap, crash::Kernel, text::crashkernel::wanted};
//!
//! let entry = |addr, size, kind| RawEntry { addr, size, kind };
//! let found = RawMap::new([
//!     entry(0x10_0000, 0x1_3fed_d000 - 0x10_0000, Kind::RAM),
//!     entry(0xc000_0000, 0x4000_0000, Kind::RESERVED), // overlaps, and is stronger
//! ]);
//! let map = found.sanitize(MergePolicy::default())?;
//! assert_eq!(map.entries().len(), 3);
//!
//! let (line, kernel) = (b"quiet crashkernel=112M", Kernel::X86_64);
//! let wanted = wanted(line, map.total(Kind::RAM), &kernel)?.unwrap();
//! let place = map.reserve_crashkernel(&wanted, &[], &kernel)?.main;
//! assert_eq!(place.to_string(), "0xb9000000..0xc0000000");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Untrusted input
//!
//! Bytes and logs may be hostile: they yield entries or an [`Error`] that says where, never a
//! panic, in time proportional to the input. Parsing does not allocate. Where input could claim more
//! than it has there are limits: [`wire::setup_data::MAX_NODES`], [`wire::setup_data::MAX_EXTENDED`],
//! [`MAX_CMDLINE`].
//!
//! # Features
//!
//! `std` (default) implies `alloc` and lets the search for map lines choose its SIMD at run time;
//! `alloc` adds maps in a `Vec`, totals of all kinds at once and overlaps. Without either all
//! parsers and all arithmetic are there.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod crash;
mod detect;
mod diff;
mod entry;
mod error;
mod gap;
pub mod handover;
mod kind;
mod map;
pub mod place;
mod query;
mod raw;
mod sanitize;
pub mod text;
mod update;
mod user_map;
pub mod wire;
mod words;

pub use detect::Form;
pub use diff::Difference;
pub use entry::{Entry, RawEntry};
pub use error::{Error, Field, Snippet};
pub use gap::GapSearch;
pub use kind::Kind;
pub use map::{Fixed, MemoryMap, Slots, Store};
pub use place::{Direction, PlaceRequest, Placement};
pub use query::EndOfRam;
pub use raw::RawMap;
pub use sanitize::MergePolicy;
pub use user_map::{MAX_CMDLINE, UserMap};
pub use words::Words;

#[cfg(all(doctest, feature = "alloc"))]
#[doc = include_str!("../README.md")]
struct Readme;
