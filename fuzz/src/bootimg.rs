//! Targets of `bootimg`.

use std::io::Read;

use bootimg::{
    BzImage, Compression, ElfImage,
    boot_params::{self, BootParams, MAX_NODES, Nodes, initrd_address},
    bzimage::{Checksum, Header, LoadFlags, MAX_END, START},
    decompress::{Codec, Native, Rust, Stream},
    detect::{Format, matches, probe, refusals},
    uimage::{self, Builder, Options, Uimage, Verify},
};
use elf_format::{Elf, Machine, SegmentType, header::PN_XNUM};

/// An x86 kernel: what is lent lies where the header says, and the memory it needs follows the rules.
///
/// # Panics
///
/// When a law is broken.
pub fn bzimage(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        assert!(BzImage::parse(data).is_err());
        return;
    };
    let bytes = header.bytes();
    assert_eq!(bytes, &data[START..START + bytes.len()]);
    assert!(START + bytes.len() <= MAX_END);
    if let Ok(runtime) = header.runtime() {
        assert!(runtime.init_size > 0);
        for load in [0, runtime.pref_address, 1 << 32, u64::MAX >> 1] {
            let Some(memory) = runtime.at(load) else {
                continue;
            };
            assert_eq!(memory.end - memory.start, runtime.init_size.into());
            match runtime.alignment {
                Some(alignment) => {
                    assert!(memory.start >= load.max(runtime.pref_address));
                    assert_eq!(memory.start % u64::from(alignment), 0);
                }
                None => assert_eq!(memory.start, runtime.pref_address),
            }
        }
    }

    let Ok(image) = BzImage::parse(data) else {
        assert!(header.setup_len() > data.len() as u64);
        return;
    };
    assert!(!image.to_string().is_empty());
    assert_eq!(
        image.setup().len() + image.protected_mode().len(),
        data.len()
    );
    if let Ok(Some(version)) = image.kernel_version() {
        assert!(!version.contains(&0));
    }
    if let Ok(Some(payload)) = image.payload() {
        let start = payload.offset() as usize;
        assert_eq!(payload.bytes(), &data[start..][..payload.bytes().len()]);
        let stream = payload.stream();
        assert_eq!(payload.compression(), stream.map(|s| s.compression));
        stream.as_ref().map(unpacked);
    }
    if let Ok(Some(info)) = image.kernel_info() {
        let start = info.offset() as usize;
        let (fixed, variable) = (info.fixed(), info.variable());
        assert_eq!(
            [fixed, variable].concat(),
            &data[start..][..fixed.len() + variable.len()]
        );
    }
    let sum = image.checksum();
    assert_eq!(sum.insist().is_err(), matches!(sum, Checksum::Wrong { .. }));
    if let Checksum::Wrong {
        offset,
        stored,
        computed,
    } = sum
    {
        assert_ne!(stored, computed);
        assert_eq!(data[offset as usize..][..4], stored.to_le_bytes());
    }
    if image.verify().is_ok() {
        assert!(
            image.kernel_version().is_ok()
                && image.payload().is_ok()
                && image.kernel_info().is_ok()
        );
    }
}

/// Any file: a sound one has its format's signature, no loader takes what lacks it, those that look at less take what
/// those that look at more do, and sound kernels of Linux are taken.
///
/// # Panics
///
/// When a law is broken.
pub fn detect(data: &[u8]) {
    let formats: Vec<_> = matches(data).collect();
    assert_eq!(Format::of(data), formats.first().copied());
    let refused: Vec<_> = refusals(data).map(|(name, _)| name).collect();
    for (name, format) in [
        ("uImage", Format::Uimage),
        ("ELF kernel", Format::Elf),
        ("bzImage", Format::BzImage),
    ] {
        assert!(formats.contains(&format) || refused.contains(&name));
    }
    assert!(formats.len() + refused.len() >= 4);

    let taken = |machine| -> Vec<_> {
        let sound = probe(data, machine).filter(|(_, verdict)| verdict.is_ok());
        sound.map(|(loader, _)| loader.name).collect()
    };
    let x86 = taken(Machine::X86_64);
    for machine in [
        Machine::X86_64,
        Machine::I386,
        Machine::ARM,
        Machine::PPC,
        Machine::S390,
    ] {
        for loader in taken(machine) {
            let format = match loader {
                // Its addresses may stand in for a format; the others take anything.
                "multiboot-x86" | "zImage" | "image" => continue,
                "bzImage" | "bzImage64" => Format::BzImage,
                "uImage" | "uImage-ppc" => Format::Uimage,
                _ => Format::Elf,
            };
            assert!(formats.contains(&format), "{loader}");
        }
    }
    let has = |name| x86.contains(&name);
    assert!(!has("bzImage64") || has("bzImage"));
    assert!(!has("multiboot2-x86") || has("elf-x86_64") || has("elf-x86"));
    assert!(!(has("elf-x86_64") && has("elf-x86")));
    if let Ok(kernel) = BzImage::parse(data) {
        let high = kernel.header().loadflags().contains(LoadFlags::LOADED_HIGH);
        assert_eq!(has("bzImage"), high);
    }
    if let Ok(image) = Uimage::parse(data) {
        let header = image.header();
        let kernel = header.kind == uimage::Type::KERNEL
            && header.os == uimage::Os::LINUX
            && header.arch == uimage::Arch::ARM
            && header.compression == uimage::Compression::NONE;
        assert!(!kernel || taken(Machine::ARM) == ["uImage", "zImage"]);
    }
    let Ok(elf) = Elf::parse(data) else { return };
    let extended = elf.header().phnum == PN_XNUM;
    if has("elf-x86_64") && !extended {
        let mut segments = elf.segments();
        let len = data.len() as u64;
        assert!(segments.len() > 0 && elf.header().machine == Machine::X86_64);
        assert!(segments.all(|segment| {
            let end = segment.offset.wrapping_add(segment.filesz);
            end <= len && segment.kind != SegmentType::INTERP
        }));
    }
}

