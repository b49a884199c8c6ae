//! The lockless ring of Linux 5.10 and later.
//!
//! ```text
//!  descriptor   id & (count - 1) ─▶ │ state_var │ begin │ next │
//!  state_var    63 62 61                          0
//!              │state│ id                         │   1 committed, 2 finalized: there is a record
//!  info         │ seq │ ts_nsec │ text_len │ facility │ flags:5 level:3 │ caller_id │ dev_info │
//!  text         begin & (size - 1) ─▶ │ id │ text … │ padding │ ◀─ next
//! ```
//!
//! A block that would pass the end of the text ring lies at its beginning. Where there is no block,
//! `begin` and `next` are odd: 3 for an empty line, 1 for a text that found no room.
//!
//! Source: kernel/printk/printk_ringbuffer.h and .c. VMCOREINFO does not tell where `facility`, `flags`
//! and `level` lie: they follow `text_len` in `struct printk_info`.

#![deny(clippy::arithmetic_side_effects)]

mod layout;

use alloc::{vec, vec::Vec};

use physmem::{PhysMemory, VirtAddr};

pub(super) use self::layout::Layout;
use super::{Caller, Device, MAX_BUFFER, Record, level_and_flags};
use crate::{
    Error, Field,
    kernel::{
        Virtual,
        memory::{add, behind_page, element},
    },
};

const COUNT_BITS: Field = Field {
    name: "prb_desc_ring.count_bits",
    allowed: "0 to 31",
};
const SIZE_BITS: Field = Field {
    name: "prb_data_ring.size_bits",
    allowed: "0 to 31",
};
const HEAD_ID: Field = Field {
    name: "prb_desc_ring.head_id",
    allowed: "fewer above tail_id than there are descriptors",
};
const STATE_VAR: Field = Field {
    name: "prb_desc.state_var",
    allowed: "a state with the id of its place between tail_id and head_id, or not used yet",
};
const NEXT: Field = Field {
    name: "prb_data_blk_lpos.next",
    allowed: "an end within the ring above begin",
};
const BLOCK_ID: Field = Field {
    name: "prb_data_block.id",
    allowed: "the id of its descriptor",
};

/// Longer names of devices are cut: `PRINTK_INFO_DEVICE_LEN` is 48.
const MAX_NAME: u64 = 256;

/// `NO_LPOS`, `EMPTY_LINE_LPOS` since Linux 6.10: both positions of an empty line.
const EMPTY_LINE: u64 = 3;

/// `desc_committed`, `desc_finalized` and `desc_reusable`.
const COMMITTED: u64 = 1;
const FINALIZED: u64 = 2;
const REUSABLE: u64 = 3;

#[derive(Debug)]
pub(super) struct Ring<'m, M: ?Sized> {
    virt: Virtual<'m, M>,
    layout: Layout,
    descs: VirtAddr,
    infos: VirtAddr,
    data: VirtAddr,
    /// Descriptors are 2^count_bits, and the bytes of text 2^size_bits.
    count_bits: u32,
    size_bits: u32,
    next_id: u64,
    left: u64,
}

impl<'m, M: PhysMemory + ?Sized> Ring<'m, M> {
    pub(super) fn new(layout: Layout, virt: Virtual<'m, M>) -> Result<Self, Error> {
        let prb = virt.pointer(layout.prb)?;
        let descs = add(prb, layout.desc_ring)?;
        let text = add(prb, layout.text_data_ring)?;
        let count_bits = bits(virt, add(descs, layout.count_bits)?, &COUNT_BITS)?;
        let size_bits = bits(virt, add(text, layout.size_bits)?, &SIZE_BITS)?;
        let id = |offset| virt.word(add(add(descs, offset)?, layout.counter)?);
        let tail_id = id(layout.tail_id)?;
        let head_id = id(layout.head_id)?;

        let mut ring = Self {
            virt,
            descs: virt.pointer(add(descs, layout.descs)?)?,
            infos: virt.pointer(add(descs, layout.infos)?)?,
            data: virt.pointer(add(text, layout.data)?)?,
            layout,
            count_bits,
            size_bits,
            next_id: tail_id,
            left: 0,
        };
        // Ids wrap, so their difference does.
        let above = ring.id(head_id.wrapping_sub(tail_id));
        if above >> count_bits != 0 {
            return Err(Error::BadValue {
                field: &HEAD_ID,
                at: add(descs, ring.layout.head_id)?,
                value: head_id,
            });
        }
        // Below 2^count_bits, and head_id itself is one.
        ring.left = above.saturating_add(1);
        Ok(ring)
    }

