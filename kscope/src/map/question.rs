//! Questions to the calculated map.
//!
//! ```text
//!   --gap 4M                        the biggest gap below 4 GiB, if it has as much
//!   --find 64M,align=2M,max=4G      RAM in one piece
//!   --at 9fc00                      what an address is
//!   --crashkernel 512M,high         what a kernel would set aside
//! ```

use std::{ops::RangeInclusive, str::FromStr};

use e820::{
    Direction, GapSearch, Kind, PlaceRequest, Placement,
    crash::Kernel,
    text::{crashkernel::wanted, memparse::memparse},
};
use physmem::{PhysAddr, PhysRange};
use serde::Serialize;

use super::edit::Calculated;
use crate::{
    address::{self, StartEnd},
    output::Hex,
};

/// What may be asked.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Questions, which calculate")]
pub(super) struct Questions {
    /// The biggest gap below 4 GiB, where devices go, if it has SIZE bytes
    #[arg(long, value_name = "SIZE")]
    gap: Vec<Size>,

    /// RAM in one piece, the lowest there is; `min` and `max` are the first and the last byte it may take
    #[arg(long, value_name = "SIZE[,align=…,min=…,max=…,top-down]")]
    find: Vec<Find>,

    /// What is at this address
    #[arg(long, value_name = "ADDR", value_parser = address::physical)]
    at: Vec<PhysAddr>,

    /// What Linux 6.6 and later would set aside for `crashkernel=ARG`; several are one command line
    #[arg(long, value_name = "ARG")]
    crashkernel: Vec<String>,

    /// How much RAM `--crashkernel` is to reckon with, if not that of the map
    #[arg(long, value_name = "BYTES", requires = "crashkernel")]
    ram: Option<Size>,

    /// What `--find` and `--crashkernel` have to go around: the kernel, its initrd …
    #[arg(long, value_name = "START-END")]
    busy: Vec<StartEnd>,
}

/// A number of the kernel's command line, all of it.
#[derive(Debug, Clone)]
struct Size {
    text: String,
    bytes: u64,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit());
        match memparse(text.as_bytes()) {
            (bytes, []) if is_number && unwrapped(text) != Some(bytes.into()) => {
                Err(format!("`{text}` does not fit 64 bits"))
            }
            (bytes, []) if is_number => Ok(Self {
                text: text.to_owned(),
                bytes,
            }),
            _ => Err(format!(
                "`{text}` is not a number such as 4096, 0x1000, 64K, 2M"
            )),
        }
    }
}

/// What a number of the kernel's command line would be if the kernel did not let it wrap.
fn unwrapped(text: &str) -> Option<u128> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix));
    let (digits, suffix) = digits.split_at(end.unwrap_or(digits.len()));
    let shift = match suffix.chars().next().map(|c| c.to_ascii_uppercase()) {
        None => 0,
        Some(suffix) => 10 * (1 + "KMGTPE".find(suffix)?),
    };
    u128::from_str_radix(digits, radix)
        .ok()?
        .checked_mul(1 << shift)
}

/// SIZE[,align=…,min=…,max=…,top-down]
#[derive(Debug, Clone)]
struct Find {
    text: String,
    size: u64,
    align: u64,
    window: RangeInclusive<u64>,
    direction: Direction,
}

impl FromStr for Find {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let number = |text: &str| text.parse::<Size>().map(|size| size.bytes);
        let size = number(words.next().unwrap_or_default())?;
        let (mut align, mut min, mut max) = (1, 0, u64::MAX);
        let mut direction = Direction::BottomUp;
        for word in words {
            match word.split_once('=') {
                Some(("align", value)) => align = number(value)?,
                Some(("min", value)) => min = number(value)?,
                Some(("max", value)) => max = number(value)?,
                None if word == "top-down" => direction = Direction::TopDown,
                _ => {
                    return Err(format!(
                        "`{word}` is none of align=…, min=…, max=…, top-down"
                    ));
                }
            }
        }
        if size == 0 || align == 0 || min > max {
            return Err("it needs a size and an align above 0, and min not above max".to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            size,
            align,
            window: min..=max,
            direction,
        })
    }
}

/// An answer, or one of several.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    question: &'static str,
    asked: String,
    /// What of several it is: a version of Linux, a part of a reservation.
    which: Option<&'static str>,
    start: Option<Hex>,
    last: Option<Hex>,
    size: Option<u64>,
    kind: Option<String>,
    r#type: Option<u32>,
    reason: Option<String>,
}

impl Answer {
    fn new(question: &'static str, asked: &str) -> Self {
        Self {
            question,
            asked: asked.to_owned(),
            which: None,
            start: None,
            last: None,
            size: None,
            kind: None,
            r#type: None,
            reason: None,
        }
    }

    fn which(self, which: &'static str) -> Self {
        Self {
            which: Some(which),
            ..self
        }
    }

    fn range(self, range: Option<PhysRange>, otherwise: &str) -> Self {
        match range {
            Some(range) => Self {
                start: Some(Hex(range.start().as_u64())),
                last: Some(Hex(range.last().as_u64())),
                size: Some(range.size()),
                ..self
            },
            None => self.reason(otherwise),
        }
    }

