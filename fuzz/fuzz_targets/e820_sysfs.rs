//! Texts of `/sys/firmware/memmap`: the body is `fuzz::e820_forms::sysfs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820_forms::sysfs(data));
