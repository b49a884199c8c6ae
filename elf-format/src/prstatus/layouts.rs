//! The registers of each machine, and where they are in the descriptor.
//!
//! ```text
//!  0             pid                  72 or 112            size
//!  ├── … ────────┼──── … ─────────────┼─────┬─────┬── … ────┤
//!  │ signals …   │ pr_pid, times …    │ register  │ …       │ 4 or 8 bytes each
//!  └── … ────────┴──── … ─────────────┴─────┴─────┴── … ────┘
//! ```
//!
//! Source: each layout cites the structure of its registers. Their names are gdb's, or that
//! structure's for those that gdb does not show.

use crate::{ident::Class, machine::Machine};

/// `pr_pid` where a long has 32 bits.
const PID32: usize = 24;
/// `pr_pid` where a long has 64 bits.
const PID64: usize = 32;

/// Where a register is in the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// Its name in gdb, or in the kernel's structure.
    pub name: &'static str,
    /// Offset in the descriptor in bytes.
    pub offset: usize,
    /// Length in bytes: 4 or 8.
    pub width: usize,
}

/// How one machine lays out the descriptor.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whose registers these are.
    pub machine: Machine,
    /// Length of the descriptor in bytes.
    pub size: usize,
    /// Offset of `pr_pid` in bytes.
    pub pid: usize,
    /// The registers in the order of the descriptor, without reserved ones.
    pub registers: &'static [Register],
}

