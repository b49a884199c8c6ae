//! What a dump says of itself: sound ones have nothing to name, and each lie is named, with its place.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{fs, path::Path};

use elf_format::{
    Class, Encoding, Endian, Machine, NoteType, Segment, SegmentFlags, SegmentType, Writer, note,
};
use vmcore_format::{Dump, flattened};

fn form(name: &str) -> Vec<u8> {
    let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/forms");
    fs::read(forms.join(name)).unwrap()
}

fn found(file: &[u8]) -> Vec<String> {
    let found = Dump::open(file).unwrap().check();
    assert!(found.iter().all(|found| found.part == 0));
    found.iter().map(|found| found.error.to_string()).collect()
}

/// `lzo` with bytes changed: its sub header is at 0x1000, its notes at 0x1068, the VMCOREINFO in them at 0x1348, its
/// bitmaps at 0x3000 and 0x6000, its descriptors at 0x9000.
fn lzo(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut file = form("lzo");
    for (at, bytes) in changes {
        file[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    file
}

/// Its ERASEINFO at `offset`.
fn erased(offset: u64, size: u64) -> Vec<u8> {
    lzo(&[
        (0x1040, &offset.to_le_bytes()),
        (0x1048, &size.to_le_bytes()),
    ])
}

#[test]
fn real_dumps_are_sound() {
    for entry in
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/forms")).unwrap()
    {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tsv") {
            continue;
        }
        let file = fs::read(&path).unwrap();
        assert_eq!(found(&file), [""; 0], "{path:?}");
    }
    let parts = ["lzo.part2", "lzo.part3", "lzo.part1"].map(form);
    let dump = Dump::open_parts(parts.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(dump.check(), []);
    for name in ["kdump.elf", "kdump-inside.elf", "kimage-load.elf"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
        assert_eq!(
            found(&fs::read(path.join(name)).unwrap()),
            [""; 0],
            "{name}"
        );
    }
}

#[test]
fn texts_of_a_sub_header_that_are_elsewhere() {
    let far = (1_u64 << 40).to_le_bytes();
    for (file, expected) in [
        (
            lzo(&[(0x1020, &far)]),
            "offset 0x10000000000: VMCOREINFO needs 0xcd3 bytes, 0x0 are there",
        ),
        (
            lzo(&[(0x1028, &far)]),
            "offset 0x1348: VMCOREINFO needs 0x10000000000 bytes, 0x19720 are there",
        ),
        (
            lzo(&[(0x1020, &0x3000_u64.to_le_bytes())]),
            "offset 0x3000: VMCOREINFO of the sub header lies in the page bitmaps",
        ),
        (
            lzo(&[(0x1020, &0x1000_u64.to_le_bytes())]),
            "offset 0x1000: VMCOREINFO of the sub header lies in the sub header",
        ),
        (
            lzo(&[(0x1020, &0x1347_u64.to_le_bytes())]),
            "offset 0x1347: VMCOREINFO of the sub header: expected the text of its note",
        ),
        (
            lzo(&[(0x1028, &0xcd2_u64.to_le_bytes())]),
            "offset 0x1348: VMCOREINFO of the sub header: expected the text of its note",
        ),
        (
            lzo(&[(0x1038, &far)]),
            "offset 0x1068: notes needs 0x10000000000 bytes, 0x19a00 are there",
        ),
        (
            lzo(&[(0x1038, &100_u64.to_le_bytes())]),
            "offset 0x1068: note descriptor needs 0x164 bytes, 0x64 are there",
        ),
        (
            lzo(&[(0x1038, &0x2000_u64.to_le_bytes())]),
            "offset 0x1068: list of notes lies in the page bitmaps",
        ),
        (
            lzo(&[(0x1030, &0_u64.to_le_bytes())]),
            "offset 0x0: list of notes lies in the header",
        ),
        (
            erased(1 << 40, 1),
            "offset 0x10000000000: ERASEINFO needs 0x1 bytes, 0x0 are there",
        ),
        (
            erased(0x3000, 0x100),
            "offset 0x3000: ERASEINFO lies in the page bitmaps",
        ),
        (
            erased(0x9479, 1),
            "offset 0x9479: ERASEINFO lies in the page descriptors",
        ),
        (
            erased(0x201b, 4),
            "offset 0x201b: ERASEINFO lies in the list of notes",
        ),
        (
            erased(0x9480, 1),
            "offset 0x9480: ERASEINFO lies in the pages",
        ),
    ] {
        // Where the notes are broken, they do not tell what VMCOREINFO is.
        assert_eq!(found(&file)[..1], [expected]);
        assert_eq!(found(&file).len(), 1);
    }
    // Where makedumpfile puts it: behind the pages.
    let mut file = form("lzo");
    let end = file.len() as u64;
    file.extend(b"erase jiffies size 8\nerase\n");
    file[0x1040..0x1048].copy_from_slice(&end.to_le_bytes());
    file[0x1048] = 21;
    assert_eq!(found(&file), [""; 0]);
    file[0x1048] = 27;
    let expected = format!(
        "offset {:#x}: ERASEINFO line: expected `erase EXPRESSION size BYTES` or \
         `erase EXPRESSION nullify` in UTF-8",
        end + 21
    );
    assert_eq!(found(&file), [expected]);
    file[0x1048] = 21;
    file[0x1040..0x1048].copy_from_slice(&(end - 1).to_le_bytes());
    let expected = format!("offset {:#x}: ERASEINFO lies in the pages", end - 1);
    assert_eq!(found(&file), [expected]);
}

#[test]
fn bitmaps_that_do_not_agree_or_are_empty() {
    // Frame 1413, in byte 0xb0.
    assert_eq!(
        found(&lzo(&[(0x30b0, &[0])])),
        [
            "offset 0x60b0: mask, of 64 pages, of those that bitmap 2 has and bitmap 1 has not is 0x20, allowed: 0"
        ]
    );
    assert_eq!(
        found(&lzo(&[(0x6000, &[0; 0x3000])])),
        ["offset 0x6000: number of pages in bitmap 2 is 0x0, allowed: 1 or more"]
    );
}

/// A core of these notes and segments.
fn core(notes: &[note::Builder<'_>], segments: &[Segment]) -> Vec<u8> {
    let encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };
    let segments = segments.iter().copied();
    let mut file = Writer::core(encoding, Machine::X86_64, notes, segments)
        .to_vec()
        .unwrap();
    file.resize(0x2000, 0x5a);
    file
}

fn load(filesz: u64, memsz: u64) -> Segment {
    Segment {
        kind: SegmentType::LOAD,
        flags: SegmentFlags::all(),
        offset: 0x1000,
        vaddr: 0,
        paddr: 0x10_0000,
        filesz,
        memsz,
        align: 0,
    }
}

#[test]
fn notes_of_the_wrong_size() {
    let status = |desc| note::Builder {
        name: b"CORE",
        kind: NoteType::PRSTATUS,
        desc,
    };
    let other = |name, desc| note::Builder {
        name,
        kind: NoteType(0),
        desc,
    };
    let notes = [
        status(&[0; 100]),
        status(&[0; 340]),
        status(&[0; 336]),
        other(b"QEMU", &[1, 0, 0, 0, 4, 0, 0, 0]),
        // A version that nobody knows may be right.
        other(b"QEMU", &[2, 0, 0, 0, 4, 0, 0, 0]),
        other(b"VMCOREINFO", b"PAGESIZE=4096\nand more\n"),
        other(b"ERASEINFO", b"anything"),
        note::Builder {
            name: b"LINUX",
            kind: NoteType::VMCOREDD,
            desc: &[0; 43],
        },
        note::Builder {
            name: b"Xen",
            kind: NoteType::XEN_CRASH_INFO,
            desc: &[0; 8],
        },
    ];
    let expected = [
        "offset 0xc4: PRSTATUS needs 0x148 bytes, 0x64 are there",
        "offset 0x12c: n_descsz of an NT_PRSTATUS is 0x154, allowed: the size of the machine's elf_prstatus",
        "offset 0x40c: size of QEMUCPUState is 0x4, allowed: ",
        "offset 0x452: VMCOREINFO line: expected KEY=VALUE in UTF-8",
        "offset 0x474: ERASEINFO line: expected ",
        "offset 0x490: name of a device dump needs 0x2c bytes, 0x2b are there",
        "offset 0x4cc: XEN_ELFNOTE_CRASH_INFO needs 0x40 bytes, 0x8 are there",
    ];
    let found = found(&core(&notes, &[load(0x1000, 0x1000)]));
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn segments_that_describe_nothing_or_too_little() {
    let nothing = "offset 0x38: e_phnum is 0x1, allowed: with a PT_LOAD among them that has memory in the file";
    assert_eq!(found(&core(&[], &[load(0, 0x1000)])), [nothing]);
    let none = nothing.replace("0x1,", "0x0,");
    assert_eq!(found(&core(&[], &[])), [none]);
    let more = "offset 0x60: p_filesz of a PT_LOAD is 0x1000, allowed: at most p_memsz";
    assert_eq!(found(&core(&[], &[load(0x1000, 0xfff)])), [more]);
}

/// In a flattened dump offsets are those of its file, where the bytes are.
#[test]
fn offsets_count_in_the_file_that_was_given() {
    let flat_in = |file: &[u8], order: [usize; 2]| {
        let records = [(0, &file[..0x1000]), (0x1000, &file[0x1000..])];
        let mut stream = flattened::header().to_vec();
        for (offset, bytes) in order.map(|number| records[number]) {
            stream.extend(flattened::record_header(offset, bytes.len()).unwrap());
            stream.extend(bytes);
        }
        stream.extend(flattened::END_MARK);
        stream
    };
    // The first page last, as makedumpfile rewrites it.
    let flat = |file: &[u8]| flat_in(file, [1, 0]);
    // The record of what is at 0x1000 begins at 0x1000, and its data 16 bytes behind that.
    let file = flat(&lzo(&[(0x1038, &100_u64.to_le_bytes())]));
    let broken = "offset 0x1078: note descriptor needs 0x164 bytes, 0x64 are there";
    assert_eq!(found(&file), [broken]);
    let notes = Dump::open(&file[..]).unwrap();
    assert_eq!(
        notes.notes().next().unwrap().unwrap_err().to_string(),
        broken
    );
    let sound = flat(&form("lzo"));
    let sound = Dump::open(&sound[..]).unwrap();
    assert_eq!(sound.notes().next().unwrap().unwrap().offset, 0x1078);

    let size = form("lzo").len() + 16 + 16;
    let file = flat(&lzo(&[(428, &[0; 4])]));
    assert_eq!(
        Dump::open(&file[..]).unwrap_err().to_string(),
        format!(
            "offset {:#x}: block_size is 0x0, allowed: a power of two from 4096 to 1048576",
            size + 428
        )
    );
    let file = flat(&lzo(&[(0x1020, &0x3000_u64.to_le_bytes())]));
    assert_eq!(
        found(&file),
        ["offset 0x3010: VMCOREINFO of the sub header lies in the page bitmaps"]
    );
    let mut elf = form("small.elf");
    elf[64 + 56 + 40..][..8].fill(0xff);
    // In the second order the offset in the file is one inside of the dump, too.
    for (order, record) in [([1, 0], elf.len() + 16), ([0, 1], 0x1000)] {
        let file = flat_in(&elf, order);
        let expected = format!(
            "offset {:#x}: p_memsz is 0xffffffffffffffff, allowed: at most 2^64 - 1 - p_paddr",
            record + 16 + 64 + 56 + 40
        );
        assert_eq!(Dump::open(&file[..]).unwrap_err().to_string(), expected);
        let (_, damage) = Dump::open_damaged(&file[..]).unwrap();
        assert_eq!(damage[0].to_string(), expected);
    }

    let twice = flat(&flat(&form("lzo")));
    assert_eq!(
        Dump::open(&twice[..]).unwrap_err().to_string(),
        "offset 0x0: this is a flattened dump inside of a flattened one, which is not read yet"
    );
}

#[test]
fn values_of_vmcoreinfo_that_cannot_be() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/kdump-inside.elf");
    let file = fs::read(path).unwrap();
    for key in [
        "PAGESIZE",
        "CRASHTIME",
        "KERNELOFFSET",
        "NUMBER(phys_base)",
        "NUMBER(pgtable_l5_enabled)",
        "SYMBOL(init_top_pgt)",
        "SYMBOL(prb)",
        "OFFSET(printk_info.ts_nsec)",
        "SYMBOL(kallsyms_names)",
        "SIZE(page)",
        "NUMBER(SECTION_SIZE_BITS)",
    ] {
        let line = format!("\n{key}=");
        let at = file
            .windows(line.len())
            .position(|text| text == line.as_bytes());
        let at = at.unwrap() + line.len();
        let mut broken = file.clone();
        broken[at] = b'z';
        let found = found(&broken);
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        let expected = format!("offset {at:#x}: VMCOREINFO ");
        assert!(found[0].starts_with(&expected), "{key}: {found:?}");
    }
    // What is told besides counts as well.
    let dump = Dump::open(&file[..]).unwrap();
    let [found] = &dump.with_vmcoreinfo(b"A=1\nno line\n".to_vec()).check()[..] else {
        panic!("one line");
    };
    assert_eq!(
        found.to_string(),
        "file 0: offset 0x4: VMCOREINFO line: expected KEY=VALUE in UTF-8"
    );
}
