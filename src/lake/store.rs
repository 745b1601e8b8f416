//! Files of the warehouse: durable writes, put-if-absent, ranged reads.
//!
//! Everything above this module speaks in URIs, exactly as they stand in Iceberg metadata. Small files (metadata, hint,
//! manifests) are read and written here whole; Parquet files are read in ranges through [`object_store`]. Only the
//! local file system is supported so far: it needs its own writes, because `object_store` does not fsync.
//!
//! Durability on a local disk: a file is complete on disk before its name exists (temporary name, fsync, then link or
//! rename, then fsync of the directory), so a crash leaves the whole file or none.

use crate::lake::cache::Cache;
use crate::lake::error::{LakeError, Result};
use bytes::Bytes;
use iceberg::spec::DataFile;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use parquet::arrow::async_reader::ParquetObjectReader;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

const SCHEME: &str = "file://";
/// No file is read whole that is larger, and no metadata file is decompressed to more; one with 100,000 snapshots has
/// about 100 MB.
pub(in crate::lake) const WHOLE_BYTES_MAX: u64 = 1 << 30;
/// Read from the end of a Parquet file at first: most footers are smaller, so one read suffices.
const FOOTER_BYTES: usize = 16 << 10;

/// The file system of one warehouse.
#[derive(Debug)]
pub(in crate::lake) struct Store {
    root: String,
    objects: Arc<dyn ObjectStore>,
    cache: Cache,
    #[cfg(test)]
    pub(in crate::lake) fault: std::sync::Mutex<Option<Fault>>,
    #[cfg(test)]
    pub(in crate::lake) room: Arc<Room>,
}

/// A scripted failure of the next put-if-absent.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lake) enum Fault {
    /// The file is written, the reply is an error.
    ReplyLost,
    /// Nothing is written, the reply is an error.
    RequestLost,
    /// The same for every request until the fault is taken away.
    RequestsLost,
    /// The file is written, the reply is an error, and the store is [`Blinded`](Fault::Blinded) from then on.
    Blind,
    /// No metadata file can be read until the fault is taken away.
    Blinded,
}

/// A file as a listing shows it.
#[derive(Debug)]
pub(in crate::lake) struct Listed {
    pub(in crate::lake) uri: String,
    pub(in crate::lake) bytes: u64,
    pub(in crate::lake) modified: SystemTime,
}

/// What became of a put-if-absent. An error instead of it means that nothing was written.
#[derive(Debug)]
pub(in crate::lake) enum Put {
    /// The file is there, durable, with these bytes.
    Created,
    /// A file of this name was there before, which may be our own where a lower layer repeats requests.
    Exists,
    /// The file may be there or not.
    Unclear(LakeError),
}

/// Where the bytes of a Parquet file go. `finish` returns once they are durable. Dropped before that, for whatever
/// reason, it removes the file.
pub(in crate::lake) trait Sink: Write + Send {
    fn finish(self: Box<Self>) -> io::Result<()>;
}

struct LocalSink {
    file: BufWriter<File>,
    path: PathBuf,
    is_complete: bool,
    #[cfg(test)]
    room: Arc<Room>,
}

impl Write for LocalSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        self.room.take(bytes.len())?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for LocalSink {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()?;
        self.is_complete = true;
        Ok(())
    }
}

