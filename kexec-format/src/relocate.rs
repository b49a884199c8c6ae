//! Doing what a list says: what the last code of the old kernel does.
//!
//! ```text
//!  copy   destination ◀── source                    a reboot; x86 since Linux 6.14, all others always
//!  swap   destination ◀──▶ source                   KEXEC_PRESERVE_CONTEXT; x86 before 6.14, always
//! ```
//!
//! The same list, swapped twice, leaves memory as it was.
//!
//! Source: `swap_pages` in Linux `arch/x86/kernel/relocate_kernel_64.S`, and its counterparts.

use physmem::{MemError, PhysAddr, PhysMemoryMut};

use crate::{
    error::{Error, Result},
    list::{Cursor, List, ListRule, Run},
};

/// What becomes of the bytes at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// They are lost.
    #[default]
    Copy,
    /// They are put where the source was.
    Swap,
}

/// Moves the pages of `list`, in its order, and returns how many it has.
///
/// Only a swap needs `scratch`, two bytes or more; its contents are lost. Two pages are fastest. Pages
/// that overlap their destination, which only odd decodings allow, are copied as `memmove` does, and
/// swapped as if they were apart if `scratch` takes both.
///
/// A list whose pages of entries are among its destinations does what it is overwritten to say, as it
/// would in a real machine, but for entries that were read before; it ends with an error when that makes
/// it longer or shorter. A page that is overwritten before it is moved is moved as it then is, without an
/// error. [`Builder`](crate::list::Builder) and Linux make neither; [`List::verify`] finds both.
///
/// # Errors
///
/// `BadList` before anything was moved, or after, for a list that moves itself; `Memory` when a page is
/// not there, and those before it were moved; `Truncated` when `scratch` is too short.
pub fn relocate<M: PhysMemoryMut + ?Sized>(
    memory: &mut M,
    list: List,
    mode: Mode,
    scratch: &mut [u8],
) -> Result<u64> {
    let half = scratch.len() / 2;
    let (first, second) = scratch.split_at_mut(half);
    if mode == Mode::Swap && first.is_empty() {
        return Err(Error::Truncated {
            what: "scratch",
            offset: 0,
            needed: 2,
            available: second.len() as u64,
        });
    }
    // Cannot saturate, here and below: no list has 2^64 entries.
    let mut expected = 0_u64;
    for run in list.runs(memory) {
        expected = expected.saturating_add(run?.pages);
    }
    let mut pages = 0_u64;
    let mut cursor = Cursor::new(list);
    while let Some(run) = cursor.next_run(memory)? {
        pages = pages.saturating_add(run.pages);
        // A list that changes while it is walked need not end.
        if pages > expected {
            break;
        }
        move_run(memory, run, list, mode, (&mut *first, &mut *second))?;
    }
    if pages != expected {
        return Err(Error::BadList {
            rule: ListRule::MovesItself,
            at: None,
            entry: list.head.as_u64(),
        });
    }
    Ok(pages)
}

/// Moves the pages of a run; a swap goes through both buffers.
fn move_run<M: PhysMemoryMut + ?Sized>(
    memory: &mut M,
    run: Run,
    list: List,
    mode: Mode,
    (first, second): (&mut [u8], &mut [u8]),
) -> Result<(), MemError> {
    let Run {
        destination,
        source,
        pages,
    } = run;
    if source == destination {
        return Ok(());
    }
    let page = list.format.page;
    // Where the run overlaps itself, one page after the other: what the later ones move was moved.
    let (pieces, size) = if source.as_u64().abs_diff(destination.as_u64()) >> page.as_u8() < pages {
        (pages, page.bytes())
    } else {
        (1, pages << page.as_u8())
    };
    for piece in 0..pieces {
        // Wrapping: a run ends below the end of the address space.
        let offset = piece.wrapping_mul(size);
        let at = |from: PhysAddr| PhysAddr::new(from.as_u64().wrapping_add(offset));
        match mode {
            Mode::Copy => memory.copy(at(source), at(destination), size)?,
            Mode::Swap => {
                let buffers = (&mut *first, &mut *second);
                swap(memory, at(source), at(destination), size, buffers)?;
            }
        }
    }
    Ok(())
}

