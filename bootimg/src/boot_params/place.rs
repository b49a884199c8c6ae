//! Where an initrd may lie.

use core::ops::Range;

use super::above_4g;
use crate::{
    bzimage::Header,
    error::{Error, Result},
};

/// Initrds begin at pages.
const PAGE: u64 = 4096;

/// An address of a page in `ram` at which an initrd of `size` bytes lies clear of the memory that the kernel needs
/// to start, and of `loaded`, where its protected-mode code is, and where the kernel can have it: the highest
/// above both, else the highest between them, else below; `None` if there is none.
///
/// A kernel that can be loaded above 4 GiB takes its initrd from anywhere, any other from addresses
/// up to `initrd_addr_max`. Before 2.10 no header says what memory the kernel needs to start: there the
/// initrd is clear of `loaded`, and as high as it can be.
///
/// `loaded` is what the loader has put there, as a rule all that follows the setup code in the file: `syssize`
/// says nothing before 2.04.
///
/// ```
/// use bootimg::{BzImage, boot_params::initrd_address};
///
/// # let file = include_bytes!("../../testdata/memtest86+x64.bin");
/// let kernel = BzImage::parse(file)?;
/// let loaded = 0..kernel.protected_mode().len() as u64;
/// // It needs 0x10_0000..0x16_acf8, and its code has 0..0x2_2db8: there is room above, and between.
/// let header = kernel.header();
/// assert_eq!(initrd_address(header, loaded.clone(), 0x1000..0x20_0000, 0x5_0000)?, Some(0x1b_0000));
/// assert_eq!(initrd_address(header, loaded.clone(), 0x1000..0x20_0000, 0xa_0000)?, Some(0x6_0000));
/// assert_eq!(initrd_address(header, loaded, 0x1000..0x20_0000, 0x10_0000)?, None);
/// # Ok::<(), bootimg::Error>(())
/// ```
///
/// # Errors
///
/// What [`Header::runtime`] finds since 2.10.
///
/// Source: Linux `Documentation/arch/x86/boot.rst`, `init_size` and `initrd_addr_max`.
pub fn initrd_address(
    header: &Header<'_>,
    loaded: Range<u64>,
    ram: Range<u64>,
    size: u64,
) -> Result<Option<u64>> {
    let needed = match header.runtime() {
        Ok(runtime) => runtime.at(loaded.start),
        Err(Error::Unsupported { .. }) => Some(loaded.clone()),
        Err(error) => return Err(error),
    };
    let Some(needed) = needed else {
        return Ok(None);
    };
    let end = if above_4g(header) {
        ram.end
    } else {
        // Of 32 bits.
        let limit = u64::from(header.initrd_addr_max()).saturating_add(1);
        ram.end.min(limit)
    };
    let highest = |free: Range<u64>| {
        let start = free.end.min(end).checked_sub(size)?;
        // Down to a page: the remainder is less.
        let start = start.saturating_sub(start % PAGE);
        (start >= free.start.max(ram.start)).then_some(start)
    };
    let (lower, upper) = if needed.start < loaded.start {
        (needed, loaded)
    } else {
        (loaded, needed)
    };
    let free = [
        lower.end.max(upper.end)..u64::MAX,
        lower.end..upper.start,
        0..lower.start,
    ];
    Ok(free.into_iter().find_map(highest))
}
