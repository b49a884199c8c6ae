//! `kscope dump vmcoreinfo`: what the kernel says about itself.

use std::io::Write;

use vmcore_format::{Error, Vmcoreinfo as Text};

use super::Opened;
use crate::{
    failure::{Failure, Result},
    input::Source,
    output::{Output, Pairs},
};

/// What the kernel says about itself: the text, or the value of one key
///
/// A key that is not there is status 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Vmcoreinfo {
    #[command(flatten)]
    source: Source,

    /// Print this key's value only: OSRELEASE, SYMBOL(init_top_pgt) …
    key: Option<String>,

    /// One JSON object of keys and values instead of text
    #[arg(long)]
    json: bool,
}

impl Vmcoreinfo {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        self.source.with_dump(|dump| self.tell(dump, output))
    }

    fn tell(&self, dump: &Opened, output: &mut Output) -> Result {
        let path = &self.source.path;
        let info = dump.vmcoreinfo();
        let info = info
            .map_err(|error| self.source.failure(error))?
            .ok_or_else(|| self.source.failure(Error::NoVmcoreinfo))?;
        if let Some(key) = &self.key {
            let value = info.get(key);
            let value = value
                .map_err(|error| self.source.failure(error))?
                .ok_or_else(|| {
                    Failure::input(path, format_args!("VMCOREINFO has no value for `{key}`"))
                })?;
            return match self.json {
                true => output.json(&Pairs(vec![(key, value)])),
                false => Ok(writeln!(output, "{value}")?),
            };
        }
        if self.json {
            let (pairs, damage) = pairs(&info);
            output.json(&pairs)?;
            return damage.map_or(Ok(()), |error| Err(self.source.failure(error)));
        }
        output.write_all(info.text())?;
        if !info.text().ends_with(b"\n") {
            writeln!(output)?;
        }
        Ok(())
    }
}

/// Keys and values up to a line that is damaged; of a key that occurs twice the first one counts.
pub(super) fn pairs<'d>(
    info: &Text<'d>,
) -> (Pairs<&'d str, &'d str>, Option<vmcore_format::Error>) {
    let mut pairs = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for line in info.lines() {
        match line {
            Ok(line) if seen.insert(line.key) => pairs.push((line.key, line.value)),
            Ok(_) => {}
            Err(error) => return (Pairs(pairs), Some(error)),
        }
    }
    (Pairs(pairs), None)
}
