//! The instruction set that a file is for.
//!
//! Named are those of Linux `include/uapi/linux/elf-em.h`, and what else Linux ran on, in its tree once or never.
//! readelf has names for 161 more, mostly of microcontrollers: they print as an unknown number.
//!
//! Source: gABI, `e_machine`; `EM_*` in `<elf.h>` and `<linux/elf-em.h>`; the names of `uname -m` from each
//! `UTS_MACHINE` in Linux `arch/*/Makefile`.

use core::fmt;

use crate::ident::{Class, Encoding, Endian};

open_newtype! {
    /// `e_machine`: the instruction set.
    Machine(u16) {
        /// `EM_NONE`
        NONE = 0 => "None",
        /// `EM_M32`
        M32 = 1 => "WE32100",
        /// `EM_SPARC`
        SPARC = 2 => "Sparc",
        /// `EM_386`; also in ELF64 dumps of i386 guests with PAE.
        I386 = 3 => "Intel 80386",
        /// `EM_68K`
        M68K = 4 => "MC68000",
        /// `EM_88K`
        M88K = 5 => "MC88000",
        /// `EM_486`; `EM_IAMCU` to others.
        I486 = 6 => "Intel MCU",
        /// `EM_860`
        I860 = 7 => "Intel 80860",
        /// `EM_MIPS`
        MIPS = 8 => "MIPS R3000",
        /// `EM_MIPS_RS3_LE`; `EM_MIPS_RS4_BE` to readelf.
        MIPS_RS3_LE = 10 => "MIPS R4000 big-endian",
        /// `EM_PARISC`
        PARISC = 15 => "HPPA",
        /// `EM_SPARC32PLUS`
        SPARC32PLUS = 18 => "Sparc v8+",
        /// `EM_PPC`
        PPC = 20 => "PowerPC",
        /// `EM_PPC64`
        PPC64 = 21 => "PowerPC64",
        /// `EM_S390`; s390x is its ELF64.
        S390 = 22 => "IBM S/390",
        /// `EM_SPU`
        SPU = 23 => "SPU",
        /// `EM_ARM`
        ARM = 40 => "ARM",
        /// `EM_SH`
        SH = 42 => "Renesas / SuperH SH",
        /// `EM_SPARCV9`
        SPARCV9 = 43 => "Sparc v9",
        /// `EM_ARC`
        ARC = 45 => "ARC",
        /// `EM_H8_300`
        H8_300 = 46 => "Renesas H8/300",
        /// `EM_IA_64`
        IA_64 = 50 => "Intel IA-64",
        /// `EM_X86_64`
        X86_64 = 62 => "Advanced Micro Devices X86-64",
        /// `EM_CRIS`
        CRIS = 76 => "Axis Communications 32-bit embedded processor",
        /// `EM_V850`
        V850 = 87 => "Renesas V850",
        /// `EM_M32R`
        M32R = 88 => "Renesas M32R (formerly Mitsubishi M32r)",
        /// `EM_MN10300`
        MN10300 = 89 => "mn10300",
        /// `EM_OPENRISC`
        OPENRISC = 92 => "OpenRISC 1000",
        /// `EM_ARC_COMPACT`
        ARC_COMPACT = 93 => "ARCompact",
        /// `EM_XTENSA`
        XTENSA = 94 => "Tensilica Xtensa Processor",
        /// `EM_BLACKFIN`
        BLACKFIN = 106 => "Analog Devices Blackfin",
        /// `EM_UNICORE`
        UNICORE = 110 => "Unicore",
        /// `EM_ALTERA_NIOS2`
        ALTERA_NIOS2 = 113 => "Altera Nios II",
        /// `EM_SCORE`
        SCORE = 135 => "SUNPLUS S+Core",
        /// `EM_TI_C6000`
        TI_C6000 = 140 => "Texas Instruments TMS320C6000 DSP family",
        /// `EM_HEXAGON`
        HEXAGON = 164 => "QUALCOMM DSP6 Processor",
        /// `EM_NDS32`
        NDS32 = 167 => "Andes Technology compact code size embedded RISC processor family",
        /// `EM_METAG`
        METAG = 174 => "Imagination Technologies Meta processor architecture",
        /// `EM_MCST_ELBRUS`
        MCST_ELBRUS = 175 => "MCST Elbrus general purpose hardware architecture",
        /// `EM_K1OM`
        K1OM = 181 => "Intel K1OM",
        /// `EM_AARCH64`
        AARCH64 = 183 => "AArch64",
        /// `EM_TILEPRO`
        TILEPRO = 188 => "Tilera TILEPro multicore architecture family",
        /// `EM_MICROBLAZE`
        MICROBLAZE = 189 => "Xilinx MicroBlaze",
        /// `EM_TILEGX`
        TILEGX = 191 => "Tilera TILE-Gx multicore architecture family",
        /// `EM_ARC_COMPACT2`
        ARC_COMPACT2 = 195 => "ARCv2",
        /// `EM_RISCV`
        RISCV = 243 => "RISC-V",
        /// `EM_BPF`
        BPF = 247 => "Linux BPF",
        /// `EM_CSKY`
        CSKY = 252 => "C-SKY",
        /// `EM_ARC_COMPACT3_64`
        ARC_COMPACT3_64 = 253 => "Synopsys ARCv2.3 64-bit",
        /// `EM_ARC_COMPACT3`
        ARC_COMPACT3 = 255 => "Synopsys ARCv2.3 32-bit",
        /// `EM_KVX`
        KVX = 256 => "Kalray VLIW core of the MPPA processor family",
        /// `EM_LOONGARCH`
        LOONGARCH = 258 => "LoongArch",
        /// `EM_FRV`, never registered, as all from here on.
        FRV = 0x5441 => "Fujitsu FR-V",
        /// `EM_ALPHA`
        ALPHA = 0x9026 => "Alpha",
        /// `EM_CYGNUS_M32R`
        CYGNUS_M32R = 0x9041 => "Renesas M32R (formerly Mitsubishi M32r)",
        /// `EM_CYGNUS_V850`
        CYGNUS_V850 = 0x9080 => "Renesas V850",
        /// `EM_S390_OLD`
        S390_OLD = 0xa390 => "IBM S/390",
        /// `EM_MICROBLAZE_OLD`
        MICROBLAZE_OLD = 0xbaab => "Xilinx MicroBlaze",
        /// `EM_CYGNUS_MN10300`
        CYGNUS_MN10300 = 0xbeef => "mn10300",
    }
}

