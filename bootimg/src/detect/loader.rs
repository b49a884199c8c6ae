//! The loaders of kexec-tools, in the order of its tables, and what makes each of them take a file.
//!
//! ```text
//!   Machine ──► Loader { name, Rule } …     Rule ──┬──► ELF, Multiboot          executable, multiboot
//!                                                  └──► bzImage, uImage, anything
//! ```
//!
//! Source: `file_type[]` in kexec-tools `kexec/arch/*/kexec-*.c` of 2.0.25 to 2.0.32, and the probes named there.

use elf_format::Machine;
use zerocopy::FromBytes as _;

use super::{
    executable::executable,
    multiboot::{multiboot, multiboot_2},
};
use crate::{
    Uimage,
    bzimage::{
        LoadFlags, MIN_FILE, Protocol, XLoadFlags,
        header::{BOOT_FLAG, HDRS, Wire, magic, offset},
    },
    error::{Error, Field, Result},
    uimage,
};

/// One of the loaders of kexec-tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Loader {
    /// The name it goes by in `kexec --type`.
    pub name: &'static str,
    rule: Rule,
}

/// What a file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rule {
    /// An executable of one of these machines.
    Elf(&'static [Machine]),
    Multiboot,
    Multiboot2,
    BzImage,
    BzImage64,
    Uimage(uimage::Arch),
    Anything,
}

/// `EM_486`, which nothing says any more.
const I486: Machine = Machine(6);
/// `EM_CRIS`
const CRIS: Machine = Machine(76);
/// What is for a processor of 32 bits, and what for any of x86.
pub(super) const I386: &[Machine] = &[Machine::I386, I486];
pub(super) const X86: &[Machine] = &[Machine::I386, I486, Machine::X86_64];

const fn loader(name: &'static str, rule: Rule) -> Loader {
    Loader { name, rule }
}

const fn elf(name: &'static str, machines: &'static [Machine]) -> Loader {
    loader(name, Rule::Elf(machines))
}

const MULTIBOOT_2: Loader = loader("multiboot2-x86", Rule::Multiboot2);
const ELF_X86_64: Loader = elf("elf-x86_64", &[Machine::X86_64]);
const MULTIBOOT: Loader = loader("multiboot-x86", Rule::Multiboot);
const ELF_X86: Loader = elf("elf-x86", I386);
const BZIMAGE_64: Loader = loader("bzImage64", Rule::BzImage64);
const BZIMAGE: Loader = loader("bzImage", Rule::BzImage);
const UIMAGE_ARM: Loader = loader("uImage", Rule::Uimage(uimage::Arch::ARM));
const ZIMAGE_ARM: Loader = loader("zImage", Rule::Anything);
const VMLINUX: Loader = elf("vmlinux", &[Machine::AARCH64]);
const UIMAGE_ARM64: Loader = loader("uImage", Rule::Uimage(uimage::Arch::ARM64));
const ELF_PPC: Loader = elf("elf-ppc", &[Machine::PPC]);
const UIMAGE_PPC: Loader = loader("uImage-ppc", Rule::Uimage(uimage::Arch::PPC));
const ELF_PPC64: Loader = elf("elf-ppc64", &[Machine::PPC64, Machine::PPC]);
const UIMAGE_SH: Loader = loader("uImage-sh", Rule::Uimage(uimage::Arch::SH));
const ELF_SH: Loader = elf("elf-sh", &[Machine::SH]);
const IMAGE_S390: Loader = loader("image", Rule::Anything);
const ELF_RISCV: Loader = elf("elf-riscv", &[Machine::RISCV]);
const ELF_LOONGARCH: Loader = elf("elf-loongarch", &[Machine::LOONGARCH]);
const ELF_MIPS: Loader = elf("elf-mips", &[Machine::MIPS]);
const ELF_IA64: Loader = elf("elf-ia64", &[Machine::IA_64]);
const ELF_M68K: Loader = elf("elf-m68k", &[Machine::M68K]);
const ELF_HPPA: Loader = elf("elf-hppa", &[Machine::PARISC]);
const ELF_CRIS: Loader = elf("elf-cris", &[CRIS]);

