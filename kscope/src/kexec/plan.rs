//! `kscope kexec plan`: would the kernel take these segments?
//!
//! ```text
//!   --segments LOG ─▶ entry, flags, segments ─┐
//!   --map SOURCE ───▶ how much RAM there is ──┼▶ checks
//!   --crash RANGE ────────────────────────────┘
//! ```

use std::{io::Write, path::PathBuf};

use kexec_format::{
    Limits, LoadFlags,
    check::{Caller, Request, Version},
    log::Log,
};
use physmem::PageShift;
use serde::Serialize;

use super::{
    checks::{Check, Judge},
    segments::SegmentAnswer,
};
use crate::{
    address::StartEnd,
    failure::{Failure, Result},
    input::{Source, is_stdin},
    map,
    output::{Hex, Output},
};

/// Check the segments of a load: would the kernel take them, and which rule do they break?
///
/// Images are not read yet, so the segments are those of a log: what `kexec -d` prints. They are
/// checked as by a kernel since Linux 4.8 of the log's architecture, with pages of 4 KiB and the RAM that the map has. The
/// exit status is 1 if a rule is broken.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// A log of `kexec -d`, or the lines of it that tell the call and its segments; `-` is standard input
    #[arg(long, value_name = "FILE")]
    segments: PathBuf,

    /// The memory map of the machine, in any form that `kscope map` reads
    #[arg(long, value_name = "SOURCE")]
    map: PathBuf,

    /// The memory reserved for a crash kernel, END the last byte, as `Crash kernel` in /proc/iomem, which
    /// is taken if the map is one
    #[arg(long, value_name = "START-END")]
    crash: Option<StartEnd>,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let file = &self.segments;
        let source = Source::new(file.clone(), false);
        source.check_stdin(is_stdin(&self.map).into())?;
        let wrong = |error: kexec_format::Error| Failure::input(file, error);
        let input = source.open()?;
        let bytes = input.bytes(file)?;
        let text = String::from_utf8_lossy(&bytes);
        let log = Log::new(&text);
        let call = log.call().map_err(wrong)?;
        let call = call.ok_or_else(|| {
            let why = "no line `kexec_load: entry = 0x… flags = 0x…`, as `kexec -d` prints it; with -s it \
                       does not, as kexec_file_load() leaves the segments to the kernel";
            Failure::input(file, why)
        })?;
        let segments = log.segments().collect::<std::result::Result<Vec<_>, _>>();
        let segments = segments.map_err(wrong)?;
        if segments.is_empty() {
            let why = "no segments: an unload, or a log that was cut";
            return Err(Failure::input(file, why));
        }

        let (ram, reserved) = map::ram(&self.map)?;
        let width = call.arch.width();
        let judge = Judge {
            arch: call.arch,
            width,
            page: PageShift::SIZE_4K,
            version: Version::default(),
            flags: LoadFlags::ON_CRASH,
            arch_untold: "which architecture the kernel has is not told",
            // Those of four levels, the lower ones.
            limits: Limits::of(call.arch, width, false),
            ram: Some(ram),
            reserved: self.crash.map(|StartEnd(range)| range).or(reserved),
        };
        let checks = judge.judge(&Request {
            caller: Caller::Native,
            entry: call.entry,
            segments: &segments,
            flags: call.flags,
            arch: call.arch,
        });
        let answer = Answer {
            entry: Hex(call.entry),
            flags: Hex(call.flags.bits()),
            crash: call.flags.contains(LoadFlags::ON_CRASH),
            segments: segments.iter().map(SegmentAnswer::from).collect(),
            checks,
        };
        if self.json {
            output.json(&answer)?;
        } else {
            answer.print(output)?;
        }
        if Check::name_broken(&answer.checks, file) {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }
}

/// The keys of `--json`.
#[derive(Serialize)]
struct Answer {
    entry: Hex,
    flags: Hex,
    crash: bool,
    segments: Vec<SegmentAnswer>,
    checks: Vec<Check>,
}

impl Answer {
    fn print(&self, output: &mut Output) -> Result {
        let kind = if self.crash { "a crash" } else { "a reboot" };
        writeln!(output, "entry  {}", self.entry)?;
        writeln!(output, "flags  {}, for {kind}", self.flags)?;
        SegmentAnswer::print(&self.segments, output)?;
        writeln!(output, "\n{}", output.heading("checks"))?;
        Check::print(&self.checks, output)
    }
}
