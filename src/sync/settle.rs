//! The first two steps of an extract: what is there, and the window. They change nothing, which is why `plan` shares
//! them.

use super::follow::{self, Following};
use super::standing::{Footing, footing};
use super::{Links, Phase, Sync, marked};
use crate::change::{Checkpoint, MergeMode, StrategyChoice};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::LakeTable;
use crate::mssql::control::Control;
use crate::mssql::environment::Environment;
use crate::schema::definition::Definition;
use crate::schema::deleted::Marked;
use crate::schema::drift::Recorded;
use crate::schema::{TableKind, TableSchema};
use crate::source::{self, Discovered, ExtractPlan, Read};
use std::sync::Arc;

/// What an extract has settled before it reads the first row.
pub(super) struct Settled {
    pub environment: Arc<Environment>,
    pub schema: TableSchema,
    pub lake: Option<LakeTable>,
    pub checkpoint: Option<Checkpoint>,
    pub plan: ExtractPlan,
    /// What to record of the source with a new lake table.
    pub found: Recorded,
    /// The same, of what else the source's table has. None unless `create:` asks for any of it.
    pub definition: Option<Definition>,
    /// From the source's statistics.
    pub row_estimate: Option<u64>,
    /// How the lake table is to follow the source first.
    pub following: Option<Following>,
    /// Another writer changed the lake table's rows, or its branch, since the last run.
    pub others_wrote: bool,
    /// Which rows count as deleted.
    pub marked: Option<Marked>,
}

/// Steps 1 and 2: what is there, and the window. Changes nothing, which is why `plan` shares it.
pub(super) async fn settle(sync: &Sync, table: &Table, links: &mut Links) -> Result<Settled> {
    let name = table.source.to_string();
    sync.observer.phase(&name, Phase::Connect, 0);
    let side = sync.source_side()?;
    let (control, environment) = links.source(side).await?;
    sync.observer.phase(&name, Phase::Plan, 0);
    let discovered = source::discover(control, &environment, &table.source, &table.columns)
        .await?
        .with_key(table.key.as_deref().unwrap_or_default())?;
    let schema = discovered.schema.clone();
    let marked = marked::marked(table, &discovered)?;
    check_key(table, &schema)?;
    let (definition, undefined) = match table.create.any() {
        true => source::definition(control, &schema.name).await?,
        false => (None, None),
    };
    let lake = sync.warehouse.table(&table.lake).await?;
    let found = follow::found(&discovered);
    let Footing {
        mut checkpoint,
        warnings,
    } = match &lake {
        Some(lake) => footing(lake, table).await?,
        None => Footing::default(),
    };
    let mut following = None;
    if let Some(lake) = &lake {
        let definition = definition.as_ref();
        following = follow::follow(lake, table, &found, definition, checkpoint.as_ref())?;
    }
    if let Some(following) = &following {
        checkpoint.clone_from(&following.checkpoint);
    }
    let mut plan = source::plan(
        control,
        &discovered,
        &table.change,
        (table.kind, table.fidelity),
        checkpoint.as_ref(),
    )
    .await
    .map_err(|error| side.once(error, &schema.name))?;
    side.notice(&plan.notices);
    if let Some(lake) = lake.as_ref().filter(|_| plan.strategy.follows_log()) {
        follow::check_spellings(lake, table, &found)?;
    }
    let others_wrote = !warnings.is_empty();
    marked::explain(marked.as_ref(), &mut plan);
    plan.warnings.extend(warnings.into_iter().chain(undefined));
    match plan.read {
        Read::Nothing { .. } => {}
        Read::Window(_) | Read::Again(_) | Read::Tracked(_) | Read::Whole(_) | Read::Ranges(_) => {
            check_unchanged(control, &environment, table, &found).await?;
        }
    }
    Ok(Settled {
        environment,
        schema,
        lake,
        checkpoint,
        plan,
        found,
        definition,
        row_estimate: discovered.facts.row_estimate,
        following,
        others_wrote,
        marked,
    })
}

/// The columns once more, after the window is closed. A value that a new column got before the window's end belongs
/// to a row of the window, and a read that does not know the column would take the row without it, for good. What
/// is changed from here on is in the next window.
async fn check_unchanged(
    control: &mut Control,
    environment: &Arc<Environment>,
    table: &Table,
    found: &Recorded,
) -> Result<()> {
    if follow::found(&now(control, environment, table).await?) == *found {
        return Ok(());
    }
    let message = format!(
        "columns of {} changed while the run was starting. Nothing was read; retrying with the new columns.",
        table.source
    );
    Err(Error::new(Kind::Source, Disposition::Transient, message))
}

/// The source once more, around a read (the head of [`super::extract`] says when); `when` is for the message. A look
/// that fails is made again on a new connection while that may help: this one was idle for as long as the read took,
/// and hours of reading are not given up because of it.
pub(super) async fn check_read(
    sync: &Sync,
    table: &Table,
    links: &mut Links,
    (found, plan): (&Recorded, &ExtractPlan),
    when: &str,
) -> Result<()> {
    let mut attempts = sync.attempts();
    let name = table.source.to_string();
    loop {
        match look(sync, table, links).await {
            Ok(now) if keeps(found, &follow::found(&now)) => {
                return source::still_whole(plan, &now).map_err(Error::from);
            }
            Ok(_) => return Err(changed(table, when)),
            Err(error) => {
                links.close_source();
                sync.again(&mut attempts, error, &name).await?;
            }
        }
    }
}

