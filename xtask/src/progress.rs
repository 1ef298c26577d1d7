//! How far a long chore is.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error, where that is a terminal.
pub fn bar(total: usize, unit: &'static str, is_shown: bool) -> ProgressBar {
    let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style =
        ProgressStyle::with_template("{prefix}{bar:40} {pos}/{len} {msg}, {per_sec}, {elapsed} so far, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(total as u64), target).with_message(unit);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
