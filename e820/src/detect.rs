//! Which form a map of unknown origin is in.
//!
//! ```text
//!   \x7fELF … ────────────────────────────────────────────────────────────► none, and an error
//!   NUL bytes ──┬─ 4096 bytes: `HdrS` at 0x202, or 0xaa55 at 0x1fe,
//!               │  or 1 to 128 likely entries ──────────────────────────► zero page
//!               ├─ more, behind a page with 128 likely entries ─────────► zero page
//!               ├─ likely entries of 20 bytes, of 24 ───────────────────► array
//!               └─ all else ──► as text without a form of its own
//!   text ──┬─ first line `00000000-00000fff : …` ───────────────────────► iomem
//!          ├─ first line `0 0x0 0x9fbff …` ─────────────────────────────► sysfs
//!          ├─ one line with `memmap=`, and no map ──────────────────────► command line
//!          └─ all else ──┬─ printable for the most part ────────────────► log
//!                        └─ binary ─────────────────────────────────────► none, and an error
//! ```
//!
//! Only a zero page may have a signature, and one that EFI's stub has made has none. So sizes and
//! what stands in the entries have to tell. It is a guess: who knows the form should say it.

use crate::{
    Error, Kind, RawEntry,
    error::Result,
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

/// `boot_flag` and `header` of `struct setup_header` in Linux
/// `arch/x86/include/uapi/asm/bootparam.h`: where they are and what they hold.
const BOOT_FLAG: (usize, &[u8]) = (0x1fe, b"\x55\xaa");
const HEADER: (usize, &[u8]) = (0x202, b"HdrS");

impl Form {
    /// The form that `bytes` most likely have: [`Log`](Self::Log), in which any text may stand, if
    /// they look like no other.
    ///
    /// ```
    /// use e820::Form;
    ///
    /// assert_eq!(Form::of(b"00000000-00000fff : Reserved\n")?, Form::Iomem);
    /// assert_eq!(Form::of(b"quiet memmap=64K$0x1f000000\n")?, Form::Cmdline);
    /// assert!(Form::of(&[0; 4096]).is_err());
    /// # Ok::<(), e820::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoForm`] for ELF files, and for bytes that are no zero page, no array and for the most
    /// part no printable ASCII.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        if bytes.starts_with(b"\x7fELF") {
            return Err(Error::NoForm {
                what: "an ELF file",
            });
        }
        let form = if bytes.contains(&0) {
            Self::of_binary(bytes)
        } else {
            Self::of_text(bytes)
        };
        // The console of a machine that boots sends NULs, too.
        let what = match bytes.len() {
            boot_params::SIZE => "a page without HdrS at 0x202, 0xaa55 at 0x1fe or likely entries",
            _ => "binary data",
        };
        form.or(is_printable(bytes).then_some(Self::Log))
            .ok_or(Error::NoForm { what })
    }

    fn of_binary(bytes: &[u8]) -> Option<Self> {
        let is_array = |array: Array<'_>| array.entries().all(is_likely);
        let is_acpi = |array: AcpiArray<'_>| array.entries().all(|found| is_likely(found.entry));
        let has = |(at, magic): (usize, &[u8])| {
            bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
        };
        let (is_page, needed) = match bytes.len() {
            boot_params::SIZE => (has(HEADER) || has(BOOT_FLAG), 1),
            // Nothing follows a page with room for more.
            _ => (false, boot_params::MAX_ENTRIES),
        };
        let is_table =
            |page: BootParams<'_>| page.entries().len() >= needed && page.entries().all(is_likely);
        if is_page || needed == 1 && BootParams::parse(bytes).is_ok_and(is_table) {
            Some(Self::BootParams)
        } else if Array::parse(bytes).is_ok_and(is_array) {
            Some(Self::Array)
        } else if AcpiArray::parse(bytes).is_ok_and(is_acpi) {
            Some(Self::AcpiArray)
        } else if BootParams::parse(bytes).is_ok_and(is_table) {
            Some(Self::BootParams)
        } else {
            None
        }
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
        let is_iomem = || match Resources::parse(line) {
            Ok(mut found) => matches!(found.next(), Some(Ok(_))),
            Err(error) => matches!(error, Error::Unprivileged { .. }),
        };
        let is_sysfs = || matches!(SysfsEntries::new(line).next(), Some(Ok(_)));
        let has_param = || Params::new(line).any(|param| param.name == b"memmap");
        if is_iomem() {
            Some(Self::Iomem)
        } else if is_sysfs() {
            Some(Self::Sysfs)
        } else if line.len() == text.len() && LogItems::new(line).next().is_none() && has_param() {
            Some(Self::Cmdline)
        } else {
            None
        }
    }
}

