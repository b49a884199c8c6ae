//! ppc64: radix page tables, four levels, with pages of 4 or of 64 KiB.
//!
//! ```text
//!  virtual    63 62 61    52 51        39 38      30 29      21 20           0
//!             │quad│   0    │     4      │    3     │    2     │  1  │ offset │   level of the index
//!                                                              20 12  4 KiB pages: nine bits
//!                                                              20 16 64 KiB pages: five
//!  page                                    1 GiB      2 MiB     4 KiB, 64 KiB
//!
//!  entry      63 62 61 60  57 56                          12 11  9  8   7  6  5 4  3   2 1 0
//!   page      │1│1│soft│ KEY │ page                         │soft│REF│CHG│   │ATT│PRIV│R│W│X│
//!   table     │1│0│          │ table 59:8                          │ 0 │  NLS              │
//!                                                                       7  5 4            0
//!  process table entry, first doubleword
//!             │0│RTS│ 0 │ table 59:8                                   │RTS│  RPDS            │
//!               62 61                                                   7  5
//! ```
//!
//! Bits are counted from the right, as in every architecture here; the manual counts from the left. Entries are
//! big-endian, whatever the byte order of the system that made them.
//!
//! An entry tells how many index bits the next table has, `NLS`. POWER9 and POWER10 take 13, 9, 9 and, where pages
//! begin, 9 or 5; Linux takes one of the latter for all. An entry with another number than its mode has is
//! refused as one with reserved bits is.
//!
//! The highest two bits of an address choose its tables: 3 the kernel's, those of process 0; 0 the process's.
//!
//! Source: Power ISA 3.0B and 3.1, book III, "Radix Tree Translation": "Radix Tree Page Directory Entry", "Radix Tree
//! Page Table Entry", "Process Table Entry"; POWER9 Processor User's Manual, 4.10.4.1, and POWER10's, 5.10.6.1,
//! "Supported Radix Tree Configurations".

use core::{fmt, ops::RangeInclusive};

use physmem::{Endian, PhysAddr, VirtAddr, Width};

use crate::{
    arch::{Arch, Refusal, Step, is_next, sealed::Sealed},
    flags,
    walker::Walker,
};

/// V: everything else in an entry counts only with it.
const VALID: u64 = 1 << 63;
/// L: the entry maps a page.
const LEAF: u64 = 1 << 62;
/// RPN: bits 56:12, the page's address.
const PAGE: u64 = 0x01ff_ffff_ffff_f000;
/// NLB, and RPDB of a process table entry: bits 59:8, the table's address.
const TABLE: u64 = 0x0fff_ffff_ffff_ff00;
/// NLS, and RPDS of a process table entry: index bits of the next table.
const SIZE: u64 = 0x1f;
/// Bits of the root's index.
const ROOT_BITS: u8 = 13;
/// RTS of a process table entry, bits 62:61 and 7:5, for addresses of 52 bits: 52 less 31.
const TREE_SIZE: u64 = 3 << 61 | 7 << 5;
const TREE_52: u64 = 2 << 61 | 5 << 5;
/// The last byte of what a tree translates.
const LAST: u64 = (1 << 52) - 1;
/// The first address of the kernel's quadrant.
const KERNEL: u64 = 3 << 62;

bitflags::bitflags! {
    /// What an entry says of a page, each bit where the processor has it.
    ///
    /// Bits without a name are kept: those for software (61, 11:9) and the key (60:57). Tables have none.
    ///
    /// Prints the names, then the nameless bits in hex: `PRIV R W X REF CHG 0x400`, or `-` for none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u64 {
        /// Instruction fetches are allowed.
        const X = 1 << 0;
        /// Writes are allowed.
        const W = 1 << 1;
        /// Reads are allowed.
        const R = 1 << 2;
        /// Privileged: only the kernel's accesses are allowed.
        const PRIV = 1 << 3;
        /// Strong access order.
        const SAO = 1 << 4;
        /// Not cached, guarded; devices.
        const IO = 1 << 5;
        /// Not cached, accesses may be repeated and combined.
        const TOLERANT = 3 << 4;
        /// Changed.
        const CHG = 1 << 7;
        /// Referenced.
        const REF = 1 << 8;

        const _ = !0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u64, &str); 9] = [
            (Flags::PRIV.bits(), "PRIV"),
            (Flags::R.bits(), "R"),
            (Flags::W.bits(), "W"),
            (Flags::X.bits(), "X"),
            (Flags::REF.bits(), "REF"),
            (Flags::CHG.bits(), "CHG"),
            (Flags::TOLERANT.bits(), "TOLERANT"),
            (Flags::SAO.bits(), "SAO"),
            (Flags::IO.bits(), "IO"),
        ];
        flags::print(self.bits(), &NAMES, f)
    }
}

