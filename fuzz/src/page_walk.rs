//! Arbitrary bytes as page tables.

use ::page_walk::{Fault, FaultKind, Mapping, Step, Walker, X86_64, x86_64::Flags};
use physmem::{PhysAddr, PhysMemory, Region, VirtAddr};

/// How many tables a listing may enter: enough for four levels of the few pages that fit in an input.
const BUDGET: u64 = 64;

/// The input is memory from address 0 but for its first 32 bytes: the mode, the root's low bits and the
/// encryption mask, then three addresses. `translate` agrees with `walk`, and with `extents` at both
/// ends of what it lists; the work is bounded.
pub fn page_walk(data: &[u8]) {
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
    let mode = match setup & 3 {
        0 => X86_64::four_level(),
        1 => X86_64::five_level(),
        _ => X86_64::four_level().with_encryption_mask(1 << (setup >> 2 & 63)),
    };
    let walker = Walker::new(mode, PhysAddr::new(setup >> 8));
    let [one, two, three] = [word(), word(), word()].map(VirtAddr::new);

    for virt in [one, two, three, VirtAddr::new(0), VirtAddr::new(u64::MAX)] {
        assert_eq!(
            by_walk(&walker, &memory, virt),
            walker.translate(&memory, virt)
        );
    }
    for range in [one..=two, VirtAddr::new(0)..=VirtAddr::new(u64::MAX)] {
        let mut items = 0_u64;
        let mut next = Some(*range.start());
        for item in walker.extents(&memory, range.clone()).with_budget(BUDGET) {
            items += 1;
            match item {
                Ok(extent) => {
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
                Err(fault) => {
                    assert!(Some(fault.virt) >= next && range.contains(&fault.virt));
                    assert_eq!(walker.translate(&memory, fault.virt), Err(fault));
                }
            }
        }
        // The root, and the tables that the budget allows, give no more than an item for an entry.
        assert!(items <= (BUDGET + 1) * 512 + 1);
    }
}

/// `translate`, made of the entries that `walk` shows.
fn by_walk<M: PhysMemory>(
    walker: &Walker<X86_64>,
    memory: &M,
    virt: VirtAddr,
) -> Result<Mapping<Flags>, Fault> {
    let everywhere = Flags::RW | Flags::US;
    let (mut allowed, mut denied) = (everywhere, Flags::empty());
    for entry in walker.walk(memory, virt) {
        match entry?.step {
            Step::Table { flags, .. } => {
                allowed &= flags;
                denied |= flags & Flags::NX;
            }
            Step::Leaf { base, shift, flags } => {
                let offset = virt.as_u64() % (1 << shift);
                return Ok(Mapping {
                    phys: PhysAddr::new(base.as_u64() + offset),
                    shift,
                    flags: (flags & !everywhere) | (flags & allowed) | denied,
                });
            }
        }
    }
    unreachable!("a walk ends with a page or a fault")
}
