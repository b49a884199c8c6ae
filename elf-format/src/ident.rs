//! `e_ident`: the 16 bytes that say how to read all others.
//!
//! ```text
//!  0    4     5    6       7      8          9         16
//!  ├────┼─────┼────┼───────┼──────┼──────────┼─────────┤
//!  │ELF │class│data│version│OS ABI│ABI       │ padding │
//!  │mag.│ 1 2 │ 1 2│   1   │      │version   │ zero    │
//!  └────┴─────┴────┴───────┴──────┴──────────┴─────────┘
//! ```
//!
//! Source: gABI, "ELF Identification"; `EI_*` in `<elf.h>` and `include/uapi/linux/elf.h`.

use core::fmt;

use crate::{
    error::{Error, Field, Result},
    wire::{self, Output},
};

/// `ELFMAG`: the bytes `7f 45 4c 46`.
pub const MAGIC: [u8; 4] = *b"\x7fELF";
/// `EI_NIDENT`: the length of the identification.
pub const SIZE: usize = 16;
/// `EV_CURRENT`: what `EI_VERSION` and `e_version` of every file so far say.
pub const EV_CURRENT: u8 = 1;

const CLASS: Field = Field {
    name: "EI_CLASS",
    allowed: "1 (ELFCLASS32), 2 (ELFCLASS64)",
};
const DATA: Field = Field {
    name: "EI_DATA",
    allowed: "1 (ELFDATA2LSB), 2 (ELFDATA2MSB)",
};
const IDENT_VERSION: Field = Field {
    name: "EI_VERSION",
    allowed: "1 (EV_CURRENT)",
};

/// `EI_CLASS`: how wide addresses, offsets and sizes are.
///
/// Not an open newtype like the other values of the format: a file of any other class cannot be
/// read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ELFCLASS32`
    Elf32,
    /// `ELFCLASS64`
    Elf64,
}

impl Class {
    /// Size of the file header in bytes: `Elf32_Ehdr` 52, `Elf64_Ehdr` 64.
    #[must_use]
    pub const fn header_size(self) -> usize {
        match self {
            Self::Elf32 => 52,
            Self::Elf64 => 64,
        }
    }

    /// Size of a program header in bytes: `Elf32_Phdr` 32, `Elf64_Phdr` 56.
    #[must_use]
    pub const fn segment_size(self) -> usize {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 56,
        }
    }

    /// Size of a section header in bytes: `Elf32_Shdr` 40, `Elf64_Shdr` 64.
    #[must_use]
    pub const fn section_size(self) -> usize {
        match self {
            Self::Elf32 => 40,
            Self::Elf64 => 64,
        }
    }
}

/// `EI_DATA`: the byte order of every integer in the headers and notes.
///
/// It need not be the byte order of the memory in a dump: QEMU writes big-endian headers for
/// little-endian ppc64 guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// `ELFDATA2LSB`
    Little,
    /// `ELFDATA2MSB`
    Big,
}

/// What a reader must know before it can decode any structure after the identification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// Width of addresses, offsets and sizes.
    pub class: Class,
    /// Order of bytes.
    pub endian: Endian,
}

open_newtype! {
    /// `EI_OSABI`: whose extensions the file uses. What those from 64 on mean depends on the machine (97 is ARM's own, to
    /// ARM): they have no names here.
    OsAbi(u8) {
        /// `ELFOSABI_NONE`; also what Linux cores say.
        SYSTEM_V = 0 => "UNIX - System V",
        /// `ELFOSABI_HPUX`
        HPUX = 1 => "UNIX - HP-UX",
        /// `ELFOSABI_NETBSD`
        NETBSD = 2 => "UNIX - NetBSD",
        /// `ELFOSABI_GNU`, once `ELFOSABI_LINUX`
        GNU = 3 => "UNIX - GNU",
        /// `ELFOSABI_SOLARIS`
        SOLARIS = 6 => "UNIX - Solaris",
        /// `ELFOSABI_AIX`
        AIX = 7 => "UNIX - AIX",
        /// `ELFOSABI_IRIX`
        IRIX = 8 => "UNIX - IRIX",
        /// `ELFOSABI_FREEBSD`
        FREEBSD = 9 => "UNIX - FreeBSD",
        /// `ELFOSABI_TRU64`
        TRU64 = 10 => "UNIX - TRU64",
        /// `ELFOSABI_MODESTO`
        MODESTO = 11 => "Novell - Modesto",
        /// `ELFOSABI_OPENBSD`
        OPENBSD = 12 => "UNIX - OpenBSD",
        /// `ELFOSABI_OPENVMS`
        OPENVMS = 13 => "VMS - OpenVMS",
        /// `ELFOSABI_NSK`
        NSK = 14 => "HP - Non-Stop Kernel",
        /// `ELFOSABI_AROS`
        AROS = 15 => "AROS",
        /// `ELFOSABI_FENIXOS`
        FENIXOS = 16 => "FenixOS",
        /// `ELFOSABI_CLOUDABI`
        CLOUDABI = 17 => "Nuxi CloudABI",
        /// `ELFOSABI_OPENVOS`
        OPENVOS = 18 => "Stratus Technologies OpenVOS",
    }
}

/// The identification, checked: magic, class, byte order and version are known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ident {
    /// Class and byte order.
    pub encoding: Encoding,
    /// Whose extensions are used.
    pub os_abi: OsAbi,
    /// The version of that ABI.
    pub abi_version: u8,
    /// `EI_PAD`: unused, kept so that a header is emitted as it was read.
    pub padding: [u8; 7],
}

