//! `screen_info`: the display that a kernel finds, as far as a loader tells.
//!
//! ```text
//!  00 orig_x 1              10 orig_video_points 2   26 red_size 1, red_pos 1
//!  01 orig_y 1              12 lfb_width 2           28 green_size 1, green_pos 1
//!  06 orig_video_mode 1     14 lfb_height 2          2a blue_size 1, blue_pos 1
//!  07 orig_video_cols 1     16 lfb_depth 2           2c rsvd_size 1, rsvd_pos 1
//!  0e orig_video_lines 1    18 lfb_base 4            36 capabilities 4
//!  0f orig_video_isVGA 1    1c lfb_size 4            3a ext_lfb_base 4
//!                           24 lfb_linelength 2
//! ```
//!
//! Source: `struct screen_info` in Linux `include/uapi/linux/screen_info.h`; `include/linux/screen_info.h`
//! for `lfb_size`, which counts 64 KiB for VESA and bytes for EFI.

#![deny(clippy::arithmetic_side_effects)]

use zerocopy::{
    FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

use super::halves;
use crate::error::{Error, Field, Result};

/// Bytes of `struct screen_info`.
const SIZE: usize = 0x40;
/// `orig_video_isVGA` where there is one and no more is known; the kernel's setup code writes the same.
const IS_VGA: u8 = 1;
/// `VIDEO_CAPABILITY_64BIT_BASE`
const BASE_64BIT: u32 = 1 << 1;
/// Unit of `lfb_size` for VESA, in bytes.
const VESA_UNIT: u64 = 1 << 16;
/// Where `lfb_size` is.
const LFB_SIZE_AT: u64 = 0x1c;

const LFB_SIZE: Field = Field {
    name: "size of the frame buffer",
    allowed: "below 4 GiB for EFI, a multiple of 64 KiB below 256 TiB for VESA",
};

#[derive(FromZeros, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    orig_x: u8,
    orig_y: u8,
    ext_mem_k: U16,
    orig_video_page: U16,
    orig_video_mode: u8,
    orig_video_cols: u8,
    flags: u8,
    unused2: u8,
    orig_video_ega_bx: U16,
    unused3: U16,
    orig_video_lines: u8,
    orig_video_is_vga: u8,
    orig_video_points: U16,
    lfb_width: U16,
    lfb_height: U16,
    lfb_depth: U16,
    lfb_base: U32,
    lfb_size: U32,
    cl_magic: U16,
    cl_offset: U16,
    lfb_linelength: U16,
    channels: [[u8; 2]; 4],
    vesapm_seg: U16,
    vesapm_off: U16,
    pages: U16,
    vesa_attributes: U16,
    capabilities: U32,
    ext_lfb_base: U32,
    reserved: [u8; 2],
}

const _: () = assert!(size_of::<Wire>() == SIZE);
const _: () = assert!(core::mem::offset_of!(Wire, lfb_size) as u64 == LFB_SIZE_AT);
const _: () = assert!(core::mem::offset_of!(Wire, ext_lfb_base) == 0x3a);

impl Wire {
    fn into_bytes(self) -> [u8; SIZE] {
        zerocopy::transmute!(self)
    }
}

/// A VGA in text mode, for [`set_screen_info`](super::BootParams::set_screen_info).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextScreen {
    /// `orig_video_mode`: the BIOS's number, 3 for 80 columns in colours.
    pub mode: u8,
    /// `orig_video_cols`
    pub columns: u8,
    /// `orig_video_lines`
    pub lines: u8,
    /// `orig_video_points`: lines of a character.
    pub points: u16,
    /// `orig_x`, `orig_y`: where the cursor is.
    pub cursor: (u8, u8),
}

impl TextScreen {
    /// The bytes of the structure.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIZE] {
        let mut wire = Wire::new_zeroed();
        (wire.orig_x, wire.orig_y) = self.cursor;
        wire.orig_video_mode = self.mode;
        wire.orig_video_cols = self.columns;
        wire.orig_video_lines = self.lines;
        wire.orig_video_points = self.points.into();
        wire.orig_video_is_vga = IS_VGA;
        wire.into_bytes()
    }
}

/// Who has set a frame buffer up, by the driver that the kernel takes for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameBufferKind {
    /// `VIDEO_TYPE_VLFB`
    Vesa = 0x23,
    /// `VIDEO_TYPE_EFI`
    Efi = 0x70,
}

/// The bits of a colour in a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Channel {
    /// How many.
    pub size: u8,
    /// The lowest of them.
    pub pos: u8,
}

