//! The paging mode that VMCOREINFO tells: how many levels, how wide an index, where an entry has the address.
//!
//! ```text
//!  machine   what tells it
//!  x86-64    NUMBER(pgtable_l5_enabled), NUMBER(sme_mask)
//!  i386      CONFIG_X86_PAE
//!  aarch64   PAGESIZE, NUMBER(VA_BITS), NUMBER(TCR_EL1_T1SZ)
//!  riscv64   NUMBER(VA_BITS)
//!  ppc64     PAGESIZE, NUMBER(RADIX_MMU)
//!  s390x     nothing: the first entry of the root table does
//! ```
//!
//! An arm64 kernel with 4 or 16 KiB pages that is built for 52 bits runs with fewer on a processor
//! without FEAT_LPA2, and its tables with it: `TCR_EL1` tells. With 64 KiB pages its tables keep the
//! layout of 52 bits, of which such a processor uses the end.
//!
//! Tables of s390x tell themselves of which kind they are, also by entries that lead nowhere (`crst_table_init`); how
//! many entries a root has they do not tell, and Linux's have all.
//!
//! Source: `arch_crash_save_vmcoreinfo` (arch/*/kernel/vmcore_info.c), `map_kernel`
//! (arch/arm64/kernel/pi/map_kernel.c), `crst_table_init` (arch/s390/include/asm/pgalloc.h).

use elf_format::Machine;
use page_walk::{
    AArch64, AnyWalker, Mode, Ppc64, RiscV64, S390x, X86, X86_64, X86Pae,
    aarch64::{Granule, Half, Output},
};
use physmem::{Endian, PageShift, PhysAddr, PhysMemory, Width};

use crate::{Error, Vmcoreinfo, vmcoreinfo::number};

const VA_BITS: &str = "as many bits as a virtual address has with pages of this size";
const T1SZ: &str = "64 less as many bits as a virtual address has with pages of this size";
const NO_VA_BITS: Error = Error::Missing {
    what: "NUMBER(VA_BITS) in VMCOREINFO",
};

/// The most bits that a virtual address has without FEAT_LPA2 or FEAT_LVA.
const VA_BITS_PLAIN: u64 = 48;

/// The mode of the kernel of `machine` that wrote `info`; not for s390x, whose tables tell it.
pub(super) fn told(machine: Machine, info: &Vmcoreinfo<'_>) -> Result<Mode, Error> {
    match machine {
        Machine::X86_64 => x86_64(info).map(Mode::X86_64),
        Machine::I386 if info.config("X86_PAE") => Ok(Mode::X86Pae(X86Pae::new())),
        Machine::I386 => Ok(Mode::X86(X86::new())),
        Machine::AARCH64 => aarch64(info).map(Mode::AArch64),
        Machine::RISCV => riscv64(info).map(Mode::RiscV64),
        Machine::PPC64 => ppc64(info).map(Mode::Ppc64),
        machine => Err(unsupported(machine)),
    }
}

/// Refuses a machine whose tables this version cannot walk.
pub(super) fn check(machine: Machine) -> Result<(), Error> {
    match machine {
        Machine::X86_64
        | Machine::I386
        | Machine::AARCH64
        | Machine::RISCV
        | Machine::PPC64
        | Machine::S390 => Ok(()),
        machine => Err(unsupported(machine)),
    }
}

/// The tables of s390x from `root` on, whose first entry `memory` has.
pub(super) fn s390x_at<M: PhysMemory + ?Sized>(
    memory: &M,
    root: PhysAddr,
) -> Result<AnyWalker, Error> {
    // A root that is none is the walker's to tell.
    let table = root.align_down(PageShift::SIZE_4K);
    let entry = memory.word(table, Width::U64, Endian::Big);
    let entry = entry.map_err(Error::Root)?;
    Ok(Mode::S390x(S390x::of_table(entry)).with_root(root))
}

