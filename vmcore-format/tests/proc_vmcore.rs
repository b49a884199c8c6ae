//! Elfcorehdrs sound and broken: built, read by other crates, and put through what /proc/vmcore
//! does.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::fmt::Debug;

use elf_format::{Class, Elf, Encoding, Endian, Machine, Segment, SegmentType};
use object::read::elf::{FileHeader, ProgramHeader};
use physmem::{
    Absence, MemError, PageShift, PhysAddr, PhysMemory, PhysRange, Region, Regions, VirtAddr,
};
use proptest::prelude::*;
use vmcore_format::{
    Dump, Error, ReadAt,
    build::{
        elfcorehdr::{Backup, Builder, Image, KexecTools, Policy},
        proc_vmcore::{CaptureKernel, NoteAlign, ProcVmcore},
    },
    source::ReadError,
};

const KERNEL: CaptureKernel = CaptureKernel {
    page: PageShift::SIZE_4K,
    note_align: NoteAlign::Four,
};
const ELF64: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};
const ELF32: Encoding = Encoding {
    class: Class::Elf32,
    endian: Endian::Big,
};
/// Where the memory of these tests begins, and how much there is.
const BASE: u64 = 0x10_0000;
const SIZE: usize = 0x10_000;

type Ranges<'a> = std::iter::Copied<std::slice::Iter<'a, PhysRange>>;

fn range(start: u64, size: u64) -> PhysRange {
    PhysRange::with_size(PhysAddr::new(start), size).unwrap()
}

fn builder<'a>(
    encoding: Encoding,
    notes: &'a [PhysRange],
    ram: &'a [PhysRange],
) -> Builder<'a, Ranges<'a>> {
    Builder {
        encoding,
        machine: Machine::X86_64,
        policy: Policy::KexecTools(KexecTools::default()),
        cpu_notes: notes,
        vmcoreinfo: None,
        image: None,
        ram: ram.iter().copied(),
        page_offset: 0,
    }
}

/// A note of so long a name and descriptor, filled with `fill`.
fn note(endian: Endian, namesz: u32, descsz: u32, fill: u8) -> Vec<u8> {
    let word = |value: u32| match endian {
        Endian::Little => value.to_le_bytes(),
        Endian::Big => value.to_be_bytes(),
    };
    let padded = |size: u32| size.next_multiple_of(4) as usize;
    let mut note = [word(namesz), word(descsz), word(1)].concat();
    note.resize(12 + padded(namesz) + padded(descsz), fill);
    note
}

/// Memory at [`BASE`] whose bytes tell where they are, and over it, at offsets from there, other
/// bytes.
fn memory(parts: &[(usize, &[u8])]) -> Region<Vec<u8>> {
    let mut bytes: Vec<u8> = (0..SIZE).map(|at| (at >> 8) as u8 ^ at as u8).collect();
    for (at, part) in parts {
        bytes[*at..][..part.len()].copy_from_slice(part);
    }
    Region::try_new(PhysAddr::new(BASE), bytes).unwrap()
}

/// An elfcorehdr of two notes and two ranges, and its memory.
fn sound(encoding: Encoding) -> (Vec<u8>, Region<Vec<u8>>) {
    let notes = [range(BASE, 0x100), range(BASE + 0x200, 0x100)];
    let ram = [range(BASE, 0x2c00), range(BASE + 0x4400, 0x1000)];
    let header = builder(encoding, &notes, &ram).to_vec().unwrap();
    let note = note(encoding.endian, 5, 8, b'x');
    let notes: &[u8] = &[&note[..], &note, &[0; 12]].concat();
    (header, memory(&[(0, notes), (0x200, notes)]))
}

fn segments(file: &[u8]) -> Vec<Segment> {
    Elf::parse(file).unwrap().segments().collect()
}

