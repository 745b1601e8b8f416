//! Why a login by Kerberos fails.

use crate::mssql::error::MssqlError;

/// Why there is no ticket, or why the server's answer to it does not hold.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mssql) struct NoTicket {
    reason: String,
    is_transient: bool,
}

const SEE_KDC: &str =
    "Check `kdc` of the realm in krb5.conf, or the DNS records of the domain, and the network";

impl NoTicket {
    /// Asking again does not help.
    #[cfg(feature = "kerberos")]
    pub(super) fn lasting(reason: String) -> Self {
        Self {
            reason,
            is_transient: false,
        }
    }

    /// The KDC is silent.
    #[cfg(feature = "kerberos")]
    pub(super) fn no_answer(seconds: u64) -> Self {
        Self {
            reason: format!("no answer from the KDC within {seconds} s. {SEE_KDC}"),
            is_transient: true,
        }
    }

    /// From a message of the GSSAPI library, as either driver hands it on. The library writes English.
    pub(in crate::mssql) fn explained(message: &str) -> Self {
        // What the library says of every failure before it says what failed.
        const USUAL: &str = "may provide more information";
        let words = message
            .split_once(USUAL)
            .map_or(message, |(_, words)| words);
        let words = words.trim_start_matches([' ', ';', '(', ':']);
        let words = words.strip_prefix("Minor: ").unwrap_or(words).trim_end();
        let is_cut = words.matches(')').count() > words.matches('(').count();
        let words = match is_cut {
            true => words.strip_suffix(')').unwrap_or(words),
            false => words,
        };
        let has = |text: &str| message.contains(text);
        let (remedy, is_transient) = if has("No Kerberos credentials available")
            || has("redentials were unavailable")
        {
            (
                "Run `kinit` as the user who runs icesync, or name a keytab in KRB5_CLIENT_KTNAME. `klist` shows what \
                    the ticket cache holds",
                false,
            )
        } else if has("icket expired") || has("have expired") {
            (
                "Run `kinit` again, or name a keytab in KRB5_CLIENT_KTNAME, with which tickets are renewed. `klist` \
                    shows until when a ticket is valid",
                false,
            )
        } else if has("Server ") && has("not found in Kerberos database") {
            (
                "The KDC does not know this service. `setspn -L ACCOUNT` lists what the account of the server has \
                    registered, `setspn -S MSSQLSvc/host:port ACCOUNT` registers it. Or write a registered name as \
                    `Server SPN`, or the host by its full name as `Server`",
                false,
            )
        } else if has("not found in Kerberos database") {
            (
                "The KDC does not know this user. Compare `klist -k` of the keytab with the user's name",
                false,
            )
        } else if has("Cannot contact any KDC") {
            (SEE_KDC, true)
        } else if has("Cannot find KDC") || has("default realm") {
            (SEE_KDC, false)
        } else if has("Clock skew") {
            ("Set the clock of this machine by that of the KDC", false)
        } else if has("Preauthentication failed") || has("Password incorrect") {
            (
                "The keytab does not hold the user's present key. Export it again",
                false,
            )
        } else {
            (
                "`klist` shows the tickets; KRB5_TRACE=/dev/stderr shows what the library does",
                false,
            )
        };
        Self {
            reason: format!("{words}. {remedy}"),
            is_transient,
        }
    }

    /// As the failure of a login.
    pub(in crate::mssql) fn at(self, server: String) -> MssqlError {
        MssqlError::Ticket {
            server,
            reason: self.reason,
            is_transient: self.is_transient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (minor, remedy, is_transient) in [
            ("Ticket expired", "kinit", false),
            (
                "Server MSSQLSvc/db:1433@ICESYNC.TEST not found in Kerberos database",
                "setspn",
                false,
            ),
            (
                "Client 'loader@ICESYNC.TEST' not found in Kerberos database",
                "this user",
                false,
            ),
            (
                "Cannot contact any KDC for realm 'ICESYNC.TEST'",
                "krb5.conf",
                true,
            ),
            (
                "Cannot find KDC for realm \"ICESYNC.TEST\"",
                "krb5.conf",
                false,
            ),
            ("Clock skew too great", "clock", false),
            ("Preauthentication failed", "keytab", false),
            ("Something (else)", "klist", false),
        ] {
            for message in both(minor) {
                let failure = NoTicket::explained(&message);
                let begins = format!("{minor}. ");
                assert!(failure.reason.starts_with(&begins), "{failure:?}");
                assert!(failure.reason.contains(remedy), "{failure:?}");
                assert_eq!(failure.is_transient, is_transient, "{failure:?}");
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
        let MssqlError::Ticket { is_transient, .. } = failure.at("db:1433".into()) else {
            panic!("not a failure of a ticket");
        };
        assert!(!is_transient);
    }
}
