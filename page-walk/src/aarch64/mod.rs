//! aarch64 (VMSAv8-64, stage 1): granules of 4, 16 and 64 KiB, virtual addresses of 16 to 52 bits,
//! physical ones of 48 or 52.
//!
//! ```text
//!  virtual      63        48 47    39 38   30 29   21 20   12 11         0    granule  bits an index
//!               │ 0s or 1s  │   4   │   3   │   2   │   1   │ offset     │      4 KiB        9
//!               0s: TTBR0      │ 47 │ 46 36 │ 35 25 │ 24 14 │ offset     │     16 KiB       11
//!               1s: TTBR1             47 42 │ 41 29 │ 28 16 │ offset     │     64 KiB       13
//!
//!  our level    5    4    3    2    1            pages: 4 KiB granule   16 KiB          64 KiB
//!  the manual's −1   0    1    2    3        level 1          4 KiB         16 KiB          64 KiB
//!                                            level 2          2 MiB         32 MiB         512 MiB
//!                                            level 3          1 GiB         64 GiB (LPA2)    4 TiB (LPA)
//!                                            level 4        512 GiB (LPA2)
//!
//!  descriptor   63  59 58 55  54  53  52   51  50 49   48 47               12 11 10 9  8 7  6 5  4  2 1 0
//!   page, block │PBHA│ soft │UXN│PXN│CONT│DBM│GP│      │ address            │nG│AF│ SH  │ AP │NS│ATTR│?│1│
//!   table       │NS│ AP  │UXN│PXN│                     │ address            │                       │1│1│
//!
//!  address      plain            47:12 (:14, :16 by granule)
//!               LPA   64 KiB     47:16, and 51:48 in bits 15:12
//!               LPA2  4, 16 KiB  49:12 (:14), and 51:50 in bits 9:8, where SH else is
//! ```
//!
//! Bit 1 tells a table from a block, and has to be set in a page. The root's index ends where the virtual
//! address does, so that the root may have fewer entries than other tables.
//!
//! Source: Arm Architecture Reference Manual for A-profile (DDI 0487), chapter D8, "The AArch64 Virtual
//! Memory System Architecture": "Translation granules" (indices, levels, blocks), "VMSAv8-64 descriptor
//! formats" (the fields), "Hierarchical control of data access permissions" and "… of instruction
//! execution permissions" (tables that take rights away).
//!
//! What no table tells is taken as Linux has it: the bits of tables that take rights away count
//! (`TCR_EL1.HPDn` is 0), and addresses carry no tag (strip it: `TCR_EL1.TBIn`). An access flag that is
//! not set is no fault: the page is there, and is merely old. Address bits above the machine's physical
//! size are not refused: they lead to an address where no memory is.

mod flags;
mod registers;

use core::ops::RangeInclusive;

use physmem::{Endian, PhysAddr, VirtAddr, Width};

use crate::arch::{Arch, Refusal, Step, is_next, sealed::Sealed};

pub use flags::Flags;

/// The descriptor is valid: everything else in it counts only with it.
const VALID: u64 = 1 << 0;
/// A table; at level 1, a page.
const TABLE: u64 = 1 << 1;
/// NSTable, APTable (no write, no access from EL0), UXNTable, PXNTable.
const NS_TABLE: u64 = 1 << 63;
const READ_ONLY_TABLE: u64 = 1 << 62;
const NO_USER_TABLE: u64 = 1 << 61;
const UXN_TABLE: u64 = 1 << 60;
const PXN_TABLE: u64 = 1 << 59;

/// The size of the smallest page and of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Granule {
    /// 4 KiB.
    K4,
    /// 16 KiB.
    K16,
    /// 64 KiB.
    K64,
}

impl Granule {
    /// The size is `1 << shift` bytes.
    pub const fn shift(self) -> u8 {
        match self {
            Self::K4 => 12,
            Self::K16 => 14,
            Self::K64 => 16,
        }
    }
}

/// Which of the two tables of a processor: each translates one end of the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// `TTBR0_EL1`, of addresses that begin with zeros: Linux's user space.
    Lower,
    /// `TTBR1_EL1`, of addresses that begin with ones: Linux's kernel.
    Upper,
}

