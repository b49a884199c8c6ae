//! VMCOREINFO: the body is `fuzz::vmcore::vmcoreinfo`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vmcore::vmcoreinfo(data));
