//! Notes: small named records in `PT_NOTE` segments and `SHT_NOTE` sections.
//!
//! ```text
//!  0       4       8       12              12 + namesz, aligned
//!  ├───────┼───────┼───────┼─────────┬─────┼─────────┬─────┤
//!  │namesz │descsz │ type  │ name \0 │ pad │  desc   │ pad │ next note
//!  └───────┴───────┴───────┴─────────┴─────┴─────────┴─────┘
//! ```
//!
//! The header is three 32-bit integers in ELF64 too, and Linux pads to 4 bytes in both classes. A
//! `p_align` of 8 (GNU properties) means padding to 8.
//!
//! Two things are found only in dumps. An offline CPU's place may be an all-zero header, a *hole*
//! ([`Note::is_hole`]): it is reported, so that the CPUs after it keep their number. And zeros may
//! follow the last note: Linux ends a list with a zero header, and its buffers are longer than
//! their notes. When all that remains is zero, the notes have ended.
//!
//! Source: gABI, "Note Section"; `Elf64_Nhdr` in `<elf.h>`; `append_elf_note()` in Linux
//! `kernel/vmcore_info.c`; for the alignments `process_notes_at()` in binutils' `readelf.c`; for the types
//! of `Xen` `xen/include/public/elfnote.h`.

use core::fmt;

use crate::{
    error::{Error, Result},
    ident::Endian,
    wire::{self, Fields},
};

mod builder;

pub use builder::{Builder, Head};

/// `sizeof(Elf32_Nhdr)` and `sizeof(Elf64_Nhdr)`, in bytes. A header of zeros ends a buffer of notes.
pub const HEADER_SIZE: usize = 12;

