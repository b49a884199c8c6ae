//! Real files of eleven machines: what readelf printed of them, and the registers that were loaded
//! into them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use elf_format::{
    Class, CpuState, Elf, Encoding, Endian, Header, Machine, Note, NoteType, Notes, OsAbi,
    Prstatus, SegmentType, prstatus,
    qemu_cpu::{self, CpuSegment},
};

fn sample(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(name: &str) -> String {
    String::from_utf8(sample(name)).unwrap()
}

const CORES: [&str; 11] = [
    "x86_64",
    "i386",
    "s390x",
    "arm",
    "arm64",
    "mips",
    "mips64",
    "ppc",
    "ppc64",
    "ppc64le",
    "loongarch64",
];

fn all() -> impl Iterator<Item = String> {
    let programs = ["x86_64", "i386", "s390x"].map(|name| format!("programs/{name}"));
    let cores = CORES.map(|name| format!("cores/{name}"));
    let dumps = [
        "qemu/i386-pae",
        "kernel/x86_64-vmcore.head",
        "kernel/ppc64el-vmlinux.head",
    ];
    programs
        .into_iter()
        .chain(cores)
        .chain(dumps.map(str::to_owned))
}

fn notes<'a>(elf: &Elf<'a>) -> Vec<Note<'a>> {
    let segments = elf
        .segments()
        .filter(|segment| segment.kind == SegmentType::NOTE);
    segments
        .flat_map(|segment| elf.segment_notes(&segment).unwrap())
        .map(Result::unwrap)
        .collect()
}

