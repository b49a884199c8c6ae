//! Every seed of every target, without a fuzzing engine.

use std::{fs, path::Path};

#[test]
fn every_seed_of_every_target() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, target) in fuzz::TARGETS {
        let mut replayed = 0;
        let folder = seeds.join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{name}: {}", path.display());
            target(&fs::read(path).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{name} has no seeds");
        target(&[]);
    }
}

#[test]
fn every_target_has_a_binary_and_every_seed_folder_a_target() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = fuzz::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    names.sort();
    let listed = |dir: &str| {
        let mut found: Vec<_> = fs::read_dir(here.join(dir))
            .unwrap()
            .map(|e| {
                e.unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        found.sort();
        found
    };
    assert_eq!(listed("fuzz_targets"), names);
    assert_eq!(listed("seeds"), names);
}
