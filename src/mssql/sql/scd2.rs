//! The versions of a history, each with the time for which it was valid.
//!
//! # What the target holds
//!
//! For each version of a key that the load has seen one row, whatever became of it, with `_seq`, the order in which the
//! lake got it. In the order of `_seq`, deletes divide the versions of a key into lives. Let a version be *stamped*
//! with the value of its column `valid_from`, or with the time of its commit where that is NULL or no column is named,
//! and a delete with the time of its commit: the source has no row any more that would say when it went.
//!
//! - A delete takes effect at its stamp, but not before any stamp of the versions and deletes before it. So it ends
//!   whatever the lake had of the key.
//! - A version is valid from its stamp, but not before the last delete took effect: a row that is back after it was
//!   gone was not there in between.
//! - A version is valid until the next one of its life is, in the order of (from, `_seq`); the last one until the
//!   delete that ends the life. The last version of a life that nothing has ended is current, and its end is NULL.
//!
//! A version that is stamped like the next one of its life is valid for no time: its end is its beginning.
//!
//! # Why it does not matter how the history is cut into loads
//!
//! All of that is a function of the history of one key up to some `_seq`, and loads bring histories in the order of
//! `_seq`. What comes later changes nothing in a life that has ended. Of the life that goes on, the target has every
//! version with its beginning. Of those before it, only the time of the last delete counts, which is the end of the
//! last row that a delete has ended; that row is marked, because an end alone does not tell a delete from a version. So
//! the rows after it, that time and the versions that are staged give the same as the whole history.
//!
//! The rows of a key are recomputed from there on: new versions are inserted, wherever their stamp places them, and of
//! the rows that are there the ends and marks that have changed are updated.
//!
//! # Spellings
//!
//! Keys that the target takes for equal may be two keys of the lake: `É1` became `é1`, and a whole read finds the old
//! spelling gone. A delete counts only if the version before it has the spelling of the delete.

use super::compare::{has_equals, spelled};
use super::net::{expression, load_expression};
use super::plan::{ERROR_STAGED_ROWS, Held, MergeColumn, MergePlan, Validity};
use super::{Ident, TableIdent, define, list};

/// The statements that change the target.
pub(super) fn rows(plan: &MergePlan, validity: &Validity) -> String {
    let Some((seq, keys)) = plan.key.split_last() else {
        return String::new();
    };
    let column = |at: &usize| plan.columns.get(*at);
    let Some(seq) = column(seq) else {
        return String::new();
    };
    let chain = Chain {
        plan,
        validity,
        seq,
        keys: keys.iter().filter_map(column).collect(),
    };
    let target = TableIdent(&plan.target);
    let replaced = match plan.whole && plan.held != Held::None {
        true => format!("DELETE FROM {target};\nSET @deleted = ROWCOUNT_BIG();\n"),
        false => String::new(),
    };
    let updated = match plan.whole {
        true => String::new(),
        false => chain.update(),
    };
    format!(
        "SELECT @staged = COUNT_BIG(*) FROM {} AS s WHERE s.{} <> 'D';
{replaced}{}{updated}{}DROP TABLE #versions;
",
        TableIdent(&plan.staging),
        Ident(&validity.op),
        chain.versions(),
        chain.insert(),
    )
}

/// The versions of the keys that are staged.
struct Chain<'a> {
    plan: &'a MergePlan,
    validity: &'a Validity,
    seq: &'a MergeColumn,
    /// Without `_seq`.
    keys: Vec<&'a MergeColumn>,
}

