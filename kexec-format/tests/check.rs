//! Every rule of a load, its errno, and which rule comes first.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use kexec_format::{
    Arch, KexecSegment, Limits, LoadFlags, Rejected,
    check::{Caller, EADDRNOTAVAIL, EINVAL, Kernel, Request, Rule, Version},
};
use physmem::{PageShift, PhysRange, Width};

const KERNEL: Kernel = Kernel {
    arch: Arch::X86_64,
    width: Width::U64,
    page: PageShift::SIZE_4K,
    version: Version::Since4_8,
    flags: LoadFlags::ON_CRASH.union(LoadFlags::PRESERVE_CONTEXT),
    limits: Limits::X86_64,
    ram_pages: 1000,
    crash_kernel: None,
};

fn segment(mem: u64, memsz: u64) -> KexecSegment {
    KexecSegment {
        buf: 0x7000_0000,
        bufsz: memsz.min(1),
        mem,
        memsz,
    }
}

fn request(segments: &[KexecSegment]) -> Request<'_> {
    Request {
        caller: Caller::Native,
        entry: 0x10_0000,
        segments,
        flags: LoadFlags::empty(),
        arch: Arch::X86_64,
    }
}

fn broken(result: Result<(), Rejected>) -> (Rule, i32, Option<u8>, Option<u8>) {
    let rejected = result.unwrap_err();
    let errno = rejected.errno().unwrap_or(0);
    (rejected.rule, errno, rejected.segment, rejected.other)
}

fn of(segments: &[KexecSegment]) -> (Rule, i32, Option<u8>, Option<u8>) {
    broken(KERNEL.check_segments(segments, false))
}

#[test]
fn flags_come_first_then_their_number_then_the_architecture() {
    let many = [segment(1, 1); 17];
    let mut all_wrong = Request {
        flags: LoadFlags::from_bits_retain(0x4),
        arch: Arch::ARM,
        ..request(&many)
    };
    assert_eq!(
        broken(KERNEL.check(&all_wrong)),
        (Rule::UnknownFlags, EINVAL, None, None)
    );
    all_wrong.flags = LoadFlags::empty();
    assert_eq!(
        broken(KERNEL.check(&all_wrong)),
        (Rule::TooManySegments, EINVAL, None, None)
    );
    all_wrong.segments = &many[..16];
    assert_eq!(
        broken(KERNEL.check(&all_wrong)),
        (Rule::ForeignArch, EINVAL, None, None)
    );
    all_wrong.arch = Arch::DEFAULT;
    let unaligned = (Rule::Unaligned, EADDRNOTAVAIL, Some(0), None);
    assert_eq!(broken(KERNEL.check(&all_wrong)), unaligned);
}

#[test]
fn a_32_bit_process_must_name_an_architecture() {
    let segments = [segment(0x10_0000, 0x1000)];
    let compat = |arch| Request {
        caller: Caller::Compat,
        arch,
        ..request(&segments)
    };
    assert_eq!(KERNEL.check(&compat(Arch::I386)), Ok(()));
    let foreign = (Rule::ForeignArch, EINVAL, None, None);
    assert_eq!(broken(KERNEL.check(&compat(Arch::DEFAULT))), foreign);
}

#[test]
fn no_segments_unload_and_nothing_else_is_looked_at() {
    let mut unload = request(&[]);
    unload.flags = LoadFlags::ON_CRASH;
    assert_eq!(KERNEL.check(&unload), Ok(()));
}

#[test]
fn places() {
    assert_eq!(
        KERNEL.check_segments(&[segment(0x1000, 0x1000)], false),
        Ok(())
    );
    let first = |rule| (rule, EADDRNOTAVAIL, Some(0), None);
    assert_eq!(of(&[segment(0x1001, 0xfff)]), first(Rule::Unaligned));
    assert_eq!(of(&[segment(0x1000, 0xfff)]), first(Rule::Unaligned));
    assert_eq!(
        of(&[segment(0xffff_ffff_ffff_f000, 0x1001)]),
        first(Rule::Wraps)
    );
    // An end of 2^64 is one of 0.
    assert_eq!(
        of(&[segment(0xffff_ffff_ffff_f000, 0x1000)]),
        first(Rule::Wraps)
    );
    let limit = 1 << 46;
    assert_eq!(of(&[segment(limit - 0x1000, 0x1000)]), first(Rule::TooHigh));
    assert_eq!(
        KERNEL.check_segments(&[segment(limit - 0x2000, 0x1000)], false),
        Ok(())
    );
}

