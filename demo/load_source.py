"""Allows snapshot isolation in the database `source`, creates the demo's tables there and fills them by bulk copy."""
import sys
import time

import polars

import tables
from connect import connect, execute, scalar

CHUNK_ROWS = 50_000
ROWS_PER_TIMESTAMP = 400
"""Flights that share one `updated_at`: batch jobs write like that, and no window may split or lose such rows."""


def flights_rows(connection):
    """The flights with a date, and with change times from 30 days to one day before the server's now."""
    frame = tables.read_data("flights")
    now = scalar(connection, "SELECT CAST(SYSUTCDATETIME() AS datetime2(3));")
    step_ms = 29 * 86_400_000 // (frame.height // ROWS_PER_TIMESTAMP + 1)
    back = polars.lit(now) - polars.duration(days=30)
    moved = polars.duration(milliseconds=polars.int_range(frame.height) // ROWS_PER_TIMESTAMP * step_ms)
    return frame.with_columns(
        (polars.col("year") + "-" + polars.col("month").str.zfill(2) + "-" + polars.col("day").str.zfill(2)).alias("flight_date"),
        (back + moved).dt.strftime("%Y-%m-%d %H:%M:%S%.3f").alias("updated_at"),
    )


def rows_of(table, connection):
    if table is tables.FLIGHTS:
        return flights_rows(connection)
    frame = tables.read_data(table.name)
    if table is tables.WEATHER:
        frame = frame.with_columns(
            (polars.int_range(frame.height) + 1).cast(polars.String).alias("weather_id"),
            # The file writes 1000.0 as 1e3, which bulk copy does not take for a decimal.
            polars.col("pressure").str.replace(r"^1e3$", "1000"),
        )
    return frame


def load(table, connection):
    execute(connection, table.create())
    names, positions = table.loaded()
    frame = rows_of(table, connection).select(names)
    for start in range(0, frame.height, CHUNK_ROWS):
        connection.bulk_copy(table.full_name, frame[start:start + CHUNK_ROWS].rows(), column_ids=positions,
                             batch_size=CHUNK_ROWS, tablock=True)
    if table.index:
        execute(connection, f"CREATE INDEX ix_{table.name}_{table.index} ON {table.full_name} ({table.index});")
    found = scalar(connection, f"SELECT COUNT(*) FROM {table.full_name};")
    if found != frame.height:
        sys.exit(f"demo: {table.full_name} holds {found} rows after loading {frame.height}")
    return found


def main():
    source = connect("source")
    # A new database has no row versions, and icesync then reads only tables with a rowversion without locking them.
    allow = "ALTER DATABASE source SET ALLOW_SNAPSHOT_ISOLATION ON;"
    execute(source, allow)
    print(f"  {allow}", flush=True)
    execute(source, f"CREATE SCHEMA {tables.SCHEMA};")
    for table in tables.TABLES:
        started = time.monotonic()
        rows = load(table, source)
        print(f"  {table.full_name:<14} {rows:>8,} rows in {time.monotonic() - started:5.1f} s", flush=True)
    source.close()


if __name__ == "__main__":
    main()
