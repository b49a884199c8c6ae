//! Drawings of a memory map: in the terminal, and as SVG.
//!
//! ```text
//!   axis     │████▒      ██████████▒        ▒│     where: to scale, linear or logarithmic
//!             4K    1M      256M    4G    1T
//!   stack    0x0     ██████████  usable            what: every entry and gap, as long as its size tells
//!            0x9fc00 ██          reserved
//!            0xa0000 ········
//! ```

mod scale;
pub(crate) mod svg;
pub(crate) mod terminal;

use std::iter;

use e820::{Entry, Kind, MemoryMap};
use physmem::{PhysAddr, PhysRange};

use self::scale::Scale;

/// What is to be drawn.
pub(crate) struct Picture {
    title: String,
    /// Every entry, and what lies between them, from address 0 on.
    pieces: Vec<Piece>,
    /// Bytes of each kind, those of none last.
    totals: Vec<(Option<Kind>, u64)>,
}

/// A part of the address space.
#[derive(Clone, Copy)]
struct Piece {
    range: PhysRange,
    /// `None` for a gap.
    kind: Option<Kind>,
}

impl Picture {
    pub(crate) fn new(title: String, map: &MemoryMap<Vec<Entry>>) -> Self {
        let mut pieces = Vec::new();
        let mut end = PhysAddr::new(0);
        for entry in map.entries() {
            let gap = PhysRange::try_new(end, entry.range.start()).ok();
            pieces.extend(gap.map(|range| Piece { range, kind: None }));
            let (range, kind) = (entry.range, Some(entry.kind));
            pieces.push(Piece { range, kind });
            end = range.end();
        }
        let totals = map.totals().into_iter();
        let gaps = pieces.iter().filter(|piece| piece.kind.is_none());
        let nothing = gaps.map(|piece| piece.range.size()).sum();
        Self {
            title,
            totals: totals
                .map(|(kind, bytes)| (Some(kind), bytes))
                .chain(iter::once((None, nothing)).filter(|_| nothing > 0))
                .collect(),
            pieces,
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|piece| piece.kind.is_some())
    }

    /// The end of the last entry.
    fn end(&self) -> u64 {
        self.pieces
            .last()
            .map_or(0, |piece| piece.range.end().as_u64())
    }

    /// Addresses on a line that can tell this many steps apart.
    fn addresses(&self, steps: u64) -> Scale {
        let smallest = self.entries().map(|piece| piece.range.size()).min();
        let starts = self.pieces.iter().map(|piece| piece.range.start().as_u64());
        let lowest = starts
            .filter(|&start| start > 0)
            .min()
            .unwrap_or(self.end());
        // On a logarithmic one, what lies below the first boundary gets as much as a doubling.
        Scale::new(smallest.unwrap_or(1), lowest / 2, self.end(), steps)
    }

    /// Sizes of pieces on bars that can be told apart in this many steps.
    fn sizes(&self, steps: u64) -> Scale {
        let sizes = || self.pieces.iter().map(|piece| piece.range.size());
        let (least, most) = (sizes().min().unwrap_or(1), sizes().max().unwrap_or(1));
        Scale::new(least, least, most, steps)
    }
}

/// How a kind looks.
struct Look {
    /// In a terminal, where there may be no colours.
    glyph: char,
    /// The numbers of its colour in a terminal.
    sgr: &'static str,
    /// The colour of its area on white.
    fill: &'static str,
}

fn look(kind: Option<Kind>) -> Look {
    let (glyph, sgr, fill) = match kind {
        None => ('·', "2", "url(#gap)"),
        Some(Kind::RAM) => ('█', "32", "#8cc98f"),
        Some(Kind::RESERVED) => ('▒', "33", "#c3c7cf"),
        Some(Kind::ACPI) => ('▓', "34", "#8db4e2"),
        Some(Kind::NVS) => ('░', "36", "#8fd3d1"),
        Some(Kind::UNUSABLE) => ('╳', "31", "#f0a39a"),
        Some(Kind::PMEM) => ('▞', "35", "#c9a8e0"),
        Some(Kind::PRAM) => ('▚', "95", "#e6b3d2"),
        Some(Kind::SOFT_RESERVED) => ('▤', "93", "#f2dc8c"),
        Some(_) => ('▦', "37", "#d9b48f"),
    };
    Look { glyph, sgr, fill }
}

/// What a kind is called.
fn name(kind: Option<Kind>) -> String {
    kind.map_or("gap".to_owned(), |kind| kind.to_string())
}
