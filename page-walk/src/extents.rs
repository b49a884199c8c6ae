//! Everything that is mapped in a range, in order, coalesced.
//!
//! ```text
//!  entries   │ A │ A+1 │ A+2 │ – │ – │ lost table │ B │ B+1 │   from the tables of all levels
//!  items     [ Ok: A, 3 pages ]       [   Err    ] [ Ok: B, 2 pages ]
//! ```
//!
//! What is not present is passed over, a whole subtree at the cost of its one entry. A table that can
//! be borrowed is borrowed once. Entries are looked at in windows of 512: one copy for many, so that what
//! follows does not care how the memory gives them.
//!
//! Systems other than Linux let one entry of a table lead to the table itself, so that all tables are
//! pages in a stretch of their own. That is listed as the processor sees it. With several of them, which
//! nobody makes, everything would be mapped through each, again and again.

use core::{
    convert::Infallible,
    iter::FusedIterator,
    ops::{ControlFlow, RangeInclusive},
};

use physmem::{PhysAddr, PhysMemory, VirtAddr};

use crate::{
    arch::{Arch, MAX_LEVELS, Refusal, Step},
    fault::{Fault, FaultKind},
    table::{Table, WINDOW},
    walker::{Place, Walker, within_page},
};

/// How many tables below the root [`Extents`] enters unless told otherwise: what it takes to map
/// 128 GiB in 4 KiB pages.
///
/// Four pages, each of which leads to the next with all its entries, use it up. With 512 entries in the last
/// one that gives 33 million items: less than half a second over byte slices, with an optimised build. Memory
/// that has to be decompressed takes longer.
pub const DEFAULT_BUDGET: u64 = 1 << 16;

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
    /// Whether `next`, which lies higher, lengthens it.
    #[inline]
    fn goes_on_as(&self, next: &Self) -> bool {
        // Where the sum of virtual ones wraps, this one ends with the address space, and nothing lies higher.
        self.phys.as_u64().checked_add(self.size) == Some(next.phys.as_u64())
            && self.virt.as_u64().wrapping_add(self.size) == next.virt.as_u64()
            && self.shift == next.shift
            && self.flags == next.flags
    }
}

impl<A: Arch> Walker<A> {
    /// What `range` maps, ascending; extents are cut to its first and last byte.
    ///
    /// An entry with reserved bits, and a part of a table that cannot be read, is an `Err`, and the listing goes
    /// on behind it. Entries that are not present, or that a table does not have, and
    /// addresses that are not canonical, are no items.
    ///
    /// An entry that leads to the very table in which it stands, as some systems have one to make their tables
    /// visible, is followed as the processor does. Further ones of that table, and those that lead back to
    /// another table on the way, are [`FaultKind::Loop`]: what they map is not listed.
    ///
    /// Where no page lies between them, one such item of a table stands for those of its kind that follow directly:
    /// with reserved bits, not to be read for the same reason, back to the same table. Tables that cannot be read are
    /// an item each.
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
        let root = Table::new(self, memory, top, self.arch().unrestricted());
        let mut extents = Extents {
            walker: *self,
            memory,
            first: *range.start(),
            last: *range.end(),
            until: None,
            table: root,
            tables: [root; MAX_LEVELS],
            budget: DEFAULT_BUDGET,
            own: None,
            told: [None; MAX_LEVELS],
            window: Window::default(),
            held: None,
            fault: None,
        };
        extents.fault = match self.check_root(*range.start()) {
            Ok(()) => extents.go_to(Some(*range.start())),
            Err(fault) => Some(fault).filter(|_| !range.is_empty()),
        };
        extents
    }
}

/// The iterator made by [`Walker::extents`].
#[derive(Debug)]
pub struct Extents<'m, A: Arch, M: ?Sized> {
    walker: Walker<A>,
    memory: &'m M,
    first: VirtAddr,
    last: VirtAddr,
    /// The last address before the next hole between canonical ones, or `last`; `None` at the end.
    until: Option<VirtAddr>,
    /// The table that is being looked at.
    table: Table<'m, A::Flags>,
    /// It and those on the way to it, by level less 1; those below it are stale.
    tables: [Table<'m, A::Flags>; MAX_LEVELS],
    /// How many more tables may be entered.
    budget: u64,
    /// A table that leads to itself, and its first entry that does.
    own: Option<(Place, usize)>,
    /// What was told last of the entries of each of them, if no page has come since.
    told: [Option<FaultKind>; MAX_LEVELS],
    window: Window,
    /// The extent that the next page may lengthen. It may reach beyond `last`.
    held: Option<Extent<A::Flags>>,
    /// The fault that follows the extent given out last.
    fault: Option<Fault>,
}

