//! The list of entries that says which page goes where.
//!
//! ```text
//!  kimage.head    ┌▶ page of entries            ┌▶ page of entries
//!  ┌──────────┐   │  ┌─────────────────────┐    │  ┌─────────────────────┐
//!  │ INDIR. ──┼───┘  │ DESTINATION 0x100000│    │  │ SOURCE              │
//!  └──────────┘      │ SOURCE              │    │  │ DESTINATION         │
//!                    │ SOURCE              │    │  │ SOURCE              │
//!                    │ …  511 of them  …   │    │  │ DONE                │
//!                    │ INDIRECTION ────────┼────┘  │ (whatever was there)│
//!                    └─────────────────────┘       └─────────────────────┘
//! ```
//!
//! The head becomes an indirection with the first entry. A page has room for all but one of its
//! words (511 of 512 with 64-bit words and 4 KiB pages); the last is a link, written when one more
//! entry comes, or `DONE` if none does. A segment is one `DESTINATION` and a `SOURCE` for each page.
//! A crash image is loaded in place: its list is a head of `DONE`.
//!
//! Source: `kimage_add_entry()`, `kimage_terminate()` and `for_each_kimage_entry()` in Linux
//! `kernel/kexec_core.c`.

mod builder;
mod order;
mod tail;
mod walker;
mod words;

use core::fmt;

use physmem::{Absence, PhysMemory};

pub use builder::{Builder, FrameAllocator, FramePurpose, SourcePage};
pub use order::Clash;
pub use walker::{Cursor, Run, Runs};

use crate::entry::{Decoding, Format, KimageEntry};

/// A rule of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListRule {
    /// A word of zero stands before the end: the list was not finished.
    Zero,
    /// None of the four type bits is set.
    NoType,
    /// More than one type bit is set.
    SeveralTypes,
    /// Bits are set between the type and the page address, or an address beside `DONE`.
    StrayBits,
    /// The head moves a page or sets a destination.
    Head,
    /// A page is moved before there is a destination.
    NoDestination,
    /// A page of entries has neither a link nor an end.
    NoLink,
    /// A link leads back into the list.
    Loop,
    /// A page of entries cannot be read.
    Unreadable(Absence),
    /// A page's source or destination passes the end of the address space.
    Wraps,
    /// A page of entries is overwritten by what the list moves.
    MovesItself,
}

impl ListRule {
    /// The function of Linux whose lists never break it.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::Zero => "kimage_terminate()",
            Self::NoType | Self::SeveralTypes | Self::StrayBits => {
                "kimage_set_destination() or kimage_add_page()"
            }
            Self::Head | Self::NoLink => "kimage_add_entry()",
            Self::NoDestination => "kimage_load_normal_segment()",
            Self::Loop | Self::Unreadable(_) | Self::MovesItself => "kimage_alloc_page()",
            Self::Wraps => "sanity_check_segment_list()",
        }
    }
}

impl fmt::Display for ListRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("zero before the end of the list: it was left half-written"),
            Self::NoType => f.write_str("none of the type bits 0x1, 0x2, 0x4, 0x8"),
            Self::SeveralTypes => f.write_str("several of the type bits 0x1, 0x2, 0x4, 0x8"),
            Self::StrayBits => f.write_str("bits beside one type bit and a page address"),
            Self::Head => f.write_str("a head is a link (0x2) or the end (0x4)"),
            Self::NoDestination => f.write_str("a page to move before any destination"),
            Self::NoLink => f.write_str("the last word of a page is a link (0x2) or the end (0x4)"),
            Self::Loop => f.write_str("the link leads back into the list"),
            Self::Unreadable(why) => write!(f, "the entries it leads to cannot be read: {why}"),
            Self::MovesItself => f.write_str("the list overwrites itself"),
            Self::Wraps => f.write_str("the page passes the end of the address space"),
        }?;
        write!(f, " (never made by {})", self.function())
    }
}

/// A list in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct List {
    /// `kimage.head`
    pub head: KimageEntry,
    /// The machine's words and pages.
    pub format: Format,
    /// How odd words are read.
    pub decoding: Decoding,
}

impl List {
    /// What it moves, in its order.
    pub fn runs<M: PhysMemory + ?Sized>(self, memory: &M) -> Runs<'_, M> {
        Runs::new(memory, Cursor::new(self))
    }
}
