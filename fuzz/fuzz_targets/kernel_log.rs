//! Rings of the kernel log: the body is `fuzz::kernel::log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kernel::log(data));
