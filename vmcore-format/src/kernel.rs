//! The kernel inside a dump: where its page tables are, and its virtual memory.

mod layout;
mod memory;

pub use layout::{Layout, walker_at};
pub use memory::{VirtError, read};
