//! VMCOREINFO: the body is `fuzz::elfcorehdr::proc_vmcore`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::elfcorehdr::proc_vmcore(data));
