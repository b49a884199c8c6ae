//! Broken cores: an error with an offset, or the documented leniency; never a panic.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use elf_format::{
    Class, Encoding, Endian, Machine, NoteType, Segment, SegmentFlags, SegmentType, Writer, note,
};
use physmem::{Absence, MemError, PageShift, PhysAddr, PhysMemory};
use proptest::prelude::*;
use vmcore_format::{Dump, Error, ReadAt, dump::Counts, kernel, source::ReadError};

const ENCODING: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};

fn load(offset: u64, paddr: u64, filesz: u64, memsz: u64) -> Segment {
    let (kind, flags) = (SegmentType::LOAD, SegmentFlags::all());
    Segment {
        kind,
        flags,
        offset,
        vaddr: 0,
        paddr,
        filesz,
        memsz,
        align: 0,
    }
}

const REGISTERS: note::Builder<'_> = note::Builder {
    name: b"CORE",
    kind: NoteType::PRSTATUS,
    desc: &[7; 336],
};
const VMCOREINFO: note::Builder<'_> = note::Builder {
    name: b"VMCOREINFO",
    kind: NoteType(0),
    desc: b"PAGESIZE=4096\n",
};

/// A core with two notes and a page of memory at 0x1000, at whose end the file ends.
fn core() -> Vec<u8> {
    core_with(&[REGISTERS, VMCOREINFO])
}

