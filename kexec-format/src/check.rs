//! The kernel's checks of a load, in its order.
//!
//! ```text
//!  kexec_load_check()                flags known? · at most 16 segments?
//!  kexec_load()                      architecture the kernel's own?
//!    no segments: unload, nothing else is looked at
//!  kimage_alloc_init()               ON_CRASH: entry in the reserved memory?
//!  sanity_check_segment_list()       each: wraps? whole pages? below the limit?
//!                                    pairs: overlap?
//!                                    each: more bytes than memory?
//!                                    each and all: more than half of RAM?
//!                                    ON_CRASH, each: in the reserved memory?
//! ```
//!
//! What comes before (`EPERM`: capability, lockdown, `kexec_load_disabled`) and beside (`EBUSY`: another
//! load) is the machine's state, not the request's, and not looked at.
//!
//! Source: Linux `kernel/kexec.c`, `kernel/kexec_core.c`.

use core::{fmt, slice};

use physmem::{PageShift, PhysAddr, PhysRange, Width};

use crate::{
    error::plural,
    segment::KexecSegment,
    uapi::{Arch, Limits, LoadFlags, SEGMENT_MAX},
    word,
};

/// `EINVAL` of Linux.
pub const EINVAL: i32 = 22;
/// `EADDRNOTAVAIL` of Linux, except on mips (126), parisc (227) and alpha (49).
pub const EADDRNOTAVAIL: i32 = 99;

/// A rule that a load breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A flag that this kernel does not know.
    UnknownFlags,
    /// More segments than `KEXEC_SEGMENT_MAX`.
    TooManySegments,
    /// An architecture that is not the kernel's.
    ForeignArch,
    /// A crash image whose entry point is not in the reserved memory.
    CrashEntry,
    /// A value that the kernel's word cannot hold, so that nothing can pass it on.
    WiderThanWord,
    /// A segment that passes the end of the address space.
    Wraps,
    /// A segment that begins or ends inside a page.
    Unaligned,
    /// A segment that ends at or above `KEXEC_DESTINATION_MEMORY_LIMIT`.
    TooHigh,
    /// Two segments that share a byte.
    Overlap,
    /// A segment with more bytes than memory.
    MoreBytesThanMemory,
    /// A segment of more than half of RAM.
    HalfOfRam,
    /// Segments that together have more than half of RAM.
    AllHalfOfRam,
    /// A segment of a crash image that is not in the reserved memory.
    OutsideCrashKernel,
    /// No place for a segment: nothing free is large enough.
    NoPlace,
    /// An entry point in no segment. The kernel jumps there all the same.
    EntryNowhere,
}

impl Rule {
    /// All that a load is judged by, in the kernel's order: every rule but [`Rule::NoPlace`].
    pub const OF_LOADS: [Self; 14] = [
        Self::UnknownFlags,
        Self::TooManySegments,
        Self::ForeignArch,
        Self::CrashEntry,
        Self::WiderThanWord,
        Self::Wraps,
        Self::Unaligned,
        Self::TooHigh,
        Self::Overlap,
        Self::MoreBytesThanMemory,
        Self::HalfOfRam,
        Self::AllHalfOfRam,
        Self::OutsideCrashKernel,
        Self::EntryNowhere,
    ];

    /// How the kernel goes through it.
    const fn part(self) -> Part {
        match self {
            Self::UnknownFlags | Self::TooManySegments | Self::ForeignArch | Self::CrashEntry => {
                Part::Call
            }
            Self::WiderThanWord | Self::Wraps | Self::Unaligned | Self::TooHigh => Part::Place,
            Self::Overlap
            | Self::MoreBytesThanMemory
            | Self::HalfOfRam
            | Self::AllHalfOfRam
            | Self::OutsideCrashKernel => Part::All,
            Self::NoPlace | Self::EntryNowhere => Part::None,
        }
    }

