//! The two headers of a compressed dump.
//!
//! ```text
//!                   32-bit  64-bit                               packed  aligned  64-bit
//!  signature           0       0   8 bytes     phys_base             0       0       0
//!  header_version      8       8   i32         dump_level       v1   4       4       8   i32
//!  utsname            12      12   6 × 65      split            v2   8       8      12   i32
//!  timestamp         404     408   2 longs     start_pfn        v2  12      12      16   long
//!  status            412     424   u32         end_pfn          v2  16      16      24   long
//!  block_size        416     428   i32         offset_vmcoreinfo v3 20      24      32   u64
//!  sub_hdr_size      420     432   i32         size_vmcoreinfo  v3  28      32      40   long
//!  bitmap_blocks     424     436   u32         offset_note      v4  32      40      48   u64
//!  max_mapnr         428     440   u32         size_note        v4  40      48      56   long
//!  total_ram_blocks  432     444   u32         offset_eraseinfo v5  44      56      64   u64
//!  device_blocks     436     448   u32         size_eraseinfo   v5  52      64      72   long
//!  written_blocks    440     452   u32         start_pfn_64     v6  56      72      80   u64
//!  current_cpu       444     456   u32         end_pfn_64       v6  64      80      88   u64
//!  nr_cpus           448     460   i32         max_mapnr_64     v6  72      88      96   u64
//! ```
//!
//! `disk_dump_header` at 0 on the left, `kdump_sub_header` at `block_size` on the right: i386 packs 64-bit
//! fields, other 32-bit machines align them. Neither word size nor byte order is written down: they are
//! those of the machine that wrote the file. The rule here: the first of little-endian 64-bit, big-endian
//! 64-bit, little-endian 32-bit, big-endian 32-bit in which every dimension is one that exists, agrees
//! with the others and fits the file. If none does, what is wrong is told of the first in which at least
//! version and block size exist.
//!
//! A 32-bit sub header is packed or aligned as the machine named in `utsname` has it. Where that names none it
//! is packed, unless only the other layout puts VMCOREINFO and the notes inside the header's blocks.
//!
//! Source: `struct disk_dump_header` and `struct kdump_sub_header` in makedumpfile's `diskdump_mod.h`.

#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;

use elf_format::{Class, Encoding, Endian, Machine};
use physmem::PageShift;

use super::{
    bitmap::blocks_for,
    fields::{Fields, bytes_at},
    utsname::Utsname,
};
use crate::{Error, Field, ReadAt};

/// `sizeof(struct disk_dump_header)` without the task pointers, 64-bit.
const HEADER_MAX: usize = 464;
/// `sizeof(struct kdump_sub_header)` of version 6, 64-bit.
const SUB_HEADER_MAX: usize = 104;
/// `header_version`
const VERSION: usize = 8;
/// The versions so far end at 6; in the wrong byte order they begin at 2^24.
const VERSION_MAX: u32 = 0xffff;
/// `utsname`
const UTSNAME: usize = 12;
/// The smallest and the largest page of an architecture Linux has had (hexagon).
const BLOCK_SIZES: Range<u64> = 1 << 12..(1 << 20) + 1;

const HEADER_VERSION_FIELD: Field = Field {
    name: "header_version",
    allowed: "0 to 65535",
};
const BLOCK_SIZE_FIELD: Field = Field {
    name: "block_size",
    allowed: "a power of two from 4096 to 1048576",
};
const MAX_MAPNR_FIELD: Field = Field {
    name: "max_mapnr",
    allowed: "at most the bits of bitmap_blocks, less than 2^64 / block_size",
};
const SPLIT_FIELD: Field = Field {
    name: "end_pfn of a split dump",
    allowed: "from start_pfn to max_mapnr",
};

/// Whose format it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signature {
    /// `DISKDUMP`: the driver of Linux 2.4 and 2.6.
    Diskdump,
    /// `KDUMP   `: makedumpfile and QEMU.
    Kdump,
}

impl Signature {
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        match start.first_chunk() {
            Some(b"DISKDUMP") => Some(Self::Diskdump),
            Some(b"KDUMP   ") => Some(Self::Kdump),
            _ => None,
        }
    }
}

