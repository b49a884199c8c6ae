//! `kscope`: what a Linux machine boots, where its memory is, and what was left when it crashed.
//!
//! Files in, answers out: arguments, files and printing are here; what knows a format is in the
//! libraries.

mod address;
mod core_file;
mod draw;
mod dump;
mod failure;
mod image;
mod input;
mod kexec;
mod manual;
mod map;
mod mapped;
mod output;
mod progress;
mod segment;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;

use crate::{
    failure::{Failure, Result},
    output::{Output, outlive_limit},
};

/// Look at a Linux machine's boot images, memory map, the kernel that kexec has loaded, and the dump it left when it crashed
///
/// Exit status: 0 done, 1 the input is not what was asked for or is damaged, 2 wrong usage, 3 the
/// system refused.
#[derive(Debug, Parser)]
#[command(name = "kscope", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Image(Box<image::Image>),
    Map(map::Map),
    /// How one kernel gets to the next: look at what kexec has loaded
    #[command(subcommand)]
    Kexec(kexec::Kexec),
    /// What was left: look into a crash dump
    #[command(subcommand)]
    Dump(dump::Dump),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a directory, which is made if it is missing
    Man {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

impl Command {
    fn run(&self, output: &mut Output) -> Result {
        match self {
            Self::Image(image) => image.run(output),
            Self::Map(map) => map.run(output),
            Self::Kexec(kexec) => kexec.run(output),
            Self::Dump(dump) => dump.run(output),
            Self::Completions { shell } => manual::completions(*shell, output),
            Self::Man { directory } => manual::man(directory),
        }
    }
}

fn main() -> ExitCode {
    if let Err(error) = outlive_limit() {
        return Failure::System(format!("SIGXFSZ: {error}")).report();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let mut output = Output::new();
    let done = cli.command.run(&mut output);
    // What was found before something went wrong is told, too; the first trouble is the one to name.
    match done.and(output.flush().map_err(Failure::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Help and version as clap prints them; a usage error on one line, as all errors.
fn refuse(error: &clap::Error) -> ExitCode {
    let help = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    if help.contains(&error.kind()) {
        let printed = error.print().and_then(|()| io::stdout().flush());
        // Help that nobody asked for goes to standard error.
        return match printed {
            Err(why) if !error.use_stderr() => Failure::from(why).report(),
            _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
        };
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let said: Vec<String> = text
        .split("\n\n")
        .take_while(|paragraph| !paragraph.starts_with("Usage:"))
        .filter(|paragraph| !paragraph.starts_with("For more"))
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    Failure::Usage(format!("{} (see --help)", said.join("; "))).report()
}
