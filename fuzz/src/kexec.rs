//! Arbitrary bytes as kexec's lists, segments and loads.

use std::collections::HashSet;

use kexec_format::{
    Arch, Decoding, Error, Format, KexecSegment, KimageEntry, Limits, List, LoadFlags, Mode,
    Rejected,
    check::{Caller, Kernel, Request, Rule, Version},
    entry::Step,
    list::{ListRule, Run},
    log::{Listing, Log},
    relocate,
};
use physmem::{Endian, PageShift, PhysAddr, PhysMemory, PhysRange, Region, Width};

const LENIENT: [Decoding; 7] = [
    Decoding::X86,
    Decoding::Arm64,
    Decoding::Arm,
    Decoding::Mips,
    Decoding::M68k,
    Decoding::Sh,
    Decoding::Ppc64,
];

fn word(bytes: &[u8], number: usize) -> Option<u64> {
    let bytes = bytes.get(number * 8..)?;
    Width::U64.decode(bytes, Endian::Little)
}

/// The input is memory from address 0 but for its first 16 bytes: how words are made and read, and the
/// head. A walk agrees with one that takes word by word, and ends; what is strictly right is the same
/// to all architectures; a broken list moves nothing.
pub fn list(data: &[u8]) {
    let (Some(setup), Some(head)) = (word(data, 0), word(data, 1)) else {
        return;
    };
    let Ok(memory) = Region::try_new(PhysAddr::new(0), data[16..].to_vec()) else {
        return;
    };
    let decoding = match setup >> 3 & 7 {
        0 => Decoding::Strict,
        number => LENIENT[number as usize - 1],
    };
    let width = [Width::U64, Width::U32][(setup & 1) as usize];
    let list = List {
        head: KimageEntry::new(match width {
            Width::U32 => head & 0xffff_ffff,
            Width::U64 => head,
        }),
        format: Format {
            width,
            endian: [Endian::Little, Endian::Big][(setup >> 1 & 1) as usize],
            page: [PageShift::SIZE_4K, PageShift::SIZE_16K][(setup >> 2 & 1) as usize],
        },
        decoding,
    };
    let pages_of = |list: List| {
        let (mut pages, mut error) = (Vec::new(), None);
        for run in list.runs(&memory) {
            assert_eq!(error, None, "something after an error");
            match run {
                Err(found) => error = Some(found),
                Ok(run) => {
                    let size = list.format.page.bytes();
                    pages.extend((0..run.pages).map(|page| {
                        let at = |from: PhysAddr| from.as_u64() + page * size;
                        (at(run.destination), at(run.source))
                    }));
                }
            }
            // Three times the words of all pages; odd links may begin a page at every byte.
            let starts = if decoding == Decoding::Strict {
                1
            } else {
                4096
            };
            assert!(pages.len() <= 3 * data.len() * starts);
        }
        (pages, error)
    };
    let collected: Vec<_> = list.runs(&memory).collect();
    let folded = list.runs(&memory).fold(Vec::new(), |mut runs, run| {
        runs.push(run);
        runs
    });
    assert_eq!(folded, collected);
    let (pages, error) = pages_of(list);
    let (expected, expected_rule) = word_by_word(list, &memory);
    let rule = match error {
        None => None,
        Some(Error::BadList { rule, .. }) => Some(rule),
        Some(other) => panic!("{other}"),
    };
    assert_eq!(rule, expected_rule);
    match rule {
        // A loop may be gone through more than once before it is seen.
        Some(ListRule::Loop) => assert!(pages.starts_with(&expected)),
        _ => assert_eq!(pages, expected),
    }
    if decoding == Decoding::Strict && rule.is_none() {
        for decoding in LENIENT {
            assert_eq!(pages_of(List { decoding, ..list }), (pages.clone(), None));
        }
    }
    let mut uses = vec![Run::default(); list.verify_len(&memory).unwrap_or(0)];
    let verdict = list.verify(&memory, &mut uses);
    match error {
        Some(_) => assert_eq!(verdict.err(), error),
        None => assert!(matches!(verdict, Ok(()) | Err(Error::Clash { .. }))),
    }
    for mode in [Mode::Copy, Mode::Swap] {
        let mut moved = memory.clone();
        match relocate(&mut moved, list, mode, &mut [0; 100]) {
            Ok(count) => {
                assert!(rule.is_none() && count == pages.len() as u64);
                // Each page was read before it was overwritten.
                let len = list.format.page.bytes() as usize;
                let lend = |memory: &Region<Vec<u8>>, at: u64| {
                    memory.lend(PhysAddr::new(at), len).map(<[u8]>::to_vec)
                };
                for &(to, from) in pages.iter().filter(|_| verdict.is_ok()) {
                    assert!(lend(&moved, to) == lend(&memory, from));
                }
            }
            Err(found) if error.is_some() => {
                assert_eq!(Some(found), error);
                assert!(moved == memory);
            }
            // Pages that are not there, or a list that overwrites itself.
            Err(Error::Memory(_) | Error::BadList { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// What a list moves, page for page, until it ends or a link comes twice.
fn word_by_word(list: List, memory: &Region<Vec<u8>>) -> (Vec<(u64, u64)>, Option<ListRule>) {
    let Format {
        width,
        endian,
        page,
    } = list.format;
    let size = page.bytes();
    let highest = match width {
        Width::U32 => 0xffff_ffff,
        Width::U64 => u64::MAX,
    };
    let (mut pages, mut links) = (Vec::new(), HashSet::new());
    let (mut entry, mut at, mut destination) = (list.head, None, None);
    let rule = loop {
        let step = match list.decoding.decode(entry, page) {
            Ok(step) => step,
            Err(rule) => break Some(rule),
        };
        let mut next = at;
        match step {
            Step::Done => break None,
            Step::Indirection(target) => {
                if !links.insert(target) {
                    break Some(ListRule::Loop);
                }
                let end = target.align_down(page).as_u64().wrapping_add(size);
                next = Some((target.as_u64(), end));
            }
            _ if at.is_none() => break Some(ListRule::Head),
            Step::Nothing => {}
            Step::Destination(to) => destination = Some(to.as_u64()),
            Step::Source(from) => {
                let Some(to) = destination else {
                    break Some(ListRule::NoDestination);
                };
                let fits = |page: u64| page.checked_add(size).is_some_and(|end| end <= highest);
                if !fits(from.as_u64()) || !fits(to) {
                    break Some(ListRule::Wraps);
                }
                pages.push((to, from.as_u64()));
                destination = Some(to + size);
            }
        }
        let (here, end) = next.expect("a head is not passed over");
        if end.wrapping_sub(here) < width.bytes() as u64 || here == end {
            break Some(ListRule::NoLink);
        }
        match memory.word(PhysAddr::new(here), width, endian) {
            Ok(word) => entry = KimageEntry::new(word),
            Err(lost) => break Some(ListRule::Unreadable(lost.why)),
        }
        at = Some((here.wrapping_add(width.bytes() as u64), end));
    };
    (pages, rule)
}

/// The input is `struct kexec_segment`s in a row: what is read of them is written again, in all forms.
pub fn segment(data: &[u8]) {
    let mut segments = Vec::new();
    for width in [Width::U32, Width::U64] {
        for endian in [Endian::Little, Endian::Big] {
            for bytes in data.chunks(KexecSegment::byte_len(width)) {
                let whole = bytes.len() == KexecSegment::byte_len(width);
                let parsed = KexecSegment::parse(bytes, width, endian);
                assert_eq!(parsed.is_ok(), whole);
                let Ok(segment) = parsed else { continue };
                let mut out = [0; 32];
                assert_eq!(segment.emit(width, endian, &mut out), Ok(bytes.len()));
                assert_eq!(&out[..bytes.len()], bytes);
                let wide = [segment.buf, segment.bufsz, segment.mem, segment.memsz]
                    .iter()
                    .any(|value| *value > 0xffff_ffff);
                assert_eq!(segment.emit(Width::U32, endian, &mut out).is_err(), wide);
                segments.push(segment);
            }
        }
    }
    assert_eq!(logged(&Listing(&segments).to_string()), Ok(segments));
}

fn logged(text: &str) -> Result<Vec<KexecSegment>, Error> {
    Log::new(text).segments().collect()
}

/// The input is the text of a log. What is read of it prints as a log that is read as the same, and an
/// error is the last word.
pub fn log(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let log = Log::new(&text);
    if let Ok(segments) = logged(&text) {
        assert_eq!(logged(&Listing(&segments).to_string()), Ok(segments));
    }
    assert!(log.segments().skip_while(Result::is_ok).count() <= 1);
    if let Ok(Some(call)) = log.call() {
        let flags = call.flags.with_arch(call.arch);
        let printed = format!("kexec_load: entry = {:#x} flags = {flags:#x}\n", call.entry);
        assert_eq!(Log::new(&printed).call(), Ok(Some(call)));
    }
}

/// The input is a kernel, a load and its segments. The verdict is that of a plain reading of the rules.
pub fn check(data: &[u8]) {
    let mut words = (0..8).map_while(|number| word(data, number));
    let mut next = || words.next();
    let (Some(setup), Some(flags), Some(entry), Some(ram_pages), Some(start), Some(size)) =
        (next(), next(), next(), next(), next(), next())
    else {
        return;
    };
    let segments: Vec<KexecSegment> = data[48..]
        .chunks_exact(32)
        .map(|bytes| KexecSegment::parse(bytes, Width::U64, Endian::Little).expect("whole"))
        .collect();
    let (flags, arch) = LoadFlags::split(flags);
    let narrow = setup & 1 != 0;
    let kernel = Kernel {
        arch: if narrow { Arch::I386 } else { Arch::X86_64 },
        width: if narrow { Width::U32 } else { Width::U64 },
        page: PageShift::try_new(12 + (setup >> 1 & 7) as u8).expect("12 to 19"),
        version: [Version::Before4_8, Version::Since4_8][(setup >> 4 & 1) as usize],
        flags: LoadFlags::from_bits_retain(setup >> 8 & 0xff),
        limits: if narrow { Limits::I386 } else { Limits::X86_64 },
        ram_pages,
        crash_kernel: PhysRange::with_size(start.into(), size).ok(),
    };
    let request = Request {
        caller: [Caller::Native, Caller::Compat][(setup >> 5 & 1) as usize],
        entry,
        segments: &segments,
        flags,
        arch,
    };
    let rejected = kernel.check(&request).err();
    assert_eq!(
        rejected.map(|rejected| rejected.rule),
        plainly(&kernel, &request)
    );
    // The kernel stops at one of the rules that are broken, and goes on if none of its own is.
    let broken: Vec<Rejected> = Rule::OF_LOADS
        .into_iter()
        .filter_map(|rule| kernel.verdict(rule, &request).err())
        .collect();
    assert_eq!(
        rejected.is_some(),
        broken
            .iter()
            .any(|broken| broken.rule != Rule::EntryNowhere)
    );
    if let Some(rejected) = rejected {
        assert!(broken.iter().any(|broken| broken.rule == rejected.rule));
        assert!(!rejected.to_string().is_empty());
        // A number says which; those in `other` come first.
        assert!(rejected.other < rejected.segment || rejected.other.is_none());
    }
    let entered = request.entry_segment().ok();
    let holds = |segment: &KexecSegment| {
        let end = u128::from(segment.mem) + u128::from(segment.memsz);
        segment.mem <= entry && u128::from(entry) < end
    };
    assert_eq!(entered, segments.iter().position(holds));
}

/// The rules of `kexec_load()`, one after the other, with integers that do not wrap.
fn plainly(kernel: &Kernel, request: &Request<'_>) -> Option<Rule> {
    if request.flags.bits() & !kernel.flags.bits() != 0 {
        return Some(Rule::UnknownFlags);
    }
    if request.segments.len() > 16 {
        return Some(Rule::TooManySegments);
    }
    let default = request.arch == Arch::DEFAULT;
    if match request.caller {
        Caller::Native => !default && request.arch != kernel.arch,
        Caller::Compat => default,
    } {
        return Some(Rule::ForeignArch);
    }
    if request.segments.is_empty() {
        return None;
    }
    let crash = request.flags.contains(LoadFlags::ON_CRASH);
    let reserved = kernel
        .crash_kernel
        .map(|range| (range.start().as_u64(), range.last().as_u64()));
    if crash && !reserved.is_some_and(|(first, last)| (first..=last).contains(&request.entry)) {
        return Some(Rule::CrashEntry);
    }
    let space: u128 = match kernel.width {
        Width::U32 => 1 << 32,
        Width::U64 => 1 << 64,
    };
    if u128::from(request.entry) >= space {
        return Some(Rule::WiderThanWord);
    }
    let page = u128::from(kernel.page.bytes());
    let since_4_8 = kernel.version == Version::Since4_8;
    let places: Vec<(u128, u128)> = request
        .segments
        .iter()
        .map(|segment| {
            let (mem, memsz) = (u128::from(segment.mem), u128::from(segment.memsz));
            (mem, (mem + memsz) % space)
        })
        .collect();
    for (segment, &(mem, end)) in request.segments.iter().zip(&places) {
        let values = [segment.buf, segment.bufsz, segment.mem, segment.memsz];
        if values.iter().any(|value| u128::from(*value) >= space) {
            return Some(Rule::WiderThanWord);
        }
        if since_4_8 && mem + u128::from(segment.memsz) >= space {
            return Some(Rule::Wraps);
        }
        if mem % page != 0 || end % page != 0 {
            return Some(Rule::Unaligned);
        }
        if end >= u128::from(kernel.limits.destination) {
            return Some(Rule::TooHigh);
        }
    }
    for (number, (mem, end)) in places.iter().enumerate() {
        let mut before = places[..number].iter();
        if before.any(|(other, other_end)| end > other && mem < other_end) {
            return Some(Rule::Overlap);
        }
    }
    if request
        .segments
        .iter()
        .any(|segment| segment.bufsz > segment.memsz)
    {
        return Some(Rule::MoreBytesThanMemory);
    }
    if since_4_8 {
        let pages = request
            .segments
            .iter()
            .map(|segment| u128::from(segment.memsz) / page);
        let half = u128::from(kernel.ram_pages) / 2;
        if pages.clone().any(|pages| pages > half) {
            return Some(Rule::HalfOfRam);
        }
        if pages.sum::<u128>() > half {
            return Some(Rule::AllHalfOfRam);
        }
    }
    let (first, last) = reserved.unwrap_or_default();
    let outside = |&(mem, end): &(u128, u128)| {
        mem < u128::from(first) || (end + space - 1) % space > u128::from(last)
    };
    (crash && places.iter().any(outside)).then_some(Rule::OutsideCrashKernel)
}