impl Drop for LocalSink {
    fn drop(&mut self) {
        if !self.is_complete {
            // Best effort: what cannot be removed is an orphan, which maintenance finds.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// How many bytes the disk of a test takes.
#[cfg(test)]
#[derive(Debug, Default)]
pub(in crate::lake) struct Room(std::sync::Mutex<Option<usize>>);

#[cfg(test)]
impl Room {
    /// From now on as many bytes; none: as many as come.
    pub(in crate::lake) fn set(&self, bytes: Option<usize>) {
        *self.0.lock().unwrap() = bytes;
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        const ENOSPC: i32 = 28;
        let mut room = self.0.lock().unwrap();
        let Some(left) = *room else { return Ok(()) };
        *room = Some(left.saturating_sub(bytes));
        if left < bytes {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }
}

impl Store {
    /// Accepts a directory (relative ones are taken from the working directory) or a `file://` URI. Touches nothing.
    pub(in crate::lake) fn open(location: &str) -> Result<Self> {
        let unsupported = || LakeError::UnsupportedLocation {
            location: location.to_owned(),
        };
        let path = match location.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
            Some(("file", path)) => match path.strip_prefix("localhost") {
                Some(path) if path.starts_with('/') => PathBuf::from(path),
                Some(_) | None => return Err(unsupported()),
            },
            Some(_) => return Err(unsupported()),
            None if location.trim().is_empty() => return Err(unsupported()),
            None => std::path::absolute(location)
                .map_err(|error| LakeError::io("resolve", location, error))?,
        };
        let bad = || LakeError::BadPath {
            path: path.display().to_string(),
        };
        let mut root = PathBuf::from("/");
        for part in path.components() {
            match part {
                std::path::Component::Normal(name) => root.push(name),
                std::path::Component::ParentDir => {
                    root.pop();
                }
                std::path::Component::CurDir | std::path::Component::RootDir => {}
                std::path::Component::Prefix(_) => return Err(unsupported()),
            }
        }
        let text = root.to_str().ok_or_else(bad)?;
        if text.contains(|c: char| c.is_control() || matches!(c, '#' | '?')) {
            return Err(bad());
        }
        Ok(Self {
            root: format!("{SCHEME}{}", text.trim_end_matches('/')),
            objects: Arc::new(LocalFileSystem::new()),
            cache: Cache::default(),
            #[cfg(test)]
            fault: std::sync::Mutex::new(None),
            #[cfg(test)]
            room: Arc::default(),
        })
    }

    /// The warehouse as a URI without a trailing slash.
    pub(in crate::lake) fn root(&self) -> &str {
        &self.root
    }

    /// What this process has read of files that never change.
    pub(in crate::lake) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The path of a `file:` URI with any number of slashes. Engines that were given a warehouse as a plain path write
    /// plain paths into metadata, so a path from the root is taken as it is.
    fn local(uri: &str) -> Result<PathBuf> {
        let path = uri.strip_prefix("file:").unwrap_or(uri);
        if !path.starts_with('/') {
            return Err(LakeError::UnsupportedLocation {
                location: uri.to_owned(),
            });
        }
        Ok(Path::new("/").join(path.trim_start_matches('/')))
    }

    /// The URI of a directory as this module writes it, for each way in which engines spell its path.
    pub(in crate::lake) fn spelled(uri: &str) -> String {
        let path = uri.strip_prefix("file:").unwrap_or(uri);
        format!("{SCHEME}/{}", path.trim_matches('/'))
    }

    async fn blocking<T: Send + 'static>(
        action: &'static str,
        uri: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = Self::local(uri)?;
        tokio::task::spawn_blocking(move || work(&path))
            .await
            .map_err(|_| LakeError::Thread { action })?
            .map_err(|error| LakeError::io(action, uri, error))
    }

    /// The whole file, or none when it does not exist.
    pub(in crate::lake) async fn read_if_exists(&self, uri: &str) -> Result<Option<Bytes>> {
        #[cfg(test)]
        if *self.fault.lock().unwrap() == Some(Fault::Blinded) && uri.contains(".metadata.json") {
            return Err(LakeError::io("read", uri, io::ErrorKind::TimedOut.into()));
        }
        Self::blocking("read", uri, |path| match whole(path, WHOLE_BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// The whole file.
    pub(in crate::lake) async fn read(&self, uri: &str) -> Result<Bytes> {
        Self::blocking("read", uri, |path| whole(path, WHOLE_BYTES_MAX)).await
    }

    pub(in crate::lake) async fn exists(&self, uri: &str) -> Result<bool> {
        Ok(self.size(uri).await?.is_some())
    }

    /// Bytes of a file; none when it does not exist.
    pub(in crate::lake) async fn size(&self, uri: &str) -> Result<Option<u64>> {
        Self::blocking("look for", uri, |path| match std::fs::metadata(path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Makes a directory and its parents; durable.
    pub(in crate::lake) async fn create_directory(&self, uri: &str) -> Result<()> {
        Self::blocking("create the directory", uri, |path| {
            let mut missing = Vec::new();
            let mut next = Some(path);
            while let Some(directory) = next {
                match std::fs::metadata(directory) {
                    Ok(found) if found.is_dir() => break,
                    Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        missing.push(directory);
                        next = directory.parent();
                    }
                    Err(error) => return Err(error),
                }
            }
            std::fs::create_dir_all(path)?;
            missing
                .iter()
                .filter_map(|directory| directory.parent())
                .try_for_each(sync_directory)
        })
        .await
    }

    /// Writes the file unless it exists: atomic (readers see the whole file or none) and durable.
    pub(in crate::lake) async fn create(&self, uri: &str, bytes: Bytes) -> Result<Put> {
        #[cfg(test)]
        let fault = self.fault_of_put(uri);
        #[cfg(test)]
        if matches!(fault, Some(Fault::RequestLost | Fault::RequestsLost)) {
            let error = io::ErrorKind::TimedOut.into();
            return Ok(Put::Unclear(LakeError::io("write", uri, error)));
        }
        #[cfg(test)]
        self.room
            .take(bytes.len())
            .map_err(|error| LakeError::io("write", uri, error))?;
        let created = Self::blocking("write", uri, move |path| put(path, &bytes)).await?;
        #[cfg(test)]
        if matches!(fault, Some(Fault::ReplyLost | Fault::Blind)) {
            let error = io::ErrorKind::TimedOut.into();
            return Ok(Put::Unclear(LakeError::io("write", uri, error)));
        }
        Ok(match created {
            Ok(true) => Put::Created,
            Ok(false) => Put::Exists,
            Err(error) => Put::Unclear(LakeError::io("write", uri, error)),
        })
    }

    #[cfg(test)]
    fn fault_of_put(&self, uri: &str) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        if !uri.contains(".metadata.json") {
            return None;
        }
        match *fault {
            Some(Fault::ReplyLost | Fault::RequestLost) => fault.take(),
            Some(Fault::Blind) => fault.replace(Fault::Blinded),
            other => other,
        }
    }

    /// Writes the file in the place of what is there: atomic and durable.
    pub(in crate::lake) async fn replace(&self, uri: &str, bytes: Bytes) -> Result<()> {
        Self::blocking("write", uri, move |path| {
            with_temporary(path, &bytes, |temporary| std::fs::rename(temporary, path))
        })
        .await
    }

    /// Writes a file whose name nobody else uses; its content is durable, its name once [`Store::sync_directory`] ran.
    pub(in crate::lake) async fn write_new(&self, uri: &str, bytes: Bytes) -> Result<()> {
        #[cfg(test)]
        self.room
            .take(bytes.len())
            .map_err(|error| LakeError::io("write", uri, error))?;
        Self::blocking("write", uri, move |path| {
            let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
            let written = file.write_all(&bytes).and_then(|()| file.sync_data());
            if written.is_err() {
                // Best effort, as for a Parquet file that was not completed.
                let _ = std::fs::remove_file(path);
            }
            written
        })
        .await
    }

    /// Opens a new Parquet file for writing. Blocks.
    pub(in crate::lake) fn sink(&self, uri: &str) -> Result<Box<dyn Sink>> {
        let path = Self::local(uri)?;
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| LakeError::io("write", uri, error))?;
        Ok(Box::new(LocalSink {
            file: BufWriter::with_capacity(256 * 1024, file),
            path,
            is_complete: false,
            #[cfg(test)]
            room: self.room.clone(),
        }))
    }

    /// The time that the file system gives to a file that is written in a directory now. It may be another machine's.
    pub(in crate::lake) async fn clock(&self, directory: &str) -> Result<SystemTime> {
        let name = format!(".{}.tmp", uuid::Uuid::new_v4().simple());
        let uri = format!("{directory}/{name}");
        #[cfg(test)]
        self.room
            .take(1)
            .map_err(|error| LakeError::io("write", &uri, error))?;
        Self::blocking("write", &uri, |path| {
            // An empty file takes no space, which a full disk may not have.
            let file = OpenOptions::new().write(true).create_new(true).open(path)?;
            let written = file.sync_all().and_then(|()| file.metadata()?.modified());
            // Best effort: what cannot be removed is an orphan, which maintenance finds.
            let _ = std::fs::remove_file(path);
            written
        })
        .await
    }

    /// Makes the names in a directory durable.
    pub(in crate::lake) async fn sync_directory(&self, uri: &str) -> Result<()> {
        Self::blocking("sync the directory", uri, sync_directory).await
    }

    /// Makes the name of a file durable.
    pub(in crate::lake) async fn sync_parent(&self, uri: &str) -> Result<()> {
        let directory = uri.rsplit_once('/').map_or(uri, |(directory, _)| directory);
        self.sync_directory(directory).await
    }

    /// Whether two URIs name one directory: by their spelling, or because a link leads from one to the other.
    pub(in crate::lake) async fn is_same_place(&self, a: &str, b: &str) -> Result<bool> {
        let (a, b) = (Self::spelled(a), Self::spelled(b));
        if a == b {
            return Ok(true);
        }
        let a = Self::local(&a)?;
        Self::blocking("resolve", &b, move |b| {
            Ok(match (std::fs::canonicalize(a), std::fs::canonicalize(b)) {
                (Ok(a), Ok(b)) => a == b,
                (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
            })
        })
        .await
    }

    /// Whether a link lies on the way from a folder to a directory in it. What is found there may be of another folder.
    pub(in crate::lake) async fn is_behind_link(&self, folder: &str, uri: &str) -> Result<bool> {
        let folder = Self::local(folder)?;
        Self::blocking("look for", uri, move |path| {
            let mut inner = path.ancestors().take_while(|at| *at != folder);
            let is_link = |at: &Path| {
                std::fs::symlink_metadata(at).is_ok_and(|found| found.file_type().is_symlink())
            };
            Ok(inner.any(is_link))
        })
        .await
    }

    /// Removes a file; one that is not there is fine.
    pub(in crate::lake) async fn remove(&self, uri: &str) -> Result<()> {
        Self::blocking("remove", uri, |path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
        .await
    }

    /// Removes a file that nothing names, as far as possible: what stays behind is an orphan for maintenance.
    pub(in crate::lake) async fn discard(&self, uri: &str) {
        if let Err(error) = self.remove(uri).await {
            tracing::debug!(%uri, error = %error, "left an unused file behind");
        }
    }

    /// Names in a directory: files when `directories` is false, else directories. Empty when it does not exist.
    pub(in crate::lake) async fn list(&self, uri: &str, directories: bool) -> Result<Vec<String>> {
        Self::blocking("list", uri, move |path| {
            let entries = match std::fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let mut names = Vec::new();
            for entry in entries {
                let entry = entry?;
                // The listing knows the kind, without a look at each file. Links lead elsewhere: they are followed.
                let kind = entry.file_type()?;
                let is_directory = match kind.is_symlink() {
                    true => entry.path().is_dir(),
                    false => kind.is_dir(),
                };
                if is_directory == directories
                    && let Ok(name) = entry.file_name().into_string()
                {
                    names.push(name);
                }
            }
            names.sort();
            Ok(names)
        })
        .await
    }

    /// The first of these files that does not exist or has another size than recorded.
    pub(in crate::lake) async fn first_missing(
        &self,
        files: impl IntoIterator<Item = &DataFile>,
    ) -> Result<Option<String>> {
        let mut sought = Vec::new();
        for file in files {
            let uri = file.file_path();
            sought.push((Self::local(uri)?, uri.to_owned(), file.file_size_in_bytes()));
        }
        let root = self.root.clone();
        Self::blocking("look for the data files of", &root, move |_| {
            for (path, uri, bytes) in sought {
                match std::fs::metadata(path) {
                    Ok(found) if found.len() == bytes => {}
                    Ok(_) => return Ok(Some(uri)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(uri)),
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        })
        .await
    }

    /// The files in a directory and in those below it. Empty when it does not exist. Links in it are not followed.
    pub(in crate::lake) async fn list_files(&self, uri: &str) -> Result<Vec<Listed>> {
        let base = uri.trim_end_matches('/').to_owned();
        Self::blocking("list", uri, move |path| {
            let mut found = Vec::new();
            let mut folders = vec![(path.to_owned(), base)];
            while let Some((folder, uri)) = folders.pop() {
                let entries = match std::fs::read_dir(&folder) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                for entry in entries {
                    let entry = entry?;
                    let Ok(name) = entry.file_name().into_string() else {
                        continue;
                    };
                    let uri = format!("{uri}/{name}");
                    let kind = entry.file_type()?;
                    if kind.is_dir() {
                        folders.push((entry.path(), uri));
                    } else if kind.is_file() {
                        // Another run may have removed it since it was listed.
                        let Ok(metadata) = entry.metadata() else {
                            continue;
                        };
                        found.push(Listed {
                            uri,
                            bytes: metadata.len(),
                            modified: metadata.modified()?,
                        });
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    /// A reader of a Parquet file of known size.
    pub(in crate::lake) fn parquet(&self, uri: &str, bytes: u64) -> Result<ParquetObjectReader> {
        let local = Self::local(uri)?;
        let path = local
            .to_str()
            .and_then(|path| object_store::path::Path::parse(path).ok())
            .ok_or_else(|| LakeError::BadPath {
                path: uri.to_owned(),
            })?;
        let footer = usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .min(FOOTER_BYTES);
        let reader = ParquetObjectReader::new(self.objects.clone(), path).with_file_size(bytes);
        Ok(reader.with_footer_size_hint(footer))
    }
}

/// Reads a file. Metadata may name any path: a pipe would never end, and a device neither.
fn whole(path: &Path, bytes_max: u64) -> io::Result<Bytes> {
    let refused = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    // Before it is opened, because to open a pipe waits for its writer.
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(refused("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::with_capacity(found.len().min(bytes_max) as usize);
    // The length of some files (those of /proc) is not what can be read of them.
    let read = File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        return Err(refused(format!("it has more than {bytes_max} bytes")));
    }
    Ok(Bytes::from(bytes))
}

/// Puts a file if its name is free; whether it was. An outer error is from before the name could exist, an inner one
/// from the moment on when it could.
fn put(path: &Path, bytes: &[u8]) -> io::Result<io::Result<bool>> {
    put_by(path, bytes, |temporary, path| {
        std::fs::hard_link(temporary, path)
    })
}

fn put_by(
    path: &Path,
    bytes: &[u8],
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<io::Result<bool>> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let temporary = directory.join(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let linked = write_durable(&temporary, bytes).map(|()| link(&temporary, path));
    // Best effort: a temporary name left behind harms nothing, and must not turn a publication into a failure.
    let _ = std::fs::remove_file(&temporary);
    match linked? {
        Ok(()) => Ok(sync_directory(directory).map(|()| true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Ok(false)),
        Err(error) if has_no_links(&error) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, NoLinks(error)))
        }
        Err(error) if is_refusal(&error) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

/// A file was written, and could not be given a second name.
#[derive(Debug, thiserror::Error)]
#[error(
    "its file system refuses hard links, by which a version is published without overwriting another one; nothing was \
     committed. Put the warehouse on a file system that has them, such as ext4, XFS, APFS or NFS"
)]
struct NoLinks(#[source] io::Error);

/// Whether a link to a file that was just written beside it failed because there are no links (FAT, exFAT, many
/// FUSE file systems). Missing rights on the directory are EACCES, and would have refused the file before.
fn has_no_links(error: &io::Error) -> bool {
    const EPERM: i32 = 1;
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(EPERM)
}

/// Whether an error says that the system refused, rather than that something went wrong on the way.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::NotFound
            | K::PermissionDenied
            | K::ReadOnlyFilesystem
            | K::StorageFull
            | K::QuotaExceeded
            | K::Unsupported
            | K::TooManyLinks
            | K::NotADirectory
    )
}

fn write_durable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Writes a temporary file beside `path`, durable, hands it to `publish`, and makes the directory durable.
fn with_temporary<T>(
    path: &Path,
    bytes: &[u8],
    publish: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let temporary = directory.join(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let published = write_durable(&temporary, bytes).and_then(|()| publish(&temporary));
    if published.is_err() {
        // Best effort: an orphan with this name hurts nobody.
        let _ = std::fs::remove_file(&temporary);
    }
    let value = published?;
    sync_directory(directory)?;
    Ok(value)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_up_to_a_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(whole(&path, 5).unwrap(), "12345");
        let error = whole(&path, 4).unwrap_err();
        assert!(error.to_string().contains("more than 4 bytes"), "{error}");
        let error = whole(directory.path(), 5).unwrap_err();
        assert!(error.to_string().contains("regular file"), "{error}");
    }

    #[test]
    fn a_file_system_without_hard_links_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v2.metadata.json");
        for code in [1, 38, 95] {
            let refused = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(code));
            let error = put_by(&path, b"{}", refused).unwrap_err();
            let error = LakeError::io("write", "file:///w/v2.metadata.json", error);
            assert!(matches!(error, LakeError::Io { .. }), "{error:?}");
            let report = crate::error::Error::from(error).report();
            for part in ["/w/v2.metadata.json", "hard links", "ext4", "os error"] {
                assert!(report.contains(part), "{code}: {report}");
            }
        }
        let denied = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(13));
        let error = LakeError::io("write", "x", put_by(&path, b"{}", denied).unwrap_err());
        assert!(matches!(error, LakeError::Denied { .. }), "{error:?}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
