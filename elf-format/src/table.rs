//! A table of headers: where the file header says it is, and its entries once the bytes are there.
//!
//! ```text
//!  offset                                     offset + count × entry size
//!  ├────────────┬────────────┬─── … ───┬────────────┤
//!  │ entry 0    │ entry 1    │         │ entry n-1  │
//!  └────────────┴────────────┴─── … ───┴────────────┘
//! ```

use core::marker::PhantomData;

use crate::{
    error::{Error, Result},
    ident::Encoding,
    wire::{self, Fields},
};

/// Where a table lies in the file. Its end is known to fit 64 bits, not to lie inside the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    offset: u64,
    count: u64,
    byte_len: u64,
}

impl Table {
    pub(crate) fn try_new(
        what: &'static str,
        offset: u64,
        count: u64,
        entry_size: usize,
    ) -> Result<Self> {
        let byte_len = count.checked_mul(entry_size as u64);
        byte_len
            .filter(|len| offset.checked_add(*len).is_some())
            .map(|byte_len| Self {
                offset,
                count,
                byte_len,
            })
            .ok_or(Error::Overflow { what, offset })
    }

    /// Offset of the first entry from the start of the file, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of entries. Not yet compared with the length of the file.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Length of the table in bytes; `offset + byte_len` does not overflow.
    #[must_use]
    pub const fn byte_len(&self) -> u64 {
        self.byte_len
    }
}

/// A header that tables are made of: [`Segment`](crate::Segment) or [`Section`](crate::Section).
pub trait Entry: sealed::Decode {}

pub(crate) mod sealed {
    use crate::{Class, wire::Fields};

    pub trait Decode: Sized {
        const TABLE: &'static str;
        fn size(class: Class) -> usize;
        fn decode(fields: &mut Fields<'_>, class: Class) -> Option<Self>;
    }
}

/// The entries of a table, in file order. The length was checked, so each entry can be had.
#[derive(Debug, Clone)]
pub struct Entries<'a, T> {
    bytes: &'a [u8],
    encoding: Encoding,
    entry: PhantomData<T>,
}

impl<'a, T: Entry> Entries<'a, T> {
    /// The entries in `bytes`, which lie at `offset` in the file: a whole table or any part of one.
    ///
    /// # Errors
    ///
    /// `Truncated` when `bytes` do not hold a whole number of entries.
    pub fn new(bytes: &'a [u8], encoding: Encoding, offset: u64) -> Result<Self> {
        let partial = bytes.chunks_exact(T::size(encoding.class)).remainder();
        if !partial.is_empty() {
            let whole = wire::len(bytes).abs_diff(wire::len(partial));
            return Err(Error::Truncated {
                what: T::TABLE,
                // Saturating: only a caller's wrong `offset` is that high.
                offset: offset.saturating_add(whole),
                needed: T::size(encoding.class) as u64,
                available: wire::len(partial),
            });
        }
        Ok(Self {
            bytes,
            encoding,
            entry: PhantomData,
        })
    }

    /// The entry `index`, counted from what is left of the table.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        let start = index.checked_mul(T::size(self.encoding.class))?;
        self.decode(self.bytes.get(start..)?)
    }

    #[inline]
    fn decode(&self, bytes: &[u8]) -> Option<T> {
        let Encoding { class, endian } = self.encoding;
        T::decode(&mut Fields::new(bytes, endian), class)
    }
}

impl<T: Entry> Iterator for Entries<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        let (entry, rest) = self.bytes.split_at_checked(T::size(self.encoding.class))?;
        self.bytes = rest;
        self.decode(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.bytes.chunks_exact(T::size(self.encoding.class)).len();
        (count, Some(count))
    }
}

impl<T: Entry> ExactSizeIterator for Entries<'_, T> {}
impl<T: Entry> core::iter::FusedIterator for Entries<'_, T> {}
