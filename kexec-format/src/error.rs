//! What is wrong with an input, and where.

use physmem::{MemError, PhysAddr};

use crate::{
    check::Rejected,
    list::{Clash, ListRule},
};

/// A field of a binary structure and what may stand in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the C structure.
    pub name: &'static str,
    /// The values that are allowed.
    pub allowed: &'static str,
}

/// Why something cannot be read, built or carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than there must be.
    #[error("offset {offset:#x}: {what} needs {needed} bytes, {available} are there")]
    Truncated {
        /// What needs them.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are from `offset` on.
        available: u64,
    },
    /// A field holds what it must not.
    #[error("offset {offset:#x}: {} is {value:#x}, allowed: {}", field.name, field.allowed)]
    BadField {
        /// The field and what is allowed.
        field: &'static Field,
        /// Where it is.
        offset: u64,
        /// What it holds.
        value: u64,
    },
    /// A line of a text is not of the form it must have.
    #[error("line {line}, column {column}: expected {expected}")]
    BadText {
        /// The line, from 1.
        line: u64,
        /// The column in it, from 1; a column is a byte.
        column: u64,
        /// What would have been allowed.
        expected: &'static str,
    },
    /// Segments that the kernel refuses.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// A list that is none.
    #[error("entry {entry:#x}{}: {rule}", Place(*at))]
    BadList {
        /// The rule it breaks.
        rule: ListRule,
        /// The address of the entry; `None` for the head, which is not in memory.
        at: Option<PhysAddr>,
        /// The entry.
        entry: u64,
    },
    /// A list that uses a page twice.
    #[error("page {page}: {clash} (never made by kimage_alloc_page())")]
    Clash {
        /// The page.
        page: PhysAddr,
        /// What it is used for.
        clash: Clash,
    },
    /// The caller has no page left for the list.
    #[error("no page left after {pages} source page{}: ENOMEM of kimage_alloc_page()", plural(*pages))]
    OutOfPages {
        /// Source pages in the list so far.
        pages: u64,
    },
    /// The caller gave a page that cannot be one.
    #[error("page {page} of the allocator {}", why.text())]
    BadPage {
        /// The page.
        page: PhysAddr,
        /// Why it cannot be used.
        why: BadPage,
    },
    /// Memory that has to be read or written is not there.
    #[error(transparent)]
    Memory(#[from] MemError),
}

const _: () = assert!(size_of::<Error>() <= 48);

/// Why a page of the caller's allocator cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BadPage {
    /// It does not begin where pages begin.
    Unaligned,
    /// A word of the list cannot hold its address.
    TooHigh,
    /// It was given before.
    Repeated,
}

impl BadPage {
    const fn text(self) -> &'static str {
        match self {
            Self::Unaligned => "does not begin at a multiple of the page size",
            Self::TooHigh => "lies higher than a word of the list can say",
            Self::Repeated => "was handed out before",
        }
    }
}

pub(crate) const fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

struct Place(Option<PhysAddr>);

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(at) => write!(f, " at {at}"),
            None => f.write_str(" as head"),
        }
    }
}

/// What may go wrong, [`Error`] unless said otherwise.
pub type Result<T, E = Error> = core::result::Result<T, E>;
