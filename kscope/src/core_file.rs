//! Cores as they are written: headers at once, then memory piece by piece.
//!
//! ```text
//!   headers, notes │ zeros │ piece │ zeros │ piece …      each piece through one buffer
//! ```

use std::{
    io::{self, Read, Write},
    path::Path,
};

use physmem::{MemError, PhysMemory};
use vmcore_format::build::{
    Piece,
    core::{Core, Part},
};

use crate::{
    failure::{Failure, Result},
    output::write_file,
    progress::Progress,
};

/// Writes a core to `out`, its memory read from `memory`. What cannot be read is an error of the `dump`.
pub(crate) fn write<P>(
    core: &Core<'_, P>,
    memory: &impl PhysMemory,
    dump: &Path,
    out: &Path,
) -> Result
where
    P: ExactSizeIterator<Item = Part> + Clone,
{
    let refused = |error| Failure::input(out, error);
    let headers = core.to_vec().map_err(refused)?;
    let pieces = core.pieces().map_err(refused)?;

    let bytes = pieces.clone().map(|piece| piece.range.size()).sum();
    let mut progress = Progress::of_bytes(bytes);
    let mut failed = None;
    let written = write_file(out, |out| {
        let mut out = Counted { out, count: 0 };
        let mut buffer = Vec::new();
        out.write_all(&headers)?;
        for piece in pieces {
            let copied = out.copy(piece, memory, &mut buffer, &mut progress)?;
            copied.map_err(|error| {
                failed = Some(error);
                io::Error::other(error)
            })?;
        }
        out.flush()
    });
    failed.map_or(written, |error| {
        Err(Failure::absent(dump, Some(error.why), error))
    })
}

/// A file that is written from its beginning, and how far it is.
struct Counted<'a> {
    out: &'a mut dyn Write,
    count: u64,
}

impl Counted<'_> {
    /// Copies a piece of memory to its offset, with zeros before it; what the buffer holds is lost.
    fn copy(
        &mut self,
        piece: Piece,
        memory: &impl PhysMemory,
        buffer: &mut Vec<u8>,
        progress: &mut Progress,
    ) -> io::Result<std::result::Result<(), MemError>> {
        const CHUNK: usize = 1 << 16;
        // Pieces ascend from the end of the headers; nothing lies behind.
        let gap = piece.offset.saturating_sub(self.count);
        io::copy(&mut io::repeat(0).take(gap), self)?;

        for Piece { range, .. } in piece.chunks(CHUNK) {
            buffer.resize(usize::try_from(range.size()).unwrap_or(CHUNK), 0);
            if let Err(error) = memory.read(range.start(), buffer) {
                return Ok(Err(error));
            }
            self.write_all(buffer)?;
            progress.advance(range.size());
        }
        Ok(Ok(()))
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
