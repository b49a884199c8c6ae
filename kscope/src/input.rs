//! Where bytes come from: a mapped file, a file that is read, or whatever comes through a pipe.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use vmcore_format::{
    ReadAt,
    source::{FileSource, ReadError},
};

use crate::{
    failure::{Failure, Result},
    mapped::Mapped,
};

/// A file to look at, as the command line names it.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) path: PathBuf,

    /// Read the file instead of mapping it, for a file that may shrink meanwhile
    #[arg(long)]
    no_mmap: bool,
}

impl Source {
    pub(crate) fn open(&self) -> Result<Input> {
        open(&self.path)
            .and_then(|file| Input::new(file, !self.no_mmap))
            .map_err(|error| Failure::system(&self.path, error))
    }

    pub(crate) fn is_stdin(&self) -> bool {
        is_stdin(&self.path)
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

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The lines of a list, numbered from 1.
pub(crate) fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(u64, String)>>> {
    let file = open(path).map_err(|error| Failure::system(path, error))?;
    Ok((1..)
        .zip(BufReader::new(file).lines())
        .map(|(number, line)| match line {
            Ok(line) => Ok((number, line)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Failure::input(
                path,
                format_args!("line {number}: not UTF-8"),
            )),
            Err(error) => Err(Failure::system(path, error)),
        }))
}

/// The bytes of a file.
pub(crate) enum Input {
    Mapped(Mapped),
    File(FileSource),
    Bytes(Vec<u8>),
}

impl Input {
    fn new(mut file: File, map: bool) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Files of proc have a size of 0 whatever they hold; what is half read already (standard
        // input) and what comes through a pipe has no beginning to go back to.
        let whole = metadata.is_file() && metadata.len() > 0 && file.stream_position()? == 0;
        if !whole {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            return Ok(Self::Bytes(bytes));
        }
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
