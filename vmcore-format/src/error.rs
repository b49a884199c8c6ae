//! What is wrong with a dump, and where: offsets count from the start of the file.
//!
//! ```text
//!  kscope: vmcore: offset 0x40: program header table needs 0x37ff90 bytes, 0x22b0 are there
//!                  └── where    └── what
//! ```

use elf_format::Machine;
use physmem::MemError;

#[cfg(feature = "alloc")]
use physmem::VirtAddr;

#[cfg(feature = "alloc")]
use crate::{
    kernel::VirtError,
    source::{ReadAt, ReadError},
};

/// A field of a structure and what may stand in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the C structure.
    pub name: &'static str,
    /// The values that are allowed.
    pub allowed: &'static str,
}

/// Why a file is not a dump that can be read, or does not say what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file ends before the structure does.
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
        /// Where the field is.
        offset: u64,
        /// What it holds.
        value: u64,
    },
    /// A piece of text is not of the form it must have.
    #[error("offset {offset:#x}: {what}: expected {expected}")]
    BadText {
        /// The text.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// What would have been allowed.
        expected: &'static str,
    },
    /// A line of VMCOREINFO that is to be written is not of the form it must have.
    #[error("offset {offset:#x}: VMCOREINFO entry {index}: expected {expected}")]
    BadEntry {
        /// Which of the caller's entries, from 0.
        index: usize,
        /// Where in the text it would begin.
        offset: u64,
        /// What would have been allowed.
        expected: &'static str,
    },
    /// Sound, and more than this version knows.
    #[error("offset {offset:#x}: {what} {value:#x} is not supported")]
    Unsupported {
        /// What it is.
        what: &'static str,
        /// Where it is.
        offset: u64,
        /// Which one.
        value: u64,
    },
    /// A machine of which this version does not know enough; where the dump says which it is depends on its form.
    #[error("{what} of {machine} is not supported")]
    UnsupportedMachine {
        /// What is to be done with it.
        what: &'static str,
        /// Which one.
        machine: Machine,
    },
    /// A dump in a container that this version does not read.
    #[error("offset 0x0: this is {what}, which is not read yet")]
    NotYet {
        /// The container.
        what: &'static str,
    },
    /// One of several files in a container that has no parts.
    #[error("offset 0x0: this is {what}, which has no parts")]
    NoParts {
        /// The container.
        what: &'static str,
    },
    /// A file that begins as no dump does.
    #[error("offset 0x0: this is neither an ELF file nor a kdump: it begins with \"{}\"", start.escape_ascii())]
    NoDump {
        /// Its first bytes.
        start: [u8; 8],
    },
    /// A structure lies where another one is.
    #[error("offset {offset:#x}: {what} lies in {other}")]
    Overlap {
        /// The structure.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// What else is there.
        other: &'static str,
    },
    /// A file that is to be part of a split dump is of another one.
    #[error("offset {offset:#x}: differs from the first file: not a part of the same dump")]
    OtherDump {
        /// Where the first difference that counts is, or the header that differs begins.
        offset: u64,
    },
    /// The dump does not say what the question needs.
    #[error("the dump has no {what}")]
    Missing {
        /// What is needed.
        what: &'static str,
    },
    /// The dump has no VMCOREINFO note, which would say it: a kernel's own words can be given in its place.
    #[error("the dump has no VMCOREINFO note")]
    NoVmcoreinfo,
    /// The operating system could not read the file.
    #[error("offset {offset:#x}: {what} could not be read, errno {errno}")]
    Io {
        /// What was to be read.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// The operating system's error number; 0 where it gave none.
        errno: i32,
    },
    /// The memory that a header points to cannot be read.
    #[error("offset {offset:#x}: {what} cannot be read: {error}")]
    Memory {
        /// What lies there.
        what: &'static str,
        /// Where the field is that says so.
        offset: u64,
        /// Which byte is missing and why.
        error: MemError,
    },
    /// The first entry of the page tables cannot be read, which tells of which kind they are.
    #[error("root of the page tables cannot be read: {0}")]
    Root(MemError),
    /// The ELF structure itself is wrong.
    #[error(transparent)]
    Elf(#[from] elf_format::Error),
    /// What the kernel's structures lead to cannot be read.
    #[cfg(feature = "alloc")]
    #[error(transparent)]
    Virt(#[from] VirtError),
    /// A structure of the kernel's holds what it must not.
    #[cfg(feature = "alloc")]
    #[error("virtual address {at}: {} is {value:#x}, allowed: {}", field.name, field.allowed)]
    BadValue {
        /// The field and what is allowed.
        field: &'static Field,
        /// Where the field is in the kernel's memory.
        at: VirtAddr,
        /// What it holds.
        value: u64,
    },
}

const _: () = assert!(size_of::<Error>() <= 48);

/// What is wrong with one of the files of a split dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("file {part}: {error}")]
pub struct PartError {
    /// Which of the files, from 0, in the order in which they were given.
    pub part: usize,
    /// What is wrong with it.
    #[source]
    pub error: Error,
}

#[cfg(feature = "alloc")]
impl Error {
    /// The same about bytes that a file of records, `source`, has elsewhere.
    pub(crate) fn placed<S: ReadAt + ?Sized>(mut self, source: &S) -> Self {
        if let Some(offset) = self.offset_mut() {
            *offset = source.place_of(*offset);
        }
        self
    }

    /// The offset in the file, where it is one of a structure: the operating system tells of the file itself.
    fn offset_mut(&mut self) -> Option<&mut u64> {
        use elf_format::Error as Elf;
        match self {
            Self::Truncated { offset, .. }
            | Self::BadField { offset, .. }
            | Self::BadText { offset, .. }
            | Self::Unsupported { offset, .. }
            | Self::Overlap { offset, .. }
            | Self::OtherDump { offset }
            | Self::Elf(
                Elf::Truncated { offset, .. }
                | Elf::BadMagic { offset, .. }
                | Elf::Unsupported { offset, .. }
                | Elf::BadField { offset, .. }
                | Elf::Overflow { offset, .. },
            ) => Some(offset),
            _ => None,
        }
    }

    /// What failed to be read, in a sentence about `what`.
    pub(crate) fn reading(what: &'static str) -> impl Fn(ReadError) -> Self {
        move |error| match error {
            ReadError::Short {
                offset,
                needed,
                available,
            } => Self::Truncated {
                what,
                offset,
                needed,
                available,
            },
            ReadError::Os { errno, offset } => Self::Io {
                what,
                offset,
                errno,
            },
        }
    }
}
