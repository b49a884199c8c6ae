//! `kscope kexec list`: what is loaded in the kernel that left a dump.
//!
//! ```text
//!   kallsyms, --symbol-at ─▶ pointer ─▶ struct kimage ─┬▶ entry, segments ─▶ checks
//!   --image ────────────────────────────────┘          └▶ head ─┐
//!   --head ─────────────────────────────────────────────────────┴▶ list ─▶ runs ─▶ --run OUT
//! ```

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use kexec_format::{
    Arch, Decoding, Error, Format, KexecSegment, KimageEntry, Limits, LoadFlags, Mode,
    check::{Caller, Request, Version},
    list::{ListRule, Run},
};
use physmem::VirtAddr;
use serde::Serialize;
use vmcore_format::{
    Reader,
    kernel::{
        kexec_image::{Flags, Kimage, KimageError, Segment},
        word_width,
    },
};

use super::{
    checks::{Check, Judge},
    faults::Judged,
    loaded::Tables,
    moved::Moved,
    segments::SegmentAnswer,
};
use crate::{
    address::{StartEnd, address},
    dump::Opened,
    failure::{Failure, Result, notice},
    input::{Input, Source, is_stdin},
    output::{Hex, Output, count},
};

/// Decode and check a list of pages to move, or the kernel that is loaded, in a dump
///
/// What `kexec -l` has loaded, or with --crash what `kexec -p` has: its entry point, its segments and
/// what each of the kernel's checks says to them, and the list by which its pages are moved to their
/// place, one line a run of pages: DEST SOURCE PAGES, addresses in hexadecimal. The segments of a crash
/// kernel are in their place, so that its list is empty.
///
/// The kernel's variable is found by the symbols in the dump; where it has none, as before Linux 6.0,
/// --symbol-at says where the variable is. The exit status is 1 for segments that break a rule, for a list
/// that is broken, which is named with the address of the entry, and for one that is wrong: it overwrites
/// pages before it reads them, or does not move each page of the segments once. Such a list is not carried
/// out.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    source: Source,

    /// The crash kernel instead of the one that is loaded for a reboot
    #[arg(long)]
    crash: bool,

    /// Where `kexec_image` is, with --crash `kexec_crash_image`: its address in /proc/kallsyms of the
    /// machine, whatever the dump's symbols say
    #[arg(long, value_name = "ADDR", value_parser = address)]
    symbol_at: Option<u64>,

    /// Where the `struct kimage` itself is
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with = "symbol_at")]
    image: Option<u64>,

    /// The first entry of a list, a word in hexadecimal, instead of a whole image
    #[arg(long, value_name = "VALUE", value_parser = address, conflicts_with_all = ["crash", "symbol_at", "image", "reserved"])]
    head: Option<u64>,

    /// The memory reserved for a crash kernel, END the last byte, as `Crash kernel` in /proc/iomem
    #[arg(long, value_name = "START-END")]
    reserved: Option<StartEnd>,

    /// Do what the list says, and write the pages that were moved to a core: the memory that the new
    /// kernel finds
    #[arg(long, value_name = "OUT")]
    run: Option<PathBuf>,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        if self.run.as_deref().is_some_and(is_stdin) {
            let why = "--run writes a file; standard output has the list";
            return Err(Failure::Usage(why.to_owned()));
        }
        if let Some(out) = &self.run {
            self.source.refuse_as_target(out)?;
        }
        self.source.with_dump(|dump| self.tell(dump, output))
    }

    fn tell(&self, dump: &Opened, output: &mut Output) -> Result {
        let memory = dump.reader();
        let format = self.format(dump)?;
        let image = match self.head {
            Some(_) => None,
            None => Some(self.loaded(dump, &memory)?),
        };
        let head = image.map_or(self.head.unwrap_or_default(), |image| image.head);
        let list = kexec_format::List {
            head: KimageEntry::new(head),
            format,
            decoding: Decoding::Strict,
        };
        let limits = self.limits(dump, format)?;
        let loaded = image.iter().flat_map(Kimage::segments);
        let segments: Vec<_> = loaded.map(as_loaded).collect();
        let checks = match &image {
            Some(image) => self.judge(dump, format, limits, image, &segments),
            None => Vec::new(),
        };
        let is_crash = image.is_some_and(|image| image.flags.is_crash());
        if image.is_some() && is_crash != self.crash {
            let kind = if is_crash { "crash" } else { "reboot" };
            let what = format_args!("its type is that of a kernel for a {kind}");
            notice(&self.source.path, what);
        }

        let mut answer = Answer::new(head, image.as_ref(), &segments, checks);
        if !self.json {
            answer.print(output)?;
        }
        let (mut broken, mut runs) = (None, Vec::new());
        for run in list.runs(&memory) {
            match run {
                Ok(run) => {
                    if !self.json {
                        print_run(run, runs.is_empty(), output)?;
                    }
                    runs.push(run);
                }
                Err(error) => broken = Some(error),
            }
        }
        // Each has a word in the dump.
        answer.pages = runs.iter().map(|run| run.pages).sum();
        answer.error = broken.map(|error| error.to_string());
        if broken.is_none() {
            // A crash image is in place. Of segments that break a rule nobody knows what a list would be.
            let told = image.is_some() && !is_crash && Check::all_hold(&answer.checks);
            let judged = Judged {
                list,
                runs: &runs,
                limits,
                segments: told.then_some(&segments),
                file_mode: image.is_some_and(|image| image.flags.is_file_mode()),
            };
            let faults = judged.faults(&memory).map_err(|error| self.broken(error))?;
            answer.faults = faults;
            if is_crash && !runs.is_empty() {
                let why = "the list of a crash image moves pages (never made by kimage_load_crash_segment())";
                answer.faults.push(why.to_owned());
            }
        }
        if self.json {
            answer.runs = runs.iter().copied().map(RunAnswer::from).collect();
            output.json(&answer)?;
        } else {
            let (verdict, where_to) = match (&broken, &answer.faults[..]) {
                (Some(_), _) => ("broken", " before the break"),
                (None, []) => ("sound", ""),
                (None, _) => ("wrong", ""),
            };
            let pages = count(answer.pages, "page");
            writeln!(output, "\nlist   {verdict}\n{pages} to move{where_to}")?;
        }
        let sound = Check::name_broken(&answer.checks, &self.source.path);
        if let Some(error) = broken {
            return Err(self.broken(error));
        }
        for fault in &answer.faults {
            notice(&self.source.path, fault);
        }
        if !answer.faults.is_empty() {
            return Err(Failure::Reported);
        }
        if let Some(out) = &self.run {
            if runs.is_empty() {
                let why = if is_crash {
                    "nothing to --run: a crash image is in its place, in memory that the dump does not hold"
                } else {
                    "nothing to --run: the list moves no page"
                };
                return Err(Failure::input(&self.source.path, why));
            }
            let entry = image.map_or(0, |image| image.start);
            self.perform(dump, &memory, list, &runs, entry, out)?;
        }
        if sound {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }

    fn symbol(&self) -> &'static str {
        if self.crash {
            "kexec_crash_image"
        } else {
            "kexec_image"
        }
    }

    fn format(&self, dump: &Opened) -> Result<Format> {
        let page = dump
            .page_size()
            .map_err(|error| self.source.failure(error))?;
        Ok(Format {
            width: word_width(dump),
            endian: dump.endian(),
            page,
        })
    }

    /// The image that is asked for.
    fn loaded(&self, dump: &Opened, memory: &Reader<'_, Input>) -> Result<Kimage> {
        let walker = self.source.walker(dump, None)?;
        let tables = Tables::of(&self.source, dump, memory)?;
        let layout = tables.layout()?;
        let wrong = |error: KimageError| {
            let absence = match error {
                KimageError::Memory(error) => error.absence(),
                _ => None,
            };
            Failure::absent(&self.source.path, absence, error)
        };
        if let Some(at) = self.image {
            return Kimage::read(&walker, memory, VirtAddr::new(at), &layout).map_err(wrong);
        }
        let pointer = match self.symbol_at {
            Some(at) => VirtAddr::new(at),
            None => tables.variable(self.symbol())?,
        };
        let loaded = Kimage::loaded(&walker, memory, pointer, &layout).map_err(wrong)?;
        loaded.ok_or_else(|| {
            let why = format_args!("{} is null: nothing is loaded", self.symbol());
            Failure::input(&self.source.path, why)
        })
    }

    fn limits(&self, dump: &Opened, format: Format) -> Result<Limits> {
        let arch = Arch(dump.machine().0);
        // Those of page tables matter on x86-64 only, and a list alone can do without.
        let la57 = match self.source.walker(dump, None) {
            Ok(walker) => walker.levels() > 4,
            Err(_) if self.head.is_some() => true,
            Err(failure) => return Err(failure),
        };
        Ok(Limits::of(arch, format.width, la57))
    }

    fn judge(
        &self,
        dump: &Opened,
        format: Format,
        limits: Limits,
        image: &Kimage,
        segments: &[KexecSegment],
    ) -> Vec<Check> {
        let arch = Arch(dump.machine().0);
        let mut flags = LoadFlags::empty();
        flags.set(LoadFlags::ON_CRASH, self.crash || image.flags.is_crash());
        flags.set(LoadFlags::PRESERVE_CONTEXT, image.flags.preserves_context());
        let info = dump.vmcoreinfo().ok().flatten();
        let release = info.and_then(|info| info.os_release().ok().flatten());
        let judge = Judge {
            arch,
            width: format.width,
            page: format.page,
            version: release.and_then(Version::of_release).unwrap_or_default(),
            // It took them.
            flags,
            arch_untold: "which architecture the call named is not told",
            limits,
            // A dump need not describe all of it.
            ram: None,
            reserved: self.reserved.map(|StartEnd(range)| range),
        };
        judge.judge(&Request {
            caller: Caller::Native,
            entry: image.start,
            segments,
            flags,
            arch,
        })
    }

    /// Moves the pages of the list, whose runs these are, and writes what then is at their destinations.
    fn perform(
        &self,
        dump: &Opened,
        memory: &Reader<'_, Input>,
        list: kexec_format::List,
        runs: &[Run],
        entry: u64,
        out: &Path,
    ) -> Result {
        let mut moved = Moved::new(memory, list.format.page);
        for run in runs {
            for page in 0..run.pages {
                let kept = run
                    .destination
                    .checked_add(page << list.format.page.as_u8());
                kept.into_iter().for_each(|page| moved.keep(page));
            }
        }
        let done = kexec_format::relocate(&mut moved, list, Mode::Copy, &mut []);
        done.map_err(|error| self.broken(error))?;
        moved.write(dump, entry, &self.source.path, out)
    }

    /// A list is broken because the dump is, unless the system refused to read it.
    fn broken(&self, error: Error) -> Failure {
        let absence = match error {
            Error::BadList {
                rule: ListRule::Unreadable(why),
                ..
            } => Some(why),
            Error::Memory(error) => Some(error.why),
            _ => None,
        };
        Failure::absent(&self.source.path, absence, error)
    }
}

