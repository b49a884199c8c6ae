//! What a file is: the body is `fuzz::bootimg::detect`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bootimg::detect(data));
