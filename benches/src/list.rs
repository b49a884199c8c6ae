//! Which addresses of a dump take a real walk.

use std::ops::RangeInclusive;

use page_walk::{AnyFlags, AnyWalker, Extent};
use physmem::{PhysMemory, VirtAddr};

use crate::guest::Random;

/// The upper half: the kernel's.
const KERNEL: RangeInclusive<VirtAddr> = VirtAddr::new(1 << 63)..=VirtAddr::new(u64::MAX);
/// `__START_KERNEL_map` up to `MODULES_VADDR`: the image, at a fixed distance from its physical address.
const IMAGE: RangeInclusive<u64> = 0xffff_ffff_8000_0000..=0xffff_ffff_bfff_ffff;

/// `count` addresses in 4 KiB pages that no formula translates: vmalloc, modules, the CPU entry area, but
/// neither the kernel's image nor the direct map, which other tools translate without a walk.
pub fn walked_addresses<M: PhysMemory>(
    walker: &AnyWalker,
    memory: &M,
    count: usize,
) -> Vec<VirtAddr> {
    let extents: Vec<_> = walker
        .extents(memory, KERNEL)
        .filter_map(Result::ok)
        .collect();
    let distance =
        |extent: &Extent<AnyFlags>| extent.virt.as_u64().wrapping_sub(extent.phys.as_u64());
    let direct_map = extents
        .iter()
        .max_by_key(|extent| extent.size)
        .map(distance);
    let walked: Vec<_> = extents
        .iter()
        .filter(|extent| extent.shift == 12 && !IMAGE.contains(&extent.virt.as_u64()))
        .filter(|extent| Some(distance(extent)) != direct_map)
        .collect();
    let mut random = Random(0x0123_4567_89ab_cdef);
    let pages: Vec<u64> = walked
        .iter()
        .flat_map(|extent| (0..extent.size >> 12).map(|page| extent.virt.as_u64() + (page << 12)))
        .collect();
    (0..if pages.is_empty() { 0 } else { count })
        .filter_map(|_| {
            let page = pages.get(usize::try_from(random.below(pages.len() as u64)).ok()?)?;
            Some(VirtAddr::new(page + random.below(4096)))
        })
        .collect()
}
