//! Text forms of memory maps: maps of 10,000 lines, and an ordinary log, each through its parser (ns a
//! byte). The aim is 500 MB/s, 2 ns a byte.
//!
//! The limit is finding where the lines end, without which nothing goes.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench of known input"
)]

use std::{fmt::Write as _, hint::black_box};

use benches::race::Race;
use e820::{
    Kind, RawEntry, RawMap,
    text::{
        dmesg::{Form, LogEntries, LogItems, Who},
        iomem::Resources,
        listings::{self, Listings, Program},
        sysfs::SysfsEntries,
    },
};

const LINES: usize = 10_000;

fn row(name: &str, text: &str, expected: usize, mut parse: impl FnMut(&[u8]) -> usize) {
    let text = text.as_bytes();
    Race::new(format!("e820: {name}"), text.len(), "byte")
        .enter("the ends of lines", || {
            black_box(memchr::memchr_iter(b'\n', black_box(text)).sum::<usize>());
            expected as u64
        })
        .enter("e820", || parse(black_box(text)) as u64)
        .run();
}

fn main() {
    let map: RawMap<Vec<_>> = (0..LINES as u64)
        .map(|n| RawEntry {
            addr: n << 21,
            size: 1 << 20,
            kind: [Kind::RAM, Kind::RESERVED, Kind::NVS, Kind(9)][n as usize % 4],
        })
        .collect();
    let with_prefix = |lines: String| -> String {
        lines
            .lines()
            .map(|line| format!("[    0.000000] {line}\n"))
            .collect()
    };
    for (name, form) in [
        ("log, 3.5 to 6.19", Form::From3_5),
        ("log, before 3.5", Form::Before3_5),
        ("log, 7.0 on, with gaps", Form::From7_0),
    ] {
        let log = with_prefix(map.log_lines(Who::BiosE820).form(form).to_string());
        row(name, &log, LINES, |log| {
            LogEntries::new(log).filter(Result::is_ok).count()
        });
    }
    let log = with_prefix(map.log_lines(Who::SetupData).to_string());
    row("log, reserve setup_data", &log, LINES, |log| {
        LogEntries::new(log).filter(Result::is_ok).count()
    });

    let other: String = (0..LINES)
        .map(|n| {
            format!(
                "[{:>5}.{:06}] pci 0000:00:02.0: reg 0x10: [mem 0x{n:08x}-0xfdffffff pref]\n",
                n / 100,
                n % 100
            )
        })
        .collect();
    row("log without maps", &other, 0, |log| {
        LogEntries::new(log).filter(Result::is_ok).count()
    });
    row("log without maps, items", &other, 0, |log| {
        LogItems::new(log).filter(Result::is_ok).count()
    });

    let mut iomem = String::new();
    for entry in map.entries().iter().take(LINES / 4) {
        let _ = writeln!(
            iomem,
            "{:08x}-{:08x} : PCI Bus 0000:00",
            entry.addr,
            entry.addr + 0xfffff
        );
        let _ = writeln!(
            iomem,
            "  {:08x}-{:08x} : 0000:00:02.0",
            entry.addr,
            entry.addr + 0xffff
        );
        let _ = writeln!(
            iomem,
            "    {:08x}-{:08x} : virtio-pci-modern",
            entry.addr,
            entry.addr + 0xfff
        );
        let _ = writeln!(
            iomem,
            "{:08x}-{:08x} : System RAM",
            entry.addr + 0x100000,
            entry.addr + 0x1fffff
        );
    }
    let parse =
        |text: &[u8]| Resources::parse(text).map_or(0, |all| all.filter(Result::is_ok).count());
    row("iomem, tree", &iomem, LINES, parse);
    row("iomem, map", &iomem, LINES / 4, |text| {
        Resources::parse(text).map_or(0, |all| all.entries().count())
    });

    let sysfs = map.sysfs_lines().to_string();
    row("sysfs, one text", &sysfs, LINES, |text| {
        SysfsEntries::new(text).filter(Result::is_ok).count()
    });
    for (name, form, program) in [
        ("listing of Xen", listings::Form::Xen, Program::Xen),
        ("listing of GRUB", listings::Form::Grub, Program::Grub),
        (
            "listing of SeaBIOS",
            listings::Form::SeaBios,
            Program::SeaBios,
        ),
    ] {
        let text = map.listing(form).to_string();
        row(name, &text, LINES, |text| {
            Listings::new(text, program).filter(Result::is_ok).count()
        });
    }
}
