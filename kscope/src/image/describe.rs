//! An image's header, as its own tool prints it and for programs.

use std::{fmt, io::Write, path::Path};

use bitflags::Flags;
use bootimg::{
    BzImage, Compression, ElfImage, Uimage,
    bzimage::Checksum,
    decompress::{Native, Stream},
    detect::refusals,
    uimage::Part,
};
use elf_format::{Class, Endian, SegmentType};
use serde::Serialize;

use super::{DECOMPRESSED_MAX, Image, Subject, View, compression_name};
use crate::{
    failure::{Failure, Result, notice},
    output::{Hex, Output, count, text},
    segment::Segment,
};

pub(super) fn tell(
    path: &Path,
    subject: &Subject<'_>,
    image: &Image,
    output: &mut Output,
) -> Result {
    // Once: it reads all of the file.
    let checksum = match &subject.view {
        View::BzImage(kernel) => kernel.checksum(),
        _ => Checksum::Absent,
    };
    if image.json {
        let description = Description {
            size: subject.file.len(),
            format: Format::of(subject, checksum),
        };
        output.json(&description)?;
    } else {
        print(subject, checksum, output)?;
    }
    if let Some((offset, len)) = subject.behind() {
        let bytes = count(len, "byte");
        notice(
            path,
            format_args!("offset {offset:#x}: left out: {bytes} behind the image"),
        );
    }
    match verify(subject, checksum, image.verify) {
        Err(error) if image.verify => Err(Failure::image(path, error)),
        Err(error) => {
            notice(path, error);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// What is damaged or not there, as far as the headers tell; with `payloads` also in what is compressed.
fn verify(subject: &Subject<'_>, checksum: Checksum, payloads: bool) -> bootimg::Result<()> {
    let mut streams = Vec::new();
    match &subject.view {
        View::BzImage(kernel) => {
            kernel.verify()?;
            streams.extend(kernel.payload()?.and_then(|payload| payload.stream()));
        }
        View::Uimage(_) => {
            let image = Uimage::parse(subject.file)?;
            // What is inside is covered by the checksum, but for what the header and the table say about it.
            for part in image.parts()? {
                let Part { offset, bytes } = part?;
                streams.extend(Stream::of(bytes).map(|stream| Stream { offset, ..stream }));
            }
            if payloads {
                image.stream()?;
            }
        }
        View::Elf(kernel) => {
            kernel.pvh_entry()?;
            kernel.build_id()?;
        }
        View::Compressed(stream) => streams.push(*stream),
    }
    let mut streams = streams.iter().filter(|_| payloads);
    streams.try_for_each(|stream| stream.to_vec(&mut Native, DECOMPRESSED_MAX).map(drop))?;
    // Last: signed kernels have a wrong one, and all else may be sound.
    checksum.insist()
}

/// Text for people.
fn print(subject: &Subject<'_>, checksum: Checksum, output: &mut Output) -> Result {
    match &subject.view {
        View::BzImage(image) => {
            writeln!(output, "{image}")?;
            let found = Bzimage::new(subject.file, image, checksum);
            let hex = |number: Option<u64>| number.map_or("-".to_owned(), |n| format!("{n:#x}"));
            let payload = found.payload.as_ref();
            let payload = payload.map_or("-".to_owned(), Payload::to_string);
            let rows = [
                ("protocol", found.protocol.clone()),
                ("setup sectors", found.setup_sects.to_string()),
                ("loadflags", words(&found.loadflags)),
                ("xloadflags", words(&found.xloadflags)),
                (
                    "relocatable",
                    if found.relocatable { "yes" } else { "no" }.to_owned(),
                ),
                ("alignment", hex(found.kernel_alignment.map(Into::into))),
                (
                    "preferred address",
                    hex(found.pref_address.map(|Hex(address)| address)),
                ),
                ("init size", hex(found.init_size.map(Into::into))),
                ("payload", payload),
                ("checksum", found.checksum.to_owned()),
            ];
            for (name, value) in rows {
                writeln!(output, "{name:<18} {value}")?;
            }
        }
        View::Uimage(image) => write!(output, "{image}")?,
        View::Elf(image) => {
            write!(output, "{}", image.elf().header())?;
            for load in image.loads() {
                writeln!(
                    output,
                    "LOAD {:#x} at {:#x}: {:#x} bytes, {:#x} in memory",
                    load.vaddr,
                    load.paddr,
                    load.bytes.len(),
                    load.memsz
                )?;
            }
            let found = Elf::new(image);
            if let Some(Hex(entry)) = found.pvh_entry {
                writeln!(output, "PVH entry {entry:#x}")?;
            }
            if let Some(id) = &found.build_id {
                writeln!(output, "Build ID {id}")?;
            }
            if let Some(banner) = &found.linux_banner {
                writeln!(output, "{banner}")?;
            }
        }
        View::Compressed(stream) => {
            let name = compression_name(stream.compression);
            let size = count(stream.bytes.len(), "byte");
            writeln!(output, "{name} compressed, {size}")?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Description {
    size: usize,
    #[serde(flatten)]
    format: Format,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format {
    Bzimage(Bzimage),
    Uimage(UimageHeader),
    Elf(Elf),
    Compressed { format: &'static str },
}

impl Format {
    fn of(subject: &Subject<'_>, checksum: Checksum) -> Self {
        match &subject.view {
            View::BzImage(image) => Self::Bzimage(Bzimage::new(subject.file, image, checksum)),
            View::Uimage(image) => Self::Uimage(UimageHeader::new(image)),
            View::Elf(image) => Self::Elf(Elf::new(image)),
            View::Compressed(stream) => Self::Compressed {
                format: compression_name(stream.compression),
            },
        }
    }
}

/// What is nothing that is known, and why.
#[derive(Serialize)]
pub(super) struct Unknown {
    pub(super) size: usize,
    format: Option<()>,
    refusals: Vec<Refusal>,
}

#[derive(Serialize)]
struct Refusal {
    format: &'static str,
    reason: String,
}

impl Unknown {
    pub(super) fn new(file: &[u8]) -> Self {
        let refusals = refusals(file).map(|(format, error)| Refusal {
            format,
            reason: error.to_string(),
        });
        Self {
            size: file.len(),
            format: None,
            refusals: refusals.collect(),
        }
    }
}

#[derive(Serialize)]
struct Bzimage {
    format: &'static str,
    protocol: String,
    kernel_version: Option<String>,
    setup_sects: u8,
    syssize: u32,
    loadflags: Vec<String>,
    xloadflags: Vec<String>,
    relocatable: bool,
    kernel_alignment: Option<u32>,
    init_size: Option<u32>,
    pref_address: Option<Hex>,
    handover_offset: Option<u32>,
    cmdline_size: u32,
    initrd_addr_max: Hex,
    payload: Option<Payload>,
    entry_64: Option<u32>,
    checksum: &'static str,
}

#[derive(Serialize)]
struct Payload {
    offset: u64,
    length: u64,
    /// Bytes of it that the file lacks.
    missing: u64,
    compression: Option<&'static str>,
}

impl Payload {
    /// What the header tells of, also where the file is cut.
    fn of(file: &[u8], image: &BzImage<'_>) -> Option<Self> {
        let (offset, length) = image.payload_extent().ok().flatten()?;
        let index = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        let found = file.get(index(offset)..).unwrap_or_default();
        let found = found.get(..index(length)).unwrap_or(found);
        Some(Self {
            offset,
            length,
            missing: length - found.len() as u64,
            compression: Compression::of(found).map(compression_name),
        })
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.compression {
            Some(name) => f.write_str(name)?,
            None if self.missing == 0 => f.write_str("not compressed")?,
            None => f.write_str("cut")?,
        }
        write!(f, ", {} at {:#x}", count(self.length, "byte"), self.offset)?;
        match self.missing {
            0 => Ok(()),
            missing => write!(f, ", {missing} of them missing"),
        }
    }
}

impl Bzimage {
    fn new(file: &[u8], image: &BzImage<'_>, checksum: Checksum) -> Self {
        let header = image.header();
        Self {
            format: "bzimage",
            protocol: header.protocol().to_string(),
            kernel_version: image.kernel_version().ok().flatten().map(text),
            setup_sects: header.setup_sects(),
            syssize: header.syssize(),
            loadflags: names(&header.loadflags()),
            xloadflags: names(&header.xloadflags()),
            relocatable: header.relocatable(),
            kernel_alignment: header.kernel_alignment(),
            init_size: header.init_size(),
            pref_address: header.pref_address().map(Hex),
            handover_offset: header.handover_offset(),
            cmdline_size: header.cmdline_size(),
            initrd_addr_max: Hex(header.initrd_addr_max().into()),
            payload: Payload::of(file, image),
            entry_64: header.entry_64(),
            checksum: match checksum {
                Checksum::Absent => "absent",
                Checksum::Missing => "missing",
                Checksum::Right => "right",
                Checksum::Wrong { .. } => "wrong",
            },
        }
    }
}

/// The names of flags; bits without one as a number.
fn names<F: Flags<Bits: fmt::LowerHex>>(flags: &F) -> Vec<String> {
    let mut known = flags.iter_names();
    let names = known.by_ref().map(|(name, _)| name.to_owned());
    let mut names: Vec<_> = names.collect();
    let unknown = known.remaining();
    if !unknown.is_empty() {
        names.push(format!("{:#x}", unknown.bits()));
    }
    names
}

/// Names one behind the other; `-` for none.
fn words(names: &[String]) -> String {
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join(" ")
    }
}

#[derive(Serialize)]
struct UimageHeader {
    format: &'static str,
    name: String,
    time: u32,
    os: String,
    arch: String,
    r#type: String,
    compression: String,
    load: Hex,
    entry: Hex,
    data_size: u32,
    header_crc_ok: bool,
    data_crc_ok: bool,
    parts: Vec<Size>,
}

#[derive(Serialize)]
struct Size {
    size: usize,
}

impl UimageHeader {
    fn new(image: &Uimage<'_>) -> Self {
        let header = image.header();
        let name = |name: Option<&str>, code: u8| name.map_or(code.to_string(), str::to_owned);
        let parts = image.parts().into_iter().flatten().flatten();
        Self {
            format: "uimage",
            name: text(header.name()),
            time: header.time,
            os: name(header.os.short_name(), header.os.0),
            arch: name(header.arch.short_name(), header.arch.0),
            r#type: name(header.kind.short_name(), header.kind.0),
            compression: name(header.compression.short_name(), header.compression.0),
            load: Hex(header.load.into()),
            entry: Hex(header.entry.into()),
            data_size: header.size,
            header_crc_ok: image.header_crc_ok(),
            data_crc_ok: image.data_crc_ok(),
            parts: parts
                .map(|part| Size {
                    size: part.bytes.len(),
                })
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct Elf {
    format: &'static str,
    class: &'static str,
    endian: &'static str,
    machine: String,
    r#type: String,
    entry: Hex,
    segments: Vec<Segment>,
    notes: Vec<Note>,
    pvh_entry: Option<Hex>,
    build_id: Option<String>,
    linux_banner: Option<String>,
}

#[derive(Serialize)]
struct Note {
    name: String,
    r#type: u32,
    size: usize,
}

impl Elf {
    fn new(image: &ElfImage<'_>) -> Self {
        let elf = image.elf();
        let header = elf.header();
        let encoding = header.encoding();
        let or_number = |name: Option<&str>, number: u64| match name {
            Some(name) => name.to_owned(),
            None => format!("{number:#x}"),
        };
        let segments = elf.segments().map(|segment| Segment::from(&segment));
        let notes = elf
            .segments()
            .filter(|segment| segment.kind == SegmentType::NOTE);
        let notes = notes.filter_map(|segment| elf.segment_notes(&segment).ok());
        Self {
            format: "elf",
            class: match encoding.class {
                Class::Elf32 => "ELF32",
                Class::Elf64 => "ELF64",
            },
            endian: match encoding.endian {
                Endian::Little => "little",
                Endian::Big => "big",
            },
            machine: or_number(header.machine.name(), header.machine.0.into()),
            // Without what readelf explains it by.
            r#type: or_number(
                header
                    .file_type
                    .name()
                    .and_then(|name| name.split(' ').next()),
                header.file_type.0.into(),
            ),
            entry: Hex(header.entry),
            segments: segments.collect(),
            notes: notes
                .flatten()
                .flatten()
                .map(|note| Note {
                    name: text(note.name),
                    r#type: note.kind.0,
                    size: note.desc.len(),
                })
                .collect(),
            pvh_entry: image.pvh_entry().ok().flatten().map(Hex),
            build_id: image
                .build_id()
                .ok()
                .flatten()
                .map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()),
            linux_banner: image.linux_banner().map(text),
        }
    }
}
