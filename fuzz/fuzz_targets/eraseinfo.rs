//! What was erased of a dump: the body is `fuzz::vmcore::eraseinfo`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vmcore::eraseinfo(data));
