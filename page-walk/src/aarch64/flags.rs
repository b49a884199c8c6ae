//! What a descriptor says of a page besides its address.
//!
//! ```text
//!  63   59 58  55 54  53  52   51  50      11 10 9  8 7    6    5  4  2
//!  │ PBHA │ soft │UXN│PXN│CONT│DBM│GP│ … │nG│AF│ SH │RDONLY│USER│NS│ATTR│
//!                                                    └── AP ──┘
//! ```
//!
//! Source: Arm ARM (DDI 0487), chapter D8, "VMSAv8-64 descriptor formats": "Page descriptor" and "Block
//! descriptor" attributes.

use core::fmt;

use crate::flags;

bitflags::bitflags! {
    /// What a descriptor says of a page, each bit where the processor has it in a page descriptor.
    ///
    /// Bits without a name are kept: the memory attribute index (4:2), those for software (58:55), and
    /// what the manual calls implementation defined (62:59). For a table they are those of its bits that
    /// take rights away, moved to where a page has them; `USER` if it leaves that right.
    ///
    /// Prints the names, then the nameless bits in hex: `PXN UXN AF SHARED 0x80000000000000`, or `-`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct Flags: u64 {
        /// `NS`: non-secure.
        const NS = 1 << 5;
        /// `AP[1]`: accesses from EL0 are allowed.
        const USER = 1 << 6;
        /// `AP[2]`: writes are not allowed.
        const RDONLY = 1 << 7;
        /// `SH` = 0b11: inner shareable; in LPA2 formats, where `TCR_EL1` tells it, never set.
        const SHARED = 3 << 8;
        /// Accessed.
        const AF = 1 << 10;
        /// Not global.
        const NG = 1 << 11;
        /// Guarded: branches have to land on a landing pad.
        const GP = 1 << 50;
        /// Dirty bit modifier: the processor clears `RDONLY` at the first write.
        const DBM = 1 << 51;
        /// Contiguous: one of several descriptors in a row, aligned, that map consecutive pages with the
        /// same flags, so that one entry of a TLB may hold them all. It changes no address.
        const CONT = 1 << 52;
        /// Privileged execute never.
        const PXN = 1 << 53;
        /// Unprivileged execute never.
        const UXN = 1 << 54;

        const _ = !0;
    }
}

impl Flags {
    /// The memory attribute index, bits 4:2: which byte of `MAIR_EL1` tells the memory type.
    pub const fn attribute_index(self) -> u8 {
        #[allow(clippy::cast_possible_truncation, reason = "masked to three bits")]
        let index = (self.bits() >> 2 & 7) as u8;
        index
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u64, &str); 11] = [
            (Flags::USER.bits(), "USER"),
            (Flags::RDONLY.bits(), "RDONLY"),
            (Flags::PXN.bits(), "PXN"),
            (Flags::UXN.bits(), "UXN"),
            (Flags::NG.bits(), "NG"),
            (Flags::AF.bits(), "AF"),
            (Flags::SHARED.bits(), "SHARED"),
            (Flags::DBM.bits(), "DBM"),
            (Flags::CONT.bits(), "CONT"),
            (Flags::GP.bits(), "GP"),
            (Flags::NS.bits(), "NS"),
        ];
        flags::print(self.bits(), &NAMES, f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn flags_print_by_name() {
        assert_eq!(Flags::empty().to_string(), "-");
        assert_eq!(
            Flags::all().to_string(),
            "USER RDONLY PXN UXN NG AF SHARED DBM CONT GP NS 0xff83fffffffff01f"
        );
        // Outer shareable is not SHARED.
        let flags = Flags::from_bits_retain(2 << 8 | 4 << 2);
        assert_eq!(flags.to_string(), "0x210");
        assert_eq!(flags.attribute_index(), 4);
    }
}