/// The loaders of a machine in the order kexec-tools tries them; none for a machine that is not in
/// the table of the [module](super).
#[must_use]
pub const fn loaders(machine: Machine) -> &'static [Loader] {
    match machine {
        Machine::X86_64 => &[
            MULTIBOOT_2,
            ELF_X86_64,
            MULTIBOOT,
            ELF_X86,
            BZIMAGE_64,
            BZIMAGE,
        ],
        Machine::I386 => &[MULTIBOOT, MULTIBOOT_2, ELF_X86, BZIMAGE],
        Machine::ARM => &[UIMAGE_ARM, ZIMAGE_ARM],
        Machine::AARCH64 => &[VMLINUX, UIMAGE_ARM64],
        Machine::PPC => &[ELF_PPC, UIMAGE_PPC],
        Machine::PPC64 => &[ELF_PPC64],
        Machine::SH => &[UIMAGE_SH, ELF_SH],
        Machine::S390 => &[IMAGE_S390],
        Machine::RISCV => &[ELF_RISCV],
        Machine::LOONGARCH => &[ELF_LOONGARCH],
        Machine::MIPS => &[ELF_MIPS],
        Machine::IA_64 => &[ELF_IA64],
        Machine::M68K => &[ELF_M68K],
        Machine::PARISC => &[ELF_HPPA],
        CRIS => &[ELF_CRIS],
        _ => &[],
    }
}

/// What each loader of a machine says of a file, in the order they are tried: the first without an
/// error is the one kexec-tools takes. Whether it can then load the file is another matter.
///
/// ```
/// use bootimg::detect::probe;
/// use elf_format::Machine;
///
/// let memtest = include_bytes!("../../testdata/memtest86+x64.bin");
/// let mut found = probe(memtest, Machine::X86_64);
/// let (loader, verdict) = found.nth(4).unwrap();
/// assert_eq!(loader.name, "bzImage64");
/// assert_eq!(
///     verdict.unwrap_err().to_string(),
///     "offset 0x236: xloadflags is 0x9, allowed: with XLF_KERNEL_64 and XLF_CAN_BE_LOADED_ABOVE_4G"
/// );
/// let (loader, verdict) = found.next().unwrap();
/// assert_eq!((loader.name, verdict), ("bzImage", Ok(())));
/// ```
pub fn probe(file: &[u8], machine: Machine) -> impl Iterator<Item = (Loader, Result<()>)> {
    let loaders = loaders(machine).iter();
    loaders.map(move |loader| (*loader, loader.rule.check(file)))
}

const VERSION: Field = Field {
    name: "version",
    allowed: "0x200 and above",
};
const VERSION_64: Field = Field {
    name: "version",
    allowed: "0x20c and above for the 64-bit entry",
};
const LOADFLAGS: Field = Field {
    name: "loadflags",
    allowed: "with LOADED_HIGH",
};
const XLOADFLAGS: Field = Field {
    name: "xloadflags",
    allowed: "with XLF_KERNEL_64 and XLF_CAN_BE_LOADED_ABOVE_4G",
};
const IH_TYPE: Field = Field {
    name: "ih_type",
    allowed: "2 (kernel), 14 (kernel_noload)",
};
const IH_OS: Field = Field {
    name: "ih_os",
    allowed: "5 (linux)",
};
const IH_ARCH: Field = Field {
    name: "ih_arch",
    allowed: "that of the machine",
};
const IH_COMP: Field = Field {
    name: "ih_comp",
    allowed: "0 (none), 1 (gzip)",
};

impl Rule {
    fn check(self, file: &[u8]) -> Result<()> {
        match self {
            Self::Elf(machines) => executable(file, machines),
            Self::Multiboot => multiboot(file),
            Self::Multiboot2 => multiboot_2(file),
            Self::BzImage => bzimage(file, &VERSION, Protocol::V2_00).map(drop),
            Self::BzImage64 => bzimage_64(file),
            Self::Uimage(arch) => uimage(file, arch),
            Self::Anything => Ok(()),
        }
    }
}

/// Neither the jump over the header nor the sectors in front of the kernel are looked at.
fn bzimage<'a>(file: &'a [u8], version: &'static Field, least: Protocol) -> Result<&'a Wire> {
    let (wire, _) = file
        .get(..MIN_FILE)
        .and_then(|_| Wire::ref_from_prefix(file).ok())
        .ok_or(Error::Truncated {
            what: "bzImage",
            offset: 0,
            needed: MIN_FILE as u64,
            available: file.len() as u64,
        })?;
    let (boot_flag, header) = (wire.boot_flag.into(), wire.header.into());
    magic("boot_flag", offset!(boot_flag), boot_flag, BOOT_FLAG.into())?;
    magic("header", offset!(header), header, HDRS.into())?;
    let found = wire.version.get();
    require(found >= least.0, version, offset!(version), found.into())?;
    let flags = LoadFlags::from_bits_retain(wire.loadflags);
    let high = flags.contains(LoadFlags::LOADED_HIGH);
    require(high, &LOADFLAGS, offset!(loadflags), flags.bits().into())?;
    Ok(wire)
}

