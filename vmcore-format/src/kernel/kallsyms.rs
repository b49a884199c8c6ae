//! The kernel's own symbols, from the tables that `CONFIG_KALLSYMS` puts into its image.
//!
//! ```text
//!  kallsyms_num_syms     u32
//!  kallsyms_offsets      i32 or u32 a symbol, in the order of their addresses ─┐
//!  kallsyms_relative_base   long                                              ├─▶ address
//!  kallsyms_names        │ length │ token, token, … │ length │ token, … │     one name a symbol
//!                          7 bits, or 14 in two bytes if bit 7 of the first is set
//!  kallsyms_token_index  u16 a token ─▶ kallsyms_token_table  "text\0text\0…"
//!
//!  the texts of a name's tokens, joined:  "Tlinux_banner"   the first letter is the type, as in nm(1)
//! ```
//!
//! How an offset is an address changed with time:
//!
//! | kernel | address |
//! |---|---|
//! | `CONFIG_KALLSYMS_ABSOLUTE_PERCPU`: x86-64 until 6.14 | positive: the offset itself, a per-CPU variable's; negative: base − 1 − offset |
//! | others | base + offset, unsigned |
//! | no `kallsyms_relative_base` | where the offset lies + offset, signed |
//! | no `CONFIG_KALLSYMS_BASE_RELATIVE`: 6.0 to 6.11 without it | `kallsyms_addresses`, a `long` a symbol |
//!
//! VMCOREINFO tells where the tables are since Linux 6.0; for older kernels there is an error that says
//! which key is missing. Symbols of modules are in the modules' own tables, not in these.
//!
//! Source: kernel/kallsyms.c (`kallsyms_sym_address`, `kallsyms_expand_symbol`), scripts/kallsyms.c.

#![deny(clippy::arithmetic_side_effects)]

mod addresses;
mod names;

use alloc::{boxed::Box, vec::Vec};

use physmem::{PhysMemory, VirtAddr, Width};

use self::{
    addresses::Addresses,
    names::{Ahead, Names, tokens},
};
use super::{
    Virtual,
    memory::{add, element},
};
use crate::{Error, Field, Vmcoreinfo};

/// `kallsyms_seqs_of_names` (scripts/kallsyms.c) numbers symbols in three bytes: no kernel has more.
const MAX_SYMBOLS: u32 = 1 << 24;

/// A place in the names is kept for every this many symbols, as `kallsyms_markers` does.
const MARKER: u32 = 256;

const NUM_SYMS: Field = Field {
    name: "kallsyms_num_syms",
    allowed: "1 to 16777216",
};
/// A symbol of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Where it is; of a per-CPU variable on x86-64 until Linux 6.14 its offset in a CPU's area.
    pub address: VirtAddr,
    /// Its type as nm(1) has it: `T` code, `D` data, `R` read-only, `B` zero, `A` absolute, `W` weak;
    /// small letters for what is local.
    pub kind: u8,
    /// Its name: ASCII in all kernels so far, any bytes in a damaged one.
    pub name: Vec<u8>,
}

/// A symbol and what lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The symbol.
    pub symbol: Symbol,
    /// Bytes from its beginning to the address asked for.
    pub offset: u64,
    /// Bytes to the next symbol's address; `None` where there is none to measure by.
    pub size: Option<u64>,
}

/// What is wrong with the keys of VMCOREINFO that tell of the tables.
pub(super) fn check(info: &Vmcoreinfo<'_>, word: Width) -> Result<(), Error> {
    Tables::told(info, word).map(|_| ())
}

/// Where the tables are, as VMCOREINFO tells.
#[derive(Debug)]
struct Tables {
    names: VirtAddr,
    token_table: VirtAddr,
    token_index: VirtAddr,
    num_syms: VirtAddr,
    addresses: addresses::Told,
}

