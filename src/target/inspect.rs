//! The target table: as it is, as it would be made, and whether it can hold what the lake has.

use super::TargetError;
use super::columns::{LakeColumns, OwnColumn};
use super::fits::fits;
use crate::change::MergeMode;
use crate::mssql::control::Control;
use crate::mssql::describe::{self, Description, Index, Lookup};
use crate::mssql::sql::{self, define};
use crate::schema::drift::SourceObject;
use crate::schema::{Collation, Column, Generated, SqlType, TableName, TableSchema};

/// A target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTable {
    name: TableName,
    pub(super) columns: Vec<TargetColumn>,
    indexes: Vec<Index>,
    is_memory_optimized: bool,
    /// None for a table that is only planned.
    object: Option<SourceObject>,
    /// When it or an index of it was altered last; empty for a table that is only planned.
    modified: String,
    /// An enabled foreign key of it refers to itself.
    references_itself: bool,
    /// The login may alter it.
    can_alter: bool,
    /// What the login is called in the database.
    user: String,
}

/// A column of a target table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TargetColumn {
    pub(super) id: i32,
    pub(super) name: String,
    pub(super) ty: Result<SqlType, String>,
    pub(super) nullable: bool,
    pub(super) collation: Option<Collation>,
    pub(super) generated: Generated,
    has_default: bool,
}

/// A target column that a load may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usable<'a> {
    pub(super) name: &'a String,
    pub(super) ty: SqlType,
    pub(super) identity: bool,
}

/// Looks a target up; none when it is not there. One round trip.
pub async fn inspect(
    control: &mut Control,
    target: &TableName,
) -> Result<Option<TargetTable>, TargetError> {
    let found = describe::look_up(control, target)
        .await
        .map_err(|error| TargetError::on("looking up", target, error))?;
    match found {
        Lookup::Missing(_) => Ok(None),
        Lookup::Found(description) if description.is_view => {
            Err(TargetError::IsView(description.name))
        }
        Lookup::Found(description) => Ok(Some(TargetTable::described(*description))),
    }
}

/// Whether a target has rows. One round trip.
pub async fn has_rows(control: &mut Control, target: &TableName) -> Result<bool, TargetError> {
    let rows = control.query(&sql::describe::has_rows(target)).await;
    let rows = rows.map_err(|error| TargetError::on("looking into", target, error))?;
    Ok(!rows.is_empty())
}

impl TargetTable {
    fn described(description: Description) -> Self {
        let columns = description.columns.into_iter().map(|column| TargetColumn {
            id: column.id,
            name: column.name,
            ty: column.ty,
            nullable: column.nullable,
            collation: column.collation,
            generated: column.generated,
            has_default: column.has_default,
        });
        Self {
            name: description.name,
            columns: columns.collect(),
            indexes: description.indexes,
            is_memory_optimized: description.is_memory_optimized,
            object: Some(description.object),
            modified: description.modified,
            references_itself: description.references_itself,
            can_alter: description.can_alter,
            user: description.user,
        }
    }

