//! The filesystem catalog: a folder per table, a metadata file per version, and a hint.
//!
//! ```text
//! <warehouse>/<namespace>/<table>/metadata/v{N}.metadata.json    one per commit, never changed
//!                                 metadata/version-hint.text     the last N, without a newline
//!                                 metadata/*.avro                manifests and manifest lists
//!                                 data/*.parquet                 data and position deletes
//! ```
//!
//! **Publishing.** A commit computed from version N writes `v{N+1}.metadata.json` with put-if-absent. That one
//! write is the commit: of two writers that computed from the same N exactly one succeeds, and the file is complete
//! and durable before its name exists. Everything it refers to is durable before it. The hint follows.
//!
//! **Names.** With `write.metadata.compression-codec=gzip` the file is `v{N+1}.gz.metadata.json` (older writers:
//! `.metadata.json.gz`). The name is chosen by the property as version N has it, which every writer knows, so two
//! writers of N+1 collide on one name. One that sets the property in the same commit may choose another name, so
//! after the write the other names are looked for: readers take the plain name first, and we do too. If a name that
//! comes first exists, our file is not the version that others read: it is removed, and the commit is lost.
//!
//! **Writers that overwrite.** Spark renames a temporary file to `v{N+1}.metadata.json` after it has seen that the name
//! is free. On a local disk that rename replaces a file that came in between, so the put succeeds and the version is
//! another one all the same. After the put the file is read again. If it has other bytes, the commit is lost, and the
//! file stays as it is. Of a rename that comes after that look nobody can know. It takes the table back to what the
//! other writer saw, checkpoint included, so the next run reads the window again; and an expiry looks at the table once
//! more before it removes the files of what it has expired.
//!
//! **Finding the current version.** A crash between the two writes leaves a hint that is one behind, or missing after
//! the first version. Every load looks forward from the hint for the next existing version. A hint that points to a
//! missing file is passed over for the highest version that exists, with a warning. Versions are never guessed from
//! anything but the names of complete files. Loading writes nothing: the hint is moved by commits, and by
//! [`Catalog::settle`], which commands that write call when they begin. It only moves forward: whoever writes it
//! looks again afterwards, and goes on until it names the newest version, so that of two commits in a row the
//! slower one does not leave it behind.
//!
//! **A writer that slept.** Old metadata files are removed (`write.metadata.delete-after-commit.enabled`). A writer
//! that was suspended after it read version N may wake up when N+1 came and went a hundred commits ago; the name is
//! free again, and its put succeeds. That file is in no chain: no reader finds it, and its rows would be lost. So a
//! put proves nothing by itself, and the chain is looked at afterwards:
//!
//! 1. N is still there, N+2 is not, and the hint is not beyond N+1. Files are removed oldest first and only after
//!    the hint has passed them, so N+1 was never there before: the commit counts.
//! 2. N+2 is there. The last entry of its log is the version that it was computed from, however short the log is
//!    kept: the commit counts if that is our file.
//! 3. Otherwise the highest version in the folder decides. The hint is no help here, because the writer of another
//!    hint may have slept too. The commit counts if that version is ours, has our snapshot, or names our file in its
//!    log. It does not count if the log reaches back beyond our version and names another file.
//! 4. When even that log is too short, nobody can tell: [`LakeError::PublishUnknown`].
//!
//! Log entries are compared by version and time. Their paths differ where other writers reach the folder by other
//! names, as through a link; ours are those of the table's location. A commit that does not count leaves a file outside
//! the chain, which is removed. The same look notices a table that was dropped and recreated.
//!
//! **Unknown outcome.** A put may fail after its file got the name (a time-out, an error of the directory's fsync).
//! Then the file itself is read: if it holds our bytes, it is ours. If another's, we lost. If it does not exist, the
//! same put is repeated, which is safe because the bytes are the same. A name that is taken while its file cannot be
//! found proves nothing: over NFS and FUSE a request may be executed, its reply lost, and its repetition refused. If
//! nothing can be seen, the answer is [`LakeError::PublishUnknown`], and no file is removed.

