//! A table at hand: where it is, what the entries above it leave of rights, and its bytes if the memory
//! lends them.
//!
//! ```text
//!  place ─▶ ┌───┬───┬───┬─ … ─┬───┐
//!           │ 0 │ 1 │ 2 │     │ n │   borrowed once, then each entry is one load;
//!           └───┴───┴───┴─ … ─┴───┘   or read from the memory, one at a time or a stretch
//! ```

use physmem::{Absence, MemError, PhysAddr, PhysMemory, VirtAddr};

use crate::{
    arch::Arch,
    fault::Fault,
    walker::{Place, Walker},
};

/// The most entries of [`Table::read`].
pub(crate) const WINDOW: usize = 512;

/// Bytes of so many of the widest entries.
const BYTES: usize = WINDOW * 8;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'m, F> {
    pub(crate) place: Place,
    /// What the entries above leave of rights.
    pub(crate) rights: F,
    /// The whole table, or nothing where it is not lent.
    bytes: &'m [u8],
}

impl<'m, F: Copy> Table<'m, F> {
    pub(crate) fn new<A: Arch, M: PhysMemory + ?Sized>(
        walker: &Walker<A>,
        memory: &'m M,
        place: Place,
        rights: F,
    ) -> Self {
        let (width, _) = walker.arch().entry();
        let size = width.bytes() << walker.arch().index_bits(place.level);
        Self {
            place,
            rights,
            bytes: memory.lend(place.table, size).unwrap_or_default(),
        }
    }

    /// The entry for `virt`, if it is lent; `level` is the table's own.
    #[inline]
    pub(crate) fn lent<A: Arch>(
        &self,
        walker: &Walker<A>,
        virt: VirtAddr,
        level: u8,
    ) -> Option<u64> {
        let (width, order) = walker.arch().entry();
        let offset = walker.index(virt, level) * width.bytes();
        width.decode(self.bytes.get(offset..)?, order)
    }

    /// The entry for `virt`.
    #[inline]
    pub(crate) fn raw<A: Arch<Flags = F>, M: PhysMemory + ?Sized>(
        &self,
        walker: &Walker<A>,
        memory: &M,
        virt: VirtAddr,
    ) -> Result<u64, Fault> {
        match self.lent(walker, virt, self.place.level) {
            Some(raw) if walker.has_entry(virt, self.place.level, self.rights) => Ok(raw),
            _ => walker.raw(memory, virt, self.place, self.rights),
        }
    }

    /// Puts the entries from the one for `virt` on into `entries`: `wanted` of them, or fewer. Says how
    /// many, at least one.
    pub(crate) fn read<A: Arch, M: PhysMemory + ?Sized>(
        &self,
        walker: &Walker<A>,
        memory: &M,
        virt: VirtAddr,
        wanted: usize,
        entries: &mut [u64; WINDOW],
    ) -> Result<usize, Absence> {
        let (width, _) = walker.arch().entry();
        let offset = walker.index(virt, self.place.level) * width.bytes();
        let wanted = wanted.min(WINDOW) * width.bytes();
        let lent = self.bytes.get(offset..).and_then(|rest| rest.get(..wanted));
        if let Some(bytes) = lent {
            return Ok(decode(walker, bytes, entries));
        }
        let mut copy = [0; BYTES];
        let (copy, _) = copy.split_at_mut(wanted);
        let at = walker.entry_at(virt, self.place);
        match read(memory, at, width.bytes(), copy) {
            Ok(bytes) => Ok(decode(walker, bytes, entries)),
            Err(error) => Err(error.why),
        }
    }
}

#[inline]
fn decode<A: Arch>(walker: &Walker<A>, bytes: &[u8], entries: &mut [u64; WINDOW]) -> usize {
    let (width, order) = walker.arch().entry();
    let mut count = 0;
    for (entry, bytes) in entries.iter_mut().zip(bytes.chunks_exact(width.bytes())) {
        // A chunk has the size of an entry, so it decodes; 0 would be an entry that is not present.
        *entry = width.decode(bytes, order).unwrap_or_default();
        count += 1;
    }
    count
}

/// Fills `out` from `at` on with entries of `size` bytes: all of them, or else those before the first byte that is
/// missing, which does not take them with it. At least one.
fn read<'o, M: PhysMemory + ?Sized>(
    memory: &M,
    at: PhysAddr,
    size: usize,
    out: &'o mut [u8],
) -> Result<&'o [u8], MemError> {
    let Err(missing) = memory.read(at, out) else {
        return Ok(out);
    };
    let before = missing.at.checked_offset_from(at);
    let before = before.and_then(|bytes| usize::try_from(bytes).ok());
    let whole = before.map_or(size, |bytes| bytes - bytes % size);
    let (there, _) = out.split_at_mut(whole.clamp(size, out.len()));
    memory.read(at, there)?;
    Ok(there)
}
