//! How anything reads physical memory, and why it sometimes cannot.
//!
//! ```text
//!                     ┌ read   copies, or says which byte is missing and why
//!  page walkers ──▶   │ word   one entry of a page table
//!  filters      ──▶  PhysMemory
//!  dump writers ──▶   │ lend   borrows, where nobody writes meanwhile
//!                     └ next_run   skips holes without probing
//!                          ▲
//!  a dump · a guest's RAM · a firmware's own memory · byte slices (Region, Regions)
//! ```
//!
//! Slices borrowed from a running guest are unsound, so lending is optional and only for memory at
//! rest; a compressed dump has no slice to lend; and whoever walks tables must be able to say why one
//! is missing. These three facts shape the trait.

use core::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use crate::{Error, PhysAddr, PhysRange};

/// Why memory cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Absence {
    /// No RAM is there, or none that the source knows of.
    #[error("not RAM")]
    NotRam,
    /// It is RAM, and was left out on purpose, as `makedumpfile -d` does.
    #[error("excluded when the dump was written")]
    Excluded,
    /// It should be there, and the writer did not get so far or the file is cut.
    #[error("lost: the dump is incomplete")]
    Lost,
    /// It is there and cannot be decoded.
    #[error("damaged")]
    Damaged,
    /// It is there, compressed by a method this build cannot decode.
    #[error("compressed by a codec that is not built in")]
    CodecMissing,
    /// The operating system refused to read it.
    #[error("not readable, errno {errno}")]
    Io {
        /// The operating system's error number.
        errno: i32,
    },
}

/// Which byte is missing, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("physical address {at}: {why}")]
pub struct MemError {
    /// The first byte that could not be read or written.
    pub at: PhysAddr,
    /// Why.
    pub why: Absence,
}

const _: () = assert!(size_of::<MemError>() <= 16);

/// The width of a word in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// 32 bits: i386 and arm short-descriptor table entries.
    U32,
    /// 64 bits: every other table entry.
    U64,
}

impl Width {
    /// Bytes in a word.
    #[inline]
    pub const fn bytes(self) -> usize {
        match self {
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }

    /// The word that `bytes` begins with, `None` if they are too few.
    #[inline]
    pub fn decode(self, bytes: &[u8], order: Endian) -> Option<u64> {
        Some(match (self, order) {
            (Self::U32, Endian::Little) => u32::from_le_bytes(*bytes.first_chunk()?).into(),
            (Self::U32, Endian::Big) => u32::from_be_bytes(*bytes.first_chunk()?).into(),
            (Self::U64, Endian::Little) => u64::from_le_bytes(*bytes.first_chunk()?),
            (Self::U64, Endian::Big) => u64::from_be_bytes(*bytes.first_chunk()?),
        })
    }
}

/// The byte order of a word in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Physical memory that can be read: a guest's, a dump's, one's own.
///
/// Object-safe; implemented for references, so that a reader can be handed on.
pub trait PhysMemory {
    /// Fills all of `out` from the bytes at `at`.
    ///
    /// # Errors
    ///
    /// The first missing byte and why; `out` then holds nothing to rely on.
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError>;

    /// Borrows `len` bytes that nobody writes meanwhile: a mapped dump, a ROM.
    ///
    /// `None` means "cannot lend", not "absent": [`PhysMemory::read`] may still succeed, and is the
    /// one that says why if it does not. The memory of a running guest never lends.
    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        let _ = (at, len);
        None
    }

    /// Reads one word in the guest's byte order, `at` aligned to its width.
    ///
    /// Memory that changes meanwhile overrides it with one atomic load, so that an entry is never
    /// half old and half new.
    ///
    /// # Errors
    ///
    /// As [`PhysMemory::read`].
    #[inline]
    fn word(&self, at: PhysAddr, width: Width, order: Endian) -> Result<u64, MemError> {
        let lent = self.lend(at, width.bytes());
        match lent.and_then(|bytes| width.decode(bytes, order)) {
            Some(word) => Ok(word),
            None => read_word(self, at, width, order),
        }
    }

    /// The first stretch at or above `from` that may hold memory, cut to begin at `from` if that
    /// lies inside; `None` if there is none.
    ///
    /// It lets a caller skip holes without probing page by page. Bytes inside can still be absent
    /// (excluded, lost, damaged).
    fn next_run(&self, from: PhysAddr) -> Option<PhysRange>;
}

/// Physical memory that can also be written.
pub trait PhysMemoryMut: PhysMemory {
    /// Writes all of `bytes` at `at`.
    ///
    /// # Errors
    ///
    /// The first byte that is not there; then nothing was written.
    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), MemError>;
}

