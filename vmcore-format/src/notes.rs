//! The notes of a dump, and the CPUs that they tell of.
//!
//! ```text
//!  PT_NOTE segments of ELF, or the notes of a compressed dump
//!  │ CORE: registers │ a hole │ CORE: registers │ VMCOREINFO │ …
//!       CPU 0          CPU 1       CPU 2
//! ```

use core::slice;

use elf_format::{Encoding, Machine, Note, NoteType, Prstatus, prstatus};

use crate::{Error, ReadAt, file::File, kept::NoteList};

/// The iterator made by [`Dump::notes`](crate::Dump::notes); it stops after the first error.
#[derive(Debug)]
pub struct Notes<'d, S> {
    file: Option<&'d File<S>>,
    encoding: Encoding,
    lists: slice::Iter<'d, NoteList>,
    current: Option<elf_format::Notes<'d>>,
    /// Why `current` ends early.
    cut: Option<Error>,
}

impl<'d, S: ReadAt> Notes<'d, S> {
    pub(crate) fn new(
        file: Option<&'d File<S>>,
        encoding: Encoding,
        lists: &'d [NoteList],
    ) -> Self {
        Self {
            file,
            encoding,
            lists: lists.iter(),
            current: None,
            cut: None,
        }
    }

    fn fail<T>(&mut self, error: impl Into<Error>) -> Option<Result<T, Error>> {
        self.lists = [].iter();
        self.current = None;
        self.cut = None;
        Some(Err(error.into()))
    }
}

impl<'d, S: ReadAt> Iterator for Notes<'d, S> {
    type Item = Result<Note<'d>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.current.as_mut().and_then(Iterator::next) {
                Some(Ok(note)) => return Some(Ok(note)),
                Some(Err(error)) => {
                    let is_cut = matches!(error, elf_format::Error::Truncated { .. });
                    let cut = self.cut.filter(|_| is_cut);
                    return self.fail(cut.unwrap_or(error.into()));
                }
                None => {}
            }
            if let Some(cut) = self.cut {
                return self.fail(cut);
            }
            let (file, list) = (self.file?, self.lists.next()?);
            let bytes = match &list.bytes {
                Ok(kept) => kept.bytes(file),
                Err(error) => return self.fail(*error),
            };
            match elf_format::Notes::new(bytes, self.encoding.endian, list.align, list.offset) {
                Ok(notes) => (self.current, self.cut) = (Some(notes), list.cut),
                Err(error) => return self.fail(error),
            }
        }
    }
}

/// A CPU and what its note says.
#[derive(Debug, Clone, Copy)]
pub struct Cpu<'d> {
    /// Which CPU, from 0. The place of an offline CPU, an empty note, counts.
    pub index: usize,
    /// Its registers and the task it ran.
    pub status: Prstatus<'d>,
}

/// The iterator made by [`Dump::cpus`](crate::Dump::cpus); it stops after the first error.
#[derive(Debug)]
pub struct Cpus<'d, S> {
    notes: Notes<'d, S>,
    machine: Machine,
    index: usize,
}

impl<'d, S: ReadAt> Cpus<'d, S> {
    pub(crate) fn new(notes: Notes<'d, S>, machine: Machine) -> Self {
        Self {
            notes,
            machine,
            index: 0,
        }
    }
}

impl<'d, S: ReadAt> Iterator for Cpus<'d, S> {
    type Item = Result<Cpu<'d>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let note = match self.notes.next()? {
                Ok(note) => note,
                Err(error) => return Some(Err(error)),
            };
            let is_status = note.name == prstatus::NOTE_NAME && note.kind == NoteType::PRSTATUS;
            if !is_status && !note.is_hole() {
                continue;
            }
            let index = self.index;
            self.index += 1;
            if is_status {
                let (machine, encoding) = (self.machine, self.notes.encoding);
                return match Prstatus::parse(note.desc, machine, encoding, note.desc_offset) {
                    Ok(status) => Some(Ok(Cpu { index, status })),
                    Err(error) => self.notes.fail(error),
                };
            }
        }
    }
}
