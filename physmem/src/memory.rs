//! How anything reads physical memory, and why it sometimes cannot.
//!
//! ```text
//!                     ┌ read   copies, or says which byte is missing and why
//!  page walkers ──▶   │ word   one entry of a page table
//!  filters      ──▶  PhysMemory
//!  dump writers ──▶   │ lend   borrows, where nobody writes meanwhile
//!                     └ next_run   skips holes without probing
//!                          ▲
//!  a dump · a guest's RAM · a firmware's own memory · byte slices (Region, Regions)
//! ```
//!
//! Slices borrowed from a running guest are unsound, so lending is optional and only for memory at
//! rest; a compressed dump has no slice to lend; and whoever walks tables must be able to say why one
//! is missing. These three facts shape the trait.

use crate::{PhysAddr, PhysRange};

/// Why memory cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Absence {
    /// No RAM is there, or none that the source knows of.
    #[error("not RAM")]
    NotRam,
    /// The dump does not have it, and cannot tell whether it is RAM.
    #[error("not in the dump")]
    Undescribed,
    /// It is RAM, and was left out on purpose, as `makedumpfile -d` does.
    #[error("excluded when the dump was written")]
    Excluded,
    /// It should be there, and the writer did not get so far or the file is cut.
    #[error("lost: the dump is incomplete")]
    Lost,
    /// It is there and cannot be decoded.
    #[error("damaged")]
    Damaged,
    /// It is there, compressed by a method this build cannot decode.
    #[error("compressed by a codec that is not built in")]
    CodecMissing,
    /// The operating system refused to read it.
    #[error("not readable, errno {errno}")]
    Io {
        /// The operating system's error number.
        errno: i32,
    },
}

/// Which byte is missing, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("physical address {at}: {why}")]
pub struct MemError {
    /// The first byte that could not be read or written.
    pub at: PhysAddr,
    /// Why.
    pub why: Absence,
}

const _: () = assert!(size_of::<MemError>() <= 16);

/// The width of a word in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// 32 bits: i386 and arm short-descriptor table entries.
    U32,
    /// 64 bits: every other table entry.
    U64,
}

impl Width {
    /// Bytes in a word.
    #[inline]
    pub const fn bytes(self) -> usize {
        match self {
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }

    /// The word that `bytes` begins with, `None` if they are too few.
    #[inline]
    pub fn decode(self, bytes: &[u8], order: Endian) -> Option<u64> {
        Some(match (self, order) {
            (Self::U32, Endian::Little) => u32::from_le_bytes(*bytes.first_chunk()?).into(),
            (Self::U32, Endian::Big) => u32::from_be_bytes(*bytes.first_chunk()?).into(),
            (Self::U64, Endian::Little) => u64::from_le_bytes(*bytes.first_chunk()?),
            (Self::U64, Endian::Big) => u64::from_be_bytes(*bytes.first_chunk()?),
        })
    }
}

/// The byte order of a word in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Physical memory that can be read: a guest's, a dump's, one's own.
///
/// Object-safe; implemented for references, so that a reader can be handed on.
pub trait PhysMemory {
    /// Fills all of `out` from the bytes at `at`.
    ///
    /// # Errors
    ///
    /// The first missing byte and why; `out` then holds nothing to rely on.
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError>;

    /// Borrows `len` bytes that nobody writes meanwhile: a mapped dump, a ROM.
    ///
    /// `None` means "cannot lend", not "absent": [`PhysMemory::read`] may still succeed, and is the
    /// one that says why if it does not. The memory of a running guest never lends.
    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        let _ = (at, len);
        None
    }

    /// Reads one word in the guest's byte order, `at` aligned to its width.
    ///
    /// Memory that changes meanwhile overrides it with one atomic load, so that an entry is never
    /// half old and half new.
    ///
    /// # Errors
    ///
    /// As [`PhysMemory::read`].
    #[inline]
    fn word(&self, at: PhysAddr, width: Width, order: Endian) -> Result<u64, MemError> {
        let lent = self.lend(at, width.bytes());
        match lent.and_then(|bytes| width.decode(bytes, order)) {
            Some(word) => Ok(word),
            None => read_word(self, at, width, order),
        }
    }

    /// The first stretch at or above `from` that may hold memory, cut to begin at `from` if that
    /// lies inside; `None` if there is none.
    ///
    /// It lets a caller skip holes without probing page by page. Bytes inside can still be absent
    /// (excluded, lost, damaged).
    fn next_run(&self, from: PhysAddr) -> Option<PhysRange>;
}

