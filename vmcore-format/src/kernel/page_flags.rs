//! What the kernel did with each frame of memory, as its `struct page` tells.
//!
//! ```text
//!  struct page   flags         │ section, node, zone │ … PG_swapbacked … PG_lru … PG_locked │
//!                compound_head  bit 0: a tail; the rest is the address of its head
//!                mapping        bit 0: anonymous memory
//!                private        of a free block: its order
//!                _mapcount      how often it is mapped, less 1; or what type of page it is
//!                _refcount
//! ```
//!
//! The rules that tell pages apart are those by which makedumpfile leaves them out
//! (`__exclude_unnecessary_pages`); the numbers that they need are VMCOREINFO's. A kernel tells only
//! those flags that they need; [`Btf`] has the names of all.
//!
//! Source: `struct page` (include/linux/mm_types.h), `enum pageflags` (include/linux/page-flags.h).

#![deny(clippy::arithmetic_side_effects)]

mod blocks;
mod kind;
mod layout;
mod run;

use alloc::{string::String, vec::Vec};
use core::str;

use physmem::{PageShift, Pfn, PhysMemory, VirtAddr, Width};

use self::layout::{HugetlbBy, Layout, MAX_PAGE, OrderAt};
pub use self::{
    blocks::Blocks,
    kind::{Kind, Levels},
};
use super::{
    Virtual,
    btf::{self, Btf},
    mem_section::{Map, Sections},
    memory::add,
};
use crate::{Error, Field, Vmcoreinfo};

const COMPOUND_HEAD: Field = Field {
    name: "page.compound_head",
    allowed: "the head of a compound page around the frame, with 1 added",
};

/// What is known of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Which.
    pub pfn: Pfn,
    /// Where its `struct page` is.
    pub page: VirtAddr,
    /// `page.flags`.
    pub flags: u64,
    /// `page._refcount`.
    pub refcount: i32,
    /// `page._mapcount` as it is: −1 is not mapped, and a type has the highest bit set, too.
    pub mapcount: i32,
    /// `page.mapping`.
    pub mapping: u64,
    /// `page.private`.
    pub private: u64,
    /// The first frame of the block that it belongs to: a compound page or a free block; itself if none.
    pub head: Pfn,
    /// The order of that block.
    pub order: u8,
    /// What the block is used for.
    pub kind: Kind,
    /// By which levels makedumpfile leaves it out.
    pub excluded_by: Levels,
}

/// The pages of a kernel.
#[derive(Debug)]
pub struct Pages<'m, M: ?Sized> {
    virt: Virtual<'m, M>,
    sections: Sections<'m, M>,
    layout: Layout,
    names: Vec<(u8, String)>,
}

/// What was read of one page.
#[derive(Debug, Clone, Copy)]
struct Read {
    pfn: Pfn,
    page: VirtAddr,
    flags: u64,
    refcount: u32,
    mapcount: u32,
    mapping: u64,
    private: u64,
    compound_head: u64,
}

impl<'m, M: PhysMemory + ?Sized> Pages<'m, M> {
    /// Finds the pages of a kernel with `CONFIG_SPARSEMEM`, which all 64-bit ones have.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where VMCOREINFO lacks a key, [`Error::BadText`] and [`Error::BadField`] where
    /// it is wrong.
    pub fn new(
        info: &Vmcoreinfo<'_>,
        virt: Virtual<'m, M>,
        page: PageShift,
    ) -> Result<Self, Error> {
        const TOLD: [&str; 6] = [
            "PG_lru",
            "PG_private",
            "PG_swapcache",
            "PG_swapbacked",
            "PG_slab",
            "PG_hwpoison",
        ];
        let layout = Layout::told(info)?;
        let mut names = Vec::new();
        for name in TOLD {
            let bit = info
                .number(name)?
                .and_then(|number| u8::try_from(number).ok());
            names.extend(bit.filter(|bit| *bit < 64).map(|bit| (bit, short(name))));
        }
        names.sort();
        Ok(Self {
            virt,
            sections: Sections::new(info, virt, page)?,
            layout,
            names,
        })
    }

