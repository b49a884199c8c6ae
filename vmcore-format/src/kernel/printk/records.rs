//! The ring of records of Linux 3.5 to 5.9.
//!
//! ```text
//!  0    ts_nsec   u64                                log_first_idx ─▶ │ record │ record │ …
//!  8    len       u16   of the whole record                           └─ len ─▶┘
//! 10    text_len  u16                                len 0: the next record is at 0
//! 12    dict_len  u16                                log_next_idx: there is none yet
//! 14    facility  u8
//! 15    flags:5, level:3                             (the offsets are VMCOREINFO's)
//! 16    caller_id u32, with CONFIG_PRINTK_CALLER
//!       text, dict, padding
//! ```
//!
//! Source: `struct printk_log` (kernel/printk/printk.c, Linux 5.9), named `struct log` before 3.11. In
//! Linux 3.5 the two bytes at 14 were one `u16 level`. `facility` and what follows is not told by
//! VMCOREINFO: it lies behind `dict_len`.

#![deny(clippy::arithmetic_side_effects)]

use alloc::{vec, vec::Vec};

use physmem::{PhysMemory, VirtAddr};

use super::{BUFFER_LEN, Caller, Device, Flags, MAX_BUFFER, Record, level_and_flags};
use crate::{
    Error, Field, Vmcoreinfo,
    kernel::{Virtual, memory::add},
};

const LEN: Field = Field {
    name: "printk_log.len",
    allowed: "what a header, text and dict take, within the buffer, and records that end at log_next_idx",
};
const INDEX: Field = Field {
    name: "log_first_idx or log_next_idx",
    allowed: "less than log_buf_len",
};

#[derive(Debug)]
pub(super) struct Records<'m, M: ?Sized> {
    virt: Virtual<'m, M>,
    layout: Layout,
    buffer: VirtAddr,
    len: u64,
    next: u64,
    end: u64,
    /// Bytes that records may still take: all of them together are no longer than the buffer.
    left: u64,
    /// The end of the buffer was passed.
    wrapped: bool,
    seq: u64,
}

/// Where the ring is, and sizes and offsets of the header, in bytes.
#[derive(Debug)]
pub(super) struct Layout {
    buffer: Buffer,
    /// `log_first_idx` and `log_next_idx`.
    first: VirtAddr,
    next: VirtAddr,
    header: u64,
    ts_nsec: u64,
    len: u64,
    text_len: u64,
    dict_len: u64,
    has_caller: bool,
    /// One `u16 level` instead of facility, flags and level.
    wide_level: bool,
}

impl<'m, M: PhysMemory + ?Sized> Records<'m, M> {
    pub(super) fn new(layout: Layout, virt: Virtual<'m, M>) -> Result<Self, Error> {
        let buffer = virt.pointer(layout.buffer.start)?;
        let len = layout.buffer.len(virt)?;
        let index = |at| -> Result<u64, Error> {
            let value = u64::from(virt.u32(at)?);
            match value < len {
                true => Ok(value),
                false => Err(Error::BadValue {
                    field: &INDEX,
                    at,
                    value,
                }),
            }
        };
        Ok(Self {
            virt,
            buffer,
            len,
            next: index(layout.first)?,
            end: index(layout.next)?,
            layout,
            left: len,
            wrapped: false,
            seq: 0,
        })
    }

