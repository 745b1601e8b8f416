//! The entries of a manifest: which file, how many rows, and the bounds of the key columns.
//!
//! A [`StoredFile`] keeps about 300 bytes of a file, whatever its number of columns. Everything else of an entry is
//! left in the manifest. A commit that has to write an entry again copies it as bytes
//! ([`crate::lake::commit::manifests`]), so that counts, bounds and fields unknown to this version survive exactly.

use crate::lake::error::LakeError;
use crate::lake::read::avro::{Container, Field, Input, Malformed, Type};
use crate::lake::read::constants::{Constant, Identities};
use iceberg::spec::{DataContentType, DataFile};
use std::borrow::Cow;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Malformed>;

/// Field ids reserved by the specification for position delete files.
pub(in crate::lake) const DELETE_PATH_ID: i32 = 2_147_483_546;
pub(in crate::lake) const DELETE_POS_ID: i32 = 2_147_483_545;

/// What lookups and reads take from the description of a file.
pub(in crate::lake) trait Described {
    fn file_path(&self) -> &str;
    fn record_count(&self) -> u64;
    fn file_size_in_bytes(&self) -> u64;
    /// What is known of a column; none for a column that is not part of the key.
    fn bounds(&self, id: i32) -> Option<Bounds<'_>>;
    /// Values of columns that the file does not have; none for a file that is not described by a manifest yet.
    fn constants(&self) -> &[Constant] {
        &[]
    }
}

/// Least and greatest value of a column as single values of the specification, and the number of NULLs.
pub(in crate::lake) struct Bounds<'a> {
    pub(in crate::lake) lower: Option<Cow<'a, [u8]>>,
    pub(in crate::lake) upper: Option<Cow<'a, [u8]>>,
    pub(in crate::lake) nulls: Option<u64>,
}

impl Described for DataFile {
    fn file_path(&self) -> &str {
        DataFile::file_path(self)
    }

    fn record_count(&self) -> u64 {
        DataFile::record_count(self)
    }

    fn file_size_in_bytes(&self) -> u64 {
        DataFile::file_size_in_bytes(self)
    }

    fn bounds(&self, id: i32) -> Option<Bounds<'_>> {
        let bytes = |datum: Option<&iceberg::spec::Datum>| {
            let bytes = datum?.to_bytes().ok()?;
            Some(Cow::Owned(bytes.into_vec()))
        };
        Some(Bounds {
            lower: bytes(self.lower_bounds().get(&id)),
            upper: bytes(self.upper_bounds().get(&id)),
            nulls: self.null_value_counts().get(&id).copied(),
        })
    }
}

/// A data or delete file as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lake) struct StoredFile {
    path: Box<str>,
    content: DataContentType,
    parquet: bool,
    rows: u64,
    bytes: u64,
    keys: Box<[KeyBounds]>,
    target: Option<Arc<str>>,
    constants: Box<[Constant]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyBounds {
    id: i32,
    lower: Option<Box<[u8]>>,
    upper: Option<Box<[u8]>>,
    nulls: Option<u64>,
}

impl StoredFile {
    pub(in crate::lake) fn file_path(&self) -> &str {
        &self.path
    }

    pub(in crate::lake) fn record_count(&self) -> u64 {
        self.rows
    }

    pub(in crate::lake) fn file_size_in_bytes(&self) -> u64 {
        self.bytes
    }

    pub(in crate::lake) fn content_type(&self) -> DataContentType {
        self.content
    }

    pub(in crate::lake) fn is_parquet(&self) -> bool {
        self.parquet
    }

    /// The one data file that a position delete file refers to, if it says so.
    pub(in crate::lake) fn target(&self) -> Option<&Arc<str>> {
        self.target.as_ref()
    }

    /// The upper bound of a column of type long.
    pub(in crate::lake) fn upper_long(&self, id: i32) -> Option<i64> {
        let upper = self.bounds(id)?.upper?;
        upper.as_ref().try_into().ok().map(i64::from_le_bytes)
    }

    /// The same file with values of columns that it does not have.
    pub(in crate::lake) fn with_constants(self, constants: Box<[Constant]>) -> Self {
        Self { constants, ..self }
    }