impl<M: PhysMemory + ?Sized> PhysMemory for &M {
    #[inline]
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        (**self).read(at, out)
    }

    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        (**self).lend(at, len)
    }

    #[inline]
    fn word(&self, at: PhysAddr, width: Width, order: Endian) -> Result<u64, MemError> {
        (**self).word(at, width, order)
    }

    #[inline]
    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        (**self).next_run(from)
    }
}

/// Reads a word that cannot be lent. Out of line, because inlined it costs a page walk its registers.
#[cold]
#[inline(never)]
fn read_word<M: PhysMemory + ?Sized>(
    memory: &M,
    at: PhysAddr,
    width: Width,
    order: Endian,
) -> Result<u64, MemError> {
    let mut bytes = [0; 8];
    let (word, _) = bytes.split_at_mut(width.bytes());
    memory.read(at, word)?;
    // The slice is as long as the word, so it decodes.
    Ok(width.decode(word, order).unwrap_or_default())
}

/// The stretches of a memory that may hold bytes, ascending, by [`PhysMemory::next_run`].
pub fn runs<M: PhysMemory + ?Sized>(memory: &M) -> Runs<'_, M> {
    Runs {
        memory,
        from: Some(PhysAddr::new(0)),
    }
}

/// The iterator made by [`runs`].
#[derive(Debug)]
pub struct Runs<'m, M: ?Sized> {
    memory: &'m M,
    from: Option<PhysAddr>,
}

impl<M: ?Sized> Clone for Runs<'_, M> {
    fn clone(&self) -> Self {
        Self {
            memory: self.memory,
            from: self.from,
        }
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Runs<'_, M> {
    type Item = PhysRange;

    fn next(&mut self) -> Option<PhysRange> {
        let from = self.from.take()?;
        // An implementation that answers below `from` would make this endless: cut, or stop.
        let run = self.memory.next_run(from)?.at_and_above(from)?;
        self.from = Some(run.end());
        Some(run)
    }
}

/// Bytes at a physical address: `B` is a slice, an array, a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region<B> {
    range: PhysRange,
    bytes: B,
}

impl<B: AsRef<[u8]>> Region<B> {
    /// Places `bytes` at `base`.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyRange`] for no bytes, [`Error::WrappingRange`] if they pass the end of the
    /// address space.
    pub fn try_new(base: PhysAddr, bytes: B) -> Result<Self, Error> {
        let range = PhysRange::with_size(base, bytes.as_ref().len() as u64)?;
        Ok(Self { range, bytes })
    }

    /// The addresses it covers.
    #[inline]
    pub fn range(&self) -> PhysRange {
        self.range
    }

    /// The bytes from `at` to the end of the region, `None` outside.
    #[inline]
    fn tail(&self, at: PhysAddr) -> Option<&[u8]> {
        let offset = at.checked_offset_from(self.range.start())?;
        let bytes = self.bytes.as_ref().get(usize::try_from(offset).ok()?..)?;
        if bytes.is_empty() { None } else { Some(bytes) }
    }
}

impl<B: AsRef<[u8]>> PhysMemory for Region<B> {
    #[inline]
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        copy_out(at, out, |at| self.tail(at))
    }

    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        self.tail(at)?.get(..len)
    }

    #[inline]
    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.range.at_and_above(from)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> PhysMemoryMut for Region<B> {
    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
        Regions {
            regions: core::slice::from_mut(self),
            bytes: PhantomData,
        }
        .write(at, bytes)
    }
}

/// How many regions are tried one by one before they are searched.
const FEW: usize = 8;

/// Regions in ascending order, none overlapping: a guest's RAM around its holes.
///
/// `L` is a slice, a mutable slice or a vector of [`Region`]s.
#[derive(Debug, Clone, Copy)]
pub struct Regions<L, B> {
    regions: L,
    /// Says that whoever borrows the list borrows the bytes.
    bytes: PhantomData<B>,
}

impl<B: AsRef<[u8]>, L: Deref<Target = [Region<B>]>> Regions<L, B> {
    /// Takes a list that ascends; regions may touch.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`] for the first region that begins below the end of the one before it.
    pub fn try_new(regions: L) -> Result<Self, Error> {
        let mut previous = PhysAddr::new(0);
        for (index, region) in regions.iter().enumerate() {
            if region.range.start() < previous {
                return Err(Error::OutOfOrder {
                    index,
                    start: region.range.start(),
                    previous,
                });
            }
            previous = region.range.end();
        }
        Ok(Self {
            regions,
            bytes: PhantomData,
        })
    }

