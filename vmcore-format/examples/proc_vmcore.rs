//! Writes what /proc/vmcore would show: `proc_vmcore RAM ELFCOREHDR-ADDRESS OUT`.
//!
//! `RAM` is all memory of a machine in which a capture kernel runs, from address 0 on; QEMU's
//! `pmemsave` writes it. The address, in hexadecimal, is what `elfcorehdr=` tells the capture
//! kernel, which is taken for one with 4 KiB pages.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::Write,
};

use physmem::{PageShift, PhysAddr, PhysMemory, Region};
use vmcore_format::{
    ReadAt,
    build::proc_vmcore::{CaptureKernel, NoteAlign, ProcVmcore},
};

/// All that an elfcorehdr can be long: 65,534 program headers.
const HEADER_MAX: u64 = 4 << 20;
/// Bytes written at once.
const CHUNK: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [ram, address, out] = arguments.as_slice() else {
        return Err("usage: proc_vmcore RAM ELFCOREHDR-ADDRESS OUT".into());
    };
    let memory = Region::try_new(PhysAddr::new(0), fs::read(ram)?)?;
    let at = PhysAddr::new(u64::from_str_radix(address.trim_start_matches("0x"), 16)?);
    let rest = memory.range().at_and_above(at);
    let len = rest.ok_or("no such address")?.size().min(HEADER_MAX);
    let header = memory.lend(at, usize::try_from(len)?).unwrap_or_default();

    // Which kernel it is, the notes tell: they are the same whatever is said of their alignment.
    let mut kernel = CaptureKernel {
        page: PageShift::SIZE_4K,
        note_align: NoteAlign::Four,
    };
    let notes = ProcVmcore::try_new(header, &memory, kernel)?;
    let dump = vmcore_format::Dump::open(&notes)?;
    let info = dump.vmcoreinfo()?.ok_or("no VMCOREINFO")?;
    if is_before_6_5(info.os_release()?.unwrap_or_default()) {
        kernel.note_align = NoteAlign::Zero;
    }

    let vmcore = ProcVmcore::try_new(header, &memory, kernel)?;
    let mut out = File::create(out)?;
    let mut at = 0;
    while at < vmcore.size() {
        let mut chunk = vec![0; usize::try_from(CHUNK.min(vmcore.size() - at))?];
        vmcore.read_exact_at(at, &mut chunk)?;
        out.write_all(&chunk)?;
        at += CHUNK;
    }
    println!(
        "{} bytes, {} stretches of memory",
        vmcore.size(),
        vmcore.pieces().len()
    );
    Ok(())
}

/// Of a release like `6.1.0-56-cloud-amd64`.
fn is_before_6_5(release: &str) -> bool {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) < (Some(6), Some(5))
}
