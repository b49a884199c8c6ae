//! Command lines as `getopt` reads them: options anywhere, values attached or apart.

use crate::{Failure, Result, unusable};

/// Options with their values, and the other words.
pub(crate) struct Arguments {
    pub(crate) options: Vec<(char, String)>,
    pub(crate) words: Vec<String>,
}

impl Arguments {
    /// Takes the line apart; the letters in `valued` have a value, those in `plain` none.
    pub(crate) fn parse(line: &[String], valued: &str, plain: &str) -> Result<Self> {
        let mut this = Self {
            options: Vec::new(),
            words: Vec::new(),
        };
        let mut line = line.iter();
        while let Some(word) = line.next() {
            let mut letters = word.chars();
            match (letters.next(), letters.next()) {
                (Some('-'), Some(letter)) if plain.contains(letter) => {
                    this.options.push((letter, String::new()));
                }
                (Some('-'), Some(letter)) if valued.contains(letter) => {
                    let attached = letters.as_str();
                    let value = match attached {
                        "" => line
                            .next()
                            .ok_or_else(|| unusable("an option lacks its value"))?,
                        value => value,
                    };
                    this.options.push((letter, value.to_string()));
                }
                (Some('-'), Some(_)) => return Err(unusable(format!("no option {word}"))),
                _ => this.words.push(word.clone()),
            }
        }
        Ok(this)
    }

    /// The last value that an option was given.
    pub(crate) fn last(&self, letter: char) -> Option<&str> {
        let found = self.options.iter().rev().find(|(name, _)| *name == letter);
        found.map(|(_, value)| value.as_str())
    }
}

/// A number, hexadecimal if it begins so.
pub(crate) fn number(text: &str) -> Result<u64> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| not_a_number(text))
}

/// The same where the program works with memory of its own.
pub(crate) fn size(text: &str) -> Result<usize> {
    usize::try_from(number(text)?).map_err(|_| not_a_number(text))
}

fn not_a_number(text: &str) -> Failure {
    unusable(format!("'{text}' is no number"))
}
