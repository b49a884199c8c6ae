//! Byte slices as physical memory: a guest's RAM around its holes, or a test's few bytes.
//!
//! ```text
//!            Region        Region Region            Region
//!  ─────────[██████]──────[██████|███████]─────────[██████]─────   ascending, may touch
//!             one read may cross ↑ but no hole
//! ```

use core::{
    marker::PhantomData,
    ops::{Deref, DerefMut, Range},
    slice,
};

use crate::{
    Absence, Error, MemError, PhysAddr, PhysMemory, PhysMemoryMut, PhysRange, memory::copy_through,
};

/// How many regions are tried one by one before they are searched.
const FEW: usize = 8;

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

    /// How many of its bytes lie below `at`, `None` if `at` is below all of them.
    #[inline]
    fn offset(&self, at: PhysAddr) -> Option<usize> {
        usize::try_from(at.checked_offset_from(self.range.start())?).ok()
    }

    /// The bytes from `at` on: `None` outside, and never empty.
    #[inline]
    fn tail(&self, at: PhysAddr) -> Option<&[u8]> {
        let bytes = self.bytes.as_ref().get(self.offset(at)?..)?;
        if bytes.is_empty() { None } else { Some(bytes) }
    }

    /// Which of its bytes are the `len` at `at`, `None` unless it has them all.
    fn place(&self, at: PhysAddr, len: u64) -> Option<Range<usize>> {
        let start = self.offset(at)?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.bytes.as_ref().len()).then_some(start..end)
    }
}

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
}

impl<B: AsRef<[u8]>> PhysMemory for Region<B> {
    #[inline]
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        read(slice::from_ref(self), at, out)
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
        write(slice::from_mut(self), at, bytes)
    }

    fn copy(&mut self, from: PhysAddr, to: PhysAddr, len: u64) -> Result<(), MemError> {
        match copy(slice::from_mut(self), from, to, len) {
            Some(()) => Ok(()),
            None => copy_through(self, from, to, len),
        }
    }
}

impl<B: AsRef<[u8]>, L: Deref<Target = [Region<B>]>> PhysMemory for Regions<L, B> {
    #[inline]
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
        read(&self.regions, at, out)
    }

    #[inline]
    fn lend(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        tail(&self.regions, at)?.get(..len)
    }

    #[inline]
    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        let position = position(&self.regions, from);
        self.regions.get(position)?.next_run(from)
    }
}

impl<B, L> PhysMemoryMut for Regions<L, B>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    L: DerefMut<Target = [Region<B>]>,
{
    fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
        write(&mut self.regions, at, bytes)
    }

    fn copy(&mut self, from: PhysAddr, to: PhysAddr, len: u64) -> Result<(), MemError> {
        match copy(&mut self.regions, from, to, len) {
            Some(()) => Ok(()),
            None => copy_through(self, from, to, len),
        }
    }
}

/// The index of the region that holds `at`, or else of the first above it.
#[inline]
fn position<B>(regions: &[Region<B>], at: PhysAddr) -> usize {
    // The processor foresees these branches; the steps of a search would have to be waited for.
    let mut first = regions.iter().take(FEW);
    let few = first.position(|region| at < region.range.end());
    few.unwrap_or_else(|| regions.partition_point(|region| region.range.end() <= at))
}

/// The bytes from `at` to the end of its region.
#[inline]
fn tail<B: AsRef<[u8]>>(regions: &[Region<B>], at: PhysAddr) -> Option<&[u8]> {
    regions.get(position(regions, at))?.tail(at)
}

/// Fills `out` from one region after the other.
#[inline]
fn read<B: AsRef<[u8]>>(
    regions: &[Region<B>],
    at: PhysAddr,
    out: &mut [u8],
) -> Result<(), MemError> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let here = offset_by(at, done)?;
        let bytes = tail(regions, here).ok_or(absent(here))?;
        let n = rest.len().min(bytes.len());
        if let (Some(rest), Some(bytes)) = (rest.get_mut(..n), bytes.get(..n)) {
            rest.copy_from_slice(bytes);
        }
        done += n;
    }
    Ok(())
}

