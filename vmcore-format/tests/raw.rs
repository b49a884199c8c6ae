//! Memory without a container, against the dump that it was taken out of.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{fs, path::PathBuf};

use elf_format::{Class, Encoding, Endian, Machine, NoteType, note};
use physmem::{Absence, PageShift, PhysAddr, PhysMemory, PhysRange, VirtAddr};
use vmcore_format::{
    Dump, Error,
    build::Piece,
    dump::Counts,
    kernel::{self, Virtual, kallsyms::Kallsyms, printk},
    source::FileSource,
    vmcoreinfo,
};

const X86_64: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(name)
}

/// The memory of a dump alone, in a file where it lies in no order, and what VMCOREINFO says.
struct Bare {
    memory: Vec<u8>,
    pieces: Vec<Piece>,
    info: Vec<u8>,
}

impl Bare {
    fn of(name: &str) -> Self {
        let file = fs::read(testdata(name)).unwrap();
        let dump = Dump::open(&file[..]).unwrap();
        let (mut memory, mut pieces) = (Vec::new(), Vec::new());
        let mut ranges: Vec<_> = dump.ranges().map(|(range, _)| range).collect();
        ranges.reverse();
        for range in ranges {
            let offset = memory.len();
            memory.resize(offset + range.size() as usize, 0);
            let out = &mut memory[offset..];
            dump.reader().read(range.start(), out).unwrap();
            let offset = offset as u64;
            pieces.push(Piece { offset, range });
        }
        let info = dump.vmcoreinfo().unwrap().unwrap().text().to_vec();
        Self {
            memory,
            pieces,
            info,
        }
    }

    fn open(&self) -> Dump<&[u8]> {
        let pieces = self.pieces.iter().copied();
        Dump::open_raw(&self.memory[..], Machine::X86_64, X86_64, pieces)
    }
}

fn range(start: u64, size: u64) -> PhysRange {
    PhysRange::with_size(PhysAddr::new(start), size).unwrap()
}

#[test]
fn the_kernel_is_found_by_what_it_says() {
    let bare = Bare::of("kdump.elf");
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let elf = Dump::open(&file[..]).unwrap();
    let raw = bare.open().with_vmcoreinfo(bare.info.clone());

    assert!(raw.elf().is_none() && raw.kdump().is_none() && raw.segments().is_empty());
    assert_eq!((raw.notes().count(), raw.cpus().count()), (0, 0));
    assert!(!raw.is_flattened() && !raw.is_incomplete());
    assert_eq!((raw.machine(), raw.encoding()), (elf.machine(), X86_64));
    assert_eq!(raw.page_size(), Ok(PageShift::SIZE_4K));
    assert!(raw.ranges().eq(elf.ranges()));
    assert_eq!(raw.byte_counts(), elf.byte_counts());

    let (of_elf, of_raw) = (elf.reader(), raw.reader());
    let walkers = [&elf, &raw].map(|dump| kernel::walker_of(dump).unwrap());
    assert_eq!(walkers[0], walkers[1]);
    let text = fs::read_to_string(testdata("kdump.xlat.tsv")).unwrap();
    for line in text.lines() {
        let virt = u64::from_str_radix(line.split('\t').next().unwrap(), 16).unwrap();
        let virt = VirtAddr::new(virt);
        let expected = walkers[0].translate(&of_elf, virt);
        assert_eq!(walkers[1].translate(&of_raw, virt), expected, "{line}");
    }
}

#[test]
fn what_is_inside_is_read_as_from_the_dump() {
    let bare = Bare::of("kdump-inside.elf");
    let raw = bare.open().with_vmcoreinfo(bare.info.clone());
    let (info, memory) = (raw.vmcoreinfo().unwrap().unwrap(), raw.reader());
    let virt = Virtual::of(&raw, &memory).unwrap();

    let log: String = printk::records(&info, virt)
        .unwrap()
        .map(|record| format!("{}\n", record.unwrap()))
        .collect();
    let expected = fs::read_to_string(testdata("kdump-inside.dmesg.txt")).unwrap();
    assert!(log == expected);

    let symbols = Kallsyms::new(&info, virt).unwrap();
    let found = symbols.at(VirtAddr::new(0xffff_ffff_a680_1234)).unwrap();
    assert_eq!(&found.unwrap().symbol.name[..], b"sme_prepare_pgd");
}

