#!/usr/bin/env python3
"""Reads one Iceberg table with DuckDB, PyIceberg and Polars, each on its own, and compares what they see.

    read_lake.py TABLE_DIR [--key a,b] [--snapshot ID] [--reader NAME]... [--expect FILE.jsonl]

Without --expect: prints the rows as JSON lines, ordered by key, once every reader agrees.
With --expect: also compares them with the file's rows (in any order) and prints `N rows equal in ...`.
Exit 0 when all is equal, 1 on any difference (the first ones are shown), 2 on wrong usage.

One value has one spelling: decimals and dates are strings (`"12.50"`, `"2013-01-31"`), times and timestamps have
six digits after the second (`"2013-01-31T12:00:00.000000"`, and `+00:00` behind those with a zone), UUIDs are
lower-case strings, bytes lower-case hex, floats are numbers or `"NaN"`, `"Infinity"`, `"-Infinity"`.
"""
import argparse
import datetime
import decimal
import glob
import importlib.util
import json
import math
import os
import re
import struct
import sys
import urllib.parse
import uuid

import pyarrow as pa
import pyarrow.compute as pc

READERS = ("duckdb", "pyiceberg", "polars")
DIFFERENCES_SHOWN = 5

# Polars plans a scan through PyIceberg unless an optional package is there, and warns about it; the files it reads itself.
os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")


# What the table's metadata says ---------------------------------------------------------------------------------

def local_path(table):
    """The directory of a table given as a path or as a file:// URI."""
    if table.startswith("file:"):
        return urllib.parse.unquote(urllib.parse.urlparse(table).path)
    return os.path.abspath(table)


def metadata_of(table):
    """The table metadata that version-hint.text names, as a dictionary."""
    folder = os.path.join(local_path(table), "metadata")
    with open(os.path.join(folder, "version-hint.text"), encoding="utf-8") as file:
        version = file.read()
    with open(os.path.join(folder, f"v{version}.metadata.json"), encoding="utf-8") as file:
        return json.load(file)


def schema_fields(metadata, snapshot=None):
    """The fields of the current schema, or of the one that a snapshot was written with."""
    schema_id = metadata["current-schema-id"]
    if snapshot is not None:
        found = [s for s in metadata.get("snapshots", []) if s["snapshot-id"] == snapshot]
        if not found:
            raise SystemExit(f"read_lake: the table has no snapshot {snapshot}")
        schema_id = found[0].get("schema-id", schema_id)
    return next(s for s in metadata["schemas"] if s["schema-id"] == schema_id)["fields"]


def arrow_type(iceberg):
    """The one Arrow type in which values of an Iceberg primitive type are compared here."""
    plain = {
        "boolean": pa.bool_(), "int": pa.int64(), "long": pa.int64(), "float": pa.float32(), "double": pa.float64(),
        "date": pa.date32(), "time": pa.time64("us"), "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"), "string": pa.large_string(), "uuid": pa.binary(16),
        "binary": pa.large_binary(),
    }
    if iceberg in plain:
        return plain[iceberg]
    if match := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", str(iceberg)):
        return pa.decimal128(int(match[1]), int(match[2]))
    if re.fullmatch(r"fixed\[\d+\]", str(iceberg)):
        return pa.large_binary()
    raise SystemExit(f"read_lake: no rule to compare values of Iceberg type {iceberg}")


# The readers: each returns an Arrow table -----------------------------------------------------------------------

def duckdb_connection():
    """A fresh DuckDB (it caches files within one) with the extensions that came with the installed packages."""
    import duckdb
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    for name in ("avro", "iceberg"):
        package = os.path.dirname(importlib.util.find_spec(f"duckdb_extension_{name}").origin)
        found = glob.glob(f"{package}/extensions/v{duckdb.__version__}/{name}.duckdb_extension")
        if not found:
            raise SystemExit(f"read_lake: package duckdb_extension_{name} is not built for duckdb {duckdb.__version__}")
        connection.execute(f"LOAD '{found[0]}'")
    return connection


def duckdb_scan(table, snapshot=None):
    """The table function that reads the table (at a snapshot), for use after FROM."""
    path = local_path(table).replace("'", "''")
    at = "" if snapshot is None else f", snapshot_from_id => {int(snapshot)}"
    return f"iceberg_scan('{path}'{at})"


def read_duckdb(table, snapshot, fields):
    columns = ", ".join('"%s"' % field["name"].replace('"', '""') for field in fields)
    result = duckdb_connection().execute(f"SELECT {columns} FROM {duckdb_scan(table, snapshot)}").arrow()
    return result.read_all() if isinstance(result, pa.RecordBatchReader) else result


def static_table(table):
    from pyiceberg.table import StaticTable
    return StaticTable.from_metadata("file://" + urllib.parse.quote(local_path(table)))


def read_pyiceberg(table, snapshot, _fields):
    return static_table(table).scan(snapshot_id=snapshot).to_arrow()


