//! The map as the command line changes it.
//!
//! ```text
//!   firmware         ████████1████████
//!   64K#…, 1M%…-1    ██1██      ██1███     entries are added over others, cut and dropped …
//!                      █3█
//!   user             █1█3█      ██1███     … until all of it is cleaned up at the end
//! ```
//!
//! `e820__range_add()`, `e820__range_remove()`, `e820__range_update()` as `parse_memmap_one()` calls
//! them, then `e820__finish_early_params()`, in Linux `arch/x86/kernel/e820.c`.

#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "alloc")]
use alloc::{vec, vec::Vec};

use physmem::{PhysAddr, PhysRange};

#[cfg(feature = "alloc")]
use crate::text::memmap_param::items;
use crate::{
    Entry, Error, Kind, MemoryMap, MergePolicy, RawEntry, Store, error::Result,
    text::memmap_param::Action, update::rewrite,
};

/// Bytes of the longest command line that x86 takes, without the NUL at its end.
pub const MAX_CMDLINE: usize = COMMAND_LINE_SIZE - 1;
/// In Linux `arch/x86/include/asm/setup.h`.
const COMMAND_LINE_SIZE: usize = 2048;

/// A map under change: its entries may overlap until it is [finished](Self::finish).
///
/// ```
/// use e820::{Entry, Fixed, Kind, MemoryMap, MergePolicy, RawEntry, UserMap, text::memmap_param::items};
///
/// let firmware = MemoryMap::try_new(Fixed::<8>::default())?;
/// let mut map = UserMap::new(firmware);
/// for item in items(b"memmap=exactmap memmap=640K@0 memmap=300M@1M memmap=1M!200M") {
///     if let Some(action) = item.action {
///         map.apply(action)?;
///     }
/// }
/// let mut scratch = [RawEntry::default(); 8];
/// let map = map.finish(&mut scratch, Fixed::<8>::default(), MergePolicy::default())?;
/// assert_eq!(map.to_string(), "\
/// [mem 0x0000000000000000-0x000000000009ffff] usable
/// [mem 0x0000000000100000-0x000000000c7fffff] usable
/// [mem 0x000000000c800000-0x000000000c8fffff] persistent (type 12)
/// [mem 0x000000000c900000-0x0000000012cfffff] usable
/// ");
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct UserMap<S> {
    store: S,
    /// Entries of the kernel's table that hold nothing, or nothing any more. It counts them.
    empty: usize,
    /// An entry that spoils the table.
    wrapping: Option<RawEntry>,
}

impl<S: Store> UserMap<S> {
    /// Begins with the map of the firmware.
    pub fn new(firmware: MemoryMap<S>) -> Self {
        Self {
            store: firmware.into_inner(),
            empty: 0,
            wrapping: None,
        }
    }

    /// Does what an item says. All entries may be looked at for it.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if the store has no room for it; then nothing has changed. (The kernel logs that
    /// it ignores the entry, and goes on.)
    pub fn apply(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Nothing => Ok(()),
            Action::ExactMap => {
                (self.empty, self.wrapping) = (0, None);
                self.store.resize(0, Entry::UNUSED)
            }
            Action::Add(entry) => self.add(entry),
            Action::Update {
                addr,
                size,
                from,
                to,
            } => match up_to_the_last(addr, size) {
                Some(range) => rewrite(&mut self.store, range, Some(from), Some(to)).map(drop),
                None => Ok(()),
            },
            Action::Remove { addr, size, only } => self.remove(up_to_the_last(addr, size), only),
            Action::Limit(size) => self.remove(up_to_the_last(size, u64::MAX), Some(Kind::RAM)),
        }
    }

    fn add(&mut self, entry: RawEntry) -> Result<()> {
        match Entry::try_from(entry) {
            Ok(entry) => self.store.push(entry)?,
            // Cannot saturate: each came from an item.
            Err(_) if entry.size == 0 => self.empty = self.empty.saturating_add(1),
            Err(_) => self.wrapping = Some(entry),
        }
        Ok(())
    }

    fn remove(&mut self, range: Option<PhysRange>, only: Option<Kind>) -> Result<()> {
        let Some(range) = range else {
            return Ok(());
        };
        let goes = |entry: &&Entry| {
            range.contains_range(entry.range) && only.is_none_or(|only| entry.kind == only)
        };
        let gone = self.store.entries().iter().filter(goes).count();
        rewrite(&mut self.store, range, only, None)?;
        // Cannot saturate: each was an entry.
        self.empty = self.empty.saturating_add(gone);
        Ok(())
    }

    /// Cleans the map up. `scratch` must have a slot for every entry; `store` receives the map.
    ///
    /// # Errors
    ///
    /// Where the kernel panics with `Invalid user supplied memory map`: [`Error::BadEntry`] for an entry
    /// whose end is no address, [`Error::TooFew`] below two entries. [`Error::Full`] if `scratch` or
    /// `store` has no room.
    pub fn finish<T: Store>(
        &self,
        scratch: &mut [RawEntry],
        store: T,
        merge: MergePolicy,
    ) -> Result<MemoryMap<T>> {
        let entries = self.store.entries();
        if let Some(entry) = self.wrapping {
            let index = entries.len() as u64;
            return Err(Error::BadEntry { index, entry });
        }
        // Cannot saturate: as above.
        let count = entries.len().saturating_add(self.empty);
        if count < 2 {
            return Err(Error::TooFew {
                entries: count as u64,
            });
        }
        let capacity = scratch.len();
        let scratch = scratch
            .get_mut(..entries.len())
            .ok_or(Error::Full { capacity })?;
        for (slot, &entry) in scratch.iter_mut().zip(entries) {
            *slot = entry.into();
        }
        MemoryMap::sanitize(scratch, store, merge)
    }
}

