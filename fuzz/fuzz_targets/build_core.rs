//! Cores of guests: the body is `fuzz::build_core::build_core`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::build_core::build_core(data));