fn core_with(notes: &[note::Builder<'_>]) -> Vec<u8> {
    let build = |at| {
        Writer::core(
            ENCODING,
            Machine::X86_64,
            notes,
            [load(at, 0x1000, 0x1000, 0x1000)].into_iter(),
        )
    };
    let memory_at = build(0).emitted_len() as u64;
    let mut bytes = build(memory_at).to_vec().unwrap();
    bytes.resize(bytes.len() + 0x1000, 0x5a);
    bytes
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn refused(bytes: &[u8]) -> String {
    Dump::open(bytes).unwrap_err().to_string()
}

#[test]
fn the_sound_one_opens() {
    let bytes = core();
    let dump = Dump::open(&bytes[..]).unwrap();
    assert_eq!(
        dump.byte_counts(),
        Counts {
            present: 0x1000,
            ..Counts::default()
        }
    );
    assert_eq!(dump.cpus().count(), 1);
    assert_eq!(
        dump.vmcoreinfo().unwrap().unwrap().get("PAGESIZE"),
        Ok(Some("4096"))
    );
    let mut page = [0; 0x1000];
    dump.reader()
        .read(PhysAddr::new(0x1000), &mut page)
        .unwrap();
    assert!(page.iter().all(|byte| *byte == 0x5a));
}

/// makedumpfile 1.7.2 smashes its stack on this one, crash 8.0.2 corrupts its heap.
#[test]
fn extended_numbering_without_a_section_header_to_hold_the_number() {
    let mut bytes = core();
    set(&mut bytes, 0x38, &[0xff; 4]); // e_phnum, e_shentsize
    assert!(
        refused(&bytes).starts_with("offset 0x38: e_phnum is 0xffff"),
        "{}",
        refused(&bytes)
    );
    set(&mut bytes, 0x28, &1_u64.to_le_bytes()); // e_shoff
    assert!(
        refused(&bytes).starts_with("offset 0x3a: e_shentsize is 0xffff"),
        "{}",
        refused(&bytes)
    );
}

/// libkdumpfile 0.5 dies of SIGSEGV on this one; nothing here needs the section headers.
#[test]
fn a_section_header_offset_of_one() {
    let mut bytes = core();
    set(&mut bytes, 0x28, &1_u64.to_le_bytes());
    assert!(Dump::open(&bytes[..]).is_ok());
}

#[test]
fn counts_are_compared_with_the_file() {
    let mut bytes = core();
    set(&mut bytes, 0x38, &0xfffe_u16.to_le_bytes());
    assert!(
        refused(&bytes).starts_with("offset 0x40: program header table needs 0x37ff90 bytes"),
        "{}",
        refused(&bytes)
    );

    // PN_XNUM with a section header 0 that claims 4 billion program headers.
    let mut bytes = core();
    let shoff = bytes.len();
    bytes.resize(shoff + 64, 0);
    set(&mut bytes, 0x28, &(shoff as u64).to_le_bytes());
    set(&mut bytes, 0x38, &[0xff, 0xff, 64, 0, 1, 0]);
    set(&mut bytes, shoff + 44, &u32::MAX.to_le_bytes());
    assert!(
        refused(&bytes).starts_with("offset 0x40: program header table needs"),
        "{}",
        refused(&bytes)
    );
}

#[test]
fn notes_that_are_cut_do_not_hinder_the_memory() {
    let mut bytes = core();
    set(&mut bytes, 64 + 32, &u64::to_le_bytes(1 << 63));
    let dump = Dump::open(&bytes[..]).unwrap();
    assert_eq!(dump.byte_counts().present, 0x1000);
    let error = dump.notes().next().unwrap().unwrap_err();
    let expected = "offset 0xb0: PT_NOTE segment needs 0x8000000000000000 bytes";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(dump.vmcoreinfo().is_err());

    // Those before the end of the file are there.
    let whole = core();
    let registers = 0xb0 + 12 + 8 + 336;
    for (len, there) in [
        (registers - 1, 0),
        (registers, 1),
        (registers + 5, 1),
        (whole.len() - 0x1000 - 3, 1),
    ] {
        let dump = Dump::open(&whole[..len]).unwrap();
        let mut notes = dump.notes();
        assert_eq!(notes.by_ref().take_while(Result::is_ok).count(), there);
        assert!(notes.next().is_none());
        let error = dump.notes().last().unwrap().unwrap_err();
        let expected = format!(
            "offset 0xb0: PT_NOTE segment needs 0x18c bytes, {:#x} are there",
            len - 0xb0
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(dump.vmcoreinfo(), Err(error));
    }
}

#[test]
fn vmcoreinfo_before_the_cut_is_there() {
    let whole = core_with(&[VMCOREINFO, REGISTERS]);
    let text = 0xb0 + 12 + 12 + 14;
    for (len, is_there) in [
        (text - 1, false),
        (text, true),
        (whole.len() - 0x1000 - 1, true),
    ] {
        let dump = Dump::open(&whole[..len]).unwrap();
        assert!(dump.notes().last().unwrap().is_err(), "{len:#x}");
        let page_size = dump
            .vmcoreinfo()
            .map(|info| info.unwrap().get("PAGESIZE").unwrap());
        assert_eq!(page_size.ok(), is_there.then_some(Some("4096")), "{len:#x}");
    }
}

/// Notes that must be copied are limited in all; those that are lent are not copied.
#[test]
fn an_allocation_for_notes_has_a_limit() {
    struct Zeros(u64);
    impl ReadAt for Zeros {
        fn size(&self) -> u64 {
            self.0
        }
        fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
            let note = |offset, filesz| Segment {
                kind: SegmentType::NOTE,
                ..load(offset, 0, filesz, 0)
            };
            let notes = [note(0x1000, 60 << 20), note(0x1000, 5 << 20)].into_iter();
            let mut start = Writer::core(ENCODING, Machine::X86_64, &[], notes)
                .to_vec()
                .unwrap();
            start.resize(0x1000, 0);
            out.fill(0);
            let offset = usize::try_from(offset).unwrap();
            if let Some(bytes) = start.get(offset..) {
                let n = bytes.len().min(out.len());
                out[..n].copy_from_slice(&bytes[..n]);
            }
            Ok(())
        }
    }
    let dump = Dump::open(Zeros(1 << 40)).unwrap();
    let error = dump.notes().next().unwrap().unwrap_err().to_string();
    assert!(
        error.starts_with("offset 0x98: p_filesz of a PT_NOTE is 0x500000"),
        "{error}"
    );
}

/// What is not there cannot lie in a wrong place.
#[test]
fn empty_tables_and_notes_may_claim_any_offset() {
    let note = Segment {
        kind: SegmentType::NOTE,
        ..load(u64::MAX, 0, 0, 0)
    };
    let bytes = Writer::core(ENCODING, Machine::X86_64, &[], [note].into_iter())
        .to_vec()
        .unwrap();
    assert_eq!(Dump::open(&bytes[..]).unwrap().notes().count(), 0);
    let mut bytes = core();
    set(&mut bytes, 0x20, &u64::MAX.to_le_bytes()); // e_phoff
    set(&mut bytes, 0x38, &[0, 0]); // e_phnum
    assert!(Dump::open(&bytes[..]).unwrap().segments().is_empty());
}

#[test]
fn memory_past_the_end_of_the_address_space() {
    let mut bytes = core();
    set(&mut bytes, 64 + 56 + 40, &u64::MAX.to_le_bytes()); // p_memsz
    let expected =
        "offset 0xa0: p_memsz is 0xffffffffffffffff, allowed: at most 2^64 - 1 - p_paddr";
    assert_eq!(refused(&bytes), expected);
    // What is left has notes, and no memory.
    let (dump, damage) = Dump::open_damaged(&bytes[..]).unwrap();
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].to_string(), expected);
    assert_eq!(dump.notes().count(), 2);
    assert_eq!(dump.byte_counts(), Counts::default());
    // All ones mean "not known": the segment describes no physical memory.
    set(&mut bytes, 64 + 56 + 24, &u64::MAX.to_le_bytes());
    assert_eq!(
        Dump::open(&bytes[..]).unwrap().byte_counts(),
        Counts::default()
    );
}

