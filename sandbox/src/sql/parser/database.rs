//! CREATE and ALTER DATABASE.

use super::Parser;
use crate::session::SqlError;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};
use crate::sql::{SyntaxResult, error};

const FLAGS: &[(&str, DatabaseFlag)] = &[
    ("ANSI_NULL_DEFAULT", DatabaseFlag::AnsiNullDefault),
    ("ANSI_NULLS", DatabaseFlag::AnsiNulls),
    ("ANSI_PADDING", DatabaseFlag::AnsiPadding),
    ("ANSI_WARNINGS", DatabaseFlag::AnsiWarnings),
    ("ARITHABORT", DatabaseFlag::ArithAbort),
    ("AUTO_CLOSE", DatabaseFlag::AutoClose),
    ("AUTO_CREATE_STATISTICS", DatabaseFlag::AutoCreateStatistics),
    ("AUTO_SHRINK", DatabaseFlag::AutoShrink),
    ("AUTO_UPDATE_STATISTICS", DatabaseFlag::AutoUpdateStatistics),
    (
        "AUTO_UPDATE_STATISTICS_ASYNC",
        DatabaseFlag::AutoUpdateStatisticsAsync,
    ),
    (
        "CONCAT_NULL_YIELDS_NULL",
        DatabaseFlag::ConcatNullYieldsNull,
    ),
    ("CURSOR_CLOSE_ON_COMMIT", DatabaseFlag::CursorCloseOnCommit),
    ("NUMERIC_ROUNDABORT", DatabaseFlag::NumericRoundAbort),
    ("QUOTED_IDENTIFIER", DatabaseFlag::QuotedIdentifier),
    ("RECURSIVE_TRIGGERS", DatabaseFlag::RecursiveTriggers),
    (
        "TEMPORAL_HISTORY_RETENTION",
        DatabaseFlag::TemporalHistoryRetention,
    ),
    ("TRUSTWORTHY", DatabaseFlag::Trustworthy),
];

impl Parser<'_> {
    pub(super) fn create_database(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Database)?;
        let name = self.ident()?;
        let collation = if self.eat(Keyword::Collate) {
            Some(self.ident()?)
        } else {
            None
        };
        Ok(StatementKind::CreateDatabase(CreateDatabase {
            name,
            collation,
        }))
    }

    pub(super) fn alter_database(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Database)?;
        let name = if self.eat(Keyword::Current) {
            None
        } else {
            Some(self.ident()?)
        };
        let action = if self.eat(Keyword::Collate) {
            AlterDatabaseAction::Collate(self.ident()?)
        } else if self.eat_pair("MODIFY", "NAME") {
            self.expect(Symbol::Equal)?;
            AlterDatabaseAction::Rename(self.ident()?)
        } else {
            self.expect(Keyword::Set)?;
            let options = self.list(Self::database_option)?;
            AlterDatabaseAction::Set {
                options,
                termination: self.termination()?,
            }
        };
        Ok(StatementKind::AlterDatabase(AlterDatabase { name, action }))
    }

    fn database_option(&mut self) -> SyntaxResult<DatabaseOption> {
        const PLAIN: &[(&str, DatabaseOption)] = &[
            ("READ_ONLY", DatabaseOption::ReadOnly(true)),
            ("READ_WRITE", DatabaseOption::ReadOnly(false)),
            (
                "SINGLE_USER",
                DatabaseOption::UserAccess(UserAccess::Single),
            ),
            (
                "RESTRICTED_USER",
                DatabaseOption::UserAccess(UserAccess::Restricted),
            ),
            ("MULTI_USER", DatabaseOption::UserAccess(UserAccess::Multi)),
            ("ONLINE", DatabaseOption::Online(true)),
            ("OFFLINE", DatabaseOption::Online(false)),
        ];
        for (word, option) in PLAIN {
            if self.eat(*word) {
                return Ok(option.clone());
            }
        }
        for (word, flag) in FLAGS {
            if self.eat(*word) {
                return Ok(DatabaseOption::Flag(*flag, self.on_off()?));
            }
        }
        if self.eat("ALLOW_SNAPSHOT_ISOLATION") {
            return self.on_off().map(DatabaseOption::AllowSnapshotIsolation);
        }
        if self.eat("READ_COMMITTED_SNAPSHOT") {
            return self.on_off().map(DatabaseOption::ReadCommittedSnapshot);
        }
        if self.eat("COMPATIBILITY_LEVEL") {
            return self
                .equals_integer()
                .map(DatabaseOption::CompatibilityLevel);
        }
        if self.eat("CHANGE_TRACKING") {
            return self.change_tracking().map(DatabaseOption::ChangeTracking);
        }
        self.expect("RECOVERY")?;
        let recovery = if self.eat(Keyword::Full) {
            Recovery::Full
        } else if self.eat("BULK_LOGGED") {
            Recovery::BulkLogged
        } else {
            self.expect("SIMPLE")?;
            Recovery::Simple
        };
        Ok(DatabaseOption::Recovery(recovery))
    }

    /// `= ON (..)`, `= OFF`, or `(..)` to change the options.
    fn change_tracking(&mut self) -> SyntaxResult<ChangeTracking> {
        let change = self.at(Symbol::OpenParen);
        if !change && !self.equals_on_off()? {
            return Ok(ChangeTracking::Off);
        }
        let (mut auto_cleanup, mut retention) = (None, None);
        if self.at(Symbol::OpenParen) {
            self.parenthesised(|parser| {
                if auto_cleanup.is_some() && parser.at("AUTO_CLEANUP") {
                    return Err(parser.repeated("AUTO_CLEANUP"));
                }
                if retention.is_some() && parser.at("CHANGE_RETENTION") {
                    return Err(parser.repeated("CHANGE_RETENTION"));
                }
                if parser.eat("AUTO_CLEANUP") {
                    auto_cleanup = Some(parser.equals_on_off()?);
                    return Ok(());
                }
                parser.expect("CHANGE_RETENTION")?;
                let count = parser.equals_integer()?;
                retention = Some(if parser.eat("DAYS") {
                    ChangeRetention::Days(count)
                } else if parser.eat("HOURS") {
                    ChangeRetention::Hours(count)
                } else {
                    parser.expect("MINUTES")?;
                    ChangeRetention::Minutes(count)
                });
                Ok(())
            })?;
        }
        Ok(ChangeTracking::On {
            change,
            auto_cleanup,
            retention,
        })
    }

    fn repeated(&self, option: &str) -> SqlError {
        error(
            5091,
            self.line(),
            format!(
                "ALTER DATABASE change tracking option '{option}' was specified more than once. Each option can be \
                    specified only once."
            ),
        )
    }

    fn termination(&mut self) -> SyntaxResult<Option<Termination>> {
        if !self.eat(Keyword::With) {
            return Ok(None);
        }
        if self.eat("NO_WAIT") {
            return Ok(Some(Termination::NoWait));
        }
        self.expect(Keyword::Rollback)?;
        if self.eat("IMMEDIATE") {
            return Ok(Some(Termination::RollbackImmediate));
        }
        self.expect("AFTER")?;
        let seconds = self.integer()?;
        if self.peek().kind == TokenKind::Word {
            self.eat("SECONDS");
        }
        Ok(Some(Termination::RollbackAfter(seconds)))
    }
}
