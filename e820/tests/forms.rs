//! Every form in which real guests show their maps: they agree, but for what the kernel says it has
//! changed, and each prints back to the byte.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::{fs, path::PathBuf};

use e820::{
    Kind, RawEntry, RawMap,
    text::{
        dmesg::{Edit, Form, LogEdit, LogEntries, LogItem, LogItems, Who},
        iomem::{Resource, Resources},
        listings::{self, Listings, Program},
        sysfs::SysfsEntries,
    },
    wire::{
        boot_params::BootParams,
        efi::{Attribute, Descriptor, MemoryMap, MemoryMapBuilder, MemoryType, Rule},
    },
};

const GUESTS: [&str; 6] = [
    "kdump-capture",
    "ovmf-512M",
    "seabios-512M-hotplug",
    "seabios-512M-memmap-exact",
    "seabios-6G",
    "seabios-6G-crashkernel-high",
];

fn sample(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let path = folder.join(name);
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8(bytes).unwrap()
}

/// The first and the last map of a guest's log: what firmware handed over, and what the kernel began
/// its edits with.
fn maps(guest: &str) -> [Vec<RawEntry>; 2] {
    let log = sample(&format!("{guest}.dmesg.txt"));
    let found: Vec<_> = LogEntries::new(log.as_bytes())
        .map(Result::unwrap)
        .collect();
    let of = |map| -> Vec<_> {
        let entries = found.iter().filter(|entry| entry.map == map);
        entries.map(|entry| entry.entry).collect()
    };
    [of(0), of(found.last().unwrap().map)]
}

fn edits(guest: &str) -> Vec<LogEdit> {
    let log = sample(&format!("{guest}.edits.txt"));
    let edit = |item: Result<_, _>| match item.unwrap() {
        LogItem::Edit(edit) => edit,
        other => panic!("{other:?}"),
    };
    LogItems::new(log.as_bytes()).map(edit).collect()
}

fn sysfs(guest: &str) -> Vec<RawEntry> {
    let text = sample(&format!("{guest}.sysfs.txt"));
    let entries = SysfsEntries::new(text.as_bytes());
    entries.map(|found| found.unwrap().entry).collect()
}

fn resources(text: &str) -> Vec<Resource<'_>> {
    let resources = Resources::parse(text.as_bytes()).unwrap();
    resources.map(Result::unwrap).collect()
}

/// A map as pieces with an inclusive end, which can be cut anywhere.
#[derive(Clone, PartialEq, Debug)]
struct Pieces(Vec<(u64, u64, Kind)>);

impl Pieces {
    fn new(entries: impl IntoIterator<Item = RawEntry>) -> Self {
        let pieces = entries
            .into_iter()
            .map(|e| (e.addr, e.last().unwrap(), e.kind));
        let mut pieces: Vec<_> = pieces.collect();
        pieces.sort();
        Self(pieces)
    }

    fn cut(&mut self, at: u64) {
        if let Some(i) = self
            .0
            .iter()
            .position(|&(start, last, _)| start < at && at <= last)
        {
            let (start, last, kind) = self.0[i];
            self.0
                .splice(i..=i, [(start, at - 1, kind), (at, last, kind)]);
        }
    }

    fn apply(&mut self, edit: &LogEdit) {
        let (start, last) = (edit.addr, edit.addr + (edit.size - 1));
        self.cut(start);
        self.cut(last + 1);
        let inside = |piece: &(u64, u64, Kind)| start <= piece.0 && piece.1 <= last;
        match edit.edit {
            Edit::Update { from, to } => {
                let changed = self
                    .0
                    .iter_mut()
                    .filter(|piece| inside(piece) && piece.2 == from);
                changed.for_each(|piece| piece.2 = to);
            }
            Edit::Remove { kind } => self
                .0
                .retain(|piece| !inside(piece) || kind.is_some_and(|kind| kind != piece.2)),
            Edit::RamBuffer => {}
            other => panic!("{other:?}"),
        }
    }

    /// What is in `self` and not, or as another kind, in `other`; pieces that touch are merged.
    fn without(mut self, mut other: Self) -> Vec<(u64, u64, Kind)> {
        for (start, last, _) in self.0.clone().into_iter().chain(other.0.clone()) {
            for at in [start, last.saturating_add(1)] {
                self.cut(at);
                other.cut(at);
            }
        }
        let mut left: Vec<(u64, u64, Kind)> = Vec::new();
        for piece in self.0.into_iter().filter(|piece| !other.0.contains(piece)) {
            match left.last_mut() {
                Some(last) if last.1 + 1 == piece.0 && last.2 == piece.2 => last.1 = piece.1,
                _ => left.push(piece),
            }
        }
        left
    }
}

