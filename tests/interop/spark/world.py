"""One source table, its lake table and its target, and the programs that work on them: icesync, Spark, the other readers."""
import datetime
import decimal
import json
import os
import pathlib
import subprocess

import pymssql

PASSWORD = os.environ["STAND_IN_PASSWORD"]
PORT = os.environ["STAND_IN_PORT"]
READ_LAKE = pathlib.Path(__file__).resolve().parent.parent / "read_lake.py"


class Failed(Exception):
    """What a case found to be wrong."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def spark_session(warehouse):
    """One session for all cases; nothing of a table is cached, because icesync writes to it too."""
    from pyspark.sql import SparkSession
    settings = {
        "spark.jars": os.environ["ICESYNC_SPARK_JAR"],
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "hadoop",
        "spark.sql.catalog.lake.warehouse": f"file://{warehouse}",
        "spark.sql.catalog.lake.cache-enabled": "false",
        # The same warehouse without a scheme: Spark then writes plain paths into metadata.
        "spark.sql.catalog.plain": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.plain.type": "hadoop",
        "spark.sql.catalog.plain.warehouse": warehouse,
        "spark.sql.catalog.plain.cache-enabled": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName("icesync-interop")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def connect(database):
    return pymssql.connect(server="127.0.0.1", port=PORT, user="sa", password=PASSWORD, database=database, charset="UTF-8",
                           tds_version="7.4", autocommit=True, use_datetime2=True)


def canonical(value):
    """A value as read_lake.py spells it."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
    if isinstance(value, (datetime.date, decimal.Decimal)):
        return str(value)
    return value


def rows_of(names, rows):
    return sorted((dict(zip(names, map(canonical, row))) for row in rows), key=lambda row: json.dumps(row, sort_keys=True))


class World:
    """The table dbo.<name> on all sides. Its rows change with `change`; `sync` runs icesync."""

    def __init__(self, spark, work, name, options="", key="id"):
        self.spark, self.work, self.name, self.key = spark, pathlib.Path(work), name, key
        self.table = f"lake.dbo.{name}"
        self.folder = self.work / "warehouse" / "dbo" / name
        self.source, self.target = connect("source"), connect("target")
        self.sql(f"CREATE TABLE dbo.{name} (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL, price decimal(12, 3) NULL, "
                 "made datetime2(6) NULL, day date NULL, tag uniqueidentifier NULL, raw varbinary(20) NULL, flag bit NULL, "
                 "ratio float NULL, rv rowversion NOT NULL)")
        self.insert(range(1, 41))
        self.configure(options)

    def configure(self, options=""):
        tables = f"  - source: dbo.{self.name}\n" + "".join(f"    {line}\n" for line in options.splitlines())
        (self.work / f"{self.name}.yaml").write_text(
            'source: { connection: "${ICESYNC_SOURCE}" }\nwarehouse: { location: ./warehouse }\n'
            'target: { connection: "${ICESYNC_TARGET}" }\ntables:\n' + tables, encoding="utf-8")

    def sql(self, text):
        with self.source.cursor() as cursor:
            cursor.execute(text)

    def insert(self, ids):
        for at in ids:
            self.sql(f"INSERT dbo.{self.name} (id, name, price, made, day, tag, raw, flag, ratio) VALUES ({at}, N'n{at} \u00e9\u732b', "
                     f"{at}.125, '2024-02-29T23:59:{at % 60:02d}.123456', '20{at % 60:02d}-03-01', "
                     f"'6F9619FF-8B86-D011-B42D-{at:012d}', 0x{at:08X}, {at % 2}, {at}.5)")

    def update(self, ids, what):
        listed = ", ".join(map(str, ids))
        self.sql(f"UPDATE dbo.{self.name} SET name = N'{what}', flag = NULL WHERE id IN ({listed})")

    def icesync(self, *arguments):
        login = f"Server=tcp:127.0.0.1,{PORT};User ID=sa;Password={PASSWORD};Encrypt=false;Database="
        environment = dict(os.environ, ICESYNC_SOURCE=login + "source", ICESYNC_TARGET=login + "target")
        command = [os.environ["ICESYNC_BIN"], "-c", f"{self.name}.yaml", "--json", *arguments]
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, check=False)
        check("panicked" not in done.stderr, f"icesync panicked: {done.stderr}")
        return done

    def sync(self):
        """Runs a sync that must succeed; its report of the table."""
        return self.done("sync")

    def done(self, command):
        """Runs a command that must succeed; its report of the table."""
        done = self.icesync(command)
        check(done.returncode == 0, f"{command} exited with {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)["tables"][0]

    def quiet_sync(self):
        """A sync that must go on without a warning and without reading the whole table."""
        report = self.sync()
        check(not report["extract"]["full_read"], f"the whole table was read again: {report}")
        check(not report["extract"]["warnings"] and not report["load"]["warnings"], f"warnings: {report}")
        return report

    def refused(self, *texts):
        """Runs a sync that must fail, saying these texts."""
        done = self.icesync("sync")
        check(done.returncode == 1, f"sync exited with {done.returncode} instead of 1: {done.stdout}{done.stderr}")
        for text in texts:
            check(text in done.stdout, f"the refusal does not say {text!r}: {done.stdout}")

    def call(self, procedure, arguments="", catalog="lake"):
        """Calls one of Iceberg's procedures on the table."""
        more = f", {arguments}" if arguments else ""
        return self.spark.sql(f"CALL {catalog}.system.{procedure}(table => 'dbo.{self.name}'{more})").collect()

    def maintain(self, *chores):
        """Maintenance that must succeed; its report of the table."""
        done = self.icesync("maintain", *chores)
        check(done.returncode == 0, f"maintain {chores} exited with {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)["tables"][0]

    def statement(self, text):
        return self.spark.sql(text.replace("{table}", self.table)).collect()

    def snapshots(self):
        """Ids of the snapshots, oldest first."""
        rows = self.statement("SELECT snapshot_id FROM {table}.snapshots ORDER BY committed_at")
        return [row.snapshot_id for row in rows]

    def server(self, connection):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM dbo.{self.name}")
            names = [column[0] for column in cursor.description]
            return rows_of(names, ([str(v) if n == "tag" and v else v for n, v in zip(names, row)] for row in cursor.fetchall()))

    def spark_rows(self):
        frame = self.spark.table(self.table)
        return rows_of(frame.columns, frame.collect())

    def equal(self, expected=None, readers=()):
        """Source, lake as Spark and the other readers (or those named) see it, and target must have the same rows."""
        expected = self.server(self.source) if expected is None else expected
        for side, rows in (("Spark", self.spark_rows()), ("the target", self.server(self.target))):
            check(rows == expected, f"{side} has other rows: {difference(expected, rows)}")
        self.readers(expected, readers)

    def readers(self, expected, readers=()):
        """DuckDB, PyIceberg and Polars (or those named) must see these rows."""
        file = self.work / f"{self.name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in expected), encoding="utf-8")
        command = [os.environ["ICESYNC_INTEROP_PYTHON"], str(READ_LAKE), str(self.folder), "--key", self.key, "--expect", str(file)]
        command += [word for reader in readers for word in ("--reader", reader)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"the readers differ: {done.stdout}{done.stderr}")


def difference(expected, found):
    missing = [row for row in expected if row not in found]
    more = [row for row in found if row not in expected]
    return f"missing {missing[:3]}, too many {more[:3]} ({len(expected)} expected, {len(found)} found)"
