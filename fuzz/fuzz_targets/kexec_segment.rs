//! The body is `fuzz::kexec::segment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kexec::segment(data));
