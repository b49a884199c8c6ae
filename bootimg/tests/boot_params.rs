//! Zero pages of real boots, built again from their parts.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::{fs, ops::Range, path::PathBuf};

use bootimg::{
    BzImage, Error,
    boot_params::{
        BootParams, Channel, E820Entry, EfiInfo, ExtendedE820, FrameBuffer, FrameBufferKind, SIZE,
        TextScreen, initrd_address,
    },
    bzimage::{Header, LoadFlags},
};
use proptest::prelude::*;

/// The kernel of all those boots.
const KERNEL: &[u8] = include_bytes!("../testdata/kernel/vmlinuz-6.1.0-56-cloud-amd64.head");

fn page(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "testdata/boot_params", name]
        .iter()
        .collect();
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn u16_at(page: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([page[at], page[at + 1]])
}

/// What stands in the page of a boot by SeaBIOS and QEMU, by kexec-tools (`kexec-c`, with SeaBIOS and
/// OVMF), by Linux itself (`kexec-s`), before and after a crash: each field set by its own setter,
/// all others as the kernel's file has them.
#[test]
fn every_page_of_a_real_boot() {
    for name in [
        "seabios-6G.bin",
        "kdump-first.bin",
        "kdump-capture.bin",
        "kexec-c.bin",
        "kexec-c-ovmf.bin",
        "kexec-s.bin",
    ] {
        let real = page(name);
        let parts = BootParams::parse(&real).unwrap();
        let mut built = BootParams::new(&Header::parse(KERNEL).unwrap());

        built
            .set_loader(real[0x210], real[0x227], real[0x226])
            .unwrap();
        let (image, size) = parts.ramdisk();
        built.set_ramdisk(image, size).unwrap();
        let cmdline = parts.cmdline();
        built.set_cmdline(cmdline, 100).unwrap();
        built.set_root(u16_at(&real, 0x1f2), u16_at(&real, 0x1fc));
        built.set_vid_mode(u16_at(&real, 0x1fa));
        built.set_loadflags(LoadFlags::from_bits_retain(real[0x211]));
        built.set_heap_end_ptr(u16_at(&real, 0x224)).unwrap();
        built.set_setup_data(parts.setup_data()).unwrap();
        built.set_boot_flag(u16_at(&real, 0x1fe));

        built.set_screen_info(parts.screen_info());
        built.set_apm_bios_info(parts.apm_bios_info());
        built.set_ist_info(parts.ist_info());
        built.set_acpi_rsdp_addr(parts.acpi_rsdp_addr());
        built.set_edid_info(parts.edid_info());
        built.set_efi_info(&parts.efi_info());
        built.set_alt_mem_k(parts.alt_mem_k());
        built.set_scratch(parts.scratch());
        let entries: Vec<E820Entry> = parts.e820().collect();
        assert!(built.set_e820(&entries).is_empty());
        built.set_eddbuf_entries(parts.eddbuf_entries());
        built.set_eddbuf(parts.eddbuf());
        built.set_edd_mbr_sig_buf_entries(parts.edd_mbr_sig_buf_entries());
        built.set_edd_mbr_sig_buffer(parts.edd_mbr_sig_buffer());
        built.set_kbd_status(parts.kbd_status());

        let differs = built.as_bytes().iter().zip(&real).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{name}");
    }
}

/// The answers are those of the machines: the map of the log, the size of the initrd, the EFI of OVMF.
#[test]
fn fields_of_real_boots() {
    let params = BootParams::parse(&page("kexec-s.bin")).unwrap();
    assert_eq!(
        params.header().unwrap().loader().name(),
        Some("kexec-tools")
    );
    assert_eq!(params.ramdisk(), (0x1c92_5000, 0x2d_ab10));
    assert_eq!(params.cmdline(), 0x9_9000);
    assert_eq!(params.acpi_rsdp_addr(), 0xf_59d0);
    assert_eq!(params.e820().count(), 7);
    assert_eq!(
        params.e820().next(),
        Some(E820Entry {
            addr: 0,
            size: 0x9_fc00,
            kind: 1
        })
    );

    // After kexec with EFI, what it handed over is at 1 MiB.
    let params = BootParams::parse(&page("kexec-c-ovmf.bin")).unwrap();
    assert_eq!(params.setup_data(), 0x10_0000);

    // An EFI stub leaves no setup header.
    let params = BootParams::parse(&page("ovmf-512M.bin")).unwrap();
    assert!(matches!(
        params.header(),
        Err(Error::BadMagic { offset: 0x1fe, .. })
    ));
    assert_eq!(
        params.efi_info(),
        EfiInfo {
            signature: *b"EL64",
            systab: 0x1f5e_b018,
            memdesc_size: 0x30,
            memdesc_version: 1,
            memmap: 0x1f77_3040,
            memmap_size: 0x1680,
        }
    );
    assert_eq!(params.secure_boot(), 2);
}

