//! Paging modes by name: what is chosen by hand where no dump and no register tells.
//!
//! ```text
//!  x86_64   4-level  5-level                 32-bit x86   32-bit  pae        riscv64   sv39  sv48  sv57
//!  aarch64  aarch64-GRANULE-VABITS[-lpa|-lpa2][-lower]     aarch64-4k-48  aarch64-16k-52-lpa2  aarch64-64k-52-lpa
//!  ppc64    radix-4k  radix-64k, either with -lower
//!  s390x    (segment|region-third|region-second|region-first)[-tlLENGTH]      region-third  region-first-tl1
//! ```
//!
//! The names are the manuals' own: "4-level paging", "PAE paging" (Intel SDM volume 3, chapter 5), Sv48 (RISC-V
//! privileged specification), FEAT_LPA and FEAT_LPA2 (Arm ARM), the table that an ASCE designates and its length, if
//! it is not whole (z/Architecture Principles of Operation).

use core::{fmt, str::FromStr};

use physmem::PhysAddr;

use crate::{
    aarch64::{AArch64, Granule, Half, Output},
    any::{AnyWalker, each},
    arch::Arch,
    ppc64::Ppc64,
    riscv::RiscV64,
    s390x::S390x,
    walker::Walker,
    x86::{X86, X86Pae},
    x86_64::X86_64,
};

/// A paging mode of any architecture: all of an [`AnyWalker`] but the root.
///
/// Prints as its name, which parses as the same mode, without a mask for encrypted memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// x86_64.
    X86_64(X86_64),
    /// 32-bit x86 with two levels.
    X86(X86),
    /// 32-bit x86 with PAE.
    X86Pae(X86Pae),
    /// aarch64.
    AArch64(AArch64),
    /// riscv64.
    RiscV64(RiscV64),
    /// s390x.
    S390x(S390x),
    /// ppc64.
    Ppc64(Ppc64),
}

/// No paging mode has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no paging mode has this name: expected 4-level, 5-level, 32-bit, pae, sv39, sv48, sv57, radix-4k or radix-64k \
     (with -lower for a process), segment, region-third, region-second, region-first (with -tl0, -tl1 or -tl2 for a \
     shorter root), or \
     aarch64-GRANULE-BITS[-lpa|-lpa2][-lower] with a granule of 4k, 16k or 64k"
)]
pub struct UnknownMode;

impl Mode {
    /// The walker of this mode from a root.
    pub fn with_root(self, root: PhysAddr) -> AnyWalker {
        each!(AnyWalker <- Self, self, mode => Walker::new(mode, root))
    }
}

impl AnyWalker {
    /// Its paging mode.
    pub fn mode(&self) -> Mode {
        each!(Mode <- Self, self, walker => walker.arch())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X86_64(mode) => write!(f, "{}-level", mode.levels()),
            Self::X86(_) => f.write_str("32-bit"),
            Self::X86Pae(_) => f.write_str("pae"),
            Self::RiscV64(mode) => write!(f, "sv{}", 9 * mode.levels() + 12),
            Self::Ppc64(mode) => {
                let size = 1 << (mode.page_shift() - 10);
                let half = if mode.is_lower() { "-lower" } else { "" };
                write!(f, "radix-{size}k{half}")
            }
            Self::S390x(mode) => {
                f.write_str(s390x_name(*mode))?;
                match mode.length() {
                    3 => Ok(()),
                    length => write!(f, "-tl{length}"),
                }
            }
            Self::AArch64(mode) => {
                let size = 1 << (mode.granule().shift() - 10);
                write!(f, "aarch64-{size}k-{}", mode.va_bits())?;
                f.write_str(match (mode.output_size(), mode.granule()) {
                    (Output::Bits48, _) => "",
                    (Output::Bits52, Granule::K64) => "-lpa",
                    (Output::Bits52, _) => "-lpa2",
                })?;
                f.write_str(match mode.half() {
                    Half::Upper => "",
                    Half::Lower => "-lower",
                })
            }
        }
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        Ok(match name {
            "4-level" => Self::X86_64(X86_64::four_level()),
            "5-level" => Self::X86_64(X86_64::five_level()),
            "32-bit" => Self::X86(X86::new()),
            "pae" => Self::X86Pae(X86Pae::new()),
            "sv39" => Self::RiscV64(RiscV64::sv39()),
            "sv48" => Self::RiscV64(RiscV64::sv48()),
            "sv57" => Self::RiscV64(RiscV64::sv57()),
            "radix-4k" => Self::Ppc64(Ppc64::radix_4k()),
            "radix-4k-lower" => Self::Ppc64(Ppc64::radix_4k().lower()),
            "radix-64k" => Self::Ppc64(Ppc64::radix_64k()),
            "radix-64k-lower" => Self::Ppc64(Ppc64::radix_64k().lower()),
            _ => aarch64(name)
                .map(Self::AArch64)
                .or_else(|| s390x(name).map(Self::S390x))
                .ok_or(UnknownMode)?,
        })
    }
}

