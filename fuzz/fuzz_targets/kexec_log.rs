//! The body is `fuzz::kexec::log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kexec::log(data));