    /// The index of the region that holds `at`, or else of the first above it.
    #[inline]
    fn position(&self, at: PhysAddr) -> usize {
        // The processor foresees these branches; the steps of a search would have to be waited for.
        let mut first = self.regions.iter().take(FEW);
        let few = first.position(|region| at < region.range.end());
        few.unwrap_or_else(|| {
            self.regions
                .partition_point(|region| region.range.end() <= at)
        })
    }

    /// The bytes from `at` to the end of its region.
    #[inline]
    fn tail(&self, at: PhysAddr) -> Option<&[u8]> {
        self.regions.get(self.position(at))?.tail(at)
    }
}

impl<B: AsRef<[u8]>, L: Deref<Target = [Region<B>]>> PhysMemory for Regions<L, B> {
    #[inline]
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        copy_out(at, out, |at| self.tail(at))
    }

    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        self.tail(at)?.get(..len)
    }

    #[inline]
    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        self.regions.get(self.position(from))?.next_run(from)
    }
}

impl<B, L> PhysMemoryMut for Regions<L, B>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    L: DerefMut<Target = [Region<B>]>,
{
    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
        // Look before writing, so that an error leaves memory as it was.
        let mut present = 0;
        while present < bytes.len() {
            let here = offset_by(at, present)?;
            present += self
                .tail(here)
                .ok_or(MemError {
                    at: here,
                    why: Absence::NotRam,
                })?
                .len();
        }
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            let here = offset_by(at, written)?;
            let absent = MemError {
                at: here,
                why: Absence::NotRam,
            };
            let index = self.position(here);
            let region = self.regions.get_mut(index).ok_or(absent)?;
            let skip = here
                .checked_offset_from(region.range.start())
                .ok_or(absent)?;
            let skip = usize::try_from(skip).map_err(|_| absent)?;
            let out = region.bytes.as_mut().get_mut(skip..).ok_or(absent)?;
            let n = rest.len().min(out.len());
            if n == 0 {
                return Err(absent);
            }
            out.iter_mut()
                .zip(rest)
                .for_each(|(out, byte)| *out = *byte);
            written += n;
        }
        Ok(())
    }
}

/// The address `bytes` above `at`; past the end of the space there is no RAM.
#[inline]
fn offset_by(at: PhysAddr, bytes: usize) -> Result<PhysAddr, MemError> {
    at.checked_add(bytes as u64).ok_or(MemError {
        at,
        why: Absence::NotRam,
    })
}

