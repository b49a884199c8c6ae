//! What a file is, and what kexec-tools would take it for.
//!
//! ```text
//!            ┌──► Format, however damaged the rest    matches, Format::of
//!   file ────┼──► why it is no sound one              refusals
//!            └──► what each loader says to it         probe
//! ```
//!
//! The last two differ: a loader looks at more than what it needs in an ELF file, and at less in a bzImage, than the
//! views of this crate.
//!
//! ```text
//!  x86_64   multiboot2-x86  elf-x86_64  multiboot-x86  elf-x86  bzImage64  bzImage
//!  i386     multiboot-x86  multiboot2-x86  elf-x86  bzImage
//!  arm      uImage  zImage            arm64    vmlinux  uImage
//!  ppc      elf-ppc  uImage-ppc       ppc64    elf-ppc64
//!  sh       uImage-sh  elf-sh         s390     image
//!  riscv  loongarch  mips  ia64  m68k  parisc  cris    elf-ARCH, ARCH hppa for parisc
//! ```
//!
//! kexec-tools tries the loaders of its architecture in this order and takes the first that says yes; zImage of arm
//! and image of s390 say it to anything. A file that is compressed as a whole, by gzip or lzma, it decompresses
//! first. Not here are its loaders for formats that this crate does not know: beoboot-x86, nbi-x86, uki; Image,
//! zImage and vmlinuz of arm64; dol-ppc; zImage-sh, netbsd-sh; image-riscv, vmlinuz-riscv; pez- and pei-loongarch.
//! None of them is for files that start as an ELF file or a uImage does, but netbsd-sh, which is tried after elf-sh.
//! So the first loader here that takes a file is the one that kexec-tools chooses, and what none here takes may be
//! for one of those.

mod executable;
mod loader;
mod multiboot;

pub use self::loader::{Loader, loaders, probe};
use crate::{BzImage, Compression, ElfImage, Uimage, error::Error, uimage};

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
    /// let memdisk = include_bytes!("../../testdata/memdisk");
    /// assert_eq!(Format::of(memdisk), Some(Format::BzImage));
    /// assert_eq!(Format::of(b"MZ"), None);
    /// ```
    #[must_use]
    pub fn of(file: &[u8]) -> Option<Self> {
        matches(file).next()
    }
}

/// All formats whose signatures the file has: of those, [`Format::of`] is the first.
///
/// A kernel's boot sector is its own, so that it may look like something else, too.
///
/// ```
/// use bootimg::{Compression, detect::{Format, matches}};
///
/// let mut kernel = include_bytes!("../../testdata/memdisk").to_vec();
/// kernel[..2].copy_from_slice(b"\x1f\x8b");
/// let found: Vec<_> = matches(&kernel).collect();
/// assert_eq!(found, [Format::BzImage, Format::Compressed(Compression::Gzip)]);
/// ```
pub fn matches(file: &[u8]) -> impl Iterator<Item = Format> {
    let found = [
        file.starts_with(&uimage::MAGIC.to_be_bytes())
            .then_some(Format::Uimage),
        file.starts_with(&elf_format::ident::MAGIC)
            .then_some(Format::Elf),
        (file.get(0x202..0x206) == Some(b"HdrS")).then_some(Format::BzImage),
        Compression::of(file).map(Format::Compressed),
    ];
    found.into_iter().flatten()
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

#[cfg(test)]
mod tests {
    use std::{string::String, vec::Vec};

    use super::*;

    const MEMDISK: &[u8] = include_bytes!("../../testdata/memdisk");
    const UIMAGE: &[u8] = include_bytes!("../../testdata/uimage/kernel.img");

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
}
