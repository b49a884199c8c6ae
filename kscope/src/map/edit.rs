//! Edits of a map, done in the order of the command line.
//!
//! ```text
//!   as found ── sanitise ──► map ── --set ──► map ── --apply --apply ──► map ── …
//!                                                    └ one command line ┘
//! ```

use std::{path::Path, str::FromStr};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use e820::{
    Entry, Kind, MemoryMap, MergePolicy, RawEntry, UserMap,
    text::memmap_param::{self, Action},
};
use physmem::PhysRange;

use super::{Subject, form::Form, table};
use crate::{
    address::StartEnd,
    failure::{Failure, Result, notice},
};

/// The newest kernel's way to join neighbours.
pub(super) const MERGE: MergePolicy = MergePolicy::NotPramNorSoftReserved;

/// A map to calculate with.
pub(super) type Calculated = MemoryMap<Vec<Entry>>;

/// `START-END=KIND`, or without a kind.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    range: PhysRange,
    kind: Option<Kind>,
}

impl FromStr for Stretch {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (span, kind) = match text.split_once('=') {
            None => (text, None),
            Some((span, word)) => {
                let unknown = || {
                    let known = e820::Words::Log;
                    format!("`{word}` is no kind of memory, known: {known}; or a number")
                };
                (span, Some(table::kind_of(word).ok_or_else(unknown)?))
            }
        };
        let StartEnd(range) = span.parse()?;
        Ok(Self { range, kind })
    }
}

/// What one of the options does.
#[derive(Debug, Clone)]
enum Edit {
    /// What the kernel does for `memmap=` and `mem=`.
    Apply(String),
    /// Whatever was there, it is of this kind.
    Set(PhysRange, Kind),
    /// What is of this kind there, or of any, goes.
    Remove(PhysRange, Option<Kind>),
}

/// All edits, in the order in which they are given.
#[derive(Debug, Clone)]
pub(super) struct Edits(Vec<Edit>);

impl Args for Edits {
    fn augment_args(command: Command) -> Command {
        let edit = |name: &'static str| {
            let arg = Arg::new(name).long(name).action(ArgAction::Append);
            arg.help_heading("Edits, done in their order")
        };
        command
            .arg(
                edit("apply")
                    .value_name("PARAMETER")
                    .help("What the kernel does for `memmap=…` or `mem=…`; several in a row are one command line"),
            )
            .arg(
                edit("set")
                    .value_name("START-END=KIND")
                    .value_parser(value_parser!(Stretch))
                    .help("Make all of it this kind; END is the last byte, KIND a word of the log or a number"),
            )
            .arg(
                edit("remove")
                    .value_name("START-END[=KIND]")
                    .value_parser(value_parser!(Stretch))
                    .help("Take out what is there, or what of it is of this kind"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Edits {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut edits: Vec<(usize, Edit)> = Vec::new();
        let places = |name: &str| {
            matches
                .indices_of(name)
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let lines = matches.get_many::<String>("apply").into_iter().flatten();
        for (place, line) in places("apply").into_iter().zip(lines) {
            edits.push((place, Edit::Apply(line.clone())));
        }
        for name in ["set", "remove"] {
            let stretches = matches.get_many::<Stretch>(name).into_iter().flatten();
            for (place, &Stretch { range, kind }) in places(name).into_iter().zip(stretches) {
                let edit = match kind {
                    Some(kind) if name == "set" => Edit::Set(range, kind),
                    None if name == "set" => {
                        let why = "--set needs a kind: START-END=KIND";
                        return Err(clap::Error::raw(
                            clap::error::ErrorKind::ValueValidation,
                            why,
                        ));
                    }
                    _ => Edit::Remove(range, kind),
                };
                edits.push((place, edit));
            }
        }
        edits.sort_by_key(|(place, _)| *place);
        Ok(Self(edits.into_iter().map(|(_, edit)| edit).collect()))
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the kernel would call the result `user`.
    pub(super) fn are_users(&self) -> bool {
        self.0.iter().any(|edit| matches!(edit, Edit::Apply(_)))
    }

    /// Does them all.
    pub(super) fn run(&self, mut map: Calculated, source: &Path) -> Result<Calculated> {
        let wrong = |error| Failure::input(source, error);
        let mut edits = self.0.as_slice();
        while let Some((edit, rest)) = edits.split_first() {
            edits = rest;
            match edit {
                Edit::Apply(first) => {
                    // Nothing is cleaned up between the parameters of one command line.
                    let mut line = first.clone();
                    while let Some((Edit::Apply(next), rest)) = edits.split_first() {
                        line = format!("{line} {next}");
                        edits = rest;
                    }
                    map = apply(map, &line, source)?;
                }
                Edit::Set(range, kind) => {
                    let (range, kind) = (*range, *kind);
                    map.remove(range, None).map_err(wrong)?;
                    map.insert(Entry { range, kind }).map_err(wrong)?;
                    map.merge(MERGE);
                }
                Edit::Remove(range, only) => {
                    map.remove(*range, *only).map_err(wrong)?;
                }
            }
        }
        Ok(map)
    }
}

/// The map after a kernel has read this command line; what is wrong with it is named.
fn apply(map: Calculated, line: &str, source: &Path) -> Result<Calculated> {
    let given = Path::new("--apply");
    let mut actions = Vec::new();
    let mut items = 0;
    for item in memmap_param::items(line.as_bytes()) {
        items += 1;
        if let Some(fault) = item.fault {
            let what = match item.action {
                None => "the kernel passes the item over".to_owned(),
                Some(Action::Nothing) => "the kernel changes no entry for it".to_owned(),
                Some(action) => format!("the kernel takes the item as `{action}`"),
            };
            notice(given, format_args!("{fault}; {what}"));
        }
        actions.extend(item.action);
    }
    if items == 0 {
        let why = format!("--apply: no memmap= and no mem= in `{line}`");
        return Err(Failure::Usage(why));
    }
    if actions.is_empty() {
        return Ok(map);
    }
    let wrong = |error| Failure::input(source, error);
    let count = map.entries().len() + actions.len();
    let mut user = UserMap::new(map);
    for action in actions {
        user.apply(action).map_err(wrong)?;
    }
    // Each change cuts at most all there are in two.
    let mut scratch = vec![RawEntry::default(); 2 * count];
    user.finish(&mut scratch, Vec::new(), MERGE).map_err(wrong)
}

/// The map of what was found: overlaps resolved, kinds without a number replaced.
pub(super) fn calculate(subject: &Subject) -> Result<Calculated> {
    if let Some(map) = &subject.map {
        return Ok(map.clone());
    }
    let unknown = |entry: &&RawEntry| entry.kind == Kind::UNKNOWN;
    let count = subject.entries.entries().iter().filter(unknown).count();
    let is_untold = matches!(subject.form, Some(Form::Iomem | Form::Sysfs) | None);
    let mut entries = subject.entries.clone().into_inner();
    if count > 0 {
        let what = if is_untold {
            for entry in entries
                .iter_mut()
                .filter(|entry| entry.kind == Kind::UNKNOWN)
            {
                entry.kind = Kind::RESERVED;
            }
            "calculated as reserved, for the source does not tell their kind"
        } else {
            "left out, as by the kernel: type 0 is none"
        };
        notice(&subject.source, format_args!("entries {what}: {count}"));
    }
    MemoryMap::sanitize(&mut entries, Vec::new(), MERGE)
        .map_err(|error| Failure::input(&subject.source, error))
}