use crate::failpoint;
use crate::lake::catalog::names::{self, Ending, logged, number_of, uri_with, version_of};
use crate::lake::catalog::previous::remove_previous;
use crate::lake::catalog::{
    Catalog, Requirement, Version, metadata_json, next_metadata, understand,
};
use crate::lake::error::{LakeError, Result};
use crate::lake::store::{Put, Store};
use crate::lake::{FAIL_AFTER_HINT, FAIL_AFTER_METADATA};
use crate::schema::TableName;
use async_trait::async_trait;
use bytes::Bytes;
use flate2::write::GzEncoder;
use iceberg::TableUpdate;
use iceberg::spec::TableMetadata;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::io::Write;
use std::sync::Arc;
use twox_hash::XxHash3_128;

/// Characters of a directory name that need no encoding.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');
/// Property that says whether metadata files are compressed.
const CODEC_PROPERTY: &str = "write.metadata.compression-codec";
/// How often a put whose outcome cannot be seen is made.
const PUTS_MAX: u32 = 3;
/// How often the newest version is looked for when it is removed while it is read.
const LOADS_MAX: u32 = 10;

/// A directory with a folder for each namespace, and in it one for each table.
#[derive(Debug)]
pub(in crate::lake) struct Filesystem {
    store: Arc<Store>,
}

/// The hint is no version.
#[derive(Clone, Copy)]
struct NoVersion;

impl Filesystem {
    pub(in crate::lake) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// The name under which a version exists.
    async fn find(&self, location: &str, number: u64) -> Result<Option<String>> {
        names::find(&self.store, location, number).await
    }

