//! The 64 bytes in front.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, big_endian::U32};

use super::codes::{Arch, Compression, Os, Type};
use crate::error::{Error, Result};

/// `IH_MAGIC`
pub const MAGIC: u32 = 0x2705_1956;
/// Bytes of the header.
pub const SIZE: usize = 64;
/// `IH_NMLEN`: bytes of the name.
pub(super) const NAME: usize = 32;

/// `struct legacy_img_hdr`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    ih_magic: U32,
    ih_hcrc: U32,
    ih_time: U32,
    ih_size: U32,
    ih_load: U32,
    ih_ep: U32,
    ih_dcrc: U32,
    ih_os: u8,
    ih_arch: u8,
    ih_type: u8,
    ih_comp: u8,
    ih_name: [u8; NAME],
}

const _: () = assert!(size_of::<Wire>() == SIZE);

/// A header as found: nothing but its length was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `ih_magic`
    pub magic: u32,
    /// `ih_hcrc`: see [`sum`](Self::sum).
    pub header_crc: u32,
    /// `ih_time`: seconds since 1970.
    pub time: u32,
    /// `ih_size`: of the data, in bytes.
    pub size: u32,
    /// `ih_load`: physical address of the data when it runs.
    pub load: u32,
    /// `ih_ep`: physical address of the entry.
    pub entry: u32,
    /// `ih_dcrc`: CRC-32 of the data.
    pub data_crc: u32,
    /// `ih_os`
    pub os: Os,
    /// `ih_arch`
    pub arch: Arch,
    /// `ih_type`
    pub kind: Type,
    /// `ih_comp`
    pub compression: Compression,
    /// `ih_name`, padded with NULs; without one if it is that long.
    pub name: [u8; NAME],
}

/// U-Boot's magic, Linux, a kernel; everything else 0, that is: no architecture, not compressed.
impl Default for Header {
    fn default() -> Self {
        Self {
            magic: MAGIC,
            header_crc: 0,
            time: 0,
            size: 0,
            load: 0,
            entry: 0,
            data_crc: 0,
            os: Os::LINUX,
            arch: Arch::INVALID,
            kind: Type::KERNEL,
            compression: Compression::NONE,
            name: [0; NAME],
        }
    }
}

/// A name as it stands in a header: padded with NULs, or cut after 32 bytes, as mkimage does.
#[must_use]
pub fn padded_name(name: &[u8]) -> [u8; NAME] {
    let mut padded = [0; NAME];
    for (slot, byte) in padded.iter_mut().zip(name) {
        *slot = *byte;
    }
    padded
}

impl Header {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`SIZE`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (wire, _) = Wire::ref_from_prefix(bytes).map_err(|_| truncated(bytes))?;
        Ok(Self {
            magic: wire.ih_magic.into(),
            header_crc: wire.ih_hcrc.into(),
            time: wire.ih_time.into(),
            size: wire.ih_size.into(),
            load: wire.ih_load.into(),
            entry: wire.ih_ep.into(),
            data_crc: wire.ih_dcrc.into(),
            os: Os(wire.ih_os),
            arch: Arch(wire.ih_arch),
            kind: Type(wire.ih_type),
            compression: Compression(wire.ih_comp),
            name: wire.ih_name,
        })
    }

    /// What `header_crc` should be: the CRC-32 of the header with 0 in that place.
    #[must_use]
    pub fn sum(&self) -> u32 {
        let zeroed = Self {
            header_crc: 0,
            ..*self
        };
        crc32fast::hash(zeroed.wire().as_bytes())
    }

    /// The name up to its first NUL.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        let len = self.name.iter().position(|&byte| byte == 0);
        len.and_then(|len| self.name.get(..len))
            .unwrap_or(&self.name)
    }

    /// Writes the header, as it is, to the start of `out`. Returns [`SIZE`].
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below [`SIZE`] bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let short = truncated(out);
        self.wire().write_to_prefix(out).map_err(|_| short)?;
        Ok(SIZE)
    }

    fn wire(&self) -> Wire {
        Wire {
            ih_magic: self.magic.into(),
            ih_hcrc: self.header_crc.into(),
            ih_time: self.time.into(),
            ih_size: self.size.into(),
            ih_load: self.load.into(),
            ih_ep: self.entry.into(),
            ih_dcrc: self.data_crc.into(),
            ih_os: self.os.0,
            ih_arch: self.arch.0,
            ih_type: self.kind.0,
            ih_comp: self.compression.0,
            ih_name: self.name,
        }
    }
}

fn truncated(bytes: &[u8]) -> Error {
    Error::Truncated {
        what: "uImage header",
        offset: 0,
        needed: SIZE as u64,
        available: bytes.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_header_says() {
        let bytes: [u8; SIZE + 1] = core::array::from_fn(|at| at as u8);
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.magic, 0x0001_0203);
        assert_eq!(header.header_crc, 0x0405_0607);
        assert_eq!(header.time, 0x0809_0a0b);
        assert_eq!(header.size, 0x0c0d_0e0f);
        assert_eq!(header.load, 0x1011_1213);
        assert_eq!(header.entry, 0x1415_1617);
        assert_eq!(header.data_crc, 0x1819_1a1b);
        assert_eq!(header.os, Os(0x1c));
        assert_eq!(header.arch, Arch(0x1d));
        assert_eq!(header.kind, Type(0x1e));
        assert_eq!(header.compression, Compression(0x1f));
        assert_eq!(header.name(), &bytes[32..64]);

        let mut out = [0; SIZE];
        assert_eq!(header.emit(&mut out), Ok(SIZE));
        assert_eq!(out, bytes[..SIZE]);
    }

    #[test]
    fn every_prefix_is_too_short() {
        let mut bytes = [0; SIZE];
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.name(), b"");
        for len in 0..SIZE {
            assert_eq!(Header::parse(&bytes[..len]), Err(truncated(&bytes[..len])));
            assert_eq!(
                header.emit(&mut bytes[..len]),
                Err(truncated(&[0; SIZE][..len]))
            );
        }
    }
}
