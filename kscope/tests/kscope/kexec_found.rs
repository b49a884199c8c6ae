//! `kscope kexec list` on a dump whose kernel tells by itself what is loaded: by its symbols and its types.

use elf_format::{Machine, NoteType, Segment, SegmentFlags, SegmentType, Writer, note};
use serde_json::json;

use crate::support::{Directory, ENCODING, Outcome, kscope};

/// Where the kernel's image is: its virtual address for physical 0.
const IMAGE: u64 = 0xffff_ffff_8000_0000;

/// Physical addresses.
const NUM_SYMS: usize = 0x4000;
const RELATIVE_BASE: usize = 0x4008;
const TOKEN_INDEX: usize = 0x4100;
const TOKEN_TABLE: usize = 0x4400;
const OFFSETS: usize = 0x5000;
const NAMES: usize = 0x6000;
const VARIABLES: usize = 0x7000;
const TYPES: usize = 0x8000;
const KIMAGES: [usize; 2] = [0x9000, 0xa000];
const LIST: usize = 0xb000;
const END: usize = 0xc000;

/// Names and values of the lines of VMCOREINFO that lead to the symbols.
const TOLD: [(&str, usize); 6] = [
    ("num_syms", NUM_SYMS),
    ("relative_base", RELATIVE_BASE),
    ("token_index", TOKEN_INDEX),
    ("token_table", TOKEN_TABLE),
    ("offsets", OFFSETS),
    ("names", NAMES),
];

/// Where the types have the fields, by words: as no Linux has them. The segments are far apart.
const FIELDS: [(&str, u32); 9] = [
    ("head", 2),
    ("start", 0),
    ("control_code_page", 1),
    ("control_page", 3),
    ("nr_segments", 4),
    ("type", 5),
    ("preserve_context", 5),
    ("file_mode", 5),
    ("segment", 6),
];

/// A kernel that told its release, and has memory.
struct Kernel {
    release: &'static str,
    told: &'static [(&'static str, usize)],
    memory: Vec<u8>,
}

impl Kernel {
    /// With an image for a reboot, of a page, and none for a crash.
    fn new() -> Self {
        let mut kernel = Self {
            release: "6.1.0",
            told: &TOLD,
            memory: vec![0; END],
        };
        kernel.word(0x1ff8, 0x2067);
        kernel.word(0x2ff0, 0x3067);
        kernel.word(0x3000, 0xe3);
        let types = types(&FIELDS);
        kernel.symbols(&[
            ("D", "kexec_crash_image", VARIABLES + 8),
            ("D", "kexec_image", VARIABLES),
            ("R", "__start_BTF", TYPES),
            ("R", "__stop_BTF", TYPES + types.len()),
        ]);
        kernel.put(TYPES, &types);
        kernel.word(VARIABLES, IMAGE + KIMAGES[0] as u64);
        kernel.image(KIMAGES[0], 0);
        kernel.words(LIST, &[0x20_0001, 0x1008, 4]);
        kernel
    }

