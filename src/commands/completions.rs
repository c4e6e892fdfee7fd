//! `vrift completions`: a shell's completion script.

use clap_complete::env::{Bash, Fish, Zsh};

use super::Status;
use super::complete::script;
use super::printer::Printer;
use crate::cli::{Completions, Shell};
use crate::error::Result;

pub fn run(args: &Completions, printer: &Printer) -> Result<Status> {
    let script = match args.shell {
        Shell::Bash => script(&Bash),
        Shell::Zsh => script(&Zsh),
        Shell::Fish => script(&Fish),
    };
    printer.out_bytes(&script);
    Ok(0)
}