/// Places registers one after the other: `start: width [names] …`.
macro_rules! registers {
    ($start:literal: $($width:literal [$($name:literal)*])*) => {
        &place($start, [$($(($name, $width),)*)*])
    };
}

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where overflow and a wrong index do not build"
)]
const fn place<const N: usize>(start: usize, names: [(&'static str, usize); N]) -> [Register; N] {
    let mut registers = [Register {
        name: "",
        offset: 0,
        width: 0,
    }; N];
    let mut offset = start;
    let mut index = 0;
    while index < N {
        let (name, width) = names[index];
        registers[index] = Register {
            name,
            offset,
            width,
        };
        offset += width;
        index += 1;
    }
    registers
}

/// `struct user_regs_struct` in Linux `arch/x86/include/asm/user_64.h`.
static X86_64: Layout = Layout {
    machine: Machine::X86_64,
    size: 336,
    pid: PID64,
    registers: registers!(112: 8 [
        "r15" "r14" "r13" "r12" "rbp" "rbx" "r11" "r10" "r9" "r8" "rax" "rcx" "rdx" "rsi" "rdi"
        "orig_rax" "rip" "cs" "eflags" "rsp" "ss" "fs_base" "gs_base" "ds" "es" "fs" "gs"
    ]),
};

/// `struct user_regs_struct` in Linux `arch/x86/include/asm/user_32.h`.
static I386: Layout = Layout {
    machine: Machine::I386,
    size: 144,
    pid: PID32,
    registers: registers!(72: 4 [
        "ebx" "ecx" "edx" "esi" "edi" "ebp" "eax" "ds" "es" "fs" "gs" "orig_eax" "eip" "cs"
        "eflags" "esp" "ss"
    ]),
};

/// `struct user_pt_regs` in Linux `arch/arm64/include/uapi/asm/ptrace.h`; gdb calls `pstate`
/// `cpsr`.
static AARCH64: Layout = Layout {
    machine: Machine::AARCH64,
    size: 392,
    pid: PID64,
    registers: registers!(112: 8 [
        "x0" "x1" "x2" "x3" "x4" "x5" "x6" "x7" "x8" "x9" "x10" "x11" "x12" "x13" "x14" "x15"
        "x16" "x17" "x18" "x19" "x20" "x21" "x22" "x23" "x24" "x25" "x26" "x27" "x28" "x29" "x30"
        "sp" "pc" "pstate"
    ]),
};

/// `struct pt_regs` in Linux `arch/arm/include/uapi/asm/ptrace.h`.
static ARM: Layout = Layout {
    machine: Machine::ARM,
    size: 148,
    pid: PID32,
    registers: registers!(72: 4 [
        "r0" "r1" "r2" "r3" "r4" "r5" "r6" "r7" "r8" "r9" "r10" "r11" "r12" "sp" "lr" "pc" "cpsr"
        "orig_r0"
    ]),
};

/// `struct user_regs_struct` in Linux `arch/riscv/include/uapi/asm/ptrace.h`.
static RISCV64: Layout = Layout {
    machine: Machine::RISCV,
    size: 376,
    pid: PID64,
    registers: registers!(112: 8 [
        "pc" "ra" "sp" "gp" "tp" "t0" "t1" "t2" "s0" "s1" "a0" "a1" "a2" "a3" "a4" "a5" "a6" "a7"
        "s2" "s3" "s4" "s5" "s6" "s7" "s8" "s9" "s10" "s11" "t3" "t4" "t5" "t6"
    ]),
};

/// As [`RISCV64`], in 32 bits.
static RISCV32: Layout = Layout {
    machine: Machine::RISCV,
    size: 204,
    pid: PID32,
    registers: registers!(72: 4 [
        "pc" "ra" "sp" "gp" "tp" "t0" "t1" "t2" "s0" "s1" "a0" "a1" "a2" "a3" "a4" "a5" "a6" "a7"
        "s2" "s3" "s4" "s5" "s6" "s7" "s8" "s9" "s10" "s11" "t3" "t4" "t5" "t6"
    ]),
};

/// As [`PPC64`], in 32 bits.
static PPC: Layout = Layout {
    machine: Machine::PPC,
    size: 268,
    pid: PID32,
    registers: registers!(72: 4 [
        "r0" "r1" "r2" "r3" "r4" "r5" "r6" "r7" "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"
        "r16" "r17" "r18" "r19" "r20" "r21" "r22" "r23" "r24" "r25" "r26" "r27" "r28" "r29" "r30"
        "r31" "pc" "msr" "orig_r3" "ctr" "lr" "xer" "cr" "mq" "trap" "dar" "dsisr" "result"
    ]),
};

/// `struct pt_regs` in Linux `arch/powerpc/include/uapi/asm/ptrace.h`; four reserved words follow
/// (`ELF_NGREG` is 48).
static PPC64: Layout = Layout {
    machine: Machine::PPC64,
    size: 504,
    pid: PID64,
    registers: registers!(112: 8 [
        "r0" "r1" "r2" "r3" "r4" "r5" "r6" "r7" "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"
        "r16" "r17" "r18" "r19" "r20" "r21" "r22" "r23" "r24" "r25" "r26" "r27" "r28" "r29" "r30"
        "r31" "pc" "msr" "orig_r3" "ctr" "lr" "xer" "cr" "softe" "trap" "dar" "dsisr" "result"
    ]),
};

/// `MIPS32_EF_*` in Linux `arch/mips/include/uapi/asm/reg.h`; six reserved words come before, one after.
static MIPS: Layout = Layout {
    machine: Machine::MIPS,
    size: 256,
    pid: PID32,
    registers: registers!(96: 4 [
        "zero" "at" "v0" "v1" "a0" "a1" "a2" "a3" "t0" "t1" "t2" "t3" "t4" "t5" "t6" "t7"
        "s0" "s1" "s2" "s3" "s4" "s5" "s6" "s7" "t8" "t9" "k0" "k1" "gp" "sp" "s8" "ra"
        "lo" "hi" "pc" "bad" "sr" "cause"
    ]),
};

/// `MIPS64_EF_*` in Linux `arch/mips/include/uapi/asm/reg.h`; seven reserved words follow (`ELF_NGREG`
/// is 45).
static MIPS64: Layout = Layout {
    machine: Machine::MIPS,
    size: 480,
    pid: PID64,
    registers: registers!(112: 8 [
        "zero" "at" "v0" "v1" "a0" "a1" "a2" "a3" "a4" "a5" "a6" "a7" "t0" "t1" "t2" "t3"
        "s0" "s1" "s2" "s3" "s4" "s5" "s6" "s7" "t8" "t9" "k0" "k1" "gp" "sp" "s8" "ra"
        "lo" "hi" "pc" "bad" "sr" "cause"
    ]),
};

/// `s390_regs` in Linux `arch/s390/include/uapi/asm/ptrace.h`.
static S390X: Layout = Layout {
    machine: Machine::S390,
    size: 336,
    pid: PID64,
    registers: registers!(112:
        8 [
            "pswm" "pswa" "r0" "r1" "r2" "r3" "r4" "r5" "r6" "r7" "r8" "r9" "r10" "r11" "r12"
            "r13" "r14" "r15"
        ]
        4 [
            "acr0" "acr1" "acr2" "acr3" "acr4" "acr5" "acr6" "acr7" "acr8" "acr9" "acr10" "acr11"
            "acr12" "acr13" "acr14" "acr15"
        ]
        8 ["orig_r2"]
    ),
};

/// `LOONGARCH_EF_*` in Linux `arch/loongarch/include/uapi/asm/reg.h`; five reserved words follow
/// (`ELF_NGREG` is 45).
static LOONGARCH64: Layout = Layout {
    machine: Machine::LOONGARCH,
    size: 480,
    pid: PID64,
    registers: registers!(112: 8 [
        "r0" "r1" "r2" "r3" "r4" "r5" "r6" "r7" "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"
        "r16" "r17" "r18" "r19" "r20" "r21" "r22" "r23" "r24" "r25" "r26" "r27" "r28" "r29" "r30"
        "r31" "orig_a0" "pc" "badv" "crmd" "prmd" "euen" "ecfg" "estat"
    ]),
};

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where a wrong index does not build"
)]
const _: () = {
    let all = [
        &X86_64,
        &I386,
        &AARCH64,
        &ARM,
        &RISCV64,
        &RISCV32,
        &PPC,
        &PPC64,
        &MIPS,
        &MIPS64,
        &S390X,
        &LOONGARCH64,
    ];
    let mut at = 0;
    while at < all.len() {
        assert!(all[at].registers.len() <= super::REGISTERS_MAX);
        at += 1;
    }
};

