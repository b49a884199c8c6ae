//! The manuals, read aloud: each paging mode walked by a naive model that shares nothing with the crate,
//! and random tables for it.

use std::ops::RangeInclusive;

use page_walk::{
    AArch64, AnyFlags, AnyWalker, Fault, FaultKind, Mapping, Ppc64, RiscV64, S390x, Walker, X86,
    X86_64, X86Pae,
    aarch64::{Granule, Half, Output},
};
use physmem::{Absence, PhysAddr, VirtAddr};
use proptest::prelude::*;

/// Frames that hold tables; the memory ends there.
const FRAMES: u64 = 6;
/// Entries that random tables fill and random addresses go through, in 512ths of a table: both ends of both
/// halves.
const SLOTS: [u64; 10] = [0, 1, 2, 3, 64, 255, 256, 257, 510, 511];

/// What the model makes of an address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    Mapped { phys: u64, shift: u32, flags: u64 },
    NotPresent,
    Reserved,
    OutOfTable,
    Missing,
    NonCanonical,
}

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rules {
    X86_64,
    X86,
    Pae,
    Arm {
        granule: Granule,
        output: Output,
        half: Half,
    },
    RiscV,
    Ppc64 {
        /// The first address.
        first: u64,
    },
    S390x {
        /// TL of the root.
        length: u64,
    },
}

/// A paging mode.
#[derive(Debug, Clone)]
pub(crate) struct Mode {
    pub(crate) walker: AnyWalker,
    pub(crate) rules: Rules,
    /// Bits of a page's offset, then of each index from level 1 up.
    bits: Vec<u32>,
}

/// What an entry says, as the model reads it.
enum Meaning {
    NotPresent,
    Reserved,
    Table(u64),
    Page { base: u64, shift: u32 },
}

pub(crate) fn modes() -> Vec<Mode> {
    let root = PhysAddr::new(0);
    let mode = |walker: AnyWalker, rules, bits: &[u32]| Mode {
        walker,
        rules,
        bits: bits.to_vec(),
    };
    let arm = |half, granule, output, bits: &[u32]| {
        let va_bits = u8::try_from(bits.iter().sum::<u32>()).unwrap();
        let arch = AArch64::try_new(half, granule, va_bits, output).unwrap();
        let rules = Rules::Arm {
            granule,
            output,
            half,
        };
        mode(Walker::new(arch, root).into(), rules, bits)
    };
    let ppc64 = |arch: Ppc64, first, bits: &[u32]| {
        let rules = Rules::Ppc64 { first };
        mode(Walker::new(arch, root).into(), rules, bits)
    };
    let s390x = |arch: S390x, length: u8, bits: &[u32]| {
        let rules = Rules::S390x {
            length: length.into(),
        };
        mode(
            Walker::new(arch.with_length(length), root).into(),
            rules,
            bits,
        )
    };
    use {Granule::*, Half::*, Output::*};
    vec![
        mode(
            Walker::new(X86_64::four_level(), root).into(),
            Rules::X86_64,
            &[12, 9, 9, 9, 9],
        ),
        mode(
            Walker::new(X86_64::five_level(), root).into(),
            Rules::X86_64,
            &[12, 9, 9, 9, 9, 9],
        ),
        mode(
            Walker::new(X86::new(), root).into(),
            Rules::X86,
            &[12, 10, 10],
        ),
        mode(
            Walker::new(X86Pae::new(), root).into(),
            Rules::Pae,
            &[12, 9, 9, 2],
        ),
        arm(Upper, K4, Bits48, &[12, 9, 9, 9]),
        arm(Lower, K4, Bits48, &[12, 9, 9, 9, 9]),
        arm(Upper, K4, Bits52, &[12, 9, 9, 9, 9, 4]),
        arm(Lower, K16, Bits48, &[14, 11, 11]),
        arm(Upper, K16, Bits52, &[14, 11, 11, 11, 5]),
        arm(Upper, K64, Bits48, &[16, 13, 13]),
        arm(Upper, K64, Bits52, &[16, 13, 13, 10]),
        mode(
            Walker::new(RiscV64::sv39(), root).into(),
            Rules::RiscV,
            &[12, 9, 9, 9],
        ),
        mode(
            Walker::new(RiscV64::sv48(), root).into(),
            Rules::RiscV,
            &[12, 9, 9, 9, 9],
        ),
        mode(
            Walker::new(RiscV64::sv57(), root).into(),
            Rules::RiscV,
            &[12, 9, 9, 9, 9, 9],
        ),
        ppc64(Ppc64::radix_4k(), 0xc << 60, &[12, 9, 9, 9, 13]),
        ppc64(Ppc64::radix_64k(), 0xc << 60, &[16, 5, 9, 9, 13]),
        ppc64(Ppc64::radix_64k().lower(), 0, &[16, 5, 9, 9, 13]),
        s390x(S390x::segment(), 3, &[12, 8, 11]),
        s390x(S390x::region_third(), 3, &[12, 8, 11, 11]),
        s390x(S390x::region_second(), 0, &[12, 8, 11, 11, 11]),
        s390x(S390x::region_first(), 3, &[12, 8, 11, 11, 11, 11]),
    ]
}