    /// Those of a part, in the kernel's order.
    fn of(part: Part) -> impl Iterator<Item = Self> {
        let rules = Self::OF_LOADS.into_iter();
        rules.filter(move |rule| rule.part() == part)
    }

    /// A short name: `unaligned`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownFlags => "unknown-flags",
            Self::TooManySegments => "too-many-segments",
            Self::ForeignArch => "foreign-arch",
            Self::CrashEntry => "crash-entry",
            Self::WiderThanWord => "wider-than-word",
            Self::Wraps => "wraps",
            Self::Unaligned => "unaligned",
            Self::TooHigh => "too-high",
            Self::Overlap => "overlap",
            Self::MoreBytesThanMemory => "more-bytes-than-memory",
            Self::HalfOfRam => "half-of-ram",
            Self::AllHalfOfRam => "all-half-of-ram",
            Self::OutsideCrashKernel => "outside-crash-kernel",
            Self::NoPlace => "no-place",
            Self::EntryNowhere => "entry-nowhere",
        }
    }

    /// What the system call returns, positive; `None` for what the kernel does not check.
    #[must_use]
    pub const fn errno(self) -> Option<i32> {
        match self {
            Self::UnknownFlags
            | Self::TooManySegments
            | Self::ForeignArch
            | Self::Overlap
            | Self::MoreBytesThanMemory
            | Self::HalfOfRam
            | Self::AllHalfOfRam => Some(EINVAL),
            Self::CrashEntry
            | Self::Wraps
            | Self::Unaligned
            | Self::TooHigh
            | Self::OutsideCrashKernel
            | Self::NoPlace => Some(EADDRNOTAVAIL),
            Self::WiderThanWord | Self::EntryNowhere => None,
        }
    }

    /// Where Linux has it.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::UnknownFlags | Self::TooManySegments => "kexec_load_check()",
            Self::ForeignArch => "kexec_load()",
            Self::CrashEntry => "kimage_alloc_init()",
            Self::Wraps
            | Self::Unaligned
            | Self::TooHigh
            | Self::Overlap
            | Self::MoreBytesThanMemory
            | Self::HalfOfRam
            | Self::AllHalfOfRam
            | Self::OutsideCrashKernel => "sanity_check_segment_list()",
            Self::NoPlace => "kexec_locate_mem_hole()",
            Self::WiderThanWord | Self::EntryNowhere => "nothing",
        }
    }
}

/// In which order rules and segments are gone through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Before the segments.
    Call,
    /// All of these rules for one segment, then for the next.
    Place,
    /// One of these rules for all segments, then the next.
    All,
    /// The kernel does not.
    None,
}

/// Which rule a load breaks, which segments break it, and by which values.
///
/// Prints as what is wrong, what to change, and what the kernel would have returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Rejected {
    /// The rule.
    pub rule: Rule,
    /// The segment that breaks it, from 0; `None` where it is not about one.
    pub segment: Option<u8>,
    /// The other of two segments.
    pub other: Option<u8>,
    /// The value that breaks it.
    pub found: u64,
    /// The value it is compared with: of reserved memory the first byte or, for what lies above, the last;
    /// 0 where none is reserved.
    pub bound: u64,
}

impl Rejected {
    pub(crate) const fn new(rule: Rule, found: u64, bound: u64) -> Self {
        Self {
            rule,
            segment: None,
            other: None,
            found,
            bound,
        }
    }

    pub(crate) fn of_segment(self, number: usize) -> Self {
        Self {
            segment: u8::try_from(number).ok(),
            ..self
        }
    }

    pub(crate) fn and(self, number: usize) -> Self {
        Self {
            other: u8::try_from(number).ok(),
            ..self
        }
    }

