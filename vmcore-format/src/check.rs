//! What a dump says of itself and cannot be right: its headers, notes and bitmaps, compared with the file and with
//! each other. Pages are not read.
//!
//! ```text
//!  notes      each whole, of the size that its type has, texts of lines
//!  ELF        segments, which describe memory; not more in the file than in memory
//!  kdump      texts outside of other structures, VMCOREINFO as its note has it, bitmaps that agree
//! ```

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::slice;

use elf_format::{
    Class, CpuState, DeviceDump, Encoding, Machine, Note, NoteType, Prstatus, SegmentType,
    prstatus, qemu_cpu, xen,
};

use crate::{
    Eraseinfo, Error, Field, ReadAt, Vmcoreinfo,
    elf::{
        core::{Core, Fields},
        index::Backing,
    },
    eraseinfo,
    file::File,
    kept::NoteList,
    notes::Notes,
    vmcoreinfo::NOTE_NAME,
};

/// Offset of `n_descsz` in the header of a note.
const DESCSZ_AT: u64 = 4;

const PHNUM: Field = Field {
    name: "e_phnum",
    allowed: "with a PT_LOAD among them that has memory in the file",
};
const FILESZ: Field = Field {
    name: "p_filesz of a PT_LOAD",
    allowed: "at most p_memsz",
};
const DESCSZ: Field = Field {
    name: "n_descsz of an NT_PRSTATUS",
    allowed: "the size of the machine's elf_prstatus",
};

/// What is wrong with the program headers of a core; where the file is cut, they need not have been written.
pub(crate) fn segments(core: &Core, is_cut: bool, found: &mut Vec<Error>) {
    let in_file = |backing| !matches!(backing, Backing::Excluded);
    if !is_cut
        && !core
            .index
            .pieces()
            .iter()
            .any(|piece| in_file(piece.backing))
    {
        found.push(Error::BadField {
            field: &PHNUM,
            offset: match core.header.encoding().class {
                Class::Elf32 => 44,
                Class::Elf64 => 56,
            },
            value: core.header.phnum.into(),
        });
    }
    let fields = Fields::of(&core.header);
    for (number, segment) in core.segments.iter().enumerate() {
        if segment.kind == SegmentType::LOAD && segment.filesz > segment.memsz {
            found.push(Error::BadField {
                field: &FILESZ,
                offset: fields.at(number, 16, 32),
                value: segment.filesz,
            });
        }
    }
}

/// What is wrong with notes: the first broken one of each list, which ends it, and those that hold something
/// else than their type says.
pub(crate) fn notes<S: ReadAt>(
    file: &File<S>,
    (machine, encoding): (Machine, Encoding),
    lists: &[NoteList],
    found: &mut Vec<Error>,
) {
    for list in lists {
        let notes = Notes::new(Some(file), encoding, slice::from_ref(list));
        found.extend(notes.filter_map(|note| match note {
            Ok(note) => wrong(&note, machine, encoding),
            Err(error) => Some(error),
        }));
    }
}

fn wrong(note: &Note<'_>, machine: Machine, encoding: Encoding) -> Option<Error> {
    let at = note.desc_offset;
    let error = match (note.name, note.kind) {
        (prstatus::NOTE_NAME, NoteType::PRSTATUS) => {
            match Prstatus::parse(note.desc, machine, encoding, at) {
                Ok(status) if status.layout().size != note.desc.len() => Error::BadField {
                    field: &DESCSZ,
                    // Cannot wrap: the note was read.
                    offset: note.offset.wrapping_add(DESCSZ_AT),
                    value: note.desc.len() as u64,
                },
                status => status.err()?.into(),
            }
        }
        (b"LINUX", NoteType::VMCOREDD) => DeviceDump::parse(note.desc, at).err()?.into(),
        (qemu_cpu::NOTE_NAME, NoteType(0))
            if matches!(machine, Machine::X86_64 | Machine::I386) =>
        {
            CpuState::parse(note.desc, at).err()?.into()
        }
        (NOTE_NAME, NoteType(0)) => line(note.desc, at)?,
        (eraseinfo::NOTE_NAME, NoteType(0)) => {
            let mut erasures = Eraseinfo::new(note.desc, at).erasures();
            erasures.find_map(Result::err)?
        }
        (xen::NOTE_NAME, NoteType::XEN_CRASH_INFO) => {
            xen::CrashInfo::parse(note.desc, encoding, at).err()?.into()
        }
        _ => return None,
    };
    // More than is known here need not be wrong.
    let is_unknown = matches!(error, Error::Elf(elf_format::Error::Unsupported { .. }));
    (!is_unknown).then_some(error)
}

/// The first line of VMCOREINFO that is none.
pub(crate) fn line(text: &[u8], offset: u64) -> Option<Error> {
    let mut lines = Vmcoreinfo::new(text, offset).lines();
    lines.find_map(Result::err)
}
