//! What a file does not say about itself, and the command line does.
//!
//! ```text
//!   --memory-at 0-bfffffff --memory-at 100000000
//!
//!   memory   0 ──────── 0xc0000000   ┄   0x100000000 ────▶
//!   file     0 ───────────────────┼──────────────────────┤     one after the other, unless @OFFSET says where
//! ```

use std::{fmt, ops::Range, path::PathBuf, str::FromStr};

use elf_format::{Encoding, Machine};
use physmem::{PhysAddr, PhysRange};
use vmcore_format::{Dump, ReadAt, build::Piece, detect::detect};

use super::{Opened, release_of_header};
use crate::{
    address::{address, inclusive, physical},
    failure::{Failure, Result, notice},
    input::Source,
};

/// Most bytes of what the kernel says about itself: Linux has a page for it (`VMCOREINFO_BYTES`,
/// `include/linux/vmcore_info.h`), on no architecture more than 1 MiB, and a note's header comes first.
const VMCOREINFO_MAX: u64 = 2 << 20;

/// What the command line tells of a file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Told {
    /// FILE is memory without headers, as QEMU's pmemsave writes it, of a machine that says ARCH to `uname -m`: x86_64,
    /// i686, aarch64, riscv64 …; Debian's amd64, arm64 … are known, too
    #[arg(long, value_name = "ARCH")]
    memory_of: Option<Arch>,

    /// Which memory that is, LAST its last byte, if it does not begin at 0; may be given several times for memory that lies one
    /// after the other in the file, or at OFFSET. Without LAST it goes on to the end of the file
    #[arg(long, value_name = "START[-LAST][@OFFSET]", requires = "memory_of")]
    memory_at: Vec<Stretch>,

    /// What the kernel says about itself, for a dump that does not have it, or instead of what it has: a text, or the note
    /// at the place that the machine's /sys/kernel/vmcoreinfo tells. If the dump says that its kernel is another, that is
    /// named on standard error
    #[arg(long, value_name = "TEXT_FILE")]
    pub(crate) vmcoreinfo: Option<PathBuf>,
}

impl Told {
    /// Whether the file is memory without headers.
    pub(crate) fn is_memory(&self) -> bool {
        self.memory_of.is_some()
    }

    /// Takes the file for what the command line says it is; `None` if it says nothing.
    pub(super) fn open(&self, file: &Source) -> Result<Option<Opened>> {
        let Some(Arch(machine, encoding)) = self.memory_of else {
            return Ok(None);
        };
        let (input, begin) = file.open_part(self.extent().unwrap_or(0..u64::MAX))?;
        // Of what was opened farther on neither tells anything.
        if begin == 0 {
            file.check_size(&input)?;
        }
        if let Some(format) = detect(&input).filter(|_| begin == 0) {
            let what =
                format_args!("this begins as {format} does, and is read as memory without headers");
            notice(&file.path, what);
        }
        let pieces = self.pieces(input.size());
        let mut pieces = pieces.map_err(|why| Failure::input(&file.path, why))?;
        check_apart(&pieces)?;
        for piece in &mut pieces {
            // Saturating: that is where the first of them begins.
            piece.offset = piece.offset.saturating_sub(begin);
        }
        Ok(Some(Dump::open_raw(input, machine, encoding, pieces)))
    }

    /// Where in the file its memory is, where the command line tells that of each stretch.
    fn extent(&self) -> Option<Range<u64>> {
        let all_told = self
            .stretches()
            .iter()
            .all(|stretch| stretch.last.is_some());
        // The size of the file counts only where no LAST is told.
        let pieces = all_told.then(|| self.pieces(0).ok())??;
        let begin = pieces.iter().map(|piece| piece.offset).min()?;
        let end = |piece: &Piece| piece.offset.checked_add(piece.range.size());
        let end = pieces
            .iter()
            .map(end)
            .try_fold(0, |most, end| Some(end?.max(most)));
        Some(begin..end?)
    }

    fn stretches(&self) -> &[Stretch] {
        const ALL: [Stretch; 1] = [Stretch {
            start: PhysAddr::new(0),
            last: None,
            offset: None,
        }];
        match &self.memory_at[..] {
            [] => &ALL,
            some => some,
        }
    }

