//! Compressed pages: the body is `fuzz::codec::decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::codec::decode(data));
