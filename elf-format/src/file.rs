//! A whole file in memory: the header, and from there everything it leads to.
//!
//! ```text
//!  ┌────────┐ e_phoff  ┌─────────────────┐ p_offset  ┌───────┐
//!  │ header ├─────────►│ program headers ├──────────►│ bytes │ memory, notes
//!  │        │          └─────────────────┘           └───────┘
//!  │        │ e_shoff  ┌─────────────────┐ sh_offset ┌───────┐
//!  │        ├─────────►│ section headers ├──────────►│ bytes │ names, notes, …
//!  └────────┘          └─────────────────┘           └───────┘
//! ```
//!
//! A file too large for memory is read in the same steps: [`Header::parse`] on its first 64 bytes,
//! [`Header::first_section`], [`Header::program_headers`], then
//! [`Segments::new`](crate::table::Entries::new) on the bytes of the table and [`Notes::new`] on
//! those of a segment.

use crate::{
    error::Result,
    header::{Header, PN_XNUM},
    note::Notes,
    section::{Section, SectionType, Sections, Strings},
    segment::{Segment, Segments},
    table::Table,
    wire,
};

/// A file whose header and program header table were found sound. Sections are looked at only when
/// asked for: a dump whose section headers are damaged, or written in the wrong byte order as some
/// by QEMU are, can still be read.
#[derive(Debug, Clone)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    header: Header,
    segments: Segments<'a>,
}

impl<'a> Elf<'a> {
    /// Checks the header and finds the program headers.
    ///
    /// # Errors
    ///
    /// Those of [`Header::parse`], [`Header::first_section`] and [`Header::program_headers`];
    /// `Truncated` when the program headers lie outside.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let header = Header::parse(bytes)?;
        let first = match header.phnum {
            PN_XNUM => first_section(bytes, &header)?,
            _ => None,
        };
        let table = header.program_headers(first.as_ref())?;
        let entries = slice("program header table", bytes, &table)?;
        let segments = Segments::new(entries, header.encoding(), table.offset())?;
        Ok(Self {
            bytes,
            header,
            segments,
        })
    }

    /// The file header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The program headers.
    #[must_use]
    pub fn segments(&self) -> Segments<'a> {
        self.segments.clone()
    }

    /// The section headers, with header 0; none in most dumps.
    ///
    /// # Errors
    ///
    /// Those of [`Header::section_headers`]; `Truncated` when they lie outside.
    pub fn sections(&self) -> Result<Sections<'a>> {
        let first = first_section(self.bytes, &self.header)?;
        let table = self.header.section_headers(first.as_ref())?;
        let entries = slice("section header table", self.bytes, &table)?;
        Sections::new(entries, self.header.encoding(), table.offset())
    }

    /// The names of sections, to be asked with [`Section::name`]; empty when the file has none.
    ///
    /// # Errors
    ///
    /// Those of [`sections`](Self::sections) and [`Header::section_names`]; `BadField` when there is
    /// no section of that index, `Truncated` or `Overflow` when its bytes lie outside.
    pub fn section_names(&self) -> Result<Strings<'a>> {
        let first = first_section(self.bytes, &self.header)?;
        let index = self.header.section_names(first.as_ref())?;
        if index == 0 {
            return Ok(Strings::new(&[], 0));
        }
        let sections = self.sections()?;
        let section = usize::try_from(index)
            .ok()
            .and_then(|index| sections.get(index))
            .ok_or_else(|| self.header.no_section_names(index))?;
        Ok(Strings::new(self.section_data(&section)?, section.offset))
    }

    /// The `p_filesz` bytes of a segment.
    ///
    /// # Errors
    ///
    /// `Truncated` or `Overflow` when they lie outside.
    pub fn segment_data(&self, segment: &Segment) -> Result<&'a [u8]> {
        wire::slice("segment", self.bytes, segment.offset, segment.filesz)
    }

    /// The bytes of a section; none for `SHT_NOBITS`.
    ///
    /// # Errors
    ///
    /// `Truncated` or `Overflow` when they lie outside.
    pub fn section_data(&self, section: &Section) -> Result<&'a [u8]> {
        match section.kind {
            SectionType::NOBITS => Ok(&[]),
            _ => wire::slice("section", self.bytes, section.offset, section.size),
        }
    }

    /// The notes of a `PT_NOTE` segment.
    ///
    /// # Errors
    ///
    /// Those of [`segment_data`](Self::segment_data) and [`Notes::new`].
    pub fn segment_notes(&self, segment: &Segment) -> Result<Notes<'a>> {
        let bytes = self.segment_data(segment)?;
        Notes::new(
            bytes,
            self.header.encoding().endian,
            segment.align,
            segment.offset,
        )
    }

    /// The notes of an `SHT_NOTE` section.
    ///
    /// # Errors
    ///
    /// Those of [`section_data`](Self::section_data) and [`Notes::new`].
    pub fn section_notes(&self, section: &Section) -> Result<Notes<'a>> {
        let bytes = self.section_data(section)?;
        Notes::new(
            bytes,
            self.header.encoding().endian,
            section.addralign,
            section.offset,
        )
    }
}

fn first_section(bytes: &[u8], header: &Header) -> Result<Option<Section>> {
    let Some(table) = header.first_section()? else {
        return Ok(None);
    };
    let entry = slice("section header 0", bytes, &table)?;
    Section::parse(entry, header.encoding(), table.offset()).map(Some)
}

