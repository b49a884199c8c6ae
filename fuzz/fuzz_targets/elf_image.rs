//! ELF kernels: the body is `fuzz::bootimg::elf_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bootimg::elf_image(data));
