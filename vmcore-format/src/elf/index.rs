//! From a physical address to the place in the file that holds it.
//!
//! ```text
//! PT_LOAD 0 (kernel text)           ████████████            file 0x2000
//! PT_LOAD 3 (direct map)      ██████████████████████░░░░    file 0xa7d1000, ░ p_filesz < p_memsz
//!                             ─────────────────────────────
//! pieces                      3333330000000000003333▒▒▒▒
//! ```
//!
//! PT_LOADs overlap in real dumps: the kernel's text is a segment of its own inside the direct
//! map's, and QEMU's paging dumps map the same memory many times. The rule here, for each byte:
//!
//! 1. a segment that has the byte in the file wins over one that has not;
//! 2. among those, the one that comes first in the program header table wins;
//! 3. a byte no segment has is *lost* if a segment's file part covers it (the file was cut), else
//!    *excluded* if a segment's memory part covers it (`makedumpfile -E` leaves pages out so).
//!
//! The segments are cut once, at open, into disjoint ascending pieces: O(n log n) for n segments,
//! at most 4n − 1 pieces. A lookup takes an address's high bits to the few pieces near it, and searches
//! those.

#![deny(clippy::arithmetic_side_effects)]

use alloc::{collections::BTreeSet, vec::Vec};

use elf_format::{Segment, SegmentFlags, SegmentType};
use physmem::{Absence, PhysAddr, PhysRange};

use crate::build;

/// Where the bytes of a piece are. The order is the precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backing {
    /// At this offset of the file.
    File(u64),
    /// Past the end of the file.
    Lost,
    /// Nowhere: in `p_memsz` and not in `p_filesz`.
    Excluded,
}

impl Backing {
    /// The backing `bytes` further on.
    #[inline]
    fn advanced(self, bytes: u64) -> Self {
        match self {
            // Cannot wrap: a piece was cut out of a file that holds all its bytes.
            Self::File(offset) => Self::File(offset.wrapping_add(bytes)),
            absent => absent,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::File(_) => 0,
            Self::Lost => 1,
            Self::Excluded => 2,
        }
    }
}

/// A stretch of memory whose bytes lie in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) range: PhysRange,
    pub(crate) backing: Backing,
    /// The segment that provides it, by its place in the program header table.
    pub(crate) segment: usize,
}

impl Piece {
    /// Where the byte at `at` lies, which must be inside.
    #[inline]
    pub(crate) fn backing_at(&self, at: PhysAddr) -> Backing {
        // `at` is inside, so this is its offset; outside, 0 keeps the answer inside the piece.
        self.backing
            .advanced(at.checked_offset_from(self.range.start()).unwrap_or(0))
    }

    /// Why the bytes cannot be had, `None` if they can.
    #[inline]
    pub(crate) fn absence(&self) -> Option<Absence> {
        match self.backing {
            Backing::File(_) => None,
            Backing::Lost => Some(Absence::Lost),
            Backing::Excluded => Some(Absence::Excluded),
        }
    }
}

/// Disjoint ascending pieces.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pieces: Vec<Piece>,
    /// The pieces' ends, alone: a search touches a fifth of the cache lines.
    ends: Vec<u64>,
    /// For each multiple of `1 << shift`, the position that a search for it finds; one more at the end.
    buckets: Vec<usize>,
    shift: u32,
}

impl Index {
    /// Cuts the PT_LOADs among `segments` into pieces; `file_size` in bytes.
    pub(crate) fn new(segments: &[Segment], file_size: u64) -> Self {
        let mut parts = Vec::new();
        let zero_is_an_address = zero_is_an_address(segments);
        for (number, segment) in segments.iter().enumerate() {
            let is_located = match segment.paddr {
                // "Not known": /proc/kcore since Linux 4.11, for what is not RAM.
                u64::MAX => false,
                0 => zero_is_an_address,
                _ => true,
            };
            if segment.kind == SegmentType::LOAD && is_located {
                cut(number, segment, file_size, &mut parts);
            }
        }
        Self::of_parts(&parts)
    }

