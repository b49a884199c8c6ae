//! Multiboot kernels of x86: a header somewhere at the start of the file.
//!
//! ```text
//!      Multiboot, at a multiple of 4         Multiboot2, at a multiple of 8
//!      in the first 8 KiB                    in the first 32 KiB of an ELF file
//!   0  magic     02 b0 ad 1b              0  magic     d6 50 52 e8
//!   4  flags                              4  architecture
//!   8  checksum  the sum of all three     8  header_length
//!      is 0                              12  checksum  the sum of all four is 0
//!  12  header_addr    ┐
//!  16  load_addr      │
//!  20  load_end_addr  │ if bit 16 of flags is set; else it is an ELF file
//!  24  bss_end_addr   │
//!  28  entry_addr     ┘
//! ```
//!
//! Source: Multiboot Specification 0.6.96, 3.1; Multiboot2 Specification 2.0, 3.1; what is checked of it: kexec-tools
//! `kexec/arch/i386/kexec-multiboot-x86.c` and `kexec-mb2-x86.c`.

#![deny(clippy::arithmetic_side_effects)]

use super::{
    executable::executable,
    loader::{I386, X86, require},
};
use crate::error::{Error, Field, Result};

const MAGIC: u32 = 0x1bad_b002;
const MAGIC_2: u32 = 0xe852_50d6;
/// How far a header is searched.
const SEARCH: usize = 8 << 10;
const SEARCH_2: usize = 32 << 10;
/// Flags that a loader must know: of pages, memory and video; kexec-tools knows the first three.
const UNKNOWN: u32 = 0xfff8;
/// Says that the addresses are there: `MULTIBOOT_AOUT_KLUDGE`.
const ADDRESSES: u32 = 1 << 16;

const HEADERS: Field = Field {
    name: "number of multiboot headers",
    allowed: "1 and above, in the first 8 KiB at multiples of 4",
};
const HEADERS_2: Field = Field {
    name: "number of multiboot2 headers",
    allowed: "1 and above, in the first 32 KiB at multiples of 8",
};
const FLAGS: Field = Field {
    name: "multiboot flags",
    allowed: "without bits 3 to 15",
};
const LOAD_ADDR: Field = Field {
    name: "multiboot load_addr",
    allowed: "multiples of 0x1000 up to header_addr",
};
const LOAD_END_ADDR: Field = Field {
    name: "multiboot load_end_addr",
    allowed: "load_addr and above",
};
const BSS_END_ADDR: Field = Field {
    name: "multiboot bss_end_addr",
    allowed: "load_end_addr and above",
};
const ENTRY_ADDR: Field = Field {
    name: "multiboot entry_addr",
    allowed: "load_addr and above, below load_end_addr",
};

pub(super) fn multiboot(file: &[u8]) -> Result<()> {
    let (at, start) = find::<3>(file, SEARCH, 4, MAGIC).ok_or(missing(&HEADERS))?;
    // Behind what is searched there is nothing: zeros.
    let word = |index: usize| words(start).nth(index).unwrap_or(0);
    let offset = |field: u64| (at as u64).saturating_add(field);
    let flags = word(1);
    if flags & ADDRESSES == 0 {
        executable(file, I386)?;
    } else {
        let [header, load, load_end, bss_end, entry] = [3, 4, 5, 6, 7].map(word);
        let aligned = load % 0x1000 == 0 && load <= header;
        require(aligned, &LOAD_ADDR, offset(16), load.into())?;
        require(
            load_end >= load,
            &LOAD_END_ADDR,
            offset(20),
            load_end.into(),
        )?;
        require(
            bss_end >= load_end,
            &BSS_END_ADDR,
            offset(24),
            bss_end.into(),
        )?;
        // Wrapping: a header outside of what is loaded is refused as one that is too long.
        let needed = u64::from(load_end.wrapping_sub(header));
        let available = (file.len() as u64).saturating_sub(offset(0));
        if needed > available {
            return Err(Error::Truncated {
                what: "multiboot kernel",
                offset: offset(0),
                needed,
                available,
            });
        }
        let inside = (load..load_end).contains(&entry);
        require(inside, &ENTRY_ADDR, offset(28), entry.into())?;
    }
    require(flags & UNKNOWN == 0, &FLAGS, offset(4), flags.into())
}

pub(super) fn multiboot_2(file: &[u8]) -> Result<()> {
    executable(file, X86)?;
    let found = find::<4>(file, SEARCH_2, 8, MAGIC_2);
    found.map(drop).ok_or(missing(&HEADERS_2))
}

const fn missing(field: &'static Field) -> Error {
    Error::BadField {
        field,
        offset: 0,
        value: 0,
    }
}