    /// What the system call returns, positive; `None` for what the kernel does not check.
    #[must_use]
    pub const fn errno(&self) -> Option<i32> {
        self.rule.errno()
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.segment {
            write!(f, "segment {number}: ")?;
        }
        let Self { found, bound, .. } = self;
        match self.rule {
            Rule::UnknownFlags => write!(
                f,
                "flags {found:#x} are not among the {bound:#x} this kernel knows: leave them out"
            ),
            Rule::TooManySegments => write!(
                f,
                "{found} segments, at most {bound} can be loaded: join neighbours"
            ),
            Rule::ForeignArch => write!(
                f,
                "architecture {found} is not the kernel's, {bound}: pass the kernel's own number"
            ),
            Rule::CrashEntry => write!(
                f,
                "the entry point {found:#x} is not in the memory reserved for a crash kernel{}: enter a \
                 segment that is there",
                Reserved(*found, *bound)
            ),
            Rule::WiderThanWord => write!(
                f,
                "{found:#x} is more than a word of this kernel can hold: pass at most {bound:#x}"
            ),
            Rule::Wraps => write!(
                f,
                "{bound:#x} bytes at {found:#x} pass the end of the address space: place it lower"
            ),
            Rule::Unaligned => write!(
                f,
                "it begins or ends at {found:#x}: make that a multiple of the page size, {bound:#x}"
            ),
            Rule::TooHigh => write!(
                f,
                "it ends at {found:#x}: place it so that it ends below {bound:#x}"
            ),
            Rule::Overlap => {
                write!(f, "it begins at {found:#x}, ")?;
                match self.other {
                    Some(other) => write!(f, "segment {other}")?,
                    None => f.write_str("another segment")?,
                }
                write!(
                    f,
                    " at {bound:#x}, and they share memory: place one elsewhere"
                )
            }
            Rule::MoreBytesThanMemory => write!(
                f,
                "{found:#x} bytes do not fit its {bound:#x} bytes of memory: enlarge memsz"
            ),
            Rule::HalfOfRam => write!(
                f,
                "its memory, {}, is more than half of the RAM, {}: load less",
                Pages(*found),
                Pages(*bound)
            ),
            Rule::AllHalfOfRam => write!(
                f,
                "the memory of all segments, {}, is more than half of the RAM, {}: load less",
                Pages(*found),
                Pages(*bound)
            ),
            Rule::OutsideCrashKernel => write!(
                f,
                "its byte at {found:#x} is not in the memory reserved for a crash kernel{}: place it \
                 there, or reserve more with crashkernel=",
                Reserved(*found, *bound)
            ),
            Rule::NoPlace => write!(
                f,
                "no {found:#x} bytes in a row, aligned to {bound:#x}, are free where they may lie: ask \
                 for less, or let them lie elsewhere"
            ),
            Rule::EntryNowhere => write!(
                f,
                "the entry point {found:#x} is in none of the segments: enter one of them"
            ),
        }?;
        match self.errno() {
            Some(EINVAL) => write!(f, " (EINVAL of {})", self.rule.function()),
            Some(EADDRNOTAVAIL) => write!(f, " (EADDRNOTAVAIL of {})", self.rule.function()),
            Some(errno) => write!(f, " (errno {errno} of {})", self.rule.function()),
            None => f.write_str(" (the kernel does not check it)"),
        }
    }
}

/// Where the reserved memory begins or ends that an address is not in.
struct Reserved(u64, u64);

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(_, 0) => f.write_str(", of which there is none"),
            Self(found, start) if found < start => write!(f, ", which begins at {start:#x}"),
            Self(_, last) => write!(f, ", whose last byte is at {last:#x}"),
        }
    }
}

struct Pages(u64);

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} page{}", self.0, plural(self.0))
    }
}

/// Who makes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Caller {
    /// A process of the kernel's own word size: its own architecture, or [`Arch::DEFAULT`].
    #[default]
    Native,
    /// A 32-bit process on a 64-bit kernel: any architecture but [`Arch::DEFAULT`].
    Compat,
}

/// Which of the checks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// Before Linux 4.8: segments may wrap, and take as much memory as there is.
    Before4_8,
    /// Linux 4.8 and later.
    #[default]
    Since4_8,
}

