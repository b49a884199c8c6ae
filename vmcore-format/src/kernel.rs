//! The kernel inside a dump: where its page tables are, its virtual memory, and what lies in it.
//!
//! ```text
//!  Layout ─▶ Virtual ─┬─▶ printk       what it said
//!                     ├─▶ kallsyms     what is where ─▶ btf   of which types
//!                     └─▶ page_flags   what it did with each page
//! ```
//!
//! No debug information is needed: VMCOREINFO and the kernel's own tables tell where everything is.
//!
//! ```
//! use physmem::{Pfn, VirtAddr};
//! use vmcore_format::{Dump, kernel};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kdump-inside.elf");
//! let file = std::fs::read(path)?;
//! let dump = Dump::open(&file[..])?;
//! let info = dump.vmcoreinfo()?.ok_or("no VMCOREINFO")?;
//! let memory = dump.reader();
//! let virt = kernel::Virtual::of(&dump, &memory)?;
//!
//! let last = kernel::printk::records(&info, virt)?.last().ok_or("an empty log")??;
//! assert_eq!(last.to_string(), "[   11.285167]  </TASK>");
//!
//! let symbols = kernel::kallsyms::Kallsyms::new(&info, virt)?;
//! let found = symbols.at(VirtAddr::new(0xffff_ffff_a680_1234))?.ok_or("no symbol")?;
//! assert_eq!((&found.symbol.name[..], found.offset), (&b"sme_prepare_pgd"[..], 0xd4));
//!
//! let pages = kernel::page_flags::Pages::new(&info, virt, dump.page_size()?)?;
//! let frame = pages.frame(Pfn::new(4200))?.ok_or("no such frame")?;
//! assert_eq!(frame.kind, kernel::page_flags::Kind::Cache);
//! assert!(frame.excluded_by.excluded_at(2)); // makedumpfile -d 2
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[macro_use]
mod told;

pub mod btf;
mod check;
mod cpu;
pub mod kallsyms;
pub mod kexec_image;
mod layout;
mod lowcore;
mod mem_section;
mod memory;
pub mod page_flags;
mod paging;
pub mod printk;
mod words;

pub(crate) use check::check;
pub use cpu::walker_of_cpu;
pub use layout::{Layout, walker_at, walker_of};
pub use lowcore::vmcoreinfo_of_lowcore;
pub use memory::{VirtError, Virtual, read};
pub use words::word_width;