    fn pieces(&self, size: u64) -> std::result::Result<Vec<Piece>, String> {
        let mut next = 0;
        let pieces = self.stretches().iter().map(|stretch| {
            let offset = stretch.offset.unwrap_or(next);
            let range = match stretch.last {
                Some(last) => PhysRange::inclusive(stretch.start, last),
                None => match size.checked_sub(offset) {
                    None | Some(0) => {
                        return Err(format!("memory at {stretch}: the file ends at {size:#x}"));
                    }
                    Some(rest) => PhysRange::with_size(stretch.start, rest),
                },
            };
            let range = range.map_err(|error| format!("memory at {stretch}: {error}"))?;
            // Saturating: nothing is there.
            next = offset.saturating_add(range.size());
            Ok(Piece { offset, range })
        });
        pieces.collect()
    }

    /// Gives the dump the VMCOREINFO that the command line names.
    pub(super) fn complete(&self, dump: Opened) -> Result<Opened> {
        match &self.vmcoreinfo {
            None => Ok(dump),
            Some(path) => {
                let file = Source::new(path.clone(), false);
                let text = file.open_start(VMCOREINFO_MAX + 1)?;
                if text.size() > VMCOREINFO_MAX {
                    let why = format_args!("more than {VMCOREINFO_MAX} bytes are no VMCOREINFO");
                    return Err(Failure::input(path, why));
                }
                let own = Kernel::of(&dump);
                let dump = dump.with_vmcoreinfo(text.bytes(path)?.into_owned());
                check_text(&dump).map_err(|why| Failure::input(path, why))?;
                if let Some(why) = Kernel::of(&dump).other_than(&own) {
                    notice(path, why);
                }
                Ok(dump)
            }
        }
    }
}

/// Refuses memory that is told twice.
fn check_apart(pieces: &[Piece]) -> Result {
    let mut ranges: Vec<PhysRange> = pieces.iter().map(|piece| piece.range).collect();
    ranges.sort_by_key(|range| range.start());
    for pair in ranges.windows(2) {
        if let [one, next] = pair
            && one.last() >= next.start()
        {
            let shown = |range: &PhysRange| format!("{}-{}", range.start(), range.last());
            let why = format!("--memory-at: {} overlaps {}", shown(next), shown(one));
            return Err(Failure::Usage(why));
        }
    }
    Ok(())
}

/// Refuses what does not begin as VMCOREINFO does. What is wrong farther on is named by who asks for it: a kernel may have
/// had no room for all of its last line.
fn check_text(dump: &Opened) -> std::result::Result<(), String> {
    let text = dump.vmcoreinfo().map_err(|error| error.to_string())?;
    match text.and_then(|text| text.lines().next()) {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(format!("{error}, or a note with all of them")),
        None => Err("no VMCOREINFO is in it".to_owned()),
    }
}

/// Which kernel it is, as far as VMCOREINFO tells, or else the header of a compressed dump.
struct Kernel {
    release: Option<String>,
    build_id: Option<String>,
}

impl Kernel {
    fn of(dump: &Opened) -> Self {
        let info = dump.vmcoreinfo().ok().flatten();
        let release = info.and_then(|info| info.os_release().ok().flatten());
        let build_id = info.and_then(|info| info.build_id().ok().flatten());
        Self {
            release: release
                .or_else(|| release_of_header(dump))
                .map(str::to_owned),
            build_id: build_id.map(str::to_owned),
        }
    }

    /// How it cannot be the kernel of the dump.
    fn other_than(&self, own: &Self) -> Option<String> {
        let pairs = [
            ("OSRELEASE", &self.release, &own.release),
            ("BUILD-ID", &self.build_id, &own.build_id),
        ];
        pairs.into_iter().find_map(|(key, told, own)| {
            let (told, own) = (told.as_ref()?, own.as_ref()?);
            (told != own)
                .then(|| format!("this is another kernel: {key} is {told}, that of the dump {own}"))
        })
    }
}

/// An architecture by the name that its machines or Debian give to it.
#[derive(Debug, Clone, Copy)]
struct Arch(Machine, Encoding);

/// What Debian calls architectures whose machines say something else to `uname -m`.
const DEBIAN: [(&str, &str); 6] = [
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
    ("armel", "arm"),
    ("armhf", "arm"),
    ("loong64", "loongarch64"),
    ("ppc64el", "ppc64le"),
];

/// The names, one of each architecture where there are several.
const NAMES: &str = "x86_64, i686, aarch64, aarch64_be, armv7l, armv7b, riscv64, riscv32, loongarch64, ppc64le, ppc64, ppc, \
                     s390x, s390, mips64, mips, parisc64, parisc, sparc64, sparc, ia64, alpha, m68k, sh";

