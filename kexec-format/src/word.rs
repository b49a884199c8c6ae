//! Words of a machine: what they can hold, and how they are written.

use physmem::{Endian, Width};

/// The highest value of a word.
pub(crate) const fn max(width: Width) -> u64 {
    match width {
        Width::U32 => 0xffff_ffff,
        Width::U64 => u64::MAX,
    }
}

/// Writes `value` to `out`, four bytes or eight; four hold its lower half.
#[inline]
pub(crate) fn encode(value: u64, endian: Endian, out: &mut [u8]) {
    let bytes = match endian {
        Endian::Little => value.to_le_bytes(),
        Endian::Big => value.to_be_bytes(),
    };
    let [first @ .., _, _, _, _] = bytes;
    let [_, _, _, _, last @ ..] = bytes;
    if let Ok(out) = <&mut [u8; 8]>::try_from(&mut *out) {
        *out = bytes;
    } else if let Ok(out) = <&mut [u8; 4]>::try_from(out) {
        *out = match endian {
            Endian::Little => first,
            Endian::Big => last,
        };
    }
}
