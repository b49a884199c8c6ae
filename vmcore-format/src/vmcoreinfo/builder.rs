//! The text, written as the kernel writes it.
//!
//! ```text
//!  Symbol { name: "init_top_pgt", address }  ─▶  SYMBOL(init_top_pgt)=ffffffffa8210000\n
//!                                                └──── at most 79 bytes with the \n ────┘
//!  all lines together: at most a page
//! ```
//!
//! Source: `VMCOREINFO_*()` in Linux `include/linux/vmcore_info.h`; `vmcoreinfo_append_str()` in
//! `kernel/vmcore_info.c`, which cuts what is longer. Here that is an error.

use core::{
    fmt::{self, Write},
    str,
};

use physmem::PageShift;

use crate::Error;

/// Bytes of the longest line, the newline included: `vmcoreinfo_append_str()` has a buffer of 0x50,
/// one of which is a NUL.
pub const LINE_MAX: usize = 0x4f;

const LINE: &str = "at most 79 bytes with the newline";
const TEXT: &str = "a text of at most a page";
const KEY: &str = "a name without '=', newline and NUL, not empty";
const VALUE: &str = "a value without newline or NUL, and no carriage return at its end";

/// A line of the text. Prints itself without the newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// `OSRELEASE`: what `uname -r` prints.
    OsRelease(&'a str),
    /// `BUILD-ID`: the bytes of the GNU build id.
    BuildId(&'a [u8]),
    /// `PAGESIZE`
    PageSize(PageShift),
    /// `SYMBOL(name)`
    Symbol {
        /// The symbol.
        name: &'a str,
        /// Its virtual address at run time.
        address: u64,
    },
    /// `SIZE(name)`
    Size {
        /// The type.
        name: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// `OFFSET(name)`
    Offset {
        /// `type.field`
        name: &'a str,
        /// Where in the type the field is.
        bytes: u64,
    },
    /// `LENGTH(name)`
    Length {
        /// The array.
        name: &'a str,
        /// How many it has.
        elements: u64,
    },
    /// `NUMBER(name)` in decimal.
    Number {
        /// What is counted.
        name: &'a str,
        /// Its value.
        value: i64,
    },
    /// `NUMBER(name)` in hexadecimal with 0x, as arm64 and riscv64 write addresses and masks.
    HexNumber {
        /// What it is.
        name: &'a str,
        /// Its value.
        value: u64,
    },
    /// `CONFIG_name=y`
    Config(&'a str),
    /// `KERNELOFFSET`: how far KASLR moved the kernel, in bytes.
    KernelOffset(u64),
    /// `CRASHTIME`: seconds since 1970.
    CrashTime(u64),
    /// `key=value`, whatever it means: also a key that has an entry of its own, with a value that no
    /// reader would take.
    Other {
        /// What stands before the `=`.
        key: &'a str,
        /// What stands after it.
        value: &'a str,
    },
}

impl Entry<'_> {
    /// What may not be in the caller's own words.
    fn refused(&self) -> Option<&'static str> {
        let (key, value) = match *self {
            Self::Symbol { name, .. }
            | Self::Size { name, .. }
            | Self::Offset { name, .. }
            | Self::Length { name, .. }
            | Self::Number { name, .. }
            | Self::HexNumber { name, .. }
            | Self::Config(name) => (name, ""),
            Self::Other { key, value } => (key, value),
            Self::OsRelease(value) => ("OSRELEASE", value),
            Self::BuildId(_) | Self::PageSize(_) | Self::KernelOffset(_) | Self::CrashTime(_) => {
                return None;
            }
        };
        if key.is_empty() || key.contains(['=', '\n', '\0']) {
            return Some(KEY);
        }
        let is_cut = value.contains(['\n', '\0']) || value.ends_with('\r');
        is_cut.then_some(VALUE)
    }

    fn line_len(&self) -> usize {
        let mut len = Length(0);
        // Counting does not fail.
        let _ = writeln!(len, "{self}");
        len.0
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OsRelease(release) => write!(f, "OSRELEASE={release}"),
            Self::BuildId(bytes) => {
                f.write_str("BUILD-ID=")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::PageSize(page) => write!(f, "PAGESIZE={}", page.bytes()),
            Self::Symbol { name, address } => write!(f, "SYMBOL({name})={address:x}"),
            Self::Size { name, bytes } => write!(f, "SIZE({name})={bytes}"),
            Self::Offset { name, bytes } => write!(f, "OFFSET({name})={bytes}"),
            Self::Length { name, elements } => write!(f, "LENGTH({name})={elements}"),
            Self::Number { name, value } => write!(f, "NUMBER({name})={value}"),
            Self::HexNumber { name, value } => write!(f, "NUMBER({name})={value:#x}"),
            Self::Config(name) => write!(f, "CONFIG_{name}=y"),
            Self::KernelOffset(bytes) => write!(f, "KERNELOFFSET={bytes:x}"),
            Self::CrashTime(seconds) => write!(f, "CRASHTIME={seconds}"),
            Self::Other { key, value } => write!(f, "{key}={value}"),
        }
    }
}

/// A text to be written.
///
/// No line is compared with another, as the kernel does not, either: a key may come twice, typed or as
/// [`Entry::Other`], and readers take the first.
///
/// ```
/// use physmem::PageShift;
/// use vmcore_format::vmcoreinfo::{Builder, Entry, Vmcoreinfo};
///
/// let page = PageShift::SIZE_4K;
/// let entries = [
///     Entry::OsRelease("6.12.0"),
///     Entry::PageSize(page),
///     Entry::Number { name: "phys_base", value: -389_021_696 },
/// ];
/// let mut out = [0; 100];
/// let len = Builder { entries: &entries, page }.emit(&mut out)?;
/// assert_eq!(&out[..len], b"OSRELEASE=6.12.0\nPAGESIZE=4096\nNUMBER(phys_base)=-389021696\n");
/// assert_eq!(Vmcoreinfo::new(&out[..len], 0).page_size()?, Some(page));
/// # Ok::<(), vmcore_format::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builder<'a> {
    /// The lines in their order.
    pub entries: &'a [Entry<'a>],
    /// The kernel's page size: the text has a page to lie in.
    pub page: PageShift,
}

