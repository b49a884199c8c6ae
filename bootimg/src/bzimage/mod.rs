//! bzImage and zImage, the kernels of x86.
//!
//! ```text
//!  0                    boot sector; with an EFI stub, an MZ header
//!  0x1f1                setup header, see `header`
//!  0x400                setup code, real mode …
//!  (setup_sects + 1) * 512
//!                       protected-mode code
//!    + payload_offset     compressed kernel and, in its last four bytes, its size
//!    + kernel_info_offset kernel_info
//!  … + syssize * 16     the last four bytes before: the checksum
//!                       signatures and whatever else was appended
//! ```
//!
//! Source: Linux `Documentation/arch/x86/boot.rst`.
//!
//! ```
//! use bootimg::bzimage::{BzImage, Checksum, Protocol};
//!
//! # let file = include_bytes!("../../testdata/memtest86+x64.bin");
//! let image = BzImage::parse(file)?;
//! assert_eq!(image.kernel_version()?, Some(&b"Memtest86+ v6.10"[..]));
//!
//! let header = image.header();
//! assert_eq!(header.protocol(), Protocol::V2_12);
//! assert_eq!((header.entry_32(), header.entry_64()), (0, Some(0x200)));
//! assert_eq!(header.runtime()?.at(0x10_0000), Some(0x10_0000..0x16_acf8));
//! # Ok::<(), bootimg::Error>(())
//! ```

#![deny(clippy::arithmetic_side_effects)]

mod display;
pub(crate) mod header;
mod kernel_info;
mod protocol;
mod runtime;

use self::header::offset;
pub use self::{
    header::{Header, MAX_END, MIN_FILE, START},
    kernel_info::KernelInfo,
    protocol::{LoadFlags, Loader, Protocol, XLoadFlags},
    runtime::Runtime,
};
use crate::{
    Compression,
    decompress::Stream,
    error::{Error, Field, Result, part, part_within},
};

/// From the string's field to the string: `kernel_version` leaves the boot sector out.
const VERSION_BASE: usize = 0x200;
/// Unit of `syssize`, in bytes.
pub(crate) const PARAGRAPH: u64 = 16;
/// Bytes of the checksum, and of the size behind a payload.
const TRAILER: usize = 4;
/// The least bytes of a payload: 9 of an empty frame of zstd (RFC 8878, 3.1.1) or of LZ4's shortest, and the size.
const MIN_PAYLOAD: usize = 13;

const SETUP_SECTS: Field = Field {
    name: "setup_sects",
    allowed: "below the number of sectors, of 512 bytes, that the file has",
};
const PAYLOAD_OFFSET: Field = Field {
    name: "payload_offset",
    allowed: "above 0, the entry, and below syssize * 16, where the code ends",
};
const PAYLOAD_LENGTH: Field = Field {
    name: "payload_length",
    allowed: "0, or from 13 (what is compressed and, behind it, its size) to where the code ends, at syssize * 16",
};
const KERNEL_INFO_OFFSET: Field = Field {
    name: "kernel_info_offset",
    allowed: "0, or 12 bytes and more below syssize * 16, where the code ends",
};
const INIT_SIZE: Field = Field {
    name: "init_size",
    allowed: "the bytes of the decompressed payload, and above",
};
const KERNEL_VERSION: Field = Field {
    name: "kernel_version",
    allowed: "0, or below 0x200 * setup_sects",
};

/// A bzImage or zImage whose header holds and whose setup code is all there.
#[derive(Debug, Clone, Copy)]
pub struct BzImage<'a> {
    file: &'a [u8],
    header: Header<'a>,
    setup: &'a [u8],
}

