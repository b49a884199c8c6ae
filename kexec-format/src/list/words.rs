//! The words of a list that is read, and the links it took.
//!
//! ```text
//!  page of entries   │ used │ read ahead │ unread │
//!                           ▲ in view
//! ```

use physmem::{Endian, MemError, PageShift, PhysAddr, PhysMemory, Width};

use super::{List, ListRule};
use crate::{
    entry::{Format, KimageEntry},
    error::{Error, Result},
};

/// Bytes of the list that are read at once.
const CHUNK: usize = 512;
/// Words in them, when they are of 32 bits.
const CHUNK_WORDS: usize = CHUNK / 4;

/// Entries that were read and not yet used.
#[derive(Debug, Clone)]
pub(super) struct Words {
    values: [u64; CHUNK_WORDS],
    /// Those of `values` that were read.
    len: usize,
    /// The word in view.
    position: usize,
    /// The address of the first of them; the head has none.
    start: Option<PhysAddr>,
    /// Bytes in a word.
    size: u64,
    /// Bytes of this page that were not yet read.
    unread: u64,
    /// The entry that led here, and its address.
    link: (u64, Option<PhysAddr>),
}

impl Words {
    /// The head of `list` in view.
    pub(super) fn head(list: List) -> Self {
        let mut values = [0; CHUNK_WORDS];
        if let Some(first) = values.first_mut() {
            *first = list.head.as_u64();
        }
        Self {
            values,
            len: 1,
            position: 0,
            start: None,
            size: list.format.width.bytes() as u64,
            unread: 0,
            link: (list.head.as_u64(), None),
        }
    }

    /// Whether the word in view is the head, which is in no page.
    #[inline]
    pub(super) fn is_head(&self) -> bool {
        self.start.is_none()
    }

    /// The word in view.
    #[inline]
    pub(super) fn peek<M: PhysMemory + ?Sized>(
        &mut self,
        memory: &M,
        format: Format,
    ) -> Result<KimageEntry> {
        if self.position >= self.len {
            self.refill(memory, format)?;
        }
        Ok(KimageEntry::new(self.value()))
    }

    #[inline]
    fn value(&self) -> u64 {
        self.values.get(self.position).copied().unwrap_or_default()
    }

    fn refill<M: PhysMemory + ?Sized>(&mut self, memory: &M, format: Format) -> Result<()> {
        let (Some(at), true) = (self.at(), self.unread >= self.size) else {
            return Err(self.unlinked());
        };
        let wanted = usize::try_from(self.unread.min(CHUNK as u64)).unwrap_or(CHUNK);
        match memory.lend(at, wanted) {
            Some(lent) => self.take(lent, at, format),
            None => self.read_ahead(memory, at, wanted, format)?,
        }
        Ok(())
    }

    /// Reads up to `wanted` bytes of entries at `at`, at least a word.
    #[inline(never)]
    fn read_ahead<M: PhysMemory + ?Sized>(
        &mut self,
        memory: &M,
        at: PhysAddr,
        wanted: usize,
        format: Format,
    ) -> Result<()> {
        let mut bytes = [0; CHUNK];
        let (entry, link_at) = self.link;
        let unreadable = |MemError { why, .. }| Error::BadList {
            rule: ListRule::Unreadable(why),
            at: link_at,
            entry,
        };
        let (mut read, _) = bytes.split_at_mut(wanted);
        if memory.read(at, read).is_err() {
            // A chunk that is only half there may still hold the end of the list.
            (read, _) = bytes.split_at_mut(format.width.bytes());
            memory.read(at, read).map_err(unreadable)?;
        }
        self.take(read, at, format);
        Ok(())
    }

    /// Takes up the entries that are at `at`.
    #[inline]
    fn take(&mut self, read: &[u8], at: PhysAddr, format: Format) {
        let values = &mut self.values;
        let len = match (format.width, format.endian) {
            (Width::U32, Endian::Little) => decode(read, values, |b| u32::from_le_bytes(b).into()),
            (Width::U32, Endian::Big) => decode(read, values, |b| u32::from_be_bytes(b).into()),
            (Width::U64, Endian::Little) => decode(read, values, u64::from_le_bytes),
            (Width::U64, Endian::Big) => decode(read, values, u64::from_be_bytes),
        };
        (self.start, self.len, self.position) = (Some(at), len, 0);
        // Cannot saturate: no more was read than there was.
        self.unread = self.unread.saturating_sub(read.len() as u64);
    }

