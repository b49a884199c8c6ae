//! What kexec-tools takes for an executable ELF file: all of it has to be sound, not only what is loaded.
//!
//! ```text
//!  ELF header        e_ehsize, e_version; e_type EXEC, DYN or CORE; e_machine of the loader
//!  program headers   one at least; each p_filesz in the file, whatever p_type; no PT_INTERP
//!  section headers   if any: each in the file but for SHT_NOBITS, sh_entsize of four types
//!  notes             of the first PT_NOTE that is not at offset 0, or else of the first SHT_NOTE
//! ```
//!
//! Neither class nor byte order have to be the machine's, `p_memsz` may be less than `p_filesz`, and no count
//! is looked for in section header 0. Of the bytes of segments and sections only the ends count, in 64 bits without a
//! carry. Where kexec-tools would read tables or notes outside the file, and may die of it, this is a refusal.
//!
//! Source: kexec-tools `kexec/kexec-elf.c`, `build_elf_info()`; `kexec/kexec-elf-exec.c`,
//! `build_elf_exec_info()`.

#![deny(clippy::arithmetic_side_effects)]

use elf_format::{
    Class, Encoding, Endian, FileType, Header, Machine, Section, SectionType, Sections, Segment,
    SegmentType, Segments, ident::EV_CURRENT, note,
};

use super::loader::require;
use crate::error::{Error, Field, Result, part};

const VERSION: Field = Field {
    name: "e_version",
    allowed: "1 (EV_CURRENT)",
};
const FILE_TYPE: Field = Field {
    name: "e_type",
    allowed: "2 (ET_EXEC), 3 (ET_DYN), 4 (ET_CORE)",
};
const MACHINE: Field = Field {
    name: "e_machine",
    allowed: "that of the loader",
};
const EHSIZE: Field = Field {
    name: "e_ehsize",
    allowed: "0x34 in ELF32, 0x40 in ELF64",
};
const PHOFF: Field = Field {
    name: "e_phoff",
    allowed: "1 and above",
};
const PHNUM: Field = Field {
    name: "e_phnum",
    allowed: "1 and above",
};
const PHENTSIZE: Field = Field {
    name: "e_phentsize",
    allowed: "0x20 in ELF32, 0x38 in ELF64",
};
const SHOFF: Field = Field {
    name: "e_shoff",
    allowed: "1 and above where there are sections and no PT_NOTE",
};
const SHENTSIZE: Field = Field {
    name: "e_shentsize",
    allowed: "0x28 in ELF32, 0x40 in ELF64",
};
const P_TYPE: Field = Field {
    name: "p_type",
    allowed: "any but 3 (PT_INTERP), which programs have",
};
const SH_ENTSIZE: Field = Field {
    name: "sh_entsize",
    allowed: "the size of the type's entries",
};

/// Offset and size of notes.
type Notes = (u64, u64);

/// Whether `file` is an executable of one of `machines`.
pub(super) fn executable(file: &[u8], machines: &[Machine]) -> Result<()> {
    let header = Header::parse(file)?;
    check_header(&header, machines)?;
    let segments = segments(file, &header)?;
    let sections = sections(file, &header)?;
    let Some((offset, size)) = segments.or(sections) else {
        // It looks for notes in a table that it has not read.
        let read = header.shnum == 0 || header.shoff > 0;
        return require(read, &SHOFF, at(&header, 32, 40), 0);
    };
    let notes = part(file, "notes", offset, size)?;
    check_notes(offset, notes, header.encoding().endian)
}

fn check_header(header: &Header, machines: &[Machine]) -> Result<()> {
    let class = header.encoding().class;
    let at = |elf32, elf64| at(header, elf32, elf64);
    let size = |found: u16, size: usize| usize::from(found) == size;

    let machine = header.machine;
    require(machines.contains(&machine), &MACHINE, 18, machine.0.into())?;
    let version = header.version;
    require(version == EV_CURRENT.into(), &VERSION, 20, version.into())?;
    let kind = header.file_type;
    let known = [FileType::EXEC, FileType::DYN, FileType::CORE].contains(&kind);
    require(known, &FILE_TYPE, 16, kind.0.into())?;
    let ehsize = header.ehsize;
    let whole = size(ehsize, class.header_size());
    require(whole, &EHSIZE, at(40, 52), ehsize.into())?;
    require(header.phnum > 0, &PHNUM, at(44, 56), 0)?;
    require(header.phoff > 0, &PHOFF, at(28, 32), 0)?;
    let phentsize = header.phentsize;
    let whole = size(phentsize, class.segment_size());
    require(whole, &PHENTSIZE, at(42, 54), phentsize.into())?;
    let shentsize = header.shentsize;
    let whole = header.shnum == 0 || size(shentsize, class.section_size());
    require(whole, &SHENTSIZE, at(46, 58), shentsize.into())
}

