//! Reading a list.
//!
//! ```text
//!  DEST 0x100000 · SRC 0x7000 · SRC 0x8000 · SRC 0x4000 · link ▶ SRC 0x5000 · DEST 0x300000 …
//!  └──────────── run of 2 ──────────────┘   └──────── run of 2 ────────────┘   └─ …
//! ```
//!
//! A run is pages whose sources follow each other, as their destinations do; it goes on over links
//! and ends with a `DESTINATION`.
//!
//! Work: each page of entries is read at most three times, whatever the links say; a list that ends
//! is read once. A link leads to the same words each time, so a list has a loop exactly if a link's
//! target comes again, and Brent's method finds that without remembering all targets.

use physmem::{Endian, PhysAddr, PhysMemory, Width};

use super::{
    List, ListRule,
    order::Use,
    words::{Links, Words},
};
use crate::{
    entry::{Decoding, EntryFlags, Format, KimageEntry, Step},
    error::Result,
    word,
};

/// Pages that are moved together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Run {
    /// Where the first one goes.
    pub destination: PhysAddr,
    /// Where the first one is.
    pub source: PhysAddr,
    /// How many they are.
    pub pages: u64,
}

/// The runs of a list, made by [`List::runs`]; a broken entry is an error, then the end.
#[derive(Debug, Clone)]
pub struct Runs<'m, M: ?Sized> {
    memory: &'m M,
    cursor: Option<Cursor>,
}

impl<'m, M: PhysMemory + ?Sized> Runs<'m, M> {
    pub(super) fn new(memory: &'m M, cursor: Cursor) -> Self {
        Self {
            memory,
            cursor: Some(cursor),
        }
    }

    #[inline(never)]
    fn seek(&mut self) -> Option<Result<Run>> {
        let found = self.cursor.as_mut()?.seek_run(self.memory).transpose();
        if !matches!(found, Some(Ok(_))) {
            self.cursor = None;
        }
        found
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Runs<'_, M> {
    type Item = Result<Run>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.cursor.as_mut()?.run_in_view() {
            Some(run) => Some(Ok(run)),
            None => self.seek(),
        }
    }

    /// Faster than one [`Runs::next`] after the other where runs are short: what is known of the words in
    /// view stays in registers.
    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: F) -> B {
        let mut accumulated = init;
        while let Some(cursor) = &mut self.cursor {
            accumulated = cursor.fold_page(self.memory, accumulated, |sum, run| f(sum, Ok(run)));
            match self.seek() {
                Some(found) => accumulated = f(accumulated, found),
                None => break,
            }
        }
        accumulated
    }
}

impl<M: PhysMemory + ?Sized> core::iter::FusedIterator for Runs<'_, M> {}

/// A place in a list, without the memory: for whoever writes to it in between.
///
/// Up to 512 bytes of entries are read ahead.
#[derive(Debug, Clone)]
pub struct Cursor {
    format: Format,
    decoding: Decoding,
    words: Words,
    links: Links,
    /// Where the next page goes.
    destination: Option<PhysAddr>,
}

impl Cursor {
    /// The start of `list`.
    #[must_use]
    pub fn new(list: List) -> Self {
        Self {
            format: list.format,
            decoding: list.decoding,
            words: Words::head(list),
            links: Links::default(),
            destination: None,
        }
    }

    /// The next run, `None` at the end of the list.
    ///
    /// # Errors
    ///
    /// `BadList`. After an error, and after the end, what follows means nothing.
    #[inline]
    pub fn next_run<M: PhysMemory + ?Sized>(&mut self, memory: &M) -> Result<Option<Run>> {
        match self.run_in_view() {
            Some(run) => Ok(Some(run)),
            None => self.seek_run(memory),
        }
    }

