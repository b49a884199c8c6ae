//! `kscope map diff`: what two maps say differently.

use std::{io::Write, path::PathBuf};

use e820::{Difference, Kind};
use serde::Serialize;

use super::{edit, source::Reading};
use crate::{
    failure::Result,
    output::{Hex, Output},
};

/// What two maps say differently
///
/// Both are calculated first, so that neither order nor cuts count. That they differ is an answer: the
/// exit status is 0.
#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// One map: a file, a directory of sysfs, `-`, or `live`
    a: PathBuf,

    /// The other
    b: PathBuf,

    #[command(flatten)]
    reading: Reading,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    a: String,
    b: String,
    differences: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    start: Hex,
    last: Hex,
    size: u64,
    a: Option<String>,
    b: Option<String>,
}

impl From<Difference> for Line {
    fn from(Difference { range, left, right }: Difference) -> Self {
        let word = |kind: Option<Kind>| kind.map(|kind| kind.to_string());
        Self {
            start: Hex(range.start().as_u64()),
            last: Hex(range.last().as_u64()),
            size: range.size(),
            a: word(left),
            b: word(right),
        }
    }
}

impl Diff {
    pub(super) fn run(&self, output: &mut Output) -> Result {
        let (a, b) = (self.reading.one(&self.a)?, self.reading.one(&self.b)?);
        let (left, right) = (edit::calculate(&a)?, edit::calculate(&b)?);
        let answer = Answer {
            a: a.source.display().to_string(),
            b: b.source.display().to_string(),
            differences: left.diff(&right).map(Line::from).collect(),
        };
        if self.json {
            return output.json(&answer);
        }
        for Line {
            start,
            last,
            size,
            a,
            b,
        } in &answer.differences
        {
            let word = |kind: &Option<String>| kind.clone().unwrap_or_else(|| "-".to_owned());
            let (a, b) = (word(a), word(b));
            writeln!(output, "{start:>18} {last:>18} {size:>20}  {a} => {b}")?;
        }
        Ok(())
    }
}
