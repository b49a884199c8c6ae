//! What is inside a real dump, against what makedumpfile and the machine itself said of it.
#![cfg(feature = "alloc")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fmt::Write, fs, path::PathBuf};

use physmem::{Pfn, VirtAddr};
use vmcore_format::{
    Dump, Error, Reader,
    kernel::{
        Virtual,
        kallsyms::Kallsyms,
        page_flags::{Kind, Pages},
        printk,
    },
};

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(testdata(name)).unwrap()
}

/// Asks `question` about the dump's symbols.
fn with_kallsyms<R>(question: impl FnOnce(Kallsyms<'_, Reader<'_, &[u8]>>) -> R) -> R {
    let file = fs::read(testdata("kdump-inside.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (info, memory) = (dump.vmcoreinfo().unwrap().unwrap(), dump.reader());
    let virt = Virtual::of(&dump, &memory).unwrap();
    question(Kallsyms::new(&info, virt).unwrap())
}

/// Address, type and name of each symbol that was listed.
fn listed() -> Vec<(VirtAddr, u8, Vec<u8>)> {
    let text = text("kdump-inside.kallsyms.txt");
    let line = |line: &str| {
        let [address, kind, name] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let address = u64::from_str_radix(address, 16).unwrap();
        (
            VirtAddr::new(address),
            kind.as_bytes()[0],
            name.as_bytes().to_vec(),
        )
    };
    text.lines().map(line).collect()
}

#[test]
fn the_log_is_what_makedumpfile_prints() {
    let file = fs::read(testdata("kdump-inside.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (info, memory) = (dump.vmcoreinfo().unwrap().unwrap(), dump.reader());
    let virt = Virtual::of(&dump, &memory).unwrap();
    let mut ours = String::new();
    let mut seq = 0;
    for record in printk::records(&info, virt).unwrap() {
        let record = record.unwrap();
        assert_eq!(record.seq, seq);
        seq += 1;
        writeln!(ours, "{record}").unwrap();
    }
    assert_eq!(seq, 403);
    assert!(ours == text("kdump-inside.dmesg.txt"));
}

#[test]
fn a_dump_without_its_log_says_what_is_missing() {
    let file = fs::read(testdata("kdump.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (info, memory) = (dump.vmcoreinfo().unwrap().unwrap(), dump.reader());
    let virt = Virtual::of(&dump, &memory).unwrap();
    let error = printk::records(&info, virt).unwrap_err();
    assert_eq!(
        error.to_string(),
        "virtual address 0xffffffffa82622c0 is mapped: physical address 0x110622c0: not in the dump"
    );
}

#[test]
fn symbols_are_those_that_the_machine_listed() {
    with_kallsyms(|kallsyms| {
        assert_eq!(kallsyms.count(), 87347);
        let expected = listed();
        let mut symbols = kallsyms.symbols();
        for (number, (address, kind, name)) in expected.iter().enumerate() {
            let symbol = symbols.next().unwrap().unwrap();
            assert_eq!(
                (&symbol.address, &symbol.kind, &symbol.name),
                (address, kind, name),
                "{number}"
            );
        }
        // The cut holds no more names.
        let Some(Err(Error::Virt(missing))) = symbols.next() else {
            panic!("the dump holds {} names", expected.len());
        };
        assert_eq!(missing.at(), VirtAddr::new(0xffff_ffff_a798_2000));
        assert_eq!(symbols.next(), None);
    });
}

#[test]
fn symbols_are_found_by_name_and_by_address() {
    with_kallsyms(|kallsyms| {
        // The search in the middle of a big table looks at places that the cut has for these only.
        let expected = listed();
        let addresses: Vec<_> = expected.iter().map(|(address, ..)| *address).collect();
        assert!(addresses.is_sorted());
        for (number, (address, kind, name)) in expected.iter().enumerate().take(3000).step_by(7) {
            let first = expected.iter().find(|(.., other)| other == name).unwrap();
            let found = kallsyms.find(name).unwrap().unwrap();
            assert_eq!(
                (found.address, found.kind, found.name),
                (first.0, first.1, first.2.clone())
            );
            if address.as_u64() >> 63 == 0 {
                continue;
            }

            let alias = addresses.partition_point(|other| other < address);
            let behind = addresses.partition_point(|other| other <= address);
            let size = addresses[behind].checked_offset_from(*address);
            for offset in [0, size.unwrap() - 1] {
                let inside = address.checked_add(offset).unwrap();
                let found = kallsyms.at(inside).unwrap().unwrap();
                assert_eq!((found.offset, found.size), (offset, size), "{number}");
                assert_eq!(found.symbol.name, expected[alias].2, "{number}");
                assert!(offset > 0 || found.symbol.kind == *kind || alias < number);
            }
        }
        assert_eq!(kallsyms.find(b"no such symbol").unwrap_err(), {
            let error = kallsyms.symbols().last().unwrap();
            error.unwrap_err()
        });
    });
}

#[test]
fn per_cpu_variables_end_where_they_end() {
    with_kallsyms(|kallsyms| {
        let at = |address| kallsyms.at(VirtAddr::new(address)).unwrap();
        let expected = listed();
        let last = expected
            .iter()
            .rfind(|(address, ..)| address.as_u64() >> 63 == 0)
            .unwrap();
        let found = at(last.0.as_u64()).unwrap();
        assert_eq!((found.offset, found.size), (0, None));
        assert_eq!(at(last.0.as_u64() + 1), None);
        assert_eq!(at(0xffff_8dfc_0000_0000), None);
        assert_eq!(at(u64::MAX), None);
        let first = at(0x10).unwrap();
        assert_eq!(first.symbol.name, b"fixed_percpu_data");
        assert_eq!(first.offset, 0x10);
    });
}

#[test]
fn frames_are_left_out_where_makedumpfile_leaves_them_out() {
    let file = fs::read(testdata("kdump-inside.elf")).unwrap();
    let dump = Dump::open(&file[..]).unwrap();
    let (info, memory) = (dump.vmcoreinfo().unwrap().unwrap(), dump.reader());
    let virt = Virtual::of(&dump, &memory).unwrap();
    let pages = Pages::new(&info, virt, dump.page_size().unwrap()).unwrap();
    let expected = text("kdump-inside.frames.tsv");
    for line in expected.lines() {
        let (pfn, levels) = line.split_once('\t').unwrap();
        let frame = pages.frame(Pfn::new(pfn.parse().unwrap())).unwrap();
        let excluded_by = frame.unwrap().excluded_by;
        let ours: Vec<_> = [2, 4, 8, 16]
            .into_iter()
            .filter(|level| excluded_by.excluded_at(*level))
            .map(|level| level.to_string())
            .collect();
        let ours = if ours.is_empty() {
            "-".into()
        } else {
            ours.join(",")
        };
        assert_eq!(ours, levels, "{pfn}");
        assert!(!excluded_by.excluded_at(0));
    }
    assert_eq!(expected.lines().count(), 639);

    let slab = pages.frame(Pfn::new(4177)).unwrap().unwrap();
    assert_eq!(
        (slab.kind, slab.head, slab.order),
        (Kind::Slab, Pfn::new(4176), 2)
    );
    let cache = pages.frame(Pfn::new(4200)).unwrap().unwrap();
    assert_eq!((cache.refcount, cache.mapcount), (1, -1));
    assert_eq!(cache.page, VirtAddr::new(0xffff_f3b0_c004_1a00));
    assert_eq!(pages.names(cache.flags).collect::<Vec<_>>(), ["lru"]);
}
