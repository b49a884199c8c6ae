//! Dumps in every container: the body is `fuzz::vmcore::dump`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vmcore::dump(data));
