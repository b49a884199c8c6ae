//! `struct boot_params`, the zero page: what an x86 kernel is told when it is entered.
//!
//! ```text
//!  000 screen_info 40      0c0 ext_ramdisk_image 4     1e8 e820_entries 1
//!  040 apm_bios_info 14    0c4 ext_ramdisk_size 4      1e9 eddbuf_entries 1
//!  058 tboot_addr 8        0c8 ext_cmd_line_ptr 4      1ea edd_mbr_sig_buf_entries 1
//!  060 ist_info 10         13c cc_blob_address 4       1eb kbd_status 1
//!  070 acpi_rsdp_addr 8    140 edid_info 80            1ec secure_boot 1
//!  080 hd0_info 10         1c0 efi_info 20             1ef sentinel 1
//!  090 hd1_info 10         1e0 alt_mem_k 4             1f1 the setup header
//!  0a0 sys_desc_table 10   1e4 scratch 4               290 edd_mbr_sig_buffer 16 * 4
//!  0b0 olpc_ofw_header 10                              2d0 e820_table 128 * 14
//!                                                      d00 eddbuf 6 * 52
//! ```
//!
//! A loader zeroes the page, copies the kernel's setup header into it, from 0x1f1 to where the
//! header's jump leads and no further, and fills in the rest: a kernel that finds other bytes than zero in
//! `sentinel` takes the fields around it for rubbish and clears them.
//!
//! Source: Linux `Documentation/arch/x86/zero-page.rst`, `boot.rst`;
//! `arch/x86/include/uapi/asm/bootparam.h`.
//!
//! ```
//! use bootimg::{BzImage, boot_params::{BootParams, E820Entry}};
//!
//! # let file = include_bytes!("../../testdata/memtest86+x64.bin");
//! let kernel = BzImage::parse(file)?;
//! let mut params = BootParams::new(kernel.header());
//! params.set_loader(0xff, 0, 0)?;
//! params.set_cmdline(0x2_0000, 12)?;
//! let ram = [E820Entry { addr: 0x10_0000, size: 0x3ff0_0000, kind: 1 }];
//! assert!(params.set_e820(&ram).is_empty());
//!
//! assert_eq!(params.as_bytes()[0x1e8], 1);
//! assert_eq!(params.header()?.cmd_line_ptr(), Some(0x2_0000));
//! # Ok::<(), bootimg::Error>(())
//! ```

#![deny(clippy::arithmetic_side_effects)]

mod e820;
mod place;
mod screen;
mod setup_data;

use core::{fmt, mem::offset_of};

use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use self::e820::{Entry, MAX_ENTRIES};
pub use self::{
    e820::{E820Entry, ExtendedE820},
    place::initrd_address,
    screen::{Channel, FrameBuffer, FrameBufferKind, TextScreen},
    setup_data::{MAX_NODES, Node, Nodes, SetupData, SetupType},
};
use crate::{
    bzimage::{Header, LoadFlags, MAX_END, START, XLoadFlags, header},
    error::{Error, Field, Result},
};

/// Bytes of the page.
pub const SIZE: usize = 4096;
/// `EDD_MBR_SIG_MAX`
const MBR_SIGNATURES: usize = 16;
/// `EDDMAXNR`
const EDD_ENTRIES: usize = 6;
/// `sizeof(struct edd_info)`
const EDD_INFO: usize = 82;