impl Mode {
    /// Bytes of an entry.
    pub(crate) fn width(&self) -> usize {
        if self.rules == Rules::X86 { 4 } else { 8 }
    }

    /// Log2 of the bytes that a frame with a table takes.
    fn frame(&self) -> u32 {
        match self.rules {
            Rules::S390x { .. } => 14,
            Rules::Ppc64 { .. } => 16,
            _ => self.bits[0],
        }
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let append = |word, byte: &u8| word << 8 | u64::from(*byte);
        match self.rules {
            Rules::S390x { .. } | Rules::Ppc64 { .. } => bytes.iter().fold(0, append),
            _ => bytes.iter().rev().fold(0, append),
        }
    }

    fn bytes(&self, entry: u64) -> Vec<u8> {
        match self.rules {
            Rules::S390x { .. } | Rules::Ppc64 { .. } => entry.to_be_bytes().to_vec(),
            _ => entry.to_le_bytes()[..self.width()].to_vec(),
        }
    }

    /// The entry that nobody has filled.
    fn nothing(&self) -> u64 {
        match self.rules {
            // Invalid in a page table, and above.
            Rules::S390x { .. } => 0x420,
            _ => 0,
        }
    }

    pub(crate) fn levels(&self) -> usize {
        self.bits.len() - 1
    }

    /// Log2 of what an entry of `level` covers.
    pub(crate) fn shift(&self, level: usize) -> u32 {
        self.bits[..level].iter().sum()
    }

    fn canonical(&self, virt: u64) -> bool {
        let bits: u32 = self.bits.iter().sum();
        let above = virt.checked_shr(bits).unwrap_or(0);
        let ones = u64::MAX.checked_shr(bits).unwrap_or(0);
        match self.rules {
            Rules::X86_64 | Rules::RiscV => {
                let sign = virt >> (bits - 1) & 1;
                above == if sign == 1 { ones } else { 0 }
            }
            Rules::X86 | Rules::Pae | Rules::S390x { .. } => above == 0,
            Rules::Ppc64 { first } => above == first >> bits,
            Rules::Arm { half, .. } => above == if half == Half::Upper { ones } else { 0 },
        }
    }

    /// The tables in `memory`, the root at 0, asked for `virt`.
    pub(crate) fn translate(&self, memory: &[u8], virt: u64) -> Outcome {
        if !self.canonical(virt) {
            return Outcome::NonCanonical;
        }
        let (mut table, mut way) = (0_u64, Vec::new());
        for level in (1..=self.levels()).rev() {
            let index = self.index(virt, level);
            if !self.part(level, &way).contains(&(index / 512)) {
                return Outcome::OutOfTable;
            }
            let at = usize::try_from(table + index * self.width() as u64).unwrap_or(usize::MAX);
            let bytes = memory.get(at..).and_then(|rest| rest.get(..self.width()));
            let Some(bytes) = bytes else {
                return Outcome::Missing;
            };
            let entry = self.number(bytes);
            way.push(entry);
            match self.meaning(level, entry) {
                Meaning::NotPresent => return Outcome::NotPresent,
                Meaning::Reserved => return Outcome::Reserved,
                Meaning::Table(next) => table = next,
                Meaning::Page { base, shift } => {
                    return Outcome::Mapped {
                        phys: base + virt % (1 << shift),
                        shift,
                        flags: self.flags(&way),
                    };
                }
            }
        }
        unreachable!("an entry of level 1 maps a page or leads nowhere")
    }

