//! `kscope dump`: what was left.

mod address;
mod extract;
mod info;
mod mappings;
mod notes;
mod read;
mod vmcoreinfo;
mod vtop;

use clap::Subcommand;
use page_walk::AnyWalker;
use physmem::PhysAddr;
use vmcore_format::{Error, kernel::Layout};

use crate::{
    failure::{Failure, Result},
    input::{Input, Source},
    output::Output,
};

/// What to do with a dump; each one's help stands with its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Dump {
    Info(info::Info),
    Vmcoreinfo(vmcoreinfo::Vmcoreinfo),
    Notes(notes::Notes),
    Read(read::Read),
    Vtop(vtop::Vtop),
    Mappings(mappings::Mappings),
    Extract(extract::Extract),
}

impl Dump {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        match self {
            Self::Info(info) => info.run(output),
            Self::Vmcoreinfo(vmcoreinfo) => vmcoreinfo.run(output),
            Self::Notes(notes) => notes.run(output),
            Self::Read(read) => read.run(output),
            Self::Vtop(vtop) => vtop.run(output),
            Self::Mappings(mappings) => mappings.run(output),
            Self::Extract(extract) => extract.run(),
        }
    }
}

type Opened = vmcore_format::Dump<Input>;

impl Source {
    fn dump(&self) -> Result<Opened> {
        vmcore_format::Dump::open(self.open()?).map_err(|error| self.failure(error))
    }

    /// Where the kernel lies in the dump.
    fn layout(&self, dump: &Opened) -> Result<Layout> {
        Layout::of(dump).map_err(|error| self.failure(error))
    }

    /// The page tables from `root` on, or the kernel's.
    fn walker(&self, dump: &Opened, root: Option<PhysAddr>) -> Result<AnyWalker> {
        let layout = self.layout(dump)?;
        Ok(root.map_or(layout.walker, |root| layout.walker_at(root)))
    }

    fn failure(&self, error: Error) -> Failure {
        match error {
            Error::Io { .. } => Failure::system(&self.path, error),
            _ => Failure::input(&self.path, error),
        }
    }
}
