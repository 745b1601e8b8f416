//! The names of settings: those of ADO.NET, those of ODBC, and those of URLs.
//!
//! Every name that other drivers document is here with what becomes of it: it is honoured, refused with a remedy, or
//! it is accepted and reported as without effect. A name that is not here is a mistake and is refused as unknown.

use crate::secret::is_nearly;

/// What becomes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Server,
    Port,
    Database,
    User,
    Password,
    Encrypt,
    Trust,
    HostNameInCertificate,
    Application,
    Workstation,
    ConnectTimeout,
    CommandTimeout,
    Intent,
    MultiSubnetFailover,
    IntegratedSecurity,
    Authentication,
    AccessToken,
    AccessTokenCommand,
    ClientCertificate,
    Tenant,
    Authority,
    Scope,
    TokenFile,
    ServerSpn,
    /// Accepted and reported; the reason follows "has no effect: ".
    NoEffect(&'static str),
    /// As above, unless the value is false: then it asks for what happens anyway.
    NoEffectUnlessFalse(&'static str),
    /// Refused with a remedy.
    Refused(&'static str),
    /// As above, unless the value is false, no, 0 or disabled.
    RefusedUnlessFalse(&'static str),
}

const POOL: &str = "icesync keeps its own connections; see parallel_tables and parallel_channels";
const RETRIES: &str = "the configuration's `retry:` says how often icesync tries again";
const ODBC: &str = "it is a setting of the ODBC driver";
const ENCRYPTED: &str = "encrypted columns cannot be read or written. Remove it, and leave such columns out with \
    columns: { exclude: [...] }";
const FILE: &str = "attach the database on the server, and write Database=name";
const SOURCES: &str = "write the server's settings into the connection string itself";
const PINNED: &str = "add the certificate's authority to the machine's trusted ones (ca-certificates), and write \
    HostNameInCertificate when its name differs from the host's";
const PARTNER: &str = "connect to the principal, or to the listener of an availability group with \
    MultiSubnetFailover=true";
const TCP: &str = "remove it: icesync connects over TCP";

/// The names, folded.
const NAMES: &[(&str, Setting)] = &[
    ("server", Setting::Server),
    ("servername", Setting::Server),
    ("datasource", Setting::Server),
    ("addr", Setting::Server),
    ("address", Setting::Server),
    ("networkaddress", Setting::Server),
    ("port", Setting::Port),
    ("portnumber", Setting::Port),
    ("database", Setting::Database),
    ("databasename", Setting::Database),
    ("initialcatalog", Setting::Database),
    ("userid", Setting::User),
    ("uid", Setting::User),
    ("user", Setting::User),
    ("username", Setting::User),
    ("password", Setting::Password),
    ("pwd", Setting::Password),
    ("encrypt", Setting::Encrypt),
    ("trustservercertificate", Setting::Trust),
    ("hostnameincertificate", Setting::HostNameInCertificate),
    ("applicationname", Setting::Application),
    ("app", Setting::Application),
    ("appname", Setting::Application),
    ("workstationid", Setting::Workstation),
    ("wsid", Setting::Workstation),
    ("connecttimeout", Setting::ConnectTimeout),
    ("connectiontimeout", Setting::ConnectTimeout),
    ("logintimeout", Setting::ConnectTimeout),
    ("timeout", Setting::ConnectTimeout),
    ("commandtimeout", Setting::CommandTimeout),
    ("querytimeout", Setting::CommandTimeout),
    ("applicationintent", Setting::Intent),
    ("multisubnetfailover", Setting::MultiSubnetFailover),
    ("integratedsecurity", Setting::IntegratedSecurity),
    ("trustedconnection", Setting::IntegratedSecurity),
    ("authentication", Setting::Authentication),
    ("accesstoken", Setting::AccessToken),
    ("accesstokencommand", Setting::AccessTokenCommand),
    ("clientcertificate", Setting::ClientCertificate),
    ("tenantid", Setting::Tenant),
    ("authorityhost", Setting::Authority),
    ("tokenscope", Setting::Scope),
    ("tokenfile", Setting::TokenFile),
    ("failoverpartner", Setting::Refused(PARTNER)),
    ("failoverpartnerspn", Setting::Refused(PARTNER)),
    ("serverspn", Setting::ServerSpn),
    ("servercertificate", Setting::Refused(PINNED)),
    ("truststore", Setting::Refused(PINNED)),
    ("attachdbfilename", Setting::Refused(FILE)),
    ("attachdbfile", Setting::Refused(FILE)),
    ("extendedproperties", Setting::Refused(FILE)),
    ("initialfilename", Setting::Refused(FILE)),
    ("userinstance", Setting::RefusedUnlessFalse(FILE)),
    ("contextconnection", Setting::RefusedUnlessFalse(SOURCES)),
    ("dsn", Setting::Refused(SOURCES)),
    ("filedsn", Setting::Refused(SOURCES)),
    (
        "columnencryptionsetting",
        Setting::RefusedUnlessFalse(ENCRYPTED),
    ),
    ("columnencryption", Setting::RefusedUnlessFalse(ENCRYPTED)),
    ("enclaveattestationurl", Setting::Refused(ENCRYPTED)),
    ("attestationprotocol", Setting::Refused(ENCRYPTED)),
    ("networklibrary", Setting::Refused(TCP)),
    ("network", Setting::Refused(TCP)),
    ("net", Setting::Refused(TCP)),
    (
        "persistsecurityinfo",
        Setting::NoEffectUnlessFalse("icesync never shows a connection string"),
    ),
    ("pooling", Setting::NoEffectUnlessFalse(POOL)),
    ("minpoolsize", Setting::NoEffect(POOL)),
    ("maxpoolsize", Setting::NoEffect(POOL)),
    ("loadbalancetimeout", Setting::NoEffect(POOL)),
    ("connectionlifetime", Setting::NoEffect(POOL)),
    ("connectionreset", Setting::NoEffect(POOL)),
    ("poolblockingperiod", Setting::NoEffect(POOL)),
    (
        "multipleactiveresultsets",
        Setting::NoEffectUnlessFalse(POOL),
    ),
    ("mars", Setting::NoEffectUnlessFalse(POOL)),
    ("marsconnection", Setting::NoEffectUnlessFalse(POOL)),
    (
        "packetsize",
        Setting::NoEffect("rows travel in the largest packets, of 32767 bytes"),
    ),
    ("connectretrycount", Setting::NoEffect(RETRIES)),
    ("connectretryinterval", Setting::NoEffect(RETRIES)),
    (
        "enlist",
        Setting::NoEffectUnlessFalse("there is no distributed transaction to take part in"),
    ),
    (
        "transactionbinding",
        Setting::NoEffect("there is no distributed transaction to take part in"),
    ),
    (
        "replication",
        Setting::NoEffectUnlessFalse("icesync is no replication agent of SQL Server"),
    ),
    (
        "currentlanguage",
        Setting::NoEffect("icesync's statements do not depend on the session's language"),
    ),
    (
        "language",
        Setting::NoEffect("icesync's statements do not depend on the session's language"),
    ),
    (
        "typesystemversion",
        Setting::NoEffect("types are read as the server declares them"),
    ),
    (
        "ipaddresspreference",
        Setting::NoEffect(
            "addresses are tried in the order of the resolver, or all at once with \
            MultiSubnetFailover=true",
        ),
    ),
    (
        "transparentnetworkipresolution",
        Setting::NoEffectUnlessFalse(
            "write MultiSubnetFailover=true to dial all addresses at once",
        ),
    ),
    (
        "keepalive",
        Setting::NoEffect("idle connections are probed every 30 s"),
    ),
    (
        "keepaliveinterval",
        Setting::NoEffect("idle connections are probed every 30 s"),
    ),
    (
        "asynchronousprocessing",
        Setting::NoEffectUnlessFalse("everything is asynchronous"),
    ),
    ("driver", Setting::NoEffect(ODBC)),
    ("description", Setting::NoEffect(ODBC)),
    ("autotranslate", Setting::NoEffect(ODBC)),
    ("ansinpw", Setting::NoEffect(ODBC)),
    ("quotedid", Setting::NoEffect(ODBC)),
    ("regional", Setting::NoEffect(ODBC)),
    ("usefmtonly", Setting::NoEffect(ODBC)),
    ("querylogon", Setting::NoEffect(ODBC)),
    ("statslogon", Setting::NoEffect(ODBC)),
];

/// Case, spaces, `_` and `-` do not count.
pub(super) fn fold(key: &str) -> String {
    key.chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// The setting of a name.
pub(super) fn setting(key: &str) -> Option<Setting> {
    let folded = fold(key);
    let known = NAMES.iter().find(|(name, _)| *name == folded);
    known.map(|(_, setting)| *setting)
}

/// An unknown key, if it is close to a known one: behind a misplaced `;` it is the rest of a password.
pub(super) fn printable(key: &str) -> String {
    if is_nearly(&fold(key), NAMES.iter().map(|(name, _)| *name)) {
        key.to_owned()
    } else {
        "(not shown)".into()
    }
}
