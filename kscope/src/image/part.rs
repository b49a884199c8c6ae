//! `kscope image parts` and `extract`: what can be taken out, and taking it out.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use bootimg::decompress::{Native, Stream};
use serde::Serialize;

use super::{DECOMPRESSED_MAX, Subject, View, compression_name};
use crate::{
    failure::{Failure, Result, notice},
    input::Source,
    output::{Hex, Output, write_file},
};

/// A file that is one image, where dumps may have several parts.
#[derive(Debug, clap::Args)]
struct Image {
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    path: PathBuf,

    /// Read the file instead of mapping it, for a file that may shrink meanwhile
    #[arg(long)]
    no_mmap: bool,
}

impl Image {
    fn source(&self) -> Source {
        Source::new(self.path.clone(), self.no_mmap)
    }
}

/// List what can be taken out
///
/// One part a line: where it starts in the file, its bytes, its name, and what it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Parts {
    #[command(flatten)]
    image: Image,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Parts {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        let source = self.image.source();
        source.with_image(|subject| {
            let parts = list(&source.path, subject)?;
            if self.json {
                let parts = parts.iter().map(Listed::new).collect();
                return output.json(&Listing { parts });
            }
            for part in parts {
                let (offset, size, name) = (Hex(part.offset), part.bytes.len(), &part.name);
                let what = part.compression().unwrap_or("-");
                writeln!(output, "{offset:>12} {size:>12}  {name:<16} {what}")?;
            }
            Ok(())
        })
    }
}

#[derive(Serialize)]
struct Listing<'p> {
    parts: Vec<Listed<'p>>,
}

#[derive(Serialize)]
struct Listed<'p> {
    name: &'p str,
    offset: u64,
    size: usize,
    compression: Option<&'static str>,
}

impl<'p> Listed<'p> {
    fn new(part: &'p Part<'_>) -> Self {
        Self {
            name: &part.name,
            offset: part.offset,
            size: part.bytes.len(),
            compression: part.compression(),
        }
    }
}

/// Take a part out, by the name that `parts` gives it
///
/// A kernel whose checksum is wrong is unpacked all the same: whoever signs one makes it wrong. Standard error
/// tells. What is decompressed has at most 4 GiB, an image that comes through a pipe 1 GiB.
#[derive(Debug, clap::Args)]
pub(crate) struct Extract {
    #[command(flatten)]
    image: Image,

    /// The part
    #[arg(value_name = "PART")]
    part: String,

    /// The file to write; it appears when it is complete. `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// Decompress it
    #[arg(long)]
    decompress: bool,
}

impl Extract {
    pub(crate) fn run(&self) -> Result {
        let source = self.image.source();
        source.refuse_as_target(&self.output)?;
        source.with_image(|subject| {
            let bad = |error| Failure::image(&source.path, error);
            let parts = list(&source.path, subject)?;
            let Some(part) = parts.iter().find(|part| part.name == self.part) else {
                let why = missing(&self.part, &parts);
                return Err(Failure::input(&source.path, why));
            };
            if !self.decompress {
                return write_file(&self.output, |out| out.write_all(part.bytes));
            }
            if let View::BzImage(kernel) = &subject.view
                && let Err(error) = kernel.verify().and_then(|()| kernel.checksum().insist())
            {
                notice(&source.path, error);
            }
            let Some(stream) = part.stream else {
                let at = Hex(part.offset);
                let why = format!("offset {at}: {} is not compressed", self.part);
                return Err(Failure::input(&source.path, why));
            };
            let bytes = stream.to_vec(&mut Native, DECOMPRESSED_MAX).map_err(bad)?;
            write_file(&self.output, |out| out.write_all(&bytes))
        })
    }
}

/// What there is instead of a part, as far as a line shows it.
fn missing(part: &str, parts: &[Part<'_>]) -> String {
    const SHOWN: usize = 16;
    let names: Vec<_> = parts
        .iter()
        .take(SHOWN)
        .map(|part| part.name.as_str())
        .collect();
    let names = names.join(" ");
    match parts.len().saturating_sub(SHOWN) {
        _ if parts.is_empty() => format!("no part {part}, nor any other"),
        0 => format!("no part {part}, there are: {names}"),
        more => format!("no part {part}, there are: {names}, and {more} more"),
    }
}

/// Something inside of an image.
struct Part<'a> {
    name: String,
    offset: u64,
    bytes: &'a [u8],
    /// How it is compressed, if it is.
    stream: Option<Stream<'a>>,
}

impl<'a> Part<'a> {
    fn new(name: impl Into<String>, offset: u64, bytes: &'a [u8]) -> Self {
        Self {
            name: name.into(),
            offset,
            bytes,
            stream: Stream::of(bytes).map(|stream| Stream { offset, ..stream }),
        }
    }

    fn compression(&self) -> Option<&'static str> {
        self.stream
            .map(|stream| compression_name(stream.compression))
    }
}

/// What there is; a segment of which the file lacks bytes is told, and left out.
fn list<'a>(path: &Path, subject: &Subject<'a>) -> Result<Vec<Part<'a>>> {
    let bad = |error| Failure::image(path, error);
    let mut parts = Vec::new();
    match &subject.view {
        View::BzImage(image) => {
            let setup = image.setup();
            parts.push(Part::new("setup", 0, setup));
            parts.push(Part::new(
                "kernel",
                setup.len() as u64,
                image.protected_mode(),
            ));
            if let Some(payload) = image.payload().map_err(bad)? {
                parts.push(Part {
                    name: "payload".to_owned(),
                    offset: payload.offset(),
                    bytes: payload.bytes(),
                    stream: payload.stream(),
                });
            }
        }
        View::Uimage(image) => {
            parts.push(Part::new(
                "data",
                bootimg::uimage::SIZE as u64,
                image.data().map_err(bad)?,
            ));
            if image.header().kind.has_table() {
                for (index, part) in image.parts().map_err(bad)?.enumerate() {
                    let part = part.map_err(bad)?;
                    parts.push(Part::new(format!("image-{index}"), part.offset, part.bytes));
                }
            }
        }
        View::Elf(image) => {
            let elf = image.elf();
            for (index, segment) in elf.segments().enumerate() {
                let name = format!("segment-{index}");
                match elf.segment_data(&segment) {
                    Ok(bytes) => parts.push(Part::new(name, segment.offset, bytes)),
                    Err(error) => notice(path, format_args!("{error}: no part {name}")),
                }
            }
        }
        View::Compressed(stream) => parts.push(Part::new("payload", 0, stream.bytes)),
    }
    Ok(parts)
}
