//! `kscope dump pages`: what the kernel did with each frame.
//!
//! ```text
//! 66562 cache 2,4 2 -1 0xfffffc0000012c referenced,uptodate,lru,active      PFN KIND LEVELS COUNT MAPCOUNT FLAGS NAMES
//! 70000 free/10 16 0 -129 0xfffffc0000000 -
//! 90000-131071 absent                                                       the kernel has no such frames
//! ```

use std::io::Write;

use physmem::Pfn;
use serde::Serialize;
use vmcore_format::{
    Error, Reader, Vmcoreinfo,
    kernel::{
        Virtual,
        btf::{Btf, Section},
        kallsyms::Kallsyms,
        page_flags::{Frame, Kind, Pages as Map},
    },
};

use super::{
    Opened,
    pages::{Pages as Contents, is_zero},
};
use crate::{
    failure::{Failure, Result, notice},
    input::{Input, Source, lines},
    output::{Hex, Output},
    progress::Progress,
};

/// What the kernel did with frames of memory: use, flags by name, counts
///
/// A line for each: PFN KIND LEVELS COUNT MAPCOUNT FLAGS NAMES. KIND of a block of several pages has its
/// order behind it; LEVELS are those of `makedumpfile -d` that leave the page out, each of them enough: 1 if
/// the dump has its bytes and all are zero, the others by what the kernel says of it. The names of the
/// flags come from the types in the dump (BTF), as far as it has them, else from VMCOREINFO, which names
/// few. Of a range, frames in a row that the kernel does not have are one line, FIRST-LAST `absent`, and so are those
/// of which nothing can be read, `unknown` and why the first is.
#[derive(Debug, clap::Args)]
pub(crate) struct Pages {
    #[command(flatten)]
    source: Source,

    /// Frame numbers in decimal, or FIRST-LAST; `-` reads them from standard input
    #[arg(value_name = "PFN", required = true, value_parser = asked)]
    frames: Vec<Asked>,

    /// One JSON object a frame, each on a line, instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stdin,
    Frames(u64, u64),
}

fn asked(text: &str) -> std::result::Result<Asked, String> {
    if text == "-" {
        return Ok(Asked::Stdin);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        // Unlike `parse`, no sign.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok()).flatten()
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(Asked::Frames(first, last)),
        _ => Err(format!("`{text:.40}` is not a frame number or FIRST-LAST")),
    }
}

/// What the kernel says of frames, and what they hold.
struct Answers<'d> {
    map: Map<'d, Reader<'d, Input>>,
    contents: Contents<'d>,
}

impl Pages {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let list_is_stdin = self.frames.contains(&Asked::Stdin);
        self.source.check_stdin(list_is_stdin.into())?;
        self.source.with_dump(|dump| self.tell(dump, output))
    }

    fn tell(&self, dump: &Opened, output: &mut Output) -> Result {
        let memory = dump.reader();
        let (info, virt) = self.source.inside(dump, &memory)?;
        let failure = |error| self.source.failure(error);
        let page = dump.page_size().map_err(failure)?;
        let map = Map::new(&info, virt, page).map_err(failure)?;
        let map = match named(&info, virt) {
            Ok(section) => {
                let types = Btf::parse(&section.bytes, section.at, dump.endian());
                let named = types.and_then(|types| map.with_names(&types));
                named.map_err(failure)?
            }
            Err(error) => {
                self.source.unless_io(&error)?;
                notice(
                    &self.source.path,
                    format_args!("few flags have names: {error}"),
                );
                map
            }
        };
        let mut pages = Answers {
            map,
            contents: Contents::new(&self.source, dump, page),
        };
        for asked in &self.frames {
            match asked {
                Asked::Frames(first, last) => self.range(&mut pages, *first, *last, output)?,
                Asked::Stdin => self.listed(&mut pages, output)?,
            }
        }
        Ok(())
    }

    fn listed(&self, pages: &mut Answers<'_>, output: &mut Output) -> Result {
        let stdin = "-".as_ref();
        let mut progress = Progress::of_list("frames");
        for line in lines(stdin)? {
            let (number, line) = line?;
            for text in line.split_whitespace() {
                let bad = |why| Failure::input(stdin, format_args!("line {number}: {why}"));
                match asked(text).map_err(bad)? {
                    Asked::Frames(first, last) => self.range(pages, first, last, output)?,
                    Asked::Stdin => {
                        return Err(bad("`-` is not a frame number".to_owned()));
                    }
                }
                progress.advance(1);
            }
        }
        Ok(())
    }

    fn range(&self, pages: &mut Answers<'_>, first: u64, last: u64, output: &mut Output) -> Result {
        let mut pending: Option<Run> = None;
        let mut next = Some(first);
        while let Some(first) = next.filter(|first| *first <= last) {
            let (end, found) = pages.map.run(Pfn::new(first), Pfn::new(last));
            next = end.as_u64().checked_add(1);
            let read = match &found {
                Ok(_) => Ok(()),
                Err(error) => self.source.unless_io(error),
            };
            if let Err(refused) = read {
                // What was found before is told, too.
                pending.map_or(Ok(()), |before| self.print(pages, &before, output))?;
                return Err(refused);
            }
            let run = Run {
                first,
                last: end.as_u64(),
                found,
            };
            match &mut pending {
                Some(before) if before.is_like(&run) => before.last = run.last,
                _ => {
                    if let Some(before) = pending.replace(run) {
                        self.print(pages, &before, output)?;
                    }
                }
            }
        }
        pending.map_or(Ok(()), |run| self.print(pages, &run, output))
    }

    fn print(&self, pages: &mut Answers<'_>, run: &Run, output: &mut Output) -> Result {
        let levels = match &run.found {
            Ok(Some(frame)) => pages.levels(frame)?,
            _ => Vec::new(),
        };
        if self.json {
            return output.json_line(&Answer::new(&pages.map, run, levels));
        }
        write!(output, "{}", run.first)?;
        if run.first < run.last {
            write!(output, "-{}", run.last)?;
        }
        let frame = match &run.found {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(writeln!(output, " absent")?),
            Err(error) => return Ok(writeln!(output, " unknown: {error}")?),
        };
        write!(output, " {}", frame.kind)?;
        if frame.order > 0 {
            write!(output, "/{}", frame.order)?;
        }
        let levels: Vec<_> = levels.iter().map(u8::to_string).collect();
        let names: Vec<_> = pages.map.names(frame.flags).collect();
        let or_none = |list: Vec<&str>| match list.is_empty() {
            true => "-".to_owned(),
            false => list.join(","),
        };
        writeln!(
            output,
            " {} {} {} {} {}",
            or_none(levels.iter().map(String::as_str).collect()),
            frame.refcount,
            frame.mapcount,
            Hex(frame.flags),
            or_none(names)
        )?;
        Ok(())
    }
}

