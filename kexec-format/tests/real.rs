//! Loads that a real kernel accepted: they pass, changed ones fail by the right rule, and the places
//! kexec-tools found are found again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use e820::Direction;
use kexec_format::{
    Arch, Error, KexecSegment, Limits, LoadFlags,
    check::{Caller, Kernel, Request, Rule, Version},
    log::{self, Listing},
    place::{Buffer, Placer},
};
use physmem::{PageShift, PhysRange, Width};

const LOAD: &str = include_str!("../testdata/load.kexec-d.txt");
const LOAD_OVMF: &str = include_str!("../testdata/load-ovmf.kexec-d.txt");
const CRASH: &str = include_str!("../testdata/crash.kexec-d.txt");

/// What is in a log of `kexec -d`.
struct Log {
    ram: Vec<PhysRange>,
    entry: u64,
    flags: LoadFlags,
    arch: Arch,
    segments: Vec<KexecSegment>,
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap()
}

fn parse(log: &str) -> Log {
    let ranges = log.lines().filter_map(|line| line.strip_suffix(" (0)"));
    let ram = ranges.map(|range| {
        let (start, last) = range.split_once('-').unwrap();
        PhysRange::inclusive(hex(start).into(), hex(last).into()).unwrap()
    });
    let call = log
        .lines()
        .find_map(|line| line.strip_prefix("kexec_load: entry = "));
    let (entry, flags) = call.unwrap().split_once(" flags = ").unwrap();
    let (flags, arch) = LoadFlags::split(hex(flags));
    let fields: Vec<u64> = log
        .lines()
        .filter(|line| line.starts_with("segment["))
        .map(|line| hex(line.split_once('=').unwrap().1))
        .collect();
    let segments = fields.chunks_exact(4).map(|fields| KexecSegment {
        buf: fields[0],
        bufsz: fields[1],
        mem: fields[2],
        memsz: fields[3],
    });
    Log {
        ram: ram.collect(),
        entry: hex(entry),
        flags,
        arch,
        segments: segments.collect(),
    }
}

fn reserved() -> PhysRange {
    PhysRange::inclusive(0x800_0000.into(), 0xeff_ffff.into()).unwrap()
}

/// The kernel that accepted them, with the least RAM any of the guests had.
fn kernel() -> Kernel {
    Kernel {
        arch: Arch::X86_64,
        width: Width::U64,
        page: PageShift::SIZE_4K,
        version: Version::Since4_8,
        flags: LoadFlags::ON_CRASH | LoadFlags::PRESERVE_CONTEXT,
        limits: Limits::X86_64,
        ram_pages: 135_932 / 4,
        crash_kernel: Some(reserved()),
    }
}

impl Log {
    fn request(&self) -> Request<'_> {
        Request {
            caller: Caller::Native,
            entry: self.entry,
            segments: &self.segments,
            flags: self.flags,
            arch: self.arch,
        }
    }

    /// What a changed load breaks.
    fn broken(&self, change: impl FnOnce(&mut Self)) -> Rule {
        let mut changed = parse(CRASH);
        changed.segments.clone_from(&self.segments);
        (changed.entry, changed.flags, changed.arch) = (self.entry, self.flags, self.arch);
        change(&mut changed);
        kernel().check(&changed.request()).unwrap_err().rule
    }
}

#[test]
fn what_the_kernel_took_passes() {
    for (log, count, purgatory) in [(LOAD, 4, 3), (LOAD_OVMF, 6, 5), (CRASH, 7, 4)] {
        let log = parse(log);
        assert_eq!(log.segments.len(), count);
        assert_eq!(log.arch, Arch::X86_64);
        assert_eq!(kernel().check(&log.request()), Ok(()));
        assert_eq!(log.request().entry_segment(), Ok(purgatory));
    }
    assert_eq!(parse(LOAD).flags, LoadFlags::empty());
    assert_eq!(parse(CRASH).flags, LoadFlags::ON_CRASH);
}

#[test]
fn they_print_as_kexec_prints_them() {
    for log in [LOAD, LOAD_OVMF, CRASH] {
        let listed = Listing(&parse(log).segments).to_string();
        assert!(log.ends_with(&listed), "{listed}");
    }
}

