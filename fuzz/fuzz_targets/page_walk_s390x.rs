//! Page tables: the body is `fuzz::page_walk::s390x`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::page_walk::s390x(data));
