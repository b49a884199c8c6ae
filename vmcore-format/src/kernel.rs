//! The kernel inside a dump: where its page tables are, its virtual memory, and what lies in it.
//!
//! ```text
//!  Layout ─▶ Virtual ─┬─▶ printk       what it said
//!                     ├─▶ kallsyms     what is where ─▶ btf   of which types
//!                     └─▶ page_flags   what it did with each page
//! ```
//!
//! No debug information is needed: VMCOREINFO and the kernel's own tables tell where everything is.

/// The number that VMCOREINFO tells under a key, which is named where it is missing.
macro_rules! told {
    ($info:expr, SYMBOL($name:literal)) => {
        told!($info, symbol, "SYMBOL(", $name)
    };
    ($info:expr, SIZE($name:literal)) => {
        told!($info, size, "SIZE(", $name)
    };
    ($info:expr, OFFSET($name:literal)) => {
        told!($info, field_offset, "OFFSET(", $name)
    };
    ($info:expr, LENGTH($name:literal)) => {
        told!($info, length, "LENGTH(", $name)
    };
    ($info:expr, NUMBER($name:literal)) => {
        told!($info, number, "NUMBER(", $name)
    };
    ($info:expr, $look_up:ident, $kind:literal, $name:literal) => {
        $info.$look_up($name).and_then(|told| {
            told.ok_or($crate::Error::Missing {
                what: concat!($kind, $name, ") in VMCOREINFO"),
            })
        })
    };
}

pub mod btf;
mod cpu;
pub mod kallsyms;
pub mod kexec_image;
mod layout;
mod mem_section;
mod memory;
pub mod page_flags;
mod paging;
pub mod printk;

pub use cpu::walker_of_cpu;
pub use layout::{Layout, walker_at};
pub use memory::{VirtError, Virtual, read};
