//! The buffers into which a dying kernel writes its notes.
//!
//! ```text
//!  0        12        20                     20 + desc  + 12
//!  ├────────┼─────────┼──────────────────────┼──────────┤
//!  │ header │ CORE\0  │ struct elf_prstatus  │ zeros    │   a CPU: crash_notes
//!  └────────┴─────────┴──────────────────────┴──────────┘
//!  0        12        24              24 + text        24 + page + 12
//!  ├────────┼─────────┼───────────────┼────────────────┤
//!  │ header │VMCOREINF│ OSRELEASE=…   │ zeros          │   vmcoreinfo_note
//!  └────────┴─────────┴───────────────┴────────────────┘
//! ```
//!
//! A buffer is as long as its note can become, and a header of zeros ends the notes in it, or
//! stands at the start of a buffer that nobody wrote to: that of a CPU that was offline. Who
//! captures finds the end by it, see [`proc_vmcore`](super::proc_vmcore).
//!
//! Source: `CRASH_CORE_NOTE_BYTES` and `VMCOREINFO_NOTE_SIZE` in Linux
//! `include/linux/vmcore_info.h`; `crash_save_cpu()` in `kernel/crash_core.c`, `append_elf_note()`
//! in `kernel/vmcore_info.c`.

use elf_format::{
    Endian, NoteType,
    note::{self, HEADER_SIZE},
    prstatus::{self, Layout},
};
use physmem::PageShift;

use crate::{Error, Field, vmcoreinfo::NOTE_NAME};

const DESCSZ: Field = Field {
    name: "n_descsz of VMCOREINFO",
    allowed: "at most a page",
};

/// Bytes of a CPU's note buffer: `CRASH_CORE_NOTE_BYTES`, what
/// `/sys/devices/system/cpu/cpu0/crash_notes_size` shows.
#[must_use]
pub const fn cpu_buffer_len(layout: &Layout) -> usize {
    note_len(prstatus::NOTE_NAME, layout.size)
}

/// Bytes of the VMCOREINFO note's buffer: `VMCOREINFO_NOTE_SIZE`, the second number in
/// `/sys/kernel/vmcoreinfo`.
#[must_use]
pub const fn vmcoreinfo_buffer_len(page: PageShift) -> usize {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a page has at most 2^30 bytes"
    )]
    note_len(NOTE_NAME, page.bytes() as usize)
}

/// A note of so long a descriptor, and the header of zeros behind it.
const fn note_len(name: &[u8], desc: usize) -> usize {
    // The name has a NUL; both are padded to 4 bytes.
    HEADER_SIZE + (name.len() + 1).next_multiple_of(4) + desc.next_multiple_of(4) + HEADER_SIZE
}

/// A CPU's buffer to be written, as `crash_save_cpu()` does.
///
/// The buffer of a CPU that was offline is all zeros.
#[derive(Debug, Clone, Copy)]
pub struct CpuBuffer<'a> {
    /// The task that the CPU ran, and its registers. The kernel leaves the signal 0.
    pub status: prstatus::Builder<'a>,
}

impl CpuBuffer<'_> {
    /// Bytes of the buffer: [`cpu_buffer_len`].
    #[must_use]
    pub const fn emitted_len(&self) -> usize {
        cpu_buffer_len(self.status.layout)
    }

    /// Writes the buffer and returns its length.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] when `out` is too short; [`Error::Elf`] when the registers are not the
    /// layout's, with the offset in the descriptor.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, Error> {
        let status = &self.status;
        let head = note::Head {
            name: prstatus::NOTE_NAME,
            kind: NoteType::PRSTATUS,
            descsz: status.layout.size,
        };
        let len = self.emitted_len();
        let out = checked(out, len)?;
        let start = head.emit(status.endian, out)?;
        let rest = out.get_mut(start..).unwrap_or_default();
        let written = status.emit(rest)?;
        rest.get_mut(written..).unwrap_or_default().fill(0);
        Ok(len)
    }

    /// The buffer in a new vector.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), `Truncated` aside.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>, Error> {
        let mut buffer = alloc::vec![0; self.emitted_len()];
        self.emit(&mut buffer)?;
        Ok(buffer)
    }
}

/// The VMCOREINFO note's buffer to be written, as `update_vmcoreinfo_note()` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmcoreinfoBuffer<'a> {
    /// The text, of at most a page; see [`vmcoreinfo::Builder`](crate::vmcoreinfo::Builder).
    pub text: &'a [u8],
    /// The kernel's page size.
    pub page: PageShift,
    /// The kernel's byte order.
    pub endian: Endian,
}

impl VmcoreinfoBuffer<'_> {
    /// Bytes of the buffer: [`vmcoreinfo_buffer_len`].
    #[must_use]
    pub const fn emitted_len(&self) -> usize {
        vmcoreinfo_buffer_len(self.page)
    }

    /// Writes the buffer and returns its length.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] when the text is longer than a page; [`Error::Truncated`] when `out` is
    /// too short.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, Error> {
        let len = self.text.len() as u64;
        if len > self.page.bytes() {
            return Err(Error::BadField {
                field: &DESCSZ,
                offset: 4,
                value: len,
            });
        }
        let note = note::Builder {
            name: NOTE_NAME,
            kind: NoteType(0),
            desc: self.text,
        };
        let len = self.emitted_len();
        let out = checked(out, len)?;
        let written = note.emit(self.endian, out)?;
        out.get_mut(written..).unwrap_or_default().fill(0);
        Ok(len)
    }

    /// The buffer in a new vector.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), `Truncated` aside.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>, Error> {
        let mut buffer = alloc::vec![0; self.emitted_len()];
        self.emit(&mut buffer)?;
        Ok(buffer)
    }
}

