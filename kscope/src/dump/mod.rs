//! `kscope dump`: what was left.

mod checksum;
mod dmesg;
mod extract;
mod frames;
mod info;
mod mappings;
mod notes;
mod pages;
mod read;
mod symbols;
mod tables;
pub(crate) mod told;
mod verify;
mod vmcoreinfo;
mod vtop;

use std::path::{Path, PathBuf};

use bootimg::detect::Format;
use clap::Subcommand;
use elf_format::Ident;
use page_walk::{AnyWalker, Fault, FaultKind};
use physmem::{Absence, PageShift, PhysAddr, PhysRange};
use vmcore_format::{
    Error, Field, PartError, ReadAt, Reader, Vmcoreinfo,
    detect::{Format as Container, detect},
    kernel::{self, Virtual},
};

use crate::{
    address,
    failure::{Failure, Result, notice},
    input::{Input, Source},
    output::Output,
};

/// What to do with a dump; each one's help stands with its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Dump {
    Info(info::Info),
    Vmcoreinfo(vmcoreinfo::Vmcoreinfo),
    Notes(notes::Notes),
    Read(read::Read),
    Vtop(vtop::Vtop),
    Mappings(mappings::Mappings),
    Checksum(checksum::Checksum),
    Verify(verify::Verify),
    Dmesg(dmesg::Dmesg),
    Symbols(symbols::Symbols),
    Pages(frames::Pages),
    Extract(extract::Extract),
}

impl Dump {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        match self {
            Self::Info(info) => info.run(output),
            Self::Vmcoreinfo(vmcoreinfo) => vmcoreinfo.run(output),
            Self::Notes(notes) => notes.run(output),
            Self::Read(read) => read.run(output),
            Self::Vtop(vtop) => vtop.run(output),
            Self::Mappings(mappings) => mappings.run(output),
            Self::Checksum(checksum) => checksum.run(output),
            Self::Verify(verify) => verify.run(output),
            Self::Dmesg(dmesg) => dmesg.run(output),
            Self::Symbols(symbols) => symbols.run(output),
            Self::Pages(pages) => pages.run(output),
            Self::Extract(extract) => extract.run(),
        }
    }
}

pub(crate) type Opened = vmcore_format::Dump<Input>;

impl Source {
    /// Lets `tell` answer from the dump. What is damaged in its structure, and what part of a split dump is missing, is
    /// named before, and fails the command afterwards.
    pub(crate) fn with_dump(&self, tell: impl FnOnce(&Opened) -> Result) -> Result {
        let (dump, damage) = self.open_dump()?;
        for error in &damage {
            notice(&self.path, error);
        }
        let missing = missing_parts(&dump);
        for what in &missing {
            notice(&self.path, what);
        }
        tell(&dump)?;
        if damage.is_empty() && missing.is_empty() {
            Ok(())
        } else {
            Err(Failure::Reported)
        }
    }

    fn open_dump(&self) -> Result<(Opened, Vec<Error>)> {
        self.check_stdin(0)?;
        let (dump, damage) = self.open_container()?;
        let dump = self.told.complete(dump)?;
        let in_memory = match dump.vmcoreinfo() {
            Ok(None) => kernel::vmcoreinfo_of_lowcore(&dump),
            _ => None,
        };
        let dump = match in_memory {
            Some(text) => dump.with_vmcoreinfo(text),
            None => dump,
        };
        Ok((dump, damage))
    }

    fn open_container(&self) -> Result<(Opened, Vec<Error>)> {
        let files: Vec<Self> = self.files().collect();
        if let [file] = files.as_slice() {
            if let Some(dump) = self.told.open(file)? {
                return Ok((dump, Vec::new()));
            }
            let input = file.open_checked()?;
            let dump = vmcore_format::Dump::open_damaged(input);
            return dump.map_err(|error| file.refused(error, || file.beginning()));
        }
        if self.told.is_memory() {
            let why = "memory without headers has no parts: --memory-at tells where its pieces are";
            return Err(Failure::Usage(why.to_owned()));
        }
        let inputs: Result<Vec<Input>> = files.iter().map(Self::open_checked).collect();
        let dump = vmcore_format::Dump::open_parts(inputs?);
        let dump = dump
            .map_err(|PartError { part, error }| files.get(part).unwrap_or(self).failure(error))?;
        Ok((dump, Vec::new()))
    }

    fn open_checked(&self) -> Result<Input> {
        let input = self.open_if(|beginning| self.check(beginning))?;
        self.check_size(&input)?;
        Ok(input)
    }

    fn check_size(&self, input: &Input) -> Result {
        match input.size() {
            0 => Err(Failure::input(&self.path, "the file is empty")),
            _ => Ok(()),
        }
    }

    /// Refuses what does not begin as a dump does.
    fn check(&self, beginning: &[u8]) -> Result {
        // What a flattened one begins with may come last.
        if detect(beginning) == Some(Container::Flattened) {
            return Ok(());
        }
        match vmcore_format::Dump::open_damaged(beginning) {
            // The rest may have it.
            Ok(_)
            | Err(Error::Truncated { .. } | Error::Elf(elf_format::Error::Truncated { .. })) => {
                Ok(())
            }
            Err(error) => Err(self.refused(error, || Some(beginning.to_owned()))),
        }
    }

