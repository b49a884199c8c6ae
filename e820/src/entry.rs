//! One entry of a memory map: as found, and checked.
//!
//! ```text
//!   as found   addr, size, kind        any numbers: empty, past the end of the address space
//!   checked    [start, end), kind      at least one byte, ends below 2^64
//!   printed    [mem start-last] kind   the last byte, not the one after it
//! ```
//!
//! `struct boot_e820_entry` in Linux `arch/x86/include/uapi/asm/bootparam.h`;
//! `e820__print_table()` in `arch/x86/kernel/e820.c` prints it.

use core::fmt;

use physmem::{PhysAddr, PhysRange};

use crate::Kind;

/// An entry as it was found, however odd.
///
/// Prints as in the kernel's log. An entry that is empty or passes the end of the 64-bit space
/// prints what the kernel would print, a last address below the first one.
///
/// ```
/// use e820::{Kind, RawEntry};
///
/// let entry = RawEntry { addr: 0x1000, size: 0x9ec00, kind: Kind::RAM };
/// assert_eq!(entry.to_string(), "[mem 0x0000000000001000-0x000000000009fbff] usable");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RawEntry {
    /// Physical address of the first byte.
    pub addr: u64,
    /// Bytes.
    pub size: u64,
    /// What the memory is.
    pub kind: Kind,
}

impl RawEntry {
    /// The address of the last byte; `None` for an entry that is empty or passes the end of the
    /// 64-bit space.
    #[inline]
    pub const fn last(self) -> Option<u64> {
        match self.size.checked_sub(1) {
            Some(above) => self.addr.checked_add(above),
            None => None,
        }
    }

    /// The entry from `start` up to and without `end`; `None` if it would end before it starts.
    ///
    /// An `end` of 0 is how the end of the 64-bit space prints.
    pub(crate) fn from_end(start: u64, end: u64, kind: Kind) -> Option<Self> {
        let size = match end.checked_sub(start) {
            Some(size) => size,
            None if end == 0 => start.wrapping_neg(),
            None => return None,
        };
        Some(Self {
            addr: start,
            size,
            kind,
        })
    }

    /// The entry that prints as `[mem start-last] kind`; `None` if `last` lies below `start` or all
    /// 2^64 bytes are meant.
    ///
    /// A `last` that is one below `start` is how the kernel prints an empty entry.
    pub(crate) fn from_printed(start: u64, last: u64, kind: Kind) -> Option<Self> {
        let size = match last.checked_sub(start) {
            Some(above) => above.checked_add(1)?,
            None if last.checked_add(1) == Some(start) => 0,
            None => return None,
        };
        Some(Self {
            addr: start,
            size,
            kind,
        })
    }
}

impl fmt::Display for RawEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, size, kind } = *self;
        // The kernel computes `addr + size - 1` in 64 bits and prints what comes out.
        let last = addr.wrapping_add(size).wrapping_sub(1);
        write!(f, "[mem {addr:#018x}-{last:#018x}] {kind}")
    }
}

/// An entry that holds at least one byte and ends inside the 64-bit space.
///
/// ```
/// use e820::{Entry, Kind, RawEntry};
///
/// let entry = Entry::try_from(RawEntry { addr: 0x1000, size: 0x9ec00, kind: Kind::RAM })?;
/// assert_eq!(entry.range.end().as_u64(), 0x9fc00);
/// assert!(Entry::try_from(RawEntry { addr: 0x1000, size: 0, kind: Kind::RAM }).is_err());
/// # Ok::<(), physmem::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Where the memory is.
    pub range: PhysRange,
    /// What it is.
    pub kind: Kind,
}

/// # Errors
///
/// [`physmem::Error::EmptyRange`] for a size of 0, [`physmem::Error::WrappingRange`] if `addr + size`
/// does not fit 64 bits. An entry up to the very last byte is refused too, as the kernel does.
impl TryFrom<RawEntry> for Entry {
    type Error = physmem::Error;

    fn try_from(raw: RawEntry) -> Result<Self, physmem::Error> {
        let range = PhysRange::with_size(PhysAddr::new(raw.addr), raw.size)?;
        Ok(Self {
            range,
            kind: raw.kind,
        })
    }
}

impl From<Entry> for RawEntry {
    fn from(entry: Entry) -> Self {
        Self {
            addr: entry.range.start().as_u64(),
            size: entry.range.size(),
            kind: entry.kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn ram(addr: u64, size: u64) -> RawEntry {
        RawEntry {
            addr,
            size,
            kind: Kind::RAM,
        }
    }

    #[test]
    fn odd_entries_print_as_the_kernel_prints_them() {
        for (entry, printed) in [
            (
                ram(0x1000, 0),
                "[mem 0x0000000000001000-0x0000000000000fff] usable",
            ),
            (
                ram(0, 0),
                "[mem 0x0000000000000000-0xffffffffffffffff] usable",
            ),
            (
                ram(u64::MAX, 2),
                "[mem 0xffffffffffffffff-0x0000000000000000] usable",
            ),
            (
                ram(u64::MAX, 1),
                "[mem 0xffffffffffffffff-0xffffffffffffffff] usable",
            ),
        ] {
            assert_eq!(entry.to_string(), printed);
        }
    }

    #[test]
    fn last_byte_and_checked_range() {
        assert_eq!(ram(0x1000, 0x1000).last(), Some(0x1fff));
        assert_eq!(ram(0x1000, 0).last(), None);
        assert_eq!(ram(u64::MAX, 1).last(), Some(u64::MAX));
        assert_eq!(ram(u64::MAX, 2).last(), None);

        let start = PhysAddr::new(u64::MAX);
        assert_eq!(
            Entry::try_from(ram(u64::MAX, 1)),
            Err(physmem::Error::WrappingRange { start, size: 1 })
        );
        let checked = Entry::try_from(ram(0xfff, 2)).unwrap();
        assert_eq!(
            (checked.range.last().as_u64(), RawEntry::from(checked)),
            (0x1000, ram(0xfff, 2))
        );
    }

    #[test]
    fn printed_ends_are_inclusive() {
        let read = |start, last| RawEntry::from_printed(start, last, Kind::RAM);
        assert_eq!(read(0x1000, 0x1fff), Some(ram(0x1000, 0x1000)));
        assert_eq!(read(0x1000, 0xfff), Some(ram(0x1000, 0)));
        assert_eq!(read(0x1000, 0xffe), None);
        assert_eq!(read(1, u64::MAX), Some(ram(1, u64::MAX)));
        assert_eq!(read(0, u64::MAX), None);
    }
}
