//! What is to lie where: `struct kexec_segment`, and a segment with its bytes.
//!
//! ```text
//!  64-bit   0       8       16      24      32        32-bit   0     4     8     12    16
//!           ├───────┼───────┼───────┼───────┤                  ├─────┼─────┼─────┼─────┤
//!           │ buf   │ bufsz │ mem   │ memsz │                  │ buf │bufsz│ mem │memsz│
//!           └───────┴───────┴───────┴───────┘                  └─────┴─────┴─────┴─────┘
//!
//!  buf ──▶ ██████████████ bufsz
//!  mem ──▶ ██████████████░░░░░░░░░ memsz         ░ reads as zero
//! ```
//!
//! Source: `struct kexec_segment` in Linux `include/uapi/linux/kexec.h`; the 32-bit form is also
//! `struct compat_kexec_segment` in `include/linux/kexec.h`. Fields are in the machine's byte order.

use physmem::{Endian, PhysRange, Width};

use crate::{
    error::{Error, Field, Result},
    word,
};

/// Fields of the structure.
const FIELDS: usize = 4;

const fn fits(name: &'static str) -> Field {
    Field {
        name,
        allowed: "at most 0xffffffff in the 32-bit form",
    }
}

const FIELD: [Field; FIELDS] = [fits("buf"), fits("bufsz"), fits("mem"), fits("memsz")];

/// A segment as a process hands it to `kexec_load()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KexecSegment {
    /// Where its bytes are in the process: a virtual address.
    pub buf: u64,
    /// How many bytes there are.
    pub bufsz: u64,
    /// Where they shall lie: a physical address.
    pub mem: u64,
    /// How many bytes that place has; those without a byte in `buf` become zero.
    pub memsz: u64,
}

impl KexecSegment {
    /// Length of the structure in bytes.
    #[must_use]
    pub const fn byte_len(width: Width) -> usize {
        match width {
            Width::U32 => 16,
            Width::U64 => 32,
        }
    }

    /// Reads one; bytes after it are not looked at.
    ///
    /// # Errors
    ///
    /// `Truncated` when `bytes` is too short.
    pub fn parse(bytes: &[u8], width: Width, endian: Endian) -> Result<Self> {
        let needed = Self::byte_len(width);
        let bytes = bytes.get(..needed).ok_or(Error::Truncated {
            what: "struct kexec_segment",
            offset: 0,
            needed: needed as u64,
            available: bytes.len() as u64,
        })?;
        let mut words = bytes.chunks_exact(width.bytes());
        let mut word = || {
            words
                .next()
                .and_then(|word| width.decode(word, endian))
                .unwrap_or_default()
        };
        Ok(Self {
            buf: word(),
            bufsz: word(),
            mem: word(),
            memsz: word(),
        })
    }

    /// Writes it and returns its length.
    ///
    /// # Errors
    ///
    /// `Truncated` when `out` is too short; `BadField` for a value that the 32-bit form cannot hold.
    /// Then nothing was written.
    pub fn emit(&self, width: Width, endian: Endian, out: &mut [u8]) -> Result<usize> {
        let needed = Self::byte_len(width);
        let available = out.len() as u64;
        let out = out.get_mut(..needed).ok_or(Error::Truncated {
            what: "struct kexec_segment",
            offset: 0,
            needed: needed as u64,
            available,
        })?;
        let values = [self.buf, self.bufsz, self.mem, self.memsz];
        for ((&value, field), offset) in values.iter().zip(&FIELD).zip((0..).step_by(4)) {
            if value > word::max(width) {
                return Err(Error::BadField {
                    field,
                    offset,
                    value,
                });
            }
        }
        for (word, value) in out.chunks_exact_mut(width.bytes()).zip(values) {
            word::encode(value, endian, word);
        }
        Ok(needed)
    }
}

/// A segment with its bytes: several pieces in a row, none of them copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its bytes; what they do not fill of the destination reads as zero.
    pub parts: &'a [&'a [u8]],
    /// Where it shall lie.
    pub dest: PhysRange,
}

impl Segment<'_> {
    /// Bytes in all parts.
    #[must_use]
    pub fn filled(&self) -> u64 {
        // Saturating: more than there is of memory is more than the destination, and refused.
        self.parts
            .iter()
            .fold(0, |sum: u64, part| sum.saturating_add(part.len() as u64))
    }

    /// As the system call takes it, with all bytes gathered at `buf` in the process.
    #[must_use]
    pub fn at(&self, buf: u64) -> KexecSegment {
        KexecSegment {
            buf,
            bufsz: self.filled(),
            mem: self.dest.start().as_u64(),
            memsz: self.dest.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use super::*;

    const FORMS: [(Width, Endian); 4] = [
        (Width::U32, Endian::Little),
        (Width::U32, Endian::Big),
        (Width::U64, Endian::Little),
        (Width::U64, Endian::Big),
    ];

    #[test]
    fn counting_bytes() {
        let bytes: Vec<u8> = (0..32).collect();
        let parse = |(width, endian)| KexecSegment::parse(&bytes, width, endian).unwrap();
        let [le32, be32, le64, be64] = FORMS.map(parse);
        assert_eq!((le32.buf, le32.memsz), (0x0302_0100, 0x0f0e_0d0c));
        assert_eq!((be32.bufsz, be32.mem), (0x0405_0607, 0x0809_0a0b));
        assert_eq!(
            (le64.buf, le64.mem),
            (0x0706_0504_0302_0100, 0x1716_1514_1312_1110)
        );
        assert_eq!(
            (be64.bufsz, be64.memsz),
            (0x0809_0a0b_0c0d_0e0f, 0x1819_1a1b_1c1d_1e1f)
        );
    }

    #[test]
    fn what_was_read_is_written_again_and_short_slices_are_refused() {
        let bytes: Vec<u8> = (1..33).collect();
        for (width, endian) in FORMS {
            let size = KexecSegment::byte_len(width);
            let segment = KexecSegment::parse(&bytes, width, endian).unwrap();
            let mut out = [0; 32];
            assert_eq!(segment.emit(width, endian, &mut out), Ok(size));
            assert_eq!(out[..size], bytes[..size]);
            for short in 0..size {
                let truncated = Error::Truncated {
                    what: "struct kexec_segment",
                    offset: 0,
                    needed: size as u64,
                    available: short as u64,
                };
                assert_eq!(
                    KexecSegment::parse(&bytes[..short], width, endian),
                    Err(truncated)
                );
                assert_eq!(
                    segment.emit(width, endian, &mut out[..short]),
                    Err(truncated)
                );
            }
        }
    }

    #[test]
    fn what_32_bits_cannot_hold_is_an_error() {
        let high = KexecSegment {
            mem: 1 << 32,
            ..KexecSegment::default()
        };
        let mut out = [0xff; 16];
        let error = high.emit(Width::U32, Endian::Little, &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "offset 0x8: mem is 0x100000000, allowed: at most 0xffffffff in the 32-bit form"
        );
        assert_eq!(out, [0xff; 16]);
    }
}
