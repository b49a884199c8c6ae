//! A real dump, against what libkdumpfile and crash say of it.
#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fs, path::PathBuf};

use page_walk::{AnyWalker, FaultKind};
use physmem::{Absence, PageShift, Pfn, PhysAddr, PhysMemory, PhysRange, VirtAddr};
use vmcore_format::{
    Dump,
    dump::Counts,
    kernel::{
        self,
        kexec_image::{Kimage, KimageError, Layout},
    },
    source::FileSource,
};

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(name)
}

/// The rows of a table, split at tabs.
fn rows(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(testdata(name)).unwrap();
    let rows: Vec<Vec<_>> = text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect();
    assert!(rows.len() > 30, "{name} has {} rows", rows.len());
    rows
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

/// `None` where nothing is mapped; a missing table is a failure of the test.
fn translated<M: PhysMemory>(walker: &AnyWalker, memory: &M, virt: u64) -> Option<u64> {
    match walker.translate(memory, VirtAddr::new(virt)) {
        Ok(mapping) => Some(mapping.phys.as_u64()),
        Err(fault) => {
            let unmapped = matches!(
                fault.kind,
                FaultKind::NotPresent { .. } | FaultKind::NonCanonical
            );
            assert!(unmapped, "{fault}");
            None
        }
    }
}

fn expected(text: &str) -> Option<u64> {
    (text != "unmapped").then(|| hex(text))
}

#[test]
fn threads_share_a_dump() {
    fn shared<T: Sync>() {}
    shared::<Dump<&[u8]>>();
    shared::<Dump<FileSource>>();
}

#[test]
fn kernel_addresses_translate_as_libkdumpfile_says() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (kernel, memory) = (kernel::Layout::of(&dump).unwrap(), dump.reader());
    for row in rows("kdump.xlat.tsv") {
        let ours = translated(&kernel.walker, &memory, hex(&row[0]));
        assert_eq!(ours, expected(&row[1]), "{row:?}");
    }
}

#[test]
fn user_addresses_translate_as_crash_says() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let memory = dump.reader();
    for row in rows("kdump.user-xlat.tsv") {
        let walker = kernel::walker_at(&dump, PhysAddr::new(hex(&row[0]))).unwrap();
        let ours = translated(&walker, &memory, hex(&row[1]));
        assert_eq!(ours, expected(&row[2]), "{row:?}");
    }
}

#[test]
fn pages_are_what_libkdumpfile_reads_mapped_or_not() {
    let bytes = fs::read(testdata("kdump.elf")).unwrap();
    let lent = Dump::open(&bytes[..]).unwrap();
    let file = FileSource::new(fs::File::open(testdata("kdump.elf")).unwrap()).unwrap();
    let read = Dump::open(file).unwrap();
    for row in rows("kdump.pages.tsv") {
        let at = Pfn::new(row[0].parse().unwrap())
            .addr(PageShift::SIZE_4K)
            .unwrap();
        let mut page = [0; 4096];
        read.reader().read(at, &mut page).unwrap();
        assert_eq!(u64::from(crc32fast::hash(&page)), hex(&row[1]), "{row:?}");
        assert_eq!(lent.reader().lend(at, 4096), Some(&page[..]));
        assert_eq!(read.reader().lend(at, 4096), None);
    }
}

#[test]
fn registers_and_notes_are_as_readelf_and_crash_give_them() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let notes: Vec<_> = dump.notes().map(|note| note.unwrap()).collect();
    let listed: Vec<_> = notes
        .iter()
        .map(|note| (note.name, note.desc.len()))
        .collect();
    assert_eq!(
        listed,
        [
            (&b"CORE"[..], 0x150),
            (&b"CORE"[..], 0x150),
            (&b"VMCOREINFO"[..], 0xcd3)
        ]
    );
    let cpus: Vec<_> = dump.cpus().map(|cpu| cpu.unwrap()).collect();
    let told: Vec<_> = cpus
        .iter()
        .map(|cpu| {
            (
                cpu.index,
                cpu.status.pid(),
                cpu.status.register("rip").unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, 0, 0xffff_ffff_a721_7a0b),
            (1, 104, 0xffff_ffff_a696_475a)
        ]
    );
    assert_eq!(cpus[0].status.registers().count(), 27);
}

