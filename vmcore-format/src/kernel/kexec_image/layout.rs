//! Where the fields of `struct kimage` are.
//!
//! ```text
//!  Linux        4.4         4.13        6.17
//!  nr_segments  word 6      word 7      word 7      vmcoreinfo_data_copy comes before it
//!  control_page word 77     word 78     word 94     segment_cma[16] comes before it
//! ```
//!
//! Source: `struct kimage` in Linux `include/linux/kexec.h`.

#![deny(clippy::arithmetic_side_effects)]

use physmem::{Endian, Width};

use super::SEGMENT_MAX;
use crate::{
    Dump, Error, Field, ReadAt,
    kernel::{
        btf::{Btf, Kind},
        word_width,
    },
};

/// Words of `struct kexec_segment`.
const SEGMENT_WORDS: usize = 4;

const WORD: Field = Field {
    name: "size of kimage.head in the types",
    allowed: "4 or 8 bytes",
};
const OFFSET: Field = Field {
    name: "place of a field of struct kimage in the types, in bits",
    allowed: "whole bytes, less than 0x80000 bits",
};
const FLAG: Field = Field {
    name: "place of preserve_context or file_mode of struct kimage in the types, in bits",
    allowed: "the bits behind type, in this order",
};

/// Where the fields of `struct kimage` are, in bytes from its start, and what its words are.
///
/// VMCOREINFO does not tell that. The kernel's types do ([`Layout::of_types`]), where it has them; else
/// the constructors are the layouts that Linux has had, and for a kernel that was changed the fields are
/// to be set from its debug information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Width of `unsigned long`.
    pub width: Width,
    /// Byte order.
    pub endian: Endian,
    /// `head`
    pub head: u16,
    /// `start`
    pub start: u16,
    /// `control_code_page`
    pub control_code_page: u16,
    /// `nr_segments`
    pub nr_segments: u16,
    /// `segment`
    pub segment: u16,
    /// `control_page`
    pub control_page: u16,
    /// The `unsigned int` whose first bits are `type`, `preserve_context` and `file_mode`.
    pub flags: u16,
}

impl Layout {
    /// Linux 4.4 to 4.12.
    pub const fn before_4_13(width: Width, endian: Endian) -> Self {
        Self::of_words(width, endian, 6, 77)
    }

    /// Linux 4.13 to 6.16.
    pub const fn since_4_13(width: Width, endian: Endian) -> Self {
        Self::of_words(width, endian, 7, 78)
    }

    /// Linux 6.17 and later.
    pub const fn since_6_17(width: Width, endian: Endian) -> Self {
        Self::of_words(width, endian, 7, 94)
    }

    /// `segment` follows `nr_segments`, and the flags follow `control_page`.
    const fn of_words(width: Width, endian: Endian, nr_segments: u16, control_page: u16) -> Self {
        let word: u16 = match width {
            Width::U32 => 4,
            Width::U64 => 8,
        };
        // Saturating, all of these: cannot, as the structure has about a hundred words.
        Self {
            width,
            endian,
            head: 0,
            start: word.saturating_mul(3),
            control_code_page: word.saturating_mul(4),
            nr_segments: word.saturating_mul(nr_segments),
            segment: word.saturating_mul(nr_segments.saturating_add(1)),
            control_page: word.saturating_mul(control_page),
            flags: word.saturating_mul(control_page.saturating_add(1)),
        }
    }

