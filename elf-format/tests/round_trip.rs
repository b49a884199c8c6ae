//! What is written is read back: by this crate, and where numbers get large by `object` too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use elf_format::{
    Class, CpuState, Elf, Encoding, Endian, FileType, Header, Ident, Machine, NoteType, OsAbi,
    Section, SectionFlags, SectionType, Segment, SegmentFlags, SegmentType, Writer, note,
    qemu_cpu::CpuSegment,
};
use object::read::elf::ProgramHeader as _;
use proptest::prelude::*;

fn encoding() -> impl Strategy<Value = Encoding> {
    let class = prop_oneof![Just(Class::Elf32), Just(Class::Elf64)];
    let endian = prop_oneof![Just(Endian::Little), Just(Endian::Big)];
    (class, endian).prop_map(|(class, endian)| Encoding { class, endian })
}

/// A value that fits the class.
fn word(class: Class) -> BoxedStrategy<u64> {
    match class {
        Class::Elf32 => any::<u32>().prop_map(u64::from).boxed(),
        Class::Elf64 => any::<u64>().boxed(),
    }
}

fn header(encoding: Encoding) -> impl Strategy<Value = Header> {
    let words = [(); 3].map(|()| word(encoding.class));
    (
        any::<(u8, u8, [u8; 7])>(),
        any::<[u16; 8]>(),
        any::<[u32; 2]>(),
        words,
    )
        .prop_map(
            move |((os_abi, abi_version, padding), halves, ints, words)| Header {
                ident: Ident {
                    encoding,
                    os_abi: OsAbi(os_abi),
                    abi_version,
                    padding,
                },
                file_type: FileType(halves[0]),
                machine: Machine(halves[1]),
                version: ints[0],
                entry: words[0],
                phoff: words[1],
                shoff: words[2],
                flags: ints[1],
                ehsize: halves[2],
                phentsize: halves[3],
                phnum: halves[4],
                shentsize: halves[5],
                shnum: halves[6],
                shstrndx: halves[7],
            },
        )
}

fn segment(class: Class) -> impl Strategy<Value = Segment> {
    (any::<[u32; 2]>(), [(); 6].map(|()| word(class))).prop_map(|(ints, words)| Segment {
        kind: SegmentType(ints[0]),
        flags: SegmentFlags::from_bits_retain(ints[1]),
        offset: words[0],
        vaddr: words[1],
        paddr: words[2],
        filesz: words[3],
        memsz: words[4],
        align: words[5],
    })
}

fn section(class: Class) -> impl Strategy<Value = Section> {
    (any::<[u32; 4]>(), [(); 6].map(|()| word(class))).prop_map(|(ints, words)| Section {
        name: ints[0],
        kind: SectionType(ints[1]),
        flags: SectionFlags::from_bits_retain(words[0]),
        addr: words[1],
        offset: words[2],
        size: words[3],
        link: ints[2],
        info: ints[3],
        addralign: words[4],
        entsize: words[5],
    })
}

/// Names do not end in a NUL, since those at the end are not kept apart.
fn notes() -> impl Strategy<Value = Vec<(Vec<u8>, u32, Vec<u8>)>> {
    let name = prop::collection::vec(any::<u8>(), 0..20).prop_map(|mut name| {
        name.truncate(
            name.iter()
                .rposition(|&byte| byte != 0)
                .map_or(0, |last| last + 1),
        );
        name
    });
    prop::collection::vec(
        (
            name,
            any::<u32>(),
            prop::collection::vec(any::<u8>(), 0..50),
        ),
        0..8,
    )
}

fn builders(notes: &[(Vec<u8>, u32, Vec<u8>)]) -> Vec<note::Builder<'_>> {
    let notes = notes.iter();
    notes
        .map(|(name, kind, desc)| note::Builder {
            name,
            kind: NoteType(*kind),
            desc,
        })
        .collect()
}

