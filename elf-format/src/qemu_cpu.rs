//! The note `QEMU`: all that a debugger must know of an x86 CPU and `NT_PRSTATUS` has no place for.
//!
//! ```text
//!  0        version                 u32: 1
//!  4        size                    u32: length of the descriptor
//!  8        rax rbx rcx rdx rsi rdi rsp rbp r8 … r15 rip rflags   18 × u64
//!  0x98     cs ds es fs gs ss ldt tr gdt idt                      10 × 24 bytes:
//!             +0 selector +4 limit +8 flags +12 padding (u32 each), +16 base (u64)
//!  0x188    cr0 … cr4               5 × u64
//!  0x1b0    kernel_gs_base          u64: since QEMU 3.0, in version 1 too
//!  0x1b8    what later versions may append
//! ```
//!
//! All integers are little-endian, as the machine is, in ELF32 too. The note's type is 0. CR3 is the
//! root of the page tables that the CPU used, and CR4 says how many levels they have: that is enough
//! to walk them in a dump without VMCOREINFO.
//!
//! Source: `QEMUCPUState` in QEMU `target/i386/arch_dump.c`; `DESC_*_SHIFT` in `target/i386/cpu.h`.

use crate::{
    error::{Error, Field, Result},
    ident::{Class, Encoding, Endian},
    wire::{self, Fields, Output},
};

/// The name of the note's owner.
pub const NOTE_NAME: &[u8] = b"QEMU";
/// `QEMUCPUSTATE_VERSION`: the only version so far.
pub const VERSION: u32 = 1;

/// The names of [`CpuState::general`], in gdb's words; `rflags` is the kernel's `eflags`.
pub const GENERAL: [&str; 18] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip", "rflags",
];
/// The names of [`CpuState::segments`].
pub const SEGMENTS: [&str; 10] = [
    "cs", "ds", "es", "fs", "gs", "ss", "ldt", "tr", "gdt", "idt",
];

/// Up to and with cr4.
const SIZE_MIN: usize = 0x1b0;
/// With `kernel_gs_base`.
const SIZE: usize = 0x1b8;

const X86: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};

const SIZE_FIELD: Field = Field {
    name: "size of QEMUCPUState",
    allowed: "at least 0x1b0",
};
const REST: Field = Field {
    name: "length of what follows cr4 without kernel_gs_base",
    allowed: "less than 8",
};

/// `QEMUCPUSegment`: a segment register with what the CPU keeps of its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuSegment {
    /// What the program sees of it; 0 of gdt and idt.
    pub selector: u32,
    /// Length of the segment in bytes, less one.
    pub limit: u32,
    /// The second half of the descriptor, of which bits 8 to 15 and 20 to 23 are the attributes. The others
    /// are bits of base and limit: there where QEMU emulates the CPU, 0 where KVM runs it.
    pub flags: u32,
    /// Linear address of the first byte.
    pub base: u64,
}

/// `QEMUCPUState`: the descriptor of the note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuState<'a> {
    /// General registers, named by [`GENERAL`].
    pub general: [u64; GENERAL.len()],
    /// Segment and table registers, named by [`SEGMENTS`].
    pub segments: [CpuSegment; SEGMENTS.len()],
    /// `cr[5]`: cr0 to cr4; cr1 does not exist and is 0.
    pub control: [u64; 5],
    /// What `swapgs` swaps with gs's base; `None` before QEMU 3.0.
    pub kernel_gs_base: Option<u64>,
    /// What follows, and is not known here.
    pub rest: &'a [u8],
}

impl<'a> CpuState<'a> {
    /// The descriptor of a note `QEMU`, which lies at `offset` in the file.
    ///
    /// # Errors
    ///
    /// `Unsupported` for another version, `BadField` for a size that is too small for the version,
    /// `Truncated` for a descriptor shorter than it says.
    pub fn parse(desc: &'a [u8], offset: u64) -> Result<Self> {
        let truncated = |needed: usize| Error::Truncated {
            what: "QEMUCPUState",
            offset,
            needed: needed as u64,
            available: wire::len(desc),
        };
        let mut fields = Fields::new(desc, X86.endian);
        let version = fields.u32().ok_or(truncated(SIZE_MIN))?;
        if version != VERSION {
            return Err(Error::Unsupported {
                what: "version of QEMUCPUState",
                offset,
                value: version.into(),
            });
        }
        let size = fields.u32().ok_or(truncated(SIZE_MIN))?;
        let bad_size = Error::BadField {
            field: &SIZE_FIELD,
            // Saturating: only a caller's wrong `offset` is that high.
            offset: offset.saturating_add(4),
            value: size.into(),
        };
        // A size that is not one of this machine is longer than the descriptor.
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size < SIZE_MIN {
            return Err(bad_size);
        }
        let whole = desc.get(..size).ok_or(truncated(size))?;
        let known = if size < SIZE { SIZE_MIN } else { SIZE };
        let rest = whole.get(known..).unwrap_or_default();
        Self::decode(&mut fields, known == SIZE, rest).ok_or(truncated(known))
    }

