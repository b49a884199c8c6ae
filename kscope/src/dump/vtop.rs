//! `kscope dump vtop`: virtual addresses to physical ones.
//!
//! ```text
//! 0xffffffffa791ffe0 0x1071ffe0 0x200000 0x8000000000000160      VIRT PHYS PAGE_SIZE FLAGS
//! 0x400000 unmapped (pmd)                                        VIRT unmapped (LEVEL)
//! 0xffffd066c0005000 missing (0x1003028)                         VIRT missing (ADDR of the entry)
//! ```

use std::io::Write;

use page_walk::{AnyFlags, AnyWalker, Entry, Fault, FaultKind, Mapping, Step};
use physmem::{PhysAddr, VirtAddr};
use serde::Serialize;
use vmcore_format::Reader;

use super::{Opened, address::address, entry, reason, tables::Tables};
use crate::{
    failure::{Failure, Result},
    input::{Input, Source, lines},
    output::{Hex, Output},
    progress::Progress,
};

/// Virtual addresses to physical ones, by the page tables in the dump
///
/// One line for each address: VIRT PHYS PAGE_SIZE FLAGS, or VIRT unmapped (LEVEL), or VIRT missing
/// (ADDR) with the address of the table entry that the dump does not hold. All are answers: the
/// exit status is 0, but 1 if headers or records of the dump are damaged, or a part of a split dump is missing, which
/// is named on standard error. An entry that sets reserved bits maps nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Vtop {
    #[command(flatten)]
    source: Source,

    /// Addresses in hexadecimal, with or without 0x; `-` reads them from standard input
    #[arg(value_name = "ADDR", required = true, value_parser = asked)]
    addresses: Vec<Asked>,

    #[command(flatten)]
    tables: Tables,

    /// Show every table entry on the way
    #[arg(long)]
    walk: bool,

    /// One JSON object a line instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stdin,
    Address(u64),
}

fn asked(text: &str) -> std::result::Result<Asked, String> {
    if text == "-" {
        Ok(Asked::Stdin)
    } else {
        address(text).map(Asked::Address)
    }
}

impl Vtop {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let list_is_stdin = self.addresses.contains(&Asked::Stdin);
        self.source.check_stdin(list_is_stdin.into())?;
        self.source.with_dump(|dump| self.tell(dump, output))
    }

    fn tell(&self, dump: &Opened, output: &mut Output) -> Result {
        let walker = self.tables.walker(&self.source, dump)?;
        let memory = dump.reader();
        let mut answer = |virt| self.answer(&walker, &memory, VirtAddr::new(virt), output);
        for asked in &self.addresses {
            match asked {
                Asked::Address(virt) => answer(*virt)?,
                Asked::Stdin => from_stdin(&mut answer)?,
            }
        }
        Ok(())
    }

    fn answer(
        &self,
        walker: &AnyWalker,
        memory: &Reader<'_, Input>,
        virt: VirtAddr,
        output: &mut Output,
    ) -> Result {
        let found = walker.translate(memory, virt);
        if let Err(fault) = &found {
            self.source.unless_refused(fault)?;
        }
        if self.json {
            let way: Vec<_> = walker.walk(memory, virt).collect();
            return output.json_line(&Answer::new(virt, found, &way, self.walk));
        }
        match found {
            Ok(Mapping { phys, shift, flags }) => {
                writeln!(
                    output,
                    "{virt} {phys} {:#x} {}",
                    1_u64 << shift,
                    Hex(flags.bits())
                )?;
            }
            Err(fault) => writeln!(output, "{virt} {} ({})", reason(&fault), place(&fault))?,
        }
        if self.walk {
            for step in walker.walk(memory, virt) {
                match step {
                    Ok(entry) => writeln!(output, "  {}", Shown(&entry))?,
                    Err(fault) => writeln!(output, "  {fault}")?,
                }
            }
        }
        Ok(())
    }
}

/// Answers for every word of standard input.
fn from_stdin(mut answer: impl FnMut(u64) -> Result) -> Result {
    let stdin = "-".as_ref();
    let mut progress = Progress::of_list("addresses");
    for line in lines(stdin)? {
        let (number, line) = line?;
        for text in line.split_whitespace() {
            let virt = address(text)
                .map_err(|why| Failure::input(stdin, format_args!("line {number}: {why}")))?;
            answer(virt)?;
            progress.advance(1);
        }
    }
    Ok(())
}

/// What stands in brackets after the [`reason`].
fn place(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Missing(_) => fault.entry_at.to_string(),
        _ => fault.level.to_string(),
    }
}

/// An entry on its line of `--walk`.
struct Shown<'a>(&'a Entry<AnyFlags>);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Entry {
            level,
            at,
            raw,
            step,
        } = self.0;
        write!(f, "{level:<3} at {at}: {raw:#x} -> ")?;
        match step {
            Step::Table { at, flags } => write!(f, "table {at}  {flags}"),
            Step::Leaf { base, shift, flags } => {
                write!(f, "page {base} of {:#x}  {flags}", 1_u64 << shift)
            }
        }
    }
}

#[derive(Serialize)]
struct Answer {
    virt: Hex,
    phys: Option<Hex>,
    page_size: Option<u64>,
    flags: Option<Hex>,
    level: Option<&'static str>,
    reason: Option<&'static str>,
    entry_at: Option<Hex>,
    entry: Option<Hex>,
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    walk: Option<Vec<WalkEntry>>,
}

#[derive(Serialize)]
struct WalkEntry {
    level: &'static str,
    at: Hex,
    entry: Hex,
    table: Option<Hex>,
    page: Option<Hex>,
    flags: Hex,
}

impl Answer {
    fn new(
        virt: VirtAddr,
        found: std::result::Result<Mapping<AnyFlags>, Fault>,
        way: &[std::result::Result<Entry<AnyFlags>, Fault>],
        walk: bool,
    ) -> Self {
        let (mapping, fault) = (found.ok(), found.err());
        let (level, entry_at, entry) = match way.last() {
            Some(Ok(Entry { level, at, raw, .. })) => (Some(level.name()), Some(*at), Some(*raw)),
            Some(Err(fault)) => (Some(fault.level.name()), Some(fault.entry_at), entry(fault)),
            None => (None, None, None),
        };
        let entries = || way.iter().flatten().map(WalkEntry::from).collect();
        Self {
            virt: Hex(virt.as_u64()),
            phys: mapping.map(|mapping| Hex(mapping.phys.as_u64())),
            page_size: mapping.map(|mapping| 1 << mapping.shift),
            flags: mapping.map(|mapping| Hex(mapping.flags.bits())),
            level,
            reason: fault.as_ref().map(reason),
            entry_at: entry_at.map(|at| Hex(at.as_u64())),
            entry: entry.map(Hex),
            detail: fault.map(|fault| fault.to_string()),
            walk: walk.then(entries),
        }
    }
}

impl From<&Entry<AnyFlags>> for WalkEntry {
    fn from(entry: &Entry<AnyFlags>) -> Self {
        let (table, page, flags) = match entry.step {
            Step::Table { at, flags } => (Some(at), None, flags),
            Step::Leaf { base, flags, .. } => (None, Some(base), flags),
        };
        let hex = |at: PhysAddr| Hex(at.as_u64());
        Self {
            level: entry.level.name(),
            at: hex(entry.at),
            entry: Hex(entry.raw),
            table: table.map(hex),
            page: page.map(hex),
            flags: Hex(flags.bits()),
        }
    }
}
