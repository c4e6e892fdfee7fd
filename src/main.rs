//! Parse, dispatch, render, exit status.

use std::path::Path;

use vrift::cli::{Cli, Color, Verb};
use vrift::commands::{self, printer::Printer, remote};
use vrift::os::log;

fn main() -> std::process::ExitCode {
    let mut args = std::env::args_os();
    if args.next().is_some_and(|name| Path::new(&name).file_name() == Some(remote::NAME.as_ref())) {
        let printer = Printer::new(Color::Auto, false, false);
        let status = remote::run(args, &printer).unwrap_or_else(|error| {
            printer.error(&error);
            commands::status_of(&error, false)
        });
        return status.into();
    }
    if commands::complete::answer(&Printer::plain()) {
        return std::process::ExitCode::SUCCESS;
    }
    let cli = Cli::read();
    let printer = Printer::new(cli.global.color, cli.global.quiet, cli.global.verbose);
    let running = matches!(cli.verb, Some(Verb::Exec(_) | Verb::Enter(_)));
    let done = log::begin().and_then(|()| commands::run(cli, &printer));
    let status = done.unwrap_or_else(|error| {
        printer.error(&error);
        commands::status_of(&error, running)
    });
    log::line("end", format_args!("status {status}"));
    status.into()
}
