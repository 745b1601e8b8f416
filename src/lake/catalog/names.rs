//! Names of metadata files.

use crate::lake::error::Result;
use crate::lake::store::Store;
use iceberg::spec::MetadataLog;

/// Endings of a metadata file's name, in the order in which readers look for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lake) enum Ending {
    Plain,
    Gzip,
    GzipLast,
}

const ENDINGS: [Ending; 3] = [Ending::Plain, Ending::Gzip, Ending::GzipLast];

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Ending::Plain => ".metadata.json",
            Ending::Gzip => ".gz.metadata.json",
            Ending::GzipLast => ".metadata.json.gz",
        }
    }
}

/// The URI of a version's file.
pub(in crate::lake) fn uri_with(location: &str, number: u64, ending: Ending) -> String {
    format!("{location}/metadata/v{number}{}", ending.text())
}

/// The URI under which a version exists, if it does.
pub(in crate::lake) async fn find(
    store: &Store,
    location: &str,
    number: u64,
) -> Result<Option<String>> {
    for ending in ENDINGS {
        let uri = uri_with(location, number, ending);
        if store.exists(&uri).await? {
            return Ok(Some(uri));
        }
    }
    Ok(None)
}

/// A version's number. One that has no number after it is of no table.
pub(in crate::lake) fn version_of(text: &str) -> Option<u64> {
    let number = text.parse().ok();
    number.filter(|&number| number < u64::MAX / 2)
}

/// The version that a file name stands for.
pub(in crate::lake) fn number_of(name: &str) -> Option<u64> {
    let rest = name.strip_prefix('v')?;
    let ends = |ending: Ending| version_of(rest.strip_suffix(ending.text())?);
    ENDINGS.into_iter().find_map(ends)
}

/// The version that an entry of a metadata log names, wherever its writer saw the folder and however it wrote the path.
pub(in crate::lake) fn logged(entry: &MetadataLog) -> Option<u64> {
    let (_, name) = entry.metadata_file.rsplit_once('/')?;
    number_of(name)
}

/// Whether a metadata file has the name that other engines give a version until they rename it: a UUID alone. A
/// catalog's own files have a number before it.
pub(in crate::lake) fn is_temporary(name: &str) -> bool {
    let stem = |ending: Ending| name.strip_suffix(ending.text());
    let mut stems = ENDINGS.into_iter().filter_map(stem);
    stems.any(|stem| stem.len() == 36 && uuid::Uuid::try_parse(stem).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_alone_is_a_temporary_name() {
        let uuid = "12345678-9abc-4def-8012-3456789abcde";
        for ending in ENDINGS {
            assert!(is_temporary(&format!("{uuid}{}", ending.text())));
        }
        for name in [
            "00001-12345678-9abc-4def-8012-3456789abcde.metadata.json",
            "v1.metadata.json",
            "12345678.metadata.json",
            "12345678-9abc-4def-8012-3456789abcde.avro",
        ] {
            assert!(!is_temporary(name), "{name}");
        }
    }
}
