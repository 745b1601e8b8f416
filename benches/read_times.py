"""Seconds that DuckDB and PyIceberg take to read every row of an Iceberg table: one JSON object on stdout.

    python benches/read_times.py <table folder> <rows expected> <sum of version expected>

Each reader runs three times and the best counts. Values are summed, because a bare count may come from metadata.
"""

import json
import os
import sys
import time


def best(read):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        found = read()
        times.append(time.perf_counter() - start)
    return min(times), found


def duckdb_reader(table):
    import duckdb
    import importlib.util

    def extension(connection, name):
        folder = os.path.dirname(importlib.util.find_spec(f"duckdb_extension_{name}").origin)
        path = os.path.join(folder, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
        connection.execute(f"LOAD '{path}'")

    def read():
        connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        extension(connection, "avro")
        extension(connection, "iceberg")
        query = f"SELECT count(*), sum(version)::BIGINT FROM iceberg_scan('{table}')"
        return connection.execute(query).fetchone()

    return read


def pyiceberg_reader(table):
    import pyarrow.compute
    from pyiceberg.table import StaticTable

    def read():
        rows = StaticTable.from_metadata(table).scan(selected_fields=("id", "version")).to_arrow()
        return rows.num_rows, pyarrow.compute.sum(rows.column("version")).as_py()

    return read


def main():
    table, expected = sys.argv[1], (int(sys.argv[2]), int(sys.argv[3]))
    times = {}
    for name, reader in (("duckdb", duckdb_reader), ("pyiceberg", pyiceberg_reader)):
        seconds, found = best(reader(table))
        if tuple(found) != expected:
            raise SystemExit(f"{name} reads {tuple(found)} (rows, sum of version) instead of {expected}")
        times[name] = seconds
    print(json.dumps(times))


main()
