//! `memmap=` and `mem=`: the map as the command line changes it.
//!
//! ```text
//!   memmap=exactmap,640K@0,64K#0x1f000000      mem=4G
//!          └──┬───┘ └─┬──┘ └──────┬─────┘          └┬┘ no RAM above
//!        forget all   │     add, kind by the sign:
//!                    add    @ RAM   # ACPI data   $ reserved   ! persistent (12)
//!
//!   memmap=1M%0x1c000000-1+12     of kind 1 make 12      %…-1   remove kind 1
//!   memmap=4G                     no RAM above           %…+7   add kind 7      %…   remove all
//! ```
//!
//! `parse_memmap_one()` and `parse_memopt()` in Linux `arch/x86/kernel/e820.c`. What comes of it all is a
//! [`UserMap`](crate::UserMap). `%` is there from 4.16 on. Shells and boot loaders may want `\$`; what
//! arrives in the kernel is a plain `$`.
//!
//! **Bad items** are not simply passed over: the kernel does what it has understood before it sees that
//! there is more. An [`Item`] says both, what is done and what is wrong.

#![deny(clippy::arithmetic_side_effects)]

use core::fmt;

use super::{
    cmdline::{Param, Params},
    memparse::{Size, memparse, strtoull},
};
use crate::{Error, Kind, RawEntry};

/// What an item of `memmap=` does. Prints as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `exactmap`: the map so far is forgotten.
    ExactMap,
    /// `size@start` and its like: an entry more, whatever it overlaps.
    Add(RawEntry),
    /// `size%start-from+to`: one kind becomes another.
    Update {
        /// First address.
        addr: u64,
        /// Bytes.
        size: u64,
        /// The kind it was.
        from: Kind,
        /// The kind it becomes.
        to: Kind,
    },
    /// `size%start-only`: entries disappear.
    Remove {
        /// First address.
        addr: u64,
        /// Bytes.
        size: u64,
        /// The kind that goes, `None` for all.
        only: Option<Kind>,
    },
    /// `size`, and `mem=size`: RAM from this address on disappears.
    Limit(u64),
    /// Nothing, but the map counts as the user's: it is cleaned up and printed once more.
    Nothing,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ExactMap => f.write_str("exactmap"),
            Self::Add(RawEntry { addr, size, kind }) => {
                let sign = SIGNS.iter().find(|(_, of)| *of == kind);
                let (size, addr) = (Size(size), Size(addr));
                match sign {
                    Some((sign, _)) => write!(f, "{size}{}{addr}", char::from(*sign)),
                    None => write!(f, "{size}%{addr}+{}", kind.0),
                }
            }
            Self::Update {
                addr,
                size,
                from,
                to,
            } => {
                write!(f, "{}%{}-{}+{}", Size(size), Size(addr), from.0, to.0)
            }
            Self::Remove { addr, size, only } => {
                write!(f, "{}%{}", Size(size), Size(addr))?;
                only.map_or(Ok(()), |only| write!(f, "-{}", only.0))
            }
            Self::Limit(size) => Size(size).fmt(f),
            Self::Nothing => Ok(()),
        }
    }
}

const SIGNS: [(u8, Kind); 4] = [
    (b'@', Kind::RAM),
    (b'#', Kind::ACPI),
    (b'$', Kind::RESERVED),
    (b'!', Kind::PRAM),
];

/// An item: what the kernel does for it, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// What is done; `None` if the item is passed over.
    pub action: Option<Action>,
    /// Where and why the item is not one. The kernel goes on after it.
    pub fault: Option<Error>,
}

/// The items of one `memmap=` value.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    rest: Option<&'a [u8]>,
    column: u64,
}

impl<'a> Items<'a> {
    /// Reads a value that begins at this column of the command line.
    ///
    /// ```
    /// use e820::{Kind, RawEntry, text::memmap_param::{Action, Items}};
    ///
    /// let mut items = Items::new(b"64K$0x1f000000,junk,4Gx", 1);
    /// let reserved = RawEntry { addr: 0x1f00_0000, size: 0x1_0000, kind: Kind::RESERVED };
    /// assert_eq!(items.next().unwrap().action, Some(Action::Add(reserved)));
    /// assert_eq!(items.next().unwrap().action, None);
    /// let last = items.next().unwrap();
    /// assert_eq!(last.action, Some(Action::Limit(4 << 30)));
    /// assert_eq!(last.fault.unwrap().to_string(), "line 1, column 23: expected the end of the item");
    /// ```
    pub const fn new(value: &'a [u8], column: u64) -> Self {
        Self {
            rest: Some(value),
            column,
        }
    }
}

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let text = self.rest?;
        let end = text.iter().position(|&b| b == b',').unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        self.rest = rest.get(1..);
        let item = item(word, self.column);
        // Cannot saturate: columns are lengths of text.
        self.column = self.column.saturating_add(end as u64).saturating_add(1);
        Some(item)
    }
}

