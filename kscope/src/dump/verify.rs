//! `kscope dump verify`: everything read, and what cannot be.
//!
//! ```text
//! 0x22263000           0x22263fff                  1 damaged
//! 81,227 pages read, 12 excluded, 0 lost, 1 damaged
//! ```

use std::{collections::BTreeSet, io::Write, path::PathBuf};

use physmem::{Absence, Pfn, PhysRange};
use serde::Serialize;
use vmcore_format::codec::Method;

use super::{
    Opened,
    pages::{self, Pages, State},
};
use crate::{
    failure::{Failure, Result, notice},
    input::Source,
    output::{Hex, Output},
    progress::Progress,
};

/// Read everything and say what is damaged
///
/// Notes, VMCOREINFO and every page. What cannot be read is listed: first and last address, pages, and the
/// reason. The exit status is 1 if there is any, or if a page's codec is not built in, or if the writer of the dump says that it
/// is incomplete. Pages that were left out on purpose are no damage.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    source: Source,

    /// Further parts of a split dump, in any order
    #[arg(value_name = "PART")]
    more: Vec<PathBuf>,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The keys of `verify --json`.
#[derive(Default, Serialize)]
struct Answer {
    ok: bool,
    pages: Counts,
    missing: Vec<Missing>,
}

#[derive(Default, Serialize)]
struct Counts {
    read: u64,
    zero: u64,
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
        let source = self.source.and_parts(&self.more);
        source.with_dump(|dump| self.tell(&source, dump, output))
    }

    fn tell(&self, source: &Source, dump: &Opened, output: &mut Output) -> Result {
        let mut sound = texts_are_sound(source, dump);
        if dump.is_incomplete() {
            notice(&source.path, "the dump is incomplete: its writer says so");
            sound = false;
        }
        let (answer, codecs) = self.read(source, dump)?;
        for method in codecs {
            let feature = method.feature().map_or_else(String::new, |feature| {
                format!(" (feature `{feature}` of vmcore-format)")
            });
            let what =
                format_args!("pages are compressed by {method}, which is not built in{feature}");
            notice(&source.path, what);
        }
        let answer = Answer {
            ok: sound && answer.missing.is_empty(),
            ..answer
        };
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

    fn read(&self, source: &Source, dump: &Opened) -> Result<(Answer, BTreeSet<Method>)> {
        let mut pages = Pages::new(source, dump)?;
        let page = pages.page();
        let mut answer = Answer::default();
        let mut codecs = BTreeSet::new();
        let mut progress = Progress::of_bytes(dump.byte_counts().present);
        let mut next = 0;
        for (range, absence) in dump.ranges() {
            // Two ranges may share a page.
            let first = range.start().pfn(page).as_u64().max(next);
            next = range.last().pfn(page).as_u64() + 1;
            if let Some(why) = absence {
                answer.add_missing(range, next.saturating_sub(first), why);
                continue;
            }
            for pfn in (first..next).map(Pfn::new) {
                let at = pfn.addr(page).unwrap_or(range.last());
                progress.advance(page.bytes());
                match pages.state(pfn)? {
                    State::Crc32(_) => answer.pages.read += 1,
                    State::Zero => {
                        answer.pages.read += 1;
                        answer.pages.zero += 1;
                    }
                    // The rest of the page is no part of the dump.
                    State::Absent(Absence::NotRam | Absence::Excluded) => answer.pages.read += 1,
                    State::Absent(why) => {
                        if why == Absence::CodecMissing {
                            codecs.extend(dump.kdump().and_then(|kdump| kdump.method(at)));
                        }
                        let whole = PhysRange::with_size(at, page.bytes()).unwrap_or(range);
                        answer.add_missing(whole, 1, why);
                    }
                }
            }
        }
        Ok((answer, codecs))
    }
}

/// Names what is wrong with notes and VMCOREINFO.
fn texts_are_sound(source: &Source, dump: &Opened) -> bool {
    let notes = dump.notes().find_map(std::result::Result::err);
    let info = match dump.vmcoreinfo() {
        Ok(info) => info.and_then(|info| info.lines().find_map(std::result::Result::err)),
        Err(error) => Some(error).filter(|error| Some(*error) != notes),
    };
    for error in notes.iter().chain(&info) {
        notice(&source.path, error);
    }
    notes.is_none() && info.is_none()
}

impl Answer {
    fn add_missing(&mut self, range: PhysRange, pages: u64, why: Absence) {
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
        let (start, last) = (range.start().as_u64(), range.last().as_u64());
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
            read,
            zero,
            excluded,
            lost,
            damaged,
            codec_missing,
        } = &self.pages;
        writeln!(
            output,
            "{read} pages read ({zero} of zeros), {excluded} excluded, {lost} lost, {damaged} damaged, {codec_missing} of a missing codec"
        )?;
        Ok(())
    }
}