/// The displays of QEMU's machines, but for what only firmware knows.
#[test]
fn screens_of_real_boots() {
    let without = |mut screen: [u8; 0x40], known_by_firmware: &[Range<usize>]| {
        for bytes in known_by_firmware {
            screen[bytes.clone()].fill(0);
        }
        screen
    };
    let real = BootParams::parse(&page("seabios-6G.bin")).unwrap();
    let text = TextScreen {
        mode: 3,
        columns: 80,
        lines: 25,
        points: 16,
        cursor: (0, 4),
    };
    // Memory above 1 MiB by the BIOS, and what its call for EGA returns.
    let found = without(real.screen_info(), &[2..4, 0xa..0xc]);
    assert_eq!(text.to_bytes(), found);

    let real = BootParams::parse(&page("ovmf-512M.bin")).unwrap();
    let channel = |pos| Channel { size: 8, pos };
    let screen = FrameBuffer {
        kind: FrameBufferKind::Efi,
        base: 0x8000_0000,
        size: 1280 * 800 * 4,
        width: 1280,
        height: 800,
        depth: 32,
        line_length: 5120,
        red: channel(16),
        green: channel(8),
        blue: channel(0),
        reserved: channel(24),
    };
    // One page, and a flag of the EFI stub's.
    let found = without(real.screen_info(), &[0x32..0x34, 0x36..0x37]);
    assert_eq!(screen.to_bytes(), Ok(found));
}

/// Each byte counts its place, within 251.
#[test]
fn every_field_is_where_the_kernel_says() {
    let page: Vec<u8> = (0..SIZE)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    let params = BootParams::parse(&page).unwrap();
    let bytes = |at: usize| &page[at..];
    let word = |at: usize| u32::from_le_bytes(*bytes(at).first_chunk().unwrap());
    let long = |at: usize| u64::from_le_bytes(*bytes(at).first_chunk().unwrap());
    let joined = |low: usize, high: usize| u64::from(word(low)) | u64::from(word(high)) << 32;
    assert_eq!(params.screen_info(), page[..0x40]);
    assert_eq!(params.apm_bios_info(), page[0x40..0x54]);
    assert_eq!(params.tboot_addr(), long(0x58));
    assert_eq!(params.ist_info(), page[0x60..0x70]);
    assert_eq!(params.acpi_rsdp_addr(), long(0x70));
    assert_eq!(params.hd0_info(), page[0x80..0x90]);
    assert_eq!(params.hd1_info(), page[0x90..0xa0]);
    assert_eq!(params.sys_desc_table(), page[0xa0..0xb0]);
    assert_eq!(params.olpc_ofw_header(), page[0xb0..0xc0]);
    assert_eq!(params.ramdisk(), (joined(0x218, 0xc0), joined(0x21c, 0xc4)));
    assert_eq!(params.cmdline(), joined(0x228, 0xc8));
    assert_eq!(params.cc_blob_address(), word(0x13c));
    assert_eq!(params.edid_info(), page[0x140..0x1c0]);
    let efi = EfiInfo {
        signature: *bytes(0x1c0).first_chunk().unwrap(),
        systab: joined(0x1c4, 0x1d8),
        memdesc_size: word(0x1c8),
        memdesc_version: word(0x1cc),
        memmap: joined(0x1d0, 0x1dc),
        memmap_size: word(0x1d4),
    };
    assert_eq!(params.efi_info(), efi);
    assert_eq!(params.alt_mem_k(), word(0x1e0));
    assert_eq!(params.scratch(), word(0x1e4));
    assert_eq!(params.e820().count(), 128);
    assert_eq!(params.eddbuf_entries(), page[0x1e9]);
    assert_eq!(params.edd_mbr_sig_buf_entries(), page[0x1ea]);
    assert_eq!(params.kbd_status(), page[0x1eb]);
    assert_eq!(params.secure_boot(), page[0x1ec]);
    assert_eq!(params.sentinel(), page[0x1ef]);
    assert_eq!(params.setup_data(), long(0x250));
    assert_eq!(params.edd_mbr_sig_buffer()[15], word(0x290 + 60));
    for (index, entry) in params.e820().enumerate() {
        let at = 0x2d0 + 20 * index;
        assert_eq!(
            (entry.addr, entry.size, entry.kind),
            (long(at), long(at + 8), word(at + 16))
        );
    }
    assert_eq!(params.eddbuf()[5], page[0xd00 + 5 * 82..][..82]);
    let mut out = vec![0; SIZE];
    assert_eq!(params.emit(&mut out), Ok(SIZE));
    assert_eq!(out, page);
}