/// A linear frame buffer, for [`set_screen_info`](super::BootParams::set_screen_info).
///
/// ```
/// use bootimg::boot_params::{Channel, FrameBuffer, FrameBufferKind};
///
/// let channel = |pos| Channel { size: 8, pos };
/// let screen = FrameBuffer {
///     kind: FrameBufferKind::Efi,
///     base: 0x8000_0000,
///     size: 1280 * 800 * 4,
///     width: 1280,
///     height: 800,
///     depth: 32,
///     line_length: 1280 * 4,
///     red: channel(16),
///     green: channel(8),
///     blue: channel(0),
///     reserved: channel(24),
/// };
/// let bytes = screen.to_bytes()?;
/// assert_eq!(bytes[0x12..0x18], *b"\x00\x05\x20\x03\x20\x00");
/// # Ok::<(), bootimg::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameBuffer {
    /// `orig_video_isVGA`
    pub kind: FrameBufferKind,
    /// `lfb_base`, `ext_lfb_base`: physical address.
    pub base: u64,
    /// `lfb_size`, in bytes.
    pub size: u64,
    /// `lfb_width`, in pixels.
    pub width: u16,
    /// `lfb_height`, in pixels.
    pub height: u16,
    /// `lfb_depth`: bits of a pixel.
    pub depth: u16,
    /// `lfb_linelength`: bytes from line to line.
    pub line_length: u16,
    /// `red_size`, `red_pos`
    pub red: Channel,
    /// `green_size`, `green_pos`
    pub green: Channel,
    /// `blue_size`, `blue_pos`
    pub blue: Channel,
    /// `rsvd_size`, `rsvd_pos`: what of a pixel is no colour.
    pub reserved: Channel,
}

impl FrameBuffer {
    /// The bytes of the structure.
    ///
    /// # Errors
    ///
    /// [`Error::BadField`] for a size that `lfb_size` cannot hold, in its unit.
    pub fn to_bytes(&self) -> Result<[u8; SIZE]> {
        let unit = match self.kind {
            FrameBufferKind::Vesa => VESA_UNIT,
            FrameBufferKind::Efi => 1,
        };
        let units = self.size.checked_div(unit).map(u32::try_from);
        let (Some(Ok(size)), Some(0)) = (units, self.size.checked_rem(unit)) else {
            return Err(Error::BadField {
                field: &LFB_SIZE,
                offset: LFB_SIZE_AT,
                value: self.size,
            });
        };
        let [base, ext_base] = halves(self.base);
        let mut wire = Wire::new_zeroed();
        wire.orig_video_is_vga = self.kind as u8;
        wire.lfb_width = self.width.into();
        wire.lfb_height = self.height.into();
        wire.lfb_depth = self.depth.into();
        wire.lfb_base = base.into();
        wire.lfb_size = size.into();
        wire.lfb_linelength = self.line_length.into();
        wire.channels = [self.red, self.green, self.blue, self.reserved]
            .map(|channel| [channel.size, channel.pos]);
        wire.ext_lfb_base = ext_base.into();
        if ext_base != 0 {
            wire.capabilities = BASE_64BIT.into();
        }
        Ok(wire.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn screen(kind: FrameBufferKind, base: u64, size: u64) -> Result<[u8; SIZE]> {
        FrameBuffer {
            kind,
            base,
            size,
            width: 0x0102,
            height: 0x0304,
            depth: 0x0506,
            line_length: 0x0708,
            red: Channel { size: 1, pos: 2 },
            green: Channel { size: 3, pos: 4 },
            blue: Channel { size: 5, pos: 6 },
            reserved: Channel { size: 7, pos: 8 },
        }
        .to_bytes()
    }

    #[test]
    fn every_field_is_where_the_kernel_says() {
        let base = 0x1122_3344_5566_7788;
        let mut expected = [0; SIZE];
        expected[0xf] = 0x23;
        expected[0x12..0x20]
            .copy_from_slice(b"\x02\x01\x04\x03\x06\x05\x88\x77\x66\x55\x04\x03\x02\x01");
        expected[0x24..0x2e].copy_from_slice(b"\x08\x07\x01\x02\x03\x04\x05\x06\x07\x08");
        expected[0x36] = 2;
        expected[0x3a..0x3e].copy_from_slice(b"\x44\x33\x22\x11");
        assert_eq!(
            screen(FrameBufferKind::Vesa, base, 0x0102_0304_0000),
            Ok(expected)
        );
        // Below 4 GiB, and in bytes.
        let found = screen(FrameBufferKind::Efi, 0x5566_7788, 0x0102_0304);
        expected[0xf] = 0x70;
        expected[0x36..].fill(0);
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn sizes_that_the_field_cannot_hold() {
        for (kind, size) in [
            (FrameBufferKind::Efi, 1 << 32),
            (FrameBufferKind::Vesa, 1 << 48),
            (FrameBufferKind::Vesa, 0x1_8000),
        ] {
            let rule = "below 4 GiB for EFI, a multiple of 64 KiB below 256 TiB for VESA";
            assert_eq!(
                screen(kind, 0, size).unwrap_err().to_string(),
                std::format!("offset 0x1c: size of the frame buffer is {size:#x}, allowed: {rule}")
            );
        }
    }
}
