//! A program header in JSON.

use serde::Serialize;

use crate::output::Hex;

/// Its fields, the type by readelf's name or as a number.
#[derive(Serialize)]
pub(crate) struct Segment {
    r#type: String,
    offset: u64,
    vaddr: Hex,
    paddr: Hex,
    filesz: u64,
    memsz: u64,
    flags: Hex,
}

impl From<&elf_format::Segment> for Segment {
    fn from(segment: &elf_format::Segment) -> Self {
        let kind = segment.kind;
        Self {
            r#type: kind
                .name()
                .map_or_else(|| format!("{:#x}", kind.0), str::to_owned),
            offset: segment.offset,
            vaddr: Hex(segment.vaddr),
            paddr: Hex(segment.paddr),
            filesz: segment.filesz,
            memsz: segment.memsz,
            flags: Hex(segment.flags.bits().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use elf_format::{SegmentFlags, SegmentType};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_without_a_name_is_a_number() {
        let segment = |kind| elf_format::Segment {
            kind,
            flags: SegmentFlags::READ,
            offset: 1,
            vaddr: 2,
            paddr: 3,
            filesz: 4,
            memsz: 5,
            align: 6,
        };
        let told = |kind| serde_json::to_value(Segment::from(&segment(kind))).unwrap();
        assert_eq!(
            told(SegmentType::LOAD),
            json!({
                "type": "LOAD", "offset": 1, "vaddr": "0x2", "paddr": "0x3", "filesz": 4, "memsz": 5, "flags": "0x4"
            })
        );
        assert_eq!(told(SegmentType(0x6fff_0001))["type"], "0x6fff0001");
    }
}
