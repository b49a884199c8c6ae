//! Memory maps: read from the places where Linux and firmware show them, with every kind kept, and
//! written back in the same forms.
//!
//! An x86 machine hands its kernel a list of memory ranges and what each of them is: the e820 map,
//! named after the BIOS call that once returned it. It turns up in kernel logs
//! ([`text::dmesg`]) and in the page of boot parameters ([`wire::boot_params`]). All of them come
//! out as [`RawEntry`], one by one, as found; a [`RawMap`] holds those of one map.
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
//! # Untrusted input
//!
//! Bytes and logs may be hostile: they yield entries or an [`Error`] that says where, never a
//! panic, in time proportional to the input. Parsing does not allocate.
//!
//! # Features
//!
//! `std` (default) implies `alloc` and lets the search for map lines choose its SIMD at run time;
//! `alloc` adds maps in a `Vec`, totals of all kinds at once and overlaps. Without either all
//! parsers are there.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod entry;
mod error;
mod kind;
mod raw;
pub mod text;
pub mod wire;

pub use entry::{Entry, RawEntry};
pub use error::{Error, Field, Snippet};
pub use kind::Kind;
pub use raw::RawMap;

#[cfg(all(doctest, feature = "alloc"))]
#[doc = include_str!("../README.md")]
struct Readme;
