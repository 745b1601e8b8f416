//! Commands that print a token. What they print is never shown.
//!
//! A command is a process group of its own. When it does not end in time, or its output is not wanted any more, the
//! whole group is killed: a shell that is killed alone leaves what it has started behind. A helper that a command
//! leaves in the background on purpose outlives it, and its end is not waited for.

use super::answer::Token;
use super::endpoint::ANSWER_BYTES_MAX;
use super::failure::TokenFailure;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const VARIABLE: &str = "ICESYNC_TOKEN_COMMAND";
const SCRIPT: &str = r#"icesync_command=$ICESYNC_TOKEN_COMMAND; unset ICESYNC_TOKEN_COMMAND; eval "$icesync_command""#;
const LIMIT: Duration = Duration::from_secs(60);
/// What a command has printed is in the pipe when it ends. A helper in the background may keep the pipe open.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// How a command ended.
enum Ended {
    With(ExitStatus, Vec<u8>),
    /// It was killed.
    Late,
    /// It was killed: it printed more than a token.
    TooLong,
}

/// A command of the user, through the shell. It has no input. It may hold a secret, so it is no argument of the shell,
/// which every user of the machine could see, and no variable of what the shell starts.
pub(super) async fn shell(text: &str) -> Result<Token, TokenFailure> {
    shell_within(text, LIMIT).await
}

async fn shell_within(text: &str, limit: Duration) -> Result<Token, TokenFailure> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT]).env(VARIABLE, text);
    let ended = ended(command, limit).await.map_err(|error| {
        TokenFailure::Refused(format!(
            "the Access Token Command cannot be started: {error}"
        ))
    })?;
    match ended {
        Ended::With(status, printed) if status.success() => {
            token(&printed, "the output of the Access Token Command")
        }
        Ended::With(status, _) => Err(TokenFailure::Refused(format!(
            "the Access Token Command failed ({status}). What it prints is not shown; run it by hand"
        ))),
        Ended::Late => {
            let seconds = limit.as_secs();
            let message = format!("the Access Token Command did not end within {seconds} s");
            Err(TokenFailure::Passing(message))
        }
        Ended::TooLong => {
            let message = "the Access Token Command printed more than 1 MiB, which is no token";
            Err(TokenFailure::Refused(message.into()))
        }
    }
}

/// The login of `az login`.
pub(super) async fn azure_cli(resource: &str, tenant: Option<&str>) -> Result<Token, TokenFailure> {
    let mut command = Command::new("az");
    command.args([
        "account",
        "get-access-token",
        "--output",
        "json",
        "--resource",
    ]);
    command.arg(resource);
    if let Some(tenant) = tenant {
        command.args(["--tenant", tenant]);
    }
    let missing = |why: &str| TokenFailure::Unavailable(why.to_owned());
    let ended = ended(command, LIMIT).await;
    match ended.map_err(|_| missing("`az` is not installed"))? {
        Ended::With(status, printed) if status.success() => {
            token(&printed, "the output of `az account get-access-token`")
        }
        Ended::With(..) => Err(missing(
            "`az account get-access-token` failed; `az login` may help",
        )),
        Ended::Late => Err(missing("`az account get-access-token` did not end")),
        Ended::TooLong => Err(missing(
            "`az account get-access-token` printed more than 1 MiB",
        )),
    }
}

/// Runs a command to its end, or for as long as it may run.
async fn ended(mut command: Command, limit: Duration) -> io::Result<Ended> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut group = Group::of(&child);
    let mut printed = Vec::new();
    let status = {
        let mut reading = pin!(read(child.stdout.take(), &mut printed));
        // None: it has printed too much. True: all that it has printed is read.
        let waited = timeout(limit, async {
            tokio::select! {
                status = child.wait() => Some((status, false)),
                is_whole = &mut reading => match is_whole {
                    true => Some((child.wait().await, true)),
                    false => None,
                },
            }
        });
        let (status, is_read) = match waited.await {
            Ok(Some(ended)) => ended,
            Ok(None) => return Ok(Ended::TooLong),
            Err(_elapsed) => return Ok(Ended::Late),
        };
        group.release();
        if !is_read && timeout(DRAIN_LIMIT, &mut reading).await == Ok(false) {
            return Ok(Ended::TooLong);
        }
        status?
    };
    Ok(Ended::With(status, printed))
}

/// Reads to the end, or until there is more than a token; false: there is more.
async fn read(from: Option<impl AsyncRead + Unpin>, printed: &mut Vec<u8>) -> bool {
    let Some(from) = from else { return true };
    let room = ANSWER_BYTES_MAX as u64 + 1;
    // What a broken pipe has lost is missed by who takes the text for a token.
    let _ = from.take(room).read_to_end(printed).await;
    printed.len() <= ANSWER_BYTES_MAX
}

/// The process group of a child; killed when dropped, unless the child has ended.
struct Group(Option<Pid>);

impl Group {
    /// Of a child that was started as the first of a group.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Its number may be another group's from now on.
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // One that has ended meanwhile needs no killing.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn token(printed: &[u8], of: &str) -> Result<Token, TokenFailure> {
    let text = String::from_utf8_lossy(printed);
    Token::printed(&text, of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_secs(2);

    /// Waits until a process has ended.
    async fn ends(pid: &str) -> bool {
        let running = format!("/proc/{pid}/stat");
        for _ in 0..50 {
            // A zombie has ended, although its parent may not have noticed.
            let state = std::fs::read_to_string(&running);
            if state.map_or(true, |state| state.contains(") Z ")) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    async fn written(file: &std::path::Path) -> String {
        for _ in 0..50 {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if text.ends_with('\n') {
                return text.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        String::new()
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let text = format!("sleep 300 & echo $! > '{}'; wait", file.display());
        let failure = shell_within(&text, SHORT).await.unwrap_err();
        assert!(matches!(failure, TokenFailure::Passing(_)), "{failure:?}");
        let pid = written(&file).await;
        assert!(!pid.is_empty() && ends(&pid).await, "{pid} is left behind");
        // The same when it is not waited for any more.
        std::fs::remove_file(&file).unwrap();
        let text = format!("sleep 300 & echo $! > '{}'; wait", file.display());
        let mut asking = Box::pin(shell(&text));
        let pid = tokio::select! {
            token = &mut asking => panic!("{token:?}"),
            pid = written(&file) => pid,
        };
        drop(asking);
        assert!(!pid.is_empty() && ends(&pid).await, "{pid} is left behind");
    }

    #[tokio::test]
    async fn a_helper_in_the_background_is_not_waited_for() {
        let clock = Instant::now();
        let token = shell("sleep 20 & echo abc").await.unwrap();
        assert_eq!(token.text.expose(), "abc");
        assert!(clock.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_command_prints_no_more_than_a_token() {
        for text in [
            "head -c 3000000 /dev/zero",
            "trap '' PIPE; head -c 3000000 /dev/zero; sleep 60",
        ] {
            let clock = Instant::now();
            let failure = shell(text).await.unwrap_err();
            assert!(matches!(failure, TokenFailure::Refused(_)), "{failure:?}");
            assert!(failure.to_string().contains("1 MiB"), "{failure}");
            assert!(clock.elapsed() < Duration::from_secs(30));
        }
    }

    #[tokio::test]
    async fn what_a_command_starts_does_not_get_its_text() {
        let text = "[ -z \"$ICESYNC_TOKEN_COMMAND\" ] && ! env | grep -q ICESYNC_TOKEN_COMMAND= && echo abc";
        assert_eq!(shell(text).await.unwrap().text.expose(), "abc");
    }
}
