//! Emitting a core file's headers and notes, or those of any file that has only segments.
//!
//! ```text
//!  ┌────────┬─────────┬──────────┬───────────────┬───────┬─ ─ ─ ─ ─ ─ ─ ─ ─ ─
//!  │ header │ PT_NOTE │ segments │ section       │ notes │ memory: written by
//!  │        │ if notes│          │ header 0 if … │       │ whoever has it
//!  └────────┴─────────┴──────────┴───────────────┴───────┴─ ─ ─ ─ ─ ─ ─ ─ ─ ─
//!  0                                        emitted_len()
//! ```
//!
//! Section header 0 is written when the number of program headers reaches [`PN_XNUM`], as Linux
//! does in `fs/binfmt_elf.c` (`fill_extnum_info()`); with it `e_shnum` is 1.

use crate::{
    error::{Error, Field, Result},
    header::{FileType, Header, PN_XNUM},
    ident::{Class, EV_CURRENT, Encoding, Ident},
    machine::Machine,
    note,
    section::{Section, SectionFlags, SectionType},
    segment::{Segment, SegmentFlags, SegmentType},
    wire::Output,
};

const SH_INFO: Field = Field {
    name: "sh_info of section 0",
    allowed: "at most 0xffffffff",
};
const PHNUM: Field = Field {
    name: "e_phnum",
    allowed: "the number of segments that the iterator yields",
};

/// Alignment of notes in bytes, for both classes.
const NOTE_ALIGN: u64 = 4;

/// The headers and notes of a file. `S` yields the segments, as often as it is cloned, and nothing
/// is allocated for them.
///
/// Their `offset` is the caller's: [`emitted_len`](Self::emitted_len) says where memory can start,
/// and does not depend on the values in the segments.
#[derive(Debug, Clone)]
pub struct Writer<'a, S> {
    /// `e_ident`: class, byte order and ABI.
    pub ident: Ident,
    /// `e_type`
    pub file_type: FileType,
    /// `e_machine`
    pub machine: Machine,
    /// `e_entry`
    pub entry: u64,
    /// `e_flags`
    pub flags: u32,
    /// The notes; a `PT_NOTE` segment is made for them, unless there are none.
    pub notes: &'a [note::Builder<'a>],
    /// The other segments.
    pub segments: S,
}

