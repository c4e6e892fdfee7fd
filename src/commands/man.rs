//! `vrift man`: the manual pages, made from the definition of the command line.

use std::path::Path;

use clap::CommandFactory;

use super::Status;
use super::printer::Printer;
use crate::cli::{Cli, Man};
use crate::error::{Context, Result};

pub fn run(args: &Man, printer: &Printer) -> Result<Status> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).context("create", dir)?;
            write_all(&command, dir)?;
        }
        None => printer.out(&String::from_utf8_lossy(&page(&command)?)),
    }
    Ok(0)
}

/// `vrift.1`, and `vrift-VERB.1` for each verb that help shows.
fn write_all(command: &clap::Command, dir: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?).context("write", &path)?;
    command.get_subcommands().filter(|verb| !verb.is_hide_set()).try_for_each(|verb| write_all(verb, dir))
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let source = concat!("vrift ", env!("CARGO_PKG_VERSION"));
    let page = clap_mangen::Man::new(command.clone()).source(source).manual("vrift");
    let mut text = Vec::new();
    page.render(&mut text).context("make the manual page of", command.get_name())?;
    Ok(text)
}
