//! CREATE TABLE, table variables, SELECT INTO.

use super::constraint::{
    column_constraint, compression_of, key_columns, ordinal, push_index, table_constraint,
};
use super::limits::check_row;
use super::{add_object, place, set_name};
use crate::engine::bind::{Binder, OutColumn, Scope, Source, cast, check_code_page};
use crate::engine::collation::Collate;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::schema::{
    Column, Computed, Identity, Index, Lifetime, Object, ObjectRef, TableDef, fold, same_name,
};
use crate::engine::state::Undo;
use crate::engine::storage::Table;
use crate::engine::temporal;
use crate::engine::types;
use crate::sql::ast::{self, ColumnConstraintKind, ColumnKind};
use crate::value::SqlType;

const TEMPDB: usize = 1;

pub fn create(cx: &mut Cx<'_>, create: &ast::CreateTable) -> Outcome<()> {
    let mut compression = ast::Compression::None;
    let mut versioning = None;
    for option in &create.options {
        match option {
            ast::TableOption::SystemVersioning(ast::SystemVersioning::Off) => {}
            ast::TableOption::DataCompression(written) => compression = *written,
            ast::TableOption::SystemVersioning(written) => versioning = Some(written),
            ast::TableOption::MemoryOptimized(false) => {}
            ast::TableOption::MemoryOptimized(true) | ast::TableOption::DurabilitySchemaOnly(_) => {
                return Err(unsupported("MEMORY_OPTIMIZED").into());
            }
        }
    }
    let name = create.name.object();
    if name.starts_with('#') {
        if versioning.is_some() {
            let why = format!(
                "System-versioned temporal table '{name}' cannot be created in a 'tempdb' database."
            );
            return Err(error(13568, 16, why).into());
        }
        return create_temporary(cx, name, &create.table);
    }
    let place = place(cx, &create.name, "CREATE TABLE")?;
    let id = cx.held.databases[place.database].new_object_id();
    let mut def = empty(cx, id, place.schema, name, Lifetime::Permanent);
    def.compression = compression;
    define(cx, &mut def, &create.table, place.database)?;
    let at = add_object(cx, &place, id, Object::Table(Box::new(Table::new(def))))?;
    match versioning {
        Some(written) => temporal::turn_on(cx, at, written),
        None => Ok(()),
    }
}

fn create_temporary(cx: &mut Cx<'_>, name: &str, definition: &ast::TableDefinition) -> Outcome<()> {
    let at = new_temporary(cx, name)?;
    let mut def = empty(cx, at.id, 1, name, Lifetime::Temporary);
    define(cx, &mut def, definition, TEMPDB)?;
    finish_temporary(cx, at, def);
    Ok(())
}

/// A place in tempdb for a new `#t` or `##t`; error 2714 when the name is taken.
fn new_temporary(cx: &mut Cx<'_>, name: &str) -> Outcome<ObjectRef> {
    let key = fold(name);
    let taken = if name.starts_with("##") {
        cx.held.database(TEMPDB).names.contains_key(&(1, key))
    } else {
        cx.ses.temporary_table(&cx.held, name).is_some()
    };
    if taken {
        return Err(error(
            2714,
            16,
            format!("There is already an object named '{name}' in the database."),
        )
        .into());
    }
    let id = -cx.held.databases[TEMPDB].new_object_id();
    Ok(ObjectRef {
        database: TEMPDB,
        id,
    })
}

fn finish_temporary(cx: &mut Cx<'_>, at: ObjectRef, def: TableDef) {
    let name = def.name.clone();
    cx.held.databases[TEMPDB]
        .objects
        .insert(at.id, Object::Table(Box::new(Table::new(def))));
    cx.transaction().undo.push(Undo::Object { at, old: None });
    if name.starts_with("##") {
        let place = super::Place {
            database: TEMPDB,
            schema: 1,
            name,
        };
        set_name(cx, &place, Some(at.id));
        cx.ses.global_temporary.push(at);
    } else {
        cx.ses.temporary.push((fold(&name), at));
        // In the outermost scope the table lives as long as the session.
        if cx.ses.frames.len() > 1 {
            cx.ses.frame_mut().temporary.push(at);
        }
    }
}

pub fn declare_table(
    cx: &mut Cx<'_>,
    name: &str,
    definition: &ast::TableDefinition,
) -> Outcome<()> {
    cx.transaction();
    let key = fold(name);
    if let Some(known) = cx.ses.frame().tables.get(&key).copied() {
        super::forget_table(cx, known);
    }
    let id = -cx.held.databases[TEMPDB].new_object_id();
    let mut def = empty(cx, id, 1, name, Lifetime::Variable);
    define(cx, &mut def, definition, cx.ses.database)?;
    cx.held.databases[TEMPDB]
        .objects
        .insert(id, Object::Table(Box::new(Table::new(def))));
    cx.ses.frame_mut().tables.insert(
        key,
        ObjectRef {
            database: TEMPDB,
            id,
        },
    );
    Ok(())
}

