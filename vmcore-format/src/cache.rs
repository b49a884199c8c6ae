//! Decoded pages, a bounded number of them.
//!
//! ```text
//!  frame   63                    n     0        way 0   way 1   way 2   way 3
//!          ├─────────────────────┼─────┤  set ─▶ frame │ frame │ frame │ frame     the one not used longest
//!          │                     │ set │         bytes │ bytes │ bytes │ bytes     makes room
//!          └─────────────────────┴─────┘
//! ```

use alloc::{vec, vec::Vec};
use core::cell::Cell;

/// Bytes of pages that a cache holds, unless [`WAYS`] pages are more: the tables of a long walk, and less than
/// a core's share of most processors' caches.
const BYTES: usize = 4 << 20;

/// Pages among which one is looked for.
const WAYS: usize = 4;

/// Never a frame's number: those end at 2^52 - 1.
const NO_FRAME: u64 = u64::MAX;

#[derive(Debug, Clone)]
struct Tag {
    frame: u64,
    used: Cell<u64>,
}

/// A set-associative cache of pages that have the same size. It takes memory when the first page comes.
#[derive(Debug)]
pub(crate) struct Cache {
    page: usize,
    tags: Vec<Tag>,
    bytes: Vec<u8>,
    clock: Cell<u64>,
}

impl Cache {
    pub(crate) const fn new(page: usize) -> Self {
        Self {
            page,
            tags: Vec::new(),
            bytes: Vec::new(),
            clock: Cell::new(0),
        }
    }

    /// The bytes of a page, if they are here.
    #[inline]
    pub(crate) fn get(&self, frame: u64) -> Option<&[u8]> {
        let first = self.first_of_set(frame)?;
        let set = self.tags.get(first..first + WAYS)?;
        let way = set.iter().position(|tag| tag.frame == frame)?;
        self.use_now(set.get(way)?);
        let at = (first + way) * self.page;
        self.bytes.get(at..at + self.page)
    }

    /// Lets `decode` write a page, and keeps it unless that fails.
    pub(crate) fn fill<E>(
        &mut self,
        frame: u64,
        decode: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<&[u8], E> {
        if self.tags.is_empty() {
            let tags = (BYTES / self.page.max(1)).max(WAYS);
            let tag = Tag {
                frame: NO_FRAME,
                used: Cell::new(0),
            };
            self.tags = vec![tag; tags];
            self.bytes = vec![0; tags * self.page];
        }
        let first = self.first_of_set(frame).unwrap_or(0);
        let set = self.tags.get(first..first + WAYS).unwrap_or_default();
        let oldest = set.iter().enumerate().min_by_key(|(_, tag)| tag.used.get());
        let slot = first + oldest.map_or(0, |(way, _)| way);
        let at = slot * self.page;
        let bytes = self.bytes.get_mut(at..at + self.page).unwrap_or_default();
        if let Some(tag) = self.tags.get_mut(slot) {
            tag.frame = NO_FRAME;
            decode(bytes)?;
            tag.frame = frame;
        }
        if let Some(tag) = self.tags.get(slot) {
            self.use_now(tag);
        }
        Ok(self.bytes.get(at..at + self.page).unwrap_or_default())
    }

    fn use_now(&self, tag: &Tag) {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        tag.used.set(now);
    }

    /// The place of the first page of a set; `None` while there is no memory.
    #[inline]
    fn first_of_set(&self, frame: u64) -> Option<usize> {
        let sets = self.tags.len() / WAYS;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the low bits are all that counts"
        )]
        let set = (frame as usize).checked_rem(sets)?;
        Some(set * WAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(cache: &mut Cache, frame: u64) {
        let filled = cache.fill(frame, |bytes| {
            bytes.fill(frame.to_le_bytes()[0]);
            Ok::<(), ()>(())
        });
        assert_eq!(filled.unwrap()[0], frame.to_le_bytes()[0]);
    }

    #[test]
    fn pages_of_a_set_make_room_for_the_newest() {
        let mut cache = Cache::new(1 << 20);
        assert_eq!(cache.get(0), None);
        for frame in 0..4 {
            fill(&mut cache, frame);
        }
        assert_eq!(cache.bytes.len(), 4 << 20);
        assert!(cache.get(0).is_some(), "used again");
        fill(&mut cache, 4);
        assert_eq!(cache.get(1), None);
        for frame in [0, 2, 3, 4] {
            assert_eq!(u64::from(cache.get(frame).unwrap()[5]), frame);
        }
    }

    #[test]
    fn neighbours_do_not_meet() {
        let mut cache = Cache::new(4096);
        for frame in 0..1024 {
            fill(&mut cache, frame);
        }
        assert!((0..1024).all(|frame| cache.get(frame).is_some()));
        assert_eq!(cache.bytes.len(), BYTES);
    }

    #[test]
    fn a_page_that_cannot_be_decoded_is_not_kept() {
        let mut cache = Cache::new(4096);
        fill(&mut cache, 7);
        assert_eq!(cache.fill(8, |_| Err("damaged")), Err("damaged"));
        assert_eq!(cache.get(8), None);
        assert!(cache.get(7).is_some());
    }
}