fn unsupported(machine: Machine) -> Error {
    Error::UnsupportedMachine {
        what: "walking the page tables",
        machine,
    }
}

fn x86_64(info: &Vmcoreinfo<'_>) -> Result<X86_64, Error> {
    // Kernels that do not say are older than the choice at boot (Linux 4.17).
    let mode = match told_if!(info, NUMBER("pgtable_l5_enabled"))? {
        Some(0) | None => X86_64::four_level(),
        Some(_) => X86_64::five_level(),
    };
    Ok(mode.with_encryption_mask(told_if!(info, NUMBER("sme_mask"))?.unwrap_or(0)))
}

fn aarch64(info: &Vmcoreinfo<'_>) -> Result<AArch64, Error> {
    let granule = by_page_size(info, "4096, 16384 or 65536", |size| match size {
        "4096" => Some(Granule::K4),
        "16384" => Some(Granule::K16),
        "65536" => Some(Granule::K64),
        _ => None,
    })?;
    let built = by_va_bits(info, VA_BITS, |bits| aarch64_mode(granule, number(bits)?));
    let used = info.parsed(
        &["NUMBER(TCR_EL1_T1SZ)="],
        "VMCOREINFO NUMBER(TCR_EL1_T1SZ)",
        T1SZ,
        |size| aarch64_mode(granule, 64_u64.checked_sub(number(size)?)?),
    );
    let mode = match granule {
        Granule::K64 => built?.or(used?),
        Granule::K4 | Granule::K16 => used?.or(built?),
    };
    mode.ok_or(NO_VA_BITS)
}

fn aarch64_mode(granule: Granule, bits: u64) -> Option<AArch64> {
    let output = match granule {
        // Without FEAT_LPA the bits that hold the rest of an address are 0.
        Granule::K64 => Output::Bits52,
        _ if bits > VA_BITS_PLAIN => Output::Bits52,
        _ => Output::Bits48,
    };
    AArch64::try_new(Half::Upper, granule, u8::try_from(bits).ok()?, output)
}

fn riscv64(info: &Vmcoreinfo<'_>) -> Result<RiscV64, Error> {
    let mode = by_va_bits(info, "39, 48 or 57", |bits| match bits {
        "39" => Some(RiscV64::sv39()),
        "48" => Some(RiscV64::sv48()),
        "57" => Some(RiscV64::sv57()),
        _ => None,
    })?;
    mode.ok_or(NO_VA_BITS)
}

fn ppc64(info: &Vmcoreinfo<'_>) -> Result<Ppc64, Error> {
    // Kernels that do not say may have either kind.
    match told_if!(info, NUMBER("RADIX_MMU"))? {
        Some(0) => Err(Error::UnsupportedMachine {
            what: "walking the hashed page table",
            machine: Machine::PPC64,
        }),
        Some(_) => Ok(()),
        None => Err(Error::Missing {
            what: "NUMBER(RADIX_MMU) in VMCOREINFO",
        }),
    }?;
    by_page_size(info, "4096 or 65536", |size| match size {
        "4096" => Some(Ppc64::radix_4k()),
        "65536" => Some(Ppc64::radix_64k()),
        _ => None,
    })
}

/// What `of` makes of the kernel's page size.
fn by_page_size<T>(
    info: &Vmcoreinfo<'_>,
    allowed: &'static str,
    of: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Error> {
    let found = info.parsed(&["PAGESIZE="], "VMCOREINFO PAGESIZE", allowed, of)?;
    found.ok_or(Error::Missing {
        what: "PAGESIZE in VMCOREINFO",
    })
}

/// What `of` makes of how many bits of a virtual address the kernel was built for.
fn by_va_bits<T>(
    info: &Vmcoreinfo<'_>,
    allowed: &'static str,
    of: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let what = "VMCOREINFO NUMBER(VA_BITS)";
    info.parsed(&["NUMBER(VA_BITS)="], what, allowed, of)
}
