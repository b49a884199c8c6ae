//! Targets of `elf-format`.

use elf_format::{
    Class, CpuState, DeviceDump, Elf, Encoding, Endian, Header, Machine, Notes, Prstatus,
    SegmentType,
    header::SHN_XINDEX,
    note::Builder,
    prstatus::{self, Layout},
    xen,
};

/// A file: whatever is decoded is encoded to the same bytes, and all that is lent lies inside.
///
/// # Panics
///
/// When a law is broken.
pub fn header(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        return;
    };
    let mut out = [0; 64];
    let size = header.emit(&mut out).unwrap();
    assert_eq!(out[..size], data[..size]);
    assert_eq!(header.to_string().lines().count(), 20);

    let Ok(elf) = Elf::parse(data) else { return };
    let encoding = header.encoding();
    let class = encoding.class;
    assert!(elf.segments().len() * class.segment_size() <= data.len());
    for (at, segment) in elf.segments().enumerate() {
        let size = segment.emit(encoding, &mut out).unwrap();
        let start = header.phoff as usize + at * size;
        assert_eq!(out[..size], data[start..][..size]);
        assert_eq!(elf.segments().get(at), Some(segment));
        assert!(!segment.to_string().is_empty());
        inside(
            data,
            segment.offset,
            segment.filesz,
            elf.segment_data(&segment).ok(),
        );
        if segment.kind == SegmentType::NOTE {
            elf.segment_notes(&segment)
                .into_iter()
                .flatten()
                .for_each(drop);
        }
    }
    let names = elf.section_names();
    let Ok(sections) = elf.sections() else {
        // Only a file that says it has no names needs no sections to look for them.
        assert!(names.is_err() || [0, SHN_XINDEX].contains(&header.shstrndx));
        return;
    };
    assert!(sections.len() * class.section_size() <= data.len());
    for (at, section) in sections.enumerate() {
        let size = section.emit(encoding, &mut out).unwrap();
        let start = header.shoff as usize + at * size;
        assert_eq!(out[..size], data[start..][..size]);
        let Ok(bytes) = elf.section_data(&section) else {
            continue;
        };
        if !bytes.is_empty() {
            inside(data, section.offset, section.size, Some(bytes));
        }
        if let Ok(name) = names.and_then(|names| names.get(section.name)) {
            assert!(!name.contains(&0));
        }
    }
}

/// `found` is what the file has there, and is found exactly when the file has it.
fn inside(data: &[u8], offset: u64, size: u64, found: Option<&[u8]>) {
    let expected = match size {
        0 => Some(&[][..]),
        _ => offset
            .checked_add(size)
            .and_then(|end| data.get(offset as usize..end as usize)),
    };
    assert_eq!(found, expected);
}

/// Notes behind a byte that says how to read them: each lies inside, and what is emitted again is
/// read again.
///
/// # Panics
///
/// When a law is broken.
pub fn notes(data: &[u8]) {
    const START: u64 = 1 << 40;
    let Some((&how, bytes)) = data.split_first() else {
        return;
    };
    let endian = if how & 1 == 0 {
        Endian::Little
    } else {
        Endian::Big
    };
    let align = if how & 2 == 0 { 4 } else { 8 };
    let mut notes = Notes::new(bytes, endian, align, START).unwrap();

    let mut emitted = vec![];
    let mut found = vec![];
    let mut end = START;
    for note in notes.by_ref() {
        let Ok(note) = note else { break };
        assert!(note.offset >= end && note.offset % align == 0);
        let desc = (note.desc_offset - START) as usize;
        if !note.desc.is_empty() {
            assert_eq!(bytes[desc..][..note.desc.len()], *note.desc);
        }
        let name = (note.offset - START) as usize + 12;
        assert_eq!(bytes[name..][..note.name.len()], *note.name);
        assert_eq!(note.is_hole(), Builder::from(note) == Builder::HOLE);
        assert!(!note.to_string().is_empty());
        end = note.offset + 12;

        let builder = Builder::from(note);
        let start = emitted.len();
        emitted.resize(start + builder.emitted_len(), 0xff);
        assert_eq!(
            builder.emit(endian, &mut emitted[start..]),
            Ok(builder.emitted_len())
        );
        found.push(builder);
        registers(note.desc, endian);
        match DeviceDump::parse(note.desc, note.desc_offset) {
            Ok(dump) => {
                assert!(note.desc.starts_with(dump.name) && !dump.name.contains(&0));
                assert_eq!(dump.data, &note.desc[44..]);
            }
            Err(_) => assert!(note.desc.len() < 44),
        }
    }
    assert_eq!(notes.next(), None);

    // Holes at the end are the end.
    found.truncate(
        found
            .iter()
            .rposition(|note| *note != Builder::HOLE)
            .map_or(0, |at| at + 1),
    );
    let again = Notes::new(&emitted, endian, 4, START).unwrap();
    assert!(again.map(|note| Builder::from(note.unwrap())).eq(found));
}

