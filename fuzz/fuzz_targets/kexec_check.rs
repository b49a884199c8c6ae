//! The body is `fuzz::kexec::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kexec::check(data));
