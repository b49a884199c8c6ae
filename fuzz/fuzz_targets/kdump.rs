//! Compressed dumps: the body is `fuzz::kdump::kdump`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kdump::kdump(data));
