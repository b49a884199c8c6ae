//! What `kexec -d` prints of the load that it asks for.
//!
//! ```text
//!  kexec_load: entry = 0xef54760 flags = 0x3e0001
//!  nr_segments = 7
//!  segment[0].buf   = 0x5583211a36c0
//!  segment[0].bufsz = 0x30
//!  segment[0].mem   = 0x8000000
//!  segment[0].memsz = 0x1000
//!  segment[1].buf   = …
//! ```
//!
//! Other lines, those of a whole log, are passed over. Each may begin with the time, `[    1.234567] `, as
//! in the kernel's log; columns count from behind it. [`Listing`] prints from `nr_segments` on.
//!
//! Source: `my_load()` and `print_segments()` of kexec-tools, `kexec/kexec.c`.

use core::fmt;

use crate::{
    error::{Error, Result},
    segment::KexecSegment,
    uapi::{Arch, LoadFlags},
};

/// The fields of a segment in their order.
const FIELDS: [&str; 4] = ["buf", "bufsz", "mem", "memsz"];

const CALL: &str = "kexec_load: ";
const COUNT: &str = "nr_segments = ";

/// The text of a log.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a>(&'a str);

/// The arguments of a `kexec_load()` but for its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Where the new kernel is entered.
    pub entry: u64,
    /// The flags.
    pub flags: LoadFlags,
    /// The architecture in the flags.
    pub arch: Arch,
}

impl<'a> Log<'a> {
    /// A log, all of it or a part.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    fn lines(self) -> impl Iterator<Item = (u64, &'a str)> {
        (1..).zip(self.0.lines().map(unstamped))
    }

    /// The lines that begin so, and what follows.
    fn find(self, beginning: &'static str) -> impl Iterator<Item = Rest<'a>> {
        self.lines().filter_map(move |(line, text)| {
            let rest = text.strip_prefix(beginning)?;
            Some(Rest { line, text, rest })
        })
    }

    /// Entry point and flags, if the log has them.
    ///
    /// # Errors
    ///
    /// `BadText` for a line that begins as theirs does, and for the one of a second load.
    pub fn call(self) -> Result<Option<Call>> {
        let mut calls = self.find(CALL);
        let Some(found) = calls.next() else {
            return Ok(None);
        };
        if let Some(second) = calls.next() {
            return Err(second.bad("no second load in the log"));
        }
        let call = || {
            let (entry, flags) = found
                .rest
                .strip_prefix("entry = ")?
                .split_once(" flags = ")?;
            let (flags, arch) = LoadFlags::split(number(flags)?);
            let entry = number(entry)?;
            Some(Call { entry, flags, arch })
        };
        let bad = found.bad("`entry = 0x… flags = 0x…`");
        call().map(Some).ok_or(bad)
    }

    /// The segments, in their order; after an error there are none.
    ///
    /// Where the log has `nr_segments`, it is an error behind the last of them if they are not as many: a
    /// log may be cut.
    pub fn segments(self) -> impl Iterator<Item = Result<KexecSegment>> + 'a {
        let mut lines = self
            .lines()
            .filter(|(_, text)| text.starts_with("segment["));
        let mut count = 0;
        let mut ended = false;
        core::iter::from_fn(move || {
            if ended {
                return None;
            }
            let found = match segment(&mut lines, count) {
                Ok(Some(segment)) => Some(Ok(segment)),
                Ok(None) => self.check_count(count).err().map(Err),
                Err(error) => Some(Err(error)),
            };
            // Saturating: no text has as many lines.
            count = u64::saturating_add(count, 1);
            ended = !matches!(found, Some(Ok(_)));
            found
        })
    }

    fn check_count(self, count: u64) -> Result<()> {
        match self.find(COUNT).next() {
            Some(said) if said.rest.trim_end().parse() != Ok(count) => {
                Err(said.bad("as many as there are segments, which a cut log lacks"))
            }
            _ => Ok(()),
        }
    }
}

