//! `kscope dump notes`: the ELF notes.

use std::io::Write;

use elf_format::{DeviceDump, NoteType};
use serde::Serialize;

use super::Opened;
use crate::{
    failure::Result,
    input::Sources,
    output::{Hex, Output},
};

/// The ELF notes: type, name, size and place
///
/// In the order of the file. At a note that is damaged the list ends, and the exit status is 1.
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
            if self.json {
                output.json(&Answer { notes })?;
            } else {
                print(&notes, output)?;
            }
            damage.map_or(Ok(()), |error| Err(source.failure(error)))
        })
    }
}

#[derive(Serialize)]
struct Answer {
    notes: Vec<Note>,
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
}

/// The notes up to one that is damaged.
pub(super) fn list(dump: &Opened) -> (Vec<Note>, Option<vmcore_format::Error>) {
    let mut notes = Vec::new();
    for note in dump.notes() {
        match note {
            Ok(note) => notes.push(Note::new(&note)),
            Err(error) => return (notes, Some(error)),
        }
    }
    (notes, None)
}

impl Note {
    fn new(note: &elf_format::Note<'_>) -> Self {
        Self {
            name: note.name.escape_ascii().to_string(),
            r#type: note.kind.0,
            type_name: note.type_name(),
            size: note.desc.len(),
            offset: note.offset,
            device: device(note),
        }
    }
}

/// Which device a driver saved, if that is what the note is.
fn device(note: &elf_format::Note<'_>) -> Option<String> {
    if (note.name, note.kind) != (b"LINUX", NoteType::VMCOREDD) {
        return None;
    }
    let dump = DeviceDump::parse(note.desc, note.desc_offset).ok()?;
    Some(dump.name.escape_ascii().to_string())
}

/// The notes as a table.
pub(super) fn print(notes: &[Note], output: &mut Output) -> Result {
    let heading = format!(
        "{:>12} {:>10} {:>12}  {:<12}  what",
        "offset", "bytes", "type", "name"
    );
    let heading = output.heading(&heading);
    writeln!(output, "{heading}")?;
    for note in notes {
        let (offset, number) = (Hex(note.offset), Hex(note.r#type.into()));
        let (name, size) = (&note.name, note.size);
        let kind = note.type_name.unwrap_or("-");
        let what = match &note.device {
            Some(device) => format!("{kind}: {device}"),
            None => kind.to_owned(),
        };
        writeln!(
            output,
            "{offset:>12} {size:>10} {number:>12}  {name:<12}  {what}"
        )?;
    }
    Ok(())
}
