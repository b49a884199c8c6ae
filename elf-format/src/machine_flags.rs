//! `e_flags` by the words that readelf has for them: what they mean depends on the machine.
//!
//! ```text
//!  MIPS  31  28 27  24 23      16 15  12 11            0
//!        ├─────┼──────┼──────────┼──────┼──────────────┤
//!        │ ISA │ ASEs │   CPU    │ ABI  │ single flags │      0x80000001, noreorder, mips64r2
//!        └─────┴──────┴──────────┴──────┴──────────────┘
//!  ARM   31      24 23                                 0
//!        ├─────────┼───────────────────────────────────┤
//!        │ EABI    │ flags, other ones for each EABI   │      0x5000200, Version5 EABI, soft-float ABI
//!        └─────────┴───────────────────────────────────┘
//! ```
//!
//! Source: the processor supplements, `EF_*` in `<elf.h>`; the words and their order as readelf 2.40 prints them.
//! It has some for ARC, NDS32, M32R, V850 and FR-V, too, which have none here.

use core::fmt;

use crate::machine::Machine;

/// Values and their words.
type Words = &'static [(u32, &'static str)];

/// Words that are printed one after the other.
#[derive(Clone, Copy)]
enum Group {
    /// A word for each of these bits that is set.
    Bits(Words),
    /// The word for what the bits of a mask say together.
    Value(u32, Words),
    /// The same, and a word for every other value but 0.
    ValueOr(u32, Words, &'static str),
}

use Group::{Bits, Value, ValueOr};

/// The bits of `EF_M68K_ARCH_MASK`.
const M68K_ARCH: u32 = 0x0381_8000;

const M68K: &[Group] = &[ValueOr(
    M68K_ARCH,
    &[
        (0, "cf"),
        (0x0081_0000, "cpu32"),
        (0x0100_0000, "m68000"),
        (0x0200_0000, "fido_a"),
    ],
    "cf",
)];

const COLDFIRE: &[Group] = &[
    ValueOr(
        0xf,
        &[
            (0, "isa unknown"),
            (1, "isa A, nodiv"),
            (2, "isa A"),
            (3, "isa A+"),
            (4, "isa B, nousp"),
            (5, "isa B"),
            (6, "isa C"),
            (7, "isa C, nodiv"),
        ],
        "isa unknown",
    ),
    Bits(&[(0x40, "float")]),
    Value(0x30, &[(0x10, "mac"), (0x20, "emac"), (0x30, "emac_b")]),
];

const MIPS: &[Group] = &[
    Bits(&[
        (0x1, "noreorder"),
        (0x2, "pic"),
        (0x4, "cpic"),
        (0x10, "ugen_reserved"),
        (0x20, "abi2"),
        (0x80, "odk first"),
        (0x100, "32bitmode"),
        (0x400, "nan2008"),
        (0x200, "fp64"),
    ]),
    ValueOr(
        0x00ff_0000,
        &[
            (0x81_0000, "3900"),
            (0x82_0000, "4010"),
            (0x83_0000, "4100"),
            (0x85_0000, "4650"),
            (0x87_0000, "4120"),
            (0x88_0000, "4111"),
            (0x8a_0000, "sb1"),
            (0x8b_0000, "octeon"),
            (0x8c_0000, "xlr"),
            (0x8d_0000, "octeon2"),
            (0x8e_0000, "octeon3"),
            (0x91_0000, "5400"),
            (0x92_0000, "5900"),
            (0x93_0000, "interaptiv-mr2"),
            (0x98_0000, "5500"),
            (0x99_0000, "9000"),
            (0xa0_0000, "loongson-2e"),
            (0xa1_0000, "loongson-2f"),
            (0xa2_0000, "gs464"),
            (0xa3_0000, "gs464e"),
            (0xa4_0000, "gs264e"),
        ],
        "unknown CPU",
    ),
    ValueOr(
        0xf000,
        &[
            (0x1000, "o32"),
            (0x2000, "o64"),
            (0x3000, "eabi32"),
            (0x4000, "eabi64"),
        ],
        "unknown ABI",
    ),
    Bits(&[
        (0x0800_0000, "mdmx"),
        (0x0400_0000, "mips16"),
        (0x0200_0000, "micromips"),
    ]),
    ValueOr(
        0xf000_0000,
        &[
            (0, "mips1"),
            (0x1000_0000, "mips2"),
            (0x2000_0000, "mips3"),
            (0x3000_0000, "mips4"),
            (0x4000_0000, "mips5"),
            (0x5000_0000, "mips32"),
            (0x6000_0000, "mips64"),
            (0x7000_0000, "mips32r2"),
            (0x8000_0000, "mips64r2"),
            (0x9000_0000, "mips32r6"),
            (0xa000_0000, "mips64r6"),
        ],
        "unknown ISA",
    ),
];

const PARISC: &[Group] = &[
    Value(
        0xffff,
        &[
            (0x20b, "PA-RISC 1.0"),
            (0x210, "PA-RISC 1.1"),
            (0x214, "PA-RISC 2.0"),
        ],
    ),
    Bits(&[
        (0x1_0000, "trapnil"),
        (0x2_0000, "ext"),
        (0x4_0000, "lsb"),
        (0x8_0000, "wide"),
        (0x10_0000, "no kabp"),
        (0x40_0000, "lazyswap"),
    ]),
];

const PPC: &[Group] = &[Bits(&[
    (0x8000_0000, "emb"),
    (0x1_0000, "relocatable"),
    (0x8000, "relocatable-lib"),
])];

const PPC64: &[Group] = &[Value(0x3, &[(1, "abiv1"), (2, "abiv2"), (3, "abiv3")])];

const S390: &[Group] = &[Bits(&[(0x1, "highgprs")])];

const ARM: &[Group] = &[
    Bits(&[
        (0x1, "relocatable executable"),
        (0x20, "position independent"),
    ]),
    ValueOr(
        0xff00_0000,
        &[
            (0, "GNU EABI"),
            (0x0100_0000, "Version1 EABI"),
            (0x0200_0000, "Version2 EABI"),
            (0x0300_0000, "Version3 EABI"),
            (0x0400_0000, "Version4 EABI"),
            (0x0500_0000, "Version5 EABI"),
        ],
        "<unrecognized EABI>",
    ),
];

/// What the flags below the number of an EABI say in it.
const fn arm_eabi(flags: u32) -> &'static [Group] {
    const UNKNOWN: &str = "<unknown>";
    match flags >> 24 {
        0 => &[
            Bits(&[
                (0x4, "interworking enabled"),
                (0x8, "uses APCS/26"),
                (0x10, "uses APCS/float"),
                (0x40, "8 bit structure alignment"),
                (0x80, "uses new ABI"),
                (0x100, "uses old ABI"),
                (0x200, "software FP"),
                (0x400, "VFP"),
                (0x800, "Maverick FP"),
            ]),
            ValueOr(0x00ff_f002, &[], UNKNOWN),
        ],
        1 => &[
            Bits(&[(0x4, "sorted symbol tables")]),
            ValueOr(0x00ff_ffda, &[], UNKNOWN),
        ],
        2 => &[
            Bits(&[
                (0x4, "sorted symbol tables"),
                (0x8, "dynamic symbols use segment index"),
                (0x10, "mapping symbols precede others"),
            ]),
            ValueOr(0x00ff_ffc2, &[], UNKNOWN),
        ],
        3 => &[],
        4 => &[
            Bits(&[(0x40_0000, "LE8"), (0x80_0000, "BE8")]),
            ValueOr(0x003f_ffde, &[], UNKNOWN),
        ],
        5 => &[
            Bits(&[
                (0x200, "soft-float ABI"),
                (0x400, "hard-float ABI"),
                (0x40_0000, "LE8"),
                (0x80_0000, "BE8"),
            ]),
            ValueOr(0x003f_f9de, &[], UNKNOWN),
        ],
        _ => &[ValueOr(0x00ff_ffde, &[], UNKNOWN)],
    }
}