/// A zero page: what its getters say, put into a fresh one of the same header, is read again; and an
/// initrd placed for its kernel is clear of it.
///
/// # Panics
///
/// When a law is broken.
pub fn boot_params(data: &[u8]) {
    let Ok(found) = BootParams::parse(data) else {
        assert!(data.len() < boot_params::SIZE);
        return;
    };
    assert_eq!(found.as_bytes(), &data[..boot_params::SIZE]);
    // Memory is what follows the page, again and again.
    let memory = &data[boot_params::SIZE..];
    let read = |address: u64, out: &mut [u8]| {
        let at = address.checked_rem(memory.len() as u64).unwrap_or(0) as usize;
        let found = memory[at..].get(..out.len());
        found.map(|found| out.copy_from_slice(found)).is_some()
    };
    let nodes: Vec<_> = Nodes::new(found.setup_data(), read).collect();
    assert!(nodes.len() <= usize::from(MAX_NODES) + 1);
    let mut next = found.setup_data();
    for (index, node) in nodes.iter().enumerate() {
        let Ok(node) = node else {
            assert_eq!(index + 1, nodes.len());
            break;
        };
        assert_eq!(node.node, next);
        assert!(node.addr.checked_add(node.size).is_some());
        assert!(node.indirect || node.addr == node.node + 16);
        next = node.next;
    }
    let Ok(header) = found.header() else { return };
    let mut built = BootParams::new(&header);
    assert_eq!(built.header().unwrap().bytes(), header.bytes());
    let entries: Vec<_> = found.e820().collect();
    assert!(entries.len() <= 128 && built.set_e820(&entries).is_empty());
    assert!(built.e820().eq(entries));
    built.set_efi_info(&found.efi_info());
    assert_eq!(built.efi_info(), found.efi_info());
    let (address, size) = found.ramdisk();
    if built.set_ramdisk(address, size).is_ok() {
        assert_eq!(built.ramdisk(), (address, size));
    }
    if built.set_cmdline(found.cmdline(), 1).is_ok() {
        assert_eq!(built.cmdline(), found.cmdline());
    }
    let (ram, loaded) = (0x1000..0x1_4000_0000, 0x10_0000..0x20_0000);
    if let Ok(Some(at)) = initrd_address(&header, loaded.clone(), ram.clone(), size) {
        assert!(at >= ram.start && at + size <= ram.end && at % 4096 == 0);
        assert!(at + size <= loaded.start || at >= loaded.end);
        if let Ok(runtime) = header.runtime() {
            let needed = runtime.at(loaded.start).unwrap();
            assert!(at + size <= needed.start || at >= needed.end);
        }
    }
}

/// Bytes that a stream may have when decompressed.
const ROOM: usize = 64 << 10;

/// A compressed stream: it stays within its room, comes out the same when there is more of it, and
/// where a second decoder is, it agrees.
///
/// # Panics
///
/// When a law is broken.
pub fn decompress(data: &[u8]) {
    let Some(stream) = Stream::of(data) else {
        return;
    };
    let Some(again) = unpacked(&stream) else {
        return;
    };
    let len = again.len();
    assert!(match stream.compression {
        Compression::Xz => other_xz(data, ROOM).is_none_or(|other| other == again),
        Compression::Lzma => other_lzma(data, ROOM).is_none_or(|first| again.starts_with(&first)),
        _ => true,
    });
    let promised = Stream {
        unpacked_size: Some(len as u32 + 1),
        ..stream
    };
    assert!(promised.to_vec(&mut Rust, ROOM + 1).is_err());
}