impl Tables {
    fn told(info: &Vmcoreinfo<'_>, word: Width) -> Result<Self, Error> {
        Ok(Self {
            names: VirtAddr::new(told!(info, SYMBOL("kallsyms_names"))?),
            token_table: VirtAddr::new(told!(info, SYMBOL("kallsyms_token_table"))?),
            token_index: VirtAddr::new(told!(info, SYMBOL("kallsyms_token_index", align 2))?),
            num_syms: VirtAddr::new(told!(info, SYMBOL("kallsyms_num_syms", align 4))?),
            addresses: addresses::Told::new(info, word)?,
        })
    }
}

/// The tables, found. They are read as they are asked about; only the tokens are kept.
#[derive(Debug)]
pub struct Kallsyms<'m, M: ?Sized> {
    virt: Virtual<'m, M>,
    count: u32,
    names: VirtAddr,
    addresses: Addresses,
    /// Where each token's text begins in `token_table`.
    token_index: Box<[u16; 256]>,
    token_table: Vec<u8>,
    /// Where every [`MARKER`]th name begins, from `names` on, as far as they could be read.
    markers: Vec<u64>,
    /// Why not further.
    unmarked: Option<Error>,
}

impl<'m, M: PhysMemory + ?Sized> Kallsyms<'m, M> {
    /// Finds the tables of a kernel and reads once through the lengths of its names.
    ///
    /// A part of the names that cannot be read is no error here: what lies before it can be asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] for a kernel before 6.0, which does not tell where its tables are, or without
    /// `CONFIG_KALLSYMS`; [`Error::BadField`] for an address that is not aligned; [`Error::BadValue`] for a number of symbols that no kernel has and for tokens
    /// that do not end; and why the tokens cannot be read.
    pub fn new(info: &Vmcoreinfo<'_>, virt: Virtual<'m, M>) -> Result<Self, Error> {
        let Tables {
            names,
            token_table,
            token_index,
            num_syms: at,
            addresses,
        } = Tables::told(info, virt.word_size())?;
        let count = virt.u32(at)?;
        if !(1..=MAX_SYMBOLS).contains(&count) {
            return Err(Error::BadValue {
                field: &NUM_SYMS,
                at,
                value: count.into(),
            });
        }
        let (token_index, token_table) = tokens(virt, token_index, token_table)?;
        let mut kallsyms = Self {
            virt,
            count,
            names,
            addresses: addresses.found(virt, count)?,
            token_index,
            token_table,
            markers: Vec::new(),
            unmarked: None,
        };
        kallsyms.unmarked = kallsyms.mark().err();
        Ok(kallsyms)
    }

    /// How many symbols there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Every symbol, by address.
    pub fn symbols(&self) -> Symbols<'_, 'm, M> {
        Symbols {
            names: Names::new(self, 0, 0),
            addresses: Ahead::new(self.virt, self.addresses.array()),
            failed: false,
        }
    }

    /// The first symbol of this name by address. Static functions and variables may share theirs.
    ///
    /// Takes a look at each name: the table by which the kernel itself searches is not told.
    ///
    /// # Errors
    ///
    /// What cannot be read or is damaged before it is found.
    pub fn find(&self, name: &[u8]) -> Result<Option<Symbol>, Error> {
        let mut names = Names::new(self, 0, 0);
        for index in 0..self.count {
            if names.next()?.get(1..) == Some(name) {
                let address = self.address(index)?;
                return Ok(Some(names.symbol(address)));
            }
        }
        Ok(None)
    }

    /// The symbol that `at` lies in: the one with the highest address at or below it, and of several
    /// there the first.
    ///
    /// Takes about 17 steps in a kernel of 100,000 symbols. `None` below the first symbol and above
    /// the last one; above the last per-CPU variable, too.
    ///
    /// # Errors
    ///
    /// What cannot be read or is damaged on the way.
    pub fn at(&self, at: VirtAddr) -> Result<Option<Found>, Error> {
        let below = self.partition(|address| address <= at)?;
        let Some(last) = below.checked_sub(1) else {
            return Ok(None);
        };
        let address = self.address(last)?;
        let behind = match below < self.count {
            true => Some(self.address(below)?),
            false => None,
        };
        // A per-CPU variable does not reach up to the kernel.
        let behind = behind.filter(|behind| {
            self.addresses.is_per_cpu(*behind) == self.addresses.is_per_cpu(address)
        });
        let offset = at.checked_offset_from(address).unwrap_or_default();
        if behind.is_none() && offset > 0 {
            return Ok(None);
        }
        let index = self.partition(|other| other < address)?;
        Ok(Some(Found {
            symbol: self.symbol(index)?,
            offset,
            size: behind.and_then(|behind| behind.checked_offset_from(address)),
        }))
    }