/// Looks before it writes, so that an error leaves memory as it was.
fn write<B: AsRef<[u8]> + AsMut<[u8]>>(
    regions: &mut [Region<B>],
    at: PhysAddr,
    bytes: &[u8],
) -> Result<(), MemError> {
    let mut present = 0;
    while present < bytes.len() {
        let here = offset_by(at, present)?;
        present += tail(regions, here).ok_or(absent(here))?.len();
    }
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        let here = offset_by(at, written)?;
        let index = position(regions, here);
        let region = regions.get_mut(index).ok_or(absent(here))?;
        let skip = region.offset(here).ok_or(absent(here))?;
        let out = region.bytes.as_mut().get_mut(skip..).unwrap_or_default();
        let n = rest.len().min(out.len());
        if n == 0 {
            return Err(absent(here));
        }
        out.iter_mut()
            .zip(rest)
            .for_each(|(out, byte)| *out = *byte);
        written += n;
    }
    Ok(())
}

/// Copies from one region to one region; `None`, and nothing was copied, where more take part.
fn copy<B: AsRef<[u8]> + AsMut<[u8]>>(
    regions: &mut [Region<B>],
    from: PhysAddr,
    to: PhysAddr,
    len: u64,
) -> Option<()> {
    let (source_index, target_index) = (position(regions, from), position(regions, to));
    let source = regions.get(source_index)?.place(from, len)?;
    let target = regions.get(target_index)?.place(to, len)?;
    if source_index == target_index {
        let bytes = regions.get_mut(source_index)?.bytes.as_mut();
        // `AsMut` may lend other bytes than `AsRef`.
        if source.end.max(target.end) > bytes.len() {
            return None;
        }
        bytes.copy_within(source, target.start);
        return Some(());
    }
    let (low, high) = regions.split_at_mut_checked(source_index.max(target_index))?;
    let low = low.get_mut(source_index.min(target_index))?;
    let high = high.first_mut()?;
    let (source_region, target_region) = if source_index < target_index {
        (low, high)
    } else {
        (high, low)
    };
    let bytes = source_region.bytes.as_ref().get(source)?;
    let out = target_region.bytes.as_mut().get_mut(target)?;
    out.copy_from_slice(bytes);
    Some(())
}

/// The address `bytes` above `at`; past the end of the space there is no RAM.
#[inline]
fn offset_by(at: PhysAddr, bytes: usize) -> Result<PhysAddr, MemError> {
    at.checked_add(bytes as u64).ok_or(absent(at))
}

