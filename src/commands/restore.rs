//! `vrift restore` and `vrift undo`: an earlier state comes back into the workspace.

use super::Status;
use super::printer::{Printer, counted};
use crate::cli::{Global, Restore, Undo};
use crate::error::Result;
use crate::session::rewind::{self, Rewound};

pub fn run(global: &Global, args: &Restore, printer: &Printer) -> Result<Status> {
    let project = super::known_project(global)?;
    let here = super::current_directory()?;
    let paths = args.paths.iter().map(|path| super::relative_to(&project.root, &here.join(path)));
    let paths = paths.collect::<Result<Vec<_>>>()?;
    let (project, rewound) = rewind::restore(project, &args.workspace, &args.root, &paths)?;
    say(&rewound, &args.workspace, printer);
    super::written(global, project, printer);
    Ok(0)
}

pub fn undo(global: &Global, args: &Undo, printer: &Printer) -> Result<Status> {
    let project = super::known_project(global)?;
    let (project, rewound) = rewind::undo(project, &args.workspace)?;
    say(&rewound, &args.workspace, printer);
    super::written(global, project, printer);
    Ok(0)
}

fn say(rewound: &Rewound, workspace: &str, printer: &Printer) {
    if rewound.revived {
        return printer.say(&format!("workspace {workspace} is there again"));
    }
    if rewound.changed == 0 {
        return printer.say(&format!("workspace {workspace} is in that state already"));
    }
    let to = match &rewound.back {
        Some(head) => format!("is back at @{}", head.place()),
        None => format!("is at {}", &rewound.root.hex()[..10]),
    };
    let before = match rewound.from {
        Some(number) => format!("; the state before: vrift restore @{number}"),
        None => String::new(),
    };
    printer.say(&format!("workspace {workspace} {to}: {} differ{before}", counted(rewound.changed, "path")));
}
