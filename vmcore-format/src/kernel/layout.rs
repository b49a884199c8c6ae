//! Where the kernel lies and how its virtual addresses become physical.
//!
//! ```text
//! x86-64, virtual                                     physical
//! 0xffffffff80000000  __START_KERNEL_map ───────────▶ phys_base
//! 0xffffffffa8210000  init_top_pgt ─────────────────▶ 0x11010000, the root
//! ```
//!
//! The kernel is linked at `__START_KERNEL_map` and its image is moved as a whole, so one number,
//! `phys_base`, makes physical addresses of its symbols; it wraps, being negative more often than
//! not. `SYMBOL()` values of VMCOREINFO include KASLR's offset already.
//!
//! Source: `__phys_addr_nodebug` (arch/x86/include/asm/page_64.h), `arch_crash_save_vmcoreinfo`
//! (arch/x86/kernel/vmcore_info_64.c).

use elf_format::{Machine, Segment, SegmentType};
use page_walk::{AnyWalker, Walker, X86_64};
use physmem::PhysAddr;

use super::walker_of_cpu;
use crate::{Dump, Error, ReadAt, Vmcoreinfo};

/// `__START_KERNEL_map` (arch/x86/include/asm/page_64_types.h).
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// Offset of `e_machine` in either class.
const E_MACHINE: u64 = 18;

/// The names the kernel's root table has had: before Linux 4.13 `init_level4_pgt`, and
/// `swapper_pg_dir`, which every architecture tells, for what was told before either.
const ROOTS: [&str; 3] = ["init_top_pgt", "init_level4_pgt", "swapper_pg_dir"];

/// A kernel's place in memory and the way through its page tables.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// What turns an address of the kernel image into a physical one, as two's complement: physical
    /// = virtual − 0xffffffff80000000 + `phys_base`, all modulo 2^64.
    pub phys_base: u64,
    /// How far KASLR moved the kernel's virtual addresses, in bytes, if it is told.
    pub kernel_offset: Option<u64>,
    /// The kernel's page tables. Under page table isolation these are the kernel's half, which maps
    /// everything.
    pub walker: AnyWalker,
}

impl Layout {
    /// Reads the layout out of a dump's VMCOREINFO.
    ///
    /// Where that tells no `phys_base` (before Linux 4.10) it is taken from the segment of the
    /// kernel's text, as crash does.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for a machine whose page tables this version cannot walk,
    /// [`Error::Missing`] for a dump that does not say where its tables are, [`Error::BadText`] for
    /// one that says it wrongly.
    pub fn of<S: ReadAt>(dump: &Dump<S>) -> Result<Self, Error> {
        check_machine(dump.machine())?;
        let info = dump.vmcoreinfo()?.ok_or(Error::Missing {
            what: "VMCOREINFO note",
        })?;
        Self::x86_64(&info, dump.segments())
    }

    fn x86_64(info: &Vmcoreinfo<'_>, segments: &[Segment]) -> Result<Self, Error> {
        let phys_base = match info.number("phys_base")? {
            Some(phys_base) => phys_base,
            None => phys_base_of_text(segments).ok_or(Error::Missing {
                what: "phys_base (NUMBER(phys_base) in VMCOREINFO)",
            })?,
        };
        let root = ROOTS.iter().find_map(|name| info.symbol(name).transpose());
        let root = root.transpose()?.ok_or(Error::Missing {
            what: "SYMBOL(init_top_pgt) in VMCOREINFO",
        })?;

        let mode = x86_64_mode(info)?;
        // Modulo 2^64 by definition: see `phys_base`.
        let root = root.wrapping_sub(START_KERNEL_MAP).wrapping_add(phys_base);
        Ok(Self {
            phys_base,
            kernel_offset: info.kernel_offset()?,
            walker: Walker::new(mode, PhysAddr::new(root)).into(),
        })
    }
}

/// The page tables from a root that is known from elsewhere: a process's `pgd`, a CPU's CR3.
///
/// The paging mode is that of VMCOREINFO; where a dump has none, that of
/// [a CPU](super::walker_of_cpu), or else 4 levels.
///
/// # Errors
///
/// [`Error::Unsupported`] for a machine whose page tables this version cannot walk,
/// [`Error::BadText`] or a broken note where VMCOREINFO is damaged.
pub fn walker_at<S: ReadAt>(dump: &Dump<S>, root: PhysAddr) -> Result<AnyWalker, Error> {
    check_machine(dump.machine())?;
    let mode = match dump.vmcoreinfo()? {
        Some(info) => x86_64_mode(&info)?,
        None => match walker_of_cpu(dump)? {
            Some(walker) => return Ok(walker.with_root(root)),
            None => X86_64::four_level(),
        },
    };
    Ok(Walker::new(mode, root).into())
}

