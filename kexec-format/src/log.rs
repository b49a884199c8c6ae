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
//! Other lines, those of a whole log, are passed over. [`Listing`](crate::segment::Listing) prints
//! segments like this.
//!
//! Source: `my_load()` and `print_segments()` of kexec-tools, `kexec/kexec.c`.

use crate::{
    error::{Error, Result},
    segment::KexecSegment,
    uapi::{Arch, LoadFlags},
};

/// The fields of a segment in their order.
const FIELDS: [&str; 4] = ["buf", "bufsz", "mem", "memsz"];

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
        (1..).zip(self.0.lines())
    }

    /// Entry point and flags, if the log has them.
    ///
    /// # Errors
    ///
    /// `BadText` for a line that begins as theirs does.
    pub fn call(self) -> Result<Option<Call>> {
        let mut lines = self.lines();
        let found = lines.find_map(|(line, text)| Some((line, text.strip_prefix("kexec_load: ")?)));
        let Some((line, text)) = found else {
            return Ok(None);
        };
        let call = || {
            let (entry, flags) = text.strip_prefix("entry = ")?.split_once(" flags = ")?;
            let (flags, arch) = LoadFlags::split(number(flags)?);
            let entry = number(entry)?;
            Some(Call { entry, flags, arch })
        };
        let expected = "`kexec_load: entry = 0x… flags = 0x…`";
        call().map(Some).ok_or(Error::BadText { line, expected })
    }

    /// The segments, in their order; after an error there are none.
    pub fn segments(self) -> impl Iterator<Item = Result<KexecSegment>> + 'a {
        let mut lines = self
            .lines()
            .filter(|(_, text)| text.starts_with("segment["));
        let mut count = 0;
        let mut failed = false;
        core::iter::from_fn(move || {
            if failed {
                return None;
            }
            let found = segment(&mut lines, count).transpose()?;
            // Saturating: no text has as many lines.
            count = u64::saturating_add(count, 1);
            failed = found.is_err();
            Some(found)
        })
    }
}

/// The segment of this number in the next four lines.
fn segment<'a>(
    lines: &mut impl Iterator<Item = (u64, &'a str)>,
    index: u64,
) -> Result<Option<KexecSegment>> {
    let mut values = [0; FIELDS.len()];
    let mut last = None;
    for (value, field) in values.iter_mut().zip(FIELDS) {
        let expected = "segment[N].buf, bufsz, mem, memsz, N from 0 on, each `= 0x…`";
        let (line, text) = match (lines.next(), last) {
            (Some(line), _) => line,
            (None, None) => return Ok(None),
            (None, Some(line)) => return Err(Error::BadText { line, expected }),
        };
        last = Some(line);
        let found = || {
            let (name, found) = text.strip_prefix("segment[")?.split_once('=')?;
            let (number_of, name) = name.trim_end().split_once("].")?;
            (number_of.parse() == Ok(index) && name == field).then(|| number(found.trim()))?
        };
        *value = found().ok_or(Error::BadText { line, expected })?;
    }
    let [buf, bufsz, mem, memsz] = values;
    Ok(Some(KexecSegment {
        buf,
        bufsz,
        mem,
        memsz,
    }))
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

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::*;
    use crate::segment::Listing;

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

    /// The line that is complained about.
    fn line<T>(result: Result<T>) -> Option<u64> {
        match result {
            Err(Error::BadText { line, .. }) => Some(line),
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
    fn what_is_not_as_listed_is_named_by_its_line() {
        let listed = Listing(&SEGMENTS).to_string();
        for (from, to, at) in [
            ("segment[0].bufsz = 0x30", "segment[0].bufsz = 30", 3),
            ("segment[0].mem ", "segment[0].men ", 4),
            ("segment[1].buf ", "segment[2].buf ", 6),
            ("segment[1].buf   = (nil)", "segment[1].buf   = 0x+1", 6),
            ("segment[1].memsz = 0x2db000\n", "", 8),
            ("0x2db000", "0x10000000000000000", 9),
            ("segment[1].memsz = ", "segment[1]memsz ", 9),
        ] {
            let changed = listed.replace(from, to);
            assert!(changed != listed);
            assert_eq!(line(segments(&changed)), Some(at), "{from}");
            // Nothing comes after it.
            let found = Log::new(&changed).segments();
            assert!(found.skip_while(Result::is_ok).count() == 1);
        }
        let call = "x\nkexec_load: entry = 0xef54760 flags 0x3e0001";
        assert_eq!(line(Log::new(call).call()), Some(2));
    }
}
