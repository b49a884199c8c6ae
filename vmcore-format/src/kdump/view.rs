//! Where each page of a compressed dump is, or why it is not there.
//!
//! ```text
//!   bitmap 1   bitmap 2   descriptor
//!      0          0                         not RAM
//!      1          0                         excluded
//!                 1       none, or no bytes   lost
//!                 1       sound             stored: an offset, a size, a method
//! ```

#![deny(clippy::arithmetic_side_effects)]

use physmem::{Absence, PhysAddr, PhysRange};

use super::{
    bitmap::Bits,
    page_desc::{self, PageDesc, Stored},
    set::{Part, Set},
};
use crate::{ReadAt, file::File, source::ReadError};

/// A set, its bitmaps at hand.
#[derive(Debug)]
pub(crate) struct View<'d, S> {
    set: &'d Set<S>,
    ram: Option<Bits<'d>>,
    dumped: Bits<'d>,
}

impl<S> Clone for View<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for View<'_, S> {}

impl<S: ReadAt> Set<S> {
    pub(crate) fn view(&self) -> View<'_, S> {
        let Some(file) = self.file() else {
            return View {
                set: self,
                ram: None,
                dumped: Bits::default(),
            };
        };
        View {
            set: self,
            ram: self.bitmaps.ram.as_ref().map(|ram| ram.bits(file)),
            dumped: self.bitmaps.dumped.bits(file),
        }
    }
}

impl<'d, S: ReadAt> View<'d, S> {
    /// Bytes in a block, a power of two.
    pub(crate) fn block(&self) -> u64 {
        self.set.header.block.bytes()
    }

    /// The block that holds `at`, and where in it.
    #[inline]
    pub(crate) fn split(&self, at: PhysAddr) -> (u64, u64) {
        let block = self.set.header.block;
        (at.pfn(block).as_u64(), at.page_offset(block))
    }

    /// The file that holds a block, and where.
    #[inline]
    pub(crate) fn locate(&self, frame: u64) -> Result<(&'d File<S>, Stored), Absence> {
        if !self.dumped.get(frame) {
            let is_ram = self.ram.is_some_and(|ram| ram.get(frame));
            return Err(if is_ram {
                Absence::Excluded
            } else {
                Absence::NotRam
            });
        }
        let part = self.part(frame).ok_or(Absence::Lost)?;
        let desc = self.descriptor(part, frame)?;
        let stored = desc.stored(
            self.block(),
            self.set.header.descriptors_at(),
            part.file.size(),
        )?;
        Ok((&part.file, stored))
    }

    fn descriptor(&self, part: &'d Part<S>, frame: u64) -> Result<PageDesc, Absence> {
        if frame >= part.cut {
            return Err(Absence::Lost);
        }
        let index = self.set.rank.below(self.dumped, frame);
        // None of it wraps: the part has this descriptor.
        let at = index
            .wrapping_sub(part.before)
            .wrapping_mul(page_desc::SIZE as u64)
            .wrapping_add(self.set.header.descriptors_at());
        let endian = self.set.header.encoding.endian;
        let lent = part.file.lend_at(at, page_desc::SIZE);
        if let Some(bytes) = lent.and_then(|lent| lent.first_chunk()) {
            return Ok(PageDesc::parse(bytes, endian));
        }
        let mut bytes = [0; page_desc::SIZE];
        part.file.read_exact_at(at, &mut bytes).map_err(absence)?;
        Ok(PageDesc::parse(&bytes, endian))
    }

    /// The part that holds the frame.
    #[inline]
    fn part(&self, frame: u64) -> Option<&'d Part<S>> {
        let parts = &self.set.parts;
        let part = match parts.as_slice() {
            [only] => only,
            _ => parts.get(self.part_after(frame))?,
        };
        part.frames.contains(&frame).then_some(part)
    }

    /// The position of the first part that ends behind the frame.
    fn part_after(&self, frame: u64) -> usize {
        let parts = &self.set.parts;
        parts.partition_point(|part| part.frames.end <= frame)
    }

    /// The stretches of memory from the block `frame` on, ascending, with why their bytes are not there.
    pub(crate) fn runs(self, frame: u64) -> Runs<'d, S> {
        Runs { view: self, frame }
    }
}

/// What a file that did not give its bytes means for a page.
pub(crate) fn absence(error: ReadError) -> Absence {
    match error {
        // Everything asked for lay inside of the file, so it shrank since.
        ReadError::Short { .. } => Absence::Lost,
        ReadError::Os { errno, .. } => Absence::Io { errno },
    }
}

/// What the bitmaps say of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotRam,
    Excluded,
    Dumped,
}

/// The iterator made by [`View::runs`]: it looks at words of the bitmaps, not at their bits. What is in the dump
/// and in no file of it is lost; what only a descriptor tells is not known here.
#[derive(Debug)]
pub(crate) struct Runs<'d, S> {
    view: View<'d, S>,
    frame: u64,
}

impl<S: ReadAt> Runs<'_, S> {
    fn kind(&self, frame: u64) -> Kind {
        if self.view.dumped.get(frame) {
            Kind::Dumped
        } else if self.view.ram.is_some_and(|ram| ram.get(frame)) {
            Kind::Excluded
        } else {
            Kind::NotRam
        }
    }

    /// The frames of a word that are of this kind.
    fn mask(&self, kind: Kind, word: u64) -> u64 {
        let dumped = self.view.dumped.word(word);
        let ram = self.view.ram.map_or(0, |ram| ram.word(word));
        match kind {
            Kind::Dumped => dumped,
            Kind::Excluded => ram & !dumped,
            Kind::NotRam => !(ram | dumped),
        }
    }

    /// Where the frames of this kind end that begin at `from`.
    fn end(&self, kind: Kind, from: u64) -> u64 {
        let frames = self.view.dumped.frames();
        let mut at = from;
        while at < frames {
            let (word, bit) = (at / 64, at % 64);
            let ones = u64::from((self.mask(kind, word) >> bit).trailing_ones());
            // Neither wraps: frames are fewer than 2^52.
            at = at.wrapping_add(ones);
            if ones.wrapping_add(bit) < 64 {
                break;
            }
        }
        at.min(frames)
    }

    /// Whether the file has the descriptor of the frame, and up to where that is so.
    fn cut(&self, frame: u64) -> (Option<Absence>, u64) {
        let part = self.view.set.parts.get(self.view.part_after(frame));
        match part {
            Some(part) if frame < part.frames.start => (Some(Absence::Lost), part.frames.start),
            Some(part) if frame < part.cut => (None, part.cut),
            Some(part) => (Some(Absence::Lost), part.frames.end),
            None => (Some(Absence::Lost), u64::MAX),
        }
    }
}

impl<S: ReadAt> Iterator for Runs<'_, S> {
    type Item = (PhysRange, Option<Absence>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.frame < self.view.dumped.frames() {
            let from = self.frame;
            let kind = self.kind(from);
            let (absence, end) = match kind {
                Kind::NotRam => {
                    self.frame = self.end(kind, from);
                    continue;
                }
                Kind::Excluded => (Some(Absence::Excluded), u64::MAX),
                Kind::Dumped => self.cut(from),
            };
            self.frame = self.end(kind, from).min(end);
            let block = self.view.set.header.block;
            let at = |frame| physmem::Pfn::new(frame).addr(block);
            // Every frame of a dump has an address, its end, too.
            let range = PhysRange::try_new(at(from)?, at(self.frame)?).ok()?;
            return Some((range, absence));
        }
        None
    }
}
