//! One note, written.
//!
//! ```text
//!  ┌────────┬─────────┬─────┬─────────┬─────┐
//!  │ header │ name \0 │ pad │  desc   │ pad │   name and desc padded to 4 bytes each
//!  └────────┴─────────┴─────┴─────────┴─────┘
//! ```
//!
//! Source: `append_elf_note()` in Linux `kernel/vmcore_info.c`.

use super::{HEADER_SIZE, Note, NoteType};
use crate::{
    error::{Field, Result},
    ident::{Class, Encoding, Endian},
    wire::Output,
};

/// The alignment Linux and most others use, whatever the class.
const ALIGN: usize = 4;

const NAMESZ: Field = Field {
    name: "n_namesz",
    allowed: "at most 0xffffffff",
};
const DESCSZ: Field = Field {
    name: "n_descsz",
    allowed: "at most 0xffffffff",
};

/// What comes before a descriptor: the header, and the name padded to 4 bytes.
///
/// For who writes the descriptor in its place, and the zeros behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The owner's name without a NUL: one is added, except to an empty name.
    pub name: &'a [u8],
    /// `n_type`
    pub kind: NoteType,
    /// `n_descsz`: bytes of the descriptor.
    pub descsz: usize,
}

impl Head<'_> {
    /// Length in bytes, a multiple of 4: where the descriptor begins.
    #[must_use]
    pub const fn emitted_len(&self) -> usize {
        // Saturating: no slice is that long, so emitting reports it as truncated.
        HEADER_SIZE
            .saturating_add(self.name_size())
            .saturating_add(padding(self.name_size()))
    }

    /// Writes it and returns its length.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short, `BadField` when a length exceeds 32 bits.
    pub fn emit(&self, endian: Endian, out: &mut [u8]) -> Result<usize> {
        let size = self.emitted_len();
        self.put(&mut Output::new("note", out, size, encoding(endian))?)?;
        Ok(size)
    }

    fn put(&self, out: &mut Output<'_>) -> Result<()> {
        out.narrow(&NAMESZ, self.name_size() as u64)?;
        out.narrow(&DESCSZ, self.descsz as u64)?;
        out.u32(self.kind.0)?;
        out.bytes(self.name)?;
        // Saturating: a name is not longer than the name with its NUL.
        let nul = self.name_size().saturating_sub(self.name.len());
        out.zeros(nul.saturating_add(padding(self.name_size())))
    }

    const fn name_size(&self) -> usize {
        // Saturating: no slice has the greatest length.
        if self.name.is_empty() {
            0
        } else {
            self.name.len().saturating_add(1)
        }
    }
}

/// The class makes no difference to notes.
const fn encoding(endian: Endian) -> Encoding {
    Encoding {
        class: Class::Elf64,
        endian,
    }
}

/// A note to be written, padded to 4 bytes as `append_elf_note()` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builder<'a> {
    /// The owner's name without a NUL: one is added, except to an empty name.
    pub name: &'a [u8],
    /// `n_type`
    pub kind: NoteType,
    /// The descriptor.
    pub desc: &'a [u8],
}

impl Builder<'_> {
    /// An all-zero header: the place of an offline CPU, or the end of a list of notes.
    pub const HOLE: Self = Self {
        name: &[],
        kind: NoteType(0),
        desc: &[],
    };

    /// Length in bytes, a multiple of 4.
    #[must_use]
    pub const fn emitted_len(&self) -> usize {
        // Saturating: no slice is that long, so emitting reports it as truncated.
        let head = self.head().emitted_len();
        head.saturating_add(self.desc.len())
            .saturating_add(padding(self.desc.len()))
    }

    /// Writes the note and returns its length.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short, `BadField` when a length exceeds 32 bits.
    pub fn emit(&self, endian: Endian, out: &mut [u8]) -> Result<usize> {
        let size = self.emitted_len();
        self.put(&mut Output::new("note", out, size, encoding(endian))?)?;
        Ok(size)
    }

    pub(crate) fn put(&self, out: &mut Output<'_>) -> Result<()> {
        self.head().put(out)?;
        out.bytes(self.desc)?;
        out.zeros(padding(self.desc.len()))
    }

    const fn head(&self) -> Head<'_> {
        Head {
            name: self.name,
            kind: self.kind,
            descsz: self.desc.len(),
        }
    }
}

impl<'a> From<Note<'a>> for Builder<'a> {
    fn from(
        Note {
            name, kind, desc, ..
        }: Note<'a>,
    ) -> Self {
        Self { name, kind, desc }
    }
}

/// Bytes from `len` to the next multiple of [`ALIGN`].
const fn padding(len: usize) -> usize {
    // Wrapping: modulo a power of two, so the remainder is the right one.
    len.wrapping_neg() % ALIGN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn emitted_notes_are_those_of_append_elf_note() {
        let mut out = [0xff; 40];
        let note = Builder {
            name: b"CORE",
            kind: NoteType::PRSTATUS,
            desc: b"abc",
        };
        assert_eq!(note.emitted_len(), 24);
        assert_eq!(note.emit(Endian::Little, &mut out), Ok(24));
        assert_eq!(
            out[..24],
            *b"\x05\0\0\0\x03\0\0\0\x01\0\0\0CORE\0\0\0\0abc\0"
        );
        assert_eq!(out[24..], [0xff; 16]);
        assert_eq!(note.emit(Endian::Big, &mut out), Ok(24));
        assert_eq!(out[..12], [0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 1]);
        assert_eq!(Builder::HOLE.emit(Endian::Big, &mut out), Ok(12));
        assert_eq!(out[..12], [0; 12]);
        for len in 0..24 {
            let error = Error::Truncated {
                what: "note",
                offset: 0,
                needed: 24,
                available: len as u64,
            };
            assert_eq!(note.emit(Endian::Little, &mut out[..len]), Err(error));
        }
    }
}
