//! A map as SVG.
//!
//! ```text
//!   title
//!   │ axis                                                  │
//!     4K      1M      256M      4G
//!   0x0     ┌──────────────────────────────┐       legend
//!           │ usable            639.00 KiB │       ■ usable    191.98 MiB
//!   0x9fc00 ├──────────────────────────────┤       ■ reserved
//!           │ reserved            1.00 KiB │
//!   0xa0000 └──────────────────────────────┘
//! ```

use std::fmt::Write as _;

use super::{Picture, Piece, look, name, scale::Scale};
use crate::output::{Hex, binary_size, count};

/// All lengths are in pixels; those on the axis in hundredths.
const WIDTH: u64 = 960;
const MARGIN: u64 = 32;
const AXIS_TOP: u64 = 76;
const AXIS_HEIGHT: u64 = 28;
const STACK_TOP: u64 = 176;
const STACK_LEFT: u64 = 190;
const STACK_WIDTH: u64 = 390;
const LEGEND_LEFT: u64 = 630;
/// A piece is as high as a line of text at least.
const LOWEST: u64 = 22;
const HIGHEST: u64 = 84;
const LEGEND_STEP: u64 = 42;

/// Characters that fit in the title's line.
const TITLE: usize = 84;

const STYLE: &str = "\
text { font: 13px system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 18px; font-weight: 600 }
.note { font-size: 12px; fill: #59636e }
.address { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; text-anchor: end }
.tick { font-size: 12px; fill: #59636e; text-anchor: middle }
.size { text-anchor: end }
.nothing { fill: #59636e }
.piece { stroke: #1f2328; stroke-width: 0.75 }
.line { stroke: #59636e; stroke-width: 1 }
";

/// The map as an SVG document.
pub(crate) fn draw(picture: &Picture) -> String {
    let sizes = picture.sizes(HIGHEST / LOWEST);
    let heights = picture
        .pieces
        .iter()
        .map(|piece| height(sizes, piece.range.size()));
    let heights: Vec<u64> = heights.collect();
    let stack_end = STACK_TOP + heights.iter().sum::<u64>();
    let legend_end = STACK_TOP + LEGEND_STEP * picture.totals.len() as u64;
    let bottom = stack_end.max(legend_end) + MARGIN;

    let title = escape(&shortened(&picture.title));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {bottom}\" width=\"{WIDTH}\" height=\"{bottom}\" role=\"img\">\n\
         <title>Memory map: {title}</title>\n\
         <style>\n{STYLE}</style>\n\
         <defs><pattern id=\"gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect width=\"6\" height=\"6\" fill=\"#ffffff\"/><path d=\"M0 0V6\" stroke=\"#dde1e6\" stroke-width=\"2\"/></pattern></defs>\n\
         <rect width=\"{WIDTH}\" height=\"{bottom}\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"40\">{title}</text>\n"
    );
    axis(&mut svg, picture);
    stack(&mut svg, picture, sizes, &heights);
    legend(&mut svg, picture);
    svg += "</svg>\n";
    svg
}

fn height(sizes: Scale, size: u64) -> u64 {
    match sizes {
        // Here the smallest is at least a third of the largest.
        Scale::Linear(_) => sizes.at(size, HIGHEST),
        Scale::Log(..) => LOWEST + sizes.at(size, HIGHEST - LOWEST),
    }
}

/// Where the entries lie in the address space.
fn axis(svg: &mut String, picture: &Picture) {
    let length = WIDTH - 2 * MARGIN;
    let addresses = picture.addresses(length);
    let words = match addresses {
        Scale::Linear(_) => "Addresses, to scale",
        Scale::Log(..) => "Addresses, each doubling as wide as the next",
    };
    let at = |address: u64| 100 * MARGIN + addresses.at(address, 100 * length);
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        svg,
        "<text class=\"note\" x=\"{MARGIN}\" y=\"66\">{words}</text>"
    );
    let _ = writeln!(
        svg,
        "<rect x=\"{MARGIN}\" y=\"{AXIS_TOP}\" width=\"{length}\" height=\"{AXIS_HEIGHT}\" fill=\"url(#gap)\"/>"
    );
    for piece in picture.entries() {
        let start = at(piece.range.start().as_u64());
        // However small, it is to be seen.
        let width = (at(piece.range.end().as_u64()) - start).max(100);
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{AXIS_TOP}\" width=\"{}\" height=\"{AXIS_HEIGHT}\" fill=\"{}\">{}</rect>",
            pixels(start),
            pixels(width),
            look(piece.kind).fill,
            tooltip(piece)
        );
    }
    let _ = writeln!(
        svg,
        "<rect x=\"{MARGIN}\" y=\"{AXIS_TOP}\" width=\"{length}\" height=\"{AXIS_HEIGHT}\" fill=\"none\" class=\"piece\"/>"
    );
    let (top, end, text) = (
        AXIS_TOP + AXIS_HEIGHT,
        AXIS_TOP + AXIS_HEIGHT + 5,
        AXIS_TOP + AXIS_HEIGHT + 19,
    );
    for (value, label) in addresses.ticks() {
        let x = pixels(at(value));
        let _ = writeln!(svg, "<path class=\"line\" d=\"M{x} {top}V{end}\"/>");
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{x}\" y=\"{text}\">{label}</text>"
        );
    }
}

/// Every piece with its address, kind and size.
fn stack(svg: &mut String, picture: &Picture, sizes: Scale, heights: &[u64]) {
    let words = match sizes {
        Scale::Linear(_) => "Entries and gaps, heights to scale",
        Scale::Log(..) => "Entries and gaps, each doubling of the size as high as the next",
    };
    let y = STACK_TOP - 18;
    let _ = writeln!(
        svg,
        "<text class=\"note\" x=\"{STACK_LEFT}\" y=\"{y}\">{words}</text>"
    );
    let mut top = STACK_TOP;
    let address = |svg: &mut String, top: u64, address: u64| {
        let (x, y) = (STACK_LEFT - 12, top + 4);
        let _ = writeln!(
            svg,
            "<text class=\"address\" x=\"{x}\" y=\"{y}\">{}</text>",
            Hex(address)
        );
        let (from, to) = (STACK_LEFT - 8, STACK_LEFT);
        let _ = writeln!(svg, "<path class=\"line\" d=\"M{from} {top}H{to}\"/>");
    };
    for (piece, &height) in picture.pieces.iter().zip(heights) {
        let Piece { range, kind } = *piece;
        let _ = writeln!(
            svg,
            "<rect class=\"piece\" x=\"{STACK_LEFT}\" y=\"{top}\" width=\"{STACK_WIDTH}\" height=\"{height}\" fill=\"{}\">{}</rect>",
            look(kind).fill,
            tooltip(piece)
        );
        let class = if kind.is_none() { " nothing" } else { "" };
        let (left, right, y) = (
            STACK_LEFT + 12,
            STACK_LEFT + STACK_WIDTH - 12,
            top + height / 2 + 5,
        );
        let size = binary_size(range.size().into());
        let _ = writeln!(
            svg,
            "<text class=\"word{class}\" x=\"{left}\" y=\"{y}\">{}</text>",
            name(kind)
        );
        let _ = writeln!(
            svg,
            "<text class=\"size{class}\" x=\"{right}\" y=\"{y}\">{size}</text>"
        );
        address(svg, top, range.start().as_u64());
        top += height;
    }
    address(svg, top, picture.end());
}

/// Each kind and how much there is of it.
fn legend(svg: &mut String, picture: &Picture) {
    let y = STACK_TOP - 18;
    let _ = writeln!(
        svg,
        "<text class=\"note\" x=\"{LEGEND_LEFT}\" y=\"{y}\">Totals</text>"
    );
    let mut top = STACK_TOP;
    for (kind, bytes) in &picture.totals {
        let fill = look(*kind).fill;
        let (x, first, second) = (LEGEND_LEFT + 38, top + 13, top + 30);
        let (word, size) = (name(*kind), binary_size((*bytes).into()));
        let _ = writeln!(
            svg,
            "<rect class=\"piece\" x=\"{LEGEND_LEFT}\" y=\"{top}\" width=\"26\" height=\"26\" fill=\"{fill}\"/>"
        );
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{first}\">{word}: {size}</text>");
        let _ = writeln!(
            svg,
            "<text class=\"note\" x=\"{x}\" y=\"{second}\">{}</text>",
            count(*bytes, "byte")
        );
        top += LEGEND_STEP;
    }
}

