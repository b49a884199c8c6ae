//! Standard output, and files that appear only when they are complete.
//!
//! ```text
//!   text     aligned; headings bold on a terminal, unless NO_COLOR says otherwise
//!   --json   one object; addresses and flag words "0x…", counts and sizes integers
//!   a file   .NAME.PID.part beside it ── complete ──▶ NAME
//!                                     └─ error, Ctrl-C ──▶ removed
//! ```

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::{Serialize, Serializer};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
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
        serde_json::to_writer_pretty(&mut self.out, object)?;
        Ok(writeln!(self.out)?)
    }

    /// One object on one line, for answers that come by the thousand.
    pub(crate) fn json_line(&mut self, object: &impl Serialize) -> Result {
        serde_json::to_writer(&mut self.out, object)?;
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

/// Bytes as people say them: `191.98 MiB`, rounded down.
pub(crate) fn binary_size(bytes: u128) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let fits = UNITS
        .iter()
        .zip(1..)
        .take_while(|(_, power)| bytes >> (10 * power) > 0);
    match fits.last() {
        None => format!("{bytes} bytes"),
        Some((unit, power)) => {
            let whole = bytes >> (10 * power);
            let hundredths = ((bytes - (whole << (10 * power))) * 100) >> (10 * power);
            format!("{whole}.{hundredths:02} {unit}")
        }
    }
}

/// Seconds since 1970 as a date.
pub(crate) fn utc(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    // The calendar repeats every 400 years, 146,097 days.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let length = |year: u64| if is_leap(year) { 366 } else { 365 };
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
    ] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year}-{month:02}-{:02} {hour:02}:{minute:02}:{:02} UTC",
        days + 1,
        second % 60
    )
}

/// Names and values in the order given: an object in JSON.
pub(crate) struct Pairs<K, V>(pub(crate) Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Writes the file `target` through `write`, so that nobody ever sees half of it.
pub(crate) fn write_file(
    target: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result {
    // A link is followed, so that what it points to is replaced and not the link.
    let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
    let refused = |error: io::Error| Failure::system(&target, error);
    let before = fs::metadata(&target).ok();
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        // A device or a pipe cannot be replaced.
        let mut out = BufWriter::new(
            OpenOptions::new()
                .write(true)
                .open(&target)
                .map_err(refused)?,
        );
        let written = write(&mut out).and_then(|()| out.flush());
        return written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => refused(error),
        });
    }

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

/// The file beside the target; removed when dropped before it is complete.
struct Part {
    path: Option<PathBuf>,
    out: BufWriter<File>,
}

/// The signal that came since the first file was created, 0 for none.
static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Has SIGINT and SIGTERM noted from now on instead of ending the program.
fn catch_signals() -> io::Result<()> {
    if SIGNAL.get().is_none() {
        let signal = SIGNAL.get_or_init(Arc::default);
        for number in [SIGINT, SIGTERM] {
            flag::register_usize(number, Arc::clone(signal), number.unsigned_abs() as usize)?;
        }
    }
    Ok(())
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
        fs::remove_dir_all(directory).unwrap();

        write_file(Path::new("/dev/null"), |out| out.write_all(b"new")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn sizes_are_rounded_down_in_the_largest_unit_that_fits() {
        assert_eq!(binary_size(1023), "1023 bytes");
        assert_eq!(binary_size(1024), "1.00 KiB");
        assert_eq!(binary_size(201_310_208), "191.98 MiB");
        assert_eq!(binary_size(1 << 64), "16.00 EiB");
    }

    #[test]
    fn dates_are_those_of_date_u() {
        // `date -u -d @SECONDS`
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_391_635), "2026-11-22 23:53:55 UTC");
        assert_eq!(utc(4_107_542_399), "2100-02-28 23:59:59 UTC");
        assert_eq!(utc(13_574_649_599), "2400-02-29 23:59:59 UTC");
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
