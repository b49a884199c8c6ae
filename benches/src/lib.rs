//! What the benches share: a race, and a guest to race over.
//!
//! `cargo bench -p benches` runs everything; with `--features peers` also the rows of peers that are
//! crates, with `VMCORE=FILE` also over that dump. `benches/peers.sh` adds peers that are C libraries.
//! Machines are noisy: the ratios inside one race count, not the times.

pub mod guest;
pub mod list;
pub mod race;