    /// Knows the flags by the names that the kernel's types have for them, too; and by `PG_reserved` what
    /// is [`Kind::Reserved`].
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where the types have no `enum pageflags`, and what is damaged in it.
    pub fn with_names(mut self, btf: &Btf<'_>) -> Result<Self, Error> {
        let flags = btf.find(btf::Kind::ENUM, b"pageflags");
        let flags = flags.ok_or(Error::Missing {
            what: "enum pageflags in its BTF",
        })?;
        for enumerator in btf.enumerators(flags)? {
            let name = str::from_utf8(enumerator.name).unwrap_or_default();
            let Some(bit) = u8::try_from(enumerator.value).ok().filter(|bit| *bit < 64) else {
                continue;
            };
            if name == "PG_reserved" {
                self.layout.reserved = 1 << bit;
            }
            // Several have a number in common: the first is the flag, the others are what it means
            // for some pages. The number of them all is none.
            let is_known = self.names.iter().any(|(known, _)| *known == bit);
            if !is_known && name.starts_with("PG_") {
                self.names.push((bit, short(name)));
            }
        }
        self.names.sort();
        Ok(self)
    }

    /// The names of the flags that are set, from the lowest bit on, without `PG_`.
    pub fn names(&self, flags: u64) -> impl Iterator<Item = &str> {
        let is_set = move |bit: u8| flags >> bit & 1 != 0;
        let set = self.names.iter().filter(move |(bit, _)| is_set(*bit));
        set.map(|(_, name)| name.as_str())
    }

    /// What is known of a frame; `None` where the kernel has no memory.
    ///
    /// # Errors
    ///
    /// What cannot be read, and a tail whose head is not one.
    pub fn frame(&self, pfn: Pfn) -> Result<Option<Frame>, Error> {
        let map = self.sections.map(pfn)?;
        map.map(|map| self.frame_in(map, pfn)).transpose()
    }

    /// What is known of a frame, by the map of its section.
    fn frame_in(&self, map: Map, pfn: Pfn) -> Result<Frame, Error> {
        let read = self.read(map, pfn)?;
        if read.compound_head & 1 != 0 {
            // Of its section or of one before, whose map is the same or tells the same way.
            let head = VirtAddr::new(read.compound_head & !1);
            let bad = Error::BadValue {
                field: &COMPOUND_HEAD,
                at: add(read.page, self.layout.compound_head)?,
                value: read.compound_head,
            };
            let first = self.sections.frame_of(map, head).ok_or(bad)?;
            let head = self.read(map, first)?;
            let (order, kind, excluded_by) = self.block(&head)?;
            let behind = first
                .as_u64()
                .checked_add(1_u64.checked_shl(order.into()).ok_or(bad)?);
            if head.compound_head & 1 != 0 || !(Some(pfn.as_u64()) < behind && first < pfn) {
                return Err(bad);
            }
            return Ok(read.frame(first, order, kind, excluded_by));
        }
        if let Some((first, order)) = self.free_block(map, pfn)? {
            let kind = Kind::Free { order };
            return Ok(read.frame(first, order, kind, Levels::FREE));
        }
        let (order, kind, excluded_by) = self.block(&read)?;
        Ok(read.frame(pfn, order, kind, excluded_by))
    }

    /// The free block that a page lies in, unless it is its first.
    fn free_block(&self, map: Map, pfn: Pfn) -> Result<Option<(Pfn, u8)>, Error> {
        for order in 1..self.layout.free_orders {
            let order = u32::try_from(order).unwrap_or_default();
            let first = Pfn::new(pfn.as_u64() >> order << order);
            if first == pfn {
                continue;
            }
            // Blocks do not go beyond a section, nor does memory begin within a block.
            let head = self.read(map, first)?;
            if self.is_free(&head) && head.private >= order.into() {
                let order = u8::try_from(head.private).unwrap_or_default();
                return Ok(Some((first, order)));
            }
        }
        Ok(None)
    }