/// The start of `out`, of the buffer's length.
fn checked(out: &mut [u8], len: usize) -> Result<&mut [u8], Error> {
    let available = out.len() as u64;
    out.get_mut(..len).ok_or(Error::Truncated {
        what: "note buffer",
        offset: 0,
        needed: len as u64,
        available,
    })
}

#[cfg(test)]
mod tests {
    use std::{boxed::Box, vec, vec::Vec};

    use elf_format::{Class, Encoding, Machine, Notes, Prstatus};

    use super::*;

    const MACHINES: [(Machine, Class); 8] = [
        (Machine::X86_64, Class::Elf64),
        (Machine::I386, Class::Elf32),
        (Machine::AARCH64, Class::Elf64),
        (Machine::ARM, Class::Elf32),
        (Machine::RISCV, Class::Elf64),
        (Machine::PPC64, Class::Elf64),
        (Machine::S390, Class::Elf64),
        (Machine::LOONGARCH, Class::Elf64),
    ];

    #[test]
    fn lengths_are_those_that_sysfs_shows() {
        let x86_64 = Layout::for_machine(Machine::X86_64, Class::Elf64).unwrap();
        assert_eq!(cpu_buffer_len(x86_64), 368);
        assert_eq!(vmcoreinfo_buffer_len(PageShift::SIZE_4K), 0x1024);
        assert_eq!(vmcoreinfo_buffer_len(PageShift::SIZE_64K), 0x1_0024);
    }

    #[test]
    fn a_cpu_of_every_machine() {
        for (machine, class) in MACHINES {
            let layout = Layout::for_machine(machine, class).unwrap();
            for endian in [Endian::Little, Endian::Big] {
                let registers: Vec<u64> = (1..).take(layout.registers.len()).collect();
                let status = prstatus::Builder {
                    layout,
                    endian,
                    pid: 104,
                    signal: 0,
                    registers: &registers,
                };
                let buffer = CpuBuffer { status };
                let len = buffer.emitted_len();
                let mut out = vec![0xff; len + 1];
                assert_eq!(buffer.emit(&mut out), Ok(len));
                assert_eq!((&out[len - 12..len], out[len]), (&[0; 12][..], 0xff));

                let notes: Vec<_> = Notes::new(&out[..len], endian, 0, 0).unwrap().collect();
                let [Ok(note)] = notes[..] else {
                    panic!("{machine}: {notes:?}")
                };
                assert_eq!(
                    (note.name, note.kind),
                    (prstatus::NOTE_NAME, NoteType::PRSTATUS)
                );
                let encoding = Encoding { class, endian };
                let read = Prstatus::parse(note.desc, machine, encoding, 0).unwrap();
                assert_eq!(read.pid(), 104);
                assert!(
                    read.registers()
                        .map(|(_, value)| value)
                        .eq(registers.iter().copied())
                );

                let error = Error::Truncated {
                    what: "note buffer",
                    offset: 0,
                    needed: len as u64,
                    available: 20,
                };
                assert_eq!(buffer.emit(&mut out[..20]), Err(error));
            }
        }
    }

    #[test]
    fn a_layout_of_the_callers_may_be_of_any_length() {
        let x86_64 = Layout::for_machine(Machine::X86_64, Class::Elf64).unwrap();
        let layout = Box::leak(Box::new(Layout {
            machine: x86_64.machine,
            size: 5000,
            pid: x86_64.pid,
            registers: x86_64.registers,
        }));
        let registers: Vec<u64> = (1..).take(layout.registers.len()).collect();
        let status = prstatus::Builder {
            layout,
            endian: Endian::Little,
            pid: 1,
            signal: 0,
            registers: &registers,
        };
        let mut out = vec![0xff; 5032];
        assert_eq!(CpuBuffer { status }.emit(&mut out), Ok(5032));
        assert_eq!(out[4..8], 5000_u32.to_le_bytes());
        assert_eq!((out[20 + 112], &out[20 + 336..]), (1, &[0; 4676][..]));
    }

    #[test]
    fn a_text_of_a_page_fits_and_a_longer_one_does_not() {
        let text = [b'x'; 4097];
        let buffer = |len| VmcoreinfoBuffer {
            text: &text[..len],
            page: PageShift::SIZE_4K,
            endian: Endian::Big,
        };
        let mut out = [0xff; 0x1025];
        for len in [0, 1, 4096] {
            assert_eq!(buffer(len).emit(&mut out), Ok(0x1024));
            assert_eq!(
                out[4..12],
                [&u32::try_from(len).unwrap().to_be_bytes()[..], &[0; 4]].concat()[..]
            );
            assert_eq!(out[12..24], *b"VMCOREINFO\0\0");
            assert_eq!(out[24..24 + len], text[..len]);
            assert!(out[24 + len..0x1024].iter().all(|byte| *byte == 0));
            assert_eq!(out[0x1024], 0xff);
        }
        let error = Error::BadField {
            field: &DESCSZ,
            offset: 4,
            value: 4097,
        };
        assert_eq!(buffer(4097).emit(&mut out), Err(error));
    }
}
