//! Fields of a container, one after the other, with the place of each.

use super::Stream;
use crate::error::{Error, Result};

pub(super) struct Reader<'s> {
    stream: Stream<'s>,
    at: usize,
}

#[allow(dead_code, reason = "not every decoder asks for all of it")]
impl<'s> Reader<'s> {
    pub(super) const fn new(stream: &Stream<'s>) -> Self {
        Self {
            stream: *stream,
            at: 0,
        }
    }

    /// Where the next field is, from the start of the stream.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The stream is damaged here.
    pub(super) fn corrupt(&self) -> Error {
        self.stream.corrupt(self.at)
    }

    pub(super) fn rest(&self) -> &'s [u8] {
        self.stream.bytes.get(self.at..).unwrap_or_default()
    }

    /// # Errors
    ///
    /// `Incomplete` if the stream ends before.
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'s [u8]> {
        let found = self.rest().get(..len);
        let found = found.ok_or_else(|| self.stream.incomplete(self.at))?;
        // No overflow: inside a slice.
        self.at = self.at.saturating_add(len);
        Ok(found)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let found = self.bytes(N)?.first_chunk().copied();
        found.ok_or_else(|| self.stream.corrupt(self.at))
    }
}