#[test]
fn before_4_8_a_segment_could_wrap_and_be_large() {
    let old = Kernel {
        version: Version::Before4_8,
        ..KERNEL
    };
    let wraps = [segment(0xffff_ffff_ffff_f000, 0x2000)];
    assert_eq!(old.check_segments(&wraps, false), Ok(()));
    let large = [segment(0, 501 << 12)];
    assert_eq!(old.check_segments(&large, false), Ok(()));
    assert_eq!(of(&large), (Rule::HalfOfRam, EINVAL, Some(0), None));
}

#[test]
fn every_place_is_looked_at_before_any_pair() {
    let segments = [
        segment(0x1000, 0x2000),
        segment(0x2000, 0x1000),
        segment(0x9001, 0x1000),
    ];
    assert_eq!(
        of(&segments),
        (Rule::Unaligned, EADDRNOTAVAIL, Some(2), None)
    );
    assert_eq!(
        of(&segments[..2]),
        (Rule::Overlap, EINVAL, Some(1), Some(0))
    );
    // The first of several, for the first segment that has any.
    let three = [
        segment(0x1000, 0x4000),
        segment(0x8000, 0x4000),
        segment(0x1000, 0xb000),
    ];
    assert_eq!(of(&three), (Rule::Overlap, EINVAL, Some(2), Some(0)));
    let touching = [segment(0x2000, 0x1000), segment(0x1000, 0x1000)];
    assert_eq!(KERNEL.check_segments(&touching, false), Ok(()));
    // A segment without bytes overlaps only what is on both sides of it.
    let empty_inside = [segment(0x1000, 0x3000), segment(0x2000, 0)];
    assert_eq!(of(&empty_inside), (Rule::Overlap, EINVAL, Some(1), Some(0)));
    let empty_at_border = [segment(0x1000, 0x1000), segment(0x2000, 0)];
    assert_eq!(KERNEL.check_segments(&empty_at_border, false), Ok(()));
}

#[test]
fn bytes_and_amounts() {
    let mut long = segment(0x1000, 0x1000);
    long.bufsz = 0x1001;
    let segments = [segment(0x10_0000, 501 << 12), long];
    let long = (Rule::MoreBytesThanMemory, EINVAL, Some(1), None);
    assert_eq!(of(&segments), long);
    assert_eq!(of(&segments[..1]), (Rule::HalfOfRam, EINVAL, Some(0), None));
    let half = [segment(0, 500 << 12), segment(500 << 12, 0x1000)];
    assert_eq!(KERNEL.check_segments(&half[..1], false), Ok(()));
    assert_eq!(of(&half), (Rule::AllHalfOfRam, EINVAL, None, None));
}

