#!/usr/bin/env python3
"""Makes the fixtures that icesync writes, with the programs of an old commit and its stand-in. Run by make.sh.

    icesync_tables.py ROOT ICESYNC SANDBOX [FIXTURE...]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pymssql

ROOT, ICESYNC, SANDBOX = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
PASSWORD = "Fixture-0nly!"


def start():
    environment = dict(os.environ, STAND_IN_PASSWORD=PASSWORD)
    command = [SANDBOX, "--listen", "127.0.0.1:0", "--user", "sa", "--password-env", "STAND_IN_PASSWORD",
               "--database", "source", "--database", "target"]
    sandbox = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    return sandbox, sandbox.stdout.readline().rsplit(":", 1)[1].strip()


def make(fixture, kind, port):
    table = fixture.replace("-", "_")
    folder = ROOT / fixture
    login = f"Server=tcp:127.0.0.1,{port};User ID=sa;Password={PASSWORD};Encrypt=false;Database="
    connection = pymssql.connect(server="127.0.0.1", port=port, user="sa", password=PASSWORD, database="source", autocommit=True)

    def sql(text):
        with connection.cursor() as cursor:
            cursor.execute(text)

    with tempfile.TemporaryDirectory() as config:
        pathlib.Path(config, "icesync.yaml").write_text(
            'source: { connection: "${ICESYNC_SOURCE}" }\ntarget: { connection: "${ICESYNC_TARGET}" }\n'
            f"warehouse: {{ location: {folder} }}\ntables:\n  - source: dbo.{table}\n    lake: dbo.items\n    kind: {kind}\n"
            "    change: { strategy: timestamp, column: changed, clock: utc, lag: 0s, overlap: 0s }\n", encoding="utf-8")

        def sync():
            time.sleep(0.3)
            environment = dict(os.environ, ICESYNC_SOURCE=login + "source", ICESYNC_TARGET=login + "target")
            subprocess.run([ICESYNC, "sync"], cwd=config, env=environment, check=True)

        sql(f"CREATE TABLE dbo.{table} (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, price decimal(9, 2) NULL, "
            "changed datetime2(6) NULL)")
        for at in range(1, 7):
            sql(f"INSERT dbo.{table} VALUES ({at}, N'n{at}', {at}.50, SYSUTCDATETIME())")
        sync()
        for at in (2, 5):
            sql(f"UPDATE dbo.{table} SET name = N'changed', changed = SYSUTCDATETIME() WHERE id = {at}")
        sync()
        sql(f"UPDATE dbo.{table} SET price = 9.99, changed = SYSUTCDATETIME() WHERE id = 5")
        sync()
    rows = [[at, "changed" if at in (2, 5) else f"n{at}", "9.99" if at == 5 else f"{at}.50"] for at in range(1, 7)]
    if kind == "history":
        rows += [[2, "n2", "2.50"], [5, "n5", "5.50"], [5, "changed", "5.50"]]
    lines = ",\n".join("  " + json.dumps(row) for row in sorted(rows))
    (folder / "rows.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    connection.close()


def main():
    sandbox, port = start()
    try:
        for fixture in sys.argv[4:] or ["icesync-mirror", "icesync-history"]:
            make(fixture, fixture.removeprefix("icesync-"), port)
    finally:
        sandbox.terminate()


main()
