//! The kernel log: what the kernel said, from whichever of its three rings the dump has.
//!
//! ```text
//!  before 3.5   log_buf: "<6>[    0.000000] Linux version …\n<6>…"     characters
//!  3.5 to 5.9   log_buf: │ printk_log │ text │ dict │ printk_log │ …      records
//!  5.10 on      prb ─▶ descriptors, infos ─▶ blocks of text             lockless ring
//! ```
//!
//! A [`Record`] prints as `makedumpfile --dump-dmesg` and `dmesg` print it:
//!
//! ```text
//! [    2.731392] Unstable clock detected, switching default tracing clock to "global"
//!                If you want to keep using the local clock, then add:
//! ```
//!
//! `dmesg -C` clears nothing from memory, and so nothing from this log.
//!
//! Source: kernel/printk/printk.c of each time, and the keys of its `log_buf_vmcoreinfo_setup`.

mod characters;
mod records;
mod ring;

use alloc::vec::Vec;
use core::fmt::{self, Write};

use bitflags::bitflags;
use physmem::PhysMemory;

use self::{characters::Characters, ring::Ring};
use super::Virtual;
use crate::{Error, Field, Vmcoreinfo};

/// `LOG_BUF_LEN_MAX` (kernel/printk/printk.c): no buffer is larger.
const MAX_BUFFER: u64 = 1 << 31;

const BUFFER_LEN: Field = Field {
    name: "log_buf_len",
    allowed: "1 to 2147483648",
};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number since boot; before Linux 5.10, which does not tell, among those that are left.
    pub seq: u64,
    /// When, in nanoseconds since boot; `None` where a ring of characters does not say.
    pub time: Option<u64>,
    /// How urgent, from 0, emergency, to 7, debug; `None` where a ring of characters does not say.
    pub level: Option<u8>,
    /// Who speaks, as syslog(3) numbers it: 0 is the kernel.
    pub facility: u8,
    /// What else is known of it; none in a ring of characters.
    pub flags: Flags,
    /// The context that spoke: since Linux 5.10, and since 5.1 with `CONFIG_PRINTK_CALLER`.
    pub caller: Option<Caller>,
    /// What is said, with line ends between its lines. Any bytes.
    pub text: Vec<u8>,
    /// The device it is about.
    pub device: Option<Device>,
}

/// A device as drivers name it to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `SUBSYSTEM=`: `pci`, `block` …
    pub subsystem: Vec<u8>,
    /// `DEVICE=`: `+pci:0000:00:01.0`, `b8:0`, `c1:3`, `n2` …
    pub device: Vec<u8>,
}

bitflags! {
    /// `enum log_flags` (kernel/printk/internal.h, printk.c before 5.10).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// `LOG_NOCONS`: already printed, not for the console; `LOG_FORCE_CON` since Linux 6.12.
        const CONSOLE = 1;
        /// `LOG_NEWLINE`: the text ended with a line end.
        const NEWLINE = 2;
        /// `LOG_PREFIX`: the text began with a level, before Linux 5.9.
        const PREFIX = 4;
        /// `LOG_CONT`: the text may be continued by another record.
        const CONT = 8;
        const _ = !0;
    }
}

/// The context that wrote a record (`printk_caller_id`). Prints as the console does: `T104`, `C1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A task, by its pid.
    Task(u32),
    /// A CPU, in interrupt or early boot.
    Cpu(u32),
}

impl Caller {
    fn new(caller_id: u32) -> Self {
        const CPU: u32 = 1 << 31;
        match caller_id & CPU {
            0 => Self::Task(caller_id),
            _ => Self::Cpu(caller_id & !CPU),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(pid) => write!(f, "T{pid}"),
            Self::Cpu(cpu) => write!(f, "C{cpu}"),
        }
    }
}

/// One line, or as many as the text has, the later ones indented; without the last line end.
///
/// Control characters but white space, and what is not ASCII, come as `\x1b`.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NANOS: u64 = 1_000_000_000;
        let mut indent = 0;
        if let Some(time) = self.time {
            let (seconds, micros) = (time / NANOS, time % NANOS / 1000);
            write!(f, "[{seconds:5}.{micros:06}] ")?;
            // Saturating: 2^64 nanoseconds have eleven digits of seconds.
            let digits = seconds.checked_ilog10().unwrap_or(0).saturating_add(1);
            indent = digits.max(5).saturating_add(10);
        }
        for byte in &self.text {
            match byte {
                b'\n' => {
                    f.write_char('\n')?;
                    (0..indent).try_for_each(|_| f.write_char(' '))?;
                }
                // isprint() and isspace() in the C locale.
                b' '..=b'~' | b'\t' | 0x0b..=b'\r' => f.write_char((*byte).into())?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

/// The log, oldest record first.
///
/// A record that is damaged is one `Err`. In the lockless ring the log goes on behind it; in the older
/// ones, where a record's length leads to the next, it ends there.
///
/// # Errors
///
/// [`Error::Missing`] where VMCOREINFO lacks a key, [`Error::BadText`] and [`Error::BadField`] where it is wrong; and what is
/// wrong with the ring itself.
pub fn records<'m, M: PhysMemory + ?Sized>(
    info: &Vmcoreinfo<'_>,
    virt: Virtual<'m, M>,
) -> Result<Records<'m, M>, Error> {
    Ok(Records(match Layout::told(info)? {
        Layout::Ring(layout) => Log::Ring(Ring::new(layout, virt)?),
        Layout::Records(layout) => Log::Records(records::Records::new(layout, virt)?),
        Layout::Characters(layout) => Log::Characters(Characters::new(&layout, virt)?),
    }))
}

