//! Commands that print a token. What they print is never shown.

use super::answer::Token;
use super::failure::TokenFailure;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;

const VARIABLE: &str = "ICESYNC_TOKEN_COMMAND";
const LIMIT: Duration = Duration::from_secs(60);

/// A command of the user, through the shell. It has no input. It may hold a secret, so it is no argument of the shell,
/// which every user of the machine could see.
pub(super) async fn shell(text: &str) -> Result<Token, TokenFailure> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &format!("eval \"${VARIABLE}\"")])
        .env(VARIABLE, text);
    let output = output(command).await.map_err(|error| {
        TokenFailure::Refused(format!(
            "the Access Token Command cannot be started: {error}"
        ))
    })?;
    let Some(output) = output else {
        let seconds = LIMIT.as_secs();
        let message = format!("the Access Token Command did not end within {seconds} s");
        return Err(TokenFailure::Passing(message));
    };
    if !output.status.success() {
        return Err(TokenFailure::Refused(format!(
            "the Access Token Command failed ({}). What it prints is not shown; run it by hand",
            output.status
        )));
    }
    printed(&output, "the output of the Access Token Command")
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
    let output = output(command).await;
    let output = output.map_err(|_| missing("`az` is not installed"))?;
    let output = output.ok_or_else(|| missing("`az account get-access-token` did not end"))?;
    if !output.status.success() {
        return Err(missing(
            "`az account get-access-token` failed; `az login` may help",
        ));
    }
    printed(&output, "the output of `az account get-access-token`")
}

/// None: it did not end in time, and was ended.
async fn output(mut command: Command) -> std::io::Result<Option<Output>> {
    command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(output) => output.map(Some),
        Err(_elapsed) => Ok(None),
    }
}

fn printed(output: &Output, of: &str) -> Result<Token, TokenFailure> {
    let text = String::from_utf8_lossy(&output.stdout);
    Token::printed(&text, of)
}
