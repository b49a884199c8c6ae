//! Flattened files: the body is `fuzz::flattened::flattened`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::flattened::flattened(data));
