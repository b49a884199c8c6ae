//! Notes: the body is `fuzz::elf::notes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::elf::notes(data));