    fn reason(self, reason: impl ToString) -> Self {
        Self {
            reason: Some(reason.to_string()),
            ..self
        }
    }

    /// As a line for people.
    pub(super) fn line(&self) -> String {
        let mut words = vec![format!("{} {}:", self.question, self.asked)];
        if let (Some(start), Some(last), Some(size)) = (self.start, self.last, self.size) {
            words.push(format!("{start}-{last} {size}"));
        }
        words.extend(self.kind.clone());
        words.extend(self.which.map(|which| format!("({which})")));
        words.extend(self.reason.clone());
        words.join(" ")
    }
}

impl Questions {
    pub(super) fn is_empty(&self) -> bool {
        self.gap.is_empty()
            && self.find.is_empty()
            && self.at.is_empty()
            && self.crashkernel.is_empty()
    }

    /// The answers, question by question.
    pub(super) fn answer(&self, map: &Calculated) -> Vec<Answer> {
        let busy: Vec<_> = self.busy.iter().map(|StartEnd(range)| *range).collect();
        let gaps = self.gap.iter().flat_map(|size| gap(map, size));
        let found = self.find.iter().map(|request| find(map, request, &busy));
        let at = self.at.iter().map(|at| kind_at(map, *at));
        let mut answers: Vec<_> = gaps.chain(found).chain(at).collect();
        if !self.crashkernel.is_empty() {
            let ram = self.ram.as_ref().map(|ram| ram.bytes);
            let ram = ram.unwrap_or_else(|| map.total(Kind::RAM));
            answers.extend(crashkernel(map, &self.crashkernel, ram, &busy));
        }
        answers
    }
}

fn gap(map: &Calculated, size: &Size) -> [Answer; 2] {
    let searches = [
        (GapSearch::Descending, "before Linux 7.0"),
        (GapSearch::Ascending, "Linux 7.0 and later"),
    ];
    searches.map(|(search, which)| {
        let gap = map.biggest_gap(size.bytes, search);
        let answer = Answer::new("gap", &size.text).which(which);
        answer.range(gap, "none is as big")
    })
}

fn find(map: &Calculated, request: &Find, busy: &[PhysRange]) -> Answer {
    let (min, max) = (
        PhysAddr::new(*request.window.start()),
        *request.window.end(),
    );
    // No entry holds the very last byte.
    let end = PhysAddr::new(max.saturating_add(1));
    let place = PhysRange::try_new(min, end).ok().and_then(|window| {
        let request = PlaceRequest {
            size: request.size,
            align: request.align,
            window,
            direction: request.direction,
        };
        // Neighbours that do not merge are RAM in one piece none the less.
        let ranges = physmem::sorted(map.ranges(Kind::RAM)).ok()?;
        e820::place::find(ranges, busy, request, Placement::Exact)
    });
    Answer::new("find", &request.text).range(place, "no such place")
}

fn kind_at(map: &Calculated, at: PhysAddr) -> Answer {
    let answer = Answer::new("at", &at.to_string());
    let Some(entry) = map.entry_at(at) else {
        let below = map
            .entries()
            .iter()
            .rev()
            .find(|entry| entry.range.end() <= at);
        let above = map.entries().iter().find(|entry| entry.range.start() > at);
        let start = below.map_or(PhysAddr::new(0), |entry| entry.range.end());
        let end = above.map_or(PhysAddr::new(u64::MAX), |entry| entry.range.start());
        // No range holds the very last byte.
        let hole = PhysRange::try_new(start, end).ok();
        let hole = hole.filter(|hole| hole.contains(at));
        let nothing = "no entry of the map";
        return answer.range(hole, nothing).reason(nothing);
    };
    Answer {
        kind: Some(entry.kind.to_string()),
        r#type: Some(entry.kind.0),
        ..answer.range(Some(entry.range), "")
    }
}

fn crashkernel(map: &Calculated, args: &[String], ram: u64, busy: &[PhysRange]) -> Vec<Answer> {
    let whole = |arg: &String| match arg.contains("crashkernel=") {
        true => arg.clone(),
        false => format!("crashkernel={arg}"),
    };
    let line = args.iter().map(whole).collect::<Vec<_>>().join(" ");
    let answer = || Answer::new("crashkernel", &args.join(" "));
    let kernel = Kernel::X86_64;
    let reservation = wanted(line.as_bytes(), ram, &kernel).and_then(|wanted| {
        let reserve = |wanted| map.reserve_crashkernel(&wanted, busy, &kernel);
        wanted.map(reserve).transpose()
    });
    match reservation {
        Ok(Some(found)) => {
            let low = found
                .low
                .map(|low| answer().which("low").range(Some(low), ""));
            let main = answer().which("main").range(Some(found.main), "");
            low.into_iter().chain([main]).collect()
        }
        Ok(None) => vec![answer().reason("no crashkernel= in it")],
        Err(refusal) => vec![answer().reason(refusal)],
    }
}
