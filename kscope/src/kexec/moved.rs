//! Memory after a list was performed on it, of which nothing is copied until it is written out.
//!
//! ```text
//!  page now     0x100000  0x101000  0x102000 …
//!                   │         │         │
//!  page before  0x7a3000  0x7a4000  0x102000      a map from pages to pages
//! ```

use std::{collections::BTreeMap, io, path::Path};

use elf_format::{FileType, Segment, SegmentFlags, SegmentType, Writer};
use physmem::{Absence, MemError, PageShift, PhysAddr, PhysMemory, PhysMemoryMut, PhysRange};

use crate::{
    dump::{Opened, ident},
    failure::{Failure, Result},
    output::write_file,
    progress::Progress,
};

/// A memory whose pages can be moved, and not be written otherwise.
pub(super) struct Moved<'m, M> {
    memory: &'m M,
    page: PageShift,
    /// Where the pages that were moved were before.
    origins: BTreeMap<PhysAddr, PhysAddr>,
}

impl<'m, M: PhysMemory> Moved<'m, M> {
    pub(super) fn new(memory: &'m M, page: PageShift) -> Self {
        Self {
            memory,
            page,
            origins: BTreeMap::new(),
        }
    }

    /// Notes that a page belongs to the result, also if it stays where it is.
    pub(super) fn keep(&mut self, page: PhysAddr) {
        self.origins.entry(page).or_insert(page);
    }

    /// Where the page at `at` was before.
    fn origin(&self, at: PhysAddr) -> PhysAddr {
        self.origins.get(&at).copied().unwrap_or(at)
    }

    /// The pages kept and moved, as runs of neighbours.
    fn ranges(&self) -> Vec<PhysRange> {
        let mut ranges: Vec<PhysRange> = Vec::new();
        for &at in self.origins.keys() {
            // A list names no page that reaches the end of the address space.
            let Ok(page) = PhysRange::with_size(at, self.page.bytes()) else {
                continue;
            };
            match ranges.last_mut() {
                Some(last) if last.end() == at => {
                    *last = PhysRange::try_new(last.start(), page.end()).unwrap_or(*last);
                }
                _ => ranges.push(page),
            }
        }
        ranges
    }

    /// Writes them as a core, for the machine of the `dump`, that is entered at `entry`. A page that
    /// the dump does not hold is an error of its `path`.
    pub(super) fn write(&self, dump: &Opened, entry: u64, path: &Path, out: &Path) -> Result {
        let mut segments: Vec<Segment> = self
            .ranges()
            .iter()
            .map(|range| Segment {
                kind: SegmentType::LOAD,
                flags: SegmentFlags::READ | SegmentFlags::WRITE | SegmentFlags::EXECUTE,
                offset: 0,
                vaddr: 0,
                paddr: range.start().as_u64(),
                filesz: range.size(),
                memsz: range.size(),
                align: self.page.bytes(),
            })
            .collect();
        let (ident, flags) = ident(dump);
        let headers = |segments: &[Segment]| {
            let writer = Writer {
                ident,
                file_type: FileType::CORE,
                machine: dump.machine(),
                entry,
                flags,
                notes: &[],
                segments: segments.iter().copied(),
            };
            writer.to_vec().map_err(|error| Failure::input(out, error))
        };
        // Whatever the offsets are, the headers have the same length. A page is of 2^30 bytes at most, and
        // the pages are fewer than the words of the dump.
        let mut end = headers(&segments)?.len() as u64;
        for segment in &mut segments {
            segment.offset = end.next_multiple_of(self.page.bytes());
            end = segment.offset + segment.filesz;
        }
        let headers = headers(&segments)?;

        let mut progress = Progress::of_bytes(self.origins.len() as u64 * self.page.bytes());
        let mut failed = None;
        let written = write_file(out, |out| {
            out.write_all(&headers)?;
            let begin = segments.first().map_or(0, |segment| segment.offset);
            let gap = begin.saturating_sub(headers.len() as u64);
            io::copy(&mut io::Read::take(io::repeat(0), gap), out)?;
            let mut bytes = vec![0; usize::try_from(self.page.bytes()).unwrap_or_default()];
            // Segments are whole pages, so that one ends where the next begins.
            for &origin in self.origins.values() {
                if let Err(error) = self.memory.read(origin, &mut bytes) {
                    failed = Some(error);
                    return Err(io::Error::other(error));
                }
                out.write_all(&bytes)?;
                progress.advance(self.page.bytes());
            }
            out.flush()
        });
        failed.map_or(written, |error| {
            Err(Failure::absent(path, Some(error.why), error))
        })
    }
}

impl<M: PhysMemory> PhysMemory for Moved<'_, M> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> std::result::Result<(), MemError> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let why = Absence::NotRam;
            let here = at.checked_add(done as u64).ok_or(MemError { at, why })?;
            let within = here.page_offset(self.page);
            let left = usize::try_from(self.page.bytes() - within).unwrap_or(usize::MAX);
            let n = rest.len().min(left);
            let origin = self.origin(here.align_down(self.page));
            let from = origin.checked_add(within).ok_or(MemError { at, why })?;
            self.memory
                .read(from, rest.get_mut(..n).unwrap_or_default())?;
            done += n;
        }
        Ok(())
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.memory.next_run(from)
    }
}

impl<M: PhysMemory> PhysMemoryMut for Moved<'_, M> {
    /// Refuses: there is no place for bytes.
    fn write(&mut self, at: PhysAddr, _: &[u8]) -> std::result::Result<(), MemError> {
        let why = Absence::NotRam;
        Err(MemError { at, why })
    }

    /// Moves whole pages.
    fn copy(
        &mut self,
        from: PhysAddr,
        to: PhysAddr,
        len: u64,
    ) -> std::result::Result<(), MemError> {
        let page = self.page;
        if [from, to, PhysAddr::new(len)]
            .iter()
            .any(|n| n.page_offset(page) != 0)
        {
            return self.write(to, &[]);
        }
        let after = |at: PhysAddr, skipped| {
            let why = Absence::NotRam;
            at.checked_add(skipped).ok_or(MemError { at, why })
        };
        let steps = || (0..len >> page.as_u8()).map(|number| number << page.as_u8());
        // All sources before the first destination, as a copy may overlap itself.
        let origins = steps()
            .map(|skipped| after(from, skipped).map(|at| self.origin(at)))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        for (skipped, origin) in steps().zip(origins) {
            self.origins.insert(after(to, skipped)?, origin);
        }
        Ok(())
    }
}
