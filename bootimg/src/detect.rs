//! What a file is, and what kexec-tools would take it for.
//!
//! ```text
//!  x86_64   elf-x86_64  elf-x86  bzImage64  bzImage
//!  i386     elf-x86  bzImage
//!  arm64    vmlinux  uImage          ppc      elf-ppc  uImage-ppc
//!  arm      uImage                   ppc64    elf-ppc64
//!                                    riscv    elf-riscv
//! ```
//!
//! kexec-tools tries the loaders of its architecture in this order and takes the first that says
//! yes. It has more of them, and for more machines, than are here: those for formats of this crate. A
//! file that is compressed as a whole it decompresses first.
//!
//! Source: `file_type[]` in kexec-tools `kexec/arch/*/kexec-*.c`, and the probes named there.

use elf_format::{Class, Machine};

use crate::{
    BzImage, Compression, ElfImage, Uimage,
    bzimage::{LoadFlags, Protocol, XLoadFlags},
    error::{Error, Field, Result},
    uimage,
};

/// A format of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A kernel of x86, see [`BzImage`].
    BzImage,
    /// See [`Uimage`].
    Uimage,
    /// An ELF kernel, see [`ElfImage`].
    Elf,
    /// A compressed file; what is inside may be any of the others.
    Compressed(Compression),
}

impl Format {
    /// What the file is: the format whose signatures it has, however damaged the rest may be.
    ///
    /// ```
    /// use bootimg::detect::Format;
    ///
    /// let memdisk = include_bytes!("../testdata/memdisk");
    /// assert_eq!(Format::of(memdisk), Some(Format::BzImage));
    /// assert_eq!(Format::of(b"MZ"), None);
    /// ```
    #[must_use]
    pub fn of(file: &[u8]) -> Option<Self> {
        if file.starts_with(&uimage::MAGIC.to_be_bytes()) {
            Some(Self::Uimage)
        } else if file.starts_with(&elf_format::ident::MAGIC) {
            Some(Self::Elf)
        } else if file.get(0x202..0x206) == Some(b"HdrS") {
            Some(Self::BzImage)
        } else {
            Compression::of(file).map(Self::Compressed)
        }
    }
}

/// Why a file is none of the formats of this crate, each by its name, in the order of [`Format::of`]: what their
/// views find, and of compressions that the signature is none.
///
/// ```
/// use bootimg::detect::refusals;
///
/// let (name, error) = refusals(b"#!/bin/sh\n").next().unwrap();
/// let error = error.to_string();
/// assert_eq!((name, &*error), ("uImage", "offset 0x0: uImage header needs 0x40 bytes, 0xa are there"));
/// ```
pub fn refusals(file: &[u8]) -> impl Iterator<Item = (&'static str, Error)> {
    let packed = match (Compression::of(file), file.first_chunk()) {
        (Some(_), _) => Ok(()),
        (None, Some(magic)) => Err(Error::Unsupported {
            what: "as a compression, the signature",
            offset: 0,
            value: u16::from_be_bytes(*magic).into(),
        }),
        (None, None) => Err(Error::Truncated {
            what: "signature of a compression",
            offset: 0,
            needed: 2,
            available: file.len() as u64,
        }),
    };
    let verdicts = [
        ("uImage", Uimage::parse(file).map(drop)),
        ("ELF kernel", ElfImage::parse(file).map(drop)),
        ("bzImage", BzImage::parse(file).map(drop)),
        ("compressed file", packed),
    ];
    let refusals = verdicts.into_iter();
    refusals.filter_map(|(name, verdict)| Some((name, verdict.err()?)))
}

/// One of the loaders of kexec-tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Loader {
    /// The name it goes by in `kexec --type`.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// The class is what the architecture insists on, if it does.
    Elf(Option<Class>),
    BzImage,
    BzImage64,
    Uimage(uimage::Arch),
}

impl Loader {
    const fn elf(name: &'static str, class: Option<Class>) -> Self {
        let kind = Kind::Elf(class);
        Self { name, kind }
    }

    const fn uimage(name: &'static str, arch: uimage::Arch) -> Self {
        let kind = Kind::Uimage(arch);
        Self { name, kind }
    }
}