open_newtype! {
    /// `n_type`: what the descriptor holds. Each owner of notes numbers its own; these are of the
    /// owners `CORE` and `LINUX`.
    NoteType(u32) {
        /// `NT_PRSTATUS`: registers of a thread or CPU, see [`Prstatus`](crate::Prstatus).
        PRSTATUS = 1 => "NT_PRSTATUS (prstatus structure)",
        /// `NT_PRFPREG`
        PRFPREG = 2 => "NT_FPREGSET (floating point registers)",
        /// `NT_PRPSINFO`
        PRPSINFO = 3 => "NT_PRPSINFO (prpsinfo structure)",
        /// `NT_TASKSTRUCT`
        TASKSTRUCT = 4 => "NT_TASKSTRUCT (task structure)",
        /// `NT_AUXV`
        AUXV = 6 => "NT_AUXV (auxiliary vector)",
        /// `NT_PSTATUS`
        PSTATUS = 0xa => "NT_PSTATUS (pstatus structure)",
        /// `NT_FPREGS`
        FPREGS = 0xc => "NT_FPREGS (floating point registers)",
        /// `NT_PSINFO`
        PSINFO = 0xd => "NT_PSINFO (psinfo structure)",
        /// `NT_LWPSTATUS`
        LWPSTATUS = 0x10 => "NT_LWPSTATUS (lwpstatus_t structure)",
        /// `NT_LWPSINFO`
        LWPSINFO = 0x11 => "NT_LWPSINFO (lwpsinfo_t structure)",
        /// `NT_WIN32PSTATUS`
        WIN32PSTATUS = 0x12 => "NT_WIN32PSTATUS (win32_pstatus structure)",
        /// `NT_PPC_VMX`
        PPC_VMX = 0x100 => "NT_PPC_VMX (ppc Altivec registers)",
        /// `NT_PPC_VSX`
        PPC_VSX = 0x102 => "NT_PPC_VSX (ppc VSX registers)",
        /// `NT_PPC_TAR`
        PPC_TAR = 0x103 => "NT_PPC_TAR (ppc TAR register)",
        /// `NT_PPC_PPR`
        PPC_PPR = 0x104 => "NT_PPC_PPR (ppc PPR register)",
        /// `NT_PPC_DSCR`
        PPC_DSCR = 0x105 => "NT_PPC_DSCR (ppc DSCR register)",
        /// `NT_PPC_EBB`
        PPC_EBB = 0x106 => "NT_PPC_EBB (ppc EBB registers)",
        /// `NT_PPC_PMU`
        PPC_PMU = 0x107 => "NT_PPC_PMU (ppc PMU registers)",
        /// `NT_PPC_TM_CGPR`
        PPC_TM_CGPR = 0x108 => "NT_PPC_TM_CGPR (ppc checkpointed GPR registers)",
        /// `NT_PPC_TM_CFPR`
        PPC_TM_CFPR = 0x109 => "NT_PPC_TM_CFPR (ppc checkpointed floating point registers)",
        /// `NT_PPC_TM_CVMX`
        PPC_TM_CVMX = 0x10a => "NT_PPC_TM_CVMX (ppc checkpointed Altivec registers)",
        /// `NT_PPC_TM_CVSX`
        PPC_TM_CVSX = 0x10b => "NT_PPC_TM_CVSX (ppc checkpointed VSX registers)",
        /// `NT_PPC_TM_SPR`
        PPC_TM_SPR = 0x10c => "NT_PPC_TM_SPR (ppc TM special purpose registers)",
        /// `NT_PPC_TM_CTAR`
        PPC_TM_CTAR = 0x10d => "NT_PPC_TM_CTAR (ppc checkpointed TAR register)",
        /// `NT_PPC_TM_CPPR`
        PPC_TM_CPPR = 0x10e => "NT_PPC_TM_CPPR (ppc checkpointed PPR register)",
        /// `NT_PPC_TM_CDSCR`
        PPC_TM_CDSCR = 0x10f => "NT_PPC_TM_CDSCR (ppc checkpointed DSCR register)",
        /// `NT_386_TLS`
        I386_TLS = 0x200 => "NT_386_TLS (x86 TLS information)",
        /// `NT_386_IOPERM`
        I386_IOPERM = 0x201 => "NT_386_IOPERM (x86 I/O permissions)",
        /// `NT_X86_XSTATE`
        X86_XSTATE = 0x202 => "NT_X86_XSTATE (x86 XSAVE extended state)",
        /// `NT_X86_CET`
        X86_CET = 0x203 => "NT_X86_CET (x86 CET state)",
        /// `NT_S390_HIGH_GPRS`
        S390_HIGH_GPRS = 0x300 => "NT_S390_HIGH_GPRS (s390 upper register halves)",
        /// `NT_S390_TIMER`
        S390_TIMER = 0x301 => "NT_S390_TIMER (s390 timer register)",
        /// `NT_S390_TODCMP`
        S390_TODCMP = 0x302 => "NT_S390_TODCMP (s390 TOD comparator register)",
        /// `NT_S390_TODPREG`
        S390_TODPREG = 0x303 => "NT_S390_TODPREG (s390 TOD programmable register)",
        /// `NT_S390_CTRS`: control registers, so the roots of page tables.
        S390_CTRS = 0x304 => "NT_S390_CTRS (s390 control registers)",
        /// `NT_S390_PREFIX`
        S390_PREFIX = 0x305 => "NT_S390_PREFIX (s390 prefix register)",
        /// `NT_S390_LAST_BREAK`
        S390_LAST_BREAK = 0x306 => "NT_S390_LAST_BREAK (s390 last breaking event address)",
        /// `NT_S390_SYSTEM_CALL`
        S390_SYSTEM_CALL = 0x307 => "NT_S390_SYSTEM_CALL (s390 system call restart data)",
        /// `NT_S390_TDB`
        S390_TDB = 0x308 => "NT_S390_TDB (s390 transaction diagnostic block)",
        /// `NT_S390_VXRS_LOW`
        S390_VXRS_LOW = 0x309 => "NT_S390_VXRS_LOW (s390 vector registers 0-15 upper half)",
        /// `NT_S390_VXRS_HIGH`
        S390_VXRS_HIGH = 0x30a => "NT_S390_VXRS_HIGH (s390 vector registers 16-31)",
        /// `NT_S390_GS_CB`
        S390_GS_CB = 0x30b => "NT_S390_GS_CB (s390 guarded-storage registers)",
        /// `NT_S390_GS_BC`
        S390_GS_BC = 0x30c => "NT_S390_GS_BC (s390 guarded-storage broadcast control)",
        /// `NT_ARM_VFP`
        ARM_VFP = 0x400 => "NT_ARM_VFP (arm VFP registers)",
        /// `NT_ARM_TLS`
        ARM_TLS = 0x401 => "NT_ARM_TLS (AArch TLS registers)",
        /// `NT_ARM_HW_BREAK`
        ARM_HW_BREAK = 0x402 => "NT_ARM_HW_BREAK (AArch hardware breakpoint registers)",
        /// `NT_ARM_HW_WATCH`
        ARM_HW_WATCH = 0x403 => "NT_ARM_HW_WATCH (AArch hardware watchpoint registers)",
        /// `NT_ARM_SYSTEM_CALL`
        ARM_SYSTEM_CALL = 0x404 => "NT_ARM_SYSTEM_CALL (AArch system call number)",
        /// `NT_ARM_SVE`
        ARM_SVE = 0x405 => "NT_ARM_SVE (AArch SVE registers)",
        /// `NT_ARM_PAC_MASK`
        ARM_PAC_MASK = 0x406 => "NT_ARM_PAC_MASK (AArch pointer authentication code masks)",
        /// `NT_ARM_PACA_KEYS`
        ARM_PACA_KEYS = 0x407 => "NT_ARM_PACA_KEYS (ARM pointer authentication address keys)",
        /// `NT_ARM_PACG_KEYS`
        ARM_PACG_KEYS = 0x408 => "NT_ARM_PACG_KEYS (ARM pointer authentication generic keys)",
        /// `NT_ARM_TAGGED_ADDR_CTRL`
        ARM_TAGGED_ADDR_CTRL = 0x409 => "NT_ARM_TAGGED_ADDR_CTRL (AArch tagged address control)",
        /// `NT_ARM_PAC_ENABLED_KEYS`
        ARM_PAC_ENABLED_KEYS = 0x40a => "NT_ARM_PAC_ENABLED_KEYS (AArch64 pointer authentication enabled keys)",
        /// `NT_ARC_V2`
        ARC_V2 = 0x600 => "NT_ARC_V2 (ARC HS accumulator/extra registers)",
        /// `NT_RISCV_CSR`
        RISCV_CSR = 0x900 => "NT_RISCV_CSR (RISC-V control and status registers)",
        /// `NT_FILE`
        FILE = 0x4649_4c45 => "NT_FILE (mapped files)",
        /// `NT_PRXFPREG`
        PRXFPREG = 0x46e6_2b7f => "NT_PRXFPREG (user_xfpregs structure)",
        /// `NT_SIGINFO`
        SIGINFO = 0x5349_4749 => "NT_SIGINFO (siginfo_t data)",
    }
}

