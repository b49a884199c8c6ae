//! `kscope dump vtop` and `mappings` on a dump made here, all of whose tables are known.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Directory, Small, kscope, kscope_with, small, small_dump};

/// Every case of an answer, as text and as JSON.
pub(crate) const CASES: [(&str, &str, &str, &str); 9] = [
    ("0", "0x0 0x5000 0x1000 0x62", "pte", "0x4000"),
    ("0x1ff8", "0x1ff8 0x7ff8 0x1000 0x62", "pte", "0x4008"),
    ("2345ff", "0x2345ff 0x2345ff 0x200000 0x62", "pmd", "0x3008"),
    (
        "40000abc",
        "0x40000abc 0x40000abc 0x40000000 0x8000000000000062",
        "pud",
        "0x2008",
    ),
    ("3000", "0x3000 unmapped (pte)", "pte", "0x4018"),
    ("400000", "0x400000 unmapped (pmd)", "pmd", "0x3010"),
    (
        "800000000000",
        "0x800000000000 unmapped (pgd)",
        "pgd",
        "0x1000",
    ),
    (
        "8000000000",
        "0x8000000000 missing (0x6000)",
        "pud",
        "0x6000",
    ),
    (
        "ffffffffffffffff",
        "0xffffffffffffffff missing (0x9ff8)",
        "pud",
        "0x9ff8",
    ),
];

#[test]
fn vtop_answers_in_a_line_each_and_unmapped_is_an_answer() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let expected: Vec<_> = CASES.iter().map(|case| case.1).collect();
    let arguments: Vec<_> = CASES.iter().map(|case| case.0).collect();
    let asked = [&["dump", "vtop", &path][..], &arguments].concat();
    assert_eq!(kscope(&asked).good().lines().collect::<Vec<_>>(), expected);
    let lines = arguments.join("\n");
    let words = arguments.join(" ");
    for stdin in [lines, words] {
        let answers = kscope_with(&["dump", "vtop", &path, "-"], stdin.as_bytes()).good();
        assert_eq!(answers.lines().collect::<Vec<_>>(), expected);
    }

    let answers = kscope(&[&asked[..], &["--json"]].concat()).good();
    for (answer, (_, text, level, entry_at)) in answers.lines().zip(CASES) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(answer["virt"], words[0]);
        assert_eq!(
            (&answer["level"], &answer["entry_at"]),
            (&json!(level), &json!(entry_at))
        );
        if words.len() == 4 {
            assert_eq!(
                (&answer["phys"], &answer["flags"]),
                (&json!(words[1]), &json!(words[3]))
            );
            let size = u64::from_str_radix(words[2].trim_start_matches("0x"), 16).unwrap();
            assert_eq!(
                (&answer["page_size"], &answer["reason"]),
                (&json!(size), &json!(null))
            );
        } else {
            assert_eq!(
                (&answer["phys"], &answer["reason"]),
                (&json!(null), &json!(words[1]))
            );
            // The entries that are not present are empty, those that are missing were not read.
            let entry = if words[1] == "missing" {
                json!(null)
            } else {
                json!("0x0")
            };
            if words[2] != "(pgd)" {
                assert_eq!(answer["entry"], entry, "{text}");
            }
        }
    }
}