fn empty(cx: &Cx<'_>, id: i32, schema_id: i32, name: &str, lifetime: Lifetime) -> TableDef {
    let now = cx.now + cx.offset_ticks();
    TableDef {
        id,
        schema_id,
        name: name.to_string(),
        columns: Vec::new(),
        next_column_id: 1,
        indexes: Vec::new(),
        next_index_id: 2,
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        triggers: Vec::new(),
        statistics: Vec::new(),
        compression: ast::Compression::None,
        lifetime,
        period: None,
        versioning: None,
        history_of: None,
        created: now,
        modified: now,
    }
}

/// The table that SELECT INTO makes: columns and identity of the query, no constraints.
pub fn create_from_query(
    cx: &mut Cx<'_>,
    name: &ast::ObjectName,
    columns: &[OutColumn],
) -> Outcome<ObjectRef> {
    cx.transaction();
    crate::engine::dml::into_columns(columns)?;
    let temporary = name.object().starts_with('#');
    let (at, place) = if temporary {
        (new_temporary(cx, name.object())?, None)
    } else {
        let place = place(cx, name, "CREATE TABLE")?;
        let id = cx.held.databases[place.database].new_object_id();
        (
            ObjectRef {
                database: place.database,
                id,
            },
            Some(place),
        )
    };
    let (schema, lifetime) = place.as_ref().map_or((1, Lifetime::Temporary), |place| {
        (place.schema, Lifetime::Permanent)
    });
    let mut def = empty(cx, at.id, schema, name.object(), lifetime);
    for column in columns {
        let identity = (column.identity && !def.columns.iter().any(|c| c.identity.is_some()))
            .then_some(Identity {
                seed: 1,
                increment: 1,
            });
        def.columns.push(Column {
            id: def.next_column_id,
            name: column.name.clone(),
            ty: column.ty.clone(),
            collate: if types::is_character(&column.ty) {
                Some(column.collate.clone().unwrap_or_else(Collate::server))
            } else {
                None
            },
            nullable: column.nullable,
            identity,
            default: None,
            computed: None,
            user_type_id: types::user_type_id(&column.ty),
            row_guid: false,
            sparse: false,
            mask: None,
            generated: None,
            hidden: false,
        });
        def.next_column_id += 1;
    }
    match place {
        Some(place) => add_object(cx, &place, at.id, Object::Table(Box::new(Table::new(def)))),
        None => {
            finish_temporary(cx, at, def);
            Ok(at)
        }
    }
}

/// Fills a definition from CREATE TABLE's parentheses.
pub fn define(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    table: &ast::TableDefinition,
    database: usize,
) -> Outcome<()> {
    for column in &table.columns {
        add_column(cx, def, column, database)?;
    }
    for column in &table.columns {
        for constraint in &column.constraints {
            column_constraint(cx, def, &column.name, constraint, database)?;
        }
    }
    for constraint in &table.constraints {
        table_constraint(cx, def, constraint, database)?;
    }
    for index in &table.indexes {
        if index.columnstore {
            return Err(unsupported("COLUMNSTORE INDEX").into());
        }
        let columns = key_columns(def, &index.columns)?;
        let include = index
            .include
            .iter()
            .map(|name| ordinal(def, name))
            .collect::<Outcome<Vec<_>>>()?;
        let clustered = index.clustered == Some(true);
        let added = Index {
            include,
            unique: index.unique,
            clustered,
            filter: index.filter.clone(),
            compression: compression_of(def, &index.options, clustered),
            ..Index::plain(&index.name.text, columns)
        };
        push_index(def, added)?;
    }
    if let Some(period) = &table.period {
        temporal::check_period(def, period)?;
    }
    temporal::check_columns(def)?;
    check_row(def, "CREATE")
}

/// Adds a column without its constraints.
pub fn add_column(
    cx: &mut Cx<'_>,
    def: &mut TableDef,
    column: &ast::ColumnDefinition,
    database: usize,
) -> Outcome<()> {
    let name = &column.name.text;
    if def.column(name).is_some() {
        return Err(error(
            2705,
            16,
            format!(
                "Column names in each table must be unique. Column name '{name}' in table \
            '{}' is specified more than once.",
                def.name
            ),
        )
        .into());
    }
    let key = column.constraints.iter().any(
        |constraint| matches!(&constraint.kind, ColumnConstraintKind::Key(key) if key.primary),
    );
    let built = match &column.kind {
        ColumnKind::Computed { expr, persisted } => {
            computed_column(cx, def, name, expr, *persisted, database)?
        }
        ColumnKind::Stored(stored) => stored_column(cx, def, column, stored, key, database)?,
    };
    def.next_column_id += 1;
    def.columns.push(built);
    Ok(())
}