    /// Why a file is no dump that can be read, and who reads it.
    fn refused(&self, error: Error, beginning: impl FnOnce() -> Option<Vec<u8>>) -> Failure {
        match error {
            Error::NoDump { .. } => {}
            Error::BadField { field, .. } if field.name == "e_type" => {}
            _ => return self.failure(error),
        }
        let format = beginning().and_then(|bytes| Format::of(&bytes));
        let hint = match format {
            Some(Format::Compressed(_)) => "it is compressed: unpack it first",
            Some(_) => "`kscope image` knows what it is",
            None if matches!(error, Error::NoDump { .. }) => {
                "memory without headers is read with --memory-of"
            }
            None => return self.failure(error),
        };
        Failure::input(&self.path, format_args!("{error}; {hint}"))
    }

    /// The page tables from `root` on, or the kernel's, or those of a CPU if the dump does not say where
    /// the kernel's are.
    pub(crate) fn walker(&self, dump: &Opened, root: Option<PhysAddr>) -> Result<AnyWalker> {
        let walker = match root {
            Some(root) => kernel::walker_at(dump, root),
            None => kernel::walker_of(dump),
        };
        walker.map_err(|error| self.failure(error))
    }

    /// What the kernel says of itself, and its virtual memory.
    fn inside<'d>(
        &self,
        dump: &'d Opened,
        memory: &'d Reader<'d, Input>,
    ) -> Result<(Vmcoreinfo<'d>, Virtual<'d, Reader<'d, Input>>)> {
        let info = dump.vmcoreinfo().map_err(|error| self.failure(error))?;
        let info = info.ok_or_else(|| self.failure(Error::NoVmcoreinfo))?;
        let virt = Virtual::of(dump, memory).map_err(|error| self.failure(error))?;
        Ok((info, virt))
    }

    /// An error tells something about the dump, unless it tells that the system refused to read it.
    pub(crate) fn unless_io(&self, error: &Error) -> Result {
        match self.failure(*error) {
            refused @ Failure::System(_) => Err(refused),
            _ => Ok(()),
        }
    }

    /// A fault tells something about the dump, unless it tells that the system refused to read it or that no tables
    /// begin there.
    fn unless_refused(&self, fault: &Fault) -> Result {
        match fault.kind {
            FaultKind::MisalignedRoot { .. } => Err(Failure::input(&self.path, fault)),
            FaultKind::Missing(Absence::Io { .. }) => Err(Failure::system(&self.path, fault)),
            _ => Ok(()),
        }
    }

    pub(crate) fn failure(&self, error: Error) -> Failure {
        match error {
            Error::Io { .. } => Failure::system(&self.path, error),
            Error::Root(missing) => Failure::absent(&self.path, Some(missing.why), error),
            Error::Virt(missing) => Failure::absent(&self.path, missing.absence(), error),
            Error::NoVmcoreinfo => {
                let what = format_args!("{error}: --vmcoreinfo gives what the kernel says");
                Failure::input(&self.path, what)
            }
            _ => Failure::input(self.blamed(&error), error),
        }
    }

    /// The file in which it is wrong.
    fn blamed(&self, error: &Error) -> &Path {
        match (error, &self.told.vmcoreinfo) {
            (
                Error::BadText { what, .. }
                | Error::BadField {
                    field: Field { name: what, .. },
                    ..
                },
                Some(text),
            ) if what.starts_with("VMCOREINFO") => text,
            _ => &self.path,
        }
    }

    /// The same of a dump in parts, of which this is the number of one.
    fn blamed_part(&self, part: usize, error: &Error) -> PathBuf {
        let blamed = self.blamed(error);
        let file = || self.files().nth(part).map(|file| file.path);
        let of_part = (blamed == self.path).then(file).flatten();
        of_part.unwrap_or_else(|| blamed.to_owned())
    }
}

/// The memory whose pages are in parts of a split dump that are not here.
fn missing_ranges(dump: &Opened) -> Vec<PhysRange> {
    let kdump = dump.kdump();
    kdump.iter().flat_map(|kdump| kdump.missing()).collect()
}

/// The same in words.
fn missing_parts(dump: &Opened) -> Vec<String> {
    let words = |range: PhysRange| {
        let (start, last) = (range.start(), range.last());
        format!("the part of the dump from {start} to {last} is not here")
    };
    missing_ranges(dump).into_iter().map(words).collect()
}

/// What a core for the dump's machine begins with: identification and flags.
pub(crate) fn ident(dump: &Opened) -> (Ident, u32) {
    match dump.elf() {
        Some(elf) => (elf.header().ident, elf.header().flags),
        None => (Ident::new(dump.encoding()), 0),
    }
}

/// `uname -r` by the header of a compressed dump, for one without VMCOREINFO.
fn release_of_header(dump: &Opened) -> Option<&str> {
    let release = dump.kdump()?.header().utsname.release();
    std::str::from_utf8(release)
        .ok()
        .filter(|release| !release.is_empty())
}

/// How many tables a listing may enter: each page of the dump this often, and some that an extract has not.
/// Linux shares a few tables between places; a crafted dump can share one so often that a listing never
/// ends.
fn table_budget(dump: &Opened) -> u64 {
    const VISITS: u64 = 4;
    const MISSING: u64 = 4096;
    // There are at most 2^52 pages of 4 KiB.
    dump.page_counts(PageShift::SIZE_4K).present * VISITS + MISSING
}

/// The entry that stopped a walk, where one was read.
fn entry(fault: &Fault) -> Option<u64> {
    match fault.kind {
        FaultKind::NotPresent { entry } | FaultKind::Reserved { entry } => Some(entry),
        _ => None,
    }
}

/// The one word for what stops a walk.
fn reason(fault: &Fault) -> &'static str {
    match fault.kind {
        FaultKind::Missing(_) => "missing",
        FaultKind::Loop { .. } => "loop",
        FaultKind::Budget => "budget",
        _ => "unmapped",
    }
}
