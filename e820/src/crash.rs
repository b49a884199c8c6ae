//! Which memory the kernel sets aside for `crashkernel=`, and why it would set aside none.
//!
//! ```text
//!        ├────── below 4 GiB ───────┤├─────── above ────────┤
//!   RAM  ████████████████████████████████████████████████████
//!   busy       ▒▒▒▒▒▒▒         ▒▒▒▒                       ▒▒
//!   112M             first ──►█████                          top-down, a multiple of 16 MiB
//!   112M,high        low ────►██              first ──►█████
//! ```
//!
//! `reserve_crashkernel_generic()` in Linux `kernel/crash_reserve.c` and, before 6.6,
//! `reserve_crashkernel()` in `arch/x86/kernel/setup.c`, over memblock's top-down search.
//!
//! **What can be foretold.** The search is exact, but it goes around what the kernel has in use by then:
//! its own image (at a random place with KASLR), the initrd, the first MiB or parts of it, `setup_data`,
//! EFI's tables, early page tables. These are `busy`, and nobody but the machine's own log
//! (`RAMDISK: …`) and `/proc/iomem` (`Kernel code` to `Kernel bss`) knows them. With them, the result is
//! the kernel's; without, it is the best place there could be, and a refusal is certain.

use physmem::{PageShift, PhysAddr, PhysRange, sorted};

use crate::{
    Direction, Entry, Error, Kind, MemoryMap, PlaceRequest, Placement, Store, place,
    text::crashkernel::Wanted,
};

/// What differs between architectures and kernel versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Of what the start is a multiple, in bytes: `CRASH_ALIGN`.
    pub align: u64,
    /// The same where the command line says the address.
    pub fixed_align: u64,
    /// Where low memory ends: `CRASH_ADDR_LOW_MAX`.
    pub low_end: PhysAddr,
    /// Where memory that can be had ends: `CRASH_ADDR_HIGH_MAX`.
    pub high_end: PhysAddr,
    /// Bytes of low memory if nothing is said: `DEFAULT_CRASH_KERNEL_LOW_SIZE`.
    pub default_low: u64,
    /// Whether low memory is reserved, too, where the command line gives an address above `low_end`.
    pub low_with_address: bool,
    /// To a multiple of what RAM is rounded up before a range is looked for, in bytes; 1 for kernels that
    /// do not round.
    pub ram_step: u64,
}

impl Kernel {
    /// x86-64, Linux from 6.6 on, with the default size of swiotlb.
    pub const X86_64: Self = Self {
        align: 16 << 20,
        fixed_align: 16 << 20,
        low_end: PhysAddr::new(1 << 32),
        high_end: PhysAddr::new(1 << 46),
        default_low: 256 << 20,
        low_with_address: false,
        ram_step: 128 << 20,
    };

    /// x86-64 before 6.6: an address that is given need be a multiple of 1 MiB only.
    pub const X86_64_BEFORE_6_6: Self = Self {
        fixed_align: 1 << 20,
        low_with_address: true,
        ..Self::X86_64
    };
}

/// What is set aside; `Crash kernel` in `/proc/iomem`, both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// Where the capture kernel goes.
    pub main: PhysRange,
    /// Memory below 4 GiB for its devices, if `main` lies above.
    pub low: Option<PhysRange>,
}

/// Why the kernel sets nothing aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The command line is wrong.
    #[error(transparent)]
    Syntax(Error),
    /// `,low` or `,cma`, and nothing to which they could belong.
    #[error("crashkernel=…,low and …,cma need a crashkernel= beside them that says the size")]
    NoMain,
    /// A list of ranges without one for this machine.
    #[error("no range of crashkernel= holds {} MiB of RAM", ram >> 20)]
    NoRange {
        /// Bytes of RAM, rounded up as the kernel does.
        ram: u64,
    },
    /// A size of 0.
    #[error("the size in crashkernel= is 0")]
    ZeroSize,
    /// As much as the RAM, or more.
    #[error("crashkernel= asks for {} MiB of {} MiB of RAM", size >> 20, ram >> 20)]
    TooBig {
        /// Bytes asked for.
        size: u64,
        /// Bytes of RAM.
        ram: u64,
    },
    /// The address that is given is not free RAM, or not aligned.
    #[error("{size:#x} bytes at {at} are in use, no RAM, or not aligned to {align:#x}")]
    InUse {
        /// The address.
        at: PhysAddr,
        /// Bytes asked for.
        size: u64,
        /// Of what the address must be a multiple.
        align: u64,
    },
    /// No place is large enough.
    #[error("no {} MiB of RAM are free in one piece", size >> 20)]
    NoRoom {
        /// Bytes asked for.
        size: u64,
    },
    /// No place below 4 GiB is large enough for the low memory.
    #[error("no {} MiB of RAM are free in one piece below 4 GiB", size >> 20)]
    NoLowRoom {
        /// Bytes asked for.
        size: u64,
    },
}

