//! `addrxlat -p -f FORM -r AS:ROOT [-k MASK] [-e ADDRESS:ENTRY]… VIRTUAL`: one translation by page tables of which
//! only the entries given exist.

use std::collections::BTreeMap;

use page_walk::Mode;
use physmem::{Absence, Endian, MemError, PhysAddr, PhysMemory, PhysRange, VirtAddr};

use crate::{
    Failure, Result,
    arguments::{Arguments, number},
    unusable,
};

pub(crate) fn run(line: &[String]) -> Result<()> {
    let arguments = Arguments::parse(line, "efkr", "p")?;
    let [virt] = arguments.words.as_slice() else {
        return Err(unusable("one address is translated"));
    };
    let virt = number(virt)?;
    let mut entries = BTreeMap::new();
    for (_, entry) in arguments
        .options
        .iter()
        .filter(|(letter, _)| *letter == 'e')
    {
        let (at, entry) = pair(entry)?;
        entries.insert(number(at)?, number(entry)?);
    }
    let form = arguments.last('f').unwrap_or_default();
    let mode = name(form, virt).and_then(|name| name.parse().ok());
    let mode = match (mode, arguments.last('k')) {
        (Some(Mode::X86_64(mode)), Some(mask)) => {
            Mode::X86_64(mode.with_encryption_mask(number(mask)?))
        }
        (Some(mode), None) => mode,
        _ => return Err(unusable(format!("{form}: no such page tables here"))),
    };
    let (_, root) = pair(arguments.last('r').unwrap_or_default())?;
    let walker = mode.with_root(PhysAddr::new(number(root)?));
    let order = match mode {
        Mode::S390x(_) => Endian::Big,
        _ => Endian::Little,
    };
    let found = walker.translate(&Entries(entries, order), VirtAddr::new(virt));
    let mapping = found.map_err(|fault| Failure::Answer(fault.to_string()))?;
    println!("{:#x}", mapping.phys.as_u64());
    Ok(())
}

fn pair(text: &str) -> Result<(&str, &str)> {
    text.split_once(':')
        .ok_or_else(|| unusable(format!("'{text}' lacks a colon")))
}

/// The name of the mode that they give by the bits of a page's offset and of each index, from the lowest on.
fn name(form: &str, virt: u64) -> Option<String> {
    let (format, fields) = form.split_once(':')?;
    let mut bits: u32 = 0;
    for field in fields.split(',') {
        bits = bits.checked_add(field.parse().ok()?)?;
    }
    let granule = match fields.split(',').next()? {
        "12" => "4k",
        "14" => "16k",
        _ => "64k",
    };
    let wide = match format {
        "aarch64_lpa" => "-lpa",
        "aarch64_lpa2" => "-lpa2",
        _ => "",
    };
    // Their form has no half: it is the same for both.
    let half = if virt >> 63 == 0 { "-lower" } else { "" };
    Some(match (format, fields) {
        ("x86_64", "12,9,9,9,9") => "4-level".into(),
        ("x86_64", "12,9,9,9,9,9") => "5-level".into(),
        ("ia32", "12,10,10") => "32-bit".into(),
        ("ia32_pae", "12,9,9,2") => "pae".into(),
        ("riscv64", _) => format!("sv{bits}"),
        ("s390x", "12,8,11") => "segment".into(),
        ("s390x", "12,8,11,11") => "region-third".into(),
        ("s390x", "12,8,11,11,11") => "region-second".into(),
        ("s390x", "12,8,11,11,11,11") => "region-first".into(),
        ("aarch64" | "aarch64_lpa" | "aarch64_lpa2", _) => {
            format!("aarch64-{granule}-{bits}{wide}{half}")
        }
        _ => return None,
    })
}

/// Entries at their addresses, and their byte order.
struct Entries(BTreeMap<u64, u64>, Endian);

impl PhysMemory for Entries {
    fn read(&self, at: PhysAddr, out: &mut [u8]) -> std::result::Result<(), MemError> {
        let bytes = match self.1 {
            Endian::Little => u64::to_le_bytes,
            Endian::Big => u64::to_be_bytes,
        };
        let entry = self.0.get(&at.as_u64()).map(|entry| bytes(*entry));
        let bytes = entry.as_ref().and_then(|bytes| bytes.get(..out.len()));
        let why = Absence::NotRam;
        out.copy_from_slice(bytes.ok_or(MemError { at, why })?);
        Ok(())
    }

    fn next_run(&self, from: PhysAddr) -> Option<PhysRange> {
        let (at, entry) = self.0.range(from.as_u64()..).next()?;
        PhysRange::with_size(PhysAddr::new(*at), size_of_val(entry) as u64).ok()
    }
}
