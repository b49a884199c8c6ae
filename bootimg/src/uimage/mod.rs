//! Legacy uImage: a header in front of whatever U-Boot shall boot.
//!
//! ```text
//!   0  ih_magic  27 05 19 56        24  ih_dcrc   CRC-32 of the data
//!   4  ih_hcrc   CRC-32 of these    28  ih_os     u8
//!      64 bytes, with 0 here        29  ih_arch   u8
//!   8  ih_time   seconds of 1970    30  ih_type   u8
//!  12  ih_size   of the data        31  ih_comp   u8
//!  16  ih_load   address            32  ih_name   padded with NULs
//!  20  ih_ep     address            64  data
//!
//!  Multi-file images and scripts, in the data:
//!   0  size of file 0 │ … │ size of file n │ 0 │ file 0, padded to 4 bytes │ … │ file n
//! ```
//!
//! All numbers are big-endian. Source: U-Boot `include/image.h`, `struct legacy_img_hdr`;
//! `boot/image.c`.
//!
//! Vendors change the magic, and images with a wrong checksum are booted every day: see [`Options`].
//!
//! ```
//! use bootimg::uimage::{Arch, Type, Uimage};
//!
//! let file = include_bytes!("../../testdata/uimage/script.img");
//! let image = Uimage::parse(file)?;
//! let header = image.header();
//! assert_eq!((header.arch, header.kind), (Arch::ARM, Type::SCRIPT));
//! assert_eq!(image.parts()?.next().unwrap()?.bytes, b"echo hello\n");
//!
//! assert_eq!(image.to_string().lines().nth(2), Some("Image Type:   ARM Linux Script (uncompressed)"));
//! # Ok::<(), bootimg::Error>(())
//! ```

#![deny(clippy::arithmetic_side_effects)]

mod builder;
mod codes;
mod display;
mod header;
mod parts;

pub use self::{
    builder::Builder,
    codes::{Arch, Compression, Os, Type},
    header::{Header, MAGIC, SIZE, padded_name},
    parts::{Part, Parts},
};
use crate::{
    Compression as Codec,
    decompress::Stream,
    error::{Error, Field, Result, part},
};

/// What `ih_comp` may be where the data starts as `found`.
const fn ih_comp(found: Option<Codec>) -> &'static Field {
    const fn field(allowed: &'static str) -> Field {
        let name = "ih_comp";
        Field { name, allowed }
    }
    match found {
        Some(Codec::Gzip) => &const { field("0 (none), 1 (gzip), as which the data starts") },
        Some(Codec::Bzip2) => &const { field("0 (none), 2 (bzip2), as which the data starts") },
        Some(Codec::Lzma) => &const { field("0 (none), 3 (lzma), as which the data starts") },
        Some(Codec::Lzo) => &const { field("0 (none), 4 (lzo), as which the data starts") },
        Some(Codec::Lz4) => &const { field("0 (none), 5 (lz4), as which the data starts") },
        Some(Codec::Zstd) => &const { field("0 (none), 6 (zstd), as which the data starts") },
        Some(Codec::Xz) => &const { field("0 (none): the data starts as xz, which has no number") },
        Some(Codec::Lz4Legacy) => {
            &const { field("0 (none): the data starts as legacy lz4, which has no number") }
        }
        None => &const { field("0 (none): the data starts as nothing that is compressed") },
    }
}

/// Which checksums must be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Verify {
    /// None.
    None,
    /// That of the header.
    Header,
    /// That of the header and that of the data, which must be there for it.
    #[default]
    All,
}

/// What is taken for a uImage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Options {
    /// Which checksums must be right.
    pub verify: Verify,
    /// `ih_magic`; vendors have their own.
    pub magic: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verify: Verify::default(),
            magic: MAGIC,
        }
    }
}

/// A uImage.
#[derive(Debug, Clone, Copy)]
pub struct Uimage<'a> {
    file: &'a [u8],
    header: Header,
}