bitflags::bitflags! {
    /// `status` of a `KDUMP` file. The compression bits tell what was asked for; each page tells what it is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Status: u32 {
        /// `DUMP_DH_COMPRESSED_ZLIB`
        const ZLIB = 0x1;
        /// `DUMP_DH_COMPRESSED_LZO`
        const LZO = 0x2;
        /// `DUMP_DH_COMPRESSED_SNAPPY`
        const SNAPPY = 0x4;
        /// `DUMP_DH_COMPRESSED_INCOMPLETE`: there was no room for all of it.
        const INCOMPLETE = 0x8;
        /// `DUMP_DH_EXCLUDED_VMEMMAP`: page structures of excluded pages are excluded, too.
        const EXCLUDED_VMEMMAP = 0x10;
        /// `DUMP_DH_COMPRESSED_ZSTD`
        const ZSTD = 0x20;
        const _ = !0;
    }
}

/// `DUMP_HEADER_INCOMPLETED`: bit 0 of the `status` of a `DISKDUMP` file.
const DISKDUMP_INCOMPLETE: u32 = 1;

/// When the dump was taken; QEMU leaves both zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: u64,
    /// And microseconds.
    pub microseconds: u64,
}

/// A stretch of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Extent {
    /// Where it begins, from the start of the file.
    pub offset: u64,
    /// Bytes in it; 0 if there is none.
    pub size: u64,
}

/// Both headers in native integers. What a version does not have is `None`, or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Whose format it is.
    pub signature: Signature,
    /// Word size and byte order of the structures.
    pub encoding: Encoding,
    /// `header_version`
    pub version: u32,
    /// What the machine calls itself.
    pub utsname: Utsname,
    /// When the dump was taken.
    pub timestamp: Timestamp,
    /// `status`; of a `DISKDUMP` file only [`Header::is_incomplete`] knows what it means.
    pub status: Status,
    /// `block_size`: the bytes that a bit of the bitmaps and a page descriptor stand for.
    pub block: PageShift,
    /// `sub_hdr_size`, in blocks.
    pub sub_header_blocks: u32,
    /// `bitmap_blocks`: both bitmaps together, in blocks.
    pub bitmap_blocks: u32,
    /// `max_mapnr`: blocks of memory from address 0 to the highest.
    pub max_mapnr: u64,
    /// `total_ram_blocks`; makedumpfile and QEMU leave it 0, and `device_blocks` and `written_blocks`.
    pub total_ram_blocks: u32,
    /// `device_blocks`
    pub device_blocks: u32,
    /// `written_blocks`
    pub written_blocks: u32,
    /// `current_cpu`: the one that panicked, 0 where nobody said.
    pub current_cpu: u32,
    /// `nr_cpus`
    pub cpus: u32,
    /// `phys_base`. QEMU's is wrong on x86-64 (decimal digits read as hexadecimal): trust VMCOREINFO.
    pub phys_base: u64,
    /// `dump_level`: what was excluded, as `makedumpfile -d` counts it.
    pub dump_level: Option<u32>,
    /// The blocks of memory in this part of a split dump, in frame numbers.
    pub split: Option<Range<u64>>,
    /// VMCOREINFO without a note around it.
    pub vmcoreinfo: Extent,
    /// ELF notes.
    pub notes: Extent,
    /// What `makedumpfile --config` erased.
    pub eraseinfo: Extent,
}

impl Header {
    /// Whether the writer ran out of room, so that pages are lost.
    pub fn is_incomplete(&self) -> bool {
        match self.signature {
            Signature::Diskdump => self.status.bits() & DISKDUMP_INCOMPLETE != 0,
            Signature::Kdump => self.status.contains(Status::INCOMPLETE),
        }
    }

    /// Bytes that the sub header has, or less: 32-bit machines that align it have more of version 3 and later.
    pub(super) fn sub_header_size(&self) -> u64 {
        let [of_64, of_32] = match self.version {
            _ if self.sub_header_blocks == 0 => [0, 0],
            0 => [8, 4],
            1 => [12, 8],
            2 => [32, 20],
            3 => [48, 32],
            4 => [64, 44],
            5 => [80, 56],
            _ => [104, 80],
        };
        match self.encoding.class {
            Class::Elf64 => of_64,
            Class::Elf32 => of_32,
        }
    }

