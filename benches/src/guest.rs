//! A guest that exists nowhere: page tables as a kernel's, in physical memory, and a dump of it.
//!
//! ```text
//!  0xffff888000000000   direct map, 4 KiB pages one after the other     what extents coalesces
//!  0xffffc90000000000   vmalloc, 4 KiB pages anywhere                   four loads a translation
//! ```

use std::collections::BTreeSet;

use elf_format::{Class, Encoding, Endian, Machine, Segment, SegmentFlags, SegmentType, Writer};

/// Bytes of RAM, at address 0.
pub const RAM: usize = 64 << 20;
/// The first address of the direct map.
pub const DIRECT: u64 = 0xffff_8880_0000_0000;
/// Pages in the direct map.
pub const DIRECT_PAGES: usize = 1 << 16;
/// The first address of vmalloc.
pub const VMALLOC: u64 = 0xffff_c900_0000_0000;
/// Pages in vmalloc.
pub const VMALLOC_PAGES: usize = 1 << 14;

/// Present, writable, accessed, dirty, global, not executable.
const PAGE: u64 = 1 << 63 | 0x163;
const TABLE: u64 = 0x63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Physical memory with page tables in it.
pub struct Guest {
    /// The bytes at address 0 and up.
    pub ram: Vec<u8>,
    /// The physical address of the root table.
    pub root: u64,
    tables: BTreeSet<u64>,
    random: Random,
}

impl Default for Guest {
    fn default() -> Self {
        Self::new()
    }
}

impl Guest {
    /// The same guest each time.
    pub fn new() -> Self {
        let root = 0x1000;
        let mut guest = Self {
            ram: vec![0; RAM],
            root,
            tables: BTreeSet::from([root]),
            random: Random(0x9e37_79b9_7f4a_7c15),
        };
        for page in 0..DIRECT_PAGES as u64 {
            guest.map(DIRECT + (page << 12), page << 12);
        }
        for page in 0..VMALLOC_PAGES as u64 {
            let frame = guest.random.below(RAM as u64 >> 12);
            guest.map(VMALLOC + (page << 12), frame << 12);
        }
        guest
    }

    /// Addresses all over vmalloc.
    pub fn vmalloc_addresses(&self, count: usize) -> Vec<u64> {
        let mut random = Random(0x0123_4567_89ab_cdef);
        (0..count)
            .map(|_| VMALLOC + random.below((VMALLOC_PAGES as u64) << 12))
            .collect()
    }

    /// The entry at a physical address.
    pub fn entry(&self, at: u64) -> u64 {
        let at = usize::try_from(at).unwrap_or(RAM);
        let bytes = self.ram.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn set(&mut self, at: u64, entry: u64) {
        let at = usize::try_from(at).unwrap_or(RAM);
        if let Some(bytes) = self
            .ram
            .get_mut(at..)
            .and_then(|rest| rest.first_chunk_mut())
        {
            *bytes = entry.to_le_bytes();
        }
    }

    fn map(&mut self, virt: u64, phys: u64) {
        let mut table = self.root;
        for shift in [39, 30, 21] {
            let at = table | (virt >> shift & 511) << 3;
            if self.entry(at) == 0 {
                let table = self.free_frame();
                self.set(at, table | TABLE);
            }
            table = self.entry(at) & ADDRESS;
        }
        self.set(table | (virt >> 12 & 511) << 3, phys | PAGE);
    }

    /// A frame that no table lies in.
    fn free_frame(&mut self) -> u64 {
        loop {
            let frame = self.random.below(RAM as u64 >> 12) << 12;
            if self.tables.insert(frame) {
                return frame;
            }
        }
    }

    /// A dump of the guest, its RAM in as many equal segments.
    ///
    /// # Errors
    ///
    /// That of the writer.
    pub fn dump(&self, segments: u64) -> Result<Vec<u8>, elf_format::Error> {
        let size = RAM as u64 / segments;
        let mut loads: Vec<_> = (0..segments)
            .map(|index| Segment {
                kind: SegmentType::LOAD,
                flags: SegmentFlags::READ,
                offset: 0,
                vaddr: DIRECT + index * size,
                paddr: index * size,
                filesz: size,
                memsz: size,
                align: 0,
            })
            .collect();
        let encoding = Encoding {
            class: Class::Elf64,
            endian: Endian::Little,
        };
        let headers =
            Writer::core(encoding, Machine::X86_64, &[], loads.iter().copied()).emitted_len();
        let start = headers.next_multiple_of(4096);
        for load in &mut loads {
            load.offset = start as u64 + load.paddr;
        }
        let mut file =
            Writer::core(encoding, Machine::X86_64, &[], loads.iter().copied()).to_vec()?;
        file.resize(start, 0);
        file.extend_from_slice(&self.ram);
        Ok(file)
    }
}

/// Marsaglia's xorshift64: the same numbers each time.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
