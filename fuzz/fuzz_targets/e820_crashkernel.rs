//! `crashkernel=`: the body is `fuzz::e820::crashkernel`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820::crashkernel(data));