    /// A `struct kimage` as the types have it, entered at its only segment.
    fn image(&mut self, at: usize, flags: u64) {
        let head = LIST as u64 | 2;
        self.words(
            at,
            &[0x20_0000, 0, head, 0, 1, flags, 0, 5, 0x20_0000, 0x1000],
        );
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn word(&mut self, at: usize, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    fn words(&mut self, at: usize, words: &[u64]) {
        for (at, word) in (at..).step_by(8).zip(words) {
            self.word(at, *word);
        }
    }

    /// The tables as scripts/kallsyms.c lays them; each token is a character.
    fn symbols(&mut self, symbols: &[(&str, &str, usize)]) {
        self.put(
            NUM_SYMS,
            &u32::try_from(symbols.len()).unwrap().to_le_bytes(),
        );
        self.word(RELATIVE_BASE, IMAGE);
        for token in 0..=255_u8 {
            let begin = 2 * usize::from(token);
            self.put(
                TOKEN_INDEX + begin,
                &u16::try_from(begin).unwrap().to_le_bytes(),
            );
            self.put(TOKEN_TABLE + begin, &[token, 0]);
        }
        let mut at = NAMES;
        for ((kind, name, address), offset) in symbols.iter().zip((OFFSETS..).step_by(4)) {
            self.put(offset, &u32::try_from(*address).unwrap().to_le_bytes());
            let name = format!("{kind}{name}");
            self.put(at, &[u8::try_from(name.len()).unwrap()]);
            self.put(at + 1, name.as_bytes());
            at += 1 + name.len();
        }
    }

    fn dump(&self) -> Vec<u8> {
        let mut info = format!(
            "OSRELEASE={}\nPAGESIZE=4096\nSYMBOL(init_top_pgt)={:x}\nNUMBER(phys_base)=0\n\
             NUMBER(pgtable_l5_enabled)=0\n",
            self.release,
            IMAGE + 0x1000
        );
        for (name, at) in self.told {
            info += &format!("SYMBOL(kallsyms_{name})={:x}\n", IMAGE + *at as u64);
        }
        let info = note::Builder {
            name: b"VMCOREINFO",
            kind: NoteType(0),
            desc: info.as_bytes(),
        };
        let segment = Segment {
            kind: SegmentType::LOAD,
            flags: SegmentFlags::all(),
            offset: 0x1000,
            vaddr: IMAGE + 0x1000,
            paddr: 0x1000,
            filesz: END as u64 - 0x1000,
            memsz: END as u64 - 0x1000,
            align: 0,
        };
        let (notes, segments) = ([info], [segment].into_iter());
        let mut file = Writer::core(ENCODING, Machine::X86_64, &notes, segments)
            .to_vec()
            .unwrap();
        file.resize(0x1000, 0);
        file.extend(&self.memory[0x1000..]);
        file
    }

    /// What is said of it, its path in there by the name of DUMP.
    fn list(&self, args: &[&str]) -> Outcome {
        let directory = Directory::new();
        let path = directory.write("dump", &self.dump());
        let mut outcome = kscope(&[&["kexec", "list", &path], args].concat());
        outcome.stderr = outcome.stderr.replace(&path, "DUMP");
        outcome
    }
}

/// BTF with a `struct kimage` whose fields are at these words.
fn types(fields: &[(&str, u32)]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut name = |text: &str| {
        let at = u32::try_from(strings.len()).unwrap();
        strings.extend(text.as_bytes());
        strings.push(0);
        at
    };
    // Two integers, of a word and of a flag, and the structure, whose members may be of bits.
    let mut words = vec![name("unsigned long"), 1 << 24, 8, 64];
    words.extend([name("unsigned int"), 1 << 24, 4, 32]);
    let count = u32::try_from(fields.len()).unwrap();
    words.extend([name("kimage"), 1 << 31 | 4 << 24 | count, 0x400]);
    for (field, word) in fields {
        let (kind, place) = match *field {
            "type" => (2, 1 << 24 | (word * 64)),
            "preserve_context" => (2, 1 << 24 | (word * 64 + 1)),
            "file_mode" => (2, 1 << 24 | (word * 64 + 2)),
            _ => (1, word * 64),
        };
        words.extend([name(field), kind, place]);
    }
    let types_len = u32::try_from(words.len() * 4).unwrap();
    let strings_len = u32::try_from(strings.len()).unwrap();
    let head = [0x0001_eb9f, 24, 0, types_len, types_len, strings_len];
    let words = head
        .iter()
        .chain(&words)
        .flat_map(|word| word.to_le_bytes());
    words.chain(strings).collect()
}

const TO_GIVE: &str = "as the machine's /proc/kallsyms had it (or --image, --head)";

#[test]
fn what_is_loaded_is_found_by_symbols_and_types() {
    let mut kernel = Kernel::new();
    let outcome = kernel.list(&["--json"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let answer = outcome.json();
    assert_eq!(answer["image"], "0xffffffff80009000");
    assert_eq!(
        (&answer["entry"], &answer["head"]),
        (&json!("0x200000"), &json!("0xb002"))
    );
    let runs = json!([{"destination": "0x200000", "source": "0x1000", "pages": 1}]);
    assert_eq!((&answer["runs"], &answer["crash"]), (&runs, &json!(false)));
    kernel
        .list(&["--crash"])
        .failed(1, "DUMP: kexec_crash_image is null: nothing is loaded");

    kernel.word(VARIABLES + 8, IMAGE + KIMAGES[1] as u64);
    kernel.image(KIMAGES[1], 1);
    kernel.words(KIMAGES[1] + 16, &[4]);
    let answer = kernel.list(&["--crash", "--json"]).json();
    assert_eq!(answer["image"], "0xffffffff8000a000");
    assert_eq!(
        (&answer["crash"], &answer["runs"]),
        (&json!(true), &json!([]))
    );
}

#[test]
fn what_is_given_comes_before_what_is_found() {
    let mut kernel = Kernel::new();
    kernel.word(VARIABLES + 16, IMAGE + KIMAGES[1] as u64);
    kernel.image(KIMAGES[1], 0);
    for args in [
        ["--symbol-at", "ffffffff80007010"],
        ["--image", "ffffffff8000a000"],
    ] {
        let answer = kernel.list(&[&args[..], &["--json"]].concat()).json();
        assert_eq!(answer["image"], "0xffffffff8000a000");
        assert_eq!(answer["entry"], "0x200000");
    }
}

#[test]
fn a_kernel_without_symbols_needs_an_address() {
    let mut kernel = Kernel::new();
    kernel.told = &[];
    let why = "the dump has no SYMBOL(kallsyms_names) in VMCOREINFO";
    let say = "--symbol-at ADDR says where kexec_image is,";
    kernel
        .list(&[])
        .failed(1, &format!("DUMP: {why}; {say} {TO_GIVE}"));
    // And one that is not built with kexec.
    kernel.told = &TOLD;
    kernel.symbols(&[("T", "_text", 0x1000)]);
    let why = "no symbol is named kexec_crash_image: a kernel without kexec, or without CONFIG_KALLSYMS_ALL";
    let say = "--symbol-at ADDR says where kexec_crash_image is,";
    kernel
        .list(&["--crash"])
        .failed(1, &format!("DUMP: {why}; {say} {TO_GIVE}"));
}

#[test]
fn a_kernel_without_types_is_taken_as_its_release_has_it() {
    let mut kernel = Kernel::new();
    let mut words = vec![0; 12];
    words[0] = LIST as u64 | 2;
    (words[3], words[7]) = (0x20_0000, 1);
    words[8..12].copy_from_slice(&[0, 5, 0x20_0000, 0x1000]);
    kernel.words(KIMAGES[0], &words);
    let entry = |kernel: &Kernel| kernel.list(&["--json"]).json()["entry"].clone();
    // By its types the first word is the entry point.
    assert_eq!(entry(&kernel), "0xb002");
    let symbols = [("D", "kexec_image", VARIABLES), ("R", "_end", END)];
    kernel.symbols(&symbols);
    assert_eq!(entry(&kernel), "0x200000");
    kernel.list(&[]).good();
    // Types that are damaged are named.
    let mut kernel = Kernel::new();
    kernel.words(KIMAGES[0], &words);
    kernel.put(TYPES, &[0]);
    let outcome = kernel.list(&["--json"]);
    assert_eq!(outcome.json()["entry"], "0x200000");
    outcome.warned(
        "DUMP: struct kimage is taken as its release has it: virtual address 0xffffffff80008000: \
         btf_header.magic is 0xeb00, allowed: 0xeb9f",
    );
    // And so is a release of which nobody knows.
    kernel.release = "3.10.0";
    let why = "the dump has no OSRELEASE of Linux 4.4 or later, whose struct kimage is known";
    kernel.list(&[]).failed(1, &format!("DUMP: {why}"));
}