    /// Where the bitmaps begin.
    pub(super) fn bitmaps_at(&self) -> u64 {
        // Cannot wrap: 2^33 blocks of 2^20 bytes.
        u64::from(self.sub_header_blocks)
            .wrapping_add(1)
            .wrapping_mul(self.block.bytes())
    }

    /// Where the page descriptors begin.
    pub(crate) fn descriptors_at(&self) -> u64 {
        // Cannot wrap: 2^34 blocks of 2^20 bytes.
        let bitmaps = u64::from(self.bitmap_blocks).wrapping_mul(self.block.bytes());
        self.bitmaps_at().wrapping_add(bitmaps)
    }

    /// Whether there are two bitmaps; the oldest diskdumps have only that of the pages in the dump.
    fn has_two_bitmaps(&self) -> bool {
        let one = blocks_for(self.max_mapnr, self.block);
        one.checked_mul(2)
            .is_some_and(|two| u64::from(self.bitmap_blocks) >= two)
    }

    /// Whether `other` can be of another part of the same split dump.
    pub(crate) fn is_of_same_set(&self, other: &Self) -> bool {
        let common = |header: &Self| Self {
            split: None,
            // Each part's data end elsewhere, and this follows them.
            eraseinfo: Extent::default(),
            ..header.clone()
        };
        common(self) == common(other)
    }

    /// Where the bitmaps are: that of RAM, if there is one, and that of the pages in the dump.
    pub(crate) fn bitmaps(&self) -> (Option<Extent>, Extent) {
        let size = self.max_mapnr.div_ceil(8);
        let bitmap = |offset| Extent { offset, size };
        let first = self.bitmaps_at();
        if !self.has_two_bitmaps() {
            return (None, bitmap(first));
        }
        // Cannot wrap: fewer than 2^34 blocks of 2^20 bytes.
        let half = u64::from(self.bitmap_blocks / 2).wrapping_mul(self.block.bytes());
        let second = first.wrapping_add(half);
        (Some(bitmap(first)), bitmap(second))
    }

    /// Reads the headers of a file with this signature.
    pub(crate) fn read<S: ReadAt + ?Sized>(
        source: &S,
        signature: Signature,
    ) -> Result<Self, Error> {
        inside(source, "header of a compressed dump", 0..BLOCK_SIZES.start)?;
        let start = bytes_at::<HEADER_MAX, S>(source, 0)?;
        let mut first = None;
        let mut likeliest = None;
        for layout in &LAYOUTS {
            for endian in [Endian::Little, Endian::Big] {
                let fields = Fields {
                    bytes: &start,
                    at: 0,
                    encoding: Encoding {
                        class: layout.class,
                        endian,
                    },
                };
                let header = match Dimensions::read(&fields, layout) {
                    Ok(dimensions) => dimensions.header(source, signature, &fields, layout),
                    Err(error) => {
                        first.get_or_insert(error);
                        continue;
                    }
                };
                match header {
                    Ok(header) => return Ok(header),
                    Err(error) => likeliest.get_or_insert(error),
                };
            }
        }
        Err(likeliest.or(first).unwrap_or(Error::Missing {
            what: "header of a compressed dump",
        }))
    }
}

/// Where the fields of the header are in one word size.
struct Layout {
    class: Class,
    timestamp: usize,
    /// The 32-bit fields from `status` to `nr_cpus` follow each other.
    status: usize,
    /// The sub headers there are, the likelier one first.
    sub_headers: &'static [SubLayout],
}

/// Offsets in the sub header.
struct SubLayout {
    dump_level: usize,
    split: usize,
    start_pfn: usize,
    end_pfn: usize,
    vmcoreinfo: (usize, usize),
    notes: (usize, usize),
    eraseinfo: (usize, usize),
    start_pfn_64: usize,
    end_pfn_64: usize,
    max_mapnr_64: usize,
}

