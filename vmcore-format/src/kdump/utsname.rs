//! What a machine calls itself.
//!
//! ```text
//!  0         65        130       195       260       325       390
//!  │ sysname │ nodename│ release │ version │ machine │ domain  │    NUL-terminated
//! ```
//!
//! Source: `struct new_utsname` in Linux `include/uapi/linux/utsname.h`.

use core::fmt;

use elf_format::Machine;

/// `__NEW_UTS_LEN + 1`
const NAME_SIZE: usize = 65;
const NAMES: usize = 6;

/// `struct new_utsname`: what `uname` says on the machine. QEMU fills in only `machine`, and not on each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Utsname([[u8; NAME_SIZE]; NAMES]);

impl Utsname {
    /// Takes the names that `bytes` begin with.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut names = [[0; NAME_SIZE]; NAMES];
        for (name, bytes) in names.iter_mut().zip(bytes.chunks_exact(NAME_SIZE)) {
            name.copy_from_slice(bytes);
        }
        Self(names)
    }

    fn name(&self, index: usize) -> &[u8] {
        let name = self.0.get(index).map_or(&[][..], |name| &name[..]);
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// `uname -s`
    pub fn sysname(&self) -> &[u8] {
        self.name(0)
    }

    /// `uname -n`
    pub fn nodename(&self) -> &[u8] {
        self.name(1)
    }

    /// `uname -r`
    pub fn release(&self) -> &[u8] {
        self.name(2)
    }

    /// `uname -v`
    pub fn version(&self) -> &[u8] {
        self.name(3)
    }

    /// `uname -m`
    pub fn machine(&self) -> &[u8] {
        self.name(4)
    }

    /// The NIS domain.
    pub fn domainname(&self) -> &[u8] {
        self.name(5)
    }

    /// The machine that `uname -m` names, if it is one that this library knows.
    pub(crate) fn elf_machine(&self) -> Option<Machine> {
        Machine::from_uname(self.machine()).map(|(machine, _)| machine)
    }
}

impl fmt::Debug for Utsname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for index in 0..self.0.len() {
            list.entry(&format_args!("{}", self.name(index).escape_ascii()));
        }
        list.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn names_end_at_their_nul_and_machines_are_known_by_theirs() {
        let mut bytes = [0; NAME_SIZE * NAMES];
        for (place, name) in bytes
            .chunks_mut(NAME_SIZE)
            .zip(["Linux", "", "6.1", "#1", "i586", "(none)"])
        {
            place[..name.len()].copy_from_slice(name.as_bytes());
        }
        let names = Utsname::new(&bytes);
        assert_eq!(
            (names.sysname(), names.nodename()),
            (&b"Linux"[..], &b""[..])
        );
        assert_eq!(
            (names.release(), names.version()),
            (&b"6.1"[..], &b"#1"[..])
        );
        assert_eq!(
            (names.machine(), names.domainname()),
            (&b"i586"[..], &b"(none)"[..])
        );
        assert_eq!(names.elf_machine(), Some(Machine::I386));
        assert_eq!(format!("{names:?}"), "[Linux, , 6.1, #1, i586, (none)]");
        // As long as it can be, without a NUL.
        bytes[4 * NAME_SIZE..5 * NAME_SIZE].fill(b'x');
        assert_eq!(Utsname::new(&bytes).machine().len(), NAME_SIZE);
        assert_eq!(Utsname::new(&bytes).elf_machine(), None);
        assert_eq!(Utsname::new(&[]).machine(), b"");
    }
}
