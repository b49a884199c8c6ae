//! Section headers: what a linker sees in the file.
//!
//! ```text
//!               ELF32  ELF64
//!  sh_name        0      0   u32, offset in the section of names
//!  sh_type        4      4   u32
//!  sh_flags       8      8   word
//!  sh_addr       12     16   address
//!  sh_offset     16     24   offset
//!  sh_size       20     32   size
//!  sh_link       24     40   u32
//!  sh_info       28     44   u32
//!  sh_addralign  32     48   size
//!  sh_entsize    36     56   size
//!  length        40     64
//! ```
//!
//! Section header 0 describes no section: it holds counts that do not fit the file header.
//!
//! Source: gABI, "Sections"; `Elf32_Shdr`, `Elf64_Shdr` in `<elf.h>`.

use core::fmt;

use crate::{
    error::{Error, Result},
    ident::{Class, Encoding},
    table::{Entries, Entry, sealed::Decode},
    wire::{self, Fields, Output},
};

open_newtype! {
    /// `sh_type`: what the section holds.
    SectionType(u32) {
        /// `SHT_NULL`
        NULL = 0 => "NULL",
        /// `SHT_PROGBITS`
        PROGBITS = 1 => "PROGBITS",
        /// `SHT_SYMTAB`
        SYMTAB = 2 => "SYMTAB",
        /// `SHT_STRTAB`
        STRTAB = 3 => "STRTAB",
        /// `SHT_RELA`
        RELA = 4 => "RELA",
        /// `SHT_HASH`
        HASH = 5 => "HASH",
        /// `SHT_DYNAMIC`
        DYNAMIC = 6 => "DYNAMIC",
        /// `SHT_NOTE`
        NOTE = 7 => "NOTE",
        /// `SHT_NOBITS`: takes memory, but no bytes of the file.
        NOBITS = 8 => "NOBITS",
        /// `SHT_REL`
        REL = 9 => "REL",
        /// `SHT_SHLIB`
        SHLIB = 10 => "SHLIB",
        /// `SHT_DYNSYM`
        DYNSYM = 11 => "DYNSYM",
        /// `SHT_INIT_ARRAY`
        INIT_ARRAY = 14 => "INIT_ARRAY",
        /// `SHT_FINI_ARRAY`
        FINI_ARRAY = 15 => "FINI_ARRAY",
        /// `SHT_PREINIT_ARRAY`
        PREINIT_ARRAY = 16 => "PREINIT_ARRAY",
        /// `SHT_GROUP`
        GROUP = 17 => "GROUP",
        /// `SHT_SYMTAB_SHNDX`
        SYMTAB_SHNDX = 18 => "SYMTAB SECTION INDICES",
        /// `SHT_RELR`
        RELR = 19 => "RELR",
        /// `SHT_GNU_HASH`
        GNU_HASH = 0x6fff_fff6 => "GNU_HASH",
        /// `SHT_GNU_verdef`
        GNU_VERDEF = 0x6fff_fffd => "VERDEF",
        /// `SHT_GNU_verneed`
        GNU_VERNEED = 0x6fff_fffe => "VERNEED",
        /// `SHT_GNU_versym`
        GNU_VERSYM = 0x6fff_ffff => "VERSYM",
    }
}

bitflags::bitflags! {
    /// `sh_flags`: what may be done with the section.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct SectionFlags: u64 {
        /// `SHF_WRITE`
        const WRITE = 0x1;
        /// `SHF_ALLOC`
        const ALLOC = 0x2;
        /// `SHF_EXECINSTR`
        const EXECINSTR = 0x4;
        /// `SHF_MERGE`
        const MERGE = 0x10;
        /// `SHF_STRINGS`
        const STRINGS = 0x20;
        /// `SHF_INFO_LINK`
        const INFO_LINK = 0x40;
        /// `SHF_LINK_ORDER`
        const LINK_ORDER = 0x80;
        /// `SHF_OS_NONCONFORMING`
        const OS_NONCONFORMING = 0x100;
        /// `SHF_GROUP`
        const GROUP = 0x200;
        /// `SHF_TLS`
        const TLS = 0x400;
        /// `SHF_COMPRESSED`
        const COMPRESSED = 0x800;
        const _ = !0;
    }
}

