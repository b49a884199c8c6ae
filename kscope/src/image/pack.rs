//! `kscope image pack`: images as other tools make them.

use std::{
    env,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use bootimg::uimage::{Arch, Builder, Compression, Header, Os, Type, padded_name};

use crate::{
    failure::{Failure, Result},
    input::Source,
    output::write_file,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Pack {
    Uimage(Uimage),
}

impl Pack {
    pub(crate) fn run(&self) -> Result {
        match self {
            Self::Uimage(uimage) => uimage.run(),
        }
    }
}

/// A legacy uImage, with the letters of mkimage
///
/// The time in it is SOURCE_DATE_EPOCH, or now. Nothing is compressed: -C says what the data is. Both
/// addresses are those given, also for OP-TEE.
#[derive(Debug, clap::Args)]
pub(crate) struct Uimage {
    #[arg(short = 'A', long, value_name = "ARCH", default_value = "ppc", value_parser = arch, help = listed("Architecture", Arch::short_names()))]
    arch: Arch,

    #[arg(short = 'O', long, value_name = "OS", default_value = "linux", value_parser = os, help = listed("Operating system", Os::short_names()))]
    os: Os,

    #[arg(short = 'T', long = "type", value_name = "TYPE", default_value = "kernel", value_parser = kind, help = listed("Type of image", kinds()))]
    kind: Type,

    #[arg(short = 'C', long, value_name = "COMP", default_value = "gzip", value_parser = compression, help = listed("How the data is compressed", Compression::short_names()))]
    compression: Compression,

    /// Load address, in hexadecimal
    #[arg(short, long, value_name = "ADDR", default_value = "0", allow_hyphen_values = true, value_parser = address)]
    addr: u32,

    /// Entry point, in hexadecimal; the load address if not given
    #[arg(short, long, value_name = "ADDR", allow_hyphen_values = true, value_parser = address)]
    ep: Option<u32>,

    /// Name; 32 bytes of it are kept
    #[arg(short, long, default_value = "")]
    name: String,

    /// The data; several files for a multi-file image or a script
    #[arg(short, long, value_name = "FILE[:FILE…]")]
    data: String,

    /// The file to write; it appears when it is complete. `-` is standard output
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

impl Uimage {
    fn run(&self) -> Result {
        let names: Vec<&Path> = if self.kind.has_table() {
            self.data.split(':').map(Path::new).collect()
        } else {
            vec![Path::new(&self.data)]
        };
        if names.iter().any(|name| name.as_os_str().is_empty()) {
            let why = format!("--data {}: a file has no name", self.data);
            return Err(Failure::Usage(why));
        }
        let mut inputs = Vec::new();
        for name in &names {
            let source = Source::new(name.to_path_buf(), false);
            source.refuse_as_target(&self.out)?;
            inputs.push((name, source.open()?));
        }
        let mut files = Vec::new();
        for (name, input) in &inputs {
            files.push(input.bytes(name)?);
        }
        let files: Vec<&[u8]> = files.iter().map(AsRef::as_ref).collect();
        let header = Header {
            arch: self.arch,
            os: self.os,
            kind: self.kind,
            compression: self.compression,
            load: self.addr,
            entry: self.ep.unwrap_or(self.addr),
            name: padded_name(self.name.as_bytes()),
            time: time()?,
            ..Header::default()
        };
        let empty = files.iter().position(|file| file.is_empty());
        if let Some(name) = empty.and_then(|at| names.get(at)) {
            return Err(Failure::input(name, "the file is empty"));
        }
        let refused = |error| match error {
            bootimg::Error::Overflow { .. } => {
                let why = "4 GiB and more are no data of a uImage: ih_size has 32 bits";
                Failure::input(Path::new(&self.data), why)
            }
            error => Failure::input(Path::new(&self.data), error),
        };
        let image = Builder::try_new(header, &files).map_err(refused)?;
        let image = image.to_vec().map_err(refused)?;
        write_file(&self.out, |out| out.write_all(&image))
    }
}

/// SOURCE_DATE_EPOCH, or now.
fn time() -> Result<u32> {
    let bad = |value: &str| {
        let why = format!("SOURCE_DATE_EPOCH={value}: not seconds since 1970 in 32 bits");
        Failure::Usage(why)
    };
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(value) => value.parse().map_err(|_| bad(&value)),
        Err(_) => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            Ok(u32::try_from(now.as_secs()).unwrap_or(u32::MAX))
        }
    }
}

fn arch(name: &str) -> std::result::Result<Arch, &'static str> {
    Arch::from_name(name).ok_or("mkimage knows no such architecture")
}

fn os(name: &str) -> std::result::Result<Os, &'static str> {
    Os::from_short_name(name).ok_or("mkimage knows no such operating system")
}

fn kind(name: &str) -> std::result::Result<Type, &'static str> {
    match Type::from_short_name(name) {
        None => Err("mkimage knows no such type"),
        Some(Type::FLATDT) => Err("mkimage makes a FIT of it, and a legacy uImage of fdt_legacy"),
        Some(Type::FIRMWARE_IVT) => Err("the table for i.MX behind the data is not made here"),
        Some(kind) if makes(kind) => Ok(kind),
        Some(_) => Err("a type that no legacy uImage is made of"),
    }
}

/// The types that images are made of.
fn kinds() -> impl Iterator<Item = &'static str> {
    Type::short_names().filter(|name| kind(name).is_ok())
}

fn makes(kind: Type) -> bool {
    let header = Header {
        kind,
        ..Header::default()
    };
    Builder::try_new(header, &[b"data"]).is_ok()
}

/// Help that lists the names an option takes.
fn listed(what: &str, names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.filter(|name| *name != "invalid").collect();
    format!("{what}: {}", names.join(" "))
}

fn compression(name: &str) -> std::result::Result<Compression, &'static str> {
    Compression::from_short_name(name).ok_or("mkimage knows no such compression")
}

/// As `strtoul` reads it for mkimage, but that nothing is no 0 here, and no bits are cut off.
fn address(text: &str) -> std::result::Result<u32, &'static str> {
    let number = text.trim_ascii_start();
    let number = number.strip_prefix('+').unwrap_or(number);
    let prefixed = number.strip_prefix("0x").or(number.strip_prefix("0X"));
    let digits = prefixed.unwrap_or(number);
    // Behind the prefix, too, a sign would be taken.
    let is_number = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16)
        .ok()
        .filter(|_| is_number)
        .ok_or("not a hexadecimal number of 32 bits")
}