/// Entries of a table, one after the other.
#[derive(Debug)]
struct Window {
    /// The first address that the first of them covers.
    base: VirtAddr,
    entries: [u64; WINDOW],
    /// The next to look at.
    at: usize,
    /// How many there are.
    len: usize,
}

impl Window {
    #[inline]
    fn entries(&self) -> &[u64] {
        self.entries.get(..self.len).unwrap_or_default()
    }
}

impl Default for Window {
    fn default() -> Self {
        Self {
            base: VirtAddr::new(0),
            entries: [0; WINDOW],
            at: 0,
            len: 0,
        }
    }
}

/// What [`Extents::turn`] came to.
enum Turn {
    More,
    Fault(Fault),
    End,
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

    /// The first address that entry `at` of the window covers, `None` behind the end of the space.
    #[inline]
    fn covered(&self, at: usize) -> Option<VirtAddr> {
        let shift = self.walker.arch().shift(self.table.place.level);
        self.window.base.checked_add((at as u64) << shift)
    }

    /// Hands every item on to `emit` until it breaks.
    #[inline]
    fn drive<B, R>(
        &mut self,
        mut state: B,
        mut emit: impl FnMut(B, Result<Extent<A::Flags>, Fault>) -> ControlFlow<R, B>,
    ) -> ControlFlow<R, B> {
        loop {
            if let Some(fault) = self.fault.take() {
                state = emit(state, Err(fault))?;
            }
            state = self.pages(state, &mut emit)?;
            let turn = self.turn();
            if let Turn::More = turn {
                continue;
            }
            if let Turn::Fault(fault) = turn {
                self.fault = Some(fault);
            }
            // It ends before the fault, or with the range, which may be within a page.
            if let Some(mut done) = self.held.take() {
                let most = self.last.as_u64() - done.virt.as_u64();
                done.size = (done.size - 1).min(most) + 1;
                state = emit(state, Ok(done))?;
            }
            if let Turn::End = turn {
                return ControlFlow::Continue(state);
            }
        }
    }

    /// Passes the pages that stand next in the window, and hands each extent on that they complete.
    #[inline]
    fn pages<B, R>(
        &mut self,
        state: B,
        emit: &mut impl FnMut(B, Result<Extent<A::Flags>, Fault>) -> ControlFlow<R, B>,
    ) -> ControlFlow<R, B> {
        // What of the first page of all lies before the range.
        let cut = self
            .first
            .as_u64()
            .saturating_sub(self.window.base.as_u64());
        // Nearly all pages are others, of level 1: there, the compiler knows what an entry can be.
        match (self.table.place.level, cut) {
            (1, 0) => self.pages_of(1, 0, state, emit),
            (level, cut) => self.pages_of(level, cut, state, emit),
        }
    }

