//! The file header, and the rules by which it finds the other headers.
//!
//! ```text
//!             ELF32   ELF64
//!  e_ident      0       0   16 bytes, see `ident`
//!  e_type      16      16   u16
//!  e_machine   18      18   u16
//!  e_version   20      20   u32
//!  e_entry     24      24   address
//!  e_phoff     28      32   offset
//!  e_shoff     32      40   offset
//!  e_flags     36      48   u32
//!  e_ehsize    40      52   u16
//!  e_phentsize 42      54   u16
//!  e_phnum     44      56   u16
//!  e_shentsize 46      58   u16
//!  e_shnum     48      60   u16
//!  e_shstrndx  50      62   u16
//!  length      52      64
//! ```
//!
//! Three counts do not fit 16 bits in large files. Section header 0, otherwise unused, then holds
//! them: `sh_info` for `e_phnum` ([`PN_XNUM`]), `sh_size` for `e_shnum` (0), `sh_link` for
//! `e_shstrndx` ([`SHN_XINDEX`]).
//!
//! Source: gABI, "ELF Header"; `Elf32_Ehdr`, `Elf64_Ehdr` in `<elf.h>`; what dumps must obey is in
//! Linux `fs/proc/vmcore.c`.

use core::fmt;

use crate::{
    error::{Error, Field, Result},
    ident::{Class, Encoding, Ident},
    machine::Machine,
    machine_flags::MachineFlags,
    section::Section,
    table::Table,
    wire::{self, Output},
};

/// `e_phnum` when `sh_info` of section header 0 holds the number of program headers.
pub const PN_XNUM: u16 = 0xffff;
/// `e_shstrndx` when `sh_link` of section header 0 holds the index.
pub const SHN_XINDEX: u16 = 0xffff;

const PHOFF: Field = Field {
    name: "e_phoff",
    allowed: "not 0 when there are program headers",
};
const PHENTSIZE: Field = Field {
    name: "e_phentsize",
    allowed: "0x20 in ELF32, 0x38 in ELF64",
};
const SHENTSIZE: Field = Field {
    name: "e_shentsize",
    allowed: "0x28 in ELF32, 0x40 in ELF64",
};
const PHNUM: Field = Field {
    name: "e_phnum",
    allowed: "less than 0xffff without a section header 0",
};
const SH_INFO: Field = Field {
    name: "sh_info of section 0",
    allowed: "not 0 when e_phnum is 0xffff",
};
const SHNUM: Field = Field {
    name: "e_shnum",
    allowed: "not 0 without a section header 0",
};
const SHSTRNDX: Field = Field {
    name: "e_shstrndx",
    allowed: "less than 0xffff without a section header 0",
};
const SHSTRNDX_OUTSIDE: Field = Field {
    name: "e_shstrndx",
    allowed: "less than the number of sections",
};
const SH_LINK: Field = Field {
    name: "sh_link of section 0",
    allowed: "less than the number of sections when e_shstrndx is 0xffff",
};

open_newtype! {
    /// `e_type`: what the file is for.
    FileType(u16) {
        /// `ET_NONE`
        NONE = 0 => "NONE (None)",
        /// `ET_REL`
        REL = 1 => "REL (Relocatable file)",
        /// `ET_EXEC`
        EXEC = 2 => "EXEC (Executable file)",
        /// `ET_DYN`
        DYN = 3 => "DYN (Shared object file)",
        /// `ET_CORE`: memory of a process or a machine.
        CORE = 4 => "CORE (Core file)",
    }
}

/// The file header with ELF64's widths, as found. Only the identification has been checked;
/// [`program_headers`](Self::program_headers) and [`section_headers`](Self::section_headers) check
/// the rest.
///
/// `e_ehsize` is kept and never enforced: QEMU writes 8 there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `e_ident`
    pub ident: Ident,
    /// `e_type`
    pub file_type: FileType,
    /// `e_machine`
    pub machine: Machine,
    /// `e_version`
    pub version: u32,
    /// `e_entry`: virtual address where execution starts.
    pub entry: u64,
    /// `e_phoff`: offset of the program headers in bytes.
    pub phoff: u64,
    /// `e_shoff`: offset of the section headers in bytes.
    pub shoff: u64,
    /// `e_flags`: what they mean depends on the machine.
    pub flags: u32,
    /// `e_ehsize`: size of this header in bytes.
    pub ehsize: u16,
    /// `e_phentsize`: size of a program header in bytes.
    pub phentsize: u16,
    /// `e_phnum`: number of program headers, or [`PN_XNUM`].
    pub phnum: u16,
    /// `e_shentsize`: size of a section header in bytes.
    pub shentsize: u16,
    /// `e_shnum`: number of section headers; 0 with an `e_shoff` when it does not fit.
    pub shnum: u16,
    /// `e_shstrndx`: index of the section that holds the names, or [`SHN_XINDEX`].
    pub shstrndx: u16,
}

