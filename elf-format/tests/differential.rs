//! The same bytes read by this crate, by `object` and by `elf`: real files, and the same files
//! damaged.
//!
//! Where the three differ, on purpose:
//!
//! - Program headers without an `e_phoff`, and `PN_XNUM` where section header 0 says 0 or does not
//!   exist, are errors here. The others read no segments, or (`elf`) take the file header for
//!   section header 0.
//! - `elf` refuses a file whose section headers are damaged, or an empty table of entries of the
//!   wrong size; here the segments can still be read.
//! - Zeros after the last note are the end here, and empty notes or an error in `object`.
//! - A last note without a descriptor may lack the padding of its name here; `object` refuses it.
//! - `elf` ends silently at a broken note, and refuses an alignment of 0.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use elf::{ElfBytes, endian::AnyEndian, note::Note as ElfNote};
use elf_format::{Class, Elf, Header, Note, Section, Segment, SegmentType, header::PN_XNUM};
use object::{
    Endianness,
    read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _},
};
use proptest::prelude::*;

const SAMPLES: [&[u8]; 14] = [
    include_bytes!("../testdata/programs/x86_64"),
    include_bytes!("../testdata/programs/i386"),
    include_bytes!("../testdata/programs/s390x"),
    include_bytes!("../testdata/cores/x86_64"),
    include_bytes!("../testdata/cores/i386"),
    include_bytes!("../testdata/cores/s390x"),
    include_bytes!("../testdata/cores/arm"),
    include_bytes!("../testdata/cores/arm64"),
    include_bytes!("../testdata/cores/ppc64"),
    include_bytes!("../testdata/cores/ppc64le"),
    include_bytes!("../testdata/cores/loongarch64"),
    include_bytes!("../testdata/qemu/i386-pae"),
    include_bytes!("../testdata/kernel/x86_64-vmcore.head"),
    include_bytes!("../testdata/kernel/ppc64el-vmlinux.head"),
];

type Fields = Vec<u64>;

fn header_fields(header: &Header) -> Fields {
    let halves = [
        header.ehsize,
        header.phentsize,
        header.phnum,
        header.shentsize,
        header.shnum,
    ];
    let mut fields = vec![
        header.file_type.0.into(),
        header.machine.0.into(),
        header.version.into(),
        header.entry,
        header.phoff,
        header.shoff,
        header.flags.into(),
    ];
    fields.extend(halves.map(u64::from));
    fields.push(header.shstrndx.into());
    fields
}

fn segment_fields(segment: &Segment) -> Fields {
    vec![
        segment.kind.0.into(),
        segment.flags.bits().into(),
        segment.offset,
        segment.vaddr,
        segment.paddr,
        segment.filesz,
        segment.memsz,
        segment.align,
    ]
}

fn section_fields(section: &Section) -> Fields {
    vec![
        section.name.into(),
        section.kind.0.into(),
        section.flags.bits(),
        section.addr,
        section.offset,
        section.size,
        section.link.into(),
        section.info.into(),
        section.addralign,
        section.entsize,
    ]
}

/// The first difference of the module's list.
fn segments_are_refused_only_here(header: &Header, bytes: &[u8]) -> bool {
    let first = header.first_section().ok().flatten().and_then(|table| {
        let bytes = bytes.get(usize::try_from(table.offset()).ok()?..)?;
        Section::parse(bytes, header.encoding(), 0).ok()
    });
    let unknown = first.is_none_or(|section| section.info == 0);
    (header.phnum > 0 && header.phoff == 0) || (header.phnum == PN_XNUM && unknown)
}

fn compare(bytes: &[u8]) {
    let object_parses = match Header::parse(bytes).map(|header| header.encoding().class) {
        Ok(Class::Elf32) => compare_object::<object::elf::FileHeader32<Endianness>>(bytes),
        Ok(Class::Elf64) => compare_object::<object::elf::FileHeader64<Endianness>>(bytes),
        Err(_) => {
            assert!(object::elf::FileHeader32::<Endianness>::parse(bytes).is_err());
            assert!(object::elf::FileHeader64::<Endianness>::parse(bytes).is_err());
            false
        }
    };
    let elf_parses = compare_elf(bytes);
    // What `elf` accepts, `object` does, so the comparisons above cover each other.
    assert!(object_parses || !elf_parses);
}

