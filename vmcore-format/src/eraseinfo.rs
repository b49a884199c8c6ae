//! ERASEINFO: what `makedumpfile --config` or an eppic script made unreadable in the memory of a dump.
//!
//! ```text
//! erase cred.security size 64          so many bytes of it were overwritten, in all of them that there are
//! erase user_key_payload.data nullify  a string or a pointer's target was filled with zeros
//! ```
//!
//! Of ELF it is the descriptor of a note named `ERASEINFO`; of a compressed dump the sub header says where it is, and each part of a
//! split dump has its own.
//!
//! Source: makedumpfile's `erase_info.c` (`get_size_eraseinfo`) and makedumpfile.conf(5).

#![deny(clippy::arithmetic_side_effects)]

use core::str;

use crate::Error;

/// The name of the ELF note that carries the text.
pub const NOTE_NAME: &[u8] = b"ERASEINFO";

const LINE: &str = "`erase EXPRESSION size BYTES` or `erase EXPRESSION nullify` in UTF-8";

/// The text. Nothing is checked before it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eraseinfo<'a> {
    text: &'a [u8],
    offset: u64,
}

/// One line: data that is no more what the kernel had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure<'a> {
    /// Which data, as makedumpfile's configuration names it: `symbol`, `symbol.member`, `structure.member` …
    pub what: &'a str,
    /// How many bytes were overwritten; `None` where zeros fill all of it.
    pub bytes: Option<u64>,
}

impl<'a> Eraseinfo<'a> {
    /// Takes the text of a note or of a file; `offset` is where it begins in its file, for errors.
    pub const fn new(text: &'a [u8], offset: u64) -> Self {
        Self { text, offset }
    }

    /// The text as found.
    pub const fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Every line in order.
    pub const fn erasures(&self) -> Erasures<'a> {
        Erasures {
            rest: self.text,
            offset: self.offset,
        }
    }
}

/// The iterator made by [`Eraseinfo::erasures`]; it stops after the first error.
#[derive(Debug, Clone)]
pub struct Erasures<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Iterator for Erasures<'a> {
    type Item = Result<Erasure<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // makedumpfile counts a NUL to the text that ends it.
            let is_over = self.rest.iter().all(|byte| *byte == 0);
            if is_over {
                return None;
            }
            let mut halves = self.rest.splitn(2, |byte| *byte == b'\n');
            let line = halves.next()?;
            let rest = halves.next().unwrap_or_default();
            let offset = self.offset;
            let taken = self.rest.len().abs_diff(rest.len()) as u64;
            // Saturating: only a caller's wrong `offset` is that high.
            self.offset = offset.saturating_add(taken);
            self.rest = rest;
            if line.is_empty() {
                continue;
            }
            let erasure = str::from_utf8(line).ok().and_then(parse);
            if erasure.is_none() {
                self.rest = &[];
            }
            return Some(erasure.ok_or(Error::BadText {
                what: "ERASEINFO line",
                offset,
                expected: LINE,
            }));
        }
    }
}

fn parse(line: &str) -> Option<Erasure<'_>> {
    let told = line.strip_prefix("erase ")?;
    if let Some(what) = told.strip_suffix(" nullify") {
        return Some(Erasure { what, bytes: None });
    }
    let (what, bytes) = told.rsplit_once(" size ")?;
    // Unlike `parse`, no sign.
    let is_number = bytes.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = bytes.parse().ok().filter(|_| is_number)?;
    Some(Erasure {
        what,
        bytes: Some(bytes),
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn erasures(text: &[u8]) -> Result<Vec<(&str, Option<u64>)>, Error> {
        let erasures = Eraseinfo::new(text, 0x1000).erasures();
        erasures
            .map(|erasure| erasure.map(|Erasure { what, bytes }| (what, bytes)))
            .collect()
    }

    #[test]
    fn sizes_and_nullified_ones() {
        let text = b"erase cred.security size 64\nerase key.description nullify\n\n\
            erase a size of size 0\n";
        assert_eq!(
            erasures(text),
            Ok(std::vec![
                ("cred.security", Some(64)),
                ("key.description", None),
                ("a size of", Some(0)),
            ])
        );
        assert_eq!(erasures(b""), Ok(std::vec![]));
        assert_eq!(
            erasures(b"erase x nullify\n\0\0\0").map(|all| all.len()),
            Ok(1)
        );
    }

    #[test]
    fn another_line_is_an_error_with_its_place_and_the_end() {
        let first = b"erase a nullify\n";
        for bad in [
            &b"erase"[..],
            b"erase a",
            b"erase a size",
            b"erase a size x",
            b"erase a size +1",
            b"erase a size 18446744073709551616",
            b"erase \xff nullify",
            b"Erase a nullify",
            b"\0erase a nullify",
        ] {
            let text = [&first[..], bad, b"\nerase b nullify\n"].concat();
            let mut found = Eraseinfo::new(&text, 0x1000).erasures();
            assert!(found.next().is_some_and(|erasure| erasure.is_ok()));
            let expected = Error::BadText {
                what: "ERASEINFO line",
                offset: 0x1000 + first.len() as u64,
                expected: LINE,
            };
            assert_eq!(found.next(), Some(Err(expected)), "{bad:?}");
            assert_eq!(found.next(), None);
        }
    }
}