    /// Reads what the hint says: a number, or the name of a metadata file. An error when it is neither. That quotes
    /// nothing: where the hint is a link, the text is another file's.
    async fn hint(&self, location: &str) -> Result<Option<std::result::Result<u64, NoVersion>>> {
        let text = self.store.read_if_exists(&hint_uri(location)).await?;
        Ok(text.map(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim();
            version_of(text)
                .or_else(|| number_of(text))
                .ok_or(NoVersion)
        }))
    }

    /// Number and URI of the newest version.
    async fn newest(&self, location: &str, at_least: Option<u64>) -> Result<Option<(u64, String)>> {
        let hint = self.hint(location).await?;
        let hinted = hint.as_ref().and_then(|hint| hint.as_ref().ok().copied());
        let mut newest = match hinted.max(at_least) {
            Some(number) => self.find(location, number).await?.map(|uri| (number, uri)),
            None => None,
        };
        if newest.is_none() {
            newest = self.highest(location, hint).await?;
        }
        let Some((mut number, mut uri)) = newest else {
            return Ok(None);
        };
        while let Some(next) = self.find(location, number + 1).await? {
            (number, uri) = (number + 1, next);
        }
        Ok(Some((number, uri)))
    }

    /// The highest version in the folder, where the hint leads nowhere.
    async fn highest(
        &self,
        location: &str,
        hint: Option<std::result::Result<u64, NoVersion>>,
    ) -> Result<Option<(u64, String)>> {
        let path = hint_uri(location);
        let names = self
            .store
            .list(&format!("{location}/metadata"), false)
            .await?;
        let Some(highest) = names.iter().filter_map(|name| number_of(name)).max() else {
            return match hint {
                Some(Ok(version)) => Err(LakeError::HintDangling { path, version }),
                Some(Err(NoVersion)) => Err(LakeError::HintInvalid { path }),
                None if names.iter().any(|name| name.ends_with(".metadata.json")) => {
                    Err(LakeError::NotFilesystemCatalog {
                        path: format!("{location}/metadata"),
                    })
                }
                None => Ok(None),
            };
        };
        match hint {
            // Version 1 without a hint is a creation that was cut short.
            None if highest == 1 => {}
            None => {
                tracing::warn!(hint = %path, version = highest, "version-hint.text is missing; using the highest \
                    version that exists");
            }
            Some(says) => {
                let says = says.map_or_else(
                    |NoVersion| "no version number".to_owned(),
                    |number| number.to_string(),
                );
                tracing::warn!(hint = %path, %says, version = highest, "version-hint.text names no existing \
                    metadata file; using the highest version that exists");
            }
        }
        Ok(self
            .find(location, highest)
            .await?
            .map(|uri| (highest, uri)))
    }

    async fn current(
        &self,
        location: &str,
        known: Option<&Arc<Version>>,
    ) -> Result<Option<Arc<Version>>> {
        let at_least = known.map(|known| known.number);
        for _ in 0..LOADS_MAX {
            let Some((number, uri)) = self.newest(location, at_least).await? else {
                return Ok(None);
            };
            // Not there any more: newer versions came, and this one was removed.
            let Some(bytes) = self.store.read_if_exists(&uri).await? else {
                continue;
            };
            // The bytes tell, not the name: a recreated table has the same names.
            let is_same = |known: &&Arc<Version>| {
                known.uri == uri && known.digest == XxHash3_128::oneshot(&bytes)
            };
            return match known.filter(is_same) {
                Some(known) => Ok(Some(Arc::clone(known))),
                None => parsed(number, uri, bytes).map(|version| Some(Arc::new(version))),
            };
        }
        Err(not_found_in_time(location))
    }

    /// Publishes a version; none when its number was taken, or is in no chain. See the module head.
    async fn publish(
        &self,
        name: &TableName,
        location: &str,
        base: Option<&Version>,
        metadata: &TableMetadata,
    ) -> Result<Option<Version>> {
        let number = base.map_or(1, |base| base.number + 1);
        let ending = ending_of(base.map_or(metadata, |base| &base.metadata));
        let uri = uri_with(location, number, ending);
        let json = serde_json::to_vec(metadata).map_err(|error| LakeError::MetadataCorrupt {
            path: uri.clone(),
            source: error.into(),
        })?;
        let json = Bytes::from(json);
        let bytes = match ending {
            Ending::Plain => json.clone(),
            Ending::Gzip | Ending::GzipLast => gzip(&json, &uri)?,
        };
        // Validate before publishing: once the metadata file exists, the commit cannot be undone.
        let version = Version::parse(number, uri.clone(), &bytes, &json)?;
        understand(name, &version.metadata)?;
        if !self.put(&uri, &bytes).await? {
            return Ok(None);
        }
        failpoint::reach(FAIL_AFTER_METADATA);
        if !self.is_in_chain(name, location, base, &version).await? {
            self.take_back(&uri, &bytes).await?;
            return Ok(None);
        }
        match self.hint_forward(location, number).await {
            Ok(()) => {
                let removed = remove_previous(&self.store, location, &version.metadata).await;
                if let Err(error) = removed {
                    tracing::warn!(%uri, error = %error, "committed, but old metadata files could not be removed; \
                        the next commit tries again");
                }
            }
            Err(error) => {
                tracing::warn!(%uri, error = %error, "committed, but version-hint.text could not be written; \
                    other readers see the version before until the next run");
            }
        }
        failpoint::reach(FAIL_AFTER_HINT);
        Ok(Some(version))
    }

    /// Removes a metadata file that is in no chain, unless it is another writer's by now.
    async fn take_back(&self, uri: &str, bytes: &Bytes) -> Result<()> {
        match self.store.read_if_exists(uri).await? {
            Some(found) if found == *bytes => self.store.remove(uri).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Puts a metadata file: true when it is there with our bytes, false when another writer's is.
    async fn put(&self, uri: &str, bytes: &Bytes) -> Result<bool> {
        let unknown = |source: LakeError| LakeError::PublishUnknown {
            path: uri.to_owned(),
            source: Box::new(source),
        };
        let mut puts = 1;
        loop {
            let unclear = match self.store.create(uri, bytes.clone()).await? {
                Put::Created => return Ok(true),
                Put::Exists => None,
                Put::Unclear(error) => Some(error),
            };
            match (self.store.read_if_exists(uri).await, unclear) {
                (Ok(Some(found)), _) if found == *bytes => {
                    let synced = self.store.sync_parent(uri).await;
                    return synced.map(|()| true).map_err(unknown);
                }
                (Ok(Some(_)), _) => return Ok(false),
                (Ok(None), Some(error)) if puts == PUTS_MAX => return Err(unknown(error)),
                // Taken, and not to be seen: it may be ours, where a lower layer repeated a request that had succeeded.
                (Ok(None), None) if puts == PUTS_MAX => {
                    let missing = std::io::ErrorKind::NotFound.into();
                    return Err(unknown(LakeError::io("read", uri, missing)));
                }
                (Ok(None), _) => puts += 1,
                (Err(error), None) => return Err(unknown(error)),
                (Err(_), Some(error)) => return Err(unknown(error)),
            }
        }
    }

    /// Whether a version that was put is the one after its base for every reader.
    pub(in crate::lake) async fn is_in_chain(
        &self,
        name: &TableName,
        location: &str,
        base: Option<&Version>,
        ours: &Version,
    ) -> Result<bool> {
        let unknown = |source: LakeError| LakeError::PublishUnknown {
            path: ours.uri.clone(),
            source: Box::new(source),
        };
        // The name that readers take of those that exist.
        let taken = self.find(location, ours.number).await.map_err(unknown)?;
        if taken.as_ref().is_some_and(|taken| *taken != ours.uri) {
            return Ok(false);
        }
        // One of that name may have been written over ours.
        if self.holds_bytes_of(ours).await.map_err(unknown)? == Some(false) {
            return Ok(false);
        }
        let Some(base) = base else { return Ok(true) };
        let hint = self.hint(location).await.map_err(unknown)?;
        let hint = hint.and_then(std::result::Result::ok);
        let base_is_there = self.holds_bytes_of(base).await.map_err(unknown)? == Some(true);
        let next = ours.number + 1;
        match self.version(location, next).await.map_err(unknown)? {
            None if base_is_there && hint.is_none_or(|hint| hint <= ours.number) => {
                return Ok(true);
            }
            Some(next) if next.metadata.uuid() != ours.metadata.uuid() => return Ok(false),
            Some(next) => {
                let last = next.metadata.metadata_log().last();
                if let Some(last) = last.filter(|last| logged(last) == Some(ours.number)) {
                    return Ok(last.timestamp_ms == ours.metadata.last_updated_ms());
                }
                if base_is_there {
                    return Ok(true);
                }
            }
            None => {}
        }
        match self.highest_version(location).await.map_err(unknown)? {
            // Dropped.
            None => Ok(false),
            Some(highest) if highest.number == ours.number => {
                // The versions of a recreated table are below ours, which then belongs to no table.
                Ok(hint.is_some_and(|hint| hint >= ours.number))
            }
            Some(highest) => match holds(&highest, base, ours) {
                Some(holds) => Ok(holds),
                None => Err(unknown(LakeError::TableMissing {
                    table: name.clone(),
                })),
            },
        }
    }

    /// Whether a version's file is as it was written; none when it is gone.
    async fn holds_bytes_of(&self, version: &Version) -> Result<Option<bool>> {
        let found = self.store.read_if_exists(&version.uri).await?;
        Ok(found.map(|bytes| XxHash3_128::oneshot(&bytes) == version.digest))
    }

    /// One version; none when there is no such file.
    async fn version(&self, location: &str, number: u64) -> Result<Option<Version>> {
        match self.find(location, number).await? {
            Some(uri) => {
                let bytes = self.store.read_if_exists(&uri).await?;
                bytes.map(|bytes| parsed(number, uri, bytes)).transpose()
            }
            None => Ok(None),
        }
    }

    /// The highest version in the folder, whatever the hint says.
    async fn highest_version(&self, location: &str) -> Result<Option<Version>> {
        for _ in 0..LOADS_MAX {
            let folder = format!("{location}/metadata");
            let names = self.store.list(&folder, false).await?;
            let Some(highest) = names.iter().filter_map(|name| number_of(name)).max() else {
                return Ok(None);
            };
            // Not there any more: newer versions came, and this one was removed.
            if let Some(version) = self.version(location, highest).await? {
                return Ok(Some(version));
            }
        }
        Err(not_found_in_time(location))
    }

    /// Moves the hint to the newest version, never back. See the module head.
    async fn hint_forward(&self, location: &str, at_least: u64) -> Result<()> {
        for _ in 0..LOADS_MAX {
            let Some((newest, _)) = self.newest(location, Some(at_least)).await? else {
                return Ok(());
            };
            let hint = self.hint(location).await?;
            if let Some(Ok(hint)) = hint
                && (hint == newest || hint > newest && self.find(location, hint).await?.is_some())
            {
                return Ok(());
            }
            let text = Bytes::from(newest.to_string());
            self.store.replace(&hint_uri(location), text).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Catalog for Filesystem {
    async fn tables(&self) -> Result<Vec<TableName>> {
        let mut tables = Vec::new();
        let root = self.store.root();
        for namespace in self.store.list(root, true).await? {
            let directory = format!("{root}/{namespace}");
            for table in self.store.list(&directory, true).await? {
                let metadata = format!("{directory}/{table}/metadata");
                if self.store.exists(&metadata).await?
                    && let (Some(schema), Some(name)) = (decode(&namespace), decode(&table))
                {
                    tables.push(TableName { schema, name });
                }
            }
        }
        tables.sort();
        Ok(tables)
    }

    fn location_of(&self, table: &TableName) -> String {
        let (namespace, table) = (encode(&table.schema), encode(&table.name));
        format!("{}/{namespace}/{table}", self.store.root())
    }

    async fn load(
        &self,
        table: &TableName,
        known: Option<&Arc<Version>>,
    ) -> Result<Option<Arc<Version>>> {
        self.current(&self.location_of(table), known).await
    }

    async fn create(&self, table: &TableName, metadata: &TableMetadata) -> Result<Version> {
        let location = self.location_of(table);
        let exists = || LakeError::AlreadyExists {
            table: table.clone(),
            path: location.clone(),
        };
        if self.newest(&location, None).await?.is_some() {
            return Err(exists());
        }
        for directory in ["metadata", "data"] {
            let directory = format!("{location}/{directory}");
            self.store.create_directory(&directory).await?;
        }
        let version = self.publish(table, &location, None, metadata).await?;
        version.ok_or_else(exists)
    }

    async fn commit(
        &self,
        table: &TableName,
        base: &Version,
        requirements: &[Requirement],
        updates: Vec<TableUpdate>,
    ) -> Result<Option<Version>> {
        let location = self.location_of(table);
        for requirement in requirements {
            if !requirement.holds(table, &base.metadata)? {
                return Ok(None);
            }
        }
        let metadata = next_metadata(base, named(base), updates)?;
        self.publish(table, &location, Some(base), &metadata).await
    }

    async fn replace(
        &self,
        table: &TableName,
        base: &Version,
        metadata: &TableMetadata,
    ) -> Result<Option<Version>> {
        let location = self.location_of(table);
        self.publish(table, &location, Some(base), metadata).await
    }

    async fn settle(&self, table: &TableName, version: &Version) -> Result<()> {
        let location = self.location_of(table);
        self.hint_forward(&location, version.number).await
    }

    async fn is_settled(&self, table: &TableName, version: &Version) -> Result<bool> {
        let hint = self.hint(&self.location_of(table)).await?;
        Ok(matches!(hint, Some(Ok(hint)) if hint >= version.number))
    }
}

/// The version in a metadata file.
fn parsed(number: u64, uri: String, bytes: Bytes) -> Result<Version> {
    let json = metadata_json(&uri, bytes.clone())?;
    Version::parse(number, uri, &bytes, &json)
}

/// A directory name that holds any table name and never is `.`, `..` or hidden.
fn encode(part: &str) -> String {
    let encoded = utf8_percent_encode(part, NAME).to_string();
    match encoded.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => encoded,
    }
}

fn decode(directory: &str) -> Option<String> {
    let decoded = percent_decode_str(directory).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// A version's file by the location that the metadata has, which a link may be another name for here.
fn named(version: &Version) -> String {
    let name = version.uri.rsplit('/').next().unwrap_or(&version.uri);
    let location = Store::spelled(version.metadata.location());
    format!("{location}/metadata/{name}")
}

fn hint_uri(location: &str) -> String {
    format!("{location}/metadata/version-hint.text")
}

/// Whether the chain of a later version holds ours; none when its log begins too late to tell.
fn holds(later: &Version, base: &Version, ours: &Version) -> Option<bool> {
    if later.metadata.uuid() != ours.metadata.uuid() || later.number < ours.number {
        return Some(false);
    }
    let snapshot = ours.metadata.current_snapshot_id();
    let added = snapshot.filter(|_| snapshot != base.metadata.current_snapshot_id());
    if added.is_some_and(|id| later.metadata.snapshot_by_id(id).is_some()) {
        return Some(true);
    }
    let mut entries = later.metadata.metadata_log().iter();
    let entry = entries.find(|entry| logged(entry) == Some(ours.number));
    entry.map(|entry| entry.timestamp_ms == ours.metadata.last_updated_ms())
}

fn not_found_in_time(location: &str) -> LakeError {
    LakeError::Io {
        action: "read the newest metadata file in",
        path: format!("{location}/metadata"),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}

/// The name that the version after this one gets.
fn ending_of(metadata: &TableMetadata) -> Ending {
    let codec = metadata.properties().get(CODEC_PROPERTY);
    match codec.is_some_and(|codec| codec.eq_ignore_ascii_case("gzip")) {
        true => Ending::Gzip,
        false => Ending::Plain,
    }
}

fn gzip(json: &[u8], uri: &str) -> Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    let bytes = encoder.write_all(json).and_then(|()| encoder.finish());
    let bytes = bytes.map_err(|error| LakeError::io("compress", uri, error))?;
    Ok(Bytes::from(bytes))
}
