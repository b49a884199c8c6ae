//! 32-bit x86: two levels with 4-byte entries, and PAE.
//!
//! ```text
//!  X86       31       22 21       12 11         0      X86Pae    31 30 29      21 20      12 11         0
//!            │    2     │    1     │ offset     │                │ 3  │    2     │    1    │ offset     │
//!
//!  level   manual (Linux)        maps                  level   manual (Linux)        maps
//!  2       PDE (pgd)             4 MiB                 3       PDPTE (pgd)           –
//!  1       PTE (pte)             4 KiB                 2       PDE (pmd)             2 MiB
//!                                                      1       PTE (pte)             4 KiB
//!
//!  X86       31                   12 11  9 8 7  6 5 4   3   2  1  0
//!   PTE      │ address 31:12        │soft│G│PAT│D│A│PCD│PWT│US│RW│1│
//!   PDE      │ table   31:12        │soft│ 0  │A│PCD│PWT│US│RW│1│
//!   4 MiB    │31:22│0│ 39:32 │PAT   │soft│G│1  │D│A│PCD│PWT│US│RW│1│     PSE-36: address bits 39:32 in 20:13
//!                   21 20  13 12
//!  X86Pae    63 62        52 51                12 11  9 8 7  6 5 4   3   2  1  0
//!            │NX│ 0          │ address            │soft│G│PS│D│A│PCD│PWT│US│RW│1│    as x86_64, less its 62:52
//!   PDPTE    │ 0             │ table              │soft│  0     │PCD│PWT│ 0   │1│    four, aligned to 32 bytes
//! ```
//!
//! Source: Intel SDM volume 3A, 4.3 with tables 4-3 to 4-6 (32-bit paging, PSE-36) and 4.4 with tables 4-7
//! to 4-11 (PAE), 4.6.1 (rights).
//!
//! What no table tells is taken as Linux has it: `CR4.PSE` is set, and so is `EFER.NXE`. `MAXPHYADDR` is
//! unknown, so address bits above it are not refused: they lead to an address where no memory is. With
//! PAE the processor keeps the four PDPTEs from when CR3 was written; here they are read from memory.

use core::ops::RangeInclusive;

use physmem::{Endian, PhysAddr, VirtAddr, Width};

use crate::{
    arch::{Arch, Refusal, Step, is_next, sealed::Sealed},
    x86_64::{self, Flags, PAGE_SIZE, PRESENT},
};

/// Bits 31:12 of a 4-byte entry.
const ADDRESS: u64 = 0xffff_f000;
/// Bits 31:22 of a 4-byte entry that maps 4 MiB.
const LARGE_ADDRESS: u64 = 0xffc0_0000;
/// Bits 20:13 of such an entry: bits 39:32 of the address.
const PSE36: u64 = 0x001f_e000;
const PSE36_UP: u8 = 32 - 13;
/// Bit 21 of such an entry, reserved.
const LARGE_RESERVED: u64 = 1 << 21;
/// Bit 12 of such an entry, and how far from where a PTE has it.
const LARGE_PAT: u64 = 1 << 12;
const PAT_DOWN: u8 = 12 - 7;
/// Bits of a 4-byte entry that [`Flags`] keeps: all of 11:1 but PS.
const FLAGS: u64 = 0xf7e;

/// Bits 62:52 of a PAE entry.
const PAE_RESERVED: u64 = 0x7ff0_0000_0000_0000;
/// Bits of a PDPTE that are reserved: 63:52, 8:6, 2:1. Bit 5 is, too, but QEMU without KVM marks a PDPTE
/// as accessed, as it does any other entry.
const PDPTE_RESERVED: u64 = 0xfff0_0000_0000_01c6;
/// Bits of a PDPTE that [`Flags`] keeps.
const PDPTE_FLAGS: u64 = 0xe38;
/// CR3 with PAE: bits 31:5.
const PAE_ROOT: u64 = 0xffff_ffe0;

/// All of a 32-bit space at and above `from`.
fn low_4_gib(from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
    let last = VirtAddr::new(u32::MAX.into());
    (from <= last).then_some(from..=last)
}

/// 32-bit paging: two levels, 4-byte entries, pages of 4 KiB and 4 MiB. Its flags are x86_64's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct X86;

impl X86 {
    /// The mode.
    pub const fn new() -> Self {
        Self
    }
}

impl Sealed for X86 {}

impl Arch for X86 {
    type Flags = Flags;

    #[inline]
    fn entry(&self) -> (Width, Endian) {
        (Width::U32, Endian::Little)
    }

    #[inline]
    fn levels(&self) -> u8 {
        2
    }

