//! The page walk: one address at a time, many addresses, all of a range.
//!
//! The limit of a translation is the same dependent loads from addresses known beforehand: no index
//! taken out of an address, no flag looked at, nothing that could fail. The limit of a listing, and of a
//! batch in order, is to look at the 8 bytes of each page's entry. The limit of walks at random in tables
//! that no cache holds is sixteen of them by hand, a level at a time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use std::{env, fs::File, hint::black_box, ops::RangeInclusive};

use benches::{
    guest::{self, Guest, Random},
    list::walked_addresses,
    race::Race,
};
use page_walk::{AnyWalker, Step, Walker, X86_64};
use physmem::{MemError, PhysAddr, PhysMemory, PhysRange, Region, Regions, VirtAddr, runs};
use vmcore_format::{Dump, kernel::Layout};

/// Addresses in a race: their entries fit in a first-level cache or nearly so.
const HOT: usize = 1024;
/// How often a round goes through them.
const LAPS: usize = 16;

fn main() {
    let guest = Guest::new();
    let walker = Walker::new(X86_64::four_level(), PhysAddr::new(guest.root));
    let hot: Vec<_> = guest
        .vmalloc_addresses(HOT)
        .into_iter()
        .map(VirtAddr::new)
        .collect();
    let file = guest.dump(5).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    translations("a guest made up", walker, &hot, &dump, &file);

    let pages = |first: u64, pages: usize| {
        VirtAddr::new(first)..=VirtAddr::new(first + ((pages as u64) << 12) - 1)
    };
    let direct = pages(guest::DIRECT, guest::DIRECT_PAGES);
    listings(
        "all neighbours: a direct map of 4 KiB pages",
        walker,
        direct,
        &guest,
    );
    let vmalloc = pages(guest::VMALLOC, guest::VMALLOC_PAGES);
    listings("no neighbours: vmalloc", walker, vmalloc.clone(), &guest);
    in_order(walker, vmalloc, &guest);
    cold();

    if let Some(path) = env::var_os("VMCORE") {
        // SAFETY: nobody writes the dump while it is measured.
        #[allow(unsafe_code, reason = "mapping a file is")]
        let file = unsafe { memmap2::Mmap::map(&File::open(&path).unwrap()) }.unwrap();
        let dump = Dump::open(&file[..]).unwrap();
        let layout = Layout::of(&dump).unwrap();
        let hot = walked_addresses(&layout.walker, &dump.reader(), HOT);
        match layout.walker {
            AnyWalker::X86_64(walker) => {
                translations(&path.to_string_lossy(), walker, &hot, &dump, &file);
            }
            other => println!("no bench for {other:?}"),
        }
    }
}

/// Where the entries of one address lie in the file.
struct Way {
    entries: Vec<usize>,
    /// Address bits of the last entry, and the offset in its page.
    page: u64,
    offset: u64,
}

fn ways(walker: Walker<X86_64>, hot: &[VirtAddr], dump: &Dump<&[u8]>, file: &[u8]) -> Vec<Way> {
    let memory = dump.reader();
    let offset =
        |at: PhysAddr| memory.lend(at, 8).unwrap().as_ptr() as usize - file.as_ptr() as usize;
    let way = |virt: &VirtAddr| {
        let steps: Vec<_> = walker
            .walk(&memory, *virt)
            .collect::<Result<_, _>>()
            .unwrap();
        let Some(Step::Leaf { shift, .. }) = steps.last().map(|entry| entry.step) else {
            unreachable!("a walk ends with a page");
        };
        let within = (1 << shift) - 1;
        Way {
            entries: steps.iter().map(|entry| offset(entry.at)).collect(),
            page: 0x000f_ffff_ffff_f000 & !within,
            offset: virt.as_u64() & within,
        }
    };
    hot.iter().map(way).collect()
}

fn translations(
    whose: &str,
    walker: Walker<X86_64>,
    hot: &[VirtAddr],
    dump: &Dump<&[u8]>,
    file: &[u8],
) {
    race_translations::<true>(
        &format!("translate, one at a time: {whose}"),
        walker,
        hot,
        dump,
        file,
    );
    race_translations::<false>(
        &format!("translate, independent: {whose}"),
        walker,
        hot,
        dump,
        file,
    );
}

