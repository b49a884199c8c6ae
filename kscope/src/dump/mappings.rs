//! `kscope dump mappings`: everything that a page table maps.

use std::{cell::Cell, io::Write, iter};

use page_walk::{AnyFlags, Extent, Fault};
use physmem::VirtAddr;
use serde::Serialize;

use super::{Opened, entry, reason, table_budget, tables::Tables};
use crate::{
    failure::{Failure, Result, notice},
    input::{Source, Sources},
    output::{Each, Hex, Output},
    progress::Progress,
};

/// Every mapped extent of a page table
///
/// One line for each, coalesced: VIRT PHYS LENGTH PAGE_SIZE FLAGS, all in hexadecimal. Tables that cannot be
/// read, entries that set reserved bits, and entries that lead back to a table on the way to them are named on
/// standard error; of those of one kind that follow each other in a table, with no page between, only the first
/// is. The listing goes on behind them, and the exit status is 1. One entry that leads to its own table, as
/// other systems have it, is followed.
#[derive(Debug, clap::Args)]
pub(crate) struct Mappings {
    #[command(flatten)]
    files: Sources,

    #[command(flatten)]
    tables: Tables,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Mappings {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let source = self.files.source();
        source.with_dump(|dump| self.tell(&source, dump, output))
    }

    fn tell(&self, source: &Source, dump: &Opened, output: &mut Output) -> Result {
        let walker = self.tables.walker(source, dump)?;
        let memory = dump.reader();
        let budget = table_budget(dump);
        let everything = VirtAddr::new(0)..=VirtAddr::new(u64::MAX);
        let found = || {
            let extents = walker.extents(&memory, everything.clone());
            extents.with_budget(budget)
        };

        let mut progress = Progress::of_list("extents");
        let (lost, refused) = (Cell::new(false), Cell::new(None));
        let mapped = found().map_while(|found| {
            progress.advance(1);
            match found {
                Ok(extent) => Some(Some(extent)),
                Err(fault) => match source.unless_refused(&fault) {
                    Ok(()) => {
                        progress.pause(|| notice(&source.path, fault));
                        lost.set(true);
                        Some(None)
                    }
                    Err(failure) => {
                        refused.set(Some(failure));
                        None
                    }
                },
            }
        });
        let mut mapped = mapped.flatten();
        if self.json {
            // There may be more of either than memory holds: what is lost is looked for once more.
            let again = iter::once_with(|| lost.get().then(&found));
            let again = again
                .flatten()
                .flatten()
                .filter_map(std::result::Result::err);
            output.json(&Answer {
                mappings: Each::new(mapped.map(Mapping::from)),
                lost: Each::new(again.map(Lost::from)),
            })?;
        } else {
            mapped.try_for_each(|extent| print(&extent, output))?;
        }
        match (refused.take(), lost.get()) {
            (Some(failure), _) => Err(failure),
            (None, true) => Err(Failure::Reported),
            (None, false) => Ok(()),
        }
    }
}

fn print(extent: &Extent<AnyFlags>, output: &mut Output) -> Result {
    let Extent {
        virt,
        phys,
        size,
        shift,
        flags,
    } = extent;
    let (page_size, flags) = (1_u64 << shift, Hex(flags.bits()));
    Ok(writeln!(
        output,
        "{virt} {phys} {size:#x} {page_size:#x} {flags}"
    )?)
}

#[derive(Serialize)]
struct Answer<M, L> {
    mappings: M,
    lost: L,
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
