//! s390x: dynamic address translation, with two to five levels of tables.
//!
//! ```text
//!  virtual      63       53 52       42 41       31 30       20 19     12 11         0
//!               │    5     │     4     │     3     │     2     │    1    │ offset     │   level of the index
//!  the manual's     RFX         RSX         RTX         SX         PX         BX
//!  page                                   2 GiB       1 MiB      4 KiB
//!
//!  entry        63                              12  11 10  9   8  7 6  5  4 3 2 1 0
//!   5, 4, 3     │ table                           │   │0│ P │   │TF│ I │  │TT │TL │   region first, second, third
//!   3           │ page 63:31      │ 0 │AV│ACC      │ F│1│ P │IEP│  │ I │CR│ 1 │   │
//!   2           │ page table 63:11                    │0│ P │   │  │ I │CS│ 0 │   │   segment
//!   2           │ page 63:20      │ 0 │AV│ACC      │ F│1│ P │IEP│  │ I │CS│ 0 │   │
//!   1           │ page                            │ 0│I│ P │IEP│ software       │   page
//!                                   19 17 16 15 12
//!
//!  ASCE         │ table                           │         │G P S X R│  │DT │TL │
//! ```
//!
//! Bits are counted from the right, as in every architecture here; the manual counts from the left.
//!
//! The root is of the type that the address-space-control element (ASCE) designates, `DT`; `TT` repeats it in each
//! entry. A table above level 1 is made of four parts of 512 entries: what leads to it tells the first, `TF`, and
//! the last, `TL`, that it has; entries are counted from the beginning of the first part all the same.
//! Such tables begin at a multiple of 4 KiB, those of level 1 at one of 2 KiB.
//!
//! Source: z/Architecture Principles of Operation (SA22-7832), chapter 3, "Dynamic Address Translation":
//! "Control" (ASCE), "Translation Tables" (entries), "Translation Process".
//!
//! What no table tells is taken as Linux has it: EDAT-1, EDAT-2 and instruction-execution protection are there and
//! on. The result is a real address. What lies at an absolute one, as in a dump, differs only in the first 8 KiB and
//! in the 8 KiB that the processor's prefix register designates: these two are swapped.

use core::{fmt, ops::RangeInclusive};

use physmem::{Endian, PhysAddr, VirtAddr, Width};

use crate::{
    arch::{Arch, Refusal, Step, sealed::Sealed},
    flags,
    walker::Walker,
};

/// I of an entry above level 1: everything else counts only without it.
const INVALID: u64 = 1 << 5;
/// I of a page-table entry, and FC of one of levels 2 and 3, which maps a page.
const PAGE_INVALID: u64 = 1 << 10;
const FORMAT_CONTROL: u64 = 1 << 10;
/// A bit that has to be 0 in a page-table entry.
const PAGE_ZERO: u64 = 1 << 11;
/// TT of an entry, DT of an ASCE: the level less 2.
const TYPE: u64 = 3 << 2;
const TYPE_SHIFT: u8 = 2;
/// TF and TL.
const OFFSET: u64 = 3 << 6;
const OFFSET_SHIFT: u8 = 6;
const LENGTH: u64 = 3;
/// R of an ASCE: there are no tables, virtual addresses are real ones.
const REAL_SPACE: u64 = 1 << 5;
/// Where tables may begin.
const TABLE: u64 = !0xfff;
const PAGE_TABLE: u64 = !0x7ff;
/// Entries in the parts of a table that TF and TL count.
const PART: usize = 512;

bitflags::bitflags! {
    /// What an entry says of a page, each bit where the processor has it.
    ///
    /// Bits without a name are kept: those for software (7:0 of a page-table entry) and, of pages of 1 MiB and
    /// 2 GiB, the common-segment bit (4) and access control: AV (16), ACC (15:12), F (11). For a table they
    /// are `P` and which part of it there is: TF (7:6) and TL (1:0).
    ///
    /// Prints the names, then the nameless bits in hex: `P IEP 0x11`, or `-` for none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u64 {
        /// Instruction fetches are not allowed.
        const IEP = 1 << 8;
        /// DAT protection: writes are not allowed, nor in all that lies below a table with it.
        const P = 1 << 9;

        const _ = !0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u64, &str); 2] = [(Flags::P.bits(), "P"), (Flags::IEP.bits(), "IEP")];
        flags::print(self.bits(), &NAMES, f)
    }
}

