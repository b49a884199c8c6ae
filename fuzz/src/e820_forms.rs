//! Memory maps in all forms but the kernel's log and the zero page.

use e820::{
    Error, Kind, RawEntry, RawMap, Words,
    text::{
        iomem::{MAX_DEPTH, Resources},
        listings::{Form, Listings, Program},
        sysfs::{self, SysfsEntries},
    },
    wire::{
        array::{AcpiArray, AcpiArrayBuilder, Array, ArrayBuilder},
        boot_params::{BootParams, SIZE, set_setup_data},
        efi::{MemoryMap, MemoryMapBuilder, Rule},
        multiboot::{v1, v2},
        pvh::{StartInfo, Table, TableBuilder},
        setup_data::{self, ExtensionBuilder, MAX_NODES, Nodes, SetupType},
    },
};
use physmem::{PhysAddr, Region};

/// What an iterator yields up to its first error, after which there must be nothing.
fn drain<T>(mut items: impl Iterator<Item = Result<T, Error>>) -> (Vec<T>, Option<Error>) {
    let mut read = Vec::new();
    let error = items
        .by_ref()
        .find_map(|item| item.map(|item| read.push(item)).err());
    assert!(error.is_none() || items.next().is_none());
    (read, error)
}

fn lines(data: &[u8]) -> u64 {
    data.split_inclusive(|&b| b == b'\n').count() as u64
}

fn is_text_error(error: &Error) {
    assert!(error.to_string().starts_with("line "), "{error}");
}

/// `/proc/iomem`: every line is a resource of the tree or an error, and prints as it was.
pub fn iomem(data: &[u8]) {
    let listing = match Resources::parse(data) {
        Ok(listing) => listing,
        Err(error) => {
            return assert!(matches!(error, Error::Unprivileged { lines: n } if n == lines(data)));
        }
    };
    let (resources, error) = drain(listing.clone());
    error.iter().for_each(is_text_error);
    assert!(error.is_some() || resources.len() as u64 == lines(data));
    let mut above = None;
    for (resource, line) in resources.iter().zip(data.split(|&b| b == b'\n')) {
        assert_eq!(resource.to_string().as_bytes(), line);
        let deepest = above.map_or(0, |depth: u8| (depth + 1).min(MAX_DEPTH));
        assert!(resource.depth <= deepest && resource.start <= resource.last);
        above = Some(resource.depth);
    }
    let (entries, entries_error) = drain(listing.entries());
    assert!(error.is_none() || entries_error.is_some());
    assert!(entries.len() <= resources.len());
    let kinds = resources
        .iter()
        .filter(|resource| resource.kind().is_some());
    assert!(entries_error.is_some() || entries.is_empty() == (kinds.count() == 0));
}

/// `/sys/firmware/memmap`: a text, and the same bytes as each of the three files.
pub fn sysfs(data: &[u8]) {
    let (found, error) = drain(SysfsEntries::new(data));
    error.iter().for_each(is_text_error);
    assert!(error.is_some() || found.len() as u64 == lines(data));
    let map: RawMap<Vec<_>> = found.iter().map(|found| found.entry).collect();
    let printed = map.sysfs_lines().to_string();
    let (again, error) = drain(SysfsEntries::new(printed.as_bytes()));
    assert_eq!(error, None);
    assert!(
        again
            .iter()
            .map(|found| found.index)
            .eq(0..again.len() as u64)
    );
    assert!(
        again
            .iter()
            .map(|found| found.entry)
            .eq(map.entries().iter().copied())
    );

    let files: [&[u8]; 3] = [b"0x0", b"0xfff", b"Reserved"];
    for (line, replaced) in [(1, 0), (2, 1), (3, 2)] {
        let mut files = files;
        files[replaced] = data;
        if let Err(error) = sysfs::entry(files[0], files[1], files[2]) {
            let line = if line == 1 && matches!(error, Error::BadRange { .. }) {
                2
            } else {
                line
            };
            assert!(
                error.to_string().starts_with(&format!("line {line}, ")),
                "{error}"
            );
        }
    }
}

