//! Lists of `setup_data` nodes: the body is `fuzz::e820_forms::setup_data`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820_forms::setup_data(data));
