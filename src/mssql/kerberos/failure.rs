//! Why a login by Kerberos fails.

use crate::mssql::error::MssqlError;
use std::time::Duration;

/// Why there is no ticket, or why the server's answer to it does not hold.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mssql) struct NoTicket {
    reason: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Asking again does not help.
    Lasting,
    /// The cache has no valid ticket.
    Missing,
    /// The KDC does not answer, or asks to be left alone.
    Passing,
    /// No KDC is known for the realm. DNS may be out of order, or the realm misnamed.
    Unfound,
}

/// A failure by what the library says of it, in English. Any of the texts will do.
struct Known {
    says: &'static [&'static str],
    remedy: &'static str,
    kind: Kind,
}

const SEE_KDC: &str =
    "Check `kdc` of the realm in krb5.conf, or the DNS records of the domain, and the network";

const SEE_TICKETS: &str =
    "`klist` shows the tickets; KRB5_TRACE=/dev/stderr shows what the library does";

/// The first that fits counts.
const KNOWN: [Known; 12] = [
    Known {
        says: &[
            "No Kerberos credentials available",
            "redentials were unavailable",
            "No credentials cache found",
            "Credentials cache file",
            "redential cache is empty",
            "Bad format in credentials cache",
            "End of credential cache",
            "Matching credential not found",
        ],
        remedy: "Run `kinit` as the user who runs icesync, or name a keytab in KRB5_CLIENT_KTNAME. `klist` shows what \
            the ticket cache holds",
        kind: Kind::Missing,
    },
    Known {
        says: &["icket expired", "have expired"],
        remedy: "Run `kinit` again, or name a keytab in KRB5_CLIENT_KTNAME, with which tickets are renewed. `klist` \
            shows until when a ticket is valid",
        kind: Kind::Missing,
    },
    Known {
        says: &["Client not found in Kerberos database", "Client '"],
        remedy: "The KDC does not know this user. Compare `klist -k` of the keytab with the user's name",
        kind: Kind::Lasting,
    },
    Known {
        says: &["not found in Kerberos database"],
        remedy: "The KDC does not know this service. `setspn -L ACCOUNT` lists what the account of the server has \
            registered, `setspn -S MSSQLSvc/host:port ACCOUNT` registers it. Or write a registered name as `Server \
            SPN`, or the host by its full name as `Server`. If the realm after @ is not the server's, set \
            `default_realm` and [domain_realm] in krb5.conf",
        kind: Kind::Lasting,
    },
    Known {
        says: &["has expired", "have been revoked"],
        remedy: "The user is locked or expired. An administrator of the realm can enable it again",
        kind: Kind::Lasting,
    },
    Known {
        says: &["default realm"],
        remedy: "Set `default_realm` under [libdefaults] of krb5.conf to the realm of the server. The control plane \
            asks for its ticket there",
        kind: Kind::Lasting,
    },
    Known {
        says: &["Cannot determine realm"],
        remedy: "Name the realm of the host under [domain_realm] of krb5.conf: `db.example.com = REALM`",
        kind: Kind::Lasting,
    },
    Known {
        says: &["Cannot contact any KDC", "A service is not available"],
        remedy: SEE_KDC,
        kind: Kind::Passing,
    },
    Known {
        says: &["Cannot find KDC", "Cannot resolve"],
        remedy: SEE_KDC,
        kind: Kind::Unfound,
    },
    Known {
        says: &["Clock skew"],
        remedy: "Set the clock of this machine by that of the KDC",
        kind: Kind::Lasting,
    },
    Known {
        says: &["Preauthentication failed", "Password incorrect"],
        remedy: "The keytab does not hold the user's present key. Export it again",
        kind: Kind::Lasting,
    },
    Known {
        says: &["onfiguration file"],
        remedy: "Check krb5.conf, or the file that KRB5_CONFIG names",
        kind: Kind::Lasting,
    },
];