/// 64-bit machines before 32-bit ones, see the module's rule.
static LAYOUTS: [Layout; 2] = [
    Layout {
        class: Class::Elf64,
        timestamp: 408,
        status: 424,
        sub_headers: &[SubLayout {
            dump_level: 8,
            split: 12,
            start_pfn: 16,
            end_pfn: 24,
            vmcoreinfo: (32, 40),
            notes: (48, 56),
            eraseinfo: (64, 72),
            start_pfn_64: 80,
            end_pfn_64: 88,
            max_mapnr_64: 96,
        }],
    },
    Layout {
        class: Class::Elf32,
        timestamp: 404,
        status: 412,
        sub_headers: &[
            SubLayout {
                dump_level: 4,
                split: 8,
                start_pfn: 12,
                end_pfn: 16,
                vmcoreinfo: (20, 28),
                notes: (32, 40),
                eraseinfo: (44, 52),
                start_pfn_64: 56,
                end_pfn_64: 64,
                max_mapnr_64: 72,
            },
            SubLayout {
                dump_level: 4,
                split: 8,
                start_pfn: 12,
                end_pfn: 16,
                vmcoreinfo: (24, 32),
                notes: (40, 48),
                eraseinfo: (56, 64),
                start_pfn_64: 72,
                end_pfn_64: 80,
                max_mapnr_64: 88,
            },
        ],
    },
];

/// What says whether a layout is the right one.
struct Dimensions {
    version: u32,
    block: PageShift,
}

impl Dimensions {
    fn read(fields: &Fields<'_>, layout: &Layout) -> Result<Self, Error> {
        let version = fields.u32(VERSION)?;
        if version > VERSION_MAX {
            return Err(fields.bad(&HEADER_VERSION_FIELD, VERSION, version.into()));
        }
        let at = layout.word(1);
        let block_size = u64::from(fields.u32(at)?);
        let block = PageShift::from_bytes(block_size)
            .filter(|_| BLOCK_SIZES.contains(&block_size))
            .ok_or_else(|| fields.bad(&BLOCK_SIZE_FIELD, at, block_size))?;
        Ok(Self { version, block })
    }

    fn header<S: ReadAt + ?Sized>(
        &self,
        source: &S,
        signature: Signature,
        fields: &Fields<'_>,
        layout: &Layout,
    ) -> Result<Header, Error> {
        let long = fields.long_size();
        let word = |index| fields.u32(layout.word(index));
        let mut header = Header {
            signature,
            encoding: fields.encoding,
            version: self.version,
            utsname: Utsname::new(fields.bytes.get(UTSNAME..).unwrap_or_default()),
            timestamp: Timestamp {
                seconds: fields.long(layout.timestamp)?,
                microseconds: fields.long(layout.timestamp.saturating_add(long))?,
            },
            status: Status::from_bits_retain(word(0)?),
            block: self.block,
            sub_header_blocks: word(2)?,
            bitmap_blocks: word(3)?,
            max_mapnr: word(4)?.into(),
            total_ram_blocks: word(5)?,
            device_blocks: word(6)?,
            written_blocks: word(7)?,
            current_cpu: word(8)?,
            cpus: word(9)?,
            phys_base: 0,
            dump_level: None,
            split: None,
            vmcoreinfo: Extent::default(),
            notes: Extent::default(),
            eraseinfo: Extent::default(),
        };
        let sub_header = self.block.bytes()..header.bitmaps_at();
        inside(source, "sub header of a compressed dump", sub_header)?;
        check_bitmaps(&header, || (fields.place(layout.word(4)), header.max_mapnr))?;
        header.read_sub_header(source, layout)?;
        // A part of a split dump that has no page may end with the last byte of its bitmaps.
        let (_, Extent { offset, size }) = header.bitmaps();
        inside(source, "page bitmap", offset..offset.saturating_add(size))?;
        Ok(header)
    }
}

/// Refuses a structure that the file does not have all of.
fn inside<S: ReadAt + ?Sized>(
    source: &S,
    what: &'static str,
    Range { start, end }: Range<u64>,
) -> Result<(), Error> {
    if end <= source.size() {
        return Ok(());
    }
    Err(Error::Truncated {
        what,
        offset: start,
        // Saturating: a structure ends behind its start, and past the end of the file nothing is left.
        needed: end.saturating_sub(start),
        available: source.size().saturating_sub(start),
    })
}

