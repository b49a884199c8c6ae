//! riscv64: Sv39, Sv48 and Sv57, with Svnapot and Svpbmt.
//!
//! ```text
//!  virtual    63    56   48 47   39 38   30 29   21 20   12 11         0
//!             │ sign  │ 5  │   4   │   3   │   2   │   1   │ offset     │    level of the index
//!  page                256 TiB  512 GiB   1 GiB   2 MiB   4 KiB, 64 KiB
//!
//!  entry      63 62  61 60  59 58  54 53                          10 9  8 7 6 5 4 3 2 1 0
//!             │N│ PBMT │ soft │  0   │ page number                  │soft│D│A│G│U│X│W│R│V│
//! ```
//!
//! An entry maps a page if it may be read or executed, at every level; else it leads to a table, and then
//! all but its page number, `G` and the bits for software have to be 0. Writing without reading is
//! reserved. A page begins at a multiple of its size. `N` makes one of 64 KiB of sixteen entries of level
//! 1, all with the same page number, which ends in 1000: of the address those four bits come from the
//! virtual one.
//!
//! The manual numbers levels from 0, here they count from 1 as in every architecture.
//!
//! Source: The RISC-V Instruction Set Manual, volume II: Privileged Architecture, chapter "Supervisor-Level
//! ISA": "Virtual Address Translation Process", "Sv39", "Sv48", "Sv57", `satp`; and its chapters "Svnapot",
//! "Svpbmt" and "Svrsw60t59b" (bits 60:59 are software's).
//!
//! Svnapot and Svpbmt are taken to be there: a kernel sets their bits only if they are. Memory types as
//! T-Head's C9xx processors have them, in bits 63:59, are none of these.

use core::{fmt, ops::RangeInclusive};

use physmem::{Endian, PhysAddr, VirtAddr, Width};

use crate::{
    arch::{Arch, Refusal, Step, is_next, sealed::Sealed, sign_extended},
    flags,
    walker::Walker,
};

/// V: everything else in an entry counts only with it.
const VALID: u64 = 1 << 0;
/// Bits 53:10, the page number.
const PAGE_NUMBER: u64 = 0x003f_ffff_ffff_fc00;
/// From the page number to the address.
const UP: u8 = 2;
/// Bits 58:54.
const RESERVED: u64 = 0x07c0_0000_0000_0000;
/// Page number bits 3:0, and what they are with `N`.
const NAPOT_BITS: u64 = 0xf << 10;
const NAPOT_64K: u64 = 0x8 << 10;

bitflags::bitflags! {
    /// What an entry says of a page, each bit where the processor has it.
    ///
    /// Bits without a name are kept: those for software (9:8, 60:59).
    ///
    /// Prints the names, then the nameless bits in hex: `R W G A D`, or `-` for none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u64 {
        /// Reads are allowed.
        const R = 1 << 1;
        /// Writes are allowed.
        const W = 1 << 2;
        /// Instruction fetches are allowed.
        const X = 1 << 3;
        /// User-mode accesses are allowed.
        const U = 1 << 4;
        /// Global: in all address spaces, and so is what lies below a table with it.
        const G = 1 << 5;
        /// Accessed.
        const A = 1 << 6;
        /// Dirty.
        const D = 1 << 7;
        /// Svpbmt: not cached, weakly ordered, idempotent; main memory.
        const NC = 1 << 61;
        /// Svpbmt: not cached, strongly ordered; devices.
        const IO = 1 << 62;
        /// Svnapot: the page is larger than its level's.
        const N = 1 << 63;

        const _ = !0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u64, &str); 10] = [
            (Flags::R.bits(), "R"),
            (Flags::W.bits(), "W"),
            (Flags::X.bits(), "X"),
            (Flags::U.bits(), "U"),
            (Flags::G.bits(), "G"),
            (Flags::A.bits(), "A"),
            (Flags::D.bits(), "D"),
            (Flags::NC.bits(), "NC"),
            (Flags::IO.bits(), "IO"),
            (Flags::N.bits(), "N"),
        ];
        flags::print(self.bits(), &NAMES, f)
    }
}

/// The paging mode of a 64-bit RISC-V kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiscV64 {
    levels: u8,
}

impl RiscV64 {
    /// 39-bit virtual addresses, three levels.
    pub const fn sv39() -> Self {
        Self { levels: 3 }
    }

    /// 48-bit virtual addresses, four levels.
    pub const fn sv48() -> Self {
        Self { levels: 4 }
    }

    /// 57-bit virtual addresses, five levels.
    pub const fn sv57() -> Self {
        Self { levels: 5 }
    }

    /// The mode and the root table that a value of `satp` sets: MODE in bits 63:60, the root's page
    /// number in 43:0. `None` if it translates nothing (Bare), or as no mode that there is.
    pub fn from_satp(satp: u64) -> Option<Walker<Self>> {
        let mode = match satp >> 60 {
            8 => Self::sv39(),
            9 => Self::sv48(),
            10 => Self::sv57(),
            _ => return None,
        };
        let root = (satp & 0x0fff_ffff_ffff) << 12;
        Some(Walker::new(mode, PhysAddr::new(root)))
    }

