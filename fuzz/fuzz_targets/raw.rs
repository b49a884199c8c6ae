//! Memory without a container: the body is `fuzz::vmcore::raw`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vmcore::raw(data));