/// The first line of the log that lists segments: how many there are.
const COUNT: usize = 16;

#[test]
fn a_log_that_was_cut_is_not_a_smaller_load() {
    let lines: Vec<_> = CRASH.split_inclusive('\n').collect();
    for cut in 0..=lines.len() {
        let text = lines[..cut].concat();
        let read: Result<Vec<_>, _> = log::Log::new(&text).segments().collect();
        let complained = match read {
            Ok(segments) => {
                let expected = if cut < COUNT {
                    &[][..]
                } else {
                    &parse(CRASH).segments
                };
                assert_eq!(segments, expected);
                assert!(cut < COUNT || cut == lines.len());
                continue;
            }
            Err(Error::BadText { line, .. }) => usize::try_from(line).unwrap(),
            Err(other) => panic!("{other}"),
        };
        let inside_a_segment = (cut - COUNT) % 4 != 0;
        assert_eq!(complained, if inside_a_segment { cut } else { COUNT });
    }
}

#[test]
fn changed_loads_break_the_rule_they_should() {
    for log in [LOAD, LOAD_OVMF, CRASH] {
        let log = parse(log);
        let broken = |change: fn(&mut Log)| log.broken(change);
        assert_eq!(
            broken(|log| log.flags |= LoadFlags::DEBUG),
            Rule::UnknownFlags
        );
        assert_eq!(broken(|log| log.arch = Arch::I386), Rule::ForeignArch);
        assert_eq!(broken(|log| log.segments[1].mem += 0x800), Rule::Unaligned);
        assert_eq!(broken(|log| log.segments[2].memsz += 1), Rule::Unaligned);
        assert_eq!(
            broken(|log| log.segments[0].mem = 0u64.wrapping_sub(0x1000)),
            Rule::Wraps
        );
        assert_eq!(broken(|log| log.segments[0].mem |= 1 << 46), Rule::TooHigh);
        assert_eq!(
            broken(|log| log.segments[0].mem = log.segments[2].mem),
            Rule::Overlap
        );
        let more = broken(|log| log.segments[3].bufsz = log.segments[3].memsz + 1);
        assert_eq!(more, Rule::MoreBytesThanMemory);
        let too_many = broken(|log| log.segments.resize(17, KexecSegment::default()));
        assert_eq!(too_many, Rule::TooManySegments);
        let half = broken(|log| {
            log.segments[0] = KexecSegment {
                mem: 0x4000_0000,
                memsz: 68 << 20,
                ..KexecSegment::default()
            }
        });
        assert_eq!(half, Rule::HalfOfRam);
        let all = broken(|log| {
            log.segments[0] = KexecSegment {
                mem: 0x4000_0000,
                memsz: 40 << 20,
                ..KexecSegment::default()
            }
        });
        assert_eq!(all, Rule::AllHalfOfRam);
    }
    let crash = parse(CRASH);
    assert_eq!(crash.broken(|log| log.entry = 0xf00_0000), Rule::CrashEntry);
    let outside = crash.broken(|log| log.segments[0].mem = 0xf00_0000);
    assert_eq!(outside, Rule::OutsideCrashKernel);
    // The same kernel would not take a normal image as a crash image.
    let normal = parse(LOAD);
    assert_eq!(
        normal.broken(|log| log.flags |= LoadFlags::ON_CRASH),
        Rule::CrashEntry
    );
}

/// Places a log's segments in the order kexec-tools did.
fn place_all(
    ranges: &[PhysRange],
    segments: &[KexecSegment],
    order: &[(usize, Direction, u64, u64)],
) -> Vec<u64> {
    let mut placed = Vec::new();
    for &(number, direction, align, lowest) in order {
        let buffer = Buffer {
            // Not yet rounded, as a loader asks.
            memsz: segments[number].memsz - 1,
            align,
            window: PhysRange::try_new(lowest.into(), 0x8000_0000.into()).unwrap(),
            direction,
        };
        let ranges = ranges.iter().copied();
        let place = Placer::KexecTools.place(ranges, &placed, buffer, PageShift::SIZE_4K);
        placed.push(place.unwrap());
    }
    placed.iter().map(|place| place.start().as_u64()).collect()
}

