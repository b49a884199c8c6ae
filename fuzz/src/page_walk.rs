//! Arbitrary bytes as page tables, in every paging mode.

use ::page_walk::{
    AArch64, AnyFlags, AnyWalker, Fault, FaultKind, Mapping, Ppc64, RiscV64, S390x, Step, Walker,
    X86, X86_64, X86Pae,
    aarch64::{self, Granule, Half, Output},
    riscv, s390x, x86_64,
};
use physmem::{MemError, PhysAddr, PhysMemory, PhysRange, Region, VirtAddr};

/// How many tables a listing may enter: enough for four levels of the few pages that fit in an input.
const BUDGET: u64 = 64;

/// The virtual addresses of aarch64 that an input can choose: what kernels have, and the ends.
const VA_BITS: [u8; 16] = [
    16, 17, 25, 32, 36, 37, 39, 40, 42, 46, 47, 48, 49, 50, 51, 52,
];

/// x86_64: the input is memory from address 0 but for its first 32 bytes: the mode, the root and the encryption
/// mask, then three addresses. The low bits of the root count only if the highest of the word is set.
pub fn page_walk(data: &[u8]) {
    laws(data, |setup, root| {
        let mode = match setup & 3 {
            0 => X86_64::four_level(),
            1 => X86_64::five_level(),
            _ => X86_64::four_level().with_encryption_mask(1 << (setup >> 2 & 63)),
        };
        Some(Walker::new(mode, root).into())
    });
}

/// 32-bit x86, with two levels and with PAE, laid out as for [`page_walk`].
pub fn x86(data: &[u8]) {
    laws(data, |setup, root| {
        Some(match setup & 1 {
            0 => Walker::new(X86::new(), root).into(),
            _ => Walker::new(X86Pae::new(), root).into(),
        })
    });
}

/// aarch64, laid out as for [`page_walk`]: half, granule, width of physical addresses, bits of virtual ones.
pub fn aarch64(data: &[u8]) {
    laws(data, |setup, root| {
        let half = [Half::Lower, Half::Upper][(setup & 1) as usize];
        let granule = match setup >> 1 & 3 {
            0 => Granule::K4,
            1 => Granule::K16,
            _ => Granule::K64,
        };
        let output = [Output::Bits48, Output::Bits52][(setup >> 3 & 1) as usize];
        let va_bits = VA_BITS[(setup >> 4 & 0xf) as usize];
        let mode = AArch64::try_new(half, granule, va_bits, output)?;
        Some(Walker::new(mode, root).into())
    });
}

/// riscv64, laid out as for [`page_walk`].
pub fn riscv64(data: &[u8]) {
    laws(data, |setup, root| {
        let mode = match setup & 3 {
            0 => RiscV64::sv48(),
            1 => RiscV64::sv57(),
            _ => RiscV64::sv39(),
        };
        Some(Walker::new(mode, root).into())
    });
}

/// ppc64's radix tables, laid out as for [`page_walk`]: page size, quadrant.
pub fn ppc64(data: &[u8]) {
    laws(data, |setup, root| {
        let mode = match setup & 3 {
            0 => Ppc64::radix_64k(),
            1 => Ppc64::radix_64k().lower(),
            2 => Ppc64::radix_4k(),
            _ => Ppc64::radix_4k().lower(),
        };
        Some(Walker::new(mode, root).into())
    });
}

/// s390x, laid out as for [`page_walk`]: levels, length of the root.
pub fn s390x(data: &[u8]) {
    laws(data, |setup, root| {
        let mode = match setup & 3 {
            0 => S390x::region_third(),
            1 => S390x::region_second(),
            2 => S390x::region_first(),
            _ => S390x::segment(),
        };
        let length = (setup >> 2 & 3) as u8;
        Some(Walker::new(mode.with_length(!length), root).into())
    });
}

/// Memory that does not lend.
struct Unlent<'a>(Region<&'a [u8]>);

impl PhysMemory for Unlent<'_> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        self.0.read(at, out)
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.0.next_run(from)
    }
}

