//! Dumps and what they say.

use elf_format::{Class, Encoding, Endian as FileEndian, Machine};
use physmem::{Absence, Endian, MemError, PhysAddr, PhysMemory, PhysRange, VirtAddr, Width, runs};
use vmcore_format::{
    Dump, Eraseinfo, Vmcoreinfo,
    build::Piece,
    eraseinfo::Erasure,
    kernel::{
        self,
        kexec_image::{Kimage, KimageError, Layout},
    },
    vmcoreinfo::{Builder, Entry},
};

/// A look-up finds what the list of lines has, and typed values are what their text says; a text
/// built of the lines has the same ones.
pub fn vmcoreinfo(data: &[u8]) {
    let info = Vmcoreinfo::new(data, 0);
    for line in info.lines().map_while(Result::ok) {
        let first = info
            .lines()
            .map_while(Result::ok)
            .find(|other| other.key == line.key);
        assert_eq!(info.get(line.key), Ok(first.map(|line| line.value)));
    }
    if let Ok(Some(size)) = info.page_size() {
        let text = info.get("PAGESIZE").unwrap().unwrap();
        assert_eq!(text.parse(), Ok(size.bytes()));
    }
    let lines: Vec<_> = info.lines().map_while(Result::ok).collect();
    let entries: Vec<_> = lines
        .iter()
        .map(|line| Entry::Other {
            key: line.key,
            value: line.value,
        })
        .collect();
    let page = physmem::PageShift::SIZE_4K;
    let builder = Builder {
        entries: &entries,
        page,
    };
    if let Ok(text) = builder.to_vec() {
        let built = Vmcoreinfo::new(&text, 0);
        assert!(built.lines().map(|line| line.unwrap()).eq(lines));
    }
    for name in ["phys_base", "pgtable_l5_enabled", "sme_mask"] {
        let _ = info.number(name);
    }
}

/// What was erased: the lines that are read, written again, are the text up to the first one that is not.
pub fn eraseinfo(data: &[u8]) {
    let info = Eraseinfo::new(data, 0);
    let mut text = Vec::new();
    let mut broken = None;
    for erasure in info.erasures() {
        assert_eq!(broken, None, "an error is the end");
        match erasure {
            Ok(Erasure { what, bytes }) => {
                let how = bytes.map_or("nullify".to_owned(), |bytes| format!("size {bytes}"));
                text.push(format!("erase {what} {how}"));
            }
            Err(error) => broken = Some(error),
        }
    }
    // A number may begin with zeros; of what is nullified ` size ` may be a part.
    let plain = |line: &str| match line.rsplit_once(" size ") {
        Some((what, bytes)) if !bytes.ends_with(" nullify") => {
            let bytes = bytes.trim_start_matches('0');
            format!("{what} size {}", if bytes.is_empty() { "0" } else { bytes })
        }
        _ => line.to_owned(),
    };
    let mut lines = data
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    for line in &text {
        let read = std::str::from_utf8(lines.next().unwrap()).unwrap();
        assert_eq!(*line, plain(read));
    }
    let rest_is_nothing = lines.all(|line| line.iter().all(|byte| *byte == 0));
    assert!(broken.is_some() || rest_is_nothing);
}

/// Memory without a container, behind the place of two pieces: a byte is that of the first piece that has it, or not
/// there.
pub fn raw(data: &[u8]) {
    let Some((places, file)) = data.split_first_chunk::<6>() else {
        return;
    };
    let [start, size, offset, other, more, behind] = places.map(u64::from);
    let piece = |start, size, offset| {
        let range = PhysRange::with_size(PhysAddr::new(start), size + 1).unwrap();
        Piece { offset, range }
    };
    let pieces = [piece(start, size, offset), piece(other, more, behind)];
    let encoding = Encoding {
        class: Class::Elf64,
        endian: FileEndian::Little,
    };
    let dump = Dump::open_raw(file, Machine::X86_64, encoding, pieces);
    let memory = dump.reader();
    let mut present = 0;
    for at in 0..0x200 {
        let has = |piece: &&Piece| piece.range.contains(PhysAddr::new(at));
        let place = |piece: &Piece| (at - piece.range.start().as_u64() + piece.offset) as usize;
        let known = pieces
            .iter()
            .find(|piece| has(piece) && place(piece) < file.len());
        let expected = match known {
            Some(piece) => Ok(file[place(piece)]),
            None if pieces.iter().any(|piece| has(&piece)) => Err(Absence::Lost),
            None => Err(Absence::Undescribed),
        };
        present += u64::from(known.is_some());
        let mut byte = [0];
        let read = memory.read(PhysAddr::new(at), &mut byte);
        assert_eq!(read.map(|()| byte[0]).map_err(|error| error.why), expected);
    }
    assert_eq!(dump.byte_counts().present, present);
    assert_eq!(
        dump.notes().count() + dump.cpus().count() + dump.segments().len(),
        0
    );

    // What the memory begins with may be what the kernel says of itself, as text or as its note.
    let told =
        Dump::open_raw(file, Machine::X86_64, encoding, pieces).with_vmcoreinfo(file.to_vec());
    let text = told.vmcoreinfo().unwrap().unwrap().text();
    assert!(text.is_empty() || file.windows(text.len()).any(|part| part == text));
}

