//! The kernel's checks of a load, rule by rule.
//!
//! ```text
//!   unaligned              ok
//!   overlap                EINVAL   segment 3: it begins at 0x1ffd4000, …
//!   outside-crash-kernel   -        which memory is reserved is not told
//! ```

use std::{io::Write, path::Path};

use kexec_format::{
    Arch, Limits, LoadFlags,
    check::{EADDRNOTAVAIL, EINVAL, Kernel, Request, Rule, Version},
};
use physmem::{PageShift, PhysRange, Width};
use serde::Serialize;

use crate::{
    failure::{Result, notice},
    output::Output,
};

/// What is known of the kernel that judges.
pub(super) struct Judge {
    pub(super) arch: Arch,
    pub(super) width: Width,
    pub(super) page: PageShift,
    pub(super) version: Version,
    /// The flags that it is known to know.
    pub(super) flags: LoadFlags,
    /// Why nobody can tell whether the call names its architecture.
    pub(super) arch_untold: &'static str,
    pub(super) limits: Limits,
    /// Bytes of RAM, if that is known.
    pub(super) ram: Option<u64>,
    /// The memory reserved for a crash kernel, if it is known.
    pub(super) reserved: Option<PhysRange>,
}

/// What a rule says.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    rule: &'static str,
    /// What the system call returns for it.
    errno: Option<i32>,
    /// `None`: it cannot be told.
    ok: Option<bool>,
    why: Option<String>,
}

impl Judge {
    /// Every rule, in the kernel's order.
    pub(super) fn judge(&self, request: &Request<'_>) -> Vec<Check> {
        let kernel = Kernel {
            arch: self.arch,
            width: self.width,
            page: self.page,
            version: self.version,
            // Any that has a name may be known; no kernel knows the others.
            flags: LoadFlags::NAMED,
            limits: self.limits,
            ram_pages: self.ram.unwrap_or_default() >> self.page.as_u8(),
            crash_kernel: self.reserved,
        };
        let is_named = LoadFlags::NAMED.contains(request.flags);
        let untold = |rule| match rule {
            Rule::UnknownFlags if is_named && !self.flags.contains(request.flags) => {
                Some("which flags the kernel knows is not told")
            }
            Rule::ForeignArch if request.arch != Arch::DEFAULT => Some(self.arch_untold),
            Rule::CrashEntry | Rule::OutsideCrashKernel
                if request.flags.contains(LoadFlags::ON_CRASH) && self.reserved.is_none() =>
            {
                Some("which memory is reserved is not told")
            }
            Rule::HalfOfRam | Rule::AllHalfOfRam if self.ram.is_none() => {
                Some("how much RAM there is is not told")
            }
            _ => None,
        };
        let judge = |rule: Rule| {
            let (ok, why) = match (untold(rule), kernel.verdict(rule, request)) {
                (Some(why), _) => (None, Some(why.to_owned())),
                (None, Ok(())) => (Some(true), None),
                (None, Err(rejected)) => (Some(false), Some(rejected.to_string())),
            };
            Check {
                rule: rule.name(),
                errno: rule.errno(),
                ok,
                why,
            }
        };
        Rule::OF_LOADS.map(judge).into()
    }
}

impl Check {
    /// Prints one line for each.
    pub(super) fn print(checks: &[Self], output: &mut Output) -> Result {
        for Self {
            rule,
            errno,
            ok,
            why,
        } in checks
        {
            let verdict = match (ok, errno) {
                (Some(true), _) => "ok".to_owned(),
                (None, _) => "-".to_owned(),
                (_, Some(EINVAL)) => "EINVAL".to_owned(),
                (_, Some(EADDRNOTAVAIL)) => "EADDRNOTAVAIL".to_owned(),
                (_, Some(errno)) => format!("errno {errno}"),
                (_, None) => "wrong".to_owned(),
            };
            let line = format!(
                "  {rule:<24}{verdict:<15}{}",
                why.as_deref().unwrap_or_default()
            );
            writeln!(output, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Whether no rule is broken.
    pub(super) fn all_hold(checks: &[Self]) -> bool {
        checks.iter().all(|check| check.ok != Some(false))
    }

    /// Names on standard error what is broken; whether nothing is.
    pub(super) fn name_broken(checks: &[Self], file: &Path) -> bool {
        let broken = checks.iter().filter(|check| check.ok == Some(false));
        let mut none = true;
        for why in broken.filter_map(|check| check.why.as_deref()) {
            notice(file, why);
            none = false;
        }
        none
    }
}
