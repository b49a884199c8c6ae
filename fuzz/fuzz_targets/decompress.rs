//! Compressed streams: the body is `fuzz::bootimg::decompress`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bootimg::decompress(data));