/// The paging mode of a 64-bit IBM Z kernel: which tables the root is one of, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct S390x {
    levels: u8,
    length: u8,
}

impl S390x {
    /// 31-bit virtual addresses, two levels: the root is a segment table.
    pub const fn segment() -> Self {
        Self::with_levels(2)
    }

    /// 42-bit virtual addresses, three levels: the root is a region-third table. Linux begins every process so, and
    /// its own tables if these addresses suffice.
    pub const fn region_third() -> Self {
        Self::with_levels(3)
    }

    /// 53-bit virtual addresses, four levels: the root is a region-second table.
    pub const fn region_second() -> Self {
        Self::with_levels(4)
    }

    /// 64-bit virtual addresses, five levels: the root is a region-first table.
    pub const fn region_first() -> Self {
        Self::with_levels(5)
    }

    const fn with_levels(levels: u8) -> Self {
        Self { levels, length: 3 }
    }

    /// The same mode where the root has the table length `length`, TL of an ASCE: 0 for 512 entries, 3 for
    /// 2048, as without this; only those two bits count.
    #[must_use]
    pub const fn with_length(self, length: u8) -> Self {
        Self {
            length: length & 3,
            ..self
        }
    }

    /// TL of the root: it has 512 entries more than 512 times this.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// The mode and the root that an address-space-control element designates: control register 1 for the
    /// primary space, 7 for the secondary, 13 for the home space. `None` if it is a real-space designation, which
    /// translates nothing.
    pub fn from_asce(asce: u64) -> Option<Walker<Self>> {
        if asce & REAL_SPACE != 0 {
            return None;
        }
        let mode = Self::of_table(asce).with_length((asce & LENGTH) as u8);
        Some(Walker::new(mode, PhysAddr::new(asce & TABLE)))
    }

    /// The mode whose root is the table that has `entry`, a table of full length: each entry above level 1 tells the
    /// type of its table, in Linux also where it is invalid.
    pub const fn of_table(entry: u64) -> Self {
        Self::with_levels(((entry & TYPE) >> TYPE_SHIFT) as u8 + 2)
    }
}

/// Eight index bits above the twelve of a page, then eleven a level.
#[inline]
const fn shift(level: u8) -> u8 {
    if level == 1 { 12 } else { 11 * level - 2 }
}

impl Sealed for S390x {}

impl Arch for S390x {
    type Flags = Flags;