fn params() -> BootParams {
    BootParams::new(&Header::parse(KERNEL).unwrap())
}

#[test]
fn the_header_is_copied_to_its_end_and_no_further() {
    let mut file = KERNEL.to_vec();
    // Instructions follow the header in the file.
    assert!(file[0x26c..0x290].iter().any(|byte| *byte != 0));
    let built = params();
    assert_eq!(built.as_bytes()[0x1f1..0x26c], file[0x1f1..0x26c]);
    assert!(built.as_bytes()[..0x1f1].iter().all(|byte| *byte == 0));
    assert!(built.as_bytes()[0x26c..].iter().all(|byte| *byte == 0));
    // The longest header there can be, which a signed byte would not hold.
    file[0x201] = 0x8e;
    let built = BootParams::new(&Header::parse(&file).unwrap());
    assert_eq!(built.as_bytes()[0x1f1..0x290], file[0x1f1..0x290]);
    assert!(built.as_bytes()[0x290..].iter().all(|byte| *byte == 0));
}

#[test]
fn what_lies_above_four_gigabytes() {
    let mut built = params();
    built.set_ramdisk(0x1_2345_6000, 0x2_0000_0001).unwrap();
    built.set_cmdline(0x3_0000_0010, 5).unwrap();
    let bytes = built.as_bytes();
    assert_eq!(bytes[0x218..0x220], *b"\x00\x60\x45\x23\x01\0\0\0");
    assert_eq!(bytes[0xc0..0xcc], *b"\x01\0\0\0\x02\0\0\0\x03\0\0\0");
    assert_eq!(bytes[0x228..0x22c], *b"\x10\0\0\0");
    assert_eq!(built.ramdisk(), (0x1_2345_6000, 0x2_0000_0001));
    assert_eq!(built.cmdline(), 0x3_0000_0010);
}

#[test]
fn what_a_kernel_cannot_have() {
    let text = |result: Result<(), Error>| result.unwrap_err().to_string();
    let mut built = params();
    assert_eq!(
        text(built.set_cmdline(0x1000, 2048)),
        "offset 0x228: length of the command line is 0x800, allowed: up to cmdline_size"
    );
    assert!(built.set_cmdline(0x1000, 2047).is_ok());
    assert_eq!(
        text(built.set_ramdisk(u64::MAX, 2)),
        "offset 0x218: the end of the ramdisk is too large"
    );

    // Without XLF_CAN_BE_LOADED_ABOVE_4G.
    let mut file = KERNEL.to_vec();
    file[0x236] &= !2;
    let mut built = BootParams::new(&Header::parse(&file).unwrap());
    assert_eq!(
        text(built.set_cmdline(1 << 32, 5)),
        "offset 0x228: cmd_line_ptr is 0x100000000, allowed: below 4 GiB without XLF_CAN_BE_LOADED_ABOVE_4G"
    );
    assert!(built.set_ramdisk(0x7fff_f000, 0x1000).is_ok());
    assert_eq!(
        text(built.set_ramdisk(0x7fff_f000, 0x1001)),
        "offset 0x218: end of the ramdisk is 0x80000001, allowed: up to initrd_addr_max without XLF_CAN_BE_LOADED_ABOVE_4G"
    );
    file[0x206] = 1;
    let mut built = BootParams::new(&Header::parse(&file).unwrap());
    assert_eq!(
        text(built.set_cmdline(0x1000, 5)),
        "offset 0x206: a command line for version 0x201 is not supported"
    );
}

