//! `/proc/iomem`: what is where in the physical address space, as a tree, on every architecture.
//!
//! ```text
//!  00100000-bffdcfff : System RAM
//!    aa200000-ab001ef1 : Kernel code
//!  ▲ └──┬───┘ └──┬───┘   └────┬────┘
//!  │  first  last, inclusive  name
//!  two blanks a level
//! ```
//!
//! `r_show()` in Linux `kernel/resource.c`: `%*s%0*llx-%0*llx : %s`, addresses of at least eight
//! digits, in preorder. Levels below [`MAX_DEPTH`] print as that one. The names of the kinds of
//! memory are `e820_type_to_string()` in `arch/x86/kernel/e820.c`; other architectures use
//! `System RAM`, too, and mark what is reserved *inside* of it with `reserved` or `Reserved`.
//!
//! Readers without `CAP_SYS_ADMIN` see every address as 0; [`Resources::parse`] refuses that.
//!
//! Every line is a resource or an error: the listing has no other lines.

#![deny(clippy::arithmetic_side_effects)]

use core::{fmt, iter::FusedIterator, str};

use nom::{Finish, Parser, bytes::complete::tag};

use super::line::{Lines, Mismatch, Parsed, Why, expect, hex};
use crate::{Error, Kind, RawEntry, RawMap, Words, error::Result};

/// The deepest level that is printed: `MAX_IORES_LEVEL`, which was 5 for a long time.
pub const MAX_DEPTH: u8 = 8;

/// One line of the listing: a range of the address space and who has it.
///
/// Prints as that line, without a line feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Line, from 1.
    pub line: u64,
    /// Level in the tree: 0 at the top. The parent is the last line before with one less.
    pub depth: u8,
    /// First address.
    pub start: u64,
    /// Last address, inclusive, never below the first.
    pub last: u64,
    /// Whose range it is, `Kernel code` for example.
    pub name: &'a str,
}

impl Resource<'_> {
    /// Bytes of the range: up to all 2^64.
    pub fn size(&self) -> u128 {
        // Cannot saturate: the last address is not below the first.
        u128::from(self.last.saturating_sub(self.start)).saturating_add(1)
    }

    /// The kind of memory that the name stands for; `None` for `Kernel code`, devices and all else.
    ///
    /// `System RAM (kmem)` and the like is none: drivers add and manage it.
    pub fn kind(&self) -> Option<Kind> {
        Words::resource(self.name.trim_ascii_end()).map(|(_, kind)| kind)
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            start, last, name, ..
        } = self;
        for _ in 0..self.depth {
            f.write_str("  ")?;
        }
        write!(f, "{start:08x}-{last:08x} : {name}")
    }
}

/// The resources of a listing in its order: each before those inside of it.
///
/// An iterator that stops after the first error.
///
/// ```
/// use e820::{Kind, text::iomem::Resources};
///
/// let listing = b"\
/// 00100000-bffdcfff : System RAM
///   aa200000-ab001ef1 : Kernel code
///   bb000000-bf7fffff : Crash kernel
/// bffdd000-bfffffff : Reserved
/// ";
/// let crash = Resources::parse(listing)?.find(|r| r.is_ok_and(|r| r.name == "Crash kernel"));
/// assert_eq!(crash.unwrap()?.size(), 72 << 20);
///
/// let map: Vec<_> = Resources::parse(listing)?.entries().collect::<Result<_, _>>()?;
/// assert_eq!(map.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [Kind::RAM, Kind::RESERVED]);
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Resources<'a> {
    lines: Lines<'a>,
    /// The level of the line before; `None` before the first one.
    above: Option<u8>,
}

impl<'a> Resources<'a> {
    /// Reads a listing of any bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Unprivileged`] if it has lines and all of their addresses are 0. Damaged lines are
    /// errors of the iteration.
    pub fn parse(listing: &'a [u8]) -> Result<Self> {
        let resources = Self {
            lines: Lines::new(listing),
            above: None,
        };
        let mut lines = 0;
        for resource in resources.clone() {
            match resource {
                Ok(resource) if (resource.start, resource.last) == (0, 0) => lines = resource.line,
                _ => return Ok(resources),
            }
        }
        if lines == 0 {
            return Ok(resources);
        }
        Err(Error::Unprivileged { lines })
    }

