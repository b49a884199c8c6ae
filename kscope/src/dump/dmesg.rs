//! `kscope dump dmesg`: the kernel log.
//!
//! ```text
//! [    2.731392] Unstable clock detected, switching default tracing clock to "global"
//!                If you want to keep using the local clock, then add:
//! ```

use std::io::Write;

use physmem::PhysMemory;
use serde::Serialize;
use vmcore_format::{
    Vmcoreinfo,
    kernel::{
        Virtual,
        printk::{self, Record},
    },
};

use super::Opened;
use crate::{
    failure::{Failure, Result, notice},
    input::{Source, Sources},
    output::{Output, text},
};

/// The kernel log, as `dmesg` prints it
///
/// From whichever ring the kernel has: the lockless one of Linux 5.10 and later, the records before it,
/// the characters before 3.5. A record that is damaged is named on standard error, and the exit status
/// is then 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Dmesg {
    #[command(flatten)]
    files: Sources,

    /// One JSON object a record, each on a line, instead of text
    #[arg(long)]
    json: bool,
}

impl Dmesg {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let source = self.files.source();
        source.with_dump(|dump| self.tell(&source, dump, output))
    }

    fn tell(&self, source: &Source, dump: &Opened, output: &mut Output) -> Result {
        let memory = dump.reader();
        let (info, virt) = source.inside(dump, &memory)?;
        self.print(source, &info, virt, output)
    }

    fn print<M: PhysMemory>(
        &self,
        source: &Source,
        info: &Vmcoreinfo<'_>,
        virt: Virtual<'_, M>,
        output: &mut Output,
    ) -> Result {
        let records = printk::records(info, virt).map_err(|error| source.failure(error))?;
        let mut damaged = false;
        for record in records {
            match record {
                Ok(record) if self.json => output.json_line(&Line::from(&record))?,
                Ok(record) => writeln!(output, "{record}")?,
                Err(error) => {
                    source.unless_io(&error)?;
                    notice(source.blamed(&error), error);
                    damaged = true;
                }
            }
        }
        match damaged {
            true => Err(Failure::Reported),
            false => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Line {
    seq: u64,
    time_ns: Option<u64>,
    level: Option<u8>,
    facility: u8,
    flags: Vec<&'static str>,
    caller: Option<String>,
    text: String,
    subsystem: Option<String>,
    device: Option<String>,
}

impl From<&Record> for Line {
    fn from(record: &Record) -> Self {
        let device =
            |of: fn(&printk::Device) -> &[u8]| record.device.as_ref().map(|it| text(of(it)));
        Self {
            seq: record.seq,
            time_ns: record.time,
            level: record.level,
            facility: record.facility,
            flags: record.flags.iter_names().map(|(name, _)| name).collect(),
            caller: record.caller.map(|caller| caller.to_string()),
            text: text(&record.text),
            subsystem: device(|device| &device.subsystem),
            device: device(|device| &device.device),
        }
    }
}