impl Version {
    /// That of a release such as `6.1.0-56-cloud-amd64`; `None` if that is no version.
    #[must_use]
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse::<u32>().ok();
        match (number()?, number()?) {
            (..4, _) | (4, ..8) => Some(Self::Before4_8),
            _ => Some(Self::Since4_8),
        }
    }
}

/// The kernel that judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// Its architecture: `KEXEC_ARCH`.
    pub arch: Arch,
    /// Width of its `unsigned long`.
    pub width: Width,
    /// Size of its pages.
    pub page: PageShift,
    /// Which checks it has.
    pub version: Version,
    /// The flags it knows: `KEXEC_FLAGS`. [`LoadFlags::NAMED`] if only unknown ones matter; with
    /// `LoadFlags::all()`, which has every bit, no flag is ever refused.
    pub flags: LoadFlags,
    /// How high it reaches.
    pub limits: Limits,
    /// Pages of RAM it manages: `totalram_pages()`.
    pub ram_pages: u64,
    /// The memory reserved for a crash kernel: `crashk_res`, not `crashk_low_res`.
    pub crash_kernel: Option<PhysRange>,
}

/// The arguments of a `kexec_load()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Who calls.
    pub caller: Caller,
    /// Where the new kernel is entered: a physical address.
    pub entry: u64,
    /// The segments. None means: unload.
    pub segments: &'a [KexecSegment],
    /// The flags.
    pub flags: LoadFlags,
    /// The architecture in the flags.
    pub arch: Arch,
}

impl Kernel {
    /// All checks of a `kexec_load()`.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, in the kernel's order.
    pub fn check(&self, request: &Request<'_>) -> Result<(), Rejected> {
        for rule in Rule::of(Part::Call) {
            self.verdict(rule, request)?;
        }
        self.check_entry(request)?;
        self.check_segments(request.segments, request.is_crash())
    }

    /// What one rule says to a `kexec_load()`, also where the kernel would have stopped before it; and
    /// [`Request::entry_segment`] by its name.
    ///
    /// # Errors
    ///
    /// The first flag, segment or pair of segments that breaks the rule.
    pub fn verdict(&self, rule: Rule, request: &Request<'_>) -> Result<(), Rejected> {
        let Request {
            segments, flags, ..
        } = *request;
        match rule {
            Rule::UnknownFlags => {
                let unknown = flags.difference(self.flags);
                let (found, bound) = (unknown.bits(), self.flags.bits());
                broken_if(!unknown.is_empty(), rule, found, bound)
            }
            Rule::TooManySegments => at_most_sixteen(segments.len()),
            Rule::ForeignArch => {
                let known = match request.caller {
                    Caller::Native => request.arch == self.arch || request.arch == Arch::DEFAULT,
                    Caller::Compat => request.arch != Arch::DEFAULT,
                };
                let (found, bound) = (request.arch.0.into(), self.arch.0.into());
                broken_if(!known, rule, found, bound)
            }
            // No segments: unload. Nothing else is looked at.
            _ if segments.is_empty() => Ok(()),
            Rule::CrashEntry => {
                let outside = self.outside_crash_kernel(request.entry, request.entry);
                match outside.filter(|_| request.is_crash()) {
                    Some((found, bound)) => Err(Rejected::new(rule, found, bound)),
                    None => Ok(()),
                }
            }
            Rule::EntryNowhere => request.entry_segment().map(|_| ()),
            Rule::WiderThanWord => {
                self.check_entry(request)?;
                self.of_segments(rule, segments, request.is_crash())
            }
            Rule::Wraps
            | Rule::Unaligned
            | Rule::TooHigh
            | Rule::Overlap
            | Rule::MoreBytesThanMemory
            | Rule::HalfOfRam
            | Rule::AllHalfOfRam
            | Rule::OutsideCrashKernel
            | Rule::NoPlace => self.of_segments(rule, segments, request.is_crash()),
        }
    }

