//! Listings of `/proc/iomem`: the body is `fuzz::e820_forms::iomem`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820_forms::iomem(data));
