//! `kscope dump checksum`: a checksum of each page.
//!
//! ```text
//! 4905 14ab1d67      PFN crc32
//! 8754 zero          PFN zero | excluded | absent | lost | damaged | codec-missing
//! 9000-9999 lost     FIRST-LAST of pages that are not there, where no list asks for them
//! ```

use std::{io::Write, path::PathBuf};

use physmem::Pfn;
use serde::Serialize;

use super::{
    Opened,
    pages::{Pages, State},
};
use crate::{
    failure::{Failure, Result},
    input::{Source, Sources, is_stdin, lines},
    output::{Hex, Output},
    progress::Progress,
};

/// A checksum (crc32) of each page, or what became of it
///
/// One line for each page: PFN and `crc32` in hexadecimal, `zero` (there, and nothing but zeros), `excluded` (left
/// out when the dump was written), `absent` (not RAM, or not in the dump), `lost` (cut off or never written),
/// `damaged`, or `codec-missing` (not built in). A page of which the dump has only a part has zeros for the rest,
/// as libkdumpfile reads it (makedumpfile leaves it out), but if the rest is lost, so is the page. All are answers:
/// the exit status is 0, but 1 if headers or records of the dump are damaged, or a part of a split dump is missing,
/// which is named on standard error. Without a list, pages in a row that are not in the dump are one line, FIRST-
/// LAST.
#[derive(Debug, clap::Args)]
pub(crate) struct Checksum {
    #[command(flatten)]
    files: Sources,

    /// These pages: one decimal frame number a line, addresses divided by `page_size` of `info`; `-` reads
    /// standard input. All pages that the dump describes if not given
    #[arg(long, value_name = "LIST")]
    pfns: Option<PathBuf>,

    /// One JSON object a line instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    pfn: u64,
    last: u64,
    crc32: Option<Hex>,
    state: &'static str,
}

impl Checksum {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let list_is_stdin = self.pfns.as_ref().is_some_and(|list| is_stdin(list));
        let source = self.files.source();
        source.check_stdin(list_is_stdin.into())?;
        source.with_dump(|dump| self.tell(&source, dump, output))
    }

    fn tell(&self, source: &Source, dump: &Opened, output: &mut Output) -> Result {
        let page = dump.page_size().map_err(|error| source.failure(error))?;
        let mut pages = Pages::new(source, dump, page);
        let mut progress = Progress::of_list("pages");
        let mut tell = |pfn, output: &mut Output| {
            progress.advance(1);
            self.print(pfn, pfn, pages.state(Pfn::new(pfn))?, output)
        };
        let Some(list) = &self.pfns else {
            for run in dump.frames(page) {
                let (first, last) = (run.first.as_u64(), run.last.as_u64());
                match run.absence {
                    None => (first..=last).try_for_each(|pfn| tell(pfn, output))?,
                    // However many: the number may be the header's alone.
                    Some(why) => self.print(first, last, State::Absent(why), output)?,
                }
            }
            return Ok(());
        };
        for line in lines(list)? {
            let (number, line) = line?;
            let word = line.trim();
            if word.is_empty() {
                continue;
            }
            // Unlike `parse`, no sign.
            let pfn = word
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| word.parse().ok());
            let pfn = pfn.flatten().ok_or_else(|| {
                let why = format_args!("line {number}: `{word:.40}` is not a decimal frame number");
                Failure::input(list, why)
            })?;
            tell(pfn, output)?;
        }
        Ok(())
    }

    fn print(&self, pfn: u64, last: u64, state: State, output: &mut Output) -> Result {
        let crc32 = match state {
            State::Crc32(crc32) => Some(crc32),
            _ => None,
        };
        if self.json {
            return output.json_line(&Answer {
                pfn,
                last,
                crc32: crc32.map(|crc32| Hex(crc32.into())),
                state: state.word(),
            });
        }
        match crc32 {
            Some(crc32) => writeln!(output, "{pfn} {crc32:08x}")?,
            None if pfn < last => writeln!(output, "{pfn}-{last} {}", state.word())?,
            None => writeln!(output, "{pfn} {}", state.word())?,
        }
        Ok(())
    }
}
