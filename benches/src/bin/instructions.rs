//! What `instructions.sh` counts under valgrind: each job is a function of its own, and prints its name and how many
//! operations it did.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a count over known input"
)]

use std::hint::black_box;

use benches::guest::{self, Guest};
use page_walk::{Extent, Fault, Walker, X86_64, x86_64::Flags};
use physmem::{PhysAddr, PhysMemory, Region, VirtAddr};
use vmcore_format::Dump;

/// Addresses that are translated.
const COUNT: usize = 1 << 14;

fn main() {
    let guest = Guest::new();
    let walker = Walker::new(X86_64::four_level(), PhysAddr::new(guest.root));
    let slice = Region::try_new(PhysAddr::new(0), &guest.ram[..]).unwrap();
    let virts = guest.vmalloc_addresses(COUNT);
    let virts: Vec<_> = virts.into_iter().map(VirtAddr::new).collect();
    let file = guest.dump(5).unwrap();
    let dump = Dump::open(&file[..]).unwrap();

    job("translate_slice", COUNT, || {
        translate_slice(&walker, &slice, &virts)
    });
    job("translate_dump", COUNT, || {
        translate_dump(&walker, &dump.reader(), &virts)
    });
    job("translate_many", COUNT, || {
        translate_many(&walker, &slice, &virts)
    });
    let mut sorted = virts.clone();
    sorted.sort();
    job("cursor", COUNT, || cursor(&walker, &slice, &sorted));
    job("extents_neighbours", guest::DIRECT_PAGES, || {
        extents_neighbours(&walker, &slice)
    });
    job("extents_scattered", guest::VMALLOC_PAGES, || {
        extents_scattered(&walker, &slice)
    });
}

fn job(name: &str, operations: usize, mut job: impl FnMut() -> u64) {
    black_box(job());
    println!("{name} {operations}");
}

type Tables = Walker<X86_64>;

fn sum<M: PhysMemory>(walker: &Tables, memory: &M, virts: &[VirtAddr]) -> u64 {
    let phys = |virt: &VirtAddr| walker.translate(memory, *virt).unwrap().phys.as_u64();
    virts.iter().map(phys).fold(0, u64::wrapping_add)
}

#[inline(never)]
fn translate_slice(walker: &Tables, memory: &Region<&[u8]>, virts: &[VirtAddr]) -> u64 {
    sum(walker, memory, virts)
}

#[inline(never)]
fn translate_dump<M: PhysMemory>(walker: &Tables, memory: &M, virts: &[VirtAddr]) -> u64 {
    sum(walker, memory, virts)
}

#[inline(never)]
fn translate_many(walker: &Tables, memory: &Region<&[u8]>, virts: &[VirtAddr]) -> u64 {
    let mut sum = 0_u64;
    walker.translate_many(memory, virts, |_, found| {
        sum = sum.wrapping_add(found.unwrap().phys.as_u64());
    });
    sum
}

#[inline(never)]
fn cursor(walker: &Tables, memory: &Region<&[u8]>, virts: &[VirtAddr]) -> u64 {
    let mut cursor = walker.cursor(memory);
    virts.iter().fold(0, |sum: u64, virt| {
        sum.wrapping_add(cursor.translate(*virt).unwrap().phys.as_u64())
    })
}

/// All that an extent has, so that nothing of it is left out.
fn add(sum: u64, extent: Result<Extent<Flags>, Fault>) -> u64 {
    let extent = extent.unwrap();
    sum.wrapping_add(extent.virt.as_u64() ^ extent.phys.as_u64())
        .wrapping_add(extent.size ^ extent.flags.bits())
}

#[inline(never)]
fn extents_neighbours(walker: &Tables, memory: &Region<&[u8]>) -> u64 {
    let last = guest::DIRECT + ((guest::DIRECT_PAGES as u64) << 12) - 1;
    let range = VirtAddr::new(guest::DIRECT)..=VirtAddr::new(last);
    walker.extents(memory, range).fold(0, add)
}

#[inline(never)]
fn extents_scattered(walker: &Tables, memory: &Region<&[u8]>) -> u64 {
    let last = guest::VMALLOC + ((guest::VMALLOC_PAGES as u64) << 12) - 1;
    let range = VirtAddr::new(guest::VMALLOC)..=VirtAddr::new(last);
    walker.extents(memory, range).fold(0, add)
}
