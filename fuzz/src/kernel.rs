//! Arbitrary bytes as the memory of a kernel: its log, symbols, types and pages.

use page_walk::{Walker, X86_64};
use physmem::{Endian, PageShift, Pfn, PhysAddr, Region, VirtAddr, Width};
use vmcore_format::{
    Vmcoreinfo,
    kernel::{
        Virtual,
        btf::{Btf, Id, Kind},
        kallsyms::Kallsyms,
        kexec_image::Layout,
        page_flags::Pages,
        printk,
    },
};

/// Where the bytes lie virtually: 2 MiB at most, and the same again from 0x80000000 on for pointers of
/// 32 bits.
const BASE: u64 = 0xffff_ffff_8000_0000;

/// Four page tables, and behind them the bytes.
const TABLES: usize = 0x4000;

/// More records than bytes can hold, if they do not share their memory.
const ENOUGH: usize = 10_000;

/// Of Linux 6.1 on x86-64, with everything at the beginning of the memory.
const RING: &str = "SYMBOL(prb)=ffffffff80000000\nOFFSET(printk_ringbuffer.desc_ring)=0\n\
    OFFSET(printk_ringbuffer.text_data_ring)=48\nOFFSET(prb_desc_ring.count_bits)=0\n\
    OFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\nOFFSET(prb_desc_ring.head_id)=24\n\
    OFFSET(prb_desc_ring.tail_id)=32\nSIZE(prb_desc)=24\nOFFSET(prb_desc.state_var)=0\n\
    OFFSET(prb_desc.text_blk_lpos)=8\nOFFSET(prb_data_blk_lpos.begin)=0\nOFFSET(prb_data_blk_lpos.next)=8\n\
    SIZE(printk_info)=88\nOFFSET(printk_info.seq)=0\nOFFSET(printk_info.ts_nsec)=8\n\
    OFFSET(printk_info.text_len)=16\nOFFSET(printk_info.caller_id)=20\nOFFSET(printk_info.dev_info)=24\n\
    OFFSET(dev_printk_info.subsystem)=0\nLENGTH(printk_info_subsystem)=16\n\
    OFFSET(dev_printk_info.device)=16\nLENGTH(printk_info_device)=48\nOFFSET(prb_data_ring.size_bits)=0\n\
    OFFSET(prb_data_ring.data)=8\nOFFSET(atomic_long_t.counter)=0\n";

const RECORDS: &str = "OSRELEASE=5.9.0\nSYMBOL(log_buf)=ffffffff80000000\nSYMBOL(log_buf_len)=ffffffff80000008\n\
    SYMBOL(log_first_idx)=ffffffff8000000c\nSYMBOL(log_next_idx)=ffffffff80000010\nSIZE(printk_log)=16\n\
    OFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\nOFFSET(printk_log.text_len)=10\n\
    OFFSET(printk_log.dict_len)=12\n";

const CHARACTERS: &str = "SYMBOL(log_buf)=ffffffff80000000\nSYMBOL(log_buf_len)=ffffffff80000008\n\
    SYMBOL(log_end)=ffffffff8000000c\n";

const KALLSYMS: &str = "SYMBOL(kallsyms_num_syms)=ffffffff80000000\nSYMBOL(kallsyms_relative_base)=ffffffff80000008\n\
    SYMBOL(kallsyms_token_index)=ffffffff80000010\nSYMBOL(kallsyms_token_table)=ffffffff80000210\n\
    SYMBOL(kallsyms_offsets)=ffffffff80000600\nSYMBOL(kallsyms_names)=ffffffff80000800\n";

const PAGES: &str = "SYMBOL(mem_section)=ffffffff80000000\nLENGTH(mem_section)=2048\nSIZE(mem_section)=16\n\
    OFFSET(mem_section.section_mem_map)=0\nNUMBER(SECTION_SIZE_BITS)=27\nNUMBER(MAX_PHYSMEM_BITS)=46\n\
    SIZE(page)=64\nOFFSET(page.flags)=0\nOFFSET(page._refcount)=52\nOFFSET(page.mapping)=24\n\
    OFFSET(page._mapcount)=48\nOFFSET(page.private)=40\nOFFSET(page.compound_head)=8\n\
    LENGTH(zone.free_area)=11\nNUMBER(PG_lru)=4\nNUMBER(PG_private)=13\nNUMBER(PG_swapcache)=10\n\
    NUMBER(PG_swapbacked)=19\nNUMBER(PG_slab)=9\nNUMBER(PG_hwpoison)=22\nNUMBER(PG_head_mask)=65536\n\
    NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\nNUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257\n\
    OFFSET(page.compound_dtor)=16\nOFFSET(page.compound_order)=17\nNUMBER(HUGETLB_PAGE_DTOR)=2\n";

