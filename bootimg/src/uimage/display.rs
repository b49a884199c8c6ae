//! What `mkimage -l` prints, with times in UTC.
//!
//! Of a name that is not UTF-8, or not for a terminal, it prints the bytes as they are; here they are
//! escaped one by one, as `\x1b`.

use core::fmt;

use super::{SIZE, Uimage, codes::Type, parts::words};

impl fmt::Display for Uimage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header();
        write!(f, "Image Name:   ")?;
        for chunk in header.name().utf8_chunks() {
            for char in chunk.valid().chars() {
                if char.is_control() && char != '\t' {
                    let mut bytes = [0; 4];
                    let bytes = char.encode_utf8(&mut bytes).as_bytes();
                    write!(f, "{}", bytes.escape_ascii())?;
                } else {
                    write!(f, "{char}")?;
                }
            }
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        writeln!(f, "\nCreated:      {}", Ctime(header.time))?;
        writeln!(
            f,
            "Image Type:   {} {} {} ({})",
            header.arch.long_name(),
            header.os.long_name(),
            header.kind.long_name(),
            header.compression.long_name()
        )?;
        writeln!(f, "Data Size:    {}", Size(header.size))?;
        writeln!(f, "Load Address: {:08x}", header.load)?;
        writeln!(f, "Entry Point:  {:08x}", header.entry)?;
        if header.kind.has_table() {
            // As far as the table goes, whatever its sizes say.
            let data = self.file.get(SIZE..).unwrap_or_default();
            let len = usize::try_from(header.size).unwrap_or(usize::MAX);
            let data = data.get(..len).unwrap_or(data);
            let sizes = words(data).map(u32::from_be_bytes);
            writeln!(f, "Contents:")?;
            for (index, size) in sizes.take_while(|size| *size != 0).enumerate() {
                writeln!(f, "   Image {index}: {}", Size(size))?;
            }
        } else if header.kind == Type::FIRMWARE_IVT {
            // In 32 bits, as mkimage calculates: from the header on, without the vector table's pad.
            let start = header.load.wrapping_sub(0x40);
            let len = header.size.wrapping_sub(0x2000);
            writeln!(f, "HAB Blocks:   {start:#010x}   0x0000   {len:#010x}")?;
        }
        Ok(())
    }
}

/// Bytes, KiB and MiB.
struct Size(u32);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = f64::from(self.0);
        let (kib, mib) = (size / 1024.0, size / 1_048_576.0);
        write!(f, "{} Bytes = {kib:.2} KiB = {mib:.2} MiB", self.0)
    }
}

/// Seconds since 1970 as `ctime()` prints them in UTC, without the newline.
struct Ctime(u32);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl fmt::Display for Ctime {
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "no more than 49,711 days come of 32 bits of seconds; constants divide"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        // Years that begin in March, so that a leap day is a year's last: era of 400 years, year of
        // the era, day of the year, months of 153 days in five.
        let shifted = days + 719_468;
        let (era, day) = (shifted / 146_097, shifted % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = (month + 2) % 12;
        let year = era * 400 + year + u32::from(month < 2);
        let name = |names: &[&'static str], at: u32| {
            let at = usize::try_from(at).unwrap_or_default();
            names.get(at).copied().unwrap_or_default()
        };
        let (weekday, month) = (name(&DAYS, days % 7), name(&MONTHS, month));
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(
            f,
            "{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn times_as_ctime_prints_them() {
        for (time, text) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (68_169_599, "Mon Feb 28 23:59:59 1972"),
            (68_169_600, "Tue Feb 29 00:00:00 1972"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (1_700_000_000, "Tue Nov 14 22:13:20 2023"),
            (1_735_689_599, "Tue Dec 31 23:59:59 2024"),
            (0x8000_0000, "Tue Jan 19 03:14:08 2038"),
            (4_107_542_399, "Sun Feb 28 23:59:59 2100"),
            (4_107_542_400, "Mon Mar  1 00:00:00 2100"),
            (u32::MAX, "Sun Feb  7 06:28:15 2106"),
        ] {
            assert_eq!(Ctime(time).to_string(), text);
        }
    }

    #[test]
    fn sizes_are_rounded_as_printf_rounds() {
        for (size, text) in [
            (0, "0 Bytes = 0.00 KiB = 0.00 MiB"),
            (5243, "5243 Bytes = 5.12 KiB = 0.01 MiB"),
            (9_885_327, "9885327 Bytes = 9653.64 KiB = 9.43 MiB"),
            (
                1_862_270_976,
                "1862270976 Bytes = 1818624.00 KiB = 1776.00 MiB",
            ),
        ] {
            assert_eq!(Size(size).to_string(), text);
        }
    }
}
