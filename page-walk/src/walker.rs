//! From a virtual address down the tables to a physical one.
//!
//! ```text
//!  root ─▶ ┌──────┐   ┌─▶ ┌──────┐   ┌─▶ ┌──────┐
//!          │      │   │   │ entry ───┘   │ entry ──▶ page + offset
//!          │ entry ───┘   │      │       │      │
//!          └──────┘       └──────┘       └──────┘
//!          level 4         3 …            1            one load a level, each needing the one before
//! ```

use core::iter::FusedIterator;

use physmem::{PhysAddr, PhysMemory, VirtAddr};

use crate::{
    arch::{Arch, Level, Refusal, Step},
    fault::{Fault, FaultKind},
};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<F> {
    /// The physical address of this very virtual address.
    pub phys: PhysAddr,
    /// The page's size is `1 << shift` bytes.
    pub shift: u8,
    /// The flags of the entry that maps the page, with the rights that all levels give together: on
    /// x86_64, RW and US are set only if every entry on the way has them, NX if any has.
    pub flags: F,
}

/// A page table: its paging mode and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walker<A> {
    arch: A,
    root: PhysAddr,
}

impl<A: Arch> Walker<A> {
    /// The table whose root is at `root`. On x86 the value of CR3 is as good: what it holds besides (a PCID, cache
    /// attributes, the bits for LAM) is ignored as the processor does. Elsewhere, every operation on a `root` that is no
    /// multiple of its size gives [`FaultKind::MisalignedRoot`]; other registers hold an address in another form:
    /// [`AArch64::root_of`](crate::AArch64::root_of), [`RiscV64::from_satp`](crate::RiscV64::from_satp),
    /// [`S390x::from_asce`](crate::S390x::from_asce),
    /// [`Ppc64::from_process_table_entry`](crate::Ppc64::from_process_table_entry).
    #[inline]
    pub fn new(arch: A, root: PhysAddr) -> Self {
        Self {
            arch,
            root: arch.root(root.as_u64()),
        }
    }

    /// The paging mode.
    #[inline]
    pub fn arch(&self) -> A {
        self.arch
    }

    /// The address of the root table.
    #[inline]
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// The physical address of `virt`.
    ///
    /// # Errors
    ///
    /// The entry at which the processor would fault, or that `memory` does not have.
    #[inline]
    pub fn translate<M: PhysMemory + ?Sized>(
        &self,
        memory: &M,
        virt: VirtAddr,
    ) -> Result<Mapping<A::Flags>, Fault> {
        self.check(virt)?;
        let mut place = self.top();
        let mut rights = self.arch.unrestricted();
        loop {
            let raw = self.raw(memory, virt, place, rights)?;
            match self.step(place.level, raw) {
                Ok(Step::Table { at, flags }) => {
                    rights = A::inherit(rights, flags);
                    place = Place {
                        table: at,
                        level: place.level - 1,
                    };
                }
                Ok(Step::Leaf { base, shift, flags }) => {
                    return Ok(Mapping {
                        phys: within_page(base, shift, virt),
                        shift,
                        flags: A::inherit(rights, flags),
                    });
                }
                Err(refusal) => {
                    return Err(self.fault(virt, place, FaultKind::refused(refusal, raw)));
                }
            }
        }
    }

