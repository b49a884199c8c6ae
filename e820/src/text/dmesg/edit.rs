//! What the kernel says it does to its map: lines beside those of the maps.
//!
//! ```text
//!  before 3.5   e820 update range: 0000000000000000 - 0000000000001000 (usable) ==> (reserved)
//!               e820 remove range: 00000000000a0000 - 0000000000100000 (usable)
//!               reserve RAM buffer: 000000000009fc00 - 000000000009ffff ·   ◄─ last byte; a blank at the end
//!  3.5 to 6.19  e820: update [mem 0x00000000-0x00000fff] usable ==> reserved
//!               e820: remove [mem 0x000a0000-0x000fffff] usable
//!               e820: reserve RAM buffer [mem 0x0009fc00-0x0009ffff]
//!  7.0 on       e820: update [mem 0x00000000-0x00000fff] System RAM ==> device reserved
//!               e820: register RAM buffer resource [mem 0x0009fc00-0x0009ffff]
//! ```
//!
//! `__e820__range_update()`, `e820__range_remove()` and `e820__reserve_resources_late()` in Linux
//! `arch/x86/kernel/e820.c`. Addresses have at least eight digits (`%#010Lx`), before 3.5 always 16.

use core::fmt;

use memchr::memmem::Finder;
use nom::{
    Finish, Parser,
    bytes::complete::tag,
    sequence::{preceded, separated_pair, terminated},
};

use super::Form;
use crate::{
    Kind, RawEntry,
    text::line::{self, Mismatch, Parsed, Why, expect, hex, literal},
};

/// What the kernel does to its map, as it says in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Edit {
    /// What is `from` in the range becomes `to`.
    Update {
        /// The kind before.
        from: Kind,
        /// The kind after.
        to: Kind,
    },
    /// What is of this kind in the range, or of any, is taken out.
    Remove {
        /// The kind, `None` for all.
        kind: Option<Kind>,
    },
    /// Nothing in the map changes, but in `/proc/iomem` a `RAM buffer` keeps drivers off the range
    /// behind the end of RAM.
    RamBuffer,
}

/// An edit in a log.
///
/// Prints as the kernel's message, without a log prefix and a line feed.
///
/// ```
/// use e820::{Kind, text::dmesg::{Edit, LogItem, LogItems}};
///
/// let log = b"[    0.006756] e820: update [mem 0x00000000-0x00000fff] usable ==> reserved\n";
/// let Some(LogItem::Edit(found)) = LogItems::new(log).next().transpose()? else { panic!() };
/// assert_eq!((found.addr, found.size), (0, 0x1000));
/// assert_eq!(found.edit, Edit::Update { from: Kind::RAM, to: Kind::RESERVED });
/// assert_eq!(found.to_string(), "e820: update [mem 0x00000000-0x00000fff] usable ==> reserved");
/// # Ok::<(), e820::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEdit {
    /// Line, from 1.
    pub line: u64,
    /// The generation of the line. Where two print it alike, [`Form::From3_5`].
    pub form: Form,
    /// First address of the range.
    pub addr: u64,
    /// Bytes of the range, which may be none.
    pub size: u64,
    /// What is done to it.
    pub edit: Edit,
}

/// What a line says is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Update,
    Remove,
    Buffer,
}

/// What announces an edit, up to its range: the words, and what they mean.
const MARKS: &[(&str, Form, Verb)] = &[
    ("e820: update [mem ", Form::From3_5, Verb::Update),
    ("e820: remove [mem ", Form::From3_5, Verb::Remove),
    (
        "e820: reserve RAM buffer [mem ",
        Form::From3_5,
        Verb::Buffer,
    ),
    (
        "e820: register RAM buffer resource [mem ",
        Form::From7_0,
        Verb::Buffer,
    ),
    ("e820 update range: ", Form::Before3_5, Verb::Update),
    ("e820 remove range: ", Form::Before3_5, Verb::Remove),
];
const OLD_BUFFER: &str = "reserve RAM buffer: ";

/// Finds the lines that announce edits.
#[derive(Debug, Clone)]
pub(super) struct Edits {
    e820: Finder<'static>,
    old_buffer: Finder<'static>,
}

impl Edits {
    pub(super) fn new() -> Self {
        Self {
            e820: Finder::new("e820"),
            old_buffer: Finder::new(OLD_BUFFER),
        }
    }

    /// The edit of a line, nothing for other lines.
    pub(super) fn read<'l>(
        &self,
        number: u64,
        line: &'l [u8],
    ) -> Option<Result<LogEdit, Mismatch<'l>>> {
        let (rest, form, verb) = self.mark(line)?;
        Some(parse(rest, form, verb).map(|(form, entry, edit)| LogEdit {
            line: number,
            form,
            addr: entry.addr,
            size: entry.size,
            edit,
        }))
    }

    fn mark<'l>(&self, line: &'l [u8]) -> Option<(&'l [u8], Form, Verb)> {
        let begins = |at: usize| {
            let before = at.checked_sub(1).and_then(|before| line.get(before));
            before.is_none_or(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'-' | b'_'))
        };
        let marked = self.e820.find_iter(line).filter(|at| begins(*at));
        marked
            .filter_map(|at| line.get(at..))
            .find_map(|text| {
                MARKS.iter().find_map(|(mark, form, verb)| {
                    let rest = text.strip_prefix(mark.as_bytes())?;
                    Some((rest, *form, *verb))
                })
            })
            .or_else(|| {
                let at = self.old_buffer.find(line).filter(|at| begins(*at))?;
                let rest = line.get(at..)?.strip_prefix(OLD_BUFFER.as_bytes())?;
                Some((rest, Form::Before3_5, Verb::Buffer))
            })
    }
}

