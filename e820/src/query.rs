//! Questions to a map.
//!
//! ```text
//!            █████1█████ ███3███   ████1████            any    all    kind of
//!  range 1      ▒▒▒                                     1      1      1
//!  range 2           ▒▒▒▒▒▒▒                            1, 3   –      –      (a hole between)
//!  range 3                          ▒▒▒▒▒               1      1      1
//! ```
//!
//! `e820__mapped_any()`, `e820__mapped_all()`, `e820__get_entry_type()` and `e820__end_ram_pfn()` in
//! Linux `arch/x86/kernel/e820.c`. Single addresses take O(log n).

#[cfg(feature = "alloc")]
use alloc::collections::BTreeMap;

use physmem::{PageShift, Pfn, PhysAddr, PhysRange};

use crate::{Entry, Kind, MemoryMap, Store};

/// Which kinds count as RAM where its end is looked for. The default is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EndOfRam {
    /// [`Kind::RAM`] only. Linux before 6.11.
    Ram,
    /// [`Kind::RAM`] and [`Kind::ACPI`], which is RAM that holds tables.
    #[default]
    RamOrAcpi,
}

impl<S: Store> MemoryMap<S> {
    /// The entry that holds this address.
    pub fn entry_at(&self, at: PhysAddr) -> Option<Entry> {
        let entry = self.from(at).first().copied();
        entry.filter(|entry| entry.range.contains(at))
    }

    /// Whether a byte of `range` is of this kind, or of any: `e820__mapped_any()` in Linux
    /// `arch/x86/kernel/e820.c`.
    pub fn mapped_any(&self, range: PhysRange, kind: Option<Kind>) -> bool {
        self.overlapping(range)
            .any(|entry| kind.is_none_or(|kind| entry.kind == kind))
    }

    /// Whether all bytes of `range` are of this kind, or of any kinds: `e820__mapped_all()`.
    pub fn mapped_all(&self, range: PhysRange, kind: Option<Kind>) -> bool {
        self.last_needed(range, kind).is_some()
    }

    /// The kind of `range`, of its last bytes if it has several; `None` if some of it is of no kind:
    /// `e820__get_entry_type()`.
    pub fn kind_of(&self, range: PhysRange) -> Option<Kind> {
        self.last_needed(range, None).map(|entry| entry.kind)
    }

    /// The ranges of one kind, ascending; neighbours are not joined.
    pub fn ranges(&self, kind: Kind) -> impl DoubleEndedIterator<Item = PhysRange> + Clone {
        let entries = self.entries().iter();
        entries
            .filter(move |entry| entry.kind == kind)
            .map(|entry| entry.range)
    }

    /// Bytes of one kind.
    pub fn total(&self, kind: Kind) -> u64 {
        self.ranges(kind).map(PhysRange::size).sum()
    }

    /// Bytes of each kind that occurs.
    #[cfg(feature = "alloc")]
    pub fn totals(&self) -> BTreeMap<Kind, u64> {
        let mut totals = BTreeMap::new();
        for entry in self.entries() {
            *totals.entry(entry.kind).or_default() += entry.range.size();
        }
        totals
    }

    /// The frame after the last whole 4 KiB frame of RAM below `limit`: what the kernel's log calls
    /// `last_pfn`, `e820__end_ram_pfn()` in Linux `arch/x86/kernel/e820.c`.
    ///
    /// As in the kernel, `limit` itself comes out if RAM goes on there.
    pub fn end_of_ram(&self, limit: Pfn, kinds: EndOfRam) -> Pfn {
        let page = PageShift::SIZE_4K;
        let ram = |entry: &&Entry| {
            entry.kind == Kind::RAM || (kinds == EndOfRam::RamOrAcpi && entry.kind == Kind::ACPI)
        };
        let below = |entry: &&Entry| entry.range.start().pfn(page) < limit;
        let entries = self.entries().iter().filter(ram).filter(below);
        let ends = entries.map(|entry| entry.range.end().pfn(page).min(limit));
        ends.max().unwrap_or_default()
    }

    /// The entries that end above `at`.
    fn from(&self, at: PhysAddr) -> &[Entry] {
        let entries = self.entries();
        let first = entries.partition_point(|entry| entry.range.end() <= at);
        entries.get(first..).unwrap_or_default()
    }

    fn overlapping(&self, range: PhysRange) -> impl Iterator<Item = &Entry> {
        let entries = self.from(range.start()).iter();
        entries.take_while(move |entry| entry.range.start() < range.end())
    }

    /// The entry with which entries of this kind (of all) have covered all of `range`.
    fn last_needed(&self, range: PhysRange, kind: Option<Kind>) -> Option<&Entry> {
        let mut covered = range.start();
        for entry in self.overlapping(range) {
            if kind.is_some_and(|kind| entry.kind != kind) || entry.range.start() > covered {
                return None;
            }
            covered = entry.range.end();
            if covered >= range.end() {
                return Some(entry);
            }
        }
        None
    }
}
