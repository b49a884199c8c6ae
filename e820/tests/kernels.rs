//! What real kernels and kexec-tools did with their maps, done again from what they had.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{fs, path::PathBuf};

use e820::{
    Direction, EndOfRam, Entry, GapSearch, Kind, MemoryMap, MergePolicy, PlaceRequest, Placement,
    RawMap,
    crash::{Kernel, Refusal, Reservation},
    handover::{CaptureImage, Loader},
    place,
    text::{
        crashkernel::wanted,
        dmesg::{LogEntries, Who},
        elfcorehdr::ElfCoreHdr,
    },
};
use physmem::{Pfn, PhysAddr, PhysRange};

type Map = MemoryMap<Vec<Entry>>;

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The map of one source in a log, as the kernel printed it.
fn logged(name: &str, who: Who) -> Map {
    let log = sample(name);
    let found = LogEntries::new(log.as_bytes()).map(Result::unwrap);
    let entries: RawMap<Vec<_>> = found
        .filter(|found| found.who == who)
        .map(|found| found.entry)
        .collect();
    let map = entries.sanitize(MergePolicy::default()).unwrap();
    assert_eq!(
        map.to_raw(),
        entries,
        "the kernel has cleaned it up already"
    );
    map
}

/// What stands behind this in the only line of a log, or in the first one.
fn after<'a>(log: &'a str, words: &str) -> &'a str {
    let line = log.lines().find(|line| line.contains(words)).unwrap();
    line.split_once(words).unwrap().1
}

/// `start-last` in hexadecimal, with or without `0x`.
fn range(text: &str) -> PhysRange {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let (start, last) = text.split_once('-').unwrap();
    PhysRange::inclusive(number(start).into(), number(last).into()).unwrap()
}

/// Resources of `/proc/iomem` by depth and name.
fn resources(name: &str) -> Vec<(usize, PhysRange, String)> {
    let line = |line: &str| {
        let (text, name) = line.split_once(" : ").unwrap();
        let depth = (text.len() - text.trim_start().len()) / 2;
        (depth, range(text.trim()), name.to_owned())
    };
    sample(name).lines().map(line).collect()
}

fn of_name(resources: &[(usize, PhysRange, String)], name: &str) -> Vec<PhysRange> {
    resources
        .iter()
        .filter(|(_, _, other)| other == name)
        .map(|(_, range, _)| *range)
        .collect()
}

/// What lies between the first and the last byte of the kernel's own resources.
fn kernel_image(resources: &[(usize, PhysRange, String)]) -> PhysRange {
    let start = of_name(resources, "Kernel code")[0].start();
    PhysRange::try_new(start, of_name(resources, "Kernel bss")[0].end()).unwrap()
}

/// What the kernel does to every map early on: no RAM in the first page and in the hole below 1 MiB.
fn as_used(mut map: Map) -> Map {
    let page = PhysRange::with_size(0.into(), 0x1000).unwrap();
    map.update(page, Kind::RAM, Kind::RESERVED).unwrap();
    map.remove(range("a0000-fffff"), Some(Kind::RAM)).unwrap();
    map.merge(MergePolicy::default());
    map
}

#[test]
fn the_end_of_ram_and_the_gap_for_devices() {
    for (name, who) in [
        ("seabios-6G.dmesg.txt", Who::BiosE820),
        ("seabios-6G-crashkernel-high.dmesg.txt", Who::BiosE820),
        ("seabios-512M-memmap-exact.dmesg.txt", Who::User),
        ("seabios-512M-hotplug.dmesg.txt", Who::BiosE820),
        ("kdump-first.dmesg.txt", Who::BiosE820),
        ("kexec-c-ovmf.first.dmesg.txt", Who::BiosE820),
    ] {
        let log = sample(name);
        let map = as_used(logged(name, who));
        let last_pfn = after(&log, "last_pfn = 0x").split_once(' ').unwrap().0;
        let max_arch_pfn = Pfn::new(0x4_0000_0000);
        let end = map.end_of_ram(max_arch_pfn, EndOfRam::Ram).as_u64();
        assert_eq!(format!("{end:x}"), last_pfn, "{name}");

        let gap = map.pci_gap(GapSearch::Descending).unwrap();
        let (start, last) = (gap.start().as_u64(), gap.last().as_u64());
        let line = format!("[mem {start:#010x}-{last:#010x}] available for PCI devices");
        assert!(log.contains(&line), "{name}: {line}");
        // No gap in these lies at the bottom, so nothing has changed for them with 7.0.
        assert_eq!(map.pci_gap(GapSearch::Ascending), Some(gap), "{name}");
    }
}

