//! Contenders that do the same job, timed in turns.
//!
//! ```text
//!  round   limit │ ours │ peer │ limit │ ours │ peer │ …      best and median of each, side by side
//! ```
//!
//! The first contender is the limit: the least that the job takes, written by hand. Each returns a
//! checksum, and all have to return the same one. Taking turns spreads a neighbour's noise over all of
//! them, and the best round of each is the one with the least of it.

use std::{
    env,
    hint::black_box,
    time::{Duration, Instant},
};

/// Rounds of a race under `cargo bench`; `cargo test --benches` runs one.
const ROUNDS: usize = 60;

/// One job and who does it.
pub struct Race<'a> {
    title: String,
    unit: &'static str,
    operations: u64,
    contenders: Vec<Contender<'a>>,
}

struct Contender<'a> {
    name: String,
    job: Box<dyn FnMut() -> u64 + 'a>,
    times: Vec<Duration>,
}

impl<'a> Race<'a> {
    /// A job of so many `operations`, each of them a `unit`.
    pub fn new(title: impl Into<String>, operations: usize, unit: &'static str) -> Self {
        Self {
            title: title.into(),
            unit,
            operations: operations as u64,
            contenders: Vec::new(),
        }
    }

    /// Adds a contender; the first is the limit, the second is ours.
    #[must_use]
    pub fn enter(mut self, name: impl Into<String>, job: impl FnMut() -> u64 + 'a) -> Self {
        self.contenders.push(Contender {
            name: name.into(),
            job: Box::new(job),
            times: Vec::new(),
        });
        self
    }

    /// Runs it and prints the table.
    ///
    /// # Panics
    ///
    /// If two contenders return different checksums: then they do not do the same job.
    pub fn run(mut self) {
        let rounds = if env::args().any(|argument| argument == "--bench") {
            ROUNDS
        } else {
            1
        };
        let checksums: Vec<u64> = self.contenders.iter_mut().map(|c| (c.job)()).collect();
        for (contender, checksum) in self.contenders.iter().zip(&checksums) {
            assert_eq!(
                checksums.first(),
                Some(checksum),
                "{}: {}",
                self.title,
                contender.name
            );
        }
        for _ in 0..rounds {
            for contender in &mut self.contenders {
                let start = Instant::now();
                black_box((contender.job)());
                contender.times.push(start.elapsed());
            }
        }
        self.print();
    }

    fn print(&mut self) {
        println!("\n{} (ns a {})", self.title, self.unit);
        println!(
            "{:>10} {:>10} {:>9} {:>9}",
            "best", "median", "x limit", "x ours"
        );
        let mut best = Vec::new();
        for contender in &mut self.contenders {
            contender.times.sort_unstable();
            let each = |time: Option<&Duration>| {
                time.map_or(f64::NAN, |time| {
                    time.as_secs_f64() * 1e9 / self.operations as f64
                })
            };
            let (first, middle) = (
                contender.times.first(),
                contender.times.get(contender.times.len() / 2),
            );
            best.push((contender.name.as_str(), each(first), each(middle)));
        }
        let time_of = |place: usize| best.get(place).map_or(f64::NAN, |(_, best, _)| *best);
        for (name, time, median) in &best {
            let (limit, ours) = (time / time_of(0), time / time_of(1));
            println!("{time:>10.2} {median:>10.2} {limit:>9.2} {ours:>9.2}  {name}");
        }
    }
}