    /// Memory that it takes, about.
    pub(in crate::lake) fn memory(&self) -> usize {
        let bounds = |key: &KeyBounds| {
            let length =
                |bound: &Option<Box<[u8]>>| bound.as_ref().map_or(0, |bound| bound.len() + 16);
            size_of::<KeyBounds>() + length(&key.lower) + length(&key.upper)
        };
        let target = self.target.as_ref().map_or(0, |target| target.len() + 32);
        let keys: usize = self.keys.iter().map(bounds).sum();
        let constants: usize = self.constants.iter().map(Constant::memory).sum();
        size_of::<Self>() + self.path.len() + keys + target + constants + 64
    }
}

impl Described for StoredFile {
    fn file_path(&self) -> &str {
        &self.path
    }

    fn record_count(&self) -> u64 {
        self.rows
    }

    fn file_size_in_bytes(&self) -> u64 {
        self.bytes
    }

    fn bounds(&self, id: i32) -> Option<Bounds<'_>> {
        let key = self.keys.iter().find(|key| key.id == id)?;
        Some(Bounds {
            lower: key.lower.as_deref().map(Cow::Borrowed),
            upper: key.upper.as_deref().map(Cow::Borrowed),
            nulls: key.nulls,
        })
    }

    fn constants(&self) -> &[Constant] {
        &self.constants
    }
}

/// The status of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lake) enum Status {
    Existing,
    Added,
    Deleted,
}

impl Status {
    pub(in crate::lake) fn code(self) -> i64 {
        match self {
            Status::Existing => 0,
            Status::Added => 1,
            Status::Deleted => 2,
        }
    }
}

/// One entry. Numbers that are empty are inherited from the manifest's entry in the manifest list.
pub(in crate::lake) struct ManifestEntry<'a> {
    pub(in crate::lake) status: Status,
    pub(in crate::lake) snapshot_id: Option<i64>,
    pub(in crate::lake) sequence_number: Option<i64>,
    pub(in crate::lake) file_sequence_number: Option<i64>,
    /// The record of the file as it is encoded.
    pub(in crate::lake) encoded: &'a [u8],
    pub(in crate::lake) file: FileRecord<'a>,
}

/// What is taken from the record of a file.
#[derive(Default)]
pub(in crate::lake) struct FileRecord<'a> {
    content: i64,
    pub(in crate::lake) path: &'a str,
    format: &'a str,
    pub(in crate::lake) rows: u64,
    bytes: u64,
    /// The values of the partition as they are encoded.
    pub(in crate::lake) partition: &'a [u8],
    referenced: Option<&'a str>,
    keys: Vec<KeySlices<'a>>,
}

struct KeySlices<'a> {
    id: i32,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    nulls: Option<u64>,
}

/// Rows of a file at most. Positions of rows are kept in bitmaps, which a wrong count must not let grow without bound.
const ROWS_MAX: u64 = 1 << 32;

impl FileRecord<'_> {
    pub(in crate::lake) fn stored(&self) -> Result<StoredFile> {
        let content = match self.content {
            0 => DataContentType::Data,
            1 => DataContentType::PositionDeletes,
            2 => DataContentType::EqualityDeletes,
            other => return Err(format!("`{}` has the unknown content {other}", self.path)),
        };
        let target = match content {
            DataContentType::PositionDeletes => self.referenced.or_else(|| self.only_path()),
            DataContentType::Data | DataContentType::EqualityDeletes => None,
        };
        let keys = self.keys.iter().filter(|key| key.id != DELETE_PATH_ID);
        Ok(StoredFile {
            path: self.path.into(),
            content,
            parquet: self.format.eq_ignore_ascii_case("parquet"),
            rows: self.rows,
            bytes: self.bytes,
            keys: keys
                .map(|key| KeyBounds {
                    id: key.id,
                    lower: key.lower.map(Into::into),
                    upper: key.upper.map(Into::into),
                    nulls: key.nulls,
                })
                .collect(),
            target: target.map(Arc::from),
            constants: Box::default(),
        })
    }

    /// Equal bounds of the column of paths name the one file that a position delete file refers to.
    fn only_path(&self) -> Option<&str> {
        let paths = self.keys.iter().find(|key| key.id == DELETE_PATH_ID)?;
        let (lower, upper) = (paths.lower?, paths.upper?);
        (lower == upper).then(|| std::str::from_utf8(lower).ok())?
    }
}

/// A field of an entry, by its Iceberg id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lake) enum EntryField {
    Status,
    SnapshotId,
    SequenceNumber,
    FileSequenceNumber,
    File,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileField {
    Content,
    Path,
    Format,
    Partition,
    Rows,
    Bytes,
    Nulls,
    Lower,
    Upper,
    Referenced,
    Other,
}

