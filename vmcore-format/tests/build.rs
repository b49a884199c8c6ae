//! A real crash made again: the note buffers, the elfcorehdr, and what /proc/vmcore made of them.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{fs, path::Path};

use e820::text::iomem::{Resource, Resources};
use elf_format::{
    Class, Elf, Encoding, Endian, Machine, NoteType, Notes, Prstatus, Segment, SegmentType,
    prstatus,
};
use physmem::{
    MemError, PageShift, PhysAddr, PhysMemory, PhysRange, Region, Regions, SortedRanges, VirtAddr,
    sorted,
};
use vmcore_format::{
    Dump, ReadAt, Reader, Vmcoreinfo,
    build::{
        elfcorehdr::{Backup, Builder, Image, KexecTools, Policy},
        notes::{CpuBuffer, VmcoreinfoBuffer},
        proc_vmcore::{CaptureKernel, NoteAlign, ProcVmcore},
    },
    vmcoreinfo::{self, Entry},
};

const ENCODING: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};
/// Debian's 6.1.
const KERNEL: CaptureKernel = CaptureKernel {
    page: PageShift::SIZE_4K,
    note_align: NoteAlign::Zero,
};
/// Where the first two CPUs' notes and VMCOREINFO lay, and how many bytes each.
const BUFFERS: [(u64, usize); 3] = [
    (0x11f_0000, 0x1024),
    (0x1343_9400, 0x170),
    (0x1353_9400, 0x170),
];
const BACKUP: u64 = 0xef6_1000;

fn sample(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read(root.join(name)).unwrap()
}

fn range(start: u64, size: u64) -> PhysRange {
    PhysRange::with_size(PhysAddr::new(start), size).unwrap()
}

/// The bytes of each of [`BUFFERS`] after the crash.
fn buffers() -> [Vec<u8>; 3] {
    let bytes = sample("testdata/kdump.note-buffers");
    let mut rest = &bytes[..];
    let buffers = BUFFERS.map(|(_, len)| {
        let (buffer, after) = rest.split_at(len);
        rest = after;
        buffer.to_vec()
    });
    assert!(rest.is_empty());
    buffers
}

/// The ranges of that name in a `/proc/iomem`.
fn named(iomem: &[u8], name: &str) -> Vec<PhysRange> {
    let resources = Resources::parse(iomem)
        .unwrap()
        .map(|resource| resource.unwrap());
    let inclusive = |r: Resource<'_>| PhysRange::inclusive(r.start.into(), r.last.into());
    resources
        .filter(|resource| resource.name == name)
        .map(|resource| inclusive(resource).unwrap())
        .collect()
}

/// The elfcorehdr that kexec-tools made: which memory is read off `/proc/iomem` as kexec does, all
/// else is what the kernel told it.
fn elfcorehdr() -> Vec<u8> {
    let iomem = sample("e820/testdata/kdump-first.iomem.txt");
    let ram = named(&iomem, "System RAM");
    let backup = Backup {
        source: ram[0],
        copy: PhysAddr::new(BACKUP),
    };
    let [vmcoreinfo, cpu_notes @ ..] = BUFFERS.map(|(at, len)| range(at, len as u64));
    let dumped = sorted(ram).unwrap();
    Builder {
        encoding: ENCODING,
        machine: Machine::X86_64,
        policy: Policy::KexecTools(KexecTools {
            backup: Some(backup),
            lowmem_end: None,
            spare: 6,
        }),
        cpu_notes: &cpu_notes,
        vmcoreinfo: Some(vmcoreinfo),
        image: Some(Image {
            virt: VirtAddr::new(0xffff_ffff_a680_0000),
            phys: range(0xf60_0000, 0x283_0000),
        }),
        ram: dumped.subtract(sorted(named(&iomem, "Crash kernel")).unwrap()),
        page_offset: 0xffff_8dfc_0000_0000,
    }
    .to_vec()
    .unwrap()
}

