//! The numbers of the interface: flags, architectures, call numbers, limits.
//!
//! ```text
//!  kexec_load(entry, nr_segments, segments, flags)
//!                                              31            16 15             0
//!                                             ┌────────────────┬────────────────┐
//!                                             │ architecture   │ LoadFlags      │
//!                                             └────────────────┴────────────────┘
//!  kexec_file_load(kernel_fd, initrd_fd, cmdline_len, cmdline, FileFlags)
//! ```
//!
//! Source: Linux `include/uapi/linux/kexec.h`; the flags a kernel accepts are `KEXEC_FLAGS` and
//! `KEXEC_FILE_FLAGS` in `include/linux/kexec.h`, its limits the `KEXEC_*_LIMIT` in
//! `arch/*/include/asm/kexec.h`.

use core::fmt;

use physmem::Width;

/// `KEXEC_SEGMENT_MAX` (`include/uapi/linux/kexec.h`): segments of one image.
pub const SEGMENT_MAX: usize = 16;

/// `KEXEC_FILE_SIZE_MAX` (`kernel/kexec_file.c`) of 64-bit kernels, in bytes: of the kernel and of
/// the initrd, each. 32-bit kernels stop at `SSIZE_MAX`, 2 GiB − 1.
pub const FILE_SIZE_MAX: u64 = 4 << 30;

/// `KEXEC_ARCH_MASK` (`include/uapi/linux/kexec.h`): where the flags hold an [`Arch`].
const ARCH_MASK: u64 = 0xffff_0000;
const ARCH_SHIFT: u32 = 16;

bitflags::bitflags! {
    /// `flags` of `kexec_load()`, without the architecture; unknown bits survive.
    ///
    /// To Xen's tools 0x4 is something else, `KEXEC_LIVE_UPDATE`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct LoadFlags: u64 {
        /// `KEXEC_ON_CRASH`: for the reserved memory, run after a panic.
        const ON_CRASH = 0x1;
        /// `KEXEC_PRESERVE_CONTEXT`: the new kernel may come back; pages are exchanged, not copied.
        const PRESERVE_CONTEXT = 0x2;
        /// `KEXEC_UPDATE_ELFCOREHDR`, Linux 6.6: the kernel may rewrite the core header on hotplug.
        const UPDATE_ELFCOREHDR = 0x4;
        /// `KEXEC_CRASH_HOTPLUG_SUPPORT`, Linux 6.10: likewise whatever else the architecture needs.
        const CRASH_HOTPLUG_SUPPORT = 0x8;
        /// `KEXEC_DEBUG`: the kernel says what it does. Newer than Linux 6.19.
        const DEBUG = 0x10;
        const _ = !0;
    }

    /// `flags` of `kexec_file_load()`; unknown bits survive.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct FileFlags: u64 {
        /// `KEXEC_FILE_UNLOAD`: forget the image that is loaded.
        const UNLOAD = 0x1;
        /// `KEXEC_FILE_ON_CRASH`: for the reserved memory, run after a panic.
        const ON_CRASH = 0x2;
        /// `KEXEC_FILE_NO_INITRAMFS`: `initrd_fd` means nothing.
        const NO_INITRAMFS = 0x4;
        /// `KEXEC_FILE_DEBUG`, Linux 6.8: the kernel says what it does.
        const DEBUG = 0x8;
        /// `KEXEC_FILE_NO_CMA`, Linux 6.17: segments not in contiguous memory at their destination.
        const NO_CMA = 0x10;
        /// `KEXEC_FILE_FORCE_DTB`: pass on the device tree even where ACPI is used.
        const FORCE_DTB = 0x20;
        const _ = !0;
    }
}

impl LoadFlags {
    /// Those that have a name here. Which of them a kernel knows depends on its version and configuration,
    /// but for [`ON_CRASH`](Self::ON_CRASH), which all know.
    pub const NAMED: Self = Self::ON_CRASH
        .union(Self::PRESERVE_CONTEXT)
        .union(Self::UPDATE_ELFCOREHDR)
        .union(Self::CRASH_HOTPLUG_SUPPORT)
        .union(Self::DEBUG);

    /// Splits the last argument of `kexec_load()`.
    #[must_use]
    pub const fn split(argument: u64) -> (Self, Arch) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the mask leaves sixteen bits"
        )]
        let arch = Arch(((argument & ARCH_MASK) >> ARCH_SHIFT) as u16);
        (Self::from_bits_retain(argument & !ARCH_MASK), arch)
    }

    /// The last argument of `kexec_load()`.
    #[must_use]
    pub const fn with_arch(self, arch: Arch) -> u64 {
        self.bits() & !ARCH_MASK | (arch.0 as u64) << ARCH_SHIFT
    }
}

