"""A day of changes in the source, all in plain SQL, each seen by icesync in its own way."""
import sys

import tables
from connect import connect, execute

FLIGHT_COLUMNS = ", ".join(name for name, _ in tables.FLIGHTS.columns if name not in ("flight_id", "updated_at"))

CHANGES = (
    # (what, rows, statement)
    ("flights delayed, every fifth without an arrival delay (updated_at = now)", 1000, """
        UPDATE nyc.flights
        SET dep_delay = COALESCE(dep_delay, 0) + 15,
            arr_delay = CASE WHEN flight_id % 5 = 0 THEN NULL ELSE COALESCE(arr_delay, 0) + 15 END,
            updated_at = SYSUTCDATETIME()
        WHERE flight_id % 336 = 7 AND flight_id <= 336000;"""),
    ("flights added", 50, f"""
        INSERT INTO nyc.flights ({FLIGHT_COLUMNS}, updated_at)
        SELECT TOP (50) {FLIGHT_COLUMNS}, SYSUTCDATETIME() FROM nyc.flights ORDER BY flight_id;"""),
    ("flight that arrives late: its updated_at is two hours old, so only the overlap finds it", 1, f"""
        INSERT INTO nyc.flights ({FLIGHT_COLUMNS}, updated_at)
        SELECT TOP (1) {FLIGHT_COLUMNS}, DATEADD(hour, -2, SYSUTCDATETIME()) FROM nyc.flights ORDER BY flight_id DESC;"""),
    ("weather readings corrected (no timestamp: the rowversion moves)", 200, """
        UPDATE nyc.weather SET temp = temp + 0.25, wind_gust = NULL WHERE weather_id BETWEEN 5001 AND 5200;"""),
    ("planes with new seats", 25, """
        UPDATE nyc.planes SET seats = seats + 2 WHERE tailnum IN (SELECT TOP (25) tailnum FROM nyc.planes ORDER BY tailnum);"""),
    ("airport renamed, beyond ASCII", 1, """
        UPDATE nyc.airports SET name = N'John F. Kennedy \u2013 \u7d10\u7d04\u56fd\u969b\u7a7a\u6e2f \U0001f6eb' WHERE faa = 'JFK';"""),
    ("airport deleted", 1, """
        DELETE FROM nyc.airports WHERE faa = '04G';"""),
)


def main():
    source = connect("source")
    for what, rows, statement in CHANGES:
        changed = execute(source, statement)
        if changed != rows:
            sys.exit(f"demo: {rows} rows were to change, {changed} did: {what}")
        print(f"  {rows:>5,}  {what}", flush=True)
    source.close()


if __name__ == "__main__":
    main()