impl<'a> BzImage<'a> {
    /// Reads a whole file. Payload, `kernel_info` and version string are checked where they are asked for.
    ///
    /// # Errors
    ///
    /// What [`Header::parse`] finds; [`Error::BadField`] if `setup_sects` wants more sectors than
    /// the file has.
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        let header = Header::parse(file)?;
        match part(file, "setup code", 0, header.setup_len()) {
            Ok(setup) => Ok(Self {
                file,
                header,
                setup,
            }),
            Err(_) => Err(Error::BadField {
                field: &SETUP_SECTS,
                offset: offset!(setup_sects),
                value: header.setup_sects().into(),
            }),
        }
    }

    /// The setup header.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// The boot sector and the setup code, real mode.
    #[must_use]
    pub const fn setup(&self) -> &'a [u8] {
        self.setup
    }

    /// The protected-mode code and all that follows it in the file: what is loaded.
    #[must_use]
    pub fn protected_mode(&self) -> &'a [u8] {
        self.file.get(self.setup.len()..).unwrap_or_default()
    }

    /// The version string, without its NUL; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] if `kernel_version` points behind the setup code, [`Error::Truncated`]
    /// if no NUL follows in it.
    pub fn kernel_version(&self) -> Result<Option<&'a [u8]>> {
        let pointer = self.header.kernel_version();
        if pointer == 0 {
            return Ok(None);
        }
        // A 16-bit number beside a constant.
        let start = usize::from(pointer).saturating_add(VERSION_BASE);
        let Some(found) = self.setup.get(start..) else {
            return Err(Error::BadField {
                field: &KERNEL_VERSION,
                offset: offset!(kernel_version),
                value: pointer.into(),
            });
        };
        match found.iter().position(|&byte| byte == 0) {
            Some(len) => Ok(found.get(..len)),
            None => Err(Error::Truncated {
                what: "kernel version with its NUL",
                offset: start as u64,
                // The least that is missing.
                needed: (found.len() as u64).saturating_add(1),
                available: found.len() as u64,
            }),
        }
    }

    /// The compressed kernel; `None` before 2.08, and where there is none.
    ///
    /// # Errors
    ///
    /// What [`payload_extent`](Self::payload_extent) finds; [`Error::Truncated`] if the file does not have all of it.
    pub fn payload(&self) -> Result<Option<Payload<'a>>> {
        let Some((offset, len)) = self.payload_extent()? else {
            return Ok(None);
        };
        let bytes = part(self.file, "payload", offset, len)?;
        Ok(Some(Payload { offset, bytes }))
    }

    /// Where in the file the compressed kernel starts by the header, and its length in bytes, also where the file is
    /// cut; `None` before 2.08, and where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] for a `payload_offset` of 0, and for `payload_offset` or `payload_length` if the file
    /// does not have all of it and would not by `syssize` either.
    pub fn payload_extent(&self) -> Result<Option<(u64, u64)>> {
        let header = &self.header;
        let bad_offset = |value: u32| Error::BadField {
            field: &PAYLOAD_OFFSET,
            offset: offset!(payload_offset),
            value: value.into(),
        };
        match header.payload_offset().zip(header.payload_length()) {
            None | Some((_, 0)) => Ok(None),
            Some((0, _)) => Err(bad_offset(0)),
            Some((from_code, len)) => {
                let (offset, end) = (self.offset(from_code), self.end());
                let len = u64::from(len);
                let blamed = if offset >= end {
                    bad_offset(from_code)
                } else {
                    bad_payload_length(len)
                };
                match part_within(self.file, "payload", offset, len, end, blamed) {
                    Ok(_) | Err(Error::Truncated { .. }) => Ok(Some((offset, len))),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// `kernel_info`; `None` before 2.15.
    ///
    /// # Errors
    ///
    /// What [`KernelInfo::parse`] finds; [`Error::BadField`] for `kernel_info_offset` or its own size if the
    /// file would not have all of it by `syssize` either.
    pub fn kernel_info(&self) -> Result<Option<KernelInfo<'a>>> {
        match self.header.kernel_info_offset() {
            None | Some(0) => Ok(None),
            Some(from_code) => {
                let (offset, end) = (self.offset(from_code), self.end());
                let blamed = Error::BadField {
                    field: &KERNEL_INFO_OFFSET,
                    offset: offset!(kernel_info_offset),
                    value: from_code.into(),
                };
                KernelInfo::parse_within(self.file, offset, end, blamed).map(Some)
            }
        }
    }

    /// Whether the checksum over the file is right: it covers what `syssize` says.
    ///
    /// No kernel and no loader of note looks at it. Linux makes none since 6.15, and whoever signs a
    /// kernel for Secure Boot changes bytes that it covers.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        if self.header.protocol() < Protocol::V2_08 {
            return Checksum::Absent;
        }
        let covered = part(self.file, "checksum", 0, self.end()).ok();
        let Some((summed, stored)) = covered.and_then(<[u8]>::split_last_chunk::<TRAILER>) else {
            return if self.is_cut() {
                Checksum::Missing
            } else {
                Checksum::Absent
            };
        };
        let stored = u32::from_le_bytes(*stored);
        // As zlib's, but without the complement at the end.
        let computed = !crc32fast::hash(summed);
        if stored == computed {
            Checksum::Right
        } else if stored == 0 {
            Checksum::Absent
        } else {
            Checksum::Wrong {
                offset: summed.len() as u64,
                stored,
                computed,
            }
        }
    }

    /// Whether the file has all that its header tells of, and the header what a kernel can start with. What is
    /// in the payload is for who decompresses it to find out; what the [`checksum`](Self::checksum) says of
    /// kernels that boot is no reason to refuse one, and so none here. [`Checksum::insist`] is for who does.
    ///
    /// A file cut by 1 to 15 bytes may pass: `syssize` counts paragraphs of 16 bytes, and the last one need not be
    /// full (that of memtest86+ is not). Only a payload that reaches so far tells.
    ///
    /// # Errors
    ///
    /// What [`kernel_version`](Self::kernel_version), [`payload`](Self::payload) and
    /// [`kernel_info`](Self::kernel_info) find; [`Error::BadField`] for a `payload_length` below that of any
    /// payload; since 2.10, what [`Header::runtime`] finds, and [`Error::BadField`] for an `init_size` below
    /// the size of the decompressed payload; [`Error::Truncated`] if the file ends before the last 16 bytes
    /// of `syssize`, which counts since 2.04.
    pub fn verify(&self) -> Result<()> {
        self.kernel_version()?;
        let payload = self.payload()?;
        if let Some(short) = payload.filter(|payload| payload.bytes.len() < MIN_PAYLOAD) {
            return Err(bad_payload_length(short.bytes.len() as u64));
        }
        self.kernel_info()?;
        match self.header.runtime() {
            Ok(Runtime { init_size, .. }) => {
                let packed = payload.filter(|payload| payload.compression().is_some());
                let needed = packed.and_then(|payload| payload.unpacked_size());
                if needed.is_some_and(|needed| init_size < needed) {
                    return Err(Error::BadField {
                        field: &INIT_SIZE,
                        offset: offset!(init_size),
                        value: init_size.into(),
                    });
                }
            }
            // Before 2.10 the header does not say.
            Err(Error::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.is_cut() && self.header.protocol() >= Protocol::V2_04 {
            let start = self.setup.len() as u64;
            return Err(Error::Truncated {
                what: "protected-mode code of syssize",
                offset: start,
                needed: self.end().saturating_sub(start),
                available: self.protected_mode().len() as u64,
            });
        }
        Ok(())
    }

    /// Whether the file ends before the last paragraph, which need not be full.
    fn is_cut(&self) -> bool {
        let found = (self.file.len() as u64).checked_next_multiple_of(PARAGRAPH);
        found.is_some_and(|found| found < self.end())
    }

    /// Where the protected-mode code ends, in whole paragraphs.
    fn end(&self) -> u64 {
        // No overflow: a byte's sectors, and 2^36 bytes.
        u64::from(self.header.syssize())
            .saturating_mul(PARAGRAPH)
            .saturating_add(self.setup.len() as u64)
    }

    /// Where in the file something in the protected-mode code is.
    fn offset(&self, from_protected_mode: u32) -> u64 {
        // No overflow: the setup code is in memory, below 2^17 bytes.
        (self.setup.len() as u64).saturating_add(from_protected_mode.into())
    }
}

const fn bad_payload_length(value: u64) -> Error {
    Error::BadField {
        field: &PAYLOAD_LENGTH,
        offset: offset!(payload_length),
        value,
    }
}

/// The checksum over a bzImage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// The protocol has none, the file has no room for it, or zeros are in its place.
    Absent,
    /// The file is cut: it ends before what `syssize` says.
    Missing,
    /// As computed.
    Right,
    /// Not as computed: damaged, signed, or made by a kernel build that writes none.
    Wrong {
        /// Where it is.
        offset: u64,
        /// What the file says.
        stored: u32,
        /// What its bytes come to.
        computed: u32,
    },
}

impl Checksum {
    /// Refuses one that is wrong, as no loader does.
    ///
    /// # Errors
    ///
    /// [`Error::Checksum`] for [`Checksum::Wrong`].
    pub const fn insist(self) -> Result<()> {
        match self {
            Self::Absent | Self::Missing | Self::Right => Ok(()),
            Self::Wrong {
                offset,
                stored,
                computed,
            } => Err(Error::Checksum {
                what: "CRC-32",
                offset,
                stored: stored as u64,
                computed: computed as u64,
            }),
        }
    }
}

/// A compressed kernel inside a bzImage: an ELF file and, with KASLR, its relocations.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    offset: u64,
    bytes: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Where it starts in the file.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// `payload_length` bytes, the size behind them included.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it is compressed with; `None` for something else, an ELF file that is not compressed at all included.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        Compression::of(self.bytes)
    }

    /// What is to be decompressed, without the size behind it; `None` if it is not compressed by any
    /// of [`Compression`].
    #[must_use]
    pub fn stream(&self) -> Option<Stream<'a>> {
        let compression = self.compression()?;
        let bytes = match (compression, self.bytes.split_last_chunk::<TRAILER>()) {
            // Its size is its own.
            (Compression::Gzip, _) | (_, None) => self.bytes,
            (_, Some((stream, _))) => stream,
        };
        Some(Stream {
            compression,
            bytes,
            offset: self.offset,
            unpacked_size: self.unpacked_size(),
        })
    }

    /// What it says to be when decompressed, in bytes, by its last four: gzip's own size, or what
    /// the kernel's build appends to all others.
    #[must_use]
    pub fn unpacked_size(&self) -> Option<u32> {
        self.bytes.last_chunk().copied().map(u32::from_le_bytes)
    }
}