/// Where a field of the header is.
fn at(header: &Header, elf32: u64, elf64: u64) -> u64 {
    match header.encoding().class {
        Class::Elf32 => elf32,
        Class::Elf64 => elf64,
    }
}

/// Checks the segments; gives the notes of the first that has any.
fn segments(file: &[u8], header: &Header) -> Result<Option<Notes>> {
    let size = header.encoding().class.segment_size() as u64;
    let table = Table::new(header.phoff, header.phnum, size);
    let bytes = table.bytes(file, "program header table")?;
    let mut notes = None;
    let segments = Segments::new(bytes, header.encoding(), header.phoff)?;
    for (segment, offset) in segments.zip(table.offsets()) {
        let Segment {
            kind, paddr, memsz, ..
        } = segment;
        check_end(file, "segment", segment.offset, segment.filesz)?;
        let program = kind == SegmentType::INTERP;
        require(!program, &P_TYPE, offset, kind.0.into())?;
        // All ones: an address that is not known.
        if paddr != u64::MAX && paddr.checked_add(memsz).is_none() {
            let what = "memory of a segment";
            return Err(Error::Overflow { what, offset });
        }
        // At offset 0 old linkers put what is none.
        if kind == SegmentType::NOTE && segment.offset > 0 {
            notes = notes.or(Some((segment.offset, segment.filesz)));
        }
    }
    Ok(notes)
}

/// Checks the sections, if there are any; gives the notes of the first that has any.
fn sections(file: &[u8], header: &Header) -> Result<Option<Notes>> {
    if header.shoff == 0 || header.shnum == 0 {
        return Ok(None);
    }
    let Encoding { class, .. } = header.encoding();
    let table = Table::new(header.shoff, header.shnum, class.section_size() as u64);
    let bytes = table.bytes(file, "section header table")?;
    let mut notes = None;
    let sections = Sections::new(bytes, header.encoding(), header.shoff)?;
    for (section, offset) in sections.zip(table.offsets()) {
        let Section {
            kind, addr, size, ..
        } = section;
        let entsize = entsize(kind, class);
        let sized = entsize.is_none_or(|entsize| entsize == section.entsize);
        require(sized, &SH_ENTSIZE, offset, section.entsize)?;
        if kind != SectionType::NOBITS {
            check_end(file, "section", section.offset, size)?;
            if kind == SectionType::NOTE {
                notes = notes.or(Some((section.offset, size)));
            }
        }
        if addr.checked_add(size).is_none() {
            let what = "memory of a section";
            return Err(Error::Overflow { what, offset });
        }
    }
    Ok(notes)
}

fn check_end(file: &[u8], what: &'static str, offset: u64, needed: u64) -> Result<()> {
    let len = file.len() as u64;
    // Wrapping: so kexec-tools adds them.
    if offset.wrapping_add(needed) > len {
        return Err(Error::Truncated {
            what,
            offset,
            needed,
            // What starts behind the end has nothing.
            available: len.saturating_sub(offset),
        });
    }
    Ok(())
}

/// What `sh_entsize` has to be, of the types that it is looked at of.
fn entsize(kind: SectionType, class: Class) -> Option<u64> {
    let (elf32, elf64) = match kind {
        SectionType::SYMTAB => (16, 24),
        SectionType::RELA => (12, 24),
        SectionType::DYNAMIC | SectionType::REL => (8, 16),
        _ => return None,
    };
    Some(match class {
        Class::Elf32 => elf32,
        Class::Elf64 => elf64,
    })
}

