//! `dumpdata [-n FILES] [-o linux] [-s WIDTH] [-z] DUMP… [SPACE:]ADDRESS COUNT …`: memory in hexadecimal, 16 bytes a line.
//!
//! Where ours and theirs differ by design this program is theirs: they read whole pages, so what a page lacks is zero
//! if any of it is in an ELF file, where our reader says why it is not there.

use std::fmt::Write as _;

use elf_format::{Segment, SegmentType};
use page_walk::AnyWalker;
use physmem::{Absence, Endian, MemError, PageShift, PhysAddr, PhysMemory, PhysRange, VirtAddr};
use vmcore_format::{Dump, Reader, kernel, source::FileSource};

use crate::{
    Failure, Result,
    arguments::{Arguments, number, size},
    open, unusable,
};

/// Bytes a line.
const LINE: u64 = 16;

pub(crate) fn run(line: &[String]) -> Result<()> {
    let arguments = Arguments::parse(line, "nos", "z")?;
    let files = size(arguments.last('n').unwrap_or("1"))?;
    let width = size(arguments.last('s').unwrap_or("1"))?;
    let (paths, areas) = arguments
        .words
        .split_at_checked(files)
        .ok_or_else(|| unusable("too few dumps"))?;
    let dump = open(paths)?;
    let memory = Memory {
        dump: &dump,
        reader: dump.reader(),
        walker: match arguments.last('o') {
            Some(_) => Some(kernel::walker_of(&dump).map_err(unusable)?),
            None => None,
        },
        zero_excluded: arguments.last('z').is_some(),
    };
    for area in areas.chunks(2) {
        let [at, count] = area else {
            return Err(unusable("an address and how many"));
        };
        let (space, at) = at.split_once(':').unwrap_or(("MACHPHYSADDR", at));
        let (at, len) = (number(at)?, size(count)?.saturating_mul(width));
        let (bytes, missing) = memory.bytes(space == "KVADDR", at, len);
        print!("{}", text(at, &bytes, width, dump.endian()));
        if let Some(why) = missing {
            return Err(Failure::Answer(why));
        }
    }
    Ok(())
}

/// The bytes by twos, fours or eights as numbers; `??` is one that is not there.
fn text(at: u64, bytes: &[Option<u8>], width: usize, endian: Endian) -> String {
    let mut out = String::new();
    // Addresses of a test are far from the end.
    let mut next = at;
    let mut put = |word: &str, len: usize| {
        next = next.wrapping_add(len as u64);
        let end = if next.is_multiple_of(LINE) { '\n' } else { ' ' };
        // Writing to a string does not fail.
        let _ = write!(out, "{word}{end}");
    };
    for word in bytes.chunks(width.max(1)) {
        let there: Option<Vec<u8>> = word.iter().copied().collect();
        match there {
            Some(mut word) if word.len() == width => {
                if endian == Endian::Little {
                    word.reverse();
                }
                put(&digits(&word), width);
            }
            _ => {
                for byte in word {
                    let text = byte.map_or("??".into(), |byte| digits(&[byte]));
                    put(&text, 1);
                }
            }
        }
    }
    if !next.is_multiple_of(LINE) {
        out.push('\n');
    }
    out
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

struct Memory<'d> {
    dump: &'d Dump<FileSource>,
    reader: Reader<'d, FileSource>,
    /// The way to virtual memory; without one it is what the segments say.
    walker: Option<AnyWalker>,
    zero_excluded: bool,
}

impl Memory<'_> {
    /// The bytes, and what is said of the first one that is not there.
    fn bytes(&self, is_virtual: bool, at: u64, len: usize) -> (Vec<Option<u8>>, Option<String>) {
        let mut whole = vec![0; len];
        let is_read = match (is_virtual, &self.walker) {
            (false, _) => self.reader.read(PhysAddr::new(at), &mut whole).is_ok(),
            (true, Some(walker)) => {
                kernel::read(walker, &self.reader, VirtAddr::new(at), &mut whole).is_ok()
            }
            (true, None) => false,
        };
        if is_read {
            return (whole.into_iter().map(Some).collect(), None);
        }
        let mut missing = None;
        let byte = |offset: usize| {
            let byte = self.byte(is_virtual, at.wrapping_add(offset as u64));
            byte.map_err(|why| missing.get_or_insert(why).clone()).ok()
        };
        let bytes = (0..len).map(byte).collect();
        (bytes, missing)
    }

    fn byte(&self, is_virtual: bool, at: u64) -> std::result::Result<u8, String> {
        let phys = match (is_virtual, &self.walker) {
            (false, _) => PhysAddr::new(at),
            (true, Some(walker)) => {
                let mapping = walker.translate(&self.reader, VirtAddr::new(at));
                mapping.map_err(|fault| fault.to_string())?.phys
            }
            (true, None) => self.by_segment(at).ok_or("in no segment")?,
        };
        let mut byte = [0];
        match self.reader.read(phys, &mut byte) {
            Ok(()) => Ok(byte[0]),
            Err(error) if error.why == Absence::Excluded && self.zero_excluded => Ok(0),
            Err(_) if self.is_in_part(phys) => Ok(0),
            // The words that a test looks for.
            Err(
                error @ MemError {
                    why: Absence::Excluded,
                    ..
                },
            ) => Err(format!("Excluded page: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn by_segment(&self, at: u64) -> Option<PhysAddr> {
        let offset = |segment: &Segment| {
            let offset = at.checked_sub(segment.vaddr)?;
            let is_in = segment.kind == SegmentType::LOAD && offset < segment.memsz;
            is_in.then_some(())?;
            segment.paddr.checked_add(offset)
        };
        self.dump
            .segments()
            .iter()
            .find_map(offset)
            .map(PhysAddr::new)
    }

    /// Whether any byte of the page is in the file of an ELF dump.
    fn is_in_part(&self, at: PhysAddr) -> bool {
        let page = at.align_down(PageShift::SIZE_4K);
        let Ok(page) = PhysRange::with_size(page, PageShift::SIZE_4K.bytes()) else {
            return false;
        };
        let mut present = self.dump.ranges().filter(|(_, absence)| absence.is_none());
        self.dump.elf().is_some() && present.any(|(range, _)| range.overlaps(page))
    }
}