#[test]
fn a_crash_image_lies_in_the_reserved_memory() {
    let kernel = Kernel {
        crash_kernel: Some(PhysRange::try_new(0x10_0000.into(), 0x20_0000.into()).unwrap()),
        ..KERNEL
    };
    let check = |entry, segments: &[KexecSegment]| {
        kernel.check(&Request {
            entry,
            flags: LoadFlags::ON_CRASH,
            ..request(segments)
        })
    };
    let inside = segment(0x1f_f000, 0x1000);
    assert_eq!(check(0x10_0000, &[inside]), Ok(()));
    let entry = (Rule::CrashEntry, EADDRNOTAVAIL, None, None);
    assert_eq!(broken(check(0x20_0000, &[inside])), entry);
    assert_eq!(broken(check(0xf_ffff, &[segment(1, 1)])), entry);
    let second = (Rule::OutsideCrashKernel, EADDRNOTAVAIL, Some(1), None);
    assert_eq!(
        broken(check(0x10_0000, &[inside, segment(0xf_f000, 0x1000)])),
        second
    );
    assert_eq!(
        broken(check(0x10_0000, &[inside, segment(0x20_0000, 0x1000)])),
        second
    );
    // The amounts come before.
    let large = [segment(0x10_0000, 501 << 12)];
    let amount = (Rule::HalfOfRam, EINVAL, Some(0), None);
    assert_eq!(broken(check(0x10_0000, &large)), amount);
    // Nothing reserved.
    let nowhere = broken(KERNEL.check(&Request {
        flags: LoadFlags::ON_CRASH,
        ..request(&[inside])
    }));
    assert_eq!(nowhere, entry);
    let unreserved = broken(KERNEL.check_segments(&[inside], true));
    assert_eq!(
        unreserved,
        (Rule::OutsideCrashKernel, EADDRNOTAVAIL, Some(0), None)
    );
}

#[test]
fn a_32_bit_kernel_adds_in_32_bits() {
    let i386 = Kernel {
        arch: Arch::I386,
        width: Width::U32,
        limits: Limits::I386,
        ..KERNEL
    };
    let rule = |segment| broken(i386.check_segments(&[segment], false));
    let wraps = (Rule::Wraps, EADDRNOTAVAIL, Some(0), None);
    assert_eq!(rule(segment(0xffff_f000, 0x1000)), wraps);
    // Its limit is the highest word, so that no aligned end reaches it.
    let highest = [segment(0xffff_e000, 0x1000)];
    assert_eq!(i386.check_segments(&highest, false), Ok(()));
    let wide = (Rule::WiderThanWord, 0, Some(0), None);
    assert_eq!(rule(segment(1 << 32, 0x1000)), wide);
    // The entry point, too, but to unload.
    let segments = [segment(0x10_0000, 0x1000)];
    let load = Request {
        entry: 1 << 32 | 0x10_0000,
        arch: Arch::I386,
        ..request(&segments)
    };
    let wide = (Rule::WiderThanWord, 0, None, None);
    assert_eq!(broken(i386.check(&load)), wide);
    assert_eq!(broken(i386.verdict(Rule::WiderThanWord, &load)), wide);
    let unload = Request {
        segments: &[],
        ..load
    };
    assert_eq!(i386.check(&unload), Ok(()));
}

#[test]
fn what_is_wrong_and_what_to_change_is_a_sentence() {
    let said = |kernel: &Kernel, rule, request: &Request<'_>| {
        kernel.verdict(rule, request).unwrap_err().to_string()
    };
    let segments = [segment(0x10_0000, 0x2000)];
    let crash = Request {
        flags: LoadFlags::ON_CRASH,
        ..request(&segments)
    };
    let reserving = |start: u64, end: u64| Kernel {
        crash_kernel: PhysRange::try_new(start.into(), end.into()).ok(),
        ..KERNEL
    };
    let entry = "the entry point 0x100000 is not in the memory reserved for a crash kernel";
    let byte = |at| {
        format!("segment 0: its byte at {at} is not in the memory reserved for a crash kernel")
    };
    let enter = ": enter a segment that is there (EADDRNOTAVAIL of kimage_alloc_init())";
    let place = ": place it there, or reserve more with crashkernel= \
                 (EADDRNOTAVAIL of sanity_check_segment_list())";
    for (kernel, at, which) in [
        (KERNEL, "0x100000", ", of which there is none"),
        (
            reserving(0x20_0000, 0x30_0000),
            "0x100000",
            ", which begins at 0x200000",
        ),
        (
            reserving(0x1000, 0x10_0000),
            "0x101fff",
            ", whose last byte is at 0xfffff",
        ),
    ] {
        let outside = said(&kernel, Rule::OutsideCrashKernel, &crash);
        assert_eq!(outside, format!("{}{which}{place}", byte(at)));
        let outside = said(&kernel, Rule::CrashEntry, &crash);
        assert_eq!(outside, format!("{entry}{which}{enter}"));
    }
    let small = Kernel {
        ram_pages: 1,
        ..KERNEL
    };
    let page = [segment(0x10_0000, 0x1000)];
    assert_eq!(
        said(&small, Rule::HalfOfRam, &request(&page)),
        "segment 0: its memory, 1 page, is more than half of the RAM, 1 page: load less \
         (EINVAL of sanity_check_segment_list())"
    );
    assert_eq!(
        said(&small, Rule::AllHalfOfRam, &request(&segments)),
        "the memory of all segments, 2 pages, is more than half of the RAM, 1 page: load less \
         (EINVAL of sanity_check_segment_list())"
    );
    let narrow = Kernel {
        width: Width::U32,
        ..KERNEL
    };
    let wide = [segment(1 << 32, 0x1000)];
    assert_eq!(
        said(&narrow, Rule::WiderThanWord, &request(&wide)),
        "segment 0: 0x100000000 is more than a word of this kernel can hold: pass at most 0xffffffff \
         (the kernel does not check it)"
    );
}