impl Header {
    /// Reads the start of a file: 52 bytes suffice in ELF32, 64 in ELF64.
    ///
    /// # Errors
    ///
    /// Those of [`Ident::parse`], and `Truncated`.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let ident = Ident::parse(bytes)?;
        let Encoding { class, endian } = ident.encoding;
        wire::decode(
            "ELF header",
            bytes,
            class.header_size(),
            endian,
            0,
            |fields| {
                fields.array::<{ crate::ident::SIZE }>()?;
                Some(Self {
                    ident,
                    file_type: FileType(fields.u16()?),
                    machine: Machine(fields.u16()?),
                    version: fields.u32()?,
                    entry: fields.word(class)?,
                    phoff: fields.word(class)?,
                    shoff: fields.word(class)?,
                    flags: fields.u32()?,
                    ehsize: fields.u16()?,
                    phentsize: fields.u16()?,
                    phnum: fields.u16()?,
                    shentsize: fields.u16()?,
                    shnum: fields.u16()?,
                    shstrndx: fields.u16()?,
                })
            },
        )
    }

    /// Class and byte order of every structure in the file.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.ident.encoding
    }

    /// Where section header 0 lies, if one of the rules that need it applies: a table of one entry.
    ///
    /// A reader of positioned bytes reads that entry and passes it to the methods below. Who wants
    /// only the program headers asks when `phnum` is [`PN_XNUM`]: otherwise section headers, however
    /// damaged, do not matter.
    ///
    /// # Errors
    ///
    /// `BadField` when `e_shentsize` is not the class's; `Overflow`.
    pub fn first_section(&self) -> Result<Option<Table>> {
        let needed = self.phnum == PN_XNUM || self.shnum == 0 || self.shstrndx == SHN_XINDEX;
        if self.shoff == 0 || !needed {
            return Ok(None);
        }
        self.section_table(1).map(Some)
    }

    /// Where the program headers lie. `first_section` is needed only for [`PN_XNUM`].
    ///
    /// # Errors
    ///
    /// `BadField` when `e_phentsize` is not the class's (Linux demands it of dumps too), `e_phoff`
    /// is 0, or the number is to be found in a section header 0 that is missing or says 0;
    /// `Overflow`.
    #[inline]
    pub fn program_headers(&self, first_section: Option<&Section>) -> Result<Table> {
        let count = match (self.phnum, first_section) {
            (PN_XNUM, Some(&Section { info: 0, .. })) => {
                return Err(self.bad_in_first_section(&SH_INFO, 28, 44, 0));
            }
            (PN_XNUM, Some(section)) => section.info.into(),
            (PN_XNUM, None) => return Err(self.bad(&PHNUM, 44, 56, self.phnum.into())),
            (count, _) => u64::from(count),
        };
        let size = self.encoding().class.segment_size();
        if count > 0 {
            if self.phoff == 0 {
                return Err(self.bad(&PHOFF, 28, 32, 0));
            }
            if usize::from(self.phentsize) != size {
                return Err(self.bad(&PHENTSIZE, 42, 54, self.phentsize.into()));
            }
        }
        Table::try_new("program header table", self.phoff, count, size)
    }

    /// Where the section headers lie; none when `e_shoff` is 0. `first_section` is needed only when
    /// `e_shnum` is 0.
    ///
    /// # Errors
    ///
    /// `BadField` when `e_shentsize` is not the class's, or the number is to be found in a section
    /// header 0 that is missing; `Overflow`.
    pub fn section_headers(&self, first_section: Option<&Section>) -> Result<Table> {
        let count = match (self.shoff, self.shnum, first_section) {
            (0, ..) => 0,
            (_, 0, Some(section)) => section.size,
            (_, 0, None) => return Err(self.bad(&SHNUM, 48, 60, 0)),
            (_, count, _) => u64::from(count),
        };
        self.section_table(count)
    }

    /// Index of the section that holds the names of sections; 0 when there is none.
    ///
    /// # Errors
    ///
    /// `BadField` when the index is to be found in a section header 0 that is missing.
    pub fn section_names(&self, first_section: Option<&Section>) -> Result<u32> {
        match (self.shstrndx, first_section) {
            (SHN_XINDEX, Some(section)) => Ok(section.link),
            (SHN_XINDEX, None) => Err(self.bad(&SHSTRNDX, 50, 62, self.shstrndx.into())),
            (index, _) => Ok(index.into()),
        }
    }

    /// Writes the header and returns its length: 52 or 64 bytes.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short, `BadField` when an address or offset does not fit
    /// ELF32.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let size = self.encoding().class.header_size();
        self.put(&mut Output::new("ELF header", out, size, self.encoding())?)?;
        Ok(size)
    }

    pub(crate) fn put(&self, out: &mut Output<'_>) -> Result<()> {
        self.ident.put(out)?;
        out.u16(self.file_type.0)?;
        out.u16(self.machine.0)?;
        out.u32(self.version)?;
        out.word(fits_elf32!("e_entry"), self.entry)?;
        out.word(fits_elf32!("e_phoff"), self.phoff)?;
        out.word(fits_elf32!("e_shoff"), self.shoff)?;
        out.u32(self.flags)?;
        out.u16(self.ehsize)?;
        out.u16(self.phentsize)?;
        out.u16(self.phnum)?;
        out.u16(self.shentsize)?;
        out.u16(self.shnum)?;
        out.u16(self.shstrndx)
    }

    fn section_table(&self, count: u64) -> Result<Table> {
        let size = self.encoding().class.section_size();
        if count > 0 && usize::from(self.shentsize) != size {
            return Err(self.bad(&SHENTSIZE, 46, 58, self.shentsize.into()));
        }
        Table::try_new("section header table", self.shoff, count, size)
    }

    /// The field that says which section holds the names says `index`, and there is none.
    pub(crate) fn no_section_names(&self, index: u32) -> Error {
        match self.shstrndx {
            SHN_XINDEX => self.bad_in_first_section(&SH_LINK, 24, 40, index.into()),
            _ => self.bad(&SHSTRNDX_OUTSIDE, 50, 62, index.into()),
        }
    }

    fn bad_in_first_section(
        &self,
        field: &'static Field,
        elf32: u64,
        elf64: u64,
        value: u64,
    ) -> Error {
        // Saturating: section header 0 was read at e_shoff, so the sum fits.
        let at = |field| self.shoff.saturating_add(field);
        self.bad(field, at(elf32), at(elf64), value)
    }

    fn bad(&self, field: &'static Field, elf32: u64, elf64: u64, value: u64) -> Error {
        let offset = match self.encoding().class {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        };
        Error::BadField {
            field,
            offset,
            value,
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.0) {
            (Some(name), _) => f.write_str(name),
            (None, value @ 0xff00..) => write!(f, "Processor Specific: ({value:x})"),
            (None, value @ 0xfe00..) => write!(f, "OS Specific: ({value:x})"),
            (None, value) => write!(f, "<unknown>: {value:x}"),
        }
    }
}