#[test]
fn vtop_shows_the_walk_and_takes_another_root() {
    let Small {
        path,
        directory: _kept,
    } = small();
    assert_eq!(
        kscope(&["dump", "vtop", &path, "--walk", "0x2345ff", "3000"]).good(),
        "0x2345ff 0x2345ff 0x200000 0x62\n  \
           pgd at 0x1000: 0x2067 -> table 0x2000  RW US D A\n  \
           pud at 0x2000: 0x3067 -> table 0x3000  RW US D A\n  \
           pmd at 0x3008: 0x2000e3 -> page 0x200000 of 0x200000  RW D A\n\
         0x3000 unmapped (pte)\n  \
           pgd at 0x1000: 0x2067 -> table 0x2000  RW US D A\n  \
           pud at 0x2000: 0x3067 -> table 0x3000  RW US D A\n  \
           pmd at 0x3000: 0x4067 -> table 0x4000  RW US D A\n  \
           virtual address 0x3000: pte at 0x4018 is not present (0x0)\n"
    );
    let walk = kscope(&["dump", "vtop", &path, "--walk", "--json", "2345ff"]).json();
    let levels: Vec<_> = walk["walk"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["level"])
        .collect();
    assert_eq!(levels, ["pgd", "pud", "pmd"]);
    assert_eq!(walk["walk"][2]["entry"], "0x2000e3");
    assert_eq!(walk["entry"], "0x2000e3");
    // What stands in an entry that is not present: "page one".
    let other = ["dump", "vtop", &path, "--root", "3000", "--json", "0"];
    let other = kscope(&other).json();
    assert_eq!(
        (&other["entry_at"], &other["entry"]),
        (&json!("0x5000"), &json!("0x656e6f2065676170"))
    );

    // The page of a pmd's entries, taken for a pgd, has its 2 MiB page where none may be.
    let other = kscope(&["dump", "vtop", &path, "--root", "0x3000", "0", "8000000000"]).good();
    assert_eq!(other, "0x0 unmapped (pmd)\n0x8000000000 unmapped (pgd)\n");
}

#[test]
fn a_root_where_none_can_be_is_refused() {
    let Small {
        path,
        directory: _kept,
    } = small();
    for command in [&["vtop", &path, "0"][..], &["mappings", &path]] {
        let root = ["--root", "1018", "--paging", "sv39"];
        let outcome = kscope(&[&["dump"], command, &root].concat());
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
        let why = "virtual address 0x0: the root at 0x1018 is at no multiple of 0x1000";
        assert_eq!(outcome.stderr, format!("kscope: {path}: {why}\n"));
        // The low bits of CR3 are none of the address.
        let of = |root| kscope(&[&["dump"], command, &["--root", root]].concat()).stdout;
        assert_eq!(of("1018"), of("1000"));
    }
}

#[test]
fn vtop_and_mappings_say_the_same_of_an_entry() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let mut words = BTreeSet::new();
    for root in ["1000", "3000"] {
        let root = ["--root", root, "--json"];
        let listed = kscope(&[&["dump", "mappings", &path][..], &root].concat()).json();
        let lost = listed["lost"].as_array().unwrap();
        assert!(!lost.is_empty());
        for lost in lost {
            let virt = lost["virt"].as_str().unwrap();
            let answer = kscope(&[&["dump", "vtop", &path, virt][..], &root].concat()).json();
            for key in ["virt", "level", "entry_at", "entry", "reason", "detail"] {
                assert_eq!(answer[key], lost[key], "{key}");
            }
            words.insert(lost["reason"].as_str().unwrap().to_owned());
        }
    }
    // A table that is not there, and an entry that sets reserved bits.
    assert_eq!(Vec::from_iter(words), ["missing", "unmapped"]);
}

#[test]
fn vtop_names_the_line_that_is_no_address() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let outcome = kscope_with(&["dump", "vtop", &path, "-"], b"0\n\nnope\n1000\n");
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (1, "0x0 0x5000 0x1000 0x62\n")
    );
    let why = "-: line 3: `nope` is not an address (up to 16 hexadecimal digits)";
    assert_eq!(outcome.stderr, format!("kscope: {why}\n"));
}