/// Fills `out` from the stretches that `tail` finds, each never empty.
#[inline]
fn copy_out<'m>(
    at: PhysAddr,
    out: &mut [u8],
    tail: impl Fn(PhysAddr) -> Option<&'m [u8]>,
) -> Result<(), MemError> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let here = offset_by(at, done)?;
        let bytes = tail(here).ok_or(MemError {
            at: here,
            why: Absence::NotRam,
        })?;
        let n = rest.len().min(bytes.len());
        if let (Some(rest), Some(bytes)) = (rest.get_mut(..n), bytes.get(..n)) {
            rest.copy_from_slice(bytes);
        }
        done += n;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn at(address: u64) -> PhysAddr {
        PhysAddr::new(address)
    }

    fn absent(address: u64) -> MemError {
        MemError {
            at: at(address),
            why: Absence::NotRam,
        }
    }

    #[test]
    fn a_read_names_the_first_missing_byte() {
        let parts = [
            Region::try_new(at(0x10), [1_u8; 4]).unwrap(),
            Region::try_new(at(0x14), [2_u8; 4]).unwrap(),
            Region::try_new(at(0x20), [3_u8; 4]).unwrap(),
        ];
        let memory = Regions::try_new(&parts[..]).unwrap();
        let mut six = [0; 6];
        memory.read(at(0x11), &mut six).unwrap();
        assert_eq!(six, [1, 1, 1, 2, 2, 2]);
        assert_eq!(memory.read(at(0x14), &mut six), Err(absent(0x18)));
        assert_eq!(memory.read(at(0xf), &mut six), Err(absent(0xf)));
        assert_eq!(memory.read(at(u64::MAX), &mut six), Err(absent(u64::MAX)));
        // Nothing is always there.
        assert_eq!(memory.read(at(0x18), &mut []), Ok(()));
    }

    #[test]
    fn lending_needs_one_region_and_absence_is_not_its_business() {
        let parts = [
            Region::try_new(at(0x10), [1_u8; 4]).unwrap(),
            Region::try_new(at(0x14), [2_u8; 4]).unwrap(),
        ];
        let memory = Regions::try_new(&parts[..]).unwrap();
        assert_eq!(memory.lend(at(0x12), 2), Some(&[1, 1][..]));
        assert_eq!(memory.lend(at(0x12), 3), None);
        assert_eq!(memory.lend(at(0x18), 1), None);
    }

    #[test]
    fn words_come_in_the_guests_order_and_across_regions() {
        let parts = [
            Region::try_new(at(0), [1_u8, 2, 3, 4].as_slice()).unwrap(),
            Region::try_new(at(4), [5, 6, 7, 8].as_slice()).unwrap(),
        ];
        let memory: &dyn PhysMemory = &Regions::try_new(&parts[..]).unwrap();
        assert_eq!(
            memory.word(at(0), Width::U64, Endian::Little),
            Ok(0x0807_0605_0403_0201)
        );
        assert_eq!(
            memory.word(at(0), Width::U64, Endian::Big),
            Ok(0x0102_0304_0506_0708)
        );
        assert_eq!(memory.word(at(4), Width::U32, Endian::Big), Ok(0x0506_0708));
        assert_eq!(memory.word(at(8), Width::U32, Endian::Big), Err(absent(8)));
    }

    #[test]
    fn lists_out_of_order_are_refused() {
        let region = |base: u64| Region::try_new(at(base), [0_u8; 8]).unwrap();
        assert!(Regions::try_new(vec![region(0), region(8)]).is_ok());
        assert_eq!(
            Regions::try_new(vec![region(0), region(7)]).unwrap_err(),
            Error::OutOfOrder {
                index: 1,
                start: at(7),
                previous: at(8)
            }
        );
        assert!(Region::try_new(at(u64::MAX), [0_u8; 1]).is_err());
        assert!(Region::try_new(at(0), [0_u8; 0]).is_err());
    }

    #[test]
    fn a_memory_that_answers_below_the_question_does_not_loop() {
        struct Liar;
        impl PhysMemory for Liar {
            fn read(&self, at: PhysAddr, _: &mut [u8]) -> Result<(), MemError> {
                Err(MemError {
                    at,
                    why: Absence::NotRam,
                })
            }
            fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
                PhysRange::with_size(PhysAddr::new(0), 0x1000).ok()
            }
        }
        assert_eq!(runs(&Liar).count(), 1);
    }

    proptest! {
        /// Reads, writes, lends and runs over regions with holes agree with one flat array of options.
        #[test]
        fn regions_agree_with_a_flat_model(
            layout in prop::collection::vec((0..4_u64, 1..6_usize), 0..3 * FEW),
            writes in prop::collection::vec((0..120_u64, prop::collection::vec(any::<u8>(), 0..9)), 0..6),
            question in (0..120_u64, 0..12_usize),
        ) {
            let mut model: Vec<Option<u8>> = Vec::new();
            let mut parts = Vec::new();
            for (gap, size) in layout {
                model.extend(std::iter::repeat_n(None, usize::try_from(gap).unwrap()));
                parts.push(Region::try_new(at(model.len() as u64), vec![0_u8; size]).unwrap());
                model.extend(std::iter::repeat_n(Some(0), size));
            }
            model.resize(8 * 3 * FEW + 80, None);
            let mut memory = Regions::try_new(parts).unwrap();
            for (address, bytes) in writes {
                let start = usize::try_from(address).unwrap();
                let hole = (0..bytes.len()).find(|i| model[start + i].is_none());
                let expected = hole.map_or(Ok(()), |i| Err(absent(address + i as u64)));
                prop_assert_eq!(memory.write(at(address), &bytes), expected);
                if expected.is_ok() {
                    for (i, byte) in bytes.iter().enumerate() {
                        model[start + i] = Some(*byte);
                    }
                }
            }
            let (address, len) = question;
            let start = usize::try_from(address).unwrap();
            let mut out = vec![0; len];
            let read = memory.read(at(address), &mut out);
            match (0..len).find(|i| model[start + i].is_none()) {
                Some(i) => prop_assert_eq!(read, Err(absent(address + i as u64))),
                None => {
                    prop_assert_eq!(read, Ok(()));
                    prop_assert!(out.iter().zip(&model[start..]).all(|(a, b)| Some(*a) == *b));
                }
            }
            if let Some(lent) = memory.lend(at(address), len) {
                prop_assert_eq!(lent, &out[..]);
            }
            let mut covered = vec![false; model.len()];
            for run in runs(&memory) {
                for address in run.start().as_u64()..run.end().as_u64() {
                    covered[usize::try_from(address).unwrap()] = true;
                }
            }
            prop_assert!(covered.iter().zip(&model).all(|(covered, byte)| *covered == byte.is_some()));
        }
    }
}