/// A dump of any bytes: its memory answers alike however it is asked.
pub fn dump(data: &[u8]) {
    let Ok(dump) = Dump::open(data) else { return };
    let memory = dump.reader();

    let mut described = 0;
    let mut end = PhysAddr::new(0);
    for (range, absence) in dump.ranges() {
        assert!(end <= range.start(), "ranges ascend");
        end = range.end();
        described += range.size();
        let mut byte = [0];
        for at in [range.start(), range.last()] {
            let why = memory.read(at, &mut byte).err().map(|error| error.why);
            // What only a page's descriptor tells is not known before.
            assert!(
                why == absence || absence.is_none() && dump.kdump().is_some(),
                "{at}"
            );
            assert!(memory.lend(at, 1).is_none_or(|lent| lent == byte));
        }
    }
    let extent = dump.byte_counts();
    assert_eq!(extent.present + extent.excluded + extent.lost, described);
    assert_eq!(runs(&memory).map(|run| run.size()).sum::<u64>(), described);
    let page = physmem::PageShift::SIZE_4K;
    let mut next = 0;
    for run in dump.frames(page) {
        assert!(run.first.as_u64() >= next, "each frame once");
        next = run.last.as_u64() + 1;
    }
    let frames = dump.page_counts(page);
    assert!(described.div_ceil(4096) <= frames.present + frames.excluded + frames.lost);
    let _ = dump.check();

    // A long read stops exactly where bytes end.
    if let Some(first) = runs(&memory).next() {
        let mut page = [0; 4096];
        if let Err(MemError { at, .. }) = memory.read(first.start(), &mut page) {
            let present = at.checked_offset_from(first.start()).unwrap();
            let present = usize::try_from(present).unwrap();
            assert!(memory.read(first.start(), &mut page[..present]).is_ok());
            assert!(memory.read(at, &mut [0]).is_err());
        }
    }

    let notes = dump.notes().filter(Result::is_ok).count();
    let lists = dump.elf().map_or(1, |_| dump.segments().len());
    assert!(notes <= data.len() / 12 * lists);
    assert!(dump.cpus().filter(Result::is_ok).count() <= notes);
    let _ = kernel::walker_of_cpu(&dump);
    if let Ok(kernel) = kernel::Layout::of(&dump) {
        let _ = kernel
            .walker
            .translate(&memory, physmem::VirtAddr::new(0xffff_ffff_8100_0000));
    }
}

/// The input is a `struct kimage` but for its first 16 bytes: how words are made, and the layout. What is
/// told of it are its words; it is refused if it is cut, or has more segments than there can be.
pub fn kexec_image(data: &[u8]) {
    let Some((setup, bytes)) = data.split_first_chunk::<16>() else {
        return;
    };
    let offset = |number: usize| u16::from_le_bytes([setup[2 * number], setup[2 * number + 1]]);
    let layout = Layout {
        width: [Width::U64, Width::U32][usize::from(setup[0] & 1)],
        endian: [Endian::Little, Endian::Big][usize::from(setup[0] >> 1 & 1)],
        head: offset(1),
        start: offset(2),
        control_code_page: offset(3),
        nr_segments: offset(4),
        segment: offset(5),
        control_page: offset(6),
        flags: offset(7),
    };
    let word = |offset: u16, number: usize| {
        let at = usize::from(offset) + number * layout.width.bytes();
        layout
            .width
            .decode(&bytes[at..], layout.endian)
            .expect("whole")
    };
    let at = VirtAddr::new(0xffff_8dfc_13e1_2c00);
    match Kimage::parse(bytes, at, &layout) {
        Ok(image) => {
            assert_eq!(image.head, word(layout.head, 0));
            assert_eq!(image.start, word(layout.start, 0));
            assert_eq!(
                image.control_code_page.as_u64(),
                word(layout.control_code_page, 0)
            );
            assert_eq!(image.control_page, word(layout.control_page, 0));
            assert_eq!(image.segments().len() as u64, word(layout.nr_segments, 0));
            for (number, segment) in image.segments().iter().enumerate() {
                let fields = [segment.buf, segment.bufsz, segment.mem, segment.memsz];
                for (field, value) in fields.into_iter().enumerate() {
                    assert_eq!(value, word(layout.segment, 4 * number + field));
                }
            }
            let flags = Width::U32.decode(&bytes[usize::from(layout.flags)..], layout.endian);
            let first = match layout.endian {
                Endian::Little => 1,
                Endian::Big => 1 << 31,
            };
            assert_eq!(image.flags.is_crash(), flags.expect("whole") & first != 0);
        }
        Err(KimageError::Truncated { needed, .. }) => {
            assert_eq!(needed, layout.byte_len() as u64);
            assert!(bytes.len() < layout.byte_len());
        }
        Err(KimageError::BadField {
            value, at: field, ..
        }) => {
            assert_eq!(value, word(layout.nr_segments, 0));
            assert!(value > 16 && field.as_u64() == at.as_u64() + u64::from(layout.nr_segments));
        }
        Err(other) => panic!("{other}"),
    }
}
