//! The map that a kernel gets from the kernel before it.
//!
//! ```text
//!   first kernel    RRR██████████████████████████████RRR       R reserved, N NVS
//!   Crash kernel                ├──────────┤
//!   elfcorehdr, backup                 ▒▒ ▒
//!   capture kernel  RRR█        ███████  █  █        RRR       the rest is the dead kernel's memory
//! ```
//!
//! Who loads the image makes the map:
//!
//! - `kexec_load()`: kexec-tools, `kexec/arch/i386/crashdump-x86.c` (capture) and `x86-linux-setup.c`,
//!   `kexec-x86-common.c` (reboot);
//! - `kexec_file_load()`: Linux, `crash_setup_memmap_entries()` in `arch/x86/kernel/crash.c` (from 5.5 on;
//!   reserved entries from 5.3 on) and `setup_e820_entries()` in `kexec-bzimage64.c`.
//!
//! Both put at most 128 entries into the zero page. Linux silently loses the others; here the store is
//! the limit, and [`Error::Full`] says so.

use physmem::{PhysAddr, PhysRange};

use crate::{Entry, Error, Kind, MemoryMap, Store, error::Result};

/// Who loads the next kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loader {
    /// kexec-tools, by `kexec_load()`.
    KexecTools,
    /// Linux, by `kexec_file_load()`.
    Linux,
}

/// What the map of a capture kernel depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CaptureImage<'a> {
    /// `Crash kernel` in `/proc/iomem`: one region or two.
    pub reserved: &'a [PhysRange],
    /// Segments that the capture kernel must not take for free memory: `elfcorehdr`, the backup of low
    /// memory, keys. To the byte of their content, not to their pages.
    pub taken: &'a [PhysRange],
    /// Low memory that was backed up and may be written over; kexec-tools only. It is the first RAM
    /// below 640 KiB.
    pub backup: Option<PhysRange>,
}

impl<S: Store> MemoryMap<S> {
    /// The map after a `kexec` that is no crash, from the first kernel's `/sys/firmware/memmap`.
    ///
    /// kexec-tools cuts off the first KiB of RAM (interrupt vectors) and has no numbers for some kinds:
    /// unusable, soft-reserved and unknown memory becomes [`Kind::RESERVED`]. Linux hands over all.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if `store` cannot hold the map.
    pub fn next_kernel<T: Store>(&self, loader: Loader, mut store: T) -> Result<MemoryMap<T>> {
        store.resize(0, Entry::UNUSED)?;
        for &entry in self.entries() {
            let entry = match loader {
                Loader::Linux => Some(entry),
                Loader::KexecTools => of_kexec_tools(entry),
            };
            entry.map_or(Ok(()), |entry| store.push(entry))?;
        }
        Ok(MemoryMap(store))
    }

