//! bzImages: the body is `fuzz::bootimg::bzimage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bootimg::bzimage(data));