#[test]
fn log_sysfs_and_zero_page_agree() {
    for guest in GUESTS.into_iter().filter(|guest| *guest != "kdump-capture") {
        let [firmware, _] = maps(guest);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
        let page = fs::read(path.join(format!("{guest}.boot_params.bin"))).unwrap();
        assert!(
            BootParams::parse(&page)
                .unwrap()
                .entries()
                .eq(firmware.clone()),
            "{guest}"
        );

        // Memory added while the machine runs comes first, and nothing else differs.
        let sysfs = sysfs(guest);
        let added = &sysfs[..sysfs.len() - firmware.len()];
        assert_eq!(sysfs[added.len()..], firmware, "{guest}");
        let hot_plugged = [RawEntry {
            addr: 4 << 30,
            size: 256 << 20,
            kind: Kind::RAM,
        }];
        let expected = if guest == "seabios-512M-hotplug" {
            &hot_plugged[..]
        } else {
            &[]
        };
        assert_eq!(added, expected, "{guest}");
    }
}

#[test]
fn iomem_is_the_map_after_the_edits_of_the_log() {
    for guest in GUESTS {
        let [_, map] = maps(guest);
        let mut map = Pieces::new(map);
        let before = map.clone();
        edits(guest).iter().for_each(|edit| map.apply(edit));

        let text = sample(&format!("{guest}.iomem.txt"));
        let shown = Resources::parse(text.as_bytes()).unwrap().entries();
        let shown = Pieces::new(shown.map(Result::unwrap));
        let added: &[_] = match guest {
            "seabios-512M-hotplug" => &[(4 << 30, (4 << 30) + (256 << 20) - 1, Kind::RAM)],
            _ => &[],
        };
        assert_eq!(shown.clone().without(map.clone()), added, "{guest}");
        assert_eq!(map.without(shown.clone()), [], "{guest}");
        // The edits are what makes the difference: the first page is reserved.
        let edited = before.without(shown);
        let first_page: &[_] = match guest {
            // kexec-tools has reserved it already.
            "kdump-capture" => &[],
            _ => &[(0, 0xfff, Kind::RAM)],
        };
        assert_eq!(edited, first_page, "{guest}");
    }
}

#[test]
fn ram_buffers_of_iomem_are_announced_in_the_log() {
    let mut found = 0;
    for guest in GUESTS {
        let announced: Vec<_> = edits(guest)
            .into_iter()
            .filter(|edit| edit.edit == Edit::RamBuffer)
            .collect();
        assert!(!announced.is_empty(), "{guest}");
        let text = sample(&format!("{guest}.iomem.txt"));
        for resource in resources(&text)
            .iter()
            .filter(|resource| resource.name == "RAM buffer")
        {
            // Where other resources are the kernel leaves the range out, so parts of it remain.
            let inside = |edit: &LogEdit| {
                edit.addr <= resource.start && resource.last <= edit.addr + (edit.size - 1)
            };
            assert!(announced.iter().any(inside), "{guest}: {resource}");
            found += 1;
        }
    }
    assert_eq!(found, 3);
}

#[test]
fn every_form_prints_back_to_the_byte() {
    for guest in GUESTS.into_iter().filter(|guest| *guest != "kdump-capture") {
        let text = sample(&format!("{guest}.sysfs.txt"));
        assert_eq!(
            RawMap::new(sysfs(guest)).sysfs_lines().to_string(),
            text,
            "{guest}"
        );
    }
    for guest in GUESTS {
        let log = sample(&format!("{guest}.edits.txt"));
        let messages: Vec<_> = log
            .lines()
            .map(|line| line.split_once("] ").unwrap().1)
            .collect();
        let printed: Vec<_> = edits(guest).iter().map(ToString::to_string).collect();
        assert_eq!(printed, messages, "{guest}");
    }
    for machine in GUESTS.into_iter().chain(["arm64", "riscv64"]) {
        let text = sample(&format!("{machine}.iomem.txt"));
        let printed: String = resources(&text)
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(printed, text, "{machine}");
    }
}