/// Types of the owner `GNU`.
impl NoteType {
    /// `NT_GNU_ABI_TAG`
    pub const GNU_ABI_TAG: Self = Self(1);
    /// `NT_GNU_BUILD_ID`
    pub const GNU_BUILD_ID: Self = Self(3);
    /// `NT_GNU_PROPERTY_TYPE_0`
    pub const GNU_PROPERTY: Self = Self(5);
}

/// Types that readelf has no name for.
impl NoteType {
    /// `NT_VMCOREDD` of `LINUX`: see [`DeviceDump`](crate::DeviceDump).
    pub const VMCOREDD: Self = Self(0x700);
    /// `XEN_ELFNOTE_CRASH_INFO` of `Xen`, in dumps of a crashed hypervisor.
    pub const XEN_CRASH_INFO: Self = Self(0x100_0001);
    /// `XEN_ELFNOTE_CRASH_REGS` of `Xen`: registers that `NT_PRSTATUS` lacks, one note a CPU.
    pub const XEN_CRASH_REGS: Self = Self(0x100_0002);
    /// `XEN_ELFNOTE_DUMPCORE_NONE` of `Xen`: this is a core of a domain.
    pub const XEN_DUMPCORE_NONE: Self = Self(0x200_0000);
    /// `XEN_ELFNOTE_DUMPCORE_HEADER` of `Xen`
    pub const XEN_DUMPCORE_HEADER: Self = Self(0x200_0001);
    /// `XEN_ELFNOTE_DUMPCORE_XEN_VERSION` of `Xen`
    pub const XEN_DUMPCORE_XEN_VERSION: Self = Self(0x200_0002);
    /// `XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION` of `Xen`
    pub const XEN_DUMPCORE_FORMAT_VERSION: Self = Self(0x200_0003);
}

