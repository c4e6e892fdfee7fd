//! The program that git looks for to reach `vrift::NAME`: it is the `vrift` beside it, else
//! the one on PATH, started by this name (`commands/remote.rs`).

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use vrift::cli::Color;
use vrift::commands::printer::Printer;
use vrift::commands::remote::NAME;
use vrift::error::Error;

fn main() -> ExitCode {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name("vrift"));
    let vrift = beside.filter(|path| path.exists()).unwrap_or_else(|| "vrift".into());
    let failed = Command::new(&vrift).arg0(NAME).args(std::env::args_os().skip(1)).exec();
    let error =
        Error::io("start", &vrift, &failed).with_hint("vrift and git-remote-vrift belong in one directory");
    Printer::new(Color::Auto, false, false).error(&error);
    ExitCode::FAILURE
}
