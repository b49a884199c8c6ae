//! Laws of every form: what is printed is read again, what is emitted is parsed again, and no bytes
//! cause a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use e820::{
    Error, Kind, RawEntry, RawMap, Words,
    text::{
        dmesg::{Form, LogEntries, LogItem, LogItems, Who},
        iomem::Resources,
        listings::{self, Listings, Program},
        sysfs::{self, SysfsEntries},
    },
    wire::{
        array::{AcpiArray, AcpiArrayBuilder, AcpiEntry, Array, ArrayBuilder, Attributes},
        boot_params::{self, BootParams, Builder},
        efi::{self, Attribute, Descriptor, MemoryMapBuilder, MemoryType, Rule},
        multiboot::{v1, v2},
        pvh,
        setup_data::{self, ExtensionBuilder},
    },
};
use physmem::{PhysAddr, Region};
use proptest::{collection::vec, prelude::*, sample::select};

const FORMS: [Form; 3] = [Form::Before3_5, Form::From3_5, Form::From7_0];
const LISTINGS: [(listings::Form, Program); 5] = [
    (listings::Form::Xen, Program::Xen),
    (listings::Form::XenExclusive, Program::Xen),
    (listings::Form::Grub, Program::Grub),
    (listings::Form::GrubNumbers, Program::Grub),
    (listings::Form::SeaBios, Program::SeaBios),
];

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        select(&[1, 2, 3, 4, 5, 7, 12, 16, 20, 128, 0xefff_ffff, u32::MAX][..]),
        any::<u32>()
    ]
    .prop_map(Kind)
}

fn entries() -> impl Strategy<Value = RawEntry> {
    // Small numbers meet each other, large ones the end of the address space.
    let number = prop_oneof![0..64_u64, any::<u64>(), u64::MAX - 64..=u64::MAX];
    (number.clone(), number, kinds()).prop_map(|(addr, size, kind)| RawEntry { addr, size, kind })
}

/// Entries that a range can tell, be its end inclusive or not.
fn printable() -> impl Strategy<Value = RawEntry> {
    entries().prop_filter("wraps", |entry| {
        entry.last().is_some() || (entry.size == 0 && entry.addr > 0)
    })
}