fn s390x_name(mode: S390x) -> &'static str {
    match mode.levels() {
        2 => "segment",
        3 => "region-third",
        4 => "region-second",
        _ => "region-first",
    }
}

fn s390x(name: &str) -> Option<S390x> {
    let (name, length) = match name.rsplit_once("-tl") {
        Some((name, "0")) => (name, 0),
        Some((name, "1")) => (name, 1),
        Some((name, "2")) => (name, 2),
        Some(_) => return None,
        None => (name, 3),
    };
    let modes = [
        S390x::segment(),
        S390x::region_third(),
        S390x::region_second(),
        S390x::region_first(),
    ];
    let mode = modes.into_iter().find(|mode| s390x_name(*mode) == name)?;
    Some(mode.with_length(length))
}

fn aarch64(name: &str) -> Option<AArch64> {
    let name = name.strip_prefix("aarch64-")?;
    let (name, half) = match name.strip_suffix("-lower") {
        Some(name) => (name, Half::Lower),
        None => (name, Half::Upper),
    };
    let (granule, rest) = name.split_once('-')?;
    let granule = match granule {
        "4k" => Granule::K4,
        "16k" => Granule::K16,
        "64k" => Granule::K64,
        _ => return None,
    };
    let (bits, output) = match (rest.split_once('-'), granule) {
        (None, _) => (rest, Output::Bits48),
        (Some((bits, "lpa")), Granule::K64)
        | (Some((bits, "lpa2")), Granule::K4 | Granule::K16) => (bits, Output::Bits52),
        _ => return None,
    };
    AArch64::try_new(half, granule, bits.parse().ok()?, output)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_mode_has_a_name_that_parses_as_it() {
        let granules = [Granule::K4, Granule::K16, Granule::K64];
        let mut modes = std::vec![
            Mode::X86_64(X86_64::four_level()),
            Mode::X86_64(X86_64::five_level()),
            Mode::X86(X86::new()),
            Mode::X86Pae(X86Pae::new()),
            Mode::RiscV64(RiscV64::sv39()),
            Mode::RiscV64(RiscV64::sv48()),
            Mode::RiscV64(RiscV64::sv57()),
            Mode::Ppc64(Ppc64::radix_4k()),
            Mode::Ppc64(Ppc64::radix_4k().lower()),
            Mode::Ppc64(Ppc64::radix_64k()),
            Mode::Ppc64(Ppc64::radix_64k().lower()),
        ];
        for mode in [
            S390x::segment(),
            S390x::region_third(),
            S390x::region_second(),
            S390x::region_first(),
        ] {
            modes.extend((0..4).map(|length| Mode::S390x(mode.with_length(length))));
        }
        for granule in granules {
            for output in [Output::Bits48, Output::Bits52] {
                for half in [Half::Lower, Half::Upper] {
                    let mode = |bits| AArch64::try_new(half, granule, bits, output);
                    modes.extend((0..=64).filter_map(mode).map(Mode::AArch64));
                }
            }
        }
        for mode in modes {
            assert_eq!(mode.to_string().parse(), Ok(mode), "{mode}");
            assert_eq!(mode.with_root(PhysAddr::new(0x5000)).mode(), mode);
        }
    }

    #[test]
    fn names_as_they_are_printed() {
        let name = |mode: AArch64| Mode::AArch64(mode).to_string();
        let upper = |granule, bits, output| AArch64::try_new(Half::Upper, granule, bits, output);
        let mode = upper(Granule::K64, 52, Output::Bits52).unwrap();
        assert_eq!(name(mode), "aarch64-64k-52-lpa");
        let mode = AArch64::try_new(Half::Lower, Granule::K16, 52, Output::Bits52).unwrap();
        assert_eq!(name(mode), "aarch64-16k-52-lpa2-lower");
        assert_eq!(Mode::RiscV64(RiscV64::sv48()).to_string(), "sv48");
        let mode = S390x::region_third();
        assert_eq!(Mode::S390x(mode).to_string(), "region-third");
        let short = Mode::S390x(mode.with_length(1));
        assert_eq!(short.to_string(), "region-third-tl1");
    }

    #[test]
    fn other_names_are_no_modes() {
        for name in [
            "",
            "Sv48",
            "3-level",
            "aarch64",
            "aarch64-4k-52",
            "aarch64-8k-48",
            "aarch64-4k-48-lpa",
            "aarch64-4k-",
            "aarch64-64k-53",
            "region",
            "region-third-tl3",
            "sv39-tl1",
            "radix-16k",
        ] {
            assert_eq!(name.parse::<Mode>(), Err(UnknownMode), "{name}");
        }
    }
}
