//! What a kernel that is about to die leaves behind, made by hand: notes, headers, whole cores.
//!
//! ```text
//!  registers ─▶ notes::CpuBuffer ────────┐
//!  Entry … ─▶ vmcoreinfo::Builder ─▶ notes::VmcoreinfoBuffer
//!                                        ▼ physical addresses
//!  ranges of RAM ──────────────▶ elfcorehdr::Builder ─▶ the elfcorehdr
//!                                                             │  + the dead kernel's memory
//!                                                             ▼
//!                                              proc_vmcore::ProcVmcore: ReadAt ─▶ Dump
//!
//!  registers, VMCOREINFO, parts of memory ─▶ core::Core ─▶ headers at once, memory piece by piece
//! ```
//!
//! A [`Piece`] is memory and its place in the file, in either.
//!
//! Builders write into a slice and allocate nothing; with the feature `alloc` each has `to_vec`.

pub mod core;
pub mod elfcorehdr;
pub mod notes;
mod piece;
#[cfg(feature = "alloc")]
pub mod proc_vmcore;

pub use piece::Piece;