#[test]
fn headers_print_as_readelf_prints_them() {
    for name in all() {
        let bytes = sample(&name);
        let elf = Elf::parse(&bytes).unwrap();
        let expected = text(&format!("{name}.headers.txt"));
        let (header, rest) = expected.split_once("\n\n").unwrap();
        assert_eq!(elf.header().to_string().trim_end(), header, "{name}");

        let rows = rest
            .lines()
            .skip_while(|line| !line.starts_with("  Type "))
            .skip(1);
        let rows = rows.take_while(|line| !line.is_empty());
        let printed = elf
            .segments()
            .map(|segment| match elf.header().encoding().class {
                Class::Elf32 => format!("{segment:#}"),
                Class::Elf64 => segment.to_string(),
            });
        assert_eq!(
            printed.collect::<Vec<_>>(),
            rows.collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[test]
fn flags_print_as_readelf_prints_them() {
    let mut bytes = sample("kernel/ppc64el-vmlinux.head");
    let expected = text("flags/readelf.txt");
    for line in expected.lines() {
        let (machine, row) = line.split_once(' ').unwrap();
        let flags = row.split(',').next().unwrap();
        let number = |hex: &str| u32::from_str_radix(&hex[2..], 16).unwrap();
        bytes[18..20].copy_from_slice(&(number(machine) as u16).to_le_bytes());
        bytes[48..52].copy_from_slice(&number(flags).to_le_bytes());
        let printed = Header::parse(&bytes).unwrap().to_string();
        let printed = printed.lines().find_map(|row| row.strip_prefix("  Flags:"));
        assert_eq!(printed.unwrap().trim(), row, "{line}");
    }
    assert!(expected.lines().count() > 500);
}

/// But for machines that have no names here.
#[test]
fn machines_and_abis_print_as_readelf_prints_them() {
    let expected = text("names/readelf.txt");
    let names = |field| {
        let rows = expected.lines().filter_map(move |row| {
            let (value, name) = row.strip_prefix(field)?.split_once(' ')?;
            Some((u16::from_str_radix(&value[2..], 16).unwrap(), name))
        });
        rows.collect::<BTreeMap<_, _>>()
    };
    let abis = names("OS/ABI ");
    for abi in 0..=u8::MAX {
        let name = abis.get(&abi.into());
        let printed = name.map_or(format!("<unknown: {abi:x}>"), |name| (*name).into());
        assert_eq!(OsAbi(abi).to_string(), printed);
    }
    let machines = names("Machine ");
    let mut named = 0;
    for machine in 0..=u16::MAX {
        let name = machines.get(&machine).copied();
        let name = name.filter(|_| Machine(machine).name().is_some());
        named += usize::from(name.is_some());
        let printed = name.map_or(format!("<unknown>: {machine:#x}"), Into::into);
        assert_eq!(Machine(machine).to_string(), printed);
    }
    assert_eq!((abis.len(), machines.len(), named), (17, 220, 59));
}

/// Types that have a name here and none in readelf print as those without.
fn as_readelf_prints(note: &Note<'_>) -> String {
    let line = note.to_string();
    match (note.name, line.split_once('\t')) {
        (b"QEMU" | b"VMCOREINFO", Some((start, _))) => {
            format!("{start}\tUnknown note type: ({:#010x})", note.kind.0)
        }
        _ => line,
    }
}

#[test]
fn notes_print_as_readelf_prints_them() {
    // Of the programs only this one has notes, and those of the head are not in it.
    let silent = [
        "programs/i386",
        "programs/s390x",
        "kernel/ppc64el-vmlinux.head",
    ];
    for name in all().filter(|name| !silent.contains(&name.as_str())) {
        let bytes = sample(&name);
        let expected = text(&format!("{name}.notes.txt"));
        let elf = Elf::parse(&bytes).unwrap();
        let printed: Vec<_> = notes(&elf).iter().map(as_readelf_prints).collect();
        let lines: Vec<_> = expected.lines().map(str::trim_end).collect();
        assert_eq!(printed, lines, "{name}");
    }
}

#[test]
fn sections_have_the_names_of_readelf() {
    let cases: [(&str, &[&str]); 3] = [
        (
            "x86_64",
            &[
                "",
                ".note.gnu.property",
                ".note.gnu.build-id",
                ".text",
                ".bss",
                ".symtab",
                ".strtab",
                ".shstrtab",
            ],
        ),
        ("i386", &["", ".text", ".symtab", ".strtab", ".shstrtab"]),
        ("s390x", &["", ".text", ".symtab", ".strtab", ".shstrtab"]),
    ];
    for (name, expected) in cases {
        let bytes = sample(&format!("programs/{name}"));
        let elf = Elf::parse(&bytes).unwrap();
        let strings = elf.section_names().unwrap();
        let names = elf
            .sections()
            .unwrap()
            .map(|section| strings.get(section.name).unwrap());
        assert!(
            names.eq(expected.iter().map(|name| name.as_bytes())),
            "{name}"
        );
    }
}

#[test]
fn program_notes_are_padded_as_their_section_says() {
    let bytes = sample("programs/x86_64");
    let elf = Elf::parse(&bytes).unwrap();
    let found: Vec<_> = notes(&elf)
        .iter()
        .map(|note| (note.kind, note.desc.len()))
        .collect();
    assert_eq!(
        found,
        [(NoteType::GNU_PROPERTY, 0x20), (NoteType::GNU_BUILD_ID, 20)]
    );
    let sections = elf.sections().unwrap();
    let of_sections = sections.filter(|section| section.kind.name() == Some("NOTE"));
    let of_sections = of_sections.flat_map(|section| elf.section_notes(&section).unwrap());
    assert!(of_sections.map(Result::unwrap).eq(notes(&elf)));
}

/// The registers of the first `NT_PRSTATUS`.
fn registers(bytes: &[u8]) -> Vec<(&'static str, u64)> {
    let elf = Elf::parse(bytes).unwrap();
    let note = notes(&elf)
        .into_iter()
        .find(|note| note.kind == NoteType::PRSTATUS)
        .unwrap();
    let header = elf.header();
    let prstatus = Prstatus::parse(
        note.desc,
        header.machine,
        header.encoding(),
        note.desc_offset,
    )
    .unwrap();
    assert_ne!(prstatus.pid(), 0);
    // SIGILL: each program ends in an instruction that does not exist.
    assert_eq!(prstatus.signal(), 4);
    prstatus.registers().collect()
}

#[test]
fn registers_hold_what_the_programs_loaded() {
    let counted = |prefix: &str, range: std::ops::Range<u64>, base: u64| {
        range
            .map(|at| (format!("{prefix}{at}"), base + at))
            .collect::<Vec<_>>()
    };
    let named = |pairs: &[(&str, u64)]| {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value))
            .collect::<Vec<_>>()
    };
    let nibble = |digit: u64| digit * 0x1111_1111_1111_1111;
    let mut x86_64 = named(&[
        ("rax", nibble(1)),
        ("rbx", nibble(2)),
        ("rcx", nibble(3)),
        ("rdx", nibble(4)),
        ("rsi", nibble(5)),
        ("rdi", nibble(6)),
        ("rbp", nibble(7)),
        ("r15", 0xf0f0_f0f0_f0f0_f0f0),
        ("cs", 0x33),
        ("ss", 0x2b),
    ]);
    x86_64.extend((8..15).map(|at| (format!("r{at}"), nibble(at))));
    let i386 = named(&[
        ("eax", 0x1111_1111),
        ("ebx", 0x2222_2222),
        ("ecx", 0x3333_3333),
        ("edx", 0x4444_4444),
        ("esi", 0x5555_5555),
        ("edi", 0x6666_6666),
        ("ebp", 0x7777_7777),
        ("cs", 0x23),
        ("ss", 0x2b),
    ]);
    let mut s390x = named(&[("r0", 0x101), ("acr2", 0x2222), ("acr15", 0x7777)]);
    s390x.extend((1..8).map(|at| (format!("r{at}"), 0x1111 * at)));
    s390x.extend((8..15).map(|at| (format!("r{at}"), 0x101 * at)));
    let arm = [
        counted("r", 0..13, 0x40),
        named(&[("sp", 0x4d), ("lr", 0x4e)]),
    ]
    .concat();
    let mut ppc64 = counted("r", 0..32, 0x1000);
    ppc64.extend(named(&[("lr", 0x1005), ("ctr", 0x1006)]));
    let mips = |names: &str| {
        let names = names.split(' ').zip(0x1001..);
        let mut registers: Vec<_> = names
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        // Those of the kernel.
        registers.retain(|(name, _)| !["k0", "k1"].contains(&name.as_str()));
        registers.extend(named(&[("zero", 0), ("lo", 0x1005), ("hi", 0x1006)]));
        registers
    };
    let (before, after) = (
        "at v0 v1 a0 a1 a2 a3",
        "s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp s8 ra",
    );
    let mips32 = mips(&format!("{before} t0 t1 t2 t3 t4 t5 t6 t7 {after}"));
    let mips64 = mips(&format!("{before} a4 a5 a6 a7 t0 t1 t2 t3 {after}"));

    // Where each program ends: at the instruction that does not exist.
    let cases = [
        ("x86_64", x86_64, "rip", 0x40_027a),
        ("i386", i386, "eip", 0x804_8097),
        ("s390x", s390x, "pswa", 0x100_0114),
        ("arm", arm, "pc", 0x1_0000 + 84 + 15 * 4),
        (
            "arm64",
            counted("x", 0..31, 0x1000),
            "pc",
            0x1_0000 + 120 + 31 * 4,
        ),
        ("mips", mips32, "pc", 0x1_0000 + 84 + 33 * 4),
        ("mips64", mips64, "pc", 0x1_0000 + 120 + 33 * 4),
        ("ppc", ppc64.clone(), "pc", 0x1_0000 + 84 + 34 * 4),
        ("ppc64", ppc64.clone(), "pc", 0x1_0000 + 120 + 34 * 4),
        ("ppc64le", ppc64, "pc", 0x1_0000 + 120 + 34 * 4),
        (
            "loongarch64",
            counted("r", 1..32, 0x100),
            "pc",
            0x1_0000 + 120 + 31 * 4,
        ),
    ];
    for (name, expected, pc, end) in cases {
        let found = registers(&sample(&format!("cores/{name}")));
        let get = |name: &str| found.iter().find(|(found, _)| *found == name).unwrap().1;
        for (register, value) in expected {
            assert_eq!(get(&register), value, "{register} of {name}");
        }
        assert_eq!(get(pc), end, "{pc} of {name}");
    }
}

fn prstatus_notes<'a>(
    notes: &[Note<'a>],
    machine: Machine,
    encoding: Encoding,
) -> Vec<Prstatus<'a>> {
    let notes = notes
        .iter()
        .filter(|note| note.kind == NoteType::PRSTATUS && note.name == b"CORE");
    notes
        .map(|note| Prstatus::parse(note.desc, machine, encoding, note.desc_offset).unwrap())
        .collect()
}

