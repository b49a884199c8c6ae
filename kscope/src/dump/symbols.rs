//! `kscope dump symbols`: the kernel's own symbols.
//!
//! ```text
//! ffffffffa791ffe0 D linux_banner                    ADDRESS TYPE NAME, as /proc/kallsyms has them
//! ffffffffa791ffe8 linux_banner+0x8/0x1c17c0            ADDR NAME+OFFSET/SIZE, as the kernel's %pS prints it
//! ```

use std::io::Write;

use physmem::VirtAddr;
use serde::Serialize;
use vmcore_format::{
    Reader,
    kernel::kallsyms::{Found, Kallsyms, Symbol},
};

use super::{Opened, address::address};
use crate::{
    failure::{Failure, Result},
    input::{Input, Source},
    output::{Hex, Output, text},
};

/// The kernel's own symbols, from the kallsyms tables in the dump
///
/// All of them, as /proc/kallsyms lists them; or those of a name; or the one that an address lies in.
/// A name or an address that is not found is status 1. Symbols of modules are not in these tables, and
/// kernels before 6.0 do not tell where the tables are.
#[derive(Debug, clap::Args)]
pub(crate) struct Symbols {
    #[command(flatten)]
    source: Source,

    /// A symbol's name, or an address in hexadecimal: with 0x, or its 8 or 16 digits as /proc/kallsyms has them
    #[arg(value_name = "NAME|ADDR")]
    asked: Option<String>,

    /// One JSON object a symbol, each on a line, instead of text
    #[arg(long)]
    json: bool,
}

type Tables<'d> = Kallsyms<'d, Reader<'d, Input>>;

impl Symbols {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        self.source.with_dump(|dump| self.tell(dump, output))
    }

    fn tell(&self, dump: &Opened, output: &mut Output) -> Result {
        let memory = dump.reader();
        let (info, virt) = self.source.inside(dump, &memory)?;
        let tables = Kallsyms::new(&info, virt).map_err(|error| self.source.failure(error))?;
        match &self.asked {
            None => self.list(&tables, |_| true, output).map(|_| ()),
            Some(asked) if is_address(asked) => {
                let at = address(asked).map_err(Failure::Usage)?;
                self.at(&tables, VirtAddr::new(at), output)
            }
            Some(name) => {
                let is_asked = |symbol: &Symbol| symbol.name == name.as_bytes();
                match self.list(&tables, is_asked, output)? {
                    0 => self.not_found(format_args!("no symbol is named `{name}`")),
                    _ => Ok(()),
                }
            }
        }
    }

    fn list(
        &self,
        tables: &Tables<'_>,
        is_asked: impl Fn(&Symbol) -> bool,
        output: &mut Output,
    ) -> Result<u64> {
        let mut listed = 0;
        for symbol in tables.symbols() {
            let symbol = symbol.map_err(|error| self.source.failure(error))?;
            if !is_asked(&symbol) {
                continue;
            }
            listed += 1;
            if self.json {
                output.json_line(&Line::from(&symbol))?;
                continue;
            }
            let Symbol {
                address,
                kind,
                name,
            } = &symbol;
            let (kind, name) = (kind.escape_ascii(), name.escape_ascii());
            writeln!(output, "{:016x} {kind} {name}", address.as_u64())?;
        }
        Ok(listed)
    }

    fn at(&self, tables: &Tables<'_>, at: VirtAddr, output: &mut Output) -> Result {
        let found = tables.at(at).map_err(|error| self.source.failure(error))?;
        let Some(found) = found else {
            return self.not_found(format_args!("no symbol of the kernel holds {at}"));
        };
        if self.json {
            return output.json_line(&Line::from(&found));
        }
        let Found {
            symbol,
            offset,
            size,
        } = &found;
        let name = symbol.name.escape_ascii();
        write!(output, "{:016x} {name}+{offset:#x}", at.as_u64())?;
        match size {
            Some(size) => writeln!(output, "/{size:#x}")?,
            None => writeln!(output)?,
        }
        Ok(())
    }

    fn not_found(&self, why: std::fmt::Arguments<'_>) -> Result {
        Err(Failure::input(&self.source.path, why))
    }
}

/// Whether it is an address and no name: no symbol of Linux is eight hexadecimal digits, or sixteen.
fn is_address(asked: &str) -> bool {
    let is_hexadecimal = asked.bytes().all(|byte| byte.is_ascii_hexdigit());
    asked.starts_with("0x")
        || asked.starts_with("0X")
        || is_hexadecimal && matches!(asked.len(), 8 | 16)
}

#[derive(Serialize)]
struct Line {
    address: Hex,
    r#type: String,
    name: String,
    offset: Option<u64>,
    size: Option<u64>,
}

impl From<&Symbol> for Line {
    fn from(symbol: &Symbol) -> Self {
        Self {
            address: Hex(symbol.address.as_u64()),
            r#type: text(&[symbol.kind]),
            name: text(&symbol.name),
            offset: None,
            size: None,
        }
    }
}

impl From<&Found> for Line {
    fn from(found: &Found) -> Self {
        Self {
            offset: Some(found.offset),
            size: found.size,
            ..Self::from(&found.symbol)
        }
    }
}
