#!/usr/bin/env python3
"""Makes the fixtures with hints of every kind and the damaged ones, from the table that icesync wrote. Run by make.sh.

    damaged.py ROOT

Each is a copy of ROOT/icesync-mirror with one thing changed, and names its place. Beside the table are the rows that must be read in it
all the same, or the words with which icesync must refuse to read it. Metadata files before the last two versions are left out, as after
`write.metadata.delete-after-commit.enabled`.
"""
import gzip
import json
import pathlib
import re
import shutil
import sys
import uuid

from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFileContent, ManifestContent
from pyiceberg.table import StaticTable

ROOT = pathlib.Path(sys.argv[1])
MADE_FROM = ROOT / "icesync-mirror"
PARQUET = "cannot read the Parquet file"


def local(uri):
    return pathlib.Path(uri.removeprefix("file://"))


class Made:
    """What the table that all copies are made from consists of."""

    def __init__(self):
        versions = (MADE_FROM / "dbo" / "items" / "metadata").glob("v*.metadata.json")
        numbers = sorted(int(re.search(r"v(\d+)\.", path.name)[1]) for path in versions)
        self.newest = numbers[-1]
        self.metadata = f"v{self.newest}.metadata.json"
        self.old = [f"v{number}.metadata.json" for number in numbers[:-2]]
        table = StaticTable.from_metadata(f"file://{MADE_FROM}/dbo/items/metadata/{self.metadata}")
        snapshot = table.current_snapshot()
        self.manifest_list = local(snapshot.manifest_list).name
        manifests = snapshot.manifests(PyArrowFileIO())
        self.manifest = local(next(one.manifest_path for one in manifests if one.content == ManifestContent.DATA)).name
        files = [entry.data_file for one in manifests for entry in one.fetch_manifest_entry(PyArrowFileIO())]
        self.data = local(next(one.file_path for one in files if one.content == DataFileContent.DATA)).name
        self.deletes = local(next(one.file_path for one in files if one.content == DataFileContent.POSITION_DELETES)).name


MADE = Made()


def copy(fixture, refused=None):
    """A copy that gives the same rows, or is refused with these words; the folder of its table."""
    folder = ROOT / fixture
    shutil.copytree(MADE_FROM, folder)
    if refused:
        (folder / "rows.json").unlink()
        (folder / "refused.txt").write_text("\n".join(refused) + "\n", encoding="utf-8")
    table = folder / "dbo" / "items"
    for name in MADE.old:
        (table / "metadata" / name).unlink()
    return table


def hint(kind, text):
    table = copy(f"hint-{kind}")
    path = table / "metadata" / "version-hint.text"
    if text is None:
        path.unlink()
    else:
        path.write_text(text, encoding="utf-8")
    return table


def compress(table):
    """The newest metadata file is compressed."""
    plain = table / "metadata" / MADE.metadata
    compressed = plain.with_name(f"v{MADE.newest}.gz.metadata.json")
    compressed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()
    return compressed


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2])


def hints():
    newest = MADE.newest
    hint("newline", f"{newest}\n")
    hint("missing", None)
    hint("empty", "")
    hint("junk", "seven")
    hint("stale", f"{newest - 1}")
    hint("removed", f"{newest - 4}")  # As stale, and its version has been removed.
    hint("ahead", f"{newest + 92}")
    hint("name", f"v{newest}.metadata.json")
    compress(hint("gzip-name", f"v{newest}.gz.metadata.json"))
    compress(hint("gzip-stale", f"{newest - 1}"))


def damaged_metadata():
    damage = "is damaged or truncated"
    truncate(copy("damaged-metadata-truncated", [MADE.metadata, damage]) / "metadata" / MADE.metadata)
    table = copy("damaged-metadata-empty", [MADE.metadata, damage])
    (table / "metadata" / MADE.metadata).write_bytes(b"")
    table = copy("damaged-metadata-text", [MADE.metadata, damage])
    (table / "metadata" / MADE.metadata).write_text("<html><body>503 Service Unavailable</body></html>\n", encoding="utf-8")
    truncate(compress(copy("damaged-metadata-gzip", [f"v{MADE.newest}.gz.metadata.json", damage])))
    # The hint is all that is left.
    table = copy("damaged-metadata-missing", ["version-hint.text", f"version {MADE.newest}", "no metadata file exists"])
    for path in (table / "metadata").glob("*.metadata.json"):
        path.unlink()


def damaged_files():
    iceberg = "the Iceberg metadata"
    for kind, folder, name, unreadable in (
        ("list", "metadata", MADE.manifest_list, iceberg), ("manifest", "metadata", MADE.manifest, iceberg),
        ("data", "data", MADE.data, PARQUET), ("deletes", "data", MADE.deletes, PARQUET),
    ):
        truncate(copy(f"damaged-{kind}-truncated", [name, unreadable]) / folder / name)
        missing = "cannot read" if folder == "metadata" else PARQUET
        (copy(f"damaged-{kind}-missing", [name, missing]) / folder / name).unlink()


def recreated():
    """The newest version is another table's, as when one was dropped and recreated between two versions."""
    path = copy("uuid-changed") / "metadata" / MADE.metadata
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata["table-uuid"] = str(uuid.UUID(int=uuid.UUID(metadata["table-uuid"]).int ^ 1))
    path.write_text(json.dumps(metadata, separators=(",", ":")), encoding="utf-8")


for FOLDER in [*ROOT.glob("hint-*"), *ROOT.glob("damaged-*"), *ROOT.glob("uuid-*")]:
    shutil.rmtree(FOLDER)
hints()
damaged_metadata()
damaged_files()
recreated()