    #[inline]
    fn shift(&self, level: u8) -> u8 {
        10 * level + 2
    }

    #[inline]
    fn index_bits(&self, _level: u8) -> u8 {
        10
    }

    #[inline]
    fn root(&self, cr3: u64) -> PhysAddr {
        PhysAddr::new(cr3 & ADDRESS)
    }

    #[inline]
    fn root_low(&self) -> u64 {
        0
    }

    #[inline]
    fn unrestricted(&self) -> Flags {
        x86_64::UNRESTRICTED
    }

    #[inline]
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
        low_4_gib(from)
    }

    #[inline]
    fn step(&self, level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        if entry & PRESENT == 0 {
            return Err(Refusal::NotPresent);
        }
        let flags = Flags::from_bits_retain(entry & FLAGS);
        let address = entry & ADDRESS;
        if level == 1 {
            return Ok(Step::Leaf {
                base: PhysAddr::new(address),
                shift: 12,
                flags: flags | Flags::from_bits_retain(entry & Flags::PAT.bits()),
            });
        }
        if entry & PAGE_SIZE == 0 {
            return Ok(Step::Table {
                at: PhysAddr::new(address),
                flags,
            });
        }
        if entry & LARGE_RESERVED != 0 {
            return Err(Refusal::Reserved);
        }
        Ok(Step::Leaf {
            base: PhysAddr::new(entry & LARGE_ADDRESS | (entry & PSE36) << PSE36_UP),
            shift: 22,
            flags: flags | Flags::from_bits_retain((entry & LARGE_PAT) >> PAT_DOWN),
        })
    }

    /// A carry out of the entry: what follows 4 GiB has other bits 39:32.
    #[inline]
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool {
        next.checked_sub(leaf) == Some(1 << self.shift(level))
    }

    #[inline]
    fn inherit(above: Flags, own: Flags) -> Flags {
        x86_64::inherit(above, own)
    }
}

/// PAE paging: three levels, 8-byte entries, pages of 4 KiB and 2 MiB. Its flags are x86_64's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct X86Pae;

impl X86Pae {
    /// The mode.
    pub const fn new() -> Self {
        Self
    }
}

impl Sealed for X86Pae {}

impl Arch for X86Pae {
    type Flags = Flags;

    #[inline]
    fn entry(&self) -> (Width, Endian) {
        (Width::U64, Endian::Little)
    }

    #[inline]
    fn levels(&self) -> u8 {
        3
    }

    #[inline]
    fn shift(&self, level: u8) -> u8 {
        9 * level + 3
    }

    #[inline]
    fn index_bits(&self, level: u8) -> u8 {
        if level == 3 { 2 } else { 9 }
    }

    #[inline]
    fn root(&self, cr3: u64) -> PhysAddr {
        PhysAddr::new(cr3 & PAE_ROOT)
    }

    #[inline]
    fn root_low(&self) -> u64 {
        0
    }

    #[inline]
    fn unrestricted(&self) -> Flags {
        x86_64::UNRESTRICTED
    }

