//! The core of an x86-64 guest out of its RAM and registers, as a hypervisor has them:
//! `guest_core OUT REGISTERS VMCOREINFO START[@VIRT]=RAM…`.
//!
//! - `REGISTERS`: lines of `CPU NAME VALUE`, numbers in hexadecimal. Names are gdb's (`rip`, `eflags`, `cs`,
//!   `fs_base`), and `cr0` to `cr4`, `kernel_gs_base`, `NAME_base`, `NAME_limit` and `NAME_flags` of segment
//!   registers, `ldt`, `tr`, `gdt` and `idt` for the note that QEMU adds. What is not there is 0.
//! - `VMCOREINFO`: the text that the guest's kernel has about itself; an empty file for none.
//! - `RAM`: a file of raw memory that begins at physical address `START`, and at virtual address `VIRT` for the
//!   guest's kernel, in hexadecimal. Debuggers read by virtual addresses, tools for dumps by physical ones.
//!
//! Compare `readelf -hlnW OUT`, `gdb -batch -ex 'info registers' -c OUT`.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs::{self, File},
    os::unix::fs::FileExt,
};

use elf_format::{
    Class, CpuState, Encoding, Endian, Machine, NoteType, note,
    prstatus::{self, Layout, Registers},
    qemu_cpu,
};
use physmem::{PageShift, PhysAddr, PhysRange, VirtAddr};
use vmcore_format::build::core::{Core, Part};

const X86_64: Encoding = Encoding {
    class: Class::Elf64,
    endian: Endian::Little,
};
/// How much memory is copied at once.
const BUFFER: usize = 1 << 20;

/// A processor's registers by name.
type Named = BTreeMap<String, u64>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [out, registers, vmcoreinfo, ram @ ..] = arguments.as_slice() else {
        return Err("usage: guest_core OUT REGISTERS VMCOREINFO START[@VIRT]=RAM…".into());
    };
    let ram = ram.iter().map(|word| open_ram(word));
    let ram = ram.collect::<Result<Vec<(Part, File)>, _>>()?;

    let cpus = parse_registers(&fs::read_to_string(registers)?)?;
    let statuses = cpus.iter().map(|(cpu, named)| prstatus_desc(*cpu, named));
    let statuses = statuses.collect::<Result<Vec<_>, _>>()?;
    let states = cpus
        .values()
        .map(qemu_desc)
        .collect::<Result<Vec<_>, _>>()?;
    let vmcoreinfo = fs::read(vmcoreinfo)?;

    let mut notes = Vec::new();
    notes.extend(statuses.iter().map(|desc| note::Builder {
        name: b"CORE",
        kind: NoteType::PRSTATUS,
        desc,
    }));
    notes.extend(states.iter().map(|desc| note::Builder {
        name: qemu_cpu::NOTE_NAME,
        kind: NoteType(0),
        desc,
    }));
    if !vmcoreinfo.is_empty() {
        notes.push(note::Builder {
            name: b"VMCOREINFO",
            kind: NoteType(0),
            desc: &vmcoreinfo,
        });
    }

    let parts = ram.iter().map(|(part, _)| *part);
    let core = Core::new(X86_64, Machine::X86_64, PageShift::SIZE_4K, &notes, parts);
    let file = File::create(out)?;
    file.write_all_at(&core.to_vec()?, 0)?;
    let mut buffer = vec![0; BUFFER];
    for (piece, (_, memory)) in core.pieces()?.zip(&ram) {
        for chunk in piece.chunks(BUFFER) {
            let at = chunk.offset - piece.offset;
            buffer.truncate(usize::try_from(chunk.range.size())?);
            memory.read_exact_at(&mut buffer, at)?;
            file.write_all_at(&buffer, chunk.offset)?;
        }
        buffer.resize(BUFFER, 0);
    }
    Ok(())
}

/// `START[@VIRT]=FILE`
fn open_ram(word: &str) -> Result<(Part, File), Box<dyn Error>> {
    let (place, path) = word.split_once('=').ok_or("RAM is START[@VIRT]=FILE")?;
    let (start, virt) = match place.split_once('@') {
        Some((start, virt)) => (start, Some(VirtAddr::new(hex(virt)?))),
        None => (place, None),
    };
    let file = File::open(path)?;
    let range = PhysRange::with_size(PhysAddr::new(hex(start)?), file.metadata()?.len())?;
    let part = Part {
        virt,
        ..Part::stored(range)
    };
    Ok((part, file))
}

/// `CPU NAME VALUE` a line.
fn parse_registers(text: &str) -> Result<BTreeMap<u32, Named>, Box<dyn Error>> {
    let mut cpus = BTreeMap::<u32, Named>::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [cpu, name, value] = words[..] else {
            return Err(format!("'{line}' is not CPU NAME VALUE").into());
        };
        let named = cpus.entry(cpu.parse()?).or_default();
        named.insert(name.to_owned(), hex(value)?);
    }
    Ok(cpus)
}

fn hex(text: &str) -> Result<u64, Box<dyn Error>> {
    Ok(u64::from_str_radix(text.trim_start_matches("0x"), 16)?)
}

/// The descriptor of a CPU's NT_PRSTATUS.
fn prstatus_desc(cpu: u32, named: &Named) -> Result<Vec<u8>, Box<dyn Error>> {
    let layout = Layout::for_machine(Machine::X86_64, X86_64.class).ok_or("no layout")?;
    let mut registers = Registers::new(layout);
    for (name, value) in named {
        // What it lacks is in the note that QEMU adds.
        if let Some(register) = registers.get_mut(name) {
            *register = *value;
        }
    }
    let status = prstatus::Builder {
        layout,
        endian: X86_64.endian,
        // As QEMU numbers them; a kernel would tell the task.
        pid: cpu + 1,
        signal: 0,
        registers: registers.values(),
    };
    let mut desc = vec![0; status.emitted_len()];
    status.emit(&mut desc)?;
    Ok(desc)
}

/// The descriptor of the note that QEMU adds of a CPU.
fn qemu_desc(named: &Named) -> Result<Vec<u8>, Box<dyn Error>> {
    let get = |name: &str| named.get(name).copied().unwrap_or(0);
    let mut state = CpuState::default();
    for (register, name) in state.general.iter_mut().zip(qemu_cpu::GENERAL) {
        *register = get(if name == "rflags" { "eflags" } else { name });
    }
    for (segment, name) in state.segments.iter_mut().zip(qemu_cpu::SEGMENTS) {
        segment.selector = u32::try_from(get(name))?;
        segment.limit = u32::try_from(get(&format!("{name}_limit")))?;
        segment.flags = u32::try_from(get(&format!("{name}_flags")))?;
        segment.base = get(&format!("{name}_base"));
    }
    for (register, number) in state.control.iter_mut().zip(0..) {
        *register = get(&format!("cr{number}"));
    }
    state.kernel_gs_base = named.get("kernel_gs_base").copied();
    let mut desc = vec![0; state.emitted_len()];
    state.emit(&mut desc)?;
    Ok(desc)
}
