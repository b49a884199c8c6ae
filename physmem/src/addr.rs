//! Addresses, frame numbers and page sizes: four integers that must not be mixed up.
//!
//! ```text
//!  63                          shift            0
//! ┌──────────────────────────────┬───────────────┐
//! │ frame number (Pfn)           │ offset in page│   PhysAddr, split by a PageShift
//! └──────────────────────────────┴───────────────┘
//! ```
//!
//! A [`Pfn`] means nothing without its [`PageShift`]: guests with 4 KiB pages lie in dumps with
//! 64 KiB blocks.

use core::fmt;

use crate::Error;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The address with this number.
            #[inline]
            pub const fn new(address: u64) -> Self {
                Self(address)
            }

            /// The address as a number.
            #[inline]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// The address `bytes` higher, or `None` past the end of the 64-bit space.
            #[inline]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(address) => Some(Self(address)),
                    None => None,
                }
            }

            /// How many bytes `self` lies above `lower`, or `None` if it lies below.
            #[inline]
            pub const fn checked_offset_from(self, lower: Self) -> Option<u64> {
                self.0.checked_sub(lower.0)
            }

            /// Offset within its page, in bytes.
            #[inline]
            pub const fn page_offset(self, page: PageShift) -> u64 {
                self.0 & (page.bytes() - 1)
            }

            /// The first address of its page.
            #[inline]
            pub const fn align_down(self, page: PageShift) -> Self {
                Self(self.0 & !(page.bytes() - 1))
            }

            /// The first page boundary at or above it, or `None` past the end of the 64-bit space.
            #[inline]
            pub const fn align_up(self, page: PageShift) -> Option<Self> {
                match self.checked_add(page.bytes() - 1) {
                    Some(above) => Some(above.align_down(page)),
                    None => None,
                }
            }
        }

        impl From<u64> for $name {
            fn from(address: u64) -> Self {
                Self(address)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// A physical address, in bytes. Prints as `0x1000`.
    PhysAddr
}

address! {
    /// A virtual address, in bytes: what a page table translates. Prints as `0xffff888000000000`.
    VirtAddr
}

impl PhysAddr {
    /// The frame that holds it.
    #[inline]
    pub const fn pfn(self, page: PageShift) -> Pfn {
        Pfn(self.0 >> page.0)
    }
}

/// A page frame number: a physical address divided by a page size that the number itself does not
/// know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Pfn(u64);

impl Pfn {
    /// The frame with this number.
    #[inline]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The frame's number.
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The frame's first address, or `None` if that lies past the end of the 64-bit space.
    #[inline]
    pub const fn addr(self, page: PageShift) -> Option<PhysAddr> {
        match self.0.checked_mul(page.bytes()) {
            Some(address) => Some(PhysAddr(address)),
            None => None,
        }
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A page size as a power of two, 4 KiB (12) to 1 GiB (30): every base page and dump block Linux
/// has, and the huge pages up to x86's 1 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageShift(u8);

impl PageShift {
    /// 4 KiB pages.
    pub const SIZE_4K: Self = Self(12);
    /// 16 KiB pages.
    pub const SIZE_16K: Self = Self(14);
    /// 64 KiB pages.
    pub const SIZE_64K: Self = Self(16);

    /// The page size of `1 << shift` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::PageShift`] outside 12..=30.
    pub const fn try_new(shift: u8) -> Result<Self, Error> {
        match shift {
            12..=30 => Ok(Self(shift)),
            value => Err(Error::PageShift { value }),
        }
    }

    /// The page size of `bytes` bytes, `None` if that is not a power of two from 4 KiB to 1 GiB.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match (bytes.is_power_of_two(), bytes.trailing_zeros()) {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "12..=30 fits in eight bits"
            )]
            (true, shift @ 12..=30) => Some(Self(shift as u8)),
            _ => None,
        }
    }

    /// The exponent: 12 for 4 KiB.
    #[inline]
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// Bytes in a page.
    #[inline]
    pub const fn bytes(self) -> u64 {
        1 << self.0
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_frame_number_needs_its_page_size() {
        let at = PhysAddr::new(0x12345);
        assert_eq!(at.pfn(PageShift::SIZE_4K), Pfn::new(0x12));
        assert_eq!(at.pfn(PageShift::SIZE_64K), Pfn::new(0x1));
        assert_eq!(at.page_offset(PageShift::SIZE_64K), 0x2345);
        assert_eq!(
            Pfn::new(0x12).addr(PageShift::SIZE_4K),
            Some(PhysAddr::new(0x12000))
        );
        assert_eq!(Pfn::new(1 << 52).addr(PageShift::SIZE_4K), None);
    }

    #[test]
    fn alignment_stops_at_the_end_of_the_space() {
        let page = PageShift::SIZE_4K;
        assert_eq!(
            PhysAddr::new(0x1001).align_up(page),
            Some(PhysAddr::new(0x2000))
        );
        assert_eq!(
            PhysAddr::new(0x1000).align_up(page),
            Some(PhysAddr::new(0x1000))
        );
        assert_eq!(VirtAddr::new(u64::MAX).align_up(page), None);
        assert_eq!(
            VirtAddr::new(u64::MAX).align_down(page).to_string(),
            "0xfffffffffffff000"
        );
    }

    #[test]
    fn page_sizes_are_the_ones_that_exist() {
        assert_eq!(PageShift::try_new(11), Err(Error::PageShift { value: 11 }));
        assert_eq!(PageShift::try_new(31), Err(Error::PageShift { value: 31 }));
        assert_eq!(PageShift::from_bytes(0x10000), Some(PageShift::SIZE_64K));
        for not_a_page in [0, 1, 2048, 4097, 12288, 1 << 31, u64::MAX] {
            assert_eq!(PageShift::from_bytes(not_a_page), None);
        }
    }
}