/// How wide a physical address is, and with it where a descriptor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// 48 bits or fewer.
    Bits48,
    /// 52 bits: FEAT_LPA with 64 KiB granules (`TCR_EL1.IPS` = 6), FEAT_LPA2 with smaller ones
    /// (`TCR_EL1.DS` = 1).
    Bits52,
}

/// The paging mode of one half of a 64-bit Arm kernel's address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AArch64 {
    half: Half,
    granule: u8,
    va_bits: u8,
    levels: u8,
    /// The highest level whose descriptors may be blocks.
    blocks: u8,
    /// Bits that no root's address has.
    root_low: u64,
    /// Bits of a descriptor that are the same bits of the address.
    address: u64,
    /// Other bits of a descriptor that are address, and how far up.
    high: u64,
    up: u8,
}

impl AArch64 {
    /// The mode with virtual addresses of `va_bits`: 64 less `TCR_EL1.TnSZ`.
    ///
    /// `None` if there is no such mode. There are 16 to 48 bits, and up to 52 with 64 KiB granules
    /// (FEAT_LVA) or LPA2.
    pub const fn try_new(
        half: Half,
        granule: Granule,
        va_bits: u8,
        output: Output,
    ) -> Option<Self> {
        let page = granule.shift();
        let most = match (granule, output) {
            (Granule::K4 | Granule::K16, Output::Bits48) => 48,
            _ => 52,
        };
        // A smaller space has no index, or one that the manual does not allow.
        if va_bits < 16 || va_bits <= page || va_bits > most {
            return None;
        }
        // Bits up to 47, or up to 49 in LPA2; those above lie elsewhere.
        let (top, high, up, blocks) = match (granule, output) {
            (Granule::K4, Output::Bits48) => (48, 0, 0, 3),
            (Granule::K16 | Granule::K64, Output::Bits48) => (48, 0, 0, 2),
            (Granule::K4, Output::Bits52) => (50, 3 << 8, 42, 4),
            (Granule::K16, Output::Bits52) => (50, 3 << 8, 42, 3),
            (Granule::K64, Output::Bits52) => (48, 0xf << 12, 36, 3),
        };
        let levels = (va_bits - page).div_ceil(page - 3);
        let root_bits = va_bits - page - (levels - 1) * (page - 3);
        // Where physical addresses have 52 bits, it begins at a multiple of 64 bytes at least.
        let least = if high == 0 { 0 } else { 0x3f };
        Some(Self {
            half,
            granule: page,
            va_bits,
            levels,
            blocks,
            root_low: ((8 << root_bits) - 1) | least,
            address: (1 << top) - (1 << page),
            high,
            up,
        })
    }

    /// Which half of the address space this is.
    pub const fn half(self) -> Half {
        self.half
    }

    /// Bits of a virtual address that count.
    pub const fn va_bits(self) -> u8 {
        self.va_bits
    }

    /// The size of the smallest page and of a table.
    pub const fn granule(self) -> Granule {
        match self.granule {
            12 => Granule::K4,
            14 => Granule::K16,
            _ => Granule::K64,
        }
    }

    /// How wide a physical address is.
    pub const fn output_size(self) -> Output {
        if self.high == 0 {
            Output::Bits48
        } else {
            Output::Bits52
        }
    }

    #[inline]
    const fn output(self, descriptor: u64) -> u64 {
        descriptor & self.address | (descriptor & self.high) << self.up
    }
}

impl Sealed for AArch64 {}

impl Arch for AArch64 {
    type Flags = Flags;

    #[inline]
    fn entry(&self) -> (Width, Endian) {
        (Width::U64, Endian::Little)
    }

    #[inline]
    fn levels(&self) -> u8 {
        self.levels
    }

    #[inline]
    fn shift(&self, level: u8) -> u8 {
        self.granule + (level - 1) * (self.granule - 3)
    }

    #[inline]
    fn index_bits(&self, level: u8) -> u8 {
        (self.granule - 3).min(self.va_bits - self.shift(level))
    }

