//! Our side of `peers.sh`: `translate DUMP` lists addresses whose translation takes a real walk,
//! `translate DUMP LIST` translates those of a list and prints the nanoseconds each took and the sum of
//! the answers, which is the same for whoever does the same job.

use std::{
    env,
    error::Error,
    fs::{self, File},
    time::{Duration, Instant},
};

use benches::list::walked_addresses;
use physmem::VirtAddr;
use vmcore_format::{Dump, kernel::Layout};

/// Addresses in a list.
const COUNT: usize = 1024;
/// How long to measure; the peer measures as long.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().ok_or("usage: translate DUMP [LIST]")?;
    // SAFETY: nobody writes the dump while it is measured.
    #[allow(unsafe_code, reason = "mapping a file is")]
    let file = unsafe { memmap2::Mmap::map(&File::open(path)?) }?;
    let dump = Dump::open(&file[..])?;
    let walker = Layout::of(&dump)?.walker;
    let memory = dump.reader();

    let Some(list) = arguments.next() else {
        for virt in walked_addresses(&walker, &memory, COUNT) {
            println!("{:x}", virt.as_u64());
        }
        return Ok(());
    };
    let mut addresses = Vec::new();
    for line in fs::read_to_string(list)?.lines() {
        addresses.push(VirtAddr::new(u64::from_str_radix(line, 16)?));
    }
    let (mut laps, mut sum) = (0_u32, 0_u64);
    let start = Instant::now();
    while start.elapsed() < LONG_ENOUGH {
        laps += 1;
        sum = 0;
        for virt in &addresses {
            sum = sum.wrapping_add(walker.translate(&memory, *virt)?.phys.as_u64());
        }
    }
    let translations = f64::from(laps) * addresses.len() as f64;
    println!(
        "{:.2} {sum:x}",
        start.elapsed().as_secs_f64() * 1e9 / translations
    );
    Ok(())
}
