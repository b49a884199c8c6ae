//! The bytes of a dump file, read at an offset.
//!
//! ```text
//!  a mapped file, a buffer ── lend_at ───────▶ borrowed ──┐
//!                                                         ├──▶ Dump
//!  a file ─────────────────── read_exact_at ─▶ copied ────┘
//! ```
//!
//! `&self` throughout, so that threads share one source; lending where the bytes already lie in
//! memory (a mapped file, a buffer), so that nothing is copied that can be borrowed.
//!
//! A file that shrinks under a memory map kills the process that touches it; `FileSource` reads
//! with `pread` and gets an error instead. That is why both ways exist.

/// Why bytes of a source could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The source ends before the bytes do.
    #[error("offset {offset:#x}: {needed} bytes wanted, {available} are left")]
    Short {
        /// Where the read began, from the start of the source.
        offset: u64,
        /// Bytes wanted.
        needed: u64,
        /// Bytes there.
        available: u64,
    },
    /// The operating system refused.
    #[error("offset {offset:#x}: read failed, errno {errno}")]
    Os {
        /// The operating system's error number; 0 where it gave none.
        errno: i32,
        /// Where the read began.
        offset: u64,
    },
}

/// A source of bytes with a known size, shared by threads.
///
/// No bytes can be had at any offset, past the end too: an empty table has no place to be wrong about.
///
/// Object-safe; implemented for byte slices, references, boxes and (with `std`) files.
pub trait ReadAt {
    /// Bytes in the source.
    fn size(&self) -> u64;

    /// Bytes that somebody wrote, at most [`ReadAt::size`]: what is read into memory at once is never larger. Of a
    /// [flattened](crate::flattened) dump, whose size is a number in it, those of the file that it is in.
    #[inline]
    fn stored_size(&self) -> u64 {
        self.size()
    }

    /// Where the byte at `offset` is in the file that holds it, for people. It is another place in a
    /// [flattened](crate::flattened) dump, unless no record has the byte.
    #[inline]
    fn place_of(&self, offset: u64) -> u64 {
        offset
    }

    /// Fills all of `out` from `offset`.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; `out` then holds nothing to rely on.
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError>;

    /// Borrows `len` bytes at `offset`, if the source has them in memory.
    ///
    /// `None` means "cannot lend": [`ReadAt::read_exact_at`] may still succeed.
    #[inline]
    fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let _ = (offset, len);
        None
    }
}

impl ReadAt for [u8] {
    #[inline]
    fn size(&self) -> u64 {
        self.len() as u64
    }

    #[inline]
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        match self.lend_at(offset, out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(short(offset, out.len(), self.size())),
        }
    }

    #[inline]
    fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
        match usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..))
        {
            Some(rest) => rest.get(..len),
            None if len == 0 => Some(&[]),
            None => None,
        }
    }
}

/// Why `len` bytes cannot be had from `size` bytes.
fn short(offset: u64, len: usize, size: u64) -> ReadError {
    // Past the end nothing is available: 0 is the true number there.
    let available = size.saturating_sub(offset);
    ReadError::Short {
        offset,
        needed: len as u64,
        available,
    }
}

macro_rules! forward {
    ($(#[$attr:meta])* $pointer:ty) => {
        $(#[$attr])*
        impl<S: ReadAt + ?Sized> ReadAt for $pointer {
            #[inline]
            fn size(&self) -> u64 {
                (**self).size()
            }

            #[inline]
            fn stored_size(&self) -> u64 {
                (**self).stored_size()
            }

            #[inline]
            fn place_of(&self, offset: u64) -> u64 {
                (**self).place_of(offset)
            }

            #[inline]
            fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
                (**self).read_exact_at(offset, out)
            }

            #[inline]
            fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
                (**self).lend_at(offset, len)
            }
        }
    };
}

forward!(&S);
forward!(
    #[cfg(feature = "alloc")]
    alloc::boxed::Box<S>
);

#[cfg(all(feature = "std", unix))]
pub use file::FileSource;

#[cfg(all(feature = "std", unix))]
mod file {
    use std::{fs::File, io, os::unix::fs::FileExt};

    use super::{ReadAt, ReadError, short};

    /// A file read with `pread`: safe even if the file shrinks meanwhile.
    #[derive(Debug)]
    pub struct FileSource {
        file: File,
        size: u64,
    }

    impl FileSource {
        /// Takes an open file and its present size.
        ///
        /// # Errors
        ///
        /// What the operating system says when asked for the size.
        pub fn new(file: File) -> io::Result<Self> {
            let size = file.metadata()?.len();
            Ok(Self { file, size })
        }
    }

    impl ReadAt for FileSource {
        fn size(&self) -> u64 {
            self.size
        }

        fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
            let wanted = out.len();
            let inside = offset
                .checked_add(wanted as u64)
                .is_some_and(|end| end <= self.size);
            if wanted > 0 && !inside {
                return Err(short(offset, wanted, self.size));
            }
            self.file.read_exact_at(out, offset).map_err(|error| {
                match (error.raw_os_error(), self.file.metadata()) {
                    (Some(errno), _) => ReadError::Os { errno, offset },
                    // The file shrank after its size was taken.
                    (None, Ok(now)) => short(offset, wanted, now.len()),
                    (None, Err(_)) => ReadError::Os { errno: 0, offset },
                }
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_read_lend_and_say_what_is_missing() {
        let source: &[u8] = &[1, 2, 3, 4];
        let mut two = [0; 2];
        assert_eq!(source.read_exact_at(2, &mut two), Ok(()));
        assert_eq!(two, [3, 4]);
        assert_eq!(
            source.read_exact_at(3, &mut two),
            Err(ReadError::Short {
                offset: 3,
                needed: 2,
                available: 1
            })
        );
        assert_eq!(
            source.read_exact_at(u64::MAX, &mut two),
            Err(ReadError::Short {
                offset: u64::MAX,
                needed: 2,
                available: 0
            })
        );
        assert_eq!(source.lend_at(4, 0), Some(&[][..]));
        assert_eq!(source.lend_at(5, 0), Some(&[][..]));
        assert_eq!(source.read_exact_at(u64::MAX, &mut []), Ok(()));
    }

    #[cfg(all(feature = "std", unix))]
    #[test]
    fn a_file_reads_like_its_bytes() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let bytes = std::fs::read(&path).unwrap();
        let file = FileSource::new(std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(file.size(), bytes.len() as u64);
        let mut ten = [0; 10];
        file.read_exact_at(7, &mut ten).unwrap();
        assert_eq!(ten, bytes[7..17]);
        let end = file.size() - 3;
        assert_eq!(
            file.read_exact_at(end, &mut ten),
            Err(ReadError::Short {
                offset: end,
                needed: 10,
                available: 3
            })
        );
        assert_eq!(file.lend_at(0, 1), None);
        assert_eq!(file.read_exact_at(u64::MAX, &mut []), Ok(()));
    }

    #[cfg(all(feature = "std", unix))]
    #[test]
    fn a_file_that_shrinks_says_what_is_left() {
        let path = std::env::temp_dir().join(std::format!("vmcore-source-{}", std::process::id()));
        std::fs::write(&path, [7; 100]).unwrap();
        let source = FileSource::new(std::fs::File::open(&path).unwrap()).unwrap();
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(42)
            .unwrap();
        let error = source.read_exact_at(40, &mut [0; 8]).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            error,
            ReadError::Short {
                offset: 40,
                needed: 8,
                available: 2
            }
        );
    }
}
