//! The command line of the stand-in: options in, one ready line out, a clean end on SIGTERM and SIGINT.
//!
//! Exit code 0 after a clean stop, 1 when it could not start (address in use, an initialisation script that fails),
//! 2 for wrong arguments.

use clap::Parser;
use icesync_sandbox::engine::{Engine, EngineOptions};
use icesync_sandbox::session::SqlError;
#[cfg(feature = "kerberos")]
use icesync_sandbox::tds::Principal;
use icesync_sandbox::tds::{Encryption, Identity, WireError, WireOptions, serve};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A SQL Server stand-in that speaks TDS 7.4 and keeps its data in memory, for tests and demos.
#[derive(Debug, Parser)]
#[command(name = "icesync-sandbox", version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one, told by the ready line.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1433")]
    listen: SocketAddr,
    /// The SQL login.
    #[arg(long, default_value = "sa")]
    user: String,
    /// The environment variable that holds the login's password.
    #[arg(long, value_name = "VARIABLE")]
    password_env: String,
    /// A database to create. It has neither ALLOW_SNAPSHOT_ISOLATION nor READ_COMMITTED_SNAPSHOT, as in SQL Server.
    #[arg(long = "database", value_name = "NAME", required = true)]
    databases: Vec<String>,
    /// Set ALLOW_SNAPSHOT_ISOLATION ON in these databases.
    #[arg(long)]
    snapshot_isolation: bool,
    /// Set READ_COMMITTED_SNAPSHOT ON in these databases.
    #[arg(long)]
    read_committed_snapshot: bool,
    /// How long the capture job of change data capture waits after a commit before it scans it.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100)]
    capture_delay: u64,
    /// A T-SQL script to run before clients are served, in the first database unless it says USE.
    #[arg(long = "init", value_name = "FILE")]
    scripts: Vec<PathBuf>,
    /// Offer TLS with a certificate made now and signed by itself.
    #[arg(long)]
    tls: bool,
    /// Where to write that certificate, for clients that verify it.
    #[arg(long, value_name = "FILE", requires = "tls")]
    certificate: Option<PathBuf>,
    /// A user of a Kerberos realm who logs in, with a ticket, as the SQL login. KRB5_KTNAME names the service's keytab.
    #[cfg(feature = "kerberos")]
    #[arg(long, value_name = "USER@REALM")]
    principal: Option<String>,
    /// Answer that user's ticket with a proof that does not hold.
    #[cfg(feature = "kerberos")]
    #[arg(long, requires = "principal")]
    false_proof: bool,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(
        "the environment variable {0} that --password-env names is not set or empty; export the login's password in it"
    )]
    NoPassword(String),
    #[error("--database {0} is named twice or is a system database; name each database once")]
    Database(String),
    #[error(
        "cannot listen on {0}: {1}; stop what listens there or choose another port (0 takes a free one)"
    )]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("cannot write the certificate to {0}: {1}; choose a file that can be written")]
    Certificate(PathBuf, #[source] std::io::Error),
    #[error("cannot read the script {0}: {1}")]
    Unreadable(PathBuf, #[source] std::io::Error),
    #[error("the script {0} failed: {1}")]
    Script(PathBuf, #[source] SqlError),
    #[error("cannot create the databases: {0}")]
    Engine(#[source] SqlError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NoPassword(_) | Self::Database(_) => 2,
            Self::Listen(..)
            | Self::Certificate(..)
            | Self::Unreadable(..)
            | Self::Script(..)
            | Self::Engine(_)
            | Self::Wire(_)
            | Self::System(_) => 1,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Says a line on stderr; when even that is gone, nobody is left to tell.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "icesync-sandbox: {line}");
}

fn run(arguments: &Arguments) -> Result<(), StartError> {
    let password = std::env::var(&arguments.password_env)
        .ok()
        .filter(|password| !password.is_empty())
        .ok_or_else(|| StartError::NoPassword(arguments.password_env.clone()))?;
    check_names(&arguments.databases)?;
    let encryption = if arguments.tls {
        let identity = Identity::self_signed()?;
        if let Some(file) = &arguments.certificate {
            std::fs::write(file, identity.certificate_pem())
                .map_err(|error| StartError::Certificate(file.clone(), error))?;
        }
        Encryption::Offered(identity)
    } else {
        Encryption::Off
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen)
            .await
            .map_err(|error| StartError::Listen(arguments.listen, error))?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        #[cfg(feature = "kerberos")]
        let principal = arguments.principal.as_ref().map(|name| Principal {
            name: name.clone(),
            user: arguments.user.clone(),
            password: password.clone(),
            has_false_proof: arguments.false_proof,
        });
        let engine = Engine::new(EngineOptions {
            user: arguments.user.clone(),
            password,
            databases: arguments.databases.clone(),
            allow_snapshot: arguments.snapshot_isolation,
            read_committed_snapshot: arguments.read_committed_snapshot,
            capture_delay_ms: arguments.capture_delay,
            ..EngineOptions::default()
        })
        .map_err(StartError::Engine)?;
        let first = arguments.databases.first().map_or("master", String::as_str);
        for script in &arguments.scripts {
            initialise(&engine, first, script)?;
        }
        let options = WireOptions {
            encryption,
            #[cfg(feature = "kerberos")]
            principal,
            ..WireOptions::default()
        };
        announce(listener.local_addr()?)?;
        serve(
            listener,
            engine,
            options,
            stopped(&mut terminated, &mut interrupted),
        )
        .await;
        Ok(())
    })
}

fn check_names(databases: &[String]) -> Result<(), StartError> {
    let mut taken: Vec<String> = ["master", "tempdb", "model", "msdb"]
        .map(str::to_owned)
        .into();
    for name in databases {
        let folded = name.to_lowercase();
        if taken.contains(&folded) {
            return Err(StartError::Database(name.clone()));
        }
        taken.push(folded);
    }
    Ok(())
}

fn initialise(engine: &Engine, database: &str, script: &Path) -> Result<(), StartError> {
    let sql = std::fs::read_to_string(script)
        .map_err(|error| StartError::Unreadable(script.to_owned(), error))?;
    engine
        .run_script(database, &sql)
        .map_err(|error| StartError::Script(script.to_owned(), error))
}

fn announce(addr: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "icesync-sandbox ready on {addr}")?;
    out.flush()
}

async fn stopped(terminated: &mut Signal, interrupted: &mut Signal) {
    let name = tokio::select! {
        _ = terminated.recv() => "SIGTERM",
        _ = interrupted.recv() => "SIGINT",
    };
    complain(&format!("stopping on {name}"));
}
