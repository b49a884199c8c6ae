//! Where the `struct page` of a frame is, with `CONFIG_SPARSEMEM`.
//!
//! ```text
//!  pfn   │ section                         │ in section │    PFN_SECTION_SHIFT = SECTION_SIZE_BITS − PAGE_SHIFT
//!          root = section / SECTIONS_PER_ROOT
//!  mem_section ─▶ │ root │ root │ …         SPARSEMEM_EXTREME: pointers to pages of sections; else the sections
//!                    └▶ │ section_mem_map … │ … │
//!  section_mem_map   │ first struct page − first pfn × SIZE(page)      │ flags │
//!                                                                       5     0   bit 0: present, 1: has a map
//! ```
//!
//! Source: `struct mem_section`, `__pfn_to_section`, `__section_mem_map_addr` (include/linux/mmzone.h).
//! VMCOREINFO's `SYMBOL(mem_section)` is the address of the roots: since Linux 4.15 they lie where a
//! variable points to, and `VMCOREINFO_SYMBOL_ARRAY` tells its value.

#![deny(clippy::arithmetic_side_effects)]

use physmem::{PageShift, Pfn, PhysMemory, VirtAddr};

use super::{
    Virtual,
    memory::{VirtError, add, behind_page, element},
};
use crate::{Error, Field, Vmcoreinfo};

/// `SECTION_MARKED_PRESENT` and `SECTION_HAS_MEM_MAP`.
const HAS_MAP: u64 = 3;

/// `SECTION_MAP_MASK` leaves out this many bits today; before Linux 5.19 fewer, and those were zero.
const FLAG_BITS: u64 = 0x3f;

const SECTION_SIZE: Field = Field {
    name: "VMCOREINFO SIZE(mem_section)",
    allowed: "1 to the page size",
};
const SECTION_SIZE_BITS: Field = Field {
    name: "VMCOREINFO NUMBER(SECTION_SIZE_BITS)",
    allowed: "24 (that of ppc64, the smallest) to 40, more than the page's, and no more than MAX_PHYSMEM_BITS, up to 56 (that of riscv)",
};
const LENGTH: Field = Field {
    name: "VMCOREINFO LENGTH(mem_section)",
    allowed: "at most one root for each section of 2^MAX_PHYSMEM_BITS bytes",
};

/// The map of a kernel's memory.
#[derive(Debug)]
pub(super) struct Sections<'m, M: ?Sized> {
    virt: Virtual<'m, M>,
    roots: VirtAddr,
    /// How many roots.
    len: u64,
    per_root: u64,
    is_extreme: bool,
    section_size: u64,
    section_mem_map: u64,
    /// Bits of a frame's number that count within a section.
    pfn_shift: u32,
    page_size: u64,
}

/// Frames of one section, and where the `struct page` of frame 0 would be if it went down so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) base: u64,
}

impl<'m, M: PhysMemory + ?Sized> Sections<'m, M> {
    pub(super) fn new(
        info: &Vmcoreinfo<'_>,
        virt: Virtual<'m, M>,
        page: PageShift,
    ) -> Result<Self, Error> {
        let bits = told!(info, NUMBER("SECTION_SIZE_BITS"))?;
        let max_bits = told!(info, NUMBER("MAX_PHYSMEM_BITS"))?;
        let roots = VirtAddr::new(told!(info, SYMBOL("mem_section"))?);
        let is_sound = u64::from(page.as_u8()) < bits
            && (24..=40).contains(&bits)
            && bits <= max_bits
            && max_bits <= 56;
        if !is_sound {
            return Err(info.refused(&["NUMBER(SECTION_SIZE_BITS)="], &SECTION_SIZE_BITS, bits));
        }
        let section_size = told!(info, SIZE("mem_section"))?;
        if !(1..=page.bytes()).contains(&section_size) {
            return Err(info.refused(&["SIZE(mem_section)="], &SECTION_SIZE, section_size));
        }
        let len = told!(info, LENGTH("mem_section"))?;
        // All of these are checked: small numbers, not 0, in order.
        let per_root = page.bytes().checked_div(section_size).unwrap_or(1);
        let section_bits = u32::try_from(max_bits.saturating_sub(bits)).unwrap_or_default();
        let sections = 1_u64.checked_shl(section_bits).unwrap_or(u64::MAX);
        if len > sections {
            return Err(info.refused(&["LENGTH(mem_section)="], &LENGTH, len));
        }
        // As makedumpfile tells: an extreme map has as many roots as that takes.
        let is_extreme = len == sections.div_ceil(per_root);
        Ok(Self {
            virt,
            roots,
            len,
            per_root: if is_extreme { per_root } else { 1 },
            is_extreme,
            section_size,
            section_mem_map: told!(info, OFFSET("mem_section.section_mem_map"))?,
            pfn_shift: u32::try_from(bits)
                .unwrap_or_default()
                .saturating_sub(page.as_u8().into()),
            page_size: told!(info, SIZE("page"))?,
        })
    }