def read_polars(table, snapshot, _fields):
    import polars
    # "native": Polars reads the files itself; by default it may hand the work to PyIceberg, a reader we have already.
    return polars.scan_iceberg(static_table(table), snapshot_id=snapshot, reader_override="native").collect().to_arrow()


def canonical(arrow, fields):
    """The same values in the types of `arrow_type`, the columns in the schema's order; refuses to lose anything."""
    names = [field["name"] for field in fields]
    if sorted(arrow.column_names) != sorted(names):
        raise SystemExit(f"read_lake: columns are {arrow.column_names}, the schema has {names}")
    columns = []
    for field in fields:
        column, wanted = arrow.column(field["name"]), arrow_type(field["type"])
        if isinstance(column.type, pa.BaseExtensionType):
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        if field["type"] == "uuid":
            text = [uuid_bytes(value) for value in column.to_pylist()]
            columns.append(pa.chunked_array([pa.array(text, wanted)]))
        else:
            if pa.types.is_binary_view(column.type) or pa.types.is_string_view(column.type):
                column = column.cast(pa.large_binary() if pa.types.is_binary_view(column.type) else pa.large_string())
            columns.append(column.cast(wanted, safe=True))
    return pa.table(columns, names=names).combine_chunks()


def uuid_bytes(value):
    if value is None or isinstance(value, bytes):
        return value
    return uuid.UUID(str(value)).bytes


def read(reader, table, snapshot=None):
    """All rows as one reader sees them, canonical, in no order."""
    fields = schema_fields(metadata_of(table), snapshot)
    arrow = {"duckdb": read_duckdb, "pyiceberg": read_pyiceberg, "polars": read_polars}[reader](table, snapshot, fields)
    return canonical(arrow, fields)


# Comparing ------------------------------------------------------------------------------------------------------

def bits(column):
    """Floats as their bits, so that NaN equals NaN and -0.0 differs from 0.0."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_float32(column.type):
        return column.view(pa.int32())
    if pa.types.is_float64(column.type):
        return column.view(pa.int64())
    return column


def ordered(arrow, key):
    """The rows by key, or by every column when there is none."""
    names = key or arrow.column_names
    by = pa.table([bits(arrow.column(name)) for name in names], names=[str(i) for i in range(len(names))])
    order = pc.sort_indices(by, [(name, "ascending", "at_start") for name in by.column_names])
    return arrow.take(order)


def show_row(arrow, at):
    return json.dumps({name: json_value(arrow.column(name)[at].as_py()) for name in arrow.column_names}, ensure_ascii=False)


def differences(left, right, left_name, right_name, key):
    """Compares two canonical tables with the same columns, value by value: a list of lines, empty when they are equal."""
    if left.column_names != right.column_names:
        return [f"columns: {left_name} has {left.column_names}, {right_name} has {right.column_names}"]
    left, right = ordered(left, key), ordered(right, key)
    lines = []
    if left.num_rows != right.num_rows:
        lines.append(f"rows: {left.num_rows} in {left_name}, {right.num_rows} in {right_name}")
        return lines + unmatched(left, right, left_name, right_name, key)
    unequal = pa.array([False] * left.num_rows, pa.bool_())
    by_column = {}
    for name in left.column_names:
        a, b = bits(left.column(name)), bits(right.column(name))
        if a.equals(b):
            continue
        both = pc.fill_null(pc.not_equal(a, b), False)
        by_column[name] = pc.or_(both, pc.xor(pc.is_null(a), pc.is_null(b)))
        unequal = pc.or_(unequal, by_column[name])
    if not by_column:
        return []
    if key and any(name in by_column for name in key):
        return unmatched(left, right, left_name, right_name, key)
    rows = [at.as_py() for at in pc.indices_nonzero(unequal)[:DIFFERENCES_SHOWN]]
    lines.append(f"{pc.sum(unequal).as_py()} rows differ between {left_name} and {right_name}, in {', '.join(by_column)}")
    for at in rows:
        row = {name: json_value(left.column(name)[at].as_py()) for name in key or left.column_names}
        lines.append(f"  row {json.dumps(row, ensure_ascii=False)}")
        for name in by_column:
            if by_column[name][at].as_py():
                a, b = (json_value(side.column(name)[at].as_py()) for side in (left, right))
                lines.append(f"    {name}: {json.dumps(a, ensure_ascii=False)} in {left_name}, "
                             f"{json.dumps(b, ensure_ascii=False)} in {right_name}")
    return lines


def unmatched(left, right, left_name, right_name, key):
    """Lines for rows whose key is on one side only, or twice on one side."""
    names = key or left.column_names
    lines = []
    counts = []
    for side in (left, right):
        count = {}
        for at, values in enumerate(zip(*(bits(side.column(name)).to_pylist() for name in names))):
            count.setdefault(values, []).append(at)
        counts.append(count)
    for here, there, side, name in ((counts[0], counts[1], left, left_name), (counts[1], counts[0], right, right_name)):
        extra = [rows for values, rows in here.items() if len(rows) > len(there.get(values, []))]
        if extra:
            lines.append(f"{len(extra)} keys are only, or more often, in {name}")
            lines += [f"  {show_row(side, rows[-1])}" for rows in extra[:DIFFERENCES_SHOWN]]
    return lines


# JSON lines -----------------------------------------------------------------------------------------------------

def json_value(value):
    """The one JSON spelling of a value."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    raise SystemExit(f"read_lake: no JSON spelling for {type(value).__name__}")


