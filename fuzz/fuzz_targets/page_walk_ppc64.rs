//! Page tables: the body is `fuzz::page_walk::ppc64`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::page_walk::ppc64(data));
