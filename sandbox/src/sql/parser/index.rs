//! Indexes and statistics.

use super::Parser;
use crate::sql::SyntaxResult;
use crate::sql::ast::*;
use crate::sql::keyword::Keyword;
use crate::sql::lexer::{Symbol, TokenKind};

impl Parser<'_> {
    pub(super) fn create_index(&mut self) -> SyntaxResult<StatementKind> {
        let unique = self.eat(Keyword::Unique);
        let clustered = self.clustering();
        let columnstore = !unique && self.eat("COLUMNSTORE");
        self.expect(Keyword::Index)?;
        let name = self.ident()?;
        self.expect(Keyword::On)?;
        let table = self.object_name()?;
        let columns = if columnstore && clustered == Some(true) {
            if self.eat(Keyword::Order) {
                self.parenthesised(Self::index_column)?
            } else {
                Vec::new()
            }
        } else {
            self.parenthesised(Self::index_column)?
        };
        let include = if self.eat("INCLUDE") {
            self.ident_list()?
        } else {
            Vec::new()
        };
        let filter = if self.eat(Keyword::Where) {
            Some(self.spelled(Self::condition)?)
        } else {
            None
        };
        let options = if self.at(Keyword::With) {
            self.index_options()?
        } else {
            Vec::new()
        };
        let filegroup = if self.eat(Keyword::On) {
            Some(self.ident()?)
        } else {
            None
        };
        let index = CreateIndex {
            name,
            table,
            unique,
            clustered,
            columnstore,
            columns,
            include,
            filter,
            options,
            filegroup,
        };
        Ok(StatementKind::CreateIndex(Box::new(index)))
    }

    /// `WITH (..)`
    pub(super) fn index_options(&mut self) -> SyntaxResult<Vec<IndexOption>> {
        self.expect(Keyword::With)?;
        self.parenthesised(Self::index_option)
    }

    fn index_option(&mut self) -> SyntaxResult<IndexOption> {
        type Flag = fn(bool) -> IndexOption;
        const FLAGS: &[(&str, Flag)] = &[
            ("PAD_INDEX", IndexOption::PadIndex),
            ("SORT_IN_TEMPDB", IndexOption::SortInTempdb),
            ("IGNORE_DUP_KEY", IndexOption::IgnoreDupKey),
            ("STATISTICS_NORECOMPUTE", IndexOption::StatisticsNoRecompute),
            ("DROP_EXISTING", IndexOption::DropExisting),
            ("ONLINE", IndexOption::Online),
            ("RESUMABLE", IndexOption::Resumable),
            ("ALLOW_ROW_LOCKS", IndexOption::AllowRowLocks),
            ("ALLOW_PAGE_LOCKS", IndexOption::AllowPageLocks),
            (
                "OPTIMIZE_FOR_SEQUENTIAL_KEY",
                IndexOption::OptimizeForSequentialKey,
            ),
        ];
        for (word, option) in FLAGS {
            if self.eat(*word) {
                return self.equals_on_off().map(option);
            }
        }
        if self.eat(Keyword::Fillfactor) {
            return self.equals_integer().map(IndexOption::FillFactor);
        }
        if self.eat("MAXDOP") {
            return self.equals_integer().map(IndexOption::MaxDop);
        }
        if self.eat("COMPRESSION_DELAY") {
            return self.equals_integer().map(IndexOption::CompressionDelay);
        }
        self.expect("DATA_COMPRESSION")?;
        self.compression().map(IndexOption::DataCompression)
    }

    pub(super) fn alter_index(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Index)?;
        let name = if self.eat(Keyword::All) {
            None
        } else {
            Some(self.ident()?)
        };
        self.expect(Keyword::On)?;
        let table = self.object_name()?;
        let action = if self.eat("REBUILD") {
            let options = if self.at(Keyword::With) {
                self.index_options()?
            } else {
                Vec::new()
            };
            AlterIndexAction::Rebuild(options)
        } else if self.eat("REORGANIZE") {
            AlterIndexAction::Reorganize
        } else if self.eat("DISABLE") {
            AlterIndexAction::Disable
        } else {
            self.expect(Keyword::Set)?;
            AlterIndexAction::Set(self.parenthesised(Self::index_option)?)
        };
        Ok(StatementKind::AlterIndex(AlterIndex {
            name,
            table,
            action,
        }))
    }

    /// `DROP INDEX index ON table` and the older `DROP INDEX table.index`.
    pub(super) fn drop_index(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Index)?;
        let if_exists = self.if_exists()?;
        let indexes = self.list(|parser| {
            let mut name = parser.object_name()?;
            if name.parts.len() > 1 {
                let index = name.parts.pop().ok_or_else(|| parser.syntax_error())?;
                return Ok((index, name));
            }
            parser.expect(Keyword::On)?;
            let table = parser.object_name()?;
            let index = name.parts.pop().ok_or_else(|| parser.syntax_error())?;
            Ok((index, table))
        })?;
        let options = if self.at(Keyword::With) && self.at_ahead(1, Symbol::OpenParen) {
            self.index_options()?
        } else {
            Vec::new()
        };
        Ok(StatementKind::DropIndex(DropIndex {
            if_exists,
            indexes,
            options,
        }))
    }

    pub(super) fn create_statistics(&mut self) -> SyntaxResult<StatementKind> {
        self.expect(Keyword::Statistics)?;
        let name = self.ident()?;
        self.expect(Keyword::On)?;
        let table = self.object_name()?;
        let columns = self.ident_list()?;
        let filter = if self.eat(Keyword::Where) {
            Some(self.condition()?)
        } else {
            None
        };
        let options = self.statistics_options()?;
        Ok(StatementKind::CreateStatistics(CreateStatistics {
            name,
            table,
            columns,
            filter,
            options,
        }))
    }

    pub(super) fn update_statistics(&mut self) -> SyntaxResult<StatementKind> {
        self.position += 2;
        let table = self.object_name()?;
        let names = if self.at(Symbol::OpenParen) {
            self.ident_list()?
        } else if self.at_ident() {
            vec![self.ident()?]
        } else {
            Vec::new()
        };
        let options = self.statistics_options()?;
        Ok(StatementKind::UpdateStatistics(UpdateStatistics {
            table,
            names,
            options,
        }))
    }

    fn statistics_options(&mut self) -> SyntaxResult<Vec<StatisticsOption>> {
        if self.eat(Keyword::With) {
            self.list(Self::statistics_option)
        } else {
            Ok(Vec::new())
        }
    }

    fn statistics_option(&mut self) -> SyntaxResult<StatisticsOption> {
        const PLAIN: &[(&str, StatisticsOption)] = &[
            ("FULLSCAN", StatisticsOption::FullScan),
            ("RESAMPLE", StatisticsOption::Resample),
            ("NORECOMPUTE", StatisticsOption::NoRecompute),
        ];
        type Flag = fn(bool) -> StatisticsOption;
        const FLAGS: &[(&str, Flag)] = &[
            ("INCREMENTAL", StatisticsOption::Incremental),
            ("AUTO_DROP", StatisticsOption::AutoDrop),
            (
                "PERSIST_SAMPLE_PERCENT",
                StatisticsOption::PersistSamplePercent,
            ),
        ];
        for (word, option) in PLAIN {
            if self.eat(*word) {
                return Ok(option.clone());
            }
        }
        for (word, option) in FLAGS {
            if self.eat(*word) {
                return self.equals_on_off().map(option);
            }
        }
        if self.eat("MAXDOP") {
            return self.equals_integer().map(StatisticsOption::MaxDop);
        }
        self.expect("SAMPLE")?;
        let amount: u64 = self.integer()?;
        if self.eat("ROWS") {
            return Ok(StatisticsOption::SampleRows(amount));
        }
        match (self.peek().kind, u32::try_from(amount)) {
            (TokenKind::Keyword(Keyword::Percent), Ok(percent)) => {
                self.next();
                Ok(StatisticsOption::SamplePercent(percent))
            }
            _ => Err(self.syntax_error()),
        }
    }
}
