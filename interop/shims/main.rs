//! The programs that libkdumpfile's tests call, over our libraries instead of libkdumpfile.
//!
//! One program under several names, as `interop/libkdumpfile_tests.py` links it. Each behaves as its namesake as far as the tests
//! look: how it is called, what it writes to standard output, its exit status. Not one of their lines is here.

mod addrxlat;
mod arguments;
mod attributes;
mod checkattr;
mod dumpdata;
mod multiread;

use std::{env, fmt, fs::File, process::ExitCode};

use vmcore_format::{Dump, source::FileSource};

/// Why a program does not end well.
enum Failure {
    /// The answer is not the one that was asked for.
    Answer(String),
    /// There is no answer: what is wrong with the dump or the command.
    Unusable(String),
}

type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Their exit statuses (automake's).
    fn status(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Answer(_) => 1,
            Self::Unusable(_) => 99,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Answer(why) | Self::Unusable(why)) = self;
        f.write_str(why)
    }
}

/// For `map_err`: there is no answer because of that.
fn unusable(why: impl fmt::Display) -> Failure {
    Failure::Unusable(why.to_string())
}

fn open(paths: &[String]) -> Result<Dump<FileSource>> {
    let mut sources = Vec::new();
    for path in paths {
        let source = File::open(path).and_then(FileSource::new);
        sources.push(source.map_err(|error| unusable(format!("{path}: {error}")))?);
    }
    Dump::open_parts(sources).map_err(unusable)
}

fn main() -> ExitCode {
    let mut words = env::args();
    let path = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let done = match path.rsplit('/').next() {
        Some("addrxlat") => addrxlat::run(&words),
        Some("checkattr") => checkattr::run(&words),
        Some("dumpdata") => dumpdata::run(&words),
        Some("multiread") => multiread::run(&words),
        _ => Err(unusable(format!("{path}: not a name of this program"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.status()
        }
    }
}
