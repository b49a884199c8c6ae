//! The end of a list that is built, where entries are added.
//!
//! ```text
//!  page of entries   │ written │ pending │ room │ link or end │
//!                                 ▲ slot
//! ```
//!
//! Source: `entry` and `last_entry` of `struct kimage` in Linux `include/linux/kexec.h`;
//! `kimage_add_entry()` and `kimage_terminate()` in `kernel/kexec_core.c`.

use physmem::{MemError, PhysAddr, PhysMemoryMut};

use crate::{
    entry::{Format, KimageEntry},
    word,
};

/// Entries that are written at once.
const PENDING: usize = 64;

/// Where the next entry goes.
#[derive(Debug)]
pub(super) struct Tail {
    format: Format,
    /// `kimage.head`; 0 while there is no entry.
    pub(super) head: u64,
    /// Where the first pending entry goes, and how many more fit before the last word of the page.
    slot: PhysAddr,
    room: u64,
    /// Entries from `slot` on that were not yet written.
    pending: [u64; PENDING],
    len: usize,
}

impl Tail {
    pub(super) const fn new(format: Format) -> Self {
        Self {
            format,
            head: 0,
            slot: PhysAddr::new(0),
            room: 0,
            pending: [0; PENDING],
            len: 0,
        }
    }

    /// Goes on in the page at `page`; nothing must be pending.
    pub(super) fn link<M: PhysMemoryMut + ?Sized>(
        &mut self,
        memory: &mut M,
        page: PhysAddr,
    ) -> Result<(), MemError> {
        let entry = KimageEntry::indirection(page).as_u64();
        if self.head == 0 {
            self.head = entry;
        } else {
            write_word(memory, self.slot, entry, self.format)?;
        }
        self.slot = page;
        // The last word of a page is for the link, or the end.
        self.room = self.format.words_per_page().saturating_sub(1);
        Ok(())
    }

    /// Whether the next entry needs another page.
    pub(super) const fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Adds an entry, if there is room.
    #[inline]
    pub(super) fn push(&mut self, entry: KimageEntry) -> bool {
        match self.pending.get_mut(self.len) {
            Some(next) if self.room != 0 => {
                *next = entry.as_u64();
                self.len = self.len.saturating_add(1);
                self.room = self.room.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    /// Ends the list.
    pub(super) fn finish<M: PhysMemoryMut + ?Sized>(
        mut self,
        memory: &mut M,
    ) -> Result<KimageEntry, MemError> {
        if self.head == 0 {
            return Ok(KimageEntry::DONE);
        }
        self.flush(memory)?;
        write_word(memory, self.slot, KimageEntry::DONE.as_u64(), self.format)?;
        Ok(KimageEntry::new(self.head))
    }

    /// Writes what is pending, so that memory holds the whole list.
    #[inline(never)]
    pub(super) fn flush<M: PhysMemoryMut + ?Sized>(
        &mut self,
        memory: &mut M,
    ) -> Result<(), MemError> {
        let Format { width, endian, .. } = self.format;
        let pending = self.pending.get(..self.len).unwrap_or_default();
        let mut bytes = [0; PENDING * 8];
        let mut len = 0_usize;
        for (out, entry) in bytes.chunks_exact_mut(width.bytes()).zip(pending) {
            word::encode(*entry, endian, out);
            len = len.saturating_add(width.bytes());
        }
        memory.write(self.slot, bytes.get(..len).unwrap_or_default())?;
        // Wrapping: only after the last word of the address space.
        self.slot = PhysAddr::new(self.slot.as_u64().wrapping_add(len as u64));
        self.len = 0;
        Ok(())
    }
}

/// Writes one word of a list.
pub(super) fn write_word<M: PhysMemoryMut + ?Sized>(
    memory: &mut M,
    at: PhysAddr,
    value: u64,
    format: Format,
) -> Result<(), MemError> {
    let mut bytes = [0; 8];
    let out = bytes.get_mut(..format.width.bytes()).unwrap_or_default();
    word::encode(value, format.endian, out);
    memory.write(at, out)
}