    /// Whether a word can hold the entry point, if there is anything to be entered.
    fn check_entry(&self, request: &Request<'_>) -> Result<(), Rejected> {
        let (found, bound) = (request.entry, word::max(self.width));
        let wide = found > bound && !request.segments.is_empty();
        broken_if(wide, Rule::WiderThanWord, found, bound)
    }

    /// The checks of the segments alone, those that `kexec_file_load()` has too.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, in the kernel's order.
    pub fn check_segments(&self, segments: &[KexecSegment], crash: bool) -> Result<(), Rejected> {
        for (number, segment) in segments.iter().enumerate() {
            for rule in Rule::of(Part::Place) {
                self.of_segments(rule, slice::from_ref(segment), crash)
                    .map_err(|rejected| rejected.of_segment(number))?;
            }
        }
        for rule in Rule::of(Part::All) {
            self.of_segments(rule, segments, crash)?;
        }
        Ok(())
    }

    /// What a rule about segments says to them.
    fn of_segments(
        &self,
        rule: Rule,
        segments: &[KexecSegment],
        crash: bool,
    ) -> Result<(), Rejected> {
        let each = |check: &dyn Fn(&KexecSegment) -> Result<(), Rejected>| {
            for (number, segment) in segments.iter().enumerate() {
                check(segment).map_err(|rejected| rejected.of_segment(number))?;
            }
            Ok(())
        };
        let since_4_8 = self.version == Version::Since4_8;
        match rule {
            Rule::WiderThanWord => each(&|segment| {
                let KexecSegment {
                    buf,
                    bufsz,
                    mem,
                    memsz,
                } = *segment;
                let max = word::max(self.width);
                let mut values = [buf, bufsz, mem, memsz].into_iter();
                let wide = values.find(|&value| value > max);
                broken_if(wide.is_some(), rule, wide.unwrap_or_default(), max)
            }),
            Rule::Wraps => each(&|segment| {
                let wraps = segment.mem > self.end(segment) && since_4_8;
                broken_if(wraps, rule, segment.mem, segment.memsz)
            }),
            Rule::Unaligned => each(&|segment| {
                let ends = [segment.mem, self.end(segment)];
                let within = |address: &u64| PhysAddr::new(*address).page_offset(self.page) != 0;
                let odd = ends.into_iter().find(within);
                let found = odd.unwrap_or_default();
                broken_if(odd.is_some(), rule, found, self.page.bytes())
            }),
            Rule::TooHigh => each(&|segment| {
                let (end, limit) = (self.end(segment), self.limits.destination);
                broken_if(end >= limit, rule, end, limit)
            }),
            Rule::Overlap => self.check_overlap(segments),
            Rule::MoreBytesThanMemory => each(&|segment| {
                let KexecSegment { bufsz, memsz, .. } = *segment;
                broken_if(bufsz > memsz, rule, bufsz, memsz)
            }),
            Rule::HalfOfRam => each(&|segment| {
                let pages = self.pages(segment);
                let broken = since_4_8 && pages > self.ram_pages / 2;
                broken_if(broken, rule, pages, self.ram_pages)
            }),
            Rule::AllHalfOfRam => {
                let pages = segments.iter().map(|segment| self.pages(segment));
                // Saturating: more than any RAM.
                let total = pages.fold(0, u64::saturating_add);
                let broken = since_4_8 && total > self.ram_pages / 2;
                broken_if(broken, rule, total, self.ram_pages)
            }
            Rule::OutsideCrashKernel if crash => each(&|segment| self.check_reserved(segment)),
            // Of crash images only, or not about segments.
            Rule::OutsideCrashKernel
            | Rule::UnknownFlags
            | Rule::TooManySegments
            | Rule::ForeignArch
            | Rule::CrashEntry
            | Rule::NoPlace
            | Rule::EntryNowhere => Ok(()),
        }
    }