/// Whether firmware or Linux would hand such an entry over: not empty, of a kind with a small number
/// or one of those that vendors may use, and inside of the address space.
fn is_likely(entry: RawEntry) -> bool {
    let vendors = Kind::SOFT_RESERVED;
    let is_kind = (Kind::RAM..=Kind::RESERVED_KERN).contains(&entry.kind) || entry.kind >= vendors;
    is_kind && entry.size > 0 && entry.addr.checked_add(entry.size).is_some()
}

/// Whether at least every second byte is one of a line of ASCII.
fn is_printable(bytes: &[u8]) -> bool {
    let of_text = |&&b: &&u8| matches!(b, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    bytes.iter().filter(of_text).count() >= bytes.len().div_ceil(2)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::wire::{
        array::{AcpiArrayBuilder, AcpiEntry, ArrayBuilder, Attributes},
        boot_params::Builder,
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
            assert_eq!(Form::of(text.as_bytes()), Ok(form), "{text}");
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
            assert_eq!(Form::of(&bytes[..len]), Ok(Form::Array), "{count}");
            let len = AcpiArrayBuilder::new(&with[..count])
                .emit(&mut bytes)
                .unwrap();
            assert_eq!(Form::of(&bytes[..len]), Ok(Form::AcpiArray), "{count}");

            let mut page = [0xa5; 4096 + 16 + 20 * 300];
            let (table, rest) = Builder::split(&entries[..count]);
            table.emit(&mut page).unwrap();
            let behind = match rest.len() {
                0 => 0,
                more => 16 + 20 * more,
            };
            assert_eq!(
                Form::of(&page[..4096 + behind]),
                Ok(Form::BootParams),
                "{count}"
            );
        }
    }

    #[test]
    fn signatures_of_a_zero_page_without_entries() {
        for (at, magic) in [BOOT_FLAG, HEADER] {
            let mut page = [0; 4096];
            page[at..at + magic.len()].copy_from_slice(magic);
            assert_eq!(Form::of(&page), Ok(Form::BootParams), "{at:#x}");
            // So that the error says which field is wrong.
            page[0x1e8] = 129;
            assert_eq!(Form::of(&page), Ok(Form::BootParams), "{at:#x}");
        }
    }

    #[test]
    fn bytes_that_are_no_map() {
        let mut count_only = [0; 4096];
        count_only[0x1e8] = 3;
        let mut elf = [0; 4096];
        elf[..4].copy_from_slice(b"\x7fELF");
        for (bytes, what) in [
            (&[0; 4096][..], "a page without HdrS"),
            (&count_only, "a page without HdrS"),
            (&elf, "an ELF file"),
            (b"\x7fELF without a NUL", "an ELF file"),
            (&[0; 20], "binary data"),
            (&[0; 21], "binary data"),
            (&[0x7f; 8192], "binary data"),
        ] {
            let error = Form::of(bytes).unwrap_err().to_string();
            let expected = std::format!("offset 0x0: {what}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_serial_log_with_noise_is_a_log() {
        let line = b"[    0.000000] Linux version 6.1\r\n";
        for noise in [&b"\0"[..], b"\0\xff\0", b"\xe0\0\x1b[2J"] {
            let log = [noise, line, noise].concat();
            assert_eq!(Form::of(&log), Ok(Form::Log), "{log:?}");
        }
    }
}
