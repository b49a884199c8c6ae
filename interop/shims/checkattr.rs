//! `checkattr DUMP…`: on standard input what a dump's attributes should be, a line each: `KEY = TYPE[: VALUE]`.

use std::io;

use crate::{
    Failure, Result,
    arguments::number,
    attributes::{Attribute, Attributes},
    open, unusable,
};

/// What libkdumpfile tells of itself, and takes whatever is said.
const ITS_OWN: [&str; 7] = [
    // The file descriptor that it was given, and its words for the format.
    "file.set.0.fd",
    "file.description",
    // Its cache.
    "cache",
    "cache.size",
    "cache.hits",
    "cache.misses",
    // How its translation begins.
    "arch.pteval_size",
];

pub(crate) fn run(paths: &[String]) -> Result<()> {
    let dump = open(paths)?;
    let attributes = Attributes::of(&dump, paths.len()).map_err(unusable)?;
    let mut wrong = Vec::new();
    for line in io::stdin().lines() {
        let line = line.map_err(unusable)?;
        if line.trim().is_empty() {
            continue;
        }
        let (key, wanted) = line
            .split_once('=')
            .ok_or_else(|| unusable(format!("'{line}' is no check")))?;
        let (kind, value) = match wanted.split_once(':') {
            Some((kind, value)) => (kind.trim(), Some(value.trim())),
            None => (wanted.trim(), None),
        };
        let key = key.trim();
        if !ITS_OWN.contains(&key) && !holds(&attributes, key, kind, value)? {
            wrong.push(format!(
                "{key}: {:?}, not {}",
                attributes.get(key),
                wanted.trim()
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::Answer(wrong.join("\n")))
}

fn holds(attributes: &Attributes, key: &str, kind: &str, value: Option<&str>) -> Result<bool> {
    let attribute = attributes.get(key);
    Ok(match (kind, attribute, value) {
        ("directory", None, _) => attributes.is_directory(key),
        ("nil", None, _) => !attributes.is_directory(key),
        ("number", Some(Attribute::Number(_)), None)
        | ("address", Some(Attribute::Address(_)), None) => true,
        ("number", Some(Attribute::Number(is)), Some(value))
        | ("address", Some(Attribute::Address(is)), Some(value)) => *is == number(value)?,
        ("string", Some(Attribute::Text(is)), Some(value)) => is == value,
        ("blob", Some(Attribute::Blob(is)), Some(value)) => {
            let digits: String = is.iter().map(|byte| format!("{byte:02x}")).collect();
            digits.eq_ignore_ascii_case(value)
        }
        ("bitmap", Some(Attribute::Frames(ranges)), Some(value)) => {
            let mut frame = 0;
            let mut equal = true;
            for byte in value.split_whitespace() {
                let byte = number(byte)?;
                for bit in 0..8 {
                    let is = ranges.iter().any(|range| range.contains(&frame));
                    equal &= is == (byte >> bit & 1 == 1);
                    frame += 1;
                }
            }
            equal
        }
        _ => false,
    })
}
