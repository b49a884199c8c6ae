//! A file mapped into memory: the one place with `unsafe`.

#![allow(
    unsafe_code,
    reason = "a mapping cannot be made without, see the SAFETY comment"
)]

use std::{fs::File, io, ops::Deref};

/// The bytes of a file as they are on disk.
pub(crate) struct Mapped(memmap2::Mmap);

impl Mapped {
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private and read-only, and nothing here writes to the file. Another
        // process may: then bytes change between two reads, which every parser stands, as it copies a
        // field out once and checks the copy; or the file shrinks and the system ends us with SIGBUS.
        // `--no-mmap` is for who expects that.
        unsafe { memmap2::Mmap::map(file) }.map(Self)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
