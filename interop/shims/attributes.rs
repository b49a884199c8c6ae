//! What a dump says, by libkdumpfile's names for it (its `README.md` and `include/libkdumpfile/kdumpfile.h`).

use std::{collections::BTreeMap, ops::RangeInclusive};

use elf_format::{Class, Endian, Machine, NoteType};
use physmem::PageShift;
use vmcore_format::{Dump, Error, ReadAt, kernel};

/// One answer.
#[derive(Debug)]
pub(crate) enum Attribute {
    Number(u64),
    Address(u64),
    Text(String),
    Blob(Vec<u8>),
    /// A bitmap: the frames whose bits are set.
    Frames(Vec<RangeInclusive<u64>>),
}

/// All answers, by name.
pub(crate) struct Attributes(BTreeMap<String, Attribute>);

impl Attributes {
    pub(crate) fn of<S: ReadAt>(dump: &Dump<S>, files: usize) -> Result<Self, Error> {
        let mut this = Self(BTreeMap::new());
        this.file(dump, files)?;
        this.arch(dump);
        this.linux(dump)?;
        this.cpus(dump)?;
        Ok(this)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Attribute> {
        self.0.get(key)
    }

    /// Whether there are names below that one.
    pub(crate) fn is_directory(&self, key: &str) -> bool {
        let below = format!("{key}.");
        let next = self.0.range(below.clone()..).next();
        // Of a set of files and of registers they have the directory even where nothing is in it.
        next.is_some_and(|(name, _)| name.starts_with(&below)) || key == "file.set.0"
    }

    fn put(&mut self, key: impl Into<String>, attribute: Attribute) {
        self.0.insert(key.into(), attribute);
    }

    fn text(&mut self, key: impl Into<String>, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.put(key, Attribute::Text(text));
    }

    fn file<S: ReadAt>(&mut self, dump: &Dump<S>, files: usize) -> Result<(), Error> {
        self.put("file.set.number", Attribute::Number(files as u64));
        let format = if dump.elf().is_some() {
            "elf"
        } else {
            "diskdump"
        };
        self.text("file.format", format.as_bytes());
        let page = match dump.kdump() {
            Some(kdump) => kdump.header().block,
            None => dump.page_size().unwrap_or(PageShift::SIZE_4K),
        };
        let frames = |all| {
            let ranges = dump
                .ranges()
                .filter(move |(_, absence)| all || absence.is_none());
            ranges.map(move |(range, _)| {
                range.start().pfn(page).as_u64()..=range.last().pfn(page).as_u64()
            })
        };
        self.put("file.pagemap", Attribute::Frames(frames(false).collect()));
        self.put("memory.pagemap", Attribute::Frames(frames(true).collect()));
        if let Some(erased) = dump.eraseinfo().next().transpose()? {
            self.put(
                "file.eraseinfo.raw",
                Attribute::Blob(erased.text().to_vec()),
            );
        }
        if let Some(kdump) = dump.kdump() {
            self.put("max_pfn", Attribute::Number(kdump.header().max_mapnr));
        }
        Ok(())
    }

    fn arch<S: ReadAt>(&mut self, dump: &Dump<S>) {
        let name = match (dump.machine(), dump.encoding().class) {
            (Machine::I386, _) => "ia32",
            (Machine::X86_64, _) => "x86_64",
            (Machine::AARCH64, _) => "aarch64",
            (Machine::PPC64, _) => "ppc64",
            (Machine::S390, Class::Elf32) => "s390",
            (Machine::S390, Class::Elf64) => "s390x",
            _ => "unknown",
        };
        self.text("arch.name", name.as_bytes());
        let is_little = dump.encoding().endian == Endian::Little;
        self.put("arch.byte_order", Attribute::Number(is_little.into()));
        let word = kernel::word_width(dump).bytes() as u64;
        self.put("arch.ptr_size", Attribute::Number(word));
        if let Ok(page) = dump.page_size() {
            self.put("arch.page_shift", Attribute::Number(page.as_u8().into()));
            self.put("arch.page_size", Attribute::Number(page.bytes()));
        }
    }

    fn linux<S: ReadAt>(&mut self, dump: &Dump<S>) -> Result<(), Error> {
        if let Some(kdump) = dump.kdump() {
            let header = kdump.header();
            let names = &header.utsname;
            for (key, name) in [
                ("sysname", names.sysname()),
                ("nodename", names.nodename()),
                ("release", names.release()),
                ("version", names.version()),
                ("machine", names.machine()),
                ("domainname", names.domainname()),
            ] {
                self.text(format!("linux.uts.{key}"), name);
            }
            self.put("linux.phys_base", Attribute::Address(header.phys_base));
            let release = String::from_utf8_lossy(names.release());
            if let Some(code) = version_code(&release) {
                self.put("linux.version_code", Attribute::Number(code));
            }
        }
        if let Some(info) = dump.vmcoreinfo()? {
            for line in info.lines() {
                let line = line?;
                self.text(
                    format!("linux.vmcoreinfo.lines.{}", line.key),
                    line.value.as_bytes(),
                );
            }
        }
        Ok(())
    }

    fn cpus<S: ReadAt>(&mut self, dump: &Dump<S>) -> Result<(), Error> {
        let mut statuses = 0;
        for note in dump.notes() {
            let note = note?;
            match (note.name, note.kind) {
                (b"CORE", NoteType::PRSTATUS) => {
                    let key = format!("cpu.{statuses}.PRSTATUS");
                    self.put(key, Attribute::Blob(note.desc.to_vec()));
                    statuses += 1;
                }
                (b"CORE", NoteType::TASKSTRUCT) => {
                    self.put("linux.task_struct", Attribute::Blob(note.desc.to_vec()));
                }
                _ => {}
            }
        }
        let mut count = 0;
        for cpu in dump.cpus() {
            let status = cpu?.status;
            let cpu = format!("cpu.{count}");
            self.put(format!("{cpu}.pid"), Attribute::Number(status.pid().into()));
            for (name, value) in status.registers() {
                for name in [Some(name), alias(dump.machine(), name)]
                    .into_iter()
                    .flatten()
                {
                    self.put(format!("{cpu}.reg.{name}"), Attribute::Number(value));
                }
            }
            count += 1;
        }
        self.put("cpu.number", Attribute::Number(count));
        Ok(())
    }
}

/// What libkdumpfile calls a register that gdb calls otherwise.
fn alias(machine: Machine, register: &'static str) -> Option<&'static str> {
    Some(match (machine, register) {
        (Machine::X86_64, "eflags") => "rflags",
        (Machine::ARM, "r11") => "fp",
        (Machine::ARM, "r12") => "ip",
        (Machine::ARM, "sp") => "r13",
        (Machine::ARM, "lr") => "r14",
        (Machine::ARM, "pc") => "r15",
        (Machine::PPC64, "orig_r3") => "or3",
        (Machine::PPC64, "cr") => "ccr",
        (Machine::PPC64, "result") => "res",
        (Machine::S390, "orig_r2") => "orig_gpr2",
        (Machine::S390, name) => return name.strip_prefix("acr").and_then(access_register),
        _ => return None,
    })
}

/// Access registers as s390's assemblers write them.
fn access_register(number: &str) -> Option<&'static str> {
    const NAMES: [&str; 16] = [
        "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13",
        "a14", "a15",
    ];
    NAMES.get(number.parse::<usize>().ok()?).copied()
}

/// `LINUX_VERSION_CODE` of a release.
fn version_code(release: &str) -> Option<u64> {
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map_while(|number| number.parse::<u64>().ok());
    let (major, minor) = (numbers.next()?, numbers.next()?);
    Some(major << 16 | minor << 8 | numbers.next().unwrap_or(0).min(255))
}
