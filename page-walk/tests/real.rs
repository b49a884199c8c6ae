//! Tables of real guests and machines, and what libkdumpfile and QEMU make of the same addresses:
//! `testdata/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use page_walk::{
    AArch64, AnyFlags, AnyWalker, FaultKind, Level, Ppc64, RiscV64, S390x, Step, Walker, X86,
    X86_64, X86Pae,
    aarch64::{Granule, Half, Output},
    x86_64::Flags,
};
use physmem::{Absence, PhysAddr, PhysMemory, Region, Regions, VirtAddr};

const ROOT: PhysAddr = PhysAddr::new(0x1101_0000);

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// The pages that hold entries, each as `bytes` makes it, with nothing else in them.
fn tables_of<const N: usize>(
    entries: &str,
    bytes: impl Fn(u64) -> [u8; N],
) -> Regions<Vec<Region<Vec<u8>>>, Vec<u8>> {
    let mut tables: Vec<(u64, Vec<u8>)> = Vec::new();
    for line in entries.lines() {
        let (at, entry) = line.split_once('\t').unwrap();
        let (page, offset) = (hex(at) & !0xfff, usize::try_from(hex(at) & 0xfff).unwrap());
        if tables.last().is_none_or(|(last, _)| *last != page) {
            tables.push((page, vec![0; 4096]));
        }
        let (_, table) = tables.last_mut().unwrap();
        table[offset..offset + N].copy_from_slice(&bytes(hex(entry)));
    }
    let regions = tables
        .into_iter()
        .map(|(page, bytes)| Region::try_new(page.into(), bytes).unwrap());
    Regions::try_new(regions.collect()).unwrap()
}

fn tables(entries: &str) -> Regions<Vec<Region<Vec<u8>>>, Vec<u8>> {
    tables_of(entries, u64::to_le_bytes)
}

fn x86_64_tables() -> Regions<Vec<Region<Vec<u8>>>, Vec<u8>> {
    tables(include_str!("../testdata/x86_64.entries.tsv"))
}

fn walker() -> Walker<X86_64> {
    Walker::new(X86_64::four_level(), ROOT)
}

/// Holds the walker to a list of answers, and counts those that are mapped and those that are not.
fn agree(walker: &AnyWalker, memory: &impl PhysMemory, answers: &str) -> (usize, usize) {
    let (mut mapped, mut unmapped) = (0, 0);
    for line in answers.lines() {
        let [virt, what, phys] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        match (walker.translate(memory, VirtAddr::new(hex(virt))), phys) {
            (Err(fault), "-") => {
                let lost = matches!(fault.kind, FaultKind::Missing(_));
                assert!(!lost, "{what}: {fault}");
                unmapped += 1;
            }
            (Ok(mapping), phys) => {
                assert_eq!(mapping.phys, PhysAddr::new(hex(phys)), "{what}");
                mapped += 1;
            }
            (Err(fault), _) => panic!("{what}: {fault}"),
        }
    }
    (mapped, unmapped)
}

#[test]
fn translations_are_libkdumpfiles() {
    let (memory, walker) = (x86_64_tables(), walker());
    let answers = include_str!("../testdata/x86_64.translations.tsv");
    assert_eq!(agree(&walker.into(), &memory, answers), (151, 10));
    for line in answers.lines() {
        let virt = VirtAddr::new(hex(line.split('\t').next().unwrap()));
        let any = AnyWalker::from(walker).translate(&memory, virt);
        match walker.translate(&memory, virt) {
            Err(fault) => assert_eq!(any, Err(fault)),
            Ok(mapping) => {
                let any = any.unwrap();
                assert_eq!((any.phys, any.shift), (mapping.phys, mapping.shift));
                assert_eq!(any.flags, AnyFlags::X86_64(mapping.flags));
            }
        }
    }
}

/// Two levels, with pages of 4 MiB above 4 GiB.
#[test]
fn translations_of_32_bit_x86_are_qemus() {
    let root = PhysAddr::new(0x10_0000);
    let entries = include_str!("../testdata/x86.entries.tsv");
    let memory = tables_of(entries, |entry| u32::try_from(entry).unwrap().to_le_bytes());
    let answers = include_str!("../testdata/x86.translations.tsv");
    let walker = Walker::new(X86::new(), root);
    assert_eq!(agree(&walker.into(), &memory, answers), (215, 85));

    let memory = tables(include_str!("../testdata/x86_pae.entries.tsv"));
    let answers = include_str!("../testdata/x86_pae.translations.tsv");
    let walker = Walker::new(X86Pae::new(), root);
    assert_eq!(agree(&walker.into(), &memory, answers), (217, 83));
}