/// What the header of a kernel has no place for is not written behind it.
#[test]
fn fields_that_a_kernel_is_too_old_for() {
    let text = |result: Result<(), Error>| result.unwrap_err().to_string();
    for (name, version) in [("memdisk", 3), ("ipxe.lkrn", 7)] {
        let file = sample(name);
        let kernel = BzImage::parse(&file).unwrap();
        let mut built = BootParams::new(kernel.header());
        assert_eq!(
            text(built.set_setup_data(0x9_0000)),
            format!(
                "offset 0x206: setup_data for version {:#x} is not supported",
                0x200 + version
            )
        );
        assert_eq!(built.set_heap_end_ptr(0x1234), Ok(()));
        assert_eq!(built.set_loader(0xe1, 2, 3), Ok(()));
        let bytes = built.as_bytes();
        assert_eq!(bytes[0x224..0x228], *b"\x34\x12\x03\x02");
        let end = 0x1f1 + kernel.header().bytes().len();
        assert_eq!(bytes[0x228..end], file[0x228..end]);
        assert!(bytes[end..].iter().all(|byte| *byte == 0));
    }

    let mut old = KERNEL.to_vec();
    old[0x224..0x228].fill(0xee);
    for (version, heap) in [(1, true), (0, false)] {
        old[0x206] = version;
        let mut built = BootParams::new(&Header::parse(&old).unwrap());
        let refused = format!("for version 0x20{version} is not supported");
        assert_eq!(built.set_heap_end_ptr(0xeeee).is_ok(), heap);
        if !heap {
            let error = text(built.set_heap_end_ptr(0x1234));
            assert_eq!(error, format!("offset 0x206: heap_end_ptr {refused}"));
        }
        for (kind, number) in [(1, 0), (0, 1)] {
            let error = text(built.set_loader(0xe1, kind, number));
            assert_eq!(error, format!("offset 0x206: an extended loader {refused}"));
        }
        // Four bits for the loader were there from the beginning.
        assert_eq!(built.set_loader(0xd0, 0, 0), Ok(()));
        let bytes = built.as_bytes();
        assert_eq!(bytes[0x210], 0xd0);
        assert_eq!(bytes[0x224..0x228], [0xee; 4]);
    }
    // A page without a header.
    let mut built = BootParams::parse(&page("ovmf-512M.bin")).unwrap();
    assert!(matches!(
        built.set_setup_data(0x9_0000),
        Err(Error::BadMagic { .. })
    ));
}

