//! `kscope map`: every form in and out, to the byte.

use serde_json::json;

use crate::support::{Directory, kscope, kscope_with, workspace};

const GUESTS: [&str; 5] = [
    "ovmf-512M",
    "seabios-512M-hotplug",
    "seabios-512M-memmap-exact",
    "seabios-6G",
    "seabios-6G-crashkernel-high",
];

fn sample(guest: &str, form: &str) -> String {
    format!("e820/testdata/{guest}.{form}")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(workspace().join(name)).unwrap()
}

/// The lines of one map in a log, without what the logger puts before them.
fn map_lines(log: &str, who: &str) -> String {
    let log = String::from_utf8(read(log)).unwrap();
    let lines = log.lines().filter_map(|line| {
        let (_, line) = line.split_once("] ")?;
        line.starts_with(&format!("{who}: [mem "))
            .then(|| format!("{line}\n"))
    });
    lines.collect()
}

#[test]
fn each_source_prints_back_to_the_byte() {
    for guest in GUESTS {
        for (form, file) in [
            ("iomem", "iomem.txt"),
            ("sysfs", "sysfs.txt"),
            ("boot-params", "boot_params.bin"),
        ] {
            let file = sample(guest, file);
            let outcome = kscope(&["map", &file, "--to", form]);
            assert_eq!((outcome.status, outcome.bytes), (0, read(&file)), "{file}");
        }
        let log = sample(guest, "dmesg.txt");
        let printed = kscope(&["map", &log, "--to", "dmesg"]).stdout;
        assert_eq!(printed, map_lines(&log, "BIOS-e820"), "{guest}");
    }
    let log = sample("ovmf-512M", "dmesg.txt");
    let printed = kscope(&["map", &log, "--who", "extended", "--to", "dmesg"]).stdout;
    assert_eq!(printed, map_lines(&log, "reserve setup_data"));
}

#[test]
fn the_forms_of_a_guest_differ_only_by_what_the_kernel_has_changed() {
    let first_page = json!([{
        "start": "0x0", "last": "0xfff", "size": 4096, "a": "usable", "b": "reserved",
    }]);
    let plugged = json!({
        "start": "0x100000000", "last": "0x10fffffff", "size": 0x1000_0000, "a": null, "b": "usable",
    });
    let diff = |guest: &str, a: &str, b: &str| {
        let (a, b) = (sample(guest, a), sample(guest, b));
        kscope(&["map", "diff", &a, &b, "--json"]).json()["differences"].clone()
    };
    for guest in ["ovmf-512M", "seabios-6G", "seabios-6G-crashkernel-high"] {
        assert_eq!(
            diff(guest, "boot_params.bin", "sysfs.txt"),
            json!([]),
            "{guest}"
        );
        assert_eq!(diff(guest, "dmesg.txt", "iomem.txt"), first_page, "{guest}");
    }
    let hotplug = "seabios-512M-hotplug";
    assert_eq!(
        diff(hotplug, "boot_params.bin", "sysfs.txt"),
        json!([plugged])
    );
    assert_eq!(diff(hotplug, "boot_params.bin", "iomem.txt")[1], plugged);
}

#[test]
fn a_map_goes_through_every_form_and_comes_back() {
    let table = kscope(&["map", &sample("ovmf-512M", "boot_params.bin")]).good();
    let mut map = table.clone().into_bytes();
    for form in [
        "e820",
        "memmap-args",
        "dmesg",
        "sysfs",
        "boot-params",
        "iomem",
        "table",
    ] {
        let outcome = kscope_with(&["map", "-", "--to", form], &map);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{form}");
        map = outcome.bytes;
        // Each is recognised for what it is.
        let read = kscope_with(&["map", "-", "--json"], &map).json();
        assert_eq!(read["form"], form);
        assert_eq!(read["entries"].as_array().unwrap().len(), 15, "{form}");
    }
    assert_eq!(String::from_utf8(map).unwrap(), table);
    let shown = kscope_with(&["map", "-", "--to", "table"], table.as_bytes());
    assert_eq!(shown.good(), table);
}