impl Machine {
    /// What `uname -m` says on the machine a core of this class and byte order is of; `None` for one that is not in this
    /// list. ARM's revision (`armv7l`) is not in the file.
    #[must_use]
    pub const fn uname(self, encoding: Encoding) -> Option<&'static str> {
        Some(match (self, encoding.class, encoding.endian) {
            (Self::I386, ..) => "i686",
            (Self::X86_64, ..) => "x86_64",
            (Self::M68K, ..) => "m68k",
            (Self::SH, ..) => "sh",
            (Self::ARM, ..) => "arm",
            (Self::AARCH64, ..) => "aarch64",
            (Self::RISCV, Class::Elf32, _) => "riscv32",
            (Self::RISCV, Class::Elf64, _) => "riscv64",
            (Self::LOONGARCH, ..) => "loongarch64",
            (Self::PPC, ..) => "ppc",
            (Self::PPC64, _, Endian::Big) => "ppc64",
            (Self::PPC64, _, Endian::Little) => "ppc64le",
            (Self::S390, Class::Elf32, _) => "s390",
            (Self::S390, Class::Elf64, _) => "s390x",
            (Self::MIPS, Class::Elf32, _) => "mips",
            (Self::MIPS, Class::Elf64, _) => "mips64",
            (Self::PARISC, Class::Elf32, _) => "parisc",
            (Self::PARISC, Class::Elf64, _) => "parisc64",
            (Self::SPARC, ..) => "sparc",
            (Self::SPARCV9, ..) => "sparc64",
            (Self::IA_64, ..) => "ia64",
            (Self::ALPHA, ..) => "alpha",
            _ => return None,
        })
    }

    /// The machine that says this to `uname -m`, and what its cores are encoded in. Any revision of i386 and ARM counts
    /// (`armv7l`; QEMU's `arm`, too). MIPS says the same in either byte order: it is taken for big-endian.
    #[must_use]
    pub const fn from_uname(name: &[u8]) -> Option<(Self, Encoding)> {
        use {Class::*, Endian::*};
        let (machine, class, endian) = match name {
            [b'i', b'3'..=b'6', b'8', b'6'] => (Self::I386, Elf32, Little),
            b"x86_64" => (Self::X86_64, Elf64, Little),
            b"m68k" => (Self::M68K, Elf32, Big),
            b"sh" => (Self::SH, Elf32, Little),
            b"aarch64" => (Self::AARCH64, Elf64, Little),
            b"aarch64_be" => (Self::AARCH64, Elf64, Big),
            b"arm" => (Self::ARM, Elf32, Little),
            [b'a', b'r', b'm', b'v', b'3'..=b'8', variant @ .., order] => {
                // `cpu_arch_name` of Linux `arch/arm/mm/proc-*.S`, and the byte order.
                match (variant, order) {
                    (b"" | b"t" | b"te" | b"tej" | b"m", b'l') => (Self::ARM, Elf32, Little),
                    (b"" | b"t" | b"te" | b"tej" | b"m", b'b') => (Self::ARM, Elf32, Big),
                    _ => return None,
                }
            }
            b"riscv32" => (Self::RISCV, Elf32, Little),
            b"riscv64" | b"riscv" => (Self::RISCV, Elf64, Little),
            b"loongarch64" => (Self::LOONGARCH, Elf64, Little),
            b"ppc" => (Self::PPC, Elf32, Big),
            b"ppc64" => (Self::PPC64, Elf64, Big),
            b"ppc64le" => (Self::PPC64, Elf64, Little),
            b"s390" => (Self::S390, Elf32, Big),
            b"s390x" => (Self::S390, Elf64, Big),
            b"mips" => (Self::MIPS, Elf32, Big),
            b"mips64" => (Self::MIPS, Elf64, Big),
            b"parisc" => (Self::PARISC, Elf32, Big),
            b"parisc64" => (Self::PARISC, Elf64, Big),
            b"sparc" => (Self::SPARC, Elf32, Big),
            b"sparc64" => (Self::SPARCV9, Elf64, Big),
            b"ia64" => (Self::IA_64, Elf64, Little),
            b"alpha" => (Self::ALPHA, Elf64, Little),
            _ => return None,
        };
        Some((machine, Encoding { class, endian }))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "<unknown>: {:#x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_its_machine_and_back() {
        let mut named = 0;
        for machine in (0..=u16::MAX).map(Machine) {
            for class in [Class::Elf32, Class::Elf64] {
                for endian in [Endian::Little, Endian::Big] {
                    let Some(name) = machine.uname(Encoding { class, endian }) else {
                        continue;
                    };
                    let (found, encoding) = Machine::from_uname(name.as_bytes()).unwrap();
                    assert_eq!((found, found.uname(encoding)), (machine, Some(name)));
                    named += 1;
                }
            }
        }
        assert!(named > 20);
        let found = |name: &[u8]| Machine::from_uname(name);
        assert_eq!(found(b"i586").unwrap().0, Machine::I386);
        assert_eq!(found(b"armv7l").unwrap().1.endian, Endian::Little);
        assert_eq!(found(b"armv7b").unwrap().1.endian, Endian::Big);
        assert_eq!(found(b"aarch64_be").unwrap().1.endian, Endian::Big);
        assert_eq!(found(b"armv5tejl").unwrap().0, Machine::ARM);
        for none in [
            "", "x86", "i786", "ar", "arm64", "armv7", "armv9000", "armv2l", "armv7xl",
        ] {
            assert_eq!(found(none.as_bytes()), None, "{none}");
        }
    }
}
