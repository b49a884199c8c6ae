//! Runs the built command, and makes a small dump to ask about.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use elf_format::{
    Class, Endian, Machine, NoteType, Segment, SegmentFlags, SegmentType, Writer, ident::Encoding,
    note, prstatus,
};
use serde_json::Value;

/// The top of the repository, where the samples are.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kscope"));
    command.args(args).current_dir(workspace());
    command
}

/// Runs with so much memory, in KiB.
pub(crate) fn kscope_within(memory: u32, args: &[&str]) -> Outcome {
    let shell = format!("ulimit -v {memory} && exec \"$0\" \"$@\"");
    let child = Command::new("sh")
        .args(["-c", &shell, env!("CARGO_BIN_EXE_kscope")])
        .args(args)
        .current_dir(workspace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Outcome::of(child.unwrap())
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            bytes: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The output of a run that must have gone well, with nothing to say about it.
    pub(crate) fn good(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""));
        self.stdout
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Asserts that it went well, and the one line on standard error.
    pub(crate) fn warned(&self, line: &str) {
        let expected = format!("kscope: {line}\n");
        assert_eq!((self.status, self.stderr.as_str()), (0, expected.as_str()));
    }

    /// Asserts the exit status and the one line on standard error, and that nothing else was said.
    pub(crate) fn failed(&self, status: i32, line: &str) {
        let expected = format!("kscope: {line}\n");
        assert_eq!(
            (self.status, self.stderr.as_str()),
            (status, expected.as_str())
        );
        assert_eq!(self.stdout, "");
    }
}

pub(crate) fn kscope(args: &[&str]) -> Outcome {
    kscope_with(args, b"")
}

/// Runs with `stdin` coming through a pipe.
pub(crate) fn kscope_with(args: &[&str], stdin: &[u8]) -> Outcome {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // It may end without reading all of it.
    let feed = std::thread::spawn(move || {
        let _ = pipe.write_all(&stdin);
    });
    let outcome = Outcome::of(child);
    feed.join().unwrap();
    outcome
}

/// A directory of its own, removed with everything in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("kscope-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Every name in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) const ENCODING: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};

const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

pub(crate) const VMCOREINFO: &str = "OSRELEASE=6.1.0-test\nPAGESIZE=4096\nCRASHTIME=1795391635\n\
    SYMBOL(init_top_pgt)=ffffffff80001000\nNUMBER(phys_base)=0\nKERNELOFFSET=0\n\
    NUMBER(pgtable_l5_enabled)=0\nOSRELEASE=second\n";

/// A dump of a machine with little memory. CPU 1 was offline.
///
/// ```text
/// 0x1000  pgd  [0] → 0x2000   [1] → 0x6000, which is excluded   [511] → 0x9000, which is not there
/// 0x2000  pud  [0] → 0x3000   [1] = a page of 1 GiB at 0x40000000
/// 0x3000  pmd  [0] → 0x4000   [1] = a page of 2 MiB at 0x200000
/// 0x4000  pte  [0] = 0x5000   [1] = 0x7000   [2] = 0x8000
/// 0x5000  "page one", and so on
/// 0x6000  excluded
/// 0x7000  three quarters of a page
/// ```
pub(crate) fn small_dump() -> Vec<u8> {
    let layout = prstatus::Layout::for_machine(Machine::X86_64, Class::Elf64).unwrap();
    let status = |pid| {
        let registers: Vec<u64> = (1..).take(layout.registers.len()).collect();
        let endian = Endian::Little;
        let status = prstatus::Builder {
            layout,
            endian,
            pid,
            signal: 0,
            registers: &registers,
        };
        let mut desc = vec![0; status.emitted_len()];
        status.emit(&mut desc).unwrap();
        desc
    };
    let (first, third) = (status(7), status(9));
    let of_cpu = |desc| note::Builder {
        name: prstatus::NOTE_NAME,
        kind: NoteType::PRSTATUS,
        desc,
    };
    let info = note::Builder {
        name: b"VMCOREINFO",
        kind: NoteType(0),
        desc: VMCOREINFO.as_bytes(),
    };
    let notes = [of_cpu(&first), note::Builder::HOLE, of_cpu(&third), info];

    let load = |offset, paddr, filesz, memsz| Segment {
        kind: SegmentType::LOAD,
        flags: SegmentFlags::all(),
        offset,
        vaddr: DIRECT_MAP + paddr,
        paddr,
        filesz,
        memsz,
        align: 0,
    };
    let segments = [
        load(0x1000, 0x1000, 0x5000, 0x6000),
        load(0x6000, 0x7000, 0xc00, 0xc00),
    ];
    let writer = Writer::core(ENCODING, Machine::X86_64, &notes, segments.iter().copied());

    // File offsets and physical addresses are the same up to 0x6000, where the excluded page is.
    let mut file = writer.to_vec().unwrap();
    file.resize(0x6000, 0);
    let mut entry = |at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let (table, page, large, no_execute) = (0x67, 0x63, 0xe3, 1 << 63);
    entry(0x1000, 0x2000 | table);
    entry(0x1008, 0x6000 | table);
    entry(0x1ff8, 0x9000 | table);
    entry(0x2000, 0x3000 | table);
    entry(0x2008, 0x4000_0000 | large | no_execute);
    entry(0x3000, 0x4000 | table);
    entry(0x3008, 0x20_0000 | large);
    entry(0x4000, 0x5000 | page);
    entry(0x4008, 0x7000 | page);
    entry(0x4010, 0x8000 | page);
    file[0x5000..0x5008].copy_from_slice(b"page one");
    file.resize(0x6c00, b'x');
    file
}

/// The [`small_dump`] as a file, in a directory that lives as long.
pub(crate) struct Small {
    pub(crate) directory: Directory,
    pub(crate) path: String,
}

pub(crate) fn small() -> Small {
    let directory = Directory::new();
    let path = directory.write("dump", &small_dump());
    Small { directory, path }
}

/// A dump of memory at these physical addresses, and nothing else.
pub(crate) fn dump_of(memory: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<u8> {
    let (mut segments, mut bytes) = (Vec::new(), Vec::new());
    for (paddr, part) in memory {
        let size = part.len() as u64;
        segments.push(Segment {
            kind: SegmentType::LOAD,
            flags: SegmentFlags::READ,
            offset: bytes.len() as u64,
            vaddr: 0,
            paddr,
            filesz: size,
            memsz: size,
            align: 0,
        });
        bytes.extend(part);
    }
    let headers = |segments: &[Segment]| {
        let segments = segments.iter().copied();
        Writer::core(ENCODING, Machine::X86_64, &[], segments)
            .to_vec()
            .unwrap()
    };
    let length = headers(&segments).len() as u64;
    for segment in &mut segments {
        segment.offset += length;
    }
    [headers(&segments), bytes].concat()
}