#[test]
fn maps_of_more_than_128_entries() {
    let entries: Vec<E820Entry> = (0..200)
        .map(|at| E820Entry {
            addr: at << 20,
            size: 1 << 20,
            kind: 7,
        })
        .collect();
    let mut built = params();
    let rest = built.set_e820(&entries);
    assert_eq!(rest, &entries[128..]);
    assert!(built.e820().eq(entries[..128].iter().copied()));
    assert_eq!(built.as_bytes()[0x1e8], 128);
    assert!(built.as_bytes()[0xcd0..].iter().all(|byte| *byte == 0));

    let node = ExtendedE820::try_new(rest, 0x1122_3344_5566_7788).unwrap();
    let mut out = vec![0xff; 16 + 72 * 20 + 1];
    assert_eq!(node.emit(&mut out), Ok(16 + 72 * 20));
    assert_eq!(
        out[..16],
        *b"\x88\x77\x66\x55\x44\x33\x22\x11\x01\0\0\0\xa0\x05\0\0"
    );
    assert_eq!(
        out[16..36],
        *b"\0\0\0\x08\0\0\0\0\0\0\x10\0\0\0\0\0\x07\0\0\0"
    );
    assert_eq!(out.last(), Some(&0xff));
    for len in 0..16 + 72 * 20 {
        assert!(matches!(
            node.emit(&mut out[..len]),
            Err(Error::Truncated { .. })
        ));
    }
    // A map set again leaves nothing of the longer one.
    built.set_e820(&entries[..1]);
    assert!(
        built.as_bytes()[0x2d0 + 20..0xcd0]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn every_prefix_is_too_short() {
    let mut built = page("kexec-s.bin");
    let params = BootParams::parse(&built).unwrap();
    for len in 0..SIZE {
        let available = len as u64;
        let short = Error::Truncated {
            what: "boot_params",
            offset: 0,
            needed: 4096,
            available,
        };
        assert_eq!(BootParams::parse(&built[..len]).err(), Some(short));
        assert_eq!(params.emit(&mut built[..len]), Err(short));
    }
    assert_eq!(params.emit(&mut built), Ok(SIZE));
}

fn sample(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "testdata", name]
        .iter()
        .collect();
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Protocols 2.03 and 2.07 do not know `init_size`; MEMDISK's `syssize` is 0.
#[test]
fn kernels_that_do_not_say_what_memory_they_need() {
    let place = |file: &[u8], ram: Range<u64>, size| {
        let kernel = BzImage::parse(file).unwrap();
        let loaded = 0x10_0000..0x10_0000 + kernel.protected_mode().len() as u64;
        initrd_address(kernel.header(), loaded, ram, size).unwrap()
    };
    // Of 24744 and of 303449 bytes.
    for (name, end) in [("memdisk", 0x10_7000), ("ipxe.lkrn", 0x14_b000)] {
        let file = sample(name);
        assert_eq!(place(&file, 0..0x200_0000, 0x1123), Some(0x1ff_e000));
        assert_eq!(place(&file, 0..end + 0x1000, 0x1000), Some(end));
        assert_eq!(place(&file, 0..end + 0x1000, 0x1001), Some(0xf_e000));
        let above = 0x10_0000..end + 0x1000;
        assert_eq!(place(&file, above.clone(), 0x1000), Some(end));
        assert_eq!(place(&file, above, 0x1001), None);
        // Up to `initrd_addr_max`, and up to what there was instead before 2.03.
        assert_eq!(place(&file, 0..1 << 40, 0x1000), Some(0xffff_f000));
        let mut older = file;
        older[0x206] = 2;
        assert_eq!(place(&older, 0..1 << 40, 0x1000), Some(0x37ff_f000));
    }
    // One that has to say, and does not.
    let mut file = KERNEL.to_vec();
    file[0x260..0x264].fill(0);
    let header = Header::parse(&file).unwrap();
    assert!(matches!(
        initrd_address(&header, 0..1, 0..1 << 32, 1),
        Err(Error::BadField { offset: 0x260, .. })
    ));
}

proptest! {
    /// However memory is cut, the initrd is in it, on a page, and clear of the kernel, where it is loaded and
    /// where it runs; and where none is found, a page by page search finds none either.
    #[test]
    fn an_initrd_is_clear_of_the_kernel(
        start in 0_u64..0x2000, pages in 0_u64..0x8000, size in 1_u64..0x400_0000, load in 0_u64..0x200_0000,
        flags in any::<bool>(),
    ) {
        let mut file = KERNEL.to_vec();
        if !flags {
            file[0x236] &= !2;
            file[0x22c..0x230].copy_from_slice(&0x4ff_ffff_u32.to_le_bytes());
        }
        let header = Header::parse(&file).unwrap();
        let ram = start << 12..(start + pages) << 12;
        let needed = header.runtime().unwrap().at(load).unwrap();
        let loaded = load..load + u64::from(header.syssize()) * 16;
        let limit = if flags { u64::MAX } else { 0x500_0000 };
        let fits = |at: u64| {
            let end = at + size;
            let clear = |taken: &Range<u64>| end <= taken.start || at >= taken.end;
            at >= ram.start && end <= ram.end.min(limit) && clear(&needed) && clear(&loaded)
        };
        let found = initrd_address(&header, loaded.clone(), ram.clone(), size).unwrap();
        let mut pages = (ram.start >> 12..ram.end >> 12).rev().map(|page| page << 12);
        prop_assert_eq!(found, pages.find(|at| fits(*at)));
    }
}
