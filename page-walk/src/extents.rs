//! Everything that is mapped in a range, in order, coalesced.
//!
//! ```text
//!  entries   │ A │ A+1 │ A+2 │ – │ – │ lost table │ B │ B+1 │   from the tables of all levels
//!  items     [ Ok: A, 3 pages ]       [   Err    ] [ Ok: B, 2 pages ]
//! ```
//!
//! What is not present is passed over, a whole subtree at the cost of its one entry. A table that can
//! be borrowed is borrowed once and read in place; others are read in small chunks.

use core::{iter::FusedIterator, mem, ops::RangeInclusive};

use physmem::{MemError, PhysAddr, PhysMemory, VirtAddr};

use crate::{
    arch::{Arch, MAX_LEVELS, Refusal, Step},
    fault::{Fault, FaultKind},
    walker::{Place, Walker, within_page},
};

/// How many tables below the root [`Extents`] enters unless told otherwise: what it takes to map
/// 128 GiB in 4 KiB pages.
///
/// A page that is a table of itself uses it up. That gives 33 million items: 0.5 to 1.2 seconds over
/// byte slices, borrowed or copied, as measured with an optimised build. Memory that has to be
/// decompressed takes longer.
pub const DEFAULT_BUDGET: u64 = 1 << 16;

/// Bytes of a table read at once where it cannot be borrowed: an eighth of 4 KiB.
const CHUNK: usize = 512;

/// Consecutive addresses that lead to consecutive addresses, by pages of one size with the same flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent<F> {
    /// The first virtual address.
    pub virt: VirtAddr,
    /// Where it leads.
    pub phys: PhysAddr,
    /// Bytes in the extent.
    pub size: u64,
    /// It is made of pages of `1 << shift` bytes.
    pub shift: u8,
    /// The flags of every page, as in [`Mapping`](crate::Mapping).
    pub flags: F,
}

impl<F: PartialEq> Extent<F> {
    #[inline]
    fn goes_on_as(&self, next: &Self) -> bool {
        self.virt.checked_add(self.size) == Some(next.virt)
            && self.phys.checked_add(self.size) == Some(next.phys)
            && self.shift == next.shift
            && self.flags == next.flags
    }
}

impl<A: Arch> Walker<A> {
    /// What `range` maps, ascending; extents are cut to its first and last byte.
    ///
    /// An entry with reserved bits, and a stretch of a table that cannot be read, is one `Err` each,
    /// and the listing goes on behind it. Entries that are not present, and addresses that are not
    /// canonical, are no items.
    ///
    /// A table can be reached in many ways, so a few pages can describe more mappings than anybody can
    /// list. After [`DEFAULT_BUDGET`] tables, or as many as [`Extents::with_budget`] allows, comes a
    /// last item, [`FaultKind::Budget`]. Who knows the size of the memory can allow a table for each of
    /// its pages: more are not there, unless some are shared (KASAN's shadow has such).
    ///
    /// Pause memory that changes meanwhile: tables are read by [`PhysMemory::read`], which need not be
    /// atomic as [`PhysMemory::word`] is.
    pub fn extents<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        range: RangeInclusive<VirtAddr>,
    ) -> Extents<'m, A, M> {
        let top = self.top();
        let root = Table {
            place: top,
            rights: A::UNRESTRICTED,
            lent: lend(self, memory, top),
        };
        let mut extents = Extents {
            walker: *self,
            memory,
            last: *range.end(),
            next: None,
            until: *range.end(),
            level: top.level,
            tables: [root; MAX_LEVELS],
            budget: DEFAULT_BUDGET,
            unreadable: false,
            held: None,
            fault: None,
            chunk: [0; CHUNK],
        };
        extents.go_to(Some(*range.start()));
        extents
    }
}

/// The iterator made by [`Walker::extents`].
#[derive(Debug)]
pub struct Extents<'m, A: Arch, M: ?Sized> {
    walker: Walker<A>,
    memory: &'m M,
    last: VirtAddr,
    /// The first address not yet looked at: canonical, at or below `last`.
    next: Option<VirtAddr>,
    /// The last address before the next hole between canonical ones, or `last`.
    until: VirtAddr,
    /// The level of the table with the entry for `next`.
    level: u8,
    /// The tables on the way to `next` by level, less 1; those below `level` are stale.
    tables: [Table<'m, A::Flags>; MAX_LEVELS],
    /// How many more tables may be entered.
    budget: u64,
    /// The entry before the one for `next` is of the same table, and could not be read.
    unreadable: bool,
    /// The extent that the next run may lengthen.
    held: Option<Extent<A::Flags>>,
    /// The fault that follows the extent given out last.
    fault: Option<Fault>,
    chunk: [u8; CHUNK],
}

