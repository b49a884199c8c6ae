//! The body is `fuzz::kexec::list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kexec::list(data));