/// What the library says of a server's answer to a ticket that it cannot believe.
const UNPROVEN: [&str; 7] = [
    "utual authentication failed",
    "Decrypt integrity check failed",
    "Message stream modified",
    "Wrong principal in request",
    "token was invalid",
    "invalid signature",
    "ASN.1",
];

impl NoTicket {
    /// Asking again does not help.
    #[cfg(feature = "kerberos")]
    pub(super) fn lasting(reason: String) -> Self {
        Self {
            reason,
            kind: Kind::Lasting,
        }
    }

    /// The KDC is silent.
    pub(super) fn no_answer(limit: Duration) -> Self {
        let seconds = limit.as_secs_f64();
        Self {
            reason: format!("no answer from the KDC within {seconds} s. {SEE_KDC}"),
            kind: Kind::Passing,
        }
    }

    /// From a message of the GSSAPI library, which was asked for a ticket.
    pub(super) fn explained(message: &str) -> Self {
        let words = words(message);
        let fits = |known: &&Known| known.says.iter().any(|text| message.contains(text));
        let (remedy, kind) = match KNOWN.iter().find(fits) {
            Some(Known { remedy, kind, .. }) => (*remedy, *kind),
            None => (SEE_TICKETS, Kind::Lasting),
        };
        Self {
            reason: format!("{words}. {remedy}"),
            kind,
        }
    }

    /// From a message of the GSSAPI library, as either driver hands it on. There was a ticket when the driver began,
    /// so one that is missing now is being replaced.
    pub(in crate::mssql) fn of_login(message: &str) -> Self {
        if UNPROVEN.iter().any(|text| message.contains(text)) {
            return Self::unproven(words(message));
        }
        let failure = Self::explained(message);
        let kind = match failure.kind {
            Kind::Missing => Kind::Passing,
            kind @ (Kind::Lasting | Kind::Passing | Kind::Unfound) => kind,
        };
        Self { kind, ..failure }
    }

    /// The server does not show that it has the service's key.
    pub(in crate::mssql) fn unproven(words: &str) -> Self {
        Self {
            reason: format!(
                "the server did not prove that the ticket is for it ({words}). Either something else answers in its \
                    place, or the account that runs SQL Server does not have the service's present key. Check `Server` \
                    and the certificate, that `setspn -Q MSSQLSvc/host:port` names that account alone, and on Linux \
                    the keytab of SQL Server"
            ),
            kind: Kind::Lasting,
        }
    }

    #[cfg(any(feature = "kerberos", test))]
    pub(super) fn is_missing(&self) -> bool {
        self.kind == Kind::Missing
    }

    /// As the failure of a login.
    pub(in crate::mssql) fn at(self, server: String) -> MssqlError {
        let (is_transient, is_absent) = match self.kind {
            Kind::Lasting | Kind::Missing => (false, false),
            Kind::Passing => (true, false),
            Kind::Unfound => (true, true),
        };
        MssqlError::Ticket {
            server,
            reason: self.reason,
            is_transient,
            is_absent,
        }
    }
}