/// The error of a read that has failed for good, or that the source changed meanwhile, which passes.
pub(super) async fn or_changed(
    sync: &Sync,
    table: &Table,
    links: &mut Links,
    (found, plan): (&Recorded, &ExtractPlan),
    error: Error,
) -> Error {
    if error.disposition() != Disposition::Definite {
        return error;
    }
    links.close_source();
    match look(sync, table, links).await {
        Ok(now) if keeps(found, &follow::found(&now)) => match source::still_whole(plan, &now) {
            Ok(()) => error,
            Err(lost) => lost.into(),
        },
        Ok(_) => changed(
            table,
            &format!("and a read of them failed ({})", error.report()),
        ),
        Err(_) => error,
    }
}

/// The source table as it is now.
async fn look(sync: &Sync, table: &Table, links: &mut Links) -> Result<Discovered> {
    let (control, environment) = links.source(sync.source_side()?).await?;
    now(control, &environment, table).await
}

async fn now(
    control: &mut Control,
    environment: &Arc<Environment>,
    table: &Table,
) -> Result<Discovered> {
    let now = source::discover(control, environment, &table.source, &table.columns).await?;
    Ok(now.with_key(table.key.as_deref().unwrap_or_default())?)
}

/// Pure: whether each column that was found is the same now, in the same place. One that was added since is none of
/// them: the values that it got belong to the next window.
fn keeps(found: &Recorded, now: &Recorded) -> bool {
    let columns = now.schema.columns.get(..found.schema.columns.len());
    let is_named = |(lake, source)| now.renamed.get(lake) == Some(source);
    columns == Some(&found.schema.columns)
        && now.schema.key == found.schema.key
        && (&now.object, &now.view) == (&found.object, &found.view)
        && found.renamed.iter().all(is_named)
}

fn changed(table: &Table, when: &str) -> Error {
    let message = format!(
        "columns of {} changed {when}. The rows read under the old columns are not committed; retrying from the last \
         commit with the new columns.",
        table.source
    );
    Error::new(Kind::Source, Disposition::Transient, message)
}

/// Refuses a mirror whose rows cannot be told apart.
fn check_key(table: &Table, schema: &TableSchema) -> Result<()> {
    match table.kind == TableKind::Mirror && schema.key.is_none() && !is_replaced(table) {
        true => Err(no_key()),
        false => Ok(()),
    }
}

/// Whether a table is read whole and loaded whole each time, which takes no key.
fn is_replaced(table: &Table) -> bool {
    table.change.strategy == StrategyChoice::Full && table.merge.mode == MergeMode::Replace
}

fn no_key() -> Error {
    let message = "the table has no primary key and no unique index without NULLs, and a mirror needs to know which \
        row a change replaces. Name the columns with `key: [...]`; mirror the table by replacement, with `change: { \
        strategy: full }` and `merge: { mode: replace }`; or keep every version with `kind: history`";
    Error::new(Kind::Source, Disposition::Definite, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::drift::{SourceObject, SourceView};
    use crate::schema::{Column, Generated, SqlType};

    fn recorded(columns: &[(i32, &str, SqlType)]) -> Recorded {
        let column = |&(id, name, ty): &(i32, &str, SqlType)| Column {
            id,
            name: name.to_owned(),
            ty,
            nullable: true,
            collation: None,
            generated: Generated::No,
        };
        let schema = TableSchema {
            name: "dbo.t".parse().unwrap(),
            columns: columns.iter().map(column).collect(),
            key: None,
        };
        let object = SourceObject {
            id: 1,
            created: "2024-01-01".to_owned(),
        };
        Recorded::new(schema, Some(object))
    }

    #[test]
    fn a_read_stands_only_where_each_of_its_columns_is_what_it_was() {
        use SqlType::{BigInt, Int};
        let found = recorded(&[(1, "a", Int), (2, "b", Int)]);
        for (now, expected) in [
            (&[(1, "a", Int), (2, "b", Int)][..], true),
            (&[(1, "a", Int), (2, "b", Int), (3, "c", Int)][..], true),
            (&[(1, "b", Int), (2, "a", Int)][..], false),
            (&[(1, "a", Int), (2, "c", Int)][..], false),
            (&[(1, "a", Int), (3, "b", Int)][..], false),
            (&[(1, "a", Int), (2, "b", BigInt)][..], false),
            (&[(1, "a", Int)][..], false),
            (&[(2, "b", Int), (3, "a", Int)][..], false),
        ] {
            assert_eq!(keeps(&found, &recorded(now)), expected, "{now:?}");
        }
        let mut recreated = found.clone();
        recreated.object = None;
        assert!(!keeps(&found, &recreated));
        let mut altered = found.clone();
        altered.view = Some(SourceView {
            id: 1,
            modified: "2024-01-02".to_owned(),
        });
        assert!(!keeps(&found, &altered));
        // The lake's names are the same, those at the source are not.
        let renamed = |source: &str| Recorded {
            renamed: [("a".to_owned(), source.to_owned())].into(),
            ..found.clone()
        };
        assert!(keeps(&renamed("x"), &renamed("x")));
        assert!(!keeps(&renamed("x"), &renamed("y")));
        assert!(!keeps(&renamed("x"), &found));
    }
}
