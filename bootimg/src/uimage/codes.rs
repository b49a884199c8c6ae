//! The codes of a uImage by mkimage's names.
//!
//! Source: U-Boot `include/image.h` (`IH_OS_*`, `IH_ARCH_*`, `IH_TYPE_*`, `IH_COMP_*`); names as
//! `mkimage -A`, `-O`, `-T` and `-C` list them.

use crate::Compression as Codec;

/// A code as an open newtype: constants, mkimage's short and long names, all other values survive.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        $name:ident, $unknown:literal {
            $($(#[$doc:meta])* $constant:ident = $value:literal $($short:literal, $long:literal)?;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u8);

        impl $name {
            $($(#[$doc])* pub const $constant: Self = Self($value);)*

            const NAMES: &[(u8, &str, &str)] = &[$($(($value, $short, $long),)?)*];

            /// mkimage's short name; `None` for a code that it has no name for.
            #[must_use]
            pub fn short_name(self) -> Option<&'static str> {
                let found = Self::NAMES.iter().find(|(code, ..)| *code == self.0);
                found.map(|(_, short, _)| *short)
            }

            /// mkimage's long name; for a code without one what `mkimage -l` prints instead.
            #[must_use]
            pub fn long_name(self) -> &'static str {
                let found = Self::NAMES.iter().find(|(code, ..)| *code == self.0);
                found.map_or($unknown, |(_, _, long)| *long)
            }

            /// All of mkimage's short names, in the order of the codes.
            pub fn short_names() -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().map(|(_, short, _)| *short)
            }

            /// The code of a short name; as to mkimage, capitals make no difference.
            #[must_use]
            pub fn from_short_name(name: &str) -> Option<Self> {
                let same = |short: &str| short.eq_ignore_ascii_case(name);
                let found = Self::NAMES.iter().find(|(_, short, _)| same(short));
                found.map(|(code, ..)| Self(*code))
            }
        }
    };
}

codes! {
    /// `ih_os`: the operating system.
    Os, "Unknown OS" {
        /// `IH_OS_INVALID`
        INVALID = 0 "invalid", "Invalid OS";
        /// `IH_OS_OPENBSD`
        OPENBSD = 1 "openbsd", "OpenBSD";
        /// `IH_OS_NETBSD`
        NETBSD = 2 "netbsd", "NetBSD";
        /// `IH_OS_FREEBSD`
        FREEBSD = 3 "freebsd", "FreeBSD";
        /// `IH_OS_4_4BSD`
        BSD_4_4 = 4 "4_4bsd", "4_4BSD";
        /// `IH_OS_LINUX`
        LINUX = 5 "linux", "Linux";
        /// `IH_OS_SVR4`
        SVR4 = 6 "svr4", "SVR4";
        /// `IH_OS_ESIX`
        ESIX = 7 "esix", "Esix";
        /// `IH_OS_SOLARIS`
        SOLARIS = 8 "solaris", "Solaris";
        /// `IH_OS_IRIX`
        IRIX = 9 "irix", "Irix";
        /// `IH_OS_SCO`
        SCO = 10 "sco", "SCO";
        /// `IH_OS_DELL`
        DELL = 11 "dell", "Dell";
        /// `IH_OS_NCR`
        NCR = 12 "ncr", "NCR";
        /// `IH_OS_LYNXOS`
        LYNXOS = 13;
        /// `IH_OS_VXWORKS`
        VXWORKS = 14 "vxworks", "VxWorks";
        /// `IH_OS_PSOS`
        PSOS = 15 "psos", "pSOS";
        /// `IH_OS_QNX`
        QNX = 16 "qnx", "QNX";
        /// `IH_OS_U_BOOT`
        U_BOOT = 17 "u-boot", "U-Boot";
        /// `IH_OS_RTEMS`
        RTEMS = 18 "rtems", "RTEMS";
        /// `IH_OS_ARTOS`
        ARTOS = 19;
        /// `IH_OS_UNITY`
        UNITY = 20;
        /// `IH_OS_INTEGRITY`
        INTEGRITY = 21 "integrity", "INTEGRITY";
        /// `IH_OS_OSE`
        OSE = 22 "ose", "Enea OSE";
        /// `IH_OS_PLAN9`
        PLAN9 = 23 "plan9", "Plan 9";
        /// `IH_OS_OPENRTOS`
        OPENRTOS = 24 "openrtos", "OpenRTOS";
        /// `IH_OS_ARM_TRUSTED_FIRMWARE`
        ARM_TRUSTED_FIRMWARE = 25 "arm-trusted-firmware", "ARM Trusted Firmware";
        /// `IH_OS_TEE`
        TEE = 26 "tee", "Trusted Execution Environment";
        /// `IH_OS_OPENSBI`
        OPENSBI = 27 "opensbi", "RISC-V OpenSBI";
        /// `IH_OS_EFI`
        EFI = 28 "efi", "EFI Firmware";
        /// `IH_OS_ELF`
        ELF = 29 "elf", "ELF Image";
    }
}

