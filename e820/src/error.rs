//! What is wrong with an input, and where.
//!
//! ```text
//!   bytes   offset 0x1e8: …          from the start of the zero page
//!   text    line 4, column 31: …     both from 1; a column is a byte, not a character
//! ```

use core::fmt;

use physmem::{PhysAddr, PhysRange};

use crate::{RawEntry, Words};

/// A field of a binary structure and what may stand in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the C structure.
    pub name: &'static str,
    /// The values that are allowed.
    pub allowed: &'static str,
}

/// The first bytes of a stretch of text, copied so that an error can show them.
///
/// Prints with everything but printable ASCII escaped, and with `…` if it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snippet {
    bytes: [u8; Self::MAX],
    /// Length of the text it stems from, 255 for all that are longer.
    len: u8,
}

impl Snippet {
    // What is left of 48 bytes beside a line, a column and the tag of the enum.
    const MAX: usize = 23;

    pub(crate) fn new(text: &[u8]) -> Self {
        let mut snippet = Self {
            bytes: [0; Self::MAX],
            len: 0,
        };
        for (byte, &found) in snippet.bytes.iter_mut().zip(text) {
            *byte = found;
        }
        snippet.len = u8::try_from(text.len()).unwrap_or(u8::MAX);
        snippet
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = usize::from(self.len);
        let shown = self.bytes.get(..len).unwrap_or(&self.bytes);
        write!(f, "{}", shown.escape_ascii())?;
        if len > Self::MAX {
            f.write_str("…")
        } else {
            Ok(())
        }
    }
}

/// Why an input is not a memory map, or a map does not fit where it shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than the structure has.
    #[error("offset {offset:#x}: {what} needs {needed:#x} bytes, {available:#x} are there")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// Bytes it has.
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
    /// A signature is not the expected one.
    #[error("offset {offset:#x}: {what} is {found:#x}, not {expected:#x}")]
    BadMagic {
        /// The signature.
        what: &'static str,
        /// Where it is.
        offset: u64,
        /// What is there.
        found: u64,
        /// What should be.
        expected: u64,
    },
    /// A number that its field or 64 bits cannot hold.
    #[error("offset {offset:#x}: {what} is too large")]
    Overflow {
        /// The number.
        what: &'static str,
        /// Where it is.
        offset: u64,
    },
    /// A line begins as a map line does and goes on otherwise.
    #[error("line {line}, column {column}: expected {expected}")]
    BadLine {
        /// Line, from 1.
        line: u64,
        /// Byte in the line, from 1.
        column: u64,
        /// What would have been allowed there.
        expected: &'static str,
    },
    /// A map line whose range no entry can have.
    #[error(
        "line {line}, column {column}: range {start:#x}-{last:#x} {}",
        if last < start { "ends before it starts" } else { "has 2^64 bytes, more than a size can say" }
    )]
    BadRange {
        /// Line, from 1.
        line: u64,
        /// Byte in the line, from 1.
        column: u64,
        /// First address.
        start: u64,
        /// Last address, inclusive; the one after it where the form has that.
        last: u64,
    },
    /// A map line with a word for the kind of memory that nobody prints in this form.
    #[error("line {line}, column {column}: unknown kind `{word}`, known: {known}")]
    UnknownKind {
        /// Line, from 1.
        line: u64,
        /// Byte in the line, from 1.
        column: u64,
        /// The word.
        word: Snippet,
        /// The words of this form.
        known: Words,
    },
    /// Bytes in no form that a map is kept in.
    #[error(
        "offset 0x0: {what} is no form of memory map, allowed: text, the 4096 bytes of a zero page, \
         e820 entries of 20 or 24 bytes"
    )]
    NoForm {
        /// What they are.
        what: &'static str,
    },
    /// A listing of `/proc/iomem` without addresses.
    #[error(
        "line 1, column 1: all {lines} ranges are 0-0: that is how the kernel shows /proc/iomem to \
         readers without CAP_SYS_ADMIN"
    )]
    Unprivileged {
        /// Lines of the listing.
        lines: u64,
    },
    /// Memory that a structure points to cannot be read.
    #[error(transparent)]
    Memory(#[from] physmem::MemError),
    /// An entry whose end is no address.
    #[error(
        "entry {index}: {size:#x} bytes at {addr:#x} pass the end of the address space",
        addr = entry.addr, size = entry.size
    )]
    BadEntry {
        /// Number of the entry, from 0.
        index: u64,
        /// The entry.
        entry: RawEntry,
    },
    /// A command line that leaves no map the kernel would take.
    #[error(
        "entries that the command line leaves: {entries}; the kernel wants 2 or more and panics"
    )]
    TooFew {
        /// Entries that are left, empty ones included.
        entries: u64,
    },
    /// Entries that do not ascend or share bytes.
    #[error("entry {index} begins at {start}, must begin at or above {previous}")]
    OutOfOrder {
        /// Number of the entry, from 0.
        index: u64,
        /// Where it begins.
        start: PhysAddr,
        /// The end of the one before it.
        previous: PhysAddr,
    },
    /// An entry where the map has one already.
    #[error("{range} meets {taken}, which the map has already")]
    Overlap {
        /// Where the entry should go.
        range: PhysRange,
        /// What is there.
        taken: PhysRange,
    },
    /// An entry at addresses that its taker cannot write down.
    #[error("{range} begins or ends between multiples of {align} bytes")]
    Unaligned {
        /// The entry.
        range: PhysRange,
        /// Of what both ends must be multiples.
        align: u64,
    },
    /// More entries than the caller's storage takes.
    #[error("the map has more than the {capacity} entries that were made room for")]
    Full {
        /// Entries the storage takes.
        capacity: usize,
    },
}

/// What reading or writing a memory map comes to.
pub(crate) type Result<T, E = Error> = core::result::Result<T, E>;

const _: () = assert!(size_of::<Error>() <= 48);

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec};

    use super::*;

    #[test]
    fn a_snippet_is_escaped_and_says_that_it_was_cut() {
        assert_eq!(Snippet::new(b"a\x1b\xff").to_string(), "a\\x1b\\xff");
        assert_eq!(Snippet::new(&[b'x'; 23]).to_string(), "x".repeat(23));
        assert_eq!(Snippet::new(&[b'x'; 24]).to_string(), "x".repeat(23) + "…");
        assert_eq!(
            Snippet::new(&vec![b'x'; 300]).to_string(),
            "x".repeat(23) + "…"
        );
    }

    #[test]
    fn a_bad_range_names_its_reason() {
        let error = |start, last| {
            Error::BadRange {
                line: 2,
                column: 9,
                start,
                last,
            }
            .to_string()
        };
        assert_eq!(
            error(2, 0),
            "line 2, column 9: range 0x2-0x0 ends before it starts"
        );
        assert_eq!(
            error(0, u64::MAX),
            "line 2, column 9: range 0x0-0xffffffffffffffff has 2^64 bytes, more than a size can say"
        );
    }
}
