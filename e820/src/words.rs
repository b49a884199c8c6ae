//! The words that each text form has for the kinds of memory.
//!
//! ```text
//!  number  Log                  Log7_0                   Parenthesised  Resource                    Grub
//!       1  usable               System RAM               (usable)       System RAM                  available RAM
//!       2  reserved             device reserved          (reserved)     Reserved                    reserved RAM
//!       9  type 9               type 9                   type 9         Unknown E820 type           type = 0x9
//! ```
//!
//! `Log`, `Log7_0`, `Parenthesised`: `e820_print_type()` in Linux `arch/x86/kernel/e820.c`, 3.5 to
//! 6.19, from 7.0 on and before 3.5; the last is also that of `print_e820_memory_map()` in Xen's
//! `xen/arch/x86/e820.c`. `Resource`: `e820_type_to_string()` in the same file of Linux. `Grub`:
//! `names` in GRUB's `grub-core/commands/lsmmap.c`, numbers from `include/grub/memory.h`.

use core::fmt;

use crate::Kind;

/// A vocabulary for kinds of memory: which words a text form has for them.
///
/// Prints as the list of its words.
///
/// ```
/// use e820::{Kind, Words};
///
/// assert_eq!(Words::Resource.kind("Soft Reserved"), Some(Kind::SOFT_RESERVED));
/// assert_eq!(Words::Log7_0.word(Kind::RESERVED).to_string(), "device reserved");
/// assert_eq!(Words::Grub.word(Kind(9)).to_string(), "type = 0x9");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Words {
    /// The kernel's log, Linux 3.5 to 6.19; what a [`Kind`] prints.
    Log,
    /// The kernel's log, Linux 7.0 and later.
    Log7_0,
    /// The kernel's log before Linux 3.5, and Xen's.
    Parenthesised,
    /// `/proc/iomem` and `/sys/firmware/memmap`, Linux 4.11 and later. Numbers without a word are
    /// all called `Unknown E820 type`: read as [`Kind::UNKNOWN`].
    Resource,
    /// The same before Linux 4.11: numbers without a word are all called `reserved`.
    ResourceBefore4_11,
    /// GRUB's `lsmmap`, untranslated.
    Grub,
}

const UNKNOWN_RESOURCE: &str = "Unknown E820 type";
const OLD_RESERVED: &str = "reserved";

impl Words {
    /// The kind that is called `word`; `None` if there is no such word.
    pub fn kind(self, word: &str) -> Option<Kind> {
        let mut named = self.table().iter();
        if let Some((kind, _)) = named.find(|(_, known)| *known == word) {
            return Some(*kind);
        }
        match self {
            Self::Resource => (word == UNKNOWN_RESOURCE).then_some(Kind::UNKNOWN),
            Self::ResourceBefore4_11 => (word == OLD_RESERVED).then_some(Kind::RESERVED),
            Self::Grub => number(word.strip_prefix("type = 0x")?, 16),
            Self::Log | Self::Log7_0 | Self::Parenthesised => {
                number(word.strip_prefix("type ")?, 10)
            }
        }
    }

    /// The kind of a resource and in which vocabulary it has this name, the newer one if in both.
    pub(crate) fn resource(name: &str) -> Option<(Self, Kind)> {
        let either = [Self::Resource, Self::ResourceBefore4_11];
        let mut found = either
            .into_iter()
            .map(|words| Some((words, words.kind(name)?)));
        found.find_map(|found| found)
    }

    /// What `kind` is called. Only resources of different kinds are called alike.
    pub fn word(self, kind: Kind) -> impl fmt::Display {
        Word { words: self, kind }
    }