    /// The run that begins with the word in view, if that and the word which ends it were read.
    #[inline]
    fn run_in_view(&mut self) -> Option<Run> {
        let page = self.format.page;
        let (&first, rest) = self.words.rest().split_first()?;
        let entry = KimageEntry::new(first);
        if self.words.is_head() || entry.flags(page) != EntryFlags::SOURCE {
            return None;
        }
        let shift = page.as_u8();
        let mut expected = first;
        let more = rest.iter().take_while(|&&word| {
            // Wrapping: such a run is longer than there is room for.
            expected = expected.wrapping_add(1 << shift);
            word == expected
        });
        let more = more.count();
        // Over a link a run goes on, and with a word that is only read as a source it may.
        let end = KimageEntry::new(*rest.get(more)?).flags(page);
        if end != EntryFlags::SOURCE && end != EntryFlags::DESTINATION {
            return None;
        }
        let (source, destination) = (entry.address(page), self.destination?);
        // Saturating: no slice is that long.
        let words = more.saturating_add(1);
        let pages = words as u64;
        if self.most_pages(source, destination) < pages {
            return None;
        }
        self.words.advance(words);
        self.destination = Some(advanced(destination, pages, shift));
        Some(Run {
            destination,
            source,
            pages,
        })
    }

    /// The runs from the word in view on that lie, with the word that ends each, in this page of entries, or
    /// where the memory does not lend it among the words that were read.
    #[inline]
    fn fold_page<M: PhysMemory + ?Sized, B>(
        &mut self,
        memory: &M,
        init: B,
        f: impl FnMut(B, Run) -> B,
    ) -> B {
        let (Some(destination), Some((at, len))) = (self.destination, self.words.unused()) else {
            return init;
        };
        let format = self.format;
        let lent = match (format.width, format.endian) {
            (Width::U64, Endian::Little) => memory.lend(at, len),
            _ => None,
        };
        let (accumulated, told) = match lent {
            Some(lent) => {
                // A chunk has the bytes of a word.
                let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
                fold_words(lent.chunks_exact(8).map(word), destination, format, init, f)
            }
            None => {
                let words = self.words.rest().iter().copied();
                fold_words(words, destination, format, init, f)
            }
        };
        self.destination = Some(advanced(destination, told, format.page.as_u8()));
        self.words.skip(told);
        accumulated
    }

    /// Goes on to the next run, which may be anywhere.
    #[inline(never)]
    fn seek_run<M: PhysMemory + ?Sized>(&mut self, memory: &M) -> Result<Option<Run>> {
        loop {
            match self.seek_page(memory)? {
                Step::Indirection(page) => self.follow(page)?,
                Step::Source(page) => return self.run(memory, page).map(Some),
                _ => return Ok(None),
            }
        }
    }

    /// What the next page is for that is moved or has entries; `None` at the end of the list.
    pub(super) fn next_use<M: PhysMemory + ?Sized>(&mut self, memory: &M) -> Result<Option<Use>> {
        match self.seek_page(memory)? {
            Step::Indirection(page) => {
                self.follow(page)?;
                Ok(Some(Use::Entries(page.align_down(self.format.page))))
            }
            Step::Source(source) => {
                let (destination, _) = self.first_page(source)?;
                let shift = self.format.page.as_u8();
                self.destination = Some(advanced(destination, 1, shift));
                Ok(Some(Use::Source(Run {
                    destination,
                    source,
                    pages: 1,
                })))
            }
            _ => Ok(None),
        }
    }

    /// Goes on to the next word that names a page to move or of entries, or ends the list.
    #[inline]
    fn seek_page<M: PhysMemory + ?Sized>(&mut self, memory: &M) -> Result<Step> {
        loop {
            let step = self.step(memory)?;
            let may_be_head = matches!(step, Step::Indirection(_) | Step::Done);
            if self.words.is_head() && !may_be_head {
                return Err(self.words.broken(ListRule::Head));
            }
            match step {
                Step::Nothing => self.words.advance(1),
                Step::Destination(page) => {
                    self.destination = Some(page);
                    self.words.advance(1);
                }
                Step::Indirection(_) | Step::Source(_) | Step::Done => return Ok(step),
            }
        }
    }

    /// How many pages from `source` on may go to `destination` and beyond, so that neither they nor
    /// their places reach the end of the address space.
    #[inline]
    fn most_pages(&self, source: PhysAddr, destination: PhysAddr) -> u64 {
        let highest = source.max(destination).as_u64();
        // Saturating: odd decodings take addresses as they are.
        word::max(self.format.width).saturating_sub(highest) >> self.format.page.as_u8()
    }

