//! `memmap=` and `mem=`: the body is `fuzz::e820::memmap_param`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820::memmap_param(data));