/// The descriptor as that of each machine: it is long enough or refused, and is built as it was
/// read.
fn registers(desc: &[u8], endian: Endian) {
    let machines = [
        (Machine::X86_64, Class::Elf64),
        (Machine::I386, Class::Elf64),
        (Machine::AARCH64, Class::Elf64),
        (Machine::ARM, Class::Elf32),
        (Machine::RISCV, Class::Elf64),
        (Machine::RISCV, Class::Elf32),
        (Machine::PPC, Class::Elf32),
        (Machine::PPC64, Class::Elf64),
        (Machine::MIPS, Class::Elf32),
        (Machine::MIPS, Class::Elf64),
        (Machine::S390, Class::Elf64),
        (Machine::LOONGARCH, Class::Elf64),
    ];
    for (machine, class) in machines {
        let encoding = Encoding { class, endian };
        let layout = Layout::for_desc(machine, class, desc.len()).unwrap();
        let Ok(prstatus) = Prstatus::parse(desc, machine, encoding, 0) else {
            assert!(desc.len() < layout.size);
            continue;
        };
        let registers: Vec<u64> = prstatus.registers().map(|(_, value)| value).collect();
        assert_eq!(registers.len(), layout.registers.len());
        let (pid, signal) = (prstatus.pid(), prstatus.signal());
        let mut out = vec![0xff; layout.size];
        let builder = prstatus::Builder {
            layout,
            endian,
            pid,
            signal,
            registers: &registers,
        };
        builder.emit(&mut out).unwrap();
        let again = Prstatus::parse(&out, machine, encoding, 0).unwrap();
        assert_eq!((again.pid(), again.signal()), (pid, signal));
        assert!(again.registers().eq(prstatus.registers()));
    }
}

/// What QEMU adds of an x86 CPU: whatever is decoded is encoded to the same bytes, padding aside, and
/// what is appended to it changes no value.
///
/// # Panics
///
/// When a law is broken.
pub fn qemu_cpu(data: &[u8]) {
    let Ok(state) = CpuState::parse(data, 0) else {
        return;
    };
    let size = state.emitted_len();
    assert!(size <= data.len());
    let mut out = vec![0xff; size];
    assert_eq!(state.emit(&mut out), Ok(size));
    assert_eq!(CpuState::parse(&out, 0), Ok(state));
    for (at, (written, read)) in out.iter().zip(data).enumerate() {
        // The fourth word of each segment register.
        let padding = (0x98..0x188).contains(&at) && (at - 0x98) % 24 / 4 == 3;
        assert_eq!(*written, if padding { 0 } else { *read }, "byte {at:#x}");
    }
    assert_eq!(CpuState::parse(&[data, &[0xff]].concat(), 0), Ok(state));
    assert!(CpuState::parse(&data[..size - 1], 0).is_err());
}

/// What a Xen that crashed says, behind a byte that says how to read it: each field is a word of the descriptor, in order, and
/// what follows the last one changes none.
///
/// # Panics
///
/// When a law is broken.
pub fn xen(data: &[u8]) {
    let Some((&how, desc)) = data.split_first() else {
        return;
    };
    let endian = [Endian::Little, Endian::Big][usize::from(how & 1)];
    let class = [Class::Elf64, Class::Elf32][usize::from(how >> 1 & 1)];
    let encoding = Encoding { class, endian };
    let size = if class == Class::Elf64 { 8 } else { 4 };
    let words: Vec<u64> = desc
        .chunks_exact(size)
        .map(|word| {
            let digit = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            match endian {
                Endian::Little => word.iter().rev().fold(0, digit),
                Endian::Big => word.iter().fold(0, digit),
            }
        })
        .collect();
    match xen::CrashInfo::parse(desc, encoding, 0) {
        Ok(info) => {
            let fields: Vec<u64> = info.fields().map(|(_, value)| value).collect();
            assert_eq!(fields, words[..words.len().min(10)]);
        }
        Err(_) => assert!(words.len() < 8),
    }
    match xen::CrashRegisters::parse(desc, encoding, 0) {
        Ok(found) => assert!(
            found
                .registers()
                .map(|(_, value)| value)
                .eq(words[..4].iter().copied())
        ),
        Err(_) => assert!(words.len() < 4),
    }
}
