//! Struct pages: the body is `fuzz::kernel::pages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kernel::pages(data));
