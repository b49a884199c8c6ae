//! Arithmetic of maps: the body is `fuzz::e820::algebra`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820::algebra(data));