/// What a stream holds, by the decoders in Rust, which agree with those in C.
fn unpacked(stream: &Stream<'_>) -> Option<Vec<u8>> {
    let untold = Stream {
        unpacked_size: None,
        ..*stream
    };
    let found = within_its_room(&untold, &mut Rust);
    let native = within_its_room(&untold, &mut Native);
    // Those in C ask these about what they refuse.
    assert!(found.is_none() || found == native);
    // More is refused by the size beside a stream, and nothing else is.
    let told = stream.to_vec(&mut Rust, ROOM).ok();
    let size = stream.unpacked_size.map(|size| size as usize);
    let right = found.filter(|found| size.is_none_or(|size| size == found.len()));
    assert_eq!(told, right);
    told
}

fn within_its_room(stream: &Stream<'_>, codec: &mut impl Codec) -> Option<Vec<u8>> {
    let mut out = vec![0xaa; ROOM + 64];
    let len = stream.decode(codec, &mut out[..ROOM]);
    assert_eq!(out[ROOM..], [0xaa; 64]);
    out.truncate(len.ok()?);
    assert!(out.len() <= ROOM);
    Some(out)
}

/// By another decoder, what a stream of xz holds, if that takes it for sound.
fn other_xz(data: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let decoder = lzma_rust2::XzReader::new(data, true);
    let len = decoder.take(room as u64 + 1).read_to_end(&mut out).ok()?;
    (len <= room).then_some(out)
}

/// The same for the first stream of LZMA-alone.
fn other_lzma(data: &[u8], room: usize) -> Option<Vec<u8>> {
    // In KiB; what is asked for by a header is not refused before it is used.
    const MEMORY: u32 = 64 << 10;
    let mut out = Vec::new();
    let decoder = lzma_rust2::LzmaReader::new_mem_limit(data, MEMORY, None).ok()?;
    let len = decoder.take(room as u64 + 1).read_to_end(&mut out).ok()?;
    (len <= room).then_some(out)
}

/// A uImage, whatever its magic and sums: what is emitted again is the same bytes, its parts lie in
/// the data in order, and an image built from them says so.
///
/// # Panics
///
/// When a law is broken.
pub fn uimage(data: &[u8]) {
    let Ok(header) = uimage::Header::parse(data) else {
        assert!(data.len() < uimage::SIZE);
        return;
    };
    let mut bytes = [0; uimage::SIZE];
    header.emit(&mut bytes).unwrap();
    assert_eq!(bytes, data[..uimage::SIZE]);

    let options = |verify| Options {
        verify,
        magic: header.magic,
    };
    let image = Uimage::parse_with(data, &options(Verify::None)).unwrap();
    assert!(image.to_string().lines().count() >= 6);
    let (header_ok, data_ok) = (image.header_crc_ok(), image.data_crc_ok());
    assert_eq!(
        Uimage::parse_with(data, &options(Verify::Header)).is_ok(),
        header_ok
    );
    assert_eq!(
        Uimage::parse_with(data, &options(Verify::All)).is_ok(),
        header_ok && data_ok
    );
    assert!(data_ok <= image.data().is_ok());

    if let Ok(Some(stream)) = image.stream() {
        unpacked(&stream);
    }
    let Ok(found) = image.parts() else { return };
    let end = uimage::SIZE + header.size as usize;
    let mut files = vec![];
    let mut at = uimage::SIZE as u64;
    for part in found {
        let Ok(part) = part else { return };
        assert!(part.offset >= at && part.offset as usize + part.bytes.len() <= end);
        at = part.offset + part.bytes.len() as u64;
        if !part.bytes.is_empty() {
            assert_eq!(
                part.bytes,
                &data[part.offset as usize..][..part.bytes.len()]
            );
        }
        files.push(part.bytes);
    }
    if let Ok(builder) = Builder::try_new(header, &files) {
        let mut out = vec![0xff; builder.emitted_len()];
        builder.emit(&mut out).unwrap();
        let again = Uimage::parse_with(&out, &options(Verify::All)).unwrap();
        assert_eq!(again.header(), builder.header());
        assert!(
            again
                .parts()
                .unwrap()
                .map(|part| part.unwrap().bytes)
                .eq(files)
        );
    }
}

/// An ELF kernel: what belongs into memory is in the file, and fits into it.
///
/// # Panics
///
/// When a law is broken.
pub fn elf_image(data: &[u8]) {
    let Ok(image) = ElfImage::parse(data) else {
        return;
    };
    let memory = image.memory();
    for load in image.loads() {
        let memory = memory.as_ref().unwrap();
        assert!(load.bytes.len() as u64 <= load.memsz);
        assert!(memory.start <= load.paddr && load.paddr + load.memsz <= memory.end);
    }
    assert_eq!(memory.is_some(), image.loads().next().is_some());
    if let Some(banner) = image.linux_banner() {
        assert!(banner.starts_with(b"Linux version "));
        assert!(!banner.contains(&b'\n'));
    }
    // Both read the same notes, and stop at what is broken.
    if let (Err(entry), Err(build_id)) = (image.pvh_entry(), image.build_id()) {
        assert!(!entry.to_string().is_empty() && !build_id.to_string().is_empty());
    }
}
