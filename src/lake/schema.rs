//! The shape of a lake table: our schema to Iceberg's, Parquet's and Arrow's and back.
//!
//! Iceberg's schema cannot say which source column a field came from, what a companion holds, or how keys fold, so
//! that is kept as JSON in the table property [`SCHEMA_PROPERTY`], by field id. Names and types are always those of
//! the Iceberg schema: an engine may have renamed or widened a column.

use crate::lake::error::{LakeError, Result};
use crate::schema::mapping::arrow_schema;
use crate::schema::{KeyFold, LakeField, LakeKeyField, LakeSchema, LakeType, Role, TableName};
use arrow_schema::{Field, Schema as ArrowSchema, SchemaRef};
use iceberg::spec::{
    DEFAULT_SCHEMA_NAME_MAPPING, NameMapping, NestedField, PrimitiveType, Schema, TableMetadata,
    Type,
};
use parquet::arrow::{ArrowSchemaConverter, PARQUET_FIELD_ID_META_KEY};
use parquet::basic::LogicalType;
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Table property with the roles, sources and key folds of the fields.
pub const SCHEMA_PROPERTY: &str = "icesync.lake-schema";

/// A table's schema with the field ids that its files use.
#[derive(Debug, Clone)]
pub(in crate::lake) struct Shape {
    pub(in crate::lake) schema: LakeSchema,
    /// Iceberg field id of each field.
    pub(in crate::lake) ids: Vec<i32>,
    /// Record batches of all fields, in order.
    pub(in crate::lake) arrow: SchemaRef,
    /// Fields that nobody fills any more: of columns that the source dropped, or that another engine added. NULL in
    /// new rows.
    pub(in crate::lake) unfilled: Vec<bool>,
    /// Field id by column name, for data files without field ids (`schema.name-mapping.default`).
    pub(in crate::lake) names: Option<Arc<HashMap<String, i32>>>,
}

/// What the property keeps of a field.
#[derive(Serialize, Deserialize)]
struct KeptField {
    id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<usize>,
    role: Role,
    /// Of a column that the source dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    dropped: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptKey {
    id: i32,
    #[serde(default)]
    fold: KeyFold,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    fields: Vec<KeptField>,
    key: Vec<KeptKey>,
}

/// The Iceberg schema of a new table: field ids from 1 in order, identifier fields where the specification allows them.
pub(in crate::lake) fn iceberg_schema(table: &TableName, schema: &LakeSchema) -> Result<Schema> {
    let ids: Vec<i32> = (1..).take(schema.fields.len()).collect();
    schema_with_ids(table, schema, &ids, &HashMap::new())
}

/// The Iceberg schema of fields with given ids, and what is said of some of them.
pub(in crate::lake) fn schema_with_ids(
    table: &TableName,
    schema: &LakeSchema,
    ids: &[i32],
    docs: &HashMap<i32, String>,
) -> Result<Schema> {
    let mut fields = Vec::with_capacity(schema.fields.len());
    for (&id, field) in ids.iter().zip(&schema.fields) {
        let ty = Type::Primitive(primitive(field.ty));
        let mut nested = NestedField::new(id, &field.name, ty, field.required);
        nested.doc = docs.get(&id).cloned();
        fields.push(Arc::new(nested));
    }
    let identifies = |key: &LakeKeyField| {
        schema.fields.get(key.field).is_some_and(|field| {
            field.required && !matches!(field.ty, LakeType::Float | LakeType::Double)
        })
    };
    let mut builder = Schema::builder().with_fields(fields);
    if schema.key.iter().all(identifies) {
        let ids = schema.key.iter().filter_map(|key| ids.get(key.field));
        builder = builder.with_identifier_field_ids(ids.copied().collect::<Vec<_>>());
    }
    builder
        .build()
        .map_err(LakeError::iceberg("build the schema of", table.to_string()))
}

/// The JSON kept in [`SCHEMA_PROPERTY`] of a new table.
pub(in crate::lake) fn kept_schema(table: &TableName, schema: &LakeSchema) -> Result<String> {
    let ids: Vec<i32> = (1..).take(schema.fields.len()).collect();
    kept_with_ids(table, schema, &ids, usize::MAX)
}

/// The same of fields with given ids; columns of the source from `live` on are dropped.
pub(in crate::lake) fn kept_with_ids(
    table: &TableName,
    schema: &LakeSchema,
    ids: &[i32],
    live: usize,
) -> Result<String> {
    let is_ours = |field: &LakeField| field.source.is_some() || is_history(field.role);
    let kept = Kept {
        fields: ids
            .iter()
            .zip(&schema.fields)
            .filter(|(_, field)| is_ours(field))
            .map(|(&id, field)| KeptField {
                id,
                source: field.source,
                role: field.role,
                dropped: field.source.is_some_and(|source| source >= live),
            })
            .collect(),
        key: schema
            .key
            .iter()
            .filter_map(|key| {
                let id = *ids.get(key.field)?;
                Some(KeptKey { id, fold: key.fold })
            })
            .collect(),
    };
    serde_json::to_string(&kept).map_err(|source| LakeError::PropertyCorrupt {
        table: table.clone(),
        property: SCHEMA_PROPERTY,
        source: source.into(),
    })
}

