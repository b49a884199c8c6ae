//! `elfcorehdr=`: where the capture kernel finds the headers of the dump.
//!
//! ```text
//!   elfcorehdr=245108K          elfcorehdr=0x4000@0xef5d000
//!              └──┬──┘                     └──┬─┘ └───┬───┘
//!              address                       size  address
//! ```
//!
//! `setup_elfcorehdr()` in Linux `kernel/crash_dump.c`; Documentation/admin-guide/kernel-parameters.txt.

use core::fmt;

use physmem::PhysAddr;

use super::{
    cmdline::Params,
    memparse::{Size, memparse},
};

/// A value of `elfcorehdr=`. Prints as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ElfCoreHdr {
    /// Where the ELF header begins.
    pub addr: PhysAddr,
    /// Bytes of all headers, if they are given: s390 and MIPS need them.
    pub size: Option<u64>,
}

impl ElfCoreHdr {
    /// Reads a value. As in the kernel, what follows the number is not looked at; `None` if there is
    /// nothing at all.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (first, rest) = memparse(value);
        match rest {
            [b'@', addr @ ..] => {
                let addr = PhysAddr::new(memparse(addr).0);
                Some(Self {
                    addr,
                    size: Some(first),
                })
            }
            _ if rest.len() == value.len() => None,
            _ => Some(Self {
                addr: PhysAddr::new(first),
                size: None,
            }),
        }
    }

    /// The last one on a command line, which is the one that counts.
    ///
    /// ```
    /// use e820::text::elfcorehdr::ElfCoreHdr;
    ///
    /// let found = ElfCoreHdr::find(b"irqpoll reset_devices elfcorehdr=245108K\n").unwrap();
    /// assert_eq!((found.addr.as_u64(), found.size), (0xef5_d000, None));
    /// assert_eq!(found.to_string(), "245108K");
    /// ```
    pub fn find(cmdline: &[u8]) -> Option<Self> {
        let values = Params::new(cmdline).filter(|param| param.name == b"elfcorehdr");
        values.filter_map(|param| Self::parse(param.value?)).last()
    }
}

impl fmt::Display for ElfCoreHdr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            write!(f, "{}@", Size(size))?;
        }
        Size(self.addr.as_u64()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn forms() {
        let read = |value: &str| {
            ElfCoreHdr::parse(value.as_bytes()).map(|found| (found.size, found.addr.as_u64()))
        };
        assert_eq!(read("0x1000"), Some((None, 0x1000)));
        assert_eq!(read("4K@0x1000"), Some((Some(4096), 0x1000)));
        assert_eq!(read("4K@"), Some((Some(4096), 0)));
        assert_eq!(read("4Kx"), Some((None, 4096)));
        assert_eq!(read(""), None);
        assert_eq!(read("x"), None);
        for value in ["245108K", "16K@245108K", "0x1001@0x401"] {
            assert_eq!(
                ElfCoreHdr::parse(value.as_bytes()).unwrap().to_string(),
                value
            );
        }
    }
}