/// What a browser shows of a piece that is pointed at.
fn tooltip(piece: &Piece) -> String {
    let (start, last) = (piece.range.start(), piece.range.last());
    format!(
        "<title>{start}-{last} {}, {}</title>",
        name(piece.kind),
        count(piece.range.size(), "byte")
    )
}

/// Hundredths of a pixel as SVG has them.
fn pixels(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The end of a title, which tells more than its beginning.
fn shortened(title: &str) -> String {
    let chars = title.chars().count();
    if chars <= TITLE {
        return title.to_owned();
    }
    let end: String = title.chars().skip(chars - TITLE + 1).collect();
    format!("…{end}")
}

/// Text between tags: no markup, and no characters that XML does not know.
fn escape(text: &str) -> String {
    let is_known = |c: &char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            c if is_known(&c) => c.to_string(),
            _ => "\u{fffd}".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_text_and_fit() {
        assert_eq!(
            escape("a<b>&\u{1b}\u{ffff}\""),
            "a&lt;b&gt;&amp;\u{fffd}\u{fffd}\""
        );
        assert_eq!(shortened(&"x".repeat(TITLE)), "x".repeat(TITLE));
        let long = format!("{}end", "é".repeat(TITLE));
        assert!(shortened(&long).ends_with("éend") && shortened(&long).chars().count() == TITLE);
    }
}