/// A note, or the [hole](Self::is_hole) where one would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// The owner's name without the NULs that end it. It may lack a NUL, and need not be text.
    pub name: &'a [u8],
    /// `n_type`; its meaning depends on the owner.
    pub kind: NoteType,
    /// The descriptor.
    pub desc: &'a [u8],
    /// Offset of the note's header in the file.
    pub offset: u64,
    /// Offset of the descriptor in the file.
    pub desc_offset: u64,
}

impl Note<'_> {
    /// Neither name, type nor descriptor, as an all-zero header has it: no note, but the place of
    /// one, such as that of an offline CPU.
    #[must_use]
    pub const fn is_hole(&self) -> bool {
        self.kind.0 == 0 && self.name.is_empty() && self.desc.is_empty()
    }

    /// What the type is called, which each owner numbers for itself: by readelf, where it has a name
    /// for it.
    #[must_use]
    pub const fn type_name(&self) -> Option<&'static str> {
        Some(match (self.name, self.kind) {
            (b"GNU", NoteType::GNU_ABI_TAG) => "NT_GNU_ABI_TAG (ABI version tag)",
            (b"GNU", NoteType::GNU_BUILD_ID) => "NT_GNU_BUILD_ID (unique build ID bitstring)",
            (b"GNU", NoteType::GNU_PROPERTY) => "NT_GNU_PROPERTY_TYPE_0",
            (b"LINUX", NoteType::VMCOREDD) => "NT_VMCOREDD (device dump)",
            (b"CORE" | b"LINUX", kind) => return kind.name(),
            (b"QEMU", NoteType(0)) => "QEMUCPUState (CPU state)",
            (b"VMCOREINFO", NoteType(0)) => "VMCOREINFO (text about the kernel)",
            (b"VMCOREINFO_XEN", NoteType(0)) => "VMCOREINFO_XEN (text about the hypervisor)",
            (b"ERASEINFO", NoteType(0)) => "ERASEINFO (text about what was erased)",
            (b"Xen", NoteType::XEN_CRASH_INFO) => "XEN_ELFNOTE_CRASH_INFO (hypervisor)",
            (b"Xen", NoteType::XEN_CRASH_REGS) => "XEN_ELFNOTE_CRASH_REGS (control registers)",
            (b"Xen", NoteType::XEN_DUMPCORE_NONE) => "XEN_ELFNOTE_DUMPCORE_NONE (core of a domain)",
            (b"Xen", NoteType::XEN_DUMPCORE_HEADER) => "XEN_ELFNOTE_DUMPCORE_HEADER (core header)",
            (b"Xen", NoteType::XEN_DUMPCORE_XEN_VERSION) => {
                "XEN_ELFNOTE_DUMPCORE_XEN_VERSION (hypervisor version)"
            }
            (b"Xen", NoteType::XEN_DUMPCORE_FORMAT_VERSION) => {
                "XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION (format version)"
            }
            _ => return None,
        })
    }
}

/// The notes of a segment or section. A broken note is an error, then the end.
#[derive(Debug, Clone)]
pub struct Notes<'a> {
    /// What is left, from the next note's header on.
    rest: &'a [u8],
    /// How much of `rest` comes before the zeros at its end.
    content: usize,
    endian: Endian,
    align: u64,
    offset: u64,
}

impl<'a> Notes<'a> {
    /// The notes in `bytes`, which lie at `offset` in the file. `align` is the `p_align` of the
    /// segment or the `sh_addralign` of the section: 8 pads to 8 bytes, 0 to 4 (what they say in
    /// the wild) to 4.
    ///
    /// # Errors
    ///
    /// `Unsupported` for other alignments, which readelf refuses too.
    pub fn new(bytes: &'a [u8], endian: Endian, align: u64, offset: u64) -> Result<Self> {
        let align = match align {
            0..=4 => 4,
            8 => 8,
            value => {
                return Err(Error::Unsupported {
                    what: "alignment of notes",
                    offset,
                    value,
                });
            }
        };
        let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
        // Saturating: no more zeros than bytes.
        let content = bytes.len().saturating_sub(zeros);
        Ok(Self {
            rest: bytes,
            content,
            endian,
            align,
            offset,
        })
    }