/// Notes fill their segment, each padded to 4 bytes.
fn check_notes(start: u64, bytes: &[u8], endian: Endian) -> Result<()> {
    let mut offset = start;
    let mut rest = bytes;
    while !rest.is_empty() {
        let truncated = |needed| Error::Truncated {
            what: "note",
            offset,
            needed,
            available: rest.len() as u64,
        };
        let word = |at: usize| {
            let bytes = *rest.get(at..)?.first_chunk()?;
            Some(u64::from(match endian {
                Endian::Little => u32::from_le_bytes(bytes),
                Endian::Big => u32::from_be_bytes(bytes),
            }))
        };
        let header = note::HEADER_SIZE as u64;
        let (Some(namesz), Some(descsz), Some(_)) = (word(0), word(4), word(8)) else {
            return Err(truncated(header));
        };
        // Saturating: each is below 2^32.
        let size = header
            .saturating_add(namesz.next_multiple_of(4))
            .saturating_add(descsz.next_multiple_of(4));
        let behind = usize::try_from(size).ok().and_then(|size| rest.get(size..));
        rest = behind.ok_or_else(|| truncated(size))?;
        // Saturating: it is in the file.
        offset = offset.saturating_add(size);
    }
    Ok(())
}

/// Where headers are, counted in the ELF header's 16 bits.
#[derive(Clone, Copy)]
struct Table {
    offset: u64,
    count: u16,
    entry: u64,
}

impl Table {
    const fn new(offset: u64, count: u16, entry: u64) -> Self {
        Self {
            offset,
            count,
            entry,
        }
    }

    fn bytes<'a>(self, file: &'a [u8], what: &'static str) -> Result<&'a [u8]> {
        // Saturating: 16 bits by a size below 100.
        let len = self.entry.saturating_mul(self.count.into());
        part(file, what, self.offset, len)
    }

    /// Where each entry is.
    fn offsets(self) -> impl Iterator<Item = u64> {
        // Saturating: `bytes` has found them all in the file.
        (0..self.count).map(move |index| {
            let at = self.entry.saturating_mul(index.into());
            self.offset.saturating_add(at)
        })
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
pub(in crate::detect) mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use elf_format::{FileType, Ident, SectionFlags, SegmentFlags};

    use super::*;

    const ELF64: Encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };
    const ENCODINGS: [Encoding; 3] = [
        ELF64,
        Encoding {
            class: Class::Elf32,
            endian: Endian::Little,
        },
        Encoding {
            class: Class::Elf32,
            endian: Endian::Big,
        },
    ];
    const NOTE: &[u8] = b"\x04\0\0\0\x01\0\0\0\x12\0\0\0Xen\0\x07\0\0\0";

    /// A file of `LEN` bytes whose headers can be changed one by one.
    struct File {
        header: Header,
        segments: Vec<Segment>,
        sections: Vec<Section>,
        /// Bytes, and where they go.
        put: (usize, Vec<u8>),
    }

    const LEN: usize = 0x400;
    const SHOFF_AT: u64 = 0x100;

    impl File {
        fn new(encoding: Encoding, machine: u16) -> Self {
            let class = encoding.class;
            let header = Header {
                ident: Ident::new(encoding),
                file_type: FileType::EXEC,
                machine: Machine(machine),
                version: 1,
                entry: 0x10_0000,
                phoff: class.header_size() as u64,
                shoff: 0,
                flags: 0,
                ehsize: class.header_size() as u16,
                phentsize: class.segment_size() as u16,
                phnum: 0,
                shentsize: class.section_size() as u16,
                shnum: 0,
                shstrndx: 0,
            };
            let load = Segment {
                kind: SegmentType::LOAD,
                flags: SegmentFlags::empty(),
                offset: 0x300,
                vaddr: 0x10_0000,
                paddr: 0x10_0000,
                filesz: 0x100,
                memsz: 0x100,
                align: 0,
            };
            Self {
                header,
                segments: vec![load],
                sections: Vec::new(),
                put: (0, Vec::new()),
            }
        }

        fn segment(mut self, kind: SegmentType, offset: u64, filesz: u64) -> Self {
            let load = self.segments[0];
            self.segments.push(Segment {
                kind,
                offset,
                filesz,
                ..load
            });
            self
        }

        fn section(mut self, kind: SectionType, offset: u64, size: u64, entsize: u64) -> Self {
            self.sections.push(Section {
                name: 0,
                kind,
                flags: SectionFlags::empty(),
                addr: 0,
                offset,
                size,
                link: 0,
                info: 0,
                addralign: 0,
                entsize,
            });
            self
        }

        fn notes(mut self, at: usize, bytes: &[u8]) -> Self {
            self.put = (at, bytes.to_vec());
            self
        }

        fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
            change(&mut self);
            self
        }