impl Kept {
    fn read(table: &TableName, text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|source| LakeError::PropertyCorrupt {
            table: table.clone(),
            property: SCHEMA_PROPERTY,
            source: source.into(),
        })
    }

    /// The key of a table whose fields have these ids.
    fn key(&self, table: &TableName, ids: &[i32]) -> Result<Vec<LakeKeyField>> {
        let key = self.key.iter().map(|key| {
            Some(LakeKeyField {
                field: ids.iter().position(|&id| id == key.id)?,
                fold: key.fold,
            })
        });
        let gone = || LakeError::UnsupportedTable {
            table: table.clone(),
            reason: "a key column was dropped from the lake table".to_owned(),
        };
        key.collect::<Option<Vec<_>>>().ok_or_else(gone)
    }
}

/// The key of a table that icesync did not make: its identifier fields, in the order of the columns.
fn identifiers(schema: &Schema, ids: &[i32]) -> Vec<LakeKeyField> {
    let position = |id: i32| ids.iter().position(|&other| other == id);
    let mut named: Vec<usize> = schema.identifier_field_ids().filter_map(position).collect();
    named.sort_unstable();
    let plain = |field| LakeKeyField {
        field,
        fold: KeyFold::default(),
    };
    named.into_iter().map(plain).collect()
}

impl Shape {
    /// Of the table's current schema.
    pub(in crate::lake) fn of(table: &TableName, metadata: &TableMetadata) -> Result<Self> {
        let kept = metadata.properties().get(SCHEMA_PROPERTY);
        let shape = Self::at(table, metadata.current_schema(), kept.map(String::as_str))?;
        Ok(Self {
            names: names(table, metadata)?,
            ..shape
        })
    }

    /// Of one of the table's schemas and what the property kept of it.
    pub(in crate::lake) fn at(
        table: &TableName,
        schema: &Schema,
        kept: Option<&str>,
    ) -> Result<Self> {
        let kept = kept.map(|text| Kept::read(table, text)).transpose()?;
        let roles: HashMap<i32, &KeptField> = kept
            .iter()
            .flat_map(|kept| kept.fields.iter().map(|field| (field.id, field)))
            .collect();
        let mut fields = Vec::new();
        let mut ids = Vec::new();
        let mut unfilled = Vec::new();
        for field in schema.as_struct().fields() {
            let ty = field
                .field_type
                .as_primitive_type()
                .and_then(lake_type)
                .ok_or_else(|| LakeError::UnsupportedTable {
                    table: table.clone(),
                    reason: format!(
                        "column `{}` has type {}, which icesync does not write",
                        field.name, field.field_type
                    ),
                })?;
            // A table without the property is somebody else's: all of its columns are written.
            let is_kept = kept.is_some();
            let kept = roles.get(&field.id);
            unfilled.push(is_kept && kept.is_none_or(|kept| kept.dropped));
            fields.push(LakeField {
                name: field.name.clone(),
                ty,
                required: field.required,
                source: kept.and_then(|kept| kept.source),
                role: kept.map_or(Role::Value, |kept| kept.role),
            });
            ids.push(field.id);
        }
        let key = match &kept {
            Some(kept) => kept.key(table, &ids)?,
            None => identifiers(schema, &ids),
        };
        let schema = LakeSchema { fields, key };
        let arrow = arrow_schema(&schema);
        Ok(Self {
            schema,
            ids,
            arrow,
            unfilled,
            names: None,
        })
    }

    /// The same with the types that another schema of the table has, where those are wider.
    pub(in crate::lake) fn as_wide_as(&self, schema: &Schema) -> Self {
        let mut wide = self.clone();
        for (field, id) in wide.schema.fields.iter_mut().zip(&self.ids) {
            let other = schema.field_by_id(*id).map(|other| &*other.field_type);
            let other = other.and_then(Type::as_primitive_type).and_then(lake_type);
            field.ty = other
                .and_then(|other| field.ty.wider(other))
                .unwrap_or(field.ty);
        }
        wide.arrow = arrow_schema(&wide.schema);
        wide
    }

    /// Positions of the fields that come from the source, in order.
    pub(in crate::lake) fn source_fields(&self) -> Vec<usize> {
        let source = |(at, field): (usize, &LakeField)| {
            let filled = !is_history(field.role) && !self.unfilled[at];
            filled.then_some(at)
        };
        self.schema
            .fields
            .iter()
            .enumerate()
            .filter_map(source)
            .collect()
    }

    /// Positions of the key fields, in key order.
    pub(in crate::lake) fn key_fields(&self) -> Vec<usize> {
        self.schema.key.iter().map(|key| key.field).collect()
    }

    /// Position of the field with a role that occurs once.
    pub(in crate::lake) fn position_of(&self, role: Role) -> Option<usize> {
        self.schema
            .fields
            .iter()
            .position(|field| field.role == role)
    }