impl Builder<'_> {
    /// Length of the text in bytes.
    #[must_use]
    pub fn emitted_len(&self) -> usize {
        let lines = self.entries.iter().map(Entry::line_len);
        // Saturating: no slice is that long, so emitting reports it as too long.
        lines.fold(0, usize::saturating_add)
    }

    /// Writes the text and returns its length.
    ///
    /// # Errors
    ///
    /// [`Error::BadEntry`] with the offset in the text for a line that is longer than the kernel's,
    /// with which the text exceeds a page, or which the reader would take for another one;
    /// [`Error::Truncated`] when `out` is too short, and then nothing was written.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, Error> {
        let needed = self.emitted_len();
        let available = out.len() as u64;
        let out = out.get_mut(..needed).ok_or(Error::Truncated {
            what: "VMCOREINFO text",
            offset: 0,
            needed: needed as u64,
            available,
        })?;
        let mut text = Text { rest: out, len: 0 };
        for (index, entry) in self.entries.iter().enumerate() {
            let start = text.len;
            let bad = |expected| Error::BadEntry {
                index,
                offset: start,
                expected,
            };
            if let Some(expected) = entry.refused() {
                return Err(bad(expected));
            }
            // `out` is as long as all lines.
            writeln!(text, "{entry}").map_err(|_| bad(TEXT))?;
            // Saturating: the text has grown.
            if text.len.saturating_sub(start) > LINE_MAX as u64 {
                return Err(bad(LINE));
            }
            if text.len > self.page.bytes() {
                return Err(bad(TEXT));
            }
        }
        Ok(needed)
    }

    /// The text in a new vector.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), `Truncated` aside.
    #[cfg(feature = "alloc")]
    pub fn to_vec(&self) -> Result<alloc::vec::Vec<u8>, Error> {
        let mut text = alloc::vec![0; self.emitted_len()];
        self.emit(&mut text)?;
        Ok(text)
    }
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Saturating: see `Builder::emitted_len`.
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Puts text into a slice.
struct Text<'a> {
    rest: &'a mut [u8],
    len: u64,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let rest = core::mem::take(&mut self.rest);
        let (head, rest) = rest.split_at_mut_checked(text.len()).ok_or(fmt::Error)?;
        head.copy_from_slice(text.as_bytes());
        self.rest = rest;
        // Saturating: a slice is never that long.
        self.len = self.len.saturating_add(text.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{
        string::{String, ToString},
        vec,
        vec::Vec,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::Vmcoreinfo;

    const PAGE: PageShift = PageShift::SIZE_4K;

    fn emit(entries: &[Entry<'_>]) -> Result<Vec<u8>, Error> {
        let builder = Builder {
            entries,
            page: PAGE,
        };
        let mut out = vec![0xff; builder.emitted_len() + 1];
        let len = builder.emit(&mut out)?;
        assert_eq!((len, out[len]), (out.len() - 1, 0xff));
        out.truncate(len);
        Ok(out)
    }

    #[test]
    fn every_kind_of_line_is_the_kernels() {
        let entries = [
            Entry::OsRelease("6.1.0-56-cloud-amd64"),
            Entry::BuildId(&[0x3b, 0x43, 0x0a]),
            Entry::PageSize(PAGE),
            Entry::Symbol {
                name: "_stext",
                address: 0xffff_ffff_a680_0000,
            },
            Entry::Size {
                name: "page",
                bytes: 64,
            },
            Entry::Offset {
                name: "page.flags",
                bytes: 0,
            },
            Entry::Length {
                name: "zone.free_area",
                elements: 11,
            },
            Entry::Number {
                name: "phys_base",
                value: i64::MIN,
            },
            Entry::HexNumber {
                name: "KERNELPACMASK",
                value: 0xff7f << 48,
            },
            Entry::Config("X86_PAE"),
            Entry::KernelOffset(0x2580_0000),
            Entry::CrashTime(1_795_391_635),
            Entry::Other {
                key: "X",
                value: "a=b",
            },
        ];
        assert_eq!(
            str::from_utf8(&emit(&entries).unwrap()).unwrap(),
            "OSRELEASE=6.1.0-56-cloud-amd64\nBUILD-ID=3b430a\nPAGESIZE=4096\n\
             SYMBOL(_stext)=ffffffffa6800000\nSIZE(page)=64\nOFFSET(page.flags)=0\n\
             LENGTH(zone.free_area)=11\nNUMBER(phys_base)=-9223372036854775808\n\
             NUMBER(KERNELPACMASK)=0xff7f000000000000\nCONFIG_X86_PAE=y\nKERNELOFFSET=25800000\n\
             CRASHTIME=1795391635\nX=a=b\n"
        );
    }

    #[test]
    fn a_line_of_79_bytes_fits_and_one_of_80_does_not() {
        let release: String = core::iter::repeat_n('x', 79 - "OSRELEASE=\n".len()).collect();
        assert_eq!(emit(&[Entry::OsRelease(&release)]).unwrap().len(), LINE_MAX);
        let longer = release + "x";
        let entries = [Entry::KernelOffset(0), Entry::OsRelease(&longer)];
        let error = Error::BadEntry {
            index: 1,
            offset: 15,
            expected: LINE,
        };
        assert_eq!(emit(&entries), Err(error));
        assert_eq!(
            error.to_string(),
            "offset 0xf: VMCOREINFO entry 1: expected at most 79 bytes with the newline"
        );
    }

    #[test]
    fn a_key_that_comes_twice_is_read_where_it_comes_first() {
        let zero = Entry::Other {
            key: "PAGESIZE",
            value: "0",
        };
        let typed = Entry::PageSize(PAGE);
        let read = |entries: &[Entry<'_>]| {
            let text = emit(entries).unwrap();
            Vmcoreinfo::new(&text, 0).page_size().ok().flatten()
        };
        assert_eq!(read(&[typed, zero]), Some(PAGE));
        assert_eq!(read(&[zero, typed]), None);
    }

    #[test]
    fn a_text_of_a_page_fits_and_a_byte_more_does_not() {
        let line = Entry::Other {
            key: "0123456789abcde",
            value: "0123456789abcde",
        };
        let mut entries = vec![line; 128];
        assert_eq!(emit(&entries).unwrap().len(), 4096);
        entries.push(Entry::Other {
            key: "x",
            value: "",
        });
        let error = Error::BadEntry {
            index: 128,
            offset: 4096,
            expected: TEXT,
        };
        assert_eq!(emit(&entries), Err(error));
        let page = PageShift::SIZE_64K;
        let builder = Builder {
            entries: &entries,
            page,
        };
        assert_eq!(builder.emit(&mut [0; 5000]), Ok(4099));
    }

    #[test]
    fn words_that_would_be_another_line_are_refused() {
        let named = |name| Entry::Size { name, bytes: 1 };
        for (entry, expected) in [
            (named(""), KEY),
            (named("a=b"), KEY),
            (named("a\nb"), KEY),
            (Entry::Config("a\0"), KEY),
            (Entry::OsRelease("6.1\n"), VALUE),
            (Entry::OsRelease("6.1\r"), VALUE),
            (
                Entry::Other {
                    key: "k",
                    value: "\0",
                },
                VALUE,
            ),
            (
                Entry::Other {
                    key: "",
                    value: "v",
                },
                KEY,
            ),
        ] {
            let error = Error::BadEntry {
                index: 1,
                offset: 10,
                expected,
            };
            assert_eq!(emit(&[named("x"), entry]), Err(error), "{entry:?}");
        }
    }

    #[test]
    fn every_shorter_output_is_truncated() {
        let builder = Builder {
            entries: &[Entry::Config("NUMA"), Entry::CrashTime(7)],
            page: PAGE,
        };
        for len in 0..builder.emitted_len() {
            let mut out = [0xff; 64];
            let error = Error::Truncated {
                what: "VMCOREINFO text",
                offset: 0,
                needed: 26,
                available: len as u64,
            };
            assert_eq!(builder.emit(&mut out[..len]), Err(error));
            assert_eq!(out, [0xff; 64]);
        }
    }

    proptest! {
        /// What is written is read, whatever the names.
        #[test]
        fn what_is_built_is_read(
            lines in prop::collection::vec(("[^=\n\0]{1,12}", any::<u64>(), 0..7_u8), 0..20),
        ) {
            let entries: Vec<_> = lines.iter().map(|(name, value, kind)| {
                let (name, value) = (name.as_str(), *value);
                match kind {
                    0 => Entry::Symbol { name, address: value },
                    1 => Entry::Size { name, bytes: value },
                    2 => Entry::Offset { name, bytes: value },
                    3 => Entry::Length { name, elements: value },
                    4 => Entry::Number { name, value: i64::from_ne_bytes(value.to_ne_bytes()) },
                    5 => Entry::HexNumber { name, value },
                    _ => Entry::Config(name),
                }
            }).collect();
            let text = emit(&entries).unwrap();
            let info = Vmcoreinfo::new(&text, 0);
            prop_assert_eq!(info.lines().count(), entries.len());
            for entry in &entries {
                let line = std::format!("{entry}");
                let (key, _) = line.split_once('=').unwrap();
                let first = entries.iter().find(|other| {
                    std::format!("{other}").split_once('=').is_some_and(|(other, _)| other == key)
                });
                // The first line of a key counts, and Config may spell any other key.
                if first != Some(entry) {
                    continue;
                }
                match *entry {
                    Entry::Symbol { name, address } => prop_assert_eq!(info.symbol(name), Ok(Some(address))),
                    Entry::Size { name, bytes } => prop_assert_eq!(info.size(name), Ok(Some(bytes))),
                    Entry::Offset { name, bytes } => prop_assert_eq!(info.field_offset(name), Ok(Some(bytes))),
                    Entry::Length { name, elements } => prop_assert_eq!(info.length(name), Ok(Some(elements))),
                    Entry::Number { name, value } => prop_assert_eq!(info.number(name), Ok(Some(u64::from_ne_bytes(value.to_ne_bytes())))),
                    Entry::HexNumber { name, value } => prop_assert_eq!(info.number(name), Ok(Some(value))),
                    Entry::Config(name) => prop_assert!(info.config(name)),
                    _ => {}
                }
            }
        }
    }
}
