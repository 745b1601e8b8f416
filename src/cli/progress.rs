//! Progress bars on a terminal; nothing where stderr is not one.

use super::output::printable;
use icesync::report::thousands;
use icesync::sync::{Observer, Phase};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

/// One spinner a table at work.
pub struct Progress {
    bars: Option<(MultiProgress, Mutex<HashMap<String, ProgressBar>>)>,
}

impl Progress {
    /// Bars if stderr is a terminal.
    pub fn new() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| (MultiProgress::new(), Mutex::new(HashMap::new())));
        Self { bars }
    }

    fn with_bar(&self, table: &str, act: impl FnOnce(&ProgressBar)) {
        let Some((all, bars)) = &self.bars else {
            return;
        };
        let Ok(mut bars) = bars.lock() else { return };
        let bar = bars.entry(table.to_owned()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix:28} {msg} {elapsed:>5}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(printable(table));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        act(bar);
    }
}

impl Observer for Progress {
    fn phase(&self, table: &str, phase: Phase, rows: u64) {
        self.with_bar(table, |bar| {
            let what = match phase {
                Phase::Connect => "connecting".to_owned(),
                Phase::Plan => "looking for changes".to_owned(),
                Phase::Read => format!("read {} rows", thousands(rows)),
                Phase::Commit => format!("committing {} rows", thousands(rows)),
                Phase::Stage => format!("staged {} rows", thousands(rows)),
                Phase::Merge => format!("merging {} rows", thousands(rows)),
            };
            bar.set_message(what);
        });
    }

    fn retry(&self, table: &str, attempt: u32, wait: Duration, why: &str) {
        tracing::warn!(
            "{table}: attempt {attempt} failed, trying again in {:.1} s: {why}",
            wait.as_secs_f64()
        );
    }

    fn finished(&self, table: &str) {
        let Some((all, bars)) = &self.bars else {
            return;
        };
        if let Ok(mut bars) = bars.lock()
            && let Some(bar) = bars.remove(table)
        {
            bar.finish_and_clear();
            all.remove(&bar);
        }
    }
}
