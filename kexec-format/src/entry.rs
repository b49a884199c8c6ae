//! The entry: a word whose low bits say what its page address means.
//!
//! ```text
//!  63 / 31                          page shift    4   3      2     1       0
//! ┌──────────────────────────────────────┬───────┬──────┬──────┬──────┬──────┐
//! │ page address                         │ zero  │SOURCE│ DONE │INDIR.│ DEST.│
//! └──────────────────────────────────────┴───────┴──────┴──────┴──────┴──────┘
//!   DESTINATION  the next source page goes here, the one after it behind that, …
//!   SOURCE       a page that goes to the destination
//!   INDIRECTION  the list goes on in this page
//!   DONE         the list ends, no address
//! ```
//!
//! Linux writes nothing but words with exactly one of the four bits. Those mean the same to every
//! `relocate_kernel()`; to words that Linux does not write each reacts in its own way, and
//! [`Decoding`] has them all.
//!
//! Source: `kimage_entry_t` and `IND_*` in Linux `include/linux/kexec.h`; `arch/*/kernel/relocate_kernel*.S`.

use core::fmt;

use physmem::{Endian, PageShift, PhysAddr, Width};

use crate::{list::ListRule, uapi::Arch};

bitflags::bitflags! {
    /// The low bits of an entry; unknown ones survive.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct EntryFlags: u64 {
        /// `IND_DESTINATION`
        const DESTINATION = 1;
        /// `IND_INDIRECTION`
        const INDIRECTION = 2;
        /// `IND_DONE`
        const DONE = 4;
        /// `IND_SOURCE`
        const SOURCE = 8;
        const _ = !0;
    }
}

const DESTINATION: u64 = EntryFlags::DESTINATION.bits();
const INDIRECTION: u64 = EntryFlags::INDIRECTION.bits();
const DONE: u64 = EntryFlags::DONE.bits();
const SOURCE: u64 = EntryFlags::SOURCE.bits();
/// `IND_FLAGS`
const FLAGS: u64 = 0xf;

/// How a machine's words and pages are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    /// Width of `unsigned long`.
    pub width: Width,
    /// Byte order.
    pub endian: Endian,
    /// Size of the kernel's pages.
    pub page: PageShift,
}

impl Format {
    /// 64-bit words, little-endian, pages of 4 KiB: x86-64, and most kernels of arm64 and riscv64.
    pub const LE64_4K: Self = Self {
        width: Width::U64,
        endian: Endian::Little,
        page: PageShift::SIZE_4K,
    };
    /// 32-bit words, little-endian, pages of 4 KiB: i386 and arm.
    pub const LE32_4K: Self = Self {
        width: Width::U32,
        ..Self::LE64_4K
    };
    /// 64-bit words, big-endian, pages of 4 KiB: s390.
    pub const BE64_4K: Self = Self {
        endian: Endian::Big,
        ..Self::LE64_4K
    };

    /// Words in a page.
    #[must_use]
    pub const fn words_per_page(self) -> u64 {
        match self.width {
            Width::U32 => self.page.bytes() >> 2,
            Width::U64 => self.page.bytes() >> 3,
        }
    }
}

/// An entry of a list (`kimage_entry_t`), as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KimageEntry(u64);

impl KimageEntry {
    /// `IND_DONE`, the end of every list and the whole of an empty one.
    pub const DONE: Self = Self(DONE);

    /// The entry with this value.
    #[inline]
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Sets the destination to the page at `page`.
    #[inline]
    #[must_use]
    pub const fn destination(page: PhysAddr) -> Self {
        Self(page.as_u64() | DESTINATION)
    }

    /// Goes on in the page at `page`.
    #[inline]
    #[must_use]
    pub const fn indirection(page: PhysAddr) -> Self {
        Self(page.as_u64() | INDIRECTION)
    }

    /// Moves the page at `page`.
    #[inline]
    #[must_use]
    pub const fn source(page: PhysAddr) -> Self {
        Self(page.as_u64() | SOURCE)
    }

    /// Its value.
    #[inline]
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Its bits below the page address.
    #[inline]
    #[must_use]
    pub const fn flags(self, page: PageShift) -> EntryFlags {
        EntryFlags::from_bits_retain(PhysAddr::new(self.0).page_offset(page))
    }

    /// Its page address.
    #[inline]
    #[must_use]
    pub const fn address(self, page: PageShift) -> PhysAddr {
        PhysAddr::new(self.0).align_down(page)
    }
}

