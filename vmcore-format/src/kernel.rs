//! The kernel inside a dump: where its page tables are, and its virtual memory.

mod cpu;
pub mod kexec_image;
mod layout;
mod memory;
mod paging;

pub use cpu::walker_of_cpu;
pub use layout::{Layout, walker_at};
pub use memory::{VirtError, read};
