//! A walker whose architecture is known only at run time: a dump tells it.
//!
//! Each operation chooses once, then runs the code compiled for that architecture; only the items of
//! the iterators are chosen one by one.

use core::{fmt, iter::FusedIterator, ops::RangeInclusive};

use physmem::{PhysAddr, PhysMemory, VirtAddr};

use crate::{
    arch::{Arch, Step},
    extents::{Extent, Extents},
    fault::Fault,
    walker::{Entry, Mapping, Walk, Walker},
    x86_64::{self, X86_64},
};

/// A [`Walker`] of any architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnyWalker {
    /// x86_64.
    X86_64(Walker<X86_64>),
}

/// The flags of any architecture; prints as theirs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnyFlags {
    /// x86_64.
    X86_64(x86_64::Flags),
}

impl AnyFlags {
    /// The flag word, with the bits where its architecture has them.
    pub fn bits(self) -> u64 {
        match self {
            Self::X86_64(flags) => flags.bits(),
        }
    }
}

impl fmt::Display for AnyFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X86_64(flags) => flags.fmt(f),
        }
    }
}

impl From<Walker<X86_64>> for AnyWalker {
    fn from(walker: Walker<X86_64>) -> Self {
        Self::X86_64(walker)
    }
}

impl AnyWalker {
    /// The same paging mode with another root: another process, the other half under page-table
    /// isolation.
    #[must_use]
    pub fn with_root(&self, root: PhysAddr) -> Self {
        match self {
            Self::X86_64(walker) => Self::X86_64(Walker::new(walker.arch(), root)),
        }
    }

    /// The address of the root table.
    pub fn root(&self) -> PhysAddr {
        match self {
            Self::X86_64(walker) => walker.root(),
        }
    }

    /// The number of levels of tables.
    pub fn levels(&self) -> u8 {
        match self {
            Self::X86_64(walker) => walker.arch().levels(),
        }
    }

    /// The physical address of `virt`.
    ///
    /// # Errors
    ///
    /// As [`Walker::translate`].
    #[inline]
    pub fn translate<M: PhysMemory + ?Sized>(
        &self,
        memory: &M,
        virt: VirtAddr,
    ) -> Result<Mapping<AnyFlags>, Fault> {
        match self {
            Self::X86_64(walker) => walker
                .translate(memory, virt)
                .map(|mapping| mapping.map_flags(AnyFlags::X86_64)),
        }
    }

    /// Every entry on the way to `virt`, as [`Walker::walk`] gives them.
    pub fn walk<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        virt: VirtAddr,
    ) -> AnyWalk<'m, M> {
        match self {
            Self::X86_64(walker) => AnyWalk(WalkOf::X86_64(walker.walk(memory, virt))),
        }
    }

    /// What `range` maps, as [`Walker::extents`] lists it.
    pub fn extents<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        range: RangeInclusive<VirtAddr>,
    ) -> AnyExtents<'m, M> {
        match self {
            Self::X86_64(walker) => AnyExtents(ExtentsOf::X86_64(walker.extents(memory, range))),
        }
    }
}

/// The iterator made by [`AnyWalker::walk`].
#[derive(Debug)]
pub struct AnyWalk<'m, M: ?Sized>(WalkOf<'m, M>);

#[derive(Debug)]
enum WalkOf<'m, M: ?Sized> {
    X86_64(Walk<'m, X86_64, M>),
}

impl<M: PhysMemory + ?Sized> Iterator for AnyWalk<'_, M> {
    type Item = Result<Entry<AnyFlags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            WalkOf::X86_64(walk) => {
                Some(walk.next()?.map(|entry| entry.map_flags(AnyFlags::X86_64)))
            }
        }
    }
}

impl<M: PhysMemory + ?Sized> FusedIterator for AnyWalk<'_, M> {}

/// The iterator made by [`AnyWalker::extents`].
#[derive(Debug)]
pub struct AnyExtents<'m, M: ?Sized>(ExtentsOf<'m, M>);

#[derive(Debug)]
enum ExtentsOf<'m, M: ?Sized> {
    X86_64(Extents<'m, X86_64, M>),
}

impl<M: PhysMemory + ?Sized> AnyExtents<'_, M> {
    /// As [`Extents::with_budget`].
    #[must_use]
    pub fn with_budget(self, tables: u64) -> Self {
        match self.0 {
            ExtentsOf::X86_64(extents) => Self(ExtentsOf::X86_64(extents.with_budget(tables))),
        }
    }
}

impl<M: PhysMemory + ?Sized> Iterator for AnyExtents<'_, M> {
    type Item = Result<Extent<AnyFlags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            ExtentsOf::X86_64(extents) => Some(
                extents
                    .next()?
                    .map(|extent| extent.map_flags(AnyFlags::X86_64)),
            ),
        }
    }
}

impl<M: PhysMemory + ?Sized> FusedIterator for AnyExtents<'_, M> {}

impl<F> Mapping<F> {
    fn map_flags<G>(self, map: impl FnOnce(F) -> G) -> Mapping<G> {
        let Self { phys, shift, flags } = self;
        Mapping {
            phys,
            shift,
            flags: map(flags),
        }
    }
}

impl<F> Extent<F> {
    fn map_flags<G>(self, map: impl FnOnce(F) -> G) -> Extent<G> {
        let Self {
            virt,
            phys,
            size,
            shift,
            flags,
        } = self;
        Extent {
            virt,
            phys,
            size,
            shift,
            flags: map(flags),
        }
    }
}

impl<F> Entry<F> {
    fn map_flags<G>(self, map: impl FnOnce(F) -> G) -> Entry<G> {
        let Self {
            level,
            at,
            raw,
            step,
        } = self;
        let step = match step {
            Step::Table { at, flags } => Step::Table {
                at,
                flags: map(flags),
            },
            Step::Leaf { base, shift, flags } => Step::Leaf {
                base,
                shift,
                flags: map(flags),
            },
        };
        Entry {
            level,
            at,
            raw,
            step,
        }
    }
}