impl Ident {
    /// The identification of a System V file.
    #[must_use]
    pub const fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            os_abi: OsAbi::SYSTEM_V,
            abi_version: 0,
            padding: [0; 7],
        }
    }

    /// Reads the first [`SIZE`] bytes of a file.
    ///
    /// # Errors
    ///
    /// `Truncated`, `BadMagic`, and `BadField` for a class, byte order or version that does not
    /// exist.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if let Some(&magic) = bytes.first_chunk().filter(|&&magic| magic != MAGIC) {
            return Err(Error::BadMagic {
                what: "ELF magic",
                offset: 0,
                found: u32::from_be_bytes(magic).into(),
                expected: u32::from_be_bytes(MAGIC).into(),
            });
        }
        let Some(
            &[
                _,
                _,
                _,
                _,
                class,
                data,
                version,
                os_abi,
                abi_version,
                ref padding @ ..,
            ],
        ) = bytes.first_chunk::<SIZE>()
        else {
            let available = wire::len(bytes);
            let needed = SIZE as u64;
            return Err(Error::Truncated {
                what: "ELF identification",
                offset: 0,
                needed,
                available,
            });
        };
        let bad = |field, offset, value: u8| Error::BadField {
            field,
            offset,
            value: value.into(),
        };
        let class = match class {
            1 => Class::Elf32,
            2 => Class::Elf64,
            _ => return Err(bad(&CLASS, 4, class)),
        };
        let endian = match data {
            1 => Endian::Little,
            2 => Endian::Big,
            _ => return Err(bad(&DATA, 5, data)),
        };
        if version != EV_CURRENT {
            return Err(bad(&IDENT_VERSION, 6, version));
        }
        let encoding = Encoding { class, endian };
        Ok(Self {
            encoding,
            os_abi: OsAbi(os_abi),
            abi_version,
            padding: *padding,
        })
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; SIZE] {
        let [m0, m1, m2, m3] = MAGIC;
        let class = match self.encoding.class {
            Class::Elf32 => 1,
            Class::Elf64 => 2,
        };
        let data = match self.encoding.endian {
            Endian::Little => 1,
            Endian::Big => 2,
        };
        let [p0, p1, p2, p3, p4, p5, p6] = self.padding;
        [
            m0,
            m1,
            m2,
            m3,
            class,
            data,
            EV_CURRENT,
            self.os_abi.0,
            self.abi_version,
            p0,
            p1,
            p2,
            p3,
            p4,
            p5,
            p6,
        ]
    }

    pub(crate) fn put(&self, out: &mut Output<'_>) -> Result<()> {
        out.bytes(&self.to_bytes())
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf32 => "ELF32",
            Self::Elf64 => "ELF64",
        })
    }
}

impl fmt::Display for Endian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Little => "2's complement, little endian",
            Self::Big => "2's complement, big endian",
        })
    }
}

impl fmt::Display for OsAbi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "<unknown: {:x}>", self.0),
        }
    }
}

/// The first lines of `readelf -h`, from `Magic:` to `ABI Version:`.
impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  Magic:   ")?;
        for byte in self.to_bytes() {
            write!(f, "{byte:02x} ")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "  Class:                             {}",
            self.encoding.class
        )?;
        writeln!(
            f,
            "  Data:                              {}",
            self.encoding.endian
        )?;
        writeln!(
            f,
            "  Version:                           {EV_CURRENT} (current)"
        )?;
        writeln!(f, "  OS/ABI:                            {}", self.os_abi)?;
        writeln!(
            f,
            "  ABI Version:                       {}",
            self.abi_version
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::counting::{BYTES, ENCODINGS};

    #[test]
    fn counting_bytes() {
        for encoding in ENCODINGS {
            let mut bytes = BYTES;
            bytes[..7].copy_from_slice(&Ident::new(encoding).to_bytes()[..7]);
            let ident = Ident::parse(&bytes).unwrap();
            assert_eq!(
                ident,
                Ident {
                    encoding,
                    os_abi: OsAbi(8),
                    abi_version: 9,
                    padding: [10, 11, 12, 13, 14, 15, 16],
                }
            );
            assert_eq!(ident.to_bytes(), bytes[..16]);
        }
    }

    #[test]
    fn every_prefix_is_truncated() {
        let bytes = Ident::new(ENCODINGS[0]).to_bytes();
        for len in 0..SIZE {
            assert_eq!(
                Ident::parse(&bytes[..len]),
                Err(Error::Truncated {
                    what: "ELF identification",
                    offset: 0,
                    needed: 16,
                    available: len as u64
                })
            );
        }
    }

    #[test]
    fn magic_class_order_and_version_are_checked() {
        let good = Ident::new(ENCODINGS[2]).to_bytes();
        let with = |at: usize, value| {
            let mut bytes = good;
            bytes[at] = value;
            Ident::parse(&bytes)
        };
        assert_eq!(
            with(1, b'e'),
            Err(Error::BadMagic {
                what: "ELF magic",
                offset: 0,
                found: 0x7f65_4c46,
                expected: 0x7f45_4c46
            })
        );
        for (at, field) in [(4, &CLASS), (5, &DATA), (6, &IDENT_VERSION)] {
            for value in [0, 3, 255] {
                let offset = at as u64;
                let error = Error::BadField {
                    field,
                    offset,
                    value: value.into(),
                };
                assert_eq!(with(at, value), Err(error));
            }
        }
    }
}