    /// Cuts what `pieces` say of memory and its place in a file; `file_size` in bytes.
    pub(crate) fn of_pieces(
        pieces: impl IntoIterator<Item = build::Piece>,
        file_size: u64,
    ) -> Self {
        let mut parts = Vec::new();
        for (number, build::Piece { offset, range }) in pieces.into_iter().enumerate() {
            let segment = Segment {
                kind: SegmentType::LOAD,
                flags: SegmentFlags::empty(),
                offset,
                vaddr: u64::MAX,
                paddr: range.start().as_u64(),
                filesz: range.size(),
                memsz: range.size(),
                align: 0,
            };
            cut(number, &segment, file_size, &mut parts);
        }
        Self::of_parts(&parts)
    }

    fn of_parts(parts: &[Piece]) -> Self {
        let pieces = flatten(parts);
        let ends: Vec<u64> = pieces
            .iter()
            .map(|piece| piece.range.end().as_u64())
            .collect();

        // Some two buckets a piece: evenly spread pieces are found at once, others by a short search.
        let highest = ends.last().copied().unwrap_or_default();
        let shift = (highest.checked_div(pieces.len() as u64).unwrap_or_default() / 2)
            .max(1)
            .ilog2();
        let buckets = 0..=highest >> shift;
        let position = |bucket: u64| ends.partition_point(|end| *end <= bucket << shift);
        let mut buckets: Vec<usize> = buckets.map(position).collect();
        buckets.push(pieces.len());
        Self {
            pieces,
            ends,
            buckets,
            shift,
        }
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The position of the piece that holds `at`, or else of the first above it.
    #[inline]
    pub(crate) fn position(&self, at: PhysAddr) -> usize {
        let bucket = usize::try_from(at.as_u64() >> self.shift).unwrap_or(usize::MAX);
        let Some(&[from, to]) = self
            .buckets
            .get(bucket..)
            .and_then(|rest| rest.first_chunk())
        else {
            return self.pieces.len();
        };
        let near = self.ends.get(from..to).unwrap_or_default();
        // Cannot wrap: both count pieces.
        from.wrapping_add(near.partition_point(|end| *end <= at.as_u64()))
    }

    #[inline]
    pub(crate) fn get(&self, position: usize) -> Option<&Piece> {
        self.pieces.get(position)
    }
}

/// Whether `p_paddr` of the PT_LOADs that say 0 is an address.
///
/// /proc/kcore before Linux 4.11 writes 0 into all of them, where different memory cannot lie; QEMU's
/// paging dumps map the page at 0 several times, from one place in the file.
fn zero_is_an_address(segments: &[Segment]) -> bool {
    let at_zero = |segment: &&Segment| {
        segment.kind == SegmentType::LOAD && segment.paddr == 0 && segment.filesz > 0
    };
    let mut offsets = segments
        .iter()
        .filter(at_zero)
        .map(|segment| segment.offset);
    let first = offsets.next();
    offsets.all(|offset| Some(offset) == first)
}

/// Appends the parts of one segment, those in the file first.
fn cut(number: usize, segment: &Segment, file_size: u64, parts: &mut Vec<Piece>) {
    // Past the end of the file nothing is left: 0 is the true number there.
    let in_file = segment.filesz.min(file_size.saturating_sub(segment.offset));
    let bounds = [
        0,
        in_file,
        segment.filesz,
        segment.memsz.max(segment.filesz),
    ];
    let backings = [
        Backing::File(segment.offset),
        Backing::Lost,
        Backing::Excluded,
    ];
    for (bound, backing) in bounds.windows(2).zip(backings) {
        let &[from, to] = bound else { continue };
        let start = segment.paddr.checked_add(from).map(PhysAddr::new);
        // `Dump::open` refuses segments that pass the end of the address space.
        let end = PhysAddr::new(segment.paddr.saturating_add(to));
        if let Some(Ok(range)) = start.map(|start| PhysRange::try_new(start, end)) {
            parts.push(Piece {
                range,
                backing,
                segment: number,
            });
        }
    }
}

/// Cuts overlapping parts into disjoint pieces by precedence.
fn flatten(parts: &[Piece]) -> Vec<Piece> {
    let mut edges: Vec<(u64, usize)> = Vec::with_capacity(parts.len().saturating_mul(2));
    for (number, part) in parts.iter().enumerate() {
        edges.push((part.range.start().as_u64(), number));
        edges.push((part.range.end().as_u64(), number));
    }
    edges.sort_unstable();

    let mut pieces: Vec<Piece> = Vec::with_capacity(parts.len());
    // Parts that cover the stretch before the next edge, best first.
    let mut active: BTreeSet<(u8, usize)> = BTreeSet::new();
    let mut from = 0;
    for (edge, number) in edges {
        let winner = active.first().and_then(|(_, winner)| parts.get(*winner));
        if let (Some(winner), Ok(range)) = (winner, PhysRange::try_new(from.into(), edge.into())) {
            append(
                &mut pieces,
                Piece {
                    range,
                    backing: winner.backing_at(range.start()),
                    segment: winner.segment,
                },
            );
        }
        from = edge;
        if let Some(part) = parts.get(number) {
            let key = (part.backing.rank(), number);
            if !active.remove(&key) {
                active.insert(key);
            }
        }
    }
    pieces
}

/// Appends a piece, as part of the last one where it goes on with it in memory and in the file.
fn append(pieces: &mut Vec<Piece>, piece: Piece) {
    if let Some(last) = pieces.last_mut() {
        let goes_on = last.segment == piece.segment
            && last.range.end() == piece.range.start()
            && last.backing.advanced(last.range.size()) == piece.backing;
        let joined = PhysRange::try_new(last.range.start(), piece.range.end());
        if let (true, Ok(range)) = (goes_on, joined) {
            last.range = range;
            return;
        }
    }
    pieces.push(piece);
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::vec::Vec;

    use elf_format::{Segment, SegmentFlags, SegmentType};
    use proptest::prelude::*;

    use super::*;

    fn load(paddr: u64, offset: u64, filesz: u64, memsz: u64) -> Segment {
        let (kind, flags) = (SegmentType::LOAD, SegmentFlags::READ);
        Segment {
            kind,
            flags,
            offset,
            vaddr: 0,
            paddr,
            filesz,
            memsz,
            align: 0,
        }
    }

    fn listed(segments: &[Segment], file_size: u64) -> Vec<(u64, u64, Backing)> {
        let index = Index::new(segments, file_size);
        index
            .pieces()
            .iter()
            .map(|p| (p.range.start().as_u64(), p.range.end().as_u64(), p.backing))
            .collect()
    }

    #[test]
    fn kernel_text_inside_the_direct_map_comes_from_the_first_header() {
        let segments = [
            load(0xf60, 0x200, 0x28, 0x28),
            load(0xf00, 0xa00, 0x100, 0x100),
        ];
        assert_eq!(
            listed(&segments, 0x10000),
            [
                (0xf00, 0xf60, Backing::File(0xa00)),
                (0xf60, 0xf88, Backing::File(0x200)),
                (0xf88, 0x1000, Backing::File(0xa88)),
            ]
        );
    }

    #[test]
    fn bytes_in_the_file_win_over_missing_ones() {
        let segments = [load(0, 0x100, 0, 0x40), load(0x10, 0x200, 0x10, 0x10)];
        assert_eq!(
            listed(&segments, 0x1000),
            [
                (0, 0x10, Backing::Excluded),
                (0x10, 0x20, Backing::File(0x200)),
                (0x20, 0x40, Backing::Excluded),
            ]
        );
    }

    #[test]
    fn a_cut_file_loses_bytes_and_a_short_p_filesz_excludes_them() {
        assert_eq!(
            listed(&[load(0x1000, 0x100, 0x200, 0x300)], 0x180),
            [
                (0x1000, 0x1080, Backing::File(0x100)),
                (0x1080, 0x1200, Backing::Lost),
                (0x1200, 0x1300, Backing::Excluded),
            ]
        );
        assert_eq!(
            listed(&[load(0x1000, u64::MAX, 0x200, 0x200)], 0x180),
            [(0x1000, 0x1200, Backing::Lost)]
        );
    }

    #[test]
    fn a_piece_is_not_cut_where_a_hidden_segment_ends() {
        let segments = [
            load(0x1000, 0x500, 0x200, 0x200),
            load(0x1080, 0x900, 0x80, 0x80),
        ];
        assert_eq!(
            listed(&segments, 0x10000),
            [(0x1000, 0x1200, Backing::File(0x500))]
        );
    }

    #[test]
    fn several_segments_at_zero_are_nowhere_unless_they_are_the_same_bytes() {
        let kcore = [load(0, 0x1000, 0x100, 0x100), load(0, 0x2000, 0x100, 0x100)];
        assert_eq!(listed(&kcore, 0x10000), []);
        let qemu = [load(0, 0x1000, 0x100, 0x100), load(0, 0x1000, 0x80, 0x80)];
        assert_eq!(listed(&qemu, 0x10000), [(0, 0x100, Backing::File(0x1000))]);
    }

    #[test]
    fn no_physical_address_and_wrapping_ones() {
        assert_eq!(listed(&[load(u64::MAX, 0, 0x10, 0x10)], 0x1000), []);
        assert_eq!(
            listed(&[load(u64::MAX - 0xf, 0, 0x100, 0x100)], 0x1000),
            [(u64::MAX - 0xf, u64::MAX, Backing::File(0))]
        );
        let mut note = load(0, 0, 0x10, 0x10);
        note.kind = SegmentType::NOTE;
        assert_eq!(listed(&[note], 0x1000), []);
    }

    proptest! {
        /// Every address gets what the rule says, computed the slow way.
        #[test]
        fn pieces_agree_with_the_rule_byte_by_byte(
            loads in prop::collection::vec((1..40_u64, 0..60_u64, 0..20_u64, 0..20_u64), 0..8),
            file_size in 0..64_u64,
        ) {
            let segments: Vec<_> = loads.iter().map(|l| load(l.0, l.1, l.2, l.3)).collect();
            let index = Index::new(&segments, file_size);
            prop_assert!(index.pieces().windows(2).all(|pair| pair[0].range.end() <= pair[1].range.start()));
            prop_assert!(index.pieces().len() < (segments.len() * 4).max(1));
            for address in 0..80_u64 {
                let expected = segments
                    .iter()
                    .filter_map(|s| {
                        let at = address.checked_sub(s.paddr)?;
                        match at {
                            _ if at < s.filesz && s.offset + at < file_size => Some(Backing::File(s.offset + at)),
                            _ if at < s.filesz => Some(Backing::Lost),
                            _ if at < s.memsz => Some(Backing::Excluded),
                            _ => None,
                        }
                    })
                    .min_by_key(|backing| backing.rank());
                let at = PhysAddr::new(address);
                let found = index.get(index.position(at)).filter(|p| p.range.contains(at));
                prop_assert_eq!(found.map(|p| p.backing_at(at)), expected);
            }
        }
    }

    #[test]
    fn ten_thousand_segments_make_ten_thousand_pieces() {
        let segments: Vec<_> = (0..10_000)
            .map(|i| load(i * 0x2000, i * 0x1000, 0x1000, 0x1000))
            .collect();
        let index = Index::new(&segments, u64::MAX);
        assert_eq!(index.pieces().len(), 10_000);
        let at = PhysAddr::new(9_999 * 0x2000 + 5);
        assert_eq!(
            index.get(index.position(at)).unwrap().backing_at(at),
            Backing::File(9_999 * 0x1000 + 5)
        );
        assert_eq!(
            index.position(PhysAddr::new(9_999 * 0x2000 + 0x1000)),
            10_000
        );
    }
}