    /// The page has ended, and its last word was neither link nor end.
    fn unlinked(&self) -> Error {
        // Saturating: a page without a word has none that is last, and none to show.
        let last = self.len.saturating_sub(1);
        Error::BadList {
            rule: ListRule::NoLink,
            at: self.at_word(last),
            entry: self.values.get(last).copied().unwrap_or_default(),
        }
    }

    /// The word in view breaks `rule`.
    pub(super) fn broken(&self, rule: ListRule) -> Error {
        Error::BadList {
            rule,
            at: self.at(),
            entry: self.value(),
        }
    }

    /// What was read, from the word in view on.
    #[inline]
    pub(super) fn rest(&self) -> &[u64] {
        self.values.get(self.position..self.len).unwrap_or_default()
    }

    /// Passes over words that were read.
    #[inline]
    pub(super) fn advance(&mut self, words: usize) {
        // Cannot saturate: nobody passes over what was not read, and that is in an array.
        self.position = self.position.saturating_add(words);
    }

    /// Where the word in view is, and how many bytes of its page there are from it on; `None` for the head.
    #[inline]
    pub(super) fn unused(&self) -> Option<(PhysAddr, usize)> {
        let read = self.rest().len() as u64;
        let len = read.checked_mul(self.size)?.checked_add(self.unread)?;
        Some((self.at()?, usize::try_from(len).ok()?))
    }

    /// Passes over words of this page, whether they were read or not.
    #[inline]
    pub(super) fn skip(&mut self, words: u64) {
        let read = self.rest().len() as u64;
        // Saturating: a place behind all that was read, as the sum would be.
        let position = (self.position as u64).saturating_add(words);
        self.position = usize::try_from(position).unwrap_or(usize::MAX);
        if let Some(beyond @ 1..) = words.checked_sub(read) {
            // What is left unread begins there.
            self.start = self.at();
            (self.len, self.position) = (0, 0);
            // Saturating: who passes over more than there is finds the page at its end.
            self.unread = self.unread.saturating_sub(beyond.saturating_mul(self.size));
        }
    }

    /// The address of the word in view.
    fn at(&self) -> Option<PhysAddr> {
        self.at_word(self.position)
    }

    fn at_word(&self, position: usize) -> Option<PhysAddr> {
        // Wrapping: only after the last word of the address space, when no more is read.
        let offset = (position as u64).wrapping_mul(self.size);
        let start = self.start?.as_u64();
        Some(PhysAddr::new(start.wrapping_add(offset)))
    }

    /// Passes over words that move the pages from `next` on, one after the other, and at most `most`
    /// of them.
    #[inline]
    pub(super) fn take_successors(&mut self, next: PhysAddr, shift: u8, most: u64) -> u64 {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut expected = KimageEntry::source(next).as_u64();
        let successors = self.rest().iter().take(most).take_while(|&&word| {
            let same = word == expected;
            // Wrapping: only after the last of `most`.
            expected = expected.wrapping_add(1 << shift);
            same
        });
        let taken = successors.count();
        self.advance(taken);
        taken as u64
    }

    /// Goes on in the page at `target`.
    pub(super) fn go_to(&mut self, target: PhysAddr, page: PageShift) {
        self.link = (self.value(), self.at());
        self.start = Some(target);
        // Cannot saturate: an offset in a page is below the page's size.
        self.unread = page.bytes().saturating_sub(target.page_offset(page));
        (self.len, self.position) = (0, 0);
    }
}

/// Decodes the words of `N` bytes in `read`, and returns how many they are.
fn decode<const N: usize>(read: &[u8], out: &mut [u64], word: impl Fn([u8; N]) -> u64) -> usize {
    let words = read.chunks_exact(N);
    let len = words.len();
    for (out, bytes) in out.iter_mut().zip(words) {
        // A chunk has N bytes.
        *out = word(bytes.try_into().unwrap_or([0; N]));
    }
    len
}

/// The links gone through: every target is compared with one of those before it, and that one is
/// moved up whenever their number has doubled.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    mark: Option<PhysAddr>,
    since_mark: u64,
    until_next_mark: u64,
}

impl Links {
    /// Notes a target; `false`, and nothing noted, if it was there before.
    pub(super) fn visit(&mut self, target: PhysAddr) -> bool {
        if self.mark == Some(target) {
            return false;
        }
        if self.since_mark == self.until_next_mark {
            self.mark = Some(target);
            self.since_mark = 0;
            // Saturating: no memory has room for 2^63 pages.
            self.until_next_mark = self.until_next_mark.saturating_mul(2).max(1);
        } else {
            // Cannot saturate: it is below `until_next_mark`.
            self.since_mark = self.since_mark.saturating_add(1);
        }
        true
    }
}
