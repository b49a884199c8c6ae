//! Memory maps as Linux, hypervisors, boot loaders and firmware show them in text.

pub mod cmdline;
pub mod crashkernel;
pub mod dmesg;
pub mod elfcorehdr;
pub mod iomem;
mod line;
pub mod listings;
pub mod memmap_param;
pub mod memparse;
pub mod sysfs;