fn race_translations<const CHAINED: bool>(
    title: &str,
    walker: Walker<X86_64>,
    hot: &[VirtAddr],
    dump: &Dump<&[u8]>,
    file: &[u8],
) {
    let ways = ways(walker, hot, dump, file);
    let reader = dump.reader();
    let slices: Vec<_> = runs(&reader)
        .filter_map(|run| {
            let bytes = reader.lend(run.start(), usize::try_from(run.size()).ok()?)?;
            Region::try_new(run.start(), bytes).ok()
        })
        .collect();
    let regions = Regions::try_new(&slices[..]).unwrap();
    let any = AnyWalker::from(walker);
    let race = Race::new(title, hot.len() * LAPS, "translation")
        .enter("the same loads by hand", || by_hand::<CHAINED>(file, &ways))
        .enter("page-walk over the mapped ELF", || {
            each::<CHAINED>(hot, |virt| walker.translate(&reader, virt).unwrap().phys)
        })
        .enter("the same through AnyWalker", || {
            each::<CHAINED>(hot, |virt| any.translate(&reader, virt).unwrap().phys)
        })
        .enter(
            format!("page-walk over {} borrowed slices", slices.len()),
            || each::<CHAINED>(hot, |virt| walker.translate(&regions, virt).unwrap().phys),
        );
    #[cfg(feature = "peers")]
    let race = {
        use memflow::prelude::v1::*;

        let mut map = MemoryMap::new();
        for region in &slices {
            let base = region.range().start();
            let size = usize::try_from(region.range().size()).unwrap();
            let bytes = region.lend(base, size).unwrap();
            map.push(Address::from(base.as_u64()), bytes);
        }
        let mut memory = MappedPhysicalMemory::with_info(map);
        let translator =
            memflow::architecture::x86::x64::new_translator(walker.root().as_u64().into());
        race.enter("memflow, VirtualTranslate3::virt_to_phys", move || {
            each::<CHAINED>(hot, |virt| {
                let phys = translator
                    .virt_to_phys(&mut memory, virt.as_u64().into())
                    .unwrap();
                PhysAddr::new(phys.address().to_umem() as u64)
            })
        })
    };
    race.run();
}

/// Translates every address; if `CHAINED`, none can be begun before the one before it is done.
#[inline]
fn each<const CHAINED: bool>(
    hot: &[VirtAddr],
    mut translate: impl FnMut(VirtAddr) -> PhysAddr,
) -> u64 {
    let nothing = black_box(0);
    let (mut sum, mut last) = (0_u64, 0);
    for virt in hot.iter().cycle().take(hot.len() * LAPS) {
        let before = if CHAINED { last & nothing } else { 0 };
        last = translate(VirtAddr::new(virt.as_u64() | before)).as_u64();
        sum = sum.wrapping_add(last);
    }
    sum
}

fn by_hand<const CHAINED: bool>(file: &[u8], ways: &[Way]) -> u64 {
    let nothing = black_box(0);
    let (mut sum, mut entry) = (0_u64, 0);
    for way in ways.iter().cycle().take(ways.len() * LAPS) {
        if !CHAINED {
            entry = 0;
        }
        for at in &way.entries {
            #[allow(clippy::cast_possible_truncation, reason = "always 0")]
            let at = at | (entry & nothing) as usize;
            entry = u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
        }
        sum = sum.wrapping_add(entry & way.page | way.offset);
    }
    sum
}

/// Memory that does not lend: a compressed dump, whose pages lie in a cache.
struct Unlent<'a>(Region<&'a [u8]>);

impl PhysMemory for Unlent<'_> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        self.0.read(at, out)
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.0.next_run(from)
    }
}

/// The tables of level 1 that `range` goes through.
fn tables(
    walker: Walker<X86_64>,
    range: &RangeInclusive<VirtAddr>,
    guest: &Guest,
) -> Vec<Box<[u8]>> {
    let memory = Region::try_new(PhysAddr::new(0), &guest.ram[..]).unwrap();
    (range.start().as_u64()..=range.end().as_u64())
        .step_by(512 << 12)
        .map(|virt| {
            let mut walk = walker.walk(&memory, VirtAddr::new(virt));
            let entry = walk.by_ref().last().unwrap().unwrap();
            let at = usize::try_from(entry.at.as_u64()).unwrap();
            guest.ram[at..at + 4096].into()
        })
        .collect()
}

/// One address in each page, ascending.
fn in_order(walker: Walker<X86_64>, range: RangeInclusive<VirtAddr>, guest: &Guest) {
    let memory = Region::try_new(PhysAddr::new(0), &guest.ram[..]).unwrap();
    let tables = tables(walker, &range, guest);
    let virts: Vec<_> = (range.start().as_u64()..=range.end().as_u64())
        .step_by(1 << 12)
        .map(|page| VirtAddr::new(page | 0x123))
        .collect();
    Race::new(
        "a sorted batch: vmalloc, one address a page",
        virts.len(),
        "translation",
    )
    .enter("a look at each entry by hand", || {
        let entries = tables.iter().flat_map(|table| table.chunks_exact(8));
        entries.fold(0, |sum, entry| {
            let entry = u64::from_le_bytes(entry.try_into().unwrap());
            sum + (entry & 0x000f_ffff_ffff_f000 | 0x123)
        })
    })
    .enter("page-walk, cursor", || {
        let mut cursor = walker.cursor(&memory);
        let phys = |virt: &VirtAddr| cursor.translate(*virt).unwrap().phys.as_u64();
        virts.iter().map(phys).sum()
    })
    .enter("page-walk, cursor through AnyWalker", || {
        let mut cursor = AnyWalker::from(walker).cursor(&memory);
        let phys = |virt: &VirtAddr| cursor.translate(*virt).unwrap().phys.as_u64();
        virts.iter().map(phys).sum()
    })
    .enter("page-walk, translate_many", || {
        let mut sum = 0;
        walker.translate_many(&memory, &virts, |_, found| {
            sum += found.unwrap().phys.as_u64()
        });
        sum
    })
    .enter("page-walk, translate", || {
        let phys = |virt: &VirtAddr| walker.translate(&memory, *virt).unwrap().phys.as_u64();
        virts.iter().map(phys).sum()
    })
    .run();
}

