//! The segments of a load, as told.
//!
//! ```text
//!                   mem        memsz                  buf        bufsz
//!             0x8000000         4096       0x5583211a36c0           48
//! ```

use std::io::Write;

use kexec_format::KexecSegment;
use serde::Serialize;

use crate::{
    failure::Result,
    output::{Hex, Output},
};

/// The keys of a segment in `--json`.
#[derive(Serialize)]
pub(super) struct SegmentAnswer {
    mem: Hex,
    memsz: u64,
    buf: Hex,
    bufsz: u64,
}

impl From<&KexecSegment> for SegmentAnswer {
    fn from(segment: &KexecSegment) -> Self {
        Self {
            mem: Hex(segment.mem),
            memsz: segment.memsz,
            buf: Hex(segment.buf),
            bufsz: segment.bufsz,
        }
    }
}

impl SegmentAnswer {
    /// Prints a heading and one line for each.
    pub(super) fn print(segments: &[Self], output: &mut Output) -> Result {
        let title = format!(
            "{:>20} {:>12} {:>20} {:>12}",
            "mem", "memsz", "buf", "bufsz"
        );
        writeln!(output, "\n{}", output.heading(&title))?;
        for segment in segments {
            let SegmentAnswer {
                mem,
                memsz,
                buf,
                bufsz,
            } = segment;
            writeln!(output, "{mem:>20} {memsz:>12} {buf:>20} {bufsz:>12}")?;
        }
        Ok(())
    }
}