/// A section header with ELF64's widths, as found: nothing but its length was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// `sh_name`: offset of the name in the section of names.
    pub name: u32,
    /// `sh_type`
    pub kind: SectionType,
    /// `sh_flags`
    pub flags: SectionFlags,
    /// `sh_addr`: virtual address, 0 when the section is not in memory.
    pub addr: u64,
    /// `sh_offset`: offset of the section's bytes in the file.
    pub offset: u64,
    /// `sh_size`: length in bytes. In section header 0: the number of sections, if `e_shnum` is 0.
    pub size: u64,
    /// `sh_link`: index of a related section. In section header 0: that of the names.
    pub link: u32,
    /// `sh_info`: depends on the type. In section header 0: the number of program headers.
    pub info: u32,
    /// `sh_addralign`: alignment in bytes; 0 and 1 mean none.
    pub addralign: u64,
    /// `sh_entsize`: size of an entry, if the section is a table.
    pub entsize: u64,
}

/// The sections of a section header table, section header 0 included.
pub type Sections<'a> = Entries<'a, Section>;

impl Section {
    /// Reads one section header; `offset` is where it lies in the file.
    ///
    /// # Errors
    ///
    /// `Truncated`.
    #[inline]
    pub fn parse(bytes: &[u8], encoding: Encoding, offset: u64) -> Result<Self> {
        let Encoding { class, endian } = encoding;
        let size = class.section_size();
        wire::decode("section header", bytes, size, endian, offset, |fields| {
            Self::decode(fields, class)
        })
    }

    /// Writes the header and returns its length: 40 or 64 bytes.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short, `BadField` when a value does not fit ELF32.
    pub fn emit(&self, encoding: Encoding, out: &mut [u8]) -> Result<usize> {
        let size = encoding.class.section_size();
        self.put(&mut Output::new("section header", out, size, encoding)?)?;
        Ok(size)
    }

    pub(crate) fn put(&self, out: &mut Output<'_>) -> Result<()> {
        out.u32(self.name)?;
        out.u32(self.kind.0)?;
        out.word(fits_elf32!("sh_flags"), self.flags.bits())?;
        out.word(fits_elf32!("sh_addr"), self.addr)?;
        out.word(fits_elf32!("sh_offset"), self.offset)?;
        out.word(fits_elf32!("sh_size"), self.size)?;
        out.u32(self.link)?;
        out.u32(self.info)?;
        out.word(fits_elf32!("sh_addralign"), self.addralign)?;
        out.word(fits_elf32!("sh_entsize"), self.entsize)
    }
}

impl Entry for Section {}

impl Decode for Section {
    const TABLE: &'static str = "section header table";

    #[inline]
    fn size(class: Class) -> usize {
        class.section_size()
    }

    #[inline]
    fn decode(fields: &mut Fields<'_>, class: Class) -> Option<Self> {
        Some(Self {
            name: fields.u32()?,
            kind: SectionType(fields.u32()?),
            flags: SectionFlags::from_bits_retain(fields.word(class)?),
            addr: fields.word(class)?,
            offset: fields.word(class)?,
            size: fields.word(class)?,
            link: fields.u32()?,
            info: fields.u32()?,
            addralign: fields.word(class)?,
            entsize: fields.word(class)?,
        })
    }
}

/// The strings of an `SHT_STRTAB` section, each ended by a NUL.
#[derive(Debug, Clone, Copy)]
pub struct Strings<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Strings<'a> {
    /// The strings in `bytes`, which lie at `offset` in the file.
    #[must_use]
    pub const fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self { bytes, offset }
    }

    /// The string that starts at `at`, such as [`Section::name`], without its NUL.
    ///
    /// # Errors
    ///
    /// `Truncated` when it starts or ends outside.
    pub fn get(&self, at: u32) -> Result<&'a [u8]> {
        let tail = usize::try_from(at)
            .ok()
            .and_then(|at| self.bytes.get(at..))
            .unwrap_or_default();
        let length = tail.iter().position(|&byte| byte == 0);
        length
            .and_then(|length| tail.get(..length))
            .ok_or(Error::Truncated {
                what: "string",
                // Saturating: only a caller's wrong offset of the section is that high.
                offset: self.offset.saturating_add(at.into()),
                // Saturating: no slice has the greatest length.
                needed: wire::len(tail).saturating_add(1),
                available: wire::len(tail),
            })
    }
}

