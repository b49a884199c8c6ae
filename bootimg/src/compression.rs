//! What a payload is compressed with, by its first bytes.
//!
//! ```text
//!  1f 8b  1f 9e   gzip                  42 5a          bzip2
//!  5d 00          lzma-alone            fd 37          xz
//!  89 4c          lzop                  28 b5          zstd
//!  02 21          LZ4, legacy frames    04 22          LZ4, frames
//! ```
//!
//! Source: Linux `Documentation/arch/x86/boot.rst`, `payload_offset`; `lib/decompress.c`
//! (`compressed_formats`). U-Boot (`boot/image.c`, `image_comp`) knows LZ4 by its frames only, the
//! kernel by the legacy ones only.

use core::fmt;

/// A compression that boot images use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// RFC 1952, with a CRC-32 and the size modulo 2^32 behind the data.
    Gzip,
    /// With a CRC-32 a block.
    Bzip2,
    /// `.lzma`, "LZMA alone": no checksum.
    Lzma,
    /// With a check of the writer's choice; the kernel's are CRC-32.
    Xz,
    /// The container of lzop, with an Adler-32 a block.
    Lzo,
    /// What `lz4 -l` writes and the kernel reads: no checksum.
    Lz4Legacy,
    /// What `lz4` writes and U-Boot reads.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// What starts with these bytes; `None` if none of the signatures does.
    ///
    /// Skippable frames may come before those of LZ4 and zstd, as `pzstd` writes them; then `bytes` must reach past
    /// them.
    ///
    /// ```
    /// use bootimg::Compression;
    ///
    /// assert_eq!(Compression::of(b"\x28\xb5\x2f\xfd\x04"), Some(Compression::Zstd));
    /// assert_eq!(Compression::of(b"\x7fELF"), None);
    /// ```
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let start = past_skippable(bytes, 0);
        match *bytes.get(start..)?.first_chunk()? {
            [0x04, 0x22] => Some(Self::Lz4),
            [0x28, 0xb5] => Some(Self::Zstd),
            _ if start != 0 => None,
            [0x1f, 0x8b | 0x9e] => Some(Self::Gzip),
            [0x42, 0x5a] => Some(Self::Bzip2),
            [0x5d, 0x00] => Some(Self::Lzma),
            [0xfd, 0x37] => Some(Self::Xz),
            [0x89, 0x4c] => Some(Self::Lzo),
            [0x02, 0x21] => Some(Self::Lz4Legacy),
            _ => None,
        }
    }

    /// The name of the tool that undoes it, but for both forms of LZ4: `lz4` and `lz4-legacy`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzo => "lzo",
            Self::Lz4Legacy => "lz4-legacy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Where the whole skippable frames end that start at `start`: those of LZ4 and zstd with anything in them.
///
/// ```text
///  50 … 5f  2a 4d 18 │ size u32 │ bytes
/// ```
///
/// Source: RFC 8878, 3.1.2; LZ4 `doc/lz4_Frame_format.md`.
pub(crate) fn past_skippable(bytes: &[u8], start: usize) -> usize {
    let frame = |rest: &[u8]| match *rest.first_chunk()? {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d] => {
            let size = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
            size.checked_add(8).filter(|len| *len <= rest.len())
        }
        _ => None,
    };
    let mut at = start;
    while let Some(len) = bytes.get(at..).and_then(frame) {
        // No overflow: inside a slice.
        at = at.saturating_add(len);
    }
    at
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn two_bytes_decide() {
        for (bytes, name) in [
            ([0x1f, 0x8b], "gzip"),
            ([0x1f, 0x9e], "gzip"),
            ([0x42, 0x5a], "bzip2"),
            ([0x5d, 0x00], "lzma"),
            ([0xfd, 0x37], "xz"),
            ([0x89, 0x4c], "lzo"),
            ([0x02, 0x21], "lz4-legacy"),
            ([0x04, 0x22], "lz4"),
            ([0x28, 0xb5], "zstd"),
        ] {
            assert_eq!(Compression::of(&bytes).unwrap().to_string(), name);
            assert_eq!(Compression::of(&bytes[..1]), None);
        }
        assert_eq!(Compression::of(b""), None);
        assert_eq!(Compression::of(&[0x1f, 0x8c]), None);
    }

    #[test]
    fn frames_for_others_are_skipped_while_they_are_whole() {
        const FRAMES: &[u8] = b"\x50\x2a\x4d\x18\x04\0\0\0abcd\x5f\x2a\x4d\x18\0\0\0\0";
        let of = |next: &[u8]| Compression::of(&[FRAMES, next].concat());
        assert_eq!(of(&[0x28, 0xb5]), Some(Compression::Zstd));
        assert_eq!(of(&[0x04, 0x22]), Some(Compression::Lz4));
        assert_eq!(of(&[0x1f, 0x8b]), None);
        assert_eq!(of(b""), None);
        for len in 0..12 {
            assert_eq!(past_skippable(&FRAMES[..len], 0), 0, "{len}");
        }
        for len in 12..20 {
            assert_eq!(past_skippable(&FRAMES[..len], 0), 12, "{len}");
        }
        assert_eq!(past_skippable(FRAMES, 0), 20);
        assert_eq!(past_skippable(FRAMES, 1), 1);
        assert_eq!(past_skippable(FRAMES, 21), 21);
        let endless = b"\x50\x2a\x4d\x18\xff\xff\xff\xff\0";
        assert_eq!(past_skippable(endless, 0), 0);
    }
}