    /// Bits of a `long`.
    fn word_bits(&self) -> u32 {
        match self.virt.word_size() {
            physmem::Width::U32 => 32,
            physmem::Width::U64 => 64,
        }
    }

    /// `DESC_ID`: an id is a word without its two highest bits.
    fn id(&self, word: u64) -> u64 {
        word & (u64::MAX >> 66_u32.saturating_sub(self.word_bits()))
    }

    /// A position in the text, which wraps as a word does.
    fn lpos(&self, word: u64) -> u64 {
        word & (u64::MAX >> 64_u32.saturating_sub(self.word_bits()))
    }

    fn index(&self, id: u64) -> u64 {
        id & low_bits(self.count_bits)
    }

    /// The record of the descriptor, if it has one.
    fn record(&self, id: u64) -> Result<Option<Record>, Error> {
        let (virt, layout) = (&self.virt, &self.layout);
        let desc = element(self.descs, self.index(id), layout.desc_size)?;
        let at = add(desc, layout.state_var)?;
        let state_var = virt.word(at)?;
        // Two bits below the word's end.
        let state = state_var >> self.word_bits().saturating_sub(2);
        // What the descriptor's place held a turn before.
        let before = self.id(id.wrapping_sub(1 << self.count_bits));
        match (state, self.id(state_var)) {
            (COMMITTED | FINALIZED, found) if found == id => {}
            // Being written, or given back.
            (_, found) if found == id => return Ok(None),
            // Taken from its last owner, and not yet marked by the next; or never used.
            (REUSABLE, found) if found == before => return Ok(None),
            _ if state_var == 0 => return Ok(None),
            _ => {
                return Err(Error::BadValue {
                    field: &STATE_VAR,
                    at,
                    value: state_var,
                });
            }
        }

        let Some(text) = self.block(id, desc)? else {
            return Ok(None);
        };
        let info = element(self.infos, self.index(id), layout.info_size)?;
        let text_len = add(info, layout.text_len)?;
        let facility = virt.u8(add(text_len, 2)?)?;
        let (level, flags) = level_and_flags(virt.u8(add(text_len, 3)?)?, virt.endian());
        let caller = virt.u32(add(info, layout.caller_id)?)?;
        Ok(Some(Record {
            seq: virt.u64(add(info, layout.seq)?)?,
            time: Some(virt.u64(add(info, layout.ts_nsec)?)?),
            level: Some(level),
            facility,
            flags,
            caller: Some(Caller::new(caller)),
            text: self.text(text, virt.u16(text_len)?)?,
            device: self.device(info)?,
        }))
    }

    /// Where the text of a record is and how many bytes it may have; `None` where it found no room.
    fn block(&self, id: u64, desc: VirtAddr) -> Result<Option<(VirtAddr, u64)>, Error> {
        let virt = &self.virt;
        let begin = virt.word(add(desc, self.layout.begin)?)?;
        let at = add(desc, self.layout.next)?;
        let next = virt.word(at)?;
        if begin & next & 1 != 0 {
            return Ok((begin == EMPTY_LINE && next == EMPTY_LINE).then_some((self.data, 0)));
        }
        let bad = Error::BadValue {
            field: &NEXT,
            at,
            value: next,
        };
        let (first, end) = self.extent(begin, next).ok_or(bad)?;
        // A block is not shorter than its id. makedumpfile and crash take the difference for granted.
        let header = virt.word_size().bytes() as u64;
        let room = end
            .checked_sub(first)
            .and_then(|size| size.checked_sub(header))
            .ok_or(bad)?;

        let block = add(self.data, first)?;
        let found = virt.word(block)?;
        if found != id {
            return Err(Error::BadValue {
                field: &BLOCK_ID,
                at: block,
                value: found,
            });
        }
        Ok(Some((add(block, header)?, room)))
    }

    /// The text of a record: as much of `len` bytes as its block has room for.
    fn text(&self, (at, room): (VirtAddr, u64), len: u16) -> Result<Vec<u8>, Error> {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut text = vec![0; room.min(len.into())];
        self.virt.read(at, &mut text)?;
        Ok(text)
    }

