//! Where maps come from: files, directories of sysfs, standard input, this machine.
//!
//! ```text
//!   file, - ───────────► form (said, or found out) ───► entries as found, and their shape
//!   directory ─────────► N/{start,end,type}, or data and setup_data/N/{type,data} ──┘
//!   live ──────────────► the first of these that tells:
//!                          /sys/firmware/memmap      made for kexec: what firmware said
//!                          /sys/kernel/boot_params   the same from the boot loader
//!                          /proc/iomem               what the kernel has made of it; on every machine
//!                          dmesg                     if the boot is still in it
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use e820::{
    RawEntry,
    text::{cmdline::Params, iomem::Resources, memmap_param, sysfs::SysfsEntries},
    wire::{
        array::{AcpiArray, Array},
        boot_params::{self, BootParams},
        setup_data::{self, SetupType},
    },
};
use physmem::{PhysAddr, Region};

use super::{
    Subject,
    form::{Form, Shape},
    log::{self, Who},
    table,
};
use crate::{
    failure::{Failure, Result, notice},
    input::Source,
};

/// How sources are to be read.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Reading {
    /// What the source is; found out if not given
    #[arg(long, value_name = "FORM")]
    from: Option<Form>,

    /// Which of the maps in a kernel log; the firmware's if not given
    #[arg(long)]
    who: Option<Who>,

    /// Read files instead of mapping them, for one that may shrink meanwhile
    #[arg(long)]
    no_mmap: bool,
}

impl Reading {
    /// The map of all sources, one after the other; of this machine if there is none.
    pub(super) fn all(&self, sources: &[PathBuf]) -> Result<Subject> {
        let (first, others) = match sources.split_first() {
            Some((first, others)) => (self.one(first)?, others),
            None => return self.one(Path::new("live")),
        };
        others
            .iter()
            .try_fold(first, |all, path| Ok(all.and(self.one(path)?)))
    }

    /// The map of one source.
    pub(super) fn one(&self, path: &Path) -> Result<Subject> {
        if path.as_os_str() == "live" {
            return self.live(Path::new("/"), read_log);
        }
        if path.is_dir() {
            return self.directory(path);
        }
        let source = Source::new(path.to_path_buf(), self.no_mmap);
        let input = source.open()?;
        let bytes = input.bytes(path)?;
        self.parse(path, &bytes)
    }

    fn parse(&self, path: &Path, bytes: &[u8]) -> Result<Subject> {
        let form = self.from.map_or_else(|| Form::of(bytes), Ok);
        let form = form.map_err(|error| Failure::input(path, error))?;
        self.only_logs_have_several(form)?;
        let subject = match form {
            Form::Dmesg => log::parse(path, bytes, self.who.unwrap_or(Who::Firmware))?,
            Form::Iomem => iomem(path, bytes)?,
            Form::Sysfs => sysfs(path, bytes)?,
            Form::BootParams => boot_params(path, bytes)?,
            Form::E820 => array(path, bytes)?,
            Form::MemmapArgs => memmap_args(path, bytes),
            Form::Table => Subject::new(path, form, table::parse(path, bytes)?, Shape::Plain),
        };
        // Only a zero page says how many entries it has, and none is a number, too.
        if subject.found == 0 && form != Form::BootParams {
            let why = format_args!("no entry of a memory map in the form {form}");
            return Err(Failure::input(path, why));
        }
        Ok(subject)
    }

    fn only_logs_have_several(&self, form: Form) -> Result {
        if self.who.is_some() && form != Form::Dmesg {
            let why = format!("--who chooses among the maps of a log; {form} has one");
            return Err(Failure::Usage(why));
        }
        Ok(())
    }