#[test]
fn what_the_kernel_says_of_itself() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let info = dump.vmcoreinfo().unwrap().unwrap();
    assert_eq!(info.os_release(), Ok(Some("6.1.0-56-cloud-amd64")));
    assert_eq!(
        info.build_id(),
        Ok(Some("3b43fad5034874490492495d552c0af6a5fab235"))
    );
    assert_eq!(info.lines().filter(Result::is_ok).count(), 109);
    assert_eq!(
        info.number("PAGE_BUDDY_MAPCOUNT_VALUE"),
        Ok(Some(0xffff_ffff_ffff_ff7f))
    );
    assert_eq!(dump.page_size(), Ok(PageShift::SIZE_4K));
    let kernel = kernel::Layout::of(&dump).unwrap();
    assert_eq!(kernel.kernel_offset, Some(0x2580_0000));
    assert!(
        matches!(kernel.walker, AnyWalker::X86_64(w) if w.root() == PhysAddr::new(0x1101_0000))
    );
}

#[test]
fn virtual_memory_reads_across_pages_and_names_what_is_missing() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (kernel, memory) = (kernel::Layout::of(&dump).unwrap(), dump.reader());
    let banner = VirtAddr::new(0xffff_ffff_a791_ffe0);
    let mut text = [0; 45];
    kernel::read(&kernel.walker, &memory, banner, &mut text).unwrap();
    assert_eq!(&text, b"Linux version 6.1.0-56-cloud-amd64 (debian-ke");

    let error = kernel::read(&kernel.walker, &memory, banner, &mut [0; 0x2000]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "virtual address 0xffffffffa7921000 is mapped: physical address 0x10721000: not in the dump"
    );
    let null = kernel::read(&kernel.walker, &memory, VirtAddr::new(0), &mut [0]).unwrap_err();
    assert!(matches!(null, kernel::VirtError::Fault(fault) if fault.level.name() == "pgd"));
}

#[test]
fn what_was_not_kept_is_not_ram() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let Counts {
        present,
        excluded,
        lost,
    } = dump.byte_counts();
    assert_eq!((excluded, lost), (0, 0));
    assert!(present < file.len() as u64);
    let first = dump.ranges().next();
    let start = PhysAddr::new(0x1000);
    assert_eq!(
        first,
        PhysRange::with_size(start, 0x1000)
            .ok()
            .map(|range| (range, None))
    );
    let error = dump
        .reader()
        .read(PhysAddr::new(0x1ff8), &mut [0; 16])
        .unwrap_err();
    assert_eq!(
        (error.at, error.why),
        (PhysAddr::new(0x2000), Absence::Undescribed)
    );
}

/// What `kexec -d -p` had printed in the machine before it crashed.
const LOADED: [[u64; 4]; 7] = [
    [0x5583_211a_36c0, 0x30, 0x800_0000, 0x1000],
    [0x7f5b_8af2_2010, 0x2d_ab10, 0xb72_5000, 0x2d_b000],
    [0x7f5b_8b20_2010, 0xd8_2200, 0xba0_0000, 0x337_8000],
    [0x5583_2119_e0c0, 0x50a5, 0xef4_e000, 0x6000],
    [0x5583_2119_6e80, 0x70e0, 0xef5_4000, 0x9000],
    [0x5583_2117_e480, 0x400, 0xef5_d000, 0x4000],
    [0x7f5b_8ae8_3010, 0x9_ec00, 0xef6_1000, 0x9_f000],
];

#[test]
fn the_crash_kernel_is_the_one_that_was_loaded() {
    let file = fs::read(testdata("kimage-crash.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (walker, memory) = (kernel::Layout::of(&dump).unwrap().walker, dump.reader());
    let layout = Layout::of(&dump).unwrap();
    let loaded = |symbol| Kimage::loaded(&walker, &memory, VirtAddr::new(symbol), &layout);
    let image = loaded(0xffff_ffff_a8b4_2058).unwrap().unwrap();
    assert_eq!(image.at, VirtAddr::new(0xffff_8dfc_13e1_2c00));
    // Its list is empty: IND_DONE.
    assert_eq!((image.head, image.start), (4, 0xef5_4760));
    let segments = image.segments().iter();
    let found: Vec<_> = segments.map(|s| [s.buf, s.bufsz, s.mem, s.memsz]).collect();
    assert_eq!(found, LOADED);
    assert!(image.flags.is_crash() && !image.flags.is_file_mode());
    // As this version of Linux counts it: the last byte that was taken.
    assert_eq!(image.control_page, 0x800_6fff);
    // For a reboot nothing was loaded.
    assert_eq!(loaded(0xffff_ffff_a8b4_2060).unwrap(), None);

    let missing = Kimage::read(
        &walker,
        &memory,
        VirtAddr::new(0xffff_8dfc_13e1_3000),
        &layout,
    );
    assert_eq!(
        missing.unwrap_err().to_string(),
        "virtual address 0xffff8dfc13e13000 is mapped: physical address 0x13e13000: not in the dump"
    );
    let unmapped = Kimage::read(&walker, &memory, VirtAddr::new(0x1000), &layout);
    assert!(matches!(
        unmapped,
        Err(KimageError::Memory(kernel::VirtError::Fault(_)))
    ));
}