type Found = (Form, RawEntry, Edit);

/// What follows a mark, up to the end of the line.
fn parse(rest: &[u8], form: Form, verb: Verb) -> Result<Found, Mismatch<'_>> {
    let is_old = form == Form::Before3_5;
    let (tail, range) = if is_old { old_range(rest) } else { range(rest) }.finish()?;
    let entry = if is_old && verb != Verb::Buffer {
        line::exclusive(rest, range, Kind::UNKNOWN)?
    } else {
        line::inclusive(rest, range, Kind::UNKNOWN)?
    };
    if !tail.first().is_none_or(u8::is_ascii_whitespace) {
        let why = Why::Expected("a blank after the range");
        return Err(Mismatch { at: tail, why });
    }
    // Blanks at the end do not count, so an error still tells its column by what follows it.
    let words = tail.trim_ascii_start();
    let end = Why::Expected("the end of the line");
    let (form, edit) = match verb {
        Verb::Buffer if words.is_empty() => (form, Edit::RamBuffer),
        Verb::Buffer => {
            return Err(Mismatch {
                at: words,
                why: end,
            });
        }
        Verb::Remove if words.is_empty() => (form, Edit::Remove { kind: None }),
        Verb::Remove => {
            let (form, kind) = either(form, |form| line::kind(form.words(), words))?;
            (form, Edit::Remove { kind: Some(kind) })
        }
        Verb::Update => either(form, |form| update(form, words))?,
    };
    Ok((form, entry, edit))
}

/// From 3.5 on only the words tell the form; an error is that of the form that most logs have.
fn either<'a, T>(
    form: Form,
    read: impl Fn(Form) -> Result<T, Mismatch<'a>>,
) -> Result<(Form, T), Mismatch<'a>> {
    let newer = |_| read(Form::From7_0).map(|found| (Form::From7_0, found));
    match read(form) {
        Err(mismatch) if form == Form::From3_5 => newer(()).map_err(|_| mismatch),
        found => found.map(|found| (form, found)),
    }
}

fn update(form: Form, words: &[u8]) -> Result<Edit, Mismatch<'_>> {
    const ARROW: &[u8] = b" ==> ";
    let arrow = memchr::memmem::find(words, ARROW).ok_or(Mismatch {
        at: words,
        why: Why::Expected("two kinds with ` ==> ` between them"),
    })?;
    let (from, to) = words.split_at(arrow);
    let to = to.strip_prefix(ARROW).unwrap_or_default();
    let from = line::kind(form.words(), from).map_err(|mismatch| Mismatch {
        at: words,
        ..mismatch
    })?;
    let to = line::kind(form.words(), to)?;
    Ok(Edit::Update { from, to })
}

fn range(body: &[u8]) -> Parsed<'_, (u64, u64)> {
    let address = || {
        expect(
            "`0x` and at least 8 lower-case hexadecimal digits",
            preceded(tag("0x"), hex(8)),
        )
    };
    terminated(
        separated_pair(address(), literal!("-"), address()),
        literal!("]"),
    )
    .parse(body)
}

fn old_range(body: &[u8]) -> Parsed<'_, (u64, u64)> {
    let address = || expect("16 lower-case hexadecimal digits", hex(16));
    separated_pair(address(), literal!(" - "), address()).parse(body)
}

