//! One line that changes where there is a terminal, and a line now and then where there is none.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Changes of the line in a second.
const DRAWS: u8 = 10;

/// What a command is at.
pub struct Progress {
    bar: Option<ProgressBar>,
    said_at: Instant,
}

impl Progress {
    /// Progress through something of this length, or of none that is known.
    pub fn new(length: Option<Duration>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = is_terminal.then(|| match length {
            Some(length) => {
                let bar = ProgressBar::new(millis(length));
                bar.set_style(style("{prefix} {bar:30} {msg}"));
                bar
            }
            None => {
                let bar = ProgressBar::new_spinner();
                bar.set_style(style("{prefix} {spinner} {msg}"));
                bar
            }
        });
        if let Some(bar) = &bar {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS));
        }
        Self { bar, said_at: Instant::now() }
    }

    /// Where it is now. `message` is only made when it is shown.
    pub fn show(&mut self, at: Duration, length: Option<Duration>, message: impl Fn() -> String) {
        let prefix = || match length {
            Some(length) => format!("{} / {}", clock(at), clock(length)),
            None => clock(at),
        };
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(prefix());
                bar.set_message(message());
                bar.set_position(millis(at));
            }
            None if self.said_at.elapsed() >= PLAIN_EVERY => {
                self.said_at = Instant::now();
                eprintln!("{}  {}", prefix(), message());
            }
            None => {}
        }
    }

    /// Something happened that should stay on the screen.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// The line goes.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Such as 1:02:03, or 02:03 within the first hour.
pub fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Such as "1 frame" or "2 frames".
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; a mistake in one shows the plain default.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_read_well() {
        assert_eq!(clock(Duration::from_millis(59_999)), "00:59");
        assert_eq!(clock(Duration::from_secs(3_723)), "1:02:03");
        assert_eq!((count(1, "frame"), count(0, "frame")), ("1 frame".into(), "0 frames".into()));
    }
}
