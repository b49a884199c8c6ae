//! Lengths for addresses and sizes: in proportion where that shows everything, else by doublings.
//!
//! ```text
//!   linear         0         1         2         3         4
//!   logarithmic    1    2    4    8    16      between two powers of two in proportion
//! ```

use crate::output::binary_size;

/// From values to lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From 0 to this value.
    Linear(u64),
    /// From the first value, below which all is at 0, to the second.
    Log(u64, u64),
}

impl Scale {
    /// A scale up to `most`: linear if `smallest` is one of `steps` then, else logarithmic from `least`.
    pub(super) fn new(smallest: u64, least: u64, most: u64, steps: u64) -> Self {
        if u128::from(smallest) * u128::from(steps) >= u128::from(most) {
            Self::Linear(most)
        } else {
            Self::Log(least.max(1), most)
        }
    }

    /// How long `value` is if the highest value is as long as `length`.
    pub(super) fn at(self, value: u64, length: u64) -> u64 {
        let (part, whole) = match self {
            Self::Linear(most) => (value.min(most), most),
            Self::Log(least, most) => {
                let above = |value: u64| doublings(value.clamp(least, most)) - doublings(least);
                (above(value), above(most))
            }
        };
        let scaled = u128::from(part) * u128::from(length) / u128::from(whole.max(1));
        // Not above `length`, as no part is above the whole.
        u64::try_from(scaled).unwrap_or(length)
    }

    /// Round values that lie on it, ascending, with what they are called.
    pub(super) fn ticks(self) -> Vec<(u64, String)> {
        let label = |value: u64| (value, short(value));
        match self {
            Self::Linear(most) => {
                let step = (most / 6).checked_next_power_of_two().unwrap_or(1 << 63);
                let values = (0..=7).map_while(|n| step.checked_mul(n));
                values
                    .take_while(|&value| value <= most)
                    .map(label)
                    .collect()
            }
            Self::Log(least, most) => {
                let values = (0..64).step_by(4).map(|power| 1_u64 << power);
                let inside = values.filter(|value| (least..=most).contains(value));
                inside.map(label).collect()
            }
        }
    }
}

/// How often 1 was doubled to make `value`, in parts of 2^10; in proportion between powers of two.
fn doublings(value: u64) -> u64 {
    let whole = value.max(1).ilog2();
    let rest = value.max(1) - (1 << whole);
    let parts = match whole.checked_sub(10) {
        Some(shift) => rest >> shift,
        None => rest << (10 - whole),
    };
    (u64::from(whole) << 10) + parts
}

/// A round value in few characters: `64K`, `4G`.
fn short(value: u64) -> String {
    let size = binary_size(value.into());
    let (number, unit) = size.split_once(' ').unwrap_or((&size, ""));
    let number = number.strip_suffix(".00").unwrap_or(number);
    let unit = unit.strip_suffix("iB").unwrap_or_default();
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_where_everything_shows() {
        let scale = Scale::new(10, 10, 100, 10);
        assert_eq!(scale, Scale::Linear(100));
        assert_eq!(
            [0, 5, 50, 100, 101].map(|value| scale.at(value, 1000)),
            [0, 50, 500, 1000, 1000]
        );
        assert_eq!(Scale::new(9, 10, 100, 10), Scale::Log(10, 100));
        assert_eq!(Scale::Linear(u64::MAX).at(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn each_doubling_is_as_long_as_the_other() {
        let scale = Scale::Log(0x1000, 0x1000 << 10);
        let at = |value| scale.at(value, 100);
        assert_eq!(
            [0, 0x1000, 0x2000, 0x3000, 0x4000, 0x40_0000].map(at),
            [0, 0, 10, 15, 20, 100]
        );
        let all = Scale::Log(1, u64::MAX);
        assert_eq!(all.at(1 << 32, 64_000), 32_000);
        let values = (0..64).map(|power| all.at(1 << power, 64_000));
        assert!(values.is_sorted());
        // One value only.
        assert_eq!(Scale::Log(5, 5).at(5, 100), 0);
        assert_eq!(Scale::Linear(0).at(0, 100), 0);
    }

    #[test]
    fn ticks_are_round_and_on_the_scale() {
        let labels = |scale: Scale| {
            scale
                .ticks()
                .into_iter()
                .map(|(_, label)| label)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            labels(Scale::Log(0x800, 0xff_ffff_ffff)),
            ["4K", "64K", "1M", "16M", "256M", "4G", "64G"]
        );
        assert_eq!(
            labels(Scale::Linear(6 << 30)),
            ["0", "1G", "2G", "3G", "4G", "5G", "6G"]
        );
        assert_eq!(labels(Scale::Linear(u64::MAX)).len(), 4);
        for (value, _) in Scale::Linear(1000).ticks() {
            assert!(value <= 1000);
        }
    }
}
