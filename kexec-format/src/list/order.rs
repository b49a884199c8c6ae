//! Whether a list reads each page before it overwrites it, in whatever order it is performed.
//!
//! ```text
//!  uses         run            page of entries       run
//!  source       0x7000 (2)     0x9000                0x200000 (1)
//!  destination  0x100000 (2)   0x9000, its own       0x200000 (1)
//!
//!  sorted by source ───────▶ two that share a page?
//!  sorted by destination ──▶ two that share a page? a source in one of them that is not its own?
//! ```
//!
//! Linux's rule: a source page is its own destination or none at all, a page of entries is none, and
//! each is there once. A list that keeps to it can be performed by copy or by exchange, from either end.
//!
//! Source: `kimage_alloc_page()` in Linux `kernel/kexec_core.c`.

use core::fmt;

use physmem::{PhysAddr, PhysMemory};

use super::{Cursor, List, Run};
use crate::error::{Error, Result};

/// How two uses of a page exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clash {
    /// It is a source twice.
    TwoDestinations,
    /// It is a destination twice.
    TwoSources,
    /// It is a source, and another page's destination.
    Overwritten,
    /// It is a page of entries, and a source or a destination.
    Entries,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoDestinations => "the list moves it to two places",
            Self::TwoSources => "the list moves two pages there",
            Self::Overwritten => "the list moves it, and moves another page there",
            Self::Entries => "it holds entries of the list, which moves it or a page there",
        })
    }
}

impl List {
    /// How many runs of scratch [`List::verify`] needs: one for each run and page of entries, or more.
    ///
    /// # Errors
    ///
    /// `BadList`.
    pub fn verify_len<M: PhysMemory + ?Sized>(self, memory: &M) -> Result<usize> {
        let mut len = 0_usize;
        // Saturating: scratch for that many does not exist.
        self.uses(memory, |_| len = len.saturating_add(1))?;
        Ok(len)
    }

    /// Checks that each page is read before it is overwritten, and that none is there twice: the rule by
    /// which `kimage_alloc_page()` of Linux and [`Builder`](super::Builder) choose pages. It is stricter than a copy
    /// in the list's order needs.
    ///
    /// What `scratch` holds does not matter, and is lost. With n runs and pages of entries it takes
    /// O(n log n).
    ///
    /// # Errors
    ///
    /// `BadList` for a list that cannot be read, `Clash` for a page that is used twice, `Truncated` when
    /// `scratch` has less than [`List::verify_len`].
    pub fn verify<M: PhysMemory + ?Sized>(self, memory: &M, scratch: &mut [Run]) -> Result<()> {
        const RUN: u64 = size_of::<Run>() as u64;
        let mut len = 0_usize;
        self.uses(memory, |used| {
            if let Some(slot) = scratch.get_mut(len) {
                *slot = used;
            }
            // Saturating, here and below: scratch for that many does not exist.
            len = len.saturating_add(1);
        })?;
        let available = (scratch.len() as u64).saturating_mul(RUN);
        let uses = scratch.get_mut(..len).ok_or(Error::Truncated {
            what: "scratch for runs",
            offset: 0,
            needed: (len as u64).saturating_mul(RUN),
            available,
        })?;
        match self.clash(uses) {
            None => Ok(()),
            Some((page, clash)) => {
                let mut entries = false;
                let mut cursor = Cursor::new(self);
                while let Some(used) = cursor.next_use(memory)? {
                    entries |= matches!(used, Use::Entries(at) if at == page);
                }
                let clash = if entries { Clash::Entries } else { clash };
                Err(Error::Clash { page, clash })
            }
        }
    }

    /// What the list moves, and its pages of entries as if they were in place.
    fn uses<M: PhysMemory + ?Sized>(self, memory: &M, mut tell: impl FnMut(Run)) -> Result<()> {
        let mut cursor = Cursor::new(self);
        let mut run: Option<Run> = None;
        while let Some(used) = cursor.next_use(memory)? {
            let next = used.as_run();
            match &mut run {
                // Cannot saturate: no list has 2^64 pages.
                Some(run) if self.continues(*run, next) => run.pages = run.pages.saturating_add(1),
                _ => run.replace(next).into_iter().for_each(&mut tell),
            }
        }
        run.into_iter().for_each(tell);
        Ok(())
    }

    /// Whether the page of `next` comes right behind those of `run`.
    fn continues(self, run: Run, next: Run) -> bool {
        let behind = |first, next: PhysAddr| {
            self.last(first, run.pages).as_u64().checked_add(1) == Some(next.as_u64())
        };
        behind(run.source, next.source) && behind(run.destination, next.destination)
    }

    /// The last byte of `pages` pages.
    fn last(self, first: PhysAddr, pages: u64) -> PhysAddr {
        let len = pages.wrapping_shl(self.format.page.as_u8().into());
        // Wrapping: no page passes the end of the address space.
        PhysAddr::new(first.as_u64().wrapping_add(len).wrapping_sub(1))
    }

    /// A page that is used twice.
    fn clash(self, uses: &mut [Run]) -> Option<(PhysAddr, Clash)> {
        let source_last = |used: &Run| self.last(used.source, used.pages);
        let destination_last = |used: &Run| self.last(used.destination, used.pages);

        uses.sort_unstable_by_key(|used| used.source);
        let mut pairs = uses.iter().zip(uses.iter().skip(1));
        if let Some((_, used)) = pairs.find(|(before, used)| source_last(before) >= used.source) {
            return Some((used.source, Clash::TwoDestinations));
        }
        uses.sort_unstable_by_key(|used| used.destination);
        let mut pairs = uses.iter().zip(uses.iter().skip(1));
        let shared = pairs.find(|(before, used)| destination_last(before) >= used.destination);
        if let Some((_, used)) = shared {
            return Some((used.destination, Clash::TwoSources));
        }
        let mut moved = uses.iter().filter(|used| used.source != used.destination);
        moved.find_map(|used| {
            let first = uses.partition_point(|other| destination_last(other) < used.source);
            let other = uses.get(first)?;
            let page = used.source.max(other.destination);
            (page <= source_last(used)).then_some((page, Clash::Overwritten))
        })
    }
}

