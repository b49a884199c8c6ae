//! VMCOREINFO: the body is `fuzz::elfcorehdr::elfcorehdr`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::elfcorehdr::elfcorehdr(data));