    /// The map in a directory of sysfs: /sys/firmware/memmap, /sys/kernel/boot_params, or copies.
    fn directory(&self, path: &Path) -> Result<Subject> {
        let is_page = path.join("data").is_file();
        let form = if is_page {
            Form::BootParams
        } else {
            Form::Sysfs
        };
        if self.from.is_some_and(|from| from != form) {
            return Err(Failure::system(
                path,
                io::Error::from(io::ErrorKind::IsADirectory),
            ));
        }
        self.only_logs_have_several(form)?;
        if is_page {
            boot_params_directory(path)
        } else {
            sysfs_directory(path)
        }
    }

    /// The map of the machine whose files are under `root`.
    fn live(&self, root: &Path, log: impl Fn() -> io::Result<Vec<u8>>) -> Result<Subject> {
        let places = [
            (Form::Sysfs, "sys/firmware/memmap"),
            (Form::BootParams, "sys/kernel/boot_params"),
            (Form::Iomem, "proc/iomem"),
            (Form::Dmesg, "dmesg"),
        ];
        // Only a log has several maps to choose from.
        let from = self.from.or(self.who.map(|_| Form::Dmesg));
        let mut reasons = Vec::new();
        for (form, place) in places {
            if from.is_some_and(|from| from != form) {
                continue;
            }
            let path = root.join(place);
            let found = match form {
                Form::Dmesg => {
                    let path = Path::new(place);
                    let log = log().map_err(|error| Failure::system(path, error));
                    log.and_then(|log| self.with(form).parse(path, &log))
                }
                Form::Iomem => fs::read(&path)
                    .map_err(|error| Failure::system(&path, error))
                    .and_then(|listing| self.with(form).parse(&path, &listing)),
                _ if path.is_dir() => self.with(form).directory(&path),
                _ => {
                    let why = io::Error::from(io::ErrorKind::NotFound);
                    Err(Failure::system(&path, why))
                }
            };
            match found {
                Ok(subject) => {
                    notice(
                        Path::new("live"),
                        format_args!("from {}", subject.source.display()),
                    );
                    return Ok(subject);
                }
                Err(Failure::Input(why) | Failure::System(why)) => reasons.push(why),
                Err(other) => return Err(other),
            }
        }
        if reasons.is_empty() {
            let why = "live: this machine has no map of its own in that form";
            return Err(Failure::Usage(why.to_owned()));
        }
        Err(Failure::System(format!(
            "live: no map: {}",
            reasons.join("; ")
        )))
    }

    fn with(&self, form: Form) -> Self {
        Self {
            from: Some(form),
            ..self.clone()
        }
    }
}

/// What `dmesg` prints: the system call behind it needs more than the standard library.
fn read_log() -> io::Result<Vec<u8>> {
    let run = Command::new("dmesg").output()?;
    if run.status.success() {
        return Ok(run.stdout);
    }
    let said = String::from_utf8_lossy(&run.stderr);
    Err(io::Error::other(
        said.lines().next().unwrap_or("no log").to_owned(),
    ))
}

fn iomem(path: &Path, listing: &[u8]) -> Result<Subject> {
    let wrong = |error| Failure::input(path, error);
    let resources = Resources::parse(listing).map_err(wrong)?;
    let (mut tree, mut lines) = (String::new(), 0);
    for resource in resources.clone() {
        let resource = resource.map_err(wrong)?;
        tree += &format!("{resource}\n");
        lines += 1;
    }
    let entries: Vec<_> = resources
        .entries()
        .collect::<std::result::Result<_, _>>()
        .map_err(wrong)?;
    let others = lines - entries.len();
    if others > 0 {
        let why = "lines inside of memory or of no kind of it, which --to iomem and --json show";
        notice(path, format_args!("left out: {why}: {others}"));
    }
    Ok(Subject::new(path, Form::Iomem, entries, Shape::Iomem(tree)))
}

fn sysfs(path: &Path, text: &[u8]) -> Result<Subject> {
    let found = SysfsEntries::new(text).collect::<std::result::Result<Vec<_>, _>>();
    let found = found.map_err(|error| Failure::input(path, error))?;
    let entries = found.iter().map(|found| found.entry).collect();
    Ok(Subject::new(
        path,
        Form::Sysfs,
        entries,
        Shape::Sysfs(found),
    ))
}