/// Physical memory that can also be written.
pub trait PhysMemoryMut: PhysMemory {
    /// Writes all of `bytes` at `at`.
    ///
    /// # Errors
    ///
    /// The first byte that is not there; then nothing was written.
    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), MemError>;

    /// Copies `len` bytes within the memory, as if they went through a buffer that holds them all
    /// (`memmove`).
    ///
    /// Memory that has its bytes at hand overrides it, so that they are not copied twice.
    ///
    /// # Errors
    ///
    /// A byte that is not there, where they come from or where they go; some may have been copied.
    fn copy(&mut self, from: PhysAddr, to: PhysAddr, len: u64) -> Result<(), MemError> {
        copy_through(self, from, to, len)
    }
}

/// What passes the end of the address space lacks its last byte first, which is in no range.
const NO_MEMORY: MemError = MemError {
    at: PhysAddr::new(u64::MAX),
    why: Absence::NotRam,
};

/// Bytes that are copied at once through a buffer on the stack.
const BUFFER: usize = 4096;

/// Copies by reading and writing; from the end on where a start would overwrite what is still to come.
pub(crate) fn copy_through<M: PhysMemoryMut + ?Sized>(
    memory: &mut M,
    from: PhysAddr,
    to: PhysAddr,
    len: u64,
) -> Result<(), MemError> {
    let backwards = from < to && to.as_u64() - from.as_u64() < len;
    let mut buffer = [0; BUFFER];
    let mut left = len;
    while left > 0 {
        let n = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        let bytes = buffer.get_mut(..n).unwrap_or_default();
        let skipped = if backwards {
            left - n as u64
        } else {
            len - left
        };
        let offset_by = |at: PhysAddr| at.checked_add(skipped).ok_or(NO_MEMORY);
        let (source, target) = (offset_by(from)?, offset_by(to)?);
        memory.read(source, bytes)?;
        memory.write(target, bytes)?;
        left -= n as u64;
    }
    Ok(())
}

impl<M: PhysMemory + ?Sized> PhysMemory for &M {
    #[inline]
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        (**self).read(at, out)
    }

    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        (**self).lend(at, len)
    }

    #[inline]
    fn word(&self, at: PhysAddr, width: Width, order: Endian) -> Result<u64, MemError> {
        (**self).word(at, width, order)
    }

    #[inline]
    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        (**self).next_run(from)
    }
}

/// Reads a word that cannot be lent. Out of line, because inlined it costs a page walk its registers.
#[cold]
#[inline(never)]
fn read_word<M: PhysMemory + ?Sized>(
    memory: &M,
    at: PhysAddr,
    width: Width,
    order: Endian,
) -> Result<u64, MemError> {
    let mut bytes = [0; 8];
    let (word, _) = bytes.split_at_mut(width.bytes());
    memory.read(at, word)?;
    // The slice is as long as the word, so it decodes.
    Ok(width.decode(word, order).unwrap_or_default())
}

/// The stretches of a memory that may hold bytes, ascending, by [`PhysMemory::next_run`].
pub fn runs<M: PhysMemory + ?Sized>(memory: &M) -> Runs<'_, M> {
    Runs {
        memory,
        from: Some(PhysAddr::new(0)),
    }
}

/// The iterator made by [`runs`].
#[derive(Debug)]
pub struct Runs<'m, M: ?Sized> {
    memory: &'m M,
    from: Option<PhysAddr>,
}

impl<M: ?Sized> Clone for Runs<'_, M> {
    fn clone(&self) -> Self {
        Self {
            memory: self.memory,
            from: self.from,
        }
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Runs<'_, M> {
    type Item = PhysRange;

    fn next(&mut self) -> Option<PhysRange> {
        let from = self.from.take()?;
        // An implementation that answers below `from` would make this endless: cut, or stop.
        let run = self.memory.next_run(from)?.at_and_above(from)?;
        self.from = Some(run.end());
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_that_answers_below_the_question_does_not_loop() {
        struct Liar;
        impl PhysMemory for Liar {
            fn read(&self, at: PhysAddr, _: &mut [u8]) -> Result<(), MemError> {
                Err(MemError {
                    at,
                    why: Absence::NotRam,
                })
            }
            fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
                PhysRange::with_size(PhysAddr::new(0), 0x1000).ok()
            }
        }
        assert_eq!(runs(&Liar).count(), 1);
    }

    #[test]
    fn a_copy_past_the_address_space_names_what_no_memory_has() {
        let (from, to) = (PhysAddr::new(0x1000), PhysAddr::new(0x2000));
        let mut memory = crate::Region::try_new(from, std::vec![0; 0x2000]).unwrap();
        let error = copy_through(&mut memory, from, to, u64::MAX).unwrap_err();
        let (at, why) = (PhysAddr::new(u64::MAX), Absence::NotRam);
        assert_eq!(error, MemError { at, why });
    }
}