/// A frame, or frames in a row that the kernel does not have or of which nothing can be read.
struct Run {
    first: u64,
    last: u64,
    /// Of the first.
    found: std::result::Result<Option<Frame>, Error>,
}

impl Run {
    /// Whether that which follows is one with it.
    fn is_like(&self, next: &Self) -> bool {
        match (&self.found, &next.found) {
            (Ok(None), Ok(None)) => true,
            (Err(Error::Virt(one)), Err(Error::Virt(other))) => one.absence() == other.absence(),
            _ => false,
        }
    }
}

/// The types of the kernel, by which flags have names.
fn named<'d>(
    info: &Vmcoreinfo<'_>,
    virt: Virtual<'d, Reader<'d, Input>>,
) -> std::result::Result<Section, Error> {
    let symbols = Kallsyms::new(info, virt)?;
    Section::read(&symbols, virt)
}

impl Answers<'_> {
    /// The levels of `makedumpfile -d` that leave a page out: 0 is any.
    fn levels(&mut self, frame: &Frame) -> Result<Vec<u8>> {
        let is_zero = self.contents.bytes(frame.pfn)?.is_ok_and(is_zero);
        let leaves_out = |level: &u8| match level {
            1 => is_zero,
            level => frame.excluded_by.excluded_at(*level),
        };
        Ok([0, 1, 2, 4, 8, 16].into_iter().filter(leaves_out).collect())
    }
}

#[derive(Serialize)]
struct Answer<'p> {
    pfn: u64,
    last: u64,
    kind: Option<String>,
    head: Option<u64>,
    order: Option<u8>,
    excluded_by: Vec<u8>,
    count: Option<i32>,
    mapcount: Option<i32>,
    mapping: Option<Hex>,
    private: Option<Hex>,
    page: Option<Hex>,
    flags: Option<Hex>,
    names: Vec<&'p str>,
    reason: Option<String>,
}

impl<'p> Answer<'p> {
    fn new(map: &'p Map<'_, Reader<'_, Input>>, run: &Run, excluded_by: Vec<u8>) -> Self {
        let reason = run.found.as_ref().err().map(ToString::to_string);
        let frame = run.found.ok().flatten();
        Self {
            pfn: run.first,
            last: run.last,
            kind: frame.map(|frame| Kind::to_string(&frame.kind)),
            head: frame.map(|frame| frame.head.as_u64()),
            order: frame.map(|frame| frame.order),
            excluded_by,
            count: frame.map(|frame| frame.refcount),
            mapcount: frame.map(|frame| frame.mapcount),
            mapping: frame.map(|frame| Hex(frame.mapping)),
            private: frame.map(|frame| Hex(frame.private)),
            page: frame.map(|frame| Hex(frame.page.as_u64())),
            flags: frame.map(|frame| Hex(frame.flags)),
            names: frame
                .iter()
                .flat_map(|frame| map.names(frame.flags))
                .collect(),
            reason,
        }
    }
}
