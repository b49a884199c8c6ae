//! Many translations at once, for memory that is slow to answer.
//!
//! ```text
//!  one at a time    ─4──3──2──1─ ─4──3──2──1─ ─4──3──2──1─      each load waits for the one before
//!  sixteen at once  ─4──3──2──1─
//!                   ─4──3──2──1─    the loads of a level wait for nothing but the level above
//!                   ─4──3──2──1─
//! ```
//!
//! A walk is a chain of loads, and nothing of it can be begun earlier. But the chains of different addresses
//! have nothing to do with each other, so that a processor waits for sixteen misses in the time of one.
//! For that, all loads of a level are made before the first entry is looked at: a branch on what has not
//! come yet, guessed wrong, would take back everything behind it.

use core::ops::ControlFlow;

use physmem::{MemError, PhysAddr, PhysMemory, VirtAddr};

use crate::{
    arch::{Arch, Step},
    fault::{Fault, FaultKind},
    walker::{Mapping, Place, Walker, within_page},
};

/// Walks at once: about as many misses as a core keeps under way.
const LANES: usize = 16;

impl<A: Arch> Walker<A> {
    /// The physical addresses of `virts`, in whatever order these stand: `put` is called once for each,
    /// with its place among them and what [`Walker::translate`] gives for it; in which order is not said.
    ///
    /// Sixteen walks are under way together. That pays where tables are not in a cache: at random
    /// addresses of a big space. For neighbours, a [`Cursor`](crate::Cursor) is faster.
    ///
    /// ```
    /// # use page_walk::{Walker, X86_64};
    /// # use physmem::{PhysAddr, Region, VirtAddr};
    /// # let page = 7_u64.to_le_bytes();
    /// # let memory = Region::try_new(PhysAddr::new(0), page)?;
    /// # let walker = Walker::new(X86_64::four_level(), PhysAddr::new(0));
    /// let virts = [0x123, 0x1000].map(VirtAddr::new);
    /// let mut phys = [None; 2];
    /// walker.translate_many(&memory, &virts, |index, found| {
    ///     phys[index] = found.ok().map(|mapping| mapping.phys);
    /// });
    /// assert_eq!(phys, [Some(PhysAddr::new(0x123)), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn translate_many<M: PhysMemory + ?Sized>(
        &self,
        memory: &M,
        virts: &[VirtAddr],
        mut put: impl FnMut(usize, Result<Mapping<A::Flags>, Fault>),
    ) {
        let mut index = 0;
        for virts in virts.chunks(LANES) {
            let mut lanes = [Lane {
                index: 0,
                virt: VirtAddr::new(0),
                table: self.root(),
                rights: self.arch().unrestricted(),
                raw: Ok(0),
            }; LANES];
            let mut used = 0;
            for virt in virts {
                match (self.check(*virt), lanes.get_mut(used)) {
                    (Ok(()), Some(lane)) => {
                        (lane.index, lane.virt) = (index, *virt);
                        used += 1;
                    }
                    (Err(fault), _) => put(index, Err(fault)),
                    // A chunk has no more addresses than there are lanes.
                    (Ok(()), None) => {}
                }
                index += 1;
            }
            let (lanes, _) = lanes.split_at_mut(used);
            self.walk_lanes(memory, lanes, &mut put);
        }
    }

    /// Walks all of `lanes` from the root down.
    fn walk_lanes<M: PhysMemory + ?Sized>(
        &self,
        memory: &M,
        mut lanes: &mut [Lane<A::Flags>],
        put: &mut impl FnMut(usize, Result<Mapping<A::Flags>, Fault>),
    ) {
        let (width, order) = self.arch().entry();
        for level in (1..=self.arch().levels()).rev() {
            for lane in &mut *lanes {
                let place = lane.place(level);
                lane.raw = memory.word(self.entry_at(lane.virt, place), width, order);
            }
            let mut left = 0;
            for at in 0..lanes.len() {
                let Some(lane) = lanes.get(at) else { break };
                match self.step_lane(lane, level) {
                    ControlFlow::Continue(lower) => {
                        if let Some(slot) = lanes.get_mut(left) {
                            *slot = lower;
                        }
                        left += 1;
                    }
                    ControlFlow::Break(found) => put(lane.index, found),
                }
            }
            (lanes, _) = lanes.split_at_mut(left);
        }
    }

    /// The lane with the table that its entry leads to, or what the walk came to.
    #[inline]
    fn step_lane(&self, lane: &Lane<A::Flags>, level: u8) -> Next<A::Flags> {
        let kind = match lane.raw {
            _ if !self.has_entry(lane.virt, level, lane.rights) => FaultKind::OutOfTable,
            Ok(raw) => match self.step(level, raw) {
                Ok(Step::Table { at, flags }) => {
                    return ControlFlow::Continue(Lane {
                        table: at,
                        rights: A::inherit(lane.rights, flags),
                        ..*lane
                    });
                }
                Ok(Step::Leaf { base, shift, flags }) => {
                    return ControlFlow::Break(Ok(Mapping {
                        phys: within_page(base, shift, lane.virt),
                        shift,
                        flags: A::inherit(lane.rights, flags),
                    }));
                }
                Err(refusal) => FaultKind::refused(refusal, raw),
            },
            Err(error) => FaultKind::Missing(error.why),
        };
        ControlFlow::Break(Err(self.fault(lane.virt, lane.place(level), kind)))
    }
}

/// What an entry makes of a walk: it goes on, or it is done.
type Next<F> = ControlFlow<Result<Mapping<F>, Fault>, Lane<F>>;

/// A walk under way.
#[derive(Clone, Copy)]
struct Lane<F> {
    /// Of its address among those asked for.
    index: usize,
    virt: VirtAddr,
    table: PhysAddr,
    rights: F,
    /// The entry of the table, not yet looked at.
    raw: Result<u64, MemError>,
}

impl<F> Lane<F> {
    #[inline]
    fn place(&self, level: u8) -> Place {
        Place {
            table: self.table,
            level,
        }
    }
}
