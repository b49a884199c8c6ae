//! Elfcorehdrs built of any numbers, and any bytes taken for one.

use elf_format::{Class, Elf, Encoding, Endian, Machine, SegmentType};
use physmem::{MemError, PageShift, PhysAddr, PhysMemory, PhysRange, Region, VirtAddr};
use vmcore_format::{
    Dump, ReadAt,
    build::{
        elfcorehdr::{Backup, Builder, HEADERS_MAX, Image, KexecTools, Policy},
        proc_vmcore::{CaptureKernel, NoteAlign, ProcVmcore},
    },
};

/// The first address of the memory that an input holds.
const BASE: u64 = 0x1000;

/// Zeros at every address: of CPUs that were offline.
struct Zeros;

impl PhysMemory for Zeros {
    fn read(&self, _: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        out.fill(0);
        Ok(())
    }

    fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

fn encoding(flags: u8) -> Encoding {
    Encoding {
        class: [Class::Elf64, Class::Elf32][usize::from(flags & 1)],
        endian: [Endian::Little, Endian::Big][usize::from(flags >> 1 & 1)],
    }
}

/// Flags, how many of the ranges are notes, the offset of the map of all memory; then ranges:
/// where, and how many bytes.
///
/// What is emitted is read as what was given; a capture kernel would read it, too.
pub fn elfcorehdr(data: &[u8]) {
    let Some((&[flags, notes], rest)) = data.split_first_chunk() else {
        return;
    };
    let (words, _) = rest.as_chunks::<8>();
    let Some((page_offset, words)) = words.split_first() else {
        return;
    };
    let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let ranges: Vec<PhysRange> = words
        .as_chunks::<2>()
        .0
        .iter()
        .filter_map(|&[start, size]| PhysRange::with_size(PhysAddr::new(start), size).ok())
        .collect();
    let (notes, ram) = ranges.split_at(ranges.len().min(notes.into()));
    let backup = ram.last().map(|source| Backup {
        source: *source,
        copy: PhysAddr::new(BASE),
    });
    let rest = KexecTools {
        backup: backup.filter(|_| flags & 8 != 0),
        lowmem_end: (flags & 16 != 0).then_some(PhysAddr::new(1 << 30)),
        spare: usize::from(flags >> 6),
    };
    let image = ram.first().map(|phys| Image {
        virt: VirtAddr::new(u64::from_le_bytes(*page_offset)),
        phys: *phys,
    });
    let builder = Builder {
        encoding: encoding(flags),
        machine: Machine::X86_64,
        policy: match flags & 4 {
            0 => Policy::Kernel,
            _ => Policy::KexecTools(rest),
        },
        cpu_notes: notes,
        vmcoreinfo: None,
        image: image.filter(|_| flags & 32 != 0),
        ram: ram.iter().copied(),
        page_offset: u64::from_le_bytes(*page_offset),
    };
    let Ok(header) = builder.to_vec() else {
        return;
    };
    assert_eq!(header.len(), builder.emitted_len());
    let elf = Elf::parse(&header).unwrap();
    assert!(elf.segments().len() <= HEADERS_MAX);
    let told: Vec<_> = elf
        .segments()
        .map(|segment| (segment.paddr, segment.memsz))
        .collect();
    let given = notes
        .iter()
        .chain(builder.image.as_ref().map(|image| &image.phys))
        .chain(ram);
    assert!(
        given
            .map(|range| (range.start().as_u64(), range.size()))
            .eq(told)
    );
    for segment in elf.segments() {
        assert_eq!(segment.filesz, segment.memsz);
        let copied = backup.filter(|backup| backup.source.start().as_u64() == segment.paddr);
        assert!(segment.offset == segment.paddr || copied.is_some());
    }
    vmcore(&header, Zeros, flags);
}

/// Flags, the length of the header, the header, and the memory that follows it.
pub fn proc_vmcore(data: &[u8]) {
    let Some((&[flags, low, high], rest)) = data.split_first_chunk() else {
        return;
    };
    let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (header, memory) = rest.split_at(len);
    if let Ok(memory) = Region::try_new(PhysAddr::new(BASE), memory) {
        vmcore(header, memory, flags);
    }
}

/// The file is as long as its parts, reads alike however it is asked, and is a dump.
fn vmcore<M: PhysMemory>(header: &[u8], memory: M, flags: u8) {
    let kernel = CaptureKernel {
        page: [PageShift::SIZE_4K, PageShift::SIZE_16K][usize::from(flags >> 5 & 1)],
        note_align: [NoteAlign::Zero, NoteAlign::Four][usize::from(flags >> 6 & 1)],
    };
    let Ok(file) = ProcVmcore::try_new(header, memory, kernel) else {
        return;
    };
    let page = kernel.page.bytes();
    let whole = |bytes: &[u8]| (bytes.len() as u64).next_multiple_of(page);
    let mut end = whole(file.headers()) + whole(file.notes());
    for piece in file.pieces() {
        assert_eq!((piece.offset, piece.offset % page), (end, 0));
        end += piece.range.size();
    }
    assert_eq!(file.size(), end);

    let elf = Elf::parse(file.headers()).unwrap();
    let notes = elf.segments().next().unwrap();
    assert_eq!(notes.kind, SegmentType::NOTE);
    assert_eq!(notes.filesz, file.notes().len() as u64);
    let before = Elf::parse(header).unwrap().segments();
    let merged = before
        .clone()
        .filter(|s| s.kind == SegmentType::NOTE)
        .count();
    for (old, new) in before.skip(merged).zip(elf.segments().skip(1)) {
        let same = (new.kind, new.vaddr, new.paddr, new.filesz, new.memsz);
        assert_eq!(
            same,
            (old.kind, old.vaddr, old.paddr, old.filesz, old.memsz)
        );
        assert!(new.kind != SegmentType::LOAD || new.offset % page == old.offset % page);
    }

    let edges = file
        .pieces()
        .iter()
        .flat_map(|piece| [piece.offset, piece.offset + page - 1]);
    for at in edges.chain([0, notes.offset, end.saturating_sub(1)]) {
        let mut bytes = [0; 40];
        match file.read_exact_at(at, &mut bytes) {
            Ok(()) => assert!(
                file.lend_at(at, bytes.len())
                    .is_none_or(|lent| lent == bytes)
            ),
            Err(_) => assert_eq!(file.lend_at(at, bytes.len()), None),
        }
    }
    if let Ok(dump) = Dump::open(&file) {
        assert_eq!(dump.segments().len(), elf.segments().len());
        let _ = dump.notes().filter(Result::is_ok).count();
    }
}
