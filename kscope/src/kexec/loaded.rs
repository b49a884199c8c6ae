//! Where in a dump the kernel has what kexec loaded, by the kernel's own tables.
//!
//! ```text
//!   kallsyms ─┬▶ kexec_image, kexec_crash_image      the variable
//!             └▶ types (BTF) ─▶ struct kimage        where its fields are; else as its release has them
//! ```

use physmem::{PhysMemory, VirtAddr};
use vmcore_format::{
    Error,
    kernel::{
        Virtual,
        btf::{Btf, Section},
        kallsyms::Kallsyms,
        kexec_image::Layout,
    },
};

use crate::{
    dump::Opened,
    failure::{Failure, Result, notice},
    input::Source,
};

/// The kernel's tables in a dump, or why they cannot be had.
pub(super) struct Tables<'m, M> {
    source: &'m Source,
    dump: &'m Opened,
    found: std::result::Result<Found<'m, M>, Error>,
}

struct Found<'m, M> {
    virt: Virtual<'m, M>,
    symbols: Kallsyms<'m, M>,
}

impl<'m, M: PhysMemory> Tables<'m, M> {
    /// `memory` is that of the dump.
    pub(super) fn of(source: &'m Source, dump: &'m Opened, memory: &'m M) -> Result<Self> {
        let found = Found::of(dump, memory);
        if let Err(error) = &found {
            source.unless_io(error)?;
        }
        Ok(Self {
            source,
            dump,
            found,
        })
    }

    /// Where a variable of the kernel is.
    pub(super) fn variable(&self, name: &str) -> Result<VirtAddr> {
        let found = match &self.found {
            Ok(found) => found.symbols.find(name.as_bytes()),
            Err(error) => Err(*error),
        };
        let why = match found {
            Ok(Some(symbol)) => return Ok(symbol.address),
            Ok(None) => format!(
                "no symbol is named {name}: a kernel without kexec, or without CONFIG_KALLSYMS_ALL"
            ),
            Err(error) => {
                self.source.unless_io(&error)?;
                error.to_string()
            }
        };
        let why = format_args!(
            "{why}; --symbol-at ADDR says where {name} is, as the machine's /proc/kallsyms had it \
             (or --image, --head)"
        );
        Err(Failure::input(&self.source.path, why))
    }

    /// Where the fields of `struct kimage` are: by the kernel's types, or where the dump does not hold
    /// these, by its release.
    pub(super) fn layout(&self) -> Result<Layout> {
        let by_types = match &self.found {
            Ok(found) => found.layout(),
            Err(error) => Err(*error),
        };
        let untold = match by_types {
            Ok(layout) => return Ok(layout),
            Err(error) => error,
        };
        self.source.unless_io(&untold)?;
        let layout = Layout::of(self.dump).map_err(|error| self.source.failure(error))?;
        if !matches!(
            untold,
            Error::NoVmcoreinfo | Error::Missing { .. } | Error::Virt(_)
        ) {
            let why = format_args!("struct kimage is taken as its release has it: {untold}");
            notice(&self.source.path, why);
        }
        Ok(layout)
    }
}

impl<'m, M: PhysMemory> Found<'m, M> {
    fn of(dump: &Opened, memory: &'m M) -> std::result::Result<Self, Error> {
        let info = dump.vmcoreinfo()?.ok_or(Error::NoVmcoreinfo)?;
        let virt = Virtual::of(dump, memory)?;
        let symbols = Kallsyms::new(&info, virt)?;
        Ok(Self { virt, symbols })
    }

    fn layout(&self) -> std::result::Result<Layout, Error> {
        let section = Section::read(&self.symbols, self.virt)?;
        Layout::of_types(&Btf::parse(&section.bytes, section.at, self.virt.endian())?)
    }
}
