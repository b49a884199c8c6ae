//! Where the kernel lies and how its virtual addresses become physical.
//!
//! ```text
//! x86-64, virtual                                     physical
//! 0xffffffff80000000  __START_KERNEL_map ───────────▶ phys_base
//! 0xffffffffa8210000  init_top_pgt ─────────────────▶ 0x11010000, the root
//!
//! machine   the root's symbol                  less
//! x86-64    init_top_pgt, init_level4_pgt      0xffffffff80000000 − NUMBER(phys_base)
//! i386      swapper_pg_dir                     PAGE_OFFSET: a segment's virtual less its physical address
//! aarch64   swapper_pg_dir                     NUMBER(kimage_voffset)
//! riscv64   swapper_pg_dir                     NUMBER(va_kernel_pa_offset)
//! ppc64     swapper_pg_dir                     0xc000000000000000
//! s390x     swapper_pg_dir                     KERNELOFFSET − KERNELOFFPHYS; before Linux 6.10, 0
//! ```
//!
//! The kernel's image is moved as a whole, so one number makes physical addresses of its symbols; it
//! wraps. `SYMBOL()` values of VMCOREINFO include KASLR's offset already.
//!
//! Source: `__phys_addr_nodebug` (arch/x86/include/asm/page_64.h), `__kimg_to_phys`
//! (arch/arm64/include/asm/memory.h), `kernel_mapping_va_to_pa` (arch/riscv/include/asm/page.h), `__pa_nodebug`
//! (arch/s390/include/asm/page.h), `__pa` (arch/powerpc/include/asm/page.h),
//! `arch_crash_save_vmcoreinfo` (arch/*/kernel/vmcore_info*.c).

use elf_format::{Machine, Segment, SegmentType};
use page_walk::{AnyWalker, Mode, X86_64};
use physmem::{PhysAddr, PhysMemory};

use super::{paging, walker_of_cpu};
use crate::{Dump, Error, ReadAt, Vmcoreinfo};

/// `__START_KERNEL_map` (arch/x86/include/asm/page_64_types.h).
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// `PAGE_OFFSET` of an i386 kernel with `CONFIG_VMSPLIT_3G`, which is what nearly all are built with.
const I386_PAGE_OFFSET: u64 = 0xc000_0000;

/// `PAGE_OFFSET` of a ppc64 kernel.
const PPC64_PAGE_OFFSET: u64 = 0xc000_0000_0000_0000;

/// What every choice of `CONFIG_PAGE_OFFSET` is a multiple of.
const I386_SPLIT: u64 = 0x800_0000;

/// A kernel's place in memory and the way through its page tables.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// What is subtracted from an address of the kernel's image to get the physical one, modulo 2^64.
    pub image_offset: u64,
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
    /// [`Error::UnsupportedMachine`] for one whose page tables this version cannot walk,
    /// [`Error::NoVmcoreinfo`] and [`Error::Missing`] for a dump that does not say where its tables are,
    /// [`Error::BadText`] for one that says it wrongly.
    pub fn of<S: ReadAt>(dump: &Dump<S>) -> Result<Self, Error> {
        let info = dump.vmcoreinfo()?.ok_or(Error::NoVmcoreinfo)?;
        Self::told(dump.machine(), &info, dump.segments(), &dump.reader())
    }

    /// Where physical memory begins for x86-64's kernel image: physical = virtual −
    /// 0xffffffff80000000 + `phys_base`, all modulo 2^64.
    pub fn phys_base(&self) -> Option<u64> {
        match self.walker {
            // Modulo 2^64 by definition.
            AnyWalker::X86_64(_) => Some(START_KERNEL_MAP.wrapping_sub(self.image_offset)),
            _ => None,
        }
    }

    fn told(
        machine: Machine,
        info: &Vmcoreinfo<'_>,
        segments: &[Segment],
        memory: &impl PhysMemory,
    ) -> Result<Self, Error> {
        if machine == Machine::S390 {
            return Self::told_s390x(info, memory);
        }
        let mode = paging::told(machine, info)?;
        let (image_offset, root) = match mode {
            Mode::X86_64(_) => (x86_64_offset(info, segments)?, x86_64_root(info)?),
            Mode::AArch64(_) => (told!(info, NUMBER("kimage_voffset"))?, root(info)?),
            Mode::RiscV64(_) => (told!(info, NUMBER("va_kernel_pa_offset"))?, root(info)?),
            Mode::Ppc64(_) => (PPC64_PAGE_OFFSET, root(info)?),
            // 32-bit x86: the only other machine with a mode.
            _ => (i386_offset(segments), root(info)?),
        };
        Ok(Self {
            image_offset,
            kernel_offset: info.kernel_offset()?,
            // Modulo 2^64 by definition.
            walker: mode.with_root(PhysAddr::new(root.wrapping_sub(image_offset))),
        })
    }

    fn told_s390x(info: &Vmcoreinfo<'_>, memory: &impl PhysMemory) -> Result<Self, Error> {
        let kernel_offset = info.kernel_offset()?;
        // An older kernel's image is where its addresses say.
        let image_offset = match (kernel_offset, info.kernel_phys()?) {
            // Modulo 2^64 by definition.
            (Some(virt), Some(phys)) => virt.wrapping_sub(phys),
            _ => 0,
        };
        // Modulo 2^64 by definition.
        let root = PhysAddr::new(root(info)?.wrapping_sub(image_offset));
        Ok(Self {
            image_offset,
            kernel_offset,
            walker: paging::s390x_at(memory, root)?,
        })
    }
}