/// Exchanges `size` bytes through two buffers.
fn swap<M: PhysMemoryMut + ?Sized>(
    memory: &mut M,
    a: PhysAddr,
    b: PhysAddr,
    size: u64,
    (of_a, of_b): (&mut [u8], &mut [u8]),
) -> Result<(), MemError> {
    let mut offset = 0;
    while offset < size {
        // Cannot saturate, either: the offset is below the size, and grows by no more than is left.
        let left = size.saturating_sub(offset);
        let len = usize::try_from(left).map_or(of_a.len(), |left| left.min(of_a.len()));
        // Wrapping: a run ends below the end of the address space.
        let at = |from: PhysAddr| PhysAddr::new(from.as_u64().wrapping_add(offset));
        let of_a = of_a.get_mut(..len).unwrap_or_default();
        let of_b = of_b.get_mut(..len).unwrap_or_default();
        memory.read(at(a), of_a)?;
        memory.read(at(b), of_b)?;
        memory.write(at(a), of_b)?;
        memory.write(at(b), of_a)?;
        offset = offset.saturating_add(len as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use physmem::{Absence, PhysMemory, Region};
    use proptest::prelude::*;

    use super::*;
    use crate::{Decoding, Format, KimageEntry};

    const PAGE: usize = 4096;

    /// A memory of 16 pages: the list in the last one, and bytes in the others that tell all pages apart.
    fn memory(words: &[u64]) -> Region<Vec<u8>> {
        let mut bytes: Vec<u8> = (0..16 * PAGE)
            .map(|i| (i / PAGE * 16 + i % 13) as u8)
            .collect();
        for (out, word) in bytes[15 * PAGE..].chunks_exact_mut(8).zip(words) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        Region::try_new(PhysAddr::new(0), bytes).unwrap()
    }

    fn list(decoding: Decoding) -> List {
        List {
            head: KimageEntry::new(0xf002),
            format: Format::LE64_4K,
            decoding,
        }
    }

    fn bytes(memory: &Region<Vec<u8>>) -> &[u8] {
        memory.lend(PhysAddr::new(0), 16 * PAGE).unwrap()
    }

    #[test]
    fn a_swap_needs_room_for_a_byte_of_each_side() {
        let mut memory = memory(&[4]);
        let mut needed = |mode, len| {
            let scratch = &mut vec![0; len];
            match relocate(&mut memory, list(Decoding::Strict), mode, scratch) {
                Ok(pages) => assert_eq!(pages, 0),
                Err(Error::Truncated {
                    needed, available, ..
                }) => {
                    assert_eq!(available, len as u64);
                    return Some(needed);
                }
                Err(other) => panic!("{other}"),
            }
            None
        };
        assert_eq!(needed(Mode::Copy, 0), None);
        assert_eq!(needed(Mode::Swap, 1), Some(2));
        assert_eq!(needed(Mode::Swap, 2), None);
    }

    #[test]
    fn nothing_is_moved_by_a_broken_list() {
        let mut memory = memory(&[0x1001, 0x5008, 0x6003, 4]);
        let before = memory.clone();
        let result = relocate(
            &mut memory,
            list(Decoding::Strict),
            Mode::Copy,
            &mut [0; 64],
        );
        let rule = ListRule::SeveralTypes;
        let at = Some(PhysAddr::new(0xf010));
        assert_eq!(
            result,
            Err(Error::BadList {
                rule,
                at,
                entry: 0x6003
            })
        );
        assert!(memory == before);
    }

    #[test]
    fn a_list_that_moves_itself_ends() {
        let mut memory = memory(&[0xe001, 0x5008, 0xe002]);
        let write = |memory: &mut Region<Vec<u8>>, at: u64, words: &[u64]| {
            for (at, word) in (at..).step_by(8).zip(words) {
                memory
                    .write(PhysAddr::new(at), &word.to_le_bytes())
                    .unwrap();
            }
        };
        // The second page of entries is overwritten by one that moves more, before all of it was read.
        let moves = |count| [[0x1001, 0x6008]].repeat(count).concat();
        write(&mut memory, 0xe000, &[moves(50), vec![4]].concat());
        write(&mut memory, 0x5000, &[moves(200), vec![4]].concat());
        let result = relocate(
            &mut memory,
            list(Decoding::Strict),
            Mode::Copy,
            &mut [0; 64],
        );
        let rule = ListRule::MovesItself;
        assert_eq!(
            result,
            Err(Error::BadList {
                rule,
                at: None,
                entry: 0xf002
            })
        );
    }

    #[test]
    fn a_page_that_is_not_there_is_named() {
        let mut memory = memory(&[0x1001, 0x10_0008, 4]);
        let result = relocate(
            &mut memory,
            list(Decoding::Strict),
            Mode::Copy,
            &mut [0; 64],
        );
        let why = Absence::NotRam;
        let at = PhysAddr::new(0x10_0000);
        assert_eq!(result, Err(Error::Memory(MemError { at, why })));
    }

    proptest! {
        /// Runs that overlap themselves and each other, against one page after the other.
        #[test]
        fn runs_move_as_their_pages_would(
            runs in prop::collection::vec((0..9_u64, 0..9_u64, 1..6_u64), 1..5),
            swap in any::<bool>(),
            scratch in 2..3 * PAGE,
        ) {
            let mut words = Vec::new();
            let mut moves = Vec::new();
            for (to, from, pages) in runs {
                words.push(to << 12 | 1);
                words.extend((from..from + pages).map(|page| page << 12 | 8));
                moves.extend((from..from + pages).zip(to..));
            }
            words.push(4);
            let mut memory = memory(&words);
            let mut expected = bytes(&memory).to_vec();
            for &(from, to) in &moves {
                let at = |page: u64| page as usize * PAGE..(page as usize + 1) * PAGE;
                let (source, lost) = (expected[at(from)].to_vec(), expected[at(to)].to_vec());
                if swap {
                    expected[at(from)].copy_from_slice(&lost);
                }
                expected[at(to)].copy_from_slice(&source);
            }
            let mode = if swap { Mode::Swap } else { Mode::Copy };
            let scratch = &mut vec![0; scratch];
            let moved = relocate(&mut memory, list(Decoding::Strict), mode, scratch);
            prop_assert_eq!(moved, Ok(moves.len() as u64));
            prop_assert!(bytes(&memory) == expected);
        }
    }

    #[test]
    fn odd_words_move_what_the_architecture_would_move() {
        let words = [0, 0x1011, 0x5018, 0x6008, 0xc];
        let moved = |decoding| {
            let mut memory = memory(&words);
            relocate(&mut memory, list(decoding), Mode::Copy, &mut [0; 100])
                .map(|_| bytes(&memory).to_vec())
        };
        assert!(moved(Decoding::Strict).is_err());
        let x86 = moved(Decoding::X86).unwrap();
        assert!(x86[0x1000..0x3000] == x86[0x5000..0x7000]);
        // Zero ends it.
        assert!(moved(Decoding::Mips).unwrap() == bytes(&memory(&words)));
        // Only the type is taken off: 0x5010 goes to 0x1010, 0x6000 to 0x2010.
        let arm = moved(Decoding::Arm).unwrap();
        assert!(arm[0x1010..0x2010] == arm[0x5010..0x6010]);
        assert!(arm[0x2010..0x3010] == arm[0x6000..0x7000]);
    }
}
