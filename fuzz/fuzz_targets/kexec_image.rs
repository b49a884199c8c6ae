//! `struct kimage`: the body is `fuzz::vmcore::kexec_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::vmcore::kexec_image(data));
