//! A walker whose architecture is known only at run time: a dump tells it.
//!
//! Each operation chooses once, then runs the code compiled for that architecture; only the items of
//! the iterators are chosen one by one.

use core::{fmt, iter::FusedIterator, ops::RangeInclusive};

use physmem::{PhysAddr, PhysMemory, PhysRange, VirtAddr};

use crate::{
    aarch64::{self, AArch64},
    arch::{Arch, Step},
    cursor::Cursor,
    extents::{Extent, Extents},
    fault::Fault,
    ppc64::{self, Ppc64},
    reverse::Reverse,
    riscv::{self, RiscV64},
    s390x::{self, S390x},
    walker::{Entry, Mapping, Walk, Walker},
    x86::{X86, X86Pae},
    x86_64::{self, X86_64},
};

/// A [`Walker`] of any architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnyWalker {
    /// x86_64.
    X86_64(Walker<X86_64>),
    /// 32-bit x86 with two levels.
    X86(Walker<X86>),
    /// 32-bit x86 with PAE.
    X86Pae(Walker<X86Pae>),
    /// aarch64.
    AArch64(Walker<AArch64>),
    /// riscv64.
    RiscV64(Walker<RiscV64>),
    /// s390x.
    S390x(Walker<S390x>),
    /// ppc64.
    Ppc64(Walker<Ppc64>),
}

/// The flags of any architecture; prints as theirs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnyFlags {
    /// x86_64's, which 32-bit x86 shares.
    X86_64(x86_64::Flags),
    /// aarch64's.
    AArch64(aarch64::Flags),
    /// riscv64's.
    RiscV64(riscv::Flags),
    /// s390x's.
    S390x(s390x::Flags),
    /// ppc64's.
    Ppc64(ppc64::Flags),
}

/// Does the same to what `$any` holds, whichever variant of `$of` it is. With a constructor in front, the
/// result becomes that variant of another enum.
macro_rules! each {
    ($of:ident, $any:expr, $inner:pat => $do:expr) => {
        match $any {
            $of::X86_64($inner) => $do,
            $of::X86($inner) => $do,
            $of::X86Pae($inner) => $do,
            $of::AArch64($inner) => $do,
            $of::RiscV64($inner) => $do,
            $of::S390x($inner) => $do,
            $of::Ppc64($inner) => $do,
        }
    };
    ($to:ident <- $of:ident, $any:expr, $inner:pat => $do:expr) => {
        match $any {
            $of::X86_64($inner) => $to::X86_64($do),
            $of::X86($inner) => $to::X86($do),
            $of::X86Pae($inner) => $to::X86Pae($do),
            $of::AArch64($inner) => $to::AArch64($do),
            $of::RiscV64($inner) => $to::RiscV64($do),
            $of::S390x($inner) => $to::S390x($do),
            $of::Ppc64($inner) => $to::Ppc64($do),
        }
    };
}

pub(crate) use each;

