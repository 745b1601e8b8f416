//! Objects with a text or a state of their own: triggers, user views, sequences.

use super::objects::{OBJECT, Thing, ThingKind, of_kind};
use super::*;
use crate::engine::schema::Sequence;
use crate::sql::ast::TriggerEvent;

/// Objects with a text.
fn modules(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| {
        matches!(kind, ThingKind::View(_) | ThingKind::Trigger(_))
    })
}

fn sequences(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::Sequence(_)))
}

fn triggers(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Thing>> {
    of_kind(cx, slot, |kind| matches!(kind, ThingKind::Trigger(_)))
}

/// One event of a trigger.
struct TriggerEventRow {
    id: i32,
    event: TriggerEvent,
}

fn trigger_events(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<TriggerEventRow>> {
    let mut out = Vec::new();
    for thing in triggers(cx, slot)? {
        if let (Some(def), ThingKind::Trigger(at)) = (&thing.def, &thing.kind) {
            out.extend(
                def.triggers[*at]
                    .events
                    .iter()
                    .map(|event| TriggerEventRow {
                        id: thing.object_id,
                        event: *event,
                    }),
            );
        }
    }
    Ok(out)
}

const TRIGGER: &[Field<Thing>] = &[
    col("name", SYSNAME, |o| text(&o.name)),
    col("object_id", SqlType::Int, |o| Value::Int(o.object_id)),
    col("parent_class", SqlType::TinyInt, |_| Value::TinyInt(1)),
    opt("parent_class_desc", DESCRIPTION, |_| {
        text("OBJECT_OR_COLUMN")
    }),
    col("parent_id", SqlType::Int, |o| Value::Int(o.parent)),
    col("type", SqlType::Char(2), |o| text(o.code())),
    opt("type_desc", DESCRIPTION, |o| text(o.description())),
    col("create_date", SqlType::DateTime, |o| datetime(o.created)),
    col("modify_date", SqlType::DateTime, |o| datetime(o.modified)),
    col("is_ms_shipped", SqlType::Bit, |_| Value::Bit(false)),
    col("is_disabled", SqlType::Bit, |o| match (&o.def, &o.kind) {
        (Some(def), ThingKind::Trigger(at)) => Value::Bit(!def.triggers[*at].enabled),
        _ => Value::Null,
    }),
    col("is_not_for_replication", SqlType::Bit, |o| {
        match (&o.def, &o.kind) {
            (Some(def), ThingKind::Trigger(at)) => {
                Value::Bit(def.triggers[*at].not_for_replication)
            }
            _ => Value::Null,
        }
    }),
    col("is_instead_of_trigger", SqlType::Bit, |_| Value::Bit(false)),
];

const TRIGGER_EVENT: &[Field<TriggerEventRow>] = &[
    col("object_id", SqlType::Int, |e| Value::Int(e.id)),
    col("type", SqlType::Int, |e| Value::Int(event_type(e.event).0)),
    col("type_desc", DESCRIPTION, |e| text(event_type(e.event).1)),
    opt("is_first", SqlType::Bit, |_| Value::Bit(false)),
    opt("is_last", SqlType::Bit, |_| Value::Bit(false)),
];

fn event_type(event: TriggerEvent) -> (i32, &'static str) {
    match event {
        TriggerEvent::Insert => (1, "INSERT"),
        TriggerEvent::Update => (2, "UPDATE"),
        TriggerEvent::Delete => (3, "DELETE"),
    }
}

const SEQUENCE: &[Field<Thing>] = &[
    col("start_value", SqlType::SqlVariant, |o| {
        of_sequence(o, |s| Some(s.start))
    }),
    col("increment", SqlType::SqlVariant, |o| {
        of_sequence(o, |s| Some(s.increment))
    }),
    col("minimum_value", SqlType::SqlVariant, |o| {
        of_sequence(o, |s| Some(s.min))
    }),
    col("maximum_value", SqlType::SqlVariant, |o| {
        of_sequence(o, |s| Some(s.max))
    }),
    opt("is_cycling", SqlType::Bit, |o| {
        with_sequence(o, |s| Value::Bit(s.cycle))
    }),
    opt("system_type_id", SqlType::TinyInt, |o| {
        with_sequence(o, |s| Value::TinyInt(sql_types::system_type_id(&s.ty)))
    }),
    opt("user_type_id", SqlType::Int, |o| {
        with_sequence(o, |s| Value::Int(sql_types::user_type_id(&s.ty)))
    }),
    col("precision", SqlType::TinyInt, |o| {
        with_sequence(o, |s| Value::TinyInt(sql_types::precision_scale(&s.ty).0))
    }),
    opt("scale", SqlType::TinyInt, |o| {
        with_sequence(o, |s| Value::TinyInt(sql_types::precision_scale(&s.ty).1))
    }),
    col("is_exhausted", SqlType::Bit, |o| {
        with_sequence(o, |s| Value::Bit(s.next.is_none()))
    }),
];

const MODULE: &[Field<Thing>] = &[
    col("object_id", SqlType::Int, |o| Value::Int(o.object_id)),
    opt("definition", TEXT, |o| match (&o.def, &o.kind) {
        (Some(def), ThingKind::Trigger(at)) => text(&def.triggers[*at].text),
        (_, ThingKind::View(view)) => text(&view.text),
        _ => Value::Null,
    }),
    opt("uses_ansi_nulls", SqlType::Bit, |_| Value::Bit(true)),
    opt("uses_quoted_identifier", SqlType::Bit, |_| Value::Bit(true)),
    opt("is_schema_bound", SqlType::Bit, |_| Value::Bit(false)),
];

fn with_sequence(thing: &Thing, get: impl Fn(&Sequence) -> Value) -> Value {
    if let ThingKind::Sequence(sequence) = &thing.kind {
        get(sequence)
    } else {
        Value::Null
    }
}

/// A bound of a sequence as a variant of the sequence's type.
fn of_sequence(thing: &Thing, get: impl Fn(&Sequence) -> Option<i128>) -> Value {
    with_sequence(thing, |sequence| {
        let value = get(sequence).map(|value| match &sequence.ty {
            SqlType::Decimal { scale, .. } => Value::Decimal {
                unscaled: value,
                scale: *scale,
            },
            ty => sql_types::fit_integer(value, ty).unwrap_or(Value::Null),
        });
        value.map_or(Value::Null, |value| {
            Value::Variant(Box::new((sequence.ty.clone(), value, None)))
        })
    })
}

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "triggers", triggers, [TRIGGER]),
    catalog_view!("sys", "trigger_events", trigger_events, [TRIGGER_EVENT]),
    catalog_view!("sys", "sequences", sequences, [OBJECT, SEQUENCE]),
    catalog_view!("sys", "sql_modules", modules, [MODULE]),
];
