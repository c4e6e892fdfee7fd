//! Builds the preload library (`src/psfs/preload`), which the binary embeds, and the same
//! once more with what counts its answers.
//!
//! It is a crate of its own and not a dependency, because it must be a dynamic library
//! without std whatever the binary is linked like: rustc is called for it, with none of
//! the flags of this build. Where the architecture has no system calls written down
//! (`src/psfs/preload/<arch>.rs`) the library is an empty file, and runs go without.

use std::env::var_os;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/psfs");
    for (name, counts) in [("preload.so", false), ("counting.so", true)] {
        build(&PathBuf::from(var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(name), counts);
    }
}

fn build(out: &Path, counts: bool) {
    let arch = var_os("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if arch != "x86_64" {
        return std::fs::write(out, "").expect("the output directory can be written");
    }
    // as few segments as can be, for each is one more mapping in every program that starts;
    // older GNU linkers do not know the first option, and need only the second
    let built = ["--no-rosegment", "-z,noseparate-code"].iter().any(|option| {
        let mut rustc = Command::new(var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        compile(&mut rustc, out, counts, option);
        rustc.status().expect("rustc can be run").success()
    });
    assert!(built, "the preload library cannot be built");
}

fn compile(rustc: &mut Command, out: &Path, counts: bool, option: &str) {
    rustc.args(["--crate-name", "vrift_preload", "--crate-type", "cdylib", "--edition", "2024"]);
    rustc.arg("--target").arg(var_os("TARGET").expect("cargo sets TARGET"));
    rustc.args(["-C", "panic=abort", "-C", "opt-level=2", "-C", "codegen-units=1", "-C", "strip=symbols"]);
    rustc.args(["--check-cfg", "cfg(counting)"]);
    if counts {
        rustc.args(["--cfg", "counting"]);
    }
    rustc.args(["-C", "force-unwind-tables=no"]);
    // a dynamic library even where programs are linked statically; no start files, for
    // they bring functions and references of their own
    rustc.args(["-C", "target-feature=-crt-static", "-C", "relocation-model=pic"]);
    for argument in [
        "-nostartfiles",
        "-nodefaultlibs",
        "-Wl,--gc-sections,--hash-style=both,--build-id=none",
        // no relro: it holds three pointers, and protecting it would cost every program a call
        "-Wl,-z,now,-z,norelro,-z,noexecstack",
        &format!("-Wl,{option}"),
    ] {
        rustc.arg("-C").arg(format!("link-arg={argument}"));
    }
    if let Some(linker) = var_os("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    rustc.arg("-o").arg(out).arg(Path::new("src/psfs/preload/lib.rs"));
}