const CMDLINE_LEN: Field = Field {
    name: "length of the command line",
    allowed: "up to cmdline_size",
};
const CMD_LINE_PTR: Field = Field {
    name: "cmd_line_ptr",
    allowed: "below 4 GiB without XLF_CAN_BE_LOADED_ABOVE_4G",
};
const RAMDISK: Field = Field {
    name: "end of the ramdisk",
    allowed: "up to initrd_addr_max without XLF_CAN_BE_LOADED_ABOVE_4G",
};

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    screen_info: [u8; 0x40],
    apm_bios_info: [u8; 0x14],
    pad_54: [u8; 4],
    tboot_addr: U64,
    ist_info: [u8; 0x10],
    acpi_rsdp_addr: U64,
    pad_78: [u8; 8],
    hd0_info: [u8; 0x10],
    hd1_info: [u8; 0x10],
    sys_desc_table: [u8; 0x10],
    olpc_ofw_header: [u8; 0x10],
    ext_ramdisk_image: U32,
    ext_ramdisk_size: U32,
    ext_cmd_line_ptr: U32,
    pad_cc: [u8; 0x70],
    cc_blob_address: U32,
    edid_info: [u8; 0x80],
    efi_info: WireEfi,
    alt_mem_k: U32,
    scratch: U32,
    e820_entries: u8,
    eddbuf_entries: u8,
    edd_mbr_sig_buf_entries: u8,
    kbd_status: u8,
    secure_boot: u8,
    pad_1ed: [u8; 2],
    sentinel: u8,
    pad_1f0: u8,
    hdr: [u8; MAX_END - START],
    edd_mbr_sig_buffer: [U32; MBR_SIGNATURES],
    e820_table: [Entry; MAX_ENTRIES],
    pad_cd0: [u8; 0x30],
    eddbuf: [[u8; EDD_INFO]; EDD_ENTRIES],
    pad_eec: [u8; 0x114],
}

const _: () = assert!(size_of::<Wire>() == SIZE);
const _: () = assert!(offset_of!(Wire, acpi_rsdp_addr) == 0x70);
const _: () = assert!(offset_of!(Wire, ext_ramdisk_image) == 0xc0);
const _: () = assert!(offset_of!(Wire, efi_info) == 0x1c0);
const _: () = assert!(offset_of!(Wire, e820_entries) == 0x1e8);
const _: () = assert!(offset_of!(Wire, hdr) == START);
const _: () = assert!(offset_of!(Wire, e820_table) == 0x2d0);
const _: () = assert!(offset_of!(Wire, eddbuf) == 0xd00);

/// `struct efi_info`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct WireEfi {
    loader_signature: [u8; 4],
    systab: U32,
    memdesc_size: U32,
    memdesc_version: U32,
    memmap: U32,
    memmap_size: U32,
    systab_hi: U32,
    memmap_hi: U32,
}

/// `efi_info`: what a kernel that is entered after EFI's boot services is told about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EfiInfo {
    /// `efi_loader_signature`: `EL64`, `EL32`, or zeros.
    pub signature: [u8; 4],
    /// `efi_systab`: physical address of the system table.
    pub systab: u64,
    /// `efi_memdesc_size`: bytes of a memory descriptor.
    pub memdesc_size: u32,
    /// `efi_memdesc_version`
    pub memdesc_version: u32,
    /// `efi_memmap`: physical address of the memory map.
    pub memmap: u64,
    /// `efi_memmap_size`: its bytes.
    pub memmap_size: u32,
}

/// A zero page, 4096 bytes.
#[derive(Clone)]
pub struct BootParams {
    wire: Wire,
}

/// Fields of the page with a getter and a setter.
macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident, $set:ident: $int:ty;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> $int {
            self.wire.$name.into()
        }

        $(#[$doc])*
        pub fn $set(&mut self, value: $int) {
            self.wire.$name = value.into();
        })*
    };
}

impl BootParams {
    /// A page of zeros but for the kernel's setup header: `0x202` + the byte at `0x201` − `0x1f1` bytes
    /// from `0x1f1` on.
    #[must_use]
    pub fn new(header: &Header<'_>) -> Self {
        let mut wire = Wire::new_zeroed();
        for (slot, byte) in wire.hdr.iter_mut().zip(header.bytes()) {
            *slot = *byte;
        }
        Self { wire }
    }

