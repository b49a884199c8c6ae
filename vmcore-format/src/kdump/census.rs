//! What the pages of a compressed dump are, one by one.

#![deny(clippy::arithmetic_side_effects)]

use alloc::{collections::BTreeMap, vec, vec::Vec};

use physmem::{Absence, PageShift};

use super::{
    page_desc::{self, PageDesc},
    set::{Part, Set},
};
use crate::{Error, ReadAt, codec::Method};

/// Descriptors read at once.
const CHUNK: u64 = 4096;

/// How many blocks of memory are what, by their descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Bytes that each counted block has.
    pub block: PageShift,
    /// In the file, by a descriptor that can be right.
    pub present: u64,
    /// Of these, those that share the page of zeros.
    pub zero: u64,
    /// RAM and left out on purpose.
    pub excluded: u64,
    /// In the dump's bitmap, and no bytes in the file: it was cut, its writer had no room, a part is missing.
    pub lost: u64,
    /// Blocks whose descriptor cannot be right.
    pub damaged: u64,
    /// Present blocks by how they are compressed, in ascending order of methods.
    pub methods: Vec<(Method, u64)>,
}

/// Counts that grow.
struct Counts {
    census: Census,
    methods: BTreeMap<Method, u64>,
    /// Where the bytes of the last page end.
    data_end: u64,
}

impl<S: ReadAt> Set<S> {
    /// Reads every descriptor: work proportional to the descriptors in the file.
    pub(super) fn census(&self) -> Result<Census, Error> {
        let block = self.header.block;
        let mut counts = Counts::new(block);
        for (range, absence) in self.view().runs(0) {
            let blocks = range.size() >> block.as_u8();
            // Neither wraps: ranges are apart, and there are fewer blocks than bytes.
            match absence {
                Some(Absence::Excluded) => {
                    counts.census.excluded = counts.census.excluded.wrapping_add(blocks);
                }
                Some(_) => counts.census.lost = counts.census.lost.wrapping_add(blocks),
                None => {}
            }
        }
        for part in &self.parts {
            self.count(part, &mut counts)?;
        }
        counts.census.methods = counts.methods.into_iter().collect();
        Ok(counts.census)
    }

    /// Where the bytes of the part's last page end.
    pub(super) fn data_end(&self, part: &Part<S>) -> Result<u64, Error> {
        let mut counts = Counts::new(self.header.block);
        self.count(part, &mut counts)?;
        Ok(counts.data_end)
    }

    fn count(&self, part: &Part<S>, counts: &mut Counts) -> Result<(), Error> {
        const SIZE: u64 = page_desc::SIZE as u64;
        let Some(file) = self.file() else {
            return Ok(());
        };
        let bits = self.bitmaps.dumped.bits(file);
        let total = self.rank.below(bits, part.cut).saturating_sub(part.before);
        let zeros_at = self.zeros_at(part, self.rank.total(bits));
        let mut buffer = Vec::new();
        let mut done = 0_u64;
        while done < total {
            let n = CHUNK.min(total.saturating_sub(done));
            // Nothing here wraps: the file has all of these descriptors.
            let at = done
                .wrapping_mul(SIZE)
                .wrapping_add(self.header.descriptors_at());
            let len = usize::try_from(n.wrapping_mul(SIZE)).unwrap_or_default();
            let bytes = match part.file.lend_at(at, len) {
                Some(lent) => lent,
                None => {
                    buffer.resize(len, 0);
                    part.file
                        .read_exact_at(at, &mut buffer)
                        .map_err(Error::reading("page descriptors"))
                        .map_err(|error| error.placed(&part.file))?;
                    &buffer
                }
            };
            for desc in bytes.chunks_exact(page_desc::SIZE) {
                if let Some(desc) = desc.first_chunk() {
                    let desc = PageDesc::parse(desc, self.header.encoding.endian);
                    counts.add(&desc, self, part, zeros_at);
                }
            }
            done = done.wrapping_add(n);
        }
        Ok(())
    }

    /// Where the page of zeros is that zero pages share, if the part has one: it would be the first of the page
    /// data, behind the room for all descriptors.
    fn zeros_at(&self, part: &Part<S>, pages: u64) -> Option<u64> {
        let descriptors = pages.checked_mul(page_desc::SIZE as u64)?;
        let at = self.header.descriptors_at().checked_add(descriptors)?;
        let mut page = vec![0xff; usize::try_from(self.header.block.bytes()).ok()?];
        part.file.read_exact_at(at, &mut page).ok()?;
        page.iter().all(|byte| *byte == 0).then_some(at)
    }
}

impl Counts {
    fn new(block: PageShift) -> Self {
        Self {
            census: Census {
                block,
                present: 0,
                zero: 0,
                excluded: 0,
                lost: 0,
                damaged: 0,
                methods: Vec::new(),
            },
            methods: BTreeMap::new(),
            data_end: 0,
        }
    }

    fn add<S: ReadAt>(
        &mut self,
        desc: &PageDesc,
        set: &Set<S>,
        part: &Part<S>,
        zeros_at: Option<u64>,
    ) {
        let header = &set.header;
        let census = &mut self.census;
        let stored = desc.stored(
            header.block.bytes(),
            header.descriptors_at(),
            part.file.size(),
        );
        let count = match stored {
            Ok(stored) => {
                // Cannot wrap: all of it lies in the file.
                let end = stored.offset.wrapping_add(stored.size as u64);
                self.data_end = self.data_end.max(end);
                let of_method = self.methods.entry(stored.method).or_default();
                *of_method = of_method.wrapping_add(1);
                if zeros_at == Some(stored.offset) && stored.method == Method::STORED {
                    census.zero = census.zero.wrapping_add(1);
                }
                &mut census.present
            }
            Err(Absence::Lost) => &mut census.lost,
            Err(_) => &mut census.damaged,
        };
        // None of these wraps: they count descriptors in a file.
        *count = count.wrapping_add(1);
    }
}
