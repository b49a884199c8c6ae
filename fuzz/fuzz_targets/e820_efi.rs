//! EFI memory maps: the body is `fuzz::e820_forms::efi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820_forms::efi(data));