/// An architecture, as ELF numbers machines; [`Arch::DEFAULT`] is the caller's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch(pub u16);

macro_rules! architectures {
    ($($(#[$doc:meta])* $constant:ident = $value:literal => $name:literal,)*) => {
        impl Arch {
            $($(#[$doc])* pub const $constant: Self = Self($value);)*

            /// What comes after `KEXEC_ARCH_`; `None` for a number without a name.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

architectures! {
    /// `KEXEC_ARCH_DEFAULT`
    DEFAULT = 0 => "DEFAULT",
    /// `KEXEC_ARCH_386`
    I386 = 3 => "386",
    /// `KEXEC_ARCH_68K`
    M68K = 4 => "68K",
    /// `KEXEC_ARCH_MIPS`
    MIPS = 8 => "MIPS",
    /// `KEXEC_ARCH_MIPS_LE`
    MIPS_LE = 10 => "MIPS_LE",
    /// `KEXEC_ARCH_PARISC`
    PARISC = 15 => "PARISC",
    /// `KEXEC_ARCH_PPC`
    PPC = 20 => "PPC",
    /// `KEXEC_ARCH_PPC64`
    PPC64 = 21 => "PPC64",
    /// `KEXEC_ARCH_S390`
    S390 = 22 => "S390",
    /// `KEXEC_ARCH_ARM`
    ARM = 40 => "ARM",
    /// `KEXEC_ARCH_SH`
    SH = 42 => "SH",
    /// `KEXEC_ARCH_IA_64`
    IA_64 = 50 => "IA_64",
    /// `KEXEC_ARCH_X86_64`
    X86_64 = 62 => "X86_64",
    /// `KEXEC_ARCH_CRIS`, in kexec-tools only (`kexec/kexec-syscall.h`).
    CRIS = 76 => "CRIS",
    /// `KEXEC_ARCH_AARCH64`
    AARCH64 = 183 => "AARCH64",
    /// `KEXEC_ARCH_RISCV`
    RISCV = 243 => "RISCV",
    /// `KEXEC_ARCH_LOONGARCH`
    LOONGARCH = 258 => "LOONGARCH",
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Arch {
    /// The words of its kernels. A number that kernels of either width have, such as `MIPS`, counts as that
    /// of 64 bits.
    #[must_use]
    pub const fn width(self) -> Width {
        match self {
            Self::I386 | Self::ARM | Self::PPC | Self::SH | Self::M68K | Self::CRIS => Width::U32,
            _ => Width::U64,
        }
    }
}

/// The call numbers of one system call table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyscallTable {
    /// Whose table it is, as Linux names its folders and files.
    pub name: &'static str,
    /// `__NR_kexec_load`
    pub kexec_load: u32,
    /// `__NR_kexec_file_load`, where there is one.
    pub kexec_file_load: Option<u32>,
}

/// The call numbers by table; sources: `asm/unistd*.h` as Linux installs them, and kexec-tools'
/// `kexec/kexec-syscall.h`.
///
/// ```
/// let x86_64 = kexec_format::uapi::SYSCALL_TABLES.iter().find(|table| table.name == "x86_64");
/// assert_eq!(x86_64.unwrap().kexec_load, 246);
/// ```
pub const SYSCALL_TABLES: &[SyscallTable] = &[
    // Bit 30 marks the calls of x32.
    table("x32", 0x4000_0000 + 528, Some(0x4000_0000 + 320)),
    table("x86_64", 246, Some(320)),
    table("i386", 283, None),
    table("arm", 347, Some(401)),
    // arm64, riscv, loongarch.
    table("asm-generic", 104, Some(294)),
    table("powerpc", 268, Some(382)),
    table("s390", 277, Some(381)),
    table("parisc", 300, Some(355)),
    table("mips-o32", 4311, None),
    table("mips-n64", 5270, None),
    table("mips-n32", 6274, None),
    table("m68k", 313, None),
    table("sh", 283, None),
    table("cris", 283, None),
    table("ia64", 1268, None),
    table("alpha", 448, None),
];

const fn table(name: &'static str, kexec_load: u32, kexec_file_load: Option<u32>) -> SyscallTable {
    SyscallTable {
        name,
        kexec_load,
        kexec_file_load,
    }
}

/// How high an architecture's kexec reaches. All of them physical addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// `KEXEC_SOURCE_MEMORY_LIMIT`: source pages lie at or below it.
    pub source: u64,
    /// `KEXEC_DESTINATION_MEMORY_LIMIT`: segments end below it.
    pub destination: u64,
    /// `KEXEC_CONTROL_MEMORY_LIMIT`: control pages lie below it.
    pub control: u64,
    /// `KEXEC_CRASH_CONTROL_MEMORY_LIMIT`: control pages of a crash image end at or below it.
    pub crash_control: u64,
    /// Where highmem starts: no page of entries lies at or above it. Only 32-bit kernels have
    /// highmem, and each machine's starts elsewhere.
    pub highmem: u64,
}

impl Limits {
    /// None that 64 bits do not set: arm64, riscv64, loongarch64, ppc64.
    pub const BITS_64: Self = Self {
        source: u64::MAX,
        destination: u64::MAX,
        control: u64::MAX,
        crash_control: u64::MAX,
        highmem: u64::MAX,
    };
    /// None that 32 bits do not set: arm, riscv32; without highmem.
    pub const BITS_32: Self = Self {
        source: 0xffff_ffff,
        destination: 0xffff_ffff,
        control: 0xffff_ffff,
        crash_control: 0xffff_ffff,
        highmem: u64::MAX,
    };
    /// x86-64 with four levels of page tables: all `MAXMEM - 1`, of 64 TiB.
    pub const X86_64: Self = Self::below((1 << 46) - 1);
    /// x86-64 with five levels: all `MAXMEM - 1`, of 4 PiB.
    pub const X86_64_LA57: Self = Self::below((1 << 52) - 1);
    /// i386 with three gigabytes for processes (`TASK_SIZE`), and without highmem.
    pub const I386: Self = Self {
        control: 0xc000_0000,
        crash_control: 0xc000_0000,
        ..Self::BITS_32
    };
    /// s390: control pages below 2 GiB, but for a crash image's.
    pub const S390: Self = Self {
        control: 1 << 31,
        ..Self::BITS_64
    };

    /// Those of an architecture whose words are of this width; `la57` is whether x86-64's page tables have
    /// five levels.
    #[must_use]
    pub const fn of(arch: Arch, width: Width, la57: bool) -> Self {
        match (arch, width) {
            (Arch::X86_64, _) if la57 => Self::X86_64_LA57,
            (Arch::X86_64, _) => Self::X86_64,
            (Arch::I386, _) => Self::I386,
            (Arch::S390, _) => Self::S390,
            (_, Width::U32) => Self::BITS_32,
            (_, Width::U64) => Self::BITS_64,
        }
    }

    const fn below(limit: u64) -> Self {
        Self {
            source: limit,
            destination: limit,
            control: limit,
            crash_control: limit,
            highmem: u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_last_argument_splits_and_joins() {
        // As in the log of a real `kexec -p` on x86-64.
        assert_eq!(
            LoadFlags::split(0x3e_0001),
            (LoadFlags::ON_CRASH, Arch::X86_64)
        );
        assert_eq!(LoadFlags::ON_CRASH.with_arch(Arch::X86_64), 0x3e_0001);
        for argument in [0, u64::MAX, 0xdead_beef, 1 << 63] {
            let (flags, arch) = LoadFlags::split(argument);
            assert_eq!(flags.with_arch(arch), argument);
        }
    }

    #[test]
    fn unknown_bits_and_numbers_survive() {
        assert_eq!(LoadFlags::split(0x8000).0.bits(), 0x8000);
        assert_eq!(LoadFlags::NAMED.bits(), 0x1f);
        assert_eq!(FileFlags::from_bits_retain(1 << 40).bits(), 1 << 40);
        assert_eq!(Arch(999).to_string(), "999");
        assert_eq!(Arch::LOONGARCH.to_string(), "LOONGARCH");
    }

    #[test]
    fn an_architecture_has_its_words_and_limits() {
        let of = |arch: Arch| (arch.width(), Limits::of(arch, arch.width(), true));
        assert_eq!(of(Arch::I386), (Width::U32, Limits::I386));
        assert_eq!(of(Arch::ARM), (Width::U32, Limits::BITS_32));
        assert_eq!(of(Arch::X86_64), (Width::U64, Limits::X86_64_LA57));
        assert_eq!(of(Arch::AARCH64), (Width::U64, Limits::BITS_64));
        assert_eq!(of(Arch::S390), (Width::U64, Limits::S390));
        let x86_64 = Limits::of(Arch::X86_64, Width::U64, false);
        assert_eq!(x86_64, Limits::X86_64);
        let mips32 = Limits::of(Arch::MIPS, Width::U32, false);
        assert_eq!(mips32, Limits::BITS_32);
    }
}
