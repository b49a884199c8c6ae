//! Program headers: which bytes of the file are which memory.
//!
//! ```text
//!            ELF32  ELF64
//!  p_type      0      0   u32
//!  p_flags    24      4   u32
//!  p_offset    4      8   offset
//!  p_vaddr     8     16   address
//!  p_paddr    12     24   address
//!  p_filesz   16     32   size
//!  p_memsz    20     40   size
//!  p_align    28     48   size
//!  length     32     56
//! ```
//!
//! Source: gABI, "Program Header"; `Elf32_Phdr`, `Elf64_Phdr` in `<elf.h>`.

use core::fmt;

use crate::{
    error::Result,
    ident::{Class, Encoding},
    table::{Entries, Entry, sealed::Decode},
    wire::{self, Fields, Output},
};

open_newtype! {
    /// `p_type`: what the segment is.
    SegmentType(u32) {
        /// `PT_NULL`
        NULL = 0 => "NULL",
        /// `PT_LOAD`: a piece of memory.
        LOAD = 1 => "LOAD",
        /// `PT_DYNAMIC`
        DYNAMIC = 2 => "DYNAMIC",
        /// `PT_INTERP`
        INTERP = 3 => "INTERP",
        /// `PT_NOTE`
        NOTE = 4 => "NOTE",
        /// `PT_SHLIB`
        SHLIB = 5 => "SHLIB",
        /// `PT_PHDR`
        PHDR = 6 => "PHDR",
        /// `PT_TLS`
        TLS = 7 => "TLS",
        /// `PT_GNU_EH_FRAME`
        GNU_EH_FRAME = 0x6474_e550 => "GNU_EH_FRAME",
        /// `PT_GNU_STACK`
        GNU_STACK = 0x6474_e551 => "GNU_STACK",
        /// `PT_GNU_RELRO`
        GNU_RELRO = 0x6474_e552 => "GNU_RELRO",
        /// `PT_GNU_PROPERTY`
        GNU_PROPERTY = 0x6474_e553 => "GNU_PROPERTY",
    }
}

bitflags::bitflags! {
    /// `p_flags`: how the memory may be used.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct SegmentFlags: u32 {
        /// `PF_X`
        const EXECUTE = 1;
        /// `PF_W`
        const WRITE = 2;
        /// `PF_R`
        const READ = 4;
        const _ = !0;
    }
}

/// A program header with ELF64's widths, as found: nothing but its length was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`
    pub kind: SegmentType,
    /// `p_flags`
    pub flags: SegmentFlags,
    /// `p_offset`: offset of the segment's bytes in the file.
    pub offset: u64,
    /// `p_vaddr`: virtual address of the first byte.
    pub vaddr: u64,
    /// `p_paddr`: physical address of the first byte. In dumps all ones or 0 may mean "not known".
    pub paddr: u64,
    /// `p_filesz`: length in the file in bytes.
    pub filesz: u64,
    /// `p_memsz`: length in memory in bytes. In dumps, what exceeds `filesz` was left out.
    pub memsz: u64,
    /// `p_align`: alignment in bytes; 0 and 1 mean none.
    pub align: u64,
}

/// The segments of a program header table.
pub type Segments<'a> = Entries<'a, Segment>;

impl Segment {
    /// Reads one program header; `offset` is where it lies in the file.
    ///
    /// # Errors
    ///
    /// `Truncated`.
    #[inline]
    pub fn parse(bytes: &[u8], encoding: Encoding, offset: u64) -> Result<Self> {
        let Encoding { class, endian } = encoding;
        let size = class.segment_size();
        wire::decode("program header", bytes, size, endian, offset, |fields| {
            Self::decode(fields, class)
        })
    }

    /// Writes the header and returns its length: 32 or 56 bytes.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short, `BadField` when a value does not fit ELF32.
    pub fn emit(&self, encoding: Encoding, out: &mut [u8]) -> Result<usize> {
        let size = encoding.class.segment_size();
        self.put(&mut Output::new("program header", out, size, encoding)?)?;
        Ok(size)
    }

    pub(crate) fn put(&self, out: &mut Output<'_>) -> Result<()> {
        let class = out.class();
        out.u32(self.kind.0)?;
        if class == Class::Elf64 {
            out.u32(self.flags.bits())?;
        }
        out.word(fits_elf32!("p_offset"), self.offset)?;
        out.word(fits_elf32!("p_vaddr"), self.vaddr)?;
        out.word(fits_elf32!("p_paddr"), self.paddr)?;
        out.word(fits_elf32!("p_filesz"), self.filesz)?;
        out.word(fits_elf32!("p_memsz"), self.memsz)?;
        if class == Class::Elf32 {
            out.u32(self.flags.bits())?;
        }
        out.word(fits_elf32!("p_align"), self.align)
    }
}

impl Entry for Segment {}

impl Decode for Segment {
    const TABLE: &'static str = "program header table";

    #[inline]
    fn size(class: Class) -> usize {
        class.segment_size()
    }

    #[inline]
    fn decode(fields: &mut Fields<'_>, class: Class) -> Option<Self> {
        let kind = SegmentType(fields.u32()?);
        let flags64 = match class {
            Class::Elf32 => None,
            Class::Elf64 => Some(fields.u32()?),
        };
        let [offset, vaddr, paddr, filesz, memsz] = [
            fields.word(class)?,
            fields.word(class)?,
            fields.word(class)?,
            fields.word(class)?,
            fields.word(class)?,
        ];
        let flags = match flags64 {
            Some(flags) => flags,
            None => fields.u32()?,
        };
        let flags = SegmentFlags::from_bits_retain(flags);
        let align = fields.word(class)?;
        Some(Self {
            kind,
            flags,
            offset,
            vaddr,
            paddr,
            filesz,
            memsz,
            align,
        })
    }
}