codes! {
    /// `ih_arch`: the machine.
    Arch, "Unknown Architecture" {
        /// `IH_ARCH_INVALID`
        INVALID = 0 "invalid", "Invalid ARCH";
        /// `IH_ARCH_ALPHA`
        ALPHA = 1 "alpha", "Alpha";
        /// `IH_ARCH_ARM`
        ARM = 2 "arm", "ARM";
        /// `IH_ARCH_I386`
        I386 = 3 "x86", "Intel x86";
        /// `IH_ARCH_IA64`
        IA64 = 4 "ia64", "IA64";
        /// `IH_ARCH_MIPS`
        MIPS = 5 "mips", "MIPS";
        /// `IH_ARCH_MIPS64`
        MIPS64 = 6 "mips64", "MIPS 64 Bit";
        /// `IH_ARCH_PPC`; mkimage takes `ppc` for it, too.
        PPC = 7 "powerpc", "PowerPC";
        /// `IH_ARCH_S390`
        S390 = 8 "s390", "IBM S390";
        /// `IH_ARCH_SH`
        SH = 9 "sh", "SuperH";
        /// `IH_ARCH_SPARC`
        SPARC = 10 "sparc", "SPARC";
        /// `IH_ARCH_SPARC64`
        SPARC64 = 11 "sparc64", "SPARC 64 Bit";
        /// `IH_ARCH_M68K`
        M68K = 12 "m68k", "M68K";
        /// `IH_ARCH_NIOS`
        NIOS = 13;
        /// `IH_ARCH_MICROBLAZE`
        MICROBLAZE = 14 "microblaze", "MicroBlaze";
        /// `IH_ARCH_NIOS2`
        NIOS2 = 15 "nios2", "NIOS II";
        /// `IH_ARCH_BLACKFIN`
        BLACKFIN = 16 "blackfin", "Blackfin";
        /// `IH_ARCH_AVR32`
        AVR32 = 17 "avr32", "AVR32";
        /// `IH_ARCH_ST200`
        ST200 = 18;
        /// `IH_ARCH_SANDBOX`
        SANDBOX = 19 "sandbox", "Sandbox";
        /// `IH_ARCH_NDS32`
        NDS32 = 20 "nds32", "NDS32";
        /// `IH_ARCH_OPENRISC`
        OPENRISC = 21 "or1k", "OpenRISC 1000";
        /// `IH_ARCH_ARM64`
        ARM64 = 22 "arm64", "AArch64";
        /// `IH_ARCH_ARC`
        ARC = 23 "arc", "ARC";
        /// `IH_ARCH_X86_64`
        X86_64 = 24 "x86_64", "AMD x86_64";
        /// `IH_ARCH_XTENSA`
        XTENSA = 25 "xtensa", "Xtensa";
        /// `IH_ARCH_RISCV`, but to kexec-tools LoongArch: see [`Arch::is_ambiguous`].
        RISCV = 26 "riscv", "RISC-V";
    }
}

impl Arch {
    /// mkimage's second name for [`Arch::PPC`].
    const PPC_ALIAS: &str = "ppc";

    /// The code of a name that `mkimage -A` takes: a short name, or `ppc`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case(Self::PPC_ALIAS) {
            return Some(Self::PPC);
        }
        Self::from_short_name(name)
    }

    /// Whether the code means different machines to different programs: from 26 on, which U-Boot
    /// gave to RISC-V and kexec-tools to LoongArch.
    #[must_use]
    pub const fn is_ambiguous(self) -> bool {
        self.0 >= Self::RISCV.0
    }
}