    /// Passes over the word in view, which moves the page at `source`: where to, and how many may follow.
    #[inline]
    fn first_page(&mut self, source: PhysAddr) -> Result<(PhysAddr, u64)> {
        let Some(destination) = self.destination else {
            return Err(self.words.broken(ListRule::NoDestination));
        };
        let most = self.most_pages(source, destination);
        if most == 0 {
            return Err(self.words.broken(ListRule::Wraps));
        }
        self.words.advance(1);
        Ok((destination, most))
    }

    /// The run that begins with the word in view, which moves the page at `source`.
    #[inline]
    fn run<M: PhysMemory + ?Sized>(&mut self, memory: &M, source: PhysAddr) -> Result<Run> {
        let shift = self.format.page.as_u8();
        let (destination, most) = self.first_page(source)?;
        let mut pages = 1_u64;
        while pages < most {
            let next = advanced(source, pages, shift);
            let left = most.saturating_sub(pages);
            let more = self.words.take_successors(next, shift, left);
            pages = pages.saturating_add(more);
            if pages >= most {
                break;
            }
            // Whatever is wrong with a word, the next call finds it again.
            match self.step(memory) {
                Ok(Step::Source(page)) if page == advanced(source, pages, shift) => {
                    self.words.advance(1);
                    pages = pages.saturating_add(1);
                }
                Ok(Step::Indirection(page)) if self.follow(page).is_ok() => {}
                _ => break,
            }
        }
        self.destination = Some(advanced(destination, pages, shift));
        Ok(Run {
            destination,
            source,
            pages,
        })
    }

    /// What the word in view does.
    #[inline]
    fn step<M: PhysMemory + ?Sized>(&mut self, memory: &M) -> Result<Step> {
        let entry = self.words.peek(memory, self.format)?;
        self.decoding
            .decode(entry, self.format.page)
            .map_err(|rule| self.words.broken(rule))
    }

    /// Goes on in the page of entries at `target`, unless that closes a loop.
    fn follow(&mut self, target: PhysAddr) -> Result<()> {
        if !self.links.visit(target) {
            return Err(self.words.broken(ListRule::Loop));
        }
        self.words.go_to(target, self.format.page);
        Ok(())
    }
}

/// The runs that the first of these words begin and others of them end, and how many pages they have. A
/// word that is no source ends what is told, and so does a run that may go on behind it or would reach the
/// end of the address space.
#[inline]
fn fold_words<B>(
    mut words: impl ExactSizeIterator<Item = u64>,
    start: PhysAddr,
    format: Format,
    init: B,
    mut f: impl FnMut(B, Run) -> B,
) -> (B, u64) {
    const SOURCE: u64 = EntryFlags::SOURCE.bits();
    let (shift, size) = (format.page.as_u8(), format.page.bytes());
    let max = word::max(format.width);
    let flags = |word: u64| word & size.wrapping_sub(1);

    // Each word may move a page. A page of entries has less of them than 2^30.
    let room = (words.len() as u64) << shift;
    let first = words.next().filter(|&word| flags(word) == SOURCE);
    let (Some(mut first), true) = (first, max.saturating_sub(start.as_u64()) >= room) else {
        return (init, 0);
    };
    let (mut accumulated, mut destination) = (init, start.as_u64());
    // Wrapping, here and below: a run that does is longer than there is room for.
    let mut expected = first.wrapping_add(size);
    for word in words {
        if word == expected {
            expected = expected.wrapping_add(size);
            continue;
        }
        let is_source = flags(word) == SOURCE;
        if !is_source && flags(word) != EntryFlags::DESTINATION.bits() {
            break;
        }
        let (source, len) = (first ^ SOURCE, expected.wrapping_sub(first));
        // No word holds more than `max`.
        if max.wrapping_sub(source) < len {
            break;
        }
        let run = Run {
            destination: PhysAddr::new(destination),
            source: PhysAddr::new(source),
            pages: len >> shift,
        };
        accumulated = f(accumulated, run);
        destination = destination.wrapping_add(len);
        (first, expected) = (word, word.wrapping_add(size));
        if !is_source {
            break;
        }
    }
    // A word for each page that was told.
    let told = destination.wrapping_sub(start.as_u64()) >> shift;
    (accumulated, told)
}

