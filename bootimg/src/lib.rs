//! Boot images: what a file is, whether it is sound, what is inside, and where it wants to be.
//!
//! Each format is a view that is checked once and lends from the file; nothing is copied before
//! somebody asks for a payload.
//!
//! - [`boot_params`]: the page an x86 kernel is handed, built and read.
//! - [`bzimage`]: kernels of x86, every boot protocol since 2.00.
//! - [`decompress`]: what is inside, by decoders that features add.
//! - [`detect`]: what a file is, and what kexec-tools would take it for.
//! - [`elf_image`]: kernels that are ELF files: segments, entries, build id, version.
//! - [`uimage`]: what mkimage makes for U-Boot, read and built.
//!
//! ```
//! use bootimg::{BzImage, bzimage::Checksum};
//!
//! // A loader of disk images that poses as a kernel.
//! let memdisk = include_bytes!("../testdata/memdisk");
//! let image = BzImage::parse(memdisk)?;
//! assert_eq!(image.header().protocol().to_string(), "2.03");
//! assert_eq!(image.kernel_version()?, Some(&b"MEMDISK 6.04 20200816"[..]));
//! assert_eq!(image.header().setup_len(), 2048);
//! assert_eq!(image.checksum(), Checksum::Absent);
//! # Ok::<(), bootimg::Error>(())
//! ```
//!
//! # Untrusted input
//!
//! Any bytes yield a view or an [`Error`] that names what was found, what would have been allowed
//! and the offset in the file: never a panic, an allocation by an unchecked number, or work out of
//! proportion to the input. What is decompressed stays within the room it is given.
//!
//! # Features
//!
//! Views, builders and [`detect`] need none, and no allocator. `alloc` adds `to_vec`. `gzip`, `bzip2`,
//! `lz4`, `lzo`, `xz` (with lzma) and `zstd` add decoders in Rust; `native-zlib` and `native-zstd` such
//! in C.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "tests"
    )
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod boot_params;
pub mod bzimage;
mod compression;
pub mod decompress;
pub mod detect;
pub mod elf_image;
pub mod error;
pub mod uimage;

pub use bzimage::BzImage;
pub use compression::Compression;
pub use elf_image::ElfImage;
pub use error::{Error, Field, Result};
pub use uimage::Uimage;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
