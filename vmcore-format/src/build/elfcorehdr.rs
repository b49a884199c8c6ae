//! The elfcorehdr: by it the capture kernel finds the notes and the memory of the dead one.
//!
//! ```text
//!  ┌────────┬─────────┬─ ─┬────────────┬───────────┬─────────┬─ ─┬─ ─ ─ ─ ┐
//!  │ header │ PT_NOTE │   │ PT_NOTE    │ PT_LOAD   │ PT_LOAD │   │ zeros
//!  │        │ CPU 0   │   │ VMCOREINFO │ kernel    │ RAM     │   │        │
//!  └────────┴────┬────┴─ ─┴─────┬──────┴─────┬─────┴────┬────┴─ ─┴─ ─ ─ ─ ┘
//!  0             ▼              ▼            ▼          ▼            emitted_len()
//!            p_offset: where in physical memory, not in a file; but for a backup it is p_paddr
//! ```
//!
//! Two programs write it. Linux does for `kexec_file_load()`, and again when CPUs or memory come
//! and go; kexec-tools does for `kexec_load()`. [`Policy`] says where they differ.
//!
//! **Which memory.** What is to be dumped is the caller's: RAM without the crash kernel's own and,
//! where the capture kernel needs it for itself, without the first MiB.
//! [`physmem::SortedRanges::subtract`] is `crash_exclude_mem_range()`:
//!
//! ```
//! use elf_format::{Class, Encoding, Endian, Machine};
//! use physmem::{PhysRange, SortedRanges, VirtAddr, sorted};
//! use vmcore_format::build::elfcorehdr::{Builder, Image, Policy};
//! # fn range(start: u64, end: u64) -> PhysRange { PhysRange::try_new(start.into(), end.into()).unwrap() }
//!
//! let ram = [range(0x1000, 0x9_fc00), range(0x10_0000, 0x13fd_d000)];
//! let crash_kernel = [range(0, 0x10_0000), range(0x800_0000, 0xf00_0000)];
//! let header = Builder {
//!     encoding: Encoding { class: Class::Elf64, endian: Endian::Little },
//!     machine: Machine::X86_64,
//!     policy: Policy::Kernel,
//!     cpu_notes: &[range(0x1343_9400, 0x1343_9570)],
//!     vmcoreinfo: Some(range(0x11f_0000, 0x11f_1024)),
//!     image: Some(Image {
//!         virt: VirtAddr::new(0xffff_ffff_a680_0000),
//!         phys: range(0xf60_0000, 0x11e3_0000),
//!     }),
//!     ram: sorted(ram)?.subtract(sorted(crash_kernel)?),
//!     page_offset: 0xffff_8dfc_0000_0000,
//! };
//! let mut out = [0; 4096];
//! assert_eq!(header.emit(&mut out)?, 4096);
//! let elf = elf_format::Elf::parse(&out)?;
//! assert_eq!(elf.segments().len(), 5); // 2 notes, the kernel's image, 2 ranges
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **How many.** /proc/vmcore takes `e_phnum` for the number of program headers, whatever it is: it
//! knows nothing of extended numbering and would leave out all from the 65,536th on. Linux,
//! writing, lets the 16 bits wrap. Here more than [`HEADERS_MAX`] are an error.
//!
//! Source: `crash_prepare_elf64_headers()` in Linux `kernel/crash_core.c`; `kexec/crashdump-elf.c`
//! of kexec-tools; `fs/proc/vmcore.c` for what is read.

#![deny(clippy::arithmetic_side_effects)]

use elf_format::{
    Class, Encoding, Machine, Segment, SegmentFlags, SegmentType, Writer, header::PN_XNUM,
};
use physmem::{PhysAddr, PhysRange, VirtAddr};

use crate::{Error, Field};

/// The most program headers that /proc/vmcore can read and pass on.
pub const HEADERS_MAX: usize = PN_XNUM as usize - 1;

pub(super) const PHNUM: Field = Field {
    name: "e_phnum",
    allowed: "1 to 65534, as /proc/vmcore does not know extended numbering",
};
const SPARE: Field = Field {
    name: "program headers written and to spare",
    allowed: "1 to 65534 together, as /proc/vmcore does not know extended numbering",
};
pub(super) const FIRST_TYPE: Field = Field {
    name: "p_type of the first program header",
    allowed: "4 (PT_NOTE), as /proc/vmcore puts the merged notes there",
};

