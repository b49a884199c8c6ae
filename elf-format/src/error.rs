//! What can be wrong with an ELF file, or with the values somebody wants written into one.
//!
//! Offsets count from the start of the file when bytes are read, and from the start of the
//! output when they are emitted.

/// A field of the format and the rule it broke.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The C name of the field.
    pub name: &'static str,
    /// The values that would have been allowed, in words.
    pub allowed: &'static str,
}

/// Why bytes are not the ELF structure that was asked for, or cannot be emitted as one.
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
        /// Its bytes, the first one highest.
        found: u64,
        /// The bytes that belong there.
        expected: u64,
    },
    /// The format allows the value; this crate has no rule for it.
    #[error("offset {offset:#x}: {what} {value:#x} is not supported")]
    Unsupported {
        /// The kind of value.
        what: &'static str,
        /// Where the structure that needs the rule starts.
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
    /// An end lies beyond the last address of 64 bits.
    #[error("offset {offset:#x}: the end of {what} exceeds 64 bits")]
    Overflow {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        offset: u64,
    },
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = core::result::Result<T, E>;

const _: () = assert!(size_of::<Error>() <= 48);

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn messages_start_with_the_offset_and_say_found_and_allowed() {
        const PHENTSIZE: Field = Field {
            name: "e_phentsize",
            allowed: "0x38 in ELF64",
        };
        let cases = [
            (
                Error::Truncated {
                    what: "ELF header",
                    offset: 0,
                    needed: 64,
                    available: 3,
                },
                "offset 0x0: ELF header needs 0x40 bytes, 0x3 are there",
            ),
            (
                Error::BadMagic {
                    what: "ELF magic",
                    offset: 0,
                    found: 0,
                    expected: 0x7f45_4c46,
                },
                "offset 0x0: ELF magic is 0x0, not 0x7f454c46",
            ),
            (
                Error::Unsupported {
                    what: "PRSTATUS of e_machine",
                    offset: 0x10,
                    value: 8,
                },
                "offset 0x10: PRSTATUS of e_machine 0x8 is not supported",
            ),
            (
                Error::BadField {
                    field: &PHENTSIZE,
                    offset: 0x36,
                    value: 1,
                },
                "offset 0x36: e_phentsize is 0x1, allowed: 0x38 in ELF64",
            ),
            (
                Error::Overflow {
                    what: "program header table",
                    offset: u64::MAX,
                },
                "offset 0xffffffffffffffff: the end of program header table exceeds 64 bits",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