impl fmt::Display for KimageEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What a word does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Sets the destination.
    Destination(PhysAddr),
    /// Goes on elsewhere.
    Indirection(PhysAddr),
    /// Ends the list.
    Done,
    /// Moves a page.
    Source(PhysAddr),
    /// Nothing: the word is passed over.
    Nothing,
}

/// How words are read.
///
/// All but [`Decoding::Strict`] are for lists that Linux did not make. They differ in which type bit
/// counts if there are several, in what becomes of the bits below the page address, and in whether a
/// word of zero ends the list or is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Decoding {
    /// Only what Linux writes: one type bit and a page address, or `DONE` alone.
    #[default]
    Strict,
    /// x86, s390, 32-bit powerpc: destination, indirection, done, source; page addresses.
    X86,
    /// arm64: done, source, indirection, destination; page addresses.
    Arm64,
    /// arm, riscv, loongarch: the order of x86, but only the type bit is taken off the address.
    Arm,
    /// mips: as arm, and zero ends the list.
    Mips,
    /// m68k, parisc: done, indirection, destination, source; page addresses; zero ends the list.
    M68k,
    /// sh: the order of x86; four bits are taken off the address.
    Sh,
    /// 64-bit powerpc: done; else words with several type bits are passed over; page addresses.
    Ppc64,
}

impl Decoding {
    /// The way of an architecture's `relocate_kernel()`; `None` for one that is not known here.
    #[must_use]
    pub const fn of(arch: Arch) -> Option<Self> {
        Some(match arch {
            Arch::I386 | Arch::X86_64 | Arch::S390 | Arch::PPC => Self::X86,
            Arch::AARCH64 => Self::Arm64,
            Arch::ARM | Arch::RISCV | Arch::LOONGARCH => Self::Arm,
            Arch::MIPS | Arch::MIPS_LE => Self::Mips,
            Arch::M68K | Arch::PARISC => Self::M68k,
            Arch::SH => Self::Sh,
            Arch::PPC64 => Self::Ppc64,
            _ => return None,
        })
    }

    /// What `entry` does.
    ///
    /// # Errors
    ///
    /// If strict, the rule that the word breaks; never otherwise.
    #[inline]
    pub const fn decode(self, entry: KimageEntry, page: PageShift) -> Result<Step, ListRule> {
        let address = entry.address(page);
        // The words that Linux writes, the same for all.
        match entry.flags(page).bits() {
            SOURCE => Ok(Step::Source(address)),
            DESTINATION => Ok(Step::Destination(address)),
            INDIRECTION => Ok(Step::Indirection(address)),
            DONE if entry.0 == DONE => Ok(Step::Done),
            _ => self.decode_odd(entry, page),
        }
    }

    #[cold]
    const fn decode_odd(self, entry: KimageEntry, page: PageShift) -> Result<Step, ListRule> {
        const OF_X86: [u64; 4] = [DESTINATION, INDIRECTION, DONE, SOURCE];
        let below_page = PhysAddr::new(u64::MAX).page_offset(page);
        let (order, zero_ends, taken_off) = match self {
            Self::Strict => return Err(broken(entry)),
            Self::X86 => (OF_X86, false, below_page),
            Self::Arm64 => ([DONE, SOURCE, INDIRECTION, DESTINATION], false, below_page),
            Self::Arm => (OF_X86, false, 0),
            Self::Mips => (OF_X86, true, 0),
            Self::M68k => ([DONE, INDIRECTION, DESTINATION, SOURCE], true, below_page),
            Self::Sh => (OF_X86, false, FLAGS),
            Self::Ppc64 if entry.0 & DONE == 0 && (entry.0 & FLAGS).count_ones() != 1 => {
                return Ok(Step::Nothing);
            }
            Self::Ppc64 => ([DONE, SOURCE, INDIRECTION, DESTINATION], false, below_page),
        };
        if entry.0 == 0 && zero_ends {
            return Ok(Step::Done);
        }
        let [first, second, third, fourth] = order;
        let bit = if entry.0 & first != 0 {
            first
        } else if entry.0 & second != 0 {
            second
        } else if entry.0 & third != 0 {
            third
        } else {
            entry.0 & fourth
        };
        let address = PhysAddr::new(entry.0 & !(taken_off | bit));
        Ok(match bit {
            DESTINATION => Step::Destination(address),
            INDIRECTION => Step::Indirection(address),
            SOURCE => Step::Source(address),
            DONE => Step::Done,
            _ => Step::Nothing,
        })
    }
}

