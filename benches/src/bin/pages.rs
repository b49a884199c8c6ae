//! Pages of a dump, for `peers.sh`: `pages DUMP` lists the frames that are there, `pages DUMP LIST [THREADS]` reads those of the
//! list, whole and in its order, and prints nanoseconds to open, nanoseconds a page, and the sum of what was read. Of
//! several threads each has a part of the list in a row and a reader of its own; the dump is one.
#![allow(clippy::unwrap_used, reason = "a bench of known input")]

use std::{
    env,
    fs::{File, read_to_string},
    time::{Duration, Instant},
};

use physmem::{PageShift, Pfn, PhysAddr, PhysMemory};
use vmcore_format::Dump;

/// Laps go on for so long.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

fn main() {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().unwrap();
    // SAFETY: nobody writes the dump while it is measured.
    #[allow(unsafe_code, reason = "mapping a file is")]
    let file = unsafe { memmap2::Mmap::map(&File::open(path).unwrap()) }.unwrap();
    let page = PageShift::SIZE_4K;
    let Some(list) = arguments.next() else {
        let dump = Dump::open(&file[..]).unwrap();
        let memory = dump.reader();
        for (range, _) in dump.ranges().filter(|(_, absence)| absence.is_none()) {
            let whole = range.whole_pages(page).into_iter();
            for pfn in whole
                .flat_map(|range| range.start().pfn(page).as_u64()..range.end().pfn(page).as_u64())
            {
                let at = Pfn::new(pfn).addr(page).unwrap();
                if memory.read(at, &mut [0; 4096]).is_ok() {
                    println!("{pfn}");
                }
            }
        }
        return;
    };
    let frames: Vec<_> = read_to_string(list)
        .unwrap()
        .lines()
        .map(|line| Pfn::new(line.parse().unwrap()).addr(page).unwrap())
        .collect();

    let (mut opens, start) = (0_u32, Instant::now());
    while start.elapsed() < LONG_ENOUGH {
        assert!(Dump::open(&file[..]).is_ok());
        opens += 1;
    }
    let open = start.elapsed() / opens;

    let threads: usize = arguments
        .next()
        .map_or(1, |n| n.to_str().unwrap().parse().unwrap());
    let dump = Dump::open(&file[..]).unwrap();
    let start = Instant::now();
    let (reads, sum) = std::thread::scope(|scope| {
        let parts = frames.chunks(frames.len().div_ceil(threads));
        let running: Vec<_> = parts
            .map(|part| scope.spawn(|| read(&dump, part, start)))
            .collect();
        running
            .into_iter()
            .fold((0.0, 0_u64), |(reads, sum), thread| {
                let (laps, more) = thread.join().unwrap();
                (reads + laps, sum.wrapping_add(more))
            })
    });
    println!(
        "{} {:.1} {sum:x}",
        open.as_nanos(),
        start.elapsed().as_secs_f64() * 1e9 / reads
    );
}

/// Reads the pages again and again; how many it read, and the sum of one lap.
fn read(dump: &Dump<&[u8]>, frames: &[PhysAddr], start: Instant) -> (f64, u64) {
    let memory = dump.reader();
    let (mut laps, mut sum) = (0, 0);
    while start.elapsed() < LONG_ENOUGH {
        sum = 0_u64;
        for at in frames {
            let mut bytes = [0; 4096];
            memory.read(*at, &mut bytes).unwrap();
            sum = sum.wrapping_add(u64::from_le_bytes(*bytes.last_chunk().unwrap()));
        }
        laps += 1;
    }
    (f64::from(laps) * frames.len() as f64, sum)
}
