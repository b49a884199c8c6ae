//! x86_64: 4-level and 5-level paging.
//!
//! ```text
//!  virtual    63    56   48 47   39 38   30 29   21 20   12 11         0
//!             │ sign  │ 5  │   4   │   3   │   2   │   1   │ offset     │    level of the index
//!
//!  level   manual (Linux)   bit 7 set means                    page
//!  5       PML5E  (pgd)     reserved                           –
//!  4       PML4E  (p4d)     reserved                           –
//!  3       PDPTE  (pud)     page; bits 29:13 are reserved      1 GiB
//!  2       PDE    (pmd)     page; bits 20:13 are reserved      2 MiB
//!  1       PTE    (pte)     the PAT bit                        4 KiB
//!
//!  entry      63 62 59 58  52 51                       12 11  9 8 7  6 5 4   3   2  1  0
//!             │NX│PKEY│ soft │ address                    │soft│G│PS│D│A│PCD│PWT│US│RW│P│
//!                                         in pages above level 1, bit 12 is PAT
//! ```
//!
//! Source: Intel SDM volume 3A, 4.5.2 to 4.5.4 with tables 4-12 to 4-20 (paging structures and CR3),
//! 4.6.1 (rights are those that all levels give), volume 1, 3.3.7.1 (canonical addresses); AMD APM
//! volume 2, 7.10 (the encryption bit lies among the address bits).
//!
//! What no table tells is taken as Linux has it: `EFER.NXE` is set. `MAXPHYADDR` is unknown, so
//! address bits above it are not refused as reserved: they lead to an address where no memory is.

use core::{fmt, ops::RangeInclusive};

use physmem::{Endian, PhysAddr, VirtAddr, Width};

use crate::{
    arch::{Arch, Refusal, Step, is_next, sealed::Sealed, sign_extended},
    flags,
    walker::Walker,
};

/// P: everything else in an entry counts only with it.
pub(crate) const PRESENT: u64 = 1 << 0;
/// PS: the entry maps a page (levels 2 and 3).
pub(crate) const PAGE_SIZE: u64 = 1 << 7;
/// PAT of a page above level 1; it lies in what is the address field at level 1.
const LARGE_PAT: u64 = 1 << 12;
/// Bits 51:12, the address field.
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits that [`Flags`] keeps where they are.
const FLAGS: u64 = !(ADDRESS | PAGE_SIZE | PRESENT);

bitflags::bitflags! {
    /// What an entry says of a page, each bit where the processor has it in a PTE.
    ///
    /// Bits without a name are kept: those for software (11:9, 58:52) and the protection key (62:59).
    ///
    /// Prints the names, then the nameless bits in hex: `RW NX G D A 0x800`, or `-` for none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u64 {
        /// Writes are allowed.
        const RW = 1 << 1;
        /// User-mode accesses are allowed.
        const US = 1 << 2;
        /// Page-level write-through.
        const PWT = 1 << 3;
        /// Page-level cache disable.
        const PCD = 1 << 4;
        /// Accessed.
        const A = 1 << 5;
        /// Dirty. Ignored by the processor where the entry leads to a table.
        const D = 1 << 6;
        /// Page attribute table; moved here from bit 12 for pages of 2 MiB and 1 GiB.
        const PAT = 1 << 7;
        /// Global. Ignored by the processor where the entry leads to a table.
        const G = 1 << 8;
        /// Instruction fetches are not allowed.
        const NX = 1 << 63;

        const _ = !0;
    }
}

impl Flags {
    /// The protection key, bits 62:59; it counts only where `CR4.PKE` or `CR4.PKS` is set.
    pub const fn protection_key(self) -> u8 {
        #[allow(clippy::cast_possible_truncation, reason = "masked to four bits")]
        let key = (self.bits() >> 59 & 0xf) as u8;
        key
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u64, &str); 9] = [
            (Flags::RW.bits(), "RW"),
            (Flags::US.bits(), "US"),
            (Flags::NX.bits(), "NX"),
            (Flags::G.bits(), "G"),
            (Flags::D.bits(), "D"),
            (Flags::A.bits(), "A"),
            (Flags::PCD.bits(), "PCD"),
            (Flags::PWT.bits(), "PWT"),
            (Flags::PAT.bits(), "PAT"),
        ];
        flags::print(self.bits(), &NAMES, f)
    }
}