    #[inline]
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
        low_4_gib(from)
    }

    #[inline]
    fn step(&self, level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        if entry & PRESENT == 0 {
            return Err(Refusal::NotPresent);
        }
        let reserved = if level == 3 {
            PDPTE_RESERVED
        } else {
            PAE_RESERVED
        };
        if entry & reserved != 0 {
            return Err(Refusal::Reserved);
        }
        if level == 3 {
            // A PDPTE says nothing of rights, and so takes none away.
            return Ok(Step::Table {
                at: PhysAddr::new(entry & x86_64::ADDRESS),
                flags: Flags::from_bits_retain(entry & PDPTE_FLAGS) | x86_64::UNRESTRICTED,
            });
        }
        x86_64::step(level, entry, x86_64::ADDRESS)
    }

    #[inline]
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool {
        is_next(leaf, next, 1 << self.shift(level), x86_64::ADDRESS)
    }

    #[inline]
    fn inherit(above: Flags, own: Flags) -> Flags {
        x86_64::inherit(above, own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::testing::{leaf, table};

    /// What the walker relies on.
    #[test]
    fn indices_lie_side_by_side_and_end_with_4_gib() {
        fn check(arch: impl Arch) {
            assert_eq!(arch.shift(1), 12);
            for level in 1..=arch.levels() {
                let above = arch.shift(level) + arch.index_bits(level);
                let next = if level < arch.levels() {
                    arch.shift(level + 1)
                } else {
                    32
                };
                assert_eq!(above, next);
            }
        }
        check(X86);
        check(X86Pae);
    }

    #[test]
    fn an_entry_without_p_is_not_present_whatever_else_it_says() {
        for level in 1..=3 {
            assert_eq!(
                X86.step(level.min(2), 0xffff_fffe),
                Err(Refusal::NotPresent)
            );
            assert_eq!(X86Pae.step(level, !1), Err(Refusal::NotPresent));
        }
    }

    /// SDM tables 4-5 (PDE to a table) and 4-6 (PTE).
    #[test]
    fn two_levels_of_4_byte_entries() {
        let flags = Flags::RW | Flags::US | Flags::A;
        assert_eq!(X86.step(2, 0xffff_f027), table(0xffff_f000, flags));
        let flags = flags | Flags::D | Flags::PAT | Flags::G;
        assert_eq!(X86.step(1, 0xffff_f1e7), leaf(0xffff_f000, 12, flags));
    }

    /// SDM table 4-4: 4 MiB page, address bits 39:32 in 20:13, PAT in 12, 21 reserved.
    #[test]
    fn pse_36_reaches_beyond_4_gib() {
        let one = |entry: u64| X86.step(2, entry | 0x81);
        assert_eq!(one(0xffc0_0000), leaf(0xffc0_0000, 22, Flags::empty()));
        assert_eq!(one(0x1000), leaf(0, 22, Flags::PAT));
        for bit in 13..=20 {
            assert_eq!(
                one(0x40_0000 | 1 << bit),
                leaf(0x40_0000 | 1 << (bit + 19), 22, Flags::empty())
            );
        }
        assert_eq!(one(0xffdf_f000), leaf(0xff_ffc0_0000, 22, Flags::PAT));
        assert_eq!(one(0x20_0000), Err(Refusal::Reserved));
        assert!(X86.follows(2, 0x00c0_0081, 0x0100_0081));
        assert_eq!(one(0x0100_0000), leaf(0x0100_0000, 22, Flags::empty()));
        assert!(!X86.follows(2, 0xffc0_0081, 0x81), "a carry");
        assert!(!X86.follows(1, 0xffff_f001, 1), "a carry");
    }

    /// SDM table 4-8: a PDPTE has no rights, and no page.
    #[test]
    fn pdptes_lead_to_tables_and_say_nothing_of_rights() {
        let all = Flags::RW | Flags::US;
        assert_eq!(
            X86Pae.step(3, 0x000f_ffff_ffff_f001),
            table(0x000f_ffff_ffff_f000, all)
        );
        assert_eq!(
            X86Pae.step(3, 0x1019),
            table(0x1000, all | Flags::PWT | Flags::PCD)
        );
        // As QEMU leaves it.
        assert_eq!(X86Pae.step(3, 0x1021), table(0x1000, all | Flags::A));
        for bit in [1, 2, 6, 7, 8].into_iter().chain(52..64) {
            assert_eq!(
                X86Pae.step(3, 1 << bit | 0x1001),
                Err(Refusal::Reserved),
                "bit {bit}"
            );
        }
        assert_eq!(X86Pae.root(0xffff_ffff), PhysAddr::new(0xffff_ffe0));
    }

    /// SDM tables 4-9 to 4-11.
    #[test]
    fn pae_has_x86_64s_entries_but_no_keys_and_no_high_software_bits() {
        let base = 0x000f_ffff_ffe0_0000;
        assert_eq!(
            X86Pae.step(2, base | 1 << 63 | 0x1081),
            leaf(base, 21, Flags::PAT | Flags::NX)
        );
        assert_eq!(X86Pae.step(2, base | 0x2081), Err(Refusal::Reserved));
        assert_eq!(X86Pae.step(2, 0x1003), table(0x1000, Flags::RW));
        assert_eq!(X86Pae.step(1, 0x1081), leaf(0x1000, 12, Flags::PAT));
        for bit in 52..63 {
            for level in [1, 2] {
                assert_eq!(
                    X86Pae.step(level, 1 << bit | 0x1001),
                    Err(Refusal::Reserved)
                );
            }
        }
    }

    #[test]
    fn nothing_is_mapped_above_4_gib() {
        let last = VirtAddr::new(0xffff_ffff);
        for from in [0, 0x8000_0000, 0xffff_ffff].map(VirtAddr::new) {
            assert_eq!(X86.canonical(from), Some(from..=last));
            assert_eq!(X86Pae.canonical(from), Some(from..=last));
        }
        assert_eq!(X86.canonical(VirtAddr::new(1 << 32)), None);
        assert_eq!(X86Pae.canonical(VirtAddr::new(u64::MAX)), None);
    }
}