    /// The Parquet schema with field ids, in the physical types that the specification asks for.
    pub(in crate::lake) fn parquet(&self, table: &TableName) -> Result<SchemaDescriptor> {
        let failed = LakeError::parquet("build the schema of", table.to_string());
        let fields = self
            .arrow
            .fields()
            .iter()
            .zip(&self.ids)
            .map(|(field, id)| {
                let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]);
                Field::clone(field).with_metadata(id)
            });
        let arrow = ArrowSchema::new(fields.collect::<Vec<_>>());
        let build = || -> parquet::errors::Result<SchemaDescriptor> {
            let plain = ArrowSchemaConverter::new().convert(&arrow)?;
            let mut types = plain.root_schema().get_fields().to_vec();
            // Arrow has no type for uuid: say in Parquet what the 16 bytes are.
            for ((ty, field), id) in types.iter_mut().zip(&self.schema.fields).zip(&self.ids) {
                if field.ty == LakeType::Uuid {
                    let uuid = ParquetType::primitive_type_builder(
                        &field.name,
                        parquet::basic::Type::FIXED_LEN_BYTE_ARRAY,
                    )
                    .with_length(16)
                    .with_repetition(ty.get_basic_info().repetition())
                    .with_logical_type(Some(LogicalType::Uuid))
                    .with_id(Some(*id));
                    *ty = Arc::new(uuid.build()?);
                }
            }
            let root = ParquetType::group_type_builder("table").with_fields(types);
            Ok(SchemaDescriptor::new(Arc::new(root.build()?)))
        };
        build().map_err(failed)
    }
}

/// The table's name mapping; columns inside others are left out, as icesync reads none.
fn names(table: &TableName, metadata: &TableMetadata) -> Result<Option<Arc<HashMap<String, i32>>>> {
    let property = DEFAULT_SCHEMA_NAME_MAPPING;
    let Some(text) = metadata.properties().get(property) else {
        return Ok(None);
    };
    let mapping: NameMapping =
        serde_json::from_str(text).map_err(|source| LakeError::PropertyCorrupt {
            table: table.clone(),
            property,
            source: source.into(),
        })?;
    let mut names = HashMap::new();
    for field in mapping.fields() {
        if let Some(id) = field.field_id() {
            names.extend(field.names().iter().map(|name| (name.clone(), id)));
        }
    }
    Ok(Some(Arc::new(names)))
}

/// Whether icesync fills the field itself.
pub(in crate::lake) fn is_history(role: Role) -> bool {
    match role {
        Role::Op | Role::Seq | Role::CommittedAt => true,
        Role::Value | Role::Ticks | Role::Offset | Role::BaseType | Role::Srid => false,
    }
}

/// Our type in Iceberg's words.
pub(in crate::lake) fn primitive(ty: LakeType) -> PrimitiveType {
    match ty {
        LakeType::Boolean => PrimitiveType::Boolean,
        LakeType::Int => PrimitiveType::Int,
        LakeType::Long => PrimitiveType::Long,
        LakeType::Float => PrimitiveType::Float,
        LakeType::Double => PrimitiveType::Double,
        LakeType::Decimal { precision, scale } => PrimitiveType::Decimal {
            precision: u32::from(precision),
            scale: u32::from(scale),
        },
        LakeType::Date => PrimitiveType::Date,
        LakeType::Time => PrimitiveType::Time,
        LakeType::Timestamp => PrimitiveType::Timestamp,
        LakeType::TimestampTz => PrimitiveType::Timestamptz,
        LakeType::String => PrimitiveType::String,
        LakeType::Uuid => PrimitiveType::Uuid,
        LakeType::Fixed(length) => PrimitiveType::Fixed(u64::from(length)),
        LakeType::Binary => PrimitiveType::Binary,
    }
}

/// Iceberg's type in our words; none for the types that icesync does not write.
fn lake_type(ty: &PrimitiveType) -> Option<LakeType> {
    Some(match ty {
        PrimitiveType::Boolean => LakeType::Boolean,
        PrimitiveType::Int => LakeType::Int,
        PrimitiveType::Long => LakeType::Long,
        PrimitiveType::Float => LakeType::Float,
        PrimitiveType::Double => LakeType::Double,
        PrimitiveType::Decimal { precision, scale } => LakeType::Decimal {
            precision: u8::try_from(*precision).ok()?,
            scale: u8::try_from(*scale).ok()?,
        },
        PrimitiveType::Date => LakeType::Date,
        PrimitiveType::Time => LakeType::Time,
        PrimitiveType::Timestamp => LakeType::Timestamp,
        PrimitiveType::Timestamptz => LakeType::TimestampTz,
        PrimitiveType::TimestampNs | PrimitiveType::TimestamptzNs => return None,
        PrimitiveType::String => LakeType::String,
        PrimitiveType::Uuid => LakeType::Uuid,
        PrimitiveType::Fixed(length) => LakeType::Fixed(u16::try_from(*length).ok()?),
        PrimitiveType::Binary => LakeType::Binary,
    })
}
