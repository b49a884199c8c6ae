//! Boot images: from bytes to a checked view, and a payload out of its image.
//!
//! The limit of a view is to load its fields by hand, unchecked; that of a payload is the decoder alone. `goblin` and
//! `object` come with `--features peers`, and so does `linux-loader`, which has no view: it copies a header and a
//! kernel into a guest's memory, so its kernel is one of 512 bytes.
#![allow(clippy::unwrap_used, reason = "a bench of known input")]
#![allow(clippy::indexing_slicing, reason = "a bench of known input")]

use std::{
    cell::RefCell,
    env, fs,
    hint::black_box,
    io::{Read, Write},
};

use benches::race::Race;
use bootimg::{
    BzImage, Compression, ElfImage,
    decompress::{Native, Rust, Stream},
    uimage::{Builder, Header, Options, Uimage, Verify},
};

/// Views in a round.
const VIEWS: usize = 4096;
/// What is packed: so much of this program.
const PAYLOAD: usize = 4 << 20;

fn main() {
    bzimage();
    uimage();
    elf();
    let text = program();
    lz4(&text);
    gzip(&text);
    zstd(&text);
    xz(&text);
    bzip2(&text);
    lzo(&text);
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()).into()
}

fn repeat(view: impl Fn() -> u64) -> u64 {
    (0..VIEWS).map(|_| view()).sum()
}

/// A kernel of Debian's headers, with one sector of protected-mode code.
fn small_kernel() -> Vec<u8> {
    let head = include_bytes!("../../bootimg/testdata/kernel/vmlinuz-6.1.0-56-cloud-amd64.head");
    let mut file = head[..1024].to_vec();
    file[0x1f1] = 1;
    file.resize(1024 + 512, 0);
    file
}

fn bzimage() {
    let file = small_kernel();
    let race = Race::new("bzImage: bytes to init_size and alignment", VIEWS, "view")
        .enter("two loads by hand", || {
            repeat(|| {
                let file = black_box(&file[..]);
                u32_at(file, 0x260) + u32_at(file, 0x230)
            })
        })
        .enter("bootimg, BzImage::parse and runtime", || {
            repeat(|| {
                let image = BzImage::parse(black_box(&file)).unwrap();
                let runtime = image.header().runtime().unwrap();
                u64::from(runtime.init_size) + u64::from(runtime.alignment.unwrap())
            })
        });
    #[cfg(feature = "peers")]
    let race = race.enter("linux-loader, BzImage::load into a guest", || {
        use linux_loader::loader::{KernelLoader, bzimage::BzImage};
        use vm_memory::{GuestAddress, GuestMemoryMmap};

        let guest: GuestMemoryMmap<()> =
            GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 2 << 20)]).unwrap();
        repeat(|| {
            let mut file = std::io::Cursor::new(black_box(&file[..]));
            let loaded = BzImage::load(&guest, None, &mut file, None).unwrap();
            let header = loaded.setup_header.unwrap();
            u64::from(header.init_size) + u64::from(header.kernel_alignment)
        })
    });
    race.run();
}

fn uimage() {
    let files: [&[u8]; 1] = [&[0x5a; 64]];
    let file = Builder::try_new(Header::default(), &files).unwrap();
    let file = file.to_vec().unwrap();
    let parse = |verify| {
        let options = Options {
            verify,
            ..Options::default()
        };
        let image = Uimage::parse_with(black_box(&file), &options).unwrap();
        image.data().unwrap().len() as u64
    };
    Race::new("uImage of 64 bytes: bytes to data", VIEWS, "view")
        .enter("one load by hand", || {
            repeat(|| {
                let size = black_box(&file)[12..].first_chunk().unwrap();
                u32::from_be_bytes(*size).into()
            })
        })
        .enter("bootimg, nothing verified", || {
            repeat(|| parse(Verify::None))
        })
        .enter("bootimg, the header verified", || {
            repeat(|| parse(Verify::Header))
        })
        .enter("bootimg, header and data verified", || {
            repeat(|| parse(Verify::All))
        })
        .run();
}

