//! `kscope completions` and `kscope man`, made from the same definitions as `--help`.

use std::{fs, io::Write, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    Cli,
    failure::{Failure, Result},
    output::{Output, write_file},
};

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: Shell, output: &mut Output) -> Result {
    // Through a buffer: clap_complete panics where a write fails, and a pipe may be broken.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kscope", &mut script);
    Ok(output.write_all(&script)?)
}

/// Writes one manual page for each subcommand into `directory`.
pub(crate) fn man(directory: &Path) -> Result {
    fs::create_dir_all(directory).map_err(|error| Failure::system(directory, error))?;
    let mut command = Cli::command();
    command.build();
    pages(directory, &command)
}

fn pages(directory: &Path, command: &Command) -> Result {
    let page = Man::new(command.clone());
    write_file(&directory.join(page.get_filename()), |out| page.render(out))?;
    // `help` has a subcommand for each of the others, and nothing to say of its own.
    let commands = command.get_subcommands();
    commands
        .filter(|command| command.get_name() != "help")
        .try_for_each(|command| pages(directory, command))
}