impl fmt::Display for LogEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr;
        // The kernel computes ends in 64 bits and prints what comes out.
        let end = addr.wrapping_add(self.size);
        let last = end.wrapping_sub(1);
        let word = |kind| self.form.words().word(kind);
        let old = self.form == Form::Before3_5;
        match self.edit {
            Edit::Update { from, to } if old => {
                let (from, to) = (word(from), word(to));
                write!(
                    f,
                    "e820 update range: {addr:016x} - {end:016x} {from} ==> {to}"
                )
            }
            Edit::Update { from, to } => {
                let (from, to) = (word(from), word(to));
                write!(
                    f,
                    "e820: update [mem {addr:#010x}-{last:#010x}] {from} ==> {to}"
                )
            }
            Edit::Remove { kind } => {
                if old {
                    write!(f, "e820 remove range: {addr:016x} - {end:016x}")?;
                } else {
                    write!(f, "e820: remove [mem {addr:#010x}-{last:#010x}]")?;
                }
                match (kind, self.form) {
                    (Some(kind), _) => write!(f, " {}", word(kind)),
                    (None, Form::From7_0) => Ok(()),
                    // Until 6.19 the blank comes with the range.
                    (None, _) => f.write_str(" "),
                }
            }
            Edit::RamBuffer => match self.form {
                Form::Before3_5 => write!(f, "reserve RAM buffer: {addr:016x} - {last:016x} "),
                Form::From3_5 => write!(
                    f,
                    "e820: reserve RAM buffer [mem {addr:#010x}-{last:#010x}]"
                ),
                Form::From7_0 => write!(
                    f,
                    "e820: register RAM buffer resource [mem {addr:#010x}-{last:#010x}]"
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use super::*;

    fn read(line: &str) -> Option<Result<LogEdit, std::string::String>> {
        let found = Edits::new().read(7, line.as_bytes())?;
        Some(found.map_err(|mismatch| mismatch.in_line(7, line.as_bytes()).to_string()))
    }

    #[test]
    fn every_edit_prints_as_it_was() {
        let update = Edit::Update {
            from: Kind::RAM,
            to: Kind::RESERVED,
        };
        let remove = |kind| Edit::Remove { kind };
        for (line, form, size, edit) in [
            (
                "e820 update range: 0000000000000000 - 0000000000001000 (usable) ==> (reserved)",
                Form::Before3_5,
                0x1000,
                update,
            ),
            (
                "e820 remove range: 0000000000000000 - 0000000000001000 (usable)",
                Form::Before3_5,
                0x1000,
                remove(Some(Kind::RAM)),
            ),
            (
                "e820 remove range: 0000000000000000 - 0000000000001000 ",
                Form::Before3_5,
                0x1000,
                remove(None),
            ),
            (
                "reserve RAM buffer: 0000000000000000 - 0000000000000fff ",
                Form::Before3_5,
                0x1000,
                Edit::RamBuffer,
            ),
            (
                "e820: update [mem 0x00000000-0x00000fff] usable ==> reserved",
                Form::From3_5,
                0x1000,
                update,
            ),
            (
                "e820: remove [mem 0x00000000-0x00000fff] usable",
                Form::From3_5,
                0x1000,
                remove(Some(Kind::RAM)),
            ),
            (
                "e820: remove [mem 0x00000000-0x00000fff] ACPI NVS",
                Form::From3_5,
                0x1000,
                remove(Some(Kind::NVS)),
            ),
            (
                "e820: remove [mem 0x00000000-0xfffffffffffffffe] ",
                Form::From3_5,
                u64::MAX,
                remove(None),
            ),
            (
                "e820: reserve RAM buffer [mem 0x00000000-0x1bfffffff]",
                Form::From3_5,
                0x1_c000_0000,
                Edit::RamBuffer,
            ),
            (
                "e820: update [mem 0x00000000-0x00000fff] System RAM ==> device reserved",
                Form::From7_0,
                0x1000,
                update,
            ),
            (
                "e820: remove [mem 0x00000000-0x00000fff] System RAM",
                Form::From7_0,
                0x1000,
                remove(Some(Kind::RAM)),
            ),
            (
                "e820: register RAM buffer resource [mem 0x00000000-0x00000fff]",
                Form::From7_0,
                0x1000,
                Edit::RamBuffer,
            ),
        ] {
            for prefix in ["", "[    0.000000] ", "host kernel: ", "<7>"] {
                let found = read(&format!("{prefix}{line}")).unwrap().unwrap();
                assert_eq!(
                    found,
                    LogEdit {
                        line: 7,
                        form,
                        addr: 0,
                        size,
                        edit
                    },
                    "{line}"
                );
                assert_eq!(found.to_string(), line);
            }
        }
    }

    #[test]
    fn damaged_edits_say_where() {
        for (line, message) in [
            (
                "e820: update [mem 0x0000-0x00000fff] usable ==> reserved",
                "column 19: expected `0x` and at least 8",
            ),
            (
                "e820: update [mem 0x00000000-0x00000fff] usable",
                "column 42: expected two kinds with ` ==> `",
            ),
            (
                "e820: update [mem 0x00000000-0x00000fff] usable ==> x",
                "column 53: unknown kind `x`, known: usable",
            ),
            (
                "e820: update [mem 0x00001000-0x000000ff] usable ==> reserved",
                "column 19: range 0x1000-0xff ends before",
            ),
            (
                "e820: remove [mem 0x00000000-0x00000fff",
                "column 40: expected `]`",
            ),
            (
                "e820: reserve RAM buffer [mem 0x00000000-0x00000fff] x",
                "column 54: expected the end of the line",
            ),
            (
                "reserve RAM buffer: 0000",
                "column 21: expected 16 lower-case",
            ),
        ] {
            let found = read(line).unwrap().unwrap_err();
            assert!(found.starts_with(&format!("line 7, {message}")), "{found}");
        }
    }

    #[test]
    fn lines_that_are_no_edits() {
        for line in [
            "BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable",
            "e820: [mem 0xc0000000-0xfeffbfff] available for PCI devices",
            "xe820: update [mem 0x00000000-0x00000fff] usable ==> reserved",
            "prereserve RAM buffer: 0",
            "",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
