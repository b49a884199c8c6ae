//! PVH tables and e820 arrays: the body is `fuzz::e820_forms::pvh`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820_forms::pvh(data));
