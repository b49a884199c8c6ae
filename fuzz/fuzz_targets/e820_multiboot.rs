//! Multiboot maps: the body is `fuzz::e820_forms::multiboot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820_forms::multiboot(data));