    /// The layout of a release such as `6.1.0-56-cloud-amd64`; `None` if that is no version, or one
    /// before 4.4.
    pub fn of_release(release: &str, width: Width, endian: Endian) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse::<u32>().ok();
        match (number()?, number()?) {
            (..4, _) | (4, ..4) => None,
            (4, ..13) => Some(Self::before_4_13(width, endian)),
            (..6, _) | (6, ..17) => Some(Self::since_4_13(width, endian)),
            _ => Some(Self::since_6_17(width, endian)),
        }
    }

    /// The layout that the kernel's own types tell.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] for types without `struct kimage` or one of these fields, such as those of a kernel
    /// without `CONFIG_KEXEC_CORE`; [`Error::BadValue`] for a field that is where none can be, and
    /// for damaged types.
    pub fn of_types(types: &Btf<'_>) -> Result<Self, Error> {
        let kimage = types.find(Kind::STRUCT, b"kimage").ok_or(Error::Missing {
            what: "struct kimage in its types",
        })?;
        let bad = |field, value| Error::BadValue {
            field,
            at: types.at(),
            value,
        };
        let member = |name: &str, what| {
            let found = types.member(kimage, name.as_bytes())?;
            found.ok_or(Error::Missing { what })
        };
        let bits = |name, what| member(name, what).map(|member| member.bit_offset);
        let bytes = |bits: u64| match u16::try_from(bits >> 3) {
            Ok(offset) if bits.trailing_zeros() >= 3 => Ok(offset),
            _ => Err(bad(&OFFSET, bits)),
        };
        let offset = |name, what| bits(name, what).and_then(bytes);

        let head = member("head", "kimage.head in its types")?;
        let width = match types.size(head.kind)? {
            4 => Width::U32,
            8 => Width::U64,
            size => return Err(bad(&WORD, size.into())),
        };
        let kind = bits("type", "kimage.type in its types")?;
        let others = [
            ("preserve_context", "kimage.preserve_context in its types"),
            ("file_mode", "kimage.file_mode in its types"),
        ];
        for ((name, what), distance) in others.into_iter().zip(1..) {
            let bit = bits(name, what)?;
            if bit.checked_sub(kind) != Some(distance) {
                return Err(bad(&FLAG, bit));
            }
        }
        Ok(Self {
            width,
            endian: types.endian(),
            head: bytes(head.bit_offset)?,
            start: offset("start", "kimage.start in its types")?,
            control_code_page: offset(
                "control_code_page",
                "kimage.control_code_page in its types",
            )?,
            nr_segments: offset("nr_segments", "kimage.nr_segments in its types")?,
            segment: offset("segment", "kimage.segment in its types")?,
            control_page: offset("control_page", "kimage.control_page in its types")?,
            flags: bytes(kind)?,
        })
    }

    /// The layout of a dump's kernel, by the release in VMCOREINFO.
    ///
    /// # Errors
    ///
    /// [`Error::NoVmcoreinfo`] and [`Error::Missing`] for a dump that does not tell its release, or for one that is not known;
    /// else as [`Dump::vmcoreinfo`].
    pub fn of<S: ReadAt>(dump: &Dump<S>) -> Result<Self, Error> {
        let info = dump.vmcoreinfo()?.ok_or(Error::NoVmcoreinfo)?;
        let release = info.os_release()?.ok_or(Error::Missing {
            what: "OSRELEASE in VMCOREINFO",
        })?;
        Self::of_release(release, word_width(dump), dump.endian()).ok_or(Error::Missing {
            what: "OSRELEASE of Linux 4.4 or later, whose struct kimage is known",
        })
    }

    /// How much of the structure holds all of these fields, in bytes.
    pub fn byte_len(&self) -> usize {
        let word = self.width.bytes();
        // Saturating, both: cannot, as an offset has 16 bits, and the segments are of 512 bytes at most.
        let segments = word.saturating_mul(SEGMENT_MAX * SEGMENT_WORDS);
        let ends = [
            (self.head, word),
            (self.start, word),
            (self.control_code_page, word),
            (self.nr_segments, word),
            (self.segment, segments),
            (self.control_page, word),
            (self.flags, Width::U32.bytes()),
        ]
        .map(|(offset, len)| usize::from(offset).saturating_add(len));
        ends.into_iter().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "tests")]

    use std::vec::Vec;

    use physmem::VirtAddr;

    use super::*;
    use crate::kernel::btf::tests::Made;

    type Constructor = fn(Width, Endian) -> Layout;

    const AT: VirtAddr = VirtAddr::new(0xffff_ffff_8100_0000);

    /// Types with a `struct kimage` of these fields; the number is of bits.
    fn types(word: u32, fields: &[(&str, u32)]) -> Vec<u8> {
        let mut made = Made::new();
        let long = made.integer("unsigned long", word);
        let entry = made.add(8, false, "kimage_entry_t", long.0, &[]);
        let flag = made.integer("unsigned int", 4);
        let members: Vec<_> = fields
            .iter()
            .map(|(name, bit)| match *name {
                "head" => made.member(name, entry, *bit),
                "type" | "preserve_context" | "file_mode" => made.member(name, flag, 1 << 24 | bit),
                _ => made.member(name, long, *bit),
            })
            .collect();
        made.add(4, true, "kimage", 0x400, &members);
        made.bytes()
    }

    fn told(bytes: &[u8]) -> Result<Layout, Error> {
        Layout::of_types(&Btf::parse(bytes, AT, Endian::Little).unwrap())
    }

    /// As no Linux has them.
    const FIELDS: [(&str, u32); 10] = [
        ("start", 0),
        ("head", 64),
        ("segment", 128),
        ("control_page", 4224),
        ("control_code_page", 4288),
        ("other", 4352),
        ("nr_segments", 4416),
        ("type", 4480),
        ("preserve_context", 4481),
        ("file_mode", 4482),
    ];

    #[test]
    fn types_tell_where_fields_are() {
        let expected = Layout {
            width: Width::U64,
            endian: Endian::Little,
            head: 8,
            start: 0,
            control_code_page: 536,
            nr_segments: 552,
            segment: 16,
            control_page: 528,
            flags: 560,
        };
        assert_eq!(told(&types(8, &FIELDS)), Ok(expected));
        let expected = Layout {
            width: Width::U32,
            ..expected
        };
        assert_eq!(told(&types(4, &FIELDS)), Ok(expected));
    }

    #[test]
    fn a_field_that_types_lack_is_named() {
        for (name, _) in FIELDS.iter().filter(|(name, _)| *name != "other") {
            let others = FIELDS.iter().filter(|(other, _)| other != name);
            let error = told(&types(8, &others.copied().collect::<Vec<_>>())).unwrap_err();
            assert_eq!(
                std::format!("{error}"),
                std::format!("the dump has no kimage.{name} in its types")
            );
        }
        let none = Made::new().bytes();
        let missing = Error::Missing {
            what: "struct kimage in its types",
        };
        assert_eq!(told(&none), Err(missing));
    }

    #[test]
    fn a_field_where_none_can_be_is_named() {
        let error = |word, name, bit| {
            let moved = FIELDS.map(|field| if field.0 == name { (name, bit) } else { field });
            match told(&types(word, &moved)) {
                Err(Error::BadValue { field, at, value }) => (field.name, at, value),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(error(2, "head", 64), (WORD.name, AT, 2));
        assert_eq!(error(8, "start", 4), (OFFSET.name, AT, 4));
        assert_eq!(error(8, "start", 0x80000), (OFFSET.name, AT, 0x80000));
        assert_eq!(error(8, "file_mode", 4483), (FLAG.name, AT, 4483));
        assert_eq!(error(8, "preserve_context", 4479), (FLAG.name, AT, 4479));
    }

    #[test]
    fn releases_have_their_layout() {
        let layout = |release| Layout::of_release(release, Width::U64, Endian::Little);
        let of = |layout: Constructor| Some(layout(Width::U64, Endian::Little));
        for (release, expected) in [
            ("2.6.32-754.el6.x86_64", None),
            ("4.3.6", None),
            ("4.4.302", of(Layout::before_4_13)),
            ("4.12.14-122", of(Layout::before_4_13)),
            ("4.13.0", of(Layout::since_4_13)),
            ("5.19.0+", of(Layout::since_4_13)),
            ("6.1.0-56-cloud-amd64", of(Layout::since_4_13)),
            ("6.16.12", of(Layout::since_4_13)),
            ("6.17-rc1", of(Layout::since_6_17)),
            ("7.0.0", of(Layout::since_6_17)),
            ("6", None),
            ("next-20261120", None),
            ("", None),
        ] {
            assert_eq!(layout(release), expected, "{release}");
        }
    }
}
