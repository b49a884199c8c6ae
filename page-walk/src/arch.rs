//! What a paging mode has to say so that one walker can walk it.
//!
//! ```text
//!  virtual address   │ sign or zero │ index │ index │ … │ index │ offset in page │
//!                                   └──┬────┴──┬────┴───┴──┬────┘
//!  level                            levels()  …            1
//!  entry of a level  │ flags │ physical address │ flags │   either the next table or a page
//! ```
//!
//! Levels are numbered from the pages up, as Linux's `enum pg_level` does: an entry of level 1 maps
//! base pages, in every mode, however many levels lie above it.

use core::{fmt, ops::RangeInclusive};

use physmem::{Endian, PhysAddr, VirtAddr, Width};

/// The most levels an [`Arch`] may have: x86_64, s390x and riscv64 (Sv57) have five.
pub(crate) const MAX_LEVELS: usize = 5;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A paging mode: how a virtual address is cut into indices, and what an entry means.
///
/// A value, not only a type, since modes differ in what the machine was told at boot (levels,
/// encryption mask). Walkers are compiled for each implementation, so that none of these calls is
/// left in the loop.
///
/// Sealed, because the walker relies on what is promised here; every `level` it asks about is 1 to
/// [`Arch::levels`].
pub trait Arch: Copy + sealed::Sealed {
    /// What an entry says of a page besides its address.
    type Flags: Copy + PartialEq + fmt::Debug;

    /// The width and byte order of an entry.
    fn entry(&self) -> (Width, Endian);

    /// Levels of tables, 1 to 5; also the level of the root table.
    fn levels(&self) -> u8;

    /// The lowest bit of a virtual address that indexes tables of `level`; with
    /// [`Arch::index_bits`] less than 64, or for the root's level 64.
    fn shift(&self, level: u8) -> u8;

    /// How many bits index a table of `level`.
    fn index_bits(&self, level: u8) -> u8;

    /// The root table's address: of CR3 of x86 without what else it holds; elsewhere `address` itself.
    #[inline]
    fn root(&self, address: u64) -> PhysAddr {
        PhysAddr::new(address)
    }

    /// The bits that no root's address has, for a root begins at a multiple of its size; none on x86, where
    /// [`Arch::root`] takes them away.
    fn root_low(&self) -> u64;

    /// The flags of a path that takes no right away, as if an entry led to the root: where
    /// [`Arch::inherit`] begins.
    fn unrestricted(&self) -> Self::Flags;

    /// The numbers of the entries that a table has, as the `flags` of the path to it tell; `None` if it has all
    /// that [`Arch::index_bits`] can number, as tables of level 1 always have.
    #[inline]
    fn part(&self, level: u8, flags: Self::Flags) -> Option<RangeInclusive<usize>> {
        let _ = (level, flags);
        None
    }

    /// The first stretch of addresses at or above `from` that this mode can translate, cut to begin at
    /// `from` if that lies inside; `None` if there is none.
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>>;

    /// What an entry of `level` means.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the processor would fault on it.
    fn step(&self, level: u8, entry: u64) -> Result<Step<Self::Flags>, Refusal>;

    /// Whether `next`, an entry of the same level, maps the page after that of `leaf`, with the same flags;
    /// `leaf` is an entry of which [`Arch::step`] makes a [`Step::Leaf`]. Listings ask it of every page.
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool;

    /// An entry's flags, less the rights that the entries above it have already taken away.
    fn inherit(above: Self::Flags, own: Self::Flags) -> Self::Flags;
}

/// Whether `next` is `leaf` plus `page`, and no bit outside `address` differs. A carry out of the address changes
/// such a bit; where it leaves the entry, the sum wraps and changes the highest.
#[inline]
pub(crate) fn is_next(leaf: u64, next: u64, page: u64, address: u64) -> bool {
    // A difference that is right is rare where pages are scattered.
    next.wrapping_sub(leaf) == page && (leaf ^ next) & !address == 0
}

/// The first addresses at or above `from` whose bits above the lowest `bits` repeat the highest of those.
#[inline]
pub(crate) fn sign_extended(bits: u8, from: VirtAddr) -> RangeInclusive<VirtAddr> {
    let lower_last = (1_u64 << (bits - 1)) - 1;
    // The upper half is the lower one with each bit turned round.
    let upper_first = !lower_last;
    if from.as_u64() <= lower_last {
        from..=VirtAddr::new(lower_last)
    } else {
        from.max(VirtAddr::new(upper_first))..=VirtAddr::new(u64::MAX)
    }
}

/// Where an entry leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<F> {
    /// To the table of the next lower level.
    Table {
        /// The table's address.
        at: PhysAddr,
        /// This entry's own flags.
        flags: F,
    },
    /// To a page.
    Leaf {
        /// The page's first address.
        base: PhysAddr,
        /// The page's size is `1 << shift` bytes.
        shift: u8,
        /// This entry's own flags.
        flags: F,
    },
}

/// Why an entry leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The entry says that nothing is there; its other bits belong to the operating system.
    NotPresent,
    /// The entry sets bits that the processor's manual reserves.
    Reserved,
}

/// A level of tables, with the number of levels there are: `Level { number: 1, of: 4 }` is the last
/// of four.
///
/// Prints Linux's name for it, which is also what crash's `vtop` prints: `pgd` for the root and, from
/// the pages up, `pte`, `pmd`, `pud`, `p4d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level {
    /// 1 for the level that maps base pages.
    pub number: u8,
    /// The root's number.
    pub of: u8,
}

impl Level {
    /// Linux's name for the level.
    pub const fn name(self) -> &'static str {
        match self.number {
            number if number == self.of => "pgd",
            1 => "pte",
            2 => "pmd",
            3 => "pud",
            _ => "p4d",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the tests of every architecture expect of an entry.
#[cfg(test)]
pub(crate) mod testing {
    use physmem::PhysAddr;

    use super::{Refusal, Step};

    pub(crate) fn leaf<F>(base: u64, shift: u8, flags: F) -> Result<Step<F>, Refusal> {
        let base = PhysAddr::new(base);
        Ok(Step::Leaf { base, shift, flags })
    }

    pub(crate) fn table<F>(at: u64, flags: F) -> Result<Step<F>, Refusal> {
        let at = PhysAddr::new(at);
        Ok(Step::Table { at, flags })
    }
}

#[cfg(test)]
mod tests {
    use std::{format, vec::Vec};

    use super::*;

    #[test]
    fn levels_have_linuxs_names() {
        let names = |of: u8| -> Vec<_> {
            (1..=of)
                .rev()
                .map(|number| Level { number, of }.name())
                .collect()
        };
        assert_eq!(names(5), ["pgd", "p4d", "pud", "pmd", "pte"]);
        assert_eq!(names(4), ["pgd", "pud", "pmd", "pte"]);
        assert_eq!(names(3), ["pgd", "pmd", "pte"]);
        assert_eq!(names(2), ["pgd", "pte"]);
        assert_eq!(format!("{:4}|", Level { number: 1, of: 4 }), "pte |");
    }
}
