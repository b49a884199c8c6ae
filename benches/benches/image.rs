//! Boot images: from bytes to a checked view, and a payload out of its image.
//!
//! The limit of a view is to load its fields by hand, unchecked; that of a payload is the decoder alone. `goblin` and
//! `object` come with `--features peers`, and so does `linux-loader`, which has no view: it copies a header and a
//! kernel into a guest's memory, so its kernel is one of 512 bytes.
#![allow(clippy::unwrap_used, reason = "a bench of known input")]
#![allow(clippy::indexing_slicing, reason = "a bench of known input")]

use std::{env, fs, hint::black_box};

use benches::race::Race;
use bootimg::{
    BzImage, Compression, ElfImage,
    decompress::{Rust, Stream},
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
    lz4();
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
    Race::new("uImage: bytes to data", VIEWS, "view")
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

fn lz4() {
    let mut text = fs::read(env::current_exe().unwrap()).unwrap();
    text.truncate(PAYLOAD);
    let block = lz4_flex::block::compress(&text);
    let mut file = b"\x02\x21\x4c\x18".to_vec();
    file.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
    file.extend(&block);
    let stream = Stream {
        compression: Compression::Lz4Legacy,
        bytes: &file,
        offset: 0,
        unpacked_size: None,
    };
    let (mut alone, mut ours) = (vec![0; text.len()], vec![0; text.len()]);
    Race::new("LZ4 payload, legacy frames", text.len(), "byte")
        .enter("lz4_flex, the block alone", || {
            lz4_flex::block::decompress_into(black_box(&block), &mut alone).unwrap() as u64
        })
        .enter("bootimg, Stream::decode", || {
            black_box(&stream).decode(&mut Rust, &mut ours).unwrap() as u64
        })
        .run();
}