proptest! {
    #[test]
    fn headers_are_parsed_as_emitted(header in encoding().prop_flat_map(header)) {
        let mut bytes = [0; 64];
        let size = header.emit(&mut bytes).unwrap();
        prop_assert_eq!(Header::parse(&bytes[..size]), Ok(header));
    }

    #[test]
    fn entries_are_parsed_as_emitted(
        (encoding, segment, section) in encoding().prop_flat_map(|encoding| {
            (Just(encoding), segment(encoding.class), section(encoding.class))
        })
    ) {
        let mut bytes = [0; 64];
        let size = segment.emit(encoding, &mut bytes).unwrap();
        prop_assert_eq!(Segment::parse(&bytes[..size], encoding, 0), Ok(segment));
        let size = section.emit(encoding, &mut bytes).unwrap();
        prop_assert_eq!(Section::parse(&bytes[..size], encoding, 0), Ok(section));
    }

    #[test]
    fn cores_are_parsed_as_emitted(
        (encoding, segments) in encoding().prop_flat_map(|encoding| {
            (Just(encoding), prop::collection::vec(segment(encoding.class), 0..20))
        }),
        notes in notes(),
        machine: u16,
        entry: u32,
        flags: u32,
    ) {
        let builders = builders(&notes);
        let mut writer =
            Writer::core(encoding, Machine(machine), &builders, segments.iter().copied());
        (writer.entry, writer.flags) = (entry.into(), flags);
        let mut bytes = vec![0xff; writer.emitted_len()];
        prop_assert_eq!(writer.emit(&mut bytes), Ok(bytes.len()));

        let elf = Elf::parse(&bytes).unwrap();
        let header = elf.header();
        prop_assert_eq!(header.file_type, FileType::CORE);
        prop_assert_eq!((header.machine, header.flags), (Machine(machine), flags));
        prop_assert_eq!(header.entry, u64::from(entry));
        let mut found = elf.segments();
        if !notes.is_empty() {
            let segment = found.next().unwrap();
            prop_assert_eq!(segment.kind, SegmentType::NOTE);
            let parsed = elf.segment_notes(&segment).unwrap().map(|note| note.unwrap().into());
            let mut parsed: Vec<note::Builder<'_>> = parsed.collect();
            // All-zero headers at the end are the end.
            let holes = builders.iter().rev().take_while(|note| **note == note::Builder::HOLE);
            parsed.extend(holes);
            prop_assert_eq!(parsed, builders);
        }
        prop_assert!(found.eq(segments));
    }

    #[test]
    fn what_qemu_adds_is_parsed_as_emitted(
        general: [u64; 18],
        segments: [(u32, u32, u32, u64); 10],
        control: [u64; 5],
        kernel_gs_base: Option<u64>,
        rest in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        // Longer, it would be a `kernel_gs_base`.
        let shown = if kernel_gs_base.is_some() { rest.len() } else { rest.len() % 8 };
        let segment = |(selector, limit, flags, base)| CpuSegment { selector, limit, flags, base };
        let segments = segments.map(segment);
        let rest = &rest[..shown];
        let state = CpuState { general, segments, control, kernel_gs_base, rest };
        let mut bytes = [0xff; 512];
        let size = state.emit(&mut bytes).unwrap();
        prop_assert_eq!(size, state.emitted_len());
        prop_assert_eq!(CpuState::parse(&bytes[..size], 0), Ok(state));
    }
}

fn range(at: u64) -> Segment {
    Segment {
        kind: SegmentType::LOAD,
        flags: SegmentFlags::all(),
        offset: at * 7,
        vaddr: at << 12,
        paddr: at << 12,
        filesz: 0,
        memsz: 0x1000,
        align: 0x1000,
    }
}

#[test]
fn seventy_thousand_program_headers() {
    let note = note::Builder {
        name: b"CORE",
        kind: NoteType::PRSTATUS,
        desc: b"registers",
    };
    for class in [Class::Elf32, Class::Elf64] {
        for endian in [Endian::Little, Endian::Big] {
            let encoding = Encoding { class, endian };
            let notes = [note];
            let segments = (0..69_999_u32).map(|at| range(at.into()));
            let writer = Writer::core(encoding, Machine::S390, &notes, segments.clone());
            let mut bytes = vec![0; writer.emitted_len()];
            writer.emit(&mut bytes).unwrap();

            let elf = Elf::parse(&bytes).unwrap();
            assert_eq!(elf.header().phnum, 0xffff);
            assert_eq!(elf.segments().len(), 70_000);
            assert!(elf.segments().skip(1).eq(segments.clone()));
            assert_eq!(elf.sections().unwrap().len(), 1);
            let first = elf.segments().next().unwrap();
            let found: Vec<_> = elf
                .segment_notes(&first)
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(
                found
                    .into_iter()
                    .map(note::Builder::from)
                    .collect::<Vec<_>>(),
                [note]
            );

            match class {
                Class::Elf32 => object_agrees::<object::elf::FileHeader32<_>>(&bytes, segments),
                Class::Elf64 => object_agrees::<object::elf::FileHeader64<_>>(&bytes, segments),
            }
        }
    }
}

fn object_agrees<H>(bytes: &[u8], expected: impl Iterator<Item = Segment>)
where
    H: object::read::elf::FileHeader<Endian = object::Endianness>,
{
    let header = H::parse(bytes).unwrap();
    let endian = header.endian().unwrap();
    let segments = header.program_headers(endian, bytes).unwrap();
    assert_eq!(segments.len(), 70_000);
    for (found, expected) in segments[1..].iter().zip(expected) {
        assert_eq!(found.p_offset(endian).into(), expected.offset);
        assert_eq!(found.p_paddr(endian).into(), expected.paddr);
        assert_eq!(found.p_memsz(endian).into(), expected.memsz);
    }
    let mut notes = segments[0].notes(endian, bytes).unwrap().unwrap();
    let note = notes.next().unwrap().unwrap();
    assert_eq!(
        (note.name(), note.desc()),
        (&b"CORE"[..], &b"registers"[..])
    );
    assert!(notes.next().unwrap().is_none());
}
