//! The section of a running kernel that holds its types.

#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use physmem::{PhysMemory, VirtAddr};

use crate::{
    Error, Field,
    kernel::{Virtual, kallsyms::Kallsyms, memory::add},
};

/// Kernels have some 5 MB of types.
const MAX_SIZE: u64 = 256 << 20;

/// `sizeof(struct btf_header)`.
const HEADER: u64 = 24;

const SIZE: Field = Field {
    name: "__stop_BTF",
    allowed: "24 bytes to 256 MiB above __start_BTF",
};

/// The bytes of a kernel's types and where they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `__start_BTF`.
    pub at: VirtAddr,
    /// What lies up to `__stop_BTF`.
    pub bytes: Vec<u8>,
}

impl Section {
    /// Reads the types of a kernel.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] for a kernel without `CONFIG_DEBUG_INFO_BTF`; what of its symbols and of the
    /// section cannot be read.
    pub fn read<M: PhysMemory + ?Sized>(
        symbols: &Kallsyms<'_, M>,
        virt: Virtual<'_, M>,
    ) -> Result<Self, Error> {
        const CHUNK: u64 = 1 << 16;
        let symbol = |name| {
            let missing = Error::Missing {
                what: "types (symbol __start_BTF)",
            };
            symbols.find(name)?.map(|it| it.address).ok_or(missing)
        };
        let (at, stop) = (symbol(b"__start_BTF")?, symbol(b"__stop_BTF")?);
        let size = stop.checked_offset_from(at).unwrap_or_default();
        if !(HEADER..=MAX_SIZE).contains(&size) {
            return Err(Error::BadValue {
                field: &SIZE,
                at: stop,
                value: stop.as_u64(),
            });
        }
        // Bytes that are there, before there is room for those behind.
        let mut bytes = Vec::new();
        let mut left = size;
        while left > 0 {
            let taken = left.min(CHUNK);
            let begin = bytes.len();
            // A chunk more of at most MAX_SIZE.
            let end = begin.saturating_add(usize::try_from(taken).unwrap_or_default());
            bytes.resize(end, 0);
            virt.read(
                add(at, begin as u64)?,
                bytes.get_mut(begin..).unwrap_or_default(),
            )?;
            left = left.saturating_sub(taken);
        }
        Ok(Self { at, bytes })
    }
}