    pub(crate) fn index(&self, virt: u64, level: usize) -> u64 {
        virt >> self.shift(level) & ((1 << self.bits[level]) - 1)
    }

    /// The 512s of entries that the next table, of `level`, has.
    fn part(&self, level: usize, way: &[u64]) -> RangeInclusive<u64> {
        match (self.rules, way.last()) {
            (Rules::S390x { length }, None) => 0..=length,
            (Rules::S390x { .. }, Some(entry)) if level > 1 => entry >> 6 & 3..=entry & 3,
            _ => 0..=u64::MAX,
        }
    }

    fn meaning(&self, level: usize, entry: u64) -> Meaning {
        let bit = |n: u32| entry >> n & 1 == 1;
        let shift = self.shift(level);
        let field = |high: u32, low: u32| (entry & (u64::MAX >> (63 - high))) >> low << low;
        let page = |address: u64, shift: u32| Meaning::Page {
            base: address >> shift << shift,
            shift,
        };
        let there = match self.rules {
            Rules::S390x { .. } => !bit(if level == 1 { 10 } else { 5 }),
            Rules::Ppc64 { .. } => bit(63),
            _ => bit(0),
        };
        if !there {
            return Meaning::NotPresent;
        }
        match self.rules {
            Rules::Ppc64 { .. } => match (level, bit(62)) {
                (4, true) | (1, false) => Meaning::Reserved,
                (_, true) => page(field(56, 12), shift),
                (_, false) if entry & 31 != u64::from(self.bits[level - 1]) => Meaning::Reserved,
                (_, false) => Meaning::Table(field(59, 3 + self.bits[level - 1])),
            },
            Rules::S390x { .. } => match (level, entry >> 2 & 3, bit(10)) {
                (1, _, _) if bit(11) => Meaning::Reserved,
                (1, _, _) => page(entry, 12),
                (_, kind, _) if kind + 2 != level as u64 => Meaning::Reserved,
                (2 | 3, _, true) => page(entry, shift),
                (2, _, false) => Meaning::Table(field(63, 11)),
                (_, _, _) => Meaning::Table(field(63, 12)),
            },
            Rules::X86_64 | Rules::Pae => {
                if self.rules == Rules::Pae {
                    let pdpte = level == 3;
                    if (52..63).any(bit)
                        || pdpte && (bit(63) || bit(1) || bit(2) || (5..9).any(bit))
                    {
                        return Meaning::Reserved;
                    }
                }
                match (level, bit(7)) {
                    (1, _) => page(field(51, 12), 12),
                    (2 | 3, true) if (13..shift).any(bit) => Meaning::Reserved,
                    (2 | 3, true) => page(field(51, 12), shift),
                    (_, true) => Meaning::Reserved,
                    (_, false) => Meaning::Table(field(51, 12)),
                }
            }
            Rules::X86 => match (level, bit(7)) {
                (1, _) => page(field(31, 12), 12),
                (_, false) => Meaning::Table(field(31, 12)),
                (_, true) if bit(21) => Meaning::Reserved,
                (_, true) => page(field(31, 22) | field(20, 13) >> 13 << 32, 22),
            },
            Rules::Arm {
                granule, output, ..
            } => {
                let low = self.bits[0];
                let address = match (granule, output) {
                    (_, Output::Bits48) => field(47, low),
                    (Granule::K64, Output::Bits52) => field(47, 16) | field(15, 12) >> 12 << 48,
                    (_, Output::Bits52) => field(49, low) | field(9, 8) >> 8 << 50,
                };
                let blocks = match (granule, output) {
                    (Granule::K4, Output::Bits48) => 2..=3,
                    (Granule::K4, Output::Bits52) => 2..=4,
                    (_, Output::Bits48) => 2..=2,
                    (_, Output::Bits52) => 2..=3,
                };
                match (level, bit(1)) {
                    (1, true) => page(address, low),
                    (_, true) => Meaning::Table(address),
                    (_, false) if blocks.contains(&level) => page(address, shift),
                    (_, false) => Meaning::Reserved,
                }
            }
            Rules::RiscV => {
                let address = field(53, 10) >> 10 << 12;
                if (54..59).any(bit) {
                    Meaning::Reserved
                } else if bit(1) || bit(3) {
                    let napot = bit(63) && level == 1 && entry >> 10 & 15 == 8;
                    let wrong = bit(2) && !bit(1)
                        || bit(61) && bit(62)
                        || bit(63) && !napot
                        || address % (1 << shift) != 0 && !napot;
                    match wrong {
                        true => Meaning::Reserved,
                        false => page(address, if napot { 16 } else { shift }),
                    }
                } else if bit(2) || [4, 6, 7, 61, 62, 63].into_iter().any(bit) || level == 1 {
                    Meaning::Reserved
                } else {
                    Meaning::Table(address)
                }
            }
        }
    }