#[test]
fn the_dump_of_a_pae_guest_has_32_bit_notes_under_elf64_headers() {
    let bytes = sample("qemu/i386-pae");
    let elf = Elf::parse(&bytes).unwrap();
    let header = elf.header();
    assert_eq!(
        (header.machine, header.encoding().class),
        (Machine::I386, Class::Elf64)
    );
    assert_eq!(header.ehsize, 8);
    let cpus = prstatus_notes(&notes(&elf), header.machine, header.encoding());
    assert_eq!(cpus.len(), 2);
    for (cpu, prstatus) in cpus.iter().enumerate() {
        assert_eq!(prstatus.pid() as usize, cpu + 1);
        // Where the processor starts after a reset.
        let registers = ["cs", "eip", "eflags"].map(|name| prstatus.register(name).unwrap());
        assert_eq!(registers, [0xf000, 0xfff0, 2]);
    }
}

#[test]
fn registers_of_a_riscv_guest_are_those_its_debugger_saw() {
    let bytes = sample("qemu/riscv64.notes");
    let found: Vec<_> = Notes::new(&bytes, Endian::Little, 4, 0)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Little,
    };
    let cpus = prstatus_notes(&found, Machine::RISCV, encoding);
    assert_eq!(cpus.len(), 2);
    let registers = ["pc", "ra", "sp", "gp"].map(|name| cpus[0].register(name).unwrap());
    assert_eq!(
        registers,
        [
            0xffff_ffff_80a6_944c,
            0xffff_ffff_80a6_b0e0,
            0xffff_ffff_81c0_3de0,
            0xffff_ffff_81db_6718
        ]
    );
}