    /// The table that icesync would create.
    pub fn planned(target: &TableName, schema: &TableSchema) -> Self {
        let columns = schema
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| TargetColumn {
                generated: if define::keeps_identity(schema, at) {
                    Generated::Identity
                } else {
                    Generated::No
                },
                ..TargetColumn::planned(column)
            });
        let key: Vec<i32> = schema.key_columns().map(|column| column.id).collect();
        Self {
            name: target.clone(),
            columns: columns.collect(),
            indexes: (!key.is_empty())
                .then_some(Index {
                    name: None,
                    is_primary_key: true,
                    is_unique: true,
                    is_clustered: false,
                    is_filtered: false,
                    ignores_duplicates: false,
                    key,
                    descending: Vec::new(),
                })
                .into_iter()
                .collect(),
            is_memory_optimized: false,
            object: None,
            modified: String::new(),
            references_itself: false,
            can_alter: true,
            user: String::new(),
        }
    }

    /// The planned table with a filtered index.
    #[must_use]
    pub fn with_filtered_index(mut self, name: &str) -> Self {
        self.indexes.push(Index {
            name: Some(name.to_owned()),
            is_primary_key: false,
            is_unique: false,
            is_clustered: false,
            is_filtered: true,
            ignores_duplicates: false,
            key: Vec::new(),
            descending: Vec::new(),
        });
        self
    }

    pub(super) fn filtered_index(&self) -> Option<&str> {
        let mut indexes = self.indexes.iter().filter(|index| index.is_filtered);
        indexes.find_map(|index| index.name.as_deref())
    }

    /// As the catalog writes it.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The table as an object of its database; none for one that is only planned.
    pub fn object(&self) -> Option<&SourceObject> {
        self.object.as_ref()
    }

    /// Whether rows of the table may refer to each other.
    pub fn references_itself(&self) -> bool {
        self.references_itself
    }

    /// When the table or an index of it was altered last.
    pub fn modified(&self) -> &str {
        &self.modified
    }

    /// Whether a unique index has exactly the key's columns, so that no key is there twice.
    pub(super) fn has_unique_key(&self, schema: &TableSchema) -> bool {
        let mut key: Vec<i32> = schema
            .key_columns()
            .filter_map(|column| self.column(&column.name))
            .map(|column| column.id)
            .collect();
        key.sort_unstable();
        self.indexes.iter().any(|index| {
            let mut ids = index.key.clone();
            ids.sort_unstable();
            index.is_unique && !index.is_filtered && ids == key
        })
    }

    /// The id of a column; none in a table that is only planned.
    pub fn column_id(&self, name: &str) -> Option<i32> {
        self.object.as_ref()?;
        Some(self.column(name)?.id)
    }

    /// A column's name as the table has it, and its type; none where the table has no such column, or one of a type
    /// that icesync does not know.
    pub fn column_type(&self, name: &str) -> Option<(&str, SqlType)> {
        let column = self.column(name)?;
        Some((&column.name, *column.ty.as_ref().ok()?))
    }

    pub(super) fn has_column(&self, name: &str) -> bool {
        self.column(name).is_some()
    }

    pub(super) fn collation(&self, name: &str) -> Option<&Collation> {
        self.column(name)?.collation.as_ref()
    }

    pub(super) fn ty(&self, name: &str) -> Option<SqlType> {
        self.column(name)?.ty.as_ref().ok().copied()
    }

    /// A column's name as the table has it.
    pub(super) fn name_of(&self, name: &str) -> String {
        let column = self.column(name);
        column.map_or_else(|| name.to_owned(), |column| column.name.clone())
    }

    fn column(&self, name: &str) -> Option<&TargetColumn> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| {
            self.columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
        })
    }

    pub(super) fn column_mut(&mut self, name: &str) -> Option<&mut TargetColumn> {
        let exact = self.columns.iter().position(|column| column.name == name);
        let same = |column: &TargetColumn| column.name.eq_ignore_ascii_case(name);
        let at = exact.or_else(|| self.columns.iter().position(same))?;
        self.columns.get_mut(at)
    }

    /// A column that a load writes: not one that the server fills by itself.
    pub(super) fn writable(&self, name: &str) -> Option<Usable<'_>> {
        let column = self.column(name)?;
        let ty = *column.ty.as_ref().ok()?;
        (!column.is_filled_by_server()).then_some(Usable {
            name: &column.name,
            ty,
            identity: column.generated == Generated::Identity,
        })
    }
}

impl TargetColumn {
    /// A plain column for the lake's values.
    pub(super) fn planned(column: &Column) -> Self {
        Self {
            id: column.id,
            name: column.name.clone(),
            ty: Ok(column.ty.copied()),
            nullable: column.nullable,
            collation: column.collation.clone(),
            generated: Generated::No,
            has_default: column.generated == Generated::Flag,
        }
    }

    pub(super) fn is_filled_by_server(&self) -> bool {
        let generated = match self.generated {
            Generated::Computed | Generated::RowStart | Generated::RowEnd => true,
            Generated::No | Generated::Identity | Generated::Flag => false,
        };
        generated || self.ty == Ok(SqlType::RowVersion)
    }
}

