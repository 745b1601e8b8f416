//! The whole stand-in inside a test's process.

use crate::engine::{Engine, EngineOptions};
use crate::session::SqlError;
use crate::tds::{AccessToken, Embedded, Encryption, Faults, Identity, WireError, WireOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// What a stand-in in a test is like.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    pub engine: EngineOptions,
    /// T-SQL to run in the first database before the first client.
    pub init: Vec<String>,
    /// Offer TLS with a certificate of its own.
    pub tls: bool,
    /// Refuse a parameter that is a NULL without a type, as servers do that only speak like SQL Server.
    pub typed_nulls: bool,
    /// A token that logs in as the engine's user.
    pub access_token: Option<String>,
}

impl Default for SandboxOptions {
    /// Databases `source` and `target` without row versions, a login `sa`, no encryption.
    fn default() -> Self {
        Self {
            engine: EngineOptions {
                databases: vec!["source".to_owned(), "target".to_owned()],
                password: "Sandbox-0nly!".to_owned(),
                ..EngineOptions::default()
            },
            init: Vec::new(),
            tls: false,
            typed_nulls: false,
            access_token: None,
        }
    }
}

/// Why a stand-in did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the stand-in cannot listen on a loopback port: {0}")]
    Listen(#[source] std::io::Error),
    #[error("the stand-in's engine did not start: {0}")]
    Engine(#[source] SqlError),
    #[error("an initialisation script failed: {0}")]
    Init(#[source] SqlError),
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// A running stand-in on a port of its own. Stopping or dropping it ends its connections and forgets its data.
pub struct Sandbox {
    /// Where it listens, on the loopback interface.
    pub addr: SocketAddr,
    /// The engine itself, for tests that look behind the wire.
    pub engine: Arc<Engine>,
    /// What tests do to connections and replies.
    pub faults: Faults,
    options: SandboxOptions,
    certificate_pem: Option<Vec<u8>>,
    server: Embedded,
}

impl Sandbox {
    /// Starts a stand-in on a free loopback port; it takes connections when this returns.
    pub fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let engine = Engine::new(options.engine.clone()).map_err(SandboxError::Engine)?;
        let databases = &options.engine.databases;
        let first = databases.first().map_or("master", String::as_str);
        for script in &options.init {
            engine
                .run_script(first, script)
                .map_err(SandboxError::Init)?;
        }
        let identity = match options.tls {
            true => Some(Identity::self_signed()?),
            false => None,
        };
        let certificate_pem = identity.as_ref().map(|i| i.certificate_pem().to_vec());
        let access_token = options.access_token.as_ref().map(|token| AccessToken {
            token: token.clone(),
            user: options.engine.user.clone(),
            password: options.engine.password.clone(),
        });
        let wire = WireOptions {
            access_token,
            encryption: identity.map_or(Encryption::Off, Encryption::Offered),
            typed_nulls: options.typed_nulls,
            ..WireOptions::default()
        };
        let faults = wire.faults.clone();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Embedded::start(Arc::<Engine>::clone(&engine), any, wire)
            .map_err(SandboxError::Listen)?;
        Ok(Self {
            addr: server.addr(),
            engine,
            faults,
            options,
            certificate_pem,
            server,
        })
    }

    /// The certificate that clients may trust, when it offers TLS.
    pub fn certificate_pem(&self) -> Option<&[u8]> {
        self.certificate_pem.as_deref()
    }

    /// An ADO.NET connection string for `database`.
    pub fn connection_string(&self, database: &str) -> String {
        let EngineOptions { user, password, .. } = &self.options.engine;
        let tls = self.options.tls;
        format!(
            "Server=tcp:{},{};Database={database};User \
                Id={user};Password={password};Encrypt={tls};TrustServerCertificate=true",
            self.addr.ip(),
            self.addr.port(),
        )
    }

    /// Ends every connection and waits for it, as dropping does.
    pub fn stop(self) {
        self.server.stop();
    }
}
