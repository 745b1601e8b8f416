"""Checks the demo with eyes that are not icesync's.

    validate.py equal       source = lake (DuckDB, PyIceberg, Polars) = target: every value of every row; exit 1 if not
    validate.py snapshots   the number of snapshots of each lake table
    validate.py history     the tags of the lake tables, and the flights as of their first snapshot
"""
import pathlib
import sys
import time

import pyarrow as pa

import tables
from connect import connect

DEMO = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(DEMO.parent / "tests" / "interop"))
import read_lake  # noqa: E402

WAREHOUSE = DEMO / "work" / "warehouse"
READER_NAMES = {"duckdb": "DuckDB", "pyiceberg": "PyIceberg", "polars": "Polars"}


def lake_path(table):
    return str(WAREHOUSE / tables.SCHEMA / table.name)


def server_rows(connection, table, fields):
    """All rows of a table of SQL Server, canonical as read_lake has them, the columns in the lake's order."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table.full_name};")
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    wanted = [field["name"] for field in fields]
    if sorted(names) != sorted(wanted):
        sys.exit(f"demo: {table.full_name} has columns {names}, the lake table has {wanted}")
    columns = dict(zip(names, zip(*rows))) if rows else {name: () for name in names}
    return pa.table([pa.array(columns[field["name"]], read_lake.arrow_type(field["type"])) for field in fields], names=wanted)


def equal():
    lines = []
    source, target = connect("source"), connect("target")
    for table in tables.TABLES:
        started = time.monotonic()
        fields = read_lake.schema_fields(read_lake.metadata_of(lake_path(table)))
        truth = server_rows(source, table, fields)
        others = {name: read_lake.read(reader, lake_path(table)) for reader, name in READER_NAMES.items()}
        others["target"] = server_rows(target, table, fields)
        found = {name: read_lake.differences(truth, rows, "source", name, [table.key]) for name, rows in others.items()}
        different = [name for name, its in found.items() if its]
        verdict = f"DIFFERENT in {', '.join(different)}" if different else f"equal in source, {', '.join(others)}"
        print(f"  {table.full_name:<14} {truth.num_rows:>8,} rows x {len(fields):>2} columns: {verdict} "
              f"({time.monotonic() - started:.1f} s)", flush=True)
        lines += [f"{table.full_name}: {line}" for its in found.values() for line in its]
    for connection in (source, target):
        connection.close()
    if lines:
        print("\n".join(lines))
        return 1
    return 0


def snapshots():
    for table in tables.TABLES:
        print(f"  {table.full_name:<14} {len(read_lake.metadata_of(lake_path(table))['snapshots'])} snapshots")
    return 0


def history():
    for table in tables.TABLES:
        metadata = read_lake.metadata_of(lake_path(table))
        tags = {name: ref["snapshot-id"] for name, ref in metadata.get("refs", {}).items() if ref["type"] == "tag"}
        current = metadata["current-snapshot-id"]
        marked = [name for name, snapshot in tags.items() if snapshot == current]
        if not marked:
            print(f"  {table.full_name}: no tag marks the loaded snapshot {current}; the tags are {tags}")
            return 1
        print(f"  {table.full_name:<14} snapshot {current} carries the tag {marked[0]}")

    path = lake_path(tables.FLIGHTS)
    first = min(read_lake.metadata_of(path)["snapshots"], key=lambda snapshot: snapshot["sequence-number"])["snapshot-id"]
    question = "SELECT count(flight_id), sum(dep_delay), count(arr_delay) FROM {}"
    connection = read_lake.duckdb_connection()
    then = connection.execute(question.format(read_lake.duckdb_scan(path, first))).fetchone()
    now = connection.execute(question.format(read_lake.duckdb_scan(path))).fetchone()
    print(f"  DuckDB> {question.format(f'iceberg_scan(..., snapshot_from_id => {first})')}")
    for when, (flights, delay, arrivals) in (("first snapshot", then), ("now", now)):
        print(f"  {when:<14} {flights:>8,} flights, {delay:>9,} minutes of delay, {arrivals:>8,} arrivals")
    original = tables.read_data("flights")
    truth = (original.height, original["dep_delay"].cast(int).sum(), original.height - original["arr_delay"].null_count())
    if then != truth:
        print(f"  the first snapshot should hold {truth}: the data as it was loaded")
        return 1
    if now[0] != original.height + 51 or now == then:
        print("  the current snapshot should hold 51 flights more")
        return 1
    return 0


def main():
    commands = {"equal": equal, "snapshots": snapshots, "history": history}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    return commands[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
