//! `NT_PRSTATUS`: what a thread or CPU was doing, and its registers.
//!
//! ```text
//!               32-bit  64-bit
//!  pr_info         0       0    signal number, code, errno: 3 × i32
//!  pr_cursig      12      12    i16, then padding
//!  pr_sigpend     16      16    long
//!  pr_sighold     20      24    long
//!  pr_pid         24      32    i32
//!  pr_ppid …      28      36    parent, group, session: 3 × i32
//!  pr_utime …     40      48    four `timeval`s of two longs
//!  pr_reg         72     112    the machine's registers, see `Layout`
//!  pr_fpvalid    end of pr_reg  i32, then padding to a long
//! ```
//!
//! Source: `struct elf_prstatus` in Linux `include/linux/elfcore.h`.

use crate::{
    error::{Error, Field, Result},
    ident::{Class, Encoding, Endian},
    machine::Machine,
    wire::{self, Fields, Output},
};

mod layouts;

pub use layouts::{Layout, Register};

/// `NN_PRSTATUS`: what notes of registers are called.
pub const NOTE_NAME: &[u8] = b"CORE";

/// `pr_cursig`
const CURSIG: usize = 12;

/// As many registers as any layout here has, or more: `layouts.rs` looks.
const REGISTERS_MAX: usize = 48;

const REGISTERS: Field = Field {
    name: "number of registers in pr_reg",
    allowed: "that of the layout",
};
const VALUE: Field = Field {
    name: "register in pr_reg",
    allowed: "at most 0xffffffff in 4 bytes",
};

/// A descriptor that has all registers of its layout.
#[derive(Debug, Clone, Copy)]
pub struct Prstatus<'a> {
    desc: &'a [u8],
    layout: &'static Layout,
    endian: Endian,
}

impl<'a> Prstatus<'a> {
    /// The descriptor of an `NT_PRSTATUS` note, which lies at `offset` in the file; see
    /// [`Layout::for_desc`].
    ///
    /// It may end behind the last register: nothing that follows is read.
    ///
    /// # Errors
    ///
    /// `Unsupported` without a layout for the machine, `Truncated` when `desc` lacks a register of the
    /// layout.
    pub fn parse(
        desc: &'a [u8],
        machine: Machine,
        encoding: Encoding,
        offset: u64,
    ) -> Result<Self> {
        let layout =
            Layout::for_desc(machine, encoding.class, desc.len()).ok_or(Error::Unsupported {
                what: "PRSTATUS of e_machine",
                offset,
                value: machine.0.into(),
            })?;
        let needed = layout.registers_end();
        if desc.len() < needed {
            return Err(Error::Truncated {
                what: "PRSTATUS",
                offset,
                needed: needed as u64,
                available: wire::len(desc),
            });
        }
        Ok(Self {
            desc,
            layout,
            endian: encoding.endian,
        })
    }

    /// Where everything is.
    #[must_use]
    pub const fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// `pr_pid`: the thread. In a kernel's dump: the task that the CPU ran; in QEMU's, the CPU's number from 1 on.
    ///
    /// Before 9.1, QEMU wrote that of s390x in its host's byte order, mostly 0x0100_0000 for the first CPU, and on ppc64
    /// left it 0 (`target/{s390x,ppc}/arch_dump.c`). It is told as it stands there.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.fields(self.layout.pid).u32().unwrap_or_default()
    }

    /// `pr_cursig`: the signal that ended the thread; 0 in dumps of kernels.
    #[must_use]
    pub fn signal(&self) -> u16 {
        self.fields(CURSIG).u16().unwrap_or_default()
    }

    /// The value of the register of that name.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<u64> {
        self.value(self.layout.register(name)?)
    }

    /// Names and values in the order of the descriptor.
    pub fn registers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let registers = self.layout.registers.iter();
        registers.filter_map(|register| Some((register.name, self.value(register)?)))
    }

    fn value(&self, register: &Register) -> Option<u64> {
        let mut fields = self.fields(register.offset);
        if register.width == 4 {
            fields.u32().map(u64::from)
        } else {
            fields.u64()
        }
    }

    fn fields(&self, offset: usize) -> Fields<'a> {
        Fields::new(self.desc.get(offset..).unwrap_or_default(), self.endian)
    }
}

/// Values of a layout's registers by name, for a [`Builder`]; 0 until they are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registers {
    layout: &'static Layout,
    values: [u64; REGISTERS_MAX],
}

impl Registers {
    /// All of them, 0.
    #[must_use]
    pub const fn new(layout: &'static Layout) -> Self {
        Self {
            layout,
            values: [0; REGISTERS_MAX],
        }
    }

    /// The register of that name, to be read or set; `None` if the machine has none.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
        let mut names = self.layout.registers.iter();
        let place = names.position(|register| register.name == name)?;
        self.values.get_mut(place)
    }

    /// The values in the order of the layout.
    #[must_use]
    pub fn values(&self) -> &[u64] {
        self.values
            .get(..self.layout.registers.len())
            .unwrap_or_default()
    }
}