    /// The map that the listing shows: the outermost resources that are a [kind](Resource::kind) of
    /// memory.
    ///
    /// What is inside of such a one, like `reserved` in `System RAM`, is a part of it; what is
    /// inside of a bus or a device counts. Resources of no kind are left out.
    pub fn entries(self) -> impl Iterator<Item = Result<RawEntry>> + Clone + use<'a> {
        let mut inside_of = None;
        self.filter_map(move |resource| {
            let resource = match resource {
                Ok(resource) => resource,
                Err(error) => return Some(Err(error)),
            };
            if inside_of.is_some_and(|outer| resource.depth > outer) {
                return None;
            }
            inside_of = None;
            let kind = resource.kind()?;
            inside_of = Some(resource.depth);
            let Resource {
                line, start, last, ..
            } = resource;
            // Cannot saturate: a depth is below 2^7.
            let column = u64::from(resource.depth)
                .saturating_mul(2)
                .saturating_add(1);
            let entry = RawEntry::from_printed(start, last, kind);
            Some(entry.ok_or(Error::BadRange {
                line,
                column,
                start,
                last,
            }))
        })
    }

    #[inline]
    fn read(&mut self, number: u64, text: &'a [u8]) -> Result<Resource<'a>, Mismatch<'a>> {
        let deepest = match self.above {
            // Cannot saturate: not above `MAX_DEPTH`.
            Some(depth) => depth.saturating_add(1).min(MAX_DEPTH),
            None => 0,
        };
        let (depth, body) = indent(text, deepest)?;
        let (name, (start, last)) = range(body).finish()?;
        let name = str::from_utf8(name).map_err(|error| Mismatch {
            at: name.get(error.valid_up_to()..).unwrap_or_default(),
            why: Why::Expected("UTF-8"),
        })?;
        if last < start {
            let why = Why::Range { start, last };
            return Err(Mismatch { at: body, why });
        }
        self.above = Some(depth);
        Ok(Resource {
            line: number,
            depth,
            start,
            last,
            name,
        })
    }
}

/// The level of a line, and what follows its blanks.
#[inline]
fn indent(text: &[u8], deepest: u8) -> Result<(u8, &[u8]), Mismatch<'_>> {
    let mut depth: u8 = 0;
    let mut rest = text;
    while let Some(deeper) = rest.strip_prefix(b"  ") {
        if depth == deepest {
            let why = Why::Expected("at most two blanks more than the line before has");
            return Err(Mismatch { at: rest, why });
        }
        // Cannot saturate: below `deepest`.
        depth = depth.saturating_add(1);
        rest = deeper;
    }
    Ok((depth, rest))
}

#[inline]
fn range(body: &[u8]) -> Parsed<'_, (u64, u64)> {
    let address = "at least 8 lower-case hexadecimal digits";
    let (rest, start) = expect(address, hex(8)).parse(body)?;
    let (rest, _) = expect("`-`", tag("-")).parse(rest)?;
    let (rest, last) = expect(address, hex(8)).parse(rest)?;
    let (rest, _) = expect("` : ` and a name", tag(" : ")).parse(rest)?;
    Ok((rest, (start, last)))
}

impl<'a> Iterator for Resources<'a> {
    type Item = Result<Resource<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (number, text) = self.lines.next()?;
        let resource = self.read(number, text);
        if resource.is_err() {
            self.lines.stop();
        }
        Some(resource.map_err(|mismatch| mismatch.in_line(number, text)))
    }
}

impl FusedIterator for Resources<'_> {}

impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// The lines of `/proc/iomem` for this map, at the top level, each with its line feed.
    ///
    /// Linux 4.11 and later; one name stands for all numbers that have none of their own. As the
    /// kernel does, entries that are empty or pass the end of the address space are left out.
    pub fn iomem_lines(&self) -> impl fmt::Display {
        IomemLines {
            entries: self.entries(),
        }
    }
}

struct IomemLines<'a> {
    entries: &'a [RawEntry],
}