/// Whether the target can hold every row of the lake table, exactly. All problems are listed at once, each with its
/// remedy; the warnings that remain are returned. Columns that the target does not have to have are loaded only where
/// it has them. A column of the target that is not loaded is left alone.
pub fn check(
    columns: &LakeColumns,
    target: &TargetTable,
    mode: MergeMode,
) -> Result<Vec<String>, TargetError> {
    let schema = &columns.schema;
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    if target.is_memory_optimized {
        problems.push(
            "it is memory-optimized, which takes no serializable merge: load into a disk-based table"
                .to_owned(),
        );
    }
    for (at, column) in schema.columns.iter().enumerate() {
        let is_key = schema.key.iter().any(|key| key.columns.contains(&at));
        match target.column(&column.name) {
            None if at >= columns.live => {}
            None => problems.push(format!(
                "column {} is missing: run {}",
                shown(&column.name, columns.other_name(at)),
                define::add_column(&target.name, column).sql
            )),
            Some(kept) => check_column(
                target,
                (column, &shown(&kept.name, columns.other_name(at))),
                kept,
                (is_key, mode.has_one_row_per_key() && schema.key.is_some()),
                mode,
                &mut problems,
                &mut warnings,
            ),
        }
    }
    let own = columns.own.iter();
    problems.extend(own.filter_map(|own| check_own(own, columns, target, mode)));
    for index in target
        .indexes
        .iter()
        .filter(|index| index.ignores_duplicates)
    {
        problems.push(format!(
            "index {} has IGNORE_DUP_KEY = ON, which drops rows without an error: recreate it with IGNORE_DUP_KEY = \
OFF",
            index.name.as_deref().unwrap_or("without a name")
        ));
    }
    for kept in &target.columns {
        let fills_itself =
            kept.nullable || kept.has_default || kept.generated == Generated::Identity;
        let is_loaded = columns.has(&kept.name);
        if !is_loaded && !fills_itself && !kept.is_filled_by_server() {
            problems.push(format!(
                "column {} is NOT NULL without a default and no column of the lake table is loaded into it: give it a \
                    default or allow NULL",
                kept.name
            ));
        }
    }
    check_key(schema, target, mode, &mut problems, &mut warnings);
    if problems.is_empty() {
        Ok(warnings)
    } else {
        Err(TargetError::Unfit {
            target: target.name.clone(),
            problems,
        })
    }
}

/// A column's name in the target, and in the lake where that is another one.
fn shown(name: &str, in_lake: Option<&str>) -> String {
    match in_lake {
        Some(in_lake) => format!("{name} ({in_lake} in the lake)"),
        None => name.to_owned(),
    }
}

/// What keeps a load from filling a column that only the target has.
fn check_own(
    own: &OwnColumn,
    columns: &LakeColumns,
    target: &TargetTable,
    mode: MergeMode,
) -> Option<String> {
    let OwnColumn { column, was } = own;
    let name = &column.name;
    let kept = target.column(name);
    let is_old = |was: &&String| target.has_column(was) && !columns.has(was);
    if let Some(old) = was.as_ref().filter(is_old) {
        let filled =
            format!("column {old}, which earlier loads have filled, is to be called {name}");
        let rename = define::rename_column(&target.name, old, name);
        return Some(match kept {
            None => format!("{filled}: run {}", rename.by_hand()),
            Some(_) => format!(
                "{filled}, and the target has columns of both names: give another name to the one that icesync did not \
                    fill, or drop it"
            ),
        });
    }
    let add = define::add_column(&target.name, column).sql;
    let Some(kept) = kept else {
        return Some(match was {
            Some(was) => lost(was, column, mode),
            None => {
                format!("column {name} is missing, which this mode of loading fills: run {add}")
            }
        });
    };
    let may_be_null = column.nullable && !kept.nullable;
    let is_flag = column.generated == Generated::Flag;
    let is_loose = is_flag && (kept.nullable || !kept.has_default);
    let holds = |ty: &SqlType| *ty == column.ty || !is_flag && fits((column.ty, None), (*ty, None));
    let holds = kept.ty.as_ref().is_ok_and(holds);
    if holds && !may_be_null && !is_loose && !kept.is_filled_by_server() {
        return None;
    }
    let null = match (column.nullable, is_flag) {
        (true, _) => " NULL",
        (false, true) => " NOT NULL DEFAULT 0",
        (false, false) => "",
    };
    let or_drop = match was {
        Some(_) => String::new(),
        None => format!(", or drop it and run {add}"),
    };
    Some(format!(
        "column {name}, which this mode of loading fills, has to be {}{null}: alter it{or_drop}",
        column.ty
    ))
}

