//! A program that renames, and says what the kernel or the mover said.

#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::support::World;

/// Compiles a C program; `None`, said, where there is no such compiler.
pub fn compile(world: &World, compiler: &str, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let (text, program) = (world.path().join(format!("{name}.c")), world.path().join(name));
    fs::write(&text, source).unwrap();
    let built = Command::new(compiler).args(flags).arg("-o").arg(&program).arg(&text).output();
    match built {
        Ok(output) if output.status.success() => Some(program),
        other => {
            let must = std::env::var_os("VRIFT_MUST_WORK").is_some_and(|value| value == "1");
            assert!(!must, "{compiler} {flags:?} must work here: {other:?}");
            eprintln!("skipped: {compiler} {flags:?}: {other:?}");
            None
        }
    }
}

/// `rename MODE OLD NEW`: what rename(2) and its like say, by name.
pub const RENAME: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    const char *mode = argv[1], *from = argv[2], *to = argv[3];
    int answer = -1;
    errno = 77;
    if (!strcmp(mode, "rename")) answer = rename(from, to);
    if (!strcmp(mode, "at")) answer = renameat(AT_FDCWD, from, AT_FDCWD, to);
    if (!strcmp(mode, "noreplace")) answer = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (!strcmp(mode, "exchange")) answer = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE);
    if (answer == 0) printf("done%s\n", errno == 77 ? "" : ", and errno changed");
    else printf("%s\n", strerrorname_np(errno));
    return 0;
}
"#;
