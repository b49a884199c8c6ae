//! `struct setup_header`: what an x86 kernel says about itself, and where a boot loader answers.
//!
//! ```text
//!  1f1 setup_sects    1            228 cmd_line_ptr          4  2.02
//!  1f2 root_flags     2            22c initrd_addr_max       4  2.03
//!  1f4 syssize        4 (2 < 2.04) 230 kernel_alignment      4  2.05
//!  1f8 ram_size       2            234 relocatable_kernel    1  2.05
//!  1fa vid_mode       2            235 min_alignment         1  2.10
//!  1fc root_dev       2            236 xloadflags            2  2.12
//!  1fe boot_flag      2  aa55      238 cmdline_size          4  2.06
//!  200 jump           2  eb, len   23c hardware_subarch      4  2.07
//!  202 header         4  "HdrS"    240 hardware_subarch_data 8  2.07
//!  206 version        2            248 payload_offset        4  2.08
//!  208 realmode_swtch 4            24c payload_length        4  2.08
//!  20c start_sys_seg  2            250 setup_data            8  2.09
//!  20e kernel_version 2            258 pref_address          8  2.10
//!  210 type_of_loader 1            260 init_size             4  2.10
//!  211 loadflags      1            264 handover_offset       4  2.11
//!  212 setup_move_size 2           268 kernel_info_offset    4  2.15
//!  214 code32_start   4
//!  218 ramdisk_image  4            The header ends at 202 + len: a field is there
//!  21c ramdisk_size   4            if the protocol has it and the header reaches
//!  220 bootsect_kludge 4           over it. All numbers are little-endian.
//!  224 heap_end_ptr   2  2.01
//!  226 ext_loader_ver 1  2.02
//!  227 ext_loader_type 1 2.02
//! ```
//!
//! Source: Linux `Documentation/arch/x86/boot.rst`; `struct setup_header` in
//! `arch/x86/include/uapi/asm/bootparam.h`.

#![deny(clippy::arithmetic_side_effects)]

use core::{fmt, mem::offset_of};

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use super::protocol::{LoadFlags, Loader, Protocol, XLoadFlags};
use crate::error::{Error, Field, Result};

/// Where the header starts: in the file, and in `struct boot_params`.
pub const START: usize = 0x1f1;
/// The least a file has: the boot sector and one of setup code.
pub const MIN_FILE: usize = 1024;
/// Where `struct boot_params` goes on behind the header (`edd_mbr_sig_buffer`): no header is longer.
pub const MAX_END: usize = 0x290;

/// Bytes of a sector.
pub(super) const SECTOR: u64 = 512;
/// `setup_sects` when the field is 0: what boot sectors had room for before there was one.
const DEFAULT_SETUP_SECTS: u8 = 4;
pub(crate) const BOOT_FLAG: u16 = 0xaa55;
pub(crate) const HDRS: u32 = u32::from_le_bytes(*b"HdrS");
/// `jmp rel8`
const JUMP: u8 = 0xeb;
/// Where the displacement of the jump counts from.
const JUMP_BASE: usize = 0x202;
/// `initrd_addr_max` before 2.03.
const OLD_INITRD_ADDR_MAX: u32 = 0x37ff_ffff;
/// `cmdline_size` before 2.06.
const OLD_CMDLINE_SIZE: u32 = 255;
/// From the boot sector to the setup code, the 16-bit entry.
const ENTRY_16: u32 = 0x200;
/// From the start of the protected-mode code to the 32-bit entry.
const ENTRY_32: u32 = 0;
/// From the start of the protected-mode code to the 64-bit entry.
const ENTRY_64: u32 = 0x200;

