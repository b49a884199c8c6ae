//! Why an address does not translate: which entry, where it lies, at which level, for which address.
//!
//! ```text
//! virtual address 0xffffd066c0005000: pte at 0x1003028 is not present (0x0)
//! └─ virt                             │   └─ entry_at      └─ kind      └─ the entry
//!                                     └─ level
//! ```

use core::fmt;

use physmem::{Absence, PhysAddr, VirtAddr};

use crate::arch::{Level, Refusal};

/// An address that does not translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The address that was being translated; in [`Extents`](crate::Extents) the first of those that
    /// the fault is about.
    pub virt: VirtAddr,
    /// The level of the entry.
    pub level: Level,
    /// Where the entry lies; for [`FaultKind::NonCanonical`] and [`FaultKind::MisalignedRoot`], for which none is read,
    /// the root.
    pub entry_at: PhysAddr,
    /// What is wrong with it.
    pub kind: FaultKind,
}

const _: () = assert!(size_of::<Fault>() <= 40);

/// What stopped a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The root begins where none can. Of a listing it is the only item.
    MisalignedRoot {
        /// It begins at a multiple of so many bytes.
        align: u64,
    },
    /// The paging mode has no such virtual address.
    NonCanonical,
    /// The entry is not present. Its bits are the operating system's: a swapped page, a page without
    /// rights, or 0.
    NotPresent {
        /// The entry as read.
        entry: u64,
    },
    /// The entry sets bits that the processor's manual reserves: it is damaged, or no entry.
    Reserved {
        /// The entry as read.
        entry: u64,
    },
    /// The table does not have the entry: only a part of it is there, as the entry that leads to it says.
    OutOfTable,
    /// The table cannot be read.
    Missing(Absence),
    /// Only from [`Extents`](crate::Extents): the entry leads back to a table on the way to it, which the
    /// listing does not enter again. A processor would.
    Loop {
        /// That table.
        table: PhysAddr,
    },
    /// Only from [`Extents`](crate::Extents): the entry leads to one table more than it was allowed
    /// to enter, and the listing ends.
    Budget,
}

impl FaultKind {
    pub(crate) fn refused(refusal: Refusal, entry: u64) -> Self {
        match refusal {
            Refusal::NotPresent => Self::NotPresent { entry },
            Refusal::Reserved => Self::Reserved { entry },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            virt,
            level,
            entry_at,
            kind,
        } = self;
        write!(f, "virtual address {virt}: ")?;
        match kind {
            FaultKind::MisalignedRoot { align } => {
                write!(f, "the root at {entry_at} is at no multiple of {align:#x}")
            }
            FaultKind::NonCanonical => {
                write!(f, "not canonical with {} levels of tables", level.of)
            }
            FaultKind::NotPresent { entry } => {
                write!(f, "{level} at {entry_at} is not present ({entry:#x})")
            }
            FaultKind::Reserved { entry } => {
                write!(f, "{level} at {entry_at} sets reserved bits ({entry:#x})")
            }
            FaultKind::OutOfTable => {
                write!(
                    f,
                    "{level} at {entry_at} is outside its table, which is not whole"
                )
            }
            FaultKind::Missing(why) => write!(f, "{level} at {entry_at} cannot be read: {why}"),
            FaultKind::Loop { table } => {
                write!(
                    f,
                    "{level} at {entry_at} leads back to the table at {table}"
                )
            }
            FaultKind::Budget => {
                write!(f, "{level} at {entry_at} leads to more tables than allowed")
            }
        }
    }
}

impl core::error::Error for Fault {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            FaultKind::Missing(why) => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_fault_explains_itself() {
        let text = |kind| {
            let level = Level { number: 2, of: 4 };
            let (virt, entry_at) = (VirtAddr::new(0x40_0000), PhysAddr::new(0x1010));
            Fault {
                virt,
                level,
                entry_at,
                kind,
            }
            .to_string()
        };
        assert_eq!(
            text(FaultKind::MisalignedRoot { align: 0x1000 }),
            "virtual address 0x400000: the root at 0x1010 is at no multiple of 0x1000"
        );
        assert_eq!(
            text(FaultKind::NotPresent { entry: 0x80 }),
            "virtual address 0x400000: pmd at 0x1010 is not present (0x80)"
        );
        assert_eq!(
            text(FaultKind::Reserved { entry: 0x2081 }),
            "virtual address 0x400000: pmd at 0x1010 sets reserved bits (0x2081)"
        );
        assert_eq!(
            text(FaultKind::Missing(Absence::Excluded)),
            "virtual address 0x400000: pmd at 0x1010 cannot be read: excluded when the dump was written"
        );
        assert_eq!(
            text(FaultKind::OutOfTable),
            "virtual address 0x400000: pmd at 0x1010 is outside its table, which is not whole"
        );
        assert_eq!(
            text(FaultKind::NonCanonical),
            "virtual address 0x400000: not canonical with 4 levels of tables"
        );
        let table = PhysAddr::new(0x1000);
        assert_eq!(
            text(FaultKind::Loop { table }),
            "virtual address 0x400000: pmd at 0x1010 leads back to the table at 0x1000"
        );
        assert_eq!(
            text(FaultKind::Budget),
            "virtual address 0x400000: pmd at 0x1010 leads to more tables than allowed"
        );
    }
}
