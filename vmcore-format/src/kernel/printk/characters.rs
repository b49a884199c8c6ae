//! The ring of characters before Linux 3.5.
//!
//! ```text
//!  log_buf ─▶ │ …tail of a line\n<6>[    0.5…]  a line\n… │ <4>[    0.12…] the oldest that is left … │
//!                                                        └─ log_end & (log_buf_len - 1)
//! ```
//!
//! `log_end` counts every character since boot, so the buffer holds the last `log_buf_len` of them, or
//! all. Each line is a record; its level and its time, if it has them, are taken off.
//!
//! Source: `emit_log_char` (kernel/printk.c, Linux 3.4). `logged_chars`, the characters since
//! `dmesg -C`, is not needed: the others are still there.

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use physmem::{PhysMemory, VirtAddr};

use super::{BUFFER_LEN, Flags, Record, records::Buffer};
use crate::{
    Error, Vmcoreinfo,
    kernel::{Virtual, memory::add},
};

/// Longer lines are cut in pieces; a record of later kernels has no more text either.
const MAX_LINE: usize = u16::MAX as usize;

/// Bytes read at once.
const CHUNK: usize = 256;

#[derive(Debug)]
pub(super) struct Characters<'m, M: ?Sized> {
    virt: Virtual<'m, M>,
    buffer: VirtAddr,
    /// A power of two.
    len: u64,
    /// The next character to read, and the one that is not written yet, counted since boot.
    next: u64,
    end: u64,
    /// What was read and not given yet.
    held: Vec<u8>,
    seq: u64,
}

/// Where the ring is.
#[derive(Debug)]
pub(super) struct Layout {
    buffer: Buffer,
    /// `log_end`.
    end: VirtAddr,
}

impl Layout {
    pub(super) fn told(info: &Vmcoreinfo<'_>) -> Result<Self, Error> {
        Ok(Self {
            buffer: Buffer::told(info)?,
            end: VirtAddr::new(told!(info, SYMBOL("log_end"))?),
        })
    }
}

impl<'m, M: PhysMemory + ?Sized> Characters<'m, M> {
    pub(super) fn new(layout: &Layout, virt: Virtual<'m, M>) -> Result<Self, Error> {
        let len = layout.buffer.len(virt)?;
        let buffer = virt.pointer(layout.buffer.start)?;
        // `unsigned`, and `unsigned long` before 2.6.25, of which these are the low bits on little-endian
        // machines.
        let end = u64::from(virt.u32(layout.end)?);
        if !len.is_power_of_two() {
            return Err(Error::BadValue {
                field: &BUFFER_LEN,
                at: layout.buffer.len,
                value: len,
            });
        }
        Ok(Self {
            virt,
            buffer,
            len,
            // Saturating: what is not full begins with the first character.
            next: end.saturating_sub(len),
            end,
            held: Vec::new(),
            seq: 0,
        })
    }

    /// The next line without its end, or the rest of the ring.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut looked_at = 0;
        loop {
            let fresh = self.held.get(looked_at..).unwrap_or_default();
            let end = fresh.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                // Within `held`.
                let end = looked_at.saturating_add(end);
                let rest = self.held.split_off(end.saturating_add(1));
                self.held.truncate(end);
                return Ok(Some(core::mem::replace(&mut self.held, rest)));
            }
            looked_at = self.held.len();
            if looked_at > MAX_LINE || self.next == self.end {
                let line = core::mem::take(&mut self.held);
                return Ok((looked_at > 0).then_some(line));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        // `len` is a power of two, not 0.
        let index = self.next & self.len.wrapping_sub(1);
        // The index is less than the length, and `next` at or below `end`.
        let (to_wrap, to_end) = (
            self.len.saturating_sub(index),
            self.end.saturating_sub(self.next),
        );
        let n = usize::try_from(to_wrap.min(to_end)).unwrap_or(CHUNK);
        let mut chunk = [0; CHUNK];
        let (chunk, _) = chunk.split_at_mut(n.min(CHUNK));
        self.virt.read(add(self.buffer, index)?, chunk)?;
        self.held.extend_from_slice(chunk);
        // At or below `end`.
        self.next = self.next.saturating_add(chunk.len() as u64);
        Ok(())
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Characters<'_, M> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.line() {
            Ok(line) => line?,
            Err(error) => {
                self.held.clear();
                self.next = self.end;
                return Some(Err(error));
            }
        };
        let (priority, rest) = match number_between(&line, b"<", b">") {
            Some((number, rest)) => (u8::try_from(number).ok(), rest),
            None => (None, &line[..]),
        };
        let (time, text) = match time(rest) {
            Some((time, text)) => (Some(time), text),
            None => (None, rest),
        };
        let seq = self.seq;
        // One a line.
        self.seq = self.seq.saturating_add(1);
        Some(Ok(Record {
            seq,
            time,
            level: priority.map(|priority| priority & 7),
            facility: priority.unwrap_or_default() >> 3,
            flags: Flags::empty(),
            caller: None,
            text: text.to_vec(),
            device: None,
        }))
    }
}

