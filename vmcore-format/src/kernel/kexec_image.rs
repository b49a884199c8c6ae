//! `struct kimage`: the kernel that `kexec -l` or `kexec -p` has loaded, as the running one knows it.
//!
//! ```text
//!  kexec_image, kexec_crash_image         struct kimage                   word
//!  ┌─────────┐                            ┌──────────────────────────────┐
//!  │ pointer ┼──────────────────────────▶ │ head                         │ 0   first entry of the list of pages
//!  └─────────┘   null: nothing is loaded  │ entry, last_entry            │ 1   where the kernel was in it
//!                                         │ start                        │ 3   where the new kernel is entered
//!                                         │ control_code_page, swap_page │ 4
//!                                         │ vmcoreinfo_data_copy         │ 6   since Linux 4.13
//!                                         │ nr_segments                  │ 7
//!                                         │ segment[16]                  │ 8   buf, bufsz, mem, memsz of each
//!                                         │ segment_cma[16]              │     since Linux 6.17
//!                                         │ three struct list_head       │ 72
//!                                         │ control_page                 │ 78
//!                                         │ type:1, preserve_context:1 … │ 79  an unsigned int
//!                                         └──────────────────────────────┘
//! ```
//!
//! A word is the kernel's `unsigned long`; the numbers are those of Linux 4.13 to 6.16. What `head`
//! leads to are physical pages: the crate `kexec-format` reads them. Where the variables are, the
//! kernel's [symbols](super::kallsyms) tell, and where the fields are, its [types](super::btf).
//!
//! Source: `struct kimage` and `struct kexec_segment` in Linux `include/linux/kexec.h`.

#![deny(clippy::arithmetic_side_effects)]

mod layout;

use page_walk::AnyWalker;
use physmem::{Endian, PhysMemory, VirtAddr, Width};

pub use self::layout::Layout;
use super::memory::{VirtError, read};
use crate::Field;

/// `KEXEC_SEGMENT_MAX` (include/uapi/linux/kexec.h).
pub const SEGMENT_MAX: usize = 16;

/// Bytes that are looked at, at most: all of the structure that was ever there before `arch`.
const BYTES_MAX: usize = 1024;

const LENGTH: Field = Field {
    name: "length of struct kimage up to the layout's last field",
    allowed: "at most 0x400 bytes",
};
const NR_SEGMENTS: Field = Field {
    name: "nr_segments of struct kimage",
    allowed: "0 to 16 (KEXEC_SEGMENT_MAX)",
};

/// Why there is no image at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KimageError {
    /// It cannot be read.
    #[error(transparent)]
    Memory(#[from] VirtError),
    /// The bytes end before the fields do.
    #[error(
        "virtual address {at}: struct kimage needs {needed:#x} bytes, {available:#x} are there"
    )]
    Truncated {
        /// Where it begins.
        at: VirtAddr,
        /// Bytes it has, of those that the layout looks at.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A field holds what it must not.
    #[error("virtual address {at}: {} is {value:#x}, allowed: {}", field.name, field.allowed)]
    BadField {
        /// The field and what is allowed.
        field: &'static Field,
        /// Where the field is.
        at: VirtAddr,
        /// What it holds.
        value: u64,
    },
}

/// A segment of the image (`struct kexec_segment`), as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Segment {
    /// Where its bytes were when it was loaded: an address of the loading process, or, if the kernel
    /// loaded it ([`Flags::is_file_mode`]), of the kernel.
    pub buf: u64,
    /// How many bytes there were.
    pub bufsz: u64,
    /// Where it is to lie: a physical address.
    pub mem: u64,
    /// How many bytes that place has.
    pub memsz: u64,
}

/// What kind of image it is: the bit-field at the end, its first bit the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flags {
    /// `type`: a crash image, whose segments are in their place.
    pub const fn is_crash(self) -> bool {
        self.0 & 1 != 0
    }

    /// `preserve_context`: the new kernel may return to the old one (`KEXEC_PRESERVE_CONTEXT`).
    pub const fn preserves_context(self) -> bool {
        self.0 & 2 != 0
    }

    /// `file_mode`: loaded by `kexec_file_load()`.
    pub const fn is_file_mode(self) -> bool {
        self.0 & 4 != 0
    }

    /// All bits, those of later kernels and what follows them, too.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