/// In the words of `readelf -l`, machine-specific names aside.
impl fmt::Display for SegmentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.0) {
            (Some(name), _) => f.pad(name),
            (None, value @ 0x7000_0000..=0x7fff_ffff) => {
                write!(f, "LOPROC+{:#x}", value.abs_diff(0x7000_0000))
            }
            (None, value @ 0x6000_0000..=0x6fff_ffff) => {
                write!(f, "LOOS+{:#x}", value.abs_diff(0x6000_0000))
            }
            (None, value) => write!(f, "<unknown>: {value:x}"),
        }
    }
}

/// The row of `readelf -lW` without the line's end: that of ELF64, with `{:#}` the narrower one of
/// ELF32.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |flag, letter| {
            if self.flags.contains(flag) {
                letter
            } else {
                ' '
            }
        };
        let (address, size) = if f.alternate() { (10, 7) } else { (18, 8) };
        write!(
            f,
            "  {:<14} {:#08x} {:#0address$x} {:#0address$x} {:#0size$x} {:#0size$x} {}{}{} ",
            self.kind,
            self.offset,
            self.vaddr,
            self.paddr,
            self.filesz,
            self.memsz,
            letter(SegmentFlags::READ, 'R'),
            letter(SegmentFlags::WRITE, 'W'),
            letter(SegmentFlags::EXECUTE, 'E'),
        )?;
        match self.align {
            0 => f.write_str("0"),
            align => write!(f, "{align:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::{
        error::Error,
        wire::counting::{BYTES, ENCODINGS, int, word},
    };

    fn counting(encoding: Encoding) -> Segment {
        Segment {
            kind: SegmentType(int(encoding, 0, 0)),
            flags: SegmentFlags::from_bits_retain(int(encoding, 24, 4)),
            offset: word(encoding, 4, 8),
            vaddr: word(encoding, 8, 16),
            paddr: word(encoding, 12, 24),
            filesz: word(encoding, 16, 32),
            memsz: word(encoding, 20, 40),
            align: word(encoding, 28, 48),
        }
    }

    #[test]
    fn counting_bytes() {
        for encoding in ENCODINGS {
            let size = encoding.class.segment_size();
            let segment = Segment::parse(&BYTES, encoding, 0).unwrap();
            assert_eq!(segment, counting(encoding));
            let mut out = [0; 64];
            assert_eq!(segment.emit(encoding, &mut out), Ok(size));
            assert_eq!(out[..size], BYTES[..size]);
            assert_eq!(out[size..], [0; 64][size..]);
        }
    }

    #[test]
    fn every_prefix_is_truncated() {
        for encoding in ENCODINGS {
            let size = encoding.class.segment_size();
            for len in 0..size {
                let (needed, available) = (size as u64, len as u64);
                let error = |offset| Error::Truncated {
                    what: "program header",
                    offset,
                    needed,
                    available,
                };
                let parsed = Segment::parse(&BYTES[..len], encoding, 0x40);
                assert_eq!(parsed, Err(error(0x40)));
                let emitted = counting(encoding).emit(encoding, &mut [0; 64][..len]);
                assert_eq!(emitted, Err(error(0)));
            }
        }
    }

    #[test]
    fn wide_values_do_not_fit_elf32() {
        let segment = Segment {
            memsz: 1 << 32,
            ..counting(ENCODINGS[0])
        };
        let error = segment.emit(ENCODINGS[0], &mut [0; 32]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "offset 0x14: p_memsz is 0x100000000, allowed: at most 0xffffffff in ELF32"
        );
    }

    #[test]
    fn a_table_is_read_by_iterator_and_by_index() {
        for encoding in ENCODINGS {
            let size = encoding.class.segment_size();
            let mut table = [0; 3 * 56];
            for (at, slot) in table.chunks_exact_mut(size).take(3).enumerate() {
                let segment = Segment {
                    offset: at as u64,
                    ..counting(encoding)
                };
                segment.emit(encoding, slot).unwrap();
            }
            let mut segments = Segments::new(&table[..3 * size], encoding, 64).unwrap();
            assert_eq!(segments.len(), 3);
            assert_eq!(segments.get(2).unwrap().offset, 2);
            assert_eq!(segments.get(3), None);
            assert!(segments.by_ref().map(|segment| segment.offset).eq(0..3));
            assert_eq!((segments.next(), segments.len()), (None, 0));
        }
    }

    #[test]
    fn a_partial_entry_is_an_error() {
        let error = Segments::new(&[0; 2 * 56 + 1], ENCODINGS[2], 64).unwrap_err();
        assert_eq!(
            error.to_string(),
            "offset 0xb0: program header table needs 0x38 bytes, 0x1 are there"
        );
    }

    #[test]
    fn unknown_types_print_as_readelf_prints_them() {
        let cases = [
            (0x6000_0001, "LOOS+0x1"),
            (0x7000_0003, "LOPROC+0x3"),
            (0x8000_0000, "<unknown>: 80000000"),
            (9, "<unknown>: 9"),
        ];
        for (value, text) in cases {
            assert_eq!(SegmentType(value).to_string(), text);
        }
    }
}
