//! What the kernel takes from a command line.
//!
//! ```text
//!   crashkernel=64M crashkernel=1G,high crashkernel=1G-:96M,2G-:x crashkernel=72M,low
//!                                                   └┬┘    └─┬──┘
//!       the last one without a suffix counts ────────┘   never read if the first range matches
//! ```
//!
//! `parse_crashkernel()` in Linux `kernel/crash_reserve.c`.

use memchr::{memchr, memmem};
use physmem::PhysAddr;

use super::{Mismatch, RangeSize, Unit};
use crate::{
    Error,
    crash::{Kernel, Refusal},
    text::memparse::memparse,
};

const NAME: &[u8] = b"crashkernel=";

/// What the kernel takes from a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Bytes, above 0 and less than the RAM.
    pub size: u64,
    /// Exactly there.
    pub at: Option<PhysAddr>,
    /// Above 4 GiB first.
    pub high: bool,
    /// Bytes below 4 GiB if the rest comes to lie above; `None` for the kernel's default.
    pub low: Option<u64>,
    /// Bytes of movable memory. Linux before 6.17 takes no notice.
    pub cma: u64,
}

/// What this kernel takes from a command line on a machine with `ram` bytes; `None` if there is no
/// `crashkernel=`.
///
/// ```
/// use e820::{crash::Kernel, text::crashkernel::wanted};
///
/// let line = b"root=/dev/vda crashkernel=1G-4G:192M,4G-:256M quiet";
/// assert_eq!(wanted(line, 6 << 30, &Kernel::X86_64)?.unwrap().size, 256 << 20);
/// assert_eq!(
///     wanted(line, 512 << 20, &Kernel::X86_64).unwrap_err().to_string(),
///     "no range of crashkernel= holds 512 MiB of RAM"
/// );
/// # Ok::<(), e820::crash::Refusal>(())
/// ```
///
/// # Errors
///
/// Why the kernel would reserve nothing.
pub fn wanted(cmdline: &[u8], ram: u64, kernel: &Kernel) -> Result<Option<Wanted>, Refusal> {
    let cmdline = cmdline.trim_ascii_end();
    let cma = last_word(cmdline, |word| word.ends_with(CMA));
    let mut wanted = Wanted {
        size: 0,
        at: None,
        high: false,
        low: None,
        // The kernel does not look at whether the rest is right.
        cma: cma.map_or(0, |word| memparse(word.value).0),
    };

    let low = last_word(cmdline, |word| word.ends_with(LOW));
    let plain = |word: &[u8]| ![HIGH, LOW, CMA].iter().any(|suffix| word.ends_with(suffix));
    if let Some(word) = last_word(cmdline, plain) {
        let (size, at) = word.plain(ram, kernel)?;
        (wanted.size, wanted.at) = (size, Some(at).filter(|&at| at != 0).map(PhysAddr::new));
    } else if let Some(word) = last_word(cmdline, |word| word.ends_with(HIGH)) {
        (wanted.size, wanted.high) = (word.suffixed(HIGH)?, true);
        wanted.low = low.map(|word| word.suffixed(LOW)).transpose()?;
    } else if low.or(cma).is_some() {
        return Err(Refusal::NoMain);
    } else {
        return Ok(None);
    }
    match wanted.size {
        0 => Err(Refusal::ZeroSize),
        size if size >= ram => Err(Refusal::TooBig { size, ram }),
        _ => Ok(Some(wanted)),
    }
}

const HIGH: &[u8] = b",high";
const LOW: &[u8] = b",low";
const CMA: &[u8] = b",cma";

/// A `crashkernel=` on a command line.
#[derive(Clone, Copy)]
struct Word<'a> {
    value: &'a [u8],
    /// Where the value ends in the command line.
    end: usize,
}

