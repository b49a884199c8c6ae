//! The notes `Xen`: what a hypervisor that crashed says about itself, and registers of its CPUs.
//!
//! ```text
//!  XEN_ELFNOTE_CRASH_INFO, in words of the class
//!  0       1       2               3           4          5              6              7
//!  │ major │ minor │ extra version │ changeset │ compiler │ compile date │ compile time │ tainted │ …
//!                  └────────── physical addresses of texts ──────────────┘
//!  …  nothing, as on arm   or   8 │ p2m │   or   8 │ phys start │ 9 │ p2m │
//!
//!  XEN_ELFNOTE_CRASH_REGS of x86, in words of the class
//!  │ cr0 │ cr2 │ cr3 │ cr4 │
//! ```
//!
//! A dump that was made when Xen died has one `XEN_ELFNOTE_CRASH_INFO`, and for each CPU of the machine
//! `NT_PRSTATUS` and `XEN_ELFNOTE_CRASH_REGS`.
//!
//! Source: `crash_xen_info_t` in Xen `xen/include/xen/elfcore.h`, what fills it in
//! `xen/common/kexec.c` (`kexec_crash_save_info`), and `crash_xen_core_t` in `xen/include/asm-x86/x86_*/elf.h`;
//! `phys start` came between in Xen 3.2.

use crate::{
    error::Result,
    ident::{Class, Encoding},
    wire::{self, Fields},
};

/// The name of the notes' owner.
pub const NOTE_NAME: &[u8] = b"Xen";

/// Words of `XEN_ELFNOTE_CRASH_INFO` on every machine.
const COMMON: usize = 8;
/// Words of `XEN_ELFNOTE_CRASH_REGS`.
const REGISTERS: usize = 4;

/// `crash_xen_info_t`: the descriptor of `XEN_ELFNOTE_CRASH_INFO`. Numbers of ELF32 are widened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashInfo {
    /// `xen_major_version`: the 4 of 4.17.
    pub major: u64,
    /// `xen_minor_version`
    pub minor: u64,
    /// `xen_extra_version`: where in physical memory the rest of the version is, `.7`, that ends with a NUL, as the other texts.
    pub extra_version: u64,
    /// `xen_changeset`: where the text is that tells the sources.
    pub changeset: u64,
    /// `xen_compiler`: where the compiler's name is.
    pub compiler: u64,
    /// `xen_compile_date`: where the day of the build is.
    pub compile_date: u64,
    /// `xen_compile_time`: where the hour of the build is.
    pub compile_time: u64,
    /// `tainted`: bits of `TAINT_*`.
    pub tainted: u64,
    /// `xen_phys_start`: where Xen itself lies in physical memory, on x86 since Xen 3.2.
    pub phys_start: Option<u64>,
    /// `dom0_pfn_to_mfn_frame_list_list`: the frame that leads to where the pages of domain 0 are; on
    /// x86.
    pub p2m: Option<u64>,
}

impl CrashInfo {
    /// The descriptor of a note `XEN_ELFNOTE_CRASH_INFO`, which lies at `offset` in the file.
    ///
    /// # Errors
    ///
    /// `Truncated` when it is shorter than on every machine.
    pub fn parse(desc: &[u8], encoding: Encoding, offset: u64) -> Result<Self> {
        let what = "XEN_ELFNOTE_CRASH_INFO";
        let class = encoding.class;
        let size = COMMON.saturating_mul(word_size(class));
        wire::decode(what, desc, size, encoding.endian, offset, |common| {
            let mut more = Fields::new(desc.get(size..)?, encoding.endian);
            let (phys_start, p2m) = match (more.word(class), more.word(class)) {
                (Some(phys_start), Some(p2m)) => (Some(phys_start), Some(p2m)),
                (only, _) => (None, only),
            };
            let mut word = || common.word(class);
            Some(Self {
                major: word()?,
                minor: word()?,
                extra_version: word()?,
                changeset: word()?,
                compiler: word()?,
                compile_date: word()?,
                compile_time: word()?,
                tainted: word()?,
                phys_start,
                p2m,
            })
        })
    }

    /// Names, those of the C structure, and values, in the order of the descriptor.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let common = [
            ("xen_major_version", self.major),
            ("xen_minor_version", self.minor),
            ("xen_extra_version", self.extra_version),
            ("xen_changeset", self.changeset),
            ("xen_compiler", self.compiler),
            ("xen_compile_date", self.compile_date),
            ("xen_compile_time", self.compile_time),
            ("tainted", self.tainted),
        ];
        let named = |name| move |value| (name, value);
        let phys_start = self.phys_start.map(named("xen_phys_start"));
        let p2m = self.p2m.map(named("dom0_pfn_to_mfn_frame_list_list"));
        common.into_iter().chain(phys_start).chain(p2m)
    }
}