    /// Where a block begins and ends in the text ring, if its positions can be one's.
    fn extent(&self, begin: u64, next: u64) -> Option<(u64, u64)> {
        let size = 1_u64 << self.size_bits;
        let turn = |lpos| self.lpos(lpos) >> self.size_bits;
        let last = next.wrapping_sub(1);
        // A block may end where the ring does: its last byte tells its turn, not `next`.
        let end = (last & low_bits(self.size_bits)).checked_add(1)?;
        if turn(begin) == turn(last) {
            Some((begin & low_bits(self.size_bits), end))
        } else if turn(begin.wrapping_add(size)) == turn(last) {
            Some((0, end))
        } else {
            None
        }
    }

    fn device(&self, info: VirtAddr) -> Result<Option<Device>, Error> {
        let Some(layout) = &self.layout.device else {
            return Ok(None);
        };
        let name = |(offset, len): (u64, u64)| -> Result<Vec<u8>, Error> {
            let len = usize::try_from(len.min(MAX_NAME)).unwrap_or_default();
            let mut name = vec![0; len];
            Ok(self.virt.string(add(info, offset)?, &mut name)?.to_vec())
        };
        let (subsystem, device) = (name(layout.subsystem)?, name(layout.device)?);
        let is_told = !subsystem.is_empty() || !device.is_empty();
        Ok(is_told.then_some(Device { subsystem, device }))
    }