#[test]
fn the_user_map() {
    let name = "seabios-512M-memmap-exact.dmesg.txt";
    let log = sample(name);
    let cmdline = after(&log, "Command line: ");
    let firmware = logged(name, Who::BiosE820);
    let user = firmware
        .with_cmdline(cmdline.as_bytes(), MergePolicy::default())
        .unwrap();
    assert!(user.unwrap() == logged(name, Who::User));

    let cmdline = sample("seabios-6G.dmesg.txt");
    let cmdline = after(&cmdline, "Command line: ").as_bytes();
    assert!(
        firmware
            .with_cmdline(cmdline, MergePolicy::default())
            .unwrap()
            .is_none()
    );
}

#[test]
fn crashkernel_goes_where_the_kernel_put_it() {
    for name in ["kdump-first", "seabios-6G-crashkernel-high"] {
        let log = sample(&format!("{name}.dmesg.txt"));
        let resources = resources(&format!("{name}.iomem.txt"));
        let map = as_used(logged(&format!("{name}.dmesg.txt"), Who::BiosE820));
        let busy = [
            kernel_image(&resources),
            range(after(&log, "RAMDISK: [mem ").trim_end_matches(']')),
            range(after(&log, "NODE_DATA(0) allocated [mem ").trim_end_matches(']')),
        ];
        let kernel = Kernel::X86_64_BEFORE_6_6;
        let ram = map.total(Kind::RAM);
        let cmdline = after(&log, "Command line: ").as_bytes();
        let wanted = wanted(cmdline, ram, &kernel).unwrap().unwrap();
        let Reservation { main, low } = map.reserve_crashkernel(&wanted, &busy, &kernel).unwrap();
        let found: Vec<_> = low.into_iter().chain([main]).collect();
        assert_eq!(found, of_name(&resources, "Crash kernel"), "{name}");
    }
}

#[test]
fn crashkernel_that_cannot_be() {
    let map = as_used(logged("kdump-first.dmesg.txt", Who::BiosE820));
    let ram = map.total(Kind::RAM);
    let kernel = Kernel::X86_64;
    let reserve = |cmdline: &str| {
        let wanted = wanted(cmdline.as_bytes(), ram, &kernel)?.unwrap();
        map.reserve_crashkernel(&wanted, &[], &kernel)
    };
    assert!(reserve("crashkernel=288M").is_ok());
    assert_eq!(
        reserve("crashkernel=304M"),
        Err(Refusal::NoRoom { size: 304 << 20 })
    );
    assert_eq!(
        reserve("crashkernel=320M"),
        Err(Refusal::TooBig {
            size: 320 << 20,
            ram
        })
    );
    // 319 MiB count as 384.
    assert!(reserve("crashkernel=320M-512M:64M").is_ok());
}

/// `(start, size)` of the segments in a `kexec -d` log.
fn segments(log: &str) -> Vec<(u64, u64)> {
    let numbers = |field: &str| -> Vec<u64> {
        let lines = log
            .lines()
            .filter(|line| line.contains(&format!("].{field} ")));
        lines
            .map(|line| u64::from_str_radix(line.split_once("= 0x").unwrap().1, 16).unwrap())
            .collect()
    };
    numbers("mem").into_iter().zip(numbers("memsz")).collect()
}

/// Places every segment as kexec-tools does, in this order, and compares.
fn place_all(log: &str, ranges: &[PhysRange], order: &[usize]) {
    let segments = segments(log);
    assert_eq!(segments.len(), order.len());
    let mut busy = Vec::new();
    for &index in order {
        let (start, size) = segments[index];
        // The kernel image is known by its size: `init_size` of a Linux 6.1.
        let align = if size == 0x337_8000 {
            0x20_0000
        } else {
            0x1000
        };
        let lowest = size == 0x1000;
        let direction = if lowest {
            Direction::BottomUp
        } else {
            Direction::TopDown
        };
        let window = PhysRange::with_size(0x1000.into(), 0xffff_f000).unwrap();
        let request = PlaceRequest {
            size,
            align,
            window,
            direction,
        };
        let place = place::find(ranges.iter().copied(), &busy, request, Placement::Exact).unwrap();
        assert_eq!(place.start(), PhysAddr::new(start), "segment {index}");
        busy.push(place);
    }
}

