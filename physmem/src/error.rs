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
    #[error("page shift is {value:#x}, allowed: 0xc (4 KiB) to 0x1e (1 GiB)")]
    PageShift {
        /// The shift asked for.
        value: u8,
    },
    /// A list that must ascend does not.
    #[error("item {index} begins at {start}, must begin at or above {previous}")]
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

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::{PageShift, PhysRange, Region, Regions, sorted};

    #[test]
    fn errors_say_what_was_found_and_what_would_have_been_allowed() {
        let at = PhysAddr::new;
        let range = |start, end| PhysRange::try_new(at(start), at(end));
        let region = |base| Region::try_new(at(base), [0_u8; 0x10]).unwrap();
        let overlapping = [region(0x10), region(0x1f)];
        let unsorted = [range(0x20, 0x80).unwrap(), range(0x1f, 0x30).unwrap()];
        let cases = [
            (
                range(0x20, 0x10).unwrap_err(),
                "range 0x20..0x10 is empty or reversed",
            ),
            (
                PhysRange::with_size(at(0x1000), u64::MAX).unwrap_err(),
                "range of 0xffffffffffffffff bytes at 0x1000 passes the end of the address space",
            ),
            (
                PageShift::try_new(31).unwrap_err(),
                "page shift is 0x1f, allowed: 0xc (4 KiB) to 0x1e (1 GiB)",
            ),
            // The end of the region before it, and the start of the range before it.
            (
                Regions::try_new(&overlapping[..]).unwrap_err(),
                "item 1 begins at 0x1f, must begin at or above 0x20",
            ),
            (
                sorted(unsorted).unwrap_err(),
                "item 1 begins at 0x1f, must begin at or above 0x20",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