/// LPA2: five levels, whose root has 16 entries.
#[test]
fn translations_of_aarch64_are_qemus() {
    let memory = tables(include_str!("../testdata/aarch64.entries.tsv"));
    let mode = AArch64::from_tcr(0x0950_01f6_b54c_350c, Half::Upper).unwrap();
    let walker = Walker::new(mode, mode.root_of(0x0002_0000_41f1_6001));
    let answers = include_str!("../testdata/aarch64.translations.tsv");
    assert_eq!(agree(&walker.into(), &memory, answers), (278, 61));

    let banner = VirtAddr::new(0xffff_9a3d_2b07_a278);
    let mapping = AnyWalker::from(walker).translate(&memory, banner).unwrap();
    assert_eq!(mapping.shift, 21);
    assert_eq!(
        mapping.flags.to_string(),
        "RDONLY PXN UXN AF 0x80000000000000"
    );
    let user = walker.translate(&memory, VirtAddr::new(0x40_0000));
    assert_eq!(user.unwrap_err().kind, FaultKind::NonCanonical);
}

/// Granules of 64 KiB with FEAT_LVA and FEAT_LPA: the kernel, by a page of 512 MiB too, and a process.
#[test]
fn translations_of_aarch64_with_64_kib_granules_are_qemus() {
    let memory = tables(include_str!("../testdata/aarch64_64k.entries.tsv"));
    let walker = |half, ttbr| {
        let mode = AArch64::from_tcr(0x0040_0036_f54c_750c, half).unwrap();
        assert_eq!((mode.granule(), mode.va_bits()), (Granule::K64, 52));
        assert_eq!(mode.output_size(), Output::Bits52);
        Walker::new(mode, mode.root_of(ttbr))
    };
    let kernel = walker(Half::Upper, 0x0001_0000_404d_0000);
    let answers = include_str!("../testdata/aarch64_64k.translations.tsv");
    assert_eq!(agree(&kernel.into(), &memory, answers), (270, 44));
    let process = walker(Half::Lower, 0x40a0_0000);
    let answers = include_str!("../testdata/aarch64_64k_lower.translations.tsv");
    assert_eq!(agree(&process.into(), &memory, answers), (87, 35));

    let direct = VirtAddr::new(0xfff0_0000_2000_0000);
    let mapping = kernel.translate(&memory, direct).unwrap();
    assert_eq!(
        (mapping.shift, mapping.phys),
        (29, PhysAddr::new(0x6000_0000))
    );
}

/// Sv48; `satp` of the first CPU.
#[test]
fn translations_of_riscv64_are_qemus() {
    let memory = tables(include_str!("../testdata/riscv64.entries.tsv"));
    let walker = RiscV64::from_satp(0x9013_e000_0008_38b7).unwrap();
    let answers = include_str!("../testdata/riscv64.translations.tsv");
    assert_eq!(agree(&walker.into(), &memory, answers), (294, 44));

    let banner = VirtAddr::new(0xffff_ffff_8114_8b88);
    let mapping = AnyWalker::from(walker).translate(&memory, banner).unwrap();
    assert_eq!(
        (mapping.shift, mapping.phys),
        (21, PhysAddr::new(0x8134_8b88))
    );
    assert_eq!(mapping.flags.to_string(), "R G A D");
}

/// The first entry of the process table.
#[test]
fn translations_of_ppc64_are_qemus() {
    let entries = include_str!("../testdata/ppc64.entries.tsv");
    let memory = tables_of(entries, u64::to_be_bytes);
    let mode = Ppc64::radix_64k();
    let walker = mode
        .from_process_table_entry(0x4000_0000_0283_00ad)
        .unwrap();
    let answers = include_str!("../testdata/ppc64.translations.tsv");
    assert_eq!(agree(&walker.into(), &memory, answers), (210, 82));

    let text = VirtAddr::new(0xc000_0000_00c3_ff13);
    let mapping = AnyWalker::from(walker).translate(&memory, text).unwrap();
    assert_eq!(
        (mapping.shift, mapping.phys),
        (21, PhysAddr::new(0xc3_ff13))
    );
    assert_eq!(mapping.flags.to_string(), "PRIV R X REF CHG");
}