    /// The flags of a page from all entries on the way to it.
    fn flags(&self, way: &[u64]) -> u64 {
        let (&leaf, above) = way.split_last().unwrap();
        let any = |n: u32| way.iter().any(|entry| entry >> n & 1 == 1);
        let above = |n: u32| above.iter().any(|entry| entry >> n & 1 == 1);
        let put = |set: bool, n: u32| u64::from(set) << n;
        match self.rules {
            Rules::X86_64 | Rules::X86 | Rules::Pae => {
                // A PDPTE of PAE has neither right.
                let way = if self.rules == Rules::Pae {
                    &way[1..]
                } else {
                    way
                };
                let all = |n: u32| way.iter().all(|entry| entry >> n & 1 == 1);
                let large = way.len() < self.levels() - usize::from(self.rules == Rules::Pae);
                let pat = leaf >> if large { 12 } else { 7 } & 1 == 1;
                let kept = match self.rules {
                    Rules::X86 => leaf & 0xf78,
                    _ => leaf & 0x7ff0_0000_0000_0f78,
                };
                kept | put(all(1), 1)
                    | put(all(2), 2)
                    | put(pat, 7)
                    | if self.width() == 8 {
                        put(any(63), 63)
                    } else {
                        0
                    }
            }
            Rules::Arm {
                granule, output, ..
            } => {
                let address = match (granule, output) {
                    (_, Output::Bits48) => (1 << 48) - (1 << self.bits[0]),
                    (Granule::K64, Output::Bits52) => (1 << 48) - (1 << 12),
                    (_, Output::Bits52) => (1 << 50) - (1 << self.bits[0]) + (3 << 8),
                };
                let own = leaf & !(address | 3);
                let user = if above(61) { own & !(1 << 6) } else { own };
                user | put(above(62), 7)
                    | put(above(59), 53)
                    | put(above(60), 54)
                    | put(above(63), 5)
            }
            Rules::RiscV => leaf & !(((1 << 44) - 1) << 10 | 1) | put(any(5), 5),
            Rules::Ppc64 { .. } => leaf & 0x3e00_0000_0000_0fff,
            Rules::S390x { .. } => {
                let level = self.levels() - (way.len() - 1);
                // Without the format control and the type of the table.
                let own = if level == 1 { leaf } else { leaf & !0x40c };
                own & ((1 << self.shift(level)) - 1) | put(any(9), 9)
            }
        }
    }

    /// The entry of `level` that leads to a table at `address`, with some rights out of `random`.
    fn table(&self, level: usize, address: u64, random: u64) -> u64 {
        match self.rules {
            Rules::Ppc64 { .. } => {
                let size = u64::from(self.bits[level.max(2) - 1]);
                address | 1 << 63 | size ^ (random & !(random >> 8) & 1) << 3
            }
            // Often of full length, and not always where a frame begins.
            Rules::S390x { .. } => {
                let kind = (level as u64).saturating_sub(2);
                let length = 3 & !(random >> 16 & !(random >> 18));
                let offset = random >> 20 & !(random >> 22) & 3;
                let within = (random >> 24 & !(random >> 26) & 3) << 12;
                (address + within) | offset << 6 | kind << 2 | length | random & (1 << 9)
            }
            Rules::X86_64 | Rules::X86 => address | 1 | random & 6,
            Rules::Pae => address | 1,
            Rules::Arm { output, .. } => self.arm_address(address, output) | 3 | random & (3 << 61),
            Rules::RiscV => address >> 12 << 10 | 1 | random & (1 << 5),
        }
    }

