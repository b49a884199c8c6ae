//! Memory maps as Linux shows them in text.

pub mod dmesg;
