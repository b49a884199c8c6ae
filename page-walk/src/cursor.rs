//! Translations that remember the tables on the way.
//!
//! ```text
//!  the address before   │ 4 │ 3 │ 2 │ 1 │ offset │
//!  this one             │ 4 │ 3 │ 2 │ x │ offset │   begins at the lowest table that both go through:
//!                                   └ one load        here the one of level 1
//! ```
//!
//! As a processor keeps upper entries in its paging-structure caches. Neighbours cost one load, whatever
//! the number of levels; an address far from the one before costs as much as [`Walker::translate`].

use physmem::{PhysMemory, VirtAddr};

use crate::{
    arch::{Arch, MAX_LEVELS, Step},
    fault::{Fault, FaultKind},
    table::Table,
    walker::{Mapping, Place, Walker, within_page},
};

impl<A: Arch> Walker<A> {
    /// A cursor over these tables: for addresses that lie close together, sorted ones above all.
    ///
    /// It keeps tables, not entries of the last level: those it reads anew for each address. Make a new one
    /// after tables changed.
    pub fn cursor<'m, M: PhysMemory + ?Sized>(&self, memory: &'m M) -> Cursor<'m, A, M> {
        let root = Table::new(self, memory, self.top(), self.arch().unrestricted());
        Cursor {
            walker: *self,
            memory,
            virt: VirtAddr::new(0),
            table: root,
            tables: [root; MAX_LEVELS],
        }
    }
}

/// Made by [`Walker::cursor`].
#[derive(Debug)]
pub struct Cursor<'m, A: Arch, M: ?Sized> {
    walker: Walker<A>,
    memory: &'m M,
    /// An address that the tables lead to.
    virt: VirtAddr,
    /// The lowest of them.
    table: Table<'m, A::Flags>,
    /// It and those above it, by level less 1; those below it are stale.
    tables: [Table<'m, A::Flags>; MAX_LEVELS],
}

impl<A: Arch, M: PhysMemory + ?Sized> Cursor<'_, A, M> {
    /// The physical address of `virt`: what [`Walker::translate`] gives.
    ///
    /// # Errors
    ///
    /// As [`Walker::translate`].
    #[inline]
    pub fn translate(&mut self, virt: VirtAddr) -> Result<Mapping<A::Flags>, Fault> {
        // Most neighbours share a table of level 1: there, the compiler knows what an entry can be.
        if self.table.place.level == 1 && self.walker.arch().levels() > 1 && self.shares(1, virt) {
            let raw = self.table.lent(&self.walker, virt, 1);
            if let Some(Ok(Step::Leaf { base, shift, flags })) =
                raw.map(|raw| self.walker.step(1, raw))
            {
                return Ok(Mapping {
                    phys: within_page(base, shift, virt),
                    shift,
                    flags: A::inherit(self.table.rights, flags),
                });
            }
        }
        self.descend(virt)
    }

    /// Goes down from the lowest table that leads to `virt`.
    #[inline(never)]
    fn descend(&mut self, virt: VirtAddr) -> Result<Mapping<A::Flags>, Fault> {
        self.climb(virt)?;
        self.virt = virt;
        loop {
            let raw = self.table.raw(&self.walker, self.memory, virt)?;
            let Place { level, .. } = self.table.place;
            match self.walker.step(level, raw) {
                Ok(Step::Leaf { base, shift, flags }) => {
                    return Ok(Mapping {
                        phys: within_page(base, shift, virt),
                        shift,
                        flags: A::inherit(self.table.rights, flags),
                    });
                }
                Ok(Step::Table { at, flags }) => {
                    let place = Place {
                        table: at,
                        level: level - 1,
                    };
                    let rights = A::inherit(self.table.rights, flags);
                    self.table = Table::new(&self.walker, self.memory, place, rights);
                    if let Some(slot) = self.tables.get_mut(usize::from(place.level) - 1) {
                        *slot = self.table;
                    }
                }
                Err(refusal) => {
                    let kind = FaultKind::refused(refusal, raw);
                    return Err(self.walker.fault(virt, self.table.place, kind));
                }
            }
        }
    }

    /// Whether the table of `level` that leads to the address before leads to `virt` too.
    #[inline]
    fn shares(&self, level: u8, virt: VirtAddr) -> bool {
        let arch = self.walker.arch();
        let reach = arch.shift(level) + arch.index_bits(level);
        (virt.as_u64() ^ self.virt.as_u64()) >> reach == 0
    }

    /// Goes back to the lowest table that leads to `virt`.
    fn climb(&mut self, virt: VirtAddr) -> Result<(), Fault> {
        let top = self.walker.arch().levels();
        let mut level = self.table.place.level;
        while level < top && !self.shares(level, virt) {
            level += 1;
        }
        if level == top {
            // Only below the root is all that a table leads to canonical, or none of it.
            self.walker.check(virt)?;
        }
        if let Some(table) = self.tables.get(usize::from(level) - 1) {
            self.table = *table;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use std::vec;

    use physmem::{MemError, PhysAddr, PhysRange, Region};

    use super::*;
    use crate::X86_64;

    /// Counts the words it is asked for.
    struct Counting<'a>(Region<&'a [u8]>, Cell<u32>);

    impl PhysMemory for Counting<'_> {
        fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
            self.1.set(self.1.get() + 1);
            self.0.read(at, out)
        }

        fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
            self.0.next_run(from)
        }
    }

    #[test]
    fn neighbours_cost_one_load() {
        let mut bytes = vec![0; 0x5000];
        let mut put =
            |at: usize, entry: u64| bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
        put(0x0000, 0x1007);
        put(0x1000, 0x2007);
        put(0x2000, 0x3007);
        put(0x2008, 0x4007);
        put(0x3000, 0xa007);
        put(0x3008, 0xb007);
        put(0x4000, 0xc007);
        let region = Region::try_new(PhysAddr::new(0), &bytes[..]).unwrap();
        let memory = Counting(region, Cell::new(0));
        let walker = Walker::new(X86_64::four_level(), PhysAddr::new(0));
        let mut cursor = walker.cursor(&memory);
        let mut loads = |virt: u64| {
            let virt = VirtAddr::new(virt);
            let found = cursor.translate(virt);
            let loads = memory.1.take();
            assert_eq!(found, walker.translate(&memory, virt));
            memory.1.take();
            loads
        };
        assert_eq!(loads(0x1234), 4);
        assert_eq!(loads(0x1238), 1);
        assert_eq!(loads(0x0234), 1);
        assert_eq!(loads(0x2000), 1, "a fault");
        assert_eq!(loads(0x20_0000), 2, "the next table of level 1");
        assert_eq!(loads(0x40_0000), 1, "a fault of level 2");
        assert_eq!(loads(0x20_0008), 2);
        assert_eq!(loads(0x8000_0020_0000 | 0xfff), 0, "not canonical");
        assert_eq!(loads(0x20_0010), 1, "what was at hand still is");
        assert_eq!(loads(0xffff_8000_0000_0000), 1);
    }
}