/// What is wrong with the keys of VMCOREINFO that tell of the log.
pub(super) fn check(info: &Vmcoreinfo<'_>) -> Result<(), Error> {
    Layout::told(info).map(|_| ())
}

/// Which of the rings the kernel has, and where, as VMCOREINFO tells.
#[derive(Debug)]
enum Layout {
    Ring(ring::Layout),
    Records(records::Layout),
    Characters(characters::Layout),
}

impl Layout {
    fn told(info: &Vmcoreinfo<'_>) -> Result<Self, Error> {
        if told_if!(info, SYMBOL("prb"))?.is_some() {
            ring::Layout::told(info).map(Self::Ring)
        } else if told_if!(info, SYMBOL("log_first_idx"))?.is_some() {
            records::Layout::told(info).map(Self::Records)
        } else if told_if!(info, SYMBOL("log_end"))?.is_some() {
            characters::Layout::told(info).map(Self::Characters)
        } else {
            Err(Error::Missing {
                what: "kernel log (SYMBOL(prb), SYMBOL(log_first_idx) or SYMBOL(log_end) in VMCOREINFO)",
            })
        }
    }
}

/// The iterator made by [`records`].
#[derive(Debug)]
pub struct Records<'m, M: ?Sized>(Log<'m, M>);

#[derive(Debug)]
enum Log<'m, M: ?Sized> {
    Characters(Characters<'m, M>),
    Records(records::Records<'m, M>),
    Ring(Ring<'m, M>),
}

impl<M: PhysMemory + ?Sized> Iterator for Records<'_, M> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Log::Characters(log) => log.next(),
            Log::Records(log) => log.next(),
            Log::Ring(log) => log.next(),
        }
    }
}

/// `level` and `flags` of the byte that holds both: `u8 flags:5; u8 level:3;`.
fn level_and_flags(byte: u8, endian: physmem::Endian) -> (u8, Flags) {
    match endian {
        physmem::Endian::Little => (byte >> 5, Flags::from_bits_retain(byte & 0x1f)),
        // The first bit field lies in the highest bits.
        physmem::Endian::Big => (byte & 7, Flags::from_bits_retain(byte >> 3)),
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    pub(super) fn record(time: Option<u64>, text: &[u8]) -> Record {
        Record {
            seq: 0,
            time,
            level: Some(6),
            facility: 0,
            flags: Flags::empty(),
            caller: None,
            text: text.to_vec(),
            device: None,
        }
    }

    #[test]
    fn a_record_prints_as_dmesg_prints_it() {
        let text = |time, text| record(time, text).to_string();
        assert_eq!(text(Some(0), b"Linux"), "[    0.000000] Linux");
        assert_eq!(text(Some(11_285_167_999), b"x"), "[   11.285167] x");
        assert_eq!(
            text(Some(123_456_000_000_000), b"a\nb"),
            "[123456.000000] a\n                b"
        );
        assert_eq!(
            text(Some(1_000), b"a\n"),
            "[    0.000001] a\n               "
        );
        assert_eq!(text(None, b"a\tb\n\xc3\xa4\x1b["), "a\tb\n\\xc3\\xa4\\x1b[");
        assert_eq!(
            text(Some(u64::MAX), b"\n"),
            "[18446744073.709551] \n                     "
        );
    }

    #[test]
    fn who_spoke_and_how() {
        assert_eq!(Caller::new(104).to_string(), "T104");
        assert_eq!(Caller::new(0x8000_0001).to_string(), "C1");
        let (level, flags) = level_and_flags(6 << 5 | 0xa, physmem::Endian::Little);
        assert_eq!((level, flags), (6, Flags::NEWLINE | Flags::CONT));
        let (level, flags) = level_and_flags(0xa << 3 | 6, physmem::Endian::Big);
        assert_eq!((level, flags), (6, Flags::NEWLINE | Flags::CONT));
    }
}
