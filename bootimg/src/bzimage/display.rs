//! What `file` prints of a bzImage.
//!
//! It takes some words of the boot sector for what they were before protocol 2.00: `swap_dev` is
//! the high half of `syssize`. Those of `kernel_version` it believes in any case.
//!
//! Source: `magic/Magdir/linux` of file 5.44.

use core::fmt;

use super::{BzImage, VERSION_BASE};

/// Bytes of a string that `file` shows at most.
const MAX_STRING: usize = 127;

impl fmt::Display for BzImage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header();
        f.write_str("Linux kernel x86 boot executable")?;
        match header.loadflags().bits() {
            0 => f.write_str(" zImage,")?,
            1 => f.write_str(" bzImage,")?,
            _ => {}
        }
        let version = version(self).unwrap_or_default();
        if !version.is_empty() {
            f.write_str(" version ")?;
            version.iter().try_for_each(|&byte| match byte {
                b' '..=b'~' => write!(f, "{}", char::from(byte)),
                _ => write!(f, "\\{byte:03o}"),
            })?;
            f.write_str(",")?;
        }
        f.write_str(match header.root_flags() {
            0 => " RW-rootFS,",
            1 => " RO-rootFS,",
            _ => "",
        })?;
        let positive = |word| (1..0x8000_u16).contains(&word);
        if positive(header.root_dev()) {
            write!(f, " root_dev 0X{:X},", header.root_dev())?;
        }
        if positive(header.swap_dev()) {
            write!(f, " swap_dev 0X{:X},", header.swap_dev())?;
        }
        if positive(header.ram_size()) {
            write!(f, " RAMdisksize {} KB,", header.ram_size())?;
        }
        match header.vid_mode() {
            0xffff => f.write_str(" Normal VGA"),
            0xfffe => f.write_str(" Extended VGA"),
            0xfffd => f.write_str(" Prompt for Videomode"),
            mode if positive(mode) => write!(f, " Video mode {mode}"),
            _ => Ok(()),
        }
    }
}

/// The bytes `kernel_version` points to, wherever that is, if it, `type_of_loader` and `loadflags`
/// are a positive number together.
fn version<'a>(image: &BzImage<'a>) -> Option<&'a [u8]> {
    let header = &image.header;
    let [low, high] = header.kernel_version().to_le_bytes();
    let (loader, flags) = (header.type_of_loader(), header.loadflags().bits());
    if i32::from_le_bytes([low, high, loader, flags]) <= 0 {
        return None;
    }
    let start = usize::from(header.kernel_version()).checked_add(VERSION_BASE)?;
    let found = image.file.get(start..)?;
    let found = found.get(..MAX_STRING).unwrap_or(found);
    found.split(|byte| b"\0\r\n".contains(byte)).next()
}