    #[inline]
    fn entry(&self) -> (Width, Endian) {
        (Width::U64, Endian::Big)
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
    fn index_bits(&self, level: u8) -> u8 {
        if level == 1 { 8 } else { 11 }
    }

    #[inline]
    fn root_low(&self) -> u64 {
        !TABLE
    }

    #[inline]
    fn unrestricted(&self) -> Flags {
        Flags::from_bits_retain(self.length.into())
    }

    #[inline]
    fn part(&self, level: u8, flags: Flags) -> Option<RangeInclusive<usize>> {
        let first = ((flags.bits() & OFFSET) >> OFFSET_SHIFT) as usize;
        let last = (flags.bits() & LENGTH) as usize;
        let whole = level == 1 || first == 0 && last == 3;
        (!whole).then_some(first * PART..=last * PART + (PART - 1))
    }

    #[inline]
    fn canonical(&self, from: VirtAddr) -> Option<RangeInclusive<VirtAddr>> {
        let last = VirtAddr::new(u64::MAX >> (53 - shift(self.levels)));
        (from <= last).then_some(from..=last)
    }

    #[inline]
    fn step(&self, level: u8, entry: u64) -> Result<Step<Flags>, Refusal> {
        let kept = |mask: u64| Flags::from_bits_retain(entry & mask);
        let shift = shift(level);
        let within = (1 << shift) - 1;
        let page = entry & FORMAT_CONTROL != 0 && level <= 3;
        if level == 1 {
            return match (entry & PAGE_INVALID, entry & PAGE_ZERO) {
                (0, 0) => Ok(Step::Leaf {
                    base: PhysAddr::new(entry & !within),
                    shift,
                    flags: kept(within),
                }),
                (0, _) => Err(Refusal::Reserved),
                _ => Err(Refusal::NotPresent),
            };
        }
        if entry & INVALID != 0 {
            return Err(Refusal::NotPresent);
        }
        if (entry & TYPE) >> TYPE_SHIFT != u64::from(level - 2) {
            return Err(Refusal::Reserved);
        }
        Ok(if page {
            Step::Leaf {
                base: PhysAddr::new(entry & !within),
                shift,
                flags: kept(within & !(FORMAT_CONTROL | TYPE)),
            }
        } else if level == 2 {
            Step::Table {
                at: PhysAddr::new(entry & PAGE_TABLE),
                flags: kept(Flags::P.bits()),
            }
        } else {
            Step::Table {
                at: PhysAddr::new(entry & TABLE),
                flags: kept(Flags::P.bits() | OFFSET | LENGTH),
            }
        })
    }

    /// A carry out of the entry: nothing follows the last page of the address space.
    #[inline]
    fn follows(&self, level: u8, leaf: u64, next: u64) -> bool {
        next.checked_sub(leaf) == Some(1 << shift(level))
    }

    /// A table can take away writing; what part of it there is counts for itself alone.
    #[inline]
    fn inherit(above: Flags, own: Flags) -> Flags {
        own | (above & Flags::P)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::arch::MAX_LEVELS;
    use crate::arch::testing::{leaf, table};

    const MODES: [S390x; 4] = [
        S390x::segment(),
        S390x::region_third(),
        S390x::region_second(),
        S390x::region_first(),
    ];
    const WIDEST: S390x = S390x::region_first();

    /// What the walker relies on: it shifts by these, and has room for so many levels.
    #[test]
    fn indices_lie_side_by_side_in_64_bits() {
        for (mode, bits) in MODES.into_iter().zip([31, 42, 53, 64]) {
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
            let last = VirtAddr::new(u64::MAX >> (64 - bits));
            let all = mode.canonical(VirtAddr::new(7)).unwrap();
            assert_eq!(all, VirtAddr::new(7)..=last);
            let beyond = last.checked_add(1);
            assert_eq!(beyond.and_then(|virt| mode.canonical(virt)), None);
        }
    }

    /// "Translation Tables": I is bit 58 of region and segment entries, bit 53 of page-table entries.
    #[test]
    fn an_invalid_entry_is_not_present_whatever_else_it_says() {
        for level in 2..=5 {
            assert_eq!(WIDEST.step(level, INVALID), Err(Refusal::NotPresent));
            assert_eq!(WIDEST.step(level, u64::MAX), Err(Refusal::NotPresent));
        }
        assert_eq!(WIDEST.step(1, PAGE_INVALID), Err(Refusal::NotPresent));
        assert_eq!(WIDEST.step(1, u64::MAX), Err(Refusal::NotPresent));
    }

    /// "Translation Process": a translation-specification exception if TT is not the table's, or if bit 52 of a
    /// page-table entry is one.
    #[test]
    fn an_entry_tells_the_type_of_its_table() {
        for level in 2..=5 {
            for kind in 0..4 {
                let entry = 0x4000 | kind << 2 | 3;
                let flags = Flags::from_bits_retain(if level == 2 { 0 } else { 3 });
                let expected = if kind == u64::from(level) - 2 {
                    table(0x4000, flags)
                } else {
                    Err(Refusal::Reserved)
                };
                assert_eq!(WIDEST.step(level, entry), expected, "{level} {kind}");
            }
        }
        assert_eq!(WIDEST.step(1, 0x4800), Err(Refusal::Reserved));
        assert_eq!(S390x::of_table(0x2c), S390x::region_first());
        assert_eq!(S390x::of_table(0x24), S390x::region_third());
        assert_eq!(S390x::of_table(0x4000), S390x::segment());
    }

    /// Addresses up to the 64th bit, of pages of each size and of both kinds of tables.
    #[test]
    fn entries_hold_whole_addresses() {
        let soft = Flags::from_bits_retain;
        let top = u64::MAX;
        assert_eq!(
            WIDEST.step(1, top & !(PAGE_INVALID | PAGE_ZERO)),
            leaf(top << 12, 12, Flags::P | Flags::IEP | soft(0xff))
        );
        // All but I and, of TT, the bits that are 0.
        let large = |level: u64| top & !INVALID & !TYPE | level << 2;
        let flags = |bits| Flags::P | Flags::IEP | soft(bits & !(INVALID | TYPE | FORMAT_CONTROL));
        assert_eq!(
            WIDEST.step(2, large(0)),
            leaf(top << 20, 20, flags(0xf_ffff))
        );
        assert_eq!(
            WIDEST.step(3, large(1)),
            leaf(top << 31, 31, flags(0x7fff_ffff))
        );
        // Bit 53 is no format control above.
        let part = Flags::P | soft(0xc3);
        assert_eq!(WIDEST.step(4, large(2)), table(top << 12, part));
        assert_eq!(WIDEST.step(5, large(3)), table(top << 12, part));
        let no_page = large(0) & !FORMAT_CONTROL;
        assert_eq!(WIDEST.step(2, no_page), table(top << 11, Flags::P));
    }

    /// "Region-First-Table Entry" and the ones after it: TF and TL in units of 4096 bytes.
    #[test]
    fn tables_may_have_a_part_of_their_entries() {
        let part = |flags| WIDEST.part(3, Flags::from_bits_retain(flags));
        assert_eq!(part(3), None);
        assert_eq!(part(0), Some(0..=511));
        assert_eq!(part(2), Some(0..=1535));
        assert_eq!(part(0x43), Some(512..=2047));
        assert_eq!(part(0x82), Some(1024..=1535));
        assert_eq!(part(0xc1).map(|part| part.is_empty()), Some(true));
        assert_eq!(WIDEST.part(1, Flags::empty()), None);
        let root = S390x::region_third().with_length(5);
        assert_eq!(root.length(), 1);
        assert_eq!(root.part(3, root.unrestricted()), Some(0..=1023));
        assert_eq!(WIDEST.part(5, WIDEST.unrestricted()), None);
    }

    /// Control registers 13, the kernel, and 7, a process, of a Linux 6.12 guest under QEMU; what else an ASCE can say.
    #[test]
    fn an_asce_tells_mode_and_root() {
        let root = |mode, at| Some(Walker::new(mode, PhysAddr::new(at)));
        let asce = S390x::from_asce;
        let third = S390x::region_third();
        assert_eq!(asce(0x0204_0007), root(third, 0x0204_0000));
        assert_eq!(asce(0x02d0_41c7), root(third, 0x02d0_4000));
        assert_eq!(asce(0x4000), root(S390x::segment().with_length(0), 0x4000));
        assert_eq!(
            asce(0x400d),
            root(S390x::region_first().with_length(1), 0x4000)
        );
        assert_eq!(asce(0x4027), None);
    }

    #[test]
    fn the_next_page_differs_in_the_address_alone() {
        for (level, entry) in [(1, 0x311), (2, 0x711), (3, 0x714)] {
            let shift = shift(level);
            let five = 5 << shift | entry;
            assert!(WIDEST.follows(level, five, 6 << shift | entry));
            assert!(!WIDEST.follows(level, five, 6 << shift | entry ^ 1));
            assert!(!WIDEST.follows(level, u64::MAX << shift | entry, entry));
        }
    }

    #[test]
    fn tables_take_writing_away() {
        let whole = Flags::from_bits_retain(3);
        assert_eq!(S390x::inherit(whole, Flags::IEP), Flags::IEP);
        let above = S390x::inherit(Flags::P | whole, Flags::from_bits_retain(0x40));
        assert_eq!(above, Flags::P | Flags::from_bits_retain(0x40));
    }

    #[test]
    fn flags_print_by_name() {
        assert_eq!(Flags::empty().to_string(), "-");
        assert_eq!(Flags::all().to_string(), "P IEP 0xfffffffffffffcff");
    }
}
