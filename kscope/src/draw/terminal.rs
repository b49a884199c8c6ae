//! A map in the terminal.
//!
//! ```text
//!   █████▒█·▒████████████████████████████▒···▒
//!   ╵4K     ╵1M     ╵256M     ╵4G                  a column shows what has most of it, a gap
//!                                                  only where nothing else is
//!   0x0     ███████████      639.00 KiB  usable
//!   0x9fc00 ▒                  1.00 KiB  reserved
//! ```

use std::fmt::Write as _;

use super::{Picture, Piece, look, name, scale::Scale};
use crate::{
    failure::OneLine,
    output::{Hex, binary_size},
};

/// Columns of the axis.
const WIDTH: u64 = 76;

/// Columns of the longest bar.
const BAR: u64 = 32;

/// Parts of a column that count when it is to be said what it shows.
const PARTS: u64 = 1024;

/// The map as lines, with colours if `styled`.
pub(crate) fn draw(picture: &Picture, styled: bool) -> String {
    let paint = |sgr: &str, text: String| match styled {
        true => format!("\x1b[{sgr}m{text}\x1b[0m"),
        false => text,
    };
    let mut out = paint("1", OneLine(&picture.title).to_string());
    out += "\n\n";
    if picture.pieces.is_empty() {
        return out + "no memory\n";
    }

    let addresses = picture.addresses(WIDTH);
    for piece in columns(picture, addresses) {
        let look = look(piece.kind);
        out += &paint(look.sgr, look.glyph.to_string());
    }
    out += "\n";
    out += &ticks(addresses);
    out += match addresses {
        Scale::Linear(_) => "\n\n",
        Scale::Log(..) => "\naddresses, each doubling as wide as the next\n\n",
    };

    let sizes = picture.sizes(BAR);
    let end = Hex(picture.end());
    let width = end.to_string().len();
    for Piece { range, kind } in &picture.pieces {
        let look = look(*kind);
        let length = sizes.at(range.size(), BAR - 1) + 1;
        let bar = (0..length).map(|_| look.glyph).collect();
        let bar = paint(look.sgr, bar);
        let rest = " ".repeat(usize::try_from(BAR - length).unwrap_or(0));
        let (start, size) = (
            Hex(range.start().as_u64()),
            binary_size(range.size().into()),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{start:>width$}  {bar}{rest}  {size:>11}  {}",
            name(*kind)
        );
    }
    let _ = writeln!(out, "{end:>width$}");
    if matches!(sizes, Scale::Log(..)) {
        out += "bars: each doubling of the size as long as the next\n";
    }
    out.push('\n');
    for (kind, bytes) in &picture.totals {
        let look = look(*kind);
        let swatch = paint(look.sgr, look.glyph.to_string().repeat(2));
        let size = binary_size((*bytes).into());
        let _ = writeln!(out, "{swatch}  {:<20} {size:>11} {bytes:>20}", name(*kind));
    }
    out
}

/// What each column shows.
fn columns(picture: &Picture, addresses: Scale) -> Vec<Piece> {
    let at = |address: u64| addresses.at(address, WIDTH * PARTS);
    let spans: Vec<_> = picture
        .pieces
        .iter()
        .map(|piece| {
            let start = at(piece.range.start().as_u64()).min(WIDTH * PARTS - 1);
            (start, at(piece.range.end().as_u64()).max(start + 1), piece)
        })
        .collect();
    let column = |number: u64| {
        let (first, end) = (number * PARTS, (number + 1) * PARTS);
        let shares = spans
            .iter()
            .filter(|(start, stop, _)| *start < end && first < *stop);
        let best = shares.max_by_key(|(start, stop, piece)| {
            (piece.kind.is_some(), end.min(*stop) - first.max(*start))
        });
        best.map(|(_, _, piece)| **piece)
    };
    (0..WIDTH).filter_map(column).collect()
}

/// The line below the axis.
fn ticks(addresses: Scale) -> String {
    let mut line = String::new();
    for (value, label) in addresses.ticks() {
        let column = usize::try_from(addresses.at(value, WIDTH)).unwrap_or(0);
        let used = line.chars().count();
        let fits = column + label.len() < usize::try_from(WIDTH).unwrap_or(0);
        // A blank keeps labels apart.
        if (line.is_empty() || column > used) && fits {
            line += &" ".repeat(column - used);
            line += &format!("╵{label}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use e820::{Entry, Kind, MemoryMap};
    use physmem::PhysRange;

    use super::*;

    #[test]
    fn colours_only_where_they_are_welcome() {
        let range = PhysRange::with_size(0x1000.into(), 0x1000).unwrap();
        let kind = Kind::RAM;
        let map = MemoryMap::try_new(vec![Entry { range, kind }]).unwrap();
        let picture = Picture::new("a\x1bb".to_owned(), &map);
        let plain = draw(&picture, false);
        assert!(!plain.contains('\x1b'), "{plain}");
        let coloured = draw(&picture, true);
        assert!(coloured.contains("\x1b[32m█\x1b[0m"), "{coloured}");
        let mut without = String::new();
        for piece in coloured.split("\x1b[") {
            without += piece.split_once('m').map_or(piece, |(_, text)| text);
        }
        assert_eq!(without.matches('█').count(), plain.matches('█').count());
    }
}