        fn to_vec(&self, change: impl FnOnce(&mut Header)) -> Vec<u8> {
            let mut file = vec![0; LEN];
            let mut header = self.header;
            let encoding = header.encoding();
            header.phnum = self.segments.len() as u16;
            header.shnum = self.sections.len() as u16;
            if !self.sections.is_empty() {
                header.shoff = SHOFF_AT;
            }
            let mut at = header.phoff as usize;
            for segment in &self.segments {
                at += segment.emit(encoding, &mut file[at..]).unwrap();
            }
            let mut at = SHOFF_AT as usize;
            for section in &self.sections {
                at += section.emit(encoding, &mut file[at..]).unwrap();
            }
            change(&mut header);
            header.emit(&mut file).unwrap();
            let (at, bytes) = &self.put;
            if !bytes.is_empty() {
                file[*at..][..bytes.len()].copy_from_slice(bytes);
            }
            file
        }

        fn verdict(&self) -> Result<()> {
            executable(&self.to_vec(|_| {}), &[self.header.machine])
        }

        fn refused(&self) -> std::string::String {
            self.verdict().unwrap_err().to_string()
        }
    }

    /// A sound kernel with nothing between 0x100 and 0x300.
    pub(in crate::detect) fn kernel(machine: u16) -> Vec<u8> {
        File::new(ELF64, machine).to_vec(|_| {})
    }

    fn plain() -> File {
        File::new(ELF64, 62)
    }

    #[test]
    fn of_any_class_and_byte_order_and_type_that_runs() {
        for encoding in ENCODINGS {
            assert_eq!(File::new(encoding, 3).verdict(), Ok(()));
            let symbols = if encoding.class == Class::Elf32 {
                16
            } else {
                24
            };
            let file = File::new(encoding, 3).section(SectionType::SYMTAB, 0, 8, symbols);
            assert_eq!(file.verdict(), Ok(()));
        }
        for (kind, taken) in [
            (0, false),
            (1, false),
            (2, true),
            (3, true),
            (4, true),
            (5, false),
        ] {
            let file = plain().to_vec(|header| header.file_type = FileType(kind));
            assert_eq!(executable(&file, &[Machine::X86_64]).is_ok(), taken);
        }
        assert!(executable(&kernel(62), &[Machine::I386, Machine::X86_64]).is_ok());
        assert!(executable(&kernel(62), &[]).is_err());
    }

    #[test]
    fn sizes_and_counts_of_the_header() {
        type Change = fn(&mut Header);
        let cases: [(Change, &str); 7] = [
            (|header| header.version = 2, "offset 0x14: e_version is 0x2"),
            (|header| header.ehsize = 63, "offset 0x34: e_ehsize is 0x3f"),
            (|header| header.phnum = 0, "offset 0x38: e_phnum is 0x0"),
            (|header| header.phoff = 0, "offset 0x20: e_phoff is 0x0"),
            (
                |header| header.phentsize = 57,
                "offset 0x36: e_phentsize is 0x39",
            ),
            (
                |header| (header.shnum, header.shentsize) = (1, 40),
                "offset 0x3a: e_shentsize is 0x28",
            ),
            // No sections, but a number of them: where there is no PT_NOTE it looks for one there.
            (|header| header.shnum = 1, "offset 0x28: e_shoff is 0x0"),
        ];
        for (change, expected) in cases {
            let found = executable(&plain().to_vec(change), &[Machine::X86_64]);
            let found = found.unwrap_err().to_string();
            assert!(found.starts_with(expected), "{found}");
        }
        let noted = plain()
            .segment(SegmentType::NOTE, 0x200, 20)
            .notes(0x200, NOTE);
        let file = noted.to_vec(|header| header.shnum = 1);
        assert_eq!(executable(&file, &[Machine::X86_64]), Ok(()));
    }

    #[test]
    fn every_segment_is_in_the_file() {
        for kind in [
            SegmentType::LOAD,
            SegmentType::NOTE,
            SegmentType::DYNAMIC,
            SegmentType(0x7000_0000),
        ] {
            let file = |offset, size| plain().segment(kind, offset, size);
            let short = "offset 0x380: segment needs 0x81 bytes, 0x80 are there";
            assert_eq!(file(0x380, 0x81).refused(), short);
            // The sum is 1; of notes the bytes are looked at.
            assert_eq!(
                file(u64::MAX, 2).verdict().is_ok(),
                kind != SegmentType::NOTE
            );
            assert!(
                file(LEN as u64 + 1, 0)
                    .refused()
                    .starts_with("offset 0x401:")
            );
        }
        let table = plain().to_vec(|header| header.phnum = 18);
        let short = "offset 0x40: program header table needs 0x3f0 bytes, 0x3c0 are there";
        assert_eq!(
            executable(&table, &[Machine::X86_64])
                .unwrap_err()
                .to_string(),
            short
        );
        // What is loaded may have more bytes in the file than in memory.
        assert_eq!(
            plain().with(|file| file.segments[0].memsz = 1).verdict(),
            Ok(())
        );
        let wraps = |paddr| plain().with(|file| file.segments[0].paddr = paddr);
        assert_eq!(wraps(u64::MAX - 0x100).verdict(), Ok(()));
        assert_eq!(wraps(u64::MAX).verdict(), Ok(()));
        assert_eq!(
            wraps(u64::MAX - 0xff).refused(),
            "offset 0x40: the end of memory of a segment is too large"
        );
        let program =
            "offset 0x78: p_type is 0x3, allowed: any but 3 (PT_INTERP), which programs have";
        assert_eq!(
            plain().segment(SegmentType::INTERP, 0x300, 8).refused(),
            program
        );
    }

    #[test]
    fn every_section_is_in_the_file() {
        let section = |kind: SectionType, offset, size| plain().section(kind, offset, size, 0);
        assert_eq!(
            section(SectionType::PROGBITS, 0x380, 0x80).verdict(),
            Ok(())
        );
        let short = "offset 0x380: section needs 0x81 bytes, 0x80 are there";
        assert_eq!(section(SectionType::PROGBITS, 0x380, 0x81).refused(), short);
        assert_eq!(section(SectionType::NOBITS, 0x380, 0x81).verdict(), Ok(()));
        let wraps = plain().section(SectionType::NOBITS, 0, 2, 0);
        let wraps = wraps.with(|file| file.sections[0].addr = u64::MAX);
        assert_eq!(
            wraps.refused(),
            "offset 0x100: the end of memory of a section is too large"
        );
        for (kind, entsize) in [(2, 24), (4, 24), (6, 16), (9, 16)] {
            let of = |entsize| plain().section(SectionType(kind), 0, 0, entsize).verdict();
            assert_eq!(of(entsize), Ok(()));
            let found = of(entsize - 1).unwrap_err().to_string();
            assert!(found.starts_with("offset 0x100: sh_entsize is"), "{found}");
        }
        let table = plain().to_vec(|header| (header.shoff, header.shnum) = (0x3c1, 1));
        let short = "offset 0x3c1: section header table needs 0x40 bytes, 0x3f are there";
        assert_eq!(
            executable(&table, &[Machine::X86_64])
                .unwrap_err()
                .to_string(),
            short
        );
    }

    #[test]
    fn the_first_notes_are_whole() {
        let notes = |size| {
            plain()
                .segment(SegmentType::NOTE, 0x200, size)
                .notes(0x200, NOTE)
        };
        assert_eq!(notes(20).verdict(), Ok(()));
        // Headers of zeros are notes.
        assert_eq!(notes(32).verdict(), Ok(()));
        assert_eq!(notes(0).verdict(), Ok(()));
        assert_eq!(
            notes(19).refused(),
            "offset 0x200: note needs 0x14 bytes, 0x13 are there"
        );
        assert_eq!(
            notes(31).refused(),
            "offset 0x214: note needs 0xc bytes, 0xb are there"
        );
        let long = notes(20).notes(0x200, &[0xff; 12]);
        assert_eq!(
            long.refused(),
            "offset 0x200: note needs 0x20000000c bytes, 0x14 are there"
        );
        // Only the first counts, and one at offset 0 is none.
        assert_eq!(
            notes(20).segment(SegmentType::NOTE, 0x210, 1).verdict(),
            Ok(())
        );
        assert_eq!(plain().segment(SegmentType::NOTE, 0, 1).verdict(), Ok(()));
        let section = || {
            plain()
                .section(SectionType::NOTE, 0x200, 19, 0)
                .notes(0x200, NOTE)
        };
        assert!(section().refused().starts_with("offset 0x200: note needs"));
        let both = section().segment(SegmentType::NOTE, 0x200, 20);
        assert_eq!(both.verdict(), Ok(()));
        let big = File::new(ENCODINGS[2], 20).segment(SegmentType::NOTE, 0x200, 12);
        assert_eq!(
            big.notes(0x200, &[0, 0, 0, 1]).refused(),
            "offset 0x200: note needs 0x10 bytes, 0xc are there"
        );
    }
}
