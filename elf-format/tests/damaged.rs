//! Files that made other readers crash, and odd ones that they refuse: an error, or read on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use elf_format::{
    Class, Elf, Encoding, Endian, Error, FileType, Header, Ident, Machine, Segment, SegmentFlags,
    SegmentType,
};

const VMCORE: &[u8] = include_bytes!("../testdata/kernel/x86_64-vmcore.head");

/// The real dump with some bytes overwritten.
fn patched(patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = VMCORE.to_vec();
    for (at, patch) in patches {
        bytes[*at..][..patch.len()].copy_from_slice(patch);
    }
    bytes
}

fn bad_field(bytes: &[u8]) -> (&'static str, u64, u64) {
    match Elf::parse(bytes) {
        Err(Error::BadField {
            field,
            offset,
            value,
        }) => (field.name, offset, value),
        other => panic!("{other:?}"),
    }
}

fn notes(elf: &Elf<'_>) -> Vec<Vec<u8>> {
    let segment = elf
        .segments()
        .find(|segment| segment.kind == SegmentType::NOTE)
        .unwrap();
    elf.segment_notes(&segment)
        .unwrap()
        .map(|note| note.unwrap().name.to_vec())
        .collect()
}

#[test]
fn extended_numbering_without_sections_is_an_error() {
    // e_phnum and e_shentsize: makedumpfile smashed its stack, crash its heap.
    let bytes = patched(&[(0x38, &[0xff; 4])]);
    assert_eq!(bad_field(&bytes), ("e_phnum", 0x38, 0xffff));
}

#[test]
fn extended_numbering_with_a_section_header_of_odd_size_is_an_error() {
    let bytes = patched(&[(0x28, &[0x40]), (0x38, &[0xff; 4])]);
    assert_eq!(bad_field(&bytes), ("e_shentsize", 0x3a, 0xffff));
}

#[test]
fn extended_numbering_with_a_section_header_outside_is_an_error() {
    let bytes = patched(&[(0x28, &[0xf0; 7]), (0x38, &[0xff, 0xff, 64, 0])]);
    let offset = 0xf0_f0f0_f0f0_f0f0;
    let error = Error::Truncated {
        what: "section header 0",
        offset,
        needed: 64,
        available: 0,
    };
    assert_eq!(Elf::parse(&bytes).unwrap_err(), error);
}

#[test]
fn extended_numbering_beyond_the_file_is_an_error() {
    // Section header 0 over the program headers: sh_info is in p_align of the first one.
    let bytes = patched(&[
        (0x28, &[0x40]),
        (0x38, &[0xff, 0xff, 64, 0]),
        (0x6c, &[0xff; 4]),
    ]);
    let needed = 0xffff_ffff * 56;
    let error = Error::Truncated {
        what: "program header table",
        offset: 64,
        needed,
        available: VMCORE.len() as u64 - 64,
    };
    assert_eq!(Elf::parse(&bytes).unwrap_err(), error);
}

#[test]
fn sections_at_an_odd_place_do_not_hinder_the_dump() {
    // e_shoff: libkdumpfile segfaulted.
    let bytes = patched(&[(0x28, &[1])]);
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(notes(&elf), [&b"CORE"[..], b"CORE", b"VMCOREINFO"]);
    assert_eq!(
        elf.sections().unwrap_err().to_string(),
        "offset 0x3a: e_shentsize is 0x0, allowed: 0x28 in ELF32, 0x40 in ELF64"
    );
}

#[test]
fn program_headers_of_odd_size_are_an_error() {
    for size in [0_u16, 32, 55, 57, 0xffff] {
        let bytes = patched(&[(0x36, &size.to_le_bytes())]);
        assert_eq!(bad_field(&bytes), ("e_phentsize", 0x36, size.into()));
    }
}

#[test]
fn segments_outside_are_errors_when_asked_for() {
    let cases = [
        (
            u64::MAX,
            1,
            "offset 0xffffffffffffffff: the end of segment exceeds 64 bits",
        ),
        (
            0x1000,
            1 << 40,
            "offset 0x1000: segment needs 0x10000000000 bytes, 0x1000 are there",
        ),
        (
            1 << 40,
            8,
            "offset 0x10000000000: segment needs 0x8 bytes, 0x0 are there",
        ),
    ];
    for (offset, filesz, message) in cases {
        let bytes = patched(&[
            (0x48, &u64::to_le_bytes(offset)),
            (0x60, &u64::to_le_bytes(filesz)),
        ]);
        let elf = Elf::parse(&bytes).unwrap();
        let first = elf.segments().next().unwrap();
        assert_eq!(elf.segment_notes(&first).unwrap_err().to_string(), message);
    }
}

#[test]
fn every_prefix_is_an_error_or_has_all_program_headers() {
    for len in 0..VMCORE.len() {
        match Elf::parse(&VMCORE[..len]) {
            Ok(elf) => assert_eq!((elf.segments().len(), len >= 64 + 5 * 56), (5, true)),
            Err(Error::Truncated { available, .. }) => assert!(available <= len as u64),
            Err(other) => panic!("{other}"),
        }
    }
}

/// What QEMU makes of a big-endian guest on a little-endian host: `e_ehsize` is 8, and the section
/// headers, before the program headers, are in the host's byte order.
#[test]
fn sections_in_the_wrong_byte_order_do_not_hinder_the_dump() {
    let encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Big,
    };
    let header = Header {
        ident: Ident::new(encoding),
        file_type: FileType::CORE,
        machine: Machine::PPC64,
        version: 1,
        entry: 0,
        phoff: 192,
        shoff: 64,
        flags: 0,
        ehsize: 8,
        phentsize: 56,
        phnum: 1,
        shentsize: 64,
        shnum: 2,
        shstrndx: 1,
    };
    let load = Segment {
        kind: SegmentType::LOAD,
        flags: SegmentFlags::empty(),
        offset: 248,
        vaddr: 0,
        paddr: 0,
        filesz: 11,
        memsz: 11,
        align: 0,
    };
    let mut bytes = vec![0; 248];
    header.emit(&mut bytes).unwrap();
    load.emit(encoding, &mut bytes[192..]).unwrap();
    // sh_type, sh_offset and sh_size of the section of names.
    bytes[132..][..4].copy_from_slice(&3_u32.to_le_bytes());
    bytes[152..][..8].copy_from_slice(&248_u64.to_le_bytes());
    bytes[160..][..8].copy_from_slice(&11_u64.to_le_bytes());
    bytes.extend(b"\0.shstrtab\0");

    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(*elf.header(), header);
    assert!(elf.segments().eq([load]));
    assert_eq!(elf.segment_data(&load).unwrap().len(), 11);
    let sizes: Vec<_> = elf
        .sections()
        .unwrap()
        .map(|section| section.size)
        .collect();
    assert_eq!(sizes, [0, 0x0b00_0000_0000_0000]);
    assert!(matches!(
        elf.section_names(),
        Err(Error::Overflow { .. } | Error::Truncated { .. })
    ));
}
