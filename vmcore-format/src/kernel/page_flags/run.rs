//! Frames in a row of which the same is known at once.
//!
//! ```text
//!  mem_section   │ root │ 0 │ root │ ┄┄ cannot be read ┄┄ │      one step a root, or a page of roots, that is not there,
//!  struct page   │ page │ page │ ┄┄ cannot be read ┄┄ │          one a page of structures that is not there
//! ```

#![deny(clippy::arithmetic_side_effects)]

use physmem::{Pfn, PhysMemory, VirtAddr};

use super::{Frame, Pages};
use crate::{
    Error,
    kernel::{mem_section::Map, memory::behind_page},
};

impl<M: PhysMemory + ?Sized> Pages<'_, M> {
    /// A last frame, and what [`Pages::frame`] tells of `first`: of those behind it, up to the last one, it is known at once that
    /// it tells the same, namely that the kernel has no memory, or what cannot be read. The last one is `first` itself where
    /// there is memory, and never behind `last`, unless that lies before `first`: then it is `first`, too.
    ///
    /// So all frames there can be are gone through in as many steps as the kernel has roots and sections in them, and
    /// frames in the sections with memory.
    pub fn run(&self, first: Pfn, last: Pfn) -> (Pfn, Result<Option<Frame>, Error>) {
        let (alike, map) = self.sections.run(first);
        let (alike, found) = match map {
            Ok(Some(map)) => {
                let found = self.frame_in(map, first);
                let behind = match &found {
                    Err(Error::Virt(missing)) => self.behind_missing(map, first, missing.at()),
                    _ => None,
                };
                let unread = behind.and_then(|behind| behind.as_u64().checked_sub(1));
                (
                    unread.map_or(first, |unread| Pfn::new(unread).min(alike)),
                    found.map(Some),
                )
            }
            Ok(None) => (alike, Ok(None)),
            Err(error) => (alike, Err(error)),
        };
        (alike.min(last).max(first), found)
    }

    /// The first frame of whose `struct page` no byte lies in the page that is missing, if that is where
    /// the frame's own is.
    pub(super) fn behind_missing(&self, map: Map, pfn: Pfn, missing: VirtAddr) -> Option<Pfn> {
        let (page, size) = (self.sections.page_of(map, pfn), self.layout.size as u64);
        missing
            .checked_offset_from(page)
            .filter(|offset| *offset < size)?;
        let behind = behind_page(missing)?.checked_offset_from(page)?;
        let frames = behind.div_ceil(size);
        pfn.as_u64().checked_add(frames).map(Pfn::new)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::vec::Vec;

    use super::{
        super::tests::{FIRST, Made, OLD},
        *,
    };

    #[test]
    fn runs_are_what_the_frames_tell_in_few_steps() {
        let steps = |made: &Made, range: (u64, u64)| {
            made.ask(|pages| {
                let (mut next, mut steps) = (range.0, Vec::new());
                loop {
                    let (last, found) = pages.run(Pfn::new(next), Pfn::new(range.1));
                    let last = last.as_u64();
                    let told = match &found {
                        Ok(Some(_)) => "there",
                        Ok(None) => "absent",
                        Err(_) => "unknown",
                    };
                    // A run is what its frames are.
                    for pfn in [next, next.midpoint(last), last] {
                        let frame = pages.frame(Pfn::new(pfn));
                        assert_eq!(frame.is_err(), found.is_err(), "{pfn}");
                        assert_eq!(frame.ok().flatten().is_some(), told == "there", "{pfn}");
                    }
                    steps.push((next, last, told));
                    if last == range.1 {
                        return steps;
                    }
                    next = last + 1;
                }
            })
        };
        let mut made = Made::new(OLD);
        // A root is 256 sections.
        let root = 256 * FIRST;
        assert_eq!(
            steps(&made, (FIRST * 2, u64::MAX))[253..257],
            [
                (255 * FIRST, root - 1, "absent"),
                (root, 2 * root - 1, "absent"),
                (2 * root, 3 * root - 1, "absent"),
                (3 * root, 4 * root - 1, "absent"),
            ]
        );
        assert_eq!(
            steps(&made, (2047 * root, u64::MAX)),
            [
                (2047 * root, 2048 * root - 1, "absent"),
                (2048 * root, u64::MAX, "absent"),
            ]
        );
        assert_eq!(
            steps(&made, (FIRST + 8, FIRST + 9)),
            [
                (FIRST + 8, FIRST + 8, "there"),
                (FIRST + 9, FIRST + 9, "there"),
            ]
        );
        // The map of the section ends within memory: 64 of its frames are a page.
        let behind = FIRST + (0x20_0000 - 0x1_0000) / 64;
        assert_eq!(
            steps(&made, (behind + 3, behind + 70)),
            [
                (behind + 3, behind + 63, "unknown"),
                (behind + 64, behind + 70, "unknown"),
            ]
        );
        // What is asked for ends before it begins.
        assert_eq!(
            made.ask(|pages| pages.run(Pfn::new(5), Pfn::new(4))),
            (Pfn::new(5), Ok(None))
        );
        // A page of the table that cannot be read is 512 roots, one of sections is not known 256 times.
        made.laid.holes.push(8);
        assert_eq!(steps(&made, (0, root - 1)).len(), 256);
        made.laid.holes.push(0);
        assert_eq!(
            steps(&made, (5, u64::MAX))[..2],
            [
                (5, 512 * root - 1, "unknown"),
                (512 * root, 513 * root - 1, "absent"),
            ]
        );
    }
}
