//! ELF32 and ELF64 in both byte orders: the file header, program headers, section headers, notes
//! and core files, read and written.
//!
//! There is one native structure for each header of the format, with ELF64's widths, decoded by
//! copy: a caller sees neither class nor byte order unless it asks. Nothing is allocated, and
//! nothing outside the given bytes is touched, whatever they say.
//!
//! - [`Elf`] is a whole file in memory.
//! - [`Header`], [`Table`], [`Segments`] and [`Notes`] stand alone, for files that are read piece
//!   by piece: a dump of 100 GB needs its first 64 bytes, then the program headers, then the notes.
//! - [`Prstatus`] names the registers in a core's notes, for twelve machines; [`CpuState`] has those
//!   that QEMU adds for x86, and [`xen`] what a hypervisor leaves that crashed.
//! - [`Writer`] emits headers and notes of a core file; [`note::Builder`], [`prstatus::Builder`] and
//!   [`CpuState`] what is in them.
//!
//! # A core file
//!
//! A program put known values into its registers and died; this is the core that Linux wrote,
//! without the memory.
//!
//! ```
//! use elf_format::{Elf, Machine, NoteType, Prstatus, SegmentType};
//!
//! let core = include_bytes!("../testdata/cores/x86_64");
//! let elf = Elf::parse(core)?;
//! let header = elf.header();
//! assert_eq!(header.machine, Machine::X86_64);
//!
//! let notes = elf.segments().find(|segment| segment.kind == SegmentType::NOTE).unwrap();
//! let first = elf.segment_notes(&notes)?.next().unwrap()?;
//! assert_eq!((first.name, first.kind), (&b"CORE"[..], NoteType::PRSTATUS));
//!
//! let status = Prstatus::parse(first.desc, header.machine, header.encoding(), first.desc_offset)?;
//! assert_eq!(status.signal(), 4); // SIGILL
//! assert_eq!(status.register("rbx"), Some(0x2222_2222_2222_2222));
//! # Ok::<(), elf_format::Error>(())
//! ```
//!
//! # A file read piece by piece
//!
//! ```
//! # let file = include_bytes!("../testdata/cores/s390x");
//! # let read_at = |offset: u64, size: u64| &file[offset as usize..][..size as usize];
//! use elf_format::{Header, Notes, Section, SegmentType, Segments, header::PN_XNUM};
//!
//! let header = Header::parse(read_at(0, 64))?;
//! let place = match header.phnum {
//!     PN_XNUM => header.first_section()?,
//!     _ => None,
//! };
//! let first_section = match place {
//!     Some(place) => {
//!         let bytes = read_at(place.offset(), place.byte_len());
//!         Some(Section::parse(bytes, header.encoding(), place.offset())?)
//!     }
//!     None => None,
//! };
//! let table = header.program_headers(first_section.as_ref())?;
//! let bytes = read_at(table.offset(), table.byte_len());
//! for segment in Segments::new(bytes, header.encoding(), table.offset())? {
//!     if segment.kind == SegmentType::NOTE {
//!         let bytes = read_at(segment.offset, segment.filesz);
//!         let notes = Notes::new(bytes, header.encoding().endian, segment.align, segment.offset)?;
//!         assert_eq!(notes.count(), 3);
//!     }
//! }
//! # Ok::<(), elf_format::Error>(())
//! ```

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

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

/// An integer of the file as an open newtype: named constants, and every other value survives.
macro_rules! open_newtype {
    (
        $(#[$meta:meta])*
        $name:ident($int:ty) {
            $($(#[$doc:meta])* $constant:ident = $value:literal => $text:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[$doc])* pub const $constant: Self = Self($value);)*

            /// What readelf calls the value; `None` for one without a constant here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

/// The rule for a field of which ELF64 has 64 bits and ELF32 has 32.
macro_rules! fits_elf32 {
    ($name:literal) => {
        &$crate::error::Field {
            name: $name,
            allowed: "at most 0xffffffff in ELF32",
        }
    };
}

mod device_dump;
pub mod error;
pub mod file;
pub mod header;
pub mod ident;
mod machine;
mod machine_flags;
pub mod note;
pub mod prstatus;
pub mod qemu_cpu;
pub mod section;
pub mod segment;
pub mod table;
mod wire;
pub mod writer;
pub mod xen;

pub use device_dump::DeviceDump;
pub use error::{Error, Field, Result};
pub use file::Elf;
pub use header::{FileType, Header};
pub use ident::{Class, Encoding, Endian, Ident, OsAbi};
pub use machine::Machine;
pub use note::{Note, NoteType, Notes};
pub use prstatus::Prstatus;
pub use qemu_cpu::CpuState;
pub use section::{Section, SectionFlags, SectionType, Sections};
pub use segment::{Segment, SegmentFlags, SegmentType, Segments};
pub use table::Table;
pub use writer::Writer;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
