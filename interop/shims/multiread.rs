//! `multiread -n THREADS [-t SECONDS] DUMP FIRST COUNT`: threads that read pages in no order, each with a reader of its own.

use std::{
    thread,
    time::{Duration, Instant},
};

use physmem::{PageShift, Pfn, PhysMemory};
use vmcore_format::{Dump, ReadAt};

use crate::{
    Failure, Result,
    arguments::{Arguments, number},
    open, unusable,
};

/// Reads a thread.
const READS: u64 = 1000;

pub(crate) fn run(line: &[String]) -> Result<()> {
    let arguments = Arguments::parse(line, "nt", "")?;
    let [path, first, count] = arguments.words.as_slice() else {
        return Err(unusable("a dump, the first frame and how many are needed"));
    };
    let (first, count) = (number(first)?, number(count)?);
    let threads = number(arguments.last('n').unwrap_or("1"))?;
    let limit = arguments.last('t').map(number).transpose()?;
    let dump = open(std::slice::from_ref(path))?;
    let page = dump.page_size().map_err(unusable)?;
    let begun = Instant::now();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|seed| {
                let dump = &dump;
                scope.spawn(move || read(dump, page, first, count, seed))
            })
            .collect();
        readers.into_iter().try_for_each(|reader| {
            let done = reader.join().map_err(|_| unusable("a thread panicked"))?;
            done.map_err(Failure::Answer)
        })
    })?;
    match limit.map(Duration::from_secs) {
        Some(limit) if begun.elapsed() > limit => Err(Failure::Answer("too slow".into())),
        _ => Ok(()),
    }
}

fn read<S: ReadAt>(
    dump: &Dump<S>,
    page: PageShift,
    first: u64,
    count: u64,
    seed: u64,
) -> std::result::Result<(), String> {
    let memory = dump.reader();
    // A linear congruential generator (Knuth's MMIX), all modulo 2^64.
    let mut state = seed;
    for _ in 0..READS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let frame = first + (state >> 33) % count.max(1);
        let at = Pfn::new(frame).addr(page).ok_or("no such frame")?;
        memory
            .read(at, &mut [0])
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
