//! Every block of pages, in order.

#![deny(clippy::arithmetic_side_effects)]

use physmem::{Pfn, PhysMemory};

use super::{Frame, Pages};
use crate::{Error, kernel::mem_section::Map};

/// The iterator made by [`Pages::blocks`].
///
/// Frames whose `struct page` cannot be read, or is damaged, are `Err`s, and it goes on behind them.
#[derive(Debug)]
pub struct Blocks<'p, 'm, M: ?Sized> {
    pub(super) pages: &'p Pages<'m, M>,
    pub(super) next: Option<Pfn>,
    pub(super) end: Pfn,
    /// Of the section of `next`, once it is known.
    pub(super) map: Option<Map>,
}

impl<M: PhysMemory + ?Sized> Blocks<'_, '_, M> {
    /// The block that begins with `pfn`, or the whole one around it.
    fn block(&self, map: Map, pfn: Pfn) -> Result<Frame, Error> {
        let read = self.pages.read(map, pfn)?;
        if read.compound_head & 1 != 0 {
            return self.pages.frame_in(map, pfn);
        }
        let (order, kind, excluded_by) = self.pages.block(&read)?;
        Ok(read.frame(pfn, order, kind, excluded_by))
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Blocks<'_, '_, M> {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let pfn = self.next.filter(|pfn| *pfn < self.end)?;
            let sections = &self.pages.sections;
            let found = match self.map {
                Some(map) => Ok(Some(map)),
                None => sections.map(pfn),
            };
            let behind_section = sections.behind(pfn);
            let map = match found {
                Ok(Some(map)) => map,
                Ok(None) => {
                    self.next = behind_section;
                    continue;
                }
                Err(error) => {
                    self.next = behind_section;
                    return Some(Err(error));
                }
            };
            let block = self.block(map, pfn);
            let one_further = pfn.as_u64().checked_add(1).map(Pfn::new);
            let behind = match &block {
                Ok(frame) => {
                    let pages = 1_u64.checked_shl(frame.order.into());
                    pages
                        .and_then(|pages| frame.head.as_u64().checked_add(pages))
                        .map(Pfn::new)
                }
                Err(Error::Virt(missing)) => self.pages.behind_missing(map, pfn, missing.at()),
                Err(_) => None,
            };
            self.next = behind.max(one_further);
            // Sections may have maps of their own, and holes between them.
            let goes_on = self
                .next
                .zip(behind_section)
                .is_some_and(|(next, end)| next < end);
            self.map = goes_on.then_some(map);
            return Some(block);
        }
    }
}