/// Refuses more page frames than there are bits or addresses.
fn check_bitmaps(header: &Header, field: impl FnOnce() -> (u64, u64)) -> Result<(), Error> {
    let has_bits = blocks_for(header.max_mapnr, header.block) <= header.bitmap_blocks.into();
    let has_addresses = header.max_mapnr.checked_mul(header.block.bytes()).is_some();
    if has_bits && has_addresses {
        return Ok(());
    }
    let (offset, value) = field();
    Err(Error::BadField {
        field: &MAX_MAPNR_FIELD,
        offset,
        value,
    })
}

impl Layout {
    /// The offset of a 32-bit field, counted from `status`.
    const fn word(&self, index: usize) -> usize {
        // A header has 464 bytes.
        self.status.wrapping_add(index.wrapping_mul(4))
    }
}

impl Header {
    /// Adds what the sub header has.
    fn read_sub_header<S: ReadAt + ?Sized>(
        &mut self,
        source: &S,
        layout: &Layout,
    ) -> Result<(), Error> {
        if self.sub_header_blocks == 0 {
            return Ok(());
        }
        let at = self.block.bytes();
        let bytes = bytes_at::<SUB_HEADER_MAX, S>(source, at)?;
        let fields = Fields {
            bytes: &bytes,
            at,
            encoding: self.encoding,
        };
        let [only] = layout.sub_headers else {
            let is_aligned = match self.utsname.elf_machine() {
                Some(machine) => machine != Machine::I386,
                None => self.is_aligned(&fields, layout),
            };
            let sub_layout = layout.sub_headers.get(usize::from(is_aligned));
            return sub_layout.map_or(Ok(()), |sub_layout| self.add(&fields, sub_layout));
        };
        self.add(&fields, only)
    }

    /// Whether only the second layout of a sub header puts things where they can be.
    fn is_aligned(&self, fields: &Fields<'_>, layout: &Layout) -> bool {
        let fits = |sub_layout: &SubLayout| {
            let inside = |(offset, size)| {
                fields.extent(offset, size).is_ok_and(|extent| {
                    let end = extent.offset.checked_add(extent.size);
                    extent == Extent::default()
                        || extent.offset >= fields.at
                            && end.is_some_and(|end| end <= self.bitmaps_at())
                })
            };
            (self.version < 3 || inside(sub_layout.vmcoreinfo))
                && (self.version < 4 || inside(sub_layout.notes))
        };
        matches!(layout.sub_headers, [packed, aligned] if !fits(packed) && fits(aligned))
    }

    fn add(&mut self, fields: &Fields<'_>, layout: &SubLayout) -> Result<(), Error> {
        self.phys_base = fields.long(0)?;
        if self.version >= 1 {
            self.dump_level = Some(fields.u32(layout.dump_level)?);
        }
        if self.version >= 3 {
            let (offset, size) = layout.vmcoreinfo;
            self.vmcoreinfo = fields.extent(offset, size)?;
        }
        if self.version >= 4 {
            let (offset, size) = layout.notes;
            self.notes = fields.extent(offset, size)?;
        }
        if self.version >= 5 {
            let (offset, size) = layout.eraseinfo;
            self.eraseinfo = fields.extent(offset, size)?;
        }
        let is_wide = self.version >= 6;
        if is_wide {
            self.max_mapnr = fields.u64(layout.max_mapnr_64)?;
            check_bitmaps(self, || (fields.place(layout.max_mapnr_64), self.max_mapnr))?;
        }
        if self.version >= 2 && fields.u32(layout.split)? != 0 {
            let (start, end, end_at) = if is_wide {
                let start = fields.u64(layout.start_pfn_64)?;
                (start, fields.u64(layout.end_pfn_64)?, layout.end_pfn_64)
            } else {
                let start = fields.long(layout.start_pfn)?;
                (start, fields.long(layout.end_pfn)?, layout.end_pfn)
            };
            if start > end || end > self.max_mapnr {
                return Err(fields.bad(&SPLIT_FIELD, end_at, end));
            }
            self.split = Some(start..end);
        }
        Ok(())
    }
}
