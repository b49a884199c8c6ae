//! Compressed dumps: `KDUMP` of makedumpfile and QEMU, and the older `DISKDUMP`.
//!
//! ```text
//!  block 0    1            1 + sub      …            1 + sub + bitmaps
//!  ┌──────────┬────────────┬────────────┬────────────┬──────────────┬──────────────┐
//!  │ disk_dump│ kdump_sub_ │ bitmap 1:  │ bitmap 2:  │ page_desc[]: │ page data,   │
//!  │ _header  │ header,    │ is RAM     │ is in the  │ one a bit of │ compressed   │
//!  │          │ notes      │            │ dump       │ bitmap 2     │ one by one   │
//!  └──────────┴────────────┴────────────┴────────────┴──────────────┴──────────────┘
//! ```
//!
//! A page frame of the file is a *block*: the kernel's page where makedumpfile wrote it; QEMU takes
//! 64 KiB for arm64 guests whose pages are smaller. So outside of this module memory has addresses
//! and no frame numbers.
//!
//! Source: `diskdump_mod.h` and IMPLEMENTATION of makedumpfile; `include/sysemu/dump.h` of QEMU.

mod bitmap;
mod census;
mod check;
mod fields;
mod header;
mod page_desc;
mod rank;
mod set;
mod utsname;
mod view;

use core::ops::Range;

use physmem::{Pfn, PhysAddr, PhysRange};

use crate::{Error, ReadAt, codec::Method};

pub use census::Census;
pub use header::{Extent, Header, Signature, Status, Timestamp};
pub(crate) use page_desc::Stored;
pub(crate) use set::Set;
pub use utsname::Utsname;
pub(crate) use view::{View, absence};

/// What only compressed dumps have; made by [`Dump::kdump`](crate::Dump::kdump).
#[derive(Debug)]
pub struct Kdump<'d, S>(pub(crate) &'d Set<S>);

impl<'d, S: ReadAt> Kdump<'d, S> {
    /// The headers: of a split dump those of its first part.
    pub fn header(&self) -> &'d Header {
        self.0.header()
    }

    /// How many files the dump was opened from.
    pub fn parts(&self) -> usize {
        self.0.parts()
    }

    /// The memory whose pages would be in parts of a split dump that are not here.
    pub fn missing(&self) -> impl Iterator<Item = PhysRange> + 'd {
        let block = self.header().block;
        let at = move |frame| Pfn::new(frame).addr(block);
        // Every frame of a dump has an address, its end, too.
        let range = move |Range { start, end }| PhysRange::try_new(at(start)?, at(end)?).ok();
        self.0.missing().filter_map(range)
    }

    /// Reads every page descriptor and counts.
    ///
    /// # Errors
    ///
    /// The operating system's refusal to read.
    pub fn census(&self) -> Result<Census, Error> {
        self.0.census()
    }

    /// How the page that holds `at` is compressed; `None` if it is not in the file.
    pub fn method(&self, at: PhysAddr) -> Option<Method> {
        let view = self.0.view();
        let (frame, _) = view.split(at);
        view.locate(frame).ok().map(|(_, stored)| stored.method)
    }
}
