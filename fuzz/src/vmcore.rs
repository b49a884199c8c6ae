//! Dumps and what they say.

use physmem::{MemError, PhysAddr, PhysMemory, runs};
use vmcore_format::{
    Dump, Vmcoreinfo, kernel,
    vmcoreinfo::{Builder, Entry},
};

/// A look-up finds what the list of lines has, and typed values are what their text says; a text
/// built of the lines has the same ones.
pub fn vmcoreinfo(data: &[u8]) {
    let info = Vmcoreinfo::new(data, 0);
    for line in info.lines().map_while(Result::ok) {
        let first = info
            .lines()
            .map_while(Result::ok)
            .find(|other| other.key == line.key);
        assert_eq!(info.get(line.key), Ok(first.map(|line| line.value)));
    }
    if let Ok(Some(size)) = info.page_size() {
        let text = info.get("PAGESIZE").unwrap().unwrap();
        assert_eq!(text.parse(), Ok(size.bytes()));
    }
    let lines: Vec<_> = info.lines().map_while(Result::ok).collect();
    let entries: Vec<_> = lines
        .iter()
        .map(|line| Entry::Other {
            key: line.key,
            value: line.value,
        })
        .collect();
    let page = physmem::PageShift::SIZE_4K;
    let builder = Builder {
        entries: &entries,
        page,
    };
    if let Ok(text) = builder.to_vec() {
        let built = Vmcoreinfo::new(&text, 0);
        assert!(built.lines().map(|line| line.unwrap()).eq(lines));
    }
    for name in ["phys_base", "pgtable_l5_enabled", "sme_mask"] {
        let _ = info.number(name);
    }
}

/// A dump of any bytes: its memory answers alike however it is asked.
pub fn dump(data: &[u8]) {
    let Ok(dump) = Dump::open(data) else { return };
    let memory = dump.reader();

    let mut described = 0;
    let mut end = PhysAddr::new(0);
    for (range, absence) in dump.ranges() {
        assert!(end <= range.start(), "ranges ascend");
        end = range.end();
        described += range.size();
        let mut byte = [0];
        for at in [range.start(), range.last()] {
            let read = memory.read(at, &mut byte);
            assert_eq!(read.err().map(|error| error.why), absence, "{at}");
            assert!(memory.lend(at, 1).is_none_or(|lent| lent == byte));
        }
    }
    let extent = dump.byte_counts();
    assert_eq!(extent.present + extent.excluded + extent.lost, described);
    assert_eq!(runs(&memory).map(|run| run.size()).sum::<u64>(), described);

    // A long read stops exactly where bytes end.
    if let Some(first) = runs(&memory).next() {
        let mut page = [0; 4096];
        if let Err(MemError { at, .. }) = memory.read(first.start(), &mut page) {
            let present = at.checked_offset_from(first.start()).unwrap();
            let present = usize::try_from(present).unwrap();
            assert!(memory.read(first.start(), &mut page[..present]).is_ok());
            assert!(memory.read(at, &mut [0]).is_err());
        }
    }

    let notes = dump.notes().filter(Result::is_ok).count();
    assert!(notes <= data.len() / 12 * dump.segments().len());
    assert!(dump.cpus().filter(Result::is_ok).count() <= notes);
    let _ = kernel::walker_of_cpu(&dump);
    if let Ok(kernel) = kernel::Layout::of(&dump) {
        let _ = kernel
            .walker
            .translate(&memory, physmem::VirtAddr::new(0xffff_ffff_8100_0000));
    }
}
