//! Standard output, and files that appear only when they are complete.
//!
//! ```text
//!   text     aligned; headings bold on a terminal, unless NO_COLOR says otherwise
//!   --json   one object; addresses and flag words "0x…", counts and sizes integers
//!   a file   .NAME.PID.part beside it ── complete ──▶ NAME
//!                                     └─ error, Ctrl-C ──▶ removed
//!   -        standard output
//! ```

use std::{
    cell::Cell,
    env,
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
    low_level::emulate_default_handler,
};

use crate::failure::{Failure, Result};

/// Buffered standard output.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    styled: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let out = io::stdout().lock();
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            styled: out.is_terminal() && !no_color && !dumb,
            out: BufWriter::new(out),
        }
    }

    /// Whether colours are welcome: a terminal, and nobody has said otherwise.
    pub(crate) fn is_styled(&self) -> bool {
        self.styled
    }

    /// `text` as a heading.
    pub(crate) fn heading(&self, text: &str) -> String {
        if self.styled {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// One object for programs.
    pub(crate) fn json(&mut self, object: &impl Serialize) -> Result {
        serde_json::to_writer_pretty(Escaping(&mut self.out), object)?;
        Ok(writeln!(self.out)?)
    }

    /// One object on one line, for answers that come by the thousand.
    pub(crate) fn json_line(&mut self, object: &impl Serialize) -> Result {
        serde_json::to_writer(Escaping(&mut self.out), object)?;
        Ok(writeln!(self.out)?)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// JSON that any terminal may show: DEL and the control characters behind it, which it may hold as they are, and only
/// in strings, are escaped as those before them.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        let mut rest = text;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| is_late_control(*char)) {
            let (before, from) = rest.split_at(at);
            self.0.write_all(before.as_bytes())?;
            write!(self.0, "\\u{:04x}", u32::from(char))?;
            rest = from.strip_prefix(char).unwrap_or_default();
        }
        self.0.write_all(rest.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn is_late_control(char: char) -> bool {
    char >= '\x7f' && char.is_control()
}

/// An address or a flag word: `0x…`, lower-case, no padding; in JSON a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hex(pub(crate) u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:#x}", self.0))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes as JSON can hold them: what is not UTF-8 is escaped.
pub(crate) fn text(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    let piece = |chunk: std::str::Utf8Chunk<'_>| {
        chunk.valid().to_owned() + &chunk.invalid().escape_ascii().to_string()
    };
    chunks.map(piece).collect()
}

/// `1 page`, `2 pages`.
pub(crate) fn count<N: fmt::Display + PartialEq + From<u8>>(number: N, what: &str) -> String {
    let s = if number == N::from(1) { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// Bytes as people say them: `191.98 MiB`, rounded down.
pub(crate) fn binary_size(bytes: u128) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let fits = UNITS
        .iter()
        .zip(1..)
        .take_while(|(_, power)| bytes >> (10 * power) > 0);
    match fits.last() {
        None => count(bytes, "byte"),
        Some((unit, power)) => {
            let whole = bytes >> (10 * power);
            let hundredths = ((bytes - (whole << (10 * power))) * 100) >> (10 * power);
            format!("{whole}.{hundredths:02} {unit}")
        }
    }
}

/// Seconds since 1970 as a date, or as they are where the calendar does not reach.
pub(crate) fn utc(seconds: u64) -> String {
    let date = i64::try_from(seconds).ok();
    let date = date.and_then(|seconds| Timestamp::from_second(seconds).ok());
    date.map_or_else(
        || format!("{seconds} seconds after 1970"),
        |date| date.to_string(),
    )
}

/// Names and values in the order given: an object in JSON.
#[derive(Debug)]
pub(crate) struct Pairs<K, V>(pub(crate) Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A list that is written as its items are found, once.
pub(crate) struct Each<I>(Cell<Option<I>>);

impl<I> Each<I> {
    pub(crate) fn new(items: I) -> Self {
        Self(Cell::new(Some(items)))
    }
}

impl<I: Iterator<Item: Serialize>> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}

/// Writes the file `target` through `write`, so that nobody ever sees half of it; `-` is standard
/// output.
pub(crate) fn write_file(
    target: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result {
    if target.as_os_str() == "-" {
        let out = io::stdout().as_fd().try_clone_to_owned();
        return out
            .and_then(|out| write_through(out.into(), write))
            .map_err(Failure::from);
    }
    let refused = |error: io::Error| Failure::system(target, error);
    let before = match fs::metadata(target) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(refused(error)),
    };
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        // A device or a pipe cannot be replaced.
        let out = OpenOptions::new().write(true).open(target);
        let written = out.and_then(|out| write_through(out, write));
        return written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => refused(error),
        });
    }

    let target = followed(target);
    let refused = |error: io::Error| Failure::system(&target, error);
    let mut part = Part::create(&target).map_err(refused)?;
    if let Some(before) = before {
        part.out
            .get_ref()
            .set_permissions(before.permissions())
            .map_err(refused)?;
    }
    let written = write(&mut part).and_then(|()| part.flush());
    if let Some(signal) = caught() {
        // Dropping it first takes the file away; then the signal does what it would have done.
        drop(part);
        let _ = emulate_default_handler(signal);
        return Err(Failure::Reported);
    }
    written
        .and_then(|()| part.complete(&target))
        .map_err(refused)
}

