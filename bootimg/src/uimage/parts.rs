//! The files inside a multi-file image or script.

use super::{SIZE, codes::Type};
use crate::error::{Error, Field, Result, part};

const PART_SIZE: Field = Field {
    name: "size in the table of files",
    allowed: "up to the end of the data, by ih_size",
};

/// Bytes of a size in the table.
pub(super) const WORD: usize = 4;

/// A file inside a uImage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Where it starts in the uImage.
    pub offset: u64,
    /// The file.
    pub bytes: &'a [u8],
}

/// The files inside a uImage, in their order.
///
/// An iterator that stops after the first error: [`Error::BadField`] for the size of a file that passes the end of
/// the data.
#[derive(Debug, Clone)]
pub struct Parts<'a> {
    /// The uImage up to the end of its data.
    file: &'a [u8],
    /// What is left of the table, or of the one file's size.
    sizes: Sizes<'a>,
    /// Where in the table the next size is.
    entry: u64,
    offset: u64,
}

#[derive(Debug, Clone)]
enum Sizes<'a> {
    Table(&'a [u8]),
    Whole(Option<u64>),
}

impl<'a> Parts<'a> {
    /// `data` is what follows the header in `file`.
    pub(super) fn new(file: &'a [u8], data: &'a [u8], kind: Type) -> Result<Self> {
        // No overflow: both are parts of a slice.
        let end = SIZE.saturating_add(data.len());
        let file = file.get(..end).unwrap_or(file);
        let (sizes, table) = if kind.has_table() {
            let Some(count) = words(data).position(|word| word == [0; WORD]) else {
                return Err(Error::Truncated {
                    what: "table of sizes with its 0",
                    offset: SIZE as u64,
                    needed: (data.len() as u64).saturating_add(WORD as u64),
                    available: data.len() as u64,
                });
            };
            let len = count.saturating_mul(WORD);
            let table = data.get(..len).unwrap_or_default();
            (Sizes::Table(table), len.saturating_add(WORD))
        } else {
            (Sizes::Whole(Some(data.len() as u64)), 0)
        };
        Ok(Self {
            file,
            sizes,
            entry: SIZE as u64,
            offset: SIZE.saturating_add(table) as u64,
        })
    }
}

/// The words of a table; the last bytes of data that is no multiple of four are none.
pub(super) fn words(data: &[u8]) -> impl Iterator<Item = [u8; WORD]> {
    data.chunks_exact(WORD)
        .filter_map(|word| word.first_chunk().copied())
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let size = match &mut self.sizes {
            Sizes::Whole(size) => size.take()?,
            Sizes::Table(table) => {
                let (size, rest) = table.split_first_chunk::<WORD>()?;
                *table = rest;
                u32::from_be_bytes(*size).into()
            }
        };
        let offset = self.offset;
        let Ok(bytes) = part(self.file, "file of a multi-file image", offset, size) else {
            self.sizes = Sizes::Whole(None);
            return Some(Err(Error::BadField {
                field: &PART_SIZE,
                offset: self.entry,
                value: size,
            }));
        };
        // No overflow: the file is in memory, and its padding a few bytes.
        self.offset = offset.saturating_add(size).next_multiple_of(WORD as u64);
        self.entry = self.entry.saturating_add(WORD as u64);
        Some(Ok(Part { offset, bytes }))
    }
}