    /// The note at the start of `rest`, and the length to its successor.
    fn parse(&self) -> Result<(Note<'a>, usize)> {
        let truncated = |what, needed| Error::Truncated {
            what,
            offset: self.offset,
            needed,
            available: wire::len(self.rest),
        };
        let mut fields = Fields::new(self.rest, self.endian);
        let (Some(namesz), Some(descsz), Some(kind)) = (fields.u32(), fields.u32(), fields.u32())
        else {
            return Err(truncated("note header", HEADER_SIZE as u64));
        };
        let Extent {
            name_end,
            desc_start,
            desc_end,
            next,
        } = Extent::new(namesz, descsz, self.align).ok_or(Error::Overflow {
            what: "note",
            offset: self.offset,
        })?;
        let get = |start, end| {
            let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
            self.rest.get(range)
        };
        let name = get(HEADER_SIZE as u64, name_end).ok_or(truncated("note name", name_end))?;
        let desc = match descsz {
            // The padding before it may be cut.
            0 => &[],
            _ => get(desc_start, desc_end).ok_or(truncated("note descriptor", desc_end))?,
        };
        let name_len = name
            .iter()
            .rposition(|&byte| byte != 0)
            // Saturating: no slice has the greatest length.
            .map_or(0, |last| last.saturating_add(1));
        let note = Note {
            name: name.get(..name_len).unwrap_or_default(),
            kind: NoteType(kind),
            desc,
            offset: self.offset,
            // Saturating: only a caller's wrong `offset` is that high.
            desc_offset: self.offset.saturating_add(desc_start),
        };
        // The padding after the last note may be cut.
        Ok((
            note,
            usize::try_from(next)
                .unwrap_or(usize::MAX)
                .min(self.rest.len()),
        ))
    }
}

impl<'a> Iterator for Notes<'a> {
    type Item = Result<Note<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.content == 0 {
            return None;
        }
        let parsed = self.parse();
        // After an error nothing says where the next note would start.
        let advance = parsed.map_or(self.rest.len(), |(_, next)| next);
        self.rest = self.rest.get(advance..).unwrap_or_default();
        // Saturating: a note may end in zeros that are its own.
        self.content = self.content.saturating_sub(advance);
        // Saturating: only a caller's wrong `offset` is that high.
        self.offset = self.offset.saturating_add(advance as u64);
        Some(parsed.map(|(note, _)| note))
    }
}

impl core::iter::FusedIterator for Notes<'_> {}

/// Where the parts of a note are, in bytes from its header on.
struct Extent {
    name_end: u64,
    desc_start: u64,
    desc_end: u64,
    next: u64,
}

impl Extent {
    fn new(namesz: u32, descsz: u32, align: u64) -> Option<Self> {
        let name_end = (HEADER_SIZE as u64).checked_add(namesz.into())?;
        let desc_start = name_end.checked_next_multiple_of(align)?;
        let desc_end = desc_start.checked_add(descsz.into())?;
        let next = desc_end.checked_next_multiple_of(align)?;
        Some(Self {
            name_end,
            desc_start,
            desc_end,
            next,
        })
    }
}