fn stored_column(
    cx: &mut Cx<'_>,
    def: &TableDef,
    column: &ast::ColumnDefinition,
    stored: &ast::StoredColumn,
    key: bool,
    database: usize,
) -> Outcome<Column> {
    let name = &column.name.text;
    if stored.hidden && stored.generated.is_none() {
        return Err(unsupported("HIDDEN without GENERATED ALWAYS").into());
    }
    let (ty, alias_nullable, user_type_id) = Binder::new(cx).type_of(&stored.ty)?;
    if ty == SqlType::RowVersion && def.rowversion().is_some() {
        return Err(error(
            2738,
            16,
            format!(
                "A table can only have one timestamp column. Because table '{}' already has \
            one, the column '{name}' cannot be added.",
                def.name
            ),
        )
        .into());
    }
    let collate = match (&stored.collation, types::is_character(&ty)) {
        (Some(collation), true) if same_name(&collation.text, "database_default") => {
            Some(cx.held.database(cx.ses.database).collate.clone())
        }
        (Some(collation), true) => {
            let collate = Collate::named(&collation.text)?;
            check_code_page(&ty, &collate)?;
            Some(collate)
        }
        (Some(collation), false) => {
            return Err(error(
                451,
                16,
                format!(
                    "COLLATE clause '{}' cannot be used on columns of type {}.",
                    collation.text,
                    types::name(&ty)
                ),
            )
            .into());
        }
        (None, true) => Some(cx.held.database(database).collate.clone()),
        (None, false) => None,
    };
    let identity = match &stored.identity {
        Some(identity) => {
            let whole = types::is_integer(&ty) && ty != SqlType::Bit
                || matches!(ty, SqlType::Decimal { scale: 0, .. });
            if !whole {
                return Err(error(2749, 16, format!("Identity column '{name}' must be of data type int, bigint, \
                    smallint, tinyint, or decimal or numeric with a scale of 0, unencrypted, and constrained to be \
                    nonnullable.")).into());
            }
            if def.identity().is_some() {
                return Err(error(
                    2744,
                    16,
                    format!(
                        "Multiple identity columns specified for table '{}'. Only one \
                    identity column per table is allowed.",
                        def.name
                    ),
                )
                .into());
            }
            Some(Identity {
                seed: identity.seed,
                increment: identity.increment,
            })
        }
        None => None,
    };
    let default_nullable = alias_nullable.unwrap_or(ty != SqlType::RowVersion);
    let nullable = column
        .nullable
        .unwrap_or(default_nullable && identity.is_none() && !key && stored.generated.is_none());
    if nullable && (identity.is_some() || key) && column.nullable == Some(true) {
        return Err(error(
            8111,
            16,
            format!(
                "Cannot define PRIMARY KEY constraint on nullable column in table '{}'.",
                def.name
            ),
        )
        .into());
    }
    Ok(Column {
        id: def.next_column_id,
        name: name.clone(),
        ty,
        collate,
        nullable,
        identity,
        default: None,
        computed: None,
        user_type_id,
        row_guid: stored.row_guid,
        sparse: stored.sparse,
        mask: stored.mask.clone(),
        generated: stored.generated,
        hidden: stored.hidden,
    })
}

/// The scope of a table's own columns, for computed columns and checks.
pub fn own_scope(def: &TableDef) -> Scope {
    let columns = def
        .columns
        .iter()
        .map(|column| OutColumn {
            name: column.name.clone(),
            ty: column.ty.clone(),
            collate: column.collate.clone(),
            nullable: column.nullable,
            identity: column.identity.is_some(),
            computed: column.computed.is_some(),
            hidden: false,
            unlisted: false,
            masked: false,
        })
        .collect();
    let mut scope = Scope::default();
    scope.add(Source {
        name: def.name.clone(),
        schema: None,
        columns,
        start: 0,
    });
    scope
}

fn computed_column(
    cx: &mut Cx<'_>,
    def: &TableDef,
    name: &str,
    expr: &ast::Expr,
    persisted: bool,
    database: usize,
) -> Outcome<Column> {
    let mut binder = Binder::new(cx);
    binder.database = database;
    binder.scopes.push(own_scope(def));
    let bound = binder.expr(expr)?;
    if reads_the_moment(&bound) {
        return Err(unsupported(format!(
            "The computed column '{name}' that is not deterministic"
        ))
        .into());
    }
    let ty = bound.ty.clone();
    let nullable = bound.nullable;
    let collate = bound.collate.clone();
    let _ = cast(bound, &ty);
    Ok(Column {
        id: def.next_column_id,
        name: name.to_string(),
        user_type_id: types::user_type_id(&ty),
        ty,
        collate,
        nullable,
        identity: None,
        default: None,
        computed: Some(Computed {
            expr: expr.clone(),
            persisted,
        }),
        row_guid: false,
        sparse: false,
        mask: None,
        generated: None,
        hidden: false,
    })
}

/// Whether the value changes without the row changing: the stand-in computes such columns when the row is written.
fn reads_the_moment(expr: &crate::engine::expr::Expr) -> bool {
    let text = format!("{expr:?}").to_ascii_uppercase();
    [
        "GETDATE(",
        "GETUTCDATE(",
        "SYSDATETIME(",
        "SYSUTCDATETIME(",
        "SYSDATETIMEOFFSET(",
        "NEWID(",
        "RAND(",
        "SUBQUERY",
        "CURRENT_TIMESTAMP(",
    ]
    .iter()
    .any(|word| text.contains(word))
}