/// Whose layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `crash_prepare_elf64_headers()`: a multiple of 4096 bytes, with room for headers of
    /// VMCOREINFO and of the image even if they are not written. The notes are those of all
    /// possible CPUs; before Linux 6.6 of those present.
    Kernel,
    /// `crashdump-elf.c`: a multiple of 1024 bytes. The notes are those of CPUs that sysfs shows.
    KexecTools(KexecTools),
}

/// What only kexec-tools knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KexecTools {
    /// Memory that is copied away before the capture kernel starts. The range that equals it is
    /// read from the copy: its `p_offset` is not its `p_paddr`.
    pub backup: Option<Backup>,
    /// Where memory ends that the kernel maps at all times, on 32-bit machines: a range that passes
    /// it has a `p_vaddr` of all ones.
    pub lowmem_end: Option<PhysAddr>,
    /// How many program headers there is room for besides those written: kexec-tools counts
    /// reserved ranges, too. With those written they are at most [`HEADERS_MAX`].
    pub spare: usize,
}

/// Memory and its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// What is copied: on x86 the first 640 KiB of RAM.
    pub source: PhysRange,
    /// Where the copy begins.
    pub copy: PhysAddr,
}

/// The kernel's image, which is mapped a second time, away from all other memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Where it is mapped: `_text`.
    pub virt: VirtAddr,
    /// Where it lies, up to `_end`.
    pub phys: PhysRange,
}

/// An elfcorehdr to be written. `R` yields the ranges, as often as it is cloned, and nothing is
/// allocated for them.
#[derive(Debug, Clone)]
pub struct Builder<'a, R> {
    /// Class and byte order. The kernel writes ELF64 only; kexec-tools writes ELF32 for 32-bit
    /// kernels whose memory ends below 4 GiB.
    pub encoding: Encoding,
    /// The machine of both kernels.
    pub machine: Machine,
    /// Whose layout.
    pub policy: Policy,
    /// The CPUs' note buffers: `crash_notes` of each, see
    /// [`notes::cpu_buffer_len`](super::notes::cpu_buffer_len).
    pub cpu_notes: &'a [PhysRange],
    /// The buffer of the VMCOREINFO note: `/sys/kernel/vmcoreinfo`, see
    /// [`notes::vmcoreinfo_buffer_len`](super::notes::vmcoreinfo_buffer_len).
    pub vmcoreinfo: Option<PhysRange>,
    /// The kernel's image, where it has a mapping of its own.
    pub image: Option<Image>,
    /// The memory to be dumped.
    pub ram: R,
    /// What the kernel adds to a physical address for the virtual one in its map of all memory,
    /// modulo 2^64: `PAGE_OFFSET` less the address of the first byte that it maps there.
    pub page_offset: u64,
}