/// A descriptor to be written. What has no field here is zero.
#[derive(Debug, Clone, Copy)]
pub struct Builder<'a> {
    /// The machine's layout.
    pub layout: &'static Layout,
    /// Byte order of the file.
    pub endian: Endian,
    /// `pr_pid`
    pub pid: u32,
    /// `pr_cursig` and `si_signo`
    pub signal: u16,
    /// A value for each of the layout's registers, in their order: see [`Registers`].
    pub registers: &'a [u64],
}

impl Builder<'_> {
    /// Length in bytes: that of the layout.
    #[must_use]
    pub const fn emitted_len(&self) -> usize {
        self.layout.size
    }

    /// Writes the descriptor and returns its length.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short, `BadField` when the number of registers is not the
    /// layout's or a value is wider than its register.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let given = self.registers.len();
        if given != self.layout.registers.len() {
            let first = self.layout.registers.first();
            return Err(Error::BadField {
                field: &REGISTERS,
                offset: first.map_or(0, |register| register.offset as u64),
                value: given as u64,
            });
        }
        let size = self.emitted_len();
        // The class makes no difference: each field's width is in the layout.
        let encoding = Encoding {
            class: Class::Elf64,
            endian: self.endian,
        };
        let mut out = Output::new("PRSTATUS", out, size, encoding)?;
        out.u32(self.signal.into())?;
        out.zeros_until(CURSIG)?;
        out.u16(self.signal)?;
        out.zeros_until(self.layout.pid)?;
        out.u32(self.pid)?;
        for (register, &value) in self.layout.registers.iter().zip(self.registers) {
            out.zeros_until(register.offset)?;
            match register.width {
                4 => out.narrow(&VALUE, value)?,
                _ => out.u64(value)?,
            }
        }
        out.zeros_until(size)?;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::{layouts::tests::ALL, *};

    #[test]
    fn a_machine_without_a_layout_is_not_supported() {
        let encoding = Encoding {
            class: Class::Elf64,
            endian: Endian::Big,
        };
        let error = Prstatus::parse(&[0; 512], Machine::SPARC, encoding, 0x100).unwrap_err();
        assert_eq!(
            error.to_string(),
            "offset 0x100: PRSTATUS of e_machine 0x2 is not supported"
        );
    }

    #[test]
    fn what_is_built_is_read() {
        for (layout, class) in ALL {
            for endian in [Endian::Little, Endian::Big] {
                let count = layout.registers.len() as u64;
                let registers: Vec<u64> = (0..count).map(|at| 0xfedc_ba00 + at).collect();
                let registers = &registers;
                let builder = Builder {
                    layout,
                    endian,
                    pid: 0x1234_5678,
                    signal: 11,
                    registers,
                };
                let mut out = [0xff; 512];
                let size = builder.emit(&mut out).unwrap();
                assert_eq!(size, builder.emitted_len());
                assert_eq!(out[size..], [0xff; 512][size..]);

                let encoding = Encoding { class, endian };
                let parse = |len| Prstatus::parse(&out[..len], layout.machine, encoding, 0x10);
                let prstatus = parse(size).unwrap();
                assert_eq!((prstatus.pid(), prstatus.signal()), (0x1234_5678, 11));
                assert!(
                    prstatus
                        .registers()
                        .map(|(_, value)| value)
                        .eq(registers.iter().copied())
                );
                for (name, value) in prstatus.registers() {
                    assert_eq!(prstatus.register(name), Some(value));
                }
                assert_eq!(prstatus.register("no such register"), None);

                // A long mode descriptor cut to the 144 bytes of a 32-bit one is taken for that.
                let end = layout.registers_end();
                for len in (0..size).filter(|&len| len != 144) {
                    let error = |offset, needed: usize| Error::Truncated {
                        what: "PRSTATUS",
                        offset,
                        needed: needed as u64,
                        available: len as u64,
                    };
                    assert_eq!(builder.emit(&mut [0; 512][..len]), Err(error(0, size)));
                    match parse(len) {
                        Ok(cut) => assert!(len >= end && cut.registers().eq(prstatus.registers())),
                        Err(cut) => assert_eq!(cut, error(0x10, end)),
                    }
                }
            }
        }
    }

    #[test]
    fn registers_are_set_by_name() {
        for (layout, _) in ALL {
            let mut registers = Registers::new(layout);
            for (value, register) in (1..).zip(layout.registers) {
                *registers.get_mut(register.name).unwrap() = value;
            }
            let count = layout.registers.len() as u64;
            assert!(registers.values().iter().copied().eq(1..=count));
            assert_eq!(registers.get_mut("no such register"), None);
        }
    }

    #[test]
    fn values_must_fit_and_match_the_registers() {
        let i386 = Layout::for_machine(Machine::I386, Class::Elf32).unwrap();
        let mut out = [0; 512];
        let mut emit = |registers: &[u64]| {
            let endian = Endian::Little;
            Builder {
                layout: i386,
                endian,
                pid: 0,
                signal: 0,
                registers,
            }
            .emit(&mut out)
        };
        let mut registers = [0; 17];
        assert_eq!(
            emit(&registers[1..]),
            Err(Error::BadField {
                field: &REGISTERS,
                offset: 72,
                value: 16
            })
        );
        registers[12] = 1 << 32;
        let eip = Error::BadField {
            field: &VALUE,
            offset: 120,
            value: 1 << 32,
        };
        assert_eq!(emit(&registers), Err(eip));
    }
}