    /// The record at `next`, which is moved behind it; `None` at the mark that the ring goes on at 0.
    fn step(&mut self) -> Result<Option<Record>, Error> {
        let (virt, layout) = (&self.virt, &self.layout);
        let record = add(self.buffer, self.next)?;
        let at = add(record, layout.len)?;
        let len = u64::from(virt.u16(at)?);
        let bad = Error::BadValue {
            field: &LEN,
            at,
            value: len,
        };
        if len == 0 && !self.wrapped {
            self.wrapped = true;
            self.next = 0;
            return Ok(None);
        }
        let text_len = virt.u16(add(record, layout.text_len)?)?;
        let dict_len = virt.u16(add(record, layout.dict_len)?)?;
        // Three numbers of 16 bits and a header that is checked.
        let needed = layout
            .header
            .saturating_add(text_len.into())
            .saturating_add(dict_len.into());
        let next = self.next.checked_add(len).ok_or(bad)?;
        self.left = self.left.checked_sub(len).ok_or(bad)?;
        if len < needed || next > self.len {
            return Err(bad);
        }

        let text = self.bytes(record, layout.header, text_len)?;
        let behind_text = layout.header.saturating_add(text_len.into());
        let dict = self.bytes(record, behind_text, dict_len)?;
        let (facility, level, flags) = self.priority(record)?;
        let caller = match layout.has_caller {
            true => Some(Caller::new(
                virt.u32(add(add(record, layout.dict_len)?, 4)?)?,
            )),
            false => None,
        };
        let time = virt.u64(add(record, layout.ts_nsec)?)?;
        self.next = next;
        let seq = self.seq;
        // One a record.
        self.seq = self.seq.saturating_add(1);
        Ok(Some(Record {
            seq,
            time: Some(time),
            level: Some(level),
            facility,
            flags,
            caller,
            text,
            device: device(&dict),
        }))
    }

    fn priority(&self, record: VirtAddr) -> Result<(u8, u8, Flags), Error> {
        let at = add(add(record, self.layout.dict_len)?, 2)?;
        if self.layout.wide_level {
            let [priority, _] = self.virt.u16(at)?.to_le_bytes();
            return Ok((priority >> 3, priority & 7, Flags::empty()));
        }
        let facility = self.virt.u8(at)?;
        let (level, flags) = level_and_flags(self.virt.u8(add(at, 1)?)?, self.virt.endian());
        Ok((facility, level, flags))
    }

    fn bytes(&self, record: VirtAddr, offset: u64, len: u16) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len.into()];
        self.virt.read(add(record, offset)?, &mut bytes)?;
        Ok(bytes)
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Records<'_, M> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next != self.end {
            match self.step() {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) => {}
                Err(error) => {
                    self.next = self.end;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Layout {
    pub(super) fn told(info: &Vmcoreinfo<'_>) -> Result<Self, Error> {
        let is_3_5 = |release: &str| release.starts_with("3.5.") || release.starts_with("3.5-");
        let wide_level = info.os_release()?.is_some_and(is_3_5);
        let dict_len;
        let layout = if told_if!(info, SIZE("printk_log"))?.is_some() {
            dict_len = told!(info, OFFSET("printk_log.dict_len"))?;
            (
                told!(info, SIZE("printk_log"))?,
                told!(info, OFFSET("printk_log.ts_nsec"))?,
                told!(info, OFFSET("printk_log.len"))?,
                told!(info, OFFSET("printk_log.text_len"))?,
            )
        } else {
            dict_len = told!(info, OFFSET("log.dict_len"))?;
            (
                told!(info, SIZE("log"))?,
                told!(info, OFFSET("log.ts_nsec"))?,
                told!(info, OFFSET("log.len"))?,
                told!(info, OFFSET("log.text_len"))?,
            )
        };
        let (header, ts_nsec, len, text_len) = layout;
        Ok(Self {
            buffer: Buffer::told(info)?,
            first: VirtAddr::new(told!(info, SYMBOL("log_first_idx"))?),
            next: VirtAddr::new(told!(info, SYMBOL("log_next_idx"))?),
            header,
            ts_nsec,
            len,
            text_len,
            dict_len,
            // Behind dict_len come two bytes, and then a word if the header has room for it.
            has_caller: header >= dict_len.saturating_add(8),
            wide_level,
        })
    }
}

/// Where the kernel keeps the place of the buffer and its length, of any ring before 5.10.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) start: VirtAddr,
    pub(super) len: VirtAddr,
}

impl Buffer {
    pub(super) fn told(info: &Vmcoreinfo<'_>) -> Result<Self, Error> {
        Ok(Self {
            start: VirtAddr::new(told!(info, SYMBOL("log_buf"))?),
            len: VirtAddr::new(told!(info, SYMBOL("log_buf_len"))?),
        })
    }