/// The first place of a header of so many words, and what can be read there.
fn find<const WORDS: usize>(
    file: &[u8],
    search: usize,
    align: usize,
    magic: u32,
) -> Option<(usize, &[u8])> {
    let start = file.get(..search).unwrap_or(file);
    let places = (0..start.len()).step_by(align);
    let mut places = places.filter_map(|at| Some((at, start.get(at..)?)));
    let is_header = |&(_, bytes): &(usize, &[u8])| {
        words(bytes).next() == Some(magic)
            && words(bytes).take(WORDS).count() == WORDS
            // Wrapping: that is how the sum is defined.
            && words(bytes).take(WORDS).fold(0, u32::wrapping_add) == 0
    };
    places.find(is_header)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let words = bytes.chunks_exact(4).filter_map(<[u8]>::first_chunk);
    words.map(|word| u32::from_le_bytes(*word))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;
    use crate::detect::executable::tests::kernel;

    fn put(file: &mut [u8], at: usize, words: &[u32]) {
        for (index, word) in words.iter().enumerate() {
            file[at + index * 4..][..4].copy_from_slice(&word.to_le_bytes());
        }
    }

    /// A header whose checksum is right.
    fn header(flags: u32) -> [u32; 3] {
        [MAGIC, flags, 0u32.wrapping_sub(MAGIC + flags)]
    }

    fn header_2() -> [u32; 4] {
        [MAGIC_2, 0, 16, 0u32.wrapping_sub(MAGIC_2 + 16)]
    }

    /// A file that is no ELF file: 0x1000 bytes loaded at 1 MiB, from the header at 0x20 on.
    fn flat() -> Vec<u8> {
        let mut file = vec![0; 0x1020];
        put(&mut file, 0x20, &header(ADDRESSES | 3));
        let addresses = [0x10_0000, 0x10_0000, 0x10_1000, 0x10_2000, 0x10_0040];
        put(&mut file, 0x2c, &addresses);
        file
    }

    fn refused(file: &[u8]) -> std::string::String {
        multiboot(file).unwrap_err().to_string()
    }

    #[test]
    fn the_first_header_of_the_first_8_kib_counts() {
        let none = missing(&HEADERS);
        let place = |at: usize, words: &[u32]| {
            let mut file = vec![0; 0x3000];
            put(&mut file, at, words);
            multiboot(&file).unwrap_err()
        };
        for at in [0, 4, SEARCH - 12] {
            let found = place(at, &header(0)).to_string();
            assert!(found.starts_with("offset 0x0: ELF magic is"), "{found}");
        }
        for at in [2, SEARCH - 8, SEARCH] {
            assert_eq!(place(at, &header(0)), none);
        }
        let [magic, flags, sum] = header(0);
        assert_eq!(place(0, &[magic, flags, sum + 1]), none);
        assert_eq!(multiboot(&[]), Err(none));
        let mut short = [0; 12];
        put(&mut short, 0, &header(0));
        assert_eq!(multiboot(&short[..11]), Err(none));
        let text = "offset 0x0: number of multiboot headers is 0x0, allowed: 1 and above, in the first 8 KiB at multiples of 4";
        assert_eq!(none.to_string(), text);
    }

    #[test]
    fn addresses_stand_in_for_an_elf_header() {
        assert_eq!(multiboot(&flat()), Ok(()));
        let changed = |at: usize, value: u32| {
            let mut file = flat();
            put(&mut file, at, &[value]);
            refused(&file)
        };
        for load in [0x10_0001, 0x10_1000] {
            assert!(changed(0x30, load).starts_with("offset 0x30: multiboot load_addr is"));
        }
        assert!(changed(0x34, 0xf_ffff).starts_with("offset 0x34: multiboot load_end_addr is"));
        assert!(changed(0x38, 0x10_0fff).starts_with("offset 0x38: multiboot bss_end_addr is"));
        for entry in [0xf_ffff, 0x10_1000] {
            assert!(changed(0x3c, entry).starts_with("offset 0x3c: multiboot entry_addr is"));
        }
        let short = "offset 0x20: multiboot kernel needs 0x1000 bytes, 0xfff are there";
        assert_eq!(refused(&flat()[..0x101f]), short);
        // Loaded ends before the header.
        let wraps = "offset 0x20: multiboot kernel needs 0xffffffff bytes, 0x1000 are there";
        assert_eq!(changed(0x2c, 0x10_1001), wraps);
    }

    #[test]
    fn without_addresses_it_is_an_elf_file_of_32_bits() {
        let mut file = kernel(3);
        put(&mut file, 0x200, &header(3));
        assert_eq!(multiboot(&file), Ok(()));
        put(&mut file, 0x200, &header(1 << 3));
        let unknown = "offset 0x204: multiboot flags is 0x8, allowed: without bits 3 to 15";
        assert_eq!(refused(&file), unknown);
        let mut file = kernel(62);
        put(&mut file, 0x200, &header(3));
        assert!(refused(&file).starts_with("offset 0x12: e_machine is 0x3e"));
    }

    #[test]
    fn multiboot2_is_an_elf_file_of_x86() {
        for machine in [3, 6, 62] {
            let mut file = kernel(machine);
            file.resize(SEARCH_2 + 16, 0);
            assert!(multiboot_2(&file).is_err());
            for (at, found) in [
                (0x200, true),
                (0x204, false),
                (SEARCH_2 - 16, true),
                (SEARCH_2 - 8, false),
            ] {
                let mut file = file.clone();
                put(&mut file, at, &header_2());
                assert_eq!(multiboot_2(&file).is_ok(), found, "{at:#x}");
                file[at + 4] = 1;
                assert!(multiboot_2(&file).is_err());
            }
        }
        let mut file = kernel(40);
        put(&mut file, 0x200, &header_2());
        assert!(multiboot_2(&file).is_err());
    }
}
