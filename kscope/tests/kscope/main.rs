//! The built command, run as a person or a program runs it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod cli;
mod dump;
mod dump_forms;
mod dump_inside;
mod dump_raw;
mod dump_read;
mod dump_real;
mod dump_tables;
mod extract;
mod image;
mod json;
mod kexec;
mod kexec_found;
mod map;
mod map_drawings;
mod map_edits;
mod map_forms;
mod support;