const JUMP_OPCODE: Field = Field {
    name: "jump",
    allowed: "0xeb",
};
const JUMP_LENGTH: Field = Field {
    name: "jump displacement",
    allowed: "0x22 to 0x8e, to the end of the header",
};
const VERSION: Field = Field {
    name: "version",
    allowed: "0x200 and above",
};
/// A file up to the end of its `struct setup_header`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Wire {
    boot_sector: [u8; START],
    pub(crate) setup_sects: u8,
    pub(crate) root_flags: U16,
    pub(crate) syssize: U32,
    pub(crate) ram_size: U16,
    pub(crate) vid_mode: U16,
    pub(crate) root_dev: U16,
    pub(crate) boot_flag: U16,
    pub(crate) jump: [u8; 2],
    pub(crate) header: U32,
    pub(crate) version: U16,
    pub(crate) realmode_swtch: U32,
    pub(crate) start_sys_seg: U16,
    pub(crate) kernel_version: U16,
    pub(crate) type_of_loader: u8,
    pub(crate) loadflags: u8,
    pub(crate) setup_move_size: U16,
    pub(crate) code32_start: U32,
    pub(crate) ramdisk_image: U32,
    pub(crate) ramdisk_size: U32,
    pub(crate) bootsect_kludge: U32,
    pub(crate) heap_end_ptr: U16,
    pub(crate) ext_loader_ver: u8,
    pub(crate) ext_loader_type: u8,
    pub(crate) cmd_line_ptr: U32,
    pub(crate) initrd_addr_max: U32,
    pub(crate) kernel_alignment: U32,
    pub(crate) relocatable_kernel: u8,
    pub(crate) min_alignment: u8,
    pub(crate) xloadflags: U16,
    pub(crate) cmdline_size: U32,
    pub(crate) hardware_subarch: U32,
    pub(crate) hardware_subarch_data: U64,
    pub(crate) payload_offset: U32,
    pub(crate) payload_length: U32,
    pub(crate) setup_data: U64,
    pub(crate) pref_address: U64,
    pub(crate) init_size: U32,
    pub(crate) handover_offset: U32,
    pub(crate) kernel_info_offset: U32,
}

const _: () = assert!(size_of::<Wire>() == 0x26c);
const _: () = assert!(offset_of!(Wire, boot_flag) == 0x1fe);
const _: () = assert!(offset_of!(Wire, heap_end_ptr) == MIN_END);

/// Where the header of protocol 2.00 ends.
const MIN_END: usize = 0x224;

/// Where a field is in the file.
macro_rules! offset {
    ($field:ident) => {
        core::mem::offset_of!($crate::bzimage::header::Wire, $field) as u64
    };
}
pub(crate) use offset;

/// Where the jump's displacement is.
const JUMP_AT: u64 = 0x201;

/// A setup header whose signatures, version and length hold.
#[derive(Clone, Copy)]
pub struct Header<'a> {
    wire: &'a Wire,
    bytes: &'a [u8],
    end: usize,
}

macro_rules! always {
    ($($(#[$doc:meta])* $name:ident: $int:ty;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> $int {
            self.wire.$name.into()
        })*
    };
}

macro_rules! since {
    ($($since:ident $(#[$doc:meta])* $name:ident: $int:ty;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> Option<$int> {
            self.has(Protocol::$since, offset_of!(Wire, $name), size_of::<$int>())
                .then(|| self.wire.$name.into())
        })*
    };
}

