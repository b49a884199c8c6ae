//! `kscope image`: what is this file?
//!
//! ```text
//!   file ──► Format ──► view ──┬──► as the format's own tool prints it, JSON     describe
//!                              └──► parts ──► a file, decompressed if asked for  part
//!   files ──► uImage                                                             pack
//! ```

mod describe;
mod pack;
mod part;

use std::path::PathBuf;

use bootimg::{
    BzImage, Compression, ElfImage, Uimage,
    decompress::Stream,
    detect::Format,
    uimage::{Options, SIZE, Verify},
};

use self::describe::Unknown;
use crate::{
    failure::{Failure, Result},
    input::Source,
    output::Output,
};

/// Most bytes that a part may have when decompressed: more than any kernel or initrd that boots.
const DECOMPRESSED_MAX: usize = 4 << 30;

/// What is this file? Identify a boot image and print its header
///
/// Known are bzImages, uImages, ELF kernels, and files that are compressed as a whole. What is not all there and
/// checksums that are wrong are told on standard error, and fail the command with --verify only. An image that
/// comes through a pipe has at most 1 GiB, what is decompressed at most 4 GiB.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Image {
    #[command(subcommand)]
    command: Option<Command>,

    /// The file; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    path: Option<PathBuf>,

    // Else clap would take a second file for a subcommand.
    #[arg(hide = true)]
    others: Vec<PathBuf>,

    /// Exit status 1 if a part is missing, a checksum wrong, or what is compressed damaged
    #[arg(long)]
    verify: bool,

    /// One JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Read the file instead of mapping it, for a file that may shrink meanwhile
    #[arg(long)]
    no_mmap: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Parts(part::Parts),
    Extract(part::Extract),
    /// Make an image
    #[command(subcommand)]
    Pack(pack::Pack),
}

impl Image {
    pub(crate) fn run(&self, output: &mut Output) -> Result {
        match &self.command {
            Some(Command::Parts(parts)) => parts.run(output),
            Some(Command::Extract(extract)) => extract.run(),
            Some(Command::Pack(pack)) => pack.run(),
            None => {
                if let Some(other) = self.others.first() {
                    let why = format!("{}: one file at a time", other.display());
                    return Err(Failure::Usage(why));
                }
                // clap has seen to it that there is one.
                let path = self.path.clone().unwrap_or_default();
                let source = Source::new(path, self.no_mmap);
                let tell = |image: &Subject<'_>| describe::tell(&source.path, image, self, output);
                let Some(unknown) = source.try_image(tell)? else {
                    return Ok(());
                };
                if self.json {
                    output.json(&unknown)?;
                }
                Err(source.unknown(&unknown, self.json))
            }
        }
    }
}

/// A file, and what it is.
struct Subject<'a> {
    file: &'a [u8],
    view: View<'a>,
}

enum View<'a> {
    BzImage(BzImage<'a>),
    Uimage(Uimage<'a>),
    Elf(ElfImage<'a>),
    Compressed(Stream<'a>),
}

impl<'a> Subject<'a> {
    /// What the file is; `None` if it is nothing that is known.
    fn of(file: &'a [u8]) -> bootimg::Result<Option<Self>> {
        let lenient = Options {
            verify: Verify::None,
            ..Options::default()
        };
        let view = match Format::of(file) {
            Some(Format::BzImage) => View::BzImage(BzImage::parse(file)?),
            Some(Format::Uimage) => View::Uimage(Uimage::parse_with(file, &lenient)?),
            Some(Format::Elf) => View::Elf(ElfImage::parse(file)?),
            _ => match Stream::of(file) {
                Some(stream) => View::Compressed(stream),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { file, view }))
    }

    /// Where bytes lie that are no part of a uImage, and how many; what pads a partition of flash memory is none.
    fn behind(&self) -> Option<(usize, usize)> {
        let View::Uimage(image) = &self.view else {
            return None;
        };
        let offset = SIZE + image.data().ok()?.len();
        let rest = self.file.get(offset..)?;
        let padding = |byte: u8| rest.iter().all(|&found| found == byte);
        (!padding(0) && !padding(0xff)).then_some((offset, rest.len()))
    }
}

impl Source {
    fn with_image(&self, tell: impl FnOnce(&Subject<'_>) -> Result) -> Result {
        let unknown = self.try_image(tell)?;
        unknown.map_or(Ok(()), |unknown| Err(self.unknown(&unknown, false)))
    }

    /// The same; gives back why, where it is nothing that is known.
    fn try_image(&self, tell: impl FnOnce(&Subject<'_>) -> Result) -> Result<Option<Unknown>> {
        let mut unknown = None;
        let known = |beginning: &[u8]| {
            if Format::of(beginning).is_some() {
                return Ok(());
            }
            unknown = Some(Unknown::new(beginning));
            // Only stops the reading: the caller tells.
            Err(Failure::Reported)
        };
        let opened = self.open_if(known);
        if unknown.is_some() {
            return Ok(unknown);
        }
        let input = opened?;
        let bytes = input.bytes(&self.path)?;
        match Subject::of(&bytes) {
            Ok(Some(subject)) => tell(&subject).map(|()| None),
            Ok(None) => Ok(Some(Unknown::new(&bytes))),
            Err(error) => Err(Failure::input(&self.path, error)),
        }
    }

    fn unknown(&self, unknown: &Unknown, with_json: bool) -> Failure {
        let why = match unknown.size {
            0 => "the file is empty",
            _ if with_json => "no format that is known",
            _ => "no format that is known; `kscope image --json` tells why",
        };
        Failure::input(&self.path, format_args!("offset 0x0: {why}"))
    }
}

/// As the tool that undoes it is called: one undoes both forms of LZ4.
const fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::Lz4Legacy => Compression::Lz4.name(),
        other => other.name(),
    }
}