/// `crash_xen_core_t`: the descriptor of `XEN_ELFNOTE_CRASH_REGS` on x86.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashRegisters {
    /// CR0
    pub cr0: u64,
    /// CR2: the address of the last page fault.
    pub cr2: u64,
    /// CR3: the root of the page tables that the CPU used.
    pub cr3: u64,
    /// CR4
    pub cr4: u64,
}

impl CrashRegisters {
    /// The descriptor of a note `XEN_ELFNOTE_CRASH_REGS`, which lies at `offset` in the file.
    ///
    /// # Errors
    ///
    /// `Truncated` when it is shorter.
    pub fn parse(desc: &[u8], encoding: Encoding, offset: u64) -> Result<Self> {
        let Encoding { class, endian } = encoding;
        let size = REGISTERS.saturating_mul(word_size(class));
        let what = "XEN_ELFNOTE_CRASH_REGS";
        wire::decode(what, desc, size, endian, offset, |fields| {
            let mut word = || fields.word(class);
            Some(Self {
                cr0: word()?,
                cr2: word()?,
                cr3: word()?,
                cr4: word()?,
            })
        })
    }

    /// Names and values, in the order of the descriptor.
    pub fn registers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { cr0, cr2, cr3, cr4 } = *self;
        [("cr0", cr0), ("cr2", cr2), ("cr3", cr3), ("cr4", cr4)].into_iter()
    }
}

/// Bytes of an `unsigned long`.
const fn word_size(class: Class) -> usize {
    match class {
        Class::Elf32 => 4,
        Class::Elf64 => 8,
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{error::Error, ident::Endian};

    const X86_64: Encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };

    /// The words 1, 2, 3 …, as an encoding has them.
    fn counting(words: u64, encoding: Encoding) -> Vec<u8> {
        let word = |n: u64| match (encoding.class, encoding.endian) {
            (Class::Elf64, Endian::Little) => n.to_le_bytes().to_vec(),
            (Class::Elf64, Endian::Big) => n.to_be_bytes().to_vec(),
            (Class::Elf32, Endian::Little) => (n as u32).to_le_bytes().to_vec(),
            (Class::Elf32, Endian::Big) => (n as u32).to_be_bytes().to_vec(),
        };
        (1..=words).flat_map(word).collect()
    }

    fn encodings() -> impl Iterator<Item = Encoding> {
        let classes = [Class::Elf32, Class::Elf64].into_iter();
        classes.flat_map(|class| {
            [Endian::Little, Endian::Big].map(|endian| Encoding { class, endian })
        })
    }

    #[test]
    fn fields_are_where_the_structure_has_them() {
        for encoding in encodings() {
            let info = CrashInfo::parse(&counting(10, encoding), encoding, 0).unwrap();
            assert_eq!((info.major, info.minor, info.tainted), (1, 2, 8));
            assert_eq!((info.phys_start, info.p2m), (Some(9), Some(10)));
            assert!(info.fields().map(|(_, value)| value).eq(1..=10));
            let registers = CrashRegisters::parse(&counting(4, encoding), encoding, 0).unwrap();
            assert!(registers.registers().map(|(_, value)| value).eq(1..=4));
            assert_eq!((registers.cr2, registers.cr3), (2, 3));
        }
    }

    #[test]
    fn older_hypervisors_and_other_machines_have_less() {
        let info = |words| CrashInfo::parse(&counting(words, X86_64), X86_64, 0).unwrap();
        assert_eq!((info(8).phys_start, info(8).p2m), (None, None));
        assert_eq!((info(9).phys_start, info(9).p2m), (None, Some(9)));
        assert_eq!(info(11), info(10), "what later ones may append");
        assert!(info(8).fields().map(|(_, value)| value).eq(1..=8));
    }

    #[test]
    fn a_cut_descriptor_is_an_error() {
        for encoding in encodings() {
            let desc = counting(10, encoding);
            let word = word_size(encoding.class);
            let error = |what, needed: usize, available: usize| Error::Truncated {
                what,
                offset: 0x40,
                needed: needed as u64,
                available: available as u64,
            };
            for len in 0..8 * word {
                let expected = error("XEN_ELFNOTE_CRASH_INFO", 8 * word, len);
                let found = CrashInfo::parse(&desc[..len], encoding, 0x40);
                assert_eq!(found, Err(expected));
            }
            for len in 0..4 * word {
                let expected = error("XEN_ELFNOTE_CRASH_REGS", 4 * word, len);
                let found = CrashRegisters::parse(&desc[..len], encoding, 0x40);
                assert_eq!(found, Err(expected));
            }
        }
    }
}
