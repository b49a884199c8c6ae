//! A memory map cleaned up: entries that overlap, in the order in which they were found (ns an entry).
//!
//! The limit is a sort of the entries, without which nothing goes. The peer is the kernel's method,
//! written beside it: all change points are sorted, and at each of them every open entry is looked at,
//! which takes n² steps where many are open. It gets its memory before the race, as in the kernel.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench of known input"
)]

use std::hint::black_box;

use benches::race::Race;
use e820::{Entry, Kind, MemoryMap, MergePolicy, RawEntry, Slots};

/// Entries cleaned up in a round, about.
const ENTRIES: usize = 20_000;

fn main() {
    for count in [10, 128, 10_000] {
        race(
            "overlapping, kinds 1 to 5",
            &overlapping(count, &[1, 1, 1, 2, 2, 3, 4, 5]),
        );
        race(
            "overlapping, some persistent",
            &overlapping(count, &[1, 1, 1, 2, 2, 3, 4, 5, 7, 12]),
        );
        race("side by side", &side_by_side(count));
    }
}

fn race(what: &str, found: &[RawEntry]) {
    let policy = MergePolicy::default();
    let maps = (ENTRIES / found.len()).max(1);
    let mut kernel = Kernel::default();
    let pieces = kernel.update_table(found, policy);
    let mut sorted = found.to_vec();
    let mut scratch = found.to_vec();
    let mut slots = vec![Entry::UNUSED; 2 * found.len()];
    Race::new(
        format!("e820: {} entries, {what}", found.len()),
        maps * found.len(),
        "entry",
    )
    .enter("a sort", || {
        (0..maps)
            .map(|_| {
                sorted.copy_from_slice(black_box(found));
                sorted.sort_unstable_by_key(|entry| entry.addr);
                black_box(&sorted);
                pieces
            })
            .sum()
    })
    .enter("e820, MemoryMap::sanitize", || {
        (0..maps)
            .map(|_| {
                scratch.copy_from_slice(black_box(found));
                let store = Slots::new(&mut slots[..]);
                let map = MemoryMap::sanitize(&mut scratch, store, policy).unwrap();
                map.entries().len() as u64
            })
            .sum()
    })
    .enter("the kernel's method", || {
        (0..maps)
            .map(|_| kernel.update_table(black_box(found), policy))
            .sum()
    })
    .run();
}

/// Starts and sizes at random over the same space, so that a quarter of all entries is open on average.
fn overlapping(count: usize, kinds: &[u32]) -> Vec<RawEntry> {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below as u64
    };
    (0..count)
        .map(|_| {
            let kind = kinds[usize::try_from(random(kinds.len())).unwrap()];
            RawEntry {
                addr: random(count) << 12,
                size: (random(count) + 1) << 11,
                kind: Kind(kind),
            }
        })
        .collect()
}

/// What firmware hands over: in order, none in the other.
fn side_by_side(count: usize) -> Vec<RawEntry> {
    let entry = |index: u64| RawEntry {
        addr: index << 20,
        size: 1 << 20,
        kind: Kind([1, 2, 1, 3, 4][usize::try_from(index % 5).unwrap()]),
    };
    (0..count as u64).map(entry).collect()
}

/// The kernel's method and its tables.
#[derive(Default)]
struct Kernel {
    points: Vec<(u64, bool, usize)>,
    open: Vec<usize>,
    result: Vec<RawEntry>,
}

impl Kernel {
    fn update_table(&mut self, found: &[RawEntry], policy: MergePolicy) -> u64 {
        let Self {
            points,
            open,
            result,
        } = self;
        points.clear();
        open.clear();
        result.clear();
        for (index, entry) in found.iter().enumerate().filter(|(_, entry)| entry.size > 0) {
            points.push((entry.addr, false, index));
            points.push((entry.addr + entry.size, true, index));
        }
        points.sort_unstable();
        let (mut last_kind, mut last_addr) = (Kind(0), 0);
        for &(at, ends, index) in &*points {
            if ends {
                let place = open.iter().position(|&other| other == index).unwrap();
                open.swap_remove(place);
            } else {
                open.push(index);
            }
            let kind = open
                .iter()
                .map(|&index| found[index].kind)
                .max()
                .unwrap_or_default();
            if kind != last_kind || !policy.merges(kind) {
                if last_kind != Kind(0) && at > last_addr {
                    let size = at - last_addr;
                    result.push(RawEntry {
                        addr: last_addr,
                        size,
                        kind: last_kind,
                    });
                }
                (last_kind, last_addr) = (kind, at);
            }
        }
        result.len() as u64
    }
}