impl<R: Iterator<Item = PhysRange> + Clone> Builder<'_, R> {
    /// Length in bytes, zeros at the end included.
    #[must_use]
    pub fn emitted_len(&self) -> usize {
        self.len_of(self.segments().count())
    }

    /// Writes the elfcorehdr and returns its length.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] for no headers, none that is a PT_NOTE, or more than [`HEADERS_MAX`], those to
    /// spare among them;
    /// [`Error::Truncated`] when `out` is too short, and then nothing was written; [`Error::Elf`]
    /// for an address that does not fit ELF32.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, Error> {
        let count = self.checked_count()?;
        let len = self.len_of(count);
        let available = out.len() as u64;
        let out = out.get_mut(..len).ok_or(Error::Truncated {
            what: "elfcorehdr",
            offset: 0,
            needed: len as u64,
            available,
        })?;
        let segments = Counted {
            segments: self.segments(),
            left: count,
        };
        let written = Writer::core(self.encoding, self.machine, &[], segments).emit(out)?;
        out.get_mut(written..).unwrap_or_default().fill(0);
        Ok(len)
    }

    /// The elfcorehdr in a new vector.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), `Truncated` aside.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>, Error> {
        // Nothing is allocated for more headers than there may be.
        self.checked_count()?;
        let mut header = alloc::vec![0; self.emitted_len()];
        self.emit(&mut header)?;
        Ok(header)
    }

    /// How many program headers are written, if they may be.
    fn checked_count(&self) -> Result<usize, Error> {
        let count = self.segments().count();
        let elf64 = self.encoding.class == Class::Elf64;
        let bad = |field, count: usize| Error::BadField {
            field,
            offset: if elf64 { 56 } else { 44 },
            value: count as u64,
        };
        if count == 0 || count > HEADERS_MAX {
            return Err(bad(&PHNUM, count));
        }
        if let Policy::KexecTools(rest) = self.policy {
            // Saturating: more than any limit.
            let room = count.saturating_add(rest.spare);
            if room > HEADERS_MAX {
                return Err(bad(&SPARE, room));
            }
        }
        if self.cpu_notes.is_empty() && self.vmcoreinfo.is_none() {
            return Err(Error::BadField {
                field: &FIRST_TYPE,
                offset: self.encoding.class.header_size() as u64,
                value: SegmentType::LOAD.0.into(),
            });
        }
        Ok(count)
    }

    /// Length with so many program headers.
    fn len_of(&self, count: usize) -> usize {
        let (spare, align) = match self.policy {
            Policy::Kernel => {
                let unwritten = [self.vmcoreinfo.is_none(), self.image.is_none()];
                (unwritten.into_iter().filter(|is| *is).count(), 4096)
            }
            Policy::KexecTools(rest) => (rest.spare, 1024),
        };
        let class = self.encoding.class;
        // Saturating: no slice is that long, so emitting reports it as truncated.
        count
            .saturating_add(spare)
            .saturating_mul(class.segment_size())
            .saturating_add(class.header_size())
            .checked_next_multiple_of(align)
            .unwrap_or(usize::MAX)
    }

    /// The program headers in their order.
    fn segments(&self) -> impl Iterator<Item = Segment> + Clone {
        let notes = self.cpu_notes.iter().copied().chain(self.vmcoreinfo);
        let image = self.image.map(|Image { virt, phys }| Segment {
            vaddr: virt.as_u64(),
            ..segment(SegmentType::LOAD, phys)
        });
        let ram = self.ram.clone().map(|range| self.load(range));
        let notes = notes.map(|buffer| segment(SegmentType::NOTE, buffer));
        notes.chain(image).chain(ram)
    }

    /// A range of RAM, in the map of all memory.
    fn load(&self, range: PhysRange) -> Segment {
        let pointer = match self.encoding.class {
            Class::Elf32 => u32::MAX.into(),
            Class::Elf64 => u64::MAX,
        };
        // Wrapping: where RAM begins above the address that it is mapped at, the offset is a
        // negative number.
        let virt = self.page_offset.wrapping_add(range.start().as_u64()) & pointer;
        let mut load = Segment {
            vaddr: virt,
            ..segment(SegmentType::LOAD, range)
        };
        if let Policy::KexecTools(rest) = self.policy {
            if let Some(backup) = rest.backup.filter(|backup| backup.source == range) {
                load.offset = backup.copy.as_u64();
            }
            if rest.lowmem_end.is_some_and(|end| range.end() > end) {
                load.vaddr = pointer;
            }
        }
        load
    }
}

/// A segment that says of memory where it is.
fn segment(kind: SegmentType, range: PhysRange) -> Segment {
    let flags = match kind {
        SegmentType::LOAD => SegmentFlags::READ | SegmentFlags::WRITE | SegmentFlags::EXECUTE,
        _ => SegmentFlags::empty(),
    };
    Segment {
        kind,
        flags,
        offset: range.start().as_u64(),
        vaddr: 0,
        paddr: range.start().as_u64(),
        filesz: range.size(),
        memsz: range.size(),
        align: 0,
    }
}

/// Segments that were counted.
#[derive(Debug, Clone)]
struct Counted<I> {
    segments: I,
    left: usize,
}

