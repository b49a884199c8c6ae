//! `kscope map`: drawings in the terminal and as SVG.

use crate::support::{Directory, kscope, kscope_with};

const SEED: &str = "testdata/seed-map.dmesg.txt";

#[test]
fn a_drawing_shows_every_entry_and_gap_and_the_totals() {
    let drawing = kscope(&["map", SEED, "--draw"]).good();
    assert!(
        drawing.starts_with("testdata/seed-map.dmesg.txt (BIOS-e820)\n\n▒▒▒▒███"),
        "{drawing}"
    );
    let rows = |word: &str| {
        drawing
            .lines()
            .filter(|line| line.ends_with(&format!("B  {word}")))
            .count()
    };
    assert_eq!((rows("usable"), rows("reserved"), rows("gap")), (3, 6, 6));
    assert!(drawing.contains("\n0x100000000\n"), "{drawing}");
    assert!(
        drawing.contains("usable                191.98 MiB            201310208\n"),
        "{drawing}"
    );
    assert!(drawing.contains("╵1M"), "{drawing}");
    // Nothing but the axis and the bars is wider than a terminal.
    assert!(
        drawing.lines().all(|line| line.chars().count() <= 80),
        "{drawing}"
    );
    assert!(!drawing.contains('\x1b'));
}

#[test]
fn a_small_range_is_drawn_in_proportion() {
    let log = b"BIOS-e820: [mem 0x0000000000000000-0x00000000000fffff] usable\n\
        BIOS-e820: [mem 0x0000000000100000-0x00000000003fffff] type 9\n";
    let drawing = kscope_with(&["map", "-", "--draw"], log).good();
    let axis = drawing.lines().nth(2).unwrap();
    assert_eq!(axis, format!("{}{}", "█".repeat(19), "▦".repeat(57)));
    assert!(!drawing.contains("doubling"), "{drawing}");
    assert!(drawing.contains("╵1M"), "{drawing}");
}

#[test]
fn what_cannot_be_drawn_is_named() {
    let table = "start last bytes kind\n0x0 0xffff 65536  usable\n0x1000 0x1fff 4096  reserved\n0x9000 - 0  usable\n";
    let outcome = kscope_with(&["map", "-", "--draw"], table.as_bytes());
    assert_eq!(outcome.status, 0);
    assert_eq!(
        outcome.stderr,
        "kscope: -: not drawn, for they are odd: entries 1\n\
         kscope: -: drawn with overlaps resolved, as by --sanitise\n"
    );
    let empty = kscope_with(&["map", "-", "--from", "boot-params", "--draw"], &[0; 4096]);
    assert_eq!(empty.good(), "-\n\nno memory\n");
}

#[test]
fn an_svg_is_written_beside_other_answers() {
    let directory = Directory::new();
    let file = directory.path("map.svg");
    assert_eq!(kscope(&["map", SEED, "--svg", &file]).good(), "");
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(
        svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" ") && svg.ends_with("</svg>\n")
    );
    assert_eq!(svg.matches("class=\"word").count(), 15);
    for text in [
        ">usable: 191.98 MiB<",
        ">201310208 bytes<",
        ">0xb3000000<",
        "0xbffe0000-0xbfffffff reserved, 131072 bytes",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    // Every tag that is opened is closed.
    for tag in ["text", "title", "style", "defs", "pattern", "svg"] {
        let opened =
            svg.matches(&format!("<{tag}>")).count() + svg.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, svg.matches(&format!("</{tag}>")).count(), "{tag}");
    }

    let both = kscope(&["map", SEED, "--svg", &file, "--json"]);
    assert_eq!(both.json()["entries"].as_array().unwrap().len(), 9);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), svg);
    let nowhere = directory.path("missing/map.svg");
    kscope(&["map", SEED, "--svg", &nowhere]).failed(
        3,
        &format!("{nowhere}: No such file or directory (os error 2)"),
    );
}

#[test]
fn no_svg_is_written_over_a_source() {
    let directory = Directory::new();
    let log = std::fs::read(crate::support::workspace().join(SEED)).unwrap();
    let source = directory.write("log", &log);
    std::os::unix::fs::symlink("log", directory.path("link")).unwrap();
    for out in [source.clone(), directory.path("link")] {
        let why = format!("{out}: this is the input, too: write to another file");
        kscope(&["map", SEED, &source, "--svg", &out]).failed(2, &why);
    }
    assert_eq!(std::fs::read(&source).unwrap(), log);
}

#[test]
fn names_of_files_are_no_markup() {
    let directory = Directory::new();
    let log = std::fs::read(crate::support::workspace().join(SEED)).unwrap();
    let odd = directory.write("<a> & b", &log);
    let file = directory.path("map.svg");
    kscope(&["map", &odd, "--svg", &file]).good();
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(svg.contains("&lt;a&gt; &amp; b (BIOS-e820)") && !svg.contains("<a>"));
}
