//! Cores that are built are opened again: memory, registers and notes are those that went in.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use elf_format::{
    Class, CpuState, Encoding, Endian, Machine, NoteType, SegmentFlags, SegmentType, note,
    prstatus::{self, Layout, Registers},
    qemu_cpu,
};
use physmem::{Absence, PageShift, PhysAddr, PhysMemory, PhysRange, VirtAddr};
use proptest::prelude::*;
use vmcore_format::{
    Dump, Error,
    build::{
        Piece,
        core::{Content, Core, Part, clip},
    },
};

const ELF64: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::try_new(PhysAddr::new(start), PhysAddr::new(end)).unwrap()
}

/// The memory of every guest here.
fn byte(at: u64) -> u8 {
    (at ^ (at >> 8) ^ 0x5a) as u8
}

fn bytes(range: PhysRange) -> Vec<u8> {
    let addresses = range.start().as_u64()..range.end().as_u64();
    addresses.map(byte).collect()
}

/// The whole file, memory copied through a buffer of `buffer` bytes.
fn file<P>(core: &Core<'_, P>, buffer: usize) -> Vec<u8>
where
    P: ExactSizeIterator<Item = Part> + Clone,
{
    let mut file = core.to_vec().unwrap();
    assert_eq!(file.len(), core.emitted_len());
    for chunk in core
        .pieces()
        .unwrap()
        .flat_map(|piece| piece.chunks(buffer))
    {
        assert!(chunk.range.size() <= buffer.max(1) as u64);
        let offset = chunk.offset as usize;
        assert!(file.len() <= offset);
        file.resize(offset, 0);
        file.extend(bytes(chunk.range));
    }
    assert_eq!(file.len() as u64, core.file_len().unwrap());
    file
}

fn encoding() -> impl Strategy<Value = Encoding> {
    let class = prop_oneof![Just(Class::Elf32), Just(Class::Elf64)];
    let endian = prop_oneof![Just(Endian::Little), Just(Endian::Big)];
    (class, endian).prop_map(|(class, endian)| Encoding { class, endian })
}

/// Parts that ascend and are apart, or touch.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let content = prop_oneof![
        3 => Just(Content::Stored),
        1 => Just(Content::Excluded),
        1 => Just(Content::Lost),
    ];
    let size = prop_oneof![1..6000_u64, (1..3_u64).prop_map(|pages| pages << 12)];
    let gap = prop_oneof![
        Just(0),
        0..6000_u64,
        (0..3_u64).prop_map(|pages| pages << 12)
    ];
    let part = (gap, size, content, any::<[u32; 3]>());
    prop::collection::vec(part, 0..12).prop_map(|list| {
        let mut end = 0;
        let parts = list
            .into_iter()
            .map(|(gap, size, content, [virt, flags, align])| {
                let start = end + gap;
                end = start + size;
                Part {
                    range: range(start, end),
                    virt: (virt > 0).then_some(VirtAddr::new(virt.into())),
                    flags: SegmentFlags::from_bits_retain(flags),
                    align: align.into(),
                    content,
                }
            });
        parts.collect()
    })
}