    #[inline]
    const fn leaf(level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        let flags = Flags::from_bits_retain(entry & !(PAGE_NUMBER | VALID));
        let napot = flags.contains(Flags::N);
        let shift = if napot { 16 } else { shift(level) };
        let within = (1 << shift) - 1;
        let low = (entry & PAGE_NUMBER) << UP & within;
        let right = if napot {
            level == 1 && entry & NAPOT_BITS == NAPOT_64K
        } else {
            low == 0
        };
        let writes_alone = !flags.contains(Flags::R) && flags.contains(Flags::W);
        if !right || writes_alone || flags.contains(Flags::NC.union(Flags::IO)) {
            return Err(Refusal::Reserved);
        }
        Ok(Step::Leaf {
            base: PhysAddr::new((entry & PAGE_NUMBER) << UP & !within),
            shift,
            flags,
        })
    }
}

/// Nine index bits a level, above the twelve of a page.
#[inline]
const fn shift(level: u8) -> u8 {
    9 * level + 3
}

impl Sealed for RiscV64 {}

impl Arch for RiscV64 {
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
        shift(level)
    }

    #[inline]
    fn index_bits(&self, _level: u8) -> u8 {
        9
    }

    #[inline]
    fn root_low(&self) -> u64 {
        0xfff
    }

    #[inline]
    fn unrestricted(&self) -> Flags {
        Flags::empty()
    }

    #[inline]
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
        Some(sign_extended(shift(self.levels) + 9, from))
    }

    #[inline]
    fn step(&self, level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        if entry & VALID == 0 {
            return Err(Refusal::NotPresent);
        }
        if entry & RESERVED != 0 {
            return Err(Refusal::Reserved);
        }
        let flags = Flags::from_bits_retain(entry);
        if flags.intersects(Flags::R | Flags::W | Flags::X) {
            return Self::leaf(level, entry);
        }
        let leafs_alone = Flags::U | Flags::A | Flags::D | Flags::NC | Flags::IO | Flags::N;
        if flags.intersects(leafs_alone) {
            return Err(Refusal::Reserved);
        }
        Ok(Step::Table {
            at: PhysAddr::new((entry & PAGE_NUMBER) << UP),
            flags: Flags::from_bits_retain(entry & !(PAGE_NUMBER | VALID)),
        })
    }

    /// Pages of 64 KiB have the same entry sixteen times.
    #[inline]
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool {
        let napot = leaf & Flags::N.bits() != 0;
        !napot && is_next(leaf, next, 1 << (shift(level) - UP), PAGE_NUMBER)
    }

    /// Tables take no rights away; they make what lies below them global.
    #[inline]
    fn inherit(above: Flags, own: Flags) -> Flags {
        own | (above & Flags::G)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::arch::MAX_LEVELS;
    use crate::arch::testing::{leaf, table};

    const MODES: [RiscV64; 3] = [RiscV64::sv39(), RiscV64::sv48(), RiscV64::sv57()];
    /// R, A and V.
    const PAGE: u64 = 0x43;

    /// What the walker relies on: it shifts by these, and has room for so many levels.
    #[test]
    fn indices_lie_side_by_side_in_64_bits() {
        for (mode, bits) in MODES.into_iter().zip([39, 48, 57]) {
            assert!((1..=MAX_LEVELS).contains(&usize::from(mode.levels())));
            assert_eq!(mode.shift(1), 12);
            for level in 1..=mode.levels() {
                let above = mode.shift(level) + mode.index_bits(level);
                let next = if level < mode.levels() {
                    mode.shift(level + 1)
                } else {
                    bits
                };
                assert_eq!(above, next);
            }
        }
    }

    #[test]
    fn an_entry_without_v_is_not_present_whatever_else_it_says() {
        for level in 1..=5 {
            assert_eq!(MODES[2].step(level, 0), Err(Refusal::NotPresent));
            assert_eq!(MODES[2].step(level, !1), Err(Refusal::NotPresent));
        }
    }

    /// The translation process: R or X make a leaf, of any level.
    #[test]
    fn every_level_has_pages() {
        let flags = Flags::R | Flags::A;
        for (level, shift) in [(1, 12), (2, 21), (3, 30), (4, 39), (5, 48)] {
            let entry = 0x003f_ffff_ffff_fc00 >> (shift - 2) << (shift - 2) | PAGE;
            let base = 0x00ff_ffff_ffff_f000 >> shift << shift;
            assert_eq!(MODES[2].step(level, entry), leaf(base, shift, flags));
        }
        assert_eq!(MODES[0].step(1, 0x2009), leaf(0x8000, 12, Flags::X));
    }

    /// The translation process on a leaf above level 1 whose low page number is not 0: a misaligned superpage.
    #[test]
    fn large_pages_begin_at_multiples_of_their_size() {
        for (level, shift) in [(2, 21), (3, 30), (4, 39)] {
            for bit in 12..shift {
                let entry = 1 << (bit - 2) | PAGE;
                assert_eq!(MODES[2].step(level, entry), Err(Refusal::Reserved), "{bit}");
            }
        }
    }

    /// The translation process: W without R, and bits that are reserved.
    #[test]
    fn reserved_encodings_are_refused() {
        let reserved = |level, entry| {
            assert_eq!(
                MODES[1].step(level, entry),
                Err(Refusal::Reserved),
                "{entry:#x}"
            );
        };
        reserved(1, 0x5);
        reserved(1, 0xd);
        for bit in 54..=58 {
            reserved(1, 1 << bit | PAGE);
            reserved(2, 1 << bit | 1);
        }
        // In entries that lead to tables: U, A, D, PBMT, N.
        for bit in [4, 6, 7, 61, 62, 63] {
            reserved(2, 1 << bit | 0x2001);
        }
        // PBMT = 3.
        reserved(1, 3 << 61 | PAGE);
    }

    #[test]
    fn tables_give_nothing_but_g() {
        assert_eq!(
            MODES[1].step(4, 0x003f_ffff_ffff_fc21),
            table(0x00ff_ffff_ffff_f000, Flags::G)
        );
        assert_eq!(RiscV64::inherit(Flags::G, Flags::R), Flags::R | Flags::G);
        let software = Flags::from_bits_retain(3 << 8);
        assert_eq!(RiscV64::inherit(software, Flags::R), Flags::R);
    }

    /// "Svnapot", table "Page table entry encodings when N=1": at level 0, ppn[3:0] = 1000 is 64 KiB, all
    /// others are reserved, and so is N above it.
    #[test]
    fn napot_pages_have_64_kib() {
        let napot = 1 << 63 | PAGE;
        for low in 0..16 {
            let entry = 0x2_3450 << 10 | low << 10 | napot;
            let expected = if low == 8 {
                leaf(0x2345_0000, 16, Flags::N | Flags::R | Flags::A)
            } else {
                Err(Refusal::Reserved)
            };
            assert_eq!(MODES[0].step(1, entry), expected, "{low:#x}");
        }
        assert_eq!(MODES[0].step(2, 8 << 10 | napot), Err(Refusal::Reserved));
        let entry = 8 << 10 | napot;
        assert!(!MODES[0].follows(1, entry, entry + (1 << 10)));
    }

    /// "Svpbmt": 1 is NC, 2 is IO.
    #[test]
    fn memory_types_are_flags() {
        let flags = Flags::R | Flags::A;
        assert_eq!(
            MODES[0].step(1, 1 << 61 | PAGE),
            leaf(0, 12, flags | Flags::NC)
        );
        assert_eq!(
            MODES[0].step(1, 1 << 62 | PAGE),
            leaf(0, 12, flags | Flags::IO)
        );
    }

    /// `satp` of a Linux 6.12 guest under QEMU, Sv48.
    #[test]
    fn satp_tells_mode_and_root() {
        let root = PhysAddr::new(0x838b_7000);
        let walker = RiscV64::from_satp(0x9013_e000_0008_38b7).unwrap();
        assert_eq!(walker, Walker::new(RiscV64::sv48(), root));
        let walker = RiscV64::from_satp(0x8000_0000_0008_38b7).unwrap();
        assert_eq!(walker, Walker::new(RiscV64::sv39(), root));
        let walker = RiscV64::from_satp(0xa000_0fff_ffff_ffff).unwrap();
        let root = PhysAddr::new(0x00ff_ffff_ffff_f000);
        assert_eq!(walker, Walker::new(RiscV64::sv57(), root));
        assert_eq!(RiscV64::from_satp(0x8_38b7), None);
        assert_eq!(RiscV64::from_satp(11 << 60), None);
    }

    #[test]
    fn addresses_repeat_their_top_bit() {
        for (mode, bits) in MODES.into_iter().zip([39, 48, 57]) {
            let lower_last = (1_u64 << (bits - 1)) - 1;
            let canonical = |at: u64| {
                let stretch = mode.canonical(VirtAddr::new(at)).unwrap();
                (stretch.start().as_u64(), stretch.end().as_u64())
            };
            assert_eq!(canonical(7), (7, lower_last));
            assert_eq!(canonical(lower_last + 1), (!lower_last, u64::MAX));
        }
    }

    #[test]
    fn the_next_page_differs_in_the_address_alone() {
        let software = 3 << 8 | 3 << 59;
        for level in 1..=4 {
            let shift = shift(level);
            let entry = 5 << (shift - 2) | software | PAGE;
            let page = 1 << (shift - 2);
            let next = entry + page;
            assert!(MODES[1].follows(level, entry, next));
            let flags = Flags::from_bits_retain(software) | Flags::R | Flags::A;
            assert_eq!(MODES[1].step(level, next), leaf(6 << shift, shift, flags));
            let highest = PAGE_NUMBER >> (shift - 2) << (shift - 2) | PAGE;
            assert!(!MODES[1].follows(level, highest, highest + page), "a carry");
        }
    }

    #[test]
    fn flags_print_by_name() {
        assert_eq!(Flags::empty().to_string(), "-");
        assert_eq!(
            Flags::all().to_string(),
            "R W X U G A D NC IO N 0x1fffffffffffff01"
        );
    }
}
