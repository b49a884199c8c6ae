//! What a Xen that crashed says: the body is `fuzz::elf::xen`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::elf::xen(data));
