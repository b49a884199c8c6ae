//! BTF: the kernel's types, in its own memory.
//!
//! ```text
//!  header   magic eb9f │ version 1 │ flags │ hdr_len │ type_off │ type_len │ str_off │ str_len
//!  types    │ name_off │ kind_flag:1 … kind:5 … vlen:16 │ size or type │ members, values … │ …     numbered from 1
//!  strings  "\0page\0flags\0…"
//! ```
//!
//! Kernels with `CONFIG_DEBUG_INFO_BTF` hold it between `__start_BTF` and `__stop_BTF`, which kallsyms
//! finds. Types are numbered in their order and refer to each other by number.
//!
//! Source: include/uapi/linux/btf.h, Documentation/bpf/btf.rst.

#![deny(clippy::arithmetic_side_effects)]

mod section;

use alloc::vec::Vec;

use physmem::{Endian, VirtAddr};

pub use self::section::Section;
use crate::{Error, Field};

/// `BTF_MAGIC`.
const MAGIC: u64 = 0xeb9f;

/// Nested members, typedefs and the like go no deeper (`MAX_RESOLVE_DEPTH` of kernel/bpf/btf.c).
const MAX_DEPTH: usize = 32;

const BTF_MAGIC: Field = Field {
    name: "btf_header.magic",
    allowed: "0xeb9f",
};
const SECTIONS: Field = Field {
    name: "btf_header.type_len or str_len",
    allowed: "what fits between __start_BTF and __stop_BTF",
};
const KIND: Field = Field {
    name: "kind in btf_type.info",
    allowed: "1 to 19, with all of what belongs to it",
};
const TYPE: Field = Field {
    name: "type in btf_member or btf_type",
    allowed: "the number of a type that is there, and no circle of them",
};

/// What a type is. Numbers that are not named here are of later kernels, or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// `BTF_KIND_STRUCT`.
    pub const STRUCT: Self = Self(4);
    /// `BTF_KIND_UNION`.
    pub const UNION: Self = Self(5);
    /// `BTF_KIND_ENUM`: values of up to 32 bits.
    pub const ENUM: Self = Self(6);
    /// `BTF_KIND_TYPEDEF`.
    pub const TYPEDEF: Self = Self(8);
    /// `BTF_KIND_ENUM64`, since Linux 6.0.
    pub const ENUM64: Self = Self(19);

    /// Bytes that follow the type's 12, with `vlen` elements.
    fn extra(self, vlen: u16) -> Option<u64> {
        let of_elements = |size: u16| Some(u64::from(vlen).saturating_mul(size.into()));
        match self.0 {
            // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
            2 | 7..=12 | 16 | 18 => Some(0),
            // Integer, variable, declaration tag.
            1 | 14 | 17 => Some(4),
            // Array.
            3 => Some(12),
            // Struct, union, data section, 64-bit enum.
            4 | 5 | 15 | 19 => of_elements(12),
            // Enum, function prototype.
            6 | 13 => of_elements(8),
            _ => None,
        }
    }

    /// Typedef, volatile, const, restrict, type tag: another type by another name.
    fn is_alias(self) -> bool {
        matches!(self.0, 8..=11 | 18)
    }
}

/// The number of a type; 0 is `void`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(pub u32);

/// A member of a structure or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Where it is, in bits from the beginning of the outermost structure.
    pub bit_offset: u64,
    /// How many bits a bit field has; `None` for other members.
    pub bits: Option<u8>,
    /// Its type.
    pub kind: Id,
}

/// A value of an enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enumerator<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The value; a negative one as two's complement.
    pub value: u64,
}

/// Types, checked once: each is of a kind that is known and lies within the section.
#[derive(Debug, Clone)]
pub struct Btf<'a> {
    bytes: &'a [u8],
    at: VirtAddr,
    endian: Endian,
    strings: &'a [u8],
    /// Where each type begins in `bytes`, from number 1 on.
    types: Vec<u32>,
}

/// What all types begin with.
#[derive(Debug, Clone, Copy)]
struct Type<'a> {
    id: Id,
    kind: Kind,
    flag: bool,
    name: &'a [u8],
    /// A size in bytes, or a type.
    size_or_type: u32,
    /// Where it begins in the section, and what follows its head.
    offset: u64,
    extra: &'a [u8],
}