impl FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let by_debian = DEBIAN.iter().find(|(name, _)| *name == text);
        let name = by_debian.map_or(text, |(_, name)| name);
        let found = Machine::from_uname(name.as_bytes());
        found
            .map(|(machine, encoding)| Self(machine, encoding))
            .ok_or_else(|| format!("`{text}` is no architecture: {NAMES}"))
    }
}

/// Memory and where it is in the file, as far as that is told.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: PhysAddr,
    last: Option<PhysAddr>,
    offset: Option<u64>,
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start)?;
        if let Some(last) = self.last {
            write!(f, "-{last}")?;
        }
        self.offset
            .map_or(Ok(()), |offset| write!(f, "@{offset:#x}"))
    }
}

impl FromStr for Stretch {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (memory, offset) = match text.split_once('@') {
            Some((memory, offset)) => (memory, Some(address(offset)?)),
            None => (text, None),
        };
        let (start, last) = match memory.split_once('-') {
            Some((start, last)) => (physical(start)?, Some(physical(last)?)),
            None => (physical(memory)?, None),
        };
        if let Some(last) = last {
            inclusive(start, last)?;
        }
        Ok(Self {
            start,
            last,
            offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(at: &[&str], size: u64) -> std::result::Result<Vec<(u64, u64, u64)>, String> {
        let told = Told {
            memory_at: at.iter().map(|text| text.parse().unwrap()).collect(),
            ..Told::default()
        };
        let shown = |Piece { offset, range }| (offset, range.start().as_u64(), range.size());
        Ok(told.pieces(size)?.into_iter().map(shown).collect())
    }

    #[test]
    fn an_architecture_has_the_name_of_its_machines_or_debians() {
        let arch = |name: &str| {
            let Arch(machine, encoding) = name.parse()?;
            Ok::<_, String>(machine.uname(encoding).unwrap())
        };
        for (debian, name) in DEBIAN {
            assert_eq!(arch(debian), arch(name), "{debian}");
        }
        assert_eq!(arch("arm64").unwrap(), "aarch64");
        for name in NAMES.split(", ") {
            assert!(arch(name).is_ok(), "{name}");
        }
        for bad in ["", "vax", "armv9000", "arm128", "x86_64,i686"] {
            assert!(arch(bad).unwrap_err().ends_with(NAMES), "{bad}");
        }
    }

    #[test]
    fn memory_begins_at_0_or_where_it_is_told() {
        assert_eq!(pieces(&[], 0x3000), Ok(vec![(0, 0, 0x3000)]));
        assert_eq!(
            pieces(&["80000000"], 0x3000),
            Ok(vec![(0, 0x8000_0000, 0x3000)])
        );
    }

    #[test]
    fn stretches_follow_each_other_or_have_their_place() {
        assert_eq!(
            pieces(&["0-fff", "100000000"], 0x3000),
            Ok(vec![(0, 0, 0x1000), (0x1000, 0x1_0000_0000, 0x2000)])
        );
        assert_eq!(
            pieces(&["0x1000-0x1fff@0x1000", "5000"], 0x3000),
            Ok(vec![(0x1000, 0x1000, 0x1000), (0x2000, 0x5000, 0x1000)])
        );
    }

    #[test]
    fn memory_with_all_of_its_ends_has_an_extent_in_the_file() {
        let extent = |at: &[&str]| {
            let memory_at = at.iter().map(|text| text.parse().unwrap()).collect();
            let told = Told {
                memory_at,
                ..Told::default()
            };
            told.extent()
        };
        assert_eq!(extent(&["1000-1fff"]), Some(0..0x1000));
        assert_eq!(
            extent(&["0-fff@9000", "8000-8fff", "4000-4fff@2000"]),
            Some(0x2000..0xb000)
        );
        assert_eq!(extent(&["0-fff@fffffffffffffff0", "1000-1fff@0"]), None);
        assert_eq!(extent(&["0-fff", "8000"]), None);
        assert_eq!(extent(&[]), None);
    }

    #[test]
    fn no_memory_is_an_error() {
        assert!(pieces(&[], 0).is_err());
        assert!(pieces(&["0@5000"], 0x3000).is_err());
        assert!(pieces(&["ffffffffffffff00"], 0x3000).is_err());
        for bad in ["", "-", "5-4", "0-", "0@", "0@x", "x", "0-fff-fff"] {
            assert!(bad.parse::<Stretch>().is_err(), "{bad}");
        }
    }
}
