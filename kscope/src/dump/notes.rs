//! `kscope dump notes`: the ELF notes.

use std::{fmt, io::Write};

use elf_format::{CpuState, DeviceDump, Encoding, NoteType, qemu_cpu, xen};
use serde::Serialize;
use vmcore_format::eraseinfo::Erasure;

use super::Opened;
use crate::{
    failure::{OneLine, Result},
    input::Sources,
    output::{Hex, Output, Pairs, text},
};

/// The ELF notes: type, name, size and place, and what was erased
///
/// In the order of the file. Under a note of QEMU's or Xen's stand the registers and numbers in it, and at the end what
/// `makedumpfile --config` erased, if the dump says so. At a note that is damaged the list ends, and the exit status is 1.
#[derive(Debug, clap::Args)]
pub(crate) struct Notes {
    #[command(flatten)]
    files: Sources,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Notes {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let source = self.files.source();
        source.with_dump(|dump| {
            let (notes, damage) = list(dump);
            let (erased, broken) = erased(dump);
            if self.json {
                output.json(&Answer { notes, erased })?;
            } else {
                print(&notes, true, output)?;
                for line in &erased {
                    writeln!(output, "{line}")?;
                }
            }
            // A damaged note damages both.
            let damage = damage.or(broken);
            damage.map_or(Ok(()), |error| Err(source.failure(error)))
        })
    }
}

#[derive(Serialize)]
struct Answer {
    notes: Vec<Note>,
    erased: Vec<Erased>,
}

/// Data that is no more what the kernel had.
#[derive(Serialize)]
struct Erased {
    what: String,
    /// All of it, if not told.
    bytes: Option<u64>,
}

impl fmt::Display for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = OneLine(&self.what);
        match self.bytes {
            Some(bytes) => write!(f, "erased  {what}  {bytes} bytes"),
            None => write!(f, "erased  {what}"),
        }
    }
}

/// What was erased, up to what is damaged.
fn erased(dump: &Opened) -> (Vec<Erased>, Option<vmcore_format::Error>) {
    let mut erased = Vec::new();
    for text in dump.eraseinfo() {
        let text = match text {
            Ok(text) => text,
            Err(error) => return (erased, Some(error)),
        };
        for erasure in text.erasures() {
            match erasure {
                Ok(Erasure { what, bytes }) => erased.push(Erased {
                    what: what.to_owned(),
                    bytes,
                }),
                Err(error) => return (erased, Some(error)),
            }
        }
    }
    (erased, None)
}

/// What is told about a note.
#[derive(Debug, Serialize)]
pub(super) struct Note {
    name: String,
    r#type: u32,
    type_name: Option<&'static str>,
    size: usize,
    offset: u64,
    /// The device of a device dump.
    device: Option<String>,
    /// Registers and numbers of a note of QEMU's or Xen's.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Pairs<&'static str, Hex>>,
}

/// The notes up to one that is damaged.
pub(super) fn list(dump: &Opened) -> (Vec<Note>, Option<vmcore_format::Error>) {
    let mut notes = Vec::new();
    for note in dump.notes() {
        match note {
            Ok(note) => notes.push(Note::new(&note, dump.encoding())),
            Err(error) => return (notes, Some(error)),
        }
    }
    (notes, None)
}

impl Note {
    fn new(note: &elf_format::Note<'_>, encoding: Encoding) -> Self {
        Self {
            name: text(note.name),
            r#type: note.kind.0,
            type_name: note.type_name(),
            size: note.desc.len(),
            offset: note.offset,
            device: device(note),
            fields: fields(note, encoding).map(Pairs),
        }
    }
}

/// Which device a driver saved, if that is what the note is.
fn device(note: &elf_format::Note<'_>) -> Option<String> {
    if (note.name, note.kind) != (b"LINUX", NoteType::VMCOREDD) {
        return None;
    }
    let dump = DeviceDump::parse(note.desc, note.desc_offset).ok()?;
    Some(text(dump.name))
}

/// What is in a note, if it has a form that is known and is not broken.
fn fields(note: &elf_format::Note<'_>, encoding: Encoding) -> Option<Vec<(&'static str, Hex)>> {
    let hex = |(name, value)| (name, Hex(value));
    match (note.name, note.kind) {
        (qemu_cpu::NOTE_NAME, NoteType(0)) => {
            let state = CpuState::parse(note.desc, note.desc_offset).ok()?;
            Some(state.registers().map(hex).collect())
        }
        (xen::NOTE_NAME, NoteType::XEN_CRASH_INFO) => {
            let info = xen::CrashInfo::parse(note.desc, encoding, note.desc_offset).ok()?;
            Some(info.fields().map(hex).collect())
        }
        (xen::NOTE_NAME, NoteType::XEN_CRASH_REGS) => {
            let registers = xen::CrashRegisters::parse(note.desc, encoding, note.desc_offset);
            Some(registers.ok()?.registers().map(hex).collect())
        }
        _ => None,
    }
}

/// The notes as a table, with the fields of each if asked for.
pub(super) fn print(notes: &[Note], with_fields: bool, output: &mut Output) -> Result {
    let heading = format!(
        "{:>12} {:>10} {:>12}  {:<12}  what",
        "offset", "bytes", "type", "name"
    );
    let heading = output.heading(&heading);
    writeln!(output, "{heading}")?;
    for note in notes {
        let (offset, number) = (Hex(note.offset), Hex(note.r#type.into()));
        let (name, size) = (OneLine(&note.name).to_string(), note.size);
        let kind = note.type_name.unwrap_or("-");
        let what = match &note.device {
            Some(device) => format!("{kind}: {}", OneLine(device)),
            None => kind.to_owned(),
        };
        writeln!(
            output,
            "{offset:>12} {size:>10} {number:>12}  {name:<12}  {what}"
        )?;
        for (name, value) in note.fields.iter().flat_map(|fields| &fields.0) {
            if with_fields {
                writeln!(output, "{name:>36} {value}")?;
            }
        }
    }
    Ok(())
}