#[derive(Debug, Clone, Copy)]
struct Table<'m, F> {
    place: Place,
    /// What the entries above leave of rights.
    rights: F,
    lent: Option<&'m [u8]>,
}

impl<A: Arch, M: PhysMemory + ?Sized> Extents<'_, A, M> {
    /// Lets it enter `tables` tables below the root, each visit counted. That bounds the work: a visit
    /// looks at each entry once, and gives no more items than the table has entries.
    #[must_use]
    pub fn with_budget(self, tables: u64) -> Self {
        Self {
            budget: tables,
            ..self
        }
    }

    /// Goes on at the first canonical address at or above `virt`, in the lowest table at hand that has
    /// the entry for it.
    #[inline]
    fn go_to(&mut self, virt: Option<VirtAddr>) {
        let arch = self.walker.arch();
        let stretch = virt.and_then(|virt| arch.canonical(virt));
        let (next, until) = match stretch.map(RangeInclusive::into_inner) {
            Some((next, until)) if next <= self.last => (next, until.min(self.last)),
            _ => {
                self.next = None;
                return;
            }
        };
        (self.next, self.until) = (Some(next), until);
        // A table is left at its end, which is where the next one of its level begins.
        let begins_table =
            |level| next.as_u64() & ((1 << (arch.shift(level) + arch.index_bits(level))) - 1) == 0;
        while self.level < arch.levels() && begins_table(self.level) {
            self.level += 1;
            self.unreadable = false;
        }
    }

    /// The next pages in one stretch of one table, or the next fault.
    fn run(&mut self) -> Option<Result<Extent<A::Flags>, Fault>> {
        loop {
            let virt = self.next?;
            let walker = self.walker;
            let table = *self.tables.get(usize::from(self.level) - 1)?;
            let shift = walker.arch().shift(self.level);
            // What the entry for `virt` covers may begin below it.
            let covered = VirtAddr::new(virt.as_u64() >> shift << shift);
            let entries_on = |count: u64| covered.checked_add(count << shift);
            let wanted = ((self.until.as_u64() - covered.as_u64()) >> shift) + 1;

            let scan = match self.scan(&table, virt, wanted) {
                Ok(scan) => scan,
                Err(error) => {
                    let known = mem::replace(&mut self.unreadable, true);
                    self.go_to(entries_on(1));
                    if known {
                        continue;
                    }
                    let kind = FaultKind::Missing(error.why);
                    return Some(Err(walker.fault(virt, table.place, kind)));
                }
            };
            self.unreadable = false;

            let Some((raw, step)) = scan.found else {
                self.go_to(entries_on(scan.skipped));
                continue;
            };
            let start = entries_on(scan.skipped)?;
            let virt = start.max(virt);
            match step {
                Err(refusal) => {
                    self.go_to(entries_on(scan.skipped + 1));
                    let kind = FaultKind::refused(refusal, raw);
                    return Some(Err(walker.fault(virt, table.place, kind)));
                }
                Ok(Step::Table { at, flags }) => {
                    let Some(budget) = self.budget.checked_sub(1) else {
                        self.next = None;
                        return Some(Err(walker.fault(virt, table.place, FaultKind::Budget)));
                    };
                    self.budget = budget;
                    self.next = Some(virt);
                    self.level -= 1;
                    let place = Place {
                        table: at,
                        level: self.level,
                    };
                    *self.tables.get_mut(usize::from(self.level) - 1)? = Table {
                        place,
                        rights: A::inherit(table.rights, flags),
                        lent: lend(&walker, self.memory, place),
                    };
                }
                Ok(Step::Leaf {
                    base,
                    shift: page,
                    flags,
                }) => {
                    let last = start.checked_add((scan.run << shift) - 1)?.min(self.until);
                    self.go_to(entries_on(scan.skipped + scan.run));
                    return Some(Ok(Extent {
                        virt,
                        phys: within_page(base, page, virt),
                        size: last.checked_offset_from(virt)? + 1,
                        shift: page,
                        flags: A::inherit(table.rights, flags),
                    }));
                }
            }
        }
    }

    /// Looks at `wanted` entries of a table from the one for `virt` on, or at fewer.
    fn scan(
        &mut self,
        table: &Table<'_, A::Flags>,
        virt: VirtAddr,
        wanted: u64,
    ) -> Result<Scan<A::Flags>, MemError> {
        let walker = &self.walker;
        let (width, order) = walker.arch().entry();
        let size = width.bytes();
        let level = table.place.level;
        let index = walker.index(virt, level);
        let left = (1 << walker.arch().index_bits(level)) - index;
        let wanted = usize::try_from(wanted).map_or(left, |wanted| wanted.min(left));
        let bytes = match table
            .lent
            .and_then(|lent| lent.get(index * size..)?.get(..wanted * size))
        {
            Some(lent) => lent,
            None => {
                let at = walker.entry_at(virt, table.place);
                read(self.memory, at, wanted, size, &mut self.chunk)?
            }
        };
        // A chunk has the size of an entry, so it decodes; 0 would be an entry that is not present.
        let mut raws = bytes
            .chunks_exact(size)
            .map(|entry| width.decode(entry, order).unwrap_or_default());

        let mut skipped = 0;
        let found = raws.by_ref().find_map(|raw| match walker.step(level, raw) {
            Err(Refusal::NotPresent) => {
                skipped += 1;
                None
            }
            step => Some((raw, step)),
        });
        let mut run = 1;
        if let Some((raw, Ok(Step::Leaf { .. }))) = found {
            let mut page = raw;
            for raw in raws {
                if walker.arch().next_page(level, page) != Some(raw) {
                    break;
                }
                (page, run) = (raw, run + 1);
            }
        }
        Ok(Scan {
            skipped,
            found,
            run,
        })
    }
}