#[test]
fn iomem_is_a_tree() {
    let text = sample("seabios-6G-crashkernel-high.iomem.txt");
    let found = resources(&text);
    assert_eq!(found.len(), text.lines().count());
    let crash: Vec<_> = found.iter().filter(|r| r.name == "Crash kernel").collect();
    assert_eq!(
        crash
            .iter()
            .map(|r| (r.depth, r.size() >> 20))
            .collect::<Vec<_>>(),
        [(1, 72), (1, 512)]
    );
    for (above, resource) in found.iter().zip(&found[1..]) {
        assert_eq!(resource.line, above.line + 1);
        if resource.depth > above.depth {
            assert!(above.start <= resource.start && resource.last <= above.last);
        } else if resource.depth == above.depth {
            assert!(above.last < resource.start);
        }
    }
    // Elsewhere `reserved` inside of RAM is a part of it.
    let ram = |machine: &str| -> Vec<_> {
        let text = sample(&format!("{machine}.iomem.txt"));
        let entries = Resources::parse(text.as_bytes()).unwrap().entries();
        entries
            .map(|e| e.unwrap())
            .map(|e| (e.addr, e.size >> 20, e.kind))
            .collect()
    };
    assert_eq!(ram("arm64"), [(0x4000_0000, 192, Kind::RAM)]);
    assert_eq!(ram("riscv64"), [(0x8000_0000, 128, Kind::RAM)]);
    let text = sample("riscv64.iomem.txt");
    assert_eq!(resources(&text).iter().map(|r| r.depth).max(), Some(2));
}