    /// The entry that maps the page of `level` at `address`.
    fn page(&self, level: usize, address: u64, random: u64) -> u64 {
        let large = level > 1;
        match self.rules {
            Rules::X86_64 | Rules::Pae => {
                address & ((1 << 52) - (1 << 12))
                    | 1
                    | u64::from(large) << 7
                    | random & (1 << 63 | 6)
            }
            Rules::X86 if large => {
                address & 0xffc0_0000 | (address >> 32 & 0xff) << 13 | 0x81 | random & 6
            }
            Rules::X86 => address & 0xffff_f000 | 1 | random & 6,
            Rules::Arm { output, .. } => {
                let kind = if large { 1 } else { 3 };
                self.arm_address(address, output) | kind | random & (3 << 53 | 3 << 6) | 1 << 10
            }
            Rules::RiscV if random & 1 == 1 && !large => {
                (address >> 16 << 4 | 8) << 10 & ((1 << 54) - 1) | 1 << 63 | 3
            }
            Rules::RiscV => address >> 12 << 10 & ((1 << 54) - 1) | 3 | random & (7 << 3),
            Rules::Ppc64 { .. } => {
                address & ((1 << 57) - (1 << 12)) | 3 << 62 | random & (1 << 61 | 0xfff)
            }
            Rules::S390x { .. } if large => {
                address | 1 << 10 | (level as u64 - 2) << 2 | random & 0x313
            }
            Rules::S390x { .. } => address | random & 0x3ff,
        }
    }

    fn arm_address(&self, address: u64, output: Output) -> u64 {
        let low = self.bits[0];
        match (output, low) {
            (Output::Bits48, _) => address & ((1 << 48) - 1),
            (Output::Bits52, 16) => address & ((1 << 48) - 1) | (address >> 48 & 15) << 12,
            (Output::Bits52, _) => address & ((1 << 50) - 1) | (address >> 50 & 3) << 8,
        }
    }

    /// What to add to an entry of `level` for the next page.
    fn next(&self, level: usize) -> u64 {
        match self.rules {
            Rules::RiscV => 1 << (self.shift(level) - 2),
            _ => 1 << self.shift(level),
        }
    }

    /// One of [`SLOTS`] in a table with so many index bits.
    fn slot(bits: u32, slot: u64) -> u64 {
        let entries = 1 << bits;
        let half = entries / 2;
        match slot {
            255 => half - 1,
            256 | 257 => half + (slot - 256),
            510 | 511 => entries - (512 - slot),
            _ => slot % entries,
        }
    }
}

/// What to put somewhere in a table.
#[derive(Debug, Clone)]
enum Put {
    Table(u64),
    /// Level 0: the one that the table has if it is reached by those before it.
    Page {
        level: usize,
        frame: u64,
    },
    Any(u64),
}