    /// How many symbols come before the first whose address is not `low`, all of which come first.
    fn partition(&self, low: impl Fn(VirtAddr) -> bool) -> Result<u32, Error> {
        let (mut from, mut to) = (0, self.count);
        while from < to {
            let middle = from.midpoint(to);
            match low(self.address(middle)?) {
                // At most 2^24.
                true => from = middle.saturating_add(1),
                false => to = middle,
            }
        }
        Ok(from)
    }

    /// The symbol of this number.
    fn symbol(&self, index: u32) -> Result<Symbol, Error> {
        let marker = index.checked_div(MARKER).unwrap_or_default();
        let first = usize::try_from(marker)
            .ok()
            .and_then(|marker| self.markers.get(marker));
        let Some(first) = first else {
            // There is a marker for each, or an error.
            return Err(self.unmarked.unwrap_or(Error::Missing {
                what: "name of the symbol",
            }));
        };
        let number = marker.saturating_mul(MARKER);
        let mut names = Names::new(self, number, *first);
        for _ in number..index {
            names.skip()?;
        }
        names.next()?;
        Ok(names.symbol(self.address(index)?))
    }

    fn address(&self, index: u32) -> Result<VirtAddr, Error> {
        let array = self.addresses.array();
        let size = self.addresses.size(self.virt.word_size());
        let at = element(array, index.into(), size as u64)?;
        let mut bytes = [0; 8];
        let (bytes, _) = bytes.split_at_mut(size);
        self.virt.read(at, bytes)?;
        Ok(self.addresses.address(self.virt, at, bytes))
    }

    fn mark(&mut self) -> Result<(), Error> {
        let mut names = Names::new(self, 0, 0);
        let mut markers = Vec::new();
        let read = (0..self.count).try_for_each(|index| {
            if index % MARKER == 0 {
                markers.push(names.offset());
            }
            names.skip()
        });
        self.markers = markers;
        read
    }
}

/// The iterator made by [`Kallsyms::symbols`]; it stops after the first error.
#[derive(Debug)]
pub struct Symbols<'k, 'm, M: ?Sized> {
    names: Names<'k, 'm, M>,
    addresses: Ahead<'m, M>,
    failed: bool,
}

impl<M: PhysMemory + ?Sized> Symbols<'_, '_, M> {
    fn step(&mut self) -> Result<Symbol, Error> {
        let kallsyms = self.names.kallsyms;
        self.names.next()?;
        let addresses = kallsyms.addresses;
        let at = add(
            addresses.array(),
            self.addresses.offset_from(addresses.array()),
        )?;
        let mut bytes = [0; 8];
        let (bytes, _) = bytes.split_at_mut(addresses.size(kallsyms.virt.word_size()));
        self.addresses.take(bytes)?;
        Ok(self
            .names
            .symbol(addresses.address(kallsyms.virt, at, bytes)))
    }
}