#[test]
fn a_kernel_s_dump_has_its_registers_and_vmcoreinfo() {
    let bytes = sample("kernel/x86_64-vmcore.head");
    let elf = Elf::parse(&bytes).unwrap();
    let notes = notes(&elf);
    assert_eq!(
        notes.iter().map(|note| note.offset).collect::<Vec<_>>(),
        [0x1000, 0x1164, 0x12c8]
    );
    let vmcoreinfo = notes
        .iter()
        .find(|note| note.name == b"VMCOREINFO")
        .unwrap();
    assert!(
        vmcoreinfo
            .desc
            .starts_with(b"OSRELEASE=6.1.0-56-cloud-amd64\n")
    );
    let at = vmcoreinfo.desc_offset as usize;
    assert_eq!(bytes[at..][..vmcoreinfo.desc.len()], *vmcoreinfo.desc);
    let cpus = prstatus_notes(&notes, Machine::X86_64, elf.header().encoding());
    assert_eq!(cpus.len(), 2);
    // Both were in the kernel's text, whose PT_LOAD is the first.
    let text = elf
        .segments()
        .find(|segment| segment.kind == SegmentType::LOAD)
        .unwrap();
    for cpu in cpus {
        let rip = cpu.register("rip").unwrap();
        assert!((text.vaddr..text.vaddr + text.memsz).contains(&rip));
    }
}

#[test]
fn a_kernel_s_prstatus_is_built_as_it_was_found() {
    let bytes = sample("kernel/x86_64-vmcore.head");
    let elf = Elf::parse(&bytes).unwrap();
    let encoding = elf.header().encoding();
    let notes = notes(&elf);
    for (note, cpu) in notes
        .iter()
        .zip(prstatus_notes(&notes, Machine::X86_64, encoding))
    {
        let registers: Vec<u64> = cpu.registers().map(|(_, value)| value).collect();
        let builder = prstatus::Builder {
            layout: cpu.layout(),
            endian: encoding.endian,
            pid: cpu.pid(),
            signal: cpu.signal(),
            registers: &registers,
        };
        let mut desc = vec![0; builder.emitted_len()];
        builder.emit(&mut desc).unwrap();
        assert_eq!(desc, note.desc);
    }
}

/// The first state of an x86 CPU: `info registers` of the machine says the same.
#[test]
fn qemu_adds_the_state_of_a_cpu() {
    let bytes = sample("qemu/i386-pae");
    let states: Vec<_> = notes(&Elf::parse(&bytes).unwrap())
        .into_iter()
        .filter(|note| note.name == qemu_cpu::NOTE_NAME)
        .collect();
    assert_eq!(states.len(), 2);
    for note in states {
        let mut state = CpuState::parse(note.desc, note.desc_offset).unwrap();
        assert_eq!(state.general_mut("rip"), Some(&mut 0xfff0));
        assert_eq!(state.general_mut("rdx"), Some(&mut 0x663));
        assert_eq!(state.general_mut("rflags"), Some(&mut 2));
        let cs = CpuSegment {
            selector: 0xf000,
            limit: 0xffff,
            flags: 0x9b00,
            base: 0xffff_0000,
        };
        assert_eq!(state.segment_mut("cs"), Some(&mut { cs }));
        assert_eq!(state.segment_mut("idt").unwrap().limit, 0xffff);
        assert_eq!(state.control, [0x6000_0010, 0, 0, 0, 0]);
        assert_eq!((state.kernel_gs_base, state.rest), (Some(0), &[][..]));

        let mut out = vec![0xff; state.emitted_len()];
        state.emit(&mut out).unwrap();
        assert_eq!(out, note.desc);
    }
}