/// Bytes of a memory that no cache holds.
const COLD: usize = 1 << 29;
/// Walks by hand that are under way together.
const LANES: usize = 16;

/// Every page of a big memory is a table, every entry leads to any of them: of a walk's four loads, all but
/// the root's come from memory.
fn cold() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    let mut ram = vec![0; COLD];
    for entry in ram.chunks_exact_mut(8) {
        let table = random.below(COLD as u64 >> 12) << 12;
        entry.copy_from_slice(&(table | 7).to_le_bytes());
    }
    let memory = Region::try_new(PhysAddr::new(0), &ram[..]).unwrap();
    let walker = Walker::new(X86_64::four_level(), PhysAddr::new(0));
    let virts: Vec<_> = (0..1 << 14)
        .map(|_| VirtAddr::new(random.below(1 << 47)))
        .collect();
    let entry = |table: u64, virt: VirtAddr, shift: u32| {
        let at = usize::try_from(table | (virt.as_u64() >> shift & 511) << 3).unwrap();
        u64::from_le_bytes(ram[at..at + 8].try_into().unwrap()) & 0x000f_ffff_ffff_f000
    };
    Race::new(
        "cold, at random, 512 MiB of tables",
        virts.len(),
        "translation",
    )
    .enter("sixteen walks by hand", || {
        let mut sum = 0;
        for virts in virts.chunks_exact(LANES) {
            let mut tables = [0; LANES];
            for shift in [39, 30, 21, 12] {
                for (table, virt) in tables.iter_mut().zip(virts) {
                    *table = entry(*table, *virt, shift);
                }
            }
            for (table, virt) in tables.iter().zip(virts) {
                sum += table | virt.as_u64() & 0xfff;
            }
        }
        sum
    })
    .enter("page-walk, translate_many", || {
        let mut sum = 0;
        walker.translate_many(&memory, &virts, |_, found| {
            sum += found.unwrap().phys.as_u64()
        });
        sum
    })
    .enter("page-walk, translate one after the other", || {
        let nothing = black_box(0);
        let (mut sum, mut last) = (0, 0);
        for virt in &virts {
            let virt = VirtAddr::new(virt.as_u64() | last & nothing);
            last = walker.translate(&memory, virt).unwrap().phys.as_u64();
            sum += last;
        }
        sum
    })
    .enter("page-walk, translate, as the processor overlaps it", || {
        let phys = |virt: &VirtAddr| walker.translate(&memory, *virt).unwrap().phys.as_u64();
        virts.iter().map(phys).sum()
    })
    .run();
}

fn listings(what: &str, walker: Walker<X86_64>, range: RangeInclusive<VirtAddr>, guest: &Guest) {
    let memory = Region::try_new(PhysAddr::new(0), &guest.ram[..]).unwrap();
    let pages = || (range.start().as_u64()..=range.end().as_u64()).step_by(1 << 12);
    let tables = tables(walker, &range, guest);
    // Pages plus extents.
    let listed = |sum: u64, size: u64| sum + (size >> 12) + 1;
    Race::new(format!("extents, {what}"), pages().count(), "4 KiB page")
        .enter("a look at each entry by hand", || {
            let (mut sum, mut before) = (0, 0);
            for entry in tables.iter().flat_map(|table| table.chunks_exact(8)) {
                let entry = u64::from_le_bytes(entry.try_into().unwrap());
                sum += (entry & 1) + u64::from(entry != before + 0x1000);
                before = entry;
            }
            sum
        })
        .enter("page-walk, tables borrowed", || {
            let extents = walker.extents(&memory, range.clone());
            extents.fold(0, |sum, extent| listed(sum, extent.unwrap().size))
        })
        .enter("page-walk, tables read in chunks", || {
            let memory = Unlent(memory);
            let extents = walker.extents(&memory, range.clone());
            extents.fold(0, |sum, extent| listed(sum, extent.unwrap().size))
        })
        .enter("page-walk, translate page by page", || {
            let mut next = PhysAddr::new(1);
            pages().fold(0, |sum, virt| {
                let phys = walker.translate(&memory, VirtAddr::new(virt)).unwrap().phys;
                let neighbour = phys == next;
                next = phys.checked_add(1 << 12).unwrap();
                sum + 1 + u64::from(!neighbour)
            })
        })
        .run();
}