/// The last `crashkernel=` of this sort. The kernel finds it inside of other words as well, and takes
/// a space only for its end.
fn last_word(cmdline: &[u8], sort: impl Fn(&[u8]) -> bool) -> Option<Word<'_>> {
    // Many of them may stand in one word, of which the end is looked for once.
    let mut end = 0;
    let found = memmem::find_iter(cmdline, NAME).filter_map(|at| {
        if at >= end {
            let rest = cmdline.get(at..)?;
            let len = memchr(b' ', rest).unwrap_or(rest.len());
            // Lies in the command line.
            end = at.saturating_add(len);
        }
        let value = cmdline.get(at..end)?.strip_prefix(NAME)?;
        Some(Word { value, end })
    });
    found.filter(|word| sort(word.value)).last()
}

impl Word<'_> {
    fn syntax(self, mismatch: Mismatch<'_>) -> Refusal {
        // Cannot saturate: what was not read is the end of the value, and columns count from 1.
        let column = self.end.saturating_sub(mismatch.at.len()).saturating_add(1) as u64;
        let expected = mismatch.expected;
        Refusal::Syntax(Error::BadLine {
            line: 1,
            column,
            expected,
        })
    }

    /// Size and address (0 for none) of a value without a suffix.
    fn plain(self, ram: u64, kernel: &Kernel) -> Result<(u64, u64), Refusal> {
        if self.value.contains(&b':') {
            return self.list(ram, kernel);
        }
        let read = || {
            let (size, rest) = Unit::Linux.number(self.value)?;
            match rest {
                [] => Ok((size, 0)),
                // Neither that there is a number nor what follows it is looked at.
                [b'@', address @ ..] => Ok((size, memparse(address).0)),
                at => Err(Mismatch {
                    at,
                    expected: "`@` or the end",
                }),
            }
        };
        read().map_err(|mismatch| self.syntax(mismatch))
    }

    fn list(self, ram: u64, kernel: &Kernel) -> Result<(u64, u64), Refusal> {
        let ram = ram.checked_next_multiple_of(kernel.ram_step).unwrap_or(ram);
        let mut text = self.value;
        loop {
            let (range, rest) =
                RangeSize::parse(text, Unit::Linux).map_err(|mismatch| self.syntax(mismatch))?;
            if range.size >= ram {
                return Err(Refusal::TooBig {
                    size: range.size,
                    ram,
                });
            }
            if range.holds(ram) {
                let address = rest
                    .iter()
                    .position(|&b| b == b'@')
                    .and_then(|at| rest.get(at..));
                let Some(address) = address.and_then(|address| address.get(1..)) else {
                    return Ok((range.size, 0));
                };
                let number = Unit::Linux.number(address);
                let (address, _) = number.map_err(|mismatch| self.syntax(mismatch))?;
                return Ok((range.size, address));
            }
            text = rest.strip_prefix(b",").ok_or(Refusal::NoRange { ram })?;
        }
    }

    fn suffixed(self, suffix: &[u8]) -> Result<u64, Refusal> {
        let read = || {
            let (size, rest) = Unit::Linux.number(self.value)?;
            match rest == suffix {
                true => Ok(size),
                false => Err(Mismatch {
                    at: rest,
                    expected: "a suffix right after the number",
                }),
            }
        };
        read().map_err(|mismatch| self.syntax(mismatch))
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;

    const RAM: u64 = 4 << 30;

    fn take(cmdline: &str) -> Result<Option<Wanted>, Refusal> {
        wanted(cmdline.as_bytes(), RAM, &Kernel::X86_64)
    }

    fn refusal(cmdline: &str) -> String {
        take(cmdline).unwrap_err().to_string()
    }

    #[test]
    fn the_kernel_takes_the_last_plain_one() {
        let plain = |size, at: u64| {
            let at = (at > 0).then_some(PhysAddr::new(at));
            Some(Wanted {
                size,
                at,
                high: false,
                low: None,
                cma: 0,
            })
        };
        for (cmdline, found) in [
            ("quiet", None),
            ("crashkernel=64M", plain(64 << 20, 0)),
            (
                "crashkernel=64M crashkernel=128M@1G\n",
                plain(128 << 20, 1 << 30),
            ),
            (
                "crashkernel=64M crashkernel=1G,high crashkernel=32M,low",
                plain(64 << 20, 0),
            ),
            ("x.crashkernel=64M", plain(64 << 20, 0)),
            ("crashkernel=64M@", plain(64 << 20, 0)),
            ("crashkernel=64M@16Mjunk", plain(64 << 20, 16 << 20)),
            ("crashkernel=1G-8G:64M,junk", plain(64 << 20, 0)),
            (
                "crashkernel=1G-8G:64M,8G-:1G@16M",
                plain(64 << 20, 16 << 20),
            ),
            ("crashkernel=1G-2G:64M,2G-:96M", plain(96 << 20, 0)),
        ] {
            assert_eq!(take(cmdline), Ok(found), "{cmdline}");
        }
    }

    #[test]
    fn many_in_one_word_take_no_more_than_one_look() {
        let line = "crashkernel=".repeat(1 << 18) + "64M crashkernel=1G,high";
        let found = take(&line).unwrap().unwrap();
        assert_eq!((found.size, found.high), (64 << 20, false));
    }

    #[test]
    fn high_low_and_cma() {
        let found = take("crashkernel=512M,high crashkernel=72M,low crashkernel=1G,cma").unwrap();
        let high = Wanted {
            size: 512 << 20,
            at: None,
            high: true,
            low: Some(72 << 20),
            cma: 1 << 30,
        };
        assert_eq!(found, Some(high));
        let found = take("crashkernel=512M,high").unwrap();
        assert_eq!(
            found,
            Some(Wanted {
                low: None,
                cma: 0,
                ..high
            })
        );
        let found = take("crashkernel=512M,high crashkernel=0,low").unwrap();
        assert_eq!(found.unwrap().low, Some(0));
    }

    #[test]
    fn refusals_name_their_rule() {
        for (cmdline, message) in [
            ("crashkernel=x", "line 1, column 13: expected a number"),
            (
                "a crashkernel=64M,",
                "line 1, column 18: expected `@` or the end",
            ),
            ("crashkernel=0", "the size in crashkernel= is 0"),
            (
                "crashkernel=4G",
                "crashkernel= asks for 4096 MiB of 4096 MiB of RAM",
            ),
            (
                "crashkernel=8G-:64M",
                "no range of crashkernel= holds 4096 MiB of RAM",
            ),
            (
                "crashkernel=8G-:5G,1G-:64M",
                "crashkernel= asks for 5120 MiB of 4096 MiB of RAM",
            ),
            ("crashkernel=1G-:0", "the size in crashkernel= is 0"),
            (
                "crashkernel=1G-:64M@x",
                "line 1, column 21: expected a number",
            ),
            ("crashkernel=72M,low", "crashkernel=…,low and …,cma need"),
            ("crashkernel=72M,cma", "crashkernel=…,low and …,cma need"),
            (
                "crashkernel=1G@4G,high",
                "line 1, column 15: expected a suffix",
            ),
            (
                "crashkernel=1G,high crashkernel=x,low",
                "line 1, column 33: expected a number",
            ),
            (
                "crashkernel=64M junk crashkernel=x",
                "line 1, column 34: expected a number",
            ),
        ] {
            let found = refusal(cmdline);
            assert!(found.starts_with(message), "{cmdline}: {found}");
        }
    }

    #[test]
    fn ram_is_rounded_up_for_ranges() {
        let line = b"crashkernel=1G-:64M";
        let almost = (1 << 30) - (1 << 20);
        assert!(wanted(line, almost, &Kernel::X86_64).unwrap().is_some());
        let exact = Kernel {
            ram_step: 1,
            ..Kernel::X86_64
        };
        assert_eq!(
            wanted(line, almost, &exact),
            Err(Refusal::NoRange { ram: almost })
        );
    }
}
