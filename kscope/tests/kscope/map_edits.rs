//! `kscope map`: edits, questions, differences.

use serde_json::{Value, json};

use crate::support::{kscope, kscope_with, workspace};

const GUEST: &str = "e820/testdata/seabios-6G-crashkernel-high.boot_params.bin";

fn totals(args: &[&str]) -> Value {
    kscope(&[&["map", GUEST, "--json"], args].concat()).json()["totals"].clone()
}

fn lines(args: &[&str]) -> String {
    kscope(&[&["map", GUEST, "--to", "dmesg"], args].concat()).good()
}

#[test]
fn the_command_line_of_a_guest_makes_its_user_map() {
    let name = "e820/testdata/seabios-512M-memmap-exact.dmesg.txt";
    let log = std::fs::read_to_string(workspace().join(name)).unwrap();
    let cmdline = log
        .lines()
        .find_map(|line| line.split_once("Command line: "))
        .unwrap()
        .1;
    let user: String = log
        .lines()
        .filter_map(|line| Some(format!("user: {}\n", line.split_once("user: ")?.1)))
        .collect();
    assert!(user.lines().count() > 3);
    let made = kscope(&["map", name, "--apply", cmdline, "--to", "dmesg"]);
    assert_eq!((made.status, made.stdout), (0, user.clone()));
    // Several in a row are one command line: nothing is left after the first alone.
    let mut args = vec!["map", name, "--to", "dmesg"];
    for word in cmdline
        .split(' ')
        .filter(|word| word.starts_with("memmap="))
    {
        args.extend(["--apply", word]);
    }
    assert_eq!(kscope(&args).stdout, user);
}

#[test]
fn edits_are_done_in_the_order_of_the_command_line() {
    let (set, limit) = (
        ["--set", "180000000-18fffffff=soft reserved"],
        ["--apply", "mem=4G"],
    );
    let (first, second) = ([set, limit].concat(), [limit, set].concat());
    assert_eq!(totals(&first), totals(&second));
    let remove = ["--remove", "180000000-1ffffffff"];
    assert_eq!(
        totals(&[remove, set].concat())["soft reserved"],
        0x1000_0000
    );
    assert_eq!(
        totals(&[set, remove].concat())["soft reserved"],
        json!(null)
    );
    // Between two runs of --apply the map is cleaned up.
    let add = ["--apply", "memmap=1M#16M"];
    assert_eq!(
        totals(&[add, ["--set", "1000000-10fffff=1"], add].concat())["ACPI data"],
        1 << 20
    );
    assert_eq!(
        totals(&[add, ["--set", "1000000-10fffff=1"]].concat())["ACPI data"],
        json!(null)
    );
}

#[test]
fn set_and_remove_are_inclusive_and_go_by_kind() {
    let text = lines(&[
        "--set",
        "0x0-0xfff=reserved",
        "--remove",
        "9f000-fffff=reserved",
    ]);
    let expected = "\
BIOS-e820: [mem 0x0000000000000000-0x0000000000000fff] reserved
BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff] usable
BIOS-e820: [mem 0x0000000000100000-0x00000000bffdcfff] usable
";
    assert!(text.starts_with(expected), "{text}");
    // What touches and is of the kind is joined.
    let text = lines(&["--set", "9fc00-fffff=System RAM"]);
    assert!(
        text.starts_with("BIOS-e820: [mem 0x0000000000000000-0x00000000bffdcfff] usable\n"),
        "{text}"
    );
}

#[test]
fn sanitise_resolves_overlaps_and_odd_entries_are_refused_as_by_the_kernel() {
    let table = "start last bytes kind\n0x1000 0x2fff 8192  reserved\n0x0 0xffff 65536  usable\n0x9000 - 0  usable\n";
    let sanitised = kscope_with(
        &["map", "-", "--sanitise", "--to", "memmap-args"],
        table.as_bytes(),
    );
    assert_eq!(
        sanitised.good(),
        "memmap=exactmap memmap=4K@0 memmap=8K$4K memmap=52K@12K\n"
    );
    let wrapping = "start last bytes kind\n0xffffffffffffffff - 2  usable\n";
    kscope_with(&["map", "-", "--sanitise"], wrapping.as_bytes()).failed(
        1,
        "-: entry 0: 0x2 bytes at 0xffffffffffffffff pass the end of the address space",
    );
}

