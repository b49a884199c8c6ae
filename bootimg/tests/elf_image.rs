//! A real vmlinux, and what elf-format's builders make of damaged ones.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use bootimg::{ElfImage, Error};
use elf_format::{
    Class, Encoding, Endian, FileType, Header, Machine, NoteType, Segment, SegmentFlags,
    SegmentType, note::Builder,
};

const HEAD: &[u8] = include_bytes!("../testdata/kernel/vmlinux-6.1.0-56-cloud-amd64.head");
const NOTES: &[u8] = include_bytes!("../testdata/kernel/vmlinux-6.1.0-56-cloud-amd64.notes");

/// Debian's kernel, decompressed: headers and notes where they were, all else zero.
fn vmlinux() -> Vec<u8> {
    let mut file = HEAD.to_vec();
    file.resize(0x163_7e70, 0);
    file.extend(NOTES);
    file.resize(53_243_444, 0);
    file
}

/// The answers are readelf's (`-lWn`).
#[test]
fn a_debian_kernel() {
    let mut file = vmlinux();
    let kernel = ElfImage::parse(&file).unwrap();
    assert_eq!(kernel.entry(), 0x100_0000);
    assert!(!kernel.relocatable());
    let loads: Vec<_> = kernel
        .loads()
        .map(|load| {
            (
                load.paddr,
                load.vaddr,
                load.bytes.len(),
                load.memsz,
                load.flags.bits(),
            )
        })
        .collect();
    assert_eq!(
        loads,
        [
            (0x100_0000, 0xffff_ffff_8100_0000, 0x182_6634, 0x182_6634, 5),
            (0x2a0_0000, 0xffff_ffff_82a0_0000, 0x61_a000, 0x61_a000, 6),
            (0x301_a000, 0, 0x3_4000, 0x3_4000, 6),
            (0x304_e000, 0xffff_ffff_8304_e000, 0xdb_2000, 0xdb_2000, 7),
        ]
    );
    assert_eq!(kernel.memory(), Some(0x100_0000..0x3e0_0000));
    assert_eq!(kernel.pvh_entry(), Ok(Some(0x100_0850)));
    let id = b"\x3b\x43\xfa\xd5\x03\x48\x74\x49\x04\x92\x49\x5d\x55\x2c\x0a\xf6\xa5\xfa\xb2\x35";
    assert_eq!(kernel.build_id(), Ok(Some(&id[..])));
    assert_eq!(kernel.linux_banner(), None);

    // As it is in the whole file: the pattern, the banner for /proc/version, the banner.
    let (pattern, short) = (
        b"Linux version %s (%s) #\0",
        b"Linux version 6.1.0 (gcc) # SMP\n\0",
    );
    let full = b"Linux version 6.1.0 (gcc) #1 SMP\n\0";
    file[0x30_0000..][..pattern.len()].copy_from_slice(pattern);
    file[0x30_1000..][..short.len()].copy_from_slice(short);
    let banner = ElfImage::parse(&file).unwrap().linux_banner();
    assert_eq!(banner, Some(&b"Linux version 6.1.0 (gcc) # SMP"[..]));
    file[0x1d0_0000..][..full.len()].copy_from_slice(full);
    let banner = ElfImage::parse(&file).unwrap().linux_banner();
    assert_eq!(banner, Some(&b"Linux version 6.1.0 (gcc) #1 SMP"[..]));
}

#[test]
fn every_lost_byte_is_missed() {
    let file = vmlinux();
    // The last segment ends here; relocations follow it.
    let end = 0x244_e000 + 0xdb_2000;
    assert!(ElfImage::parse(&file[..end]).is_ok());
    let error = ElfImage::parse(&file[..end - 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "offset 0x244e000: segment needs 0xdb2000 bytes, 0xdb1fff are there"
    );
    for len in 0..HEAD.len() {
        assert!(
            matches!(ElfImage::parse(&HEAD[..len]), Err(Error::Elf(_))),
            "{len}"
        );
    }
}

const ENCODING: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Big,
};

/// A kernel with one segment and these notes behind it, aligned to so many bytes.
fn made(change: impl Fn(&mut Header, &mut Segment), notes: &[u8], align: u64) -> Vec<u8> {
    let mut header = Header::parse(HEAD).unwrap();
    header.ident.encoding = ENCODING;
    header.machine = Machine::PPC64;
    header.phnum = 2;
    header.shnum = 0;
    header.shoff = 0;
    header.shstrndx = 0;
    let mut load = Segment {
        kind: SegmentType::LOAD,
        flags: SegmentFlags::READ,
        offset: 64 + 2 * 56,
        vaddr: 0,
        paddr: 0x1000,
        filesz: 8,
        memsz: 16,
        align: 1,
    };
    change(&mut header, &mut load);
    let note = Segment {
        kind: SegmentType::NOTE,
        offset: 64 + 2 * 56 + 8,
        filesz: notes.len() as u64,
        align,
        ..load
    };
    let mut file = vec![0; 64 + 2 * 56 + 8];
    header.emit(&mut file).unwrap();
    load.emit(ENCODING, &mut file[64..]).unwrap();
    note.emit(ENCODING, &mut file[120..]).unwrap();
    file.extend(notes);
    file
}

fn note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
    let kind = NoteType(kind);
    let builder = Builder { name, kind, desc };
    let mut out = vec![0; builder.emitted_len()];
    builder.emit(Endian::Big, &mut out).unwrap();
    out
}