fn item(word: &[u8], column: u64) -> Item {
    let fault = |at: &[u8], expected| {
        // Cannot saturate: `at` ends where the word does.
        let column = column.saturating_add(word.len().saturating_sub(at.len()) as u64);
        Some(Error::BadLine {
            line: 1,
            column,
            expected,
        })
    };
    let end = |at: &[u8]| match at {
        [] => None,
        _ => fault(at, "the end of the item"),
    };
    if word.starts_with(b"exactmap") {
        // The kernel looks at these eight bytes only.
        return Item {
            action: Some(Action::ExactMap),
            fault: None,
        };
    }
    let (size, at) = memparse(word);
    if at.len() == word.len() {
        return Item {
            action: None,
            fault: fault(at, "a size or `exactmap`"),
        };
    }
    let (action, fault) = match at.split_first() {
        Some((b'%', text)) => {
            let (action, at) = of_kinds(size, text);
            match (action, at) {
                (Some(action), []) => (action, None),
                (None, []) => (Action::Nothing, fault(text, "two kinds that differ")),
                (_, _) => (Action::Nothing, end(at)),
            }
        }
        Some((sign, text)) if SIGNS.iter().any(|(known, _)| known == sign) => {
            let (addr, at) = memparse(text);
            let kind = SIGNS.iter().find(|(known, _)| known == sign);
            let kind = kind.map_or(Kind::RAM, |(_, kind)| *kind);
            (Action::Add(RawEntry { addr, size, kind }), end(at))
        }
        _ => (Action::Limit(size), end(at)),
    };
    Item {
        action: Some(action),
        fault,
    }
}

/// What stands behind `%`, and what is left then; no action for an update from a kind to itself,
/// at which the kernel stops with a BUG.
fn of_kinds(size: u64, text: &[u8]) -> (Option<Action>, &[u8]) {
    let (addr, at) = memparse(text);
    let (from, at) = at.strip_prefix(b"-").map_or((None, at), kind);
    let (to, at) = at.strip_prefix(b"+").map_or((None, at), kind);
    let action = match (from, to) {
        (Some(from), Some(to)) if from == to => None,
        (Some(from), Some(to)) => Some(Action::Update {
            addr,
            size,
            from,
            to,
        }),
        (None, Some(kind)) => Some(Action::Add(RawEntry { addr, size, kind })),
        (only, None) => Some(Action::Remove { addr, size, only }),
    };
    (action, at)
}

/// A kind by its number; 0 is as good as none.
fn kind(text: &[u8]) -> (Option<Kind>, &[u8]) {
    let (number, rest) = strtoull(text);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the kernel assigns it to 32 bits, too"
    )]
    let number = number as u32;
    (Some(Kind(number)).filter(|kind| kind.0 != 0), rest)
}

/// The item that a value of `mem=` is.
pub fn mem(value: &[u8], column: u64) -> Item {
    let fault = |expected| {
        Some(Error::BadLine {
            line: 1,
            column,
            expected,
        })
    };
    match memparse(value) {
        _ if value == b"nopentium" => Item {
            action: None,
            fault: fault("a size (`nopentium` is for 32 bits)"),
        },
        (0, _) => Item {
            action: Some(Action::Nothing),
            fault: fault("a size above 0"),
        },
        (size, _) => Item {
            action: Some(Action::Limit(size)),
            fault: None,
        },
    }
}

