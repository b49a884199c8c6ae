//! Kinds of memory: the type numbers of e820 entries and the words the kernel's log has for them.
//!
//! ```text
//!  BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
//!                                                         └─┬──┘
//!                              type 1 in the table ◄────────┘
//! ```
//!
//! Numbers: `enum e820_type` in Linux `arch/x86/include/asm/e820/types.h`, which follows the address
//! range types of the ACPI specification (chapter "System Address Map Interfaces"). Words:
//! `e820_print_type()` in `arch/x86/kernel/e820.c`, Linux 3.5 to 6.19.

use core::fmt;

use crate::Words;

/// What an entry's memory is, by its type number. Numbers without a name here survive.
///
/// Prints the word of the kernel's log; no two numbers print alike.
///
/// ```
/// use e820::Kind;
///
/// assert_eq!(Kind::ACPI.to_string(), "ACPI data");
/// assert_eq!(Kind::from_word("persistent (type 12)"), Some(Kind::PRAM));
/// assert_eq!(Kind::from_word("type 9"), Some(Kind(9)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Kind(pub u32);

impl Kind {
    /// No kind at all: no firmware hands the number over, and the kernel leaves out what has it.
    ///
    /// `/proc/iomem` and `/sys/firmware/memmap` call every kind that they have no word for
    /// `Unknown E820 type`. As its number is not told, it is read as this one.
    pub const UNKNOWN: Self = Self(0);
    /// RAM that the system may use.
    pub const RAM: Self = Self(1);
    /// Not to be used: firmware, devices, whatever a producer had no better number for.
    pub const RESERVED: Self = Self(2);
    /// ACPI tables; RAM once they have been read.
    pub const ACPI: Self = Self(3);
    /// ACPI non-volatile storage, to be kept over sleep states.
    pub const NVS: Self = Self(4);
    /// Memory in which errors have been found.
    pub const UNUSABLE: Self = Self(5);
    /// Persistent memory.
    pub const PMEM: Self = Self(7);
    /// Persistent memory by the number that was in use before ACPI 6 gave one.
    pub const PRAM: Self = Self(12);
    /// Linux's own mark on RAM that holds boot data (`setup_data`).
    ///
    /// Firmware never hands it over, and kernels that have the mark print it as `usable`. It prints
    /// as `type 128` here, as kernels without the mark do, so that it is not taken for RAM.
    pub const RESERVED_KERN: Self = Self(128);
    /// Memory of a specific purpose (EFI's `EFI_MEMORY_SP`), left to a driver.
    pub const SOFT_RESERVED: Self = Self(0xefff_ffff);

    /// The kind that the kernel's log calls `word`; `None` if it has no such word.
    ///
    /// `type N` is taken for any number: kernels before 4.1 print type 7 that way, kernels before
    /// 5.5 soft-reserved memory. [`Words::Log`](crate::Words::Log) under another name.
    pub fn from_word(word: &str) -> Option<Self> {
        Words::Log.kind(word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Words::Log.word(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_number_prints_a_word_of_its_own() {
        for number in (0..1000).chain([0xefff_fffe, 0xefff_ffff, 0xf000_0000, u32::MAX]) {
            assert_eq!(
                Kind::from_word(&Kind(number).to_string()),
                Some(Kind(number))
            );
        }
    }

    #[test]
    fn words_the_kernel_does_not_print() {
        for word in [
            "",
            "Usable",
            "usable ",
            " usable",
            "type",
            "type ",
            "type +6",
            "type 06",
            "type -1",
            "type 4294967296",
            "type 6x",
            "persistent (type 8)",
            "persistent",
            "System RAM",
        ] {
            assert_eq!(Kind::from_word(word), None, "{word:?}");
        }
        assert_eq!(Kind::from_word("type 0"), Some(Kind(0)));
        assert_eq!(Kind::from_word("type 7"), Some(Kind::PMEM));
    }
}