fn write_through(
    out: File,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    write(&mut out)?;
    out.flush()
}

/// Where links lead, so that what is there or will be there is replaced and not a link.
fn followed(target: &Path) -> PathBuf {
    let mut path = target.to_path_buf();
    // Ends: the system looked at the path before and refuses links that lead in a circle.
    while let Ok(next) = fs::read_link(&path) {
        path = path.parent().map_or(next.clone(), |from| from.join(next));
    }
    path
}

/// The file beside the target; removed when dropped before it is complete.
struct Part {
    path: Option<PathBuf>,
    out: BufWriter<File>,
}

/// The signal that came since the first file was created, 0 for none.
static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Has the write fail that passes the limit of a file's size, which SIGXFSZ would end the program for.
pub(crate) fn outlive_limit() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// Has SIGHUP, SIGINT and SIGTERM noted from now on instead of ending the program.
fn catch_signals() -> io::Result<()> {
    if SIGNAL.get().is_none() {
        let signal = SIGNAL.get_or_init(Arc::default);
        let ignored = ignored_signals();
        for number in [SIGHUP, SIGINT, SIGTERM] {
            if ignored >> (number - 1) & 1 == 0 {
                flag::register_usize(number, Arc::clone(signal), number.unsigned_abs() as usize)?;
            }
        }
    }
    Ok(())
}

/// The signals that we were started to ignore, as nohup does, from the lowest bit on; std cannot tell.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn caught() -> Option<i32> {
    let number = SIGNAL.get()?.load(Ordering::Relaxed);
    i32::try_from(number).ok().filter(|&number| number != 0)
}

impl Part {
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut part = OsString::from(".");
        part.push(name);
        part.push(format!(".{}.part", process::id()));
        let path = target.with_file_name(part);

        catch_signals()?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            path: Some(path),
            out: BufWriter::new(file),
        })
    }

    fn complete(mut self, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match caught() {
            Some(_) => Err(io::Error::other("interrupted")),
            None => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may be gone already; there is nothing else to do about it.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let directory = env::temp_dir().join(format!("kscope-output-{}-{name}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_file_appears_when_it_is_complete_and_not_before() {
        let directory = directory("complete");
        let target = directory.join("out");
        fs::write(&target, "old").unwrap();
        write_file(&target, |out| {
            out.write_all(b"new")?;
            out.flush()?;
            assert_eq!(fs::read(&target)?, b"old");
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);

        let failed = write_file(&target, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no"))
        });
        assert!(matches!(failed, Err(Failure::System(_))));
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let directory = directory("link");
        let (target, link) = (directory.join("out"), directory.join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink("out", &link).unwrap();
        write_file(&link, |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");

        // Where a link leads nothing need be yet; in a circle nothing can be.
        fs::remove_file(&target).unwrap();
        write_file(&link, |out| out.write_all(b"newer")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"newer");
        fs::remove_file(&target).unwrap();
        std::os::unix::fs::symlink("link", &target).unwrap();
        let circle = write_file(&link, |out| out.write_all(b"newest"));
        assert!(matches!(circle, Err(Failure::System(_))));
        fs::remove_dir_all(directory).unwrap();

        write_file(Path::new("/dev/null"), |out| out.write_all(b"new")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn sizes_are_rounded_down_in_the_largest_unit_that_fits() {
        assert_eq!(binary_size(1), "1 byte");
        assert_eq!(binary_size(1023), "1023 bytes");
        assert_eq!(binary_size(1024), "1.00 KiB");
        assert_eq!(binary_size(201_310_208), "191.98 MiB");
        assert_eq!(binary_size(1 << 64), "16.00 EiB");
    }

    #[test]
    fn json_has_no_control_characters() {
        let mut out = Vec::new();
        let hostile = "a\x1b[31m\u{9b}31m\x7f\u{80}\u{9f}\u{a0}ä\n";
        serde_json::to_writer(Escaping(&mut out), hostile).unwrap();
        assert_eq!(
            str::from_utf8(&out),
            Ok("\"a\\u001b[31m\\u009b31m\\u007f\\u0080\\u009f\u{a0}ä\\n\"")
        );
        let read: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(read, hostile);
    }

    #[test]
    fn one_has_no_plural() {
        let words = [0_u64, 1, 2].map(|number| count(number, "page"));
        assert_eq!(words, ["0 pages", "1 page", "2 pages"]);
    }

    #[test]
    fn dates_are_those_of_date_u() {
        // `date -u -d @SECONDS +%FT%TZ`
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(1_795_391_635), "2026-11-22T23:53:55Z");
        assert_eq!(utc(u64::MAX), "18446744073709551615 seconds after 1970");
    }

    #[test]
    fn hex_has_no_padding_and_can_be_aligned() {
        assert_eq!(serde_json::to_string(&Hex(0xABC)).unwrap(), "\"0xabc\"");
        assert_eq!(
            format!("[{:>6}] [{:<6}] {}", Hex(0xf), Hex(0), Hex(u64::MAX)),
            "[   0xf] [0x0   ] 0xffffffffffffffff"
        );
    }
}
