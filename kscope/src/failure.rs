//! What went wrong, said in one line, and the exit status that goes with it.
//!
//! ```text
//!   status  meaning                                               line on standard error
//!   0       done, or nobody reads any more (broken pipe)          -
//!   1       the input is not what was asked for, or is damaged    kscope: FILE: offset 0x…: message
//!   2       wrong usage                                           kscope: message
//!   3       the system refused                                    kscope: FILE: message
//! ```

use std::{
    fmt::{self, Display, Write as _},
    io,
    path::Path,
    process::ExitCode,
};

use physmem::Absence;
use vmcore_format::source::ReadError;

/// What ends a command early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody reads standard output any more: not an error.
    BrokenPipe,
    /// Something is wrong and was named on standard error already.
    Reported,
    /// The input is not what was asked for, or is damaged.
    Input(String),
    /// The command line asks for what makes no sense.
    Usage(String),
    /// The system refused.
    System(String),
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// `why` begins with a position if there is one, as the errors of the libraries do.
    pub(crate) fn input(file: &Path, why: impl Display) -> Self {
        Self::Input(format!("{}: {why}", file.display()))
    }

    pub(crate) fn system(file: &Path, why: impl Display) -> Self {
        Self::System(format!("{}: {why}", file.display()))
    }

    /// An image is damaged, or the system has no memory for what is in it.
    pub(crate) fn image(file: &Path, why: bootimg::Error) -> Self {
        match why {
            bootimg::Error::OutOfMemory { .. } => Self::system(file, why),
            _ => Self::input(file, why),
        }
    }

    /// A read fails because the file is too short, or because the system refuses it.
    pub(crate) fn read(file: &Path, why: ReadError) -> Self {
        match why {
            ReadError::Os { .. } => Self::system(file, why),
            ReadError::Short { .. } => Self::input(file, why),
        }
    }

    /// Memory is missing because the dump does not hold it, or because the system refuses to read it.
    pub(crate) fn absent(file: &Path, absence: Option<Absence>, why: impl Display) -> Self {
        match absence {
            Some(Absence::Io { .. }) => Self::system(file, why),
            _ => Self::input(file, why),
        }
    }

    /// Says what is to be said and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        let (status, message) = match self {
            Self::BrokenPipe => return ExitCode::SUCCESS,
            Self::Reported => return ExitCode::from(1),
            Self::Input(message) => (1, message),
            Self::Usage(message) => (2, message),
            Self::System(message) => (3, message),
        };
        say(message);
        ExitCode::from(status)
    }
}

/// Errors of standard output only: every other file has a name to tell.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::System(format!("standard output: {error}"))
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

/// Names on standard error what a command leaves out of its answer.
pub(crate) fn notice(file: &Path, what: impl Display) {
    say(&format!("{}: {what}", file.display()));
}

/// One line on standard error, whatever a file's name or content would make of it.
fn say(message: &str) {
    // If standard error cannot be written there is nobody left to tell.
    let _ = write_line(&mut io::stderr(), message);
}

/// The line in one piece: without a buffer each piece is a system call.
fn write_line(out: &mut impl io::Write, message: &str) -> io::Result<()> {
    out.write_all(format!("kscope: {}\n", OneLine(message)).as_bytes())
}

/// Text from a file or a command line, its control characters escaped byte by byte, as `dmesg` does.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() {
                let mut bytes = [0; 4];
                write!(f, "{}", c.encode_utf8(&mut bytes).as_bytes().escape_ascii())
            } else {
                f.write_char(c)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One string a write.
    struct Writes(Vec<String>);

    impl io::Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_is_written_at_once() {
        let mut writes = Writes(Vec::new());
        write_line(&mut writes, "a\nb: offset 0x0: …").unwrap();
        assert_eq!(writes.0, ["kscope: a\\nb: offset 0x0: …\n"]);
    }

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(
            OneLine("a\nb\x1b[31m\u{9b}: offset 0x0: …").to_string(),
            "a\\nb\\x1b[31m\\xc2\\x9b: offset 0x0: …"
        );
    }
}