const SH: &[Group] = &[
    ValueOr(
        0x1f,
        &[
            (0, "unknown ISA"),
            (1, "sh1"),
            (2, "sh2"),
            (3, "sh3"),
            (4, "sh-dsp"),
            (5, "sh3-dsp"),
            (6, "sh4al-dsp"),
            (8, "sh3e"),
            (9, "sh4"),
            (0xa, "sh5"),
            (0xb, "sh2e"),
            (0xc, "sh4a"),
            (0xd, "sh2a"),
            (0x10, "sh4-nofpu"),
            (0x11, "sh4a-nofpu"),
            (0x12, "sh4-nommu-nofpu"),
            (0x13, "sh2a-nofpu"),
            (0x14, "sh3-nommu"),
            (0x15, "sh2a-nofpu-or-sh4-nommu-nofpu"),
            (0x16, "sh2a-nofpu-or-sh3-nommu"),
            (0x17, "sh2a-or-sh4"),
            (0x18, "sh2a-or-sh3e"),
        ],
        "unknown ISA",
    ),
    Bits(&[(0x100, "pic"), (0x8000, "fdpic")]),
];

const OPENRISC: &[Group] = &[Bits(&[(0x1, "no delay")])];

const BLACKFIN: &[Group] = &[Bits(&[
    (0x1, "PIC"),
    (0x2, "FDPIC"),
    (0x10, "code in L1"),
    (0x20, "data in L1"),
])];

