//! The three ways in which Linux has printed a map, behind the source word of a line.
//!
//! ```text
//!  before 3.5   BIOS-e820: 0000000000000000 - 000000000009fc00 (usable)
//!                          └─────┬────────┘   └─────┬────────┘ └──┬───┘
//!                              first       the one after the last  kind
//!  3.5 to 6.19  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//!  7.0 on       BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff]  System RAM
//!               BIOS-e820: [gap 0x000000000009fc00-0x00000000000effff]
//! ```
//!
//! `e820_print_map()`, from 4.12 on `e820__print_table()`, and `e820_print_type()` in Linux
//! `arch/x86/kernel/e820.c`. The addresses are always 16 digits. From 7.0 on what lies between the
//! entries is printed as gaps, beginning at address 0, and an entry below the end of the one before
//! it is announced by a line `[Firmware Bug]: out of order E820 entry!`.

use core::fmt;

use nom::{
    Finish, Parser,
    branch::alt,
    bytes::complete::tag,
    combinator::map,
    sequence::{preceded, separated_pair, terminated},
};
use physmem::{PhysAddr, PhysRange};

use super::Who;
use crate::{
    RawEntry, RawMap, Words,
    text::line::{self, Mismatch, Parsed, Why, expect, hex, literal},
};

/// The generation of a map line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// Linux before 3.5: exclusive ends, kinds in parentheses.
    Before3_5,
    /// Linux 3.5 to 6.19: `[mem first-last] usable`.
    From3_5,
    /// Linux 7.0 and later: `[mem first-last]  System RAM`, with gaps.
    From7_0,
}

impl Form {
    /// The words that this form has for the kinds.
    pub const fn words(self) -> Words {
        match self {
            Self::Before3_5 => Words::Parenthesised,
            Self::From3_5 => Words::Log,
            Self::From7_0 => Words::Log7_0,
        }
    }
}

/// What stands behind a source word.
#[derive(Clone, Copy)]
pub(super) enum Body {
    Entry(Form, RawEntry),
    Gap(PhysRange),
}

/// Reads the rest of a line, from behind `BIOS-e820: ` on. Blanks at its end do not count.
#[inline]
pub(super) fn body(rest: &[u8]) -> Result<Body, Mismatch<'_>> {
    if !rest.starts_with(b"[") {
        return before_3_5(rest).map(|entry| Body::Entry(Form::Before3_5, entry));
    }
    let what = "`[mem ` or `[gap `";
    let mem = map(tag("[mem "), |_| true);
    let gap = map(tag("[gap "), |_| false);
    let (ranges, is_entry) = expect(what, alt((mem, gap))).parse(rest).finish()?;
    let (rest, range) = range(ranges).finish()?;
    if is_entry {
        let (word, _) = expect("`] ` after 16 digits, and a kind", tag("] "))
            .parse(rest)
            .finish()?;
        let (form, word) = match word.strip_prefix(b" ") {
            Some(word) => (Form::From7_0, word),
            None => (Form::From3_5, word),
        };
        let kind = line::kind(form.words(), word)?;
        line::inclusive(ranges, range, kind).map(|entry| Body::Entry(form, entry))
    } else {
        let (end, _) = literal!("]").parse(rest).finish()?;
        if !end.trim_ascii().is_empty() {
            let why = Why::Expected("the end of the line");
            return Err(Mismatch { at: end, why });
        }
        gap_range(ranges, range).map(Body::Gap)
    }
}

/// A gap ends where an entry starts, so below the end of the address space.
fn gap_range(at: &[u8], (start, last): (u64, u64)) -> Result<PhysRange, Mismatch<'_>> {
    let end = last.checked_add(1).map(PhysAddr::new);
    let range = end.and_then(|end| PhysRange::try_new(PhysAddr::new(start), end).ok());
    let why = Why::Range { start, last };
    range.ok_or(Mismatch { at, why })
}

#[inline]
fn range(body: &[u8]) -> Parsed<'_, (u64, u64)> {
    let what = "`0x` and 16 lower-case hexadecimal digits";
    let address = || expect(what, preceded(tag("0x"), hex(16)));
    separated_pair(
        address(),
        expect("`-` after 16 digits", tag("-")),
        address(),
    )
    .parse(body)
}

fn before_3_5(rest: &[u8]) -> Result<RawEntry, Mismatch<'_>> {
    let address = || expect("16 lower-case hexadecimal digits", hex(16));
    let mut range = (
        terminated(address(), literal!(" - ")),
        terminated(address(), literal!(" ")),
    );
    let (word, range) = range.parse(rest).finish()?;
    let kind = line::kind(Words::Parenthesised, word)?;
    line::exclusive(rest, range, kind)
}

/// Whether what follows a source word is meant as a range before 3.5, complete or cut off.
pub(super) fn is_before_3_5(rest: &[u8]) -> bool {
    let digits = rest
        .iter()
        .take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let count = digits.count();
    count >= 16 || (count > 0 && rest.get(count..).is_some_and(<[u8]>::is_empty))
}

/// The lines of the kernel's log for a map: made by [`RawMap::log_lines`].
#[derive(Debug, Clone, Copy)]
pub struct LogLines<'a> {
    entries: &'a [RawEntry],
    who: Who,
    form: Form,
}

impl LogLines<'_> {
    /// The lines as another generation of the kernel prints them, from 7.0 on with the lines of
    /// gaps and of entries out of order.
    #[must_use]
    pub const fn form(self, form: Form) -> Self {
        Self { form, ..self }
    }
}