/// The first line of `readelf -n` on a core file, without the line's end; also where readelf does not
/// know the type and this crate does.
impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_ascii();
        // Saturating: a longer name gets no padding.
        let padding = 20_usize.saturating_sub(name.clone().count());
        write!(f, "  {name}{:padding$} {:#010x}\t", "", self.desc.len())?;
        match self.type_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Unknown note type: ({:#010x})", self.kind.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString, vec, vec::Vec};

    use super::*;

    /// A note's header and whatever bytes follow it.
    fn raw(namesz: u32, descsz: u32, kind: u32, rest: &[u8]) -> Vec<u8> {
        let header = [namesz, descsz, kind].map(u32::to_le_bytes);
        [header.as_flattened(), rest].concat()
    }

    #[test]
    fn register_sets_have_the_names_of_readelf() {
        let name = |kind| NoteType(kind).name();
        assert_eq!(
            name(0x10f),
            Some("NT_PPC_TM_CDSCR (ppc checkpointed DSCR register)")
        );
        assert_eq!(name(0x201), Some("NT_386_IOPERM (x86 I/O permissions)"));
        assert_eq!(
            name(0x30c),
            Some("NT_S390_GS_BC (s390 guarded-storage broadcast control)")
        );
        assert_eq!(name(0x405), Some("NT_ARM_SVE (AArch SVE registers)"));
        assert_eq!(
            name(0x900),
            Some("NT_RISCV_CSR (RISC-V control and status registers)")
        );
        let of_machines = |kind: &u32| NoteType(*kind).name().is_some();
        let named = (0x100..0xa00).filter(of_machines).count();
        // As many as readelf 2.40 names.
        assert_eq!(named, 45);
        assert_eq!(name(0x203), Some("NT_X86_CET (x86 CET state)"));
        // Of other systems' cores.
        for (kind, told) in [
            (0xa, "NT_PSTATUS (pstatus structure)"),
            (0xc, "NT_FPREGS (floating point registers)"),
            (0xd, "NT_PSINFO (psinfo structure)"),
            (0x10, "NT_LWPSTATUS (lwpstatus_t structure)"),
            (0x11, "NT_LWPSINFO (lwpsinfo_t structure)"),
            (0x12, "NT_WIN32PSTATUS (win32_pstatus structure)"),
        ] {
            assert_eq!(name(kind), Some(told));
        }
    }

    fn notes(bytes: &[u8]) -> Vec<Result<Note<'_>>> {
        Notes::new(bytes, Endian::Little, 4, 0x1000)
            .unwrap()
            .collect()
    }

    fn note<'a>(name: &'a [u8], kind: u32, desc: &'a [u8], at: u64, desc_at: u64) -> Note<'a> {
        let kind = NoteType(kind);
        Note {
            name,
            kind,
            desc,
            offset: 0x1000 + at,
            desc_offset: 0x1000 + desc_at,
        }
    }

    #[test]
    fn names_and_descriptors_are_padded_to_4_bytes() {
        let bytes = [
            raw(5, 3, 1, b"CORE\0\0\0\0abc\0"),
            raw(4, 4, 2, b"GNU\0wxyz"),
            raw(11, 1, 0, b"VMCOREINFO\0\0!\0\0\0"),
        ]
        .concat();
        assert_eq!(
            notes(&bytes),
            [
                Ok(note(b"CORE", 1, b"abc", 0, 20)),
                Ok(note(b"GNU", 2, b"wxyz", 24, 40)),
                Ok(note(b"VMCOREINFO", 0, b"!", 44, 68)),
            ]
        );
    }

    #[test]
    fn alignment_8_pads_to_8_bytes() {
        let property = raw(4, 4, 5, b"GNU\0wxyz\0\0\0\0");
        let bytes = [&property[..], &property[..]].concat();
        let found: Vec<_> = Notes::new(&bytes, Endian::Little, 8, 0x1000)
            .unwrap()
            .collect();
        assert_eq!(
            found,
            [
                Ok(note(b"GNU", 5, b"wxyz", 0, 16)),
                Ok(note(b"GNU", 5, b"wxyz", 24, 40))
            ]
        );
        // 12 + 5 bytes of header and name: the descriptor starts at 24, not at 20.
        let bytes = raw(5, 1, 5, b"CORE\0\0\0\0\0\0\0\0d\0\0\0\0\0\0\0");
        let found: Vec<_> = Notes::new(&bytes, Endian::Little, 8, 0x1000)
            .unwrap()
            .collect();
        assert_eq!(found, [Ok(note(b"CORE", 5, b"d", 0, 24))]);
    }

    #[test]
    fn alignments_in_the_wild() {
        for align in [0, 1, 2, 3, 4, 8] {
            assert!(Notes::new(&[], Endian::Big, align, 0).is_ok());
        }
        for value in [5, 16, 4096, u64::MAX] {
            let error = Notes::new(&[], Endian::Big, value, 7).unwrap_err();
            let message = format!("offset 0x7: alignment of notes {value:#x} is not supported");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_hole_between_notes_is_reported() {
        let prstatus = raw(5, 4, 1, b"CORE\0\0\0\0regs");
        let hole = raw(0, 0, 0, &[]);
        let bytes = [&prstatus[..], &hole, &hole, &prstatus].concat();
        let found: Vec<_> = notes(&bytes)
            .into_iter()
            .map(|note| note.unwrap())
            .collect();
        let holes: Vec<_> = found.iter().map(Note::is_hole).collect();
        assert_eq!(holes, [false, true, true, false]);
        assert_eq!(found[3].offset, 0x1000 + 24 + 24);
    }

    #[test]
    fn zeros_after_the_last_note_are_the_end() {
        let prstatus = raw(5, 4, 1, b"CORE\0\0\0\0\0\0\0\0");
        for zeros in 0..40 {
            let bytes = [&prstatus[..], &vec![0; zeros]].concat();
            assert_eq!(notes(&bytes), [Ok(note(b"CORE", 1, &[0; 4], 0, 20))]);
        }
        assert_eq!(notes(&[0; 4096]), []);
        assert_eq!(notes(&[]), []);
    }

    #[test]
    fn padding_at_the_end_may_be_cut() {
        let last = raw(5, 3, 1, b"CORE\0\0\0\0abc");
        assert_eq!(notes(&last), [Ok(note(b"CORE", 1, b"abc", 0, 20))]);
        let no_desc = raw(5, 0, 1, b"CORE\0");
        assert_eq!(notes(&no_desc), [Ok(note(b"CORE", 1, b"", 0, 20))]);
    }

    #[test]
    fn names_need_no_nul_and_no_text() {
        let bytes = [
            raw(4, 0, 1, b"CORE"),
            raw(4, 0, 2, b"Go\0\0"),
            raw(4, 0, 3, b"\xff\0\x80a"),
        ]
        .concat();
        let names: Vec<_> = notes(&bytes)
            .into_iter()
            .map(|note| note.unwrap().name)
            .collect();
        assert_eq!(names, [&b"CORE"[..], b"Go", b"\xff\0\x80a"]);
    }

    #[test]
    fn a_broken_note_is_an_error_and_then_the_end() {
        let good = raw(5, 4, 1, b"CORE\0\0\0\0regs");
        let truncated = |what, needed, available| {
            Err(Error::Truncated {
                what,
                offset: 0x1000 + 24,
                needed,
                available,
            })
        };
        let cases = [
            (
                raw(5, 4, 1, b"CORE\0\0\0\0reg"),
                truncated("note descriptor", 24, 23),
            ),
            (raw(5, 4, 1, b"CORE"), truncated("note name", 17, 16)),
            (
                raw(5, 4, 1, &[])[..5].to_vec(),
                truncated("note header", 12, 5),
            ),
            (
                raw(u32::MAX, u32::MAX, 1, &[]),
                truncated("note name", 0x1_0000_000b, 12),
            ),
            (
                raw(0, u32::MAX, 1, &[]),
                truncated("note descriptor", 0x1_0000_000b, 12),
            ),
        ];
        for (broken, error) in cases {
            let bytes = [&good[..], &broken].concat();
            assert_eq!(notes(&bytes), [Ok(note(b"CORE", 1, b"regs", 0, 20)), error]);
        }
    }

    #[test]
    fn a_type_is_named_by_its_owner() {
        let named = |name, kind| note(name, kind, &[], 0, 0).type_name();
        assert_eq!(named(b"QEMU", 0), Some("QEMUCPUState (CPU state)"));
        assert_eq!(named(b"LINUX", 0x700), Some("NT_VMCOREDD (device dump)"));
        assert_eq!(named(b"LINUX", 0x701), None);
        assert_eq!(named(b"CORE", 0x700), None);
        assert_eq!(named(b"VMCOREINFO", 1), None);
        let crash_info = named(b"Xen", 0x100_0001);
        assert_eq!(crash_info, Some("XEN_ELFNOTE_CRASH_INFO (hypervisor)"));
        for kind in [0x100_0002, 0x200_0000, 0x200_0001, 0x200_0002, 0x200_0003] {
            assert!(named(b"Xen", kind).is_some_and(|name| name.starts_with("XEN_ELFNOTE_")));
        }
        assert_eq!(named(b"Xen", 0x200_0004), None);
        let line = note(b"ERASEINFO", 0, b"text", 0, 0).to_string();
        let expected = "  ERASEINFO            0x00000004\tERASEINFO (text about what was erased)";
        assert_eq!(line, expected);
    }

    #[test]
    fn every_prefix_of_a_note_is_truncated() {
        let bytes = raw(5, 4, 1, b"CORE\0\0\0\0regs");
        for len in 1..bytes.len() {
            let found = notes(&bytes[..len]);
            assert!(
                matches!(found[..], [Err(Error::Truncated { offset: 0x1000, .. })]),
                "{len}"
            );
        }
    }
}
