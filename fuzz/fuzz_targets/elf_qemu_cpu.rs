//! What QEMU adds of an x86 CPU: the body is `fuzz::elf::qemu_cpu`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::elf::qemu_cpu(data));