fn elf() {
    // Debian's vmlinux: four segments, notes.
    let mut file =
        include_bytes!("../../bootimg/testdata/kernel/vmlinux-6.1.0-56-cloud-amd64.head").to_vec();
    file.resize(53_243_444, 0);
    // Of the sections, which goblin and object read at once, nothing is kept.
    file[40..48].fill(0);
    file[60..64].fill(0);
    let race = Race::new("vmlinux: bytes to memory sizes", VIEWS, "view")
        .enter("four loads by hand", || {
            repeat(|| {
                let file = black_box(&file[..]);
                (0..4).map(|index| u32_at(file, 64 + 56 * index + 40)).sum()
            })
        })
        .enter("bootimg, ElfImage::parse and loads", || {
            repeat(|| {
                let image = ElfImage::parse(black_box(&file)).unwrap();
                image.loads().map(|load| load.memsz).sum()
            })
        });
    #[cfg(feature = "peers")]
    let race = race
        .enter("goblin, Elf::parse", || {
            repeat(|| {
                let elf = goblin::elf::Elf::parse(black_box(&file)).unwrap();
                let loads = elf
                    .program_headers
                    .iter()
                    .filter(|header| header.p_type == 1);
                loads.map(|header| header.p_memsz).sum()
            })
        })
        .enter("object, ElfFile64::parse", || {
            use object::{Endianness, Object, ObjectSegment, read::elf::ElfFile64};

            repeat(|| {
                let elf = ElfFile64::<Endianness>::parse(black_box(&file[..])).unwrap();
                elf.segments().map(|segment| segment.size()).sum()
            })
        });
    race.run();
}

/// So much of this program.
fn program() -> Vec<u8> {
    let mut text = fs::read(env::current_exe().unwrap()).unwrap();
    text.truncate(PAYLOAD);
    text
}

/// A library by its name, decompressing into a slice: how many bytes that were.
type Alone<'a> = (&'a str, &'a mut dyn FnMut(&mut [u8]) -> usize);

/// A payload by a library alone and by [`Stream::decode`], which reads the container and verifies its sums, too; and the
/// same into memory that is new, where [`Stream::to_vec`] has to find out how much it is.
fn payload(compression: Compression, file: &[u8], alone: Alone<'_>, native: bool) {
    let stream = Stream {
        compression,
        bytes: file,
        offset: 0,
        unpacked_size: None,
    };
    let (name, alone) = alone;
    let unpacked = stream.to_vec(&mut Rust, 1 << 30).unwrap();
    let len = unpacked.len();
    let (mut theirs, mut ours) = (vec![0; len], vec![0; len]);
    let alone = RefCell::new(alone);
    let ratio = file.len() as f64 / len as f64;
    let title = format!("payload, {compression}, ratio {ratio:.3}");
    Race::new(title, len, "byte")
        .enter(name, || (alone.borrow_mut())(&mut theirs) as u64)
        .enter("bootimg, Stream::decode", || {
            let stream = black_box(&stream);
            let len = if native {
                stream.decode(&mut Native, &mut ours)
            } else {
                stream.decode(&mut Rust, &mut ours)
            };
            len.unwrap() as u64
        })
        .enter(format!("{name}, new memory"), || {
            (alone.borrow_mut())(&mut vec![0; len]) as u64
        })
        .enter("bootimg, Stream::to_vec", || {
            let stream = black_box(&stream);
            let found = if native {
                stream.to_vec(&mut Native, 1 << 30)
            } else {
                stream.to_vec(&mut Rust, 1 << 30)
            };
            found.unwrap().len() as u64
        })
        .run();
    assert!(theirs == unpacked && ours == unpacked);
}

/// As many blocks as a kernel has: it is so fast that what an allocator does with few megabytes would show.
fn lz4(text: &[u8]) {
    const BLOCK: usize = 8 << 20;
    const BLOCKS: usize = 6;
    let text = text.repeat(BLOCK / text.len());
    let block = lz4_flex::block::compress(&text);
    let mut file = b"\x02\x21\x4c\x18".to_vec();
    for _ in 0..BLOCKS {
        file.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        file.extend(&block);
    }
    let mut alone = |out: &mut [u8]| {
        let blocks = out.chunks_mut(BLOCK);
        blocks
            .map(|out| lz4_flex::block::decompress_into(black_box(&block), out).unwrap())
            .sum()
    };
    payload(
        Compression::Lz4Legacy,
        &file,
        ("lz4_flex, the blocks", &mut alone),
        false,
    );
}

fn gzip(text: &[u8]) {
    let mut encoder = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let mut file = vec![0; encoder.gzip_compress_bound(text.len())];
    let len = encoder.gzip_compress(text, &mut file).unwrap();
    file.truncate(len);
    let deflated = &file[10..len - 8];
    let mut alone = |out: &mut [u8]| {
        use miniz_oxide::inflate::decompress_slice_iter_to_slice;
        let deflated = [black_box(deflated)].into_iter();
        decompress_slice_iter_to_slice(out, deflated, false, true).unwrap()
    };
    payload(
        Compression::Gzip,
        &file,
        ("miniz_oxide, deflate", &mut alone),
        false,
    );
    let mut decoder = libdeflater::Decompressor::new();
    let mut alone = |out: &mut [u8]| decoder.gzip_decompress(black_box(&file), out).unwrap();
    payload(
        Compression::Gzip,
        &file,
        ("libdeflate, C", &mut alone),
        true,
    );
}