#[test]
fn the_entry_point_is_in_a_segment_or_nowhere() {
    let segments = [segment(0x2000, 0x1000), segment(0x10_0000, 0x1000)];
    let mut load = request(&segments);
    assert_eq!(load.entry_segment(), Ok(1));
    load.entry = 0x3000;
    let rejected = load.entry_segment().unwrap_err();
    assert_eq!(
        (rejected.rule, rejected.errno()),
        (Rule::EntryNowhere, None)
    );
    assert_eq!(
        rejected.to_string(),
        "the entry point 0x3000 is in none of the segments: enter one of them (the kernel does not check it)"
    );
}

/// Rules are told one by one, also those the kernel would not have come to.
#[test]
fn each_rule_has_its_verdict() {
    let segments = [
        segment(0x10_0800, 0x1000),
        segment(0x10_0000, 0x1000),
        KexecSegment {
            bufsz: 0x1001,
            ..segment(0x20_0000, 0x1000)
        },
    ];
    let load = Request {
        flags: LoadFlags::ON_CRASH | LoadFlags::from_bits_retain(0x4000),
        arch: Arch::ARM,
        entry: 0x30_0000,
        ..request(&segments)
    };
    let broken = Rule::OF_LOADS.map(|rule| KERNEL.verdict(rule, &load).err());
    let numbers = broken.map(|broken| broken.map(|broken| (broken.segment, broken.other)));
    let expected = [
        (Rule::UnknownFlags, (None, None)),
        (Rule::ForeignArch, (None, None)),
        (Rule::CrashEntry, (None, None)),
        (Rule::Unaligned, (Some(0), None)),
        (Rule::Overlap, (Some(1), Some(0))),
        (Rule::MoreBytesThanMemory, (Some(2), None)),
        (Rule::OutsideCrashKernel, (Some(0), None)),
        (Rule::EntryNowhere, (None, None)),
    ];
    for ((rule, broken), numbers) in Rule::OF_LOADS.into_iter().zip(broken).zip(numbers) {
        let expected = expected.iter().find(|(other, _)| *other == rule);
        assert_eq!(numbers, expected.map(|(_, numbers)| *numbers), "{rule:?}");
        assert!(broken.is_none_or(|broken| broken.rule == rule));
    }
    // To unload, nothing but the first three.
    let unload = Request {
        segments: &[],
        ..load
    };
    let broken = Rule::OF_LOADS.map(|rule| KERNEL.verdict(rule, &unload).is_err());
    assert!(broken[0] && broken[2] && broken[3..].iter().all(|broken| !broken));
}

#[test]
fn rules_are_listed_in_the_kernels_order_and_have_names() {
    assert!(Rule::OF_LOADS.is_sorted());
    let mut names = Rule::OF_LOADS.map(Rule::name).to_vec();
    names.push(Rule::NoPlace.name());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Rule::OF_LOADS.len() + 1);
}