    /// Order, use and exclusion of the block that begins with a page, which is no tail.
    fn block(&self, page: &Read) -> Result<(u8, Kind, Levels), Error> {
        let layout = &self.layout;
        let order = self.order(page)?;
        if self.is_free(page) {
            let order = u8::try_from(page.private).unwrap_or_default();
            return Ok((order, Kind::Free { order }, Levels::FREE));
        }
        if !self.is_slab(page) && Layout::is(page.mapcount, layout.unaccepted_type) {
            let order = u8::try_from(layout.free_orders.saturating_sub(1)).unwrap_or_default();
            return Ok((order, Kind::Unaccepted, Levels::FREE));
        }
        let has = |flags: u64| page.flags & flags != 0;
        let is_anonymous = page.mapping & 1 != 0 && !self.is_slab(page);
        let is_swapped = layout.swapbacked.is_none_or(has) && has(layout.swapcache);
        let is_cache = (has(layout.lru) || is_swapped) && !is_anonymous;
        let is_hugetlb = self.is_hugetlb(page)?;
        let is_offline = !self.is_slab(page) && Layout::is(page.mapcount, layout.offline_type);

        let mut levels = Levels::empty();
        levels.set(Levels::CACHE, is_cache && !has(layout.private_bit));
        levels.set(Levels::CACHE_PRIVATE, is_cache);
        levels.set(Levels::USER, is_anonymous || is_hugetlb);
        levels.set(Levels::ALWAYS, has(layout.poison) || is_offline);
        let kind = if has(layout.poison) {
            Kind::Poisoned
        } else if is_offline {
            Kind::Offline
        } else if is_hugetlb {
            Kind::Hugetlb
        } else if is_anonymous {
            Kind::Anonymous
        } else if is_cache {
            Kind::Cache
        } else if self.is_slab(page) {
            Kind::Slab
        } else if has(layout.reserved) {
            Kind::Reserved
        } else {
            Kind::Other
        };
        Ok((order, kind, levels))
    }

    fn is_slab(&self, page: &Read) -> bool {
        match self.layout.slab_type {
            Some(kind) => Layout::is(page.mapcount, Some(kind)),
            None => self.layout.slab.is_some_and(|slab| page.flags & slab != 0),
        }
    }

    fn is_free(&self, page: &Read) -> bool {
        !self.is_slab(page)
            && Layout::is(page.mapcount, self.layout.buddy_type)
            && page.private < self.layout.free_orders
    }

    /// The order of a compound page, 0 of another and of one that cannot have what it says.
    fn order(&self, head: &Read) -> Result<u8, Error> {
        if head.flags & self.layout.head_mask == 0 {
            return Ok(0);
        }
        let order = match self.layout.order {
            OrderAt::Byte(offset) => self.virt.u8(add(head.page, offset)?)?,
            OrderAt::SecondFlags => {
                let [low, ..] = self.second_flags(head)?.to_le_bytes();
                low
            }
        };
        let fits = 1_u64
            .checked_shl(order.into())
            .is_some_and(|pages| head.pfn.as_u64() & pages.wrapping_sub(1) == 0);
        Ok(if fits { order } else { 0 })
    }

    fn is_hugetlb(&self, page: &Read) -> Result<bool, Error> {
        if page.flags & self.layout.head_mask == 0 {
            return Ok(false);
        }
        Ok(match self.layout.hugetlb {
            HugetlbBy::Type(kind) => Layout::is(page.mapcount, Some(kind)),
            HugetlbBy::SecondFlag(flag) => self.second_flags(page)? & flag != 0,
            HugetlbBy::Destructor(offset, number) => {
                self.virt.u8(add(page.page, offset)?)? == number
            }
            HugetlbBy::Unknown => false,
        })
    }

    fn second_flags(&self, head: &Read) -> Result<u64, Error> {
        let second = add(head.page, self.layout.size as u64)?;
        Ok(self.virt.word(add(second, self.layout.flags)?)?)
    }

    fn read(&self, map: Map, pfn: Pfn) -> Result<Read, Error> {
        let page = self.sections.page_of(map, pfn);
        let mut bytes = [0; MAX_PAGE];
        let (bytes, _) = bytes.split_at_mut(self.layout.size);
        self.virt.read(page, bytes)?;
        let word = |offset| self.decode(bytes, offset, self.virt.word_size());
        let int = |offset| low_half(self.decode(bytes, offset, Width::U32));
        Ok(Read {
            pfn,
            page,
            flags: word(self.layout.flags),
            refcount: int(self.layout.refcount),
            mapcount: int(self.layout.mapcount),
            mapping: word(self.layout.mapping),
            private: word(self.layout.private),
            compound_head: word(self.layout.compound_head),
        })
    }

    /// A field of a page; 0 for one that passes its end.
    fn decode(&self, page: &[u8], offset: u64, width: Width) -> u64 {
        let bytes = usize::try_from(offset).ok().and_then(|at| page.get(at..));
        bytes
            .and_then(|bytes| width.decode(bytes, self.virt.endian()))
            .unwrap_or_default()
    }

    /// Every block of `frames` that the kernel has memory for, one item each, as makedumpfile goes
    /// through them.
    pub fn blocks(&self, frames: core::ops::Range<Pfn>) -> Blocks<'_, 'm, M> {
        Blocks {
            pages: self,
            next: Some(frames.start),
            end: frames.end,
            map: None,
        }
    }
}