#[test]
fn bad_items_are_named_and_treated_as_the_kernel_does() {
    let outcome = kscope(&["map", GUEST, "--apply", "memmap=junk,1M#16Mx", "--json"]);
    assert_eq!(
        outcome.stderr,
        "kscope: --apply: line 1, column 8: expected a size or `exactmap`; the kernel passes the item over\n\
         kscope: --apply: line 1, column 19: expected the end of the item; the kernel takes the item as `1M#16M`\n"
    );
    assert_eq!(outcome.json()["totals"]["ACPI data"], 1 << 20);
    assert_eq!(outcome.json()["who"], "user");
    let nothing = kscope(&["map", GUEST, "--apply", "mem=0"]);
    assert_eq!(
        nothing.stderr,
        "kscope: --apply: line 1, column 5: expected a size above 0; the kernel changes no entry for it\n"
    );
    kscope(&["map", GUEST, "--apply", "memmap=exactmap"]).failed(
        1,
        &format!(
            "{GUEST}: entries that the command line leaves: 0; the kernel wants 2 or more and panics"
        ),
    );
    for args in [
        &["--apply", "quiet"][..],
        &["--set", "0-fff"],
        &["--set", "0-fff=foo"],
        &["--set", "fff-0=1"],
        &["--set", "0=1"],
        &["--remove", "0-zz"],
        &["--find", "0"],
        &["--find", "16E"],
        &["--gap", "18446744073709551617"],
        &["--gap", "0x10000000000000000"],
        &["--find", "4K,align"],
        &["--find", "4K,align=0"],
        &["--find", "4K,min=2,max=1"],
        &["--gap", "K"],
        &["--ram", "1G"],
        &["--at", "0", "--draw"],
        &["--json", "--to", "e820"],
        &["--who", "user"],
    ] {
        let outcome = kscope(&[&["map", GUEST], args].concat());
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (2, ""),
            "{args:?}"
        );
        assert_eq!(
            outcome.stderr.lines().count(),
            1,
            "{args:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn questions_are_answered_a_line_each() {
    let ask = |args: &[&str]| kscope(&[&["map", GUEST], args].concat()).good();
    assert_eq!(
        ask(&["--gap", "4M", "--at", "9fc00", "--at", "0xa0000"]),
        "gap 4M: 0xc0000000-0xfffbffff 1073479680 (before Linux 7.0)\n\
         gap 4M: 0xc0000000-0xfffbffff 1073479680 (Linux 7.0 and later)\n\
         at 0x9fc00: 0x9fc00-0x9ffff 1024 reserved\n\
         at 0xa0000: 0xa0000-0xeffff 327680 no entry of the map\n"
    );
    assert_eq!(
        ask(&[
            "--find",
            "64M,align=2M,max=0xffffffff,top-down",
            "--find",
            "0x1000,min=4G",
            "--find",
            "1T"
        ]),
        "find 64M,align=2M,max=0xffffffff,top-down: 0xbbe00000-0xbfdfffff 67108864\n\
         find 0x1000,min=4G: 0x100000000-0x100000fff 4096\n\
         find 1T: no such place\n"
    );
    // The last byte that may be taken is one of them.
    assert_eq!(
        ask(&[
            "--find",
            "4K,max=0x1fff,min=0x1000",
            "--find",
            "4K,max=0x1ffe,min=0x1000"
        ]),
        "find 4K,max=0x1fff,min=0x1000: 0x1000-0x1fff 4096\nfind 4K,max=0x1ffe,min=0x1000: no such place\n"
    );
    // The very last byte lies in no range that could be printed.
    assert_eq!(
        ask(&["--at", "ffffffffffffffff"]),
        "at 0xffffffffffffffff: no entry of the map\n"
    );
    // Edits come first.
    assert_eq!(
        ask(&["--at", "0", "--set", "0-fff=12"]),
        "at 0x0: 0x0-0xfff 4096 persistent (type 12)\n"
    );
}

#[test]
fn crashkernel_goes_where_the_kernel_put_it() {
    let iomem = GUEST.replace("boot_params.bin", "iomem.txt");
    let iomem = std::fs::read_to_string(workspace().join(iomem)).unwrap();
    let of = |name: &str| -> Vec<&str> {
        let lines = iomem
            .lines()
            .filter_map(|line| line.trim().split_once(" : "));
        lines
            .filter(|(_, found)| *found == name)
            .map(|(range, _)| range)
            .collect()
    };
    let log =
        std::fs::read_to_string(workspace().join(GUEST.replace("boot_params.bin", "dmesg.txt")))
            .unwrap();
    let after = |words: &str| {
        let rest = log.split_once(words).unwrap().1;
        rest.split_once(']').unwrap().0.to_owned()
    };
    let (ramdisk, node) = (
        after("RAMDISK: [mem "),
        after("NODE_DATA(0) allocated [mem "),
    );
    let busy = [
        of("Kernel code")[0],
        of("Kernel rodata")[0],
        of("Kernel data")[0],
        of("Kernel bss")[0],
        &ramdisk,
        &node,
    ];
    let mut args = vec![
        "map",
        GUEST,
        "--json",
        "--crashkernel",
        "512M,high",
        "--crashkernel",
        "72M,low",
    ];
    for range in busy {
        args.extend(["--busy", range]);
    }
    let answers = kscope(&args).json()["answers"].clone();
    let bare =
        |address: &Value| format!("{:0>8}", address.as_str().unwrap().trim_start_matches("0x"));
    let found: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| format!("{}-{}", bare(&answer["start"]), bare(&answer["last"])))
        .collect();
    assert_eq!(found, of("Crash kernel"));
    assert_eq!(
        (&answers[0]["which"], &answers[1]["which"]),
        (&json!("low"), &json!("main"))
    );

    for (args, line) in [
        (
            &["10G"][..],
            "10G: crashkernel= asks for 10240 MiB of 6143 MiB of RAM",
        ),
        (
            &["8G-:1G"],
            "8G-:1G: no range of crashkernel= holds 6144 MiB of RAM",
        ),
        (
            &["5G-:64M", "--ram", "4G"],
            "5G-:64M: no range of crashkernel= holds 4096 MiB of RAM",
        ),
        (
            &["5G-:16M@16M"],
            "5G-:16M@16M: 0x1000000-0x1ffffff 16777216 (main)",
        ),
        (
            &["crashkernel=3073M"],
            "crashkernel=3073M: no 3073 MiB of RAM are free in one piece",
        ),
    ] {
        let answer = kscope(&[&["map", GUEST, "--crashkernel"], args].concat()).good();
        assert_eq!(answer, format!("crashkernel {line}\n"));
    }
}

#[test]
fn diff_says_what_differs() {
    let (page, sysfs) = (
        "e820/testdata/seabios-512M-hotplug.boot_params.bin",
        "e820/testdata/seabios-512M-hotplug.sysfs.txt",
    );
    assert_eq!(
        kscope(&["map", "diff", page, sysfs]).good(),
        "       0x100000000        0x10fffffff            268435456  - => usable\n"
    );
    assert_eq!(kscope(&["map", "diff", page, page]).good(), "");
    assert_eq!(kscope(&["map", "diff", page]).status, 2);
    kscope(&["map", "diff", page, "missing"])
        .failed(3, "missing: No such file or directory (os error 2)");
}
