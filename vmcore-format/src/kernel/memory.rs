//! Virtual memory: bytes at an address that page tables translate.
//!
//! ```text
//!  virtual   ──[███ page ███][███ page ███]──      one translation a page
//!                    │             └────────────▶ physical, anywhere
//!                    └──────────▶ physical, anywhere
//! ```

#![deny(clippy::arithmetic_side_effects)]

use page_walk::{AnyWalker, Fault, FaultKind};
use physmem::{Absence, Endian, MemError, PageShift, PhysMemory, VirtAddr, Width};

use super::{Layout, word_width};
use crate::{Dump, Error, ReadAt};

/// Why virtual memory could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VirtError {
    /// The address is mapped nowhere, or a table on the way is missing.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The address is mapped, and the page is missing.
    #[error("virtual address {virt} is mapped: {source}")]
    Memory {
        /// The first byte that could not be read.
        virt: VirtAddr,
        /// Where it lies and why it cannot be had.
        source: MemError,
    },
    /// The bytes asked for pass the end of the address space.
    #[error("virtual addresses end at {:#x}", u64::MAX)]
    End,
}

impl VirtError {
    /// The first byte that could not be read.
    pub fn at(&self) -> VirtAddr {
        match self {
            Self::Fault(fault) => fault.virt,
            Self::Memory { virt, .. } => *virt,
            Self::End => VirtAddr::new(u64::MAX),
        }
    }

    /// Why the dump does not hold it, or the table that leads there; `None` if it is mapped nowhere.
    pub fn absence(&self) -> Option<Absence> {
        match self {
            Self::Memory { source, .. } => Some(source.why),
            Self::Fault(Fault {
                kind: FaultKind::Missing(why),
                ..
            }) => Some(*why),
            _ => None,
        }
    }
}

/// Fills all of `out` from the virtual address `virt`.
///
/// # Errors
///
/// The first byte that cannot be had and why; `out` then holds nothing to rely on.
pub fn read<M: PhysMemory + ?Sized>(
    walker: &AnyWalker,
    memory: &M,
    virt: VirtAddr,
    out: &mut [u8],
) -> Result<(), VirtError> {
    let mut rest = out;
    let mut here = Some(virt);
    while !rest.is_empty() {
        let (at, piece, behind) = page_of(walker, memory, here, rest)?;
        here = at.checked_add(piece.len() as u64);
        rest = behind;
    }
    Ok(())
}

/// Fills what of `out` lies in the page of `here`; gives the address, that part, and the rest.
fn page_of<'o, M: PhysMemory + ?Sized>(
    walker: &AnyWalker,
    memory: &M,
    here: Option<VirtAddr>,
    out: &'o mut [u8],
) -> Result<(VirtAddr, &'o mut [u8], &'o mut [u8]), VirtError> {
    let here = here.ok_or(VirtError::End)?;
    let mapping = walker.translate(memory, here)?;
    // Of a page of 2^64 bytes there is none.
    let last_in_page = 1_u64
        .checked_shl(mapping.shift.into())
        .unwrap_or(0)
        .wrapping_sub(1);
    let beyond = last_in_page & !here.as_u64();
    // A page longer than memory is long enough.
    let left = usize::try_from(beyond)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let (piece, rest) = out.split_at_mut(left.min(out.len()));
    memory.read(mapping.phys, piece).map_err(|source| {
        // The missing byte lies in what was asked for, so both sums are addresses.
        let offset = source
            .at
            .checked_offset_from(mapping.phys)
            .unwrap_or_default();
        let virt = here.checked_add(offset).unwrap_or(here);
        VirtError::Memory { virt, source }
    })?;
    Ok((here, piece, rest))
}

/// Virtual memory of a machine: its page tables over its memory, its byte order and word size.
///
/// ```
/// use physmem::VirtAddr;
/// use vmcore_format::{Dump, kernel::Virtual};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kdump.elf");
/// let file = std::fs::read(path)?;
/// let dump = Dump::open(&file[..])?;
/// let memory = dump.reader();
/// let kernel = Virtual::of(&dump, &memory)?;
/// let linux_banner = VirtAddr::new(0xffff_ffff_a791_ffe0);
/// assert_eq!(kernel.string(linux_banner, &mut [0; 13])?, b"Linux version");
/// assert_eq!(kernel.u32(linux_banner)?, u32::from_le_bytes(*b"Linu"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Virtual<'m, M: ?Sized> {
    walker: AnyWalker,
    memory: &'m M,
    endian: Endian,
    word: Width,
}

