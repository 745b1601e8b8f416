//! DECLARE and SET.

use super::attempt;
use crate::engine::bind::{Binder, cast};
use crate::engine::context::{Cx, Variable};
use crate::engine::fault::{Outcome, error};
use crate::engine::schema::{AliasKind, same_name};
use crate::engine::{ddl, types};
use crate::sql::ast;
use crate::value::{SqlType, Value};

/// Declares a batch's variables, all of them before it runs: whether a DECLARE is ever reached does not matter.
pub(super) fn declare(cx: &mut Cx<'_>, declaration: &ast::Declaration) -> Outcome<()> {
    let ty = match &declaration.kind {
        ast::DeclarationKind::Scalar { ty, .. } => ty,
        ast::DeclarationKind::Table(definition) => {
            return attempt(cx, &mut |cx| {
                ddl::declare_table(cx, &declaration.name, definition)
            });
        }
    };
    if let Some(definition) = table_type(cx, ty) {
        return attempt(cx, &mut |cx| {
            ddl::declare_table(cx, &declaration.name, &definition)
        });
    }
    cx.held.lock();
    let known = Binder::new(cx).type_of(ty);
    let collate = cx.held.database(cx.ses.database).collate.clone();
    cx.held.unlock_unless(cx.atomic > 0);
    let (ty, _, _) = known?;
    let collate = types::is_character(&ty).then_some(collate);
    let variable = Variable {
        name: declaration.name.clone(),
        ty,
        collate,
        value: Value::Null,
    };
    cx.ses.frame_mut().declare(variable)?;
    Ok(())
}

/// A DECLARE that is reached: its variables take their values, if it gives any. In a loop the others keep theirs.
pub(super) fn assign_declared(cx: &mut Cx<'_>, list: &[ast::Declaration]) -> Outcome<()> {
    for declaration in list {
        let ast::DeclarationKind::Scalar {
            value: Some(value), ..
        } = &declaration.kind
        else {
            continue;
        };
        let name = declaration.name.to_lowercase();
        let Some(index) = cx.ses.frame().names.get(&name).copied() else {
            continue;
        };
        let ty = cx.ses.frame().variables[index].ty.clone();
        assign(cx, index, value, &ty)?;
    }
    Ok(())
}

/// The definition of a table type, when the name is one.
pub(super) fn table_type(cx: &mut Cx<'_>, ty: &ast::TypeName) -> Option<ast::TableDefinition> {
    let ast::TypeName::Named(name) = ty else {
        return None;
    };
    cx.held.lock();
    let database = cx.held.database(cx.ses.database);
    let known = database
        .types
        .iter()
        .find(|alias| same_name(&alias.name, name.object()));
    let found = known.and_then(|alias| match &alias.kind {
        AliasKind::Table(definition) => Some((**definition).clone()),
        AliasKind::Scalar { .. } => None,
    });
    cx.held.unlock_unless(cx.atomic > 0);
    found
}

pub(super) fn assign(
    cx: &mut Cx<'_>,
    index: usize,
    value: &ast::Expr,
    ty: &SqlType,
) -> Outcome<()> {
    let value = attempt(cx, &mut |cx| {
        let bound = Binder::new(cx).expr(value)?;
        check_assignable(&bound.ty, ty, &bound)?;
        cast(bound, ty).eval(&[], cx)
    })?;
    cx.ses.frame_mut().variables[index].value = value;
    Ok(())
}

/// Error 206 or 257 when SQL Server does not convert by itself.
pub(super) fn check_assignable(
    from: &SqlType,
    to: &SqlType,
    bound: &crate::engine::expr::Expr,
) -> Outcome<()> {
    let null = matches!(bound.kind, crate::engine::expr::Kind::Const(Value::Null));
    if null || types::implicit(from, to) {
        return Ok(());
    }
    let (from, to) = (types::name(from), types::name(to));
    Err(error(
        257,
        16,
        format!(
            "Implicit conversion from data type {from} to {to} is not allowed. Use the CONVERT \
        function to run this query."
        ),
    )
    .into())
}

pub(super) fn set_variable(cx: &mut Cx<'_>, set: &ast::SetVariable) -> Outcome<()> {
    let Some(index) = cx.ses.frame().names.get(&set.name.to_lowercase()).copied() else {
        return Err(error(
            137,
            15,
            format!("Must declare the scalar variable \"{}\".", set.name),
        )
        .into());
    };
    let ty = cx.ses.frame().variables[index].ty.clone();
    let value = attempt(cx, &mut |cx| {
        let mut binder = Binder::new(cx);
        let mut bound = binder.expr(&set.value)?;
        if let Some(op) = set.op {
            let current = binder.variable(&set.name)?;
            bound = binder.binary(op, current, bound)?;
        }
        check_assignable(&bound.ty, &ty, &bound)?;
        cast(bound, &ty).eval(&[], cx)
    })?;
    cx.ses.frame_mut().variables[index].value = value;
    cx.ses.last_error = 0;
    cx.ses.row_count = 1;
    Ok(())
}