fn compare_object<H: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> bool {
    let header = Header::parse(bytes).unwrap();
    let theirs = H::parse(bytes).unwrap();
    let endian = theirs.endian().unwrap();
    assert_eq!(
        header_fields(&header),
        [
            theirs.e_type(endian).0.into(),
            theirs.e_machine(endian).0.into(),
            theirs.e_version(endian).into(),
            theirs.e_entry(endian).into(),
            theirs.e_phoff(endian).into(),
            theirs.e_shoff(endian).into(),
            theirs.e_flags(endian).0.into(),
            theirs.e_ehsize(endian).into(),
            theirs.e_phentsize(endian).into(),
            theirs.e_phnum(endian).into(),
            theirs.e_shentsize(endian).into(),
            theirs.e_shnum(endian).into(),
            theirs.e_shstrndx(endian).0.into(),
        ]
    );
    let segments = theirs.program_headers(endian, bytes);
    let elf = match Elf::parse(bytes) {
        Ok(elf) => elf,
        Err(error) => {
            assert!(
                segments.is_err() || segments_are_refused_only_here(&header, bytes),
                "object reads on: {error}"
            );
            return true;
        }
    };
    let segments = segments.unwrap();
    assert_eq!(elf.segments().len(), segments.len());
    for (ours, theirs) in elf.segments().zip(segments) {
        let fields = [
            theirs.p_type(endian).0.into(),
            theirs.p_flags(endian).0.into(),
            theirs.p_offset(endian).into(),
            theirs.p_vaddr(endian).into(),
            theirs.p_paddr(endian).into(),
            theirs.p_filesz(endian).into(),
            theirs.p_memsz(endian).into(),
            theirs.p_align(endian).into(),
        ];
        assert_eq!(segment_fields(&ours), fields);
        if ours.kind != SegmentType::NOTE {
            continue;
        }
        match (elf.segment_notes(&ours), theirs.notes(endian, bytes)) {
            (Ok(ours_notes), Ok(Some(notes))) => {
                let data = elf.segment_data(&ours).unwrap();
                compare_notes(ours_notes, notes, endian, data, &ours);
            }
            (Err(_), Err(_)) => (),
            (ours, _) => panic!("object differs from {ours:?}"),
        }
    }
    match (elf.sections(), theirs.section_headers(endian, bytes)) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.zip(theirs) {
                let fields = [
                    theirs.sh_name(endian).into(),
                    theirs.sh_type(endian).0.into(),
                    theirs.sh_flags(endian).0,
                    theirs.sh_addr(endian).into(),
                    theirs.sh_offset(endian).into(),
                    theirs.sh_size(endian).into(),
                    theirs.sh_link(endian).into(),
                    theirs.sh_info(endian).into(),
                    theirs.sh_addralign(endian).into(),
                    theirs.sh_entsize(endian).into(),
                ];
                assert_eq!(section_fields(&ours), fields);
            }
        }
        (Err(_), Err(_)) => (),
        (ours, theirs) => panic!("object: {:?}, here: {ours:?}", theirs.map(<[_]>::len)),
    }
    true
}

fn compare_notes<'a, H: FileHeader<Endian = Endianness>>(
    ours: elf_format::Notes<'a>,
    mut theirs: object::read::elf::NoteIterator<'a, H>,
    endian: Endianness,
    data: &[u8],
    segment: &Segment,
) {
    let mut last: Option<Note<'_>> = None;
    for note in ours {
        match (note, theirs.next()) {
            (Ok(note), Ok(Some(other))) => {
                assert_eq!(note.name, other.name());
                assert_eq!(note.kind.0, other.n_type(endian).0);
                assert_eq!(note.desc, other.desc());
                last = Some(note);
            }
            (Ok(note), Err(_)) => {
                assert!(note.desc.is_empty(), "{note:?}");
                last = Some(note);
            }
            (Err(_), Err(_)) => return,
            (note, _) => panic!("object differs from {note:?}"),
        }
    }
    let align = if segment.align == 8 { 8 } else { 4 };
    let end = last.map_or(0, |note| {
        note.desc_offset - segment.offset + note.desc.len() as u64
    });
    let end = end.next_multiple_of(align);
    let rest = data.get(end as usize..).unwrap_or_default();
    assert!(rest.iter().all(|&byte| byte == 0));
}