impl<'a> Btf<'a> {
    /// Checks a section; `at` is where it was, for errors.
    ///
    /// # Errors
    ///
    /// [`Error::BadValue`] for what is not BTF, and for a type that is not known or not all there.
    pub fn parse(bytes: &'a [u8], at: VirtAddr, endian: Endian) -> Result<Self, Error> {
        let mut btf = Self {
            bytes,
            at,
            endian,
            strings: &[],
            types: Vec::new(),
        };
        let header = |offset| btf.u32(bytes, offset).map(u64::from);
        let magic = match (endian, bytes.first_chunk()) {
            (Endian::Little, Some(magic)) => u16::from_le_bytes(*magic).into(),
            (Endian::Big, Some(magic)) => u16::from_be_bytes(*magic).into(),
            (_, None) => 0,
        };
        if magic != MAGIC {
            return Err(btf.bad(&BTF_MAGIC, 0, magic));
        }
        let too_long = |offset, value: u64| btf.bad(&SECTIONS, offset, value);
        let words = [4, 8, 12, 16, 20].map(header);
        let [
            Some(hdr_len),
            Some(type_off),
            Some(type_len),
            Some(str_off),
            Some(str_len),
        ] = words
        else {
            return Err(too_long(12, 0));
        };
        // Four times 32 bits.
        let part = |offset: u64, len: u64| {
            let begin = hdr_len.saturating_add(offset);
            let range =
                usize::try_from(begin).ok()?..usize::try_from(begin.saturating_add(len)).ok()?;
            bytes.get(range)
        };
        let types = part(type_off, type_len).ok_or_else(|| too_long(12, type_len))?;
        btf.strings = part(str_off, str_len).ok_or_else(|| too_long(20, str_len))?;
        let first = hdr_len.saturating_add(type_off);
        btf.index(first, first.saturating_add(types.len() as u64))?;
        Ok(btf)
    }