/// The items of all `memmap=` and `mem=` on a command line, in its order.
pub fn items(cmdline: &[u8]) -> impl Iterator<Item = Item> {
    let values = Params::new(cmdline).filter_map(|param| Some((param, param.value?)));
    values.flat_map(|(Param { name, column, .. }, value)| {
        let several = (name == b"memmap").then(|| Items::new(value, column));
        let one = (name == b"mem").then(|| mem(value, column));
        several.into_iter().flatten().chain(one)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        format,
        string::{String, ToString},
        vec::Vec,
    };

    use super::*;

    fn read(value: &str) -> Vec<(Option<Action>, Option<String>)> {
        let items = Items::new(value.as_bytes(), 1);
        items
            .map(|item| (item.action, item.fault.map(|fault| fault.to_string())))
            .collect()
    }

    fn add(addr: u64, size: u64, kind: u32) -> Option<Action> {
        Some(Action::Add(RawEntry {
            addr,
            size,
            kind: Kind(kind),
        }))
    }

    #[test]
    fn every_form() {
        let (addr, size) = (0x1000, 0x400);
        let (from, to) = (Kind(1), Kind(12));
        for (value, action) in [
            ("exactmap", Some(Action::ExactMap)),
            ("1K@4K", add(addr, size, 1)),
            ("0x400#0x1000", add(addr, size, 3)),
            ("1k$4k", add(addr, size, 2)),
            ("1K!4K", add(addr, size, 12)),
            ("1K%4K+7", add(addr, size, 7)),
            ("1K%4K+0xefffffff", add(addr, size, 0xefff_ffff)),
            (
                "1K%4K-1+12",
                Some(Action::Update {
                    addr,
                    size,
                    from,
                    to,
                }),
            ),
            (
                "1K%4K-1",
                Some(Action::Remove {
                    addr,
                    size,
                    only: Some(from),
                }),
            ),
            (
                "1K%4K",
                Some(Action::Remove {
                    addr,
                    size,
                    only: None,
                }),
            ),
            (
                "1K%4K-0+0",
                Some(Action::Remove {
                    addr,
                    size,
                    only: None,
                }),
            ),
            ("1K%4K-0+12", add(addr, size, 12)),
            ("1K%4K-+12", add(addr, size, 12)),
            (
                "1K%4K-1+0x10000000c",
                Some(Action::Update {
                    addr,
                    size,
                    from,
                    to,
                }),
            ),
            ("1K", Some(Action::Limit(size))),
            ("0@0", add(0, 0, 1)),
            // What the kernel takes, too.
            ("exactmapfoo", Some(Action::ExactMap)),
            ("1K@", add(0, size, 1)),
            ("K@4K", add(addr, 0, 1)),
        ] {
            assert_eq!(read(value), [(action, None)], "{value}");
        }
    }

    #[test]
    fn bad_items_do_what_was_understood() {
        let (addr, size) = (0x1000, 0x400);
        for (value, action, column, expected) in [
            ("", None, 1, "a size or `exactmap`"),
            ("foo", None, 1, "a size or `exactmap`"),
            ("@4K", None, 1, "a size or `exactmap`"),
            ("1K@4Kx", add(addr, size, 1), 6, "the end of the item"),
            ("1K@x", add(0, size, 1), 4, "the end of the item"),
            ("1KB", Some(Action::Limit(size)), 3, "the end of the item"),
            ("1K%4Kx", Some(Action::Nothing), 6, "the end of the item"),
            (
                "1K%4K+12-1",
                Some(Action::Nothing),
                9,
                "the end of the item",
            ),
            (
                "1K%4K-1+1",
                Some(Action::Nothing),
                4,
                "two kinds that differ",
            ),
        ] {
            let fault = Some(format!("line 1, column {column}: expected {expected}"));
            assert_eq!(read(value), [(action, fault)], "{value}");
        }
        let found = read("exactmap,1K@4Kx,,2M");
        assert_eq!(
            found
                .iter()
                .map(|(_, fault)| fault.is_some())
                .collect::<Vec<_>>(),
            [false, true, true, false]
        );
        assert!(found[1].1.as_ref().unwrap().contains("column 15:"));
    }

    #[test]
    fn mem_and_where_items_stand() {
        assert_eq!(
            mem(b"4G", 1),
            Item {
                action: Some(Action::Limit(4 << 30)),
                fault: None
            }
        );
        assert_eq!(mem(b"4Gx", 1).action, Some(Action::Limit(4 << 30)));
        assert_eq!(mem(b"x", 1).action, Some(Action::Nothing));
        assert_eq!(mem(b"nopentium", 1).action, None);
        let line = b"memmap quiet mem=1G \"memmap=exactmap,x\" xmem=1 mem=nopentium -- mem=2G";
        let found: Vec<_> = items(line).map(|item| item.action).collect();
        assert_eq!(
            found,
            [
                Some(Action::Limit(1 << 30)),
                Some(Action::ExactMap),
                None,
                None
            ]
        );
        let faults = items(line).filter_map(|item| item.fault);
        let columns: Vec<_> = faults
            .map(|fault| match fault {
                Error::BadLine { column, .. } => column,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(columns, [38, 52]);
    }
}