/// A line without the time before it, if the kernel's log has it: `[    1.234567] `.
fn unstamped(line: &str) -> &str {
    let is_time = |time: &str| {
        time.trim_start()
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'.')
    };
    let rest = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    rest.filter(|(time, _)| is_time(time))
        .map_or(line, |(_, rest)| rest)
}

/// What follows the beginning of a line.
struct Rest<'a> {
    line: u64,
    text: &'a str,
    rest: &'a str,
}

impl Rest<'_> {
    fn bad(&self, expected: &'static str) -> Error {
        Error::BadText {
            line: self.line,
            column: column(self.text, self.rest),
            expected,
        }
    }
}

/// Where in its line `rest` begins, which is the end of `text`.
fn column(text: &str, rest: &str) -> u64 {
    // Cannot saturate: `rest` is no longer than `text`, and columns count from 1.
    text.len().saturating_sub(rest.len()).saturating_add(1) as u64
}

/// The segment of this number in the next four lines.
fn segment<'a>(
    lines: &mut impl Iterator<Item = (u64, &'a str)>,
    index: u64,
) -> Result<Option<KexecSegment>> {
    let mut values = [0; FIELDS.len()];
    let mut last = None;
    for (value, name) in values.iter_mut().zip(FIELDS) {
        let expected = "segment[N].buf, bufsz, mem, memsz, N from 0 on, each `= 0x…`";
        let bad = |line, column| Error::BadText {
            line,
            column,
            expected,
        };
        *value = match (lines.next(), last) {
            (Some((line, text)), _) => {
                last = Some((line, text));
                field(text, index, name).map_err(|column| bad(line, column))?
            }
            (None, None) => return Ok(None),
            // It lacks a line behind its last one.
            (None, Some((line, text))) => return Err(bad(line, column(text, ""))),
        };
    }
    let [buf, bufsz, mem, memsz] = values;
    Ok(Some(KexecSegment {
        buf,
        bufsz,
        mem,
        memsz,
    }))
}

/// The value of a field of the segment `index`, or the column at which the line is another's.
fn field(text: &str, index: u64, name: &str) -> core::result::Result<u64, u64> {
    let found = || {
        let (place, value) = text.strip_prefix("segment[")?.split_once('=')?;
        let (number, found) = place.trim_end().split_once("].")?;
        (number.parse() == Ok(index) && found == name).then(|| value.trim_start())
    };
    let value = found().ok_or(1_u64)?;
    number(value.trim_end()).ok_or_else(|| column(text, value))
}

/// A number as C's `%p` and `%#lx` print it.
fn number(text: &str) -> Option<u64> {
    if matches!(text, "(nil)" | "0") {
        return Some(0);
    }
    let digits = text.strip_prefix("0x")?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Segments as `kexec -d` lists them; [`Log`] reads them back.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a>(pub &'a [KexecSegment]);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "nr_segments = {}", self.0.len())?;
        for (number, segment) in self.0.iter().enumerate() {
            let KexecSegment {
                buf,
                bufsz,
                mem,
                memsz,
            } = segment;
            writeln!(f, "segment[{number}].buf   = {}", Pointer(*buf))?;
            writeln!(f, "segment[{number}].bufsz = {bufsz:#x}")?;
            writeln!(f, "segment[{number}].mem   = {}", Pointer(*mem))?;
            writeln!(f, "segment[{number}].memsz = {memsz:#x}")?;
        }
        Ok(())
    }
}

