//! `vrift commit`: the workspace's state becomes a snapshot, durably.

use super::printer::{Printer, counted};
use super::{Status, bar, snapshot};
use crate::cli::{Commit, Global};
use crate::error::Result;
use crate::session::seal::{Sealed, Wanted, commit};

pub fn run(global: &Global, args: &Commit, printer: &Printer) -> Result<Status> {
    super::refuse_unknown(global, &args.workspace)?;
    let project = super::project(global)?;
    let wanted = Wanted {
        workspace: &args.workspace,
        name: args.name.as_deref(),
        message: &args.message,
        sync: !args.no_sync,
    };
    let (_, sealed) = bar::with(printer, "taking in", |meter| commit(project, &wanted, meter))?;
    warn(&sealed, printer);
    if args.json.json {
        printer.json(&snapshot::json(&sealed.snapshot));
        return Ok(0);
    }
    let Sealed { snapshot, unchanged, .. } = &sealed;
    let same = if *unchanged { ", the same state as the one before" } else { "" };
    printer.say(&format!("snapshot {} of workspace {}{same}", snapshot.name, snapshot.workspace));
    Ok(0)
}

fn warn(sealed: &Sealed, printer: &Printer) {
    if let Some(report) = &sealed.synced {
        report.left_out.iter().for_each(|left| printer.warn(&left.to_string()));
        report.conflicts.iter().for_each(|conflict| printer.warn(&conflict.to_string()));
    }
    if let Some(taken) = &sealed.checkpoint {
        taken.left_out.iter().for_each(|name| printer.warn(&format!("left out {name}")));
    }
    if sealed.snapshot.conflicts > 0 {
        let open = counted(usize::try_from(sealed.snapshot.conflicts).unwrap_or(usize::MAX), "conflict");
        printer.warn(&format!("sealed with {open} open: vrift status shows them"));
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    #[test]
    fn a_message_and_a_name_are_told_apart() {
        let cli = Cli::parse_from(["vrift", "commit", "-m", "it works", "v1"]);
        let Some(Verb::Commit(commit)) = cli.verb else { panic!("not commit") };
        assert_eq!((commit.name.as_deref(), commit.message.as_str()), (Some("v1"), "it works"));
    }
}
