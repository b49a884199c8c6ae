//! Names, compressed by tokens; see the parent.

#![deny(clippy::arithmetic_side_effects)]

use alloc::{boxed::Box, vec, vec::Vec};

use physmem::{Endian, PhysMemory, VirtAddr};

use super::{Kallsyms, Symbol};
use crate::{
    Error, Field,
    kernel::{
        VirtError, Virtual,
        memory::{add, element},
    },
};

/// `KSYM_NAME_LEN` (include/linux/kallsyms.h): 512 bytes with the NUL, and the type before them.
pub(super) const MAX_NAME: usize = 512;

/// A token's text is at most as long as a name, and where the last one begins is told in 16 bits.
const MAX_TOKENS: usize = u16::MAX as usize + MAX_NAME;

const NAME: Field = Field {
    name: "length of a name in kallsyms_names",
    allowed: "tokens that expand to a type and a name of up to 511 bytes",
};
const TOKEN: Field = Field {
    name: "kallsyms_token_index",
    allowed: "the beginning of a text that ends with NUL",
};

/// The texts of tokens and where each begins.
pub(super) fn tokens<M: PhysMemory + ?Sized>(
    virt: Virtual<'_, M>,
    index_at: VirtAddr,
    table_at: VirtAddr,
) -> Result<(Box<[u16; 256]>, Vec<u8>), Error> {
    let mut bytes = [0; 512];
    virt.read(index_at, &mut bytes)?;
    let mut index = Box::new([0; 256]);
    for (begin, bytes) in index.iter_mut().zip(bytes.chunks_exact(2)) {
        let bytes = bytes.try_into().unwrap_or_default();
        *begin = match virt.endian() {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        };
    }
    let (last, begin) = (0..)
        .zip(index.iter())
        .max_by_key(|(_, begin)| **begin)
        .unwrap_or((0, &0));
    let mut table = vec![0; usize::from(*begin).saturating_add(MAX_NAME).min(MAX_TOKENS)];
    let found = virt.read_up_to_hole(table_at, &mut table)?;
    table.truncate(found);
    let text = table.get(usize::from(*begin)..).unwrap_or_default();
    match text.iter().position(|byte| *byte == 0) {
        Some(len) => {
            table.truncate(usize::from(*begin).saturating_add(len).saturating_add(1));
            Ok((index, table))
        }
        None => Err(Error::BadValue {
            field: &TOKEN,
            at: element(index_at, last, 2)?,
            value: (*begin).into(),
        }),
    }
}

/// Bytes one after the other, read ahead within what is there.
#[derive(Debug)]
pub(super) struct Ahead<'m, M: ?Sized> {
    virt: Virtual<'m, M>,
    /// The address of what follows `buffer`.
    next: Option<VirtAddr>,
    buffer: [u8; 256],
    taken: usize,
    filled: usize,
}

impl<'m, M: PhysMemory + ?Sized> Ahead<'m, M> {
    pub(super) fn new(virt: Virtual<'m, M>, at: VirtAddr) -> Self {
        Self {
            virt,
            next: Some(at),
            buffer: [0; 256],
            taken: 0,
            filled: 0,
        }
    }

    /// How many bytes lie before the next to take, from `begin` on.
    pub(super) fn offset_from(&self, begin: VirtAddr) -> u64 {
        // At the end of the address space nothing more is taken.
        let next = self.next.unwrap_or(VirtAddr::new(u64::MAX));
        let read = next.checked_offset_from(begin).unwrap_or_default();
        read.saturating_sub(self.filled.saturating_sub(self.taken) as u64)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        if let Some(byte) = self
            .buffer
            .get(self.taken)
            .filter(|_| self.taken < self.filled)
        {
            let byte = *byte;
            // At most 256.
            self.taken = self.taken.saturating_add(1);
            return Ok(byte);
        }
        let next = self.next.ok_or(VirtError::End)?;
        self.filled = self.virt.read_up_to_hole(next, &mut self.buffer)?;
        self.next = next.checked_add(self.filled as u64);
        self.taken = 1;
        Ok(self.buffer[0])
    }

    pub(super) fn take(&mut self, out: &mut [u8]) -> Result<(), Error> {
        out.iter_mut().try_for_each(|byte| {
            *byte = self.byte()?;
            Ok(())
        })
    }

    pub(super) fn skip(&mut self, n: usize) -> Result<(), Error> {
        let held = self.filled.saturating_sub(self.taken);
        self.taken = self.taken.saturating_add(n.min(held));
        (0..n.saturating_sub(held)).try_for_each(|_| self.byte().map(|_| ()))
    }
}

/// The names one after the other.
#[derive(Debug)]
pub(super) struct Names<'k, 'm, M: ?Sized> {
    pub(super) kallsyms: &'k Kallsyms<'m, M>,
    bytes: Ahead<'m, M>,
    pub(super) left: u32,
    name: Vec<u8>,
}

impl<'k, 'm, M: PhysMemory + ?Sized> Names<'k, 'm, M> {
    /// From the name of this number, which begins at `offset` in the table.
    pub(super) fn new(kallsyms: &'k Kallsyms<'m, M>, number: u32, offset: u64) -> Self {
        let mut bytes = Ahead::new(kallsyms.virt, kallsyms.names);
        bytes.next = kallsyms.names.checked_add(offset);
        Self {
            kallsyms,
            bytes,
            left: kallsyms.count.saturating_sub(number),
            name: Vec::new(),
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.bytes.offset_from(self.kallsyms.names)
    }

    fn tokens(&mut self) -> Result<u16, Error> {
        let low = self.bytes.byte()?;
        let high = match low & 0x80 {
            0 => 0,
            _ => self.bytes.byte()?,
        };
        Ok(u16::from(high) << 7 | u16::from(low & 0x7f))
    }

    pub(super) fn skip(&mut self) -> Result<(), Error> {
        let tokens = self.tokens()?;
        self.bytes.skip(tokens.into())
    }

    /// The next name with its type before it.
    pub(super) fn next(&mut self) -> Result<&[u8], Error> {
        let begin = self.offset();
        let tokens = self.tokens()?;
        let bad = Error::BadValue {
            field: &NAME,
            at: add(self.kallsyms.names, begin)?,
            value: tokens.into(),
        };
        self.name.clear();
        for _ in 0..tokens {
            let token = self.bytes.byte()?;
            let begins = self.kallsyms.token_index.get(usize::from(token));
            let texts =
                begins.and_then(|begin| self.kallsyms.token_table.get(usize::from(*begin)..));
            let text = texts.and_then(|texts| texts.split(|byte| *byte == 0).next());
            self.name.extend_from_slice(text.unwrap_or_default());
            if self.name.len() > MAX_NAME {
                return Err(bad);
            }
        }
        if self.name.len() < 2 {
            return Err(bad);
        }
        self.left = self.left.saturating_sub(1);
        Ok(&self.name)
    }

    /// The symbol of the name that was read last.
    pub(super) fn symbol(&self, address: VirtAddr) -> Symbol {
        let (kind, name) = self.name.split_first().unwrap_or((&0, &[]));
        Symbol {
            address,
            kind: *kind,
            name: name.to_vec(),
        }
    }
}
