//! BTF: the body is `fuzz::kernel::btf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::kernel::btf(data));
