//! Zero pages: the body is `fuzz::bootimg::boot_params`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bootimg::boot_params(data));