#[test]
fn firmware_and_boot_loader_list_the_map() {
    let seabios = sample("seabios-6G.seabios.txt");
    let lsmmap = sample("seabios-6G.lsmmap.txt");
    let read = |text: &str, program| -> Vec<_> {
        let listed = Listings::new(text.as_bytes(), program).map(Result::unwrap);
        listed.collect()
    };
    let by_firmware = read(&seabios, Program::SeaBios);
    let by_loader = read(&lsmmap, Program::Grub);
    let entries =
        |listed: &[listings::Listed]| -> Vec<_> { listed.iter().map(|l| l.entry).collect() };
    assert_eq!(entries(&by_firmware), entries(&by_loader));
    let map = RawMap::new(entries(&by_firmware));
    // Linux was booted with a ROM that takes another 12 KiB; all else is what it saw.
    let ram = RawMap::new(maps("seabios-6G")[0].clone()).total(Kind::RAM);
    assert_eq!(map.total(Kind::RAM), ram + 0x3000);

    let printed = map.listing(listings::Form::SeaBios).to_string();
    assert!(seabios.contains(&printed));
    let printed = map.listing(by_loader[0].form).to_string();
    let lines: String = lsmmap
        .lines()
        .map(|line| line.trim_matches('\r'))
        .filter(|line| line.starts_with("base_addr"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(printed, lines);
}

/// The descriptors that a kernel booted with `efi=debug` lists.
fn efi_map(log: &str) -> Vec<Descriptor> {
    const TYPES: [&str; 16] = [
        "Reserved",
        "Loader Code",
        "Loader Data",
        "Boot Code",
        "Boot Data",
        "Runtime Code",
        "Runtime Data",
        "Conventional",
        "Unusable",
        "ACPI Reclaim",
        "ACPI Mem NVS",
        "MMIO",
        "MMIO Port",
        "PAL Code",
        "Persistent",
        "Unaccepted",
    ];
    let lines = log
        .lines()
        .filter_map(|line| line.split_once(": [").filter(|l| l.0.contains("efi: mem")));
    let descriptor = |(_, text): (&str, &str)| {
        let (head, range) = text.split_once("] range=[").unwrap();
        let mut columns = head.split('|').map(str::trim);
        let name = columns.next().unwrap();
        let flags: Vec<_> = columns.collect();
        let (start, last) = range.split_once(']').unwrap().0.split_once('-').unwrap();
        let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap();
        let bits = [
            ("RUN", Attribute::RUNTIME),
            ("SP", Attribute::SP),
            ("WB", Attribute::WB),
        ];
        let set = bits.iter().filter(|(flag, _)| flags.contains(flag));
        Descriptor {
            kind: MemoryType(
                (0..)
                    .zip(TYPES)
                    .find(|(_, known)| *known == name)
                    .unwrap()
                    .0,
            ),
            phys_start: hex(start),
            virt_start: 0,
            pages: (hex(last) - hex(start) + 1) / 4096,
            attribute: Attribute(set.map(|(_, bit)| bit.0).sum()),
        }
    };
    lines.map(descriptor).collect()
}

#[test]
fn efi_descriptors_become_what_the_stub_has_made_of_them() {
    let log = sample("ovmf-efi-debug.dmesg.txt");
    let descriptors = efi_map(&log);
    assert_eq!(descriptors.len(), 127);
    let from_log: Vec<_> = LogEntries::new(log.as_bytes())
        .map(|e| e.unwrap().entry)
        .collect();
    assert_eq!(from_log.len(), 15);
    for size in [40, 48, 56] {
        let builder = MemoryMapBuilder::try_new(&descriptors, size).unwrap();
        let mut bytes = vec![0xff; builder.emitted_len()];
        builder.emit(&mut bytes).unwrap();
        let map = MemoryMap::parse(&bytes, size).unwrap();
        assert!(map.descriptors().eq(descriptors.iter().copied()));

        let stub = Rule::Stub {
            soft_reserve: true,
            unaccepted: false,
        };
        let by_stub: Vec<_> = map.entries(stub).map(Result::unwrap).collect();
        assert_eq!(by_stub, from_log);
        let added = map.entries(Rule::AddEfiMemmap { soft_reserve: true });
        let added: Vec<_> = added.map(Result::unwrap).collect();
        assert_eq!(added.len(), 127);
        let (added, from_log) = (Pieces::new(added), Pieces::new(from_log.clone()));
        assert_eq!(added.clone().without(from_log.clone()), []);
        assert_eq!(from_log.without(added), []);
    }
}

/// Lines that kernels of other times have printed, on machines of theirs.
#[test]
fn logs_of_three_generations() {
    let before_3_5 = " BIOS-e820: 0000000000000000 - 000000000009f800 (usable)
 BIOS-e820: 000000000009f800 - 00000000000a0000 (reserved)
 BIOS-e820: 00000000000f0000 - 0000000000100000 (reserved)
 BIOS-e820: 0000000000100000 - 000000001fff0000 (usable)
 BIOS-e820: 000000001fff0000 - 000000001fff3000 (ACPI NVS)
 BIOS-e820: 000000001fff3000 - 0000000020000000 (ACPI data)
 BIOS-e820: 00000000fec00000 - 00000000fec01000 (reserved)
 BIOS-e820: 00000000fee00000 - 00000000fef00000 (reserved)
";
    let from_7_0 = "\
BIOS-e820: [mem 0x0000000000000000-0x000000000009efff]  System RAM
BIOS-e820: [mem 0x000000000009f000-0x00000000000fffff]  device reserved
BIOS-e820: [mem 0x0000000000100000-0x00000000a40b6fff]  System RAM
BIOS-e820: [mem 0x00000000a40b7000-0x00000000a8294fff]  device reserved
BIOS-e820: [mem 0x00000000a8295000-0x00000000a961efff]  ACPI NVS
BIOS-e820: [mem 0x00000000a961f000-0x00000000a974efff]  ACPI data
BIOS-e820: [mem 0x00000000a974f000-0x00000000a974ffff]  System RAM
BIOS-e820: [mem 0x00000000a9750000-0x00000000af7fffff]  device reserved
BIOS-e820: [gap 0x00000000af800000-0x00000000fed1ffff]
BIOS-e820: [mem 0x00000000fed20000-0x00000000fed7ffff]  device reserved
BIOS-e820: [gap 0x00000000fed80000-0x00000000ffffffff]
BIOS-e820: [mem 0x0000000100000000-0x000000084c7fffff]  System RAM
";
    for (lines, form, entries) in [
        (before_3_5, Form::Before3_5, 8),
        (from_7_0, Form::From7_0, 10),
    ] {
        for prefix in [
            "",
            "[    0.000000] ",
            "Jun  9 06:06:20 host kernel: ",
            "<6>",
        ] {
            let log: String = lines
                .lines()
                .map(|line| format!("{prefix}{line}\n"))
                .collect();
            let found: Vec<_> = LogEntries::new(log.as_bytes())
                .map(Result::unwrap)
                .collect();
            assert_eq!(found.len(), entries);
            assert!(
                found
                    .iter()
                    .all(|entry| entry.form == form && entry.map == 0)
            );
            let map: RawMap<Vec<_>> = found.iter().map(|found| found.entry).collect();
            assert_eq!(map.log_lines(Who::BiosE820).form(form).to_string(), lines);
        }
    }
    let gaps =
        LogItems::new(from_7_0.as_bytes()).filter(|item| matches!(item, Ok(LogItem::Gap(_))));
    assert_eq!(gaps.count(), 2);
}