impl<'a> Header<'a> {
    /// Reads the header of a file, or of a `struct boot_params` that holds one; the first
    /// [`MIN_FILE`] bytes will do.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`MIN_FILE`] bytes; [`Error::BadMagic`] without `0xaa55` or
    /// `HdrS`; [`Error::BadField`] for a version before 2.00, and for a jump that is none or does not
    /// lead to where a header can end.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let truncated = Error::Truncated {
            what: "bzImage",
            offset: 0,
            needed: MIN_FILE as u64,
            available: bytes.len() as u64,
        };
        if bytes.len() < MIN_FILE {
            return Err(truncated);
        }
        let (wire, _) = Wire::ref_from_prefix(bytes).map_err(|_| truncated)?;
        magic(
            "boot_flag",
            offset!(boot_flag),
            wire.boot_flag.into(),
            BOOT_FLAG.into(),
        )?;
        magic("header", offset!(header), wire.header.into(), HDRS.into())?;
        if wire.version.get() < Protocol::V2_00.0 {
            return Err(Error::BadField {
                field: &VERSION,
                offset: offset!(version),
                value: wire.version.get().into(),
            });
        }
        let [opcode, displacement] = wire.jump;
        if opcode != JUMP {
            return Err(Error::BadField {
                field: &JUMP_OPCODE,
                offset: offset!(jump),
                value: opcode.into(),
            });
        }
        // A byte beside a constant.
        let end = JUMP_BASE.saturating_add(displacement.into());
        match bytes.get(START..end) {
            Some(bytes) if (MIN_END..=MAX_END).contains(&end) => Ok(Self { wire, bytes, end }),
            _ => Err(Error::BadField {
                field: &JUMP_LENGTH,
                offset: JUMP_AT,
                value: displacement.into(),
            }),
        }
    }

    /// The header as it stands in the file, from [`START`] to its end by the jump: what a boot loader
    /// copies into `struct boot_params`.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A field is there if the protocol has it, and if the header reaches over it.
    fn has(&self, since: Protocol, offset: usize, size: usize) -> bool {
        // Two constants, far below a usize's end.
        self.protocol() >= since && offset.saturating_add(size) <= self.end
    }

    /// The version of the boot protocol. One above 2.15 is read as 2.15.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        Protocol(self.wire.version.get())
    }

    always! {
        /// Sectors of setup code, as found: 0 stands for 4.
        setup_sects: u8;
        /// `root_flags`: mount the root file system read-only, unless 0.
        root_flags: u16;
        /// `ram_size`, obsolete.
        ram_size: u16;
        /// `vid_mode`: 0xffff normal, 0xfffe extended, 0xfffd ask; a loader fills it.
        vid_mode: u16;
        /// `root_dev`: major and minor of the root device.
        root_dev: u16;
        /// `realmode_swtch`: real-mode far pointer, called before protected mode.
        realmode_swtch: u32;
        /// `start_sys_seg`: the low load segment, obsolete.
        start_sys_seg: u16;
        /// `kernel_version`: where the version string is, less 0x200; 0 for none.
        kernel_version: u16;
        /// `type_of_loader`: a loader's number and version; see [`loader`](Self::loader).
        type_of_loader: u8;
        /// `setup_move_size`: for protocols 2.00 and 2.01, bytes of real-mode code to move.
        setup_move_size: u16;
        /// `code32_start`: where the setup code jumps to, and where a kernel is loaded by default; see
        /// [`entry_32`](Self::entry_32).
        code32_start: u32;
        /// `ramdisk_image`: low 32 bits of the initrd's address; a loader fills it.
        ramdisk_image: u32;
        /// `ramdisk_size`: low 32 bits of the initrd's size; a loader fills it.
        ramdisk_size: u32;
        /// `bootsect_kludge`, obsolete.
        bootsect_kludge: u32;
    }

    since! {
        V2_01
        /// `heap_end_ptr`: end of the real-mode heap, less 0x200; a loader fills it.
        heap_end_ptr: u16;
        V2_02
        /// `cmd_line_ptr`: low 32 bits of the command line's address; a loader fills it.
        cmd_line_ptr: u32;
        V2_05
        /// `kernel_alignment`: of a relocatable kernel's address, in bytes; as found.
        kernel_alignment: u32;
        V2_10
        /// `min_alignment`: the least alignment that will do, as an exponent of two.
        min_alignment: u8;
        V2_07
        /// `hardware_subarch`: 0 PC, 1 lguest, 2 Xen, 3 Intel MID, 4 CE4100.
        hardware_subarch: u32;
        V2_07
        /// `hardware_subarch_data`
        hardware_subarch_data: u64;
        V2_08
        /// `payload_offset`: from the start of the protected-mode code.
        payload_offset: u32;
        V2_08
        /// `payload_length`, in bytes; 0 for no payload.
        payload_length: u32;
        V2_09
        /// `setup_data`: physical address of the first node of a list; 0 for none.
        setup_data: u64;
        V2_10
        /// `pref_address`: where the kernel would best be loaded.
        pref_address: u64;
        V2_10
        /// `init_size`: bytes the kernel needs from where it runs, before it knows of memory.
        init_size: u32;
        V2_11
        /// `handover_offset`, as found; see [`handover`](Self::handover).
        handover_offset: u32;
        V2_15
        /// `kernel_info_offset`: from the start of the protected-mode code.
        kernel_info_offset: u32;
    }

    /// Bytes of the boot sector and the setup code; the protected-mode code follows.
    #[must_use]
    pub fn setup_len(&self) -> u64 {
        let sectors = match self.wire.setup_sects {
            0 => DEFAULT_SETUP_SECTS,
            sectors => sectors,
        };
        // A byte's worth of sectors.
        u64::from(sectors).saturating_add(1).saturating_mul(SECTOR)
    }

    /// `syssize`: the protected-mode code in units of 16 bytes, rounded up.
    ///
    /// Two bytes before 2.04, and not to be relied on there if the kernel is loaded high.
    #[must_use]
    pub fn syssize(&self) -> u32 {
        let syssize = self.wire.syssize.get();
        if self.protocol() < Protocol::V2_04 {
            syssize & 0xffff
        } else {
            syssize
        }
    }

    /// What the high half of `syssize` was before 2.00.
    pub(super) fn swap_dev(&self) -> u16 {
        let [_, _, low, high] = self.wire.syssize.to_bytes();
        u16::from_le_bytes([low, high])
    }

    /// `loadflags`
    #[must_use]
    pub fn loadflags(&self) -> LoadFlags {
        LoadFlags::from_bits_retain(self.wire.loadflags)
    }

    /// `xloadflags`; none before 2.12.
    #[must_use]
    pub fn xloadflags(&self) -> XLoadFlags {
        let there = self.has(
            Protocol::V2_12,
            offset_of!(Wire, xloadflags),
            size_of::<U16>(),
        );
        XLoadFlags::from_bits_retain(if there { self.wire.xloadflags.get() } else { 0 })
    }

    /// Whether there is a place for loaders whose numbers four bits do not hold.
    pub(crate) fn has_ext_loader(&self) -> bool {
        self.has(
            Protocol::V2_02,
            offset_of!(Wire, ext_loader_ver),
            size_of::<[u8; 2]>(),
        )
    }

    /// Who loaded the kernel; a loader fills the fields.
    #[must_use]
    pub fn loader(&self) -> Loader {
        if self.has_ext_loader() {
            let (kind, version) = (self.wire.ext_loader_type, self.wire.ext_loader_ver);
            Loader::from_fields(self.wire.type_of_loader, kind, version)
        } else {
            Loader::from_fields(self.wire.type_of_loader, 0, 0)
        }
    }

    /// `initrd_addr_max`: the last address an initrd may have; 0x37ffffff before 2.03.
    #[must_use]
    pub fn initrd_addr_max(&self) -> u32 {
        if self.has(
            Protocol::V2_03,
            offset_of!(Wire, initrd_addr_max),
            size_of::<U32>(),
        ) {
            self.wire.initrd_addr_max.into()
        } else {
            OLD_INITRD_ADDR_MAX
        }
    }

    /// `cmdline_size`: most bytes of the command line, its NUL not counted; 255 before 2.06.
    #[must_use]
    pub fn cmdline_size(&self) -> u32 {
        if self.has(
            Protocol::V2_06,
            offset_of!(Wire, cmdline_size),
            size_of::<U32>(),
        ) {
            self.wire.cmdline_size.into()
        } else {
            OLD_CMDLINE_SIZE
        }
    }

    /// `relocatable_kernel`: may be loaded at any multiple of its alignment; not before 2.05.
    #[must_use]
    pub fn relocatable(&self) -> bool {
        self.has(
            Protocol::V2_05,
            offset_of!(Wire, relocatable_kernel),
            size_of::<u8>(),
        ) && self.wire.relocatable_kernel != 0
    }

    /// From where the boot sector and the setup code are loaded to the 16-bit entry.
    ///
    /// Loaded at `segment:0`, they are entered at `segment + 0x20:0`, and find `segment` in all segment
    /// registers but `cs`.
    #[must_use]
    pub const fn entry_16(&self) -> u32 {
        ENTRY_16
    }

    /// From where the protected-mode code is loaded to its 32-bit entry.
    ///
    /// It is entered where it is loaded, wherever that is: [`code32_start`](Self::code32_start) is for the setup
    /// code, which jumps there, and is to be set when a kernel that starts with its 16-bit entry is
    /// loaded elsewhere.
    #[must_use]
    pub const fn entry_32(&self) -> u32 {
        ENTRY_32
    }

    /// From where the protected-mode code is loaded to its 64-bit entry; `None` without one.
    #[must_use]
    pub fn entry_64(&self) -> Option<u32> {
        self.xloadflags()
            .contains(XLoadFlags::KERNEL_64)
            .then_some(ENTRY_64)
    }

    /// From where the protected-mode code is loaded to the entry of the EFI hand-over, deprecated:
    /// for 32-bit firmware, and for 64-bit firmware. `None` where there is none.
    #[must_use]
    pub fn handover(&self) -> (Option<u64>, Option<u64>) {
        let offset = self.handover_offset().unwrap_or(0);
        let entry = |flag, more: u32| {
            (offset != 0 && self.xloadflags().contains(flag))
                // Two 32-bit numbers.
                .then(|| u64::from(offset).saturating_add(more.into()))
        };
        (
            entry(XLoadFlags::EFI_HANDOVER_32, 0),
            entry(XLoadFlags::EFI_HANDOVER_64, ENTRY_64),
        )
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("protocol", &self.protocol())
            .field("bytes", &self.bytes)
            .finish()
    }
}

