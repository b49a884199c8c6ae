//! A file: the body is `fuzz::elf::header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::elf::header(data));