fn bzimage_64(file: &[u8]) -> Result<()> {
    let wire = bzimage(file, &VERSION_64, Protocol::V2_12)?;
    let flags = XLoadFlags::from_bits_retain(wire.xloadflags.get());
    let both = flags.contains(XLoadFlags::KERNEL_64 | XLoadFlags::CAN_BE_LOADED_ABOVE_4G);
    require(both, &XLOADFLAGS, offset!(xloadflags), flags.bits().into())
}

fn uimage(file: &[u8], arch: uimage::Arch) -> Result<()> {
    use uimage::{Compression, Os, Type};

    let image = Uimage::parse(file)?;
    let header = image.header();
    let kernel = [Type::KERNEL, Type::KERNEL_NOLOAD].contains(&header.kind);
    require(kernel, &IH_TYPE, 30, header.kind.0.into())?;
    require(header.os == Os::LINUX, &IH_OS, 28, header.os.0.into())?;
    require(header.arch == arch, &IH_ARCH, 29, header.arch.0.into())?;
    let codec = [Compression::NONE, Compression::GZIP].contains(&header.compression);
    require(codec, &IH_COMP, 31, header.compression.0.into())
}

pub(super) fn require(met: bool, field: &'static Field, offset: u64, value: u64) -> Result<()> {
    if met {
        Ok(())
    } else {
        Err(Error::BadField {
            field,
            offset,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{string::String, vec::Vec};

    use super::*;
    use crate::detect::executable::tests::kernel;

    const MEMDISK: &[u8] = include_bytes!("../../testdata/memdisk");
    const UIMAGE: &[u8] = include_bytes!("../../testdata/uimage/kernel.img");

    fn first(file: &[u8], machine: Machine) -> Option<&'static str> {
        probe(file, machine)
            .find(|(_, verdict)| verdict.is_ok())
            .map(|(loader, _)| loader.name)
    }

    fn reasons(file: &[u8], machine: Machine) -> Vec<String> {
        let errors = probe(file, machine).filter_map(|(_, verdict)| verdict.err());
        errors.map(|error| std::format!("{error}")).collect()
    }

    #[test]
    fn the_first_loader_that_says_yes() {
        assert_eq!(first(MEMDISK, Machine::X86_64), Some("bzImage"));
        assert_eq!(first(MEMDISK, Machine::I386), Some("bzImage"));
        assert_eq!(first(MEMDISK, Machine::ARM), Some("zImage"));
        assert_eq!(first(MEMDISK, Machine::S390), Some("image"));
        assert_eq!(first(UIMAGE, Machine::ARM), Some("uImage"));
        assert_eq!(first(UIMAGE, Machine::X86_64), None);
        assert_eq!(probe(UIMAGE, Machine::SPARC).count(), 0);

        let mut kernel = Vec::from(MEMDISK);
        kernel[0x206] = 0x0c;
        kernel[0x201] = 0x66;
        kernel[0x236] = 3;
        assert_eq!(first(&kernel, Machine::X86_64), Some("bzImage64"));
        // Both of them would take it.
        assert!(probe(&kernel, Machine::X86_64).nth(5).unwrap().1.is_ok());
    }

    #[test]
    fn why_the_others_said_no() {
        assert_eq!(
            reasons(MEMDISK, Machine::X86_64),
            [
                "offset 0x0: ELF magic is 0x0, not 0x7f454c46",
                "offset 0x0: ELF magic is 0x0, not 0x7f454c46",
                "offset 0x0: number of multiboot headers is 0x0, allowed: 1 and above, in the first 8 KiB at multiples of 4",
                "offset 0x0: ELF magic is 0x0, not 0x7f454c46",
                "offset 0x206: version is 0x203, allowed: 0x20c and above for the 64-bit entry",
            ]
        );
        let mut low = Vec::from(MEMDISK);
        low[0x211] = 0;
        let text = "offset 0x211: loadflags is 0x0, allowed: with LOADED_HIGH";
        assert_eq!(reasons(&low, Machine::I386)[3], text);
        assert_eq!(
            reasons(UIMAGE, Machine::AARCH64)[1],
            "offset 0x1d: ih_arch is 0x2, allowed: that of the machine"
        );
    }

    #[test]
    fn of_uimages_only_kernels_that_kexec_tools_can_unpack() {
        use crate::uimage::{Builder, Header, Type, padded_name};

        let check = |change: &dyn Fn(&mut Header)| {
            let mut header = Header {
                arch: uimage::Arch::ARM,
                name: padded_name(b"x"),
                ..Header::default()
            };
            change(&mut header);
            let mut out = [0; 64 + 8 + 4];
            let files: [&[u8]; 1] = [b"data"];
            let len = Builder::try_new(header, &files)
                .unwrap()
                .emit(&mut out)
                .unwrap();
            let verdict = probe(&out[..len], Machine::ARM).next().unwrap().1;
            verdict.err().map(|error| std::format!("{error}"))
        };
        assert_eq!(check(&|_| {}), None);
        assert_eq!(check(&|header| header.kind = Type::KERNEL_NOLOAD), None);
        assert_eq!(
            check(&|header| header.compression = uimage::Compression::GZIP),
            None
        );
        let multi = check(&|header| header.kind = Type::MULTI).unwrap();
        assert_eq!(
            multi,
            "offset 0x1e: ih_type is 0x4, allowed: 2 (kernel), 14 (kernel_noload)"
        );
        let os = check(&|header| header.os = uimage::Os::NETBSD).unwrap();
        assert_eq!(os, "offset 0x1c: ih_os is 0x2, allowed: 5 (linux)");
        let comp = check(&|header| header.compression = uimage::Compression::LZMA).unwrap();
        assert_eq!(
            comp,
            "offset 0x1f: ih_comp is 0x3, allowed: 0 (none), 1 (gzip)"
        );
    }

    #[test]
    fn bzimages_by_five_fields() {
        let verdict = |len: usize, change: &[(usize, u8)]| {
            let mut file = Vec::from(&MEMDISK[..len]);
            for (at, value) in change {
                file[*at] = *value;
            }
            first(&file, Machine::I386)
        };
        let taken = Some("bzImage");
        // Neither the jump nor what the sectors come to.
        for change in [(0x200, 0xe9), (0x201, 0x10), (0x201, 0x80), (0x1f1, 255)] {
            assert_eq!(verdict(1024, &[change]), taken);
        }
        assert_eq!(verdict(1023, &[]), None);
        for change in [(0x1fe, 0), (0x202, 0), (0x207, 1), (0x211, 0)] {
            assert_eq!(verdict(1024, &[change]), None);
        }
    }

    #[test]
    fn elf_kernels_by_machine() {
        let cases: [(u16, Machine, &[&str]); 17] = [
            (62, Machine::X86_64, &["elf-x86_64"]),
            (3, Machine::X86_64, &["elf-x86"]),
            (6, Machine::X86_64, &["elf-x86"]),
            (62, Machine::I386, &[]),
            (6, Machine::I386, &["elf-x86"]),
            (40, Machine::ARM, &["zImage"]),
            (183, Machine::AARCH64, &["vmlinux"]),
            (20, Machine::PPC, &["elf-ppc"]),
            (21, Machine::PPC, &[]),
            (20, Machine::PPC64, &["elf-ppc64"]),
            (42, Machine::SH, &["elf-sh"]),
            (243, Machine::RISCV, &["elf-riscv"]),
            (258, Machine::LOONGARCH, &["elf-loongarch"]),
            (8, Machine::MIPS, &["elf-mips"]),
            (50, Machine::IA_64, &["elf-ia64"]),
            (4, Machine::M68K, &["elf-m68k"]),
            (76, CRIS, &["elf-cris"]),
        ];
        for (machine, of, expected) in cases {
            let file = kernel(machine);
            let found = probe(&file, of).filter(|(_, verdict)| verdict.is_ok());
            let found: Vec<_> = found.map(|(loader, _)| loader.name).collect();
            assert_eq!(found, expected, "{machine}");
        }
        let machine = "offset 0x12: e_machine is 0x3e, allowed: that of the loader";
        assert_eq!(reasons(&kernel(62), Machine::RISCV), [machine]);
    }
}