/// In the words of `readelf -S`, machine-specific names aside.
impl fmt::Display for SectionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.0) {
            (Some(name), _) => f.pad(name),
            (None, value @ 0x8000_0000..) => {
                write!(f, "LOUSER+{:#x}", value.abs_diff(0x8000_0000))
            }
            (None, value @ 0x7000_0000..) => {
                write!(f, "LOPROC+{:#x}", value.abs_diff(0x7000_0000))
            }
            (None, value @ 0x6000_0000..) => write!(f, "LOOS+{:#x}", value.abs_diff(0x6000_0000)),
            (None, value) => write!(f, "{value:08x}: <unknown>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::wire::counting::{BYTES, ENCODINGS, int, word};

    fn counting(encoding: Encoding) -> Section {
        Section {
            name: int(encoding, 0, 0),
            kind: SectionType(int(encoding, 4, 4)),
            flags: SectionFlags::from_bits_retain(word(encoding, 8, 8)),
            addr: word(encoding, 12, 16),
            offset: word(encoding, 16, 24),
            size: word(encoding, 20, 32),
            link: int(encoding, 24, 40),
            info: int(encoding, 28, 44),
            addralign: word(encoding, 32, 48),
            entsize: word(encoding, 36, 56),
        }
    }

    #[test]
    fn counting_bytes() {
        for encoding in ENCODINGS {
            let size = encoding.class.section_size();
            let section = Section::parse(&BYTES, encoding, 0).unwrap();
            assert_eq!(section, counting(encoding));
            let mut out = [0; 64];
            assert_eq!(section.emit(encoding, &mut out), Ok(size));
            assert_eq!(out[..size], BYTES[..size]);
        }
    }

    #[test]
    fn every_prefix_is_truncated() {
        for encoding in ENCODINGS {
            let size = encoding.class.section_size();
            for len in 0..size {
                let (needed, available) = (size as u64, len as u64);
                let error = |offset| Error::Truncated {
                    what: "section header",
                    offset,
                    needed,
                    available,
                };
                let parsed = Section::parse(&BYTES[..len], encoding, 0x40);
                assert_eq!(parsed, Err(error(0x40)));
                let emitted = counting(encoding).emit(encoding, &mut [0; 64][..len]);
                assert_eq!(emitted, Err(error(0)));
            }
        }
    }

    #[test]
    fn strings_end_at_their_nul() {
        let strings = Strings::new(b"\0.text\0.data", 0x100);
        assert_eq!(strings.get(0), Ok(&b""[..]));
        assert_eq!(strings.get(1), Ok(&b".text"[..]));
        assert_eq!(strings.get(3), Ok(&b"ext"[..]));
        let unended = Error::Truncated {
            what: "string",
            offset: 0x107,
            needed: 6,
            available: 5,
        };
        assert_eq!(strings.get(7), Err(unended));
        for outside in [12, 13, u32::MAX] {
            let offset = 0x100 + u64::from(outside);
            let error = Error::Truncated {
                what: "string",
                offset,
                needed: 1,
                available: 0,
            };
            assert_eq!(strings.get(outside), Err(error));
        }
    }

    #[test]
    fn unknown_types_print_as_readelf_prints_them() {
        let cases = [
            (0x6000_0001, "LOOS+0x1"),
            (0x7000_0003, "LOPROC+0x3"),
            (0x8000_0001, "LOUSER+0x1"),
            (12, "0000000c: <unknown>"),
        ];
        for (value, text) in cases {
            assert_eq!(SectionType(value).to_string(), text);
        }
    }
}
