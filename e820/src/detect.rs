//! Which form a map of unknown origin is in.
//!
//! ```text
//!   NUL bytes ──┬─ 4096 bytes, or more that begin with a full page ─────► zero page
//!               ├─ entries of 20 bytes, of 24 ──────────────────────────► array
//!               └─ all else ────────────────────────────────────────────► log
//!   text ──┬─ first line `00000000-00000fff : …` ───────────────────────► iomem
//!          ├─ first line `0 0x0 0x9fbff …` ─────────────────────────────► sysfs
//!          ├─ one line with `memmap=`, and no map ──────────────────────► command line
//!          └─ all else ─────────────────────────────────────────────────► log
//! ```
//!
//! No form of bytes has a number at its start that would tell it, so sizes and what stands in the
//! entries have to. It is a guess: who knows the form should say it.

use crate::{
    Kind, RawEntry,
    text::{cmdline::Params, dmesg::LogItems, iomem::Resources, sysfs::SysfsEntries},
    wire::{
        array::{AcpiArray, Array},
        boot_params::{self, BootParams},
    },
};

/// A form in which a map is kept in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// A kernel log: [`text::dmesg`](crate::text::dmesg).
    Log,
    /// `/proc/iomem`: [`text::iomem`](crate::text::iomem).
    Iomem,
    /// `/sys/firmware/memmap` in one text: [`text::sysfs`](crate::text::sysfs).
    Sysfs,
    /// A command line with `memmap=`: [`text::memmap_param`](crate::text::memmap_param).
    Cmdline,
    /// A zero page and what follows it: [`wire::boot_params`](crate::wire::boot_params).
    BootParams,
    /// Entries of 20 bytes: [`wire::array`](crate::wire::array).
    Array,
    /// Entries of 24 bytes: the same.
    AcpiArray,
}

impl Form {
    /// The form that `bytes` most likely have: [`Log`](Self::Log), in which any bytes may stand, if
    /// they look like no other.
    ///
    /// ```
    /// use e820::Form;
    ///
    /// assert_eq!(Form::of(b"00000000-00000fff : Reserved\n"), Form::Iomem);
    /// assert_eq!(Form::of(b"quiet memmap=64K$0x1f000000\n"), Form::Cmdline);
    /// assert_eq!(Form::of(&[0; 4096]), Form::BootParams);
    /// ```
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.contains(&0) {
            Self::of_binary(bytes)
        } else {
            Self::of_text(bytes)
        }
    }

    fn of_binary(bytes: &[u8]) -> Self {
        let is_array = |array: Array<'_>| array.entries().all(is_likely);
        let is_acpi = |array: AcpiArray<'_>| array.entries().all(|found| is_likely(found.entry));
        // Nothing follows a page with room for more.
        let is_full = |page: BootParams<'_>| {
            page.entries().len() == boot_params::MAX_ENTRIES && page.entries().all(is_likely)
        };
        if bytes.len() == boot_params::SIZE {
            Self::BootParams
        } else if Array::parse(bytes).is_ok_and(is_array) {
            Self::Array
        } else if AcpiArray::parse(bytes).is_ok_and(is_acpi) {
            Self::AcpiArray
        } else if BootParams::parse(bytes).is_ok_and(is_full) {
            Self::BootParams
        } else {
            Self::Log
        }
    }

    fn of_text(text: &[u8]) -> Self {
        let text = text.trim_ascii();
        let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
        let is_iomem =
            || Resources::parse(line).is_ok_and(|mut found| matches!(found.next(), Some(Ok(_))));
        let is_hidden = || {
            matches!(
                Resources::parse(line),
                Err(crate::Error::Unprivileged { .. })
            )
        };
        let is_sysfs = || matches!(SysfsEntries::new(line).next(), Some(Ok(_)));
        let has_param = || Params::new(line).any(|param| param.name == b"memmap");
        if is_iomem() || is_hidden() {
            Self::Iomem
        } else if is_sysfs() {
            Self::Sysfs
        } else if line.len() == text.len() && LogItems::new(line).next().is_none() && has_param() {
            Self::Cmdline
        } else {
            Self::Log
        }
    }
}

/// Whether firmware or Linux would hand such an entry over: of a kind with a small number, or one of
/// those that vendors may use, and inside of the address space.
fn is_likely(entry: RawEntry) -> bool {
    let vendors = Kind::SOFT_RESERVED.0;
    let is_kind = entry.kind <= Kind::RESERVED_KERN || entry.kind.0 >= vendors;
    is_kind && entry.addr.checked_add(entry.size).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        array::{AcpiArrayBuilder, AcpiEntry, ArrayBuilder, Attributes},
        boot_params::Table,
    };

    #[test]
    fn texts_by_their_first_line() {
        for (text, form) in [
            ("", Form::Log),
            ("[    0.000000] Linux version 6.1", Form::Log),
            ("BIOS-e820: [mem 0x0-", Form::Log),
            (
                "[    0.000000] e820: update [mem 0x00000000-0x00000fff] usable ==> reserved memmap=1",
                Form::Log,
            ),
            ("\n00000000-00000fff : Reserved\n  junk", Form::Iomem),
            (
                "00000000-00000000 : Reserved\n00000000-00000000 : x",
                Form::Iomem,
            ),
            ("0 0x0 0x9fbff System RAM\njunk", Form::Sysfs),
            ("5\t0x0\t0x9fbff\tSystem RAM", Form::Sysfs),
            ("quiet memmap=junk\n", Form::Cmdline),
            ("quiet memmap=junk\nand more", Form::Log),
            ("quiet mem=4G", Form::Log),
        ] {
            assert_eq!(Form::of(text.as_bytes()), form, "{text}");
        }
    }

    #[test]
    fn bytes_by_their_size_and_their_entries() {
        let entry = |n: u64| RawEntry {
            addr: n << 20,
            size: 1 << 20,
            kind: Kind::RAM,
        };
        // From 5 to 6 entries of 20 bytes the size is a multiple of 24, too, and back.
        for count in 1..300 {
            let mut entries = [RawEntry::default(); 300];
            let mut with = [AcpiEntry::default(); 300];
            for (n, (slot, with)) in (0..).zip(entries.iter_mut().zip(&mut with)).take(count) {
                *slot = entry(n);
                let attributes = Attributes::ENABLED;
                *with = AcpiEntry {
                    entry: entry(n),
                    attributes,
                };
            }
            let mut bytes = [0; 24 * 300];
            let len = ArrayBuilder::new(&entries[..count])
                .emit(&mut bytes)
                .unwrap();
            assert_eq!(Form::of(&bytes[..len]), Form::Array, "{count}");
            let len = AcpiArrayBuilder::new(&with[..count])
                .emit(&mut bytes)
                .unwrap();
            assert_eq!(Form::of(&bytes[..len]), Form::AcpiArray, "{count}");

            let mut page = [0xa5; 4096 + 16 + 20 * 300];
            let (table, rest) = Table::split(&entries[..count]);
            table.emit(&mut page).unwrap();
            let behind = match rest.len() {
                0 => 0,
                more => 16 + 20 * more,
            };
            assert_eq!(
                Form::of(&page[..4096 + behind]),
                Form::BootParams,
                "{count}"
            );
        }
        assert_eq!(Form::of(&[0; 21]), Form::Log);
        assert_eq!(Form::of(&[0x7f; 8192]), Form::Log);
    }
}