/// Console logs: each line is read or counted, and what was read prints and is read again.
pub fn listings(data: &[u8]) {
    for (program, forms) in [
        (Program::Xen, &[Form::Xen, Form::XenExclusive][..]),
        (Program::Grub, &[Form::Grub, Form::GrubNumbers]),
        (Program::SeaBios, &[Form::SeaBios]),
    ] {
        let mut log = Listings::new(data, program);
        let (found, error) = drain(log.by_ref());
        error.iter().for_each(is_text_error);
        assert!(error.is_some() || log.skipped() + found.len() as u64 == lines(data));
        assert!(found.is_sorted_by(|a, b| a.line < b.line && a.map <= b.map));
        let map: RawMap<Vec<_>> = found.iter().map(|found| found.entry).collect();
        // An inclusive end cannot tell every range that a length can.
        let bracket =
            |entry: &RawEntry| entry.last().is_some() || entry.size == 0 && entry.addr > 0;
        for &form in forms {
            if form != Form::Grub && form != Form::GrubNumbers && !map.entries().iter().all(bracket)
            {
                continue;
            }
            let printed = map.listing(form).to_string();
            let (again, error) = drain(Listings::new(printed.as_bytes(), program));
            assert_eq!(error, None);
            assert!(
                again
                    .iter()
                    .map(|found| found.entry)
                    .eq(map.entries().iter().copied())
            );
        }
    }
}