pub(crate) fn magic(what: &'static str, offset: u64, found: u64, expected: u64) -> Result<()> {
    if found == expected {
        Ok(())
    } else {
        Err(Error::BadMagic {
            what,
            offset,
            found,
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;

    /// Each byte counts its place; signatures, version and length as asked for.
    fn counting(version: u16, displacement: u8) -> Vec<u8> {
        let mut file: Vec<u8> = (0..MIN_FILE).map(|at| at as u8).collect();
        file[0x1fe..0x206].copy_from_slice(&[
            0x55,
            0xaa,
            0xeb,
            displacement,
            b'H',
            b'd',
            b'r',
            b'S',
        ]);
        file[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        file
    }

    #[test]
    fn every_field_is_where_the_protocol_says() {
        let file = counting(0x20f, 0x6a);
        let header = Header::parse(&file).unwrap();
        assert_eq!(header.bytes(), &file[0x1f1..0x26c]);
        assert_eq!(header.setup_sects(), 0xf1);
        assert_eq!(header.setup_len(), 0xf2 * 512);
        assert_eq!(header.root_flags(), 0xf3f2);
        assert_eq!(header.syssize(), 0xf7f6_f5f4);
        assert_eq!(header.ram_size(), 0xf9f8);
        assert_eq!(header.vid_mode(), 0xfbfa);
        assert_eq!(header.root_dev(), 0xfdfc);
        assert_eq!(header.realmode_swtch(), 0x0b0a_0908);
        assert_eq!(header.start_sys_seg(), 0x0d0c);
        assert_eq!(header.kernel_version(), 0x0f0e);
        assert_eq!(header.type_of_loader(), 0x10);
        assert_eq!(header.loadflags().bits(), 0x11);
        assert_eq!(header.setup_move_size(), 0x1312);
        assert_eq!(header.code32_start(), 0x1716_1514);
        assert_eq!(header.ramdisk_image(), 0x1b1a_1918);
        assert_eq!(header.ramdisk_size(), 0x1f1e_1d1c);
        assert_eq!(header.bootsect_kludge(), 0x2322_2120);
        assert_eq!(header.heap_end_ptr(), Some(0x2524));
        assert_eq!(header.loader(), Loader::from_fields(0x10, 0x27, 0x26));
        assert_eq!(header.cmd_line_ptr(), Some(0x2b2a_2928));
        assert_eq!(header.initrd_addr_max(), 0x2f2e_2d2c);
        assert_eq!(header.kernel_alignment(), Some(0x3332_3130));
        assert!(header.relocatable());
        assert_eq!(header.min_alignment(), Some(0x35));
        assert_eq!(header.xloadflags().bits(), 0x3736);
        assert_eq!(header.cmdline_size(), 0x3b3a_3938);
        assert_eq!(header.hardware_subarch(), Some(0x3f3e_3d3c));
        assert_eq!(header.hardware_subarch_data(), Some(0x4746_4544_4342_4140));
        assert_eq!(header.payload_offset(), Some(0x4b4a_4948));
        assert_eq!(header.payload_length(), Some(0x4f4e_4d4c));
        assert_eq!(header.setup_data(), Some(0x5756_5554_5352_5150));
        assert_eq!(header.pref_address(), Some(0x5f5e_5d5c_5b5a_5958));
        assert_eq!(header.init_size(), Some(0x6362_6160));
        assert_eq!(header.handover_offset(), Some(0x6766_6564));
        assert_eq!(header.kernel_info_offset(), Some(0x6b6a_6968));
        assert_eq!((header.entry_16(), header.entry_32()), (0x200, 0));
        assert_eq!(header.entry_64(), None);
        assert_eq!(header.handover(), (Some(0x6766_6564), None));
    }

    /// How many of the fields that not every protocol has are there.
    fn known(version: u16, displacement: u8) -> usize {
        let file = counting(version, displacement);
        let header = Header::parse(&file).unwrap();
        let options = [
            header.heap_end_ptr().is_some(),
            header.loader().version > 0xf,
            header.cmd_line_ptr().is_some(),
            header.initrd_addr_max() != OLD_INITRD_ADDR_MAX,
            header.syssize() > 0xffff,
            header.kernel_alignment().is_some(),
            header.relocatable(),
            header.cmdline_size() != OLD_CMDLINE_SIZE,
            header.hardware_subarch().is_some(),
            header.hardware_subarch_data().is_some(),
            header.payload_offset().is_some(),
            header.payload_length().is_some(),
            header.setup_data().is_some(),
            header.pref_address().is_some(),
            header.init_size().is_some(),
            header.min_alignment().is_some(),
            header.handover_offset().is_some(),
            !header.xloadflags().is_empty(),
            header.kernel_info_offset().is_some(),
        ];
        options.into_iter().filter(|known| *known).count()
    }

    #[test]
    fn a_field_needs_its_protocol_and_a_header_that_long() {
        let by_version = [0, 1, 3, 4, 5, 7, 8, 10, 12, 13, 16, 17, 18, 18, 18, 19, 19];
        for (minor, fields) in by_version.into_iter().enumerate() {
            assert_eq!(known(0x200 + minor as u16, 0x6a), fields, "2.{minor:02}");
        }
        // One byte less, and the last field is not there; `syssize` is in front of all of them.
        for (displacement, fields) in [(0x6a, 19), (0x69, 18), (0x65, 17), (0x33, 7), (0x22, 1)] {
            assert_eq!(known(0x20f, displacement), fields, "{displacement:#x}");
        }
    }

    #[test]
    fn signatures_version_and_jump() {
        let check = |at: usize, value: u8, text: &str| {
            let mut file = counting(0x20f, 0x6a);
            file[at] = value;
            assert_eq!(Header::parse(&file).unwrap_err().to_string(), text);
        };
        check(0x1fe, 0, "offset 0x1fe: boot_flag is 0xaa00, not 0xaa55");
        check(
            0x205,
            b's',
            "offset 0x202: header is 0x73726448, not 0x53726448",
        );
        check(
            0x207,
            1,
            "offset 0x206: version is 0x10f, allowed: 0x200 and above",
        );
        check(0x200, 0xe9, "offset 0x200: jump is 0xe9, allowed: 0xeb");
        let jump = "allowed: 0x22 to 0x8e, to the end of the header";
        check(
            0x201,
            0x21,
            &std::format!("offset 0x201: jump displacement is 0x21, {jump}"),
        );
        check(
            0x201,
            0x8f,
            &std::format!("offset 0x201: jump displacement is 0x8f, {jump}"),
        );
        let longest = counting(0x20f, 0x8e);
        assert_eq!(
            Header::parse(&longest).unwrap().bytes().len(),
            MAX_END - START
        );
    }

    #[test]
    fn every_prefix_is_too_short() {
        let file = counting(0x20f, 0x6a);
        for len in 0..MIN_FILE {
            let available = len as u64;
            let expected = Error::Truncated {
                what: "bzImage",
                offset: 0,
                needed: 1024,
                available,
            };
            assert_eq!(Header::parse(&file[..len]).unwrap_err(), expected);
        }
    }

    #[test]
    fn no_sectors_are_four() {
        let mut file = vec![0; MIN_FILE];
        file[START..].copy_from_slice(&counting(0x200, 0x22)[START..]);
        file[0x1f1] = 0;
        let header = Header::parse(&file).unwrap();
        assert_eq!((header.setup_sects(), header.setup_len()), (0, 2560));
    }
}