def json_rows(arrow, fields):
    """The rows as dictionaries of JSON values."""
    columns = {}
    for field in fields:
        values = [json_value(value) for value in arrow.column(field["name"]).to_pylist()]
        if field["type"] == "uuid":
            values = [None if value is None else str(uuid.UUID(hex=value)) for value in values]
        columns[field["name"]] = values
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def parse_value(value, kind, where):
    """A value of the expectation file as the Arrow value of its column."""
    try:
        if value is None:
            return None
        if kind in ("float", "double"):
            number = float(value)
            return struct.unpack("f", struct.pack("f", number))[0] if kind == "float" else number
        if kind == "date":
            return datetime.date.fromisoformat(value)
        if kind == "time":
            return datetime.time.fromisoformat(value)
        if kind in ("timestamp", "timestamptz"):
            return datetime.datetime.fromisoformat(value)
        if kind == "uuid":
            return uuid.UUID(value).bytes
        if kind == "binary" or kind.startswith("fixed"):
            return bytes.fromhex(value)
        if kind.startswith("decimal"):
            return decimal.Decimal(value)
        return value
    except (TypeError, ValueError, decimal.InvalidOperation) as error:
        raise SystemExit(f"read_lake: {where}: {value!r} is not a value of type {kind}: {error}")


def expected(path, fields):
    """The rows of a JSON-lines file as a canonical table; a column left out of a row is NULL, an unknown one is refused."""
    known = {field["name"] for field in fields}
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                row = json.loads(line, parse_float=float)
                if not set(row) <= known:
                    raise SystemExit(f"read_lake: {path}:{number}: the table has no column {sorted(set(row) - known)}")
                rows.append((number, row))
    columns = []
    for field in fields:
        name, kind = field["name"], str(field["type"])
        values = [parse_value(row.get(name), kind, f"{path}:{number}, column {name}") for number, row in rows]
        columns.append(pa.array(values, arrow_type(kind)))
    return pa.table(columns, names=[field["name"] for field in fields])


def compare_one(table, key, expect, snapshot=None, readers=READERS):
    """Reads a table with every reader: what the first one saw, the names of those that could, and lines that say what differs."""
    fields = schema_fields(metadata_of(table), snapshot)
    if unknown := sorted(set(key) - {field["name"] for field in fields}):
        raise SystemExit(f"read_lake: the table has no column {unknown}")
    seen = {}
    lines = []
    for reader in readers:
        try:
            seen[reader] = read(reader, table, snapshot)
        except Exception as error:  # a reader that refuses the table is a difference to report, whatever its reason
            lines.append(f"{reader} cannot read the table: {type(error).__name__}: {error}")
    names = list(seen)
    for other in names[1:]:
        lines += differences(seen[names[0]], seen[other], names[0], other, key)
    if expect and seen:
        lines += differences(expected(expect, fields), seen[names[0]], "the expectation", names[0], key)
    return seen.get(names[0]) if names else None, fields, names, lines


def compare_list(path, readers):
    """Compares every table of a list, one JSON object a line: `table`, `expect` and, where wanted, `key` (a list)."""
    tables, rows, failed = 0, 0, 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            first, _, _, lines = compare_one(entry["table"], entry.get("key", []), entry["expect"], None, readers)
            tables += 1
            rows += 0 if first is None else first.num_rows
            if lines:
                failed += 1
                print("\n".join([f"{entry['table']}:", *lines]))
    print(f"{rows} rows of {tables} tables read by {', '.join(readers)}, {failed} tables differ")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?")
    parser.add_argument("--key", default="", help="key columns, separated by commas; without it rows are compared whole")
    parser.add_argument("--expect", metavar="FILE.jsonl")
    parser.add_argument("--list", metavar="FILE", help="compare many tables: lines of {\"table\": ..., \"expect\": ...}")
    parser.add_argument("--snapshot", type=int, metavar="ID")
    parser.add_argument("--reader", action="append", choices=READERS, help="only these readers (may be repeated)")
    options = parser.parse_args()

    readers = options.reader or list(READERS)
    if options.list:
        return compare_list(options.list, readers)
    if not options.table:
        parser.error("name a table or a --list")
    key = [name for name in options.key.split(",") if name]
    first, fields, names, lines = compare_one(options.table, key, options.expect, options.snapshot, readers)
    if lines:
        print("\n".join(lines))
        return 1
    if options.expect:
        print(f"{first.num_rows} rows equal in {', '.join(names)} and the expectation")
    else:
        for row in json_rows(ordered(first, key), fields):
            print(json.dumps(row, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
