//! Memory after a list was performed on it, of which nothing is copied until it is written out.
//!
//! ```text
//!  page now     0x100000  0x101000  0x102000 …
//!                   │         │         │
//!  page before  0x7a3000  0x7a4000  0x102000      a map from pages to pages
//! ```

use std::{collections::BTreeMap, path::Path};

use physmem::{
    Absence, MemError, PageShift, PhysAddr, PhysMemory, PhysMemoryMut, PhysRange, sorted,
};
use vmcore_format::build::core::{Core, Part};

use crate::{
    core_file,
    dump::{Opened, ident},
    failure::Result,
};

/// What passes the end of the address space lacks its last byte first, which is in no range.
const NO_MEMORY: MemError = MemError {
    at: PhysAddr::new(u64::MAX),
    why: Absence::NotRam,
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
    fn ranges(&self) -> impl Iterator<Item = PhysRange> {
        let pages = self.origins.keys();
        // A list names no page that reaches the end of the address space.
        let pages = pages.filter_map(|&at| PhysRange::with_size(at, self.page.bytes()).ok());
        // Keys of a map ascend.
        sorted(pages).into_iter().flatten()
    }

    /// Writes them as a core, for the machine of the `dump`, that is entered at `entry`. A page that
    /// the dump does not hold is an error of its `path`.
    pub(super) fn write(&self, dump: &Opened, entry: u64, path: &Path, out: &Path) -> Result {
        let parts: Vec<Part> = self.ranges().map(Part::stored).collect();
        let (ident, flags) = ident(dump);
        let core = Core {
            ident,
            machine: dump.machine(),
            entry,
            flags,
            page: self.page,
            notes: &[],
            parts: parts.into_iter(),
        };
        core_file::write(&core, self, path, out)
    }
}

impl<M: PhysMemory> PhysMemory for Moved<'_, M> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> std::result::Result<(), MemError> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let here = at.checked_add(done as u64).ok_or(NO_MEMORY)?;
            let within = here.page_offset(self.page);
            let left = usize::try_from(self.page.bytes() - within).unwrap_or(usize::MAX);
            let n = rest.len().min(left);
            let origin = self.origin(here.align_down(self.page));
            let from = origin.checked_add(within).ok_or(NO_MEMORY)?;
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
        let after = |at: PhysAddr, skipped| at.checked_add(skipped).ok_or(NO_MEMORY);
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
