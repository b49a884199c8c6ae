//! `kscope dump` on a dump of a real kernel.

use crate::support::{kscope, kscope_with, workspace};

/// Pages and tables of a kernel that crashed, see testdata/README.md.
const REAL: &str = "testdata/kdump.elf";

#[test]
fn a_real_dump_tells_what_readelf_and_crash_tell() {
    let info = kscope(&["dump", "info", REAL, "--json"]).json();
    assert_eq!(info["kernel_release"], "6.1.0-56-cloud-amd64");
    assert_eq!(info["crash_time"], 1_795_391_635);
    assert_eq!(info["phys_base"], "0xffffffffe8e00000");
    assert_eq!(info["kernel_offset"], "0x25800000");
    assert_eq!(info["paging"]["root"], "0x11010000");
    assert_eq!(info["cpus"][1]["pid"], 104);
    assert_eq!(info["cpus"][1]["registers"]["rip"], "0xffffffffa696475a");
    assert_eq!(info["cpus"][1]["registers"]["rsp"], "0xffffd066c0403a38");

    let banner = [
        "dump",
        "read",
        REAL,
        "--virt",
        "ffffffffa791ffe0",
        "36",
        "--raw",
    ];
    assert_eq!(
        kscope(&banner).good(),
        "Linux version 6.1.0-56-cloud-amd64 ("
    );
}

/// Rows of a table beside the dump.
fn rows(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(workspace().join("testdata").join(name)).unwrap();
    text.lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Physical address or `unmapped` of each answer.
fn answers(root: &[&str], addresses: &[&str]) -> Vec<String> {
    let args = [&["dump", "vtop", REAL, "-"], root].concat();
    let answers = kscope_with(&args, addresses.join("\n").as_bytes()).good();
    answers
        .lines()
        .map(|line| {
            line.split(' ')
                .nth(1)
                .unwrap()
                .trim_start_matches("0x")
                .to_owned()
        })
        .collect()
}

#[test]
fn a_real_dump_translates_as_libkdumpfile_and_crash_do() {
    let kernel = rows("kdump.xlat.tsv");
    let (addresses, expected): (Vec<&str>, Vec<&str>) = kernel
        .iter()
        .map(|row| (row[0].as_str(), row[1].as_str()))
        .unzip();
    assert!(addresses.len() > 300);
    assert_eq!(answers(&[], &addresses), expected);

    let user = rows("kdump.user-xlat.tsv");
    assert!(user.len() > 50);
    for process in user.chunk_by(|a, b| a[0] == b[0]) {
        let (addresses, expected): (Vec<&str>, Vec<&str>) = process
            .iter()
            .map(|row| (row[1].as_str(), row[2].as_str()))
            .unzip();
        assert_eq!(answers(&["--root", &process[0][0]], &addresses), expected);
    }
}
