//! What a page is used for, and which dump levels leave it out.

use core::fmt;

use bitflags::bitflags;

bitflags! {
    /// The dump levels of `makedumpfile -d` that leave a page out: any that is given is enough.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Levels: u8 {
        /// Cache without private data.
        const CACHE = 2;
        /// Cache, with private data, too.
        const CACHE_PRIVATE = 4;
        /// Memory of processes.
        const USER = 8;
        /// Free pages.
        const FREE = 16;
        /// Any level, 0 included: the page is broken or not there.
        const ALWAYS = 32;
    }
}

impl Levels {
    /// Whether `makedumpfile -d level` leaves the page out, other than for being zero (level 1).
    pub fn excluded_at(self, level: u8) -> bool {
        self.intersects(Self::from_bits_truncate(level & 31) | Self::ALWAYS)
    }
}

/// What a page is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// In a free block of `1 << order` pages of the buddy allocator.
    Free {
        /// Of the block.
        order: u8,
    },
    /// Not accepted yet from the hypervisor (`CONFIG_UNACCEPTED_MEMORY`).
    Unaccepted,
    /// Logically offline: taken by a balloon or by virtio-mem.
    Offline,
    /// Broken memory.
    Poisoned,
    /// Objects of the kernel's.
    Slab,
    /// A huge page of hugetlbfs.
    Hugetlb,
    /// Anonymous memory of processes.
    Anonymous,
    /// Cache of files or of swap.
    Cache,
    /// Never given to the allocator: the kernel's image, firmware, holes.
    Reserved,
    /// Everything else: mostly the kernel's.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free { .. } => "free",
            Self::Unaccepted => "unaccepted",
            Self::Offline => "offline",
            Self::Poisoned => "poisoned",
            Self::Slab => "slab",
            Self::Hugetlb => "hugetlb",
            Self::Anonymous => "anonymous",
            Self::Cache => "cache",
            Self::Reserved => "reserved",
            Self::Other => "other",
        })
    }
}