#[test]
fn notes_are_merged_and_memory_comes_in_whole_pages() {
    for encoding in [ELF64, ELF32] {
        let (header, memory) = sound(encoding);
        let vmcore = ProcVmcore::try_new(&header, &memory, KERNEL).unwrap();
        let class = encoding.class;
        let headers = class.header_size() + 3 * class.segment_size();
        assert_eq!(vmcore.headers().len(), headers);
        let told: Vec<_> = segments(vmcore.headers())
            .iter()
            .map(|s| (s.kind, s.offset, s.paddr, s.filesz, s.memsz, s.align))
            .collect();
        let (load, note) = (SegmentType::LOAD, SegmentType::NOTE);
        assert_eq!(
            told,
            [
                (note, 0x1000, 0, 112, 112, 4),
                (load, 0x2000, BASE, 0x2c00, 0x2c00, 0),
                (load, 0x5400, BASE + 0x4400, 0x1000, 0x1000, 0),
            ]
        );
        assert_eq!(vmcore.size(), 0x7000);
        let mut file = vec![0xff; 0x7000];
        vmcore.read_exact_at(0, &mut file).unwrap();
        let bytes = memory.lend(PhysAddr::new(BASE), SIZE).unwrap();
        assert_eq!(file[..headers], *vmcore.headers());
        assert!(file[headers..0x1000].iter().all(|byte| *byte == 0));
        assert_eq!(file[0x1000..0x1070], *vmcore.notes());
        assert_eq!(
            vmcore.notes(),
            [&bytes[..56], &bytes[0x200..0x238]].concat()
        );
        assert!(file[0x1070..0x2000].iter().all(|byte| *byte == 0));
        assert_eq!(file[0x2000..0x5000], bytes[..0x3000]);
        assert_eq!(file[0x5000..], bytes[0x4000..0x6000]);
    }
}

/// However the file is asked, the answer is the same; and behind its end there is nothing.
#[test]
fn any_part_of_the_file_can_be_read() {
    let (header, memory) = sound(ELF64);
    let vmcore = ProcVmcore::try_new(&header, &memory, KERNEL).unwrap();
    let mut file = vec![0; 0x7000];
    vmcore.read_exact_at(0, &mut file).unwrap();
    let edges = [
        0, 1, 0xfff, 0x1000, 0x1070, 0x1fff, 0x2000, 0x4fff, 0x5000, 0x6fff, 0x7000,
    ];
    for from in edges {
        for to in edges.into_iter().filter(|to| from <= *to) {
            let mut part = vec![0; to - from];
            vmcore.read_exact_at(from as u64, &mut part).unwrap();
            assert_eq!(part, file[from..to], "{from:#x}..{to:#x}");
            if let Some(lent) = vmcore.lend_at(from as u64, part.len()) {
                assert_eq!(lent, part);
            }
            let mut over = vec![0; 0x7001 - from];
            let error = ReadError::Short {
                offset: from as u64,
                needed: over.len() as u64,
                available: 0x7000 - from as u64,
            };
            assert_eq!(vmcore.read_exact_at(from as u64, &mut over), Err(error));
            assert_eq!(vmcore.lend_at(from as u64, over.len()), None);
        }
    }
    assert_eq!(
        vmcore.lend_at(0x2fff, 0x2001),
        memory.lend(PhysAddr::new(BASE + 0xfff), 0x2001)
    );
    assert!(vmcore.lend_at(0x2fff, 0x2001).is_some());
    assert_eq!(vmcore.lend_at(0x4fff, 2), None);
    assert_eq!(vmcore.lend_at(u64::MAX, 0), Some(&[][..]));
    assert_eq!(vmcore.lend_at(u64::MAX, 1), None);
    assert_eq!(vmcore.read_exact_at(u64::MAX, &mut []), Ok(()));
}

#[test]
fn an_older_kernel_says_nothing_of_alignment_and_64_kib_pages_are_longer() {
    let (header, memory) = sound(ELF64);
    let kernel = CaptureKernel {
        page: PageShift::SIZE_64K,
        note_align: NoteAlign::Zero,
    };
    let vmcore = ProcVmcore::try_new(&header, &memory, kernel).unwrap();
    let told = segments(vmcore.headers());
    assert_eq!((told[0].offset, told[0].align), (0x1_0000, 0));
    assert_eq!((told[1].offset, told[2].offset), (0x2_0000, 0x3_4400));
    assert_eq!(vmcore.size(), 0x4_0000);
}