    fn index(&mut self, first: u64, end: u64) -> Result<(), Error> {
        let mut offset = first;
        while offset < end {
            let place = u32::try_from(offset).ok();
            let info = usize::try_from(offset)
                .ok()
                .and_then(|at| self.bytes.get(at..))
                .and_then(|bytes| self.u32(bytes, 4));
            let next = info.and_then(|info| {
                let [low, high, _, kind] = info.to_le_bytes();
                let extra = Kind(kind & 0x1f).extra(u16::from_le_bytes([low, high]))?;
                offset.checked_add(12)?.checked_add(extra)
            });
            match (place, next) {
                (Some(place), Some(next)) if next <= end => {
                    self.types.push(place);
                    offset = next;
                }
                _ => {
                    return Err(self.bad(
                        &KIND,
                        offset.saturating_add(4),
                        info.unwrap_or(0).into(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Where the section was.
    pub(super) fn at(&self) -> VirtAddr {
        self.at
    }

    pub(super) fn endian(&self) -> Endian {
        self.endian
    }

    /// How many types there are, `void` not counted.
    pub fn count(&self) -> usize {
        self.types.len()
    }

    /// The first type of this kind and name. Takes a look at each.
    pub fn find(&self, kind: Kind, name: &[u8]) -> Option<Id> {
        let ids = (1..).map(Id).take(self.types.len());
        let mut types = ids.filter_map(|id| self.get(id));
        types
            .find(|it| it.kind == kind && it.name == name)
            .map(|it| it.id)
    }

    /// The name of a type; empty for one that has none or is not there.
    pub fn name(&self, id: Id) -> &'a [u8] {
        self.get(id).map_or(&[], |it| it.name)
    }

    /// The kind of a type, if it is there.
    pub fn kind(&self, id: Id) -> Option<Kind> {
        self.get(id).map(|it| it.kind)
    }

    /// The size of a structure, union, enum or integer in bytes, whatever it is called.
    ///
    /// # Errors
    ///
    /// [`Error::BadValue`] for a type that leads nowhere or in circles, and for one without a size.
    pub fn size(&self, id: Id) -> Result<u32, Error> {
        let found = self.resolve(id)?;
        match found.kind.0 {
            1 | 4..=6 | 15 | 16 | 19 => Ok(found.size_or_type),
            _ => Err(self.bad_type(&found)),
        }
    }

    /// The member of this name of a structure or union, or of those that are in it without a name.
    ///
    /// # Errors
    ///
    /// [`Error::BadValue`] for a type that leads nowhere or in circles.
    pub fn member(&self, id: Id, name: &[u8]) -> Result<Option<Member>, Error> {
        // Each structure without a name is in one place, so no more members than all are looked at.
        let mut budget = self.bytes.len();
        let mut structures = Vec::from([(id, 0_u64)]);
        while let Some((id, base)) = structures.pop() {
            let structure = self.resolve(id)?;
            if structure.kind != Kind::STRUCT && structure.kind != Kind::UNION {
                continue;
            }
            for member in structure.extra.chunks_exact(12) {
                let word = |offset| self.u32(member, offset).unwrap_or_default();
                budget = budget
                    .checked_sub(12)
                    .ok_or_else(|| self.bad_type(&structure))?;
                let (bit_offset, bits) = match structure.flag {
                    true => (word(8) & 0xff_ffff, word(8).to_be_bytes()[0]),
                    false => (word(8), 0),
                };
                // At most as many times 32 bits as there are members.
                let bit_offset = base.saturating_add(bit_offset.into());
                let (found, kind) = (self.string(word(0)), Id(word(4)));
                if found == name && !name.is_empty() {
                    return Ok(Some(Member {
                        bit_offset,
                        bits: (bits > 0).then_some(bits),
                        kind,
                    }));
                }
                if found.is_empty() && bits == 0 {
                    structures.push((kind, bit_offset));
                }
            }
        }
        Ok(None)
    }

    /// The values of an enum.
    ///
    /// # Errors
    ///
    /// [`Error::BadValue`] for a type that leads nowhere or in circles, and for one that is no enum.
    pub fn enumerators(&self, id: Id) -> Result<impl Iterator<Item = Enumerator<'a>>, Error> {
        let found = self.resolve(id)?;
        let size = match found.kind {
            Kind::ENUM => 8,
            Kind::ENUM64 => 12,
            _ => return Err(self.bad_type(&found)),
        };
        let (strings, endian) = (self.strings, self.endian);
        Ok(found.extra.chunks_exact(size).map(move |value| {
            let word = |offset| decode(value, offset, endian).unwrap_or_default();
            let low = word(4);
            let high = match size {
                12 => word(8),
                // The sign.
                _ if found.flag && low >> 31 != 0 => u32::MAX,
                _ => 0,
            };
            Enumerator {
                name: string(strings, word(0)),
                value: u64::from(high) << 32 | u64::from(low),
            }
        }))
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, id: Id) -> Result<Type<'a>, Error> {
        let mut next = id;
        let mut before = None;
        for _ in 0..MAX_DEPTH {
            let found = match self.get(next) {
                Some(found) => found,
                None => break,
            };
            if !found.kind.is_alias() {
                return Ok(found);
            }
            before = Some(found);
            next = Id(found.size_or_type);
        }
        let offset = before.map_or(0, |found: Type<'_>| found.offset.saturating_add(8));
        Err(self.bad(&TYPE, offset, next.0.into()))
    }

    fn get(&self, id: Id) -> Option<Type<'a>> {
        let index = usize::try_from(id.0).ok()?.checked_sub(1)?;
        let offset = *self.types.get(index)?;
        let bytes = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let (head, extra) = bytes.split_at_checked(12)?;
        let info = self.u32(head, 4)?;
        let [low, high, _, kind] = info.to_le_bytes();
        let vlen = u16::from_le_bytes([low, high]);
        let kind = Kind(kind & 0x1f);
        let extra = extra.get(..usize::try_from(kind.extra(vlen)?).ok()?)?;
        Some(Type {
            id,
            kind,
            flag: info >> 31 != 0,
            name: self.string(self.u32(head, 0)?),
            size_or_type: self.u32(head, 8)?,
            offset: offset.into(),
            extra,
        })
    }

    fn string(&self, offset: u32) -> &'a [u8] {
        string(self.strings, offset)
    }

    fn u32(&self, bytes: &[u8], offset: usize) -> Option<u32> {
        decode(bytes, offset, self.endian)
    }

    fn bad_type(&self, found: &Type<'_>) -> Error {
        self.bad(&TYPE, found.offset, found.id.0.into())
    }

    fn bad(&self, field: &'static Field, offset: u64, value: u64) -> Error {
        Error::BadValue {
            field,
            // A section that was read lies in the address space.
            at: self.at.checked_add(offset).unwrap_or(self.at),
            value,
        }
    }
}

/// The string at an offset; empty outside of them.
fn string(strings: &[u8], offset: u32) -> &[u8] {
    let strings = usize::try_from(offset)
        .ok()
        .and_then(|at| strings.get(at..));
    let mut strings = strings.unwrap_or_default().split(|byte| *byte == 0);
    strings.next().unwrap_or_default()
}

fn decode(bytes: &[u8], offset: usize, endian: Endian) -> Option<u32> {
    let bytes = *bytes.get(offset..)?.first_chunk()?;
    Some(match endian {
        Endian::Little => u32::from_le_bytes(bytes),
        Endian::Big => u32::from_be_bytes(bytes),
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
pub(super) mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    /// A section made by hand.
    #[derive(Default)]
    pub(crate) struct Made {
        types: Vec<u8>,
        strings: Vec<u8>,
        count: u32,
    }

    impl Made {
        pub(crate) fn new() -> Self {
            Self {
                strings: vec![0],
                ..Self::default()
            }
        }

        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len();
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            at.try_into().unwrap()
        }

        fn words(&mut self, words: &[u32]) {
            for word in words {
                self.types.extend(word.to_le_bytes());
            }
        }

        /// A type with `elements` behind it.
        pub(crate) fn add(
            &mut self,
            kind: u8,
            flag: bool,
            name: &str,
            size_or_type: u32,
            elements: &[Vec<u32>],
        ) -> Id {
            let vlen = u32::try_from(elements.len()).unwrap();
            let info = u32::from(flag) << 31 | u32::from(kind) << 24 | vlen;
            let name = self.name(name);
            self.words(&[name, info, size_or_type]);
            for element in elements {
                self.words(element);
            }
            self.count += 1;
            Id(self.count)
        }

        pub(crate) fn integer(&mut self, name: &str, size: u32) -> Id {
            let integer = self.add(1, false, name, size, &[]);
            self.words(&[size * 8]);
            integer
        }

        pub(crate) fn member(&mut self, name: &str, kind: Id, offset: u32) -> Vec<u32> {
            vec![self.name(name), kind.0, offset]
        }

        pub(crate) fn bytes(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len(), self.strings.len());
            let mut bytes = vec![0x9f, 0xeb, 1, 0];
            for word in [24, 0, types, types, strings] {
                bytes.extend(u32::try_from(word).unwrap().to_le_bytes());
            }
            bytes.extend(&self.types);
            bytes.extend(&self.strings);
            bytes
        }
    }

    const AT: VirtAddr = VirtAddr::new(0xffff_ffff_8100_0000);

    fn parse(bytes: &[u8]) -> Result<Btf<'_>, Error> {
        Btf::parse(bytes, AT, Endian::Little)
    }

    /// struct page { ulong flags; union { struct { ulong lru, mapping; }; struct { ulong head; }; };
    /// unsigned a:3, b:5; page_t *next }, a typedef of it, and enums.
    fn page() -> Vec<u8> {
        let mut made = Made::new();
        let long = made.integer("unsigned long", 8);
        let members = [
            made.member("lru", long, 0),
            made.member("mapping", long, 64),
        ];
        let file = made.add(4, false, "", 16, &members);
        let members = [made.member("head", long, 0)];
        let tail = made.add(4, false, "", 8, &members);
        let members = [made.member("", file, 0), made.member("", tail, 0)];
        let either = made.add(5, false, "", 16, &members);
        let members = [
            made.member("flags", long, 0),
            made.member("", either, 64),
            made.member("a", long, 3 << 24 | 192),
            made.member("b", long, 5 << 24 | 195),
        ];
        // With the flag, offsets have the size of a bit field in their highest byte.
        let page = made.add(4, true, "page", 32, &members);
        let constant = made.add(10, false, "", page.0, &[]);
        made.add(8, false, "page_t", constant.0, &[]);
        let values = [
            vec![made.name("PG_locked"), 0],
            vec![made.name("PG_lru"), 5],
        ];
        made.add(6, false, "pageflags", 4, &values);
        let values = [
            vec![made.name("minus"), u32::MAX],
            vec![made.name("one"), 1],
        ];
        made.add(6, true, "signed", 4, &values);
        let values = [vec![made.name("wide"), 2, 1]];
        made.add(19, false, "sixty_four", 8, &values);
        made.bytes()
    }

    #[test]
    fn members_are_found_through_those_without_a_name() {
        let bytes = page();
        let btf = parse(&bytes).unwrap();
        assert_eq!(btf.count(), 10);
        let page = btf.find(Kind::STRUCT, b"page").unwrap();
        let at = |id, name: &[u8]| {
            let member = btf.member(id, name).unwrap()?;
            Some((member.bit_offset, member.bits))
        };
        for id in [page, btf.find(Kind::TYPEDEF, b"page_t").unwrap()] {
            assert_eq!(at(id, b"flags"), Some((0, None)));
            assert_eq!(at(id, b"lru"), Some((64, None)));
            assert_eq!(at(id, b"mapping"), Some((128, None)));
            assert_eq!(at(id, b"head"), Some((64, None)));
            assert_eq!(at(id, b"b"), Some((195, Some(5))));
            assert_eq!(at(id, b"nothing"), None);
            assert_eq!(at(id, b""), None);
            assert_eq!(btf.size(id), Ok(32));
        }
        assert_eq!(btf.find(Kind::UNION, b"page"), None);
        let flags = btf.member(page, b"flags").unwrap().unwrap();
        assert_eq!(btf.name(flags.kind), b"unsigned long");
        assert_eq!(btf.kind(flags.kind), Some(Kind(1)));
        assert_eq!((btf.name(Id(0)), btf.kind(Id(11))), (&b""[..], None));
    }

    #[test]
    fn values_of_enums_of_each_width_and_sign() {
        let bytes = page();
        let btf = parse(&bytes).unwrap();
        let values = |kind, name: &[u8]| -> Vec<_> {
            let id = btf.find(kind, name).unwrap();
            let values = btf.enumerators(id).unwrap();
            values.map(|it| (it.name, it.value)).collect()
        };
        assert_eq!(
            values(Kind::ENUM, b"pageflags"),
            [(&b"PG_locked"[..], 0), (b"PG_lru", 5)]
        );
        assert_eq!(
            values(Kind::ENUM, b"signed"),
            [(&b"minus"[..], u64::MAX), (b"one", 1)]
        );
        assert_eq!(
            values(Kind::ENUM64, b"sixty_four"),
            [(&b"wide"[..], 1 << 32 | 2)]
        );
        let page = btf.find(Kind::STRUCT, b"page").unwrap();
        assert!(btf.enumerators(page).is_err());
    }

    #[test]
    fn circles_end() {
        // A typedef of itself, and a structure that is twice in itself without a name.
        let mut made = Made::new();
        let alias = made.add(8, false, "circle", 1, &[]);
        let members = [made.member("", Id(2), 0), made.member("", Id(2), 8)];
        let structure = made.add(4, false, "circle", 4, &members);
        let bytes = made.bytes();
        let btf = parse(&bytes).unwrap();
        for error in [
            btf.size(alias).unwrap_err(),
            btf.member(alias, b"x").unwrap_err(),
            btf.member(structure, b"x").unwrap_err(),
            btf.size(Id(7)).unwrap_err(),
        ] {
            assert!(matches!(error, Error::BadValue { field, .. } if field.name == TYPE.name));
        }
    }

    #[test]
    fn broken_sections_are_named_where_they_are() {
        let sound = page();
        let refused = |at: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[at] = byte;
            match parse(&bytes) {
                Err(Error::BadValue { field, at, .. }) => (field.name, at.as_u64() - AT.as_u64()),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(0, 0), (BTF_MAGIC.name, 0));
        assert_eq!(refused(15, 1), (SECTIONS.name, 12));
        assert_eq!(refused(23, 1), (SECTIONS.name, 20));
        // A kind that is none, one more element than there is.
        assert_eq!(refused(24 + 7, 20), (KIND.name, 28));
        assert_eq!(refused(24 + 7, 0), (KIND.name, 28));
        assert!(parse(&sound[..23]).is_err() && parse(&[]).is_err());
        assert!(Btf::parse(&sound, AT, Endian::Big).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_broken_every_question_has_an_answer(
            breaks in prop::collection::vec((0..400_usize, any::<u8>()), 0..6),
        ) {
            let mut bytes = page();
            for (at, byte) in breaks {
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = byte;
                }
            }
            if let Ok(btf) = parse(&bytes) {
                for id in (0..=20).map(Id) {
                    let _ = (btf.size(id), btf.kind(id), btf.name(id));
                    let _ = btf.member(id, b"head");
                    if let Ok(values) = btf.enumerators(id) {
                        prop_assert!(values.count() <= bytes.len() / 8);
                    }
                }
            }
        }
    }
}