    fn check_overlap(&self, segments: &[KexecSegment]) -> Result<(), Rejected> {
        let each = || segments.iter().enumerate();
        for (number, segment) in each() {
            let shares = |other: &KexecSegment| {
                self.end(segment) > other.mem && segment.mem < self.end(other)
            };
            if let Some((other, taken)) = each().take(number).find(|(_, other)| shares(other)) {
                return Err(Rejected::new(Rule::Overlap, segment.mem, taken.mem)
                    .of_segment(number)
                    .and(other));
            }
        }
        Ok(())
    }

    fn check_reserved(&self, segment: &KexecSegment) -> Result<(), Rejected> {
        // The last byte as the kernel counts it: of a segment without bytes, the one before it.
        let last = self.end(segment).wrapping_sub(1) & word::max(self.width);
        match self.outside_crash_kernel(segment.mem, last) {
            Some((found, bound)) => Err(Rejected::new(Rule::OutsideCrashKernel, found, bound)),
            None => Ok(()),
        }
    }

    /// Which of two addresses, first and last, is not in the reserved memory, and the end that it is beyond.
    fn outside_crash_kernel(&self, first: u64, last: u64) -> Option<(u64, u64)> {
        let Some(reserved) = self.crash_kernel else {
            return Some((first, 0));
        };
        let (start, end) = (reserved.start().as_u64(), reserved.last().as_u64());
        if first < start {
            Some((first, start))
        } else {
            (last > end).then_some((last, end))
        }
    }

    /// Pages of a segment, the last of them perhaps not whole.
    fn pages(&self, segment: &KexecSegment) -> u64 {
        segment.memsz.div_ceil(self.page.bytes())
    }

    /// The address after a segment, as the kernel adds it up.
    fn end(&self, segment: &KexecSegment) -> u64 {
        // Wrapping: as the kernel's `unsigned long` does; since 4.8 it looks whether it did.
        segment.mem.wrapping_add(segment.memsz) & word::max(self.width)
    }
}

fn broken_if(broken: bool, rule: Rule, found: u64, bound: u64) -> Result<(), Rejected> {
    if broken {
        return Err(Rejected::new(rule, found, bound));
    }
    Ok(())
}

/// `KEXEC_SEGMENT_MAX`.
pub(crate) fn at_most_sixteen(count: usize) -> Result<(), Rejected> {
    let (found, bound) = (count as u64, SEGMENT_MAX as u64);
    broken_if(count > SEGMENT_MAX, Rule::TooManySegments, found, bound)
}

impl Request<'_> {
    fn is_crash(&self) -> bool {
        self.flags.contains(LoadFlags::ON_CRASH)
    }

    /// The number of the segment that is entered: its memory has the entry point.
    ///
    /// No kernel looks; where there is none, the machine jumps to whatever is there.
    ///
    /// # Errors
    ///
    /// [`Rule::EntryNowhere`].
    pub fn entry_segment(&self) -> Result<usize, Rejected> {
        let entered = |segment: &KexecSegment| {
            let offset = self.entry.checked_sub(segment.mem);
            offset.is_some_and(|offset| offset < segment.memsz)
        };
        self.segments.iter().position(entered).ok_or(Rejected::new(
            Rule::EntryNowhere,
            self.entry,
            0,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_its_checks() {
        for (release, expected) in [
            ("2.6.32-754.el6.x86_64", Some(Version::Before4_8)),
            ("4.4.302", Some(Version::Before4_8)),
            ("4.7.10", Some(Version::Before4_8)),
            ("4.8.0-rc1", Some(Version::Since4_8)),
            ("4.13.0", Some(Version::Since4_8)),
            ("6.1.0-56-cloud-amd64", Some(Version::Since4_8)),
            ("next-20261120", None),
            ("", None),
        ] {
            assert_eq!(Version::of_release(release), expected, "{release}");
        }
    }
}