    /// The map of a capture kernel, from the top level of the first kernel's `/proc/iomem`.
    ///
    /// ```
    /// use e820::{Entry, Fixed, Kind, MemoryMap, handover::{CaptureImage, Loader}};
    /// use physmem::PhysRange;
    ///
    /// let range = |start: u64, end: u64| PhysRange::try_new(start.into(), end.into());
    /// let mut first = MemoryMap::try_new(Fixed::<8>::default())?;
    /// for (range, kind) in [
    ///     (range(0x1000, 0x9fc00)?, Kind::RAM),
    ///     (range(0x9fc00, 0xa0000)?, Kind::RESERVED),
    ///     (range(0x10_0000, 0x13fd_d000)?, Kind::RAM),
    /// ] {
    ///     first.insert(Entry { range, kind })?;
    /// }
    /// let image = CaptureImage {
    ///     reserved: &[range(0x800_0000, 0xf00_0000)?],
    ///     taken: &[range(0xef5_d000, 0xef6_1000)?, range(0xef6_1000, 0xeff_fc00)?],
    ///     backup: Some(range(0x1000, 0x9fc00)?),
    /// };
    /// let map = first.capture_kernel(Loader::KexecTools, &image, Fixed::<128>::default())?;
    /// assert_eq!(map.to_string(), "\
    /// [mem 0x0000000000001000-0x000000000009fbff] usable
    /// [mem 0x000000000009fc00-0x000000000009ffff] reserved
    /// [mem 0x0000000008000000-0x000000000ef5cfff] usable
    /// [mem 0x000000000efffc00-0x000000000effffff] usable
    /// ");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if `store` cannot hold the map, [`Error::Overlap`] if two of these ranges meet that
    /// must not, [`Error::Unaligned`] where kexec-tools refuses an entry.
    pub fn capture_kernel<T: Store>(
        &self,
        loader: Loader,
        image: &CaptureImage<'_>,
        mut store: T,
    ) -> Result<MemoryMap<T>> {
        store.resize(0, Entry::UNUSED)?;
        let mut map = MemoryMap(store);
        for &entry in self
            .entries()
            .iter()
            .filter(|entry| loader.hands_on(entry.kind))
        {
            loader.check(entry.range)?;
            map.insert(entry)?;
        }
        let low = PhysRange::with_size(PhysAddr::new(0), LOW_MEMORY).ok();
        let low = self
            .ranges(Kind::RAM)
            .map_while(|range| range.intersection(low?));
        let low = low.filter(|_| loader == Loader::Linux);
        let backup = image.backup.filter(|_| loader == Loader::KexecTools);
        for range in low.chain(backup).chain(image.reserved.iter().copied()) {
            if let Some(range) = loader.ram(range) {
                map.insert(Entry {
                    range,
                    kind: Kind::RAM,
                })?;
            }
        }
        for &range in image.taken {
            map.remove(range, Some(Kind::RAM))?;
        }
        if loader == Loader::Linux {
            let in_reserved =
                |piece: PhysRange| image.reserved.iter().any(|r| r.contains_range(piece));
            let scrap = |piece: &PhysRange| piece.size() < PAGE_SIZE && in_reserved(*piece);
            loop {
                let piece = map.ranges(Kind::RAM).find(scrap);
                let Some(piece) = piece else { break };
                map.remove(piece, None)?;
            }
        }
        Ok(map)
    }
}

/// What kexec-tools' entries are multiples of.
const KEXEC_TOOLS_ALIGN: u64 = 1024;

/// Low memory that Linux never uses itself if there is a `crashkernel=`, so the capture kernel may.
const LOW_MEMORY: u64 = 1 << 20;

/// Smaller pieces of a `Crash kernel` region are left out by Linux.
const PAGE_SIZE: u64 = 4096;

impl Loader {
    /// Whether entries of this kind are in the map of a capture kernel as they are.
    fn hands_on(self, kind: Kind) -> bool {
        match kind {
            Kind::ACPI | Kind::NVS | Kind::RESERVED => true,
            Kind::PMEM | Kind::PRAM => self == Self::KexecTools,
            _ => false,
        }
    }

    fn check(self, range: PhysRange) -> Result<()> {
        let align = KEXEC_TOOLS_ALIGN;
        let aligned = [range.start(), range.end()]
            .iter()
            .all(|at| at.as_u64() % align == 0);
        match self {
            Self::KexecTools if !aligned => Err(Error::Unaligned { range, align }),
            _ => Ok(()),
        }
    }

    /// A range of RAM as it is added.
    fn ram(self, range: PhysRange) -> Option<PhysRange> {
        let down = |at: u64| PhysAddr::new(at - at % KEXEC_TOOLS_ALIGN);
        match self {
            Self::Linux => Some(range),
            Self::KexecTools => {
                let start = range
                    .start()
                    .as_u64()
                    .checked_next_multiple_of(KEXEC_TOOLS_ALIGN)?;
                PhysRange::try_new(PhysAddr::new(start), down(range.end().as_u64())).ok()
            }
        }
    }
}

/// An entry as kexec-tools hands it on over a reboot.
fn of_kexec_tools(entry: Entry) -> Option<Entry> {
    let Entry { range, kind } = entry;
    // The test is for the first 256 bytes, what is cut off is 1 KiB.
    let vectors = kind == Kind::RAM && range.start() < PhysAddr::new(0x100);
    let range = if vectors {
        range.at_and_above(PhysAddr::new(0x400))?
    } else {
        range
    };
    let kind = match kind {
        Kind::RAM | Kind::ACPI | Kind::NVS | Kind::PMEM | Kind::PRAM => kind,
        _ => Kind::RESERVED,
    };
    Some(Entry { range, kind })
}
