//! The forms of maps by the names that the command line has for them, and printing in each.
//!
//! ```text
//!   as found ──── same form ────► the text or the bytes of the source, to the byte
//!   changed, or another form ───► what a kernel with this map would print
//! ```

use std::fmt::{self, Write as _};

use clap::ValueEnum;
use e820::{
    Kind, RawEntry, RawMap, Words,
    text::{
        dmesg::{self, Who},
        memmap_param::Action,
        sysfs::SysfsEntry,
    },
    wire::{
        array::{AcpiArrayBuilder, AcpiEntry, ArrayBuilder, Attributes},
        boot_params::{self, BootParams, Builder},
        setup_data::ExtensionBuilder,
    },
};

use super::{Subject, table};
use crate::failure::{Failure, Result, notice};

/// The forms a map comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A kernel log
    Dmesg,
    /// /proc/iomem
    Iomem,
    /// /sys/firmware/memmap, or one line for each of its entries: INDEX START END TYPE
    Sysfs,
    /// The zero page, /sys/kernel/boot_params/data, with the rest of a long map behind it
    BootParams,
    /// Entries of 20 bytes, or of 24
    E820,
    /// A kernel command line with memmap=
    MemmapArgs,
    /// What this command prints
    Table,
}

impl Form {
    /// The form that a file most likely has.
    pub(super) fn of(bytes: &[u8]) -> std::result::Result<Self, e820::Error> {
        if table::is_one(bytes) {
            return Ok(Self::Table);
        }
        Ok(match e820::Form::of(bytes)? {
            e820::Form::Iomem => Self::Iomem,
            e820::Form::Sysfs => Self::Sysfs,
            e820::Form::Cmdline => Self::MemmapArgs,
            e820::Form::BootParams => Self::BootParams,
            e820::Form::Array | e820::Form::AcpiArray => Self::E820,
            _ => Self::Dmesg,
        })
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// What a source has beside the entries of its map, without which it could not be printed back.
pub(super) enum Shape {
    /// Nothing, or several sources.
    Plain,
    /// A log: the generation of its lines.
    Log(dmesg::Form),
    /// The whole listing of `/proc/iomem`.
    Iomem(String),
    /// Numbers and words of the entries of `/sys/firmware/memmap`.
    Sysfs(Vec<SysfsEntry>),
    /// A zero page, how many entries are in it, and what follows it in the file.
    Page {
        page: Vec<u8>,
        inside: usize,
        behind: Vec<u8>,
    },
    /// Entries with attributes.
    Acpi(Vec<AcpiEntry>),
    /// The parameters that hold the map.
    Cmdline(Vec<u8>),
}

/// Where the node with the entries that have no room in a zero page is said to be: right behind the page
/// for a loader that puts the page at 0x90000. Any other address takes a change of `setup_data`.
const EXTENSION_AT: u64 = 0x9_1000;

/// The map in this form.
pub(super) fn emit(subject: &Subject, to: Form) -> Result<Vec<u8>> {
    let (map, shape) = (&subject.entries, &subject.shape);
    let is_changed = subject.map.is_some();
    Ok(match to {
        Form::Dmesg => {
            let lines = map.log_lines(subject.who.unwrap_or(Who::BiosE820));
            match shape {
                Shape::Log(form) => lines.form(*form),
                _ => lines,
            }
            .to_string()
            .into()
        }
        Form::Iomem => match shape {
            Shape::Iomem(listing) if !is_changed => listing.clone().into(),
            _ => {
                let odd = map.entries().iter().filter(|entry| entry.last().is_none());
                let odd = odd.count();
                if odd > 0 {
                    let why = "left out, as by the kernel: entries that hold no memory";
                    notice(&subject.source, format_args!("{why}: {odd}"));
                }
                name_lost_kinds(subject, to);
                map.iomem_lines().to_string().into()
            }
        },
        Form::Sysfs => match shape {
            Shape::Sysfs(entries) if !is_changed => {
                let mut lines = String::new();
                for entry in entries {
                    // Writing to a string cannot fail.
                    let _ = writeln!(lines, "{entry}");
                }
                lines.into()
            }
            Shape::Sysfs(entries) => {
                let is_old = |entry: &SysfsEntry| entry.words == Words::ResourceBefore4_11;
                let words = entries.iter().find(|entry| is_old(entry));
                let words = words.map_or(Words::Resource, |entry| entry.words);
                map.sysfs_lines().words(words).to_string().into()
            }
            _ => {
                name_lost_kinds(subject, to);
                map.sysfs_lines().to_string().into()
            }
        },
        Form::BootParams => zero_page(subject)?,
        Form::E820 => match shape {
            Shape::Acpi(entries) if !is_changed => acpi_array(subject, entries)?,
            Shape::Acpi(_) => {
                let attributes = Attributes::ENABLED;
                let with = |&entry: &RawEntry| AcpiEntry { entry, attributes };
                let entries: Vec<_> = map.entries().iter().map(with).collect();
                acpi_array(subject, &entries)?
            }
            _ => {
                let array = ArrayBuilder::new(map.entries());
                let mut bytes = vec![0; array.emitted_len()];
                array
                    .emit(&mut bytes)
                    .map_err(|error| refused(subject, error))?;
                bytes
            }
        },
        Form::MemmapArgs => match shape {
            Shape::Cmdline(text) if !is_changed => text.clone(),
            _ => memmap_args(subject),
        },
        Form::Table => table::print(map),
    })
}

fn refused(subject: &Subject, error: e820::Error) -> Failure {
    Failure::input(&subject.source, error)
}

/// Says so where a kind is printed by a word that is not its own.
fn name_lost_kinds(subject: &Subject, to: Form) {
    let words = Words::Resource;
    let is_lost = |kind: Kind| words.kind(&words.word(kind).to_string()) != Some(kind);
    let entries = subject.entries.entries().iter();
    let lost = entries.filter(|entry| is_lost(entry.kind)).count();
    if lost > 0 {
        let what = format_args!("entries whose kind {to} does not tell: {lost}");
        notice(&subject.source, what);
    }
}

fn acpi_array(subject: &Subject, entries: &[AcpiEntry]) -> Result<Vec<u8>> {
    let array = AcpiArrayBuilder::new(entries);
    let mut bytes = vec![0; array.emitted_len()];
    array
        .emit(&mut bytes)
        .map_err(|error| refused(subject, error))?;
    Ok(bytes)
}

/// A zero page with the map, made of that of the source if it has one. What has no room in it follows
/// behind it as a node of `setup_data`.
fn zero_page(subject: &Subject) -> Result<Vec<u8>> {
    let entries = subject.entries.entries();
    let (mut page, inside, behind) = match &subject.shape {
        Shape::Page {
            page,
            inside,
            behind,
        } => (page.clone(), Some(*inside), behind.as_slice()),
        _ => (vec![0; boot_params::SIZE], None, [].as_slice()),
    };
    let is_whole = inside == Some(entries.len()) || !behind.is_empty();
    if subject.map.is_none() && is_whole {
        page.extend_from_slice(behind);
        return Ok(page);
    }

    let had_more = inside.is_some_and(|inside| inside < subject.found);
    let old = BootParams::parse(&page).map_err(|error| refused(subject, error))?;
    let next = match old.setup_data() {
        head if head != 0 && had_more => {
            let why = "setup_data is cut off, for it held the rest of the map as it was";
            notice(&subject.source, why);
            0
        }
        head => head,
    };
    let (table, rest) = Builder::split(entries);
    let emit = |page: &mut Vec<u8>| {
        table.emit(page)?;
        if rest.is_empty() {
            return boot_params::set_setup_data(page, next);
        }
        boot_params::set_setup_data(page, EXTENSION_AT)?;
        let node = ExtensionBuilder::try_new(rest, next)?;
        let mut bytes = vec![0; node.emitted_len()];
        node.emit(&mut bytes)?;
        page.extend_from_slice(&bytes);
        Ok(())
    };
    emit(&mut page).map_err(|error| refused(subject, error))?;
    if !rest.is_empty() {
        let (more, bytes) = (rest.len(), page.len() - boot_params::SIZE);
        let verb = if more == 1 { "is" } else { "are" };
        notice(
            &subject.source,
            format_args!(
                "the page takes {}: {more} more {verb} in the {bytes} bytes behind it, a SETUP_E820_EXT \
                 node to be loaded at {EXTENSION_AT:#x}, where setup_data says it is",
                boot_params::MAX_ENTRIES
            ),
        );
    }
    Ok(page)
}

/// The parameters that make a kernel forget its map and take this one.
fn memmap_args(subject: &Subject) -> Vec<u8> {
    let mut line = format!("memmap={}", Action::ExactMap);
    let (unknown, known): (Vec<_>, Vec<_>) = subject
        .entries
        .entries()
        .iter()
        .partition(|entry| entry.kind == Kind::UNKNOWN);
    if !unknown.is_empty() {
        let why = "left out: memmap= cannot say type 0, entries";
        notice(&subject.source, format_args!("{why}: {}", unknown.len()));
    }
    for entry in known {
        // Writing to a string cannot fail.
        let _ = write!(line, " memmap={}", Action::Add(entry));
    }
    line.push('\n');
    line.into()
}

/// The entries of a map as found.
pub(super) type Entries = RawMap<Vec<RawEntry>>;