const TI_C6000: &[Group] = &[Bits(&[(0x1, "relocatable module")])];

const SPARCV9: &[Group] = &[
    Bits(&[
        (0x100, "v8+"),
        (0x200, "ultrasparcI"),
        (0x800, "ultrasparcIII"),
        (0x400, "halr1"),
        (0x80_0000, "ledata"),
    ]),
    Value(0x3, &[(0, "tso"), (1, "pso"), (2, "rmo")]),
];

const IA_64: &[Group] = &[
    Value(0x10, &[(0, "32-bit"), (0x10, "64-bit")]),
    Bits(&[(0x20, "reduced fp model")]),
    Value(
        0xc0,
        &[
            (0x40, "constant gp"),
            (0x80, "no function descriptors, constant gp"),
            (0xc0, "no function descriptors, constant gp"),
        ],
    ),
    Bits(&[(0x100, "absolute")]),
];

const RISCV: &[Group] = &[
    Bits(&[(0x1, "RVC"), (0x8, "RVE"), (0x10, "TSO")]),
    Value(
        0x6,
        &[
            (0, "soft-float ABI"),
            (2, "single-float ABI"),
            (4, "double-float ABI"),
            (6, "quad-float ABI"),
        ],
    ),
];

const LOONGARCH: &[Group] = &[
    Value(
        0x7,
        &[(1, "SOFT-FLOAT"), (2, "SINGLE-FLOAT"), (3, "DOUBLE-FLOAT")],
    ),
    Value(0xc0, &[(0, "OBJ-v0"), (0x40, "OBJ-v1")]),
];

/// `e_flags` of a machine. Prints as readelf does: the number, and if it is not 0 the words behind it.
pub(crate) struct MachineFlags(pub(crate) Machine, pub(crate) u32);

impl MachineFlags {
    /// The words of the machine, and those of the kind of machine that the flags name.
    fn groups(&self) -> impl Iterator<Item = Group> {
        let of_machine = match self.0 {
            Machine::M68K => M68K,
            Machine::MIPS | Machine::MIPS_RS3_LE => MIPS,
            Machine::PARISC => PARISC,
            Machine::PPC => PPC,
            Machine::PPC64 => PPC64,
            Machine::S390 => S390,
            Machine::ARM => ARM,
            Machine::SH => SH,
            Machine::SPARCV9 => SPARCV9,
            Machine::IA_64 => IA_64,
            Machine::OPENRISC => OPENRISC,
            Machine::BLACKFIN => BLACKFIN,
            Machine::TI_C6000 => TI_C6000,
            Machine::RISCV => RISCV,
            Machine::LOONGARCH => LOONGARCH,
            _ => &[],
        };
        let of_kind = match (self.0, self.1 & M68K_ARCH) {
            (Machine::ARM, _) => arm_eabi(self.1),
            (Machine::M68K, 0x0081_0000 | 0x0100_0000 | 0x0200_0000) => &[],
            (Machine::M68K, _) => COLDFIRE,
            _ => &[],
        };
        of_machine.iter().chain(of_kind).copied()
    }
}

impl fmt::Display for MachineFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.1;
        write!(f, "{flags:#x}")?;
        if flags == 0 {
            return Ok(());
        }
        for group in self.groups() {
            let (mask, words, other) = match group {
                Bits(words) => {
                    for (_, word) in words.iter().filter(|(bit, _)| flags & bit != 0) {
                        write!(f, ", {word}")?;
                    }
                    continue;
                }
                Value(mask, words) => (mask, words, None),
                ValueOr(mask, words, other) => (mask, words, Some(other)),
            };
            let value = flags & mask;
            let word = words.iter().find(|(known, _)| *known == value);
            let word = word.map(|(_, word)| *word);
            if let Some(word) = word.or(other.filter(|_| value != 0)) {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}
