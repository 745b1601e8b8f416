#!/usr/bin/env python3
"""Makes the fixtures that PyIceberg writes. Run by make.sh.

    pyiceberg_tables.py ROOT [FIXTURE...]

PyIceberg has no catalog in a folder: its own names of metadata files are kept in `pyiceberg-sql-catalog`; in `pyiceberg-folder` the
newest of them is version 1 of a folder catalog, as after registering the table there.
"""
import decimal
import json
import pathlib
import shutil
import sys

import pyarrow as pa
from pyiceberg.catalog.memory import InMemoryCatalog
from pyiceberg.schema import Schema
from pyiceberg.types import DecimalType, IntegerType, NestedField, StringType

ROOT = pathlib.Path(sys.argv[1])
ARROW = pa.schema([pa.field("id", pa.int32(), False), ("name", pa.string()), ("price", pa.decimal128(9, 2))])


def rows(ids, name="n"):
    return pa.Table.from_pylist([{"id": at, "name": f"{name}{at}", "price": decimal.Decimal(f"{at}.50")} for at in ids], ARROW)


def make(fixture):
    folder = ROOT / fixture
    folder.mkdir(parents=True)
    catalog = InMemoryCatalog("made", warehouse=f"file://{folder}")
    catalog.create_namespace("dbo")
    schema = Schema(NestedField(1, "id", IntegerType(), required=True), NestedField(2, "name", StringType()),
                    NestedField(3, "price", DecimalType(9, 2)), identifier_field_ids=[1])
    table = catalog.create_table("dbo.items", schema, location=f"file://{folder}/dbo/items")
    table.append(rows([1, 2, 3]))
    table.append(rows([4, 5]))
    table.delete("id == 4")
    table.overwrite(rows([2], "changed"), overwrite_filter="id == 2")
    found = table.scan().to_arrow().sort_by("id").to_pylist()
    lines = ",\n".join("  " + json.dumps([row["id"], row["name"], str(row["price"])]) for row in found)
    (folder / "rows.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return folder, pathlib.Path(table.metadata_location.removeprefix("file://"))


def sql_catalog():
    folder, _ = make("pyiceberg-sql-catalog")
    (folder / "refused.txt").write_text("another kind of catalog\n", encoding="utf-8")


def folder_catalog():
    _, newest = make("pyiceberg-folder")
    shutil.copy(newest, newest.parent / "v1.metadata.json")
    (newest.parent / "version-hint.text").write_text("1", encoding="utf-8")


FIXTURES = {"pyiceberg-sql-catalog": sql_catalog, "pyiceberg-folder": folder_catalog}
for FIXTURE in sys.argv[2:] or FIXTURES:
    FIXTURES[FIXTURE]()