/// Prints a line, and a heading before the first one.
fn print_run(run: Run, is_first: bool, output: &mut Output) -> Result {
    if is_first {
        let title = output.heading("runs");
        writeln!(output, "\n{title}")?;
    }
    let Run {
        destination,
        source,
        pages,
    } = run;
    Ok(writeln!(output, "{destination} {source} {pages}")?)
}

fn as_loaded(segment: &Segment) -> KexecSegment {
    let Segment {
        buf,
        bufsz,
        mem,
        memsz,
    } = *segment;
    KexecSegment {
        buf,
        bufsz,
        mem,
        memsz,
    }
}

/// The keys of `--json`.
#[derive(Serialize)]
struct Answer {
    image: Option<Hex>,
    crash: Option<bool>,
    preserve_context: Option<bool>,
    file_mode: Option<bool>,
    control_code_page: Option<Hex>,
    entry: Option<Hex>,
    segments: Vec<SegmentAnswer>,
    checks: Vec<Check>,
    head: Hex,
    pages: u64,
    runs: Vec<RunAnswer>,
    /// Why the list cannot be read to its end.
    error: Option<String>,
    /// What is wrong with one that can.
    faults: Vec<String>,
}

#[derive(Serialize)]
struct RunAnswer {
    destination: Hex,
    source: Hex,
    pages: u64,
}

