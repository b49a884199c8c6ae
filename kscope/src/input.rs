//! Where bytes come from: a mapped file, a file that is read, or whatever comes through a pipe.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    ops::Range,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use vmcore_format::{
    ReadAt,
    source::{FileSource, ReadError},
};

use crate::{
    dump::told::Told,
    failure::{Failure, Result},
    mapped::Mapped,
    output::binary_size,
};

/// How much of what comes through a pipe is read before it is known what it is.
const BEGINNING: u64 = 1 << 16;

/// Most bytes of what comes through a pipe or from a device, all of which is held in memory: more than any kernel
/// with all of its debugging symbols. A bigger dump has to be a file.
const HELD_MAX: u64 = 1 << 30;

/// How many bytes a line of a list may have: 50,000 addresses, and the end of what has no line ends.
const LINE_MAX: u64 = 1 << 20;

/// A file to look at, as the command line names it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Source {
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,

    /// Read the file instead of mapping it, for a file that may shrink meanwhile
    #[arg(long)]
    no_mmap: bool,

    /// Another part of the same split dump, in any order; may be given several times
    #[arg(long = "part", value_name = "PART")]
    parts: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) told: Told,
}

impl Source {
    pub(crate) fn new(path: PathBuf, no_mmap: bool) -> Self {
        Self {
            path,
            no_mmap,
            parts: Vec::new(),
            told: Told::default(),
        }
    }

    /// Each of several files by itself; one if it is no split dump.
    pub(crate) fn files(&self) -> impl Iterator<Item = Self> {
        let paths = std::iter::once(&self.path).chain(&self.parts);
        paths.map(|path| Self::new(path.clone(), self.no_mmap))
    }

    pub(crate) fn open(&self) -> Result<Input> {
        self.open_if(|_| Ok(()))
    }

    /// Opens what `check` lets pass: it is shown the beginning of what has no size.
    pub(crate) fn open_if(&self, check: impl FnOnce(&[u8]) -> Result) -> Result<Input> {
        self.open_with(0..u64::MAX, check).map(|(input, _)| input)
    }

    /// Opens it, and of what has no size no more than `len` bytes.
    pub(crate) fn open_start(&self, len: u64) -> Result<Input> {
        self.open_part(0..len).map(|(input, _)| input)
    }

    /// Opens it, and of what has no size no more than `part`; where in the file that begins which was opened.
    pub(crate) fn open_part(&self, part: Range<u64>) -> Result<(Input, u64)> {
        self.open_with(part, |_| Ok(()))
    }

    fn open_with(
        &self,
        part: Range<u64>,
        check: impl FnOnce(&[u8]) -> Result,
    ) -> Result<(Input, u64)> {
        let refused = |error| Failure::system(&self.path, error);
        let mut file = open(&self.path).map_err(refused)?;
        if is_whole(&mut file).map_err(refused)? {
            let input = Input::new(file, !self.no_mmap).map_err(refused)?;
            return Ok((input, 0));
        }
        skip(&mut file, part.start).map_err(refused)?;
        let len = part.end.saturating_sub(part.start);
        let bytes = self.hold(file.take(len), HELD_MAX, check)?;
        Ok((Input::Bytes(bytes), part.start))
    }

    /// All of what has no size, and may not end: it must within `max` bytes.
    fn hold(
        &self,
        file: impl Read,
        max: u64,
        check: impl FnOnce(&[u8]) -> Result,
    ) -> Result<Vec<u8>> {
        let refused = |error| Failure::system(&self.path, error);
        let mut bytes = Vec::new();
        let mut file = file.take(max.saturating_add(1));
        let mut beginning = file.by_ref().take(BEGINNING);
        beginning.read_to_end(&mut bytes).map_err(refused)?;
        check(&bytes)?;
        file.read_to_end(&mut bytes).map_err(refused)?;
        if bytes.len() as u64 > max {
            let max = binary_size(max.into());
            let why =
                format_args!("more than {max} come without a size: save them to a file first");
            return Err(Failure::input(&self.path, why));
        }
        Ok(bytes)
    }

    /// What the file begins with; a pipe was read, and would block whoever opens it again.
    pub(crate) fn beginning(&self) -> Option<Vec<u8>> {
        self.metadata().ok().filter(fs::Metadata::is_file)?;
        let input = self.open().ok()?;
        let mut bytes = vec![0; usize::try_from(input.size().min(BEGINNING)).ok()?];
        input.read_exact_at(0, &mut bytes).ok()?;
        Some(bytes)
    }

    /// What it is, without opening it: a pipe would end.
    fn metadata(&self) -> io::Result<fs::Metadata> {
        if self.is_stdin() {
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            stdin.and_then(|stdin| File::from(stdin).metadata())
        } else {
            fs::metadata(&self.path)
        }
    }

    pub(crate) fn is_stdin(&self) -> bool {
        is_stdin(&self.path)
    }

    /// Refuses standard input for two things at once: what the file is made of, and so many `others`.
    pub(crate) fn check_stdin(&self, others: usize) -> Result {
        let parts = self.files().filter(Self::is_stdin).count();
        let told = self.told.vmcoreinfo.as_deref().is_some_and(is_stdin);
        if parts + usize::from(told) + others > 1 {
            return Err(Failure::Usage(
                "standard input cannot be two things".to_owned(),
            ));
        }
        Ok(())
    }