/// A mode, and tables for it, each of which leads to the next; over that, entries put somewhere, some of
/// them followed by those for the next pages.
pub(crate) fn tables() -> impl Strategy<Value = (Mode, Vec<u8>)> {
    let what = prop_oneof![
        6 => (0..FRAMES + 2).prop_map(Put::Table),
        8 => (0..4_usize, 0..1_u64 << 40).prop_map(|(level, frame)| Put::Page { level, frame }),
        1 => any::<u64>().prop_map(Put::Any),
        1 => any::<u64>().prop_map(|entry| Put::Any(entry & !1)),
    ];
    let rights = prop_oneof![3 => Just(u64::MAX), 1 => Just(0), 1 => any::<u64>()];
    let put = (
        0..FRAMES,
        prop::sample::select(&SLOTS[..]),
        what,
        rights,
        1..80_u64,
    );
    let puts = prop::collection::vec(put, 0..40);
    let cut = prop_oneof![3 => Just(0), 1 => 0..4096_usize];
    // Which slots of which table lead to the next one.
    let spine = any::<u64>();
    (prop::sample::select(modes()), spine, puts, cut).prop_map(|(mode, spine, puts, cut)| {
        let frame = mode.frame();
        let width = mode.width();
        let entries = (1 << frame) / width as u64;
        let nothing = mode.bytes(mode.nothing());
        let mut memory = nothing.repeat(usize::try_from(FRAMES * entries).unwrap());
        let spine = (1..mode.levels() as u64)
            .flat_map(|table| SLOTS.map(|slot| (table - 1, slot, Put::Table(table), u64::MAX, 1)))
            .zip(0..)
            .filter(|(_, bit)| spine >> bit & 1 == 1)
            .map(|(put, _)| put);
        for (table, slot, what, rights, run) in spine.chain(puts) {
            let slot = Mode::slot(entries.ilog2(), slot);
            let natural = mode
                .levels()
                .saturating_sub(usize::try_from(table).unwrap())
                .max(1);
            let (entry, step) = match what {
                Put::Table(at) => (mode.table(natural, at << frame, rights), 1 << frame),
                Put::Page { level, frame } => {
                    let level = if level == 0 {
                        natural
                    } else {
                        level.min(mode.levels())
                    };
                    let address = frame << mode.shift(level);
                    (mode.page(level, address, rights), mode.next(level))
                }
                Put::Any(entry) => (entry, 1 << frame),
            };
            // Most entries stand alone.
            let run = if run < 40 { 1 } else { run };
            for i in 0..run.min(entries - slot) {
                let at = usize::try_from((table << frame) + (slot + i) * width as u64).unwrap();
                let value = mode.bytes(entry.wrapping_add(i * step));
                memory[at..at + width].copy_from_slice(&value);
            }
        }
        memory.truncate(memory.len() - cut);
        (mode, memory)
    })
}

/// Numbers of which [`address`] makes addresses of a mode.
pub(crate) fn addresses() -> impl Strategy<Value = Vec<(Vec<u64>, u64)>> {
    let slots = prop::collection::vec(prop::sample::select(&SLOTS[..]), 5);
    let some = prop_oneof![20 => slots, 1 => Just(Vec::new())];
    prop::collection::vec((some, any::<u64>()), 64)
}

/// An address: through the slots that tables fill, or any.
pub(crate) fn address(mode: &Mode, (slots, offset): &(Vec<u64>, u64)) -> VirtAddr {
    if slots.is_empty() {
        return VirtAddr::new(*offset);
    }
    let mut virt = offset % (1 << mode.bits[0]);
    for level in 1..=mode.levels() {
        virt |= Mode::slot(mode.bits[level], slots[level - 1]) << mode.shift(level);
    }
    let bits: u32 = mode.bits.iter().sum();
    let ones = match mode.rules {
        Rules::X86_64 | Rules::RiscV => virt >> (bits - 1) & 1 == 1,
        Rules::X86 | Rules::Pae | Rules::S390x { .. } => false,
        Rules::Ppc64 { first } => return VirtAddr::new(virt | first),
        Rules::Arm { half, .. } => half == Half::Upper,
    };
    VirtAddr::new(if ones { virt | u64::MAX << bits } else { virt })
}

pub(crate) fn outcome(translated: Result<Mapping<AnyFlags>, Fault>) -> Outcome {
    match translated {
        Ok(mapping) => Outcome::Mapped {
            phys: mapping.phys.as_u64(),
            shift: mapping.shift.into(),
            flags: mapping.flags.bits(),
        },
        Err(fault) => match fault.kind {
            FaultKind::NotPresent { .. } => Outcome::NotPresent,
            FaultKind::Reserved { .. } => Outcome::Reserved,
            FaultKind::OutOfTable => Outcome::OutOfTable,
            FaultKind::Missing(Absence::NotRam) => Outcome::Missing,
            FaultKind::NonCanonical => Outcome::NonCanonical,
            kind => panic!("{kind:?}"),
        },
    }
}