    pub(super) fn len<M: PhysMemory + ?Sized>(&self, virt: Virtual<'_, M>) -> Result<u64, Error> {
        let value = u64::from(virt.u32(self.len)?);
        match value {
            1..=MAX_BUFFER => Ok(value),
            _ => Err(Error::BadValue {
                field: &BUFFER_LEN,
                at: self.len,
                value,
            }),
        }
    }
}

/// What a dict tells of a device: `SUBSYSTEM=pci\0DEVICE=+pci:0000:00:01.0`.
fn device(dict: &[u8]) -> Option<Device> {
    let value = |key: &[u8]| {
        let mut pairs = dict.split(|byte| *byte == 0);
        pairs.find_map(|pair| pair.strip_prefix(key))
    };
    let (subsystem, device) = (value(b"SUBSYSTEM="), value(b"DEVICE="));
    (subsystem.is_some() || device.is_some()).then(|| Device {
        subsystem: subsystem.unwrap_or_default().to_vec(),
        device: device.unwrap_or_default().to_vec(),
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{format, string::String, vec::Vec};

    use physmem::{Endian, Width};

    use super::*;
    use crate::kernel::{
        memory::tests::{BASE, Laid, with},
        printk,
    };

    /// Of Linux 5.9.
    const INFO: &str = "OSRELEASE=5.9.0\nSYMBOL(log_buf)=ffffffff80000000\n\
        SYMBOL(log_buf_len)=ffffffff80000008\nSYMBOL(log_first_idx)=ffffffff8000000c\n\
        SYMBOL(log_next_idx)=ffffffff80000010\nSIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\n\
        OFFSET(printk_log.len)=8\nOFFSET(printk_log.text_len)=10\nOFFSET(printk_log.dict_len)=12\n";
    const BUFFER: u64 = BASE + 0x1000;

    fn laid(len: u32, first: u32, next: u32) -> Laid {
        let mut laid = Laid::new(0x3000);
        laid.put(BASE, &BUFFER.to_le_bytes());
        laid.put(BASE + 8, &len.to_le_bytes());
        laid.put(BASE + 12, &first.to_le_bytes());
        laid.put(BASE + 16, &next.to_le_bytes());
        laid
    }

    /// A record as `log_store` lays it; the header has 16 bytes. Gives where the next one is.
    fn put(laid: &mut Laid, at: u64, time: u64, text: &[u8], dict: &[u8]) -> u64 {
        let (text_len, dict_len) = (text.len() as u64, dict.len() as u64);
        let len = (16 + text_len + dict_len).next_multiple_of(8);
        let short = |value: u64| u16::try_from(value).unwrap().to_le_bytes();
        laid.put(BUFFER + at, &time.to_le_bytes());
        laid.put(BUFFER + at + 8, &short(len));
        laid.put(BUFFER + at + 10, &short(text_len));
        laid.put(BUFFER + at + 12, &short(dict_len));
        laid.put(BUFFER + at + 14, &[3, 6 << 5 | 2]);
        laid.put(BUFFER + at + 16, text);
        laid.put(BUFFER + at + 16 + text_len, dict);
        at + len
    }

    fn read(laid: &Laid, info: &str) -> Result<Vec<Result<Record, Error>>, Error> {
        let info = Vmcoreinfo::new(info.as_bytes(), 0);
        with(laid, Endian::Little, Width::U64, |virt| {
            printk::records(&info, virt).map(|records| records.collect())
        })
    }

    fn texts(records: &[Result<Record, Error>]) -> Vec<String> {
        let text = |record: &Result<Record, _>| {
            String::from_utf8(record.as_ref().unwrap().text.clone()).unwrap()
        };
        records.iter().map(text).collect()
    }

    #[test]
    fn records_from_the_first_to_the_next_and_around_the_end() {
        let mut laid = laid(256, 128, 64);
        let at = put(
            &mut laid,
            128,
            1_000_000,
            b"one",
            b"SUBSYSTEM=block\0DEVICE=b8:0",
        );
        let at = put(&mut laid, at, 2_000_000, b"two\nlines", b"");
        assert_eq!(at, 208);
        // No room for 64 bytes more: the length there is 0, and the next record is at 0.
        let at = put(
            &mut laid,
            0,
            3_000_000,
            b"three, as long as it must be, 48 bytes of text..",
            b"",
        );
        assert_eq!(at, 64);
        let records = read(&laid, INFO).unwrap();
        assert_eq!(texts(&records)[..2], ["one", "two\nlines"]);
        let one = records[0].clone().unwrap();
        assert_eq!(
            (one.seq, one.time, one.level),
            (0, Some(1_000_000), Some(6))
        );
        assert_eq!(
            (one.facility, one.flags, one.caller),
            (3, Flags::NEWLINE, None)
        );
        let device = one.device.unwrap();
        assert_eq!(
            (&device.subsystem[..], &device.device[..]),
            (&b"block"[..], &b"b8:0"[..])
        );
        let last = records[2].clone().unwrap();
        assert_eq!((last.seq, last.device), (2, None));

        // Before Linux 3.11 the structure had another name.
        let older = INFO.replace("printk_log", "log").replace("5.9.0", "3.10.0");
        assert_eq!(read(&laid, &older), Ok(records));
        // In 3.5 facility and level were one number.
        laid.put(BUFFER + 128 + 14, &[3 << 3 | 4, 0]);
        let first = read(&laid, &older.replace("3.10.0", "3.5.7")).unwrap();
        let first = first[0].clone().unwrap();
        assert_eq!((first.facility, first.level), (3, Some(4)));
        assert_eq!(first.flags, Flags::empty());
    }

    #[test]
    fn a_caller_where_the_header_has_room_for_one() {
        let mut laid = laid(256, 0, 32);
        put(
            &mut laid,
            0,
            1,
            &[7, 0, 0, 0, b't', b'e', b'x', b't', 0, 0, 0, 0, 0, 0],
            b"",
        );
        laid.put(BUFFER + 10, &[4, 0]);
        for size in ["20", "24"] {
            let info = INFO.replace("SIZE(printk_log)=16", &format!("SIZE(printk_log)={size}"));
            let record = read(&laid, &info).unwrap().remove(0).unwrap();
            assert_eq!(record.caller, Some(Caller::Task(7)), "{size}");
        }
        let info = INFO.replace("SIZE(printk_log)=16", "SIZE(printk_log)=20");
        assert_eq!(texts(&read(&laid, &info).unwrap()), ["text"]);
    }

    #[test]
    fn a_ring_that_leads_in_circles_ends() {
        // No record ends at 40, so the way goes around and around.
        let mut laid = laid(64, 0, 40);
        put(&mut laid, 0, 1, b"a", b"");
        put(&mut laid, 24, 2, b"b", b"");
        let records = read(&laid, INFO).unwrap();
        assert_eq!(texts(&records[..2]), ["a", "b"]);
        assert!(matches!(records[2], Err(Error::BadValue { value: 24, .. })));
        assert_eq!(records.len(), 3);
    }

    #[test]
    fn broken_lengths_end_the_log_where_they_are() {
        for (offset, bytes) in [
            (8, [15, 0]),      // shorter than a header
            (8, [0xff, 0xff]), // longer than the buffer
            (10, [0xff, 0]),   // more text than that
            (12, [0xff, 0]),   // more of a dict
        ] {
            let mut laid = laid(128, 0, 48);
            put(&mut laid, 0, 1, b"a", b"");
            put(&mut laid, 24, 2, b"b", b"");
            laid.put(BUFFER + 24 + offset, &bytes);
            let records = read(&laid, INFO).unwrap();
            assert_eq!(
                (records.len(), texts(&records[..1])),
                (2, ["a".into()].to_vec())
            );
            let Err(Error::BadValue { at, .. }) = records[1] else {
                panic!("{records:?}")
            };
            assert_eq!(at, VirtAddr::new(BUFFER + 24 + 8));
        }
        for (len, first, next) in [(0, 0, 0), (0x8000_0001, 0, 0), (64, 64, 0), (64, 0, 64)] {
            assert!(read(&laid(len, first, next), INFO).is_err());
        }
        assert_eq!(read(&laid(64, 8, 8), INFO), Ok(Vec::new()));
    }
}