    fn decode(fields: &mut Fields<'_>, has_gs_base: bool, rest: &'a [u8]) -> Option<Self> {
        let mut state = Self {
            rest,
            ..Self::default()
        };
        for register in &mut state.general {
            *register = fields.u64()?;
        }
        for segment in &mut state.segments {
            segment.selector = fields.u32()?;
            segment.limit = fields.u32()?;
            segment.flags = fields.u32()?;
            fields.u32()?;
            segment.base = fields.u64()?;
        }
        for register in &mut state.control {
            *register = fields.u64()?;
        }
        if has_gs_base {
            state.kernel_gs_base = Some(fields.u64()?);
        }
        Some(state)
    }

    /// The general register of that name, to be read or set.
    pub fn general_mut(&mut self, name: &str) -> Option<&mut u64> {
        let place = GENERAL.iter().position(|&known| known == name)?;
        self.general.get_mut(place)
    }

    /// The segment or table register of that name, to be read or set.
    pub fn segment_mut(&mut self, name: &str) -> Option<&mut CpuSegment> {
        let place = SEGMENTS.iter().position(|&known| known == name)?;
        self.segments.get_mut(place)
    }

    /// CR3: the physical address of the top table, and flags in its low 12 bits.
    #[must_use]
    pub const fn cr3(&self) -> u64 {
        let [_, _, _, cr3, _] = self.control;
        cr3
    }

    /// CR4: which extensions are on; bit 12 is that of five levels of page tables.
    #[must_use]
    pub const fn cr4(&self) -> u64 {
        let [.., cr4] = self.control;
        cr4
    }