/// `%p` of glibc.
struct Pointer(u64);

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("(nil)"),
            address => write!(f, "{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::*;

    const SEGMENTS: [KexecSegment; 2] = [
        KexecSegment {
            buf: 0x5583_211a_36c0,
            bufsz: 0x30,
            mem: 0x800_0000,
            memsz: 0x1000,
        },
        KexecSegment {
            buf: 0,
            bufsz: 0,
            mem: 0xb72_5000,
            memsz: 0x2d_b000,
        },
    ];

    fn segments(text: &str) -> Result<Vec<KexecSegment>> {
        Log::new(text).segments().collect()
    }

    /// The line and column that are complained about.
    fn place<T>(result: Result<T>) -> Option<(u64, u64)> {
        match result {
            Err(Error::BadText { line, column, .. }) => Some((line, column)),
            _ => None,
        }
    }

    #[test]
    fn what_is_listed_is_read() {
        let listed = Listing(&SEGMENTS).to_string();
        assert_eq!(segments(&listed).unwrap(), SEGMENTS);
        let log =
            std::format!("Try gzip\nkexec_load: entry = 0xef54760 flags = 0x3e0001\n{listed}");
        assert_eq!(segments(&log).unwrap(), SEGMENTS);
        let call = Log::new(&log).call().unwrap().unwrap();
        assert_eq!((call.entry, call.arch), (0xef5_4760, Arch::X86_64));
        assert_eq!(call.flags, LoadFlags::ON_CRASH);
        assert_eq!(Log::new(&listed).call(), Ok(None));
        assert_eq!(segments("").unwrap(), []);
    }

    #[test]
    fn lines_may_begin_with_the_time() {
        let listed = std::format!(
            "kexec_load: entry = 0x7 flags = 0x3e0001\n{}",
            Listing(&SEGMENTS)
        );
        for time in ["[    1.234567] ", "[12345.678901] "] {
            let stamped: Vec<_> = listed.lines().map(|line| [time, line].concat()).collect();
            let stamped = stamped.join("\n");
            assert_eq!(segments(&stamped).unwrap(), SEGMENTS);
            assert_eq!(Log::new(&stamped).call(), Log::new(&listed).call());
        }
        let other = listed.replace("segment", "[kexec] segment");
        assert_eq!(
            segments(&other.replace("nr_[kexec] segments = 2", "")).unwrap(),
            []
        );
    }

    #[test]
    fn what_is_not_as_listed_is_named_by_its_line() {
        let listed = Listing(&SEGMENTS).to_string();
        for (from, to, at) in [
            ("segment[0].bufsz = 0x30", "segment[0].bufsz = 30", (3, 20)),
            ("segment[0].mem ", "segment[0].men ", (4, 1)),
            ("segment[1].buf ", "segment[2].buf ", (6, 1)),
            (
                "segment[1].buf   = (nil)",
                "segment[1].buf   = 0x+1",
                (6, 20),
            ),
            ("segment[1].memsz = 0x2db000\n", "", (8, 29)),
            ("0x2db000", "0x10000000000000000", (9, 20)),
            ("segment[1].memsz = ", "segment[1]memsz ", (9, 1)),
            ("nr_segments = 2", "nr_segments = 3", (1, 15)),
            ("nr_segments = 2", "nr_segments = two", (1, 15)),
        ] {
            let changed = listed.replace(from, to);
            assert!(changed != listed);
            assert_eq!(place(segments(&changed)), Some(at), "{from}");
            // Nothing comes after it.
            let found = Log::new(&changed).segments();
            assert!(found.skip_while(Result::is_ok).count() == 1);
        }
        let call = "x\nkexec_load: entry = 0xef54760 flags 0x3e0001";
        assert_eq!(place(Log::new(call).call()), Some((2, 13)));
        let twice = "kexec_load: entry = 0x7 flags = 0x1\n".repeat(2);
        assert_eq!(place(Log::new(&twice).call()), Some((2, 13)));
    }

    #[test]
    fn an_empty_pointer_prints_as_glibc_prints_it() {
        let listed = Listing(&[KexecSegment::default()]).to_string();
        assert!(listed.contains("segment[0].buf   = (nil)\n"), "{listed}");
        assert!(listed.contains("segment[0].bufsz = 0x0\n"), "{listed}");
    }
}
