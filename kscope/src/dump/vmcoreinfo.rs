//! `kscope dump vmcoreinfo`: what the kernel says about itself.

use std::io::Write;

use vmcore_format::Vmcoreinfo as Text;

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
        let path = &self.source.path;
        let dump = self.source.dump()?;
        let info = find(&self.source, &dump)?
            .ok_or_else(|| Failure::input(path, "the dump has no VMCOREINFO note"))?;
        if let Some(key) = &self.key {
            let value = info.get(key);
            let value = value.ok_or_else(|| {
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

/// The text, unless the notes break before it.
pub(super) fn find<'d>(source: &Source, dump: &'d Opened) -> Result<Option<Text<'d>>> {
    match dump.vmcoreinfo() {
        Some(info) => Ok(Some(info)),
        None => {
            let broken = dump.notes().find_map(std::result::Result::err);
            broken.map_or(Ok(None), |error| Err(source.failure(error)))
        }
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
