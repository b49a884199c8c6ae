//! The page walk: one address at a time, many addresses, all of a range.
//!
//! The limit of a translation is the same dependent loads from addresses known beforehand: no index
//! taken out of an address, no flag looked at, nothing that could fail. The limit of a listing, and of a
//! batch in order, is to look at the 8 bytes of each page's entry. The limit of walks at random in tables
//! that no cache holds is sixteen of them by hand, a level at a time.
//!
//! `VMCORE` names a dump whose translations are raced, too. Of a compressed one the limit and the peers that
//! cannot read it have the tables decoded beforehand.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use std::{collections::BTreeSet, env, fs::File, hint::black_box, ops::RangeInclusive};

use benches::{
    guest::{self, Guest, Random},
    list::walked_addresses,
    race::Race,
};
use page_walk::{AnyWalker, Step, Walker, X86_64};
use physmem::{
    MemError, PageShift, PhysAddr, PhysMemory, PhysRange, Region, Regions, VirtAddr, runs,
};
use vmcore_format::{Dump, Reader, kernel::Layout};

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
    let reader = dump.reader();
    translations(
        "a guest made up",
        walker,
        &hot,
        &reader,
        &Slices::lent(&reader, &file),
    );

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
        let reader = dump.reader();
        let hot = walked_addresses(&layout.walker, &reader, HOT);
        match layout.walker {
            AnyWalker::X86_64(walker) => {
                let copies = copies(walker, &hot, &reader);
                let slices = match dump.elf() {
                    Some(_) => Slices::lent(&reader, &file),
                    None => Slices::copied(&copies),
                };
                translations(&path.to_string_lossy(), walker, &hot, &reader, &slices);
            }
            other => println!("no bench for {other:?}"),
        }
    }
}

type Memory<'a> = Reader<'a, &'a [u8]>;

/// Memory that can be borrowed: what the limit and some peers work on.
struct Slices<'a> {
    /// All bytes that are lent, one after the other.
    bytes: &'a [u8],
    regions: Vec<Region<&'a [u8]>>,
}

impl<'a> Slices<'a> {
    /// A mapped file's own.
    fn lent(reader: &'a Memory<'_>, file: &'a [u8]) -> Self {
        let lent = runs(reader).filter_map(|run| {
            let bytes = reader.lend(run.start(), usize::try_from(run.size()).ok()?)?;
            Region::try_new(run.start(), bytes).ok()
        });
        Self {
            bytes: file,
            regions: lent.collect(),
        }
    }

    /// Those of a dump that lends nothing, decoded beforehand.
    fn copied((at, bytes): &'a (Vec<PhysAddr>, Vec<u8>)) -> Self {
        let pages = at.iter().zip(bytes.chunks_exact(4096));
        Self {
            bytes,
            regions: pages
                .map(|(at, page)| Region::try_new(*at, page).unwrap())
                .collect(),
        }
    }
}

/// The tables that the walks go through, in order.
fn copies(
    walker: Walker<X86_64>,
    hot: &[VirtAddr],
    reader: &Memory<'_>,
) -> (Vec<PhysAddr>, Vec<u8>) {
    let entries = hot.iter().flat_map(|virt| walker.walk(reader, *virt));
    let tables: BTreeSet<_> = entries
        .map(|entry| entry.unwrap().at.align_down(PageShift::SIZE_4K))
        .collect();
    let mut bytes = vec![0; tables.len() * 4096];
    for (at, page) in tables.iter().zip(bytes.chunks_exact_mut(4096)) {
        reader.read(*at, page).unwrap();
    }
    (tables.into_iter().collect(), bytes)
}

/// Where the entries of one address lie in the bytes.
struct Way {
    entries: Vec<usize>,
    /// Address bits of the last entry, and the offset in its page.
    page: u64,
    offset: u64,
}

fn ways(walker: Walker<X86_64>, hot: &[VirtAddr], slices: &Slices<'_>) -> Vec<Way> {
    let memory = Regions::try_new(&slices.regions[..]).unwrap();
    let offset = |at: PhysAddr| {
        memory.lend(at, 8).unwrap().as_ptr() as usize - slices.bytes.as_ptr() as usize
    };
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
    reader: &Memory<'_>,
    slices: &Slices<'_>,
) {
    let title = format!("translate, one at a time: {whose}");
    race_translations::<true>(&title, walker, hot, reader, slices);
    let title = format!("translate, independent: {whose}");
    race_translations::<false>(&title, walker, hot, reader, slices);
}

fn race_translations<const CHAINED: bool>(
    title: &str,
    walker: Walker<X86_64>,
    hot: &[VirtAddr],
    reader: &Memory<'_>,
    slices: &Slices<'_>,
) {
    let ways = ways(walker, hot, slices);
    let Slices {
        bytes,
        regions: lent,
    } = slices;
    let regions = Regions::try_new(&lent[..]).unwrap();
    let any = AnyWalker::from(walker);
    let race = Race::new(title, hot.len() * LAPS, "translation")
        .enter("the same loads by hand", || {
            by_hand::<CHAINED>(bytes, &ways)
        })
        .enter("page-walk over the dump", || {
            each::<CHAINED>(hot, |virt| walker.translate(reader, virt).unwrap().phys)
        })
        .enter("the same through AnyWalker", || {
            each::<CHAINED>(hot, |virt| any.translate(reader, virt).unwrap().phys)
        })
        .enter(
            format!("page-walk over {} borrowed slices", lent.len()),
            || each::<CHAINED>(hot, |virt| walker.translate(&regions, virt).unwrap().phys),
        );
    #[cfg(feature = "peers")]
    let race = {
        use memflow::prelude::v1::*;

        let mut map = MemoryMap::new();
        for region in lent {
            let base = region.range().start();
            let size = usize::try_from(region.range().size()).unwrap();
            let bytes = region.lend(base, size).unwrap();
            map.push(Address::from(base.as_u64()), bytes);
        }
        let mut memory = MappedPhysicalMemory::with_info(map);
        let translator =
            memflow::architecture::x86::x64::new_translator(walker.root().as_u64().into());
        race.enter(
            "memflow, VirtualTranslate3::virt_to_phys, over the slices",
            move || {
                each::<CHAINED>(hot, |virt| {
                    let phys = translator
                        .virt_to_phys(&mut memory, virt.as_u64().into())
                        .unwrap();
                    PhysAddr::new(phys.address().to_umem() as u64)
                })
            },
        )
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
