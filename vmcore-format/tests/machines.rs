//! Both classes, both byte orders, extended numbering: opened as dumps.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{fs, path::Path};

use elf_format::{Class, Encoding, Endian, Machine, Segment, SegmentFlags, SegmentType, Writer};
use physmem::{Absence, PageShift, PhysAddr, PhysMemory, Width};
use vmcore_format::{Dump, dump::Counts, kernel};

fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../elf-format/testdata");
    fs::read(folder.join(name)).unwrap()
}

/// Cores that programs left behind on eleven machines, each with a pc of its own.
#[test]
fn registers_of_every_machine() {
    for (name, class, endian, pc) in [
        ("x86_64", Class::Elf64, Endian::Little, "rip"),
        ("i386", Class::Elf32, Endian::Little, "eip"),
        ("arm64", Class::Elf64, Endian::Little, "pc"),
        ("arm", Class::Elf32, Endian::Little, "pc"),
        ("loongarch64", Class::Elf64, Endian::Little, "pc"),
        ("mips", Class::Elf32, Endian::Big, "pc"),
        ("mips64", Class::Elf64, Endian::Big, "pc"),
        ("ppc", Class::Elf32, Endian::Big, "pc"),
        ("ppc64le", Class::Elf64, Endian::Little, "pc"),
        ("ppc64", Class::Elf64, Endian::Big, "pc"),
        ("s390x", Class::Elf64, Endian::Big, "pswa"),
    ] {
        let file = sample(&format!("cores/{name}"));
        let dump = Dump::open(&file[..]).unwrap();
        assert_eq!(dump.encoding(), Encoding { class, endian }, "{name}");
        let cpu = dump.cpus().next().unwrap().unwrap();
        let pc = cpu
            .status
            .register(pc)
            .unwrap_or_else(|| panic!("{name} has no {pc}"));
        assert_ne!(pc, 0, "{name}");
        let width = match class {
            Class::Elf32 => Width::U32,
            Class::Elf64 => Width::U64,
        };
        assert_eq!(kernel::word_width(&dump), width, "{name}");
        // A program's core tells no physical addresses: 0 for all of its memory.
        assert_eq!(dump.byte_counts(), Counts::default(), "{name}");
    }
}

/// QEMU's dump of an i386 machine above 4 GiB: ELF64, EM_386, and here cut behind its first page.
#[test]
fn a_qemu_dump_of_a_pae_machine() {
    let file = sample("qemu/i386-pae");
    let dump = Dump::open(&file[..]).unwrap();
    assert_eq!(
        (dump.machine(), dump.encoding().class),
        (Machine::I386, Class::Elf64)
    );
    assert_eq!(
        dump.cpus()
            .map(|cpu| cpu.unwrap().index)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(dump.page_size(), Ok(PageShift::SIZE_4K));
    assert_eq!(kernel::word_width(&dump), Width::U32);
    assert!(dump.vmcoreinfo().unwrap().is_none());
    let described: u64 = dump.ranges().map(|(range, _)| range.size()).sum();
    assert_eq!(described, 0x1000);
}

/// Memory through ELF32 and big-endian headers.
#[test]
fn memory_in_both_classes_and_orders() {
    for class in [Class::Elf32, Class::Elf64] {
        for endian in [Endian::Little, Endian::Big] {
            let load = |offset| Segment {
                kind: SegmentType::LOAD,
                flags: SegmentFlags::READ,
                offset,
                vaddr: 0xc000_1000,
                paddr: 0x1000,
                filesz: 8,
                memsz: 16,
                align: 0,
            };
            let encoding = Encoding { class, endian };
            let core =
                |offset| Writer::core(encoding, Machine::PPC, &[], [load(offset)].into_iter());
            let offset = core(0).emitted_len() as u64;
            let mut file = core(offset).to_vec().unwrap();
            file.extend(1..=8);
            let dump = Dump::open(&file[..]).unwrap();
            let (memory, mut bytes) = (dump.reader(), [0; 8]);
            memory.read(PhysAddr::new(0x1000), &mut bytes).unwrap();
            assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
            let beyond = memory.read(PhysAddr::new(0x1008), &mut bytes).unwrap_err();
            assert_eq!(beyond.why, Absence::Excluded);
        }
    }
}

#[test]
fn seventy_thousand_segments() {
    const COUNT: u64 = 70_000;
    let load = |start: u64| {
        move |index: u64| Segment {
            kind: SegmentType::LOAD,
            flags: SegmentFlags::READ,
            // Backwards, so that no two pieces join.
            offset: start + (COUNT - 1 - index) * 8,
            vaddr: 0,
            paddr: (index + 1) * 8,
            filesz: 8,
            memsz: 8,
            align: 0,
        }
    };
    let encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };
    let loads = |start| (0..COUNT as u32).map(move |index| load(start)(index.into()));
    let start = Writer::core(encoding, Machine::X86_64, &[], loads(0)).emitted_len();
    let mut file = Writer::core(encoding, Machine::X86_64, &[], loads(start as u64))
        .to_vec()
        .unwrap();
    file.extend((0..COUNT).rev().flat_map(u64::to_le_bytes));

    let dump = Dump::open(&file[..]).unwrap();
    assert_eq!(dump.segments().len(), 70_000);
    assert_eq!(dump.ranges().count(), 1);
    assert_eq!(dump.elf().unwrap().pieces().count(), 70_000);
    let memory = dump.reader();
    for index in [0, 1, 511, 65_534, 65_535, COUNT - 1] {
        let mut word = [0; 8];
        memory
            .read(PhysAddr::new((index + 1) * 8), &mut word)
            .unwrap();
        assert_eq!(u64::from_le_bytes(word), index);
    }
    assert!(
        memory
            .read(PhysAddr::new((COUNT + 1) * 8), &mut [0])
            .is_err()
    );
}
