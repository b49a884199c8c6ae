//! Zero pages: the body is `fuzz::e820::boot_params`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820::boot_params(data));