impl<I: Iterator<Item = Segment>> Iterator for Counted<I> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        // Saturating: an iterator that yields more than it did before is the writer's to refuse.
        self.left = self.left.saturating_sub(1);
        self.segments.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator<Item = Segment>> ExactSizeIterator for Counted<I> {}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use elf_format::{Elf, Endian};

    use super::*;

    const ENCODING: Encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::try_new(start.into(), end.into()).unwrap()
    }

    /// A CPU, VMCOREINFO, no image and the given memory.
    fn builder<'a>(
        policy: Policy,
        cpu_notes: &'a [PhysRange],
        ram: &'a [PhysRange],
    ) -> Builder<'a, core::iter::Copied<core::slice::Iter<'a, PhysRange>>> {
        Builder {
            encoding: ENCODING,
            machine: Machine::X86_64,
            policy,
            cpu_notes,
            vmcoreinfo: Some(range(0x7000, 0x8024)),
            image: None,
            ram: ram.iter().copied(),
            page_offset: 0xffff_8880_0000_0000,
        }
    }

    fn emit<R: Iterator<Item = PhysRange> + Clone>(builder: &Builder<'_, R>) -> Vec<Segment> {
        let mut out = vec![0xff; builder.emitted_len() + 1];
        let len = builder.emit(&mut out).unwrap();
        assert_eq!((len, out[len]), (out.len() - 1, 0xff));
        let elf = Elf::parse(&out[..len]).unwrap();
        let class = builder.encoding.class;
        let end = class.header_size() + elf.segments().len() * class.segment_size();
        assert!(out[end..len].iter().all(|byte| *byte == 0));
        elf.segments().collect()
    }

    #[test]
    fn the_kernel_counts_headers_that_it_does_not_write() {
        let cpu = [range(0x1000, 0x1170)];
        // 64 + 72 × 56 is 4096: so many headers and no more fit a page, VMCOREINFO's and the
        // image's among them.
        for (ranges, len) in [(0, 4096), (69, 4096), (70, 8192)] {
            let ram = vec![range(0x10_0000, 0x20_0000); ranges];
            let mut builder = builder(Policy::Kernel, &cpu, &ram);
            for (vmcoreinfo, image, written) in
                [(true, true, 3), (true, false, 2), (false, false, 1)]
            {
                builder.vmcoreinfo = vmcoreinfo.then_some(range(0x7000, 0x8024));
                builder.image = image.then_some(Image {
                    virt: VirtAddr::new(0xffff_ffff_8100_0000),
                    phys: range(0x100_0000, 0x300_0000),
                });
                assert_eq!(builder.emitted_len(), len);
                assert_eq!(emit(&builder).len(), ranges + written);
            }
        }
    }

    #[test]
    fn kexec_tools_counts_reserved_ranges() {
        let (cpu, ram) = ([range(0x1000, 0x1170)], [range(0x10_0000, 0x20_0000)]);
        // 64 + 17 × 56 is 1016.
        for (spare, len) in [(0, 1024), (14, 1024), (15, 2048), (usize::MAX, usize::MAX)] {
            let rest = KexecTools {
                spare,
                ..KexecTools::default()
            };
            assert_eq!(
                builder(Policy::KexecTools(rest), &cpu, &ram).emitted_len(),
                len
            );
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn headers_to_spare_count_as_headers() {
        let (cpu, ram) = ([range(0x1000, 0x1170)], [range(0x10_0000, 0x20_0000)]);
        let with = |spare| {
            let rest = KexecTools {
                spare,
                ..KexecTools::default()
            };
            builder(Policy::KexecTools(rest), &cpu, &ram).to_vec()
        };
        // Three are written.
        let most = HEADERS_MAX - 3;
        assert!(with(most).unwrap().len() > HEADERS_MAX * 56);
        for (spare, value) in [
            (most + 1, HEADERS_MAX + 1),
            (1_000_000_000, 1_000_000_003),
            (usize::MAX, usize::MAX),
        ] {
            let error = Error::BadField {
                field: &SPARE,
                offset: 56,
                value: value as u64,
            };
            assert_eq!(with(spare), Err(error));
        }
    }

    #[test]
    fn only_the_range_that_was_copied_is_read_from_the_copy() {
        let backup = Backup {
            source: range(0x1000, 0x9_fc00),
            copy: PhysAddr::new(0xef6_1000),
        };
        let rest = KexecTools {
            backup: Some(backup),
            ..KexecTools::default()
        };
        let (cpu, ram) = (
            [range(0x1000, 0x1170)],
            [range(0x1000, 0x9_fc00), range(0x1000, 0x9_f000)],
        );
        let segments = emit(&builder(Policy::KexecTools(rest), &cpu, &ram));
        let places: Vec<_> = segments[2..]
            .iter()
            .map(|s| (s.offset, s.paddr, s.filesz))
            .collect();
        assert_eq!(
            places,
            [(0xef6_1000, 0x1000, 0x9_ec00), (0x1000, 0x1000, 0x9_e000)]
        );
        assert!(
            segments[2..]
                .iter()
                .all(|s| s.vaddr == 0xffff_8880_0000_1000)
        );
    }

    #[test]
    fn memory_above_lowmem_has_no_virtual_address() {
        let rest = KexecTools {
            lowmem_end: Some(PhysAddr::new(0x3000_0000)),
            ..KexecTools::default()
        };
        let ram = [
            range(0x10_0000, 0x3000_0000),
            range(0x2fff_f000, 0x3000_1000),
        ];
        let cpu = [range(0x1000, 0x1170)];
        for (class, none) in [(Class::Elf32, u32::MAX.into()), (Class::Elf64, u64::MAX)] {
            let endian = Endian::Big;
            let builder = Builder {
                encoding: Encoding { class, endian },
                page_offset: 0xc000_0000,
                ..builder(Policy::KexecTools(rest), &cpu, &ram)
            };
            let virt: Vec<_> = emit(&builder)[2..].iter().map(|s| s.vaddr).collect();
            assert_eq!(virt, [0xc010_0000, none]);
        }
    }

    /// RAM of a board that begins at 2 GiB, mapped at 1 GiB less than that, or more.
    #[test]
    fn the_offset_of_the_map_may_be_negative() {
        let (cpu, ram) = ([range(0x1000, 0x1170)], [range(0x8000_0000, 0x9000_0000)]);
        let endian = Endian::Little;
        for (class, page_offset, virt) in [
            (Class::Elf32, 0x4000_0000, 0xc000_0000),
            (Class::Elf32, 0xc000_0000, 0x4000_0000),
            (Class::Elf64, 0xffff_ffff_c000_0000, 0x4000_0000),
        ] {
            let builder = Builder {
                encoding: Encoding { class, endian },
                page_offset,
                ..builder(Policy::KexecTools(KexecTools::default()), &cpu, &ram)
            };
            assert_eq!(emit(&builder)[2].vaddr, virt);
        }
    }

    #[test]
    fn what_proc_vmcore_cannot_read_is_not_written() {
        let cpu = [range(0x1000, 0x1170)];
        let mut out = vec![0; 4 << 20];
        let ram = |count| core::iter::repeat_n(range(0x1000, 0x2000), count);
        let with = |count| Builder {
            encoding: ENCODING,
            machine: Machine::X86_64,
            policy: Policy::Kernel,
            cpu_notes: &cpu,
            vmcoreinfo: None,
            image: None,
            ram: ram(count),
            page_offset: 0,
        };
        assert!(with(HEADERS_MAX - 1).emit(&mut out).is_ok());
        assert_eq!(
            with(HEADERS_MAX).emit(&mut out).unwrap_err().to_string(),
            "offset 0x38: e_phnum is 0xffff, allowed: 1 to 65534, as /proc/vmcore does not know \
             extended numbering"
        );
        for (count, class, message) in [
            (
                0,
                Class::Elf32,
                "offset 0x2c: e_phnum is 0x0, allowed: 1 to",
            ),
            (
                1,
                Class::Elf32,
                "offset 0x34: p_type of the first program header is 0x1, allowed: 4",
            ),
            (
                1,
                Class::Elf64,
                "offset 0x40: p_type of the first program header is 0x1, allowed: 4",
            ),
        ] {
            let endian = Endian::Little;
            let builder = Builder {
                encoding: Encoding { class, endian },
                cpu_notes: &[],
                ..with(count)
            };
            let error = builder.emit(&mut out).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn an_address_above_4_gib_does_not_fit_elf32() {
        let (cpu, ram) = ([range(0x1000, 0x1170)], [range(1 << 32, 2 << 32)]);
        let builder = Builder {
            encoding: Encoding {
                class: Class::Elf32,
                ..ENCODING
            },
            page_offset: 0,
            ..builder(Policy::KexecTools(KexecTools::default()), &cpu, &ram)
        };
        let error = builder.emit(&mut [0; 1024]).unwrap_err().to_string();
        assert_eq!(
            error,
            "offset 0x78: p_offset is 0x100000000, allowed: at most 0xffffffff in ELF32"
        );
    }

    #[test]
    fn every_shorter_output_is_truncated() {
        let (cpu, ram) = ([range(0x1000, 0x1170)], [range(0x10_0000, 0x20_0000)]);
        let builder = builder(Policy::KexecTools(KexecTools::default()), &cpu, &ram);
        for len in [0, 63, 232, 1023] {
            let mut out = [0xff; 1024];
            let error = Error::Truncated {
                what: "elfcorehdr",
                offset: 0,
                needed: 1024,
                available: len as u64,
            };
            assert_eq!(builder.emit(&mut out[..len]), Err(error));
            assert_eq!(out, [0xff; 1024]);
        }
    }
}