pub(super) fn check_machine(machine: Machine) -> Result<(), Error> {
    match machine {
        Machine::X86_64 => Ok(()),
        machine => Err(Error::Unsupported {
            what: "walking the page tables of e_machine",
            offset: E_MACHINE,
            value: machine.0.into(),
        }),
    }
}

fn x86_64_mode(info: &Vmcoreinfo<'_>) -> Result<X86_64, Error> {
    // Kernels that do not say are older than the choice at boot (Linux 4.17).
    let mode = match info.number("pgtable_l5_enabled")? {
        Some(0) | None => X86_64::four_level(),
        Some(_) => X86_64::five_level(),
    };
    Ok(mode.with_encryption_mask(info.number("sme_mask")?.unwrap_or(0)))
}

/// `phys_base` by the segment that maps the kernel's text.
fn phys_base_of_text(segments: &[Segment]) -> Option<u64> {
    let text = segments.iter().find(|segment| {
        segment.kind == SegmentType::LOAD
            && segment.vaddr >= START_KERNEL_MAP
            && segment.paddr != u64::MAX
    })?;
    // Modulo 2^64 by definition: see `phys_base`.
    Some(text.paddr.wrapping_sub(text.vaddr - START_KERNEL_MAP))
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use elf_format::SegmentFlags;

    use super::*;

    const REAL: &str = "SYMBOL(swapper_pg_dir)=ffffffffa8210000\nNUMBER(phys_base)=-387973120\n\
        SYMBOL(init_top_pgt)=ffffffffa8210000\nNUMBER(pgtable_l5_enabled)=0\n\
        KERNELOFFSET=25800000\nNUMBER(sme_mask)=0\n";
    const ROOT: u64 = 0x1101_0000;

    fn layout(text: &str, segments: &[Segment]) -> Result<Layout, Error> {
        Layout::x86_64(&Vmcoreinfo::new(text.as_bytes(), 0), segments)
    }

    fn walker(layout: &Layout) -> Walker<X86_64> {
        match layout.walker {
            AnyWalker::X86_64(walker) => walker,
            _ => panic!("not x86_64"),
        }
    }

    #[test]
    fn a_real_kernels_root() {
        let layout = layout(REAL, &[]).unwrap();
        assert_eq!(walker(&layout).root(), PhysAddr::new(ROOT));
        assert_eq!(walker(&layout).arch(), X86_64::four_level());
        assert_eq!(layout.phys_base, 0xffff_ffff_e8e0_0000);
        assert_eq!(layout.kernel_offset, Some(0x2580_0000));
    }

    #[test]
    fn five_levels_and_memory_encryption_are_told() {
        let text = REAL
            .replace("l5_enabled)=0", "l5_enabled)=1")
            .replace("sme_mask)=0", "sme_mask)=140737488355328");
        let expected = X86_64::five_level().with_encryption_mask(1 << 47);
        assert_eq!(walker(&layout(&text, &[]).unwrap()).arch(), expected);
    }

    #[test]
    fn older_names_and_no_phys_base() {
        let text: String = REAL
            .lines()
            .filter(|line| !line.contains("phys_base") && !line.contains("swapper"))
            .map(|line| line.replace("init_top_pgt", "init_level4_pgt") + "\n")
            .collect();
        assert_eq!(
            layout(&text, &[]).unwrap_err(),
            Error::Missing {
                what: "phys_base (NUMBER(phys_base) in VMCOREINFO)"
            }
        );
        let kernel_text = Segment {
            kind: SegmentType::LOAD,
            flags: SegmentFlags::READ,
            offset: 0x2000,
            vaddr: 0xffff_ffff_a680_0000,
            paddr: 0xf60_0000,
            filesz: 0x283_0000,
            memsz: 0x283_0000,
            align: 0,
        };
        assert_eq!(
            walker(&layout(&text, &[kernel_text]).unwrap()).root(),
            PhysAddr::new(ROOT)
        );
    }

    #[test]
    fn no_root_is_an_error_and_so_is_a_bad_one() {
        let without = REAL.replace("SYMBOL", "X");
        assert!(matches!(layout(&without, &[]), Err(Error::Missing { .. })));
        // What is not needed may be wrong.
        let bad = REAL.replace("swapper_pg_dir)=f", "swapper_pg_dir)=g");
        assert!(layout(&bad, &[]).is_ok());
        let bad = REAL.replace("init_top_pgt)=f", "init_top_pgt)=g");
        assert!(matches!(layout(&bad, &[]), Err(Error::BadText { .. })));
    }
}
