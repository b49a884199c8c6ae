//! `kscope dump read`: bytes of memory.
//!
//! ```text
//! 0xffffffffa791ffe0  4c 69 6e 75 78 20 76 65  72 73 69 6f 6e 20 36 2e  |Linux version 6.|
//! ```

use std::{io::Write, path::Path};

use physmem::{Absence, MemError, PhysAddr, PhysMemory, VirtAddr};
use vmcore_format::kernel::{self, VirtError};

use super::{
    Opened,
    address::{Span, address, length},
    tables::Tables,
};
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

    #[command(flatten)]
    tables: Tables,

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
    #[arg(long, conflicts_with_all = ["root", "paging"])]
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
        self.source.with_dump(|dump| self.tell(dump, span, output))
    }

    fn tell(&self, dump: &Opened, span: Span, output: &mut Output) -> Result {
        let memory = dump.reader();
        if self.space.phys {
            self.print(span, output, |at, out| {
                memory.read(PhysAddr::new(at), out).map_err(Missing::from)
            })
        } else {
            let walker = self.tables.walker(&self.source, dump)?;
            self.print(span, output, |at, out| {
                kernel::read(&walker, &memory, VirtAddr::new(at), out).map_err(Missing::from)
            })
        }
    }

    /// The object of `--json` is written as it is read: the bytes may be more than memory holds.
    fn print(
        &self,
        span: Span,
        output: &mut Output,
        read: impl Fn(u64, &mut [u8]) -> std::result::Result<(), Missing>,
    ) -> Result {
        if self.json {
            write!(
                output,
                "{{\n  \"start\": \"{}\",\n  \"bytes\": \"",
                Hex(span.first)
            )?;
        }
        let mut size = 0;
        let mut chunk = vec![0; CHUNK];
        let mut missing = None;
        for at in (span.first..=span.last).step_by(CHUNK) {
            let beyond = usize::try_from(span.last - at).unwrap_or(CHUNK);
            // Saturating only far above a chunk.
            let len = CHUNK.min(beyond.saturating_add(1));
            chunk.truncate(len);
            while !chunk.is_empty()
                && let Err(why) = read(at, &mut chunk)
            {
                // What is before the missing byte can be read; it is less each time.
                let before = usize::try_from(why.at.abs_diff(at)).ok();
                chunk.truncate(before.filter(|len| *len < chunk.len()).unwrap_or(0));
                missing = Some(why);
            }
            size += chunk.len() as u64;
            match (self.raw, self.json) {
                (true, _) => output.write_all(&chunk)?,
                (_, true) => chunk
                    .iter()
                    .try_for_each(|byte| write!(output, "{byte:02x}"))?,
                _ => rows(at, &chunk, Hex(span.last).to_string().len(), output)?,
            }
            if missing.is_some() {
                break;
            }
        }
        if self.json {
            let missing = missing.as_ref().map_or_else(
                || "null".to_owned(),
                |missing| format!("\"{}\"", Hex(missing.at)),
            );
            writeln!(
                output,
                "\",\n  \"size\": {size},\n  \"missing\": {missing}\n}}"
            )?;
        }
        missing.map_or(Ok(()), |missing| Err(missing.failure(&self.source.path)))
    }
}

/// The first byte that cannot be had.
struct Missing {
    at: u64,
    absence: Option<Absence>,
    why: String,
}

impl Missing {
    fn failure(self, file: &Path) -> Failure {
        Failure::absent(file, self.absence, self.why)
    }
}

impl From<MemError> for Missing {
    fn from(error: MemError) -> Self {
        Self {
            at: error.at.as_u64(),
            absence: Some(error.why),
            why: error.to_string(),
        }
    }
}

impl From<VirtError> for Missing {
    fn from(error: VirtError) -> Self {
        Self {
            at: error.at().as_u64(),
            absence: error.absence(),
            why: error.to_string(),
        }
    }
}

/// Prints a hex dump, its addresses `width` columns wide.
fn rows(at: u64, bytes: &[u8], width: usize, output: &mut Output) -> Result {
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

#[cfg(test)]
mod tests {
    use page_walk::{AnyWalker, Walker, X86_64};
    use physmem::{PhysMemory, PhysRange};

    use super::*;

    /// Memory of a file that the system refuses to read.
    struct Refused;

    impl PhysMemory for Refused {
        fn read(&self, at: PhysAddr, _: &mut [u8]) -> std::result::Result<(), MemError> {
            let why = Absence::Io { errno: 5 };
            Err(MemError { at, why })
        }

        fn next_run(&self, _: PhysAddr) -> Option<PhysRange> {
            None
        }
    }

    #[test]
    fn what_the_system_refuses_is_not_damage() {
        let at = PhysAddr::new(0x1000);
        let walker = AnyWalker::from(Walker::new(X86_64::four_level(), at));
        let mut byte = [0];
        let physical = Refused.read(at, &mut byte).unwrap_err();
        let table = kernel::read(&walker, &Refused, VirtAddr::new(0), &mut byte).unwrap_err();
        let page = VirtError::Memory {
            virt: VirtAddr::new(0),
            source: physical,
        };
        for missing in [physical.into(), table.into(), Missing::from(page)] {
            let failure = missing.failure("vmcore".as_ref());
            assert!(matches!(failure, Failure::System(_)), "{failure:?}");
        }
        let lost = MemError {
            at,
            why: Absence::Lost,
        };
        let failure = Missing::from(lost).failure("vmcore".as_ref());
        assert!(matches!(failure, Failure::Input(_)), "{failure:?}");
    }
}