/// The address `pages` pages above `from`, which the caller knows to exist.
#[inline]
const fn advanced(from: PhysAddr, pages: u64, shift: u8) -> PhysAddr {
    // Wrapping: see `Cursor::most_pages`.
    PhysAddr::new(from.as_u64().wrapping_add(pages << shift))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use physmem::Region;

    use super::*;
    use crate::Error;

    /// A list of 4 KiB pages of entries, one after the other from 0x1000 on, that begin with `pages`.
    fn walk(pages: &[&[u64]], head: u64) -> Vec<Result<Run>> {
        let mut bytes = std::vec![0; pages.len() * 0x1000];
        for (page, words) in bytes.chunks_exact_mut(0x1000).zip(pages) {
            for (out, word) in page.chunks_exact_mut(8).zip(*words) {
                out.copy_from_slice(&word.to_le_bytes());
            }
        }
        let memory = Region::try_new(PhysAddr::new(0x1000), bytes).unwrap();
        let list = List {
            head: KimageEntry::new(head),
            format: Format::LE64_4K,
            decoding: Decoding::Strict,
        };
        let runs: Vec<_> = list.runs(&memory).collect();
        assert_eq!(folded(list, &memory), runs);
        assert_eq!(folded(list, &Unlent(&memory)), runs);
        runs
    }

    /// The runs by `fold`, which `collect` does not use.
    fn folded(list: List, memory: &impl PhysMemory) -> Vec<Result<Run>> {
        list.runs(memory).fold(Vec::new(), |mut runs, run| {
            runs.push(run);
            runs
        })
    }

    /// A memory that does not lend.
    struct Unlent<M>(M);

    impl<M: PhysMemory> PhysMemory for Unlent<M> {
        fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), physmem::MemError> {
            self.0.read(at, out)
        }

        fn next_run(&self, from: PhysAddr) -> Option<physmem::PhysRange> {
            self.0.next_run(from)
        }
    }

    /// Pages full of runs of every length, so that they begin and end at every place of what is read at
    /// once.
    #[test]
    fn long_lists_fold_as_they_iterate() {
        for longest in 1..9 {
            let mut source = 0x7_0000;
            let words = (0..3 * 511_u64).map(|number| {
                let step = if number % longest == 0 {
                    0x2000
                } else {
                    0x1000
                };
                source += step;
                source | 8
            });
            let mut words: Vec<u64> = words.collect();
            words[0] = 0x10_0001;
            words[700] = 0x800_0001;
            let pages: Vec<Vec<u64>> = words
                .chunks(511)
                .zip(2..)
                .map(|(words, next)| [words, &[next << 12 | 2]].concat())
                .collect();
            let mut pages: Vec<&[u64]> = pages.iter().map(Vec::as_slice).collect();
            pages.push(&[4]);
            let moved: u64 = walk(&pages, 0x1002)
                .iter()
                .flatten()
                .map(|run| run.pages)
                .sum();
            assert_eq!(moved, 3 * 511 - 2);
        }
    }

    fn run(destination: u64, source: u64, pages: u64) -> Result<Run> {
        Ok(Run {
            destination: destination.into(),
            source: source.into(),
            pages,
        })
    }

    fn broken(rule: ListRule, at: u64, entry: u64) -> Result<Run> {
        Err(Error::BadList {
            rule,
            at: Some(at.into()),
            entry,
        })
    }

    #[test]
    fn runs_go_over_links_and_end_at_destinations() {
        let first = [0x10_0001, 0x7_0008, 0x7_1008, 0x4_0008, 0x2002];
        let second = [0x4_1008, 0x30_0001, 0x4_2008, 4];
        let expected = [
            run(0x10_0000, 0x7_0000, 2),
            run(0x10_2000, 0x4_0000, 2),
            run(0x30_0000, 0x4_2000, 1),
        ];
        assert_eq!(walk(&[&first, &second], 0x1002), expected);
    }

    /// The page that would reach the end of the address space is the one that is refused.
    #[test]
    fn a_run_stops_before_the_end_of_the_address_space() {
        let words = [0xffff_ffff_ffff_d001, 0x4008, 0x5008, 0x6008, 0x7008, 4];
        let expected = [
            run(0xffff_ffff_ffff_d000, 0x4000, 2),
            broken(ListRule::Wraps, 0x1018, 0x6008),
        ];
        assert_eq!(walk(&[&words], 0x1002), expected);
    }

    #[test]
    fn an_empty_list_is_its_head() {
        assert_eq!(walk(&[&[]], 4), []);
    }

    #[test]
    fn heads_are_links_or_ends() {
        let head = |entry| {
            let rule = ListRule::Head;
            [Err(Error::BadList {
                rule,
                at: None,
                entry,
            })]
        };
        assert_eq!(walk(&[&[]], 0x1001), head(0x1001));
        assert_eq!(walk(&[&[]], 0x1008), head(0x1008));
        let zero = Err(Error::BadList {
            rule: ListRule::Zero,
            at: None,
            entry: 0,
        });
        assert_eq!(walk(&[&[]], 0), [zero]);
    }

    #[test]
    fn an_error_comes_after_what_was_right() {
        let start = [0x10_0001, 0x7_0008];
        let with = |words: &[u64]| walk(&[&[&start, words].concat()], 0x1002);
        let first = run(0x10_0000, 0x7_0000, 1);
        assert_eq!(with(&[0]), [first, broken(ListRule::Zero, 0x1010, 0)]);
        let several = broken(ListRule::SeveralTypes, 0x1010, 0x5003);
        assert_eq!(with(&[0x5003]), [first, several]);
        let loops = broken(ListRule::Loop, 0x1010, 0x1002);
        assert_eq!(with(&[0x1002]), [first, loops]);
        let lost = ListRule::Unreadable(physmem::Absence::NotRam);
        assert_eq!(with(&[0x9002]), [first, broken(lost, 0x1010, 0x9002)]);
    }

    #[test]
    fn pages_to_move_need_a_destination_and_room() {
        let none = walk(&[&[0x7_0008]], 0x1002);
        assert_eq!(none, [broken(ListRule::NoDestination, 0x1000, 0x7_0008)]);
        let high = 0xffff_ffff_ffff_e000_u64;
        let wraps = walk(&[&[high | 1, 0x7_0008, 0x7_1008, 4]], 0x1002);
        let first = run(high, 0x7_0000, 1);
        assert_eq!(wraps, [first, broken(ListRule::Wraps, 0x1010, 0x7_1008)]);
    }

    #[test]
    fn a_page_has_a_link_or_an_end() {
        let mut full = [8_u64; 512];
        full[0] = 0x10_0001;
        let found = walk(&[&full], 0x1002);
        assert_eq!(found.len(), 511 + 1);
        assert_eq!(found[511], broken(ListRule::NoLink, 0x1ff8, 8));
        full[511] = 4;
        assert_eq!(walk(&[&full], 0x1002).len(), 510);
    }

    #[test]
    fn a_page_of_entries_need_not_be_there_after_the_end() {
        for (width, words) in [
            (8, [0x10_0001_u64, 0x7_0008, 4]),
            (4, [0x10_0001, 0x7_0008, 4]),
        ] {
            let bytes: Vec<u8> = words
                .iter()
                .flat_map(|word| word.to_le_bytes()[..width].to_vec())
                .collect();
            let memory = Region::try_new(PhysAddr::new(0x1000), bytes).unwrap();
            let list = List {
                head: KimageEntry::new(0x1002),
                format: if width == 8 {
                    Format::LE64_4K
                } else {
                    Format::LE32_4K
                },
                decoding: Decoding::Strict,
            };
            let found: Vec<_> = list.runs(&memory).collect();
            assert_eq!(found, [run(0x10_0000, 0x7_0000, 1)]);
        }
    }

    #[test]
    fn every_loop_is_found_before_the_third_round() {
        // Links 1 → 2 → … → n → k, for all n and k; each page moves one page.
        for n in 1..12_u64 {
            for k in 1..=n {
                let pages: Vec<[u64; 3]> = (1..=n)
                    .map(|i| {
                        let next = if i == n { k } else { i + 1 };
                        [0x10_0001, 0x7_0008, next << 12 | 2]
                    })
                    .collect();
                let pages: Vec<&[u64]> = pages.iter().map(|page| &page[..]).collect();
                let found = walk(&pages, 0x1002);
                let (last, runs) = found.split_last().unwrap();
                assert!(matches!(
                    last,
                    Err(Error::BadList {
                        rule: ListRule::Loop,
                        ..
                    })
                ));
                assert!(runs.len() as u64 <= 3 * n, "{n} {k} {}", runs.len());
            }
        }
    }
}