#[test]
fn vmcoreinfo_may_come_as_the_note_that_the_kernel_keeps() {
    let bare = Bare::of("kdump.elf");
    let builder = note::Builder {
        name: vmcoreinfo::NOTE_NAME,
        kind: NoteType(0),
        desc: &bare.info,
    };
    let mut note = vec![0; builder.emitted_len()];
    builder.emit(Endian::Little, &mut note).unwrap();
    // Its page is longer, and what lies there is no text.
    note.extend([0; 12]);
    note.extend(b"OSRELEASE=other\n");
    let dump = bare.open().with_vmcoreinfo(note.clone());
    let info = dump.vmcoreinfo().unwrap().unwrap();
    assert_eq!(info.text(), bare.info);
    assert_eq!(info.os_release(), Ok(Some("6.1.0-56-cloud-amd64")));

    // Errors count from the beginning of what was given.
    let at = note.windows(8).position(|at| at == b"PAGESIZE").unwrap();
    note[at + 9..at + 13].copy_from_slice(b"4095");
    let dump = bare.open().with_vmcoreinfo(note);
    assert!(matches!(
        dump.page_size(),
        Err(Error::BadText { offset, .. }) if offset == at as u64 + 9
    ));
}

#[test]
fn a_page_size_that_the_machine_has_not() {
    let bare = Bare::of("kdump.elf");
    let dump = bare.open().with_vmcoreinfo(b"PAGESIZE=8192\n".to_vec());
    assert_eq!(
        dump.page_size().unwrap_err().to_string(),
        "offset 0x9: VMCOREINFO PAGESIZE is 0x2000, allowed: 4096: the machine has no other"
    );
}

#[test]
fn without_it_there_is_physical_memory() {
    let bare = Bare::of("kdump.elf");
    let raw = bare.open();
    assert_eq!(raw.vmcoreinfo(), Ok(None));
    assert_eq!(raw.page_size(), Ok(PageShift::SIZE_4K));
    assert!(matches!(kernel::walker_of(&raw), Err(Error::NoVmcoreinfo)));
    let Piece { offset, range } = bare.pieces[3];
    let mut page = vec![0; range.size() as usize];
    raw.reader().read(range.start(), &mut page).unwrap();
    assert_eq!(page, bare.memory[offset as usize..][..page.len()]);

    // Pages of arm64 have several sizes.
    let raw = Dump::open_raw(&[][..], Machine::AARCH64, X86_64, []);
    assert!(matches!(raw.page_size(), Err(Error::NoVmcoreinfo)));
    assert_eq!(raw.ranges().count(), 0);
}

#[test]
fn a_byte_comes_from_the_first_piece_that_has_it_and_a_short_file_loses_some() {
    let file: Vec<u8> = (0..=255).collect();
    let pieces = [(0x1000, 0x80, 0x10), (0x1040, 0x80, 0), (0x2000, 0x20, 240)];
    let pieces = pieces.map(|(start, size, offset)| Piece {
        offset,
        range: range(start, size),
    });
    let raw = Dump::open_raw(&file[..], Machine::X86_64, X86_64, pieces);
    let read = |at, len| {
        let mut out = vec![0; len];
        raw.reader()
            .read(PhysAddr::new(at), &mut out)
            .map(|()| out)
            .map_err(|error| (error.at.as_u64(), error.why))
    };
    assert_eq!(read(0x107e, 4), Ok(vec![0x8e, 0x8f, 0x40, 0x41]));
    assert_eq!(read(0x200e, 4), Err((0x2010, Absence::Lost)));
    assert_eq!(read(0x10be, 4), Err((0x10c0, Absence::Undescribed)));
    assert_eq!(
        raw.byte_counts(),
        Counts {
            present: 0xc0 + 0x10,
            excluded: 0,
            lost: 0x10
        }
    );
    let lent = raw.reader();
    assert_eq!(lent.lend(PhysAddr::new(0x1001), 2), Some(&[0x11, 0x12][..]));

    // The last byte of the address space is in no range, and a piece past any file is lost.
    let piece = Piece {
        offset: u64::MAX,
        range: range(0, u64::MAX),
    };
    let raw = Dump::open_raw(&file[..], Machine::X86_64, X86_64, [piece]);
    assert_eq!(raw.byte_counts().lost, u64::MAX);
}

#[test]
fn a_file_is_read_as_its_bytes_are_and_is_shared_by_threads() {
    let path = testdata("kdump.head");
    let bytes = fs::read(&path).unwrap();
    let file = FileSource::new(fs::File::open(path).unwrap()).unwrap();
    let piece = Piece {
        offset: 0,
        range: range(0x8000_0000, bytes.len() as u64),
    };
    let raw = Dump::open_raw(file, Machine::RISCV, X86_64, [piece]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut out = vec![0; bytes.len()];
                raw.reader().read(piece.range.start(), &mut out).unwrap();
                assert!(out == bytes);
            });
        }
    });
}