#[test]
fn kexec_tools_places_are_found_again() {
    use Direction::{BottomUp, TopDown};

    let check = |log: &str, reserved: Option<PhysRange>, order: &[(usize, Direction, u64, u64)]| {
        let log = parse(log);
        let ranges = reserved.map_or(log.ram, |reserved| vec![reserved]);
        let expected: Vec<u64> = order
            .iter()
            .map(|&(number, ..)| log.segments[number].mem)
            .collect();
        assert_eq!(order.len(), log.segments.len());
        assert_eq!(place_all(&ranges, &log.segments, order), expected);
    };
    // Purgatory, parameters, kernel, initrd.
    let load = [
        (3, TopDown, 0x1000, 0x3000),
        (2, TopDown, 16, 0x3000),
        (1, TopDown, 0x20_0000, 0x10_0000),
        (0, TopDown, 0x1000, 0x10_0000),
    ];
    check(LOAD, None, &load);
    // … and what of EFI is handed over, between kernel and initrd or after.
    let load_ovmf = [
        (5, TopDown, 0x1000, 0x3000),
        (4, TopDown, 16, 0x3000),
        (2, TopDown, 0x20_0000, 0x10_0000),
        (3, TopDown, 0x1000, 0x10_0000),
        (0, BottomUp, 16, 0x10_0000),
        (1, BottomUp, 16, 0x10_0000),
    ];
    check(LOAD_OVMF, None, &load_ovmf);
    // Backup of the first 640 KiB, core header, then as above.
    let crash = [
        (6, TopDown, 1024, 0),
        (5, TopDown, 1024, 0),
        (4, TopDown, 0x1000, 0x3000),
        (3, TopDown, 16, 0x3000),
        (2, TopDown, 0x20_0000, 0x10_0000),
        (1, TopDown, 0x1000, 0x10_0000),
        (0, BottomUp, 16, 0x10_0000),
    ];
    check(CRASH, Some(reserved()), &crash);
}

#[test]
fn what_cannot_be_placed_is_rejected() {
    let ram = [PhysRange::try_new(0x1000.into(), 0x1_0000.into()).unwrap()];
    let buffer = Buffer {
        memsz: 0xf001,
        align: 1,
        window: PhysRange::try_new(0.into(), u64::MAX.into()).unwrap(),
        direction: Direction::BottomUp,
    };
    let page = PageShift::SIZE_4K;
    let place = |placed: &[PhysRange], memsz| {
        let buffer = Buffer { memsz, ..buffer };
        Placer::Linux
            .place(ram, placed, buffer, page)
            .map_err(|rejected| rejected.rule)
    };
    assert_eq!(place(&[], 0xf000), Ok(ram[0]));
    assert_eq!(place(&[], 0xf001), Err(Rule::NoPlace));
    assert_eq!(place(&[], u64::MAX), Err(Rule::NoPlace));
    assert_eq!(place(&[], 0), Err(Rule::NoPlace));
    let many = [PhysRange::try_new(0x10_0000.into(), 0x10_1000.into()).unwrap(); 16];
    assert_eq!(place(&many[..15], 0x1000).map(PhysRange::size), Ok(0x1000));
    assert_eq!(place(&many, 0x1000), Err(Rule::TooManySegments));
}

#[test]
fn linux_before_6_8_places_in_the_lowest_range_and_not_at_its_end() {
    let ram = [
        PhysRange::try_new(0x1000.into(), 0x9000.into()).unwrap(),
        PhysRange::try_new(0x2_0000.into(), 0x3_0000.into()).unwrap(),
    ];
    let buffer = Buffer {
        memsz: 0x1000,
        align: 0x1000,
        window: PhysRange::try_new(0.into(), u64::MAX.into()).unwrap(),
        direction: Direction::TopDown,
    };
    let start = |placer: Placer| {
        let place = placer.place(ram, &[], buffer, PageShift::SIZE_4K).unwrap();
        place.start().as_u64()
    };
    assert_eq!(start(Placer::Linux), 0x2_f000);
    assert_eq!(start(Placer::KexecTools), 0x2_f000);
    assert_eq!(start(Placer::LinuxBefore6_8), 0x7000);
}