/// Every operation gives what `translate` gives: walks, batches, cursors, both ends of what a listing
/// lists, who maps a frame. The work is bounded, and memory that does not lend is the same memory.
fn laws(data: &[u8], walker: impl FnOnce(u64, PhysAddr) -> Option<AnyWalker>) {
    let Some((head, bytes)) = data.split_first_chunk::<32>() else {
        return;
    };
    let Ok(memory) = Region::try_new(PhysAddr::new(0), bytes) else {
        return;
    };
    let mut words = head.chunks_exact(8).map(|word| {
        let word = word.try_into().expect("eight bytes");
        u64::from_le_bytes(word)
    });
    let mut word = || words.next().expect("four words");
    let setup = word();
    let unused = if setup >> 63 == 0 { 0xfff } else { 0 };
    let Some(walker) = walker(setup, PhysAddr::new(setup >> 8 & !unused)) else {
        return;
    };
    let [one, two, three] = [word(), word(), word()].map(VirtAddr::new);
    let unlent = Unlent(memory);

    let virts = [
        one,
        two,
        three,
        VirtAddr::new(0),
        VirtAddr::new(u64::MAX),
        one,
    ];
    let mut found = virts.map(|_| None);
    walker.translate_many(&memory, &virts, |index, one| {
        assert!(found[index].replace(one).is_none(), "told twice");
    });
    let (mut cursor, mut slow) = (walker.cursor(&memory), walker.cursor(&unlent));
    for (virt, found) in virts.into_iter().zip(found) {
        let translated = walker.translate(&memory, virt);
        assert_eq!(by_walk(&walker, &memory, virt), translated);
        assert_eq!(found, Some(translated));
        assert_eq!(cursor.translate(virt), translated);
        assert_eq!(slow.translate(virt), translated);
    }
    for range in [one..=two, VirtAddr::new(0)..=VirtAddr::new(u64::MAX)] {
        let mut items = 0_u64;
        let mut next = Some(*range.start());
        let extents = walker.extents(&memory, range.clone()).with_budget(BUDGET);
        let mut again = walker.extents(&unlent, range.clone()).with_budget(BUDGET);
        let mut first = None;
        for item in extents {
            items += 1;
            assert_eq!(again.next(), Some(item));
            match item {
                Ok(extent) => {
                    first.get_or_insert(extent);
                    assert!(Some(extent.virt) >= next && range.contains(&extent.virt));
                    for offset in [0, extent.size - 1] {
                        let virt = extent.virt.checked_add(offset).expect("ends in the range");
                        let mapping = walker
                            .translate(&memory, virt)
                            .expect("what is listed is mapped");
                        assert_eq!(Some(mapping.phys), extent.phys.checked_add(offset));
                        assert_eq!((mapping.shift, mapping.flags), (extent.shift, extent.flags));
                    }
                    next = extent.virt.checked_add(extent.size);
                }
                Err(Fault {
                    kind: FaultKind::Budget,
                    ..
                }) => {}
                Err(Fault {
                    kind: FaultKind::Loop { table },
                    virt,
                    entry_at,
                    ..
                }) => {
                    assert!(Some(virt) >= next && range.contains(&virt));
                    let mut walk = walker.walk(&memory, virt).flatten();
                    let entry = walk.find(|entry| entry.at == entry_at);
                    let step = entry.expect("the entry is on the way").step;
                    assert!(matches!(step, Step::Table { at, .. } if at == table));
                }
                Err(fault) => {
                    assert!(Some(fault.virt) >= next && range.contains(&fault.virt));
                    assert_eq!(walker.translate(&memory, fault.virt), Err(fault));
                }
            }
        }
        assert_eq!(again.next(), None);
        // The root, and the tables that the budget allows, give no more than an item for an entry; the
        // largest tables have 8192.
        assert!(items <= (BUDGET + 1) * 8192 + 1);

        // Whoever is listed first maps the frames of the first extent.
        if let Some(extent) = first {
            // The last byte that 64 bits can address lies in no range.
            if let Ok(frames) = PhysRange::with_size(extent.phys, extent.size) {
                let reverse = walker.reverse(&memory, range, frames).with_budget(BUDGET);
                assert_eq!(reverse.flatten().next(), Some(extent));
            }
        }
    }
}

/// `translate`, made of the entries that `walk` shows.
fn by_walk<M: PhysMemory>(
    walker: &AnyWalker,
    memory: &M,
    virt: VirtAddr,
) -> Result<Mapping<AnyFlags>, Fault> {
    let mut above = Vec::new();
    for entry in walker.walk(memory, virt) {
        match entry?.step {
            Step::Table { flags, .. } => above.push(flags),
            Step::Leaf { base, shift, flags } => {
                let offset = virt.as_u64() % (1 << shift);
                return Ok(Mapping {
                    phys: PhysAddr::new(base.as_u64() + offset),
                    shift,
                    flags: effective(flags, &above),
                });
            }
        }
    }
    unreachable!("a walk ends with a page or a fault")
}

/// A page's flags with what the tables above it take away or add.
fn effective(flags: AnyFlags, above: &[AnyFlags]) -> AnyFlags {
    let all = |bits: u64| above.iter().fold(bits, |bits, table| bits & table.bits());
    let any = |bits: u64| bits & above.iter().fold(0, |bits, table| bits | table.bits());
    match flags {
        AnyFlags::X86_64(own) => {
            use x86_64::Flags;
            let needed = (Flags::RW | Flags::US).bits();
            let bits = own.bits() & (all(needed) | !needed) | any(Flags::NX.bits());
            AnyFlags::X86_64(Flags::from_bits_retain(bits))
        }
        AnyFlags::AArch64(own) => {
            use aarch64::Flags;
            let user = Flags::USER.bits();
            let taken = Flags::NS | Flags::RDONLY | Flags::PXN | Flags::UXN;
            let bits = own.bits() & (all(user) | !user) | any(taken.bits());
            AnyFlags::AArch64(Flags::from_bits_retain(bits))
        }
        AnyFlags::RiscV64(own) => {
            let bits = own.bits() | any(riscv::Flags::G.bits());
            AnyFlags::RiscV64(riscv::Flags::from_bits_retain(bits))
        }
        AnyFlags::Ppc64(own) => AnyFlags::Ppc64(own),
        AnyFlags::S390x(own) => {
            let bits = own.bits() | any(s390x::Flags::P.bits());
            AnyFlags::S390x(s390x::Flags::from_bits_retain(bits))
        }
        _ => unreachable!("every architecture is above"),
    }
}