/// A file that ends among its program headers: those that are whole are there.
#[test]
fn a_cut_program_header_table() {
    let mut bytes = core();
    bytes.truncate(64 + 56 + 20);
    let expected = "offset 0x40: program header table needs 0x70 bytes, 0x4c are there";
    assert_eq!(refused(&bytes), expected);
    let (dump, damage) = Dump::open_damaged(&bytes[..]).unwrap();
    assert_eq!(dump.segments().len(), 1);
    assert_eq!(damage.len(), 1);
    assert!(dump.notes().next().unwrap().is_err());
    let (dump, damage) = Dump::open_damaged(&core()[..])
        .map(|(_, damage)| ((), damage))
        .unwrap();
    assert_eq!((dump, damage), ((), vec![]));
}

/// A program is no dump, and neither is a container that needs another reader.
#[test]
fn other_files_are_refused_by_name() {
    let mut bytes = core();
    set(&mut bytes, 16, &[2, 0]); // ET_EXEC
    assert_eq!(
        refused(&bytes),
        "offset 0x10: e_type is 0x2, allowed: 4 (ET_CORE)"
    );
    assert_eq!(
        refused(b"BIOS-e820: [mem"),
        "offset 0x0: this is neither an ELF file nor a kdump: it begins with \"BIOS-e82\""
    );
    assert_eq!(
        refused(b"BIOS"),
        "offset 0x0: signature of a dump needs 0x8 bytes, 0x4 are there"
    );
    let mut bytes = b"LibvirtQemudSave".to_vec();
    bytes.resize(4096, 0);
    assert_eq!(
        refused(&bytes),
        "offset 0x0: this is a guest saved by libvirt, which is not read yet"
    );
}

#[test]
fn a_cut_file_opens_and_its_end_is_lost() {
    let mut bytes = core();
    bytes.truncate(bytes.len() - 0x100);
    let dump = Dump::open(&bytes[..]).unwrap();
    assert_eq!(
        dump.byte_counts(),
        Counts {
            present: 0xf00,
            lost: 0x100,
            excluded: 0
        }
    );
    let mut page = [0; 0x1000];
    assert_eq!(
        dump.reader().read(PhysAddr::new(0x1000), &mut page),
        Err(MemError {
            at: PhysAddr::new(0x1f00),
            why: Absence::Lost
        })
    );
}

/// Frames that several segments share count once: lost ones before those of which something is there.
#[test]
fn frames_are_counted_once() {
    let loads = [
        load(0, 0x1000, 0x800, 0x800),      // half of frame 1
        load(0, 0x1800, 0, 0x1000),         // the other half excluded, and half of frame 2 …
        load(1 << 40, 0x2800, 8, 8),        // … of which eight bytes are lost
        load(0, 0x3000, 0, 0x2000),         // frames 3 and 4 excluded
        load(0x10, 0x4800, 0x3800, 0x3800), // but half of 4, and 5, 6 and 7
    ];
    let writer = Writer::core(ENCODING, Machine::X86_64, &[], loads.into_iter());
    let mut bytes = writer.to_vec().unwrap();
    bytes.resize(0x8000, 0);
    let dump = Dump::open(&bytes[..]).unwrap();
    let frames = dump.page_counts(PageShift::SIZE_4K);
    assert_eq!(
        frames,
        Counts {
            present: 5,
            excluded: 1,
            lost: 1
        }
    );
    let large = dump.page_counts(PageShift::SIZE_64K);
    assert_eq!(
        large,
        Counts {
            present: 0,
            excluded: 0,
            lost: 1
        }
    );
}

