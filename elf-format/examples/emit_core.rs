//! Writes a core file of one CPU and any number of memory ranges: `emit_core OUT SEGMENTS`.
//!
//! From 65,535 program headers on (one of them is for the notes) their number is in section header
//! 0; see `readelf -hlnW OUT`.

use std::{env, error::Error, fs};

use elf_format::{
    Class, Encoding, Endian, Machine, NoteType, Segment, SegmentFlags, SegmentType, Writer,
    note::Builder,
    prstatus::{self, Layout},
};

/// Each range is a page of which the file has the first bytes.
const PAGE: u64 = 4096;
const IN_FILE: &[u8; 16] = b"sixteen bytes of";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [out, segments] = arguments.as_slice() else {
        return Err("usage: emit_core OUT SEGMENTS".into());
    };
    let count: u32 = segments.parse()?;

    let encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };
    let layout = Layout::for_machine(Machine::X86_64, encoding.class).ok_or("no layout")?;
    let registers: Vec<u64> = layout
        .registers
        .iter()
        .map(|register| {
            if register.name == "rip" {
                0xffff_ffff_8100_0000
            } else {
                0
            }
        })
        .collect();
    let prstatus = prstatus::Builder {
        layout,
        endian: encoding.endian,
        pid: 1,
        signal: 0,
        registers: &registers,
    };
    let mut desc = vec![0; prstatus.emitted_len()];
    prstatus.emit(&mut desc)?;
    let notes = [
        Builder {
            name: prstatus::NOTE_NAME,
            kind: NoteType::PRSTATUS,
            desc: &desc,
        },
        Builder {
            name: b"VMCOREINFO",
            kind: NoteType(0),
            desc: b"PAGESIZE=4096\n",
        },
    ];

    // Where memory starts depends on the number of segments only, so a draft tells.
    let ranges = |start: u64| {
        (0..count).map(move |index| {
            let index = u64::from(index);
            Segment {
                kind: SegmentType::LOAD,
                flags: SegmentFlags::READ | SegmentFlags::WRITE | SegmentFlags::EXECUTE,
                offset: start + index * IN_FILE.len() as u64,
                vaddr: 0xffff_8880_0000_0000 + 2 * index * PAGE,
                paddr: 2 * index * PAGE,
                filesz: IN_FILE.len() as u64,
                memsz: PAGE,
                align: 0,
            }
        })
    };
    let draft = Writer::core(encoding, Machine::X86_64, &notes, ranges(0));
    let start = draft.emitted_len();
    let writer = Writer {
        segments: ranges(start as u64),
        ..draft
    };

    let mut file = vec![0; start];
    writer.emit(&mut file)?;
    for _ in 0..count {
        file.extend(IN_FILE);
    }
    fs::write(out, file)?;
    Ok(())
}
