//! What is wrong with a list that can be read.
//!
//! ```text
//!  list alone      a page overwritten before it is read, or there twice       List::verify
//!                  a source above what the kernel reaches                     Limits::source
//!  beside segments a destination in none of them · pages of one left out
//! ```

use kexec_format::{Error, KexecSegment, Limits, List, list::Run};
use physmem::PhysMemory;

/// The runs of a list, and by what they are judged.
pub(super) struct Judged<'a> {
    pub(super) list: List,
    pub(super) runs: &'a [Run],
    pub(super) limits: Limits,
    /// The segments of the image, if it is known and they break no rule.
    pub(super) segments: Option<&'a [KexecSegment]>,
    /// Whether `kexec_file_load()` loaded them: since Linux 6.17 that may put a segment into contiguous
    /// memory at its destination, and none of its pages into the list.
    pub(super) file_mode: bool,
}

impl Judged<'_> {
    /// Every kind of fault once, and every segment that lacks pages.
    pub(super) fn faults(&self, memory: &impl PhysMemory) -> Result<Vec<String>, Error> {
        let mut faults = Vec::new();
        let mut uses = vec![Run::default(); self.list.verify_len(memory)?];
        match self.list.verify(memory, &mut uses) {
            Ok(()) => {}
            Err(clash @ Error::Clash { .. }) => faults.push(clash.to_string()),
            Err(error) => return Err(error),
        }
        faults.extend(self.too_high());
        if let Some(segments) = self.segments {
            faults.extend(self.outside(segments));
            faults.extend(self.lacking(segments));
        }
        Ok(faults)
    }

    fn bytes(&self, run: &Run) -> u64 {
        // A run ends below the end of the address space.
        run.pages << self.list.format.page.as_u8()
    }

    fn too_high(&self) -> Option<String> {
        let limit = self.limits.source;
        let shift = self.list.format.page.as_u8();
        self.runs.iter().find_map(|run| {
            let last = run.source.as_u64() + (self.bytes(run) - 1);
            (last >> shift > limit >> shift).then(|| {
                let page = last >> shift << shift;
                format!(
                    "the list moves the page at {page:#x}, which is above {limit:#x} (never made by \
                     kimage_alloc_page())"
                )
            })
        })
    }

    fn outside(&self, segments: &[KexecSegment]) -> Option<String> {
        self.runs.iter().find_map(|run| {
            let start = run.destination.as_u64();
            let end = start + self.bytes(run);
            let mut at = start;
            while at < end {
                let holds =
                    |segment: &&KexecSegment| segment.mem <= at && at - segment.mem < segment.memsz;
                let Some(segment) = segments.iter().find(holds) else {
                    return Some(format!(
                        "the list moves a page to {at:#x}, which is in none of the segments"
                    ));
                };
                at = segment.mem.saturating_add(segment.memsz);
            }
            None
        })
    }

    fn lacking(&self, segments: &[KexecSegment]) -> Vec<String> {
        let shift = self.list.format.page.as_u8();
        let lacks = |(number, segment): (usize, &KexecSegment)| {
            let end = segment.mem.saturating_add(segment.memsz);
            let moved = self.runs.iter().map(|run| {
                let start = run.destination.as_u64();
                let last = end.min(start + self.bytes(run));
                last.saturating_sub(start.max(segment.mem)) >> shift
            });
            let (moved, pages) = (moved.sum::<u64>(), segment.memsz >> shift);
            let in_place = self.file_mode && moved == 0;
            (moved < pages && !in_place)
                .then(|| format!("segment {number}: pages that the list moves: {moved} of {pages}"))
        };
        segments.iter().enumerate().filter_map(lacks).collect()
    }
}
