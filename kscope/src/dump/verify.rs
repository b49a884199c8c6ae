//! `kscope dump verify`: everything read that can be damaged, and what is.
//!
//! ```text
//! 0x22263000           0x22263fff                  1 damaged
//! 81227 pages read (9 of zeros), 12 excluded, 0 lost, 1 damaged, 0 of a missing codec
//! ```

use std::{collections::BTreeSet, fmt::Display, io::Write, path::Path};

use physmem::{Absence, PageShift, Pfn};
use serde::Serialize;
use vmcore_format::{PartError, dump::Frames};

use super::{
    Opened, missing_parts,
    pages::{self, Pages, is_zero},
};
use crate::{
    failure::{Failure, Result, notice},
    input::{Source, Sources},
    output::{Hex, Output, count},
    progress::Progress,
};

/// Read everything that can be damaged, and say what is
///
/// Headers, notes, VMCOREINFO, bitmaps and every page of a compressed dump. Pages of other dumps are not read: they
/// are stored as they are, or lost. What cannot be right is named on standard error, with its place. Pages that
/// cannot be read are listed: first and last address, pages, and the reason. The exit status is 1 if there is any
/// of that, if a page's codec is not built in, or if the writer of the dump says that it is incomplete. Pages that
/// were left out on purpose are no damage.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    files: Sources,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The keys of `verify --json`.
#[derive(Default, Serialize)]
struct Answer {
    ok: bool,
    problems: Vec<Problem>,
    pages: Counts,
    missing: Vec<Missing>,
}

/// What is wrong but for pages.
#[derive(Serialize)]
struct Problem {
    file: String,
    detail: String,
}

#[derive(Default, Serialize)]
struct Counts {
    present: u64,
    /// Unless pages of this dump are not read.
    zero: Option<u64>,
    excluded: u64,
    lost: u64,
    damaged: u64,
    codec_missing: u64,
}

/// Neighbouring pages that are missing for the same reason.
#[derive(Serialize)]
struct Missing {
    start: Hex,
    last: Hex,
    pages: u64,
    reason: &'static str,
}

impl Verify {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let source = self.files.source();
        let (dump, damage) = source.open_dump()?;
        let mut answer = Answer::default();
        for error in damage {
            answer.name(&source.path, error);
        }
        for what in missing_parts(&dump) {
            answer.name(&source.path, what);
        }
        if dump.is_incomplete() {
            answer.name(&source.path, "the dump is incomplete: its writer says so");
        }
        for PartError { part, error } in dump.check() {
            source.unless_io(&error)?;
            answer.name(&source.blamed_part(part, &error), error);
        }
        // A note that is broken does not tell the page size; that was named.
        let page = dump.page_size();
        let block = || Some(dump.kdump()?.header().block);
        let page = page.ok().or_else(block).unwrap_or(PageShift::SIZE_4K);
        answer.count(&source, &dump, page)?;
        answer.ok = answer.problems.is_empty() && answer.missing.is_empty();
        if self.json {
            output.json(&answer)?;
        } else {
            answer.print(output)?;
        }
        if answer.ok {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }
}

impl Answer {
    fn name(&mut self, file: &Path, what: impl Display) {
        notice(file, &what);
        self.problems.push(Problem {
            file: file.display().to_string(),
            detail: what.to_string(),
        });
    }

    /// Counts the pages. Those of a compressed dump are read; others can be no other than they are, and program headers may
    /// tell of the same bytes of a file again and again.
    fn count(&mut self, source: &Source, dump: &Opened, page: PageShift) -> Result {
        let mut pages = Pages::new(source, dump, page);
        let mut codecs = BTreeSet::new();
        let mut progress = Progress::of_bytes(dump.byte_counts().present);
        let mut zero = dump.kdump().map(|_| 0);
        for run in dump.frames(page) {
            if let Some(why) = run.absence {
                self.add_missing(page, &run, why);
                continue;
            }
            let Some(zero) = &mut zero else {
                self.pages.present += run.count();
                continue;
            };
            for pfn in (run.first.as_u64()..=run.last.as_u64()).map(Pfn::new) {
                progress.advance(page.bytes());
                match pages.bytes(pfn)? {
                    Ok(bytes) => {
                        self.pages.present += 1;
                        *zero += u64::from(is_zero(bytes));
                    }
                    Err(why) => {
                        if why == Absence::CodecMissing {
                            let method = |at| dump.kdump()?.method(at);
                            codecs.extend(pfn.addr(page).and_then(method));
                        }
                        let one = Frames {
                            first: pfn,
                            last: pfn,
                            ..run
                        };
                        self.add_missing(page, &one, why);
                    }
                }
            }
        }
        self.pages.zero = zero;
        for method in codecs {
            let feature = method.feature().map_or_else(String::new, |feature| {
                format!(" (feature `{feature}` of vmcore-format)")
            });
            let what =
                format_args!("pages are compressed by {method}, which is not built in{feature}");
            self.name(&source.path, what);
        }
        Ok(())
    }

    fn add_missing(&mut self, page: PageShift, run: &Frames, why: Absence) {
        let pages = run.count();
        let count = match why {
            Absence::Excluded => {
                self.pages.excluded += pages;
                return;
            }
            Absence::Lost => &mut self.pages.lost,
            Absence::CodecMissing => &mut self.pages.codec_missing,
            _ => &mut self.pages.damaged,
        };
        *count += pages;
        // A frame of a dump has an address, and so has its last byte.
        let at = |pfn: Pfn| pfn.as_u64() << page.as_u8();
        let (start, last) = (at(run.first), at(run.last) | (page.bytes() - 1));
        let reason = pages::word(why);
        match self.missing.last_mut() {
            Some(before)
                if before.reason == reason && before.last.0.checked_add(1) == Some(start) =>
            {
                before.last = Hex(last);
                before.pages += pages;
            }
            _ => self.missing.push(Missing {
                start: Hex(start),
                last: Hex(last),
                pages,
                reason,
            }),
        }
    }

    fn print(&self, output: &mut Output) -> Result {
        for Missing {
            start,
            last,
            pages,
            reason,
        } in &self.missing
        {
            writeln!(output, "{start:<20} {last:<20} {pages:>8} {reason}")?;
        }
        let Counts {
            present,
            zero,
            excluded,
            lost,
            damaged,
            codec_missing,
        } = &self.pages;
        let present = count(*present, "page");
        let how = match zero {
            Some(zero) => format!("read ({zero} of zeros)"),
            None => "stored as they are".to_owned(),
        };
        writeln!(
            output,
            "{present} {how}, {excluded} excluded, {lost} lost, {damaged} damaged, {codec_missing} of a missing codec"
        )?;
        Ok(())
    }
}