    #[inline(always)]
    fn pages_of<B, R>(
        &mut self,
        level: u8,
        cut: u64,
        mut state: B,
        emit: &mut impl FnMut(B, Result<Extent<A::Flags>, Fault>) -> ControlFlow<R, B>,
    ) -> ControlFlow<R, B> {
        let (walker, rights) = (self.walker, self.table.rights);
        let shift_of_level = walker.arch().shift(level);
        let window = &mut self.window;
        let entries = window.entries.get(..window.len).unwrap_or_default();
        let mut at = window.at;
        let mut held = self.held.take();
        let flow = loop {
            let Some(&raw) = entries.get(at) else {
                break ControlFlow::Continue(state);
            };
            let (base, shift, flags) = match walker.step(level, raw) {
                Ok(Step::Leaf { base, shift, flags }) => (base, shift, flags),
                Err(Refusal::NotPresent) => {
                    let nothing =
                        |raw: &&u64| matches!(walker.step(level, **raw), Err(Refusal::NotPresent));
                    let rest = entries.get(at..).unwrap_or_default();
                    at += rest.iter().take_while(nothing).count();
                    continue;
                }
                _ => break ControlFlow::Continue(state),
            };
            let begin = at;
            let mut last = raw;
            at += 1;
            while let Some(&next) = entries.get(at) {
                if !walker.arch().follows(level, last, next) {
                    break;
                }
                last = next;
                at += 1;
            }
            let covered = window.base.as_u64() + ((begin as u64) << shift_of_level);
            let cut = if begin == 0 { cut } else { 0 };
            let virt = VirtAddr::new(covered + cut);
            let run = Extent {
                virt,
                phys: within_page(base, shift, virt),
                size: (((at - begin) as u64) << shift_of_level) - cut,
                shift,
                flags: A::inherit(rights, flags),
            };
            match &mut held {
                Some(held) if held.goes_on_as(&run) => held.size += run.size,
                held => {
                    if let Some(done) = held.replace(run) {
                        match emit(state, Ok(done)) {
                            ControlFlow::Continue(next) => state = next,
                            ControlFlow::Break(result) => break ControlFlow::Break(result),
                        }
                    }
                }
            }
        };
        window.at = at;
        self.held = held;
        flow
    }

    /// Does what takes more than a page: enters a table, tells what is wrong with an entry, goes on behind
    /// the window.
    #[inline(never)]
    fn turn(&mut self) -> Turn {
        let fault = match self.window.entries().get(self.window.at).copied() {
            Some(raw) => self.pass(raw),
            None if self.until.is_none() => return Turn::End,
            None => self.go_to(self.covered(self.window.at)),
        };
        fault.map_or(Turn::More, Turn::Fault)
    }

    /// Goes into the table, or over the fault, that the next entry of the window is.
    fn pass(&mut self, raw: u64) -> Option<Fault> {
        let covered = self.covered(self.window.at)?;
        self.window.at += 1;
        let virt = covered.max(self.first);
        let Place { level, .. } = self.table.place;
        match self.walker.step(level, raw) {
            Err(refusal) => self.tell(virt, FaultKind::refused(refusal, raw)),
            Ok(Step::Leaf { .. }) => None,
            Ok(Step::Table { at, .. }) if self.leads_back(virt, at) => {
                self.tell(virt, FaultKind::Loop { table: at })
            }
            Ok(Step::Table { at, flags }) => {
                let Some(budget) = self.budget.checked_sub(1) else {
                    self.until = None;
                    self.window.len = 0;
                    return Some(self.fault(virt, FaultKind::Budget));
                };
                self.budget = budget;
                let rights = A::inherit(self.table.rights, flags);
                let place = Place {
                    table: at,
                    level: level - 1,
                };
                self.table = Table::new(&self.walker, self.memory, place, rights);
                *self.tables.get_mut(usize::from(place.level) - 1)? = self.table;
                *self.told.get_mut(usize::from(place.level) - 1)? = None;
                self.fill(virt)
            }
        }
    }

    /// What is wrong with the entry for `virt`, unless the same was told of one of its table, with no page between.
    fn tell(&mut self, virt: VirtAddr, kind: FaultKind) -> Option<Fault> {
        // A page is held until what is told next.
        if self.held.is_some() {
            self.told = [None; MAX_LEVELS];
        }
        let level = usize::from(self.table.place.level);
        let known = match (self.told.get_mut(level - 1)?.replace(kind), kind) {
            (Some(FaultKind::Reserved { .. }), FaultKind::Reserved { .. }) => true,
            (told, kind) => told == Some(kind),
        };
        (!known).then(|| self.fault(virt, kind))
    }

    /// Whether the entry for `virt` leads back to a table on the way to it, and is not the one that may.
    fn leads_back(&mut self, virt: VirtAddr, table: PhysAddr) -> bool {
        let above = usize::from(self.table.place.level) - 1;
        let mut way = self.tables.iter().skip(above);
        if !way.any(|on_way| on_way.place.table == table) {
            return false;
        }
        let place = self.table.place;
        if place.table != table {
            return true;
        }
        let first = match self.own {
            Some((of, first)) if of == place => first,
            _ => self.first_back(virt),
        };
        self.own = Some((place, first));
        first != self.walker.index(virt, place.level)
    }

