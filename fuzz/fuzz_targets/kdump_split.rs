//! Compressed dumps: the body is `fuzz::kdump::split`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kdump::split(data));
