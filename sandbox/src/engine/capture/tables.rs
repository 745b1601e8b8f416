//! The tables of schema `cdc`. (Documentation: `cdc.change_tables` and its neighbours.)

use super::Captured;
use crate::engine::ddl;
use crate::engine::fault::Outcome;
use crate::engine::schema::{Column, Index, TableDef};
use crate::engine::types;
use crate::value::SqlType;
use std::fmt::Write;

/// The place of `start_lsn` in a row of `cdc.change_tables`.
pub const START_LSN: usize = 4;

/// The place of the first captured column in a row of a change table.
pub const FIRST_COLUMN: usize = 5;

/// What makes the tables that every enabled database has.
pub const METADATA: [&str; 5] = [
    "CREATE TABLE cdc.change_tables (object_id int NOT NULL, version int NULL, source_object_id int NULL, \
        capture_instance sysname NOT NULL, start_lsn binary(10) NULL, end_lsn binary(10) NULL, supports_net_changes \
        bit NULL, has_drop_pending bit NULL, role_name sysname NULL, index_name sysname NULL, filegroup_name sysname \
        NULL, create_date datetime NULL, partition_switch bit NOT NULL, CONSTRAINT change_tables_clustered_idx PRIMARY \
        KEY (object_id))",
    "CREATE TABLE cdc.captured_columns (object_id int NOT NULL, column_name sysname NOT NULL, column_id int NULL, \
        column_type sysname NOT NULL, column_ordinal int NOT NULL, is_computed bit NULL, masking_function \
        nvarchar(4000) NULL, CONSTRAINT captured_columns_clustered_idx PRIMARY KEY (object_id, column_ordinal))",
    "CREATE TABLE cdc.index_columns (object_id int NOT NULL, column_name sysname NOT NULL, index_ordinal tinyint NOT \
        NULL, column_id int NOT NULL, CONSTRAINT index_columns_clustered_idx PRIMARY KEY (object_id, index_ordinal))",
    "CREATE TABLE cdc.lsn_time_mapping (start_lsn binary(10) NOT NULL, tran_begin_time datetime NULL, tran_end_time \
        datetime NULL, tran_id varbinary(10) NULL, CONSTRAINT lsn_time_mapping_clustered_idx PRIMARY KEY (start_lsn))",
    "CREATE TABLE cdc.ddl_history (source_object_id int NULL, object_id int NOT NULL, required_column_update bit NULL, \
        ddl_command nvarchar(max) NULL, ddl_lsn binary(10) NOT NULL, ddl_time datetime NULL, INDEX \
        ddl_history_clustered_idx CLUSTERED (object_id, ddl_lsn))",
];

/// The type that a change table gives a captured column, with its `user_type_id`.
pub fn captured_type(column: &Column) -> (SqlType, i32) {
    let ty = match (&column.ty, column.identity) {
        (SqlType::RowVersion, _) => SqlType::Binary(8),
        (SqlType::TinyInt | SqlType::SmallInt, Some(_)) => SqlType::Int,
        (SqlType::Decimal { precision, .. }, Some(_)) if *precision <= 18 => SqlType::BigInt,
        (ty, _) => ty.clone(),
    };
    let id = types::user_type_id(&ty);
    (ty, id)
}

/// The definition of a change table, from the text of its own columns.
pub fn change_table_text(instance: &str) -> String {
    let mut text = String::from("CREATE TABLE cdc.");
    quote(&mut text, &format!("{instance}_CT"));
    text.push_str(
        " (__$start_lsn binary(10) NOT NULL, __$end_lsn binary(10) NULL, __$seqval binary(10) NOT NULL, __$operation \
            int NOT NULL, __$update_mask varbinary(128) NULL, __$command_id int NULL)",
    );
    text
}

/// Puts the captured columns between a change table's own, and orders it by its own.
pub fn add_captured(
    def: &mut TableDef,
    instance: &str,
    source: &TableDef,
    columns: &[Captured],
) -> Outcome<()> {
    let command = def.columns.split_off(FIRST_COLUMN);
    for captured in columns {
        let Some(column) = source.columns.iter().find(|known| known.id == captured.id) else {
            continue;
        };
        let (ty, user_type_id) = captured_type(column);
        def.columns.push(Column {
            id: 0,
            ty,
            user_type_id,
            nullable: true,
            identity: None,
            default: None,
            computed: None,
            row_guid: false,
            generated: None,
            hidden: false,
            ..column.clone()
        });
    }
    def.columns.extend(command);
    for (at, column) in (1..).zip(&mut def.columns) {
        column.id = at;
    }
    def.next_column_id = def.columns.len() as i32 + 1;
    let last = def.columns.len() - 1;
    let order = [0, last, 2, 3].map(|at| (at, false));
    let index = Index {
        clustered: true,
        unique: true,
        ..Index::plain(&format!("{instance}_CT_clustered_idx"), order.to_vec())
    };
    ddl::add_index(def, index)
}

/// A delimited identifier.
pub fn quote(out: &mut String, name: &str) {
    let _ = write!(out, "[{}]", name.replace(']', "]]"));
}