    #[inline]
    fn root_low(&self) -> u64 {
        self.root_low
    }

    #[inline]
    fn unrestricted(&self) -> Flags {
        Flags::USER
    }

    #[inline]
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
        let lower_last = (1 << self.va_bits) - 1;
        let (first, last) = match self.half {
            Half::Lower => (0, lower_last),
            Half::Upper => (!lower_last, u64::MAX),
        };
        let first = from.max(VirtAddr::new(first));
        (first <= VirtAddr::new(last)).then(|| first..=VirtAddr::new(last))
    }

    #[inline]
    fn step(&self, level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        if entry & VALID == 0 {
            return Err(Refusal::NotPresent);
        }
        let table = entry & TABLE != 0;
        if level > 1 && table {
            let mut flags = Flags::empty();
            flags.set(Flags::NS, entry & NS_TABLE != 0);
            flags.set(Flags::RDONLY, entry & READ_ONLY_TABLE != 0);
            flags.set(Flags::USER, entry & NO_USER_TABLE == 0);
            flags.set(Flags::UXN, entry & UXN_TABLE != 0);
            flags.set(Flags::PXN, entry & PXN_TABLE != 0);
            return Ok(Step::Table {
                at: PhysAddr::new(self.output(entry)),
                flags,
            });
        }
        if (level == 1) != table || level > self.blocks {
            return Err(Refusal::Reserved);
        }
        let shift = self.shift(level);
        Ok(Step::Leaf {
            base: PhysAddr::new(self.output(entry) >> shift << shift),
            shift,
            flags: Flags::from_bits_retain(entry & !(self.address | self.high | TABLE | VALID)),
        })
    }

    /// A carry out of the field: the rest of the address lies elsewhere, or there is none.
    #[inline]
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool {
        is_next(leaf, next, 1 << self.shift(level), self.address)
    }

    /// A table can take away writing, access from EL0 and execution; it gives nothing.
    #[inline]
    fn inherit(above: Flags, own: Flags) -> Flags {
        let taken = Flags::NS | Flags::RDONLY | Flags::UXN | Flags::PXN;
        (own & (above | !Flags::USER)) | (above & taken)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::arch::MAX_LEVELS;
    use crate::arch::testing::{leaf, table};

    const GRANULES: [Granule; 3] = [Granule::K4, Granule::K16, Granule::K64];

    fn mode(granule: Granule, va_bits: u8, output: Output) -> AArch64 {
        AArch64::try_new(Half::Upper, granule, va_bits, output).unwrap()
    }

    /// What the walker relies on: it shifts by these, and has room for so many levels.
    #[test]
    fn indices_lie_side_by_side_and_end_with_the_address() {
        let mut modes = 0;
        for granule in GRANULES {
            for output in [Output::Bits48, Output::Bits52] {
                for va_bits in 0..=64 {
                    let Some(mode) = AArch64::try_new(Half::Lower, granule, va_bits, output) else {
                        continue;
                    };
                    modes += 1;
                    assert!((1..=MAX_LEVELS).contains(&usize::from(mode.levels())));
                    assert_eq!(mode.shift(1), granule.shift());
                    for level in 1..=mode.levels() {
                        assert!(mode.index_bits(level) > 0);
                        let above = mode.shift(level) + mode.index_bits(level);
                        let next = if level < mode.levels() {
                            mode.shift(level + 1)
                        } else {
                            va_bits
                        };
                        assert_eq!(above, next);
                    }
                }
            }
        }
        // 16 to 48, 16 to 52 with LPA2; 17 to 52 with 64 KiB granules, either way.
        assert_eq!(modes, 2 * 33 + 2 * 37 + 2 * 36);
    }

    /// "Translation granules": levels of a 39-, 42-, 47-, 48- and 52-bit address, as Linux configures.
    #[test]
    fn levels_follow_from_granule_and_address() {
        use {Granule::*, Output::*};
        let levels = |granule, va_bits, output| mode(granule, va_bits, output).levels();
        assert_eq!(levels(K4, 39, Bits48), 3);
        assert_eq!(levels(K4, 48, Bits48), 4);
        assert_eq!(levels(K4, 52, Bits52), 5);
        assert_eq!(levels(K16, 36, Bits48), 2);
        assert_eq!(levels(K16, 47, Bits48), 3);
        assert_eq!(levels(K16, 48, Bits48), 4);
        assert_eq!(levels(K16, 52, Bits52), 4);
        assert_eq!(levels(K64, 42, Bits48), 2);
        assert_eq!(levels(K64, 48, Bits48), 3);
        assert_eq!(levels(K64, 52, Bits52), 3);
        assert_eq!(mode(K16, 48, Bits48).index_bits(4), 1);
        assert_eq!(mode(K64, 52, Bits48).index_bits(3), 10);
        for granule in [K4, K16] {
            assert_eq!(AArch64::try_new(Half::Upper, granule, 52, Bits48), None);
        }
    }

    /// Bits 47, 49 and 51 of a physical address, in each format that has them.
    #[test]
    fn high_bits_of_physical_addresses_are_kept() {
        use {Granule::*, Output::*};
        let plain = mode(K4, 48, Bits48);
        assert_eq!(
            plain.step(1, 1 << 47 | 0xa_9000 | 3),
            leaf(1 << 47 | 0xa_9000, 12, Flags::empty())
        );
        // LPA: 51:48 in 15:12, and 47 stays.
        let lpa = mode(K64, 52, Bits52);
        let all = 0x000f_ffff_ffff_0000;
        assert_eq!(lpa.step(1, 0xffff_ffff_f003), leaf(all, 16, Flags::empty()));
        assert_eq!(
            lpa.step(1, 0x8000_000a_9003),
            leaf(1 << 51 | 1 << 48 | 1 << 47 | 0xa_0000, 16, Flags::empty())
        );
        assert_eq!(lpa.step(2, 0xffff_ffff_f003), table(all, Flags::USER));
        // LPA2: 49:12 in place, 51:50 in 9:8.
        for granule in [K4, K16] {
            let lpa2 = mode(granule, 52, Bits52);
            let page = granule.shift();
            for (entry, base) in [
                (1 << 47, 1 << 47),
                (1 << 49, 1 << 49),
                (1 << 8, 1 << 50),
                (1 << 9, 1 << 51),
            ] {
                assert_eq!(lpa2.step(1, entry | 3), leaf(base, page, Flags::empty()));
                assert_eq!(lpa2.step(2, entry | 3), table(base, Flags::USER));
                let shift = lpa2.shift(2);
                assert_eq!(lpa2.step(2, entry | 1), leaf(base, shift, Flags::empty()));
            }
        }
    }

    /// Which levels may have blocks: "Block descriptor" for each granule. The others' are reserved.
    #[test]
    fn blocks_are_where_the_manual_has_them() {
        use {Granule::*, Output::*};
        let sizes = |granule, output, va_bits| -> Vec<u8> {
            let mode = mode(granule, va_bits, output);
            (1..=mode.levels())
                .filter_map(|level| match mode.step(level, 1) {
                    Ok(Step::Leaf { shift, .. }) => Some(shift),
                    other => {
                        assert_eq!(other, Err(Refusal::Reserved));
                        None
                    }
                })
                .collect()
        };
        assert_eq!(sizes(K4, Bits48, 48), [21, 30]);
        assert_eq!(sizes(K4, Bits52, 52), [21, 30, 39]);
        assert_eq!(sizes(K16, Bits48, 48), [25]);
        assert_eq!(sizes(K16, Bits52, 52), [25, 36]);
        assert_eq!(sizes(K64, Bits48, 52), [29]);
        assert_eq!(sizes(K64, Bits52, 52), [29, 42]);
    }

    #[test]
    fn an_entry_without_valid_is_not_present_whatever_else_it_says() {
        let mode = mode(Granule::K4, 48, Output::Bits48);
        for level in 1..=4 {
            assert_eq!(mode.step(level, 0), Err(Refusal::NotPresent));
            assert_eq!(mode.step(level, !1), Err(Refusal::NotPresent));
        }
    }

    /// The bits between a block's address and its flags are none of either.
    #[test]
    fn a_block_begins_where_its_size_says() {
        let mode = mode(Granule::K4, 48, Output::Bits48);
        let flags = Flags::AF | Flags::SHARED | Flags::UXN;
        assert_eq!(
            mode.step(2, 0x0040_0000_407f_f701),
            leaf(0x4060_0000, 21, flags)
        );
    }

    #[test]
    fn what_tables_take_away_is_gone() {
        let mode = mode(Granule::K4, 48, Output::Bits48);
        let flags = |entry: u64| match mode.step(3, entry | 3) {
            Ok(Step::Table { flags, .. }) => flags,
            other => panic!("{other:?}"),
        };
        assert_eq!(flags(0), Flags::USER);
        assert_eq!(flags(1 << 59), Flags::USER | Flags::PXN);
        assert_eq!(flags(1 << 60), Flags::USER | Flags::UXN);
        assert_eq!(flags(1 << 61), Flags::empty());
        assert_eq!(flags(1 << 62), Flags::USER | Flags::RDONLY);
        assert_eq!(flags(1 << 63), Flags::USER | Flags::NS);

        let own = Flags::USER | Flags::AF;
        assert_eq!(AArch64::inherit(Flags::USER, own), own);
        assert_eq!(AArch64::inherit(flags(1 << 61), own), Flags::AF);
        assert_eq!(
            AArch64::inherit(flags(3 << 59), own),
            own | Flags::UXN | Flags::PXN
        );
        assert_eq!(AArch64::inherit(flags(0), Flags::AF), Flags::AF);
    }

    #[test]
    fn a_root_is_aligned_to_its_size() {
        let low = |granule, va_bits, output| mode(granule, va_bits, output).root_low();
        use {Granule::*, Output::*};
        assert_eq!(low(K4, 48, Bits48), 0xfff);
        assert_eq!(low(K16, 48, Bits48), 0xf);
        assert_eq!(low(K64, 48, Bits48), 0x1ff);
        assert_eq!(low(K4, 52, Bits52), 0x7f);
        // Two entries, of which 64-byte alignment is asked.
        assert_eq!(low(K4, 49, Bits52), 0x3f);
    }

    #[test]
    fn each_half_has_its_end_of_the_space() {
        let stretch = |half, from| {
            let mode = AArch64::try_new(half, Granule::K4, 39, Output::Bits48).unwrap();
            let stretch = mode.canonical(VirtAddr::new(from))?;
            Some((stretch.start().as_u64(), stretch.end().as_u64()))
        };
        let lower_last = (1 << 39) - 1;
        assert_eq!(stretch(Half::Lower, 5), Some((5, lower_last)));
        assert_eq!(stretch(Half::Lower, lower_last + 1), None);
        assert_eq!(stretch(Half::Upper, 5), Some((!lower_last, u64::MAX)));
        assert_eq!(stretch(Half::Upper, u64::MAX), Some((u64::MAX, u64::MAX)));
    }

    #[test]
    fn the_next_page_differs_in_the_address_alone() {
        use {Granule::*, Output::*};
        for (granule, output) in [
            (K4, Bits48),
            (K16, Bits48),
            (K64, Bits48),
            (K4, Bits52),
            (K64, Bits52),
        ] {
            let mode = mode(granule, 48, output);
            for (level, kind) in [(1, 3), (2, 1)] {
                let shift = mode.shift(level);
                let entry = 5 << shift | 0x0060_0000_0000_0400 | kind;
                let next = entry + (1 << shift);
                assert!(mode.follows(level, entry, next));
                let flags = Flags::from_bits_retain(0x0060_0000_0000_0400);
                assert_eq!(mode.step(level, next), leaf(6 << shift, shift, flags));
                let highest = mode.address >> shift << shift | kind;
                for leaf in [highest, u64::MAX] {
                    let carry = leaf.wrapping_add(1 << shift);
                    assert!(!mode.follows(level, leaf, carry));
                }
            }
        }
    }
}
