//! A live kernel's memory as /proc/kcore shows it: a file of 128 TiB, of which a few bytes are looked at.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use elf_format::{
    Class, Encoding, Endian, Machine, NoteType, Segment, SegmentFlags, SegmentType, Writer, note,
};
use physmem::{Absence, PhysAddr, PhysMemory, VirtAddr};
use vmcore_format::{Dump, ReadAt, Reader, kernel, source::ReadError, vmcoreinfo};

const X86_64: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};
/// `kc_vaddr_to_offset()` of x86: the low 47 bits, behind the headers.
const OFFSET_MASK: u64 = (1 << 47) - 1;
const HEADERS: u64 = 0x10_0000;
/// What the size of the file is on x86-64 with four levels of page tables.
const SIZE: u64 = OFFSET_MASK + 1 + HEADERS;
const DIRECT_MAP: u64 = 0xffff_8dfc_0000_0000;
const VMALLOC: u64 = 0xffff_a06a_4000_0000;

fn testdata(name: &str) -> Vec<u8> {
    let testdata = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    fs::read(testdata.join(name)).unwrap()
}

/// /proc/kcore of the machine whose memory is in the sample: nothing of it lies in a row.
struct Kcore {
    headers: Vec<u8>,
    /// First byte in the file, and the bytes.
    memory: Vec<(u64, Vec<u8>)>,
    read: AtomicU64,
}

impl ReadAt for Kcore {
    fn size(&self) -> u64 {
        SIZE
    }

    /// As the kernel does: zeros where nothing is.
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        assert!(offset + out.len() as u64 <= SIZE);
        self.read.fetch_add(out.len() as u64, Ordering::Relaxed);
        out.fill(0);
        let headers = [(0, &self.headers)].into_iter();
        let memory = self.memory.iter().map(|(at, bytes)| (*at, bytes));
        for (at, bytes) in headers.chain(memory) {
            let start = offset.max(at);
            let end = (offset + out.len() as u64).min(at + bytes.len() as u64);
            if start < end {
                let part = &bytes[(start - at) as usize..(end - at) as usize];
                out[(start - offset) as usize..(end - offset) as usize].copy_from_slice(part);
            }
        }
        Ok(())
    }
}

impl Kcore {
    /// With the physical address that `paddr` makes of each.
    fn new(paddr: impl Fn(u64) -> u64) -> Self {
        let file = testdata("kdump.elf");
        let dump = Dump::open(&file[..]).unwrap();
        let segment = |vaddr: u64, paddr, memsz| Segment {
            kind: SegmentType::LOAD,
            flags: SegmentFlags::READ | SegmentFlags::WRITE | SegmentFlags::EXECUTE,
            offset: (vaddr & OFFSET_MASK) + HEADERS,
            vaddr,
            paddr,
            filesz: memsz,
            memsz,
            align: 4096,
        };
        let mut segments = vec![
            segment(0xffff_ffff_ff60_0000, paddr(u64::MAX), 0x1000),
            segment(VMALLOC, paddr(u64::MAX), 0x1fff_ffff_ffff),
        ];
        let mut memory = Vec::new();
        for (range, _) in dump.ranges() {
            let at = range.start().as_u64();
            let segment = segment(DIRECT_MAP + at, paddr(at), range.size());
            let mut bytes = vec![0; range.size() as usize];
            dump.reader().read(range.start(), &mut bytes).unwrap();
            memory.push((segment.offset, bytes));
            segments.push(segment);
        }
        let info = dump.vmcoreinfo().unwrap().unwrap();
        let zeros = [0; 336];
        let note = |name, kind, desc| note::Builder { name, kind, desc };
        let notes = [
            // Of a live kernel nothing is known but that it is there.
            note(b"CORE", NoteType::PRSTATUS, &zeros),
            note(b"CORE", NoteType::PRPSINFO, &zeros[..136]),
            note(vmcoreinfo::NOTE_NAME, NoteType(0), info.text()),
        ];
        let writer = Writer::core(X86_64, Machine::X86_64, &notes, segments.iter().copied());
        Self {
            headers: writer.to_vec().unwrap(),
            memory,
            read: AtomicU64::new(0),
        }
    }
}

fn translated(dump: &Dump<impl ReadAt>, virt: VirtAddr) -> Option<PhysAddr> {
    let walker = kernel::walker_of(dump).unwrap();
    let found = walker.translate(&dump.reader(), virt);
    found.ok().map(|mapping| mapping.phys)
}

#[test]
fn a_live_kernel_is_read_like_a_dead_one() {
    let kcore = Kcore::new(|at| at);
    assert!(kcore.headers.len() as u64 <= HEADERS);
    let live = Dump::open(&kcore).unwrap();
    // Program headers and notes once; the file header while it is found out what the file is.
    let opened = kcore.read.swap(0, Ordering::Relaxed);
    assert!(opened <= kcore.headers.len() as u64 + 512, "{opened} bytes");

    let file = testdata("kdump.elf");
    let dead = Dump::open(&file[..]).unwrap();
    assert_eq!(live.segments().len(), 3 + dead.ranges().count());
    assert!(
        live.ranges().eq(dead.ranges()),
        "what is mapped elsewhere is no RAM"
    );
    assert_eq!(live.byte_counts(), dead.byte_counts());
    assert_eq!(live.notes().count(), 3);
    assert_eq!(live.cpus().next().unwrap().unwrap().status.pid(), 0);
    let text = |dump: Option<vmcore_format::Vmcoreinfo<'_>>| dump.unwrap().text().to_vec();
    assert_eq!(
        text(live.vmcoreinfo().unwrap()),
        text(dead.vmcoreinfo().unwrap())
    );

    let rows = String::from_utf8(testdata("kdump.xlat.tsv")).unwrap();
    for row in rows.lines() {
        let virt = u64::from_str_radix(row.split('\t').next().unwrap(), 16).unwrap();
        let virt = VirtAddr::new(virt);
        assert_eq!(translated(&live, virt), translated(&dead, virt), "{row}");
    }
    let banner = |memory: &Reader<'_, &Kcore>| {
        let walker = kernel::walker_of(&live).unwrap();
        let mut banner = [0; 13];
        let at = VirtAddr::new(0xffff_ffff_a791_ffe0);
        kernel::read(&walker, memory, at, &mut banner).map(|()| banner)
    };
    assert_eq!(&banner(&live.reader()).unwrap(), b"Linux version");
    // A few words of tables for each row.
    assert!(kcore.read.load(Ordering::Relaxed) < rows.lines().count() as u64 * 64);
}

#[test]
fn an_old_kernel_does_not_tell_physical_addresses() {
    // Before Linux 4.11 all of them are 0.
    let kcore = Kcore::new(|_| 0);
    let live = Dump::open(&kcore).unwrap();
    assert_eq!(live.ranges().count(), 0);
    assert!(live.vmcoreinfo().unwrap().is_some());
    let error = live.reader().read(PhysAddr::new(0), &mut [0]).unwrap_err();
    assert_eq!(error.why, Absence::Undescribed);
}