/// The same guest crashed twice, its crash kernel loaded by `kexec -s`, for which Linux makes the
/// elfcorehdr, and by `kexec -c`. Both are as the capture kernel had them in memory.
#[test]
fn the_elfcorehdrs_of_linux_and_of_kexec_tools_byte_for_byte() {
    let iomem = sample("testdata/elfcorehdr/iomem.txt");
    let (ram, crash_kernel) = (named(&iomem, "System RAM"), named(&iomem, "Crash kernel"));
    let code = named(&iomem, "Kernel code")[0].start();
    let backup = Backup {
        source: ram[0],
        copy: PhysAddr::new(0x16f6_1000),
    };
    let tools = KexecTools {
        backup: Some(backup),
        lowmem_end: None,
        spare: 6,
    };
    // `_text` and `page_offset_base`, which KASLR chose anew.
    for (name, policy, text, page_offset, is_low_dumped) in [
        (
            "kernel",
            Policy::Kernel,
            0xffff_ffff_9560_0000,
            0xffff_8ef7_4000_0000,
            false,
        ),
        (
            "kexec-tools",
            Policy::KexecTools(tools),
            0xffff_ffff_ba00_0000,
            0xffff_8e7b_4000_0000,
            true,
        ),
    ] {
        // Linux does not dump the first MiB, and kexec-tools copies it away.
        let low = (!is_low_dumped).then(|| range(0, 0x10_0000));
        let excluded = sorted(low.into_iter().chain(crash_kernel.iter().copied())).unwrap();
        let built = Builder {
            encoding: ENCODING,
            machine: Machine::X86_64,
            policy,
            cpu_notes: &[range(0x1743_9400, 0x170), range(0x1753_9400, 0x170)],
            vmcoreinfo: Some(range(0x11e_2000, 0x1024)),
            image: Some(Image {
                virt: VirtAddr::new(text),
                phys: PhysRange::with_size(code, 0x283_0000).unwrap(),
            }),
            ram: sorted(ram.iter().copied()).unwrap().subtract(excluded),
            page_offset,
        };
        let real = sample(&format!("testdata/elfcorehdr/{name}"));
        assert_eq!(built.to_vec().unwrap(), real, "{name}");
    }
}

/// The dead kernel's memory as the capture kernel found it: that of the dump, the notes, and the
/// backup.
struct OldMemory<'d> {
    dump: Reader<'d, &'d [u8]>,
    notes: Regions<Vec<Region<Vec<u8>>>, Vec<u8>>,
}

impl<'d> OldMemory<'d> {
    fn new(dump: &'d Dump<&'d [u8]>) -> Self {
        let regions = BUFFERS.into_iter().zip(buffers());
        let regions = regions.map(|((at, _), bytes)| Region::try_new(at.into(), bytes).unwrap());
        Self {
            dump: dump.reader(),
            notes: Regions::try_new(regions.collect()).unwrap(),
        }
    }
}

impl PhysMemory for OldMemory<'_> {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        if self.notes.read(at, out).is_ok() {
            return Ok(());
        }
        // purgatory copied 0x1000 and up there, and the dump has it at its own address.
        let backup = range(BACKUP, 0x9_ec00);
        match at.checked_offset_from(backup.start()) {
            Some(within) if backup.contains(at) => self.dump.read((0x1000 + within).into(), out),
            _ => self.dump.read(at, out),
        }
    }

    fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

fn line(segment: &Segment) -> String {
    let Segment {
        kind,
        offset,
        vaddr,
        paddr,
        filesz,
        memsz,
        ..
    } = segment;
    format!(
        "p_type = {}, p_offset = {offset:#x} p_paddr = {paddr:#x} p_vaddr = {vaddr:#x} \
         p_filesz = {filesz:#x} p_memsz = {memsz:#x}",
        kind.0
    )
}

#[test]
fn the_elfcorehdr_is_the_one_that_kexec_said_it_made() {
    let log = String::from_utf8(sample("testdata/kdump.kexec-p.txt")).unwrap();
    let told: Vec<_> = log
        .lines()
        .filter_map(|line| Some(&line[line.find("p_type = ")?..]))
        .collect();
    assert_eq!(told.len(), 7);
    let header = elfcorehdr();
    assert_eq!(header.len(), 0x400);
    let elf = Elf::parse(&header).unwrap();
    assert_eq!(elf.segments().map(|s| line(&s)).collect::<Vec<_>>(), told);
    for segment in elf.segments() {
        let bits = if segment.kind == SegmentType::LOAD {
            7
        } else {
            0
        };
        assert_eq!((segment.flags.bits(), segment.align), (bits, 0));
    }
}

#[test]
fn proc_vmcore_of_it_is_the_real_one_byte_for_byte() {
    let file = sample("testdata/kdump.elf");
    let dump = Dump::open(&file[..]).unwrap();
    let real = sample("testdata/kdump.head");
    let vmcore = ProcVmcore::try_new(&elfcorehdr(), OldMemory::new(&dump), KERNEL).unwrap();
    assert_eq!(vmcore.headers(), &real[..64 + 5 * 56]);
    assert_eq!(vmcore.notes(), &real[0x1000..][..0xfb4]);
    let mut head = vec![0xff; real.len()];
    vmcore.read_exact_at(0, &mut head).unwrap();
    assert_eq!(head, real);
    // The size of the whole dump.
    assert_eq!(vmcore.size(), 259_710_976);
    let pieces: Vec<_> = vmcore
        .pieces()
        .iter()
        .map(|p| (p.offset, p.range))
        .collect();
    assert_eq!(
        pieces,
        [
            (0x2000, range(0xf60_0000, 0x283_0000)),
            (0x283_2000, range(BACKUP, 0x9_f000)),
            (0x28d_1000, range(0x10_0000, 0x7f0_0000)),
            (0xa7d_1000, range(0xf00_0000, 0x4fd_d000)),
        ]
    );
}

