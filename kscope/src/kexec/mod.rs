//! `kscope kexec`: how one kernel gets to the next.

mod checks;
mod faults;
mod list;
mod loaded;
mod moved;
mod plan;
mod segments;

use clap::Subcommand;

use crate::{failure::Result, output::Output};

/// What to do about kexec; each one's help stands with its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Kexec {
    Plan(plan::Plan),
    List(list::List),
}

impl Kexec {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        match self {
            Self::Plan(plan) => plan.run(output),
            Self::List(list) => list.run(output),
        }
    }
}
