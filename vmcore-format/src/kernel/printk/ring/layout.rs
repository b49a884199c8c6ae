//! Where things are in the structures of the lockless ring, as VMCOREINFO tells.

#![deny(clippy::arithmetic_side_effects)]

use physmem::VirtAddr;

use crate::{Error, Vmcoreinfo};

/// Sizes and offsets of the kernel's structures, in bytes.
#[derive(Debug)]
pub(in super::super) struct Layout {
    /// Where the pointer to the ring is.
    pub(super) prb: VirtAddr,
    pub(super) desc_ring: u64,
    pub(super) text_data_ring: u64,
    pub(super) count_bits: u64,
    pub(super) descs: u64,
    pub(super) infos: u64,
    pub(super) head_id: u64,
    pub(super) tail_id: u64,
    pub(super) size_bits: u64,
    pub(super) data: u64,
    pub(super) counter: u64,
    pub(super) desc_size: u64,
    pub(super) state_var: u64,
    pub(super) begin: u64,
    pub(super) next: u64,
    pub(super) info_size: u64,
    pub(super) seq: u64,
    pub(super) ts_nsec: u64,
    pub(super) text_len: u64,
    pub(super) caller_id: u64,
    pub(super) device: Option<DeviceLayout>,
}

/// Where a name is in `printk_info`, and how long it may be.
#[derive(Debug)]
pub(super) struct DeviceLayout {
    pub(super) subsystem: (u64, u64),
    pub(super) device: (u64, u64),
}

impl Layout {
    pub(in super::super) fn told(info: &Vmcoreinfo<'_>) -> Result<Self, Error> {
        // No sum of two offsets of a structure leaves the address space; a crafted one is refused when
        // it is added to an address.
        let sum = |a: u64, b: u64| a.saturating_add(b);
        let counter = told!(info, OFFSET("atomic_long_t.counter"))?;
        let text_blk_lpos = told!(info, OFFSET("prb_desc.text_blk_lpos"))?;
        Ok(Self {
            prb: VirtAddr::new(told!(info, SYMBOL("prb"))?),
            desc_ring: told!(info, OFFSET("printk_ringbuffer.desc_ring"))?,
            text_data_ring: told!(info, OFFSET("printk_ringbuffer.text_data_ring"))?,
            count_bits: told!(info, OFFSET("prb_desc_ring.count_bits"))?,
            descs: told!(info, OFFSET("prb_desc_ring.descs"))?,
            infos: told!(info, OFFSET("prb_desc_ring.infos"))?,
            head_id: told!(info, OFFSET("prb_desc_ring.head_id"))?,
            tail_id: told!(info, OFFSET("prb_desc_ring.tail_id"))?,
            size_bits: told!(info, OFFSET("prb_data_ring.size_bits"))?,
            data: told!(info, OFFSET("prb_data_ring.data"))?,
            counter,
            desc_size: told!(info, SIZE("prb_desc"))?,
            state_var: sum(told!(info, OFFSET("prb_desc.state_var"))?, counter),
            begin: sum(
                text_blk_lpos,
                told!(info, OFFSET("prb_data_blk_lpos.begin"))?,
            ),
            next: sum(
                text_blk_lpos,
                told!(info, OFFSET("prb_data_blk_lpos.next"))?,
            ),
            info_size: told!(info, SIZE("printk_info"))?,
            seq: told!(info, OFFSET("printk_info.seq"))?,
            ts_nsec: told!(info, OFFSET("printk_info.ts_nsec"))?,
            text_len: told!(info, OFFSET("printk_info.text_len"))?,
            caller_id: told!(info, OFFSET("printk_info.caller_id"))?,
            device: DeviceLayout::told(info)?,
        })
    }
}

impl DeviceLayout {
    /// `None` where it is not told: devices are not needed to read a log.
    fn told(info: &Vmcoreinfo<'_>) -> Result<Option<Self>, Error> {
        let dev_info = told_if!(info, OFFSET("printk_info.dev_info"))?;
        let name =
            |offset: Option<u64>, len: Option<u64>| Some((dev_info?.saturating_add(offset?), len?));
        let subsystem = name(
            told_if!(info, OFFSET("dev_printk_info.subsystem"))?,
            told_if!(info, LENGTH("printk_info_subsystem"))?,
        );
        let device = name(
            told_if!(info, OFFSET("dev_printk_info.device"))?,
            told_if!(info, LENGTH("printk_info_device"))?,
        );
        Ok(subsystem
            .zip(device)
            .map(|(subsystem, device)| Self { subsystem, device }))
    }
}
