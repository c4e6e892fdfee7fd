//! A progress bar for what takes longer than half a second, on a terminal only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::{Printer, size};
use crate::progress::Meter;

const PATIENCE: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(80);

/// Runs `work` with a meter; draws the meter when it takes long.
pub fn with<T>(printer: &Printer, what: &'static str, work: impl FnOnce(&Meter) -> T) -> T {
    let meter = Meter::default();
    if !printer.shows_progress() {
        return work(&meter);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let drawer = scope.spawn(|| draw(what, &meter, &done));
        let value = work(&meter);
        done.store(true, Ordering::Relaxed);
        drawer.thread().unpark();
        value
    })
}

fn draw(what: &'static str, meter: &Meter, done: &AtomicBool) {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if done.load(Ordering::Relaxed) {
            return;
        }
        std::thread::park_timeout(PATIENCE.saturating_sub(began.elapsed()));
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    while !done.load(Ordering::Relaxed) {
        let seconds = began.elapsed().as_secs_f64();
        let rate = (meter.files() as f64 / seconds) as u64;
        bar.set_message(format!("{} files, {} ({rate}/s)", meter.files(), size(meter.bytes())));
        bar.tick();
        std::thread::park_timeout(TICK);
    }
    bar.finish_and_clear();
}