    /// The map of the section of a frame; `None` where there is no memory.
    pub(super) fn map(&self, pfn: Pfn) -> Result<Option<Map>, Error> {
        self.run(pfn).1
    }

    /// The last of the frames from `first` on of which the same look tells the same, and what [`Sections::map`] tells of them:
    /// those of the section; of a root that is not there; of all roots in a page of them that cannot be read; or all
    /// behind the last root.
    pub(super) fn run(&self, first: Pfn) -> (Pfn, Result<Option<Map>, Error>) {
        let section = first.as_u64() >> self.pfn_shift;
        let root = section.checked_div(self.per_root).unwrap_or_default();
        if root >= self.len {
            return (Pfn::new(u64::MAX), Ok(None));
        }
        let (next, map) = match self.root(root) {
            // Saturating: there are far fewer sections.
            (Ok(word), _) if word != 0 => (section.saturating_add(1), self.map_in(word, section)),
            (word, alike) => {
                // Saturating: there are no more than `len`, and few sections in each.
                let behind = root.saturating_add(alike).min(self.len);
                let map = word.map(|_| None).map_err(Error::from);
                (behind.saturating_mul(self.per_root), map)
            }
        };
        // Saturating: a section or more lies before `next`.
        let last = (next << self.pfn_shift).saturating_sub(1);
        (Pfn::new(last), map)
    }

    /// The word of a root: where its sections are, or what its only one says; and how many roots from this one on
    /// cannot be read if it cannot, as they lie in the same page, else 1.
    fn root(&self, root: u64) -> (Result<u64, VirtError>, u64) {
        let (size, word) = match self.is_extreme {
            true => (self.virt.word_size().bytes() as u64, 0),
            false => (self.section_size, self.section_mem_map),
        };
        let at = match element(self.roots, root, size).and_then(|at| add(at, word)) {
            Ok(at) => at,
            // Memory ends before them all.
            Err(end) => return (Err(end), u64::MAX),
        };
        let word = self.virt.word(at);
        let alike = word.map_or_else(
            |missing| {
                behind_page(missing.at())
                    .and_then(|behind| behind.checked_offset_from(at))
                    .map_or(u64::MAX, |bytes| bytes.div_ceil(size))
            },
            |_| 1,
        );
        (word, alike)
    }

    /// The map of a section, by the word of its root.
    fn map_in(&self, word: u64, section: u64) -> Result<Option<Map>, Error> {
        let coded = if self.is_extreme {
            let index = section.checked_rem(self.per_root).unwrap_or_default();
            let at = element(VirtAddr::new(word), index, self.section_size)?;
            self.virt.word(add(at, self.section_mem_map)?)?
        } else {
            word
        };
        Ok((coded & HAS_MAP == HAS_MAP).then_some(Map {
            base: coded & !FLAG_BITS,
        }))
    }

    /// Where the `struct page` of a frame is.
    pub(super) fn page_of(&self, map: Map, pfn: Pfn) -> VirtAddr {
        // Modulo 2^64 by definition: the base lies below what it maps, wherever that leads.
        let offset = pfn.as_u64().wrapping_mul(self.page_size);
        VirtAddr::new(map.base.wrapping_add(offset))
    }

    /// The frame that a `struct page` is of, where `map` is that of its section.
    pub(super) fn frame_of(&self, map: Map, page: VirtAddr) -> Option<Pfn> {
        // As above.
        let offset = page.as_u64().wrapping_sub(map.base);
        let is_one = offset.checked_rem(self.page_size) == Some(0);
        is_one
            .then(|| offset.checked_div(self.page_size).map(Pfn::new))
            .flatten()
    }

    /// The first frame of the section behind that of `pfn`; `None` behind the last.
    pub(super) fn behind(&self, pfn: Pfn) -> Option<Pfn> {
        let next = (pfn.as_u64() >> self.pfn_shift).checked_add(1)?;
        // One of a root that is there.
        let is_there = next.checked_div(self.per_root)? < self.len;
        is_there.then_some(Pfn::new(next << self.pfn_shift))
    }
}
