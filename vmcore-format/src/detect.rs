//! What a file of memory is, by its first bytes.
//!
//! ```text
//!  0        ELF · KDUMP · DISKDUMP · makedumpfile · LKCD · s390 · VMware · QEMU · Xen · LiME · AVML · Windows
//!  0, 4096  sadump        4096  z/VM
//! ```
//!
//! Sources: for what crash opens, the magic numbers of its headers (`diskdump.h`, `sadump.h`, `xendump.h`,
//! `vmware_vmss.h`, `lkcd_*.h`) and libkdumpfile's; s390-tools `zdump/` for s390 and z/VM; Xen's
//! `docs/misc/dump-core-format.txt`; QEMU `migration/savevm.h`; libvirt `qemu_saveimage.h`; LiME
//! `doc/README`; AVML `src/image.rs`; Windows `DUMP_HEADER` as volatility3 and QEMU's `win_dump` have it.
//!
//! netdump and MCLX wrote ELF cores and LKCD dumps: they are detected as such.

use core::fmt;

use elf_format::{FileType, Header};

use crate::{ReadAt, flattened};

/// A container of memory. [`Format::is_read`] says which ones this version reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// An ELF file: /proc/vmcore, QEMU, `makedumpfile -E`, /proc/kcore, netdump.
    Elf,
    /// A compressed kdump.
    Kdump,
    /// Its older form, as diskdump wrote it.
    Diskdump,
    /// Any of them as a stream, [`crate::Flattened`]: what it holds is told by asking again about that.
    Flattened,
    /// Linux Kernel Crash Dump, of either byte order.
    Lkcd,
    /// Fujitsu's stand-alone dump: one partition, a set of disks, or on media.
    Sadump,
    /// VMware's suspended state or snapshot (`.vmss`, `.vmsn`).
    Vmware,
    /// An ELF file by `xl dump-core`, whose memory is in sections.
    XenElf,
    /// Xen's dump before it was ELF (`xc_core`).
    XenCore,
    /// A domain saved by Xen's first tools (`xc_save`).
    XenSave,
    /// A stand-alone dump of s390.
    S390,
    /// z/VM's VMDUMP.
    Vmdump,
    /// A guest saved by QEMU (`savevm`, migration to a file).
    QemuSave,
    /// The same with libvirt's header in front.
    LibvirtSave,
    /// Linux Memory Extractor.
    Lime,
    /// Microsoft's Acquire Volatile Memory for Linux, compressed.
    Avml,
    /// A Windows crash dump.
    Windows,
}

impl Format {
    /// What it is, with an article.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Elf => "an ELF file",
            Self::Kdump => "a compressed kdump",
            Self::Diskdump => "a diskdump",
            Self::Flattened => "a flattened dump",
            Self::Lkcd => "an LKCD dump",
            Self::Sadump => "an sadump dump",
            Self::Vmware => "a VMware saved state",
            Self::XenElf => "a Xen dump-core file",
            Self::XenCore => "an old Xen dump-core file",
            Self::XenSave => "a saved Xen domain",
            Self::S390 => "an s390 stand-alone dump",
            Self::Vmdump => "a z/VM dump",
            Self::QemuSave => "a saved QEMU guest",
            Self::LibvirtSave => "a guest saved by libvirt",
            Self::Lime => "a LiME image",
            Self::Avml => "an AVML image",
            Self::Windows => "a Windows crash dump",
        }
    }

    /// Whether this version reads it.
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::Elf | Self::Kdump | Self::Diskdump | Self::Flattened
        )
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a format has which bytes.
const MAGICS: [(u64, &[u8], Format); 27] = [
    (0, b"KDUMP   ", Format::Kdump),
    (0, b"DISKDUMP", Format::Diskdump),
    (0, &flattened::SIGNATURE, Format::Flattened),
    // DUMP_MAGIC_LKCD, in the order of the machine.
    (0, &LKCD.to_le_bytes(), Format::Lkcd),
    (0, &LKCD.to_be_bytes(), Format::Lkcd),
    // SADUMP_SIGNATURE1 and 2: the partition header comes first, or behind the media header.
    (0, b"sadump\0\0", Format::Sadump),
    (4096, b"sadump\0\0", Format::Sadump),
    // CPTDUMP_OLD_MAGIC_NUMBER, what volatility3 has instead, CPTDUMP_MAGIC_NUMBER, and those of partial,
    // restored and not to be restored ones.
    (0, &0xbed0_bed0_u32.to_le_bytes(), Format::Vmware),
    (0, &0xbed2_bed0_u32.to_le_bytes(), Format::Vmware),
    (0, &0xbed2_bed2_u32.to_le_bytes(), Format::Vmware),
    (0, &0xbed3_bed3_u32.to_le_bytes(), Format::Vmware),
    (0, &0xbad1_bad1_u32.to_le_bytes(), Format::Vmware),
    (0, &0xbad2_bad2_u32.to_le_bytes(), Format::Vmware),
    // XC_CORE_MAGIC and XC_CORE_MAGIC_HVM.
    (0, &0xf00f_ebed_u32.to_le_bytes(), Format::XenCore),
    (0, &0xf00f_ebed_u32.to_be_bytes(), Format::XenCore),
    (0, &0xf00f_ebee_u32.to_le_bytes(), Format::XenCore),
    (0, &0xf00f_ebee_u32.to_be_bytes(), Format::XenCore),
    (0, b"LinuxGuestRecord", Format::XenSave),
    // DUMP_MAGIC_S390.
    (0, &0xa819_0173_618f_23fd_u64.to_be_bytes(), Format::S390),
    // FMBK_MAGIC, "HCPDFMBK" in EBCDIC.
    (4096, b"\xc8\xc3\xd7\xc4\xc6\xd4\xc2\xd2", Format::Vmdump),
    (0, b"QEVM\0\0\0", Format::QemuSave),
    (0, b"LibvirtQemudSave", Format::LibvirtSave),
    (0, b"LibvirtQemudPart", Format::LibvirtSave),
    // LIME_MAGIC and version 1, AVML's and version 2.
    (0, b"EMiL\x01\0\0\0", Format::Lime),
    (0, b"AVML\x02\0\0\0", Format::Avml),
    (0, b"PAGEDU64", Format::Windows),
    (0, b"PAGEDUMP", Format::Windows),
];