/// What `readelf -h` prints, without a look at section header 0 or at the dynamic section (by which it
/// tells a PIE from a library).
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ELF Header:\n{}", self.ident)?;
        let mut row = |label: &str, value: fmt::Arguments<'_>| writeln!(f, "  {label:<34} {value}");
        row("Type:", format_args!("{}", self.file_type))?;
        row("Machine:", format_args!("{}", self.machine))?;
        row("Version:", format_args!("{:#x}", self.version))?;
        row("Entry point address:", format_args!("{:#x}", self.entry))?;
        row(
            "Start of program headers:",
            format_args!("{} (bytes into file)", self.phoff),
        )?;
        row(
            "Start of section headers:",
            format_args!("{} (bytes into file)", self.shoff),
        )?;
        row(
            "Flags:",
            format_args!("{}", MachineFlags(self.machine, self.flags)),
        )?;
        row(
            "Size of this header:",
            format_args!("{} (bytes)", self.ehsize),
        )?;
        row(
            "Size of program headers:",
            format_args!("{} (bytes)", self.phentsize),
        )?;
        row("Number of program headers:", format_args!("{}", self.phnum))?;
        row(
            "Size of section headers:",
            format_args!("{} (bytes)", self.shentsize),
        )?;
        row("Number of section headers:", format_args!("{}", self.shnum))?;
        row(
            "Section header string table index:",
            format_args!("{}", self.shstrndx),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::{
        ident::EV_CURRENT,
        section::{SectionFlags, SectionType},
        wire::counting::{BYTES, ENCODINGS, half, int, word},
    };

    fn counting(encoding: Encoding) -> ([u8; 64], Header) {
        let mut bytes = BYTES;
        bytes[..16].copy_from_slice(&Ident::new(encoding).to_bytes());
        let header = Header {
            ident: Ident::new(encoding),
            file_type: FileType(half(encoding, 16, 16)),
            machine: Machine(half(encoding, 18, 18)),
            version: int(encoding, 20, 20),
            entry: word(encoding, 24, 24),
            phoff: word(encoding, 28, 32),
            shoff: word(encoding, 32, 40),
            flags: int(encoding, 36, 48),
            ehsize: half(encoding, 40, 52),
            phentsize: half(encoding, 42, 54),
            phnum: half(encoding, 44, 56),
            shentsize: half(encoding, 46, 58),
            shnum: half(encoding, 48, 60),
            shstrndx: half(encoding, 50, 62),
        };
        (bytes, header)
    }

    /// A dump of three segments without sections.
    fn core(encoding: Encoding) -> Header {
        let size = |size: usize| size as u16;
        Header {
            ident: Ident::new(encoding),
            file_type: FileType::CORE,
            machine: Machine::X86_64,
            version: EV_CURRENT.into(),
            entry: 0,
            phoff: encoding.class.header_size() as u64,
            shoff: 0,
            flags: 0,
            ehsize: size(encoding.class.header_size()),
            phentsize: size(encoding.class.segment_size()),
            phnum: 3,
            shentsize: 0,
            shnum: 0,
            shstrndx: 0,
        }
    }

    fn section(size: u64, link: u32, info: u32) -> Section {
        Section {
            name: 0,
            kind: SectionType::NULL,
            flags: SectionFlags::empty(),
            addr: 0,
            offset: 0,
            size,
            link,
            info,
            addralign: 0,
            entsize: 0,
        }
    }

    fn bad_field(error: Error) -> (&'static str, u64, u64) {
        match error {
            Error::BadField {
                field,
                offset,
                value,
            } => (field.name, offset, value),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn counting_bytes() {
        for encoding in ENCODINGS {
            let size = encoding.class.header_size();
            let (bytes, expected) = counting(encoding);
            assert_eq!(Header::parse(&bytes[..size]), Ok(expected));
            let mut out = [0; 64];
            assert_eq!(expected.emit(&mut out), Ok(size));
            assert_eq!(out[..size], bytes[..size]);
        }
    }

    #[test]
    fn every_prefix_is_truncated() {
        for encoding in ENCODINGS {
            let (bytes, header) = counting(encoding);
            let size = encoding.class.header_size();
            for len in 16..size {
                let (needed, available) = (size as u64, len as u64);
                let error = Error::Truncated {
                    what: "ELF header",
                    offset: 0,
                    needed,
                    available,
                };
                assert_eq!(Header::parse(&bytes[..len]), Err(error));
                assert_eq!(header.emit(&mut [0; 64][..len]), Err(error));
            }
        }
    }

    #[test]
    fn wide_addresses_do_not_fit_elf32() {
        let header = Header {
            entry: 1 << 32,
            ..core(ENCODINGS[0])
        };
        let error = header.emit(&mut [0; 52]).unwrap_err();
        assert_eq!(bad_field(error), ("e_entry", 24, 1 << 32));
    }

    #[test]
    fn program_headers_follow_the_header() {
        for encoding in ENCODINGS {
            let table = core(encoding).program_headers(None).unwrap();
            assert_eq!(table.offset(), encoding.class.header_size() as u64);
            assert_eq!(table.count(), 3);
            assert_eq!(table.byte_len(), 3 * encoding.class.segment_size() as u64);
        }
    }

    #[test]
    fn no_program_headers_need_no_sizes() {
        let header = Header {
            phnum: 0,
            phoff: 0,
            phentsize: 0,
            ..core(ENCODINGS[3])
        };
        assert_eq!(header.program_headers(None).unwrap().byte_len(), 0);
    }

    #[test]
    fn sizes_must_be_the_class_s() {
        for encoding in ENCODINGS {
            let elf64 = encoding.class == Class::Elf64;
            let header = Header {
                phentsize: 0xffff,
                shentsize: 0x41,
                shoff: 1,
                ..core(encoding)
            };
            let at = if elf64 { 54 } else { 42 };
            let error = header.program_headers(None).unwrap_err();
            assert_eq!(bad_field(error), ("e_phentsize", at, 0xffff));
            let at = if elf64 { 58 } else { 46 };
            assert_eq!(
                bad_field(header.first_section().unwrap_err()),
                ("e_shentsize", at, 0x41)
            );
            let header = Header { shnum: 1, ..header };
            let error = header.section_headers(None).unwrap_err();
            assert_eq!(bad_field(error), ("e_shentsize", at, 0x41));
        }
    }

    #[test]
    fn large_counts_are_in_section_header_0() {
        for encoding in ENCODINGS {
            let section_size = encoding.class.section_size();
            let header = Header {
                phnum: PN_XNUM,
                shoff: 0x1000,
                shentsize: section_size as u16,
                shstrndx: SHN_XINDEX,
                ..core(encoding)
            };
            let first = header.first_section().unwrap().unwrap();
            assert_eq!((first.offset(), first.count()), (0x1000, 1));
            assert_eq!(first.byte_len(), section_size as u64);
            let zero = section(65_536, 65_535, 70_000);
            assert_eq!(header.program_headers(Some(&zero)).unwrap().count(), 70_000);
            assert_eq!(header.section_headers(Some(&zero)).unwrap().count(), 65_536);
            assert_eq!(header.section_names(Some(&zero)), Ok(65_535));
        }
    }

    #[test]
    fn small_counts_ignore_section_header_0() {
        let header = Header {
            shoff: 64,
            shentsize: 64,
            shnum: 2,
            shstrndx: 1,
            ..core(ENCODINGS[2])
        };
        assert_eq!(header.first_section(), Ok(None));
        let zero = section(99, 98, 97);
        assert_eq!(header.program_headers(Some(&zero)).unwrap().count(), 3);
        assert_eq!(header.section_headers(Some(&zero)).unwrap().count(), 2);
        assert_eq!(header.section_names(Some(&zero)), Ok(1));
    }

    #[test]
    fn large_counts_without_section_header_0_are_errors() {
        let header = Header {
            phnum: PN_XNUM,
            shstrndx: SHN_XINDEX,
            ..core(ENCODINGS[2])
        };
        assert_eq!(header.first_section(), Ok(None));
        let error = header.program_headers(None).unwrap_err();
        assert_eq!(bad_field(error), ("e_phnum", 56, 0xffff));
        let error = header.section_names(None).unwrap_err();
        assert_eq!(bad_field(error), ("e_shstrndx", 62, 0xffff));
        let header = Header {
            shoff: 0x1000,
            ..header
        };
        let error = header.section_headers(None).unwrap_err();
        assert_eq!(bad_field(error), ("e_shnum", 60, 0));
        let error = header.program_headers(Some(&section(1, 0, 0))).unwrap_err();
        assert_eq!(bad_field(error), ("sh_info of section 0", 0x102c, 0));
    }

    #[test]
    fn ends_beyond_64_bits_are_errors() {
        let header = Header {
            phoff: u64::MAX - 100,
            ..core(ENCODINGS[2])
        };
        let what = "program header table";
        let error = Error::Overflow {
            what,
            offset: u64::MAX - 100,
        };
        assert_eq!(header.program_headers(None), Err(error));
        let header = Header {
            shoff: 64,
            shentsize: 64,
            ..core(ENCODINGS[2])
        };
        let error = Error::Overflow {
            what: "section header table",
            offset: 64,
        };
        assert_eq!(
            header.section_headers(Some(&section(u64::MAX / 2, 0, 0))),
            Err(error)
        );
    }

    #[test]
    fn program_headers_at_offset_0_are_an_error() {
        let header = Header {
            phoff: 0,
            ..core(ENCODINGS[3])
        };
        assert_eq!(
            bad_field(header.program_headers(None).unwrap_err()),
            ("e_phoff", 32, 0)
        );
    }

    #[test]
    fn unknown_values_print_as_readelf_prints_them() {
        let cases = [
            (FileType(5).to_string(), "<unknown>: 5"),
            (FileType(0xfe00).to_string(), "OS Specific: (fe00)"),
            (FileType(0xffff).to_string(), "Processor Specific: (ffff)"),
            (Machine(0xbeee).to_string(), "<unknown>: 0xbeee"),
            (crate::OsAbi(0xfe).to_string(), "<unknown: fe>"),
        ];
        for (printed, expected) in cases {
            assert_eq!(printed, expected);
        }
    }
}
