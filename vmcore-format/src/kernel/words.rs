//! How wide the words of a dump's kernel are.
//!
//! ```text
//!  machine                      class      unsigned long
//!  i386, arm, ppc, sh, m68k     either     4 bytes
//!  any other                    ELF32      4
//!                               ELF64      8
//! ```
//!
//! The class alone does not tell: whoever dumps 32-bit machines with memory above 4 GiB, as QEMU does for
//! i386 with PAE, writes ELF64 for its longer addresses.
//!
//! Source: `cpu_get_dump_info()` in QEMU `target/i386/arch_dump.c`.

use elf_format::{Class, Machine};
use physmem::Width;

use crate::{Dump, ReadAt};

/// Width of the kernel's `unsigned long`.
pub fn word_width<S: ReadAt>(dump: &Dump<S>) -> Width {
    match (dump.machine(), dump.encoding().class) {
        (Machine::I386 | Machine::ARM | Machine::PPC | Machine::SH | Machine::M68K, _)
        | (_, Class::Elf32) => Width::U32,
        (_, Class::Elf64) => Width::U64,
    }
}