codes! {
    /// `ih_type`: what the data is.
    Type, "Unknown Image" {
        /// `IH_TYPE_INVALID`
        INVALID = 0 "invalid", "Invalid Image";
        /// `IH_TYPE_STANDALONE`
        STANDALONE = 1 "standalone", "Standalone Program";
        /// `IH_TYPE_KERNEL`
        KERNEL = 2 "kernel", "Kernel Image";
        /// `IH_TYPE_RAMDISK`
        RAMDISK = 3 "ramdisk", "RAMDisk Image";
        /// `IH_TYPE_MULTI`: several files behind a table of their sizes.
        MULTI = 4 "multi", "Multi-File Image";
        /// `IH_TYPE_FIRMWARE`
        FIRMWARE = 5 "firmware", "Firmware";
        /// `IH_TYPE_SCRIPT`: behind a table, too, if with one file mostly.
        SCRIPT = 6 "script", "Script";
        /// `IH_TYPE_FILESYSTEM`
        FILESYSTEM = 7 "filesystem", "Filesystem Image";
        /// `IH_TYPE_FLATDT`
        FLATDT = 8 "flat_dt", "Flat Device Tree";
        /// `IH_TYPE_KWBIMAGE`
        KWBIMAGE = 9 "kwbimage", "Kirkwood Boot Image";
        /// `IH_TYPE_IMXIMAGE`
        IMXIMAGE = 10 "imximage", "Freescale i.MX Boot Image";
        /// `IH_TYPE_UBLIMAGE`
        UBLIMAGE = 11 "ublimage", "Davinci UBL image";
        /// `IH_TYPE_OMAPIMAGE`
        OMAPIMAGE = 12 "omapimage", "TI OMAP SPL With GP CH";
        /// `IH_TYPE_AISIMAGE`
        AISIMAGE = 13 "aisimage", "Davinci AIS image";
        /// `IH_TYPE_KERNEL_NOLOAD`: a kernel that runs where it lies.
        KERNEL_NOLOAD = 14 "kernel_noload", "Kernel Image (no loading done)";
        /// `IH_TYPE_PBLIMAGE`
        PBLIMAGE = 15 "pblimage", "Freescale PBL Boot Image";
        /// `IH_TYPE_MXSIMAGE`
        MXSIMAGE = 16 "mxsimage", "Freescale MXS Boot Image";
        /// `IH_TYPE_GPIMAGE`
        GPIMAGE = 17 "gpimage", "TI Keystone SPL Image";
        /// `IH_TYPE_ATMELIMAGE`
        ATMELIMAGE = 18 "atmelimage", "ATMEL ROM-Boot Image";
        /// `IH_TYPE_SOCFPGAIMAGE`
        SOCFPGAIMAGE = 19 "socfpgaimage", "Altera SoCFPGA CV/AV preloader";
        /// `IH_TYPE_X86_SETUP`
        X86_SETUP = 20 "x86_setup", "x86 setup.bin";
        /// `IH_TYPE_LPC32XXIMAGE`
        LPC32XXIMAGE = 21 "lpc32xximage", "LPC32XX Boot Image";
        /// `IH_TYPE_LOADABLE`
        LOADABLE = 22;
        /// `IH_TYPE_RKIMAGE`
        RKIMAGE = 23 "rkimage", "Rockchip Boot Image";
        /// `IH_TYPE_RKSD`
        RKSD = 24 "rksd", "Rockchip SD Boot Image";
        /// `IH_TYPE_RKSPI`
        RKSPI = 25 "rkspi", "Rockchip SPI Boot Image";
        /// `IH_TYPE_ZYNQIMAGE`
        ZYNQIMAGE = 26 "zynqimage", "Xilinx Zynq Boot Image";
        /// `IH_TYPE_ZYNQMPIMAGE`
        ZYNQMPIMAGE = 27 "zynqmpimage", "Xilinx ZynqMP Boot Image";
        /// `IH_TYPE_ZYNQMPBIF`
        ZYNQMPBIF = 28 "zynqmpbif", "Xilinx ZynqMP Boot Image (bif)";
        /// `IH_TYPE_FPGA`
        FPGA = 29 "fpga", "FPGA Image";
        /// `IH_TYPE_VYBRIDIMAGE`
        VYBRIDIMAGE = 30 "vybridimage", "Vybrid Boot Image";
        /// `IH_TYPE_TEE`
        TEE = 31 "tee", "Trusted Execution Environment Image";
        /// `IH_TYPE_FIRMWARE_IVT`
        FIRMWARE_IVT = 32 "firmware_ivt", "Firmware with HABv4 IVT";
        /// `IH_TYPE_PMMC`
        PMMC = 33 "pmmc", "TI Power Management Micro-Controller Firmware";
        /// `IH_TYPE_STM32IMAGE`
        STM32IMAGE = 34 "stm32image", "STMicroelectronics STM32 Image";
        /// `IH_TYPE_SOCFPGAIMAGE_V1`
        SOCFPGAIMAGE_V1 = 35 "socfpgaimage_v1", "Altera SoCFPGA A10 preloader";
        /// `IH_TYPE_MTKIMAGE`
        MTKIMAGE = 36 "mtk_image", "MediaTek BootROM loadable Image";
        /// `IH_TYPE_IMX8MIMAGE`
        IMX8MIMAGE = 37 "imx8mimage", "NXP i.MX8M Boot Image";
        /// `IH_TYPE_IMX8IMAGE`
        IMX8IMAGE = 38 "imx8image", "NXP i.MX8 Boot Image";
        /// `IH_TYPE_COPRO`
        COPRO = 39 "copro", "Coprocessor Image";
        /// `IH_TYPE_SUNXI_EGON`
        SUNXI_EGON = 40 "sunxi_egon", "Allwinner eGON Boot Image";
        /// `IH_TYPE_SUNXI_TOC0`
        SUNXI_TOC0 = 41 "sunxi_toc0", "Allwinner TOC0 Boot Image";
        /// `IH_TYPE_FDT_LEGACY`
        FDT_LEGACY = 42 "fdt_legacy", "legacy Image with Flat Device Tree ";
        /// `IH_TYPE_RENESAS_SPKG`
        RENESAS_SPKG = 43 "spkgimage", "Renesas SPKG Image";
        /// `IH_TYPE_STARFIVE_SPL`
        STARFIVE_SPL = 44 "sfspl", "StarFive SPL Image";
        /// `IH_TYPE_TFA_BL31`
        TFA_BL31 = 45 "tfa-bl31", "TFA BL31 Image";
        /// `IH_TYPE_STM32IMAGE_V2`
        STM32IMAGE_V2 = 46 "stm32imagev2", "STMicroelectronics STM32 Image V2.0";
        /// `IH_TYPE_AMLIMAGE`
        AMLIMAGE = 47 "amlimage", "Amlogic Boot Image";
    }
}