/// An enum of what a walker of each architecture makes.
macro_rules! one_of {
    ($of:ident, $what:ident) => {
        #[derive(Debug)]
        enum $of<'m, M: ?Sized> {
            X86_64($what<'m, X86_64, M>),
            X86($what<'m, X86, M>),
            X86Pae($what<'m, X86Pae, M>),
            AArch64($what<'m, AArch64, M>),
            RiscV64($what<'m, RiscV64, M>),
            S390x($what<'m, S390x, M>),
            Ppc64($what<'m, Ppc64, M>),
        }
    };
}

impl AnyFlags {
    /// The flag word, with the bits where its architecture has them.
    pub fn bits(self) -> u64 {
        match self {
            Self::X86_64(flags) => flags.bits(),
            Self::AArch64(flags) => flags.bits(),
            Self::RiscV64(flags) => flags.bits(),
            Self::S390x(flags) => flags.bits(),
            Self::Ppc64(flags) => flags.bits(),
        }
    }
}

impl fmt::Display for AnyFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X86_64(flags) => flags.fmt(f),
            Self::AArch64(flags) => flags.fmt(f),
            Self::RiscV64(flags) => flags.fmt(f),
            Self::S390x(flags) => flags.fmt(f),
            Self::Ppc64(flags) => flags.fmt(f),
        }
    }
}

macro_rules! from {
    ($($to:ident::$variant:ident <- $from:ty;)*) => {$(
        impl From<$from> for $to {
            fn from(one: $from) -> Self {
                Self::$variant(one)
            }
        }
    )*};
}

from! {
    AnyFlags::X86_64 <- x86_64::Flags;
    AnyFlags::AArch64 <- aarch64::Flags;
    AnyFlags::RiscV64 <- riscv::Flags;
    AnyFlags::S390x <- s390x::Flags;
    AnyFlags::Ppc64 <- ppc64::Flags;
    AnyWalker::X86_64 <- Walker<X86_64>;
    AnyWalker::X86 <- Walker<X86>;
    AnyWalker::X86Pae <- Walker<X86Pae>;
    AnyWalker::AArch64 <- Walker<AArch64>;
    AnyWalker::RiscV64 <- Walker<RiscV64>;
    AnyWalker::S390x <- Walker<S390x>;
    AnyWalker::Ppc64 <- Walker<Ppc64>;
}

impl AnyWalker {
    /// The same paging mode with another root: another process, the other half under page-table
    /// isolation.
    #[must_use]
    pub fn with_root(&self, root: PhysAddr) -> Self {
        each!(Self <- Self, self, walker => Walker::new(walker.arch(), root))
    }

    /// The address of the root table.
    pub fn root(&self) -> PhysAddr {
        each!(Self, self, walker => walker.root())
    }

    /// The number of levels of tables.
    pub fn levels(&self) -> u8 {
        each!(Self, self, walker => walker.arch().levels())
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
        each!(Self, self, walker => walker.translate(memory, virt).map(Mapping::any))
    }

    /// Every entry on the way to `virt`, as [`Walker::walk`] gives them.
    pub fn walk<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        virt: VirtAddr,
    ) -> AnyWalk<'m, M> {
        AnyWalk(each!(WalkOf <- Self, self, walker => walker.walk(memory, virt)))
    }

    /// What `range` maps, as [`Walker::extents`] lists it.
    pub fn extents<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        range: RangeInclusive<VirtAddr>,
    ) -> AnyExtents<'m, M> {
        AnyExtents(each!(ExtentsOf <- Self, self, walker => walker.extents(memory, range)))
    }

    /// Where `range` maps the bytes of `frames`, as [`Walker::reverse`] finds it.
    pub fn reverse<'m, M: PhysMemory + ?Sized>(
        &self,
        memory: &'m M,
        range: RangeInclusive<VirtAddr>,
        frames: PhysRange,
    ) -> AnyReverse<'m, M> {
        AnyReverse(each!(ReverseOf <- Self, self, walker => walker.reverse(memory, range, frames)))
    }

    /// The physical addresses of `virts`, as [`Walker::translate_many`] gives them.
    pub fn translate_many<M: PhysMemory + ?Sized>(
        &self,
        memory: &M,
        virts: &[VirtAddr],
        mut put: impl FnMut(usize, Result<Mapping<AnyFlags>, Fault>),
    ) {
        each!(Self, self, walker => {
            walker.translate_many(memory, virts, |index, found| put(index, found.map(Mapping::any)));
        });
    }

    /// A cursor over these tables, as [`Walker::cursor`] makes one.
    pub fn cursor<'m, M: PhysMemory + ?Sized>(&self, memory: &'m M) -> AnyCursor<'m, M> {
        AnyCursor(each!(CursorOf <- Self, self, walker => walker.cursor(memory)))
    }
}

/// Made by [`AnyWalker::cursor`].
#[derive(Debug)]
pub struct AnyCursor<'m, M: ?Sized>(CursorOf<'m, M>);

one_of!(CursorOf, Cursor);