/// What failed, without what the library says of every failure.
fn words(message: &str) -> &str {
    const USUAL: &str = "may provide more information";
    let words = message
        .split_once(USUAL)
        .map_or(message, |(_, words)| words);
    let words = words.trim_start_matches([' ', ';', '(', ':']);
    let words = words.strip_prefix("Minor: ").unwrap_or(words).trim_end();
    let is_cut = words.matches(')').count() > words.matches('(').count();
    match is_cut {
        true => words.strip_suffix(')').unwrap_or(words),
        false => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Disposition;

    /// As libgssapi and as mssql-tds print what MIT Kerberos 1.20 says.
    fn both(minor: &str) -> [String; 2] {
        [
            format!("Unspecified GSS failure.  Minor code may provide more information ({minor})"),
            format!(
                "Failed to initialize security context (code=0x000D0000): Major: Unspecified GSS failure.  Minor code \
                    may provide more information; Minor: {minor}"
            ),
        ]
    }

    #[test]
    fn every_failure_names_its_remedy() {
        for (minor, remedy, kind) in [
            ("Ticket expired", "kinit", Kind::Missing),
            ("Bad format in credentials cache", "kinit", Kind::Missing),
            (
                "Server MSSQLSvc/db:1433@ICESYNC.TEST not found in Kerberos database",
                "setspn",
                Kind::Lasting,
            ),
            (
                "Server not found in Kerberos database",
                "domain_realm",
                Kind::Lasting,
            ),
            (
                "Client 'loader@ICESYNC.TEST' not found in Kerberos database",
                "this user",
                Kind::Lasting,
            ),
            (
                "Client's credentials have been revoked",
                "administrator",
                Kind::Lasting,
            ),
            (
                "Cannot contact any KDC for realm 'ICESYNC.TEST'",
                "krb5.conf",
                Kind::Passing,
            ),
            (
                "A service is not available that is required to process the request",
                "krb5.conf",
                Kind::Passing,
            ),
            (
                "Cannot find KDC for realm \"ICESYNC.TEST\"",
                "DNS",
                Kind::Unfound,
            ),
            (
                "Configuration file does not specify default realm",
                "`default_realm` under [libdefaults]",
                Kind::Lasting,
            ),
            (
                "Cannot determine realm for host",
                "[domain_realm]",
                Kind::Lasting,
            ),
            ("Clock skew too great", "clock", Kind::Lasting),
            ("Preauthentication failed", "keytab", Kind::Lasting),
            ("Something (else)", "klist", Kind::Lasting),
        ] {
            for message in both(minor) {
                let failure = NoTicket::explained(&message);
                let begins = format!("{minor}. ");
                assert!(failure.reason.starts_with(&begins), "{failure:?}");
                assert!(failure.reason.contains(remedy), "{failure:?}");
                assert_eq!(failure.kind, kind, "{failure:?}");
            }
        }
    }

    #[test]
    fn a_missing_ticket_names_the_cache_and_kinit() {
        let message = "No credentials were supplied, or the credentials were unavailable or inaccessible (No Kerberos \
            credentials available (default cache: FILE:/tmp/krb5cc_0))";
        let failure = NoTicket::explained(message);
        assert!(
            failure.reason.contains("FILE:/tmp/krb5cc_0)). Run `kinit`"),
            "{failure:?}"
        );
        assert!(failure.is_missing());
        let error = failure.at("db:1433".into());
        assert_eq!(error.disposition(), Disposition::Definite);
        // The driver had one a moment ago.
        let error = NoTicket::of_login(message).at("db:1433".into());
        assert_eq!(error.disposition(), Disposition::Transient);
    }

    #[test]
    fn a_kdc_that_is_away_passes_and_one_that_is_not_known_may_be_misnamed() {
        for (minor, is_misnamed) in [
            ("Cannot contact any KDC for realm 'R'", false),
            ("A service is not available that is required", false),
            ("Cannot find KDC for realm \"R\"", true),
            ("Cannot resolve servers for KDC in realm \"R\"", true),
        ] {
            for message in both(minor) {
                let error = NoTicket::explained(&message).at("db:1433".into());
                assert!(error.is_outage(), "{error}");
                assert_eq!(error.may_be_misnamed(), is_misnamed, "{error}");
            }
        }
    }

    #[test]
    fn a_server_that_does_not_prove_itself_is_named_as_such() {
        for minor in [
            "Mutual authentication failed",
            "Decrypt integrity check failed",
        ] {
            for message in both(minor) {
                let error = NoTicket::of_login(&message).at("db:1433".into());
                let text = error.to_string();
                assert!(text.contains("db:1433") && text.contains(minor), "{text}");
                assert!(text.contains("did not prove"), "{text}");
                assert!(text.contains("setspn -Q"), "{text}");
                assert_eq!(error.disposition(), Disposition::Definite);
            }
        }
        // Of a keytab it says the same, before there is a ticket.
        let [message, _] = both("Decrypt integrity check failed");
        let failure = NoTicket::explained(&message);
        assert!(!failure.reason.contains("did not prove"), "{failure:?}");
    }
}
