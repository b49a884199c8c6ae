//! `NT_VMCOREDD` of the owner `LINUX`: what a driver saved of its device in the crash kernel.
//!
//! ```text
//!  0                    44
//!  ├────────────────────┼───── … ─────┤
//!  │ dump_name, NULs    │ the device's data
//!  └────────────────────┴───── … ─────┘
//! ```
//!
//! /proc/vmcore appends one such note for each driver that asked (`CONFIG_PROC_VMCORE_DEVICE_DUMP`),
//! padded to whole pages, so that zeros may follow the data.
//!
//! Source: `struct vmcoredd_header` in Linux `include/uapi/linux/vmcore.h`.

use crate::{
    error::{Error, Result},
    wire,
};

/// `VMCOREDD_MAX_NAME_BYTES`
const NAME_SIZE: usize = 44;

/// The descriptor of a device dump's note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDump<'a> {
    /// `dump_name` without the NULs that end it: `cxgb4_0000:02:00.4`. It need not be text.
    pub name: &'a [u8],
    /// In a form of the driver's own.
    pub data: &'a [u8],
}

impl<'a> DeviceDump<'a> {
    /// The descriptor of a note `NT_VMCOREDD`, which lies at `offset` in the file.
    ///
    /// # Errors
    ///
    /// `Truncated` when the name is cut.
    pub fn parse(desc: &'a [u8], offset: u64) -> Result<Self> {
        let (name, data) = desc.split_at_checked(NAME_SIZE).ok_or(Error::Truncated {
            what: "name of a device dump",
            offset,
            needed: NAME_SIZE as u64,
            available: wire::len(desc),
        })?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(Self { name, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_ends_at_its_first_nul_or_with_its_field() {
        let mut desc = [0; 50];
        desc[..5].copy_from_slice(b"cxgb4");
        desc[44..47].copy_from_slice(b"abc");
        let dump = DeviceDump::parse(&desc, 0).unwrap();
        assert_eq!(dump.name, b"cxgb4");
        assert_eq!(dump.data, b"abc\0\0\0");

        let dump = DeviceDump::parse(&[b'x'; 44], 0).unwrap();
        assert_eq!((dump.name, dump.data), (&[b'x'; 44][..], &[][..]));
    }

    #[test]
    fn a_cut_name_is_an_error() {
        for len in 0..NAME_SIZE {
            let error = Error::Truncated {
                what: "name of a device dump",
                offset: 0x40,
                needed: 44,
                available: len as u64,
            };
            assert_eq!(DeviceDump::parse(&[0; 44][..len], 0x40), Err(error));
        }
    }
}