#[test]
fn more_than_128_entries_never_get_lost() {
    let line = |n: u64| {
        let kind = if n.is_multiple_of(2) {
            "usable"
        } else {
            "reserved"
        };
        let (start, last) = (n << 20, (n << 20) + 0xfff);
        format!("BIOS-e820: [mem {start:#018x}-{last:#018x}] {kind}\n")
    };
    let log: String = (0..200).map(line).collect();
    let array = kscope_with(&["map", "-", "--to", "e820"], log.as_bytes());
    assert_eq!(array.bytes.len(), 200 * 20);

    let page = kscope_with(&["map", "-", "--to", "boot-params"], &array.bytes);
    assert_eq!(
        page.stderr,
        "kscope: -: the page takes 128: 72 more are in the 1456 bytes behind it, a SETUP_E820_EXT node to be \
         loaded at 0x91000, where setup_data says it is\n"
    );
    assert_eq!(page.bytes.len(), 4096 + 16 + 72 * 20);
    assert_eq!(page.bytes[0x250..0x258], 0x9_1000_u64.to_le_bytes());
    let back = kscope_with(&["map", "-", "--to", "dmesg"], &page.bytes);
    assert_eq!(back.good(), log);
    let again = kscope_with(&["map", "-", "--to", "boot-params"], &page.bytes);
    assert_eq!(again.bytes, page.bytes);

    // Fewer fit again, and nothing must bring the old ones back.
    let fewer = [
        "map",
        "-",
        "--remove",
        "6400000-ffffffff",
        "--to",
        "boot-params",
    ];
    let fewer = kscope_with(&fewer, &page.bytes);
    assert!(
        fewer.stderr.contains("setup_data is cut off"),
        "{}",
        fewer.stderr
    );
    assert_eq!(
        (fewer.bytes.len(), &fewer.bytes[0x250..0x258]),
        (4096, &[0; 8][..])
    );

    // The page alone says that it is not all.
    let alone = kscope_with(&["map", "-"], &page.bytes[..4096]);
    assert!(
        alone.stderr.contains("the page is full"),
        "{}",
        alone.stderr
    );
}

#[test]
fn a_changed_zero_page_keeps_what_is_no_map() {
    let file = sample("seabios-6G", "boot_params.bin");
    let changed = kscope(&[
        "map",
        &file,
        "--set",
        "0-fff=reserved",
        "--to",
        "boot-params",
    ]);
    let (old, new) = (read(&file), changed.bytes);
    assert_eq!(new.len(), old.len());
    assert_eq!((old[0x1e8], new[0x1e8]), (8, 9));
    assert_eq!(old[..0x1e8], new[..0x1e8]);
    assert_eq!(old[0x1e9..0x2d0], new[0x1e9..0x2d0]);
    assert_eq!(old[0xcd0..], new[0xcd0..]);
}

