//! The sources of the maps in a kernel log, by the word before each of their entries.
//!
//! ```text
//!  [    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//!                 └───┬───┘
//!                source word
//! ```
//!
//! The argument of `e820__print_table()` in Linux `arch/x86/kernel/e820.c`; `BIOS-88`, `BIOS-e801`
//! and `Xen` are returned by `x86_init.resources.memory_setup()`.
//!
//! Log prefixes come in all forms, so a word counts wherever it is not a part of a longer one. Words
//! that are plain English must not follow another word of letters alone either: `new user: ` is a
//! sentence, `kernel: user: ` a syslog prefix.

use core::fmt;

/// Where a map in a log comes from: the word before its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Who {
    /// `BIOS-e820`: what the firmware or boot loader handed over.
    BiosE820,
    /// `BIOS-88`: made up by the kernel from the old BIOS call 0x88, for want of a table.
    Bios88,
    /// `BIOS-e801`: made up by the kernel from the BIOS call 0xe801, for want of a table.
    BiosE801,
    /// `user`: after `mem=` and `memmap=`.
    User,
    /// `extended`: with the entries of `SETUP_E820_EXT`.
    Extended,
    /// `reserve setup_data`: with `setup_data` taken out. Its header calls it extended, too.
    SetupData,
    /// `modified`: after the kernel's own corrections, of MTRRs for example.
    Modified,
    /// `Xen`: what the hypervisor handed over.
    Xen,
}

impl Who {
    /// Every source, those that most logs have first.
    pub const ALL: &[Self] = &[
        Self::BiosE820,
        Self::User,
        Self::SetupData,
        Self::Extended,
        Self::Modified,
        Self::Xen,
        Self::BiosE801,
        Self::Bios88,
    ];

    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BiosE820 => "BIOS-e820",
            Self::Bios88 => "BIOS-88",
            Self::BiosE801 => "BIOS-e801",
            Self::User => "user",
            Self::Extended => "extended",
            Self::SetupData => "reserve setup_data",
            Self::Modified => "modified",
            Self::Xen => "Xen",
        }
    }

    /// The source that the log calls `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|who| who.as_str() == word)
    }

    /// The source whose word ends `text`, if it stands there as a source word.
    pub(super) fn at_end_of(text: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|who| {
            text.strip_suffix(who.as_str().as_bytes())
                .is_some_and(|prefix| who.may_follow(prefix))
        })
    }

    /// Whether the word counts as a source after these bytes of its line.
    pub(super) fn may_follow(self, prefix: &[u8]) -> bool {
        let in_a_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if prefix.last().is_some_and(in_a_word) {
            return false;
        }
        match self {
            Self::BiosE820 | Self::Bios88 | Self::BiosE801 => true,
            _ => {
                let mut tokens = prefix.trim_ascii_end().rsplit(u8::is_ascii_whitespace);
                let before = tokens.next().unwrap_or_default();
                before.is_empty() || !before.iter().all(u8::is_ascii_alphabetic)
            }
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_source_by_its_word() {
        for who in Who::ALL {
            assert_eq!(Who::from_word(&who.to_string()), Some(*who));
            assert_eq!(Who::at_end_of(who.as_str().as_bytes()), Some(*who));
        }
        assert_eq!(Who::from_word("bios-e820"), None);
    }

    #[test]
    fn words_in_sentences_and_in_other_words() {
        for text in [
            "new user",
            "superuser",
            "new-user",
            "on Xen",
            "xBIOS-e820",
            "_BIOS-88",
            "",
        ] {
            assert_eq!(Who::at_end_of(text.as_bytes()), None, "{text}");
        }
        for text in ["kernel: user", "10:00:00Z user", "  user", "[0.0] user"] {
            assert_eq!(Who::at_end_of(text.as_bytes()), Some(Who::User), "{text}");
        }
        assert_eq!(Who::at_end_of(b"INFO BIOS-e820"), Some(Who::BiosE820));
        assert_eq!(Who::at_end_of(b"reserve setup_data"), Some(Who::SetupData));
    }
}