    /// The first entry that leads to the very table that it stands in; that for `virt` does.
    fn first_back(&self, virt: VirtAddr) -> usize {
        let (arch, Place { level, table }) = (self.walker.arch(), self.table.place);
        let index = self.walker.index(virt, level);
        let of_zero = virt.as_u64() - ((index as u64) << arch.shift(level));
        let leads_back = |at: &usize| {
            let virt = VirtAddr::new(of_zero + ((*at as u64) << arch.shift(level)));
            let raw = self.table.raw(&self.walker, self.memory, virt).ok();
            let step = raw.map(|raw| self.walker.step(level, raw));
            matches!(step, Some(Ok(Step::Table { at, .. })) if at == table)
        };
        (0..index).find(leads_back).unwrap_or(index)
    }

    /// Goes on at the first canonical address at or above `virt`, in the lowest table at hand that has
    /// the entry for it.
    fn go_to(&mut self, virt: Option<VirtAddr>) -> Option<Fault> {
        let arch = self.walker.arch();
        let stretch = virt.and_then(|virt| arch.canonical(virt));
        self.until = None;
        let (virt, until) = stretch?.into_inner();
        if virt > self.last {
            return None;
        }
        self.until = Some(until.min(self.last));
        // A table is left at its end, which is where the next one of its level begins.
        let mut level = self.table.place.level;
        let begins_table =
            |level| virt.as_u64() & ((1 << (arch.shift(level) + arch.index_bits(level))) - 1) == 0;
        while level < arch.levels() && begins_table(level) {
            level += 1;
        }
        if level != self.table.place.level {
            self.table = *self.tables.get(usize::from(level) - 1)?;
        }
        self.fill(virt)
    }

    /// Brings the entries from the one for `virt` on into the window.
    fn fill(&mut self, virt: VirtAddr) -> Option<Fault> {
        let arch = self.walker.arch();
        let Place { level, .. } = self.table.place;
        let shift = arch.shift(level);
        let covered = VirtAddr::new(virt.as_u64() >> shift << shift);
        let asked = ((self.until?.as_u64() - covered.as_u64()) >> shift) + 1;
        let index = self.walker.index(virt, level);
        let count = 1 << arch.index_bits(level);
        let part = arch.part(level, self.table.rights);
        let part = part.unwrap_or(0..=count - 1);
        self.window.base = covered;
        if !part.contains(&index) {
            // All up to the next entry that the table has, or to its end, is passed over.
            let next = Some(*part.start()).filter(|first| index < *first);
            (self.window.at, self.window.len) = (next.unwrap_or(count) - index, 0);
            return None;
        }
        let left = part.end() - index + 1;
        let wanted = usize::try_from(asked).map_or(left, |asked| asked.min(left));
        self.window.at = 0;
        let entries = &mut self.window.entries;
        match self
            .table
            .read(&self.walker, self.memory, virt, wanted, entries)
        {
            Ok(read) => {
                self.window.len = read;
                None
            }
            Err(why) => {
                // One entry is passed over.
                (self.window.at, self.window.len) = (1, 1);
                self.tell(virt, FaultKind::Missing(why))
            }
        }
    }

    fn fault(&self, virt: VirtAddr, kind: FaultKind) -> Fault {
        self.walker.fault(virt, self.table.place, kind)
    }
}

impl<A: Arch, M: PhysMemory + ?Sized> Iterator for Extents<'_, A, M> {
    type Item = Result<Extent<A::Flags>, Fault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.drive((), |(), item| ControlFlow::Break(item)) {
            ControlFlow::Break(item) => Some(item),
            ControlFlow::Continue(()) => None,
        }
    }

    /// Faster than item by item: what is held stays in registers.
    #[inline]
    fn fold<B, G: FnMut(B, Self::Item) -> B>(mut self, init: B, mut f: G) -> B {
        let done = self.drive(init, |state, item| {
            ControlFlow::<Infallible, B>::Continue(f(state, item))
        });
        let ControlFlow::Continue(state) = done;
        state
    }
}

impl<A: Arch, M: PhysMemory + ?Sized> FusedIterator for Extents<'_, A, M> {}
