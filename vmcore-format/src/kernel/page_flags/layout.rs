//! Where things are in `struct page`, and by which numbers pages are told apart: VMCOREINFO's.

#![deny(clippy::arithmetic_side_effects)]

use super::low_half;
use crate::{Error, Field, Vmcoreinfo};

const PAGE_SIZE: Field = Field {
    name: "VMCOREINFO SIZE(page)",
    allowed: "16 to 256",
};

/// `struct page` has 32 to 80 bytes; this is more than any.
pub(super) const MAX_PAGE: usize = 256;

/// `MAX_ORDER` is 10, and up to 16 by configuration: no block is larger than this.
const MAX_ORDER: u64 = 32;

/// `struct page`, in bytes, and the numbers that tell pages apart.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) size: usize,
    pub(super) flags: u64,
    pub(super) refcount: u64,
    pub(super) mapcount: u64,
    pub(super) mapping: u64,
    pub(super) private: u64,
    pub(super) compound_head: u64,
    pub(super) order: OrderAt,
    pub(super) hugetlb: HugetlbBy,
    pub(super) lru: u64,
    pub(super) private_bit: u64,
    pub(super) swapcache: u64,
    pub(super) swapbacked: Option<u64>,
    pub(super) slab: Option<u64>,
    pub(super) poison: u64,
    pub(super) reserved: u64,
    pub(super) head_mask: u64,
    pub(super) slab_type: Option<u32>,
    pub(super) buddy_type: Option<u32>,
    pub(super) offline_type: Option<u32>,
    pub(super) unaccepted_type: Option<u32>,
    pub(super) free_orders: u64,
}

/// Where a compound page keeps its order.
#[derive(Debug, Clone, Copy)]
pub(super) enum OrderAt {
    /// A byte at this offset from its head.
    Byte(u64),
    /// The low byte of the second page's flags, since Linux 6.6.
    SecondFlags,
}

/// How a huge page of hugetlbfs is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum HugetlbBy {
    /// A type, since Linux 6.9.
    Type(u32),
    /// A flag of the second page, 6.6 to 6.8.
    SecondFlag(u64),
    /// The destructor's number in a byte at this offset from the head, 4.4 to 6.5.
    Destructor(u64, u8),
    /// Not told.
    Unknown,
}

impl Layout {
    pub(super) fn told(info: &Vmcoreinfo<'_>) -> Result<Self, Error> {
        let size = told!(info, SIZE("page"))?;
        let bytes = usize::try_from(size)
            .ok()
            .filter(|bytes| (16..=MAX_PAGE).contains(bytes))
            .ok_or_else(|| info.refused(&["SIZE(page)="], &PAGE_SIZE, size))?;
        let flag = |number: Option<u64>| {
            number.and_then(|number| 1_u64.checked_shl(u32::try_from(number).ok()?))
        };
        let second = |offset: u64| offset.saturating_add(size);

        let order = if let Some(offset) = told_if!(info, OFFSET("folio._folio_order"))? {
            OrderAt::Byte(offset)
        } else if let Some(offset) = told_if!(info, OFFSET("page.compound_order"))? {
            OrderAt::Byte(second(offset))
        } else {
            OrderAt::SecondFlags
        };
        let destructor = match told_if!(info, OFFSET("folio._folio_dtor"))? {
            Some(offset) => Some(offset),
            None => told_if!(info, OFFSET("page.compound_dtor"))?.map(second),
        };
        let number = told_if!(info, NUMBER("HUGETLB_PAGE_DTOR"))?;
        let hugetlb = if let Some(kind) =
            told_if!(info, NUMBER("PAGE_HUGETLB_MAPCOUNT_VALUE"))?.map(low_half)
        {
            HugetlbBy::Type(kind)
        } else if let Some(flag) = flag(told_if!(info, NUMBER("PG_hugetlb"))?) {
            HugetlbBy::SecondFlag(flag)
        } else {
            match (
                destructor,
                number.and_then(|number| u8::try_from(number).ok()),
            ) {
                (Some(offset), Some(number)) => HugetlbBy::Destructor(offset, number),
                _ => HugetlbBy::Unknown,
            }
        };
        Ok(Self {
            size: bytes,
            flags: told!(info, OFFSET("page.flags"))?,
            refcount: match told_if!(info, OFFSET("page._refcount"))? {
                Some(offset) => offset,
                // Before Linux 4.6.
                None => told!(info, OFFSET("page._count"))?,
            },
            mapcount: told!(info, OFFSET("page._mapcount"))?,
            mapping: told!(info, OFFSET("page.mapping"))?,
            private: told!(info, OFFSET("page.private"))?,
            compound_head: match told_if!(info, OFFSET("page.compound_info"))? {
                Some(offset) => offset,
                None => told!(info, OFFSET("page.compound_head"))?,
            },
            order,
            hugetlb,
            lru: flag(Some(told!(info, NUMBER("PG_lru"))?)).unwrap_or(0),
            private_bit: flag(Some(told!(info, NUMBER("PG_private"))?)).unwrap_or(0),
            swapcache: flag(Some(told!(info, NUMBER("PG_swapcache"))?)).unwrap_or(0),
            swapbacked: flag(told_if!(info, NUMBER("PG_swapbacked"))?),
            slab: flag(told_if!(info, NUMBER("PG_slab"))?),
            poison: flag(told_if!(info, NUMBER("PG_hwpoison"))?).unwrap_or(0),
            reserved: 0,
            head_mask: told!(info, NUMBER("PG_head_mask"))?,
            slab_type: told_if!(info, NUMBER("PAGE_SLAB_MAPCOUNT_VALUE"))?.map(low_half),
            buddy_type: told_if!(info, NUMBER("PAGE_BUDDY_MAPCOUNT_VALUE"))?.map(low_half),
            offline_type: told_if!(info, NUMBER("PAGE_OFFLINE_MAPCOUNT_VALUE"))?.map(low_half),
            unaccepted_type: told_if!(info, NUMBER("PAGE_UNACCEPTED_MAPCOUNT_VALUE"))?
                .map(low_half),
            free_orders: told!(info, LENGTH("zone.free_area"))?.min(MAX_ORDER),
        })
    }

    /// Whether `_mapcount` is this type. Types since Linux 6.12 are the highest byte, and the others are
    /// the type's own; before, a type was all of the number.
    pub(super) fn is(mapcount: u32, kind: Option<u32>) -> bool {
        kind.is_some_and(|kind| match kind & 0xff_ffff {
            0 => mapcount >> 24 == kind >> 24,
            _ => mapcount == kind,
        })
    }
}
