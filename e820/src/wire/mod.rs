//! Memory maps as firmware, boot loaders and kernels hand them over in bytes.

pub mod array;
pub mod boot_params;
pub mod efi;
pub mod multiboot;
pub mod pvh;
pub mod setup_data;
