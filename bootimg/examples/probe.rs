//! What kexec-tools would take files for: `probe MACHINE FILE...`, the machine as `uname -m` says.
//!
//! A line for each file: the loader, or `none`, and why the loaders before it refuse.

use std::{env, error::Error, fs};

use bootimg::detect::probe;
use elf_format::Machine;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let machine = arguments.next().ok_or("usage: probe MACHINE FILE...")?;
    let (machine, _) = Machine::from_uname(machine.as_bytes()).ok_or("no such machine")?;
    for path in arguments {
        let file = fs::read(&path)?;
        let mut taken = "none";
        let mut reasons = String::new();
        for (loader, verdict) in probe(&file, machine) {
            match verdict {
                Ok(()) => {
                    taken = loader.name;
                    break;
                }
                Err(error) => reasons += &format!("; {}: {error}", loader.name),
            }
        }
        println!("{taken}{reasons}");
    }
    Ok(())
}