impl fmt::Display for IomemLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter();
        let listed = entries.filter_map(|entry| Some((entry, entry.last()?)));
        for (entry, last) in listed {
            let name = Words::Resource.word(entry.kind);
            writeln!(f, "{:08x}-{last:08x} : {name}", entry.addr)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString, vec::Vec};

    use super::*;

    fn read(listing: &str) -> Result<Vec<Resource<'_>>> {
        Resources::parse(listing.as_bytes())?.collect()
    }

    fn entries(listing: &str) -> Vec<(u64, u64, Kind)> {
        let entries = Resources::parse(listing.as_bytes()).unwrap().entries();
        entries
            .map(|entry| entry.map(|e| (e.addr, e.size, e.kind)).unwrap())
            .collect()
    }

    #[test]
    fn damaged_lines_say_where() {
        let first = "00000000-00000fff : Reserved\n";
        for (line, message) in [
            (
                "",
                "column 1: expected at least 8 lower-case hexadecimal digits",
            ),
            ("0000000-00000fff : x", "column 1: expected at least 8"),
            ("000000000-00000fff : x", "column 1: expected at least 8"),
            ("00000000 00000fff : x", "column 9: expected `-`"),
            ("00000000-", "column 10: expected at least 8"),
            ("00000000-00000fff", "column 18: expected ` : ` and a name"),
            ("00000000-00000FFF : x", "column 10: expected at least 8"),
            (
                "00001000-00000fff : x",
                "column 1: range 0x1000-0xfff ends before it starts",
            ),
            (
                "    00000000-00000fff : x",
                "column 3: expected at most two blanks more",
            ),
            (" 00000000-00000fff : x", "column 1: expected at least 8"),
        ] {
            let found = read(&format!("{first}{line}\n")).unwrap_err().to_string();
            assert!(found.starts_with(&format!("line 2, {message}")), "{found}");
        }
        assert_eq!(
            read("  00001000-00000fff : x").unwrap_err().to_string(),
            "line 1, column 1: expected at most two blanks more than the line before has"
        );
        let error = Resources::parse(b"00000000-00000fff : a\xff")
            .unwrap()
            .next();
        assert_eq!(
            error.unwrap().unwrap_err().to_string(),
            "line 1, column 22: expected UTF-8"
        );
    }

    #[test]
    fn listings_without_addresses_are_refused() {
        let hidden = "00000000-00000000 : Reserved\n  00000000-00000000 : x\n";
        assert_eq!(
            read(hidden).unwrap_err().to_string(),
            "line 1, column 1: all 2 ranges are 0-0: that is how the kernel shows /proc/iomem to \
             readers without CAP_SYS_ADMIN"
        );
        let seen = format!("{hidden}00000000-00000001 : y\n");
        assert_eq!(read(&seen).unwrap().len(), 3);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn levels_that_are_too_deep_to_be_told_apart_print_alike() {
        let mut listing = std::string::String::new();
        for depth in (0..=MAX_DEPTH).chain([MAX_DEPTH, MAX_DEPTH, 3, 4]) {
            let indent = "  ".repeat(depth.into());
            listing += &format!("{indent}00001000-00001fff : level {depth}\n");
        }
        let printed: Vec<_> = read(&listing)
            .unwrap()
            .iter()
            .map(|r| format!("{r}\n"))
            .collect();
        assert_eq!(printed.concat(), listing);
        let deeper = format!("{}00001000-00001fff : x", "  ".repeat(5));
        assert!(read(&format!("{listing}{deeper}")).is_ok());
        assert!(read(&format!("{listing}  {deeper}")).is_err());
    }

    #[test]
    fn the_outermost_kinds_are_the_map() {
        let listing = "\
00001000-0009fbff : System RAM
000a0000-000fffff : PCI Bus 0000:00
  000f0000-000fffff : Reserved
    000f0000-000fffff : System ROM
00100000-3fffffff : System RAM
  00200000-002fffff : reserved
40000000-4fffffff : Soft Reserved
  40000000-4fffffff : dax0.0
    40000000-4fffffff : System RAM (kmem)
50000000-5fffffff : Unknown E820 type
";
        assert_eq!(
            entries(listing),
            [
                (0x1000, 0x9ec00, Kind::RAM),
                (0xf0000, 0x10000, Kind::RESERVED),
                (0x10_0000, 0x3ff0_0000, Kind::RAM),
                (0x4000_0000, 0x1000_0000, Kind::SOFT_RESERVED),
                (0x5000_0000, 0x1000_0000, Kind::UNKNOWN),
            ]
        );
    }

    #[test]
    fn a_range_of_the_whole_space_is_a_resource_and_no_entry() {
        let listing = "00000000-ffffffffffffffff : System RAM";
        let resources = read(listing).unwrap();
        assert_eq!(
            (resources[0].size(), resources[0].to_string()),
            (1 << 64, listing.into())
        );
        let mut entries = Resources::parse(listing.as_bytes()).unwrap().entries();
        assert!(matches!(
            entries.next(),
            Some(Err(Error::BadRange { line: 1, .. }))
        ));
    }

    #[test]
    fn a_map_prints_what_the_kernel_lists() {
        let entry = |addr, size, kind| RawEntry { addr, size, kind };
        let map = RawMap::new([
            entry(0x1000, 0x9ec00, Kind::RAM),
            entry(0x2000, 0, Kind::RAM),
            entry(u64::MAX, 2, Kind::RAM),
            entry(0xfd_0000_0000, 0x3_0000_0000, Kind(20)),
        ]);
        assert_eq!(
            map.iomem_lines().to_string(),
            "00001000-0009fbff : System RAM\nfd00000000-ffffffffff : Unknown E820 type\n"
        );
    }
}
