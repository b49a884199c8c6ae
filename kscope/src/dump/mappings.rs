//! `kscope dump mappings`: everything that a page table maps.

use std::io::Write;

use page_walk::{AnyFlags, Extent, Fault};
use physmem::VirtAddr;
use serde::Serialize;

use super::{Opened, entry, reason, table_budget, tables::Tables};
use crate::{
    failure::{Failure, Result, notice},
    input::Source,
    output::{Hex, Output},
    progress::Progress,
};

/// Every mapped extent of a page table
///
/// One line for each, coalesced: VIRT PHYS LENGTH PAGE_SIZE FLAGS, all in hexadecimal. Tables that
/// cannot be read and entries that set reserved bits are named on standard error; the listing goes
/// on behind them, and the exit status is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Mappings {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    tables: Tables,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Mappings {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        self.source.with_dump(|dump| self.tell(dump, output))
    }

    fn tell(&self, dump: &Opened, output: &mut Output) -> Result {
        let walker = self.tables.walker(&self.source, dump)?;
        let memory = dump.reader();

        let mut answer = Answer {
            mappings: Vec::new(),
            lost: Vec::new(),
        };
        let everything = VirtAddr::new(0)..=VirtAddr::new(u64::MAX);
        let mut progress = Progress::of_list("extents");
        let found = walker.extents(&memory, everything);
        for found in found.with_budget(table_budget(dump)) {
            progress.advance(1);
            match found {
                Ok(extent) if self.json => answer.mappings.push(extent.into()),
                Ok(Extent {
                    virt,
                    phys,
                    size,
                    shift,
                    flags,
                }) => {
                    let (page_size, flags) = (1_u64 << shift, Hex(flags.bits()));
                    writeln!(output, "{virt} {phys} {size:#x} {page_size:#x} {flags}")?;
                }
                Err(fault) => {
                    self.source.unless_refused(&fault)?;
                    progress.pause(|| notice(&self.source.path, fault));
                    answer.lost.push(fault.into());
                }
            }
        }
        if self.json {
            output.json(&answer)?;
        }
        if answer.lost.is_empty() {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }
}

#[derive(Serialize)]
struct Answer {
    mappings: Vec<Mapping>,
    lost: Vec<Lost>,
}

#[derive(Serialize)]
struct Mapping {
    virt: Hex,
    phys: Hex,
    size: u64,
    page_size: u64,
    flags: Hex,
}

#[derive(Serialize)]
struct Lost {
    virt: Hex,
    level: &'static str,
    entry_at: Hex,
    entry: Option<Hex>,
    reason: &'static str,
    detail: String,
}

impl From<Extent<AnyFlags>> for Mapping {
    fn from(extent: Extent<AnyFlags>) -> Self {
        Self {
            virt: Hex(extent.virt.as_u64()),
            phys: Hex(extent.phys.as_u64()),
            size: extent.size,
            page_size: 1 << extent.shift,
            flags: Hex(extent.flags.bits()),
        }
    }
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self {
            virt: Hex(fault.virt.as_u64()),
            level: fault.level.name(),
            entry_at: Hex(fault.entry_at.as_u64()),
            entry: entry(&fault).map(Hex),
            reason: reason(&fault),
            detail: fault.to_string(),
        }
    }
}