/// Lines of all forms, cut into pieces, between arbitrary bytes.
fn broken_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = select(
        &[
            "BIOS-e820: ",
            " user: ",
            "[mem ",
            "[gap ",
            "0x",
            "0000000000001000",
            "-",
            " - ",
            "] ",
            "]",
            "usable",
            " System RAM",
            "(usable)",
            "type 9",
            "\n",
            "\r\n",
            " physical RAM map:",
            "[    0.000000] ",
            "ffffffffffffffff",
            "e820: update [mem 0x00000000-0x00000fff]",
            "e820: remove [mem 0x000a0000-0x000fffff]",
            " ==> ",
            "e820 update range: ",
            "reserve RAM buffer: ",
            "00001000",
            "00001fff",
            " : ",
            "  ",
            "Reserved",
            "0 ",
            "1 ",
            "0x1000 ",
            "(XEN) ",
            " [",
            ", ",
            "base_addr = 0x",
            ", length = 0x",
            "available RAM",
            "e820 map has ",
            "2 items:",
            "  0: ",
            "  1: ",
            " = ",
            "1 RAM",
            "00000000-00000000",
        ][..],
    );
    let piece = prop_oneof![
        9 => pieces.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn lines(text: &[u8]) -> u64 {
    text.split_inclusive(|&b| b == b'\n').count() as u64
}

/// Reads to the end: how many items there are, and the error.
fn run<T>(items: impl Iterator<Item = Result<T, Error>>) -> (u64, Option<Error>) {
    let mut read = 0;
    for item in items {
        match item {
            Ok(_) => read += 1,
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

/// Bytes that a builder writes, with room behind them.
fn emitted(len: usize, emit: impl FnOnce(&mut [u8]) -> Result<usize, Error>) -> Vec<u8> {
    let mut out = vec![0xaa; len + 1];
    assert_eq!(emit(&mut out), Ok(len));
    assert_eq!(out.pop(), Some(0xaa));
    out
}

proptest! {
    #[test]
    fn kinds_come_back_from_words(kind in kinds()) {
        for words in [Words::Log, Words::Log7_0, Words::Parenthesised, Words::Grub] {
            prop_assert_eq!(words.kind(&words.word(kind).to_string()), Some(kind));
        }
    }

    #[test]
    fn logs_come_back(
        map in vec(printable(), 0..20),
        who in select(Who::ALL),
        form in select(&FORMS[..]),
        prefix in select(&["", "[    0.000000] ", "<6>", "Nov 12 10:00:00 host kernel: "][..]),
        end in select(&["\n", "\r\n"][..]),
    ) {
        let printed = RawMap::new(&map[..]).log_lines(who).form(form).to_string();
        let log: String = printed.lines().map(|line| format!("{prefix}{line}{end}")).collect();
        let mut found = LogEntries::new(log.as_bytes());
        let read: Vec<_> = found.by_ref().map(Result::unwrap).collect();
        prop_assert!(read.iter().all(|found| (found.who, found.form) == (who, form)));
        // Gaps, and the lines that announce an entry out of order.
        prop_assert_eq!(found.skipped(), lines(log.as_bytes()) - map.len() as u64);
        let again: Vec<_> = read.iter().map(|found| found.entry).collect();
        prop_assert_eq!(&again, &map);
        prop_assert_eq!(RawMap::new(again).log_lines(who).form(form).to_string(), printed);
    }

    #[test]
    fn listings_come_back(map in vec(printable(), 0..20), form in select(&LISTINGS[..])) {
        let (form, program) = form;
        let printed = RawMap::new(&map[..]).listing(form).to_string();
        let read: Vec<_> = Listings::new(printed.as_bytes(), program).map(Result::unwrap).collect();
        prop_assert!(read.iter().map(|listed| listed.entry).eq(map.iter().copied()));
    }

    #[test]
    fn sysfs_and_iomem_come_back(map in vec(printable(), 0..20)) {
        let map: Vec<_> = map.into_iter().map(|mut entry| {
            let words = Words::Resource;
            entry.kind = words.kind(&words.word(entry.kind).to_string()).unwrap();
            entry
        }).collect();
        let raw = RawMap::new(&map[..]);
        let text = raw.sysfs_lines().to_string();
        let read: Vec<_> = SysfsEntries::new(text.as_bytes()).map(|e| e.unwrap().entry).collect();
        prop_assert_eq!(&read, &map);
        for entry in &map {
            let last = entry.addr.wrapping_add(entry.size).wrapping_sub(1);
            let (start, last) = (format!("{:#x}\n", entry.addr), format!("{last:#x}\n"));
            let kind = format!("{}\n", Words::Resource.word(entry.kind));
            prop_assert_eq!(sysfs::entry(start.as_bytes(), last.as_bytes(), kind.as_bytes()), Ok(*entry));
        }

        let text = raw.iomem_lines().to_string();
        if let Ok(resources) = Resources::parse(text.as_bytes()) {
            let read: Vec<_> = resources.entries().map(Result::unwrap).collect();
            let listed: Vec<_> = map.iter().filter(|entry| entry.last().is_some()).copied().collect();
            prop_assert_eq!(read, listed);
        } else {
            prop_assert!(map.iter().all(|entry| entry.addr == 0 && entry.size <= 1 || entry.size == 0));
        }
    }

    #[test]
    fn trees_come_back(levels in vec((0..10_u8, any::<u32>(), any::<u32>(), "[ -~]{0,9}"), 1..20)) {
        let mut above = None;
        let text: String = levels.into_iter().map(|(depth, a, b, name)| {
            let deepest = above.map_or(0, |depth: u8| (depth + 1).min(8));
            let depth = depth.min(deepest);
            above = Some(depth);
            let indent = "  ".repeat(depth.into());
            format!("{indent}{:08x}-{:08x} : {name}\n", a.min(b), u64::from(a.max(b)) + 1)
        }).collect();
        let found = Resources::parse(text.as_bytes()).unwrap();
        let printed: String = found.map(|line| format!("{}\n", line.unwrap())).collect();
        prop_assert_eq!(printed, text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in broken_text()) {
        let mut log = LogItems::new(&text);
        let (read, error) = run(log.by_ref());
        prop_assert!(error.is_some() || read + log.skipped() == lines(&text));
        let mut entries = LogEntries::new(&text);
        let (read, error) = run(entries.by_ref());
        prop_assert!(error.is_some() || read + entries.skipped() == lines(&text));
        for program in [Program::Xen, Program::Grub, Program::SeaBios] {
            let mut listed = Listings::new(&text, program);
            let (read, error) = run(listed.by_ref());
            prop_assert!(error.is_some() || read + listed.skipped() == lines(&text));
            prop_assert!(error.is_none_or(|error| error.to_string().starts_with("line ")));
        }
        let (read, error) = run(SysfsEntries::new(&text));
        prop_assert!(error.is_some() || read == lines(&text));
        if let Ok(resources) = Resources::parse(&text) {
            let (read, error) = run(resources);
            prop_assert!(error.is_some() || read == lines(&text));
        }
    }

    #[test]
    fn edits_print_as_they_were(text in broken_text()) {
        let edits = LogItems::new(&text).map_while(Result::ok);
        for edit in edits.filter_map(|item| if let LogItem::Edit(edit) = item { Some(edit) } else { None }) {
            let printed = edit.to_string();
            let again = LogItems::new(printed.as_bytes()).next();
            let Some(Ok(LogItem::Edit(again))) = again else { panic!("{printed}") };
            prop_assert_eq!((again.form, again.addr, again.size, again.edit), (edit.form, edit.addr, edit.size, edit.edit));
        }
    }

    #[test]
    fn arrays_come_back(map in vec((entries(), any::<u32>()), 0..20)) {
        let plain: Vec<_> = map.iter().map(|(entry, _)| *entry).collect();
        let builder = ArrayBuilder::new(&plain);
        let bytes = emitted(builder.emitted_len(), |out| builder.emit(out));
        prop_assert!(Array::parse(&bytes).unwrap().entries().eq(plain.iter().copied()));

        let acpi: Vec<_> = map.iter().map(|(entry, bits)| AcpiEntry { entry: *entry, attributes: Attributes(*bits) }).collect();
        let builder = AcpiArrayBuilder::new(&acpi);
        let bytes = emitted(builder.emitted_len(), |out| builder.emit(out));
        prop_assert!(AcpiArray::parse(&bytes).unwrap().entries().eq(acpi.iter().copied()));

        let builder = pvh::TableBuilder::new(&plain);
        let bytes = emitted(builder.emitted_len(), |out| builder.emit(out));
        prop_assert!(pvh::Table::parse(&bytes).unwrap().entries().eq(plain.iter().copied()));

        let builder = v1::MapBuilder::new(&plain);
        let bytes = emitted(builder.emitted_len(), |out| builder.emit(out));
        prop_assert!(v1::Entries::new(&bytes).map(Result::unwrap).eq(plain.iter().copied()));

        let builder = v2::MapBuilder::try_new(&plain).unwrap();
        let tag = emitted(builder.emitted_len(), |out| builder.emit(out));
        let total = u32::try_from(tag.len() + 16).unwrap();
        let info = [&total.to_le_bytes()[..], &[0; 4], &tag, &[0, 0, 0, 0, 8, 0, 0, 0]].concat();
        let found = v2::Info::parse(&info).unwrap().memory_map().unwrap().unwrap();
        prop_assert!(found.entries().eq(plain.iter().copied()));
    }

    #[test]
    fn maps_of_any_length_come_back_from_the_zero_page(map in vec(entries(), 0..300), split in 0..200_usize) {
        let (table, rest) = Builder::split(&map);
        let mut page = vec![0x55; boot_params::SIZE];
        table.emit(&mut page).unwrap();
        // Two nodes: the kernel takes any number of them.
        let (near, far) = rest.split_at(split.min(rest.len()));
        let second = ExtensionBuilder::try_new(far, 0).unwrap();
        let first = ExtensionBuilder::try_new(near, 0x1_0000 + ExtensionBuilder::try_new(near, 0).unwrap().emitted_len() as u64).unwrap();
        boot_params::set_setup_data(&mut page, 0x1_0000).unwrap();
        let mut bytes = emitted(first.emitted_len(), |out| first.emit(out));
        bytes.extend(emitted(second.emitted_len(), |out| second.emit(out)));
        let memory = Region::try_new(PhysAddr::new(0x1_0000), bytes).unwrap();
        let found: Result<Vec<_>, _> = setup_data::entries(&BootParams::parse(&page).unwrap(), &memory).collect();
        prop_assert_eq!(found, Ok(map));
    }

    #[test]
    fn descriptors_come_back_and_lose_no_page(
        map in vec((0..20_u32, 0..64_u64, 0..8_u64, any::<u64>()), 0..20),
        size in 40..70_usize,
    ) {
        let descriptors: Vec<_> = map.into_iter().map(|(kind, page, pages, attribute)| Descriptor {
            kind: MemoryType(kind),
            phys_start: page << 12,
            virt_start: !page,
            pages,
            attribute: Attribute(attribute),
        }).collect();
        let builder = MemoryMapBuilder::try_new(&descriptors, size).unwrap();
        let bytes = emitted(builder.emitted_len(), |out| builder.emit(out));
        let parsed = efi::MemoryMap::parse(&bytes, size).unwrap();
        prop_assert!(parsed.descriptors().eq(descriptors.iter().copied()));
        for rule in [
            Rule::Stub { soft_reserve: true, unaccepted: true },
            Rule::Stub { soft_reserve: false, unaccepted: false },
            Rule::AddEfiMemmap { soft_reserve: true },
        ] {
            let found: Vec<_> = parsed.entries(rule).map(Result::unwrap).collect();
            let kept: u64 = descriptors.iter().filter(|d| rule.kind(d).is_some()).map(|d| d.pages << 12).sum();
            prop_assert_eq!(found.iter().map(|entry| entry.size).sum::<u64>(), kept);
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in vec(prop_oneof![Just(0), Just(8), Just(24), any::<u8>()], 0..120), head in 0..130_u64) {
        let memory = Region::try_new(PhysAddr::new(8), bytes.clone());
        if let Ok(memory) = &memory {
            let (read, error) = run(setup_data::Nodes::new(memory, head));
            prop_assert!(read <= u64::from(setup_data::MAX_NODES));
            prop_assert!(error.is_none() || head > 0);
        }
        if e820::Form::of(&bytes) == Ok(e820::Form::Array) {
            prop_assert!(bytes.contains(&0) && bytes.len() % 20 == 0);
        }
        run(v1::Entries::new(&bytes));
        if let Ok(info) = v2::Info::parse(&bytes) {
            run(info.tags());
            let _ = (info.memory_map(), info.efi_map());
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn totals_and_overlaps_are_those_of_a_naive_look(map in vec(entries(), 0..20)) {
        let map = RawMap::new(map);
        let all: u128 = map.entries().iter().map(|entry| u128::from(entry.size)).sum();
        prop_assert_eq!(map.totals().values().sum::<u128>(), all);
        for (kind, total) in map.totals() {
            prop_assert_eq!(map.total(kind), total);
        }

        let bytes = |entry: &RawEntry| {
            let start = u128::from(entry.addr);
            (start, (start + u128::from(entry.size)).min(1 << 64))
        };
        let meet = |a: &RawEntry, b: &RawEntry| {
            let ((a, a_end), (b, b_end)) = (bytes(a), bytes(b));
            a.max(b) < a_end.min(b_end)
        };
        let naive: Vec<bool> = (0..map.entries().len())
            .map(|i| (0..map.entries().len()).any(|j| i != j && meet(&map.entries()[i], &map.entries()[j])))
            .collect();
        prop_assert_eq!(map.overlaps(), naive);
    }
}