    /// Refuses `out` if that is the file itself, also by another name.
    pub(crate) fn refuse_as_target(&self, out: &Path) -> Result {
        // Whatever else is wrong with either is told by who opens it.
        let (Ok(here), Ok(there)) = (self.metadata(), fs::metadata(out)) else {
            return Ok(());
        };
        let same = (here.dev(), here.ino()) == (there.dev(), there.ino());
        if same && here.is_file() {
            let why = "this is the input, too: write to another file";
            return Err(Failure::Usage(format!("{}: {why}", out.display())));
        }
        Ok(())
    }
}

/// A dump, as commands name it that take nothing else: its parts may simply follow.
#[derive(Debug, clap::Args)]
pub(crate) struct Sources {
    #[command(flatten)]
    source: Source,

    /// Further parts of a split dump, in any order, as with --part
    #[arg(value_name = "PART")]
    more: Vec<PathBuf>,
}

impl Sources {
    /// All of them as one.
    pub(crate) fn source(&self) -> Source {
        Source {
            parts: [self.source.parts.as_slice(), &self.more].concat(),
            ..self.source.clone()
        }
    }
}

/// The file, or standard input as one, so that what was redirected from a file can be mapped.
fn open(path: &Path) -> io::Result<File> {
    if is_stdin(path) {
        Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
    } else {
        File::open(path)
    }
}

/// Whether the file has a size and is at its beginning, so that any of its bytes can be had at any time.
fn is_whole(file: &mut File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // Files of proc have a size of 0 whatever they hold; what is half read already (standard
    // input) and what comes through a pipe has no beginning to go back to.
    Ok(metadata.is_file() && metadata.len() > 0 && file.stream_position()? == 0)
}

/// Goes on so many bytes behind where the file is, a pipe by reading them.
fn skip(file: &mut File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let forth = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    match file.seek(SeekFrom::Current(forth)) {
        Err(error) if error.kind() == io::ErrorKind::NotSeekable => {
            io::copy(&mut file.take(bytes), &mut io::sink()).map(drop)
        }
        sought => sought.map(drop),
    }
}

pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The lines of a list, numbered from 1.
pub(crate) fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(u64, String)>>> {
    let file = open(path).map_err(|error| Failure::system(path, error))?;
    let mut file = BufReader::new(file);
    Ok((1..).map_while(move |number| {
        let mut line = Vec::new();
        let bad = |why| Err(Failure::input(path, format_args!("line {number}: {why}")));
        match file.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.len() as u64 == LINE_MAX => Some(bad("no end within 1 MiB")),
            Ok(_) => Some(match String::from_utf8(line) {
                Ok(line) => Ok((number, line)),
                Err(_) => bad("not UTF-8"),
            }),
            Err(error) => Some(Err(Failure::system(path, error))),
        }
    }))
}

/// The bytes of a file.
pub(crate) enum Input {
    Mapped(Mapped),
    File(FileSource),
    Bytes(Vec<u8>),
}

impl Input {
    fn new(file: File, map: bool) -> io::Result<Self> {
        // Files of sysfs can be read and not mapped.
        match map.then(|| Mapped::new(&file)) {
            Some(Ok(mapped)) => Ok(Self::Mapped(mapped)),
            _ => FileSource::new(file).map(Self::File),
        }
    }

    /// All of it at once.
    pub(crate) fn bytes(&self, path: &Path) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Mapped(mapped) => Ok(Cow::Borrowed(mapped)),
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::File(file) => {
                let size = usize::try_from(file.size()).unwrap_or(usize::MAX);
                let mut bytes = Vec::new();
                // A sparse file is as large as it likes.
                bytes
                    .try_reserve_exact(size)
                    .map_err(|error| Failure::system(path, error))?;
                bytes.resize(size, 0);
                file.read_exact_at(0, &mut bytes)
                    .map_err(|error| Failure::read(path, error))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

impl ReadAt for Input {
    fn size(&self) -> u64 {
        match self {
            Self::Mapped(mapped) => mapped.size(),
            Self::File(file) => file.size(),
            Self::Bytes(bytes) => bytes.size(),
        }
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> std::result::Result<(), ReadError> {
        match self {
            Self::Mapped(mapped) => mapped.read_exact_at(offset, out),
            Self::File(file) => file.read_exact_at(offset, out),
            Self::Bytes(bytes) => bytes.read_exact_at(offset, out),
        }
    }

    #[inline]
    fn lend_at(&self, offset: u64, len: usize) -> Option<&[u8]> {
        match self {
            Self::Mapped(mapped) => mapped.lend_at(offset, len),
            Self::File(file) => file.lend_at(offset, len),
            Self::Bytes(bytes) => bytes.lend_at(offset, len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_up_to_the_limit() {
        let source = Source::new("endless".into(), false);
        let hold = |bytes, max| {
            let mut shown = 0;
            let check = |beginning: &[u8]| {
                shown = beginning.len() as u64;
                Ok(())
            };
            (source.hold(io::repeat(0).take(bytes), max, check), shown)
        };
        let max = 1 << 20;
        let (held, shown) = hold(max, max);
        assert!(held.is_ok_and(|bytes| bytes.len() as u64 == max));
        assert_eq!(shown, BEGINNING);
        let (Err(Failure::Input(message)), _) = hold(u64::MAX, max) else {
            unreachable!("there are more");
        };
        let why = "more than 1.00 MiB come without a size: save them to a file first";
        assert_eq!(message, format!("endless: {why}"));
    }
}