/// Asks about the memory that holds `bytes`, of a machine that the first of them chooses.
fn with(bytes: &[u8], question: impl FnOnce(u8, Virtual<'_, Region<&[u8]>>)) {
    let Some((&choice, bytes)) = bytes.split_first() else {
        return;
    };
    let mut physical = vec![0; TABLES];
    let mut entry = |table: usize, index: usize, value: u64| {
        let at = table * 0x1000 + index * 8;
        physical[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    for (top, upper) in [(511, 510), (0, 2)] {
        entry(0, top, 0x1003);
        entry(1, upper, 0x2003);
    }
    entry(2, 0, 0x3003);
    for page in 0..512 {
        entry(3, page, ((TABLES + page * 0x1000) as u64) | 3);
    }
    physical.extend(bytes);
    let memory = Region::try_new(PhysAddr::new(0), &physical[..]).expect("begins at 0");
    let walker = Walker::new(X86_64::four_level(), PhysAddr::new(0)).into();
    let endian = [Endian::Little, Endian::Big][usize::from(choice & 1)];
    let word = [Width::U64, Width::U32][usize::from(choice >> 1 & 1)];
    question(choice, Virtual::new(walker, &memory, endian, word));
}

/// Each of the three rings: it ends, texts have the bytes that there are, and records can be printed.
pub fn log(data: &[u8]) {
    with(data, |choice, virt| {
        let text = [RING, RECORDS, CHARACTERS][usize::from(choice >> 2) % 3];
        let Ok(records) = printk::records(&Vmcoreinfo::new(text.as_bytes(), 0), virt) else {
            return;
        };
        let mut said = 0;
        for record in records.take(ENOUGH).flatten() {
            said += record.text.len();
            assert!(record.to_string().len() >= record.text.len());
            assert!(record.level.is_none_or(|level| level < 8));
        }
        // Records of the older rings do not share their bytes.
        assert!(text == RING || said <= data.len());
    });
}

/// Symbols: what is listed is found by its name, and by its address if the table is in order.
pub fn kallsyms(data: &[u8]) {
    with(data, |_, virt| {
        let Ok(tables) = Kallsyms::new(&Vmcoreinfo::new(KALLSYMS.as_bytes(), 0), virt) else {
            return;
        };
        let listed: Vec<_> = tables.symbols().take(200).map_while(Result::ok).collect();
        for (number, symbol) in listed.iter().enumerate() {
            let first = listed.iter().find(|other| other.name == symbol.name);
            assert_eq!(
                tables.find(&symbol.name).as_ref().map(Option::as_ref),
                Ok(first)
            );
            let is_all = listed.len() == tables.count() as usize;
            if is_all && listed.is_sorted_by_key(|symbol| symbol.address) {
                let found = tables
                    .at(symbol.address)
                    .unwrap()
                    .expect("a symbol is there");
                let alias = listed
                    .iter()
                    .position(|other| other.address == symbol.address);
                assert_eq!((&found.symbol, found.offset), (&listed[alias.unwrap()], 0));
                assert!(alias.unwrap() <= number);
            }
        }
        for address in [0, BASE, u64::MAX] {
            let _ = tables.at(VirtAddr::new(address));
        }
    });
}

/// Types: every question has an answer, and what is listed is found.
pub fn btf(data: &[u8]) {
    let at = VirtAddr::new(BASE);
    for endian in [Endian::Little, Endian::Big] {
        let Ok(types) = Btf::parse(data, at, endian) else {
            continue;
        };
        assert!(types.count() <= data.len() / 12);
        for id in (0..=types.count() + 1).take(64) {
            let id = Id(u32::try_from(id).expect("a small number"));
            let kind = types.kind(id);
            let name = types.name(id);
            if let Some(kind) = kind {
                let first = types.find(kind, name).expect("it is there");
                assert!(first.0 <= id.0);
            }
            let _ = (
                types.size(id),
                types.member(id, b"flags"),
                types.member(id, name),
            );
            if let Ok(values) = types.enumerators(id) {
                assert!(values.count() <= data.len() / 8);
                assert!(types.size(id).is_ok());
            }
        }
        let _ = types.find(Kind::STRUCT, b"page");
        if let Ok(layout) = Layout::of_types(&types) {
            assert_eq!(layout.endian, endian);
            assert!(types.find(Kind::STRUCT, b"kimage").is_some());
        }
    }
}

/// Pages: what a frame says, its block says of it.
pub fn pages(data: &[u8]) {
    with(data, |_, virt| {
        let info = Vmcoreinfo::new(PAGES.as_bytes(), 0);
        let Ok(pages) = Pages::new(&info, virt, PageShift::SIZE_4K) else {
            return;
        };
        let last = Pfn::new(u64::MAX);
        for pfn in (0..128).chain(32768..32832).map(Pfn::new) {
            let (end, found) = pages.run(pfn, last);
            // The last of those in a row is as the first.
            let is_there = |found: Result<Option<_>, _>| found.map(|frame| frame.is_some()).ok();
            assert_eq!(is_there(pages.run(end, last).1), is_there(found));
            if let Ok(Some(frame)) = found {
                assert_eq!(end, pfn);
                let behind = frame.head.as_u64() + (1 << frame.order);
                assert!(frame.head <= pfn && pfn.as_u64() < behind);
                assert!(pages.names(frame.flags).count() <= 6);
            }
        }
        let mut next = Pfn::new(0);
        for block in pages
            .blocks(Pfn::new(0)..Pfn::new(1 << 24))
            .take(ENOUGH)
            .flatten()
        {
            assert!(block.pfn >= next);
            next = block.pfn;
        }
    });
}