/// All that the small dump has of the memory comes through the rebuilt file too, from where the
/// real one has it.
#[test]
fn memory_through_the_rebuilt_file_is_the_dumps() {
    let file = sample("testdata/kdump.elf");
    let dump = Dump::open(&file[..]).unwrap();
    let vmcore = ProcVmcore::try_new(&elfcorehdr(), OldMemory::new(&dump), KERNEL).unwrap();
    let rebuilt = Dump::open(&vmcore).unwrap();
    assert_eq!(rebuilt.cpus().count(), 2);
    let info = rebuilt.vmcoreinfo().unwrap().unwrap();
    assert_eq!(info.os_release(), Ok(Some("6.1.0-56-cloud-amd64")));

    let real = sample("testdata/kdump.head");
    let loads = Elf::parse(&real).unwrap().segments().skip(1);
    let (memory, through) = (dump.reader(), rebuilt.reader());
    let mut pages = 0;
    for (stretch, _) in dump.ranges() {
        let mut at = stretch.start();
        while let Some(page) = stretch.at_and_above(at) {
            // The last page of the first MiB's RAM is cut.
            let len = page.size().min(4096);
            let (mut expected, mut found) = (vec![0; len as usize], vec![0; len as usize]);
            memory.read(page.start(), &mut expected).unwrap();
            through.read(page.start(), &mut found).unwrap();
            assert_eq!(found, expected, "{at}");

            let holds = |load: &Segment| range(load.paddr, load.memsz).contains(page.start());
            let load = loads.clone().find(holds).unwrap();
            let offset = load.offset + (page.start().as_u64() - load.paddr);
            vmcore.read_exact_at(offset, &mut found).unwrap();
            assert_eq!(found, expected, "{at}");
            pages += 1;
            at = page.start().checked_add(len).unwrap();
        }
    }
    assert!(pages > 300, "{pages}");
}

#[test]
fn note_buffers_made_again_are_the_real_ones() {
    let [vmcoreinfo, cpus @ ..] = buffers();
    for buffer in cpus {
        let note = Notes::new(&buffer, Endian::Little, 0, 0)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!((note.name, note.kind), (&b"CORE"[..], NoteType::PRSTATUS));
        let status = Prstatus::parse(note.desc, Machine::X86_64, ENCODING, 0).unwrap();
        let registers: Vec<_> = status.registers().map(|(_, value)| value).collect();
        let status = prstatus::Builder {
            layout: status.layout(),
            endian: Endian::Little,
            pid: status.pid(),
            signal: status.signal(),
            registers: &registers,
        };
        assert_eq!(CpuBuffer { status }.to_vec().unwrap(), buffer);
    }

    let note = Notes::new(&vmcoreinfo, Endian::Little, 0, 0)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let lines: Vec<_> = Vmcoreinfo::new(note.desc, 0)
        .lines()
        .map(|line| line.unwrap())
        .collect();
    let id = lines[1].value.as_bytes().chunks(2);
    let id: Vec<u8> = id
        .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect();
    let entries: Vec<_> = lines
        .iter()
        .map(|line| entry(line.key, line.value, &id))
        .collect();
    let page = PageShift::SIZE_4K;
    let text = vmcoreinfo::Builder {
        entries: &entries,
        page,
    };
    let buffer = VmcoreinfoBuffer {
        text: &text.to_vec().unwrap(),
        page,
        endian: Endian::Little,
    };
    assert_eq!(buffer.to_vec().unwrap(), vmcoreinfo);
}

/// The line, typed.
fn entry<'a>(key: &'a str, value: &'a str, id: &'a [u8]) -> Entry<'a> {
    let decimal = || value.parse().unwrap();
    let hex = || u64::from_str_radix(value, 16).unwrap();
    let (kind, name) = key.split_once('(').unwrap_or((key, ""));
    let name = name.trim_end_matches(')');
    match kind {
        "OSRELEASE" => Entry::OsRelease(value),
        "BUILD-ID" => Entry::BuildId(id),
        "PAGESIZE" => Entry::PageSize(PageShift::from_bytes(decimal()).unwrap()),
        "SYMBOL" => Entry::Symbol {
            name,
            address: hex(),
        },
        "SIZE" => Entry::Size {
            name,
            bytes: decimal(),
        },
        "OFFSET" => Entry::Offset {
            name,
            bytes: decimal(),
        },
        "LENGTH" => Entry::Length {
            name,
            elements: decimal(),
        },
        "NUMBER" => Entry::Number {
            name,
            value: value.parse().unwrap(),
        },
        "KERNELOFFSET" => Entry::KernelOffset(hex()),
        "CRASHTIME" => Entry::CrashTime(decimal()),
        _ => panic!("{key}={value}"),
    }
}