#[test]
fn segments_go_where_kexec_tools_put_them() {
    let map = logged("kexec-c.first.dmesg.txt", Who::BiosE820);
    let ram: Vec<_> = map.ranges(Kind::RAM).collect();
    // Purgatory, parameters, kernel, initrd.
    place_all(&sample("kexec-c.kexec.txt"), &ram, &[3, 2, 1, 0]);

    let reserved = of_name(&resources("kdump-first.iomem.txt"), "Crash kernel");
    // Backup, elfcorehdr, purgatory, parameters, kernel, initrd, setup_data.
    place_all(
        &sample("kdump-first.kexec.txt"),
        &reserved,
        &[6, 5, 4, 3, 2, 1, 0],
    );
}

#[test]
fn the_map_after_a_reboot_by_kexec() {
    for (name, loader) in [
        ("kexec-c", Loader::KexecTools),
        ("kexec-c-ovmf", Loader::KexecTools),
        ("kexec-s", Loader::Linux),
    ] {
        let first = logged(&format!("{name}.first.dmesg.txt"), Who::BiosE820);
        let second = logged(&format!("{name}.second.dmesg.txt"), Who::BiosE820);
        assert!(
            first.next_kernel(loader, Vec::new()).unwrap() == second,
            "{name}"
        );
    }
}

/// The first kernel of the crash: what `/proc/iomem` says about memory at its top level.
fn first_kernel() -> Map {
    let kind = |name: &str| match name {
        "System RAM" => Some(Kind::RAM),
        "Reserved" => Some(Kind::RESERVED),
        _ => None,
    };
    let resources = resources("kdump-first.iomem.txt");
    let entries = resources
        .iter()
        .filter(|(depth, ..)| *depth == 0)
        .filter_map(|(_, range, name)| {
            Some(Entry {
                range: *range,
                kind: kind(name)?,
            })
        });
    let map = MemoryMap::try_new(entries.collect()).unwrap();
    assert!(map == as_used(logged("kdump-first.dmesg.txt", Who::BiosE820)));
    map
}

#[test]
fn the_map_of_the_capture_kernel() {
    let first = first_kernel();
    let capture_log = sample("kdump-capture.dmesg.txt");
    let log = sample("kdump-first.kexec.txt");
    let reserved = of_name(&resources("kdump-first.iomem.txt"), "Crash kernel");

    // The last two segments; the backup is as large as what is backed up.
    let [.., (headers, headers_size), (backup, _)] = segments(&log)[..] else {
        panic!()
    };
    let source = first.ranges(Kind::RAM).next().unwrap();
    let cmdline = after(&capture_log, "Command line: ").as_bytes();
    assert_eq!(ElfCoreHdr::find(cmdline).unwrap().addr.as_u64(), headers);
    let image = CaptureImage {
        reserved: &reserved,
        taken: &[
            PhysRange::with_size(headers.into(), headers_size).unwrap(),
            PhysRange::with_size(backup.into(), source.size()).unwrap(),
        ],
        backup: Some(source),
    };
    let map = first
        .capture_kernel(Loader::KexecTools, &image, Vec::new())
        .unwrap();
    assert!(map == logged("kdump-capture.dmesg.txt", Who::BiosE820));
    let printed: String = map
        .entries()
        .iter()
        .map(|Entry { range, kind }| {
            let (start, last) = (range.start().as_u64(), range.last().as_u64());
            format!("{start:016x}-{last:016x} ({})\n", kind.0)
        })
        .collect();
    assert!(log.contains(&printed), "as kexec-tools printed it");

    // Had the kernel loaded it: no backup, the first MiB as it is.
    let image = CaptureImage {
        taken: &image.taken[..1],
        ..image
    };
    let map = first
        .capture_kernel(Loader::Linux, &image, Vec::new())
        .unwrap();
    let ram: Vec<_> = map
        .ranges(Kind::RAM)
        .map(|range| range.to_string())
        .collect();
    assert_eq!(
        ram,
        [
            "0x1000..0x9fc00",
            "0x8000000..0xef5d000",
            "0xef61000..0xf000000"
        ]
    );
    assert_eq!(map.total(Kind::RESERVED), first.total(Kind::RESERVED));
}