/// The numbers among the names in a directory, ascending.
fn numbers(path: &Path) -> Result<Vec<u64>> {
    let refused = |error| Failure::system(path, error);
    let mut numbers = Vec::new();
    for file in fs::read_dir(path).map_err(refused)? {
        let name = file.map_err(refused)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Failure::system(path, error))
}

fn sysfs_directory(path: &Path) -> Result<Subject> {
    let mut found = Vec::new();
    for number in numbers(path)? {
        let folder = path.join(number.to_string());
        let mut line = number.to_string().into_bytes();
        for file in ["start", "end", "type"] {
            line.push(b' ');
            line.extend_from_slice(read(&folder.join(file))?.trim_ascii());
        }
        let wrong = |error| Failure::input(&folder, error);
        for entry in SysfsEntries::new(&line) {
            found.push(entry.map_err(wrong)?);
        }
    }
    if found.is_empty() {
        let why = "no directories 0, 1 … with start, end and type, and no zero page `data`";
        return Err(Failure::input(path, why));
    }
    let entries = found.iter().map(|found| found.entry).collect();
    Ok(Subject::new(
        path,
        Form::Sysfs,
        entries,
        Shape::Sysfs(found),
    ))
}

fn boot_params(path: &Path, bytes: &[u8]) -> Result<Subject> {
    let page = BootParams::parse(bytes).map_err(|error| Failure::input(path, error))?;
    let (first, behind) = bytes.split_at(bytes.len().min(boot_params::SIZE));
    let mut entries: Vec<RawEntry> = page.entries().collect();
    let inside = entries.len();
    if behind.is_empty() {
        if inside == boot_params::MAX_ENTRIES && page.setup_data() != 0 {
            let why = "the page is full; if the map goes on in setup_data, that part is left out";
            notice(path, why);
        }
    } else {
        let wrong = |error: physmem::Error| Failure::input(path, error);
        let memory = Region::try_new(PhysAddr::new(page.setup_data()), behind).map_err(wrong)?;
        for entry in setup_data::entries(&page, &memory).skip(inside) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(e820::Error::Memory(_)) => {
                    let why = "setup_data goes on outside of this file; what it may hold of the map is left out";
                    notice(path, why);
                }
                Err(error) => return Err(Failure::input(path, error)),
            }
        }
    }
    let shape = Shape::Page {
        page: first.to_vec(),
        inside,
        behind: behind.to_vec(),
    };
    Ok(Subject::new(path, Form::BootParams, entries, shape))
}

/// The page of /sys/kernel/boot_params and the entries beside it.
fn boot_params_directory(path: &Path) -> Result<Subject> {
    let file = path.join("data");
    let page = read(&file)?;
    let parsed = BootParams::parse(&page).map_err(|error| Failure::input(&file, error))?;
    let mut entries: Vec<RawEntry> = parsed.entries().collect();
    let inside = entries.len();
    let nodes = path.join("setup_data");
    let extension = format!("{:#x}", SetupType::E820_EXT.0);
    for number in if nodes.is_dir() {
        numbers(&nodes)?
    } else {
        Vec::new()
    } {
        let node = nodes.join(number.to_string());
        if read(&node.join("type"))?.trim_ascii() == extension.as_bytes() {
            let data = node.join("data");
            let more = read(&data)?;
            let more = Array::parse(&more).map_err(|error| Failure::input(&data, error))?;
            entries.extend(more.entries());
        }
    }
    let shape = Shape::Page {
        page,
        inside,
        behind: Vec::new(),
    };
    Ok(Subject::new(path, Form::BootParams, entries, shape))
}

