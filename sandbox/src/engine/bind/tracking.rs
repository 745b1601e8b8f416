//! CHANGETABLE.

use super::{Binder, Named, OutColumn, at_line, cast, table_columns};
use crate::engine::collation::Collate;
use crate::engine::expr::Expr;
use crate::engine::fault::{Outcome, error};
use crate::engine::plan::{Node, Plan, Produce};
use crate::engine::schema::{Lifetime, ObjectRef, Replica, TableDef, same_name};
use crate::engine::{catalog, permissions, tracking};
use crate::session::SqlError;
use crate::sql::ast;
use crate::value::{SqlType, Value};
use std::sync::Arc;

fn unsupported_object(name: &ast::ObjectName) -> SqlError {
    error(
        22107,
        16,
        format!(
            "Object '{name}' is of a data type that is not supported by the CHANGETABLE function. The object must be a \
                user-defined table."
        ),
    )
}

/// A column of CHANGETABLE's own, which may be NULL.
fn own(name: &str, ty: SqlType, collate: Option<Arc<Collate>>) -> OutColumn {
    OutColumn {
        name: name.to_owned(),
        ty,
        collate,
        nullable: true,
        identity: false,
        computed: false,
        hidden: false,
        unlisted: false,
        masked: false,
    }
}

impl Binder<'_, '_> {
    /// `CHANGES table, last`
    pub(super) fn changes(
        &mut self,
        name: &ast::ObjectName,
        last: &ast::Expr,
    ) -> Outcome<(Plan, Vec<OutColumn>)> {
        let (at, def) = self.tracked(name)?;
        let last = self.arguments(std::slice::from_ref(last))?;
        let last = last.into_iter().map(|last| cast(last, &SqlType::BigInt));
        let binary = Collate::named("Latin1_General_BIN")?;
        let mut columns = vec![
            own("SYS_CHANGE_VERSION", SqlType::BigInt, None),
            own("SYS_CHANGE_CREATION_VERSION", SqlType::BigInt, None),
            own("SYS_CHANGE_OPERATION", SqlType::NChar(1), Some(binary)),
            own("SYS_CHANGE_COLUMNS", SqlType::VarBinary(Some(4100)), None),
            own("SYS_CHANGE_CONTEXT", SqlType::VarBinary(Some(128)), None),
        ];
        columns.extend(self.key_columns(at, &def)?);
        Ok((call(tracking::changes, at, last, columns.len()), columns))
    }

    /// `VERSION table, (columns), (values)`
    pub(super) fn versions(
        &mut self,
        name: &ast::ObjectName,
        named: &[ast::Ident],
        values: &[ast::Expr],
    ) -> Outcome<(Plan, Vec<OutColumn>)> {
        let (at, def) = self.tracked(name)?;
        let key: Vec<usize> = key_of(&def).collect();
        let places = places(&def, &key, named)?;
        if values.len() != named.len() {
            let message = "The arguments supplied are not valid for the VERSION option of the CHANGETABLE function.";
            return Err(error(22103, 16, message).into());
        }
        let bound = self.arguments(values)?;
        let value_of = |ordinal: &usize| {
            let place = places.iter().position(|named| named == ordinal);
            place.map(|place| cast(bound[place].clone(), &def.columns[*ordinal].ty))
        };
        let values: Vec<Expr> = key.iter().filter_map(value_of).collect();
        let mut columns = vec![
            own("SYS_CHANGE_VERSION", SqlType::BigInt, None),
            own("SYS_CHANGE_CONTEXT", SqlType::VarBinary(Some(128)), None),
        ];
        columns.extend(self.key_columns(at, &def)?);
        Ok((call(tracking::versions, at, values, columns.len()), columns))
    }

    /// The tracked table of a name whose changes the session may read.
    fn tracked(&self, name: &ast::ObjectName) -> Outcome<(ObjectRef, Arc<TableDef>)> {
        let refused = |error| at_line(error, name.line);
        if name.server().is_some() {
            let message = "The CHANGETABLE function does not support remote data sources.";
            return Err(refused(error(22106, 16, message)).into());
        }
        if catalog::view(name).is_some() {
            return Err(refused(unsupported_object(name)).into());
        }
        let at = match self.named(name)? {
            Named::Table(at) => at,
            Named::View(_) => return Err(refused(unsupported_object(name)).into()),
        };
        let table = self.cx.held.table(at)?;
        if table.def.lifetime != Lifetime::Permanent {
            return Err(refused(unsupported_object(name)).into());
        }
        if table.tracking.is_none() {
            return Err(refused(tracking::not_tracked(&table.def.name)).into());
        }
        if self.cx.held.database(at.database).replica == Replica::Secondary {
            let message = "For databases that are members of a secondary availability replica, change tracking is not \
                supported. Run change tracking queries on the databases in the primary availability replica.";
            return Err(refused(error(22117, 16, message)).into());
        }
        permissions::check(self.cx, at, "SELECT")?;
        permissions::check(self.cx, at, "VIEW CHANGE TRACKING")?;
        Ok((at, table.def.clone()))
    }

    /// The columns of a table's primary key.
    fn key_columns(&self, at: ObjectRef, def: &TableDef) -> Outcome<Vec<OutColumn>> {
        let columns = table_columns(self.cx, at)?;
        let key = key_of(def).map(|ordinal| OutColumn {
            identity: false,
            computed: false,
            ..columns[ordinal].clone()
        });
        Ok(key.collect())
    }
}

fn key_of(def: &TableDef) -> impl Iterator<Item = usize> {
    let primary = def.primary_key().into_iter();
    primary.flat_map(|index| index.columns.iter().map(|(at, _)| *at))
}

/// The ordinals of columns that are to be all of a primary key, each once.
fn places(def: &TableDef, key: &[usize], named: &[ast::Ident]) -> Outcome<Vec<usize>> {
    let mut places = Vec::with_capacity(named.len());
    for name in named {
        let mut key = key.iter().copied();
        let column = &name.text;
        let Some(ordinal) = key.find(|at| same_name(&def.columns[*at].name, column)) else {
            let message = format!(
                "The column '{column}' specified in the CHANGETABLE(VERSION ...) function is not part of the primary \
                    key for table '{}'.",
                def.name
            );
            return Err(error(22111, 16, message).into());
        };
        if places.contains(&ordinal) {
            let message = format!(
                "Each primary key column must be specified once in the CHANGETABLE(VERSION ...) function. The column \
                    '{column}' is specified more than once."
            );
            return Err(error(22112, 16, message).into());
        }
        places.push(ordinal);
    }
    if places.len() != key.len() {
        let message = format!(
            "The number of columns specified in the CHANGETABLE(VERSION ...) function does not match the number of \
                primary key columns for table '{}'.",
            def.name
        );
        return Err(error(22110, 16, message).into());
    }
    Ok(places)
}

/// The rows that `produce` makes of a table's id and these arguments.
fn call(
    produce: Produce,
    at: ObjectRef,
    args: impl IntoIterator<Item = Expr>,
    width: usize,
) -> Plan {
    let id = Expr::constant(Value::Int(at.id), SqlType::Int);
    let node = Node::Virtual {
        produce,
        args: std::iter::once(id).chain(args).collect(),
        database: at.database,
        object: None,
    };
    Plan::new(node, width)
}
