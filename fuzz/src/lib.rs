//! The bodies of the fuzz targets, one module a crate.
//!
//! Each takes arbitrary bytes and asserts laws that must hold for all of them. `fuzz_targets/` hands
//! them to libFuzzer; `tests/replay.rs` runs them over `seeds/` in plain `cargo test`.

#![deny(missing_docs)]

pub mod bootimg;
pub mod build_core;
pub mod codec;
pub mod e820;
pub mod e820_forms;
pub mod elf;
pub mod elfcorehdr;
pub mod flattened;
pub mod kdump;
pub mod kernel;
pub mod kexec;
pub mod page_walk;
pub mod vmcore;

/// The name of a target and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by the name of its binary and of its folder in `seeds/`.
pub const TARGETS: &[Target] = &[
    ("bzimage", bootimg::bzimage),
    ("uimage", bootimg::uimage),
    ("elf_image", bootimg::elf_image),
    ("detect", bootimg::detect),
    ("decompress", bootimg::decompress),
    ("boot_params", bootimg::boot_params),
    ("e820_boot_params", e820::boot_params),
    ("e820_algebra", e820::algebra),
    ("e820_crashkernel", e820::crashkernel),
    ("e820_dmesg", e820::dmesg),
    ("e820_memmap_param", e820::memmap_param),
    ("e820_iomem", e820_forms::iomem),
    ("e820_sysfs", e820_forms::sysfs),
    ("e820_listings", e820_forms::listings),
    ("e820_setup_data", e820_forms::setup_data),
    ("e820_efi", e820_forms::efi),
    ("e820_multiboot", e820_forms::multiboot),
    ("e820_pvh", e820_forms::pvh),
    ("build_core", build_core::build_core),
    ("codec_decode", codec::decode),
    ("dump", vmcore::dump),
    ("flattened", flattened::flattened),
    ("vmcoreinfo", vmcore::vmcoreinfo),
    ("eraseinfo", vmcore::eraseinfo),
    ("raw", vmcore::raw),
    ("elfcorehdr", elfcorehdr::elfcorehdr),
    ("proc_vmcore", elfcorehdr::proc_vmcore),
    ("kexec_image", vmcore::kexec_image),
    ("elf_header", elf::header),
    ("elf_notes", elf::notes),
    ("elf_qemu_cpu", elf::qemu_cpu),
    ("elf_xen", elf::xen),
    ("page_walk", page_walk::page_walk),
    ("page_walk_x86", page_walk::x86),
    ("page_walk_aarch64", page_walk::aarch64),
    ("page_walk_riscv64", page_walk::riscv64),
    ("page_walk_ppc64", page_walk::ppc64),
    ("page_walk_s390x", page_walk::s390x),
    ("kdump", kdump::kdump),
    ("kdump_split", kdump::split),
    ("kernel_log", kernel::log),
    ("kernel_kallsyms", kernel::kallsyms),
    ("kernel_btf", kernel::btf),
    ("kernel_pages", kernel::pages),
    ("kexec_list", kexec::list),
    ("kexec_check", kexec::check),
    ("kexec_segment", kexec::segment),
    ("kexec_log", kexec::log),
];