impl<'a, S: ExactSizeIterator<Item = Segment> + Clone> Writer<'a, S> {
    /// A core file of `notes` and `segments`.
    pub const fn core(
        encoding: Encoding,
        machine: Machine,
        notes: &'a [note::Builder<'a>],
        segments: S,
    ) -> Self {
        let ident = Ident::new(encoding);
        Self {
            ident,
            file_type: FileType::CORE,
            machine,
            entry: 0,
            flags: 0,
            notes,
            segments,
        }
    }

    /// Length of all that is emitted, in bytes.
    #[must_use]
    pub fn emitted_len(&self) -> usize {
        // Saturating: no slice is that long, so emitting reports it as truncated.
        self.notes_start().saturating_add(self.notes_len())
    }

    /// Writes all of it and returns its length.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short; `BadField` when a value does not fit ELF32, a note's
    /// length 32 bits, or the number of segments `sh_info`, and when `segments` yields more or fewer
    /// than its `len()` says. What `out` then holds is no file, unless it was too short: then nothing
    /// was written.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let size = self.emitted_len();
        let encoding = self.ident.encoding;
        let count = self.segment_count();
        let out = &mut Output::new("ELF headers and notes", out, size, encoding)?;
        self.header().put(out)?;
        let mut segments = self.note_segment().into_iter().chain(self.segments.clone());
        let mut missing = count;
        for segment in segments.by_ref().take(count) {
            segment.put(out)?;
            // Saturating: no more than `count` are taken.
            missing = missing.saturating_sub(1);
        }
        if missing > 0 || segments.next().is_some() {
            return Err(self.bad(&PHNUM, 44, 56));
        }
        if self.has_section() {
            self.first_section()?.put(out)?;
        }
        for note in self.notes {
            note.put(out)?;
        }
        Ok(size)
    }

    /// All of it, in a new vector.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), `Truncated` aside.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>> {
        let mut bytes = alloc::vec![0; self.emitted_len()];
        self.emit(&mut bytes)?;
        Ok(bytes)
    }

    fn header(&self) -> Header {
        let class = self.ident.encoding.class;
        let size = |size: usize| u16::try_from(size).unwrap_or(u16::MAX);
        let sections = u16::from(self.has_section());
        Header {
            ident: self.ident,
            file_type: self.file_type,
            machine: self.machine,
            version: EV_CURRENT.into(),
            entry: self.entry,
            phoff: if self.segment_count() == 0 {
                0
            } else {
                class.header_size() as u64
            },
            shoff: if self.has_section() {
                self.headers_end() as u64
            } else {
                0
            },
            flags: self.flags,
            ehsize: size(class.header_size()),
            phentsize: size(class.segment_size()),
            phnum: u16::try_from(self.segment_count()).unwrap_or(PN_XNUM),
            shentsize: if self.has_section() {
                size(class.section_size())
            } else {
                0
            },
            shnum: sections,
            shstrndx: 0,
        }
    }

    fn note_segment(&self) -> Option<Segment> {
        let length = self.notes_len() as u64;
        (!self.notes.is_empty()).then(|| Segment {
            kind: SegmentType::NOTE,
            flags: SegmentFlags::empty(),
            offset: self.notes_start() as u64,
            vaddr: 0,
            paddr: 0,
            filesz: length,
            memsz: length,
            align: NOTE_ALIGN,
        })
    }

    fn first_section(&self) -> Result<Section> {
        let count = self.segment_count();
        let info = u32::try_from(count).map_err(|_| {
            let start = self.headers_end() as u64;
            // Saturating: see `emitted_len`.
            let at = |field| start.saturating_add(field);
            self.bad(&SH_INFO, at(28), at(44))
        })?;
        Ok(Section {
            name: 0,
            kind: SectionType::NULL,
            flags: SectionFlags::empty(),
            addr: 0,
            offset: 0,
            // The number of sections, as in `e_shnum`.
            size: 1,
            link: 0,
            info,
            addralign: 0,
            entsize: 0,
        })
    }

    /// The number of program headers does not suit a field.
    fn bad(&self, field: &'static Field, elf32: u64, elf64: u64) -> Error {
        Error::BadField {
            field,
            offset: match self.ident.encoding.class {
                Class::Elf32 => elf32,
                Class::Elf64 => elf64,
            },
            value: self.segment_count() as u64,
        }
    }

    fn segment_count(&self) -> usize {
        // Saturating: 2^32 segments are refused.
        self.segments
            .len()
            .saturating_add(usize::from(!self.notes.is_empty()))
    }

    fn has_section(&self) -> bool {
        self.segment_count() >= usize::from(PN_XNUM)
    }

    /// End of the program headers.
    fn headers_end(&self) -> usize {
        let class = self.ident.encoding.class;
        // Saturating: see `emitted_len`.
        self.segment_count()
            .saturating_mul(class.segment_size())
            .saturating_add(class.header_size())
    }

    fn notes_start(&self) -> usize {
        let section = self
            .has_section()
            .then_some(self.ident.encoding.class.section_size());
        // Saturating: see `emitted_len`.
        self.headers_end()
            .saturating_add(section.unwrap_or_default())
    }

    fn notes_len(&self) -> usize {
        // Saturating: see `emitted_len`.
        self.notes
            .iter()
            .fold(0, |sum, note| sum.saturating_add(note.emitted_len()))
    }
}

#[cfg(test)]
mod tests {
    use core::iter::repeat_n;

    use super::*;
    use crate::{
        Elf,
        ident::{Class, Endian},
        note::NoteType,
        wire::counting::ENCODINGS,
    };