impl Chain<'_> {
    /// `[k1]`, `[k2]` and so on of an alias.
    fn key(&self, alias: &str) -> String {
        let names = (1..=self.keys.len()).map(|at| format!("{alias}[k{at}]"));
        list(names, ", ")
    }

    /// `x AS [k1]` and so on.
    fn as_key(&self, value: impl Fn(&MergeColumn) -> String) -> String {
        let columns = (1..).zip(self.keys.iter().copied());
        list(
            columns.map(|(at, column)| format!("{} AS [k{at}]", value(column))),
            ", ",
        )
    }

    /// That the target's row (`d`) has the key of another alias.
    fn same_key(&self, alias: &str) -> String {
        let columns = (1..).zip(&self.keys);
        list(
            columns.map(|(at, column)| format!("d.{} = {alias}.[k{at}]", Ident(&column.name))),
            " AND ",
        )
    }

    /// Fills `#versions`: of each staged key the versions whose row is new, or may have another end now.
    fn versions(&self) -> String {
        let ty = self.validity.ty;
        let columns = (1..).zip(&self.keys).map(|(at, column)| {
            let ty = define::declared(column.ty, column.collation.as_ref());
            format!("[k{at}] {ty} NULL,\n    ")
        });
        let mut events = self.staged();
        if !self.plan.whole {
            events = format!("{events}\n    UNION ALL {}", self.known());
        }
        let key = self.key("");
        format!(
            "CREATE TABLE #versions (
    {}[seq] bigint NOT NULL,
    [is_new] bit NOT NULL,
    [starts] {ty} NOT NULL,
    [ends] {ty} NULL,
    [is_deleted] bit NOT NULL
);
WITH [events] AS (
    {events}
), {}, [effective] AS (
    SELECT c.*, MAX(c.[at]) OVER (PARTITION BY {key} ORDER BY c.[seq] ROWS UNBOUNDED PRECEDING) AS [top]
    FROM [counted] AS c WHERE c.[kind] <> 'D' OR c.[hit] = 1 AND c.[hits] = 1
), [lives] AS (
    SELECT e.*, MAX(CASE WHEN e.[kind] <> 'V' THEN e.[top] END) OVER (PARTITION BY {key} ORDER BY e.[seq] \
ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS [floor], \
COUNT(CASE WHEN e.[kind] <> 'V' THEN 1 END) OVER (PARTITION BY {key} ORDER BY e.[seq] \
ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS [life]
    FROM [effective] AS e
), [timed] AS (
    SELECT l.*, CASE WHEN l.[kind] <> 'V' THEN l.[top] WHEN l.[floor] > l.[at] THEN l.[floor] ELSE l.[at] END \
AS [starts]
    FROM [lives] AS l
), [chained] AS (
    SELECT t.*, LEAD(t.[starts]) OVER (PARTITION BY {key} ORDER BY t.[life], t.[starts], t.[seq]) AS [ends], \
LEAD(t.[kind]) OVER (PARTITION BY {key} ORDER BY t.[life], t.[starts], t.[seq]) AS [next]
    FROM [timed] AS t
)
INSERT INTO #versions ({key}, [seq], [is_new], [starts], [ends], [is_deleted])
SELECT {}, v.[seq], v.[is_new], v.[starts], v.[ends], CASE WHEN v.[next] = 'D' THEN 1 ELSE 0 END \
FROM [chained] AS v WHERE v.[kind] = 'V';
",
            list(columns, ""),
            self.counted(),
            self.key("v."),
        )
    }

    /// What is staged: versions (`V`) and deletes (`D`), with their stamps.
    fn staged(&self) -> String {
        let Validity { ty, .. } = self.validity;
        let (op, seq) = (Ident(&self.validity.op), Ident(&self.validity.seq));
        let converted = |name: &String| format!("CONVERT({ty}, s.{})", Ident(name));
        let committed = converted(&self.validity.committed_at);
        let stamp = match &self.validity.valid_from {
            Some(column) => format!(
                "CASE WHEN s.{op} = 'D' THEN {committed} ELSE COALESCE({}, {committed}) END",
                converted(column)
            ),
            None => committed,
        };
        format!(
            "SELECT {}, s.{seq} AS [seq], CONVERT(bit, 1) AS [is_new], CASE WHEN s.{op} = 'D' THEN 'D' ELSE 'V' END AS \
[kind], {stamp} AS [at] FROM {} AS s",
            self.as_key(load_expression),
            TableIdent(&self.plan.staging)
        )
    }

    /// What the target has of the staged keys: the versions of the life that goes on, and the end of the one before it
    /// (`F`). Seen from the last row of a key, those are the rows before the first that a delete has ended.
    fn known(&self) -> String {
        let Validity {
            from, to, deleted, ..
        } = self.validity;
        let (seq, from, to) = (Ident(&self.seq.name), Ident(from), Ident(to));
        let deleted = Ident(deleted);
        let own = |column: &MergeColumn| format!("d.{}", Ident(&column.name));
        let partition = list(self.keys.iter().copied().map(own), ", ");
        format!(
            "SELECT {}, d.[seq], CONVERT(bit, 0), CASE WHEN d.[is_deleted] = 1 THEN 'F' ELSE 'V' END, \
CASE WHEN d.[is_deleted] = 1 THEN d.[ends] ELSE d.[starts] END
    FROM (SELECT {}, d.{seq} AS [seq], d.{from} AS [starts], d.{to} AS [ends], d.{deleted} AS [is_deleted], \
SUM(CONVERT(int, d.{deleted})) OVER (PARTITION BY {partition} ORDER BY d.{from} DESC, d.{seq} DESC \
ROWS UNBOUNDED PRECEDING) AS [ended]
        FROM {} AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT DISTINCT {} FROM {} AS s) AS s ON {}) AS d
    WHERE d.[ended] = 0 OR d.[ended] = 1 AND d.[is_deleted] = 1",
            self.key("d."),
            self.as_key(own),
            TableIdent(&self.plan.target),
            self.as_key(load_expression),
            TableIdent(&self.plan.staging),
            self.same_key("s"),
        )
    }

    /// Which deletes count (`hit`): the first one after a version that has its spelling.
    fn counted(&self) -> String {
        let key = self.key("");
        let respelled: Vec<(usize, &MergeColumn)> = (1..)
            .zip(self.keys.iter().copied())
            .filter(|(_, column)| has_equals(column.ty))
            .collect();
        let first = respelled.iter().map(|(at, _)| {
            format!(
                ", FIRST_VALUE(n.[k{at}]) OVER (PARTITION BY {key}, n.[version] ORDER BY n.[seq] \
ROWS UNBOUNDED PRECEDING) AS [f{at}]"
            )
        });
        let first = list(first, "");
        let spelling = |name: &str| {
            let of = |(at, column): &(usize, &MergeColumn)| {
                spelled(column.ty, &format!("f.[{name}{at}]"))
            };
            list(respelled.iter().flat_map(of), ", ")
        };
        let same = match respelled.is_empty() {
            true => String::new(),
            false => format!(
                " AND EXISTS (SELECT {} INTERSECT SELECT {})",
                spelling("k"),
                spelling("f")
            ),
        };
        format!(
            "[numbered] AS (
    SELECT e.*, MAX(CASE WHEN e.[kind] = 'V' THEN e.[seq] ELSE 0 END) OVER (PARTITION BY {key} ORDER BY e.[seq] \
ROWS UNBOUNDED PRECEDING) AS [version]
    FROM [events] AS e
), [first] AS (
    SELECT n.*{first} FROM [numbered] AS n
), [hits] AS (
    SELECT f.*, CASE WHEN f.[kind] = 'D' AND f.[version] > 0{same} THEN 1 ELSE 0 END AS [hit] FROM [first] AS f
), [counted] AS (
    SELECT h.*, SUM(h.[hit]) OVER (PARTITION BY {key}, h.[version] ORDER BY h.[seq] ROWS UNBOUNDED PRECEDING) AS [hits]
    FROM [hits] AS h
)"
        )
    }

    /// Gives rows that are there their new ends. First, so that a key never has two current rows.
    fn update(&self) -> String {
        let Validity {
            to,
            current,
            deleted,
            ..
        } = self.validity;
        let (to, current, deleted) = (Ident(to), Ident(current), Ident(deleted));
        format!(
            "UPDATE d SET d.{to} = v.[ends], d.{current} = CASE WHEN v.[ends] IS NULL THEN 1 ELSE 0 END, \
d.{deleted} = v.[is_deleted] FROM {} AS d WITH (UPDLOCK, SERIALIZABLE) JOIN #versions AS v ON {} AND d.{} = v.[seq] \
WHERE v.[is_new] = 0 AND EXISTS (SELECT v.[ends], v.[is_deleted] EXCEPT SELECT d.{to}, d.{deleted});
SET @updated = ROWCOUNT_BIG();
",
            TableIdent(&self.plan.target),
            self.same_key("v"),
            Ident(&self.seq.name)
        )
    }

    /// Inserts the versions that are staged.
    fn insert(&self) -> String {
        let Validity {
            from,
            to,
            current,
            deleted,
            ..
        } = self.validity;
        let target = TableIdent(&self.plan.target);
        let own = list(
            [from, to, current, deleted].map(|name| Ident(name).to_string()),
            ", ",
        );
        let identity = |state: &str| match self.plan.columns.iter().any(|column| column.identity) {
            true => format!("SET IDENTITY_INSERT {target} {state};\n"),
            false => String::new(),
        };
        format!(
            "{}INSERT INTO {target} ({}, {own}) SELECT {}, v.[starts], v.[ends], CASE WHEN v.[ends] IS NULL THEN 1 \
ELSE 0 END, v.[is_deleted] FROM ({}) AS n JOIN #versions AS v ON v.[seq] = n.{} WHERE v.[is_new] = 1;
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW {ERROR_STAGED_ROWS}, N'the target did not take every version', 1;
{}",
            identity("ON"),
            self.plan.names(""),
            self.plan.values("n."),
            expression(self.plan),
            Ident(&self.seq.name),
            identity("OFF"),
        )
    }
}
