//! The page tables that a CPU used, for dumps that do not say where the kernel's are.
//!
//! ```text
//!  CR3    63      52 51                        12 11      0
//!         │          │ the root table            │ flags  │
//!  CR0    bit 31, PG: paging is on       CR4    bit 12, LA57: five levels; bit 5, PAE
//!
//!  s390x  NT_S390_CTRS: sixteen control registers of eight bytes; 13, the home space, is Linux's kernel
//! ```
//!
//! QEMU and other hypervisors write the registers of x86 into a note of each CPU, whatever the guest runs;
//! dumps of s390x have those of its CPUs. The tables of x86 are those of a process and the kernel; or, where
//! page table isolation is on and the CPU ran user space, of that and little more.
//!
//! Source: Intel SDM volume 3A, 2.5 (control registers), 4.1.1 (paging modes), table 4-12 (CR3);
//! `setup_vmem` (arch/s390/boot/vmem.c).

#![deny(clippy::arithmetic_side_effects)]

use elf_format::{CpuState, Machine, Note, NoteType, qemu_cpu};
use page_walk::{AnyWalker, Mode, S390x, X86, X86_64, X86Pae};
use physmem::{Endian, PhysAddr, Width};

use super::paging;
use crate::{Dump, Error, ReadAt};

const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;

/// Bytes of NT_S390_CTRS, and where control register 13 is.
const CONTROLS: usize = 16 * 8;
const HOME_SPACE: usize = 13 * 8;

/// The page tables of the first CPU that had paging on, `None` if no note tells of one.
///
/// # Errors
///
/// [`Error::UnsupportedMachine`] for one whose page tables this version cannot walk; what is wrong with the notes before the one
/// that tells.
pub fn walker_of_cpu<S: ReadAt>(dump: &Dump<S>) -> Result<Option<AnyWalker>, Error> {
    let machine = dump.machine();
    paging::check(machine)?;
    for note in dump.notes() {
        let note = note?;
        if note.name == qemu_cpu::NOTE_NAME && note.kind == NoteType(0) {
            let state = CpuState::parse(note.desc, note.desc_offset)?;
            if let Some(walker) = walker(machine, &state) {
                return Ok(Some(walker));
            }
        }
        if machine == Machine::S390 && note.kind == NoteType::S390_CTRS {
            if let Some(walker) = home_space(&note)? {
                return Ok(Some(walker));
            }
        }
    }
    Ok(None)
}

/// `None` of a CPU that never ran.
fn home_space(note: &Note<'_>) -> Result<Option<AnyWalker>, Error> {
    let asce = note.desc.get(..CONTROLS).and_then(|controls| {
        let register = controls.get(HOME_SPACE..)?;
        Width::U64.decode(register, Endian::Big)
    });
    let asce = asce.ok_or(Error::Truncated {
        what: "NT_S390_CTRS",
        offset: note.desc_offset,
        needed: CONTROLS as u64,
        available: note.desc.len() as u64,
    })?;
    let walker = Some(asce).filter(|asce| *asce != 0);
    Ok(walker.and_then(S390x::from_asce).map(AnyWalker::from))
}