#[test]
fn numbers_that_no_kernel_can_mean() {
    let text = |change: &dyn Fn(&mut Header, &mut Segment)| {
        ElfImage::parse(&made(change, &[], 4))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        text(&|header, _| header.file_type = FileType(4)),
        "offset 0x10: e_type is 0x4, allowed: 2 (ET_EXEC), 3 (ET_DYN), not 1 (ET_REL) of a module or 4 (ET_CORE) of a dump"
    );
    assert_eq!(
        text(&|_, load| load.memsz = 7),
        "offset 0x68: p_memsz is 0x7, allowed: p_filesz and above"
    );
    assert_eq!(
        text(&|_, load| load.paddr = u64::MAX - 14),
        "offset 0x68: the end of p_paddr + p_memsz is too large"
    );
    assert_eq!(
        text(&|header, _| header.phnum = 0xfffe),
        "offset 0x40: program header table needs 0x37ff90 bytes, 0x78 are there"
    );
    assert_eq!(
        text(&|header, _| header.phentsize = 0xffff),
        "offset 0x36: e_phentsize is 0xffff, allowed: 0x20 in ELF32, 0x38 in ELF64"
    );
    assert!(text(&|_, load| load.filesz = u64::MAX).contains("exceeds 64 bits"));
    let relocatable = made(|header, _| header.file_type = FileType::DYN, &[], 4);
    assert!(ElfImage::parse(&relocatable).unwrap().relocatable());
}

#[test]
fn pvh_entries_of_both_sizes_and_paddings() {
    let entry = |notes: &[u8], align| {
        let file = made(|_, _| {}, notes, align);
        ElfImage::parse(&file).unwrap().pvh_entry()
    };
    let other = note(b"Other\0", 18, b"abc");
    let four = note(b"Xen\0", 18, &[0, 1, 2, 3]);
    let eight = note(b"Xen\0", 18, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(entry(&four, 4), Ok(Some(0x1_0203)));
    assert_eq!(entry(&eight, 4), Ok(Some(0x0102_0304_0506_0708)));
    // Padded to four bytes in a segment aligned to eight, as Linux does it.
    let both = [other.clone(), four.clone()].concat();
    assert_eq!(entry(&both, 4), Ok(Some(0x1_0203)));
    assert_eq!(entry(&both, 8), Ok(Some(0x1_0203)));
    assert_eq!(entry(&other, 4), Ok(None));
    assert_eq!(entry(&[], 4), Ok(None));
    let five = note(b"Xen\0", 18, &[0; 5]);
    assert_eq!(
        entry(&[other, five].concat(), 4).unwrap_err().to_string(),
        "offset 0xd0: n_descsz of XEN_ELFNOTE_PHYS32_ENTRY is 0x5, allowed: 4 or 8"
    );
}

#[test]
fn notes_that_claim_four_gigabytes() {
    for field in [0, 4] {
        let mut notes = note(b"Xen\0", 18, &[0; 4]);
        notes[field..field + 4].fill(0xff);
        for align in [4, 8] {
            let file = made(|_, _| {}, &notes, align);
            let kernel = ElfImage::parse(&file).unwrap();
            let error = kernel.pvh_entry().unwrap_err();
            assert!(error.to_string().starts_with("offset 0xb8: "), "{error}");
            assert_eq!(kernel.build_id(), Err(error));
        }
    }
}

/// Program headers that all lead to the same bytes, which follow them.
fn overlapping(kind: SegmentType, count: u16, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::parse(HEAD).unwrap();
    header.ident.encoding = ENCODING;
    (header.phnum, header.shnum, header.shoff, header.shstrndx) = (count, 0, 0, 0);
    let mut file = vec![0; 64 + 56 * usize::from(count)];
    let size = bytes.len() as u64;
    let segment = Segment {
        kind,
        flags: SegmentFlags::READ,
        offset: file.len() as u64,
        vaddr: 0,
        paddr: 0,
        filesz: size,
        memsz: size,
        align: 4,
    };
    header.emit(&mut file).unwrap();
    for slot in file[64..].chunks_mut(56) {
        segment.emit(ENCODING, slot).unwrap();
    }
    file.extend(bytes);
    file
}

#[test]
fn notes_that_overlap_are_not_read_over_and_over() {
    // Twice is no more than all of the file has.
    let file = overlapping(SegmentType::NOTE, 2, &note(b"GNU", 3, b"id"));
    let kernel = ElfImage::parse(&file).unwrap();
    assert_eq!(kernel.build_id(), Ok(Some(&b"id"[..])));

    let file = overlapping(SegmentType::NOTE, 3, &note(b"GNU", 3, &[0; 400]));
    assert_eq!(file.len(), 64 + 3 * 56 + 416);
    assert_eq!(
        ElfImage::parse(&file).unwrap_err().to_string(),
        "offset 0x98: p_filesz of a PT_NOTE is 0x1a0, \
         allowed: what together with the PT_NOTEs before it is no more than the file has"
    );
}

/// Each would take minutes, were it searched segment by segment, or from each of its beginnings.
#[test]
fn banners_that_overlap_are_not_searched_over_and_over() {
    let mut bytes = b"Linux version 6".repeat(1 << 16);
    let file = overlapping(SegmentType::LOAD, 0xfff0, &bytes);
    let banner = ElfImage::parse(&file).unwrap().linux_banner();
    assert_eq!(banner, Some(&bytes[..]));
    bytes.extend(b"\nLinux version 6 #1");
    let file = overlapping(SegmentType::LOAD, 0xfff0, &bytes);
    let banner = ElfImage::parse(&file).unwrap().linux_banner();
    assert_eq!(banner, Some(&b"Linux version 6 #1"[..]));
}