/// What to do about a column that is gone with what earlier loads have filled into it.
fn lost(was: &str, column: &Column, mode: MergeMode) -> String {
    let remedy = match column.generated {
        _ if mode == MergeMode::Scd2 => "`icesync load --full` fills it anew",
        Generated::Flag => {
            "nothing tells any more which rows were marked as deleted, and `merge: { mode: replace }`, once, removes \
             them"
        }
        Generated::No
        | Generated::Identity
        | Generated::Computed
        | Generated::RowStart
        | Generated::RowEnd => "load once without `at` in `merge.deletes`",
    };
    format!(
        "column {was}, which earlier loads have filled, is missing. If it was renamed, give it its name back. If it \
            was dropped, {remedy}"
    )
}

fn check_column(
    target: &TargetTable,
    (column, name): (&Column, &str),
    kept: &TargetColumn,
    (is_key, is_updated): (bool, bool),
    mode: MergeMode,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    let ty = match &kept.ty {
        Ok(ty) => *ty,
        Err(why) => {
            problems.push(format!("column {name} cannot be loaded: {why}"));
            return;
        }
    };
    if kept.is_filled_by_server() {
        if is_key && mode != MergeMode::Append {
            problems.push(format!(
                "key column {name} is filled by the server and cannot hold the key of a copied row: make it a plain \
                    column"
            ));
        } else {
            warnings.push(format!(
                "column {name} of the target is filled by the server: the lake's values are not copied into it"
            ));
        }
        return;
    }
    if kept.generated == Generated::Identity && !is_key && is_updated {
        problems.push(format!(
            "column {name} is an identity outside the key, which cannot be updated: make it a plain column"
        ));
    } else if kept.generated == Generated::Identity && !target.can_alter {
        problems.push(format!(
            "column {name} is an identity, and writing its values (SET IDENTITY_INSERT) takes the ALTER permission on \
                the table, which the login lacks: run {}",
            define::grant_alter(&target.name, &target.user).sql
        ));
    }
    if !fits(
        (column.ty, column.collation.as_ref()),
        (ty, kept.collation.as_ref()),
    ) {
        problems.push(format!(
            "column {name} is {}, which does not hold every {}: run {}",
            described(ty, kept.collation.as_ref()),
            described(column.ty, column.collation.as_ref()),
            define::widen_column(&target.name, column, ty, kept.nullable).sql
        ));
    } else if column.nullable && !kept.nullable {
        problems.push(format!(
            "column {name} is NOT NULL, but its source may be NULL: run {}",
            define::widen_column(&target.name, column, ty, true).sql
        ));
    }
}

fn described(ty: SqlType, collation: Option<&Collation>) -> String {
    match collation {
        Some(collation) if ty.is_code_page_text() => {
            format!("{ty} in code page {}", collation.code_page)
        }
        Some(_) | None => ty.to_string(),
    }
}

fn check_key(
    schema: &TableSchema,
    target: &TargetTable,
    mode: MergeMode,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    if mode == MergeMode::Scd2 {
        let keys = schema.key_columns();
        problems.extend(keys.filter_map(|column| compared_otherwise(column, target)));
    }
    match mode {
        MergeMode::Append | MergeMode::History => {}
        MergeMode::Upsert | MergeMode::Replace | MergeMode::Scd2 => {
            if schema.key.is_some() && !target.has_unique_key(schema) {
                warnings.push(
                    "no unique index of the target has exactly the key's columns: loads scan the table, and nothing \
                        keeps others from adding a second row"
                        .to_owned(),
                );
            }
        }
    }
}