/// Which rule a word breaks that Linux would not have written.
const fn broken(entry: KimageEntry) -> ListRule {
    match (entry.0, (entry.0 & FLAGS).count_ones()) {
        (0, _) => ListRule::Zero,
        (_, 0) => ListRule::NoType,
        (_, 1) => ListRule::StrayBits,
        _ => ListRule::SeveralTypes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: PageShift = PageShift::SIZE_4K;
    const ALL: [Decoding; 8] = [
        Decoding::Strict,
        Decoding::X86,
        Decoding::Arm64,
        Decoding::Arm,
        Decoding::Mips,
        Decoding::M68k,
        Decoding::Sh,
        Decoding::Ppc64,
    ];

    fn at(address: u64) -> PhysAddr {
        PhysAddr::new(address)
    }

    #[test]
    fn what_linux_writes_means_the_same_to_all() {
        for decoding in ALL {
            let decode = |entry| decoding.decode(entry, PAGE);
            let page = at(0xffff_ffff_ffff_f000);
            assert_eq!(
                decode(KimageEntry::destination(page)),
                Ok(Step::Destination(page))
            );
            assert_eq!(
                decode(KimageEntry::indirection(page)),
                Ok(Step::Indirection(page))
            );
            assert_eq!(decode(KimageEntry::source(page)), Ok(Step::Source(page)));
            assert_eq!(decode(KimageEntry::DONE), Ok(Step::Done));
        }
    }

    #[test]
    fn strict_names_the_rule() {
        let rule = |word| {
            Decoding::Strict
                .decode(KimageEntry::new(word), PAGE)
                .unwrap_err()
        };
        assert_eq!(rule(0), ListRule::Zero);
        assert_eq!(rule(0x1000), ListRule::NoType);
        assert_eq!(rule(0x10), ListRule::NoType);
        assert_eq!(rule(0x1003), ListRule::SeveralTypes);
        assert_eq!(rule(0x1018), ListRule::StrayBits);
        assert_eq!(rule(0x1004), ListRule::StrayBits);
    }

    #[test]
    fn each_relocator_has_its_own_way_with_other_words() {
        use Step::{Destination, Done, Indirection, Nothing, Source};
        // The word, then x86, arm64, arm, mips, m68k, sh, ppc64.
        let table = [
            (0, [Nothing, Nothing, Nothing, Done, Done, Nothing, Nothing]),
            (0x1000, [Nothing; 7]),
            (0x1004, [Done; 7]),
            (
                0x1003,
                [
                    Destination(at(0x1000)),
                    Indirection(at(0x1000)),
                    Destination(at(0x1002)),
                    Destination(at(0x1002)),
                    Indirection(at(0x1000)),
                    Destination(at(0x1000)),
                    Nothing,
                ],
            ),
            (0x100c, [Done, Done, Done, Done, Done, Done, Done]),
            (
                0x1fea,
                [
                    Indirection(at(0x1000)),
                    Source(at(0x1000)),
                    Indirection(at(0x1fe8)),
                    Indirection(at(0x1fe8)),
                    Indirection(at(0x1000)),
                    Indirection(at(0x1fe0)),
                    Nothing,
                ],
            ),
            (
                0x1018,
                [
                    Source(at(0x1000)),
                    Source(at(0x1000)),
                    Source(at(0x1010)),
                    Source(at(0x1010)),
                    Source(at(0x1000)),
                    Source(at(0x1010)),
                    Source(at(0x1000)),
                ],
            ),
            (
                0x1005,
                [
                    Destination(at(0x1000)),
                    Done,
                    Destination(at(0x1004)),
                    Destination(at(0x1004)),
                    Done,
                    Destination(at(0x1000)),
                    Done,
                ],
            ),
        ];
        for (word, expected) in table {
            for (decoding, step) in ALL[1..].iter().zip(expected) {
                assert_eq!(
                    decoding.decode(KimageEntry::new(word), PAGE),
                    Ok(step),
                    "{word:#x} {decoding:?}"
                );
            }
        }
    }

    #[test]
    fn larger_pages_have_more_low_bits() {
        let word = KimageEntry::new(0x1_2008);
        assert_eq!(
            Decoding::Strict.decode(word, PageShift::SIZE_4K),
            Ok(Step::Source(at(0x1_2000)))
        );
        assert_eq!(
            Decoding::Strict.decode(word, PageShift::SIZE_64K),
            Err(ListRule::StrayBits)
        );
        assert_eq!(word.flags(PageShift::SIZE_64K).bits(), 0x2008);
        assert_eq!(word.address(PageShift::SIZE_64K), at(0x1_0000));
    }
}
