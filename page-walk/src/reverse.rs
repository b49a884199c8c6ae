//! From physical addresses back to virtual ones: who maps this frame?
//!
//! ```text
//!  extents     [ 0x1000 ▶ 0xa000, 3 pages ]   [ 0x7000 ▶ 0x3000 ]   [ 0x9000 ▶ 0xb000, 2 pages ]
//!  of 0xb000             [ 0x2000 ▶ 0xb000 ]                          [ 0x9000 ▶ 0xb000 ]
//! ```
//!
//! No table leads back, so that all of them are looked at, and what they map is cut to what was asked
//! for.

use core::{iter::FusedIterator, ops::RangeInclusive};

use physmem::{PhysMemory, PhysRange, VirtAddr};

use crate::{
    arch::Arch,
    extents::{Extent, Extents},
    fault::Fault,
    walker::Walker,
};

impl<A: Arch> Walker<A> {
    /// Where `range` maps the bytes of `frames`: the parts of [`Walker::extents`] that lead there, ascending
    /// by virtual address.
    ///
    /// Entries that are broken and tables that are missing are the same items as there: behind them there
    /// may be more.
    pub fn reverse<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        range: RangeInclusive<VirtAddr>,
        frames: PhysRange,
    ) -> Reverse<'m, A, M> {
        Reverse {
            extents: self.extents(memory, range),
            frames,
        }
    }
}

/// The iterator made by [`Walker::reverse`].
#[derive(Debug)]
pub struct Reverse<'m, A: Arch, M: ?Sized> {
    extents: Extents<'m, A, M>,
    frames: PhysRange,
}

impl<A: Arch, M: PhysMemory + ?Sized> Reverse<'_, A, M> {
    /// As [`Extents::with_budget`].
    #[must_use]
    pub fn with_budget(self, tables: u64) -> Self {
        Self {
            extents: self.extents.with_budget(tables),
            ..self
        }
    }
}

impl<F> Extent<F> {
    /// The part that leads to `frames`.
    #[inline]
    fn within(self, frames: PhysRange) -> Option<Self> {
        let first = self.phys.max(frames.start());
        let skipped = first.checked_offset_from(self.phys)?;
        let left = self.size.checked_sub(skipped)?;
        let wanted = frames.end().checked_offset_from(first)?;
        let size = left.min(wanted);
        (size > 0).then_some(Self {
            virt: self.virt.checked_add(skipped)?,
            phys: first,
            size,
            ..self
        })
    }
}

impl<A: Arch, M: PhysMemory + ?Sized> Iterator for Reverse<'_, A, M> {
    type Item = Result<Extent<A::Flags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.extents.next()? {
                Ok(extent) => {
                    if let Some(part) = extent.within(self.frames) {
                        return Some(Ok(part));
                    }
                }
                Err(fault) => return Some(Err(fault)),
            }
        }
    }
}

impl<A: Arch, M: PhysMemory + ?Sized> FusedIterator for Reverse<'_, A, M> {}
