//! Paths of files that hold a secret.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longer texts are not shown: a path is seldom as long, a secret often is.
const SHOWN_MAX: usize = 200;

/// Beginnings of PEM, of DER and PEM in base64, and of a JSON Web Token.
const SECRETS: [&str; 4] = ["-----BEGIN", "MII", "LS0t", "eyJ"];

/// The path of a file that holds a secret. What may be the secret itself, written in the place of the path, is never
/// shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The setting or variable that names it.
    pub setting: &'static str,
    path: PathBuf,
}

impl SecretFile {
    /// As a setting or variable has it.
    pub fn new(setting: &'static str, path: impl Into<PathBuf>) -> Self {
        Self {
            setting,
            path: path.into(),
        }
    }

    /// To read it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path for a message; none when it may be a secret.
    pub fn shown(&self) -> Option<String> {
        let path = self.path.to_string_lossy();
        let path = path.trim();
        let is_secret = path.contains(['\n', '\r'])
            || path.len() >= SHOWN_MAX
            || SECRETS.iter().any(|start| path.starts_with(start));
        (!is_secret).then(|| path.to_owned())
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown().as_deref().unwrap_or("***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown_as_a_path() {
        let long = "x".repeat(SHOWN_MAX);
        for text in [
            "-----BEGIN PRIVATE KEY-----",
            "  -----BEGIN PRIVATE KEY-----",
            "MIIJKQIBAzCC",
            "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
            "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
            "/run/a\nb",
            "/run/a\rb",
            &long,
        ] {
            let file = SecretFile::new("Token File", text);
            assert_eq!(file.shown(), None, "{text}");
            assert_eq!(format!("{file:?}"), "***");
        }
        let file = SecretFile::new("Token File", "/run/secrets/app.pem");
        assert_eq!(file.shown().as_deref(), Some("/run/secrets/app.pem"));
        assert_eq!(format!("{file:?}"), "/run/secrets/app.pem");
    }
}
