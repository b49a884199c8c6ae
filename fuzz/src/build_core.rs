//! Cores of guests that any bytes describe.

use elf_format::{
    Class, Encoding, Endian, Machine, NoteType, SegmentFlags, note,
    prstatus::{self, Layout},
};
use physmem::{Absence, PageShift, PhysAddr, PhysMemory, PhysRange, VirtAddr};
use vmcore_format::{
    Dump,
    build::core::{Content, Core, Part},
};

/// The most that a part holds, so that files stay small.
const PART: u64 = 0x3000;
/// The most parts.
const MOST: usize = 512;

/// A guest out of any bytes is built, opened and found: its notes and registers, and each part as it
/// went in.
///
/// # Panics
///
/// When a law is broken.
pub fn build_core(data: &[u8]) {
    let Some((&[how, page, text], words)) = data.split_first_chunk() else {
        return;
    };
    let encoding = Encoding {
        class: [Class::Elf32, Class::Elf64][usize::from(how & 1)],
        endian: [Endian::Little, Endian::Big][usize::from(how >> 1 & 1)],
    };
    let page = PageShift::try_new(12 + page % 5).unwrap();
    let (desc, words) = words.split_at(words.len().min(text.into()));
    let layout = Layout::for_machine(Machine::MIPS, encoding.class).unwrap();
    let registers = (1..).map(|at| u64::from(how) * at);
    let registers: Vec<u64> = registers.take(layout.registers.len()).collect();
    let status = prstatus::Builder {
        layout,
        endian: encoding.endian,
        pid: text.into(),
        signal: 0,
        registers: &registers,
    };
    let mut status_desc = vec![0; status.emitted_len()];
    status.emit(&mut status_desc).unwrap();
    let notes = [
        note::Builder {
            name: prstatus::NOTE_NAME,
            kind: NoteType::PRSTATUS,
            desc: &status_desc,
        },
        note::Builder {
            name: b"VMCOREINFO",
            kind: NoteType(0),
            desc,
        },
    ];
    let parts = parts(words);
    let core = Core::new(encoding, Machine::MIPS, page, &notes, parts.iter().copied());

    let mut file = core.to_vec().unwrap();
    for piece in core.pieces().unwrap() {
        let start = piece.range.start().as_u64();
        assert_eq!((piece.offset ^ start) & (page.bytes() - 1), 0);
        assert!(file.len() as u64 <= piece.offset);
        file.resize(piece.offset as usize, 0);
        file.extend((start..piece.range.end().as_u64()).map(byte));
    }
    assert_eq!(core.file_len(), Ok(file.len() as u64));

    let dump = Dump::open(&file[..]).unwrap();
    let found = dump.notes().map(|note| note::Builder::from(note.unwrap()));
    assert!(found.eq(notes));
    let cpus: Vec<_> = dump.cpus().map(Result::unwrap).collect();
    assert_eq!(cpus.len(), 1);
    assert_eq!(cpus[0].status.pid(), status.pid);
    let values = cpus[0].status.registers().map(|(_, value)| value);
    assert!(values.eq(registers));
    let loads = dump.segments().iter().skip(1);
    assert_eq!(loads.len(), parts.len());
    let memory = dump.reader();
    for (part, segment) in parts.iter().zip(loads) {
        let absence = match part.content {
            Content::Stored => None,
            Content::Excluded => Some(Absence::Excluded),
            Content::Lost => Some(Absence::Lost),
        };
        assert_eq!(Part::of_segment(segment, part.range, absence), Some(*part));
        let mut bytes = vec![0; part.range.size() as usize];
        let read = memory.read(part.range.start(), &mut bytes);
        assert_eq!(read.map_err(|error| error.why).err(), absence);
        if absence.is_none() {
            let addresses = part.range.start().as_u64()..part.range.end().as_u64();
            assert!(bytes.into_iter().eq(addresses.map(byte)));
        }
    }
}

/// Parts that ascend, six bytes each: distance, size, what becomes of it, where it is seen.
fn parts(words: &[u8]) -> Vec<Part> {
    let mut end = 0;
    let part = |&[d0, d1, s0, s1, content, virt]: &[u8; 6]| {
        let start = end + u64::from(u16::from_le_bytes([d0, d1]));
        end = start + u64::from(u16::from_le_bytes([s0, s1])) % PART + 1;
        Part {
            range: PhysRange::try_new(PhysAddr::new(start), PhysAddr::new(end)).unwrap(),
            virt: (virt != 0).then(|| VirtAddr::new(u64::from(virt) << 20)),
            flags: SegmentFlags::READ,
            align: 0,
            content: [Content::Stored, Content::Excluded, Content::Lost][usize::from(content % 3)],
        }
    };
    words.as_chunks().0.iter().take(MOST).map(part).collect()
}

fn byte(at: u64) -> u8 {
    (at ^ (at >> 8) ^ 0x5a) as u8
}