/// What a list uses a page for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// It is moved, or stays where it is: a run of one page.
    Source(Run),
    /// It holds entries.
    Entries(PhysAddr),
}

impl Use {
    const fn as_run(self) -> Run {
        match self {
            Self::Source(run) => run,
            Self::Entries(page) => Run {
                destination: page,
                source: page,
                pages: 1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use physmem::Region;
    use proptest::prelude::*;

    use super::*;
    use crate::{Decoding, Format, KimageEntry};

    /// What is said of a list in the page at 0xf000, or in more of them, 0xff000 bytes apart.
    fn verify(pages: &[&[u64]]) -> Result<()> {
        let mut bytes = vec![0; 0x10_0000 * pages.len()];
        for (page, words) in bytes.chunks_exact_mut(0x10_0000).zip(pages) {
            for (out, word) in page[0xf000..].chunks_exact_mut(8).zip(*words) {
                out.copy_from_slice(&word.to_le_bytes());
            }
        }
        let memory = Region::try_new(PhysAddr::new(0), bytes).unwrap();
        let list = List {
            head: KimageEntry::new(0xf002),
            format: Format::LE64_4K,
            decoding: Decoding::Strict,
        };
        let len = list.verify_len(&memory)?;
        let short = list.verify(&memory, &mut vec![Run::default(); len - 1]);
        let (needed, available) = (len as u64 * 24, (len as u64 - 1) * 24);
        assert_eq!(
            short,
            Err(Error::Truncated {
                what: "scratch for runs",
                offset: 0,
                needed,
                available
            })
        );
        list.verify(&memory, &mut vec![Run::default(); len])
    }

    fn clash(page: u64, clash: Clash) -> Result<()> {
        let page = PhysAddr::new(page);
        Err(Error::Clash { page, clash })
    }

    #[test]
    fn a_page_is_its_own_destination_or_none() {
        let sound = [0x1001, 0x1008, 0x7008, 0x8008, 0x9001, 0x9008, 0x5008, 4];
        assert_eq!(verify(&[&sound]), Ok(()));
        assert_eq!(verify(&[&[4]]), Ok(()));
        for (words, page, how) in [
            // The same page twice, alone and inside a run.
            (
                &[0x1001, 0x7008, 0x7008][..],
                0x7000,
                Clash::TwoDestinations,
            ),
            (
                &[0x1001, 0x6008, 0x7008, 0x3001, 0x7008],
                0x7000,
                Clash::TwoDestinations,
            ),
            // Two pages to one place.
            (&[0x1001, 0x7008, 0x1001, 0x8008], 0x1000, Clash::TwoSources),
            (
                &[0x1001, 0x7008, 0x8008, 0x2001, 0x9008],
                0x2000,
                Clash::TwoSources,
            ),
            // Overwritten before it is read, after it was, and by its neighbour.
            (
                &[0x1001, 0x7008, 0x5001, 0x1008],
                0x1000,
                Clash::Overwritten,
            ),
            (
                &[0x5001, 0x1008, 0x1001, 0x7008],
                0x1000,
                Clash::Overwritten,
            ),
            (&[0x2001, 0x1008, 0x2008], 0x2000, Clash::Overwritten),
            (&[0x1001, 0x2008, 0x3008], 0x2000, Clash::Overwritten),
            // The entries.
            (&[0xf001, 0x7008], 0xf000, Clash::Entries),
            (&[0xe001, 0x7008, 0x8008], 0xf000, Clash::Entries),
            (&[0x1001, 0xf008], 0xf000, Clash::Entries),
            (&[0xf001, 0xf008], 0xf000, Clash::Entries),
        ] {
            let words = [words, &[4]].concat();
            assert_eq!(verify(&[&words]), clash(page, how), "{words:x?}");
        }
    }

    #[test]
    fn every_page_of_entries_is_looked_at() {
        let first = [0x1001, 0x7008, 0x10_f002];
        assert_eq!(verify(&[&first, &[0x8008, 4]]), Ok(()));
        let second = [0x10_f001, 0x8008, 4];
        assert_eq!(verify(&[&first, &second]), clash(0x10_f000, Clash::Entries));
        let again = verify(&[&first, &[0x7008, 4]]).unwrap_err();
        assert_eq!(
            again.to_string(),
            "page 0x7000: the list moves it to two places (never made by kimage_alloc_page())"
        );
    }

    proptest! {
        /// Runs in any places, against a look at each page.
        #[test]
        fn it_says_what_the_pages_say(
            runs in prop::collection::vec((0..14_u64, 0..14_u64, 1..4_u64), 1..4),
        ) {
            let mut words = Vec::new();
            let mut pages = vec![(15, 15)];
            for (to, from, count) in runs {
                words.push(to << 12 | 1);
                words.extend((from..from + count).map(|page| page << 12 | 8));
                pages.extend((from..from + count).zip(to..));
            }
            words.push(4);
            let excluded = pages.iter().enumerate().any(|(number, &(from, to))| {
                let others = pages.iter().enumerate().filter(|(other, _)| *other != number);
                let mut others = others.map(|(_, other)| *other);
                others.any(|(source, destination)| {
                    from == source || to == destination || from == destination
                })
            });
            prop_assert_eq!(verify(&[&words]).is_err(), excluded);
        }
    }
}
