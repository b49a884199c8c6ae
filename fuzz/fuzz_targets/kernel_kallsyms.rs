//! Kallsyms tables: the body is `fuzz::kernel::kallsyms`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kernel::kallsyms(data));
