//! Listings of Xen, GRUB and SeaBIOS: the body is `fuzz::e820_forms::listings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::e820_forms::listings(data));
