//! The maps of Multiboot 1 and 2: how GRUB and its kin hand the map to kernels.
//!
//! ```text
//!  Multiboot 1   size u32 │ base u64 │ length u64 │ type u32 │ …      size bytes after itself
//!  Multiboot 2   base u64 │ length u64 │ type u32 │ reserved u32 │ …  entry_size bytes each
//! ```
//!
//! Multiboot Specification 0.6.96, section 3.3; Multiboot2 Specification 2.0, section 3.6.8. Type 1
//! is available RAM, 3 holds ACPI tables, 4 is to be kept over hibernation, 5 is defective, all
//! others are reserved: the numbers of e820, and kept as such.

#![deny(clippy::arithmetic_side_effects)]

pub mod v1;
pub mod v2;