#[inline]
const fn absent(at: PhysAddr) -> MemError {
    MemError {
        at,
        why: Absence::NotRam,
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::{Endian, Width, runs};

    fn at(address: u64) -> PhysAddr {
        PhysAddr::new(address)
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
        assert_eq!(memory.read(at(0x14), &mut six), Err(absent(at(0x18))));
        assert_eq!(memory.read(at(0xf), &mut six), Err(absent(at(0xf))));
        assert_eq!(
            memory.read(at(u64::MAX), &mut six),
            Err(absent(at(u64::MAX)))
        );
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
        assert_eq!(
            memory.word(at(8), Width::U32, Endian::Big),
            Err(absent(at(8)))
        );
    }

    #[test]
    fn a_region_alone_is_memory() {
        let mut memory = Region::try_new(at(0x10), [1_u8, 2, 3, 4]).unwrap();
        let mut two = [0; 2];
        memory.read(at(0x12), &mut two).unwrap();
        assert_eq!(two, [3, 4]);
        assert_eq!(memory.read(at(0x13), &mut two), Err(absent(at(0x14))));
        assert_eq!(memory.read(at(0xf), &mut two), Err(absent(at(0xf))));
        assert_eq!(memory.lend(at(0x10), 4), Some(&[1, 2, 3, 4][..]));
        assert_eq!(memory.lend(at(0xf), 2), None);
        assert_eq!(memory.next_run(at(0)), Some(memory.range()));
        assert_eq!(memory.next_run(at(0x14)), None);

        assert_eq!(memory.write(at(0x13), &[9, 9]), Err(absent(at(0x14))));
        assert_eq!(memory.write(at(0x11), &[8, 7]), Ok(()));
        assert_eq!(memory.lend(at(0x10), 4), Some(&[1, 8, 7, 4][..]));
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

    /// Memory that copies as any memory can.
    struct Plain<M>(M);

    impl<M: PhysMemory> PhysMemory for Plain<M> {
        fn read(&self, at: PhysAddr, out: &mut [u8]) -> Result<(), MemError> {
            self.0.read(at, out)
        }

        fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
            self.0.next_run(from)
        }
    }

    impl<M: PhysMemoryMut> PhysMemoryMut for Plain<M> {
        fn write(&mut self, at: PhysAddr, bytes: &[u8]) -> Result<(), MemError> {
            self.0.write(at, bytes)
        }
    }

    #[test]
    fn a_copy_longer_than_any_buffer_may_overlap_itself() {
        let bytes: Vec<u8> = (0..251).cycle().take(40_000).collect();
        let len = 20_000;
        for (from, to) in [
            (0, 20_000),
            (0, 1),
            (1, 0),
            (100, 9_000),
            (9_000, 100),
            (5, 5),
        ] {
            let mut expected = bytes.clone();
            expected.copy_within(from..from + len, to);
            let mut region = Region::try_new(at(0), bytes.clone()).unwrap();
            let mut plain = Plain(region.clone());
            let (from, to) = (at(from as u64), at(to as u64));
            region.copy(from, to, len as u64).unwrap();
            assert!(region.bytes == expected, "{from} {to}");
            plain.copy(from, to, len as u64).unwrap();
            assert!(plain.0.bytes == expected, "{from} {to}");
        }
    }

    #[test]
    fn a_copy_names_a_byte_that_is_not_there() {
        let mut memory = Region::try_new(at(0x10), [1_u8, 2, 3, 4]).unwrap();
        assert_eq!(memory.copy(at(0x12), at(0x10), 3), Err(absent(at(0x14))));
        assert_eq!(memory.copy(at(0x10), at(0x12), 3), Err(absent(at(0x14))));
        assert_eq!(
            memory.copy(at(u64::MAX), at(0x10), u64::MAX),
            Err(absent(at(u64::MAX)))
        );
        assert_eq!(memory.copy(at(0), at(u64::MAX), 0), Ok(()));
        assert_eq!(memory.lend(at(0x10), 4), Some(&[1, 2, 3, 4][..]));
    }

    proptest! {
        /// However regions divide the memory, a copy does what one of a slice would, or names a byte that
        /// is missing.
        #[test]
        fn copies_agree_with_a_flat_model(
            layout in prop::collection::vec((0..2_u64, 1..9_usize), 1..2 * FEW),
            from in 0..60_usize,
            to in 0..60_usize,
            len in 0..20_usize,
        ) {
            let mut model: Vec<Option<u8>> = Vec::new();
            let mut parts = Vec::new();
            for (gap, size) in layout {
                model.extend(std::iter::repeat_n(None, usize::try_from(gap).unwrap()));
                let start = u8::try_from(model.len()).unwrap();
                let bytes: Vec<u8> = (start..).take(size).collect();
                parts.push(Region::try_new(at(model.len() as u64), bytes.clone()).unwrap());
                model.extend(bytes.into_iter().map(Some));
            }
            model.resize(8 * 9 * FEW, None);
            let missing = |start: usize| (start..start + len).find(|&i| model[i].is_none());
            let lost = missing(from).or(missing(to));
            let mut expected = model.clone();
            expected.copy_within(from..from + len, to);

            let mut memory = Regions::try_new(parts.clone()).unwrap();
            let mut plain = Plain(Regions::try_new(parts).unwrap());
            let places = (at(from as u64), at(to as u64), len as u64);
            let copied = [
                memory.copy(places.0, places.1, places.2),
                plain.copy(places.0, places.1, places.2),
            ];
            for (copied, memory) in copied.into_iter().zip([&memory, &plain.0]) {
                match copied {
                    Err(error) => {
                        let byte = usize::try_from(error.at.as_u64()).unwrap();
                        prop_assert!(lost.is_some() && model[byte].is_none());
                    }
                    Ok(()) => {
                        prop_assert_eq!(lost, None);
                        for (i, byte) in expected.iter().enumerate() {
                            let mut found = [0];
                            let read = memory.read(at(i as u64), &mut found);
                            prop_assert_eq!(read.ok().map(|()| found[0]), *byte);
                        }
                    }
                }
            }
        }

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
                let expected = hole.map_or(Ok(()), |i| Err(absent(at(address + i as u64))));
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
                Some(i) => prop_assert_eq!(read, Err(absent(at(address + i as u64)))),
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