impl<S: AsRef<[RawEntry]>> RawMap<S> {
    /// The lines of the kernel's log for this map, without a log prefix, each with its line feed:
    /// those of Linux 3.5 to 6.19, of another one with [`LogLines::form`].
    ///
    /// ```
    /// use e820::{Kind, RawEntry, RawMap, text::dmesg::{Form, Who}};
    ///
    /// let map = RawMap::new([RawEntry { addr: 0x1000, size: 0x9ec00, kind: Kind::RAM }]);
    /// let lines = map.log_lines(Who::BiosE820);
    /// assert_eq!(lines.to_string(), "BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff] usable\n");
    /// assert_eq!(
    ///     lines.form(Form::Before3_5).to_string(),
    ///     " BIOS-e820: 0000000000001000 - 000000000009fc00 (usable)\n"
    /// );
    /// assert_eq!(
    ///     lines.form(Form::From7_0).to_string(),
    ///     "BIOS-e820: [gap 0x0000000000000000-0x0000000000000fff]\n\
    ///      BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff]  System RAM\n"
    /// );
    /// ```
    pub fn log_lines(&self, who: Who) -> LogLines<'_> {
        LogLines {
            entries: self.entries(),
            who,
            form: Form::From3_5,
        }
    }
}

impl fmt::Display for LogLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.who;
        let mut previous_end = 0;
        for entry in self.entries {
            let RawEntry { addr, size, kind } = *entry;
            let word = self.form.words().word(kind);
            // The kernel computes ends in 64 bits and prints what comes out.
            let end = addr.wrapping_add(size);
            let last = end.wrapping_sub(1);
            match self.form {
                Form::Before3_5 => writeln!(f, " {who}: {addr:016x} - {end:016x} {word}")?,
                Form::From3_5 => writeln!(f, "{who}: [mem {addr:#018x}-{last:#018x}] {word}")?,
                Form::From7_0 => {
                    if addr < previous_end {
                        writeln!(f, "[Firmware Bug]: out of order E820 entry!")?;
                    }
                    if let Some(gap) = addr.checked_sub(1).filter(|_| addr > previous_end) {
                        writeln!(f, "{who}: [gap {previous_end:#018x}-{gap:#018x}]")?;
                    }
                    writeln!(f, "{who}: [mem {addr:#018x}-{last:#018x}]  {word}")?;
                }
            }
            previous_end = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::Kind;

    fn entry(text: &[u8]) -> Option<(Form, RawEntry)> {
        match body(text) {
            Ok(Body::Entry(form, entry)) => Some((form, entry)),
            _ => None,
        }
    }

    #[test]
    fn one_entry_in_three_generations_and_blanks_at_the_end() {
        let expected = RawEntry {
            addr: 0x1000,
            size: 0x9ec00,
            kind: Kind::NVS,
        };
        for (form, text) in [
            (
                Form::Before3_5,
                "0000000000001000 - 000000000009fc00 (ACPI NVS)",
            ),
            (
                Form::From3_5,
                "[mem 0x0000000000001000-0x000000000009fbff] ACPI NVS",
            ),
            (
                Form::From7_0,
                "[mem 0x0000000000001000-0x000000000009fbff]  ACPI NVS",
            ),
        ] {
            for end in ["", "\r", " \r\r"] {
                let text = [text, end].concat();
                assert_eq!(entry(text.as_bytes()), Some((form, expected)), "{text:?}");
            }
        }
    }

    #[test]
    fn ends_that_are_not_in_the_address_space() {
        let to_the_end = entry(b"fffffffffffff000 - 0000000000000000 (reserved)").unwrap();
        assert_eq!(to_the_end.1.size, 0x1000);
        let gap = body(b"[gap 0x0000000000000000-0xffffffffffffffff]");
        assert!(matches!(
            gap,
            Err(Mismatch {
                why: Why::Range { .. },
                ..
            })
        ));
        assert!(matches!(
            body(b"[gap 0x0000000000001000-0x0000000000001fff]\r"),
            Ok(Body::Gap(range)) if range.start().as_u64() == 0x1000 && range.size() == 0x1000
        ));
    }

    #[test]
    fn what_is_meant_as_a_range_before_3_5() {
        for text in [
            "0000000000000000 - 000000000009fc00 (usable)",
            "00000000",
            "0",
        ] {
            assert!(is_before_3_5(text.as_bytes()), "{text}");
        }
        for text in ["", "000 - 111", "/var/log/kern.log", "disabled"] {
            assert!(!is_before_3_5(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn gaps_begin_at_0_and_entries_out_of_order_are_announced() {
        let ram = |addr, size| RawEntry {
            addr,
            size,
            kind: Kind::RAM,
        };
        let map = RawMap::new([
            ram(0x2000, 0x1000),
            ram(0x1000, 0x1000),
            ram(0x2000, 0x1000),
        ]);
        let lines = map.log_lines(Who::Extended).form(Form::From7_0).to_string();
        assert_eq!(
            lines,
            "extended: [gap 0x0000000000000000-0x0000000000001fff]\n\
             extended: [mem 0x0000000000002000-0x0000000000002fff]  System RAM\n\
             [Firmware Bug]: out of order E820 entry!\n\
             extended: [mem 0x0000000000001000-0x0000000000001fff]  System RAM\n\
             extended: [mem 0x0000000000002000-0x0000000000002fff]  System RAM\n"
        );
    }
}
