//! What cannot be built: a range that is empty or wraps, a page size nobody has, a list out of order.

use crate::PhysAddr;

/// Why a value of this crate could not be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A range would hold no byte: its end is not above its start.
    #[error("range {start}..{end} is empty or reversed")]
    EmptyRange {
        /// The first address asked for.
        start: PhysAddr,
        /// The address after the last one asked for.
        end: PhysAddr,
    },
    /// A range would end above the last address that an end can name, `u64::MAX`.
    #[error("range of {size:#x} bytes at {start} passes the end of the address space")]
    WrappingRange {
        /// The first address asked for.
        start: PhysAddr,
        /// Bytes asked for.
        size: u64,
    },
    /// A page size outside 4 KiB to 1 GiB.
    #[error("page shift {value} is not in 12..=30 (4 KiB to 1 GiB)")]
    PageShift {
        /// The shift asked for.
        value: u8,
    },
    /// A list that must ascend does not.
    #[error("item {index} at {start} begins before the end of what precedes it, {previous}")]
    OutOfOrder {
        /// The position of the offending item in its list, from 0.
        index: usize,
        /// Where that item begins.
        start: PhysAddr,
        /// The lowest address at which it could have begun.
        previous: PhysAddr,
    },
}

const _: () = assert!(size_of::<Error>() <= 48);
