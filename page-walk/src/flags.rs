//! How flags print, the same in every architecture: the names of the bits that are set, then the
//! nameless ones in hex.

use core::fmt;

/// Prints `bits`: `RW NX G 0x800`, or `-` for none. A name may stand for several bits that are set
/// together.
pub(crate) fn print(bits: u64, names: &[(u64, &str)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = bits;
    let mut space = "";
    for (bits, name) in names {
        if rest & bits == *bits {
            rest &= !bits;
            write!(f, "{space}{name}")?;
            space = " ";
        }
    }
    match (rest, space) {
        (0, "") => f.write_str("-"),
        (0, _) => Ok(()),
        (bits, _) => write!(f, "{space}{bits:#x}"),
    }
}