/// What stands in a stretch of a table.
struct Scan<F> {
    /// Entries that are not present, before anything else.
    skipped: u64,
    /// The first other entry, and what it means.
    found: Option<(u64, Result<Step<F>, Refusal>)>,
    /// If it maps a page: entries that map consecutive pages, it included.
    run: u64,
}

/// The bytes of a table, where they can be borrowed.
fn lend<'m, A: Arch, M: PhysMemory + ?Sized>(
    walker: &Walker<A>,
    memory: &'m M,
    place: Place,
) -> Option<&'m [u8]> {
    let (width, _) = walker.arch().entry();
    let size = width.bytes() << walker.arch().index_bits(place.level);
    memory.lend(place.table, size)
}

/// Reads entries of `size` bytes from `at` on: `wanted`, or as many as a chunk holds, or else the first.
fn read<'c, M: PhysMemory + ?Sized>(
    memory: &M,
    at: PhysAddr,
    wanted: usize,
    size: usize,
    chunk: &'c mut [u8; CHUNK],
) -> Result<&'c [u8], MemError> {
    let (many, _) = chunk.split_at_mut(CHUNK.min(wanted * size));
    if memory.read(at, many).is_err() {
        // A missing byte does not take the entries before it with it.
        let (one, _) = many.split_at_mut(size);
        memory.read(at, one)?;
        return Ok(one);
    }
    Ok(many)
}

impl<A: Arch, M: PhysMemory + ?Sized> Iterator for Extents<'_, A, M> {
    type Item = Result<Extent<A::Flags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(fault) = self.fault.take() {
                return Some(Err(fault));
            }
            match self.run() {
                Some(Ok(run)) => match &mut self.held {
                    Some(held) if held.goes_on_as(&run) => held.size += run.size,
                    _ => {
                        if let Some(done) = self.held.replace(run) {
                            return Some(Ok(done));
                        }
                    }
                },
                Some(Err(fault)) => {
                    self.fault = Some(fault);
                    if let Some(done) = self.held.take() {
                        return Some(Ok(done));
                    }
                }
                None => return self.held.take().map(Ok),
            }
        }
    }
}

impl<A: Arch, M: PhysMemory + ?Sized> FusedIterator for Extents<'_, A, M> {}