    /// Names and values of the general and control registers, in the order of the descriptor.
    pub fn registers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        const CONTROL: [&str; 5] = ["cr0", "cr1", "cr2", "cr3", "cr4"];
        let general = GENERAL.into_iter().zip(self.general);
        let control = CONTROL.into_iter().zip(self.control);
        let gs_base = self.kernel_gs_base.map(|base| ("kernel_gs_base", base));
        general.chain(control).chain(gs_base)
    }

    /// Length in bytes.
    #[must_use]
    pub const fn emitted_len(&self) -> usize {
        let known = match self.kernel_gs_base {
            Some(_) => SIZE,
            None => SIZE_MIN,
        };
        // Saturating: no slice is that long, so emitting reports it as truncated.
        known.saturating_add(self.rest.len())
    }

    /// Writes the descriptor and returns its length.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short, `BadField` when the length exceeds 32 bits, or when
    /// `rest` would be taken for a `kernel_gs_base`.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        if self.kernel_gs_base.is_none() && self.rest.len() >= 8 {
            return Err(Error::BadField {
                field: &REST,
                offset: SIZE_MIN as u64,
                value: wire::len(self.rest),
            });
        }
        let size = self.emitted_len();
        let mut out = Output::new("QEMUCPUState", out, size, X86)?;
        out.u32(VERSION)?;
        out.narrow(&SIZE_FIELD, size as u64)?;
        for &register in &self.general {
            out.u64(register)?;
        }
        for segment in &self.segments {
            out.u32(segment.selector)?;
            out.u32(segment.limit)?;
            out.u32(segment.flags)?;
            out.zeros(4)?;
            out.u64(segment.base)?;
        }
        for &register in &self.control {
            out.u64(register)?;
        }
        if let Some(base) = self.kernel_gs_base {
            out.u64(base)?;
        }
        out.bytes(self.rest)?;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;

    /// Words that count up from 1, so that no field looks like another.
    fn counting(size: usize) -> Vec<u8> {
        let words = (0..).flat_map(|word: u32| word.to_le_bytes());
        let mut bytes: Vec<u8> = words.take(size).collect();
        bytes[..4].copy_from_slice(&VERSION.to_le_bytes());
        bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
        bytes
    }

    /// The word pair at `offset` of [`counting`].
    fn word(offset: u64) -> u64 {
        (offset / 4 + 1) << 32 | (offset / 4)
    }

    #[test]
    fn counting_words() {
        let bytes = counting(SIZE + 5);
        let mut state = CpuState::parse(&bytes, 0x100).unwrap();
        assert_eq!(state.general_mut("rax"), Some(&mut word(8)));
        assert_eq!(state.general_mut("rsp"), Some(&mut word(0x38)));
        assert_eq!(state.general_mut("rflags"), Some(&mut word(0x90)));
        assert_eq!(state.general_mut("cs"), None);
        let cs = CpuSegment {
            selector: 0x98 / 4,
            limit: 0x9c / 4,
            flags: 0xa0 / 4,
            base: word(0xa8),
        };
        assert_eq!(state.segment_mut("cs"), Some(&mut { cs }));
        assert_eq!(state.segment_mut("idt").unwrap().base, word(0x180));
        assert_eq!(state.segment_mut("rax"), None);
        assert_eq!((state.cr3(), state.cr4()), (word(0x1a0), word(0x1a8)));
        assert_eq!(state.kernel_gs_base, Some(word(0x1b0)));
        assert_eq!(state.rest, &bytes[SIZE..]);

        let registers: Vec<_> = state.registers().collect();
        assert_eq!(registers.len(), 24);
        assert_eq!(registers[17], ("rflags", word(0x90)));
        assert_eq!(registers[21], ("cr3", state.cr3()));
        assert_eq!(registers[23], ("kernel_gs_base", word(0x1b0)));
    }

    #[test]
    fn what_is_read_is_written() {
        // Without kernel_gs_base, with half of it, with it, and with more.
        for size in [SIZE_MIN, SIZE_MIN + 7, SIZE, SIZE + 1, SIZE + 100] {
            let mut bytes = counting(size);
            for padding in (0..SEGMENTS.len()).map(|at| 0x98 + 24 * at + 12) {
                bytes[padding..padding + 4].fill(0);
            }
            let state = CpuState::parse(&bytes, 0).unwrap();
            assert_eq!(state.kernel_gs_base.is_some(), size >= SIZE);
            assert_eq!(state.emitted_len(), size);
            let mut out = vec![0xff; size + 3];
            assert_eq!(state.emit(&mut out), Ok(size));
            assert_eq!(out[..size], bytes);
            assert_eq!(out[size..], [0xff; 3]);
            for len in 0..size {
                let error = Error::Truncated {
                    what: "QEMUCPUState",
                    offset: 0,
                    needed: size as u64,
                    available: len as u64,
                };
                assert_eq!(state.emit(&mut out[..len]), Err(error));
            }
            // Behind the size that the structure tells nothing is its own.
            let longer = [&bytes[..], &[0xff]].concat();
            assert_eq!(CpuState::parse(&longer, 0), Ok(state));
        }
    }

    #[test]
    fn every_prefix_is_truncated() {
        let bytes = counting(SIZE);
        for len in 0..SIZE {
            let needed = if len < 8 { SIZE_MIN } else { SIZE };
            let error = Error::Truncated {
                what: "QEMUCPUState",
                offset: 0x100,
                needed: needed as u64,
                available: len as u64,
            };
            assert_eq!(CpuState::parse(&bytes[..len], 0x100), Err(error));
        }
    }

    #[test]
    fn versions_and_sizes_are_checked() {
        let with = |at: usize, value: u32| {
            let mut bytes = counting(SIZE);
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            CpuState::parse(&bytes, 0x100).unwrap_err().to_string()
        };
        assert_eq!(
            with(0, 2),
            "offset 0x100: version of QEMUCPUState 0x2 is not supported"
        );
        assert_eq!(
            with(4, 0x1af),
            "offset 0x104: size of QEMUCPUState is 0x1af, allowed: at least 0x1b0"
        );
        assert_eq!(
            with(4, u32::MAX),
            "offset 0x100: QEMUCPUState needs 0xffffffff bytes, 0x1b8 are there"
        );
    }

    #[test]
    fn what_would_be_taken_for_a_register_is_not_written() {
        let state = CpuState {
            rest: &[0; 8],
            ..CpuState::default()
        };
        let error = state.emit(&mut [0; 512]).unwrap_err();
        let text = "length of what follows cr4 without kernel_gs_base is 0x8, allowed: less than 8";
        assert_eq!(error.to_string(), std::format!("offset 0x1b0: {text}"));
    }
}