impl<M: ?Sized> Clone for Virtual<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: ?Sized> Copy for Virtual<'_, M> {}

impl<'m, M: PhysMemory + ?Sized> Virtual<'m, M> {
    /// The virtual memory that `walker` makes of `memory`, of a machine with this byte order and this
    /// size of a C `long`.
    pub fn new(walker: AnyWalker, memory: &'m M, endian: Endian, word: Width) -> Self {
        Self {
            walker,
            memory,
            endian,
            word,
        }
    }

    /// The kernel's virtual memory; `memory` is a reader of the dump.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::of`].
    pub fn of<S: ReadAt>(dump: &Dump<S>, memory: &'m M) -> Result<Self, Error> {
        let layout = Layout::of(dump)?;
        let word = word_width(dump);
        Ok(Self::new(layout.walker, memory, dump.endian(), word))
    }

    /// The size of a C `long` and of a pointer.
    pub fn word_size(&self) -> Width {
        self.word
    }

    /// The byte order of integers.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Fills all of `out` from `at`.
    ///
    /// # Errors
    ///
    /// The first byte that cannot be had and why; `out` then holds nothing to rely on.
    pub fn read(&self, at: VirtAddr, out: &mut [u8]) -> Result<(), VirtError> {
        read(&self.walker, self.memory, at, out)
    }

    /// Fills `out` from `at` up to the first byte that cannot be had; gives how many bytes that are.
    ///
    /// # Errors
    ///
    /// Why there is none, unless `out` is empty.
    pub fn read_up_to_hole(&self, at: VirtAddr, out: &mut [u8]) -> Result<usize, VirtError> {
        let mut rest = out;
        let mut here = at;
        let mut done = 0_usize;
        while !rest.is_empty() {
            let (found, behind) = match self.some_of_page(here, rest) {
                Ok(found) => found,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            // Saturating: a slice is no longer than memory.
            done = done.saturating_add(found);
            let Some(next) = here.checked_add(found as u64) else {
                break;
            };
            here = next;
            rest = behind;
        }
        Ok(done)
    }

    /// Fills what of `out` lies in the page of `at` and is there: how much that is, and what lies behind.
    fn some_of_page<'o>(
        &self,
        at: VirtAddr,
        out: &'o mut [u8],
    ) -> Result<(usize, &'o mut [u8]), VirtError> {
        match page_of(&self.walker, self.memory, Some(at), &mut *out) {
            Ok((_, piece, _)) => {
                let found = piece.len();
                let (_, rest) = out.split_at_mut(found);
                Ok((found, rest))
            }
            Err(error) => {
                // Bytes before the missing one are there, if it is not the first.
                let found = error.at().checked_offset_from(at).unwrap_or_default();
                let found = usize::try_from(found).unwrap_or_default();
                match out.split_at_mut_checked(found) {
                    Some((piece, _)) if !piece.is_empty() => {
                        page_of(&self.walker, self.memory, Some(at), piece)?;
                        Ok((found, &mut []))
                    }
                    _ => Err(error),
                }
            }
        }
    }