impl<M: PhysMemory + ?Sized> Iterator for Symbols<'_, '_, M> {
    type Item = Result<Symbol, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.names.left == 0 {
            return None;
        }
        let symbol = self.step();
        self.failed = symbol.is_err();
        Some(symbol)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.names.left).ok())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{format, string::String};

    use physmem::Endian;

    use super::{names::MAX_NAME, *};
    use crate::kernel::memory::tests::{BASE, Laid, with};

    const COUNT: u64 = BASE;
    const INDEX: u64 = BASE + 0x100;
    const TABLE: u64 = BASE + 0x400;
    const RELATIVE_BASE: u64 = BASE + 0x800;
    const NAMES: u64 = BASE + 0x1000;
    const ADDRESSES: u64 = BASE + 0x10_0000;

    /// Tables of symbols, laid as scripts/kallsyms.c lays them. Token `a` is "a" and so on, and 0 is "_init".
    struct Made {
        laid: Laid,
        endian: Endian,
        word: Width,
        info: String,
    }

    impl Made {
        fn new(endian: Endian, word: Width, names: &[&[u8]]) -> Self {
            let mut made = Self {
                laid: Laid::new(0x20_0000),
                endian,
                word,
                info: format!(
                    "SYMBOL(kallsyms_names)={NAMES:x}\nSYMBOL(kallsyms_num_syms)={COUNT:x}\n\
                    SYMBOL(kallsyms_token_table)={TABLE:x}\nSYMBOL(kallsyms_token_index)={INDEX:x}\n"
                ),
            };
            made.number(COUNT, names.len() as u64, 4);
            made.laid.put(TABLE, b"_init\0");
            for token in 1..=255_u8 {
                let begin = 6 + 2 * u64::from(token);
                made.laid.put(TABLE + begin, &[token, 0]);
                made.number(INDEX + 2 * u64::from(token), begin, 2);
            }
            let mut at = NAMES;
            for name in names {
                let len = u16::try_from(name.len()).unwrap();
                let [low, high] = [(len & 0x7f).to_le_bytes()[0], (len >> 7).to_le_bytes()[0]];
                let head = match high {
                    0 => [low, 0],
                    _ => [low | 0x80, high],
                };
                made.laid.put(at, &head);
                at += if high == 0 { 1 } else { 2 };
                made.laid.put(at, name);
                at += name.len() as u64;
            }
            made
        }

        fn number(&mut self, at: u64, value: u64, size: usize) {
            let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
            let bytes = match self.endian {
                Endian::Little => &little[..size],
                Endian::Big => &big[8 - size..],
            };
            self.laid.put(at, bytes);
        }

        fn offsets(mut self, base: Option<u64>, offsets: &[u32]) -> Self {
            self.info += &format!("SYMBOL(kallsyms_offsets)={ADDRESSES:x}\n");
            for (at, offset) in (ADDRESSES..).step_by(4).zip(offsets) {
                self.number(at, (*offset).into(), 4);
            }
            if let Some(base) = base {
                self.info += &format!("SYMBOL(kallsyms_relative_base)={RELATIVE_BASE:x}\n");
                self.number(RELATIVE_BASE, base, self.word.bytes());
            }
            self
        }

        fn ask<R>(
            &self,
            question: impl FnOnce(Result<Kallsyms<'_, physmem::Region<&[u8]>>, Error>) -> R,
        ) -> R {
            let info = Vmcoreinfo::new(self.info.as_bytes(), 0);
            with(&self.laid, self.endian, self.word, |virt| {
                question(Kallsyms::new(&info, virt))
            })
        }

        fn addresses(&self) -> Vec<u64> {
            self.ask(|kallsyms| {
                let kallsyms = kallsyms.unwrap();
                let listed: Vec<_> = kallsyms.symbols().map(Result::unwrap).collect();
                for (number, symbol) in (0..).zip(&listed) {
                    assert_eq!(kallsyms.address(number), Ok(symbol.address));
                    assert_eq!(&kallsyms.symbol(number).unwrap(), symbol);
                }
                listed.iter().map(|it| it.address.as_u64()).collect()
            })
        }
    }

    fn little(names: &[&[u8]]) -> Made {
        Made::new(Endian::Little, Width::U64, names)
    }

    const THREE: [&[u8]; 3] = [b"Ta", b"tb\0", b"Dc"];

    #[test]
    fn addresses_of_every_kind_of_kernel() {
        let base = 0xffff_ffff_8100_0000;
        let per_cpu = [0x20, u32::MAX - 0x10, u32::MAX - 0x4000_0000];
        let made = little(&THREE).offsets(Some(base), &per_cpu);
        assert_eq!(made.addresses(), [0x20, base + 0x10, base + 0x4000_0000]);

        let made = little(&THREE).offsets(Some(base), &[0, 0x10, 0x7000_0000]);
        assert_eq!(made.addresses(), [base, base + 0x10, base + 0x7000_0000]);

        // From where each lies, which is four bytes further for each.
        let made = little(&THREE).offsets(None, &[8_u32.wrapping_neg(), 0, 8]);
        assert_eq!(
            made.addresses(),
            [ADDRESSES - 8, ADDRESSES + 4, ADDRESSES + 16]
        );

        for (endian, word) in [
            (Endian::Little, Width::U32),
            (Endian::Big, Width::U32),
            (Endian::Big, Width::U64),
            (Endian::Little, Width::U64),
        ] {
            let base = 0x8000_0000;
            let made =
                Made::new(endian, word, &THREE).offsets(Some(base), &[0, 0x1234, 0x0102_0304]);
            assert_eq!(made.addresses(), [base, base + 0x1234, base + 0x0102_0304]);

            let mut made = Made::new(endian, word, &THREE);
            made.info += &format!("SYMBOL(kallsyms_addresses)={ADDRESSES:x}\n");
            let size = word.bytes();
            for (at, value) in (ADDRESSES..)
                .step_by(size)
                .zip([1, 0x8000_0001, 0xc102_0304])
            {
                made.number(at, value, size);
            }
            assert_eq!(made.addresses(), [1, 0x8000_0001, 0xc102_0304]);
        }
        let made = Made::new(Endian::Little, Width::U32, &THREE).offsets(None, &[0, 4, 8]);
        assert!(made.ask(|kallsyms| matches!(kallsyms, Err(Error::Missing { .. }))));
    }

    #[test]
    fn names_and_who_lies_where() {
        let made = little(&[b"Ta", b"tb\0", b"Wb\0", b"Dcc", b"tb\0"])
            .offsets(Some(0x1000), &[0, 0x10, 0x10, 0x30, 0x40]);
        made.ask(|kallsyms| {
            let kallsyms = kallsyms.unwrap();
            assert_eq!(kallsyms.count(), 5);
            let first = kallsyms.find(b"b_init").unwrap().unwrap();
            assert_eq!((first.address, first.kind), (VirtAddr::new(0x1010), b't'));
            assert_eq!(kallsyms.find(b"c"), Ok(None));
            assert_eq!(kallsyms.find(b""), Ok(None));
            let at = |address| {
                let found = kallsyms.at(VirtAddr::new(address)).unwrap()?;
                Some((found.symbol.kind, found.offset, found.size))
            };
            assert_eq!(at(0xfff), None);
            assert_eq!(at(0x1000), Some((b'T', 0, Some(0x10))));
            assert_eq!(at(0x1010), Some((b't', 0, Some(0x20))));
            assert_eq!(at(0x102f), Some((b't', 0x1f, Some(0x20))));
            assert_eq!(at(0x103f), Some((b'D', 0xf, Some(0x10))));
            assert_eq!(at(0x1040), Some((b't', 0, None)));
            assert_eq!(at(0x1041), None);
        });
    }

    #[test]
    fn long_names_have_two_bytes_of_length() {
        let long = [b'x'; 400];
        let made = little(&[&long, b"Ta", &[b'y'; 127], &[b'z'; 128], b"tb"])
            .offsets(Some(0), &[0, 1, 2, 3, 4]);
        made.ask(|kallsyms| {
            let kallsyms = kallsyms.unwrap();
            let lengths: Vec<_> = kallsyms
                .symbols()
                .map(|it| it.unwrap().name.len())
                .collect();
            assert_eq!(lengths, [399, 1, 126, 127, 1]);
            assert_eq!(
                kallsyms.find(b"b").unwrap().unwrap().address,
                VirtAddr::new(4)
            );
        });
    }

    #[test]
    fn names_beyond_a_marker_are_reached_through_it() {
        let names: Vec<Vec<u8>> = (0..1000).map(|i| format!("t{i}").into_bytes()).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let offsets: Vec<u32> = (0..1000).map(|i| i * 16).collect();
        let made = little(&names).offsets(Some(0x1000), &offsets);
        assert_eq!(made.addresses().len(), 1000);
        made.ask(|kallsyms| {
            let found = kallsyms.unwrap().at(VirtAddr::new(0x1000 + 16 * 777 + 5));
            let found = found.unwrap().unwrap();
            assert_eq!((found.symbol.name, found.offset), (b"777".to_vec(), 5));
        });
    }

    #[test]
    fn broken_tables_are_named() {
        let refused = |made: &Made| made.ask(|kallsyms| kallsyms.unwrap_err());
        for count in [0, 1 << 24 | 1, u32::MAX] {
            let mut made = little(&THREE).offsets(Some(0), &[0, 1, 2]);
            made.number(COUNT, count.into(), 4);
            assert!(
                matches!(refused(&made), Error::BadValue { field, .. } if field.name == "kallsyms_num_syms")
            );
        }
        let mut made = little(&THREE).offsets(Some(0), &[0, 1, 2]);
        let (at, beside) = (format!("{COUNT:x}"), format!("{:x}", COUNT + 1));
        made.info = made.info.replace(&at, &beside);
        assert!(
            matches!(refused(&made), Error::BadField { field, .. } if field.name.contains("kallsyms_num_syms"))
        );
        let mut made = little(&THREE).offsets(Some(0), &[0, 1, 2]);
        made.number(INDEX + 2 * 7, 0xffff, 2);
        made.laid.put(TABLE + 0xffff, &[b'x'; 2 * MAX_NAME]);
        assert!(
            matches!(refused(&made), Error::BadValue { field, at, value: 0xffff }
            if field.name == "kallsyms_token_index" && at == VirtAddr::new(INDEX + 14))
        );

        // A name without a type, without a letter, and one that is too long when expanded.
        for name in [&b""[..], b"t", &[0; 103], &[b'x'; 513]] {
            let made = little(&[b"Ta", name, b"Tc"]).offsets(Some(0), &[0, 1, 2]);
            made.ask(|kallsyms| {
                let kallsyms = kallsyms.unwrap();
                let listed: Vec<_> = kallsyms.symbols().collect();
                assert_eq!(listed.len(), 2);
                assert!(
                    matches!(listed[1], Err(Error::BadValue { field, at, value })
                    if field.name.starts_with("length of a name")
                    && at == VirtAddr::new(NAMES + 3) && value == name.len() as u64)
                );
                // Its length is enough to get past it.
                let last = kallsyms.at(VirtAddr::new(2)).unwrap().unwrap();
                assert_eq!(last.symbol.name, b"c");
                assert!(kallsyms.find(b"c").is_err());
            });
        }
        let mut made = little(&THREE).offsets(Some(0), &[0, 1, 2]);
        made.info = made.info.replace("names", "x");
        let what = "SYMBOL(kallsyms_names) in VMCOREINFO";
        assert_eq!(refused(&made), Error::Missing { what });
    }

    #[test]
    fn names_in_a_missing_page_are_told_as_such() {
        let name: &[u8] = &[b'x'; 300];
        let names = [name; 600];
        let offsets: Vec<u32> = (0..600).collect();
        let mut made = little(&names).offsets(Some(0), &offsets);
        made.laid.holes.push(2);
        made.ask(|kallsyms| {
            let kallsyms = kallsyms.unwrap();
            // 302 bytes each: 13 of them before the page that is missing.
            assert_eq!(kallsyms.symbols().filter(Result::is_ok).count(), 13);
            assert!(kallsyms.at(VirtAddr::new(12)).is_ok());
            for address in [13, 599] {
                let error = kallsyms.at(VirtAddr::new(address)).unwrap_err();
                assert!(matches!(error, Error::Virt(missing)
                    if missing.at() == VirtAddr::new(BASE + 0x2000)));
            }
        });
    }
}