/// The paging mode of a 64-bit x86 kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct X86_64 {
    levels: u8,
    /// Which bits of an entry are address.
    address: u64,
}

impl X86_64 {
    /// 4-level paging: 48-bit virtual addresses.
    pub const fn four_level() -> Self {
        Self {
            levels: 4,
            address: ADDRESS,
        }
    }

    /// 5-level paging, `CR4.LA57`: 57-bit virtual addresses.
    pub const fn five_level() -> Self {
        Self {
            levels: 5,
            address: ADDRESS,
        }
    }

    /// The same mode where the bits of `mask` in an entry mark encrypted memory and are no address:
    /// AMD SME and SEV, `NUMBER(sme_mask)` of VMCOREINFO.
    #[must_use]
    pub const fn with_encryption_mask(self, mask: u64) -> Self {
        Self {
            address: ADDRESS & !mask,
            ..self
        }
    }
}

impl Walker<X86_64> {
    /// The table that user mode runs on, if this is the kernel's and page-table isolation is on: Linux
    /// keeps the two side by side, the user's in the page after (`PTI_USER_PGTABLE_BIT`).
    ///
    /// It maps user space as the kernel's does, but executable, and of the kernel only the entry code.
    #[must_use]
    pub fn user_half(&self) -> Self {
        Self::new(self.arch(), PhysAddr::new(self.root().as_u64() | 1 << 12))
    }
}

/// Nine index bits a level, above the twelve of a page.
#[inline]
const fn shift(level: u8) -> u8 {
    9 * level + 3
}

/// What an entry of `level` means whose address lies in the bits of `address`.
#[inline]
pub(crate) const fn step(level: u8, entry: u64, address: u64) -> Result<Step<Flags>, Refusal> {
    if entry & PRESENT == 0 {
        Err(Refusal::NotPresent)
    } else if level == 1 || entry & PAGE_SIZE != 0 {
        leaf(level, entry, address)
    } else {
        Ok(Step::Table {
            at: PhysAddr::new(entry & address),
            flags: Flags::from_bits_retain(entry & FLAGS),
        })
    }
}

#[inline]
const fn leaf(level: u8, entry: u64, address: u64) -> Result<Step<Flags>, Refusal> {
    let shift = shift(level);
    let within = (1 << shift) - 1;
    let (pat, low) = if level == 1 {
        (entry & Flags::PAT.bits(), 0)
    } else {
        (
            (entry & LARGE_PAT) >> 5,
            entry & ADDRESS & within & !LARGE_PAT,
        )
    };
    // Bit 7 of a PML4E or PML5E, and the bits between a large page's address and its PAT.
    if level > 3 || low != 0 {
        return Err(Refusal::Reserved);
    }
    Ok(Step::Leaf {
        base: PhysAddr::new(entry & address & !within),
        shift,
        flags: Flags::from_bits_retain(entry & FLAGS | pat),
    })
}

/// The flags of a path that takes no right away.
pub(crate) const UNRESTRICTED: Flags = Flags::RW.union(Flags::US);

/// A write or a user access needs RW or US at every level, a fetch needs NX at none: SDM 4.6.1.
#[inline]
pub(crate) fn inherit(above: Flags, own: Flags) -> Flags {
    (own & (above | !UNRESTRICTED)) | (above & Flags::NX)
}

impl Sealed for X86_64 {}

impl Arch for X86_64 {
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

    /// The low bits of CR3 (PCID, PWT, PCD) and the high ones (LAM) are no address: table 4-12.
    #[inline]
    fn root(&self, cr3: u64) -> PhysAddr {
        PhysAddr::new(cr3 & self.address)
    }

    #[inline]
    fn root_low(&self) -> u64 {
        0
    }

    #[inline]
    fn unrestricted(&self) -> Flags {
        UNRESTRICTED
    }