/// A CPU that was offline, a buffer filled to its end, notes that pass it.
#[test]
fn a_buffer_ends_where_its_notes_do() {
    for endian in [Endian::Little, Endian::Big] {
        let encoding = Encoding { endian, ..ELF64 };
        let one = note(endian, 5, 8, 1);
        let cases: [(&[u8], u64, usize); 8] = [
            (&[0; 12], 0x100, 0),
            (&one, 28, 28),
            // The header of a further note, or less, and the end.
            (&[&one[..], &one].concat(), 40, 28),
            (&[&one[..], &one].concat(), 39, 28),
            (&[&one[..], &one].concat(), 55, 28),
            (&[&one[..], &one].concat(), 56, 56),
            (&one, 11, 0),
            // Lengths that would wrap 32 bits.
            (
                &note(endian, 5, 8, 0xff)[..4]
                    .iter()
                    .chain(&[0xff; 24])
                    .copied()
                    .collect::<Vec<_>>(),
                0x1000,
                0,
            ),
        ];
        for (bytes, len, expected) in cases {
            let mut buffer = bytes.to_vec();
            buffer.extend([0; 12]);
            let memory = memory(&[(0, &buffer)]);
            let header = builder(encoding, &[range(BASE, len)], &[])
                .to_vec()
                .unwrap();
            let vmcore = ProcVmcore::try_new(&header, &memory, KERNEL).unwrap();
            assert_eq!(vmcore.notes(), &bytes[..expected], "{len}");
            assert_eq!(vmcore.size(), if expected == 0 { 0x1000 } else { 0x2000 });
        }
    }
}

fn refused(header: &[u8], memory: impl PhysMemory + Debug) -> String {
    ProcVmcore::try_new(header, memory, KERNEL)
        .unwrap_err()
        .to_string()
}