fn array(path: &Path, bytes: &[u8]) -> Result<Subject> {
    let wrong = |error| Failure::input(path, error);
    if e820::Form::of(bytes) == Ok(e820::Form::AcpiArray) {
        let found: Vec<_> = AcpiArray::parse(bytes).map_err(wrong)?.entries().collect();
        let entries = found.iter().map(|found| found.entry).collect();
        return Ok(Subject::new(path, Form::E820, entries, Shape::Acpi(found)));
    }
    let entries = Array::parse(bytes).map_err(wrong)?.entries().collect();
    Ok(Subject::new(path, Form::E820, entries, Shape::Plain))
}

/// The entries that `memmap=` adds, and the parameters themselves.
fn memmap_args(path: &Path, line: &[u8]) -> Subject {
    let mut entries = Vec::new();
    for item in memmap_param::items(line) {
        if let Some(fault) = item.fault {
            notice(path, fault);
        }
        match item.action {
            Some(memmap_param::Action::ExactMap) => entries.clear(),
            Some(memmap_param::Action::Add(entry)) => entries.push(entry),
            Some(memmap_param::Action::Nothing) | None => {}
            Some(change) => notice(
                path,
                format_args!("left out: `{change}` changes a map, see --apply"),
            ),
        }
    }
    let mut text = Vec::new();
    for param in Params::new(line).filter(|param| param.name == b"memmap") {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(b"memmap=");
        text.extend_from_slice(param.value.unwrap_or_default());
    }
    text.push(b'\n');
    Subject::new(path, Form::MemmapArgs, entries, Shape::Cmdline(text))
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    const LISTING: &str = "00000000-00000fff : Reserved\n";
    const HIDDEN: &str = "00000000-00000000 : Reserved\n";
    const LOG: &[u8] = b"user: [mem 0x0000000000000000-0x0000000000000fff] usable\n\
        BIOS-e820: [mem 0x0000000000000000-0x0000000000001fff] usable\n";

    fn reading(from: Option<Form>) -> Reading {
        Reading {
            from,
            who: None,
            no_mmap: false,
        }
    }

    /// A machine with these files under a root of its own.
    fn machine(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = env::temp_dir().join(format!("kscope-live-{}-{name}", process::id()));
        for (file, text) in files {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    fn found(root: &Path, from: Option<Form>) -> (Option<Form>, usize) {
        let subject = reading(from).live(root, || Ok(LOG.to_vec())).unwrap();
        (subject.form, subject.found)
    }

    #[test]
    fn live_takes_the_first_source_that_tells() {
        let files = [
            ("sys/firmware/memmap/0/start", "0x0\n"),
            ("sys/firmware/memmap/0/end", "0xfff\n"),
            ("sys/firmware/memmap/0/type", "Reserved\n"),
            ("proc/iomem", LISTING),
        ];
        let root = machine("all", &files);
        assert_eq!(found(&root, None), (Some(Form::Sysfs), 1));
        assert_eq!(found(&root, Some(Form::Iomem)), (Some(Form::Iomem), 1));
        assert_eq!(found(&root, Some(Form::Dmesg)), (Some(Form::Dmesg), 1));
        let user = Reading {
            who: Some(Who::User),
            ..reading(None)
        };
        let user = user.live(&root, || Ok(LOG.to_vec())).unwrap();
        assert_eq!(user.who, Some(e820::text::dmesg::Who::User));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn live_goes_on_where_the_kernel_hides_addresses_and_says_why_there_is_nothing() {
        let root = machine("hidden", &[("proc/iomem", HIDDEN)]);
        assert_eq!(found(&root, None), (Some(Form::Dmesg), 1));
        let none = reading(None).live(&root, || Err(io::ErrorKind::PermissionDenied.into()));
        let Err(Failure::System(why)) = none.map(|_| ()) else {
            panic!("the system refused");
        };
        for reason in [
            "firmware/memmap: ",
            "boot_params: ",
            "CAP_SYS_ADMIN",
            "dmesg: permission denied",
        ] {
            assert!(why.contains(reason), "{why}");
        }
        let none = reading(Some(Form::Table)).live(&root, || Ok(Vec::new()));
        assert!(matches!(none, Err(Failure::Usage(_))));
        fs::remove_dir_all(root).unwrap();
    }
}