/// The radix paging mode of a 64-bit POWER kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ppc64 {
    /// A page has `1 << page` bytes.
    page: u8,
    /// The first address that the tables translate.
    first: u64,
}

impl Ppc64 {
    /// Pages of 4 KiB, the kernel's addresses: those that begin with `0xc00`.
    pub const fn radix_4k() -> Self {
        Self {
            page: 12,
            first: KERNEL,
        }
    }

    /// Pages of 64 KiB, the kernel's addresses: those that begin with `0xc00`.
    pub const fn radix_64k() -> Self {
        Self {
            page: 16,
            first: KERNEL,
        }
    }

    /// The same mode for a process's addresses, those that begin with `0x000`.
    #[must_use]
    pub const fn lower(self) -> Self {
        Self { first: 0, ..self }
    }

    /// A page has `1 << page_shift` bytes.
    pub const fn page_shift(self) -> u8 {
        self.page
    }

    /// Whether it translates a process's addresses.
    pub const fn is_lower(self) -> bool {
        self.first == 0
    }

    /// The root that the first doubleword of a process table entry tells; `None` if the tree is not of this
    /// mode, which only it can have if it is of 52 bits with 13 in the first index.
    pub fn from_process_table_entry(self, doubleword: u64) -> Option<Walker<Self>> {
        let fits = doubleword & TREE_SIZE == TREE_52 && doubleword & SIZE == ROOT_BITS.into();
        fits.then(|| Walker::new(self, PhysAddr::new(doubleword & TABLE)))
    }
}

impl Sealed for Ppc64 {}

impl Arch for Ppc64 {
    type Flags = Flags;

    #[inline]
    fn entry(&self) -> (Width, Endian) {
        (Width::U64, Endian::Big)
    }

    #[inline]
    fn levels(&self) -> u8 {
        4
    }

    #[inline]
    fn shift(&self, level: u8) -> u8 {
        if level == 1 { self.page } else { 9 * level + 3 }
    }

    #[inline]
    fn index_bits(&self, level: u8) -> u8 {
        match level {
            1 => 21 - self.page,
            4 => ROOT_BITS,
            _ => 9,
        }
    }

    #[inline]
    fn root_low(&self) -> u64 {
        (8 << ROOT_BITS) - 1
    }

    #[inline]
    fn unrestricted(&self) -> Flags {
        Flags::empty()
    }

