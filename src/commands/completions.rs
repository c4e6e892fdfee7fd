//! `vrift completions`: a shell's completion script, made from the definition of the
//! command line.

use clap::CommandFactory;

use super::Status;
use super::printer::Printer;
use crate::cli::{Cli, Completions, Shell};
use crate::error::Result;

pub fn run(args: &Completions, printer: &Printer) -> Result<Status> {
    let mut script = Vec::new();
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut Cli::command(), "vrift", &mut script);
    printer.out(&String::from_utf8_lossy(&script));
    Ok(0)
}