#[test]
fn every_field_that_is_not_sane_is_named() {
    const PHNUM: &str = "allowed: 1 to 65534, as /proc/vmcore does not know extended numbering";
    // Offsets in ELF32 and ELF64, bytes (0 for an address), what is put there, and the message.
    let cases: [((usize, usize), usize, u64, &str); 14] = [
        (
            (0, 0),
            4,
            0x7f45_4c47,
            "ELF magic is 0x7f454c47, not 0x7f454c46",
        ),
        (
            (4, 4),
            1,
            3,
            "EI_CLASS is 0x3, allowed: 1 (ELFCLASS32), 2 (ELFCLASS64)",
        ),
        (
            (5, 5),
            1,
            0,
            "EI_DATA is 0x0, allowed: 1 (ELFDATA2LSB), 2 (ELFDATA2MSB)",
        ),
        ((6, 6), 1, 0, "EI_VERSION is 0x0, allowed: 1 (EV_CURRENT)"),
        ((16, 16), 2, 2, "e_type is 0x2, allowed: 4 (ET_CORE)"),
        ((20, 20), 4, 2, "e_version is 0x2, allowed: 1 (EV_CURRENT)"),
        (
            (40, 52),
            2,
            8,
            "e_ehsize is 0x8, allowed: 0x34 in ELF32, 0x40 in ELF64",
        ),
        (
            (42, 54),
            2,
            9,
            "e_phentsize is 0x9, allowed: 0x20 in ELF32, 0x38 in ELF64",
        ),
        ((44, 56), 2, 0, &format!("e_phnum is 0x0, {PHNUM}")),
        ((44, 56), 2, 0xffff, &format!("e_phnum is 0xffff, {PHNUM}")),
        (
            (28, 32),
            0,
            1,
            "e_phoff is 0x1, allowed: e_ehsize, as /proc/vmcore looks for the program headers there",
        ),
        (
            (52, 64),
            4,
            1,
            "p_type of the first program header is 0x1, allowed: 4 (PT_NOTE), \
             as /proc/vmcore puts the merged notes there",
        ),
        (
            (52 + 3 * 32, 64 + 3 * 56),
            4,
            4,
            "p_type is 0x4, allowed: not 4 (PT_NOTE) behind other types, \
             as /proc/vmcore would drop the others",
        ),
        // The place of the first buffer.
        (
            (52 + 4, 64 + 8),
            0,
            0,
            "a PT_NOTE's buffer cannot be read: physical address 0x0: not RAM",
        ),
    ];
    for ((elf32, elf64), width, value, message) in cases {
        let endian = Endian::Big;
        for (class, at, word) in [(Class::Elf32, elf32, 4), (Class::Elf64, elf64, 8)] {
            let (mut header, memory) = sound(Encoding { class, endian });
            let width = if width == 0 { word } else { width };
            header[at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
            assert_eq!(
                refused(&header, &memory),
                format!("offset {at:#x}: {message}")
            );
        }
    }
}

/// Of the second PT_NOTE and the second PT_LOAD.
#[test]
fn memory_that_passes_the_end_of_the_address_space_is_refused() {
    for number in [1, 3] {
        let (mut header, memory) = sound(ELF64);
        let at = 64 + number * 56 + 40;
        // The first byte past the end, and for memory the page that has the last one.
        let start = if number == 1 {
            BASE + 0x200
        } else {
            BASE + 0x4400 + 0xfff
        };
        header[at..at + 8].copy_from_slice(&(u64::MAX - start + 1).to_le_bytes());
        let message = format!(
            "offset {at:#x}: p_memsz is {:#x}, allowed: what ends, in whole pages, before 2^64",
            u64::MAX - start + 1
        );
        assert_eq!(refused(&header, &memory), message);
    }
}

#[test]
fn a_header_that_is_cut_says_where() {
    for encoding in [ELF64, ELF32] {
        let (header, memory) = sound(encoding);
        let (ehsize, phentsize) = (encoding.class.header_size(), encoding.class.segment_size());
        let needed = ehsize + 4 * phentsize;
        assert!(ProcVmcore::try_new(&header[..needed], &memory, KERNEL).is_ok());
        for len in ehsize..needed {
            let error = ProcVmcore::try_new(&header[..len], &memory, KERNEL).unwrap_err();
            assert_eq!(
                error,
                Error::Truncated {
                    what: "program header table",
                    offset: ehsize as u64,
                    needed: 4 * phentsize as u64,
                    available: (len - ehsize) as u64,
                }
            );
        }
        for len in 0..ehsize {
            let error = ProcVmcore::try_new(&header[..len], &memory, KERNEL).unwrap_err();
            assert!(matches!(error, Error::Elf(_)), "{error}");
        }
    }
}

/// Notes without end.
#[derive(Debug)]
struct Endless;

impl PhysMemory for Endless {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        // Every 16 bytes a note with a name of one byte.
        for (byte, at) in out.iter_mut().zip(at.as_u64()..) {
            *byte = u8::from(at % 16 == 0);
        }
        Ok(())
    }

    fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

#[test]
fn notes_without_end_are_refused_at_64_mib() {
    let over = [range(0, (64 << 20) + 16)];
    assert_eq!(
        refused(&builder(ELF64, &over, &[]).to_vec().unwrap(), Endless),
        "offset 0x68: p_memsz of a PT_NOTE is 0x4000010, allowed: notes of at most 64 MiB in all"
    );
    // As many buffers as there can be do not make the work longer.
    let many = vec![range(0, 1 << 40); 65_534];
    let header = builder(ELF64, &many, &[]).to_vec().unwrap();
    assert!(refused(&header, Endless).starts_with("offset 0x68: p_memsz of a PT_NOTE"));
}

#[test]
fn an_offset_that_elf32_cannot_hold_is_refused() {
    let ram = [range(0, 0xffff_f000), range(0x1000, 0x1000)];
    let header = builder(ELF32, &[range(0, 12)], &ram).to_vec().unwrap();
    assert_eq!(
        refused(&header, Endless),
        "offset 0x78: p_offset in the file is 0x100000000, allowed: at most 2^32 - 1 in ELF32"
    );
}

/// A file longer than 2^64 bytes, of memory that is told of twice.
#[test]
fn a_file_that_64_bits_cannot_measure_is_refused() {
    let half = range(0, 1 << 63);
    let header = builder(ELF64, &[range(0, 12)], &[half, half])
        .to_vec()
        .unwrap();
    assert_eq!(
        refused(&header, Endless),
        "offset 0xd8: p_memsz is 0x8000000000000000, allowed: what ends, in whole pages, before 2^64"
    );
}

/// Why memory cannot be had is lost on the way through a file, but for the operating system's
/// number.
#[test]
fn memory_that_is_not_there_is_an_error_of_reading() {
    #[derive(Debug)]
    struct Failing(Absence);
    impl PhysMemory for Failing {
        fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
            let why = self.0;
            match at.as_u64() + out.len() as u64 {
                0x2001.. => Err(MemError { at, why }),
                _ => Endless.read(at, out),
            }
        }
        fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
            None
        }
    }
    let header = builder(ELF64, &[range(0, 16)], &[range(0x1000, 0x3000)])
        .to_vec()
        .unwrap();
    for (why, errno) in [(Absence::Excluded, 14), (Absence::Io { errno: 5 }, 5)] {
        let vmcore = ProcVmcore::try_new(&header, Failing(why), KERNEL).unwrap();
        assert_eq!(vmcore.read_exact_at(0, &mut [0; 0x3000]), Ok(()));
        let error = ReadError::Os {
            errno,
            offset: 0x2000,
        };
        assert_eq!(vmcore.read_exact_at(0x1fff, &mut [0; 0x1002]), Err(error));
        let dump = Dump::open(&vmcore).unwrap();
        let error = dump
            .reader()
            .read(PhysAddr::new(0x2000), &mut [0])
            .unwrap_err();
        assert_eq!(error.why, Absence::Io { errno });
    }
}