/// The kernel's page tables, or, in a dump that does not say where these are, those of
/// [a CPU](super::walker_of_cpu).
///
/// # Errors
///
/// As [`Layout::of`], and as [`walker_of_cpu`] where that is asked.
pub fn walker_of<S: ReadAt>(dump: &Dump<S>) -> Result<AnyWalker, Error> {
    match Layout::of(dump) {
        Ok(layout) => Ok(layout.walker),
        Err(missing @ (Error::NoVmcoreinfo | Error::Missing { .. })) => {
            walker_of_cpu(dump)?.ok_or(missing)
        }
        Err(error) => Err(error),
    }
}

/// The page tables from a root that is known from elsewhere: a process's `pgd`, a CPU's CR3.
///
/// The paging mode is that of VMCOREINFO; where a dump has none, that of [a CPU](super::walker_of_cpu); and
/// 4 levels where an x86-64 dump has neither. On s390x the root table tells it.
///
/// # Errors
///
/// [`Error::UnsupportedMachine`] for one whose page tables this version cannot walk, [`Error::NoVmcoreinfo`]
/// and [`Error::Missing`] if the dump does not tell the mode, [`Error::BadText`] or a broken note where it is told wrongly.
pub fn walker_at<S: ReadAt>(dump: &Dump<S>, root: PhysAddr) -> Result<AnyWalker, Error> {
    let machine = dump.machine();
    if machine == Machine::S390 {
        return paging::s390x_at(&dump.reader(), root);
    }
    if let Some(info) = dump.vmcoreinfo()? {
        return Ok(paging::told(machine, &info)?.with_root(root));
    }
    match (walker_of_cpu(dump)?, machine) {
        (Some(walker), _) => Ok(walker.with_root(root)),
        (None, Machine::X86_64) => Ok(Mode::X86_64(X86_64::four_level()).with_root(root)),
        (None, _) => Err(Error::NoVmcoreinfo),
    }
}

/// `swapper_pg_dir`, which every architecture tells.
fn root(info: &Vmcoreinfo<'_>) -> Result<u64, Error> {
    told!(info, SYMBOL("swapper_pg_dir"))
}

/// Before Linux 4.13 its name was another, and before either was told there was `swapper_pg_dir`.
fn x86_64_root(info: &Vmcoreinfo<'_>) -> Result<u64, Error> {
    if let Some(root) = told_if!(info, SYMBOL("init_top_pgt"))? {
        return Ok(root);
    }
    if let Some(root) = told_if!(info, SYMBOL("init_level4_pgt"))? {
        return Ok(root);
    }
    told_if!(info, SYMBOL("swapper_pg_dir"))?.ok_or(Error::Missing {
        what: "SYMBOL(init_top_pgt) in VMCOREINFO",
    })
}

fn x86_64_offset(info: &Vmcoreinfo<'_>, segments: &[Segment]) -> Result<u64, Error> {
    if let Some(phys_base) = told_if!(info, NUMBER("phys_base"))? {
        // Modulo 2^64 by definition.
        return Ok(START_KERNEL_MAP.wrapping_sub(phys_base));
    }
    let mut loads = segments.iter().filter(|segment| is_mapped(segment));
    let text = loads.find(|segment| segment.vaddr >= START_KERNEL_MAP);
    // Modulo 2^64 by definition.
    text.map(|text| text.vaddr.wrapping_sub(text.paddr))
        .ok_or(Error::Missing {
            what: "phys_base (NUMBER(phys_base) in VMCOREINFO)",
        })
}