impl Read {
    fn frame(&self, head: Pfn, order: u8, kind: Kind, excluded_by: Levels) -> Frame {
        Frame {
            pfn: self.pfn,
            page: self.page,
            flags: self.flags,
            refcount: signed(self.refcount),
            mapcount: signed(self.mapcount),
            mapping: self.mapping,
            private: self.private,
            head,
            order,
            kind,
            excluded_by,
        }
    }
}

/// The name of a flag as people know it.
fn short(name: &str) -> String {
    name.strip_prefix("PG_").unwrap_or(name).into()
}

fn signed(int: u32) -> i32 {
    i32::from_ne_bytes(int.to_ne_bytes())
}

/// The low 32 bits.
fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{format, string::ToString};

    use physmem::{Endian, Region};

    use super::*;
    use crate::kernel::memory::tests::{BASE, Laid, with};

    /// Of Linux 6.1, x86-64: sections of 128 MiB, and 2^19 of them.
    pub(super) const OLD: &str = "SYMBOL(mem_section)=ffffffff80000000\nLENGTH(mem_section)=2048\n\
        SIZE(mem_section)=16\nOFFSET(mem_section.section_mem_map)=0\nNUMBER(SECTION_SIZE_BITS)=27\n\
        NUMBER(MAX_PHYSMEM_BITS)=46\nSIZE(page)=64\nOFFSET(page.flags)=0\nOFFSET(page._refcount)=52\n\
        OFFSET(page.mapping)=24\nOFFSET(page._mapcount)=48\nOFFSET(page.private)=40\n\
        OFFSET(page.compound_head)=8\nLENGTH(zone.free_area)=11\nNUMBER(PG_lru)=4\nNUMBER(PG_private)=13\n\
        NUMBER(PG_swapcache)=10\nNUMBER(PG_swapbacked)=19\nNUMBER(PG_slab)=9\nNUMBER(PG_hwpoison)=22\n\
        NUMBER(PG_head_mask)=65536\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n\
        NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\nOFFSET(page.compound_dtor)=16\n\
        OFFSET(page.compound_order)=17\nNUMBER(HUGETLB_PAGE_DTOR)=2\n";

    const SECTIONS: u64 = BASE + 0x8000;
    /// The map of section 1, which begins with frame 32768.
    const MAP: u64 = BASE + 0x1_0000;
    pub(super) const FIRST: u64 = 32768;

    const HEAD: u64 = 1 << 16;
    const LRU: u64 = 1 << 4;
    const SLAB: u64 = 1 << 9;

    pub(super) struct Made {
        pub(super) laid: Laid,
        info: String,
    }

    impl Made {
        pub(super) fn new(info: &str) -> Self {
            let mut laid = Laid::new(0x20_0000);
            laid.put(BASE, &SECTIONS.to_le_bytes());
            let coded = (MAP - FIRST * 64) | 0x2f;
            laid.put(SECTIONS + 16, &coded.to_le_bytes());
            // Marked as present, and without a map.
            laid.put(SECTIONS + 32, &1_u64.to_le_bytes());
            let mut made = Self {
                laid,
                info: info.into(),
            };
            (0..8192).for_each(|n| made.page(n, 0, -1));
            made
        }

        /// The n-th frame of the section.
        fn page(&mut self, n: u64, flags: u64, mapcount: i32) {
            self.word(n, 0, flags);
            let at = MAP + n * 64 + 48;
            self.laid.put(at, &mapcount.to_le_bytes());
        }

        fn word(&mut self, n: u64, offset: u64, value: u64) {
            self.laid.put(MAP + n * 64 + offset, &value.to_le_bytes());
        }

        fn compound(&mut self, n: u64, order: u8, flags: u64, mapcount: i32) {
            self.page(n, flags | HEAD, mapcount);
            for tail in 1..1 << order {
                self.word(n + tail, 8, (MAP + n * 64) | 1);
            }
            self.laid.put(MAP + (n + 1) * 64 + 17, &[order]);
        }

        fn free(&mut self, n: u64, order: u64, mapcount: i32) {
            self.page(n, 0, mapcount);
            self.word(n, 40, order);
        }

        pub(super) fn ask<R>(&self, question: impl FnOnce(Pages<'_, Region<&[u8]>>) -> R) -> R {
            let info = Vmcoreinfo::new(self.info.as_bytes(), 0);
            with(&self.laid, Endian::Little, Width::U64, |virt| {
                question(Pages::new(&info, virt, PageShift::SIZE_4K).unwrap())
            })
        }

        /// Kind, order, head and levels of the n-th frame.
        fn told(&self, n: u64) -> (String, u8, u64, u8) {
            self.ask(|pages| {
                let frame = pages.frame(Pfn::new(FIRST + n)).unwrap().unwrap();
                let head = frame.head.as_u64() - FIRST;
                (
                    frame.kind.to_string(),
                    frame.order,
                    head,
                    frame.excluded_by.bits(),
                )
            })
        }
    }

    fn is(kind: &str, order: u8, head: u64, levels: u8) -> (String, u8, u64, u8) {
        (kind.to_string(), order, head, levels)
    }

    #[test]
    fn every_kind_of_page_and_the_levels_that_leave_it_out() {
        let mut made = Made::new(OLD);
        made.page(0, LRU, -1);
        made.page(1, LRU | 1 << 13, -1);
        made.page(2, LRU, 0);
        made.word(2, 24, 0x1001);
        made.page(3, 1 << 10, -1); // swap cache without being swap-backed is something else
        made.page(4, 1 << 10 | 1 << 19, -1);
        made.page(5, SLAB, -1);
        made.word(5, 24, 0x1001); // of a slab that is no mapping
        made.page(6, 1 << 22 | LRU, -1);
        made.page(7, 0, -257);
        made.page(8, SLAB, -257); // what looks like a type is a slab's own number
        made.compound(16, 2, LRU, 0);
        made.compound(32, 4, 0, -1);
        made.laid.put(MAP + 33 * 64 + 16, &[2]);
        assert_eq!(made.told(0), is("cache", 0, 0, 2 | 4));
        assert_eq!(made.told(1), is("cache", 0, 1, 4));
        assert_eq!(made.told(2), is("anonymous", 0, 2, 8));
        assert_eq!(made.told(3), is("other", 0, 3, 0));
        assert_eq!(made.told(4), is("cache", 0, 4, 2 | 4));
        assert_eq!(made.told(5), is("slab", 0, 5, 0));
        assert_eq!(made.told(6), is("poisoned", 0, 6, 2 | 4 | 32));
        assert_eq!(made.told(7), is("offline", 0, 7, 32));
        assert_eq!(made.told(8), is("slab", 0, 8, 0));
        for tail in [16, 17, 19] {
            assert_eq!(made.told(tail), is("cache", 2, 16, 2 | 4));
        }
        assert_eq!(made.told(20), is("other", 0, 20, 0));
        assert_eq!(made.told(47), is("hugetlb", 4, 32, 8));

        let levels = Levels::CACHE_PRIVATE;
        assert!(levels.excluded_at(4) && levels.excluded_at(31) && !levels.excluded_at(27));
        assert!(Levels::ALWAYS.excluded_at(0) && !Levels::empty().excluded_at(31));
        // Level 32 is none of makedumpfile's.
        assert!(!Levels::empty().excluded_at(255));
    }

    #[test]
    fn free_blocks_reach_as_far_as_their_order() {
        let mut made = Made::new(OLD);
        made.free(1024, 10, -129);
        made.free(64, 3, -129);
        made.free(80, 11, -129); // no order of a block
        assert_eq!(made.told(1024), is("free", 10, 1024, 16));
        assert_eq!(made.told(2047), is("free", 10, 1024, 16));
        assert_eq!(made.told(2048), is("other", 0, 2048, 0));
        assert_eq!(made.told(71), is("free", 3, 64, 16));
        assert_eq!(made.told(72), is("other", 0, 72, 0));
        assert_eq!(made.told(80), is("other", 0, 80, 0));
    }

    #[test]
    fn types_in_the_highest_byte_and_orders_in_the_second_pages_flags() {
        // Since Linux 6.12: slabs and huge pages are types, too, and orders are in folio._flags_1.
        let gone = [
            "PG_slab",
            "compound_dtor",
            "compound_order",
            "HUGETLB_PAGE_DTOR",
            "MAPCOUNT_VALUE",
        ];
        let mut info: String = OLD
            .lines()
            .filter(|line| !gone.iter().any(|key| line.contains(key)))
            .map(|line| format!("{line}\n"))
            .collect();
        for (name, kind) in [
            ("BUDDY", 0xf0),
            ("OFFLINE", 0xf1),
            ("HUGETLB", 0xf4),
            ("SLAB", 0xf5),
            ("UNACCEPTED", 0xf7),
        ] {
            info += &format!(
                "NUMBER(PAGE_{name}_MAPCOUNT_VALUE)={}\n",
                0x100_0000_u64 * kind
            );
        }
        let mut made = Made::new(&info);
        let typed = |kind: u32, rest: u32| signed(kind << 24 | rest);
        made.page(0, 0, typed(0xf5, 0x1234));
        made.page(1, 0, typed(0xf1, 0));
        made.free(64, 2, typed(0xf0, 0));
        made.compound(512, 9, 0, typed(0xf4, 0));
        made.word(513, 0, 9 | 0xff00);
        made.page(4096, 0, typed(0xf7, 0));
        assert_eq!(made.told(0), is("slab", 0, 0, 0));
        assert_eq!(made.told(1), is("offline", 0, 1, 32));
        assert_eq!(made.told(67), is("free", 2, 64, 16));
        assert_eq!(made.told(600), is("hugetlb", 9, 512, 8));
        assert_eq!(made.told(4096), is("unaccepted", 10, 4096, 16));
    }

    #[test]
    fn blocks_are_those_of_the_frames_and_cover_them() {
        let mut made = Made::new(OLD);
        made.compound(16, 2, LRU, 0);
        made.free(1024, 10, -129);
        made.ask(|pages| {
            let blocks: Vec<_> = pages
                .blocks(Pfn::new(0)..Pfn::new(u64::MAX))
                .take(8192)
                .map_while(Result::ok)
                .collect();
            let mut next = FIRST;
            for block in &blocks {
                assert_eq!(block.head.as_u64(), next);
                for pfn in next..next + (1 << block.order) {
                    let frame = pages.frame(Pfn::new(pfn)).unwrap().unwrap();
                    assert_eq!((frame.head, frame.kind), (block.head, block.kind));
                }
                next += 1 << block.order;
            }
            assert!(next >= FIRST + 4096, "{next}");
        });
    }

    #[test]
    fn where_there_is_no_memory_and_what_is_broken() {
        let mut made = Made::new(OLD);
        made.word(5, 8, (MAP + 64) | 1); // a tail of what is no head
        made.word(6, 8, 0x1001);
        made.page(8, HEAD | LRU, -1); // an order that does not fit its place
        made.laid.put(MAP + 9 * 64 + 17, &[12]);
        assert_eq!(made.told(8), is("cache", 0, 8, 2 | 4));
        made.ask(|pages| {
            for absent in [0, 32767, 65536, 1 << 34, u64::MAX] {
                assert_eq!(pages.frame(Pfn::new(absent)), Ok(None), "{absent}");
            }
            for bad in [5, 6] {
                let error = pages.frame(Pfn::new(FIRST + bad)).unwrap_err();
                assert!(matches!(error, Error::BadValue { .. } | Error::Virt(_)));
            }
            // The map is not all there: one error a page of it, and the walk ends.
            let range = Pfn::new(FIRST)..Pfn::new(u64::MAX);
            let missing = pages
                .blocks(range)
                .filter(|block| matches!(block, Err(Error::Virt(_))));
            assert_eq!(
                missing.count(),
                (32768 * 64 - (0x20_0000 - 0x1_0000)) / 0x1000 + 1
            );
        });
        for (from, to) in [
            ("SIZE(page)=64", "SIZE(page)=8"),
            ("_BITS)=27", "_BITS)=23"),
            ("_BITS)=46", "_BITS)=57"),
            ("_section)=2048", "_section)=524289"),
            ("section)=16", "section)=0"),
            ("section)=16", "section)=8192"),
            ("OFFSET(page.flags)=0", "OFFSET(page.flags)=64"),
        ] {
            let info = OLD.replace(from, to);
            let info = Vmcoreinfo::new(info.as_bytes(), 0);
            with(&made.laid, Endian::Little, Width::U64, |virt| {
                let error = Pages::new(&info, virt, PageShift::SIZE_4K).unwrap_err();
                assert!(matches!(error, Error::BadField { .. }), "{from}");
            });
        }
        // A section of one page, or of less.
        for shift in [27, 28] {
            let (info, page) = (
                Vmcoreinfo::new(OLD.as_bytes(), 0),
                PageShift::try_new(shift),
            );
            with(&made.laid, Endian::Little, Width::U64, |virt| {
                let error = Pages::new(&info, virt, page.unwrap()).unwrap_err();
                assert!(
                    matches!(error, Error::BadField { value: 27, .. }),
                    "{shift}"
                );
            });
        }
    }
}