impl Layout {
    /// The layout of a machine's own kernel.
    ///
    /// `None` for machines and classes without one here. For i386 and ARM either class will do: where memory
    /// passes 4 GiB (PAE, LPAE), QEMU and kexec-tools put ELF64 headers around 32-bit notes.
    #[must_use]
    pub fn for_machine(machine: Machine, class: Class) -> Option<&'static Self> {
        match (machine, class) {
            (Machine::X86_64, Class::Elf64) => Some(&X86_64),
            (Machine::I386, _) => Some(&I386),
            (Machine::AARCH64, Class::Elf64) => Some(&AARCH64),
            (Machine::ARM, _) => Some(&ARM),
            (Machine::RISCV, Class::Elf64) => Some(&RISCV64),
            (Machine::RISCV, Class::Elf32) => Some(&RISCV32),
            (Machine::PPC, Class::Elf32) => Some(&PPC),
            (Machine::PPC64, Class::Elf64) => Some(&PPC64),
            (Machine::MIPS, Class::Elf32) => Some(&MIPS),
            (Machine::MIPS, Class::Elf64) => Some(&MIPS64),
            (Machine::S390, Class::Elf64) => Some(&S390X),
            (Machine::LOONGARCH, Class::Elf64) => Some(&LOONGARCH64),
            _ => None,
        }
    }

    /// The layout of a descriptor of `len` bytes.
    ///
    /// On x86 the length decides, not the header: kexec-tools and QEMU choose the ELF class by
    /// the size of memory, and a CPU of either width writes the notes.
    #[must_use]
    pub fn for_desc(machine: Machine, class: Class, len: usize) -> Option<&'static Self> {
        match (machine, len) {
            (Machine::X86_64 | Machine::I386, 336) => Some(&X86_64),
            (Machine::X86_64 | Machine::I386, 144) => Some(&I386),
            _ => Self::for_machine(machine, class),
        }
    }

    /// Where the last register ends, in bytes.
    #[must_use]
    pub fn registers_end(&self) -> usize {
        // Never saturates: a layout has hundreds of bytes.
        self.registers
            .last()
            .map_or(0, |last| last.offset.saturating_add(last.width))
    }

    /// The register of that name.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<&'static Register> {
        self.registers.iter().find(|register| register.name == name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::vec::Vec;

    use super::*;

    /// Every layout.
    pub(crate) const ALL: [(&Layout, Class); 12] = [
        (&X86_64, Class::Elf64),
        (&I386, Class::Elf32),
        (&AARCH64, Class::Elf64),
        (&ARM, Class::Elf32),
        (&RISCV64, Class::Elf64),
        (&RISCV32, Class::Elf32),
        (&PPC, Class::Elf32),
        (&PPC64, Class::Elf64),
        (&MIPS, Class::Elf32),
        (&MIPS64, Class::Elf64),
        (&S390X, Class::Elf64),
        (&LOONGARCH64, Class::Elf64),
    ];

    #[test]
    fn registers_are_where_the_headers_have_them() {
        // Counted by hand from the structures that the layouts cite.
        let offsets = [
            (&X86_64, "r15", 112),
            (&X86_64, "rip", 240),
            (&X86_64, "rsp", 264),
            (&X86_64, "gs", 320),
            (&I386, "ebx", 72),
            (&I386, "eip", 120),
            (&I386, "ss", 136),
            (&AARCH64, "x30", 352),
            (&AARCH64, "sp", 360),
            (&AARCH64, "pstate", 376),
            (&ARM, "sp", 124),
            (&ARM, "pc", 132),
            (&ARM, "orig_r0", 140),
            (&RISCV64, "pc", 112),
            (&RISCV64, "sp", 128),
            (&RISCV64, "t6", 360),
            (&RISCV32, "pc", 72),
            (&RISCV32, "t6", 196),
            (&PPC, "r1", 76),
            (&PPC, "pc", 200),
            (&PPC, "result", 244),
            (&MIPS, "ra", 220),
            (&MIPS, "pc", 232),
            (&MIPS, "cause", 244),
            (&MIPS64, "ra", 360),
            (&MIPS64, "pc", 384),
            (&MIPS64, "cause", 408),
            (&PPC64, "r1", 120),
            (&PPC64, "pc", 368),
            (&PPC64, "result", 456),
            (&S390X, "pswa", 120),
            (&S390X, "r15", 248),
            (&S390X, "acr0", 256),
            (&S390X, "orig_r2", 320),
            (&LOONGARCH64, "r3", 136),
            (&LOONGARCH64, "pc", 376),
            (&LOONGARCH64, "estat", 424),
        ];
        for (layout, name, offset) in offsets {
            assert_eq!(layout.register(name).unwrap().offset, offset, "{name}");
        }
    }

    #[test]
    fn layouts_are_consistent() {
        for (layout, class) in ALL {
            let found = Layout::for_machine(layout.machine, class).unwrap();
            assert_eq!(found.machine, layout.machine);
            assert!(
                layout
                    .registers
                    .is_sorted_by(|a, b| a.offset + a.width <= b.offset)
            );
            // pr_fpvalid, an int, comes after the registers.
            let last = layout.registers.last().unwrap();
            assert!(last.offset + last.width + 4 <= layout.size);
            let mut names: Vec<_> = layout
                .registers
                .iter()
                .map(|register| register.name)
                .collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), layout.registers.len());
        }
    }

    #[test]
    fn only_known_machines_have_layouts() {
        for machine in [Machine::ALPHA, Machine::NONE, Machine(0xffff)] {
            assert_eq!(Layout::for_machine(machine, Class::Elf64), None);
        }
        assert_eq!(Layout::for_machine(Machine::X86_64, Class::Elf32), None);
    }

    #[test]
    fn of_32_bit_machines_with_more_memory_either_class_will_do() {
        for class in [Class::Elf32, Class::Elf64] {
            assert_eq!(Layout::for_machine(Machine::ARM, class), Some(&ARM));
            assert_eq!(Layout::for_machine(Machine::I386, class), Some(&I386));
        }
    }

    #[test]
    fn on_x86_the_length_decides() {
        for machine in [Machine::X86_64, Machine::I386] {
            for class in [Class::Elf32, Class::Elf64] {
                assert_eq!(Layout::for_desc(machine, class, 144), Some(&I386));
                assert_eq!(Layout::for_desc(machine, class, 336), Some(&X86_64));
            }
        }
        assert_eq!(
            Layout::for_desc(Machine::I386, Class::Elf64, 99),
            Some(&I386)
        );
        assert_eq!(
            Layout::for_desc(Machine::S390, Class::Elf64, 144),
            Some(&S390X)
        );
    }
}