/// The kernel's image is in the direct map of low memory, which the first segment with addresses maps.
fn i386_offset(segments: &[Segment]) -> u64 {
    let loads = segments.iter().filter(|segment| is_mapped(segment));
    loads
        .filter_map(|segment| segment.vaddr.checked_sub(segment.paddr))
        .find(|offset| *offset != 0 && offset % I386_SPLIT == 0)
        .unwrap_or(I386_PAGE_OFFSET)
}

/// Whether both its addresses are known.
fn is_mapped(segment: &Segment) -> bool {
    segment.kind == SegmentType::LOAD && segment.paddr != u64::MAX && segment.vaddr != u64::MAX
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use elf_format::SegmentFlags;
    use page_walk::Walker;
    use physmem::{Absence, MemError, Region};

    use super::*;

    const REAL: &str = "SYMBOL(swapper_pg_dir)=ffffffffa8210000\nNUMBER(phys_base)=-387973120\n\
        SYMBOL(init_top_pgt)=ffffffffa8210000\nNUMBER(pgtable_l5_enabled)=0\n\
        KERNELOFFSET=25800000\nNUMBER(sme_mask)=0\n";
    const ROOT: u64 = 0x1101_0000;

    fn told(machine: Machine, text: &str, segments: &[Segment]) -> Result<Layout, Error> {
        let info = Vmcoreinfo::new(text.as_bytes(), 0);
        let nothing = Region::try_new(PhysAddr::new(0), [0; 8]).unwrap();
        Layout::told(machine, &info, segments, &nothing)
    }

    fn layout(text: &str, segments: &[Segment]) -> Result<Layout, Error> {
        told(Machine::X86_64, text, segments)
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
        assert_eq!(layout.phys_base(), Some(0xffff_ffff_e8e0_0000));
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

    /// As a Debian 6.12 guest told it, whose TTBR1_EL1 and TCR_EL1 QEMU read.
    const ARM64: &str = "PAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffff9a3d2bb16000\n\
        NUMBER(VA_BITS)=52\nNUMBER(kimage_voffset)=0xffff9a3ce9c00000\n\
        NUMBER(TCR_EL1_T1SZ)=0xc\nKERNELOFFSET=1a3ca9e00000\n";

    fn place(layout: &Layout) -> (String, u64) {
        let root = layout.walker.root().as_u64();
        (std::format!("{}", layout.walker.mode()), root)
    }

    #[test]
    fn a_real_arm64_kernel_with_lpa2_and_what_it_would_say_elsewhere() {
        let mode = |text: &str| place(&told(Machine::AARCH64, text, &[]).unwrap());
        assert_eq!(mode(ARM64), ("aarch64-4k-52-lpa2".into(), 0x41f1_6000));
        let plain = ARM64.replace("T1SZ)=0xc", "T1SZ)=0x10");
        assert_eq!(mode(&plain).0, "aarch64-4k-48");
        let granule = |size: &str, text: &str| mode(&text.replace("=4096", size)).0;
        assert_eq!(
            granule("=16384", &ARM64.replace("T1SZ)=0xc", "T1SZ)=0x11")),
            "aarch64-16k-47"
        );
        // What the processor lacks does not change the layout of tables with 64 KiB pages.
        assert_eq!(granule("=65536", &plain), "aarch64-64k-52-lpa");
        let older: String = ARM64
            .lines()
            .filter(|line| !line.contains("T1SZ"))
            .map(|line| line.replace("BITS)=52", "BITS)=48") + "\n")
            .collect();
        assert_eq!(mode(&older).0, "aarch64-4k-48");
    }

    #[test]
    fn a_real_riscv64_kernel_with_sv48() {
        let text = "SYMBOL(swapper_pg_dir)=ffffffff81dca000\nNUMBER(VA_BITS)=48\n\
            NUMBER(va_kernel_pa_offset)=0xfffffffeffe00000\n";
        let layout = told(Machine::RISCV, text, &[]).unwrap();
        assert_eq!(place(&layout), ("sv48".into(), 0x81fc_a000));
        assert_eq!(layout.phys_base(), None);
        let missing = told(Machine::RISCV, &text.replace("va_kernel", "x"), &[]);
        assert_eq!(
            missing.unwrap_err(),
            Error::Missing {
                what: "NUMBER(va_kernel_pa_offset) in VMCOREINFO"
            }
        );
    }

    /// As a Debian 6.12 guest told it, and its root's first entry; before 6.10, addresses of the image are physical.
    #[test]
    fn tables_of_s390x_tell_how_many_levels_there_are() {
        let text = "SYMBOL(swapper_pg_dir)=3fffff40000\nIDENTITYBASE=0\nKERNELOFFSET=3fffe7f8000\n\
            KERNELOFFPHYS=8f8000\n";
        let root = 0x204_0000;
        let told = |text: &str, at: u64, first: u64| {
            let memory = Region::try_new(PhysAddr::new(at), first.to_be_bytes()).unwrap();
            let info = Vmcoreinfo::new(text.as_bytes(), 0);
            Layout::told(Machine::S390, &info, &[], &memory)
        };
        let layout = told(text, root, 0xbed_8007).unwrap();
        assert_eq!(place(&layout), ("region-third".into(), root));
        assert_eq!(layout.image_offset, 0x3ff_fdf0_0000);
        assert_eq!(layout.kernel_offset, Some(0x3ff_fe7f_8000));
        let wide = told(text, root, 0x1234_502b).unwrap();
        assert_eq!(place(&wide).0, "region-second");
        let older = "SYMBOL(swapper_pg_dir)=1b7c000\nKERNELOFFSET=0\n";
        let layout = told(older, 0x1b7_c000, 0x24).unwrap();
        assert_eq!(place(&layout), ("region-third".into(), 0x1b7_c000));

        let missing = Error::Root(MemError {
            at: PhysAddr::new(root),
            why: Absence::NotRam,
        });
        assert_eq!(told(text, 0, 0).unwrap_err(), missing);
        let bad = text.replace("PHYS=8", "PHYS=g");
        assert!(matches!(told(&bad, root, 0x24), Err(Error::BadText { .. })));
    }

    /// As a Debian 6.12 guest told it.
    #[test]
    fn a_real_ppc64_kernel_with_radix_tables() {
        let text = "PAGESIZE=65536\nSYMBOL(swapper_pg_dir)=c000000002830000\nNUMBER(RADIX_MMU)=1\n";
        let layout = |text: &str| told(Machine::PPC64, text, &[]);
        let found = layout(text).unwrap();
        assert_eq!(place(&found), ("radix-64k".into(), 0x283_0000));
        let small = layout(&text.replace("65536", "4096")).unwrap();
        assert_eq!(place(&small).0, "radix-4k");

        let hashed = layout(&text.replace("MMU)=1", "MMU)=0")).unwrap_err();
        let expected = Error::UnsupportedMachine {
            what: "walking the hashed page table",
            machine: Machine::PPC64,
        };
        assert_eq!(hashed, expected);
        let silent = layout(&text.replace("RADIX", "X")).unwrap_err();
        assert!(matches!(silent, Error::Missing { .. }));
    }

    #[test]
    fn a_32_bit_kernel_is_where_its_segments_say() {
        let text = "SYMBOL(swapper_pg_dir)=c1a00000\nCONFIG_X86_PAE=y\n";
        let found =
            |text: &str, segments: &[Segment]| place(&told(Machine::I386, text, segments).unwrap());
        assert_eq!(found(text, &[]), ("pae".into(), 0x1a0_0000));
        assert_eq!(
            found(&text.replace("=y", "=n"), &[]),
            ("32-bit".into(), 0x1a0_0000)
        );
        let low = Segment {
            kind: SegmentType::LOAD,
            flags: SegmentFlags::READ,
            offset: 0x1000,
            vaddr: 0x8010_0000,
            paddr: 0x10_0000,
            filesz: 0x1000,
            memsz: 0x1000,
            align: 0,
        };
        assert_eq!(found(text, &[low]).1, 0x41a0_0000);
    }

    #[test]
    fn values_that_no_machine_has_are_named() {
        for (machine, text, value) in [
            (Machine::AARCH64, ARM64.replace("=4096", "=8192"), "8192"),
            (
                Machine::AARCH64,
                ARM64.replace("BITS)=52", "BITS)=99"),
                "99\n",
            ),
            (
                Machine::AARCH64,
                ARM64.replace("T1SZ)=0xc", "T1SZ)=0x41"),
                "0x41",
            ),
            (Machine::RISCV, "NUMBER(VA_BITS)=47\n".into(), "47"),
        ] {
            let error = told(machine, &text, &[]).unwrap_err();
            let place = text.find(value).unwrap() as u64;
            assert!(
                matches!(error, Error::BadText { offset, .. } if offset == place),
                "{error}"
            );
        }
    }
}