impl<M: PhysMemory + ?Sized> AnyCursor<'_, M> {
    /// The physical address of `virt`.
    ///
    /// # Errors
    ///
    /// As [`Cursor::translate`].
    #[inline]
    pub fn translate(&mut self, virt: VirtAddr) -> Result<Mapping<AnyFlags>, Fault> {
        each!(CursorOf, &mut self.0, cursor => cursor.translate(virt).map(Mapping::any))
    }
}

/// The iterator made by [`AnyWalker::walk`].
#[derive(Debug)]
pub struct AnyWalk<'m, M: ?Sized>(WalkOf<'m, M>);

one_of!(WalkOf, Walk);

impl<M: PhysMemory + ?Sized> Iterator for AnyWalk<'_, M> {
    type Item = Result<Entry<AnyFlags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        each!(WalkOf, &mut self.0, walk => Some(walk.next()?.map(Entry::any)))
    }
}

impl<M: PhysMemory + ?Sized> FusedIterator for AnyWalk<'_, M> {}

/// The iterator made by [`AnyWalker::extents`].
#[derive(Debug)]
pub struct AnyExtents<'m, M: ?Sized>(ExtentsOf<'m, M>);

one_of!(ExtentsOf, Extents);

impl<M: PhysMemory + ?Sized> AnyExtents<'_, M> {
    /// As [`Extents::with_budget`].
    #[must_use]
    pub fn with_budget(self, tables: u64) -> Self {
        Self(each!(ExtentsOf <- ExtentsOf, self.0, extents => extents.with_budget(tables)))
    }
}

impl<M: PhysMemory + ?Sized> Iterator for AnyExtents<'_, M> {
    type Item = Result<Extent<AnyFlags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        each!(ExtentsOf, &mut self.0, extents => Some(extents.next()?.map(Extent::any)))
    }

    fn fold<B, G: FnMut(B, Self::Item) -> B>(self, init: B, mut f: G) -> B {
        each!(ExtentsOf, self.0, extents => {
            extents.fold(init, |state, item| f(state, item.map(Extent::any)))
        })
    }
}

impl<M: PhysMemory + ?Sized> FusedIterator for AnyExtents<'_, M> {}

/// The iterator made by [`AnyWalker::reverse`].
#[derive(Debug)]
pub struct AnyReverse<'m, M: ?Sized>(ReverseOf<'m, M>);

one_of!(ReverseOf, Reverse);

impl<M: PhysMemory + ?Sized> AnyReverse<'_, M> {
    /// As [`Reverse::with_budget`].
    #[must_use]
    pub fn with_budget(self, tables: u64) -> Self {
        Self(each!(ReverseOf <- ReverseOf, self.0, reverse => reverse.with_budget(tables)))
    }
}

impl<M: PhysMemory + ?Sized> Iterator for AnyReverse<'_, M> {
    type Item = Result<Extent<AnyFlags>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        each!(ReverseOf, &mut self.0, reverse => Some(reverse.next()?.map(Extent::any)))
    }
}

impl<M: PhysMemory + ?Sized> FusedIterator for AnyReverse<'_, M> {}

impl<F: Into<AnyFlags>> Mapping<F> {
    fn any(self) -> Mapping<AnyFlags> {
        let Self { phys, shift, flags } = self;
        Mapping {
            phys,
            shift,
            flags: flags.into(),
        }
    }
}

impl<F: Into<AnyFlags>> Extent<F> {
    fn any(self) -> Extent<AnyFlags> {
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
            flags: flags.into(),
        }
    }
}

impl<F: Into<AnyFlags>> Entry<F> {
    fn any(self) -> Entry<AnyFlags> {
        let Self {
            level,
            at,
            raw,
            step,
        } = self;
        let step = match step {
            Step::Table { at, flags } => Step::Table {
                at,
                flags: flags.into(),
            },
            Step::Leaf { base, shift, flags } => Step::Leaf {
                base,
                shift,
                flags: flags.into(),
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