    #[inline]
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
        Some(sign_extended(shift(self.levels) + 9, from))
    }

    #[inline]
    fn step(&self, level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        step(level, entry, self.address)
    }

    #[inline]
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool {
        is_next(leaf, next, 1 << shift(level), self.address)
    }

    #[inline]
    fn inherit(above: Flags, own: Flags) -> Flags {
        inherit(above, own)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::arch::MAX_LEVELS;
    use crate::arch::testing::{leaf, table};

    const MODES: [X86_64; 2] = [X86_64::four_level(), X86_64::five_level()];

    /// What the walker relies on: it shifts by these, and has room for so many levels.
    #[test]
    fn indices_lie_side_by_side_in_64_bits() {
        for mode in MODES {
            assert!((1..=MAX_LEVELS).contains(&usize::from(mode.levels())));
            for level in 1..=mode.levels() {
                let above = mode.shift(level) + mode.index_bits(level);
                assert!(above < 64);
                if level < mode.levels() {
                    assert_eq!(above, mode.shift(level + 1));
                }
            }
        }
    }

    #[test]
    fn an_entry_without_p_is_not_present_whatever_else_it_says() {
        for level in 1..=5 {
            assert_eq!(MODES[1].step(level, 0), Err(Refusal::NotPresent));
            assert_eq!(MODES[1].step(level, !1), Err(Refusal::NotPresent));
        }
    }

    /// SDM tables 4-14 (PML5E), 4-15 (PML4E), 4-17 (PDPTE), 4-19 (PDE): bits 51:12 lead to a table.
    #[test]
    fn entries_without_ps_lead_to_tables() {
        for level in 2..=5 {
            let entry = 0x000f_ffff_ffff_f000 | 0x67;
            let flags = Flags::RW | Flags::US | Flags::A | Flags::D;
            assert_eq!(
                MODES[1].step(level, entry),
                table(0x000f_ffff_ffff_f000, flags)
            );
        }
    }

    /// SDM tables 4-14 and 4-15: bit 7 is reserved.
    #[test]
    fn the_upper_levels_map_no_pages() {
        assert_eq!(MODES[1].step(4, 0x1081), Err(Refusal::Reserved));
        assert_eq!(MODES[1].step(5, 0x1081), Err(Refusal::Reserved));
    }

    /// SDM table 4-16: 1 GiB page, 29:13 reserved, 12 PAT. Table 4-18: 2 MiB page, 20:13, 12.
    #[test]
    fn large_pages_reserve_the_bits_below_their_address() {
        for (level, shift) in [(3, 30), (2, 21)] {
            let base = 0x000f_ffff_c000_0000;
            assert_eq!(
                MODES[0].step(level, base | 0x81),
                leaf(base, shift, Flags::empty())
            );
            assert_eq!(
                MODES[0].step(level, base | 0x1081),
                leaf(base, shift, Flags::PAT)
            );
            for bit in 13..shift {
                let entry = base | 0x81 | 1 << bit;
                assert_eq!(
                    MODES[0].step(level, entry),
                    Err(Refusal::Reserved),
                    "bit {bit}"
                );
            }
            let lowest = 1 << shift;
            assert_eq!(
                MODES[0].step(level, lowest | 0x81),
                leaf(lowest, shift, Flags::empty())
            );
        }
    }

    /// SDM table 4-20: 4 KiB page, bit 7 is PAT, bit 12 is address.
    #[test]
    fn base_pages_have_pat_in_bit_7() {
        assert_eq!(MODES[0].step(1, 0x1081), leaf(0x1000, 12, Flags::PAT));
        let entry = 0x8ff0_0000_0000_0f7f | 0x0005_5555_5555_5000;
        let flags = Flags::from_bits_retain(0x8ff0_0000_0000_0f7e);
        assert_eq!(
            MODES[0].step(1, entry),
            leaf(0x0005_5555_5555_5000, 12, flags)
        );
        assert_eq!(flags.protection_key(), 1);
    }

    #[test]
    fn the_encryption_mask_is_no_address() {
        let mode = X86_64::four_level().with_encryption_mask(1 << 47);
        assert_eq!(
            mode.step(1, 0x8000_0000_1001),
            leaf(0x1000, 12, Flags::empty())
        );
        assert_eq!(
            mode.step(2, 0x8000_0020_0081),
            leaf(0x20_0000, 21, Flags::empty())
        );
        assert_eq!(
            mode.step(4, 0x8000_0000_1001),
            table(0x1000, Flags::empty())
        );
        assert_eq!(mode.root(0x8000_0000_1000), PhysAddr::new(0x1000));
    }

    #[test]
    fn what_cr3_holds_besides_the_address_is_ignored() {
        assert_eq!(
            MODES[0].root(0xe000_0000_1040_2fff),
            PhysAddr::new(0x1040_2000)
        );
    }

    #[test]
    fn canonical_addresses_repeat_their_top_bit() {
        for (mode, bits) in [(MODES[0], 48), (MODES[1], 57)] {
            let lower_last = (1_u64 << (bits - 1)) - 1;
            let upper_first = u64::MAX << (bits - 1);
            let canonical = |at: u64| {
                let stretch = mode.canonical(VirtAddr::new(at)).unwrap();
                (stretch.start().as_u64(), stretch.end().as_u64())
            };
            assert_eq!(canonical(0), (0, lower_last));
            assert_eq!(canonical(lower_last), (lower_last, lower_last));
            for at in [
                lower_last + 1,
                1 << 62 | 0xabc,
                upper_first - 1,
                upper_first,
            ] {
                assert_eq!(canonical(at), (upper_first, u64::MAX));
            }
            assert_eq!(canonical(u64::MAX), (u64::MAX, u64::MAX));
        }
    }

    #[test]
    fn the_next_page_differs_in_the_address_alone() {
        let mode = X86_64::four_level().with_encryption_mask(1 << 47);
        for (level, shift, entry) in [
            (1, 12, 0x8000_0000_0000_1fe7),
            (2, 21, 0x20_10e7),
            (3, 30, 0x83),
        ] {
            let next = entry + (1 << shift);
            assert!(mode.follows(level, entry, next));
            let Ok(Step::Leaf {
                base,
                shift: own,
                flags,
            }) = mode.step(level, entry)
            else {
                panic!("{entry:#x} is no page");
            };
            assert_eq!(own, shift);
            let base = base.checked_add(1 << shift).unwrap().as_u64();
            assert_eq!(mode.step(level, next), leaf(base, shift, flags));

            let highest = !(u64::MAX << 47) >> shift << shift | entry & 0xfff;
            let into_flags = ADDRESS >> shift << shift | 0x81;
            for (leaf, carry) in [
                (highest, "into the mask"),
                (into_flags, "into flags"),
                (u64::MAX, "out of the entry"),
            ] {
                let sum = leaf.wrapping_add(1 << shift);
                assert!(!mode.follows(level, leaf, sum), "a carry {carry}");
            }
            assert!(!mode.follows(level, entry, entry));
            for bit in 0..64 {
                assert!(!mode.follows(level, entry, next ^ 1 << bit), "bit {bit}");
            }
        }
    }

    #[test]
    fn rights_are_those_of_all_levels() {
        let (rw, us, nx) = (Flags::RW, Flags::US, Flags::NX);
        let all = UNRESTRICTED;
        assert_eq!(X86_64::inherit(all, rw | us | Flags::G), rw | us | Flags::G);
        assert_eq!(X86_64::inherit(us, rw | us | Flags::D), us | Flags::D);
        assert_eq!(X86_64::inherit(rw | nx, rw | us), rw | nx);
        // What lies above lends nothing but NX.
        assert_eq!(
            X86_64::inherit(all | Flags::A | Flags::PCD, Flags::empty()),
            Flags::empty()
        );
    }

    #[test]
    fn flags_print_by_name() {
        assert_eq!(Flags::empty().to_string(), "-");
        assert_eq!(
            Flags::all().to_string(),
            "RW US NX G D A PCD PWT PAT 0x7ffffffffffffe01"
        );
        assert_eq!((Flags::NX | Flags::RW).to_string(), "RW NX");
        assert_eq!(Flags::from_bits_retain(0x800).to_string(), "0x800");
    }
}