fn absence(content: Content) -> Option<Absence> {
    match content {
        Content::Stored => None,
        Content::Excluded => Some(Absence::Excluded),
        Content::Lost => Some(Absence::Lost),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_read(
        encoding in encoding(),
        parts in parts(),
        shift in 12..=16_u8,
        buffer in 0..5000_usize,
        text: Option<String>,
    ) {
        let page = PageShift::try_new(shift).unwrap();
        let notes: Vec<_> = text.iter().map(|text| note::Builder {
            name: b"VMCOREINFO",
            kind: NoteType(0),
            desc: text.as_bytes(),
        }).collect();
        let core = Core::new(encoding, Machine::PPC, page, &notes, parts.iter().copied());
        let file = file(&core, buffer);

        let dump = Dump::open(&file[..]).unwrap();
        prop_assert_eq!(dump.encoding(), encoding);
        let found: Vec<_> = dump.notes().map(|note| note::Builder::from(note.unwrap())).collect();
        prop_assert_eq!(&found, &notes);
        let loads: Vec<_> = dump.segments().iter().filter(|s| s.kind == SegmentType::LOAD).collect();
        prop_assert_eq!(loads.len(), parts.len());
        for (part, load) in parts.iter().zip(loads) {
            let absence = absence(part.content);
            prop_assert_eq!(Part::of_segment(load, part.range, absence), Some(*part));
            if part.content == Content::Stored {
                prop_assert_eq!((load.offset ^ load.paddr) & (page.bytes() - 1), 0);
            }
        }

        // Every byte, in and between the parts.
        let memory = dump.reader();
        let mut end = PhysAddr::new(0);
        for part in &parts {
            if let Ok(hole) = PhysRange::try_new(end, part.range.start()) {
                let error = memory.read(hole.start(), &mut [0]).unwrap_err();
                prop_assert_eq!(error.why, Absence::Undescribed);
            }
            end = part.range.end();
            let mut read = vec![0; part.range.size() as usize];
            match absence(part.content) {
                None => {
                    memory.read(part.range.start(), &mut read).unwrap();
                    prop_assert_eq!(read, bytes(part.range));
                }
                Some(why) => {
                    for at in [part.range.start(), part.range.last()] {
                        prop_assert_eq!(memory.read(at, &mut [0]).unwrap_err().why, why);
                    }
                }
            }
        }
        let described: u64 = dump.ranges().map(|(range, _)| range.size()).sum();
        prop_assert_eq!(described, parts.iter().map(|part| part.range.size()).sum::<u64>());
    }

    #[test]
    fn clipping_is_intersection(
        parts in parts(),
        edges in prop::collection::btree_set(0..60_000_u64, 0..20),
    ) {
        let edges: Vec<_> = edges.into_iter().collect();
        let ranges: Vec<_> = edges.chunks_exact(2).map(|edge| range(edge[0], edge[1])).collect();
        let clipped: Vec<_> = clip(parts.iter().copied(), &ranges).collect();

        let of = |at: u64| {
            let at = PhysAddr::new(at);
            let wanted = ranges.iter().any(|range| range.contains(at));
            let part = parts.iter().find(|part| part.range.contains(at));
            part.filter(|_| wanted).map(|part| {
                let skipped = at.checked_offset_from(part.range.start()).unwrap();
                let virt = part.virt.map(|virt| virt.as_u64() + skipped);
                (virt, part.flags, part.align, part.content)
            })
        };
        let mut covered = 0;
        for part in &clipped {
            covered += part.range.size();
            let own = (part.virt.map(VirtAddr::as_u64), part.flags, part.align, part.content);
            prop_assert_eq!(of(part.range.start().as_u64()), Some(own));
            let last = of(part.range.last().as_u64()).map(|(_, flags, align, content)| (flags, align, content));
            prop_assert_eq!(last, Some((part.flags, part.align, part.content)));
        }
        let common = parts.iter().flat_map(|part| ranges.iter().filter_map(|range| part.range.intersection(*range)));
        prop_assert_eq!(covered, common.map(|range| range.size()).sum::<u64>());
        prop_assert!(clipped.is_sorted_by(|a, b| a.range.end() <= b.range.start()));
    }

    #[test]
    fn chunks_are_the_piece(offset in 0..1_u64 << 40, start: u32, size in 1..5000_u64, len in 0..6000_usize) {
        let start = u64::from(start);
        let piece = Piece { offset, range: range(start, start + size) };
        let mut next = piece.range.start();
        for chunk in piece.chunks(len) {
            prop_assert_eq!(chunk.range.start(), next);
            let skipped = next.checked_offset_from(piece.range.start()).unwrap();
            prop_assert_eq!(chunk.offset, offset + skipped);
            prop_assert!(chunk.range.size() <= len.max(1) as u64);
            next = chunk.range.end();
        }
        prop_assert_eq!(next, piece.range.end());
    }
}

#[test]
fn registers_of_every_machine_and_what_qemu_adds() {
    for (machine, class, endian) in [
        (Machine::X86_64, Class::Elf64, Endian::Little),
        (Machine::I386, Class::Elf32, Endian::Little),
        (Machine::AARCH64, Class::Elf64, Endian::Little),
        (Machine::ARM, Class::Elf32, Endian::Big),
        (Machine::RISCV, Class::Elf64, Endian::Little),
        (Machine::RISCV, Class::Elf32, Endian::Little),
        (Machine::PPC, Class::Elf32, Endian::Big),
        (Machine::PPC64, Class::Elf64, Endian::Big),
        (Machine::MIPS, Class::Elf32, Endian::Little),
        (Machine::MIPS, Class::Elf64, Endian::Big),
        (Machine::S390, Class::Elf64, Endian::Big),
        (Machine::LOONGARCH, Class::Elf64, Endian::Little),
    ] {
        let layout = Layout::for_machine(machine, class).unwrap();
        let descs: Vec<Vec<u8>> = (0..3)
            .map(|cpu| {
                let mut registers = Registers::new(layout);
                for (value, register) in (1000 * cpu + 1..).zip(layout.registers) {
                    *registers.get_mut(register.name).unwrap() = value;
                }
                let status = prstatus::Builder {
                    layout,
                    endian,
                    pid: cpu as u32 + 1,
                    signal: 0,
                    registers: registers.values(),
                };
                let mut desc = vec![0; status.emitted_len()];
                status.emit(&mut desc).unwrap();
                desc
            })
            .collect();
        let mut state = CpuState::default();
        state.control[3] = 0x1234_5000;
        let mut qemu = vec![0; state.emitted_len()];
        state.emit(&mut qemu).unwrap();

        let statuses = descs.iter().map(|desc| note::Builder {
            name: b"CORE",
            kind: NoteType::PRSTATUS,
            desc,
        });
        let qemu = note::Builder {
            name: qemu_cpu::NOTE_NAME,
            kind: NoteType(0),
            desc: &qemu,
        };
        let notes: Vec<_> = statuses.chain([qemu]).collect();
        let encoding = Encoding { class, endian };
        let parts = [Part::stored(range(0x1000, 0x3000))];
        let core = Core::new(
            encoding,
            machine,
            PageShift::SIZE_4K,
            &notes,
            parts.into_iter(),
        );
        let file = file(&core, 4096);

        let dump = Dump::open(&file[..]).unwrap();
        let cpus: Vec<_> = dump.cpus().map(Result::unwrap).collect();
        assert_eq!(cpus.len(), 3);
        for (cpu, number) in cpus.iter().zip(0..) {
            assert_eq!(
                (cpu.index as u64, cpu.status.pid()),
                (number, number as u32 + 1)
            );
            let values = cpu.status.registers().map(|(_, value)| value);
            let count = layout.registers.len() as u64;
            assert!(
                values.eq(1000 * number + 1..=1000 * number + count),
                "{machine}"
            );
        }
        let last = dump.notes().last().unwrap().unwrap();
        let found = CpuState::parse(last.desc, last.desc_offset).unwrap();
        assert_eq!((found, found.cr3()), (state, 0x1234_5000));
    }
}

#[test]
fn seventy_thousand_parts() {
    let parts = (1..=70_000_u64).map(|at| Part::stored(range(at << 13, (at << 13) + 16)));
    let parts: Vec<_> = parts.collect();
    for class in [Class::Elf32, Class::Elf64] {
        let encoding = Encoding { class, ..ELF64 };
        // Pages of 4 KiB would make it a file of 280 MB, so the parts are not pages.
        let core = Core::new(
            encoding,
            Machine::I386,
            PageShift::SIZE_4K,
            &[],
            parts.iter().copied(),
        );
        let headers = core.to_vec().unwrap();
        assert_eq!(core.pieces().unwrap().count(), 70_000);
        let dump = Dump::open(&headers[..]).unwrap();
        assert_eq!(dump.segments().len(), 70_000);
        // Without its memory the file is a cut one.
        assert!(
            dump.ranges()
                .all(|(_, absence)| absence == Some(Absence::Lost))
        );
        let last = dump.segments().last().unwrap();
        let piece = core.pieces().unwrap().last().unwrap();
        assert_eq!(
            (last.offset, last.paddr),
            (piece.offset, piece.range.start().as_u64())
        );
        assert_eq!(core.file_len(), Ok(piece.offset + 16));
    }
}

#[test]
fn only_memory_that_is_there_is_stored() {
    assert_eq!(Content::of(None), Some(Content::Stored));
    assert_eq!(Content::of(Some(Absence::NotRam)), None);
    assert_eq!(Content::of(Some(Absence::Undescribed)), None);
    assert_eq!(
        Content::of(Some(Absence::Excluded)),
        Some(Content::Excluded)
    );
    let page = range(0x1000, 0x2000);
    assert_eq!(Part::of(page, None), Some(Part::stored(page)));
    assert_eq!(Part::of(page, Some(Absence::NotRam)), None);
    for why in [
        Absence::Lost,
        Absence::Damaged,
        Absence::CodecMissing,
        Absence::Io { errno: 5 },
    ] {
        assert_eq!(Content::of(Some(why)), Some(Content::Lost));
    }
}

#[test]
fn an_address_that_elf32_cannot_say_is_an_error() {
    let elf32 = Encoding {
        class: Class::Elf32,
        ..ELF64
    };
    let parts = [
        Part::stored(range(0x1000, 0x2000)),
        Part::stored(range(1 << 32, (1 << 32) + 1)),
    ];
    let core = Core::new(
        elf32,
        Machine::I386,
        PageShift::SIZE_4K,
        &[],
        parts.into_iter(),
    );
    // Behind the file header and one program header, and 12 bytes into the second.
    let text = "offset 0x60: p_paddr is 0x100000000, allowed: at most 0xffffffff in ELF32";
    assert_eq!(core.to_vec().unwrap_err().to_string(), text);
}

#[test]
fn a_file_longer_than_files_can_be_is_an_error() {
    let all = Part::stored(range(0, 0xffff_ffff_ffff_0000));
    let core = Core::new(
        ELF64,
        Machine::X86_64,
        PageShift::SIZE_4K,
        &[],
        [all, all].into_iter(),
    );
    let expected = Error::Elf(elf_format::Error::Overflow {
        what: "memory in the core",
        offset: 0xffff_ffff_ffff_1000,
    });
    assert_eq!(core.file_len(), Err(expected));
    assert_eq!(core.to_vec(), Err(expected));
    assert_eq!(core.emit(&mut [0; 512]), Err(expected));
    assert_eq!(core.pieces().map(|_| ()), Err(expected));
}

#[test]
fn every_shorter_output_is_truncated() {
    let parts = [Part::stored(range(0x1000, 0x2000))];
    let core = Core::new(
        ELF64,
        Machine::X86_64,
        PageShift::SIZE_4K,
        &[],
        parts.into_iter(),
    );
    let needed = core.emitted_len();
    assert_eq!(needed, 120);
    for len in 0..needed {
        let error = Error::Elf(elf_format::Error::Truncated {
            what: "ELF headers and notes",
            offset: 0,
            needed: needed as u64,
            available: len as u64,
        });
        assert_eq!(core.emit(&mut vec![0; len]), Err(error));
    }
    assert_eq!(core.emit(&mut [0; 128]), Ok(needed));
}
