//! The registers that hold the mode and the roots.
//!
//! ```text
//!  TCR_EL1     59    34  32 31  30 29 24 23   22 21  16 15  14 13  8 7    6 5   0
//!              │DS│ … │ IPS │ TG1 │  …  │EPD1│  │ T1SZ │ TG0 │  …  │EPD0│  │T0SZ│
//!  TTBRn_EL1   63    48 47                          6 5       2 1 0
//!              │ ASID  │ root, bits 47:6             │ (51:48) │ │CnP│    51:48 where physical addresses
//!                                                                        have 52 bits
//! ```
//!
//! Source: Arm ARM (DDI 0487), chapter D24, `TCR_EL1`, `TTBR0_EL1`, `TTBR1_EL1`.

use physmem::PhysAddr;

use super::{AArch64, Granule, Half, Output};

impl AArch64 {
    /// The mode that a value of `TCR_EL1` sets for one half; `None` if there is no such mode, or if the
    /// half is switched off (`EPDn`).
    ///
    /// With 64 KiB granules `IPS` tells 48 bits from 52, with smaller ones `DS` does.
    pub const fn from_tcr(tcr: u64, half: Half) -> Option<Self> {
        let (size, off, granule) = match half {
            Half::Lower => (
                tcr & 0x3f,
                tcr >> 7 & 1,
                match tcr >> 14 & 3 {
                    0 => Granule::K4,
                    1 => Granule::K64,
                    2 => Granule::K16,
                    _ => return None,
                },
            ),
            Half::Upper => (
                tcr >> 16 & 0x3f,
                tcr >> 23 & 1,
                match tcr >> 30 & 3 {
                    1 => Granule::K16,
                    2 => Granule::K4,
                    3 => Granule::K64,
                    _ => return None,
                },
            ),
        };
        let wide = match granule {
            Granule::K4 | Granule::K16 => tcr >> 59 & 1 == 1,
            Granule::K64 => tcr >> 32 & 7 == 6,
        };
        if off == 1 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "masked to six bits")]
        let va_bits = 64 - size as u8;
        let output = if wide { Output::Bits52 } else { Output::Bits48 };
        Self::try_new(half, granule, va_bits, output)
    }

    /// The root table's address that a value of `TTBR0_EL1` or `TTBR1_EL1` holds. Not the value itself:
    /// its high bits are an address space's number, and its low ones, where physical addresses have 52
    /// bits, the high ones of the address.
    pub const fn root_of(self, ttbr: u64) -> PhysAddr {
        let low = ttbr & 0xffff_ffff_ffff;
        PhysAddr::new(if self.high == 0 {
            // Not CnP, which is no address where it lies among the bits of a tiny root.
            low & !1
        } else {
            low & !0x3f | (ttbr >> 2 & 0xf) << 48
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

    fn mode(granule: Granule, va_bits: u8, output: Output) -> AArch64 {
        AArch64::try_new(Half::Upper, granule, va_bits, output).unwrap()
    }

    /// `TCR_EL1` and `TTBR1_EL1` of a Linux 6.12 guest with LPA2 under QEMU (`-cpu max`).
    #[test]
    fn registers_tell_mode_and_root() {
        let tcr = 0x0950_01f6_b54c_350c;
        let upper = AArch64::from_tcr(tcr, Half::Upper).unwrap();
        assert_eq!(upper, mode(Granule::K4, 52, Output::Bits52));
        assert_eq!((upper.half(), upper.va_bits()), (Half::Upper, 52));
        assert_eq!(
            upper.root_of(0x0002_0000_41f1_6001),
            PhysAddr::new(0x41f1_6000)
        );
        assert_eq!(
            upper.root_of(0x0002_8000_41f1_603d),
            PhysAddr::new(0x000f_8000_41f1_6000)
        );
        let lower = AArch64::from_tcr(tcr, Half::Lower).unwrap();
        assert_eq!((lower.half(), lower.levels()), (Half::Lower, 5));
        assert_eq!(AArch64::from_tcr(tcr | 1 << 23, Half::Upper), None, "EPD1");
        assert_eq!(AArch64::from_tcr(tcr | 3 << 14, Half::Lower), None, "TG0");
        assert_eq!(
            AArch64::from_tcr(tcr & !(3 << 30), Half::Upper),
            None,
            "TG1"
        );
        assert_eq!(
            AArch64::from_tcr(tcr & !(1 << 59), Half::Upper),
            None,
            "52 bits without DS"
        );

        // 64 KiB granules (TG1 = 3), T1SZ = 16: IPS = 6 makes it LPA, 5 does not.
        let tcr = 3 << 30 | 16 << 16 | 16;
        let wide = AArch64::from_tcr(tcr | 6 << 32, Half::Upper);
        assert_eq!(wide, Some(mode(Granule::K64, 48, Output::Bits52)));
        let plain = AArch64::from_tcr(tcr | 5 << 32, Half::Upper).unwrap();
        assert_eq!(plain, mode(Granule::K64, 48, Output::Bits48));
        assert_eq!(
            plain.root_of(0x0001_8000_0042_1e01),
            PhysAddr::new(0x8000_0042_1e00)
        );
    }
}
