//! What the headers and bitmaps of a compressed dump say and cannot be right.
//!
//! ```text
//!  │ header │ sub header, texts │ bitmaps │ descriptors │ pages ··· │ ERASEINFO │
//!             VMCOREINFO = the note's        of set bits
//! ```

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::slice;

use elf_format::{Note, NoteType};

use super::{
    header::Extent,
    page_desc,
    set::{Part, Set},
};
use crate::{
    Error, Field, PartError, ReadAt, Vmcoreinfo, check, kept::NoteList, notes::Notes, vmcoreinfo,
};

const NO_PAGE: Field = Field {
    name: "number of pages in bitmap 2",
    allowed: "1 or more",
};
const NOT_RAM: Field = Field {
    name: "mask, of 64 pages, of those that bitmap 2 has and bitmap 1 has not",
    allowed: "0",
};

impl Extent {
    /// Whether two stretches have a byte in common.
    fn touches(self, other: Self) -> bool {
        let passes = |one: Self, at| one.offset.checked_add(one.size).is_none_or(|end| end > at);
        let is_something = self.size > 0 && other.size > 0;
        is_something && passes(self, other.offset) && passes(other, self.offset)
    }
}

impl<S: ReadAt> Set<S> {
    /// What is wrong, and in which of the files.
    pub(crate) fn check(&self) -> Vec<PartError> {
        let Some(first) = self.parts.first() else {
            return Vec::new();
        };
        let mut found = self.check_bitmaps(first);
        let place = self.header.notes;
        match self.other(place, first) {
            Some(other) if self.notes.bytes.is_ok() => {
                found.push(overlap("list of notes", place, other, first));
            }
            _ => {
                let machine = (self.machine, self.header.encoding);
                check::notes(&first.file, machine, self.note_lists(), &mut found);
            }
        }
        found.extend(self.check_vmcoreinfo(first));
        let in_part = |part| move |error| PartError { part, error };
        let mut found: Vec<_> = found.into_iter().map(in_part(first.number)).collect();
        for part in &self.parts {
            found.extend(self.check_eraseinfo(part).map(in_part(part.number)));
        }
        found
    }

    fn note_lists(&self) -> &[NoteList] {
        slice::from_ref(&self.notes)
    }

    fn check_bitmaps(&self, part: &Part<S>) -> Vec<Error> {
        let mut found = Vec::new();
        let dumped = self.bitmaps.dumped.bits(&part.file);
        let (_, Extent { offset, .. }) = self.header.bitmaps();
        let wrong = |field, word: u64, value| {
            // Cannot wrap: a place in the file.
            let offset = word.wrapping_mul(8).wrapping_add(offset);
            let error = Error::BadField {
                field,
                offset,
                value,
            };
            error.placed(&part.file)
        };
        if self.rank.total(dumped) == 0 {
            found.push(wrong(&NO_PAGE, 0, 0));
        }
        if let Some(ram) = &self.bitmaps.ram {
            let ram = ram.bits(&part.file);
            let not_ram = |word| dumped.word(word) & !ram.word(word);
            let first = (0..dumped.frames().div_ceil(64)).find(|word| not_ram(*word) != 0);
            found.extend(first.map(|word| wrong(&NOT_RAM, word, not_ram(word))));
        }
        found
    }

    fn check_vmcoreinfo(&self, part: &Part<S>) -> Option<Error> {
        let what = "VMCOREINFO of the sub header";
        let (text, offset) = match self.vmcoreinfo()? {
            Err(error) => return Some(error),
            Ok(told) => told,
        };
        let place = self.header.vmcoreinfo;
        if let Some(other) = self.other(place, part) {
            return Some(overlap(what, place, other, part));
        }
        let is_it =
            |note: &Note<'_>| (note.name, note.kind) == (vmcoreinfo::NOTE_NAME, NoteType(0));
        let encoding = self.header.encoding;
        let mut notes = Notes::new(Some(&part.file), encoding, self.note_lists()).flatten();
        match notes.find(is_it) {
            None => check::line(text, offset),
            // Its lines were looked at there.
            Some(note) => {
                let same = Vmcoreinfo::new(note.desc, 0) == Vmcoreinfo::new(text, 0);
                (!same).then_some(Error::BadText {
                    what,
                    offset,
                    expected: "the text of its note",
                })
            }
        }
    }

    fn check_eraseinfo(&self, part: &Part<S>) -> Option<Error> {
        let place = part.erased;
        let text = match part.eraseinfo() {
            Ok(text) => text,
            Err(error) => return Some(error),
        };
        let is_in_notes = || {
            place
                .touches(self.header.notes)
                .then_some("the list of notes")
        };
        let other = match self.other(place, part).or_else(is_in_notes) {
            Some(other) => other,
            None if place.size == 0 => return None,
            None => match self.data_end(part) {
                Ok(end) if end <= place.offset => return text.erasures().find_map(Result::err),
                Ok(_) => "the pages",
                Err(error) => return Some(error),
            },
        };
        Some(overlap("ERASEINFO", place, other, part))
    }

    /// What else than itself lies where notes or a text are.
    fn other(&self, place: Extent, part: &Part<S>) -> Option<&'static str> {
        let header = &self.header;
        let (start, end) = (header.bitmaps_at(), header.descriptors_at());
        let pages = self.rank.total(self.bitmaps.dumped.bits(&part.file));
        let others = [
            ("the header", 0, header.block.bytes()),
            (
                "the sub header",
                header.block.bytes(),
                header.sub_header_size(),
            ),
            // Saturating: the descriptors begin where the bitmaps end.
            ("the page bitmaps", start, end.saturating_sub(start)),
            // As many as a bitmap in memory has bits: where that saturates there is no file so long.
            (
                "the page descriptors",
                end,
                pages.saturating_mul(page_desc::SIZE as u64),
            ),
        ];
        let touched = others
            .into_iter()
            .find(|&(_, offset, size)| place.touches(Extent { offset, size }));
        touched.map(|(other, ..)| other)
    }
}

fn overlap<S: ReadAt>(
    what: &'static str,
    place: Extent,
    other: &'static str,
    part: &Part<S>,
) -> Error {
    let error = Error::Overlap {
        what,
        offset: place.offset,
        other,
    };
    error.placed(&part.file)
}