    const LOAD: Segment = Segment {
        kind: SegmentType::LOAD,
        flags: SegmentFlags::READ,
        offset: 0x1000,
        vaddr: 0,
        paddr: 0,
        filesz: 0,
        memsz: 0x1000,
        align: 0,
    };
    const NOTE: note::Builder<'_> = note::Builder {
        name: b"CORE",
        kind: NoteType::PRSTATUS,
        desc: b"regs",
    };
    const ELF64: Encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };

    #[test]
    fn the_parts_follow_each_other() {
        for encoding in ENCODINGS {
            let writer = Writer::core(
                encoding,
                Machine::ARM,
                &[NOTE, note::Builder::HOLE],
                repeat_n(LOAD, 3),
            );
            let (header, segment) = (encoding.class.header_size(), encoding.class.segment_size());
            let notes = header + 4 * segment;
            assert_eq!(writer.emitted_len(), notes + 24 + 12);
            let mut out = [0xff; 512];
            assert_eq!(writer.emit(&mut out), Ok(notes + 36));
            assert_eq!(out[notes + 36..], [0xff; 512][notes + 36..]);

            #[cfg(feature = "alloc")]
            assert_eq!(writer.to_vec().unwrap(), out[..notes + 36]);

            let elf = Elf::parse(&out).unwrap();
            assert_eq!(elf.header().shoff, 0);
            assert_eq!(elf.header().phnum, 4);
            let first = elf.segments().next().unwrap();
            assert_eq!(
                (first.kind, first.offset),
                (SegmentType::NOTE, notes as u64)
            );
            assert_eq!((first.filesz, first.align), (36, 4));
            assert!(elf.segments().skip(1).eq(repeat_n(LOAD, 3)));
        }
    }

    #[test]
    fn without_notes_there_is_no_note_segment() {
        let writer = Writer::core(ELF64, Machine::X86_64, &[], repeat_n(LOAD, 1));
        let mut out = [0; 120];
        assert_eq!(writer.emit(&mut out), Ok(120));
        assert!(Elf::parse(&out).unwrap().segments().eq([LOAD]));
    }

    #[test]
    fn nothing_at_all_is_a_header() {
        let writer = Writer::core(ELF64, Machine::X86_64, &[], repeat_n(LOAD, 0));
        let mut out = [0; 64];
        assert_eq!(writer.emit(&mut out), Ok(64));
        assert_eq!(Elf::parse(&out).unwrap().segments().len(), 0);
    }

    #[test]
    fn section_header_0_comes_with_the_65535th_program_header() {
        for (count, sections) in [(65_534, 0), (65_535, 1)] {
            let writer = Writer::core(ELF64, Machine::X86_64, &[], repeat_n(LOAD, count));
            assert_eq!(writer.emitted_len(), 64 + 56 * count + 64 * sections);
            assert_eq!(writer.header().shnum, sections as u16);
            assert_eq!(usize::from(writer.header().phnum), count);
        }
    }

    #[test]
    fn every_shorter_output_is_truncated() {
        let writer = Writer::core(ELF64, Machine::X86_64, &[NOTE], repeat_n(LOAD, 2));
        for len in 0..writer.emitted_len() {
            let mut out = [0xff; 512];
            let error = writer.emit(&mut out[..len]).unwrap_err();
            let needed = writer.emitted_len() as u64;
            let available = len as u64;
            let what = "ELF headers and notes";
            assert_eq!(
                error,
                Error::Truncated {
                    what,
                    offset: 0,
                    needed,
                    available
                }
            );
            assert_eq!(out, [0xff; 512]);
        }
    }

    /// An iterator whose `len()` is not the number of its items.
    #[derive(Clone)]
    struct Liar {
        claimed: usize,
        left: usize,
    }

    impl Iterator for Liar {
        type Item = Segment;

        fn next(&mut self) -> Option<Segment> {
            self.left = self.left.checked_sub(1)?;
            Some(LOAD)
        }
    }

    impl ExactSizeIterator for Liar {
        fn len(&self) -> usize {
            self.claimed
        }
    }

    #[test]
    fn an_iterator_of_another_length_than_it_says_is_an_error() {
        for encoding in ENCODINGS {
            for notes in [&[][..], &[NOTE]] {
                for (claimed, left) in [(0, 1), (2, 0), (2, 1), (2, 3), (2, 9)] {
                    let segments = Liar { claimed, left };
                    let writer = Writer::core(encoding, Machine::ARM, notes, segments);
                    let elf32 = encoding.class == Class::Elf32;
                    let error = Error::BadField {
                        field: &PHNUM,
                        offset: if elf32 { 44 } else { 56 },
                        value: (claimed + notes.len()) as u64,
                    };
                    assert_eq!(writer.emit(&mut [0; 512]), Err(error));
                }
                let segments = Liar {
                    claimed: 2,
                    left: 2,
                };
                let writer = Writer::core(encoding, Machine::ARM, notes, segments);
                assert_eq!(writer.emit(&mut [0; 512]), Ok(writer.emitted_len()));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let encoding = Encoding {
            class: Class::Elf32,
            endian: Endian::Big,
        };
        let far = Segment {
            paddr: 1 << 32,
            ..LOAD
        };
        let error = Writer::core(encoding, Machine::ARM, &[], repeat_n(far, 1)).emit(&mut [0; 512]);
        assert!(matches!(
            error,
            Err(Error::BadField {
                offset: 0x40,
                value: 0x1_0000_0000,
                ..
            })
        ));

        #[cfg(target_pointer_width = "64")]
        {
            let writer = Writer::core(ELF64, Machine::ARM, &[], repeat_n(LOAD, 1 << 32));
            let error = writer.first_section().unwrap_err();
            assert!(matches!(
                error,
                Error::BadField {
                    value: 0x1_0000_0000,
                    ..
                }
            ));
            let writer = Writer::core(ELF64, Machine::ARM, &[], repeat_n(LOAD, usize::MAX));
            assert!(matches!(
                writer.emit(&mut [0; 64]),
                Err(Error::Truncated { .. })
            ));
        }
    }
}