#[test]
fn mappings_lists_every_extent_and_names_lost_tables() {
    let Small {
        path,
        directory: _kept,
    } = small();
    let outcome = kscope(&["dump", "mappings", &path]);
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stdout,
        "0x0 0x5000 0x1000 0x1000 0x62\n\
         0x1000 0x7000 0x2000 0x1000 0x62\n\
         0x200000 0x200000 0x200000 0x200000 0x62\n\
         0x40000000 0x40000000 0x40000000 0x40000000 0x8000000000000062\n"
    );
    let said: Vec<_> = outcome.stderr.lines().collect();
    let table = |virt, at, why| {
        format!("kscope: {path}: virtual address {virt}: pud at {at} cannot be read: {why}")
    };
    let excluded = table(
        "0x8000000000",
        "0x6000",
        "excluded when the dump was written",
    );
    assert_eq!(
        said,
        [
            excluded,
            table("0xffffff8000000000", "0x9000", "not in the dump")
        ]
    );

    let answer = kscope(&["dump", "mappings", &path, "--json"]).json();
    assert_eq!(answer["mappings"].as_array().unwrap().len(), 4);
    assert_eq!(answer["lost"][1]["entry_at"], "0x9000");

    // One table deeper nothing is lost.
    let whole = kscope(&["dump", "mappings", &path, "--root", "4000"]);
    assert_eq!((whole.status, whole.stdout.as_str()), (1, ""));
}

#[test]
fn tables_that_lead_to_themselves_come_to_an_end() {
    let directory = Directory::new();
    let mut dump = small_dump();
    for entry in dump[0x1000..0x2000].chunks_mut(8) {
        entry.copy_from_slice(&0x1067_u64.to_le_bytes());
    }
    let path = directory.write("dump", &dump);
    let outcome = kscope(&["dump", "mappings", &path, "--json"]);
    let (mappings, lost) = (&outcome.json()["mappings"], &outcome.json()["lost"]);
    // Through the first entry of each level to 512 pages; of the other entries the first is named.
    assert_eq!(mappings.as_array().unwrap().len(), 512);
    assert_eq!(lost.as_array().unwrap().len(), 3);
    assert_eq!((outcome.status, &lost[0]["reason"]), (1, &json!("loop")));
    let detail = "virtual address 0x200000: pmd at 0x1008 leads back to the table at 0x1000";
    assert_eq!(lost[0]["detail"], detail);
    let listed = kscope(&["dump", "mappings", &path]);
    assert_eq!((listed.status, listed.stdout.lines().count()), (1, 512));
    let named: Vec<_> = listed.stderr.lines().collect();
    assert_eq!(named[0], format!("kscope: {path}: {detail}"));
    assert_eq!(named.len(), 3);

    // The extract has the table, which is all that there is.
    let out = directory.path("out");
    let everything = ["--virt", "0+0xffffffffffffffff"];
    kscope(&[&["dump", "extract", &path, &out][..], &everything].concat()).good();
    assert_eq!(kscope(&["dump", "mappings", &out]).stdout, listed.stdout);
}

/// Four tables, each of which leads to the next with all its entries, and the last one nowhere.
#[test]
fn tables_that_are_reached_in_too_many_ways_come_to_an_end() {
    let directory = Directory::new();
    let mut dump = small_dump();
    for (at, entry) in dump[0x1000..0x4000].chunks_mut(8).enumerate() {
        let next = 0x2000 + 0x1000 * (at as u64 / 512);
        entry.copy_from_slice(&(next | 0x67).to_le_bytes());
    }
    dump[0x4000..0x5000].fill(0);
    let path = directory.write("dump", &dump);
    let outcome = kscope(&["dump", "mappings", &path, "--json"]);
    let lost = &outcome.json()["lost"];
    assert_eq!((outcome.status, &lost[0]["reason"]), (1, &json!("budget")));
    assert_eq!(lost.as_array().unwrap().len(), 1);

    let out = directory.path("out");
    let everything = ["--virt", "0+0xffffffffffffffff"];
    let outcome = kscope(&[&["dump", "extract", &path, &out][..], &everything].concat());
    assert_eq!(outcome.stderr, kscope(&["dump", "mappings", &path]).stderr);
    assert_eq!(
        (outcome.status, directory.names()),
        (1, vec!["dump".to_owned()])
    );
}