impl<S: Store> MemoryMap<S> {
    /// What a kernel sets aside on this map, which is the one it works with (the `user` map, if there
    /// is one). `busy` is what it has in use already, see [the room's documentation](self). What
    /// [`Wanted::cma`] asks for comes from wherever there is some: it is not foretold, and the kernel
    /// goes on without it.
    ///
    /// # Errors
    ///
    /// Why it would set nothing aside.
    pub fn reserve_crashkernel(
        &self,
        wanted: &Wanted,
        busy: &[PhysRange],
        kernel: &Kernel,
    ) -> Result<Reservation, Refusal> {
        let Wanted {
            size,
            at,
            high,
            low,
            ..
        } = *wanted;
        // memblock never hands out the first page, for 0 is how it says no.
        let bottom = PhysAddr::new(PageShift::SIZE_4K.bytes());
        let search = |size, align, start, end| {
            let window = PhysRange::try_new(start, end).ok()?;
            let direction = Direction::TopDown;
            let request = PlaceRequest {
                size,
                align,
                window,
                direction,
            };
            place::find(self.memblock(), busy, request, Placement::Exact)
        };
        let main = match at {
            Some(at) => {
                let align = kernel.fixed_align;
                let place = at
                    .checked_add(size)
                    .and_then(|end| search(size, align, at, end));
                place.ok_or(Refusal::InUse { at, size, align })?
            }
            None => {
                let below = || search(size, kernel.align, bottom, kernel.low_end);
                let above = || search(size, kernel.align, kernel.low_end, kernel.high_end);
                let place = if high {
                    above().or_else(below)
                } else {
                    below().or_else(above)
                };
                place.ok_or(Refusal::NoRoom { size })?
            }
        };
        let low = match low.unwrap_or(kernel.default_low) {
            0 => None,
            _ if main.start() < kernel.low_end => None,
            _ if at.is_some() && !kernel.low_with_address => None,
            size => {
                let place = search(size, kernel.align, bottom, kernel.low_end);
                Some(place.ok_or(Refusal::NoLowRoom { size })?)
            }
        };
        Ok(Reservation { main, low })
    }

    /// RAM as memblock has it: neighbours joined, whole pages only.
    fn memblock(&self) -> impl Iterator<Item = PhysRange> {
        let ram = |entry: &&Entry| entry.kind == Kind::RAM || entry.kind == Kind::RESERVED_KERN;
        let ranges = self.entries().iter().filter(ram).map(|entry| entry.range);
        // A map is sorted.
        let joined = sorted(ranges).into_iter().flatten();
        joined.filter_map(|range| range.whole_pages(PageShift::SIZE_4K))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::Fixed;

    const MIB: u64 = 1 << 20;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::try_new((start * MIB).into(), (end * MIB).into()).unwrap()
    }

    /// 3 GiB of RAM below 4 GiB and as much above, as in QEMU.
    fn map() -> MemoryMap<Fixed<2>> {
        let ram = |range| Entry {
            range,
            kind: Kind::RAM,
        };
        let mut map = MemoryMap::try_new(Fixed::default()).unwrap();
        map.insert(ram(range(1, 3072))).unwrap();
        map.insert(ram(range(4096, 7168))).unwrap();
        map
    }

    fn reserve(size: u64, change: impl Fn(&mut Wanted)) -> Result<(u64, Option<u64>), Refusal> {
        let mut wanted = Wanted {
            size: size * MIB,
            at: None,
            high: false,
            low: None,
            cma: 0,
        };
        change(&mut wanted);
        let busy = [range(2900, 3072), range(5000, 5100)];
        let found = map().reserve_crashkernel(&wanted, &busy, &Kernel::X86_64)?;
        let mib = |range: PhysRange| range.start().as_u64() / MIB;
        Ok((mib(found.main), found.low.map(mib)))
    }

    #[test]
    fn low_first_or_high_first() {
        assert_eq!(reserve(112, |_| ()), Ok((2784, None)));
        assert_eq!(reserve(112, |w| w.high = true), Ok((7056, Some(2640))));
        assert_eq!(
            reserve(112, |w| (w.high, w.low) = (true, Some(72 * MIB))),
            Ok((7056, Some(2816)))
        );
        assert_eq!(
            reserve(112, |w| (w.high, w.low) = (true, Some(0))),
            Ok((7056, None))
        );
        // Too much for one side.
        let all =
            [(2880, false), (2880, true)].map(|(size, high)| reserve(size, |w| w.high = high));
        assert_eq!(all, [Ok((16, None)), Ok((16, None))]);
    }

    #[test]
    fn an_address_is_taken_exactly() {
        let at = |mib: u64| Some(PhysAddr::new(mib * MIB));
        assert_eq!(reserve(112, |w| w.at = at(128)), Ok((128, None)));
        assert_eq!(reserve(112, |w| w.at = at(4096)), Ok((4096, None)));
        for mib in [129, 2896, 3072, 4992] {
            let refused = reserve(112, |w| w.at = at(mib)).unwrap_err();
            assert!(matches!(refused, Refusal::InUse { .. }), "{mib}: {refused}");
        }
        let old = Kernel::X86_64_BEFORE_6_6;
        let wanted = Wanted {
            size: MIB,
            at: at(4097),
            high: false,
            low: None,
            cma: 0,
        };
        let found = map().reserve_crashkernel(&wanted, &[], &old).unwrap();
        assert_eq!(
            (found.main, found.low),
            (range(4097, 4098), Some(range(2816, 3072)))
        );
    }

    #[test]
    fn refusals() {
        assert_eq!(
            reserve(3073, |_| ()).unwrap_err().to_string(),
            "no 3073 MiB of RAM are free in one piece"
        );
        let low = Some(2900 * MIB);
        assert_eq!(
            reserve(64, |w| (w.high, w.low) = (true, low)),
            Err(Refusal::NoLowRoom { size: 2900 * MIB })
        );
    }
}
