//! What VMCOREINFO tells and cannot be right, as those find it who read it.
//!
//! ```text
//!  VMCOREINFO ─┬─▶ release, time, page size
//!              ├─▶ Layout, page_flags        which need each other
//!              └─▶ printk, kallsyms          where their tables are
//! ```
//!
//! A key that is missing is no fault, and neither is one that nobody here reads.

use alloc::vec::Vec;

use super::{Virtual, kallsyms, page_flags::Pages, printk, word_width};
use crate::{Dump, Error, ReadAt};

/// What is wrong with values in the VMCOREINFO of a dump. Reads no memory but, on s390x, the root of the page tables.
pub(crate) fn check<S: ReadAt>(dump: &Dump<S>) -> Vec<Error> {
    let Ok(Some(info)) = dump.vmcoreinfo() else {
        return Vec::new();
    };
    let memory = dump.reader();
    let pages = || {
        let virt = Virtual::of(dump, &memory)?;
        Pages::new(&info, virt, dump.page_size()?).map(|_| ())
    };
    let read = [
        info.os_release().map(|_| ()),
        info.crash_time().map(|_| ()),
        dump.page_size().map(|_| ()),
        pages(),
        printk::check(&info),
        kallsyms::check(&info, word_width(dump)),
    ];
    let mut found = Vec::new();
    for error in read.into_iter().filter_map(Result::err) {
        let is_wrong = matches!(error, Error::BadText { .. } | Error::BadField { .. });
        if is_wrong && !found.contains(&error) {
            found.push(error);
        }
    }
    found
}