    /// Passes over the descriptors that lie in the same page as a byte that cannot be read.
    fn skip(&mut self, missing: VirtAddr) {
        let arrays = [
            (self.descs, self.layout.desc_size),
            (self.infos, self.layout.info_size),
        ];
        // The record that failed was taken off already.
        let failed = self.index(self.next_id.wrapping_sub(1));
        for (array, size) in arrays {
            let Some(offset) = missing.checked_offset_from(array) else {
                continue;
            };
            if offset.checked_div(size) != Some(failed) {
                continue;
            }
            // The next element that begins behind the page.
            let skipped = behind_page(missing)
                .and_then(|behind| behind.checked_offset_from(array))
                .map_or(self.left, |offset| offset.div_ceil(size))
                .saturating_sub(failed.saturating_add(1))
                .min(self.left)
                // Not around the end of the array.
                .min(low_bits(self.count_bits).saturating_sub(failed));
            self.next_id = self.id(self.next_id.wrapping_add(skipped));
            // At most all of them.
            self.left = self.left.saturating_sub(skipped);
            return;
        }
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Ring<'_, M> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(left) = self.left.checked_sub(1) {
            let id = self.id(self.next_id);
            self.left = left;
            self.next_id = self.id(id.wrapping_add(1));
            match self.record(id) {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) => {}
                Err(error) => {
                    if let Error::Virt(missing) = &error {
                        self.skip(missing.at());
                    }
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// A number of bits that makes a ring no larger than rings are.
fn bits<M: PhysMemory + ?Sized>(
    virt: Virtual<'_, M>,
    at: VirtAddr,
    field: &'static Field,
) -> Result<u32, Error> {
    let bits = virt.u32(at)?;
    if bits <= MAX_BUFFER.trailing_zeros() {
        return Ok(bits);
    }
    Err(Error::BadValue {
        field,
        at,
        value: bits.into(),
    })
}

fn low_bits(bits: u32) -> u64 {
    // Bits are at most 31.
    (1_u64 << bits).wrapping_sub(1)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{string::String, vec::Vec};

    use physmem::{Endian, Width};

    use super::*;
    use crate::{
        Vmcoreinfo,
        kernel::{
            memory::tests::{BASE, Laid, with},
            printk,
        },
    };

    /// Of Linux 6.1, x86-64; the addresses are those below.
    const WIDE: &str = "SYMBOL(prb)=ffffffff80000000\nOFFSET(printk_ringbuffer.desc_ring)=0\n\
        OFFSET(printk_ringbuffer.text_data_ring)=48\nOFFSET(prb_desc_ring.count_bits)=0\n\
        OFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\n\
        OFFSET(prb_desc_ring.head_id)=24\nOFFSET(prb_desc_ring.tail_id)=32\nSIZE(prb_desc)=24\n\
        OFFSET(prb_desc.state_var)=0\nOFFSET(prb_desc.text_blk_lpos)=8\n\
        OFFSET(prb_data_blk_lpos.begin)=0\nOFFSET(prb_data_blk_lpos.next)=8\n\
        SIZE(printk_info)=88\nOFFSET(printk_info.seq)=0\nOFFSET(printk_info.ts_nsec)=8\n\
        OFFSET(printk_info.text_len)=16\nOFFSET(printk_info.caller_id)=20\n\
        OFFSET(printk_info.dev_info)=24\nOFFSET(dev_printk_info.subsystem)=0\n\
        LENGTH(printk_info_subsystem)=16\nOFFSET(dev_printk_info.device)=16\n\
        LENGTH(printk_info_device)=48\nOFFSET(prb_data_ring.size_bits)=0\n\
        OFFSET(prb_data_ring.data)=8\nOFFSET(atomic_long_t.counter)=0\n";

    const RING: u64 = BASE + 0x100;
    const DESCS: u64 = BASE + 0x1000;
    const INFOS: u64 = BASE + 0x2000;
    const DATA: u64 = BASE + 0x3000;

    /// A ring of four descriptors and 64 bytes of text.
    struct Made {
        laid: Laid,
        endian: Endian,
        word: Width,
    }

    impl Made {
        fn new(tail: u64, head: u64) -> Self {
            Self::of(Endian::Little, Width::U64, tail, head)
        }

        fn of(endian: Endian, word: Width, tail: u64, head: u64) -> Self {
            let mut made = Self {
                laid: Laid::new(0x4000),
                endian,
                word,
            };
            made.words(BASE, &[RING]);
            let text = RING + 6 * made.bytes();
            made.u32(RING, 2);
            made.words(RING + made.bytes(), &[DESCS, INFOS, head, tail]);
            made.u32(text, 6);
            made.words(text + made.bytes(), &[DATA]);
            made
        }

        fn bytes(&self) -> u64 {
            self.word.bytes() as u64
        }

        fn u32(&mut self, at: u64, value: u32) {
            let bytes = match self.endian {
                Endian::Little => value.to_le_bytes(),
                Endian::Big => value.to_be_bytes(),
            };
            self.laid.put(at, &bytes);
        }

        fn words(&mut self, at: u64, words: &[u64]) {
            let n = self.word.bytes();
            for (word, at) in words.iter().zip((at..).step_by(n)) {
                let bytes = match self.endian {
                    Endian::Little => word.to_le_bytes()[..n].to_vec(),
                    Endian::Big => word.to_be_bytes()[8 - n..].to_vec(),
                };
                self.laid.put(at, &bytes);
            }
        }

        fn desc(&mut self, id: u64, state: u64, begin: u64, next: u64) {
            let state_var = state << (self.bytes() * 8 - 2) | id;
            let at = DESCS + (id & 3) * 3 * self.bytes();
            self.words(at, &[state_var, begin, next]);
        }

        fn info(&mut self, id: u64, len: u8) {
            let at = INFOS + (id & 3) * 88;
            let seq = id + 100;
            // seq, ts_nsec, text_len; facility 1, level 6, LOG_NEWLINE; CPU 2.
            let (wide, len, packed) = match self.endian {
                Endian::Little => (seq.to_le_bytes(), [len, 0], 6 << 5 | 2),
                Endian::Big => (seq.to_be_bytes(), [0, len], 6 | 2 << 3),
            };
            self.laid.put(at, &wide);
            self.laid.put(at + 8, &wide);
            self.laid.put(at + 16, &len);
            self.laid.put(at + 18, &[1, packed]);
            self.u32(at + 20, 0x8000_0002);
        }

        /// A committed record of eight bytes a block, or whatever its positions say.
        fn record(&mut self, id: u64, begin: u64, next: u64, text: &[u8]) {
            self.desc(id, COMMITTED, begin, next);
            self.info(id, text.len().try_into().unwrap());
            // A wrapped block lies at the beginning.
            let at = match (begin >> 6, (next - 1) >> 6) {
                (one, other) if one == other => DATA + (begin & 63),
                _ => DATA,
            };
            self.words(at, &[id]);
            self.laid.put(at + self.bytes(), text);
        }

        fn read(&self) -> Result<Vec<Result<Record, Error>>, Error> {
            // On 32-bit machines words and what is made of them are half as long.
            let narrow: String = WIDE
                .replace("ring)=48", "ring)=24")
                .replace("descs)=8", "descs)=4")
                .replace("infos)=16", "infos)=8")
                .replace("head_id)=24", "head_id)=12")
                .replace("tail_id)=32", "tail_id)=16")
                .replace("SIZE(prb_desc)=24", "SIZE(prb_desc)=12")
                .replace("text_blk_lpos)=8", "text_blk_lpos)=4")
                .replace("lpos.next)=8", "lpos.next)=4")
                .replace("ring.data)=8", "ring.data)=4");
            let text = match self.word {
                Width::U32 => &narrow,
                Width::U64 => WIDE,
            };
            self.read_with(text)
        }

        fn read_with(&self, text: &str) -> Result<Vec<Result<Record, Error>>, Error> {
            let info = Vmcoreinfo::new(text.as_bytes(), 0);
            with(&self.laid, self.endian, self.word, |virt| {
                printk::records(&info, virt).map(|records| records.collect())
            })
        }

        fn texts(&self) -> Vec<String> {
            let records = self.read().unwrap();
            let text = |record: Result<Record, _>| String::from_utf8(record.unwrap().text).unwrap();
            records.into_iter().map(text).collect()
        }
    }

    #[test]
    fn records_from_the_tail_to_the_head_and_around_the_end() {
        let mut made = Made::new(6, 9);
        made.record(6, 64 + 24, 64 + 40, b"sixth");
        made.record(7, 64 + 40, 64 + 56, b"seven, a");
        // Eight bytes are left before the end, so it lies at 0.
        made.record(8, 64 + 56, 128 + 8, b"");
        made.record(9, 128 + 8, 128 + 24, b"ninth");
        made.laid.put(INFOS + 88 + 24, b"pci\0junk");
        made.laid.put(INFOS + 88 + 40, b"+pci:0000:00:01.0\0");
        assert_eq!(made.texts(), ["sixth", "seven, a", "", "ninth"]);

        let last = made.read().unwrap().pop().unwrap().unwrap();
        assert_eq!((last.seq, last.time, last.level), (109, Some(109), Some(6)));
        assert_eq!((last.facility, last.flags), (1, printk::Flags::NEWLINE));
        assert_eq!(last.caller, Some(Caller::Cpu(2)));
        let device = last.device.unwrap();
        assert_eq!(device.subsystem, b"pci");
        assert_eq!(device.device, b"+pci:0000:00:01.0");
        // Without their keys devices are not known, and the rest is.
        let without = WIDE.replace("dev_info", "x");
        let records = made.read_with(&without).unwrap();
        assert_eq!(records.len(), 4);
        assert!(
            records
                .iter()
                .all(|record| record.as_ref().unwrap().device.is_none())
        );
    }

    #[test]
    fn words_of_other_sizes_and_orders_and_ids_that_wrap() {
        for (endian, word) in [
            (Endian::Little, Width::U32),
            (Endian::Big, Width::U32),
            (Endian::Big, Width::U64),
            (Endian::Little, Width::U64),
        ] {
            let bits = word.bytes() * 8;
            let top = u64::MAX >> (66 - bits);
            let mut made = Made::of(endian, word, top, 0);
            let end_of_space = u64::MAX >> (64 - bits) & !63;
            made.record(top, end_of_space + 32, end_of_space + 48, b"before");
            made.record(0, 0, 16, b"behind");
            assert_eq!(made.texts(), ["before", "behind"], "{endian:?} {word:?}");
            let first = made.read().unwrap().remove(0).unwrap();
            assert_eq!((first.level, first.facility), (Some(6), 1));
            assert_eq!(first.caller, Some(Caller::Cpu(2)));
        }
    }

    #[test]
    fn a_block_may_end_where_the_ring_does() {
        // Since Linux 6.18; before, such a block was put at the beginning.
        let mut made = Made::new(5, 5);
        made.record(5, 128 + 40, 192, b"the last 16 byte");
        assert_eq!(made.texts(), ["the last 16 byte"]);
    }

    #[test]
    fn text_is_cut_where_its_block_ends() {
        let mut made = Made::new(5, 5);
        made.record(5, 64, 64 + 16, b"eight by");
        made.info(5, 200);
        assert_eq!(made.texts(), ["eight by"]);
    }

    #[test]
    fn what_holds_no_record_is_passed_over() {
        let mut made = Made::new(4, 7);
        made.desc(4, 3, 0, 0); // given back
        made.desc(5, COMMITTED, EMPTY_LINE, EMPTY_LINE);
        made.info(5, 0);
        made.desc(6, FINALIZED, 1, 1); // no room for the text
        made.desc(7, 0, 64, 80); // being written
        assert_eq!(made.texts(), [""]);
        made.desc(3, 3, 0, 0); // in the place of 7, not yet taken over
        made.words(DESCS + 48, &[0, 0, 0]); // never used
        assert_eq!(made.texts(), [""]);
    }

    #[test]
    fn a_damaged_record_is_named_and_the_log_goes_on() {
        let mut sound = Made::new(4, 6);
        sound.record(4, 64, 80, b"four");
        sound.record(5, 80, 96, b"five");
        sound.record(6, 96, 112, b"six");
        let name = |made: &Made| {
            let records = made.read().unwrap();
            let texts: Vec<_> = records.iter().flatten().map(|it| it.text.clone()).collect();
            assert_eq!(texts, [&b"four"[..], b"six"]);
            match records[1] {
                Err(Error::BadValue { field, .. }) => field.name,
                _ => panic!("{records:?}"),
            }
        };
        // next - begin is less than an id takes: others make 2^64 - 4 of it.
        for (begin, next) in [
            (80, 84),
            (80, 80),
            (80, 64),
            (80, 300),
            (96, 80),
            (80, 128 + 4),
        ] {
            let mut made = Made::new(4, 6);
            made.laid.bytes.clone_from(&sound.laid.bytes);
            made.desc(5, COMMITTED, begin, next);
            assert_eq!(name(&made), "prb_data_blk_lpos.next", "{begin} {next}");
        }
        let mut made = Made::new(4, 6);
        made.laid.bytes.clone_from(&sound.laid.bytes);
        made.words(DATA + 16, &[6]);
        assert_eq!(name(&made), "prb_data_block.id");
        made.desc(5, COMMITTED, 80, 96);
        made.words(DESCS + 24, &[COMMITTED << 62 | 77]);
        assert_eq!(name(&made), "prb_desc.state_var");
    }

    #[test]
    fn descriptors_in_a_missing_page_are_one_error() {
        let mut made = Made::new(0, 1023);
        made.u32(RING, 10);
        made.laid.bytes.resize(0x20_0000, 0);
        // 1024 descriptors of 24 bytes take six pages; the second is missing, and text at 0x8000.
        made.words(RING + 8, &[DESCS + 0x3000, BASE + 0x10_0000]);
        made.words(RING + 56, &[BASE + 0x1_8000]);
        made.u32(RING + 48, 14);
        for id in 0..1024 {
            let (at, lpos) = (DESCS + 0x3000 + id * 24, id * 16);
            made.words(at, &[COMMITTED << 62 | id, lpos, lpos + 16]);
            made.words(BASE + 0x1_8000 + lpos, &[id]);
        }
        assert_eq!(made.read().unwrap().iter().flatten().count(), 1024);
        made.laid.holes.push(5);
        let records = made.read().unwrap();
        let missing: Vec<_> = records.iter().filter_map(|it| it.as_ref().err()).collect();
        // Bytes 0x1000 to 0x2000 of the array touch descriptors 170 to 341.
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert_eq!(records.len(), 1024 - 172 + 1);
    }

    #[test]
    fn a_ring_that_cannot_be_one_is_refused() {
        for (tail, head) in [(4, 8), (5, 4), (1, 0)] {
            let error = Made::new(tail, head).read().unwrap_err();
            assert!(
                matches!(error, Error::BadValue { field, .. } if field.name.ends_with("head_id"))
            );
        }
        for (at, name) in [(RING, "count_bits"), (RING + 48, "size_bits")] {
            let mut made = Made::new(4, 4);
            made.u32(at, 32);
            let error = made.read().unwrap_err();
            assert!(
                matches!(error, Error::BadValue { field, at: found, value: 32 }
                if field.name.ends_with(name) && found == VirtAddr::new(at))
            );
        }
        let missing = Made::new(4, 4)
            .read_with(&WIDE.replace("descs", "x"))
            .unwrap_err();
        let what = "OFFSET(prb_desc_ring.descs) in VMCOREINFO";
        assert_eq!(missing, Error::Missing { what });
        for (from, to) in [
            ("ts_nsec)=8", "ts_nsec)=99"),
            ("text_len)=16", "text_len)=9999"),
            ("SIZE(printk_info)=88", "SIZE(printk_info)=0"),
            ("state_var)=0", "state_var)=24"),
        ] {
            let refused = Made::new(4, 4).read_with(&WIDE.replace(from, to));
            assert!(matches!(refused, Err(Error::BadField { .. })), "{to}");
        }
    }
}