    /// The kinds that have a word of their own.
    const fn table(self) -> &'static [(Kind, &'static str)] {
        match self {
            Self::Log => &[
                (Kind::RAM, "usable"),
                (Kind::RESERVED, "reserved"),
                (Kind::ACPI, "ACPI data"),
                (Kind::NVS, "ACPI NVS"),
                (Kind::UNUSABLE, "unusable"),
                (Kind::PMEM, "persistent (type 7)"),
                (Kind::PRAM, "persistent (type 12)"),
                (Kind::SOFT_RESERVED, "soft reserved"),
            ],
            Self::Log7_0 => &[
                (Kind::RAM, "System RAM"),
                (Kind::RESERVED, "device reserved"),
                (Kind::ACPI, "ACPI data"),
                (Kind::NVS, "ACPI NVS"),
                (Kind::UNUSABLE, "unusable"),
                (Kind::PMEM, "persistent RAM (type 7)"),
                (Kind::PRAM, "persistent RAM (type 12)"),
                (Kind::SOFT_RESERVED, "soft reserved"),
            ],
            Self::Parenthesised => &[
                (Kind::RAM, "(usable)"),
                (Kind::RESERVED, "(reserved)"),
                (Kind::ACPI, "(ACPI data)"),
                (Kind::NVS, "(ACPI NVS)"),
                (Kind::UNUSABLE, "(unusable)"),
            ],
            Self::Resource => &[
                (Kind::RAM, "System RAM"),
                (Kind::RESERVED, "Reserved"),
                (Kind::ACPI, "ACPI Tables"),
                (Kind::NVS, "ACPI Non-volatile Storage"),
                (Kind::UNUSABLE, "Unusable memory"),
                (Kind::PMEM, "Persistent Memory"),
                (Kind::PRAM, "Persistent Memory (legacy)"),
                (Kind::SOFT_RESERVED, "Soft Reserved"),
            ],
            Self::ResourceBefore4_11 => &[
                (Kind::RAM, "System RAM"),
                (Kind::ACPI, "ACPI Tables"),
                (Kind::NVS, "ACPI Non-volatile Storage"),
                (Kind::UNUSABLE, "Unusable memory"),
                (Kind::PMEM, "Persistent Memory"),
                (Kind::PRAM, "Persistent Memory (legacy)"),
            ],
            Self::Grub => &[
                (Kind::RAM, "available RAM"),
                (Kind::RESERVED, "reserved RAM"),
                (Kind::ACPI, "ACPI reclaimable RAM"),
                (Kind::NVS, "ACPI non-volatile storage RAM"),
                (Kind::UNUSABLE, "faulty RAM (BadRAM)"),
                (Kind::PMEM, "persistent RAM"),
                (Kind::PRAM, "persistent RAM (legacy)"),
                (Kind(16), "RAM holding coreboot tables"),
                (Kind(20), "RAM holding firmware code"),
            ],
        }
    }
}

/// A number as `%u` or `%x` prints it: integers parse with a sign and with leading zeros, too.
fn number(digits: &str, radix: u32) -> Option<Kind> {
    let printed = digits == "0" || !digits.starts_with(['0', '+']);
    let lower = !digits.contains(|c: char| c.is_ascii_uppercase());
    let number = u32::from_str_radix(digits, radix).ok()?;
    (printed && lower).then_some(Kind(number))
}

struct Word {
    words: Words,
    kind: Kind,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = self.words.table().iter();
        match (named.find(|(kind, _)| *kind == self.kind), self.words) {
            (Some((_, word)), _) => f.write_str(word),
            (None, Words::Resource) => f.write_str(UNKNOWN_RESOURCE),
            (None, Words::ResourceBefore4_11) => f.write_str(OLD_RESERVED),
            (None, Words::Grub) => write!(f, "type = {:#x}", self.kind.0),
            (None, _) => write!(f, "type {}", self.kind.0),
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (_, word) in self.table() {
            write!(f, "{word}, ")?;
        }
        f.write_str(match self {
            Self::Resource => UNKNOWN_RESOURCE,
            Self::ResourceBefore4_11 => OLD_RESERVED,
            Self::Grub => "type = 0xN",
            Self::Log | Self::Log7_0 | Self::Parenthesised => "type N",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const NUMBERED: [Words; 4] = [Words::Log, Words::Log7_0, Words::Parenthesised, Words::Grub];

    #[test]
    fn every_number_has_a_word_of_its_own() {
        for words in NUMBERED {
            for number in (0..300).chain([0xefff_fffe, 0xefff_ffff, u32::MAX]) {
                let word = words.word(Kind(number)).to_string();
                assert_eq!(words.kind(&word), Some(Kind(number)), "{word}");
            }
        }
    }

    #[test]
    fn resources_have_one_name_for_all_other_numbers() {
        for number in [0, 6, 8, 128, 300] {
            let word = Words::Resource.word(Kind(number)).to_string();
            assert_eq!(Words::Resource.kind(&word), Some(Kind::UNKNOWN), "{word}");
        }
        for (kind, word) in Words::Resource.table() {
            assert_eq!(Words::Resource.kind(word), Some(*kind));
        }
        for number in [2, 6, 128, 0xefff_ffff] {
            let word = Words::ResourceBefore4_11.word(Kind(number)).to_string();
            assert_eq!(word, "reserved");
        }
        let found = |name| Words::resource(name);
        assert_eq!(found("System RAM"), Some((Words::Resource, Kind::RAM)));
        assert_eq!(
            found("reserved"),
            Some((Words::ResourceBefore4_11, Kind::RESERVED))
        );
        assert_eq!(found("Crash kernel"), None);
    }

    #[test]
    fn words_that_nobody_prints() {
        for words in NUMBERED.into_iter().chain([Words::Resource]) {
            for word in [
                "",
                "type",
                "type ",
                "type +6",
                "type 06",
                "type -1",
                "type 4294967296",
                "type 6x",
                "type = 0x",
                "type = 0x00",
                "type = 0xA",
                "type = 0x+a",
                "Usable",
                "(usable",
                "System RAM (kmem)",
                "Crash kernel",
            ] {
                assert_eq!(words.kind(word), None, "{words:?} {word:?}");
            }
        }
        assert_eq!(Words::Log.kind("System RAM"), None);
        assert_eq!(Words::Log7_0.kind("usable"), None);
    }
}
