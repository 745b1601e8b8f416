//! A run of icesync that is watched and influenced while it goes on.

use crate::harness::Run;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes as long.
const PATIENCE: Duration = Duration::from_secs(90);

/// What icesync says when it has noticed the first signal.
const NOTICED: &str = "the run ends as soon as that is safe";

/// A run under way.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
    /// It waits at a failpoint while the file is there.
    held: Option<PathBuf>,
}

impl Running {
    /// Starts a command whose output is piped.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("icesync starts");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            stderr: String::new(),
            held: None,
        }
    }

    /// Starts a command that waits when it comes to a failpoint (`name` or `name:count`), and waits until it does. The
    /// file is one that is not there yet.
    pub fn held(mut command: Command, failpoint: &str, file: &Path) -> Self {
        command.env(
            "ICESYNC_FAILPOINT",
            format!("{failpoint}={}", file.display()),
        );
        let mut running = Self::start(command);
        running.held = Some(file.to_owned());
        running.wait(&format!("it is held at {failpoint}"), || file.exists());
        running
    }

    /// Lets it go on from its failpoint.
    pub fn release(&mut self) {
        let file = self.held.take().expect("held");
        std::fs::remove_file(file).expect("released");
    }

    /// Sends a signal (`TERM`, `INT`).
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("sh runs").success(), "{kill}");
    }

    /// Sends a signal and waits until icesync has noticed it.
    pub fn ends_by(&mut self, name: &str) {
        self.signal(name);
        self.says(NOTICED);
    }

    /// Waits until a line of stderr has this text.
    pub fn says(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            let found = line.contains(text);
            self.stderr.push_str(&line);
            self.stderr.push('\n');
            if found {
                return;
            }
        }
        panic!("it never says {text:?}: {}", self.stderr);
    }

    /// Waits for something to happen while it runs.
    pub fn wait(&mut self, what: &str, happened: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !happened() {
            let ended = self.child.try_wait().expect("a child");
            let is_late = Instant::now() > deadline;
            assert!(ended.is_none() && !is_late, "{what}: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for its end, which has to come within this time.
    pub fn end_within(mut self, limit: Duration) -> Run {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it is still running after {limit:?}: {}", self.stderr);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().expect("ended").code();
        let mut stdout = String::new();
        let mut piped = self.child.stdout.take().expect("piped");
        piped.read_to_string(&mut stdout).expect("text");
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(10)) {
            self.stderr.push_str(&line);
            self.stderr.push('\n');
        }
        Run {
            code: code.unwrap_or(-1),
            stdout,
            stderr: std::mem::take(&mut self.stderr),
        }
    }

    /// Waits for its end.
    pub fn end(self) -> Run {
        self.end_within(PATIENCE)
    }
}

impl Drop for Running {
    /// A test that failed leaves no run behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