#[test]
fn attributes_of_24_bytes_print_back() {
    let mut bytes = Vec::new();
    for (addr, size, kind, attributes) in [
        (0_u64, 0x9fc00_u64, 1_u32, 1_u32),
        (0x10_0000, 0x1000, 7, 3),
    ] {
        bytes.extend(addr.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(attributes.to_le_bytes());
    }
    let back = kscope_with(&["map", "-", "--to", "e820"], &bytes);
    assert_eq!(back.bytes, bytes);
    let changed = kscope_with(&["map", "-", "--remove", "0-fff", "--to", "e820"], &bytes);
    assert_eq!((changed.bytes.len(), changed.bytes[20]), (48, 1));
    kscope_with(&["map", "-", "--from", "e820"], &bytes[..47]).failed(
        1,
        "-: offset 0x28: e820 entry needs 0x14 bytes, 0x7 are there",
    );
}

#[test]
fn directories_of_sysfs() {
    let directory = Directory::new();
    let file = |folder: &str, name: &str, text: &[u8]| {
        std::fs::create_dir_all(directory.path(folder)).unwrap();
        directory.write(&format!("{folder}/{name}"), text);
    };
    // Ten and more, so that their order is that of numbers and not that of names.
    for n in 0..12_u64 {
        let folder = format!("memmap/{n}");
        file(&folder, "start", format!("{:#x}\n", n << 20).as_bytes());
        file(
            &folder,
            "end",
            format!("{:#x}\n", (n << 20) + 0xfff).as_bytes(),
        );
        file(&folder, "type", b"System RAM\n");
    }
    let memmap = directory.path("memmap");
    let lines = kscope(&["map", &memmap, "--to", "sysfs"]).good();
    assert!(
        lines.ends_with("10 0xa00000 0xa00fff System RAM\n11 0xb00000 0xb00fff System RAM\n"),
        "{lines}"
    );
    file("memmap/5", "type", b"nonsense\n");
    let damaged = kscope(&["map", &memmap]);
    let place = format!("kscope: {memmap}/5: line 1, column 21: unknown kind `nonsense`");
    assert!(damaged.stderr.starts_with(&place), "{}", damaged.stderr);
    kscope(&["map", &memmap, "--from", "iomem"]).failed(3, &format!("{memmap}: is a directory"));

    // /sys/kernel/boot_params
    let mut page = vec![0; 4096];
    page[0x1e8] = 1;
    page[0x2d0 + 8] = 0x10;
    page[0x2d0 + 16] = 1;
    file("boot_params", "data", &page);
    file("boot_params/setup_data/0", "type", b"0x3\n");
    file("boot_params/setup_data/0", "data", b"a PCI ROM");
    file("boot_params/setup_data/1", "type", b"0x1\n");
    file("boot_params/setup_data/1", "data", &page[0x2d0..0x2d0 + 20]);
    let map = kscope(&["map", &directory.path("boot_params"), "--json"]).json();
    assert_eq!(
        (&map["form"], &map["totals"]),
        (&json!("boot-params"), &json!({ "usable": 0x20 }))
    );
    kscope(&["map", &directory.path("")]).failed(
        1,
        &format!(
            "{}: no directories 0, 1 … with start, end and type, and no zero page `data`",
            directory.path("")
        ),
    );
}

#[test]
fn every_line_of_iomem_is_told() {
    let file = sample("seabios-6G-crashkernel-high", "iomem.txt");
    let outcome = kscope(&["map", &file, "--json"]);
    let map = outcome.json();
    let listing = String::from_utf8(read(&file)).unwrap();
    let resources = map["resources"].as_array().unwrap();
    assert_eq!(resources.len(), listing.lines().count());
    let crash: Vec<_> = resources
        .iter()
        .filter(|r| r["name"] == "Crash kernel")
        .collect();
    assert_eq!(crash.len(), 2);
    assert_eq!(
        (&crash[0]["depth"], &crash[0]["size"]),
        (&json!(1), &json!(72 << 20))
    );
    let left = resources.len() - map["entries"].as_array().unwrap().len();
    assert!(
        outcome
            .stderr
            .trim_end()
            .ends_with(&format!("show: {left}")),
        "{}",
        outcome.stderr
    );

    let hidden = b"00000000-00000000 : Reserved\n  00000000-00000000 : x\n";
    kscope_with(&["map", "-"], hidden).failed(
        1,
        "-: line 1, column 1: all 2 ranges are 0-0: that is how the kernel shows /proc/iomem to readers \
         without CAP_SYS_ADMIN",
    );
}

#[test]
fn kinds_that_a_form_cannot_say_are_named() {
    let log = b"BIOS-e820: [mem 0x0000000000000000-0x0000000000000fff] type 9\n";
    let printed = kscope_with(&["map", "-", "--to", "iomem"], log);
    assert_eq!(printed.stdout, "00000000-00000fff : Unknown E820 type\n");
    assert_eq!(
        printed.stderr,
        "kscope: -: entries whose kind iomem does not tell: 1\n"
    );
    // Not told, it is reserved in calculations, as kexec-tools has it.
    let read = kscope_with(
        &["map", "-", "--sanitise", "--to", "dmesg"],
        printed.stdout.as_bytes(),
    );
    assert!(read.stdout.ends_with("] reserved\n"), "{}", read.stdout);
    assert!(
        read.stderr.contains("calculated as reserved"),
        "{}",
        read.stderr
    );
    let args = kscope_with(&["map", "-", "--to", "memmap-args"], log);
    assert_eq!(args.good(), "memmap=exactmap memmap=4K%0+9\n");
}

#[test]
fn several_sources_are_one_map() {
    let page = sample("seabios-6G", "boot_params.bin");
    let map = kscope(&["map", &page, &sample("seabios-6G", "sysfs.txt"), "--json"]).json();
    assert_eq!(map["entries"].as_array().unwrap().len(), 16);
    assert_eq!(
        (&map["form"], &map["entries"][0]["overlaps"]),
        (&json!(null), &json!(true))
    );
    let both = kscope(&["map", &page, &page, "--sanitise"]).good();
    assert_eq!(both, kscope(&["map", &page, "--sanitise"]).good());
}

#[test]
fn tables_that_are_none_say_where() {
    let heading = "start last bytes kind\n";
    for line in [
        "0x0 0xfff 4095  usable",
        "0x0 0xfff 4096 usable",
        "0 0xfff 4096  usable",
        "0x0 0xfff 4096  odd",
    ] {
        kscope_with(&["map", "-"], format!("{heading}{line}\n").as_bytes()).failed(
            1,
            "-: line 2, column 1: expected START LAST BYTES KIND, where LAST is the last of the BYTES",
        );
    }
    let odd = format!("{heading}0x1000 - 0  persistent (type 7)  # remark\n");
    let map = kscope_with(&["map", "-", "--json"], odd.as_bytes()).json();
    assert_eq!(map["entries"][0]["type"], 7);
    kscope_with(&["map", "-"], heading.as_bytes())
        .failed(1, "-: no entry of a memory map in the form table");
}
