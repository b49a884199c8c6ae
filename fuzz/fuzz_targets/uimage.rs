//! uImages: the body is `fuzz::bootimg::uimage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bootimg::uimage(data));
