//! A warehouse: its tables, opened and created.

use crate::lake::catalog::filesystem::Filesystem;
use crate::lake::catalog::{Catalog, KIND_PROPERTY, Version, previous};
use crate::lake::error::{LakeError, Result};
use crate::lake::schema::{self, SCHEMA_PROPERTY};
use crate::lake::store::Store;
use crate::lake::table::LakeTable;
use crate::schema::{LakeSchema, TableKind, TableName};
use iceberg::spec::{FormatVersion, SortOrder, TableMetadataBuilder, UnboundPartitionSpec};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A directory of Iceberg tables.
#[derive(Debug, Clone)]
pub struct Warehouse {
    store: Arc<Store>,
    catalog: Arc<dyn Catalog>,
}

impl Warehouse {
    /// Opens a warehouse at a directory or `file://` URI; it need not exist yet. Nothing is written.
    pub async fn open(location: &str) -> Result<Self> {
        let warehouse = Self::at(location)?;
        // Finds a file in the way or a missing permission now instead of in the middle of a run.
        warehouse.store.list(warehouse.location(), true).await?;
        Ok(warehouse)
    }

    /// As [`Warehouse::open`], without a look whether the directory can be read: what is wrong with it shows when a
    /// table is opened.
    pub fn at(location: &str) -> Result<Self> {
        let store = Arc::new(Store::open(location)?);
        let catalog = Arc::new(Filesystem::new(store.clone()));
        Ok(Self { store, catalog })
    }

    /// The absolute URI of the warehouse.
    pub fn location(&self) -> &str {
        self.store.root()
    }

    /// The names of the tables, sorted.
    pub async fn tables(&self) -> Result<Vec<TableName>> {
        self.catalog.tables().await
    }

    /// The current version of a table; none when it does not exist. Writes nothing. [`LakeError::Moved`] when the
    /// table's folder is not where its metadata says.
    ///
    /// Where the warehouse is reached by a link, the table's location is the one that its metadata has all the same:
    /// files are named by it, and neither another host nor a later run needs to have the link.
    pub async fn table(&self, name: &TableName) -> Result<Option<LakeTable>> {
        let Some(mut table) = self.table_wherever(name).await? else {
            return Ok(None);
        };
        let recorded = table.metadata().location().to_owned();
        if self
            .store
            .is_same_place(&recorded, table.location())
            .await?
        {
            table.location = Store::spelled(&recorded);
            return Ok(Some(table));
        }
        Err(LakeError::Moved {
            table: name.clone(),
            recorded,
            found: table.location().to_owned(),
        })
    }

    /// As [`Warehouse::table`], also when the folder was copied or moved: its metadata then names files in another
    /// place. For the command that puts that right, and for nothing else.
    pub async fn table_wherever(&self, name: &TableName) -> Result<Option<LakeTable>> {
        let Some(version) = self.catalog.load(name, None).await? else {
            return Ok(None);
        };
        self.opened(name, version).map(Some)
    }

    /// Creates an empty table, format version 2, unpartitioned. [`LakeError::AlreadyExists`] when it exists.
    pub async fn create(
        &self,
        name: &TableName,
        schema: &LakeSchema,
        kind: TableKind,
        properties: BTreeMap<String, String>,
    ) -> Result<LakeTable> {
        let location = self.catalog.location_of(name);
        let kind = match kind {
            TableKind::Mirror => "mirror",
            TableKind::History => "history",
        };
        let mut all = HashMap::from([
            ("write.format.default", "parquet"),
            ("write.delete.mode", "merge-on-read"),
            ("write.update.mode", "merge-on-read"),
            ("write.merge.mode", "merge-on-read"),
            ("write.parquet.compression-codec", "zstd"),
            (previous::ENABLED, "true"),
            (previous::KEPT, "100"),
            (KIND_PROPERTY, kind),
        ])
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect::<HashMap<_, _>>();
        all.insert(
            SCHEMA_PROPERTY.to_owned(),
            schema::kept_schema(name, schema)?,
        );
        all.extend(properties);
        let metadata = TableMetadataBuilder::new(
            schema::iceberg_schema(name, schema)?,
            UnboundPartitionSpec::builder().build(),
            SortOrder::unsorted_order(),
            location.clone(),
            FormatVersion::V2,
            all,
        )
        .and_then(TableMetadataBuilder::build)
        .map_err(LakeError::iceberg("build", location))?
        .metadata;
        let version = self.catalog.create(name, &metadata).await?;
        self.opened(name, Arc::new(version))
    }

    fn opened(&self, name: &TableName, version: Arc<Version>) -> Result<LakeTable> {
        let (store, catalog) = (self.store.clone(), self.catalog.clone());
        let location = self.catalog.location_of(name);
        LakeTable::new(store, catalog, name.clone(), location, version)
    }

    pub(in crate::lake) fn catalog(&self) -> &dyn Catalog {
        self.catalog.as_ref()
    }

    pub(in crate::lake) fn store_arc(&self) -> Arc<Store> {
        self.store.clone()
    }

    #[cfg(test)]
    pub(in crate::lake) fn store(&self) -> &Store {
        &self.store
    }
}