impl<'a> Uimage<'a> {
    /// Reads a file with U-Boot's magic and verifies both checksums: all of the data is read, which
    /// [`parse_with`](Self::parse_with) need not.
    ///
    /// # Errors
    ///
    /// As for [`parse_with`](Self::parse_with).
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        Self::parse_with(file, &Options::default())
    }

    /// Reads a file. Bytes behind the data are not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if there is no room for the header, or for data to be verified;
    /// [`Error::BadMagic`]; [`Error::Checksum`] for a sum that must be right and is not.
    pub fn parse_with(file: &'a [u8], options: &Options) -> Result<Self> {
        let header = Header::parse(file)?;
        if header.magic != options.magic {
            return Err(Error::BadMagic {
                what: "ih_magic",
                offset: 0,
                found: header.magic.into(),
                expected: options.magic.into(),
            });
        }
        let image = Self { file, header };
        if options.verify >= Verify::Header {
            check("ih_hcrc", 4, header.header_crc, header.sum())?;
        }
        if options.verify >= Verify::All {
            check(
                "ih_dcrc",
                24,
                header.data_crc,
                crc32fast::hash(image.data()?),
            )?;
        }
        Ok(image)
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The data: what `ih_size` says is there.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if it is not.
    pub fn data(&self) -> Result<&'a [u8]> {
        part(
            self.file,
            "uImage data of ih_size",
            SIZE as u64,
            self.header.size.into(),
        )
    }

    /// Whether the checksum over the header is right.
    #[must_use]
    pub fn header_crc_ok(&self) -> bool {
        self.header.header_crc == self.header.sum()
    }

    /// Whether the data is there and the checksum over it is right.
    #[must_use]
    pub fn data_crc_ok(&self) -> bool {
        self.data()
            .is_ok_and(|data| self.header.data_crc == crc32fast::hash(data))
    }

    /// What is to be decompressed, if `ih_comp` says so: the data, or the first file of a table.
    ///
    /// U-Boot decompresses kernels and standalone programs. It leaves all else as it is, whatever `ih_comp`
    /// says: there what is compressed with something else is that, and what has no signature is nothing to
    /// decompress.
    ///
    /// # Errors
    ///
    /// As for [`parts`](Self::parts); [`Error::BadField`] if U-Boot would decompress it, and it does not bear
    /// the signature of what `ih_comp` says.
    pub fn stream(&self) -> Result<Option<Stream<'a>>> {
        let Header {
            kind, compression, ..
        } = self.header;
        let Some(first) = self.parts()?.next().transpose()? else {
            return Ok(None);
        };
        if compression == Compression::NONE {
            return Ok(None);
        }
        let found = Codec::of(first.bytes);
        let decompressed = matches!(
            kind,
            Type::KERNEL | Type::KERNEL_NOLOAD | Type::STANDALONE | Type::MULTI
        );
        // What has no name has no signature that is known, either.
        let stated = compression.codec();
        if decompressed && stated.is_some() && stated != found {
            return Err(Error::BadField {
                field: ih_comp(found),
                offset: 31,
                value: compression.0.into(),
            });
        }
        Ok(found.map(|compression| Stream {
            compression,
            bytes: first.bytes,
            offset: first.offset,
            unpacked_size: None,
        }))
    }

    /// The files in the data: those of the table of a [`Type::MULTI`] or [`Type::SCRIPT`], or else
    /// one, the data.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the data, or the 0 that ends the table, is not there.
    pub fn parts(&self) -> Result<Parts<'a>> {
        Parts::new(self.file, self.data()?, self.header.kind)
    }
}

fn check(what: &'static str, offset: u64, stored: u32, computed: u32) -> Result<()> {
    if stored == computed {
        Ok(())
    } else {
        Err(Error::Checksum {
            what,
            offset,
            stored: stored.into(),
            computed: computed.into(),
        })
    }
}