    #[inline]
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
        let first = from.max(VirtAddr::new(self.first));
        let last = VirtAddr::new(self.first | LAST);
        (first <= last).then_some(first..=last)
    }

    #[inline]
    fn step(&self, level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        if entry & VALID == 0 {
            return Err(Refusal::NotPresent);
        }
        if entry & LEAF != 0 {
            // The root has no pages: there are none of 512 GiB.
            if level == 4 {
                return Err(Refusal::Reserved);
            }
            let shift = self.shift(level);
            return Ok(Step::Leaf {
                base: PhysAddr::new((entry & PAGE) >> shift << shift),
                shift,
                flags: Flags::from_bits_retain(entry & !(PAGE | LEAF | VALID)),
            });
        }
        let bits = if level == 2 { self.index_bits(1) } else { 9 };
        if level == 1 || entry & SIZE != bits.into() {
            return Err(Refusal::Reserved);
        }
        // Tables are aligned to their size.
        Ok(Step::Table {
            at: PhysAddr::new(entry & TABLE & !((8 << bits) - 1)),
            flags: Flags::empty(),
        })
    }

    #[inline]
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool {
        is_next(leaf, next, 1 << self.shift(level), PAGE)
    }

    /// Tables neither give nor take rights.
    #[inline]
    fn inherit(_above: Flags, own: Flags) -> Flags {
        own
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::arch::MAX_LEVELS;
    use crate::arch::testing::{leaf, table};

    const MODES: [Ppc64; 2] = [Ppc64::radix_4k(), Ppc64::radix_64k()];
    /// V, L, and reading and referenced.
    const READ: u64 = VALID | LEAF | 0x104;

    /// What the walker relies on: it shifts by these, and has room for so many levels.
    #[test]
    fn indices_lie_side_by_side_in_52_bits() {
        for (mode, page) in MODES.into_iter().zip([12, 16]) {
            assert!((1..=MAX_LEVELS).contains(&usize::from(mode.levels())));
            assert_eq!(mode.shift(1), page);
            for level in 1..=4 {
                let above = mode.shift(level) + mode.index_bits(level);
                let next = if level < 4 { mode.shift(level + 1) } else { 52 };
                assert_eq!(above, next);
            }
        }
    }

    #[test]
    fn an_entry_without_v_is_not_present_whatever_else_it_says() {
        for level in 1..=4 {
            assert_eq!(MODES[0].step(level, 0), Err(Refusal::NotPresent));
            assert_eq!(MODES[0].step(level, !VALID), Err(Refusal::NotPresent));
        }
    }

    /// "Radix Tree Page Table Entry": RPN is bits 7:51, counted from the left.
    #[test]
    fn all_levels_but_the_root_have_pages() {
        let flags = Flags::R | Flags::REF;
        for (mode, shifts) in MODES.into_iter().zip([[12, 21, 30], [16, 21, 30]]) {
            for (level, shift) in (1..).zip(shifts) {
                let base = 0x01ff_ffff_ffff_ffff >> shift << shift;
                assert_eq!(mode.step(level, READ | PAGE), leaf(base, shift, flags));
            }
            assert_eq!(mode.step(4, READ), Err(Refusal::Reserved));
        }
    }

    /// "Supported Radix Tree Configurations": 13, 9, 9, and 9 or 5.
    #[test]
    fn a_table_has_the_size_that_the_mode_says() {
        for (mode, last) in MODES.into_iter().zip([9, 5]) {
            for size in 0..32 {
                for (level, expected) in [(1, 99), (2, last), (3, 9), (4, 9)] {
                    let step = mode.step(level, VALID | TABLE | size);
                    let at = 0x0fff_ffff_ffff_ffff >> (size + 3) << (size + 3);
                    if size == expected {
                        assert_eq!(step, table(at, Flags::empty()));
                    } else {
                        assert_eq!(step, Err(Refusal::Reserved), "{level} {size}");
                    }
                }
            }
        }
    }

    /// The first process table entry of a Linux 6.12 guest under QEMU with pages of 64 KiB, and trees of other
    /// forms.
    #[test]
    fn a_process_table_entry_tells_the_root() {
        let from = |entry| Ppc64::radix_64k().from_process_table_entry(entry);
        let root = PhysAddr::new(0x0283_0000);
        let entry = 0x4000_0000_0283_00ad;
        assert_eq!(from(entry), Some(Walker::new(Ppc64::radix_64k(), root)));
        assert_eq!(from(entry ^ 1), None);
        assert_eq!(from(entry ^ 1 << 5), None);
        assert_eq!(from(entry ^ 1 << 61), None);
    }

    #[test]
    fn each_quadrant_has_tables_of_its_own() {
        let stretch = |mode: Ppc64, at: u64| {
            let stretch = mode.canonical(VirtAddr::new(at))?;
            Some((stretch.start().as_u64(), stretch.end().as_u64()))
        };
        let (first, last) = (0xc000_0000_0000_0000, 0xc00f_ffff_ffff_ffff);
        for mode in MODES {
            assert_eq!(stretch(mode, 0), Some((first, last)));
            assert_eq!(stretch(mode, last), Some((last, last)));
            assert_eq!(stretch(mode, last + 1), None);
            assert_eq!(stretch(mode.lower(), 7), Some((7, (1 << 52) - 1)));
            assert_eq!(stretch(mode.lower(), 1 << 52), None);
            assert!(mode.lower().is_lower() && !mode.is_lower());
        }
    }

    #[test]
    fn the_next_page_differs_in_the_address_alone() {
        for mode in MODES {
            for level in 1..=3 {
                let shift = mode.shift(level);
                let entry = 5 << shift | READ;
                assert!(mode.follows(level, entry, 6 << shift | READ));
                assert!(!mode.follows(level, entry, 6 << shift | READ | 2));
                let highest = PAGE >> shift << shift | READ;
                let carry = highest + (1 << shift);
                assert!(!mode.follows(level, highest, carry));
            }
        }
    }

    #[test]
    fn flags_print_by_name() {
        assert_eq!(Flags::empty().to_string(), "-");
        assert_eq!(
            Flags::all().to_string(),
            "PRIV R W X REF CHG TOLERANT 0xfffffffffffffe40"
        );
        assert_eq!((Flags::SAO | Flags::IO), Flags::TOLERANT);
        assert_eq!(Flags::IO.to_string(), "IO");
    }
}
