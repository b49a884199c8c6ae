//! How much memory decompression takes beside what it yields.
#![cfg(all(
    feature = "gzip",
    feature = "bzip2",
    feature = "lz4",
    feature = "lzo",
    feature = "xz",
    feature = "zstd"
))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
#![allow(
    unsafe_code,
    reason = "the allocator counts, and leaves the rest to the system's"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use bootimg::{
    Compression, Error,
    decompress::{Codec, Rust, Stream},
};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    MOST.fetch_max(NOW.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: what is asked for is handed on to the system's allocator, and so is what it answers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most bytes that were allocated at once.
fn most(job: impl FnOnce()) -> usize {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    job();
    MOST.load(Relaxed) - before
}

/// Bytes of the samples when decompressed.
const SIZE: usize = 8 << 20;
/// What a decoder may have beside its output: bzip2's own is 3.6 MB, and no window is as small as the sample.
const BESIDE: usize = 4 << 20;

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/packed")
        .join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Zeros as one block of LZ4 in a legacy frame: a literal, its repetition, five literals.
fn lz4() -> Vec<u8> {
    // A token's 15, and the least length of a match.
    let repeated = SIZE - 6 - 15 - 4;
    let mut block = vec![0x1f, 0, 1, 0];
    block.resize(4 + repeated / 255, 0xff);
    block.push(u8::try_from(repeated % 255).unwrap());
    block.extend([0x50, 0, 0, 0, 0, 0]);
    let size = u32::try_from(block.len()).unwrap().to_le_bytes();
    [b"\x02\x21\x4c\x18", &size[..], &block].concat()
}

fn check(name: &str, codec: &mut impl Codec) {
    let file = match name {
        "lz4-legacy" => lz4(),
        _ => sample(&format!("zeros.{name}")),
    };
    let stream = Stream::of(&file).unwrap();
    let mut out = vec![0xff; SIZE];
    let beside = most(|| assert_eq!(stream.decode(codec, &mut out), Ok(SIZE), "{name}"));
    assert!(out.iter().all(|byte| *byte == 0), "{name}");
    assert!(beside <= BESIDE, "{name}: {beside} bytes beside the output");
    drop(out);

    let told = Stream {
        unpacked_size: u32::try_from(SIZE).ok(),
        ..stream
    };
    for stream in [stream, told] {
        let all = most(|| assert_eq!(stream.to_vec(codec, 1 << 30).unwrap().len(), SIZE));
        assert!(all <= SIZE + BESIDE, "{name}: {all} bytes in all");
    }
}

/// A few bytes that say they are a GiB, or that are said to be one: the memory is in proportion to them.
fn lies() {
    let file = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
    let mut lying = *file;
    lying[21..].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    let told = Stream {
        unpacked_size: Some(1 << 30),
        ..Stream::of(file).unwrap()
    };
    let all = most(|| {
        let lying = Stream::of(&lying).unwrap();
        let error = lying.to_vec(&mut Rust, 1 << 31).unwrap_err();
        assert!(matches!(error, Error::BadField { .. }), "{error}");
        let error = told.to_vec(&mut Rust, 1 << 31).unwrap_err();
        assert!(matches!(error, Error::BadField { .. }), "{error}");
    });
    assert!(all <= 1 << 20, "{all} bytes in all");

    // 4 GiB by the header of LZMA-alone and 1 GiB by that of zstd, damaged or not behind them.
    for file in [
        &b"\x5d\0\0\x80\0\xff\xff\xff\xff\0\0\0\0\0aaaaaaaaaaaaaaaa"[..],
        b"\x28\xb5\x2f\xfd\xa4\xff\xff\xff\x3f\x01\0\0aaaa",
    ] {
        let stream = Stream::of(file).unwrap();
        check_lie(&stream, &mut Rust);
        #[cfg(feature = "native-zstd")]
        check_lie(&stream, &mut bootimg::decompress::Native);
    }
}

/// More than there is by far, but not more than the format can make of so many bytes.
fn exaggerations() {
    let [gz, lzma] = ["numbers.gz", "numbers.lzma"].map(|name| sample(name).repeat(16));
    let size = |file: &[u8]| u32::try_from(file.len() * 1000).unwrap();
    let told = Stream {
        unpacked_size: Some(size(&gz)),
        ..Stream::of(&gz).unwrap()
    };
    let mut files = [gz.clone(), lzma.clone()];
    let at = gz.len() - 4;
    files[0][at..].copy_from_slice(&size(&gz).to_le_bytes());
    files[1][5..13].copy_from_slice(&u64::from(size(&lzma)).to_le_bytes());
    let streams = files.iter().map(|file| Stream::of(file).unwrap());
    for stream in streams.chain([told]) {
        check_few(&stream, &mut Rust);
        #[cfg(feature = "native-zlib")]
        check_few(&stream, &mut bootimg::decompress::Native);
    }
}

fn check_few(stream: &Stream<'_>, codec: &mut impl Codec) {
    let name = stream.compression;
    let all = most(|| assert!(stream.to_vec(codec, 1 << 31).is_err(), "{name}"));
    assert!(all <= 9 << 20, "{all} bytes in all of {name}");
}

fn check_lie(stream: &Stream<'_>, codec: &mut impl Codec) {
    let all = most(|| {
        let error = stream.to_vec(codec, 1 << 31).unwrap_err();
        let damage = matches!(error, Error::Corrupt { .. } | Error::Incomplete { .. });
        assert!(damage, "{error}");
    });
    let (len, name) = (stream.bytes.len(), stream.compression);
    assert!(all <= 1 << 20, "{all} bytes in all for {len} of {name}");
}

#[test]
fn the_output_and_little_more() {
    for name in ["gz", "bz2", "xz", "lzma", "lzo", "lz4-legacy", "zst"] {
        check(name, &mut Rust);
    }
    #[cfg(all(feature = "native-zlib", feature = "native-zstd"))]
    for name in ["gz", "zst"] {
        check(name, &mut bootimg::decompress::Native);
    }
    assert_eq!(Compression::of(&lz4()), Some(Compression::Lz4Legacy));
    lies();
    exaggerations();
}
