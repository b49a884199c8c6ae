//! The numbers that VMCOREINFO tells of the kernel's structures, checked before they lead anywhere.
//!
//! ```text
//! SIZE(printk_info)=88                not 0
//! OFFSET(printk_info.ts_nsec)=8       less than the SIZE of what is before the dot, where that is told
//! SYMBOL(kallsyms_num_syms)=ffff…a4   aligned, where the reader asks for it
//! ```

#![deny(clippy::arithmetic_side_effects)]

use crate::{Error, Field, Vmcoreinfo};

/// The number that VMCOREINFO tells under a key, which is named where it is missing or cannot be.
macro_rules! told {
    ($info:expr, $kind:ident($name:literal $(, align $align:expr)?)) => {
        told_if!($info, $kind($name $(, align $align)?)).and_then(|told| {
            told.ok_or($crate::Error::Missing {
                what: concat!(stringify!($kind), "(", $name, ") in VMCOREINFO"),
            })
        })
    };
}

/// The same, `None` where it is missing.
macro_rules! told_if {
    ($info:expr, $kind:ident($name:literal $(, align $align:expr)?)) => {
        checked!($info, $kind($name $(, align $align)?)).map_err($crate::kernel::told::named(
            concat!("VMCOREINFO ", stringify!($kind), "(", $name, ")"),
        ))
    };
}

macro_rules! checked {
    ($info:expr, SYMBOL($name:literal)) => {
        $info.symbol($name)
    };
    ($info:expr, SYMBOL($name:literal, align $align:expr)) => {
        $crate::kernel::told::aligned(
            $info,
            $name,
            $align,
            field!(
                "SYMBOL(",
                $name,
                "a multiple of what its type is aligned to"
            ),
        )
    };
    ($info:expr, SIZE($name:literal)) => {
        $crate::kernel::told::size($info, $name, field!("SIZE(", $name, "1 or more"))
    };
    ($info:expr, OFFSET($name:literal)) => {
        $crate::kernel::told::offset(
            $info,
            $name,
            field!("OFFSET(", $name, "less than the SIZE of its structure"),
        )
    };
    ($info:expr, LENGTH($name:literal)) => {
        $info.length($name)
    };
    ($info:expr, NUMBER($name:literal)) => {
        $info.number($name)
    };
}

macro_rules! field {
    ($kind:literal, $name:literal, $allowed:literal) => {
        &$crate::Field {
            name: concat!("VMCOREINFO ", $kind, $name, ")"),
            allowed: $allowed,
        }
    };
}

/// The error of a look-up, which knows the kind of a key only, with the whole key.
pub(super) fn named(key: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::BadText {
            offset, expected, ..
        } => Error::BadText {
            what: key,
            offset,
            expected,
        },
        error => error,
    }
}

/// `SYMBOL(name)`, the address of what is aligned to `align` bytes.
pub(super) fn aligned(
    info: &Vmcoreinfo<'_>,
    name: &str,
    align: u64,
    field: &'static Field,
) -> Result<Option<u64>, Error> {
    match info.symbol(name)? {
        Some(symbol) if symbol.checked_rem(align) != Some(0) => {
            Err(info.refused(&["SYMBOL(", name, ")="], field, symbol))
        }
        symbol => Ok(symbol),
    }
}

/// `SIZE(name)`.
pub(super) fn size(
    info: &Vmcoreinfo<'_>,
    name: &str,
    field: &'static Field,
) -> Result<Option<u64>, Error> {
    match info.size(name)? {
        Some(0) => Err(info.refused(&["SIZE(", name, ")="], field, 0)),
        size => Ok(size),
    }
}

/// `OFFSET(name)`, where `name` is a structure and its field.
pub(super) fn offset(
    info: &Vmcoreinfo<'_>,
    name: &str,
    field: &'static Field,
) -> Result<Option<u64>, Error> {
    let size = match name.split_once('.') {
        Some((structure, _)) => info.size(structure)?,
        None => None,
    };
    match info.field_offset(name)? {
        Some(offset) if size.is_some_and(|size| offset >= size) => {
            Err(info.refused(&["OFFSET(", name, ")="], field, offset))
        }
        offset => Ok(offset),
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn what_cannot_be_is_named_with_its_place() {
        let text = b"SIZE(a)=0\nSIZE(s)=8\nOFFSET(s.last)=7\nOFFSET(s.past)=8\nOFFSET(t.f)=99\n\
            SYMBOL(odd)=1001\nNUMBER(n)=1x\n";
        let info = &Vmcoreinfo::new(text, 0x100);
        let refused = |told: Result<u64, Error>| told.unwrap_err().to_string();
        assert_eq!(
            refused(told!(info, SIZE("a"))),
            "offset 0x108: VMCOREINFO SIZE(a) is 0x0, allowed: 1 or more"
        );
        assert_eq!(told!(info, OFFSET("s.last")), Ok(7));
        assert_eq!(
            refused(told!(info, OFFSET("s.past"))),
            "offset 0x134: VMCOREINFO OFFSET(s.past) is 0x8, allowed: less than the SIZE of its structure"
        );
        assert_eq!(told!(info, OFFSET("t.f")), Ok(99));
        assert_eq!(told!(info, SYMBOL("odd", align 1)), Ok(0x1001));
        assert_eq!(
            refused(told!(info, SYMBOL("odd", align 4))),
            "offset 0x151: VMCOREINFO SYMBOL(odd) is 0x1001, allowed: a multiple of what its type is aligned to"
        );
        assert_eq!(
            refused(told!(info, SIZE("none"))),
            "the dump has no SIZE(none) in VMCOREINFO"
        );
        assert_eq!(told_if!(info, OFFSET("s.none")), Ok(None));
        assert_eq!(
            refused(told!(info, NUMBER("n"))),
            "offset 0x160: VMCOREINFO NUMBER(n): expected a decimal, negative or 0x number of at most 64 bits"
        );
    }
}