#[test]
fn p_memsz_beyond_p_filesz_is_excluded_and_the_rest_is_not_ram() {
    let mut bytes = core();
    set(&mut bytes, 64 + 56 + 40, &0x3000_u64.to_le_bytes()); // p_memsz
    let dump = Dump::open(&bytes[..]).unwrap();
    let why = |at| {
        dump.reader()
            .read(PhysAddr::new(at), &mut [0; 2])
            .unwrap_err()
    };
    assert_eq!(
        why(0x1fff),
        MemError {
            at: PhysAddr::new(0x2000),
            why: Absence::Excluded
        }
    );
    assert_eq!(
        why(0x4000),
        MemError {
            at: PhysAddr::new(0x4000),
            why: Absence::Undescribed
        }
    );
    assert_eq!(
        why(0xfff),
        MemError {
            at: PhysAddr::new(0xfff),
            why: Absence::Undescribed
        }
    );
}

#[test]
fn a_broken_note_is_an_error_and_the_end_but_the_dump_opens() {
    let mut bytes = core();
    let first_note = 64 + 2 * 56;
    set(&mut bytes, first_note + 4, &u32::MAX.to_le_bytes()); // n_descsz
    let dump = Dump::open(&bytes[..]).unwrap();
    let notes: Vec<_> = dump.notes().collect();
    assert!(
        matches!(notes[..], [Err(Error::Elf(elf_format::Error::Truncated { offset, .. }))] if offset == first_note as u64),
        "{notes:?}"
    );
    assert!(matches!(dump.cpus().collect::<Vec<_>>()[..], [Err(_)]));
    assert!(dump.vmcoreinfo().is_err());
    assert!(matches!(kernel::Layout::of(&dump), Err(Error::Elf(_))));
}

#[test]
fn an_offline_cpus_hole_counts() {
    let notes = [
        note::Builder {
            name: b"",
            kind: NoteType(0),
            desc: b"",
        },
        note::Builder {
            name: b"CORE",
            kind: NoteType::PRSTATUS,
            desc: &[7; 336],
        },
    ];
    let bytes = Writer::core(ENCODING, Machine::X86_64, &notes, [].into_iter())
        .to_vec()
        .unwrap();
    let dump = Dump::open(&bytes[..]).unwrap();
    let cpus: Vec<_> = dump.cpus().map(|cpu| cpu.unwrap().index).collect();
    assert_eq!(cpus, [1]);
}

/// crash has an array of as many as its largest configuration of Linux, and no check.
#[test]
fn more_cpus_than_any_kernel_has() {
    let status = note::Builder {
        name: b"CORE",
        kind: NoteType::PRSTATUS,
        desc: &[7; 336],
    };
    let notes = vec![status; 20_000];
    let bytes = Writer::core(ENCODING, Machine::X86_64, &notes, [].into_iter())
        .to_vec()
        .unwrap();
    let dump = Dump::open(&bytes[..]).unwrap();
    assert_eq!(dump.cpus().last().unwrap().unwrap().index, 19_999);
}

#[test]
fn what_is_no_core_says_so() {
    assert!(refused(b"KDUMP   ").starts_with("offset 0x0: "));
    assert!(refused(b"").starts_with("offset 0x0: "));
    for len in 0..64 {
        assert!(Dump::open(&core()[..len]).is_err(), "{len}");
    }
}

proptest! {
    /// Any bytes over the headers and notes: an error, or a dump whose answers agree.
    #[test]
    fn mutated_headers(at in 0..600_usize, value: [u8; 8], len in 1..9_usize) {
        let mut bytes = core();
        let at = at.min(bytes.len() - 8);
        set(&mut bytes, at, &value[..len]);
        if let Ok(dump) = Dump::open(&bytes[..]) {
            let extent = dump.byte_counts();
            prop_assert!(extent.present <= bytes.len() as u64 * 2);
            let described: u64 = dump.ranges().map(|(range, _)| range.size()).sum();
            prop_assert_eq!(described, extent.present + extent.excluded + extent.lost);
            for (range, absence) in dump.ranges() {
                prop_assert_eq!(dump.reader().read(range.last(), &mut [0]).err().map(|error| error.why), absence);
            }
            let _ = (dump.notes().count(), dump.cpus().count(), dump.page_size());
        }
    }
}
