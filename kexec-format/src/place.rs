//! Finding places for segments.
//!
//! ```text
//!  memory   ██████████████████      ████████████████████████████████
//!  window          ├────────────────────────────────────────────┤
//!  placed                                     ▒▒initrd▒▒
//!  a place                                               ├kernel┤  top-down
//!                  ├kernel┤                                        bottom-up
//! ```
//!
//! The search itself is [`e820::place`]; kexec adds that places are whole pages, that segments keep
//! clear of those placed before them, and that there are sixteen at most.
//!
//! Source: `add_buffer()` and `locate_hole()` in kexec-tools' `kexec/kexec.c`; `kexec_add_buffer()`,
//! `locate_mem_hole_top_down()` and `…_bottom_up()` in Linux `kernel/kexec_file.c`.

use e820::{Direction, PlaceRequest, Placement};
use physmem::{PageShift, PhysRange};

use crate::check::{self, Rejected, Rule};

/// Who places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Placer {
    /// kexec-tools, for `kexec_load()`: `locate_hole()`.
    ///
    /// Unlike it, an image of more than sixteen segments is refused at once, not warned of. What it does
    /// with ranges of one byte, and around segments that are in no range, makes no difference to whole
    /// pages in memory.
    #[default]
    KexecTools,
    /// `kexec_file_load()` of Linux 6.8 and later.
    Linux,
    /// `kexec_file_load()` of Linux before 6.8, which takes the lowest range that has room, even
    /// top-down, and does not use its last byte then.
    LinuxBefore6_8,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Bytes it needs, rounded up to whole pages.
    pub memsz: u64,
    /// Of what its address is a multiple, a power of two; at least the page size is taken.
    pub align: u64,
    /// Where it may lie: `hole_min` to `hole_max` of kexec-tools, `buf_min` to `buf_max` of Linux.
    pub window: PhysRange,
    /// From which end.
    pub direction: Direction,
}

impl Placer {
    /// A place for `buffer` in one of `ranges`, which ascend: System RAM, or the reserved memory for a
    /// crash image. `placed` are the segments so far, in any order.
    ///
    /// ```
    /// use e820::Direction;
    /// use kexec_format::place::{Buffer, Placer};
    /// use physmem::{PageShift, PhysRange};
    ///
    /// let ram = [PhysRange::try_new(0x10_0000.into(), 0x1ffd_d000.into())?];
    /// let purgatory = Buffer {
    ///     memsz: 0x9000,
    ///     align: 0x1000,
    ///     window: PhysRange::try_new(0x3000.into(), 0x8000_0000.into())?,
    ///     direction: Direction::TopDown,
    /// };
    /// let place = Placer::KexecTools.place(ram, &[], purgatory, PageShift::SIZE_4K)?;
    /// assert_eq!(place.to_string(), "0x1ffd4000..0x1ffdd000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rule::TooManySegments`] if sixteen are placed, [`Rule::NoPlace`].
    pub fn place(
        self,
        ranges: impl IntoIterator<Item = PhysRange>,
        placed: &[PhysRange],
        buffer: Buffer,
        page: PageShift,
    ) -> Result<PhysRange, Rejected> {
        // Saturating: no slice has as many elements.
        check::at_most_sixteen(placed.len().saturating_add(1))?;
        let align = buffer.align.max(page.bytes());
        let no_place = Rejected::new(Rule::NoPlace, buffer.memsz, align);
        let placement = match self {
            Self::KexecTools | Self::Linux => Placement::Exact,
            Self::LinuxBefore6_8 => Placement::KexecFileBefore6_8,
        };
        let request = PlaceRequest {
            size: buffer
                .memsz
                .checked_next_multiple_of(page.bytes())
                .ok_or(no_place)?,
            align,
            window: buffer.window,
            direction: buffer.direction,
        };
        e820::place::find(ranges, placed, request, placement).ok_or(no_place)
    }
}