fn zstd(text: &[u8]) {
    let mut file = vec![0; zstd_safe::compress_bound(text.len())];
    let len = zstd_safe::compress(&mut file[..], text, 19).unwrap();
    file.truncate(len);
    let mut alone = |out: &mut [u8]| {
        let mut decoder = structured_zstd::decoding::FrameDecoder::new();
        decoder.decode_all(black_box(&file), out).unwrap()
    };
    payload(
        Compression::Zstd,
        &file,
        ("structured-zstd", &mut alone),
        false,
    );
    let mut alone = |out: &mut [u8]| zstd_safe::decompress(out, black_box(&file)).unwrap();
    payload(Compression::Zstd, &file, ("libzstd, C", &mut alone), true);
}

fn bzip2(text: &[u8]) {
    let mut encoder = bzip2::read::BzEncoder::new(text, bzip2::Compression::best());
    let mut file = Vec::new();
    encoder.read_to_end(&mut file).unwrap();
    let mut alone = |out: &mut [u8]| {
        let mut decoder = bzip2::Decompress::new(false);
        decoder.decompress(black_box(&file), out).unwrap();
        usize::try_from(decoder.total_out()).unwrap()
    };
    payload(
        Compression::Bzip2,
        &file,
        ("libbz2-rs-sys", &mut alone),
        false,
    );
}

/// Here the decoder is bootimg's own: what is called the limit is a peer.
fn xz(text: &[u8]) {
    use lzma_rust2::{LzmaOptions, LzmaReader, LzmaWriter, XzOptions, XzReader, XzWriter};

    let mut options = XzOptions::with_preset(9);
    options.set_check_sum_type(lzma_rust2::CheckType::Crc32);
    let mut encoder = XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(text).unwrap();
    let file = encoder.finish().unwrap();
    let mut alone = |out: &mut [u8]| {
        let len = text.len();
        let mut decoder = XzReader::new(black_box(&file[..]), false);
        decoder.read_exact(&mut out[..len]).unwrap();
        len
    };
    payload(
        Compression::Xz,
        &file,
        ("lzma-rust2, XzReader", &mut alone),
        false,
    );

    let options = LzmaOptions::with_preset(9);
    let size = text.len() as u64;
    let mut encoder = LzmaWriter::new_use_header(Vec::new(), &options, Some(size)).unwrap();
    encoder.write_all(text).unwrap();
    let file = encoder.finish().unwrap();
    let mut alone = |out: &mut [u8]| {
        let len = text.len();
        let mut decoder = LzmaReader::new_mem_limit(black_box(&file[..]), u32::MAX, None).unwrap();
        decoder.read_exact(&mut out[..len]).unwrap();
        len
    };
    payload(
        Compression::Lzma,
        &file,
        ("lzma-rust2, LzmaReader", &mut alone),
        false,
    );
}

fn lzo(text: &[u8]) {
    // As lzop writes it, but without sums.
    const BLOCK: usize = 256 << 10;
    let mut file = b"\x89LZO\0\r\n\x1a\n\x10\x30\x20\x80\x09\x40\x03\x09".to_vec();
    // No flags, mode, time and name.
    file.extend([0; 4 + 4 + 8 + 1]);
    let sum = libdeflater::adler32(&file[9..]);
    file.extend(sum.to_be_bytes());
    let blocks: Vec<_> = text
        .chunks(BLOCK)
        .map(|block| (block, lzokay::compress::compress(block).unwrap()))
        .collect();
    for (block, packed) in &blocks {
        let stored = if packed.len() < block.len() {
            &packed[..]
        } else {
            block
        };
        file.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
        file.extend(u32::try_from(stored.len()).unwrap().to_be_bytes());
        file.extend(stored);
    }
    file.extend([0; 4]);
    let mut alone = |out: &mut [u8]| {
        let mut done = 0;
        for (block, packed) in black_box(&blocks) {
            let slot = &mut out[done..][..block.len()];
            if packed.len() < block.len() {
                lzokay::decompress::decompress(packed, slot).unwrap();
            } else {
                slot.copy_from_slice(block);
            }
            done += block.len();
        }
        done
    };
    payload(
        Compression::Lzo,
        &file,
        ("lzokay, the blocks", &mut alone),
        false,
    );
}