    /// A copy of the page at the start of `bytes`, whatever is in it.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below 4096 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        match Wire::read_from_prefix(bytes) {
            Ok((wire, _)) => Ok(Self { wire }),
            Err(_) => Err(truncated(bytes.len())),
        }
    }

    /// The page.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.wire.as_bytes()
    }

    /// Writes the page to the start of `out`. Returns [`SIZE`].
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] below 4096 bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize> {
        let short = truncated(out.len());
        self.wire.write_to_prefix(out).map_err(|_| short)?;
        Ok(SIZE)
    }

    /// The setup header in the page.
    ///
    /// # Errors
    ///
    /// What [`Header::parse`] finds: pages made by an EFI stub have none.
    pub fn header(&self) -> Result<Header<'_>> {
        Header::parse(self.as_bytes())
    }

    /// Who loads the kernel: `type_of_loader`, `ext_loader_type`, `ext_loader_ver`.
    ///
    /// # Errors
    ///
    /// What [`header`](Self::header) finds; [`Error::Unsupported`] for other extensions than 0 before 2.02,
    /// whose headers have no place for them.
    pub fn set_loader(&mut self, type_of_loader: u8, ext_type: u8, ext_version: u8) -> Result<()> {
        let header = self.header()?;
        let extended = header.has_ext_loader();
        if !extended && (ext_type, ext_version) != (0, 0) {
            return Err(unsupported("an extended loader for version", &header));
        }
        self.edit(|header| {
            header.type_of_loader = type_of_loader;
            if extended {
                header.ext_loader_type = ext_type;
                header.ext_loader_ver = ext_version;
            }
        });
        Ok(())
    }

    /// `loadflags`; what the kernel said there is overwritten.
    pub fn set_loadflags(&mut self, flags: LoadFlags) {
        self.edit(|header| header.loadflags = flags.bits());
    }

    /// `vid_mode`
    pub fn set_vid_mode(&mut self, mode: u16) {
        self.edit(|header| header.vid_mode = mode.into());
    }

    /// `root_flags` and `root_dev`
    pub fn set_root(&mut self, flags: u16, device: u16) {
        self.edit(|header| {
            header.root_flags = flags.into();
            header.root_dev = device.into();
        });
    }

    /// `boot_flag`: of no use to a kernel that runs; kexec-tools clears its high byte, which was
    /// `aux_device_info` once.
    pub fn set_boot_flag(&mut self, value: u16) {
        self.edit(|header| header.boot_flag = value.into());
    }

    /// `heap_end_ptr`: of the real-mode heap, less 0x200.
    ///
    /// # Errors
    ///
    /// What [`header`](Self::header) finds; [`Error::Unsupported`] before 2.01.
    pub fn set_heap_end_ptr(&mut self, offset: u16) -> Result<()> {
        let header = self.header()?;
        if header.heap_end_ptr().is_none() {
            return Err(unsupported("heap_end_ptr for version", &header));
        }
        self.edit(|header| header.heap_end_ptr = offset.into());
        Ok(())
    }

    /// `code32_start`: where the setup code jumps to.
    pub fn set_code32_start(&mut self, address: u32) {
        self.edit(|header| header.code32_start = address.into());
    }

    /// `setup_data`: physical address of the first node of the list; 0 for none.
    ///
    /// # Errors
    ///
    /// What [`header`](Self::header) finds; [`Error::Unsupported`] before 2.09: such a kernel has no map
    /// beyond that of the page, either.
    pub fn set_setup_data(&mut self, address: u64) -> Result<()> {
        let header = self.header()?;
        if header.setup_data().is_none() {
            return Err(unsupported("setup_data for version", &header));
        }
        self.edit(|header| header.setup_data = address.into());
        Ok(())
    }

    /// `setup_data`: where [`Nodes`] begin; 0 for an empty list.
    #[must_use]
    pub fn setup_data(&self) -> u64 {
        self.setup().setup_data.into()
    }

    /// The command line: where it is, and how long without its NUL.
    ///
    /// # Errors
    ///
    /// What [`header`](Self::header) finds; [`Error::Unsupported`] before 2.02, where it goes to another
    /// place; [`Error::BadField`] if it is longer than `cmdline_size`, or above 4 GiB and the kernel
    /// cannot have it there.
    pub fn set_cmdline(&mut self, address: u64, len: u64) -> Result<()> {
        let header = self.header()?;
        if header.cmd_line_ptr().is_none() {
            return Err(unsupported("a command line for version", &header));
        }
        let bad = |field, value| Error::BadField {
            field,
            offset: header::offset!(cmd_line_ptr),
            value,
        };
        if len > header.cmdline_size().into() {
            return Err(bad(&CMDLINE_LEN, len));
        }
        let [low, high] = halves(address);
        if high != 0 && !above_4g(&header) {
            return Err(bad(&CMD_LINE_PTR, address));
        }
        self.edit(|header| header.cmd_line_ptr = low.into());
        self.wire.ext_cmd_line_ptr = high.into();
        Ok(())
    }

    /// Physical address of the command line.
    #[must_use]
    pub fn cmdline(&self) -> u64 {
        joined(self.setup().cmd_line_ptr, self.wire.ext_cmd_line_ptr)
    }

    /// The initrd: where it is, and its size.
    ///
    /// # Errors
    ///
    /// What [`header`](Self::header) finds; [`Error::Overflow`] if it passes the end of the address
    /// space; [`Error::BadField`] if it passes `initrd_addr_max` and the kernel cannot have it there.
    pub fn set_ramdisk(&mut self, address: u64, size: u64) -> Result<()> {
        let header = self.header()?;
        let offset = header::offset!(ramdisk_image);
        let what = "the ramdisk";
        let end = address
            .checked_add(size)
            .ok_or(Error::Overflow { what, offset })?;
        // The last byte may be at `initrd_addr_max` itself.
        if end.saturating_sub(1) > header.initrd_addr_max().into() && !above_4g(&header) {
            return Err(Error::BadField {
                field: &RAMDISK,
                offset,
                value: end,
            });
        }
        let ([low, high], [size_low, size_high]) = (halves(address), halves(size));
        self.edit(|header| {
            header.ramdisk_image = low.into();
            header.ramdisk_size = size_low.into();
        });
        self.wire.ext_ramdisk_image = high.into();
        self.wire.ext_ramdisk_size = size_high.into();
        Ok(())
    }

    /// Address and size of the initrd; zeros for none.
    #[must_use]
    pub fn ramdisk(&self) -> (u64, u64) {
        let setup = self.setup();
        (
            joined(setup.ramdisk_image, self.wire.ext_ramdisk_image),
            joined(setup.ramdisk_size, self.wire.ext_ramdisk_size),
        )
    }

    /// The memory map, in the given order. Returns the entries that the page has no room for, above
    /// 128: they go into an [`ExtendedE820`].
    pub fn set_e820<'e>(&mut self, entries: &'e [E820Entry]) -> &'e [E820Entry] {
        self.wire.e820_table = FromZeros::new_zeroed();
        let mut count = 0_u8;
        for (slot, entry) in self.wire.e820_table.iter_mut().zip(entries) {
            *slot = entry.into();
            // No overflow: of 128 slots.
            count = count.saturating_add(1);
        }
        self.wire.e820_entries = count;
        entries.get(MAX_ENTRIES..).unwrap_or_default()
    }

    /// The memory map; more than 128 entries the page does not have, whatever it says.
    pub fn e820(&self) -> impl Iterator<Item = E820Entry> + '_ {
        let count = usize::from(self.wire.e820_entries);
        self.wire.e820_table.iter().take(count).map(Into::into)
    }

    /// `efi_info`
    #[must_use]
    pub fn efi_info(&self) -> EfiInfo {
        let efi = &self.wire.efi_info;
        EfiInfo {
            signature: efi.loader_signature,
            systab: joined(efi.systab, efi.systab_hi),
            memdesc_size: efi.memdesc_size.into(),
            memdesc_version: efi.memdesc_version.into(),
            memmap: joined(efi.memmap, efi.memmap_hi),
            memmap_size: efi.memmap_size.into(),
        }
    }

    /// `efi_info`
    pub fn set_efi_info(&mut self, info: &EfiInfo) {
        let ([systab, systab_hi], [memmap, memmap_hi]) = (halves(info.systab), halves(info.memmap));
        self.wire.efi_info = WireEfi {
            loader_signature: info.signature,
            systab: systab.into(),
            memdesc_size: info.memdesc_size.into(),
            memdesc_version: info.memdesc_version.into(),
            memmap: memmap.into(),
            memmap_size: info.memmap_size.into(),
            systab_hi: systab_hi.into(),
            memmap_hi: memmap_hi.into(),
        };
    }

    fields! {
        /// `screen_info`: the display, as `struct screen_info` has it; built by [`FrameBuffer`] and [`TextScreen`].
        screen_info, set_screen_info: [u8; 0x40];
        /// `apm_bios_info`
        apm_bios_info, set_apm_bios_info: [u8; 0x14];
        /// `tboot_addr`: physical address of tboot's shared page.
        tboot_addr, set_tboot_addr: u64;
        /// `ist_info`: Intel SpeedStep.
        ist_info, set_ist_info: [u8; 0x10];
        /// `acpi_rsdp_addr`: physical address of ACPI's root pointer; 0 to look for it.
        acpi_rsdp_addr, set_acpi_rsdp_addr: u64;
        /// `hd0_info`
        hd0_info, set_hd0_info: [u8; 0x10];
        /// `hd1_info`
        hd1_info, set_hd1_info: [u8; 0x10];
        /// `sys_desc_table`
        sys_desc_table, set_sys_desc_table: [u8; 0x10];
        /// `olpc_ofw_header`
        olpc_ofw_header, set_olpc_ofw_header: [u8; 0x10];
        /// `cc_blob_address`: physical address of the blob for confidential guests.
        cc_blob_address, set_cc_blob_address: u32;
        /// `edid_info`: what the monitor says about itself.
        edid_info, set_edid_info: [u8; 0x80];
        /// `alt_mem_k`: memory from 1 MiB on in KiB, for kernels that find no map.
        alt_mem_k, set_alt_mem_k: u32;
        /// `scratch`: for the kernel's setup code.
        scratch, set_scratch: u32;
        /// `eddbuf_entries`: how many of `eddbuf` are used.
        eddbuf_entries, set_eddbuf_entries: u8;
        /// `edd_mbr_sig_buf_entries`: how many of `edd_mbr_sig_buffer` are used.
        edd_mbr_sig_buf_entries, set_edd_mbr_sig_buf_entries: u8;
        /// `kbd_status`: keyboard flags.
        kbd_status, set_kbd_status: u8;
        /// `secure_boot`: 0 not known, 1 unknown by the stub, 2 off, 3 on.
        secure_boot, set_secure_boot: u8;
        /// `sentinel`: 0 in a page of a loader that follows the rules.
        sentinel, set_sentinel: u8;
        /// `eddbuf`: the BIOS's disks, as `struct edd_info` has them.
        eddbuf, set_eddbuf: [[u8; EDD_INFO]; EDD_ENTRIES];
    }

    /// `edd_mbr_sig_buffer`: the signatures of the disks' boot sectors.
    #[must_use]
    pub fn edd_mbr_sig_buffer(&self) -> [u32; MBR_SIGNATURES] {
        self.wire.edd_mbr_sig_buffer.map(Into::into)
    }

    /// `edd_mbr_sig_buffer`
    pub fn set_edd_mbr_sig_buffer(&mut self, signatures: [u32; MBR_SIGNATURES]) {
        self.wire.edd_mbr_sig_buffer = signatures.map(Into::into);
    }

    /// The fields of the setup header, whether one is there or not.
    fn setup(&self) -> header::Wire {
        // The page is longer than what ends with the header.
        header::Wire::read_from_prefix(self.as_bytes())
            .map_or_else(|_| FromZeros::new_zeroed(), |(wire, _)| wire)
    }

    fn edit(&mut self, change: impl FnOnce(&mut header::Wire)) {
        if let Ok((wire, _)) = header::Wire::mut_from_prefix(self.wire.as_mut_bytes()) {
            change(wire);
        }
    }
}

impl fmt::Debug for BootParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootParams")
            .field("cmdline", &self.cmdline())
            .field("ramdisk", &self.ramdisk())
            .field("e820_entries", &self.wire.e820_entries)
            .finish_non_exhaustive()
    }
}

/// What a header of that version, or one so short, has no field for.
fn unsupported(what: &'static str, header: &Header<'_>) -> Error {
    Error::Unsupported {
        what,
        offset: header::offset!(version),
        value: header.protocol().0.into(),
    }
}

fn above_4g(header: &Header<'_>) -> bool {
    header
        .xloadflags()
        .contains(XLoadFlags::CAN_BE_LOADED_ABOVE_4G)
}

fn joined(low: U32, high: U32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The low and the high 32 bits.
const fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}

fn truncated(available: usize) -> Error {
    Error::Truncated {
        what: "boot_params",
        offset: 0,
        needed: SIZE as u64,
        available: available as u64,
    }
}
