//! The bodies of the fuzz targets, one module a crate.
//!
//! Each takes arbitrary bytes and asserts laws that must hold for all of them. `fuzz_targets/` hands
//! them to libFuzzer; `tests/replay.rs` runs them over `seeds/` in plain `cargo test`.

#![deny(missing_docs)]

pub mod e820;
pub mod elf;
pub mod page_walk;
pub mod vmcore;

/// The name of a target and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by the name of its binary and of its folder in `seeds/`.
pub const TARGETS: &[Target] = &[
    ("e820_boot_params", e820::boot_params),
    ("e820_dmesg", e820::dmesg),
    ("dump", vmcore::dump),
    ("vmcoreinfo", vmcore::vmcoreinfo),
    ("elf_header", elf::header),
    ("elf_notes", elf::notes),
    ("page_walk", page_walk::page_walk),
];