#[test]
fn other_program_headers_stay_as_they_are() {
    let (mut header, memory) = sound(ELF64);
    let at = 64 + 2 * 56;
    header[at..at + 4].copy_from_slice(&0x6474_e553_u32.to_le_bytes());
    let vmcore = ProcVmcore::try_new(&header, &memory, KERNEL).unwrap();
    assert_eq!(segments(vmcore.headers())[1], segments(&header)[2]);
    assert_eq!(segments(vmcore.headers())[2].offset, 0x2400);
    assert_eq!(vmcore.pieces().len(), 1);
}

fn ranges(limit: u64) -> impl Strategy<Value = Vec<PhysRange>> {
    let one = (0..limit, 1..limit).prop_map(|(start, size)| range(start, size));
    prop::collection::vec(one, 0..12)
}

proptest! {
    /// What is emitted is what `object` and elf-format read, whatever the ranges.
    #[test]
    fn any_elfcorehdr_is_read_by_object(
        cpus in ranges(1 << 40),
        vmcoreinfo in prop::option::of((0..1_u64 << 40).prop_map(|start| range(start, 0x1024))),
        image in prop::option::of((0..1_u64 << 40, any::<u64>())),
        ram in ranges(1 << 52),
        page_offset: u64,
        kernel: bool,
        lowmem_end in prop::option::of(0..1_u64 << 52),
        backup in prop::option::of((0..12_usize, any::<u64>())),
    ) {
        let backup = backup.and_then(|(index, copy)| {
            Some(Backup { source: *ram.get(index)?, copy: PhysAddr::new(copy) })
        });
        let rest = KexecTools { backup, lowmem_end: lowmem_end.map(PhysAddr::new), spare: 0 };
        let policy = if kernel { Policy::Kernel } else { Policy::KexecTools(rest) };
        let image = image.map(|(phys, virt)| Image { virt: VirtAddr::new(virt), phys: range(phys, 0x1000) });
        let built = Builder {
            policy,
            vmcoreinfo,
            image,
            page_offset,
            ..builder(ELF64, &cpus, &ram)
        };
        let header = match built.to_vec() {
            Ok(header) => header,
            Err(error) => {
                prop_assert!(matches!(error, Error::BadField { .. }), "{error}");
                prop_assert!(cpus.is_empty() && vmcoreinfo.is_none());
                return Ok(());
            }
        };
        let align = if kernel { 4096 } else { 1024 };
        prop_assert_eq!((header.len(), header.len() % align), (built.emitted_len(), 0));

        // What each header must say: kind, place in memory, virtual address, length.
        let notes = cpus.iter().copied().chain(vmcoreinfo);
        let mut expected: Vec<_> = notes
            .map(|buffer| (4, buffer.start().as_u64(), buffer.start().as_u64(), 0, buffer.size()))
            .collect();
        expected.extend(image.map(|image| {
            let at = image.phys.start().as_u64();
            (1, at, at, image.virt.as_u64(), image.phys.size())
        }));
        expected.extend(ram.iter().map(|range| {
            let at = range.start().as_u64();
            let copied = backup.filter(|backup| !kernel && backup.source == *range);
            let high = !kernel && lowmem_end.is_some_and(|end| range.end().as_u64() > end);
            let virt = if high { u64::MAX } else { page_offset.wrapping_add(at) };
            (1, copied.map_or(at, |backup| backup.copy.as_u64()), at, virt, range.size())
        }));

        let theirs = object::elf::FileHeader64::<object::LittleEndian>::parse(&header[..]).unwrap();
        let endian = object::LittleEndian;
        let read: Vec<_> = theirs
            .program_headers(endian, &header[..])
            .unwrap()
            .iter()
            .map(|header| {
                assert_eq!(header.p_memsz(endian), header.p_filesz(endian));
                (
                    header.p_type(endian).0,
                    header.p_offset(endian),
                    header.p_paddr(endian),
                    header.p_vaddr(endian),
                    header.p_memsz(endian),
                )
            })
            .collect();
        prop_assert_eq!(read, &expected[..]);
        let ours: Vec<_> = segments(&header)
            .iter()
            .map(|s| (s.kind.0, s.offset, s.paddr, s.vaddr, s.memsz))
            .collect();
        prop_assert_eq!(ours, expected);
    }

    /// All memory that the header tells of reads through the file as it reads without it.
    #[test]
    fn any_memory_reads_through_the_file(
        ram in prop::collection::vec((0..SIZE as u64, 1..SIZE as u64), 1..8),
        elf32: bool,
        shift in 12..=30_u8,
    ) {
        // Eight pages of 1 GiB are more than an ELF32 can point into.
        let (encoding, shift) = if elf32 { (ELF32, shift.min(24)) } else { (ELF64, shift) };
        let ram: Vec<_> = ram
            .into_iter()
            .map(|(at, size)| range(BASE + at, size.min(SIZE as u64 - at)))
            .collect();
        let header = builder(encoding, &[range(BASE, 12)], &ram).to_vec().unwrap();
        let memory = memory(&[(0, &[0; 12])]);
        let kernel = CaptureKernel { page: PageShift::try_new(shift).unwrap(), ..KERNEL };
        let vmcore = ProcVmcore::try_new(&header, &memory, kernel).unwrap();
        prop_assert_eq!(vmcore.size() % kernel.page.bytes(), 0);
        // The one buffer is an offline CPU's.
        let mut end = kernel.page.bytes();
        for piece in vmcore.pieces() {
            prop_assert_eq!(piece.offset, end);
            end += piece.range.size();
        }
        prop_assert_eq!(end, vmcore.size());

        let dump = Dump::open(&vmcore).unwrap();
        let through = dump.reader();
        for range in &ram {
            let mut bytes = vec![0; range.size() as usize];
            through.read(range.start(), &mut bytes).unwrap();
            prop_assert_eq!(Some(&bytes[..]), memory.lend(range.start(), bytes.len()));
        }
        // Regions that are not told of are not there, although the file has their pages.
        let told = |at| ram.iter().any(|range| range.contains(at));
        for at in (BASE..BASE + SIZE as u64).step_by(0x3ff).map(PhysAddr::new) {
            prop_assert_eq!(through.read(at, &mut [0]).is_ok(), told(at), "{}", at);
        }
    }

    /// Any bytes behind the magic are a file or an error, never a panic.
    #[test]
    fn any_header_is_read_or_refused(
        edits in prop::collection::vec((0..0x120_usize, any::<u8>()), 0..8),
        elf32: bool,
    ) {
        let (mut header, memory) = sound(if elf32 { ELF32 } else { ELF64 });
        for (at, byte) in edits {
            header[at] = byte;
        }
        let memory = Regions::try_new(vec![memory]).unwrap();
        if let Ok(vmcore) = ProcVmcore::try_new(&header, &memory, KERNEL) {
            prop_assert!(vmcore.notes().len() <= 0x200);
            if let Ok(dump) = Dump::open(&vmcore) {
                prop_assert_eq!(dump.segments().len(), segments(vmcore.headers()).len());
            }
        }
    }
}