fn entry_field(field: &Field) -> EntryField {
    [
        (0, "status", EntryField::Status),
        (1, "snapshot_id", EntryField::SnapshotId),
        (3, "sequence_number", EntryField::SequenceNumber),
        (4, "file_sequence_number", EntryField::FileSequenceNumber),
        (2, "data_file", EntryField::File),
    ]
    .into_iter()
    .find(|(id, name, _)| field.is((*id, name)))
    .map_or(EntryField::Other, |(_, _, known)| known)
}

fn file_field(field: &Field) -> FileField {
    [
        (134, "content", FileField::Content),
        (100, "file_path", FileField::Path),
        (101, "file_format", FileField::Format),
        (102, "partition", FileField::Partition),
        (103, "record_count", FileField::Rows),
        (104, "file_size_in_bytes", FileField::Bytes),
        (110, "null_value_counts", FileField::Nulls),
        (125, "lower_bounds", FileField::Lower),
        (128, "upper_bounds", FileField::Upper),
        (143, "referenced_data_file", FileField::Referenced),
    ]
    .into_iter()
    .find(|(id, name, _)| field.is((*id, name)))
    .map_or(FileField::Other, |(_, _, known)| known)
}

/// A manifest being read.
pub(in crate::lake) struct ManifestReader<'a> {
    pub(in crate::lake) container: Container<'a>,
    /// The fields of an entry in the order in which they are encoded.
    pub(in crate::lake) fields: Arc<Vec<(EntryField, Type)>>,
    file: Vec<(FileField, Type)>,
    ids: Vec<i32>,
}

impl<'a> ManifestReader<'a> {
    /// Bounds and NULL counts are read for the columns of these ids.
    pub(in crate::lake) fn open(bytes: &'a [u8], ids: &[i32]) -> Result<Self> {
        let container = Container::open(bytes)?;
        let Type::Record(entry) = &container.schema else {
            return Err("its values are no records".to_owned());
        };
        let fields: Vec<(EntryField, Type)> = entry
            .iter()
            .map(|field| (entry_field(field), field.ty.clone()))
            .collect();
        let file = fields.iter().find(|(known, _)| *known == EntryField::File);
        let Some((_, Type::Record(file))) = file else {
            return Err("its entries describe no files: it is no manifest".to_owned());
        };
        let file: Vec<(FileField, Type)> = file
            .iter()
            .map(|field| (file_field(field), field.ty.clone()))
            .collect();
        for needed in [
            FileField::Path,
            FileField::Format,
            FileField::Rows,
            FileField::Bytes,
        ] {
            if !file.iter().any(|(known, _)| *known == needed) {
                return Err(format!("its entries lack the field {needed:?}"));
            }
        }
        let mut ids = ids.to_vec();
        ids.push(DELETE_PATH_ID);
        Ok(Self {
            fields: Arc::new(fields),
            file,
            ids,
            container,
        })
    }

    /// Which values of partitions are values of columns that files do not have.
    pub(in crate::lake) fn identities(&self) -> Result<Identities> {
        let mut fields = self.file.iter();
        let partition = fields.find(|(known, _)| *known == FileField::Partition);
        Identities::of(&self.container.header, partition.map(|(_, ty)| ty))
    }