/// What lets the target take two keys of the source for one, or one for two. A load that finds rows by their key stops
/// where it meets that (`mssql/sql/net.rs`), and one that chains versions does not see it.
fn compared_otherwise(column: &Column, target: &TargetTable) -> Option<String> {
    let kept = target.column(&column.name)?;
    let ty = kept.ty.as_ref().ok()?;
    let (theirs, ours) = (kept.collation.as_ref()?, column.collation.as_ref()?);
    let is_same =
        theirs.name == ours.name && ty.is_code_page_text() == column.ty.is_code_page_text();
    (!is_same).then(|| {
        format!(
            "key column {} is {ty} with collation {} and its source {} with collation {}, so that it may take two \
                keys for one: declare it like its source, and run `icesync load --full`",
            kept.name, theirs.name, column.ty, ours.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Key, KeyOrigin};

    fn schema() -> TableSchema {
        let column = |id: i32, name: &str, ty, nullable| Column {
            id,
            name: name.into(),
            ty,
            nullable,
            collation: None,
            generated: Generated::No,
        };
        TableSchema {
            name: "dbo.orders".parse().unwrap(),
            columns: vec![
                column(1, "id", SqlType::Int, false),
                column(2, "note", SqlType::NVarChar { length: Some(50) }, true),
            ],
            key: Some(Key {
                columns: vec![0],
                origin: KeyOrigin::PrimaryKey,
            }),
        }
    }

    fn checked(
        schema: &TableSchema,
        target: &TargetTable,
        mode: MergeMode,
    ) -> Result<Vec<String>, TargetError> {
        check(&LakeColumns::all(schema.clone(), 2, None), target, mode)
    }

    #[test]
    fn a_renamed_column_is_told_by_both_names() {
        let schema = schema();
        let mut columns = LakeColumns::all(schema.clone(), 2, None);
        columns.lake_names[1] = "remark".into();
        let mut target = TargetTable::planned(&schema.name, &schema);
        target.columns[1].ty = Ok(SqlType::NVarChar { length: Some(20) });
        let error = check(&columns, &target, MergeMode::Upsert).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("column note (remark in the lake) is nvarchar(20)"),
            "{error}"
        );
        target.columns.pop();
        let error = check(&columns, &target, MergeMode::Upsert).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("column note (remark in the lake) is missing"),
            "{error}"
        );
    }

    /// With the columns of soft deletes.
    fn soft() -> LakeColumns {
        let mut columns = LakeColumns::all(schema(), 2, None);
        let own = |name: &str, ty, generated| Column {
            id: 0,
            name: name.into(),
            ty,
            nullable: generated == Generated::No,
            collation: None,
            generated,
        };
        columns.own = [
            own("is_deleted", SqlType::Bit, Generated::Flag),
            own("deleted_at", SqlType::DateTime2 { scale: 3 }, Generated::No),
        ]
        .map(|column| OwnColumn { column, was: None })
        .into();
        columns
    }

    #[test]
    fn columns_that_only_the_target_has_are_checked() {
        let columns = soft();
        let mode = MergeMode::Upsert;
        let mut target = TargetTable::planned(&columns.schema.name, &columns.created());
        assert_eq!(check(&columns, &target, mode).unwrap(), [""; 0]);
        target.columns[2].nullable = true;
        target.columns[3].ty = Ok(SqlType::DateTime);
        let error = check(&columns, &target, mode).unwrap_err().to_string();
        for part in [
            "column is_deleted, which this mode of loading fills, has to be bit NOT NULL DEFAULT 0",
            "column deleted_at, which this mode of loading fills, has to be datetime2(3) NULL",
        ] {
            assert!(error.contains(part), "{error}");
        }
        target.columns.truncate(2);
        let error = check(&columns, &target, mode).unwrap_err().to_string();
        for part in [
            "run ALTER TABLE [dbo].[orders] ADD [is_deleted] bit NOT NULL DEFAULT 0;",
            "run ALTER TABLE [dbo].[orders] ADD [deleted_at] datetime2(3) NULL;",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    /// What earlier loads have filled is in no other place.
    #[test]
    fn a_column_that_is_gone_with_its_marks_is_not_added_again() {
        let mut columns = soft();
        let mode = MergeMode::Upsert;
        let whole = TargetTable::planned(&columns.schema.name, &columns.created());
        let refused = |columns: &LakeColumns, target: &TargetTable, mode| {
            check(columns, target, mode).unwrap_err().to_string()
        };
        for own in &mut columns.own {
            own.was = Some(own.column.name.clone());
        }
        let mut target = whole.clone();
        target.columns.truncate(2);
        let error = refused(&columns, &target, mode);
        for part in [
            "column is_deleted, which earlier loads have filled, is missing",
            "mode: replace",
            "column deleted_at, which earlier loads have filled, is missing",
            "without `at`",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("ADD"), "{error}");
        let error = refused(&columns, &target, MergeMode::Scd2);
        assert!(
            error.contains("`icesync load --full` fills it anew"),
            "{error}"
        );
        // It is to have another name, which a column of the target's owner may have.
        columns.own[0].column.name = "gone".into();
        let error = refused(&columns, &whole, mode);
        assert!(
            error.contains("is to be called gone: run EXEC sp_rename"),
            "{error}"
        );
        let mut both = whole.clone();
        both.columns.push(TargetColumn {
            name: "gone".into(),
            ..whole.columns[2].clone()
        });
        let error = refused(&columns, &both, mode);
        assert!(
            error.contains("the target has columns of both names"),
            "{error}"
        );
        // The rename was done.
        let mut renamed = whole;
        renamed.columns[2].name = "gone".into();
        assert_eq!(check(&columns, &renamed, mode).unwrap(), [""; 0]);
    }

    /// Two keys of the source would be chained as one.
    #[test]
    fn keys_of_versions_are_compared_as_at_the_source() {
        let text = |name: &str| {
            Some(Collation {
                name: name.into(),
                code_page: 1252,
            })
        };
        let mut schema = schema();
        schema.columns[0].ty = SqlType::VarChar { length: Some(9) };
        schema.columns[0].collation = text("Latin1_General_CS_AS");
        let mut target = TargetTable::planned(&schema.name, &schema);
        assert!(checked(&schema, &target, MergeMode::Scd2).is_ok());
        target.columns[0].collation = text("Latin1_General_CI_AS");
        let error = checked(&schema, &target, MergeMode::Scd2)
            .unwrap_err()
            .to_string();
        for part in [
            "key column id",
            "Latin1_General_CI_AS",
            "Latin1_General_CS_AS",
            "--full",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(checked(&schema, &target, MergeMode::Upsert).is_ok());
        target.columns[0].collation = text("Latin1_General_CS_AS");
        target.columns[0].ty = Ok(SqlType::NVarChar { length: Some(9) });
        assert!(checked(&schema, &target, MergeMode::Scd2).is_err());
    }

    #[test]
    fn all_problems_are_told_at_once_with_remedies() {
        let schema = schema();
        let mut target = TargetTable::planned(&schema.name, &schema);
        assert_eq!(
            checked(&schema, &target, MergeMode::Upsert).unwrap(),
            [""; 0]
        );
        target.columns[1].ty = Ok(SqlType::NVarChar { length: Some(20) });
        target.columns[1].name = "NOTE".into();
        target.columns[0].name = "order_id".into();
        target.indexes.clear();
        let error = checked(&schema, &target, MergeMode::Upsert)
            .unwrap_err()
            .to_string();
        for part in [
            "column id is missing: run ALTER TABLE [dbo].[orders] ADD [id] int NULL;",
            "column NOTE is nvarchar(20), which does not hold every nvarchar(50): run ALTER TABLE [dbo].[orders] ALTER \
                COLUMN [note] nvarchar(50) NULL;",
            "column order_id is NOT NULL without a default",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn keys_identities_and_server_columns_are_checked() {
        let mut schema = schema();
        let mut target = TargetTable::planned(&schema.name, &schema);
        target.columns[1].nullable = false;
        let error = checked(&schema, &target, MergeMode::Upsert)
            .unwrap_err()
            .to_string();
        assert!(error.contains("its source may be NULL"), "{error}");
        target.columns[1].nullable = true;
        target.columns[1].generated = Generated::Computed;
        assert_eq!(
            checked(&schema, &target, MergeMode::Upsert).unwrap().len(),
            1
        );
        target.indexes.clear();
        assert_eq!(
            checked(&schema, &target, MergeMode::Upsert).unwrap().len(),
            2
        );
        target.columns[0].generated = Generated::Computed;
        assert!(checked(&schema, &target, MergeMode::Upsert).is_err());
        target.columns[0].generated = Generated::Identity;
        assert!(checked(&schema, &target, MergeMode::Upsert).is_ok());
        // One that icesync makes is not: an identity outside the key becomes a plain column.
        schema.columns[1].generated = Generated::Identity;
        schema.columns[0].generated = Generated::Identity;
        let made = TargetTable::planned(&schema.name, &schema);
        assert_eq!(made.columns[0].generated, Generated::Identity);
        assert_eq!(checked(&schema, &made, MergeMode::Upsert).unwrap(), [""; 0]);
        target.can_alter = false;
        target.user = "loader".into();
        let error = checked(&schema, &target, MergeMode::Upsert);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("run GRANT ALTER ON [dbo].[orders] TO [loader];"),
            "{error}"
        );
        target.columns[0].generated = Generated::No;
        assert!(checked(&schema, &target, MergeMode::Upsert).is_ok());
        schema.key = None;
        assert!(checked(&schema, &target, MergeMode::Append).is_ok());
    }
}