impl Type {
    /// Whether the data begins with a table of sizes.
    #[must_use]
    pub const fn has_table(self) -> bool {
        matches!(self, Self::MULTI | Self::SCRIPT)
    }
}

codes! {
    /// `ih_comp`: how the data is compressed.
    Compression, "Unknown Compression" {
        /// `IH_COMP_NONE`
        NONE = 0 "none", "uncompressed";
        /// `IH_COMP_GZIP`
        GZIP = 1 "gzip", "gzip compressed";
        /// `IH_COMP_BZIP2`
        BZIP2 = 2 "bzip2", "bzip2 compressed";
        /// `IH_COMP_LZMA`
        LZMA = 3 "lzma", "lzma compressed";
        /// `IH_COMP_LZO`
        LZO = 4 "lzo", "lzo compressed";
        /// `IH_COMP_LZ4`
        LZ4 = 5 "lz4", "lz4 compressed";
        /// `IH_COMP_ZSTD`
        ZSTD = 6 "zstd", "zstd compressed";
    }
}

impl Compression {
    /// What the code says the data is; `None` for [`Compression::NONE`] and unknown codes.
    #[must_use]
    pub const fn codec(self) -> Option<Codec> {
        Some(match self {
            Self::GZIP => Codec::Gzip,
            Self::BZIP2 => Codec::Bzip2,
            Self::LZMA => Codec::Lzma,
            Self::LZO => Codec::Lzo,
            Self::LZ4 => Codec::Lz4,
            Self::ZSTD => Codec::Zstd,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_without_a_name_survive() {
        assert_eq!(Os::LYNXOS.short_name(), None);
        assert_eq!(Os::LYNXOS.long_name(), "Unknown OS");
        assert_eq!(Type(200).long_name(), "Unknown Image");
        assert_eq!(Compression(7).codec(), None);
        assert_eq!(Type::from_short_name(""), None);
    }

    #[test]
    fn short_names_lead_back() {
        for code in 0..=u8::MAX {
            if let Some(name) = Type(code).short_name() {
                assert_eq!(Type::from_short_name(name), Some(Type(code)));
            }
            if let Some(name) = Arch(code).short_name() {
                assert_eq!(Arch::from_name(name), Some(Arch(code)));
            }
        }
        assert_eq!(Arch::from_name("ppc"), Some(Arch::PPC));
        assert_eq!(Arch::from_name("PPC"), Some(Arch::PPC));
        assert_eq!(Arch::from_name("ARM64"), Some(Arch::ARM64));
        assert_eq!(Os::from_short_name("Linux"), Some(Os::LINUX));
        let mut names = Compression::short_names();
        assert_eq!((names.next(), names.last()), (Some("none"), Some("zstd")));
    }

    #[test]
    fn from_26_on_an_architecture_is_a_guess() {
        assert!(!Arch::XTENSA.is_ambiguous());
        assert!(Arch::RISCV.is_ambiguous());
        assert!(Arch(27).is_ambiguous());
    }
}