const ELF_X86_64: Loader = Loader::elf("elf-x86_64", Some(Class::Elf64));
const ELF_X86: Loader = Loader::elf("elf-x86", Some(Class::Elf32));
const BZIMAGE_64: Loader = Loader {
    name: "bzImage64",
    kind: Kind::BzImage64,
};
const BZIMAGE: Loader = Loader {
    name: "bzImage",
    kind: Kind::BzImage,
};
const UIMAGE_ARM: Loader = Loader::uimage("uImage", uimage::Arch::ARM);
const VMLINUX: Loader = Loader::elf("vmlinux", None);
const UIMAGE_ARM64: Loader = Loader::uimage("uImage", uimage::Arch::ARM64);
const ELF_PPC: Loader = Loader::elf("elf-ppc", None);
const UIMAGE_PPC: Loader = Loader::uimage("uImage-ppc", uimage::Arch::PPC);
const ELF_PPC64: Loader = Loader::elf("elf-ppc64", None);
const ELF_RISCV: Loader = Loader::elf("elf-riscv", None);

/// The loaders of a machine in the order kexec-tools tries them; none for a machine that is not in
/// the table above.
#[must_use]
pub const fn loaders(machine: Machine) -> &'static [Loader] {
    match machine {
        Machine::X86_64 => &[ELF_X86_64, ELF_X86, BZIMAGE_64, BZIMAGE],
        Machine::I386 => &[ELF_X86, BZIMAGE],
        Machine::ARM => &[UIMAGE_ARM],
        Machine::AARCH64 => &[VMLINUX, UIMAGE_ARM64],
        Machine::PPC => &[ELF_PPC, UIMAGE_PPC],
        Machine::PPC64 => &[ELF_PPC64],
        Machine::RISCV => &[ELF_RISCV],
        _ => &[],
    }
}

/// What each loader of a machine says of a file, in the order they are tried: the first without an
/// error is the one kexec-tools takes.
///
/// ```
/// use bootimg::detect::probe;
/// use elf_format::Machine;
///
/// let memtest = include_bytes!("../testdata/memtest86+x64.bin");
/// let mut found = probe(memtest, Machine::X86_64);
/// let (loader, verdict) = found.nth(2).unwrap();
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
    loaders.map(move |loader| (*loader, verdict(file, machine, loader.kind)))
}

const CLASS: Field = Field {
    name: "EI_CLASS",
    allowed: "the loader's: 1 on i386, 2 on x86_64",
};
const MACHINE: Field = Field {
    name: "e_machine",
    allowed: "that of the machine",
};
const VERSION: Field = Field {
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

fn verdict(file: &[u8], machine: Machine, kind: Kind) -> Result<()> {
    match kind {
        Kind::Elf(class) => elf(file, machine, class),
        Kind::BzImage => bzimage(file).map(drop),
        Kind::BzImage64 => bzimage_64(file),
        Kind::Uimage(arch) => uimage(file, arch),
    }
}

fn elf(file: &[u8], machine: Machine, class: Option<Class>) -> Result<()> {
    let image = ElfImage::parse(file)?;
    let header = image.elf().header();
    let found = header.encoding().class;
    if class.is_some_and(|class| class != found) {
        let value = if found == Class::Elf32 { 1 } else { 2 };
        return require(false, &CLASS, 4, value);
    }
    // 32-bit kernels boot on x86-64, too.
    let machine = if class == Some(Class::Elf32) {
        Machine::I386
    } else {
        machine
    };
    let value = header.machine.0.into();
    require(header.machine == machine, &MACHINE, 18, value)
}

fn bzimage(file: &[u8]) -> Result<BzImage<'_>> {
    let image = BzImage::parse(file)?;
    let flags = image.header().loadflags();
    let high = flags.contains(LoadFlags::LOADED_HIGH);
    require(high, &LOADFLAGS, 0x211, flags.bits().into())?;
    Ok(image)
}