/// `None` if paging is off, or not that of the machine's kernels, or if the machine is none whose CPUs have these registers.
fn walker(machine: Machine, state: &CpuState<'_>) -> Option<AnyWalker> {
    let [cr0, ..] = state.control;
    let has = |bit| state.cr4() & bit != 0;
    let mode = match machine {
        // A CPU in 32-bit paging, which is not yet in long mode.
        Machine::X86_64 if !has(CR4_PAE) => return None,
        Machine::X86_64 if has(CR4_LA57) => Mode::X86_64(X86_64::five_level()),
        Machine::X86_64 => Mode::X86_64(X86_64::four_level()),
        Machine::I386 if has(CR4_PAE) => Mode::X86Pae(X86Pae::new()),
        Machine::I386 => Mode::X86(X86::new()),
        _ => return None,
    };
    (cr0 & CR0_PG != 0).then(|| mode.with_root(PhysAddr::new(state.cr3())))
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use elf_format::{Class, Encoding, Endian, Machine, note};
    use physmem::PageShift;

    use super::{
        super::{walker_at, walker_of},
        *,
    };
    use crate::build::core::Core;

    /// A dump of CPUs with these values in cr0, cr3 and cr4.
    fn dump(machine: Machine, cpus: &[[u64; 3]]) -> Vec<u8> {
        let state = |[cr0, cr3, cr4]: &[u64; 3]| {
            let state = CpuState {
                control: [*cr0, 0, 0, *cr3, *cr4],
                ..CpuState::default()
            };
            let mut desc = vec![0; state.emitted_len()];
            state.emit(&mut desc).unwrap();
            desc
        };
        let states: Vec<_> = cpus.iter().map(state).collect();
        dump_with(machine, (qemu_cpu::NOTE_NAME, NoteType(0)), &states)
    }

    /// A dump of nothing but notes of one kind.
    fn dump_with(machine: Machine, (name, kind): (&[u8], NoteType), descs: &[Vec<u8>]) -> Vec<u8> {
        let notes: Vec<_> = descs
            .iter()
            .map(|desc| note::Builder { name, kind, desc })
            .collect();
        let encoding = Encoding {
            class: Class::Elf64,
            endian: match machine {
                Machine::S390 => Endian::Big,
                _ => Endian::Little,
            },
        };
        let page = PageShift::SIZE_4K;
        let core = Core::new(encoding, machine, page, &notes, [].into_iter());
        core.to_vec().unwrap()
    }

    fn found(cpus: &[[u64; 3]]) -> Option<AnyWalker> {
        found_of(Machine::X86_64, cpus)
    }

    fn found_of(machine: Machine, cpus: &[[u64; 3]]) -> Option<AnyWalker> {
        let file = dump(machine, cpus);
        walker_of_cpu(&Dump::open(&file[..]).unwrap()).unwrap()
    }

    #[test]
    fn the_first_cpu_with_paging_tells_root_and_levels() {
        let off = [0x6000_0010, 0x5000, 0];
        // As a guest of QEMU had them, its PCID added.
        let four = [0x8005_0033, 0x8000_0001_0473_e123, 0x6b0];
        let five = [0x8005_0033, 0x1_00da_a000, 0x16b0];
        // As a CPU has it on its way into long mode.
        let legacy = [0x8000_0011, 0x6000, 0];
        let walker = |mode, root| Some(Mode::X86_64(mode).with_root(PhysAddr::new(root)));
        let expected = walker(X86_64::four_level(), 0x1_0473_e000);
        assert_eq!(found(&[off, legacy, four, five]), expected);
        let expected = walker(X86_64::five_level(), 0x1_00da_a000);
        assert_eq!(found(&[five, four]), expected);
        assert_eq!(found(&[off, legacy]), None);
        assert_eq!(found(&[]), None);

        // Another root has as many levels; without a CPU they are four.
        let root = PhysAddr::new(0x9000);
        for (cpus, mode) in [
            (&[five][..], X86_64::five_level()),
            (&[], X86_64::four_level()),
        ] {
            let file = dump(Machine::X86_64, cpus);
            let dump = Dump::open(&file[..]).unwrap();
            assert_eq!(walker_at(&dump, root).ok(), walker(mode, 0x9000));
            assert_eq!(walker_of(&dump).ok(), found(cpus));
        }
    }

    #[test]
    fn a_32_bit_cpu_has_pae_or_not() {
        let found = |cr4| found_of(Machine::I386, &[[0x8005_0033, 0x0127_7720, cr4]]);
        let root = PhysAddr::new;
        let pae = Mode::X86Pae(X86Pae::new()).with_root(root(0x0127_7720));
        assert_eq!(found(0x6f0), Some(pae));
        let plain = Mode::X86(X86::new()).with_root(root(0x0127_7000));
        assert_eq!(found(0x6d0), Some(plain));
        assert_eq!(found_of(Machine::AARCH64, &[[1 << 31, 0, 0]]), None);
    }

    #[test]
    fn the_first_cpu_of_s390x_that_ran_tells_its_home_space() {
        let found = |cpus: &[(usize, u64)]| {
            let registers: Vec<_> = cpus
                .iter()
                .map(|(size, asce)| {
                    let mut desc = vec![0; 128];
                    desc[HOME_SPACE..HOME_SPACE + 8].copy_from_slice(&asce.to_be_bytes());
                    desc.truncate(*size);
                    desc
                })
                .collect();
            let kind = (&b"LINUX"[..], NoteType::S390_CTRS);
            let file = dump_with(Machine::S390, kind, &registers);
            walker_of_cpu(&Dump::open(&file[..]).unwrap())
        };
        let real = S390x::from_asce(0x204_0007).map(AnyWalker::from);
        assert!(real.is_some());
        assert_eq!(found(&[(128, 0), (128, 0x204_0007)]), Ok(real));
        assert_eq!(found(&[(128, 0), (128, 0x20)]), Ok(None));
        assert_eq!(found(&[]), Ok(None));
        let short = found(&[(127, 0)]).unwrap_err();
        assert!(
            matches!(
                short,
                Error::Truncated {
                    needed: 128,
                    available: 127,
                    ..
                }
            ),
            "{short}"
        );
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        let file = dump(Machine::LOONGARCH, &[[1 << 31, 0, 0]]);
        let error = walker_of_cpu(&Dump::open(&file[..]).unwrap()).unwrap_err();
        let expected = Error::UnsupportedMachine {
            what: "walking the page tables",
            machine: Machine::LOONGARCH,
        };
        assert_eq!(error, expected);

        let mut file = dump(Machine::X86_64, &[[1 << 31, 0, 0]]);
        // The version, behind the file header, one program header, and 20 bytes of a note.
        file[140] = 9;
        let error = walker_of_cpu(&Dump::open(&file[..]).unwrap()).unwrap_err();
        let expected = elf_format::Error::Unsupported {
            what: "version of QEMUCPUState",
            offset: 140,
            value: 9,
        };
        assert_eq!(error, Error::Elf(expected));
    }
}