/// Control register 13 of the first CPU.
#[test]
fn translations_of_s390x_are_qemus() {
    let entries = include_str!("../testdata/s390x.entries.tsv");
    let memory = tables_of(entries, u64::to_be_bytes);
    let walker = S390x::from_asce(0x0204_0007).unwrap();
    let answers = include_str!("../testdata/s390x.translations.tsv");
    assert_eq!(agree(&walker.into(), &memory, answers), (206, 60));

    let rodata = VirtAddr::new(0x3ff_ff5a_4ff1);
    let mapping = AnyWalker::from(walker).translate(&memory, rodata).unwrap();
    assert_eq!(
        (mapping.shift, mapping.phys),
        (12, PhysAddr::new(0x16a_4ff1))
    );
    assert_eq!(mapping.flags.to_string(), "P IEP 0x1d");
}

#[test]
fn the_way_to_linux_banner() {
    let (memory, banner) = (x86_64_tables(), VirtAddr::new(0xffff_ffff_a791_ffe0));
    let entries: Result<Vec<_>, _> = walker().walk(&memory, banner).collect();
    let shown: Vec<_> = entries
        .unwrap()
        .into_iter()
        .map(|entry| (entry.level.name(), entry.at.as_u64(), entry.raw, entry.step))
        .collect();
    let used = Flags::RW | Flags::A | Flags::D;
    let table = |at, flags| Step::Table {
        at: PhysAddr::new(at),
        flags,
    };
    let page = Step::Leaf {
        base: PhysAddr::new(0x1060_0000),
        shift: 21,
        flags: Flags::A | Flags::D | Flags::G | Flags::NX,
    };
    assert_eq!(
        shown,
        [
            (
                "pgd",
                0x1101_0ff8,
                0x1101_5067,
                table(0x1101_5000, used | Flags::US)
            ),
            ("pud", 0x1101_5ff0, 0x1101_6063, table(0x1101_6000, used)),
            ("pmd", 0x1101_69e0, 0x8000_0000_1060_01e1, page),
        ]
    );
    let any: Vec<_> = AnyWalker::from(walker())
        .walk(&memory, banner)
        .map(Result::unwrap)
        .collect();
    assert_eq!(any.len(), 3);
    assert_eq!(any[2].raw, 0x8000_0000_1060_01e1);
    assert!(matches!(
        any[2].step,
        Step::Leaf { flags: AnyFlags::X86_64(flags), shift: 21, .. } if flags.to_string() == "NX G D A"
    ));

    // Not writable although the tables above it are.
    let mapping = walker().translate(&memory, banner).unwrap();
    assert_eq!(mapping.flags.to_string(), "NX G D A");
    assert_eq!(mapping.phys, PhysAddr::new(0x1071_ffe0));
}

#[test]
fn the_kernel_half_lists_what_is_here_and_says_what_is_not() {
    let memory = x86_64_tables();
    let upper = VirtAddr::new(0xffff_8000_0000_0000)..=VirtAddr::new(u64::MAX);
    let any = AnyWalker::from(walker());
    let alike = walker()
        .extents(&memory, upper.clone())
        .zip(any.extents(&memory, upper.clone()));
    for (one, other) in alike {
        match (one, other) {
            (Ok(one), Ok(other)) => {
                assert_eq!(
                    (one.virt, one.phys, one.size),
                    (other.virt, other.phys, other.size)
                );
                assert_eq!(AnyFlags::X86_64(one.flags), other.flags);
            }
            (one, other) => assert_eq!(one.unwrap_err(), other.unwrap_err()),
        }
    }

    let (mut sizes, mut missing) = ([0_u64; 3], 0);
    for item in walker().extents(&memory, upper) {
        match item {
            Ok(extent) => {
                sizes[usize::from((extent.shift - 12) / 9)] += extent.size;
                for (at, offset) in [(extent.virt, 0), (extent.virt, extent.size - 1)] {
                    let mapping = walker().translate(&memory, at.checked_add(offset).unwrap());
                    let mapping = mapping.unwrap();
                    assert_eq!(mapping.phys, extent.phys.checked_add(offset).unwrap());
                    assert_eq!((mapping.shift, mapping.flags), (extent.shift, extent.flags));
                }
            }
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Missing(Absence::NotRam));
                assert_eq!(walker().translate(&memory, fault.virt), Err(fault));
                missing += 1;
            }
        }
    }
    assert_eq!((sizes, missing), ([299 << 12, 15 << 21, 0], 75));
}

#[test]
fn a_table_that_was_not_kept_is_named() {
    // The direct map: its tables are not among the ten.
    let fault = walker()
        .translate(&x86_64_tables(), VirtAddr::new(0xffff_8dfc_0000_0000))
        .unwrap_err();
    assert_eq!(fault.level, Level { number: 3, of: 4 });
    assert_eq!(
        fault.to_string(),
        "virtual address 0xffff8dfc00000000: pud at 0x11e01f80 cannot be read: not RAM"
    );
}