    /// Calls `each` for every entry in order.
    pub(in crate::lake) fn for_each(
        &mut self,
        mut each: impl FnMut(ManifestEntry<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut block = Vec::new();
        while let Some(entries) = self.container.next_block(&mut block)? {
            let mut input = Input::new(&block);
            for _ in 0..entries {
                each(self.entry(&mut input)?)?;
            }
            if !input.is_empty() {
                return Err("a block holds more than its entries".to_owned());
            }
        }
        Ok(())
    }

    fn entry<'b>(&self, input: &mut Input<'b>) -> Result<ManifestEntry<'b>> {
        let mut entry = ManifestEntry {
            status: Status::Existing,
            snapshot_id: None,
            sequence_number: None,
            file_sequence_number: None,
            encoded: &[],
            file: FileRecord::default(),
        };
        for (field, ty) in self.fields.iter() {
            match field {
                EntryField::Status => {
                    entry.status = match optional_long(input, ty)? {
                        Some(0) => Status::Existing,
                        Some(1) => Status::Added,
                        Some(2) => Status::Deleted,
                        other => return Err(format!("an entry has the unknown status {other:?}")),
                    }
                }
                EntryField::SnapshotId => entry.snapshot_id = optional_long(input, ty)?,
                EntryField::SequenceNumber => entry.sequence_number = optional_long(input, ty)?,
                EntryField::FileSequenceNumber => {
                    entry.file_sequence_number = optional_long(input, ty)?;
                }
                EntryField::File => {
                    let start = input.position();
                    entry.file = self.file(input)?;
                    entry.encoded = input.since(start);
                }
                EntryField::Other => input.skip(ty)?,
            }
        }
        Ok(entry)
    }

    fn file<'b>(&self, input: &mut Input<'b>) -> Result<FileRecord<'b>> {
        let mut file = FileRecord {
            keys: self.ids.iter().map(|&id| KeySlices::of(id)).collect(),
            ..FileRecord::default()
        };
        for (field, ty) in &self.file {
            let count = |value: Option<i64>| {
                let value = value.and_then(|value| u64::try_from(value).ok());
                value.ok_or_else(|| format!("the field {field:?} of an entry is no count"))
            };
            match field {
                FileField::Content => file.content = optional_long(input, ty)?.unwrap_or(0),
                FileField::Path => file.path = input.text()?,
                FileField::Format => file.format = input.text()?,
                FileField::Partition => {
                    let start = input.position();
                    input.skip(ty)?;
                    file.partition = input.since(start);
                }
                FileField::Rows => {
                    file.rows = count(optional_long(input, ty)?)?;
                    if file.rows > ROWS_MAX {
                        return Err(format!(
                            "an entry says that its file has {} rows",
                            file.rows
                        ));
                    }
                }
                FileField::Bytes => file.bytes = count(optional_long(input, ty)?)?,
                FileField::Referenced => {
                    file.referenced = match input.variant(ty)? {
                        Type::Bytes => Some(input.text()?),
                        other => input.skip(other).map(|()| None)?,
                    }
                }
                FileField::Nulls => columns(input, ty, |input, id, value| {
                    let nulls = optional_long(input, value)?;
                    if let Some(key) = file.keys.iter_mut().find(|key| key.id == id) {
                        key.nulls = nulls.and_then(|nulls| u64::try_from(nulls).ok());
                    }
                    Ok(())
                })?,
                FileField::Lower => columns(input, ty, |input, id, value| {
                    let bound = optional_bytes(input, value)?;
                    if let Some(key) = file.keys.iter_mut().find(|key| key.id == id) {
                        key.lower = bound;
                    }
                    Ok(())
                })?,
                FileField::Upper => columns(input, ty, |input, id, value| {
                    let bound = optional_bytes(input, value)?;
                    if let Some(key) = file.keys.iter_mut().find(|key| key.id == id) {
                        key.upper = bound;
                    }
                    Ok(())
                })?,
                FileField::Other => input.skip(ty)?,
            }
        }
        Ok(file)
    }
}

impl KeySlices<'_> {
    fn of(id: i32) -> Self {
        Self {
            id,
            lower: None,
            upper: None,
            nulls: None,
        }
    }
}

fn optional_long(input: &mut Input<'_>, ty: &Type) -> Result<Option<i64>> {
    match input.variant(ty)? {
        Type::Integer => input.long().map(Some),
        other => input.skip(other).map(|()| None),
    }
}

fn optional_bytes<'b>(input: &mut Input<'b>, ty: &Type) -> Result<Option<&'b [u8]>> {
    match input.variant(ty)? {
        Type::Bytes => input.bytes().map(Some),
        other => input.skip(other).map(|()| None),
    }
}

/// A map from column ids to values: a list of pairs, as Avro's maps have keys of text only.
fn columns<'b>(
    input: &mut Input<'b>,
    ty: &Type,
    mut each: impl FnMut(&mut Input<'b>, i32, &Type) -> Result<()>,
) -> Result<()> {
    let ty = input.variant(ty)?;
    if let Type::Array(item) = ty
        && let Type::Record(pair) = item.as_ref()
        && let [key, value] = &***pair
        && key.ty == Type::Integer
    {
        return input.items(|input| {
            let id = i32::try_from(input.long()?).map_err(|_| "a column id is out of range")?;
            each(input, id, &value.ty)
        });
    }
    input.skip(ty)
}

/// The error for a manifest that cannot be understood.
pub(in crate::lake) fn damaged(uri: &str) -> impl FnOnce(Malformed) -> LakeError {
    move |what| {
        let source = iceberg::Error::new(iceberg::ErrorKind::DataInvalid, what);
        LakeError::iceberg("read", uri)(source)
    }
}
