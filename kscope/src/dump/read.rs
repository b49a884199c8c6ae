//! `kscope dump read`: bytes of memory.
//!
//! ```text
//! 0xffffffffa791ffe0  4c 69 6e 75 78 20 76 65  72 73 69 6f 6e 20 36 2e  |Linux version 6.|
//! ```

use std::io::Write;

use physmem::{MemError, PhysAddr, PhysMemory, VirtAddr};
use serde::Serialize;
use vmcore_format::kernel::{self, VirtError};

use super::address::{Span, address, length, physical};
use crate::{
    failure::{Failure, Result},
    input::Source,
    output::{Hex, Output},
};

/// Bytes of memory, as a hex dump or as they are
///
/// If a byte is missing, what is before it is printed, and the exit status is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Read {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    space: Space,

    /// The first byte, in hexadecimal, with or without 0x
    #[arg(value_name = "ADDR", value_parser = address)]
    address: u64,

    /// How many bytes, in decimal, or in hexadecimal with 0x
    #[arg(value_name = "LEN", value_parser = length)]
    length: u64,

    /// Physical address of the top table: a process's pgd, a CPU's CR3; the kernel's if not given
    #[arg(long, value_name = "ROOT", value_parser = physical, conflicts_with = "phys")]
    root: Option<PhysAddr>,

    /// The bytes as they are instead of a hex dump
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Space {
    /// ADDR is a physical address
    #[arg(long)]
    phys: bool,

    /// ADDR is a virtual address
    #[arg(long)]
    virt: bool,
}

/// Bytes read at once; a multiple of a row's.
const CHUNK: usize = 1 << 16;

const ROW: usize = 16;

impl Read {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let span = Span::try_new(self.address, self.length).map_err(Failure::Usage)?;
        let dump = self.source.dump()?;
        let memory = dump.reader();
        if self.space.phys {
            self.print(span, output, |at, out| {
                memory.read(PhysAddr::new(at), out).map_err(Missing::from)
            })
        } else {
            let walker = self.source.walker(&dump, self.root)?;
            self.print(span, output, |at, out| {
                kernel::read(&walker, &memory, VirtAddr::new(at), out).map_err(Missing::from)
            })
        }
    }

    fn print(
        &self,
        span: Span,
        output: &mut Output,
        read: impl Fn(u64, &mut [u8]) -> std::result::Result<(), Missing>,
    ) -> Result {
        let mut printer = Printer {
            width: Hex(span.last).to_string().len(),
            bytes: String::new(),
        };
        let mut chunk = vec![0; CHUNK];
        let mut missing = None;
        for at in (span.first..=span.last).step_by(CHUNK) {
            let beyond = usize::try_from(span.last - at).unwrap_or(CHUNK);
            // Saturating only far above a chunk.
            let len = CHUNK.min(beyond.saturating_add(1));
            chunk.truncate(len);
            if let Err(why) = read(at, &mut chunk) {
                // What is before the missing byte can be read.
                chunk.truncate(usize::try_from(why.at - at).unwrap_or(0));
                missing = read(at, &mut chunk).err().or(Some(why));
            }
            match (self.raw, self.json) {
                (true, _) => output.write_all(&chunk)?,
                (_, true) => printer.collect(&chunk),
                _ => printer.rows(at, &chunk, output)?,
            }
            if missing.is_some() {
                break;
            }
        }
        if self.json {
            output.json(&Answer {
                start: Hex(span.first),
                size: printer.bytes.len() / 2,
                bytes: printer.bytes,
                missing: missing.as_ref().map(|missing| Hex(missing.at)),
            })?;
        }
        missing.map_or(Ok(()), |missing| {
            Err(Failure::input(&self.source.path, missing.why))
        })
    }
}

/// The first byte that cannot be had.
struct Missing {
    at: u64,
    why: String,
}

impl From<MemError> for Missing {
    fn from(error: MemError) -> Self {
        Self {
            at: error.at.as_u64(),
            why: error.to_string(),
        }
    }
}

impl From<VirtError> for Missing {
    fn from(error: VirtError) -> Self {
        let at = match error {
            VirtError::Fault(fault) => fault.virt,
            VirtError::Memory { virt, .. } => virt,
            _ => VirtAddr::new(0),
        };
        Self {
            at: at.as_u64(),
            why: error.to_string(),
        }
    }
}

#[derive(Serialize)]
struct Answer {
    start: Hex,
    size: usize,
    bytes: String,
    missing: Option<Hex>,
}

struct Printer {
    width: usize,
    bytes: String,
}

impl Printer {
    fn collect(&mut self, bytes: &[u8]) {
        self.bytes
            .extend(bytes.iter().map(|byte| format!("{byte:02x}")));
    }

    fn rows(&self, at: u64, bytes: &[u8], output: &mut Output) -> Result {
        let width = self.width;
        for (row, at) in bytes.chunks(ROW).zip((at..).step_by(ROW)) {
            write!(output, "{:<width$} ", Hex(at))?;
            for index in 0..ROW {
                if index % 8 == 0 {
                    write!(output, " ")?;
                }
                match row.get(index) {
                    Some(byte) => write!(output, "{byte:02x} ")?,
                    None => write!(output, "   ")?,
                }
            }
            let shown = |byte: &u8| {
                if matches!(byte, b' '..=b'~') {
                    char::from(*byte)
                } else {
                    '.'
                }
            };
            writeln!(output, " |{}|", row.iter().map(shown).collect::<String>())?;
        }
        Ok(())
    }
}
