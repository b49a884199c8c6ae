//! The codes of the setup header: protocol versions, flags, boot loaders.
//!
//! Source: Linux `Documentation/arch/x86/boot.rst`; `arch/x86/include/uapi/asm/bootparam.h`.

use core::fmt;

/// `version`: the boot protocol, major in the high byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

macro_rules! protocols {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        impl Protocol {
            $($(#[$doc])* pub const $name: Self = Self($value);)*
        }
    };
}

protocols! {
    /// Linux 1.3.73: bzImage and initrd.
    V2_00 = 0x200,
    /// Linux 1.3.76: `heap_end_ptr`.
    V2_01 = 0x201,
    /// Linux 2.4.0-test3: `cmd_line_ptr`.
    V2_02 = 0x202,
    /// Linux 2.4.18: `initrd_addr_max`.
    V2_03 = 0x203,
    /// Linux 2.6.14: four bytes of `syssize`.
    V2_04 = 0x204,
    /// Linux 2.6.20: relocatable kernels.
    V2_05 = 0x205,
    /// Linux 2.6.22: `cmdline_size`.
    V2_06 = 0x206,
    /// Linux 2.6.24: paravirtualisation.
    V2_07 = 0x207,
    /// Linux 2.6.26: the checksum and the payload's place.
    V2_08 = 0x208,
    /// Linux 2.6.26: `setup_data`.
    V2_09 = 0x209,
    /// Linux 2.6.31: `pref_address`, `init_size`, `min_alignment`.
    V2_10 = 0x20a,
    /// Linux 3.6: the EFI hand-over.
    V2_11 = 0x20b,
    /// Linux 3.8: `xloadflags`, and fields for what lies above 4 GiB.
    V2_12 = 0x20c,
    /// Linux 3.14: more `xloadflags`.
    V2_13 = 0x20d,
    /// Given to a development kernel by mistake; like 2.13.
    V2_14 = 0x20e,
    /// Linux 5.5: `kernel_info`.
    V2_15 = 0x20f,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [minor, major] = self.0.to_le_bytes();
        write!(f, "{major}.{minor:02}")
    }
}

bitflags::bitflags! {
    /// `loadflags`; unknown bits survive.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct LoadFlags: u8 {
        /// `LOADED_HIGH`: the protected-mode code belongs at 1 MiB (bzImage), not at 64 KiB (zImage).
        const LOADED_HIGH = 1 << 0;
        /// `KASLR_FLAG`: between the parts of the kernel; the address was randomised.
        const KASLR = 1 << 1;
        /// `QUIET_FLAG`: no early messages.
        const QUIET = 1 << 5;
        /// `KEEP_SEGMENTS`, obsolete: the 32-bit entry shall not load segment registers.
        const KEEP_SEGMENTS = 1 << 6;
        /// `CAN_USE_HEAP`: `heap_end_ptr` is valid.
        const CAN_USE_HEAP = 1 << 7;
        const _ = !0;
    }

    /// `xloadflags`, protocol 2.12 and later; unknown bits survive.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct XLoadFlags: u16 {
        /// `XLF_KERNEL_64`: there is a 64-bit entry.
        const KERNEL_64 = 1 << 0;
        /// `XLF_CAN_BE_LOADED_ABOVE_4G`: kernel, parameters, command line and initrd may be.
        const CAN_BE_LOADED_ABOVE_4G = 1 << 1;
        /// `XLF_EFI_HANDOVER_32`: the EFI hand-over of 32-bit firmware.
        const EFI_HANDOVER_32 = 1 << 2;
        /// `XLF_EFI_HANDOVER_64`: that of 64-bit firmware.
        const EFI_HANDOVER_64 = 1 << 3;
        /// `XLF_EFI_KEXEC`: kexec with EFI runtime services.
        const EFI_KEXEC = 1 << 4;
        /// `XLF_5LEVEL`: can run with five levels of page tables.
        const FIVE_LEVEL = 1 << 5;
        /// `XLF_5LEVEL_ENABLED`: will use them where the machine has them.
        const FIVE_LEVEL_ENABLED = 1 << 6;
        /// `XLF_MEM_ENCRYPTION`: may be handed encrypted memory.
        const MEM_ENCRYPTION = 1 << 7;
        const _ = !0;
    }
}

/// Who loaded the kernel: `type_of_loader`, `ext_loader_type` and `ext_loader_ver`, put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Loader {
    /// The registered number; 0x10 and above are extended ones. 0xf stands for all unregistered.
    pub id: u16,
    /// The loader's own version, in twelve bits.
    pub version: u16,
}

impl Loader {
    /// In `type_of_loader`: the number is in `ext_loader_type`, 0x10 less.
    const EXTENDED: u8 = 0xe;

    /// Puts the three fields together.
    #[must_use]
    pub const fn from_fields(type_of_loader: u8, ext_type: u8, ext_version: u8) -> Self {
        let id = match type_of_loader >> 4 {
            // A byte beside a constant.
            Self::EXTENDED => (ext_type as u16).saturating_add(0x10),
            id => id as u16,
        };
        Self {
            id,
            version: (type_of_loader & 0xf) as u16 | (ext_version as u16) << 4,
        }
    }

    /// The registered name; `None` for a number without one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.id {
            0x0 => "LILO",
            0x1 => "Loadlin",
            0x2 => "bootsect-loader",
            0x3 => "Syslinux",
            0x4 => "Etherboot/gPXE/iPXE",
            0x5 => "ELILO",
            0x7 => "GRUB",
            0x8 => "U-Boot",
            0x9 => "Xen",
            0xa => "Gujin",
            0xb => "Qemu",
            0xc => "Arcturus Networks uCbootloader",
            0xd => "kexec-tools",
            0xf => "Special",
            0x11 => "Minimal Linux Bootloader",
            0x12 => "OVMF UEFI virtualization stack",
            0x13 => "barebox",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn versions_print_with_two_digits_behind_the_point() {
        assert_eq!(Protocol::V2_00.to_string(), "2.00");
        assert_eq!(Protocol::V2_15.to_string(), "2.15");
        assert_eq!(Protocol(0x1234).to_string(), "18.52");
    }

    #[test]
    fn unknown_bits_survive() {
        assert_eq!(LoadFlags::from_bits_retain(0x1c).bits(), 0x1c);
        assert_eq!(XLoadFlags::from_bits_retain(0xff00).bits(), 0xff00);
    }

    #[test]
    fn extended_loaders_begin_at_0x10() {
        let qemu = Loader::from_fields(0xb0, 0, 0);
        assert_eq!((qemu.name(), qemu.version), (Some("Qemu"), 0));
        let ovmf = Loader::from_fields(0xe1, 2, 0x23);
        assert_eq!(
            ovmf,
            Loader {
                id: 0x12,
                version: 0x231
            }
        );
        assert_eq!(Loader::from_fields(0xe0, 0xff, 0).id, 0x10f);
        assert_eq!(Loader::from_fields(0x60, 0, 0).name(), None);
    }
}
