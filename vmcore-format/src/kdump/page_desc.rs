//! Where the bytes of a page are, and how they are compressed.
//!
//! ```text
//!  0         8     12     16            24
//!  ├─────────┼─────┼──────┼─────────────┤
//!  │ offset  │size │flags │ page_flags  │    i64, u32, u32, u64 in the byte order of the file
//!  └─────────┴─────┴──────┴─────────────┘
//! ```
//!
//! Zero pages share one descriptor's bytes where the writer looked for them (`makedumpfile -d 1`, QEMU): a
//! stored page of zeros, the first of the page data. A page that the writer had no room for has a
//! descriptor of zeros.
//!
//! Source: `struct page_desc` in makedumpfile's `diskdump_mod.h`.

#![deny(clippy::arithmetic_side_effects)]

use elf_format::Endian;
use physmem::Absence;

use crate::codec::Method;

/// `sizeof(struct page_desc)`, on every machine.
pub(super) const SIZE: usize = 24;

/// A descriptor as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageDesc {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) method: Method,
}

/// Where a page's bytes are, all of them inside of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: u64,
    /// Bytes in the file, at most those of a block; exactly those if it is not compressed.
    pub(crate) size: usize,
    pub(crate) method: Method,
}

impl PageDesc {
    pub(super) fn parse(bytes: &[u8; SIZE], endian: Endian) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = *bytes;
        let offset = [a, b, c, d, e, f, g, h];
        let [a, b, c, d, rest @ ..] = rest;
        let size = [a, b, c, d];
        let [a, b, c, d, ..] = rest;
        let flags = [a, b, c, d];
        match endian {
            Endian::Little => Self {
                offset: u64::from_le_bytes(offset),
                size: u32::from_le_bytes(size),
                method: Method(u32::from_le_bytes(flags)),
            },
            Endian::Big => Self {
                offset: u64::from_be_bytes(offset),
                size: u32::from_be_bytes(size),
                method: Method(u32::from_be_bytes(flags)),
            },
        }
    }

    /// Where the page of `block` bytes is in a file that has page data from `data_at` up to its end.
    ///
    /// No descriptor, and bytes past the end, are lost; bytes among the headers, and more or fewer than the
    /// page can have, are damage.
    #[inline]
    pub(super) fn stored(&self, block: u64, data_at: u64, end: u64) -> Result<Stored, Absence> {
        if self.offset == 0 {
            return Err(Absence::Lost);
        }
        let size = u64::from(self.size);
        let fits = match self.method {
            Method::STORED => size == block,
            _ => size <= block,
        };
        let size = usize::try_from(size).map_err(|_| Absence::Damaged)?;
        if !fits || self.offset < data_at {
            return Err(Absence::Damaged);
        }
        let data_end = self.offset.checked_add(size as u64);
        if data_end.is_none_or(|data_end| data_end > end) {
            return Err(Absence::Lost);
        }
        Ok(Stored {
            offset: self.offset,
            size,
            method: self.method,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESC: PageDesc = PageDesc {
        offset: 0x5000,
        size: 0x100,
        method: Method::ZLIB,
    };

    #[test]
    fn both_byte_orders() {
        let mut bytes = [0; SIZE];
        for (place, byte) in bytes.iter_mut().zip(1..) {
            *place = byte;
        }
        assert_eq!(
            PageDesc::parse(&bytes, Endian::Big),
            PageDesc {
                offset: 0x0102_0304_0506_0708,
                size: 0x090a_0b0c,
                method: Method(0x0d0e_0f10),
            }
        );
        assert_eq!(
            PageDesc::parse(&bytes, Endian::Little),
            PageDesc {
                offset: 0x0807_0605_0403_0201,
                size: 0x0c0b_0a09,
                method: Method(0x100f_0e0d),
            }
        );
    }

    #[test]
    fn what_a_descriptor_can_say() {
        let where_is = |desc: PageDesc| desc.stored(0x1000, 0x4000, 0x5100);
        let stored = Stored {
            offset: 0x5000,
            size: 0x100,
            method: Method::ZLIB,
        };
        assert_eq!(where_is(DESC), Ok(stored));
        let lost = [
            PageDesc { offset: 0, ..DESC },
            PageDesc {
                size: 0x101,
                ..DESC
            },
            PageDesc {
                offset: 0x7_ffff_fff0,
                ..DESC
            },
            PageDesc {
                offset: u64::MAX,
                ..DESC
            },
        ];
        for desc in lost {
            assert_eq!(where_is(desc), Err(Absence::Lost), "{desc:?}");
        }
        let damaged = [
            PageDesc {
                offset: 0x3fff,
                ..DESC
            },
            PageDesc {
                size: 0x1001,
                ..DESC
            },
            PageDesc {
                size: u32::MAX,
                ..DESC
            },
            PageDesc {
                method: Method::STORED,
                ..DESC
            },
        ];
        for desc in damaged {
            assert_eq!(where_is(desc), Err(Absence::Damaged), "{desc:?}");
        }
    }
}