impl From<Run> for RunAnswer {
    fn from(run: Run) -> Self {
        Self {
            destination: Hex(run.destination.as_u64()),
            source: Hex(run.source.as_u64()),
            pages: run.pages,
        }
    }
}

impl Answer {
    fn new(
        head: u64,
        image: Option<&Kimage>,
        segments: &[KexecSegment],
        checks: Vec<Check>,
    ) -> Self {
        let flags = image.map(|image| image.flags);
        Self {
            image: image.map(|image| Hex(image.at.as_u64())),
            crash: flags.map(Flags::is_crash),
            preserve_context: flags.map(Flags::preserves_context),
            file_mode: flags.map(Flags::is_file_mode),
            control_code_page: image.map(|image| Hex(image.control_code_page.as_u64())),
            entry: image.map(|image| Hex(image.start)),
            segments: segments.iter().map(SegmentAnswer::from).collect(),
            checks,
            head: Hex(head),
            pages: 0,
            runs: Vec::new(),
            error: None,
            faults: Vec::new(),
        }
    }

    /// All but the runs, as text.
    fn print(&self, output: &mut Output) -> Result {
        if let (Some(image), Some(entry)) = (self.image, self.entry) {
            let kind = match (self.crash, self.preserve_context) {
                (Some(true), _) => "for a crash",
                (_, Some(true)) => "for a reboot and back",
                _ => "for a reboot",
            };
            let call = match self.file_mode {
                Some(true) => "kexec_file_load()",
                _ => "kexec_load()",
            };
            writeln!(output, "image  {image}, {kind}, by {call}")?;
            writeln!(output, "entry  {entry}")?;
        }
        writeln!(output, "head   {}", self.head)?;
        if self.image.is_none() {
            return Ok(());
        }
        SegmentAnswer::print(&self.segments, output)?;
        writeln!(output, "\n{}", output.heading("checks"))?;
        Check::print(&self.checks, output)
    }
}