/// An image that is loaded, as found.
///
/// ```
/// use physmem::VirtAddr;
/// use vmcore_format::{Dump, kernel::{self, kexec_image::{Kimage, Layout}}};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kimage-crash.elf");
/// let file = std::fs::read(path)?; // cut from the dump of a kernel that had crashed
/// let dump = Dump::open(&file[..])?;
/// let walker = kernel::Layout::of(&dump)?.walker;
/// let kexec_crash_image = VirtAddr::new(0xffff_ffff_a8b4_2058); // as /proc/kallsyms had it
/// let image = Kimage::loaded(&walker, &dump.reader(), kexec_crash_image, &Layout::of(&dump)?)?;
/// let image = image.ok_or("no crash kernel was loaded")?;
/// assert_eq!((image.start, image.segments().len()), (0xef5_4760, 7));
/// assert_eq!(image.segments()[0].mem, 0x800_0000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kimage {
    /// Where it is.
    pub at: VirtAddr,
    /// The first entry of its list: a link to physical pages of entries, or the end.
    pub head: u64,
    /// Where the new kernel is entered: a physical address.
    pub start: u64,
    /// Where the `struct page` of the first page of code is that runs between the two kernels.
    pub control_code_page: VirtAddr,
    /// Up to where control pages were taken of the memory reserved for a crash kernel: a physical
    /// address; all bits set for other images.
    pub control_page: u64,
    /// What kind of image it is.
    pub flags: Flags,
    segments: [Segment; SEGMENT_MAX],
    nr_segments: usize,
}

impl Kimage {
    /// The image that the variable at `pointer` leads to, which is `kexec_image` or
    /// `kexec_crash_image`; `None` if none is loaded.
    ///
    /// # Errors
    ///
    /// As [`Kimage::read`].
    pub fn loaded<M: PhysMemory + ?Sized>(
        walker: &AnyWalker,
        memory: &M,
        pointer: VirtAddr,
        layout: &Layout,
    ) -> Result<Option<Self>, KimageError> {
        let mut bytes = [0; 8];
        let (bytes, _) = bytes.split_at_mut(layout.width.bytes());
        read(walker, memory, pointer, bytes)?;
        // The bytes are as long as the word.
        match layout
            .width
            .decode(bytes, layout.endian)
            .unwrap_or_default()
        {
            0 => Ok(None),
            at => Self::read(walker, memory, VirtAddr::new(at), layout).map(Some),
        }
    }

    /// The image at a virtual address.
    ///
    /// # Errors
    ///
    /// [`KimageError::Memory`] where it cannot be read, [`KimageError::BadField`] where there is none, or for
    /// a layout of more than 1,024 bytes.
    pub fn read<M: PhysMemory + ?Sized>(
        walker: &AnyWalker,
        memory: &M,
        at: VirtAddr,
        layout: &Layout,
    ) -> Result<Self, KimageError> {
        let mut bytes = [0; BYTES_MAX];
        let len = layout.byte_len();
        let bytes = bytes.get_mut(..len).ok_or(KimageError::BadField {
            field: &LENGTH,
            at,
            value: len as u64,
        })?;
        read(walker, memory, at, bytes)?;
        Self::parse(bytes, at, layout)
    }

    /// The image in `bytes`, which are those at `at`; what follows the fields is not looked at.
    ///
    /// # Errors
    ///
    /// [`KimageError::Truncated`] if they are fewer than [`Layout::byte_len`],
    /// [`KimageError::BadField`] if they are none.
    pub fn parse(bytes: &[u8], at: VirtAddr, layout: &Layout) -> Result<Self, KimageError> {
        let needed = layout.byte_len();
        let truncated = KimageError::Truncated {
            at,
            needed: needed as u64,
            available: bytes.len() as u64,
        };
        let bytes = bytes.get(..needed).ok_or(truncated)?;
        let field = |offset: usize, width: Width| {
            let bytes = bytes.get(offset..).unwrap_or_default();
            // All fields lie within the bytes needed.
            width.decode(bytes, layout.endian).unwrap_or_default()
        };
        let word = |offset: u16| field(offset.into(), layout.width);

        let count = word(layout.nr_segments);
        let nr_segments = usize::try_from(count).ok().filter(|&n| n <= SEGMENT_MAX);
        let nr_segments = nr_segments.ok_or(KimageError::BadField {
            field: &NR_SEGMENTS,
            // Saturating: only where the structure passes the end of the address space.
            at: VirtAddr::new(at.as_u64().saturating_add(layout.nr_segments.into())),
            value: count,
        })?;
        let mut segments = [Segment::default(); SEGMENT_MAX];
        let words = bytes.get(layout.segment.into()..).unwrap_or_default();
        let mut words = words.chunks_exact(layout.width.bytes()).map(|bytes| {
            layout
                .width
                .decode(bytes, layout.endian)
                .unwrap_or_default()
        });
        // They, too, lie within the bytes needed.
        let mut next = || words.next().unwrap_or_default();
        for segment in segments.iter_mut().take(nr_segments) {
            *segment = Segment {
                buf: next(),
                bufsz: next(),
                mem: next(),
                memsz: next(),
            };
        }
        // A bit-field begins at the end of its word where the word does.
        let flags = u32::try_from(field(layout.flags.into(), Width::U32)).unwrap_or_default();
        let flags = match layout.endian {
            Endian::Little => flags,
            Endian::Big => flags.reverse_bits(),
        };
        Ok(Self {
            at,
            head: word(layout.head),
            start: word(layout.start),
            control_code_page: VirtAddr::new(word(layout.control_code_page)),
            control_page: word(layout.control_page),
            flags: Flags(flags),
            segments,
            nr_segments,
        })
    }