    /// The bytes at `at` before the first NUL, at most as many as `out` holds, in `out`.
    ///
    /// Nothing behind the NUL needs to be readable.
    ///
    /// # Errors
    ///
    /// A byte that cannot be had with no NUL before it.
    pub fn string<'o>(&self, at: VirtAddr, out: &'o mut [u8]) -> Result<&'o [u8], VirtError> {
        let found = self.read_up_to_hole(at, out)?;
        let wanted = out.len();
        let bytes = out.get(..found).unwrap_or_default();
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            return Ok(bytes.get(..end).unwrap_or_default());
        }
        if found < wanted {
            // Not the end of the string, so the byte that stopped it is an error; it says why.
            let hole = add(at, found as u64)?;
            self.u8(hole)?;
        }
        Ok(bytes)
    }

    /// The byte at `at`.
    ///
    /// # Errors
    ///
    /// As [`Virtual::read`]; so for the integers below.
    pub fn u8(&self, at: VirtAddr) -> Result<u8, VirtError> {
        self.array(at).map(|[byte]| byte)
    }

    /// The 16 bits at `at`.
    ///
    /// # Errors
    ///
    /// As [`Virtual::read`].
    pub fn u16(&self, at: VirtAddr) -> Result<u16, VirtError> {
        let bytes = self.array(at)?;
        Ok(match self.endian {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        })
    }

    /// The 32 bits at `at`.
    ///
    /// # Errors
    ///
    /// As [`Virtual::read`].
    pub fn u32(&self, at: VirtAddr) -> Result<u32, VirtError> {
        let bytes = self.array(at)?;
        Ok(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    /// The 64 bits at `at`.
    ///
    /// # Errors
    ///
    /// As [`Virtual::read`].
    pub fn u64(&self, at: VirtAddr) -> Result<u64, VirtError> {
        let bytes = self.array(at)?;
        Ok(match self.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    /// The C `unsigned long` at `at`.
    ///
    /// # Errors
    ///
    /// As [`Virtual::read`].
    pub fn word(&self, at: VirtAddr) -> Result<u64, VirtError> {
        match self.word {
            Width::U32 => self.u32(at).map(u64::from),
            Width::U64 => self.u64(at),
        }
    }

    /// The pointer at `at`.
    ///
    /// # Errors
    ///
    /// As [`Virtual::read`].
    pub fn pointer(&self, at: VirtAddr) -> Result<VirtAddr, VirtError> {
        self.word(at).map(VirtAddr::new)
    }

    fn array<const N: usize>(&self, at: VirtAddr) -> Result<[u8; N], VirtError> {
        let mut bytes = [0; N];
        self.read(at, &mut bytes)?;
        Ok(bytes)
    }
}

/// The address of a field, or of whatever else lies `bytes` above.
pub(crate) fn add(at: VirtAddr, bytes: u64) -> Result<VirtAddr, VirtError> {
    at.checked_add(bytes).ok_or(VirtError::End)
}

/// The address of an array's element.
pub(crate) fn element(array: VirtAddr, index: u64, size: u64) -> Result<VirtAddr, VirtError> {
    add(array, index.checked_mul(size).ok_or(VirtError::End)?)
}

/// The first address that is not in the smallest page around `at`.
pub(crate) fn behind_page(at: VirtAddr) -> Option<VirtAddr> {
    let page = PageShift::SIZE_4K;
    at.align_down(page).checked_add(page.bytes())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
pub(crate) mod tests {
    use std::{vec, vec::Vec};

    use page_walk::{FaultKind, Walker, X86_64};
    use physmem::{Absence, PhysAddr, Region};

    use super::*;

    /// Where [`Laid`] memory begins, virtually; its low half is mapped there, too, for pointers of 32 bits.
    pub(crate) const BASE: u64 = 0xffff_ffff_8000_0000;

    /// Memory laid by hand from [`BASE`] on: the first 2 MiB, of which what is not written is zero.
    pub(crate) struct Laid {
        pub(crate) bytes: Vec<u8>,
        /// Pages of it that are not mapped.
        pub(crate) holes: Vec<u64>,
    }

    /// Physical addresses: four tables of a page each, then the memory.
    const TABLES: u64 = 4 * 0x1000;

    impl Laid {
        pub(crate) fn new(size: usize) -> Self {
            Self {
                bytes: vec![0; size],
                holes: Vec::new(),
            }
        }

        pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
            let at = usize::try_from(at - BASE).unwrap();
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        }

        /// Physical memory from 0 on that maps it.
        pub(crate) fn physical(&self) -> Vec<u8> {
            let mut memory = vec![0; 0x4000];
            let mut entry = |table: u64, index: u64, value: u64| {
                let at = usize::try_from(table * 0x1000 + index * 8).unwrap();
                memory[at..at + 8].copy_from_slice(&value.to_le_bytes());
            };
            entry(0, 511, 0x1003);
            entry(1, 510, 0x2003);
            entry(0, 0, 0x1003);
            entry(1, 2, 0x2003);
            entry(2, 0, 0x3003);
            for page in 0..512 {
                if !self.holes.contains(&page) {
                    entry(3, page, (TABLES + page * 0x1000) | 3);
                }
            }
            memory.extend(&self.bytes);
            memory
        }
    }

    /// Asks `question` about laid memory.
    pub(crate) fn with<R>(
        laid: &Laid,
        endian: Endian,
        word: Width,
        question: impl FnOnce(Virtual<'_, Region<&[u8]>>) -> R,
    ) -> R {
        let physical = laid.physical();
        let memory = Region::try_new(PhysAddr::new(0), &physical[..]).unwrap();
        let walker = Walker::new(X86_64::four_level(), PhysAddr::new(0)).into();
        question(Virtual::new(walker, &memory, endian, word))
    }

    fn at(offset: u64) -> VirtAddr {
        VirtAddr::new(BASE + offset)
    }

    #[test]
    fn integers_have_the_machines_order_and_size() {
        let mut laid = Laid::new(0x1000);
        laid.put(BASE, &[1, 2, 3, 4, 5, 6, 7, 8]);
        with(&laid, Endian::Little, Width::U64, |virt| {
            assert_eq!(virt.u8(at(1)), Ok(2));
            assert_eq!(virt.u16(at(0)), Ok(0x0201));
            assert_eq!(virt.u32(at(0)), Ok(0x0403_0201));
            assert_eq!(virt.word(at(0)), Ok(0x0807_0605_0403_0201));
        });
        with(&laid, Endian::Big, Width::U32, |virt| {
            assert_eq!(virt.u16(at(0)), Ok(0x0102));
            assert_eq!(virt.word(at(4)), Ok(0x0506_0708));
            assert_eq!(virt.u64(at(0)), Ok(0x0102_0304_0506_0708));
            assert_eq!(virt.pointer(at(0)), Ok(VirtAddr::new(0x0102_0304)));
        });
    }

    #[test]
    fn reading_goes_across_pages_and_stops_at_holes() {
        let mut laid = Laid::new(0x4000);
        laid.put(BASE + 0xffc, b"abcdefgh");
        laid.holes.push(2);
        with(&laid, Endian::Little, Width::U64, |virt| {
            let mut out = [0; 8];
            virt.read(at(0xffc), &mut out).unwrap();
            assert_eq!(&out, b"abcdefgh");

            let mut out = [0xaa; 0x2000];
            assert_eq!(virt.read_up_to_hole(at(0xffc), &mut out), Ok(0x1004));
            assert!(out.starts_with(b"abcdefgh\0"));
            let error = virt.read(at(0xffc), &mut out).unwrap_err();
            assert_eq!(error.at(), at(0x2000));
            assert!(matches!(error, VirtError::Fault(fault)
                if matches!(fault.kind, FaultKind::NotPresent { entry: 0 })));
            assert_eq!(virt.read_up_to_hole(at(0x2000), &mut out), Err(error));
            assert_eq!(virt.read_up_to_hole(at(0x2000), &mut []), Ok(0));

            // Mapped, and past the end of memory.
            assert_eq!(virt.read_up_to_hole(at(0x3ff0), &mut out), Ok(16));
            let error = virt.read_up_to_hole(at(0x4000), &mut out).unwrap_err();
            let VirtError::Memory {
                virt: missing,
                source,
            } = error
            else {
                panic!("{error}")
            };
            assert_eq!((missing, source.why), (at(0x4000), Absence::NotRam));
            assert_eq!(source.at, PhysAddr::new(TABLES + 0x4000));
        });
    }

    #[test]
    fn memory_that_ends_within_a_page_is_read_to_its_end() {
        let mut laid = Laid::new(0x10);
        laid.put(BASE, b"0123456789abcdef");
        with(&laid, Endian::Little, Width::U64, |virt| {
            let mut out = [0; 32];
            assert_eq!(virt.read_up_to_hole(at(4), &mut out), Ok(12));
            assert!(out.starts_with(b"456789abcdef"));
        });
    }

    #[test]
    fn a_string_ends_at_its_nul_or_where_it_must() {
        let mut laid = Laid::new(0x2000);
        laid.put(BASE + 0xffa, b"hello\0worlds");
        laid.holes.push(1);
        with(&laid, Endian::Little, Width::U64, |virt| {
            let mut out = [0; 64];
            assert_eq!(virt.string(at(0xffa), &mut out), Ok(&b"hello"[..]));
            assert_eq!(virt.string(at(0xffa), &mut out[..3]), Ok(&b"hel"[..]));
            assert_eq!(virt.string(at(0xffa), &mut []), Ok(&b""[..]));
        });
        laid.put(BASE + 0xfff, b"x");
        with(&laid, Endian::Little, Width::U64, |virt| {
            let error = virt.string(at(0xffa), &mut [0; 64]).unwrap_err();
            assert_eq!(error.at(), at(0x1000));
        });
    }

    #[test]
    fn the_address_space_ends() {
        assert_eq!(add(VirtAddr::new(u64::MAX), 1), Err(VirtError::End));
        assert_eq!(element(VirtAddr::new(0), u64::MAX, 2), Err(VirtError::End));
        assert_eq!(behind_page(VirtAddr::new(u64::MAX)), None);
    }
}
