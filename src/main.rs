//! Parse, dispatch, render, exit status.

use vrift::cli::{Cli, Verb};
use vrift::commands::{self, printer::Printer};

fn main() -> std::process::ExitCode {
    let cli = Cli::read();
    let printer = Printer::new(cli.global.color, cli.global.quiet, cli.global.verbose);
    let running = matches!(cli.verb, Some(Verb::Exec(_) | Verb::Enter(_)));
    commands::run(cli, &printer)
        .unwrap_or_else(|error| {
            printer.error(&error);
            commands::status_of(&error, running)
        })
        .into()
}