const LKCD: u64 = 0xa819_0173_618f_23ed;

/// The longest magic.
const MAGIC_MAX: usize = 16;

/// The longest ELF header, ELF64's.
const ELF_HEADER_MAX: usize = 64;

/// What `source` is; `None` if nothing says so, as raw memory does not, or if its first bytes cannot be
/// read.
pub fn detect<S: ReadAt + ?Sized>(source: &S) -> Option<Format> {
    if begins_with(source, 0, b"\x7fELF") {
        let is_xen = is_xen(source).unwrap_or(false);
        return Some(if is_xen { Format::XenElf } else { Format::Elf });
    }
    let mut magics = MAGICS.iter();
    let found = magics.find(|(offset, magic, _)| begins_with(source, *offset, magic));
    found.map(|(_, _, format)| *format)
}

fn begins_with<S: ReadAt + ?Sized>(source: &S, offset: u64, magic: &[u8]) -> bool {
    let mut bytes = [0; MAGIC_MAX];
    let Some(bytes) = bytes.get_mut(..magic.len()) else {
        return false;
    };
    source.read_exact_at(offset, bytes).is_ok() && bytes == magic
}

/// A core without program headers whose memory must be in its sections.
fn is_xen<S: ReadAt + ?Sized>(source: &S) -> Option<bool> {
    let mut header = [0; ELF_HEADER_MAX];
    source.read_exact_at(0, &mut header).ok()?;
    let header = Header::parse(&header).ok()?;
    Some(header.file_type == FileType::CORE && header.phnum == 0 && header.shnum != 0)
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};
    use std::{fs, path::Path, string::ToString};

    use super::*;
    use crate::Flattened;

    #[test]
    fn each_magic_where_it_belongs_and_nowhere_else() {
        for (offset, magic, format) in MAGICS {
            let mut file = vec![0; 8192];
            let at = usize::try_from(offset).unwrap();
            file[at..at + magic.len()].copy_from_slice(magic);
            assert_eq!(detect(&file[..]), Some(format));
            assert_eq!(detect(&file[..at + magic.len()]), Some(format));
            assert_eq!(detect(&file[..at + magic.len() - 1]), None);
            file.insert(0, 0);
            assert_eq!(detect(&file[..]), None);
        }
        assert_eq!(detect(&[][..]), None);
    }

    #[test]
    fn an_elf_core_of_sections_is_xens() {
        let mut core = [0; 64];
        let mut set = |at: usize, bytes: &[u8]| core[at..at + bytes.len()].copy_from_slice(bytes);
        set(0, b"\x7fELF\x02\x01\x01");
        set(16, &[4, 0, 62, 0, 1]);
        set(52, &[64, 0, 56, 0, 0, 0, 64, 0, 7, 0, 1]);
        assert_eq!(detect(&core[..]), Some(Format::XenElf));
        assert_eq!(detect(&core[..63]), Some(Format::Elf));
        core[56] = 1;
        assert_eq!(detect(&core[..]), Some(Format::Elf));
    }

    #[test]
    fn real_dumps() {
        let form = |name: &str| -> Vec<u8> {
            let forms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/forms");
            fs::read(forms.join(name)).unwrap()
        };
        for name in ["elf", "small.elf"] {
            assert_eq!(detect(&form(name)[..]), Some(Format::Elf));
        }
        for name in ["lzo", "be32", "64k", "incomplete", "lzo.part3"] {
            assert_eq!(detect(&form(name)[..]), Some(Format::Kdump));
        }
        for (name, inside) in [("lzo.flat", Format::Kdump), ("elf.flat", Format::Elf)] {
            let file = form(name);
            assert_eq!(detect(&file[..]), Some(Format::Flattened));
            assert_eq!(detect(&Flattened::open(&file[..]).unwrap()), Some(inside));
        }
    }

    #[test]
    fn names() {
        assert_eq!(Format::Lkcd.to_string(), "an LKCD dump");
        assert!(Format::Flattened.is_read() && !Format::Vmdump.is_read());
    }
}