/// A zero page whose list of nodes lies in the data: bounded, and what it holds can be written again.
pub fn setup_data(data: &[u8]) {
    const BASE: u64 = 0x1000;
    let Some((head, data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let head = u64::from(u16::from_le_bytes(*head));
    let Ok(memory) = Region::try_new(PhysAddr::new(BASE), data) else {
        return;
    };
    let (nodes, error) = drain(Nodes::new(&memory, head));
    assert!(nodes.len() <= MAX_NODES as usize);
    assert!(error.is_some() || nodes.last().is_none_or(|node| node.next == 0));

    let mut page = vec![0; SIZE];
    set_setup_data(&mut page, head).unwrap();
    let (entries, entries_error) = drain(setup_data::entries(
        &BootParams::parse(&page).unwrap(),
        &memory,
    ));
    assert!(error.is_none() || entries_error.is_some());
    if entries_error.is_none() {
        let ext = nodes.iter().filter(|node| node.kind == SetupType::E820_EXT);
        assert_eq!(
            ext.map(|node| u64::from(node.len)).sum::<u64>(),
            entries.len() as u64 * 20
        );
    }
    let node = ExtensionBuilder::try_new(&entries, 0).unwrap();
    let mut bytes = vec![0; node.emitted_len()];
    node.emit(&mut bytes).unwrap();
    let memory = Region::try_new(PhysAddr::new(BASE), bytes).unwrap();
    set_setup_data(&mut page, BASE).unwrap();
    let again = drain(setup_data::entries(
        &BootParams::parse(&page).unwrap(),
        &memory,
    ));
    assert_eq!(again, (entries, None));
}

/// An EFI memory map of any descriptor size: comes back, and conversion loses no page.
pub fn efi(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else {
        return;
    };
    let size = usize::from(size);
    let Ok(map) = MemoryMap::parse(data, size) else {
        return assert!(size < 40 || !data.len().is_multiple_of(size));
    };
    let descriptors: Vec<_> = map.descriptors().collect();
    assert_eq!(descriptors.len(), data.len() / size);
    let builder = MemoryMapBuilder::try_new(&descriptors, size).unwrap();
    let mut bytes = vec![0xff; builder.emitted_len()];
    builder.emit(&mut bytes).unwrap();
    let again = MemoryMap::parse(&bytes, size).unwrap();
    assert!(again.descriptors().eq(descriptors.iter().copied()));
    for rule in [
        Rule::Stub {
            soft_reserve: true,
            unaccepted: true,
        },
        Rule::Stub {
            soft_reserve: false,
            unaccepted: false,
        },
        Rule::AddEfiMemmap { soft_reserve: true },
    ] {
        let (entries, error) = drain(map.entries(rule));
        let sum = entries
            .iter()
            .map(|entry| u128::from(entry.size))
            .sum::<u128>();
        let kept = descriptors
            .iter()
            .filter(|found| rule.kind(found).is_some());
        let pages: u128 = kept.map(|found| u128::from(found.pages) << 12).sum();
        assert!(if error.is_none() {
            sum == pages
        } else {
            sum <= pages
        });
    }
}

/// Multiboot 1 and 2: what is parsed is emitted and parsed again.
pub fn multiboot(data: &[u8]) {
    let (entries, _) = drain(v1::Entries::new(data));
    assert!(entries.len() * 24 <= data.len());
    let builder = v1::MapBuilder::new(&entries);
    let mut bytes = vec![0; builder.emitted_len()];
    builder.emit(&mut bytes).unwrap();
    assert_eq!(drain(v1::Entries::new(&bytes)), (entries, None));

    let Ok(info) = v2::Info::parse(data) else {
        return;
    };
    let (tags, error) = drain(info.tags());
    assert!(tags.iter().all(|tag| tag.offset % 8 == 0));
    if let Ok(Some(map)) = info.memory_map() {
        let entries: Vec<_> = map.entries().collect();
        let builder = v2::MapBuilder::try_new(&entries).unwrap();
        let mut tag = vec![0; builder.emitted_len()];
        builder.emit(&mut tag).unwrap();
        let total = u32::try_from(tag.len() + 16).unwrap();
        let again = [
            &total.to_le_bytes()[..],
            &[0; 4],
            &tag,
            &[0, 0, 0, 0, 8, 0, 0, 0],
        ]
        .concat();
        let again = v2::Info::parse(&again)
            .unwrap()
            .memory_map()
            .unwrap()
            .unwrap();
        assert!(again.entries().eq(entries));
    } else {
        assert!(
            error.is_some() || info.memory_map().is_err() || tags.iter().all(|tag| tag.kind.0 != 6)
        );
    }
    let _ = info.efi_map();
}

/// PVH start information with its table behind it, and the same bytes as e820 arrays.
pub fn pvh(data: &[u8]) {
    if let Ok(info) = StartInfo::parse(data) {
        assert!(info.version > 0 || info.entries == 0);
        assert_eq!(info.table_len(), u64::from(info.entries) * 24);
    }
    if let Ok(table) = Table::parse(data) {
        let entries: Vec<_> = table.entries().collect();
        let builder = TableBuilder::new(&entries);
        let mut bytes = vec![0xff; builder.emitted_len()];
        assert_eq!(builder.emit(&mut bytes), Ok(data.len()));
        assert!(Table::parse(&bytes).unwrap().entries().eq(entries));
    }
    if let Ok(array) = Array::parse(data) {
        let entries: Vec<_> = array.entries().collect();
        let mut bytes = vec![0xff; data.len()];
        ArrayBuilder::new(&entries).emit(&mut bytes).unwrap();
        assert_eq!(bytes, data);
        assert!(
            entries
                .iter()
                .all(|entry| Words::Log.kind(&entry.kind.to_string()) == Some(entry.kind))
        );
    }
    if let Ok(array) = AcpiArray::parse(data) {
        let entries: Vec<_> = array.entries().collect();
        let mut bytes = vec![0xff; data.len()];
        AcpiArrayBuilder::new(&entries).emit(&mut bytes).unwrap();
        assert_eq!(bytes, data);
        assert!(
            entries
                .iter()
                .all(|found| found.entry.kind == Kind(found.entry.kind.0))
        );
    }
}
