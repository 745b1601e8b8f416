//! Proof of holding a certificate's private key, as a JSON Web Token (RFC 7523, signed with RS256).

use super::failure::TokenFailure;
use crate::mssql::settings::SecretFile;
use crate::secret::Secret;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::Signer;
use openssl::x509::X509;
use std::time::{SystemTime, UNIX_EPOCH};

/// How long an assertion may be used, in seconds.
const LIVES_S: u64 = 600;

/// A certificate with its private key.
pub(super) struct Identity {
    certificate: X509,
    key: PKey<Private>,
}

impl Identity {
    /// Reads a file: PEM with certificate and private key, or PKCS#12.
    pub(super) async fn read(file: &SecretFile, password: &Secret) -> Result<Self, TokenFailure> {
        let refused = |why: String| {
            let shown = file.shown();
            let shown = shown.map_or_else(|| "(its path is not shown)".to_owned(), quoted);
            TokenFailure::Refused(format!("cannot use the client certificate {shown}: {why}"))
        };
        let bytes = tokio::fs::read(file.path()).await;
        let bytes = bytes.map_err(|error| match file.shown() {
            Some(_) => refused(error.to_string()),
            None => TokenFailure::Refused(format!(
                "`{}` holds a certificate, not the path of a file. Write the certificate to a file, and here its path",
                file.setting
            )),
        })?;
        let identity = Self::parse(&bytes, password.expose());
        let identity = identity.map_err(|_: ErrorStack| refused(UNREADABLE.into()))?;
        let identity = identity.ok_or_else(|| refused(INCOMPLETE.into()))?;
        match identity.key.id() {
            Id::RSA => Ok(identity),
            _ => Err(refused(
                "its key is not RSA, which Entra ID asks for".into(),
            )),
        }
    }

    fn parse(bytes: &[u8], password: &str) -> Result<Option<Self>, ErrorStack> {
        if bytes.windows(10).any(|window| window == b"-----BEGIN") {
            let certificate = X509::from_pem(bytes)?;
            let key = PKey::private_key_from_pem_passphrase(bytes, password.as_bytes())?;
            return Ok(Some(Self { certificate, key }));
        }
        let parsed = Pkcs12::from_der(bytes)?.parse2(password)?;
        Ok(parsed
            .cert
            .zip(parsed.pkey)
            .map(|(certificate, key)| Self { certificate, key }))
    }

    /// An assertion that `client_id` is asking at `audience`.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
    ) -> Result<String, TokenFailure> {
        self.signed(client_id, audience).map_err(|_| {
            TokenFailure::Refused("cannot sign with the key of the client certificate".into())
        })
    }

    fn signed(&self, client_id: &str, audience: &str) -> Result<String, ErrorStack> {
        let certificate = self.certificate.to_der()?;
        let header = serde_json::json!({
            "alg": "RS256",
            "typ": "JWT",
            "x5t": base64_url(&hash(MessageDigest::sha1(), &certificate)?),
            "x5t#S256": base64_url(&hash(MessageDigest::sha256(), &certificate)?),
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let claims = serde_json::json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": uuid::Uuid::new_v4().to_string(),
            "nbf": now,
            "exp": now + LIVES_S,
        });
        let header = base64_url(header.to_string().as_bytes());
        let claims = base64_url(claims.to_string().as_bytes());
        let text = format!("{header}.{claims}");
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        signer.update(text.as_bytes())?;
        let signature = base64_url(&signer.sign_to_vec()?);
        Ok(format!("{text}.{signature}"))
    }
}

const UNREADABLE: &str = "it is neither PEM nor PKCS#12, or the Password is not its own. A PKCS#12 file of old \
    algorithms has to be exported again";
const INCOMPLETE: &str = "it holds no certificate or no private key";

fn quoted(path: String) -> String {
    format!("`{path}`")
}

fn base64_url(bytes: &[u8]) -> String {
    let mut text = openssl::base64::encode_block(bytes);
    text.retain(|c| !c.is_whitespace() && c != '=');
    text.replace('+', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_certificate_in_the_place_of_its_path_is_not_shown() {
        let password = Secret::new("");
        for text in ["-----BEGIN hunter2", "MIIhunter2", "LS0thunter2"] {
            let file = SecretFile::new("AZURE_CLIENT_CERTIFICATE_PATH", text);
            let failure = Identity::read(&file, &password).await.err().unwrap();
            let said = failure.to_string();
            let expected =
                "`AZURE_CLIENT_CERTIFICATE_PATH` holds a certificate, not the path of a file";
            assert!(
                said.contains(expected) && !said.contains("hunter2"),
                "{said}"
            );
        }
        let file = SecretFile::new("Client Certificate", "/nowhere/app.pem");
        let failure = Identity::read(&file, &password).await.err().unwrap();
        assert!(failure.to_string().contains("`/nowhere/app.pem`"));
    }
}
