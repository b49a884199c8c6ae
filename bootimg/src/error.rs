//! What can be wrong with a boot image, or with the values somebody wants written into one.
//!
//! Offsets count from the start of the file when bytes are read, also deep inside, and from the
//! start of the output when they are emitted.
//!
//! A number that puts something where, by the other numbers of its header, the file has nothing is an
//! [`Error::BadField`] at that number, whatever the file's length. Where the header agrees with itself and
//! the file ends before that, the file has been cut: [`Error::Truncated`] at what is not all there. So a
//! `payload_length` that leads behind `syssize` is a bad field, and a `syssize` that leads behind the file, or a
//! payload that it does not all have, is truncated. `setup_sects` is held against the file itself: without
//! its setup code it is no image.

/// A field of a format and the rule it broke.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The C name of the field.
    pub name: &'static str,
    /// The values that would have been allowed, in words.
    pub allowed: &'static str,
}

/// Why bytes are not the image that was asked for, or cannot be emitted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end before the structure does.
    #[error("offset {offset:#x}: {what} needs {needed:#x} bytes, {available:#x} are there")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        offset: u64,
        /// Its length in bytes.
        needed: u64,
        /// The bytes there are from its start on.
        available: u64,
    },
    /// A signature is not the expected one.
    #[error("offset {offset:#x}: {what} is {found:#x}, not {expected:#x}")]
    BadMagic {
        /// The signature.
        what: &'static str,
        /// Where it is.
        offset: u64,
        /// What is there, in the byte order of the format.
        found: u64,
        /// What belongs there.
        expected: u64,
    },
    /// The format allows the value; this crate, as it was built, has no rule for it.
    #[error("offset {offset:#x}: {what} {value:#x} is not supported")]
    Unsupported {
        /// The kind of value.
        what: &'static str,
        /// Where it is.
        offset: u64,
        /// The value.
        value: u64,
    },
    /// A field has a value that the format does not allow.
    #[error("offset {offset:#x}: {} is {value:#x}, allowed: {}", field.name, field.allowed)]
    BadField {
        /// The field and its rule.
        field: &'static Field,
        /// Where the field is.
        offset: u64,
        /// What it holds.
        value: u64,
    },
    /// A checksum over bytes of the file is not what the file says.
    #[error("offset {offset:#x}: {what} is {stored:#x}, the bytes come to {computed:#x}")]
    Checksum {
        /// The checksum.
        what: &'static str,
        /// Where it is.
        offset: u64,
        /// What the file says.
        stored: u64,
        /// What its bytes come to.
        computed: u64,
    },
    /// A compressed stream is damaged.
    #[error("offset {offset:#x}: the {what} stream is damaged")]
    Corrupt {
        /// The compression.
        what: &'static str,
        /// Where the damage was noticed, or where the stream starts.
        offset: u64,
    },
    /// The bytes end before a compressed stream does.
    #[error("offset {offset:#x}: the {what} stream ends early")]
    Incomplete {
        /// The compression.
        what: &'static str,
        /// Where that starts which is not all there.
        offset: u64,
    },
    /// Behind a compressed stream is neither another one nor padding.
    #[error("offset {offset:#x}: behind the {what} stream is neither another one nor padding")]
    Trailing {
        /// The compression.
        what: &'static str,
        /// Where the first of these bytes is.
        offset: u64,
    },
    /// A compressed stream holds more than there is room for.
    #[error("offset {offset:#x}: the {what} stream holds more than {limit:#x} bytes")]
    Full {
        /// The compression.
        what: &'static str,
        /// Where the stream starts.
        offset: u64,
        /// The room, in bytes.
        limit: u64,
    },
    /// There is no memory for what a compressed stream holds.
    #[error("offset {offset:#x}: out of memory: {size:#x} bytes for the {what} stream")]
    OutOfMemory {
        /// The compression.
        what: &'static str,
        /// Where the stream starts.
        offset: u64,
        /// The bytes that were asked for.
        size: u64,
    },
    /// An ELF file is damaged.
    #[error(transparent)]
    Elf(#[from] elf_format::Error),
    /// An end that its field or 64 bits cannot hold.
    #[error("offset {offset:#x}: the end of {what} is too large")]
    Overflow {
        /// What ends there.
        what: &'static str,
        /// Where it starts, or the field that says where.
        offset: u64,
    },
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = core::result::Result<T, E>;

const _: () = assert!(size_of::<Error>() <= 48);

/// `len` bytes of `file` from `offset` on.
pub(crate) fn part<'a>(
    file: &'a [u8],
    what: &'static str,
    offset: u64,
    len: u64,
) -> Result<&'a [u8]> {
    let end = offset
        .checked_add(len)
        .ok_or(Error::Overflow { what, offset })?;
    let found = usize::try_from(offset)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(start, end)| file.get(start..end));
    found.ok_or_else(|| Error::Truncated {
        what,
        offset,
        needed: len,
        // A part that starts behind the end has nothing.
        available: (file.len() as u64).saturating_sub(offset),
    })
}

/// The same for a part that has no place behind `end` by what else the header says: there it is not the file that
/// is short, but `blamed`.
pub(crate) fn part_within<'a>(
    file: &'a [u8],
    what: &'static str,
    offset: u64,
    len: u64,
    end: u64,
    blamed: Error,
) -> Result<&'a [u8]> {
    let within = offset.checked_add(len).is_some_and(|found| found <= end);
    part(file, what, offset, len).map_err(|short| if within { short } else { blamed })
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn messages_start_with_the_offset_and_say_found_and_allowed() {
        const INIT_SIZE: Field = Field {
            name: "init_size",
            allowed: "1 and above",
        };
        let elf = elf_format::Header::parse(b"\x7fELF").unwrap_err();
        let cases = [
            (
                Error::BadField {
                    field: &INIT_SIZE,
                    offset: 0x260,
                    value: 0,
                },
                "offset 0x260: init_size is 0x0, allowed: 1 and above",
            ),
            (
                Error::Corrupt {
                    what: "zstd",
                    offset: 0x52cc,
                },
                "offset 0x52cc: the zstd stream is damaged",
            ),
            (
                Error::Full {
                    what: "gzip",
                    offset: 0,
                    limit: 16,
                },
                "offset 0x0: the gzip stream holds more than 0x10 bytes",
            ),
            (
                Error::Elf(elf),
                "offset 0x0: ELF identification needs 0x10 bytes, 0x4 are there",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn parts_that_the_file_does_not_have() {
        let file = [0; 8];
        assert_eq!(part(&file, "part", 2, 6).unwrap().len(), 6);
        let short = |offset, needed, available| Error::Truncated {
            what: "part",
            offset,
            needed,
            available,
        };
        assert_eq!(part(&file, "part", 2, 7), Err(short(2, 7, 6)));
        assert_eq!(part(&file, "part", 9, 0), Err(short(9, 0, 0)));
        let overflow = Error::Overflow {
            what: "part",
            offset: u64::MAX,
        };
        assert_eq!(part(&file, "part", u64::MAX, 1), Err(overflow));
    }
}
