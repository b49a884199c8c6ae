//! Where things are in the structures of the lockless ring, as VMCOREINFO tells.

#![deny(clippy::arithmetic_side_effects)]

use crate::{Error, Vmcoreinfo};

/// Sizes and offsets of the kernel's structures, in bytes.
#[derive(Debug)]
pub(super) struct Layout {
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
    pub(super) fn told(info: &Vmcoreinfo<'_>, counter: u64) -> Result<Self, Error> {
        // No sum of two offsets of a structure leaves the address space; a crafted one is refused when
        // it is added to an address.
        let sum = |a: u64, b: u64| a.saturating_add(b);
        let text_blk_lpos = told!(info, OFFSET("prb_desc.text_blk_lpos"))?;
        Ok(Self {
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
            info.length("printk_info_subsystem")?,
        );
        let device = name(
            told_if!(info, OFFSET("dev_printk_info.device"))?,
            info.length("printk_info_device")?,
        );
        Ok(subsystem
            .zip(device)
            .map(|(subsystem, device)| Self { subsystem, device }))
    }
}