    /// What it is made of, in the order of the load.
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.nr_segments).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "tests")]

    use std::{vec, vec::Vec};

    use page_walk::{Mode, X86_64};
    use physmem::PhysAddr;

    use super::*;

    type Constructor = fn(Width, Endian) -> Layout;

    const AT: VirtAddr = VirtAddr::new(0xffff_8dfc_13e1_2c00);

    /// An image whose every word is its number times 0x1000, but for these.
    fn bytes(layout: &Layout, nr_segments: u64, flags: u32) -> Vec<u8> {
        let size = layout.width.bytes();
        let emit = |value: u64| match layout.endian {
            Endian::Little => value.to_le_bytes()[..size].to_vec(),
            Endian::Big => value.to_be_bytes()[8 - size..].to_vec(),
        };
        let mut bytes: Vec<u8> = (0..100).flat_map(|word| emit(word << 12)).collect();
        let mut put = |offset: u16, value: &[u8]| {
            bytes[usize::from(offset)..][..value.len()].copy_from_slice(value);
        };
        put(layout.nr_segments, &emit(nr_segments));
        match layout.endian {
            Endian::Little => put(layout.flags, &flags.to_le_bytes()),
            Endian::Big => put(layout.flags, &flags.to_be_bytes()),
        }
        bytes
    }

    #[test]
    fn fields_are_where_the_layout_has_them() {
        let constructors: [(Constructor, u64, u64); 3] = [
            (Layout::before_4_13, 7, 77),
            (Layout::since_4_13, 8, 78),
            (Layout::since_6_17, 8, 94),
        ];
        for (layout, segment, control_page) in constructors {
            for (width, endian, crash) in [
                (Width::U64, Endian::Little, 1),
                (Width::U32, Endian::Little, 1),
                (Width::U64, Endian::Big, 1 << 31),
                (Width::U32, Endian::Big, 1 << 31),
            ] {
                let layout = layout(width, endian);
                let image = Kimage::parse(&bytes(&layout, 2, crash), AT, &layout).unwrap();
                assert_eq!((image.head, image.start), (0, 0x3000));
                assert_eq!(image.control_code_page, VirtAddr::new(0x4000));
                assert_eq!(image.control_page, control_page << 12);
                let of = |first: u64| Segment {
                    buf: first << 12,
                    bufsz: (first + 1) << 12,
                    mem: (first + 2) << 12,
                    memsz: (first + 3) << 12,
                };
                assert_eq!(image.segments(), [of(segment), of(segment + 4)]);
                assert!(image.flags.is_crash());
                assert!(!image.flags.preserves_context() && !image.flags.is_file_mode());
                assert_eq!(image.flags.as_u32(), 1);
            }
        }
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let layout = Layout::since_4_13(Width::U64, Endian::Little);
        let full = bytes(&layout, 16, 0);
        assert_eq!(
            Kimage::parse(&full, AT, &layout).unwrap().segments().len(),
            16
        );
        let bad = Kimage::parse(&bytes(&layout, 17, 0), AT, &layout).unwrap_err();
        assert_eq!(
            std::format!("{bad}"),
            "virtual address 0xffff8dfc13e12c38: nr_segments of struct kimage is 0x11, allowed: 0 to 16 \
             (KEXEC_SEGMENT_MAX)"
        );
        assert_eq!(layout.byte_len(), 79 * 8 + 4);
        for len in 0..layout.byte_len() {
            assert_eq!(
                Kimage::parse(&vec![0; len], AT, &layout),
                Err(KimageError::Truncated {
                    at: AT,
                    needed: 636,
                    available: len as u64
                })
            );
        }
    }

    #[test]
    fn a_layout_that_is_too_long_is_named() {
        let layout = Layout {
            flags: 1021,
            ..Layout::since_4_13(Width::U64, Endian::Little)
        };
        let memory = physmem::Region::try_new(PhysAddr::new(0), vec![0; 0x1000]).unwrap();
        let walker = Mode::X86_64(X86_64::four_level()).with_root(PhysAddr::new(0));
        let error = Kimage::read(&walker, &memory, AT, &layout).unwrap_err();
        assert_eq!(
            std::format!("{error}"),
            "virtual address 0xffff8dfc13e12c00: length of struct kimage up to the layout's last field is \
             0x401, allowed: at most 0x400 bytes"
        );
    }
}