fn compare_elf(bytes: &[u8]) -> bool {
    let Ok(theirs) = ElfBytes::<AnyEndian>::minimal_parse(bytes) else {
        return false;
    };
    let header = Header::parse(bytes).unwrap();
    let ehdr = theirs.ehdr;
    assert_eq!(
        header_fields(&header),
        [
            ehdr.e_type.into(),
            ehdr.e_machine.into(),
            ehdr.version.into(),
            ehdr.e_entry,
            ehdr.e_phoff,
            ehdr.e_shoff,
            ehdr.e_flags.into(),
            ehdr.e_ehsize.into(),
            ehdr.e_phentsize.into(),
            ehdr.e_phnum.into(),
            ehdr.e_shentsize.into(),
            ehdr.e_shnum.into(),
            ehdr.e_shstrndx.into(),
        ]
    );
    let elf = match Elf::parse(bytes) {
        Ok(elf) => elf,
        Err(error) => {
            assert!(
                segments_are_refused_only_here(&header, bytes),
                "elf reads on: {error}"
            );
            return true;
        }
    };
    let segments: Vec<_> = theirs.segments().into_iter().flatten().collect();
    assert_eq!(elf.segments().len(), segments.len());
    for (ours, theirs_segment) in elf.segments().zip(segments) {
        let fields = [
            theirs_segment.p_type.into(),
            theirs_segment.p_flags.into(),
            theirs_segment.p_offset,
            theirs_segment.p_vaddr,
            theirs_segment.p_paddr,
            theirs_segment.p_filesz,
            theirs_segment.p_memsz,
            theirs_segment.p_align,
        ];
        assert_eq!(segment_fields(&ours), fields);
        if ours.kind != SegmentType::NOTE || ![4, 8].contains(&ours.align) {
            continue;
        }
        let (Ok(ours), Ok(notes)) = (
            elf.segment_notes(&ours),
            theirs.segment_data_as_notes(&theirs_segment),
        ) else {
            continue;
        };
        for (ours, theirs) in ours.map_while(Result::ok).zip(notes) {
            match theirs {
                ElfNote::GnuAbiTag(_) => assert_eq!(ours.name, b"GNU"),
                ElfNote::GnuBuildId(id) => assert_eq!(ours.desc, id.0),
                ElfNote::Unknown(note) => {
                    assert_eq!(u64::from(ours.kind.0), note.n_type);
                    assert_eq!(ours.desc, note.desc);
                }
            }
        }
    }
    let sections: Vec<_> = theirs.section_headers().into_iter().flatten().collect();
    let ours: Vec<_> = elf.sections().unwrap().collect();
    assert_eq!(ours.len(), sections.len());
    for (ours, theirs) in ours.iter().zip(sections) {
        let fields = [
            theirs.sh_name.into(),
            theirs.sh_type.into(),
            theirs.sh_flags,
            theirs.sh_addr,
            theirs.sh_offset,
            theirs.sh_size,
            theirs.sh_link.into(),
            theirs.sh_info.into(),
            theirs.sh_addralign,
            theirs.sh_entsize,
        ];
        assert_eq!(section_fields(ours), fields);
    }
    true
}

#[test]
fn real_files() {
    for bytes in SAMPLES {
        Elf::parse(bytes).unwrap();
        compare(bytes);
    }
    let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let elf = Elf::parse(&this).unwrap();
    assert!(elf.segments().len() > 5 && elf.sections().unwrap().len() > 20);
    compare(&this);
    let names = elf.section_names().unwrap();
    let mut sections = elf.sections().unwrap();
    assert!(sections.any(|section| names.get(section.name) == Ok(b".text")));
}

#[test]
fn ends_of_notes() {
    type Theirs<'a> = object::read::elf::NoteIterator<'a, object::elf::FileHeader64<Endianness>>;
    let ours = |bytes| {
        let notes = elf_format::Notes::new(bytes, elf_format::Endian::Little, 4, 0).unwrap();
        notes.map(|note| note.is_ok()).collect::<Vec<_>>()
    };
    let theirs = |bytes| {
        Theirs::new(Endianness::Little, 4, bytes)
            .unwrap()
            .map(|note| note.is_ok())
            .collect::<Vec<_>>()
    };
    let cut = b"\x05\0\0\0\0\0\0\0\x01\0\0\0CORE\0";
    assert_eq!(
        (ours(&cut[..]), theirs(&cut[..])),
        (vec![true], vec![false])
    );
    let padded = &[&cut[..], &[0; 3 + 12 + 4]].concat();
    assert_eq!(
        (ours(padded), theirs(padded)),
        (vec![true], vec![true, true, false])
    );
}

/// Positions where damage matters, and values that do it.
fn patches() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let position = prop_oneof![
        4 => 0..64_usize,
        3 => 64..256_usize,
        2 => 256..1500_usize,
        1 => 0..0x2000_usize
    ];
    let value = prop_oneof![
        Just(0),
        Just(1),
        Just(4),
        Just(8),
        Just(0x40),
        Just(0xff),
        any::<u8>()
    ];
    prop::collection::vec((position, value), 1..5)
}

/// Turns some bytes of the file into the section header 0 that says how many segments there are.
fn extend_numbering(bytes: &mut [u8], count: u32) {
    let mut header = Header::parse(bytes).unwrap();
    let encoding = header.encoding();
    (header.phnum, header.shoff) = (PN_XNUM, 0x50);
    header.shentsize = encoding.class.section_size() as u16;
    header.emit(bytes).unwrap();
    let mut section = Section::parse(&bytes[0x50..], encoding, 0).unwrap();
    section.info = count;
    section.emit(encoding, &mut bytes[0x50..]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn damaged_files(
        sample in 0..SAMPLES.len(),
        patches in patches(),
        length in prop_oneof![9 => Just(usize::MAX), 1 => 0..2000_usize],
        extended in prop::option::of(0..8_u32),
    ) {
        let mut bytes = SAMPLES[sample].to_vec();
        if let Some(count) = extended {
            extend_numbering(&mut bytes, count);
        }
        bytes.truncate(length);
        for (at, value) in patches {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        compare(&bytes);
    }
}