#[cfg(feature = "alloc")]
impl<S: Store> MemoryMap<S> {
    /// The map that a command line makes of this one, which is the firmware's: the `user` map of the
    /// log. `None` if there is no item of `memmap=` or `mem=` that does anything.
    ///
    /// Every item looks at every entry, so there is a limit to the items: blanks at its end not
    /// counted, the line has at most [`MAX_CMDLINE`] bytes.
    ///
    /// # Errors
    ///
    /// [`Error::BadLine`] for a longer line, else those of [`UserMap::finish`].
    pub fn with_cmdline(
        &self,
        cmdline: &[u8],
        merge: MergePolicy,
    ) -> Result<Option<MemoryMap<Vec<Entry>>>> {
        let cmdline = cmdline.trim_ascii_end();
        if cmdline.len() > MAX_CMDLINE {
            return Err(Error::BadLine {
                line: 1,
                column: COMMAND_LINE_SIZE as u64,
                expected: "the end of the command line: x86 takes 2047 bytes",
            });
        }
        let mut actions = items(cmdline).filter_map(|item| item.action).peekable();
        if actions.peek().is_none() {
            return Ok(None);
        }
        let mut map = UserMap::new(MemoryMap(Vec::from(self.entries())));
        actions.try_for_each(|action| map.apply(action))?;
        let mut scratch = vec![RawEntry::default(); map.store.len()];
        map.finish(&mut scratch, Vec::new(), merge).map(Some)
    }
}

/// A range as the kernel takes it: cut off before the last address.
fn up_to_the_last(addr: u64, size: u64) -> Option<PhysRange> {
    // The kernel makes such a size smaller, too.
    let end = addr.saturating_add(size);
    PhysRange::try_new(PhysAddr::new(addr), PhysAddr::new(end)).ok()
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn lines_longer_than_the_kernels_are_refused() {
        let firmware = MemoryMap::try_new(Vec::new()).unwrap();
        let line = [b"memmap=1K@0,1K@4K ".as_slice(), &[b'x'; MAX_CMDLINE]].concat();
        let user = |len: usize| firmware.with_cmdline(&line[..len], MergePolicy::default());
        assert_eq!(user(MAX_CMDLINE).unwrap().unwrap().entries().len(), 2);
        assert_eq!(
            user(MAX_CMDLINE + 1).unwrap_err().to_string(),
            "line 1, column 2048: expected the end of the command line: x86 takes 2047 bytes"
        );
    }

    #[test]
    fn where_the_kernel_panics() {
        let firmware = MemoryMap::try_new(Vec::new()).unwrap();
        let user = |line: &str| {
            let map = firmware.with_cmdline(line.as_bytes(), MergePolicy::default())?;
            Ok(map.map(|map| map.entries().len()))
        };
        assert_eq!(user("quiet"), Ok(None));
        assert_eq!(user("memmap=640K@0"), Err(Error::TooFew { entries: 1 }));
        assert_eq!(user("memmap=640K@0 memmap=0@0"), Ok(Some(1)));
        assert_eq!(user("memmap=640K@0,2M@1M mem=1"), Ok(Some(1)));
        assert_eq!(user("memmap=640K@0,2M@1M memmap=1E%0"), Ok(Some(0)));
        let entry = RawEntry {
            addr: u64::MAX,
            size: 1,
            kind: Kind::RAM,
        };
        assert_eq!(
            user("memmap=640K@0,2M@1M,1@0xffffffffffffffff"),
            Err(Error::BadEntry { index: 2, entry })
        );
        assert_eq!(
            user("memmap=1@0xffffffffffffffff,exactmap,1K@0,1K@1K"),
            Ok(Some(1))
        );
    }
}
