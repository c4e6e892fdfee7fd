//! Sets and clears the immutable flag of objects for who may not do it himself: installed
//! with `setcap cap_linux_immutable=ep`; see `cas/helper.rs`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use vrift::cas::helper::serve;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let (verb, place) = match words.as_slice() {
        [verb, place] => (verb.to_str().unwrap_or_default(), Path::new(place)),
        _ => ("", Path::new("")),
    };
    let (text, status) = match serve(verb, place) {
        Ok(count) => (std::io::stdout().write_all(count.to_string().as_bytes()), ExitCode::SUCCESS),
        Err(error) => (std::io::stderr().write_all(format!("{error}\n").as_bytes()), ExitCode::FAILURE),
    };
    if text.is_ok() { status } else { ExitCode::FAILURE }
}
