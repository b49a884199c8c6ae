//! VMCOREINFO of a dump of s390x that has no note of it, such as QEMU's: the kernel leaves its address at a fixed place.
//!
//! ```text
//!  absolute 0xe0c   vmcore_info, 8 bytes ─▶  0 │ 11, bytes of the name
//!                                            4 │ bytes of the text
//!                                            8 │ 0
//!                                           12 │ VMCOREINFO\0\0
//!                                           24 │ the text
//! ```
//!
//! All integers are big-endian.
//!
//! Source: `struct lowcore` (arch/s390/include/asm/lowcore.h), whose part from 0xe00 on is for dump tools,
//! `arch_crash_save_vmcoreinfo` (arch/s390/kernel/vmcore_info.c).

#![deny(clippy::arithmetic_side_effects)]

use alloc::{vec, vec::Vec};

use elf_format::Machine;
use physmem::{Endian, PhysAddr, PhysMemory, Width};

use crate::{Dump, ReadAt, vmcoreinfo::NOTE_NAME};

/// `vmcore_info` of `struct lowcore`.
const POINTER: u64 = 0xe0c;
/// Before the text: the note's header, and its name filled up to a multiple of four bytes.
const HEADER: usize = 24;
/// `VMCOREINFO_BYTES` (include/linux/vmcore_info.h): a page.
const MOST: usize = 4096;

/// The text of VMCOREINFO that the kernel of an s390x dump has in its memory; `None` for other machines, and where there
/// is none or it cannot be read. [`Dump::with_vmcoreinfo`] takes it.
pub fn vmcoreinfo_of_lowcore<S: ReadAt>(dump: &Dump<S>) -> Option<Vec<u8>> {
    if dump.machine() != Machine::S390 {
        return None;
    }
    let memory = dump.reader();
    // Not a word of memory's: its place is no multiple of eight.
    let mut pointer = [0; 8];
    memory.read(PhysAddr::new(POINTER), &mut pointer).ok()?;
    let note = Some(u64::from_be_bytes(pointer)).filter(|at| *at != 0);
    let note = PhysAddr::new(note?);
    let mut header = [0; HEADER];
    memory.read(note, &mut header).ok()?;
    let number = |at: usize| Width::U32.decode(header.get(at..)?, Endian::Big);
    let name = header.get(12..)?.strip_prefix(NOTE_NAME)?;
    if number(0)? != 11 || number(8)? != 0 || name != [0, 0] {
        return None;
    }
    let size = usize::try_from(number(4)?).ok()?;
    let mut text = vec![0; Some(size).filter(|size| *size <= MOST)?];
    let at = note.checked_add(HEADER as u64)?;
    memory.read(at, &mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use elf_format::{Class, Encoding, Endian};
    use physmem::{PageShift, PhysRange};

    use super::*;
    use crate::build::core::{Core, Part};

    const TEXT: &[u8] = b"OSRELEASE=6.12.107+deb13-s390x\nPAGESIZE=4096\n";

    /// What is found in a dump of three pages; the second has the note, at 0x1010.
    fn found(machine: Machine, note: &[u8]) -> Option<Vec<u8>> {
        let encoding = Encoding {
            class: Class::Elf64,
            endian: Endian::Big,
        };
        let range = PhysRange::with_size(PhysAddr::new(0), 0x3000).unwrap();
        let parts = [Part::stored(range)].into_iter();
        let core = Core::new(encoding, machine, PageShift::SIZE_4K, &[], parts);
        let mut file = core.to_vec().unwrap();
        let piece = core.pieces().unwrap().next().unwrap();
        let start = usize::try_from(piece.offset).unwrap();
        file.resize(start, 0);
        file.extend([0; 0x3000]);
        let memory = &mut file[start..];
        memory[0xe0c..0xe14].copy_from_slice(&0x1010_u64.to_be_bytes());
        memory[0x1010..][..note.len()].copy_from_slice(note);
        vmcoreinfo_of_lowcore(&Dump::open(&file[..]).unwrap())
    }

    fn note(name: &[u8; 12], size: u32, kind: u32) -> Vec<u8> {
        let mut note = vec![0, 0, 0, 11];
        note.extend(size.to_be_bytes());
        note.extend(kind.to_be_bytes());
        note.extend(name);
        note.extend(TEXT);
        note
    }

    #[test]
    fn the_note_in_memory_is_found() {
        let size = u32::try_from(TEXT.len()).unwrap();
        let good = note(b"VMCOREINFO\0\0", size, 0);
        assert_eq!(found(Machine::S390, &good).as_deref(), Some(TEXT));
        assert_eq!(found(Machine::PPC64, &good), None);
        for bad in [
            note(b"VMCOREINFX\0\0", size, 0),
            note(b"VMCOREINFO\0!", size, 0),
            note(b"VMCOREINFO\0\0", size, 1),
            note(b"VMCOREINFO\0\0", 4097, 0),
            Vec::new(),
        ] {
            assert_eq!(found(Machine::S390, &bad), None);
        }
        let page = note(b"VMCOREINFO\0\0", 4096, 0);
        assert_eq!(
            found(Machine::S390, &page).map(|text| text.len()),
            Some(4096)
        );
    }
}