/// `[ssss.uuuuuu] `, in nanoseconds, and what follows it.
fn time(line: &[u8]) -> Option<(u64, &[u8])> {
    let (seconds, rest) = number_between(line, b"[", b".")?;
    let (micros, rest) = number_between(rest, b"", b"] ")?;
    let nanos = seconds
        .checked_mul(1_000_000)?
        .checked_add(micros)?
        .checked_mul(1000)?;
    Some((nanos, rest))
}

/// A decimal number, blanks before it, between two marks; and what follows.
fn number_between<'l>(line: &'l [u8], before: &[u8], behind: &[u8]) -> Option<(u64, &'l [u8])> {
    let digits = line.strip_prefix(before)?.trim_ascii_start();
    let len = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = digits.split_at(len);
    let number = core::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest.strip_prefix(behind)?))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use physmem::{Endian, Width};

    use super::*;
    use crate::kernel::{
        memory::tests::{BASE, Laid, with},
        printk,
    };

    const INFO: &[u8] = b"OSRELEASE=2.6.32\nSYMBOL(log_buf)=ffffffff80000000\n\
        SYMBOL(log_buf_len)=ffffffff80000008\nSYMBOL(log_end)=ffffffff8000000c\n\
        SYMBOL(logged_chars)=ffffffff80000010\n";
    const BUFFER: u64 = BASE + 0x1000;

    /// What a ring of `len` bytes holds after `log` was said.
    fn read(log: &[u8], len: u64) -> Vec<Result<Record, Error>> {
        let mut laid = Laid::new(0x2_0000);
        laid.put(BASE, &BUFFER.to_le_bytes());
        laid.put(BASE + 8, &len.to_le_bytes());
        laid.put(BASE + 12, &u32::try_from(log.len()).unwrap().to_le_bytes());
        for (byte, at) in log.iter().zip(0..) {
            laid.put(BUFFER + at % len, &[*byte]);
        }
        asked(&laid).unwrap().collect()
    }

    fn asked(laid: &Laid) -> Result<vec::IntoIter<Result<Record, Error>>, Error> {
        let info = Vmcoreinfo::new(INFO, 0);
        with(laid, Endian::Little, Width::U64, |virt| {
            let records = printk::records(&info, virt)?;
            Ok(records.collect::<Vec<_>>().into_iter())
        })
    }

    #[test]
    fn lines_with_their_level_and_time() {
        let records = read(
            b"<5>[    0.000000] Linux\n<14>[12345.678901] user\nno level\n<6>half",
            256,
        );
        let records: Vec<_> = records.into_iter().map(Result::unwrap).collect();
        let told: Vec<_> = records
            .iter()
            .map(|it| (it.time, it.facility, it.level, &it.text[..]))
            .collect();
        assert_eq!(
            told,
            [
                (Some(0), 0, Some(5), &b"Linux"[..]),
                (Some(12_345_678_901_000), 1, Some(6), b"user"),
                (None, 0, None, b"no level"),
                (None, 0, Some(6), b"half"),
            ]
        );
        assert_eq!(records[1].to_string(), "[12345.678901] user");
        assert_eq!(records[3].seq, 3);
    }

    #[test]
    fn what_was_overwritten_is_gone_and_the_rest_is_in_order() {
        // Exactly full, then one byte more and more.
        let log = b"<6>a\n<6>b\n<6>c\n<6>\n";
        assert_eq!(log.len(), 19);
        let texts = |len| -> Vec<_> {
            let records = read(&log[..len], 16);
            records.into_iter().map(|it| it.unwrap().text).collect()
        };
        assert_eq!(texts(15), [b"a", b"b", b"c"]);
        assert_eq!(texts(16), [&b"a"[..], b"b", b"c", b"<"]);
        assert_eq!(texts(19), [&b"a"[..], b"b", b"c", b""]);
        assert_eq!(texts(0), [b""; 0]);
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces() {
        let mut log = vec![b'x'; 0x1_1000];
        log.push(b'\n');
        let lengths: Vec<_> = read(&log, 0x2_0000 - 0x1_0000)
            .into_iter()
            .map(|it| it.unwrap().text.len())
            .collect();
        assert_eq!(lengths, [0xffff]);
        let whole: usize = read(&log[..0x1_0000], 0x1_0000)
            .into_iter()
            .map(|it| it.unwrap().text.len())
            .sum();
        assert_eq!(whole, 0x1_0000);
    }

    #[test]
    fn a_missing_page_ends_the_log_and_odd_lengths_are_refused() {
        let mut laid = Laid::new(0x4000);
        laid.put(BASE, &(BUFFER + 0xffa).to_le_bytes());
        laid.put(BASE + 8, &64_u32.to_le_bytes());
        laid.put(BASE + 12, &12_u32.to_le_bytes());
        laid.put(BUFFER + 0xffa, b"one\ntwo\nthr");
        laid.holes.push(2);
        let records: Vec<_> = asked(&laid).unwrap().collect();
        assert_eq!(records.len(), 1);
        assert!(
            matches!(records[0], Err(Error::Virt(missing)) if missing.at() == VirtAddr::new(BASE + 0x2000))
        );

        laid.put(BASE + 8, &65_u32.to_le_bytes());
        assert!(matches!(
            asked(&laid),
            Err(Error::BadValue { value: 65, .. })
        ));
    }
}