fn bzimage_64(file: &[u8]) -> Result<()> {
    let image = bzimage(file)?;
    let protocol = image.header().protocol();
    let new = protocol >= Protocol::V2_12;
    require(new, &VERSION, 0x206, protocol.0.into())?;
    let flags = image.header().xloadflags();
    let needed = XLoadFlags::KERNEL_64 | XLoadFlags::CAN_BE_LOADED_ABOVE_4G;
    require(
        flags.contains(needed),
        &XLOADFLAGS,
        0x236,
        flags.bits().into(),
    )
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

fn require(met: bool, field: &'static Field, offset: u64, value: u64) -> Result<()> {
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

    fn first(file: &[u8], machine: Machine) -> Option<&'static str> {
        probe(file, machine)
            .find(|(_, verdict)| verdict.is_ok())
            .map(|(loader, _)| loader.name)
    }

    fn reasons(file: &[u8], machine: Machine) -> Vec<String> {
        let errors = probe(file, machine).filter_map(|(_, verdict)| verdict.err());
        errors.map(|error| std::format!("{error}")).collect()
    }

    const MEMDISK: &[u8] = include_bytes!("../testdata/memdisk");
    const UIMAGE: &[u8] = include_bytes!("../testdata/uimage/kernel.img");

    #[test]
    fn signatures_decide_what_a_file_is() {
        assert_eq!(Format::of(UIMAGE), Some(Format::Uimage));
        assert_eq!(Format::of(&UIMAGE[..4]), Some(Format::Uimage));
        assert_eq!(Format::of(b"\x7fELF"), Some(Format::Elf));
        assert_eq!(Format::of(&MEMDISK[..0x206]), Some(Format::BzImage));
        assert_eq!(Format::of(&MEMDISK[..0x205]), None);
        let xz = Some(Format::Compressed(Compression::Xz));
        assert_eq!(Format::of(b"\xfd7zXZ\0"), xz);
        assert_eq!(Format::of(b""), None);
    }

    #[test]
    fn why_a_file_is_none_of_the_formats() {
        let text = |file: &[u8]| -> Vec<String> {
            refusals(file)
                .map(|(name, error)| std::format!("{name}: {error}"))
                .collect()
        };
        // The head of a kernel of arm64.
        let mut image = Vec::from(b"MZ\0\x91");
        image.resize(1024, 0);
        assert_eq!(
            text(&image),
            [
                "uImage: offset 0x0: ih_magic is 0x4d5a0091, not 0x27051956",
                "ELF kernel: offset 0x0: ELF magic is 0x4d5a0091, not 0x7f454c46",
                "bzImage: offset 0x1fe: boot_flag is 0x0, not 0xaa55",
                "compressed file: offset 0x0: as a compression, the signature 0x4d5a is not supported",
            ]
        );
        assert_eq!(text(b"").len(), 4);
        let short = "compressed file: offset 0x0: signature of a compression needs 0x2 bytes, 0x1 are there";
        assert_eq!(text(b"x").last().unwrap(), short);
        // Whatever a file is, is left out.
        let names: Vec<_> = refusals(MEMDISK).map(|(name, _)| name).collect();
        assert_eq!(names, ["uImage", "ELF kernel", "compressed file"]);
    }

    #[test]
    fn the_first_loader_that_says_yes() {
        assert_eq!(first(MEMDISK, Machine::X86_64), Some("bzImage"));
        assert_eq!(first(MEMDISK, Machine::I386), Some("bzImage"));
        assert_eq!(first(MEMDISK, Machine::ARM), None);
        assert_eq!(first(UIMAGE, Machine::ARM), Some("uImage"));
        assert_eq!(first(UIMAGE, Machine::X86_64), None);
        assert_eq!(probe(UIMAGE, Machine::LOONGARCH).count(), 0);

        let mut kernel = Vec::from(MEMDISK);
        kernel[0x206] = 0x0c;
        kernel[0x201] = 0x66;
        kernel[0x236] = 3;
        assert_eq!(first(&kernel, Machine::X86_64), Some("bzImage64"));
        // Both of them would take it.
        assert!(probe(&kernel, Machine::X86_64).nth(3).unwrap().1.is_ok());
    }

    #[test]
    fn why_the_others_said_no() {
        assert_eq!(
            reasons(MEMDISK, Machine::X86_64),
            [
                "offset 0x0: ELF magic is 0x0, not 0x7f454c46",
                "offset 0x0: ELF magic is 0x0, not 0x7f454c46",
                "offset 0x206: version is 0x203, allowed: 0x20c and above for the 64-bit entry",
            ]
        );
        let mut low = Vec::from(MEMDISK);
        low[0x211] = 0;
        let text = "offset 0x211: loadflags is 0x0, allowed: with LOADED_HIGH";
        assert_eq!(reasons(&low, Machine::I386)[1], text);
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
    fn elf_kernels_by_class_and_machine() {
        let head = include_bytes!("../testdata/kernel/vmlinux-6.1.0-56-cloud-amd64.head");
        let mut kernel = Vec::from(head);
        kernel.resize(0x244_e000 + 0xdb_2000, 0);
        assert_eq!(first(&kernel, Machine::X86_64), Some("elf-x86_64"));
        let class = "offset 0x4: EI_CLASS is 0x2, allowed: the loader's: 1 on i386, 2 on x86_64";
        assert_eq!(reasons(&kernel, Machine::I386)[0], class);
        let machine = "offset 0x12: e_machine is 0x3e, allowed: that of the machine";
        assert_eq!(reasons(&kernel, Machine::RISCV), [machine]);
    }
}
