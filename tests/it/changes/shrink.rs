//! Makes a schedule that fails shorter.

use super::play::Failure;
use super::schedule::Schedule;

/// Schedules that are tried.
const TRIES_MAX: usize = 40;

/// What is to be said of a schedule that has failed: how a short part of it fails, and how to play all of it again.
pub fn shortest(
    whole: &Schedule,
    first: Failure,
    fails: &mut impl FnMut(&Schedule) -> Option<Failure>,
) -> String {
    let mut tries = TRIES_MAX;
    let mut try_it = |schedule: &Schedule| {
        tries = tries.checked_sub(1)?;
        fails(schedule)
    };
    let (mut short, mut failure) = (whole.clone(), first);
    if let Some(table) = failure.table {
        let alone = short.only(table);
        if let Some(found) = try_it(&alone) {
            (short, failure) = (alone, found);
        }
    }
    // Nothing that comes after the failure matters to it.
    if failure.op < short.ops.len() {
        let until = short.without(failure.op + 1..short.ops.len());
        if let Some(found) = try_it(&until) {
            (short, failure) = (until, found);
        }
    }
    let mut size = short.ops.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < short.ops.len() {
            let end = (at + size).min(short.ops.len());
            let shorter = short.without(at..end);
            match try_it(&shorter) {
                Some(found) => (short, failure) = (shorter, found),
                None => at = end,
            }
        }
        size /= 2;
    }
    format!(
        "== ICESYNC_MODEL_SEED={:#x} ICESYNC_MODEL_SCHEDULES=1\n{}\nAs short as it fails, with {} of {} acts and \
         runs:\n{}",
        whole.seed,
        failure.what,
        short.ops.len(),
        whole.ops.len(),
        failure.log
    )
}

#[test]
fn what_does_not_matter_to_a_failure_is_left_out() {
    use super::schedule::Op;
    let whole = Schedule::of(1);
    let culprit = |schedule: &Schedule| {
        let mut ops = schedule.ops.iter();
        ops.rposition(|op| matches!(op, Op::Act { table: 0, .. }))
    };
    let mut fails = |schedule: &Schedule| {
        let op = culprit(schedule)?;
        let what = format!("it fails with {} tables", schedule.tables.len());
        Some(Failure {
            op,
            table: Some(0),
            ..Failure::of(what)
        })
    };
    let first = fails(&whole).expect("a failure");
    let said = shortest(&whole, first, &mut fails);
    assert!(said.starts_with("== ICESYNC_MODEL_SEED=0x1 "), "{said}");
    assert!(said.contains("it fails with 1 tables"), "{said}");
    assert!(said.contains(", with 1 of "), "{said}");
}