fn slice<'a>(what: &'static str, bytes: &'a [u8], table: &Table) -> Result<&'a [u8]> {
    wire::slice(what, bytes, table.offset(), table.byte_len())
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;
    use crate::{
        error::Error,
        header::FileType,
        ident::{Class, Encoding, Endian, Ident},
        machine::Machine,
        section::SectionFlags,
    };

    const ENCODING: Encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Big,
    };

    fn section(kind: SectionType, name: u32, offset: u64, size: u64) -> Section {
        let flags = SectionFlags::empty();
        let (addr, link, info, addralign, entsize) = (0, 0, 0, 0, 0);
        Section {
            name,
            kind,
            flags,
            addr,
            offset,
            size,
            link,
            info,
            addralign,
            entsize,
        }
    }

    /// A header, the sections behind it, and behind those some names.
    fn with_sections(edit: impl FnOnce(&mut Header), sections: &[Section]) -> Vec<u8> {
        let names = b"\0.shstrtab\0.note\0";
        let mut header = Header {
            ident: Ident::new(ENCODING),
            file_type: FileType::REL,
            machine: Machine::S390,
            version: 1,
            entry: 0,
            phoff: 0,
            shoff: 64,
            flags: 0,
            ehsize: 64,
            phentsize: 0,
            phnum: 0,
            shentsize: 64,
            shnum: sections.len() as u16,
            shstrndx: 1,
        };
        edit(&mut header);
        let mut bytes = vec![0; 64 + 64 * sections.len()];
        header.emit(&mut bytes).unwrap();
        for (at, section) in sections.iter().enumerate() {
            section.emit(ENCODING, &mut bytes[64 + 64 * at..]).unwrap();
        }
        bytes.extend(names);
        bytes
    }

    fn three() -> [Section; 3] {
        [
            section(SectionType::NULL, 0, 0, 0),
            section(SectionType::STRTAB, 1, 256, 17),
            section(SectionType::NOBITS, 11, 1 << 40, 1 << 40),
        ]
    }

    fn names(elf: &Elf<'_>) -> Vec<Vec<u8>> {
        let names = elf.section_names().unwrap();
        elf.sections()
            .unwrap()
            .map(|section| names.get(section.name).unwrap().to_vec())
            .collect()
    }

    #[test]
    fn sections_have_names_and_data() {
        let bytes = with_sections(|_| (), &three());
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(names(&elf), [&b""[..], b".shstrtab", b".note"]);
        let [_, strtab, nobits] = three();
        assert_eq!(elf.section_data(&strtab), Ok(&bytes[256..]));
        assert_eq!(elf.section_data(&nobits), Ok(&[][..]));
        let outside = Section { size: 18, ..strtab };
        let error = elf.section_data(&outside).unwrap_err();
        assert_eq!(
            error.to_string(),
            "offset 0x100: section needs 0x12 bytes, 0x11 are there"
        );
        let wrapping = Section {
            offset: u64::MAX,
            ..strtab
        };
        let error = Error::Overflow {
            what: "section",
            offset: u64::MAX,
        };
        assert_eq!(elf.section_data(&wrapping), Err(error));
    }

    #[test]
    fn counts_in_section_header_0_are_followed() {
        let mut sections = three();
        sections[0].size = 3;
        sections[0].link = 1;
        let edit = |header: &mut Header| {
            header.shnum = 0;
            header.shstrndx = 0xffff;
        };
        let bytes = with_sections(edit, &sections);
        assert_eq!(
            names(&Elf::parse(&bytes).unwrap()),
            [&b""[..], b".shstrtab", b".note"]
        );
        sections[0].size = 1 << 40;
        let bytes = with_sections(edit, &sections);
        assert_eq!(
            Elf::parse(&bytes)
                .unwrap()
                .sections()
                .unwrap_err()
                .to_string(),
            "offset 0x40: section header table needs 0x400000000000 bytes, 0xd1 are there"
        );
    }

    #[test]
    fn damaged_sections_do_not_hinder_the_rest() {
        let edits: [fn(&mut Header); 4] = [
            |header| (header.shoff, header.shnum, header.shentsize) = (1, 0, 0),
            |header| header.shoff = u64::MAX,
            |header| header.shentsize = 0xffff,
            |header| header.shnum = 0xffff,
        ];
        for edit in edits {
            let bytes = with_sections(edit, &three());
            let elf = Elf::parse(&bytes).unwrap();
            assert!(elf.sections().is_err());
            assert!(elf.section_names().is_err());
            assert_eq!(elf.segments().len(), 0);
        }
    }

    #[test]
    fn a_file_without_section_names_has_none() {
        let bytes = with_sections(|header| header.shstrndx = 0, &three());
        let names = Elf::parse(&bytes).unwrap().section_names().unwrap();
        assert!(names.get(0).is_err());
    }

    #[test]
    fn names_in_a_section_that_is_not_there_are_an_error() {
        let message = |edit: fn(&mut Header), link| {
            let mut sections = three();
            sections[0].link = link;
            let bytes = with_sections(edit, &sections);
            let names = Elf::parse(&bytes).unwrap().section_names();
            names.unwrap_err().to_string()
        };
        assert_eq!(
            message(|header| header.shstrndx = 3, 0),
            "offset 0x3e: e_shstrndx is 0x3, allowed: less than the number of sections"
        );
        assert_eq!(
            message(|header| header.shstrndx = 0xffff, 0x10_0000),
            "offset 0x68: sh_link of section 0 is 0x100000, \
             allowed: less than the number of sections when e_shstrndx is 0xffff"
        );
    }
}
