//! Memory maps as firmware, boot loaders and kernels hand them over in bytes.

pub mod boot_params;