    /// Every entry on the way to `virt`, from the root: [`Step::Table`]s, then the
    /// [`Step::Leaf`] or the fault, as [`Walker::translate`] gives it.
    #[inline]
    pub fn walk<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        virt: VirtAddr,
    ) -> Walk<'m, A, M> {
        Walk {
            walker: *self,
            memory,
            virt,
            place: Some(self.top()),
            flags: self.arch.unrestricted(),
        }
    }

    #[inline]
    pub(crate) fn top(&self) -> Place {
        Place {
            table: self.root,
            level: self.arch.levels(),
        }
    }

    #[inline]
    pub(crate) fn check(&self, virt: VirtAddr) -> Result<(), Fault> {
        self.check_root(virt)?;
        if self
            .arch
            .canonical(virt)
            .is_some_and(|stretch| *stretch.start() == virt)
        {
            Ok(())
        } else {
            Err(self.fault(virt, self.top(), FaultKind::NonCanonical))
        }
    }

    /// Refuses a root that lies where none can, when asked for `virt`.
    #[inline]
    pub(crate) fn check_root(&self, virt: VirtAddr) -> Result<(), Fault> {
        let low = self.arch.root_low();
        if self.root.as_u64() & low == 0 {
            Ok(())
        } else {
            let kind = FaultKind::MisalignedRoot { align: low + 1 };
            Err(self.fault(virt, self.top(), kind))
        }
    }

    /// The fault about the entry for `virt` in a table.
    #[cold]
    pub(crate) fn fault(&self, virt: VirtAddr, place: Place, kind: FaultKind) -> Fault {
        let level = Level {
            number: place.level,
            of: self.arch.levels(),
        };
        let entry_at = match kind {
            FaultKind::NonCanonical | FaultKind::MisalignedRoot { .. } => self.root,
            _ => self.entry_at(virt, place),
        };
        Fault {
            virt,
            level,
            entry_at,
            kind,
        }
    }

    /// The number of the entry for `virt` in tables of `level`.
    #[inline]
    pub(crate) fn index(&self, virt: VirtAddr, level: u8) -> usize {
        let mask = (1 << self.arch.index_bits(level)) - 1;
        #[allow(clippy::cast_possible_truncation, reason = "tables fit in memory")]
        let index = (virt.as_u64() >> self.arch.shift(level) & mask) as usize;
        index
    }

    #[inline]
    pub(crate) fn entry_at(&self, virt: VirtAddr, place: Place) -> PhysAddr {
        let (width, _) = self.arch.entry();
        let offset = (self.index(virt, place.level) * width.bytes()) as u64;
        // Only a table of s390x can pass the end of the address space; there, the manual lets processors wrap.
        PhysAddr::new(place.table.as_u64().wrapping_add(offset))
    }

    /// Whether a table has the entry for `virt`, told by the flags of the path to it.
    #[inline]
    pub(crate) fn has_entry(&self, virt: VirtAddr, level: u8, flags: A::Flags) -> bool {
        let part = self.arch.part(level, flags);
        part.is_none_or(|part| part.contains(&self.index(virt, level)))
    }

    /// What an entry means; one of the last level never leads to another table.
    #[inline]
    pub(crate) fn step(&self, level: u8, raw: u64) -> Result<Step<A::Flags>, Refusal> {
        match self.arch.step(level, raw) {
            Ok(Step::Table { .. }) if level == 1 => Err(Refusal::Reserved),
            step => step,
        }
    }

    /// The entry for `virt` in a table, as it stands there; `flags` are those of the path to it.
    #[inline]
    pub(crate) fn raw<M: PhysMemory + ?Sized>(
        &self,
        memory: &M,
        virt: VirtAddr,
        place: Place,
        flags: A::Flags,
    ) -> Result<u64, Fault> {
        if !self.has_entry(virt, place.level, flags) {
            return Err(self.fault(virt, place, FaultKind::OutOfTable));
        }
        let (width, order) = self.arch.entry();
        match memory.word(self.entry_at(virt, place), width, order) {
            Ok(raw) => Ok(raw),
            Err(error) => Err(self.fault(virt, place, FaultKind::Missing(error.why))),
        }
    }

    fn entry<M: PhysMemory + ?Sized>(
        &self,
        memory: &M,
        virt: VirtAddr,
        place: Place,
        flags: A::Flags,
    ) -> Result<Entry<A::Flags>, Fault> {
        let raw = self.raw(memory, virt, place, flags)?;
        match self.step(place.level, raw) {
            Ok(step) => Ok(Entry {
                level: Level {
                    number: place.level,
                    of: self.arch.levels(),
                },
                at: self.entry_at(virt, place),
                raw,
                step,
            }),
            Err(refusal) => Err(self.fault(virt, place, FaultKind::refused(refusal, raw))),
        }
    }
}

/// A table, and the level of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) table: PhysAddr,
    pub(crate) level: u8,
}

/// The physical address of `virt` in the page at `base`.
#[inline]
pub(crate) fn within_page(base: PhysAddr, shift: u8, virt: VirtAddr) -> PhysAddr {
    PhysAddr::new(base.as_u64() | virt.as_u64() & ((1 << shift) - 1))
}

/// An entry on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<F> {
    /// The level of the table it stands in.
    pub level: Level,
    /// Where it lies.
    pub at: PhysAddr,
    /// The entry as read.
    pub raw: u64,
    /// Where it leads, with its own flags.
    pub step: Step<F>,
}

/// The iterator made by [`Walker::walk`].
#[derive(Debug)]
pub struct Walk<'m, A: Arch, M: ?Sized> {
    walker: Walker<A>,
    memory: &'m M,
    virt: VirtAddr,
    /// The table to look into next.
    place: Option<Place>,
    /// Of the entry that leads there.
    flags: A::Flags,
}

impl<A: Arch, M: PhysMemory + ?Sized> Iterator for Walk<'_, A, M> {
    type Item = Result<Entry<A::Flags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.place.take()?;
        let entry = self
            .walker
            .check(self.virt)
            .and_then(|()| self.walker.entry(self.memory, self.virt, place, self.flags));
        if let Ok(Entry {
            step: Step::Table { at, flags },
            ..
        }) = entry
        {
            self.flags = flags;
            self.place = Some(Place {
                table: at,
                level: place.level - 1,
            });
        }
        Some(entry)
    }
}

impl<A: Arch, M: PhysMemory + ?Sized> FusedIterator for Walk<'_, A, M> {}
