//! A progress bar for what takes longer than half a second, on a terminal only: the one place
//! that draws any. It is on standard error, and gone when the work is done. Where it is known
//! how much work there is, it says how much is left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::{Printer, counted, size};
use crate::progress::Meter;

/// From the first thing that is counted: before it the work may be waiting for a command.
const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(80);
/// What a file costs beside its bytes, as so many bytes: reading is not all there is.
const FILE: u64 = 16 << 10;

/// Runs `work` with a meter; draws the meter when it takes long.
pub fn with<T>(printer: &Printer, what: &'static str, work: impl FnOnce(&Meter) -> T) -> T {
    if !printer.shows_progress() {
        return work(&Meter::default());
    }
    let meter = Meter::watched();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let drawer = scope.spawn(|| draw(what, &meter, &done));
        let _end = End { done: &done, drawer: drawer.thread().clone() };
        work(&meter)
    })
}

/// Ends the drawing, however the work ends.
struct End<'a> {
    done: &'a AtomicBool,
    drawer: Thread,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.drawer.unpark();
    }
}

fn draw(what: &'static str, meter: &Meter, done: &AtomicBool) {
    let mut began: Option<Instant> = None;
    loop {
        if done.load(Ordering::Relaxed) {
            return;
        }
        if began.is_none() && (meter.files() > 0 || meter.seen() > 0 || meter.expected_files() > 0) {
            began = Some(Instant::now());
        }
        if began.is_some_and(|began| began.elapsed() >= PATIENCE) {
            break;
        }
        std::thread::park_timeout(TICK);
    }
    let began = began.unwrap_or_else(Instant::now);
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_prefix(what);
    let mut measured = false;
    set_style(&bar, measured);
    while !done.load(Ordering::Relaxed) {
        let (all, part) = work_of(meter);
        if (all > 0) != measured {
            measured = all > 0;
            set_style(&bar, measured);
        }
        if measured {
            bar.set_length(all);
            bar.set_position(part.min(all));
        }
        bar.set_message(message(meter, began.elapsed()));
        bar.tick();
        std::thread::park_timeout(TICK);
    }
    bar.finish_and_clear();
}

fn set_style(bar: &ProgressBar, measured: bool) {
    let template = match measured {
        true => "{spinner} {prefix} [{bar:20}] {msg}, {eta} left",
        false => "{spinner} {prefix} {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

/// All the work there is, 0 where nobody knows, and how much of it is done.
fn work_of(meter: &Meter) -> (u64, u64) {
    let (files, bytes) = (meter.expected_files(), meter.expected_bytes());
    let done = if bytes > 0 { meter.bytes() } else { 0 };
    let work = |files: u64, bytes: u64| files.saturating_mul(FILE).saturating_add(bytes);
    (work(files, bytes), work(meter.files(), done))
}

/// `812 of 9000 files, 3.1 MB of 40 MB, 1600 files/s, 6 MB/s`
fn message(meter: &Meter, spent: Duration) -> String {
    let of = |all: String| format!(" of {all}");
    let mut parts = Vec::new();
    let (files, bytes) = (meter.files(), meter.bytes());
    if meter.seen() > 0 && files == 0 {
        return counted(meter.seen(), "name");
    }
    let all = meter.expected_files();
    parts.push(format!(
        "{files}{} files",
        if all >= files && all > 0 { of(all.to_string()) } else { String::new() }
    ));
    if bytes > 0 {
        let all = meter.expected_bytes();
        parts.push(format!("{}{}", size(bytes), if all >= bytes { of(size(all)) } else { String::new() }));
    }
    let seconds = spent.as_secs_f64().max(0.001);
    parts.push(format!("{} files/s", (files as f64 / seconds) as u64));
    if bytes > 0 {
        parts.push(format!("{}/s", size((bytes as f64 / seconds) as u64)));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_is_done_and_how_fast() {
        let meter = Meter::watched();
        meter.saw(7);
        assert_eq!(message(&meter, Duration::from_secs(1)), "7 names");
        meter.file(1_000_000);
        meter.file(1_000_000);
        let rates = ", 1 files/s, 1.0 MB/s";
        assert_eq!(message(&meter, Duration::from_secs(2)), format!("2 files, 2.0 MB{rates}"));
        assert_eq!(work_of(&meter).0, 0);
        meter.expect(4, 8_000_000);
        assert_eq!(message(&meter, Duration::from_secs(2)), format!("2 of 4 files, 2.0 MB of 8.0 MB{rates}"));
        let (all, part) = work_of(&meter);
        assert_eq!((all, part), (8_000_000 + 4 * FILE, 2_000_000 + 2 * FILE));
    }
}
