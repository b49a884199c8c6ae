//! Which page tables: the kernel's, or those that the command line names.

use page_walk::{AnyWalker, Mode};
use physmem::PhysAddr;

use super::{Opened, address::root};
use crate::{failure::Result, input::Source};

/// Page tables, as the command line names them.
#[derive(Debug, clap::Args)]
pub(super) struct Tables {
    /// Physical address of the top table: a process's pgd, a CPU's CR3, whose other fields are ignored; the kernel's if not given
    #[arg(long, value_name = "ADDR", value_parser = root)]
    pub(super) root: Option<PhysAddr>,

    /// Paging mode of the tables at --root, if not the kernel's: 4-level, 5-level, 32-bit, pae, sv39, sv48, sv57, radix-4k
    /// or radix-64k (with -lower for a process), segment, region-third, region-second or region-first (with -tl0, -tl1 or -tl2 behind it if it is not whole), or
    /// aarch64-GRANULE-BITS with -lpa, -lpa2 and -lower behind it as need be, such as aarch64-4k-52-lpa2-lower
    #[arg(long, value_name = "MODE", requires = "root")]
    paging: Option<Mode>,
}

impl Tables {
    /// From their root on.
    pub(super) fn walker(&self, source: &Source, dump: &Opened) -> Result<AnyWalker> {
        self.walker_at(source, dump, self.root)
    }

    /// From `root` on, or the kernel's.
    pub(super) fn walker_at(
        &self,
        source: &Source,
        dump: &Opened,
        root: Option<PhysAddr>,
    ) -> Result<AnyWalker> {
        match (root, self.paging) {
            (Some(root), Some(mode)) => Ok(mode.with_root(root)),
            _ => source.walker(dump, root),
        }
    }
}
